//! Places in the text of a configuration.

use std::sync::Arc;

/// A range of text in one of the sources.
///
/// Lines and columns count from 1, columns in characters. A byte order mark is not counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// Name of the source.
    pub file: Arc<str>,
    /// First line.
    pub line: usize,
    /// Column of the first character.
    pub column: usize,
    /// Last line; `line <= end_line`.
    pub end_line: usize,
    /// Column after the last character.
    pub end_column: usize,
}

/// A place with the index of its source, small enough for every node of a tree.
///
/// The order is reading order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Span {
    pub(crate) file: u32,
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) end_line: u32,
    pub(crate) end_column: u32,
}

impl Span {
    /// Returns the place of the first character of a file.
    pub(crate) fn start_of(file: u32) -> Self {
        Self::char_at(file, 1, 1)
    }

    /// Returns the place of one character.
    pub(crate) fn char_at(file: u32, line: u32, column: u32) -> Self {
        Self {
            file,
            line,
            column,
            end_line: line,
            end_column: column.saturating_add(1),
        }
    }

    /// Returns the range from the start of `self` to the end of `end`.
    pub(crate) fn to(self, end: Self) -> Self {
        Self {
            end_line: end.end_line,
            end_column: end.end_column,
            ..self
        }
    }

    /// Returns the same place with the name of the file.
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
