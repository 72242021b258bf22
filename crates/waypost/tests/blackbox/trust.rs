//! Services are told by the gateway alone: headers that servers believe end here unless a trusted proxy sends them.

use bytes::Bytes;
use http::Request;
use serde_json::Value;

use crate::support::client::{Client, request};
use crate::support::command::waypost_in;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::message::seen;
use crate::support::service::{Service, echo};

/// Headers of the families, each with a value that shows up wherever it gets.
const FAMILIES: [&str; 26] = [
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Ssl",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Uri",
    "X-Forwarded-Method",
    "X-Forwarded-By",
    "X-Forwarded-Proto-Version",
    "X-Forwarded-Client-Cert",
    "X-Forwarded",
    "X-Original-URL",
    "X-Original-Host",
    "X-Original-Method",
    "X-Original-Forwarded-For",
    "X-Rewrite-URL",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "Fastly-Client-IP",
    "X-Envoy-External-Address",
    "X-Envoy-Internal",
    "X-Envoy-Original-Path",
    "Front-End-Https",
    "X-Url-Scheme",
];
/// The gateway's own, which not even a trusted proxy passes on.
const OWN: [&str; 3] = ["X-Waypost-Mirror", "X-Waypost-Route", "X-Waypost-Anything"];
const FORGED: &str = "/forged";

/// Header lines, one for each name, in the spelling of `spell`.
fn lines(spell: impl Fn(&str) -> String) -> String {
    let names = FAMILIES.iter().chain(&OWN);
    names
        .map(|name| format!("{}: {FORGED}\r\n", spell(name)))
        .collect()
}

fn all_lines() -> String {
    lines(str::to_owned)
}

/// An HTTP/2 request with these header lines.
fn with_lines(builder: http::request::Builder, lines: &str) -> Request<()> {
    let fields = lines.lines().filter_map(|line| line.split_once(": "));
    let request = fields.fold(builder, |builder, (name, value)| builder.header(name, value));
    request.body(()).unwrap()
}

/// The headers of the families in what `explain` says that the service gets.
fn explained(gateway: &Gateway, client: &str) -> Vec<String> {
    let config = gateway.config().to_str().unwrap();
    let mut asked = vec![
        "explain",
        config,
        "GET",
        "http://a.test/",
        "--client-ip",
        client,
        "--format",
        "json",
    ];
    let all = all_lines();
    for line in all.lines() {
        asked.extend(["-H", line]);
    }
    let explained = waypost_in(gateway.directory(), &asked).expect(0).json();
    forged(&explained["headers"])
}

/// The names of the headers with the forged value.
fn forged(headers: &Value) -> Vec<String> {
    let headers: Vec<(String, String)> = serde_json::from_value(headers.clone()).unwrap();
    let forged = headers.into_iter().filter(|(_, value)| value.contains(FORGED));
    forged.map(|(name, _)| name.to_lowercase()).collect()
}

#[test]
fn what_clients_say_of_themselves_ends_here() {
    let service = Service::echo("a");
    let gateway = Gateway::with(Config::listening(&["trusted_proxies: [192.0.2.0/24]"]).all_to(&service));
    let http1 = gateway.ask(request("GET", "http://a.test/", &all_lines()));
    let http2 = Http2Client::connect(gateway.address());
    let http2 = http2.ask(with_lines(Request::get("http://a.test/"), &all_lines()), "");
    for response in [http1, http2] {
        assert_eq!(forged(&response.json()["headers"]), Vec::<String>::new());
        assert_eq!(seen(&response), [("host".to_owned(), "a.test".to_owned())]);
    }
    assert_eq!(explained(&gateway, "127.0.0.1"), Vec::<String>::new());
}

#[test]
fn trusted_proxies_are_passed_on_but_for_the_gateways_own() {
    let service = Service::echo("a");
    let gateway = Gateway::with(Config::listening(&["trusted_proxies: [127.0.0.1]"]).all_to(&service));
    let expected: Vec<String> = FAMILIES
        .iter()
        // A path is no port.
        .filter(|name| **name != "X-Forwarded-Port")
        .map(|name| name.to_lowercase())
        .collect();
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    let expected = sorted(expected);
    let http1 = gateway.ask(request("GET", "http://a.test/", &all_lines()));
    let http2 = Http2Client::connect(gateway.address());
    let http2 = http2.ask(with_lines(Request::get("http://a.test/"), &all_lines()), "");
    for response in [http1, http2] {
        assert_eq!(sorted(forged(&response.json()["headers"])), expected);
    }
    assert_eq!(sorted(explained(&gateway, "127.0.0.1")), expected);
    assert_eq!(explained(&gateway, "192.0.2.7"), Vec::<String>::new());
}

#[test]
fn client_behind_the_proxy_protocol_is_not_trusted() {
    let service = Service::echo("a");
    let keys = "proxy_protocol: required, trusted_proxies: [127.0.0.1]";
    let gateway = Gateway::with(Config::listening(&[keys]).all_to(&service));
    let asked = request("GET", "http://a.test/", &all_lines());
    let response = gateway.ask(format!("PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n{asked}"));
    assert_eq!(forged(&response.json()["headers"]), Vec::<String>::new());
}

