//! Keys: `auth: { key: … }`.

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};
use waypost_auth::key_file;

use super::{ask, check, explained, sent};
use crate::access_log::wait_for_log;
use crate::support::command::waypost_in;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::message::seen;
use crate::support::service::Service;
use crate::support::{PATIENCE, wait_for};

/// A file with these names, keys and groups, made by the command.
fn keys(of: &[(&str, &str, &[&str])]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let lines = of.iter().map(|(name, key, groups)| {
        let path = directory.path().join("key");
        fs::write(&path, format!("{key}\n")).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_waypost"));
        command.args(["hash-key", name, "--stdin"]);
        command.args(groups.iter().flat_map(|group| ["--group", group]));
        let output = command.stdin(fs::File::open(&path).unwrap()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    });
    lines.collect()
}

/// The keys of three customers.
pub(super) fn customers() -> String {
    keys(&[
        ("acme", "gold-key", &["gold", "eu"]),
        ("beta", "free-key", &["free"]),
        ("gamma", "bare-key", &[]),
    ])
}

const BY_HEADER: &str = "auth: { key: { header: X-Api-Key, file: keys } }";
const CHALLENGE: &str = "ApiKey header=\"x-api-key\"";

#[test]
fn a_key_lets_pass_and_anything_else_gets_401() {
    let service = Service::echo("a");
    let config = Config::new()
        .service(&service, "")
        .route(&format!("name: r, to: a, {BY_HEADER}"));
    let gateway = Gateway::beside(&[("keys", &customers())], config);
    for key in ["gold-key", "free-key", "bare-key"] {
        check(&gateway, "http://a.test/", &[("x-api-key", key)], 200, &[]);
        check(&gateway, "http://a.test/?x=1", &[("X-API-KEY", key)], 200, &[]);
    }
    for fields in [
        &[][..],
        &[("x-api-key", "")],
        &[("x-api-key", "gold-ke")],
        &[("x-api-key", "GOLD-KEY")],
        &[("x-api-key", "gold-key2")],
        &[("x-api-key", "acme")],
        &[("x-api-key", "gold-key"), ("x-api-key", "gold-key")],
        &[("x-api-key", "gold-key"), ("x-api-key", "wrong")],
        &[("x-api-keys", "gold-key")],
        &[("x_api_key", "gold-key")],
        &[("authorization", "gold-key")],
        &[("cookie", "x-api-key=gold-key")],
    ] {
        check(
            &gateway,
            "http://a.test/?x-api-key=gold-key",
            fields,
            401,
            &[CHALLENGE],
        );
    }
    let [refused, _] = ask(&gateway, "http://a.test/", &[("x-api-key", "s3cret")]);
    assert_eq!(
        refused.text(),
        "401 Unauthorized: the credentials are not valid\n"
    );
    assert_eq!(
        refused.header("proxy-status"),
        Some("waypost; error=http_request_denied")
    );
}

#[test]
fn keys_stand_in_header_query_or_cookie_and_stay_here() {
    let service = Service::echo("a");
    let config = Config::new()
        .service(&service, "")
        .route(&format!("name: header, match: {{ path: /header }}, to: a, {BY_HEADER}"))
        .route("name: query, match: { path: /query }, to: a, auth: { key: { query: apikey, file: keys } }")
        .route(
            "name: edit, match: { path: /edit }, to: a, rewrite: { query: { set: { b: 2 } } }, \
             request_headers: { set: { x-query: '{query}' } }, auth: { key: { query: apikey, file: keys } }",
        )
        .route("name: moved, match: { path: /moved }, redirect: { path: /x }, auth: { key: { query: apikey, file: keys } }")
        .route("name: cookie, match: { path: /cookie }, to: a, auth: { key: { cookie: key, file: keys } }")
        .route(
            "name: forward, match: { path: /forward }, to: a, \
             auth: { any: [{ key: { header: x-api-key, file: keys, forward: true } }, { key: { query: k, file: keys } }] }",
        );
    let gateway = Gateway::beside(&[("keys", &customers())], config);
    let key = ("x-api-key", "gold-key");
    let none: [Vec<String>; 2] = Default::default();
    assert_eq!(sent(&gateway, "http://a.test/header", &[key], "x-api-key"), none);
    for (query, target) in [
        ("apikey=gold-key", "/query"),
        ("apikey=gold%2Dkey", "/query"),
        ("a=1&apikey=gold-key&b=%20", "/query?a=1&b=%20"),
        ("%61pikey=gold-key&a", "/query?a"),
    ] {
        for response in ask(&gateway, &format!("http://a.test/query?{query}"), &[]) {
            assert_eq!(response.status(), 200, "{query}");
            assert_eq!(response.json()["target"], target, "{query}");
        }
    }
    check(
        &gateway,
        "http://a.test/query?apikey=gold-key&apikey=gold-key",
        &[],
        401,
        &["ApiKey query=\"apikey\""],
    );
    for response in ask(&gateway, "http://a.test/edit?a=1&apikey=gold-key", &[]) {
        assert_eq!(response.json()["target"], "/edit?a=1&b=2");
        assert!(seen(&response).contains(&("x-query".to_owned(), "a=1".to_owned())));
    }
    for response in ask(&gateway, "http://a.test/moved?a=1&apikey=gold-key", &[]) {
        assert_eq!(response.header("location"), Some("http://a.test/x?a=1"));
    }
    let cookies = |line: &str| sent(&gateway, "http://a.test/cookie", &[("cookie", line)], "cookie");
    assert_eq!(
        cookies("a=1; key=gold-key; b=2"),
        [["a=1; b=2"], ["a=1; b=2"]].map(|line| line.map(str::to_owned).to_vec())
    );
    assert_eq!(cookies("key=gold-key"), none);
    check(
        &gateway,
        "http://a.test/cookie",
        &[("cookie", "Key=gold-key")],
        401,
        &["ApiKey cookie=\"key\""],
    );
    // What did not decide was not verified, and stays here although it may be forwarded.
    let kept = [["gold-key"], ["gold-key"]].map(|value| value.map(str::to_owned).to_vec());
    assert_eq!(sent(&gateway, "http://a.test/forward", &[key], "x-api-key"), kept);
    for response in ask(&gateway, "http://a.test/forward?k=free-key&a=1", &[key]) {
        assert_eq!(response.json()["target"], "/forward?a=1");
    }
    let by_query = sent(
        &gateway,
        "http://a.test/forward?k=free-key",
        &[("x-api-key", "")],
        "x-api-key",
    );
    assert_eq!(by_query, none);
}

#[test]
fn allow_asks_for_one_entry_with_all_of_its_keys() {
    let service = Service::echo("a");
    let route = |path: &str, allow: &str| {
        format!(
            "name: {path}, match: {{ path: /{path} }}, to: a, \
             auth: {{ key: {{ header: x-api-key, file: keys }}, allow: [{allow}] }}"
        )
    };
    let config = Config::new()
        .service(&service, "")
        .route(&route("gold", "{ groups: [gold] }"))
        .route(&route(
            "named",
            "{ identity: beta }, { identity: [gamma, other] }",
        ))
        .route(&route("both", "{ identity: '~^a', groups: [gold, silver] }"))
        .route(&route("claim", "{ claims: { scope: x } }"));
    let gateway = Gateway::beside(&[("keys", &customers())], config);
    for (path, expected) in [
        ("gold", [200, 403, 403]),
        ("named", [403, 200, 200]),
        ("both", [200, 403, 403]),
        ("claim", [403, 403, 403]),
    ] {
        for (key, status) in ["gold-key", "free-key", "bare-key"].into_iter().zip(expected) {
            check(
                &gateway,
                &format!("http://a.test/{path}"),
                &[("x-api-key", key)],
                status,
                &[],
            );
        }
        check(&gateway, &format!("http://a.test/{path}"), &[], 401, &[CHALLENGE]);
    }
    let why = explained(&gateway, "http://a.test/both", &[("x-api-key", "free-key")]);
    assert_eq!(why["outcome"], "refused");
    assert_eq!((&why["status"], &why["identity"]), (&json!(403), &json!("beta")));
    assert_eq!(
        why["stopped"],
        json!({
            "step": "auth", "number": 7, "from": "route both",
            "because": "`beta` meets none of `allow`: { identity: ~^a, groups: [gold, silver] }",
        })
    );
}

#[test]
fn the_first_way_with_credentials_decides() {
    let service = Service::echo("a");
    let any = "auth: { any: [{ key: { header: x-one, file: one } }, { key: { header: x-two, file: two } }] }";
    let config = Config::new()
        .service(&service, "")
        .route(&format!("name: r, to: a, {any}"));
    let (one, two) = (keys(&[("one", "k1", &[])]), keys(&[("two", "k2", &[])]));
    let gateway = Gateway::beside(&[("one", &one), ("two", &two)], config);
    let both = ["ApiKey header=\"x-one\"", "ApiKey header=\"x-two\""];
    let url = "http://a.test/";
    check(&gateway, url, &[], 401, &both);
    check(&gateway, url, &[("x-one", "k1")], 200, &[]);
    check(&gateway, url, &[("x-two", "k2")], 200, &[]);
    check(&gateway, url, &[("x-one", "k1"), ("x-two", "wrong")], 200, &[]);
    check(&gateway, url, &[("x-one", "wrong"), ("x-two", "k2")], 401, &both);
    check(&gateway, url, &[("x-one", ""), ("x-two", "k2")], 200, &[]);
    let none: [Vec<String>; 2] = Default::default();
    assert_eq!(
        sent(&gateway, url, &[("x-one", "k1"), ("x-two", "wrong")], "x-two"),
        none
    );
}

#[test]
fn identity_is_a_value_that_clients_cannot_forge() {
    let service = Service::echo("a");
    let edits = "request_headers: { set: { x-user: '{identity}', x-mail: '{claim.email}' }, add: { x-said: 'by {identity}' } }, \
                 response_headers: { set: { x-hello: '{identity}' } }";
    let config = Config::listening(&["limits: { underscores: keep }"])
        .service(&service, "")
        .route(&format!("name: r, match: {{ path: /in }}, to: a, {BY_HEADER}, {edits}"))
        .route(&format!("name: open, match: {{ path: /open }}, to: a, {edits}"))
        .route(&format!("name: own, match: {{ path: /own }}, {BY_HEADER}, respond: {{ status: 200, body: 'hi {{identity}}' }}"));
    let gateway = Gateway::beside(&[("keys", &customers())], config);
    let forged = [
        ("x-api-key", "free-key"),
        ("x-user", "admin"),
        ("X-User", "admin"),
        ("x_user", "admin"),
        ("X-uSEr", "admin"),
        ("x-mail", "root@a.test"),
        ("x_mail", "root@a.test"),
    ];
    let of = |values: &[&str]| {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        [values.clone(), values]
    };
    assert_eq!(
        sent(&gateway, "http://a.test/in", &forged, "x-user"),
        of(&["beta"])
    );
    assert_eq!(sent(&gateway, "http://a.test/in", &forged, "x-mail"), of(&[]));
    assert_eq!(
        sent(&gateway, "http://a.test/in", &forged, "x-said"),
        of(&["by beta"])
    );
    assert_eq!(sent(&gateway, "http://a.test/open", &forged, "x-user"), of(&[]));
    for response in ask(&gateway, "http://a.test/own", &[("x-api-key", "gold-key")]) {
        assert_eq!(response.text(), "hi acme");
    }
    for response in ask(&gateway, "http://a.test/in", &[("x-api-key", "gold-key")]) {
        assert_eq!(response.header("x-hello"), Some("acme"));
    }
}

#[test]
fn auth_comes_from_route_policy_or_listener_and_off_takes_it_away() {
    let service = Service::echo("a");
    let gold = "auth: { key: { header: x-gold, file: keys }, allow: [{ groups: [gold] }] }";
    let config = Config::listening(&[&format!("name: edge, {BY_HEADER}"), "name: bare"])
        .service(&service, "")
        .item("policies", &format!("  web: {{ {gold} }}"))
        .route("name: none, match: { path: /none }, to: a")
        .route("name: web, match: { path: /web }, to: a, use: web")
        .route("name: off, match: { path: /off }, to: a, use: web, auth: off");
    let gateway = Gateway::beside(&[("keys", &customers())], config);
    let explain = |path: &str, listener: &str| {
        let asked = json!({ "url": format!("http://a.test{path}"), "listener": listener });
        gateway.explain_question(&asked)
    };
    for (path, listener, status, from) in [
        ("/none", "edge", Some(401), Some("listener edge")),
        ("/none", "bare", None, None),
        ("/web", "edge", Some(401), Some("policy web")),
        ("/web", "bare", Some(401), Some("policy web")),
        ("/off", "edge", None, None),
        ("/off", "bare", None, None),
    ] {
        let explained = explain(path, listener);
        let found = (
            explained["status"].as_u64(),
            explained["policies"]["auth"]["from"].as_str(),
        );
        assert_eq!(found, (status, from), "{path} at {listener}");
    }
    check(&gateway, "http://a.test/none", &[], 401, &[CHALLENGE]);
    check(
        &gateway,
        "http://a.test/none",
        &[("x-api-key", "free-key")],
        200,
        &[],
    );
    check(
        &gateway,
        "http://a.test/web",
        &[("x-api-key", "gold-key")],
        401,
        &["ApiKey header=\"x-gold\""],
    );
    check(&gateway, "http://a.test/web", &[("x-gold", "gold-key")], 200, &[]);
    check(&gateway, "http://a.test/off", &[], 200, &[]);
    // A host that no route takes needs no key: there is nothing behind it.
    check(&gateway, "http://a.test/else", &[], 404, &[]);
}

#[test]
fn refusals_are_told_from_failures() {
    let service = Service::echo("a");
    let config = Config::new()
        .key("access_log: access.log")
        .service(&service, "")
        .route(
            "name: r, to: a, auth: { key: { header: x-api-key, file: keys }, allow: [{ groups: [gold] }] }, \
             errors: [{ status: 401, body: 'ask us for a key' }]",
        );
    let gateway = Gateway::beside(&[("keys", &customers())], config);
    let mut client = gateway.connect();
    for (fields, status) in [
        ("", 401),
        ("x-api-key: wrong\r\n", 401),
        ("x-api-key: free-key\r\n", 403),
        ("x-api-key: gold-key\r\n", 200),
    ] {
        let response = client.ask(crate::support::client::request("GET", "http://a.test/", fields));
        assert_eq!(response.status(), status);
        if status == 401 {
            assert_eq!(response.text(), "ask us for a key");
            assert_eq!(response.header("www-authenticate"), Some(CHALLENGE));
        }
    }
    let lines = wait_for_log(&gateway, 4);
    let found: Vec<Value> = lines
        .iter()
        .map(|line| {
            json!([
                line["status"],
                line["refused_by"],
                line["identity"],
                line["failed"],
                line["service"]
            ])
        })
        .collect();
    assert_eq!(
        found,
        [
            json!([401, "auth", null, false, null]),
            json!([401, "auth", null, false, null]),
            json!([403, "auth", "beta", false, null]),
            json!([200, null, "acme", false, "a"]),
        ]
    );
    let metrics = gateway.metrics();
    for line in [
        "waypost_refusals_total{reason=\"auth\"} 3",
        "waypost_auth_total{route=\"r\",way=\"none\",result=\"no_credentials\"} 1",
        "waypost_auth_total{route=\"r\",way=\"key\",result=\"bad_credentials\"} 1",
        "waypost_auth_total{route=\"r\",way=\"key\",result=\"not_allowed\"} 1",
        "waypost_auth_total{route=\"r\",way=\"key\",result=\"passed\"} 1",
        "waypost_requests_total{route=\"r\",service=\"\",code=\"401\"} 2",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(!metrics.contains("waypost_failed_requests_total{route=\"r\",service=\"a\"} 1"));
    // Beside failures, and never among them.
    let stats = gateway.admin_json("/api/v1/stats?route=r");
    let arms = stats["routes"][0]["arms"].as_array().unwrap().iter();
    let arms: Vec<Value> = arms
        .map(|arm| json!([arm["service"], arm["requests"], arm["refused"], arm["errors"]]))
        .collect();
    assert_eq!(arms, [json!(["a", 1, 0, 0]), json!(["", 3, 3, 0])]);
    let table = gateway.command(&["stats"]).stdout;
    assert!(table.contains("REFUSED"), "{table}");
    let sums = |path: &str, keys: [&str; 3]| {
        let timeline = gateway.admin_json(path);
        let series = &timeline["series"][0];
        keys.map(|key| {
            let points = series[key].as_array().into_iter().flatten();
            points.filter_map(Value::as_u64).sum::<u64>()
        })
    };
    wait_for("the figures of all requests", || {
        let sums = sums("/api/v1/timeline?route=r", ["requests", "refused", "failures"]);
        (sums == [4, 3, 0]).then_some(())
    });
    let page = gateway.admin_json("/api/v1/routes?figures=true");
    let figures = &page["routes"][0]["figures"];
    assert_eq!(
        json!([figures["requests"], figures["refused"], figures["failures"]]),
        json!([4, 3, 0])
    );
}

#[test]
fn nobody_gets_to_see_a_key() {
    let (service, down) = (Service::echo("a"), Service::refusing());
    let by_query = "auth: { key: { query: apikey, file: keys } }";
    let config = Config::new()
        .key("access_log: access.log")
        .key("admin: { bind: 127.0.0.1:0, show_headers: [x-api-key, user-agent] }")
        .service(&service, "")
        .service(&down, "")
        .route(&format!(
            "name: query, match: {{ path: /query }}, to: a, {by_query}"
        ))
        .route(&format!(
            "name: match, match: {{ path: /match, query: {{ apikey: x }} }}, to: a, {by_query}"
        ))
        .route(
            "name: forward, match: { path: /forward }, to: a, \
             auth: { key: { header: x-api-key, file: keys, forward: true } }",
        )
        .route(
            "name: down, match: { path: /down }, to: refusing, \
             auth: { key: { header: x-api-key, file: keys, forward: true } }",
        );
    let gateway = Gateway::verbatim_beside(&[("keys", &keys(&[("acme", "s3cret-key", &[])]))], config);
    let mut shown = String::new();
    for url in [
        "http://a.test/query?apikey=s3cret-key&a=1",
        "http://a.test/query?apikey=s3cret-wrong",
        "http://a.test/query?apikey=s3cret-key&apikey=s3cret-key",
        "http://a.test/match?apikey=s3cret-key",
        "http://a.test/nowhere?apikey=s3cret-key",
        "http://a.test/forward",
        "http://a.test/down",
    ] {
        let key: &[(&str, &str)] = match url.contains('?') {
            true => &[],
            false => &[("x-api-key", "s3cret-key")],
        };
        for response in ask(&gateway, url, key) {
            if response.status() != 200 {
                shown += &response.text();
            }
        }
        shown += &explained(&gateway, url, key).to_string();
        // The first line is the question.
        let text = gateway.command(&["explain", "GET", url, "--all"]).stdout;
        shown += text.split_once('\n').map_or("", |(_, answer)| answer);
    }
    gateway
        .connect()
        .send("GET /query?apikey=s3cret-key&\x01 HTTP/1.1\r\nHost: a\r\n\r\n")
        .rest();
    let lines = wait_for_log(&gateway, 15);
    assert_eq!(lines[0]["query"], "a=1");
    shown += &format!("{lines:?}");
    shown += &gateway
        .admin("GET", "/api/v1/routes/down/failures", "", "")
        .text();
    shown += &gateway.admin("GET", "/api/v1/routes", "", "").text();
    shown += &gateway.admin("GET", "/api/v1/config", "", "").text();
    shown += &gateway.metrics();
    shown += &gateway.said().join("\n");
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn files_of_keys_are_read_again_when_they_change() {
    let service = Service::echo("a");
    let config = Config::new()
        .service(&service, "")
        .route(&format!("name: r, to: a, {BY_HEADER}"));
    let gateway = Gateway::beside(&[("keys", &customers())], config);
    let status =
        |key: &str| ask(&gateway, "http://a.test/", &[("x-api-key", key)]).map(|response| response.status());
    assert_eq!((status("gold-key"), status("new-key")), ([200; 2], [401; 2]));
    gateway.place("keys", &keys(&[("new", "new-key", &[])]));
    gateway.wait_for_part("the keys of clients were read again");
    assert_eq!((status("gold-key"), status("new-key")), ([401; 2], [200; 2]));
    gateway.place("keys", "new s3cret\n");
    let said = gateway.wait_for_part("the last good version stays in use");
    assert!(
        said.contains("`keys`: line 1: expected `NAME HASH`") && !said.contains("s3cret"),
        "{said}"
    );
    assert_eq!((status("gold-key"), status("new-key")), ([401; 2], [200; 2]));
    let shown = gateway.command(&["status"]);
    assert!(shown.stdout.contains("`keys`: line 1"), "{}", shown.stdout);
    assert!(gateway.metrics().contains("waypost_stale_files 1"));
    gateway.place("keys", &customers());
    let until = Instant::now() + PATIENCE;
    while status("gold-key") != [200; 2] {
        assert!(Instant::now() < until, "the keys stay stale");
        std::thread::yield_now();
    }
    fs::remove_file(gateway.directory().join("keys")).unwrap();
    gateway.wait_for_part("cannot read `keys`");
    assert_eq!(status("gold-key"), [200; 2]);
}

#[test]
fn tests_of_a_config_are_about_keys_too() {
    let config = Config::new()
        .service_at("a", &["http://127.0.0.1:9"], "")
        .route(
            "name: r, match: { path: /in }, to: a, \
             auth: { key: { header: x-api-key, file: keys }, allow: [{ groups: [gold] }] }",
        )
        .test("request: GET http://a.test/in, expect: { route: r, status: 401, outcome: refused }")
        .test("request: GET http://a.test/in, headers: { x-api-key: wrong }, expect: { status: 401 }")
        .test("request: GET http://a.test/in, headers: { x-api-key: free-key }, expect: { status: 403 }")
        .test("request: GET http://a.test/in, headers: { x-api-key: gold-key }, expect: { outcome: forward, service: a }");
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("waypost.yaml"), &config).unwrap();
    // Without the file, what a key leads to is not known; nothing is refused for that where files need not be there.
    waypost_in(directory.path(), &["check", "--without-files"]).expect(0);
    let missing = waypost_in(directory.path(), &["check"]).expect(1);
    assert!(
        missing.stdout.contains("cannot read `keys`"),
        "{}",
        missing.stdout
    );
    waypost_in(directory.path(), &["test"]).expect(1);
    fs::write(directory.path().join("keys"), customers()).unwrap();
    waypost_in(directory.path(), &["check"]).expect(0);
    let tested = waypost_in(directory.path(), &["test"]).expect(0);
    assert!(
        tested.stdout.contains("4 passed") || tested.stdout.contains("4 of 4"),
        "{}",
        tested.stdout
    );
    let explained = waypost_in(
        directory.path(),
        &[
            "explain",
            "GET",
            "http://a.test/in",
            "--format",
            "json",
            "-H",
            "x-api-key: gold-key",
        ],
    );
    assert_eq!(explained.json()["identity"], "acme", "{}", explained.stdout);
    fs::write(directory.path().join("keys"), "acme\n").unwrap();
    let bad = waypost_in(directory.path(), &["check"]).expect(1);
    assert!(
        bad.stdout.contains("bad-key-file") && bad.stdout.contains("line 1"),
        "{}",
        bad.stdout
    );
}

#[test]
fn keys_are_made_once_and_known_by_their_hash() {
    let directory = tempfile::tempdir().unwrap();
    let made = waypost_in(
        directory.path(),
        &["hash-key", "acme", "--group", "gold", "--group", "eu"],
    )
    .expect(0);
    let lines: Vec<&str> = made.stdout.lines().collect();
    let [key, line] = lines[..] else {
        panic!("{}", made.stdout)
    };
    assert!(key.starts_with("wp_") && key.len() == 46, "{key}");
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(
        (words[0], words[2], words.len()),
        ("acme", "gold,eu", 3),
        "{line}"
    );
    let again = waypost_in(directory.path(), &["hash-key", "acme"]).expect(0);
    assert_ne!(again.stdout.lines().next(), Some(key));
    for arguments in [
        &["hash-key", "a b"][..],
        &["hash-key", "#a"],
        &["hash-key", "a", "--group", "x,y"],
    ] {
        waypost_in(directory.path(), arguments).expect(2);
    }
    let service = Service::echo("a");
    let config = Config::new()
        .service(&service, "")
        .route(&format!("name: r, to: a, {BY_HEADER}"));
    let gateway = Gateway::beside(&[("keys", line)], config);
    check(&gateway, "http://a.test/", &[("x-api-key", key)], 200, &[]);
}

#[test]
fn a_given_key_is_one_that_a_request_can_carry() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let longest = "k".repeat(4096);
    for (key, expected) in [
        ("abc", Ok("abc")),
        ("abc\n", Ok("abc")),
        ("abc\r\n", Ok("abc")),
        ("a b", Ok("a b")),
        (&longest, Ok(&*longest)),
        (&format!("{longest}k"), Err("more than 4096 bytes")),
        ("", Err("no key")),
        ("\n", Err("no key")),
        (" abc", Err("blanks around it")),
        ("abc \n", Err("blanks around it")),
        ("a\tb", Err("a control character")),
        ("abc\ndef\n", Err("several lines")),
        ("abc\n\n", Err("several lines")),
    ] {
        fs::write(&path, key).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_waypost"));
        command.args(["hash-key", "acme", "--stdin"]);
        let output = command.stdin(fs::File::open(&path).unwrap()).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        match expected {
            Ok(key) => assert_eq!(printed, format!("{}\n", key_file::line("acme", key, &[]))),
            Err(part) => {
                let message = String::from_utf8(output.stderr).unwrap();
                assert!(message.contains(part) && printed.is_empty(), "{key:?}: {message}");
            }
        }
    }
}

#[test]
fn a_hundred_thousand_keys_are_one_look_up() {
    let service = Service::echo("a");
    let many: String = (0..100_000)
        .map(|at| format!("c{at} sha256:{at:064x}\n"))
        .collect();
    let config = Config::new()
        .service(&service, "")
        .route(&format!("name: r, to: a, {BY_HEADER}"));
    let gateway = Gateway::beside(&[("keys", &(many + &customers()))], config);
    check(&gateway, "http://a.test/", &[("x-api-key", "gold-key")], 200, &[]);
    check(
        &gateway,
        "http://a.test/",
        &[("x-api-key", "wrong")],
        401,
        &[CHALLENGE],
    );
}
