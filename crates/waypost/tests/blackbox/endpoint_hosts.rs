//! `host: endpoint`: a service is asked by the name of the endpoint that gets the request.

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
