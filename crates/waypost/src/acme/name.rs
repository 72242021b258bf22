//! The names under which accounts and certificates are kept.

use std::fmt;

use waypost_plan::acme::Acme;
use xxhash_rust::xxh3::xxh3_64;

/// The most characters of the host in a name.
const HOST_MAX: usize = 64;

/// The name of a certificate: that of its authority and its hosts. The address of the owner may change without it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CertificateName(Box<str>);

/// The name of an account: that of its authority, and of what it is bound to or else the address of its owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AccountName(Box<str>);

impl CertificateName {
    pub(super) fn of(acme: &Acme) -> Self {
        let hosts = acme.hosts.iter().map(|host| &**host);
        let hash = hash(std::iter::once(&*acme.directory).chain(hosts));
        let first: String = acme
            .hosts
            .first()
            .map_or("", |host| host)
            .chars()
            .take(HOST_MAX)
            .collect();
        Self(format!("{first}-{hash:016x}").into())
    }
}

impl AccountName {
    pub(super) fn of(acme: &Acme) -> Self {
        let owner = match (&acme.eab, &acme.email) {
            (Some(eab), _) => vec![&*eab.kid],
            // No id is empty.
            (None, Some(email)) => vec!["", email],
            (None, None) => Vec::new(),
        };
        let hash = hash(std::iter::once(&*acme.directory).chain(owner));
        Self(format!("{hash:016x}").into())
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A hash that is the same on every machine and in every version.
fn hash<'a>(parts: impl Iterator<Item = &'a str>) -> u64 {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(part.as_bytes());
        bytes.push(0);
    }
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use waypost_plan::acme::ExternalAccount;

    fn acme(directory: &str, hosts: &[&str]) -> Acme {
        Acme {
            email: None,
            directory: directory.into(),
            hosts: hosts.iter().map(|&host| host.into()).collect(),
            eab: None,
            ca: None,
        }
    }

    #[test]
    fn name_goes_by_the_authority_and_the_hosts_alone() {
        let one = acme("https://a/", &["a.test", "b.test"]);
        let name = CertificateName::of(&one);
        assert_eq!(name.to_string(), "a.test-ab93e773606f4f79");
        let renamed = Acme {
            email: Some("x@y".into()),
            ca: Some("ca.pem".into()),
            ..one
        };
        assert_eq!(CertificateName::of(&renamed), name);
        assert_ne!(
            CertificateName::of(&acme("https://b/", &["a.test", "b.test"])),
            name
        );
        assert_ne!(CertificateName::of(&acme("https://a/", &["a.test"])), name);
        assert_ne!(
            CertificateName::of(&acme("https://a/", &["ab"])),
            CertificateName::of(&acme("https://a/", &["a", "b"]))
        );
    }

    #[test]
    fn account_goes_by_the_authority_and_its_binding_or_its_owner() {
        let one = acme("https://a/", &["a.test"]);
        let bound = |kid: &str| Acme {
            eab: Some(ExternalAccount {
                kid: kid.into(),
                key_file: "k".into(),
            }),
            ..one.clone()
        };
        assert_eq!(
            AccountName::of(&one),
            AccountName::of(&acme("https://a/", &["b.test"]))
        );
        assert_ne!(AccountName::of(&one), AccountName::of(&bound("1")));
        assert_ne!(AccountName::of(&bound("2")), AccountName::of(&bound("1")));
        let owned = |acme: &Acme, email: &str| {
            AccountName::of(&Acme {
                email: Some(email.into()),
                ..acme.clone()
            })
        };
        assert_ne!(owned(&one, "x@y"), AccountName::of(&one));
        assert_ne!(owned(&one, "x@y"), owned(&one, "z@y"));
        assert_eq!(owned(&bound("1"), "x@y"), owned(&bound("1"), "z@y"));
    }
}
