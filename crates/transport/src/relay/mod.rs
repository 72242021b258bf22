//! One direction of an exchange: a head that is written first, then a body that passes through.
//!
//! A body is decoded from its source's framing, transformed, copied to a tap, and framed for its sink. Nothing is read
//! while the sink does not accept what was read before.

pub mod splice;
pub mod tap;
#[cfg(test)]
mod tests;
pub mod transform;

use std::ops::Range;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;
use waypost_wire::body::BodyDecoder;
use waypost_wire::framing::Framing;
use waypost_wire::{chunked, write};

use crate::buffer::Buffer;
use crate::link::Link;
use crate::relay::splice::{Pipe, Pipes, WORTH_BYTES};
use crate::relay::tap::Tap;
use crate::relay::transform::Transform;

/// How much is gathered before it is written.
const GATHER_BYTES: usize = 64 << 10;

/// How much of a request is held, beyond which it cannot be asked again.
const HELD_BYTES: usize = 32 << 10;

/// One direction of an exchange. Reading waits for writing: a slow sink stops the reading from its source.
#[derive(Debug)]
pub struct Relay {
    decoder: BodyDecoder,
    form: BodyForm,
    /// The trailers, as lines, where the sink frames bodies itself.
    trailers: Vec<u8>,
    /// What is to be written, and was: written <= out.len().
    out: Vec<u8>,
    written: usize,
    /// Whether everything, the end of the body included, is in `out`.
    complete: bool,
    /// Whether `out` still holds all that came, so that it can be written to another connection.
    whole: bool,
    /// Whether it is to do so beyond the head, as long as the body is short.
    holds: bool,
    /// Bytes of body that came through.
    body_bytes: u64,
    body_bytes_max: u64,
    /// What the relay waits for.
    pub waits_for: Waits,
    /// Whether bytes moved since somebody asked.
    progressed: bool,
    tap: Tap,
    transform: Transform,
    /// What a large body passes through.
    pipe: Option<Pipe>,
}

/// How a body leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    /// Byte for byte: its length, or the end of the connection, says where it ends.
    Plain,
    /// In chunks.
    Chunks,
    /// Byte for byte, in the frames of its protocol, which have room for trailers.
    Frames,
}

/// What a relay waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// Bytes from the source.
    Source,
    /// The sink, to accept bytes.
    Sink,
}

/// Why a relay cannot go on.
#[derive(Debug)]
pub enum RelayError {
    /// Reading failed.
    Source,
    /// The source ended before the body did.
    Ended,
    /// The body breaks its coding.
    Coding,
    /// The body is longer than allowed.
    TooLarge,
    /// Writing failed.
    Sink,
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
            whole: true,
            holds: false,
            body_bytes: 0,
            body_bytes_max: u64::MAX,
            waits_for: Waits::Sink,
            progressed: false,
            tap: Tap::Closed,
            transform: Transform::None,
            pipe: None,
        }
    }
}

impl Relay {
    /// Begins anew; the head is then written into what is returned.
    pub fn begin(&mut self, body_bytes_max: Option<u64>) -> &mut Vec<u8> {
        *self = Self {
            out: std::mem::take(&mut self.out),
            body_bytes_max: body_bytes_max.unwrap_or(u64::MAX),
            ..Self::default()
        };
        self.out.clear();
        &mut self.out
    }

    /// Has the body copied, up to `max` bytes. To be said before it begins.
    pub fn open_tap(&mut self, max: usize) {
        self.tap = Tap::open(max);
    }

    /// The copy, once all of the body has come, or more than may be copied.
    pub fn take_tap(&mut self) -> Option<Tap> {
        let is_settled = self.complete || self.tap == Tap::Overflowed;
        is_settled.then(|| std::mem::take(&mut self.tap))
    }

    /// Has the body written otherwise than it came. To be said before it begins.
    pub fn set_transform(&mut self, transform: Transform) {
        self.transform = transform;
    }

