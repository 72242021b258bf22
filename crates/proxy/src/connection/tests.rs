//! Connections of HTTP/1 over links in memory: the responses are the same however the requests are cut.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use tokio::runtime::Builder;
use waypost_plan::Plan;
use waypost_plan::builder::PlanBuilder;
use waypost_plan::header_edits::HeaderEdits;
use waypost_plan::listener::{Bind, Listener};
use waypost_plan::route::{Action, Respond, Route};
use waypost_policy::peer::Peer;
use waypost_route::alternative::Alternative;
use waypost_transport::link::Link;
use waypost_transport::memory::Memory;

use crate::generation::ListenerId;
use crate::local::testing::worker_with;
use crate::request::client::Client;

/// A plan whose only route responds `said` to every request.
fn plan() -> Plan {
    let mut builder = PlanBuilder::default();
    let (text, address) = ("127.0.0.1:1".into(), "127.0.0.1:1".parse().unwrap());
    builder
        .add_listener(Listener::new(Bind { text, address }))
        .unwrap();
    let mut response_headers = HeaderEdits::default();
    // The date differs from run to run.
    response_headers.remove("date").unwrap();
    let route = Route {
        matching: waypost_route::Route {
            name: "all".into(),
            alternatives: [Alternative::default()].into(),
        },
        action: Action::Respond(Respond {
            status: 200,
            body: b"said".as_slice().into(),
            content_type: "text/plain".into(),
        }),
        response_headers,
        is_passthrough: false,
    };
    builder.add_route(route).unwrap();
    builder.build().unwrap()
}

/// The responses to `sent`, which arrives in these pieces on one connection.
fn responses(pieces: &[&[u8]]) -> String {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let worker = worker_with(plan());
        let snapshot = worker.snapshot();
        let listener = Rc::clone(snapshot.listener(ListenerId(0)).unwrap());
        let pieces = pieces.iter().map(|piece| Bytes::copy_from_slice(piece));
        let link = Link::Memory(Box::new(Memory::new(pieces)));
        let end = "127.0.0.1:7".parse().unwrap();
        let peer = Rc::new(Peer::in_clear(end, end));
        let counters = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
        let slot = worker.slots().take(counters);
        let mut client = Client::new(worker, link, peer, ListenerId(0), listener);
        assert!(client.run(&slot).await.is_none(), "it does not speak HTTP/2");
        let Link::Memory(memory) = &client.link else {
            panic!("the link is gone")
        };
        let text = String::from_utf8(memory.written().to_vec()).unwrap();
        // Errors have a date, whatever the route says.
        let lines = text.split_inclusive("\r\n");
        lines.filter(|line| !line.starts_with("date: ")).collect()
    })
}

fn check(sent: &str, expected: &[&str]) {
    let expected = expected.concat();
    assert_eq!(responses(&[sent.as_bytes()]), expected, "whole: {sent:?}");
    for length in 1..sent.len() {
        let pieces: Vec<&[u8]> = sent.as_bytes().chunks(length).collect();
        assert_eq!(responses(&pieces), expected, "in pieces of {length}: {sent:?}");
    }
}

const SAID: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nsaid";
const SAID_LAST: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\nconnection: close\r\n\r\nsaid";

#[test]
fn requests_that_arrive_together_are_served_in_order() {
    let get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let sent = [
        get,
        "\r\n",
        get,
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        get,
    ]
    .concat();
    check(&sent, &[SAID, SAID, SAID_LAST]);
    check(
        "HEAD / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.0\r\n\r\n",
        &[SAID.strip_suffix("said").unwrap(), SAID_LAST],
    );
}

#[test]
fn a_request_that_is_refused_ends_the_connection() {
    let error = |status: &str, message: &str| {
        let body = format!("{status}: {message}\n");
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\nproxy-status: waypost; \
             error=http_request_error\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    let get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let twice = "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n";
    let refused = responses(&[twice.as_bytes()]);
    assert!(refused.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{refused}");
    check(&[get, twice, get].concat(), &[SAID, &refused]);
    check(
        "GET /a%2Fb HTTP/1.1\r\nhost: a\r\n\r\n",
        &[&error(
            "400 Bad Request",
            "an encoded `/`, `\\` or NUL at byte 2 of the path",
        )],
    );
}

#[test]
fn a_connection_that_ends_within_a_head_gets_an_error() {
    let refused = responses(&[b"GET / HTTP/1.1\r\nhost: a\r\n"]);
    assert!(refused.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{refused}");
    check("GET / HTTP/1.1\r\nhost: a\r\n", &[&refused]);
    check("\r\n", &[]);
}
