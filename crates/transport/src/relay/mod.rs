//! One direction of an exchange: writes a head, then moves a body from a source to a sink.
//!
//! The body is decoded from the source's framing, transformed, copied to a tap, and framed for the sink. The relay
//! applies backpressure: it reads nothing more until the sink has accepted the bytes read before.

pub mod call_status;
pub mod splice;
pub mod tap;
#[cfg(test)]
mod tests;
pub mod transform;

use std::ops::Range;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use waypost_wire::body::BodyDecoder;
use waypost_wire::chunked::ChunkError;
use waypost_wire::framing::Framing;
use waypost_wire::{chunked, write};

use crate::buffer::Buffer;
use crate::link::Link;
use crate::relay::call_status::CallStatus;
use crate::relay::splice::{Pipe, Pipes, SPLICE_BYTES_MIN};
use crate::relay::tap::Tap;
use crate::relay::transform::{NotBase64, Transform};
use crate::socket::SystemSocket;

/// Size of the unwritten output at which encoding pauses.
const OUT_BYTES: usize = 64 << 10;

/// One direction of an exchange. A slow sink pauses reading from the source.
#[derive(Debug)]
pub struct Relay {
    decoder: BodyDecoder,
    form: BodyForm,
    /// The trailers as lines, if the sink frames bodies itself ([`BodyForm::Frames`]).
    trailers: Vec<u8>,
    /// Encoded output.
    out: Vec<u8>,
    /// Bytes of `out` already written: `written <= out.len()`.
    written: usize,
    /// True once the source's body has ended; the rest of the message is in `out` and `trailers`.
    complete: bool,
    /// True while `out` contains the message from its first byte, so that it can be sent again on another connection.
    retained: bool,
    /// Bytes of the body up to which it is retained too. `None` if only what leaves with the head is.
    retained_max: Option<usize>,
    /// Bytes of the body so far, before framing.
    body_bytes: u64,
    body_bytes_max: u64,
    /// The end that the relay is blocked on.
    pub blocked_on: BlockedOn,
    /// True if bytes moved since the last [`Relay::take_progress`].
    progressed: bool,
    tap: Tap,
    transform: Transform,
    /// Names of trailers that do not pass.
    withheld: Vec<Box<str>>,
    /// The pipe of a spliced body.
    pipe: Option<Pipe>,
}

/// The encoding of a body for its sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    /// Unframed: delimited by its length or the end of the connection.
    Plain,
    /// Chunked transfer coding (RFC 9112 §7.1).
    Chunks,
    /// Delimited by the protocol, as in HTTP/2, with trailers sent separately.
    Frames,
}

/// The end that a relay is blocked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockedOn {
    /// The source has no bytes to read.
    Source,
    /// The sink accepts no bytes.
    Sink,
}

/// A failure of a relay.
#[derive(Debug)]
pub enum RelayError {
    /// Reading failed.
    Source,
    /// The source ended before the body did.
    Ended,
    /// The body's coding or its trailers are malformed.
    Coding(CodingError),
    /// The body exceeds its maximum length.
    TooLarge,
    /// Writing failed.
    Sink,
}

/// The malformed part of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodingError {
    /// The chunked transfer coding, or the trailers.
    Chunks(ChunkError),
    /// The base64 of gRPC-Web-Text.
    Base64,
}

impl From<ChunkError> for RelayError {
    fn from(error: ChunkError) -> Self {
        Self::Coding(CodingError::Chunks(error))
    }
}

impl From<NotBase64> for RelayError {
    fn from(_: NotBase64) -> Self {
        Self::Coding(CodingError::Base64)
    }
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            decoder: BodyDecoder::Length(0),
            form: BodyForm::Plain,
            trailers: Vec::new(),
            out: Vec::new(),
            written: 0,
            complete: false,
            retained: true,
            retained_max: None,
            body_bytes: 0,
            body_bytes_max: u64::MAX,
            blocked_on: BlockedOn::Sink,
            progressed: false,
            tap: Tap::Closed,
            transform: Transform::None,
            withheld: Vec::new(),
            pipe: None,
        }
    }
}

impl Relay {
    /// Resets the relay for a new message. The caller writes the head into the returned output.
    pub fn begin(&mut self, body_bytes_max: Option<u64>) -> &mut Vec<u8> {
        *self = Self {
            out: std::mem::take(&mut self.out),
            body_bytes_max: body_bytes_max.unwrap_or(u64::MAX),
            ..Self::default()
        };
        self.out.clear();
        &mut self.out
    }

