//! Fleets on real clusters of etcd, broken on purpose. `cargo xtask system` runs them.
//!
//! Tests that need namespaces of their own say so and pass where the machine does not allow them.

#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

#[path = "../blackbox/support/mod.rs"]
#[expect(dead_code, reason = "shared with the black-box suite")]
mod support;

mod authority;
mod broken;
mod certificates;
mod changes;
mod clocks;
mod cluster;
mod disks;
mod documents;
mod fleet;
mod history;
mod instance;
mod machines;
mod many;
mod namespaces;
mod operators;
mod partitions;
mod relay;
mod rollouts;
mod secured;
mod upgrades;
mod wait;
