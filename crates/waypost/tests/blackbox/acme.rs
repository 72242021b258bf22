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
