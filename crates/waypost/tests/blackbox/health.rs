//! Checks of endpoints: what is asked, what an endpoint has to answer, and what becomes of one that does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};

use crate::support::client::Client;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Service;
use crate::support::service::{Service, gate, ok};
use crate::support::wait_for;

/// Checks that are soon repeated.
const OFTEN: &str = "interval: 20ms, timeout: 5s, unhealthy: 2, healthy: 2";

/// A service that answers requests with its name, and `/healthz` with a status that can be changed.
fn toggled(name: &'static str) -> (Service, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let current = Arc::clone(&status);
    let service = Service::named(name, move |talk| {
        while let Some(request) = talk.request() {
            let status = match request.target() == "/healthz" {
                true => current.load(Ordering::SeqCst),
                false => 200,
            };
            talk.send(format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{name}",
                name.len()
            ));
            if request.values("connection").contains(&"close") {
                return;
            }
        }
    });
    (service, status)
}

/// A gateway whose service `s` has these endpoints and keys.
fn gateway(urls: &[&str], keys: &str) -> Gateway {
    let config = Config::new().service_at("s", urls, keys);
    Gateway::with(config.route("name: all, to: s"))
}

/// The state of an endpoint of `s`, with its reason.
fn state(gateway: &Gateway, endpoint: usize) -> (String, String) {
    let service = gateway.admin_json("/api/v1/services/s");
    let address = &service["endpoints"][endpoint]["addresses"][0];
    let text = |key: &str| address[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("reason"))
}

fn wait_until(gateway: &Gateway, endpoint: usize, expected: &str) -> String {
    wait_for(&format!("endpoint {endpoint} being {expected}"), || {
        let (state, reason) = state(gateway, endpoint);
        (state == expected).then_some(reason)
    })
}

/// Waits until checks of the service have had this result `more` times.
fn wait_for_checks(gateway: &Gateway, result: &str, more: u64) {
    let series = format!("waypost_health_checks_total{{service=\"s\",result=\"{result}\"}} ");
    let count = || {
        let metrics = gateway.metrics();
        let line = metrics.lines().find_map(|line| line.strip_prefix(&series));
        line.map_or(0, |value| value.parse::<u64>().unwrap())
    };
    let before = count();
    wait_for("checks", || (count() >= before + more).then_some(()));
}

/// The names of the services that answer so many requests.
fn answers(gateway: &Gateway, requests: usize) -> Vec<String> {
    let mut names: Vec<String> = (0..requests).map(|_| gateway.body()).collect();
    names.sort();
    names.dedup();
    names
}

fn subscribe(gateway: &Gateway) -> Client {
    let address = gateway.admin_address();
    let mut events = Client::connect(address);
    events.send(format!("GET /api/v1/events HTTP/1.1\r\nHost: {address}\r\n\r\n"));
    assert_eq!(events.response_head().status(), 200);
    events
}

#[test]
fn failing_endpoint_takes_no_requests_until_it_passes_again() {
    let ((a, status), (b, _)) = (toggled("a"), toggled("b"));
    let gateway = gateway(
        &[&a.url(), &b.url()],
        &format!("health: {{ path: /healthz, {OFTEN} }}"),
    );
    let mut events = subscribe(&gateway);
    for endpoint in [0, 1] {
        wait_until(&gateway, endpoint, "up");
    }
    assert_eq!(answers(&gateway, 8), ["a", "b"]);
    status.store(503, Ordering::SeqCst);
    assert_eq!(wait_until(&gateway, 0, "down"), "check failed: status 503");
    assert_eq!(answers(&gateway, 8), ["b"]);
    events.expect("event: endpoint_down\n");
    events.expect("\"reason\":\"check failed: status 503\"");
    let address = a.address();
    let up = |value: u8| format!("waypost_endpoint_up{{service=\"s\",endpoint=\"{address}\"}} {value}\n");
    assert!(gateway.metrics().contains(&up(0)));
    status.store(204, Ordering::SeqCst);
    wait_until(&gateway, 0, "up");
    events.expect("event: endpoint_up\n");
    assert!(gateway.metrics().contains(&up(1)));
    assert_eq!(answers(&gateway, 8), ["a", "b"]);
}

