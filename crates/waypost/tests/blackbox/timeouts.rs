//! Timeouts of routes, services and clients.

use crate::support::client::Client;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::{Service, gate, ok};
use crate::support::wait_for;

/// One route to `service`, with further keys of the route.
fn with_route(service: &Service, keys: &str) -> Config {
    let route = format!("name: all, to: service, {keys}");
    Config::new().service(service, "").route(&route)
}

/// One route to `service`, with further keys of the service.
fn with_service(service: &Service, keys: &str) -> Config {
    Config::new()
        .service(service, keys)
        .route("name: all, to: service")
}

#[test]
fn route_timeout_cuts_a_started_response() {
    let service = Service::scripted(|talk| {
        talk.request();
        talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        talk.read_to_end();
    });
    let gateway = Gateway::with(with_route(&service, "timeout: 1s"));
    let response = wait_for("a response that begins in time", || {
        let response = gateway.get("http://a/");
        (response.status() == 200).then_some(response)
    });
    assert_eq!(response.text(), "abc");
    assert!(!response.is_complete);
}

#[test]
fn response_and_route_timeouts_are_504() {
    let silent = || {
        Service::scripted(|talk| {
            talk.request();
            talk.read_to_end();
        })
    };
    let service = silent();
    let gateway = Gateway::with(with_service(&service, "timeouts: { response: 100ms }"));
    let response = gateway.get("http://a/");
    assert_eq!(response.status(), 504);
    assert_eq!(
        response.header("proxy-status"),
        Some("waypost; error=http_response_timeout")
    );
    let connections = "waypost_upstream_connections_total{service=\"service\"} 1\n";
    assert!(gateway.metrics().contains(connections), "it is not asked again");

    let service = silent();
    let gateway = Gateway::with(with_route(&service, "timeout: 100ms"));
    assert_eq!(gateway.get("http://a/").status(), 504);
}

#[test]
fn stalled_response_cut_visibly() {
    let service = Service::scripted(|talk| {
        talk.request();
        talk.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        talk.read_to_end();
    });
    let gateway = Gateway::with(with_service(&service, "timeouts: { idle: 100ms }"));
    let response = gateway.get("http://a/");
    assert_eq!((response.status(), response.text().as_str()), (200, "abc"));
    assert!(!response.is_complete);
}

#[test]
fn slow_clients_get_408_and_idle_ones_closed() {
    let service = Service::echo("a");
    let listeners = ["header_timeout", "body_idle_timeout", "keep_alive_timeout"]
        .map(|key| format!("name: {key}, limits: {{ {key}: 100ms }}"));
    let listeners = listeners.each_ref().map(String::as_str);
    let gateway = Gateway::with(Config::listening(&listeners).all_to(&service));
    let [headers, bodies, keep_alive] = *gateway.addresses() else {
        panic!("three listeners")
    };
    // A client that connects, and stands still before it sends, is closed without a response.
    let mut client = wait_for("a head that begins in time", || {
        let mut client = Client::connect(headers);
        let response = client.try_ask("GET / HTTP/1.1\r\nHost:")?;
        assert_eq!(response.status(), 408);
        Some(client)
    });
    client.assert_closed();
    let mut client = Client::connect(bodies);
    assert_eq!(
        client
            .ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
            .status(),
        408
    );
    client.assert_closed();
    let mut client = Client::connect(keep_alive);
    assert_eq!(client.get("http://a/").status(), 200);
    client.assert_closed();
    Client::connect(headers).assert_closed();
}

#[test]
fn timeouts_of_a_route_replace_those_of_the_service() {
    let silent = Service::scripted(|talk| {
        talk.request();
        talk.read_to_end();
    });
    let config = Config::new()
        .service(&silent, "timeouts: { response: 1h }")
        .route("name: all, to: service, timeouts: { response: 100ms }");
    assert_eq!(Gateway::with(config).get("http://a/").status(), 504);

    let stalled = Service::scripted(|talk| {
        talk.request();
        talk.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        talk.read_to_end();
    });
    let config = Config::new()
        .service(&stalled, "timeouts: { idle: 1h }")
        .route("name: all, to: service, timeouts: { idle: 100ms }");
    assert!(!Gateway::with(config).get("http://a/").is_complete);

    // Nothing listens there.
    let config = Config::new()
        .service_at("service", &["http://192.0.2.1:9"], "timeouts: { connect: 1h }")
        .route("name: all, to: service, timeouts: { connect: 100ms }");
    let status = Gateway::with(config).get("http://a/").status();
    assert!(matches!(status, 502 | 504), "{status}");
}

#[test]
fn a_timeout_of_none_never_ends() {
    let (opener, gate) = gate();
    let service = Service::scripted(move |talk| {
        talk.request();
        gate.wait();
        talk.send(ok("late"));
    });
    let config = Config::new()
        .service(
            &service,
            "timeouts: { connect: none, response: 300ms, idle: none, tunnel: none }",
        )
        .route("name: all, to: service, timeout: none, timeouts: { response: none }");
    let gateway = Gateway::with(config);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    service.wait_for("GET /");
    opener.open();
    assert_eq!(client.response().text(), "late");
    let limits = gateway
        .command(&["check", gateway.config().to_str().unwrap(), "--limits"])
        .expect(0);
    for shown in ["timeouts.connect", "timeouts.idle", "timeouts.response"] {
        let mut lines = limits.stdout.lines();
        assert!(
            lines.any(|line| line.contains(shown) && line.ends_with("none")),
            "{shown} in {}",
            limits.stdout
        );
    }
}
