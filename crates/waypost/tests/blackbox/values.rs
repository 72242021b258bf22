//! Values of a request in configured texts: the same for HTTP/1, HTTP/2 and `explain`.

use http::Request;
use serde_json::{Value, json};

use crate::clients::{Lines, ask};
use crate::support::client::request;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::service::Service;
use crate::support::tls::{Authority, Trusting};

/// Explanations of the same request, live and offline.
fn explained(gateway: &Gateway, url: &str, lines: &Lines) -> [Value; 2] {
    let headers: Vec<(&str, &str)> = lines.to_vec();
    let live = gateway.explain_question(&json!({ "request": format!("GET {url}"), "headers": headers }));
    let config = gateway.config().to_str().unwrap().to_owned();
    let options: Vec<String> = lines
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let mut arguments = vec!["explain", "--format", "json", &config, "GET", url];
    for option in &options {
        arguments.extend(["-H", option]);
    }
    [live, gateway.command(&arguments).expect(0).json()]
}

/// The values of a header in what an echoing service got.
fn got<'m>(echoed: &'m Value, name: &str) -> Vec<&'m str> {
    let headers = echoed["headers"].as_array().unwrap().iter();
    headers
        .filter(|header| header[0].as_str().unwrap().eq_ignore_ascii_case(name))
        .map(|header| header[1].as_str().unwrap())
        .collect()
}

