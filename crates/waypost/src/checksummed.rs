//! Files that are complete or absent: written under a temporary name, synced, renamed, with a checksum in the first line.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use xxhash_rust::xxh3::xxh3_64;

/// The beginning of the first line: the format and its version.
const MAGIC: &str = "waypost-state 1";
/// Prefix of a temporary file's name.
const UNFINISHED: &str = ".unfinished-";
/// Suffix of a damaged file that was set aside.
const BAD: &str = ".bad";

/// A file whose content is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Damaged {
    /// The name it had.
    pub(crate) file: PathBuf,
    /// Its present name.
    pub(crate) now: PathBuf,
    pub(crate) why: String,
}

/// An error of reading a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The content is not what was written.
    #[error("{0}")]
    Damaged(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes a file with a checksum, atomically and durably.
pub(crate) fn write(path: &Path, body: &[u8]) -> io::Result<()> {
    write_plain(path, &[&checksummed(body)])
}

/// A body behind a line with its checksum and length.
pub(crate) fn checksummed(body: &[u8]) -> Vec<u8> {
    let line = format!("{MAGIC} {:016x} {}\n", xxh3_64(body), body.len());
    [line.as_bytes(), body].concat()
}

/// Writes a file without a checksum, atomically and durably.
pub(crate) fn write_plain(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let directory = directory_of(path);
    let mut file = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempfile_in(directory)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

/// Opens a file for reading.
///
/// # Errors
/// [`ReadError::Damaged`] if the name belongs to a directory or a broken symbolic link, which would also refuse the next
/// write. Any other file type is an I/O error; opening a pipe would block.
pub(crate) fn open(path: &Path) -> Result<File, ReadError> {
    let metadata = fs::metadata(path).map_err(|error| broken_link(path).unwrap_or(error.into()))?;
    if metadata.is_dir() {
        return Err(ReadError::Damaged("it is a directory".to_owned()));
    }
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file").into());
    }
    Ok(File::open(path)?)
}

/// The entries of a directory; `None` if it does not exist.
///
/// # Errors
/// [`ReadError::Damaged`] if the name belongs to something else.
pub(crate) fn entries(directory: &Path) -> Result<Option<fs::ReadDir>, ReadError> {
    match fs::read_dir(directory) {
        Ok(entries) => Ok(Some(entries)),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(broken_link(directory).unwrap_or(ReadError::Damaged("it is not a directory".to_owned())))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => broken_link(directory).map_or(Ok(None), Err),
        Err(error) => Err(broken_link(directory).unwrap_or(error.into())),
    }
}

/// The error of a symbolic link whose target does not exist.
fn broken_link(path: &Path) -> Option<ReadError> {
    let is_link = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    let error = fs::metadata(path).err()?;
    let is_broken = matches!(
        Errno::from_io_error(&error),
        Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
    );
    (is_link && is_broken).then(|| ReadError::Damaged("it is a broken symbolic link".to_owned()))
}

/// Reads the body of a file, without its checksum; `None` if there is no file.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, ReadError> {
    let mut bytes = Vec::new();
    match open(path) {
        Ok(mut file) => file.read_to_end(&mut bytes)?,
        Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let damaged = |why: &str| Err(ReadError::Damaged(why.to_owned()));
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
        return damaged("its first line is not complete");
    };
    let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let body = &bytes[end + 1..];
    let words = line.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(' '));
    let Some((sum, length)) = words.and_then(|words| words.split_once(' ')) else {
        return damaged("its first line is not one of Waypost's");
    };
    if length.parse() != Ok(body.len()) {
        return damaged("its length does not match its first line");
    }
    if sum != format!("{:016x}", xxh3_64(body)) {
        return damaged("its checksum does not match");
    }
    Ok(Some(body.to_vec()))
}

