//! Services and their endpoints.

use std::collections::HashSet;
use std::time::Duration;

use waypost_plan::balance::Balance;
use waypost_plan::service::{
    Capacity, Endpoint, EndpointScheme, PANIC_DEFAULT, Pool, SentHost, Service, Timeouts,
};
use waypost_wire::response::ResponseLimits;

use crate::diagnostic::Code;
use crate::document::{self, Document};
use crate::files::TlsFiles;
use crate::lower::capacity::capacity;
use crate::lower::{Context, balance, bytes, duration, endpoint, health, host, timeout, tls, whole};
use crate::place::Span;
use crate::problems::quote;

pub(super) fn add_all(document: &Document, context: &mut Context<'_>) {
    for (name, written) in document.services.iter().flat_map(|services| &services.value.0) {
        context.services.declare(name, written.key, context.problems);
        let (service, files) = service(name, &written.value, context);
        // A duplicate name is reported already.
        if let Ok(id) = context.builder.add_service(service) {
            let service = &context.builder.services()[id.index()];
            context.foreign_hosts.declare(id, &written.value, service);
            context.service_ids.insert(name.clone(), id);
            context.files.services.push(files);
        } else {
            context.files.refused.push(files);
        }
    }
    // Services that could not be read are reported already; their names are known.
    for (name, span) in document.services.iter().flat_map(|services| &services.value.1) {
        context.services.declare(name, *span, context.problems);
    }
}

/// Warns of services that no route refers to, if there are no errors: a misspelt name in a route would make the
/// intended service unused.
pub(super) fn report_unused(document: &Document, context: &mut Context<'_>) {
    if context.problems.has_errors() {
        return;
    }
    for (name, written) in document.services.iter().flat_map(|services| &services.value.0) {
        if !context.uses.contains_key(name) {
            context
                .problems
                .add(
                    Code::UnusedService,
                    written.key,
                    format!("no route leads to the service {}", quote(name)),
                )
                .help("remove it, or name it in a route's `to`");
        }
    }
}

fn service(
    name: &str,
    written: &document::service::Service,
    context: &mut Context<'_>,
) -> (Service, TlsFiles<Span>) {
    let items = written.endpoints.iter().flat_map(|list| &list.value.0);
    let mut endpoints: Vec<Endpoint> = Vec::new();
    let mut known = HashSet::new();
    for item in items {
        for endpoint in endpoint::of(item, context.problems) {
            if !known.insert((endpoint.host.clone(), endpoint.port)) {
                let message = format!("the endpoint {} is listed already", quote(&endpoint.authority));
                context
                    .problems
                    .add(Code::NoEffect, item.span, message)
                    .help("only the first one counts; `weight` gives it more requests");
                continue;
            }
            endpoints.push(endpoint);
        }
    }
    let schemes: Vec<EndpointScheme> = endpoints.iter().map(|endpoint| endpoint.scheme).collect();
    let (tls, files) = tls::of_service(written, &schemes, context);
    let problems = &mut *context.problems;
    let mut timeouts = Timeouts::default();
    if let Some(given) = &written.timeouts {
        for (field, time) in [
            (&mut timeouts.connect, &given.value.connect),
            (&mut timeouts.response, &given.value.response),
            (&mut timeouts.idle, &given.value.idle),
            (&mut timeouts.tunnel, &given.value.tunnel),
        ] {
            if let Some(time) = time {
                *field = timeout(time, Duration::from_millis(1), problems);
            }
        }
    }
    let (mut limits, mut may_have) = (ResponseLimits::default(), Capacity::default());
    if let Some(given) = &written.limits {
        may_have = capacity(&given.value, problems);
        if let Some(size) = &given.value.header_bytes {
            limits.bytes = bytes(size, 1 << 10, 16 << 20, problems);
        }
        if let Some(number) = &given.value.headers {
            limits.fields = whole(number, 1, 10_000, problems);
        }
    }
    let mut pool = Pool::default();
    if let Some(given) = &written.pool {
        if let Some(number) = &given.value.idle_max {
            pool.idle_max = whole(number, 0, 100_000, problems);
        }
        if let Some(time) = &given.value.idle_timeout {
            pool.idle_timeout = timeout(time, Duration::from_millis(1), problems);
        }
    }
    let host = written.host.as_ref();
    if let Some(host) = host {
        host::check_sent(host, problems);
    }
    let host = host.map_or(SentHost::default(), |host| host.value.clone());
    let balance = written.balance.as_ref();
    let balance = balance.map_or_else(Balance::default, |balance| balance::of(balance, problems));
    let checks = written.health.as_ref();
    let eject = written.eject.as_ref();
    let service = Service {
        balance,
        panic: written
            .panic
            .as_ref()
            .map_or(PANIC_DEFAULT, |panic| panic.value.0.0),
        health: checks.and_then(|checks| health::check(checks, &host, problems)),
        eject: eject.map(|eject| health::ejection(&eject.value, problems)),
        slow_start: (written.slow_start.as_ref())
            .map(|time| duration(time, Duration::from_millis(1), problems)),
        timeouts,
        limits,
        capacity: may_have,
        pool,
        http2: written.http2.as_ref().is_some_and(|http2| http2.value),
        host,
        tls,
        proxy_protocol: written.proxy_protocol.as_ref().map(|version| version.value),
        ..Service::new(name.into(), endpoints)
    };
    (service, files)
}
