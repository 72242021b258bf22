//! Windows: hours of the week in which steps upward are taken. All else is done at any time.

use serde_json::json;

use super::{BURST, Bench, act, changes, has_lack, judged, live, send, started, status};
use crate::support::client::get;
use crate::support::config::Config;
use crate::support::gateway::Gateway;

/// Open on the 30th of November 2026 from 08:00 to 16:00 UTC.
const HOURS: &str = "windows: [\"Mon-Fri 09:00-17:00 Europe/Berlin\"]";
const SUNDAY: &str = "2026-11-29T17:55:00Z";
const WAIT: &str = "waits for Mon-Fri 09:00-17:00 Europe/Berlin, opens in";

/// A rollout that was started in the morning, and at whose step it is evening now.
fn in_the_evening(steps: &str) -> Bench {
    let bench = Bench::new(&format!("{}, {HOURS}", judged(steps)));
    bench.gateway.set_clock("2026-11-30T08:00:00Z");
    assert_eq!(bench.start()["state"], "running");
    bench.gateway.set_clock("2026-11-30T16:00:00Z");
    bench
}

#[test]
fn start_outside_of_a_window_waits_for_it() {
    let bench = Bench::new(&format!("{}, {HOURS}", judged("[25, 100]")));
    bench.gateway.set_clock(SUNDAY);
    let waiting = bench.start();
    assert_eq!(
        json!([
            waiting["state"],
            waiting["step"],
            waiting["percent"],
            waiting["next_percent"],
            waiting["lacks"]
        ]),
        json!([
            "waiting",
            0,
            0.0,
            25.0,
            [format!("{WAIT} 14h5m (Mon 2026-11-30 09:00 +01:00)")]
        ])
    );
    assert_eq!(bench.live(), [100, 0]);
    bench.second();
    let text = bench
        .gateway
        .command(&["rollout", "status", "users"])
        .expect(0)
        .stdout;
    for part in ["before the first step", "waiting", WAIT, "to 25 %"] {
        assert!(text.contains(part), "`{part}` in {text}");
    }
    assert_eq!(bench.gateway.dial("users", &json!({ "v2": 1 })).status(), 409);
    // Over a kill, too.
    let bench = bench.restarted();
    bench.gateway.set_clock("2026-11-30T07:59:30Z");
    bench.gateway.pass(29);
    let status = bench.status();
    assert_eq!(
        (&status["state"], bench.live()),
        (&json!("waiting"), vec![100, 0])
    );
    assert!(has_lack(&status, "opens in 1s"), "{status}");
    bench.gateway.pass(1);
    let status = bench.status();
    assert_eq!(
        json!([status["state"], status["step"], status["percent"]]),
        json!(["running", 1, 25.0])
    );
    assert_eq!(bench.live(), [75, 25]);
    bench.seconds_until("finished", 40);
    assert_eq!(
        bench.changes(),
        changes(&[
            ("started", "0 %"),
            ("step", "25 %"),
            ("step", "100 %"),
            ("finished", "100 %"),
        ])
    );
}

#[test]
fn start_that_waits_can_be_paused_promoted_and_aborted() {
    let bench = Bench::new(&format!("{}, {HOURS}", judged("[25, 100]")));
    bench.gateway.set_clock(SUNDAY);
    bench.start();
    assert_eq!(bench.act("pause")["state"], "paused");
    bench.gateway.set_clock("2026-11-30T12:00:00Z");
    bench.gateway.pass(2);
    assert_eq!(
        (bench.status()["state"].clone(), bench.live()),
        (json!("paused"), vec![100, 0])
    );
    bench.gateway.set_clock(SUNDAY);
    assert_eq!(bench.act("resume")["state"], "waiting");
    assert_eq!(bench.act("abort")["state"], "aborted");
    assert_eq!(bench.live(), [100, 0]);
    bench.start();
    assert_eq!(bench.act("promote")["percent"], 25.0);
    assert_eq!(bench.live(), [75, 25]);
}

#[test]
fn proved_step_waits_for_the_next_window() {
    let bench = in_the_evening("[50, 75, 100]");
    for _ in 0..20 {
        bench.second();
    }
    let status = bench.status();
    assert_eq!(
        json!([status["state"], status["percent"]]),
        json!(["running", 50.0])
    );
    assert_eq!(status["metrics"][0]["proved"], true, "{status}");
    let wait = format!("{WAIT} 15h59m (Tue 2026-12-01 09:00 +01:00)");
    assert_eq!(status["lacks"], json!([wait]));
    bench.gateway.set_clock("2026-12-01T07:59:59Z");
    assert_eq!(bench.live(), [50, 50]);
    bench.gateway.pass(1);
    assert_eq!(bench.live(), [25, 75]);
}

#[test]
fn bad_version_is_rolled_back_outside_of_windows() {
    let bench = in_the_evening("[25, 100]");
    bench.v2.set_broken(true);
    bench.seconds_until("rolled_back", 10);
    assert_eq!(bench.live(), [100, 0]);
    let answers = send(&bench.gateway, &vec![get("http://a/users/7"); BURST]);
    assert!(answers.iter().all(|answer| answer == "v1"), "{answers:?}");
}

#[test]
fn operators_act_outside_of_windows() {
    for (action, live) in [("promote", [25, 75]), ("finish", [0, 100]), ("abort", [100, 0])] {
        let bench = in_the_evening("[50, 75, 100]");
        bench.act(action);
        assert_eq!(bench.live(), live, "{action}");
    }
    // An approval does not open a window.
    let bench = in_the_evening("[{ percent: 50, approve: true }, 75, 100]");
    for _ in 0..20 {
        bench.second();
    }
    bench.act("approve");
    bench.second();
    assert_eq!(bench.live(), [50, 50]);
    assert!(has_lack(&bench.status(), WAIT), "{}", bench.status());
    // Pauses and closed windows are told apart.
    bench.act("pause");
    let lacks = bench.status()["lacks"].clone();
    assert_eq!(lacks.as_array().unwrap().len(), 2, "{lacks}");
    assert_eq!(act(&bench.gateway, "promote").status(), 200);
    assert_eq!(bench.live(), [25, 75]);
}

#[test]
fn any_of_several_windows_is_enough() {
    let gateway = Gateway::with_test_clock(
        Config::new()
            .service_at("v1", &["http://127.0.0.1:1"], "")
            .service_at("v2", &["http://127.0.0.1:1"], "")
            .route(
                "name: users, to: { v1: 100, v2: 0 }, rollout: { canary: v2, steps: [5, 10, 20, 100], requests: 0, \
                 at_least: 1s, judge: off, windows: [\"Sat 22:00-02:00 America/New_York\", Wed 00:00-24:00 UTC] }",
            ),
    );
    // In New York, it is Saturday evening until 07:00 UTC on Sunday.
    gateway.set_clock("2026-11-29T06:59:58Z");
    started(&gateway, "users", &json!({}));
    assert_eq!(live(&gateway, "users"), [95, 5]);
    gateway.pass(1);
    assert_eq!(live(&gateway, "users"), [90, 10]);
    gateway.pass(600);
    assert_eq!(live(&gateway, "users"), [90, 10]);
    let lacks = status(&gateway, "users")["lacks"].clone();
    assert_eq!(
        lacks,
        json!(["waits for Wed 00:00-24:00 UTC, opens in 64h50m (Wed 2026-12-02 00:00 +00:00)"])
    );
    gateway.set_clock("2026-12-01T23:59:59Z");
    gateway.pass(1);
    assert_eq!(live(&gateway, "users"), [80, 20]);
}
