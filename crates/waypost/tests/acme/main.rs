//! Certificates ordered from pebble, the ACME server of Let's Encrypt's makers for tests. `cargo xtask system` runs them.
//!
//! Pebble looks for challenges at ports of its own choice, which relays lead to the gateway. The time by which orders go is
//! that of the gateway's test clock.

#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

#[path = "../blackbox/support/mod.rs"]
#[expect(dead_code, reason = "shared with the black-box suite")]
mod support;

mod orders;
mod pebble;
mod relay;
