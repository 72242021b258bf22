//! The shared state of a fleet: several gateways that obey one set of rules. Pure: keys and values come in and go out as
//! bytes, time and randomness as arguments, and which store has them does not matter.
//!
//! [`key`] has the layout of the keys under the fleet's prefix, [`text`] texts that are too large for one value, and
//! [`record`] the values of the other keys. A [`replica`](replica::Replica) follows the store and hands out
//! [views](view::View): all that the store said at one of its revisions. Against a view, an [`intent`](proposal::Intent)
//! becomes a [`proposal`](proposal::Proposal): [transactions](store::Transaction) that happen as a whole, and only if
//! no other change was first. [`canary`] judges a config that some instances try
//! first, [`coverage`] tells how much of the traffic is known when some instances say nothing, and [`lead`] says who may lead.

pub mod canary;
pub mod config;
pub mod coverage;
pub mod key;
pub mod lead;
pub mod pace;
mod plain;
pub mod proposal;
pub mod record;
pub mod replica;
pub mod store;
pub mod text;
pub mod view;