#[test]
fn first_check_decides_alone() {
    let (service, status) = toggled("a");
    let never = "interval: 1h, timeout: 1m, unhealthy: 100, healthy: 100";
    let config = |path: &str| {
        let keys = format!("health: {{ path: {path}, {never} }}");
        let config = Config::new().service_at("s", &[&service.url()], &keys);
        config.route("name: all, to: s")
    };
    status.store(500, Ordering::SeqCst);
    let gateway = Gateway::with(config("/healthz"));
    assert_eq!(wait_until(&gateway, 0, "down"), "check failed: status 500");
    // A changed service is a new one.
    gateway.rewrite(config("/other"));
    gateway.wait_for_revision(2);
    wait_for_checks(&gateway, "passed", 0);
    wait_until(&gateway, 0, "up");
    // The only endpoint is used although it is down, rather than none.
    gateway.rewrite(config("/healthz"));
    gateway.wait_for_revision(3);
    wait_until(&gateway, 0, "down");
}

#[test]
fn unhealthy_at_first_means_no_requests_before_a_check() {
    let (opener, waiting) = gate();
    let waiting = std::sync::Mutex::new(Some(waiting));
    let slow = Service::named("slow", move |talk| {
        while let Some(request) = talk.request() {
            if request.target() == "/healthz"
                && let Some(gate) = waiting.lock().unwrap().take()
            {
                gate.wait();
            }
            talk.send(ok("slow"));
        }
    });
    let (fast, _) = toggled("fast");
    let gateway = gateway(
        &[&slow.url(), &fast.url()],
        "health: { path: /healthz, interval: 1h, timeout: 1m, initially: unhealthy }",
    );
    wait_until(&gateway, 1, "up");
    assert_eq!(
        state(&gateway, 0),
        ("unknown".to_owned(), "not checked yet".to_owned())
    );
    assert_eq!(answers(&gateway, 8), ["fast"]);
    opener.open();
    wait_until(&gateway, 0, "up");
    assert_eq!(answers(&gateway, 8), ["fast", "slow"]);
}

#[test]
fn check_asks_as_the_config_says() {
    let service = Service::responding("HTTP/1.1 401 Unauthorized\r\n\r\n");
    let gateway = gateway(
        &[&service.url()],
        "health: { path: \"/live?full=1\", interval: 1h, timeout: 1m, status: [200-299, 401], method: HEAD, \
         host: orders.internal, headers: { X-Probe: \"a b\" } }",
    );
    wait_until(&gateway, 0, "up");
    wait_for_checks(&gateway, "passed", 0);
    let received = service.received().concat();
    assert!(
        received.starts_with("HEAD /live?full=1 HTTP/1.1\r\nhost: orders.internal\r\n"),
        "{received}"
    );
    assert!(received.contains("\r\nx-probe: a b\r\n"), "{received}");
    assert!(received.contains("\r\nuser-agent: waypost/"), "{received}");
}

#[test]
fn another_port_may_be_checked() {
    let (service, _) = toggled("a");
    let (checked, status) = toggled("checked");
    status.store(500, Ordering::SeqCst);
    let port = checked.address().port();
    let gateway = gateway(
        &[&service.url()],
        &format!("health: {{ path: /healthz, port: {port}, {OFTEN} }}"),
    );
    wait_until(&gateway, 0, "down");
    status.store(200, Ordering::SeqCst);
    wait_until(&gateway, 0, "up");
    assert_eq!(service.connections(), 0);
    assert_eq!(gateway.body(), "a");
}

