//! Invalid responses of services: a 502 or a cut, with the rule that the response broke and the place, everywhere that
//! an operator looks.

use serde_json::{Value, json};

use crate::access_log::wait_for_log;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::service::{Service, ok};

/// Invalid responses: the cause, the error of RFC 9209, and the place.
const FAULTS: [(&str, &str, &str, &str); 19] = [
    ("SSH-2.0-x\r\n\r\n", "not_http", "http_protocol_error", ""),
    (
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "status_line",
        "http_protocol_error",
        ", at byte 10 of the head",
    ),
    (
        "HTTP/1.1 200 OK\r\na: b\n\r\n",
        "line_end",
        "http_protocol_error",
        ", at byte 21 of the head",
    ),
    (
        "HTTP/1.1 200 OK\r\nab\r\n\r\n",
        "header_line",
        "http_protocol_error",
        ", at byte 17 of the head",
    ),
    (
        "HTTP/1.1 200 OK\r\na : b\r\n\r\n",
        "header_name",
        "http_protocol_error",
        ", at byte 18 of the head",
    ),
    (
        "HTTP/1.1 200 OK\r\na: \x01\r\n\r\n",
        "header_value",
        "http_protocol_error",
        ", at byte 20 of the head",
    ),
    (
        "HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
        "folded_line",
        "http_protocol_error",
        ", at byte 23 of the head",
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "content_length",
        "http_protocol_error",
        ", at byte 52 of the head",
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
        "content_length",
        "http_protocol_error",
        ", at byte 33 of the head",
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "length_and_coding",
        "http_protocol_error",
        ", at byte 55 of the head",
    ),
    (
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "transfer_encoding",
        "http_protocol_error",
        ", at byte 36 of the head",
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "unknown_coding",
        "http_response_transfer_coding",
        ", at byte 36 of the head",
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "chunk_size",
        "http_response_transfer_coding",
        ", after 0 bytes of the body",
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;\x01\r\n",
        "chunk_extension",
        "http_response_transfer_coding",
        ", after 0 bytes of the body",
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        "chunk_end",
        "http_response_transfer_coding",
        ", after 1 byte of the body",
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na b: c\r\n\r\n",
        "trailer_line",
        "http_protocol_error",
        ", after 0 bytes of the body",
    ),
    (
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        "unrequested_upgrade",
        "http_upgrade_failed",
        "",
    ),
    (
        "HTTP/1.1 101 Switching Protocols\r\nContent-Length: 1\r\n\r\n",
        "upgrade_framing",
        "http_upgrade_failed",
        "",
    ),
    (
        "HTTP/1.1 103 Early\r\n\r\n",
        "too_many_interims",
        "http_protocol_error",
        "",
    ),
];

/// Sends the response of [`FAULTS`] that the path numbers.
fn faulty() -> Service {
    Service::named("s", |talk| {
        let Some(request) = talk.request() else { return };
        let number: usize = request.target().trim_start_matches('/').parse().unwrap();
        let (response, cause, ..) = FAULTS[number];
        let times = if cause == "too_many_interims" { 9 } else { 1 };
        talk.send(response.repeat(times));
        // Until the gateway closes.
        let _ = talk.request();
    })
}

#[test]
fn faults_are_named_in_response_log_metrics_and_on_standard_error() {
    let service = faulty();
    let gateway = Gateway::with(Config::new().key("access_log: access.log").all_to(&service));
    let http2 = Http2Client::connect(gateway.address());
    for (number, (response, _, error, place)) in FAULTS.iter().enumerate() {
        let mut client = gateway.connect();
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let mut over_http1 = client.response();
        while over_http1.status() == 103 {
            over_http1 = client.response();
        }
        let over_http2 = http2.get(&format!("http://a/{number}"));
        for got in [over_http1, over_http2] {
            assert_eq!(got.status(), 502, "{response:?}");
            let proxy_status = got.header("proxy-status").unwrap();
            let begin = format!("waypost; error={error}; details=\"");
            assert!(
                proxy_status.starts_with(&begin) && proxy_status.ends_with(&format!("{place}\"")),
                "{response:?}: {proxy_status}"
            );
        }
    }
    let metrics = gateway.metrics();
    for (number, line) in wait_for_log(&gateway, 2 * FAULTS.len()).iter().enumerate() {
        let (response, cause, error, place) = FAULTS[number / 2];
        assert_eq!(
            json!([line["status"], line["ended_by"], line["reason"], line["failed"]]),
            json!([502, "service", error, true])
        );
        let detail = line["detail"].as_str().unwrap();
        assert!(
            detail.ends_with(place) && !detail.contains('"'),
            "{response:?}: {line}"
        );
        let same = FAULTS.iter().filter(|fault| fault.1 == cause).count();
        let series = format!(
            "waypost_invalid_responses_total{{service=\"s\",cause=\"{cause}\"}} {}",
            2 * same
        );
        assert!(
            metrics.lines().any(|line| line == series),
            "`{series}` in {metrics}"
        );
    }
    let said = gateway.said();
    for (_, cause, ..) in FAULTS {
        let lines = said
            .iter()
            .filter(|line| line.contains(&format!("cause `{cause}`")));
        let lines: Vec<&String> = lines.collect();
        assert_eq!(lines.len(), 1, "`{cause}` once in {said:?}");
        assert!(lines[0].contains("the service `s` sent an invalid response from 127.0.0.1:"));
    }
}

