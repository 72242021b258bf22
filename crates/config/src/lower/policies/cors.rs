//! Requests from pages of other origins.

use std::time::Duration;

use waypost_plan::cors::{Cors, OriginError, OriginList, OriginPattern, Origins, Permitted};
use waypost_route::host::HostPatternError;
use waypost_route::request::is_refused_method;
use waypost_wire::token;

use crate::collections::List;
use crate::diagnostic::Code;
use crate::document;
use crate::either::AllOr;
use crate::keys::At;
use crate::lower::{header_name, matching};
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::suggest::correction::{before_path, plain};
use crate::times::DurationText;
use crate::values::Text;

/// The methods that pages may use where nothing is said.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
/// The headers that pages may send where nothing is said.
const HEADERS: &str = "authorization, content-type";

/// Lowers `cors`; reports and leaves out what is not allowed.
pub(super) fn of(written: &At<&document::cors::Cors>, problems: &mut Problems) -> Cors {
    let given = written.value;
    let credentials = given
        .credentials
        .as_deref()
        .filter(|credentials| credentials.value);
    let written = given.origins.as_deref();
    let origins = match written.map(|origins| (&origins.value, origins.span)) {
        // That it is missing is reported already.
        None => Origins::Listed(OriginList::default()),
        Some((AllOr::These(list), span)) if !is_all(list) => Origins::Listed(listed(list, span, problems)),
        Some(_) => Origins::Any,
    };
    if let (Origins::Any, Some(written), Some(credentials)) = (&origins, written, credentials) {
        problems
            .add(
                Code::ConflictingKeys,
                credentials.key,
                "`credentials` would let every page of the web act as its visitor",
            )
            .label(written.span, "all origins")
            .help("list the origins of your pages, such as `[https://app.example.com]`");
    }
    let expose = match given.expose.as_deref() {
        None => Permitted::Listed(Box::default()),
        Some(expose) => names(expose, header_name::of, problems),
    };
    if let (Some(expose), Permitted::Any, Some(credentials)) = (&given.expose, &expose, credentials) {
        problems
            .add(
                Code::ConflictingKeys,
                expose.span,
                "browsers take `*` for the name of a header where there are credentials",
            )
            .label(credentials.key, "here")
            .help("list the headers, such as `[etag, x-request-id]`");
    }
    Cors {
        origins,
        methods: match given.methods.as_deref() {
            None => Permitted::Listed(METHODS.into()),
            Some(methods) => names(methods, method, problems),
        },
        headers: match given.headers.as_deref() {
            None => Permitted::Listed(HEADERS.into()),
            Some(headers) => names(headers, header_name::of, problems),
        },
        expose: match expose {
            Permitted::Any => "*".into(),
            Permitted::Listed(names) => names,
        },
        credentials: credentials.is_some(),
        max_age: given.max_age.as_deref().map(|time| seconds(time, problems)),
        private_network: given.private_network.as_ref().is_some_and(|given| given.value),
    }
}

/// Reports edits of the headers that stand beside a `cors`, which replaces them.
pub(super) fn report_edits(edits: &document::route::HeaderEdits, problems: &mut Problems) {
    let removed = edits.remove.iter().flat_map(|list| &list.value.0);
    let removed = removed.map(|name| (&name.value, name.span));
    let inserted = [&edits.set, &edits.add].into_iter().flatten();
    let inserted = inserted.flat_map(|named| &named.value.0);
    let inserted = inserted.map(|(name, value)| (name, value.key));
    for (name, span) in removed.chain(inserted) {
        if name.to_ascii_lowercase().starts_with("access-control-") {
            problems
                .add(
                    Code::NoEffect,
                    span,
                    format!("{} is replaced: `cors` says it", quote(name)),
                )
                .help("leave it out here");
        }
    }
}

/// Returns true for a list of `*` alone.
fn is_all(list: &List<Text>) -> bool {
    matches!(&list.0[..], [only] if &*only.value == "*")
}

/// Reports a `*` among other items.
fn report_star(item: &At<Text>, problems: &mut Problems) {
    problems
        .add(
            Code::BadValue,
            item.span,
            "`*` stands alone: it covers all others",
        )
        .help("write `\"*\"` in place of the list, or leave it out");
}