    /// Copies the body to a tap of up to `max` bytes. Must be called before [`Relay::begin_body`].
    pub fn open_tap(&mut self, max: usize) {
        self.tap = Tap::open(max);
    }

    /// Observes the status of a call. Must be called before [`Relay::begin_body`].
    pub fn observe_call(&mut self, status: CallStatus) {
        self.tap = Tap::CallStatus(status);
    }

    /// The observer of the body.
    pub fn tap(&self) -> &Tap {
        &self.tap
    }

    /// Takes the tap once it is final: the body has ended, or exceeds the tap's bound.
    pub fn take_tap(&mut self) -> Option<Tap> {
        let is_settled = self.complete || self.tap == Tap::Overflowed;
        is_settled.then(|| std::mem::take(&mut self.tap))
    }

    /// Sets the transform of the body. Must be called before [`Relay::begin_body`].
    pub fn set_transform(&mut self, transform: Transform) {
        self.transform = transform;
    }

    /// Leaves out trailers of these names. Must be called before [`Relay::begin_body`].
    pub fn withhold_trailers(&mut self, names: Vec<Box<str>>) {
        self.withheld = names;
    }

    /// Starts the body, with its framing at the source and its form at the sink. Bytes already in `source` are encoded
    /// at once, to be written together with the head.
    pub fn begin_body(
        &mut self,
        framing: Framing,
        form: BodyForm,
        source: &mut Buffer,
    ) -> Result<(), RelayError> {
        self.decoder = BodyDecoder::new(framing);
        self.form = form;
        self.encode(source)
    }

    /// Replaces a range of the head before a retry.
    pub fn replace_in_head(&mut self, range: Range<usize>, by: &[u8]) {
        self.out.splice(range, by.iter().copied());
    }

    /// Returns true if all output is written.
    pub fn is_flushed(&self) -> bool {
        self.written == self.out.len()
    }

    /// Returns true if the message is complete and retained, so that it can be sent again.
    pub fn can_restart(&self) -> bool {
        self.is_retained() && self.complete
    }

    /// Retains a body of up to `max` bytes, so that the message can be sent again. Must be called before
    /// [`Relay::begin_body`].
    pub fn retain_body(&mut self, max: usize) {
        self.retained_max = Some(max);
    }

    /// Returns true if the message so far is retained. It may be incomplete.
    pub fn is_retained(&self) -> bool {
        self.retained && self.retained_max.is_none_or(|max| self.body_bytes <= max as u64)
    }

    /// Returns true if the message is complete and written.
    pub fn is_finished(&self) -> bool {
        self.complete && self.written == self.out.len()
    }

    /// Returns true if nothing has been written yet.
    pub fn is_untouched(&self) -> bool {
        self.retained && self.written == 0
    }

    /// Starts writing the retained message again from its first byte.
    pub fn restart(&mut self) {
        self.written = 0;
    }

    /// The retained message from its first byte, and the trailers that the sink gets separately.
    pub fn message(&self) -> (&[u8], &[u8]) {
        (&self.out, &self.trailers)
    }

    /// Continues with `message` in place of the retained one, of which it is a copy with another head. `written` bytes of it
    /// are written.
    pub fn replace_message(&mut self, message: Vec<u8>, written: usize) {
        self.out = message;
        self.written = written;
    }

