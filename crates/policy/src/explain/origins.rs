//! The places that the policies in force come from.

use std::borrow::Cow;
use std::collections::BTreeMap;

use waypost_plan::Plan;
use waypost_plan::listener::{Listener, ListenerTls};
use waypost_plan::origin::Source;
use waypost_plan::policies::Policies;
use waypost_plan::route::Route;

use super::PolicyOrigin;

/// The name of a place.
pub(super) fn name(source: &Source, route: Option<&Route>, listener: &Listener) -> String {
    match source {
        Source::ListenersPolicy(name) | Source::Policy(name) => format!("policy {name}"),
        Source::Listener => format!("listener {}", listener.label()),
        Source::Route => route.map_or_else(String::new, |route| format!("route {}", route.matching.name)),
    }
}

/// The name of the place outside of all others, which has error pages.
pub(super) const TOP: &str = "the top level";

/// The policies in force for a request that `route`, if any, takes by `listener`.
pub(super) fn of(
    plan: &Plan,
    policies: &Policies,
    route: Option<&Route>,
    listener: &Listener,
) -> BTreeMap<Cow<'static, str>, PolicyOrigin> {
    let forward = route.and_then(Route::forward);
    let name = |source: &Source| name(source, route, listener);
    let is_in_force = |key: &str, forwards: bool| match route {
        Some(_) => forward.is_some() || !forwards,
        // Without a route, they are those of the gateway's own responses.
        None => matches!(key, "response_headers" | "cors" | "errors"),
    };
    let mut origins = BTreeMap::new();
    for origin in policies.origins() {
        if !is_in_force(origin.key, origin.forwards) {
            continue;
        }
        let mut sources = origin.sources.iter();
        let is_listeners = sources.any(|source| matches!(source, Source::ListenersPolicy(_)));
        let names: Vec<String> = origin.sources.iter().map(name).collect();
        let origin_of_key = PolicyOrigin {
            from: names.join(", "),
            used_by: is_listeners.then(|| format!("listener {}", listener.label())),
        };
        origins.insert(origin.key.into(), origin_of_key);
    }
    let has_requests = listener.tls != ListenerTls::Passthrough;
    if has_requests && !plan.settings().errors.is_empty() && !policies.errors.are_last() {
        let errors = origins.entry("errors".into()).or_insert_with(|| PolicyOrigin {
            from: String::new(),
            used_by: None,
        });
        errors.from = match errors.from.as_str() {
            "" => TOP.to_owned(),
            nearer => format!("{TOP}, {nearer}"),
        };
    }
    let split = forward.map(|forward| &forward.split_policies);
    if let (Some(route), Some(split)) = (route, split) {
        let of_route = |from: Option<String>| PolicyOrigin {
            from: from.unwrap_or_else(|| format!("route {}", route.matching.name)),
            used_by: None,
        };
        for (key, is_there) in [
            ("sticky", split.sticky.is_some()),
            ("force", split.force.is_some()),
            ("mirror", split.mirror.is_some()),
        ] {
            if is_there {
                origins.insert(key.into(), of_route(None));
            }
        }
        if let Some(rollout) = &split.rollout {
            let policy = rollout.policy.as_ref();
            origins.insert(
                "rollout".into(),
                of_route(policy.map(|policy| format!("policy {policy}"))),
            );
        }
    }
    origins
}
