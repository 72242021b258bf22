//! Numbers with decimals.

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::diagnostic::Code;
use crate::keys::{Read, wrong_type};
use crate::problems::{Problems, quote};
use crate::tree::Node;
use crate::values::{VARIABLE, text_of};

/// A number with decimals, from 0 to 1,000,000.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Decimal(pub(crate) f64);

/// The greatest number.
const MAX: f64 = 1_000_000.0;

impl Read for Decimal {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let Some(text) = text_of(node) else {
            wrong_type(node, "a number", problems);
            return None;
        };
        // `parse` also accepts signs, exponents, `inf`, and a point without digits beside it.
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_plain = digits(whole) && digits(decimals);
        match text.parse().ok().filter(|_| is_plain) {
            Some(number) if number <= MAX => Some(Self(number)),
            Some(_) => {
                problems
                    .add(
                        Code::OutOfRange,
                        node.span,
                        "the number is out of range: 0 to 1000000",
                    )
                    .help("write a smaller number");
                None
            }
            None => {
                problems
                    .add(
                        Code::WrongType,
                        node.span,
                        format!("expected a number, found {}", quote(text)),
                    )
                    .help("write a number such as `2` or `1.5`");
                None
            }
        }
    }

    fn words() -> String {
        "a number".to_owned()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["number", "string"],
            "minimum": 0,
            "maximum": MAX,
            "pattern": format!("^[0-9]+([.][0-9]+)?$|{VARIABLE}"),
        })
    }
}
