//! Destinations of the gateway's own requests.

use waypost_plan::rollout::Destination;

use crate::diagnostic::Code;
use crate::document;
use crate::keys::At;
use crate::lower::effect::Use;
use crate::lower::{Context, split};
use crate::problems::{Problems, quote};
use crate::values::Text;

/// The destination that a rollout asks before every step.
pub(super) fn of_hook(
    written: &document::rollout::Rollout,
    context: &mut Context<'_>,
) -> Option<Destination> {
    let hooks = &written.hooks.as_ref()?.value;
    destination(&hooks.before_step.as_ref()?.value, context)
}

/// The destination that a rollout tells of every change.
pub(super) fn of_notify(
    written: &document::rollout::Rollout,
    context: &mut Context<'_>,
) -> Option<Destination> {
    destination(&written.notify.as_ref()?.value, context)
}

fn destination(written: &document::rollout::Destination, context: &mut Context<'_>) -> Option<Destination> {
    let service = written.to.as_ref().filter(|to| {
        // A service that is misspelt, or could not be read, is reported already.
        split::resolve(&to.value, to.span, Use::Calls, context).is_some()
    });
    let path = written.path.as_ref();
    let path = path.filter(|path| check_path(path, context.problems));
    Some(Destination {
        service: (*service?.value).into(),
        path: (*path?.value).into(),
    })
}

/// Returns true if this is a path, with or without a query (RFC 3986 §3.3 and §3.4); reports it otherwise.
pub(super) fn check_path(written: &At<Text>, problems: &mut Problems) -> bool {
    let text = &*written.value;
    let odd = text
        .char_indices()
        .find(|(at, char)| !may_be_in_path(*char) || (*char == '%' && !is_encoded(&text[*at..])));
    let (message, help) = match odd {
        None if text.starts_with('/') => return true,
        None => (
            format!("{} is not the path of a request", quote(text)),
            match text.contains("://") {
                true => "name the service in `to`, and write the path alone, such as `/may`".to_owned(),
                false => format!("begin it with a slash: `/{text}`"),
            },
        ),
        Some((_, '#')) => (
            format!("{} has a fragment, which no request sends", quote(text)),
            "leave `#` and the rest out, or write `%23`".to_owned(),
        ),
        Some((_, '%')) => (
            format!("{} has a `%` without two digits behind it", quote(text)),
            "write `%25` for a percent sign".to_owned(),
        ),
        Some((_, odd)) => {
            let mut buffer = [0; 4];
            let encoded: String = odd
                .encode_utf8(&mut buffer)
                .bytes()
                .map(|byte| format!("%{byte:02X}"))
                .collect();
            (
                format!(
                    "{} cannot stand in the path of a request",
                    quote(&odd.to_string())
                ),
                format!("write `{encoded}` for it"),
            )
        }
    };
    problems.add(Code::BadPath, written.span, message).help(help);
    false
}

fn may_be_in_path(char: char) -> bool {
    char.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/?%".contains(char)
}

/// Returns true if `text` begins with a percent-encoded byte.
fn is_encoded(text: &str) -> bool {
    let digits = text.as_bytes().get(1..3);
    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}
