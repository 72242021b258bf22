//! Keys of services that have no effect: where only some requests, or none, go to the service, or beside its endpoints.

use std::collections::HashSet;
use std::sync::Arc;

use waypost_plan::health::{Ejection, FailureKind, Probe};
use waypost_plan::service::{Endpoint, EndpointHost, EndpointScheme, SentHost, Service};

use crate::diagnostic::Code;
use crate::document::{self, Document};
use crate::either::{UrlsOr, WordOr};
use crate::keys::At;
use crate::lower::Context;
use crate::place::Span;
use crate::problems::Problems;

/// A use of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Clients' requests are forwarded to it.
    Requests,
    /// TLS connections are passed through to it.
    Connections,
    /// A mirror copies requests to it.
    Copies,
    /// A rollout asks or tells it.
    Calls,
    /// It is asked who may pass.
    Questions,
}

/// The uses of a service, with the place of one of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Uses {
    set: u8,
    place: Span,
}

impl Uses {
    pub(super) fn new(used: Use, place: Span) -> Self {
        Self {
            set: 1 << used as u8,
            place,
        }
    }

    pub(super) fn add(&mut self, used: Use) {
        self.set |= 1 << used as u8;
    }

    fn are_only(self, used: Use) -> bool {
        self.set == 1 << used as u8
    }

    fn include(self, used: &[Use]) -> bool {
        used.iter().any(|used| self.set & 1 << *used as u8 != 0)
    }

    /// The reason that a key for other uses has no effect.
    fn reason(self) -> &'static str {
        let all = [
            (Use::Requests, "only requests go to the service"),
            (
                Use::Connections,
                "only connections that are passed through go to the service",
            ),
            (Use::Copies, "only copies of requests go to the service"),
            (Use::Calls, "only calls of rollouts go to the service"),
            (Use::Questions, "only questions of `auth` go to the service"),
        ];
        let only = all.iter().find(|(used, _)| self.are_only(*used));
        only.map_or("no request of a client goes to the service", |(_, reason)| reason)
    }
}

/// Warns of keys without effect, if there are no errors: with them, not all uses are known.
pub(super) fn report(document: &Document, context: &mut Context<'_>) {
    if context.problems.has_errors() {
        return;
    }
    for (name, written) in document.services.iter().flat_map(|services| &services.value.0) {
        let (Some(uses), Some(id)) = (context.uses.get(name), context.service_ids.get(name)) else {
            continue;
        };
        let service = Arc::clone(&context.builder.services()[id.index()]);
        let problems = &mut *context.problems;
        report_by_use(&written.value, &service, *uses, problems);
        report_endpoints(&written.value, &service, problems);
        report_pool(&written.value, problems);
    }
}

