//! Output and exit codes of `explain`, `check`, `test`, `schema`, `completions` and `man`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::command::{Output, output, repository, waypost_in};
use crate::support::config::Config;
use crate::support::gateway::Gateway;

const CONFIG: &str = r#"
listeners:
  - name: public
    bind: 127.0.0.1:8080
    hosts: [api.example.com]
  - name: inside
    bind: 127.0.0.1:8081
services:
  orders:   { endpoints: ["http://127.0.0.1:9001"] }
  users-v1: { endpoints: ["http://127.0.0.1:9002"] }
  users-v2: { endpoints: ["http://127.0.0.1:9003"] }
routes:
  - name: orders
    match: { path: /orders/* }
    to: orders
    rewrite: { prefix: /o, host: orders.internal }
    request_headers: { set: { x-gateway: waypost }, remove: [x-internal] }
  - name: opt-in
    match: { path: /users/*, headers: { x-api-version: "2" } }
    to: users-v2
  - name: users
    match: { path: /users/* }
    to: { users-v1: 95, users-v2: 5, orders: 0 }
  - name: old
    match: { path: /old/* }
    redirect: { status: 308, prefix: /new }
  - name: gone
    match: { host: api.example.com, path: /gone }
    respond: { status: 410, body: gone }
  - name: nowhere
    match: { path: /nowhere }
    to: {}
tests:
  - request: GET http://api.example.com/orders/7
    expect: { route: orders, service: orders, path: /o/7 }
"#;

/// A directory with the config above as `waypost.yaml`, the default name.
fn place() -> TempDir {
    place_with(CONFIG)
}

fn place_with(config: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("waypost.yaml"), config).unwrap();
    directory
}

fn explain(arguments: &[&str]) -> Value {
    let directory = place();
    let mut all = vec!["explain"];
    all.extend(arguments);
    all.extend(["--format", "json"]);
    waypost_in(directory.path(), &all).expect(0).json()
}

/// The members of `answer` that `wanted` has.
fn part(answer: &Value, wanted: &Value) -> Value {
    let keys = wanted.as_object().unwrap().keys();
    keys.map(|key| {
        (
            key.clone(),
            answer.get(key).cloned().unwrap_or(json!("(missing)")),
        )
    })
    .collect()
}

#[test]
fn explain_gives_the_outcome() {
    let cases: &[(&[&str], Value)] = &[
        (
            &["GET", "http://api.example.com/orders/7?a=1"],
            json!({
                "outcome": "forward", "route": "orders", "service": "orders",
                "path": "/o/7", "query": "a=1", "host": "orders.internal",
            }),
        ),
        (
            &["GET", "http://api.example.com/users/7", "-H", "x-api-version: 2"],
            json!({ "outcome": "forward", "route": "opt-in", "service": "users-v2", "query": null }),
        ),
        (
            &["GET", "http://api.example.com/users/7"],
            json!({
                "outcome": "forward", "route": "users",
                "arms": [
                    { "service": "users-v1", "weight": 95 },
                    { "service": "users-v2", "weight": 5 },
                    { "service": "orders", "weight": 0 },
                ],
            }),
        ),
        (
            &["GET", "http://api.example.com/old/x?y"],
            json!({
                "outcome": "redirect", "route": "old", "status": 308,
                "location": "http://api.example.com/new/x?y",
            }),
        ),
        (
            &["GET", "http://api.example.com/gone"],
            json!({ "outcome": "respond", "route": "gone", "status": 410 }),
        ),
        (
            &["GET", "http://api.example.com/nowhere"],
            json!({ "outcome": "unavailable", "route": "nowhere", "status": 500 }),
        ),
        (
            &["GET", "http://api.example.com/nothing"],
            json!({ "outcome": "not_found", "route": null, "status": 404 }),
        ),
        (
            &["GET", "http://api.example.com/a%2Fb"],
            json!({ "outcome": "refused", "route": null, "status": 400 }),
        ),
        // A path names no host, so only the listener without `hosts` serves it.
        (
            &["GET", "/orders/7"],
            json!({ "outcome": "forward", "route": "orders" }),
        ),
        (
            &[
                "GET",
                "http://nowhere.example/orders/7",
                "-H",
                "Host: api.example.com",
            ],
            json!({ "outcome": "forward", "route": "orders" }),
        ),
        (
            &["GET", "http://other.example.com/orders/7", "--listener", "public"],
            json!({ "outcome": "not_found", "status": 404 }),
        ),
        (
            &["GET", "http://other.example.com/orders/7", "--listener", "inside"],
            json!({ "outcome": "forward", "route": "orders" }),
        ),
    ];
    for (arguments, wanted) in cases {
        let answer = explain(arguments);
        assert_eq!(part(&answer, wanted), *wanted, "{arguments:?}");
    }
}

#[test]
fn explain_shows_the_service_headers() {
    let answer = explain(&[
        "GET",
        "http://api.example.com/orders/7",
        "-H",
        "X-Internal: 1",
        "-H",
        "Connection: x-hop",
        "-H",
        "X-Hop: 1",
        "-H",
        "Accept: */*",
        "--client-ip",
        "192.0.2.7",
    ]);
    let headers = answer["headers"].as_array().unwrap();
    let value = |name: &str| {
        let found = headers
            .iter()
            .find(|header| header[0].as_str().unwrap().eq_ignore_ascii_case(name));
        found.map(|header| header[1].as_str().unwrap())
    };
    assert_eq!(value("host"), Some("orders.internal"));
    assert_eq!(value("x-gateway"), Some("waypost"));
    assert_eq!(value("x-forwarded-for"), Some("192.0.2.7"));
    assert_eq!(value("x-forwarded-host"), Some("api.example.com"));
    assert_eq!(value("accept"), Some("*/*"));
    for gone in ["x-internal", "x-hop", "connection"] {
        assert_eq!(value(gone), None, "{gone}");
    }
}

