//! Bodies larger than a buffer, which the kernel splices in clear text.

use crate::support::client::{get, request};
use crate::support::gateway::Gateway;
use crate::support::service::{Service, ok};

/// Well above the splice threshold, and no multiple of a buffer size.
const BYTES: usize = 1_000_003;

/// A text without long repeats.
fn body() -> String {
    let numbers = (0..).map(|number: usize| format!("{number},"));
    let mut body: String = numbers.take(BYTES / 4).collect();
    body.truncate(BYTES);
    body
}

#[test]
fn large_bodies_both_ways_byte_for_byte() {
    let (sent, body) = (body(), body());
    let service = Service::scripted(move |talk| {
        while let Some(request) = talk.request() {
            assert!(request.is_complete && request.body == body.as_bytes());
            talk.send(ok(&body));
        }
    });
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    let length = format!("Content-Length: {BYTES}\r\n");
    for _ in 0..3 {
        let response = client.ask(format!("{}{sent}", request("POST", "http://a/", &length)));
        assert!(response.is_complete && response.body == sent.as_bytes());
    }
    assert_eq!(service.connections(), 1);
}

#[test]
fn surplus_after_a_large_body_discarded() {
    let (tell, told) = std::sync::mpsc::channel();
    let response = format!("{}{}", ok(&body()), ok("surplus"));
    let service = Service::scripted(move |talk| {
        while talk.request().is_some() {
            talk.send(&response);
            let _ = tell.send(());
        }
    });
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    for _ in 0..3 {
        let response = client.get("http://a/");
        assert_eq!(response.body.len(), BYTES);
        // The surplus has been sent before the next request.
        told.recv_timeout(crate::support::PATIENCE).unwrap();
    }
    assert_eq!(service.connections(), 3, "such a connection is not used again");
}

#[test]
fn truncated_large_response_visible() {
    let service = Service::scripted(|talk| {
        if talk.request().is_some() {
            let part = &body()[..BYTES / 2];
            talk.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n{part}"
            ));
        }
    });
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    client.send(get("http://a/"));
    let response = client.response();
    assert_eq!((response.is_complete, response.body.len()), (false, BYTES / 2));
}

#[test]
fn aborted_large_upload_never_looks_complete() {
    let (tell, told) = std::sync::mpsc::channel();
    let service = Service::scripted(move |talk| {
        if let Some(request) = talk.request() {
            let _ = tell.send((request.is_complete, request.body.len()));
        }
    });
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    let length = format!("Content-Length: {BYTES}\r\n");
    let part = &body()[..BYTES / 2];
    client.send(format!("{}{part}", request("POST", "http://a/", &length)));
    client.finish_sending();
    let (is_complete, came) = told.recv_timeout(crate::support::PATIENCE).unwrap();
    assert!(!is_complete && came <= BYTES / 2, "{came} bytes");
}
