//! HTTP/2 streams whose heads or trailers are malformed in a way that the library hides (RFC 9113 §8.1, §8.3.1).

use crate::hpack::FieldBlocks;

/// Maximum size of a frame; the default of RFC 9113 §6.5.2, which the gateway leaves.
const FRAME_BYTES_MAX: usize = 16 << 10;
/// Maximum malformed streams that are not asked about.
const MALFORMED_MAX: usize = 200;

const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// The malformed streams of a connection.
#[derive(Debug, Default)]
pub(crate) struct MalformedStreams {
    blocks: FieldBlocks,
    /// The payload of a frame that has come in part.
    payload: Vec<u8>,
    /// The field block of a head without its end.
    block: Vec<u8>,
    /// The newest stream. HEADERS of another one are trailers.
    newest: u32,
    streams: Vec<u32>,
    /// True if a block could not be decoded, so that nothing is known of later ones.
    is_lost: bool,
}

/// The header of a HEADERS or CONTINUATION frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadFrame {
    /// False for CONTINUATION.
    pub(crate) is_first: bool,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) length: usize,
}

impl MalformedStreams {
    /// Takes the next bytes of a frame's payload, which end it if `is_end`. Returns false if there are too many
    /// malformed streams.
    pub(crate) fn take(&mut self, frame: HeadFrame, bytes: &[u8], is_end: bool) -> bool {
        if self.is_lost || frame.length > FRAME_BYTES_MAX {
            self.is_lost = true;
            return true;
        }
        if is_end && self.payload.is_empty() {
            self.end_frame(frame, bytes);
        } else {
            self.payload.extend_from_slice(bytes);
            if is_end {
                let payload = std::mem::take(&mut self.payload);
                self.end_frame(frame, &payload);
            }
        }
        self.streams.len() <= MALFORMED_MAX
    }

    fn end_frame(&mut self, frame: HeadFrame, payload: &[u8]) {
        let fragment = match frame.is_first {
            true => fragment(frame, payload),
            false => Some(payload),
        };
        if frame.is_first {
            self.block.clear();
        }
        let Some(fragment) = fragment else {
            self.is_lost = true;
            return;
        };
        let findings = if frame.flags & END_HEADERS == 0 {
            self.block.extend_from_slice(fragment);
            return;
        } else if self.block.is_empty() {
            self.blocks.walk(fragment)
        } else {
            let mut block = std::mem::take(&mut self.block);
            block.extend_from_slice(fragment);
            self.blocks.walk(&block)
        };
        let are_trailers = frame.stream <= self.newest;
        self.newest = self.newest.max(frame.stream);
        match findings {
            Some(found) if found.has_fragment || (are_trailers && found.has_pseudo) => {
                self.streams.push(frame.stream);
            }
            Some(_) => {}
            None => self.is_lost = true,
        }
    }

    pub(crate) fn contains(&self, stream: u32) -> bool {
        self.is_lost || self.streams.contains(&stream)
    }

    pub(crate) fn remove(&mut self, stream: u32) {
        if !self.streams.is_empty() {
            self.streams.retain(|other| *other != stream);
        }
    }
}

/// The field block fragment in the payload of a HEADERS frame (RFC 9113 §6.2). `None` where the library does not decode
/// it either.
fn fragment(frame: HeadFrame, mut payload: &[u8]) -> Option<&[u8]> {
    let mut padding = 0;
    if frame.flags & PADDED != 0 {
        let (&length, rest) = payload.split_first()?;
        (padding, payload) = (usize::from(length), rest);
    }
    if frame.flags & PRIORITY != 0 {
        let (dependency, rest) = payload.split_first_chunk::<5>()?;
        let [a, b, c, d, _] = *dependency;
        if u32::from_be_bytes([a, b, c, d]) & (u32::MAX >> 1) == frame.stream {
            return None;
        }
        payload = rest;
    }
    payload.get(..payload.len().checked_sub(padding)?)
}
