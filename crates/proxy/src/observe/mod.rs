//! Observability of the data plane: metrics, the access log, and messages on standard error.

pub mod access_log;
pub mod failed;
pub mod log;
pub mod metrics;
