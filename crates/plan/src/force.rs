//! What lets testers pick an arm of a split, whatever its weight.

/// A header or cookie whose value names an arm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Force {
    /// Where the value comes from.
    pub key: ForceKey,
    /// Which arm, by position, each value stands for.
    pub values: Vec<(Box<str>, usize)>,
}

/// Where the value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForceKey {
    /// A header, by lower-case name; its lines joined by `, `.
    Header(Box<str>),
    /// A cookie.
    Cookie(Box<str>),
}

impl Force {
    /// The arm that `value` stands for; `None` leaves the choice to the split.
    pub fn arm(&self, value: &[u8]) -> Option<usize> {
        self.values
            .iter()
            .find_map(|(known, arm)| (known.as_bytes() == value).then_some(*arm))
    }
}
