//! TLS passthrough: connections routed by SNI host, with splits and dials.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use serde_json::json;

use crate::support::command::waypost_in;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::Service;
use crate::support::tls::{Authority, TlsClient, Trusting, der};
use crate::support::unix::UnixSocket;
use crate::support::{PATIENCE, wait_for};

/// A gateway that terminates TLS for `host` in front of `service`; also its certificate.
fn inner(service: &Service, authority: &Authority, host: &str) -> (Gateway, Vec<u8>) {
    let pair = authority.issue(&[host, "both.test"]);
    (Gateway::with_certificates(&[&pair], service), der(&pair))
}

/// A config whose listener passes TLS through.
fn passing() -> Config {
    Config::listening(&["tls: { passthrough: true }"])
}

/// A config that passes connections for `a.test` to a refusing endpoint.
fn one_host() -> Config {
    passing()
        .service_at("a", &["https://127.0.0.1:1"], "")
        .route("name: a, match: { host: a.test }, passthrough: a")
}

#[test]
fn connections_routed_by_sni_host() {
    let authority = Authority::new();
    let service = Service::echo("s");
    let (a, shown_a) = inner(&service, &authority, "a.test");
    let (b, shown_b) = inner(&service, &authority, "x.b.test");
    let gateway = Gateway::with(
        passing()
            .service_at("a", &[&format!("https://{}", a.address())], "")
            .service_at("b", &[&format!("https://{}", b.address())], "")
            .route("name: a, match: { host: a.test }, passthrough: a")
            .route("name: b, match: { host: \"*.b.test\" }, passthrough: b")
            .route("name: both, match: { host: both.test }, passthrough: { a: 1, b: 0 }"),
    );
    let trusting = Trusting::new(&authority);
    for (host, shown) in [
        ("a.test", &shown_a),
        ("x.b.test", &shown_b),
        ("both.test", &shown_a),
    ] {
        let mut client = trusting.connect(gateway.address(), host);
        assert_eq!(client.shown(), *shown, "{host}");
        let response = client.get(host, "/x").json();
        assert_eq!(response["service"], "s");
    }
    // A dial applies to new connections; open ones stay.
    let mut open = trusting.connect(gateway.address(), "both.test");
    assert_eq!(gateway.dial("both", &json!({ "b": 1 })).status(), 200);
    assert_eq!(trusting.connect(gateway.address(), "both.test").shown(), shown_b);
    assert_eq!(open.get("both.test", "/").status(), 200);
    gateway.rewrite(Config::listening(&["name: other"]).all_respond(""));
    gateway.wait_for_revision(2);
    assert_eq!(open.get("both.test", "/").status(), 200);

    let before = a.metrics();
    trusting.refusal(gateway.address(), "other.test");
    assert_eq!(a.metrics().len(), before.len());
}

#[test]
fn connections_admitted_by_address() {
    let authority = Authority::new();
    let service = Service::echo("s");
    let (inner, _) = inner(&service, &authority, "a.test");
    let gateway = Gateway::with(
        passing()
            .service_at("a", &[&format!("https://{}", inner.address())], "")
            .route("name: a, match: { host: a.test }, passthrough: a, access: { allow: [127.0.0.0/8] }")
            .route("name: both, match: { host: both.test }, passthrough: a, access: { deny: [127.0.0.1] }"),
    );
    let trusting = Trusting::new(&authority);
    let mut client = trusting.connect(gateway.address(), "a.test");
    assert_eq!(client.get("a.test", "/").status(), 200);
    trusting.refusal(gateway.address(), "both.test");
    for (host, outcome) in [("a.test", "forward"), ("both.test", "refused")] {
        let explanation = gateway.explain(&format!("https://{host}/"));
        assert_eq!(explanation["outcome"], outcome, "{explanation}");
    }
    let elsewhere = gateway.explain_question(&json!({
        "request": "GET https://both.test/", "client_ip": "10.0.0.1",
    }));
    assert_eq!(elsewhere["outcome"], "forward", "{elsewhere}");
}

#[test]
fn timeouts_of_a_route_bound_idle_connections() {
    let authority = Authority::new();
    let service = Service::echo("s");
    let (inner, _) = inner(&service, &authority, "a.test");
    let gateway = Gateway::with(
        passing()
            .service_at("a", &[&format!("https://{}", inner.address())], "")
            .route("name: a, match: { host: a.test }, passthrough: a, timeouts: { tunnel: 500ms }"),
    );
    let trusting = Trusting::new(&authority);
    // A connection on which the machine stands still for so long is idle too.
    let mut client = wait_for("a response before the end", || {
        let client = TlsClient::connect(trusting.config(), gateway.address(), "a.test");
        let mut client = client.ok()?;
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let response = client.try_response()?;
        response.is_complete.then_some(client)
    });
    assert!(client.try_response().is_none());
}

