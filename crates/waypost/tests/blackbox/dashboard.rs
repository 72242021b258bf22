//! The dashboard: files for a browser at the admin address.

use std::fs;
use std::net::SocketAddr;

use crate::support::client::Client;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::message::Message;

fn gateway() -> Gateway {
    Gateway::verbatim(
        Config::new()
            .all_respond("hello")
            .key("admin: { bind: 127.0.0.1:0 }"),
    )
}

fn ask(address: SocketAddr, method: &str, path: &str, fields: &str) -> Message {
    Client::connect(address).ask(format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{fields}\r\n"
    ))
}

#[test]
fn page_and_all_that_it_loads_come_from_the_gateway() {
    let gateway = gateway();
    let address = gateway.admin_address();
    let page = ask(address, "GET", "/", "");
    assert_eq!(page.status(), 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let text = String::from_utf8(page.body).unwrap();
    let mut loaded = 0;
    for key in ["src=\"", "href=\""] {
        for (at, _) in text.match_indices(key) {
            let target = text[at + key.len()..].split('"').next().unwrap();
            assert!(!target.contains("//"), "{target} is elsewhere");
            let file = ask(address, "GET", &format!("/{target}"), "");
            assert_eq!(file.status(), 200, "{target}");
            loaded += 1;
        }
    }
    assert!(loaded >= 4, "{text}");
}

#[test]
fn browser_may_load_no_more_and_show_the_page_in_no_frame() {
    let gateway = gateway();
    for path in ["/", "/index.html", "/src/main.js", "/icon.svg"] {
        let file = ask(gateway.admin_address(), "GET", path, "");
        let policy = file.header("content-security-policy").unwrap();
        for part in [
            "default-src 'self'",
            "object-src 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(file.header("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(file.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(
            file.header("cross-origin-resource-policy"),
            Some("same-origin"),
            "{path}"
        );
    }
}

#[test]
fn unchanged_file_is_not_sent_again() {
    let gateway = gateway();
    let address = gateway.admin_address();
    for coding in ["", "Accept-Encoding: gzip\r\n"] {
        let first = ask(address, "GET", "/src/main.js", coding);
        assert_eq!(first.header("content-encoding").is_some(), !coding.is_empty());
        assert_eq!(first.header("cache-control"), Some("no-cache"));
        let tag = first.header("etag").unwrap().to_owned();
        assert!(!tag.starts_with("W/"), "{tag}");
        let again = ask(
            address,
            "GET",
            "/src/main.js",
            &format!("{coding}If-None-Match: {tag}\r\n"),
        );
        assert_eq!((again.status(), again.body.len()), (304, 0));
        let other = ask(
            address,
            "GET",
            "/src/main.js",
            &format!("{coding}If-None-Match: \"other\"\r\n"),
        );
        assert_eq!(other.status(), 200);
    }
    let head = Client::connect(address)
        .send(format!("HEAD / HTTP/1.1\r\nHost: {address}\r\n\r\n"))
        .response_to_head();
    assert_eq!((head.status(), head.body.len()), (200, 0));
}

#[test]
fn files_are_only_read() {
    let gateway = gateway();
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let response = ask(gateway.admin_address(), method, "/", "Content-Length: 0\r\n");
        assert_eq!(response.status(), 405, "{method}");
    }
}

#[test]
fn page_needs_no_token_and_the_api_does() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    fs::write(&tokens, "ann secret-of-ann\n").unwrap();
    let path = directory.path().join("waypost.yaml");
    let admin = format!("admin: {{ bind: 127.0.0.1:0, token_file: {} }}", tokens.display());
    fs::write(&path, Config::new().all_respond("hello").key(&admin)).unwrap();
    let gateway = Gateway::run(directory, path, &[]);
    let address = gateway.admin_address();
    assert_eq!(ask(address, "GET", "/", "").status(), 200);
    assert_eq!(ask(address, "GET", "/src/main.js", "").status(), 200);
    assert_eq!(ask(address, "GET", "/api/v1/status", "").status(), 401);
    assert_eq!(ask(address, "GET", "/package.json", "").status(), 401);
    // Under any name: a page of its owner has no token.
    let named = Client::connect(address).ask("GET / HTTP/1.1\r\nHost: gateway.internal\r\n\r\n");
    assert_eq!(named.status(), 200);
}

#[test]
fn page_of_another_site_leads_here_but_loads_nothing() {
    let gateway = gateway();
    let address = gateway.admin_address();
    let check = |fields: &str, expected: u16| {
        assert_eq!(ask(address, "GET", "/", fields).status(), expected, "{fields}");
    };
    check(
        "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n",
        200,
    );
    check(
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n",
        200,
    );
    check(
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n",
        403,
    );
    check(
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: script\r\n",
        403,
    );
    check(
        "Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n",
        403,
    );
    // A name that was rebound to this address.
    let rebound = Client::connect(address).ask("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_eq!(rebound.status(), 403);
}

#[test]
fn names_that_browsers_take_out_of_paths_can_be_written() {
    let config = Config::new()
        .service_at("..", &["http://127.0.0.1:9"], "")
        .service_at("two", &["http://127.0.0.1:9"], "")
        .route("name: \".\", match: { path: /a }, to: { \"..\": 1, two: 0 }")
        .route("name: \"..\", match: { path: /b }, to: two");
    let gateway = Gateway::with(config);
    for (path, name) in [
        ("routes/~.", "."),
        ("routes/~..", ".."),
        ("routes/..", ".."),
        ("services/~..", ".."),
    ] {
        assert_eq!(
            gateway.admin_json(&format!("/api/v1/{path}"))["name"],
            name,
            "{path}"
        );
    }
    let body = r#"{ "..": 1, "two": 1 }"#;
    let dialed = gateway.admin(
        "PUT",
        "/api/v1/routes/~./split",
        "Content-Type: application/json\r\n",
        body,
    );
    assert_eq!(dialed.status(), 200, "{}", dialed.text());
    assert_eq!(gateway.admin_json("/api/v1/routes/~.")["arms"][1]["live"], 1);
    let missing = gateway.admin("GET", "/api/v1/routes/~...", "", "");
    assert_eq!(missing.status(), 404);
}
