//! Bounded requests by the gateway itself, such as mirrored ones.

use std::borrow::Cow;
use std::future::poll_fn;
use std::mem;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};
use waypost_transport::buffer::Buffer;
use waypost_transport::link::Link;
use waypost_wire::body::BodyDecoder;
use waypost_wire::grpc::GrpcCode;
use waypost_wire::response::{self, ResponseHead, ResponseLimits};
use waypost_wire::scan::HeadScan;

use crate::connect::{ConnectError, ConnectOptions};
use crate::health::Outcome;
use crate::lease;
use crate::local::{LocalService, Upstreams};
use crate::pool::idle::{Liveness, ReuseTrust};
use crate::response_buffers::ResponseBuffers;
use crate::retry::tried::Tried;

/// Maximum interim responses to a request.
pub const INTERIM_MAX: u32 = 8;

/// A complete request.
#[derive(Debug, Clone)]
pub struct Call {
    /// The head in HTTP/1 format, and the body.
    pub message: Vec<u8>,
    /// The place in `message` of the endpoint's authority, if the request names no host.
    pub authority_at: Option<usize>,
    /// True for the HEAD method, whose response has no body.
    pub is_head: bool,
    /// True if the request may be sent twice.
    pub is_idempotent: bool,
    /// Maximum bytes of the response body to read. The connection of a longer response is closed instead of reused.
    pub response_bytes_max: usize,
    /// Bytes of the response body to return.
    pub response_bytes_kept: usize,
    /// True to wait where the service has as many requests or connections as it may have.
    pub may_wait: bool,
    /// The need for the body of the response.
    pub body: BodyNeed,
    /// True if the head of the response is returned too.
    pub keeps_head: bool,
    /// The hash of the request's value, where the service balances by it.
    pub key: Option<u64>,
}

/// The need for the body of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyNeed {
    /// The response has to be complete.
    Whole,
    /// The status alone matters; the rest is waited for this long, so that the connection can be reused.
    None(Duration),
    /// As [`BodyNeed::None`] where the status is 2xx, else as [`BodyNeed::Whole`].
    UnlessSuccess(Duration),
}

/// A response to a call, with its head.
#[derive(Debug)]
pub struct FullAnswer {
    /// The head, as ranges of `head_bytes`.
    pub head: ResponseHead,
    /// The bytes of the head.
    pub head_bytes: Vec<u8>,
    /// The beginning of the body.
    pub body: Vec<u8>,
    /// True if that is the whole body.
    pub is_whole: bool,
}

/// A response to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The beginning of the body.
    pub body: Vec<u8>,
}

/// A failure of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No endpoint could be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection ended before the first byte of a response.
    #[error("the connection ended before a response")]
    Silent,
    /// The response is malformed or incomplete.
    #[error("the response is malformed or incomplete")]
    Malformed,
    /// The deadline passed.
    #[error("the deadline passed")]
    TimedOut,
}

/// A response that was read.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) answer: Answer,
    /// True if the answer has the whole body.
    is_whole: bool,
    /// The bytes of the head.
    head_bytes: Vec<u8>,
    /// The `grpc-status` in the head, if there is one.
    pub(crate) grpc_status: Option<GrpcCode>,
    /// The trust in the connection, if it can be reused.
    pub(crate) reusable: Option<ReuseTrust>,
}

/// The default deadline of a call to `service`, from its timeouts.
pub fn deadline(service: &LocalService) -> Instant {
    let timeouts = service.declared().timeouts;
    let idle = timeouts.idle.min(Duration::from_secs(60));
    Instant::now() + timeouts.connect + timeouts.response + idle
}

/// Sends a call to `service`, and reads the response.
///
/// # Errors
/// When no complete response is received before `deadline`.
pub async fn call(
    upstreams: &Upstreams,
    service: &Rc<LocalService>,
    call: &Call,
    deadline: Instant,
) -> Result<Answer, CallError> {
    let (response, _) = send(upstreams, service, call, deadline).await?;
    Ok(response.answer)
}

/// As [`call()`], for those who need the head of the response as well: the call has `keeps_head`.
///
/// # Errors
/// When no complete response is received before `deadline`.
pub async fn call_for_head(
    upstreams: &Upstreams,
    service: &Rc<LocalService>,
    call: &Call,
    deadline: Instant,
) -> Result<FullAnswer, CallError> {
    let (response, head) = send(upstreams, service, call, deadline).await?;
    Ok(FullAnswer {
        head,
        head_bytes: response.head_bytes,
        body: response.answer.body,
        is_whole: response.is_whole,
    })
}

