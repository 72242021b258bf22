//! Hooks: a service is asked before each step, and nothing else waits for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::Response;
use serde_json::{Value, json};

use super::{Bench, Version, act, changes, config_with, has_lack, judged, live, started};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Service;
use crate::support::service::{Opener, Service, gate, ok};
use crate::support::tls::Authority;
use crate::support::wait_for;

const HOOK: &str = "hooks: { before_step: { to: gatekeeper, path: '/may?key=1' } }";
/// A ramp by time with the hook.
const TIMED: &str = "steps: [10, 50, 100], at_least: 5s, requests: 0, judge: off";
const NO: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 32\r\n\r\nno deploys on Friday\nsays policy";

/// A service that gives one answer until it gets another to give.
struct Gatekeeper {
    service: Service,
    answer: Arc<Mutex<String>>,
    /// The number of answers that it has given, or is about to send.
    given: Arc<AtomicUsize>,
}

impl Gatekeeper {
    fn new(answer: impl Into<String>) -> Self {
        let answer = Arc::new(Mutex::new(answer.into()));
        let given = Arc::<AtomicUsize>::default();
        let (current, count) = (Arc::clone(&answer), Arc::clone(&given));
        let service = Service::named("gatekeeper", move |talk| {
            while talk.request().is_some_and(|request| request.is_complete) {
                let answer = current.lock().unwrap().clone();
                count.fetch_add(1, Ordering::SeqCst);
                talk.send(answer);
            }
        });
        Self {
            service,
            answer,
            given,
        }
    }

    fn answer(&self, answer: impl Into<String>) {
        *self.answer.lock().unwrap() = answer.into();
    }

    fn wait_until_given(&self, count: usize) {
        wait_for("an answer", || {
            (self.given.load(Ordering::SeqCst) >= count).then_some(())
        });
    }

    fn bench(&self, plan: &str) -> Bench {
        bench(plan, |config| config.service(&self.service, ""))
    }
}

/// Two versions with a rollout by this plan and [`HOOK`], in a config with the hook's service.
fn bench(plan: &str, with_service: impl FnOnce(Config) -> Config) -> Bench {
    let (v1, v2) = (Version::new("v1"), Version::new("v2"));
    let plan = format!("{plan}, {HOOK}");
    let config = config_with([&v1, &v2], "{ v1: 100, v2: 0 }", &plan, "", with_service);
    Bench {
        gateway: Gateway::with_test_clock(config),
        v1,
        v2,
        sent: 0.into(),
    }
}

/// The questions that a service was asked, each on a connection of its own.
fn questions(service: &Service) -> Vec<Value> {
    let received = service.received();
    let bodies = received.iter().filter_map(|text| text.split_once("\r\n\r\n"));
    bodies
        .filter_map(|(_, body)| serde_json::from_str(body).ok())
        .collect()
}

fn wait_for_percent(bench: &Bench, percent: f64) {
    wait_for("the share", || {
        (bench.status()["percent"] == percent).then_some(())
    });
}

fn wait_for_lack(bench: &Bench, part: &str) -> Value {
    wait_for(part, || {
        let status = bench.status();
        has_lack(&status, part).then_some(status)
    })
}

/// A service that waits before each answer, which is a yes.
fn slow() -> (Service, Opener) {
    let (opener, gate) = gate();
    let service = Service::named("gatekeeper", move |talk| {
        while talk.request().is_some_and(|request| request.is_complete) {
            gate.wait();
            talk.send(ok("yes"));
        }
    });
    (service, opener)
}

