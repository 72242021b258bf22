//! `waypost check`: the diagnostics of a config.

mod local_file;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use waypost_config::diagnostic::{self, Diagnostic};
use waypost_config::{size, yaml};
use waypost_plan::Plan;
use waypost_plan::access::BodyLimit;
use waypost_plan::duration;
use waypost_plan::listener::Underscores;
use waypost_plan::service::Service;
use waypost_proxy::limits::Value;

use crate::certificates::Certificates;
use crate::cli::Format;
use crate::output::{self, count};
use crate::source::Source;
use crate::texts::Texts;
use crate::{Outcome, caller, fix, key_sets, load, notifier};

/// The files that a config names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Files {
    /// They are read and checked.
    Read,
    /// They need not be there.
    Unread,
}

/// Parts of a check, and the form of its report.
pub(crate) struct Options {
    /// Print all limits.
    pub(crate) limits: bool,
    pub(crate) files: Files,
    /// Mend the config first.
    pub(crate) fix: bool,
    pub(crate) format: Format,
}

/// Prints the diagnostics of the config at `path`, and a summary.
pub(crate) fn check(path: &Path, options: &Options) -> anyhow::Result<Outcome> {
    let mut source = Source::at(path);
    // A pipe can be read once only.
    if !options.fix {
        let texts = source.read_once()?;
        if let Some(outcome) = local_file::check(path, &source, &texts, options)? {
            return Ok(outcome);
        }
        return report(path, &source, &texts, None, options);
    }
    local_file::check(path, &source, &source.read()?.0, options)?;
    let (texts, fixed) = fix::fix(&mut source)?;
    report(path, &source, &texts, Some(&fixed), options)
}

/// Prints the diagnostics of `texts`, and a summary; in front, the changes that were `fixed`.
fn report(
    path: &Path,
    source: &Source,
    texts: &Texts,
    fixed: Option<&fix::Changes>,
    options: &Options,
) -> anyhow::Result<Outcome> {
    let limits = options.limits;
    let checked = match options.files {
        Files::Read => load::check(texts, &mut Certificates::default(), source)
            .map(|checked| (checked.warnings, checked.generation)),
        Files::Unread => load::check_texts(texts),
    };
    let (diagnostics, plan) = match &checked {
        Ok((warnings, generation)) => (warnings, Some(generation.plan())),
        Err(diagnostics) => (diagnostics, None),
    };
    let errors = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.is_error())
        .count();
    let warnings = diagnostics.len() - errors;
    match options.format {
        Format::Text => {
            let mut text = fixed.map_or_else(String::new, fix::Changes::text);
            text.push_str(&output::render(diagnostics, texts, output::stdout_has_colors()));
            if !diagnostics.is_empty() {
                text.push('\n');
            }
            let summary =
                plan.map_or_else(|| count(errors, "error"), |plan| format!("ok: {}", summary(plan)));
            let also = if warnings > 0 {
                format!(", {}", count(warnings, "warning"))
            } else {
                String::new()
            };
            let _ = writeln!(text, "{}: {summary}{also}", path.display());
            let mendable = diagnostics.iter().filter(|found| found.is_mendable()).count();
            if mendable > 0 && fixed.is_none() {
                let _ = writeln!(
                    text,
                    "`waypost check --fix {}` mends {}",
                    path.display(),
                    count(mendable, "mistake"),
                );
            }
            if let Some(plan) = plan.filter(|_| limits) {
                text.push_str(&limits_text(plan));
            }
            output::print(&text)?;
        }
        Format::Json => {
            let mut value = json!({
                "ok": plan.is_some(),
                "errors": errors,
                "warnings": warnings,
                "diagnostics": shown(diagnostics),
            });
            if let Some(fixed) = fixed {
                value["fixed"] = fixed.to_json();
            }
            if diagnostics.len() > waypost_config::render::SHOWN_MAX {
                value["more"] = (diagnostics.len() - waypost_config::render::SHOWN_MAX).into();
            }
            if let Some(plan) = plan.filter(|_| limits) {
                value["limits"] = limits_of(plan).into_iter().map(Limit::into_json).collect();
            }
            output::print_json(&value)?;
        }
    }
    Ok(if plan.is_some() {
        Outcome::Good
    } else {
        Outcome::Bad
    })
}

/// The diagnostics as JSON, up to the number that is shown.
fn shown(diagnostics: &[Diagnostic]) -> serde_json::Value {
    let shown = diagnostics.len().min(waypost_config::render::SHOWN_MAX);
    diagnostic::to_json(&diagnostics[..shown])
}

/// A one-line summary of a plan.
pub(crate) fn summary(plan: &Plan) -> String {
    let tests = match plan.tests().len() {
        0 => "no tests".to_owned(),
        1 => "1 test passes".to_owned(),
        tests => format!("{tests} tests pass"),
    };
    format!(
        "{}, {}, {}, {tests}",
        count(plan.listeners().len(), "listener"),
        count(plan.services().len(), "service"),
        count(plan.routes().len(), "route"),
    )
}

/// A limit and its scope.
struct Limit {
    scope: String,
    key: &'static str,
    value: String,
}

impl Limit {
    fn into_json(self) -> serde_json::Value {
        json!({ "scope": self.scope, "limit": self.key, "value": self.value })
    }
}

fn limits_text(plan: &Plan) -> String {
    let limits = limits_of(plan);
    let scope_width = limits
        .iter()
        .map(|limit| limit.scope.chars().count())
        .max()
        .unwrap_or(0);
    let key_width = limits.iter().map(|limit| limit.key.len()).max().unwrap_or(0);
    let mut text = String::from("\nlimits in force\n");
    for Limit { scope, key, value } in limits {
        let _ = writeln!(text, "  {scope:scope_width$}  {key:key_width$}  {value}");
    }
    text
}

/// The limits of a service's checks and ejections.
fn limits_of_health(service: &Service) -> Vec<Limit> {
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
fn limits_of(plan: &Plan) -> Vec<Limit> {
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
        limits.extend(limits_of_health(service));
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
        ("requests that wait for a key set", key_sets::ASKS_MAX.to_string()),
        (
            "notifications that wait, per route",
            notifier::WAITING_MAX.to_string(),
        ),
        ("attempts for a notification", notifier::ATTEMPTS_MAX.to_string()),
        ("age of a notification", duration::format(notifier::AGE_MAX)),
    ];
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

/// A number, or `none`.
fn or_none(number: Option<usize>) -> String {
    number.map_or_else(|| "none".to_owned(), |number| number.to_string())
}
