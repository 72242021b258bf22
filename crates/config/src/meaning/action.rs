//! What happens to a request that a route takes.

use std::time::Duration;

use waypost_plan::policies::{PolicySet, Upgrade};
use waypost_plan::redirect::Redirect;
use waypost_plan::rewrite::{PathRewrite, Rewrite};
use waypost_plan::route::{Action, Forward, Respond};
use waypost_plan::template::{PathTemplate, Replacement, TemplateError};
use waypost_route::regex::Regex;
use waypost_route::split::Split;
use waypost_wire::authority::Authority;
use waypost_wire::path::{self, PathOptions};
use waypost_wire::token;

use crate::diagnostic::Code;
use crate::document;
use crate::keys::At;
use crate::meaning::matching::{Pattern, report_regex};
use crate::meaning::{Context, duration, header_edits, split};
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::values::{Replacing, Text};

/// The action of a route; `None` when it has none, or more than one.
pub(super) fn of(
    written: &At<document::Route>,
    patterns: &[Pattern],
    context: &mut Context<'_>,
) -> Option<Action> {
    let route = &written.value;
    let given: Vec<(&str, Span)> = [
        route.to.as_ref().map(|to| ("to", to.key)),
        route.redirect.as_ref().map(|redirect| ("redirect", redirect.key)),
        route.respond.as_ref().map(|respond| ("respond", respond.key)),
        route
            .passthrough
            .as_ref()
            .map(|passthrough| ("passthrough", passthrough.key)),
    ]
    .into_iter()
    .flatten()
    .collect();
    match &*given {
        // A key that is misspelt, or whose value could not be read, is reported already.
        [] if route.given.keys().any(|key| is_action(key) || !is_known(key)) => {}
        [] => {
            let span = route.name.as_ref().map_or(written.span, |name| name.span);
            context
                .problems
                .add(
                    Code::MissingKey,
                    span,
                    "the route has no `to`, `redirect` or `respond`",
                )
                .help("add `to: NAME` with the name of a service");
        }
        [_] => {}
        [(first, first_span), (second, second_span), ..] => {
            context
                .problems
                .add(
                    Code::ConflictingKeys,
                    *second_span,
                    format!("a route has either `{first}` or `{second}`"),
                )
                .label(*first_span, "the other one")
                .help("keep one of them, or make two routes of it");
        }
    }
    if let [(action, action_span)] = &*given
        && *action != "to"
    {
        for (key, span) in [
            (
                "response_headers",
                route
                    .response_headers
                    .as_ref()
                    .filter(|_| *action == "passthrough")
                    .map(|given| given.key),
            ),
            ("sticky", route.sticky.as_ref().map(|given| given.key)),
            ("force", route.force.as_ref().map(|given| given.key)),
            ("mirror", route.mirror.as_ref().map(|given| given.key)),
            ("rewrite", route.rewrite.as_ref().map(|given| given.key)),
            (
                "request_headers",
                route.request_headers.as_ref().map(|given| given.key),
            ),
            ("timeout", route.timeout.as_ref().map(|given| given.key)),
            ("upgrade", route.upgrade.as_ref().map(|given| given.key)),
            ("grpc_web", route.grpc_web.as_ref().map(|given| given.key)),
        ] {
            if let Some(span) = span {
                context
                    .problems
                    .add(
                        Code::ConflictingKeys,
                        span,
                        format!("`{key}` has no meaning beside `{action}`"),
                    )
                    .label(*action_span, "no request is forwarded")
                    .help(format!("leave it out; `{key}` goes with `to`"));
            }
        }
    }
    // Everything is looked at, so that no mistake hides another.
    let forward = forward(route, patterns, context);
    let redirect = route
        .redirect
        .as_ref()
        .and_then(|given| redirect(given, patterns, context));
    let respond = route
        .respond
        .as_ref()
        .and_then(|given| respond(&given.value, context.problems));
    let passes = route.passthrough.as_ref().map(|to| {
        check_passing_match(route, context.problems);
        let (arms, weights) = split::arms(&to.value, context);
        Forward::to(arms, Split::new(&weights))
    });
    match &*given {
        [("passthrough", _)] => passes.map(Action::Forward),
        [("to", _)] => forward.map(Action::Forward),
        [("redirect", _)] => redirect.map(Action::Redirect),
        [("respond", _)] => respond.map(Action::Respond),
        _ => None,
    }
}

fn is_action(key: &str) -> bool {
    matches!(key, "to" | "redirect" | "respond" | "passthrough")
}

