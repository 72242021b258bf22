//! An HTTP/2 stream opened by a client.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::HeaderMap;

use crate::buffer::Buffer;
use crate::h2::body::{Incoming, Outgoing};
use crate::h2::fields;
use crate::h2::guard::FrameGuard;

/// A server stream: the body of a client's request, and the response.
#[derive(Debug)]
pub struct ServerStream {
    incoming: Incoming,
    respond: SendResponse<Bytes>,
    /// `None` until the final head is sent.
    outgoing: Option<Outgoing>,
}

impl ServerStream {
    /// Creates the stream of a request with these fields.
    pub fn new(
        fields: &HeaderMap,
        body: RecvStream,
        respond: SendResponse<Bytes>,
        guard: Rc<FrameGuard>,
    ) -> Self {
        Self {
            incoming: Incoming::new(body, fields, Some(guard)),
            respond,
            outgoing: None,
        }
    }

    /// Returns true if the request, as far as it came, is malformed in a way that `h2` hides.
    pub fn is_malformed(&self) -> bool {
        self.incoming.is_malformed()
    }

    /// Polls for a part of the body that can be relayed, or its end.
    ///
    /// # Errors
    /// When the request is malformed, or its stream was reset.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        self.incoming.poll_ready(cx)
    }

    /// Returns true if the request body has ended and was read completely.
    pub fn has_ended(&self) -> bool {
        self.incoming.has_ended()
    }

    pub(crate) fn trailers(&self) -> &[u8] {
        self.incoming.trailers()
    }

    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<io::Result<usize>> {
        self.incoming.poll_fill(cx, buffer).map_err(io::Error::other)
    }

    /// Polls for data, the end of the body or a failure.
    pub(crate) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.incoming.poll_ready(cx).map(|_| ())
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        last: bool,
    ) -> Poll<io::Result<usize>> {
        if let Some(outgoing) = &mut self.outgoing {
            return outgoing.poll_write(cx, bytes, last).map_err(io::Error::other);
        }
        Poll::Ready(self.send_head(bytes, last))
    }

    /// Sends the head at the start of `bytes`. Returns its length.
    fn send_head(&mut self, bytes: &[u8], last: bool) -> io::Result<usize> {
        let (response, length) = fields::response(bytes)?;
        if response.status().is_informational() {
            self.respond
                .send_informational(response)
                .map_err(io::Error::other)?;
            return Ok(length);
        }
        let is_end = last && length == bytes.len();
        let stream = self
            .respond
            .send_response(response, is_end)
            .map_err(io::Error::other)?;
        self.outgoing = Some(Outgoing::new(stream, is_end));
        Ok(length)
    }

    pub(crate) fn finish(&mut self, trailers: &[u8]) -> io::Result<()> {
        match &mut self.outgoing {
            Some(outgoing) => outgoing.finish(trailers),
            None => Ok(()),
        }
    }

    /// Discards a part of the request body. Returns its length; 0 at the end of the body.
    ///
    /// # Errors
    /// When the stream was reset.
    pub fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.incoming.poll_discard(cx).map_err(io::Error::other)
    }

    /// Polls for a reset by the client, or the loss of the connection.
    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.outgoing {
            Some(outgoing) => outgoing.stream.poll_reset(cx).map(|_| ()),
            None => self.respond.poll_reset(cx).map(|_| ()),
        }
    }

    pub(crate) fn abort(&mut self) {
        self.reset(match self.is_malformed() {
            true => Reason::PROTOCOL_ERROR,
            false => Reason::INTERNAL_ERROR,
        });
    }

    /// Resets the stream.
    pub fn reset(&mut self, reason: Reason) {
        match &mut self.outgoing {
            Some(outgoing) => outgoing.stream.send_reset(reason),
            None => self.respond.send_reset(reason),
        }
    }
}
