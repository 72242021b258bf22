//! The keys of policies, one by one.

use std::time::Duration;

use ipnet::IpNet;
use waypost_plan::access::{Access, BodyLimit};
use waypost_plan::policies::{RouteTimeouts, Upgrade};
use waypost_wire::token;

use crate::collections::{List, NonEmptyList};
use crate::diagnostic::Code;
use crate::document::route;
use crate::keys::At;
use crate::lower::{network, timeout};
use crate::problems::{Problems, quote};
use crate::times::TimeoutText;
use crate::values::Text;

/// The shortest timeout.
const TIME_MIN: Duration = Duration::from_millis(1);

/// Lowers the timeout of the whole exchange.
pub(super) fn whole(written: &At<&TimeoutText>, problems: &mut Problems) -> Duration {
    timeout(&written.with(*written.value), TIME_MIN, problems)
}

/// Lowers the clients that have access.
pub(super) fn access(written: &At<&route::Access>, problems: &mut Problems) -> Access {
    let given = written.value;
    if given.given.keys().next().is_none() {
        problems
            .add(Code::MissingKey, written.key, "every client has access")
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
pub(super) fn body_limit(written: &At<&route::RouteLimits>) -> BodyLimit {
    let size = written.value.body_bytes.as_ref();
    size.map_or(BodyLimit::OfListener, |size| {
        size.value.0.map_or(BodyLimit::Unlimited, BodyLimit::Bytes)
    })
}

/// Lowers the timeouts that replace those of services.
pub(super) fn timeouts(written: &At<&route::RouteTimeouts>, problems: &mut Problems) -> RouteTimeouts {
    let given = written.value;
    let mut time = |time: &Option<Box<At<TimeoutText>>>| {
        let time = time.as_ref();
        time.map(|time| timeout(time, TIME_MIN, problems))
    };
    RouteTimeouts {
        connect: time(&given.connect),
        response: time(&given.response),
        idle: time(&given.idle),
        tunnel: time(&given.tunnel),
    }
}

/// Lowers the protocols that a connection may be upgraded to.
pub(super) fn upgrade(written: &At<&List<Text>>, problems: &mut Problems) -> Upgrade {
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
