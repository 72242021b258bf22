//! TLS to services: a gateway in front of another that terminates TLS.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, ServerConnection, Stream, SupportedProtocolVersion};

use crate::support::config::Config;
use crate::support::gateway::{Gateway, certificates};
use crate::support::http2::Http2Client;
use crate::support::service::Service;
use crate::support::tls::{Authority, Pair};
use crate::support::wait_for;

/// A gateway that serves `service` over TLS with this certificate, and requires certificates issued by `clients`.
fn secure(service: &Service, pair: &Pair, clients: Option<&Authority>) -> Gateway {
    let Some(clients) = clients else {
        return Gateway::with_certificates(&[pair], service);
    };
    let tls = format!(
        "tls: {{ {}, client_auth: {{ ca: clients.crt }} }}",
        certificates(1)
    );
    let config = Config::listening(&[&tls]).all_to(service);
    Gateway::under_tls(&[pair], &[("clients.crt", clients.pem())], config)
}

/// Time for handshakes, which a machine that stands still prolongs.
const PATIENT: &str = "timeouts: { connect: 30s }";

/// A gateway in front of `inner`, with these keys of its service.
fn front(inner: &Gateway, files: &[(&str, &str)], keys: &str) -> Gateway {
    let endpoint = format!("https://{}", inner.address());
    let config = Config::new()
        .service_at("s", &[&endpoint], &format!("{keys}, {PATIENT}"))
        .route("name: all, to: s, rewrite: { host: a.test }");
    Gateway::beside(files, config)
}

#[test]
fn service_certificate_verified_by_ca_and_name() {
    let service = Service::echo("a");
    let (authority, others) = (Authority::new(), Authority::new());
    let inner = secure(&service, &authority.issue(&["a.test"]), None);
    let files = [("ca.crt", authority.pem()), ("others.crt", others.pem())];
    let ask = |keys: &str| {
        let gateway = front(&inner, &files, keys);
        let response = gateway.get("http://a.test/x");
        (
            response.status(),
            response.header("proxy-status").map(str::to_owned),
        )
    };
    let distrusted = (502, Some("waypost; error=tls_certificate_error".to_owned()));
    assert_eq!(ask("tls: { ca: ca.crt, server_name: a.test }").0, 200);
    // The URL names an address that the certificate does not cover.
    assert_eq!(ask("tls: { ca: ca.crt }"), distrusted);
    assert_eq!(ask("tls: { ca: others.crt, server_name: a.test }"), distrusted);
    // The system's roots do not include the test authority.
    assert_eq!(ask("tls: { server_name: a.test }"), distrusted);
    let gateway = front(&inner, &files, "tls: { insecure: true }");
    gateway.wait_for_part("warning[insecure-service]");
    assert_eq!(gateway.get("http://a.test/x").status(), 200);
}

#[test]
fn self_signed_certificate_trusted_as_its_own_ca() {
    let service = Service::echo("a");
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    // Like `openssl req -x509`.
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pair = Pair {
        cert: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    };
    let inner = secure(&service, &pair, None);
    let files = [("ca.crt", &*pair.cert)];
    let gateway = front(&inner, &files, "tls: { ca: ca.crt, server_name: a.test }");
    assert_eq!(gateway.get("http://a.test/x").status(), 200);
    let gateway = front(&inner, &files, "tls: { ca: ca.crt, server_name: b.test }");
    assert_eq!(gateway.get("http://a.test/x").status(), 502);
}

#[test]
fn client_certificate_presented_to_services() {
    let service = Service::echo("a");
    let (authority, clients) = (Authority::new(), Authority::new());
    let inner = secure(&service, &authority.issue(&["a.test"]), Some(&clients));
    let own = clients.client("gateway", "spiffe://x/gateway");
    let files = [
        ("ca.crt", authority.pem()),
        ("own.crt", &*own.cert),
        ("own.key", &*own.key),
    ];
    let shows = "tls: { ca: ca.crt, server_name: a.test, client_cert: { cert: own.crt, key: own.key } }";
    let gateway = front(&inner, &files, shows);
    let told = gateway.get("http://a.test/x").json()["headers"].to_string();
    assert!(told.contains("spiffe://x/gateway"), "{told}");
    let gateway = front(&inner, &files, "tls: { ca: ca.crt, server_name: a.test }");
    assert_eq!(gateway.get("http://a.test/x").status(), 502);
}

