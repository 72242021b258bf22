//! Persistent state: after kills, damage and full disks, the gateway starts, serves its config, reports what it found,
//! and has what it acknowledged.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::client::Client;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::{make_fifo, wait_for};

const ADMIN: &str = "admin: { bind: 127.0.0.1:0 }";

/// A gateway with a split, in a directory with its state.
fn gateway() -> Gateway {
    Gateway::verbatim(two_services().route("name: r, to: { a: 1, b: 1 }"))
}

fn two_services() -> Config {
    Config::new()
        .key(ADMIN)
        .service_at("a", &[], "")
        .service_at("b", &[], "")
}

/// A config with an admin API that responds to everything with this body.
fn responding(text: &str) -> Config {
    Config::new().key(ADMIN).all_respond(text)
}

fn state(gateway: &Gateway) -> PathBuf {
    gateway.directory().join(".waypost")
}

fn live_a(gateway: &Gateway) -> u64 {
    gateway.admin_json("/api/v1/routes/r")["arms"][0]["live"]
        .as_u64()
        .unwrap()
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all.sort();
    all
}

#[test]
fn acknowledged_dials_survive_kills() {
    let mut gateway = gateway();
    let mut acknowledged = 1;
    // Each round kills the gateway amid writes.
    for round in 0..10 {
        let address = gateway.admin_address();
        let mut child = gateway;
        let first = acknowledged;
        std::thread::scope(|scope| {
            let writer = scope.spawn(move || {
                let mut acknowledged = first;
                let mut client = Client::connect(address);
                loop {
                    let body = json!({ "a": acknowledged + 1, "b": 1 }).to_string();
                    let request = format!(
                        "PUT /api/v1/routes/r/split HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    match client.try_ask(&request) {
                        Some(response) if response.is_complete && response.status() == 200 => acknowledged += 1,
                        _ => return acknowledged,
                    }
                }
            });
            // This round's dials have started.
            wait_for("the dial", || {
                (live_a(&child) >= first + 10 + round).then_some(())
            });
            child.kill();
            acknowledged = writer.join().unwrap();
        });
        gateway = child.restarted();
        let live = live_a(&gateway);
        // The writer sends one dial at a time, so at most one is under way at the kill. Its file may be in place
        // before the response is sent; then it is live without having been acknowledged. Nothing else may be.
        assert!(
            live == acknowledged || live == acknowledged + 1,
            "{live} is live, {acknowledged} was acknowledged"
        );
        acknowledged = live;
        assert!(
            !gateway.said().iter().any(|line| line.contains("damaged")),
            "{:?}",
            gateway.said()
        );
        let left: Vec<PathBuf> = files(&state(&gateway))
            .into_iter()
            .filter(|file| file.to_string_lossy().contains("unfinished"))
            .collect();
        assert_eq!(left, Vec::<PathBuf>::new(), "unfinished files are removed");
    }
}

#[test]
fn damaged_files_set_aside_and_reported() {
    let fresh = |damage: &dyn Fn(&Path)| {
        let mut gateway = gateway();
        assert_eq!(gateway.dial("r", &json!({ "a": 7, "b": 1 })).status(), 200);
        gateway.kill();
        damage(&state(&gateway));
        gateway.restarted()
    };
    let dials =
        |bytes: &'static [u8]| move |state: &Path| fs::write(state.join("dials.json"), bytes).unwrap();
    for bytes in [&b""[..], b"waypost-state 1", b"{}", b"\0\0\0\0\0\0\n"] {
        let gateway = fresh(&dials(bytes));
        gateway.wait_for_part("dials.json` is damaged");
        assert_eq!(live_a(&gateway), 1, "what the config says");
        assert!(state(&gateway).join("dials.json.bad").is_file());
        let status = gateway.admin_json("/api/v1/status");
        assert_eq!(
            (&status["ok"], status["state"]["damaged"].as_array().map(Vec::len)),
            (&json!(false), Some(1))
        );
        let metrics = gateway.metrics();
        assert!(metrics.contains("\nwaypost_state_damaged_files 1\n"), "{metrics}");
        assert_eq!(gateway.dial("r", &json!({ "a": 3, "b": 1 })).status(), 200);
        let gateway = gateway.restarted();
        assert_eq!(live_a(&gateway), 3);
    }
    let gateway = fresh(&|state| {
        let path = state.join("revisions/1.revision");
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 3;
        bytes[last] ^= 1;
        fs::write(path, bytes).unwrap();
    });
    gateway.wait_for_part("1.revision` is damaged");
    assert_eq!(live_a(&gateway), 7, "the dial is another file");
    assert_eq!(gateway.admin_json("/api/v1/revisions")[0]["number"], 2);
    assert_eq!(gateway.admin("GET", "/api/v1/revisions/1", "", "").status(), 404);
}

