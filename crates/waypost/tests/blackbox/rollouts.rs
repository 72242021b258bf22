//! Rollouts: dials that turn themselves, step by step, and back once the new version is worse than tolerated.
//!
//! The test clock stands still but for [`Gateway::pass`]: seconds are counted, not waited for.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Request, Response};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::client::{Client, get, request};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::{Http2Client, Http2Service};
use crate::support::message::Message;
use crate::support::service::{Service, ok};
use crate::support::wait_for;

const JSON: &str = "Content-Type: application/json\r\n";
/// Requests of a burst, which is sent in one second of the test clock.
const BURST: usize = 40;
/// The judge of most tests. Real latencies are none of their business, and a wide margin is proved soon.
const JUDGE: &str =
    "judge: { errors: { ratio: 1.5, plus: 20 }, client_errors: off, abandoned: off, latency: off }";

/// A service that answers its name, and 503 while it is broken.
struct Version {
    service: Service,
    is_broken: Arc<AtomicBool>,
}

impl Version {
    fn new(name: &'static str) -> Self {
        let is_broken = Arc::<AtomicBool>::default();
        let broken = Arc::clone(&is_broken);
        let service = Service::named(name, move |talk| {
            while talk.request().is_some_and(|request| request.is_complete) {
                talk.send(match broken.load(Ordering::SeqCst) {
                    true => "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned(),
                    false => ok(name),
                });
            }
        });
        Self { service, is_broken }
    }

    fn set_broken(&self, is_broken: bool) {
        self.is_broken.store(is_broken, Ordering::SeqCst);
    }
}

/// The keys of a plan with [`JUDGE`].
fn judged(steps: &str) -> String {
    format!("steps: {steps}, at_least: 0s, requests: 20, warmup: 0s, {JUDGE}")
}

/// Two versions behind the route `users`, and a rollout of the second.
struct Bench {
    gateway: Gateway,
    v1: Version,
    v2: Version,
    /// Requests that the gateway has to have counted.
    sent: Cell<usize>,
}

impl Bench {
    /// The plan of `users` has these keys.
    fn new(plan: &str) -> Self {
        Self::with(plan, "")
    }

    /// The route has further keys.
    fn with(plan: &str, keys: &str) -> Self {
        let (v1, v2) = (Version::new("v1"), Version::new("v2"));
        let gateway = Gateway::with_test_clock(config(&v1, &v2, "{ v1: 100, v2: 0 }", plan, keys));
        Self {
            gateway,
            v1,
            v2,
            sent: Cell::new(0),
        }
    }

    /// A config of the same services.
    fn config(&self, split: &str, plan: &str) -> Config {
        config(&self.v1, &self.v2, split, plan, "")
    }

    fn start(&self) -> Value {
        started(&self.gateway, "users", &json!({ "to": "v2" }))
    }

    /// Does an action, which has to be allowed.
    fn act(&self, action: &str) -> Value {
        let done = act(&self.gateway, action);
        assert_eq!(done.status(), 200, "{action}: {}", done.text());
        done.json()
    }

    fn status(&self) -> Value {
        status(&self.gateway, "users")
    }

    /// Waits until all requests so far are counted.
    fn wait_until_counted(&self) {
        wait_for_count(&self.gateway, "users", self.sent.get());
    }

    /// Sends a burst, and lets a second pass.
    fn second(&self) {
        burst(&self.gateway, "/users/7", BURST);
        self.sent.set(self.sent.get() + BURST);
        self.wait_until_counted();
        self.gateway.pass(1);
    }

    /// Lets seconds with bursts pass until the rollout is in this state; returns their number, which is `most` at most.
    fn seconds_until(&self, state: &str, most: usize) -> usize {
        (1..=most)
            .find(|_| {
                self.second();
                self.status()["state"] == state
            })
            .unwrap_or_else(|| panic!("not {state} after {most} seconds: {}", self.status()))
    }

    /// Sends a burst a second until the canary has this share.
    fn seconds_to(&self, percent: f64, most: usize) -> usize {
        (1..=most)
            .find(|_| {
                self.second();
                self.status()["percent"] == percent
            })
            .unwrap_or_else(|| panic!("not at {percent} % after {most} seconds: {}", self.status()))
    }

    /// The live weights of `users`.
    fn live(&self) -> Vec<u64> {
        live(&self.gateway, "users")
    }

    fn restarted(mut self) -> Self {
        self.gateway = self.gateway.restarted();
        self.sent.set(0);
        self
    }

    /// The changes, the latest last.
    fn changes(&self) -> Vec<(String, String)> {
        let history = self.gateway.admin_json("/api/v1/routes/users/rollout/history");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let changes = history.as_array().unwrap().iter().rev();
        changes
            .map(|change| (text(&change["change"]), text(&change["percent"])))
            .collect()
    }
}

fn config(v1: &Version, v2: &Version, split: &str, plan: &str, keys: &str) -> Config {
    Config::new()
        .key(&format!("rollouts: {{ plan: {{ {plan} }} }}"))
        .service(&v1.service, "timeouts: { response: 5s }")
        .service(&v2.service, "timeouts: { response: 5s }")
        .route(&format!(
            "name: users, match: {{ path: /users/* }}, to: {split}, rollout: plan{keys}"
        ))
        .route("name: old, match: { path: /old }, respond: { status: 410 }")
        .route("name: dealt, match: { path: /dealt }, to: { v1: 1, v2: 0 }, sticky: { client_ip: true, deal: d }")
}

