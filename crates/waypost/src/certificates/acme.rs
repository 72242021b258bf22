//! Certificates that authorities issue, as listeners serve them, and the reading of the files that their orders need.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use waypost_config::diagnostic::Code;
use waypost_config::files::{AcmeMention, Mention, TlsFiles};
use waypost_config::place::Place;
use waypost_plan::acme::Acme;
use waypost_tls::identity::Identity;
use waypost_tls::placeholder;

use super::acme_files::AcmeFiles;
use super::read::{Reading, unreadable};
use crate::acme::issued::IssuedPair;
use crate::source::shared::Shared;

/// Base64url, with or without padding: authorities show it both ways.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// The help where a fleet has no key that seals certificates.
const NO_SEAL: &str = "name the file of the key as `certificates_key` beside the endpoints of etcd, or by `--certificates-key`; \
                       `openssl rand -base64 32` makes one for all instances";
/// The help for the key of an external account that is refused.
const EAB_KEY: &str = "it has the key of the account as the authority gave it, in base64url";

/// The certificates that are served now, and the last good keys of external accounts.
#[derive(Default)]
pub(super) struct KnownAcme {
    issued: HashMap<Arc<Acme>, (Arc<IssuedPair>, Arc<Identity>)>,
    /// Self-signed certificates, by their hosts.
    placeholders: HashMap<Vec<Box<str>>, Arc<Identity>>,
    /// The certificates of the active plan of which it was told that a self-signed one is served in their place.
    told: HashSet<Arc<Acme>>,
    /// By file.
    eab_keys: HashMap<Box<str>, Arc<[u8]>>,
}

impl KnownAcme {
    /// Forgets the certificates that a plan does not want which wants these.
    pub(super) fn retain(&mut self, wanted: &[(Arc<Acme>, AcmeFiles)]) {
        let known: HashSet<&Acme> = wanted.iter().map(|(acme, _)| &**acme).collect();
        self.issued.retain(|acme, _| known.contains(&**acme));
        let hosts: HashSet<&[Box<str>]> = wanted.iter().map(|(acme, _)| &*acme.hosts).collect();
        self.placeholders.retain(|names, _| hosts.contains(&**names));
    }

    /// Of the certificates that are `wanted`, those that a self-signed one is served in place of, unless told already.
    pub(super) fn tell_placeholders(&mut self, wanted: &[(Arc<Acme>, AcmeFiles)]) -> Vec<Arc<Acme>> {
        let wanted = wanted.iter().map(|(acme, _)| acme);
        let now: HashSet<Arc<Acme>> = wanted
            .filter(|acme| !self.issued.contains_key(*acme))
            .cloned()
            .collect();
        let before = std::mem::replace(&mut self.told, now);
        let mut new: Vec<Arc<Acme>> = self.told.difference(&before).cloned().collect();
        new.sort();
        new
    }
}

