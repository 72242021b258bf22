//! Exchanges over links in memory: the messages are the same however their bytes are cut, and every end has its cause.

use std::future::poll_fn;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};
use waypost_plan::header_edits::HeaderEdits;
use waypost_policy::grpc::web::WebForm;
use waypost_policy::head::edits::KeepAlive;
use waypost_policy::rate::RateFields;
use waypost_transport::memory::Memory;
use waypost_transport::relay::BodyForm;
use waypost_transport::relay::transform::Transform;
use waypost_upstream::lease::Taken;
use waypost_wire::body::BodyDecoder;
use waypost_wire::framing::Framing;
use waypost_wire::response::fault::FaultPlace;

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
    /// Trailers of a client whose bodies are delimited as in HTTP/2; `None` for one of HTTP/1.
    client_frames: Option<String>,
    /// The same for the service.
    service_frames: Option<String>,
    /// The form of gRPC-Web that the client speaks.
    web: Option<WebForm>,
    /// Bytes that the client accepts at a time, with pauses in between; 0 for all.
    client_accepts: usize,
    /// The same for the service. One that is slow may respond before it has the whole request.
    service_accepts: usize,
    /// True if the service stays silent behind its response, rather than close.
    stays_open: bool,
    to_head: bool,
    upgrade: Option<&'static str>,
    http10: bool,
    body_rate: Option<u64>,
    /// The status that is declined, and true if its response is passed on after all.
    declined: Option<(u16, bool)>,
}

/// Its outcome.
#[derive(Debug, PartialEq, Eq)]
struct Made {
    end: End,
    to_service: Written,
    to_client: Written,
}

/// The output to one side.
#[derive(Debug, PartialEq, Eq)]
struct Written {
    bytes: Bytes,
    /// The trailers that were written separately from the bytes.
    trailers: Bytes,
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
        let mut client = Memory::new(case.request_body.clone());
        client = match &case.client_frames {
            Some(trailers) => client.framed(trailers.as_bytes()),
            None => client.open(),
        };
        let mut service = Memory::new(case.response.clone());
        if let Some(trailers) = &case.service_frames {
            service = service.framed(trailers.as_bytes());
        }
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
        let is_text = case.web == Some(WebForm::Text);
        let form = match framing {
            _ if service.frames_bodies() => BodyForm::Frames,
            Framing::Chunked | Framing::UntilClose => BodyForm::Chunks,
            Framing::Length(_) if is_text => BodyForm::Chunks,
            _ => BodyForm::Plain,
        };
        if is_text {
            upload.set_transform(Transform::from_grpc_web_text());
        }
        upload.begin_body(framing, form, &mut from_client).unwrap();
        let (mut meter, mut open_ended, mut response) = (None, false, None);
        let parts = ExchangeParts {
            worker,
            meter: &mut meter,
            open_ended: &mut open_ended,
            claim: &Claim::new(worker.expendables(), ListenerId(0)),
            client: &mut client,
            from_client: &mut from_client,
            service: &mut service,
            taken: &mut Taken::default(),
            upload: &mut upload,
            response: &mut response,
        };
        let configured = {
            let mut edits = HeaderEdits::default();
            // The date differs from run to run.
            edits.remove("date").unwrap();
            edits
        };
        let mut declined = StatusSet::default();
        if let Some((status, _)) = case.declined {
            declined.add(status..=status);
        }
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
                filled: b"",
                rate: RateFields::default(),
                request_id: None,
                way_back: None,
                cookies: None,
                date: None,
                set_cookie: b"",
                debug: None,
                keep_alive: KeepAlive::Implied,
                cors: None,
            },
            expects_continue: false,
            body_idle: Duration::from_secs(30),
            body_rate: case.body_rate,
            ends_with_client: true,
            upgrade: case.upgrade.map(str::as_bytes),
            demands_upgrade: false,
            is_grpc: false,
            web: case.web,
            response_limits: ResponseLimits::default(),
            declined: Some(&declined),
            pages: None,
        };
        let deadlines = Deadlines {
            service: TIMEOUTS,
            route: None,
            attempt: None,
            hedge: None,
            late: None,
        };
        let mut timer = Timer::new(Instant::now());
        let mut exchange = Exchange::new(parts, options, deadlines, 0);
        let mut end = poll_fn(|cx| exchange.poll(cx, &mut timer)).await;
        if matches!(end, End::Declined { .. }) && case.declined.is_some_and(|(_, passes)| passes) {
            exchange.accept();
            end = poll_fn(|cx| exchange.poll(cx, &mut timer)).await;
        }
        let written = |link: Link| match link {
            Link::Memory(memory) => Written {
                bytes: Bytes::copy_from_slice(memory.written()),
                trailers: Bytes::copy_from_slice(memory.written_trailers().unwrap_or_default()),
            },
            _ => unreachable!(),
        };
        Made {
            end,
            to_service: written(service),
            to_client: written(client),
        }
    })
}

