//! Error pages: what takes the place of an error, where it comes from, and what stays of the error.

use std::time::Instant;

use http::Request;

use crate::support::PATIENCE;
use crate::support::client::request;
use crate::support::command::waypost_in;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::message::Message;
use crate::support::service::Service;

/// The responses to a GET over HTTP/1 and HTTP/2.
fn ask(gateway: &Gateway, url: &str) -> [Message; 2] {
    let client = Http2Client::connect(gateway.address());
    [
        gateway.get(url),
        client.ask(Request::get(url).body(()).unwrap(), ""),
    ]
}

/// Status, content type and body.
fn page(message: &Message) -> (u16, String, String) {
    let content_type = message.header("content-type").unwrap_or_default().to_owned();
    (message.status(), content_type, message.text())
}

fn check(gateway: &Gateway, url: &str, expected: (u16, &str, &str)) -> [Message; 2] {
    let responses = ask(gateway, url);
    for response in &responses {
        let (status, content_type, text) = page(response);
        assert_eq!((status, &*content_type, &*text), expected, "{url}");
    }
    responses
}

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// A service that responds with this head and body to every request.
fn failing(head: &str, body: &str) -> Service {
    Service::responding(format!(
        "HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

#[test]
fn pages_take_the_place_of_the_gateways_errors() {
    let down = Service::refusing();
    let gateway = Gateway::beside(
        &[("sorry.html", "<h1>sorry</h1>"), ("none.json", "{\"error\": {}}")],
        Config::new()
            .service_at("down", &[&down.url()], "")
            .service_at("empty", &[], "")
            .key(
                "errors: [{ status: 404, file: none.json }, { status: 5xx, file: sorry.html, headers: { cache-control: no-store } }]",
            )
            .route("name: down, match: { path: /down }, to: down")
            .route("name: empty, match: { path: /empty }, to: empty"),
    );
    for response in check(&gateway, "http://a.test/down", (502, HTML, "<h1>sorry</h1>")) {
        let reason = response.header("proxy-status");
        assert_eq!(reason, Some("waypost; error=connection_refused"));
        assert_eq!(response.header("cache-control"), Some("no-store"));
    }
    check(&gateway, "http://a.test/empty", (503, HTML, "<h1>sorry</h1>"));
    check(
        &gateway,
        "http://a.test/other",
        (404, "application/json", "{\"error\": {}}"),
    );
    // The connection stays, and HEAD gets the head alone.
    let mut client = gateway.connect();
    assert_eq!(client.get("http://a.test/empty").status(), 503);
    client.send(request("HEAD", "http://a.test/empty", ""));
    let response = client.response_to_head();
    assert_eq!(response.header("content-length"), Some("14"));
    assert_eq!(response.header("content-type"), Some(HTML));
    assert_eq!(client.get("http://a.test/other").status(), 404);
    // An error that no page is for is as it was.
    let response = gateway.ask(request("TRACE", "http://a.test/", ""));
    assert_eq!(
        page(&response),
        (501, HTML.to_owned(), "<h1>sorry</h1>".to_owned())
    );
    let response = gateway.ask("GET /%zz HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(
        (response.status(), response.header("content-type")),
        (400, Some(TEXT))
    );
}

#[test]
fn nearest_page_counts() {
    let gateway = Gateway::with(
        Config::listening(&[
            "name: inner, errors: [{ status: 404, body: of the listener }, { status: 503, body: inner }]",
            "",
        ])
        .service_at("empty", &[], "")
        .key("errors: [{ status: 4xx, body: of all }, { status: 5xx, body: top }]")
        .route("name: own, match: { path: /own }, to: empty, errors: [{ status: [502, 503], body: own }]")
        .route("name: other, match: { path: /other }, to: empty, errors: [{ status: 502, body: other }]")
        .route("name: bare, match: { path: /bare }, to: empty, errors: off"),
    );
    let get = |listener: usize, path: &str| {
        let address = gateway.addresses()[listener];
        let client = Http2Client::connect(address);
        let url = format!("http://a.test{path}");
        let http2 = client.ask(Request::get(&*url).body(()).unwrap(), "");
        let http1 = crate::support::client::Client::connect(address).get(&url);
        assert_eq!(page(&http1), page(&http2), "{path}");
        http1.text()
    };
    for (listener, path, expected) in [
        (0, "/own", "own"),
        (1, "/own", "own"),
        (0, "/other", "inner"),
        (1, "/other", "top"),
        (0, "/nowhere", "of the listener"),
        (1, "/nowhere", "of all"),
    ] {
        assert_eq!(get(listener, path), expected, "{listener} {path}");
    }
    assert!(get(0, "/bare").starts_with("503 "), "{}", get(0, "/bare"));
    // Before the request is understood, the listener is known all the same.
    let response = gateway.ask("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert_eq!((response.status(), &*response.text()), (400, "of all"));
    let response = gateway.ask("nonsense\r\n\r\n");
    assert_eq!((response.status(), &*response.text()), (400, "of all"));
    assert_eq!(response.header("connection"), Some("close"));
}

#[test]
fn pages_of_policies_are_joined() {
    let down = Service::refusing();
    let route = |name: &str, keys: &str| format!("name: {name}, match: {{ path: /{name} }}, to: down{keys}");
    let gateway = Gateway::beside(
        &[("web.html", "<p>web</p>")],
        Config::listening(&[
            "name: edge, use: edge, errors: [{ status: 404, body: listener }]",
            "",
        ])
        .service_at("down", &[&down.url()], "")
        .item(
            "policies",
            "  edge: { errors: [{ status: [404, 5xx], body: edge }] }",
        )
        .item(
            "policies",
            "  web: { errors: [{ status: [403, 502], file: web.html }, { status: 403, body: never }] }",
        )
        .item(
            "policies",
            "  api: { errors: [{ status: 502, body: api, as: 503 }] }",
        )
        .item("policies", "  none: { errors: off }")
        .key("errors: [{ status: 403, body: top }, { status: 502, body: top }]")
        .route(&route("bare", ""))
        .route(&route("web", ", use: web"))
        .route(&route("both", ", use: [web, api]"))
        .route(&route("own", ", use: api, errors: [{ status: 403, body: own }]"))
        .route(&route("cut", ", use: [web, none]"))
        .route(&route("anew", ", use: [web, none, api]"))
        .route(&route("off", ", use: [web, api], errors: off"))
        .route(&route(
            "closed",
            ", use: [api, web], access: { deny: [127.0.0.1] }",
        )),
    );
    let built_in = "502 Bad Gateway: the service refused the connection\n";
    for (path, status, of_edge, of_other) in [
        ("/bare", 502, "edge", "top"),
        ("/web", 502, "<p>web</p>", "<p>web</p>"),
        ("/both", 503, "api", "api"),
        ("/own", 503, "api", "api"),
        ("/cut", 502, built_in, built_in),
        ("/anew", 503, "api", "api"),
        ("/off", 502, built_in, built_in),
        ("/closed", 403, "<p>web</p>", "<p>web</p>"),
    ] {
        for (address, expected) in gateway.addresses().iter().zip([of_edge, of_other]) {
            let url = format!("http://a.test{path}");
            let http1 = crate::support::client::Client::connect(*address).get(&url);
            let http2 = Http2Client::connect(*address).ask(Request::get(&*url).body(()).unwrap(), "");
            for response in [http1, http2] {
                assert_eq!(
                    (response.status(), &*response.text()),
                    (status, expected),
                    "{path}"
                );
            }
        }
    }
    check(&gateway, "http://a.test/none", (404, TEXT, "listener"));
    let explained = gateway.explain("http://a.test/closed");
    assert_eq!(explained["page"]["from"], "policy web");
    assert_eq!(
        explained["policies"]["errors"],
        serde_json::json!({ "from": "the top level, policy edge, listener edge, policy api, policy web", "used_by": "listener edge" })
    );
}

#[test]
fn responses_of_services_are_replaced_only_if_the_page_says_so() {
    let body = "trace of the stack".repeat(3);
    let service = failing(
        "503 Busy\r\nContent-Type: text/x\r\nContent-Encoding: x\r\nRetry-After: 9\r\nX-Own: 1\r\nSet-Cookie: a=1; Path=/",
        &body,
    );
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "")
            .route("name: plain, match: { path: /plain }, to: service, errors: [{ status: 5xx, body: never }]")
            .route(
                "name: page, match: { path: /page }, to: service, set_cookie: { path: { /: /x } }, \
                 response_headers: { remove: [x-own] }, \
                 errors: [{ status: 503, from: service, body: sorry, headers: { x-page: \"1\" } }]",
            )
            .route(
                "name: as, match: { path: /as }, to: service, \
                 errors: [{ status: 503, from: service, body: fine, as: 200 }]",
            )
            .route("name: gone, match: { path: /gone }, to: service, errors: [{ status: 503, from: service, body: \"\", as: 204 }]"),
    );
    for response in ask(&gateway, "http://a.test/plain") {
        assert_eq!((response.status(), response.text()), (503, body.clone()));
    }
    for response in check(&gateway, "http://a.test/page", (503, TEXT, "sorry")) {
        assert_eq!(response.header("content-encoding"), None);
        assert_eq!(response.header("retry-after"), Some("9"));
        assert_eq!(response.header("x-own"), None);
        assert_eq!(response.header("x-page"), Some("1"));
        assert_eq!(response.header("set-cookie"), Some("a=1; Path=/x"));
        assert_eq!(response.values("content-length"), ["5"]);
        assert_eq!(response.header("proxy-status"), None);
    }
    check(&gateway, "http://a.test/as", (200, TEXT, "fine"));
    for response in ask(&gateway, "http://a.test/gone") {
        assert_eq!((response.status(), response.text()), (204, String::new()));
        assert_eq!(response.header("content-type"), None);
    }
    // On one connection of the client's and of the service's: nothing of the replaced body is left over.
    let before = service.connections();
    let mut client = gateway.connect();
    for _ in 0..3 {
        assert_eq!(client.get("http://a.test/page").text(), "sorry");
        assert_eq!(client.get("http://a.test/as").status(), 200);
    }
    client.send(request("HEAD", "http://a.test/page", ""));
    let response = client.response_to_head();
    assert_eq!(
        (response.status(), response.header("content-length")),
        (503, Some("5"))
    );
    assert_eq!(client.get("http://a.test/as").status(), 200);
    assert!(
        service.connections() <= before + 2,
        "{before} {}",
        service.connections()
    );
    // What fails at the service stays a failure, whatever the client gets.
    let metrics = gateway.metrics();
    assert!(
        metrics
            .lines()
            .any(|line| line.starts_with("waypost_failed_requests_total{") && line.contains("route=\"as\"")),
        "{metrics}"
    );
}

#[test]
fn a_page_takes_the_place_of_a_body_of_any_form() {
    let service = Service::scripted(|talk| {
        while let Some(asked) = talk.request() {
            let is_head = asked.method() == "HEAD";
            let form = asked.target().trim_start_matches('/');
            let (head, body) = match form {
                "length" => ("404 No\r\nContent-Length: 5\r\nContent-Encoding: gzip", "hello"),
                "chunks" => (
                    "404 No\r\nTransfer-Encoding: chunked\r\nTrailer: x-t",
                    "5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n",
                ),
                "close" => ("404 No", "hello"),
                "early" => (
                    "103 Early\r\nLink: </a>\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 5",
                    "hello",
                ),
                "304" => ("304 Not Modified", ""),
                "204" => ("204 No Content", ""),
                _ => ("404 No\r\nContent-Length: 0", ""),
            };
            let body = if is_head { "" } else { body };
            talk.send(format!(
                "HTTP/1.1 {head}\r\nETag: \"e\"\r\nX-Own: 1\r\n\r\n{body}"
            ));
            if form == "close" {
                return;
            }
        }
    });
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "")
            .route("name: all, to: service, errors: [{ status: 4xx, from: service, body: page }]"),
    );
    for (form, status, text) in [
        ("length", 404, "page"),
        ("chunks", 404, "page"),
        ("close", 404, "page"),
        ("early", 404, "page"),
        ("empty", 404, "page"),
        ("304", 304, ""),
        ("204", 204, ""),
    ] {
        let url = format!("http://a.test/{form}");
        let mut client = gateway.connect();
        let http2 = Http2Client::connect(gateway.address());
        for _ in 0..2 {
            client.send(request("GET", &url, ""));
            let mut http1 = client.response();
            while http1.status() == 103 {
                http1 = client.response();
            }
            for response in [http1, http2.ask(Request::get(&*url).body(()).unwrap(), "")] {
                assert_eq!((response.status(), &*response.text()), (status, text), "{form}");
                assert_eq!(response.values("etag"), ["\"e\""], "{form}");
                assert_eq!(response.values("x-own"), ["1"], "{form}");
                for name in ["content-encoding", "transfer-encoding", "trailer"] {
                    assert_eq!(response.header(name), None, "{form}");
                }
            }
        }
        if form != "early" {
            client.send(request("HEAD", &url, ""));
            let response = client.response_to_head();
            let length = (status == 404).then_some("4");
            assert_eq!(
                (response.status(), response.header("content-length")),
                (status, length),
                "{form}"
            );
            let fields = "Connection: upgrade\r\nUpgrade: websocket\r\n";
            let response = client.ask(request("GET", &url, fields));
            assert_eq!((response.status(), &*response.text()), (status, text), "{form}");
        }
    }
}

