//! Variables of the environment in a config: they give text, and an empty one opens nothing.

use std::fs;
use std::process::Command;

use http::Request;

use crate::support::client::request;
use crate::support::command::{Output, output};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::service::Service;

/// Runs `waypost check` on `config` with a variable `KEY`.
fn check(config: &str, key: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("waypost.yaml"), config).unwrap();
    output(
        Command::new(env!("CARGO_BIN_EXE_waypost"))
            .arg("check")
            .env("KEY", key)
            .current_dir(directory.path()),
    )
}

/// A gateway with a variable `KEY`, and a route `closed` behind these conditions beside one for the rest.
fn gateway(conditions: &str, key: &str) -> Gateway {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waypost.yaml");
    fs::write(&path, config(conditions).key("admin: { bind: 127.0.0.1:0 }")).unwrap();
    Gateway::run(directory, path, &[("KEY".to_owned(), key.to_owned())])
}

/// A gateway that forwards to the endpoints that a variable `LIST` brings.
fn balancing(list: &str) -> Gateway {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waypost.yaml");
    let config = Config::new()
        .service_at("all", &["${LIST}"], "")
        .route("name: all, to: all")
        .key("admin: { bind: 127.0.0.1:0 }");
    fs::write(&path, config).unwrap();
    Gateway::run(directory, path, &[("LIST".to_owned(), list.to_owned())])
}

fn config(conditions: &str) -> Config {
    Config::new()
        .route(&format!(
            "name: closed, match: {{ {conditions} }}, respond: {{ status: 200, body: closed }}"
        ))
        .all_respond("open")
}

const CONDITIONS: [&str; 4] = [
    "headers: { x-api-key: \"${KEY}\" }",
    "headers: { authorization: \"Bearer ${KEY}\" }",
    "query: { apikey: \"${KEY}\" }",
    "cookies: { key: \"${KEY}\" }",
];

#[test]
fn empty_variable_is_an_error() {
    for conditions in CONDITIONS {
        let found = check(config(conditions).as_ref(), "").expect(1);
        assert!(
            found.stdout.contains("error[unset-variable]") && found.stdout.contains("`KEY` is empty"),
            "{}",
            found.stdout
        );
        check(config(conditions).as_ref(), "secret").expect(0);
        // Empty on purpose, and a default for an empty variable.
        let purpose = conditions.replace("${KEY}", "${KEY:-}");
        check(config(&purpose).as_ref(), "").expect(if purpose.contains("Bearer") { 1 } else { 0 });
        check(config(&conditions.replace("${KEY}", "${KEY:-x}")).as_ref(), "").expect(0);
    }
}

#[test]
fn condition_on_an_empty_value_is_a_warning() {
    for value in ["\"\"", "\"${KEY:-}\""] {
        for (conditions, target, fields) in [
            ("headers: { x-key: VALUE }", "/", "x-key:\r\n"),
            ("query: { key: VALUE }", "/?key", ""),
            ("query: { key: VALUE }", "/?key=", ""),
            ("cookies: { key: VALUE }", "/", "cookie: key=\r\n"),
        ] {
            let conditions = conditions.replace("VALUE", value);
            let found = check(config(&conditions).as_ref(), "").expect(0);
            assert!(
                found.stdout.contains("warning[empty-condition]"),
                "{}",
                found.stdout
            );
            // It matches nevertheless.
            let gateway = gateway(&conditions, "");
            let asked = request("GET", &format!("http://a{target}"), fields);
            assert_eq!(gateway.ask(asked).text(), "closed", "{conditions}");
            assert_eq!(gateway.get("http://a/").text(), "open", "{conditions}");
        }
    }
}

#[test]
fn variable_in_a_condition_is_text() {
    for key in ["~.*", "true", "false", "null", "a|", ".*"] {
        for conditions in CONDITIONS {
            let gateway = gateway(conditions, key);
            let client = Http2Client::connect(gateway.address());
            for (value, body) in [(key, "closed"), ("other", "open"), ("", "open")] {
                let target = format!("/?apikey={value}").replace('|', "%7C");
                let fields =
                    format!("X-Api-Key: {value}\r\nAuthorization: Bearer {value}\r\nCookie: key={value}\r\n");
                let asked = request("GET", &format!("http://a.test{target}"), &fields);
                assert_eq!(
                    gateway.ask(asked).text(),
                    body,
                    "{conditions} is {key}, not {value}"
                );
                let asked = Request::get(format!("http://a.test{target}"))
                    .header("x-api-key", value)
                    .header("authorization", format!("Bearer {value}").trim_end())
                    .header("cookie", format!("key={value}"));
                assert_eq!(
                    client.ask(asked.body(()).unwrap(), "").text(),
                    body,
                    "{conditions} is {key}"
                );
            }
            // Without any of them too.
            assert_eq!(gateway.get("http://a/").text(), "open", "{conditions} is {key}");
        }
    }
}

#[test]
fn variable_in_a_written_regex_is_part_of_it() {
    let gateway = gateway("headers: { x-tier: \"~^(${KEY})$\" }", "gold|silver");
    for (tier, body) in [("gold", "closed"), ("silver", "closed"), ("gold|silver", "open")] {
        let asked = request("GET", "http://a/", &format!("X-Tier: {tier}\r\n"));
        assert_eq!(gateway.ask(asked).text(), body, "{tier}");
    }
    let found = check(config("path: \"${KEY}\"").as_ref(), "~^/x").expect(1);
    assert!(found.stdout.contains("error[bad-path]"), "{}", found.stdout);
}

#[test]
fn variable_brings_several_endpoints() {
    let services = [Service::echo("a"), Service::echo("b"), Service::echo("c")];
    let [a, b, c] = services.each_ref().map(Service::url);
    for list in [
        format!("{a},{b},{c}"),
        format!(" {a}, {b}\n{c},"),
        format!("{a} {b}\t{c}"),
    ] {
        let before = services.each_ref().map(Service::connections);
        let gateway = balancing(&list);
        let http2 = Http2Client::connect(gateway.address());
        for _ in 0..3 {
            assert_eq!(gateway.get("http://a/").status(), 200);
            assert_eq!(http2.get("http://a/").status(), 200);
        }
        for (service, before) in services.iter().zip(before) {
            assert!(service.connections() > before, "{} of {list:?}", service.name());
        }
    }
}
