//! Bodies too large for a buffer: in clear text the kernel moves them, and nothing else with them.

use crate::support::client::{get, request};
use crate::support::gateway::Gateway;
use crate::support::service::{Service, ok};

/// Far more than is copied, and no round number, so that ends fall within pieces.
const BYTES: usize = 1_000_003;

/// Bytes of which no two stretches are alike for long.
fn body() -> String {
    let numbers = (0..).map(|number: usize| format!("{number},"));
    let mut body: String = numbers.take(BYTES / 4).collect();
    body.truncate(BYTES);
    body
}

#[test]
fn large_bodies_pass_both_ways_byte_for_byte_again_and_again() {
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
        let answer = client.ask(format!("{}{sent}", request("POST", "http://a/", &length)));
        assert!(answer.is_complete && answer.body == sent.as_bytes());
    }
    assert_eq!(service.connections(), 1);
}

#[test]
fn what_a_service_sends_behind_a_large_body_reaches_nobody() {
    let (tell, told) = std::sync::mpsc::channel();
    let answer = format!("{}{}", ok(&body()), ok("nobody asked for this"));
    let service = Service::scripted(move |talk| {
        while talk.request().is_some() {
            talk.send(&answer);
            let _ = tell.send(());
        }
    });
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    for _ in 0..3 {
        let answer = client.get("http://a/");
        assert_eq!(answer.body.len(), BYTES);
        // What it had to say has been said before anybody asks again.
        told.recv_timeout(crate::support::PATIENCE).unwrap();
    }
    assert_eq!(service.connections(), 3, "such a connection is not used again");
}

#[test]
fn a_large_answer_that_is_cut_off_does_not_look_complete() {
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
    let answer = client.answer();
    assert_eq!((answer.is_complete, answer.body.len()), (false, BYTES / 2));
}

#[test]
fn a_large_upload_that_is_broken_off_is_broken_off_at_the_service() {
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
