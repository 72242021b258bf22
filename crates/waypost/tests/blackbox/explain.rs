//! `explain` and live traffic agree, offline from the config and in the running gateway.

use serde_json::{Value, json};

use crate::support::command::waypost_in;
use crate::support::config::Config;
use crate::support::gateway::{Gateway, certificates};
use crate::support::service::Service;
use crate::support::tls::{Authority, Trusting};

#[test]
fn explain_gives_421_for_a_host_of_another_certificate() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pairs = [
        authority.issue(&["a.test", "*.b.test"]),
        authority.issue(&["c.test"]),
    ];
    for (auth, expected) in [
        (
            "",
            [
                ("a.test", "a.test", 200),
                ("a.test", "x.b.test", 200),
                ("a.test", "other.test", 200),
                ("a.test", "c.test", 421),
                ("c.test:8443", "C.test.:443", 200),
                ("c.test", "a.test", 421),
                ("c.test", "other.test", 421),
                ("other.test", "other.test", 200),
                ("other.test", "c.test", 421),
                ("127.0.0.1", "c.test", 200),
            ],
        ),
        (
            ", client_auth: { ca: clients.crt, mode: optional }",
            [
                ("a.test", "a.test", 200),
                ("a.test", "x.b.test", 200),
                ("a.test", "other.test", 421),
                ("a.test", "c.test", 421),
                ("c.test:8443", "C.test.:443", 200),
                ("c.test", "a.test", 421),
                ("c.test", "other.test", 421),
                ("other.test", "other.test", 421),
                ("other.test", "c.test", 421),
                ("127.0.0.1", "c.test", 421),
            ],
        ),
    ] {
        let tls = format!("tls: {{ {}{auth} }}", certificates(2));
        let config = Config::listening(&[&tls]).all_to(&service);
        let files = [("clients.crt", authority.pem())];
        let gateway = Gateway::under_tls(&[&pairs[0], &pairs[1]], &files, config);
        let unverified = Trusting::new(&authority).without_verifying();
        for (name, host, status) in expected {
            let sni = name.split(':').next().unwrap();
            let mut client = unverified.connect(gateway.address(), sni);
            assert_eq!(client.get(host, "/").status(), status, "{name}, {host}{auth}");
            let question = json!({
                "request": format!("GET https://{name}/"),
                "headers": { "host": host },
            });
            let config = gateway.config().to_str().unwrap();
            let (url, field) = (format!("https://{name}/"), format!("host: {host}"));
            let asked = ["explain", config, "GET", &url, "-H", &field, "--format", "json"];
            let offline = waypost_in(gateway.directory(), &asked).expect(0).json();
            for answer in [gateway.explain_question(&question), offline] {
                let expected = match status {
                    200 => (json!("forward"), json!("all"), Value::Null),
                    _ => (json!("refused"), Value::Null, json!(status)),
                };
                let found = (
                    answer["outcome"].clone(),
                    answer["route"].clone(),
                    answer["status"].clone(),
                );
                assert_eq!(found, expected, "{name}, {host}{auth}");
            }
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
