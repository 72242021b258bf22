//! Reasons for a retry, as they are written: a word, a status, or the class `5xx`.

use std::ops::RangeInclusive;

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::diagnostic::Code;
use crate::keys::{Read, wrong_type};
use crate::problems::{Problems, quote};
use crate::suggest::nearest;
use crate::tree::Node;
use crate::values::{VARIABLE, text_of};

/// A reason for which an attempt is followed by another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RetryReason {
    Connect,
    Reset,
    Timeout,
    RefusedStream,
    Statuses(RangeInclusive<u16>),
}

const WORDS: [(&str, RetryReason); 4] = [
    ("connect", RetryReason::Connect),
    ("reset", RetryReason::Reset),
    ("timeout", RetryReason::Timeout),
    ("refused_stream", RetryReason::RefusedStream),
];

/// Statuses that can be listed. Any other is a result.
const STATUSES: RangeInclusive<u16> = 400..=599;

/// Words of other gateways, each with what is written here.
const FOREIGN: [(&[&str], &str); 5] = [
    (&["connect-failure", "conn-failure"], "connect"),
    (
        &["error", "empty-response", "junk-response", "invalid_header"],
        "reset",
    ),
    (&["response-timeout"], "timeout"),
    (&["gateway-error"], "502, 503, 504"),
    (
        &["all-retryable-errors"],
        "connect, reset, 502, 503, 504, timeout, refused_stream",
    ),
];

impl RetryReason {
    /// Returns true if every failure of the other reason is one of this.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Statuses(all), Self::Statuses(some)) => {
                all.start() <= some.start() && some.end() <= all.end()
            }
            _ => self == other,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if let Some((_, reason)) = WORDS.iter().find(|(word, _)| *word == text) {
            return Some(reason.clone());
        }
        let is_number = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(status) if is_number && STATUSES.contains(&status) => Some(Self::Statuses(status..=status)),
            _ => (text == "5xx").then_some(Self::Statuses(500..=599)),
        }
    }

    /// The hint at `text`, which is no reason.
    fn help(text: &str) -> String {
        let lower = text.to_ascii_lowercase();
        // nginx writes `http_503`.
        let plain = lower.strip_prefix("http_").unwrap_or(&lower);
        if Self::parse(plain).is_some() {
            return format!("did you mean `{plain}`?");
        }
        if plain == "non_idempotent" {
            return "list the methods in `methods`".to_owned();
        }
        let foreign = FOREIGN.iter().find(|(words, _)| words.contains(&plain));
        if let Some((_, meant)) = foreign {
            return format!("write `{meant}`");
        }
        match nearest(plain, WORDS.iter().map(|(word, _)| *word)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                "write `connect`, `reset`, `timeout`, `refused_stream`, a status from 400 to 599, or `5xx`"
                    .to_owned()
            }
        }
    }
}

impl Read for RetryReason {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let Some(text) = text_of(node) else {
            wrong_type(node, &Self::words(), problems);
            return None;
        };
        let reason = Self::parse(text);
        if reason.is_none() {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            let (code, message) = if is_number {
                let message = "the status is out of range: 400 to 599".to_owned();
                (Code::OutOfRange, message)
            } else {
                (
                    Code::UnknownWord,
                    format!("{} is not a reason for a retry", quote(text)),
                )
            };
            problems.add(code, node.span, message).help(Self::help(text));
        }
        reason
    }

    fn words() -> String {
        "`connect`, `reset`, `timeout`, `refused_stream`, a status or `5xx`".to_owned()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
        json_schema!({
            "type": ["integer", "string"],
            "minimum": STATUSES.start(),
            "maximum": STATUSES.end(),
            "pattern": format!("^({}|[45][0-9]{{2}}|5xx)$|{VARIABLE}", words.join("|")),
        })
    }

    fn help_if_empty() -> &'static str {
        "write reasons, such as `[connect, reset, 503]`"
    }
}
