//! The figures of the last day over all instances.

use rustix::process::Signal;

use super::*;

/// The sum of a column of the series of `service`.
fn sum(figures: &Value, service: &Value, column: &str) -> u64 {
    let all = figures["series"].as_array().unwrap();
    let series = all.iter().find(|series| series["service"] == *service);
    let values = series.map(|series| series[column].as_array().unwrap().iter());
    values.into_iter().flatten().filter_map(Value::as_u64).sum()
}

/// Two instances, of which the first leads, with three and four requests.
fn served(etcd: &Etcd) -> (Gateway, Gateway) {
    let one = etcd.instance();
    wait_for("the lead", || leads(&one).then_some(()));
    let two = etcd.instance();
    wait_for_revision(&one, 1);
    wait_for_revision(&two, 1);
    for (gateway, requests) in [(&one, 3), (&two, 4)] {
        for _ in 0..requests {
            assert_eq!(body(gateway), "a");
        }
        let own = "/api/v1/timeline?own=true";
        wait_for("its own figures", || {
            (sum(&gateway.admin_json(own), &Value::Null, "requests") == requests).then_some(())
        });
    }
    (one, two)
}

/// Waits for figures of so many instances with so many requests.
fn wait_for_figures(gateway: &Gateway, path: &str, instances: u64, requests: u64) -> Value {
    wait_for("the figures of all", || {
        let all = gateway.admin_json(path);
        let found = (all["instances"].as_u64()?, sum(&all, &Value::Null, "requests"));
        (found == (instances, requests)).then_some(all)
    })
}

#[test]
fn figures_of_any_instance_are_those_of_all() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let (one, two) = served(&etcd);
    for gateway in [&one, &two] {
        for path in [
            "timeline?",
            "timeline?step=1m",
            "timeline?route=users",
            "timeline?route=users&step=1m",
        ] {
            // A leader that stands still for a second is not waited for.
            let all = wait_for("the answer of the leader", || {
                let all = wait_for_figures(gateway, &format!("/api/v1/{path}"), 2, 7);
                all["direct"].is_null().then_some(all)
            });
            let quantiles = all["series"][0]["p99_ms"].as_array().unwrap();
            assert!(quantiles.iter().any(Value::is_number), "{path}: {all}");
            assert_eq!(all["missing"], Value::Null, "{path}");
            let of_arm = if path.contains("route") { 7 } else { 0 };
            assert_eq!(sum(&all, &json!("a"), "requests"), of_arm, "{path}: {all}");
        }
        // Only what is new, once no instance was late for a while.
        wait_for("only what is new", || {
            let all = wait_for_figures(gateway, "/api/v1/timeline", 2, 7);
            let next = all["next"].as_u64().unwrap();
            let later = gateway.admin_json(&format!("/api/v1/timeline?since={next}"));
            let found = (&later["begin"], sum(&later, &Value::Null, "requests"));
            (found == (&json!(next), 0)).then_some(())
        });
    }
    // An instance tells what is needed to sum.
    let own = two.admin_json("/api/v1/timeline?route=users&own=true");
    assert_eq!(
        (&own["instances"], sum(&own, &Value::Null, "requests")),
        (&json!(1), 4)
    );
    assert!(own["series"][0]["durations"].is_string(), "{own}");
    assert_eq!(
        sum(&json!({ "series": [own["hours"]] }), &Value::Null, "requests"),
        4
    );
}

#[test]
fn instance_that_does_not_answer_is_left_out_and_named() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let (one, two) = served(&etcd);
    let (gone, _) = ids(&two);
    two.signal(Signal::STOP);
    let without = wait_for_figures(&one, "/api/v1/timeline", 1, 3);
    assert_eq!(without["missing"], json!([gone]));
    two.signal(Signal::CONT);
    // What was told without it is told again.
    let next = without["next"].as_u64().unwrap();
    wait_for_figures(&one, &format!("/api/v1/timeline?since={next}"), 2, 7);
}

#[test]
fn seconds_before_a_restart_are_those_of_the_others() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let (mut one, mut two) = served(&etcd);
    two.kill();
    let two = two.restarted();
    wait_for_revision(&two, 1);
    assert_eq!(body(&two), "a");
    wait_for_figures(&two, "/api/v1/timeline", 2, 4);
    // Without a leader that answers, an instance asks each other one.
    let (gone, _) = ids(&one);
    one.kill();
    let direct = wait_for_figures(&two, "/api/v1/timeline", 1, 1);
    assert_eq!(
        (&direct["missing"], &direct["direct"]),
        (&json!([gone]), &json!(true))
    );
}
