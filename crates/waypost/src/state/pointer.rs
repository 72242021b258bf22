//! The place of an instance's state where the config of its fleet says it: a start without etcd finds it by this.
//!
//! It lies in the default directory, which an instance has before it knows the config. Several instances may have the same one:
//! the file is that of the process that has its lock, and the others do without.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;

use crate::checksummed;
use crate::fleet::{Arrival, holder};
use crate::log;

/// The name of the file.
const FILE: &str = "fleet-state";

/// The name of the file whose lock says which process it is of.
const LOCK: &str = "fleet-state.lock";

/// A file that names a state directory, for one fleet.
#[derive(Debug)]
pub(crate) struct Pointer<'a> {
    file: PathBuf,
    prefix: &'a str,
    /// The right to it; `None` if it is another process's.
    claim: Option<Claim>,
}

/// The right to the file, which ends with the process.
#[derive(Debug)]
pub(crate) enum Claim {
    /// The lock.
    Held(#[expect(dead_code, reason = "it is held")] File),
    /// It is that of the process which this one takes over from, and gets the lock at its end.
    Inherited,
}

impl Claim {
    fn of(home: &Path, arrival: Arrival) -> Option<Self> {
        let path = home.join(LOCK);
        if let Some(lock) = holder::take(&path) {
            return Some(Self::Held(lock));
        }
        let is_successor = match arrival {
            Arrival::Own => false,
            Arrival::Upgrade { from } => holder::of(&path) == Some(from),
        };
        if !is_successor {
            return None;
        }
        let wait = move || {
            let _lock = holder::wait(&path);
            loop {
                thread::park();
            }
        };
        // Without it, the next process in this directory takes it.
        let _ = thread::Builder::new().name("fleet-state".to_owned()).spawn(wait);
        Some(Self::Inherited)
    }
}

impl<'a> Pointer<'a> {
    /// The one in the default directory, for the fleet under this prefix.
    pub(crate) fn new(home: &Path, prefix: &'a str, arrival: Arrival) -> Self {
        Self {
            file: home.join(FILE),
            prefix,
            claim: Claim::of(home, arrival),
        }
    }

    /// Returns true if it is this process's.
    pub(crate) fn is_ours(&self) -> bool {
        self.claim.is_some()
    }

    /// The right to it, to be kept until the end.
    pub(crate) fn into_claim(self) -> Option<Claim> {
        self.claim
    }

    /// The directory that it names, if it is this process's.
    pub(crate) fn read(&self) -> Option<PathBuf> {
        self.claim.as_ref()?;
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
        if !self.is_ours() {
            if directory.is_some() {
                log::warn(format_args!(
                    "`{}` is in use by another process, or cannot be locked, so a start without etcd does not know where the \
                     state is; hint: give `state` in a local file",
                    self.file.display()
                ));
            }
            return;
        }
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
        let new = |prefix| Pointer::new(&home, prefix, Arrival::Own);
        let pointer = new("/w");
        assert_eq!(pointer.read(), None);
        pointer.write(None);
        assert!(!pointer.file.exists());
        let named = Path::new("/var/lib/waypost");
        pointer.write(Some(named));
        assert_eq!(pointer.read().as_deref(), Some(named));
        drop(pointer);
        assert_eq!(new("/v").read(), None);
        let pointer = new("/w");
        assert_eq!(pointer.read().as_deref(), Some(named));
        pointer.write(None);
        assert_eq!((pointer.read(), pointer.file.exists()), (None, false));
        fs::write(&pointer.file, "damaged").unwrap();
        assert_eq!(pointer.read(), None);
        pointer.write(Some(named));
        assert_eq!(pointer.read().as_deref(), Some(named));
    }

    #[test]
    fn it_is_of_one_process() {
        let directory = tempfile::tempdir().unwrap();
        let (home, named) = (directory.path(), Path::new("/var/lib/waypost"));
        let of = |arrival| Pointer::new(home, "/w", arrival);
        let first = of(Arrival::Own);
        first.write(Some(named));
        let second = of(Arrival::Own);
        assert!(!second.is_ours());
        assert_eq!(second.read(), None);
        second.write(Some(Path::new("/elsewhere")));
        second.write(None);
        assert_eq!(first.read().as_deref(), Some(named));
        let own = std::process::id();
        let stranger = of(Arrival::Upgrade { from: own + 1 });
        assert_eq!(stranger.read(), None);
        let successor = of(Arrival::Upgrade { from: own });
        assert_eq!(successor.read().as_deref(), Some(named));
    }
}
