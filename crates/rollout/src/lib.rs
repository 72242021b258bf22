//! Rollouts: when to turn a split towards a new version, and when to turn it back.
//!
//! Counts and time come in, verdicts go out. [`judge`] compares two arms second by second, with the statistics
//! of [`evidence`]; [`ramp`] says whether the next step may be taken.
//!
//! The crate is pure: no clock, no I/O, no async, no randomness.

pub mod evidence;
pub mod judge;
pub mod ramp;
pub mod words;
