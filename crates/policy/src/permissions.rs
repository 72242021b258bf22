//! Permissions of services that are asked who may pass.

use std::fmt;
use std::sync::Arc;

use waypost_auth::identity::Identity;
use waypost_auth::recent::{Digest, DigestKey, Recent};
use waypost_plan::Plan;
use waypost_plan::auth::Way;

/// A permission.
#[derive(Default)]
pub struct Permission {
    /// The client, as the service names it.
    pub identity: Identity,
    /// The lines that the request gets, each with its CRLF.
    pub lines: Box<[u8]>,
}

/// Permissions that hold for a while, where questions have a `cache`. A new plan begins with none.
#[derive(Debug)]
pub struct Permissions {
    key: DigestKey,
    recent: Recent<Arc<Permission>>,
}

/// The longest lines of a permission that is kept.
pub const KEPT_BYTES_MAX: usize = 8 << 10;

impl Permissions {
    /// Memory for permissions, if anything in `plan` keeps them. Without random numbers nothing is kept, and each question is
    /// asked.
    pub(crate) fn of(plan: &Plan) -> Option<Self> {
        let mut ways = plan.auths().flat_map(|auth| &auth.ways);
        let keeps = |way: &Way| way.asked().is_some_and(|ask| ask.cache.is_some());
        let key = ways.any(keeps).then(DigestKey::random).flatten()?;
        Some(Self {
            key,
            recent: Recent::default(),
        })
    }

    /// The digest of a question, by its texts.
    pub(crate) fn digest<'a>(&self, texts: impl IntoIterator<Item = &'a [u8]>) -> Digest {
        self.key.digest(texts)
    }

    /// The permission for a question; `now` is in milliseconds.
    pub(crate) fn find(&self, question: &Digest, now: u64) -> Option<Arc<Permission>> {
        let entry = self.recent.find(question, now)?;
        Some(Arc::clone(&entry.value))
    }

    /// Keeps a permission until a time in milliseconds.
    pub(crate) fn keep(&self, question: Digest, permission: &Arc<Permission>, until: u64) {
        if permission.lines.len() <= KEPT_BYTES_MAX {
            self.recent.insert(question, Arc::clone(permission), until);
        }
    }
}

impl fmt::Debug for Permission {
    /// Leaves out the lines, which may be credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permission")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}
