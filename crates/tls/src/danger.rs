//! Verification of server certificates beyond the Web PKI.
//!
//! rustls accepts these verifiers only through [`ClientConfig::dangerous`](rustls::ClientConfig::dangerous): a mistake
//! here would let another server impersonate a service.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

/// Accepts certificates issued by trusted authorities, and the trusted certificates themselves.
///
/// The Web PKI refuses an end-entity certificate that is a CA, as self-signed ones usually are, or whose issuer is not
/// trusted. If the operator lists exactly that certificate, it is accepted while it is valid and has the right name.
#[derive(Debug)]
pub(crate) struct PinnedVerifier {
    pinned: Vec<CertificateDer<'static>>,
    web_pki: Arc<WebPkiServerVerifier>,
}

impl PinnedVerifier {
    /// A verifier that also accepts the certificates in `pinned`.
    pub(crate) fn new(pinned: Vec<CertificateDer<'static>>, web_pki: Arc<WebPkiServerVerifier>) -> Self {
        Self { pinned, web_pki }
    }
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let refused =
            match self
                .web_pki
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            {
                Ok(verified) => return Ok(verified),
                Err(refused) => refused,
            };
        if !self.pinned.iter().any(|pinned| pinned == end_entity) || !is_valid_at(end_entity, now) {
            return Err(refused);
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.web_pki
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.web_pki
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.web_pki.supported_verify_schemes()
    }
}

/// Returns true if `now` lies in the validity period of a certificate that can be parsed.
fn is_valid_at(certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
    let now = i64::try_from(now.as_secs()).ok();
    let now = now.and_then(|now| ASN1Time::from_timestamp(now).ok());
    let parsed = X509Certificate::from_der(certificate).ok();
    now.zip(parsed)
        .is_some_and(|(now, (_, parsed))| parsed.validity().is_valid_at(now))
}

/// Accepts every certificate, as `insecure` demands. The server still has to prove that it holds the key.
#[derive(Debug)]
pub(crate) struct NoVerifier(pub(crate) Arc<CryptoProvider>);

impl ServerCertVerifier for NoVerifier {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{provider, roots};
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
    use rustls::CertificateError;
    use std::time::Duration;

    /// A self-signed CA certificate for `a.test`, valid in the years 2020 to 2029.
    fn self_signed() -> rcgen::Certificate {
        let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2030, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap()
    }

    /// Verifies `shown` as the certificate of `host` in `year`, with `pinned` as the only trusted certificate.
    fn verify(
        pinned: &rcgen::Certificate,
        shown: &rcgen::Certificate,
        host: &'static str,
        year: u64,
    ) -> Result<(), Error> {
        let trusted = Arc::new(roots(pinned.pem().as_bytes()).unwrap());
        let web_pki = WebPkiServerVerifier::builder_with_provider(trusted, provider())
            .build()
            .unwrap();
        let verifier = PinnedVerifier::new(vec![pinned.der().clone()], web_pki);
        let now = Duration::from_secs((year - 1970) * 31_556_952 + 86_400);
        let name = ServerName::try_from(host).unwrap();
        let now = UnixTime::since_unix_epoch(now);
        verifier
            .verify_server_cert(shown.der(), &[], &name, &[], now)
            .map(|_| ())
    }

    #[test]
    fn self_signed_certificate_is_accepted_if_pinned() {
        let pinned = self_signed();
        assert_eq!(verify(&pinned, &pinned, "a.test", 2025), Ok(()));
        assert!(verify(&pinned, &self_signed(), "a.test", 2025).is_err());
    }

    #[test]
    fn pinned_certificate_must_be_valid_and_have_the_right_name() {
        let pinned = self_signed();
        let refusal = |host, year| match verify(&pinned, &pinned, host, year) {
            Err(Error::InvalidCertificate(error)) => error,
            other => panic!("{host} in {year}: {other:?}"),
        };
        assert!(matches!(
            refusal("a.test", 2031),
            CertificateError::ExpiredContext { .. }
        ));
        assert!(matches!(
            refusal("a.test", 2019),
            CertificateError::NotValidYetContext { .. }
        ));
        assert!(matches!(
            refusal("b.test", 2025),
            CertificateError::NotValidForNameContext { .. }
        ));
    }
}
