//! Certificates of listeners that an authority issues.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use waypost_plan::acme::{Acme, DirectoryError, ExternalAccount, OrderedHostError};
use waypost_route::host::HostPattern;

use crate::diagnostic::Code;
use crate::document::listener::{Acme as Written, ExternalAccount as WrittenAccount, Listener};
use crate::files::{AcmeMention, Mention, TlsFiles};
use crate::keys::{At, Given};
use crate::lower::{host, settings};
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::suggest::correction::plain;
use crate::values::Text;

/// Directories of authorities, by the words that people call them.
const KNOWN: [(&[&str], &str); 4] = [
    (&["letsencrypt", "le", "production"], Acme::LETS_ENCRYPT),
    (
        &["staging", "letsencryptstaging", "lestaging", "test"],
        "https://acme-staging-v02.api.letsencrypt.org/directory",
    ),
    (&["zerossl"], "https://acme.zerossl.com/v2/DV90"),
    (
        &["google", "googletrustservices", "gts"],
        "https://dv.acme-v02.api.pki.goog/directory",
    ),
];

/// The certificates of one listener that an authority issues.
#[derive(Debug)]
pub(super) struct Ordered {
    served: Served,
    /// The certificate that each host is in, by its number, and the place there.
    hosts: HashMap<Box<str>, (usize, Span)>,
    count: usize,
}

/// The hosts that a listener serves; those that are invalid are left out.
#[derive(Debug)]
struct Served(HashSet<HostPattern>);

/// The certificates of all listeners that authorities issue.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Certificates that are wanted; equal ones are one.
    certificates: HashMap<CertificateKey, (Arc<Acme>, Span)>,
    /// The addresses of accounts that authorities know from elsewhere.
    emails: HashMap<AccountKey, Email>,
}

/// The directory and the hosts of a certificate.
type CertificateKey = (Box<str>, Vec<Box<str>>);

/// The directory of an authority, and the id of an account there.
type AccountKey = (Box<str>, Box<str>);

/// The address of an account, and the place that says so first.
type Email = (Option<Box<str>>, Span);

impl Shared {
    /// The certificate that `acme`, which stands at `place`, is; `None` if another listener says something else of it, which
    /// is reported.
    pub(super) fn share(&mut self, acme: Acme, place: Span, problems: &mut Problems) -> Option<Arc<Acme>> {
        let acme = Arc::new(acme);
        let key = (acme.directory.clone(), acme.hosts.clone());
        let (known, first) = self
            .certificates
            .entry(key)
            .or_insert_with(|| (Arc::clone(&acme), place));
        if *known == acme {
            let known = Arc::clone(known);
            return self.share_account(&known, place, problems).then_some(known);
        }
        let mut differ = Vec::new();
        for (name, differs) in [
            ("email", known.email != acme.email),
            ("eab", known.eab != acme.eab),
            ("ca", known.ca != acme.ca),
        ] {
            if differs {
                differ.push(format!("`{name}`"));
            }
        }
        problems
            .add(
                Code::ConflictingKeys,
                place,
                format!(
                    "a certificate for the same hosts is ordered from the same authority, with another {}",
                    differ.join(" and ")
                ),
            )
            .label(*first, "the other one")
            .help("write the same here, and the listeners share the certificate");
        None
    }

    /// Notes the account of `acme`; returns false if another listener says something else of it, which is reported.
    fn share_account(&mut self, acme: &Acme, place: Span, problems: &mut Problems) -> bool {
        let Some(eab) = &acme.eab else {
            // Each address has its own account.
            return true;
        };
        let key = (acme.directory.clone(), eab.kid.clone());
        let known = self.emails.entry(key);
        let (email, first) = known.or_insert_with(|| (acme.email.clone(), place));
        if *email == acme.email {
            return true;
        }
        problems
            .add(
                Code::ConflictingKeys,
                place,
                format!(
                    "the account with the `kid` {} at the same authority has another `email`",
                    quote(&eab.kid)
                ),
            )
            .label(*first, "the other one")
            .help("write the same here: an account that the authority knows from elsewhere has one address");
        false
    }
}

impl Ordered {
    /// No certificate of `listener` yet.
    pub(super) fn of(listener: &Listener) -> Self {
        Self {
            served: Served::by(listener),
            hosts: HashMap::new(),
            count: 0,
        }
    }

