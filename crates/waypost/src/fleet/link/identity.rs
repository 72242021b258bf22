//! The id of this instance, which it keeps over restarts.

use std::fs::File;
use std::path::Path;

use aws_lc_rs::rand;
use waypost_fleet::key::{INSTANCE_CHARS_MAX, is_instance};

use crate::checksummed::{self, Damaged, ReadError};
use crate::fleet::{Arrival, holder};
use crate::log;

/// The name of the file with the id.
const FILE: &str = "instance";

/// The name of the file whose lock says which process has the id. It has the number of that process.
const LOCK: &str = "instance.lock";

/// An instance as a member of a fleet.
#[derive(Debug)]
pub(super) struct Identity {
    /// The host's name and random digits.
    pub(super) id: String,
    /// The lock of the id that the directory keeps; `None` if another process has it, or it cannot be kept.
    pub(super) lock: Option<File>,
    /// True if it is that of a process which has the lock until its end.
    pub(super) is_inherited: bool,
    /// The file with the id, if it was damaged: the instance is another one than before.
    pub(super) damaged: Option<Damaged>,
}

impl Identity {
    /// The identity that the state directory keeps. A second process there has another one, which is not kept, unless it
    /// takes over from the first: that one holds the lock to its end.
    pub(super) fn of(state: &Path, arrival: Arrival) -> Self {
        let file = state.join(FILE);
        let lock = lock(state);
        let is_inherited = lock.is_none()
            && match arrival {
                Arrival::Own => false,
                // Earlier versions write no number.
                Arrival::Upgrade { from } => holder(state).is_none_or(|holder| holder == from),
            };
        let owns = lock.is_some();
        let (kept, damaged) = match owns || is_inherited {
            true => kept(&file, owns),
            false => (None, None),
        };
        let is_inherited = is_inherited && kept.is_some();
        let id = kept.unwrap_or_else(|| {
            let id = fresh();
            if owns {
                keep(state, &id);
            }
            id
        });
        if let Some(Damaged { file, why, .. }) = &damaged {
            log::warn(format_args!(
                "`{}` is damaged: {why}; this instance is {id} from now on",
                file.display()
            ));
        }
        Self {
            id,
            lock,
            is_inherited,
            damaged,
        }
    }
}

/// Has the state directory keep an id.
pub(super) fn keep(state: &Path, id: &str) {
    // Without it, the next start has another one.
    let _ = checksummed::write(&state.join(FILE), id.as_bytes());
}

/// The id in a file, if there is one. A damaged file is set aside by who `owns` the directory.
fn kept(file: &Path, owns: bool) -> (Option<String>, Option<Damaged>) {
    let read = match checksummed::read(file) {
        Ok(None) => return (None, None),
        Ok(Some(body)) => String::from_utf8(body).ok().filter(|id| is_instance(id)),
        Err(ReadError::Damaged(why)) => return (None, Some(checksummed::set_aside(file, &why, owns))),
        Err(ReadError::Io(error)) => {
            log::warn(format_args!("`{}` cannot be read: {error}", file.display()));
            return (None, None);
        }
    };
    match read {
        Some(id) => (Some(id), None),
        None => (
            None,
            Some(checksummed::set_aside(file, "it has no id of an instance", owns)),
        ),
    }
}

/// Takes the lock, if it is free.
pub(super) fn lock(state: &Path) -> Option<File> {
    holder::take(&state.join(LOCK))
}

/// The process that has the lock, as far as it says so.
fn holder(state: &Path) -> Option<u32> {
    holder::of(&state.join(LOCK))
}

/// The longest part of a host's name in an id: a hyphen and eight digits follow.
const HOST_CHARS_MAX: usize = INSTANCE_CHARS_MAX - 9;

/// An id that no other instance has.
pub(super) fn fresh() -> String {
    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy();
    let host: String = host
        .chars()
        .filter(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '.' | '_'))
        .take(HOST_CHARS_MAX)
        .collect();
    let mut digits = [0_u8; 4];
    // Without random bytes, processes differ at least.
    if rand::fill(&mut digits).is_err() {
        digits = std::process::id().to_be_bytes();
    }
    format!("{host}-{:08x}", u32::from_be_bytes(digits))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn damaged_id_is_set_aside_by_its_owner_and_named() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path();
        let of = || Identity::of(state, Arrival::Own);
        let first = of();
        assert_eq!(first.damaged, None);
        fs::write(state.join(FILE), "damaged").unwrap();
        // It is the first one's, and not looked at by another one.
        assert_eq!(of().damaged, None);
        let upgrade = Arrival::Upgrade {
            from: std::process::id(),
        };
        let after = Identity::of(state, upgrade).damaged.unwrap();
        assert_eq!((&after.file, &after.now), (&state.join(FILE), &state.join(FILE)));
        let before = first.id.clone();
        drop(first);
        let second = of();
        assert_eq!(second.damaged.unwrap().now, state.join("instance.bad"));
        assert_ne!(second.id, before);
        drop(second.lock);
        checksummed::write(&state.join(FILE), b"no id").unwrap();
        assert_eq!(of().damaged.unwrap().why, "it has no id of an instance");
        assert_eq!(of().damaged, None);
    }

    #[test]
    fn an_id_is_kept_and_belongs_to_one_process() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let of = |arrival| Identity::of(&state, arrival);
        let first = of(Arrival::Own);
        let beside = of(Arrival::Own);
        assert!(is_instance(&first.id) && is_instance(&beside.id));
        assert_ne!(first.id, beside.id);
        assert!(first.lock.is_some() && beside.lock.is_none());
        let upgrade = |from| of(Arrival::Upgrade { from });
        let after = upgrade(std::process::id());
        assert_eq!((&after.id, after.lock.is_some()), (&first.id, false));
        assert!(after.is_inherited && !beside.is_inherited);
        // Who takes over from the second has its own too, and waits for no one.
        let other = upgrade(std::process::id() + 1);
        assert!(!other.is_inherited && other.id != first.id && other.lock.is_none());
        // Where nothing says which process is the first, it is the one.
        fs::write(state.join(LOCK), "").unwrap();
        assert_eq!(upgrade(std::process::id() + 1).id, first.id);
        let id = first.id.clone();
        drop(first);
        assert_eq!(of(Arrival::Own).id, id);
        std::fs::write(state.join(FILE), "damaged").unwrap();
        assert!(is_instance(&of(Arrival::Upgrade { from: 1 }).id));
    }
}
