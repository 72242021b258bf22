//! How a service is known, and what it is shown.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::identity::Identity;
use crate::{RootsError, provider, roots};

/// How connections to a service are made.
#[derive(Debug, Clone)]
pub struct ClientTls {
    /// Offering HTTP/2 and HTTP/1.1.
    both: Arc<ClientConfig>,
    /// Offering HTTP/1.1 only.
    http1: Arc<ClientConfig>,
}

/// Whose certificates a service may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust<'a> {
    /// Those that the machine trusts.
    Platform,
    /// Those that one of these, as PEM, has signed.
    Ca(&'a [u8]),
    /// Anybody's: the service is not known at all.
    Anybody,
}

/// Why a service cannot be spoken to under TLS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The trusted certificates cannot be used.
    #[error("the trusted certificates cannot be used: {0}")]
    Ca(RootsError),
    /// The machine's certificates cannot be used.
    #[error("the machine's trusted certificates cannot be used: {0}")]
    Platform(String),
    /// The cryptography cannot be set up.
    #[error("{0}")]
    Crypto(String),
}

impl ClientTls {
    /// Sets up how a service is spoken to.
    ///
    /// # Errors
    /// When what it is to be verified by cannot be used.
    pub fn new(trust: Trust<'_>, identity: Option<&Identity>) -> Result<Self, ClientError> {
        let crypto = |error: Error| ClientError::Crypto(error.to_string());
        let verifier: Arc<dyn ServerCertVerifier> = match trust {
            Trust::Platform => Arc::new(
                rustls_platform_verifier::Verifier::new(provider())
                    .map_err(|error| ClientError::Platform(error.to_string()))?,
            ),
            Trust::Ca(pem) => {
                let trusted = roots(pem).map_err(ClientError::Ca)?;
                let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(trusted), provider())
                    .build()
                    .map_err(|error| ClientError::Crypto(error.to_string()))?;
                Arc::new(Named {
                    named: CertificateDer::pem_slice_iter(pem).flatten().collect(),
                    verifier,
                })
            }
            Trust::Anybody => Arc::new(Unverified(provider())),
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(crypto)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match identity {
            Some(identity) => builder
                .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(identity.key())))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let http1 = Arc::new(config.clone());
        config.alpn_protocols.insert(0, b"h2".to_vec());
        // What a session was begun with must not be resumed with other protocols.
        config.resumption = rustls::client::Resumption::default();
        Ok(Self {
            both: Arc::new(config),
            http1,
        })
    }

    /// What a handshake is made by; `http2` says whether that may be chosen.
    pub fn config(&self, http2: bool) -> &Arc<ClientConfig> {
        if http2 { &self.both } else { &self.http1 }
    }
}

/// The name that a service's certificate has to have; `None` when it can be none.
pub fn server_name(host: &str) -> Option<ServerName<'static>> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(ServerName::IpAddress(address.into()));
    }
    ServerName::try_from(bare.to_owned()).ok()
}

/// Trusts what the named certificates have signed, and the named certificates themselves: a service that has signed its
/// own certificate is known by that.
#[derive(Debug)]
struct Named {
    named: Vec<CertificateDer<'static>>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.named.iter().any(|named| named == end_entity) {
            return self.verifier.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            );
        }
        let malformed = || Error::InvalidCertificate(CertificateError::BadEncoding);
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        let (_, parsed) = X509Certificate::from_der(end_entity).map_err(|_| malformed())?;
        let now = i64::try_from(now.as_secs()).map_err(|_| malformed())?;
        let validity = parsed.validity();
        if now < validity.not_before.timestamp() {
            return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
        }
        if now > validity.not_after.timestamp() {
            return Err(Error::InvalidCertificate(CertificateError::Expired));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Takes every certificate, as `insecure` asks.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
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
