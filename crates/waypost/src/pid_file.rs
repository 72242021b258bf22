//! The file with the id of the process that serves.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::checksummed;

/// A file with this process's id.
#[derive(Debug)]
pub(crate) struct PidFile(PathBuf);

impl PidFile {
    /// Writes the file, in place of another process's.
    pub(crate) fn write(path: &Path) -> anyhow::Result<Self> {
        replace(path).with_context(|| format!("the pid file `{}` cannot be written", path.display()))?;
        Ok(Self(path.to_owned()))
    }

    /// Removes the file, unless another process has put its own id there.
    pub(crate) fn remove(self) {
        let is_own =
            fs::read_to_string(&self.0).is_ok_and(|text| text.trim() == std::process::id().to_string());
        if is_own {
            let _ = fs::remove_file(&self.0);
        }
    }
}

/// Replaces the file: a reader sees the old id or the new one.
fn replace(path: &Path) -> io::Result<()> {
    let mut file = tempfile::Builder::new()
        .prefix(".pid-")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(checksummed::directory_of(path))?;
    writeln!(file, "{}", std::process::id())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