#[test]
fn underscores_and_connection_do_not_get_a_family_past() {
    let service = Service::echo("a");
    for keys in ["limits: { underscores: keep }", "name: dropping"] {
        let gateway = Gateway::with(Config::listening(&[keys]).all_to(&service));
        for spelling in [
            lines(|name| name.replace('-', "_")),
            lines(|name| name.replacen('-', "_", 1)),
        ] {
            let response = gateway.ask(request("GET", "http://a.test/", &spelling));
            assert_eq!(
                forged(&response.json()["headers"]),
                Vec::<String>::new(),
                "{keys}"
            );
            let http2 = Http2Client::connect(gateway.address());
            let response = http2.ask(with_lines(Request::get("http://a.test/"), &spelling), "");
            assert_eq!(
                forged(&response.json()["headers"]),
                Vec::<String>::new(),
                "{keys}"
            );
        }
    }
    // What a trusted proxy says cannot be declared hop-by-hop, which would leave the service without it.
    let gateway = Gateway::with(Config::listening(&["trusted_proxies: [127.0.0.1]"]).all_to(&service));
    let nominated = "X-Forwarded-Ssl: /forged\r\nTrue-Client-IP: /forged\r\nX-Mine: /forged\r\n\
                     Connection: X-Forwarded-Ssl, True-Client-IP, X-Mine\r\n";
    let response = gateway.ask(request("GET", "http://a.test/", nominated));
    let names = forged(&response.json()["headers"]);
    assert_eq!(names, ["x-forwarded-ssl", "true-client-ip"]);
}

#[test]
fn copies_and_tunnels_are_told_no_more() {
    let (main, shadow) = (Service::echo("main"), Service::echo("shadow"));
    let gateway = Gateway::with(
        Config::new()
            .service(&main, "")
            .service(&shadow, "")
            .route("name: all, to: main, mirror: { to: shadow }"),
    );
    gateway.ask(request("GET", "http://a.test/one", &all_lines()));
    let http2 = Http2Client::connect(gateway.address());
    http2.ask(with_lines(Request::get("http://a.test/two"), &all_lines()), "");
    for path in ["/one", "/two"] {
        shadow.wait_for(&format!("GET {path} HTTP/1.1\r\n"));
    }
    shadow.wait_until(|received| {
        received
            .concat()
            .windows(4)
            .filter(|end| end == b"\r\n\r\n")
            .count()
            == 2
    });
    for (service, marks) in [(&main, 0), (&shadow, 2)] {
        let received = service.received().concat();
        assert!(!received.contains(FORGED), "{received}");
        assert_eq!(
            received.matches("x-waypost-mirror: all\r\n").count(),
            marks,
            "{received}"
        );
    }

    let service = Service::scripted(|talk| {
        talk.request_head();
        talk.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello",
        );
        talk.read_to_end();
    });
    let gateway = Gateway::to(&service);
    let upgrade = "Connection: upgrade, x-forwarded-ssl\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut client = Client::connect(gateway.address());
    client.send(request(
        "GET",
        "http://a.test/",
        &format!("{}{upgrade}", all_lines()),
    ));
    assert_eq!(client.response_head().status(), 101);
    client.expect("hello");
    let http2 = Http2Client::connect(gateway.address());
    http2.wait_for_extended_connect();
    let connect = Request::builder()
        .method("CONNECT")
        .uri("http://a.test/")
        .extension(h2::ext::Protocol::from_static("websocket"));
    let mut stream = http2.open(with_lines(connect, &all_lines()), false);
    assert_eq!(stream.head().unwrap().status(), 200);
    let hello = stream.piece().unwrap().map(Bytes::from);
    assert_eq!(hello.unwrap(), "hello");
    let received = service.received();
    assert_eq!(received.len(), 2);
    for head in received {
        assert!(
            head.contains("upgrade: websocket\r\n") && !head.contains(FORGED),
            "{head}"
        );
    }
}

#[test]
fn services_cannot_speak_for_the_gateway() {
    let service = Service::scripted(|talk| {
        while let Some(asked) = talk.request() {
            let echoed = String::from_utf8(echo("a", &asked)).unwrap();
            talk.send(echoed.replacen(
                "\r\n",
                "\r\nX-Waypost-Route: forged\r\nX-Waypost-Else: 1\r\nX-Else: 1\r\n",
                1,
            ));
        }
    });
    for (debug, route) in [("true", Some("all")), ("false", None)] {
        let config = Config::new()
            .key(&format!("debug_headers: {debug}"))
            .all_to(&service);
        let gateway = Gateway::with(config);
        let http1 = gateway.get("http://a.test/");
        let http2 = Http2Client::connect(gateway.address()).get("http://a.test/");
        for response in [http1, http2] {
            assert_eq!(
                response.values("x-waypost-route"),
                Vec::from_iter(route),
                "{}",
                response.head
            );
            assert_eq!(response.header("x-waypost-else"), None);
            assert_eq!(response.header("x-else"), Some("1"));
        }
    }
}

#[test]
fn conditions_see_what_the_client_sent() {
    let service = Service::echo("a");
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "")
            .route("name: claims, match: { headers: { x-forwarded-ssl: \"on\", x-waypost-mirror: true } }, respond: { status: 418 }")
            .route("name: all, to: a"),
    );
    let fields = "X-Forwarded-Ssl: on\r\nX-Waypost-Mirror: all\r\n";
    assert_eq!(
        gateway.ask(request("GET", "http://a.test/", fields)).status(),
        418
    );
    assert_eq!(gateway.get("http://a.test/").status(), 200);
}
