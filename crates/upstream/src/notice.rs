//! Notices about endpoints.

use std::sync::Arc;

use crate::address::Address;

/// A change in an endpoint's health, reported by one worker for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A connection to the endpoint failed, and it was ejected.
    EndpointEjected {
        /// The service.
        service: Arc<str>,
        /// The endpoint's address.
        address: Address,
    },
    /// A connection to an ejected endpoint succeeded.
    EndpointRecovered {
        /// The service.
        service: Arc<str>,
        /// The endpoint's address.
        address: Address,
    },
}