#[test]
fn bodies_that_do_not_end_are_cut() {
    // In chunks, without an end; the client does not wait for it.
    let service = Service::scripted(|talk| {
        while talk.request().is_some() {
            talk.send(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        }
    });
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "")
            .route("name: r, to: service, errors: [{ status: 5xx, from: service, body: sorry }]"),
    );
    let mut client = gateway.connect();
    for _ in 0..2 {
        let response = client.get("http://a.test/");
        assert_eq!((response.status(), &*response.text()), (500, "sorry"));
    }
    check(&gateway, "http://a.test/", (500, TEXT, "sorry"));
}

#[test]
fn retries_see_the_status_of_the_service() {
    let service = failing("503 Busy", "x");
    let other = Service::echo("other");
    let gateway = Gateway::with(
        Config::new()
            .service_at("both", &[&service.url(), &other.url()], "")
            .route(
                "name: r, to: both, retry: { on: [503] }, errors: [{ status: 503, from: service, as: 200, body: page }]",
            ),
    );
    for _ in 0..4 {
        assert_eq!(gateway.get("http://a.test/").json()["target"], "/");
    }
}

#[test]
fn calls_keep_their_status() {
    let service = failing("404 No\r\nContent-Type: application/grpc\r\nGrpc-Status: 5", "");
    let gateway = Gateway::with(
        Config::new()
            .service_at("empty", &[], "")
            .service(&service, "")
            .key("errors: [{ status: [4xx, 5xx], body: never }, { status: 4xx, from: service, body: page }]")
            .route("name: r, match: { path: /x/* }, to: empty")
            .route("name: s, match: { path: /s/* }, to: service"),
    );
    let client = Http2Client::connect(gateway.address());
    for path in ["/x/Get", "/other"] {
        let call = Request::post(format!("http://a.test{path}")).header("content-type", "application/grpc");
        let response = client.ask(call.body(()).unwrap(), "");
        assert_eq!((response.status(), &*response.text()), (200, ""));
        assert!(response.header("grpc-status").is_some());
    }
    let call = Request::post("http://a.test/s/Get").header("content-type", "application/grpc");
    let response = client.ask(call.body(()).unwrap(), "");
    assert_eq!(
        (response.status(), response.header("grpc-status")),
        (404, Some("5"))
    );
    assert_eq!(response.header("content-type"), Some("application/grpc"));
    check(&gateway, "http://a.test/s/x", (404, TEXT, "page"));
}

