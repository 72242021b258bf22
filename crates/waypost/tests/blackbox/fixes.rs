//! `waypost check --fix` mends what can mean one thing only, and leaves all else as it is.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::support::command::{Output, waypost_in};
use crate::support::tls::Authority;

const WRONG: &str = "# Shop.
listeners:
- bind: 127.0.0.1:0   # loopback

servcies:
  orders: http://10.0.0.1:80   # one for now
  users: { endpoints: [10.0.0.2:80] }

routes:
- { name: orders,  match: /orders/*,  to: orders }
- name: users
  match: { path: /users/* }
  tO: users   # later more
- { name: gone, match: { path: /old }, respond: 410 }
";

const RIGHT: &str = "# Shop.
listeners:
- bind: 127.0.0.1:0   # loopback

services:
  orders: { endpoints: [http://10.0.0.1:80] }   # one for now
  users: { endpoints: [http://10.0.0.2:80] }

routes:
- { name: orders,  match: { path: /orders/* },  to: orders }
- name: users
  match: { path: /users/* }
  to: users   # later more
- { name: gone, match: { path: /old }, respond: { status: 410 } }
";

fn place_with(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn read(directory: &TempDir, name: &str) -> String {
    fs::read_to_string(directory.path().join(name)).unwrap()
}

fn fix(directory: &Path, path: &str) -> Output {
    waypost_in(directory, &["check", "--fix", path])
}

#[test]
fn certain_mistakes_are_mended_and_shown() {
    let directory = place_with(&[("waypost.yaml", WRONG)]);
    let file = directory.path().join("waypost.yaml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();

    // Without the flag nothing is written, but what could be is told.
    let said = waypost_in(directory.path(), &["check"]).expect(1).stdout;
    assert!(
        said.contains("`waypost check --fix waypost.yaml` mends "),
        "{said}"
    );
    assert_eq!(read(&directory, "waypost.yaml"), WRONG);

    let said = fix(directory.path(), "waypost.yaml").expect(0).stdout;
    assert_eq!(read(&directory, "waypost.yaml"), RIGHT);
    for line in [
        "--- waypost.yaml",
        "+++ waypost.yaml",
        "-servcies:",
        "+services:",
        "+  orders: { endpoints: [http://10.0.0.1:80] }   # one for now",
        " - name: users",
        "mended 6 mistakes",
        "waypost.yaml: ok: 1 listener, 2 services, 3 routes, no tests",
    ] {
        assert!(said.lines().any(|said| said == line), "`{line}` in {said}");
    }
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);

    // Once more there is nothing to do.
    let said = fix(directory.path(), "waypost.yaml").expect(0).stdout;
    assert!(said.starts_with("nothing to mend unasked\n"), "{said}");
    assert_eq!(read(&directory, "waypost.yaml"), RIGHT);
}

#[test]
fn what_is_not_certain_is_left_alone() {
    let text = "listeners: [{ bind: 127.0.0.1:0 }]\nservices: { orders: { endpoints: [] } }\n\
                routes: [{ name: a, location: /a, proxy_pass: order, timeout: 5 }]\n";
    let directory = place_with(&[("waypost.yaml", text)]);
    let said = fix(directory.path(), "waypost.yaml").expect(1).stdout;
    assert_eq!(read(&directory, "waypost.yaml"), text);
    assert!(said.starts_with("nothing to mend unasked\n"), "{said}");
    assert!(said.contains("a duration has a unit"), "{said}");
}

#[test]
fn files_of_a_directory_and_links_are_mended() {
    let directory = place_with(&[
        ("target", "routes: [{ name: a, match: /a, to: orders }]\n"),
        ("other.txt", "servcies: {}\n"),
    ]);
    let config = directory.path().join("config");
    fs::create_dir(&config).unwrap();
    let listeners = "listeners: [{ bind: 127.0.0.1:0 }] # here\n";
    fs::write(config.join("a.yaml"), listeners).unwrap();
    fs::write(config.join("b.yaml"), "service: { orders: http://a }\n").unwrap();
    fs::write(config.join("d.yaml"), "sevices: { users: http://a }\ntests: []\n").unwrap();
    symlink("../target", config.join("c.yaml")).unwrap();
    fix(directory.path(), "config").expect(0);
    // `service` is near `services`, and means the same.
    assert_eq!(
        read(&directory, "config/b.yaml"),
        "services: { orders: { endpoints: [http://a] } }\n"
    );
    assert_eq!(
        read(&directory, "config/d.yaml"),
        "services: { users: { endpoints: [http://a] } }\ntests: []\n"
    );
    assert_eq!(
        read(&directory, "target"),
        "routes: [{ name: a, match: { path: /a }, to: orders }]\n"
    );
    assert!(fs::symlink_metadata(config.join("c.yaml")).unwrap().is_symlink());
    assert_eq!(read(&directory, "config/a.yaml"), listeners);
    assert_eq!(read(&directory, "other.txt"), "servcies: {}\n");
    // Nothing else is left behind.
    let mut names: Vec<String> = fs::read_dir(&config)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    assert_eq!(names, ["a.yaml", "b.yaml", "c.yaml", "d.yaml"]);
}

#[test]
fn json_has_suggestions_and_changes() {
    let directory = place_with(&[("waypost.yaml", WRONG)]);
    let document = waypost_in(directory.path(), &["check", "--format", "json"])
        .expect(1)
        .json();
    let diagnostics = document["diagnostics"].as_array().unwrap();
    let suggestion = |code: &str| {
        let mut found = diagnostics.iter().filter(|found| found["code"] == code);
        found.next().unwrap()["suggestion"].clone()
    };
    assert_eq!(
        suggestion("unknown-key"),
        json!({
            "file": "waypost.yaml",
            "line": 5,
            "column": 1,
            "end_line": 5,
            "end_column": 9,
            "replacement": "services",
            "certain": true,
        })
    );
    assert_eq!(suggestion("wrong-type")["replacement"], "{ path: /orders/* }");
    let document = waypost_in(directory.path(), &["check", "--fix", "--format", "json"])
        .expect(0)
        .json();
    assert_eq!(document["ok"], true);
    assert_eq!(document["diagnostics"], json!([]));
    assert_eq!(document["fixed"].as_array().unwrap().len(), 6);
    assert_eq!(document["fixed"][0]["replacement"], "services");
    assert_eq!(read(&directory, "waypost.yaml"), RIGHT);
}

#[test]
fn config_that_cannot_be_written_is_an_error() {
    let directory = place_with(&[]);
    fix(directory.path(), "missing.yaml").expect(2);
    fix(directory.path(), "/dev/null").expect(2);
}

#[test]
fn mistake_in_the_tls_of_a_listener_is_shown_once() {
    let authority = Authority::new();
    let (a, b) = (authority.issue(&["a.test"]), authority.issue(&["b.test"]));
    let files = [
        ("a.crt", &a.cert),
        ("a.key", &a.key),
        ("b.crt", &b.cert),
        ("b.key", &b.key),
    ];
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    for (tls, expected) in [
        (
            "{ certificates: [{ cert: a.crt, kye: a.key }] }",
            "did you mean `key`?",
        ),
        (
            "{ certificates: [{ cert: a.crt }] }",
            "a certificate has no `key`",
        ),
        (
            "{ certificates: [{ cert: a.crt, key: a.key }, { cert: b.crt, kee: b.key }] }",
            "did you mean `key`?",
        ),
        (
            "{ certificates: [{ cert: a.crt, key: a.key }, { cert: b.crt, key: b.key }], client_auth: { mode: optional } }",
            "has no `ca`",
        ),
        (
            "{ cert: a.crt }",
            "`certificates: [{ cert: api.crt, key: api.key }]`",
        ),
        ("{ certificates: a.crt }", "put it into a list"),
        ("true", "{ certificates: [{ cert: api.crt, key: api.key }] }"),
    ] {
        let config = format!(
            "listeners: [{{ bind: 127.0.0.1:0, hosts: [a.test, b.test], tls: {tls} }}]\n\
             routes: [{{ name: a, respond: {{ status: 204 }} }}]\n"
        );
        fs::write(directory.path().join("waypost.yaml"), config).unwrap();
        let document = waypost_in(directory.path(), &["check", "--format", "json"])
            .expect(1)
            .json();
        let found = document["diagnostics"].as_array().unwrap();
        assert_eq!(found.len(), 1, "{tls}: {document:#}");
        assert!(
            document.to_string().contains(
                &serde_json::to_string(expected)
                    .unwrap()
                    .trim_matches('"')
                    .to_owned()
            ),
            "{tls}: {document:#}"
        );
    }
}