/// Reports conditions on what a connection does not show that is passed through.
fn check_passing_match(route: &document::Route, problems: &mut Problems) {
    for one in route.matching.iter().flat_map(|matching| &matching.value.0) {
        let given = &one.value;
        for (key, span) in [
            ("path", given.path.as_ref().map(|given| given.key)),
            ("method", given.method.as_ref().map(|given| given.key)),
            ("headers", given.headers.as_ref().map(|given| given.key)),
            ("query", given.query.as_ref().map(|given| given.key)),
            ("cookies", given.cookies.as_ref().map(|given| given.key)),
            ("client_cert", given.client_cert.as_ref().map(|given| given.key)),
            ("grpc", given.grpc.as_ref().map(|given| given.key)),
        ] {
            if let Some(span) = span {
                problems
                    .add(
                        Code::ConflictingKeys,
                        span,
                        format!("`{key}` cannot be seen of a connection that is passed through"),
                    )
                    .help("only `host` and `client_ip` can; end TLS here with `certificates` to see more");
            }
        }
    }
}

fn is_known(key: &str) -> bool {
    document::Route::TABLE.keys.iter().any(|known| known.name == key)
}

fn forward(route: &document::Route, patterns: &[Pattern], context: &mut Context<'_>) -> Option<Forward> {
    let arms = route.to.as_ref().map(|to| split::arms(&to.value, context));
    let rewrite = match &route.rewrite {
        Some(given) => rewrite(given, patterns, context),
        None => Rewrite::default(),
    };
    let request_headers = header_edits::of(
        route.request_headers.as_deref(),
        "use `rewrite: { host: … }`",
        context.problems,
    );
    let timeout = route
        .timeout
        .as_ref()
        .map(|time| duration(time, Duration::from_millis(1), context.problems));
    let names = route
        .to
        .as_ref()
        .map(|to| split::names(&to.value))
        .unwrap_or_default();
    let sticky = split::sticky(route, context);
    let force = split::force(route, &names, context);
    let mirror = split::mirror(route, context);
    let upgrade = upgrade(route, context.problems);
    let (arms, weights) = arms?;
    let policies = PolicySet {
        sticky,
        force,
        mirror,
        rewrite,
        request_headers,
        timeout,
        upgrade,
        grpc_web: route.grpc_web.as_ref().is_some_and(|web| web.value),
    };
    Some(Forward {
        policies: policies.into(),
        ..Forward::to(arms, Split::new(&weights))
    })
}

/// The protocols that a connection may be upgraded to.
fn upgrade(route: &document::Route, problems: &mut Problems) -> Upgrade {
    let Some(written) = &route.upgrade else {
        return Upgrade::default();
    };
    let protocols = written.value.0.iter().filter_map(|protocol| {
        let name = &*protocol.value;
        let lower = name.to_ascii_lowercase();
        let (what, help) = if matches!(&*lower, "h2c" | "h2") || lower.starts_with("http/") {
            (
                "is not spoken by way of an upgrade",
                "leave it out: clients speak HTTP/2 from the first byte on, services with `http2: true`",
            )
        } else if !token::is_token(name.split('/').next().unwrap_or(name).as_bytes()) {
            (
                "is not the name of a protocol",
                "write a name such as `websocket`",
            )
        } else {
            return Some(name.into());
        };
        problems
            .add(Code::BadValue, protocol.span, format!("{} {what}", quote(name)))
            .help(help);
        None
    });
    Upgrade::Only(protocols.collect())
}

fn rewrite(written: &At<document::Rewrite>, patterns: &[Pattern], context: &mut Context<'_>) -> Rewrite {
    let given = &written.value;
    let path = path_rewrite(
        [given.prefix.as_deref(), given.path.as_deref()],
        given.regex.as_deref(),
        patterns,
        context,
    );
    let problems = &mut *context.problems;
    if let Some(host) = &given.host {
        check_authority(host, problems);
    }
    if given.given.keys().next().is_none() {
        problems
            .add(Code::MissingKey, written.key, "the rewrite rewrites nothing")
            .help("add `prefix`, `path`, `regex` or `host`, or leave it out");
    }
    Rewrite {
        path,
        host: given.host.as_ref().map(|host| (*host.value).into()),
    }
}

