//! The data plane: everything between a client's socket and a service's.
//!
//! [`gateway`] is its control: it starts the workers, applies plans, drains. Each [`worker`] is a thread with
//! its own runtime, sockets, pools and counters; a [`client`] is one task there that drives both sides of every
//! exchange, through a [`link`] to each. What becomes of a request is decided in [`decide`], and said in the heads that
//! [`service_head`] and [`client_head`] write; [`explain`] asks the same functions.

pub mod access_log;
mod answer;
mod arm;
mod balance;
mod buffer;
mod client;
mod client_head;
mod clock;
mod decide;
pub mod discovery;
pub mod endpoints;
mod exchange;
pub mod explain;
mod forwarded;
pub mod gateway;
pub mod generation;
mod grpc;
pub mod limits;
mod link;
mod meter;
pub mod metrics;
mod mirror;
mod pool;
pub mod priority;
mod proxy_protocol;
mod reclaim;
mod service_head;
pub mod sockets;
mod timer;
mod worker;
