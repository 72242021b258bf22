//! Reasons that there is no certificate.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use instant_acme::{Error, Problem};
use waypost_tls::client::ClientError as TlsError;

use crate::certificate::CertificateError;
use crate::client::ClientError;
use crate::way::Way;

/// The most characters of a text of the authority that are shown.
const SHOWN_MAX: usize = 400;

/// The prefix of the kinds of problems (RFC 8555 §6.7).
const KINDS: &str = "urn:ietf:params:acme:error:";

/// An order that failed.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Failure {
    /// The reason.
    pub why: Why,
    /// The wait that the authority asks for.
    pub retry_after: Option<Duration>,
}

/// The reason that an order failed.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// The authority was not reached, or its answer cannot be used.
    #[error("the authority cannot be asked: {0}")]
    Client(ClientError),
    /// TLS towards the authority cannot be configured.
    #[error("the authority cannot be asked: {0}")]
    Tls(#[from] TlsError),
    /// The authority refuses.
    #[error("the authority refuses: {0}")]
    Refused(Refusal),
    /// The authority could not be convinced that a host is served here.
    #[error("the authority does not see that `{host}` is served here, by {way}: {refusal}")]
    Unproven {
        /// The host.
        host: String,
        /// The way that was tried.
        way: Way,
        /// The authority's reason.
        refusal: Refusal,
    },
    /// The authority offers none of the ways that are possible here.
    #[error("for `{host}`, the authority offers {offered}, and {possible} is possible here")]
    NoWay {
        /// The host.
        host: String,
        /// The challenges that it offers.
        offered: String,
        /// The challenges that can be answered.
        possible: String,
    },
    /// The order takes too long.
    #[error("the authority has not {0} in time")]
    TimedOut(&'static str),
    /// The certificate cannot be served.
    #[error("the certificate that the authority issued cannot be used: {0}")]
    Certificate(#[from] CertificateError),
    /// The account's text cannot be read.
    #[error("the account that was kept cannot be read: {0}")]
    Account(String),
    /// An answer that is not what the protocol has there.
    #[error("the authority's answer is not understood: {0}")]
    Protocol(String),
}

/// The authority's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of problem, such as `rateLimited`.
    pub kind: Option<String>,
    /// The explanation, without control characters and of bounded length.
    pub detail: String,
}

impl Failure {
    /// Returns true if the authority does not know the account, or not any more.
    pub fn is_account_gone(&self) -> bool {
        matches!(self.kind(), Some("accountDoesNotExist"))
    }

    /// Returns true if the authority refuses for having had too many requests or orders.
    pub fn is_for_too_many(&self) -> bool {
        let is_plain = matches!(
            self.why,
            Why::Client(ClientError::Status(StatusCode::TOO_MANY_REQUESTS))
        );
        is_plain || self.kind() == Some("rateLimited")
    }

    /// The way that did not convince the authority.
    pub fn failed_way(&self) -> Option<Way> {
        match &self.why {
            Why::Unproven { way, .. } => Some(*way),
            _ => None,
        }
    }

    /// The kind of problem, if the authority refuses.
    pub fn kind(&self) -> Option<&str> {
        match &self.why {
            Why::Refused(refusal) | Why::Unproven { refusal, .. } => refusal.kind.as_deref(),
            _ => None,
        }
    }
}

impl From<Why> for Failure {
    fn from(why: Why) -> Self {
        Self {
            why,
            retry_after: None,
        }
    }
}

impl Refusal {
    /// The words of a problem document.
    pub(crate) fn of(problem: &Problem) -> Self {
        let kind = problem.r#type.as_deref();
        let kind = kind.map(|kind| shown(kind.strip_prefix(KINDS).unwrap_or(kind)));
        let mut detail = problem.detail.clone().unwrap_or_default();
        for subproblem in &problem.subproblems {
            if !detail.is_empty() {
                detail.push_str("; ");
            }
            detail.push_str(&subproblem.to_string());
        }
        Self {
            kind,
            detail: shown(&detail),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.detail.as_str(), self.kind.as_deref()) {
            ("", None) => f.write_str("it gives no reason"),
            ("", Some(kind)) => f.write_str(kind),
            (detail, None) => f.write_str(detail),
            (detail, Some(kind)) => write!(f, "{detail} ({kind})"),
        }
    }
}

impl From<Error> for Why {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => Self::Refused(Refusal::of(&problem)),
            Error::Timeout(_) => Self::TimedOut("decided"),
            Error::Other(other) => match other.downcast::<ClientError>() {
                Ok(error) => Self::Client(*error),
                Err(other) => Self::Protocol(shown(&other.to_string())),
            },
            other => Self::Protocol(shown(&other.to_string())),
        }
    }
}

/// A text of the authority, as it may stand in a line of the log.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text
        .trim()
        .trim_end_matches('.')
        .chars()
        .take(SHOWN_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().count() > SHOWN_MAX {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(json: &str) -> Refusal {
        Refusal::of(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn words_of_the_authority_stay_on_one_line_and_short() {
        let limited = refusal(
            r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many\r\ncertificates.","status":429}"#,
        );
        assert_eq!(limited.kind.as_deref(), Some("rateLimited"));
        assert_eq!(limited.to_string(), "too many  certificates (rateLimited)");
        assert_eq!(refusal("{}").to_string(), "it gives no reason");
        assert_eq!(refusal(r#"{"type":"about:blank"}"#).to_string(), "about:blank");
        assert_eq!(shown(&"é".repeat(1000)).chars().count(), SHOWN_MAX + 1);
    }

    #[test]
    fn subproblems_are_told() {
        let both = refusal(
            r#"{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"some names are refused",
                "subproblems":[{"type":"urn:ietf:params:acme:error:caa","detail":"CAA forbids it",
                                "identifier":{"type":"dns","value":"a.test"}}]}"#,
        );
        assert!(
            both.detail.contains("a.test") && both.detail.contains("CAA forbids it"),
            "{both}"
        );
    }

    fn failure(kind: &str) -> Failure {
        Failure::from(Why::Refused(Refusal {
            kind: Some(kind.to_owned()),
            detail: String::new(),
        }))
    }

    #[test]
    fn too_many_are_told_by_the_kind_or_the_status() {
        let plain = |status| Failure::from(Why::Client(ClientError::Status(status)));
        assert!(failure("rateLimited").is_for_too_many());
        assert!(plain(StatusCode::TOO_MANY_REQUESTS).is_for_too_many());
        assert!(!failure("rejectedIdentifier").is_for_too_many());
        assert!(!plain(StatusCode::SERVICE_UNAVAILABLE).is_for_too_many());
    }

    #[test]
    fn only_an_unknown_account_is_gone() {
        assert!(failure("accountDoesNotExist").is_account_gone());
        assert!(!failure("unauthorized").is_account_gone());
        assert!(!Failure::from(Why::TimedOut("decided")).is_account_gone());
    }
}
