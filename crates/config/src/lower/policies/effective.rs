//! The policies in force, once every place that says something is considered.

use std::sync::Arc;
use std::time::Duration;

use waypost_plan::duration::UNBOUNDED;
use waypost_plan::error_pages::ErrorPages;
use waypost_plan::header_edits::HeaderEdits;
use waypost_plan::origin::{Origin, Source};
use waypost_plan::policies::PolicySet;
use waypost_plan::value::listed::ListedNames;

use super::layer::{Layer, Said};
use crate::diagnostic::Code;
use crate::document::route::Policy;
use crate::place::Span;
use crate::problems::Problems;

/// A layer with its place.
pub(super) struct Placed<'l> {
    pub(super) layer: &'l Layer,
    pub(super) source: Source,
}

/// The policies in force, and where each comes from.
pub(super) struct Effective {
    pub(super) set: PolicySet,
    pub(super) origins: Vec<Origin>,
}

/// Returns the policies in force by these layers, the outermost first, for a route whose paths bind `shadowed` names.
pub(super) fn of(layers: &[Placed<'_>], shadowed: ListedNames) -> Effective {
    let mut set = PolicySet::default();
    let mut origins = Vec::new();
    let mut note = |key: &'static str, source: &Source| {
        origins.push(origin(key, [source.clone()].into()));
    };
    if let Some((access, source)) = last(layers, |layer| layer.access.as_ref()) {
        set.access = access.clone();
        note("access", source);
    }
    if let Some((auth, source)) = last(layers, |layer| layer.auth.as_ref()) {
        set.auth = Some(Arc::clone(auth));
        note("auth", source);
    }
    if let Some((rate, source)) = last(layers, |layer| layer.rate.as_ref()) {
        set.rate = Some(Arc::clone(rate));
        note("rate", source);
    }
    if let Some((limit, source)) = last(layers, |layer| layer.limits.as_ref()) {
        set.body = *limit;
        note("limits", source);
    }
    if let Some((rewrite, source)) = last(layers, |layer| layer.rewrite.as_ref()) {
        set.rewrite = rewrite.clone();
        note("rewrite", source);
    }
    if let Some((time, source)) = last(layers, |layer| layer.timeout.as_ref()) {
        set.timeout = Some(*time).filter(|time| *time < UNBOUNDED);
        note("timeout", source);
    }
    if let Some((timeouts, source)) = last(layers, |layer| layer.timeouts.as_ref()) {
        set.timeouts = *timeouts;
        note("timeouts", source);
    }
    if let Some((retry, source)) = last(layers, |layer| layer.retry.as_ref()) {
        let mut retry = retry.retry.clone();
        note("retry", source);
        if let Some((hedge, source)) = last(layers, |layer| layer.hedge.as_ref()) {
            retry.hedge = Some(*hedge);
            note("hedge", source);
        }
        set.retry = Some(retry);
    }
    if let Some((upgrade, source)) = last(layers, |layer| layer.upgrade.as_ref()) {
        set.upgrade = upgrade.clone();
        note("upgrade", source);
    }
    if let Some((grpc_web, source)) = last(layers, |layer| layer.grpc_web.as_ref()) {
        set.grpc_web = *grpc_web;
        note("grpc_web", source);
    }
    if let Some((cookies, source)) = last(layers, |layer| layer.set_cookie.as_ref()) {
        set.set_cookie = Some(cookies.clone());
        note("set_cookie", source);
    }
    if let Some((cors, source)) = last(layers, |layer| layer.cors.as_ref()) {
        set.cors = Some(Arc::clone(cors));
        note("cors", source);
    }
    let (errors, sources) = pages(layers);
    set.errors = errors;
    if !sources.is_empty() {
        origins.push(origin("errors", sources.into()));
    }
    let mut join = |key: &'static str, of: fn(&Layer) -> Option<&Said<HeaderEdits>>| {
        let (edits, sources) = joined(layers, of);
        if !sources.is_empty() {
            origins.push(origin(key, sources.into()));
        }
        edits
    };
    set.request_headers = join("request_headers", |layer| layer.request_headers.as_ref());
    set.response_headers = join("response_headers", |layer| layer.response_headers.as_ref());
    if !shadowed.is_empty() {
        set.shadow(shadowed);
    }
    set.rewrite.query = std::mem::take(&mut set.rewrite.query).simplified();
    Effective { set, origins }
}

