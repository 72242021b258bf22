//! The explanation of a request.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use waypost_plan::duration;
use waypost_plan::rate::{RateKey, RateLimit};
use waypost_plan::retry;

use crate::rate::Standing;

/// The explanation of a request: what happens to it, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The URL of the question, without credentials in its query.
    #[serde(default)]
    pub url: String,
    /// The outcome.
    pub outcome: Outcome,
    /// The status, if the gateway responds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The error message, if the gateway responds with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The step that the gateway stops at; left out where a service gets the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    /// The error page that the client gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<ShownPage>,
    /// The listener that redirects it, by name or address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
    /// The route that takes it.
    pub route: Option<String>,
    /// The service that gets it, if there is only one or the request forces it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The arms of the route's split, including those of weight 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arms: Option<Vec<Arm>>,
    /// The arm of the client's cohort.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cohort: Option<String>,
    /// The rollout of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// The findings about the client, where `auth` is in force and judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Authentication>,
    /// The rate limits that it was judged by, with what would remain of each. The question itself is not counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate: Vec<RateStanding>,
    /// The timeout for the whole exchange, such as `15s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Retries that the route asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The time after which another endpoint is asked besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedge: Option<String>,
    /// The permissions of pages of other origins, where a policy is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<CrossOrigin>,
    /// The `location` of a redirect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The client, as `auth` verified it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The host that the service gets.
    pub host: Option<String>,
    /// The path that the service gets, without query.
    pub path: String,
    /// The query that the service gets, byte for byte.
    pub query: Option<String>,
    /// The headers that the service gets, or the client if the gateway responds.
    pub headers: Vec<(String, String)>,
    /// The policies that the route uses, in order.
    #[serde(rename = "use", default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<String>,
    /// The policies in force, by key, each with the place that it comes from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub policies: BTreeMap<Cow<'static, str>, PolicyOrigin>,
    /// The number of the revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// True if what becomes of the request depends on something that is not known here.
    #[serde(skip)]
    pub is_undecided: bool,
    /// The alternatives in question, in rank order.
    pub considered: Vec<Considered>,
}

/// The step that a request stops at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Its name, such as `access`.
    pub step: Cow<'static, str>,
    /// Its number in the order in which every request is judged.
    pub number: u8,
    /// The reason.
    pub because: String,
    /// The place of the policy that judged, such as `policy web`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// The findings of `auth` about a client: nothing of its credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authentication {
    /// The way that decided, such as `key`; absent where the request carries no credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub way: Option<Cow<'static, str>>,
    /// The place of the credentials, such as `header x-api-key`; absent where a service is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The result: `passed`, `no_credentials`, `bad_credentials`, `not_allowed` or `unavailable`, as in `waypost_auth`, or
    /// `unknown` where an explanation does not find it out.
    pub result: Cow<'static, str>,
    /// The client, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The groups that it is in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

/// The permissions of pages of other origins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrossOrigin {
    /// True if browsers let the page of the request's `Origin` read the response, or send what a preflight asks for.
    pub allowed: bool,
    /// The reason why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// The headers that the response gets for it.
    pub headers: Vec<(String, String)>,
}

/// The place that a policy comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyOrigin {
    /// The place, such as `policy web`; several where edits are joined, in order.
    pub from: String,
    /// The listener that uses the policy, where it is not the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_by: Option<String>,
}

/// The outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A service gets it.
    Forward,
    /// The client is redirected.
    Redirect,
    /// The gateway sends the route's response.
    Respond,
    /// No route takes it.
    NotFound,
    /// It may not be forwarded.
    Refused,
    /// A route takes it, but only an error can be the response.
    Unavailable,
}

/// An error page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownPage {
    /// The place that it comes from, such as `listener public`.
    pub from: String,
    /// The status of the error that it takes the place of.
    pub replaces: u16,
    /// The file of its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// One arm of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arm {
    /// The service.
    pub service: String,
    /// Its weight: the live one, where a gateway is asked.
    pub weight: u64,
}

/// The rollout of a route: its plan, and where it stands if a gateway is asked and one is under way.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Rollout {
    /// The name of the plan, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The number of steps.
    pub steps: usize,
    /// The service that is rolled out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<String>,
    /// The number of the step, from 1; 0 before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// The share of the canary, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
}

/// A rate limit, as the request finds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateStanding {
    /// Requests in the time `per`.
    pub requests: u32,
    /// The time, such as `1s`.
    pub per: String,
    /// Requests that may pass at once from rest.
    pub burst: u32,
    /// The key, such as `client_ip` or `header x-tenant`; never its value.
    pub by: String,
    /// The key that counts, where the request has no value of that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_by: Option<Cow<'static, str>>,
    /// Requests that could still pass behind this one.
    pub remaining: u32,
    /// Seconds after which a request passes, where this one is over the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// True if a request over the limit passes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub report_only: bool,
}

/// Retries of a route, with the values of keys that it leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Further attempts at most.
    pub attempts: u32,
    /// The reasons for one, as they are written in a config.
    pub on: Vec<String>,
    /// The methods whose requests may be sent twice.
    pub methods: Vec<String>,
    /// Retries of the service at most, in percent of its requests.
    pub budget: u32,
    /// The wait before the first at most.
    pub backoff: String,
    /// The timeout of each attempt; the service's own without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Bytes of a body that are held, so that it can be sent again.
    pub body: usize,
}

/// An alternative of a route, checked against the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Considered {
    /// The route.
    pub route: String,
    /// Which of its alternatives, counted from 0; each path of each host of a list has its own.
    pub alternative: usize,
    /// True if all of its conditions hold.
    pub matched: bool,
    /// The first condition that fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<Because>,
}

/// A condition that fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Because {
    /// Its name, such as `header x-tier`.
    pub condition: String,
    /// The value that it wants.
    pub wants: String,
    /// The value of the request.
    pub saw: Option<String>,
    /// A hint at the pattern that was probably meant: the condition wants a path that the request's lies below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl RateStanding {
    pub(super) fn of(limit: &RateLimit, standing: Standing) -> Self {
        Self {
            requests: limit.requests,
            per: duration::format(limit.per),
            burst: limit.burst,
            by: limit.by.to_string(),
            counted_by: standing.by_address.then(|| RateKey::ClientIp.word().into()),
            remaining: standing.remaining,
            retry_after: standing.retry_after,
            report_only: limit.report_only,
        }
    }
}

impl From<&retry::Retry> for Retry {
    fn from(retry: &retry::Retry) -> Self {
        Self {
            attempts: retry.attempts,
            on: retry.on.words(),
            methods: retry.method_names().into_iter().map(str::to_owned).collect(),
            budget: retry.budget,
            backoff: duration::format(retry.backoff),
            timeout: retry.timeout.map(duration::format),
            body: retry.body,
        }
    }
}

impl Outcome {
    /// The name in JSON and in tests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Redirect => "redirect",
            Self::Respond => "respond",
            Self::NotFound => "not_found",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        }
    }
}
