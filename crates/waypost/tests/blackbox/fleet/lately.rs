//! The rankings and figures of routes, and the health, over all instances.

use rustix::process::Signal;

use super::*;
use crate::support::client::Client as Sender;

/// A service that answers, one that refuses connections, and three routes.
fn three_routes() -> (Service, Service, Config) {
    let (one, refusing) = (named("a"), Service::refusing_as("b"));
    let config = Config::new()
        .service(&one, "")
        .service(&refusing, "")
        .route("name: items, match: { path: /items }, to: a")
        .route("name: broken, match: { path: /broken }, to: b")
        .route("name: users, to: a");
    (one, refusing, config)
}

/// Two instances: the first one leads.
fn two(etcd: &Etcd) -> (Gateway, Gateway) {
    let one = etcd.instance();
    wait_for("the lead", || leads(&one).then_some(()));
    let two = etcd.instance();
    wait_for_revision(&one, 1);
    wait_for_revision(&two, 1);
    (one, two)
}

/// Sends requests to a path, and waits until the instance has counted them.
fn send(gateway: &Gateway, route: &str, requests: u64) {
    let path = if route == "users" { "" } else { route };
    for _ in 0..requests {
        Sender::connect(listener(gateway)).get(&format!("http://a/{path}"));
    }
    wait_for("its own figures", || {
        let own = page(gateway, "sort=rate&own=true");
        (requests_of(&own, route)? == requests).then_some(())
    });
}

/// A page of routes with their figures. The window is longer than a test takes.
fn page(gateway: &Gateway, query: &str) -> Value {
    gateway.admin_json(&format!("/api/v1/routes?figures=true&window=5m&{query}"))
}

fn names(page: &Value) -> Vec<&str> {
    let routes = page["routes"].as_array().unwrap().iter();
    routes.map(|row| row["name"].as_str().unwrap()).collect()
}

fn figures<'p>(page: &'p Value, route: &str) -> Option<&'p Value> {
    let mut rows = page["routes"].as_array()?.iter();
    let row = rows.find(|row| row["name"] == route)?;
    Some(&row["figures"])
}

fn requests_of(page: &Value, route: &str) -> Option<u64> {
    figures(page, route)?["requests"].as_u64()
}

/// Waits for a page of all instances in which a route has so many requests.
fn wait_for_page(gateway: &Gateway, query: &str, route: &str, requests: u64) -> Value {
    wait_for("the figures of all", || {
        let all = page(gateway, query);
        (requests_of(&all, route) == Some(requests)).then_some(all)
    })
}

#[test]
fn routes_are_ranked_by_the_requests_of_all_instances() {
    let (_one, _refusing, config) = three_routes();
    let etcd = Etcd::with(config);
    let (one, two) = two(&etcd);
    send(&one, "items", 5);
    send(&one, "users", 3);
    send(&two, "users", 4);
    for gateway in [&one, &two] {
        // A leader that stands still for a second is not waited for.
        let all = wait_for("the answer of the leader", || {
            let all = wait_for_page(gateway, "sort=rate", "users", 7);
            all["direct"].is_null().then_some(all)
        });
        assert_eq!(names(&all)[..2], ["users", "items"], "{all}");
        assert_eq!(requests_of(&all, "items"), Some(5));
        assert_eq!((&all["instances"], &all["missing"]), (&json!(2), &Value::Null));
        let slow = wait_for_page(gateway, "sort=p99", "users", 7);
        assert!(figures(&slow, "users").unwrap()["p99_ms"].is_number(), "{slow}");
        // In the order of the config, too.
        let listed = wait_for_page(gateway, "sort=config", "users", 7);
        assert_eq!(names(&listed), ["items", "broken", "users"]);
        assert_eq!(requests_of(&listed, "broken"), Some(0));
    }
    // The order of an instance is another one.
    let own = page(&one, "sort=rate&own=true");
    assert_eq!(
        (&names(&own)[..2], &own["instances"]),
        (&["items", "users"][..], &Value::Null)
    );
}

