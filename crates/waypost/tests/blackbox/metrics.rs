//! Metrics and statistics: counters, labels, and the time of counting.

use serde_json::json;

use crate::support::client::get;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::message::Message;
use crate::support::service::{Service, ok};
use crate::support::wait_for;

fn metrics(gateway: &Gateway) -> String {
    let response = gateway.admin("GET", "/metrics", "", "");
    assert_eq!(
        response.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    response.text()
}

/// The value of a sample; `series` includes the labels as written.
fn sample(metrics: &str, series: &str) -> Option<f64> {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

/// Responds with the status named by the path.
fn status_service(name: &str) -> Service {
    Service::named(name, |talk| {
        while let Some(request) = talk.request() {
            let status = request.target().trim_start_matches('/').to_owned();
            talk.send(format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok"));
        }
    })
}

#[test]
fn response_counted_before_it_is_read() {
    let service = Service::responding(ok("hello"));
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    for count in 1..=50 {
        assert_eq!(client.ask(get("http://a/")).text(), "hello");
        let metrics = metrics(&gateway);
        let labels = "{route=\"all\",service=\"service\"";
        let requests = sample(
            &metrics,
            &format!("waypost_requests_total{labels},code=\"200\"}}"),
        );
        let durations = sample(
            &metrics,
            &format!("waypost_request_duration_seconds_count{labels}}}"),
        );
        let upstream = sample(
            &metrics,
            &format!("waypost_upstream_duration_seconds_count{labels}}}"),
        );
        let expected = Some(f64::from(count));
        assert_eq!((requests, durations, upstream), (expected, expected, expected));
    }
    // Spliced bodies are counted before their end too.
    let body = "x".repeat(1 << 20);
    let large = Service::responding(ok(&body));
    let gateway = Gateway::to(&large);
    for count in 1..=20 {
        assert_eq!(gateway.get("http://a/").body.len(), body.len());
        let metrics = metrics(&gateway);
        let requests = "waypost_requests_total{route=\"all\",service=\"service\",code=\"200\"}";
        assert_eq!(sample(&metrics, requests), Some(f64::from(count)));
    }
}

#[test]
fn requests_counted_by_route_service_and_code() {
    let (a, down) = (status_service("a"), Service::refusing());
    let config = Config::new()
        .service(&a, "")
        .service(&down, "")
        .route("name: a, to: a")
        .route("name: down, match: { path: /down }, to: refusing")
        .route("name: none, match: { host: none.example }, to: {}")
        .route("name: own, match: { path: /own }, respond: { status: 418 }");
    let gateway = Gateway::with(&config);
    let mut client = gateway.connect();
    let expected = [
        ("/200", "a", "a", 200),
        ("/201", "a", "a", 201),
        ("/404", "a", "a", 404),
        ("/599", "a", "a", 599),
        ("/down", "down", "refusing", 502),
        ("/own", "own", "", 418),
    ];
    for (path, ..) in expected {
        client.ask(get(&format!("http://a{path}")));
    }
    client.ask(get("http://a/200"));
    assert_eq!(gateway.get("http://none.example/").status(), 500);
    assert_eq!(gateway.ask("GET / HTTP/1.1\r\n\r\n").status(), 400);
    let text = metrics(&gateway);
    for (path, route, service, code) in expected {
        let series =
            format!("waypost_requests_total{{route=\"{route}\",service=\"{service}\",code=\"{code}\"}}");
        let count = if path == "/200" { 2.0 } else { 1.0 };
        assert_eq!(sample(&text, &series), Some(count), "{series} in {text}");
    }
    for (series, value) in [
        (
            "waypost_requests_total{route=\"none\",service=\"\",code=\"500\"}",
            1.0,
        ),
        (
            "waypost_requests_total{route=\"\",service=\"\",code=\"400\"}",
            1.0,
        ),
        ("waypost_refusals_total{reason=\"host_count\"}", 1.0),
        ("waypost_refusals_total{reason=\"connection_refused\"}", 1.0),
        ("waypost_refusals_total{reason=\"no_arm\"}", 1.0),
        (
            "waypost_upstream_connect_failures_total{service=\"refusing\"}",
            1.0,
        ),
        ("waypost_upstream_connections_total{service=\"a\"}", 1.0),
        ("waypost_upstream_connections_reused_total{service=\"a\"}", 4.0),
        ("waypost_connections_total", 3.0),
        ("waypost_config_revision", 1.0),
        ("waypost_panics_total", 0.0),
    ] {
        assert_eq!(sample(&text, series), Some(value), "{series} in {text}");
    }
    // `code: class` keeps earlier counts.
    gateway.rewrite(config.key("metrics: { code: class }"));
    gateway.wait_for_revision(2);
    let text = metrics(&gateway);
    for (class, count) in [("2xx", 3.0), ("4xx", 1.0), ("5xx", 1.0)] {
        let series = format!("waypost_requests_total{{route=\"a\",service=\"a\",code=\"{class}\"}}");
        assert_eq!(sample(&text, &series), Some(count), "{series} in {text}");
    }
}

#[test]
fn labels_never_come_from_requests() {
    let service = Service::responding(ok("x"));
    let gateway = Gateway::to(&service);
    let labels = |gateway: &Gateway| {
        let mut series: Vec<String> = metrics(gateway)
            .lines()
            .filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()))
            .collect();
        series.sort();
        series
    };
    gateway.get("http://a/");
    let before = labels(&gateway);
    for number in 0..50 {
        let request =
            format!("GET /{number} HTTP/1.1\r\nHost: h{number}.example\r\nX-{number}: {number}\r\n\r\n");
        assert_eq!(gateway.ask(request).status(), 200);
    }
    assert_eq!(labels(&gateway), before);
}

#[test]
fn openmetrics_negotiated() {
    let gateway = Gateway::to(&Service::refusing());
    let accept = "Accept: application/openmetrics-text; version=1.0.0\r\n";
    let response = gateway.admin("GET", "/metrics", accept, "");
    let kind = response.header("content-type").unwrap();
    assert!(
        kind.starts_with("application/openmetrics-text; version=1.0.0"),
        "{kind}"
    );
    let text = response.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(text.contains("# TYPE waypost_requests counter\n"), "{text}");
}

#[test]
fn series_of_removed_routes_dropped() {
    let service = Service::responding(ok("x"));
    let config = |name: &str| {
        Config::new()
            .service(&service, "")
            .route(&format!("name: {name}, to: service"))
    };
    let gateway = Gateway::with(config("one"));
    gateway.get("http://a/");
    assert!(metrics(&gateway).contains("route=\"one\""));
    gateway.rewrite(config("two"));
    gateway.wait_for_revision(2);
    gateway.get("http://a/");
    let text = metrics(&gateway);
    assert!(
        !text.contains("route=\"one\"") && text.contains("route=\"two\""),
        "{text}"
    );
}

#[test]
fn mirrored_requests_counted_by_outcome() {
    let main = Service::responding(ok("main"));
    let shadow = Service::responding(ok("shadow"));
    let silent = Service::named("silent", |talk| talk.read_to_end());
    let gateway = Gateway::with(
        Config::new()
            .service(&main, "")
            .service(&silent, "")
            .service_at("shadow", &[&shadow.url()], "")
            .route("name: r, to: service, mirror: { to: shadow }")
            .route("name: s, match: { path: /s }, to: service, mirror: { to: silent }"),
    );
    let mut client = gateway.connect();
    for _ in 0..10 {
        client.ask(get("http://a/"));
    }
    let count = |outcome: &str, route: &str, service: &str| {
        let series = format!(
            "waypost_mirrored_requests_total{{route=\"{route}\",service=\"{service}\",outcome=\"{outcome}\"}}"
        );
        sample(&metrics(&gateway), &series).unwrap_or(0.0)
    };
    // Mirrored responses arrive later than the client's.
    wait_for("the last response", || {
        (count("responded", "r", "shadow") == 10.0).then_some(())
    });
    for _ in 0..300 {
        client.ask(get("http://a/s"));
    }
    assert_eq!(count("dropped_too_many", "s", "silent"), 300.0 - 128.0);
    let long = "x".repeat(70_000);
    let post = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{long}",
        long.len()
    );
    assert_eq!(client.ask(post).status(), 200);
    // The silent service holds all mirror permits, but the length is checked first.
    assert_eq!(count("dropped_too_long", "r", "shadow"), 1.0);
}

