//! Restarts and kills: a rollout goes on with its share and its evidence.

use rustix::process::Signal;
use serde_json::json;

use super::{Bench, act, judged, status};

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
fn gateway_killed_at_each_step_goes_on_from_there() {
    let killed = |bench: Bench| {
        let shown = |bench: &Bench| {
            let status = bench.status();
            let keys =
                ["state", "step", "percent", "next_percent", "by", "started"].map(|key| status[key].clone());
            (keys, bench.live(), bench.changes())
        };
        let before = shown(&bench);
        let bench = bench.restarted();
        assert_eq!(shown(&bench), before);
        // Once more, before anything was judged.
        let bench = bench.restarted();
        assert_eq!(shown(&bench), before);
        bench
    };
    let bench = Bench::new(&judged("[10, 25, { percent: 50, approve: true }, 75, 100]"));
    bench.start();
    let bench = killed(bench);
    bench.seconds_to(25.0, 60);
    let bench = killed(bench);
    bench.act("promote");
    let bench = killed(bench);
    bench.act("approve");
    let bench = killed(bench);
    bench.seconds_to(75.0, 60);
    let bench = killed(bench);
    bench.seconds_until("finished", 60);
    let bench = killed(bench);
    assert_eq!(bench.live(), [0, 100]);
    // The next one is killed at its end, too.
    bench.gateway.command(&["dial", "users", "--reset"]).expect(0);
    bench.start();
    bench.act("abort");
    let bench = killed(bench);
    bench.v2.set_broken(true);
    bench.start();
    bench.seconds_until("rolled_back", 20);
    assert_eq!(killed(bench).live(), [100, 0]);
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