#[test]
fn fault_within_the_body_cuts_the_response_and_is_named() {
    let service = Service::named("s", |talk| {
        if talk.request_head().is_some() {
            talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
            talk.expect("go");
            talk.send("xyz\r\n");
        }
    });
    let gateway = Gateway::with(Config::new().key("access_log: access.log").all_to(&service));
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.expect("half");
    client.send("2\r\ngo\r\n");
    client.rest();
    let line = &wait_for_log(&gateway, 1)[0];
    assert_eq!(
        json!([line["status"], line["ended_by"], line["reason"], line["detail"]]),
        json!([
            200,
            "service",
            "http_response_transfer_coding",
            "a chunk size is malformed, after 4 bytes of the body"
        ])
    );
}

#[test]
fn ordinary_lines_have_no_detail() {
    let service = Service::echo("a");
    let gateway = Gateway::with(Config::new().key("access_log: access.log").all_to(&service));
    gateway.get("http://a/");
    assert_eq!(wait_for_log(&gateway, 1)[0]["detail"], Value::Null);
}

#[test]
fn limits_on_response_heads_are_the_service_s_own() {
    let large = format!(
        "HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n",
        "a".repeat(100_000)
    );
    let many = format!(
        "HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n",
        "a: b\r\n".repeat(40)
    );
    let (large, many) = (Service::responding(large), Service::responding(many));
    let config = |keys: [&str; 2]| {
        Config::new()
            .service_at("large", &[&large.url()], keys[0])
            .service_at("many", &[&many.url()], keys[1])
            .route("name: many, match: { path: /many }, to: many")
            .route("name: large, to: large")
    };
    let default = Gateway::with(config(["", ""]));
    let custom = Gateway::with(config([
        "limits: { header_bytes: 200KiB }",
        "limits: { headers: 20 }",
    ]));
    let seen = |gateway: &Gateway, path: &str| {
        let response = gateway.get(&format!("http://a{path}"));
        let status = response.header("proxy-status").unwrap_or_default().to_owned();
        (response.status(), status)
    };
    let refused = |detail: &str| {
        let error = "waypost; error=http_response_header_section_size";
        (502, format!("{error}; details=\"{detail}\""))
    };
    assert_eq!(seen(&default, "/"), refused("the head is too large"));
    assert_eq!(seen(&default, "/many"), (200, String::new()));
    assert_eq!(seen(&custom, "/"), (200, String::new()));
    assert_eq!(seen(&custom, "/many"), refused("there are too many header lines"));
    let limits = custom
        .command(&["check", "--limits", &custom.config().display().to_string()])
        .expect(0)
        .stdout;
    assert!(limits.contains("200KiB"), "{limits}");
}

#[test]
fn valid_response_after_an_invalid_one_is_forwarded() {
    let service = Service::named("s", |talk| {
        while let Some(request) = talk.request() {
            talk.send(match request.target() {
                "/bad" => "HTTP/1.1 200 OK\r\na b: c\r\n\r\n".to_owned(),
                _ => ok("fine"),
            });
        }
    });
    let gateway = Gateway::with(Config::new().all_to(&service));
    let mut client = gateway.connect();
    assert_eq!(client.get("http://a/bad").status(), 502);
    assert_eq!(client.get("http://a/good").text(), "fine");
}