#[test]
fn explain_gives_a_reason_per_route() {
    let users = ["GET", "http://other.example.com/users/7"];
    let answer = explain(&users);
    assert_eq!(
        answer["considered"],
        json!([
            {
                "route": "nowhere", "alternative": 0, "matched": false,
                "because": { "condition": "path", "wants": "/nowhere", "saw": "/users/7" },
            },
            {
                "route": "opt-in", "alternative": 0, "matched": false,
                "because": { "condition": "header x-api-version", "wants": "2", "saw": null },
            },
            {
                "route": "orders", "alternative": 0, "matched": false,
                "because": { "condition": "path", "wants": "/orders/*", "saw": "/users/7" },
            },
            { "route": "users", "alternative": 0, "matched": true },
            {
                "route": "old", "alternative": 0, "matched": false,
                "because": { "condition": "path", "wants": "/old/*", "saw": "/users/7" },
            },
        ])
    );
    let all = explain(&["GET", "http://other.example.com/users/7", "--all"]);
    let considered = all["considered"].as_array().unwrap();
    assert_eq!(considered.len(), 6);
    assert_eq!(
        considered[0]["route"], "gone",
        "the more specific host comes first"
    );
    assert_eq!(considered[0]["because"]["condition"], "host");
    assert_eq!(considered[0]["because"]["saw"], "other.example.com");
}

#[test]
fn explain_text_names_route_and_reasons() {
    let directory = place();
    let said = waypost_in(
        directory.path(),
        &["explain", "GET", "http://api.example.com/users/7"],
    )
    .expect(0);
    for part in [
        "users-v1 95%",
        "users-v2 5%",
        "opt-in",
        "header x-api-version wants 2, saw none",
        "takes it",
    ] {
        assert!(said.stdout.contains(part), "`{part}` in {}", said.stdout);
    }
}

#[test]
fn explain_accepts_a_config_path_first() {
    let directory = place();
    fs::rename(
        directory.path().join("waypost.yaml"),
        directory.path().join("other.yaml"),
    )
    .unwrap();
    let asked = ["explain", "other.yaml", "GET", "http://api.example.com/orders/7"];
    waypost_in(directory.path(), &asked).expect(0);
    waypost_in(
        directory.path(),
        &["explain", "GET", "http://api.example.com/orders/7"],
    )
    .expect(2);
}

