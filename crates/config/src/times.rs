//! Types of values that are times: durations, timeouts and delays.

use std::time::Duration;

use schemars::{Schema, SchemaGenerator, json_schema};
use waypost_plan::duration;

use crate::diagnostic::Code;
use crate::keys::{Read, wrong_type};
use crate::problems::{Problems, quote};
use crate::suggest::correction::accepted;
use crate::suggest::rate;
use crate::tree::Node;
use crate::values::{VARIABLE, is_one_of, text_of};

/// A duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DurationText(pub(crate) Duration);

/// A timeout: a duration, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeoutText(pub(crate) Option<Duration>);

/// A short duration: a number without a unit is most likely one of milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DelayText(pub(crate) Duration);

/// The time in which a number of requests may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeriodText(pub(crate) Duration);

/// Reads a duration, of which `example` is one, and `with_unit` gives a number its unit.
fn read_duration(
    node: &Node,
    example: &str,
    with_unit: impl Fn(&str) -> Option<String>,
    problems: &mut Problems,
) -> Option<Duration> {
    let Some(text) = text_of(node) else {
        wrong_type(node, &format!("a duration such as `{example}`"), problems);
        return None;
    };
    match duration::parse(text) {
        Ok(duration) => Some(duration),
        Err(error) => {
            let help = match error {
                duration::DurationError::NoUnit => with_unit(text),
                _ => whole_units(text),
            };
            let problem = problems.add(Code::BadValue, node.span, error.to_string());
            if let Some(meant) = help {
                problem.did_you_mean(node.span, text, &meant);
            }
            None
        }
    }
}

impl Read for DelayText {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let with_unit = |number: &str| with_unit(number, &["ms"]);
        read_duration(node, "95ms", with_unit, problems).map(Self)
    }

    fn words() -> String {
        DurationText::words()
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        DurationText::schema(generator)
    }
}

impl Read for DurationText {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let with_unit = |number: &str| {
            // A long number is one of milliseconds.
            let is_long = number.parse::<u64>().is_ok_and(|number| number >= 10_000);
            with_unit(number, if is_long { &["ms"] } else { &["s", "ms"] })
        };
        read_duration(node, "10s", with_unit, problems).map(Self)
    }

    fn words() -> String {
        "a duration".to_owned()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 2,
            "pattern": format!("^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$|{VARIABLE}"),
        })
    }
}

impl Read for PeriodText {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let text = text_of(node);
        if let Some(text) = text
            && let Some(meant) = rate::period(text)
        {
            problems
                .add(
                    Code::BadValue,
                    node.span,
                    format!("expected a duration such as `1s`, found {}", quote(text)),
                )
                .did_you_mean(node.span, text, meant);
            return None;
        }
        read_duration(node, "1s", |number| with_unit(number, &["s"]), problems).map(Self)
    }

    fn words() -> String {
        DurationText::words()
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        DurationText::schema(generator)
    }
}

impl Read for TimeoutText {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        if text_of(node).is_some_and(|text| &**text == "none") {
            return Some(Self(None));
        }
        if is_one_of(
            node,
            &["off", "false", "no", "never", "infinite", "infinity", "unlimited"],
        ) {
            problems
                .add(
                    Code::BadValue,
                    node.span,
                    format!(
                        "expected a duration such as `10s`, or `none`, found {}",
                        node.found()
                    ),
                )
                .help("write `none` for no timeout");
            return None;
        }
        DurationText::read(node, problems).map(|time| Self(Some(time.0)))
    }

    fn words() -> String {
        "a duration, or `none`".to_owned()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 2,
            "pattern": format!("^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$|^none$|{VARIABLE}"),
        })
    }
}

/// Returns a number with the first of `units` that it can be meant in.
fn with_unit(number: &str, units: &[&str]) -> Option<String> {
    const MAX: Duration = Duration::from_secs(24 * 60 * 60);
    units.iter().find_map(|unit| {
        accepted(format!("{number}{unit}"), |text| match duration::parse(text) {
            Ok(duration) if !duration.is_zero() && duration <= MAX => Ok(()),
            _ => Err(()),
        })
    })
}

/// Returns a duration with a fraction, such as `0.5s`, in milliseconds; `None` for anything else.
fn whole_units(text: &str) -> Option<String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let unit_ms = match &text[number.len()..] {
        "s" => 1e3,
        "m" => 60e3,
        "h" => 3600e3,
        _ => return None,
    };
    let is_fraction = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let ms = number.parse::<f64>().ok().filter(|_| is_fraction)? * unit_ms;
    let is_whole = ms >= 1.0 && ms.fract() == 0.0 && ms <= 24.0 * 3600e3;
    is_whole.then(|| format!("{ms:.0}ms"))
}
