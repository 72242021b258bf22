//! Configs that come by the admin API: replaced, confirmed or taken back, listed, rolled back; on disk before they
//! are answered.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::gateway::{Gateway, LISTENER};
use crate::support::message::Message;
use crate::support::wait_for;

const YAML: &str = "Content-Type: application/yaml\r\n";

fn saying(text: &str) -> String {
    format!(
        "{LISTENER}admin: {{ bind: 127.0.0.1:0 }}\nroutes: [{{ name: all, respond: {{ status: 200, body: \"{text}\" }} }}]\n"
    )
}

fn said(gateway: &Gateway) -> String {
    gateway.get("http://a/").text()
}

fn on_disk(gateway: &Gateway) -> String {
    fs::read_to_string(gateway.config()).unwrap()
}

/// The ETag of what is in force.
fn tag(gateway: &Gateway) -> String {
    let answer = gateway.admin("GET", "/api/v1/config", "", "");
    answer.header("etag").expect("an etag").to_owned()
}

fn put(gateway: &Gateway, query: &str, tag: &str, text: &str) -> Message {
    let fields = format!("{YAML}If-Match: {tag}\r\n");
    gateway.admin("PUT", &format!("/api/v1/config{query}"), &fields, text)
}

/// Numbers and origins of all revisions, the newest first.
fn history(gateway: &Gateway) -> Vec<(u64, String)> {
    let all = gateway.admin_json("/api/v1/revisions");
    let all = all.as_array().unwrap().iter();
    all.map(|revision| {
        let number = revision["number"].as_u64().unwrap();
        (number, revision["origin"].as_str().unwrap().to_owned())
    })
    .collect()
}

fn entries(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    let entries = expected.iter();
    entries
        .map(|(number, origin)| (*number, (*origin).to_owned()))
        .collect()
}

#[test]
fn the_text_is_read_and_replaced_byte_for_byte() {
    let text = format!("# a comment, {{}}\r\n{}", saying("one"));
    let gateway = Gateway::with(&text);
    let answer = gateway.admin("GET", "/api/v1/config", "", "");
    assert_eq!(
        (answer.text(), answer.header("content-type")),
        (text, Some("application/yaml"))
    );
    let tag = answer.header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.len() > 10, "strong: {tag}");
    let next = format!("{}# no newline at the end", saying("two"));
    let answer = put(&gateway, "", &tag, &next);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(
        (&answer.json()["revision"], &answer.json()["summary"]),
        (&json!(2), &json!("routes ~all"))
    );
    // All of it is true when the answer has come.
    assert_eq!(
        (said(&gateway), on_disk(&gateway)),
        ("two".to_owned(), next.clone())
    );
    assert_eq!(
        answer.header("etag"),
        gateway.admin("GET", "/api/v1/config", "", "").header("etag")
    );
    assert_eq!(history(&gateway), entries(&[(2, "api"), (1, "file")]));
    // The same text again is no change.
    let again = put(&gateway, "", "*", &next).json();
    assert_eq!(
        (&again["changed"], &again["revision"]),
        (&json!(false), &json!(2))
    );
}

#[test]
fn whoever_does_not_know_what_is_replaced_replaces_nothing() {
    let gateway = Gateway::with(saying("one"));
    let first = tag(&gateway);
    assert_eq!(
        gateway
            .admin("PUT", "/api/v1/config", YAML, &saying("two"))
            .status(),
        428
    );
    assert_eq!(put(&gateway, "", "\"other\"", &saying("two")).status(), 412);
    assert_eq!(put(&gateway, "", &first, &saying("two")).status(), 200);
    assert_eq!(put(&gateway, "", &first, &saying("three")).status(), 412, "stale");
    assert_eq!(
        put(&gateway, "?dry_run=true", &first, &saying("three")).status(),
        412
    );
    assert_eq!(
        put(
            &gateway,
            "",
            &format!("\"x\", {}", tag(&gateway)),
            &saying("three")
        )
        .status(),
        200
    );
    // An edit on disk that nobody has seen yet is not overwritten either.
    let known = tag(&gateway);
    gateway.rewrite(saying("by hand"));
    assert_eq!(put(&gateway, "", &known, &saying("four")).status(), 412);
    assert_eq!(
        (said(&gateway), on_disk(&gateway)),
        ("by hand".to_owned(), saying("by hand"))
    );
}

