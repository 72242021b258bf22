//! The files of users and passwords that `auth` names.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use waypost_auth::password::PasswordFile;
use waypost_plan::Plan;
use waypost_plan::auth::Way;

/// The files of users and passwords. They may change without the plan.
#[derive(Debug, Default)]
pub struct PasswordFiles(HashMap<Box<str>, ArcSwapOption<PasswordFile>>);

impl PasswordFiles {
    /// The files that `plan` names, none of which is read yet.
    pub(crate) fn of(plan: &Plan) -> Self {
        let ways = plan.auths().flat_map(|auth| &auth.ways);
        let paths = ways.filter_map(Way::password_file);
        Self(paths.map(|path| (path.into(), ArcSwapOption::empty())).collect())
    }

    /// Sets the users of a file. Those that were verified are forgotten, unless it is the one that is there.
    pub fn set(&self, path: &str, users: Arc<PasswordFile>) {
        if let Some(slot) = self.0.get(path) {
            slot.store(Some(users));
        }
    }

    /// The users of a file; `None` if it was not read.
    pub fn users(&self, path: &str) -> Option<Arc<PasswordFile>> {
        self.0.get(path)?.load_full()
    }
}
