//! Services and connections to them: discovery, health, load balancing, pooling and calls.
//!
//! All workers share a [`service`] with its [`endpoint`]s, [`health`] and [`discovery`] for as long as the service is
//! unchanged. Each worker has [`local`] state, with a [`pool`] per endpoint, and [`balance`]s its own requests. A
//! [`lease`] is the use of a connection or stream for one exchange, and reports the outcome; a [`call`] is one
//! complete, bounded exchange. The crate does not depend on clients or routes.

pub mod address;
pub mod balance;
pub mod call;
pub mod checks;
pub mod connect;
pub mod counters;
pub mod discovery;
pub mod endpoint;
pub mod endpoint_counters;
mod faults;
pub mod health;
pub mod histogram;
pub mod lease;
pub mod limits;
pub mod local;
pub mod notice;
mod opening;
pub mod panic_mode;
pub mod pool;
pub mod response_buffers;
pub mod retry;
pub mod service;