#[test]
fn what_is_wrong_changes_nothing_and_says_what() {
    let gateway = Gateway::with(saying("one"));
    let current = tag(&gateway);
    let answer = put(&gateway, "", &current, &format!("{}typo: 1\n", saying("two")));
    assert_eq!(
        (answer.status(), answer.header("content-type")),
        (422, Some("application/problem+json"))
    );
    let diagnostic = &answer.json()["diagnostics"][0];
    assert_eq!(
        (&diagnostic["code"], &diagnostic["line"]),
        (&json!("unknown-key"), &json!(5))
    );
    let failing = format!(
        "{}tests: [{{ request: GET /, expect: {{ status: 500 }} }}]\n",
        saying("two")
    );
    assert_eq!(
        put(&gateway, "", &current, &failing).json()["diagnostics"][0]["code"],
        "test-failed"
    );
    assert_eq!(put(&gateway, "", &current, "").status(), 422);
    let fields = format!("Content-Type: image/png\r\nIf-Match: {current}\r\n");
    assert_eq!(
        gateway
            .admin("PUT", "/api/v1/config", &fields, &saying("two"))
            .status(),
        415
    );
    assert_eq!(
        put(&gateway, "?confirm=x", &current, &saying("two")).status(),
        422
    );
    assert_eq!(
        put(&gateway, "?confirm=25h", &current, &saying("two")).status(),
        422
    );
    assert_eq!(put(&gateway, "?nobody=1", &current, &saying("two")).status(), 400);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = format!("listeners: [{{ bind: {} }}]", taken.local_addr().unwrap());
    let other = saying("two").replace("listeners: [{ bind: 127.0.0.1:0 }]", &listener);
    assert_eq!(put(&gateway, "", &current, &other).status(), 409);
    assert_eq!(
        (said(&gateway), on_disk(&gateway)),
        ("one".to_owned(), saying("one"))
    );
    assert_eq!(
        (history(&gateway), tag(&gateway)),
        (entries(&[(1, "file")]), current)
    );
}

#[test]
fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let gateway = Gateway::with(saying("one"));
    let answer = put(&gateway, "?dry_run=true", &tag(&gateway), &saying("two"));
    let answer = answer.json();
    assert_eq!(
        (&answer["dry_run"], &answer["changed"], &answer["revision"]),
        (&json!(true), &json!(true), &json!(1))
    );
    assert_eq!(answer["summary"], "routes ~all");
    assert_eq!(
        (said(&gateway), on_disk(&gateway)),
        ("one".to_owned(), saying("one"))
    );
}