#[test]
fn yes_goes_on_step_by_step() {
    // A start waits for the answer, unless that takes seconds.
    let (gatekeeper, bench) = wait_for("a start with its answer", || {
        let gatekeeper = Gatekeeper::new(ok("yes"));
        let bench = gatekeeper.bench(TIMED);
        let first = bench.start();
        let is_running = json!([first["state"], first["percent"]]) == json!(["running", 10.0]);
        is_running.then_some((gatekeeper, bench))
    });
    bench.gateway.pass(4);
    assert_eq!(
        questions(&gatekeeper.service).len(),
        1,
        "asked before it is ready for the step"
    );
    bench.gateway.pass(1);
    wait_for_percent(&bench, 50.0);
    bench.gateway.pass(5);
    wait_for_percent(&bench, 100.0);
    bench.gateway.pass(1);
    let asked = questions(&gatekeeper.service);
    let steps: Vec<Value> = asked
        .iter()
        .map(|event| json!([event["step"], event["from_percent"], event["to_percent"]]))
        .collect();
    assert_eq!(
        steps,
        [
            json!([1, 0.0, 10.0]),
            json!([2, 10.0, 50.0]),
            json!([3, 50.0, 100.0])
        ]
    );
    let first = &asked[0];
    assert_eq!(
        json!([
            first["event"],
            first["change"],
            first["route"],
            first["canary"],
            first["baseline"],
            first["plan"],
            first["steps"],
            first["percent"]
        ]),
        json!(["rollout", "before_step", "users", "v2", "v1", "plan", 3, "10 %"])
    );
    assert!(
        first["time"].is_string() && first["summary"].is_string(),
        "{first}"
    );
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
    let text = &gatekeeper.service.received()[0];
    let host = format!("\r\nHost: {}\r\n", gatekeeper.service.address());
    for part in [
        "POST /may?key=1 HTTP/1.1\r\n",
        &host,
        "\r\ncontent-type: application/json\r\n",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn metrics_are_in_the_question() {
    let gatekeeper = Gatekeeper::new(ok("yes"));
    let bench = gatekeeper.bench(&judged("[50, 100]"));
    bench.start();
    wait_for_percent(&bench, 50.0);
    bench.seconds_until("finished", 40);
    let asked = questions(&gatekeeper.service);
    let last = asked.last().unwrap();
    let errors = &last["metrics"][0];
    assert_eq!(
        json!([errors["metric"], errors["proved"], last["rollback_at"]]),
        json!(["errors", true, 100.0])
    );
    assert!(errors["canary_requests"].as_u64().unwrap() >= 20, "{last}");
    assert!(
        last["summary"]
            .as_str()
            .unwrap()
            .contains("not worse than tolerated"),
        "{last}"
    );
}

#[test]
fn no_holds_and_is_named_and_asked_again_after_ten_seconds() {
    let gatekeeper = Gatekeeper::new(NO);
    let bench = gatekeeper.bench(TIMED);
    bench.start();
    // Neither a start nor the clock waits for an answer for long.
    let status = wait_for_lack(&bench, "answered 403");
    assert_eq!(
        json!([status["state"], status["percent"], status["lacks"]]),
        json!([
            "waiting",
            0.0,
            ["the hook `gatekeeper/may` answered 403: no deploys on Friday"]
        ])
    );
    let summary = status["summary"].as_str().unwrap();
    assert!(summary.contains("holds: the hook `gatekeeper/may`"), "{summary}");
    let asked = || questions(&gatekeeper.service).len();
    bench.gateway.pass(9);
    assert_eq!(asked(), 1);
    bench.gateway.pass(1);
    gatekeeper.wait_until_given(2);
    assert_eq!(asked(), 2);
    // Once in the log, however often it is said.
    let holding = "holds: the hook `gatekeeper/may`";
    bench.gateway.wait_for_part(holding);
    let said = bench.gateway.said();
    let holds = said.iter().filter(|line| line.contains(holding));
    assert_eq!(holds.count(), 1, "{said:#?}");
    gatekeeper.answer(ok("yes"));
    bench.gateway.pass(9);
    assert_eq!((asked(), bench.status()["percent"].clone()), (2, json!(0.0)));
    bench.gateway.pass(1);
    wait_for_percent(&bench, 10.0);
    // The next step is a question of its own.
    gatekeeper.answer("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n");
    bench.gateway.pass(5);
    assert_eq!(wait_for_lack(&bench, "answered 302")["percent"], 10.0);
    assert_eq!(asked(), 4);
    // Neither the operator's step nor the end asks.
    assert_eq!(bench.act("promote")["percent"], 50.0);
    assert_eq!(bench.act("finish")["state"], "finished");
    assert_eq!(asked(), 4);
}

#[test]
fn status_counts_although_the_body_never_ends() {
    let gatekeeper = Gatekeeper::new("HTTP/1.1 204 No Content\r\n\r\n");
    let bench = gatekeeper.bench(TIMED);
    bench.start();
    wait_for_percent(&bench, 10.0);
    gatekeeper.answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nyes");
    bench.gateway.pass(5);
    wait_for_percent(&bench, 50.0);
}

#[test]
fn unreachable_hook_holds() {
    let mut gatekeeper = Service::refusing_as("gatekeeper");
    let bench = bench(TIMED, |config| config.service(&gatekeeper, ""));
    bench.start();
    wait_for_lack(
        &bench,
        "the hook `gatekeeper/may` did not answer: connection refused",
    );
    gatekeeper.recover();
    bench.gateway.pass(10);
    wait_for_percent(&bench, 10.0);
}

#[test]
fn next_endpoint_is_asked_where_one_refuses() {
    let refusing = Service::refusing();
    let gatekeeper = Gatekeeper::new(ok("yes"));
    let endpoints = [refusing.url(), gatekeeper.service.url()];
    let endpoints: Vec<&str> = endpoints.iter().map(|url| &**url).collect();
    let bench = bench(TIMED, |config| config.service_at("gatekeeper", &endpoints, ""));
    bench.start();
    wait_for_percent(&bench, 10.0);
    bench.gateway.pass(5);
    wait_for_percent(&bench, 50.0);
    let text = &gatekeeper.service.received()[0];
    let host = format!("\r\nHost: {}\r\n", gatekeeper.service.address());
    assert!(text.contains(&host), "{text}");
}

#[test]
fn rollback_and_operator_wait_for_no_hook() {
    let (gatekeeper, opener) = slow();
    let bench = bench(&judged("[50, 75, 100]"), |config| config.service(&gatekeeper, ""));
    bench.start();
    opener.open();
    wait_for_percent(&bench, 50.0);
    let asks = "the hook `gatekeeper/may` is asked for the next step";
    for _ in 0..40 {
        bench.second();
        if has_lack(&bench.status(), asks) {
            break;
        }
    }
    wait_for_lack(&bench, "the hook `gatekeeper/may` did not answer within 5s");
    assert_eq!(bench.act("promote")["percent"], 75.0);
    bench.v2.set_broken(true);
    bench.seconds_until("rolled_back", 20);
    assert_eq!(bench.live(), [100, 0]);
    // Aborted while it is asked.
    bench.v2.set_broken(false);
    assert_eq!(bench.start()["state"], "waiting");
    assert_eq!(bench.act("abort")["state"], "aborted");
    drop(opener);
}

#[test]
fn answer_to_a_rollout_that_was_paused_meanwhile_is_void() {
    let (gatekeeper, opener) = slow();
    let bench = bench(TIMED, |config| config.service(&gatekeeper, ""));
    bench.start();
    wait_for_lack(&bench, "is asked for the next step");
    gatekeeper.wait_for("\"before_step\"");
    bench.act("pause");
    drop(opener);
    bench.gateway.pass(20);
    let status = bench.status();
    assert_eq!(
        json!([status["state"], status["percent"]]),
        json!(["paused", 0.0])
    );
    assert_eq!(questions(&gatekeeper).len(), 1);
    bench.act("resume");
    bench.gateway.pass(1);
    wait_for_percent(&bench, 10.0);
    assert_eq!(questions(&gatekeeper).len(), 2);
}

#[test]
fn rollout_before_its_first_step_is_taken_up_again() {
    let gatekeeper = Gatekeeper::new(NO);
    let bench = gatekeeper.bench(TIMED);
    bench.start();
    wait_for_lack(&bench, "answered 403");
    let bench = bench.restarted();
    assert_eq!(bench.status()["state"], "waiting");
    gatekeeper.answer(ok("yes"));
    bench.gateway.pass(1);
    wait_for_percent(&bench, 10.0);
}

#[test]
fn changed_hook_is_asked_after_resume() {
    let gatekeeper = Gatekeeper::new(ok("yes"));
    let bench = gatekeeper.bench(TIMED);
    bench.start();
    wait_for_percent(&bench, 10.0);
    let plan = format!("{TIMED}, {}", HOOK.replace("/may", "/other"));
    let versions = [&bench.v1, &bench.v2];
    let changed = config_with(versions, "{ v1: 100, v2: 0 }", &plan, "", |config| {
        config.service(&gatekeeper.service, "")
    });
    bench.gateway.rewrite(changed);
    wait_for("the pause", || {
        (bench.status()["state"] == "paused").then_some(())
    });
    bench.gateway.pass(20);
    assert_eq!(questions(&gatekeeper.service).len(), 1);
    assert_eq!(act(&bench.gateway, "resume").status(), 200);
    bench.gateway.pass(1);
    wait_for_percent(&bench, 50.0);
    gatekeeper.service.wait_for("POST /other?key=1 ");
}

#[test]
fn hook_is_reached_by_tls_and_http2_as_its_service_says() {
    let gatekeeper = Gatekeeper::new(ok("yes"));
    let authority = Authority::new();
    let inner = Gateway::with_certificates(&[&authority.issue(&["a.test"])], &gatekeeper.service);
    let endpoint = format!("https://{}", inner.address());
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.crt");
    std::fs::write(&ca, authority.pem()).unwrap();
    for http2 in [false, true] {
        let keys = format!(
            "http2: {http2}, tls: {{ ca: {}, server_name: a.test }}, timeouts: {{ connect: 30s }}",
            ca.display()
        );
        let bench = bench(TIMED, |config| {
            config.service_at("gatekeeper", &[&endpoint], &keys)
        });
        bench.start();
        wait_for_percent(&bench, 10.0);
    }
    // The inner gateway keeps its connection.
    let asked = gatekeeper.service.received().concat();
    assert_eq!(asked.matches("\"before_step\"").count(), 2);
    // A certificate that is not trusted.
    let distrusted = bench(TIMED, |config| {
        config.service_at("gatekeeper", &[&endpoint], "timeouts: { connect: 30s }")
    });
    distrusted.start();
    wait_for_lack(&distrusted, "did not answer: certificate not trusted");
}

#[test]
fn hook_in_clear_http2_is_asked() {
    let service = Http2Service::start(|_, mut respond| async move {
        let response = Response::builder().status(204).body(()).unwrap();
        respond.send_response(response, true).unwrap();
    });
    let endpoint = service.url();
    let bench = bench(TIMED, |config| {
        config.service_at("gatekeeper", &[&endpoint], "http2: true")
    });
    bench.start();
    wait_for_percent(&bench, 10.0);
}

#[test]
fn change_of_the_config_waits_for_the_hook() {
    let gatekeeper = Gatekeeper::new(NO);
    let (v1, v2) = (Version::new("v1"), Version::new("v2"));
    let plan = format!("{}, on_change: true, {HOOK}", TIMED.replace("10, ", ""));
    let config = |split: &str| {
        config_with([&v1, &v2], split, &plan, "", |config| {
            config.service(&gatekeeper.service, "")
        })
    };
    let gateway = Gateway::with_test_clock(config("{ v1: 90, v2: 10 }"));
    gateway.rewrite(config("{ v1: 0, v2: 100 }"));
    wait_for("the lack", || {
        let shown = rollout(&gateway)?;
        has_lack(&shown, "answered 403").then_some(())
    });
    gateway.pass(5);
    assert_eq!(live(&gateway, "users"), [90, 10]);
    let asked = &questions(&gatekeeper.service)[0];
    assert_eq!(
        json!([asked["from_percent"], asked["to_percent"]]),
        json!([10.0, 50.0])
    );
    gatekeeper.answer(ok("yes"));
    gateway.pass(5);
    wait_for("the step", || (live(&gateway, "users") == [50, 50]).then_some(()));
}

/// The rollout of `users`, if there is one.
fn rollout(gateway: &Gateway) -> Option<Value> {
    let shown = gateway.admin("GET", "/api/v1/routes/users/rollout", "", "");
    (shown.status() == 200).then(|| shown.json())
}

#[test]
fn deal_asks_once_for_all_its_routes() {
    let gatekeeper = Gatekeeper::new(ok("yes"));
    let (v1, v2) = (Version::new("v1"), Version::new("v2"));
    let route = |name: &str| {
        format!(
            "name: {name}, match: {{ path: /{name}/* }}, to: {{ v1: 100, v2: 0 }}, rollout: plan, \
             sticky: {{ client_ip: true, deal: d }}"
        )
    };
    let config = Config::new()
        .key(&format!("rollouts: {{ plan: {{ {TIMED}, {HOOK} }} }}"))
        .service(&v1.service, "")
        .service(&v2.service, "")
        .service(&gatekeeper.service, "")
        .route(&route("users"))
        .route(&route("orders"));
    let gateway = Gateway::with_test_clock(config);
    started(&gateway, "users", &json!({ "to": "v2" }));
    gateway.pass(1);
    wait_for("the first step", || {
        (live(&gateway, "orders") == [90, 10] && live(&gateway, "users") == [90, 10]).then_some(())
    });
    let asked = questions(&gatekeeper.service);
    assert_eq!(
        json!([asked.len(), asked[0]["deal"], asked[0]["routes"]]),
        json!([1, "d", ["users", "orders"]])
    );
}

#[test]
fn events_are_in_the_api_document() {
    let gatekeeper = Gatekeeper::new(ok("yes"));
    let bench = gatekeeper.bench(TIMED);
    let document = bench.gateway.admin_json("/api/v1/openapi.json");
    let fields = &document["components"]["schemas"]["RolloutEvent"]["properties"];
    for field in ["change", "from_percent", "to_percent", "metrics"] {
        assert!(fields[field].is_object(), "{field} in {fields}");
    }
}

#[test]
fn hook_is_asked_inside_of_windows_only() {
    let gatekeeper = Gatekeeper::new(ok("yes"));
    let bench = gatekeeper.bench(&format!("{TIMED}, windows: [\"Mon 09:00-17:00 UTC\"]"));
    bench.gateway.set_clock("2026-11-29T12:00:00Z");
    assert_eq!(bench.start()["state"], "waiting");
    bench.gateway.pass(30);
    assert_eq!(questions(&gatekeeper.service).len(), 0);
    bench.gateway.set_clock("2026-11-30T08:59:59Z");
    bench.gateway.pass(1);
    wait_for_percent(&bench, 10.0);
    bench.gateway.set_clock("2026-11-30T17:00:00Z");
    bench.gateway.pass(30);
    assert_eq!(questions(&gatekeeper.service).len(), 1);
    assert_eq!(bench.live(), [90, 10]);
}
