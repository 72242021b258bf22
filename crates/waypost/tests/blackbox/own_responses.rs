//! The gateway's own responses: redirects, fixed responses, errors, debug headers.

use crate::support::client::request;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::message::{pairs, seen};
use crate::support::service::Service;

/// A route for each kind of outcome.
fn acting(service: &Service, down: &Service) -> Gateway {
    Gateway::with(
        Config::new()
            .service_at("a", &[&service.url()], "")
            .service_at("empty", &[], "")
            .service_at("down", &[&down.url()], "")
            .route("name: rewritten, match: { path: /old/* }, rewrite: { prefix: /new, host: inside.example }, to: a")
            .route(
                "name: moved, match: { path: /moved/* }, redirect: { status: 301, prefix: /there }, \
                 response_headers: { set: { x-moved: \"1\" } }",
            )
            .route(
                "name: json, match: { path: /json }, \
                 respond: { status: 418, body: '{}', content_type: application/json }",
            )
            .route("name: empty, match: { path: /empty }, respond: { status: 204 }")
            .route("name: no-endpoints, match: { path: /no-endpoints }, to: empty")
            .route("name: nowhere, match: { path: /nowhere }, to: {}")
            .route(
                "name: bad-rewrite, match: { path: /bad/* }, rewrite: { regex: [\"^/bad/(.*)-$\", \"/$1.\"] }, to: a",
            )
            .route("name: down, match: { path: /down }, to: down"),
    )
}

#[test]
fn rewrite_redirect_and_fixed_response() {
    let (service, down) = (Service::echo("a"), Service::refusing());
    let gateway = acting(&service, &down);
    let mut client = gateway.connect();
    let response = client.get("http://a.example/old/x?y=%2F");
    assert_eq!(response.json()["target"], "/new/x?y=%2F");
    assert_eq!(
        seen(&response),
        pairs(&[("host", "inside.example"), ("x-forwarded-prefix", "/old")])
    );

    let response = client.get("http://a.example:81/moved/x?y");
    assert_eq!(response.status(), 301);
    assert_eq!(response.header("location"), Some("http://a.example:81/there/x?y"));
    assert_eq!(response.header("x-moved"), Some("1"));

    let response = client.get("http://a.example/json");
    assert_eq!((response.status(), response.text().as_str()), (418, "{}"));
    assert_eq!(response.header("content-type"), Some("application/json"));

    client.send(request("HEAD", "http://a.example/json", ""));
    let response = client.response_to_head();
    assert_eq!(
        (response.status(), response.header("content-length")),
        (418, Some("2"))
    );

    let response = client.get("http://a.example/empty");
    assert_eq!(
        (response.status(), response.header("content-length")),
        (204, None)
    );
    // All on one connection: each response ended exactly where its framing said.
    assert_eq!(client.get("http://a.example/old").json()["target"], "/new");
}

#[test]
fn errors_name_the_cause_but_no_internals() {
    let (service, down) = (Service::echo("a"), Service::refusing());
    let gateway = acting(&service, &down);
    let mut client = gateway.connect();
    for (path, status, error) in [
        ("/unknown", 404, "destination_not_found"),
        ("/no-endpoints", 503, "destination_unavailable"),
        ("/nowhere", 500, "destination_unavailable"),
        ("/bad/.-", 500, "proxy_configuration_error"),
        ("/down", 502, "connection_refused"),
    ] {
        let response = client.get(&format!("http://a{path}"));
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(
            response.header("proxy-status"),
            Some(format!("waypost; error={error}").as_str()),
            "{path}"
        );
        assert_eq!(
            response.header("content-type"),
            Some("text/plain; charset=utf-8"),
            "{path}"
        );
        assert!(
            response.text().starts_with(&status.to_string()),
            "{path}: {}",
            response.text()
        );
        assert!(
            !response.text().contains("127.0.0.1"),
            "{path}: {}",
            response.text()
        );

        client.send(request(
            "GET",
            &format!("http://a{path}"),
            "Accept: application/json\r\n",
        ));
        let response = client.response();
        assert_eq!(
            response.header("content-type"),
            Some("application/json"),
            "{path}"
        );
        assert_eq!(response.json()["status"], status, "{path}");

        client.send(request("HEAD", &format!("http://a{path}"), ""));
        assert_eq!(client.response_to_head().status(), status, "{path}");
    }
}

#[test]
fn response_header_edits_are_on_the_errors_of_their_route() {
    let (service, down) = (Service::echo("a"), Service::refusing());
    let route = |name: &str, action: &str| {
        let edits = "response_headers: { set: { x-e: \"1\" } }";
        format!("name: {name}, match: {{ path: /{name} }}, {action}, {edits}")
    };
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "")
            .service(&down, "")
            .route(&route("up", "to: a"))
            .route(&route("own", "respond: { status: 404 }"))
            .route(&route("down", "to: refusing")),
    );
    for (path, edited) in [
        ("/up", Some("1")),
        ("/own", Some("1")),
        ("/down", Some("1")),
        ("/none", None),
    ] {
        assert_eq!(
            gateway.get(&format!("http://a{path}")).header("x-e"),
            edited,
            "{path}"
        );
    }
}

#[test]
fn redirect_does_not_wait_for_the_body() {
    let (service, down) = (Service::echo("a"), Service::refusing());
    let gateway = acting(&service, &down);
    let mut client = gateway.connect();
    let response = client.ask("POST /moved/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc");
    assert_eq!(response.status(), 301);
    // The rest of the body could not be told from a request.
    assert_eq!(response.header("connection"), Some("close"));
    client
        .send("GET /old/x HTTP/1.1\r\nHost: a\r\n\r\n")
        .assert_closed();
    assert_eq!(service.connections(), 0);
}

#[test]
fn unmatched_request_with_a_body_keeps_the_connection() {
    let service = Service::echo("a");
    let gateway = acting(&service, &service);
    let mut client = gateway.connect();
    let post = "POST /unknown HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(client.ask(post).status(), 404);
    // The body had arrived in full, so the connection is kept.
    assert_eq!(client.get("http://a/old").json()["target"], "/new");
}

#[test]
fn debug_headers_name_route_and_revision() {
    let service = Service::echo("a");
    let gateway = Gateway::with(Config::new().all_to(&service).key("debug_headers: true"));
    let response = gateway.get("http://a/");
    assert_eq!(response.header("x-waypost-route"), Some("all"));
    assert_eq!(response.header("x-waypost-revision"), Some("1"));
    let quiet = Gateway::to(&service).get("http://a/");
    assert!(!quiet.head.to_lowercase().contains("x-waypost"), "{}", quiet.head);
}
