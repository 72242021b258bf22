//! HTTP statuses, alone or by class.

use std::ops::RangeInclusive;

use schemars::{Schema, SchemaGenerator, json_schema};
use waypost_plan::failures::STATUSES;

use crate::diagnostic::Code;
use crate::keys::{Read, wrong_type};
use crate::problems::{Problems, quote};
use crate::tree::Node;
use crate::values::{VARIABLE, text_of};

/// A status such as `429`, or a class such as `5xx`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statuses(pub(crate) RangeInclusive<u16>);

/// A status, a class, or a range such as `200-299`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatusRange(pub(crate) RangeInclusive<u16>);

impl StatusRange {
    /// The statuses that `text` means; `None` if it is none of the forms.
    fn parse(text: &str) -> Option<RangeInclusive<u16>> {
        match text.split_once('-') {
            None => Statuses::parse(text),
            Some((first, last)) => {
                let (first, last) = (Statuses::parse(first.trim())?, Statuses::parse(last.trim())?);
                Some(*first.start()..=*last.end())
            }
        }
    }
}

impl Read for StatusRange {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        const HELP: &str =
            "write a status such as `204`, a range such as `200-299`, or a class such as `2xx`";
        let Some(text) = text_of(node) else {
            wrong_type(node, &Self::words(), problems);
            return None;
        };
        let Some(range) = Self::parse(text) else {
            problems
                .add(
                    Code::BadValue,
                    node.span,
                    format!("expected {}, found {}", Self::words(), quote(text)),
                )
                .help(HELP);
            return None;
        };
        if !STATUSES.contains(range.start()) || !STATUSES.contains(range.end()) || range.is_empty() {
            problems
                .add(
                    Code::OutOfRange,
                    node.span,
                    match range.is_empty() {
                        true => "the range ends before it begins",
                        false => "the status is out of range: 100 to 599",
                    },
                )
                .help(HELP);
            return None;
        }
        Some(Self(range))
    }

    fn words() -> String {
        "a status, or a range or class of them".to_owned()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        let status = "[1-5](xx|[0-9]{2})";
        json_schema!({
            "type": ["integer", "string"],
            "minimum": STATUSES.start(),
            "maximum": STATUSES.end(),
            "pattern": format!("^{status}( ?- ?{status})?$|{VARIABLE}"),
        })
    }

    fn help_if_empty() -> &'static str {
        "write statuses and ranges, such as `[200-299, 401]`"
    }
}

/// The class that a range such as `500-599` is.
fn class_of_range(text: &str) -> Option<&'static str> {
    const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    let range = text.split_once('-').or_else(|| text.split_once(".."))?;
    let mut classes = CLASSES.into_iter();
    classes.find(|class| {
        let digit = &class[..1];
        (range.0.trim(), range.1.trim()) == (&format!("{digit}00"), &format!("{digit}99"))
    })
}

impl Statuses {
    /// Returns true if all of `other` is in it.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.0.start() <= other.0.start() && other.0.end() <= self.0.end()
    }

    /// The statuses that `text` means; `None` if it is neither a number nor a class.
    fn parse(text: &str) -> Option<RangeInclusive<u16>> {
        if let Some(class) = text.strip_suffix("xx") {
            let class: u16 = class.parse().ok().filter(|_| class.len() == 1)?;
            return Some(class * 100..=class * 100 + 99);
        }
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let status = text.parse().unwrap_or(u16::MAX);
        is_number.then_some(status..=status)
    }
}

impl Read for Statuses {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let Some(text) = text_of(node) else {
            wrong_type(node, &Self::words(), problems);
            return None;
        };
        match Self::parse(text) {
            Some(statuses) if STATUSES.contains(statuses.start()) => Some(Self(statuses)),
            Some(_) => {
                problems
                    .add(
                        Code::OutOfRange,
                        node.span,
                        "the status is out of range: 100 to 599",
                    )
                    .help("write a status from 100 to 599, or a class from `1xx` to `5xx`");
                None
            }
            None => {
                let lower = text.to_ascii_lowercase();
                let class = class_of_range(text).map(str::to_owned);
                let help = match class.or_else(|| Self::parse(&lower).map(|_| lower)) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "write a status such as `429`, or a class such as `5xx`".to_owned(),
                };
                problems
                    .add(
                        Code::BadValue,
                        node.span,
                        format!("expected {}, found {}", Self::words(), quote(text)),
                    )
                    .help(help);
                None
            }
        }
    }

    fn words() -> String {
        "a status, or a class of them".to_owned()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"],
            "minimum": STATUSES.start(),
            "maximum": STATUSES.end(),
            "pattern": format!("^[1-5](xx|[0-9]{{2}})$|{VARIABLE}"),
        })
    }

    fn help_if_empty() -> &'static str {
        "write statuses and classes, such as `[5xx, 429]`"
    }
}
