//! Watching certificate files for changes, by polling.

use std::time::{Duration, Instant};

use crate::source::disk::stamp::Stamp;

/// The delay after which files are read although they keep changing.
const UNSETTLED_MAX: Duration = Duration::from_secs(1);

/// The files of a plan, as they were when they were read.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    stamps: Vec<Stamp>,
    /// The errors of files whose last good version is in use.
    stale: Vec<String>,
    /// The time of the first change that has not been read yet.
    unsettled_since: Option<Instant>,
}

impl Watch {
    pub(super) fn add(&mut self, stamp: Stamp) {
        if !self.stamps.contains(&stamp) {
            self.stamps.push(stamp);
        }
    }

    pub(super) fn add_stale(&mut self, message: String) {
        if !self.stale.contains(&message) {
            self.stale.push(message);
        }
    }

    /// The errors of files whose last good version is in use.
    pub(super) fn stale(&self) -> &[String] {
        &self.stale
    }

    /// Returns true if there are no files to poll.
    pub(super) fn is_empty(&self) -> bool {
        self.stamps.is_empty()
    }

    /// Polls the files. Returns true if one has changed and none did since the last poll, or if changes go on for too
    /// long.
    pub(super) fn poll(&mut self) -> bool {
        let now: Vec<Stamp> = self.stamps.iter().map(Stamp::again).collect();
        if now != self.stamps {
            self.stamps = now;
            let since = *self.unsettled_since.get_or_insert_with(Instant::now);
            if since.elapsed() < UNSETTLED_MAX {
                return false;
            }
        }
        self.unsettled_since.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    #[test]
    fn change_is_due_once_the_files_are_quiet() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.crt");
        std::fs::write(&file, "1").unwrap();
        let mut watch = Watch::default();
        assert!(watch.is_empty());
        let (stamp, text) = Source::at(directory.path()).read_material("a.crt");
        assert_eq!(text.unwrap(), b"1");
        watch.add(stamp.clone());
        watch.add(stamp);
        assert_eq!(watch.stamps.len(), 1);
        assert!(!watch.poll(), "no change");
        std::fs::write(&file, "12").unwrap();
        assert!(!watch.poll(), "changed since the last poll");
        assert!(watch.poll());
        assert!(!watch.poll(), "reported already");
        std::fs::remove_file(&file).unwrap();
        assert!(!watch.poll());
        assert!(watch.poll(), "a removal is a change");
    }
}
