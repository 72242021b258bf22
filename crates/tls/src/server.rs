//! TLS towards clients: the certificates of a listener, and client authentication.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoClientAuth, NoServerSessionStorage, ProducesTickets, ResolvesServerCert,
    VerifierBuilderError, WebPkiClientVerifier,
};

use crate::identity::Identity;
use crate::resolver::CertificateResolver;
use crate::{RootsError, provider, roots};

/// The protocols offered to clients, in order of preference (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Maximum bytes of the authority names sent as a hint for the choice of a client certificate. The hint is optional, and
/// some clients abort the handshake beyond 16 KiB.
const HINTS_BYTES_MAX: usize = 12 << 10;

/// The TLS configuration of a listener.
#[derive(Debug)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    /// The resolver in `config`.
    resolver: Arc<CertificateResolver>,
    authenticates_clients: bool,
}

/// Keys for session tickets. They rotate every six hours; tickets of the previous period remain valid. Each listener has
/// its own keys: a session that began without a client certificate must not resume where one is required.
#[derive(Debug, Clone)]
pub struct Tickets(Arc<dyn ProducesTickets>);

/// Authentication of clients by certificate.
#[derive(Debug, Clone)]
pub struct ClientAuth<'a> {
    /// The authorities that may issue client certificates, as PEM.
    pub ca: &'a [u8],
    /// True if a certificate is required.
    pub required: bool,
}

/// TLS of a listener that cannot be configured.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ServerError {
    /// The listener has no certificate.
    #[error("there is no certificate")]
    NoCertificate,
    /// The authorities for client certificates cannot be used.
    #[error("the client certificate authority cannot be used: {0}")]
    ClientAuth(#[source] RootsError),
    /// The verifier for client certificates cannot be built.
    #[error(transparent)]
    Verifier(#[from] VerifierBuilderError),
    /// The cryptography provider lacks something, such as randomness.
    #[error(transparent)]
    Crypto(#[from] rustls::Error),
}

impl Tickets {
    /// Generates keys.
    ///
    /// # Errors
    /// The system provides no randomness.
    pub fn new() -> Result<Self, ServerError> {
        Ok(Self(Ticketer::new()?))
    }
}

impl ServerTls {
    /// Configures TLS for a listener with these certificates, in order of preference.
    ///
    /// # Errors
    /// There is no certificate, or the authorities for client certificates cannot be used.
    pub fn new(
        identities: Vec<Arc<Identity>>,
        client_auth: Option<&ClientAuth<'_>>,
        tickets: &Tickets,
    ) -> Result<Self, ServerError> {
        let provider = provider();
        let resolver = CertificateResolver::new(identities, provider.cipher_suites.clone());
        let resolver = Arc::new(resolver.ok_or(ServerError::NoCertificate)?);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier(client_auth)?)
            .with_cert_resolver(Arc::clone(&resolver) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        // A resumed session is not verified again: a client certificate that has since expired, or lost its authority,
        // would stay good for the lifetime of its tickets.
        if client_auth.is_none() {
            config.ticketer = Arc::clone(&tickets.0);
        } else {
            config.send_tls13_tickets = 0;
        }
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self {
            config: Arc::new(config),
            resolver,
            authenticates_clients: client_auth.is_some(),
        })
    }

    /// The configuration for handshakes, which chooses the certificate by itself.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// The certificates, in order of declaration.
    pub fn identities(&self) -> &[Arc<Identity>] {
        self.resolver.identities()
    }

    /// The certificate that [`ServerTls::config`] serves to a client: one for the host that it names, else one for a
    /// wildcard that covers the host, else the first. Among several, the first whose signatures the client can verify,
    /// and ECDSA before RSA.
    pub(crate) fn choose(&self, hello: &ClientHello<'_>) -> &Arc<Identity> {
        self.resolver.choose(hello)
    }

    /// The certificate that is served to a client that names `host` and supports every signature scheme.
    pub(crate) fn identity_for(&self, host: Option<&str>) -> &Arc<Identity> {
        self.resolver.identity_for(host)
    }

    /// Names `identity_for(host)` by its position. Certificates for the same names, which differ in their keys, share one.
    pub(crate) fn choice_for(&self, host: &str) -> usize {
        self.resolver.choice_for(host)
    }

    /// Returns true if clients are asked for certificates.
    pub(crate) fn authenticates_clients(&self) -> bool {
        self.authenticates_clients
    }
}

/// The verifier for client certificates.
fn verifier(client_auth: Option<&ClientAuth<'_>>) -> Result<Arc<dyn ClientCertVerifier>, ServerError> {
    let Some(client_auth) = client_auth else {
        return Ok(Arc::new(NoClientAuth));
    };
    let roots = roots(client_auth.ca).map_err(ServerError::ClientAuth)?;
    let hints: usize = roots.subjects().iter().map(|name| name.as_ref().len()).sum();
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    if hints > HINTS_BYTES_MAX {
        builder = builder.clear_root_hint_subjects();
    }
    let builder = if client_auth.required {
        builder
    } else {
        builder.allow_unauthenticated()
    };
    Ok(builder.build()?)
}
