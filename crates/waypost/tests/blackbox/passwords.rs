//! Passwords: `auth: { basic: … }`, its challenge, its file, and what services and logs get to see.

use std::sync::mpsc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use serde_json::json;

use crate::support::PATIENCE;
use crate::support::client::request;
use crate::support::command::waypost_in;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::message::Message;
use crate::support::service::Service;

/// `ann` and `Zoë` with the password `correct horse`, by bcrypt and by SHA-512-crypt.
const USERS: &str = "\
# staff
ann:$2a$04$N9qo8uLOickgx2ZMRZoMye7lwnnKjdKULIb0Soe6BjJXxCPR1R3dC
Zoë:$6$rounds=10000$abc$5Y0JdL9jCHr8oiUYS3HBP8wfOrqh5WMH8pEKRXoXCsuW0/P86pte0XT/gfrEtj/XnxD2mpbBGHag0IlUaS/p8.
";
/// `ann:correct horse`
const ANN: &str = "Basic YW5uOmNvcnJlY3QgaG9yc2U=";
/// `Zoë:correct horse`
const ZOE: &str = "Basic Wm/Dqzpjb3JyZWN0IGhvcnNl";
/// `ann:battery`
const WRONG: &str = "Basic YW5uOmJhdHRlcnk=";
/// `bob:correct horse`
const UNKNOWN: &str = "Basic Ym9iOmNvcnJlY3QgaG9yc2U=";

const CHALLENGE: &str = "Basic realm=\"Shop\", charset=\"UTF-8\"";

fn protected(service: &Service, keys: &str) -> Gateway {
    Gateway::beside(
        &[("users.htpasswd", USERS)],
        Config::new()
            .key("access_log: stdout")
            .service(service, "")
            .route(&format!(
                "name: all, to: {}, auth: {{ basic: {{ file: users.htpasswd, realm: Shop{keys} }} }}",
                service.name()
            )),
    )
}

/// The responses over HTTP/1 and HTTP/2 to a GET with this `authorization`, if any.
fn ask(gateway: &Gateway, credentials: Option<&str>) -> [Message; 2] {
    let fields = credentials.map_or_else(String::new, |value| format!("Authorization: {value}\r\n"));
    let mut over_http2 = Request::get("http://a.test/x");
    if let Some(value) = credentials {
        over_http2 = over_http2.header("authorization", value);
    }
    let client = Http2Client::connect(gateway.address());
    [
        gateway.ask(request("GET", "http://a.test/x", &fields)),
        client.ask(over_http2.body(()).unwrap(), ""),
    ]
}

#[test]
fn a_right_password_passes_and_stays_here() {
    let service = Service::echo("shop");
    let gateway = protected(&service, "");
    // The second time, it is not verified again.
    for credentials in [ANN, ZOE, ANN, ZOE] {
        for response in ask(&gateway, Some(credentials)) {
            assert_eq!(response.status(), 200, "{credentials}");
            assert!(!response.text().contains("authorization"), "{}", response.text());
        }
    }
}

#[test]
fn everything_else_is_challenged() {
    let service = Service::echo("shop");
    let gateway = protected(&service, "");
    for credentials in [
        None,
        Some(WRONG),
        Some(UNKNOWN),
        Some("Basic"),
        Some("Basic YW5u"),
        Some("Basic YW5uOmNvcnJlY3QgaG9yc2U"),
        Some("Basic YW5uOmNvcnJlY3QgaG9yc2U==="),
        Some("Bearer YW5uOmNvcnJlY3QgaG9yc2U="),
        Some("BasicYW5uOmNvcnJlY3QgaG9yc2U="),
    ] {
        for response in ask(&gateway, credentials) {
            assert_eq!(response.status(), 401, "{credentials:?}");
            assert_eq!(
                response.header("www-authenticate"),
                Some(CHALLENGE),
                "{credentials:?}"
            );
        }
    }
    let twice = format!("Authorization: {ANN}\r\nAuthorization: {ANN}\r\n");
    assert_eq!(
        gateway.ask(request("GET", "http://a.test/", &twice)).status(),
        401
    );
    assert_eq!(service.connections(), 0);
}

#[test]
fn a_service_gets_the_credentials_where_it_is_said() {
    let service = Service::echo("shop");
    let gateway = protected(&service, ", forward: true");
    for response in ask(&gateway, Some(ANN)) {
        assert!(response.text().contains(ANN), "{}", response.text());
    }
}

#[test]
fn the_user_is_known_and_the_password_is_nowhere() {
    let service = Service::echo("shop");
    let gateway = Gateway::beside(
        &[("users.htpasswd", USERS)],
        Config::new()
            .key("access_log: stdout")
            .service(&service, "")
            .route(
                "name: all, to: shop, request_headers: { set: { x-user: '{identity}' } }, \
                 auth: { basic: { file: users.htpasswd }, allow: [{ identity: ann }] }",
            ),
    );
    for response in ask(&gateway, Some(ANN)) {
        let headers = &response.json()["headers"];
        assert!(
            headers.as_array().unwrap().contains(&json!(["x-user", "ann"])),
            "{headers}"
        );
    }
    for response in ask(&gateway, Some(ZOE)) {
        assert_eq!(response.status(), 403);
        assert_eq!(response.header("www-authenticate"), None);
    }
    for response in ask(&gateway, Some(WRONG)) {
        let challenge = response.header("www-authenticate");
        assert_eq!(challenge, Some("Basic realm=\"Restricted\", charset=\"UTF-8\""));
        assert!(!response.text().contains("ann"), "{}", response.text());
    }
    gateway.wait_for_stdout("\"identity\":\"ann\"");
    gateway.wait_for_stdout("\"refused_by\":\"auth\"");
}

