//! The first page: the gateway as a whole, what changed, and the routes, the worst first.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use waypost_admin::api::timeline::{SeriesView, TimelineView};
use waypost_admin::command::ArmView;
use waypost_admin::events::marks::Mark;

use super::text::{self, FILLINGS, bar, cut, left, right};
use super::{ARMS, BAD, BOLD, Canvas, DIM, PLAIN, SELECTED, labelled};
use crate::output::count;
use crate::top::history;
use crate::top::model::{App, Row};

/// The widths of a chart's label and value.
const LABEL: usize = 10;
const VALUE: usize = 10;
/// Seconds that the present rate is of.
const PRESENT: usize = 10;
/// Lines of routes that are always there, with their head.
const ROUTES_MIN: usize = 6;

/// The lines of the page.
pub(super) fn lines(app: &App, canvas: Canvas, free: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    lines.extend(fleet(app, canvas));
    lines.extend(releases(app, canvas));
    lines.extend(charts(app, canvas));
    let room = free.saturating_sub(lines.len() + ROUTES_MIN);
    let changes = match canvas.lines {
        ..20 => 1,
        20..30 => 3,
        _ => 8,
    };
    lines.extend(self::changes(app, canvas, changes.min(room)));
    if free > lines.len() + ROUTES_MIN {
        lines.push(Line::default());
    }
    lines.extend(routes(app, canvas, free.saturating_sub(lines.len())));
    lines
}

/// The instances of the fleet that the figures are of, and the config that some of them try.
fn fleet(app: &App, canvas: Canvas) -> Vec<Line<'static>> {
    let Some(fleet) = &app.picture.status.fleet else {
        return Vec::new();
    };
    let room = canvas.columns.saturating_sub(LABEL);
    let whole = &app.picture.whole;
    let listed = &app.picture.listing.missing;
    let of = match &*whole.missing {
        [] => count(whole.instances, "instance"),
        missing => format!(
            "{} of {}, without {}",
            whole.instances,
            count(whole.instances + missing.len(), "instance"),
            missing.join(", ")
        ),
    };
    // An instance may answer one question and not the other.
    let rest = match *listed == whole.missing {
        true => String::new(),
        false if listed.is_empty() => "; routes below of all".to_owned(),
        false => format!("; routes below without {}", listed.join(", ")),
    };
    let told = format!("figures of {of}{rest}");
    let style = match whole.missing.is_empty() && listed.is_empty() {
        true => PLAIN,
        false => BAD,
    };
    let mut lines = vec![labelled("fleet", vec![Span::styled(cut(&told, room), style)])];
    if let Some(canary) = &fleet.canary {
        let told = format!(
            "{} of {} healthy with {}: {}",
            canary.healthy(),
            canary.instances.len(),
            canary.summary,
            canary.instances()
        );
        lines.push(labelled("tried", vec![Span::raw(cut(&told, room))]));
    }
    lines
}

/// Rollouts under way, and dials.
fn releases(app: &App, canvas: Canvas) -> Vec<Line<'static>> {
    let status = &app.picture.status;
    let room = canvas.columns.saturating_sub(LABEL);
    let mut lines = Vec::new();
    let rollouts: Vec<String> = status
        .rollouts
        .iter()
        .map(|rollout| {
            let paused = if rollout.paused { ", paused" } else { "" };
            format!(
                "{} to {}: step {} of {}, {} %{paused}",
                rollout.route,
                rollout.canary,
                rollout.step,
                rollout.steps,
                rollout.percent()
            )
        })
        .collect();
    if !rollouts.is_empty() {
        lines.push(labelled(
            "rollouts",
            vec![Span::raw(cut(&rollouts.join("; "), room))],
        ));
    }
    if !status.dialed.is_empty() {
        lines.push(labelled(
            "dialed",
            vec![Span::raw(cut(&status.dialed.join(", "), room))],
        ));
    }
    lines
}

/// A chart with its label and its present value.
struct Chart {
    label: &'static str,
    value: String,
    style: Style,
    values: Vec<Option<f64>>,
}