/// Renames a damaged file to `NAME.bad` if this process owns the state. An earlier `NAME.bad` is kept: the next free name
/// is `NAME.bad-2`.
pub(crate) fn set_aside(file: &Path, why: &str, owns_state: bool) -> Damaged {
    let bad = free_name(file, BAD);
    let is_renamed = owns_state && fs::rename(file, &bad).is_ok();
    Damaged {
        file: file.to_owned(),
        now: if is_renamed { bad } else { file.to_owned() },
        why: why.to_owned(),
    }
}

/// The first of `PATHsuffix`, `PATHsuffix-2`, … that does not exist.
pub(crate) fn free_name(path: &Path, suffix: &str) -> PathBuf {
    let named = |number: usize| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        if number > 1 {
            name.push(format!("-{number}"));
        }
        PathBuf::from(name)
    };
    let mut number = 1;
    // A broken link has a name too.
    while fs::symlink_metadata(named(number)).is_ok() {
        number += 1;
    }
    named(number)
}

/// Removes temporary files that a killed process left.
pub(crate) fn sweep(directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries {
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(UNFINISHED.as_bytes())
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The directory of a file.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Creates a directory, durably.
pub(crate) fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(directory)?;
    File::open(directory_of(directory))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_byte_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        assert!(matches!(read(&path), Ok(None)));
        for body in [&b""[..], b"one", b"two\nlines\n", &[0, 255, 10]] {
            write(&path, body).unwrap();
            assert_eq!(read(&path).unwrap().as_deref(), Some(body));
        }
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(matches!(read(&path), Err(ReadError::Damaged(_))), "cut at {cut}");
        }
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 0x10;
            fs::write(&path, &other).unwrap();
            assert!(
                matches!(read(&path), Err(ReadError::Damaged(_))),
                "changed at {at}"
            );
        }
    }

    #[test]
    fn directory_or_broken_link_is_damage() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        let why = |path: &Path| match read(path) {
            Err(ReadError::Damaged(why)) => why,
            other => panic!("{other:?}"),
        };
        fs::create_dir(&path).unwrap();
        assert_eq!(why(&path), "it is a directory");
        assert!(entries(&path).unwrap().is_some());
        fs::remove_dir(&path).unwrap();
        for target in ["nowhere", "nowhere/x", "x"] {
            std::os::unix::fs::symlink(target, &path).unwrap();
            assert_eq!(why(&path), "it is a broken symbolic link", "to {target}");
            assert!(
                matches!(entries(&path), Err(ReadError::Damaged(_))),
                "to {target}"
            );
            fs::remove_file(&path).unwrap();
        }
        assert!(entries(&path).unwrap().is_none());
        write(&path, b"body").unwrap();
        assert!(matches!(entries(&path), Err(ReadError::Damaged(_))));
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("x", &link).unwrap();
        assert_eq!(read(&link).unwrap().as_deref(), Some(&b"body"[..]));
    }

    #[test]
    fn set_aside_overwrites_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let text = |name: &str| fs::read_to_string(at(name)).unwrap();
        fs::write(at("x"), "first").unwrap();
        assert_eq!(set_aside(&at("x"), "damaged", false).now, at("x"));
        assert_eq!(set_aside(&at("x"), "damaged", true).now, at("x.bad"));
        fs::create_dir(at("x")).unwrap();
        fs::write(at("x/inside"), "second").unwrap();
        assert_eq!(set_aside(&at("x"), "damaged", true).now, at("x.bad-2"));
        std::os::unix::fs::symlink("nowhere", at("x.bad-3")).unwrap();
        fs::write(at("x"), "third").unwrap();
        assert_eq!(set_aside(&at("x"), "damaged", true).now, at("x.bad-4"));
        assert_eq!(
            (text("x.bad"), text("x.bad-2/inside"), text("x.bad-4")),
            ("first".to_owned(), "second".to_owned(), "third".to_owned())
        );
        assert_eq!(
            set_aside(&at("x"), "gone", true).now,
            at("x"),
            "nothing to rename"
        );
    }

    #[test]
    fn temporary_files_are_swept() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(".unfinished-a1"), "x").unwrap();
        fs::write(directory.path().join("kept"), "x").unwrap();
        sweep(directory.path());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
