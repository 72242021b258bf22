//! Counts by status, which one thread writes and any may read.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use waypost_upstream::counters::Counter;

/// How many slots a link of [`Statuses`] has. Few routes see more statuses.
const LINK: usize = 3;

/// Counts by status. A slot is taken by the first answer of its status.
#[derive(Debug, Default)]
pub(crate) struct Statuses {
    /// 0 in a slot that is free. No status is 0 here: see [`Statuses::add`].
    statuses: [AtomicU16; LINK],
    counts: [Counter; LINK],
    next: OnceLock<Box<Statuses>>,
}

/// Stands for status 0, no answer at all, which would look like a free slot.
const NO_RESPONSE: u16 = u16::MAX;

impl Statuses {
    /// Counts an answer; status 0 is a request that got none.
    pub(crate) fn add(&self, status: u16) {
        let status = if status == 0 { NO_RESPONSE } else { status };
        for (slot, count) in self.statuses.iter().zip(&self.counts) {
            let taken = slot.load(Ordering::Relaxed);
            if taken == 0 {
                count.add(1);
                // Whoever sees the status sees the count as well.
                slot.store(status, Ordering::Release);
                return;
            }
            if taken == status {
                return count.add(1);
            }
        }
        self.next.get_or_init(Box::default).add(status);
    }

    /// Whether nothing has been counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.statuses[0].load(Ordering::Relaxed) == 0
    }

    /// All statuses seen so far, with their counts.
    pub(crate) fn read(&self) -> Vec<(u16, u64)> {
        let mut all = Vec::new();
        let mut link = Some(self);
        while let Some(statuses) = link {
            for (slot, count) in statuses.statuses.iter().zip(&statuses.counts) {
                match slot.load(Ordering::Acquire) {
                    0 => {}
                    NO_RESPONSE => all.push((0, count.read())),
                    status => all.push((status, count.read())),
                }
            }
            link = statuses.next.get().map(|next| &**next);
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
