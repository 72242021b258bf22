//! Counters by status, written by one thread and readable by all.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use waypost_policy::status::RequestStatus;
use waypost_upstream::counters::Counter;

/// Slots in one node of [`Statuses`]. Few routes see more statuses.
const SLOTS: usize = 3;

/// Counters by status, as a linked list of nodes. The first request with a status takes a slot.
#[derive(Debug, Default)]
pub(crate) struct Statuses {
    /// The key of each slot's status; 0 if the slot is free. Key 0 itself is stored as [`NO_RESPONSE`].
    keys: [AtomicU16; SLOTS],
    counts: [Counter; SLOTS],
    next: OnceLock<Box<Statuses>>,
}

/// Stands for key 0, no response, which would look like a free slot.
const NO_RESPONSE: u16 = u16::MAX;

impl Statuses {
    /// Counts a request that ended with `status`.
    pub(crate) fn add(&self, status: RequestStatus) {
        let key = status.key();
        self.add_key(if key == 0 { NO_RESPONSE } else { key });
    }

    fn add_key(&self, key: u16) {
        for (slot, count) in self.keys.iter().zip(&self.counts) {
            let taken = slot.load(Ordering::Relaxed);
            if taken == 0 {
                count.add(1);
                // Release: a reader that sees the key also sees the count.
                slot.store(key, Ordering::Release);
                return;
            }
            if taken == key {
                return count.add(1);
            }
        }
        self.next.get_or_init(Box::default).add_key(key);
    }

    /// Returns true if nothing was counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys[0].load(Ordering::Relaxed) == 0
    }

    /// Visits the statuses counted so far, with their counts.
    pub(crate) fn visit(&self, mut visit: impl FnMut(RequestStatus, u64)) {
        let mut node = Some(self);
        while let Some(statuses) = node {
            for (slot, count) in statuses.keys.iter().zip(&statuses.counts) {
                match slot.load(Ordering::Acquire) {
                    0 => {}
                    NO_RESPONSE => visit(RequestStatus::default(), count.read()),
                    key => visit(RequestStatus::from_key(key), count.read()),
                }
            }
            node = statuses.next.get().map(|next| &**next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use waypost_wire::grpc::GrpcCode;

    #[test]
    fn every_status_has_its_own_count() {
        let statuses = Statuses::default();
        let call = RequestStatus::call(200, Some(GrpcCode::UNAVAILABLE));
        let http = (0..=999).chain([200, 200, 0]).map(RequestStatus::http);
        http.chain([call; 4]).for_each(|status| statuses.add(status));
        let mut all = Vec::new();
        statuses.visit(|status, count| all.push((status, count)));
        assert_eq!(all.len(), 1001);
        for (status, count) in all {
            let expected = match (status.http_status(), status.grpc_code()) {
                (200, Some(_)) => 4,
                (200, None) => 3,
                (0, None) => 2,
                _ => 1,
            };
            assert_eq!(count, expected, "{status:?}");
        }
    }
}
