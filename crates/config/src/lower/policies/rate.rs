//! Rate limits.

use std::sync::Arc;
use std::time::Duration;

use waypost_plan::duration;
use waypost_plan::policies::PolicySet;
use waypost_plan::rate::{
    LIMITS_MAX, PER_MAX, REFILL_MAX, REQUESTS_MAX, Rate, RateKey, RateLimit, RateScope,
};

use crate::collections::OneOrMany;
use crate::diagnostic::Code;
use crate::document::rate::{RateBy, RateLimit as Written, Told};
use crate::either::WordOr;
use crate::keys::At;
use crate::lower::split::{cookie_name, header_name, one_of};
use crate::lower::{duration_up_to, whole};
use crate::place::Span;
use crate::problems::Problems;

/// The shortest time of a limit.
const PER_MIN: Duration = Duration::from_millis(1);

/// Gives the rates of a plan their numbers.
#[derive(Debug, Default)]
pub(super) struct Numbers(u32);

impl Numbers {
    /// Lowers the limits that `scope` says.
    pub(super) fn rate(
        &mut self,
        written: &At<&OneOrMany<Written>>,
        scope: RateScope,
        problems: &mut Problems,
    ) -> Arc<Rate> {
        let items = &written.value.0;
        if items.len() > LIMITS_MAX {
            problems
                .add(
                    Code::OutOfRange,
                    written.span,
                    format!("a list has {LIMITS_MAX} limits at most"),
                )
                .help("a request has to pass all of them: leave out those that others imply");
        }
        let limits = items.iter().map(|item| limit(item, problems)).collect();
        let number = self.0;
        self.0 += 1;
        Arc::new(Rate::new(number, scope, limits))
    }
}

/// Warns of a limit by identity where nothing verifies one. `place` is where the rate is said, or used.
pub(super) fn report_identity(set: &PolicySet, place: Span, problems: &mut Problems) {
    let mut limits = set.rate.iter().flat_map(|rate| rate.limits());
    if limits.any(|limit| limit.by == RateKey::Identity) {
        problems
            .add(
                Code::NoEffect,
                place,
                "a limit by `identity` is one by the client's address here: there is no `auth`",
            )
            .help("add `auth`, or write `by: client_ip`");
    }
}

/// Lowers one limit.
fn limit(written: &At<Written>, problems: &mut Problems) -> RateLimit {
    let given = &written.value;
    let number = |number: &At<u64>, help: &str, problems: &mut Problems| {
        if number.value == 0 {
            problems
                .add(Code::OutOfRange, number.span, "no request would pass")
                .help(help);
            return 1;
        }
        let number = whole(number, 1, u64::from(REQUESTS_MAX), problems);
        u32::try_from(number).unwrap_or(REQUESTS_MAX)
    };
    let requests = given.requests.as_ref().map_or(1, |requests| {
        let help = "write 1 at least; `access` and `respond: { status: 403 }` refuse all";
        number(requests, help, problems)
    });
    let per = given.per.as_ref().map_or(Duration::from_secs(1), |per| {
        duration_up_to(&per.with(per.value.duration()), PER_MIN, PER_MAX, problems)
    });
    let burst = given.burst.as_ref().map_or(requests, |burst| {
        number(
            burst,
            "write 1 for requests one by one, or leave it out",
            problems,
        )
    });
    let limit = RateLimit {
        requests,
        per,
        burst,
        by: given
            .by
            .as_deref()
            .map_or(RateKey::ClientIp, |by| key(by, problems)),
        report_only: given.report_only.as_ref().is_some_and(|only| only.value),
        headers: given.headers.as_ref().is_none_or(|told| told.value == Told::On),
    };
    if let Some(burst) = &given.burst
        && per <= PER_MAX
        && limit.refill_nanos() > REFILL_MAX.as_nanos()
    {
        let most = u128::from(requests) * REFILL_MAX.as_nanos() / per.as_nanos().max(1);
        problems
            .add(
                Code::OutOfRange,
                burst.span,
                "the burst takes more than ten years to come back",
            )
            .help(format!(
                "write {most} at most, for {requests} in {}",
                duration::format(per)
            ));
    }
    limit
}

/// Lowers the key of a limit.
fn key(written: &At<WordOr<RateKey, RateBy>>, problems: &mut Problems) -> RateKey {
    let given = match &written.value {
        WordOr::Word(key) => return key.clone(),
        WordOr::Mapping(given) => given,
    };
    let keys = [
        ("header", given.header.as_ref().map(|header| header.key)),
        ("cookie", given.cookie.as_ref().map(|cookie| cookie.key)),
    ];
    // What is there is reported already.
    let misread = given.given.keys().next().is_some();
    one_of(written, &keys, misread, problems);
    let key = match (&given.header, &given.cookie) {
        (Some(header), _) => header_name(header, problems).map(RateKey::Header),
        (None, Some(cookie)) => cookie_name(cookie, problems).map(RateKey::Cookie),
        (None, None) => None,
    };
    key.unwrap_or_default()
}
