//! Samples of failed requests: what failed, where and why, and none of what is secret.

use serde_json::{Value, json};

use crate::support::client::get;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::{self, Http2Client};
use crate::support::service::Service;
use crate::support::wait_for;

const FAILURE: &str = "HTTP/1.1 503 X\r\nContent-Length: 2\r\n\r\nno";

/// Waits until there are samples of a route, the latest first.
fn failures(gateway: &Gateway, route: &str, count: usize) -> Vec<Value> {
    wait_for("a sample", || {
        let answer = gateway.admin_json(&format!("/api/v1/routes/{route}/failures"));
        let failures = answer["failures"].as_array().unwrap().clone();
        (failures.len() >= count).then_some(failures)
    })
}

/// The value of a header; null if it is hidden.
fn header<'v>(failure: &'v Value, name: &str) -> Option<&'v Value> {
    let headers = failure["headers"].as_array().unwrap();
    headers.iter().find(|pair| pair[0] == name).map(|pair| &pair[1])
}

#[test]
fn failed_response_is_sampled_without_secrets() {
    let service = Service::responding(FAILURE);
    for admin in [
        "{ bind: 127.0.0.1:0 }",
        "{ bind: 127.0.0.1:0, show_headers: [X-Tenant] }",
    ] {
        let config = Config::new().all_to(&service).key(&format!("admin: {admin}"));
        let gateway = Gateway::verbatim(config);
        let fields = "Authorization: Bearer s3cret\r\nCookie: session=s3cret\r\nX-Api-Key: s3cret\r\nX-Tenant: acme\r\n\
                      X-Request-Id: id-7\r\nContent-Length: 6\r\n";
        let request = format!("POST /a//b?token=s3cret HTTP/1.1\r\nHost: A.example\r\n{fields}\r\ns3cret");
        assert_eq!(gateway.ask(request).status(), 503);
        let failure = failures(&gateway, "all", 1).remove(0);
        let text = failure.to_string();
        assert!(!text.contains("s3cret"), "{text}");
        for (key, expected) in [
            ("method", json!("POST")),
            ("host", json!("a.example")),
            ("path", json!("/a/b")),
            ("service", json!("service")),
            ("endpoint", json!(service.address().to_string())),
            ("status", json!(503)),
            ("grpc_status", Value::Null),
            ("ended_by", json!("service")),
            ("reason", json!("complete")),
            ("revision", json!(1)),
        ] {
            assert_eq!(failure[key], expected, "{key} of {text}");
        }
        assert!(failure["duration_ms"].as_f64().unwrap() > 0.0);
        for name in ["authorization", "cookie", "x-api-key"] {
            assert_eq!(header(&failure, name), Some(&Value::Null), "{name} of {text}");
        }
        let is_own_list = admin.contains("X-Tenant");
        let (tenant, id) = match is_own_list {
            true => (json!("acme"), Value::Null),
            false => (Value::Null, json!("id-7")),
        };
        assert_eq!(header(&failure, "x-tenant"), Some(&tenant));
        assert_eq!(header(&failure, "x-request-id"), Some(&id));
        // The client is not trusted.
        assert_eq!(failure["request_id"], Value::Null);
    }
}

#[test]
fn failed_request_has_the_id_that_its_client_got() {
    let service = Service::responding(FAILURE);
    let gateway = Gateway::with(Config::listening(&["request_id: true"]).all_to(&service));
    let response = gateway.get("http://a/");
    let failure = failures(&gateway, "all", 1).remove(0);
    assert_eq!(failure["request_id"], response.header("x-request-id").unwrap());
}

#[test]
fn error_of_the_gateway_is_sampled_with_its_reason() {
    let (down, closing) = (
        Service::refusing(),
        Service::named("closing", |talk| drop(talk.request())),
    );
    let config = Config::new()
        .service(&down, "")
        .service(&closing, "")
        .route(&format!(
            "name: down, match: {{ path: /down }}, to: {}",
            down.name()
        ))
        .route("name: closing, match: { path: /closing }, to: closing")
        .route("name: fine, match: { path: /fine }, respond: { status: 200 }")
        .route("name: own, match: { path: /own }, respond: { status: 500 }");
    let gateway = Gateway::with(config);
    let ask = |path: &str| gateway.get(&format!("http://a{path}")).status();
    assert_eq!(ask("/own"), 500);
    assert_eq!(
        (ask("/down"), ask("/closing"), ask("/fine"), ask("/nowhere")),
        (502, 502, 200, 404)
    );
    let failure = failures(&gateway, "down", 1).remove(0);
    assert_eq!(
        (&failure["status"], &failure["ended_by"]),
        (&json!(502), &json!("service"))
    );
    assert_eq!(failure["reason"], "connection_refused");
    assert_eq!(
        (&failure["service"], &failure["method"]),
        (&json!(down.name()), &json!("GET"))
    );
    assert_eq!(header(&failure, "host"), Some(&json!("a")));
    let failure = failures(&gateway, "closing", 1).remove(0);
    assert_eq!(failure["reason"], "connection_terminated");
    assert_eq!(failure["endpoint"], closing.address().to_string());
    let failure = failures(&gateway, "own", 1).remove(0);
    assert_eq!(
        (&failure["service"], &failure["ended_by"]),
        (&Value::Null, &json!("gateway"))
    );
    let none = gateway.admin_json("/api/v1/routes/fine/failures");
    assert_eq!(none["failures"], json!([]));
    let unknown = gateway.admin("GET", "/api/v1/routes/none/failures", "", "");
    assert_eq!(unknown.status(), 404);
}

#[test]
fn samples_of_a_route_are_few_and_of_each_kind() {
    let service = Service::named("s", |talk| {
        while let Some(request) = talk.request() {
            let status = request.target().trim_start_matches('/').to_owned();
            talk.send(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    let rare = http2::get("http://a/504");
    assert_eq!(
        Http2Client::connect(gateway.address()).ask(rare, "").status(),
        504
    );
    for _ in 0..200 {
        assert_eq!(client.ask(get("http://a/500")).status(), 500);
        assert_eq!(client.ask(get("http://a/404")).status(), 404);
    }
    let all = failures(&gateway, "all", 2);
    assert!(all.len() <= 20, "{}", all.len());
    let rare = all.last().unwrap();
    assert_eq!((&rare["status"], &rare["method"]), (&json!(504), &json!("GET")));
    assert!(
        all[..all.len() - 1]
            .iter()
            .all(|failure| failure["status"] == 500)
    );
}
