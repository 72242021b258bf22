//! Notices about endpoints.

use std::sync::Arc;

use crate::address::Address;

/// A change of the endpoints, or of the health of one or all of them, reported once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A connection to the endpoint failed, and it was ejected.
    EndpointEjected {
        /// The service.
        service: Arc<str>,
        /// The endpoint's address.
        address: Address,
    },
    /// A service entered panic mode: too few of its endpoints are available, so all are used.
    PanicEntered {
        /// The service.
        service: Arc<str>,
        /// Its available endpoints.
        available: usize,
        /// All of them that count.
        endpoints: usize,
    },
    /// A service left panic mode.
    PanicLeft {
        /// The service.
        service: Arc<str>,
        /// Its available endpoints.
        available: usize,
        /// All of them that count.
        endpoints: usize,
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
