//! Exchanges over links in memory: the messages are the same however their bytes are cut, and every end has its cause.

use std::future::poll_fn;
use std::rc::Rc;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};
use waypost_plan::header_edits::HeaderEdits;
use waypost_policy::head::edits::KeepAlive;
use waypost_transport::memory::Memory;
use waypost_transport::relay::BodyForm;
use waypost_wire::body::BodyDecoder;
use waypost_wire::framing::Framing;

use super::*;
use crate::local::testing::worker;

const REQUEST_HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\n\r\n";
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(2),
    response: Duration::from_secs(30),
    idle: Duration::from_secs(60),
    tunnel: Duration::from_secs(60),
};

/// An exchange to be made: what both sides send, in pieces.
#[derive(Clone, Default)]
struct Case {
    request_body: Vec<Bytes>,
    request_framing: Option<Framing>,
    response: Vec<Bytes>,
    /// Bytes that the client accepts at a time, with pauses in between; 0 for all.
    client_accepts: usize,
    /// The same for the service. One that is slow may respond before it has the whole request.
    service_accepts: usize,
    /// True if the service stays silent behind its response, rather than close.
    stays_open: bool,
    to_head: bool,
    upgrade: Option<&'static str>,
    http10: bool,
}

/// Its outcome.
#[derive(Debug, PartialEq, Eq)]
struct Made {
    end: End,
    to_service: String,
    to_client: String,
}

/// A runtime whose time passes when all wait, and a worker on it.
fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

fn make(runtime: &Runtime, worker: &Rc<Worker>, case: &Case) -> Made {
    runtime.block_on(async {
        let framing = case.request_framing.unwrap_or(Framing::None);
        let mut client = Memory::new(case.request_body.clone()).open();
        let mut service = Memory::new(case.response.clone());
        if case.stays_open {
            service = service.open();
        }
        if case.client_accepts > 0 {
            client = client.slow(case.client_accepts);
        }
        if case.service_accepts > 0 {
            service = service.slow(case.service_accepts);
        }
        let mut client = Link::Memory(Box::new(client));
        let mut service = Link::Memory(Box::new(service));
        let (mut from_client, mut upload) = (Buffer::default(), Relay::default());
        upload.begin(None).extend_from_slice(REQUEST_HEAD.as_bytes());
        let form = match framing {
            Framing::Chunked => BodyForm::Chunks,
            _ => BodyForm::Plain,
        };
        upload.begin_body(framing, form, &mut from_client).unwrap();
        let (mut meter, mut open_ended, mut response) = (None, false, None);
        let parts = ExchangeParts {
            worker,
            meter: &mut meter,
            open_ended: &mut open_ended,
            client: &mut client,
            from_client: &mut from_client,
            service: &mut service,
            upload: &mut upload,
            response: &mut response,
        };
        let configured = {
            let mut edits = HeaderEdits::default();
            // The date differs from run to run.
            edits.remove("date").unwrap();
            edits
        };
        let options = ExchangeOptions {
            version: if case.http10 {
                Version::Http10
            } else {
                Version::Http11
            },
            to_head: case.to_head,
            keep_alive: true,
            listener: ListenerId(0),
            edits: ResponseEdits {
                configured: &configured,
                date: None,
                set_cookie: b"",
                debug: None,
                keep_alive: KeepAlive::Implied,
            },
            expects_continue: false,
            body_idle: Duration::from_secs(30),
            upgrade: case.upgrade.map(str::as_bytes),
            demands_upgrade: false,
            is_grpc: false,
            web: None,
        };
        let deadlines = Deadlines {
            service: TIMEOUTS,
            route: None,
        };
        let mut timer = Timer::new(Instant::now());
        let mut exchange = Exchange::new(parts, options, deadlines, 0);
        let end = poll_fn(|cx| exchange.poll(cx, &mut timer)).await;
        let text = |link: Link| match link {
            Link::Memory(memory) => String::from_utf8(memory.written().to_vec()).unwrap(),
            _ => unreachable!(),
        };
        Made {
            end,
            to_service: text(service),
            to_client: text(client),
        }
    })
}

