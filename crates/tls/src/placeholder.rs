//! Certificates that the gateway serves until an authority has issued one.

use rcgen::{DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose, date_time_ymd};

use crate::generated::{self, GenerateError};
use crate::identity::{Identity, IdentityError};
use crate::pem;

/// The common name in its subject: it tells those who look at a certificate that nothing has gone wrong yet.
const COMMON_NAME: &str = "self-signed until a certificate is issued";

/// A placeholder that could not be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlaceholderError {
    /// Key or certificate could not be made.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// The certificate cannot be served.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// A self-signed certificate for these hosts, with a new key. It has no end of its own.
///
/// # Errors
/// A host cannot stand in a certificate, or the system provides no randomness.
pub fn identity(hosts: &[Box<str>]) -> Result<Identity, PlaceholderError> {
    let key = generated::key()?;
    let mut params = generated::params(hosts.iter().map(|host| &**host))?;
    let subject = &mut params.distinguished_name;
    subject.push(DnType::OrganizationName, "Waypost");
    subject.push(DnType::CommonName, COMMON_NAME);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // No well-defined end (RFC 5280 §4.1.2.5), and good whatever the clock says.
    params.not_before = date_time_ymd(1970, 1, 1);
    params.not_after = date_time_ymd(9999, 12, 31);
    let certificate = params.self_signed(&key).map_err(GenerateError::Crypto)?;
    let certificate = pem::encode("CERTIFICATE", certificate.der());
    let key = pem::encode("PRIVATE KEY", key.serialized_der());
    Ok(Identity::from_pem(certificate.as_bytes(), key.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::certificate::X509Certificate;
    use x509_parser::prelude::FromDer as _;

    fn identity_for(hosts: &[&str]) -> Result<Identity, PlaceholderError> {
        let hosts: Vec<Box<str>> = hosts.iter().map(|host| (*host).into()).collect();
        identity(&hosts)
    }

    #[test]
    fn placeholder_serves_its_hosts_alone() {
        let identity = identity_for(&["a.test", "b.a.test"]).unwrap();
        let serves = ["a.test", "b.a.test", "c.a.test", "test"].map(|host| identity.serves(host));
        assert_eq!(serves, [true, true, false, false]);
        assert!(identity.has_alternative_names());
        assert!(!identity.is_rsa());
        assert!(identity.not_before() <= 0);
        // The year 9000.
        assert!(identity.not_after() > 221_845_392_000);
    }

    #[test]
    fn placeholder_says_what_it_is() {
        let identity = identity_for(&["a.test"]).unwrap();
        let (_, parsed) = X509Certificate::from_der(&identity.key().cert[0]).unwrap();
        let subject = "O=Waypost, CN=self-signed until a certificate is issued";
        assert_eq!(parsed.subject().to_string(), subject);
        assert_eq!(parsed.issuer(), parsed.subject());
        assert!(!parsed.is_ca());
    }

    #[test]
    fn each_placeholder_has_a_key_of_its_own() {
        let keys = [(); 2].map(|()| identity_for(&["a.test"]).unwrap());
        let [one, other] = keys.map(|identity| identity.key().key.public_key().unwrap().to_vec());
        assert_ne!(one, other);
    }

    #[test]
    fn host_that_no_certificate_can_name_is_refused() {
        let error = identity_for(&["a.test", "ä.test"]).unwrap_err();
        let host = "ä.test".into();
        assert_eq!(error, PlaceholderError::Generate(GenerateError::Host { host }));
    }
}
