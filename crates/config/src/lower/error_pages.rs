//! Error pages.

use std::sync::Arc;

use waypost_plan::error_pages::{ErrorPage, ErrorsFrom, GATEWAY_STATUSES, PageBody};
use waypost_plan::failures::StatusSet;
use waypost_plan::header_edits::HeaderEdits;

use crate::collections::NonEmptyList;
use crate::diagnostic::Code;
use crate::document;
use crate::files::Mention;
use crate::keys::At;
use crate::lower::pattern::Pattern;
use crate::lower::{Context, content_type, header_edits, value, whole};
use crate::place::Span;
use crate::problems::{Problems, quote, warn_of_variable};
use crate::suggest::variable::Place;
use crate::values::Text;

/// The statuses that can have a page.
const ERRORS: std::ops::RangeInclusive<u16> = 400..=599;
/// The media type of texts.
const TEXT: &str = "text/plain; charset=utf-8";
/// The media types of files, by extension.
const MEDIA_TYPES: [(&str, &str); 10] = [
    ("html", "text/html; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("json", "application/json"),
    ("xml", "application/xml"),
    ("md", "text/markdown; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("pdf", "application/pdf"),
];

/// Statuses of responses that routes configure without a body, which are the gateway's errors, too.
pub(super) fn bodiless(document: &document::Document) -> StatusSet {
    let mut statuses = StatusSet::default();
    let routes = document.routes.iter().flat_map(|routes| &routes.value.0);
    for respond in routes.filter_map(|route| route.value.respond.as_ref()) {
        let respond = &respond.value;
        let has_body = respond.body.as_ref().is_some_and(|body| !body.value.is_empty());
        if let Some(status) = &respond.status
            && !has_body
            && let Ok(status) = u16::try_from(status.value)
        {
            statuses.add(status..=status);
        }
    }
    statuses
}

/// Lowers a list of error pages, in whose texts the parameters of `patterns` may stand; reports and leaves out those that
/// are not allowed.
pub(super) fn of(
    written: &NonEmptyList<document::error_page::ErrorPage>,
    patterns: &[Pattern],
    context: &mut Context<'_>,
) -> Arc<[ErrorPage]> {
    let mut pages = Vec::new();
    for (at, one) in written.0.iter().enumerate() {
        report_needless(one, &written.0[..at], context);
        pages.extend(page(one, patterns, context));
    }
    pages.into()
}

fn page(
    written: &At<document::error_page::ErrorPage>,
    patterns: &[Pattern],
    context: &mut Context<'_>,
) -> Option<ErrorPage> {
    let given = &written.value;
    let problems = &mut *context.problems;
    check_statuses(given, problems);
    // Misspelt keys, and values that could not be read, are reported already.
    let known = &document::error_page::ErrorPage::TABLE.keys;
    let is_known = |key: &str| known.iter().any(|known| known.name == key);
    let mut keys = given.given.keys();
    let misread = keys.any(|key| matches!(key, "body" | "file") || !is_known(key));
    match (&given.body, &given.file) {
        (None, None) if !misread => {
            problems
                .add(Code::MissingKey, written.span, "the error page has no text")
                .help("add `body` with the text, or `file` with the path of a file that has it");
        }
        (Some(body), Some(file)) => {
            problems
                .add(
                    Code::ConflictingKeys,
                    file.key,
                    "an error page has either `body` or `file`",
                )
                .label(body.key, "the other one")
                .help("keep one of them");
        }
        _ => {}
    }
    let text = given.body.as_deref().map(|body| {
        warn_of_variable(&body.value, body.span, Place::Body, problems);
        value::free_text(body, Place::Body, patterns, problems)
    });
    let file = given.file.as_ref().filter(|file| check_file(file, problems));
    if let Some(kind) = &given.content_type {
        content_type::check(kind, "text/html", problems);
    }
    let sent = given.sent.as_ref().map(|sent| {
        let status = whole(sent, 200, 599, problems);
        let has_text = file.is_some() || given.body.as_ref().is_some_and(|body| !body.value.is_empty());
        if matches!(status, 204 | 205 | 304) && has_text {
            problems
                .add(
                    Code::IgnoredBody,
                    sent.span,
                    format!("a response of status {status} has no body"),
                )
                .help("choose another status, or write `body: \"\"`");
        }
        u16::try_from(status).unwrap_or(u16::MAX)
    });
    let headers = headers(given, patterns, problems);
    if let Some(file) = file {
        context.files.pages.push(Mention {
            path: (*file.value).into(),
            place: file.span,
        });
    }
    let body = match (text, file) {
        (Some(text), _) => PageBody::Text(text),
        (None, Some(file)) => PageBody::File((*file.value).into()),
        (None, None) => return None,
    };
    let content_type = match (&given.content_type, &body) {
        (Some(kind), _) => (*kind.value).into(),
        (None, PageBody::File(path)) => media_type(path).into(),
        (None, PageBody::Text(_)) => TEXT.into(),
    };
    Some(ErrorPage {
        statuses: statuses(given),
        from: from(given),
        body,
        content_type,
        status: sent,
        headers,
    })
}

fn statuses(given: &document::error_page::ErrorPage) -> StatusSet {
    let mut set = StatusSet::default();
    for statuses in given.status.iter().flat_map(|list| &list.value.0) {
        set.add(statuses.value.0.clone());
    }
    set
}

fn from(given: &document::error_page::ErrorPage) -> ErrorsFrom {
    given.from.as_ref().map_or(ErrorsFrom::Gateway, |from| from.value)
}

/// The media type of a file, by its extension.
fn media_type(path: &str) -> &'static str {
    let extension = path.rsplit('/').next().and_then(|name| name.rsplit_once('.'));
    let extension = extension.map_or("", |(_, extension)| extension);
    let mut known = MEDIA_TYPES.iter();
    let found = known.find(|(known, _)| known.eq_ignore_ascii_case(extension));
    found.map_or(TEXT, |(_, media_type)| media_type)
}

/// Reports statuses that are no errors, and those that stand in the list twice.
fn check_statuses(given: &document::error_page::ErrorPage, problems: &mut Problems) {
    let list: Vec<_> = given.status.iter().flat_map(|list| &list.value.0).collect();
    for (at, statuses) in list.iter().enumerate() {
        let range = &statuses.value.0;
        if !ERRORS.contains(range.start()) {
            problems
                .add(
                    Code::OutOfRange,
                    statuses.span,
                    "the status is none of an error: 400 to 599",
                )
                .help("write a status from 400 to 599, `4xx` or `5xx`");
        }
        let others = list.iter().enumerate().filter(|(other, _)| *other != at);
        let twice = { others }.find(|(other, wider)| {
            wider.value.covers(&statuses.value) && (*other < at || !statuses.value.covers(&wider.value))
        });
        if let Some((_, wider)) = twice {
            // A class beside one of its own statuses says too much, but nothing wrong.
            let code = match wider.value == statuses.value {
                true => Code::BadErrorPage,
                false => Code::NoEffect,
            };
            problems
                .add(
                    code,
                    statuses.span,
                    "another item of the list has this status already",
                )
                .label(wider.span, "here")
                .help("leave one of them out");
        }
    }
}

/// Reports a path that names no file.
fn check_file(file: &At<Text>, problems: &mut Problems) -> bool {
    let path = &*file.value;
    let help = if path.is_empty() || path.ends_with('/') {
        "write the path of a file, such as `sorry.html`"
    } else if path.contains("://") {
        "pages are files on this machine: write a path such as `sorry.html`, or send the errors to clients as they are"
    } else if path.contains('\0') {
        "leave the control character out"
    } else {
        return true;
    };
    problems
        .add(
            Code::BadErrorPage,
            file.span,
            format!("{} is not the path of a file", quote(path)),
        )
        .help(help);
    false
}

fn headers(
    given: &document::error_page::ErrorPage,
    patterns: &[Pattern],
    problems: &mut Problems,
) -> HeaderEdits {
    let mut edits = HeaderEdits::default();
    for (name, value) in given.headers.iter().flat_map(|headers| &headers.value.0) {
        if name.eq_ignore_ascii_case("content-type") {
            problems
                .add(
                    Code::BadErrorPage,
                    value.key,
                    "the media type of a page is not one of its `headers`",
                )
                .help(format!("write `content_type: {}`", value.value));
            continue;
        }
        let result = edits.set(
            name,
            value::free_text(value, Place::ResponseHeader, patterns, problems),
        );
        if result.is_ok() {
            warn_of_variable(&value.value, value.span, Place::ResponseHeader, problems);
        }
        header_edits::report(
            result,
            value.key,
            value.span,
            "a response has no `host`; leave it out",
            problems,
        );
    }
    edits
}

/// Warns of statuses that the gateway never makes, and of a page that earlier ones leave nothing for.
fn report_needless(
    written: &At<document::error_page::ErrorPage>,
    earlier: &[At<document::error_page::ErrorPage>],
    context: &mut Context<'_>,
) {
    let given = &written.value;
    let own = statuses(given);
    let mut left: Vec<u16> = ERRORS.filter(|status| own.contains(*status)).collect();
    let of_same = earlier.iter().filter(|other| from(&other.value) == from(given));
    let mut covering: Option<Span> = None;
    for other in of_same {
        let covered = statuses(&other.value);
        let before = left.len();
        left.retain(|status| !covered.contains(*status));
        if left.len() < before {
            covering = other.value.status.as_ref().map(|status| status.span);
        }
    }
    let place = given.status.as_ref().map_or(written.span, |status| status.span);
    if left.is_empty()
        && let Some(covering) = covering
    {
        context
            .problems
            .add(
                Code::UnusedErrorPage,
                place,
                "earlier pages of this list take all of these errors",
            )
            .label(covering, "as this one does")
            .help("leave it out, or put it in front");
        return;
    }
    if from(given) == ErrorsFrom::Service {
        return;
    }
    let is_made = |status: u16| GATEWAY_STATUSES.contains(&status) || context.bodiless.contains(status);
    for statuses in given.status.iter().flat_map(|list| &list.value.0) {
        let range = &statuses.value.0;
        if ERRORS.contains(range.start()) && !range.clone().any(is_made) {
            context
                .problems
                .add(
                    Code::UnusedErrorPage,
                    statuses.span,
                    format!("the gateway itself never responds with {}", range.start()),
                )
                .help("add `from: service` for the responses of services, or leave it out");
        }
    }
}