#[test]
fn explain_reports_a_missing_method() {
    let directory = place();
    fs::create_dir(directory.path().join("conf")).unwrap();
    for config in ["waypost.yaml", "conf", "other.yaml", "conf/a"] {
        let asked = ["explain", config, "http://api.example.com/"];
        let said = waypost_in(directory.path(), &asked).expect(2);
        let wanted =
            format!("the method is missing; hint: waypost explain {config} GET http://api.example.com/");
        assert!(said.stderr.contains(&wanted), "{}", said.stderr);
    }
}

#[test]
fn explain_reads_curl_arguments() {
    let cases: &[(&[&str], Value)] = &[
        (
            &["curl", "-H", "x-api-version: 2", "http://api.example.com/users/7"],
            json!({ "route": "opt-in" }),
        ),
        (
            &[
                "curl",
                "-sS",
                "-X",
                "POST",
                "http://api.example.com/orders/7",
                "-d",
                "a=b",
            ],
            json!({ "route": "orders", "path": "/o/7" }),
        ),
    ];
    for (words, wanted) in cases {
        let directory = place();
        let mut arguments = vec!["explain", "--format", "json", "--curl"];
        arguments.extend(*words);
        let answer = waypost_in(directory.path(), &arguments).expect(0).json();
        assert_eq!(part(&answer, wanted), *wanted, "{words:?}");
    }
}

#[test]
fn explain_reads_an_access_log() {
    let directory = place();
    let line = |path: &str, route: Value| {
        let line = json!({
            "client": "127.0.0.1", "method": "GET", "host": "api.example.com", "path": path, "query": null,
            "route": route, "status": 200,
        });
        format!("{line}\n")
    };
    let log = line("/orders/1", json!("orders")) + &line("/gone", json!("users")) + &line("/x", Value::Null);
    fs::write(directory.path().join("access.log"), log).unwrap();
    let asked = [
        "explain",
        "waypost.yaml",
        "--log",
        "access.log",
        "--format",
        "json",
    ];
    let answers = waypost_in(directory.path(), &asked).expect(0).json();
    let found: Vec<(&Value, &Value)> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (&line["logged_route"], &line["answer"]["route"]))
        .collect();
    assert_eq!(
        found,
        [
            (&json!("orders"), &json!("orders")),
            (&json!("users"), &json!("gone")),
            (&Value::Null, &Value::Null),
        ]
    );
    let words = waypost_in(directory.path(), &asked[..4]).expect(0);
    assert!(words.stdout.contains("logged: users"), "{}", words.stdout);
}

#[test]
fn explain_skips_refused_log_lines() {
    let directory = place();
    let line = |method: &str, route: Value, status: u16, ended_by: &str| {
        let line = json!({
            "client": "127.0.0.1", "method": method, "host": "", "path": "/orders/1", "query": null,
            "route": route, "status": status, "ended_by": ended_by, "reason": "any",
        });
        format!("{line}\n")
    };
    let log = line("", Value::Null, 400, "gateway")
        + &line("GET", Value::Null, 413, "gateway")
        + &line("GET", Value::Null, 200, "gateway")
        + &line("GET", json!("users"), 502, "gateway");
    fs::write(directory.path().join("access.log"), log).unwrap();
    let asked = ["explain", "--log", "access.log", "--format", "json"];
    let said = waypost_in(directory.path(), &asked[..3]).expect(0);
    assert_eq!(
        said.stdout,
        "1  refused: 400, not explained\n\
         2  GET /orders/1  orders → orders\n\
         3  GET /orders/1  orders → orders  (logged: no route)\n\
         4  GET /orders/1  orders → orders  (logged: users)\n"
    );
    let document = waypost_in(directory.path(), &asked).expect(0).json();
    assert_eq!(
        document[0],
        json!({ "line": 1, "reason": "refused: 400, not explained" })
    );
    assert_eq!(document[1]["answer"]["route"], "orders");
}