#[test]
fn truncated_files_do_not_prevent_start() {
    let mut gateway = gateway();
    assert_eq!(gateway.dial("r", &json!({ "a": 7, "b": 1 })).status(), 200);
    gateway.kill();
    let originals: Vec<(PathBuf, Vec<u8>)> = files(&state(&gateway))
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    for part in [0, 1, 3] {
        for (path, bytes) in &originals {
            fs::write(path, &bytes[..bytes.len() * part / 4]).unwrap();
        }
        gateway = gateway.restarted();
        assert_eq!(gateway.get("http://x/").status(), 503, "it serves");
        gateway.kill();
        fs::remove_dir_all(state(&gateway)).unwrap();
        fs::create_dir_all(state(&gateway).join("revisions")).unwrap();
        for (path, bytes) in &originals {
            fs::write(path, bytes).unwrap();
        }
    }
    assert_eq!(live_a(&gateway.restarted()), 7);
}

#[test]
fn unwritable_state_does_not_stop_traffic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waypost.yaml");
    fs::write(directory.path().join("state"), "no directory").unwrap();
    let state = format!("state: {}", directory.path().join("state").display());
    let text = |body: &str| responding(body).key(&state).to_string();
    fs::write(&path, text("one")).unwrap();
    let (one, two, three) = (text("one"), text("two"), text("three"));
    let gateway = Gateway::run(directory, path, &[]);
    gateway.wait_for_part("cannot be used");
    assert_eq!(gateway.get("http://a/").text(), "one");
    let status = gateway.admin_json("/api/v1/status");
    assert_eq!(
        (&status["ok"], &status["state"]["writable"]),
        (&json!(false), &json!(false))
    );
    // A change by the API must be stored; an edit on disk must not.
    let fields = "Content-Type: application/yaml\r\nIf-Match: *\r\n";
    assert_eq!(gateway.admin("PUT", "/api/v1/config", fields, &two).status(), 507);
    assert_eq!(fs::read_to_string(gateway.config()).unwrap(), one);
    gateway.rewrite(&two);
    gateway.wait_for_revision(2);
    assert_eq!(gateway.get("http://a/").text(), "two");
    assert_eq!(gateway.admin_json("/api/v1/revisions/1")["files"][0]["text"], one);
    // The state recovers once the file is gone.
    fs::remove_file(gateway.directory().join("state")).unwrap();
    assert_eq!(
        gateway.admin("PUT", "/api/v1/config", fields, &three).status(),
        200
    );
    assert_eq!(gateway.admin_json("/api/v1/status")["state"]["writable"], true);
    assert_eq!(gateway.restarted().get("http://a/").text(), "three");
}

#[test]
fn configs_in_one_directory_have_separate_state() {
    let directory = tempfile::tempdir().unwrap();
    let text = |weight: u64| {
        let route = format!("name: r, to: {{ a: {weight}, b: 1 }}");
        two_services().route(&route)
    };
    let (one, other) = (
        directory.path().join("one.yaml"),
        directory.path().join("other.yaml"),
    );
    fs::write(&one, text(1)).unwrap();
    fs::write(&other, text(2)).unwrap();
    let first = Gateway::run(directory, one, &[]);
    assert_eq!(first.dial("r", &json!({ "a": 50, "b": 1 })).status(), 200);
    let second = first.on(&other);
    assert_eq!(live_a(&second), 2);
    assert_eq!(second.dial("r", &json!({ "a": 60, "b": 1 })).status(), 200);
    assert_eq!(
        (live_a(&first.restarted()), live_a(&second.restarted())),
        (50, 60)
    );
}

