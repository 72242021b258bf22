//! Notices about endpoints.

use std::fmt;
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

impl Notice {
    /// Returns true if it tells of trouble, rather than of its end.
    pub fn is_trouble(&self) -> bool {
        matches!(
            self,
            Self::EndpointEjected { .. } | Self::EndpointDown { .. } | Self::PanicEntered { .. }
        )
    }
}

/// The line of the operator's log.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndpointEjected {
                service,
                address,
                cause,
                duration,
            } => {
                let seconds = duration.as_secs_f64();
                write!(
                    f,
                    "`{address}` of `{service}` is ejected for {seconds} s: {cause}"
                )
            }
            Self::EndpointRecovered { service, address } => {
                write!(f, "`{address}` of `{service}` answers again")
            }
            Self::EndpointDown {
                service,
                address,
                reason,
            } => write!(f, "`{address}` of `{service}` is down: check failed: {reason}"),
            Self::EndpointUp { service, address } => {
                write!(f, "`{address}` of `{service}` is up: it passes its checks")
            }
            Self::PanicEntered {
                service,
                available,
                endpoints,
            } => write!(
                f,
                "`{service}` is in panic mode: {available} of {endpoints} endpoints are available, so all of them are used"
            ),
            Self::PanicLeft {
                service,
                available,
                endpoints,
            } => write!(
                f,
                "`{service}` leaves panic mode: {available} of {endpoints} endpoints are available"
            ),
            Self::AddressesChanged {
                service,
                name,
                added,
                removed,
            } => {
                write!(f, "`{name}` of `{service}` has other addresses:")?;
                added.iter().try_for_each(|address| write!(f, " +{address}"))?;
                removed.iter().try_for_each(|address| write!(f, " -{address}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_read_as_lines_of_a_log() {
        let check = |notice: Notice, is_trouble: bool, expected: &str| {
            assert_eq!(
                (&*notice.to_string(), notice.is_trouble()),
                (expected, is_trouble)
            );
        };
        let address = |port| Address::Tcp(([10, 0, 0, 1], port).into());
        let service: Arc<str> = "orders".into();
        check(
            Notice::EndpointDown {
                service: Arc::clone(&service),
                address: address(80),
                reason: "status 503".to_owned(),
            },
            true,
            "`10.0.0.1:80` of `orders` is down: check failed: status 503",
        );
        check(
            Notice::PanicLeft {
                service: Arc::clone(&service),
                available: 2,
                endpoints: 3,
            },
            false,
            "`orders` leaves panic mode: 2 of 3 endpoints are available",
        );
        check(
            Notice::AddressesChanged {
                service,
                name: "a.test".into(),
                added: vec![address(80), address(81)],
                removed: vec![address(82)],
            },
            false,
            "`a.test` of `orders` has other addresses: +10.0.0.1:80 +10.0.0.1:81 -10.0.0.1:82",
        );
    }
}
