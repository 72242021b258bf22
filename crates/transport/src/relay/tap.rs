//! An observer of a relayed body: makes a bounded copy of it, or finds the status of a call.

use crate::relay::call_status::CallStatus;

/// An observer of a relayed body, after its transform and before framing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Tap {
    /// Nothing is observed.
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
    /// The status of a call, from its trailers.
    CallStatus(CallStatus),
}

impl Tap {
    /// Creates a tap for a body of up to `max` bytes.
    pub fn open(max: usize) -> Self {
        Self::Open {
            copy: Vec::new(),
            max,
        }
    }

    /// The status of a call that is observed; `None` for any other body.
    pub fn call_status(&self) -> Option<&CallStatus> {
        match self {
            Self::CallStatus(status) => Some(status),
            Self::Closed | Self::Open { .. } | Self::Overflowed => None,
        }
    }

    /// Returns true if bytes have to be observed before they are written: the end of the body can change what is
    /// counted.
    pub(super) fn precedes_writes(&self) -> bool {
        self.call_status().is_some_and(CallStatus::scans_body)
    }

    /// Observes bytes of the body.
    #[inline]
    pub(super) fn observe(&mut self, data: &[u8]) {
        if !matches!(self, Self::Closed) {
            self.observe_open(data);
        }
    }

    fn observe_open(&mut self, data: &[u8]) {
        match self {
            Self::Open { copy, max } if copy.len() + data.len() > *max => *self = Self::Overflowed,
            Self::Open { copy, .. } => copy.extend_from_slice(data),
            Self::CallStatus(status) => status.scan(data),
            Self::Closed | Self::Overflowed => {}
        }
    }

    /// Observes the trailers, as the source sent them: lines ended by an empty line.
    pub(super) fn observe_trailers(&mut self, lines: &[u8]) {
        if let Self::CallStatus(status) = self {
            status.read_trailers(lines);
        }
    }
}