    /// Says how the body is framed and in which form it leaves, and takes what is there of it already, so that it
    /// leaves with the head.
    pub fn begin_body(
        &mut self,
        framing: Framing,
        form: BodyForm,
        source: &mut Buffer,
    ) -> Result<(), RelayError> {
        self.decoder = BodyDecoder::new(framing);
        self.form = form;
        self.gather(source)
    }

    /// Replaces a part of what is written first, before it is written again.
    pub fn replace_in_head(&mut self, range: Range<usize>, by: &[u8]) {
        self.out.splice(range, by.iter().copied());
    }

    /// Whether nothing waits to be written.
    pub fn is_flushed(&self) -> bool {
        self.written == self.out.len()
    }

    /// Whether everything is in memory still, so that it can be written again.
    pub fn can_restart(&self) -> bool {
        self.whole && self.complete
    }

    /// Has a short body be held, so that all of it can be written again.
    pub fn hold(&mut self) {
        self.holds = true;
    }

    /// Whether all that came is in memory still. More may come.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether all there is has been written.
    pub fn is_finished(&self) -> bool {
        self.complete && self.written == self.out.len()
    }

    /// Whether nothing at all has been written.
    pub fn is_untouched(&self) -> bool {
        self.whole && self.written == 0
    }

    /// Has everything written again.
    pub fn restart(&mut self) {
        self.written = 0;
    }