    /// The number of bytes of the body so far, before framing.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Returns true if bytes moved since the last call.
    pub fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progressed)
    }

    /// Discards output, frees memory beyond `keep` bytes, and returns the pipe.
    pub fn tidy(&mut self, keep: usize) {
        self.out.clear();
        self.out.shrink_to(keep);
        self.written = 0;
        self.pipe = None;
    }

    /// Writes all pending output and flushes the sink. Reads nothing.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, to: &mut Link) -> Poll<Result<(), RelayError>> {
        while self.written < self.out.len() {
            self.blocked_on = BlockedOn::Sink;
            let rest = &self.out[self.written..];
            let last = self.complete && self.trailers.is_empty();
            let count = ready!(to.poll_write(cx, rest, last)).map_err(|_| RelayError::Sink)?;
            if count == 0 {
                return Poll::Ready(Err(RelayError::Sink));
            }
            self.written += count;
            self.progressed = true;
        }
        let flushed = to.poll_flush(cx).map_err(|_| RelayError::Sink);
        if flushed.is_pending() {
            self.blocked_on = BlockedOn::Sink;
        }
        flushed
    }

    /// Moves bytes until the message is complete or one end blocks. Calls `before_last` at least once, before the last
    /// bytes are written, with the observer of the body. Large bodies may be spliced through one of the `pipes`.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Link,
        source: &mut Buffer,
        to: &mut Link,
        pipes: Option<&Rc<Pipes>>,
        mut before_last: impl FnMut(&Tap),
    ) -> Poll<Result<(), RelayError>> {
        loop {
            if self.complete {
                before_last(&self.tap);
            }
            ready!(self.poll_flush(cx, to))?;
            if self.complete {
                return Poll::Ready(to.finish(&self.trailers).map_err(|_| RelayError::Sink));
            }
            if !self.retains_more() {
                self.retained = false;
                self.out.clear();
                self.written = 0;
            }
            if !source.is_empty() {
                if !self.retained && self.passes_unchanged() {
                    let last = self.is_last(source, from);
                    if last {
                        before_last(&self.tap);
                    }
                    ready!(self.poll_write_through(cx, source, to, last))?;
                } else {
                    self.encode(source)?;
                    if source.is_empty() && self.has_ended_with(from) {
                        self.finish(from.trailers())?;
                    }
                }
                continue;
            }
            if let Some((from, to)) = self.spliceable(from, to, pipes) {
                ready!(self.poll_splice(cx, from, to, &mut before_last))?;
                continue;
            }
            self.blocked_on = BlockedOn::Source;
            // DATA frames fit into the initial buffer.
            if !from.frames_bodies() && !to.frames_bodies() {
                source.widen();
            }
            let count = ready!(from.poll_fill(cx, source)).map_err(|_| RelayError::Source)?;
            self.progressed = true;
            if count == 0 {
                if !self.decoder.may_end_by_close() {
                    return Poll::Ready(Err(RelayError::Ended));
                }
                self.finish(from.trailers())?;
            }
        }
    }

    /// Returns true if what is read next has to be retained behind what was.
    fn retains_more(&self) -> bool {
        // Tiny chunks take a multiple of their data.
        self.retained_max
            .is_some_and(|max| self.is_retained() && self.out.len() <= 2 * max + OUT_BYTES)
    }

    /// Returns the sockets if the rest of the body can be spliced and is large enough, or if splicing has begun. Takes
    /// a pipe if needed.
    fn spliceable<'s>(
        &mut self,
        from: &'s Link,
        to: &'s Link,
        pipes: Option<&Rc<Pipes>>,
    ) -> Option<(SystemSocket<'s>, SystemSocket<'s>)> {
        let (from, to) = (from.cleartext()?, to.cleartext()?);
        if self.pipe.is_none() {
            let needs_copy = self.retained || self.tap != Tap::Closed || !self.passes_unchanged();
            if needs_copy || self.decoder.unseen()? < SPLICE_BYTES_MIN {
                return None;
            }
            self.pipe = Some(pipes?.take()?);
        }
        Some((from, to))
    }

    /// Splices once: fills the pipe if it is empty, then drains it.
    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        from: SystemSocket<'_>,
        to: SystemSocket<'_>,
        before_last: &mut impl FnMut(&Tap),
    ) -> Poll<Result<(), RelayError>> {
        let (Some(pipe), Some(left)) = (&mut self.pipe, self.decoder.unseen()) else {
            return Poll::Ready(Ok(()));
        };
        if pipe.filled() == 0 {
            self.blocked_on = BlockedOn::Source;
            let count = ready!(pipe.poll_fill(cx, from, left)).map_err(|_| RelayError::Source)?;
            self.progressed = true;
            if count == 0 {
                if !self.decoder.may_end_by_close() {
                    return Poll::Ready(Err(RelayError::Ended));
                }
                return Poll::Ready(self.finish(b""));
            }
        }
        if pipe.filled() as u64 == left {
            before_last(&self.tap);
        }
        self.blocked_on = BlockedOn::Sink;
        let count = ready!(pipe.poll_drain(cx, to)).map_err(|_| RelayError::Sink)?;
        self.progressed = true;
        self.decoder.skip(count as u64);
        self.count(count)?;
        if self.decoder.is_done() {
            self.finish(b"")?;
        }
        Poll::Ready(Ok(()))
    }

    /// Returns true if the body ends with its source, and the source has ended.
    fn has_ended_with(&self, from: &Link) -> bool {
        self.decoder.may_end_by_close() && from.has_ended()
    }

    /// Returns true if the message ends with the bytes in `source`.
    fn is_last(&self, source: &Buffer, from: &Link) -> bool {
        match self.decoder {
            BodyDecoder::Length(left) => left <= source.filled().len() as u64,
            BodyDecoder::Chunked(_) => false,
            BodyDecoder::UntilClose => from.has_ended() && from.trailers().is_empty(),
        }
    }

    /// Returns true if the rest of the body needs no decoding, encoding or transform, and can be written without a
    /// copy.
    fn passes_unchanged(&self) -> bool {
        self.form != BodyForm::Chunks
            && !matches!(self.decoder, BodyDecoder::Chunked(_))
            && self.transform == Transform::None
            && !self.tap.precedes_writes()
    }

    /// Writes directly from `source`, without a copy to `out`.
    fn poll_write_through(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Buffer,
        to: &mut Link,
        last: bool,
    ) -> Poll<Result<(), RelayError>> {
        let data = self
            .decoder
            .clone()
            .decode(source.filled())
            .map_err(RelayError::from)?
            .data;
        self.blocked_on = BlockedOn::Sink;
        let count = ready!(to.poll_write(cx, &source.filled()[data], last)).map_err(|_| RelayError::Sink)?;
        if count == 0 {
            return Poll::Ready(Err(RelayError::Sink));
        }
        self.decoder
            .decode(&source.filled()[..count])
            .map_err(RelayError::from)?;
        self.tap.observe(&source.filled()[..count]);
        source.consume(count);
        self.count(count)?;
        self.progressed = true;
        if self.decoder.is_done() {
            self.finish(b"")?;
        }
        Poll::Ready(Ok(()))
    }

    /// Encodes bytes of the body from `source` into `out`.
    fn encode(&mut self, source: &mut Buffer) -> Result<(), RelayError> {
        while !self.decoder.is_done() && !source.is_empty() && self.out.len() - self.written < OUT_BYTES {
            let piece = self.decoder.decode(source.filled())?;
            let data = &source.filled()[piece.data];
            let count = data.len();
            let transformed = if self.transform.keeps_bytes() {
                None
            } else {
                let mut transformed = Vec::new();
                self.transform.apply(data, &mut transformed)?;
                Some(transformed)
            };
            let data = transformed.as_deref().unwrap_or(data);
            self.tap.observe(data);
            self.write_data(data);
            self.count(count)?;
            source.consume(piece.consumed);
        }
        if self.decoder.is_done() {
            self.finish(b"")?;
        }
        Ok(())
    }

    /// Appends data of the body to the output.
    fn write_data(&mut self, data: &[u8]) {
        if self.form == BodyForm::Chunks {
            write::chunk(&mut self.out, data);
        } else {
            self.out.extend_from_slice(data);
        }
    }

    /// Adds to the length of the body.
    fn count(&mut self, bytes: usize) -> Result<(), RelayError> {
        self.body_bytes += bytes as u64;
        if self.body_bytes > self.body_bytes_max {
            return Err(RelayError::TooLarge);
        }
        Ok(())
    }

    /// Appends the end of the body to the output. `trailers` are the source's, if it keeps them separate from the body.
    fn finish(&mut self, trailers: &[u8]) -> Result<(), RelayError> {
        if std::mem::replace(&mut self.complete, true) {
            return Ok(());
        }
        let chunked_trailers;
        let mut trailers = trailers;
        if let BodyDecoder::Chunked(decoder) = &self.decoder {
            chunked_trailers = decoder.trailers().to_vec();
            trailers = &chunked_trailers;
        }
        self.tap.observe_trailers(trailers);
        if self.transform != Transform::None {
            let mut rest = Vec::new();
            trailers = self.transform.finish(trailers, &mut rest)?;
            self.write_data(&rest);
        }
        if self.form == BodyForm::Plain {
            return Ok(());
        }
        let is_chunked = self.form == BodyForm::Chunks;
        if is_chunked {
            self.out.extend_from_slice(b"0\r\n");
        }
        let out = if is_chunked {
            &mut self.out
        } else {
            &mut self.trailers
        };
        let withheld = &self.withheld;
        let is_withheld = |name: &[u8]| {
            let mut names = withheld.iter();
            names.any(|withheld| name.eq_ignore_ascii_case(withheld.as_bytes()))
        };
        chunked::write_trailers(trailers, is_withheld, out)?;
        if is_chunked {
            self.out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }
}