#[test]
fn a_response_of_a_route_without_body_gets_the_page() {
    let gateway = Gateway::beside(
        &[("closed.html", "<p>closed</p>")],
        Config::new()
            .key("errors: [{ status: 503, file: closed.html, headers: { retry-after: \"600\" } }]")
            .route("name: own, match: { path: /own }, respond: { status: 503, body: own }")
            .route("name: closed, respond: { status: 503 }"),
    );
    check(&gateway, "http://a.test/own", (503, TEXT, "own"));
    for response in check(&gateway, "http://a.test/", (503, HTML, "<p>closed</p>")) {
        assert_eq!(response.header("retry-after"), Some("600"));
    }
}

#[test]
fn files_are_read_again_and_their_last_text_stays() {
    let gateway = Gateway::beside(
        &[("page.txt", "one")],
        Config::new()
            .key("errors: [{ status: 404, file: page.txt }]")
            .route("name: r, match: { path: /r }, respond: { status: 200 }"),
    );
    let url = "http://a.test/";
    check(&gateway, url, (404, TEXT, "one"));
    gateway.place("page.txt", "two");
    gateway.wait_for("the error pages were read again");
    check(&gateway, url, (404, TEXT, "two"));
    let file = gateway.directory().join("page.txt");
    std::fs::remove_file(&file).unwrap();
    gateway.wait_for_part("cannot read `page.txt`");
    check(&gateway, url, (404, TEXT, "two"));
    // Also in a config that is loaded meanwhile.
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    std::fs::write(gateway.config(), config.replace("name: r,", "name: changed,")).unwrap();
    gateway.wait_for_revision(2);
    check(&gateway, url, (404, TEXT, "two"));
    gateway.place("page.txt", &"x".repeat((1 << 20) + 1));
    gateway.wait_for_part("larger than 1 MiB");
    check(&gateway, url, (404, TEXT, "two"));
    gateway.place("page.txt", "three");
    let until = Instant::now() + PATIENCE;
    while gateway.get(url).text() != "three" {
        assert!(Instant::now() < until, "the file is not read again");
    }
}