#[test]
fn second_gateway_takes_over_stored_dials() {
    let first = Gateway::verbatim(
        two_services()
            .route("name: r, to: { a: 1, b: 1 }")
            .route("name: q, match: { path: /q }, to: { a: 1, b: 1 }"),
    );
    let second = first.again();
    assert_eq!(first.dial("r", &json!({ "a": 7, "b": 1 })).status(), 200);
    drop(first);
    assert_eq!(second.dial("q", &json!({ "a": 9, "b": 1 })).status(), 200);
    assert_eq!(live_a(&second), 7, "the first gateway's dial");
    let second = second.restarted();
    assert_eq!(live_a(&second), 7);
    assert_eq!(second.admin_json("/api/v1/routes/q")["arms"][0]["live"], 9);
}

#[test]
fn second_gateway_continues_revision_numbers() {
    let text = |body: &str| responding(body).to_string();
    let first = Gateway::verbatim(text("one"));
    let second = first.again();
    // Both load the edit; the first, which owns the state, numbers it.
    first.rewrite(text("two"));
    first.wait_for_revision(2);
    second.wait_for_revision(2);
    first.rewrite(text("three"));
    first.wait_for_revision(3);
    second.wait_for_revision(3);
    drop(first);
    second.rewrite(text("four"));
    second.wait_for_revision(4);
    let all = second.admin_json("/api/v1/revisions");
    let numbers: Vec<u64> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|revision| revision["number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [4, 3, 2, 1], "{all}");
    assert_eq!(
        second.admin_json("/api/v1/revisions/3")["files"][0]["text"],
        text("three")
    );
}

#[test]
fn removed_state_recreated() {
    let gateway = gateway();
    fs::remove_dir_all(state(&gateway)).unwrap();
    assert_eq!(gateway.dial("r", &json!({ "a": 7, "b": 1 })).status(), 200);
    assert_eq!(live_a(&gateway.restarted()), 7);
}

#[test]
fn status_follows_store_failures() {
    let gateway = gateway();
    let dials = state(&gateway).join("dials.json");
    fs::create_dir_all(dials.join("x")).unwrap();
    assert_eq!(gateway.dial("r", &json!({ "a": 7, "b": 1 })).status(), 507);
    let status = gateway.admin_json("/api/v1/status");
    assert_eq!(
        (&status["ok"], &status["state"]["writable"]),
        (&json!(false), &json!(false))
    );
    let metrics = gateway.metrics();
    assert!(metrics.contains("\nwaypost_state_writable 0\n"), "{metrics}");
    fs::remove_dir_all(&dials).unwrap();
    assert_eq!(gateway.dial("r", &json!({ "a": 7, "b": 1 })).status(), 200);
    let status = gateway.admin_json("/api/v1/status");
    assert_eq!(
        (&status["ok"], &status["state"]["troubles"]),
        (&json!(true), &json!([]))
    );
}

#[test]
fn damaged_old_revision_set_aside() {
    let mut gateway = gateway();
    let text = fs::read_to_string(gateway.config()).unwrap();
    gateway.rewrite(format!("{text}# another text\n"));
    gateway.wait_for_revision(2);
    gateway.kill();
    let path = state(&gateway).join("revisions/1.revision");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    let gateway = gateway.restarted();
    gateway.wait_for_part("1.revision` is damaged");
    let numbers = gateway.admin_json("/api/v1/revisions");
    assert_eq!(
        (numbers.as_array().map(Vec::len), &numbers[0]["number"]),
        (Some(1), &json!(2))
    );
    assert_eq!(gateway.admin_json("/api/v1/status")["ok"], false);
}

#[test]
fn interrupted_directory_change_completed_at_start() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config");
    fs::create_dir(&config).unwrap();
    fs::write(config.join("00.yaml"), Config::new().key(ADMIN)).unwrap();
    // Half of a change: the service of the route is missing in the other file.
    fs::write(config.join("routes.yaml"), "routes: [{ name: r, to: new }]\n").unwrap();
    fs::write(
        config.join("services.yaml"),
        "services: { old: { endpoints: [] } }\n",
    )
    .unwrap();
    let old = xxhash_rust::xxh3::xxh3_64(b"services: { old: { endpoints: [] } }\n");
    let text = "services: { new: { endpoints: [] } }\n";
    let journal =
        json!({ "write": [{ "name": "services.yaml", "text": text, "old": old }], "remove": [] }).to_string();
    let checksum = xxhash_rust::xxh3::xxh3_64(journal.as_bytes());
    let checksummed = format!("waypost-state 1 {checksum:016x} {}\n{journal}", journal.len());
    fs::write(config.join(".waypost-journal"), checksummed).unwrap();
    let gateway = Gateway::run(directory, config, &[]);
    gateway.wait_for("waypost: a change of the config had been interrupted; it is complete now");
    assert_eq!(
        gateway.admin_json("/api/v1/routes/r")["arms"][0]["service"],
        "new"
    );
}

