//! A page of a table of buckets: slots in one allocation, searched from the place that a key's fingerprint names.

use crate::rate::gcra::{Exact, Pace};

/// Slots of a new page.
const SLOTS_MIN: usize = 8;

/// Slots that are looked at for the oldest bucket, and more if all of them are over their limits.
const SAMPLE: usize = 64;

/// Slots that are looked at, at most.
const SAMPLE_MAX: usize = 512;

/// A bucket with the fingerprint of its key; one of fingerprint 0 is free.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Slot {
    fingerprint: u64,
    nanos: u64,
    parts: u32,
    /// The limit, by position.
    limit: u8,
}

/// The bytes of a slot.
pub(crate) const SLOT_BYTES: usize = size_of::<Slot>();

impl Slot {
    fn new(fingerprint: u64, limit: u8, bucket: Exact) -> Self {
        Self {
            fingerprint,
            nanos: bucket.nanos,
            parts: bucket.parts,
            limit,
        }
    }

    fn is_free(&self) -> bool {
        self.fingerprint == 0
    }

    fn bucket(&self) -> Exact {
        Exact {
            nanos: self.nanos,
            parts: self.parts,
        }
    }
}

/// Slots, of which a key's is found by linear probing. Their number is a power of two, or 0.
#[derive(Debug, Default)]
pub(crate) struct Page {
    slots: Box<[Slot]>,
    taken: usize,
    /// The slot that is swept next.
    hand: usize,
}

