//! The collection of diagnostics while a configuration is loaded.

use std::collections::HashSet;
use std::sync::Arc;

use crate::diagnostic::{Code, Confidence, Diagnostic, Severity, Suggestion, diagnostic};
use crate::place::Span;
use crate::suggest::correction::plain;
use crate::suggest::variable;

/// Maximum number of diagnostics; after it, the search ends.
const PROBLEMS_MAX: usize = 10_000;

/// Maximum number of names that are compared with every declared name for a suggestion, which is slow.
const SUGGESTIONS_MAX: usize = 100;

/// Collects diagnostics: a mistake in one place does not hide those in others.
pub(crate) struct Problems {
    files: Vec<Arc<str>>,
    found: Vec<(Span, Diagnostic)>,
    errors: usize,
    suggestions: usize,
}

impl Problems {
    pub(crate) fn new(files: Vec<Arc<str>>) -> Self {
        Self {
            files,
            found: Vec::new(),
            errors: 0,
            suggestions: 0,
        }
    }

    /// Adds a diagnostic at `span`; the result takes labels and help.
    pub(crate) fn add(&mut self, code: Code, span: Span, message: impl Into<String>) -> Problem<'_> {
        if code.severity() == Severity::Error {
            self.errors += 1;
        }
        let full = self.found.len() >= PROBLEMS_MAX;
        let new = if full {
            let message = format!("there are more than {PROBLEMS_MAX} mistakes; the rest is not listed");
            diagnostic(Code::TooManyMistakes, span.place(&self.files), message)
        } else {
            diagnostic(code, span.place(&self.files), message)
        };
        self.found.truncate(PROBLEMS_MAX);
        self.found.push((span, new));
        let last = self.found.len() - 1;
        Problem {
            files: &self.files,
            diagnostic: (!full).then(|| &mut self.found[last].1),
        }
    }

    /// Returns true if the limit of diagnostics is reached.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() > PROBLEMS_MAX
    }

    /// Returns true if there is an error.
    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Returns the number of errors.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Counts a suggestion; returns false above the limit.
    pub(crate) fn may_suggest(&mut self) -> bool {
        self.suggestions += 1;
        self.suggestions <= SUGGESTIONS_MAX
    }

    /// Returns the names of the sources.
    pub(crate) fn files(&self) -> &[Arc<str>] {
        &self.files
    }

    /// Returns all diagnostics in order of place, without the duplicates that aliases cause.
    pub(crate) fn into_diagnostics(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|(span, _)| *span);
        let mut seen = HashSet::new();
        self.found
            .retain(|(span, found)| seen.insert((*span, found.code, found.message.clone())));
        self.found.into_iter().map(|(_, found)| found).collect()
    }
}

/// A diagnostic just added.
pub(crate) struct Problem<'p> {
    files: &'p [Arc<str>],
    /// `None` above the limit of diagnostics.
    diagnostic: Option<&'p mut Diagnostic>,
}

impl Problem<'_> {
    /// Adds a related place.
    pub(crate) fn label(self, span: Span, text: impl Into<String>) -> Self {
        self.edit(|diagnostic, files| {
            diagnostic.labels.push(crate::diagnostic::Label {
                place: span.place(files),
                text: text.into(),
            });
        })
    }

    /// Sets the hint.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        self.edit(|diagnostic, _| diagnostic.help = Some(help.into()))
    }

    /// Sets the hint, if there is one.
    pub(crate) fn help_if(self, help: Option<String>) -> Self {
        match help {
            Some(help) => self.help(help),
            None => self,
        }
    }

    /// Sets the hint at a misspelt value, and suggests the `meant` one.
    pub(crate) fn did_you_mean(self, span: Span, written: &str, meant: &str) -> Self {
        self.help(format!("did you mean `{meant}`?"))
            .propose(span, written, plain(meant))
    }

    /// Suggests `replacement`, as YAML, for `written` at `span`. It means the same, so it may be applied unasked.
    pub(crate) fn mend(self, span: Span, written: &str, replacement: impl Into<String>) -> Self {
        self.suggest(span, written, replacement.into(), Confidence::Certain)
    }

    /// Suggests `replacement`, as YAML, for `written` at `span`. It is probably meant.
    pub(crate) fn propose(self, span: Span, written: &str, replacement: impl Into<String>) -> Self {
        self.suggest(span, written, replacement.into(), Confidence::Probable)
    }

    /// Suggests `meant` for the text `written` at `span`, if there is something.
    pub(crate) fn propose_if(self, span: Span, written: &str, meant: Option<String>) -> Self {
        match meant {
            Some(meant) => self.propose(span, written, plain(&meant)),
            None => self,
        }
    }

    fn suggest(self, span: Span, written: &str, replacement: String, confidence: Confidence) -> Self {
        self.edit(|diagnostic, files| {
            diagnostic.suggestion = Some(Suggestion {
                place: span.place(files),
                written: written.to_owned(),
                replacement,
                confidence,
            });
        })
    }

    fn edit(mut self, edit: impl FnOnce(&mut Diagnostic, &[Arc<str>])) -> Self {
        if let Some(diagnostic) = self.diagnostic.as_deref_mut() {
            edit(diagnostic, self.files);
        }
        self
    }
}

/// Warns of a variable of another gateway in `text`, at `span`, which is taken as it is written.
pub(crate) fn warn_of_variable(text: &str, span: Span, place: variable::Place, problems: &mut Problems) {
    let Some(found) = variable::find(text, place) else {
        return;
    };
    let meant = variable::replaced(text, place);
    problems
        .add(
            Code::ForeignValue,
            span,
            format!(
                "{} is taken as it is written, with nothing filled in",
                quote(found.text)
            ),
        )
        .help(variable::hint_at(text, found, place, meant.as_deref()))
        .propose_if(span, text, meant);
}

/// Returns `text` in backticks for a one-line message: escaped, and truncated if long.
pub(crate) fn quote(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut quoted = String::from("`");
    for (count, c) in text.chars().enumerate() {
        if count == CHARS_MAX {
            quoted.push('…');
            break;
        }
        if c.is_control() {
            quoted.extend(c.escape_default());
        } else {
            quoted.push(c);
        }
    }
    quoted.push('`');
    quoted
}
