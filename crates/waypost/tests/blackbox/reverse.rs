//! Responses of services behind a rewrite: references to their own places reach the client in its terms.

use http::Request;
use serde_json::Value;

use crate::clients::{Lines, ask};
use crate::support::client::request;
use crate::support::command::waypost_in;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::{Http2Client, Http2Service};
use crate::support::service::Service;
use crate::support::tls::Authority;

/// A service that responds with these header lines.
fn saying(lines: &[(&str, &str)]) -> Service {
    let fields: String = lines
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    Service::responding(format!("HTTP/1.1 302 Found\r\n{fields}Content-Length: 0\r\n\r\n"))
}

/// Checks the header lines that a client gets in place of those of a service, over both protocols.
fn check(route: &str, url: &str, said: &Lines, expected: &Lines) {
    let service = saying(said);
    let gateway = Gateway::with(
        Config::listening(&["trusted_proxies: [127.0.0.1]"])
            .service(&service, "")
            .route(&format!("name: r, to: service, {route}")),
    );
    for response in ask(&gateway, url, &[]) {
        assert_eq!(response.status(), 302, "{}", response.text());
        for (name, _) in expected {
            let wanted: Vec<&str> = expected
                .iter()
                .filter(|(other, _)| other == name)
                .map(|(_, value)| *value)
                .collect();
            assert_eq!(response.values(name), wanted, "{name} of {said:?} by {route}");
        }
    }
}

const SAID: &Lines = &[
    ("location", "/login?next=%2Fx"),
    ("content-location", "/items/7"),
    ("refresh", "3; url=/login"),
    ("set-cookie", "session=1; Path=/; HttpOnly"),
    ("set-cookie", "theme=dark; Max-Age=5"),
];

#[test]
fn stripped_prefix_is_put_back() {
    check(
        "match: { path: /api/* }, rewrite: { prefix: / }",
        "http://a.test/api/x",
        SAID,
        &[
            ("location", "/api/login?next=%2Fx"),
            ("content-location", "/api/items/7"),
            ("refresh", "3; url=/api/login"),
            ("set-cookie", "session=1; Path=/api; HttpOnly"),
            ("set-cookie", "theme=dark; Max-Age=5"),
        ],
    );
    // With parameters, as they were matched.
    check(
        "match: { path: \"/shops/{shop}/*\" }, rewrite: { prefix: / }",
        "http://b.test/shops/7%20x/y",
        &[("location", "/login"), ("set-cookie", "a=1; path=/cart")],
        &[
            ("location", "/shops/7%20x/login"),
            ("set-cookie", "a=1; path=/shops/7%20x/cart"),
        ],
    );
}

#[test]
fn replaced_prefix_is_exchanged_and_others_stay() {
    let route = "match: { path: /api/* }, rewrite: { prefix: /v2 }";
    let url = "http://a.test/api/x";
    for (said, expected) in [
        ("/v2/login", "/api/login"),
        ("/v2", "/api"),
        ("http://a.test/v2/login", "http://a.test/api/login"),
        ("/login", "/login"),
        ("/v22/login", "/v22/login"),
        ("login", "login"),
        ("https://b.test/v2/login", "https://b.test/v2/login"),
    ] {
        check(route, url, &[("location", said)], &[("location", expected)]);
    }
}

#[test]
fn internal_host_does_not_leak() {
    let route = "match: { path: /api/* }, rewrite: { prefix: /, host: users.internal }";
    for (url, said, expected) in [
        (
            "http://a.test/api/x",
            "http://users.internal/login",
            "http://a.test/api/login",
        ),
        (
            "http://a.test:8080/api/x",
            "http://users.internal/login",
            "http://a.test:8080/api/login",
        ),
        (
            "http://a.test/api/x",
            "http://other.internal/login",
            "http://other.internal/login",
        ),
    ] {
        check(
            route,
            url,
            &[("location", said), ("content-location", said)],
            &[("location", expected), ("content-location", expected)],
        );
    }
    let route = "rewrite: { host: users.internal }";
    check(
        route,
        "http://a.test/x",
        &[
            ("location", "http://users.internal/x/"),
            ("set-cookie", "a=1; Domain=users.internal; Path=/; Secure"),
            ("set-cookie", "b=1; Domain=example.com; Path=/"),
        ],
        &[
            ("location", "http://a.test/x/"),
            ("set-cookie", "a=1; Domain=a.test; Path=/; Secure"),
            ("set-cookie", "b=1; Domain=example.com; Path=/"),
        ],
    );
}

