//! Waiting for requests, and reading their heads.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use waypost_plan::listener::Listener;
use waypost_wire::request::{self, RequestError};
use waypost_wire::scan::HeadEnd;

use waypost_policy::failure::Failure;
use waypost_policy::request::head_limits;

use crate::local::buffers::RequestBuffers;
use crate::request::client::Client;

/// Timeout for the first request on a connection whose listener is closing.
pub(crate) const LAST_CALL: Duration = Duration::from_secs(1);

/// The reason that no head was read.
pub(super) enum ReadHeadError {
    /// The client closed the connection, or it failed.
    Gone,
    /// No bytes have arrived: the runtime reports a new socket as ready until it is read, and one whose last read
    /// filled the buffer.
    NotYet,
    /// The request is refused.
    Refused(Failure),
    /// The client sent the HTTP/2 connection preface (RFC 9113 §3.4).
    Http2,
}

/// The HTTP/2 connection preface.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Client {
    /// Waits until the client sends bytes. Returns false if the connection must be closed instead.
    pub(super) async fn wait_for_request(&mut self, served: bool) -> bool {
        let snapshot = self.worker.snapshot();
        let limits = self.listener_in(&snapshot).limits;
        drop(snapshot);
        // A new connection must send its first request within `header_timeout`.
        let limit = if served {
            limits.keep_alive_timeout
        } else {
            limits.header_timeout
        };
        let mut deadline = self.worker.clock().coarse_now() + limit;
        self.timer.set(deadline);
        poll_fn(|cx| {
            if let Poll::Ready(readiness) = self.link.poll_read_ready(cx) {
                return Poll::Ready(readiness.is_ok());
            }
            if self.worker.is_closing(self.listener_id) {
                let last_call = match (served, self.worker.last_call()) {
                    (true, None) => return Poll::Ready(false),
                    (true, Some(until)) => until,
                    // A client that has just been admitted is about to send a request.
                    (false, _) => Instant::now() + LAST_CALL,
                };
                deadline = deadline.min(last_call);
                self.timer.set(deadline);
            }
            self.timer.poll(cx).map(|()| false)
        })
        .await
    }

    /// Reads until a head is complete. Bytes that arrived with it stay in the buffer.
    pub(super) async fn read_head(
        &mut self,
        buffers: &mut RequestBuffers,
        listener: &Listener,
        may_be_http2: bool,
    ) -> Result<HeadEnd, ReadHeadError> {
        let limits = head_limits(listener);
        let deadline = self.worker.clock().coarse_now() + listener.limits.header_timeout;
        loop {
            let bytes = buffers.from_client.filled();
            if may_be_http2 && bytes.starts_with(PREFACE) {
                return Err(ReadHeadError::Http2);
            }
            // Could be the preface or a method with the same first letter; read on.
            let begins_http2 = may_be_http2 && !bytes.is_empty() && PREFACE.starts_with(bytes);
            let mut start = 0;
            if !begins_http2 {
                let end = buffers
                    .scan
                    .advance(bytes)
                    .map_err(|error| ReadHeadError::Refused(Failure::Request(error.into())))?;
                if let Some(end) = end {
                    return Ok(end);
                }
                start = buffers.scan.start();
                let first_line = buffers.scan.first_line(bytes);
                if start > limits.bytes {
                    return Err(ReadHeadError::Refused(Failure::Request(
                        RequestError::HeadTooLarge,
                    )));
                }
                request::check_partial(&bytes[start..], first_line, &limits)
                    .map_err(|error| ReadHeadError::Refused(Failure::Request(error)))?;
            }
            let nothing_yet = bytes.len() == start;
            let nothing_at_all = bytes.is_empty();

            self.timer.set(deadline);
            let read = poll_fn(|cx| match self.link.poll_fill(cx, &mut buffers.from_client) {
                Poll::Ready(read) => Poll::Ready(read.map_err(|_| ReadHeadError::Gone)),
                Poll::Pending if nothing_at_all => Poll::Ready(Err(ReadHeadError::NotYet)),
                Poll::Pending => self
                    .timer
                    .poll(cx)
                    .map(|()| Err(ReadHeadError::Refused(Failure::HeadTimeout))),
            });
            match read.await {
                Ok(0) if nothing_yet => return Err(ReadHeadError::Gone),
                Ok(0) => return Err(ReadHeadError::Refused(Failure::Request(RequestError::Incomplete))),
                Ok(_) => {}
                // Empty lines are not a request and get no response.
                Err(ReadHeadError::Refused(_)) if nothing_yet => return Err(ReadHeadError::Gone),
                Err(no_head) => return Err(no_head),
            }
        }
    }
}
