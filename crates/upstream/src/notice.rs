//! News about endpoints.

use std::net::SocketAddr;
use std::sync::Arc;

/// News about an endpoint, told once for all workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A connection to the endpoint failed: it is ejected.
    EndpointEjected {
        /// The service.
        service: Arc<str>,
        /// The endpoint's address.
        address: SocketAddr,
    },
    /// An ejected endpoint was reached again.
    EndpointRecovered {
        /// The service.
        service: Arc<str>,
        /// The endpoint's address.
        address: SocketAddr,
    },
}
