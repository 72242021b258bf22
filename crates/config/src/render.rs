//! Diagnostics as people read them.

use std::fmt::Write;
use std::sync::Arc;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

use crate::Source;
use crate::diagnostic::{Diagnostic, Label, Severity};

/// How many diagnostics are shown before the rest is only counted.
pub const SHOWN_MAX: usize = 100;

/// How many characters of a line are shown; of longer ones a window around the place.
const LINE_CHARS_MAX: usize = 120;

/// How many further places of a diagnostic are shown.
const LABELS_MAX: usize = 4;

/// The diagnostics as text, each beginning with `FILE:LINE:COLUMN: error[code]: message`, then the lines it
/// is about, then `hint: …`. At most 100 are shown, and how many more there are.
///
/// `sources` are those that were loaded; a place in none of them is shown without its line.
pub fn render(diagnostics: &[Diagnostic], sources: &[Source], color: bool) -> String {
    let mut lines = Lines::new(sources);
    let mut out = String::new();
    for diagnostic in diagnostics.iter().take(SHOWN_MAX) {
        if !out.is_empty() {
            out.push('\n');
        }
        render_one(diagnostic, &mut lines, color, &mut out);
    }
    if diagnostics.len() > SHOWN_MAX {
        let more = diagnostics.len() - SHOWN_MAX;
        push(&mut out, format_args!("\n… and {more} more\n"));
    }
    out
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("a String takes everything that is written to it");
}

fn render_one(diagnostic: &Diagnostic, lines: &mut Lines<'_>, color: bool, out: &mut String) {
    let (bold, strong, reset) = match (color, diagnostic.severity) {
        (false, _) => ("", "", ""),
        (true, Severity::Error) => ("\x1b[1m", "\x1b[1;91m", "\x1b[0m"),
        (true, Severity::Warning) => ("\x1b[1m", "\x1b[1;93m", "\x1b[0m"),
    };
    let severity = diagnostic.severity.as_str();
    let code = diagnostic.code;
    let message = &diagnostic.message;
    let first = diagnostic.labels.first();
    if let Some(first) = first.filter(|first| !first.place.file.is_empty()) {
        let place = &first.place;
        let file = printable(&place.file);
        push(
            out,
            format_args!("{bold}{file}:{}:{}: {reset}", place.line, place.column),
        );
    }
    push(
        out,
        format_args!("{strong}{severity}[{code}]{reset}{bold}: {message}{reset}\n"),
    );
    let excerpt = excerpt(diagnostic, lines, color);
    if !excerpt.is_empty() {
        push(out, format_args!("{}\n", excerpt.trim_end_matches('\n')));
    }
    if let Some(help) = &diagnostic.help {
        push(out, format_args!("{bold}hint:{reset} {help}\n"));
    }
}

/// The lines that the labels are about, those of other files under their names.
fn excerpt(diagnostic: &Diagnostic, lines: &mut Lines<'_>, color: bool) -> String {
    let Some(first) = diagnostic.labels.first() else {
        return String::new();
    };
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut out = String::new();
    for (at, label) in diagnostic.labels.iter().take(LABELS_MAX).enumerate() {
        let Some(line) = lines.line(&label.place.file, label.place.line) else {
            continue;
        };
        let (text, span) = window(line, label);
        let kind = if at == 0 {
            AnnotationKind::Primary
        } else {
            AnnotationKind::Context
        };
        let annotation: Annotation<'_> = kind.span(span);
        let annotation = if label.text.is_empty() {
            annotation
        } else {
            annotation.label(label.text.clone())
        };
        let snippet = Snippet::source(text)
            .line_start(label.place.line)
            .annotation(annotation);
        let group = Group::with_level(level.clone()).element(snippet);
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        if at > 0 {
            let file = if label.place.file == first.place.file {
                String::new()
            } else {
                format!("{}:", printable(&label.place.file))
            };
            push(
                &mut out,
                format_args!("  ::: {file}{}:{}\n", label.place.line, label.place.column),
            );
        }
        push(&mut out, format_args!("{}\n", renderer.render(&[group])));
    }
    out
}

/// The part of a line that is shown, and the bytes of it to underline.
fn window(line: &str, label: &Label) -> (String, std::ops::Range<usize>) {
    let place = &label.place;
    let start = place.column.saturating_sub(1);
    let end = if place.end_line == place.line {
        place.end_column.saturating_sub(1).max(start + 1)
    } else {
        usize::MAX
    };
    let skipped = if start >= LINE_CHARS_MAX {
        start - LINE_CHARS_MAX / 4
    } else {
        0
    };
    let mut text = String::new();
    if skipped > 0 {
        text.push('…');
    }
    let mut underlined = None;
    let mut underlined_end = 0;
    for (column, c) in line.chars().enumerate().skip(skipped).take(LINE_CHARS_MAX) {
        if column == start {
            underlined = Some(text.len());
        }
        text.push(if c.is_control() { ' ' } else { c });
        if column < end {
            underlined_end = text.len();
        }
    }
    let from = underlined.unwrap_or(text.len());
    if line.chars().nth(skipped + LINE_CHARS_MAX).is_some() {
        text.push('…');
    }
    (text, from..underlined_end.max(from))
}

/// A file's name, fit for a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect()
            } else {
                vec![c]
            }
        })
        .collect()
}

/// The lines of the sources, found once for each file.
struct Lines<'s> {
    files: Vec<File<'s>>,
}

struct File<'s> {
    name: &'s str,
    /// Without a byte order mark.
    text: &'s [u8],
    /// Where each line begins and ends, once someone asked.
    ranges: Option<Vec<(usize, usize)>>,
}

impl<'s> Lines<'s> {
    fn new(sources: &'s [Source]) -> Self {
        Self {
            files: sources
                .iter()
                .map(|source| File {
                    name: &source.name,
                    text: source.text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&source.text),
                    ranges: None,
                })
                .collect(),
        }
    }

    /// The line with this number, from 1 on; `None` when it is no text, or not there.
    fn line(&mut self, file: &Arc<str>, number: usize) -> Option<&'s str> {
        let found = self.files.iter_mut().find(|known| known.name == &**file)?;
        let text = found.text;
        let ranges = found.ranges.get_or_insert_with(|| line_ranges(text));
        let (start, end) = *ranges.get(number.checked_sub(1)?)?;
        std::str::from_utf8(text.get(start..end)?).ok()
    }
}

/// Where lines begin and end; `\n`, `\r\n` and `\r` end one, as in YAML.
fn line_ranges(text: &[u8]) -> Vec<(usize, usize)> {
    let mut ranges = Vec::new();
    let mut start = 0;
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'\n' if at > 0 && text[at - 1] == b'\r' => start = at + 1,
            b'\n' | b'\r' => {
                ranges.push((start, at));
                start = at + 1;
            }
            _ => {}
        }
    }
    ranges.push((start, text.len()));
    ranges
}
