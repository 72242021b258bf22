//! The keys of issuers that `auth` names.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};
use waypost_auth::token::live::LiveKeys;
use waypost_plan::Plan;
use waypost_plan::token::KeySource;

/// The keys of issuers, by the text of their source. They may change without the plan.
#[derive(Debug, Default)]
pub struct TokenKeys(HashMap<Box<str>, ArcSwapOption<LiveKeys>>);

impl TokenKeys {
    /// The keys that `plan` names, none of which is there yet.
    pub(crate) fn of(plan: &Plan) -> Self {
        let sources = plan.key_sources().map(KeySource::text);
        Self(
            sources
                .map(|source| (source.into(), ArcSwapOption::empty()))
                .collect(),
        )
    }

    /// Sets the keys of a source.
    pub fn set(&self, source: &KeySource, keys: Arc<LiveKeys>) {
        if let Some(slot) = self.0.get(source.text()) {
            slot.store(Some(keys));
        }
    }

    /// The keys of a source; `None` if they were neither read nor asked for.
    pub(crate) fn keys(&self, source: &KeySource) -> Option<Guard<Option<Arc<LiveKeys>>>> {
        Some(self.0.get(source.text())?.load()).filter(|keys| keys.is_some())
    }
}