#[test]
fn endpoint_that_does_not_answer_is_down_for_a_reason() {
    let refusing = Service::refusing();
    let silent = Service::scripted(|talk| talk.read_to_end());
    let closing = Service::scripted(|talk| drop(talk.request()));
    let garbled = Service::responding("SSH-2.0-x\r\n\r\n");
    let check = |service: &Service, timeout: &str, reason: &str| {
        let keys = format!("health: {{ path: /, interval: 1h, timeout: {timeout} }}");
        let gateway = gateway(&[&service.url()], &keys);
        assert_eq!(wait_until(&gateway, 0, "down"), format!("check failed: {reason}"));
    };
    check(&silent, "100ms", "timeout after 100ms");
    // There is one check: these have the time to fail as they do.
    check(&refusing, "1m", "connection refused");
    check(&closing, "1m", "the connection ended before a response");
    check(&garbled, "1m", "the response is malformed or incomplete");
}

#[test]
fn connection_alone_may_be_checked() {
    let mut service = Service::refusing_as("a");
    let gateway = gateway(&[&service.url()], &format!("health: {{ tcp: true, {OFTEN} }}"));
    assert_eq!(
        wait_until(&gateway, 0, "down"),
        "check failed: connection refused"
    );
    service.recover();
    wait_until(&gateway, 0, "up");
}

#[test]
fn passed_check_ends_the_ejection_after_a_failed_connection() {
    let mut service = Service::refusing_as("a");
    let gateway = gateway(&[&service.url()], &format!("health: {{ tcp: true, {OFTEN} }}"));
    wait_until(&gateway, 0, "down");
    assert_eq!(gateway.get("http://a/").status(), 502);
    service.recover();
    // Without a request.
    wait_until(&gateway, 0, "up");
    assert!(gateway.body().contains("\"service\":\"a\""));
}

/// A gRPC server that answers health checks with a status that can be changed; 99 fails the call. It counts the calls.
fn grpc_server(status: &Arc<AtomicU16>, calls: &Arc<AtomicUsize>) -> Http2Service {
    let (status, calls) = (Arc::clone(status), Arc::clone(calls));
    Http2Service::start(move |mut request, mut respond| {
        let (status, calls) = (Arc::clone(&status), Arc::clone(&calls));
        async move {
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            assert_eq!(request.headers()["content-type"], "application/grpc");
            assert_eq!(request.headers()["te"], "trailers");
            let mut body = Vec::new();
            while let Some(Ok(piece)) = request.body_mut().data().await {
                body.extend_from_slice(&piece);
            }
            assert_eq!(body, b"\0\0\0\0\x08\x0a\x06orders");
            calls.fetch_add(1, Ordering::SeqCst);
            let response = Response::builder().header("content-type", "application/grpc");
            let status = status.load(Ordering::SeqCst);
            if status == 99 {
                let response = response.header("grpc-status", "14").body(()).unwrap();
                respond.send_response(response, true).unwrap();
                return;
            }
            let mut stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
            let message = [0, 0, 0, 0, 2, 8, status as u8];
            let _ = stream.send_data(Bytes::copy_from_slice(&message), false);
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            let _ = stream.send_trailers(trailers);
        }
    })
}

#[test]
fn grpc_server_is_asked_whether_it_serves() {
    let (status, calls) = (Arc::new(AtomicU16::new(1)), Arc::<AtomicUsize>::default());
    let server = grpc_server(&status, &calls);
    let gateway = gateway(&[&server.url()], &format!("health: {{ grpc: orders, {OFTEN} }}"));
    wait_for_checks(&gateway, "passed", 2);
    assert_eq!(state(&gateway, 0).0, "up");
    for (answer, reason) in [
        (2, "check failed: NOT_SERVING"),
        (3, "check failed: SERVICE_UNKNOWN"),
        (99, "check failed: gRPC status 14"),
    ] {
        status.store(answer, Ordering::SeqCst);
        assert_eq!(wait_until(&gateway, 0, "down"), reason);
        status.store(1, Ordering::SeqCst);
        wait_until(&gateway, 0, "up");
    }
    assert!(calls.load(Ordering::SeqCst) > 12);
}

