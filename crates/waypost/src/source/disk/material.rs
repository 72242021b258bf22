//! Reading files that a config names, such as certificates and keys.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::stamp::Stamp;

/// The size limit of one file.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The path of the file `name`: relative to `directory`, or else to the working directory if only that has it.
pub(super) fn locate(directory: &Path, name: &str) -> PathBuf {
    let beside = directory.join(name);
    if beside.exists() || !Path::new(name).exists() {
        beside
    } else {
        PathBuf::from(name)
    }
}

/// Reads the file `name`. The stamp is as old as the text or older, so a change in between is noticed.
pub(super) fn read(directory: &Path, name: &str) -> (Stamp, io::Result<Vec<u8>>) {
    let path = locate(directory, name);
    (Stamp::of(path.clone()), read_file(&path))
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // Opening a pipe would wait for a writer.
    let no_wait = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(no_wait).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("it is larger than 4 MiB"));
    }
    Ok(text)
}