fn whole(text: &str) -> Vec<Bytes> {
    vec![Bytes::copy_from_slice(text.as_bytes())]
}

/// Cuts `bytes` into pieces of these lengths, again and again.
fn cut(bytes: &[u8], lengths: &[usize]) -> Vec<Bytes> {
    let mut rest = bytes;
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

/// A head and what follows it.
#[derive(Debug, PartialEq, Eq)]
struct ToldApart {
    /// With the heads of interim responses in front.
    head: String,
    /// The body, whose chunks are joined.
    body: Vec<u8>,
    /// The lines of the trailers behind the chunks.
    trailers: String,
}

fn told_apart(message: &[u8]) -> ToldApart {
    let mut end = 0;
    while end < message.len() {
        let head = &message[end..];
        let length = head.windows(4).position(|four| four == b"\r\n\r\n");
        end += length.map_or(head.len(), |length| length + 4);
        if !head.starts_with(b"HTTP/1.1 1") {
            break;
        }
    }
    let (head, body) = message.split_at(end);
    let head = String::from_utf8(head.to_vec()).unwrap();
    if !head.contains("transfer-encoding: chunked") {
        return ToldApart {
            head,
            body: body.to_vec(),
            trailers: String::new(),
        };
    }
    let (body, trailers) = joined(body);
    ToldApart { head, body, trailers }
}

/// The data and the trailers of a chunked body.
fn joined(chunks: &[u8]) -> (Vec<u8>, String) {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let (mut rest, mut joined) = (chunks, Vec::new());
    while !decoder.is_done() {
        let piece = decoder.decode(rest).unwrap();
        assert!(piece.consumed > 0, "no last chunk: {chunks:?}");
        joined.extend_from_slice(&rest[piece.data]);
        rest = &rest[piece.consumed..];
    }
    assert!(rest.is_empty(), "behind the last chunk: {rest:?}");
    let BodyDecoder::Chunked(decoder) = decoder else {
        unreachable!()
    };
    (joined, lines(decoder.trailers()))
}

/// Trailers, without the empty line that may end them.
fn lines(trailers: &[u8]) -> String {
    let text = std::str::from_utf8(trailers).unwrap();
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| format!("{line}\r\n"))
        .collect()
}

/// Checks the end of an exchange and what the client gets, whole and cut at every length.
fn check(case: &Case, response: &str, end: &End, to_client: &str) {
    let (runtime, worker) = (runtime(), worker());
    for length in (1..=response.len().max(1)).chain([usize::MAX]) {
        let case = Case {
            response: cut(response.as_bytes(), &[length]),
            client_accepts: if length % 2 == 0 { 7 } else { 0 },
            ..case.clone()
        };
        let made = make(&runtime, &worker, &case);
        assert_eq!(&made.end, end, "{response:?} in pieces of {length}");
        assert_eq!(
            told_apart(&made.to_client.bytes),
            told_apart(to_client.as_bytes()),
            "{response:?} in pieces of {length}"
        );
    }
}

