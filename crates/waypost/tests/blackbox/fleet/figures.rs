//! Figures over all instances.

use super::*;

#[test]
fn figures_of_any_instance_are_those_of_all() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let (one, mut two) = (etcd.instance(), etcd.instance());
    wait_for_revision(&one, 1);
    wait_for_revision(&two, 1);
    for _ in 0..3 {
        assert_eq!(body(&one), "a");
    }
    for _ in 0..4 {
        assert_eq!(body(&two), "a");
    }
    let stats = |gateway: &Gateway, query: &str| gateway.admin_json(&format!("/api/v1/stats?{query}"));
    let requests = |stats: &Value| stats["routes"][0]["arms"][0]["requests"].clone();
    for gateway in [&one, &two] {
        wait_for("the figures of both", || {
            let all = stats(gateway, "window=1m");
            (all["instances"] == 2 && requests(&all) == 7).then_some(())
        });
    }
    assert_eq!(requests(&stats(&one, "own=true")), 3);
    let all = stats(&one, "route=users&detail=true");
    assert_eq!(all["routes"][0]["arms"][0]["statuses"]["200"], 7);
    let shown = two.command(&["stats"]).expect(0).stdout;
    assert!(shown.contains(", 2 instances\n"), "{shown}");

    // One that does not answer is named, as long as its lease holds.
    let (gone, _) = ids(&two);
    two.kill();
    let all = stats(&one, "window=1m");
    assert_eq!((&all["instances"], &all["missing"]), (&json!(1), &json!([gone])));
    assert_eq!(requests(&all), 3);
    let shown = one.command(&["stats"]).expect(0).stdout;
    assert!(
        shown.contains(&format!("instance {gone} does not answer")),
        "{shown}"
    );
}
