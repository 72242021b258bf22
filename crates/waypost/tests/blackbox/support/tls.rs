//! Certificates that a test makes, and a client that speaks TLS.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_RSA_SHA256, RsaKeySize, SanType,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use super::PATIENCE;
use super::message::{Message, MessageReader};

/// Somebody whose signature is trusted.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, as PEM.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = key();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority of the tests");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for these names.
    pub(crate) fn issue(&self, names: &[&str]) -> Pair {
        self.issue_with(names, |_| {})
    }

    /// A certificate for these names, with whatever `edit` makes of it.
    pub(crate) fn issue_with(&self, names: &[&str], edit: impl FnOnce(&mut CertificateParams)) -> Pair {
        self.sign(names, edit, &key())
    }

    /// A certificate for these names, with an RSA key.
    pub(crate) fn issue_rsa(&self, names: &[&str]) -> Pair {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
        self.sign(names, |_| {}, &key)
    }

    fn sign(&self, names: &[&str], edit: impl FnOnce(&mut CertificateParams), key: &KeyPair) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        edit(&mut params);
        let certificate = params.signed_by(key, &self.issuer).expect("a certificate");
        Pair {
            cert: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// A certificate of a client.
    pub(crate) fn client(&self, common_name: &str, uri: &str) -> Pair {
        self.issue_with(&[], |params| {
            params.distinguished_name.push(DnType::CommonName, common_name);
            params
                .subject_alt_names
                .push(SanType::URI(uri.try_into().expect("a URI")));
        })
    }
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key")
}

/// What a client trusts, offers and shows.
#[derive(Clone)]
pub(crate) struct Trusting {
    roots: Vec<CertificateDer<'static>>,
    protocols: Vec<Vec<u8>>,
    shown: Option<Pair>,
    versions: Vec<&'static SupportedProtocolVersion>,
}

impl Trusting {
    /// A client that trusts `authority`, and speaks HTTP/1.1.
    pub(crate) fn new(authority: &Authority) -> Self {
        let root = CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("a certificate");
        Self {
            roots: vec![root],
            protocols: vec![b"http/1.1".to_vec()],
            shown: None,
            versions: rustls::ALL_VERSIONS.to_vec(),
        }
    }

    /// It offers these protocols.
    pub(crate) fn offering(mut self, protocols: &[&str]) -> Self {
        self.protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    /// It shows this certificate when it is asked.
    pub(crate) fn showing(mut self, pair: &Pair) -> Self {
        self.shown = Some(pair.clone());
        self
    }

    /// It speaks this version alone.
    pub(crate) fn speaking(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for root in &self.roots {
            roots.add(root.clone()).expect("a root");
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&self.versions)
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match &self.shown {
            Some(pair) => {
                let chain =
                    vec![CertificateDer::from_pem_slice(pair.cert.as_bytes()).expect("a certificate")];
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&self.protocols);
        Arc::new(config)
    }

    /// A connection to `address` that asks for `host`.
    pub(crate) fn connect(&self, address: SocketAddr, host: &str) -> TlsClient {
        TlsClient::connect(self.config(), address, host)
            .unwrap_or_else(|error| panic!("no handshake with {address} for {host}: {error}"))
    }

    /// Why there is no connection.
    pub(crate) fn refusal(&self, address: SocketAddr, host: &str) -> String {
        match TlsClient::connect(self.config(), address, host) {
            Ok(mut client) => {
                // In TLS 1.3 a client learns what is thought of its certificate only when it reads.
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                let end = client.try_answer();
                assert!(end.is_none(), "the connection is served: {end:?}");
                "closed".to_owned()
            }
            Err(error) => error.to_string(),
        }
    }
}

/// A client's connection under TLS.
pub(crate) struct TlsClient {
    reader: MessageReader<StreamOwned<ClientConnection, TcpStream>>,
}

impl TlsClient {
    pub(crate) fn connect(
        config: Arc<ClientConfig>,
        address: SocketAddr,
        host: &str,
    ) -> std::io::Result<Self> {
        let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(host.to_owned()).expect("a name");
        let mut session = ClientConnection::new(config, name).map_err(std::io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Self {
            reader: MessageReader::new(StreamOwned::new(session, socket)),
        })
    }

    /// The certificate that was shown.
    pub(crate) fn shown(&self) -> Vec<u8> {
        let chain = self.session().peer_certificates().expect("a certificate");
        chain[0].to_vec()
    }

    pub(crate) fn session(&self) -> &ClientConnection {
        &self.reader.from.conn
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.reader.from.write_all(bytes.as_ref());
        self
    }

    pub(crate) fn answer(&mut self) -> Message {
        self.reader.answer(false).expect("an answer, not the end")
    }

    /// The head of the next answer.
    pub(crate) fn answer_head(&mut self) -> Message {
        self.reader.head().expect("an answer, not the end")
    }

    /// How many of so many bytes come.
    pub(crate) fn count(&mut self, bytes: usize) -> usize {
        self.reader.skip(bytes)
    }

    /// The next answer, to a HEAD.
    pub(crate) fn answer_to_head(&mut self) -> Message {
        self.reader.answer(true).expect("an answer, not the end")
    }

    /// The next answer, or `None` when the connection ends instead.
    pub(crate) fn try_answer(&mut self) -> Option<Message> {
        self.reader.answer(false)
    }

    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.send(request).answer()
    }

    /// Sends a plain GET for `host` and a path.
    pub(crate) fn get(&mut self, host: &str, path: &str) -> Message {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }
}

/// The bytes of a certificate, to be compared with one that was shown.
pub(crate) fn der(pair: &Pair) -> Vec<u8> {
    CertificateDer::from_pem_slice(pair.cert.as_bytes())
        .expect("a certificate")
        .to_vec()
}
