//! Connections on both sides: keep-alive, reuse, round robin over endpoints, the connection limit.

use crate::support::client::{get, request};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::service::{Service, ok};

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

/// The head and the beginning of an upload whose client then says nothing more.
const BEGUN_UPLOAD: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n";

#[test]
fn slow_upload_goes_when_connections_run_short() {
    for workers in [1, 2] {
        let service = Service::echo("a");
        let limit = "limits: { connections: 1, body_idle_timeout: 5m }";
        let gateway = Gateway::with(Config::listening(&[limit]).all_to(&service).workers(workers));
        let mut slow = gateway.connect();
        slow.send(BEGUN_UPLOAD);
        // Another worker may accept the next client first.
        service.wait_for("abcde");
        assert_eq!(gateway.get("http://a/").status(), 200);
        let response = slow.response();
        assert_eq!(response.status(), 408);
        assert_eq!(
            response.header("proxy-status"),
            Some("waypost; error=connection_limit_reached")
        );
        slow.assert_closed();
        let series = "waypost_refusals_total{reason=\"body_displaced\"} 1\n";
        assert!(gateway.metrics().contains(series));
    }
}

#[test]
fn slowest_upload_goes_first() {
    let service = Service::echo("a");
    let limit = "limits: { connections: 2, body_idle_timeout: 5m }";
    let gateway = Gateway::with(Config::listening(&[limit]).all_to(&service));
    let [mut slow, mut fast] = [gateway.connect(), gateway.connect()];
    slow.send(BEGUN_UPLOAD);
    service.wait_for("abcde");
    let part = "x".repeat(100_000);
    fast.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n{part}"
    ));
    service.wait_until(|connections| connections.iter().any(|bytes| bytes.len() > part.len()));
    assert_eq!(gateway.get("http://a/").status(), 200);
    assert_eq!(slow.response().status(), 408);
    assert_eq!(fast.send("x").response().status(), 200);
}

#[test]
fn upload_that_is_being_answered_stays_when_connections_run_short() {
    let service = Service::scripted(|talk| {
        if let Some(request) = talk.request_head() {
            if request.method() == "GET" {
                talk.send(ok("got"));
                return;
            }
            talk.expect("abcde");
            talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
            talk.expect("fghij");
            talk.send("4\r\nlast\r\n0\r\n\r\n");
            talk.read_to_end();
        }
    });
    let limit = "limits: { connections: 2, body_idle_timeout: 5m }";
    let gateway = Gateway::with(Config::listening(&[limit]).all_to(&service));
    let [mut slow, mut answered] = [gateway.connect(), gateway.connect()];
    answered.send(BEGUN_UPLOAD).expect("first");
    slow.send(BEGUN_UPLOAD.replace("abcde", "abcdf"));
    assert_eq!(gateway.get("http://a/").text(), "got");
    assert_eq!(slow.response().status(), 408);
    answered.send("5\r\nfghij\r\n0\r\n\r\n").expect("last");
}

#[test]
fn http2_connection_with_slow_uploads_only_goes_when_connections_run_short() {
    let service = Service::echo("a");
    let limit = "limits: { connections: 1, body_idle_timeout: 5m }";
    let gateway = Gateway::with(Config::listening(&[limit]).all_to(&service));
    let client = Http2Client::connect(gateway.address());
    let mut slow: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = client.open(http::Request::post("http://a/").body(()).unwrap(), false);
            stream.send(b"abcde", false);
            stream
        })
        .collect();
    assert_eq!(gateway.get("http://a/").status(), 200);
    for stream in &mut slow {
        // The connection may end before the response is read.
        let response = stream.response();
        assert!(response.is_err() || response.unwrap().status() == 408);
    }
    client.wait_for_end();
}

#[test]
fn lingering_connection_goes_when_connections_run_short() {
    let config = Config::listening(&["limits: { connections: 1 }"]);
    let gateway = Gateway::with(config.route("name: all, match: { host: a }, respond: { status: 200 }"));
    let mut clients = Vec::new();
    // Each of them could hold its connection for seconds.
    for _ in 0..20 {
        let mut client = gateway.connect();
        client.send("POST / HTTP/1.1\r\nHost: b\r\nContent-Length: 10\r\n\r\nabc");
        assert_eq!(client.response().status(), 404);
        clients.push(client);
    }
}