#[test]
fn check_names_file_line_and_column() {
    let directory = place_with(&CONFIG.replace("    to: orders\n", "    to: order\n"));
    let said = waypost_in(directory.path(), &["check"]).expect(1);
    assert!(
        said.stdout.starts_with("waypost.yaml:15:9: error"),
        "{}",
        said.stdout
    );
    assert!(said.stdout.contains("`order`"), "{}", said.stdout);
    assert!(said.stdout.contains("hint: "), "{}", said.stdout);

    let absolute = directory.path().join("waypost.yaml");
    let said = waypost_in(Path::new("/"), &["check", absolute.to_str().unwrap()]).expect(1);
    let start = format!("{}:15:9: ", absolute.display());
    assert!(said.stdout.starts_with(&start), "{}", said.stdout);

    let asked = ["check", "waypost.yaml", "--format", "json"];
    let document = waypost_in(directory.path(), &asked).expect(1).json();
    assert_eq!(document["ok"], false);
    assert_eq!(document["errors"], 1);
    assert_eq!(document["diagnostics"][0]["severity"], "error");
}

#[test]
fn check_reports_all_errors_at_once() {
    let config = CONFIG
        .replace("    to: orders\n", "    to: order\n")
        .replace("status: 308", "status: 309")
        .replace("    hosts:", "    host:")
        .replace("path: /nowhere", "path: nowhere");
    let directory = place_with(&config);
    let document = waypost_in(directory.path(), &["check", "--format", "json"])
        .expect(1)
        .json();
    assert_eq!(document["errors"], 4, "{document:#}");
}

#[test]
fn check_refuses_replacements_that_no_path_has() {
    for text in ["/find?a=1", "/find#a", "/a%2Fb", "/a%", "/a b", "new"] {
        let regex = format!("{{ regex: [\"^/x\", \"{text}\"] }}");
        for route in [
            format!("name: r, to: a, rewrite: {regex}"),
            format!("name: r, redirect: {regex}"),
        ] {
            let config = Config::new().service_at("a", &[], "").route(&route);
            let checked = waypost_in(place_with(config.as_ref()).path(), &["check"]).expect(1);
            let said = &checked.stdout;
            assert!(
                said.contains("error[bad-rewrite]") && said.contains("hint: "),
                "{said}"
            );
        }
    }
}

#[test]
fn check_prints_one_line_for_a_good_config() {
    let directory = place();
    let said = waypost_in(directory.path(), &["check"]).expect(0);
    assert_eq!(
        said.stdout,
        "waypost.yaml: ok: 2 listeners, 3 services, 6 routes, 1 test passes\n"
    );
    assert_eq!(said.stderr, "");
}

#[test]
fn check_without_files_does_not_miss_them() {
    let directory = TempDir::new().unwrap();
    let write = |text: &str| fs::write(directory.path().join("c.yaml"), text).unwrap();
    let listener = "listeners: [{ bind: 127.0.0.1:0, tls: { certificates: [{ cert: a.crt, key: a.key }], \
        client_auth: { ca: ca.crt } } }]\nx-unused: [1]\n";
    let services = "services: { s: { endpoints: [https://a.test], tls: { ca: b.crt } } }\n";
    write(&format!("{listener}{services}routes: [{{ name: r, to: s }}]\n"));
    let output = waypost_in(directory.path(), &["check", "c.yaml"]).expect(1);
    assert!(output.stdout.contains("a.crt"), "{}", output.stdout);
    let output = waypost_in(directory.path(), &["check", "c.yaml", "--without-files"]).expect(0);
    assert!(
        output.stdout.starts_with("c.yaml: ok: 1 listener"),
        "{}",
        output.stdout
    );
    let arguments = ["check", "c.yaml", "--without-files", "--format", "json"];
    let output = waypost_in(directory.path(), &arguments).expect(0);
    assert_eq!(output.json()["ok"], json!(true));
    // Anything else is checked as ever, tests included.
    write(&format!(
        "{listener}{services}routes: [{{ name: r, to: s }}]\ntests: [{{ request: GET /, expect: {{ status: 404 }} }}]\n"
    ));
    let output = waypost_in(directory.path(), &["check", "c.yaml", "--without-files"]).expect(1);
    assert!(output.stdout.contains("test-failed"), "{}", output.stdout);
    assert!(!output.stdout.contains("a.crt"), "{}", output.stdout);
}

