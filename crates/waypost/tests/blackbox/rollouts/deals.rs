//! Rollouts of the routes of a deal, which are turned together.

use serde_json::json;

use super::{Version, burst, judged, live, start, started, status, wait_for_count};
use crate::support::config::Config;
use crate::support::gateway::Gateway;

/// Requests of a burst on each route.
const BURST: usize = 40;

/// Two routes of a deal, each with two versions.
struct Deal {
    gateway: Gateway,
    versions: [Version; 4],
    bursts: usize,
}

impl Deal {
    fn new(plan: &str) -> Self {
        let versions = ["users-v1", "users-v2", "cart-v1", "cart-v2"].map(Version::new);
        let gateway = Gateway::with_test_clock(config(&versions, plan, true));
        Self {
            gateway,
            versions,
            bursts: 0,
        }
    }

    fn live(&self) -> [Vec<u64>; 2] {
        ["users", "cart"].map(|route| live(&self.gateway, route))
    }

    /// Sends a burst on both routes, and lets a second pass.
    fn second(&mut self) {
        self.bursts += 1;
        for route in ["users", "cart"] {
            burst(&self.gateway, &format!("/{route}"), BURST);
            wait_for_count(&self.gateway, route, self.bursts * BURST);
        }
        self.gateway.pass(1);
    }

    fn second_until(&mut self, state: &str, most: usize) {
        for _ in 0..most {
            self.second();
            if status(&self.gateway, "cart")["state"] == state {
                return;
            }
        }
        panic!(
            "not {state} after {most} seconds: {}",
            status(&self.gateway, "users")
        );
    }
}

fn config(versions: &[Version; 4], plan: &str, has_cart: bool) -> Config {
    let mut config = Config::new().key(&format!("rollouts: {{ plan: {{ {plan} }} }}"));
    for version in versions {
        config = config.service(&version.service, "");
    }
    // Requests without the header roll one by one.
    let route = |name: &str| {
        format!(
            "name: {name}, match: {{ path: /{name} }}, to: {{ {name}-v1: 100, {name}-v2: 0 }}, rollout: plan, \
             sticky: {{ header: x-user, deal: spring }}"
        )
    };
    config = config.route(&route("users"));
    match has_cart {
        true => config.route(&route("cart")),
        false => config.route("name: cart, match: { path: /cart }, to: { cart-v1: 1, cart-v2: 0 }"),
    }
}

#[test]
fn good_version_goes_all_the_way_on_all_routes() {
    let mut deal = Deal::new(&judged("[50, 100]"));
    let view = started(&deal.gateway, "cart", &json!({ "to": "users-v2" }));
    assert_eq!(
        json!([view["routes"], view["deal"], view["canary"], view["percent"]]),
        json!([["cart", "users"], "spring", "cart-v2", 50.0])
    );
    assert_eq!(status(&deal.gateway, "users")["canary"], "users-v2");
    assert_eq!(deal.live(), [[50, 50], [50, 50]]);
    deal.second_until("finished", 40);
    assert_eq!(deal.live(), [[0, 100], [0, 100]]);
    let history = |route: &str| {
        deal.gateway
            .admin_json(&format!("/api/v1/routes/{route}/rollout/history"))
    };
    assert_eq!(history("users"), history("cart"));
    assert_eq!(history("users")[0]["change"], "finished");
}

