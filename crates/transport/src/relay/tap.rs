//! A copy of a body that passes through a relay, up to a bound.

/// A copy of a body, as it leaves the relay before framing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Tap {
    /// No copy is made.
    #[default]
    Closed,
    /// The bytes so far: `copy.len() <= max`.
    Open {
        /// The copy.
        copy: Vec<u8>,
        /// The longest body that is copied.
        max: usize,
    },
    /// The body is longer than the bound; the copy is gone.
    Overflowed,
}

impl Tap {
    /// A tap for a body of up to `max` bytes.
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
