//! The standing of a rollout, as people read it.

use std::fmt::Write as _;

use waypost_admin::rollout::{MetricView, RolloutView};
use waypost_rollout::words;

/// The evidence from which on luck is spoken of.
const SUSPICION: f64 = 2.0;
/// The allowance from which on it is spoken of.
const ALLOWANCE: f64 = 0.0005;

/// A line about a metric: its label, its cells, and lines under it.
struct Line {
    label: &'static str,
    cells: Vec<String>,
    notes: Vec<String>,
}

/// A rollout in words: a line on where it stands, one on each metric, and one on what comes next.
pub(crate) fn in_words(rollout: &RolloutView) -> String {
    let mut text = head(rollout);
    text.push('\n');
    let rates = rollout.metrics.iter().filter_map(|metric| rate(metric, rollout));
    write_lines(&mut text, &rates.chain(retries(rollout)).collect::<Vec<_>>());
    let latencies: Vec<Line> = rollout
        .metrics
        .iter()
        .filter(|metric| is_latency(metric))
        .enumerate()
        .map(|(at, metric)| latency(if at == 0 { "latency" } else { "" }, metric, rollout))
        .collect();
    write_lines(&mut text, &latencies);
    let missing = rollout.missing.iter().map(|id| Line {
        label: "missing",
        cells: vec![format!(
            "instance {id} does not answer, and its requests are not counted"
        )],
        notes: Vec::new(),
    });
    write_lines(&mut text, &missing.collect::<Vec<_>>());
    let (label, last) = match (&rollout.next, rollout.ended) {
        (Some(next), _) => ("next", next),
        (None, Some(_)) => ("why", &rollout.summary),
        (None, None) => ("now", &rollout.summary),
    };
    let _ = writeln!(text, "  {label:<10} {last}");
    text
}

fn head(rollout: &RolloutView) -> String {
    let mut cells = vec![
        match &rollout.deal {
            Some(deal) => format!("{} (deal {deal})", rollout.routes.join(", ")),
            None => rollout.route.clone(),
        },
        format!("{} against {}", rollout.canary, rollout.baseline),
    ];
    match (rollout.ended, rollout.step) {
        (Some(ended), _) => cells.push(format!("at {} % since {ended:.0}", rollout.percent)),
        // A changed plan may begin above the present share.
        (None, 0) if rollout.state != "waiting" && rollout.percent > 0.0 => {
            cells.push(format!("at {} %, below the first step", rollout.percent));
        }
        (None, 0) => cells.push("before the first step".to_owned()),
        (None, step) => {
            cells.push(format!("step {step} of {}: {} %", rollout.steps, rollout.percent));
            cells.push(format!(
                "for {} (at least {})",
                words::duration(rollout.step_seconds),
                words::duration(rollout.at_least_seconds)
            ));
        }
    }
    cells.push(match &*rollout.state {
        "running" if !rollout.lacks.is_empty() => "holding".to_owned(),
        state => state.replace('_', " "),
    });
    cells.join("      ")
}

/// Writes lines of the same kind, with their cells in columns.
fn write_lines(text: &mut String, lines: &[Line]) {
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.cells.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    for line in lines {
        let mut written = format!("  {:<10}", line.label);
        for (column, cell) in line.cells.iter().enumerate() {
            let gap = if column == 0 { 1 } else { 5 };
            let _ = write!(written, "{:gap$}{cell:<width$}", "", width = width(column));
        }
        let _ = writeln!(text, "{}", written.trim_end());
        for note in &line.notes {
            let _ = writeln!(text, "  {:<10} {note}", "");
        }
    }
}

fn is_latency(metric: &MetricView) -> bool {
    metric.metric.starts_with('p')
}

/// The shares of bad requests; `None` for a latency.
fn rate(metric: &MetricView, rollout: &RolloutView) -> Option<Line> {
    let label = match &*metric.metric {
        "errors" => "failures",
        "errors.max" => "limit",
        "client_errors" => "4xx",
        "abandoned" => "abandoned",
        _ => return None,
    };
    let share = |service: &str, bad: u64, all: u64| match all {
        0 => format!("{service} none so far"),
        all => format!(
            "{service} {} of {}",
            words::percent(bad as f64 / all as f64),
            words::count(all as f64)
        ),
    };
    let step = metric.step;
    let proved = if metric.proved { " (proved)" } else { "" };
    let mut notes = notes(metric, rollout);
    if metric.allowance >= ALLOWANCE {
        notes.push(words::cohort(&rollout.baseline, metric.allowance));
    }
    Some(Line {
        label,
        cells: vec![
            share(&rollout.canary, step.canary_bad, step.canary_requests),
            share(&rollout.baseline, step.baseline_bad, step.baseline_requests),
            format!(
                "tolerated {}{proved}",
                words::percent(metric.tolerated.unwrap_or_default())
            ),
        ],
        notes,
    })
}

