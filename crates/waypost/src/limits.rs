//! Every limit, for `waypost check --limits`.

use std::time::Duration;

use serde_json::json;
use waypost_config::{size, yaml};
use waypost_plan::Plan;
use waypost_plan::access::BodyLimit;
use waypost_plan::acme::Acme;
use waypost_plan::auth::Way;
use waypost_plan::duration;
use waypost_plan::listener::Underscores;
use waypost_plan::policies::PolicySet;
use waypost_plan::rate::RateLimit;
use waypost_plan::service::Service;
use waypost_proxy::limits::Value;

use crate::{caller, certificates, key_sets, notifier};

/// A limit and its scope.
pub(crate) struct Limit {
    pub(crate) scope: String,
    pub(crate) key: &'static str,
    pub(crate) value: String,
}

impl Limit {
    pub(crate) fn into_json(self) -> serde_json::Value {
        json!({ "scope": self.scope, "limit": self.key, "value": self.value })
    }
}

/// The limits of a service's checks and ejections.
fn of_health(service: &Service) -> Vec<Limit> {
    let mut values = Vec::new();
    if let Some(check) = &service.health {
        values.extend([
            ("health.interval", duration::format(check.interval)),
            ("health.timeout", duration::format(check.timeout)),
            ("health.unhealthy", check.unhealthy.to_string()),
            ("health.healthy", check.healthy.to_string()),
        ]);
    }
    if let Some(eject) = &service.eject {
        let failures = eject.failures;
        values.extend(failures.map(|failures| ("eject.failures", failures.to_string())));
        if let Some(rate) = &eject.rate {
            values.extend([
                ("eject.rate", rate.percent.to_string()),
                ("eject.requests", rate.requests.to_string()),
                ("eject.window", duration::format(rate.window)),
            ]);
        }
        values.extend([
            ("eject.for", duration::format(eject.duration)),
            ("eject.max", eject.max.to_string()),
        ]);
    }
    let limit = |(key, value)| Limit {
        scope: format!("service {}", service.name),
        key,
        value,
    };
    values.into_iter().map(limit).collect()
}

