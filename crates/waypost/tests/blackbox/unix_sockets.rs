//! Services on unix sockets: they are endpoints like any other.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::{Http2Client, Http2Service};
use crate::support::service::{Service, ok};
use crate::support::unix::UnixSocket;
use crate::support::wait_for;

/// A config that sends everything to a service `s` at this endpoint, with these keys.
fn config(endpoint: &str, keys: &str) -> Config {
    Config::new()
        .service_at("s", &[endpoint], keys)
        .route("name: all, to: s")
}

#[test]
fn requests_reach_the_socket_over_kept_connections() {
    let service = Service::echo("a");
    let socket = UnixSocket::to(service.address());
    let gateway = Gateway::with(config(&socket.endpoint(), "").key("access_log: stdout"));
    let http2 = Http2Client::connect(gateway.address());
    for response in [gateway.get("http://a.test/1"), http2.get("http://a.test/1")] {
        let asked = response.json();
        assert_eq!((&asked["service"], &asked["target"]), (&json!("a"), &json!("/1")));
        assert!(
            asked["headers"].to_string().contains(r#"["Host","a.test"]"#),
            "{asked}"
        );
    }
    // A client without a host leaves the endpoint's, which has none of its own.
    let response = gateway.ask("GET /2 HTTP/1.0\r\n\r\n").json();
    assert!(
        response["headers"]
            .to_string()
            .contains(r#"["Host","localhost"]"#),
        "{response}"
    );
    assert_eq!(service.connections(), 1);
    let line: Value = serde_json::from_str(&gateway.wait_for_stdout("\"/2\"")).unwrap();
    assert_eq!(line["endpoint"], socket.endpoint());
    let shown = gateway.admin_json("/api/v1/services")[0]["endpoints"][0].clone();
    assert_eq!(shown["endpoint"], socket.endpoint());
    assert_eq!(shown["addresses"][0]["address"], socket.endpoint());
}

#[test]
fn large_bodies_pass_both_ways() {
    let service = Service::scripted(|talk| {
        while let Some(request) = talk.request() {
            talk.send(ok(&request.text()));
        }
    });
    let socket = UnixSocket::to(service.address());
    let gateway = Gateway::with(config(&socket.endpoint(), ""));
    let body: String = (0..100_000).map(|number| format!("{number:08}")).collect();
    let length = body.len();
    let mut client = gateway.connect();
    for _ in 0..2 {
        let response = client.ask(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        assert!(response.text() == body);
    }
    let request = http::Request::post("http://a/").body(()).unwrap();
    let response = Http2Client::connect(gateway.address()).ask(request, &body[..50_000]);
    assert!(response.text() == body[..50_000]);
}

#[test]
fn socket_speaks_http2_with_prior_knowledge() {
    let service = Http2Service::start(|request, mut respond| async move {
        let path = request.uri().path().to_owned();
        let mut body = respond.send_response(http::Response::new(()), false).unwrap();
        body.send_data(path.into(), true).unwrap();
    });
    let address = service.url().strip_prefix("http://").unwrap().parse().unwrap();
    let socket = UnixSocket::to(address);
    let gateway = Gateway::with(config(&socket.endpoint(), "http2: true"));
    assert_eq!(gateway.get("http://a/x").text(), "/x");
    assert_eq!(
        Http2Client::connect(gateway.address()).get("http://a/y").text(),
        "/y"
    );
}

#[test]
fn missing_socket_is_ejected_until_it_is_there() {
    let (service, other) = (Service::echo("a"), Service::echo("b"));
    let socket = UnixSocket::missing();
    let gateway = Gateway::with(config(&socket.endpoint(), ""));
    let host = gateway.admin_address();
    let mut events = Client::connect(host);
    events.send(format!("GET /api/v1/events HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    events.response_head();
    let refused = gateway.get("http://a/");
    assert_eq!(refused.status(), 502);
    assert_eq!(
        refused.header("proxy-status"),
        Some("waypost; error=connection_refused")
    );
    events.expect("event: endpoint_ejected\n");
    events.expect(&format!("\"address\":\"{}\"", socket.endpoint()));
    socket.open(service.address());
    wait_for("the socket", || {
        (gateway.get("http://a/").status() == 200).then_some(())
    });
    events.expect("event: endpoint_recovered\n");
    // Another endpoint takes the requests meanwhile.
    let missing = UnixSocket::missing();
    let two = Config::new()
        .service_at("s", &[&missing.endpoint(), &other.url()], "")
        .route("name: all, to: s");
    let gateway = Gateway::with(two);
    for _ in 0..4 {
        assert_eq!(gateway.get("http://a/").json()["service"], "b");
    }
}

#[test]
fn socket_gets_the_proxy_header_and_copies() {
    let (service, copies) = (Service::echo("a"), Service::echo("copies"));
    let (socket, mirror) = (
        UnixSocket::to(service.address()),
        UnixSocket::to(copies.address()),
    );
    // The header is read as the beginning of a request, which `echo` does not understand.
    let raw = Service::scripted(|talk| {
        talk.expect("\r\n");
        talk.request();
        talk.send(ok("proxied"));
    });
    let proxied = UnixSocket::to(raw.address());
    let gateway = Gateway::with(
        Config::new()
            .service_at("s", &[&socket.endpoint()], "")
            .service_at("m", &[&mirror.endpoint()], "")
            .service_at("p", &[&proxied.endpoint()], "proxy_protocol: v1")
            .route("name: all, to: s, mirror: { to: m }")
            .route("name: p, match: { path: /p }, to: p"),
    );
    assert_eq!(gateway.get("http://a/x").status(), 200);
    copies.wait_for("GET /x HTTP/1.1\r\n");
    assert_eq!(gateway.get("http://a/p").text(), "proxied");
    let received = raw.received().concat();
    assert!(
        received.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "),
        "{received}"
    );
}

#[test]
fn tunnel_to_a_socket() {
    let service = Service::scripted(|talk| {
        talk.request_head();
        talk.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
        talk.expect("ping");
        talk.send("pong");
        talk.read_to_end();
    });
    let socket = UnixSocket::to(service.address());
    let config = Config::new().service_at("s", &[&socket.endpoint()], "");
    let gateway = Gateway::with(config.route("name: all, to: s, upgrade: [x]"));
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(client.response_head().status(), 101);
    client.send("ping").expect("pong");
    drop(client);
}

#[test]
fn explain_shows_the_host_of_a_socket() {
    let socket = UnixSocket::missing();
    let config = config(&socket.endpoint(), "").test("request: GET /x, expect: { host: localhost }");
    let gateway = Gateway::with(config);
    for answer in [gateway.explain("/x"), gateway.explain_offline("/x")] {
        assert_eq!(
            (&answer["outcome"], &answer["host"]),
            (&json!("forward"), &json!("localhost"))
        );
    }
    assert!(!socket.path().exists());
}

#[test]
fn sockets_are_checked() {
    let (a, b) = (Service::echo("a"), Service::echo("b"));
    let sockets = [UnixSocket::to(a.address()), UnixSocket::to(b.address())];
    let endpoints = [sockets[0].endpoint(), sockets[1].endpoint()];
    for asked in ["path: /healthz", "tcp: true"] {
        let keys = format!("health: {{ {asked}, interval: 20ms, timeout: 5s, unhealthy: 1, healthy: 1 }}");
        let config = Config::new()
            .service_at("s", &[&endpoints[0], &endpoints[1]], &keys)
            .route("name: all, to: s");
        let gateway = Gateway::with(config);
        let wait_until = |expected: &str, reason: &Value| {
            wait_for(expected, || {
                let shown = gateway.admin_json("/api/v1/services/s")["endpoints"][0]["addresses"][0].clone();
                (shown["state"] == expected && shown["reason"] == *reason).then_some(())
            });
        };
        wait_until("up", &Value::Null);
        sockets[0].remove();
        wait_until("down", &json!("check failed: connection refused"));
        for _ in 0..4 {
            assert_eq!(gateway.get("http://a/").json()["service"], "b");
        }
        sockets[0].open(a.address());
        wait_until("up", &Value::Null);
    }
    let received = a.received().concat();
    assert!(
        received.contains("GET /healthz HTTP/1.1\r\nhost: localhost\r\n"),
        "{received}"
    );
}
