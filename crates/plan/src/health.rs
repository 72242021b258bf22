//! Health of a service's endpoints: checks, and ejection by the outcomes of requests.

use std::time::Duration;

use crate::failures::StatusSet;

/// Checks of the endpoints of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// The question of each check.
    pub probe: Probe,
    /// Time from the end of a check to the next.
    pub interval: Duration,
    /// Timeout of a check.
    pub timeout: Duration,
    /// Failed checks in a row that an endpoint goes down by, after the first check.
    pub unhealthy: u32,
    /// Passed checks in a row that it comes up by, after the first check.
    pub healthy: u32,
    /// Port to check; `None` for the endpoint's.
    pub port: Option<u16>,
    /// False if an endpoint counts as down until its first check.
    pub initially_healthy: bool,
}

/// A check of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// An HTTP request.
    Http(HttpProbe),
    /// A call of `grpc.health.v1.Health/Check`.
    Grpc {
        /// The service that it asks about; empty for the server as a whole.
        service: Box<str>,
        /// Host; `None` for the endpoint's.
        host: Option<Box<str>>,
        /// Further header fields, by name in lower case.
        headers: Vec<(Box<str>, Box<str>)>,
    },
    /// A connection, with the TLS handshake if the endpoint uses TLS.
    Tcp,
}

/// An HTTP request that checks an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpProbe {
    /// Method.
    pub method: Box<str>,
    /// Path, with or without a query.
    pub path: Box<str>,
    /// Host; `None` for the endpoint's.
    pub host: Option<Box<str>>,
    /// Further header fields, by name in lower case.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// Statuses of a healthy endpoint.
    pub statuses: StatusSet,
}

/// Ejection of endpoints by the outcomes of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection {
    /// Failures in a row that eject an endpoint.
    pub failures: Option<u32>,
    /// Share of failures that ejects an endpoint.
    pub rate: Option<FailureRate>,
    /// Kinds of failures that count.
    pub of: FailureKinds,
    /// Duration of the first ejection. It is multiplied by the number of ejections in a row.
    pub duration: Duration,
    /// Largest share of the service's endpoints to eject, in percent.
    pub max: u32,
}

/// A share of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureRate {
    /// The share, in percent.
    pub percent: u32,
    /// Least number of requests to judge by.
    pub requests: u32,
    /// Time over which they are counted.
    pub window: Duration,
}

/// Kinds of failures of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FailureKind {
    /// No connection comes about.
    Connect,
    /// The connection breaks, or the response is malformed.
    Reset,
    /// The endpoint does not respond in time.
    Timeout,
    /// A response of class 5xx.
    ServerError,
    /// A gRPC status that blames the server.
    Grpc,
}

/// A set of kinds of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureKinds(u8);

/// Limit of the duration of an ejection.
pub const EJECTION_MAX: Duration = Duration::from_secs(300);

impl FailureKind {
    /// All kinds, in order.
    pub const ALL: [Self; 5] = [
        Self::Connect,
        Self::Reset,
        Self::Timeout,
        Self::ServerError,
        Self::Grpc,
    ];

    /// The word for it in `of`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::ServerError => "5xx",
            Self::Grpc => "grpc",
        }
    }
}

impl FailureKinds {
    /// The set of these kinds.
    pub fn of(kinds: impl IntoIterator<Item = FailureKind>) -> Self {
        Self(kinds.into_iter().fold(0, |set, kind| set | 1 << kind as u8))
    }

    /// Returns true if `kind` is in the set.
    pub fn contains(self, kind: FailureKind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }
}

impl HealthCheck {
    /// Checks with this probe and defaults.
    pub fn new(probe: Probe) -> Self {
        Self {
            probe,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            unhealthy: 3,
            healthy: 2,
            port: None,
            initially_healthy: true,
        }
    }
}

impl Ejection {
    /// The number of `endpoints` that may be ejected at a time: never the only one.
    pub fn ejected_max(&self, endpoints: usize) -> usize {
        match endpoints {
            0 | 1 => 0,
            _ => endpoints * self.max as usize / 100,
        }
    }
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            failures: Some(5),
            rate: None,
            of: FailureKinds::default(),
            duration: Duration::from_secs(30),
            max: 50,
        }
    }
}

impl Default for FailureKinds {
    fn default() -> Self {
        Self::of([FailureKind::Connect, FailureKind::Reset, FailureKind::Timeout])
    }
}

impl Default for FailureRate {
    fn default() -> Self {
        Self {
            percent: 50,
            requests: 20,
            window: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_of_ejected_endpoints_rounds_down_and_spares_the_only_one() {
        let check = |max, expected: &[usize]| {
            let ejection = Ejection {
                max,
                ..Ejection::default()
            };
            for (endpoints, expected) in expected.iter().enumerate() {
                assert_eq!(
                    ejection.ejected_max(endpoints),
                    *expected,
                    "{max} % of {endpoints}"
                );
            }
        };
        check(50, &[0, 0, 1, 1, 2, 2, 3]);
        check(100, &[0, 0, 2, 3, 4]);
        check(34, &[0, 0, 0, 1, 1]);
        check(0, &[0, 0, 0, 0]);
    }

    #[test]
    fn kinds_are_a_set() {
        let kinds = FailureKinds::default();
        let found = FailureKind::ALL.map(|kind| kinds.contains(kind));
        assert_eq!(found, [true, true, true, false, false]);
    }
}
