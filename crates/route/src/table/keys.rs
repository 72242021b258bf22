//! A compact map from (number, bytes) to a number, with lookup by slices of a request.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::table::TableError;

/// All keys are in one buffer, so 100,000 of them take three allocations.
#[derive(Debug, Default)]
pub(super) struct Keys {
    hasher: DefaultHashBuilder,
    slots: HashTable<Slot>,
    text: Vec<u8>,
}

/// `text[start..start + len]` is in bounds.
#[derive(Debug, Clone, Copy)]
struct Slot {
    scope: u32,
    start: u32,
    len: u32,
    value: u32,
}

impl Keys {
    pub(super) fn find(&self, scope: u32, key: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one((scope, key));
        let slot = self
            .slots
            .find(hash, |slot| slot.scope == scope && slot.key(&self.text) == key)?;
        Some(slot.value)
    }

    /// Adds a new key.
    ///
    /// # Errors
    /// If the keys outgrow 4 GiB.
    pub(super) fn insert(&mut self, scope: u32, key: &[u8], value: u32) -> Result<(), TableError> {
        let start = u32::try_from(self.text.len()).map_err(|_| TableError::TooLarge)?;
        let len = u32::try_from(key.len()).map_err(|_| TableError::TooLarge)?;
        let hash = self.hasher.hash_one((scope, key));
        self.text.extend_from_slice(key);
        let (hasher, text) = (&self.hasher, &self.text);
        self.slots.insert_unique(
            hash,
            Slot {
                scope,
                start,
                len,
                value,
            },
            |slot| hasher.hash_one((slot.scope, slot.key(text))),
        );
        Ok(())
    }
}

impl Keys {
    /// Replaces every value.
    pub(super) fn map_values(&mut self, map: impl Fn(u32) -> u32) {
        for slot in self.slots.iter_mut() {
            slot.value = map(slot.value);
        }
    }
}

impl Slot {
    fn key<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        &text[self.start as usize..][..self.len as usize]
    }
}
