//! Keys and values that no instance has written.

use super::*;

/// The name of a key that would colour a terminal.
const COLOURED: &str = "\u{1b}[31mred";

/// Puts keys. Those of instances have a lease.
fn put(etcd: &Etcd, pairs: impl Iterator<Item = (String, Vec<u8>)>) {
    let lease = etcd.client.grant(Duration::from_secs(10), None);
    let lease = etcd.runtime.block_on(lease).unwrap().id;
    let mut pairs = pairs.peekable();
    while pairs.peek().is_some() {
        let some = pairs.by_ref().take(100);
        let txn = some.fold(Txn::new(), |txn, (rest, value)| {
            let put = Put::new(format!("{PREFIX}/{rest}"), value);
            txn.then(match rest.starts_with("instances/") {
                true => put.with_lease(lease),
                false => put,
            })
        });
        assert!(etcd.runtime.block_on(etcd.client.txn(&txn)).unwrap().succeeded);
    }
}

/// Asserts that no terminal would obey a text.
fn assert_plain(text: &str) {
    let obeyed = text.chars().find(|char| char.is_control() && *char != '\n');
    assert_eq!(obeyed, None, "{text:?}");
}

#[test]
fn garbage_is_named_in_plain_text_and_changes_nothing() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let one = etcd.instance();
    wait_for_revision(&one, 1);
    assert_eq!(dial_to_b(&one).status(), 200);
    let folders = [
        "dials",
        "endpoints/s",
        "rollouts",
        "instances",
        "leader",
        "revisions",
        "texts",
        "certificates",
    ];
    let instance = format!(
        r#"{{"version":"1","started":"2026-01-01T00:00:00Z","errors":[{{"why":"{}"}}]}}"#,
        "\\u001b[31mno".repeat(500)
    );
    put(
        &etcd,
        folders
            .iter()
            .map(|folder| (format!("{folder}/{COLOURED}"), b"{}".to_vec())),
    );
    put(
        &etcd,
        [
            ("canary".to_owned(), COLOURED.as_bytes().to_vec()),
            ("leader/0".to_owned(), COLOURED.as_bytes().to_vec()),
            ("dials/orders".to_owned(), vec![b'['; 1 << 20]),
            ("instances/evil".to_owned(), instance.into_bytes()),
            (
                "revisions/99".to_owned(),
                format!("{{\"{COLOURED}\":1}}").into_bytes(),
            ),
            ("config/large.yaml".to_owned(), b"@parts x 7".to_vec()),
        ]
        .into_iter(),
    );
    let shown = wait_for("all of it", || {
        let shown = one.command(&["fleet"]);
        let (code, shown) = (shown.code, shown.stdout);
        let has = |key: &str| shown.contains(&format!("`{PREFIX}/{key}`"));
        let keys = [
            "canary",
            "leader/0",
            "dials/orders",
            "revisions/99",
            "config/large.yaml",
        ];
        (code == 1
            && keys.iter().all(|key| has(key))
            && has("instances/\\u{1b}[31mred")
            && shown.contains("evil: \\u{1b}[31mno"))
        .then_some(shown)
    });
    assert_plain(&shown);
    let status = one.command(&["status"]).expect(1).stdout;
    assert_plain(&status);
    for line in one.said() {
        assert_plain(&line);
    }
    assert_eq!((body(&one), revision(&one)), ("b".to_owned(), 1));
    // Nor at a start.
    let one = one.restarted();
    wait_for_body(&one, "b");
}

#[test]
fn ten_thousand_instances_are_shown() {
    let a = named("a");
    let etcd = Etcd::with(Config::new().all_to(&a));
    let one = etcd.instance();
    wait_for_revision(&one, 1);
    let record = br#"{"version":"1","started":"2026-01-01T00:00:00Z","healthy":true}"#;
    put(
        &etcd,
        (0..10_000).map(|number| (format!("instances/i{number}"), record.to_vec())),
    );
    wait_for("all instances", || {
        let fleet = one.admin_json("/api/v1/fleet");
        (fleet["instances"].as_array()?.len() == 10_001).then_some(())
    });
    assert_eq!(body(&one), "a");
}

#[test]
fn instance_or_candidate_without_a_lease_is_none_and_is_named() {
    let a = named("a");
    let etcd = Etcd::with(Config::new().all_to(&a));
    // Older than any candidate of an instance.
    etcd.put_key("leader/0", "other");
    etcd.put_key(
        "instances/other",
        r#"{"version":"1","started":"2026-01-01T00:00:00Z","healthy":true}"#,
    );
    let one = etcd.instance();
    wait_for("the lead", || leads(&one).then_some(()));
    wait_for_revision(&one, 1);
    wait_for_quiet(&one);
    let shown = one.command(&["fleet"]).expect(1).stdout;
    for key in ["leader/0", "instances/other"] {
        let told = format!("`{PREFIX}/{key}`: it is under no lease");
        assert!(shown.contains(&told), "{shown}");
    }
    let fleet = one.admin_json("/api/v1/fleet");
    assert_eq!(fleet["instances"].as_array().unwrap().len(), 1, "{fleet}");
}
