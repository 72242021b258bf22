//! `host` of a service: it is asked by the name of the endpoint that gets the request, or by a fixed one.

use serde_json::{Value, json};

use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::service::{Service, echo};

/// The URL of a service by the name of this machine.
fn by_name(service: &Service) -> String {
    format!("http://localhost:{}", service.address().port())
}

/// A header of an echoed request.
fn header(echoed: &Value, name: &str) -> String {
    let mut headers = echoed["headers"].as_array().unwrap().iter();
    let found = headers.find(|header| header[0] == name);
    found.map_or_else(String::new, |header| header[1].as_str().unwrap().to_owned())
}

#[test]
fn each_endpoint_gets_its_own_authority() {
    let (one, other) = (Service::echo("one"), Service::echo("other"));
    let authorities = [
        one.address().to_string(),
        format!("localhost:{}", other.address().port()),
    ];
    let gateway = Gateway::with(
        Config::new()
            .service_at("s", &[&one.url(), &by_name(&other)], "host: endpoint")
            .service_at("c", &[&one.url()], "host: client")
            .route("name: all, to: s")
            .route("name: client, match: { path: /client }, to: c")
            .route("name: fixed, match: { path: /fixed }, to: s, rewrite: { host: fixed.test }"),
    );
    let http2 = Http2Client::connect(gateway.address());
    let mut asked = Vec::new();
    for _ in 0..2 {
        for echoed in [gateway.get("http://a.test/"), http2.get("http://a.test/")] {
            let echoed = echoed.json();
            let expected = &authorities[usize::from(echoed["service"] == "other")];
            assert_eq!(header(&echoed, "Host"), *expected, "{echoed}");
            assert_eq!(header(&echoed, "x-forwarded-host"), "a.test");
            asked.push(echoed["service"].clone());
        }
    }
    assert!(
        asked.contains(&json!("one")) && asked.contains(&json!("other")),
        "{asked:?}"
    );
    for (path, expected) in [("client", "a.test"), ("fixed", "fixed.test")] {
        let echoed = gateway.get(&format!("http://a.test/{path}")).json();
        assert_eq!(header(&echoed, "Host"), expected);
    }
}

#[test]
fn request_that_is_sent_again_gets_the_authority_of_its_new_endpoint() {
    // Ends each connection with its second request.
    let dying = Service::named("dying", |talk| {
        if let Some(request) = talk.request() {
            talk.send(echo("dying", &request));
            talk.request();
        }
    });
    let echoing = Service::echo("echoing");
    let gateway = Gateway::with(
        Config::new()
            .service_at("s", &[&dying.url(), &by_name(&echoing)], "host: endpoint")
            .route("name: all, to: s"),
    );
    let mut client = gateway.connect();
    for _ in 0..12 {
        assert_eq!(client.get("http://a.test/").status(), 200);
    }
    for (service, authority) in [
        (&dying, dying.address().to_string()),
        (&echoing, format!("localhost:{}", echoing.address().port())),
    ] {
        let received = service.received().concat();
        let hosts: Vec<&str> = received
            .lines()
            .filter_map(|line| line.strip_prefix("Host: "))
            .collect();
        assert!(hosts.len() > 2, "{received}");
        assert!(hosts.iter().all(|host| *host == authority), "{hosts:?}");
    }
}

#[test]
fn copies_and_references_follow_the_endpoint() {
    let copies = Service::echo("copies");
    let service = Service::scripted(|talk| {
        while let Some(request) = talk.request() {
            let host = request.header("host").unwrap_or_default().to_owned();
            talk.send(format!(
                "HTTP/1.1 302 Found\r\nLocation: http://{host}/next\r\nContent-Length: 0\r\n\r\n"
            ));
        }
    });
    let config = Config::new()
        .service_at("s", &[&service.url()], "host: endpoint")
        .service_at("m", &[&by_name(&copies)], "host: endpoint")
        .service_at("n", &[&by_name(&copies)], "")
        .route("name: all, to: s, mirror: { to: m }")
        .route("name: n, match: { path: /n }, to: s, mirror: { to: n }")
        .test(&format!(
            "request: GET http://a.test/, expect: {{ host: \"{}\" }}",
            service.address()
        ));
    let gateway = Gateway::with(config);
    let response = gateway.get("http://a.test/x");
    assert_eq!(response.header("location"), Some("http://a.test/next"));
    copies.wait_for(&format!("Host: localhost:{}\r\n", copies.address().port()));
    gateway.get("http://a.test/n");
    copies.wait_for("Host: a.test\r\n");
    for answer in [
        gateway.explain("http://a.test/"),
        gateway.explain_offline("http://a.test/"),
    ] {
        assert_eq!(answer["host"], service.address().to_string());
    }
}

