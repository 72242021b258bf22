//! Services that are asked who may pass.

use std::time::Duration;

use waypost_plan::auth::ask::{Ask, NamedService};
use waypost_wire::field::FieldKind;

use crate::collections::List;
use crate::diagnostic::Code;
use crate::document::auth::AskWay;
use crate::keys::At;
use crate::lower::destination::check_path;
use crate::lower::effect::Use;
use crate::lower::{Context, duration, header_name, split};
use crate::problems::{Problems, quote};
use crate::values::Text;

/// The headers of a request that a question has, where nothing is said.
const SEND: [&str; 2] = ["cookie", "authorization"];
/// The time for an answer, where nothing is said.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The shortest time.
const TIME_MIN: Duration = Duration::from_millis(1);

/// Lowers the way of a service that is asked.
pub(super) fn way(written: &At<AskWay>, context: &mut Context<'_>) -> Option<Ask> {
    let given = &written.value;
    let to = given.to.as_ref().and_then(|to| {
        // A service that could not be read is reported already.
        let id = split::resolve(&to.value, to.span, Use::Questions, context)?;
        Some(NamedService {
            id,
            name: (*to.value).into(),
        })
    });
    let problems = &mut *context.problems;
    let path = match &given.path {
        None => Some("/".into()),
        Some(path) => check_path(path, problems).then(|| (*path.value).into()),
    };
    let take = match &given.take {
        None => Box::default(),
        Some(take) => names(
            take,
            is_taken,
            "a request gets this header from the gateway",
            problems,
        ),
    };
    let send = match &given.send {
        None => SEND.map(Box::from).into(),
        Some(send) => names(
            send,
            is_sent,
            "a question has this header from the gateway",
            problems,
        ),
    };
    let mut time = |time: &Option<Box<At<_>>>| {
        let time = time.as_deref()?;
        Some(duration(time, TIME_MIN, problems))
    };
    let cache = time(&given.cache);
    let timeout = time(&given.timeout).unwrap_or(TIMEOUT);
    Some(Ask {
        to: to?,
        path: path?,
        take,
        send,
        open: given.open.as_ref().is_some_and(|open| open.value),
        cache,
        timeout,
    })
}

/// Lowers names of headers; reports those that are not `allowed`.
fn names(
    written: &At<List<Text>>,
    allowed: fn(FieldKind) -> bool,
    reason: &str,
    problems: &mut Problems,
) -> Box<[Box<str>]> {
    let mut names: Vec<Box<str>> = Vec::new();
    for item in &written.value.0 {
        let Some(name) = header_name::of(item, problems) else {
            continue;
        };
        if !allowed(FieldKind::of_dashed(name.as_bytes())) {
            problems
                .add(Code::BadName, item.span, format!("{}: {reason}", quote(&name)))
                .help("leave it out");
        } else if names.contains(&name) {
            problems
                .add(
                    Code::NoEffect,
                    item.span,
                    format!("{} is named already", quote(&name)),
                )
                .help("leave it out here");
        } else {
            names.push(name);
        }
    }
    names.into()
}

/// Returns true if a request may get a header of this kind from an answer: none of framing, and none of what the gateway
/// tells of the client.
fn is_taken(kind: FieldKind) -> bool {
    matches!(kind, FieldKind::Forwarding | FieldKind::RequestId) || is_sent(kind)
}

/// Returns true if a question may have the client's header of this kind.
fn is_sent(kind: FieldKind) -> bool {
    matches!(
        kind,
        FieldKind::Other
            | FieldKind::Credentials
            | FieldKind::Accept
            | FieldKind::ContentType
            | FieldKind::Date
            | FieldKind::RequestId
    )
}
