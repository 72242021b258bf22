//! Notices about endpoints.

use std::sync::Arc;

use crate::address::Address;

/// A change of an endpoint's health, reported by one worker for all of them, or of the endpoints.
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
    /// A name has other addresses than before.
    AddressesChanged {
        /// The service.
        service: Arc<str>,
        /// The name.
        name: Arc<str>,
        /// Addresses that are new.
        added: Vec<Address>,
        /// Addresses that are gone.
        removed: Vec<Address>,
    },
}
