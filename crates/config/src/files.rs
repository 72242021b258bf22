//! Files that a configuration names: certificates, keys, trusted authorities, error pages and credentials, with the place of each mention.

use crate::place::Place;

/// All files that are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFiles<P = Place> {
    /// Parallel to the listeners of the plan.
    pub listeners: Vec<TlsFiles<P>>,
    /// Parallel to the services of the plan.
    pub services: Vec<TlsFiles<P>>,
    /// Files of listeners and services that are refused.
    pub refused: Vec<TlsFiles<P>>,
    /// Files of error pages.
    pub pages: Vec<Mention<P>>,
    /// Files by which clients are known.
    pub auth: Vec<Mention<P>>,
}

/// The files of one listener or service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles<P = Place> {
    /// Certificates with their keys.
    pub certificates: Vec<CertificateMention<P>>,
    /// Certificates that authorities issue.
    pub acme: Vec<AcmeMention<P>>,
    /// Trusted authorities.
    pub ca: Option<Mention<P>>,
}

/// A certificate with its key. One that is missing or invalid is `None`, and reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateMention<P = Place> {
    /// The certificate.
    pub cert: Option<Mention<P>>,
    /// The key.
    pub key: Option<Mention<P>>,
}

/// A certificate that an authority issues, with the files that its orders need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeMention<P = Place> {
    /// The place of its `acme`.
    pub place: P,
    /// The key of the external account.
    pub eab_key: Option<Mention<P>>,
    /// The authorities that are trusted to have signed the certificate of its directory.
    pub ca: Option<Mention<P>>,
}

/// A file by its path as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention<P = Place> {
    /// The path.
    pub path: Box<str>,
    /// The place of the path.
    pub place: P,
}

// Derived, it would ask for a default of `P`.
impl<P> Default for NamedFiles<P> {
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            services: Vec::new(),
            refused: Vec::new(),
            pages: Vec::new(),
            auth: Vec::new(),
        }
    }
}

impl<P> Default for TlsFiles<P> {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            acme: Vec::new(),
            ca: None,
        }
    }
}

impl<P> NamedFiles<P> {
    /// Returns the same files with other places.
    pub(crate) fn placed<Q>(self, place: impl Fn(P) -> Q) -> NamedFiles<Q> {
        let all = |all: Vec<TlsFiles<P>>| all.into_iter().map(|files| files.placed(&place)).collect();
        let mentions = |all: Vec<Mention<P>>| all.into_iter().map(|file| file.placed(&place)).collect();
        NamedFiles {
            listeners: all(self.listeners),
            services: all(self.services),
            refused: all(self.refused),
            pages: mentions(self.pages),
            auth: mentions(self.auth),
        }
    }
}

impl<P> TlsFiles<P> {
    /// Returns the same files with other places.
    pub(crate) fn placed<Q>(self, place: &impl Fn(P) -> Q) -> TlsFiles<Q> {
        let certificate = |certificate: CertificateMention<P>| CertificateMention {
            cert: certificate.cert.map(|file| file.placed(place)),
            key: certificate.key.map(|file| file.placed(place)),
        };
        let acme = |acme: AcmeMention<P>| AcmeMention {
            place: place(acme.place),
            eab_key: acme.eab_key.map(|file| file.placed(place)),
            ca: acme.ca.map(|file| file.placed(place)),
        };
        TlsFiles {
            certificates: self.certificates.into_iter().map(certificate).collect(),
            acme: self.acme.into_iter().map(acme).collect(),
            ca: self.ca.map(|file| file.placed(place)),
        }
    }
}

impl<P> Mention<P> {
    /// Returns the same file with another place.
    pub(crate) fn placed<Q>(self, place: &impl Fn(P) -> Q) -> Mention<Q> {
        Mention {
            path: self.path,
            place: place(self.place),
        }
    }
}
