//! Tests of the choice of a certificate, by itself and in handshakes over TCP and QUIC that pass through memory.

use super::*;
use crate::client::{ClientTls, Trust};
use crate::provider;
use crate::resolver::testing::identity;
use crate::server::{ServerTls, Tickets};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};
use rustls::crypto::aws_lc_rs::cipher_suite;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::quic::{self, Connection as QuicConnection, KeyChange};
use rustls::server::Acceptor;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, SignatureScheme,
};

fn resolver(identities: Vec<Arc<Identity>>) -> CertificateResolver {
    CertificateResolver::new(identities, provider().cipher_suites.clone()).unwrap()
}

/// Checks the position of the identity for a client that names `host` and supports `schemes`.
fn check(resolver: &CertificateResolver, host: Option<&str>, schemes: &[SignatureScheme], expected: usize) {
    let chosen = resolver.select(host, |identity| identity.can_sign(schemes));
    assert_eq!(position(resolver, chosen), expected, "{host:?}");
}

fn position(resolver: &CertificateResolver, chosen: &Arc<Identity>) -> usize {
    let mut identities = resolver.identities().iter();
    identities.position(|other| Arc::ptr_eq(other, chosen)).unwrap()
}

#[test]
fn closest_name_wins_and_first_is_default() {
    let p256 = &PKCS_ECDSA_P256_SHA256;
    let resolver = resolver(vec![
        identity(&["default.test"], p256),
        identity(&["*.b.test"], p256),
        identity(&["a.b.test", "10.0.0.1"], p256),
    ]);
    let any = [SignatureScheme::ECDSA_NISTP256_SHA256];
    for (host, expected) in [
        (Some("a.b.test"), 2),
        (Some("A.B.Test."), 2),
        (Some("c.b.test"), 1),
        (Some("c.c.b.test"), 0),
        (Some("b.test"), 0),
        (None, 0),
    ] {
        check(&resolver, host, &any, expected);
        assert_eq!(
            position(&resolver, resolver.identity_for(host)),
            expected,
            "{host:?}"
        );
    }
}

#[test]
fn certificate_suits_the_clients_signature_schemes() {
    let names = ["a.test"];
    let resolver = resolver(vec![
        identity(&names, &PKCS_ED25519),
        identity(&names, &PKCS_ECDSA_P256_SHA256),
    ]);
    let p256 = [SignatureScheme::ECDSA_NISTP256_SHA256];
    check(&resolver, Some("a.test"), &p256, 1);
    check(&resolver, None, &p256, 1);
    check(&resolver, Some("a.test"), &[SignatureScheme::ED25519], 0);
    check(&resolver, Some("a.test"), &[SignatureScheme::RSA_PSS_SHA256], 0);
}

#[test]
fn ecdsa_preferred_over_rsa() {
    let names = ["a.test"];
    let resolver = resolver(vec![
        identity(&names, &PKCS_RSA_SHA256),
        identity(&names, &PKCS_ECDSA_P256_SHA256),
    ]);
    let (rsa, p256) = (
        SignatureScheme::RSA_PSS_SHA256,
        SignatureScheme::ECDSA_NISTP256_SHA256,
    );
    check(&resolver, Some("a.test"), &[rsa, p256], 1);
    check(&resolver, Some("a.test"), &[rsa], 0);
    assert_eq!(position(&resolver, resolver.identity_for(Some("a.test"))), 1);
}

/// The certificate that a client sees in a handshake over memory, and the identity that [`ServerTls::choose`] gives for
/// its hello.
fn handshake(
    tls: &ServerTls,
    client: Arc<ClientConfig>,
    host: &str,
) -> (CertificateDer<'static>, Arc<Identity>) {
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let mut client = ClientConnection::new(client, name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut hello.as_slice()).unwrap();
    let accepted = acceptor.accept().unwrap().unwrap();
    let chosen = Arc::clone(tls.choose(&accepted.client_hello()));
    let mut server = accepted.into_connection(Arc::clone(tls.config())).unwrap();
    exchange(&mut client, &mut server);
    let shown = client.peer_certificates().unwrap()[0].clone().into_owned();
    (shown, chosen)
}

