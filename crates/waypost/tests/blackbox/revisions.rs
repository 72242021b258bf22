//! Configs through the admin API: replaced, confirmed or reverted, listed, rolled back; on disk before the response.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::config::{Config, route_file};
use crate::support::gateway::Gateway;
use crate::support::message::Message;
use crate::support::wait_for;

const YAML: &str = "Content-Type: application/yaml\r\n";
const ADMIN: &str = "admin: { bind: 127.0.0.1:0 }";

/// A config with an admin API.
fn base() -> Config {
    Config::new().key(ADMIN)
}

/// A config that responds to everything with this body.
fn responding(text: &str) -> String {
    base().all_respond(text).to_string()
}

fn on_disk(gateway: &Gateway) -> String {
    fs::read_to_string(gateway.config()).unwrap()
}

/// The ETag of the config in force.
fn tag(gateway: &Gateway) -> String {
    let response = gateway.admin("GET", "/api/v1/config", "", "");
    response.header("etag").expect("an etag").to_owned()
}

fn put(gateway: &Gateway, query: &str, tag: &str, text: &str) -> Message {
    let fields = format!("{YAML}If-Match: {tag}\r\n");
    gateway.admin("PUT", &format!("/api/v1/config{query}"), &fields, text)
}

/// Numbers and origins of all revisions, newest first.
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
fn config_read_and_replaced_byte_for_byte() {
    let text = format!("# a comment, {{}}\r\n{}", responding("one"));
    let gateway = Gateway::verbatim(&text);
    let response = gateway.admin("GET", "/api/v1/config", "", "");
    assert_eq!(
        (response.text(), response.header("content-type")),
        (text, Some("application/yaml"))
    );
    let tag = response.header("etag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.len() > 10, "strong: {tag}");
    let next = format!("{}# no newline at the end", responding("two"));
    let response = put(&gateway, "", &tag, &next);
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(
        (&response.json()["revision"], &response.json()["summary"]),
        (&json!(2), &json!("routes ~all"))
    );
    // In force and on disk by the time of the response.
    assert_eq!(
        (gateway.body(), on_disk(&gateway)),
        ("two".to_owned(), next.clone())
    );
    assert_eq!(
        response.header("etag"),
        gateway.admin("GET", "/api/v1/config", "", "").header("etag")
    );
    assert_eq!(history(&gateway), entries(&[(2, "api"), (1, "file")]));
    // The same text is no change.
    let again = put(&gateway, "", "*", &next).json();
    assert_eq!(
        (&again["changed"], &again["revision"]),
        (&json!(false), &json!(2))
    );
}

#[test]
fn put_requires_the_current_etag() {
    let gateway = Gateway::verbatim(responding("one"));
    let first = tag(&gateway);
    assert_eq!(
        gateway
            .admin("PUT", "/api/v1/config", YAML, &responding("two"))
            .status(),
        428
    );
    assert_eq!(put(&gateway, "", "\"other\"", &responding("two")).status(), 412);
    assert_eq!(put(&gateway, "", &first, &responding("two")).status(), 200);
    assert_eq!(
        put(&gateway, "", &first, &responding("three")).status(),
        412,
        "stale"
    );
    assert_eq!(
        put(&gateway, "?dry_run=true", &first, &responding("three")).status(),
        412
    );
    assert_eq!(
        put(
            &gateway,
            "",
            &format!("\"x\", {}", tag(&gateway)),
            &responding("three")
        )
        .status(),
        200
    );
    // An edit on disk that has not been loaded yet is not overwritten either.
    let known = tag(&gateway);
    gateway.rewrite(responding("by hand"));
    assert_eq!(put(&gateway, "", &known, &responding("four")).status(), 412);
    assert_eq!(
        (gateway.body(), on_disk(&gateway)),
        ("by hand".to_owned(), responding("by hand"))
    );
}

#[test]
fn invalid_config_refused_with_diagnostics() {
    let gateway = Gateway::verbatim(responding("one"));
    let current = tag(&gateway);
    let response = put(&gateway, "", &current, &format!("{}typo: 1\n", responding("two")));
    assert_eq!(
        (response.status(), response.header("content-type")),
        (422, Some("application/problem+json"))
    );
    let diagnostic = &response.json()["diagnostics"][0];
    assert_eq!(
        (&diagnostic["code"], &diagnostic["line"]),
        (&json!("unknown-key"), &json!(7))
    );
    let failing = format!(
        "{}tests: [{{ request: GET /, expect: {{ status: 500 }} }}]\n",
        responding("two")
    );
    assert_eq!(
        put(&gateway, "", &current, &failing).json()["diagnostics"][0]["code"],
        "test-failed"
    );
    assert_eq!(put(&gateway, "", &current, "").status(), 422);
    let fields = format!("Content-Type: image/png\r\nIf-Match: {current}\r\n");
    assert_eq!(
        gateway
            .admin("PUT", "/api/v1/config", &fields, &responding("two"))
            .status(),
        415
    );
    assert_eq!(
        put(&gateway, "?confirm=x", &current, &responding("two")).status(),
        422
    );
    assert_eq!(
        put(&gateway, "?confirm=25h", &current, &responding("two")).status(),
        422
    );
    assert_eq!(
        put(&gateway, "?unknown=1", &current, &responding("two")).status(),
        400
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let other = Config::at(address).key(ADMIN).all_respond("two").to_string();
    assert_eq!(put(&gateway, "", &current, &other).status(), 409);
    assert_eq!(
        (gateway.body(), on_disk(&gateway)),
        ("one".to_owned(), responding("one"))
    );
    assert_eq!(
        (history(&gateway), tag(&gateway)),
        (entries(&[(1, "file")]), current)
    );
}

#[test]
fn dry_run_reports_without_applying() {
    let gateway = Gateway::verbatim(responding("one"));
    let response = put(&gateway, "?dry_run=true", &tag(&gateway), &responding("two"));
    let response = response.json();
    assert_eq!(
        (&response["dry_run"], &response["changed"], &response["revision"]),
        (&json!(true), &json!(true), &json!(1))
    );
    assert_eq!(response["summary"], "routes ~all");
    assert_eq!(
        (gateway.body(), on_disk(&gateway)),
        ("one".to_owned(), responding("one"))
    );
}

#[test]
fn confirmed_change_stays() {
    let gateway = Gateway::verbatim(responding("one"));
    assert_eq!(
        gateway.admin("POST", "/api/v1/config/confirm", "", "").status(),
        409
    );
    let response = put(&gateway, "?confirm=1h", &tag(&gateway), &responding("two"));
    assert!(response.json()["reverts_at"].is_string(), "{}", response.text());
    assert_eq!(
        (gateway.body(), on_disk(&gateway)),
        ("two".to_owned(), responding("one"))
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
        (gateway.body(), on_disk(&gateway)),
        ("two".to_owned(), responding("two"))
    );
    assert_eq!(gateway.admin_json("/api/v1/status")["pending"], Value::Null);
    assert_eq!(history(&gateway), entries(&[(2, "api"), (1, "file")]));
    assert_eq!(gateway.restarted().body(), "two");
}

#[test]
fn unconfirmed_change_reverted_with_its_dials() {
    let split = |weights: &str| {
        let config = base().service_at("a", &[], "").service_at("b", &[], "");
        config.route(&format!("name: r, to: {weights}")).to_string()
    };
    let gateway = Gateway::verbatim(split("{ a: 95, b: 5 }"));
    assert_eq!(gateway.dial("r", &json!({ "a": 1, "b": 1 })).status(), 200);
    let response = put(
        &gateway,
        "?confirm=50ms",
        &tag(&gateway),
        &split("{ a: 90, b: 10 }"),
    )
    .json();
    assert_eq!(response["dials_dropped"], json!(["r"]));
    gateway.wait_for("revision 2 was not confirmed: reverting it");
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
fn crash_reverts_an_unconfirmed_change() {
    let gateway = Gateway::verbatim(responding("one"));
    assert_eq!(
        put(&gateway, "?confirm=1h", &tag(&gateway), &responding("two")).status(),
        200
    );
    assert_eq!(gateway.body(), "two");
    let gateway = gateway.restarted();
    assert_eq!(gateway.body(), "one");
    assert_eq!(history(&gateway)[0].0, 3, "no number comes twice");
}

#[test]
fn new_change_replaces_a_pending_one() {
    let gateway = Gateway::verbatim(responding("one"));
    assert_eq!(
        put(&gateway, "?confirm=1h", &tag(&gateway), &responding("two")).status(),
        200
    );
    assert_eq!(
        put(&gateway, "?confirm=50ms", &tag(&gateway), &responding("three")).status(),
        200
    );
    gateway.wait_for("revision 3 was not confirmed");
    gateway.wait_for("revision 4 is in force");
    assert_eq!(
        gateway.body(),
        "one",
        "what was on disk comes back, not what waited"
    );
    assert_eq!(
        put(&gateway, "?confirm=1h", &tag(&gateway), &responding("five")).status(),
        200
    );
    assert_eq!(
        put(&gateway, "", &tag(&gateway), &responding("six")).status(),
        200
    );
    assert_eq!(
        gateway.admin("POST", "/api/v1/config/confirm", "", "").status(),
        409,
        "nothing waits any more"
    );
    assert_eq!(
        (gateway.body(), on_disk(&gateway)),
        ("six".to_owned(), responding("six"))
    );
    assert_eq!(
        put(&gateway, "?confirm=1h", &tag(&gateway), &responding("seven")).status(),
        200
    );
    gateway.rewrite(responding("by hand"));
    gateway.wait_for("the config on disk was edited: nothing waits to be confirmed any more");
    assert_eq!(gateway.body(), "by hand");
}

#[test]
fn rollbacks_are_revisions() {
    let gateway = Gateway::verbatim(responding("one"));
    let first = tag(&gateway);
    assert_eq!(put(&gateway, "", &first, &responding("two")).status(), 200);
    let back = |number: u64| gateway.admin("POST", &format!("/api/v1/revisions/{number}/rollback"), "", "");
    assert_eq!(back(1).json()["revision"], 3);
    assert_eq!(
        (gateway.body(), on_disk(&gateway)),
        ("one".to_owned(), responding("one"))
    );
    assert_eq!(back(2).json()["revision"], 4);
    assert_eq!(
        (gateway.body(), on_disk(&gateway)),
        ("two".to_owned(), responding("two"))
    );
    let stale = format!("If-Match: {first}\r\n");
    let refused = gateway.admin("POST", "/api/v1/revisions/1/rollback", &stale, "");
    assert_eq!(
        refused.status(),
        412,
        "another config is in force than the client has seen"
    );
    assert_eq!(gateway.body(), "two");
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
        (&json!("file"), &json!(responding("one")))
    );
    let gateway = gateway.restarted();
    assert_eq!(
        history(&gateway),
        entries(&expected),
        "a start with the same text adds none"
    );
    assert_eq!(gateway.body(), "two");
}

#[test]
fn revisions_number_responses_and_are_bounded() {
    let text = |number: u64| {
        format!(
            "state: {{ keep: 3 }}\ndebug_headers: true\n{}",
            responding(&number.to_string())
        )
    };
    let gateway = Gateway::verbatim(text(1));
    for number in 2..=5 {
        assert_eq!(put(&gateway, "", "*", &text(number)).status(), 200);
        let response = gateway.get("http://a/");
        assert_eq!(response.header("x-waypost-revision"), Some(&*number.to_string()));
    }
    assert_eq!(history(&gateway), entries(&[(5, "api"), (4, "api"), (3, "api")]));
    let gateway = gateway.restarted();
    assert_eq!(gateway.get("http://a/").header("x-waypost-revision"), Some("5"));
    gateway.rewrite(text(6));
    gateway.wait_for_revision(6);
    assert_eq!(history(&gateway)[0], (6, "file".to_owned()));
}

#[test]
fn unapplied_text_kept_when_replaced() {
    let gateway = Gateway::verbatim(responding("one"));
    let broken = format!("{}typo: 1\n", responding("half done"));
    gateway.replace(&broken);
    gateway.wait_for("waypost: revision 1 stays in force");
    assert_eq!(
        put(&gateway, "", &tag(&gateway), &responding("two")).status(),
        200
    );
    assert_eq!(
        (gateway.body(), on_disk(&gateway)),
        ("two".to_owned(), responding("two"))
    );
    gateway.wait_for_part("had never been in force; a copy is kept as");
    let kept = fs::read_to_string(format!("{}.unapplied", gateway.config().display())).unwrap();
    assert_eq!(kept, broken);
}

#[test]
fn symlink_target_replaced() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("real")).unwrap();
    let (real, link) = (
        directory.path().join("real/config.yaml"),
        directory.path().join("waypost.yaml"),
    );
    fs::write(&real, responding("one")).unwrap();
    std::os::unix::fs::symlink("real/config.yaml", &link).unwrap();
    let gateway = Gateway::run(directory, link.clone(), &[]);
    assert_eq!(put(&gateway, "", "*", &responding("two")).status(), 200);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&real).unwrap(), responding("two"));
}