#[test]
fn a_change_that_is_confirmed_stays() {
    let gateway = Gateway::with(saying("one"));
    assert_eq!(
        gateway.admin("POST", "/api/v1/config/confirm", "", "").status(),
        409
    );
    let answer = put(&gateway, "?confirm=1h", &tag(&gateway), &saying("two"));
    assert!(answer.json()["reverts_at"].is_string(), "{}", answer.text());
    assert_eq!(
        (said(&gateway), on_disk(&gateway)),
        ("two".to_owned(), saying("one"))
    );
    let pending = gateway.admin_json("/api/v1/status")["pending"].clone();
    assert_eq!(
        (&pending["revision"], &pending["reverts_to"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(
        gateway.admin("POST", "/api/v1/config/confirm", "", "").status(),
        200
    );
    assert_eq!(
        (said(&gateway), on_disk(&gateway)),
        ("two".to_owned(), saying("two"))
    );
    assert_eq!(gateway.admin_json("/api/v1/status")["pending"], Value::Null);
    assert_eq!(history(&gateway), entries(&[(2, "api"), (1, "file")]));
    assert_eq!(said(&gateway.restarted()), "two");
}

#[test]
fn a_confirm_that_never_comes_takes_the_change_back_with_its_dials() {
    let split = |weights: &str| {
        format!(
            "{LISTENER}admin: {{ bind: 127.0.0.1:0 }}\nservices: {{ a: {{ endpoints: [] }}, b: {{ endpoints: [] }} }}\n\
             routes: [{{ name: r, to: {weights} }}]\n"
        )
    };
    let gateway = Gateway::with(split("{ a: 95, b: 5 }"));
    assert_eq!(gateway.dial("r", &json!({ "a": 1, "b": 1 })).status(), 200);
    let answer = put(
        &gateway,
        "?confirm=50ms",
        &tag(&gateway),
        &split("{ a: 90, b: 10 }"),
    )
    .json();
    assert_eq!(answer["dials_dropped"], json!(["r"]));
    gateway.wait_for("revision 2 was not confirmed: it is taken back");
    gateway.wait_for("revision 3 is in force");
    assert_eq!(
        history(&gateway),
        entries(&[(3, "revert"), (2, "api"), (1, "file")])
    );
    assert_eq!(on_disk(&gateway), split("{ a: 95, b: 5 }"));
    let arms = gateway.admin_json("/api/v1/routes/r")["arms"].clone();
    assert_eq!(
        arms[1],
        json!({ "service": "b", "declared": 5, "live": 1 }),
        "the dial holds again"
    );
    assert_eq!(
        gateway.admin("POST", "/api/v1/config/confirm", "", "").status(),
        409
    );
}

#[test]
fn a_crash_takes_an_unconfirmed_change_back() {
    let gateway = Gateway::with(saying("one"));
    assert_eq!(
        put(&gateway, "?confirm=1h", &tag(&gateway), &saying("two")).status(),
        200
    );
    assert_eq!(said(&gateway), "two");
    let gateway = gateway.restarted();
    assert_eq!(said(&gateway), "one");
    assert_eq!(history(&gateway)[0].0, 3, "no number comes twice");
}

#[test]
fn a_further_change_takes_the_place_of_one_that_waits() {
    let gateway = Gateway::with(saying("one"));
    assert_eq!(
        put(&gateway, "?confirm=1h", &tag(&gateway), &saying("two")).status(),
        200
    );
    assert_eq!(
        put(&gateway, "?confirm=50ms", &tag(&gateway), &saying("three")).status(),
        200
    );
    gateway.wait_for("revision 3 was not confirmed");
    gateway.wait_for("revision 4 is in force");
    assert_eq!(
        said(&gateway),
        "one",
        "what was on disk comes back, not what waited"
    );
    assert_eq!(
        put(&gateway, "?confirm=1h", &tag(&gateway), &saying("five")).status(),
        200
    );
    assert_eq!(put(&gateway, "", &tag(&gateway), &saying("six")).status(), 200);
    assert_eq!(
        gateway.admin("POST", "/api/v1/config/confirm", "", "").status(),
        409,
        "nothing waits any more"
    );
    assert_eq!(
        (said(&gateway), on_disk(&gateway)),
        ("six".to_owned(), saying("six"))
    );
    assert_eq!(
        put(&gateway, "?confirm=1h", &tag(&gateway), &saying("seven")).status(),
        200
    );
    gateway.rewrite(saying("by hand"));
    gateway.wait_for("the config on disk was edited: nothing waits to be confirmed any more");
    assert_eq!(said(&gateway), "by hand");
}

#[test]
fn a_rollback_and_a_rollback_of_it_are_revisions_like_any_other() {
    let gateway = Gateway::with(saying("one"));
    assert_eq!(put(&gateway, "", &tag(&gateway), &saying("two")).status(), 200);
    let back = |number: u64| gateway.admin("POST", &format!("/api/v1/revisions/{number}/rollback"), "", "");
    assert_eq!(back(1).json()["revision"], 3);
    assert_eq!(
        (said(&gateway), on_disk(&gateway)),
        ("one".to_owned(), saying("one"))
    );
    assert_eq!(back(2).json()["revision"], 4);
    assert_eq!(
        (said(&gateway), on_disk(&gateway)),
        ("two".to_owned(), saying("two"))
    );
    assert_eq!(back(4).json()["revision"], 5, "also to what is in force");
    assert_eq!(back(9).status(), 404);
    assert_eq!(back(0).status(), 404);
    let expected = [
        (5, "rollback"),
        (4, "rollback"),
        (3, "rollback"),
        (2, "api"),
        (1, "file"),
    ];
    assert_eq!(history(&gateway), entries(&expected));
    let shown = gateway.admin_json("/api/v1/revisions/1");
    assert_eq!(
        (&shown["origin"], &shown["files"][0]["text"]),
        (&json!("file"), &json!(saying("one")))
    );
    let gateway = gateway.restarted();
    assert_eq!(
        history(&gateway),
        entries(&expected),
        "a start with the same text adds none"
    );
    assert_eq!(said(&gateway), "two");
}

#[test]
fn revisions_number_the_answers_and_are_kept_up_to_a_bound() {
    let text = |number: u64| {
        format!(
            "state: {{ keep: 3 }}\ndebug_headers: true\n{}",
            saying(&number.to_string())
        )
    };
    let gateway = Gateway::with(text(1));
    for number in 2..=5 {
        assert_eq!(put(&gateway, "", "*", &text(number)).status(), 200);
        let answer = gateway.get("http://a/");
        assert_eq!(answer.header("x-waypost-revision"), Some(&*number.to_string()));
    }
    assert_eq!(history(&gateway), entries(&[(5, "api"), (4, "api"), (3, "api")]));
    let gateway = gateway.restarted();
    assert_eq!(gateway.get("http://a/").header("x-waypost-revision"), Some("5"));
    gateway.rewrite(text(6));
    gateway.wait_for_revision(6);
    assert_eq!(history(&gateway)[0], (6, "file".to_owned()));
}

#[test]
fn what_was_never_in_force_is_not_lost_when_it_is_replaced() {
    let gateway = Gateway::with(saying("one"));
    let broken = format!("{}typo: 1\n", saying("half done"));
    gateway.rewrite(&broken);
    gateway.wait_for("waypost: revision 1 stays in force");
    assert_eq!(put(&gateway, "", &tag(&gateway), &saying("two")).status(), 200);
    assert_eq!(
        (said(&gateway), on_disk(&gateway)),
        ("two".to_owned(), saying("two"))
    );
    gateway.wait_for_part("had never been in force; it is kept as");
    let kept = fs::read_to_string(format!("{}.unapplied", gateway.config().display())).unwrap();
    assert_eq!(kept, broken);
}

#[test]
fn a_link_stays_one_and_what_it_leads_to_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("real")).unwrap();
    let (real, link) = (
        directory.path().join("real/config.yaml"),
        directory.path().join("waypost.yaml"),
    );
    fs::write(&real, saying("one")).unwrap();
    std::os::unix::fs::symlink("real/config.yaml", &link).unwrap();
    let gateway = Gateway::run(directory, link.clone(), &[]);
    assert_eq!(put(&gateway, "", "*", &saying("two")).status(), 200);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&real).unwrap(), saying("two"));
}

