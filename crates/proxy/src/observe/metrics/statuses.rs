//! Counters by status, written by one thread and readable by all.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use waypost_upstream::counters::Counter;

/// Slots in one node of [`Statuses`]. Few routes see more statuses.
const SLOTS: usize = 3;

/// Counters by status, as a linked list of nodes. The first response with a status takes a slot.
#[derive(Debug, Default)]
pub(crate) struct Statuses {
    /// The status of each slot; 0 if it is free. Status 0 itself is stored as [`NO_RESPONSE`].
    statuses: [AtomicU16; SLOTS],
    counts: [Counter; SLOTS],
    next: OnceLock<Box<Statuses>>,
}

/// Stands for status 0, no response, which would look like a free slot.
const NO_RESPONSE: u16 = u16::MAX;

impl Statuses {
    /// Counts a response; status 0 is a request without one.
    pub(crate) fn add(&self, status: u16) {
        let status = if status == 0 { NO_RESPONSE } else { status };
        for (slot, count) in self.statuses.iter().zip(&self.counts) {
            let taken = slot.load(Ordering::Relaxed);
            if taken == 0 {
                count.add(1);
                // Release: a reader that sees the status also sees the count.
                slot.store(status, Ordering::Release);
                return;
            }
            if taken == status {
                return count.add(1);
            }
        }
        self.next.get_or_init(Box::default).add(status);
    }

    /// Returns true if nothing was counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.statuses[0].load(Ordering::Relaxed) == 0
    }

    /// The statuses counted so far, with their counts.
    pub(crate) fn read(&self) -> Vec<(u16, u64)> {
        let mut all = Vec::new();
        let mut node = Some(self);
        while let Some(statuses) = node {
            for (slot, count) in statuses.statuses.iter().zip(&statuses.counts) {
                match slot.load(Ordering::Acquire) {
                    0 => {}
                    NO_RESPONSE => all.push((0, count.read())),
                    status => all.push((status, count.read())),
                }
            }
            node = statuses.next.get().map(|next| &**next);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_own_count() {
        let statuses = Statuses::default();
        for status in (0..=999).chain([200, 200, 0]) {
            statuses.add(status);
        }
        let all = statuses.read();
        assert_eq!(all.len(), 1000);
        for (status, count) in all {
            let expected = match status {
                200 => 3,
                0 => 2,
                _ => 1,
            };
            assert_eq!(count, expected, "{status}");
        }
    }
}
