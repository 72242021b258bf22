//! The black-box suite: the real binary on port 0, driven over sockets, files and signals, grouped by promise.
//!
//! Nothing here sleeps or relies on time. A test waits for what it expects (a line on standard error, a
//! connection, an answer); the only clock is [`support::PATIENCE`], after which a wait fails the test.

#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

mod access_log;
mod admin;
mod cases;
mod commands;
mod dial;
mod documents;
mod drain;
mod examples;
mod forwarding;
mod grpc;
mod hostile;
mod http2;
mod http2_hostile;
mod large_bodies;
mod metrics;
mod mirror;
mod passthrough;
mod proxy_protocol;
mod regression;
mod reload;
mod revisions;
mod splits;
mod state;
mod state_damage;
mod support;
mod tls;
mod tls_to_services;
mod upgrade;
