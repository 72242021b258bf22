//! The id of a request: one for the service, the client and the log, that of a trusted proxy or a new one.

use std::collections::HashSet;

use http::Request;
use serde_json::{Value, json};

use crate::access_log::wait_for_log;
use crate::support::client::request;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::message::Message;
use crate::support::service::Service;

/// Responses to a GET with this `x-request-id`, over HTTP/1 and over HTTP/2.
fn ask(gateway: &Gateway, path: &str, id: Option<&str>) -> [Message; 2] {
    let field = id.map_or(String::new(), |id| format!("X-Request-Id: {id}\r\n"));
    let url = format!("http://a.example{path}");
    let http1 = gateway.ask(request("GET", &url, &field));
    let mut builder = Request::get(&url);
    if let Some(id) = id {
        builder = builder.header("x-request-id", id);
    }
    let client = Http2Client::connect(gateway.address());
    [http1, client.ask(builder.body(()).unwrap(), "")]
}

/// The ids that an echoing service got.
fn got(echoed: &Value) -> Vec<String> {
    let headers = echoed["headers"].as_array().unwrap().iter();
    headers
        .filter(|header| header[0].as_str().unwrap().eq_ignore_ascii_case("x-request-id"))
        .map(|header| header[1].as_str().unwrap().to_owned())
        .collect()
}

fn is_uuid_of_version_7(id: &str) -> bool {
    let dashes: Vec<usize> = id.match_indices('-').map(|(at, _)| at).collect();
    let is_hex = |c: char| c == '-' || matches!(c, '0'..='9' | 'a'..='f');
    id.len() == 36
        && dashes == [8, 13, 18, 23]
        && id.chars().all(is_hex)
        && id.as_bytes()[14] == b'7'
        && b"89ab".contains(&id.as_bytes()[19])
}

