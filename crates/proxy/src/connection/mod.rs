//! Client connections: what drives their requests.
//!
//! [`http1`] has one task read requests one after the other and see each through to the end of its response; [`http2`] has a
//! task for each stream. [`tunnel`] is what an upgraded connection becomes, [`passthrough`] a TLS connection that is passed
//! on as it is.

pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod passthrough;
pub(crate) mod reading;
#[cfg(test)]
mod tests;
mod tunnel;
