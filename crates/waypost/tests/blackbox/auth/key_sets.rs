//! Key sets by URL: when they are fetched, and what counts while they cannot be.

use serde_json::{Value, json};

use super::check;
use crate::support::client::request;
use crate::support::config::Config;
use crate::support::gateway::{Gateway, certificates};
use crate::support::service::{Service, gate};
use crate::support::tls::Authority;
use crate::support::tokens::{Issuer, KeyServer, key_set};
use crate::support::wait_for;

const INVALID: &str = "Bearer realm=\"api\", error=\"invalid_token\"";

fn config(keys: &str, service: &Service) -> Config {
    let jwt = format!("issuer: https://id.example.com, audience: shop, keys: \"{keys}\"");
    let route = format!("name: all, to: {}, auth: {{ jwt: {{ {jwt} }} }}", service.name());
    Config::new().service(service, "").route(&route)
}

fn bearer(issuer: &Issuer) -> String {
    format!("Bearer {}", issuer.token(&json!({})))
}

/// The report of the key set in the status, once it is as wanted.
fn report(gateway: &Gateway, wanted: impl Fn(&Value) -> bool) -> Value {
    wait_for("the report", || {
        let status = gateway.admin_json("/api/v1/status");
        wanted(&status["key_sets"][0]).then_some(status)
    })
}

#[test]
fn a_key_set_is_fetched_at_load_and_when_a_key_is_unknown() {
    let (first, second, third) = (Issuer::new("k1"), Issuer::new("k2"), Issuer::new("k3"));
    let (server, service) = (KeyServer::of(&first.key_set()), Service::echo("a"));
    let gateway = Gateway::with(config(&server.url(), &service).workers(2));
    let ask = |issuer: &Issuer, status, challenges: &[&str]| {
        let value = bearer(issuer);
        check(
            &gateway,
            "http://a.test/",
            &[("Authorization", &value)],
            status,
            challenges,
        );
    };
    // A request that comes before the answer waits for it.
    ask(&first, 200, &[]);
    assert_eq!(server.fetches(), 1);
    server.set(&key_set(&[&first, &second]));
    ask(&second, 200, &[]);
    assert_eq!(server.fetches(), 2);
    // Unknown keys lead to one fetch in 30 s.
    server.set(&key_set(&[&first, &second, &third]));
    for _ in 0..3 {
        ask(&third, 401, &[INVALID]);
    }
    ask(&first, 200, &[]);
    assert_eq!(server.fetches(), 2);
    let status = gateway.admin_json("/api/v1/status");
    assert_eq!(
        (
            &status["ok"],
            &status["key_sets"][0]["keys"],
            &status["key_sets"][0]["error"]
        ),
        (&json!(true), &json!(2), &Value::Null)
    );
    let metrics = gateway.metrics();
    for line in [
        format!(
            "waypost_key_set_fetches_total{{url=\"{}\",result=\"succeeded\"}} 2",
            server.url()
        ),
        format!("waypost_key_set_age_seconds{{url=\"{}\"}} ", server.url()),
    ] {
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
}

#[test]
fn without_a_key_set_tokens_get_503_until_there_is_one() {
    let issuer = Issuer::new("k1");
    let (server, service) = (KeyServer::of("{}"), Service::echo("a"));
    let gateway = Gateway::with(config(&server.url(), &service));
    let status = report(&gateway, |keys| keys["error"].is_string());
    assert_eq!(
        (&status["ok"], &status["health"]),
        (&json!(false), &json!("error"))
    );
    let value = bearer(&issuer);
    check(&gateway, "http://a.test/", &[("Authorization", &value)], 503, &[]);
    // One without a token needs no keys.
    check(&gateway, "http://a.test/", &[], 401, &["Bearer realm=\"api\""]);
    let shown = gateway.command(&["status"]);
    assert!(shown.stdout.contains("cannot be fetched"), "{}", shown.stdout);
    server.set(&issuer.key_set());
    report(&gateway, |keys| keys["error"].is_null());
    check(&gateway, "http://a.test/", &[("Authorization", &value)], 200, &[]);
}

#[test]
fn a_key_set_by_https_is_believed_by_the_authorities_of_the_machine() {
    let issuer = Issuer::new("k1");
    let (authority, stranger) = (Authority::new(), Authority::new());
    let pair = authority.issue(&["localhost"]);
    let server = Gateway::under_tls(
        &[&pair],
        &[],
        Config::listening(&[&format!("tls: {{ {} }}", certificates(1))]).route(&format!(
            "name: keys, respond: {{ status: 200, body: '{}' }}",
            issuer.key_set()
        )),
    );
    let service = Service::echo("a");
    let url = format!("https://localhost:{}/jwks.json", server.address().port());
    let header = bearer(&issuer);
    for (trusted, status) in [(&authority, 200), (&stranger, 503)] {
        let directory = tempfile::tempdir().unwrap();
        let roots = directory.path().join("roots.pem");
        std::fs::write(&roots, trusted.pem()).unwrap();
        let path = directory.path().join("waypost.yaml");
        let own = config(&url, &service).key("admin: { bind: 127.0.0.1:0 }");
        std::fs::write(&path, own.as_ref() as &str).unwrap();
        let environment = [("SSL_CERT_FILE".to_owned(), roots.to_str().unwrap().to_owned())];
        let gateway = Gateway::run(directory, path, &environment);
        let fields = [("authorization", &*header)];
        let challenges: &[&str] = &[];
        check(&gateway, "http://a.test/", &fields, status, challenges);
        if status == 503 {
            let status = report(&gateway, |report| report["error"] != Value::Null);
            let error = status["key_sets"][0]["error"].as_str().unwrap();
            assert!(error.starts_with("no TLS: "), "{error}");
        }
    }
}

#[test]
fn a_client_that_leaves_while_keys_are_fetched_holds_nothing() {
    let issuer = Issuer::new("k1");
    let (opener, gate) = gate();
    let (server, service) = (
        KeyServer::behind(Some(gate), &issuer.key_set()),
        Service::echo("a"),
    );
    let gateway = Gateway::with(config(&server.url(), &service).key("access_log: stdout"));
    let fields = format!("Authorization: {}\r\n", bearer(&issuer));
    server.service.wait_for("GET /jwks.json");
    let mut client = gateway.connect();
    client.send(request("GET", "http://a.test/gone", &fields));
    let waiting = gateway.connect();
    client.reset();
    gateway.wait_for_stdout("\"ended_by\":\"client\"");
    drop(waiting);
    opener.open();
    let response = gateway.ask(request("GET", "http://a.test/", &fields));
    assert_eq!(response.status(), 200);
    assert_eq!(server.fetches(), 1);
    let metrics = gateway.metrics();
    for line in [
        "waypost_requests_total{route=\"all\",service=\"\",code=\"0\"} 1\n",
        "waypost_failed_requests_total{route=\"all\",service=\"\"} 0\n",
        "waypost_auth_total{route=\"all\",way=\"jwt\",result=\"passed\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(!metrics.contains("result=\"unavailable\""), "{metrics}");
    assert!(!service.received().concat().contains("/gone"));
}

