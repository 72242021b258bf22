//! Certificates that a fleet shares in etcd, sealed.

use super::*;

/// A key that certificates are sealed with.
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// A config with a certificate from an authority that does not answer.
fn config() -> String {
    "listeners:
- bind: 127.0.0.1:0
  tls: { certificates: [{ acme: { directory: \"https://127.0.0.1:1/dir\", hosts: [a.test] } }] }
routes: [{ name: all, respond: { status: 200, body: hello } }]
"
    .to_owned()
}

/// An instance with this text in the file of its key.
fn instance_with_key(etcd: &Etcd, key: &str) -> Gateway {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("local.yaml");
    std::fs::write(directory.path().join("seal"), key).unwrap();
    let local = etcd.local().replace("prefix:", "certificates_key: seal, prefix:");
    std::fs::write(&path, local).unwrap();
    Gateway::run(directory, path, &[])
}

#[test]
fn config_with_acme_is_refused_by_an_instance_without_the_key_alone() {
    let a = named("a");
    let etcd = Etcd::with(Config::new().all_to(&a));
    let with = instance_with_key(&etcd, &format!("{KEY}\n"));
    let without = etcd.instance();
    wait_for_revision(&with, 1);
    wait_for_revision(&without, 1);
    let refused = without.admin("PUT", "/api/v1/config", YAML, &config());
    assert_eq!(refused.status(), 409, "{}", refused.text());
    let text = refused.text();
    assert!(
        text.contains("sealed with a key that this instance does not have")
            && text.contains("`certificates_key` beside the endpoints of etcd"),
        "{text}"
    );
    let applied = with.admin("PUT", "/api/v1/config", YAML, &config());
    assert_eq!(applied.status(), 200, "{}", applied.text());
    wait_for("the refusal", || {
        without.admin_json("/api/v1/status")["failed_load"]
            .is_object()
            .then_some(())
    });
    assert_eq!(body(&without), "a");
    wait_for("the lead", || leads(&with).then_some(()));
}

#[test]
fn what_the_key_does_not_open_is_named() {
    let a = named("a");
    let etcd = Etcd::with(Config::new().all_to(&a));
    let one = instance_with_key(&etcd, KEY);
    wait_for_revision(&one, 1);
    etcd.put_key(
        "certificates/x.pair",
        "{\"fence\":1,\"sealed\":\"AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHw==\"}",
    );
    let key = format!("`{PREFIX}/certificates/x.pair`: `certificates_key` does not open it");
    one.wait_for_part(&key);
    for command in ["status", "fleet"] {
        let shown = wait_for("the trouble", || {
            let shown = one.command(&[command]);
            shown.stdout.contains(&key).then_some(shown)
        });
        shown.expect(1);
    }
    etcd.runtime
        .block_on(etcd.client.delete(&Delete::new(KeyRange::key(format!(
            "{PREFIX}/certificates/x.pair"
        )))))
        .unwrap();
    wait_for("a green status", || {
        (one.admin_json("/api/v1/status")["ok"] == true).then_some(())
    });
}

#[test]
fn key_that_is_none_is_refused_at_the_start_and_by_check() {
    let etcd = Etcd::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("local.yaml");
    std::fs::write(directory.path().join("seal"), "secret\n").unwrap();
    let local = etcd.local().replace("prefix:", "certificates_key: seal, prefix:");
    std::fs::write(&path, local).unwrap();
    for command in ["run", "check"] {
        let refused = crate::support::command::waypost_in(directory.path(), &[command, "local.yaml"]);
        let told = format!("{}{}", refused.stdout, refused.stderr);
        assert!(
            told.contains("it is not 32 bytes in base64 on one line"),
            "{told}"
        );
        assert!(told.contains("openssl rand -base64 32"), "{told}");
    }
}