#[test]
fn stats_compare_arms_over_one_window() {
    let (good, bad) = (status_service("good"), status_service("bad"));
    let gateway = Gateway::with(
        Config::new()
            .service(&good, "")
            .service(&bad, "")
            .route("name: r, to: { good: 1, bad: 1 }, force: { header: x, values: { g: good, b: bad } }")
            .route("name: idle, match: { path: /idle }, to: good"),
    );
    let mut client = gateway.connect();
    let mut ask = |arm: &str, status: u16| -> Message {
        client.ask(format!("GET /{status} HTTP/1.1\r\nHost: a\r\nX: {arm}\r\n\r\n"))
    };
    for turn in 0..20 {
        ask("g", 200);
        ask("b", if turn % 4 == 0 { 503 } else { 200 });
    }
    ask("g", 404);
    let stats = gateway.admin_json("/api/v1/stats?window=1m");
    let routes = stats["routes"].as_array().unwrap();
    assert_eq!(routes.len(), 1, "a route without requests is left out: {stats}");
    let [good, bad] = &routes[0]["arms"].as_array().unwrap()[..] else {
        panic!("{stats}")
    };
    assert_eq!(
        (&good["service"], &good["requests"], &good["errors"]),
        (&json!("good"), &json!(21), &json!(0))
    );
    assert_eq!(good["classes"], json!({ "2xx": 20, "4xx": 1 }));
    assert_eq!(
        (&bad["requests"], &bad["errors"], &bad["error_share"]),
        (&json!(20), &json!(5), &json!(0.25))
    );
    let interval: (f64, f64) = serde_json::from_value(bad["error_interval"].clone()).unwrap();
    assert!(
        (interval.0 - 0.1119).abs() < 0.001 && (interval.1 - 0.4687).abs() < 0.001,
        "{interval:?}"
    );
    let quantiles = ["p50_ms", "p90_ms", "p99_ms"].map(|key| good[key].as_f64().unwrap());
    assert!(0.0 < quantiles[0] && quantiles.is_sorted(), "{quantiles:?}");

    let idle = gateway.admin_json("/api/v1/stats?route=idle");
    assert_eq!(idle["routes"][0]["arms"][0]["requests"], 0);
    for wrong in ["window=0s", "window=2h", "window=x"] {
        let response = gateway.admin("GET", &format!("/api/v1/stats?{wrong}"), "", "");
        assert_eq!(response.status(), 422, "{wrong}: {}", response.text());
    }
    assert_eq!(
        gateway
            .admin("GET", "/api/v1/stats?route=unknown", "", "")
            .status(),
        404
    );
    let text = gateway.command(&["stats", "r"]).expect(0).stdout;
    assert!(
        text.contains("25.00 %") && text.contains("11.19 % to 46.87 %"),
        "{text}"
    );
}