/// A gateway whose config is a directory with a file for the listener, and one for each of these routes.
fn directory(routes: &[&str]) -> Gateway {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config");
    fs::create_dir(&config).unwrap();
    fs::write(
        config.join("00.yaml"),
        format!("{LISTENER}admin: {{ bind: 127.0.0.1:0 }}\n"),
    )
    .unwrap();
    for route in routes {
        fs::write(config.join(format!("{route}.yaml")), route_file(route, "old")).unwrap();
    }
    Gateway::run(directory, config, &[])
}

fn route_file(name: &str, text: &str) -> String {
    format!(
        "routes: [{{ name: {name}, match: {{ path: /{name} }}, respond: {{ status: 200, body: {text} }} }}]\n"
    )
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_files_of_a_directory_are_replaced_one_by_one_or_all_at_once() {
    let gateway = directory(&["a", "b"]);
    let file = "/api/v1/config/files/a.yaml";
    let answer = gateway.admin("GET", file, "", "");
    assert_eq!(answer.text(), route_file("a", "old"));
    let fields = format!("{YAML}If-Match: {}\r\n", answer.header("etag").unwrap());
    assert_eq!(
        gateway
            .admin("PUT", file, &fields, &route_file("a", "new"))
            .status(),
        200
    );
    assert_eq!(gateway.get("http://x/a").text(), "new");
    assert_eq!(
        gateway
            .admin("PUT", file, &fields, &route_file("a", "newer"))
            .status(),
        412
    );
    assert_eq!(
        gateway
            .admin("PUT", file, YAML, &route_file("a", "newer"))
            .status(),
        428
    );
    let any = format!("{YAML}If-Match: *\r\n");
    for name in ["..%2Fa.yaml", ".hidden.yaml", "a.txt", "a%2Fb.yaml"] {
        let path = format!("/api/v1/config/files/{name}");
        assert_eq!(
            gateway
                .admin("PUT", &path, &any, &route_file("c", "new"))
                .status(),
            422,
            "{name}"
        );
    }
    assert_eq!(
        gateway
            .admin(
                "PUT",
                "/api/v1/config/files/c.yaml",
                &any,
                &route_file("c", "new")
            )
            .status(),
        200
    );
    assert_eq!(gateway.get("http://x/c").text(), "new");
    assert_eq!(names(gateway.config()), ["00.yaml", "a.yaml", "b.yaml", "c.yaml"]);
    assert_eq!(
        put(&gateway, "", "*", &route_file("z", "new")).status(),
        409,
        "it is not one file"
    );

    let mut all = gateway.admin_json("/api/v1/config");
    let files = all["files"].as_array_mut().unwrap();
    files.retain(|file| file["name"] != "b.yaml");
    let tag = gateway
        .admin("GET", "/api/v1/config/files", "", "")
        .header("etag")
        .unwrap()
        .to_owned();
    let fields = format!("Content-Type: application/json\r\nIf-Match: {tag}\r\n");
    let answer = gateway.admin("PUT", "/api/v1/config", &fields, &all.to_string());
    assert_eq!(
        (answer.status(), &answer.json()["summary"]),
        (200, &json!("routes -b"))
    );
    assert_eq!(names(gateway.config()), ["00.yaml", "a.yaml", "c.yaml"]);

    let back = gateway.admin("POST", "/api/v1/revisions/1/rollback", "", "");
    assert_eq!(back.status(), 200, "{}", back.text());
    assert_eq!(names(gateway.config()), ["00.yaml", "a.yaml", "b.yaml"]);
    assert_eq!(gateway.get("http://x/a").text(), "old");
    let same = gateway.restarted();
    assert_eq!(history(&same).len(), 5);
    // The commands know directories too.
    let other = same.directory().join("other");
    fs::create_dir(&other).unwrap();
    for name in ["00.yaml", "a.yaml"] {
        fs::copy(same.config().join(name), other.join(name)).unwrap();
    }
    fs::write(other.join("d.yaml"), route_file("d", "by-command")).unwrap();
    let applied = same.command(&["apply", "other"]).expect(0).stdout;
    assert_eq!(applied, "revision 6 is in force: routes +d -b\n");
    assert_eq!(same.get("http://x/d").text(), "by-command");
}

#[test]
fn the_commands_show_the_past_and_go_back_to_it() {
    let gateway = Gateway::with(saying("one"));
    fs::write(gateway.directory().join("next"), saying("two")).unwrap();
    fs::write(gateway.directory().join("broken"), "listeners: 1\n").unwrap();
    let tried = gateway.command(&["apply", "next", "--dry-run"]).expect(0).stdout;
    assert_eq!(
        tried,
        "it would be accepted: routes ~all; revision 1 stays in force\n"
    );
    let broken = gateway.command(&["apply", "broken"]).expect(1);
    assert!(
        broken
            .stderr
            .contains(":1:12: error[wrong-type]: expected a list"),
        "{}",
        broken.stderr
    );
    let applied = gateway
        .command(&["apply", "next", "--confirm", "1h"])
        .expect(0)
        .stdout;
    assert!(applied.contains("unless you say: waypost confirm\n"), "{applied}");
    gateway.command(&["confirm"]).expect(0);
    gateway.command(&["confirm"]).expect(1);
    let listed = gateway.command(&["history"]).expect(0).stdout;
    let rows: Vec<Vec<&str>> = listed
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        (rows[1][0], &rows[1][2..]),
        ("2", &["api", "tester", "routes", "~all"][..]),
        "{listed}"
    );
    assert_eq!(
        (rows[2][0], &rows[2][2..4]),
        ("1", &["file", "-"][..]),
        "{listed}"
    );
    assert_eq!(
        gateway.command(&["history", "show", "1"]).expect(0).stdout,
        saying("one")
    );
    let diff = gateway.command(&["history", "diff", "1", "2"]).expect(0).stdout;
    assert!(
        diff.contains("\n-routes:") && diff.contains("\n+routes:"),
        "{diff}"
    );
    let back = gateway
        .command(&["rollback", "1", "--format", "json"])
        .expect(0)
        .json();
    assert_eq!(back["revision"], 3);
    let same = gateway.command(&["history", "diff", "1", "3"]).expect(0).stdout;
    assert_eq!(same, "revisions 1 and 3 have the same text\n");
    gateway.command(&["history", "show", "7"]).expect(1);
    gateway.command(&["rollback", "7"]).expect(1);
}

