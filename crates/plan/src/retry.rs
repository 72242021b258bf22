//! Retries: which attempts are followed by another, and within which bounds.

use std::time::Duration;

use crate::failures::StatusSet;

/// Retries of a route's requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Further attempts at most: at least 1. A hedge is one of them.
    pub attempts: u32,
    /// The attempts that are followed by another.
    pub on: RetryReasons,
    /// Retries of a service, in percent of its requests.
    pub budget: u32,
    /// The wait before the first retry at most; doubled with each.
    pub backoff: Duration,
    /// Timeout of each attempt, up to the head of its response; `None` for the service's own timeouts.
    pub timeout: Option<Duration>,
    /// Methods whose requests may be sent twice; `None` for the idempotent ones.
    pub methods: Option<Box<[Box<str>]>>,
    /// Bytes of a body that are held, so that it can be sent again.
    pub body: usize,
    /// The time without the head of a response after which another endpoint is asked besides.
    pub hedge: Option<Duration>,
}

/// Reasons for which an attempt is followed by another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetryReasons {
    /// No endpoint could be connected to.
    pub connect: bool,
    /// The connection or the stream ended before the head of the response, or the response was malformed.
    pub reset: bool,
    /// The head of the response did not come in time.
    pub timeout: bool,
    /// The endpoint refused the stream (RFC 9113 §8.7).
    pub refused_stream: bool,
    /// The response has one of these statuses.
    pub statuses: StatusSet,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 2,
            on: RetryReasons::usual(),
            budget: 20,
            backoff: Duration::from_millis(25),
            timeout: None,
            methods: None,
            body: 32 << 10,
            hedge: None,
        }
    }
}

/// Methods whose requests may be sent twice unless a retry names others: the idempotent ones (RFC 9110 §9.2.2). TRACE is
/// never forwarded.
pub const IDEMPOTENT: [&str; 5] = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"];

impl Retry {
    /// The methods whose requests may be sent twice.
    pub fn method_names(&self) -> Vec<&str> {
        match &self.methods {
            None => IDEMPOTENT.to_vec(),
            Some(methods) => methods.iter().map(|method| &**method).collect(),
        }
    }

    /// Returns true if a request with this method, which is idempotent or not, may be sent twice.
    pub fn permits(&self, method: &[u8], is_idempotent: bool) -> bool {
        match &self.methods {
            None => is_idempotent,
            Some(methods) => methods.iter().any(|known| known.as_bytes() == method),
        }
    }
}

impl RetryReasons {
    /// The reasons as they are written in a config.
    pub fn words(&self) -> Vec<String> {
        let given = [(self.connect, "connect"), (self.reset, "reset")];
        let mut words: Vec<String> = given.iter().filter(|(is_given, _)| *is_given).map(word).collect();
        let whole_class = (500..=599).all(|status| self.statuses.contains(status));
        let single = (400..=599).filter(|status| self.statuses.contains(*status));
        let single = single.filter(|status| !whole_class || *status < 500);
        words.extend(single.map(|status| status.to_string()));
        if whole_class {
            words.push("5xx".to_owned());
        }
        let given = [(self.timeout, "timeout"), (self.refused_stream, "refused_stream")];
        words.extend(given.iter().filter(|(is_given, _)| *is_given).map(word));
        words
    }

    /// Failures that another endpoint may not have, and that are none of the application.
    pub fn usual() -> Self {
        let mut statuses = StatusSet::default();
        statuses.add(502..=504);
        Self {
            connect: true,
            reset: true,
            timeout: true,
            refused_stream: true,
            statuses,
        }
    }
}

fn word((_, word): &(bool, &str)) -> String {
    (*word).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_named_as_they_are_written() {
        let usual = RetryReasons::usual();
        let written = [
            "connect",
            "reset",
            "502",
            "503",
            "504",
            "timeout",
            "refused_stream",
        ];
        assert_eq!(usual.words(), written);
        let mut few = RetryReasons::default();
        few.statuses.add(500..=599);
        few.statuses.add(429..=429);
        assert_eq!(few.words(), ["429", "5xx"]);
    }
}