/// Reports keys that nothing of what goes to the service heeds.
fn report_by_use(
    written: &document::service::Service,
    service: &Service,
    uses: Uses,
    problems: &mut Problems,
) {
    use Use::{Calls, Connections, Copies, Questions, Requests};
    let mut idle = |place: Option<Span>, key: &str, heeded: &[Use], help: &str| {
        if let Some(place) = place
            && !uses.include(heeded)
        {
            problems
                .add(
                    Code::NoEffect,
                    place,
                    format!("`{key}` has no effect: {}", uses.reason()),
                )
                .label(uses.place, "it is used here")
                .help(help);
        }
    };
    let messages = &[Requests, Copies, Calls, Questions][..];
    if let Some(balance) = &written.balance
        && let WordOr::Mapping(balance) = &balance.value
        && let Some(hash) = &balance.hash
    {
        let hash = &hash.value;
        let help = match uses.include(&[Connections]) {
            true => "write `hash: { client_ip: true }`, or leave `balance` out",
            false => "leave `balance` out",
        };
        let header = hash.header.as_ref().map(|header| header.key);
        let cookie = hash.cookie.as_ref().map(|cookie| cookie.key);
        let path = hash.path.as_ref().map(|path| path.key);
        let client_ip = hash.client_ip.as_ref().map(|client_ip| client_ip.key);
        idle(header, "header", &[Requests, Copies, Questions], help);
        idle(cookie, "cookie", &[Requests, Copies, Questions], help);
        idle(path, "path", &[Requests, Copies, Questions], help);
        idle(
            client_ip,
            "client_ip",
            &[Requests, Connections, Copies, Questions],
            help,
        );
    }
    if let Some(limits) = &written.limits {
        let limits = &limits.value;
        let key = |key: &Option<Box<At<u64>>>| key.as_ref().map(|key| key.key);
        idle(
            key(&limits.requests),
            "requests",
            messages,
            "limit `connections`, of which each client has one",
        );
        let waiting = match limits.connections {
            Some(_) => &[Requests, Connections, Calls, Questions][..],
            None => &[Requests, Calls, Questions],
        };
        idle(key(&limits.waiting), "waiting", waiting, "leave it out");
        let wait = limits.wait.as_ref().map(|wait| wait.key);
        idle(wait, "wait", waiting, "leave it out");
        // Checks keep to them too.
        if !asks(service) {
            let bytes = limits.header_bytes.as_ref().map(|bytes| bytes.key);
            idle(bytes, "header_bytes", messages, "leave it out");
            idle(key(&limits.headers), "headers", messages, "leave it out");
        }
    }
    if let Some(timeouts) = &written.timeouts {
        let timeouts = &timeouts.value;
        let response = timeouts.response.as_ref().map(|time| time.key);
        let read = timeouts.idle.as_ref().map(|time| time.key);
        let tunnel = timeouts.tunnel.as_ref().map(|time| time.key);
        let help = "write `tunnel`, the idle timeout of connections that are passed through";
        idle(response, "response", messages, help);
        idle(read, "idle", messages, help);
        idle(tunnel, "tunnel", &[Requests, Connections], "leave it out");
    }
    let pool = written.pool.as_ref().map(|pool| pool.key);
    idle(
        pool,
        "pool",
        &[Requests, Copies, Questions],
        "leave it out: no connection is kept",
    );
    let http2 = written.http2.as_ref().filter(|http2| http2.value);
    if !matches!(
        service.health.as_ref().map(|health| &health.probe),
        Some(Probe::Http(_))
    ) {
        let help = "leave it out: the bytes of clients are passed on as they are";
        idle(http2.map(|http2| http2.key), "http2", messages, help);
    }
    if service.health.is_none() {
        let help = "leave it out: clients end TLS with the endpoint itself";
        idle(written.tls.as_ref().map(|tls| tls.key), "tls", messages, help);
    }
    let is_idle = match &service.host {
        SentHost::Client => false,
        SentHost::Endpoint => true,
        SentHost::Named(_) => !asks(service),
    };
    let host = written.host.as_ref().filter(|_| is_idle);
    idle(
        host.map(|host| host.span),
        "host",
        messages,
        "leave it out: the requests of such connections are not seen",
    );
    let of = written.eject.as_ref().and_then(|eject| eject.value.of.as_ref());
    for kind in of.iter().flat_map(|of| &of.value.0) {
        match kind.value {
            FailureKind::ServerError | FailureKind::Grpc => {
                let help = "leave it out: `connect` and `reset` are seen of such connections";
                idle(Some(kind.span), kind.value.word(), messages, help);
            }
            FailureKind::Connect | FailureKind::Reset | FailureKind::Timeout => {}
        }
    }
}

/// Warns of items of a list that an earlier or wider one has already.
pub(super) fn report_repeated<T>(list: &[At<T>], covers: impl Fn(&T, &T) -> bool, problems: &mut Problems) {
    for (at, item) in list.iter().enumerate() {
        let mut others = list.iter().enumerate();
        let covering = others.find(|(other, wider)| {
            *other != at
                && covers(&wider.value, &item.value)
                && (*other < at || !covers(&item.value, &wider.value))
        });
        if let Some((_, wider)) = covering {
            problems
                .add(
                    Code::NoEffect,
                    item.span,
                    "another item of the list has this already",
                )
                .label(wider.span, "here")
                .help("leave one of them out");
        }
    }
}

/// Returns true if the checks of a service read heads of responses.
fn asks(service: &Service) -> bool {
    let probe = service.health.as_ref().map(|health| &health.probe);
    matches!(probe, Some(Probe::Http(_) | Probe::Grpc { .. }))
}

