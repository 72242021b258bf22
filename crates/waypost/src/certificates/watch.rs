//! Watching certificate files for changes, by polling.

use std::sync::Arc;
use std::time::{Duration, Instant};

use waypost_plan::acme::Acme;

use super::acme_files::AcmeFiles;
use crate::source::disk::stamp::Stamp;

/// The delay after which files are read although they keep changing.
const UNSETTLED_MAX: Duration = Duration::from_secs(1);

/// The files of a plan, as they were when they were read.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    stamps: Vec<Stamp>,
    /// The errors of files whose last good version is in use.
    stale: Vec<String>,
    /// The certificates that authorities issue for the plan, with what their files said.
    acme: Vec<(Arc<Acme>, AcmeFiles)>,
    /// The version of what has been issued, as it was before the reading.
    issued: u64,
    /// The time of the first change that has not been read yet.
    unsettled_since: Option<Instant>,
}

impl Watch {
    /// No files, beside what has been issued up to this version.
    pub(super) fn of(issued: u64) -> Self {
        Self {
            issued,
            ..Self::default()
        }
    }

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

    pub(super) fn add_acme(&mut self, acme: &Arc<Acme>, files: AcmeFiles) {
        // Listeners share certificates.
        if !self.acme.iter().any(|(known, _)| known == acme) {
            self.acme.push((Arc::clone(acme), files));
        }
    }

    /// The certificates that authorities issue for the plan, each once.
    pub(super) fn acme(&self) -> &[(Arc<Acme>, AcmeFiles)] {
        &self.acme
    }

    /// The errors of files whose last good version is in use.
    pub(super) fn stale(&self) -> &[String] {
        &self.stale
    }

    /// Returns true if there is nothing to poll.
    pub(super) fn is_empty(&self) -> bool {
        self.stamps.is_empty() && self.acme.is_empty()
    }

    /// Polls the files, and the version of what has been `issued`. Returns true if a file has changed and none did since
    /// the last poll, if changes go on for too long, or if a certificate was issued.
    pub(super) fn poll(&mut self, issued: u64) -> bool {
        if issued != self.issued && !self.acme.is_empty() {
            return true;
        }
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
        assert!(!watch.poll(0), "no change");
        std::fs::write(&file, "12").unwrap();
        assert!(!watch.poll(0), "changed since the last poll");
        assert!(watch.poll(0));
        assert!(!watch.poll(0), "reported already");
        std::fs::remove_file(&file).unwrap();
        assert!(!watch.poll(0));
        assert!(watch.poll(0), "a removal is a change");
    }
    #[test]
    fn certificate_that_was_issued_is_due_at_once() {
        let mut watch = Watch::of(1);
        assert!(!watch.poll(2), "the plan wants none");
        let acme = Acme {
            email: None,
            directory: "https://ca.test/".into(),
            hosts: vec!["a.test".into()],
            eab: None,
            ca: None,
        };
        for _ in 0..2 {
            watch.add_acme(&Arc::new(acme.clone()), AcmeFiles::default());
        }
        assert_eq!(watch.acme().len(), 1);
        assert!(!watch.is_empty());
        assert!(!watch.poll(1));
        assert!(watch.poll(2));
    }
}
