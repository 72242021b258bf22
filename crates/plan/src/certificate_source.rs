//! The places that a listener's certificates come from.

use std::sync::Arc;

use crate::acme::Acme;
use crate::certificate_files::CertificateFiles;

/// The place that a certificate with its key comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CertificateSource {
    /// Two files.
    Files(CertificateFiles),
    /// An authority.
    Acme(Arc<Acme>),
}

impl CertificateSource {
    /// The certificate that an authority issues, if it is such.
    pub fn acme(&self) -> Option<&Arc<Acme>> {
        match self {
            Self::Files(_) => None,
            Self::Acme(acme) => Some(acme),
        }
    }

    /// The text that people know it by, among those of a listener: the file of the certificate, or the first of the hosts.
    pub fn label(&self) -> &str {
        match self {
            Self::Files(files) => &files.cert,
            Self::Acme(acme) => acme.hosts.first().map_or("", |host| host),
        }
    }
}