impl Page {
    /// The bytes of its slots.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.len() * SLOT_BYTES
    }

    /// The number of its slots.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The position of the bucket of a key, if it is kept.
    #[inline]
    pub(crate) fn find(&self, fingerprint: u64) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = fingerprint as usize & mask;
        // A quarter of the slots is free at least.
        loop {
            let slot = &self.slots[at];
            if slot.fingerprint == fingerprint {
                return Some(at);
            }
            if slot.is_free() {
                return None;
            }
            at = (at + 1) & mask;
        }
    }

    /// The bucket at a position.
    #[inline]
    pub(crate) fn bucket(&self, at: usize) -> Exact {
        self.slots[at].bucket()
    }

    /// Replaces the bucket at a position.
    #[inline]
    pub(crate) fn set(&mut self, at: usize, bucket: Exact) {
        let slot = &mut self.slots[at];
        slot.nanos = bucket.nanos;
        slot.parts = bucket.parts;
    }

    /// Returns true if one more bucket makes the page grow.
    pub(crate) fn is_full(&self) -> bool {
        self.taken >= self.slots.len() - self.slots.len() / 4
    }

    /// Adds the bucket of a key that has none.
    pub(crate) fn insert(&mut self, fingerprint: u64, limit: u8, bucket: Exact) {
        if self.is_full() {
            self.grow();
        }
        self.put(Slot::new(fingerprint, limit, bucket));
    }

    /// Makes room for as many more.
    pub(crate) fn grow(&mut self) {
        self.resize((self.slots.len() * 2).max(SLOTS_MIN));
    }

    fn put(&mut self, slot: Slot) {
        let mask = self.slots.len() - 1;
        let mut at = slot.fingerprint as usize & mask;
        while !self.slots[at].is_free() {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
        self.taken += 1;
    }

    fn resize(&mut self, slots: usize) {
        let before = std::mem::replace(&mut self.slots, vec![Slot::default(); slots].into());
        self.taken = 0;
        self.hand = 0;
        for slot in before.iter().filter(|slot| !slot.is_free()) {
            self.put(*slot);
        }
    }

    /// Takes all buckets out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (u64, u8, Exact)> {
        let slots = std::mem::take(self).slots.into_iter();
        slots
            .filter(|slot| !slot.is_free())
            .map(|slot| (slot.fingerprint, slot.limit, slot.bucket()))
    }

    /// Removes the bucket at a position, and moves those behind it up that would not be found otherwise.
    pub(crate) fn remove(&mut self, at: usize) {
        let mask = self.slots.len() - 1;
        let mut free = at;
        let mut next = (at + 1) & mask;
        while !self.slots[next].is_free() {
            let home = self.slots[next].fingerprint as usize & mask;
            // The slot may move up unless its home lies between the free one and itself.
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(free) & mask {
                self.slots[free] = self.slots[next];
                free = next;
            }
            next = (next + 1) & mask;
        }
        self.slots[free] = Slot::default();
        self.taken -= 1;
    }

    /// Looks at the next `count` slots and removes the buckets at rest among them. Returns how many.
    pub(crate) fn sweep(&mut self, count: usize, now: u64) -> usize {
        let before = self.taken;
        for _ in 0..count.min(self.slots.len()) {
            self.hand &= self.slots.len() - 1;
            let slot = &self.slots[self.hand];
            if !slot.is_free() && Pace::is_at_rest(slot.bucket(), now) {
                // Another may have moved up into its place.
                self.remove(self.hand);
            } else {
                self.hand += 1;
            }
        }
        before - self.taken
    }

    /// Returns memory that the page has no use for.
    pub(crate) fn shrink(&mut self) {
        if self.taken == 0 {
            *self = Self::default();
        } else if self.slots.len() > SLOTS_MIN && self.taken <= self.slots.len() / 8 {
            self.resize((self.taken * 2).next_power_of_two().max(SLOTS_MIN));
        }
    }

    /// The position of the oldest bucket near the place of a key, by the time at which it would be at rest; never of one that
    /// is used up.
    pub(crate) fn oldest(&self, fingerprint: u64, paces: &[Pace], now: u64) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut oldest: Option<(Exact, usize)> = None;
        for step in 0..self.slots.len().min(SAMPLE_MAX) {
            if step >= SAMPLE && oldest.is_some() {
                break;
            }
            let at = (fingerprint as usize).wrapping_add(step) & mask;
            let slot = &self.slots[at];
            let bucket = slot.bucket();
            let is_older = oldest.is_none_or(|(oldest, _)| bucket < oldest);
            let pace = paces.get(usize::from(slot.limit));
            if !slot.is_free() && is_older && pace.is_some_and(|pace| !pace.is_used_up(bucket, now)) {
                oldest = Some((bucket, at));
            }
        }
        oldest.map(|(_, at)| at)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn at(nanos: u64) -> Exact {
        Exact { nanos, parts: 0 }
    }

    proptest! {
        #[test]
        fn a_page_keeps_what_a_map_does(
            // Few homes, so that runs grow long and wrap around.
            steps in prop::collection::vec((0..4_u8, 0..40_u64, 1..100_u64), 1..400),
        ) {
            let (mut page, mut map) = (Page::default(), HashMap::new());
            for (step, key, nanos) in steps {
                let fingerprint = (key << 16) | (key % 5) | 6;
                match (step, page.find(fingerprint)) {
                    (0 | 1, None) => {
                        page.insert(fingerprint, 0, at(nanos));
                        map.insert(fingerprint, nanos);
                    }
                    (0 | 1, Some(slot)) => {
                        page.set(slot, at(nanos));
                        map.insert(fingerprint, nanos);
                    }
                    (2, _) => {
                        let removed = page.sweep(page.slots(), nanos / 2);
                        let before = map.len();
                        map.retain(|key, nanos| page.find(*key).is_some() || *nanos > 50);
                        prop_assert_eq!(removed, before - map.len());
                    }
                    (_, Some(slot)) => {
                        page.remove(slot);
                        map.remove(&fingerprint);
                    }
                    (_, None) => page.shrink(),
                }
                prop_assert_eq!(page.taken, map.len());
                for (key, nanos) in &map {
                    let found = page.find(*key).map(|slot| page.bucket(slot));
                    prop_assert_eq!(found, Some(at(*nanos)));
                }
            }
        }
    }

    #[test]
    fn a_slot_is_three_words() {
        assert_eq!(SLOT_BYTES, 24);
    }

    #[test]
    fn a_full_sweep_removes_every_bucket_at_rest() {
        let mut page = Page::default();
        (1..=100).for_each(|key| page.insert(key * 7919, 0, at(key)));
        let mut removed = 0;
        // A slot is looked at again where another moved up into it.
        while page.taken > 50 {
            removed += page.sweep(page.slots(), 50);
        }
        assert_eq!(removed, 50);
        assert!((51..=100).all(|key| page.find(key * 7919).is_some()));
        assert_eq!(page.sweep(page.slots() * 2, 50), 0);
        page.shrink();
        assert_eq!(page.taken, 50);
        while page.taken > 0 {
            page.sweep(page.slots(), 100);
        }
        page.shrink();
        assert_eq!(page.bytes(), 0);
    }
}
