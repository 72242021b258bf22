//! Certificates of authorities that cannot be reached. Those of one that can are in tests/acme.

use std::net::TcpListener;

use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::tls::{Authority, Trusting};
use crate::support::wait_for;

#[test]
fn authority_that_is_away_leaves_a_self_signed_certificate_and_a_red_status() {
    // Every connection is closed.
    let away = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = format!("https://{}/directory", away.local_addr().unwrap());
    std::thread::spawn(move || away.incoming().for_each(drop));
    let tls =
        format!("tls: {{ certificates: [{{ acme: {{ directory: \"{directory}\", hosts: [a.test] }} }}] }}");
    let gateway = Gateway::with_test_clock(Config::listening(&[&tls]).all_respond("hello"));
    let order = |state: &str, failures: u64| {
        wait_for(&format!("`{state}` after {failures} failures"), || {
            let order = gateway.admin_json("/api/v1/status")["orders"][0].take();
            (order["state"] == state && order["failures"] == failures).then_some(order)
        })
    };
    let first = order("failing", 1);
    assert!(
        first["error"]
            .as_str()
            .unwrap()
            .contains("the authority cannot be asked: no TLS with `127.0.0.1`")
    );
    let status = gateway.command(&["status"]).expect(1);
    assert!(
        status
            .stdout
            .contains("orders of a certificate for a.test fail since"),
        "{}",
        status.stdout
    );
    assert!(
        status.stdout.contains("there is none yet; the next order is at"),
        "{}",
        status.stdout
    );
    let said = gateway.wait_for_part("no certificate for a.test");
    assert!(
        said.starts_with("waypost: ") && said.contains("the next order is at"),
        "{said}"
    );
    let reasons = gateway.admin_json("/api/v1/status")["reasons"].to_string();
    assert!(reasons.contains("\"order\""), "{reasons}");
    let client = Trusting::new(&Authority::new()).without_verifying();
    let mut connection = client.connect(gateway.address(), "a.test");
    let shown = connection.shown();
    assert_eq!(connection.get("a.test", "/").text(), "hello");

    // The waits grow, also across a restart.
    gateway.pass(80);
    let second = order("failing", 2);
    assert_eq!(second["failing_since"], first["failing_since"]);
    let gateway = gateway.restarted();
    let again = wait_for("the failures of before", || {
        let order = gateway.admin_json("/api/v1/status")["orders"][0].take();
        (order["state"] == "failing").then_some(order)
    });
    assert_eq!(again["failures"], 2);
    assert_eq!(again["failing_since"], first["failing_since"]);
    assert_ne!(
        client.connect(gateway.address(), "a.test").shown(),
        shown,
        "it is made anew"
    );
}

#[test]
fn wait_that_the_authority_asks_for_is_kept_by_all_certificates_of_the_account() {
    let authority = Authority::new();
    let own = authority.issue(&["127.0.0.1"]);
    let tls = "tls: { certificates: [{ cert: 1.crt, key: 1.key }] }";
    // An authority that creates no accounts for now.
    let nonce = "replay-nonce: abcd";
    let refusal = r#"{{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many accounts"}}"#;
    let refused =
        format!("respond: {{ status: 429, content_type: application/problem+json, body: '{refusal}' }}");
    let api = Gateway::under_tls(
        &[&own],
        &[],
        Config::listening(&[tls])
            .route(&format!(
                "name: nonce, match: {{ path: /nonce }}, respond: {{ status: 200 }}, response_headers: {{ set: {{ {nonce} }} }}"
            ))
            .route(&format!(
                "name: account, match: {{ path: /account }}, {refused}, response_headers: {{ set: {{ {nonce}, retry-after: '7200' }} }}"
            )),
    );
    let at = |path: &str| format!("https://{}/{path}", api.address());
    let (nonce, account, order) = (at("nonce"), at("account"), at("order"));
    let resources = format!(r#"{{{{"newNonce":"{nonce}","newAccount":"{account}","newOrder":"{order}"}}}}"#);
    let directory = Gateway::under_tls(
        &[&own],
        &[],
        Config::listening(&[tls]).route(&format!(
            "name: all, respond: {{ status: 200, content_type: application/json, body: '{resources}' }}"
        )),
    );
    let directory = format!("https://{}/", directory.address());
    let certificates = ["a.test", "b.test"]
        .map(|host| format!("{{ acme: {{ directory: \"{directory}\", ca: ca.pem, hosts: [{host}] }} }}"));
    let tls = format!("tls: {{ certificates: [{}] }}", certificates.join(", "));
    let files = [("ca.pem", authority.pem())];
    let gateway = Gateway::beside(&files, Config::listening(&[&tls]).all_respond("hello"));

    let orders = wait_for("one order that failed, and one that waits", || {
        let status = gateway.admin_json("/api/v1/status");
        let mut orders = status["orders"].as_array()?.clone();
        orders.sort_by_key(|order| order["failures"].as_u64());
        let is_over = orders[0]["state"] == "waiting" && orders[1]["state"] == "failing";
        (is_over && orders[0]["next"].is_string()).then_some(orders)
    });
    let error = orders[1]["error"].as_str().unwrap();
    assert!(error.contains("too many accounts (rateLimited)"), "{error}");
    assert_eq!(
        (&orders[0]["failures"], &orders[1]["failures"]),
        (&0.into(), &1.into())
    );
    let metrics = gateway.metrics();
    assert!(
        metrics.contains("waypost_acme_orders_total{result=\"failed\"} 1"),
        "{metrics}"
    );
    let next =
        |order: &serde_json::Value| -> jiff::Timestamp { order["next"].as_str().unwrap().parse().unwrap() };
    let apart = next(&orders[1]).duration_since(next(&orders[0]));
    assert!(apart.abs() <= jiff::SignedDuration::from_mins(1), "{orders:?}");
}
