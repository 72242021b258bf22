//! Conditions on the listener and on the scheme of the client.

use waypost_plan::listener::{Listener, ListenerTls};
use waypost_plan::redirect::Scheme;
use waypost_route::attribute::{Attribute, AttributeCondition};
use waypost_route::condition::ValueCondition;

use crate::collections::OneOrMany;
use crate::diagnostic::Code;
use crate::document::route::Match;
use crate::keys::At;
use crate::lower::Context;
use crate::place::Span;
use crate::values::Text;

/// Resolves the listeners of a condition to their labels.
pub(super) fn listeners(written: &At<OneOrMany<Text>>, context: &mut Context<'_>) -> Vec<Box<str>> {
    let mut labels: Vec<Box<str>> = Vec::new();
    for name in &written.value.0 {
        context.listeners.resolve(name, context.problems);
        let called = context
            .served
            .iter()
            .filter(|listener| listener.is_called(&name.value));
        labels.extend(called.map(|listener| listener.label().into()));
    }
    labels.sort_unstable();
    labels.dedup();
    labels
}

/// Lowers the conditions on listener and scheme; `listeners` are labels.
pub(super) fn conditions(
    given: &Match,
    listeners: Option<&[Box<str>]>,
) -> impl Iterator<Item = AttributeCondition> {
    let listener = listeners.map(|labels| AttributeCondition {
        attribute: Attribute::Listener,
        value: match labels {
            [one] => ValueCondition::Equals(one.clone()),
            several => ValueCondition::OneOf(several.into()),
        },
    });
    let scheme = given.scheme.as_ref().map(|scheme| AttributeCondition {
        attribute: Attribute::Scheme,
        value: ValueCondition::Equals(scheme.value.as_str().into()),
    });
    listener.into_iter().chain(scheme)
}

/// The listeners with these labels; all without any.
pub(super) fn ways_in<'c>(
    listeners: Option<&'c [Box<str>]>,
    context: &'c Context<'_>,
) -> impl Iterator<Item = &'c Listener> {
    let all = context.served.iter();
    all.filter(move |listener| {
        listeners.is_none_or(|labels| labels.iter().any(|label| **label == *listener.label()))
    })
}

/// Warns of conditions on listener and scheme that nothing fulfils, as the listeners are. `passes` is true for a route that
/// takes connections rather than requests.
pub(super) fn report_closed(
    given: &Match,
    listeners: Option<&[Box<str>]>,
    passes: bool,
    context: &mut Context<'_>,
) {
    let Some((span, what, help)) = closed(given, listeners, passes, context) else {
        return;
    };
    context
        .problems
        .add(Code::UnreachableRoute, span, what)
        .help(help);
}

fn closed(
    given: &Match,
    listeners: Option<&[Box<str>]>,
    passes: bool,
    context: &Context<'_>,
) -> Option<(Span, &'static str, &'static str)> {
    let listener = given.listener.as_ref().map(|listener| listener.span);
    let scheme = given.scheme.as_ref().map(|scheme| scheme.span);
    let span = listener.or(scheme)?;
    let mut open: Vec<&Listener> = ways_in(listeners, context).collect();
    if open.is_empty() {
        return None;
    }
    open.retain(|listener| (listener.tls == ListenerTls::Passthrough) == passes);
    if open.is_empty() {
        return Some(match passes {
            true => (
                span,
                "connections are passed through by none of these listeners",
                "name a listener with `tls: { passthrough: true }`",
            ),
            false => (
                span,
                "the listener passes TLS connections through, so no requests come in by it",
                "name another listener, or use `passthrough` instead of `to`",
            ),
        });
    }
    let wanted = |scheme: &Scheme| given.scheme.as_ref().is_none_or(|given| given.value == *scheme);
    let schemes = |listener: &Listener| listener.client_schemes().into_iter().flatten().filter(wanted);
    open.retain(|listener| schemes(listener).next().is_some());
    if open.is_empty() {
        return Some((
            scheme?,
            "clients of no such listener use this scheme",
            "TLS makes it `https`; behind a proxy that ends TLS, a listener needs `scheme` or `trusted_proxies`",
        ));
    }
    open.retain(|listener| match &listener.redirect {
        Some(redirect) => schemes(listener).any(|scheme| redirect.may_lead_back(scheme)),
        None => true,
    });
    open.is_empty().then_some((
        span,
        "the listener redirects every request before it comes to a route",
        "remove the `redirect` of the listener, and let routes redirect",
    ))
}
