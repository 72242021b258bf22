//! Connections of HTTP/1 over links in memory: the responses are the same however the requests are cut, and so is what
//! services get.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::LocalSet;
use waypost_plan::Plan;
use waypost_plan::builder::PlanBuilder;
use waypost_plan::header_edits::HeaderEdits;
use waypost_plan::listener::{Bind, Listener};
use waypost_plan::mirror::Mirror;
use waypost_plan::policies::PolicySet;
use waypost_plan::route::{Action, Forward, Respond, Route};
use waypost_plan::service::{Endpoint, EndpointHost, EndpointScheme, Service};
use waypost_plan::split_policies::SplitPolicySet;
use waypost_policy::peer::Peer;
use waypost_route::alternative::Alternative;
use waypost_route::split::Split;
use waypost_transport::link::Link;
use waypost_transport::memory::Memory;
use waypost_wire::body::BodyDecoder;
use waypost_wire::framing::Framing;

use crate::generation::ListenerId;
use crate::local::Worker;
use crate::local::expendable::Claim;
use crate::local::testing::worker_with;
use crate::observe::metrics::testing::mirrored;
use crate::observe::metrics::{Mirrored, Side};
use crate::request::client::Client;
use crate::request::mirror::BODY_BYTES_MAX;

/// A plan whose only route, `all`, takes every request.
fn plan_of(mut builder: PlanBuilder, action: Action) -> Plan {
    let bind = Bind::tcp("127.0.0.1:1".parse().unwrap());
    builder.add_listener(Listener::new(bind)).unwrap();
    let mut response_headers = HeaderEdits::default();
    // The date differs from run to run.
    response_headers.remove("date").unwrap();
    let policies = PolicySet {
        response_headers,
        ..PolicySet::default()
    };
    let matching = waypost_route::Route {
        name: "all".into(),
        alternatives: [Alternative::default()].into(),
    };
    let route = Route {
        policies: policies.into(),
        ..Route::new(matching, action)
    };
    builder.add_route(route).unwrap();
    builder.build().unwrap()
}

/// A plan that responds `said` to every request.
fn responding() -> Plan {
    let respond = Respond {
        status: 200,
        body: "said".into(),
        content_type: "text/plain".into(),
    };
    plan_of(PlanBuilder::default(), Action::Respond(respond))
}

/// A plan that forwards every request to the service at `to`, and copies it to the one at `mirror`.
fn forwarding(to: SocketAddr, mirror: Option<SocketAddr>) -> Plan {
    let mut builder = PlanBuilder::default();
    let mut add = |name: &str, address: SocketAddr| {
        let (authority, host) = (address.to_string().into(), EndpointHost::Address(address.ip()));
        let endpoint = Endpoint::new(authority, host, address.port(), EndpointScheme::Http);
        builder
            .add_service(Service::new(name.into(), vec![endpoint]))
            .unwrap()
    };
    let arms = vec![add("to", to)];
    let policies = SplitPolicySet {
        mirror: mirror.map(|address| Mirror::new(add("mirror", address), 1, 1)),
        ..SplitPolicySet::default()
    };
    let forward = Forward {
        split_policies: policies.into(),
        ..Forward::to(arms, Split::new(&[1]))
    };
    plan_of(builder, Action::Forward(forward))
}

/// The bytes that the client gets when these pieces arrive on one connection.
async fn serve(worker: Rc<Worker>, pieces: &[&[u8]]) -> String {
    let snapshot = worker.snapshot();
    let listener = Rc::clone(snapshot.listener(ListenerId(0)).unwrap());
    let link = Link::Memory(Box::new(Memory::of(pieces)));
    let end = "127.0.0.1:7".parse().unwrap();
    let peer = Rc::new(Peer::in_clear(end, end));
    let counters = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
    let claim = Claim::new(worker.expendables(), ListenerId(0));
    let slot = worker.slots().take(counters, Rc::clone(&claim));
    let mut client = Client::new(worker, link, peer, ListenerId(0), listener, claim);
    assert!(client.run(&slot).await.is_none(), "it does not speak HTTP/2");
    let Link::Memory(memory) = &client.link else {
        panic!("the link is gone")
    };
    let text = String::from_utf8(memory.written().to_vec()).unwrap();
    // Errors have a date, whatever the route says.
    let lines = text.split_inclusive("\r\n");
    lines.filter(|line| !line.starts_with("date: ")).collect()
}