#[test]
fn the_text_in_force_mends_what_is_on_disk() {
    let gateway = Gateway::with(saying("one"));
    gateway.rewrite(format!("{}typo: 1\n", saying("half done")));
    gateway.wait_for("waypost: revision 1 stays in force");
    let answer = put(&gateway, "", &tag(&gateway), &saying("one")).json();
    assert_eq!(
        (&answer["changed"], on_disk(&gateway)),
        (&json!(false), saying("one"))
    );
    assert_eq!(gateway.admin_json("/api/v1/status")["failed_load"], Value::Null);
    // A config that has gone from the disk comes back by a rollback to what is in force.
    fs::remove_file(gateway.config()).unwrap();
    gateway.wait_for_part("stays in force");
    let back = gateway.admin("POST", "/api/v1/revisions/1/rollback", "", "");
    assert_eq!((back.status(), on_disk(&gateway)), (200, saying("one")));
}

#[test]
fn a_hangup_does_not_end_the_waiting_and_an_edit_that_nobody_has_seen_does() {
    let gateway = Gateway::with(saying("one"));
    assert_eq!(
        put(&gateway, "?confirm=1h", &tag(&gateway), &saying("two")).status(),
        200
    );
    gateway.signal(rustix::process::Signal::HUP);
    // A dial is behind the hangup in the queue, or before it; the next command is behind both.
    assert_eq!(gateway.admin_json("/api/v1/revisions")[0]["number"], 2);
    assert_eq!(said(&gateway), "two");
    assert_eq!(gateway.admin_json("/api/v1/status")["pending"]["revision"], 2);
    gateway.rewrite(saying("by hand"));
    let confirmed = gateway.admin("POST", "/api/v1/config/confirm", "", "");
    assert_eq!(confirmed.status(), 409, "{}", confirmed.text());
    assert_eq!(
        (said(&gateway), on_disk(&gateway)),
        ("by hand".to_owned(), saying("by hand"))
    );
}

