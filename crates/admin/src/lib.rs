//! The admin API of a running gateway.
//!
//! [`server`] accepts connections on the control runtime, never on a worker's thread; [`access`] controls access.
//! Read-only requests (routes, services, [`metrics`], [`stats`]) are served from a
//! [`View`](waypost_proxy::gateway::View) of the data plane. Changes, and reads of stored revisions, are sent as a
//! [`command`] to the control plane, which executes them one at a time. [`api`] lists every operation once; the router
//! and the OpenAPI document are generated from that list. Beside it, `ui` serves the dashboard, which uses the API alone.

pub mod access;
pub mod api;
mod arms;
pub mod canary;
pub mod certificates;
pub mod command;
pub mod counts;
pub mod events;
mod failures;
pub mod fleet;
pub mod history;
pub mod metrics;
#[cfg(test)]
mod pages;
pub mod problem;
pub mod reasons;
pub mod report;
pub mod rollout;
mod search;
pub mod server;
pub mod state;
pub mod stats;
pub mod timeline;
mod ui;
mod varint;
mod write_timeout;
