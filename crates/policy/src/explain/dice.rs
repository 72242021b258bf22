//! The environment of a decision that is explained.

use std::cell::Cell;

use waypost_plan::service::ServiceId;

use super::State;
use crate::decision::Environment;
use crate::rate::Counting;
use crate::request_id::Uuid;
use crate::values::Circumstances;

/// Dice with a fixed outcome.
pub(super) struct Loaded<'a, S> {
    pub(super) state: &'a S,
    pub(super) roll: u64,
    /// True once the dice were rolled.
    pub(super) is_rolled: Cell<bool>,
}

impl<S: State> Circumstances for Loaded<'_, S> {
    fn new_id(&self) -> Uuid {
        self.state.new_id()
    }

    fn unix_seconds(&self) -> u64 {
        self.state.unix_seconds()
    }

    fn revision(&self) -> u64 {
        self.state.revision()
    }
}

impl<S: State> Environment for Loaded<'_, S> {
    fn roll(&self) -> u64 {
        self.is_rolled.set(true);
        self.roll
    }

    fn new_cookie(&self) -> Option<[u64; 2]> {
        None
    }

    fn has_endpoint(&self, service: ServiceId) -> bool {
        self.state.has_endpoint(service)
    }

    fn nanos(&self) -> u64 {
        self.state.nanos()
    }

    fn counting(&self) -> Counting {
        Counting::Looks
    }
}