/// Carries bytes between both ends until neither has more to write.
fn exchange(client: &mut ClientConnection, server: &mut ServerConnection) {
    while client.wants_write() || server.wants_write() {
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().unwrap();
        }
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets().unwrap();
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
}

#[test]
fn handshake_serves_the_chosen_certificate() {
    let p256 = &PKCS_ECDSA_P256_SHA256;
    let identities = vec![
        identity(&["default.test"], p256),
        identity(&["a.test"], &PKCS_RSA_SHA256),
        identity(&["a.test"], p256),
        identity(&["*.b.test"], &PKCS_ED25519),
    ];
    let tls = ServerTls::new(identities, None, &Tickets::new().unwrap()).unwrap();
    let client = ClientTls::new(Trust::Unverified, None).unwrap();
    for (host, expected) in [("a.test", 2), ("x.b.test", 3), ("other.test", 0)] {
        let (shown, chosen) = handshake(&tls, Arc::clone(client.config(true)), host);
        let expected = &tls.identities()[expected];
        assert!(Arc::ptr_eq(&chosen, expected), "{host}");
        assert!(Arc::ptr_eq(tls.identity_for(Some(host)), expected), "{host}");
        assert_eq!(shown, expected.key().cert[0], "{host}");
    }
}

#[test]
fn tls12_client_without_ecdsa_suites_gets_rsa() {
    let names = ["a.test"];
    let identities = vec![
        identity(&names, &PKCS_ECDSA_P256_SHA256),
        identity(&names, &PKCS_RSA_SHA256),
    ];
    let tls = ServerTls::new(identities, None, &Tickets::new().unwrap()).unwrap();
    let mut limited = (*provider()).clone();
    limited.cipher_suites = vec![cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256];
    let mut roots = RootCertStore::empty();
    for identity in tls.identities() {
        roots.add(identity.key().cert[0].clone()).unwrap();
    }
    let client = ClientConfig::builder_with_provider(Arc::new(limited))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (shown, chosen) = handshake(&tls, Arc::new(client), "a.test");
    assert!(Arc::ptr_eq(&chosen, &tls.identities()[1]));
    assert_eq!(shown, chosen.key().cert[0]);
}

/// The certificate that a QUIC client sees in a handshake over memory.
fn quic_handshake(server: ServerConfig, roots: RootCertStore, host: &str) -> CertificateDer<'static> {
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h3".to_vec()];
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let (version, parameters) = (quic::Version::V1, b"parameters".to_vec());
    let client = quic::ClientConnection::new(Arc::new(client), version, name, parameters.clone()).unwrap();
    let server = quic::ServerConnection::new(Arc::new(server), version, parameters).unwrap();
    let mut client = QuicConnection::Client(client);
    let mut server = QuicConnection::Server(server);
    // Each round carries the handshake bytes of one encryption level.
    for _ in 0..8 {
        carry(&mut client, &mut server);
        carry(&mut server, &mut client);
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    client.peer_certificates().unwrap()[0].clone().into_owned()
}

/// Carries the handshake bytes of one encryption level.
fn carry(from: &mut QuicConnection, to: &mut QuicConnection) {
    let mut bytes = Vec::new();
    let _: Option<KeyChange> = from.write_hs(&mut bytes);
    to.read_hs(&bytes).unwrap();
}

#[test]
fn resolver_alone_serves_quic() {
    let p256 = &PKCS_ECDSA_P256_SHA256;
    let resolver = Arc::new(resolver(vec![
        identity(&["default.test"], p256),
        identity(&["a.test"], &PKCS_ED25519),
        identity(&["*.b.test"], p256),
    ]));
    let mut roots = RootCertStore::empty();
    for identity in resolver.identities() {
        roots.add(identity.key().cert[0].clone()).unwrap();
    }
    for (host, expected) in [("a.test", 1), ("x.b.test", 2), ("default.test", 0)] {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&resolver) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h3".to_vec()];
        let shown = quic_handshake(config, roots.clone(), host);
        assert_eq!(shown, resolver.identities()[expected].key().cert[0], "{host}");
    }
}