#[test]
fn damage_on_one_route_rolls_back_all() {
    // The requests of the other route speak for the canary, the more the wider the margin is.
    let mut deal = Deal::new(&judged("[50, 100]").replace("plus: 20", "plus: 1"));
    started(&deal.gateway, "users", &json!({ "to": "users-v2" }));
    deal.versions[3].set_broken(true);
    deal.second_until("rolled_back", 20);
    assert_eq!(deal.live(), [[100, 0], [100, 0]]);
    let metrics = deal.gateway.metrics();
    for route in ["users", "cart"] {
        let line = format!("waypost_rollout_verdicts_total{{route=\"{route}\",verdict=\"rolled_back\"}} 1");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
}

#[test]
fn every_route_of_the_deal_stands_for_the_rollout() {
    let mut deal = Deal::new(&judged("[50, 75, 100]"));
    started(&deal.gateway, "users", &json!({ "to": "cart-v2" }));
    let gateway = &deal.gateway;
    let again = start(gateway, "cart", &json!({ "to": "cart-v2" }));
    assert_eq!(again.status(), 409, "{}", again.text());
    gateway.command(&["dial", "cart", "cart-v1=1"]).expect(1);
    gateway
        .command(&["dial", "--deal", "spring", "cart-v1=1"])
        .expect(1);
    gateway.command(&["rollout", "promote", "cart"]).expect(0);
    assert_eq!(deal.live(), [[25, 75], [25, 75]]);
    deal.gateway = deal.gateway.restarted();
    assert_eq!(deal.live(), [[25, 75], [25, 75]]);
    assert_eq!(status(&deal.gateway, "cart")["percent"], 75.0);
    deal.gateway.command(&["rollout", "abort", "cart"]).expect(0);
    assert_eq!(deal.live(), [[100, 0], [100, 0]]);
    // The route of the last start leads; its history goes on.
    started(&deal.gateway, "cart", &json!({ "to": "cart-v2" }));
    let history = deal.gateway.admin_json("/api/v1/routes/users/rollout/history");
    let changes: Vec<&str> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["change"].as_str().unwrap())
        .collect();
    assert_eq!(changes, ["step", "started", "aborted", "step", "step", "started"]);
    deal.gateway
        .command(&["dial", "users", "users-v1=1", "users-v2=1", "--force"])
        .expect(0);
    assert_eq!(deal.live(), [[1, 1], [100, 0]]);
}

#[test]
fn other_routes_in_the_deal_hold_the_rollout() {
    let deal = Deal::new(&judged("[50, 75, 100]"));
    started(&deal.gateway, "users", &json!({ "to": "users-v2" }));
    deal.gateway
        .replace(config(&deal.versions, &judged("[50, 75, 100]"), false));
    deal.gateway.wait_for_part("other routes belong to its deal");
    assert_eq!(status(&deal.gateway, "users")["state"], "paused");
    deal.gateway.command(&["rollout", "resume", "users"]).expect(1);
    deal.gateway.command(&["rollout", "abort", "users"]).expect(0);
    assert_eq!(live(&deal.gateway, "users"), [100, 0]);
}

#[test]
fn splits_that_differ_have_no_rollout() {
    let versions = ["users-v1", "users-v2", "cart-v1", "cart-v2"].map(Version::new);
    let mut config = Config::new();
    for version in &versions {
        config = config.service(&version.service, "");
    }
    let sticky = "sticky: { client_ip: true, deal: d }";
    let gateway = Gateway::with_test_clock(
        config
            .route(&format!(
                "name: users, match: {{ path: /users }}, to: {{ users-v1: 1, users-v2: 0 }}, {sticky}"
            ))
            .route(&format!(
                "name: cart, match: {{ path: /cart }}, to: {{ cart-v1: 1, cart-v2: 0, users-v1: 0 }}, {sticky}"
            )),
    );
    let refused = start(
        &gateway,
        "users",
        &json!({ "to": "users-v2", "steps": [50, 100] }),
    );
    assert_eq!(refused.status(), 422);
    assert!(refused.text().contains("2 and 3 services"), "{}", refused.text());
}

#[test]
fn changed_weights_of_a_deal_are_gone_to_in_steps() {
    let plan = format!("{}, on_change: true", judged("[25, 50, 100]"));
    let deal = Deal::new(&plan);
    let edit = |users: &str, cart: &str, revision| {
        let text = config(&deal.versions, &plan, true);
        let text: &str = text.as_ref();
        let text = text
            .replace("users-v1: 100, users-v2: 0", users)
            .replace("cart-v1: 100, cart-v2: 0", cart);
        deal.gateway.replace(text);
        deal.gateway.wait_for_revision(revision);
    };
    let [old_users, new_users] = ["users-v1: 100, users-v2: 0", "users-v1: 0, users-v2: 100"];
    let [old_cart, new_cart] = ["cart-v1: 100, cart-v2: 0", "cart-v1: 0, cart-v2: 100"];
    edit(new_users, new_cart, 2);
    assert_eq!(deal.live(), [[75, 25], [75, 25]]);
    // One route alone goes back: nothing is turned up for it.
    edit(old_users, new_cart, 3);
    assert_eq!(deal.live(), [[75, 25], [75, 25]]);
    assert_eq!(status(&deal.gateway, "cart")["state"], "paused");
    edit(old_users, old_cart, 4);
    assert_eq!(deal.live(), [[100, 0], [100, 0]]);
    // A route that is changed alone goes its way alone.
    edit(new_users, old_cart, 5);
    assert_eq!(deal.live(), [[75, 25], [100, 0]]);
}