/// Every limit: those of the config, and the fixed ones.
pub(crate) fn of(plan: &Plan) -> Vec<Limit> {
    let mut limits = Vec::new();
    for listener in plan.listeners() {
        let scope = format!(
            "listener {}",
            listener.name.as_deref().unwrap_or(&listener.bind.text)
        );
        let set = &listener.limits;
        let underscores = match set.underscores {
            Underscores::Drop => "drop",
            Underscores::Keep => "keep",
        };
        let values = [
            ("header_bytes", size::format(set.header_bytes as u64)),
            ("headers", set.headers.to_string()),
            ("target_bytes", size::format(set.target_bytes as u64)),
            ("header_timeout", duration::format(set.header_timeout)),
            ("keep_alive_timeout", duration::format(set.keep_alive_timeout)),
            ("body_idle_timeout", duration::format(set.body_idle_timeout)),
            (
                "body_bytes",
                set.body_bytes.map_or_else(|| "none".to_owned(), size::format),
            ),
            (
                "body_rate",
                set.body_rate.map_or_else(|| "none".to_owned(), size::format),
            ),
            ("connections", set.connections.to_string()),
            ("underscores", underscores.to_owned()),
            ("handshake_timeout", duration::format(set.handshake_timeout)),
            ("handshakes", set.handshakes.to_string()),
        ];
        limits.extend(values.map(|(key, value)| Limit {
            scope: scope.clone(),
            key,
            value,
        }));
    }
    for service in plan.services() {
        let scope = format!("service {}", service.name);
        let values = [
            ("timeouts.connect", duration::format(service.timeouts.connect)),
            ("timeouts.response", duration::format(service.timeouts.response)),
            ("timeouts.idle", duration::format(service.timeouts.idle)),
            ("timeouts.tunnel", duration::format(service.timeouts.tunnel)),
            ("limits.requests", or_none(service.capacity.requests)),
            ("limits.connections", or_none(service.capacity.connections)),
            ("limits.waiting", service.capacity.waiting.to_string()),
            ("limits.wait", duration::format(service.capacity.wait)),
            ("limits.header_bytes", size::format(service.limits.bytes as u64)),
            ("limits.headers", service.limits.fields.to_string()),
            ("pool.idle_max", service.pool.idle_max.to_string()),
            ("pool.idle_timeout", duration::format(service.pool.idle_timeout)),
        ];
        limits.extend(values.map(|(key, value)| Limit {
            scope: scope.clone(),
            key,
            value,
        }));
    }
    for service in plan.services() {
        limits.extend(of_health(service));
    }
    for route in plan.routes() {
        let mut values = Vec::new();
        let policies = &route.policies;
        match policies.body {
            BodyLimit::OfListener => {}
            BodyLimit::Unlimited => values.push(("limits.body_bytes", "none".to_owned())),
            BodyLimit::Bytes(bytes) => values.push(("limits.body_bytes", size::format(bytes))),
        }
        let timeouts = &policies.timeouts;
        for (key, time) in [
            ("timeout", policies.timeout),
            ("timeouts.connect", timeouts.connect),
            ("timeouts.response", timeouts.response),
            ("timeouts.idle", timeouts.idle),
            ("timeouts.tunnel", timeouts.tunnel),
        ] {
            values.extend(time.map(|time| (key, duration::format(time))));
        }
        if let Some(retry) = &policies.retry {
            let time = |time: Option<Duration>| time.map_or_else(|| "none".to_owned(), duration::format);
            values.extend([
                ("retry.attempts", retry.attempts.to_string()),
                ("retry.budget", format!("{} %", retry.budget)),
                ("retry.backoff", duration::format(retry.backoff)),
                ("retry.timeout", time(retry.timeout)),
                ("retry.body", size::format(retry.body as u64)),
                ("hedge", time(retry.hedge)),
            ]);
        }
        values.extend(of_offloading(policies));
        let scope = format!("route {}", route.matching.name);
        limits.extend(values.into_iter().map(|(key, value)| Limit {
            scope: scope.clone(),
            key,
            value,
        }));
    }
    for limit in waypost_proxy::limits::fixed() {
        let value = match limit.value {
            Value::Bytes(bytes) => size::format(bytes),
            Value::Count(count) => count.to_string(),
            Value::Time(time) => duration::format(time),
        };
        limits.push(Limit {
            scope: "always".to_owned(),
            key: limit.name,
            value,
        });
    }
    let calls = [
        (
            "timeout of a hook, or of a notification of a rollout",
            duration::format(caller::TIMEOUT),
        ),
        (
            "response body read of a hook or a notification",
            size::format(caller::RESPONSE_BYTES_MAX as u64),
        ),
        ("hooks and notifications at a time", caller::CALLS_MAX.to_string()),
        (
            "timeout of the fetch of a key set",
            duration::format(key_sets::TIMEOUT),
        ),
        (
            "time between two fetches of a key set for unknown keys",
            duration::format(key_sets::ASKED_MIN),
        ),
        (
            "age of a key set at which it is fetched again, at least",
            duration::format(key_sets::FRESH_MIN),
        ),
        (
            "age of a key set at which it is fetched again, at most",
            duration::format(key_sets::FRESH_MAX),
        ),
        (
            "wait after a fetch of a key set that failed, at first",
            duration::format(key_sets::RETRY_MIN),
        ),
        (
            "wait after a fetch of a key set that failed, at most",
            duration::format(key_sets::RETRY_MAX),
        ),
        ("requests that wait for a key set", key_sets::ASKS_MAX.to_string()),
        (
            "file of keys of clients",
            size::format(certificates::KEY_FILE_BYTES_MAX),
        ),
        (
            "file of users and passwords",
            size::format(certificates::PASSWORD_FILE_BYTES_MAX as u64),
        ),
        (
            "notifications that wait, per route",
            notifier::WAITING_MAX.to_string(),
        ),
        ("attempts for a notification", notifier::ATTEMPTS_MAX.to_string()),
        ("age of a notification", duration::format(notifier::AGE_MAX)),
    ];
    #[cfg(feature = "acme")]
    limits.extend(crate::acme::limits().into_iter().map(|(key, value)| Limit {
        scope: "always".to_owned(),
        key,
        value,
    }));
    limits.extend(calls.map(|(key, value)| Limit {
        scope: "always".to_owned(),
        key,
        value,
    }));
    let config = [
        ("config file", size::format(yaml::FILE_BYTES_MAX as u64)),
        ("config nesting", yaml::DEPTH_MAX.to_string()),
        (
            "values that aliases stand for",
            yaml::ALIASED_VALUES_MAX.to_string(),
        ),
        (
            "hosts of a certificate that an authority issues",
            Acme::HOSTS_MAX.to_string(),
        ),
    ];
    limits.extend(config.map(|(key, value)| Limit {
        scope: "always".to_owned(),
        key,
        value,
    }));
    limits.push(Limit {
        scope: "gateway".to_owned(),
        key: "drain_timeout",
        value: duration::format(plan.settings().drain_timeout),
    });
    limits
}

/// The limits of authentication, rates and CORS of a route.
fn of_offloading(policies: &PolicySet) -> Vec<(&'static str, String)> {
    let mut values = Vec::new();
    let none = || "none".to_owned();
    for way in policies.auth.iter().flat_map(|auth| &auth.ways) {
        match way {
            Way::Jwt(jwt) => values.push(("auth.jwt.leeway", duration::format(jwt.rules.leeway))),
            Way::Ask(ask) => values.extend([
                ("auth.ask.timeout", duration::format(ask.timeout)),
                ("auth.ask.cache", ask.cache.map_or_else(none, duration::format)),
            ]),
            Way::Key(_) | Way::Basic(_) => {}
        }
    }
    for limit in policies.rate.iter().flat_map(|rate| rate.limits()) {
        let RateLimit {
            requests,
            per,
            burst,
            by,
            ..
        } = limit;
        let per = duration::format(*per);
        values.push(("rate", format!("{requests} in {per}, {burst} at once, by {by}")));
    }
    if let Some(cors) = &policies.cors {
        let age = cors
            .max_age
            .map(|seconds| duration::format(Duration::from_secs(seconds)));
        values.push(("cors.max_age", age.unwrap_or_else(none)));
    }
    values
}

/// A number, or `none`.
fn or_none(number: Option<usize>) -> String {
    number.map_or_else(|| "none".to_owned(), |number| number.to_string())
}
