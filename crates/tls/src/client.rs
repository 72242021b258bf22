//! TLS towards services: which certificates are accepted, and which one is presented.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, VerifierBuilderError, WebPkiServerVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, Error};

use crate::danger::{NoVerifier, PinnedVerifier};
use crate::identity::{Identity, without_bom};
use crate::{RootsError, provider, roots};

/// The TLS configuration for connections to a service.
#[derive(Debug, Clone)]
pub struct ClientTls {
    /// Offers HTTP/2 and HTTP/1.1.
    both: Arc<ClientConfig>,
    /// Offers HTTP/1.1 only.
    http1: Arc<ClientConfig>,
}

/// The certificates that are accepted from a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust<'a> {
    /// Certificates issued by an authority that the platform trusts.
    Platform,
    /// Certificates issued by one of these PEM certificates, and these certificates themselves.
    Ca(&'a [u8]),
    /// Any certificate: the service is not authenticated.
    Unverified,
}

/// TLS towards a service that cannot be configured.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// The trusted certificates cannot be used.
    #[error("the trusted certificates cannot be used: {0}")]
    Ca(#[source] RootsError),
    /// The platform's trusted certificates cannot be used.
    #[error("the machine's trusted certificates cannot be used: {0}")]
    Platform(#[source] Error),
    /// The verifier cannot be built.
    #[error(transparent)]
    Verifier(#[from] VerifierBuilderError),
    /// The cryptography provider lacks something.
    #[error(transparent)]
    Crypto(#[from] Error),
}

impl ClientTls {
    /// Configures TLS towards a service that is verified by `trust` and shown `identity`.
    ///
    /// # Errors
    /// The trusted certificates cannot be used.
    pub fn new(trust: Trust<'_>, identity: Option<&Identity>) -> Result<Self, ClientError> {
        let verifier: Arc<dyn ServerCertVerifier> = match trust {
            Trust::Platform => {
                Arc::new(rustls_platform_verifier::Verifier::new(provider()).map_err(ClientError::Platform)?)
            }
            Trust::Ca(pem) => {
                let trusted = roots(pem).map_err(ClientError::Ca)?;
                let web_pki =
                    WebPkiServerVerifier::builder_with_provider(Arc::new(trusted), provider()).build()?;
                let pinned = CertificateDer::pem_slice_iter(without_bom(pem))
                    .flatten()
                    .collect();
                Arc::new(PinnedVerifier::new(pinned, web_pki))
            }
            Trust::Unverified => Arc::new(NoVerifier(provider())),
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
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
        // Separate stores: a session must not be resumed with other protocols than it began with.
        config.resumption = Resumption::default();
        Ok(Self {
            both: Arc::new(config),
            http1,
        })
    }

    /// The configuration for a handshake. With `http2`, HTTP/2 is offered too.
    pub fn config(&self, http2: bool) -> &Arc<ClientConfig> {
        if http2 { &self.both } else { &self.http1 }
    }
}

/// The name that a service's certificate must have; `None` if `host` is not a valid name.
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
