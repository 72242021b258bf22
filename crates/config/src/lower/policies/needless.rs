//! Policies, and keys of them, that have no effect.

use super::Uses;
use super::layer::{Layer, Said};
use crate::diagnostic::Code;
use crate::lower::Context;
use crate::problems::quote;

/// Warns of an `upgrade: off` that takes nothing away: upgrades are on without it.
pub(super) fn report_upgrade_off(own: &Layer, uses: &Uses, context: &mut Context<'_>) {
    let Some(Said { key, value: None, .. }) = &own.upgrade else {
        return;
    };
    let shared = &context.policies;
    let says = |uses: &Uses| {
        uses.indices()
            .any(|index| shared.all[index].layer.upgrade.is_some())
    };
    let mut listeners = shared.listeners.iter().flatten();
    if !says(uses) && !listeners.any(|listener| says(&listener.uses)) {
        context
            .problems
            .add(
                Code::NoEffect,
                *key,
                "no policy has an `upgrade` to take away, so clients may upgrade to websocket",
            )
            .help("write `[]` for no upgrades, or leave it out");
    }
}

/// Warns of policies that nothing uses, and of their keys that no user can heed.
pub(in crate::lower) fn report(context: &mut Context<'_>) {
    let problems = &mut *context.problems;
    if problems.has_errors() {
        return;
    }
    let shared = &context.policies;
    for named in &shared.all {
        if !named.is_used {
            problems
                .add(
                    Code::UnusedPolicy,
                    named.key,
                    format!("no route and no listener uses the policy {}", quote(&named.name)),
                )
                .help("remove it, or name it in the `use` of a route or a listener");
            continue;
        }
        let mut actions = named.actions.clone();
        for action in &shared.actions.0 {
            if (named.of_listener && *action != "passthrough")
                || (named.of_passing && *action == "passthrough")
            {
                actions.note(action);
            }
        }
        for (key, only_with, span) in &named.keys {
            let reason = match *key {
                _ if !actions.has_one_of(only_with) => match only_with {
                    ["to"] => "no route that uses it forwards requests",
                    ["to", "passthrough"] => "no route that uses it leads to a service",
                    _ => "no route that uses it takes requests",
                },
                "rollout" if !named.is_rolled_out => "no route that uses it has two services to choose from",
                "hedge" if !shared.has_retry && named.of_listener && named.layer.retry.is_none() => {
                    "no route has a `retry`"
                }
                _ => continue,
            };
            problems
                .add(
                    Code::NoEffect,
                    *span,
                    format!(
                        "`{key}` of the policy {} has no effect: {reason}",
                        quote(&named.name)
                    ),
                )
                .help("leave it out here");
        }
    }
}