fn charts(app: &App, canvas: Canvas) -> Vec<Line<'static>> {
    let timeline = &app.picture.whole;
    let whole = timeline.series.first().cloned().unwrap_or_default();
    let half = canvas.columns / 2;
    let parts = half.saturating_sub(LABEL + VALUE + 2);
    let height = match canvas.lines {
        ..30 => 1,
        30..45 => 2,
        _ => 4,
    };
    let [requests, failures, p50, p99] = of(timeline, &whole, canvas.seconds, parts);
    let mut lines = Vec::new();
    for pair in [[requests, p50], [failures, p99]] {
        let drawn: Vec<Vec<String>> = pair
            .iter()
            .map(|chart| text::chart(&chart.values, text::highest(&chart.values), height))
            .collect();
        for line in 0..height {
            let mut spans = Vec::new();
            for (chart, drawn) in pair.iter().zip(&drawn) {
                let (label, value) = match line == 0 {
                    true => (chart.label, &*chart.value),
                    false => ("", ""),
                };
                spans.push(Span::styled(left(label, LABEL), DIM));
                spans.push(Span::styled(right(value, VALUE - 1), BOLD));
                spans.push(Span::raw(" "));
                spans.push(Span::styled(drawn[line].clone(), chart.style));
                spans.push(Span::raw("  "));
            }
            lines.push(Line::from(spans));
        }
    }
    lines.extend(refused(timeline, &whole, canvas));
    lines.extend(marks(timeline, &app.picture.changes, canvas.seconds, parts));
    lines
}

fn of(timeline: &TimelineView, whole: &SeriesView, seconds: usize, parts: usize) -> [Chart; 4] {
    let minute = |counts: &[Option<u32>]| history::sum(timeline, counts, 60);
    let share = minute(&whole.failures) as f64 / minute(&whole.requests).max(1) as f64;
    let rate = history::sum(timeline, &whole.requests, PRESENT) as f64 / PRESENT as f64;
    let counts = |label, value, style, counts: &[Option<u32>]| Chart {
        label,
        value,
        style,
        values: history::rates(timeline.step_seconds, counts, seconds, parts),
    };
    let latency = |label, values: &[Option<f64>]| Chart {
        label,
        value: text::ms(history::latest(timeline, values, 60)),
        style: PLAIN,
        values: history::peaks(timeline.step_seconds, values, seconds, parts),
    };
    [
        counts(
            "requests",
            format!("{}/s", text::rate(rate)),
            PLAIN,
            &whole.requests,
        ),
        counts("failures", text::percent(share), BAD, &whole.failures),
        latency("p50", &whole.p50_ms),
        latency("p99", &whole.p99_ms),
    ]
}

/// Requests of the last minute that rules refused, where there are any: they are no failures.
fn refused(timeline: &TimelineView, whole: &SeriesView, canvas: Canvas) -> Option<Line<'static>> {
    let minute = |counts: &[Option<u32>]| history::sum(timeline, counts, 60);
    let refused = minute(&whole.refused);
    let share = refused as f64 / minute(&whole.requests).max(1) as f64;
    let told = format!("{refused} in 1 min, by rules such as auth and rate: no failures");
    (refused > 0).then(|| {
        Line::from(vec![
            Span::styled(left("refused", LABEL), DIM),
            Span::styled(right(&text::percent(share), VALUE - 1), BOLD),
            Span::raw(" "),
            Span::raw(cut(&told, canvas.columns.saturating_sub(LABEL + VALUE))),
        ])
    })
}

/// Carets under the charts, at the times of changes.
fn marks(timeline: &TimelineView, marks: &[Mark], seconds: usize, parts: usize) -> Option<Line<'static>> {
    let begin = timeline.next.saturating_sub(seconds as u64);
    let mut carets = vec![' '; parts];
    for mark in marks {
        let Ok(at) = u64::try_from(mark.time.as_second()) else {
            continue;
        };
        let Some(since) = at.checked_sub(begin) else {
            continue;
        };
        let part = usize::try_from(since).unwrap_or(usize::MAX).saturating_mul(parts) / seconds.max(1);
        if let Some(caret) = carets.get_mut(part.min(parts.saturating_sub(1))) {
            *caret = '^';
        }
    }
    if !carets.contains(&'^') {
        return None;
    }
    let carets: String = carets.into_iter().collect();
    let side = || {
        [
            Span::styled(left("changes", LABEL + VALUE), DIM),
            Span::raw(carets.clone()),
            Span::raw("  "),
        ]
    };
    Some(Line::from([side(), side()].concat()))
}

