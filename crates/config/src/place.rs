//! Where something stands in a configuration.

use std::sync::Arc;

/// A stretch of text in one of the sources.
///
/// Lines and columns count from 1, columns in characters; a byte order mark counts as nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The name of the source, as given.
    pub file: Arc<str>,
    /// The line it begins on.
    pub line: usize,
    /// The column of its first character.
    pub column: usize,
    /// The line it ends on; `line <= end_line`.
    pub end_line: usize,
    /// The column behind its last character.
    pub end_column: usize,
}

/// A place whose file is the number of a source: small enough for every node of a tree to have one.
///
/// The order is the order in which a person reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Span {
    pub(crate) file: u32,
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) end_line: u32,
    pub(crate) end_column: u32,
}

impl Span {
    /// The first character of a file.
    pub(crate) fn start_of(file: u32) -> Self {
        Self::char_at(file, 1, 1)
    }

    /// One character.
    pub(crate) fn char_at(file: u32, line: u32, column: u32) -> Self {
        Self {
            file,
            line,
            column,
            end_line: line,
            end_column: column.saturating_add(1),
        }
    }

    /// From the start of `self` to the end of `end`.
    pub(crate) fn to(self, end: Self) -> Self {
        Self {
            end_line: end.end_line,
            end_column: end.end_column,
            ..self
        }
    }

    /// The same stretch, with the file by name.
    pub(crate) fn place(self, files: &[Arc<str>]) -> Place {
        Place {
            file: files.get(self.file as usize).cloned().unwrap_or_default(),
            line: self.line as usize,
            column: self.column as usize,
            end_line: self.end_line as usize,
            end_column: self.end_column as usize,
        }
    }
}
