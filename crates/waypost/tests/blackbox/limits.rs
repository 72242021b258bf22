//! Limits of a service: requests in flight, open connections, and the requests that wait for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use rustix::process::Signal;

use crate::access_log::wait_for_log;
use crate::support::client::{Client, get};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::{self, Http2Client, Http2Service};
use crate::support::message::Message;
use crate::support::service::{Opener, Service, gate, ok};
use crate::support::tls::{Authority, Trusting};
use crate::support::wait_for;

/// Enough connections to reach both of two workers.
const CONNECTIONS: usize = 32;

/// A service that responds with the path; requests under `/held` wait at its gate.
fn holding() -> (Service, Opener) {
    let (opener, gate) = gate();
    let service = Service::named("s", move |talk| {
        while let Some(request) = talk.request() {
            if request.target().starts_with("/held") {
                gate.wait();
            }
            talk.send(ok(request.target()));
        }
    });
    (service, opener)
}

/// A config that forwards everything to `service` within these limits.
fn limited(service: &Service, limits: &str) -> Config {
    Config::new()
        .service(service, &format!("limits: {{ {limits} }}"))
        .route("name: all, to: s")
}

/// The value of a series, 0 if there is none.
fn metric(gateway: &Gateway, series: &str) -> usize {
    let metrics = gateway.metrics();
    let mut values = metrics
        .lines()
        .filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    values.next().map_or(0, |value| value.parse().unwrap())
}

fn wait_for_metric(gateway: &Gateway, series: &str, expected: usize) {
    wait_for(&format!("{series} {expected}"), || {
        (metric(gateway, series) == expected).then_some(())
    });
}

/// Waits until so many requests wait.
fn wait_for_waiting(gateway: &Gateway, expected: usize) {
    wait_for_metric(gateway, "waypost_limit_waiting_requests{service=\"s\"}", expected);
}

/// Waits until so many requests or connections are in use.
fn wait_for_used(gateway: &Gateway, limit: &str, expected: usize) {
    let series = format!("waypost_limit_used{{service=\"s\",limit=\"{limit}\"}}");
    wait_for_metric(gateway, &series, expected);
}

fn assert_refused(response: &Message) {
    assert_eq!(response.status(), 503, "{}", response.text());
    assert_eq!(
        response.header("proxy-status"),
        Some("waypost; error=connection_limit_reached")
    );
    assert_eq!(response.header("retry-after"), Some("1"));
}

#[test]
fn requests_beyond_the_limit_are_refused_without_touching_the_service() {
    for workers in [1, 2] {
        let (service, opener) = holding();
        let gateway = Gateway::with(limited(&service, "requests: 2").workers(workers));
        let (mut one, mut other) = (gateway.connect(), gateway.connect());
        one.send(get("http://a/held/1"));
        other.send(get("http://a/held/2"));
        service.wait_for("/held/1");
        service.wait_for("/held/2");
        let mut refused = gateway.connect();
        assert_refused(&refused.get("http://a/no"));
        assert_refused(&refused.ask("POST /no HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"));
        let http2 = Http2Client::connect(gateway.address());
        assert_refused(&http2.get("http://a/no"));
        opener.open();
        opener.open();
        assert_eq!(one.response().text(), "/held/1");
        assert_eq!(other.response().text(), "/held/2");
        wait_for_used(&gateway, "requests", 0);
        assert_eq!(refused.get("http://a/yes").text(), "/yes");
        assert_eq!(http2.get("http://a/too").text(), "/too");
        assert!(!service.received().concat().contains("/no"));
        let series = "waypost_limit_refusals_total{service=\"s\",limit=\"requests\"}";
        assert_eq!(metric(&gateway, series), 3);
        assert_eq!(
            metric(&gateway, "waypost_limit{service=\"s\",limit=\"requests\"}"),
            2
        );
        assert_eq!(metric(&gateway, "waypost_refusals_total{reason=\"limit\"}"), 3);
    }
}

