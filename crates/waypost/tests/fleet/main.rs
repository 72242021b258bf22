//! Fleets on real clusters of etcd, broken on purpose. `cargo xtask system` runs them.

#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

#[path = "../blackbox/support/mod.rs"]
#[expect(dead_code, reason = "shared with the black-box suite")]
mod support;

mod broken;
mod changes;
mod cluster;
mod documents;
mod fleet;
mod relay;
mod rollouts;