fn whole(text: &str) -> Vec<Bytes> {
    vec![Bytes::copy_from_slice(text.as_bytes())]
}

/// Cuts `text` into pieces of these lengths, again and again.
fn cut(text: &str, lengths: &[usize]) -> Vec<Bytes> {
    let mut rest = text.as_bytes();
    let mut pieces = Vec::new();
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*length).clamp(1, rest.len()));
        pieces.push(Bytes::copy_from_slice(piece));
        rest = after;
    }
    pieces
}

/// A head and the body behind it, whose chunks are joined.
fn told_apart(message: &str) -> (String, String) {
    let end = message.rfind("\r\n\r\n").map_or(message.len(), |_| {
        // Interim responses come first: the final head is the last one that begins with a status.
        let last = message.rfind("HTTP/1.1 ").unwrap_or(0);
        last + message[last..].find("\r\n\r\n").unwrap() + 4
    });
    let (head, body) = message.split_at(end);
    if !head.contains("transfer-encoding: chunked") {
        return (head.to_owned(), body.to_owned());
    }
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let (mut rest, mut joined) = (body.as_bytes(), Vec::new());
    while !decoder.is_done() {
        let piece = decoder.decode(rest).unwrap();
        assert!(piece.consumed > 0, "no last chunk: {message:?}");
        joined.extend_from_slice(&rest[piece.data]);
        rest = &rest[piece.consumed..];
    }
    (head.to_owned(), String::from_utf8(joined).unwrap())
}

/// Checks the end of an exchange and what the client gets, whole and cut at every length.
fn check(case: &Case, response: &str, end: &End, to_client: &str) {
    let (runtime, worker) = (runtime(), worker());
    for length in (1..=response.len().max(1)).chain([usize::MAX]) {
        let case = Case {
            response: cut(response, &[length]),
            client_accepts: if length % 2 == 0 { 7 } else { 0 },
            ..case.clone()
        };
        let made = make(&runtime, &worker, &case);
        assert_eq!(&made.end, end, "{response:?} in pieces of {length}");
        assert_eq!(
            told_apart(&made.to_client),
            told_apart(to_client),
            "{response:?} in pieces of {length}"
        );
    }
}

fn complete(reusable: bool, keep_alive: bool) -> End {
    End::Complete { reusable, keep_alive }
}

fn failed(failure: Failure, is_silent: bool) -> End {
    End::Failed { failure, is_silent }
}

#[test]
fn responses_reach_the_client_in_every_framing() {
    let case = Case::default();
    for (response, end, to_client) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
            complete(true, true),
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n",
            complete(true, true),
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\n\r\nabc",
            complete(false, true),
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n",
            complete(false, true),
            "HTTP/1.1 204 No Content\r\n\r\n",
        ),
        (
            "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            complete(true, true),
            "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        ),
    ] {
        check(&case, response, &end, to_client);
    }
    let to_head = Case {
        to_head: true,
        ..Case::default()
    };
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n";
    check(&to_head, head, &complete(true, true), head);
}

#[test]
fn an_http10_client_gets_no_chunks_and_no_interim_responses() {
    let case = Case {
        http10: true,
        ..Case::default()
    };
    check(
        &case,
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        &complete(true, false),
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc",
    );
    check(
        &case,
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
        &complete(true, true),
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\nabc",
    );
}

#[test]
fn what_is_no_response_fails_before_the_client_gets_a_byte() {
    let case = Case::default();
    for response in [
        "SSH-2.0-x\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\na",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbare: line\n\r\n",
    ] {
        check(&case, response, &failed(Failure::Protocol, false), "");
    }
    check(&case, "", &failed(Failure::ConnectionTerminated, true), "");
    let begun = failed(Failure::ConnectionTerminated, false);
    check(&case, "HTTP/1.1 200 OK\r\ncontent-le", &begun, "");
}