fn start(gateway: &Gateway, route: &str, body: &Value) -> Message {
    let path = format!("/api/v1/routes/{route}/rollout");
    gateway.admin("POST", &path, JSON, &body.to_string())
}

fn started(gateway: &Gateway, route: &str, body: &Value) -> Value {
    let response = start(gateway, route, body);
    assert_eq!(response.status(), 200, "{}", response.text());
    response.json()
}

fn act(gateway: &Gateway, action: &str) -> Message {
    gateway.admin("POST", &format!("/api/v1/routes/users/rollout/{action}"), "", "")
}

fn status(gateway: &Gateway, route: &str) -> Value {
    gateway.admin_json(&format!("/api/v1/routes/{route}/rollout"))
}

fn live(gateway: &Gateway, route: &str) -> Vec<u64> {
    let route = gateway.admin_json(&format!("/api/v1/routes/{route}"));
    let arms = route["arms"].as_array().unwrap().iter();
    arms.map(|arm| arm["live"].as_u64().unwrap()).collect()
}

/// Sends GETs one behind the other.
fn burst(gateway: &Gateway, path: &str, count: usize) {
    send(gateway, &vec![get(&format!("http://a{path}")); count]);
}

/// Sends requests one behind the other; returns the bodies.
fn send(gateway: &Gateway, requests: &[String]) -> Vec<String> {
    let mut client = gateway.connect();
    client.send(requests.concat());
    requests.iter().map(|_| client.response().text()).collect()
}

/// Waits until so many requests of a route are counted.
fn wait_for_count(gateway: &Gateway, route: &str, count: usize) {
    let start = format!("waypost_requests_total{{route=\"{route}\"");
    wait_for("the count", || {
        let metrics = gateway.metrics();
        let lines = metrics.lines().filter(|line| line.starts_with(&start));
        let counts = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap());
        (counts.sum::<usize>() >= count).then_some(())
    });
}

fn subscribe(gateway: &Gateway) -> Client {
    let address = gateway.admin_address();
    let mut events = Client::connect(address);
    events.send(format!("GET /api/v1/events HTTP/1.1\r\nHost: {address}\r\n\r\n"));
    assert_eq!(events.response_head().status(), 200);
    events
}

/// A list of changes, as [`Bench::changes`] gives them.
fn changes(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = expected.iter();
    owned
        .map(|(change, percent)| ((*change).to_owned(), (*percent).to_owned()))
        .collect()
}

fn has_lack(status: &Value, part: &str) -> bool {
    let lacks = status["lacks"].as_array().unwrap();
    lacks.iter().any(|lack| lack.as_str().unwrap().contains(part))
}

#[test]
fn good_version_goes_all_the_way() {
    let bench = Bench::new(&judged("[10, 50, 100]"));
    let first = bench.start();
    assert_eq!(
        json!([
            first["state"],
            first["step"],
            first["steps"],
            first["percent"],
            first["next_percent"]
        ]),
        json!(["running", 1, 3, 10.0, 50.0])
    );
    assert_eq!(bench.live(), [90, 10]);
    bench.seconds_to(50.0, 60);
    assert_eq!(bench.live(), [50, 50]);
    let summary = bench.gateway.admin_json("/api/v1/routes/users/rollout/history")[0]["summary"].clone();
    assert!(
        summary.as_str().unwrap().contains("not worse than tolerated"),
        "{summary}"
    );
    bench.seconds_until("finished", 40);
    assert_eq!(bench.live(), [0, 100]);
    assert_eq!(
        bench.changes(),
        changes(&[
            ("started", "0 %"),
            ("step", "10 %"),
            ("step", "50 %"),
            ("step", "100 %"),
            ("finished", "100 %"),
        ])
    );
    // It is a dial like any other: over a restart, and until it is reset.
    let bench = bench.restarted();
    assert_eq!(
        (bench.live(), bench.status()["state"].clone()),
        (vec![0, 100], json!("finished"))
    );
    bench.gateway.command(&["dial", "users", "--reset"]).expect(0);
    assert_eq!(bench.live(), [100, 0]);
}

#[test]
fn version_that_always_fails_is_rolled_back_within_seconds() {
    let bench = Bench::new(&judged("[25, 50, 100]"));
    bench.v2.set_broken(true);
    bench.start();
    let seconds = bench.seconds_until("rolled_back", 10);
    assert!(
        seconds >= 5,
        "rolled back after {seconds} seconds, without patience"
    );
    assert_eq!(bench.live(), [100, 0]);
    let status = bench.status();
    let summary = status["summary"].as_str().unwrap();
    for part in [
        "v2 failed 100 % of its requests (",
        "v1 0 % in the same",
        "was tolerated",
        "Luck alone",
    ] {
        assert!(summary.contains(part), "{summary}");
    }
    assert!(status["ended"].is_string(), "{status}");
    assert_eq!(
        bench.changes().last().unwrap(),
        &("rolled_back".to_owned(), "0 %".to_owned())
    );
    let answers = send(&bench.gateway, &vec![get("http://a/users/7"); BURST]);
    assert!(answers.iter().all(|answer| answer == "v1"), "{answers:?}");
    // The next attempt begins at the first step.
    bench.v2.set_broken(false);
    assert_eq!(bench.start()["percent"], 25.0);
}

