//! Watches HTTP/2 frames as their bytes pass to the library that parses them.
//!
//! A peer can flood a connection with frames that are valid on their own (RFC 9113 §10.5): resets, pings, settings,
//! empty data, header blocks without an end. They are counted, and a peer that exceeds a budget is reported. Faults of
//! field blocks that the library hides make a stream malformed.

use std::time::Duration;

use crate::malformed::{HeadFrame, MalformedStreams};

/// Maximum CONTINUATION frames of one head.
pub const CONTINUATIONS_MAX: u32 = 10;
/// Maximum burst of useless frames.
pub const USELESS_BURST: u32 = 2000;
/// Sustained rate of useless frames, per second.
pub const USELESS_RATE: u32 = 1000;
/// Maximum burst of stream resets.
pub const RESETS_BURST: u32 = 500;
/// Sustained rate of stream resets, per second.
pub const RESETS_RATE: u32 = 100;

/// Minimum increment of a WINDOW_UPDATE that is not useless.
const INCREMENT_MIN: u32 = 1024;

/// Length of the connection preface (RFC 9113 §3.4).
const PREFACE_BYTES: usize = 24;
/// Length of a frame header: length, type, flags and stream (RFC 9113 §4.1).
const HEADER_BYTES: usize = 9;
/// Bytes of a payload that are examined.
const EXAMINED_BYTES: usize = 4;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// Frame counters of one connection.
#[derive(Debug)]
pub struct FrameBudget {
    /// Bytes of the preface that have not arrived.
    preface_left: usize,
    header: [u8; HEADER_BYTES],
    header_read: usize,
    payload_left: usize,
    payload: [u8; EXAMINED_BYTES],
    payload_read: usize,
    continuations: u32,
    head_since: Option<Duration>,
    useless: Budget,
    resets: Budget,
    malformed: MalformedStreams,
}

/// The frames of which a peer sent too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// CONTINUATION frames of one head.
    Continuations,
    /// Useless frames.
    Useless,
    /// Stream resets.
    Resets,
}

/// A token bucket.
#[derive(Debug)]
struct Budget {
    left: u32,
    burst: u32,
    rate: u32,
    /// The time of the last refill.
    filled: Duration,
}

impl Budget {
    fn new(burst: u32, rate: u32) -> Self {
        Self {
            left: burst,
            burst,
            rate,
            filled: Duration::ZERO,
        }
    }

    /// Takes a token. Returns false if there is none.
    fn take(&mut self, now: Duration) -> bool {
        let earned = now.saturating_sub(self.filled).as_millis() * u128::from(self.rate) / 1000;
        if earned > 0 {
            self.left = self.burst.min(
                self.left
                    .saturating_add(u32::try_from(earned).unwrap_or(u32::MAX)),
            );
            self.filled = now;
        }
        let taken = self.left > 0;
        self.left = self.left.saturating_sub(1);
        taken
    }
}

impl Default for FrameBudget {
    /// The counters of a new connection, which begins with the preface.
    fn default() -> Self {
        Self {
            preface_left: PREFACE_BYTES,
            header: [0; HEADER_BYTES],
            header_read: 0,
            payload_left: 0,
            payload: [0; EXAMINED_BYTES],
            payload_read: 0,
            continuations: 0,
            head_since: None,
            useless: Budget::new(USELESS_BURST, USELESS_RATE),
            resets: Budget::new(RESETS_BURST, RESETS_RATE),
            malformed: MalformedStreams::default(),
        }
    }
}

impl FrameBudget {
    /// Counts the frames in `bytes`, which arrived at `now`, measured from any fixed point in time.
    ///
    /// # Errors
    /// A budget is exceeded.
    pub fn feed(&mut self, mut bytes: &[u8], now: Duration) -> Result<(), Excess> {
        let preface = self.preface_left.min(bytes.len());
        self.preface_left -= preface;
        bytes = &bytes[preface..];
        while !bytes.is_empty() {
            if self.header_read < HEADER_BYTES {
                let taken = (HEADER_BYTES - self.header_read).min(bytes.len());
                self.header[self.header_read..self.header_read + taken].copy_from_slice(&bytes[..taken]);
                self.header_read += taken;
                bytes = &bytes[taken..];
                if self.header_read < HEADER_BYTES {
                    return Ok(());
                }
                let [a, b, c, ..] = self.header;
                self.payload_left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.payload_read = 0;
                self.payload = [0; EXAMINED_BYTES];
            }
            let taken = self.payload_left.min(bytes.len());
            let examined = taken.min(EXAMINED_BYTES - self.payload_read);
            self.payload[self.payload_read..self.payload_read + examined].copy_from_slice(&bytes[..examined]);
            self.payload_read += examined;
            self.payload_left -= taken;
            if let Some(frame) = self.head_frame() {
                let is_end = self.payload_left == 0;
                if !self.malformed.take(frame, &bytes[..taken], is_end) {
                    return Err(Excess::Resets);
                }
            }
            bytes = &bytes[taken..];
            if self.payload_left == 0 {
                self.header_read = 0;
                self.count(now)?;
            }
        }
        Ok(())
    }

