//! Diagnostics as text for terminals.

use std::fmt::Write;
use std::sync::Arc;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

use crate::Source;
use crate::diagnostic::{Diagnostic, Label, Severity};

/// Maximum number of diagnostics shown; the rest is counted.
pub const SHOWN_MAX: usize = 100;

/// Maximum number of characters shown of a line; longer lines are cut to a window around the place.
const LINE_CHARS_MAX: usize = 120;

/// Maximum number of places shown of a diagnostic.
const LABELS_MAX: usize = 4;

/// Renders diagnostics: each has the form `FILE:LINE:COLUMN: error[code]: message`, followed by its lines and
/// `hint: …`. At most 100 are shown, and the number of the others.
///
/// `sources` are the loaded sources; places in other files are shown without lines.
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

/// Renders the lines of the labels, those of other files with the names of the files.
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

/// Returns the part of a line to show, and the bytes of it to underline.
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

/// Escapes the name of a file for a terminal.
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

/// The lines of the sources, indexed once for each file.
struct Lines<'s> {
    files: Vec<File<'s>>,
}

struct File<'s> {
    name: &'s str,
    /// Text without a byte order mark.
    text: &'s [u8],
    /// Range of each line, computed on first use.
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

    /// Returns the line with this number, from 1; `None` if it does not exist or is not UTF-8.
    fn line(&mut self, file: &Arc<str>, number: usize) -> Option<&'s str> {
        let found = self.files.iter_mut().find(|known| known.name == &**file)?;
        let text = found.text;
        let ranges = found.ranges.get_or_insert_with(|| line_ranges(text));
        let (start, end) = *ranges.get(number.checked_sub(1)?)?;
        std::str::from_utf8(text.get(start..end)?).ok()
    }
}

/// Returns the ranges of lines, which end in `\n`, `\r\n` or `\r`, as in YAML.
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
