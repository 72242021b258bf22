//! `explain` and live traffic agree, offline from the config and in the running gateway.

use serde_json::{Value, json};

use crate::support::command::waypost_in;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::Service;
use crate::support::tls::{Authority, Trusting};

#[test]
fn explain_gives_421_for_an_uncovered_host() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pair = authority.issue(&["a.test", "*.b.test"]);
    let gateway = Gateway::with_certificates(&[&pair], &service);
    let trusting = Trusting::new(&authority);
    for (host, status) in [
        ("a.test", 200),
        ("A.test.", 200),
        ("x.b.test", 200),
        ("b.test", 421),
        ("x.y.b.test", 421),
        ("other.test", 421),
    ] {
        let mut client = trusting.connect(gateway.address(), "a.test");
        assert_eq!(client.get(host, "/").status(), status, "{host}");
        let url = format!("https://{host}/");
        for (way, answer) in [
            ("offline", gateway.explain_offline(&url)),
            ("live", gateway.explain(&url)),
        ] {
            let expected = match status {
                200 => (json!("forward"), json!("all"), Value::Null),
                _ => (json!("refused"), Value::Null, json!(status)),
            };
            let found = (
                answer["outcome"].clone(),
                answer["route"].clone(),
                answer["status"].clone(),
            );
            assert_eq!(found, expected, "{host} {way}");
        }
    }
}

#[test]
fn live_explain_gives_503_for_an_unresolved_name() {
    let gateway = Gateway::with(
        Config::new()
            .service_at("s", &["http://service.invalid:80"], "")
            .route("name: all, to: s"),
    );
    assert_eq!(gateway.get("http://a/").status(), 503);
    let answer = gateway.explain("http://a/");
    assert_eq!(
        (&answer["outcome"], &answer["route"], &answer["status"]),
        (&json!("unavailable"), &json!("all"), &json!(503))
    );
}

#[test]
fn explain_finds_the_listener_of_a_host_whatever_the_limits_of_others() {
    let short = "name: short, hosts: [a.test], limits: { target_bytes: 64 }";
    let gateway = Gateway::with(Config::listening(&[short, "name: long, hosts: [b.test]"]).all_respond("ok"));
    let path = "x".repeat(100);
    for (host, outcome, status) in [("a.test", "refused", 414), ("b.test", "respond", 200)] {
        let url = format!("http://{host}/{path}");
        for answer in [gateway.explain(&url), gateway.explain_offline(&url)] {
            assert_eq!(
                (&answer["outcome"], &answer["status"]),
                (&json!(outcome), &json!(status))
            );
        }
    }
}

#[test]
fn explain_shows_the_connection_header_of_a_closing_client() {
    let gateway = Gateway::with(Config::new().all_respond("ok"));
    let config = gateway.config().to_str().unwrap();
    for (fields, closes) in [(&[][..], false), (&["-H", "connection: close"], true)] {
        let mut command = vec!["explain", config, "GET", "http://a/", "--format", "json"];
        command.extend(fields);
        let explained = waypost_in(gateway.directory(), &command).expect(0).json();
        let headers = explained["headers"].to_string();
        assert_eq!(headers.contains(r#"["connection","close"]"#), closes, "{headers}");
    }
}