#[test]
fn a_change_that_cannot_be_taken_back_yet_is_taken_back_later() {
    // An address that nobody else uses here, so that nobody else is given its ports.
    let port = std::net::TcpListener::bind("127.83.12.7:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let listener = format!("listeners: [{{ bind: {port} }}]");
    let one = saying("one").replace("listeners: [{ bind: 127.0.0.1:0 }]", &listener);
    let gateway = Gateway::with(&one);
    assert_eq!(put(&gateway, "?confirm=1h", "*", &saying("two")).status(), 200);
    // Somebody takes the port, which is free now; only then the time is up.
    let taken = wait_for("the port", || std::net::TcpListener::bind(port).ok());
    assert_eq!(put(&gateway, "?confirm=1ms", "*", &saying("two")).status(), 200);
    gateway.wait_for("waypost: the change cannot be taken back");
    assert_eq!(gateway.admin_json("/api/v1/status")["pending"]["revision"], 2);
    drop(taken);
    gateway.wait_for_revision(3);
    assert_eq!(Client::connect(port).get("http://a/").text(), "one");
}

#[test]
fn files_that_cannot_all_be_replaced_are_none_of_them_replaced() {
    let split = |weight: u64| {
        format!(
            "services: {{ s: {{ endpoints: [] }}, t: {{ endpoints: [] }} }}\nroutes: [{{ name: r, to: {{ s: {weight}, t: 1 }} }}]\n"
        )
    };
    let gateway = directory(&["a"]);
    fs::write(gateway.config().join("r.yaml"), split(1)).unwrap();
    gateway.wait_for_revision(2);
    assert_eq!(gateway.dial("r", &json!({ "s": 7, "t": 7 })).status(), 200);
    // Where a new file is to be, there is a directory.
    fs::create_dir(gateway.config().join("z.yaml")).unwrap();
    let mut all = gateway.admin_json("/api/v1/config");
    let files = all["files"].as_array_mut().unwrap();
    for file in files.iter_mut().filter(|file| file["name"] == "r.yaml") {
        file["text"] = split(2).into();
    }
    files.push(json!({ "name": "z.yaml", "text": route_file("z", "new") }));
    let fields = "Content-Type: application/json\r\nIf-Match: *\r\n";
    let answer = gateway.admin("PUT", "/api/v1/config", fields, &all.to_string());
    assert_eq!(answer.status(), 507, "{}", answer.text());
    assert_eq!(
        fs::read_to_string(gateway.config().join("r.yaml")).unwrap(),
        split(1)
    );
    assert_eq!(history(&gateway), entries(&[(2, "file"), (1, "file")]));
    let live = gateway.admin_json("/api/v1/routes/r")["arms"][0]["live"].clone();
    assert_eq!(live, 7, "the dial holds as before");
    assert_eq!(
        names(gateway.config()),
        ["00.yaml", "a.yaml", "r.yaml", "z.yaml"],
        "no journal is left"
    );
}

#[test]
fn edits_are_seen_however_often_the_api_is_asked() {
    let gateway = Gateway::with(saying("one"));
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                gateway.admin_json("/api/v1/revisions");
            }
        });
        gateway.rewrite(saying("two"));
        gateway.wait_for_revision(2);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(said(&gateway), "two");
}