fn origin(key: &'static str, sources: Box<[Source]>) -> Origin {
    let known = Policy::TABLE.keys.iter().find(|known| known.name == key);
    Origin {
        key,
        forwards: known.is_some_and(|known| {
            let mut actions = known.only_with.iter();
            !known.only_with.is_empty() && actions.all(|action| matches!(*action, "to" | "passthrough"))
        }),
        sources,
    }
}

/// The key of the innermost layer that has it; `None` if it is `off` there.
fn last<'l, T>(
    layers: &'l [Placed<'l>],
    key: impl Fn(&'l Layer) -> Option<&'l Said<T>>,
) -> Option<(&'l T, &'l Source)> {
    let (said, source) = innermost(layers, key)?;
    Some((said.value.as_ref()?, source))
}

/// The edits of all layers behind the last `off`, and their places.
fn joined<'l>(
    layers: &'l [Placed<'l>],
    key: impl Fn(&'l Layer) -> Option<&'l Said<HeaderEdits>>,
) -> (HeaderEdits, Vec<Source>) {
    let (mut edits, mut sources) = (HeaderEdits::NONE, Vec::new());
    for placed in layers {
        match key(placed.layer).map(|said| &said.value) {
            None => {}
            Some(None) => (edits, sources) = (HeaderEdits::NONE, Vec::new()),
            Some(Some(more)) => {
                edits = edits.followed_by(more);
                sources.push(placed.source.clone());
            }
        }
    }
    (edits, sources)
}

/// The error pages of all layers behind the last `off`, and their places.
fn pages(layers: &[Placed<'_>]) -> (ErrorPages, Vec<Source>) {
    let (mut pages, mut sources) = (ErrorPages::NONE, Vec::new());
    for placed in layers {
        match placed.layer.errors.as_ref().map(|said| &said.value) {
            None => {}
            Some(None) => {
                pages.take_away();
                sources.clear();
            }
            Some(Some(nearer)) => {
                pages.put_nearer(placed.source.clone(), Arc::clone(nearer));
                sources.push(placed.source.clone());
            }
        }
    }
    (pages, sources)
}

/// The key of the innermost layer that has it, `off` or not.
fn innermost<'l, T>(
    layers: &'l [Placed<'l>],
    key: impl Fn(&'l Layer) -> Option<&'l Said<T>>,
) -> Option<(&'l Said<T>, &'l Source)> {
    let mut layers = layers.iter().rev();
    layers.find_map(|placed| Some((key(placed.layer)?, &placed.source)))
}

/// Reports a hedge without a retry, and one that comes too late. `user` is the place where the route names its policies.
pub(super) fn check_hedge(layers: &[Placed<'_>], user: Option<Span>, problems: &mut Problems) {
    let Some((hedge, source)) = innermost(layers, |layer| layer.hedge.as_ref()) else {
        return;
    };
    let Some(after) = hedge.value else {
        return;
    };
    let retry = innermost(layers, |layer| layer.retry.as_ref());
    let Some(placed) = retry.and_then(|(retry, _)| retry.value.as_ref()) else {
        if layers.iter().any(|placed| placed.layer.is_retry_misread) {
            return;
        }
        let is_own = matches!(source, Source::Route | Source::Listener);
        let place = user.filter(|_| !is_own).unwrap_or(hedge.key);
        let mut problem = problems.add(
            Code::MissingKey,
            place,
            "a hedge is a second attempt, and there is no `retry`",
        );
        if place != hedge.key {
            problem = problem.label(hedge.key, "the hedge");
        }
        match retry {
            Some((off, _)) => problem
                .label(off.key, "no retry")
                .help("write `hedge: off` beside it, or give it a `retry`"),
            None => problem.help("add `retry: {}`, whose budget and methods hedges keep to"),
        };
        return;
    };
    let attempt = placed.retry.timeout.zip(placed.timeout);
    report_late(hedge, after, attempt, "an attempt is given up before", problems);
    let timeout = innermost(layers, |layer| layer.timeout.as_ref());
    let timeout = timeout.and_then(|(timeout, _)| Some((timeout.value?, timeout.span)));
    report_late(hedge, after, timeout, "the request is given up before", problems);
}

/// Warns of a hedge that comes after a timeout.
fn report_late(
    hedge: &Said<Duration>,
    after: Duration,
    timeout: Option<(Duration, Span)>,
    label: &str,
    problems: &mut Problems,
) {
    if let Some((timeout, span)) = timeout
        && after >= timeout
    {
        problems
            .add(Code::NoEffect, hedge.span, "the hedge never comes")
            .label(span, label)
            .help("hedge after about the 95th percentile of the response times");
    }
}
