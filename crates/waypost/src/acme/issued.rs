//! The certificates that have been issued, for listeners to serve.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use waypost_plan::acme::Acme;
use waypost_tls::identity::Identity;

/// A certificate that was issued, with its key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct IssuedPair {
    /// The certificate and its chain, as PEM.
    pub(crate) chain: Vec<u8>,
    /// Its key, as PEM.
    pub(crate) key: Vec<u8>,
}

/// The certificate that was issued for what a listener says, rather than the best one at hand.
#[cfg_attr(not(feature = "acme"), expect(dead_code, reason = "orders ask for it"))]
pub(crate) struct Own {
    pub(crate) pair: Arc<IssuedPair>,
    /// The times between which it is valid, in seconds since 1970.
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

/// The certificates that have been issued. Clones share them: orders put them in, and listeners serve them from the next look
/// at [`Issued::version`] on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Issued(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// By the authority's directory and the hosts that were asked for.
    pairs: HashMap<(Box<str>, Vec<Box<str>>), Held>,
    /// The number of changes.
    version: u64,
}

#[derive(Debug)]
struct Held {
    pair: Arc<IssuedPair>,
    /// The certificate as it is served, if it can be.
    identity: Option<Identity>,
}

impl Issued {
    /// The certificate that was issued last for what `acme` says. If there is none, or it has ended, the best of the others: hosts
    /// that have a certificate keep it when others come or the authority changes.
    pub(crate) fn get(&self, acme: &Acme) -> Option<Arc<IssuedPair>> {
        let known = self.lock();
        let now = Timestamp::now().as_second();
        let own = known.pairs.get(&key(&acme.directory, &acme.hosts));
        // One that cannot be served is told of.
        let is_in_force = |held: &&Held| held.identity.is_none() || held.is_valid(now);
        let best = own.filter(is_in_force).or_else(|| known.best(acme, now)).or(own);
        best.map(|held| Arc::clone(&held.pair))
    }

    /// The certificate that was issued last for these hosts by the authority with this directory.
    #[cfg_attr(not(feature = "acme"), expect(dead_code, reason = "orders ask for it"))]
    pub(crate) fn own(&self, directory: &str, hosts: &[Box<str>]) -> Option<Own> {
        let known = self.lock();
        let held = known.pairs.get(&key(directory, hosts))?;
        let identity = held.identity.as_ref()?;
        Some(Own {
            pair: Arc::clone(&held.pair),
            not_before: identity.not_before(),
            not_after: identity.not_after(),
        })
    }

    /// Puts in a certificate that the authority with this directory has issued for these hosts, in place of the one before.
    #[cfg_attr(
        not(any(test, feature = "acme")),
        expect(dead_code, reason = "orders put them in")
    )]
    pub(crate) fn set(&self, directory: &str, hosts: &[Box<str>], pair: IssuedPair) {
        let key = key(directory, hosts);
        let mut known = self.lock();
        if known.pairs.get(&key).is_some_and(|held| *held.pair == pair) {
            return;
        }
        let held = Held {
            identity: Identity::from_pem(&pair.chain, &pair.key).ok(),
            pair: Arc::new(pair),
        };
        known.pairs.insert(key, held);
        known.version += 1;
    }

    /// A number that grows with every change.
    pub(crate) fn version(&self) -> u64 {
        self.lock().version
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // A pair is replaced as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Of those that are valid, one of the same authority, as a trial at another one may not be trusted; of these the one for most
    /// of the hosts, and the one that ends last.
    fn best(&self, acme: &Acme, now: i64) -> Option<&Held> {
        let ranked = self.pairs.iter().filter_map(|((directory, _), held)| {
            let identity = held.identity.as_ref().filter(|_| held.is_valid(now))?;
            let served = acme.hosts.iter().filter(|host| identity.serves(host)).count();
            let rank = (*directory == acme.directory, served, identity.not_after());
            (served > 0).then_some((rank, held))
        });
        ranked.max_by_key(|(rank, _)| *rank).map(|(_, held)| held)
    }
}