#[test]
fn sticky_clients_go_back_too() {
    let bench = Bench::with(&judged("[50, 100]"), ", sticky: { header: x-user }");
    bench.v2.set_broken(true);
    bench.start();
    let question =
        |user: usize| json!({ "url": "/users/7", "headers": { "host": "a", "x-user": user.to_string() } });
    let users_of = |arm: &str| {
        let users = (0..).filter(|user| bench.gateway.explain_question(&question(*user))["cohort"] == arm);
        let fields = users.map(|user| format!("X-User: {user}\r\n"));
        let requests = fields.map(|fields| request("GET", "http://a/users/7", &fields));
        requests.take(5).collect::<Vec<String>>()
    };
    let (old, new) = (users_of("v1"), users_of("v2"));
    let answers = |requests: &[String]| {
        let answers = send(&bench.gateway, requests);
        bench.sent.set(bench.sent.get() + requests.len());
        bench.wait_until_counted();
        answers
    };
    assert_eq!(answers(&old), ["v1"; 5]);
    assert_eq!(answers(&new), [""; 5], "they get 503");
    let seconds = (1..=30).find(|_| {
        bench.gateway.pass(1);
        let is_over = bench.status()["state"] == "rolled_back";
        if !is_over {
            answers(&old);
            answers(&new);
        }
        is_over
    });
    assert!(seconds.is_some(), "{}", bench.status());
    assert_eq!(answers(&new), ["v1"; 5]);
}

#[test]
fn failures_of_both_versions_roll_nothing_back() {
    let bench = Bench::new(&judged("[50, 100]"));
    bench.start();
    bench.v1.set_broken(true);
    bench.v2.set_broken(true);
    for _ in 0..20 {
        bench.second();
    }
    let status = bench.status();
    assert_eq!(
        json!([status["state"], status["percent"]]),
        json!(["running", 50.0])
    );
    assert!(has_lack(&status, "v1 fails too often itself"), "{status}");
}

#[test]
fn failed_calls_are_rolled_back() {
    let calls = |status: &'static str| {
        Http2Service::start(move |_, mut respond| async move {
            let head = Response::builder().header("content-type", "application/grpc");
            let head = head.header("grpc-status", status).body(()).unwrap();
            let _ = respond.send_response(head, true);
        })
    };
    let (v1, v2) = (calls("0"), calls("14"));
    let gateway = Gateway::with_test_clock(
        Config::new()
            .service_at("v1", &[&v1.url()], "http2: true")
            .service_at("v2", &[&v2.url()], "http2: true")
            .route(&format!(
                "name: users, to: {{ v1: 100, v2: 0 }}, rollout: {{ canary: v2, {} }}",
                judged("[50, 100]")
            )),
    );
    started(&gateway, "users", &json!({}));
    let client = Http2Client::connect(gateway.address());
    let seconds = (1..=10).find(|second| {
        for _ in 0..BURST {
            let call = Request::post("http://a/s/m").header("content-type", "application/grpc");
            assert_eq!(client.ask(call.body(()).unwrap(), "").status(), 200);
        }
        wait_for_count(&gateway, "users", BURST * second);
        gateway.pass(1);
        status(&gateway, "users")["state"] == "rolled_back"
    });
    assert!(seconds.is_some(), "{}", status(&gateway, "users"));
    assert_eq!(live(&gateway, "users"), [100, 0]);
}

#[test]
fn rollout_without_traffic_holds_and_says_so() {
    let bench = Bench::new(&format!("{}, hold: 1h", judged("[50, 100]")));
    bench.start();
    bench.gateway.pass(3600);
    bench.gateway.pass(3600);
    let status = bench.status();
    assert_eq!(
        json!([
            status["state"],
            status["percent"],
            status["step_seconds"],
            status["step_requests"]
        ]),
        json!(["running", 50.0, 7200, 0])
    );
    assert!(
        has_lack(&status, "20 more requests to v2 in this step"),
        "{status}"
    );
    assert!(has_lack(&status, "errors to be shown tolerable"), "{status}");
    let text = bench
        .gateway
        .command(&["rollout", "status", "users"])
        .expect(0)
        .stdout;
    for part in [
        "users      v2 against v1      step 1 of 2: 50 %      for 2h      holding",
        "next          to 100 % when nothing of this is left:",
        "20 more requests to v2 in this step",
    ] {
        assert!(text.contains(part), "`{part}` in {text}");
    }
}

