//! Content types of bodies that the config has.

use waypost_wire::token;

use crate::diagnostic::Code;
use crate::keys::At;
use crate::problems::{Problems, quote};
use crate::values::Text;

/// Reports a type that no header can have; `example` is one for the hint.
pub(super) fn check(written: &At<Text>, example: &str, problems: &mut Problems) {
    if !written.value.is_empty() && token::is_field_value(written.value.as_bytes()) {
        return;
    }
    problems
        .add(
            Code::BadValue,
            written.span,
            format!("{} is not allowed in a header", quote(&written.value)),
        )
        .help(format!("write a type such as `{example}`"));
}