/// A service that echoes, and sends an id of its own.
fn echo() -> Service {
    Service::named("a", |talk| {
        while let Some(asked) = talk.request() {
            let body = json!({ "headers": asked.fields }).to_string();
            talk.send(format!(
                "HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ));
        }
    })
}

#[test]
fn services_and_clients_get_the_same_new_id() {
    let service = echo();
    let gateway = Gateway::with(
        Config::listening(&["request_id: true"])
            .key("access_log: access.log")
            .service(&service, "")
            .route("name: all, to: a")
            .route("name: own, match: { path: /own }, respond: { status: 200, body: \"{request_id}\" }"),
    );
    let mut ids = Vec::new();
    for response in ask(&gateway, "/", Some("client-1")) {
        let id = got(&response.json());
        assert!(is_uuid_of_version_7(&id[0]), "{id:?}");
        assert_eq!(response.values("x-request-id"), id);
        ids.extend(id);
    }
    for response in ask(&gateway, "/own", None) {
        assert_eq!(response.values("x-request-id"), [response.text()]);
        ids.push(response.text());
    }
    let distinct: HashSet<&String> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
    let logged: HashSet<String> = wait_for_log(&gateway, 4)
        .iter()
        .map(|line| line["request_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(logged, ids.into_iter().collect());
    let explanation = gateway.explain("http://a.example/");
    assert!(is_uuid_of_version_7(&got(&explanation)[0]));
}

#[test]
fn id_of_a_trusted_proxy_is_kept_if_it_is_sound() {
    let service = echo();
    let gateway = Gateway::with(
        Config::listening(&["request_id: true, trusted_proxies: [127.0.0.1]"])
            .key("access_log: access.log")
            .service(&service, "")
            .route("name: all, to: a"),
    );
    let long = "a".repeat(129);
    let (sound, unsound) = (["x", "A-1_b.C", &long[1..]], ["", "a b", "a,b", "a/b", &*long]);
    for id in sound {
        for response in ask(&gateway, "/", Some(id)) {
            assert_eq!(got(&response.json()), [id]);
            assert_eq!(response.values("x-request-id"), [id]);
        }
    }
    for id in unsound {
        for response in ask(&gateway, "/", Some(id)) {
            let made = got(&response.json());
            assert!(is_uuid_of_version_7(&made[0]), "{made:?}");
            assert_eq!(response.values("x-request-id"), made);
        }
    }
    let twice = gateway.ask(request(
        "GET",
        "http://a/",
        "x-request-id: a\r\nx-request-id: b\r\n",
    ));
    assert!(is_uuid_of_version_7(twice.header("x-request-id").unwrap()));
    let lines = wait_for_log(&gateway, 2 * (sound.len() + unsound.len()) + 1);
    let logged: Vec<&str> = lines
        .iter()
        .map(|line| line["request_id"].as_str().unwrap())
        .collect();
    assert_eq!(logged[0], "x");
    assert!(is_uuid_of_version_7(logged[6]));
}

#[test]
fn own_responses_carry_the_id() {
    let down = Service::refusing_as("down");
    let gateway = Gateway::with(
        Config::listening(&["request_id: true, hosts: [a.example]"])
            .service(&down, "")
            .route("name: down, match: { path: /down }, to: down")
            .route("name: moved, match: { path: /moved }, redirect: { path: /x }"),
    );
    for (path, status) in [("/down", 502), ("/moved", 302), ("/none", 404)] {
        for response in ask(&gateway, path, Some("mine")) {
            assert_eq!(response.status(), status);
            let id = response.values("x-request-id");
            assert!(id.len() == 1 && is_uuid_of_version_7(id[0]), "{path}: {id:?}");
        }
    }
    for malformed in [
        "GET /bad\x01 HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET /%2e%2e/x HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: other.example\r\n\r\n",
    ] {
        let response = gateway.ask(malformed);
        assert!(
            is_uuid_of_version_7(response.header("x-request-id").unwrap()),
            "{malformed}"
        );
    }
}

#[test]
fn edits_of_the_route_win() {
    let service = echo();
    let gateway = Gateway::with(
        Config::listening(&["request_id: true"])
            .service(&service, "")
            .route(
                "name: all, to: a, request_headers: { set: { x-request-id: \"r-{request_id}\" } }, \
                response_headers: { remove: [x-request-id] }",
            ),
    );
    for response in ask(&gateway, "/", None) {
        let id = got(&response.json());
        assert!(id.len() == 1 && is_uuid_of_version_7(&id[0][2..]), "{id:?}");
        assert_eq!(response.values("x-request-id"), [] as [&str; 0]);
    }
}

#[test]
fn without_the_key_the_header_passes_and_the_log_has_an_id_of_its_own() {
    let service = echo();
    let gateway = Gateway::with(
        Config::new()
            .key("access_log: access.log")
            .service(&service, "")
            .route("name: all, to: a, response_headers: { add: { x-id: \"{request_id}\" } }")
            .route("name: plain, match: { path: /plain }, to: a"),
    );
    for response in ask(&gateway, "/", Some("mine")) {
        assert_eq!(got(&response.json()), ["mine"]);
        assert_eq!(response.values("x-request-id"), ["theirs"]);
        assert!(is_uuid_of_version_7(response.header("x-id").unwrap()));
    }
    for response in ask(&gateway, "/plain", None) {
        assert_eq!(got(&response.json()), [] as [&str; 0]);
        assert_eq!(response.status(), 200);
    }
    for line in wait_for_log(&gateway, 4) {
        assert!(
            is_uuid_of_version_7(line["request_id"].as_str().unwrap()),
            "{line}"
        );
    }
}

#[test]
fn retries_and_copies_keep_the_id() {
    let failing = Service::named("failing", |talk| {
        while talk.request().is_some() {
            talk.send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let mirror = echo();
    let gateway = Gateway::with(
        Config::listening(&["request_id: true"])
            .service(&failing, "")
            .service(&mirror, "")
            .route("name: all, to: failing, retry: { attempts: 2, backoff: 1ms }, mirror: { to: a }"),
    );
    let response = gateway.get("http://a.example/");
    let id = response.header("x-request-id").unwrap().to_owned();
    let line = format!("x-request-id: {id}");
    failing.wait_until(|received| {
        let all: String = received
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes))
            .collect();
        all.matches(&line).count() == 3
    });
    mirror.wait_for(&line);
}