impl Reading<'_> {
    /// The certificate that was issued, or else a self-signed one.
    pub(super) fn acme(&mut self, acme: &Arc<Acme>, named: &TlsFiles) -> Option<Arc<Identity>> {
        self.certificates_key(acme, named);
        if let Some(files) = self.acme_files(acme, named) {
            self.watch.add_acme(acme, files);
        }
        match self.issued(acme) {
            Some(identity) => Some(identity),
            None => self.placeholder(acme, named),
        }
    }

    /// Refuses to order without the key that a fleet seals certificates with.
    fn certificates_key(&mut self, acme: &Acme, named: &TlsFiles) {
        let has_key = |shared: &Shared| shared.fleet().has_seal();
        if self.source.shared().is_none_or(has_key) {
            return;
        }
        let hosts = acme.hosts.join("`, `");
        let message = format!(
            "certificates such as that for `{hosts}` lie in etcd, sealed with a key that this instance does not have"
        );
        let places = named.acme.iter().map(|mention| mention.place.clone());
        let places = self.or_anywhere(places.collect());
        self.fail(places, Code::BadKeyFile, &message, NO_SEAL);
    }

    /// Reads files without making a TLS configuration of them.
    pub(super) fn check_acme_alone(&mut self, named: &TlsFiles) {
        for mention in &named.acme {
            if let Some(ca) = &mention.ca {
                self.authority(&ca.path, vec![ca.place.clone()]);
            }
            if let Some(key) = &mention.eab_key {
                self.eab_key(&key.path, vec![key.place.clone()]);
            }
        }
    }

    /// The certificate that was issued: the present one, or else the last good one.
    fn issued(&mut self, acme: &Arc<Acme>) -> Option<Arc<Identity>> {
        let known = self.certificates.acme.issued.get(acme);
        let Some(pair) = self.certificates.issued.get(acme) else {
            return known.map(|(_, identity)| Arc::clone(identity));
        };
        if let Some((known, identity)) = known
            && *known == pair
        {
            return Some(Arc::clone(identity));
        }
        match Identity::from_pem(&pair.chain, &pair.key) {
            Ok(identity) => {
                self.renewed = Some("a certificate that was issued is in force");
                let identity = Arc::new(identity);
                let known = (pair, Arc::clone(&identity));
                self.certificates.acme.issued.insert(Arc::clone(acme), known);
                Some(identity)
            }
            Err(error) => {
                let identity = known.map(|(_, identity)| Arc::clone(identity));
                let hosts = acme.hosts.join("`, `");
                self.watch.add_stale(format!(
                    "the certificate that was issued for `{hosts}` cannot be used: {error}"
                ));
                identity
            }
        }
    }

    /// A self-signed certificate for the hosts, the same one as long as they stay.
    fn placeholder(&mut self, acme: &Acme, named: &TlsFiles) -> Option<Arc<Identity>> {
        if let Some(known) = self.certificates.acme.placeholders.get(&acme.hosts) {
            return Some(Arc::clone(known));
        }
        match placeholder::identity(&acme.hosts) {
            Ok(identity) => {
                let identity = Arc::new(identity);
                let known = (acme.hosts.clone(), Arc::clone(&identity));
                self.certificates.acme.placeholders.extend([known]);
                Some(identity)
            }
            Err(error) => {
                let places = named.acme.iter().map(|mention| mention.place.clone());
                let places = self.or_anywhere(places.collect());
                let message = format!("a self-signed certificate for the hosts cannot be made: {error}");
                let wanted = "a certificate names hosts such as `api.example.com`";
                self.fail(places, Code::BadCertificate, &message, wanted);
                None
            }
        }
    }

    /// Reads the files that orders need; `None` if one is refused.
    fn acme_files(&mut self, acme: &Acme, named: &TlsFiles) -> Option<AcmeFiles> {
        let ca = acme.ca.as_deref().map(|path| {
            let places = self.places_in_acme(path, named, |mention| mention.ca.as_ref());
            self.authority(path, places)
        });
        let eab_key = acme.eab.as_ref().map(|eab| {
            let places = self.places_in_acme(&eab.key_file, named, |mention| mention.eab_key.as_ref());
            self.eab_key(&eab.key_file, places)
        });
        // Both are read, so that a mistake in one does not hide one in the other.
        Some(AcmeFiles {
            ca: match ca {
                Some(read) => Some(read?),
                None => None,
            },
            eab_key: match eab_key {
                Some(read) => Some(read?),
                None => None,
            },
        })
    }

    /// The key of an external account: the present one of the file, or else the last good one.
    fn eab_key(&mut self, path: &str, places: Vec<Place>) -> Option<Arc<[u8]>> {
        let read = match self.file(path) {
            Ok(text) => match BASE64URL.decode(text.trim_ascii()) {
                Ok(key) if !key.is_empty() => Ok(key),
                _ => Err((
                    Code::BadKeyFile,
                    format!("`{path}`: it is not a key in base64url"),
                )),
            },
            Err(error) => Err((Code::UnreadableFile, unreadable(path, &error))),
        };
        let known = self.certificates.acme.eab_keys.get(path).cloned();
        match (read, known) {
            (Ok(key), Some(known)) if *known == *key => Some(known),
            (Ok(key), _) => {
                self.renewed = Some("the key of an account was read again");
                let key: Arc<[u8]> = key.into();
                let known = (path.into(), Arc::clone(&key));
                self.certificates.acme.eab_keys.extend([known]);
                Some(key)
            }
            (Err((_, message)), Some(known)) => {
                self.watch.add_stale(message);
                Some(known)
            }
            (Err((code, message)), None) => {
                self.fail(places, code, &message, EAB_KEY);
                None
            }
        }
    }

    /// The places where a listener names a file for its orders.
    fn places_in_acme(
        &self,
        path: &str,
        named: &TlsFiles,
        file: impl Fn(&AcmeMention) -> Option<&Mention>,
    ) -> Vec<Place> {
        let mentions = named.acme.iter().filter_map(file);
        let mentions = mentions.filter(|mention| *mention.path == *path);
        self.or_anywhere(mentions.map(|mention| mention.place.clone()).collect())
    }
}