#[test]
fn end_of_the_wait_for_evidence_does_as_the_plan_says() {
    let keys = |then: &str| format!("{}, hold: 10s, then: {then}", judged("[50, 100]"));
    let bench = Bench::new(&keys("rollback"));
    bench.start();
    bench.gateway.pass(9);
    assert_eq!(bench.status()["state"], "running");
    bench.gateway.pass(1);
    let status = bench.status();
    assert_eq!(
        (&status["state"], bench.live()),
        (&json!("rolled_back"), vec![100, 0])
    );
    assert!(status["summary"].as_str().unwrap().contains("`hold`"), "{status}");
    // Nothing is promoted because too little came in.
    let bench = Bench::new(&keys("promote"));
    bench.start();
    bench.gateway.pass(100);
    assert_eq!(bench.status()["percent"], 50.0);
    bench.seconds_until("finished", 10);
    let history = bench.gateway.admin_json("/api/v1/routes/users/rollout/history");
    assert!(
        history[1]["summary"]
            .as_str()
            .unwrap()
            .ends_with("nothing is proved"),
        "{history}"
    );
    assert_eq!(
        (&bench.status()["state"], bench.live()),
        (&json!("finished"), vec![0, 100])
    );
}

#[test]
fn killed_gateway_goes_on_with_share_and_evidence() {
    let plan = judged("[50, 100]").replace("requests: 20", "requests: 1000000");
    let bench = Bench::new(&plan);
    bench.start();
    for _ in 0..5 {
        bench.second();
    }
    bench.gateway.pass(25);
    let before = bench.status();
    assert_eq!(before["step_seconds"], 30);
    bench.gateway.pass(5);
    let bench = bench.restarted();
    let after = bench.status();
    assert_eq!(after, before, "30 seconds were stored, 5 are lost");
    assert_eq!(after["metrics"][0]["proved"], true, "{after}");
    assert_eq!(bench.live(), [50, 50]);
    // Time that passes is counted from there, once there is traffic to compare.
    bench.second();
    bench.second();
    assert_eq!(bench.status()["step_seconds"], 31);
    bench.v2.set_broken(true);
    bench.seconds_until("rolled_back", 20);
    assert_eq!(bench.restarted().live(), [100, 0]);
}

#[test]
fn ended_gateway_keeps_all_evidence() {
    let plan = judged("[50, 100]").replace("requests: 20", "requests: 1000000");
    let mut bench = Bench::new(&plan);
    bench.start();
    for _ in 0..7 {
        bench.second();
    }
    let before = bench.status();
    bench.gateway.signal(Signal::TERM);
    assert!(bench.gateway.wait().success());
    let bench = bench.restarted();
    assert_eq!(bench.status(), before);
}

#[test]
fn second_gateway_on_the_same_state_takes_the_rollout_over() {
    let bench = Bench::new(&judged("[50, 100]"));
    bench.start();
    let second = bench.gateway.again();
    second.wait_for_part("in use by another gateway");
    second.pass(5);
    assert_eq!(
        status(&second, "users")["state"],
        "running",
        "not judged by the second"
    );
    let Bench {
        gateway,
        v1: _v1,
        v2: _v2,
        ..
    } = bench;
    drop(gateway);
    let paused = act(&second, "pause");
    assert_eq!(
        (paused.status(), &paused.json()["state"]),
        (200, &json!("paused")),
        "{}",
        paused.text()
    );
    assert_eq!(second.dial("users", &json!({ "v1": 1 })).status(), 409);
}

#[test]
fn pause_stops_steps_and_not_the_judge() {
    let bench = Bench::new(&judged("[50, 75, 100]"));
    bench.start();
    assert_eq!(bench.act("pause")["state"], "paused");
    assert_eq!(act(&bench.gateway, "pause").status(), 409, "it is paused already");
    for _ in 0..20 {
        bench.second();
    }
    let status = bench.status();
    assert_eq!(
        json!([status["state"], status["percent"]]),
        json!(["paused", 50.0])
    );
    assert_eq!(status["lacks"].as_array().unwrap().len(), 1, "{status}");
    assert!(has_lack(&status, "paused"), "{status}");
    // Over a kill, too.
    let bench = bench.restarted();
    assert_eq!(bench.status()["state"], "paused");
    bench.act("resume");
    assert_eq!(act(&bench.gateway, "resume").status(), 409, "it is not paused");
    bench.seconds_to(75.0, 30);
    bench.act("pause");
    bench.v2.set_broken(true);
    bench.seconds_until("rolled_back", 20);
    assert_eq!(bench.live(), [100, 0]);
    assert_eq!(act(&bench.gateway, "resume").status(), 409, "it is over");
}

#[test]
fn step_waits_for_approval() {
    let bench = Bench::new(&judged("[25, { percent: 50, approve: true }, 100]"));
    bench.start();
    assert_eq!(
        act(&bench.gateway, "approve").status(),
        409,
        "this step needs none"
    );
    bench.seconds_to(50.0, 40);
    for _ in 0..20 {
        bench.second();
    }
    let status = bench.status();
    assert_eq!(status["percent"], 50.0);
    assert_eq!(
        status["lacks"],
        json!(["the next step needs `waypost rollout approve`"])
    );
    bench.act("approve");
    // It is on disk before it is acknowledged.
    let bench = bench.restarted();
    bench.seconds_until("finished", 30);
    let changes = bench.changes();
    assert!(
        changes.contains(&("approved".to_owned(), "50 %".to_owned())),
        "{changes:?}"
    );
}

