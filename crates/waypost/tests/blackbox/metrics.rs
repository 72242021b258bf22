//! Metrics and statistics: what is counted, under which labels, and when.

use serde_json::json;

use crate::support::client::get;
use crate::support::gateway::{Gateway, LISTENER, services};
use crate::support::message::Message;
use crate::support::service::{Service, ok};
use crate::support::wait_for;

fn metrics(gateway: &Gateway) -> String {
    let answer = gateway.admin("GET", "/metrics", "", "");
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    answer.text()
}

/// The value of a sample, with its labels as they are written.
fn sample(metrics: &str, series: &str) -> Option<f64> {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

/// A service that answers with the status that the path names.
fn status_service(name: &str) -> Service {
    Service::named(name, |talk| {
        while let Some(request) = talk.request() {
            let status = request.target().trim_start_matches('/').to_owned();
            talk.send(format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok"));
        }
    })
}

#[test]
fn an_answer_that_has_been_read_is_counted() {
    let service = Service::answering(ok("hello"));
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
    // A large body passes through without being gathered, and is counted as early.
    let body = "x".repeat(1 << 20);
    let large = Service::answering(ok(&body));
    let gateway = Gateway::to(&large);
    for count in 1..=20 {
        assert_eq!(gateway.get("http://a/").body.len(), body.len());
        let metrics = metrics(&gateway);
        let requests = "waypost_requests_total{route=\"all\",service=\"service\",code=\"200\"}";
        assert_eq!(sample(&metrics, requests), Some(f64::from(count)));
    }
}

#[test]
fn every_status_service_and_route_has_its_own_count() {
    let (a, down) = (status_service("a"), Service::refusing());
    let config = |top: &str| {
        format!(
            "{LISTENER}{top}{}routes:\n  - {{ name: a, to: a }}\n  - {{ name: down, match: {{ path: /down }}, to: refusing }}\n  \
             - {{ name: none, match: {{ host: none.example }}, to: {{}} }}\n  \
             - {{ name: own, match: {{ path: /own }}, respond: {{ status: 418 }} }}\n",
            services([&a, &down])
        )
    };
    let gateway = Gateway::with(config(""));
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
    // By class, where the config asks for it; what was counted stays.
    gateway.rewrite(config("metrics: { code: class }\n"));
    gateway.wait_for_revision(2);
    let text = metrics(&gateway);
    for (class, count) in [("2xx", 3.0), ("4xx", 1.0), ("5xx", 1.0)] {
        let series = format!("waypost_requests_total{{route=\"a\",service=\"a\",code=\"{class}\"}}");
        assert_eq!(sample(&text, &series), Some(count), "{series} in {text}");
    }
}

#[test]
fn no_label_comes_from_a_request() {
    let service = Service::answering(ok("x"));
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
fn openmetrics_comes_to_whoever_asks_for_it() {
    let gateway = Gateway::to(&Service::refusing());
    let accept = "Accept: application/openmetrics-text; version=1.0.0\r\n";
    let answer = gateway.admin("GET", "/metrics", accept, "");
    let kind = answer.header("content-type").unwrap();
    assert!(
        kind.starts_with("application/openmetrics-text; version=1.0.0"),
        "{kind}"
    );
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(text.contains("# TYPE waypost_requests counter\n"), "{text}");
}

#[test]
fn series_of_routes_that_are_gone_go() {
    let service = Service::answering(ok("x"));
    let config = |name: &str| {
        format!(
            "{LISTENER}{}routes: [{{ name: {name}, to: service }}]\n",
            services([&service])
        )
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
fn copies_are_counted_by_what_became_of_them() {
    let main = Service::answering(ok("main"));
    let shadow = Service::answering(ok("shadow"));
    let silent = Service::named("silent", |talk| talk.read_to_end());
    let gateway = Gateway::with(format!(
        "{LISTENER}{}  shadow: {{ endpoints: [\"{}\"] }}\nroutes:\n  - {{ name: r, to: service, mirror: {{ to: shadow }} }}\n  \
         - {{ name: s, match: {{ path: /s }}, to: service, mirror: {{ to: silent }} }}\n",
        services([&main, &silent]),
        shadow.url()
    ));
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
    // They are answered a moment later.
    wait_for("the last answer", || {
        (count("answered", "r", "shadow") == 10.0).then_some(())
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
    // The silent one holds all places: the copy would be too long all the same.
    assert_eq!(count("dropped_too_long", "r", "shadow"), 1.0);
}

#[test]
fn statistics_show_the_arms_over_the_same_time() {
    let (good, bad) = (status_service("good"), status_service("bad"));
    let gateway = Gateway::with(format!(
        "{LISTENER}{}routes:\n  - name: r\n    to: {{ good: 1, bad: 1 }}\n    force: {{ header: x, values: {{ g: good, b: bad }} }}\n  \
         - {{ name: idle, match: {{ path: /idle }}, to: good }}\n",
        services([&good, &bad])
    ));
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
        let answer = gateway.admin("GET", &format!("/api/v1/stats?{wrong}"), "", "");
        assert_eq!(answer.status(), 422, "{wrong}: {}", answer.text());
    }
    assert_eq!(
        gateway
            .admin("GET", "/api/v1/stats?route=nobody", "", "")
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
fn a_client_that_leaves_before_the_answer_is_counted_without_a_status() {
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
fn a_retry_is_an_attempt_after_another() {
    let (up, down) = (Service::answering(ok("up")), Service::refusing());
    let gateway = Gateway::with(format!(
        "{LISTENER}services: {{ both: {{ endpoints: [\"{}\", \"{}\"] }}, none: {{ endpoints: [\"{}\"] }} }}\n\
         routes:\n  - {{ name: both, to: both }}\n  - {{ name: none, match: {{ path: /none }}, to: none }}\n",
        down.url(),
        up.url(),
        down.url()
    ));
    for _ in 0..2 {
        assert_eq!(gateway.get("http://a/").text(), "up");
    }
    assert_eq!(gateway.get("http://a/none").status(), 502);
    let text = metrics(&gateway);
    // One of the two tried the other endpoint first; after that it rests.
    let retries = |route: &str| {
        sample(
            &text,
            &format!("waypost_retries_total{{route=\"{route}\",service=\"{route}\"}}"),
        )
    };
    assert_eq!((retries("both"), retries("none")), (Some(1.0), None), "{text}");
}
