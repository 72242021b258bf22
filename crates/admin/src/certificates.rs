//! The certificates that listeners serve.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waypost_plan::certificate_source::CertificateSource;
use waypost_plan::listener::ListenerTls;
use waypost_proxy::generation::Generation;

/// Days before the end of a certificate in files from which on it is to be renewed.
const ENDS_SOON_DAYS: i64 = 14;
const DAY: i64 = 24 * 60 * 60;

/// A certificate that a listener serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateView {
    /// The listener, by name or by the text of its `bind`.
    pub listener: String,
    /// The hosts and addresses that it is for.
    pub names: Vec<String>,
    /// The time from which on it is valid.
    #[schemars(with = "String")]
    pub not_before: Timestamp,
    /// The time of its end.
    #[schemars(with = "String")]
    pub not_after: Timestamp,
    /// Whole days until then; negative afterwards.
    pub days: i64,
    /// True if it should have been renewed by now.
    pub ends_soon: bool,
    /// True if it is self-signed. One of an authority is, until that has issued it.
    pub self_signed: bool,
    /// Its file, as in the config; absent for one that an authority issues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The directory of the authority that issues it, as in the config; absent for one in files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

impl CertificateView {
    /// True if it stands in for one that an authority has not issued yet.
    pub(crate) fn is_placeholder(&self) -> bool {
        self.directory.is_some() && self.self_signed
    }
}

/// The certificates of all listeners: those that are still to be issued in front, then the one that ends first.
pub(crate) fn of(generation: &Generation) -> Vec<CertificateView> {
    let now = Timestamp::now().as_second();
    let time = |seconds: i64| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    let mut views = Vec::new();
    for (listener, tls) in generation.certificates() {
        let (ListenerTls::Terminates(end), Some(tls)) = (&listener.tls, tls) else {
            continue;
        };
        let identities = end.certificates.iter().zip(tls.identities());
        views.extend(identities.map(|(source, identity)| {
            let left = identity.not_after() - now;
            let (file, directory) = match source {
                CertificateSource::Files(files) => (Some(files.cert.to_string()), None),
                CertificateSource::Acme(acme) => (None, Some(acme.directory.to_string())),
            };
            CertificateView {
                listener: listener.label().to_owned(),
                names: identity.names().iter().map(ToString::to_string).collect(),
                not_before: time(identity.not_before()),
                not_after: time(identity.not_after()),
                days: left.div_euclid(DAY),
                ends_soon: left < ends_soon(source, identity.not_after() - identity.not_before()),
                self_signed: identity.is_self_signed(),
                file,
                directory,
            }
        }));
    }
    views.sort_by_key(|view| (!view.is_placeholder(), view.not_after));
    views
}

/// The seconds before the end of a certificate, with a life of so many, from which on it should have been renewed.
fn ends_soon(source: &CertificateSource, life: i64) -> i64 {
    let soon = ENDS_SOON_DAYS * DAY;
    match source {
        CertificateSource::Files(_) => soon,
        // A third of its life is left when it is renewed, and authorities issue some for a few days only.
        CertificateSource::Acme(_) => soon.min(life / 6),
    }
}