#[test]
fn https_that_a_service_asks_for_is_never_undone() {
    let stripped = "match: { path: /app/* }, rewrite: { prefix: / }";
    let moved = "match: { path: /app/* }, rewrite: { prefix: /, host: int.internal:8080 }";
    for (route, url, said, expected) in [
        (
            stripped,
            "http://h.test/app/x",
            "https://h.test/z",
            "https://h.test/app/z",
        ),
        (
            stripped,
            "http://h.test/app/x",
            "https://h.test:443/z",
            "https://h.test:443/app/z",
        ),
        (
            stripped,
            "http://h.test:8080/app/x",
            "https://h.test:8080/z",
            "https://h.test:8080/app/z",
        ),
        (
            stripped,
            "http://h.test:8080/app/x",
            "https://h.test/z",
            "https://h.test/z",
        ),
        (
            moved,
            "http://h.test/app/x",
            "https://int.internal:8080/x",
            "https://h.test/app/x",
        ),
        (
            moved,
            "http://h.test:81/app/x",
            "https://int.internal:8080/x",
            "https://int.internal:8080/x",
        ),
        (
            moved,
            "http://h.test/app/x",
            "http://h.test/x",
            "http://h.test/app/x",
        ),
    ] {
        check(
            route,
            url,
            &[("location", said), ("content-location", said)],
            &[("location", expected), ("content-location", expected)],
        );
    }
    check(
        stripped,
        "http://h.test/app/x",
        &[("refresh", "0; https://h.test/z")],
        &[("refresh", "0; https://h.test/app/z")],
    );
}

#[test]
fn https_of_a_service_under_tls_is_the_scheme_of_the_client() {
    let pair = Authority::new().issue(&["int.internal"]);
    for (said, expected) in [
        ("https://int.internal/x", "http://h.test:81/app/x"),
        ("https://h.test:81/x", "https://h.test:81/app/x"),
    ] {
        let service = saying(&[("location", said)]);
        let inner = Gateway::with_certificates(&[&pair], &service);
        let endpoint = format!("https://{}", inner.address());
        let gateway = Gateway::with(
            Config::new()
                .service_at("s", &[&endpoint], "tls: { insecure: true }")
                .route("name: r, match: { path: /app/* }, to: s, rewrite: { prefix: /, host: int.internal }"),
        );
        for response in ask(&gateway, "http://h.test:81/app/x", &[]) {
            assert_eq!(response.header("location"), Some(expected), "{said}");
        }
    }
}

#[test]
fn what_a_trusted_proxy_tells_of_the_client_is_known_to_the_service() {
    let told: &Lines = &[
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "pub.test"),
        ("x-forwarded-prefix", "/outer"),
    ];
    for (said, expected) in [
        ("/outer/app/login", "/outer/app/login"),
        ("/login", "/app/login"),
        ("https://pub.test/login", "https://pub.test/app/login"),
        (
            "https://pub.test/outer/app/login",
            "https://pub.test/outer/app/login",
        ),
    ] {
        let service = saying(&[("location", said)]);
        let gateway = Gateway::with(
            Config::listening(&["trusted_proxies: [127.0.0.1]"])
                .service(&service, "")
                .route("name: r, match: { path: /app/* }, to: service, rewrite: { prefix: / }"),
        );
        for response in ask(&gateway, "http://h.test/app/x", told) {
            assert_eq!(response.header("location"), Some(expected), "{said}");
        }
    }
}

#[test]
fn endpoint_does_not_leak() {
    let service = Service::scripted(|talk| {
        while let Some(asked) = talk.request() {
            let own = asked.header("x-own").unwrap_or_default().to_owned();
            talk.send(format!(
                "HTTP/1.1 201 Created\r\nLocation: http://{own}/items/7\r\nContent-Length: 0\r\n\r\n"
            ));
        }
    });
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "")
            .route("name: r, match: { path: /api/* }, to: service, rewrite: { prefix: / }"),
    );
    let own = service.address().to_string();
    for response in [
        gateway.ask(request(
            "GET",
            "http://a.test/api/x",
            &format!("X-Own: {own}\r\n"),
        )),
        Http2Client::connect(gateway.address()).ask(
            Request::get("http://a.test/api/x")
                .header("x-own", &own)
                .body(())
                .unwrap(),
            "",
        ),
    ] {
        assert_eq!(response.header("location"), Some("http://a.test/api/items/7"));
    }
}

#[test]
fn url_is_that_of_the_client_behind_a_trusted_proxy() {
    let service = saying(&[("location", "http://users.internal/login")]);
    let gateway = Gateway::with(
        Config::listening(&["trusted_proxies: [127.0.0.1]"])
            .service(&service, "")
            .route(
                "name: r, match: { path: /api/* }, to: service, rewrite: { prefix: /, host: users.internal }",
            ),
    );
    let told: &Lines = &[
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.example"),
    ];
    for response in ask(&gateway, "http://a.test/api/x", told) {
        assert_eq!(
            response.header("location"),
            Some("https://shop.example/api/login")
        );
    }
}

