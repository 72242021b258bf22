//! The shared state of a fleet: several gateways that obey one set of rules. Pure: keys and values come in and go out as
//! bytes, and which store has them does not matter.
//!
//! [`key`] has the layout of the keys under the fleet's prefix, [`text`] texts that are too large for one value.

pub mod key;
pub mod text;
