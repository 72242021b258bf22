//! The watch for clients that leave while their request waits for a link to a service.

use std::task::{Context, Poll, ready};

use waypost_plan::listener::{HalfClose, Listener};
use waypost_policy::failure::Cause;
use waypost_transport::buffer::Buffer;
use waypost_transport::link::{Link, Sign};
use waypost_wire::framing::Framing;
use waypost_wire::request::RequestHead;

/// Bytes of a request that are read while it waits, to see the end of the connection behind them.
const BYTES_MAX: usize = 16 << 10;

/// The watch for one client.
pub(crate) struct Watch {
    /// Buffered bytes with which the request ends, at most; with more, the client asked for something else behind it. `None`
    /// if a client that ends its sending side may still wait for the response.
    request_bytes_max: Option<u64>,
    is_over: bool,
}

impl Watch {
    /// Watches the client of the request with this head, of which `head_bytes` are still in the buffer.
    pub(crate) fn of(listener: &Listener, head: &RequestHead, head_bytes: usize) -> Self {
        let ends_with_client = listener.half_close == HalfClose::End && head.keeps_alive();
        let body = match head.framing() {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        };
        let bytes = body.map(|bytes| bytes.saturating_add(head_bytes as u64));
        Self {
            request_bytes_max: bytes.filter(|_| ends_with_client),
            is_over: false,
        }
    }

    /// Watches the client of a connection that is passed through, of which nothing is kept in the buffer.
    pub(crate) fn of_connection() -> Self {
        Self {
            request_bytes_max: Some(u64::MAX),
            is_over: false,
        }
    }

    /// Resolves when the client has left. What has to be read to see it is appended to `buffer`.
    pub(crate) fn poll_left(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link,
        buffer: &mut Buffer,
    ) -> Poll<Cause> {
        while !self.is_over {
            let before = buffer.filled().len();
            match ready!(link.poll_sign(cx, buffer)) {
                Sign::Reset => return Poll::Ready(Cause::ClientReset),
                Sign::End => {
                    self.is_over = true;
                    if self.request_bytes_max.is_some_and(|max| before as u64 <= max) {
                        return Poll::Ready(Cause::ClientClosed);
                    }
                }
                Sign::Input if buffer.filled().len() >= BYTES_MAX => self.is_over = true,
                // The sign was only peeked at.
                Sign::Input if buffer.filled().len() == before => {
                    if ready!(link.poll_fill(cx, buffer)).is_err() {
                        return Poll::Ready(Cause::ClientReset);
                    }
                }
                Sign::Input => {}
            }
        }
        Poll::Pending
    }
}