#[test]
fn failures_of_another_instance_are_found() {
    let (_one, _refusing, config) = three_routes();
    let etcd = Etcd::with(config);
    let (one, two) = two(&etcd);
    send(&one, "users", 1);
    send(&two, "broken", 6);
    let failing = wait_for_page(&one, "sort=failures&search=failing", "broken", 6);
    assert_eq!(
        (names(&failing), &failing["matching"]),
        (vec!["broken"], &json!(1))
    );
    let of_broken = figures(&failing, "broken").unwrap();
    assert_eq!(
        (&of_broken["failures"], &of_broken["failure_share"]),
        (&json!(6), &json!(1.0))
    );
    // So is the reason, with the instance.
    let (id, _) = ids(&two);
    let health = &failing["routes"][0]["health"];
    let message = health["message"].as_str().unwrap_or_default();
    assert!(
        message.contains(&format!("(at 1 of 2 instances: {id})")),
        "{message}"
    );
    assert_eq!(page(&one, "search=failing&own=true")["matching"], 0);
}

#[test]
fn health_is_the_worst_of_all_instances_and_names_them() {
    let (_one, _refusing, config) = three_routes();
    let etcd = Etcd::with(config);
    let (one, two) = two(&etcd);
    wait_for("a healthy fleet", || {
        let well = one.admin_json("/api/v1/fleet/health");
        ((&well["word"], &well["instances"]) == (&json!("healthy"), &json!(2))).then_some(())
    });
    send(&two, "broken", 6);
    let (id, _) = ids(&two);
    for gateway in [&one, &two] {
        let health = wait_for("the failures", || {
            let health = gateway.admin_json("/api/v1/fleet/health");
            let is_route = |reason: &Value| reason["name"] == "broken";
            let is_told = health["reasons"].as_array()?.iter().any(is_route);
            (is_told && health["word"] == "failing").then_some(health)
        });
        let reasons = health["reasons"].as_array().unwrap();
        let reason = reasons.iter().find(|reason| reason["kind"] == "route");
        let message = reason.unwrap()["message"].as_str().unwrap();
        assert!(
            message.starts_with("route `broken`: 6 of 6 requests failed")
                && message.ends_with(&format!("(at 1 of 2 instances: {id})")),
            "{message}"
        );
    }
    assert_eq!(one.admin_json("/api/v1/fleet/health?own=true")["word"], "healthy");
}

#[test]
fn instance_that_does_not_answer_is_named_in_rankings_and_health() {
    let (_one, _refusing, config) = three_routes();
    let etcd = Etcd::with(config);
    let (one, two) = two(&etcd);
    send(&one, "users", 3);
    send(&two, "users", 4);
    let (gone, _) = ids(&two);
    two.signal(Signal::STOP);
    let without = wait_for_page(&one, "sort=rate", "users", 3);
    assert_eq!(
        (&without["instances"], &without["missing"]),
        (&json!(1), &json!([gone]))
    );
    let health = wait_for("the word", || {
        let health = one.admin_json("/api/v1/fleet/health");
        (health["word"] == "attention").then_some(health)
    });
    assert_eq!(health["missing"], json!([gone]));
    assert_eq!(
        health["reasons"][0]["message"],
        format!("1 of 2 instances does not answer, so the health of it is not known: {gone}")
    );
    two.signal(Signal::CONT);
    wait_for_page(&one, "sort=rate", "users", 7);
}

#[test]
fn figures_without_a_leader_are_those_that_each_answers() {
    let (_one, _refusing, config) = three_routes();
    let etcd = Etcd::with(config);
    let (mut one, two) = two(&etcd);
    send(&one, "users", 3);
    send(&two, "users", 4);
    let (gone, _) = ids(&one);
    one.kill();
    let direct = wait_for_page(&two, "sort=rate", "users", 4);
    assert_eq!(
        (&direct["missing"], &direct["direct"]),
        (&json!([gone]), &json!(true))
    );
}

#[test]
fn gateway_alone_has_no_figures_of_a_fleet() {
    let a = named("a");
    let gateway = Gateway::with(Config::new().service(&a, "").route("name: users, to: a"));
    let page = page(&gateway, "sort=rate");
    assert_eq!((names(&page), &page["instances"]), (vec!["users"], &Value::Null));
    for path in ["fleet/health", "fleet/lately"] {
        assert_eq!(
            gateway.admin("GET", &format!("/api/v1/{path}"), "", "").status(),
            404
        );
    }
}
