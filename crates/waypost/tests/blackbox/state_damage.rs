//! Files of the state directory that are not files any more: each is set aside, named on standard error, in `status` and
//! in a metric, and neither keeps the gateway from starting nor from storing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::config::Config;
use crate::support::gateway::Gateway;

/// A gateway with a split and a stored dial of 7 to 1.
fn dialed() -> Gateway {
    let gateway = Gateway::with(
        Config::new()
            .key("services: { a: { endpoints: [] }, b: { endpoints: [] } }")
            .key("routes: [{ name: r, to: { a: 1, b: 1 } }]"),
    );
    assert_eq!(dial(&gateway, 7), 200);
    gateway
}

/// The status of the response to a dial of `weight` to 1.
fn dial(gateway: &Gateway, weight: u64) -> u16 {
    gateway.dial("r", &json!({ "a": weight, "b": 1 })).status()
}

fn live_weight(gateway: &Gateway) -> Value {
    gateway.admin_json("/api/v1/routes/r")["arms"][0]["live"].clone()
}

fn state(gateway: &Gateway) -> PathBuf {
    gateway.directory().join(".waypost")
}

/// Kills the gateway, damages its state, and starts it again.
fn restarted_with(damage: impl FnOnce(&Path)) -> Gateway {
    let mut gateway = dialed();
    gateway.kill();
    damage(&state(&gateway));
    gateway.restarted()
}

/// Replaces the file `name` by a directory with a file in it.
fn directory_for(state: &Path, name: &str) {
    fs::remove_file(state.join(name)).unwrap();
    fs::create_dir(state.join(name)).unwrap();
    fs::write(state.join(name).join("inside"), "kept").unwrap();
}

/// Replaces the file `name` by a symbolic link without a target.
fn broken_link_for(state: &Path, name: &str) {
    fs::remove_file(state.join(name)).unwrap();
    symlink("nowhere", state.join(name)).unwrap();
}

/// Expects one damaged file, `name`, now `now`, wherever damage is reported.
fn expect_damaged(gateway: &Gateway, name: &str, why: &str, now: &str) {
    let (file, now) = (state(gateway).join(name), state(gateway).join(now));
    gateway.wait_for(&format!(
        "waypost: `{}` is damaged: {why}; it is now `{}`",
        file.display(),
        now.display()
    ));
    let status = gateway.admin_json("/api/v1/status");
    assert_eq!(status["ok"], false);
    assert_eq!(status["state"]["troubles"], json!([]));
    assert_eq!(
        status["state"]["damaged"],
        json!([{ "file": file.display().to_string(), "now": now.display().to_string(), "why": why }])
    );
    let metrics = gateway.admin("GET", "/metrics", "", "").text();
    assert!(metrics.contains("\nwaypost_state_damaged_files 1\n"), "{metrics}");
    assert!(fs::symlink_metadata(now).is_ok());
}

/// Expects that a dial is stored, and that the next start finds nothing damaged.
fn expect_mended(gateway: Gateway) {
    assert_eq!(dial(&gateway, 3), 200);
    let gateway = gateway.restarted();
    assert_eq!(live_weight(&gateway), 3);
    assert_eq!(gateway.admin_json("/api/v1/status")["ok"], true);
}

#[test]
fn dials_that_are_a_directory_are_set_aside() {
    let gateway = restarted_with(|state| directory_for(state, "dials.json"));
    expect_damaged(&gateway, "dials.json", "it is a directory", "dials.json.bad");
    assert_eq!(live_weight(&gateway), 1, "the declared one");
    assert_eq!(
        fs::read_to_string(state(&gateway).join("dials.json.bad/inside")).unwrap(),
        "kept"
    );
    expect_mended(gateway);
}

#[test]
fn dials_that_are_a_broken_link_are_set_aside() {
    let gateway = restarted_with(|state| broken_link_for(state, "dials.json"));
    expect_damaged(
        &gateway,
        "dials.json",
        "it is a broken symbolic link",
        "dials.json.bad",
    );
    assert_eq!(live_weight(&gateway), 1, "the declared one");
    expect_mended(gateway);
}