async fn send(
    upstreams: &Upstreams,
    service: &Rc<LocalService>,
    call: &Call,
    deadline: Instant,
) -> Result<(Response, ResponseHead), CallError> {
    let mut reuse = Some(Liveness::when(call.is_idempotent));
    let mut held = None;
    loop {
        let options = ConnectOptions {
            reuse,
            http1: false,
            raw: false,
            addresses: None,
            timeout: None,
            deadline: Some(deadline),
            key: call.key,
            attempt: None,
            may_wait: call.may_wait,
        };
        let mut lease = lease::acquire(
            upstreams,
            service,
            &options,
            None,
            held.take(),
            &mut Tried::default(),
        )
        .await?;
        let limits = &service.declared().limits;
        let message = call.message_to(lease.authority());
        let exchange = exchange(upstreams, &mut lease.link, &message, call, limits);
        match timeout_at(deadline, exchange).await {
            Ok(Ok((response, head))) => {
                let outcome = Outcome::Response(response.answer.status);
                match response.reusable {
                    Some(trust) if !lease.link.may_have_buffered() => {
                        lease.end_and_keep(outcome, trust, upstreams);
                    }
                    _ => lease.end(outcome),
                }
                return Ok((response, head));
            }
            // The endpoint had closed the idle connection.
            Ok(Err(CallError::Silent)) if lease.reused && call.is_idempotent => {
                reuse = None;
                held = lease.take_request();
            }
            Ok(Err(error)) => {
                lease.end(Outcome::Reset);
                return Err(error);
            }
            Err(_) => {
                lease.end(Outcome::Timeout);
                return Err(CallError::TimedOut);
            }
        }
    }
}

impl Call {
    /// The message to an endpoint with this authority.
    fn message_to(&self, authority: &str) -> Cow<'_, [u8]> {
        let Some((head, rest)) = self.authority_at.and_then(|at| self.message.split_at_checked(at)) else {
            return Cow::Borrowed(&self.message);
        };
        Cow::Owned([head, authority.as_bytes(), rest].concat())
    }
}

/// Sends the request and reads the response. Its head comes with it if the call keeps it.
async fn exchange(
    upstreams: &Upstreams,
    link: &mut Link,
    message: &[u8],
    call: &Call,
    limits: &ResponseLimits,
) -> Result<(Response, ResponseHead), CallError> {
    let sent = link.write_all(message).await;
    if sent.is_err() || poll_fn(|cx| link.poll_read_ready(cx)).await.is_err() {
        return Err(CallError::Silent);
    }
    // Buffers are borrowed only once the response arrives.
    let mut buffers = upstreams.borrow_response();
    let ResponseBuffers {
        from_service,
        response,
        ..
    } = &mut *buffers;
    let read = read_response(link, from_service, response, call, limits).await;
    let head = match call.keeps_head {
        true => mem::take(response),
        false => ResponseHead::default(),
    };
    upstreams.return_response(buffers);
    Ok((read?, head))
}

/// Reads a response, as strictly as a forwarded one.
pub(crate) async fn read_response(
    link: &mut Link,
    buffer: &mut Buffer,
    response: &mut ResponseHead,
    call: &Call,
    limits: &ResponseLimits,
) -> Result<Response, CallError> {
    buffer.clear();
    let mut head_bytes = Vec::new();
    let kept = call.keeps_head.then_some(&mut head_bytes);
    let (mut decoder, grpc_status) = read_head(link, buffer, response, kept, call.is_head, limits).await?;
    let mut body = Vec::new();
    let reading = read_body(link, buffer, &mut decoder, call, &mut body);
    let left = (BodyEnd::Left, usize::MAX);
    let wait = match call.body {
        BodyNeed::UnlessSuccess(wait) => (200..300).contains(&response.status()).then_some(wait),
        BodyNeed::None(wait) => Some(wait),
        BodyNeed::Whole => None,
    };
    let (end, bytes) = match wait {
        Some(wait) => timeout(wait, reading).await.unwrap_or(Ok(left)).unwrap_or(left),
        None => reading.await?,
    };
    let is_reusable = end == BodyEnd::Message && response.keeps_alive() && buffer.is_empty();
    let is_whole = end != BodyEnd::Left && bytes == body.len();
    Ok(Response {
        answer: Answer {
            status: response.status(),
            body,
        },
        is_whole,
        head_bytes,
        grpc_status,
        reusable: is_reusable.then(|| ReuseTrust::after(response, None)),
    })
}

/// The end of the reading of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyEnd {
    /// The end of the message; the connection goes on.
    Message,
    /// The message ended with the connection.
    Connection,
    /// The rest was left.
    Left,
}

