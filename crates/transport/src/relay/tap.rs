//! A bounded copy of a relayed body.

/// A bounded copy of a relayed body, after its transform and before framing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Tap {
    /// No copy is made.
    #[default]
    Closed,
    /// The body so far: `copy.len() <= max`.
    Open {
        /// The copy.
        copy: Vec<u8>,
        /// The maximum length of the copy.
        max: usize,
    },
    /// The body exceeded the bound. Its copy is discarded.
    Overflowed,
}

impl Tap {
    /// Creates a tap for a body of up to `max` bytes.
    pub fn open(max: usize) -> Self {
        Self::Open {
            copy: Vec::new(),
            max,
        }
    }

    /// Appends bytes of the body.
    pub(crate) fn copy(&mut self, data: &[u8]) {
        if let Self::Open { copy, max } = self {
            if copy.len() + data.len() > *max {
                *self = Self::Overflowed;
            } else {
                copy.extend_from_slice(data);
            }
        }
    }
}