    /// Bytes of body that came through.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Whether bytes moved since the last time this was asked.
    pub fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progressed)
    }

    /// Gives back memory beyond `keep`.
    pub fn tidy(&mut self, keep: usize) {
        self.out.clear();
        self.out.shrink_to(keep);
        self.written = 0;
        self.pipe = None;
    }

    /// Writes what is to be written, and no more.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, to: &mut Link) -> Poll<Result<(), RelayError>> {
        while self.written < self.out.len() {
            self.waits_for = Waits::Sink;
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
            self.waits_for = Waits::Sink;
        }
        flushed
    }

    /// Moves bytes until all have moved, or nothing moves. `before_last` is called before the last of them is
    /// written, at least once. Large bodies may pass through one of the `pipes`, if there are any.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Link,
        source: &mut Buffer,
        to: &mut Link,
        pipes: Option<&Rc<Pipes>>,
        mut before_last: impl FnMut(),
    ) -> Poll<Result<(), RelayError>> {
        loop {
            if self.complete {
                before_last();
            }
            ready!(self.poll_flush(cx, to))?;
            if self.complete {
                return Poll::Ready(to.finish(&self.trailers).map_err(|_| RelayError::Sink));
            }
            if !self.holds || self.out.len() > HELD_BYTES {
                self.whole = false;
                self.out.clear();
                self.written = 0;
            }
            if !source.is_empty() {
                if !self.whole && self.passes_unchanged() {
                    let last = self.is_last(source, from);
                    if last {
                        before_last();
                    }
                    ready!(self.poll_pass(cx, source, to, last))?;
                } else {
                    self.gather(source)?;
                    if source.is_empty() && self.ends_with(from) {
                        self.finish(from.trailers())?;
                    }
                }
                continue;
            }
            if let Some((from, to)) = self.takes_pipe(from, to, pipes) {
                ready!(self.poll_splice(cx, from, to, &mut before_last))?;
                continue;
            }
            self.waits_for = Waits::Source;
            // Frames are no larger than what a buffer has from the start.
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

    /// The sockets, if what is left of the body may pass through a pipe, and is worth it. One that has begun to goes on.
    fn takes_pipe<'s>(
        &mut self,
        from: &'s Link,
        to: &'s Link,
        pipes: Option<&Rc<Pipes>>,
    ) -> Option<(&'s TcpStream, &'s TcpStream)> {
        let (from, to) = (from.clear_socket()?, to.clear_socket()?);
        if self.pipe.is_none() {
            let is_seen = self.whole || self.tap != Tap::Closed || !self.passes_unchanged();
            if is_seen || self.decoder.unseen()? < WORTH_BYTES {
                return None;
            }
            self.pipe = Some(pipes?.take()?);
        }
        Some((from, to))
    }

    /// Moves what the pipe takes.
    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
        to: &TcpStream,
        before_last: &mut impl FnMut(),
    ) -> Poll<Result<(), RelayError>> {
        let (Some(pipe), Some(left)) = (&mut self.pipe, self.decoder.unseen()) else {
            return Poll::Ready(Ok(()));
        };
        if pipe.filled() == 0 {
            self.waits_for = Waits::Source;
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
            before_last();
        }
        self.waits_for = Waits::Sink;
        let count = ready!(pipe.poll_drain(cx, to)).map_err(|_| RelayError::Sink)?;
        self.progressed = true;
        self.decoder.skip(count as u64);
        self.count(count)?;
        if self.decoder.is_done() {
            self.finish(b"")?;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the body ends where its source ends, and that has.
    fn ends_with(&self, from: &Link) -> bool {
        self.decoder.may_end_by_close() && from.has_ended()
    }

    /// Whether what `source` holds ends the whole message.
    fn is_last(&self, source: &Buffer, from: &Link) -> bool {
        match self.decoder {
            BodyDecoder::Length(left) => left <= source.filled().len() as u64,
            BodyDecoder::Chunked(_) => false,
            BodyDecoder::UntilClose => from.has_ended() && from.trailers().is_empty(),
        }
    }

    /// Whether the body's bytes leave as they came, so that they need not be copied.
    fn passes_unchanged(&self) -> bool {
        self.form != BodyForm::Chunks
            && !matches!(self.decoder, BodyDecoder::Chunked(_))
            && self.transform == Transform::None
    }

    /// Writes from `source` itself.
    fn poll_pass(
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
            .map_err(|_| RelayError::Coding)?
            .data;
        self.waits_for = Waits::Sink;
        let count = ready!(to.poll_write(cx, &source.filled()[data], last)).map_err(|_| RelayError::Sink)?;
        if count == 0 {
            return Poll::Ready(Err(RelayError::Sink));
        }
        self.decoder
            .decode(&source.filled()[..count])
            .map_err(|_| RelayError::Coding)?;
        self.tap.copy(&source.filled()[..count]);
        source.consume(count);
        self.count(count)?;
        self.progressed = true;
        if self.decoder.is_done() {
            self.finish(b"")?;
        }
        Poll::Ready(Ok(()))
    }

    /// Moves what `source` has of the body to `out`, in the form in which it leaves.
    fn gather(&mut self, source: &mut Buffer) -> Result<(), RelayError> {
        while !self.decoder.is_done() && !source.is_empty() && self.out.len() < GATHER_BYTES {
            let piece = self
                .decoder
                .decode(source.filled())
                .map_err(|_| RelayError::Coding)?;
            let data = &source.filled()[piece.data];
            let count = data.len();
            let transformed = if self.transform.keeps_bytes() {
                None
            } else {
                let mut transformed = Vec::new();
                self.transform
                    .apply(data, &mut transformed)
                    .map_err(|_| RelayError::Coding)?;
                Some(transformed)
            };
            let data = transformed.as_deref().unwrap_or(data);
            self.tap.copy(data);
            self.write_data(data);
            self.count(count)?;
            source.consume(piece.consumed);
        }
        if self.decoder.is_done() {
            self.finish(b"")?;
        }
        Ok(())
    }

    /// Puts data of the body behind what is to be written.
    fn write_data(&mut self, data: &[u8]) {
        if self.form == BodyForm::Chunks {
            write::chunk(&mut self.out, data);
        } else {
            self.out.extend_from_slice(data);
        }
    }

    fn count(&mut self, bytes: usize) -> Result<(), RelayError> {
        self.body_bytes += bytes as u64;
        if self.body_bytes > self.body_bytes_max {
            return Err(RelayError::TooLarge);
        }
        Ok(())
    }

    /// Puts the end of the body behind what is to be written. `trailers` are those that the source keeps apart from the
    /// body.
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
        if self.transform != Transform::None {
            let mut rest = Vec::new();
            trailers = self
                .transform
                .finish(trailers, &mut rest)
                .map_err(|_| RelayError::Coding)?;
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
        chunked::write_trailers(trailers, out).map_err(|_| RelayError::Coding)?;
        if is_chunked {
            self.out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }
}
