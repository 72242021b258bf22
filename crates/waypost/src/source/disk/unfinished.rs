//! Temporary files that become files of a config by a rename.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::checksummed::{directory_of, free_name};

/// Prefix of a temporary file's name; the name of the config follows. The loader skips it, as it skips all dot files.
const UNFINISHED: &str = ".waypost-unfinished-";
/// The age from which a temporary file belongs to no running gateway.
const ABANDONED_AGE: Duration = Duration::from_secs(60);

/// The prefix of the names of a config's temporary files.
pub(super) fn prefix(config: &Path) -> String {
    let name = config.file_name().unwrap_or(config.as_os_str());
    format!("{UNFINISHED}{}-", name.to_string_lossy())
}

/// Writes and syncs a temporary file beside `target`, with the permissions of `target`.
pub(super) fn written_beside(target: &Path, text: &[u8], prefix: &str) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix(prefix)
        .tempfile_in(directory_of(target))?;
    file.write_all(text)?;
    let permissions = match fs::metadata(target) {
        Ok(metadata) => {
            // Its readers can still read it. A change of owner may be forbidden; that is no reason to fail.
            let owner = (Some(metadata.uid()), Some(metadata.gid()));
            let _ = std::os::unix::fs::chown(file.path(), owner.0, owner.1);
            metadata.permissions()
        }
        Err(_) => fs::Permissions::from_mode(0o644),
    };
    file.as_file().set_permissions(permissions)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Removes temporary files that a killed process left in `directory`. Without ownership of the config, only old ones:
/// another gateway may be about to rename the others.
pub(super) fn sweep(directory: &Path, prefix: &str, owned: bool) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let is_abandoned = || {
            let metadata = entry.metadata().ok()?;
            Some(metadata.modified().ok()?.elapsed().ok()? > ABANDONED_AGE)
        };
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(prefix.as_bytes())
            && (owned || is_abandoned() == Some(true))
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Suffix of a copy of a text that was replaced without ever having been active.
const UNAPPLIED: &str = ".unapplied";

/// Copies a file to a free name beside it.
pub(super) fn keep_beside(path: &Path) -> io::Result<PathBuf> {
    let beside = free_name(path, UNAPPLIED);
    fs::copy(path, &beside)?;
    File::open(&beside)?.sync_all()?;
    Ok(beside)
}
