//! A route that is kept by the second, with its arms.

use std::sync::Arc;

use super::ring::{Buckets, Ring, Span, Tally, no_buckets};
use super::{Change, DURATIONS_BYTES, bucket_of_ms};

/// A route that is kept by the second.
#[derive(Debug)]
pub(super) struct Fine {
    pub(super) ring: Ring,
    pub(super) arms: Vec<Arm>,
    /// The memory of the durations of a ring, if they are kept.
    durations: Option<usize>,
}

/// An arm of a route that is kept by the second.
#[derive(Debug)]
pub(super) struct Arm {
    pub(super) service: Arc<str>,
    /// The durations so far; `None` if they were not read yet.
    durations: Option<Buckets>,
    /// Its figures; those of its route as long as it is the only one.
    pub(super) ring: Option<Ring>,
}

impl Fine {
    /// The memory of a ring, with what belongs to it.
    pub(super) const BYTES_OF_RING: usize = Ring::BYTES
        + size_of::<Self>()
        + size_of::<Arm>()
        + size_of::<[u32; waypost_upstream::histogram::BUCKETS]>();

    pub(super) fn new(since: u64, durations: Option<usize>) -> Self {
        Self {
            ring: Ring::new(since).keeping(durations),
            arms: Vec::new(),
            durations,
        }
    }

    pub(super) fn keep_durations(&mut self) {
        self.durations = Some(DURATIONS_BYTES);
        let arms = self.arms.iter_mut().filter_map(|arm| arm.ring.as_mut());
        for ring in arms.chain([&mut self.ring]) {
            ring.keep_durations(DURATIONS_BYTES);
        }
    }

    /// The memory of durations that are kept.
    pub(super) fn durations_bytes(&self) -> usize {
        let arms = self.arms.iter().filter_map(|arm| arm.ring.as_ref());
        arms.chain([&self.ring]).map(Ring::durations_bytes).sum()
    }

    pub(super) fn rings(&self) -> usize {
        1 + self.arms.iter().filter(|arm| arm.ring.is_some()).count()
    }

    /// Adds the arms that are new, and rings for them, of which there may be `room`. Returns the number of new rings.
    pub(super) fn add_arms(&mut self, changes: &[impl Change], room: usize) -> usize {
        let before = self.rings();
        for change in changes {
            if self.arms.iter().any(|arm| arm.service == *change.service()) {
                continue;
            }
            let free = room - (self.rings() - before).min(room);
            let ring = match self.arms.len() {
                0 => None,
                1 => {
                    // The figures so far are those of the first arm.
                    if free < 2 {
                        continue;
                    }
                    self.arms[0].ring = Some(self.ring.clone());
                    Some(Ring::new(self.ring.since()).keeping(self.durations))
                }
                _ if free == 0 => continue,
                _ => Some(Ring::new(self.ring.since()).keeping(self.durations)),
            };
            self.arms.push(Arm {
                service: Arc::clone(change.service()),
                durations: None,
                ring,
            });
        }
        self.rings() - before
    }

    /// Records the change of an arm, and returns it in `tally`.
    pub(super) fn record(&mut self, span: Span, change: &impl Change, tally: &mut Tally) {
        let arm = self.arms.iter_mut().find(|arm| arm.service == *change.service());
        let Some(arm) = arm else {
            return add_by_mean(tally, change);
        };
        let mut sums = Vec::new();
        change.add_durations_to(&mut sums);
        if change.is_first() {
            arm.durations = Some(no_buckets());
        }
        match &mut arm.durations {
            Some(before) => {
                tally.requests += change.requests();
                tally.failures += change.failures();
                tally.refused += change.refused();
                for ((sum, before), now) in tally.durations.iter_mut().zip(before.iter_mut()).zip(sums) {
                    let now = now as u32;
                    *sum = now.wrapping_sub(std::mem::replace(before, now));
                }
            }
            None => {
                add_by_mean(tally, change);
                let mut before = no_buckets();
                before
                    .iter_mut()
                    .zip(sums)
                    .for_each(|(before, sum)| *before = sum as u32);
                arm.durations = Some(before);
            }
        }
        if let Some(ring) = &mut arm.ring {
            ring.add(span, tally);
        }
    }
}

/// Adds a change whose durations are not read one by one: all of them are taken for their mean.
pub(super) fn add_by_mean(tally: &mut Tally, change: &impl Change) {
    let requests = change.requests();
    tally.requests += requests;
    tally.failures += change.failures();
    tally.refused += change.refused();
    if requests > 0 {
        let mean_ms = change.sum_us() as f64 / requests as f64 / 1000.0;
        let sum = &mut tally.durations[usize::from(bucket_of_ms(mean_ms))];
        *sum = sum.saturating_add(requests as u32);
    }
}