#[test]
fn a_response_that_breaks_off_is_cut() {
    let (runtime, worker) = (runtime(), worker());
    for (response, cause) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc",
            Cause::ResponseIncomplete,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
            Cause::ResponseIncomplete,
        ),
    ] {
        let case = Case {
            response: whole(response),
            ..Case::default()
        };
        let made = make(&runtime, &worker, &case);
        assert_eq!(made.end, End::Cut(cause), "{response}");
        assert!(!made.to_client.ends_with("0\r\n\r\n"), "{made:?}");
    }
    // The client has the head already when the body turns out to be malformed.
    let case = Case {
        response: vec![
            Bytes::from_static(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n"),
            Bytes::from_static(b"zz\r\n"),
        ],
        ..Case::default()
    };
    assert_eq!(
        make(&runtime, &worker, &case).end,
        End::Cut(Cause::ResponseMalformed)
    );
}

#[test]
fn deadlines_have_names() {
    let (runtime, worker) = (runtime(), worker());
    let silent = Case {
        stays_open: true,
        ..Case::default()
    };
    let end = make(&runtime, &worker, &silent).end;
    assert_eq!(end, failed(Failure::ResponseTimeout, false));
    let pausing = Case {
        response: whole("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc"),
        ..silent
    };
    let end = make(&runtime, &worker, &pausing).end;
    assert_eq!(end, End::Cut(Cause::ResponseStalled));
    let slow_client = Case {
        request_framing: Some(Framing::Length(5)),
        request_body: whole("abc"),
        stays_open: true,
        ..Case::default()
    };
    let end = make(&runtime, &worker, &slow_client).end;
    assert_eq!(end, failed(Failure::BodyTimeout, false));
}

#[test]
fn an_upgrade_that_was_asked_for_ends_the_exchange() {
    let case = Case {
        upgrade: Some("websocket"),
        response: whole(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\nbytes",
        ),
        ..Case::default()
    };
    assert_eq!(make(&runtime(), &worker(), &case).end, End::Upgraded);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn both_directions_are_the_same_however_they_are_cut(
        request in "[a-z]{0,200}",
        response in "[a-z]{0,200}",
        request_cuts in proptest::collection::vec(1usize..60, 1..4),
        response_cuts in proptest::collection::vec(1usize..60, 1..4),
        client_accepts in 0usize..30,
        service_accepts in 0usize..30,
        request_is_chunked in any::<bool>(),
        response_is_chunked in any::<bool>(),
    ) {
        let chunked = |body: &str| match body {
            "" => "0\r\n\r\n".to_owned(),
            body => format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()),
        };
        let (sent, framing) = match request_is_chunked {
            true => (chunked(&request), Framing::Chunked),
            false => (request.clone(), Framing::Length(request.len() as u64)),
        };
        let answer = match response_is_chunked {
            true => format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}", chunked(&response)),
            false => format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{response}", response.len()),
        };
        let case = Case {
            request_body: cut(&sent, &request_cuts),
            request_framing: Some(framing),
            response: cut(&answer, &response_cuts),
            client_accepts,
            service_accepts,
            stays_open: true,
            ..Case::default()
        };
        let made = make(&runtime(), &worker(), &case);
        let (_, client_body) = told_apart(&made.to_client);
        prop_assert_eq!(client_body, response);
        // A response may be complete before the request is; a connection is reused only if both are.
        let End::Complete { reusable, keep_alive } = made.end else {
            panic!("{made:?}")
        };
        prop_assert!(reusable || !keep_alive);
        if reusable {
            let sent = made.to_service.strip_prefix(REQUEST_HEAD).unwrap();
            let body = match request_is_chunked {
                true => told_apart(&format!("transfer-encoding: chunked\r\n\r\n{sent}")).1,
                false => sent.to_owned(),
            };
            prop_assert_eq!(body, request);
        }
    }
}
