//! Notices about endpoints.

use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::health::EjectionCause;

/// A change of the endpoints, or of the health of one or all of them, reported once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Requests to the endpoint failed, and it was ejected.
    EndpointEjected {
        /// The service.
        service: Arc<str>,
        /// The endpoint's address.
        address: Address,
        /// The cause.
        cause: EjectionCause,
        /// The duration.
        duration: Duration,
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
    /// An endpoint that was ejected answers again.
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
    /// The endpoint failed its checks.
    EndpointDown {
        /// The service.
        service: Arc<str>,
        /// The endpoint's address.
        address: Address,
        /// The reason, such as `status 503`.
        reason: String,
    },
    /// An endpoint that was down passes its checks.
    EndpointUp {
        /// The service.
        service: Arc<str>,
        /// The endpoint's address.
        address: Address,
    },
}