/// A redirect, of a route or of a listener.
pub(super) fn redirect(
    written: &At<document::Redirect>,
    patterns: &[Pattern],
    context: &mut Context<'_>,
) -> Option<Redirect> {
    let given = &written.value;
    let path = path_rewrite(
        [given.prefix.as_deref(), given.path.as_deref()],
        given.regex.as_deref(),
        patterns,
        context,
    );
    let problems = &mut *context.problems;
    let status = given.status.as_ref().map_or(302, |status| status.value);
    if let Some(written) = &given.status
        && !matches!(status, 301 | 302 | 303 | 307 | 308)
    {
        problems
            .add(
                Code::OutOfRange,
                written.span,
                format!("{status} is not the status of a redirect"),
            )
            .help("301 and 308 are permanent, 302, 303 and 307 are not; 307 and 308 keep the method");
    }
    if let Some(host) = &given.host {
        check_redirect_host(host, problems);
    }
    let port = given
        .port
        .as_ref()
        .map(|port| super::whole(port, 1, 65535, problems));
    if given.given.keys().all(|key| key == "status") {
        problems
            .add(
                Code::MissingKey,
                written.key,
                "the redirect leads back to where it came from",
            )
            .help("add `scheme`, `host`, `port`, `prefix`, `path` or `regex`");
    }
    Some(Redirect {
        status: u16::try_from(status).ok()?,
        scheme: given.scheme.as_ref().map(|scheme| scheme.value),
        host: given.host.as_ref().map(|host| (*host.value).into()),
        port: port.and_then(|port| u16::try_from(port).ok()),
        path,
    })
}

fn respond(written: &document::Respond, problems: &mut Problems) -> Option<Respond> {
    if let Some(status) = &written.status {
        super::whole(status, 200, 599, problems);
        if let Some(body) = &written.body
            && matches!(status.value, 204 | 205 | 304)
            && !body.value.is_empty()
        {
            problems
                .add(
                    Code::IgnoredBody,
                    body.key,
                    format!("an answer of status {} has no body", status.value),
                )
                .help("leave the body out, or answer with another status");
        }
    }
    if let Some(kind) = &written.content_type
        && (kind.value.is_empty() || !token::is_field_value(kind.value.as_bytes()))
    {
        problems
            .add(
                Code::BadValue,
                kind.span,
                format!("{} cannot stand in a header", quote(&kind.value)),
            )
            .help("write a type such as `application/json`");
    }
    let text = |given: &Option<Box<At<Text>>>| given.as_ref().map(|text| text.value.clone());
    Some(Respond {
        status: u16::try_from(written.status.as_ref()?.value).ok()?,
        body: text(&written.body).unwrap_or_default().as_bytes().into(),
        content_type: text(&written.content_type)
            .map_or("text/plain; charset=utf-8".into(), |kind| (*kind).into()),
    })
}

