//! Asking a service again: for which share of its requests, after which wait, and where.

pub mod backoff;
pub mod budget;
pub mod tried;
