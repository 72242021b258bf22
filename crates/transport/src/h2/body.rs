//! The incoming and outgoing body of an HTTP/2 stream.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;

use crate::buffer::Buffer;
use crate::h2::fields;
use crate::h2::guard::FrameGuard;

/// An incoming body.
#[derive(Debug)]
pub(super) struct Incoming {
    stream: RecvStream,
    /// A received DATA frame that is not read yet. Its flow-control capacity is released when it is read.
    piece: Bytes,
    ended: bool,
    trailers: Vec<u8>,
    /// Bytes that are left of the announced length; `None` if there is none.
    left: Option<u64>,
    /// The guard of a client's connection, which sees faults that `h2` hides.
    guard: Option<Rc<FrameGuard>>,
    /// True once the body turned out longer or shorter than announced.
    breaks_length: bool,
}

impl Incoming {
    /// The body of a message with these fields.
    pub(super) fn new(stream: RecvStream, fields: &HeaderMap, guard: Option<Rc<FrameGuard>>) -> Self {
        let ended = stream.is_end_stream();
        Self {
            left: if ended { None } else { fields::length(fields) },
            ended,
            stream,
            piece: Bytes::new(),
            trailers: Vec::new(),
            guard,
            breaks_length: false,
        }
    }

    /// Returns true if the message is known to be malformed in a way that `h2` hides.
    pub(super) fn is_malformed(&self) -> bool {
        let guard = self.guard.as_ref();
        guard.is_some_and(|guard| guard.is_malformed(self.stream.stream_id()))
    }

    /// Returns true if all announced bytes have come, but not the end. The last of them are held until then, so that a
    /// message that turns out longer never looks complete (RFC 9113 §8.1.1).
    pub(super) fn awaits_end(&self) -> bool {
        self.left == Some(0) && !self.ended
    }

    /// Returns true if the body is longer or shorter than announced.
    pub(super) fn breaks_length(&self) -> bool {
        self.breaks_length
    }

    /// Ends the body after the pieces received so far, as its END_STREAM is known to have been received.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Returns true if the body has ended and was read completely.
    pub(super) fn has_ended(&self) -> bool {
        self.ended && self.piece.is_empty()
    }

    /// The trailers as lines ended by an empty line, available at the end of the body. Empty if there are none.
    pub(super) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Appends the next DATA frame to `buffer` and releases its flow-control capacity: the size of the buffer bounds
    /// the memory in use.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<Result<usize, h2::Error>> {
        ready!(self.poll_ready(cx))?;
        let data = std::mem::take(&mut self.piece);
        buffer.append(&data);
        let _ = self.stream.flow_control().release_capacity(data.len());
        Poll::Ready(Ok(data.len()))
    }

    /// Polls for data or the end of the body.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        while self.awaits_end() || (!self.ended && self.piece.is_empty()) {
            match ready!(self.stream.poll_data(cx)) {
                Some(data) => {
                    let data = data.inspect_err(|error| {
                        self.breaks_length = self.left.is_some() && is_malformed(error);
                    })?;
                    if let Some(left) = &mut self.left {
                        *left = left.saturating_sub(data.len() as u64);
                    }
                    // What follows the announced bytes is the empty frame that ends them.
                    if self.piece.is_empty() {
                        self.piece = data;
                    } else if !data.is_empty() {
                        self.breaks_length = true;
                        return Poll::Ready(Err(Reason::PROTOCOL_ERROR.into()));
                    }
                    self.ended = self.stream.is_end_stream();
                }
                None => {
                    if let Some(trailers) = ready!(self.stream.poll_trailers(cx))? {
                        if self.is_malformed() {
                            return Poll::Ready(Err(Reason::PROTOCOL_ERROR.into()));
                        }
                        fields::write_trailers(&trailers, &mut self.trailers);
                    }
                    self.ended = true;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Discards the next DATA frame and releases its flow-control capacity. Returns its length; 0 at the end of the
    /// body.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, h2::Error>> {
        ready!(self.poll_ready(cx))?;
        let count = std::mem::take(&mut self.piece).len();
        let _ = self.stream.flow_control().release_capacity(count);
        Poll::Ready(Ok(count))
    }
}

/// Returns true if `h2` resets the stream for its peer's fault. Behind the head, that is mostly its length
/// (RFC 9113 §8.1.1).
fn is_malformed(error: &h2::Error) -> bool {
    error.is_library() && error.is_reset() && error.reason() == Some(Reason::PROTOCOL_ERROR)
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(guard) = &self.guard {
            guard.forget(self.stream.stream_id());
        }
    }
}

/// An outgoing body.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) stream: SendStream<Bytes>,
    ended: bool,
}

impl Outgoing {
    /// `ended` is true if the head was sent with END_STREAM.
    pub(super) fn new(stream: SendStream<Bytes>, ended: bool) -> Self {
        Self { stream, ended }
    }

    /// Sends as many of `bytes` as flow control permits. `last` is true if no data or trailers follow them.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        last: bool,
    ) -> Poll<Result<usize, h2::Error>> {
        self.stream.reserve_capacity(bytes.len());
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(capacity) => capacity?,
                // The stream was closed, for example by a reset.
                None => return Poll::Ready(Err(Reason::CANCEL.into())),
            };
        }
        let count = self.stream.capacity().min(bytes.len());
        let is_end = last && count == bytes.len();
        self.stream
            .send_data(Bytes::copy_from_slice(&bytes[..count]), is_end)?;
        self.ended = is_end;
        Poll::Ready(Ok(count))
    }

    /// Ends the message, with `trailers` if there are any. No-op if it has ended.
    pub(super) fn finish(&mut self, trailers: &[u8]) -> io::Result<()> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        let sent = if trailers.is_empty() {
            self.stream.send_data(Bytes::new(), true)
        } else {
            self.stream.send_trailers(fields::trailers(trailers)?)
        };
        sent.map_err(io::Error::other)
    }
}
