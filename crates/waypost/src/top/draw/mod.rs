//! Frames: the state as cells of a terminal, by pure functions.

mod dialog;
mod overview;
mod route;
pub(super) mod text;

use std::time::Instant;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use self::text::{cut, left, width};
use waypost_admin::reasons::Word;

use super::health;
use super::model::{App, Focus, Page};

/// The smallest terminal that says something.
const COLUMNS_MIN: u16 = 20;
const LINES_MIN: u16 = 5;
/// Columns from which on charts are of ten minutes.
const WIDE: usize = 140;

/// The means of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Means {
    /// Colours.
    pub(super) colors: bool,
    /// Bold, dim and reversed text.
    pub(super) attributes: bool,
    /// Characters beyond ASCII.
    pub(super) unicode: bool,
}

impl Means {
    /// A terminal that has everything.
    #[cfg(test)]
    pub(super) const ALL: Self = Self {
        colors: true,
        attributes: true,
        unicode: true,
    };
}

pub(super) const PLAIN: Style = Style::new();
pub(super) const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
pub(super) const DIM: Style = Style::new().add_modifier(Modifier::DIM);
pub(super) const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
pub(super) const WARN: Style = Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD);
pub(super) const GOOD: Style = Style::new().fg(Color::Green).add_modifier(Modifier::BOLD);
pub(super) const SELECTED: Style = Style::new().add_modifier(Modifier::REVERSED);
/// The colours of arms, beside their fillings.
pub(super) const ARMS: [Color; 5] = [
    Color::Cyan,
    Color::Magenta,
    Color::Yellow,
    Color::Blue,
    Color::Green,
];

/// The size of a frame and the time that it shows.
#[derive(Debug, Clone, Copy)]
struct Canvas {
    columns: usize,
    lines: usize,
    /// Seconds of charts.
    seconds: usize,
    /// The age of the picture, in seconds.
    age: u64,
}

/// Draws the state.
pub(super) fn draw(app: &App, now: Instant, means: Means, area: Rect, buffer: &mut Buffer) {
    if area.width < COLUMNS_MIN || area.height < LINES_MIN {
        let small = cut("too small", area.width.into());
        buffer.set_string(area.x, area.y, small, PLAIN);
        return;
    }
    let columns = usize::from(area.width);
    let canvas = Canvas {
        columns,
        lines: area.height.into(),
        seconds: if columns >= WIDE { 600 } else { 300 },
        age: now.saturating_duration_since(app.taken).as_secs(),
    };
    let below = bottom(app, columns);
    let mut lines = top(app, canvas);
    let free = canvas.lines.saturating_sub(lines.len() + below.len());
    lines.extend(match &app.page {
        Page::Overview => overview::lines(app, canvas, free),
        Page::Route(name) => route::lines(app, name, canvas, free),
    });
    lines.truncate(canvas.lines.saturating_sub(below.len()));
    for (y, line) in (area.y..).zip(&lines) {
        buffer.set_line(area.x, y, line, area.width);
    }
    if app.lost.is_some() {
        // The last picture is greyed; the lines that say so are not.
        let old = Rect {
            y: area.y + 2,
            height: area.height.saturating_sub(2),
            ..area
        };
        buffer.set_style(old, DIM);
    }
    let from = area.bottom() - u16::try_from(below.len()).unwrap_or(0).min(area.height);
    for (y, line) in (from..).zip(&below) {
        buffer.set_line(area.x, y, line, area.width);
    }
    match &app.focus {
        Focus::Dial(dial) => dialog::dial(app, dial, area, buffer),
        Focus::Reading(reading) => dialog::reading(reading, area, buffer),
        Focus::Page | Focus::Search | Focus::Question(_) => {}
    }
    reduce(means, area, buffer);
}

/// The line of the gateway, and its health.
fn top(app: &App, canvas: Canvas) -> Vec<Line<'static>> {
    let status = &app.picture.status;
    let every = match app.is_printed {
        true => String::new(),
        false => format!(", every {}", seconds(app.picture.every_seconds)),
    };
    let right = format!("last {} min{every}", canvas.seconds / 60);
    let routes = crate::output::count(status.routes, "route");
    let clients = crate::output::count(status.connections, "client");
    let room = canvas.columns.saturating_sub(width(&right) + 2);
    let mut head = format!("waypost  {}", app.admin);
    // As much of the rest as has a place.
    for more in [
        routes,
        format!("revision {}", status.revision),
        clients,
        format!("version {}", status.version),
    ] {
        if width(&head) + width(&more) + 2 <= room {
            head = format!("{head}  {more}");
        }
    }
    let mut lines = vec![Line::from(vec![
        Span::styled(left(&head, room), BOLD),
        Span::styled(format!("  {right}"), DIM),
    ])];
    lines.extend(reasons(app, canvas));
    lines
}

