//! Edits of headers.

use waypost_plan::header_edits::{HeaderEditError, HeaderEdits};

use crate::diagnostic::Code;
use crate::document;
use crate::lower::pattern::Pattern;
use crate::lower::value;
use crate::place::Span;
use crate::problems::{Problems, warn_of_variable};
use crate::suggest::variable::Place;

/// Lowers edits of request headers, in which the parameters of `patterns` may stand.
pub(super) fn of_requests(
    written: &document::route::HeaderEdits,
    patterns: &[Pattern],
    problems: &mut Problems,
) -> HeaderEdits {
    let host_help = "use `rewrite: { host: … }`";
    of(written, host_help, Place::RequestHeader, patterns, problems)
}

/// Lowers edits of response headers, in which the parameters of `patterns` may stand.
pub(super) fn of_responses(
    written: &document::route::HeaderEdits,
    patterns: &[Pattern],
    problems: &mut Problems,
) -> HeaderEdits {
    let host_help = "a response has no `host`; leave it out";
    of(written, host_help, Place::ResponseHeader, patterns, problems)
}

/// Lowers header edits; reports and leaves out those that are not allowed.
fn of(
    written: &document::route::HeaderEdits,
    host_help: &str,
    place: Place,
    patterns: &[Pattern],
    problems: &mut Problems,
) -> HeaderEdits {
    let mut edits = HeaderEdits::default();
    for name in written.remove.iter().flat_map(|list| &list.value.0) {
        let result = edits.remove(&name.value);
        report(result, name.span, name.span, host_help, problems);
    }
    for (name, value) in written.set.iter().flat_map(|set| &set.value.0) {
        let result = edits.set(name, value::free_text(value, place, patterns, problems));
        if result.is_ok() {
            warn_of_variable(&value.value, value.span, place, problems);
        }
        report(result, value.key, value.span, host_help, problems);
    }
    for (name, value) in written.add.iter().flat_map(|add| &add.value.0) {
        let result = edits.add(name, value::free_text(value, place, patterns, problems));
        if result.is_ok() {
            warn_of_variable(&value.value, value.span, place, problems);
        }
        report(result, value.key, value.span, host_help, problems);
    }
    edits
}

/// Reports an edit that is not allowed.
pub(super) fn report(
    result: Result<(), HeaderEditError>,
    name: Span,
    value: Span,
    host_help: &str,
    problems: &mut Problems,
) {
    let Err(error) = result else {
        return;
    };
    let (span, help) = match &error {
        HeaderEditError::Name(_) => (name, "a header's name has letters, digits, `-` and a few others"),
        HeaderEditError::Value(_) => (
            value,
            "leave out blanks at the ends, tabs aside all control characters",
        ),
        HeaderEditError::Host => (name, host_help),
        HeaderEditError::Reserved(_) => (
            name,
            "it frames a message or is meant for one connection; leave it out",
        ),
        HeaderEditError::Twice(_) => (name, "a name stands in one of `set`, `add` and `remove`, once"),
    };
    problems
        .add(Code::BadHeaderEdit, span, error.to_string())
        .help(help);
}