/// A gateway whose config is a directory: a file with the listener, and one per route.
fn directory(routes: &[&str]) -> Gateway {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config");
    fs::create_dir(&config).unwrap();
    fs::write(config.join("00.yaml"), base()).unwrap();
    for route in routes {
        fs::write(config.join(format!("{route}.yaml")), route_file(route, "old")).unwrap();
    }
    Gateway::run(directory, config, &[])
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
fn directory_files_replaced_singly_or_together() {
    let gateway = directory(&["a", "b"]);
    let file = "/api/v1/config/files/a.yaml";
    let response = gateway.admin("GET", file, "", "");
    assert_eq!(response.text(), route_file("a", "old"));
    let fields = format!("{YAML}If-Match: {}\r\n", response.header("etag").unwrap());
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
    let long = format!("{}.yaml", "x".repeat(251));
    for name in ["..%2Fa.yaml", ".hidden.yaml", "a.txt", "a%2Fb.yaml", &long] {
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
    let response = gateway.admin("PUT", "/api/v1/config", &fields, &all.to_string());
    assert_eq!(
        (response.status(), &response.json()["summary"]),
        (200, &json!("routes -b"))
    );
    assert_eq!(names(gateway.config()), ["00.yaml", "a.yaml", "c.yaml"]);

    let back = gateway.admin("POST", "/api/v1/revisions/1/rollback", "", "");
    assert_eq!(back.status(), 200, "{}", back.text());
    assert_eq!(names(gateway.config()), ["00.yaml", "a.yaml", "b.yaml"]);
    assert_eq!(gateway.get("http://x/a").text(), "old");
    let same = gateway.restarted();
    assert_eq!(history(&same).len(), 5);
    // The commands accept directories.
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
fn directory_that_is_too_large_is_not_applied_and_says_so() {
    let gateway = Gateway::verbatim(responding("one"));
    let next = gateway.directory().join("next");
    fs::create_dir(&next).unwrap();
    let comment = format!("#{}\n", "\"".repeat((6 << 20) - 2));
    for name in ["a.yaml", "b.yaml", "c.yaml"] {
        fs::write(next.join(name), &comment).unwrap();
    }
    let refused = gateway.command(&["apply", "next"]).expect(2);
    assert!(
        refused.stderr.contains("its texts have 18874368 bytes in all"),
        "{}",
        refused.stderr
    );
    assert_eq!(gateway.get("http://a/").text(), "one");
}

#[test]
fn history_apply_and_rollback_commands() {
    let gateway = Gateway::verbatim(responding("one"));
    fs::write(gateway.directory().join("next"), responding("two")).unwrap();
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
    assert!(
        applied.contains("unless you confirm it: waypost confirm\n"),
        "{applied}"
    );
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
        responding("one")
    );
    let diff = gateway.command(&["history", "diff", "1", "2"]).expect(0).stdout;
    let [old, new] = ["-", "+"].map(|sign| format!("\n{sign}- {{ name: all, "));
    assert!(diff.contains(&old) && diff.contains(&new), "{diff}");
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
fn put_of_the_running_text_repairs_the_disk() {
    let gateway = Gateway::verbatim(responding("one"));
    gateway.replace(format!("{}typo: 1\n", responding("half done")));
    gateway.wait_for("waypost: revision 1 stays in force");
    let response = put(&gateway, "", &tag(&gateway), &responding("one")).json();
    assert_eq!(
        (&response["changed"], on_disk(&gateway)),
        (&json!(false), responding("one"))
    );
    assert_eq!(gateway.admin_json("/api/v1/status")["failed_load"], Value::Null);
    // A rollback to the running revision restores a removed file.
    fs::remove_file(gateway.config()).unwrap();
    gateway.wait_for_part("stays in force");
    let back = gateway.admin("POST", "/api/v1/revisions/1/rollback", "", "");
    assert_eq!((back.status(), on_disk(&gateway)), (200, responding("one")));
}

#[test]
fn sighup_keeps_a_pending_change_but_an_edit_ends_it() {
    let gateway = Gateway::verbatim(responding("one"));
    assert_eq!(
        put(&gateway, "?confirm=1h", &tag(&gateway), &responding("two")).status(),
        200
    );
    gateway.signal(rustix::process::Signal::HUP);
    // The control handles the signal and the request in either order.
    assert_eq!(gateway.admin_json("/api/v1/revisions")[0]["number"], 2);
    assert_eq!(gateway.body(), "two");
    assert_eq!(gateway.admin_json("/api/v1/status")["pending"]["revision"], 2);
    gateway.rewrite(responding("by hand"));
    let confirmed = gateway.admin("POST", "/api/v1/config/confirm", "", "");
    assert_eq!(confirmed.status(), 409, "{}", confirmed.text());
    assert_eq!(
        (gateway.body(), on_disk(&gateway)),
        ("by hand".to_owned(), responding("by hand"))
    );
}

#[test]
fn failed_revert_retried() {
    // No other test binds this address, so its ports stay free.
    let port = std::net::TcpListener::bind("127.83.12.7:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let one = Config::at(port).key(ADMIN).all_respond("one").to_string();
    let gateway = Gateway::verbatim(&one);
    assert_eq!(
        put(&gateway, "?confirm=1h", "*", &responding("two")).status(),
        200
    );
    // Take the port, which is free by now, before the confirmation times out.
    let taken = wait_for("the port", || std::net::TcpListener::bind(port).ok());
    assert_eq!(
        put(&gateway, "?confirm=1ms", "*", &responding("two")).status(),
        200
    );
    gateway.wait_for("waypost: the change cannot be reverted");
    assert_eq!(gateway.admin_json("/api/v1/status")["pending"]["revision"], 2);
    drop(taken);
    gateway.wait_for_revision(3);
    assert_eq!(Client::connect(port).get("http://a/").text(), "one");
}

#[test]
fn partial_replacement_undone() {
    let split = |weight: u64| {
        format!(
            "services: {{ s: {{ endpoints: [] }}, t: {{ endpoints: [] }} }}\nroutes: [{{ name: r, to: {{ s: {weight}, t: 1 }} }}]\n"
        )
    };
    let gateway = directory(&["a"]);
    gateway.place("config/r.yaml", &split(1));
    gateway.wait_for_revision(2);
    assert_eq!(gateway.dial("r", &json!({ "s": 7, "t": 7 })).status(), 200);
    // A directory in the place of the new file.
    fs::create_dir(gateway.config().join("z.yaml")).unwrap();
    let mut all = gateway.admin_json("/api/v1/config");
    let files = all["files"].as_array_mut().unwrap();
    for file in files.iter_mut().filter(|file| file["name"] == "r.yaml") {
        file["text"] = split(2).into();
    }
    files.push(json!({ "name": "z.yaml", "text": route_file("z", "new") }));
    let fields = "Content-Type: application/json\r\nIf-Match: *\r\n";
    let response = gateway.admin("PUT", "/api/v1/config", fields, &all.to_string());
    assert_eq!(response.status(), 507, "{}", response.text());
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
fn edits_noticed_under_api_load() {
    let gateway = Gateway::verbatim(responding("one"));
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                gateway.admin_json("/api/v1/revisions");
            }
        });
        gateway.rewrite(responding("two"));
        gateway.wait_for_revision(2);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(gateway.body(), "two");
}

#[test]
fn refused_change_uses_no_revision() {
    let gateway = Gateway::verbatim(format!("state: {{ keep: 1 }}\n{}", responding("one")));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let other = Config::at(address).key(ADMIN).all_respond("two").to_string();
    let response = put(&gateway, "", "*", &format!("state: {{ keep: 1 }}\n{other}"));
    assert_eq!(response.status(), 409);
    assert_eq!(history(&gateway), entries(&[(1, "file")]));
}

#[test]
fn repeated_put_extends_the_confirmation() {
    let gateway = Gateway::verbatim(responding("one"));
    let ends = |query: &str| put(&gateway, query, "*", &responding("two")).json()["reverts_at"].clone();
    let (first, second) = (ends("?confirm=1h"), ends("?confirm=2h"));
    assert!(first.as_str() < second.as_str(), "{first} {second}");
    assert_eq!(history(&gateway).len(), 2);
}

#[test]
fn status_fails_while_the_disk_is_broken() {
    let gateway = directory(&["a", "b"]);
    gateway.place("config/b.yaml", "typo: 1\n");
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
    // The whole running config is written, and the broken text kept under another name.
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
