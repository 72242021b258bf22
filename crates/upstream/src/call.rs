//! Bounded requests by the gateway itself, such as mirrored ones.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use waypost_transport::buffer::Buffer;
use waypost_transport::link::Link;
use waypost_wire::body::BodyDecoder;
use waypost_wire::response::{self, ResponseHead, ResponseLimits};
use waypost_wire::scan::HeadScan;

use crate::connect::{ConnectError, ConnectOptions};
use crate::health::Outcome;
use crate::lease;
use crate::local::{LocalService, Upstreams};
use crate::pool::idle::{Liveness, ReuseTrust};
use crate::response_buffers::ResponseBuffers;

/// Maximum interim responses to a request.
pub const INTERIM_MAX: u32 = 8;

/// A complete request.
#[derive(Debug, Clone)]
pub struct Call {
    /// The head in HTTP/1 format, and the body.
    pub message: Vec<u8>,
    /// True for the HEAD method, whose response has no body.
    pub is_head: bool,
    /// True if the request may be sent twice.
    pub is_idempotent: bool,
    /// Maximum bytes of the response body to read. The connection of a longer response is closed instead of reused.
    pub response_bytes_max: usize,
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

/// A response that was read and discarded.
#[derive(Debug)]
struct Response {
    status: u16,
    /// The trust in the connection, if it can be reused.
    reusable: Option<ReuseTrust>,
}

/// The default deadline of a call to `service`, from its timeouts.
pub fn deadline(service: &LocalService) -> Instant {
    let timeouts = service.declared().timeouts;
    let idle = timeouts.idle.min(Duration::from_secs(60));
    Instant::now() + timeouts.connect + timeouts.response + idle
}

/// Sends a call to `service`, and reads and discards the response. Returns the status.
///
/// # Errors
/// When no complete response is received before `deadline`.
pub async fn call(
    upstreams: &Upstreams,
    service: &Rc<LocalService>,
    call: &Call,
    deadline: Instant,
) -> Result<u16, CallError> {
    let mut reuse = Some(Liveness::when(call.is_idempotent));
    loop {
        let options = ConnectOptions {
            reuse,
            http1: false,
            raw: false,
            addresses: None,
            deadline: Some(deadline),
        };
        let mut lease = lease::acquire(upstreams, service, options, &mut 0).await?;
        let limits = &service.declared().limits;
        let exchange = exchange(upstreams, &mut lease.link, call, limits);
        match timeout_at(deadline, exchange).await {
            Ok(Ok(Response { status, reusable })) => {
                let outcome = Outcome::Response(status);
                match reusable {
                    Some(trust) if !lease.link.may_have_buffered() => {
                        lease.end_and_keep(outcome, trust, upstreams);
                    }
                    _ => lease.end(outcome),
                }
                return Ok(status);
            }
            // The endpoint had closed the idle connection.
            Ok(Err(CallError::Silent)) if lease.reused && call.is_idempotent => reuse = None,
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

/// Sends the request and reads the response.
async fn exchange(
    upstreams: &Upstreams,
    link: &mut Link,
    call: &Call,
    limits: &ResponseLimits,
) -> Result<Response, CallError> {
    let sent = link.write_all(&call.message).await;
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
    upstreams.return_response(buffers);
    read
}

/// Reads a response, as strictly as a forwarded one, and discards it.
async fn read_response(
    link: &mut Link,
    buffer: &mut Buffer,
    response: &mut ResponseHead,
    call: &Call,
    limits: &ResponseLimits,
) -> Result<Response, CallError> {
    buffer.clear();
    let mut body = read_head(link, buffer, response, call.is_head, limits).await?;
    let status = response.status();
    let mut read = 0;
    while !body.is_done() {
        if read > call.response_bytes_max {
            return Ok(Response {
                status,
                reusable: None,
            });
        }
        let piece = body.decode(buffer.filled()).map_err(|_| CallError::Malformed)?;
        if piece.consumed > 0 {
            buffer.consume(piece.consumed);
            continue;
        }
        match link.fill(buffer).await {
            Ok(0) if body.may_end_by_close() => {
                return Ok(Response {
                    status,
                    reusable: None,
                });
            }
            Ok(0) | Err(_) => return Err(CallError::Malformed),
            Ok(count) => read += count,
        }
    }
    let is_reusable = response.keeps_alive() && buffer.is_empty();
    Ok(Response {
        status,
        reusable: is_reusable.then(|| ReuseTrust::after(response, None)),
    })
}

/// Reads the final head, skipping interim responses.
async fn read_head(
    link: &mut Link,
    buffer: &mut Buffer,
    response: &mut ResponseHead,
    to_head: bool,
    limits: &ResponseLimits,
) -> Result<BodyDecoder, CallError> {
    let mut scan = HeadScan::default();
    let mut interims = 0;
    let mut is_silent = true;
    loop {
        let bytes = buffer.filled();
        if let Some(end) = scan.advance(bytes).map_err(|_| CallError::Malformed)? {
            response
                .parse(bytes, end, to_head, limits)
                .map_err(|_| CallError::Malformed)?;
            buffer.consume(end.end);
            scan = HeadScan::default();
            if response.status() == 101 {
                return Err(CallError::Malformed);
            }
            if !response.is_interim() {
                return Ok(BodyDecoder::new(response.framing()));
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

    /// Reads `text` in pieces of `cut` bytes. Returns the status, and true if the connection is reusable.
    fn read(text: &str, cut: usize, is_head: bool) -> Result<(u16, bool), CallError> {
        let pieces: Vec<_> = text.as_bytes().chunks(cut).collect();
        let memory = Memory::of(&pieces).slow(0);
        let mut link = Link::Memory(Box::new(memory));
        let call = Call {
            message: Vec::new(),
            is_head,
            is_idempotent: true,
            response_bytes_max: 64,
        };
        let (mut buffer, mut response) = (Buffer::default(), ResponseHead::default());
        let limits = ResponseLimits::default();
        let mut reading = pin!(read_response(
            &mut link,
            &mut buffer,
            &mut response,
            &call,
            &limits
        ));
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            // A paused link wakes at once.
            if let Poll::Ready(read) = reading.as_mut().poll(&mut cx) {
                return read.map(|response| (response.status, response.reusable.is_some()));
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
}
