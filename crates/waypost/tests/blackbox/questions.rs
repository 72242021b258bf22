//! Questions to a service that is asked who may pass: `auth: { ask: … }`.

use http::Request;
use serde_json::json;

use crate::support::client::request;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::message::Message;
use crate::support::service::{Service, gate};
use crate::support::wait_for;

/// A service of the name `sso` that answers every question with this.
fn answering(answer: &str) -> Service {
    let answer = answer.to_owned();
    Service::named("sso", move |talk| {
        while talk.request().is_some() {
            talk.send(&answer);
        }
    })
}

/// An answer with this status, these lines and this body.
fn answer(status: &str, lines: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{lines}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn asking(sso: &Service, shop: &Service, keys: &str) -> Gateway {
    // A service that stands still is asked for longer than by default.
    let patient = match keys.contains("timeout") {
        true => "",
        false => ", timeout: 30s",
    };
    Gateway::with(
        Config::new()
            .key("access_log: stdout")
            .service(sso, "")
            .service(shop, "")
            .route(&format!(
                "name: all, to: {}, auth: {{ ask: {{ to: sso, path: /verify{keys}{patient} }} }}",
                shop.name()
            )),
    )
}

/// The responses over HTTP/1 and HTTP/2.
fn both(gateway: &Gateway, method: &str, url: &str, fields: &[(&str, &str)]) -> [Message; 2] {
    let lines: String = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let mut over_http2 = Request::builder().method(method).uri(url);
    for (name, value) in fields {
        over_http2 = over_http2.header(*name, *value);
    }
    let client = Http2Client::connect(gateway.address());
    [
        gateway.ask(request(method, url, &lines)),
        client.ask(over_http2.body(()).unwrap(), ""),
    ]
}

#[test]
fn a_permission_passes_with_what_is_taken_of_it() {
    let sso = answering(&answer(
        "200 OK",
        "Remote-User: ann\r\nRemote-Groups: staff,eu\r\nX-Other: no\r\nContent-Type: text/plain\r\n",
        "welcome",
    ));
    let shop = Service::echo("shop");
    let gateway = asking(&sso, &shop, ", take: [remote-user, remote-groups, remote-name]");
    let smuggled = [
        ("remote-user", "admin"),
        ("Remote-User", "admin"),
        ("remote_user", "admin"),
        ("remote-name", "Administrator"),
        ("cookie", "session=1"),
    ];
    for response in both(&gateway, "GET", "http://a.test/x", &smuggled) {
        let text = response.text();
        let headers = response.json()["headers"].clone();
        for expected in [
            json!(["remote-user", "ann"]),
            json!(["remote-groups", "staff,eu"]),
            json!(["cookie", "session=1"]),
        ] {
            assert!(headers.as_array().unwrap().contains(&expected), "{text}");
        }
        assert!(!text.contains("dmin") && !text.contains("x-other"), "{text}");
    }
    gateway.wait_for_stdout("\"identity\":\"ann\"");
}

#[test]
fn the_question_tells_of_the_request() {
    let sso = answering(&answer("204 No Content", "", ""));
    let shop = Service::echo("shop");
    let gateway = asking(&sso, &shop, ", send: [cookie, authorization, accept]");
    let fields = [
        ("Cookie", "a=1"),
        ("Authorization", "Bearer x"),
        ("Accept", "text/html"),
        ("X-Forwarded-Uri", "/public"),
        ("X-Forwarded-For", "9.9.9.9"),
        ("X-Original-URL", "http://b.test/public"),
        ("X-Secret", "no"),
    ];
    for response in both(&gateway, "DELETE", "http://a.test/x/./y?z=%20", &fields) {
        assert_eq!(response.status(), 200);
    }
    sso.wait_until(|connections| {
        let all: Vec<u8> = connections.concat();
        String::from_utf8_lossy(&all).matches("GET /verify").count() == 2
    });
    let questions = sso.received().concat();
    let questions: Vec<&str> = questions.split("GET /verify HTTP/1.1\r\n").skip(1).collect();
    for question in questions {
        for expected in [
            "Host: a.test\r\n",
            "x-forwarded-method: DELETE\r\n",
            "x-forwarded-uri: /x/y?z=%20\r\n",
            "x-forwarded-host: a.test\r\n",
            "x-forwarded-proto: http\r\n",
            "x-forwarded-for: 127.0.0.1\r\n",
            "x-original-method: DELETE\r\n",
            "x-original-url: http://a.test/x/y?z=%20\r\n",
        ] {
            assert!(question.contains(expected), "{expected}: {question}");
        }
        let lower = question.to_ascii_lowercase();
        for expected in [
            "cookie: a=1\r\n",
            "authorization: bearer x\r\n",
            "accept: text/html\r\n",
        ] {
            assert_eq!(lower.matches(expected).count(), 1, "{expected}: {question}");
        }
        for absent in ["public", "9.9.9.9", "x-secret"] {
            assert!(!lower.contains(absent), "{absent}: {question}");
        }
    }
    // The request itself keeps its credentials.
    let request = shop.received().concat().to_ascii_lowercase();
    assert!(
        request.contains("cookie: a=1") && request.contains("authorization: bearer x"),
        "{request}"
    );
}

#[test]
fn a_refusal_reaches_the_client_whole() {
    for (status, lines) in [
        (
            302,
            "Location: https://login.test/?rd=x\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\n",
        ),
        (303, "Location: /login\r\n"),
        (
            401,
            "WWW-Authenticate: Basic realm=\"sso\"\r\nContent-Type: text/html\r\n",
        ),
        (403, "X-Reason: groups\r\n"),
    ] {
        let body = "<h1>log in</h1>";
        let hop = "Connection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n";
        let sso = answering(&answer(&format!("{status} X"), &format!("{lines}{hop}"), body));
        let shop = Service::echo("shop");
        let gateway = asking(&sso, &shop, "");
        for response in both(&gateway, "GET", "http://a.test/x", &[]) {
            assert_eq!((response.status(), &*response.text()), (status, body));
            for line in lines.lines() {
                let (name, value) = line.split_once(": ").unwrap();
                assert!(
                    response.values(name).contains(&value),
                    "{line}: {:?}",
                    response.fields
                );
            }
            for name in ["x-hop", "keep-alive"] {
                assert!(response.values(name).is_empty(), "{name}");
            }
            assert_eq!(response.header("content-length"), Some("15"));
        }
        // HEAD has the head alone, and the connection stays.
        let mut client = gateway.connect();
        client.send(request("HEAD", "http://a.test/x", ""));
        assert_eq!(client.response_to_head().status(), status);
        assert_eq!(client.get("http://a.test/x").status(), status);
        assert_eq!(shop.connections(), 0);
        gateway.wait_for_stdout("\"refused_by\":\"auth\"");
    }
}

#[test]
fn an_answer_without_a_length_has_one_for_the_client() {
    let sso = answering("HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno!\r\n0\r\n\r\n");
    let shop = Service::echo("shop");
    let gateway = asking(&sso, &shop, "");
    for response in both(&gateway, "GET", "http://a.test/x", &[]) {
        assert_eq!((response.status(), &*response.text()), (403, "no!"));
        assert_eq!(response.header("content-length"), Some("3"));
        assert_eq!(response.header("transfer-encoding"), None);
    }
}

#[test]
fn anything_else_is_an_error_unless_it_is_open() {
    let long = "x".repeat((64 << 10) + 1);
    for (answer, passes) in [
        (answer("500 X", "", ""), false),
        (answer("404 X", "", ""), false),
        (answer("304 X", "", ""), false),
        (answer("403 X", "", &long), false),
        ("SSH-2.0\r\n".to_owned(), false),
        (answer("403 X", "", &long[1..]), true),
    ] {
        let sso = answering(&answer);
        let shop = Service::echo("shop");
        let gateway = asking(&sso, &shop, "");
        for response in both(&gateway, "GET", "http://a.test/x", &[]) {
            let expected = if passes { 403 } else { 502 };
            assert_eq!(response.status(), expected, "{}", &answer[..12]);
        }
        if !passes {
            let gateway = asking(&sso, &shop, ", open: true, take: [remote-user]");
            for response in both(&gateway, "GET", "http://a.test/x", &[("remote-user", "admin")]) {
                assert_eq!(response.status(), 200, "{}", &answer[..12]);
                assert!(!response.text().contains("admin"), "{}", response.text());
            }
        }
    }
}

#[test]
fn a_dead_service_is_502_and_a_slow_one_504() {
    let shop = Service::echo("shop");
    let dead = Service::refusing_as("sso");
    for response in both(&asking(&dead, &shop, ""), "GET", "http://a.test/", &[]) {
        assert_eq!(response.status(), 502);
    }
    for response in both(
        &asking(&dead, &shop, ", open: true"),
        "GET",
        "http://a.test/",
        &[],
    ) {
        assert_eq!(response.status(), 200);
    }
    let slow = Service::named("sso", |talk| talk.read_to_end());
    for response in both(
        &asking(&slow, &shop, ", timeout: 50ms"),
        "GET",
        "http://a.test/",
        &[],
    ) {
        assert_eq!(response.status(), 504);
    }
    let open = asking(&slow, &shop, ", timeout: 50ms, open: true");
    for response in both(&open, "GET", "http://a.test/", &[]) {
        assert_eq!(response.status(), 200);
    }
}

#[test]
fn a_body_is_untouched_while_it_is_asked() {
    let (opener, gate) = gate();
    let sso = Service::named("sso", move |talk| {
        while talk.request().is_some() {
            gate.wait();
            talk.send(answer("200 OK", "Remote-User: ann\r\n", ""));
        }
    });
    let shop = Service::echo("shop");
    let gateway = asking(&sso, &shop, ", take: [remote-user], timeout: 20s");
    let body = "0123456789".repeat(20_000);
    let mut client = gateway.connect();
    client.send(format!(
        "POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    sso.wait_for("x-forwarded-method: POST");
    client.send(&body[..100_000]);
    opener.open();
    client.send(&body[100_000..]);
    let response = client.response();
    assert_eq!(response.json()["body"].as_str(), Some(&*body));
    let client = Http2Client::connect(gateway.address());
    let mut stream = client.open(Request::post("http://a.test/").body(()).unwrap(), false);
    stream.send(b"first ", false);
    opener.open();
    stream.send(b"second", true);
    assert_eq!(stream.response().unwrap().json()["body"], "first second");
}

#[test]
fn a_client_that_leaves_ends_the_question() {
    let sso = Service::named("sso", |talk| talk.read_to_end());
    let shop = Service::echo("shop");
    let gateway = asking(&sso, &shop, ", timeout: 20s");
    let mut client = gateway.connect();
    client.send(request("GET", "http://a.test/", ""));
    sso.wait_for("x-forwarded-method: GET");
    client.reset();
    gateway.wait_for_stdout("\"ended_by\":\"client\"");
    assert_eq!(shop.connections(), 0);
}

#[test]
fn permissions_are_kept_for_the_same_question_alone() {
    let sso = Service::named("sso", |talk| {
        while let Some(question) = talk.request() {
            let answer = match question.values("cookie").concat().as_str() {
                "ann" => answer("200 OK", "Remote-User: ann\r\n", ""),
                "new" => answer("200 OK", "Remote-User: new\r\nSet-Cookie: a=1\r\n", ""),
                _ => answer("401 X", "", ""),
            };
            talk.send(answer);
        }
    });
    let shop = Service::echo("shop");
    let gateway = asking(&sso, &shop, ", take: [remote-user], cache: 60s");
    let asked = || sso.received().concat().matches("GET /verify").count();
    let check = |method: &str, url: &str, cookie: &str, status: u16, expected: usize| {
        let line = format!("cookie: {cookie}\r\n");
        let response = gateway.ask(request(method, url, &line));
        assert_eq!(response.status(), status, "{method} {url} {cookie}");
        if status == 200 {
            assert!(response.text().contains(cookie), "{}", response.text());
        }
        assert_eq!(asked(), expected, "{method} {url} {cookie}");
    };
    check("GET", "http://a.test/x", "ann", 200, 1);
    check("GET", "http://a.test/x", "ann", 200, 1);
    check("POST", "http://a.test/x", "ann", 200, 2);
    check("GET", "http://a.test/x?", "ann", 200, 3);
    check("GET", "http://b.test/x", "ann", 200, 4);
    // A refusal is not kept, so that a login counts at once; nor is what sets a cookie.
    check("GET", "http://a.test/x", "bob", 401, 5);
    check("GET", "http://a.test/x", "bob", 401, 6);
    check("GET", "http://a.test/x", "new", 200, 7);
    check("GET", "http://a.test/x", "new", 200, 8);
    check("GET", "http://a.test/x", "ann", 200, 8);
    let client = Http2Client::connect(gateway.address());
    let over_http2 = Request::get("http://a.test/x").header("cookie", "ann");
    assert_eq!(client.ask(over_http2.body(()).unwrap(), "").status(), 200);
    assert_eq!(asked(), 8);
}

#[test]
fn a_page_takes_the_place_of_an_error_and_leads_to_the_login() {
    let sso = Service::named("sso", |talk| {
        while let Some(question) = talk.request() {
            let more = "Set-Cookie: csrf=1\r\nContent-Type: text/html\r\nWWW-Authenticate: X\r\n";
            talk.send(match question.values("cookie").concat().as_str() {
                "forbidden" => answer("403 X", more, "theirs"),
                "moved" => answer("303 X", "Location: http://login.test/\r\n", "theirs"),
                _ => answer("401 X", more, "theirs"),
            });
        }
    });
    let shop = Service::echo("shop");
    let page = "errors: [{ status: 401, body: 'Log in at {path}.', as: 302, headers: { location: 'http://login.test/?rd={path}' } }]";
    let gateway = Gateway::with(Config::new().service(&sso, "").service(&shop, "").route(&format!(
        "name: all, to: shop, auth: {{ ask: {{ to: sso, timeout: 30s }} }}, response_headers: {{ set: {{ x-own: a }} }}, {page}"
    )));
    for response in both(&gateway, "GET", "http://a.test/cart", &[]) {
        assert_eq!(response.status(), 302);
        assert_eq!(response.text(), "Log in at /cart.");
        assert_eq!(response.header("location"), Some("http://login.test/?rd=/cart"));
        // What the service says beside its body stays.
        assert_eq!(response.header("set-cookie"), Some("csrf=1"));
        assert_eq!(response.values("content-type").len(), 1);
        assert_eq!(response.header("x-own"), Some("a"));
        assert_eq!(response.values("date").len(), 1);
    }
    for (cookie, status) in [("forbidden", 403), ("moved", 303)] {
        for response in both(&gateway, "GET", "http://a.test/cart", &[("cookie", cookie)]) {
            assert_eq!(
                (response.status(), response.text()),
                (status, "theirs".to_owned())
            );
        }
    }
    assert_eq!(shop.connections(), 0);
}

#[test]
fn a_permission_is_for_the_address_that_was_asked_about() {
    let sso = Service::named("sso", |talk| {
        while let Some(question) = talk.request() {
            let from = question.values("x-forwarded-for").concat();
            talk.send(match from.starts_with("10.") || from.starts_with("2001:db8:") {
                true => answer("200 OK", "Remote-User: office\r\n", ""),
                false => answer("401 X", "", ""),
            });
        }
    });
    let shop = Service::echo("shop");
    let gateway = Gateway::with(
        Config::listening(&["trusted_proxies: [127.0.0.1]"])
            .service(&sso, "")
            .service(&shop, "")
            .route("name: all, to: shop, auth: { ask: { to: sso, take: [remote-user], cache: 60s, timeout: 30s } }"),
    );
    for (from, status) in [
        ("10.0.0.7", 200),
        ("203.0.113.9", 401),
        ("10.0.0.7", 200),
        ("2001:db8::1", 200),
        ("2001:db9::1", 401),
    ] {
        for response in both(&gateway, "GET", "http://a.test/", &[("x-forwarded-for", from)]) {
            assert_eq!(response.status(), status, "{from}");
        }
    }
    // Twice for each refusal, once for each permission.
    assert_eq!(sso.received().concat().matches("GET / ").count(), 6);
}

#[test]
fn upgrades_are_asked_for_like_requests() {
    let sso = Service::named("sso", |talk| {
        while let Some(question) = talk.request() {
            assert!(question.values("upgrade").is_empty());
            let status = match question.values("cookie").is_empty() {
                true => "401 X",
                false => "204 X",
            };
            talk.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    let shop = Service::named("shop", |talk| {
        if talk.request_head().is_some() {
            talk.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello",
            );
            talk.read_to_end();
        }
    });
    let gateway = asking(&sso, &shop, "");
    let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n";
    let refused = gateway.ask(request("GET", "http://a.test/", upgrade));
    assert_eq!(refused.status(), 401);
    let mut client = gateway.connect();
    client.send(request(
        "GET",
        "http://a.test/",
        &format!("{upgrade}Cookie: a=1\r\n"),
    ));
    assert_eq!(client.response_head().status(), 101);
    client.expect("hello");
}

#[test]
fn an_extended_connect_is_asked_for_like_an_upgrade() {
    let sso = Service::named("sso", |talk| {
        while let Some(question) = talk.request() {
            assert_eq!(question.values("x-forwarded-method"), ["GET"]);
            let status = match question.values("cookie").concat().as_str() {
                "in" => "204 X",
                "out" => "302 X\r\nLocation: /login",
                "odd" => "500 X",
                _ => "401 X\r\nWWW-Authenticate: Basic realm=\"sso\"",
            };
            talk.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    let shop = Service::named("shop", |talk| {
        if talk.request_head().is_some() {
            talk.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello",
            );
            talk.read_to_end();
        }
    });
    let gateway = asking(&sso, &shop, "");
    let client = Http2Client::connect(gateway.address());
    client.wait_for_extended_connect();
    for (cookie, status) in [("", 401), ("out", 302), ("odd", 502), ("in", 200)] {
        let request = Request::builder()
            .method("CONNECT")
            .uri("http://a.test/ws")
            .extension(h2::ext::Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .header("cookie", cookie);
        let mut stream = client.open(request.body(()).unwrap(), false);
        let head = stream.head().unwrap();
        assert_eq!(head.status(), status, "{cookie}");
        match status {
            200 => assert_eq!(stream.piece().unwrap().unwrap(), b"hello"),
            302 => assert_eq!(head.header("location"), Some("/login")),
            401 => assert_eq!(head.header("www-authenticate"), Some("Basic realm=\"sso\"")),
            _ => {}
        }
    }
    assert_eq!(shop.connections(), 1);
}

#[test]
fn calls_of_grpc_are_asked_for_and_counted_as_calls() {
    let sso = Service::named("sso", |talk| {
        while let Some(question) = talk.request() {
            let status = match question.values("authorization").concat().as_str() {
                "odd" => "500 X",
                "who" => "401 X",
                _ => "403 X",
            };
            talk.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    let shop = Service::echo("shop");
    let gateway = asking(&sso, &shop, "");
    let client = Http2Client::connect(gateway.address());
    for (authorization, status, code) in [("who", 401, None), ("not", 403, None), ("odd", 200, Some("14"))] {
        let call = Request::post("http://a.test/pkg.S/M")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", authorization);
        let response = client.ask(call.body(()).unwrap(), "");
        assert_eq!(response.status(), status, "{authorization}");
        assert_eq!(response.header("grpc-status"), code, "{authorization}");
    }
    let metrics = gateway.metrics();
    for line in [
        "waypost_requests_total{route=\"all\",service=\"\",code=\"401\",grpc_code=\"16\"} 1\n",
        "waypost_requests_total{route=\"all\",service=\"\",code=\"403\",grpc_code=\"7\"} 1\n",
        // A refusal is no failure; a service that cannot be asked is one, of the route and of no arm.
        "waypost_failed_requests_total{route=\"all\",service=\"\"} 1\n",
        "waypost_refusals_total{reason=\"auth\"} 3\n",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    let stats = gateway.admin_json("/api/v1/stats?route=all");
    let arms = stats["routes"][0]["arms"].as_array().unwrap().iter();
    let arms: Vec<_> = arms
        .map(|arm| json!([arm["service"], arm["requests"], arm["refused"], arm["errors"]]))
        .collect();
    assert_eq!(arms, [json!(["shop", 0, 0, 0]), json!(["", 3, 2, 1])]);
}

#[test]
fn clients_that_leave_free_the_place_of_their_question() {
    let sso = Service::named("sso", |talk| {
        while let Some(question) = talk.request() {
            if question.values("x-forwarded-uri") == ["/gone"] {
                talk.read_to_end();
                return;
            }
            talk.send("HTTP/1.1 204 X\r\n\r\n");
        }
    });
    let shop = Service::echo("shop");
    let gateway = Gateway::with(
        Config::new()
            .key("access_log: stdout")
            .service(&sso, "limits: { requests: 1, waiting: 8, wait: 20s }")
            .service(&shop, "")
            .route("name: all, to: shop, auth: { ask: { to: sso, timeout: 20s } }"),
    );
    // Over both protocols, one that asks and one that waits for its turn.
    let client = Http2Client::connect(gateway.address());
    let stream = client.open(Request::get("http://a.test/gone").body(()).unwrap(), true);
    sso.wait_for("x-forwarded-uri: /gone");
    let mut waiting = gateway.connect();
    waiting.send(request("GET", "http://a.test/gone", ""));
    wait_for("a waiting question", || {
        let metrics = gateway.metrics();
        metrics
            .contains("waypost_limit_waiting_requests{service=\"sso\"} 1\n")
            .then_some(())
    });
    waiting.reset();
    drop(stream);
    drop(client);
    assert_eq!(gateway.get("http://a.test/").status(), 200);
    for line in [
        "waypost_limit_used{service=\"sso\",limit=\"requests\"} 0\n",
        "waypost_limit_waiting_requests{service=\"sso\"} 0\n",
        "waypost_requests_total{route=\"all\",service=\"\",code=\"0\"} 2\n",
        "waypost_failed_requests_total{route=\"all\",service=\"\"} 0\n",
        "waypost_auth_total{route=\"all\",way=\"ask\",result=\"passed\"} 1\n",
    ] {
        wait_for(line, || gateway.metrics().contains(line).then_some(()));
    }
}

#[test]
fn an_explanation_says_what_would_be_asked() {
    let sso = answering(&answer("204 X", "", ""));
    let shop = Service::echo("shop");
    let gateway = asking(&sso, &shop, "");
    let headers = json!({ "cookie": "session=secret", "accept": "text/html" });
    let explained = gateway.explain_question(&json!({ "url": "http://a.test/x?y", "headers": headers }));
    let because = explained["stopped"]["because"].as_str().unwrap();
    for expected in [
        "`sso`",
        "GET /verify",
        "x-forwarded-uri: /x?y",
        "x-original-url: http://a.test/x?y",
        "cookie: (hidden)",
    ] {
        assert!(because.contains(expected), "{expected}: {because}");
    }
    assert!(!explained.to_string().contains("secret"), "{explained}");
    assert_eq!(sso.connections(), 0);
}
