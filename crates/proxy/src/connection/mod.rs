//! Client connections.
//!
//! [`http1`] serves a connection's requests one after the other in one task; [`http2`] has a task for each stream.
//! [`tunnel`] relays an upgraded connection, [`passthrough`] a TLS connection that is not terminated.

pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod passthrough;
pub(crate) mod reading;
#[cfg(test)]
mod tests;
mod tunnel;
