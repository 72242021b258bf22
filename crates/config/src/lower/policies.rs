//! Policies: what happens to the requests of a route, whichever service takes them.

use std::time::Duration;

use ipnet::IpNet;
use waypost_plan::access::{Access, BodyLimit};
use waypost_plan::duration::UNBOUNDED;
use waypost_plan::policies::{PolicySet, RouteTimeouts, Upgrade};
use waypost_plan::rewrite::Rewrite;
use waypost_wire::token;

use crate::collections::NonEmptyList;
use crate::diagnostic::Code;
use crate::document::route::Route;
use crate::keys::At;
use crate::lower::pattern::Pattern;
use crate::lower::rewrite::rewrite;
use crate::lower::{Context, header_edits, network, retry, set_cookie, timeout};
use crate::problems::{Problems, quote};
use crate::suggest::variable::Place;
use crate::values::Text;

/// The shortest timeout.
const TIME_MIN: Duration = Duration::from_millis(1);

/// Lowers the policies of a route; `patterns` are its own.
pub(super) fn of(route: &Route, patterns: &[Pattern], context: &mut Context<'_>) -> PolicySet {
    let rewrite = match &route.rewrite {
        Some(given) => rewrite(given, patterns, context),
        None => Rewrite::default(),
    };
    let problems = &mut *context.problems;
    let request_headers = header_edits::of(
        route.request_headers.as_deref(),
        "use `rewrite: { host: … }`",
        Place::RequestHeader,
        patterns,
        problems,
    );
    let response_headers = header_edits::of(
        route.response_headers.as_deref(),
        "a response has no `host`; leave it out",
        Place::ResponseHeader,
        patterns,
        problems,
    );
    let timeout = route.timeout.as_ref();
    let timeout = timeout.map(|time| self::timeout(time, TIME_MIN, problems));
    PolicySet {
        access: access(route, problems),
        body: body_limit(route),
        rewrite,
        request_headers,
        response_headers,
        timeout: timeout.filter(|time| *time < UNBOUNDED),
        timeouts: timeouts(route, problems),
        retry: retry::of(route, problems),
        upgrade: upgrade(route, problems),
        grpc_web: route.grpc_web.as_ref().is_some_and(|web| web.value),
        set_cookie: set_cookie::of(route.set_cookie.as_deref(), problems),
    }
}

/// Lowers the clients that have access.
fn access(route: &Route, problems: &mut Problems) -> Access {
    let Some(access) = &route.access else {
        return Access::ALL;
    };
    let given = &access.value;
    if given.given.keys().next().is_none() {
        problems
            .add(Code::MissingKey, access.key, "every client has access")
            .help("add `allow` or `deny`, or leave it out");
    }
    Access {
        allow: networks(given.allow.as_deref(), problems),
        deny: networks(given.deny.as_deref(), problems),
    }
}

fn networks(written: Option<&At<NonEmptyList<Text>>>, problems: &mut Problems) -> Vec<IpNet> {
    let items = written.iter().flat_map(|list| &list.value.0);
    items
        .filter_map(|item| network::network(item, problems))
        .collect()
}

/// Lowers the limit on request bodies.
fn body_limit(route: &Route) -> BodyLimit {
    let limits = route.limits.as_ref();
    let size = limits.and_then(|limits| limits.value.body_bytes.as_ref());
    size.map_or(BodyLimit::OfListener, |size| {
        size.value.0.map_or(BodyLimit::Unlimited, BodyLimit::Bytes)
    })
}

/// Lowers the timeouts that replace those of services.
fn timeouts(route: &Route, problems: &mut Problems) -> RouteTimeouts {
    let mut timeouts = RouteTimeouts::default();
    if let Some(given) = &route.timeouts {
        for (field, time) in [
            (&mut timeouts.connect, &given.value.connect),
            (&mut timeouts.response, &given.value.response),
            (&mut timeouts.idle, &given.value.idle),
            (&mut timeouts.tunnel, &given.value.tunnel),
        ] {
            *field = time.as_ref().map(|time| timeout(time, TIME_MIN, problems));
        }
    }
    timeouts
}

/// Lowers the protocols that a connection may be upgraded to.
fn upgrade(route: &Route, problems: &mut Problems) -> Upgrade {
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
