//! Identities for tests.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};

use crate::identity::Identity;

/// A self-signed certificate for these names, with a new key of this kind.
pub(crate) fn identity(names: &[&str], kind: &'static SignatureAlgorithm) -> Arc<Identity> {
    let key = KeyPair::generate_for(kind).unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let (certificate, key) = (certificate.pem(), key.serialize_pem());
    Arc::new(Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap())
}
