//! Types of values that are numbers: whole ones, sizes and percentages.

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::diagnostic::Code;
use crate::keys::{Read, wrong_type};
use crate::problems::{Problems, quote};
use crate::size;
use crate::tree::Node;
use crate::values::{VARIABLE, is_one_of, text_of};

/// A whole number. Digits in quotes are accepted, since `${NAME}` must be quoted in `{…}`.
pub(crate) type Whole = u64;

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// A size, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SizeOrNone(pub(crate) Option<u64>);

/// A size per second, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateOrNone(pub(crate) Option<u64>);

/// A percentage, in thousandths of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Percent(pub(crate) u64);

impl Read for Whole {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let Some(text) = text_of(node) else {
            wrong_type(node, "a whole number", problems);
            return None;
        };
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            let problem = problems.add(
                Code::WrongType,
                node.span,
                format!("expected a whole number, found {}", quote(text)),
            );
            match unsigned(text).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())) {
                Some(digits) => {
                    let problem = problem.help(format!("write `{digits}`"));
                    problem.propose(node.span, text, digits);
                }
                None => {
                    problem.help("write digits only, such as `95`");
                }
            }
            return None;
        }
        let number = text.parse().ok();
        if number.is_none() {
            problems.add(
                Code::OutOfRange,
                node.span,
                format!("the number is too large; {} is the most", u64::MAX),
            );
        }
        number
    }

    fn words() -> String {
        "a whole number".to_owned()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"],
            "minimum": 0,
            "pattern": format!("^[0-9]+$|{VARIABLE}"),
        })
    }
}

fn read_size(node: &Node, expected: &str, problems: &mut Problems) -> Option<u64> {
    let Some(text) = text_of(node) else {
        wrong_type(node, expected, problems);
        return None;
    };
    match size::parse(text) {
        Ok(size) => Some(size),
        Err(error) => {
            let problem = problems.add(Code::BadValue, node.span, error.to_string());
            if let Some(meant) = size::corrected(text) {
                problem.did_you_mean(node.span, text, &meant);
            }
            None
        }
    }
}

impl Read for Size {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        read_size(node, "a size such as `64KiB`", problems).map(Self)
    }

    fn words() -> String {
        "a size".to_owned()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"],
            "minimum": 0,
            "pattern": format!("^[0-9]+([KMG]iB)?$|{VARIABLE}"),
        })
    }
}

impl Read for SizeOrNone {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        if text_of(node).is_some_and(|text| &**text == "none") {
            return Some(Self(None));
        }
        if is_one_of(node, &["off", "false", "no", "unlimited", "infinite"]) {
            let problem = problems
                .add(
                    Code::BadValue,
                    node.span,
                    format!(
                        "expected a size such as `64KiB`, or `none`, found {}",
                        node.found()
                    ),
                )
                .help("write `none` for no bound");
            if let Some(written) = node.written() {
                problem.mend(node.span, written, "none");
            }
            return None;
        }
        read_size(node, "a size such as `64KiB`, or `none`", problems).map(|size| Self(Some(size)))
    }

    fn words() -> String {
        "a size, or `none`".to_owned()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"],
            "minimum": 0,
            "pattern": format!("^([0-9]+([KMG]iB)?|none)$|{VARIABLE}"),
        })
    }
}

impl Read for RateOrNone {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let per_second = text_of(node).and_then(|text| text.strip_suffix("/s"));
        if let Some(Ok(size)) = per_second.map(size::parse) {
            return Some(Self(Some(size)));
        }
        SizeOrNone::read(node, problems).map(|size| Self(size.0))
    }

    fn words() -> String {
        "a size per second, or `none`".to_owned()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"],
            "minimum": 1,
            "pattern": format!("^([0-9]+([KMG]iB)?(/s)?|none)$|{VARIABLE}"),
        })
    }
}

/// Returns a percentage without its sign, if it has one.
fn unsigned(text: &str) -> Option<&str> {
    let number = text.strip_suffix('%')?.trim_end();
    (!number.is_empty()).then_some(number)
}

impl Percent {
    /// 100 percent.
    pub(crate) const ALL: Self = Self(100_000);

    /// `10`, `0.5` or `12.125`.
    fn parse(text: &str) -> Option<Self> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > 3 {
            return None;
        }
        let whole: u64 = whole.parse().ok()?;
        let thousandths: u64 = format!("{decimals:0<3}").parse().ok()?;
        Some(Self(whole.checked_mul(1000)?.checked_add(thousandths)?))
    }
}

impl Read for Percent {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let Some(text) = text_of(node) else {
            wrong_type(node, "a percentage", problems);
            return None;
        };
        match Self::parse(text) {
            Some(percent) if percent.0 <= Self::ALL.0 => Some(percent),
            Some(_) => {
                problems
                    .add(
                        Code::OutOfRange,
                        node.span,
                        "the percentage is out of range: 0 to 100",
                    )
                    .help("write a number from 0 to 100");
                None
            }
            None => {
                let problem = problems.add(
                    Code::WrongType,
                    node.span,
                    format!("expected a percentage, found {}", quote(text)),
                );
                let meant = unsigned(text).filter(|number| {
                    let percent = Self::parse(number);
                    percent.is_some_and(|percent| percent.0 > 0 && percent.0 <= Self::ALL.0)
                });
                match meant {
                    Some(number) => {
                        let problem = problem.help(format!("write `{number}`"));
                        problem.propose(node.span, text, number);
                    }
                    None => {
                        problem.help("write a number such as `10` or `0.5`, with three decimals at most");
                    }
                }
                None
            }
        }
    }

    fn words() -> String {
        "a percentage".to_owned()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["number", "string"],
            "minimum": 0,
            "maximum": 100,
            "pattern": format!("^[0-9]+([.][0-9]{{1,3}})?$|{VARIABLE}"),
        })
    }
}
