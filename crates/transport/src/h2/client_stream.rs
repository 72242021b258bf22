//! An HTTP/2 stream opened by the gateway at a service.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::Reason;
use h2::client::{ResponseFuture, SendRequest};
use waypost_wire::tls_alert::TlsAlert;

use crate::buffer::Buffer;
use crate::h2::body::{Incoming, Outgoing};
use crate::h2::fields;
use crate::h2::stream_count::{StreamSlot, StreamUse};

/// A client stream: a request to a service, and its response.
pub struct ClientStream {
    sender: SendRequest<Bytes>,
    /// `https` or `http`.
    scheme: &'static str,
    outgoing: Option<Outgoing>,
    response: Option<ResponseFuture>,
    incoming: Option<Incoming>,
    /// The head of a response whose announced end has not come; empty if there is none.
    held: Vec<u8>,
    /// True if the service did not process the request (RFC 9113 §8.7).
    unprocessed: bool,
    /// True if the service refused the stream, on a connection that takes others.
    refused: bool,
    /// True if the request could not be sent.
    is_broken: bool,
    /// True if the service violated the protocol.
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
    /// Creates a stream that is opened when a head is written.
    pub(super) fn new(sender: SendRequest<Bytes>, scheme: &'static str, slot: StreamSlot) -> Self {
        Self {
            sender,
            scheme,
            outgoing: None,
            response: None,
            incoming: None,
            held: Vec::new(),
            unprocessed: false,
            refused: false,
            is_broken: false,
            malformed: false,
            slot,
        }
    }

    /// The stream's use of its connection.
    pub fn connection_use(&self) -> StreamUse {
        self.slot.connection_use()
    }

    pub(crate) fn is_unprocessed(&self) -> bool {
        self.unprocessed
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.refused
    }

    pub(crate) fn is_malformed(&self) -> bool {
        self.malformed
    }

    pub(crate) fn breaks_length(&self) -> bool {
        self.incoming.as_ref().is_some_and(Incoming::breaks_length)
    }

    pub(crate) fn alert(&self) -> Option<TlsAlert> {
        self.slot.alert()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.incoming.as_ref().is_some_and(Incoming::has_ended)
    }

    pub(crate) fn trailers(&self) -> &[u8] {
        self.incoming.as_ref().map_or(b"", |incoming| incoming.trailers())
    }

    /// Records the kind of a failure: unprocessed (REFUSED_STREAM or a graceful GOAWAY), malformed, or other.
    fn failed(&mut self, error: h2::Error) -> io::Error {
        let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        // A graceful GOAWAY fails only the streams that the service did not process; the others fail with the
        // connection.
        let went_away = error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR);
        self.refused |= refused;
        self.unprocessed |= refused || went_away;
        self.malformed |= error.is_library() || (error.is_go_away() && !error.is_remote());
        if went_away {
            self.slot.close_connection();
        }
        io::Error::other(error)
    }

    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<io::Result<usize>> {
        if let Some(incoming) = &mut self.incoming {
            if let Err(error) = ready!(poll_body(cx, incoming, &self.slot)) {
                return Poll::Ready(Err(self.failed(error)));
            }
            if !self.held.is_empty() {
                let head = std::mem::take(&mut self.held);
                buffer.append(&head);
                return Poll::Ready(Ok(head.len()));
            }
            let filled = ready!(incoming.poll_fill(cx, buffer));
            return Poll::Ready(filled.map_err(|error| self.failed(error)));
        }
        let Some(response) = &mut self.response else {
            // The request is not sent yet, or sending it failed.
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
                let incoming = self.incoming.insert(Incoming::new(body, &response.headers, None));
                self.response = None;
                // A response that announces no body must not have one.
                if incoming.awaits_end() {
                    self.held = head;
                    return self.poll_fill(cx, buffer);
                }
                buffer.append(&head);
                Poll::Ready(Ok(head.len()))
            }
            Err(error) => Poll::Ready(Err(self.failed(error))),
        }
    }

    /// Polls for data, the end of the body or a failure; may report false positives.
    pub(crate) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.incoming {
            Some(incoming) => poll_body(cx, incoming, &self.slot).map(|_| ()),
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
            return Poll::Ready(Err(self.not_opened(error)));
        }
        let request = fields::request(bytes, self.scheme);
        self.is_broken = request.is_err();
        let (request, length) = request?;
        let is_end = last && length == bytes.len();
        match self.sender.send_request(request, is_end) {
            Ok((response, stream)) => {
                self.slot.begin(response.stream_id().as_u32());
                self.response = Some(response);
                self.outgoing = Some(Outgoing::new(stream, is_end));
                Poll::Ready(Ok(length))
            }
            Err(error) => Poll::Ready(Err(self.not_opened(error))),
        }
    }

    /// Records that no stream could be opened. Prevents further streams on the connection.
    fn not_opened(&mut self, error: h2::Error) -> io::Error {
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

/// Polls for data or the end of a body. When the connection ends, `h2` fails a stream behind the data that it received,
/// even if the body had ended before.
fn poll_body(
    cx: &mut Context<'_>,
    incoming: &mut Incoming,
    slot: &StreamSlot,
) -> Poll<Result<(), h2::Error>> {
    match ready!(incoming.poll_ready(cx)) {
        Err(error) if error.is_io() && slot.has_ended() => {
            incoming.end();
            Poll::Ready(Ok(()))
        }
        polled => Poll::Ready(polled),
    }
}
