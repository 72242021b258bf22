//! TLS and HTTP/2 to services: a gateway in front of another, which ends TLS as any service may.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};

use crate::support::gateway::Gateway;
use crate::support::service::Service;
use crate::support::tls::{Authority, Pair};

/// A gateway that serves `service` under TLS with this certificate, asking clients for theirs if `client_auth` says so.
fn secure(service: &Service, pair: &Pair, clients: Option<&Authority>) -> Gateway {
    let auth = if clients.is_some() {
        ", client_auth: { ca: clients.crt }"
    } else {
        ""
    };
    let config = format!(
        "listeners: [{{ bind: 127.0.0.1:0, tls: {{ certificates: [{{ cert: a.crt, key: a.key }}]{auth} }} }}]\nworkers: 1\nservices: {{ a: {{ endpoints: [{}] }} }}\nroutes: [{{ name: all, to: a }}]\n",
        service.url()
    );
    let clients = clients.map_or("", Authority::pem);
    Gateway::beside(
        &[
            ("a.crt", &pair.cert),
            ("a.key", &pair.key),
            ("clients.crt", clients),
        ],
        config,
    )
}

/// A gateway in front of `inner`; `keys` are further ones of its service.
fn front(inner: &Gateway, files: &[(&str, &str)], keys: &str) -> Gateway {
    let config = format!(
        "listeners: [{{ bind: 127.0.0.1:0 }}]\nworkers: 1\nservices: {{ s: {{ endpoints: [\"https://{}\"]{keys} }} }}\nroutes: [{{ name: all, to: s, rewrite: {{ host: a.test }} }}]\n",
        inner.address()
    );
    Gateway::beside(files, config)
}

#[test]
fn a_service_is_known_by_whom_its_certificate_is_signed_by_and_for() {
    let service = Service::echo("a");
    let (authority, others) = (Authority::new(), Authority::new());
    let inner = secure(&service, &authority.issue(&["a.test"]), None);
    let files = [("ca.crt", authority.pem()), ("others.crt", others.pem())];
    let ask = |keys: &str| {
        let gateway = front(&inner, &files, keys);
        let answer = gateway.get("http://a.test/x");
        (answer.status(), answer.header("proxy-status").map(str::to_owned))
    };
    let distrusted = (502, Some("waypost; error=tls_certificate_error".to_owned()));
    assert_eq!(ask(", tls: { ca: ca.crt, server_name: a.test }").0, 200);
    // The name in the URL is an address, which the certificate is not for.
    assert_eq!(ask(", tls: { ca: ca.crt }"), distrusted);
    assert_eq!(ask(", tls: { ca: others.crt, server_name: a.test }"), distrusted);
    // Nobody's machine trusts what a test has made.
    assert_eq!(ask(", tls: { server_name: a.test }"), distrusted);
    let gateway = front(&inner, &files, ", tls: { insecure: true }");
    gateway.wait_for_part("warning[insecure-service]");
    assert_eq!(gateway.get("http://a.test/x").status(), 200);
}

#[test]
fn a_certificate_that_signs_itself_is_known_by_itself() {
    let service = Service::echo("a");
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    // As `openssl req -x509` makes them.
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pair = Pair {
        cert: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    };
    let inner = secure(&service, &pair, None);
    let files = [("ca.crt", &*pair.cert)];
    let gateway = front(&inner, &files, ", tls: { ca: ca.crt, server_name: a.test }");
    assert_eq!(gateway.get("http://a.test/x").status(), 200);
    let gateway = front(&inner, &files, ", tls: { ca: ca.crt, server_name: b.test }");
    assert_eq!(gateway.get("http://a.test/x").status(), 502);
}

#[test]
fn a_service_may_ask_for_the_gateways_certificate() {
    let service = Service::echo("a");
    let (authority, clients) = (Authority::new(), Authority::new());
    let inner = secure(&service, &authority.issue(&["a.test"]), Some(&clients));
    let own = clients.client("gateway", "spiffe://x/gateway");
    let files = [
        ("ca.crt", authority.pem()),
        ("own.crt", &*own.cert),
        ("own.key", &*own.key),
    ];
    let shows = ", tls: { ca: ca.crt, server_name: a.test, client_cert: { cert: own.crt, key: own.key } }";
    let gateway = front(&inner, &files, shows);
    let told = gateway.get("http://a.test/x").json()["headers"].to_string();
    assert!(told.contains("spiffe://x/gateway"), "{told}");
    let gateway = front(&inner, &files, ", tls: { ca: ca.crt, server_name: a.test }");
    assert_eq!(gateway.get("http://a.test/x").status(), 502);
}

#[test]
fn the_protocol_is_chosen_in_the_handshake() {
    let service = Service::echo("a");
    let authority = Authority::new();
    let inner = secure(&service, &authority.issue(&["a.test"]), None);
    let files = [("ca.crt", authority.pem())];
    let tls = ", tls: { ca: ca.crt, server_name: a.test }";
    for (keys, connections) in [(", http2: true", 1), ("", 8)] {
        let gateway = front(&inner, &files, &format!("{tls}{keys}"));
        let before = connections_of(&inner);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let body = "x".repeat(100_000);
                    let answer = gateway.ask(format!(
                        "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    ));
                    assert_eq!(answer.json()["body"].as_str().map(str::len), Some(body.len()));
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

/// How many connections a gateway has accepted.
fn connections_of(gateway: &Gateway) -> u64 {
    let metrics = gateway.admin("GET", "/metrics", "", "").text();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("waypost_connections_total "))
        .unwrap_or_else(|| panic!("{metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// A service that says with each answer that nothing follows, in one piece with it, and then leaves the connection open.
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
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            connection.writer().write_all(answer).unwrap();
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
fn a_connection_that_says_with_its_answer_that_nothing_follows_is_not_used_again() {
    let authority = Authority::new();
    let address = farewelling(&authority.issue(&["a.test"]));
    let config = format!(
        "listeners: [{{ bind: 127.0.0.1:0 }}]\nworkers: 1\nservices: {{ s: {{ endpoints: [\"https://{address}\"], tls: {{ ca: ca.crt, server_name: a.test }} }} }}\nroutes: [{{ name: all, to: s }}]\n",
    );
    let gateway = Gateway::beside(&[("ca.crt", authority.pem())], config);
    for _ in 0..3 {
        assert_eq!(gateway.get("http://a.test/x").status(), 200);
    }
}