/// What becomes of the path: the one of three keys that is given.
fn path_rewrite(
    [prefix, path]: [Option<&At<Text>>; 2],
    regex: Option<&At<Replacing>>,
    patterns: &[Pattern],
    context: &mut Context<'_>,
) -> PathRewrite {
    let given: Vec<(&str, Span)> = [
        prefix.map(|prefix| ("prefix", prefix.key)),
        path.map(|path| ("path", path.key)),
        regex.map(|regex| ("regex", regex.key)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let [(first, first_span), (second, second_span), ..] = &*given {
        context
            .problems
            .add(
                Code::ConflictingKeys,
                *second_span,
                format!("there is either `{first}` or `{second}`"),
            )
            .label(*first_span, "the other one")
            .help("keep one of them");
    }
    let options = context.path_options;
    let problems = &mut *context.problems;
    if let Some(prefix) = prefix {
        check_open(prefix, patterns, problems);
    }
    let prefix = prefix.and_then(|prefix| template(prefix, "/x", patterns, options, problems));
    let path = path.and_then(|path| template(path, "", patterns, options, problems));
    let regex = regex.and_then(|regex| replacement(regex, problems));
    None.or(prefix.map(|prefix| PathRewrite::Prefix(prefix.into())))
        .or(path.map(|path| PathRewrite::Path(path.into())))
        .or(regex.map(|regex| PathRewrite::Regex(regex.into())))
        .unwrap_or_default()
}

/// A prefix is what an open pattern took; a closed one takes all or nothing.
fn check_open(prefix: &At<Text>, patterns: &[Pattern], problems: &mut Problems) {
    for closed in patterns.iter().filter(|pattern| !pattern.pattern.is_open()) {
        problems
            .add(
                Code::BadRewrite,
                prefix.key,
                "`prefix` needs a path pattern that ends in `/*`, in every alternative",
            )
            .label(closed.span, "this one does not")
            .help("use `path`, or end the pattern in `/*`");
    }
}

fn template(
    written: &At<Text>,
    suffix: &str,
    patterns: &[Pattern],
    options: PathOptions,
    problems: &mut Problems,
) -> Option<PathTemplate> {
    let text = &*written.value;
    let template = match PathTemplate::parse(text) {
        Ok(template) => template,
        Err(error) => {
            let help = match &error {
                TemplateError::NoSlash if text.contains("://") => {
                    Some("scheme and host have keys of their own".to_owned())
                }
                TemplateError::NoSlash => Some(format!("did you mean `/{text}`?")),
                TemplateError::Character('?') => Some("the query of the request stays as it is".to_owned()),
                _ => None,
            };
            problems
                .add(
                    Code::BadRewrite,
                    written.span,
                    format!("{} cannot be a path: {error}", quote(text)),
                )
                .help_if(help);
            return None;
        }
    };
    for name in template.names() {
        for pattern in patterns {
            if pattern.pattern.names().contains(&name) {
                continue;
            }
            let bound = pattern.pattern.names();
            let near = crate::suggest::nearest(name, bound);
            let label = if pattern.written {
                "not bound here"
            } else {
                "there is no `path` here"
            };
            problems
                .add(
                    Code::BadRewrite,
                    written.span,
                    format!(
                        "`{{{}}}` is not bound by the path of every alternative",
                        quote(name).trim_matches('`')
                    ),
                )
                .label(pattern.span, label)
                .help(match near {
                    Some(near) => format!("did you mean `{{{near}}}`?"),
                    None => "bind it in the pattern, as in `/users/{id}`".to_owned(),
                });
        }
    }
    // What is bound comes from a request that was let in; only the text around it can be at fault.
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('{') {
        filled.push_str(before);
        filled.push('x');
        rest = from.split_once('}').map_or("", |(_, after)| after);
    }
    filled.push_str(rest);
    filled.push_str(suffix);
    let mut scratch = Vec::new();
    if let Err(error) = path::normalize(filled.as_bytes(), options, &mut scratch) {
        problems
            .add(
                Code::BadRewrite,
                written.span,
                format!("{} can never be a path: {error}", quote(text)),
            )
            .help("write what cannot stand in a path percent-encoded, a space as `%20`");
    }
    Some(template)
}

fn replacement(written: &At<Replacing>, problems: &mut Problems) -> Option<Replacement> {
    let Replacing { from, to } = &written.value;
    let text = from
        .value
        .strip_prefix('~')
        .filter(|_| from.value.starts_with("~^"));
    if let Some(text) = text {
        problems
            .add(
                Code::BadRegex,
                from.span,
                "the first text of `regex` is a regex without a `~`",
            )
            .help(format!("write {}", quote(text)));
        return None;
    }
    let regex = match Regex::new(&from.value) {
        Ok(regex) => regex,
        Err(error) => {
            report_regex(&error, from.span, problems);
            return None;
        }
    };
    match Replacement::parse(regex, &to.value) {
        Ok(replacement) => Some(replacement),
        Err(error) => {
            problems
                .add(
                    Code::BadRewrite,
                    to.span,
                    format!("{} cannot be filled in: {error}", quote(&to.value)),
                )
                .help("groups are `$1`, `${1}` or `$name`; a literal `$` is `$$`");
            None
        }
    }
}

/// The `Host` that a service sees: a host, possibly with a port.
fn check_authority(written: &At<Text>, problems: &mut Problems) {
    let text = &*written.value;
    if let Err(error) = Authority::parse(text.as_bytes()) {
        let help = text
            .split_once("://")
            .map(|(_, rest)| format!("leave the scheme out: `{rest}`"));
        problems
            .add(
                Code::BadHost,
                written.span,
                format!("{} is not a host: {error}", quote(text)),
            )
            .help_if(help);
    }
}

/// The host of a `Location`, whose port has a key of its own.
fn check_redirect_host(written: &At<Text>, problems: &mut Problems) {
    let text = &*written.value;
    match Authority::parse(text.as_bytes()) {
        Ok(Authority { port: Some(port), .. }) => {
            let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
            problems
                .add(Code::BadHost, written.span, format!("{} has a port", quote(text)))
                .help(format!("write `host: {host}` and `port: {port}`"));
        }
        _ => check_authority(written, problems),
    }
}