fn listed(written: &List<Text>, span: Span, problems: &mut Problems) -> OriginList {
    if written.0.is_empty() {
        problems
            .add(Code::EmptyList, span, "the list is empty")
            .help("add the origins of your pages, such as `https://app.example.com`; `cors: off` takes a policy away");
    }
    let mut list = OriginList::default();
    for item in &written.0 {
        if &*item.value == "*" {
            report_star(item, problems);
            continue;
        }
        match OriginPattern::parse(&item.value) {
            Ok(origin) if list.add(origin.clone()) => {}
            Ok(_) => {
                problems
                    .add(
                        Code::NoEffect,
                        item.span,
                        format!("{} is in the list already", quote(&item.value)),
                    )
                    .help("keep one of them");
            }
            Err(error) => report_origin(item, &error, problems),
        }
    }
    list
}

fn report_origin(written: &At<Text>, error: &OriginError, problems: &mut Problems) {
    let text = &*written.value;
    let meant = corrected(text).map(|origin| origin.to_string());
    // A slash at the end says nothing else.
    let is_same = *error == OriginError::TrailingSlash;
    let help = match (error, &meant) {
        (OriginError::NoScheme, Some(meant)) => format!("write the scheme of the page, too: `{meant}`"),
        (OriginError::Scheme(scheme), None) if &**scheme == "file" => {
            "pages of files have the origin `null`, which hides where they come from; serve them".to_owned()
        }
        (OriginError::Null, _) => {
            "serve the page from an origin of its own, and list that; `null` would let any page in".to_owned()
        }
        (OriginError::Wildcard, _) if text.ends_with(":*") => {
            "list each port: `http://localhost:3000`".to_owned()
        }
        (OriginError::Wildcard, _) => "list each scheme: `https://*.example.com`".to_owned(),
        (OriginError::Host(HostPatternError::BareWildcard), _) => {
            "write `origins: \"*\"` for all pages, or `https://*.example.com` for those below a name"
                .to_owned()
        }
        (OriginError::Host(HostPatternError::MisplacedWildcard), _) => {
            "`*.` stands for the first labels: `https://*.example.com`".to_owned()
        }
        (OriginError::Host(HostPatternError::Character(odd)), _) if !odd.is_ascii() => {
            "write international names in their `xn--` form".to_owned()
        }
        (_, Some(meant)) => format!("browsers send `{meant}`"),
        _ => "write scheme and host, such as `https://app.example.com`".to_owned(),
    };
    let problem = problems
        .add(
            Code::BadOrigin,
            written.span,
            format!("{} is not the origin of a page: {error}", quote(text)),
        )
        .help(help);
    match meant {
        Some(meant) if is_same => problem.mend(written.span, text, plain(&meant)),
        Some(meant) => problem.propose(written.span, text, plain(&meant)),
        None => problem,
    };
}

/// The origin that was probably meant.
fn corrected(text: &str) -> Option<OriginPattern> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
    let scheme = match scheme {
        "ws" => "http",
        "wss" => "https",
        scheme => scheme,
    };
    let host = before_path(rest);
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host = host.split(['?', '#']).next()?;
    let is_host = host.contains('.') || host.starts_with("localhost") || host.starts_with('[');
    OriginPattern::parse(&format!("{scheme}://{host}"))
        .ok()
        .filter(|_| is_host)
}

/// Lowers names, each by `name`.
fn names(
    written: &At<AllOr<Text>>,
    name: impl Fn(&At<Text>, &mut Problems) -> Option<Box<str>>,
    problems: &mut Problems,
) -> Permitted {
    let list = match &written.value {
        AllOr::These(list) if !is_all(list) => list,
        _ => return Permitted::Any,
    };
    let mut lowered: Vec<Box<str>> = Vec::with_capacity(list.0.len());
    for item in &list.0 {
        if &*item.value == "*" {
            report_star(item, problems);
            continue;
        }
        lowered.extend(name(item, problems).filter(|name| !lowered.contains(name)));
    }
    Permitted::Listed(lowered.join(", ").into())
}

/// Lowers a method. Browsers send the common ones in upper case, whatever the page says (Fetch §2.2.1).
fn method(written: &At<Text>, problems: &mut Problems) -> Option<Box<str>> {
    let method = &*written.value;
    if is_refused_method(method) {
        problems
            .add(
                Code::BadValue,
                written.span,
                format!("no page may use {}", quote(method)),
            )
            .help("leave it out");
        return None;
    }
    matching::check_method(written, problems);
    token::is_token(method.as_bytes()).then(|| method.into())
}

/// Lowers a time to whole seconds.
fn seconds(written: &At<DurationText>, problems: &mut Problems) -> u64 {
    let time = written.value.0;
    if time.subsec_nanos() > 0 || time > Duration::from_secs(u64::from(u32::MAX)) {
        problems
            .add(Code::OutOfRange, written.span, "the time is not in whole seconds")
            .help("write a time such as `10m`");
    }
    time.as_secs()
}
