//! One host, however clients write it: empty ports, IPv6 addresses, and requests for the server itself.

use bytes::Bytes;
use http::{Request, Response};
use serde_json::json;

use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::{END_STREAM, Frames, HEADERS, Http2Client, Http2Service, get};
use crate::support::service::Service;

/// Routes by host to a service that speaks HTTP/1.1, one that speaks HTTP/2, and a redirect.
fn by_host(http1: &Service, http2: &Http2Service) -> Gateway {
    let hosts = r#"hosts: [a.test, "*.b.test", "[0:0:0:0:0:0:0:1]", "[2001:db8::1]"]"#;
    Gateway::with(
        Config::listening(&[hosts])
            .service(http1, "")
            .service_at("http2", &[&http2.url()], "http2: true")
            .route(r#"name: moved, match: { host: [a.test, "[::1]"], path: /old }, redirect: { path: /new }"#)
            .route(r#"name: named, match: { host: a.test }, to: http1"#)
            .route(r#"name: loopback, match: { host: "[0::0001]" }, to: http1"#)
            .route("name: other, to: http2"),
    )
}

/// Responds with the authority of each request.
fn names_authority() -> Http2Service {
    Http2Service::start(|request, mut respond| async move {
        let authority = request
            .uri()
            .authority()
            .map(ToString::to_string)
            .unwrap_or_default();
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream.send_data(Bytes::from(authority), true).unwrap();
    })
}

#[test]
fn service_gets_the_host_as_the_client_wrote_it() {
    let (http1, http2) = (Service::echo("http1"), names_authority());
    let gateway = by_host(&http1, &http2);
    let client = Http2Client::connect(gateway.address());
    for host in [
        "a.test",
        "a.test:",
        "A.Test.:",
        "a.test:81",
        "[::1]:",
        "[0:0:0:0::1]",
        "[::0.0.0.1]:81",
    ] {
        let over_http1 = gateway.get(&format!("http://{host}/x"));
        let over_http2 = client.get(&format!("http://{host}/x"));
        for response in [over_http1, over_http2] {
            assert_eq!(response.status(), 200, "{host}");
            let headers = response.json()["headers"].to_string();
            for name in ["Host", "x-forwarded-host"] {
                assert!(
                    headers.contains(&json!([name, host]).to_string()),
                    "{host}: {headers}"
                );
            }
        }
    }
    for host in ["x.b.test:", "[2001:DB8:0:0::1]", "[2001:db8::1]:"] {
        assert_eq!(gateway.get(&format!("http://{host}/x")).text(), host);
        assert_eq!(client.get(&format!("http://{host}/x")).text(), host);
    }
    for host in ["[::2]", "[2001:db8::1:1]", "1.2.3.4:"] {
        assert_eq!(gateway.get(&format!("http://{host}/x")).status(), 404, "{host}");
        assert_eq!(client.get(&format!("http://{host}/x")).status(), 404, "{host}");
    }
}

#[test]
fn location_has_no_empty_port() {
    let (http1, http2) = (Service::echo("http1"), names_authority());
    let gateway = by_host(&http1, &http2);
    let client = Http2Client::connect(gateway.address());
    for (host, location) in [
        ("a.test:", "http://a.test/new"),
        ("a.test:81", "http://a.test:81/new"),
        ("[::0001]:", "http://[::1]/new"),
        ("[0::1]:81", "http://[::1]:81/new"),
    ] {
        for response in [
            gateway.get(&format!("http://{host}/old")),
            client.get(&format!("http://{host}/old")),
        ] {
            assert_eq!(response.header("location"), Some(location), "{host}");
        }
    }
}

#[test]
fn target_and_host_agree_if_they_are_the_same_host() {
    let (http1, http2) = (Service::echo("http1"), names_authority());
    let gateway = by_host(&http1, &http2);
    let client = Http2Client::connect(gateway.address());
    for (target, host, status) in [
        ("a.test:", "a.test", 200),
        ("a.test", "A.test.:", 200),
        ("a.test:", "a.test:81", 200),
        ("[::1]", "[0:0:0:0:0:0:0:1]:", 200),
        ("[2001:db8::1]:", "[2001:0DB8::0:1]", 200),
        ("[::1]", "[::2]", 400),
        ("a.test:", "b.test:", 400),
        ("[::ffff:1.2.3.4]", "1.2.3.4", 400),
    ] {
        let absolute = format!("GET http://{target}/x HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(gateway.ask(absolute).status(), status, "{target}, {host}");
        let both = Request::get(format!("http://{target}/x")).header("host", host);
        assert_eq!(
            client.ask(both.body(()).unwrap(), "").status(),
            status,
            "{target}, {host}"
        );
    }
}

#[test]
fn options_for_the_server_is_answered_by_the_gateway() {
    let (http1, http2) = (Service::echo("http1"), names_authority());
    let gateway = by_host(&http1, &http2);
    let mut client = gateway.connect();
    // On one connection, whichever host is named, and whether the listener serves it or not.
    for host in ["a.test", "other.test:81", "[::2]:"] {
        let response = client.ask(format!("OPTIONS * HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(response.status(), 204, "{host}");
        let allow = response.header("allow").unwrap_or_default();
        assert_eq!(allow, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        assert_eq!(response.header("content-length"), None);
    }
    let old = gateway.ask("OPTIONS * HTTP/1.0\r\n\r\n");
    assert_eq!(old.status(), 204);
    let streams = Http2Client::connect(gateway.address());
    for (host, status) in [(None, 204), (Some("a.test:"), 204), (Some("b.test"), 400)] {
        let uri = http::Uri::builder()
            .scheme("http")
            .authority("a.test")
            .path_and_query("*");
        let mut request = Request::options(uri.build().unwrap());
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let response = streams.ask(request.body(()).unwrap(), "");
        assert_eq!(response.status(), status, "{host:?}");
        assert_eq!(response.header("allow").is_some(), status == 204);
    }
    assert_eq!(streams.get("http://a.test/").status(), 200);
    assert_eq!(http1.received().len(), 1);

    let question = json!({ "method": "OPTIONS", "url": "*", "headers": { "host": "other.test" } });
    let explained = gateway.explain_question(&question);
    assert_eq!(explained["outcome"], "respond");
    assert_eq!(explained["status"], 204);
    assert_eq!(explained["route"], json!(null));
    assert!(
        explained["headers"].to_string().contains("OPTIONS"),
        "{explained}"
    );
    let metrics = gateway.metrics();
    let counted = metrics
        .lines()
        .find(|line| line.starts_with("waypost_requests_total") && line.contains(r#"code="204""#));
    let counted = counted.unwrap_or_else(|| panic!("{metrics}"));
    assert!(
        counted.contains(r#"route="""#) && counted.ends_with(" 6"),
        "{counted}"
    );
}

#[test]
fn other_methods_have_no_target_of_the_server() {
    let (http1, http2) = (Service::echo("http1"), names_authority());
    let gateway = by_host(&http1, &http2);
    for line in ["GET *", "options *", "POST *", "OPTIONS *?x", "OPTIONS **"] {
        let mut client = gateway.connect();
        let response = client.ask(format!("{line} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        assert_eq!(response.status(), 400, "{line}");
        client.assert_closed();
    }
    for line in ["GET *", "options *", "POST *"] {
        let (method, path) = line.split_once(' ').unwrap();
        let mut frames = Frames::connect(gateway.address());
        let fields: [(&[u8], &[u8]); 4] = [
            (b":method", method.as_bytes()),
            (b":scheme", b"http"),
            (b":authority", b"a.test"),
            (b":path", path.as_bytes()),
        ];
        frames.head(1, END_STREAM, &fields);
        let head = frames.wait_for(HEADERS).expect("a response");
        // The status 400 in the static table (RFC 7541 appendix A).
        assert_eq!(head.payload.first(), Some(&0x8c), "{line}");
    }
    // A host has to be valid all the same.
    for request in [
        "OPTIONS * HTTP/1.1\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a..b\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    ] {
        assert_eq!(gateway.ask(request).status(), 400, "{request}");
    }
    let client = Http2Client::connect(gateway.address());
    assert_eq!(client.ask(get("http://a.test:/"), "").status(), 200);
    assert_eq!(http1.received().len(), 1);
}
