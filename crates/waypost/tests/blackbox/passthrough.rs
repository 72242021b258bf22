//! TLS that passes through: connections by the host that their clients name, with the splits and dials of requests.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;

use crate::support::PATIENCE;
use crate::support::command::waypost_in;
use crate::support::gateway::Gateway;
use crate::support::service::Service;
use crate::support::tls::{Authority, Trusting, der};

/// A gateway that ends TLS for `host` in front of `service`.
fn inner(service: &Service, authority: &Authority, host: &str) -> (Gateway, Vec<u8>) {
    let pair = authority.issue(&[host, "both.test"]);
    let config = format!(
        "listeners: [{{ bind: 127.0.0.1:0, tls: {{ certificates: [{{ cert: a.crt, key: a.key }}] }} }}]\nworkers: 1\nservices: {{ a: {{ endpoints: [{}] }} }}\nroutes: [{{ name: all, to: a }}]\n",
        service.url()
    );
    let gateway = Gateway::beside(&[("a.crt", &pair.cert), ("a.key", &pair.key)], config);
    (gateway, der(&pair))
}

#[test]
fn a_connection_goes_where_its_host_is_and_nowhere_else() {
    let authority = Authority::new();
    let service = Service::echo("s");
    let (a, shown_a) = inner(&service, &authority, "a.test");
    let (b, shown_b) = inner(&service, &authority, "x.b.test");
    let config = format!(
        "listeners: [{{ bind: 127.0.0.1:0, tls: {{ passthrough: true }} }}]\nworkers: 1\nservices:\n  a: {{ endpoints: [\"https://{}\"] }}\n  b: {{ endpoints: [\"https://{}\"] }}\nroutes:\n- {{ name: a, match: {{ host: a.test }}, passthrough: a }}\n- {{ name: b, match: {{ host: \"*.b.test\" }}, passthrough: b }}\n- {{ name: both, match: {{ host: both.test }}, passthrough: {{ a: 1, b: 0 }} }}\n",
        a.address(),
        b.address()
    );
    let gateway = Gateway::with(config);
    let trusting = Trusting::new(&authority);
    for (host, shown) in [
        ("a.test", &shown_a),
        ("x.b.test", &shown_b),
        ("both.test", &shown_a),
    ] {
        let mut client = trusting.connect(gateway.address(), host);
        assert_eq!(client.shown(), *shown, "{host}");
        let answer = client.get(host, "/x").json();
        assert_eq!(answer["service"], "s");
    }
    // The dial turns for connections as it does for requests, and those that are open stay.
    let mut open = trusting.connect(gateway.address(), "both.test");
    assert_eq!(gateway.dial("both", &json!({ "b": 1 })).status(), 200);
    assert_eq!(trusting.connect(gateway.address(), "both.test").shown(), shown_b);
    assert_eq!(open.get("both.test", "/").status(), 200);
    gateway.rewrite(
        "listeners: [{ bind: 127.0.0.1:0, name: other }]\nroutes: [{ name: o, respond: { status: 200 } }]\n",
    );
    gateway.wait_for_revision(2);
    assert_eq!(open.get("both.test", "/").status(), 200);

    let before = a.admin("GET", "/metrics", "", "").text();
    trusting.refusal(gateway.address(), "other.test");
    assert_eq!(a.admin("GET", "/metrics", "", "").text().len(), before.len());
}

#[test]
fn what_is_no_tls_is_closed() {
    let config = "listeners: [{ bind: 127.0.0.1:0, tls: { passthrough: true } }]\nservices: { a: { endpoints: [\"https://127.0.0.1:1\"] } }\nroutes: [{ name: a, match: { host: a.test }, passthrough: a }]\n";
    let gateway = Gateway::with(config);
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
fn explain_knows_where_a_connection_goes() {
    let config = "listeners:\n- { bind: 127.0.0.1:0, name: pass, tls: { passthrough: true } }\nservices: { a: { endpoints: [\"https://127.0.0.1:1\"] } }\nroutes: [{ name: a, match: { host: a.test }, passthrough: a }]\ntests:\n- { request: GET https://a.test/, expect: { route: a, service: a } }\n- { request: GET https://b.test/, expect: { outcome: not_found } }\n";
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
