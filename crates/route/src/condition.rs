//! The conditions of an alternative beside host and path.

use std::fmt;

use crate::regex::Regex;

/// What the value of a header, cookie or query parameter has to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ValueCondition {
    /// Equal to this text, with case.
    Equals(Box<str>),
    /// The expression is found in it.
    Matches(Regex),
    /// There, even when empty.
    Present,
    /// Not there.
    Absent,
}

impl ValueCondition {
    /// Whether `value` (`None` when it is not there) fulfils the condition.
    pub fn holds(&self, value: Option<&[u8]>) -> bool {
        match (self, value) {
            (Self::Equals(text), Some(value)) => text.as_bytes() == value,
            (Self::Matches(regex), Some(value)) => regex.is_match(value),
            (Self::Present, value) => value.is_some(),
            (Self::Absent, value) => value.is_none(),
            (Self::Equals(_) | Self::Matches(_), None) => false,
        }
    }
}

impl fmt::Display for ValueCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equals(text) => write!(f, "{text}"),
            Self::Matches(regex) => write!(f, "~{}", regex.as_str()),
            Self::Present => f.write_str("present"),
            Self::Absent => f.write_str("absent"),
        }
    }
}

/// A condition on the field called `name`: a header (lower-case), a cookie or a query parameter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldCondition {
    /// The field's name; lower-case for a header, as written for the others.
    pub name: Box<str>,
    /// What its value has to be.
    pub value: ValueCondition,
}
