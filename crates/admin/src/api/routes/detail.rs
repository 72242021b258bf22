//! The action and the policies of a route, for its page.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waypost_plan::Plan;
use waypost_plan::duration;
use waypost_plan::listener::Listener;
use waypost_plan::query::QueryRewrite;
use waypost_plan::rewrite::{PathRewrite, Rewrite};
use waypost_plan::route::{Action, Route};
use waypost_policy::explain::{self, PolicyOrigin};

/// The action and the policies of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InForce {
    /// The response of a route that redirects or responds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<ResponseView>,
    /// The policies in force for its requests by the first listener, in order of their keys.
    #[serde(default)]
    pub policies: Vec<PolicyView>,
    /// The policies in force by further listeners, where they differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_listener: Vec<ListenerPolicies>,
    /// The plan of its rollouts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanView>,
}

/// A policy in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyView {
    /// The key, such as `timeout`.
    pub key: String,
    /// The place that it comes from, such as `policy web`; several where edits are joined, in order.
    pub from: String,
    /// The listener that uses the policy, where it is not the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_by: Option<String>,
    /// The value in words, where it is a short one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// The policies in force by a listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListenerPolicies {
    /// The listener, by name or by the text of its `bind`.
    pub listener: String,
    /// The policies, in order of their keys.
    pub policies: Vec<PolicyView>,
}

/// A response of the gateway itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResponseView {
    /// The status.
    pub status: u16,
    /// The media type of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The body as configured, with `…` for values of the request; cut after some hundred characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The target of a redirect, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// A plan of rollouts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanView {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The share of each step, such as `5 %`.
    pub steps: Vec<String>,
}

/// Characters of a body that are shown.
const BODY_CHARS: usize = 500;

impl InForce {
    pub(super) fn of(plan: &Plan, position: usize) -> Self {
        let route = &plan.routes()[position];
        let mut listeners = plan.listeners().iter();
        let first = listeners
            .next()
            .map(|listener| policies(plan, route, listener))
            .unwrap_or_default();
        let others = listeners.map(|listener| ListenerPolicies {
            listener: listener.label().to_owned(),
            policies: policies(plan, route, listener),
        });
        let by_listener = others.filter(|other| other.policies != first).collect();
        let forward = route.forward();
        let rollout = forward.and_then(|forward| forward.split_policies.rollout.as_ref());
        Self {
            response: response(route),
            policies: first,
            by_listener,
            plan: rollout.map(|rollout| PlanView {
                name: rollout.name.as_deref().map(str::to_owned),
                steps: rollout
                    .plan
                    .ramp
                    .steps
                    .iter()
                    .map(|step| step.percent.to_string())
                    .collect(),
            }),
        }
    }
}

fn policies(plan: &Plan, route: &Route, listener: &Listener) -> Vec<PolicyView> {
    let in_force: BTreeMap<_, PolicyOrigin> = explain::policies_in_force(plan, route, listener);
    let values = plan.policies(route, listener);
    let views = in_force.into_iter().map(|(key, origin)| PolicyView {
        text: match &*key {
            "timeout" => values.timeout.map(duration::format),
            "rewrite" => Some(rewrite_in_words(&values.rewrite)),
            "retry" => values
                .retry
                .as_ref()
                .map(|retry| format!("{} further attempts at most", retry.attempts)),
            _ => None,
        },
        key: key.into_owned(),
        from: origin.from,
        used_by: origin.used_by,
    });
    views.collect()
}

fn rewrite_in_words(rewrite: &Rewrite) -> String {
    let path = path_in_words(&rewrite.path);
    let host = rewrite
        .host
        .as_ref()
        .map(|host| format!("host `{}`", host.filled_with("…")));
    let words = path.into_iter().chain(host).chain(query_in_words(&rewrite.query));
    words.collect::<Vec<String>>().join(", ")
}

fn path_in_words(path: &PathRewrite) -> Option<String> {
    match path {
        PathRewrite::Keep => None,
        PathRewrite::Prefix(to) => Some(format!("prefix of the path `{}`", to.filled_with("…"))),
        PathRewrite::Path(to) => Some(format!("path `{}`", to.filled_with("…"))),
        PathRewrite::Regex(_) => Some("path by a regex".to_owned()),
    }
}

fn query_in_words(query: &QueryRewrite) -> Option<String> {
    match query {
        QueryRewrite::Keep => None,
        QueryRewrite::Replace(to) => Some(format!("query `{}`", to.filled_with("…"))),
        QueryRewrite::Edit(_) => Some("edited query".to_owned()),
    }
}

fn response(route: &Route) -> Option<ResponseView> {
    match &route.action {
        Action::Forward(_) => None,
        Action::Respond(respond) => Some(ResponseView {
            status: respond.status,
            content_type: Some(respond.content_type.to_string()),
            body: Some(respond.body.filled_with("…").chars().take(BODY_CHARS).collect()),
            location: None,
        }),
        Action::Redirect(redirect) => {
            let scheme = redirect
                .scheme
                .map(|scheme| format!("scheme `{}`", scheme.as_str()));
            let host = redirect
                .host
                .as_ref()
                .map(|host| format!("host `{}`", host.filled_with("…")));
            let port = redirect.port.map(|port| format!("port {port}"));
            let parts = [
                scheme,
                host,
                port,
                path_in_words(&redirect.path),
                query_in_words(&redirect.query),
            ];
            let parts = parts.into_iter().flatten().collect::<Vec<String>>().join(", ");
            Some(ResponseView {
                status: redirect.status,
                content_type: None,
                body: None,
                location: (!parts.is_empty()).then_some(parts),
            })
        }
    }
}
