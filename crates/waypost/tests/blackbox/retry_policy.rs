//! Retries that a route asks for: what is asked again, where, how often, and what never is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::Reason;
use http::{Request, Response};

use crate::support::client::{get, request};
use crate::support::command::waypost_in;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::{Http2Client, Http2Service};
use crate::support::service::{Service, Talk, echo, ok};
use crate::support::wait_for;

const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";

/// A gateway with one route to a service of these endpoints, with further keys of the route.
fn gateway(endpoints: &[&Service], keys: &str) -> Gateway {
    let urls: Vec<String> = endpoints.iter().map(|service| service.url()).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let config = Config::new().service_at("s", &urls, "");
    Gateway::with(config.route(&format!("name: all, to: s, {keys}")))
}

/// A service that gives these responses in this order, the last of them for ever.
fn saying(responses: &[&str]) -> Service {
    let responses: Vec<String> = responses.iter().map(|text| (*text).to_owned()).collect();
    let said = AtomicUsize::new(0);
    Service::scripted(move |talk| {
        while talk.request().is_some_and(|request| request.is_complete) {
            let at = said.fetch_add(1, Ordering::SeqCst).min(responses.len() - 1);
            talk.send(&responses[at]);
        }
    })
}

/// The number of requests that a service got.
fn asked(service: &Service) -> usize {
    service.received().concat().matches(" HTTP/1.1\r\n").count()
}

fn with_body(method: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} /x HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// The value of a metric; 0 if there is no such series.
fn metric(gateway: &Gateway, series: &str) -> u64 {
    let text = gateway.metrics();
    let mut lines = text.lines();
    lines
        .find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
        .unwrap_or(0)
}

#[test]
fn declined_response_replaced_by_that_of_another_endpoint() {
    let (busy, up) = (Service::responding(BUSY), Service::echo("up"));
    let gateway = gateway(&[&busy, &up], "retry: {}");
    let mut client = gateway.connect();
    let http2 = Http2Client::connect(gateway.address());
    for _ in 0..4 {
        assert_eq!(client.get("http://a/").json()["service"], "up");
        assert_eq!(http2.get("http://a/").json()["service"], "up");
    }
    assert_eq!(
        (asked(&busy), asked(&up)),
        (4, 8),
        "each request goes to `busy` at most once"
    );
    assert_eq!(
        busy.connections(),
        1,
        "a response that is dropped as a whole leaves its connection"
    );
}

#[test]
fn only_what_is_listed_is_asked_again() {
    let check = |response: &str, keys: &str, expected: (u16, usize)| {
        let service = saying(&[response, &ok("second")]);
        let gateway = gateway(&[&service], &format!("retry: {{ backoff: 0ms, {keys} }}"));
        let status = gateway.get("http://a/").status();
        assert_eq!((status, asked(&service)), expected, "{response} {keys}");
    };
    let response = |status: &str| format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
    for status in ["502", "503", "504"] {
        check(&response(status), "attempts: 1", (200, 2));
        let kept = status.parse().unwrap();
        check(&response(status), "on: [reset, 599]", (kept, 1));
    }
    for (status, expected) in [("500", 500), ("429", 429), ("404", 404), ("201", 201)] {
        check(&response(status), "attempts: 1", (expected, 1));
    }
    check(&response("500"), "on: [5xx]", (200, 2));
    check(&response("429"), "on: [429]", (200, 2));
    // A body that has not come as a whole, or has no end.
    check(
        "HTTP/1.1 503 X\r\nContent-Length: 900\r\n\r\nb",
        "on: [503]",
        (200, 2),
    );
    check(
        "HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n",
        "on: [503]",
        (200, 2),
    );
}

#[test]
fn last_response_passed_on_as_it_is() {
    let texts: Vec<String> = (1..=9)
        .map(|number| {
            BUSY.replace("busy", &format!("no {number}"))
                .replace("\r\n\r\n", "\r\nX-Reason: tired\r\n\r\n")
        })
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let service = saying(&texts);
    let gateway = gateway(&[&service], "retry: { attempts: 2, backoff: 0ms }");
    let response = gateway.get("http://a/");
    assert_eq!((response.status(), response.text().as_str()), (503, "no 3"));
    assert_eq!(response.header("x-reason"), Some("tired"));
    assert_eq!(asked(&service), 3);
}

