//! TLS: authorities and certificates of clients.

use std::sync::Arc;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use waypost_etcd::client::Client;
use waypost_etcd::error::Error;
use waypost_etcd::options::Options;
use waypost_etcd::simulated::Simulated;

use super::SURE;
use crate::promises::tls::{Authority, Certificate};
use crate::promises::{Cluster as _, put};

/// A server's configuration that asks for certificates of the same authority.
fn server(authority: &Authority, certificate: &Certificate) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    let der = |pem: String| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    roots.add(der(authority.pem())).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .unwrap();
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem().as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![der(certificate.pem())], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

#[tokio::test]
async fn members_and_clients_know_each_other_by_certificates() {
    let authority = Authority::new();
    let certificate = authority.issue("etcd");
    let etcd = Simulated::start_with_tls(3, server(&authority, &certificate))
        .await
        .unwrap();
    let client = Client::new(Options {
        tls: Some(authority.client_tls(Some(&authority.issue("waypost")))),
        ..etcd.options()
    });
    put(&client, "/k", "").await;
    etcd.stop(0);
    assert!(client.get("/k").await.unwrap().is_some());
    put(&client, "/k", "").await;
    etcd.heal(0);
    let other = Authority::new();
    for (tls, reason) in [
        (Some(other.client_tls(None)), "certificate"),
        (Some(authority.client_tls(None)), ""),
        (Some(authority.client_tls(Some(&other.issue("waypost")))), ""),
        (None, "it speaks TLS, and is asked without"),
    ] {
        let stranger = Client::new(Options {
            tls,
            ..etcd.options()
        });
        match stranger.with_deadline(SURE).get("/k").await.unwrap_err() {
            Error::Unavailable { reason: found } => assert!(found.contains(reason), "{found}"),
            error => panic!("{error:?}"),
        }
    }
    let without = Client::new(Options {
        endpoints: vec![format!("https://{}", etcd.addresses()[0]).parse().unwrap()],
        ..etcd.options()
    });
    match without.with_deadline(SURE).get("/k").await.unwrap_err() {
        Error::Unavailable { reason } => {
            assert!(reason.ends_with("TLS is not configured"), "{reason}");
        }
        error => panic!("{error:?}"),
    }
}