#[test]
fn files_that_cannot_be_pages_are_errors_at_their_place() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let config = Config::new()
        .key("errors: [{ status: 404, file: page.html }]")
        .route("name: r, match: { path: /r }, respond: { status: 200 }");
    place("waypost.yaml", config.as_ref());
    let check = |arguments: &[&str]| {
        let arguments = [&["check", "--format", "json"], arguments].concat();
        let checked = waypost_in(directory.path(), &arguments);
        let found = checked.json()["diagnostics"][0]["code"].clone();
        (checked.code, found.as_str().map(str::to_owned))
    };
    let unreadable = (1, Some("unreadable-file".to_owned()));
    assert_eq!(check(&[]), unreadable);
    assert_eq!(check(&["--without-files"]), (0, None));
    place("page.html", &"x".repeat(1 << 20));
    assert_eq!(check(&[]), (0, None));
    place("page.html", &"x".repeat((1 << 20) + 1));
    assert_eq!(check(&[]), (1, Some("bad-error-page".to_owned())));
    assert_eq!(check(&["--without-files"]), (0, None));
}

#[test]
fn explain_and_tests_know_the_page() {
    let gateway = Gateway::beside(
        &[("sorry.html", "<h1>sorry</h1>")],
        Config::listening(&["name: public, errors: [{ status: 503, file: sorry.html, as: 200 }]"])
            .service_at("empty", &[], "")
            .route("name: empty, match: { path: /empty }, to: empty")
            .test("request: GET /empty, expect: { outcome: unavailable, status: 200 }"),
    );
    let live = gateway.explain("http://a.test/empty");
    assert_eq!(live["outcome"], "unavailable");
    assert_eq!(live["status"], 200);
    assert_eq!(live["page"]["from"], "listener public");
    assert_eq!(live["page"]["file"], "sorry.html");
    assert_eq!(live["page"]["replaces"], 503);
    let headers = live["headers"].as_array().unwrap();
    assert!(
        headers.contains(&serde_json::json!(["content-type", HTML])),
        "{live}"
    );
    let offline = gateway.explain_offline("http://a.test/empty");
    assert_eq!(offline["page"], live["page"]);
    assert_eq!(offline["status"], 200);
}

