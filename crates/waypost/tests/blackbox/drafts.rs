//! Configs that are not applied: explained by, compared with the active one, confirmed only by those who saw them.

use serde_json::{Value, json};

use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::message::Message;

const BY_YAML: &str = "If-Match: *\r\nContent-Type: application/yaml\r\n";
const BY_JSON: &str = "If-Match: *\r\nContent-Type: application/json\r\n";

fn active() -> Config {
    Config::new()
        .service_at("users-v1", &["http://127.0.0.1:9"], "")
        .service_at("users-v2", &["http://127.0.0.1:9"], "")
        .route("name: users, match: { path: /users/* }, to: { users-v1: 1, users-v2: 0 }")
        .route("name: old, match: { path: /old }, respond: { status: 200 }")
}

fn explain(gateway: &Gateway, question: &Value) -> Message {
    let kind = "Content-Type: application/json\r\n";
    gateway.admin("POST", "/api/v1/explain", kind, &question.to_string())
}

#[test]
fn request_is_explained_by_a_draft() {
    let gateway = Gateway::with(active().test("request: GET http://a/old, expect: { status: 200 }"));
    let text = gateway.admin("GET", "/api/v1/config", "", "").text();
    let draft = text
        .replace("path: /old", "path: /new")
        .replace("name: old", "name: new");
    let question = |config: Value| json!({ "url": "http://a/new", "config": config });
    let file = json!({ "files": [{ "name": "waypost.yaml", "text": draft }] });
    for config in [json!(draft), file.clone()] {
        let explained = explain(&gateway, &question(config));
        assert_eq!(explained.status(), 200, "{}", explained.text());
        let explained = explained.json();
        // The draft's own test fails by now, which is for those who apply it.
        assert_eq!(
            (&explained["route"], &explained["outcome"], &explained["revision"]),
            (&json!("new"), &json!("respond"), &Value::Null)
        );
    }
    let by_other_name = json!({ "request": "GET http://a/new", "draft": file });
    assert_eq!(explain(&gateway, &by_other_name).json()["route"], "new");
    // A dial holds beside a split that stays as it is.
    gateway.dial("users", &json!({ "users-v1": 1, "users-v2": 3 }));
    let users = explain(&gateway, &json!({ "url": "http://a/users/1", "config": draft })).json();
    assert_eq!(users["arms"][1]["weight"], 3, "{users}");
    // Nothing has changed.
    assert_eq!(gateway.explain("http://a/new")["outcome"], "not_found");
    assert_eq!(gateway.admin_json("/api/v1/status")["revision"], 1);
    let wrong = explain(&gateway, &question(json!("routes: [{ name: a }]\nnonsense: 1\n")));
    assert_eq!(wrong.status(), 422);
    let diagnostics = wrong.json()["diagnostics"].clone();
    assert!(diagnostics[0]["line"].is_u64(), "{diagnostics}");
    let other_file = json!({ "files": [{ "name": "b.yaml", "text": draft }] });
    assert_eq!(explain(&gateway, &question(other_file)).status(), 409);
}

#[test]
fn command_line_of_curl_is_explained() {
    let gateway = Gateway::with(active());
    let line = "curl -X PUT -H 'X-Team: blue' \\\n  'http://a/users/7?x=1' -d '{}'";
    let explained = explain(&gateway, &json!({ "curl": line }));
    assert_eq!(explained.status(), 200, "{}", explained.text());
    let explained = explained.json();
    assert_eq!(explained["route"], "users");
    assert_eq!(
        (&explained["request"]["method"], &explained["request"]["url"]),
        (&json!("PUT"), &json!("http://a/users/7?x=1"))
    );
    let headers = explained["request"]["headers"].as_array().unwrap();
    assert!(headers.contains(&json!(["X-Team", "blue"])), "{headers:?}");
    for question in [
        json!({ "curl": "curl -H 'open" }),
        json!({ "curl": "curl http://a http://b" }),
        json!({ "curl": "curl -d @/etc/passwd -G http://a/" }),
        json!({ "curl": "curl http://a/", "url": "http://b/" }),
        json!({}),
    ] {
        assert_eq!(explain(&gateway, &question).status(), 422, "{question}");
    }
    assert_eq!(gateway.explain("http://a/old")["request"], Value::Null);
}

