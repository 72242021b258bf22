//! `waypost status`: the state of a running gateway.

use std::fmt::Write as _;
use std::time::Duration;

use waypost_admin::api::status::Status;
use waypost_admin::report::{OrderReport, OrderState};
use waypost_plan::duration;
use waypost_rollout::words;

use super::{Client, refused};
use crate::Outcome;
use crate::cli::{AdminArgs, Format};
use crate::output::{self, count};

/// The evidence against a rollout from which on luck is spoken of.
const SUSPICION: f64 = 2.0;

/// Prints the status of the gateway. Bad if something needs to be fixed.
pub(crate) fn status(admin: &AdminArgs, format: Format) -> anyhow::Result<Outcome> {
    let status: Status = match Client::new(admin)?.get("/api/v1/status")? {
        Ok(status) => status,
        Err(problem) => return refused(&problem, format),
    };
    match format {
        Format::Text => output::print(&in_words(&status))?,
        Format::Json => {
            output::print_json(&status)?;
        }
    }
    Ok(if status.ok { Outcome::Good } else { Outcome::Bad })
}

fn of_order(order: &OrderReport) -> String {
    if let Some(failing) = order.failing() {
        return failing;
    }
    let hosts = order.hosts.join(", ");
    let until = match order.valid_until {
        Some(until) => format!("valid until {until:.0}"),
        None => "not issued yet".to_owned(),
    };
    let next = match (order.state, order.next) {
        (OrderState::Ordering, _) => ", being ordered".to_owned(),
        (_, Some(next)) if order.valid_until.is_some() => format!(", renewed at {next:.0}"),
        (_, Some(next)) => format!(", to be ordered at {next:.0}"),
        (_, None) => String::new(),
    };
    format!("{hosts}: {until}{next}")
}

fn in_words(status: &Status) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<11}{value}");
    };
    let verdict = match (status.ok, status.draining) {
        (_, true) => "draining",
        (true, false) => "ok",
        (false, false) => "needs attention",
    };
    line("status", verdict);
    line("revision", &status.revision.to_string());
    line("config", &status.config);
    let uptime = duration::format(Duration::from_secs(status.uptime_seconds));
    line(
        "up",
        &format!("{uptime}, version {}, process {}", status.version, status.pid),
    );
    for listener in &status.listeners {
        let name = listener
            .name
            .as_ref()
            .map(|name| format!(" ({name})"))
            .unwrap_or_default();
        let address = listener.address.as_deref().unwrap_or(&listener.bind);
        line("listener", &format!("{}://{address}{name}", listener.scheme));
    }
    line(
        "serves",
        &format!(
            "{}, {}, {}, {} connected",
            count(status.routes, "route"),
            count(status.services, "service"),
            count(status.workers, "worker"),
            count(status.connections, "client"),
        ),
    );
    if !status.dialed.is_empty() {
        line("dialed", &status.dialed.join(", "));
    }
    for rollout in &status.rollouts {
        let paused = if rollout.paused { ", paused" } else { "" };
        let suspicion = match rollout.evidence {
            evidence if evidence >= SUSPICION => {
                format!(
                    ", luck alone makes a good version look this bad in {} rollouts",
                    words::luck(evidence)
                )
            }
            _ => String::new(),
        };
        line(
            "rollout",
            &format!(
                "{} of {}: step {} of {}, {}{paused}{suspicion}",
                rollout.route,
                rollout.canary,
                rollout.step,
                rollout.steps,
                words::percent(rollout.share)
            ),
        );
    }
    if let Some(pending) = &status.pending {
        line(
            "pending",
            &format!(
                "revision {} by {} goes back to revision {} at {:.0} unless it is confirmed: waypost confirm",
                pending.revision, pending.by, pending.reverts_to, pending.reverts_at
            ),
        );
    }
    if let Some(failed) = &status.failed_load {
        line("refused", &format!("{:.0} {}", failed.time, failed.message));
        for diagnostic in &failed.diagnostics {
            let text = |key: &str| diagnostic[key].as_str().unwrap_or_default();
            line(
                "",
                &format!(
                    "{}:{}:{}: {}",
                    text("file"),
                    diagnostic["line"],
                    diagnostic["column"],
                    text("message")
                ),
            );
        }
    }
    if status.upgrading {
        line("upgrade", "another process is about to take over");
    } else if let Some(failed) = &status.failed_upgrade {
        line(
            "upgrade",
            &format!("{:.0} failed: {}", failed.time, failed.message),
        );
    }
    for stale in &status.stale_files {
        line("stale", &format!("{stale}; the last good version is in use"));
    }
    for keys in &status.key_sets {
        let text = match keys.stale() {
            Some(stale) => stale,
            None => match keys.fetched {
                Some(fetched) => format!("{}: {} of {fetched:.0}", keys.url, count(keys.keys, "key")),
                None => format!("{}: not fetched yet", keys.url),
            },
        };
        line("keys", &text);
    }
    for order in &status.orders {
        line("order", &of_order(order));
    }
    if let Some(fleet) = &status.fleet {
        let leader = match &fleet.leader {
            Some(leader) => format!("led by {leader}"),
            None => "without a leader".to_owned(),
        };
        line(
            "fleet",
            &format!(
                "{} as {}, {}, {leader}",
                fleet.prefix,
                fleet.instance,
                count(fleet.instances, "instance")
            ),
        );
        if let Some(canary) = &fleet.canary {
            line(
                "canary",
                &format!("{} is tried by {}", canary.id, canary.instances()),
            );
        }
        for trouble in fleet.away().iter().chain(&fleet.troubles).chain(&fleet.hints) {
            line("", trouble);
        }
    }
    let writable = if status.state.writable {
        ""
    } else {
        ", which cannot be written"
    };
    line("state", &format!("{}{writable}", status.state.directory));
    for trouble in &status.state.troubles {
        line("trouble", trouble);
    }
    for damaged in &status.state.damaged {
        line(
            "damaged",
            &format!("{}: {}; it is now {}", damaged.file, damaged.why, damaged.now),
        );
    }
    if status.access_log_lost > 0 {
        line(
            "log",
            &format!("{} lost", count(status.access_log_lost as usize, "line")),
        );
    }
    text
}
