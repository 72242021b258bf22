//! The files of keys that `auth` names.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};
use waypost_auth::key_file::KeyFile;
use waypost_plan::Plan;
use waypost_plan::auth::Way;

/// The files of keys. They may change without the plan.
#[derive(Debug, Default)]
pub struct KeyFiles(HashMap<Box<str>, ArcSwapOption<KeyFile>>);

impl KeyFiles {
    /// The files that `plan` names, none of which is read yet.
    pub(crate) fn of(plan: &Plan) -> Self {
        let ways = plan.auths().flat_map(|auth| &auth.ways);
        let paths = ways.filter_map(Way::key_file);
        Self(paths.map(|path| (path.into(), ArcSwapOption::empty())).collect())
    }

    /// Sets the keys of a file.
    pub fn set(&self, path: &str, keys: Arc<KeyFile>) {
        if let Some(slot) = self.0.get(path) {
            slot.store(Some(keys));
        }
    }

    /// The keys of a file; `None` if it was not read.
    pub(crate) fn keys(&self, path: &str) -> Option<Guard<Option<Arc<KeyFile>>>> {
        Some(self.0.get(path)?.load()).filter(|keys| keys.is_some())
    }
}
