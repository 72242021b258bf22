//! Rate limits: the buckets of a plan, and the step that takes a request past them.
//!
//! [`gcra`] is the algorithm, [`page`] and [`table`] keep the buckets. Time comes in as nanoseconds of a clock that only
//! grows. What is decided here is what `explain` shows; it looks, and counts nothing.

mod gcra;
mod page;
mod table;

use std::hash::Hasher;
use std::net::IpAddr;
use std::sync::Arc;

use waypost_plan::Plan;
use waypost_plan::rate::{LIMITS_MAX, Rate, RateKey, RateLimit};
use waypost_route::cookie;
use waypost_route::request::Request;
use waypost_wire::write;

use crate::failure::Failure;
use crate::rate::table::Visit;
pub use crate::rate::table::{BYTES_MAX, Counting, KEYS_MAX, Table};

/// The rate limits of a plan, with their buckets.
#[derive(Debug, Default)]
pub struct Limiters(Box<[Option<Limiter>]>);

/// The limits that one place says, with their buckets.
#[derive(Debug)]
pub struct Limiter {
    rate: Arc<Rate>,
    table: Arc<Table>,
    /// `RateLimit-Policy`; empty if responses do not tell of any limit.
    policy: Box<[u8]>,
    /// The beginning of each member of `RateLimit`; empty for a limit that responses do not tell of.
    members: Box<[Box<str>]>,
}

/// A request, as far as limits see it.
pub(crate) struct Subject<'a> {
    pub(crate) conditions: &'a Request<'a>,
    /// The name that `auth` verified.
    pub(crate) identity: Option<&'a [u8]>,
    pub(crate) route: &'a str,
}

/// The judgement of limits on a request, in memory that is reused for the next one.
#[derive(Debug, Default)]
pub struct Ruling {
    visits: Vec<Visit>,
    /// The limits whose key had no value, by position: the client's address counted.
    by_address: [bool; LIMITS_MAX],
    policy: Vec<u8>,
    limit: Vec<u8>,
    is_over: bool,
}

/// The fields that tell a client of the limits in force (draft-ietf-httpapi-ratelimit-headers-10); empty for none.
#[derive(Debug, Clone, Copy, Default)]
pub struct RateFields<'a> {
    /// `RateLimit-Policy`: the quota and the window of each limit.
    pub policy: &'a [u8],
    /// `RateLimit`: what is left of each.
    pub limit: &'a [u8],
}

/// A limit, as a request finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// True if the client's address counted in place of a value that the request does not have.
    pub by_address: bool,
    /// Requests that may still pass now.
    pub remaining: u32,
    /// Whole seconds after which a request passes; `None` if this one does.
    pub retry_after: Option<u64>,
}

/// The header of the limits.
pub(crate) const POLICY: &[u8] = b"ratelimit-policy";

/// The header of what is left of them.
pub(crate) const LIMIT: &[u8] = b"ratelimit";

impl Limiters {
    /// The limits of `plan`, all of whose buckets are at rest.
    pub(crate) fn of(plan: &Plan) -> Self {
        let mut limiters: Vec<Option<Limiter>> = Vec::new();
        for rate in plan.rates() {
            let at = rate.number();
            if limiters.len() <= at {
                limiters.resize_with(at + 1, || None);
            }
            limiters[at].get_or_insert_with(|| Limiter::new(Arc::clone(rate)));
        }
        Self(limiters.into())
    }

    /// Takes over the buckets of those that count as before.
    pub(crate) fn keep_buckets(&mut self, before: &Self) {
        let known: std::collections::HashMap<_, _> = before
            .all()
            .map(|limiter| (limiter.rate.scope(), limiter))
            .collect();
        for limiter in self.0.iter_mut().flatten() {
            if let Some(before) = known.get(limiter.rate.scope())
                && before.rate.counts_as(&limiter.rate)
            {
                limiter.table = Arc::clone(&before.table);
            }
        }
        if let Some(before) = before.all().next() {
            self.share_among(before.table.gateways());
        }
    }

    /// Divides all limits by the number of gateways that have them together, from now on.
    pub fn share_among(&self, gateways: u32) {
        self.all().for_each(|limiter| limiter.table.share_among(gateways));
    }

    /// All limiters.
    pub fn all(&self) -> impl Iterator<Item = &Limiter> {
        self.0.iter().flatten()
    }

    /// The limiter of a rate.
    pub(crate) fn of_rate(&self, rate: &Rate) -> Option<&Limiter> {
        self.0.get(rate.number())?.as_ref()
    }

    /// Removes buckets at rest from some tables, the next ones at each `turn`.
    pub fn tidy(&self, turn: usize, now: u64) {
        /// Tables that are looked at in a turn.
        const TABLES: usize = 64;
        let tables = self.0.len();
        let (begin, count) = match tables {
            0..=TABLES => (0, tables),
            _ => (turn.wrapping_mul(TABLES) % tables, TABLES),
        };
        let chosen = self.0.iter().cycle().skip(begin).take(count);
        chosen.flatten().for_each(|limiter| limiter.table.tidy(now));
    }
}