#[test]
fn promote_and_finish_ask_for_no_evidence() {
    let bench = Bench::new(&judged("[1, 5, 100]"));
    bench.start();
    assert_eq!(bench.live(), [99, 1]);
    assert_eq!(bench.act("promote")["percent"], 5.0);
    assert_eq!(bench.live(), [95, 5]);
    bench.act("pause");
    let finished = bench.act("finish");
    assert_eq!(
        json!([finished["state"], finished["percent"]]),
        json!(["finished", 100.0])
    );
    assert_eq!(bench.live(), [0, 100]);
    for action in ["pause", "resume", "promote", "approve", "abort", "finish"] {
        assert_eq!(act(&bench.gateway, action).status(), 409, "{action}");
    }
    let delete = bench
        .gateway
        .admin("DELETE", "/api/v1/routes/users/rollout", "", "");
    assert_eq!(delete.status(), 409);
}

#[test]
fn abort_restores_the_weights_of_the_start() {
    let bench = Bench::new(&judged("[25, 100]"));
    assert_eq!(
        bench
            .gateway
            .dial("users", &json!({ "v1": 90, "v2": 10 }))
            .status(),
        200
    );
    bench.start();
    assert_eq!(bench.live(), [75, 25]);
    let aborted = bench
        .gateway
        .admin("DELETE", "/api/v1/routes/users/rollout", "", "");
    assert_eq!(aborted.json()["state"], "aborted");
    assert_eq!(bench.live(), [90, 10]);
    assert_eq!(
        bench.changes().last().unwrap(),
        &("aborted".to_owned(), "10 %".to_owned())
    );
    // A rollback goes to 0.
    bench.v2.set_broken(true);
    bench.start();
    bench.seconds_until("rolled_back", 10);
    assert_eq!(bench.live(), [100, 0]);
}

#[test]
fn dial_is_refused_during_a_rollout() {
    let bench = Bench::new(&judged("[25, 100]"));
    bench.start();
    let refused = bench.gateway.dial("users", &json!({ "v1": 0, "v2": 1 }));
    assert_eq!(refused.status(), 409, "{}", refused.text());
    let refused = bench
        .gateway
        .command(&["dial", "users", "v2=100"])
        .expect(1)
        .stderr;
    for part in ["`pause`", "`abort`", "`--force`"] {
        assert!(refused.contains(part), "{refused}");
    }
    assert_eq!(
        bench
            .gateway
            .admin("DELETE", "/api/v1/routes/users/split", "", "")
            .status(),
        409
    );
    assert_eq!(
        (bench.live(), bench.status()["state"].clone()),
        (vec![75, 25], json!("running"))
    );
    // Orders that are wrong abort nothing.
    bench
        .gateway
        .command(&["dial", "users", "v3=100", "--force"])
        .expect(1);
    assert_eq!(
        (bench.live(), bench.status()["state"].clone()),
        (vec![75, 25], json!("running"))
    );
    bench
        .gateway
        .command(&["dial", "users", "v2=60", "--force"])
        .expect(0);
    assert_eq!(
        (bench.live(), bench.status()["state"].clone()),
        (vec![40, 60], json!("aborted"))
    );
    assert_eq!(bench.gateway.dial("users", &json!({ "v1": 1 })).status(), 200);
}

#[test]
fn changed_plan_holds_until_resumed() {
    let bench = Bench::new(&judged("[50, 100]"));
    bench.start();
    let other = |steps: &str| bench.config("{ v1: 100, v2: 0 }", &judged(steps));
    // Other changes are none of its business.
    bench.gateway.replace(other("[50, 100]").all_respond("hi"));
    bench.gateway.wait_for_revision(2);
    assert_eq!(
        (bench.status()["state"].clone(), bench.live()),
        (json!("running"), vec![50, 50])
    );
    bench.gateway.replace(other("[50, 75, 100]"));
    bench.gateway.wait_for_revision(3);
    let status = bench.status();
    assert_eq!((&status["state"], bench.live()), (&json!("paused"), vec![50, 50]));
    assert!(has_lack(&status, "the plan or the split was changed"), "{status}");
    for _ in 0..20 {
        bench.second();
    }
    assert_eq!(bench.status()["percent"], 50.0);
    // Over a kill, too.
    let bench = bench.restarted();
    assert_eq!(
        (bench.status()["state"].clone(), bench.live()),
        (json!("paused"), vec![50, 50])
    );
    let resumed = bench.act("resume");
    assert_eq!(json!([resumed["state"], resumed["steps"]]), json!(["running", 3]));
    bench.seconds_to(75.0, 30);
    // A bad version is rolled back all the same.
    let other = |steps: &str| bench.config("{ v1: 100, v2: 0 }", &judged(steps));
    bench.gateway.replace(other("[75, 100]"));
    bench.gateway.wait_for_part("plan changed, 75 %");
    bench.v2.set_broken(true);
    bench.seconds_until("rolled_back", 20);
    assert_eq!(bench.live(), [100, 0]);
}

#[test]
fn changed_judge_is_taken_with_the_plan() {
    let bench = Bench::new(&judged("[50, 100]"));
    bench.start();
    bench.v2.set_broken(true);
    let timed = "steps: [50, 100], at_least: 20s, requests: 0, judge: off";
    bench.gateway.replace(bench.config("{ v1: 100, v2: 0 }", timed));
    bench.gateway.wait_for_revision(2);
    let resumed = bench.act("resume");
    assert_eq!(resumed["metrics"], json!([]), "{resumed}");
    for _ in 0..10 {
        bench.second();
    }
    assert_eq!(bench.status()["state"], "running");
    let plan = judged("[50, 100]");
    bench.gateway.replace(bench.config("{ v1: 100, v2: 0 }", &plan));
    bench.gateway.wait_for_revision(3);
    bench.act("resume");
    bench.seconds_until("rolled_back", 10);
}

