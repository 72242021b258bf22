//! Steps: taken by time where nothing is judged, and done with the last.

use serde_json::json;

use super::{Bench, judged};

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
fn large_weights_are_turned_like_small_ones() {
    let bench = Bench::new(&judged("[50, 100]"));
    let split = "{ v1: 9000000000000000000, v2: 1000000000000000000 }";
    bench.gateway.replace(bench.config(split, &judged("[50, 100]")));
    bench.gateway.wait_for_revision(2);
    bench.start();
    assert_eq!(bench.live(), [50, 50]);
    bench.v2.set_broken(true);
    bench.seconds_until("rolled_back", 20);
    assert_eq!(bench.live()[1], 0);
}
