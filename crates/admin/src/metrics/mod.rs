//! Metrics for Prometheus.
//!
//! [`families`] defines every metric once: name, type and help text. The exposition and the reference page are generated
//! from it. Label values are names of routes and services and fixed words, never values from a request.

mod exposition;
pub mod families;

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio::time::Instant;
use waypost_plan::auth::WayKind;
use waypost_plan::listener::ListenerTls;
use waypost_plan::settings::CodeLabel;
use waypost_proxy::challenges::ChallengeType;
use waypost_proxy::gateway::View;
use waypost_proxy::observe::metrics::{Mirrored, ProxyHeaderFault, Reading, RequestReading};
use waypost_upstream::health::EndpointState;
use waypost_upstream::histogram::SHOWN_BOUNDS_US;

use crate::arms;
use crate::fleet::{FleetView, InstanceState};
pub use crate::metrics::exposition::Dialect;
use crate::metrics::exposition::Writer;
use crate::report::Report;
use crate::state::AppState;
use crate::stats::class;

/// The text of all metrics.
pub fn text(state: &AppState, dialect: Dialect) -> String {
    let mut out = Writer::new(dialect);
    process(state, &mut out);
    rollouts(state, &mut out);
    if let Ok(view) = state.view() {
        let reading = view.metrics().read();
        certificates(view, &mut out);
        requests(view, &reading, &mut out);
        rates(view, &reading, &mut out);
        connections(view, &reading, &mut out);
        endpoints(view, &mut out);
        splits(view, &mut out);
    }
    out.finish()
}

fn process(state: &AppState, out: &mut Writer) {
    out.family(&families::BUILD_INFO)
        .sample(&[("version", state.version)], 1);
    let started = state.started.as_millisecond() as f64 / 1000.0;
    out.family(&families::START_TIME).sample_float(&[], started);
    let report = state.report();
    if let Ok(view) = state.view() {
        out.family(&families::REVISION)
            .sample(&[], view.generation().number());
    }
    out.family(&families::RELOADS)
        .sample(&[("outcome", "applied")], report.applied)
        .sample(&[("outcome", "refused")], report.refused);
    out.family(&families::LOADED)
        .sample(&[], u64::from(report.failed.is_none()));
    out.family(&families::DAMAGED)
        .sample(&[], report.state.damaged.len() as u64);
    out.family(&families::STATE_WRITABLE)
        .sample(&[], u64::from(report.state.writable));
    fleet(state.fleet().as_ref(), out);
    out.family(&families::STALE_FILES)
        .sample(&[], report.stale_files.len() as u64);
    out.family(&families::ACME_ORDERS)
        .sample(&[("result", "issued")], report.orders_issued)
        .sample(&[("result", "failed")], report.orders_failed);
    key_sets(&report, out);
}

fn fleet(fleet: Option<&FleetView>, out: &mut Writer) {
    out.family(&families::FLEET_INSTANCES);
    if let Some(fleet) = fleet {
        for instance in [
            InstanceState::Ok,
            InstanceState::Lagging,
            InstanceState::Unhealthy,
            InstanceState::Error,
        ] {
            let are_so = fleet.instances.iter().filter(|each| each.state == instance);
            out.sample(&[("state", instance.as_str())], are_so.count() as u64);
        }
    }
    for (family, value) in [
        (
            &families::FLEET_LEADER,
            fleet.map(|fleet| u64::from(fleet.leader.as_ref() == Some(&fleet.instance))),
        ),
        (
            &families::FLEET_AVAILABLE,
            fleet.map(|fleet| u64::from(fleet.available)),
        ),
        (
            &families::FLEET_STORE_REVISION,
            fleet.map(|fleet| fleet.store_revision.unsigned_abs()),
        ),
        (
            &families::FLEET_CANARY,
            fleet.map(|fleet| u64::from(fleet.canary_under_way().is_some())),
        ),
    ] {
        out.family(family);
        if let Some(value) = value {
            out.sample(&[], value);
        }
    }
}

