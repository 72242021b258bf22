//! A stream of HTTP/2 that the gateway opens at a service.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::Reason;
use h2::client::{ResponseFuture, SendRequest};

use crate::buffer::Buffer;
use crate::h2::body::{Incoming, Outgoing};
use crate::h2::fields;
use crate::h2::stream_count::StreamSlot;

/// A stream at a service: a request, and the answer to it.
pub struct ClientStream {
    sender: SendRequest<Bytes>,
    /// `https` or `http`.
    scheme: &'static str,
    outgoing: Option<Outgoing>,
    response: Option<ResponseFuture>,
    incoming: Option<Incoming>,
    unprocessed: bool,
    /// Whether nothing can be asked.
    is_broken: bool,
    /// Whether what came is no answer.
    malformed: bool,
    slot: StreamSlot,
}

impl std::fmt::Debug for ClientStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientStream")
            .field("sent", &self.outgoing.is_some())
            .finish_non_exhaustive()
    }
}

impl ClientStream {
    /// A stream that is opened once a head is written.
    pub(super) fn new(sender: SendRequest<Bytes>, scheme: &'static str, slot: StreamSlot) -> Self {
        Self {
            sender,
            scheme,
            outgoing: None,
            response: None,
            incoming: None,
            unprocessed: false,
            is_broken: false,
            malformed: false,
            slot,
        }
    }

    pub(crate) fn is_unprocessed(&self) -> bool {
        self.unprocessed
    }

    pub(crate) fn is_malformed(&self) -> bool {
        self.malformed
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.incoming.as_ref().is_some_and(Incoming::has_ended)
    }

    pub(crate) fn trailers(&self) -> &[u8] {
        self.incoming.as_ref().map_or(b"", |incoming| incoming.trailers())
    }

    /// Notes whether a failed stream was not even begun, which the service says by refusing it or by going away.
    fn failed(&mut self, error: h2::Error) -> io::Error {
        let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        // Only streams that the service has not looked at end so; the others fail when the connection does.
        let went_away = error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR);
        self.unprocessed |= refused || went_away;
        self.malformed |= error.is_library() || (error.is_go_away() && !error.is_remote());
        if went_away {
            self.slot.close_connection();
        }
        io::Error::other(error)
    }

    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<io::Result<usize>> {
        if let Some(incoming) = &mut self.incoming {
            let filled = ready!(incoming.poll_fill(cx, buffer));
            return Poll::Ready(filled.map_err(|error| self.failed(error)));
        }
        let Some(response) = &mut self.response else {
            // Nothing has been asked yet, or it could not be.
            return match self.is_broken {
                true => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
                false => Poll::Pending,
            };
        };
        let mut head = Vec::new();
        match response.poll_informational(cx) {
            Poll::Ready(Some(Ok(interim))) => {
                fields::write_response(interim.status(), interim.headers(), &mut head)?;
                buffer.append(&head);
                return Poll::Ready(Ok(head.len()));
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(self.failed(error))),
            Poll::Ready(None) | Poll::Pending => {}
        }
        match ready!(Pin::new(response).poll(cx)) {
            Ok(response) => {
                let (response, body) = response.into_parts();
                fields::write_response(response.status, &response.headers, &mut head)?;
                buffer.append(&head);
                self.incoming = Some(Incoming::new(body));
                self.response = None;
                Poll::Ready(Ok(head.len()))
            }
            Err(error) => Poll::Ready(Err(self.failed(error))),
        }
    }

    /// Waits until there may be something to read, its end, or a failure that reading will tell.
    pub(crate) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.incoming {
            Some(incoming) => incoming.poll_ready(cx).map(|_| ()),
            None => Poll::Ready(()),
        }
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        last: bool,
    ) -> Poll<io::Result<usize>> {
        if let Some(outgoing) = &mut self.outgoing {
            let written = ready!(outgoing.poll_write(cx, bytes, last));
            return Poll::Ready(written.map_err(|error| self.failed(error)));
        }
        if let Err(error) = ready!(self.sender.poll_ready(cx)) {
            return Poll::Ready(Err(self.not_begun(error)));
        }
        let request = fields::request(bytes, self.scheme);
        self.is_broken = request.is_err();
        let (request, length) = request?;
        let is_end = last && length == bytes.len();
        match self.sender.send_request(request, is_end) {
            Ok((response, stream)) => {
                self.response = Some(response);
                self.outgoing = Some(Outgoing::new(stream, is_end));
                Poll::Ready(Ok(length))
            }
            Err(error) => Poll::Ready(Err(self.not_begun(error))),
        }
    }

    /// Notes that nothing was sent at all: the connection takes no further streams.
    fn not_begun(&mut self, error: h2::Error) -> io::Error {
        self.unprocessed = true;
        self.is_broken = true;
        self.slot.close_connection();
        io::Error::other(error)
    }

    pub(crate) fn finish(&mut self, trailers: &[u8]) -> io::Result<()> {
        match &mut self.outgoing {
            Some(outgoing) => outgoing.finish(trailers),
            None => Ok(()),
        }
    }

    pub(crate) fn abort(&mut self) {
        if let Some(outgoing) = &mut self.outgoing {
            outgoing.stream.send_reset(Reason::CANCEL);
        }
    }
}
