//! Failed requests: one notion for metrics, statistics and the log, over HTTP, gRPC and gRPC-Web.

use std::sync::mpsc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderValue, Request, Response};
use serde_json::{Value, json};

use crate::access_log::wait_for_log;
use crate::support::PATIENCE;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::{Http2Client, Http2Service};
use crate::support::service::{Service, ok};

/// Ends calls as the path says: `/head/N` with a status in the head, `/trailers/N` in trailers, `/missing` without one.
fn ending() -> Http2Service {
    Http2Service::start(|request, mut respond| async move {
        let path = request.uri().path().to_owned();
        let response = Response::builder().header("content-type", "application/grpc");
        let [_, how, code] = &path.splitn(3, '/').collect::<Vec<_>>()[..] else {
            return;
        };
        let code = HeaderValue::from_str(code).unwrap();
        if *how == "head" {
            let response = response.header("grpc-status", code).body(()).unwrap();
            respond.send_response(response, true).unwrap();
            return;
        }
        let mut stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
        let _ = stream.send_data(Bytes::from_static(b"\0\0\0\0\0"), *how == "missing");
        if *how == "trailers" {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", code);
            let _ = stream.send_trailers(trailers);
        }
    })
}

/// A service that speaks gRPC-Web itself, in base64 under `/web/text`, and cuts calls under `/web/cut`.
fn web() -> Service {
    Service::named("web", |talk| {
        while let Some(request) = talk.request() {
            if request.target().ends_with("cut") {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nGrpc-Status: 0\r\n";
                return talk.send(format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\n\0\0"));
            }
            let trailers = b"grpc-status:13\r\n";
            let body = [b"\0\0\0\0\x02hi\x80\0\0\0\x10".as_slice(), trailers].concat();
            let (kind, body) = match request.target().ends_with("text") {
                true => ("application/grpc-web-text", STANDARD.encode(&body).into_bytes()),
                false => ("application/grpc-web+proto", body),
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            talk.send([head.as_bytes(), &body].concat());
        }
    })
}

fn call(path: &str, kind: &str) -> Request<()> {
    let request = Request::post(format!("http://a{path}")).header("content-type", kind);
    request.body(()).unwrap()
}

/// A log line's words about the result of the request.
fn result(line: &Value) -> Value {
    json!([
        line["status"],
        line["grpc_status"],
        line["failed"],
        line["ended_by"]
    ])
}

#[test]
fn failed_calls_are_failures_everywhere() {
    let (service, web) = (ending(), web());
    let gateway = Gateway::with(
        Config::new()
            .key("access_log: access.log")
            .service_at("s", &[&service.url()], "http2: true")
            .service(&web, "")
            .service_at("down", &["http://127.0.0.1:1"], "http2: true")
            .route("name: dead, match: { path: /dead/* }, to: down")
            .route("name: web, match: { path: /web/* }, to: web")
            .route("name: translated, match: { path: /x/* }, to: s, rewrite: { prefix: / }, grpc_web: true")
            .route("name: own, match: { path: /own }, respond: { status: 200 }")
            .route("name: r, to: s"),
    );
    let client = Http2Client::connect(gateway.address());
    let grpc = "application/grpc";
    let cases = [
        ("/head/0", grpc, json!([200, 0, false, "service"])),
        ("/head/14", grpc, json!([200, 14, true, "service"])),
        ("/head/5", grpc, json!([200, 5, false, "service"])),
        ("/trailers/0", grpc, json!([200, 0, false, "service"])),
        ("/trailers/13", grpc, json!([200, 13, true, "service"])),
        ("/trailers/8", grpc, json!([200, 8, false, "service"])),
        ("/trailers/99", grpc, json!([200, 2, true, "service"])),
        ("/missing/", grpc, json!([200, 2, true, "service"])),
        ("/web/cut", grpc, json!([200, 0, true, "service"])),
        ("/dead/x", grpc, json!([200, 14, true, "service"])),
        ("/own", grpc, json!([200, 2, true, "gateway"])),
        (
            "/web/binary",
            "application/grpc-web+proto",
            json!([200, 13, true, "service"]),
        ),
        (
            "/web/text",
            "application/grpc-web-text",
            json!([200, 13, true, "service"]),
        ),
        (
            "/x/trailers/12",
            "application/grpc-web+proto",
            json!([200, 12, true, "service"]),
        ),
        (
            "/x/trailers/7",
            "application/grpc-web-text",
            json!([200, 7, false, "service"]),
        ),
        (
            "/head/14",
            "application/json",
            json!([200, null, false, "service"]),
        ),
    ];
    for (path, kind, _) in &cases {
        let mut stream = client.open(call(path, kind), true);
        assert_eq!(stream.response().is_err(), path.ends_with("/cut"), "{path}");
    }
    let lines = wait_for_log(&gateway, cases.len());
    for ((path, kind, expected), line) in cases.iter().zip(&lines) {
        assert_eq!(&result(line), expected, "{path} {kind}: {line}");
    }
    let stats = gateway.admin_json("/api/v1/stats?route=r");
    let arm = &stats["routes"][0]["arms"][0];
    assert_eq!(
        json!([arm["requests"], arm["errors"], arm["classes"], arm["grpc"]]),
        json!([9, 4, { "2xx": 9 }, { "0": 2, "2": 2, "5": 1, "8": 1, "13": 1, "14": 1 }])
    );
    let columns = gateway.command(&["stats", "r"]).expect(0).stdout;
    assert!(columns.contains("44.44 %"), "{columns}");
    let metrics = gateway.metrics();
    for line in [
        r#"waypost_requests_total{route="r",service="s",code="200",grpc_code="14"} 1"#,
        r#"waypost_requests_total{route="r",service="s",code="200",grpc_code="2"} 2"#,
        r#"waypost_requests_total{route="r",service="s",code="200"} 1"#,
        r#"waypost_requests_total{route="dead",service="down",code="200",grpc_code="14"} 1"#,
        r#"waypost_failed_requests_total{route="r",service="s"} 4"#,
        r#"waypost_failed_requests_total{route="dead",service="down"} 1"#,
        r#"waypost_failed_requests_total{route="web",service="web"} 3"#,
        r#"waypost_failed_requests_total{route="translated",service="s"} 1"#,
    ] {
        assert!(
            metrics.lines().any(|known| known == line),
            "`{line}` in {metrics}"
        );
    }
}

#[test]
fn cut_response_is_a_failure_whatever_its_status() {
    let service = Service::named("s", |talk| {
        if let Some(request) = talk.request() {
            talk.send(match request.target() {
                "/cut" => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_owned(),
                "/chunks" => {
                    "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n".to_owned()
                }
                _ => ok("whole"),
            });
        }
    });
    let gateway = Gateway::with(Config::new().key("access_log: access.log").all_to(&service));
    let expected = [
        ("/cut", json!([200, null, true, "service"])),
        ("/chunks", json!([404, null, true, "service"])),
        ("/whole", json!([200, null, false, "service"])),
    ];
    for (path, _) in &expected {
        gateway
            .connect()
            .send(format!(
                "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            ))
            .rest();
    }
    let lines = wait_for_log(&gateway, expected.len());
    for ((path, expected), line) in expected.iter().zip(&lines) {
        assert_eq!(&result(line), expected, "{path}: {line}");
    }
    let stats = gateway.admin_json("/api/v1/stats?route=all");
    assert_eq!(stats["routes"][0]["arms"][0]["errors"], 2, "{stats}");
}

#[test]
fn refusals_and_departed_clients_are_no_failures() {
    let (arrived, arrivals) = mpsc::channel();
    let service = Http2Service::start(move |_, respond| {
        let arrived = arrived.clone();
        async move {
            let _ = arrived.send(());
            std::future::pending::<()>().await;
            drop(respond);
        }
    });
    let gateway = Gateway::with(
        Config::new()
            .key("access_log: access.log")
            .service_at("s", &[&service.url()], "http2: true")
            .route("name: r, match: { path: /r/* }, to: s"),
    );
    let client = Http2Client::connect(gateway.address());
    // No route takes it: 404 over HTTP, UNIMPLEMENTED over gRPC, and no service is to blame.
    let response = client.ask(call("/nowhere", "application/grpc"), "");
    assert_eq!(response.header("grpc-status"), Some("12"));
    assert_eq!(client.ask(call("/nowhere", "text/plain"), "").status(), 404);
    // The client leaves before there is a response.
    let mut stream = client.open(call("/r/x", "application/grpc"), true);
    arrivals.recv_timeout(PATIENCE).unwrap();
    stream.sender.send_reset(Reason::CANCEL);
    let lines = wait_for_log(&gateway, 3);
    let failed: Vec<&Value> = lines.iter().map(|line| &line["failed"]).collect();
    assert_eq!(failed, [false, false, false], "{lines:?}");
    let metrics = gateway.metrics();
    let mut counters = metrics
        .lines()
        .filter(|line| line.starts_with("waypost_failed_requests_total{"));
    assert!(counters.all(|line| line.ends_with(" 0")), "{metrics}");
}