fn key_sets(report: &Report, out: &mut Writer) {
    let now = Timestamp::now();
    out.family(&families::KEY_SET_AGE);
    for keys in report.key_sets.values() {
        if let Some(fetched) = keys.fetched {
            let age = now.duration_since(fetched).as_secs_f64().max(0.0);
            out.sample_float(&[("url", &keys.url)], age.floor());
        }
    }
    out.family(&families::KEY_SET_FETCHES);
    for keys in report.key_sets.values() {
        for (result, count) in [
            ("succeeded", keys.fetches - keys.failures),
            ("failed", keys.failures),
        ] {
            out.sample(&[("url", &keys.url), ("result", result)], count);
        }
    }
}

fn rollouts(state: &AppState, out: &mut Writer) {
    let report = state.report();
    for (family, value) in [
        (&families::ROLLOUT_STEP, 0),
        (&families::ROLLOUT_SHARE, 1),
        (&families::ROLLOUT_EVIDENCE, 2),
    ] {
        out.family(family);
        for rollout in &report.rollouts {
            let values = [rollout.step as f64, rollout.share, rollout.evidence];
            let labels = [("route", &*rollout.route), ("canary", &*rollout.canary)];
            out.sample_float(&labels, values[value]);
        }
    }
    out.family(&families::ROLLOUT_VERDICTS);
    for ((route, verdict), count) in &report.verdicts {
        out.sample(&[("route", route), ("verdict", verdict)], *count);
    }
    out.family(&families::ROLLOUT_NOTIFICATIONS);
    for (result, count) in &report.notifications {
        out.sample(&[("result", result)], *count);
    }
}

/// The certificates of listeners: their remaining validity, and those that no authority has signed.
fn certificates(view: &View, out: &mut Writer) {
    const DAY: f64 = 24.0 * 60.0 * 60.0;
    let now = Timestamp::now().as_millisecond() as f64 / 1000.0;
    let generation = view.generation();
    let mut days = Vec::new();
    let mut self_signed = Vec::new();
    for (listener, tls) in generation.certificates() {
        let (ListenerTls::Terminates(end), Some(tls)) = (&listener.tls, tls) else {
            continue;
        };
        let name = listener.name.as_deref().unwrap_or(&listener.bind.text);
        for (source, identity) in end.certificates.iter().zip(tls.identities()) {
            let labels = [("listener", name), ("certificate", source.label())];
            days.push((labels, (identity.not_after() as f64 - now) / DAY));
            self_signed.push((labels, identity.is_self_signed()));
        }
    }
    out.family(&families::CERTIFICATE_DAYS);
    for (labels, days) in days {
        // Hundredths of a day suffice, and change only every quarter of an hour.
        out.sample_float(&labels, (days * 100.0).floor() / 100.0);
    }
    out.family(&families::CERTIFICATE_SELF_SIGNED);
    for (labels, is_self_signed) in self_signed {
        out.sample(&labels, u64::from(is_self_signed));
    }
}