#[test]
fn refusal_is_logged_with_its_reason() {
    let (service, opener) = holding();
    let config = limited(&service, "requests: 1").key("access_log: access.log");
    let gateway = Gateway::with(config);
    let mut held = gateway.connect();
    held.send(get("http://a/held"));
    service.wait_for("/held");
    assert_refused(&gateway.get("http://a/no"));
    let line = &wait_for_log(&gateway, 1)[0];
    assert_eq!(line["status"], 503);
    assert_eq!(line["ended_by"], "gateway");
    assert_eq!(line["reason"], "connection_limit_reached");
    assert!(line["endpoint"].is_null(), "{line}");
    opener.open();
    held.response();
}

#[test]
fn waiting_requests_are_served_first_come_first_served() {
    let (service, opener) = holding();
    let gateway = Gateway::with(limited(&service, "requests: 1, waiting: 3, wait: 1h"));
    let mut clients: Vec<Client> = Vec::new();
    for number in 0..4 {
        let mut client = gateway.connect();
        client.send(get(&format!("http://a/held/{number}")));
        clients.push(client);
        service.wait_for("/held/0");
        wait_for_waiting(&gateway, number);
    }
    assert_refused(&gateway.get("http://a/no"));
    for (number, client) in clients.iter_mut().enumerate() {
        opener.open();
        assert_eq!(client.response().text(), format!("/held/{number}"));
    }
    wait_for_waiting(&gateway, 0);
    wait_for_used(&gateway, "requests", 0);
    let received = service.received();
    assert_eq!(received.len(), 1, "one connection for all: {received:?}");
    let order: Vec<Option<usize>> = (0..4)
        .map(|number| received[0].find(&format!("/held/{number}")))
        .collect();
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn wait_ends_with_503_and_the_timeout_of_the_route_with_504() {
    for (limits, timeout, expected) in [
        ("requests: 1, waiting: 1, wait: 10ms", "1h", 503),
        ("connections: 1, waiting: 1, wait: 10ms", "1h", 503),
        ("requests: 1, waiting: 1, wait: 1h", "10ms", 504),
        ("connections: 1, waiting: 1, wait: 1h", "10ms", 504),
    ] {
        let (service, opener) = holding();
        let gateway = Gateway::with(
            Config::new()
                .service(&service, &format!("limits: {{ {limits} }}"))
                .route("name: all, to: s")
                .route(&format!(
                    "name: no, match: {{ path: /no }}, to: s, timeout: {timeout}"
                )),
        );
        let mut held = gateway.connect();
        held.send(get("http://a/held"));
        service.wait_for("/held");
        let response = gateway.get("http://a/no");
        assert_eq!(response.status(), expected, "{limits}");
        if expected == 503 {
            assert_refused(&response);
        }
        wait_for_waiting(&gateway, 0);
        opener.open();
        assert_eq!(held.response().status(), 200);
        assert_eq!(gateway.get("http://a/yes").status(), 200, "{limits}");
        assert!(!service.received().concat().contains("/no"));
    }
}

#[test]
fn client_that_leaves_gives_its_place_in_the_queue_up() {
    for limit in ["requests", "connections"] {
        let (service, opener) = holding();
        let limits = format!("{limit}: 1, waiting: 1, wait: 1h");
        let gateway = Gateway::with(limited(&service, &limits));
        let mut held = gateway.connect();
        held.send(get("http://a/held"));
        service.wait_for("/held");
        let large = "x".repeat(12 << 10);
        let post = format!("POST /gone HTTP/1.1\r\nHost: a\r\nContent-Length: 12288\r\n\r\n{large}");
        for request in [get("http://a/gone"), post] {
            for resets in [false, true] {
                let mut client = gateway.connect();
                client.send(&request);
                wait_for_waiting(&gateway, 1);
                if resets {
                    client.reset();
                } else {
                    drop(client);
                }
                wait_for_waiting(&gateway, 0);
            }
        }
        let http2 = Http2Client::connect(gateway.address());
        let mut stream = http2.open(http2::get("http://a/gone"), true);
        wait_for_waiting(&gateway, 1);
        stream.sender.send_reset(h2::Reason::CANCEL);
        wait_for_waiting(&gateway, 0);
        // Two requests, of which the first waits: that its client says no more is no sign that it has left.
        let mut patient = gateway.connect();
        patient
            .send(get("http://a/1") + &get("http://a/2"))
            .finish_sending();
        wait_for_waiting(&gateway, 1);
        opener.open();
        assert_eq!(held.response().status(), 200);
        assert_eq!(patient.response().text(), "/1");
        assert!(!service.received().concat().contains("/gone"), "{limit}");
    }
}

#[test]
fn client_that_leaves_its_request_in_flight_frees_its_place() {
    let (service, opener) = holding();
    let gateway = Gateway::with(limited(&service, "requests: 1, connections: 1").workers(2));
    for _ in 0..4 {
        let mut client = gateway.connect();
        client.send(get("http://a/held"));
        wait_for_used(&gateway, "requests", 1);
        client.reset();
        wait_for_used(&gateway, "requests", 0);
        wait_for_used(&gateway, "connections", 0);
    }
    drop(opener);
    assert_eq!(gateway.get("http://a/yes").status(), 200);
}

#[test]
fn upgraded_connection_counts_as_long_as_it_lives() {
    let service = Service::named("s", |talk| {
        while let Some(request) = talk.request() {
            if request.header("upgrade").is_some() {
                let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n";
                talk.send(format!("{head}Upgrade: websocket\r\n\r\n"));
                return talk.read_to_end();
            }
            talk.send(ok("plain"));
        }
    });
    let gateway = Gateway::with(limited(&service, "requests: 1"));
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(client.response_head().status(), 101);
    client.send("hello");
    service.wait_for("hello");
    assert_refused(&gateway.get("http://a/"));
    drop(client);
    wait_for_used(&gateway, "requests", 0);
    assert_eq!(gateway.get("http://a/").text(), "plain");
}

#[test]
fn connections_beyond_the_limit_are_not_opened() {
    let (service, opener) = holding();
    let gateway = Gateway::with(limited(&service, "connections: 1, waiting: 2, wait: 1h"));
    let mut clients: Vec<Client> = (0..3).map(|_| gateway.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(get(&format!("http://a/held/{number}")));
        service.wait_for("/held/0");
        wait_for_waiting(&gateway, number);
    }
    assert_refused(&gateway.get("http://a/no"));
    for (number, client) in clients.iter_mut().enumerate() {
        opener.open();
        assert_eq!(client.response().text(), format!("/held/{number}"));
    }
    assert_eq!(service.connections(), 1, "it is handed on to those that wait");
    let series = "waypost_limit_refusals_total{service=\"s\",limit=\"connections\"}";
    assert_eq!(metric(&gateway, series), 1);
    wait_for_used(&gateway, "connections", 1);
    // A request that needs a connection of its own gets the place of the idle one.
    let mut client = gateway.connect();
    client.send("GET /up HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(client.response().text(), "/up");
}

#[test]
fn idle_connections_of_other_workers_make_room() {
    let (service, _opener) = holding();
    let gateway = Gateway::with(limited(&service, "connections: 1").workers(2));
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| gateway.connect()).collect();
    for round in 0..3 {
        for client in &mut clients {
            let response = client.get("http://a/x");
            assert_eq!(response.status(), 200, "round {round}: {}", response.text());
        }
    }
}

#[test]
fn idle_http2_connections_of_other_workers_make_room() {
    let service = Http2Service::start(|_, mut respond| async move {
        respond.send_response(Response::new(()), true).unwrap();
    });
    let config = Config::new()
        .service_at("s", &[&service.url()], "http2: true, limits: { connections: 1 }")
        .route("name: all, to: s");
    let gateway = Gateway::with(config.workers(2));
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        let response = client.get("http://a/x");
        assert_eq!(response.status(), 200, "{}", response.text());
    }
}