#[test]
fn what_cannot_be_undone_stays() {
    let stays = |route: &str, url: &str| check(route, url, SAID, SAID);
    stays(
        "match: { path: /api/* }, rewrite: { prefix: /, reverse: off }",
        "http://a.test/api/x",
    );
    stays(
        "match: { path: /api/* }, rewrite: { path: /x }",
        "http://a.test/api/x",
    );
    stays(
        "match: { path: /api/* }, rewrite: { regex: [\"^/api\", \"\"] }",
        "http://a.test/api/x",
    );
    stays("match: { path: /api/* }", "http://a.test/api/x");
    stays("rewrite: { prefix: /v2 }", "http://a.test/x");
    check(
        "rewrite: { host: users.internal, reverse: off }",
        "http://a.test/x",
        &[("location", "http://users.internal/x")],
        &[("location", "http://users.internal/x")],
    );
}

#[test]
fn configured_edits_come_last() {
    check(
        "match: { path: /api/* }, rewrite: { prefix: / }, \
         response_headers: { set: { location: /mine }, remove: [set-cookie], add: { refresh: \"9; url=/mine\" } }",
        "http://a.test/api/x",
        SAID,
        &[
            ("location", "/mine"),
            ("refresh", "3; url=/api/login"),
            ("refresh", "9; url=/mine"),
            ("content-location", "/api/items/7"),
        ],
    );
}

#[test]
fn sticky_cookie_of_the_gateway_stays() {
    let service = saying(&[("set-cookie", "session=1; Path=/")]);
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "")
            .route("name: r, match: { path: /api/* }, to: { service: 1 }, rewrite: { prefix: / }, sticky: { cookie: side }"),
    );
    for response in ask(&gateway, "http://a.test/api/x", &[]) {
        let cookies = response.values("set-cookie");
        assert_eq!(cookies[0], "session=1; Path=/api");
        assert!(
            cookies[1].starts_with("side=") && cookies[1].contains("; Path=/;"),
            "{cookies:?}"
        );
    }
}

#[test]
fn services_over_http2_are_mapped_too() {
    let service = Http2Service::start(|_, mut respond| async move {
        let response = http::Response::builder()
            .status(302)
            .header("location", "http://users.internal/login")
            .header("set-cookie", "a=1; Path=/");
        let _ = respond.send_response(response.body(()).unwrap(), true);
    });
    let gateway = Gateway::with(
        Config::new()
            .service_at("s", &[&service.url()], "http2: true")
            .route("name: r, match: { path: /api/* }, to: s, rewrite: { prefix: /, host: users.internal }"),
    );
    for response in ask(&gateway, "http://a.test/api/x", &[]) {
        assert_eq!(response.header("location"), Some("http://a.test/api/login"));
        assert_eq!(response.header("set-cookie"), Some("a=1; Path=/api"));
    }
}

#[test]
fn services_are_told_the_prefix() {
    let service = Service::echo("a");
    let gateway = Gateway::with(
        Config::listening(&["trusted_proxies: [192.0.2.0/24]"])
            .service(&service, "")
            .route("name: stripped, match: { path: \"/shops/{shop}/*\" }, to: a, rewrite: { prefix: /, reverse: off }")
            .route("name: replaced, match: { path: /api/* }, to: a, rewrite: { prefix: /v2 }")
            .route("name: same, match: { path: /v1/* }, to: a, rewrite: { prefix: /v1 }")
            .route("name: kept, to: a"),
    );
    let explain = |url: &str, options: &[&str]| {
        let config = gateway.config().to_str().unwrap();
        let asked = [&["explain", config, "GET", url, "--format", "json"], options].concat();
        waypost_in(gateway.directory(), &asked).expect(0).json()["headers"].clone()
    };
    let prefixes = |headers: &Value| {
        let headers: Vec<(String, String)> = serde_json::from_value(headers.clone()).unwrap();
        let found = headers
            .into_iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-prefix"));
        found.map(|(_, value)| value).collect::<Vec<_>>()
    };
    for (path, expected) in [
        ("/shops/7/x", &["/shops/7"][..]),
        ("/api/x", &["/api"]),
        ("/v1/x", &[]),
        ("/x", &[]),
    ] {
        let url = format!("http://a.test{path}");
        // Not a client's own word.
        for response in ask(&gateway, &url, &[("x-forwarded-prefix", "/forged")]) {
            assert_eq!(prefixes(&response.json()["headers"]), expected, "{path}");
        }
        assert_eq!(
            prefixes(&explain(&url, &["-H", "X-Forwarded-Prefix: /forged"])),
            expected,
            "{path}"
        );
    }
    let trusted = ["-H", "X-Forwarded-Prefix: /outer/", "--client-ip", "192.0.2.1"];
    assert_eq!(
        prefixes(&explain("http://a.test/api/x", &trusted)),
        ["/outer/api"]
    );
    assert_eq!(prefixes(&explain("http://a.test/x", &trusted)), ["/outer/"]);
}
