//! Names of headers, for keys whose value is one.

use waypost_wire::token;

use crate::diagnostic::Code;
use crate::keys::At;
use crate::problems::{Problems, quote};
use crate::values::Text;

/// Lowers the name of a header, in lower case. Reports one that is no token (RFC 9110 §5.1).
pub(super) fn of(written: &At<Text>, problems: &mut Problems) -> Option<Box<str>> {
    // They are characters of a token, but no header has them in its name: a pattern is meant.
    let is_pattern = written.value.contains('*') || written.value.starts_with(['~', '^']);
    if token::is_token(written.value.as_bytes()) && !is_pattern {
        return Some(written.value.to_ascii_lowercase().into());
    }
    problems
        .add(
            Code::BadName,
            written.span,
            format!("{} is not the name of a header", quote(&written.value)),
        )
        .help(match is_pattern {
            true => "there are no patterns here: list each header by its name",
            false => "a header's name has letters, digits, `-` and a few others",
        });
    None
}
