//! Decides what happens to a request, and writes the resulting heads.
//!
//! [`decision`] is the one place where rules are applied, in one order: live traffic, passed-through connections,
//! `explain` and `waypost test` all call it. Its input is a [`compiled`] plan, a request in its normal form
//! ([`request`]), the [`peer`] that sent it, and an environment that rolls the dice. [`head`] writes the heads that
//! follow from a decision; [`failure`] lists the reasons for error responses and for responses that are cut, and
//! [`status`] says which requests count as failed. Texts with names of values in them are [`filled`] in with a decision.
//!
//! The crate is pure: no sockets, no async, no clock, no randomness.

pub mod arm;
pub mod auth;
pub mod balance;
pub mod client;
pub mod compiled;
pub mod cors;
pub mod decision;
pub mod error_format;
pub mod error_page;
pub mod explain;
pub mod failure;
pub mod filled;
pub(crate) mod forwarded;
pub mod grpc;
pub mod head;
pub mod key_files;
pub mod page_files;
pub mod password_files;
pub mod peer;
pub mod permissions;
pub mod rate;
pub mod request;
pub mod request_id;
mod secret_names;
mod server_options;
pub mod status;
pub mod step;
pub mod token_keys;
pub mod values;