#[test]
fn a_change_that_is_refused_costs_no_revision() {
    let gateway = Gateway::with(format!("state: {{ keep: 1 }}\n{}", saying("one")));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = format!("listeners: [{{ bind: {} }}]", taken.local_addr().unwrap());
    let other = saying("two").replace("listeners: [{ bind: 127.0.0.1:0 }]", &listener);
    let answer = put(&gateway, "", "*", &format!("state: {{ keep: 1 }}\n{other}"));
    assert_eq!(answer.status(), 409);
    assert_eq!(history(&gateway), entries(&[(1, "file")]));
}

#[test]
fn the_same_text_with_another_confirm_waits_longer() {
    let gateway = Gateway::with(saying("one"));
    let ends = |query: &str| put(&gateway, query, "*", &saying("two")).json()["reverts_at"].clone();
    let (first, second) = (ends("?confirm=1h"), ends("?confirm=2h"));
    assert!(first.as_str() < second.as_str(), "{first} {second}");
    assert_eq!(history(&gateway).len(), 2);
}

#[test]
fn status_stays_red_while_what_is_on_disk_is_broken() {
    let gateway = directory(&["a", "b"]);
    fs::write(gateway.config().join("b.yaml"), "typo: 1\n").unwrap();
    gateway.wait_for("waypost: revision 1 stays in force");
    let red = || gateway.admin_json("/api/v1/status")["failed_load"].is_object();
    assert!(red());
    let file = "/api/v1/config/files/a.yaml";
    let fields = format!("{YAML}If-Match: *\r\n");
    let confirmed = format!("{file}?confirm=1h");
    assert_eq!(
        gateway
            .admin("PUT", &confirmed, &fields, &route_file("a", "new"))
            .status(),
        200
    );
    assert!(red(), "a start would refuse it");
    // What is in force is put on disk as a whole, and the broken text kept beside.
    assert_eq!(
        gateway.admin("POST", "/api/v1/config/confirm", "", "").status(),
        200
    );
    assert!(!red());
    assert_eq!(
        fs::read_to_string(gateway.config().join("b.yaml.unapplied")).unwrap(),
        "typo: 1\n"
    );
}
