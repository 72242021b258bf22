//! Rollouts: when to turn a split towards a new version, and when to turn it back.
//!
//! Counts and time come in, verdicts go out. [`evidence`] has the statistics.
//!
//! The crate is pure: no clock, no I/O, no async, no randomness.

pub mod evidence;
