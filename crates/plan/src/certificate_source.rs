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
