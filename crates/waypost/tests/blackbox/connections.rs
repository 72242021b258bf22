//! Connections on both sides: keep-alive, reuse, round robin over endpoints, the connection limit.

use crate::support::client::{get, request};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::Service;

#[test]
fn client_connection_close_honoured() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    let response = client.ask(request("GET", "http://a/", "Connection: close\r\n"));
    assert_eq!(response.header("connection"), Some("close"));
    client.assert_closed();
    // It applies to the client's connection only.
    gateway.get("http://a/");
    assert_eq!(service.connections(), 1);
}

#[test]
fn new_connection_after_service_close() {
    for last in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ] {
        let service = Service::responding(last);
        let gateway = Gateway::to(&service);
        let mut client = gateway.connect();
        for _ in 0..3 {
            assert_eq!(client.get("http://a/").text(), "ok");
        }
        assert_eq!(service.connections(), 3, "{last}");
    }
}

#[test]
fn service_connections_reused() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    for _ in 0..10 {
        client.get("http://a/");
    }
    for _ in 0..10 {
        gateway.get("http://a/");
    }
    assert_eq!(service.connections(), 1);
}

#[test]
fn idle_max_zero_disables_reuse() {
    let service = Service::echo("a");
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "pool: { idle_max: 0 }")
            .route("name: all, to: a"),
    );
    for _ in 0..3 {
        gateway.get("http://a/");
    }
    assert_eq!(service.connections(), 3);
}

#[test]
fn round_robin_over_endpoints() {
    let all = [Service::echo("a"), Service::echo("b"), Service::echo("c")];
    let urls = all.each_ref().map(Service::url);
    let gateway = Gateway::with(
        Config::new()
            .service_at("s", &urls.each_ref().map(String::as_str), "")
            .route("name: all, to: s"),
    );
    let mut client = gateway.connect();
    let names: Vec<String> = (0..12)
        .map(|_| {
            client.get("http://a/").json()["service"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    for name in ["a", "b", "c"] {
        assert_eq!(
            names.iter().filter(|found| *found == name).count(),
            4,
            "{names:?}"
        );
    }
    assert_eq!(names[..9], names[3..], "{names:?}");
}

#[test]
fn endpoint_by_name() {
    let service = Service::echo("a");
    let port = service.address().port();
    let gateway = Gateway::with(
        Config::new()
            .service_at("s", &[&format!("http://localhost:{port}")], "")
            .route("name: all, to: s"),
    );
    assert_eq!(gateway.get("http://a/").json()["service"], "a");
}

#[test]
fn concurrent_clients_get_their_own_responses() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    std::thread::scope(|scope| {
        for client in 0..16 {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut connection = gateway.connect();
                for number in 0..20 {
                    let target = format!("/{client}/{number}");
                    let response = connection.get(&format!("http://a{target}"));
                    assert_eq!(response.json()["target"], target);
                }
            });
        }
    });
}

#[test]
fn clients_over_the_connection_limit_wait() {
    let service = Service::echo("a");
    let gateway = Gateway::with(Config::listening(&["limits: { connections: 1 }"]).all_to(&service));
    let mut first = gateway.connect();
    first.get("http://a/first");
    let mut second = gateway.connect();
    second.send(get("http://a/second"));
    assert_eq!(first.get("http://a/again").json()["target"], "/again");
    drop(first);
    assert_eq!(second.response().json()["target"], "/second");
}