/// The responses to `sent`, which arrives in these pieces on one connection.
fn responses(pieces: &[&[u8]]) -> String {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async { serve(worker_with(responding()), pieces).await })
}

/// A request as a service gets it.
#[derive(Debug, PartialEq, Eq)]
struct Received {
    head: String,
    body: Vec<u8>,
    /// The lines behind the chunks of the body.
    trailers: String,
}

/// A service that responds `done` to each request, and hands on what it got.
async fn service() -> (SocketAddr, UnboundedReceiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(receive(socket, sender.clone()));
        }
    });
    (address, received)
}

/// Serves requests until one does not come whole.
async fn receive(mut socket: TcpStream, sender: UnboundedSender<Received>) {
    let mut bytes = Vec::new();
    while let Some(received) = read_request(&mut socket, &mut bytes).await {
        // The test may be over.
        let _ = sender.send(received);
        if socket.write_all(DONE.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Reads a request; `bytes` holds what has come behind the last one.
async fn read_request(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Received> {
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head: Vec<u8> = bytes.drain(..at + 4).collect();
            break String::from_utf8(head).unwrap();
        }
        if socket.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let framing = match length {
        Some(length) => Framing::Length(length.parse().unwrap()),
        None if head.contains("\r\ntransfer-encoding: chunked\r\n") => Framing::Chunked,
        None => Framing::None,
    };
    let (mut decoder, mut body) = (BodyDecoder::new(framing), Vec::new());
    while !decoder.is_done() {
        let piece = decoder.decode(bytes).unwrap();
        body.extend_from_slice(&bytes[piece.data]);
        bytes.drain(..piece.consumed);
        if piece.consumed == 0 && socket.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
    let trailers = match &decoder {
        BodyDecoder::Chunked(decoder) => String::from_utf8(decoder.trailers().to_vec()).unwrap(),
        _ => String::new(),
    };
    Some(Received {
        head,
        body,
        trailers: trailers.trim_end().to_owned(),
    })
}

const DONE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";

/// The messages that the requests of one client connection led to.
struct Forwarded {
    to_client: String,
    to_service: Vec<Received>,
    to_mirror: Vec<Received>,
    /// The outcomes of the copies.
    mirrored: Vec<(Mirrored, u64)>,
}

/// Forwards the requests that arrive in these pieces on one connection.
fn forward(pieces: &[&[u8]], is_mirrored: bool) -> Forwarded {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let local = LocalSet::new();
    let (to_client, mut service, mut mirror, worker) = local.block_on(&runtime, async {
        let (service, to_service) = service().await;
        let (mirror, to_mirror) = self::service().await;
        let worker = worker_with(forwarding(service, is_mirrored.then_some(mirror)));
        let to_client = serve(Rc::clone(&worker), pieces).await;
        (to_client, to_service, to_mirror, worker)
    });
    // Copies are sent by tasks of their own; this waits for the last.
    runtime.block_on(local);
    let counters = worker.counters(&worker.snapshot(), 0, Side::Mirror);
    Forwarded {
        to_client,
        to_service: std::iter::from_fn(|| service.try_recv().ok()).collect(),
        to_mirror: std::iter::from_fn(|| mirror.try_recv().ok()).collect(),
        mirrored: mirrored(&counters),
    }
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

#[test]
fn a_forwarded_body_is_the_same_however_it_is_cut() {
    let head = |framing: &str| {
        format!(
            "POST /a HTTP/1.1\r\nHost: a\r\nx-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\nx-forwarded-host: a\r\n\
             forwarded: for=127.0.0.1;host=a;proto=http\r\nx-real-ip: 127.0.0.1\r\n{framing}\r\n\r\n"
        )
    };
    let received = |framing: &str, body: &str, trailers: &str| Received {
        head: head(framing),
        body: body.into(),
        trailers: trailers.to_owned(),
    };
    let sent = "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello\
                POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
                3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nx-sum: 5\r\n\r\n";
    for length in (1..40).chain([sent.len()]) {
        let pieces: Vec<&[u8]> = sent.as_bytes().chunks(length).collect();
        let forwarded = forward(&pieces, false);
        assert_eq!(forwarded.to_client, DONE.repeat(2), "in pieces of {length}");
        assert_eq!(
            forwarded.to_service,
            [
                received("content-length: 5", "hello", ""),
                received("transfer-encoding: chunked", "abcde", "x-sum: 5"),
            ],
            "in pieces of {length}"
        );
    }
}

/// Checks what the mirror gets of a request with a body of `length` bytes, with its length in the head or in chunks.
fn check_mirrored(length: usize, is_chunked: bool, outcome: Mirrored) {
    let body: Vec<u8> = (b'a'..=b'z').cycle().take(length).collect();
    let mut sent = b"POST /a HTTP/1.1\r\nhost: a\r\n".to_vec();
    if is_chunked {
        sent.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
        for chunk in body.chunks(5000) {
            sent.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            sent.extend_from_slice(chunk);
            sent.extend_from_slice(b"\r\n");
        }
        sent.extend_from_slice(b"0\r\n\r\n");
    } else {
        sent.extend_from_slice(format!("content-length: {length}\r\n\r\n").as_bytes());
        sent.extend_from_slice(&body);
    }
    let pieces: Vec<&[u8]> = sent.chunks(7001).collect();
    let forwarded = forward(&pieces, true);
    let case = format!("{length} bytes, chunked: {is_chunked}");
    assert_eq!(forwarded.to_client, DONE, "{case}");
    let [to_service] = &forwarded.to_service[..] else {
        panic!("{case}: {} requests", forwarded.to_service.len())
    };
    assert!(to_service.body == body, "{case}: the service's body differs");
    assert_eq!(forwarded.mirrored, [(outcome, 1)], "{case}");
    if outcome != Mirrored::Responded {
        assert!(forwarded.to_mirror.is_empty(), "{case}");
        return;
    }
    let [copy] = &forwarded.to_mirror[..] else {
        panic!("{case}: {} copies", forwarded.to_mirror.len())
    };
    assert!(copy.body == body, "{case}: the copy's body differs");
    // The whole body is there when the copy is sent, so its length is known.
    let end = format!("x-waypost-mirror: all\r\ncontent-length: {length}\r\n\r\n");
    assert!(copy.head.ends_with(&end), "{case}: {}", copy.head);
    assert!(!copy.head.contains("transfer-encoding"), "{case}: {}", copy.head);
}

#[test]
fn a_mirror_gets_the_whole_copy_or_none() {
    for is_chunked in [false, true] {
        for length in [0, 5, BODY_BYTES_MAX] {
            check_mirrored(length, is_chunked, Mirrored::Responded);
        }
        for length in [BODY_BYTES_MAX + 1, 3 * BODY_BYTES_MAX] {
            check_mirrored(length, is_chunked, Mirrored::TooLong);
        }
    }
}

#[test]
fn a_mirror_gets_no_request_whose_body_breaks_off() {
    let head = "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhel";
    let forwarded = forward(&[head.as_bytes()], true);
    assert!(
        forwarded.to_client.starts_with("HTTP/1.1 400 "),
        "{}",
        forwarded.to_client
    );
    assert_eq!((forwarded.to_service, forwarded.to_mirror), (vec![], vec![]));
    assert_eq!(forwarded.mirrored, [(Mirrored::Incomplete, 1)]);
}

#[test]
fn each_of_several_requests_is_mirrored() {
    let get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let forwarded = forward(&[get.repeat(3).as_bytes()], true);
    assert_eq!(forwarded.to_client, DONE.repeat(3));
    assert_eq!((forwarded.to_service.len(), forwarded.to_mirror.len()), (3, 3));
    assert_eq!(forwarded.mirrored, [(Mirrored::Responded, 3)]);
}
