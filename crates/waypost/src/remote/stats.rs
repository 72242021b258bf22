//! `waypost stats`: the arms of routes side by side, over the same window.

use std::thread;
use std::time::Duration;

use waypost_admin::stats::{ArmStats, Stats};
use waypost_rollout::words;

use super::client::segment;
use super::table::Table;
use super::{Client, refused};
use crate::Outcome;
use crate::cli::{AdminArgs, Format};
use crate::output;

/// The interval of `--watch`.
const INTERVAL: Duration = Duration::from_secs(2);
/// Clears a terminal and moves the cursor to its upper left corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Prints the statistics of each arm, once or repeatedly.
pub(crate) fn stats(
    admin: &AdminArgs,
    route: Option<&str>,
    window: &str,
    watch: bool,
    format: Format,
) -> anyhow::Result<Outcome> {
    let client = Client::new(admin)?;
    let mut path = format!("/api/v1/stats?window={}", segment(window));
    if let Some(route) = route {
        path.push_str(&format!("&route={}", segment(route)));
    }
    loop {
        let stats: Stats = match client.get(&path)? {
            Ok(stats) => stats,
            Err(problem) => return refused(&problem, format),
        };
        match format {
            Format::Text if watch && output::stdout_has_colors() => {
                output::print(&format!("{CLEAR}{}", in_columns(&stats)))?;
            }
            Format::Text => output::print(&in_columns(&stats))?,
            // One line for each interval, so that a reader can split the stream.
            Format::Json if watch => output::print(&format!("{}\n", serde_json::to_string(&stats)?))?,
            Format::Json => {
                output::print_json(&stats)?;
            }
        }
        if !watch {
            return Ok(Outcome::Good);
        }
        thread::sleep(INTERVAL);
    }
}

fn in_columns(stats: &Stats) -> String {
    let seconds = stats.window_seconds.round();
    if stats.routes.is_empty() {
        return format!("no route got a request in the last {seconds} s\n");
    }
    let mut table = Table::new(&[
        "ROUTE",
        "SERVICE",
        ">WEIGHT",
        ">REQUESTS",
        ">RATE/S",
        ">4XX",
        ">5XX",
        ">REFUSED",
        ">FAILED",
        ">FAILED SHARE",
        "95 % INTERVAL",
        ">P50",
        ">P90",
        ">P99",
    ]);
    for route in &stats.routes {
        for arm in &route.arms {
            table.row(row(&route.route, arm));
        }
    }
    let of = match stats.instances {
        0 | 1 => String::new(),
        instances => format!(", {instances} instances"),
    };
    let mut text = format!("the last {seconds} s{of}\n{}", table.text());
    let figures = match stats.direct {
        true => "and its figures are left out",
        false => "and its figures since then are missing",
    };
    for id in &stats.missing {
        text.push_str(&format!("instance {id} does not answer, {figures}\n"));
    }
    if stats.direct {
        text.push_str("no leader answers, so that figures of instances that are lost are left out\n");
    }
    for rollout in stats.routes.iter().filter_map(|route| route.rollout.as_ref()) {
        text.push_str(&format!(
            "a rollout of {} on {} is at step {} of {}, {}: waypost rollout status {}\n",
            rollout.canary,
            rollout.route,
            rollout.step,
            rollout.steps,
            words::percent(rollout.share),
            rollout.route
        ));
    }
    text
}

fn row(route: &str, arm: &ArmStats) -> [String; 14] {
    let class = |class: &str| arm.classes.get(class).copied().unwrap_or(0).to_string();
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    let ms = |ms: Option<f64>| match ms {
        Some(ms) if ms < 10.0 => format!("{ms:.2} ms"),
        Some(ms) if ms < 100.0 => format!("{ms:.1} ms"),
        Some(ms) => format!("{ms:.0} ms"),
        None => "-".to_owned(),
    };
    // Without requests there is no share.
    let (share, interval) = if arm.requests == 0 {
        ("-".to_owned(), "-".to_owned())
    } else {
        let (low, high) = arm.error_interval;
        (
            percent(arm.error_share),
            format!("{} to {}", percent(low), percent(high)),
        )
    };
    [
        route.to_owned(),
        if arm.service.is_empty() {
            "(gateway)".to_owned()
        } else {
            arm.service.clone()
        },
        arm.weight
            .map_or_else(|| "-".to_owned(), |weight| weight.to_string()),
        arm.requests.to_string(),
        format!("{:.1}", arm.rate),
        class("4xx"),
        class("5xx"),
        arm.refused.to_string(),
        arm.errors.to_string(),
        share,
        interval,
        ms(arm.p50_ms),
        ms(arm.p90_ms),
        ms(arm.p99_ms),
    ]
}
