//! Roles in etcd that forbid something.

use waypost_etcd::auth::{Permission, PermissionKind};
use waypost_etcd::options::User;

use super::*;

/// A fleet whose instances may write these folders, or keys, and read all.
pub(super) fn instance_that_may_write(etcd: &Etcd, folders: &[&str]) -> Gateway {
    allow(etcd, folders);
    instance_with(etcd, "waypost-password")
}

/// Lets a user write these folders, and read all.
fn allow(etcd: &Etcd, folders: &[&str]) {
    allow_reading(etcd, "", folders);
}

/// Lets a user write these folders, and read what begins so below the prefix.
fn allow_reading(etcd: &Etcd, readable: &str, folders: &[&str]) {
    let user = |name: &str| User {
        name: name.to_owned(),
        password: format!("{name}-password"),
    };
    etcd.runtime.block_on(async {
        let client = &etcd.client;
        for name in ["root", "waypost"] {
            client.add_user(&user(name)).await.unwrap();
            client.add_role(name).await.unwrap();
            client.grant_role(name, name).await.unwrap();
        }
        let mut permissions = vec![(PermissionKind::Read, format!("{PREFIX}/{readable}"))];
        let folders = folders.iter().map(|folder| format!("{PREFIX}/{folder}"));
        permissions.extend(folders.map(|folder| (PermissionKind::ReadWrite, folder)));
        for (kind, folder) in permissions {
            let keys = KeyRange::prefix(folder);
            client
                .grant_permission("waypost", &Permission { kind, keys })
                .await
                .unwrap();
        }
        client.enable_auth().await.unwrap();
    });
}

/// An instance with that user, and a password.
fn instance_with(etcd: &Etcd, password: &str) -> Gateway {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("local.yaml");
    std::fs::write(directory.path().join("user"), format!("waypost:{password}\n")).unwrap();
    let local = etcd.local().replace("prefix:", "user_file: user, prefix:");
    std::fs::write(&path, local).unwrap();
    Gateway::run(directory, path, &[])
}

#[test]
fn missing_permission_for_the_own_key_makes_the_status_red_and_nothing_else() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let one = instance_that_may_write(&etcd, &["config", "revisions", "dials", "leader"]);
    let denied = one.wait_for_part("etcd: permission denied: write ");
    assert!(denied.contains(&format!("write {PREFIX}/instances/")), "{denied}");
    wait_for_body(&one, "a");
    assert_eq!(dial_to_b(&one).status(), 200);
    assert_eq!(body(&one), "b");
    let status = one.command(&["status"]).expect(1).stdout;
    assert!(
        status.contains(&format!("etcd: permission denied: write {PREFIX}/instances/")),
        "{status}"
    );
    let status = one.admin_json("/api/v1/status");
    assert_eq!(
        (&status["ok"], &status["fleet"]["available"]),
        (&json!(false), &json!(true))
    );
}

#[test]
fn missing_permission_to_read_is_named_and_refuses_changes() {
    let (a, b) = (named("a"), named("b"));
    let config = split(&a, &b);
    let etcd = Etcd::with(&config);
    allow_reading(&etcd, "config/", &[]);
    let one = instance_with(&etcd, "waypost-password");
    let denied = format!("etcd: permission denied: read {PREFIX}/");
    let said = one.wait_for_part("etcd: permission denied: read ");
    assert!(said.contains(&denied), "{said}");
    let refused = one.admin("PUT", "/api/v1/config", YAML, config.as_ref());
    assert_eq!(refused.status(), 403, "{}", refused.text());
    assert!(refused.text().contains(&denied), "{}", refused.text());
    let status = one.command(&["status"]).expect(1).stdout;
    assert!(status.contains("permission denied: read "), "{status}");
}