fn requests(view: &View, reading: &Reading, out: &mut Writer) {
    let label = view.generation().plan().settings().code_label;
    out.family(&families::REQUESTS);
    for series in &reading.requests {
        for ((code, grpc_code), count) in codes(series, label) {
            let labels = [
                ("route", &*series.route),
                ("service", &*series.service),
                ("code", &code),
                ("grpc_code", &grpc_code),
            ];
            // Only calls of gRPC have the last one.
            let labels = if grpc_code.is_empty() {
                &labels[..3]
            } else {
                &labels
            };
            out.sample(labels, count);
        }
    }
    out.family(&families::FAILED);
    for series in &reading.requests {
        out.sample(
            &[("route", &series.route), ("service", &series.service)],
            series.failed(),
        );
    }
    for (family, durations) in [(&families::DURATION, false), (&families::UPSTREAM_DURATION, true)] {
        out.family(family);
        for series in &reading.requests {
            let durations = if durations {
                &series.upstream
            } else {
                &series.duration
            };
            let count = durations.count();
            if count == 0 {
                continue;
            }
            let labels = [("route", &*series.route), ("service", &*series.service)];
            let buckets = SHOWN_BOUNDS_US.map(|bound| (bound as f64 / 1e6, durations.count_below(bound)));
            out.histogram(&labels, &buckets, count, durations.sum_us as f64 / 1e6);
        }
    }
    out.family(&families::RETRIES);
    for series in reading.requests.iter().filter(|series| series.retries > 0) {
        out.sample(
            &[("route", &series.route), ("service", &series.service)],
            series.retries,
        );
    }
    out.family(&families::MIRRORED);
    for series in &reading.requests {
        for (outcome, count) in Mirrored::ALL.iter().zip(series.mirrored) {
            if count > 0 {
                let labels = [
                    ("route", &*series.route),
                    ("service", &*series.service),
                    ("outcome", outcome.as_str()),
                ];
                out.sample(&labels, count);
            }
        }
    }
    out.family(&families::REFUSALS);
    for (reason, count) in &reading.failures {
        out.sample(&[("reason", reason)], *count);
    }
    out.family(&families::AUTH);
    for reading in &reading.auth {
        for (way, result, count) in &reading.counts {
            let labels = [
                ("route", &*reading.route),
                ("way", way.map_or("none", WayKind::as_str)),
                ("result", result.as_str()),
            ];
            out.sample(&labels, *count);
        }
    }
}

/// Rate limits: what they refused, and their buckets.
fn rates(view: &View, reading: &Reading, out: &mut Writer) {
    let mut limited: BTreeMap<&str, u64> = BTreeMap::new();
    for series in reading.requests.iter().filter(|series| series.limited > 0) {
        *limited.entry(&series.route).or_default() += series.limited;
    }
    out.family(&families::RATE_LIMITED);
    for (route, count) in limited {
        out.sample(&[("route", route)], count);
    }
    let generation = view.generation();
    let tables = || {
        let used = generation.compiled().limiters().all();
        used.filter(|limiter| limiter.table().is_used())
            .map(|limiter| (limiter.rate().scope().label(), limiter.table()))
    };
    for (family, value) in [
        (&families::RATE_KEYS, 0),
        (&families::RATE_EVICTED, 1),
        (&families::RATE_UNPLACED, 2),
    ] {
        out.family(family);
        for (policy, table) in tables() {
            let values = [table.keys() as u64, table.evicted(), table.unplaced()];
            out.sample(&[("policy", &policy)], values[value]);
        }
    }
}

/// The counts of a series by the labels `code` and `grpc_code`; the latter is empty for requests that are no calls.
fn codes(series: &RequestReading, label: CodeLabel) -> BTreeMap<(String, String), u64> {
    let mut codes = BTreeMap::new();
    for (status, count) in &series.statuses {
        let code = match label {
            CodeLabel::Exact => status.http_status().to_string(),
            CodeLabel::Class => class(status.http_status()).to_owned(),
        };
        let grpc = status.grpc_code();
        let grpc_code = grpc.map_or_else(String::new, |code| code.number().to_string());
        *codes.entry((code, grpc_code)).or_insert(0) += count;
    }
    codes
}

fn connections(view: &View, reading: &Reading, out: &mut Writer) {
    out.family(&families::CONNECTIONS_OPEN)
        .sample(&[], view.connections_open() as u64);
    out.family(&families::CONNECTIONS).sample(&[], reading.accepted);
    out.family(&families::HANDSHAKES_FAILED)
        .sample(&[], reading.handshakes_failed);
    out.family(&families::ACME_CHALLENGES);
    for (of, count) in ChallengeType::ALL.iter().zip(reading.challenges) {
        out.sample(&[("type", of.as_str())], count);
    }
    out.family(&families::PROXY_HEADERS);
    for (fault, count) in ProxyHeaderFault::ALL.iter().zip(reading.proxy_headers) {
        out.sample(&[("reason", fault.as_str())], count);
    }
    out.family(&families::PANICS).sample(&[], reading.panics);
    for (family, value) in [
        (&families::UPSTREAM_OPENED, 0),
        (&families::UPSTREAM_REUSED, 1),
        (&families::UPSTREAM_FAILED, 2),
        (&families::UPSTREAM_IDLE, 3),
        (&families::RETRIES_DENIED, 4),
    ] {
        out.family(family);
        for service in &reading.services {
            let values = [
                service.opened,
                service.reused,
                service.failed,
                service.idle,
                service.denied,
            ];
            out.sample(&[("service", &*service.service)], values[value]);
        }
    }
    limits(view, reading, out);
    out.family(&families::PANIC_MODE);
    for state in view.generation().services() {
        let name = &*state.service().name;
        out.sample(&[("service", name)], u64::from(state.is_panic()));
    }
    out.family(&families::INVALID_RESPONSES);
    for service in &reading.services {
        for (rule, count) in &service.faults {
            let labels = [("service", &*service.service), ("cause", rule.name())];
            out.sample(&labels, *count);
        }
    }
    let lost = view.log_lines_lost();
    out.family(&families::LOG_LOST)
        .sample(&[("reason", "behind")], lost.dropped)
        .sample(&[("reason", "unwritable")], lost.unwritable);
}

