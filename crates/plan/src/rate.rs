//! Rate limits: how often requests pass.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Maximum limits of one `rate`.
pub const LIMITS_MAX: usize = 8;

/// Maximum of `requests` and `burst`.
pub const REQUESTS_MAX: u32 = 1_000_000_000;

/// The longest `per`: a year.
pub const PER_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The longest time in which a used up limit is whole again.
pub const REFILL_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The limits that one place says. They share one table of buckets, whichever routes use them.
///
/// Two are equal if they mean the same, wherever they stand in their plan.
#[derive(Debug, Clone)]
pub struct Rate {
    /// Number by which the table is found: each place of a plan has one of its own, from 0.
    number: u32,
    scope: RateScope,
    limits: Box<[RateLimit]>,
}

/// The place that says a rate, which its buckets belong to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RateScope {
    /// The policy of this name: one table for all that use it.
    Policy(Arc<str>),
    /// The route of this name.
    Route(Arc<str>),
    /// The listener of this name or address.
    Listener(Arc<str>),
}

/// A limit: so many requests in a time, for each value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests in a time; 1 at least.
    pub requests: u32,
    /// The time.
    pub per: Duration,
    /// Requests that may pass at once from rest; 1 at least.
    pub burst: u32,
    /// The value that has a bucket of its own.
    pub by: RateKey,
    /// True if a request over the limit is counted, and passes.
    pub report_only: bool,
    /// True if responses tell the client of the limit.
    pub headers: bool,
}

/// The value of a request that has a bucket of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RateKey {
    /// The client's address; of IPv6 its /64.
    #[default]
    ClientIp,
    /// A header by lower-case name, its lines joined by `, `.
    Header(Box<str>),
    /// The first cookie of this name.
    Cookie(Box<str>),
    /// The identity that `auth` verified.
    Identity,
    /// The route: one bucket for all of its requests.
    Route,
}

impl Rate {
    /// Returns the limits that `scope` says, with a number that no other place of the plan has.
    pub fn new(number: u32, scope: RateScope, limits: Vec<RateLimit>) -> Self {
        Self {
            number,
            scope,
            limits: limits.into(),
        }
    }

    /// The number by which the table is found.
    pub fn number(&self) -> usize {
        self.number as usize
    }

    /// The place that says it.
    pub fn scope(&self) -> &RateScope {
        &self.scope
    }

    /// The limits, all of which a request has to pass.
    pub fn limits(&self) -> &[RateLimit] {
        &self.limits
    }

    /// Returns true if `other` counts alike, so that its buckets stay good: at the same place, with the same limits but for
    /// what is done about them.
    pub fn counts_as(&self, other: &Self) -> bool {
        let counted = |limit: &RateLimit| (limit.requests, limit.per, limit.burst);
        let mut pairs = self.limits.iter().zip(&other.limits);
        self.scope == other.scope
            && self.limits.len() == other.limits.len()
            && pairs.all(|(one, other)| counted(one) == counted(other) && one.by == other.by)
    }
}

impl PartialEq for Rate {
    fn eq(&self, other: &Self) -> bool {
        self.scope == other.scope && self.limits == other.limits
    }
}

impl Eq for Rate {}

impl RateScope {
    /// The value of the metric label `policy`: the name of a policy, else the place.
    pub fn label(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for RateScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(name) => f.write_str(name),
            Self::Route(name) => write!(f, "route {name}"),
            Self::Listener(name) => write!(f, "listener {name}"),
        }
    }
}

impl RateLimit {
    /// The time in which a used up limit is whole again, in nanoseconds.
    pub fn refill_nanos(&self) -> u128 {
        (self.per.as_nanos() * u128::from(self.burst)).div_ceil(u128::from(self.requests.max(1)))
    }
}

impl RateKey {
    /// The kind of the key, as it is written.
    pub fn word(&self) -> &'static str {
        match self {
            Self::ClientIp => "client_ip",
            Self::Header(_) => "header",
            Self::Cookie(_) => "cookie",
            Self::Identity => "identity",
            Self::Route => "route",
        }
    }
}

impl fmt::Display for RateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) | Self::Cookie(name) => write!(f, "{} {name}", self.word()),
            _ => f.write_str(self.word()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(requests: u32) -> RateLimit {
        RateLimit {
            requests,
            per: Duration::from_secs(1),
            burst: 20,
            by: RateKey::ClientIp,
            report_only: false,
            headers: true,
        }
    }

    fn web(number: u32, limits: Vec<RateLimit>) -> Rate {
        Rate::new(number, RateScope::Policy("web".into()), limits)
    }

    #[test]
    fn rates_of_one_meaning_are_equal_wherever_they_stand() {
        assert_eq!(web(0, vec![limit(10)]), web(7, vec![limit(10)]));
        assert_ne!(web(0, vec![limit(10)]), web(0, vec![limit(11)]));
        let other = Rate::new(0, RateScope::Route("web".into()), vec![limit(10)]);
        assert_ne!(web(0, vec![limit(10)]), other);
    }

    #[test]
    fn buckets_stay_good_where_only_the_consequences_change() {
        let before = web(0, vec![limit(10)]);
        let reported = RateLimit {
            report_only: true,
            headers: false,
            ..limit(10)
        };
        assert!(before.counts_as(&web(3, vec![reported])));
        for other in [
            web(0, vec![limit(11)]),
            web(0, vec![limit(10), limit(10)]),
            web(
                0,
                vec![RateLimit {
                    by: RateKey::Route,
                    ..limit(10)
                }],
            ),
            web(
                0,
                vec![RateLimit {
                    burst: 21,
                    ..limit(10)
                }],
            ),
            Rate::new(0, RateScope::Policy("api".into()), vec![limit(10)]),
        ] {
            assert!(!before.counts_as(&other), "{other:?}");
        }
    }

    #[test]
    fn a_limit_is_whole_again_once_its_burst_has_come_back() {
        assert_eq!(limit(10).refill_nanos(), 2_000_000_000);
        assert_eq!(limit(3).refill_nanos(), 6_666_666_667);
    }
}
