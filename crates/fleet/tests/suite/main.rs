//! Tests of the fleet's shared state against a store in memory, by promise.

#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

mod promises;
mod random;
mod simulation;
mod store;
