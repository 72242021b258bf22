//! Reading files that a config names, such as certificates and keys.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::stamp::Stamp;

/// The size limit of most files.
pub(crate) const FILE_BYTES_MAX: u64 = 4 << 20;

/// The path of the file `name`: relative to `directory`, or else to the working directory if only that has it.
pub(crate) fn locate(directory: &Path, name: &str) -> PathBuf {
    let beside = directory.join(name);
    if beside.exists() || !Path::new(name).exists() {
        beside
    } else {
        PathBuf::from(name)
    }
}

/// Reads the file `name`, of at most `bytes_max`. The stamp is as old as the text or older, so a change in between is noticed.
pub(crate) fn read(directory: &Path, name: &str, bytes_max: u64) -> (Stamp, io::Result<Vec<u8>>) {
    let path = locate(directory, name);
    (Stamp::of(path.clone()), read_file(&path, bytes_max))
}

fn read_file(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // Opening a pipe would wait for a writer.
    let no_wait = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(no_wait).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut text)?;
    if text.len() as u64 > bytes_max {
        let message = format!("it is larger than {} MiB", bytes_max >> 20);
        return Err(io::Error::other(message));
    }
    Ok(text)
}