    /// Lowers a certificate of `listener`, and adds its files to `files`; `None` if it is invalid, which is reported.
    pub(super) fn add(
        &mut self,
        written: &At<Written>,
        listener: &Listener,
        files: &mut TlsFiles<Span>,
        problems: &mut Problems,
    ) -> Option<Acme> {
        let given = &written.value;
        let ca = given.ca.as_deref().map(|ca| mention(ca, problems));
        let eab = given
            .eab
            .as_ref()
            .map(|account| self::account(&account.value, problems));
        files.acme.push(AcmeMention {
            place: written.key,
            eab_key: eab.as_ref().and_then(|(_, key)| key.clone()),
            ca: ca.clone().flatten(),
        });
        let email = given.email.as_deref().map(|email| self::email(email, problems));
        let directory = match &given.directory {
            Some(directory) => self::directory(directory, problems),
            None => Some(Acme::LETS_ENCRYPT.into()),
        };
        let hosts = self.hosts(written, listener, problems);
        Some(Acme {
            email: match email {
                Some(email) => Some(email?),
                None => None,
            },
            directory: directory?,
            hosts: hosts?,
            eab: match eab {
                Some((kid, key)) => Some(ExternalAccount {
                    kid: kid?,
                    key_file: key?.path,
                }),
                None => None,
            },
            ca: match ca {
                Some(ca) => Some(ca?.path),
                None => None,
            },
        })
    }

    /// The hosts of a certificate: its own, or else those of the listener.
    fn hosts(
        &mut self,
        written: &At<Written>,
        listener: &Listener,
        problems: &mut Problems,
    ) -> Option<Vec<Box<str>>> {
        let own = written.value.hosts.as_ref();
        let Some(list) = own.or(listener.hosts.as_ref()) else {
            // Hosts that could not be read are reported already.
            let names_hosts = |given: &Given| given.keys().any(|key| key == "hosts");
            if !names_hosts(&written.value.given) && !names_hosts(&listener.given) {
                problems
                    .add(
                        Code::MissingKey,
                        written.key,
                        "there are no hosts to order a certificate for",
                    )
                    .help("add `hosts: [api.example.com]` here, or to the listener");
            }
            return None;
        };
        let is_own = own.is_some();
        self.count += 1;
        if list.value.0.len() > Acme::HOSTS_MAX {
            let message = format!(
                "{} hosts are too many for one certificate: {} are possible",
                list.value.0.len(),
                Acme::HOSTS_MAX
            );
            let place = if is_own { list.span } else { written.key };
            problems
                .add(Code::OutOfRange, place, message)
                .help("order several certificates, each with some of the hosts as its `hosts`");
            return None;
        }
        let mut hosts: Vec<Box<str>> = Vec::new();
        let mut is_valid = true;
        for host in &list.value.0 {
            let pattern = match is_own {
                true => host::pattern(host, problems),
                // An invalid host of a listener is reported with the listener.
                false => HostPattern::parse(&host.value).ok(),
            };
            let Some(pattern) = pattern else {
                is_valid = false;
                continue;
            };
            let name = match Acme::ordered_host(&pattern) {
                Ok(name) => name,
                Err(error) => {
                    report_host(host, error, written, is_own, problems);
                    is_valid = false;
                    continue;
                }
            };
            let place = if is_own { host.span } else { written.key };
            if is_own && !self.served.has(name) {
                problems
                    .add(
                        Code::CertificateNames,
                        place,
                        format!("the listener's `hosts` turn {} away", quote(name)),
                    )
                    .help("add it to the `hosts` of the listener, or leave it out here");
            }
            match self.hosts.get(name) {
                None => {
                    self.hosts.insert(name.into(), (self.count, place));
                    hosts.push(name.into());
                }
                Some((number, _)) if *number == self.count => {}
                Some((_, first)) => {
                    problems
                        .add(
                            Code::DuplicateName,
                            place,
                            format!("a certificate for {} is ordered already", quote(name)),
                        )
                        .label(*first, "first here")
                        .help("let each of the `hosts` be in one certificate");
                    is_valid = false;
                }
            }
        }
        hosts.sort_unstable();
        is_valid.then_some(hosts)
    }
}

impl Served {
    fn by(listener: &Listener) -> Self {
        let hosts = listener.hosts.iter().flat_map(|hosts| &hosts.value.0);
        let hosts = hosts.filter_map(|host| HostPattern::parse(&host.value).ok());
        Self(hosts.collect())
    }

    /// Returns true if requests for `name`, in lower case, are served.
    fn has(&self, name: &str) -> bool {
        let dots = name.match_indices('.');
        let wildcards = dots.map(|(at, _)| HostPattern::Wildcard(name[at..].into()));
        let exact = std::iter::once(HostPattern::Exact(name.into()));
        self.0.is_empty() || exact.chain(wildcards).any(|pattern| self.0.contains(&pattern))
    }
}