#[test]
fn only_idempotent_methods_unless_others_are_named() {
    let check = |sent: &str, keys: &str, expected: usize| {
        let service = Service::responding(BUSY);
        let keys = format!("retry: {{ attempts: 1, backoff: 0ms{keys} }}");
        let response = gateway(&[&service], &keys).ask(sent);
        assert_eq!(
            (response.status(), asked(&service)),
            (503, expected),
            "{sent} {keys}"
        );
    };
    for method in ["GET", "OPTIONS", "PUT", "DELETE"] {
        check(&request(method, "http://a/x", ""), "", 2);
        check(&request(method, "http://a/x", ""), ", methods: [POST]", 1);
    }
    for method in ["POST", "PATCH", "PURGE"] {
        check(&with_body(method, "abc"), "", 1);
        check(&with_body(method, "abc"), ", methods: [POST, PATCH, PURGE]", 2);
        check(&request(method, "http://a/x", ""), "", 1);
    }
}

#[test]
fn post_never_asked_twice_however_it_fails() {
    let scripts: [fn(&mut Talk); 3] = [
        |_| {},
        |talk| talk.send("HTTP/1.1 2"),
        |talk| {
            talk.send("nonsense\r\n\r\n");
        },
    ];
    for script in scripts {
        let [one, two] = [(); 2].map(|()| {
            Service::scripted(move |talk| {
                if talk.request().is_some() {
                    script(talk);
                }
            })
        });
        let gateway = gateway(&[&one, &two], "retry: { backoff: 0ms }");
        assert_eq!(gateway.ask(with_body("POST", "abc")).status(), 502);
        assert_eq!(asked(&one) + asked(&two), 1);
        assert_eq!(gateway.get("http://a/").status(), 502);
        assert_eq!(asked(&one) + asked(&two), 4);
    }
}

#[test]
fn broken_attempt_followed_by_one_at_another_endpoint() {
    for said in [
        "",
        "HTTP/1.1 2",
        "HTTP/1.1 200 OK\r\nX: y\r\n",
        "HTTP/1.1 999999 OK\r\n\r\n",
    ] {
        let broken = Service::responding_once(said);
        let up = Service::echo("up");
        let gateway = gateway(&[&broken, &up], "retry: {}");
        let mut client = gateway.connect();
        for _ in 0..4 {
            assert_eq!(client.get("http://a/").json()["service"], "up", "{said:?}");
        }
        assert_eq!(asked(&broken), 2, "{said:?}");
    }
}

