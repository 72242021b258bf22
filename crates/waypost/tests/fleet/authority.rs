//! Pebble, as the tests of orders have it.

#[path = "../acme/pebble.rs"]
#[expect(dead_code, reason = "shared with the tests of orders")]
pub(crate) mod pebble;
#[path = "../acme/relay.rs"]
pub(crate) mod relay;