#[test]
fn changed_split_leaves_the_share_of_the_canary() {
    let bench = Bench::new(&judged("[25, 100]"));
    bench.start();
    let plan = judged("[25, 100]");
    bench.gateway.replace(bench.config("{ v1: 0, v2: 100 }", &plan));
    bench.gateway.wait_for_revision(2);
    let status = bench.status();
    assert_eq!((&status["state"], bench.live()), (&json!("paused"), vec![75, 25]));
    assert!(has_lack(&status, "the plan or the split was changed"), "{status}");
    let bench = bench.restarted();
    assert_eq!(
        (bench.status()["state"].clone(), bench.live()),
        (json!("paused"), vec![75, 25])
    );
    bench.act("resume");
    bench.seconds_until("finished", 40);
    assert_eq!(bench.live(), [0, 100]);
    // The same where the share was the declared one.
    let bench = Bench::new(&plan);
    bench.gateway.replace(bench.config("{ v1: 75, v2: 25 }", &plan));
    bench.gateway.wait_for_revision(2);
    bench.start();
    assert_eq!(bench.live(), [75, 25]);
    bench.gateway.replace(bench.config("{ v1: 0, v2: 100 }", &plan));
    bench.gateway.wait_for_revision(3);
    assert_eq!(bench.live(), [75, 25]);
    bench.v2.set_broken(true);
    bench.seconds_until("rolled_back", 10);
    assert_eq!(bench.live(), [100, 0]);
}

#[test]
fn removed_route_aborts() {
    let bench = Bench::new(&judged("[25, 100]"));
    bench.start();
    bench.gateway.replace(Config::new().all_respond("hi"));
    bench.gateway.wait_for_revision(2);
    bench
        .gateway
        .wait_for_part("aborted, 0 %: the route `users` was removed");
    let gone = bench.gateway.admin("GET", "/api/v1/routes/users/rollout", "", "");
    assert_eq!(gone.status(), 404);
    // It is not under way again when the route is.
    bench
        .gateway
        .replace(bench.config("{ v1: 100, v2: 0 }", &judged("[25, 100]")));
    bench.gateway.wait_for_revision(3);
    assert_eq!(
        (bench.status()["state"].clone(), bench.live()),
        (json!("aborted"), vec![100, 0])
    );
    bench.start();
}

#[test]
fn removed_canary_aborts() {
    let bench = Bench::new(&judged("[25, 100]"));
    bench.start();
    let without = Config::new()
        .key(&format!("rollouts: {{ plan: {{ {} }} }}", judged("[25, 100]")))
        .service(&bench.v1.service, "")
        .route("name: users, to: v1");
    bench.gateway.replace(without);
    bench.gateway.wait_for_revision(2);
    let status = bench.status();
    assert_eq!(status["state"], "aborted");
    assert_eq!(status["summary"], "`v2` was removed from the route `users`");
    assert_eq!(send(&bench.gateway, &[get("http://a/users/7")]), ["v1"]);
    // Where the plan names it, the config is refused, and the rollout goes on.
    let plan = format!("canary: v2, {}", judged("[25, 100]"));
    let bench = Bench::new(&plan);
    bench.start();
    let without = Config::new()
        .service(&bench.v1.service, "")
        .service_at("v3", &["http://127.0.0.1:1"], "")
        .route(&format!(
            "name: users, to: {{ v1: 100, v3: 0 }}, rollout: {{ {plan} }}"
        ));
    bench.gateway.replace(without);
    bench
        .gateway
        .wait_for_place("the canary `v2` is not a service of this route's `to`");
    bench.gateway.wait_for("waypost: revision 1 stays in force");
    assert_eq!(
        (bench.status()["state"].clone(), bench.live()),
        (json!("running"), vec![75, 25])
    );
}

#[test]
fn rollouts_of_two_routes_know_nothing_of_each_other() {
    let (v1, v2) = (Version::new("v1"), Version::new("v2"));
    let (c1, c2) = (Version::new("c1"), Version::new("c2"));
    let plan = judged("[50, 100]");
    let keys = "timeouts: { response: 5s }";
    let gateway = Gateway::with_test_clock(
        Config::new()
            .key(&format!("rollouts: {{ plan: {{ {plan} }} }}"))
            .service(&v1.service, keys)
            .service(&v2.service, keys)
            .service(&c1.service, keys)
            .service(&c2.service, keys)
            .route("name: users, match: { path: /users/* }, to: { v1: 100, v2: 0 }, rollout: plan")
            .route("name: carts, match: { path: /carts/* }, to: { c1: 100, c2: 0 }, rollout: plan"),
    );
    started(&gateway, "users", &json!({ "to": "v2" }));
    started(&gateway, "carts", &json!({ "to": "c2" }));
    v2.set_broken(true);
    for second in 1..=20 {
        burst(&gateway, "/users/7", BURST);
        burst(&gateway, "/carts/7", BURST);
        wait_for_count(&gateway, "users", BURST * second);
        wait_for_count(&gateway, "carts", BURST * second);
        gateway.pass(1);
    }
    let all = gateway.admin_json("/api/v1/rollouts");
    assert_eq!(
        json!([all[0]["route"], all[0]["state"], all[1]["route"], all[1]["state"]]),
        json!(["carts", "finished", "users", "rolled_back"])
    );
    assert_eq!(
        (live(&gateway, "users"), live(&gateway, "carts")),
        (vec![100, 0], vec![0, 100])
    );
    let text = gateway.command(&["rollout", "status"]).expect(0).stdout;
    assert!(
        text.contains("c2 against c1") && text.contains("v2 against v1"),
        "{text}"
    );
}

