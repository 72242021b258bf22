//! The black-box suite: the built binary on port 0, driven over sockets, files and signals; one module per promise.
//!
//! No test sleeps. A test waits for an event (a line on standard error, a connection, a response), and each test has
//! one possible outcome. The only clock is [`support::PATIENCE`], the timeout of every wait.

#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

mod access_log;
#[cfg(feature = "acme")]
mod acme;
mod admin;
mod auth;
mod balance;
mod cases;
mod clients;
mod coming_from;
mod commands;
mod connections;
mod cookies;
mod cors;
mod dashboard;
mod deals;
mod demo;
mod dial;
mod documents;
mod drafts;
mod drain;
mod drained;
mod early_responses;
mod ejection;
mod endpoint_hosts;
mod error_pages;
mod examples;
mod explain;
mod failures;
mod fixes;
#[cfg(feature = "etcd")]
mod fleet;
mod forwarding;
mod framing;
mod grpc;
mod grpc_failures;
mod guards;
mod half_close;
mod health;
mod hedges;
mod hostile;
mod hosts;
mod http2;
mod http2_hostile;
mod invalid_responses;
mod large_bodies;
mod limits;
mod listing;
mod metrics;
mod mirror;
mod names;
mod outliers;
mod overview;
mod own_responses;
mod passthrough;
mod passwords;
mod placeholder;
mod policies;
mod proxy_protocol;
mod questions;
mod rate;
mod regression;
mod reload;
mod request_ids;
mod retries;
mod retry_policy;
mod reverse;
mod revisions;
mod rollouts;
mod splits;
mod state;
mod state_damage;
mod support;
mod systemd;
mod tail;
mod takeover;
mod timeline;
mod timeouts;
mod tls;
mod tls_to_services;
#[cfg(feature = "tui")]
mod top;
mod trust;
mod trusted_proxies;
mod unix_listeners;
mod unix_sockets;
mod upgrade;
mod values;
mod variables;
