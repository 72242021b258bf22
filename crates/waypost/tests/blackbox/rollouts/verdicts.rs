//! Verdicts: promoted on evidence alone, rolled back within seconds, and held where nothing is shown.

use http::{Request, Response};
use serde_json::json;

use super::{
    BURST, Bench, Version, burst, changes, has_lack, judged, live, send, started, status, wait_for_count,
};
use crate::support::client::{get, request};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::{Http2Client, Http2Service};

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