#[test]
fn aborted_request_counted_with_code_0() {
    let slow = Service::scripted(|talk| {
        talk.request();
        talk.read_to_end();
    });
    let gateway = Gateway::to(&slow);
    let mut client = gateway.connect();
    client.send(get("http://a/"));
    slow.wait_for("GET / ");
    client.reset();
    let series = "waypost_requests_total{route=\"all\",service=\"service\",code=\"0\"}";
    wait_for("the count", || sample(&metrics(&gateway), series));
}

#[test]
fn retries_count_second_attempts() {
    let (up, down) = (Service::responding(ok("up")), Service::refusing());
    let gateway = Gateway::with(
        Config::new()
            .service_at("both", &[&down.url(), &up.url()], "")
            .service_at("none", &[&down.url()], "")
            .route("name: both, to: both")
            .route("name: none, match: { path: /none }, to: none"),
    );
    for _ in 0..2 {
        assert_eq!(gateway.get("http://a/").text(), "up");
    }
    assert_eq!(gateway.get("http://a/none").status(), 502);
    let text = metrics(&gateway);
    // One of the two requests tried the refusing endpoint first, which was then ejected.
    let retries = |route: &str| {
        sample(
            &text,
            &format!("waypost_retries_total{{route=\"{route}\",service=\"{route}\"}}"),
        )
    };
    assert_eq!((retries("both"), retries("none")), (Some(1.0), None), "{text}");
}
