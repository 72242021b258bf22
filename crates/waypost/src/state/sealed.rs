//! Files that are whole or not there: written beside, synced, renamed, with a checksum in the first line.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

/// What the first line begins with: the form of the file, and its version.
const MAGIC: &str = "waypost-state 1";
/// What the name of a file begins with while it is written.
const UNFINISHED: &str = ".unfinished-";

/// A file that was not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Damaged {
    /// Where it was.
    pub(crate) file: PathBuf,
    /// Where it is now.
    pub(crate) now: PathBuf,
    /// What is wrong with it.
    pub(crate) why: String,
}

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// It is not as it was written.
    #[error("{0}")]
    Damaged(String),
    /// The system says no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes a file whole or not at all. When this returns, it is on disk.
pub(crate) fn write(path: &Path, body: &[u8]) -> io::Result<()> {
    write_plain(path, &[&sealed(body)])
}

/// A body with its seal in front.
pub(crate) fn sealed(body: &[u8]) -> Vec<u8> {
    let seal = format!("{MAGIC} {:016x} {}\n", xxh3_64(body), body.len());
    [seal.as_bytes(), body].concat()
}

/// Writes a file without a seal, whole or not at all.
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

/// Opens a file for reading. Whatever else is there is an error: a pipe would be waited for.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    File::open(path)
}

/// The body of a file; `None` when there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, ReadError> {
    let mut bytes = Vec::new();
    match open(path) {
        Ok(mut file) => file.read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
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
        return damaged("it is not as long as its first line says");
    }
    if sum != format!("{:016x}", xxh3_64(body)) {
        return damaged("its checksum does not fit");
    }
    Ok(Some(body.to_vec()))
}

/// Sets a damaged file aside, if this process may, so that the next one begins anew.
pub(crate) fn damaged(file: &Path, why: &str, sets_aside: bool) -> Damaged {
    let mut now = file.as_os_str().to_owned();
    now.push(".bad");
    let mut now = PathBuf::from(now);
    if !sets_aside || fs::rename(file, &now).is_err() {
        now = file.to_owned();
    }
    Damaged {
        file: file.to_owned(),
        now,
        why: why.to_owned(),
    }
}

/// Removes what a killed process left half written.
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

/// The directory that a file is in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_any_other_byte_is_noticed() {
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
    fn what_is_half_written_is_swept() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(".unfinished-a1"), "x").unwrap();
        fs::write(directory.path().join("kept"), "x").unwrap();
        sweep(directory.path());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
