//! What is said of a request that is explained.

use serde::Serialize;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The kind of answer.
    pub outcome: Outcome,
    /// The status, where the gateway answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What the gateway says of it, where it answers with an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The route that takes it.
    pub route: Option<String>,
    /// The service that gets it, when there is only one, or when the request forces it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The arms of the route's split, those of weight 0 too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arms: Option<Vec<Arm>>,
    /// The arm that the client's sticky value puts it on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cohort: Option<String>,
    /// Where a redirect leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The host that the service sees.
    pub host: Option<String>,
    /// The path that the service sees, without query.
    pub path: String,
    /// The query, byte for byte.
    pub query: Option<String>,
    /// The headers as the service will get them, or the client where the gateway answers.
    pub headers: Vec<(String, String)>,
    /// The revision that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The alternatives that came into question, in rank order.
    pub considered: Vec<Considered>,
}

/// The kinds of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It goes to a service.
    Forward,
    /// The client is sent elsewhere.
    Redirect,
    /// The gateway answers as the route says.
    Respond,
    /// No route takes it.
    NotFound,
    /// It is not one that may be forwarded.
    Refused,
    /// A route takes it, and can only answer 500 or 503.
    Unavailable,
}

/// One arm of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Arm {
    /// The service.
    pub service: String,
    /// Its weight.
    pub weight: u64,
}

/// An alternative of a route, and whether the request fulfils it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Considered {
    /// The route.
    pub route: String,
    /// Which of its alternatives, counted from 0; each host of a list has its own.
    pub alternative: usize,
    /// Whether all of its conditions hold.
    pub matched: bool,
    /// The first condition that does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<Because>,
}

/// A condition that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Because {
    /// Which one, such as `header x-tier`.
    pub condition: String,
    /// What it asks for.
    pub wants: String,
    /// What the request has.
    pub saw: Option<String>,
}

impl Outcome {
    /// The word in JSON and in tests.
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