#[test]
fn dry_run_has_the_requests_that_move() {
    let with_tests = active()
        .test("request: GET http://a/old, expect: { route: old }")
        .test("request: GET http://a/users/1, expect: { route: users }");
    let gateway = Gateway::with(with_tests);
    let text = gateway.admin("GET", "/api/v1/config", "", "").text();
    let dry_run = |text: &str| {
        let response = gateway.admin("PUT", "/api/v1/config?dry_run=true", BY_YAML, text);
        assert_eq!(response.status(), 200, "{}", response.text());
        response.json()
    };
    let same = dry_run(&text);
    assert_eq!(
        (&same["tests"], &same["moves"], &same["moves_total"]),
        (&json!({ "passed": 2, "failed": 0 }), &json!([]), &json!(0))
    );
    let moving = text
        .replace("users-v1: 1, users-v2: 0", "users-v1: 1, users-v2: 1")
        .replace(
            "GET http://a/old, expect: { route: old }",
            "GET http://a/gone, expect: { route: null }",
        )
        .replace("path: /old", "path: /older");
    let moved = dry_run(&moving);
    // Those of the tests come first.
    assert_eq!(
        moved["moves"].as_array().unwrap()[..2],
        [
            json!({
                "request": "GET http://a/old",
                "before": { "outcome": "respond", "route": "old", "status": 200 },
                "after": { "outcome": "not_found", "status": 404 },
            }),
            json!({
                "request": "GET http://a/users/1",
                "before": { "outcome": "forward", "route": "users", "services": ["users-v1"], "path": "/users/1" },
                "after": { "outcome": "forward", "route": "users", "services": ["users-v1", "users-v2"], "path": "/users/1" },
            }),
        ]
    );
    // As its files, too, of which it has one.
    let files = json!({ "files": [{ "name": "waypost.yaml", "text": moving }] });
    let sent = gateway.admin("PUT", "/api/v1/config", BY_JSON, &files.to_string());
    assert_eq!(sent.status(), 200, "{}", sent.text());
    assert_eq!(sent.json()["moves"], Value::Null);
    assert_eq!(gateway.explain("http://a/older")["route"], "old");
}

#[test]
fn dry_run_finds_the_requests_that_move_without_tests() {
    let config = Config::new()
        .service_at("v1", &["http://127.0.0.1:9"], "")
        .service_at("v2", &["http://127.0.0.1:9"], "")
        .route("name: api, match: { host: api.test, path: /api/* }, to: v1")
        .route("name: beta, match: { host: api.test, path: /api/*, headers: { x-beta: \"1\" } }, to: v2")
        .route(
            "name: shop, match: { host: shop.test, path: [/cart, \"/items/{id}\"] }, respond: { status: 200 }",
        );
    let gateway = Gateway::with(config);
    let text = gateway.admin("GET", "/api/v1/config", "", "").text();
    let check = |from: &str, to: &str, expected: &[(&str, &str, &str)]| {
        let draft = text.replace(from, to);
        assert_ne!(draft, text);
        let response = gateway.admin("PUT", "/api/v1/config?dry_run=true", BY_YAML, &draft);
        assert_eq!(response.status(), 200, "{}", response.text());
        let told = response.json();
        let moves: Vec<(&str, &str, &str)> = told["moves"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                let route = |answer: &'static str| one[answer]["route"].as_str().unwrap_or("none");
                (one["request"].as_str().unwrap(), route("before"), route("after"))
            })
            .collect();
        assert_eq!(moves, expected, "{from} to {to}");
        assert_eq!(told["moves_total"], expected.len());
    };
    // A route that takes requests from others, and one that takes none.
    let added = "routes:\n- { name: items, match: { host: shop.test, path: /items/7 }, to: v1 }";
    check(
        "routes:",
        added,
        &[("GET http://shop.test/items/7", "shop", "items")],
    );
    let shadowed = "routes:\n- { name: other, match: { host: other.test }, to: v1 }";
    check(
        "routes:",
        shadowed,
        &[("GET http://other.test/x", "none", "other")],
    );
    // One that goes, whose requests another takes, or none does.
    check(
        "headers: { x-beta: \"1\" }",
        "headers: { x-beta: \"2\" }",
        &[
            ("GET http://api.test/api/x -H 'x-beta: 1'", "beta", "api"),
            ("GET http://api.test/api/x -H 'x-beta: 2'", "api", "beta"),
        ],
    );
    check(
        "/cart",
        "/basket",
        &[
            ("GET http://shop.test/cart", "shop", "none"),
            ("GET http://shop.test/basket", "none", "shop"),
        ],
    );
    // Weights and settings move no request to another route.
    check("to: v1", "timeout: 7s, to: v1", &[]);
}

