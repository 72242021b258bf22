//! Counting: which requests fail, when, and which say nothing of either version.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Request, Response};
use serde_json::{Value, json};

use super::{BURST, Bench, judged, send, started, status, wait_for_count};
use crate::support::client::{Client, get, request};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::{Http2Client, Http2Service, Stream};
use crate::support::service::{Service, ok};
use crate::support::wait_for;

/// A service that responds with these bytes, and closes unless they are a whole response.
fn responding(name: &str, response: &str, is_whole: bool) -> Service {
    let response = response.to_owned();
    Service::named(name, move |talk| {
        while talk.request().is_some_and(|request| request.is_complete) {
            talk.send(&response);
            if !is_whole {
                return;
            }
        }
    })
}

/// A service that responds once it is released.
fn holding(name: &str) -> (Service, Arc<AtomicBool>) {
    let released = Arc::<AtomicBool>::default();
    let is_released = Arc::clone(&released);
    let answer = ok(name);
    let service = Service::named(name, move |talk| {
        while talk.request().is_some_and(|request| request.is_complete) {
            wait_for("the release", || is_released.load(Ordering::SeqCst).then_some(()));
            talk.send(&answer);
        }
    });
    (service, released)
}

/// A rollout of `v2` against `v1`, at 50 %, whose judge has these keys.
fn gateway(v1: &Service, v2: &Service, judge: &str, keys: &str) -> Gateway {
    let timeouts = "timeouts: { response: 5m }";
    let gateway = Gateway::with_test_clock(
        Config::new()
            .service(v1, timeouts)
            .service(v2, timeouts)
            .route(&format!(
                "name: users, match: {{ path: /users/* }}, to: {{ v1: 100, v2: 0 }}, rollout: {{ canary: v2, \
                 steps: [50, 100], at_least: 0s, requests: 20, warmup: 0s, judge: {{ latency: off, {judge} }} }}{keys}"
            )),
    );
    started(&gateway, "users", &json!({}));
    gateway
}

/// Requests of both versions that were compared, and bad ones of the canary, by a metric.
fn counted(status: &Value, metric: &str) -> [u64; 3] {
    let metrics = status["metrics"].as_array().unwrap();
    let metric = metrics.iter().find(|known| known["metric"] == metric).unwrap();
    ["baseline_requests", "canary_requests", "canary_bad"].map(|key| metric[key].as_u64().unwrap())
}