/// Reports keys that come to nothing with the endpoints of the service.
fn report_endpoints(written: &document::service::Service, service: &Service, problems: &mut Problems) {
    let endpoints = &service.endpoints;
    let Some(list) = written.endpoints.as_ref().filter(|_| !endpoints.is_empty()) else {
        return;
    };
    let is_drained =
        |endpoint: &Endpoint| endpoint.weight == 0 && !matches!(endpoint.host, EndpointHost::Service(_));
    if endpoints.iter().all(is_drained) {
        problems
            .add(
                Code::NoEffect,
                list.key,
                "all endpoints have weight 0, so that requests get 503",
            )
            .help("give one of them a weight of 1 or more");
    } else if endpoints.iter().all(|endpoint| endpoint.backup)
        && let Some(backup) = first_backup(&list.value.0)
    {
        problems
            .add(
                Code::NoEffect,
                backup,
                "`backup` has no effect: all endpoints are backups",
            )
            .help("leave it out of those that are used first");
    }
    if let Some(check) = &written.health
        && let Some(port) = &check.value.port
        && endpoints
            .iter()
            .all(|endpoint| matches!(endpoint.host, EndpointHost::Unix(_)))
    {
        problems
            .add(
                Code::NoEffect,
                port.key,
                "`port` has no effect: all endpoints are unix sockets",
            )
            .help("leave it out");
    }
    if let Some(eject) = &written.eject
        && let Some(of) = &eject.value.of
        && let Some(grpc) = of.value.0.iter().find(|kind| kind.value == FailureKind::Grpc)
        && !speaks_http2(service)
    {
        problems
            .add(
                Code::NoEffect,
                grpc.span,
                "`grpc` has no effect: gRPC requires HTTP/2, which the service is not asked to speak",
            )
            .help("add `http2: true`, or leave it out");
    }
    if let Some(of) = written.eject.as_ref().and_then(|eject| eject.value.of.as_ref()) {
        report_repeated(&of.value.0, FailureKind::eq, problems);
    }
    let max = (written.eject.as_ref()).and_then(|eject| eject.value.max.as_ref());
    if let Some(max) = max.filter(|max| max.value == 0) {
        problems
            .add(
                Code::NoEffect,
                max.key,
                "with `max: 0`, no endpoint is ever ejected",
            )
            .help("write a percentage such as `50`, or leave it out");
        return;
    }
    if let Some(number) = number(service) {
        report_number(written, number, service.eject.as_ref(), problems);
    }
}

/// The number of endpoints, if that is known: a name has as many as it has addresses.
pub(super) fn number(service: &Service) -> Option<usize> {
    let endpoints = &service.endpoints;
    let is_one =
        |endpoint: &Endpoint| matches!(endpoint.host, EndpointHost::Address(_) | EndpointHost::Unix(_));
    let distinct: HashSet<_> = endpoints.iter().map(|one| (&one.host, one.port)).collect();
    endpoints.iter().all(is_one).then_some(distinct.len())
}

/// Reports keys that have no effect on so many endpoints.
fn report_number(
    written: &document::service::Service,
    endpoints: usize,
    ejection: Option<&Ejection>,
    problems: &mut Problems,
) {
    let slow_start = written.slow_start.as_ref();
    if let Some(slow_start) = slow_start.filter(|_| endpoints == 1) {
        problems
            .add(
                Code::NoEffect,
                slow_start.key,
                "`slow_start` has no effect: there is one endpoint, which takes all requests",
            )
            .help("leave it out, or add endpoints");
    }
    let (Some(eject), Some(ejection)) = (&written.eject, ejection) else {
        return;
    };
    if endpoints == 1 {
        problems
            .add(
                Code::NoEffect,
                eject.key,
                "`eject` has no effect: the only endpoint is never ejected",
            )
            .help("leave it out, or add endpoints");
    } else if let Some(max) = &eject.value.max
        && ejection.ejected_max(endpoints) == 0
    {
        let least = 100_usize.div_ceil(endpoints);
        problems
            .add(
                Code::NoEffect,
                max.span,
                format!(
                    "no endpoint is ever ejected: {} % of {endpoints} is less than one",
                    max.value
                ),
            )
            .help(format!("write `{least}` or more"));
    }
}

/// The first `backup: true`.
fn first_backup(list: &[At<UrlsOr<document::service::Endpoint>>]) -> Option<Span> {
    list.iter().find_map(|item| match &item.value {
        UrlsOr::Mapping(endpoint) => endpoint.backup.as_ref().map(|backup| backup.key),
        UrlsOr::Urls(_) => None,
    })
}

/// Returns true if any of the service's endpoints may be spoken to in HTTP/2.
pub(super) fn speaks_http2(service: &Service) -> bool {
    let is_h2c = |endpoint: &Endpoint| endpoint.scheme == EndpointScheme::H2c;
    service.http2 || service.endpoints.iter().any(is_h2c)
}

/// Reports keys about connections that are not kept.
fn report_pool(written: &document::service::Service, problems: &mut Problems) {
    if let (Some(pool), Some(proxied)) = (&written.pool, &written.proxy_protocol) {
        problems
            .add(
                Code::NoEffect,
                pool.key,
                "`pool` has no effect: a connection with a PROXY header is one client's, and not kept",
            )
            .label(proxied.key, "the PROXY header")
            .help("leave it out");
    }
}
