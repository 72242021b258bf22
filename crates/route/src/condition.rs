//! Conditions on values: of headers, cookies, query parameters and attributes.

use std::fmt;

use crate::regex::Regex;

/// A condition on the value of a header, cookie, query parameter or attribute.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ValueCondition {
    /// Equal to this text, case-sensitive.
    Equals(Box<str>),
    /// Equal to one of these texts.
    OneOf(Box<[Box<str>]>),
    /// The regex has a match in the value.
    Matches(Regex),
    /// Present, even if empty.
    Present,
    /// Absent.
    Absent,
}

impl ValueCondition {
    /// Returns the texts of which the value must be one; empty if it may be others.
    pub(crate) fn texts(&self) -> &[Box<str>] {
        match self {
            Self::Equals(text) => std::slice::from_ref(text),
            Self::OneOf(texts) => texts,
            Self::Matches(_) | Self::Present | Self::Absent => &[],
        }
    }

    /// Returns true if `value` (`None` if absent) fulfils the condition.
    pub fn holds(&self, value: Option<&[u8]>) -> bool {
        match (self, value) {
            (Self::Equals(text), Some(value)) => text.as_bytes() == value,
            (Self::OneOf(texts), Some(value)) => texts.iter().any(|text| text.as_bytes() == value),
            (Self::Matches(regex), Some(value)) => regex.is_match(value),
            (Self::Present, value) => value.is_some(),
            (Self::Absent, value) => value.is_none(),
            (Self::Equals(_) | Self::OneOf(_) | Self::Matches(_), None) => false,
        }
    }
}

impl fmt::Display for ValueCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equals(text) => write!(f, "{text}"),
            Self::OneOf(texts) => f.write_str(&texts.join(", ")),
            Self::Matches(regex) => write!(f, "~{}", regex.as_str()),
            Self::Present => f.write_str("present"),
            Self::Absent => f.write_str("absent"),
        }
    }
}

/// A condition on a header, cookie or query parameter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldCondition {
    /// Name; lower-case for a header, as written for the others.
    pub name: Box<str>,
    /// Condition on its value.
    pub value: ValueCondition,
}