#[test]
fn a_fixed_host_is_the_services_own() {
    let (service, copies) = (Service::echo("s"), Service::echo("copies"));
    let redirecting = Service::scripted(|talk| {
        while let Some(request) = talk.request() {
            let host = request.header("host").unwrap_or_default().to_owned();
            talk.send(format!(
                "HTTP/1.1 302 Found\r\nLocation: https://{host}/next\r\n\
                 Set-Cookie: a=1; Domain=orders.example\r\nContent-Length: 0\r\n\r\n"
            ));
        }
    });
    let host = "host: \"orders.example:8443\"";
    let config = Config::new()
        .service_at(
            "s",
            &[&service.url()],
            &format!("{host}, health: {{ path: /healthz, interval: 1s }}"),
        )
        .service_at("c", &[&copies.url()], host)
        .service_at("r", &[&redirecting.url()], host)
        .route("name: all, to: s, mirror: { to: c }")
        .route("name: fixed, match: { path: /fixed }, to: s, rewrite: { host: fixed.test }")
        .route("name: moved, match: { path: /moved }, to: r")
        .route("name: raw, match: { path: /raw }, to: r, rewrite: { reverse: off, host: fixed.test }")
        .test("request: GET http://a.test/, expect: { host: \"orders.example:8443\" }");
    let gateway = Gateway::with(config);
    let http2 = Http2Client::connect(gateway.address());
    for (path, expected) in [("", "orders.example:8443"), ("fixed", "fixed.test")] {
        let url = format!("http://a.test/{path}");
        for echoed in [gateway.get(&url), http2.get(&url)] {
            let echoed = echoed.json();
            assert_eq!(header(&echoed, "Host"), expected, "{echoed}");
            assert_eq!(header(&echoed, "x-forwarded-host"), "a.test");
        }
        for answer in [gateway.explain(&url), gateway.explain_offline(&url)] {
            assert_eq!(answer["host"], expected);
        }
    }
    copies.wait_for("Host: orders.example:8443\r\n");
    service.wait_for("GET /healthz HTTP/1.1\r\nhost: orders.example:8443\r\n");
    // Without a host of the client, too.
    assert_eq!(
        header(&gateway.ask("GET / HTTP/1.0\r\n\r\n").json(), "Host"),
        "orders.example:8443"
    );
    let moved = gateway.get("http://a.test/moved");
    assert_eq!(
        (moved.header("location"), moved.header("set-cookie")),
        (Some("https://a.test/next"), Some("a=1; Domain=a.test"))
    );
    let raw = gateway.get("http://a.test/raw");
    assert_eq!(raw.header("location"), Some("https://fixed.test/next"));
}

#[test]
fn a_public_service_that_gets_the_host_of_clients_is_a_warning() {
    let write = |keys: &str| {
        Config::new()
            .service_at("s", &["https://api.example.org"], keys)
            .route("name: all, to: s")
    };
    for (keys, warns) in [
        ("", true),
        ("host: client", false),
        ("host: endpoint", false),
        ("host: a.test", false),
    ] {
        let gateway = Gateway::with(write(keys));
        let checked = gateway
            .command(&["check", gateway.config().to_str().unwrap()])
            .expect(0);
        assert_eq!(
            checked.stdout.contains("warning[foreign-host]"),
            warns,
            "{}",
            checked.stdout
        );
    }
}