#[test]
fn dials_that_are_not_text_are_set_aside() {
    let gateway = restarted_with(|state| {
        let body = b"\xff\xfe";
        let line = format!("waypost-state 1 {:016x} 2\n", xxhash_rust::xxh3::xxh3_64(body));
        fs::write(state.join("dials.json"), [line.as_bytes(), body].concat()).unwrap();
    });
    gateway.wait_for_part("dials.json` is damaged");
    assert!(state(&gateway).join("dials.json.bad").is_file());
    expect_mended(gateway);
}

#[test]
fn revision_that_is_no_file_is_set_aside_and_its_number_is_not_reused() {
    for (damage, why) in [
        (directory_for as fn(&Path, &str), "it is a directory"),
        (broken_link_for, "it is a broken symbolic link"),
    ] {
        let gateway = restarted_with(|state| damage(state, "revisions/1.revision"));
        expect_damaged(&gateway, "revisions/1.revision", why, "revisions/1.revision.bad");
        assert_eq!(live_weight(&gateway), 7, "dials are another file");
        assert_eq!(gateway.admin_json("/api/v1/revisions")[0]["number"], 2);
        expect_mended(gateway);
    }
}

#[test]
fn revisions_that_are_no_directory_are_set_aside() {
    for (is_link, why) in [
        (false, "it is not a directory"),
        (true, "it is a broken symbolic link"),
    ] {
        let gateway = restarted_with(|state| {
            let revisions = state.join("revisions");
            fs::remove_dir_all(&revisions).unwrap();
            if is_link {
                symlink("nowhere", revisions).unwrap();
            } else {
                fs::write(revisions, "text").unwrap();
            }
        });
        expect_damaged(&gateway, "revisions", why, "revisions.bad");
        assert_eq!(gateway.admin_json("/api/v1/revisions")[0]["number"], 1);
        assert!(state(&gateway).join("revisions/1.revision").is_file());
        expect_mended(gateway);
    }
}

#[test]
fn owner_that_is_no_file_is_set_aside() {
    for (damage, why) in [
        (directory_for as fn(&Path, &str), "it is a directory"),
        (broken_link_for, "it is a broken symbolic link"),
    ] {
        let gateway = restarted_with(|state| damage(state, "config"));
        expect_damaged(&gateway, "config", why, "config.bad");
        assert_eq!(live_weight(&gateway), 7);
        assert!(state(&gateway).join("config").is_file());
        expect_mended(gateway);
    }
}

#[test]
fn what_was_set_aside_before_is_kept() {
    let gateway = restarted_with(|state| {
        directory_for(state, "dials.json");
        fs::write(state.join("dials.json.bad"), "earlier").unwrap();
        fs::create_dir(state.join("dials.json.bad-2")).unwrap();
        fs::write(state.join("dials.json.bad-2/inside"), "later").unwrap();
    });
    expect_damaged(&gateway, "dials.json", "it is a directory", "dials.json.bad-3");
    let text = |name: &str| fs::read_to_string(state(&gateway).join(name)).unwrap();
    assert_eq!(text("dials.json.bad"), "earlier");
    assert_eq!(text("dials.json.bad-2/inside"), "later");
    assert_eq!(text("dials.json.bad-3/inside"), "kept");
    expect_mended(gateway);
}

#[test]
fn journal_that_is_a_directory_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config");
    fs::create_dir(&config).unwrap();
    let text = Config::new()
        .key("admin: { bind: 127.0.0.1:0 }")
        .key("routes: [{ name: r, respond: { status: 200 } }]");
    fs::write(config.join("00.yaml"), text).unwrap();
    fs::create_dir_all(config.join(".waypost-journal/inside")).unwrap();
    let gateway = Gateway::run(directory, config, &[]);
    gateway.wait_for_part(".waypost-journal` is damaged: it is a directory; it is now");
    assert!(gateway.config().join(".waypost-journal.bad/inside").is_dir());
    assert_eq!(gateway.get("http://x/").status(), 200);
}
