//! Instances come back by themselves once the cause of a trouble has gone.

use std::net::TcpListener;

use super::*;

/// A fleet's only instance, and the port that it may not have.
fn instance_beside_a_port(etcd: &Etcd) -> (Gateway, TcpListener) {
    let one = etcd.instance();
    wait_for_quiet(&one);
    (one, TcpListener::bind("127.0.0.1:0").unwrap())
}

#[test]
fn config_is_obeyed_by_itself_once_its_port_is_free() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(Config::new().all_to(&a));
    let (one, taken) = instance_beside_a_port(&etcd);
    let port = taken.local_addr().unwrap();
    etcd.put("routes.yaml", Config::at(port).all_to(&b));
    one.wait_for_part("it is tried again by itself");
    let status = one.command(&["status"]).expect(1).stdout;
    assert!(status.contains("it is tried again by itself"), "{status}");
    assert_eq!(body(&one), "a");

    drop(taken);
    wait_for_revision(&one, 2);
    assert_eq!(
        crate::support::client::Client::connect(port)
            .get("http://a/")
            .text(),
        "b"
    );
    wait_for("a green status", || {
        (one.admin_json("/api/v1/status")["ok"] == true).then_some(())
    });
    let said = one.said();
    let refusals = said.iter().filter(|line| line.contains("the change is refused"));
    assert_eq!(refusals.count(), 1, "{said:#?}");
}

#[test]
fn config_is_obeyed_by_itself_once_its_file_is_there() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(Config::new().all_to(&a));
    let one = etcd.instance();
    wait_for_quiet(&one);
    let page = "errors: [{ status: 503, file: missing.html }]";
    etcd.put("routes.yaml", Config::new().all_to(&b).key(page));
    one.wait_for_part("the change is refused; it is tried again by itself");
    assert_eq!(body(&one), "a");
    one.place("missing.html", "nothing here");
    wait_for_body(&one, "b");
}

#[test]
fn instance_that_cannot_obey_names_the_way_out() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let (one, taken) = instance_beside_a_port(&etcd);
    etcd.put(
        "routes.yaml",
        Config::at(taken.local_addr().unwrap())
            .service(&a, "")
            .service(&b, "")
            .route("name: users, to: { a: 100, b: 0 }"),
    );
    one.wait_for_part("cannot listen on");
    // It is good, so the leader makes its revision.
    wait_for("revision 2", || {
        etcd.keys("revisions").contains(&"2".to_owned()).then_some(())
    });
    let refused = wait_for("a refusal", || {
        let dialed = dial_to_b(&one);
        (dialed.status() == 409).then_some(dialed)
    });
    let way = "go back to revision 1 by `waypost rollback 1`";
    assert!(refused.text().contains(way), "{}", refused.text());
    one.command(&["rollback", "1"]).expect(0);
    wait_for("a green status", || {
        (one.admin_json("/api/v1/status")["ok"] == true).then_some(())
    });
    assert_eq!(dial_to_b(&one).status(), 200);
}

#[test]
fn dial_is_obeyed_by_all_while_a_text_is_bad() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let (one, two) = (etcd.instance(), etcd.instance());
    wait_for_quiet(&one);
    wait_for_revision(&two, 1);
    etcd.put("other.yaml", "routes: [{ nam: x }]\n");
    for gateway in [&one, &two] {
        gateway.wait_for_part("the change is refused");
    }
    let dialed = one.command(&["dial", "users", "b=100", "--wait"]).expect(0);
    assert!(
        dialed.stderr.contains("obeyed by 2 instances"),
        "{}",
        dialed.stderr
    );
    for gateway in [&one, &two] {
        assert_eq!(body(gateway), "b");
    }
    // The fleet needs attention all the same.
    one.command(&["fleet"]).expect(1);
}