#[test]
fn wrong_password_is_named_and_refuses_changes() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    allow(&etcd, &["config"]);
    let one = instance_with(&etcd, "another-password");
    let away = one.wait_for_part("etcd is away: ");
    assert!(away.contains("etcd does not accept the user"), "{away}");
    let status = one.command(&["status"]).expect(1).stdout;
    assert!(status.contains("etcd does not accept the user"), "{status}");
    let config = split(&a, &b);
    let refused = one.admin("PUT", "/api/v1/config", YAML, config.as_ref());
    assert_eq!(refused.status(), 503, "{}", refused.text());
    assert!(
        refused.text().contains("etcd does not accept the user"),
        "{}",
        refused.text()
    );
}

#[test]
fn changed_password_makes_the_status_red_until_the_file_has_it_too() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let one = instance_that_may_write(&etcd, &["config", "revisions", "dials", "leader", "instances"]);
    wait_for_body(&one, "a");
    etcd.simulated.set_password("waypost", "another-password");
    let refused = dial_to_b(&one);
    assert_eq!(refused.status(), 503, "{}", refused.text());
    for command in ["status", "fleet"] {
        let told = one.command(&[command]).expect(1).stdout;
        assert!(told.contains("etcd does not accept the user"), "{told}");
    }
    assert_eq!(body(&one), "a");
    one.place("user", "waypost:another-password\n");
    one.wait_for("etcd is there");
    wait_for("a dial", || (dial_to_b(&one).status() == 200).then_some(()));
    assert_eq!(body(&one), "b");
}

#[test]
fn missing_permission_for_a_change_is_named() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let one = instance_that_may_write(&etcd, &["revisions", "leader", "instances"]);
    wait_for_body(&one, "a");
    let refused = dial_to_b(&one);
    assert_eq!(refused.status(), 403, "{}", refused.text());
    let denied = format!("etcd: permission denied: write {PREFIX}/dials/users");
    assert!(refused.text().contains(&denied), "{}", refused.text());
    let refused = one.admin("PUT", "/api/v1/config", YAML, Config::new().all_to(&b).as_ref());
    assert_eq!(refused.status(), 403, "{}", refused.text());
    let denied = format!("etcd: permission denied: write {PREFIX}/config/");
    assert!(refused.text().contains(&denied), "{}", refused.text());
    assert_eq!(body(&one), "a");
    one.command(&["status"]).expect(0);
}

#[test]
fn instance_that_cannot_lead_says_why_where_a_leader_is_needed() {
    let (a, b) = (named("a"), named("b"));
    let config = |weights: &str| {
        Config::new().service(&a, "").service(&b, "").route(&format!(
            "name: users, to: {{ {weights} }}, rollout: {{ steps: [10, 100], at_least: 5s, requests: 0, judge: off, on_change: true }}"
        ))
    };
    let etcd = Etcd::with(config("a: 100, b: 0"));
    let one = instance_that_may_write(&etcd, &["config", "revisions", "dials", "rollouts", "instances"]);
    wait_for_body(&one, "a");
    let refused = one.admin("PUT", "/api/v1/config", YAML, config("a: 0, b: 100").as_ref());
    assert_eq!(refused.status(), 503, "{}", refused.text());
    let denied = format!(
        "no instance leads the fleet, and this needs one that does: etcd: permission denied: write {PREFIX}/leader/"
    );
    assert!(refused.text().contains(&denied), "{}", refused.text());
    assert_eq!(body(&one), "a");
}

#[test]
fn revision_that_is_refused_is_told_once_and_not_tried_at_each_look() {
    let a = named("a");
    let etcd = Etcd::with(Config::new().all_to(&a));
    let one = instance_that_may_write(&etcd, &["config", "leader", "instances"]);
    one.wait_for_part("no revision is made of the config in etcd");
    for _ in 0..20 {
        // Each command comes after a look at the fleet.
        assert_eq!(one.admin("GET", "/api/v1/config", "", "").status(), 200);
    }
    let said = one.said();
    let refusals = said.iter().filter(|line| line.contains("no revision is made"));
    assert_eq!(refusals.count(), 1, "{said:#?}");
}