// Keys stay out of logs.
impl fmt::Debug for KnownAcme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownAcme").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Certificates;
    use super::*;
    use crate::acme::issued::Issued;
    use crate::source::Source;
    use crate::texts::Texts;
    use rcgen::{CertificateParams, DnType, Issuer, KeyPair};
    use waypost_config::Kind;
    use waypost_plan::Plan;
    use waypost_plan::acme::ExternalAccount;
    use waypost_plan::builder::PlanBuilder;
    use waypost_plan::certificate_source::CertificateSource;
    use waypost_plan::listener::{Bind, Listener, ListenerTls, TlsTermination};

    fn acme(hosts: &[&str]) -> Acme {
        Acme {
            email: None,
            directory: "https://ca.test/".into(),
            hosts: hosts.iter().map(|host| (*host).into()).collect(),
            eab: None,
            ca: None,
        }
    }

    /// A plan with a listener that serves these certificates.
    fn plan(certificates: impl IntoIterator<Item = Acme>) -> Plan {
        let mut listener = Listener::new(Bind::tcp(([127, 0, 0, 1], 0).into()));
        let certificates = certificates.into_iter().map(Arc::new);
        listener.tls = ListenerTls::Terminates(TlsTermination {
            certificates: certificates.map(CertificateSource::Acme).collect(),
            client_auth: None,
        });
        let mut builder = PlanBuilder::default();
        builder.add_listener(listener).unwrap();
        builder.build().unwrap()
    }

    fn issued(host: &str) -> IssuedPair {
        let (authority, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut of_authority = CertificateParams::default();
        of_authority
            .distinguished_name
            .push(DnType::CommonName, "an authority");
        let issuer = Issuer::new(of_authority, authority);
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        IssuedPair {
            chain: certificate.pem().into(),
            key: key.serialize_pem().into(),
        }
    }

    /// Certificates, with the directory of their files.
    struct World {
        certificates: Certificates,
        issued: Issued,
        directory: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let certificates = Certificates::default();
            Self {
                issued: certificates.issued().clone(),
                certificates,
                directory: tempfile::tempdir().unwrap(),
            }
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.directory.path().join(name), text).unwrap();
        }

        /// Brings a plan into force; returns the listener's certificates, or what is wrong.
        fn read(&mut self, plan: &Plan) -> Result<Vec<Arc<Identity>>, Vec<String>> {
            let texts = Texts {
                sources: Vec::new(),
                kind: Kind::File,
                local: None,
            };
            let source = Source::at(&self.directory.path().join("waypost.yaml"));
            let read = self.certificates.renew(plan, &texts, &source);
            if !read.diagnostics.is_empty() {
                let found = read.diagnostics.into_iter();
                return Err(found
                    .map(|found| format!("{} {}", found.code, found.message))
                    .collect());
            }
            self.certificates.watch(read.watch);
            let [Some(tls)] = &*read.materials.listeners else {
                panic!("a listener with TLS");
            };
            Ok(tls.identities().to_vec())
        }

        fn told(&mut self) -> Vec<Vec<Box<str>>> {
            let told = self.certificates.tell_placeholders();
            told.iter().map(|acme| acme.hosts.clone()).collect()
        }
    }

    #[test]
    fn self_signed_certificate_is_served_until_one_is_issued() {
        let mut world = World::new();
        let wanted = acme(&["a.test", "b.test"]);
        let plan = plan([wanted.clone()]);
        let first = world.read(&plan).unwrap();
        assert!(first[0].is_self_signed() && first[0].serves("a.test") && first[0].serves("b.test"));
        assert!(world.certificates.are_watched());
        assert_eq!(world.told(), std::slice::from_ref(&wanted.hosts));
        // It stays the same.
        let again = world.read(&plan).unwrap();
        assert!(Arc::ptr_eq(&first[0], &again[0]));
        assert!(!world.certificates.poll());
        assert!(world.told().is_empty(), "once is enough");

        world
            .issued
            .set(&wanted.directory, &wanted.hosts, issued("a.test"));
        assert!(world.certificates.poll());
        let now = world.read(&plan).unwrap();
        assert!(!now[0].is_self_signed());
        assert!(!world.certificates.poll());
        assert!(Arc::ptr_eq(&now[0], &world.read(&plan).unwrap()[0]));

        // One that cannot be used changes nothing.
        let broken = IssuedPair {
            key: issued("a.test").key,
            ..issued("a.test")
        };
        world.issued.set(&wanted.directory, &wanted.hosts, broken);
        assert!(world.certificates.poll());
        assert!(Arc::ptr_eq(&now[0], &world.read(&plan).unwrap()[0]));
        let stale = world.certificates.stale();
        assert!(
            stale[0].starts_with("the certificate that was issued for `a.test`, `b.test` cannot be used:")
        );
        world
            .issued
            .set(&wanted.directory, &wanted.hosts, issued("a.test"));
        assert!(!Arc::ptr_eq(&now[0], &world.read(&plan).unwrap()[0]));
        assert!(world.certificates.stale().is_empty());
        assert!(world.told().is_empty());
    }

    #[test]
    fn self_signed_certificate_stays_as_long_as_its_hosts() {
        let mut world = World::new();
        let [a, b] = [acme(&["a.test"]), acme(&["b.test"])];
        let both = world.read(&plan([a.clone(), b.clone()])).unwrap();
        let moved = Acme {
            directory: "https://other.test/".into(),
            ..a.clone()
        };
        let one = world.read(&plan([moved])).unwrap();
        assert!(Arc::ptr_eq(&both[0], &one[0]));
        let again = world.read(&plan([a, b])).unwrap();
        assert!(Arc::ptr_eq(&both[0], &again[0]));
        assert!(!Arc::ptr_eq(&both[1], &again[1]), "it was not wanted meanwhile");
    }

    #[test]
    fn files_for_orders_are_read_with_the_config() {
        let mut world = World::new();
        let wanted = Acme {
            eab: Some(ExternalAccount {
                kid: "1".into(),
                key_file: "eab.key".into(),
            }),
            ca: Some("ca.pem".into()),
            ..acme(&["a.test"])
        };
        let plan = plan([wanted.clone()]);
        let refused = world.read(&plan).unwrap_err();
        assert_eq!(refused.len(), 2, "{refused:?}");
        assert!(refused[0].starts_with("unreadable-file cannot read `ca.pem`"));
        assert!(refused[1].starts_with("unreadable-file cannot read `eab.key`"));
        for wrong in ["", " \n", "a+/b", "aGk\naGk"] {
            world.write("eab.key", wrong);
            let refused = world.read(&plan).unwrap_err();
            assert_eq!(refused[1], "bad-key-file `eab.key`: it is not a key in base64url");
        }
        let ca = String::from_utf8(issued("ca.test").chain).unwrap();
        world.write("ca.pem", &ca);
        for key in ["_-8=\n", "_-8"] {
            world.write("eab.key", key);
            world.read(&plan).unwrap();
            let [(acme, files)] = world.certificates.acme() else {
                panic!("one is wanted");
            };
            assert_eq!(**acme, wanted);
            assert_eq!(files.eab_key.as_deref(), Some(&[0xff, 0xef][..]));
            assert_eq!(files.ca.as_deref(), Some(ca.as_bytes()));
        }
        world.write("eab.key", "?");
        world.read(&plan).unwrap();
        assert_eq!(
            world.certificates.stale(),
            ["`eab.key`: it is not a key in base64url"]
        );
        assert!(
            world.certificates.acme()[0].1.eab_key.is_some(),
            "the last good one"
        );
    }
}