#[test]
fn idle_connections_to_other_endpoints_make_room() {
    let services: Vec<Service> = (0..3).map(|_| Service::responding(ok("x"))).collect();
    let urls: Vec<String> = services.iter().map(Service::url).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let config = Config::new()
        .service_at("s", &urls, "limits: { connections: 1 }")
        .route("name: all, to: s");
    let gateway = Gateway::with(config);
    let mut client = gateway.connect();
    for _ in 0..9 {
        assert_eq!(client.get("http://a/x").status(), 200);
    }
    for service in &services {
        assert_eq!(service.connections(), 3);
    }
}

#[test]
fn limits_hold_over_all_workers_however_many_ask() {
    for limits in [
        "requests: 2, waiting: 100, wait: 1h",
        "connections: 2, waiting: 100, wait: 1h",
        "requests: 3, connections: 2, waiting: 100, wait: 1h",
    ] {
        let (now, max) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counted, highest) = (Arc::clone(&now), Arc::clone(&max));
        let service = Service::named("s", move |talk| {
            while talk.request().is_some() {
                highest.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                counted.fetch_sub(1, Ordering::SeqCst);
                talk.send(ok("x"));
            }
        });
        let gateway = Gateway::with(limited(&service, limits).workers(2));
        std::thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(|| {
                    let mut client = gateway.connect();
                    for _ in 0..20 {
                        let response = client.get("http://a/x");
                        assert_eq!(response.status(), 200, "{limits}: {}", response.text());
                    }
                });
            }
        });
        let max = max.load(Ordering::SeqCst);
        assert!(max <= 2, "{limits}: {max} at a time");
        wait_for_waiting(&gateway, 0);
        if limits.starts_with("requests") {
            wait_for_used(&gateway, "requests", 0);
        }
    }
}