impl Held {
    fn is_valid(&self, now: i64) -> bool {
        let identity = self.identity.as_ref();
        identity.is_some_and(|identity| (identity.not_before()..identity.not_after()).contains(&now))
    }
}

fn key(directory: &str, hosts: &[Box<str>]) -> (Box<str>, Vec<Box<str>>) {
    (directory.into(), hosts.to_vec())
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
            issued.set("https://ca.test/", &["a.test".into()], pair.clone());
            assert_eq!(listeners.get(&acme("a.test")).as_deref(), Some(&pair));
            assert_eq!(listeners.get(&acme("b.test")), None);
        }
        assert_eq!(listeners.version(), before + 2);
    }

    /// A certificate for `hosts` that is valid for some days.
    fn pair(hosts: &[&str], days: i64) -> IssuedPair {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        let day = |ahead: i64| {
            let day = Timestamp::now() + jiff::SignedDuration::from_hours(24 * ahead);
            let day = day.to_zoned(jiff::tz::TimeZone::UTC).date();
            rcgen::date_time_ymd(day.year().into(), day.month() as u8, day.day() as u8)
        };
        (params.not_before, params.not_after) = (day(-9), day(days));
        IssuedPair {
            chain: params.self_signed(&key).unwrap().pem().into_bytes(),
            key: key.serialize_pem().into_bytes(),
        }
    }

    #[test]
    fn hosts_keep_their_certificate_when_others_come_or_the_authority_changes() {
        let acme = |directory: &str, hosts: &[&str]| Acme {
            email: None,
            directory: directory.into(),
            hosts: hosts.iter().map(|&host| host.into()).collect(),
            eab: None,
            ca: None,
        };
        let issued = Issued::default();
        let set = |directory: &str, hosts: &[&str], pair: &IssuedPair| {
            issued.set(directory, &acme(directory, hosts).hosts, pair.clone());
        };
        let get = |directory: &str, hosts: &[&str]| issued.get(&acme(directory, hosts));
        let (one, trial, both, ended) = (
            pair(&["a.test"], 60),
            pair(&["a.test"], 90),
            pair(&["a.test", "b.test"], 30),
            pair(&["a.test", "b.test", "c.test"], -2),
        );
        set("https://x/", &["a.test"], &one);
        set("https://staging/", &["a.test"], &trial);
        set("https://x/", &["a.test", "b.test"], &both);
        set("https://x/", &["a.test", "b.test", "c.test"], &ended);
        let is = |directory: &str, hosts: &[&str], expected: &IssuedPair, why: &str| {
            assert_eq!(get(directory, hosts).as_deref(), Some(expected), "{why}");
        };
        is("https://x/", &["a.test"], &one, "it is what was asked for");
        is(
            "https://y/",
            &["a.test"],
            &trial,
            "of another authority, the one that ends last",
        );
        is(
            "https://x/",
            &["a.test", "d.test"],
            &one,
            "of the same authority, the one that ends last",
        );
        is(
            "https://y/",
            &["a.test", "b.test"],
            &both,
            "it has most of the hosts",
        );
        is(
            "https://x/",
            &["a.test", "b.test", "c.test"],
            &both,
            "its own has ended",
        );
        set(
            "https://staging/",
            &["a.test", "e.test"],
            &pair(&["a.test", "e.test"], 60),
        );
        is(
            "https://x/",
            &["a.test", "e.test"],
            &one,
            "a trial at another authority may not be trusted",
        );
        assert_eq!(get("https://y/", &["c.test"]), None);
        let version = issued.version();
        set("https://x/", &["a.test"], &one);
        assert_eq!(issued.version(), version, "it is the same");
        let newer = pair(&["a.test"], 20);
        set("https://x/", &["a.test"], &newer);
        is("https://x/", &["a.test"], &newer, "it was issued last");
        set("https://z/", &["c.test"], &pair(&["c.test"], -1));
        assert!(get("https://z/", &["c.test"]).is_some(), "there is no other");
    }
}