#[test]
fn alert_of_a_service_is_reported() {
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let stranger = strangers.client("stranger", "spiffe://x/stranger");
    let files = [
        ("ca.crt", authority.pem()),
        ("own.crt", &*stranger.cert),
        ("own.key", &*stranger.key),
    ];
    let own = ", client_cert: { cert: own.crt, key: own.key }";
    let required = "alert-id=116; alert-message=certificate_required";
    // The authority of another key has the same name.
    let unknown = "alert-id=51; alert-message=decrypt_error";
    for (version, cert, alert) in [
        (&TLS13, "", required),
        (&TLS13, own, unknown),
        (&TLS12, "", required),
        (&TLS12, own, unknown),
    ] {
        for http2 in [false, true] {
            let service = demanding(&pair, &clients, version);
            let config = Config::new()
                .service_at(
                    "s",
                    &[&format!("https://{service}")],
                    &format!("http2: {http2}, tls: {{ ca: ca.crt, server_name: a.test{cert} }}, {PATIENT}"),
                )
                .route("name: all, to: s, rewrite: { host: a.test }")
                .key("access_log: access.log");
            let gateway = Gateway::beside(&files, config);
            let place = format!("{version:?}, {cert}, http2: {http2}");
            for request in [
                "GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
                "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            ] {
                let response = gateway.ask(request);
                assert_eq!(response.status(), 502, "{place}");
                let expected = format!("waypost; error=tls_alert_received; {alert}");
                assert_eq!(response.header("proxy-status"), Some(&*expected), "{place}");
            }
            let response = Http2Client::connect(gateway.address()).get("http://a/");
            assert_eq!(response.status(), 502, "{place}");
            let metrics = gateway.metrics();
            let count = metrics
                .lines()
                .find(|line| line.starts_with(r#"waypost_refusals_total{reason="tls_alert_received"}"#));
            assert!(
                count.is_some_and(|line| line.ends_with(" 3")),
                "{place}: {count:?}"
            );
            let log = wait_for("the log", || {
                let text = std::fs::read_to_string(gateway.directory().join("access.log")).ok()?;
                (text.lines().count() == 3).then_some(text)
            });
            for line in log.lines() {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                assert_eq!(line["reason"], "tls_alert_received", "{place}");
                let name = alert.rsplit('=').next();
                assert_eq!(line["detail"].as_str(), name, "{place}");
            }
        }
    }
}

/// The address of a service that speaks one version of TLS, and demands certificates issued by `clients`.
fn demanding(pair: &Pair, clients: &Authority, version: &'static SupportedProtocolVersion) -> SocketAddr {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(clients.pem().as_bytes()).unwrap();
    roots.add(root).unwrap();
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let chain = vec![CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut socket, config) = (socket.unwrap(), Arc::clone(&config));
            thread::spawn(move || {
                let mut session = ServerConnection::new(config).unwrap();
                // The alert is sent before the error is returned.
                while session.is_handshaking() && session.complete_io(&mut socket).is_ok() {}
                let _ = socket.shutdown(std::net::Shutdown::Write);
                let _ = std::io::copy(&mut socket, &mut std::io::sink());
            });
        }
    });
    address
}

#[test]
fn http2_negotiated_by_alpn() {
    let service = Service::echo("a");
    let authority = Authority::new();
    let inner = secure(&service, &authority.issue(&["a.test"]), None);
    let files = [("ca.crt", authority.pem())];
    let tls = "tls: { ca: ca.crt, server_name: a.test }";
    for (keys, connections) in [(", http2: true", 1), ("", 8)] {
        let gateway = front(&inner, &files, &format!("{tls}{keys}"));
        let before = connections_of(&inner);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let body = "x".repeat(100_000);
                    let response = gateway.ask(format!(
                        "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    ));
                    assert_eq!(response.json()["body"].as_str().map(str::len), Some(body.len()));
                });
            }
        });
        let made = connections_of(&inner) - before;
        assert!(made <= connections, "{made} connections{keys}");
        let pooled = connections_of(&inner);
        assert_eq!(gateway.get("http://a.test/x").status(), 200);
        assert_eq!(connections_of(&inner), pooled, "a connection is used again{keys}");
    }
}

/// Number of connections that a gateway has accepted.
fn connections_of(gateway: &Gateway) -> u64 {
    let metrics = gateway.metrics();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("waypost_connections_total "))
        .unwrap_or_else(|| panic!("{metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Sends close_notify in one write with each response, and leaves the socket open.
fn farewelling(pair: &Pair) -> SocketAddr {
    let certificate = CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut open = Vec::new();
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut lines = BufReader::new(Stream::new(&mut connection, &mut socket)).lines();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            drop(lines);
            let mut piece = Vec::new();
            let response = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            connection.writer().write_all(response).unwrap();
            connection.send_close_notify();
            while connection.wants_write() {
                connection.write_tls(&mut piece).unwrap();
            }
            socket.write_all(&piece).unwrap();
            open.push(socket);
        }
    });
    address
}

#[test]
fn close_notify_with_the_response_prevents_reuse() {
    let authority = Authority::new();
    let address = farewelling(&authority.issue(&["a.test"]));
    let tls = "tls: { ca: ca.crt, server_name: a.test }";
    let config = Config::new()
        .service_at(
            "s",
            &[&format!("https://{address}")],
            &format!("{tls}, {PATIENT}"),
        )
        .route("name: all, to: s");
    let gateway = Gateway::beside(&[("ca.crt", authority.pem())], config);
    for _ in 0..3 {
        assert_eq!(gateway.get("http://a.test/x").status(), 200);
    }
}

#[test]
fn checks_verify_certificates_as_requests_do() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let inner = secure(&service, &authority.issue(&["a.test"]), None);
    let files = [("ca.crt", authority.pem())];
    for asked in ["tcp: true", "path: /healthz, host: a.test"] {
        for (name, expected) in [
            ("a.test", ("up", "")),
            ("b.test", ("down", "check failed: certificate not trusted")),
        ] {
            let keys = format!(
                "tls: {{ ca: ca.crt, server_name: {name} }}, health: {{ {asked}, timeout: 5s, initially: unhealthy }}"
            );
            let gateway = front(&inner, &files, &keys);
            wait_for("the check", || {
                let shown = gateway.admin_json("/api/v1/services/s")["endpoints"][0]["addresses"][0].clone();
                let reason = shown["reason"].as_str().unwrap_or_default();
                ((shown["state"].as_str().unwrap(), reason) == expected).then_some(())
            });
        }
    }
    assert!(service.received().concat().contains("GET /healthz HTTP/1.1\r\n"));
}