#[test]
fn the_request_of_a_warning_goes_where_the_warning_says() {
    let listeners = "listeners:\n\
        - { bind: 127.0.0.1:1, name: moved, hosts: [m.test], redirect: { scheme: https } }\n\
        - { bind: 127.0.0.1:2, name: plain, hosts: [\"*.test\"], trusted_proxies: [10.0.0.0/8] }\n\
        - { bind: 127.0.0.1:3, name: secure, hosts: [m.test, s.test], tls: { certificates: [{ cert: a, key: b }] } }\n\
        services: { s: { endpoints: [http://127.0.0.1:9] } }\nroutes:\n";
    for (first, second) in [
        (
            "path: /a/*, headers: { x: \"1\" }",
            "path: /a/*, cookies: { y: \"it's\" }",
        ),
        (
            "listener: secure, query: { x: a&b }",
            "listener: secure, query: { y: \"2\" }",
        ),
        (
            "scheme: https, headers: { x: true }",
            "scheme: https, cookies: { y: true }",
        ),
        (
            "scheme: http, headers: { x: true }",
            "scheme: http, cookies: { y: true }",
        ),
        (
            "host: m.test, headers: { x: true }",
            "host: m.test, cookies: { y: true }",
        ),
        (
            "host: s.test, listener: [secure, plain], client_ip: 10.0.0.0/8",
            "host: s.test, listener: plain, client_ip: [10.1.0.0/16, 11.0.0.0/8]",
        ),
        (
            "host: \"*.test\", path: ~^/a, method: GET",
            "host: \"*.test\", path: ~b$, method: [GET, PUT]",
        ),
        (
            "path: [/x, /y/*], method: [PUT, POST]",
            "path: [/y/*, /z], method: [POST, DELETE]",
        ),
    ] {
        let directory = TempDir::new().unwrap();
        let routes = format!(
            "- {{ name: first, to: s, match: {{ {first} }} }}\n- {{ name: second, to: s, match: {{ {second} }} }}\n"
        );
        fs::write(directory.path().join("c.yaml"), format!("{listeners}{routes}")).unwrap();
        let arguments = ["check", "c.yaml", "--without-files", "--format", "json"];
        let checked = waypost_in(directory.path(), &arguments).expect(0).json();
        let warnings = checked["diagnostics"].as_array().unwrap();
        let ambiguous = warnings.iter().find(|one| one["code"] == "ambiguous-routes");
        let message = ambiguous.unwrap_or_else(|| panic!("{routes}{checked}"))["message"]
            .as_str()
            .unwrap();
        let (_, witness) = message.split_once("which takes `").unwrap();
        let script = format!(
            "'{}' explain c.yaml {} --format json",
            env!("CARGO_BIN_EXE_waypost"),
            witness.strip_suffix('`').unwrap()
        );
        let mut shell = std::process::Command::new("sh");
        let explanation = output(shell.args(["-c", &script]).current_dir(directory.path()))
            .expect(0)
            .json();
        assert_eq!(explanation["route"], "first", "{script}\n{explanation}");
        let considered = explanation["considered"].as_array().unwrap().iter();
        let second = considered.filter(|one| one["route"] == "second" && one["matched"] == true);
        assert_eq!(second.count(), 1, "{script}\n{explanation}");
    }
}

#[test]
fn check_limits_lists_all_limits() {
    let directory = place();
    let said = waypost_in(directory.path(), &["check", "--limits"]).expect(0);
    for limit in [
        "header_bytes",
        "64KiB",
        "timeouts.connect",
        "limits.requests",
        "limits.waiting",
        "trailers",
        "interim responses",
        "drain_timeout",
    ] {
        assert!(said.stdout.contains(limit), "`{limit}` in {}", said.stdout);
    }
    let document = waypost_in(directory.path(), &["check", "--limits", "--format", "json"])
        .expect(0)
        .json();
    let limits = document["limits"].as_array().unwrap();
    assert!(limits.len() > 20, "{document}");
    let idle = limits.iter().find(|limit| limit["limit"] == "keep_alive_timeout");
    assert_eq!(idle.unwrap()["value"], "1m15s");
}

