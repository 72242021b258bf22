//! Handshakes by which an authority finds out that the gateway answers for a host: TLS-ALPN-01 (RFC 8737).

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::CustomExtension;
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::{ClientHello, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::generated::{self, GenerateError};
use crate::provider;

/// The protocol that the authority offers, and no other (RFC 8737 §4).
pub const PROTOCOL: &[u8] = b"acme-tls/1";

/// A challenge that cannot be answered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ChallengeError {
    /// Key or certificate could not be made.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// The cryptography provider lacks something.
    #[error(transparent)]
    Crypto(#[from] rustls::Error),
}

/// Returns true if a client asks for the answer to a challenge, and for nothing else.
pub fn is_asked_for(hello: &ClientHello<'_>) -> bool {
    let Some(mut offered) = hello.alpn() else {
        return false;
    };
    offered.next() == Some(PROTOCOL) && offered.next().is_none()
}

/// The configuration for the handshake that answers the challenge of `host`. Its certificate has the digest of the key
/// authorization in it (RFC 8737 §3); nothing is said behind the handshake.
///
/// # Errors
/// The host cannot stand in a certificate, or the system provides no randomness.
pub fn server_config(host: &str, key_authorization: &str) -> Result<Arc<ServerConfig>, ChallengeError> {
    let key = generated::key()?;
    let mut params = generated::params([host])?;
    let hash = digest(&SHA256, key_authorization.as_bytes());
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(hash.as_ref())];
    let certificate = params.self_signed(&key).map_err(GenerateError::Crypto)?;
    let provider = provider();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let key = provider.key_provider.load_private_key(key.into())?;
    // `CertifiedKey::from_der` would look into the certificate, and refuse it for the critical extension.
    let certified = CertifiedKey::new(vec![certificate.into()], key);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::new(certified))));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Cursor, Read as _};

    use rustls::pki_types::ServerName;
    use rustls::server::Acceptor;
    use rustls::{
        AlertDescription, CertificateError, ClientConfig, ClientConnection, ConnectionCommon, Error,
        ProtocolVersion, SupportedProtocolVersion,
    };
    use x509_parser::certificate::X509Certificate;
    use x509_parser::extensions::GeneralName;
    use x509_parser::prelude::FromDer as _;

    use crate::testing::AnyCertificate;

    /// A client as an authority is one: it judges the certificate afterwards.
    fn client(version: &'static SupportedProtocolVersion, protocols: &[&[u8]]) -> ClientConnection {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate::default()))
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        ClientConnection::new(Arc::new(config), ServerName::try_from("a.test").unwrap()).unwrap()
    }

    /// Moves what one side has written to the other.
    fn transfer<A, B>(from: &mut ConnectionCommon<A>, to: &mut ConnectionCommon<B>) -> Result<(), Error> {
        let mut bytes = Vec::new();
        while from.wants_write() {
            from.write_tls(&mut bytes).unwrap();
        }
        let mut bytes = Cursor::new(bytes);
        while bytes.position() < bytes.get_ref().len() as u64 {
            to.read_tls(&mut bytes).unwrap();
            to.process_new_packets()?;
        }
        Ok(())
    }

    /// Runs the handshake between `client` and a server that answers the challenge. Returns whether the hello asked for it.
    fn handshake(client: &mut ClientConnection, config: Arc<ServerConfig>) -> Result<bool, Error> {
        let (mut acceptor, mut hello) = (Acceptor::default(), Vec::new());
        client.write_tls(&mut hello).unwrap();
        acceptor.read_tls(&mut &hello[..]).unwrap();
        let accepted = acceptor.accept().unwrap().unwrap();
        let is_asked = is_asked_for(&accepted.client_hello());
        let mut server = match accepted.into_connection(config) {
            Ok(server) => server,
            Err((_, mut alert)) => {
                let mut bytes = Vec::new();
                alert.write(&mut bytes).unwrap();
                client.read_tls(&mut &bytes[..]).unwrap();
                client.process_new_packets()?;
                panic!("the alert was not taken for one")
            }
        };
        while client.is_handshaking() || server.is_handshaking() {
            transfer(&mut server, client)?;
            transfer(client, &mut server)?;
        }
        server.send_close_notify();
        transfer(&mut server, client)?;
        let end = client.reader().read(&mut [0]);
        assert_eq!(end.map_err(|error| error.kind()), Ok::<_, io::ErrorKind>(0));
        Ok(is_asked)
    }

    #[test]
    fn authority_finds_the_digest_in_the_certificate_of_the_host() {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let config = server_config("a.test", "token.thumbprint").unwrap();
            let mut client = client(version, &[PROTOCOL]);
            assert_eq!(handshake(&mut client, config), Ok(true));
            assert_eq!(client.alpn_protocol(), Some(PROTOCOL));
            let chain = client.peer_certificates().unwrap();
            let [certificate] = chain else {
                panic!("{} certificates", chain.len())
            };
            let (_, parsed) = X509Certificate::from_der(certificate).unwrap();
            let names = parsed.subject_alternative_name().unwrap().unwrap();
            assert_eq!(names.value.general_names, [GeneralName::DNSName("a.test")]);
            let mut extensions = parsed.extensions().iter();
            let identifier = extensions
                .find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31")
                .unwrap();
            assert!(identifier.critical);
            // An OCTET STRING of the digest.
            let digest = digest(&SHA256, b"token.thumbprint");
            assert_eq!(identifier.value, [&[4, 32], digest.as_ref()].concat());
        }
    }

    #[test]
    fn client_that_offers_another_protocol_does_not_ask_for_it() {
        let asked = |protocols: &[&[u8]]| {
            let mut client = client(&rustls::version::TLS13, protocols);
            handshake(&mut client, server_config("a.test", "key").unwrap())
        };
        assert_eq!(asked(&[PROTOCOL, b"h2"]), Ok(false));
        assert_eq!(asked(&[]), Ok(false));
        let refused = Error::AlertReceived(AlertDescription::NoApplicationProtocol);
        assert_eq!(asked(&[b"h2"]), Err(refused));
    }

    #[test]
    fn client_of_these_tests_does_not_believe_the_key_of_another_certificate() {
        let own = generated::key().unwrap();
        let certificate = generated::params(["a.test"]).unwrap().self_signed(&own).unwrap();
        let other = PrivatePkcs8KeyDer::from(generated::key().unwrap().serialize_der());
        let other = provider().key_provider.load_private_key(other.into()).unwrap();
        let certified = CertifiedKey::new(vec![certificate.into()], other);
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::new(certified))));
        let config = Arc::new(config);
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let refused = handshake(&mut client(version, &[]), Arc::clone(&config));
            assert_eq!(refused, Err(CertificateError::BadSignature.into()));
        }
    }

    #[test]
    fn no_session_is_resumed() {
        let config = server_config("a.test", "key").unwrap();
        let mut client = client(&rustls::version::TLS13, &[PROTOCOL]);
        handshake(&mut client, config).unwrap();
        assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(client.tls13_tickets_received(), 0);
    }
}
