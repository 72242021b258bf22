//! The contents of the files that orders of certificates need.

use std::fmt;
use std::sync::Arc;

/// The contents of the files of an [`Acme`](waypost_plan::acme::Acme).
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct AcmeFiles {
    /// The authorities that are trusted to have signed the certificate of the directory, as PEM.
    pub(crate) ca: Option<Arc<[u8]>>,
    /// The key of the external account, decoded.
    pub(crate) eab_key: Option<Arc<[u8]>>,
}

// Keys stay out of logs.
impl fmt::Debug for AcmeFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcmeFiles").finish_non_exhaustive()
    }
}
