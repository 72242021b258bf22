//! The place of an instance's state where the config of its fleet says it: a start without etcd finds it by this.
//!
//! It lies in the default directory, which an instance has before it knows the config.

use std::fs;
use std::path::{Path, PathBuf};

use crate::checksummed;
use crate::log;

/// The name of the file.
const FILE: &str = "fleet-state";

/// A file that names a state directory, for one fleet.
#[derive(Debug)]
pub(crate) struct Pointer<'a> {
    file: PathBuf,
    prefix: &'a str,
}

impl<'a> Pointer<'a> {
    /// The one in the default directory, for the fleet under this prefix.
    pub(crate) fn new(home: &Path, prefix: &'a str) -> Self {
        Self {
            file: home.join(FILE),
            prefix,
        }
    }

    /// The directory that it names.
    pub(crate) fn read(&self) -> Option<PathBuf> {
        let text = match checksummed::read(&self.file) {
            Ok(text) => String::from_utf8(text?).ok()?,
            Err(error) => {
                log::warn(format_args!(
                    "`{}` cannot be read, so it is not known where the state is until etcd has said it: {error}",
                    self.file.display()
                ));
                return None;
            }
        };
        let (prefix, directory) = text.split_once('\n')?;
        (prefix == self.prefix).then(|| PathBuf::from(directory))
    }

    /// Has it name this directory, or none.
    pub(crate) fn write(&self, directory: Option<&Path>) {
        if self.read().as_deref() == directory {
            return;
        }
        let written = match directory {
            Some(directory) => {
                let text = format!("{}\n{}", self.prefix, directory.display());
                let parent = checksummed::directory_of(&self.file);
                checksummed::create_directory(parent)
                    .and_then(|()| checksummed::write(&self.file, text.as_bytes()))
            }
            None => fs::remove_file(&self.file),
        };
        if let Err(error) = written {
            log::warn(format_args!(
                "`{}` cannot be written, so a start without etcd does not know where the state is: {error}; hint: give `state` in a \
                 local file",
                self.file.display()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_named_for_one_fleet() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("home");
        let pointer = Pointer::new(&home, "/w");
        assert_eq!(pointer.read(), None);
        pointer.write(None);
        assert!(!home.exists());
        let named = Path::new("/var/lib/waypost");
        pointer.write(Some(named));
        assert_eq!(pointer.read().as_deref(), Some(named));
        assert_eq!(Pointer::new(&home, "/v").read(), None);
        pointer.write(None);
        assert_eq!((pointer.read(), pointer.file.exists()), (None, false));
        fs::write(&pointer.file, "damaged").unwrap();
        assert_eq!(pointer.read(), None);
        pointer.write(Some(named));
        assert_eq!(pointer.read().as_deref(), Some(named));
    }
}
