//! Locks that a process has until its end, with its number in the locked file.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use crate::checksummed::{create_directory, directory_of};

/// Takes the lock of a file, if it is free.
pub(crate) fn take(path: &Path) -> Option<File> {
    create_directory(directory_of(path)).ok()?;
    let file = open(path)?;
    file.try_lock().ok()?;
    sign(&file);
    Some(file)
}

/// Waits for the lock of a file. Returns `None` if it cannot be had.
pub(crate) fn wait(path: &Path) -> Option<File> {
    let file = open(path)?;
    file.lock().ok()?;
    sign(&file);
    Some(file)
}

/// The process that has the lock, or had it last, as far as it says so.
pub(crate) fn of(path: &Path) -> Option<u32> {
    let text = fs::read_to_string(path).ok()?;
    text.parse().ok()
}

fn open(path: &Path) -> Option<File> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true).open(path).ok()
}

fn sign(mut file: &File) {
    // Without the number, a process that takes over from another one is believed to do so from this one.
    let _ = file
        .set_len(0)
        .and_then(|()| write!(file, "{}", std::process::id()));
}