#[test]
fn a_failing_fetch_keeps_the_last_set() {
    let (first, second) = (Issuer::new("k1"), Issuer::new("k2"));
    let (server, service) = (KeyServer::of(&first.key_set()), Service::echo("a"));
    let gateway = Gateway::with(config(&server.url(), &service));
    let (known, unknown) = (bearer(&first), bearer(&second));
    check(&gateway, "http://a.test/", &[("Authorization", &known)], 200, &[]);
    server.answer_with("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n");
    check(
        &gateway,
        "http://a.test/",
        &[("Authorization", &unknown)],
        401,
        &[INVALID],
    );
    let status = report(&gateway, |keys| keys["error"].is_string());
    assert_eq!(status["ok"], false);
    assert_eq!(status["key_sets"][0]["keys"], 1);
    check(&gateway, "http://a.test/", &[("Authorization", &known)], 200, &[]);
}

#[test]
fn a_request_waits_for_keys_under_way() {
    let issuer = Issuer::new("k1");
    let (opener, at_gate) = gate();
    let (server, service) = (
        KeyServer::behind(Some(at_gate), &issuer.key_set()),
        Service::echo("a"),
    );
    let gateway = Gateway::with(config(&server.url(), &service));
    server.service.wait_for("GET /jwks.json");
    let fields = format!("Authorization: {}\r\n", bearer(&issuer));
    let mut client = gateway.connect();
    client.send(request("GET", "http://a.test/", &fields));
    opener.open();
    assert_eq!(client.response().status(), 200);
}

#[test]
fn a_reload_keeps_the_sets_of_urls_that_stay() {
    let issuer = Issuer::new("k1");
    let (server, service) = (KeyServer::of(&issuer.key_set()), Service::echo("a"));
    let before = config(&server.url(), &service);
    let gateway = Gateway::with(before.clone());
    let value = bearer(&issuer);
    check(&gateway, "http://a.test/", &[("Authorization", &value)], 200, &[]);
    server.answer_with("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n");
    gateway.rewrite(before.route("name: more, match: { path: /more }, respond: { status: 204 }"));
    gateway.wait_for_revision(2);
    check(&gateway, "http://a.test/", &[("Authorization", &value)], 200, &[]);
    assert_eq!(server.fetches(), 1);
    gateway.rewrite(Config::new().all_to(&service));
    gateway.wait_for_revision(3);
    assert_eq!(gateway.admin_json("/api/v1/status")["key_sets"], json!([]));
}

#[test]
fn an_answer_that_is_no_key_set_is_not_believed() {
    let issuer = Issuer::new("k1");
    let elsewhere = KeyServer::of(&issuer.key_set());
    let service = Service::echo("a");
    let large = format!("{}{}", issuer.key_set(), " ".repeat(256 * 1024));
    let secret = r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#;
    let page = |status: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for (answer, error) in [
        (
            format!(
                "HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
                elsewhere.url()
            ),
            "redirect",
        ),
        (page("404 Not Found", &issuer.key_set()), "404"),
        (page("200 OK", &large), "256 KiB"),
        (page("200 OK", secret), "secret"),
        (page("200 OK", "<html>"), "neither"),
        (page("200 OK", &issuer.pair.public_key_pem()), "neither"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_owned(),
            "breaks off",
        ),
    ] {
        let server = Service::responding_once(answer);
        let gateway = Gateway::with(config(&format!("{}/jwks.json", server.url()), &service));
        let status = report(&gateway, |keys| keys["error"].is_string());
        let found = status["key_sets"][0]["error"].as_str().unwrap();
        assert!(found.contains(error), "{error} in {found}");
        let value = bearer(&issuer);
        check(&gateway, "http://a.test/", &[("Authorization", &value)], 503, &[]);
    }
    assert_eq!(elsewhere.fetches(), 0);
}
