//! Authentication against an OpenID provider (npm `oidc-provider`), and against a forward-auth server that checks all that
//! it is asked. `cargo xtask system` installs what they need and runs them.

#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

#[path = "blackbox/support/mod.rs"]
#[expect(dead_code, reason = "shared with the black-box suite")]
mod support;

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::support::command::repository;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::message::Message;
use crate::support::service::{Service, ok};

/// An OpenID provider, which issues tokens for the audience `urn:shop`.
struct Provider {
    child: Child,
    talk: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
    issuer: String,
}

impl Provider {
    fn start() -> Self {
        let folder = repository().join("crates/waypost/tests/peers/identity");
        let mut child = Command::new("node")
            .arg("provider.js")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node is installed");
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut provider = Self {
            child,
            talk: RefCell::new((input, output)),
            issuer: String::new(),
        };
        provider.issuer = provider.read()["issuer"].as_str().unwrap().to_owned();
        provider
    }

    fn read(&self) -> Value {
        let mut line = String::new();
        self.talk.borrow_mut().1.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn tell(&self, command: &str) -> Value {
        writeln!(self.talk.borrow_mut().0, "{command}").unwrap();
        let result = self.read();
        assert!(result["error"].is_null(), "{command}: {result}");
        result
    }

    /// A token: `machine ALGORITHM [SCOPE]` by client credentials, `person ALGORITHM` by the code flow.
    fn token(&self, command: &str) -> String {
        self.tell(command)["token"].as_str().unwrap().to_owned()
    }

    /// A `jwt` for its tokens.
    fn jwt(&self, audience: &str, more: &str) -> String {
        let issuer = &self.issuer;
        format!("jwt: {{ issuer: \"{issuer}\", audience: \"{audience}\", keys: \"{issuer}/jwks\"{more} }}")
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks by HTTP/1 and HTTP/2, with a token.
fn ask(gateway: &Gateway, path: &str, token: Option<&str>) -> Message {
    let line = token
        .map(|token| format!("Authorization: Bearer {token}\r\n"))
        .unwrap_or_default();
    let first = gateway.ask(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n{line}\r\n"));
    let mut request = http::Request::builder().uri(format!("http://a.test{path}"));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let second = Http2Client::connect(gateway.address()).ask(request.body(()).unwrap(), "");
    assert_eq!(first.status(), second.status(), "{path}");
    first
}

/// The header that the service got.
fn got(response: &Message, name: &str) -> Option<String> {
    let body = response.json();
    let fields = body["headers"].as_array().unwrap();
    let field = fields.iter().find(|field| {
        field[0]
            .as_str()
            .is_some_and(|known| known.eq_ignore_ascii_case(name))
    });
    field.map(|field| field[1].as_str().unwrap().to_owned())
}

/// A gateway with a route for each way to use the tokens.
fn guarded(provider: &Provider, service: &Service) -> Gateway {
    let jwt = provider.jwt(
        "urn:shop",
        ", claims: { sub: x-user, scope: x-scope, name: x-name }",
    );
    Gateway::with(
        Config::new()
            .service(service, "")
            .route(&format!("name: shop, match: {{ path: /shop }}, to: a, auth: {{ {jwt} }}"))
            .route(&format!(
                "name: other, match: {{ path: /other }}, to: a, auth: {{ {} }}",
                provider.jwt("urn:other", "")
            ))
            .route(&format!(
                "name: write, match: {{ path: /write }}, to: a, auth: {{ {jwt}, allow: [{{ claims: {{ scope: \"orders:write\" }} }}] }}"
            ))
            .route(&format!(
                "name: staff, match: {{ path: /staff }}, to: a, auth: {{ {jwt}, allow: [{{ groups: [staff] }}] }}"
            ))
            .route(&format!(
                "name: elliptic, match: {{ path: /elliptic }}, to: a, auth: {{ {} }}",
                provider.jwt("urn:shop", ", algorithms: [ES256]")
            )),
    )
}

#[test]
fn tokens_of_machines_and_of_people_pass_where_they_may() {
    let (provider, service) = (Provider::start(), Service::echo("a"));
    let gateway = guarded(&provider, &service);
    for algorithm in ["RS256", "PS256", "ES256"] {
        let machine = provider.token(&format!("machine {algorithm}"));
        let writer = provider.token(&format!("machine {algorithm} orders:write"));
        let person = provider.token(&format!("person {algorithm}"));
        let elliptic = if algorithm == "ES256" { 200 } else { 401 };
        for (path, statuses) in [
            ("/shop", [200, 200, 200]),
            ("/other", [401, 401, 401]),
            ("/write", [403, 200, 200]),
            ("/staff", [403, 403, 200]),
            ("/elliptic", [elliptic, elliptic, elliptic]),
        ] {
            for (token, status) in [&machine, &writer, &person].into_iter().zip(statuses) {
                // The second time it comes from the cache.
                for _ in 0..2 {
                    assert_eq!(
                        ask(&gateway, path, Some(token)).status(),
                        status,
                        "{algorithm} {path}"
                    );
                }
            }
        }
        let response = ask(&gateway, "/shop", Some(&person));
        assert_eq!(got(&response, "x-user").as_deref(), Some("ada"));
        assert_eq!(
            got(&response, "x-scope").as_deref(),
            Some("orders:read orders:write")
        );
        assert_eq!(got(&response, "authorization"), None);
        let response = ask(&gateway, "/shop", Some(&machine));
        assert_eq!(got(&response, "x-user"), Some(format!("machine-{algorithm}")));
        // One letter of the signature, in its middle.
        let at = machine.len() - 20;
        let letter = if machine.as_bytes()[at] == b'A' { "B" } else { "A" };
        let forged = format!("{}{letter}{}", &machine[..at], &machine[at + 1..]);
        assert_eq!(ask(&gateway, "/shop", Some(&forged)).status(), 401, "{algorithm}");
    }
    let refused = ask(&gateway, "/shop", None);
    assert_eq!(refused.status(), 401);
    assert!(refused.header("www-authenticate").unwrap().starts_with("Bearer"));
}

#[test]
fn tokens_of_a_new_key_pass_at_once_and_those_of_a_key_that_is_gone_no_longer() {
    let (provider, service) = (Provider::start(), Service::echo("a"));
    let gateway = guarded(&provider, &service);
    let old = provider.token("machine RS256");
    assert_eq!(ask(&gateway, "/shop", Some(&old)).status(), 200);
    provider.tell("rotate");
    let new = provider.token("machine RS256");
    assert_eq!(ask(&gateway, "/shop", Some(&new)).status(), 200);
    assert_eq!(ask(&gateway, "/shop", Some(&old)).status(), 401);
    assert_eq!(ask(&gateway, "/shop", Some(&new)).status(), 200);
}

/// A forward-auth server as authelia and oauth2-proxy are: it demands what they read, and nothing that it is not to get.
fn forward_auth() -> Service {
    Service::named("idp", |talk| {
        while let Some(request) = talk.request() {
            let header = |name: &str| request.header(name).unwrap_or_default().to_owned();
            let is_told = request.method() == "GET"
                && request.target() == "/api/verify"
                && header("x-forwarded-method") == "POST"
                && header("x-forwarded-uri") == "/cart?item=1"
                && header("x-forwarded-host") == "a.test"
                && header("x-forwarded-proto") == "http"
                && header("x-forwarded-for") == "127.0.0.1"
                && request.header("x-secret").is_none()
                && request.header("remote-user").is_none()
                && request
                    .header("content-length")
                    .is_none_or(|length| length == "0")
                && request.header("transfer-encoding").is_none();
            let response = match &*header("cookie") {
                _ if !is_told => "HTTP/1.1 500 Not Told\r\nContent-Length: 0\r\n\r\n".to_owned(),
                "session=ada" => "HTTP/1.1 200 OK\r\nRemote-User: ada\r\nRemote-Groups: staff,admins\r\nX-Other: 1\r\n\
                     Content-Length: 0\r\n\r\n"
                    .to_owned(),
                "session=bob" => "HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 7\r\n\r\nnot you".to_owned(),
                "session=slow" => return,
                "session=odd" => "HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n".to_owned(),
                _ => "HTTP/1.1 302 Found\r\nLocation: https://login.example.com/?rd=http%3A%2F%2Fa.test%2Fcart\r\n\
                     Set-Cookie: state=1; Path=/\r\nContent-Length: 0\r\n\r\n"
                    .to_owned(),
            };
            talk.send(response);
        }
    })
}

#[test]
fn a_forward_auth_server_is_told_what_it_needs_and_decides() {
    let (idp, service) = (forward_auth(), Service::echo("a"));
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "")
            .service(&idp, "")
            .route("name: cart, match: { path: /cart }, to: a, auth: { ask: { to: idp, path: /api/verify, take: [remote-user, remote-groups] } }"),
    );
    let post = |cookie: &str| {
        let cookie = if cookie.is_empty() {
            String::new()
        } else {
            format!("Cookie: {cookie}\r\n")
        };
        gateway.ask(format!(
            "POST /cart?item=1 HTTP/1.1\r\nHost: a.test\r\n{cookie}X-Secret: 1\r\nRemote-User: root\r\n\
             Content-Length: 4\r\n\r\nbody"
        ))
    };
    let passed = post("session=ada");
    assert_eq!(passed.status(), 200, "{}", passed.text());
    assert_eq!(got(&passed, "remote-user").as_deref(), Some("ada"));
    assert_eq!(got(&passed, "remote-groups").as_deref(), Some("staff,admins"));
    assert_eq!(got(&passed, "x-other"), None);
    assert_eq!(passed.json()["body"], "body");
    let refused = post("session=bob");
    assert_eq!((refused.status(), refused.text()), (403, "not you".to_owned()));
    assert_eq!(refused.header("content-type"), Some("text/html"));
    let login = post("");
    assert_eq!(login.status(), 302);
    assert_eq!(
        login.header("location"),
        Some("https://login.example.com/?rd=http%3A%2F%2Fa.test%2Fcart")
    );
    assert_eq!(login.header("set-cookie"), Some("state=1; Path=/"));
    assert_eq!(post("session=odd").status(), 502);
    assert_eq!(post("session=slow").status(), 502);
}

#[test]
fn a_single_page_app_asks_before_it_has_a_token() {
    let (provider, service) = (Provider::start(), Service::responding(ok("mine")));
    let origin = "https://app.example.com";
    let gateway = Gateway::with(Config::new().service(&service, "").route(&format!(
        "name: api, to: service, auth: {{ {} }}, cors: {{ origins: [\"{origin}\"] }}",
        provider.jwt("urn:shop", "")
    )));
    let preflight = gateway.ask(format!(
        "OPTIONS /me HTTP/1.1\r\nHost: a.test\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: GET\r\n\
         Access-Control-Request-Headers: authorization\r\n\r\n"
    ));
    assert_eq!(preflight.status(), 204);
    assert_eq!(
        preflight.header("access-control-allow-headers"),
        Some("authorization, content-type")
    );
    let with = |token: &str| {
        gateway.ask(format!(
            "GET /me HTTP/1.1\r\nHost: a.test\r\nOrigin: {origin}\r\nAuthorization: Bearer {token}\r\n\r\n"
        ))
    };
    for (token, status) in [(provider.token("person RS256"), 200), ("forged".to_owned(), 401)] {
        let response = with(&token);
        assert_eq!(response.status(), status);
        assert_eq!(response.header("access-control-allow-origin"), Some(origin));
        assert_eq!(response.header("vary"), Some("origin"));
    }
    // An OPTIONS that is no preflight needs a token, as any request.
    let options = gateway.ask(format!(
        "OPTIONS /me HTTP/1.1\r\nHost: a.test\r\nOrigin: {origin}\r\n\r\n"
    ));
    assert_eq!(options.status(), 401);
}