/// The attempts that clients did not see; `None` if there were none.
fn retries(rollout: &RolloutView) -> Option<Line> {
    let (canary, baseline) = (rollout.canary_retries, rollout.baseline_retries);
    let told = |service: &str, retries: u64| format!("{service} {}", words::count(retries as f64));
    (canary + baseline > 0).then(|| Line {
        label: "retries",
        cells: vec![
            told(&rollout.canary, canary),
            told(&rollout.baseline, baseline),
            "which clients did not see".to_owned(),
        ],
        notes: Vec::new(),
    })
}

/// A quantile of the latencies.
fn latency(label: &'static str, metric: &MetricView, rollout: &RolloutView) -> Line {
    let ms = |ms: Option<f64>| ms.map_or_else(|| "none so far".to_owned(), words::milliseconds);
    let step = metric.step;
    let share = |bad: u64, all: u64| words::percent(bad as f64 / all.max(1) as f64);
    let verdict = match (metric.proved, metric.canary_over_ms, metric.baseline_over_ms) {
        (true, _, _) => "not worse than tolerated (proved)".to_owned(),
        _ if step.canary_requests == 0 => "not judged so far".to_owned(),
        (false, Some(canary), Some(baseline)) => format!(
            "{} over {}, {} over {}",
            share(step.canary_bad, step.canary_requests),
            words::milliseconds(canary),
            share(step.baseline_bad, step.baseline_requests),
            words::milliseconds(baseline)
        ),
        _ => "not proved so far".to_owned(),
    };
    Line {
        label,
        cells: vec![
            format!(
                "{} {} against {}",
                metric.metric,
                ms(metric.canary_ms),
                ms(metric.baseline_ms)
            ),
            verdict,
        ],
        notes: notes(metric, rollout),
    }
}

/// The chance of luck, under the metric that speaks against the canary most.
fn notes(metric: &MetricView, rollout: &RolloutView) -> Vec<String> {
    let is_worst = rollout
        .metrics
        .iter()
        .all(|other| other.evidence <= metric.evidence);
    if rollout.evidence < SUSPICION || !is_worst {
        return Vec::new();
    }
    vec![format!(
        "luck alone makes a good version look this bad in {} rollouts; rolls back at {}",
        words::luck(rollout.evidence),
        words::luck(rollout.rollback_at)
    )]
}

#[cfg(test)]
mod tests {
    use waypost_admin::rollout::ArmCounts;

    use super::*;

    fn rollout(metrics: Vec<MetricView>) -> RolloutView {
        RolloutView {
            route: "users".to_owned(),
            routes: vec!["users".to_owned()],
            deal: None,
            canary: "users-v2".to_owned(),
            baseline: "users-v1".to_owned(),
            plan: None,
            state: "running".to_owned(),
            step: 2,
            steps: 5,
            percent: 5.0,
            shares: Vec::new(),
            approve: false,
            next_percent: Some(25.0),
            step_seconds: 250,
            at_least_seconds: 120,
            step_requests: 1204,
            summary: String::new(),
            lacks: vec![String::new()],
            next: Some(
                "to 25 % when failures are shown to be tolerable; needs about 900 more requests, 3 minutes at this rate"
                    .to_owned(),
            ),
            needed_requests: Some(900),
            needed_seconds: Some(180),
            evidence: metrics.iter().map(|metric| metric.evidence).sum(),
            rollback_at: 100.0,
            metrics,
            canary_retries: 0,
            baseline_retries: 0,
            missing: Vec::new(),
            started: "2026-03-01T03:00:00Z".parse().unwrap(),
            by: "anna".to_owned(),
            ended: None,
            version: String::new(),
        }
    }

    fn metric(name: &str, [canary_bad, canary, baseline_bad, baseline]: [u64; 4]) -> MetricView {
        MetricView {
            metric: name.to_owned(),
            canary_requests: canary,
            canary_bad,
            baseline_requests: baseline,
            baseline_bad,
            evidence: 0.0,
            proof: 0.0,
            proved: false,
            step: ArmCounts {
                canary_requests: canary,
                canary_bad,
                baseline_requests: baseline,
                baseline_bad,
            },
            tolerated: None,
            allowance: 0.0,
            canary_ms: None,
            baseline_ms: None,
            canary_over_ms: None,
            baseline_over_ms: None,
            needed_requests: None,
        }
    }

    fn failures() -> MetricView {
        MetricView {
            evidence: 21.0,
            tolerated: Some(0.011),
            ..metric("errors", [37, 1204, 91, 22_871])
        }
    }

    fn p99() -> MetricView {
        MetricView {
            canary_ms: Some(84.2),
            baseline_ms: Some(79.4),
            proved: true,
            ..metric("p99", [9, 1204, 220, 22_871])
        }
    }