#[test]
fn server_without_http2_does_not_pass_as_grpc() {
    let service = Service::responding(ok("x"));
    let gateway = gateway(
        &[&service.url()],
        "health: { grpc: true, interval: 1h, timeout: 500ms }",
    );
    assert!(wait_until(&gateway, 0, "down").starts_with("check failed: "));
}

#[test]
fn checks_go_on_across_reloads_and_end_with_their_service() {
    let ((a, status), (b, _)) = (toggled("a"), toggled("b"));
    let config = |workers: &str| {
        let keys = format!("health: {{ path: /healthz, {OFTEN} }}");
        let config = Config::new().service_at("s", &[&a.url()], &keys).service(&b, "");
        config.route(&format!("name: all, to: {workers}"))
    };
    let gateway = Gateway::with(config("s"));
    status.store(503, Ordering::SeqCst);
    wait_until(&gateway, 0, "down");
    let since = |gateway: &Gateway| {
        let service = gateway.admin_json("/api/v1/services/s");
        service["endpoints"][0]["addresses"][0]["since"].to_string()
    };
    let before = since(&gateway);
    // The service is unchanged, so what is known of it stays.
    gateway.rewrite(config("b"));
    gateway.wait_for_revision(2);
    assert_eq!((state(&gateway, 0).0.as_str(), since(&gateway)), ("down", before));
    wait_for_checks(&gateway, "failed", 2);
    gateway.rewrite(Config::new().all_to(&b));
    gateway.wait_for_revision(3);
    assert!(!gateway.metrics().contains("waypost_endpoint_up{service=\"s\""));
    assert_eq!(gateway.admin("GET", "/api/v1/services/s", "", "").status(), 404);
}

#[test]
fn checks_are_no_requests_of_the_endpoint() {
    let (service, _) = toggled("a");
    let gateway = gateway(
        &[&service.url()],
        &format!("health: {{ path: /healthz, {OFTEN} }}"),
    );
    wait_for_checks(&gateway, "passed", 3);
    let counts = || {
        let service = gateway.admin_json("/api/v1/services/s");
        let address = &service["endpoints"][0]["addresses"][0];
        (
            address["requests"].as_u64().unwrap(),
            address["in_flight"].as_u64().unwrap(),
        )
    };
    assert_eq!(counts(), (0, 0));
    assert_eq!(gateway.body(), "a");
    wait_for("the request", || (counts() == (1, 0)).then_some(()));
}

#[test]
fn proxy_header_is_sent_with_checks_too() {
    let service = Service::responding(ok("x"));
    let gateway = gateway(
        &[&service.url()],
        "proxy_protocol: v1, health: { path: /healthz, interval: 1h }",
    );
    wait_for_checks(&gateway, "failed", 0);
    service.wait_for("PROXY UNKNOWN\r\nGET /healthz HTTP/1.1\r\n");
    drop(gateway);
}

#[test]
fn idle_connections_to_an_endpoint_that_is_down_are_closed() {
    let status = Arc::new(AtomicU16::new(200));
    let open = Arc::new(AtomicUsize::new(0));
    let (current, counted) = (Arc::clone(&status), Arc::clone(&open));
    let a = Service::named("a", move |talk| {
        let mut is_counted = false;
        while let Some(request) = talk.request() {
            let is_check = request.target() == "/healthz";
            if !is_check && !is_counted {
                counted.fetch_add(1, Ordering::SeqCst);
                is_counted = true;
            }
            let status = if is_check {
                current.load(Ordering::SeqCst)
            } else {
                200
            };
            talk.send(format!("HTTP/1.1 {status} X\r\nContent-Length: 1\r\n\r\na"));
        }
        if is_counted {
            counted.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let b = Service::echo("b");
    let gateway = gateway(
        &[&a.url(), &b.url()],
        &format!("health: {{ path: /healthz, {OFTEN} }}"),
    );
    answers(&gateway, 4);
    assert!(open.load(Ordering::SeqCst) > 0);
    status.store(503, Ordering::SeqCst);
    wait_until(&gateway, 0, "down");
    wait_for("the end of the connections", || {
        (open.load(Ordering::SeqCst) == 0).then_some(())
    });
}
