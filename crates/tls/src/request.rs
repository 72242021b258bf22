//! Requests for certificates (PKCS #10, RFC 2986), which an authority answers.

use std::fmt;

use crate::generated::{self, GenerateError};
use crate::pem;

/// A request with the key that it is for.
#[derive(Clone, PartialEq, Eq)]
pub struct Requested {
    /// The request, as DER. It tells the key's public half.
    pub csr_der: Vec<u8>,
    /// The private key, as PEM.
    pub key_pem: String,
}

/// A request for a certificate that names `hosts`, signed with a new key.
///
/// # Errors
/// A host cannot stand in a certificate, or the system provides no randomness.
pub fn certificate_request(hosts: &[Box<str>]) -> Result<Requested, GenerateError> {
    let key = generated::key()?;
    let params = generated::params(hosts.iter().map(|host| &**host))?;
    let request = params.serialize_request(&key)?;
    Ok(Requested {
        csr_der: request.der().to_vec(),
        key_pem: pem::encode("PRIVATE KEY", key.serialized_der()),
    })
}

impl fmt::Debug for Requested {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Requested");
        shown.field("csr_der", &self.csr_der).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject as _;
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::extensions::{GeneralName, ParsedExtension};
    use x509_parser::prelude::FromDer as _;

    #[test]
    fn request_names_its_hosts_and_is_signed_by_its_key() {
        let requested = certificate_request(&["a.test".into(), "b.test".into()]).unwrap();
        let (rest, parsed) = X509CertificationRequest::from_der(&requested.csr_der).unwrap();
        assert!(rest.is_empty());
        let extensions: Vec<&ParsedExtension<'_>> = parsed.requested_extensions().unwrap().collect();
        let [ParsedExtension::SubjectAlternativeName(names)] = extensions[..] else {
            panic!("{extensions:?}")
        };
        let expected = ["a.test", "b.test"].map(GeneralName::DNSName);
        assert_eq!(names.general_names, expected);

        let info = &parsed.certification_request_info;
        assert_eq!(info.subject.to_string(), "", "the authority writes the subject");
        let public = &info.subject_pki.subject_public_key.data;
        let signature = &parsed.signature_value.data;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public)
            .verify(info.raw, signature)
            .unwrap();
        let key = PrivateKeyDer::from_pem_slice(requested.key_pem.as_bytes()).unwrap();
        let key = provider().key_provider.load_private_key(key).unwrap();
        assert_eq!(&*key.public_key().unwrap(), info.subject_pki.raw);
    }

    #[test]
    fn debug_output_has_no_key() {
        let requested = certificate_request(&["a.test".into()]).unwrap();
        let line = requested.key_pem.lines().nth(1).unwrap();
        let shown = format!("{requested:?}");
        assert!(shown.contains("csr_der"), "{shown}");
        assert!(!shown.contains(line) && !shown.contains("PRIVATE"), "{shown}");
    }
}