#[test]
fn streams_count_as_requests_and_share_a_connection() {
    let (open, held) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(tokio::sync::Semaphore::new(0)),
    );
    let (counted, gate) = (Arc::clone(&open), Arc::clone(&held));
    let service = Http2Service::start(move |request, mut respond| {
        let (open, gate) = (Arc::clone(&counted), Arc::clone(&gate));
        async move {
            if request.uri().path() == "/held" {
                open.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
            }
            respond.send_response(Response::new(()), true).unwrap();
        }
    });
    let limits = "http2: true, limits: { requests: 4, connections: 1 }";
    let config = Config::new()
        .service_at("s", &[&service.url()], limits)
        .route("name: all, to: s");
    let gateway = Gateway::with(config);
    let client = Http2Client::connect(gateway.address());
    let mut streams: Vec<_> = (0..4)
        .map(|_| client.open(http2::get("http://a/held"), true))
        .collect();
    wait_for("four streams", || {
        (open.load(Ordering::SeqCst) == 4).then_some(())
    });
    assert_refused(&client.get("http://a/no"));
    held.add_permits(4);
    for stream in &mut streams {
        assert_eq!(stream.response().unwrap().status(), 200);
    }
    wait_for_used(&gateway, "requests", 0);
    assert_eq!(client.get("http://a/yes").status(), 200);
    assert_eq!(
        metric(&gateway, "waypost_upstream_connections_total{service=\"s\"}"),
        1
    );
}

