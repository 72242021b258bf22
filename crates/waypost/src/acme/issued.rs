//! The certificates that have been issued, for listeners to serve.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use waypost_plan::acme::Acme;

/// A certificate that was issued, with its key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct IssuedPair {
    /// The certificate and its chain, as PEM.
    pub(crate) chain: Vec<u8>,
    /// Its key, as PEM.
    pub(crate) key: Vec<u8>,
}

/// The certificates that have been issued. Clones share them: orders put them in, and listeners serve them from the next look
/// at [`Issued::version`] on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Issued(Arc<Mutex<Pairs>>);

#[derive(Debug, Default)]
struct Pairs {
    by_acme: HashMap<Acme, Arc<IssuedPair>>,
    /// The number of changes.
    version: u64,
}

impl Issued {
    /// The certificate that was issued last for what `acme` says.
    pub(crate) fn get(&self, acme: &Acme) -> Option<Arc<IssuedPair>> {
        self.lock().by_acme.get(acme).cloned()
    }

    /// Puts in a certificate that was issued, in place of the one before.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "orders, which are to come, put them in")
    )]
    pub(crate) fn set(&self, acme: Acme, pair: IssuedPair) {
        let mut pairs = self.lock();
        pairs.by_acme.insert(acme, Arc::new(pair));
        pairs.version += 1;
    }

    /// A number that grows with every change.
    pub(crate) fn version(&self) -> u64 {
        self.lock().version
    }

    fn lock(&self) -> MutexGuard<'_, Pairs> {
        // A pair is replaced as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// Keys stay out of logs.
impl fmt::Debug for IssuedPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedPair").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_what_was_issued_and_every_change_is_noticed() {
        let issued = Issued::default();
        let listeners = issued.clone();
        let acme = |host: &str| Acme {
            email: None,
            directory: "https://ca.test/".into(),
            hosts: vec![host.into()],
            eab: None,
            ca: None,
        };
        let before = listeners.version();
        for text in ["1", "2"] {
            let pair = IssuedPair {
                chain: text.into(),
                key: b"s3cret".into(),
            };
            assert!(!format!("{pair:?}").contains("s3cret"));
            issued.set(acme("a.test"), pair.clone());
            assert_eq!(listeners.get(&acme("a.test")).as_deref(), Some(&pair));
            assert_eq!(listeners.get(&acme("b.test")), None);
        }
        assert_eq!(listeners.version(), before + 2);
    }
}