#[test]
fn rules_of_all_hosts_are_bounded_if_that_is_asked_for() {
    let mut config = active();
    for at in 0..20 {
        config = config.route(&format!(
            "name: more-{at:02}, match: {{ host: h{at}.test, path: /more/{at} }}, to: users-v1"
        ));
    }
    let gateway = Gateway::with(config);
    let question = |max: Option<usize>| {
        explain(
            &gateway,
            &json!({ "url": "http://a/users/1", "all": true, "considered_max": max }),
        )
        .json()
    };
    let all = question(None);
    assert_eq!(all["considered"].as_array().unwrap().len(), 22);
    assert_eq!(all.get("considered_total"), None);
    let few = question(Some(5));
    let considered = few["considered"].as_array().unwrap();
    assert_eq!((considered.len(), &few["considered_total"]), (6, &json!(22)));
    assert_eq!(considered[5]["route"], "users");
    let rank = few["taken_rank"].as_u64().unwrap() as usize;
    assert_eq!(all["considered"][rank - 1]["route"], "users");
    assert_eq!(considered[..5], all["considered"].as_array().unwrap()[..5]);
}

#[test]
fn pending_change_is_confirmed_or_reverted_as_it_was_seen() {
    let gateway = Gateway::with(active());
    let text = gateway.admin("GET", "/api/v1/config", "", "").text();
    let draft = text.replace("path: /old", "path: /new");
    let act = |action: &str, tag: &str| {
        let fields = format!("If-Match: \"{tag}\"\r\n");
        gateway.admin("POST", &format!("/api/v1/config/{action}"), &fields, "")
    };
    assert_eq!(act("revert", "x").status(), 409, "nothing is pending");
    let send = || {
        let sent = gateway.admin("PUT", "/api/v1/config?confirm=1h", BY_YAML, &draft);
        assert_eq!(sent.status(), 200, "{}", sent.text());
        sent.json()["hash"].as_str().unwrap().to_owned()
    };
    let hash = send();
    assert_eq!(gateway.explain("http://a/new")["route"], "old");
    assert_eq!(act("confirm", "other").status(), 412);
    assert_eq!(act("revert", "other").status(), 412);
    let reverted = act("revert", &hash);
    assert_eq!(
        (reverted.status(), &reverted.json()["summary"]),
        (200, &json!("reverted")),
        "{}",
        reverted.text()
    );
    assert_eq!(gateway.explain("http://a/old")["route"], "old");
    assert_eq!(gateway.admin_json("/api/v1/status")["pending"], Value::Null);
    let hash = send();
    assert_eq!(act("confirm", &hash).status(), 200);
    assert_eq!(gateway.explain("http://a/new")["route"], "old");
}

#[test]
fn token_for_reading_asks_by_the_active_config_alone() {
    let config = active().key("admin: { bind: \"127.0.0.1:0\", token_file: TOKENS }");
    let tokens = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(tokens.path(), "eve secret-of-eve-who-only-reads read\n").unwrap();
    let text = config
        .to_string()
        .replace("TOKENS", &tokens.path().display().to_string());
    let gateway = Gateway::verbatim(&text);
    let ask = |question: Value| {
        let fields =
            "Authorization: Bearer secret-of-eve-who-only-reads\r\nContent-Type: application/json\r\n";
        gateway
            .admin("POST", "/api/v1/explain", fields, &question.to_string())
            .status()
    };
    assert_eq!(ask(json!({ "url": "http://a/old" })), 200);
    assert_eq!(ask(json!({ "curl": "curl http://a/old" })), 200);
    assert_eq!(ask(json!({ "url": "http://a/old", "config": text })), 403);
}