#[test]
fn ramp_by_time_needs_no_requests() {
    let bench = Bench::new(
        "steps: [10, { percent: 50, at_least: 20s }, 100], at_least: 10s, requests: 0, judge: off",
    );
    let first = bench.start();
    assert_eq!(json!([first["percent"], first["metrics"]]), json!([10.0, []]));
    bench.gateway.pass(9);
    assert_eq!(bench.live(), [90, 10]);
    assert_eq!(bench.status()["lacks"], json!(["1s more in this step"]));
    bench.gateway.pass(1);
    assert_eq!(bench.live(), [50, 50]);
    bench.gateway.pass(19);
    assert_eq!(bench.live(), [50, 50]);
    bench.gateway.pass(2);
    assert_eq!(
        (bench.status()["state"].clone(), bench.live()),
        (json!("finished"), vec![0, 100])
    );
}

#[test]
fn last_step_below_all_stays_there() {
    let bench = Bench::new("steps: [10, 40], at_least: 10s, requests: 0, judge: off");
    bench.start();
    bench.gateway.pass(20);
    let status = bench.status();
    assert_eq!(
        json!([status["state"], status["percent"]]),
        json!(["finished", 40.0])
    );
    assert_eq!(bench.live(), [60, 40]);
}

#[test]
fn steps_and_plan_of_the_start_take_the_place_of_the_config() {
    let bench = Bench::new(&judged("[50, 100]"));
    let started = bench
        .gateway
        .command(&[
            "rollout",
            "start",
            "users",
            "--to",
            "v2",
            "--steps",
            "0.5,20,100",
            "--format",
            "json",
        ])
        .expect(0)
        .json();
    assert_eq!(
        json!([
            started["percent"],
            started["steps"],
            started["by"],
            started["plan"]
        ]),
        json!([0.5, 3, "tester", "plan"])
    );
    assert_eq!(bench.live(), [199, 1]);
    let bench = bench.restarted();
    assert_eq!(
        (bench.status()["steps"].clone(), bench.live()),
        (json!(3), vec![199, 1])
    );
    bench.gateway.command(&["rollout", "promote", "users"]).expect(0);
    assert_eq!(bench.live(), [80, 20]);
}

#[test]
fn starts_that_make_no_sense_are_refused() {
    let bench = Bench::new(&judged("[50, 100]"));
    let gateway = &bench.gateway;
    for path in [
        "/api/v1/routes/users/rollout",
        "/api/v1/routes/users/rollout/history",
        "/api/v1/routes/x/rollout",
    ] {
        assert_eq!(gateway.admin("GET", path, "", "").status(), 404, "{path}");
    }
    assert_eq!(act(gateway, "pause").status(), 404, "there is none");
    for (route, body, status, said) in [
        ("x", json!({ "to": "v2" }), 404, "no route named `x`"),
        ("users", json!({}), 422, "not said which service"),
        (
            "dealt",
            json!({ "to": "v2", "plan": "plan" }),
            422,
            "of the deal `d`",
        ),
        ("users", json!({ "to": "v3" }), 422, "`v3` is not a service"),
        (
            "users",
            json!({ "to": "v2", "plan": "x" }),
            422,
            "no rollout named `x`",
        ),
        (
            "users",
            json!({ "to": "v2", "steps": [] }),
            422,
            "rising percentages",
        ),
        (
            "users",
            json!({ "to": "v2", "steps": [0, 5] }),
            422,
            "rising percentages",
        ),
        (
            "users",
            json!({ "to": "v2", "steps": [5, 5] }),
            422,
            "rising percentages",
        ),
        (
            "users",
            json!({ "to": "v2", "steps": [5, 101] }),
            422,
            "rising percentages",
        ),
        (
            "users",
            json!({ "to": "v2", "steps": [-5, 100] }),
            422,
            "rising percentages",
        ),
        ("users", json!({ "to": "v2", "unknown": 1 }), 422, "unknown"),
        ("users", json!({ "to": "v1" }), 409, "nothing to compare"),
        ("old", json!({ "to": "v2" }), 422, "`old`"),
        (
            "old",
            json!({ "to": "v2", "plan": "plan" }),
            422,
            "`old` is no split",
        ),
    ] {
        let response = start(gateway, route, &body);
        assert_eq!(response.status(), status, "{route} {body}: {}", response.text());
        assert!(response.text().contains(said), "{}", response.text());
    }
    bench.start();
    let twice = start(gateway, "users", &json!({ "to": "v2" }));
    assert_eq!(twice.status(), 409, "{}", twice.text());
    let unknown = act(gateway, "explode");
    assert_eq!(unknown.status(), 404);
    assert!(unknown.text().contains("pause, resume"), "{}", unknown.text());
    gateway
        .command(&["rollout", "start", "users", "--to", "v2"])
        .expect(1);
    gateway.command(&["rollout", "status", "x"]).expect(1);
}