#[test]
fn stream_that_ends_goes_to_a_request_that_waits() {
    let (gate, opened) = (
        Arc::new(tokio::sync::Semaphore::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (held, counted) = (Arc::clone(&gate), Arc::clone(&opened));
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(1);
    let service = Http2Service::with(builder, move |_, mut respond| {
        let (gate, opened) = (Arc::clone(&held), Arc::clone(&counted));
        async move {
            opened.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            respond.send_response(Response::new(()), true).unwrap();
        }
    });
    let limits = "http2: true, limits: { connections: 1, waiting: 2, wait: 1h }";
    let config = Config::new()
        .service_at("s", &[&service.url()], limits)
        .route("name: all, to: s");
    let gateway = Gateway::with(config);
    let mut clients: Vec<Client> = (0..3).map(|_| gateway.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(get("http://a/x"));
        wait_for("the first stream", || {
            (opened.load(Ordering::SeqCst) == 1).then_some(())
        });
        wait_for_waiting(&gateway, number);
    }
    assert_refused(&gateway.get("http://a/x"));
    for client in &mut clients {
        gate.add_permits(1);
        assert_eq!(client.response().status(), 200);
    }
    assert_eq!(
        metric(&gateway, "waypost_upstream_connections_total{service=\"s\"}"),
        1
    );
}

#[test]
fn grpc_calls_get_unavailable() {
    let (service, opener) = holding();
    let gateway = Gateway::with(limited(&service, "requests: 1"));
    let mut held = gateway.connect();
    held.send(get("http://a/held"));
    service.wait_for("/held");
    let call = Request::post("http://a/pkg.S/M")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let response = Http2Client::connect(gateway.address()).ask(call, "");
    assert_eq!(response.status(), 200);
    assert_eq!(response.header("grpc-status"), Some("14"));
    assert_eq!(
        response.header("proxy-status"),
        Some("waypost; error=connection_limit_reached")
    );
    opener.open();
    held.response();
}

#[test]
fn passed_through_connections_count() {
    let authority = Authority::new();
    let service = Service::responding(ok("x"));
    let inner = Gateway::with_certificates(&[&authority.issue(&["a.test"])], &service);
    let config = Config::listening(&["tls: { passthrough: true }"])
        .service_at(
            "s",
            &[&format!("https://{}", inner.address())],
            "limits: { connections: 1, requests: 1 }",
        )
        .route("name: a, match: { host: a.test }, passthrough: s");
    let gateway = Gateway::with(config);
    let trusting = Trusting::new(&authority);
    let mut client = trusting.connect(gateway.address(), "a.test");
    assert_eq!(client.get("a.test", "/").status(), 200);
    trusting.refusal(gateway.address(), "a.test");
    let series = "waypost_limit_refusals_total{service=\"s\",limit=\"connections\"}";
    assert_eq!(metric(&gateway, series), 1);
    drop(client);
    wait_for_used(&gateway, "connections", 0);
    let mut client = trusting.connect(gateway.address(), "a.test");
    assert_eq!(client.get("a.test", "/").status(), 200);
}

#[test]
fn copies_do_not_wait() {
    let (shadow, opener) = holding();
    let main = Service::echo("main");
    let config = Config::new()
        .service(&main, "")
        .service(&shadow, "limits: { requests: 1, waiting: 10, wait: 1h }")
        .route("name: all, to: main, mirror: { to: s }");
    let gateway = Gateway::with(config);
    assert_eq!(gateway.get("http://a/held").status(), 200);
    shadow.wait_for("/held");
    assert_eq!(gateway.get("http://a/no").status(), 200);
    let series = "waypost_mirrored_requests_total{route=\"all\",service=\"s\",outcome=\"dropped_too_many\"}";
    wait_for_metric(&gateway, series, 1);
    opener.open();
    wait_for_used(&gateway, "requests", 0);
    assert_eq!(gateway.get("http://a/yes").status(), 200);
    shadow.wait_for("/yes");
    assert!(!shadow.received().concat().contains("/no"));
}

#[test]
fn waiting_requests_are_served_while_the_gateway_drains() {
    let (service, opener) = holding();
    let mut gateway = Gateway::with(limited(&service, "requests: 1, waiting: 1, wait: 1h"));
    let (mut held, mut waiting) = (gateway.connect(), gateway.connect());
    held.send(get("http://a/held"));
    service.wait_for("/held");
    waiting.send(get("http://a/waiting"));
    wait_for_waiting(&gateway, 1);
    gateway.signal(Signal::TERM);
    gateway.wait_for("draining");
    opener.open();
    assert_eq!(held.response().text(), "/held");
    assert_eq!(waiting.response().text(), "/waiting");
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn reload_keeps_what_an_unchanged_service_has_in_flight() {
    let (service, opener) = holding();
    let config = limited(&service, "requests: 1");
    let gateway = Gateway::with(&config);
    let mut held = gateway.connect();
    held.send(get("http://a/held"));
    service.wait_for("/held");
    gateway.rewrite(config.route("name: more, match: { path: /more }, to: s"));
    gateway.wait_for_revision(2);
    assert_refused(&gateway.get("http://a/more"));
    // Other limits begin to count anew; what is in flight counts with the old ones.
    gateway.rewrite(limited(&service, "requests: 2"));
    gateway.wait_for_revision(3);
    assert_eq!(gateway.get("http://a/yes").status(), 200);
    opener.open();
    assert_eq!(held.response().status(), 200);
    gateway.rewrite(Config::new().all_to(&service));
    gateway.wait_for_revision(4);
    assert!(!gateway.metrics().contains("waypost_limit_used{"));
}

#[test]
fn request_that_is_sent_again_keeps_its_place() {
    // The service closes without a word, so that connections die while they are idle.
    let service = Service::named("s", |talk| {
        if talk.request().is_some() {
            talk.send(ok("x"));
        }
    });
    let gateway = Gateway::with(limited(&service, "requests: 1, connections: 1"));
    let mut client = gateway.connect();
    for _ in 0..20 {
        assert_eq!(client.get("http://a/").status(), 200);
    }
    wait_for_used(&gateway, "requests", 0);
}

#[test]
fn hedge_that_finds_no_place_is_not_made() {
    for (limits, expected) in [("requests: 1", 1), ("connections: 1", 1), ("requests: 2", 2)] {
        let ((a, one), (b, other)) = (holding(), holding());
        let urls = [a.url(), b.url()];
        let urls = urls.each_ref().map(String::as_str);
        let gateway = Gateway::with(
            Config::new()
                .service_at("s", &urls, &format!("limits: {{ {limits} }}"))
                .route("name: plain, match: { path: /no }, to: s")
                .route("name: all, to: s, retry: { attempts: 1 }, hedge: 1ms"),
        );
        let asked = || {
            (a.received().concat() + &b.received().concat())
                .matches("/held")
                .count()
        };
        let mut client = gateway.connect();
        client.send(get("http://a/held"));
        wait_for("the attempts", || (asked() == expected).then_some(()));
        for _ in 0..20 {
            assert_refused(&gateway.get("http://a/no"));
        }
        assert_eq!(asked(), expected, "{limits}");
        let limit = limits.split(':').next().unwrap();
        let series = format!("waypost_limit_refusals_total{{service=\"s\",limit=\"{limit}\"}}");
        assert_eq!(
            metric(&gateway, &series),
            20,
            "a hedge that is not made is no refusal"
        );
        drop((one, other));
        assert_eq!(client.response().text(), "/held");
        if limit == "requests" {
            wait_for_used(&gateway, "requests", 0);
        }
    }
}

#[test]
fn failed_request_frees_its_place_before_its_client_knows() {
    let service = Service::named("s", |talk| {
        talk.request();
    });
    let gateway = Gateway::with(limited(&service, "requests: 1, connections: 1").workers(2));
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("http://a/").status(), 502);
    }
}

#[test]
fn refused_connection_frees_its_place() {
    let service = Service::refusing_as("s");
    let gateway = Gateway::with(limited(&service, "requests: 1, connections: 1").workers(2));
    let mut client = gateway.connect();
    for _ in 0..4 {
        assert_eq!(client.get("http://a/").status(), 502);
    }
    wait_for_used(&gateway, "requests", 0);
    wait_for_used(&gateway, "connections", 0);
}