#[test]
fn values_of_the_request_are_filled_into_bodies_and_headers() {
    let (down, failing) = (
        Service::refusing(),
        failing("503 Service Unavailable\r\nX-Of: theirs", "theirs"),
    );
    let gateway = Gateway::with(
        Config::listening(&["name: public, request_id: true"])
            .service_at("down", &[&down.url()], "")
            .service(&failing, "")
            .item("policies", "  web: { errors: [{ status: 502, body: \"{id} of {route}\", headers: { x-of: \"{host}\" } }] }")
            .key(
                r#"errors: [{ status: [4xx, 5xx], content_type: application/json, headers: { x-of: "{method} {path}", x-a: "{header.x-a}", x-none: "{header.x-none}" }, body: '{"id":"{request_id}","is":"{method} {host} {path} {query} {header.x-a} {route} {service} {listener} {client_ip}","more":{"a":{}}}' }]"#,
            )
            .route("name: down, match: { path: /down/* }, to: down")
            .route("name: closed, match: { path: /closed, client_ip: 127.0.0.1 }, to: down, access: { deny: [127.0.0.1] }")
            .route("name: own, match: { path: /own }, respond: { status: 503 }, response_headers: { set: { x-a: edited } }")
            .route("name: shared, match: { path: \"/shared/{id}\" }, to: down, use: web")
            .route("name: named, match: { path: \"/named/{host}/{id}\" }, to: down, use: web")
            .route(
                "name: theirs, match: [{ path: \"/theirs/{id}\" }, { path: \"/{id}/theirs\" }], to: service, \
                errors: [{ status: 503, from: service, body: \"{id} of {service}, {header.x-a}\", \
                headers: { x-of: \"{query.q}\", x-id: \"{request_id}\" } }]",
            ),
    );
    let ask = |method: &str, target: &str, body: &str| {
        let url = format!("http://a.example{target}");
        let fields = format!("x-a: 7\r\nContent-Length: {}\r\n", body.len());
        let http1 = gateway.ask(request(method, &url, &fields) + body);
        let client = Http2Client::connect(gateway.address());
        let builder = Request::builder().method(method).uri(&url).header("x-a", "7");
        [http1, client.ask(builder.body(()).unwrap(), body)]
    };
    for (method, target, is, of, a) in [
        (
            "GET",
            "/none?q=1",
            "GET a.example /none q=1 7   public 127.0.0.1",
            "GET /none",
            "7",
        ),
        (
            "GET",
            "/down/x",
            "GET a.example /down/x  7 down down public 127.0.0.1",
            "GET /down/x",
            "7",
        ),
        (
            "POST",
            "/down//x?y",
            "POST a.example /down/x y 7 down down public 127.0.0.1",
            "POST /down/x",
            "7",
        ),
        (
            "GET",
            "/closed",
            "GET a.example /closed  7 closed  public 127.0.0.1",
            "GET /closed",
            "7",
        ),
        (
            "GET",
            "/own",
            "GET a.example /own  7 own  public 127.0.0.1",
            "GET /own",
            "edited",
        ),
        (
            "GET",
            "/%zz",
            "GET a.example /%zz  7   public 127.0.0.1",
            "GET /%zz",
            "7",
        ),
    ] {
        let body = if method == "POST" { "abc" } else { "" };
        for response in ask(method, target, body) {
            let text = response.json();
            assert_eq!(text["is"], is, "{text}");
            assert_eq!(text["id"], response.header("x-request-id").unwrap());
            assert_eq!(text["more"]["a"], serde_json::json!({}));
            assert_eq!(response.values("x-of"), [of]);
            assert_eq!(response.values("x-a"), [a]);
            assert_eq!(response.header("x-none"), None);
        }
        // An explanation does not know that the service is down.
        if !target.starts_with("/down") {
            let url = format!("http://a.example{target}");
            let asked = serde_json::json!({ "request": format!("GET {url}"), "headers": [["x-a", "7"]] });
            let explained = gateway.explain_question(&asked);
            let headers = explained["headers"].as_array().unwrap();
            assert!(headers.contains(&serde_json::json!(["x-of", of])), "{explained}");
        }
    }
    for response in ask("GET", "/shared/4", "") {
        assert_eq!(response.text(), "4 of shared");
        assert_eq!(response.values("x-of"), ["a.example"]);
    }
    // The path's own parameter wins over the value of that name.
    for response in ask("GET", "/named/b/4", "") {
        assert_eq!(response.text(), "4 of named");
        assert_eq!(response.values("x-of"), ["b"]);
    }
    for target in ["/theirs/9?q=%20", "/9/theirs?q=%20"] {
        for response in ask("GET", target, "") {
            assert_eq!((response.status(), &*response.text()), (503, "9 of service, 7"));
            assert_eq!(response.values("x-of"), ["%20"]);
            assert_eq!(response.header("x-id"), response.header("x-request-id"));
        }
    }
    // What cannot be read has the values of its connection, and none of an earlier request.
    let mut client = gateway.connect();
    client.ask(request("GET", "http://a.example/none", "x-a: 7\r\n"));
    let refused = client.ask("GET /bad\x01 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(refused.json()["is"], "       public 127.0.0.1");
    assert_eq!(refused.header("x-a"), None);
    // A body that takes longer than its head.
    let mut client = gateway.connect();
    client.send("POST /down/late HTTP/1.1\r\nHost: a.example\r\nx-a: 7\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    let text = client.response().json();
    assert_eq!(
        text["is"],
        "POST a.example /down/late  7 down down public 127.0.0.1"
    );
}
