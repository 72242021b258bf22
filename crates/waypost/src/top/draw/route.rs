//! The second page: the arms of a route side by side.

use ratatui::text::{Line, Span};
use waypost_admin::command::ArmView;
use waypost_admin::stats::ArmStats;

use super::overview::bar_of;
use super::text::{self, cut, left, right, wrap_to};
use super::{BAD, BOLD, Canvas, DIM, PLAIN, labelled};
use crate::remote::standing;
use crate::top::health;
use crate::top::history;
use crate::top::model::{App, RoutePicture};

/// The width of labels.
const LABEL: usize = 10;
/// The least width of an arm.
const ARM_MIN: usize = 24;

/// The lines of the page.
pub(super) fn lines(app: &App, name: &str, canvas: Canvas, free: usize) -> Vec<Line<'static>> {
    let Some(route) = app.route() else {
        let name = cut(name, canvas.columns.saturating_sub(20));
        return vec![Line::default(), Line::raw(format!("{name}: being read"))];
    };
    let mut lines = vec![Line::default()];
    lines.extend(head(route, canvas));
    lines.extend(rollout(route, canvas));
    if canvas.lines >= 30 {
        lines.push(Line::default());
    }
    lines.extend(arms(app, route, canvas));
    let rest = free.saturating_sub(lines.len());
    lines.extend(failures(app, route, canvas, rest));
    let rest = free.saturating_sub(lines.len());
    lines.extend(turns(app, route, canvas, rest));
    lines
}

fn head(route: &RoutePicture, canvas: Canvas) -> Vec<Line<'static>> {
    let view = &route.detail.route;
    let room = canvas.columns.saturating_sub(LABEL);
    let matches = view.matches.join(" or ");
    let name = cut(&view.name, room);
    let rest = room.saturating_sub(text::width(&name) + 2);
    let mut lines = vec![labelled(
        "route",
        vec![
            Span::styled(name, BOLD),
            Span::raw(format!("  {}", cut(&matches, rest))),
        ],
    )];
    let mut policies = Vec::new();
    let mut add = |name: &str, value: &Option<String>| {
        policies.extend(value.as_ref().map(|value| format!("{name} {value}")));
    };
    add("sticky by", &view.sticky);
    add("deal", &view.deal);
    add("copies to", &view.mirror);
    add("timeout", &view.timeout);
    add("hedge after", &view.hedge);
    if !view.uses.is_empty() {
        policies.push(format!("uses {}", view.uses.join(", ")));
    }
    if let Some(retry) = &view.retry {
        let attempts = crate::output::count(retry.attempts as usize, "retry");
        policies.push(format!(
            "{} on {}",
            attempts.replace("retrys", "retries"),
            retry.on.join(", ")
        ));
    }
    if !policies.is_empty() {
        lines.push(labelled("with", vec![Span::raw(cut(&policies.join("; "), room))]));
    }
    lines
}

/// The rollout in words.
fn rollout(route: &RoutePicture, canvas: Canvas) -> Vec<Line<'static>> {
    let Some(rollout) = &route.rollout else {
        return Vec::new();
    };
    let room = canvas.columns.saturating_sub(LABEL);
    let told = standing::in_words(rollout);
    let mut told: Vec<String> = told.lines().map(|line| in_commas(line, &rollout.route)).collect();
    let most = if canvas.lines < 30 { 2 } else { 4 };
    if canvas.lines < 30 && told.len() > 2 {
        // The state and the next step; the evidence is in the arms.
        told.drain(1..told.len() - 1);
    }
    let told = told.iter().flat_map(|line| wrap_to(line, room, most));
    let label = |at| if at == 0 { "rollout" } else { "" };
    told.enumerate()
        .map(|(at, line)| labelled(label(at), vec![Span::raw(line)]))
        .collect()
}

/// A line of a standing, whose cells are apart, as a sentence; the name of the route is there already.
fn in_commas(line: &str, route: &str) -> String {
    let cells = line.trim().split("  ").map(str::trim);
    let cells: Vec<&str> = cells.filter(|cell| !cell.is_empty() && *cell != route).collect();
    match &cells[..] {
        [label @ ("next" | "why" | "now"), rest @ ..] => format!("{label}: {}", rest.join(", ")),
        cells => cells.join(", "),
    }
}