#[test]
fn non_tls_connections_closed() {
    let gateway = Gateway::with(one_host());
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"[..],
        &[0xff; 600],
        b"\x16\x03\x01\xff\xff",
    ] {
        let mut socket = TcpStream::connect(gateway.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(bytes).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest);
        assert!(rest.is_empty(), "{bytes:?}: {rest:?}");
    }
}

#[test]
fn explain_covers_passthrough_routes() {
    let config = one_host()
        .test("request: GET https://a.test/, expect: { route: a, service: a }")
        .test("request: GET https://b.test/, expect: { outcome: not_found }");
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("waypost.yaml"), config).unwrap();
    waypost_in(directory.path(), &["check", "waypost.yaml"]).expect(0);
    let explained = waypost_in(
        directory.path(),
        &["explain", "waypost.yaml", "GET", "https://a.test/x"],
    )
    .expect(0);
    assert!(explained.stdout.contains("goes to a"), "{}", explained.stdout);
}

#[test]
fn explain_shows_no_response_for_refused_connections() {
    let config = Config::listening(&["hosts: [a.test], tls: { passthrough: true }"])
        .service_at("a", &["https://127.0.0.1:1"], "")
        .route("name: a, match: { host: a.test }, passthrough: a");
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("waypost.yaml"), config).unwrap();
    let command = [
        "explain",
        "waypost.yaml",
        "GET",
        "https://b.test/",
        "--format",
        "json",
    ];
    let refused = waypost_in(directory.path(), &command).expect(0).json();
    assert_eq!(
        (&refused["outcome"], &refused["status"]),
        (&"not_found".into(), &serde_json::Value::Null)
    );
    assert_eq!(refused["headers"], serde_json::json!([]));
}

/// A ClientHello with this SNI host. rustls would normalize the name, so a name of the same length is replaced.
fn client_hello(host: &str) -> Vec<u8> {
    let placeholder = "x".repeat(host.len());
    let config = Trusting::new(&Authority::new()).config();
    let name = ServerName::try_from(placeholder.clone()).unwrap();
    let mut connection = ClientConnection::new(Arc::clone(&config), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    let at = bytes
        .windows(host.len())
        .position(|window| window == placeholder.as_bytes());
    let at = at.expect("the name in clear text");
    bytes[at..at + host.len()].copy_from_slice(host.as_bytes());
    bytes
}

#[test]
fn sni_host_normalized_as_explain_does() {
    let service = Service::scripted(|talk| talk.read_to_end());
    let gateway = Gateway::with(
        passing()
            .service_at("s", &[&service.url().replace("http:", "https:")], "")
            .route("name: all, match: { host: a.test }, passthrough: s"),
    );
    let mut connections = 0;
    for (host, passes) in [
        ("a.test", true),
        ("A.Test", true),
        ("a.test.", true),
        ("a.test..", false),
        ("b.test", false),
    ] {
        let mut socket = TcpStream::connect(gateway.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(&client_hello(host)).unwrap();
        if passes {
            connections += 1;
            service.wait_until(|received| received.len() == connections);
        } else {
            // The gateway closes the connection, perhaps after an alert.
            let _ = socket.read_to_end(&mut Vec::new());
            assert_eq!(service.connections(), connections, "{host}");
        }
        let url = format!("https://{host}/");
        for (way, answer) in [
            ("offline", gateway.explain_offline(&url)),
            ("live", gateway.explain(&url)),
        ] {
            assert_eq!(answer["outcome"] == "forward", passes, "{host} {way}: {answer}");
        }
    }
}

#[test]
fn failures_between_good_connections_are_none_in_a_row() {
    let authority = Authority::new();
    let service = Service::echo("s");
    let (inner, _) = inner(&service, &authority, "a.test");
    let socket = UnixSocket::to(inner.address());
    let gateway = Gateway::with(
        passing()
            .workers(1)
            .service_at(
                "a",
                &[&socket.endpoint(), &format!("https://{}", inner.address())],
                "eject: { failures: 2 }",
            )
            .route("name: a, passthrough: a"),
    );
    let trusting = Trusting::new(&authority);
    let socket_shown = || gateway.admin_json("/api/v1/services/a")["endpoints"][0]["addresses"][0].clone();
    // Half of the connections go to the socket, and on to the other endpoint if it is not there.
    let pass_until = |key: &str, expected: u64| {
        wait_for(key, || {
            let mut client = trusting.connect(gateway.address(), "a.test");
            assert_eq!(client.get("a.test", "/").status(), 200);
            drop(client);
            (socket_shown()[key].as_u64().unwrap() >= expected).then_some(())
        });
    };
    for failures in 1..4 {
        socket.remove();
        pass_until("failures", failures);
        assert_eq!(socket_shown()["state"], "up");
        socket.open(inner.address());
        let requests = socket_shown()["requests"].as_u64().unwrap();
        pass_until("requests", requests + 1);
    }
    socket.remove();
    pass_until("failures", 5);
    assert_eq!(socket_shown()["state"], "ejected");
}