fn complete(reusable: bool, keep_alive: bool) -> End {
    End::Complete {
        reusable,
        keep_alive,
        has_rest: false,
    }
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
    for (response, rule, at) in [
        ("SSH-2.0-x\r\n", ResponseRule::NotHttp, None),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\na",
            ResponseRule::ContentLength,
            Some(52),
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            ResponseRule::LengthAndCoding,
            Some(55),
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
            ResponseRule::UnrequestedUpgrade,
            None,
        ),
        (
            "HTTP/1.1 200 OK\r\nbare: line\n\r\n",
            ResponseRule::LineEnd,
            Some(27),
        ),
    ] {
        let place = at.map(FaultPlace::Head);
        let failure = Failure::InvalidResponse(ResponseFault { rule, place });
        check(&case, response, &failed(failure, false), "");
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
        assert!(!made.to_client.bytes.ends_with(b"0\r\n\r\n"), "{made:?}");
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
        End::Cut(Cause::ResponseMalformed(ResponseFault {
            rule: ResponseRule::ChunkSize,
            place: Some(FaultPlace::Body(1)),
        }))
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
fn a_paused_upload_fails_by_its_rate_only_where_one_is_demanded() {
    let (runtime, worker) = (runtime(), worker());
    let case = Case {
        request_framing: Some(Framing::Chunked),
        request_body: whole("5\r\nabcde\r\n"),
        stays_open: true,
        ..Case::default()
    };
    let ended_after = |case: &Case| {
        let began = runtime.block_on(async { Instant::now() });
        let end = make(&runtime, &worker, case).end;
        (end, runtime.block_on(async { began.elapsed() }).as_secs())
    };
    let (idle, grace) = (30, BODY_RATE_GRACE.as_secs());
    let timed_out = || failed(Failure::BodyTimeout, false);
    assert_eq!(ended_after(&case), (timed_out(), idle));
    let demanded = Case {
        body_rate: Some(1024),
        ..case
    };
    assert_eq!(ended_after(&demanded), (timed_out(), grace));
    // What came fast earns time, but no more than a pause may take.
    let earned = Case {
        request_body: whole(&format!("4000\r\n{}\r\n", "x".repeat(0x4000))),
        ..demanded.clone()
    };
    assert_eq!(ended_after(&earned), (timed_out(), 16));
    // The pace does not count for an exchange that is being answered.
    let answered = Case {
        response: whole("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n"),
        ..demanded
    };
    let late = End::Cut(Cause::Failed(Failure::BodyTimeout));
    assert_eq!(ended_after(&answered), (late, idle));
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

/// The end of a message's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delimiter {
    Length,
    Chunks,
    Close,
    Frames,
}

impl Delimiter {
    fn has_trailers(self) -> bool {
        matches!(self, Self::Chunks | Self::Frames)
    }

    /// The field for a body of this length, if there is one.
    fn field(self, body: &str) -> String {
        match self {
            Self::Length => format!("content-length: {}\r\n", body.len()),
            Self::Chunks => "transfer-encoding: chunked\r\n".to_owned(),
            Self::Close | Self::Frames => String::new(),
        }
    }

    /// The bytes of a body; trailers in frames are not among them.
    fn bytes(self, body: &str, trailers: &str) -> String {
        match self {
            Self::Chunks if body.is_empty() => format!("0\r\n{trailers}\r\n"),
            Self::Chunks => format!("{:x}\r\n{body}\r\n0\r\n{trailers}\r\n", body.len()),
            Self::Length | Self::Close | Self::Frames => body.to_owned(),
        }
    }
}

/// A body in base64 that was flushed after `at` bytes.
fn base64(body: &str, at: usize) -> String {
    let (first, second) = body.as_bytes().split_at(at.min(body.len()));
    STANDARD.encode(first) + &STANDARD.encode(second)
}

/// The body of a gRPC-Web response.
fn web_body(body: &str, trailers: &str) -> Vec<u8> {
    let mut bytes = body.as_bytes().to_vec();
    if !trailers.is_empty() {
        let lines = trailers.replace(": ", ":");
        bytes.push(0x80);
        bytes.extend_from_slice(&u32::try_from(lines.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(lines.as_bytes());
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn both_directions_are_the_same_however_they_are_cut(
        request in "[a-z]{0,200}",
        response in "[a-z]{0,200}",
        cuts in [
            proptest::collection::vec(1usize..60, 1..4),
            proptest::collection::vec(1usize..60, 1..4),
        ],
        client_accepts in 0usize..30,
        service_accepts in 0usize..30,
        from_client in prop_oneof![Just(Delimiter::Length), Just(Delimiter::Chunks), Just(Delimiter::Frames)],
        from_service in prop_oneof![
            Just(Delimiter::Length),
            Just(Delimiter::Chunks),
            Just(Delimiter::Close),
            Just(Delimiter::Frames),
        ],
        web in prop_oneof![Just(None), Just(Some(WebForm::Binary)), Just(Some(WebForm::Text))],
        trailers in ["(x-up: [a-z]{1,9}\r\n)?", "(x-down: [a-z]{1,9}\r\n)?"],
    ) {
        let [request_cuts, response_cuts] = cuts;
        let [mut up, mut down] = trailers;
        if !from_client.has_trailers() {
            up.clear();
        }
        // A framed response in memory ends with its head if it has no body.
        if !from_service.has_trailers() || (from_service == Delimiter::Frames && response.is_empty()) {
            down.clear();
        }
        let sent = match web {
            Some(WebForm::Text) => base64(&request, request_cuts[0]),
            _ => request.clone(),
        };
        let framing = match from_client {
            Delimiter::Length => Framing::Length(sent.len() as u64),
            Delimiter::Chunks => Framing::Chunked,
            Delimiter::Close | Delimiter::Frames => Framing::UntilClose,
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\n{}\r\n",
            from_service.field(&response)
        );
        let body = from_service.bytes(&response, &down);
        let answer = match from_service {
            // A head in HTTP/2 has frames of its own.
            Delimiter::Frames => [whole(&head), cut(body.as_bytes(), &response_cuts)].concat(),
            _ => cut((head + &body).as_bytes(), &response_cuts),
        };
        let case = Case {
            request_body: cut(from_client.bytes(&sent, &up).as_bytes(), &request_cuts),
            request_framing: Some(framing),
            response: answer,
            client_frames: (from_client == Delimiter::Frames).then(|| up.clone()),
            service_frames: (from_service == Delimiter::Frames).then(|| down.clone()),
            web,
            client_accepts,
            service_accepts,
            stays_open: matches!(from_service, Delimiter::Length | Delimiter::Chunks),
            ..Case::default()
        };
        let made = make(&runtime(), &worker(), &case);
        let End::Complete { reusable, keep_alive, has_rest } = made.end else {
            panic!("{made:?}")
        };

        let to_client = told_apart(&made.to_client.bytes);
        let got = match web {
            // Each group of four is decoded by itself, because padding may be anywhere.
            Some(WebForm::Text) => {
                let groups = to_client.body.chunks(4);
                groups.flat_map(|group| STANDARD.decode(group).unwrap()).collect()
            }
            _ => to_client.body,
        };
        let (body, trailers) = match web {
            Some(_) => (web_body(&response, &down), ""),
            None => (response.into_bytes(), &*down),
        };
        prop_assert_eq!(got, body);
        prop_assert_eq!(to_client.trailers + &lines(&made.to_client.trailers), trailers);

        // A response may be complete before the request is.
        if from_service == Delimiter::Length || from_service == Delimiter::Chunks {
            prop_assert!(reusable);
        }
        prop_assert!(!has_rest || !keep_alive);
        if !has_rest {
            let sent = made.to_service.bytes.strip_prefix(REQUEST_HEAD.as_bytes()).unwrap();
            let is_plain = from_service == Delimiter::Frames
                || (from_client == Delimiter::Length && web != Some(WebForm::Text));
            let (body, trailers) = if is_plain {
                (sent.to_vec(), String::new())
            } else {
                joined(sent)
            };
            prop_assert_eq!(body, request.into_bytes());
            prop_assert_eq!(trailers + &lines(&made.to_service.trailers), up);
        }
    }
}

#[test]
fn declined_response_leaves_nothing_at_the_client_and_can_still_be_passed_on() {
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let busy = "HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy";
    let response = format!("{hints}{busy}");
    let (runtime, worker) = (runtime(), worker());
    for length in (1..=response.len()).chain([usize::MAX]) {
        let case = |declined| Case {
            response: cut(response.as_bytes(), &[length]),
            client_accepts: if length % 2 == 0 { 7 } else { 0 },
            stays_open: true,
            declined: Some(declined),
            ..Case::default()
        };
        let made = make(&runtime, &worker, &case((503, false)));
        let is_whole = length >= response.len();
        let is_declined = matches!(made.end, End::Declined { is_whole: found } if !is_whole || found);
        assert!(is_declined, "{:?} in pieces of {length}", made.end);
        assert_eq!(made.to_client.bytes, hints.as_bytes(), "in pieces of {length}");
        for declined in [(503, true), (502, false)] {
            let made = make(&runtime, &worker, &case(declined));
            assert_eq!(made.end, complete(true, true), "in pieces of {length}");
            assert_eq!(made.to_client.bytes, response.as_bytes(), "in pieces of {length}");
        }
    }
}