#[test]
fn response_that_has_begun_is_never_replaced() {
    let broken = Service::responding_once("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    let gateway = gateway(&[&broken], "retry: {}");
    let response = gateway.get("http://a/");
    assert_eq!((response.status(), response.text().as_str()), (200, "abc"));
    assert!(!response.is_complete);
    assert_eq!(asked(&broken), 1);
}

#[test]
fn body_held_up_to_its_bound_and_sent_again_byte_for_byte() {
    let check = |length: usize, keys: &str, chunked: bool, is_held: bool| {
        let service = Service::scripted(|talk| {
            let mut number = 0;
            while let Some(asked) = talk.request() {
                number += 1;
                match number {
                    1 => talk.send(BUSY),
                    _ => talk.send(echo("up", &asked)),
                }
            }
        });
        let gateway = gateway(&[&service], &format!("retry: {{ backoff: 0ms{keys} }}"));
        let body: String = ('a'..='z').cycle().take(length).collect();
        let sent = match chunked {
            false => with_body("PUT", &body),
            true => format!(
                "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
            ),
        };
        let http2 = Http2Client::connect(gateway.address());
        let over_http2 = || http2.ask(Request::put("http://a/x").body(()).unwrap(), &body);
        let ask: [&dyn Fn() -> crate::support::message::Message; 2] = [&|| gateway.ask(&sent), &over_http2];
        let response = ask[usize::from(chunked)]();
        if is_held {
            assert_eq!(
                response.json()["body"],
                body.as_str(),
                "{length} {keys} {chunked}"
            );
        } else {
            assert_eq!(response.status(), 503, "{length} {keys} {chunked}");
        }
        assert_eq!(
            asked(&service),
            1 + usize::from(is_held),
            "{length} {keys} {chunked}"
        );
        if chunked {
            let again = gateway.ask(&sent);
            assert_eq!(again.json()["body"], body.as_str());
        }
    };
    for chunked in [false, true] {
        check(32 << 10, "", chunked, true);
        check((32 << 10) + 1, "", chunked, false);
        check(1 << 20, ", body: 1MiB", chunked, true);
        check((1 << 20) + 1, ", body: 1MiB", chunked, false);
        check(1, ", body: 0", chunked, false);
        check(1000, ", body: 1000", chunked, true);
    }
}

#[test]
fn early_refusal_retried_while_the_body_is_still_coming() {
    let [refusing, up] = [
        Service::scripted(|talk| {
            if talk.request_head().is_some() {
                talk.send(BUSY);
                talk.read_to_end();
            }
        }),
        Service::echo("up"),
    ];
    let gateway = gateway(&[&refusing, &up], "retry: {}");
    for _ in 0..2 {
        let mut client = gateway.connect();
        client.send("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
        up.wait_until(|connections| connections.iter().any(|bytes| bytes.ends_with(b"abc")));
        let response = client.ask("def");
        assert_eq!(
            (&response.json()["service"], &response.json()["body"]),
            (&"up".into(), &"abcdef".into())
        );
    }
    assert_eq!(asked(&refusing), 1);
}

#[test]
fn dead_service_asked_no_more_than_its_budget() {
    for workers in [1, 2] {
        let service = Service::responding(BUSY);
        let config = Config::new()
            .workers(workers)
            .service_at("s", &[&service.url()], "")
            .route("name: all, to: s, retry: { attempts: 10, backoff: 0ms }");
        let gateway = Gateway::with(config);
        let mut clients: Vec<_> = (0..8).map(|_| gateway.connect()).collect();
        for number in 0..200 {
            assert_eq!(clients[number % 8].get("http://a/").status(), 503);
        }
        let asked = asked(&service);
        assert!((230..=270).contains(&asked), "{asked}");
        let retries = metric(&gateway, r#"waypost_retries_total{route="all",service="s"}"#);
        assert_eq!(retries, (asked - 200) as u64);
        assert!(metric(&gateway, r#"waypost_retries_denied_total{service="s"}"#) > 100);
    }
}

#[test]
fn budget_shared_by_the_routes_of_a_service() {
    let service = Service::responding(BUSY);
    let keys = "to: s, retry: { attempts: 10, backoff: 0ms, budget: 0 }";
    let config = Config::new()
        .service_at("s", &[&service.url()], "")
        .route(&format!("name: one, match: {{ path: /one }}, {keys}"))
        .route(&format!("name: two, match: {{ path: /two }}, {keys}"));
    let gateway = Gateway::with(config);
    for _ in 0..5 {
        gateway.get("http://a/one");
        gateway.get("http://a/two");
    }
    // The window may pass a step of its 3 a second.
    let asked = asked(&service);
    assert!((40..=43).contains(&asked), "{asked}");
}

#[test]
fn each_attempt_has_a_timeout_of_its_own() {
    let silent = Service::scripted(|talk| {
        talk.request();
        talk.read_to_end();
    });
    let up = Service::echo("up");
    let both = gateway(&[&silent, &up], "retry: { timeout: 5s }");
    let mut client = both.connect();
    for _ in 0..2 {
        assert_eq!(client.get("http://a/").json()["service"], "up");
    }
    assert_eq!(asked(&silent), 1);
    let alone = gateway(&[&silent], "retry: { attempts: 1, timeout: 50ms }");
    let response = alone.get("http://a/");
    assert_eq!(response.status(), 504);
    assert_eq!(
        response.header("proxy-status"),
        Some("waypost; error=http_response_timeout")
    );
    let retries = || metric(&alone, r#"waypost_retries_total{route="all",service="s"}"#);
    assert_eq!(retries(), 1);
    assert_eq!(alone.ask(with_body("POST", "abc")).status(), 504);
    assert_eq!(retries(), 1, "the timeout is for all methods, the retry is not");
    // The service may be later than its timeout.
    wait_for("the requests", || (asked(&silent) == 4).then_some(()));
}

#[test]
fn timeout_of_the_route_bounds_everything() {
    let silent = Service::scripted(|talk| {
        talk.request();
        talk.read_to_end();
    });
    let gateway = gateway(
        &[&silent],
        "timeout: 100ms, retry: { attempts: 10, timeout: 60ms, backoff: 1s }",
    );
    let response = gateway.get("http://a/");
    assert_eq!(response.status(), 504);
    assert!(asked(&silent) <= 2);
}

#[test]
fn retry_after_waited_for_only_where_no_other_endpoint_is_free() {
    let after = |seconds: &str| BUSY.replace("\r\n\r\n", &format!("\r\nRetry-After: {seconds}\r\n\r\n"));
    // A request that has no time left because the machine stands still is no sign of anything.
    let check = |first: &str, keys: &str, expected: u16| {
        let status = wait_for("a response in time", || {
            let service = saying(&[first, &ok("second")]);
            let gateway = gateway(
                &[&service],
                &format!("retry: {{ backoff: 1ms, on: [503, 504] }}{keys}"),
            );
            let status = gateway.get("http://a/").status();
            (status != 504).then_some(status)
        });
        assert_eq!(status, expected, "{first} {keys}");
    };
    check(&after("0"), ", timeout: 900ms", 200);
    check(&after("1"), "", 200);
    // There is no time left for it.
    check(&after("1"), ", timeout: 900ms", 503);
    // Others are not waited for.
    check(&after("2"), ", timeout: 900ms", 200);
    check(&after("soon"), ", timeout: 900ms", 200);
    check(&after("1").replace("503", "504"), ", timeout: 900ms", 200);
    wait_for("responses in time", || {
        let (busy, up) = (Service::responding(after("1")), Service::echo("up"));
        let gateway = gateway(&[&busy, &up], "retry: { backoff: 1ms }, timeout: 900ms");
        let mut client = gateway.connect();
        for _ in 0..4 {
            let response = client.get("http://a/");
            if response.status() == 504 {
                return None;
            }
            assert_eq!(response.json()["service"], "up");
        }
        assert_eq!(asked(&busy), 2);
        Some(())
    });
}

#[test]
fn one_that_refuses_connections_is_no_other_endpoint() {
    let service = saying(&[BUSY, &ok("second")]);
    let down = Service::refusing();
    let gateway = gateway(&[&service, &down], "retry: { attempts: 1 }");
    assert_eq!(gateway.get("http://a/").text(), "second");
    assert_eq!(asked(&service), 2);
}

#[test]
fn failed_connections_count_neither_as_attempts_nor_in_the_budget() {
    let down: Vec<Service> = (0..4).map(|_| Service::refusing()).collect();
    let (busy, up) = (Service::responding(BUSY), Service::echo("up"));
    let mut endpoints: Vec<&Service> = down.iter().collect();
    endpoints.extend([&busy, &up]);
    let both = gateway(&endpoints, "retry: { attempts: 1, budget: 0 }");
    let mut client = both.connect();
    for _ in 0..4 {
        assert_eq!(client.get("http://a/").json()["service"], "up");
    }
    // With nothing else, the endpoints are tried again as far as there are attempts.
    let alone = gateway(&[&down[0]], "retry: { attempts: 2, backoff: 0ms }");
    assert_eq!(alone.ask(with_body("POST", "abc")).status(), 502);
    let failures = r#"waypost_upstream_connect_failures_total{service="s"}"#;
    assert_eq!(metric(&alone, failures), 3);
    let other = gateway(&[&down[0]], "retry: { on: [reset], backoff: 0ms }");
    assert_eq!(other.get("http://a/").status(), 502);
    assert_eq!(metric(&other, failures), 1);
}

#[test]
fn retries_stay_on_their_arm() {
    let (busy, other) = (
        Service::named("busy", |talk| {
            while talk.request().is_some() {
                talk.send(BUSY);
            }
        }),
        Service::echo("other"),
    );
    let config = Config::new()
        .service(&busy, "")
        .service(&other, "")
        .route("name: all, to: { busy: 100, other: 0 }, retry: { backoff: 0ms }");
    let gateway = Gateway::with(config);
    assert_eq!(gateway.get("http://a/").status(), 503);
    assert_eq!((asked(&busy), asked(&other)), (3, 0));
}

#[test]
fn request_counted_and_logged_once_with_its_last_attempt() {
    let (busy, up) = (Service::responding(BUSY), Service::echo("up"));
    let config = Config::new()
        .key("access_log: stdout")
        .service_at("s", &[&busy.url(), &up.url()], "")
        .route("name: all, to: s, retry: {}");
    let gateway = Gateway::with(config);
    let mut client = gateway.connect();
    for _ in 0..2 {
        assert_eq!(client.get("http://a/").status(), 200);
    }
    let line = gateway.wait_for_stdout(r#""retries":1"#);
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["endpoint"], up.address().to_string());
    assert_eq!((&line["status"], &line["failed"]), (&200.into(), &false.into()));
    let metrics = gateway.metrics();
    let requests: Vec<&str> = metrics
        .lines()
        .filter(|line| line.starts_with("waypost_requests_total{"))
        .collect();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(
        requests[0].contains(r#"code="200""#) && requests[0].ends_with(" 2"),
        "{requests:?}"
    );
    assert_eq!(
        metric(&gateway, r#"waypost_retries_total{route="all",service="s"}"#),
        1
    );
}

#[test]
fn interim_response_is_followed_by_that_of_another_attempt() {
    let service = saying(&[
        &format!("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n{BUSY}"),
        &ok("second"),
    ]);
    let gateway = gateway(&[&service], "retry: {}");
    let mut client = gateway.connect();
    client.send(get("http://a/"));
    client.expect("HTTP/1.1 103 Early Hints\r\n").expect("\r\n\r\n");
    assert_eq!(client.response().text(), "second");
}

/// An HTTP/2 service that answers `script(number of the request)`, from 1.
fn http2(
    script: impl Fn(usize) -> Result<u16, Reason> + Clone + Send + Sync + 'static,
) -> (Http2Service, Arc<AtomicUsize>) {
    let asked = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&asked);
    let service = Http2Service::start(move |request, mut respond| {
        let (script, counted) = (script.clone(), Arc::clone(&counted));
        async move {
            let mut body = request.into_body();
            let mut text = Vec::new();
            while let Some(Ok(data)) = body.data().await {
                text.extend_from_slice(&data);
            }
            let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
            match script(number) {
                Ok(status) => {
                    let head = Response::builder().status(status).body(()).unwrap();
                    let mut stream = respond.send_response(head, false).unwrap();
                    stream.send_data(Bytes::from(text), true).unwrap();
                }
                Err(reason) => respond.send_reset(reason),
            }
        }
    });
    (service, asked)
}

fn to_http2(services: &[&Http2Service], keys: &str) -> Gateway {
    let urls: Vec<String> = services.iter().map(|service| service.url()).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let config = Config::new().service_at("s", &urls, "http2: true");
    Gateway::with(config.route(&format!("name: all, to: s, {keys}")))
}

#[test]
fn statuses_and_resets_of_http2_services_are_asked_again() {
    for first in [Ok(503), Err(Reason::INTERNAL_ERROR)] {
        let (service, asked) = http2(move |number| if number == 1 { first } else { Ok(200) });
        let gateway = to_http2(&[&service], "retry: {}");
        let response = gateway.ask(with_body("PUT", "some body"));
        assert_eq!(
            (response.status(), response.text().as_str()),
            (200, "some body"),
            "{first:?}"
        );
        assert_eq!(asked.load(Ordering::SeqCst), 2, "{first:?}");
    }
    let (service, asked) = http2(|_| Ok(503));
    let gateway = to_http2(&[&service], "retry: { backoff: 0ms }");
    let client = Http2Client::connect(gateway.address());
    let response = client.ask(Request::post("http://a/x").body(()).unwrap(), "some body");
    assert_eq!((response.status(), response.text().as_str()), (503, "some body"));
    assert_eq!(asked.load(Ordering::SeqCst), 1, "it is a POST");
}

#[test]
fn refused_stream_asked_again_whatever_the_method() {
    let check = |refused: usize, keys: &str, expected: (u16, usize)| {
        let script = move |number| match number <= refused {
            true => Err(Reason::REFUSED_STREAM),
            false => Ok(200),
        };
        let (service, asked) = http2(script);
        let gateway = to_http2(&[&service], keys);
        let response = gateway.ask(with_body("POST", "some body"));
        assert_eq!(
            (response.status(), asked.load(Ordering::SeqCst)),
            expected,
            "{refused} {keys}"
        );
        if expected.0 == 200 {
            assert_eq!(response.text(), "some body");
        }
    };
    // Without the reason, as without retries.
    for keys in ["timeout: 1m", "retry: { on: [503], attempts: 10 }"] {
        check(2, keys, (200, 3));
        check(3, keys, (502, 3));
    }
    check(4, "retry: { attempts: 4, backoff: 0ms }", (200, 5));
    check(5, "retry: { attempts: 4, backoff: 0ms }", (502, 5));
}

#[test]
fn check_lists_the_bounds_of_retries() {
    let directory = tempfile::tempdir().unwrap();
    let service = Service::echo("a");
    let config = Config::new()
        .service(&service, "")
        .route("name: r, to: a, retry: { timeout: 2s }, hedge: 95ms");
    std::fs::write(directory.path().join("waypost.yaml"), &config).unwrap();
    let said = waypost_in(directory.path(), &["check", "--limits"]).expect(0);
    for (key, value) in [
        ("retry.attempts", "2"),
        ("retry.budget", "20 %"),
        ("retry.backoff", "25ms"),
        ("retry.timeout", "2s"),
        ("retry.body", "32KiB"),
        ("hedge", "95ms"),
    ] {
        let mut lines = said
            .stdout
            .lines()
            .filter(|line| line.trim_start().starts_with("route r "));
        let is_there = lines.any(|line| line.contains(key) && line.ends_with(value));
        assert!(is_there, "{key}: {value} in\n{}", said.stdout);
    }
}
