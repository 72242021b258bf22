//! `endpoints/SERVICE/ENDPOINT`: a drained endpoint.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::record::{Record, RecordError, WriteId, at_most, ensure, name};

/// The most drained addresses of an endpoint.
const DRAINED_MAX: usize = 1000;

/// A drained endpoint, or some of its addresses. It is so as long as the service declares it; once none is drained, the key
/// is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainRecord {
    /// All that is drained of it.
    pub drained: Vec<DrainedRecord>,
    /// The write that it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<WriteId>,
}

/// A part of an endpoint that is drained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainedRecord {
    /// The only one of its addresses that is drained; `None` for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The user that drained it.
    pub by: String,
    /// When it was drained.
    pub time: Timestamp,
}

impl Record for DrainRecord {
    fn check(&self) -> Result<(), RecordError> {
        ensure(!self.drained.is_empty(), "drained", "it is empty")?;
        at_most(&self.drained, DRAINED_MAX, "drained")?;
        self.drained.iter().try_for_each(|drained| {
            name(&drained.by, "by")?;
            drained
                .address
                .as_ref()
                .map_or(Ok(()), |address| name(address, "address"))
        })
    }

    fn write(&self) -> Option<&WriteId> {
        self.write.as_ref()
    }
}