/// Reads a body, and keeps its beginning in `kept`. Also returns the number of its bytes.
async fn read_body(
    link: &mut Link,
    buffer: &mut Buffer,
    decoder: &mut BodyDecoder,
    call: &Call,
    kept: &mut Vec<u8>,
) -> Result<(BodyEnd, usize), CallError> {
    let (mut read, mut bytes) = (0, 0);
    while !decoder.is_done() {
        if read > call.response_bytes_max {
            return Ok((BodyEnd::Left, bytes));
        }
        let piece = decoder
            .decode(buffer.filled())
            .map_err(|_| CallError::Malformed)?;
        if piece.consumed > 0 {
            let room = call.response_bytes_kept - kept.len();
            let data = &buffer.filled()[piece.data];
            bytes += data.len();
            kept.extend(data.iter().take(room));
            buffer.consume(piece.consumed);
            continue;
        }
        match link.fill(buffer).await {
            Ok(0) if decoder.may_end_by_close() => return Ok((BodyEnd::Connection, bytes)),
            Ok(0) | Err(_) => return Err(CallError::Malformed),
            Ok(count) => read += count,
        }
    }
    Ok((BodyEnd::Message, bytes))
}

/// Reads the final head, skipping interim responses. Its bytes are appended to `kept`, if given. Also returns its
/// `grpc-status`.
async fn read_head(
    link: &mut Link,
    buffer: &mut Buffer,
    response: &mut ResponseHead,
    mut kept: Option<&mut Vec<u8>>,
    to_head: bool,
    limits: &ResponseLimits,
) -> Result<(BodyDecoder, Option<GrpcCode>), CallError> {
    let mut scan = HeadScan::default();
    let mut interims = 0;
    let mut is_silent = true;
    loop {
        let bytes = buffer.filled();
        if let Some(end) = scan.advance(bytes).map_err(|_| CallError::Malformed)? {
            response
                .parse(bytes, end, to_head, limits)
                .map_err(|_| CallError::Malformed)?;
            let mut fields = response.fields().iter();
            let grpc_status = fields
                .find(|field| field.name.of(bytes).eq_ignore_ascii_case(b"grpc-status"))
                .map(|field| GrpcCode::parse(field.value.of(bytes)));
            if !response.is_interim()
                && let Some(kept) = kept.take()
            {
                kept.extend_from_slice(&bytes[..end.end]);
            }
            buffer.consume(end.end);
            scan = HeadScan::default();
            if response.status() == 101 {
                return Err(CallError::Malformed);
            }
            if !response.is_interim() {
                return Ok((BodyDecoder::new(response.framing()), grpc_status));
            }
            interims += 1;
            if interims > INTERIM_MAX {
                return Err(CallError::Malformed);
            }
            continue;
        }
        if !response::may_begin(bytes) || bytes.len() > limits.bytes {
            return Err(CallError::Malformed);
        }
        match link.fill(buffer).await {
            Ok(0) | Err(_) if is_silent => return Err(CallError::Silent),
            Ok(0) | Err(_) => return Err(CallError::Malformed),
            Ok(_) => is_silent = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use waypost_transport::memory::Memory;

    /// A call whose response, of which 4 bytes of the body are kept, is read up to 64 bytes.
    fn call(is_head: bool) -> Call {
        Call {
            message: b"POST / HTTP/1.1\r\nHost: \r\n\r\n".to_vec(),
            authority_at: None,
            is_head,
            is_idempotent: true,
            response_bytes_max: 64,
            response_bytes_kept: 4,
            may_wait: true,
            body: BodyNeed::Whole,
            keeps_head: false,
            key: None,
        }
    }

    /// Reads `text` in pieces of `cut` bytes. Returns the status, and true if the connection is reusable.
    fn read(text: &str, cut: usize, is_head: bool) -> Result<(u16, bool), CallError> {
        let read = read_all(text, cut, &call(is_head));
        read.map(|response| (response.answer.status, response.reusable.is_some()))
    }

    fn read_all(text: &str, cut: usize, call: &Call) -> Result<Response, CallError> {
        let pieces: Vec<_> = text.as_bytes().chunks(cut).collect();
        let memory = Memory::of(&pieces).slow(0);
        let mut link = Link::Memory(Box::new(memory));
        let (mut buffer, mut response) = (Buffer::default(), ResponseHead::default());
        let limits = ResponseLimits::default();
        let mut reading = pin!(read_response(
            &mut link,
            &mut buffer,
            &mut response,
            call,
            &limits
        ));
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            // A paused link wakes at once.
            if let Poll::Ready(read) = reading.as_mut().poll(&mut cx) {
                return read;
            }
        }
    }

    fn check(text: &str, is_head: bool, expected: Result<(u16, bool), CallError>) {
        for cut in 1..=text.len().max(1) {
            assert_eq!(read(text, cut, is_head), expected, "{text:?} cut at {cut}");
        }
    }

    #[test]
    fn responses_are_read_at_any_split() {
        check("HTTP/1.1 204 No Content\r\n\r\n", false, Ok((204, true)));
        check(
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
            false,
            Ok((200, true)),
        );
        check(
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n",
            true,
            Ok((200, true)),
        );
        check(
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
            false,
            Ok((200, true)),
        );
        check("HTTP/1.1 200 OK\r\n\r\nuntil the end", false, Ok((200, false)));
        check(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\na",
            false,
            Ok((200, false)),
        );
    }

    #[test]
    fn malformed_or_incomplete_responses_are_errors() {
        check(
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab",
            false,
            Err(CallError::Malformed),
        );
        check("HTTP/1.1 200", false, Err(CallError::Malformed));
        check("SSH-2.0-x\r\n\r\n", false, Err(CallError::Malformed));
        check(
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            false,
            Err(CallError::Malformed),
        );
        check(
            &"HTTP/1.1 100 Continue\r\n\r\n".repeat(9),
            false,
            Err(CallError::Malformed),
        );
        assert_eq!(read("", 1, false), Err(CallError::Silent));
    }

    #[test]
    fn long_body_is_not_read_to_its_end() {
        let text = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{}",
            "a".repeat(500)
        );
        assert_eq!(read(&text, 20, false), Ok((200, false)));
    }
    #[test]
    fn beginning_of_the_body_is_kept() {
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", "abc"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabcdef", "abcd"),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n",
                "abcd",
            ),
            ("HTTP/1.1 200 OK\r\n\r\nuntil the end", "unti"),
        ] {
            for cut in 1..=text.len() {
                let response = read_all(text, cut, &call(false)).unwrap();
                assert_eq!(response.answer.body, expected.as_bytes(), "{text:?} cut at {cut}");
            }
        }
    }

    #[tokio::test]
    async fn status_alone_does_not_need_the_body() {
        let wait = Duration::from_millis(1);
        for (body, status, expected) in [
            (BodyNeed::None(wait), "403 Forbidden", Ok("ab")),
            (BodyNeed::UnlessSuccess(wait), "202 Accepted", Ok("ab")),
            (
                BodyNeed::UnlessSuccess(wait),
                "403 Forbidden",
                Err(CallError::Malformed),
            ),
        ] {
            let call = Call { body, ..call(false) };
            let text = format!("HTTP/1.1 {status}\r\ncontent-length: 3\r\n\r\nab");
            let memory = Memory::of(&[text.as_bytes()]);
            let mut link = Link::Memory(Box::new(memory));
            let (mut buffer, mut response) = (Buffer::default(), ResponseHead::default());
            let limits = ResponseLimits::default();
            let read = read_response(&mut link, &mut buffer, &mut response, &call, &limits).await;
            match (read, expected) {
                (Ok(read), Ok(expected)) => {
                    assert_eq!(read.answer.body, expected.as_bytes(), "{body:?}");
                    assert!(read.reusable.is_none() && !read.is_whole);
                }
                (read, expected) => assert_eq!(read.map(|_| "").unwrap_err(), expected.unwrap_err()),
            }
        }
    }

    #[test]
    fn the_head_is_kept_for_those_who_need_it() {
        let call = Call {
            keeps_head: true,
            ..call(false)
        };
        let head = "HTTP/1.1 302 Found\r\nlocation: /login\r\nset-cookie: a=b\r\ncontent-length: 3\r\n\r\n";
        let text = format!("HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n{head}abc");
        for cut in 1..=text.len() {
            let response = read_all(&text, cut, &call).unwrap();
            assert_eq!(response.head_bytes, head.as_bytes(), "cut at {cut}");
            assert!(response.is_whole);
        }
        for (text, expected) in [
            ("HTTP/1.1 401 X\r\n\r\nabcd", true),
            ("HTTP/1.1 401 X\r\n\r\nabcde", false),
            ("HTTP/1.1 401 X\r\ncontent-length: 5\r\n\r\nabcde", false),
        ] {
            assert_eq!(read_all(text, 7, &call).unwrap().is_whole, expected, "{text:?}");
        }
    }

    #[test]
    fn request_without_a_host_gets_the_authority_of_its_endpoint() {
        let mut call = call(false);
        assert_eq!(*call.message_to("a:80"), call.message);
        call.authority_at = Some(23);
        assert_eq!(
            &*call.message_to("a:80"),
            b"POST / HTTP/1.1\r\nHost: a:80\r\n\r\n"
        );
    }
}