#[test]
fn plans_say_which_responses_fail() {
    enum Canary {
        Responds(&'static str),
        Cuts,
        Refuses,
    }
    use Canary::{Cuts, Refuses, Responds};
    let check = |errors: &str, canary: Canary, expected: [bool; 2]| {
        let v1 = responding("v1", &ok("v1"), true);
        let v2 = match canary {
            Responds(status) => responding(
                "v2",
                &format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"),
                true,
            ),
            Cuts => responding("v2", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", false),
            Refuses => Service::refusing_as("v2"),
        };
        let gateway = gateway(&v1, &v2, &format!("errors: {{ plus: 20{errors} }}"), "");
        for _ in 0..BURST {
            let mut client = gateway.connect();
            client.send(request("GET", "http://a/users/7", "Connection: close\r\n"));
            client.rest_and_end();
        }
        wait_for_count(&gateway, "users", BURST);
        gateway.pass(1);
        let status = status(&gateway, "users");
        for (metric, is_bad) in ["errors", "client_errors"].into_iter().zip(expected) {
            let [baseline, canary, bad] = counted(&status, metric);
            assert_eq!(baseline + canary, BURST as u64, "{errors}: {status}");
            assert_eq!(
                bad,
                if is_bad { canary } else { 0 },
                "{metric} with `{errors}`: {status}"
            );
        }
    };
    let (too_many, unknown, busy) = (
        "429 Too Many Requests",
        "501 Not Implemented",
        "503 Service Unavailable",
    );
    let both = ", statuses: [5xx, 429], exclude: [501]";
    check("", Responds(too_many), [false, true]);
    check("", Responds(unknown), [true, false]);
    check(both, Responds(too_many), [true, false]);
    check(both, Responds(unknown), [false, false]);
    check(both, Responds(busy), [true, false]);
    check(", statuses: [4xx]", Responds(busy), [false, false]);
    // Whatever is listed, a response that is cut or does not come has failed.
    check(", statuses: [4xx]", Cuts, [true, false]);
    check(", statuses: [4xx]", Refuses, [true, false]);
    check(", exclude: [502]", Refuses, [false, false]);
}

#[test]
fn requests_that_the_gateway_refuses_say_nothing_of_a_version() {
    let bench = Bench::new(
        "steps: [50, 100], at_least: 0s, requests: 20, warmup: 0s, judge: { errors: { plus: 20 }, latency: off }",
    );
    bench.start();
    let count = || {
        let status = bench.status();
        let [baseline, canary, _] = counted(&status, "client_errors");
        (
            baseline + canary,
            status["step_requests"].as_u64().unwrap() == canary,
        )
    };
    bench.second();
    assert_eq!(count(), (BURST as u64, true));
    let malformed = request("POST", "http://a/users/7", "Transfer-Encoding: chunked\r\n") + "none\r\n";
    for _ in 0..BURST {
        assert_eq!(bench.gateway.connect().ask(&malformed).status(), 400);
    }
    let client = Http2Client::connect(bench.gateway.address());
    for _ in 0..BURST {
        // Its body is longer than announced.
        let announced = Request::post("http://a/users/7").header("content-length", "1");
        let mut stream = client.open(announced.body(()).unwrap(), false);
        stream.send(b"abc", true);
        assert!(stream.head().is_err());
    }
    // They are in the metrics of the route all the same.
    bench.sent.set(bench.sent.get() + 2 * BURST);
    bench.wait_until_counted();
    bench.second();
    assert_eq!(count(), (2 * BURST as u64, true), "{}", bench.status());
}

#[test]
fn requests_without_a_response_fail_as_soon_as_they_are_late() {
    let (v1, (v2, _)) = (responding("v1", &ok("v1"), true), holding("v2"));
    let gateway = gateway(&v1, &v2, "late: 20ms, errors: { plus: 20 }", "");
    let clients: RefCell<Vec<Client>> = RefCell::default();
    wait_for("the rollback", || {
        for _ in 0..8 {
            let mut client = gateway.connect();
            client.send(get("http://a/users/7"));
            clients.borrow_mut().push(client);
        }
        gateway.pass(1);
        (status(&gateway, "users")["state"] == "rolled_back").then_some(())
    });
    let summary = status(&gateway, "users")["summary"].clone();
    assert!(
        summary
            .as_str()
            .unwrap()
            .starts_with("v2 failed 100 % of its requests"),
        "{summary}"
    );
}

#[test]
fn calls_without_a_response_are_late_too() {
    let v1 = Http2Service::start(move |_, mut respond| async move {
        let head = Response::builder().header("content-type", "application/grpc");
        let head = head.header("grpc-status", "0").body(()).unwrap();
        let _ = respond.send_response(head, true);
    });
    let v2 = Http2Service::start(|_, respond| async move {
        std::future::pending::<()>().await;
        drop(respond);
    });
    let keys = "http2: true, timeouts: { response: 5m }";
    let gateway = Gateway::with_test_clock(
        Config::new()
            .service_at("v1", &[&v1.url()], keys)
            .service_at("v2", &[&v2.url()], keys)
            .route(
                "name: users, to: { v1: 100, v2: 0 }, rollout: { canary: v2, steps: [50, 100], at_least: 0s, warmup: 0s, \
                 judge: { late: 250ms, errors: { plus: 20 }, latency: off } }",
            ),
    );
    started(&gateway, "users", &json!({}));
    // Calls that are never answered fill up a connection.
    let clients: Vec<Http2Client> = (0..8).map(|_| Http2Client::connect(gateway.address())).collect();
    let turns = Cell::new(0);
    let streams: RefCell<Vec<Stream<'_>>> = RefCell::default();
    wait_for("the rollback", || {
        let client = &clients[turns.replace(turns.get() + 1) % clients.len()];
        for _ in 0..4 {
            let call = Request::post("http://a/s/m").header("content-type", "application/grpc");
            streams
                .borrow_mut()
                .push(client.open(call.body(()).unwrap(), true));
        }
        gateway.pass(1);
        (status(&gateway, "users")["state"] == "rolled_back").then_some(())
    });
}

#[test]
fn late_request_counts_once_whatever_comes_of_it() {
    let (v1, (v2, released)) = (responding("v1", &ok("v1"), true), holding("v2"));
    let gateway = gateway(
        &v1,
        &v2,
        "late: 20ms, errors: { plus: 20 }",
        ", sticky: { header: x-user }",
    );
    let user_of = |arm: &str| {
        let users = (0..).map(|user: usize| user.to_string());
        let question = |user: &str| json!({ "url": "/users/7", "headers": { "host": "a", "x-user": user } });
        { users }
            .find(|user| gateway.explain_question(&question(user))["cohort"] == arm)
            .map(|user| request("GET", "http://a/users/7", &format!("X-User: {user}\r\n")))
            .unwrap()
    };
    let (old, new) = (user_of("v1"), user_of("v2"));
    let mut late = gateway.connect();
    late.send(&new);
    let sent = RefCell::new(0);
    let second = || {
        assert_eq!(send(&gateway, std::slice::from_ref(&old)), ["v1"]);
        *sent.borrow_mut() += 1;
        wait_for_count(&gateway, "users", *sent.borrow());
        gateway.pass(1);
        let [_, canary, bad] = counted(&status(&gateway, "users"), "errors");
        (canary, bad)
    };
    wait_for("the late request", || (second() == (1, 1)).then_some(()));
    released.store(true, Ordering::SeqCst);
    assert_eq!(late.response().text(), "v2");
    *sent.borrow_mut() += 1;
    assert_eq!(second(), (1, 1));
    // The next one is in time, however long `late` is.
    let gateway = &gateway;
    wait_for("a request in time", || {
        assert_eq!(send(gateway, std::slice::from_ref(&new)), ["v2"]);
        *sent.borrow_mut() += 1;
        let (canary, bad) = second();
        (canary > bad).then_some(())
    });
    let metrics = gateway.metrics();
    let done = "waypost_requests_total{route=\"users\",service=\"v2\",code=\"200\"";
    assert!(metrics.lines().any(|line| line.starts_with(done)), "{metrics}");
}

#[test]
fn request_that_is_sent_again_counts_once_and_the_retry_is_shown() {
    let (v1, v2) = (
        responding("v1", &ok("v1"), true),
        responding("v2", &ok("v2"), true),
    );
    let dead = Service::refusing_as("dead");
    let gateway = Gateway::with_test_clock(
        Config::new()
            .service(&v1, "")
            .service_at("v2", &[&dead.url(), &v2.url()], "")
            .route(&format!(
                "name: users, to: {{ v1: 100, v2: 0 }}, rollout: {{ canary: v2, {} }}",
                judged("[50, 100]")
            )),
    );
    started(&gateway, "users", &json!({}));
    let answers = send(&gateway, &vec![get("http://a/"); BURST]);
    wait_for_count(&gateway, "users", BURST);
    gateway.pass(1);
    let status = status(&gateway, "users");
    let seen = answers.iter().filter(|answer| *answer == "v2").count() as u64;
    let [baseline, canary, bad] = counted(&status, "errors");
    assert_eq!(
        [baseline + canary, canary, bad],
        [BURST as u64, seen, 0],
        "{status}"
    );
    assert!(status["canary_retries"].as_u64().unwrap() >= 1, "{status}");
    assert_eq!(status["baseline_retries"], 0);
}

/// A client whose requests fail on either version is not held against the version that it is on: the old version has such
/// clients too, as its groups show.
#[test]
fn clients_that_fail_on_both_versions_are_allowed_for() {
    let check = |learned: usize, expected: &str| {
        let fails = |name: &'static str| {
            Service::named(name, move |talk| {
                while let Some(request) = talk.request() {
                    talk.send(match request.header("x-broken") {
                        Some(_) => {
                            "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".to_owned()
                        }
                        None => ok(name),
                    });
                }
            })
        };
        let (v1, v2) = (fails("v1"), fails("v2"));
        let gateway = Gateway::with_test_clock(
            Config::new()
                .service(&v1, "")
                .service(&v2, "")
                .route(&format!(
                    "name: users, to: {{ v1: 100, v2: 0 }}, sticky: {{ header: x-user }}, rollout: {{ canary: v2, \
                     {} }}",
                    judged("[50, 100]").replace("plus: 20", "plus: 0.5")
                )),
        );
        // The cohort of a client is the same before and after the start, and its side is asked for at 50 %.
        gateway.command(&["dial", "users", "v1=50", "v2=50"]).expect(0);
        let question =
            |user: usize| json!({ "url": "/", "headers": { "host": "a", "x-user": user.to_string() } });
        let broken = (0..32)
            .find(|user| gateway.explain_question(&question(*user))["cohort"] == "v2")
            .unwrap();
        gateway.command(&["dial", "users", "--reset"]).expect(0);
        let requests: Vec<String> = (0..32)
            .map(|user| {
                let broken = if user == broken { "X-Broken: 1\r\n" } else { "" };
                request("GET", "http://a/", &format!("X-User: {user}\r\n{broken}"))
            })
            .collect();
        let mut sent = 0;
        let mut second = || {
            send(&gateway, &requests);
            sent += requests.len();
            wait_for_count(&gateway, "users", sent);
            gateway.pass(1);
        };
        (0..learned).for_each(|_| second());
        started(&gateway, "users", &json!({}));
        (0..30).for_each(|_| second());
        let status = status(&gateway, "users");
        assert_eq!(status["state"], expected, "{status}");
    };
    check(0, "rolled_back");
    check(40, "running");
}