/// The health in one word, with the reasons.
fn reasons(app: &App, canvas: Canvas) -> Vec<Line<'static>> {
    if let Some(lost) = &app.lost {
        let age = text::age(canvas.age);
        let said = format!("the picture is {age} old; trying again: {lost}");
        return vec![Line::from(vec![
            Span::styled("LOST  ", BAD),
            Span::raw(cut(&said, canvas.columns.saturating_sub(6))),
        ])];
    }
    let status = &app.picture.status;
    let word = health::word(status.word);
    let style = match status.word {
        Word::Healthy => GOOD,
        Word::Attention | Word::Degraded => WARN,
        Word::Failing => BAD,
    };
    let reasons = health::reasons(status);
    let indent = width(word) + 2;
    let room = canvas.columns.saturating_sub(indent);
    let most = match (&app.page, canvas.lines) {
        (Page::Route(_), ..30) => 1,
        (_, ..30) => 3,
        _ => 6,
    };
    let nothing = "nothing needs attention".to_owned();
    let more = reasons.len().saturating_sub(most);
    let mut shown: Vec<String> = reasons.into_iter().take(most).collect();
    if let Some(last) = shown.last_mut().filter(|_| more > 0) {
        let more = format!(" (and {more} more)");
        *last = format!("{}{more}", cut(last, room.saturating_sub(width(&more))));
    }
    if shown.is_empty() {
        shown.push(nothing);
    }
    let line = |(at, reason): (usize, &String)| {
        let word = if at == 0 { word } else { "" };
        Line::from(vec![
            Span::styled(left(word, indent), style),
            Span::raw(cut(reason, room)),
        ])
    };
    shown.iter().enumerate().map(line).collect()
}

/// The notice, and the keys or the line that is typed.
fn bottom(app: &App, columns: usize) -> Vec<Line<'static>> {
    if app.is_printed {
        return Vec::new();
    }
    let mut lines: Vec<Line<'static>> = Vec::new();
    if let Some(notice) = &app.notice {
        let told = text::wrap(notice, columns);
        lines.extend(told.into_iter().take(4).map(|line| Line::styled(line, BOLD)));
    }
    let typed = |prompt: &str, text: &str, hint: &str| {
        let room = columns.saturating_sub(width(prompt) + 1);
        // The end of a long line is seen.
        let text = crate::output::plain(text);
        let skipped = text.chars().count().saturating_sub(room);
        let text: String = text.chars().skip(skipped).collect();
        let left = room.saturating_sub(width(&text) + 2);
        Line::from(vec![
            Span::styled(prompt.to_owned(), BOLD),
            Span::raw(text),
            Span::styled("_", BOLD),
            Span::styled(format!("  {}", cut(hint, left)), DIM),
        ])
    };
    lines.push(match &app.focus {
        Focus::Search => typed(
            "/",
            &app.search,
            "a part of name, host or path; service:… failing dialed; Esc ends it",
        ),
        Focus::Question(input) => {
            let hint = match (input.text.is_empty(), input.is_earlier) {
                (true, _) => "GET http://host/path -H 'name: value', or a curl line; Esc leaves",
                (_, true) => "Enter asks it again, Backspace edits it",
                _ => "Enter asks, Esc leaves",
            };
            typed("explain ", &input.text, hint)
        }
        Focus::Page | Focus::Dial(_) | Focus::Reading(_) => {
            let dial = if app.read_only().is_some() {
                "d dial (not allowed)"
            } else {
                "d dial"
            };
            let keys = match app.page {
                Page::Overview => {
                    format!("Enter route  {dial}  / search  e explain  ? help  q quit")
                }
                Page::Route(_) => format!("Esc back  {dial}  ← → arms  e explain  ? help  q quit"),
            };
            Line::styled(left(&keys, columns), SELECTED)
        }
    });
    lines
}

/// The time between pictures.
fn seconds(seconds: f64) -> String {
    match seconds < 9.95 && (seconds - seconds.round()).abs() > 0.05 {
        true => format!("{seconds:.1} s"),
        false => format!("{seconds:.0} s"),
    }
}

/// A label, a value and what is beside them.
fn labelled(label: &str, rest: Vec<Span<'static>>) -> Line<'static> {
    let mut spans = vec![Span::styled(left(label, 10), DIM)];
    spans.extend(rest);
    Line::from(spans)
}

/// Leaves out of the frame what the terminal does not have.
fn reduce(means: Means, area: Rect, buffer: &mut Buffer) {
    if means.colors && means.attributes && means.unicode {
        return;
    }
    for position in area.positions() {
        let Some(cell) = buffer.cell_mut(position) else {
            continue;
        };
        if !means.colors {
            (cell.fg, cell.bg) = (Color::Reset, Color::Reset);
        }
        if !means.attributes {
            cell.modifier = Modifier::empty();
        }
        if !means.unicode && !cell.symbol().is_ascii() {
            let ascii = cell.symbol().chars().next().map_or(' ', in_ascii);
            cell.set_char(ascii);
        }
    }
}

/// The character that comes nearest.
fn in_ascii(char: char) -> char {
    match char {
        '▁' => '_',
        '▂' => '.',
        '▃' => ':',
        '▄' => '-',
        '▅' => '=',
        '▆' => '+',
        '▇' => '*',
        '█' => '#',
        '░' => '.',
        '▓' => '%',
        '▒' => ':',
        '▪' => 'o',
        '…' => '~',
        '─' => '-',
        '│' => '|',
        '┌' | '┐' | '└' | '┘' => '+',
        '←' => '<',
        '→' => '>',
        '↑' => '^',
        '↓' => 'v',
        _ => '?',
    }
}

#[cfg(test)]
mod tests;