#[test]
fn every_value_is_filled_into_headers_of_both_directions() {
    let service = Service::echo("orders");
    let names = [
        ("client_ip", "127.0.0.1"),
        ("host", "a.example"),
        ("scheme", "http"),
        ("method", "GET"),
        ("path", "/users/7%20x/cart"),
        ("query", "page=2&q=a%20b+c&page=3"),
        ("route", "cart"),
        ("service", "orders"),
        ("listener", "public"),
        ("revision", "1"),
        ("id", "7%20x"),
        ("header.User-Agent", "test/1"),
        ("header.x-many", "a, b"),
        ("cookie.side", "left%20"),
        ("query.page", "2"),
        ("query.q", "a%20b+c"),
    ];
    let edits: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(at, (name, _))| format!("x-{at}: \"<{{{name}}}>\""))
        .collect();
    let edits = edits.join(", ");
    let gateway = Gateway::with(
        Config::listening(&["name: public"])
            .service(&service, "")
            .route(&format!(
                "name: cart, match: {{ path: \"/users/{{id}}/cart\" }}, to: orders, \
        request_headers: {{ set: {{ {edits} }} }}, response_headers: {{ add: {{ {edits} }} }}"
            )),
    );
    let lines = &[
        ("user-agent", "test/1"),
        ("x-many", "a"),
        ("x-many", "b"),
        ("cookie", "a=b; side=left%20; side=right"),
    ];
    let url = "http://A.example/users//7%20x/cart?page=2&q=a%20b+c&page=3";
    for response in ask(&gateway, url, lines) {
        let echoed = response.json();
        for (at, (name, value)) in names.iter().enumerate() {
            let (header, wanted) = (format!("x-{at}"), format!("<{value}>"));
            assert_eq!(got(&echoed, &header), [&wanted], "{name}");
            assert_eq!(response.values(&header), [&wanted], "{name}");
        }
    }
    for explanation in explained(&gateway, url, lines) {
        for (at, (name, value)) in names.iter().enumerate() {
            if *name != "revision" {
                assert_eq!(
                    got(&explanation, &format!("x-{at}")),
                    [format!("<{value}>")],
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn port_time_and_braces() {
    let gateway = Gateway::with(Config::new().route(
        "name: own, respond: { status: 200, body: \"{port} {time} {{x}} {{{method}}}\" }, \
        response_headers: { set: { x-port: \"{port}\", x-id: \"{request_id}\" } }",
    ));
    for response in ask(&gateway, "http://a/", &[]) {
        let port = gateway.address().port().to_string();
        assert_eq!(response.values("x-port"), [&port]);
        let text = response.text();
        let parts: Vec<&str> = text.split(' ').collect();
        let [shown, time, braces, method] = parts[..] else {
            panic!("{text}");
        };
        assert_eq!((shown, braces, method), (&*port, "{x}", "{GET}"));
        let shape: String = time
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(shape, "0000-00-00T00:00:00Z");
        let length = text.len().to_string();
        assert_eq!(response.values("content-length"), [&length]);
        assert_eq!(response.header("x-id").unwrap().len(), 36);
    }
}

#[test]
fn absent_value_leaves_no_header_and_lets_none_pass() {
    let service = Service::scripted(|talk| {
        while let Some(asked) = talk.request() {
            let lines = format!("{:?}", asked.fields);
            talk.send(format!(
                "HTTP/1.1 200 OK\r\nx-set: theirs\r\nx-add: theirs\r\nContent-Length: {}\r\n\r\n{lines}",
                lines.len()
            ));
        }
    });
    let edits = "{ set: { x-set: \"{header.x-tenant}\", x-part: \"a {header.x-tenant}\" }, \
                 add: { x-add: \"{query.t}\" } }";
    let gateway = Gateway::with(Config::new().service(&service, "").route(&format!(
        "name: all, to: service, request_headers: {edits}, response_headers: {edits}"
    )));
    for response in ask(&gateway, "http://a/", &[("x-set", "mine"), ("x-add", "mine")]) {
        let text = response.text();
        assert!(!text.contains("x-set") && text.contains("mine"), "{text}");
        assert!(text.contains("(\"x-part\", \"a\")"), "{text}");
        assert_eq!(response.values("x-set"), [] as [&str; 0]);
        assert_eq!(response.values("x-part"), ["a"]);
        assert_eq!(response.values("x-add"), ["theirs"]);
    }
    for response in ask(&gateway, "http://a/?t=", &[("x-tenant", "t1"), ("x-set", "mine")]) {
        let text = response.text();
        assert!(
            text.contains("(\"x-set\", \"t1\")") && !text.contains("mine"),
            "{text}"
        );
        assert_eq!(response.values("x-set"), ["t1"]);
        assert_eq!(response.values("x-part"), ["a t1"]);
        assert_eq!(response.values("x-add"), ["theirs", ""]);
    }
}

#[test]
fn values_stay_inside_segment_parameter_and_host() {
    let service = Service::echo("a");
    let gateway = Gateway::with(
        Config::listening(&[""])
            .service(&service, "")
            .route(
                "name: rewritten, match: { path: \"/p/{id}/*\" }, to: a, rewrite: { \
                path: \"/t/{header.x-tenant}/{id}\", query: \"u={header.x-tenant}&{query}\", \
                host: \"{header.x-tenant}.internal\" }",
            )
            .route(
                "name: edited, match: { path: /q/* }, to: a, \
                rewrite: { query: { set: { u: \"{header.x-tenant}\", v: \"{query.w}\" } } }",
            ),
    );
    for (url, tenant, expected) in [
        (
            "/p/7/x?a=%2f",
            "acme",
            Ok(("/t/acme/7?u=acme&a=%2f", "acme.internal")),
        ),
        ("/p/7%20/x", "acme", Ok(("/t/acme/7%20?u=acme", "acme.internal"))),
        ("/p/7/x", "a b", Err(500)),
        ("/p/7/x", "..", Err(500)),
        ("/p/7/x", "a/b", Err(500)),
        ("/p/7/x", "a:1", Err(500)),
        (
            "/q/x?a=1&u=2",
            "a b&c=%41",
            Ok(("/q/x?a=1&u=a%20b%26c%3D%2541&v=", "a.example")),
        ),
        (
            "/q/x?w=a%26b+c",
            "é",
            Ok(("/q/x?w=a%26b+c&u=%C3%A9&v=a%26b+c", "a.example")),
        ),
    ] {
        let http1 = gateway.ask(format!(
            "GET {url} HTTP/1.1\r\nHost: a.example\r\nx-tenant: {tenant}\r\n\r\n"
        ));
        let client = Http2Client::connect(gateway.address());
        let builder = Request::get(format!("http://a.example{url}")).header("x-tenant", tenant);
        for response in [http1, client.ask(builder.body(()).unwrap(), "")] {
            match expected {
                Ok((target, host)) => {
                    let echoed = response.json();
                    assert_eq!(echoed["target"], target, "{tenant}");
                    assert_eq!(got(&echoed, "host"), [host], "{tenant}");
                }
                Err(status) => assert_eq!(response.status(), status, "{url} {tenant}"),
            }
        }
        let question = json!({
            "request": format!("GET http://a.example{url}"), "headers": [["x-tenant", tenant]],
        });
        let explanation = gateway.explain_question(&question);
        match expected {
            Ok((target, host)) => {
                let query = explanation["query"].as_str().unwrap();
                let shown = format!("{}?{query}", explanation["path"].as_str().unwrap());
                assert_eq!((&*shown, &explanation["host"]), (target, &json!(host)));
            }
            Err(status) => assert_eq!(explanation["status"], status),
        }
    }
}

#[test]
fn kept_slashes_stay_encoded_in_their_segment() {
    let service = Service::echo("a");
    let gateway = Gateway::with(
        Config::listening(&["paths: { encoded_slash: keep }"])
            .service(&service, "")
            .route("name: all, to: a, rewrite: { path: \"/t/{header.x-tenant}/{query.q}\" }"),
    );
    for response in ask(&gateway, "http://a/?q=x%2fy", &[("x-tenant", "a/b")]) {
        assert_eq!(response.json()["target"], "/t/a%2Fb/x%2Fy?q=x%2fy");
    }
    for response in ask(&gateway, "http://a/?q=..", &[("x-tenant", "a/b")]) {
        assert_eq!(response.status(), 500);
    }
}

#[test]
fn redirects_are_filled_in() {
    let gateway = Gateway::with(
        Config::listening(&["name: public"])
            .route(
                "name: moved, match: { path: \"/old/{id}\" }, \
                redirect: { status: 308, host: \"{query.to}.example\", path: \"/new/{id}\", query: \"from={path}\" }",
            )
            .route(
                "name: whole, match: { path: /whole/* }, redirect: { url: \
                \"https://www.{host}{path}?{query}&l={listener}#{header.x-a}\" }, \
                response_headers: { set: { x-route: \"{route}\" } }",
            )
            .route(
                "name: login, match: { path: /app/* }, \
                redirect: { url: \"{scheme}://login.example/?back={header.x-back}\" }",
            ),
    );
    for (url, lines, expected) in [
        (
            "http://a/old/7?to=b",
            &[][..],
            Some("http://b.example/new/7?from=/old/7"),
        ),
        ("http://a/old/7?to=b/c", &[], None),
        ("http://a/old/7", &[], None),
        (
            "http://a:81/whole/x?y=%20",
            &[("x-a", "é#")],
            Some("https://www.a/whole/x?y=%20&l=public#%C3%A9%23"),
        ),
        ("http://a/whole/x", &[], Some("https://www.a/whole/x?l=public#")),
        (
            "http://a/app/x",
            &[("x-back", "http://a/?x=1&y")],
            Some("http://login.example/?back=http://a/?x%3D1%26y"),
        ),
        ("http://a/app/x", &[], Some("http://login.example/?back=")),
    ] {
        for response in ask(&gateway, url, lines) {
            assert_eq!(response.header("location"), expected, "{url}");
            if expected.is_none() {
                assert_eq!(response.status(), 500, "{url}");
            }
            let is_whole = url.contains("/whole");
            assert_eq!(response.values("x-route"), vec!["whole"; usize::from(is_whole)]);
        }
        for explanation in explained(&gateway, url, lines) {
            assert_eq!(explanation["location"].as_str(), expected, "{url}");
        }
    }
}

#[test]
fn listeners_redirect_with_values() {
    let gateway = Gateway::with(
        Config::listening(&["redirect: { status: 308, url: \"https://www.{host}{path}?{query}\" }"])
            .route("name: own, respond: { status: 200 }"),
    );
    for response in ask(&gateway, "http://a.example/x?y", &[]) {
        assert_eq!(response.header("location"), Some("https://www.a.example/x?y"));
    }
}

#[test]
fn values_behind_a_rewritten_prefix_and_host_are_mapped_back() {
    let service = Service::responding(
        "HTTP/1.1 302 Found\r\nLocation: http://acme.internal/t/acme/login\r\nContent-Length: 0\r\n\r\n",
    );
    let gateway = Gateway::with(Config::new().service(&service, "").route(
        "name: app, match: { path: /app/* }, to: service, rewrite: { \
        prefix: \"/t/{header.x-tenant}\", host: \"{header.x-tenant}.internal\" }",
    ));
    for response in ask(&gateway, "http://a.example/app/x", &[("x-tenant", "acme")]) {
        assert_eq!(response.header("location"), Some("http://a.example/app/login"));
    }
    service.wait_for("GET /t/acme/x HTTP/1.1");
}

#[test]
fn json_bodies_need_no_escapes() {
    let gateway = Gateway::with(Config::new().route(
        r#"name: own, respond: { status: 503, content_type: application/json, body: '{"error":{"id":"{header.x-id}","of":{}}}' }"#,
    ));
    for response in ask(&gateway, "http://a/", &[("x-id", "7")]) {
        assert_eq!(response.json(), json!({ "error": { "id": "7", "of": {} } }));
    }
    let mut client = gateway.connect();
    client.send(request("HEAD", "http://a/", "x-id: 77\r\n"));
    let head = client.response_to_head();
    assert_eq!(head.header("content-length"), Some("29"));
}

#[test]
fn subject_of_the_client_certificate() {
    let (service, authority, clients) = (Service::echo("a"), Authority::new(), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let files = [("clients.crt", clients.pem())];
    let config = Config::listening(&[
        "tls: { certificates: [{ cert: 1.crt, key: 1.key }], client_auth: { ca: clients.crt, mode: optional } }",
    ])
    .service(&service, "")
    .route("name: all, to: a, request_headers: { set: { x-subject: \"{client_cert.subject}\", x-scheme: \"{scheme}\" } }");
    let gateway = Gateway::under_tls(&[&pair], &files, config);
    let trusting = Trusting::new(&authority);
    let web = trusting.clone().showing(&clients.client("web", "spiffe://x/web"));
    let get = |trusting: &Trusting| {
        let mut client = trusting.connect(gateway.address(), "a.test");
        client
            .ask("GET / HTTP/1.1\r\nHost: a.test\r\nx-subject: forged\r\n\r\n")
            .json()
    };
    let echoed = get(&web);
    assert!(got(&echoed, "x-subject")[0].contains("CN=web"), "{echoed}");
    assert_eq!(got(&echoed, "x-scheme"), ["https"]);
    assert_eq!(got(&get(&trusting), "x-subject"), [] as [&str; 0]);
}

#[test]
fn values_of_a_trusted_proxys_client() {
    let service = Service::echo("a");
    let gateway = Gateway::with(
        Config::listening(&["trusted_proxies: [127.0.0.1]"])
            .service(&service, "")
            .route("name: all, to: a, request_headers: { set: { x-v: \"{scheme} {host} {client_ip}\" } }"),
    );
    let lines = &[
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "Public.example:8443"),
    ];
    for response in ask(&gateway, "http://a.example/", lines) {
        assert_eq!(got(&response.json(), "x-v"), ["https public.example 192.0.2.7"]);
    }
}

#[test]
fn filled_texts_of_one_request_do_not_reach_the_next() {
    let service = Service::echo("a");
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "")
            .route("name: filled, match: { path: /filled }, to: a, response_headers: { set: { x-a: \"{header.x-a}\" } }")
            .route("name: plain, match: { path: /plain }, to: a, response_headers: { set: { x-b: fixed } }")
            .route("name: own, match: { path: /own }, respond: { status: 200, body: \"{header.x-a}\" }"),
    );
    let mut client = gateway.connect();
    let filled = client.ask(request("GET", "http://a/filled", "x-a: 1\r\n"));
    assert_eq!(filled.values("x-a"), ["1"]);
    let plain = client.ask(request("GET", "http://a/plain", ""));
    assert_eq!(
        (plain.values("x-a"), plain.values("x-b")),
        (vec![], vec!["fixed"])
    );
    assert_eq!(
        client.ask(request("GET", "http://a/filled", "")).values("x-a"),
        [] as [&str; 0]
    );
    assert_eq!(
        client.ask(request("GET", "http://a/own", "x-a: 12\r\n")).text(),
        "12"
    );
    assert_eq!(client.ask(request("GET", "http://a/own", "")).text(), "");
}