/// The arms in columns.
fn arms(app: &App, route: &RoutePicture, canvas: Canvas) -> Vec<Line<'static>> {
    let all = &route.stats.arms;
    if all.is_empty() {
        let does = match &*route.detail.route.action {
            "redirect" => "the route redirects; it has no requests in the last minute",
            "respond" => "the route responds itself; it has no requests in the last minute",
            _ => "no service has got a request in the last minute",
        };
        return vec![Line::raw(does)];
    }
    let fitting = (canvas.columns.saturating_sub(LABEL) / ARM_MIN).max(1);
    let first = app.first_arm.min(all.len().saturating_sub(fitting));
    let shown: Vec<&ArmStats> = all.iter().skip(first).take(fitting).collect();
    let column = canvas.columns.saturating_sub(LABEL) / shown.len().max(1);
    let column = column.min(64);
    let room = column.saturating_sub(2);
    let worst = health::fails_more(all);
    let is_worst = |arm: &ArmStats| worst == Some(&*arm.service);
    let row = |label: &str, value: &dyn Fn(&ArmStats) -> (String, bool)| {
        let cells = shown.iter().map(|arm| {
            let (told, is_bad) = value(arm);
            let style = if is_bad { BAD } else { PLAIN };
            Span::styled(format!("{}  ", left(&told, room)), style)
        });
        labelled(label, cells.collect())
    };
    let mut lines = Vec::new();
    let names = shown.iter().map(|arm| {
        let name = health::service_of(arm);
        let (mark, style) = match is_worst(arm) {
            true => ("! ", BAD),
            false => ("", BOLD),
        };
        Span::styled(format!("{}  ", left(&format!("{mark}{name}"), room)), style)
    });
    let label = match all.len() > shown.len() {
        true => format!("{}-{} of {}", first + 1, first + shown.len(), all.len()),
        false => "service".to_owned(),
    };
    lines.push(labelled(&label, names.collect()));
    lines.push(weights(route, &shown, room));
    lines.push(row("requests", &|arm| {
        (
            format!("{}/s  ({} in 1 min)", text::rate(arm.rate), arm.requests),
            false,
        )
    }));
    lines.push(row("failed", &|arm| {
        let told = format!("{}  ({})", text::percent(arm.error_share), arm.errors);
        match (arm.requests, is_worst(arm)) {
            (0, _) => ("-".to_owned(), false),
            (_, true) => (format!("{told}  fails more"), true),
            _ => (told, false),
        }
    }));
    // They are no failures, and have a line where there are any.
    let refuses = all.iter().any(|arm| arm.refused > 0);
    let refused = refuses.then(|| row("refused", &|arm| (arm.refused.to_string(), false)));
    lines.push(row("  at 95 %", &|arm| match arm.requests {
        0 => ("-".to_owned(), false),
        _ => {
            let (low, high) = arm.error_interval;
            (
                format!("{} to {}", text::percent(low), text::percent(high)),
                false,
            )
        }
    }));
    lines.extend(refused);
    for (label, value) in [
        ("p50", (|arm| arm.p50_ms) as fn(&ArmStats) -> Option<f64>),
        ("p90", |arm| arm.p90_ms),
        ("p99", |arm| arm.p99_ms),
    ] {
        lines.push(row(label, &|arm| (text::ms(value(arm)), false)));
    }
    lines.push(row("codes", &|arm| (codes(arm), false)));
    lines.extend(charts(route, &shown, room, canvas));
    lines
}

fn codes(arm: &ArmStats) -> String {
    let classes = arm.classes.iter().filter(|(_, count)| **count > 0);
    let classes = classes.map(|(class, count)| format!("{class} {count}"));
    let grpc = arm
        .grpc
        .iter()
        .map(|(code, count)| format!("grpc-{code} {count}"));
    let codes: Vec<String> = classes.chain(grpc).collect();
    match codes.is_empty() {
        true => "-".to_owned(),
        false => codes.join("  "),
    }
}

/// The live weights, with a bar, and the declared ones where they differ.
fn weights(route: &RoutePicture, shown: &[&ArmStats], room: usize) -> Line<'static> {
    let arms = &route.detail.route.arms;
    let sum: u128 = arms.iter().map(|arm| u128::from(arm.live)).sum();
    let mut spans = Vec::new();
    for stats in shown {
        let arm = arms.iter().position(|arm| arm.service == stats.service);
        let Some((at, arm)) = arm.and_then(|at| Some((at, arms.get(at)?))) else {
            spans.push(Span::raw(format!("{}  ", left("-", room))));
            continue;
        };
        let declared = match arm.live == arm.declared {
            true => String::new(),
            false => format!(" (declared {})", arm.declared),
        };
        let told = format!("{}{declared}", arm.live);
        let columns = room.saturating_sub(text::width(&told) + 1).min(20);
        let share = arm.live as f64 / sum.max(1) as f64;
        let filled = ((share * columns as f64).round() as usize).max(usize::from(arm.live > 0));
        // A bar of one arm: the fillings of those before it are left out.
        let mut bars = vec![
            ArmView {
                service: String::new(),
                declared: 0,
                live: 0,
            };
            at
        ];
        bars.push(ArmView {
            live: 1,
            ..arm.clone()
        });
        let filled = filled.min(columns);
        spans.push(Span::raw(format!("{told} ")));
        spans.extend(bar_of(&bars, filled, PLAIN));
        let used = text::width(&told) + 1 + filled;
        spans.push(Span::raw(" ".repeat((room + 2).saturating_sub(used))));
    }
    labelled("weight", spans)
}