    /// The current frame, if it is one of a head.
    fn head_frame(&self) -> Option<HeadFrame> {
        let [a, b, c, kind, flags, stream @ ..] = self.header;
        matches!(kind, HEADERS | CONTINUATION).then(|| HeadFrame {
            is_first: kind == HEADERS,
            flags,
            stream: u32::from_be_bytes(stream) & (u32::MAX >> 1),
            length: usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c),
        })
    }

    /// Returns true if the head or the trailers of a stream are malformed: a `#` in `:path`, or a pseudo-header field in
    /// trailers.
    pub fn is_malformed(&self, stream: u32) -> bool {
        self.malformed.contains(stream)
    }

    /// Forgets a stream that has ended.
    pub fn forget(&mut self, stream: u32) {
        self.malformed.remove(stream);
    }

    /// The time at which an incomplete head began; `None` if there is none.
    pub fn head_since(&self) -> Option<Duration> {
        self.head_since
    }

    /// Counts the frame that has just ended.
    fn count(&mut self, now: Duration) -> Result<(), Excess> {
        let [a, b, c, kind, flags, ..] = self.header;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let has = |flag: u8| flags & flag != 0;
        match kind {
            HEADERS | CONTINUATION => {
                self.continuations = if kind == HEADERS {
                    0
                } else {
                    self.continuations + 1
                };
                if self.continuations > CONTINUATIONS_MAX {
                    return Err(Excess::Continuations);
                }
                let since = self.head_since.or(Some(now));
                self.head_since = since.filter(|_| !has(END_HEADERS));
            }
            RST_STREAM if !self.resets.take(now) => return Err(Excess::Resets),
            _ => {}
        }
        let padding = if has(PADDED) {
            1 + usize::from(self.payload[0])
        } else {
            0
        };
        let useless = match kind {
            DATA => length <= padding && !has(END_STREAM),
            HEADERS | RST_STREAM => false,
            CONTINUATION => length == 0,
            WINDOW_UPDATE => u32::from_be_bytes(self.payload) < INCREMENT_MIN,
            PRIORITY | SETTINGS | PING => true,
            _ => true,
        };
        if useless && !self.useless.take(now) {
            return Err(Excess::Useless);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = payload.len() as u32;
        let mut frame = length.to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.extend_from_slice(payload);
        frame
    }

    /// Feeds up to 5000 copies of `frame`, one each `pause`. Returns the number accepted, and the excess that ended it.
    fn accepted(frame: &[u8], pause: Duration) -> (usize, Option<Excess>) {
        let mut watch = FrameBudget::default();
        watch.feed(&[0; PREFACE_BYTES], Duration::ZERO).unwrap();
        for count in 0..5000 {
            if let Err(excess) = watch.feed(frame, pause * count) {
                return (count as usize, Some(excess));
            }
        }
        (5000, None)
    }

    #[test]
    fn floods_are_distinguished_from_traffic() {
        let at_once = |frame: &[u8]| accepted(frame, Duration::ZERO);
        let useless = (USELESS_BURST as usize, Some(Excess::Useless));
        assert_eq!(at_once(&frame(PING, 0, &[0; 8])), useless);
        assert_eq!(at_once(&frame(SETTINGS, 0, &[])), useless);
        assert_eq!(at_once(&frame(PRIORITY, 0, &[0; 5])), useless);
        assert_eq!(at_once(&frame(0x42, 0, b"x")), useless);
        assert_eq!(at_once(&frame(DATA, 0, &[])), useless);
        assert_eq!(at_once(&frame(DATA, PADDED, &[3, 0, 0, 0])), useless);
        assert_eq!(at_once(&frame(WINDOW_UPDATE, 0, &[0, 0, 0, 1])), useless);
        assert_eq!(
            at_once(&frame(RST_STREAM, 0, &[0; 4])),
            (RESETS_BURST as usize, Some(Excess::Resets))
        );
        for useful in [
            frame(DATA, 0, b"x"),
            frame(DATA, PADDED, &[1, 0, 0]),
            frame(DATA, END_STREAM, &[]),
            frame(HEADERS, END_HEADERS, b"x"),
            frame(WINDOW_UPDATE, 0, &[0, 0, 0x40, 0]),
        ] {
            assert_eq!(at_once(&useful), (5000, None), "{useful:?}");
        }
    }

    #[test]
    fn slow_frames_are_not_a_flood() {
        let second = Duration::from_secs(1);
        assert_eq!(accepted(&frame(PING, 0, &[0; 8]), second / USELESS_RATE).1, None);
        assert_eq!(
            accepted(&frame(RST_STREAM, 0, &[0; 4]), second / RESETS_RATE).1,
            None
        );
    }

    #[test]
    fn incomplete_head_is_detected() {
        let mut watch = FrameBudget::default();
        watch.feed(&[0; PREFACE_BYTES], Duration::ZERO).unwrap();
        let begun = Duration::from_secs(3);
        watch.feed(&frame(HEADERS, 0, b"x"), begun).unwrap();
        assert_eq!(watch.head_since(), Some(begun));
        for _ in 0..CONTINUATIONS_MAX {
            watch.feed(&frame(CONTINUATION, 0, b"x"), begun * 2).unwrap();
        }
        assert_eq!(watch.head_since(), Some(begun));
        let one_more = watch.feed(&frame(CONTINUATION, END_HEADERS, b"x"), begun);
        assert_eq!(one_more, Err(Excess::Continuations));
    }

    /// The malformed streams among 1, 3 and 5 after these frames, cut at every length.
    fn check_malformed(frames: &[Vec<u8>], expected: &[u32]) {
        let all = frames.concat();
        for length in 1..=all.len() {
            let mut watch = FrameBudget::default();
            watch.feed(&[0; PREFACE_BYTES], Duration::ZERO).unwrap();
            for piece in all.chunks(length) {
                watch.feed(piece, Duration::ZERO).unwrap();
            }
            let mut streams = vec![1, 3, 5];
            streams.retain(|stream| watch.is_malformed(*stream));
            assert_eq!(streams, expected, "{frames:?} in pieces of {length}");
            for stream in streams {
                watch.forget(stream);
                assert!(!watch.is_malformed(stream));
            }
        }
    }

    fn head(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = frame(kind, flags, payload);
        frame[8] = stream;
        frame
    }

    #[test]
    fn hidden_faults_make_a_stream_malformed() {
        const PRIORITISED: u8 = 0x20;
        let whole = END_HEADERS | END_STREAM;
        // `:method: GET`, `:path: /`
        let plain = b"\x82\x84";
        check_malformed(&[head(HEADERS, whole, 1, plain)], &[]);
        check_malformed(&[head(HEADERS, whole, 1, b"\x82\x04\x02/#")], &[1]);
        // Inserted into the table by one stream, referred to by another.
        let inserting = head(HEADERS, whole, 1, b"\x82\x44\x02/#");
        check_malformed(
            &[
                inserting,
                head(HEADERS, whole, 3, plain),
                head(HEADERS, whole, 5, b"\x82\xbe"),
            ],
            &[1, 5],
        );
        // In pieces, padded and with a priority.
        let padded = |block: &[u8]| {
            let payload = [b"\x03\x00\x00\x00\x00\x10", block, b"###"].concat();
            head(HEADERS, whole | PADDED | PRIORITISED, 1, &payload)
        };
        check_malformed(&[padded(b"\x82\x04\x02/#")], &[1]);
        check_malformed(&[padded(b"\x82\x04\x02/x")], &[]);
        check_malformed(
            &[
                head(HEADERS, END_STREAM, 1, b"\x82\x04"),
                head(CONTINUATION, 0, 1, b"\x02/"),
                head(CONTINUATION, END_HEADERS, 1, b"#"),
            ],
            &[1],
        );
        // A pseudo-header field is malformed in trailers only.
        let (open, data) = (head(HEADERS, END_HEADERS, 1, plain), head(DATA, 0, 1, b"x"));
        let trailers = |block: &[u8]| head(HEADERS, whole, 1, block);
        check_malformed(&[open.clone(), data.clone(), trailers(b"\x00\x01x\x01y")], &[]);
        check_malformed(&[open.clone(), data, trailers(b"\x82")], &[1]);
        check_malformed(
            &[
                open,
                head(HEADERS, whole, 3, plain),
                trailers(b"\x00\x07:status\x03200"),
            ],
            &[1],
        );
    }

    #[test]
    fn nothing_is_trusted_behind_a_block_that_cannot_be_decoded() {
        for flawed in [
            head(HEADERS, END_HEADERS, 1, b"\xbe"),
            head(HEADERS, END_HEADERS | PADDED, 1, b"\x09\x82"),
            // The library does not decode the head of a stream that depends on itself.
            head(HEADERS, END_HEADERS | 0x20, 1, b"\x00\x00\x00\x01\x10\x82\x84"),
            head(HEADERS, END_HEADERS, 1, &[0x20; (16 << 10) + 1]),
        ] {
            let mut watch = FrameBudget::default();
            watch.feed(&[0; PREFACE_BYTES], Duration::ZERO).unwrap();
            watch.feed(&flawed, Duration::ZERO).unwrap();
            assert!(watch.is_malformed(1) && watch.is_malformed(3));
        }
    }

    #[test]
    fn frames_are_counted_across_reads() {
        let all: Vec<u8> = std::iter::repeat_n(frame(RST_STREAM, 0, &[0; 4]), RESETS_BURST as usize)
            .flatten()
            .collect();
        let mut watch = FrameBudget::default();
        watch.feed(&[0; PREFACE_BYTES], Duration::ZERO).unwrap();
        for byte in &all {
            watch.feed(&[*byte], Duration::ZERO).unwrap();
        }
        let one_more = watch.feed(&frame(RST_STREAM, 0, &[0; 4]), Duration::ZERO);
        assert_eq!(one_more, Err(Excess::Resets));
    }
}