#[test]
fn check_shows_100_errors_and_counts_the_rest() {
    let mut config = String::from("listeners: [{ bind: 127.0.0.1:8080 }]\nroutes:\n");
    for number in 0..130 {
        config += &format!("  - {{ name: r{number}, match: {{ path: /r{number} }}, to: unknown }}\n");
    }
    let directory = place_with(&config);
    let said = waypost_in(directory.path(), &["check"]).expect(1);
    assert_eq!(said.stdout.matches(": error[").count(), 100);
    assert!(said.stdout.contains("30 more"), "{}", said.stdout);
}

#[test]
fn test_shows_differences_and_unasserted_routes() {
    let directory = place();
    let said = waypost_in(directory.path(), &["test"]).expect(0);
    assert!(
        said.stdout.contains("1 test: 1 passed, 0 failed"),
        "{}",
        said.stdout
    );
    assert!(
        said.stdout
            .contains("routes that no test asserts: opt-in, users, old, gone, nowhere"),
        "{}",
        said.stdout
    );

    let directory = place_with(&CONFIG.replace("path: /o/7", "path: /o/8"));
    let said = waypost_in(directory.path(), &["test"]).expect(1);
    for part in ["FAIL", "/o/8", "/o/7", "0 passed, 1 failed"] {
        assert!(said.stdout.contains(part), "`{part}` in {}", said.stdout);
    }
    let document = waypost_in(directory.path(), &["test", "--format", "json"])
        .expect(1)
        .json();
    assert_eq!(document["failed"], 1);
    assert_eq!(document["tests"][0]["ok"], false);
    // `check` reports it too, at the place of the test.
    let said = waypost_in(directory.path(), &["check"]).expect(1);
    assert!(said.stdout.starts_with("waypost.yaml:34:"), "{}", said.stdout);
}

#[test]
fn only_passing_tests_assert_routes() {
    let cases = [
        (
            "GET http://api.example.com/orders/7",
            "{ route: orders }",
            "orders",
        ),
        (
            "GET http://api.example.com/orders/7",
            "{ service: orders }",
            "orders",
        ),
        ("GET http://api.example.com/orders/7", "{ path: /o/7 }", "orders"),
        (
            "GET http://api.example.com/users/7",
            "{ arms: [users-v1, users-v2] }",
            "users",
        ),
        ("GET http://api.example.com/gone", "{ status: 410 }", "gone"),
        (
            "GET http://api.example.com/old/x",
            "{ location: 'http://api.example.com/new/x' }",
            "old",
        ),
        ("GET http://api.example.com/orders/7", "{ outcome: forward }", ""),
        (
            "GET http://api.example.com/orders/7",
            "{ host: orders.internal }",
            "",
        ),
        ("GET http://api.example.com/nothing", "{ status: 404 }", ""),
        // Failing tests assert nothing.
        ("GET http://api.example.com/orders/7", "{ route: users }", ""),
        (
            "GET http://api.example.com/orders/7",
            "{ route: orders, path: /o/8 }",
            "",
        ),
    ];
    let (routes, _) = CONFIG.split_once("tests:").unwrap();
    for (request, expect, asserted) in cases {
        let config = format!("{routes}tests:\n  - {{ request: {request}, expect: {expect} }}\n");
        let directory = place_with(&config);
        let said = waypost_in(directory.path(), &["test", "--format", "json"]);
        let document: Value = serde_json::from_str(&said.stdout).unwrap();
        let mut wanted = vec!["orders", "opt-in", "users", "old", "gone", "nowhere"];
        wanted.retain(|name| *name != asserted);
        assert_eq!(document["unasserted_routes"], json!(wanted), "{request} {expect}");
    }
}