impl Limiter {
    fn new(rate: Arc<Rate>) -> Self {
        let told = |limit: &RateLimit| limit.headers && !limit.report_only;
        let (mut policy, mut members) = (Vec::new(), Vec::new());
        for (at, limit) in rate.limits().iter().enumerate() {
            if !told(limit) {
                members.push("".into());
                continue;
            }
            let name = limit.by.word();
            let others = rate.limits()[..at].iter().filter(|other| told(other));
            let same = others.filter(|other| other.by.word() == name).count();
            // Names are unique within the fields.
            let name = match same {
                0 => format!("\"{name}\""),
                _ => format!("\"{name}-{}\"", same + 1),
            };
            let (quota, window) = quota(limit);
            if !policy.is_empty() {
                policy.extend_from_slice(b", ");
            }
            policy.extend_from_slice(format!("{name};q={quota};w={window}").as_bytes());
            members.push(name.into());
        }
        Self {
            table: Arc::new(Table::of(&rate)),
            rate,
            policy: policy.into(),
            members: members.into(),
        }
    }

    /// The limits.
    pub fn rate(&self) -> &Rate {
        &self.rate
    }

    /// The buckets.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Takes a request past the limits. The ruling tells what they made of it.
    ///
    /// # Errors
    /// A limit does not let it pass, and it is counted at none.
    pub(crate) fn judge(
        &self,
        subject: &Subject<'_>,
        now: u64,
        counting: Counting,
        scratch: &mut Vec<u8>,
        ruling: &mut Ruling,
    ) -> Result<(), Failure> {
        for (at, limit) in self.rate.limits().iter().enumerate() {
            let (fingerprint, by_address) = self.fingerprint(at, &limit.by, subject, scratch);
            ruling.by_address[at] = by_address;
            ruling.visits.push(Visit {
                fingerprint,
                is_enforced: !limit.report_only,
                ..Visit::default()
            });
        }
        let passes = self.table.visit(&mut ruling.visits, now, counting);
        ruling.is_over = ruling.visits.iter().any(|visit| visit.wait.is_some());
        if !self.policy.is_empty() {
            self.write(ruling);
        }
        if passes {
            return Ok(());
        }
        let enforced = ruling.visits.iter().filter(|visit| visit.is_enforced);
        let wait = enforced.filter_map(|visit| visit.wait).max();
        let seconds = gcra::seconds(wait.unwrap_or_default()).max(1);
        Err(Failure::RateLimited {
            retry_after: u32::try_from(seconds).unwrap_or(u32::MAX),
        })
    }

    /// The fingerprint of the key of the limit at a position; true if the client's address takes the place of its value.
    fn fingerprint(
        &self,
        at: usize,
        key: &RateKey,
        subject: &Subject<'_>,
        scratch: &mut Vec<u8>,
    ) -> (u64, bool) {
        let mut hasher = self.table.hasher();
        let conditions = subject.conditions;
        let value = match key {
            RateKey::ClientIp => None,
            RateKey::Header(name) => conditions.header(name, scratch),
            RateKey::Cookie(name) => cookie::find(conditions.headers, name, scratch),
            RateKey::Identity => subject.identity,
            RateKey::Route => Some(subject.route.as_bytes()),
        };
        let value = value.filter(|value| !value.is_empty());
        // A limit has no bucket in common with another, nor a value with an address.
        hasher.write_u16((at as u16) << 8 | u16::from(value.is_some()));
        match value {
            Some(value) => hasher.write(value),
            None => match conditions.client_ip.to_canonical() {
                IpAddr::V4(ip) => hasher.write(&ip.octets()),
                // A client has a network of so many addresses at least (RFC 6177).
                IpAddr::V6(ip) => hasher.write(&ip.octets()[..8]),
            },
        }
        let by_address = value.is_none() && *key != RateKey::ClientIp;
        (Table::fingerprint(&hasher), by_address)
    }

    /// Writes the fields of the limits that responses tell of.
    fn write(&self, ruling: &mut Ruling) {
        ruling.policy.extend_from_slice(&self.policy);
        let out = &mut ruling.limit;
        for (member, visit) in self.members.iter().zip(&ruling.visits) {
            if member.is_empty() {
                continue;
            }
            if !out.is_empty() {
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(member.as_bytes());
            out.extend_from_slice(b";r=");
            write::decimal(out, u64::from(visit.rest.requests));
            out.extend_from_slice(b";t=");
            write::decimal(out, gcra::seconds(visit.rest.more_in));
        }
    }
}

/// The quota of a limit and its window in whole seconds, which the draft wants: as configured, or as many as fit the next
/// whole second.
fn quota(limit: &RateLimit) -> (u64, u64) {
    let per = limit.per.as_millis().max(1);
    let seconds = per.div_ceil(1000);
    let quota = u128::from(limit.requests) * seconds * 1000 / per;
    (
        u64::try_from(quota).unwrap_or(u64::MAX),
        u64::try_from(seconds).unwrap_or(u64::MAX),
    )
}

impl Ruling {
    /// Forgets the last request.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.visits.clear();
        self.policy.clear();
        self.limit.clear();
        self.is_over = false;
    }

    /// Returns true if a limit was reached, whether it is enforced or only reported.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// The fields for the client.
    pub fn fields(&self) -> RateFields<'_> {
        RateFields {
            policy: &self.policy,
            limit: &self.limit,
        }
    }

    /// The limits in their order, as the request found them; none if it did not get so far.
    pub fn standings(&self) -> impl Iterator<Item = Standing> {
        self.visits
            .iter()
            .zip(self.by_address)
            .map(|(visit, by_address)| Standing {
                by_address,
                remaining: visit.rest.requests,
                retry_after: visit.wait.map(|wait| gcra::seconds(wait).max(1)),
            })
    }
}
