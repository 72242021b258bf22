//! Noticing changes of a file without reading it.

use std::fs;
use std::path::PathBuf;

/// Metadata of a file that changes with its content, cheap to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    path: PathBuf,
    /// `None` if there is no such file.
    file: Option<Metadata>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Metadata {
    device: u64,
    inode: u64,
    bytes: u64,
    /// The time of the last change of any kind, permissions included, in seconds and nanoseconds.
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of the file at `path` now.
    pub(super) fn of(path: PathBuf) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let file = fs::metadata(&path).ok().map(|metadata| Metadata {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        });
        Self { path, file }
    }

    /// The stamp of the same file now.
    pub(crate) fn again(&self) -> Self {
        Self::of(self.path.clone())
    }
}
