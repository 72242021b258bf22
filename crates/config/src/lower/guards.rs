//! Guards of routes: access by address, and the limit on bodies.

use ipnet::IpNet;
use waypost_plan::guards::{Access, BodyLimit, GuardSet, Guards};

use crate::collections::NonEmptyList;
use crate::diagnostic::Code;
use crate::document::route::Route;
use crate::keys::At;
use crate::lower::network;
use crate::problems::Problems;
use crate::values::Text;

/// Lowers the guards of a route.
pub(super) fn of(route: &Route, problems: &mut Problems) -> Guards {
    let mut guards = GuardSet::default();
    if let Some(access) = &route.access {
        let given = &access.value;
        if given.given.keys().next().is_none() {
            problems
                .add(Code::MissingKey, access.key, "every client has access")
                .help("add `allow` or `deny`, or leave it out");
        }
        guards.access = Access {
            allow: networks(given.allow.as_deref(), problems),
            deny: networks(given.deny.as_deref(), problems),
        };
    }
    if let Some(size) = route
        .limits
        .as_ref()
        .and_then(|limits| limits.value.body_bytes.as_ref())
    {
        guards.body = size.value.0.map_or(BodyLimit::Unlimited, BodyLimit::Bytes);
    }
    guards.into()
}

fn networks(written: Option<&At<NonEmptyList<Text>>>, problems: &mut Problems) -> Vec<IpNet> {
    let items = written.iter().flat_map(|list| &list.value.0);
    items
        .filter_map(|item| network::network(item, problems))
        .collect()
}