#[test]
fn changes_are_told_by_events_log_and_history() {
    let bench = Bench::new(&judged("[50, 100]"));
    let mut events = subscribe(&bench.gateway);
    bench.start();
    events.expect("event: rollout\n").expect("\"change\":\"started\"");
    events.expect("event: dial\n").expect("event: rollout\n");
    events
        .expect("\"change\":\"step\"")
        .expect("\"percent\":\"50 %\"");
    bench.act("pause");
    events.expect("\"change\":\"paused\"").expect("\"by\":\"local\"");
    bench.v2.set_broken(true);
    bench.seconds_until("rolled_back", 10);
    events
        .expect("\"change\":\"rolled_back\"")
        .expect("\"percent\":\"0 %\"");
    events
        .expect("v2 failed 100 % of its requests")
        .expect("\"by\":\"judge\"");
    bench
        .gateway
        .wait_for_part("rollout of `v2` on the route `users`: rolled back, 0 %: v2 failed 100 %");
    let history = bench
        .gateway
        .command(&["rollout", "history", "users"])
        .expect(0)
        .stdout;
    let lines: Vec<&str> = history.lines().collect();
    assert_eq!(lines.len(), 5, "{history}");
    assert!(
        lines[1].contains("rolled back") && lines[1].contains("judge"),
        "{history}"
    );
    assert!(lines[4].contains("started"), "{history}");
    // The history spans rollouts.
    bench.start();
    let all = bench
        .gateway
        .command(&["rollout", "history", "users", "--format", "json"])
        .expect(0)
        .json();
    assert_eq!(all.as_array().unwrap().len(), 6, "{all}");
}

#[test]
fn status_has_the_numbers() {
    let bench = Bench::new(&judged("[50, 100]").replace("requests: 20", "requests: 1000000"));
    let none = bench.gateway.command(&["rollout", "status"]).expect(0).stdout;
    assert_eq!(none, "no route had a rollout so far\n");
    bench.start();
    for _ in 0..8 {
        bench.second();
    }
    let status = bench
        .gateway
        .command(&["rollout", "status", "users", "--format", "json"])
        .expect(0)
        .json();
    assert_eq!(status, bench.status());
    let errors = &status["metrics"][0];
    let number = |value: &Value| value.as_u64().unwrap();
    assert_eq!(errors["metric"], "errors");
    assert_eq!(
        number(&errors["canary_requests"]) + number(&errors["baseline_requests"]),
        8 * BURST as u64
    );
    assert_eq!(errors["canary_requests"], status["step_requests"]);
    assert_eq!(
        json!([errors["canary_bad"], errors["baseline_bad"]]),
        json!([0, 0])
    );
    assert_eq!(
        json!([errors["proved"], status["rollback_at"]]),
        json!([true, 100.0])
    );
    let all = bench
        .gateway
        .command(&["rollout", "status", "--format", "json"])
        .expect(0)
        .json();
    assert_eq!(all, json!([status]));
}

#[test]
fn forced_requests_do_not_count() {
    let bench = Bench::with(
        &judged("[50, 100]"),
        ", force: { header: x-arm, values: { new: v2 } }",
    );
    bench.start();
    bench.v2.set_broken(true);
    let forced = vec![request("GET", "http://a/users/7", "X-Arm: new\r\n"); BURST];
    for _ in 0..20 {
        assert!(send(&bench.gateway, &forced).iter().all(String::is_empty));
        bench.sent.set(bench.sent.get() + BURST);
        bench.wait_until_counted();
        bench.gateway.pass(1);
    }
    let status = bench.status();
    assert_eq!(
        json!([status["state"], status["step_requests"]]),
        json!(["running", 0])
    );
    assert_eq!(status["metrics"][0]["canary_bad"], 0);
    // After a rollback they still reach the canary.
    bench.seconds_until("rolled_back", 10);
    bench.v2.set_broken(false);
    assert_eq!(send(&bench.gateway, &forced[..1]), ["v2"]);
}

#[test]
fn action_that_cannot_be_stored_is_not_done() {
    let bench = Bench::new(&judged("[25, 50, 100]"));
    bench.start();
    // A directory cannot be replaced by a file.
    let file = bench.gateway.directory().join(".waypost/dials.json");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir_all(file.join("x")).unwrap();
    for action in ["pause", "approve", "promote", "abort", "finish"] {
        let refused = act(&bench.gateway, action).status();
        assert!(
            refused == 507 || (action == "approve" && refused == 409),
            "{action}: {refused}"
        );
        assert_eq!(
            (bench.status()["state"].clone(), bench.live()),
            (json!("running"), vec![75, 25]),
            "{action}"
        );
    }
    std::fs::remove_dir_all(&file).unwrap();
    bench.act("promote");
    assert_eq!(bench.live(), [50, 50]);
}