/// The arms over the same minutes: each rate by its own scale, failures and quantiles by a common one.
fn charts(route: &RoutePicture, shown: &[&ArmStats], room: usize, canvas: Canvas) -> Vec<Line<'static>> {
    let timeline = &route.history;
    let height = match canvas.lines {
        ..30 => 1,
        30..45 => 2,
        _ => 3,
    };
    let parts = room.min(canvas.seconds);
    let series = |arm: &ArmStats| {
        let mut all = timeline.series.iter();
        all.find(|series| series.service.as_deref() == Some(&*arm.service))
    };
    let rates: Vec<Vec<Option<f64>>> = shown
        .iter()
        .map(|arm| {
            series(arm).map_or_else(Vec::new, |series| {
                history::rates(timeline.step_seconds, &series.requests, canvas.seconds, parts)
            })
        })
        .collect();
    let failures: Vec<Vec<Option<f64>>> = shown
        .iter()
        .zip(&rates)
        .map(|(arm, rates)| {
            let Some(series) = series(arm) else {
                return Vec::new();
            };
            let failures = history::rates(timeline.step_seconds, &series.failures, canvas.seconds, parts);
            let shares = failures.iter().zip(rates).map(|(failures, rates)| {
                let rate = (*rates)?;
                Some(if rate > 0.0 { (*failures)? / rate } else { 0.0 })
            });
            shares.collect()
        })
        .collect();
    let quantiles: Vec<Vec<Option<f64>>> = shown
        .iter()
        .map(|arm| {
            series(arm).map_or_else(Vec::new, |series| {
                history::peaks(timeline.step_seconds, &series.p99_ms, canvas.seconds, parts)
            })
        })
        .collect();
    let common = |all: &[Vec<Option<f64>>]| all.iter().map(|one| text::highest(one)).fold(0.0, f64::max);
    let (failures_top, quantiles_top) = (common(&failures), common(&quantiles));
    let mut lines = Vec::new();
    for (label, values, top, style) in [
        ("requests", &rates, None, PLAIN),
        ("failed %", &failures, Some(failures_top), BAD),
        ("p99", &quantiles, Some(quantiles_top), PLAIN),
    ] {
        let drawn: Vec<Vec<String>> = values
            .iter()
            .map(|values| text::chart(values, top.unwrap_or_else(|| text::highest(values)), height))
            .collect();
        for line in 0..height {
            let cells = drawn
                .iter()
                .map(|drawn| Span::styled(format!("{}  ", left(&drawn[line], room)), style));
            let label = if line == 0 { label } else { "" };
            lines.push(labelled(label, cells.collect()));
        }
    }
    lines
}

fn failures(app: &App, route: &RoutePicture, canvas: Canvas, rest: usize) -> Vec<Line<'static>> {
    if route.failures.is_empty() || rest < 2 {
        return Vec::new();
    }
    let now = app.picture.whole.next + canvas.age;
    let most = if route.detail.turns.is_empty() {
        rest - 1
    } else {
        (rest - 1).saturating_sub(3).max(1)
    };
    // Each instance of a fleet keeps samples of its own.
    let title = match &app.picture.status.fleet {
        Some(fleet) => format!("Failed requests at {}", fleet.instance),
        None => "Failed requests".to_owned(),
    };
    let mut lines = vec![Line::styled(title, DIM)];
    for failure in route.failures.iter().take(most) {
        let at = u64::try_from(failure.time.as_second()).unwrap_or(0);
        let age = format!("{} ago", text::age(now.saturating_sub(at)));
        let reason = match &*failure.reason {
            // The service's own answer: the status says it.
            "complete" => String::new(),
            reason => format!("  {reason}"),
        };
        let by = match (&failure.service, &failure.endpoint) {
            (Some(service), Some(endpoint)) => format!("{service} {endpoint}"),
            (Some(service), None) => service.clone(),
            _ => "the gateway".to_owned(),
        };
        let told = format!(
            "{}  {} {}{}  {by}{reason}",
            failure.status, failure.method, failure.host, failure.path
        );
        lines.push(Line::raw(format!(
            "{} {}",
            right(&age, LABEL),
            cut(&told, canvas.columns.saturating_sub(LABEL + 1))
        )));
    }
    lines
}

fn turns(app: &App, route: &RoutePicture, canvas: Canvas, rest: usize) -> Vec<Line<'static>> {
    if route.detail.turns.is_empty() || rest < 2 {
        return Vec::new();
    }
    let now = app.picture.whole.next + canvas.age;
    let mut lines = vec![Line::styled("Dial", DIM)];
    for turn in route.detail.turns.iter().take(rest - 1) {
        let at = u64::try_from(turn.time.as_second()).unwrap_or(0);
        let age = format!("{} ago", text::age(now.saturating_sub(at)));
        let weights: Vec<String> = turn
            .after
            .iter()
            .map(|weight| format!("{} {}", weight.service, weight.weight))
            .collect();
        let told = format!("{} by {}", weights.join(", "), turn.by);
        lines.push(Line::raw(format!(
            "{} {}",
            right(&age, LABEL),
            cut(&told, canvas.columns.saturating_sub(LABEL + 1))
        )));
    }
    lines
}