#[test]
fn users_change_with_their_file() {
    let service = Service::echo("shop");
    let gateway = protected(&service, "");
    for response in ask(&gateway, Some(ANN)) {
        assert_eq!(response.status(), 200);
    }
    // A file with a mistake keeps the last users, and says so.
    gateway.place("users.htpasswd", "ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    let said = gateway.wait_for_part("line 1: SHA-1");
    assert!(
        said.contains("`htpasswd -B`") && !said.contains("W6ph5"),
        "{said}"
    );
    gateway.command(&["status"]).expect(1);
    assert_eq!(ask(&gateway, Some(ANN))[0].status(), 200);
    // A password that was verified is forgotten with its file.
    let (_, zoe) = USERS.split_once("dC\n").unwrap();
    gateway.place("users.htpasswd", zoe);
    gateway.wait_for_part("the passwords of users were read again");
    for response in ask(&gateway, Some(ANN)) {
        assert_eq!(response.status(), 401);
    }
    assert_eq!(ask(&gateway, Some(ZOE))[0].status(), 200);
    gateway.command(&["status"]).expect(0);
}

#[test]
fn a_file_that_protects_nothing_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let config = "\
listeners: [{ bind: 127.0.0.1:0 }]
routes: [{ name: a, respond: { status: 200 }, auth: { basic: { file: users } } }]
";
    std::fs::write(directory.path().join("waypost.yaml"), config).unwrap();
    for (users, expected) in [
        ("ann:$apr1$x$y\n", "line 1: MD5"),
        ("\nann:secret\n", "line 2: a password in plain text"),
        (
            "ann:$2b$15$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
            "cost of bcrypt 15",
        ),
        ("ann", "a line is `USER:HASH`"),
    ] {
        std::fs::write(directory.path().join("users"), users).unwrap();
        let output = waypost_in(directory.path(), &["check", "waypost.yaml"]).expect(1);
        let said = output.stderr + &output.stdout;
        assert!(
            said.contains("bad-password-file") && said.contains(expected),
            "{said}"
        );
        assert!(!said.contains("secret"), "{said}");
    }
}

#[test]
fn explanations_and_tests_verify_passwords() {
    let service = Service::echo("shop");
    let gateway = protected(&service, "");
    let explain = |credentials: Option<&str>| {
        let headers = credentials.map_or(json!({}), |value| json!({ "authorization": value }));
        gateway.explain_question(&json!({ "url": "http://a.test/x", "headers": headers }))
    };
    let passed = explain(Some(ANN));
    assert_eq!(
        (&passed["outcome"], &passed["identity"]),
        (&json!("forward"), &json!("ann"))
    );
    assert!(!passed.to_string().contains("YW5u"), "{passed}");
    for credentials in [None, Some(WRONG), Some(UNKNOWN), Some("Basic YW5u")] {
        let refused = explain(credentials);
        assert_eq!(refused["status"], 401, "{refused}");
        assert_eq!(refused["stopped"]["step"], "auth", "{refused}");
        assert!(!refused.to_string().contains("YW5u"), "{refused}");
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("users"), USERS).unwrap();
    let config = format!(
        "\
listeners: [{{ bind: 127.0.0.1:0 }}]
routes: [{{ name: a, respond: {{ status: 204 }}, auth: {{ basic: {{ file: users }} }} }}]
tests:
  - {{ request: GET http://a.test/, expect: {{ status: 401 }} }}
  - {{ request: GET http://a.test/, headers: {{ authorization: {ANN} }}, expect: {{ status: 204 }} }}
  - {{ request: GET http://a.test/, headers: {{ authorization: {WRONG} }}, expect: {{ status: 401 }} }}
"
    );
    std::fs::write(directory.path().join("waypost.yaml"), config).unwrap();
    waypost_in(directory.path(), &["test", "waypost.yaml"]).expect(0);
}

#[test]
fn many_passwords_at_a_time_wait_and_then_are_refused() {
    let service = Service::echo("shop");
    // A cost of 14 keeps the threads busy for seconds.
    let users = "ann:$2b$14$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n";
    let gateway = Gateway::beside(
        &[("users", users)],
        Config::new()
            .key("access_log: stdout")
            .service(&service, "")
            .route("name: open, match: { path: /open }, to: shop")
            .route("name: all, to: shop, auth: { basic: { file: users } }"),
    );
    let busy = 64 + 2 * std::thread::available_parallelism().map_or(1, usize::from);
    let (statuses, told) = mpsc::channel();
    // Some may be verified while the others are sent.
    for at in 0..busy + 32 {
        let (mut client, statuses) = (gateway.connect(), statuses.clone());
        // Names that no file has.
        let pair = STANDARD.encode(format!("u{at}:x"));
        client.send(request(
            "GET",
            "http://a.test/",
            &format!("Authorization: Basic {pair}\r\n"),
        ));
        std::thread::spawn(move || {
            let status = client.try_response().map(|response| response.status());
            let _ = statuses.send(status);
        });
    }
    let mut status = told.recv_timeout(PATIENCE);
    while status == Ok(Some(401)) {
        status = told.recv_timeout(PATIENCE);
    }
    assert_eq!(status, Ok(Some(503)));
    // No worker waits for a password.
    assert_eq!(gateway.get("http://a.test/open").status(), 200);
}
