//! What outlives the process: whatever happens to it or to its files, the gateway starts, serves the config, says what
//! it found, and has what it acknowledged.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::client::Client;
use crate::support::gateway::{Gateway, LISTENER};
use crate::support::wait_for;

/// A split that nobody asks, in a directory of its own with the state beside.
fn gateway() -> Gateway {
    Gateway::with(format!(
        "{LISTENER}services: {{ a: {{ endpoints: [] }}, b: {{ endpoints: [] }} }}\nroutes: [{{ name: r, to: {{ a: 1, b: 1 }} }}]\n"
    ))
}

fn state(gateway: &Gateway) -> PathBuf {
    gateway.directory().join(".waypost")
}

fn live_a(gateway: &Gateway) -> u64 {
    gateway.admin_json("/api/v1/routes/r")["arms"][0]["live"]
        .as_u64()
        .unwrap()
}

/// The files of a directory and below.
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
fn what_was_acknowledged_is_there_whenever_the_process_is_killed() {
    let mut gateway = gateway();
    let mut acknowledged = 1;
    // A kill after every so many writes, in the middle of the next ones.
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
                    match client.try_answer_to(&request) {
                        Some(answer) if answer.is_complete && answer.status() == 200 => acknowledged += 1,
                        _ => return acknowledged,
                    }
                }
            });
            // The dials of this round have begun to be live.
            wait_for("the dial", || {
                (live_a(&child) >= first + 10 + round).then_some(())
            });
            child.kill();
            acknowledged = writer.join().unwrap();
        });
        gateway = child.restarted();
        let live = live_a(&gateway);
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
        assert_eq!(left, Vec::<PathBuf>::new(), "what is half written is swept");
    }
}