/// The limits of services, and what is in use of them.
fn limits(view: &View, reading: &Reading, out: &mut Writer) {
    let generation = view.generation();
    let limited = || {
        let services = generation.services().iter();
        services.filter_map(|state| Some((&*state.service().name, state.limits()?)))
    };
    for (family, is_used) in [(&families::LIMIT_USED, true), (&families::LIMIT, false)] {
        out.family(family);
        for (service, limits) in limited() {
            for (limit, usage) in [
                ("requests", limits.requests()),
                ("connections", limits.connections()),
            ] {
                if let Some(usage) = usage {
                    let value = if is_used { usage.used } else { usage.max };
                    out.sample(&[("service", service), ("limit", limit)], value as u64);
                }
            }
        }
    }
    out.family(&families::LIMIT_WAITING);
    for (service, limits) in limited() {
        out.sample(&[("service", service)], limits.waiting() as u64);
    }
    out.family(&families::LIMIT_REFUSALS);
    for service in &reading.services {
        for (limit, refused) in [
            ("requests", service.request_limit),
            ("connections", service.connection_limit),
        ] {
            if refused > 0 {
                out.sample(&[("service", &*service.service), ("limit", limit)], refused);
            }
        }
    }
}

/// The state of each endpoint, as long as it is one.
fn endpoints(view: &View, out: &mut Writer) {
    let generation = view.generation();
    let now = Instant::now();
    for (family, is_state) in [
        (&families::ENDPOINT_UP, true),
        (&families::ENDPOINT_EJECTIONS, false),
    ] {
        out.family(family);
        for running in generation.services() {
            for endpoint in running.endpoints().iter() {
                let address = endpoint.address.to_string();
                let labels = [("service", &*running.service().name), ("endpoint", &*address)];
                let value = match is_state {
                    true => u64::from(running.status(endpoint, now).state == EndpointState::Up),
                    false => endpoint.health.ejections(),
                };
                out.sample(&labels, value);
            }
        }
    }
    out.family(&families::HEALTH_CHECKS);
    let checked = generation.services().iter();
    for running in checked.filter(|running| running.service().health.is_some()) {
        for (result, count) in ["passed", "failed"].iter().zip(running.check_counts()) {
            out.sample(
                &[("service", &*running.service().name), ("result", result)],
                count,
            );
        }
    }
}

/// The weights of splits, without routes that have fewer than two services.
fn splits(view: &View, out: &mut Writer) {
    let generation = view.generation();
    let arms = |position: usize| arms::of_route(&generation, position);
    for (family, is_live) in [
        (&families::WEIGHT_DECLARED, false),
        (&families::WEIGHT_LIVE, true),
    ] {
        out.family(family);
        for (position, route) in generation.plan().routes().iter().enumerate() {
            let arms = arms(position);
            if arms.len() < 2 {
                continue;
            }
            for arm in arms {
                let weight = if is_live { arm.live } else { arm.declared };
                out.sample(
                    &[("route", &route.matching.name), ("service", &arm.service)],
                    weight,
                );
            }
        }
    }
}