/// Reports a host that no certificate can be ordered for.
fn report_host(
    host: &At<Text>,
    error: OrderedHostError,
    written: &At<Written>,
    is_own: bool,
    problems: &mut Problems,
) {
    let place = if is_own { host.span } else { written.key };
    let message = format!(
        "no certificate can be ordered for {}: {error}",
        quote(&host.value)
    );
    let help = match (error, is_own) {
        (OrderedHostError::Wildcard, true) => {
            "name each host; or let a client that writes to the DNS, such as certbot, renew the files of a \
             `{ cert: wild.crt, key: wild.key }`"
        }
        (OrderedHostError::Wildcard, false) => {
            "name hosts as `acme: { hosts: [api.example.com] }`; or let a client that writes to the DNS, such as certbot, \
             renew the files of a `{ cert: wild.crt, key: wild.key }`"
        }
        (OrderedHostError::Address, true) => "write names, or use files: `{ cert: api.crt, key: api.key }`",
        (_, true) => "write a name such as `api.example.com`",
        (_, false) => "name the hosts for the certificate as `acme: { hosts: [api.example.com] }`",
    };
    let problem = problems.add(Code::BadHost, place, message).help(help);
    if !is_own {
        problem.label(host.span, "a host of the listener");
    }
}

fn email(written: &At<Text>, problems: &mut Problems) -> Option<Box<str>> {
    let text = &*written.value;
    let is_plain = |part: &str| {
        let is_odd = |byte: u8| !byte.is_ascii_graphic() || b",;:?<>\"()@".contains(&byte);
        !part.is_empty() && !part.bytes().any(is_odd)
    };
    let is_address = |text: &str| {
        text.split_once('@')
            .is_some_and(|(name, domain)| is_plain(name) && is_plain(domain))
    };
    if is_address(text) {
        return Some(text.into());
    }
    let meant = text.strip_prefix("mailto:").filter(|rest| is_address(rest));
    let help = match meant {
        Some(meant) => format!("write `{meant}`"),
        None => "write one address such as `ops@example.com`, or leave it out".to_owned(),
    };
    problems
        .add(
            Code::BadValue,
            written.span,
            format!("{} is not the address of a mailbox", quote(text)),
        )
        .help(help)
        .propose_if(written.span, text, meant.map(|meant| plain(meant).into_owned()));
    None
}

fn directory(written: &At<Text>, problems: &mut Problems) -> Option<Box<str>> {
    let text = &*written.value;
    let error = match Acme::check_directory(text) {
        Ok(()) => return Some(text.into()),
        Err(error) => error,
    };
    let word: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    let word = word.to_ascii_lowercase();
    let known = KNOWN.iter().find(|(words, _)| words.contains(&&*word));
    let meant = match (known, error) {
        (Some((_, url)), _) => Some((*url).to_owned()),
        (None, DirectoryError::Scheme) => {
            let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
            Some(format!("https://{rest}"))
                .filter(|url| rest.contains('/') && Acme::check_directory(url).is_ok())
        }
        _ => None,
    };
    let help = match (&meant, error) {
        (Some(url), _) if url == Acme::LETS_ENCRYPT => format!("leave it out, or write `{url}`"),
        (Some(url), _) if text.starts_with("http://") => {
            format!(
                "write `{url}`; `ca` names the authorities that sign its certificate, if the platform trusts none"
            )
        }
        (Some(url), _) => format!("write `{url}`"),
        (None, DirectoryError::User) => {
            "an account that the authority knows already is `eab: { kid: …, key_file: … }`".to_owned()
        }
        _ => format!(
            "write the URL that the authority gives for ACME, such as `{}`",
            Acme::LETS_ENCRYPT
        ),
    };
    problems
        .add(
            Code::BadValue,
            written.span,
            format!("{} is not the directory of an authority: {error}", quote(text)),
        )
        .help(help)
        .propose_if(written.span, text, meant.map(|meant| plain(&meant).into_owned()));
    None
}

/// The id of an external account, and the file of its key.
fn account(written: &WrittenAccount, problems: &mut Problems) -> (Option<Box<str>>, Option<Mention<Span>>) {
    let kid = written.kid.as_deref().and_then(|kid| {
        let text = &*kid.value;
        if text.is_empty() || text.contains(char::is_control) {
            problems
                .add(
                    Code::BadValue,
                    kid.span,
                    format!("{} is not the id of an account", quote(text)),
                )
                .help("write the key id that the authority gave");
            return None;
        }
        Some(text.into())
    });
    let key = written.key_file.as_deref().and_then(|key| mention(key, problems));
    (kid, key)
}

/// Lowers the path of a file.
fn mention(written: &At<Text>, problems: &mut Problems) -> Option<Mention<Span>> {
    Some(Mention {
        path: settings::path_of(written, problems)?,
        place: written.span,
    })
}
