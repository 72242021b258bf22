//! `rollouts/ROUTE`: the state of a rollout, which its leader alone writes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::record::{Record, RecordError, WriteId, clean_value, ensure};
use crate::store::StoreRevision;

/// The state of a rollout in the envelope of its leader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutRecord {
    /// When the leader that wrote it became a candidate. No leader that did so before writes it again.
    pub fence: StoreRevision,
    /// The write that it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<WriteId>,
    /// The state, as the gateway stores it.
    pub state: Value,
}

impl Record for RolloutRecord {
    fn check(&self) -> Result<(), RecordError> {
        ensure(self.fence.0 > 0, "fence", "it is not positive")?;
        ensure(self.state.is_object(), "state", "it is no object")
    }

    fn clean(&mut self) {
        clean_value(&mut self.state);
    }

    fn write(&self) -> Option<&WriteId> {
        self.write.as_ref()
    }
}
