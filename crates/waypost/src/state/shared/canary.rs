//! Canaries: what this instance writes of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use waypost_fleet::config;
use waypost_fleet::key::ConfigName;
use waypost_fleet::proposal::{Advance, Intent, Try, Withdraw};
use waypost_fleet::record::WriteId;
use waypost_fleet::record::canary::CanaryRecord;
use waypost_fleet::record::revision::Draft;

use super::{Shared, portions};
use crate::fleet::ProposeError;
use crate::state::dials::Dials;

/// The instances that try a config, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tried {
    /// The instances; the first is this one.
    pub(crate) chosen: Vec<String>,
    /// The routes whose splits it changes.
    pub(crate) routes: Vec<String>,
    /// Other routes at which a rollout may be begun that turns one of these.
    pub(crate) leads: Vec<String>,
    pub(crate) hold_ms: u64,
}

impl Shared {
    /// Stores a config that some instances try, and obeys it.
    pub(in crate::state) async fn begin_canary(
        &mut self,
        texts: config::Texts,
        draft: Draft,
        tried: &Tried,
    ) -> Result<(), ProposeError> {
        let Tried {
            chosen,
            routes,
            leads,
            hold_ms,
        } = tried.clone();
        let intent = Intent::Try(Try {
            texts,
            draft,
            chosen,
            routes,
            leads,
            hold_ms,
        });
        let proposed = self.fleet.propose(&self.obeyed, intent).await?;
        // It may have had its end since, which is not obeyed yet.
        let canary = proposed.view.canary.as_ref();
        if canary.is_some_and(|canary| canary.value.id == proposed.write && canary.value.is_under_way()) {
            let obeyed = Arc::make_mut(&mut self.obeyed);
            obeyed.canary = proposed.view.canary.clone();
            obeyed.canary_config = proposed.view.canary_config.clone();
        }
        Ok(())
    }

    /// Stores the next stage of the canary, as the leader, with what changes along.
    pub(in crate::state) async fn advance_canary(
        &self,
        record: CanaryRecord,
        dials: &Dials,
    ) -> Result<(), ProposeError> {
        let Some(fence) = self.fleet.fence() else {
            return Err(ProposeError::Away("another instance leads".to_owned()));
        };
        let names = record.texts.files.keys().chain(self.obeyed.config_keys.keys());
        let names: BTreeSet<&ConfigName> = names.collect();
        let changes = portions::with_config(self.changes(dials), names.len());
        let advance = Advance {
            state: self.fenced(changes),
            record,
            fence,
        };
        let intent = Intent::Advance(Box::new(advance));
        self.fleet.propose(&self.obeyed, intent).await.map(drop)
    }

    /// Takes the canary back.
    pub(in crate::state) async fn withdraw_canary(
        &self,
        id: &WriteId,
        why: String,
    ) -> Result<(), ProposeError> {
        let intent = Intent::Withdraw(Withdraw { id: id.clone(), why });
        self.fleet.propose(&self.obeyed, intent).await.map(drop)
    }
}
