//! Values that lie apart: files whose names are the digests of what is in them, so that one which is there is never written
//! again.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use waypost_fleet::text::Digest;

use crate::checksummed::{self, Damaged, ReadError};
use crate::log;

/// The files with the values.
#[derive(Debug)]
pub(super) struct Values {
    directory: PathBuf,
    /// All that this process has written, and nothing has removed since.
    written: BTreeSet<Digest>,
}

impl Values {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            written: BTreeSet::new(),
        }
    }

    /// Writes a value, unless this process has done so before. One that was there at its start may be damaged.
    pub(super) fn write(&mut self, digest: Digest, value: &[u8]) -> io::Result<()> {
        if self.written.contains(&digest) {
            return Ok(());
        }
        checksummed::create_directory(&self.directory)?;
        checksummed::write(&self.path(digest), value)?;
        self.written.insert(digest);
        Ok(())
    }

    /// Reads a value, if it is there and whole.
    pub(super) fn read(&self, digest: Digest, faults: &mut Faults) -> Option<Vec<u8>> {
        let file = self.path(digest);
        match faults.read(&file)? {
            value if Digest::of(&value) == digest => Some(value),
            _ => {
                faults.add(&file, "it is another one than its name says");
                None
            }
        }
    }

    /// Removes all others.
    pub(super) fn retain(&mut self, wanted: &BTreeSet<Digest>) {
        self.written.retain(|digest| wanted.contains(digest));
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let digest = name.to_str().and_then(|name| name.parse().ok());
            if digest.is_some_and(|digest: Digest| !wanted.contains(&digest)) {
                // What is left takes space, and is removed with the next change.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Trusts nothing that was written any more, after an error.
    pub(super) fn doubt(&mut self) {
        self.written.clear();
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.directory.join(digest.to_string())
    }
}

/// The damaged files of a cache.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// True if this process has the directory: it sets them aside.
    pub(super) owns: bool,
    pub(super) found: Vec<Damaged>,
}

impl Faults {
    /// Reads a file, if it is there and whole.
    pub(super) fn read(&mut self, file: &Path) -> Option<Vec<u8>> {
        match checksummed::read(file) {
            Ok(body) => body,
            Err(ReadError::Damaged(why)) => {
                self.add(file, &why);
                None
            }
            Err(ReadError::Io(error)) => {
                log::warn(format_args!("`{}` cannot be read: {error}", file.display()));
                None
            }
        }
    }

    fn add(&mut self, file: &Path, why: &str) {
        let damaged = checksummed::set_aside(file, why, self.owns);
        let what = match damaged.now == damaged.file {
            true => "it is left where it is".to_owned(),
            false => format!("it is now `{}`", damaged.now.display()),
        };
        log::warn(format_args!("`{}` is damaged: {why}; {what}", file.display()));
        self.found.push(damaged);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn value_is_written_once_and_removed_when_it_is_not_wanted() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().join("values");
        let mut values = Values::new(at.clone());
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        values.write(one, b"one").unwrap();
        values.write(two, b"two").unwrap();
        let modified = |digest: Digest| fs::metadata(at.join(digest.to_string())).unwrap().ino();
        let before = modified(one);
        let mut faults = Faults::default();
        values.write(one, b"one").unwrap();
        assert_eq!(modified(one), before);
        assert_eq!(values.read(one, &mut faults).as_deref(), Some(&b"one"[..]));
        fs::write(at.join("other"), "x").unwrap();
        values.retain(&[two].into());
        assert_eq!(names(&at), [two.to_string(), "other".to_owned()]);
        values.write(one, b"one").unwrap();
        assert_eq!(values.read(one, &mut faults).as_deref(), Some(&b"one"[..]));
    }

    #[test]
    fn damaged_value_is_set_aside_and_written_anew() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().to_owned();
        let digest = Digest::of(b"one");
        checksummed::write(&at.join(digest.to_string()), b"two").unwrap();
        let mut values = Values::new(at.clone());
        let mut faults = Faults::default();
        assert_eq!(values.read(digest, &mut faults), None);
        assert_eq!((faults.found.len(), names(&at)), (1, vec![digest.to_string()]));
        faults.owns = true;
        assert_eq!(values.read(digest, &mut faults), None);
        assert_eq!(names(&at), [format!("{digest}.bad")]);
        values.write(digest, b"one").unwrap();
        fs::write(at.join(digest.to_string()), "cut").unwrap();
        assert_eq!(Values::new(at.clone()).read(digest, &mut faults), None);
        assert_eq!(faults.found.len(), 3);
        assert_eq!(names(&at), [format!("{digest}.bad"), format!("{digest}.bad-2")]);
    }
}
