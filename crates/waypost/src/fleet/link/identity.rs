//! The id of this instance, which it keeps over restarts.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use aws_lc_rs::rand;
use waypost_fleet::key::{INSTANCE_CHARS_MAX, is_instance};

use crate::checksummed::{self, create_directory};
use crate::fleet::Arrival;

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
}

impl Identity {
    /// The identity that the state directory keeps. A second process there has another one, which is not kept, unless it
    /// takes over from the first: that one holds the lock to its end.
    pub(super) fn of(state: &Path, arrival: Arrival) -> Self {
        let file = state.join(FILE);
        let Some(lock) = lock(state) else {
            let is_successor = match arrival {
                Arrival::Own => false,
                // Earlier versions write no number.
                Arrival::Upgrade { from } => holder(state).is_none_or(|holder| holder == from),
            };
            let kept = kept(&file).filter(|_| is_successor);
            return Self {
                is_inherited: kept.is_some(),
                id: kept.unwrap_or_else(fresh),
                lock: None,
            };
        };
        let id = kept(&file).unwrap_or_else(|| {
            let id = fresh();
            keep(state, &id);
            id
        });
        Self {
            id,
            lock: Some(lock),
            is_inherited: false,
        }
    }
}

/// Has the state directory keep an id.
pub(super) fn keep(state: &Path, id: &str) {
    // Without it, the next start has another one.
    let _ = checksummed::write(&state.join(FILE), id.as_bytes());
}

/// The id in a file, if there is one.
fn kept(file: &Path) -> Option<String> {
    let kept = checksummed::read(file).ok().flatten()?;
    String::from_utf8(kept).ok().filter(|id| is_instance(id))
}

/// Takes the lock, if it is free.
pub(super) fn lock(state: &Path) -> Option<File> {
    create_directory(state).ok()?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(state.join(LOCK))
        .ok()?;
    file.try_lock().ok()?;
    let mut held = &file;
    // Without the number, a process that takes over from another one is believed to do so from this one.
    let _ = file
        .set_len(0)
        .and_then(|()| write!(held, "{}", std::process::id()));
    Some(file)
}

/// The process that has the lock, as far as it says so.
fn holder(state: &Path) -> Option<u32> {
    let text = fs::read_to_string(state.join(LOCK)).ok()?;
    text.parse().ok()
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
    use super::*;

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
