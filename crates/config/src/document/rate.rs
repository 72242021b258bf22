//! Rate limits.

use schemars::{Schema, SchemaGenerator, json_schema};
use waypost_plan::rate::RateKey;

use crate::diagnostic::Code;
use crate::document::Document;
use crate::either::WordOr;
use crate::keys::Presence::{Default as Fallback, Optional, Required};
use crate::keys::{Read, keys};
use crate::numbers::Whole;
use crate::problems::{Problems, quote};
use crate::suggest::rate;
use crate::times::{DurationText, PeriodText};
use crate::tree::Node;
use crate::values::{Text, read_word, text_of, words};

/// The words of `by`.
const KEYS: [(&str, RateKey); 3] = [
    ("client_ip", RateKey::ClientIp),
    ("identity", RateKey::Identity),
    ("route", RateKey::Route),
];

/// `on` if responses tell of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    On,
    Off,
}

words! {
    Told { "on" => Told::On, "off" => Told::Off }
}

impl Read for RateKey {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let meant = text_of(node).filter(|text| !KEYS.iter().any(|(word, _)| *word == &***text));
        if let Some(text) = meant
            && let Some(meant) = rate::key(text)
        {
            let problem = problems
                .add(
                    Code::UnknownWord,
                    node.span,
                    format!("expected {}, or a mapping, found {}", Self::words(), quote(text)),
                )
                .help(format!("write `{meant}`"));
            if let Some(written) = node.written() {
                problem.propose(node.span, written, meant);
            }
            return None;
        }
        read_word(node, &KEYS, problems)
    }

    fn words() -> String {
        KEYS.map(|(word, _)| format!("`{word}`")).join(" or ")
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": KEYS.map(|(word, _)| word) })
    }
}

keys! {
    root Document;

    /// A rate limit: so many requests in a time, for each client or for each value of another key.
    ///
    /// Requests over it get 429, with `Retry-After`. They may come at any pace as long as no more of them are ahead of an
    /// even one than `burst` allows (the generic cell rate algorithm). A request that is refused is counted at no limit.
    RateLimit, "a rate limit" {
        /// Requests in the time `per`.
        requests: Whole = Required, "10";
        /// The time, from 1ms to a year.
        per: PeriodText = Required, "1s";
        /// Requests that may pass at once from rest. Defaults to `requests`.
        burst: Whole = Optional, "20";
        /// The value that is limited: each of its values may have as many requests.
        ///
        /// `client_ip`: the client's address, of IPv6 its /64. `identity`: the name that `auth` verified. `route`: all
        /// requests of a route together. A mapping names a header or a cookie. Where a request has no such value, or an
        /// empty one, its client's address counts.
        by: WordOr<RateKey, RateBy> = Fallback("client_ip"), "{ header: x-tenant }";
        /// Counts requests over the limit, and lets them pass.
        report_only: bool = Fallback("false"), "true";
        /// `off` for responses without `RateLimit-Policy` and `RateLimit`, which tell clients of the limit.
        ///
        /// Clients are never told of a limit that is only reported.
        headers: Told = Fallback("on"), "off";
    }

    /// The value of a request that is limited. Has either `header` or `cookie`.
    RateBy, "a `by`" {
        /// Header, such as one with a tenant's name.
        header: Text = Optional, "x-tenant";
        /// Cookie.
        cookie: Text = Optional, "session";
    }
}

impl PeriodText {
    /// The same as a duration.
    pub(crate) fn duration(self) -> DurationText {
        DurationText(self.0)
    }
}