#[test]
fn whatever_is_damaged_is_set_aside_named_and_does_not_keep_the_gateway_from_serving() {
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
        let metrics = gateway.admin("GET", "/metrics", "", "").text();
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
fn every_file_may_be_cut_anywhere() {
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
fn a_state_that_cannot_be_written_keeps_nobody_from_being_served() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waypost.yaml");
    fs::write(directory.path().join("state"), "no directory").unwrap();
    let text = |body: &str| {
        format!(
            "{LISTENER}admin: {{ bind: 127.0.0.1:0 }}\nstate: {}\nroutes: [{{ name: all, respond: {{ status: 200, body: {body} }} }}]\n",
            directory.path().join("state").display()
        )
    };
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
    // What comes by the API has to be stored; what is on disk is the user's will.
    let fields = "Content-Type: application/yaml\r\nIf-Match: *\r\n";
    assert_eq!(gateway.admin("PUT", "/api/v1/config", fields, &two).status(), 507);
    assert_eq!(fs::read_to_string(gateway.config()).unwrap(), one);
    gateway.rewrite(&two);
    gateway.wait_for_revision(2);
    assert_eq!(gateway.get("http://a/").text(), "two");
    assert_eq!(gateway.admin_json("/api/v1/revisions/1")["files"][0]["text"], one);
    // Once the disk is mended, all is well again.
    fs::remove_file(gateway.directory().join("state")).unwrap();
    assert_eq!(
        gateway.admin("PUT", "/api/v1/config", fields, &three).status(),
        200
    );
    assert_eq!(gateway.admin_json("/api/v1/status")["state"]["writable"], true);
    assert_eq!(gateway.restarted().get("http://a/").text(), "three");
}

#[test]
fn configs_in_one_directory_do_not_share_their_state() {
    let directory = tempfile::tempdir().unwrap();
    let text = |weight: u64| {
        format!(
            "{LISTENER}admin: {{ bind: 127.0.0.1:0 }}\nservices: {{ a: {{ endpoints: [] }}, b: {{ endpoints: [] }} }}\n\
             routes: [{{ name: r, to: {{ a: {weight}, b: 1 }} }}]\n"
        )
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
fn what_another_gateway_stored_holds_when_this_one_may_store_again() {
    let config = format!(
        "{LISTENER}services: {{ a: {{ endpoints: [] }}, b: {{ endpoints: [] }} }}\n\
         routes:\n  - {{ name: r, to: {{ a: 1, b: 1 }} }}\n  - {{ name: q, match: {{ path: /q }}, to: {{ a: 1, b: 1 }} }}\n"
    );
    let first = Gateway::with(config);
    let second = first.again();
    assert_eq!(first.dial("r", &json!({ "a": 7, "b": 1 })).status(), 200);
    drop(first);
    assert_eq!(second.dial("q", &json!({ "a": 9, "b": 1 })).status(), 200);
    assert_eq!(live_a(&second), 7, "it is live here too by now");
    let second = second.restarted();
    assert_eq!(live_a(&second), 7);
    assert_eq!(second.admin_json("/api/v1/routes/q")["arms"][0]["live"], 9);
}

#[test]
fn a_revision_that_another_gateway_numbered_meanwhile_gets_another_number() {
    let text = |body: &str| {
        format!(
            "{LISTENER}admin: {{ bind: 127.0.0.1:0 }}\nroutes: [{{ name: all, respond: {{ status: 200, body: {body} }} }}]\n"
        )
    };
    let first = Gateway::with(text("one"));
    let second = first.again();
    // Both see the edit; the one that may store numbers it.
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
fn a_state_that_was_removed_is_made_anew() {
    let gateway = gateway();
    fs::remove_dir_all(state(&gateway)).unwrap();
    assert_eq!(gateway.dial("r", &json!({ "a": 7, "b": 1 })).status(), 200);
    assert_eq!(live_a(&gateway.restarted()), 7);
}

#[test]
fn status_says_when_the_last_thing_could_not_be_stored_and_when_the_next_one_could() {
    let gateway = gateway();
    let dials = state(&gateway).join("dials.json");
    fs::create_dir_all(dials.join("x")).unwrap();
    assert_eq!(gateway.dial("r", &json!({ "a": 7, "b": 1 })).status(), 507);
    let status = gateway.admin_json("/api/v1/status");
    assert_eq!(
        (&status["ok"], &status["state"]["writable"]),
        (&json!(false), &json!(false))
    );
    let metrics = gateway.admin("GET", "/metrics", "", "").text();
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
fn a_damaged_revision_that_is_not_the_newest_is_set_aside_too() {
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
fn a_directory_whose_change_was_interrupted_is_completed_by_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config");
    fs::create_dir(&config).unwrap();
    let listeners = format!("{LISTENER}admin: {{ bind: 127.0.0.1:0 }}\n");
    fs::write(config.join("00.yaml"), &listeners).unwrap();
    // Half of a change: the route leads to a service that is in the other file.
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
    let seal = xxhash_rust::xxh3::xxh3_64(journal.as_bytes());
    let sealed = format!("waypost-state 1 {seal:016x} {}\n{journal}", journal.len());
    fs::write(config.join(".waypost-journal"), sealed).unwrap();
    let gateway = Gateway::run(directory, config, &[]);
    gateway.wait_for("waypost: a change of the config had been interrupted; it is complete now");
    assert_eq!(
        gateway.admin_json("/api/v1/routes/r")["arms"][0]["service"],
        "new"
    );
}

#[test]
fn what_is_no_file_of_ours_neither_hangs_a_start_nor_bends_the_numbers() {
    let mut gateway = gateway();
    let text = fs::read_to_string(gateway.config()).unwrap();
    gateway.kill();
    let revisions = state(&gateway).join("revisions");
    fs::write(revisions.join("18446744073709551615.revision"), "junk").unwrap();
    fs::write(revisions.join("18446744073709551614.revision.bad"), "junk").unwrap();
    let pipes = [state(&gateway).join("dials.json"), revisions.join("7.revision")];
    for pipe in &pipes {
        let made = std::process::Command::new("mkfifo").arg(pipe).status().unwrap();
        assert!(made.success());
    }
    let gateway = gateway.restarted();
    gateway.wait_for_part("dials.json` cannot be read: it is not a file");
    gateway.rewrite(format!("{text}# another text\n"));
    gateway.wait_for_revision(8);
}

#[test]
fn a_token_file_that_is_a_pipe_hangs_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    let path = directory.path().join("waypost.yaml");
    fs::write(&tokens, "\u{feff}ann secret-of-ann\n").unwrap();
    let admin = format!(
        "admin: {{ bind: 127.0.0.1:0, token_file: {} }}\n",
        tokens.display()
    );
    fs::write(
        &path,
        format!("{LISTENER}{admin}routes: [{{ name: all, respond: {{ status: 200 }} }}]\n"),
    )
    .unwrap();
    let gateway = Gateway::run(directory, path, &[]);
    let fields = "Authorization: Bearer secret-of-ann\r\n";
    assert_eq!(
        gateway.admin("GET", "/metrics", fields, "").status(),
        200,
        "in spite of the mark at its start"
    );
    fs::remove_file(&tokens).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(&tokens)
        .status()
        .unwrap();
    assert!(made.success());
    assert_eq!(gateway.admin("GET", "/metrics", fields, "").status(), 401);
    assert_eq!(gateway.admin("GET", "/healthz", "", "").status(), 200);
}

#[test]
fn a_second_start_on_a_directory_leaves_the_journal_of_the_first_alone() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config");
    fs::create_dir(&config).unwrap();
    let listeners = format!("{LISTENER}admin: {{ bind: 127.0.0.1:0 }}\n");
    fs::write(config.join("00.yaml"), listeners).unwrap();
    let gateway = Gateway::run(directory, config, &[]);
    // As if the first one were in the middle of a change.
    let journal =
        json!({ "write": [{ "name": "new.yaml", "text": "tests: []\n", "old": null }], "remove": [] })
            .to_string();
    let seal = xxhash_rust::xxh3::xxh3_64(journal.as_bytes());
    let sealed = format!("waypost-state 1 {seal:016x} {}\n{journal}", journal.len());
    fs::write(gateway.config().join(".waypost-journal"), sealed).unwrap();
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
fn a_state_mends_by_itself() {
    let gateway = gateway();
    let dials = state(&gateway).join("dials.json");
    fs::create_dir_all(dials.join("x")).unwrap();
    assert_eq!(gateway.dial("r", &json!({ "a": 7, "b": 1 })).status(), 507);
    fs::remove_dir_all(&dials).unwrap();
    gateway.wait_for("the state can be written again");
    assert_eq!(gateway.admin_json("/api/v1/status")["ok"], true);
    // A gateway whose predecessor has gone serves what that one stored last, without being asked.
    let second = gateway.again();
    assert_eq!(gateway.dial("r", &json!({ "a": 3, "b": 1 })).status(), 200);
    drop(gateway);
    second.wait_for("the state can be written again");
    assert_eq!(live_a(&second), 3);
}
