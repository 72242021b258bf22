//! Boxes over a page: a dial, and texts to read.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Widget as _};

use super::overview::bar_of;
use super::text::{self, cut, left, right, width, wrap};
use super::{BAD, BOLD, DIM, PLAIN, SELECTED, WARN};
use crate::output::plain;
use crate::top::dial::{Dial, Stage};
use crate::top::model::{App, Reading};

/// The width of a dial's box at most.
const COLUMNS_MAX: u16 = 100;

/// The dial while it is turned.
pub(super) fn dial(app: &App, dial: &Dial, area: Rect, buffer: &mut Buffer) {
    let room = usize::from(area.width.min(COLUMNS_MAX)).saturating_sub(6);
    let mut lines = match dial.stage {
        Stage::Reading => vec![Line::raw("reading the split")],
        Stage::Setting => setting(dial, room),
        Stage::Asking { aborts } => asking(app, dial, aborts, room),
        Stage::Turning => vec![Line::raw("turning the dial")],
        Stage::Refused => Vec::new(),
    };
    if let Some(trouble) = &dial.trouble {
        lines.extend(
            wrap(trouble, room)
                .into_iter()
                .map(|line| Line::styled(line, WARN)),
        );
    }
    let keys = match dial.stage {
        Stage::Reading | Stage::Turning => "Esc leaves",
        Stage::Setting => "↑↓ service  0-9 weight  a all to it  r declared  Enter goes on  Esc leaves",
        Stage::Asking { .. } => "y turns the dial  Esc back",
        Stage::Refused => "Enter reads the split again  Esc leaves",
    };
    lines.push(Line::default());
    lines.push(Line::styled(cut(keys, room), DIM));
    show(&format!("Dial of {}", dial.route), &lines, area, buffer);
}

fn setting(dial: &Dial, room: usize) -> Vec<Line<'static>> {
    let name = dial.arms.iter().map(|arm| width(&arm.service)).max().unwrap_or(0);
    let name = name.min(room.saturating_sub(40).max(8));
    let columns = room.saturating_sub(name + 34).min(24);
    let arms = set(dial);
    let mut lines = vec![Line::styled(
        format!(
            "  {} {} {} {}",
            left("SERVICE", name),
            right("IS", 9),
            right("WILL BE", 9),
            right("SHARE", 8)
        ),
        DIM,
    )];
    for (at, arm) in dial.arms.iter().enumerate() {
        let is_selected = at == dial.at;
        let base = if is_selected { SELECTED } else { PLAIN };
        let weight = arms.get(at).map_or(0, |arm| arm.live);
        let share = Dial::share(&dial.weights, at);
        let cursor = if is_selected && dial.is_typed { "_" } else { "" };
        let mut spans = vec![Span::styled(
            format!(
                "{} {} {} {} {} ",
                if is_selected { ">" } else { " " },
                left(&arm.service, name),
                right(&arm.live.to_string(), 9),
                right(&format!("{weight}{cursor}"), 9),
                right(&text::percent(share), 8)
            ),
            base,
        )];
        // The filling of the arm, as long as its share.
        let mut bars = arms.clone();
        for (other, bar) in bars.iter_mut().enumerate() {
            bar.live = u64::from(other == at && weight > 0);
        }
        spans.extend(bar_of(&bars, (share * columns as f64).round() as usize, PLAIN));
        lines.push(Line::from(spans));
    }
    lines
}

/// The arms with the weights that are set.
fn set(dial: &Dial) -> Vec<waypost_admin::command::ArmView> {
    let mut arms = dial.arms.clone();
    for (arm, weight) in arms.iter_mut().zip(&dial.weights) {
        arm.live = *weight;
    }
    arms
}

fn asking(app: &App, dial: &Dial, aborts: bool, room: usize) -> Vec<Line<'static>> {
    let live: Vec<u64> = dial.arms.iter().map(|arm| arm.live).collect();
    let mut lines = vec![Line::styled(
        "What will change, for every request from then on:",
        BOLD,
    )];
    for (at, arm) in dial.arms.iter().enumerate() {
        let (was, is) = (Dial::share(&live, at), Dial::share(&dial.weights, at));
        let weight = dial.weights.get(at).copied().unwrap_or(0);
        let told = format!(
            "  {}: {} → {weight}  ({} → {} of requests)",
            arm.service,
            arm.live,
            text::percent(was),
            text::percent(is)
        );
        let style = if arm.live == weight { DIM } else { PLAIN };
        lines.push(Line::styled(cut(&told, room), style));
    }
    if aborts {
        let told = "A rollout of this route is under way. It is aborted first.";
        lines.extend(wrap(told, room).into_iter().map(|line| Line::styled(line, BAD)));
    }
    lines.push(Line::styled("To undo it:", BOLD));
    let undo = dial.undo(&app.admin_option);
    lines.extend(
        wrap(&undo, room.saturating_sub(2))
            .into_iter()
            .map(|line| Line::raw(format!("  {line}"))),
    );
    lines
}

/// A text, of which so many lines are scrolled away.
pub(super) fn reading(reading: &Reading, area: Rect, buffer: &mut Buffer) {
    let room = usize::from(area.width).saturating_sub(6);
    let lines = broken(&reading.text, room);
    let shown = usize::from(area.height).saturating_sub(4);
    let from = reading.from.min(lines.len().saturating_sub(shown));
    let more = lines.len().saturating_sub(from + shown);
    let keys = match (from, more) {
        (0, 0) => "Esc leaves".to_owned(),
        (_, 0) => "↑ more above  Esc leaves".to_owned(),
        (_, more) => format!("↓ {more} more lines  Esc leaves"),
    };
    // The width of all of it, so that the box stays when it is scrolled.
    let longest = lines.iter().map(|line| width(line)).max().unwrap_or(0);
    let mut lines: Vec<Line<'static>> = lines.into_iter().skip(from).take(shown).map(Line::raw).collect();
    lines.push(Line::styled(left(&keys, longest.min(room)), DIM));
    show(&reading.title, &lines, area, buffer);
}

/// The lines of a text, broken where they are too long, with the indentation of each.
fn broken(text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let line = plain(line);
        if width(&line) <= room {
            lines.push(line);
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let indent = indent.min(room / 2);
        for (at, part) in wrap(&line, room.saturating_sub(indent + 2))
            .into_iter()
            .enumerate()
        {
            let more = if at == 0 { 0 } else { 2 };
            lines.push(format!("{:width$}{part}", "", width = indent + more));
        }
    }
    lines
}

/// Draws a box in the middle of the area.
fn show(title: &str, lines: &[Line<'static>], area: Rect, buffer: &mut Buffer) {
    let longest = lines.iter().map(Line::width).max().unwrap_or(0);
    let columns = u16::try_from(longest.max(width(title) + 2) + 4).unwrap_or(u16::MAX);
    let columns = columns.min(area.width);
    let height = u16::try_from(lines.len() + 2)
        .unwrap_or(u16::MAX)
        .min(area.height);
    let place = Rect {
        x: area.x + (area.width - columns) / 2,
        y: area.y + (area.height - height) / 2,
        width: columns,
        height,
    };
    Clear.render(place, buffer);
    let title = cut(title, usize::from(columns).saturating_sub(4));
    let block = Block::bordered().title(Span::styled(format!(" {title} "), BOLD));
    let inside = block.inner(place);
    block.render(place, buffer);
    for (y, line) in (inside.y..inside.bottom()).zip(lines) {
        buffer.set_line(inside.x + 1, y, line, inside.width.saturating_sub(2));
    }
}
