//! Forced arms: testers pick an arm of a split, whatever its weight.

/// A header or cookie whose value names an arm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Force {
    /// Source of the value.
    pub key: ForceKey,
    /// The arm for each value, by position.
    pub values: Vec<(Box<str>, usize)>,
}

/// The source of a forcing value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForceKey {
    /// A header by lower-case name, its lines joined by `, `.
    Header(Box<str>),
    /// A cookie.
    Cookie(Box<str>),
}

impl Force {
    /// Returns the arm for `value`; `None` leaves the choice to the split.
    pub fn arm(&self, value: &[u8]) -> Option<usize> {
        self.values
            .iter()
            .find_map(|(known, arm)| (known.as_bytes() == value).then_some(*arm))
    }
}