#[test]
fn foreign_files_ignored_at_start() {
    let mut gateway = gateway();
    let text = fs::read_to_string(gateway.config()).unwrap();
    gateway.kill();
    let revisions = state(&gateway).join("revisions");
    fs::write(revisions.join("18446744073709551615.revision"), "junk").unwrap();
    fs::write(revisions.join("18446744073709551614.revision.bad"), "junk").unwrap();
    let pipes = [state(&gateway).join("dials.json"), revisions.join("7.revision")];
    for pipe in &pipes {
        make_fifo(pipe);
    }
    let gateway = gateway.restarted();
    gateway.wait_for_part("dials.json` cannot be read: it is not a file");
    gateway.rewrite(format!("{text}# another text\n"));
    gateway.wait_for_revision(8);
}

#[test]
fn fifo_as_token_file_does_not_block() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    let path = directory.path().join("waypost.yaml");
    fs::write(&tokens, "\u{feff}ann secret-of-ann\n").unwrap();
    let admin = format!("admin: {{ bind: 127.0.0.1:0, token_file: {} }}", tokens.display());
    fs::write(&path, Config::new().key(&admin).all_respond("")).unwrap();
    let gateway = Gateway::run(directory, path, &[]);
    let fields = "Authorization: Bearer secret-of-ann\r\n";
    assert_eq!(
        gateway.admin("GET", "/metrics", fields, "").status(),
        200,
        "in spite of the byte order mark"
    );
    fs::remove_file(&tokens).unwrap();
    make_fifo(&tokens);
    assert_eq!(gateway.admin("GET", "/metrics", fields, "").status(), 401);
    assert_eq!(gateway.admin("GET", "/healthz", "", "").status(), 200);
}

#[test]
fn second_gateway_leaves_the_journal_alone() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config");
    fs::create_dir(&config).unwrap();
    fs::write(config.join("00.yaml"), Config::new().key(ADMIN)).unwrap();
    let gateway = Gateway::run(directory, config, &[]);
    // As if the first gateway were in the middle of a change.
    let journal =
        json!({ "write": [{ "name": "new.yaml", "text": "tests: []\n", "old": null }], "remove": [] })
            .to_string();
    let checksum = xxhash_rust::xxh3::xxh3_64(journal.as_bytes());
    let checksummed = format!("waypost-state 1 {checksum:016x} {}\n{journal}", journal.len());
    fs::write(gateway.config().join(".waypost-journal"), checksummed).unwrap();
    let second = gateway.again();
    assert!(!second.config().join("new.yaml").exists());
    let fields = "Content-Type: application/yaml\r\nIf-Match: *\r\n";
    let file = "/api/v1/config/files/other.yaml";
    assert_eq!(
        second.admin("PUT", file, fields, "tests: []\n").status(),
        507,
        "the first one writes"
    );
    drop(gateway);
    assert_eq!(second.admin("PUT", file, fields, "tests: []\n").status(), 200);
}

#[test]
fn store_retried_until_it_succeeds() {
    let gateway = gateway();
    let dials = state(&gateway).join("dials.json");
    fs::create_dir_all(dials.join("x")).unwrap();
    assert_eq!(gateway.dial("r", &json!({ "a": 7, "b": 1 })).status(), 507);
    fs::remove_dir_all(&dials).unwrap();
    gateway.wait_for("the state can be written again");
    assert_eq!(gateway.admin_json("/api/v1/status")["ok"], true);
    // A second gateway picks up the last dial of the first one after its exit.
    let second = gateway.again();
    assert_eq!(gateway.dial("r", &json!({ "a": 3, "b": 1 })).status(), 200);
    drop(gateway);
    second.wait_for("the state can be written again");
    assert_eq!(live_a(&second), 3);
}