fn changes(app: &App, canvas: Canvas, lines: usize) -> Vec<Line<'static>> {
    let now = app.picture.whole.next + canvas.age;
    let mut changes: Vec<Line<'static>> = Vec::new();
    for mark in app.picture.changes.iter().take(lines) {
        let at = u64::try_from(mark.time.as_second()).unwrap_or(0);
        let subject = [&mark.route, &mark.service];
        let subject = subject.into_iter().flatten().next();
        let subject = subject.map_or_else(String::new, |subject| format!("{subject}: "));
        let event = mark.event.replace('_', " ");
        let told = format!("{event}  {subject}{}", mark.text);
        let label = if changes.is_empty() { "latest" } else { "" };
        changes.push(labelled(
            label,
            vec![
                Span::raw(right(
                    &format!("{} ago", text::age(now.saturating_sub(at))),
                    VALUE - 1,
                )),
                Span::raw(" "),
                Span::raw(cut(&told, canvas.columns.saturating_sub(LABEL + VALUE))),
            ],
        ));
    }
    changes
}

/// The widths of the columns of routes.
struct Columns {
    name: usize,
    services: usize,
    bar: usize,
    rate: usize,
    failed: usize,
    /// 0 where there is no room.
    refused: usize,
    p99: usize,
    chart: usize,
}

impl Columns {
    fn of(columns: usize) -> Self {
        let (failed, refused) = if columns >= 110 { (16, 9) } else { (8, 0) };
        let mut widths = Self {
            name: (columns * 2 / 9).clamp(8, 44),
            services: 0,
            bar: (columns / 12).clamp(4, 16),
            rate: 8,
            failed,
            refused,
            p99: 9,
            chart: (columns / 8).min(40),
        };
        let used = 2 + widths.name + widths.rate + failed + refused + widths.p99 + widths.chart + 4;
        widths.services = columns.saturating_sub(used);
        widths
    }
}

fn routes(app: &App, canvas: Canvas, lines: usize) -> Vec<Line<'static>> {
    let rows = app.rows();
    let columns = Columns::of(canvas.columns);
    let shown = lines.saturating_sub(1);
    let at = app.position(&rows);
    // The selected row stays in the middle of a list that is longer.
    let from = at.saturating_sub(shown / 2).min(rows.len().saturating_sub(shown));
    let listing = &app.picture.listing;
    let title = match (
        app.search.is_empty(),
        rows.len() > shown || listing.matching > rows.len(),
    ) {
        (true, false) => "ROUTE".to_owned(),
        (true, true) => format!("ROUTE {} of {}", at + 1, listing.matching.max(rows.len())),
        (false, _) => format!("ROUTE /{}", app.search),
    };
    let minutes = format!("{} MIN", canvas.seconds / 60);
    let mut table = vec![Line::styled(
        format!(
            "  {} {} {}{}{}{} {}",
            left(&title, columns.name),
            left("LIVE WEIGHTS, SERVICES", columns.services),
            right("REQ/S", columns.rate),
            right("FAILED", columns.failed),
            right(if columns.refused > 0 { "REFUSED" } else { "" }, columns.refused),
            right("P99", columns.p99),
            left(&minutes, columns.chart)
        ),
        BOLD,
    )];
    if rows.is_empty() {
        let nothing = match (&listing.trouble, app.search.is_empty()) {
            (Some(trouble), _) => trouble,
            (None, true) => "there are no routes",
            (None, false) => "no route matches; Esc ends the search",
        };
        table.push(Line::raw(format!(
            "  {}",
            cut(nothing, canvas.columns.saturating_sub(2))
        )));
    }
    for (position, row) in rows.iter().enumerate().skip(from).take(shown) {
        let is_selected = position == at && !app.is_printed;
        table.push(line(row, &columns, is_selected, canvas.seconds));
    }
    table
}