#[test]
fn schema_prints_a_json_schema() {
    let schema = waypost_in(Path::new("/"), &["schema"]).expect(0).json();
    assert!(schema["$schema"].is_string());
    for key in ["listeners", "services", "routes", "tests", "access_log"] {
        assert!(schema["properties"][key].is_object(), "{key}");
    }
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let script = waypost_in(Path::new("/"), &["completions", shell])
            .expect(0)
            .stdout;
        assert!(
            script.contains("waypost") && script.contains("explain"),
            "{shell}"
        );
    }
    waypost_in(Path::new("/"), &["completions", "csh"]).expect(2);
}

#[test]
fn exit_codes() {
    let good = CONFIG;
    let cases: &[(&str, &[&str], i32)] = &[
        (good, &["check", "missing.yaml"], 2),
        (good, &["test", "missing.yaml"], 2),
        (good, &["run", "missing.yaml"], 2),
        (good, &["explain", "missing.yaml", "GET", "/"], 2),
        (good, &["explain", "GET"], 2),
        (good, &["explain", "GET", "/", "--listener", "unknown"], 2),
        (good, &["explain", "GET", "/", "-H", "no colon"], 2),
        (good, &["explain", "--log", "missing.log"], 2),
        (good, &["fly"], 2),
        (good, &["check", "--format", "xml"], 2),
        (good, &["--version"], 0),
        (good, &["--help"], 0),
        (good, &["run", "--help"], 0),
        ("", &["check"], 1),
        ("", &["test"], 1),
        ("", &["run"], 1),
        ("", &["explain", "GET", "/"], 1),
        ("- a\n- b\n", &["check"], 1),
        ("listeners: []\n", &["check"], 1),
        ("services: {}\n", &["check"], 1),
        ("a: 1\n---\nb: 2\n", &["check"], 1),
        ("listeners: [", &["check"], 1),
        ("\u{feff}listeners: [{ bind: 127.0.0.1:0 }]\n", &["check"], 0),
    ];
    for (config, arguments, code) in cases {
        let directory = place_with(config);
        let Output {
            code: got,
            stdout,
            stderr,
        } = waypost_in(directory.path(), arguments);
        assert_eq!(got, *code, "{arguments:?} with {config:?}: {stdout}{stderr}");
        assert!(
            !stdout.is_empty() || !stderr.is_empty(),
            "{arguments:?} says nothing"
        );
        assert!(!stderr.contains("panicked"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn taken_address_refuses_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let directory = place_with(Config::at(address).as_ref());
    let said = waypost_in(directory.path(), &["run"]).expect(2);
    assert!(said.stderr.contains(&address.to_string()), "{}", said.stderr);
    assert!(
        !said.stderr.lines().any(|line| line == "ready"),
        "{}",
        said.stderr
    );
}

#[test]
fn second_gateway_on_the_same_address_refused() {
    let gateway = Gateway::with(Config::new());
    let directory = place_with(Config::at(gateway.address()).as_ref());
    let said = waypost_in(directory.path(), &["run"]).expect(2);
    assert!(
        said.stderr.contains(&gateway.address().to_string()),
        "{}",
        said.stderr
    );
}

#[test]
fn every_command_has_a_manual_page() {
    let directory = tempfile::tempdir().unwrap();
    waypost_in(directory.path(), &["man", "."]).expect(0);
    let page = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    assert!(page("waypost.1").starts_with(".ie"), "{}", page("waypost.1"));
    let help = waypost_in(directory.path(), &["--help"]).expect(0).stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let names = commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names: Vec<&str> = names.filter(|name| !["", "help"].contains(name)).collect();
    assert!(names.contains(&"upgrade"), "{help}");
    for name in names {
        assert!(page(&format!("waypost-{name}.1")).contains(name));
    }
    waypost_in(directory.path(), &["man", "missing/directory"]).expect(2);
    // The page of the command itself is in the repository, to be read there.
    let kept = repository().join("packaging/man/waypost.1");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&kept, page("waypost.1")).unwrap();
    }
    let hint = "run this test with UPDATE_DOCS=1";
    assert_eq!(fs::read_to_string(kept).unwrap(), page("waypost.1"), "{hint}");
}
