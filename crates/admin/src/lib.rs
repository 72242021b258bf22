//! The admin API: where a running gateway is asked and told.
//!
//! [`server`] accepts connections, on the control runtime and never on a worker's thread; [`access`] says who may.
//! What can be answered by looking is answered here, from a [`View`](waypost_proxy::gateway::View) of the data
//! plane: routes, services, [`metrics`], [`stats`]. What changes something, or reads what is stored, goes as a
//! [`command`] to whoever owns the gateway, one after the other. [`api`] lists every operation once; router and
//! OpenAPI document are made from that list.

pub mod access;
pub mod api;
pub mod command;
pub mod events;
pub mod metrics;
#[cfg(test)]
mod pages;
pub mod problem;
pub mod report;
pub mod server;
pub mod shared;
mod stall;
pub mod stats;
