//! Certificates, and a client that speaks TLS.

use std::io::Write as _;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_RSA_SHA256, RsaKeySize, SanType,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use waypost_tls::testing::AnyCertificate;

use super::PATIENCE;
use super::message::{Message, MessageReader};

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key in PEM.
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
            .push(DnType::CommonName, "test authority");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Its own certificate in PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Issues a certificate for these names.
    pub(crate) fn issue(&self, names: &[&str]) -> Pair {
        self.issue_with(names, |_| {})
    }

    /// Issues a certificate for these names, with edited parameters.
    pub(crate) fn issue_with(&self, names: &[&str], edit: impl FnOnce(&mut CertificateParams)) -> Pair {
        self.sign(names, edit, &key())
    }

    /// Issues a certificate with an RSA key.
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

    /// Issues a client certificate.
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

/// TLS settings of a client.
#[derive(Clone)]
pub(crate) struct Trusting {
    roots: Vec<CertificateDer<'static>>,
    protocols: Vec<Vec<u8>>,
    shown: Option<Pair>,
    versions: Vec<&'static SupportedProtocolVersion>,
    names_host: bool,
    verifies: bool,
}

impl Trusting {
    /// Trusts `authority` and offers HTTP/1.1.
    pub(crate) fn new(authority: &Authority) -> Self {
        let root = CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("a certificate");
        Self {
            roots: vec![root],
            protocols: vec![b"http/1.1".to_vec()],
            shown: None,
            versions: rustls::ALL_VERSIONS.to_vec(),
            names_host: true,
            verifies: true,
        }
    }

    /// Offers these protocols (ALPN).
    pub(crate) fn offering(mut self, protocols: &[&str]) -> Self {
        self.protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    /// Presents this client certificate.
    pub(crate) fn showing(mut self, pair: &Pair) -> Self {
        self.shown = Some(pair.clone());
        self
    }

    /// Sends no SNI.
    pub(crate) fn naming_no_host(mut self) -> Self {
        self.names_host = false;
        self
    }

    /// Accepts every certificate.
    pub(crate) fn without_verifying(mut self) -> Self {
        self.verifies = false;
        self
    }

    /// Limits the client to one version of TLS.
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
        config.enable_sni = self.names_host;
        if !self.verifies {
            config
                .dangerous()
                .set_certificate_verifier(Arc::new(AnyCertificate::default()));
        }
        Arc::new(config)
    }

    /// Connects with `host` as SNI.
    pub(crate) fn connect(&self, address: SocketAddr, host: &str) -> TlsClient {
        TlsClient::connect(self.config(), address, host)
            .unwrap_or_else(|error| panic!("no handshake with {address} for {host}: {error}"))
    }

    /// Asserts that the gateway refuses the connection; returns the client's error.
    pub(crate) fn refusal(&self, address: SocketAddr, host: &str) -> String {
        match TlsClient::connect(self.config(), address, host) {
            Ok(mut client) => {
                // In TLS 1.3 a client learns of a rejected certificate only when it reads.
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                let end = client.try_response();
                assert!(end.is_none(), "the connection is served: {end:?}");
                "closed".to_owned()
            }
            Err(error) => error.to_string(),
        }
    }
}

/// A client connection over TLS.
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

    /// The certificate that the server presented, in DER.
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

    /// Ends the sending side: `close_notify`, then FIN.
    pub(crate) fn finish_sending(&mut self) {
        self.reader.from.conn.send_close_notify();
        let _ = self.reader.from.flush();
        self.finish_sending_without_notice();
    }

    /// Ends the sending side of the TCP connection only.
    pub(crate) fn finish_sending_without_notice(&mut self) {
        let _ = self.reader.from.sock.shutdown(Shutdown::Write);
    }

    pub(crate) fn response(&mut self) -> Message {
        self.reader.response(false).expect("a response, not the end")
    }

    /// Reads the head of a response only.
    pub(crate) fn response_head(&mut self) -> Message {
        self.reader.head().expect("a response, not the end")
    }

    /// Discards up to `bytes` bytes; returns their count.
    pub(crate) fn count(&mut self, bytes: usize) -> usize {
        self.reader.skip(bytes)
    }

    /// Reads the response to HEAD.
    pub(crate) fn response_to_head(&mut self) -> Message {
        self.reader.response(true).expect("a response, not the end")
    }

    /// Reads a response; `None` if the connection ends instead.
    pub(crate) fn try_response(&mut self) -> Option<Message> {
        self.reader.response(false)
    }

    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.send(request).response()
    }

    /// Sends a GET and reads its response.
    pub(crate) fn get(&mut self, host: &str, path: &str) -> Message {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }
}

/// The certificate in DER, for comparison with [`TlsClient::shown`].
pub(crate) fn der(pair: &Pair) -> Vec<u8> {
    CertificateDer::from_pem_slice(pair.cert.as_bytes())
        .expect("a certificate")
        .to_vec()
}