fn line(row: &Row, columns: &Columns, is_selected: bool, seconds: usize) -> Line<'static> {
    let is_failing = row.is_failing();
    let base = if is_selected { SELECTED } else { PLAIN };
    let mut spans = vec![
        Span::styled(if is_selected { ">" } else { " " }, base),
        Span::styled(if is_failing { "!" } else { " " }, BAD.patch(base)),
        Span::styled(format!("{} ", left(&row.name, columns.name)), base),
    ];
    spans.extend(services(row, columns, base));
    let failed = match (row.requests, columns.failed) {
        (0, _) => "-".to_owned(),
        (_, 16) => format!("{} {:>8}", row.failures, text::percent(row.share())),
        _ => text::percent(row.share()),
    };
    let failed_style = if is_failing { BAD.patch(base) } else { base };
    spans.push(Span::styled(
        format!(" {}", right(&text::rate(row.rate), columns.rate)),
        base,
    ));
    spans.push(Span::styled(right(&failed, columns.failed), failed_style));
    if columns.refused > 0 {
        let refused = row.refused.to_string();
        spans.push(Span::styled(right(&refused, columns.refused), base));
    }
    spans.push(Span::styled(
        format!("{} ", right(&text::ms(row.p99_ms), columns.p99)),
        base,
    ));
    let history = row.history.as_ref().and_then(|history| {
        let requests: Vec<Option<u32>> = history.requests.iter().copied().map(Some).collect();
        let values = history::rates(history.step_seconds, &requests, seconds, columns.chart);
        text::chart(&values, text::highest(&values), 1).pop()
    });
    let history = history.unwrap_or_default();
    spans.push(Span::styled(left(&history, columns.chart), base));
    Line::from(spans)
}

/// The live weights as a bar and in numbers, and the services.
fn services(row: &Row, columns: &Columns, base: Style) -> Vec<Span<'static>> {
    let room = columns.services;
    if row.arms.is_empty() {
        let does = match &*row.action {
            "redirect" => "redirects",
            "respond" => "responds itself",
            other => other,
        };
        return vec![Span::styled(left(does, room), DIM.patch(base))];
    }
    let mut spans = bar_of(&row.arms, columns.bar.min(room), base);
    let names: Vec<&str> = row.arms.iter().map(|arm| &*arm.service).collect();
    let weights = |weight: fn(&ArmView) -> u64| {
        let weights = row.arms.iter().map(|arm| weight(arm).to_string());
        weights.collect::<Vec<String>>().join(":")
    };
    let told = match &row.arms[..] {
        [only] => only.service.clone(),
        _ if row.is_dialed() => format!(
            "{}* {} (declared {})",
            weights(|arm| arm.live),
            names.join(", "),
            weights(|arm| arm.declared)
        ),
        _ => format!("{} {}", weights(|arm| arm.live), names.join(", ")),
    };
    let rollout = row.rollout.as_ref();
    let rollout = rollout.map_or_else(String::new, |rollout| format!("; rollout: {rollout}"));
    let rest = room.saturating_sub(columns.bar.min(room));
    spans.push(Span::styled(left(&format!(" {told}{rollout}"), rest), base));
    spans
}

/// A bar of the live weights.
pub(super) fn bar_of(arms: &[ArmView], columns: usize, base: Style) -> Vec<Span<'static>> {
    let widths = bar(arms, columns);
    let used: usize = widths.iter().sum();
    let mut spans: Vec<Span<'static>> = widths
        .iter()
        .enumerate()
        .map(|(at, width)| {
            let filling = FILLINGS[at % FILLINGS.len()].to_string().repeat(*width);
            Span::styled(filling, base.fg(ARMS[at % ARMS.len()]))
        })
        .collect();
    spans.push(Span::styled(" ".repeat(columns.saturating_sub(used)), base));
    spans
}