    #[test]
    fn suspicion_is_told_under_the_metric_that_causes_it() {
        assert_eq!(
            in_words(&rollout(vec![failures(), p99()])),
            "\
users      users-v2 against users-v1      step 2 of 5: 5 %      for 4m10s (at least 2m)      holding
  failures   users-v2 3.1 % of 1,204     users-v1 0.4 % of 22,871     tolerated 1.1 %
             luck alone makes a good version look this bad in 1 of 20 rollouts; rolls back at 1 of 100
  latency    p99 84 ms against 79 ms     not worse than tolerated (proved)
  next       to 25 % when failures are shown to be tolerable; needs about 900 more requests, 3 minutes at this rate
"
        );
    }

    #[test]
    fn metrics_stand_in_columns() {
        let mut metrics = vec![
            MetricView {
                evidence: 0.2,
                tolerated: Some(0.005),
                allowance: 0.013,
                proved: true,
                ..metric("errors", [0, 1204, 0, 22_871])
            },
            MetricView {
                tolerated: Some(0.0502),
                ..metric("client_errors", [1, 1204, 3, 22_871])
            },
            MetricView {
                tolerated: Some(0.02),
                ..metric("abandoned", [0, 0, 0, 0])
            },
            MetricView {
                canary_ms: Some(8.0),
                baseline_ms: Some(7.94),
                canary_over_ms: Some(9.5),
                baseline_over_ms: Some(7.75),
                ..metric("p50", [120, 1204, 11_000, 22_871])
            },
            MetricView {
                metric: "p90".to_owned(),
                ..metric("p90", [0, 0, 0, 0])
            },
        ];
        metrics.push(p99());
        assert_eq!(
            in_words(&rollout(metrics)),
            "\
users      users-v2 against users-v1      step 2 of 5: 5 %      for 4m10s (at least 2m)      holding
  failures   users-v2 0 % of 1,204        users-v1 0 % of 22,871        tolerated 0.5 % (proved)
             clients of users-v1 differ so much that a group of this size may be 1.3 % worse by chance; that is allowed for
  4xx        users-v2 0.08 % of 1,204     users-v1 0.01 % of 22,871     tolerated 5 %
  abandoned  users-v2 none so far         users-v1 none so far          tolerated 2 %
  latency    p50 8.0 ms against 7.9 ms               10 % over 9.5 ms, 48 % over 7.8 ms
             p90 none so far against none so far     not judged so far
             p99 84 ms against 79 ms                 not worse than tolerated (proved)
  next       to 25 % when failures are shown to be tolerable; needs about 900 more requests, 3 minutes at this rate
"
        );
    }

    #[test]
    fn retries_are_told_where_there_are_some() {
        let retried = RolloutView {
            canary_retries: 1200,
            baseline_retries: 3,
            ..rollout(vec![failures()])
        };
        let line =
            "  retries    users-v2 1,200              users-v1 3                   which clients did not see";
        assert!(
            in_words(&retried).lines().any(|told| told == line),
            "{}",
            in_words(&retried)
        );
    }

    #[test]
    fn instances_that_are_missing_are_named() {
        let rollout = RolloutView {
            missing: vec!["gw-2".to_owned()],
            ..rollout(vec![failures()])
        };
        let line = "  missing    instance gw-2 does not answer, and its requests are not counted";
        let told = in_words(&rollout);
        assert!(told.lines().any(|told| told == line), "{told}");
    }

    #[test]
    fn head_says_which_routes_and_since_when() {
        let ended = RolloutView {
            state: "rolled_back".to_owned(),
            percent: 0.0,
            next: None,
            lacks: Vec::new(),
            evidence: 0.0,
            summary: "users-v2 failed 3.1 % of its requests".to_owned(),
            ended: Some("2026-03-01T03:12:10Z".parse().unwrap()),
            ..rollout(vec![failures()])
        };
        assert_eq!(
            in_words(&ended),
            "\
users      users-v2 against users-v1      at 0 % since 2026-03-01T03:12:10Z      rolled back
  failures   users-v2 3.1 % of 1,204     users-v1 0.4 % of 22,871     tolerated 1.1 %
  why        users-v2 failed 3.1 % of its requests
"
        );
        let dealt = RolloutView {
            routes: vec!["users".to_owned(), "carts".to_owned()],
            deal: Some("spring".to_owned()),
            ..rollout(Vec::new())
        };
        assert!(
            in_words(&dealt)
                .starts_with("users, carts (deal spring)      users-v2 against users-v1      step")
        );
        let waiting = RolloutView {
            state: "waiting".to_owned(),
            step: 0,
            ..rollout(Vec::new())
        };
        assert!(
            in_words(&waiting).starts_with(
                "users      users-v2 against users-v1      before the first step      waiting\n"
            )
        );
    }
}
