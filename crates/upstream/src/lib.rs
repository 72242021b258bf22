//! Services, as seen from the gateway: where their endpoints are, which of them takes a request, and how it is reached.
//!
//! Shared by all workers, and alive as long as a service stays unchanged: [`service`] with its [`endpoint`]s,
//! [`health`] and [`discovery`]. One worker's own side: [`local`], with a [`pool`] for each endpoint, and [`balance`].
//! [`lease`] hands out a connection or a stream for one exchange and takes its outcome back; [`call`] makes a whole bounded
//! exchange. The crate knows no clients and no routes.

pub mod balance;
pub mod call;
pub mod connect;
pub mod counters;
pub mod discovery;
pub mod endpoint;
pub mod health;
pub mod lease;
pub mod local;
pub mod notice;
pub mod pool;
pub mod response_buffers;
pub mod service;
