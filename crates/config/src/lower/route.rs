//! Routes.

use std::sync::Arc;

use waypost_plan::route::{Action, Forward, Route};
use waypost_plan::service::EndpointScheme;

use crate::diagnostic::Code;
use crate::document::{self, Document};
use crate::keys::At;
use crate::lower::{Context, RouteSpans, action, matching, policies, redirect_loop, retry};
use crate::place::Span;
use crate::problems::quote;

/// Lowers all routes; adds the valid ones and reports mistakes in the others.
pub(super) fn add_all(document: &Document, context: &mut Context<'_>) -> Vec<RouteSpans> {
    let mut spans = Vec::new();
    for written in document.routes.iter().flat_map(|routes| &routes.value.0) {
        if let Some(name) = &written.value.name {
            context.routes.declare(&name.value, name.span, context.problems);
        }
        if let Some((route, route_spans)) = route(written, context)
            && context.builder.add_route(route).is_ok()
        {
            spans.push(route_spans);
        }
    }
    spans
}

/// Warns of listeners that pass connections through without a route for them, and of such routes without a listener.
pub(super) fn report_passing(document: &Document, context: &mut Context<'_>) {
    if context.problems.has_errors() {
        return;
    }
    let listeners = document.listeners.iter().flat_map(|list| &list.value.0);
    let passes = listeners.filter_map(|listener| {
        let passthrough = listener.value.tls.as_ref()?.value.passthrough.as_ref()?;
        passthrough.value.then_some(passthrough.key)
    });
    let passes: Vec<Span> = passes.collect();
    let routes = document.routes.iter().flat_map(|routes| &routes.value.0);
    let gets = routes.filter_map(|route| route.value.passthrough.as_ref().map(|to| to.key));
    let gets: Vec<Span> = gets.collect();
    if gets.is_empty() {
        for listener in &passes {
            context
                .problems
                .add(
                    Code::UnreachableRoute,
                    *listener,
                    "no route gets the connections of this listener, so all of them are closed",
                )
                .help("add a route with `passthrough: NAME`");
        }
    }
    if passes.is_empty() {
        for route in &gets {
            context
                .problems
                .add(
                    Code::UnreachableRoute,
                    *route,
                    "no listener passes connections through, so this route gets none",
                )
                .help("add a listener with `tls: { passthrough: true }`");
        }
    }
}

/// Warns of calls of gRPC that go to a service without HTTP/2.
fn report_grpc(route: &document::route::Route, forward: &Forward, context: &mut Context<'_>) {
    let calls = route.matching.iter().flat_map(|matching| &matching.value.0);
    let Some(call) = calls.filter_map(|one| one.value.grpc.as_ref()).next() else {
        return;
    };
    for id in forward.arms.iter() {
        let service = &context.builder.services()[id.index()];
        let speaks_http1 = !service.http2
            && service
                .endpoints
                .iter()
                .any(|endpoint| endpoint.scheme != EndpointScheme::H2c);
        if speaks_http1 {
            let name = quote(&service.name);
            let mut problem = context.problems.add(
                Code::GrpcWithoutHttp2,
                call.key,
                format!("gRPC requires HTTP/2, which the service {name} is not asked to speak"),
            );
            if let Some(place) = context.services.place(&service.name) {
                problem = problem.label(place, "this service");
            }
            problem.help(format!(
                "add `http2: true` to {name}, or write its endpoints with `h2c://`"
            ));
        }
    }
}

fn route(written: &At<document::route::Route>, context: &mut Context<'_>) -> Option<(Route, RouteSpans)> {
    let errors_before = context.problems.errors();
    let route = &written.value;
    let name_span = route.name.as_ref().map_or(written.span, |name| name.span);
    let matching = matching::of(route, name_span, context);
    let uses = policies::resolve(route.uses.as_deref(), context);
    let action = action::of(written, &uses, &matching.patterns, context);
    let kind = action.as_ref().map(|action| match action {
        Action::Forward(_) if route.passthrough.is_some() => "passthrough",
        Action::Forward(_) => "to",
        Action::Redirect(_) => "redirect",
        Action::Respond(_) => "respond",
    });
    let policies = policies::of_route(route, &uses, &matching, kind, context);
    if context.problems.errors() > errors_before {
        return None;
    }
    let name = &*route.name.as_ref()?.value;
    let spans = RouteSpans {
        name: name_span,
        alternatives: matching.spans,
    };
    // Without an alternative nothing could match; the mistake in the match is reported already.
    if matching.alternatives.is_empty() {
        return None;
    }
    match (&action, &route.redirect) {
        (Some(Action::Forward(forward)), _) => {
            report_grpc(route, forward, context);
            retry::report(route, forward, &policies, context);
        }
        (Some(Action::Redirect(redirect)), Some(written)) => {
            redirect_loop::report_route(redirect, written.key, &matching.alternatives, context);
        }
        _ => {}
    }
    let route = Route {
        matching: waypost_route::Route {
            name: Arc::from(name),
            alternatives: matching.alternatives.into(),
        },
        action: action?,
        policies,
        is_passthrough: route.passthrough.is_some(),
    };
    Some((route, spans))
}
