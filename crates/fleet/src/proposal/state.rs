//! Dials, drains, rollouts and certificates.

use crate::key::{Folder, Key};
use crate::proposal::{Plan, PlanError, State};
use crate::record::certificate::CertificateRecord;
use crate::record::rollout::RolloutRecord;
use crate::store::{OPERATIONS_MAX, StoreRevision};
use crate::view::Fence;

/// The comparisons that are kept free for the right of the leader, and for folders.
pub(super) const RESERVED: usize = 8;

impl Plan<'_> {
    /// Rests on the config, beside so many keys. Where its texts are too many to be compared one by one, a text that a user deletes
    /// by other means is noticed with the revision that the leader makes of it.
    fn rest_on_rules(&mut self, keys: usize) {
        if keys + self.view.config_keys.len() + RESERVED <= OPERATIONS_MAX {
            self.rest_on_config();
        } else {
            self.compares.push(self.view.nothing_written(Folder::Config));
        }
        self.compares.push(self.view.nothing_written(Folder::Revisions));
    }

    pub(super) fn state(&mut self, state: State) -> Result<(), PlanError> {
        let write = self.write;
        let keys = state.dials.len() + state.drains.len() + state.rollouts.len() + state.certificates.len();
        if state.rests_on_config {
            self.rest_on_rules(keys);
        }
        if state.rests_on_canary {
            self.rest_on(&Key::Canary);
        }
        if let Some(fence) = &state.fence {
            self.rest_on_fence(fence);
        }
        for (route, dial) in state.dials {
            let key = Key::Dial(route);
            match dial {
                Some(mut dial) => {
                    dial.stamp(write);
                    self.record(&key, &dial)?;
                }
                None => self.write(&key, None),
            }
        }
        for (name, drain) in state.drains {
            match drain {
                Some(mut drain) => {
                    drain.write = Some(write.clone());
                    self.record(&name.key(), &drain)?;
                }
                None => self.write(&name.key(), None),
            }
        }
        for (route, rollout) in state.rollouts {
            let Some(fence) = &state.fence else {
                return Err(PlanError::NotLeader);
            };
            let known = self.view.rollouts.get(&*route);
            if known.is_some_and(|known| is_of_later_leader(known.value.fence, known.modified, fence)) {
                return Err(PlanError::NotLeader);
            }
            let key = Key::Rollout(route);
            match rollout {
                Some(rollout) => {
                    let record = RolloutRecord {
                        fence: fence.created,
                        write: Some(write.clone()),
                        state: rollout,
                    };
                    self.record(&key, &record)?;
                }
                None => self.write(&key, None),
            }
        }
        for (name, sealed) in state.certificates {
            let Some(fence) = &state.fence else {
                return Err(PlanError::NotLeader);
            };
            let known = self.view.certificates.get(&*name);
            if known.is_some_and(|known| is_of_later_leader(known.value.fence, known.modified, fence)) {
                return Err(PlanError::NotLeader);
            }
            let key = Key::Certificate(name);
            match sealed {
                Some(sealed) => {
                    let record = CertificateRecord {
                        fence: fence.created,
                        write: Some(write.clone()),
                        sealed,
                    };
                    self.record(&key, &record)?;
                }
                None => self.write(&key, None),
            }
        }
        Ok(())
    }
}

/// Returns true if a leader that came later than the one of this fence has written a record. The fence of a record that was copied
/// from another store, which is not older than the record, says nothing of leaders of this one.
fn is_of_later_leader(written_by: StoreRevision, modified: StoreRevision, fence: &Fence) -> bool {
    fence.created < written_by && written_by < modified
}
