//! Watches for the ends of HTTP/2 streams as their bytes pass to the library that parses them.

/// Length of a frame header: length, type, flags and stream (RFC 9113 §4.1).
const HEADER_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The frames of one direction of a connection, behind its preface, followed for END_STREAM alone.
#[derive(Debug, Default)]
pub struct StreamEnds {
    header: [u8; HEADER_BYTES],
    header_read: usize,
    payload_left: usize,
    /// True if the field block that is incomplete is the last of its stream.
    ends_behind_block: bool,
}

impl StreamEnds {
    /// Follows the frames in `bytes`, and calls `ended` with each stream whose last frame they complete.
    pub fn feed(&mut self, mut bytes: &[u8], mut ended: impl FnMut(u32)) {
        loop {
            if self.header_read < HEADER_BYTES {
                let taken = (HEADER_BYTES - self.header_read).min(bytes.len());
                self.header[self.header_read..self.header_read + taken].copy_from_slice(&bytes[..taken]);
                self.header_read += taken;
                bytes = &bytes[taken..];
                if self.header_read < HEADER_BYTES {
                    return;
                }
                let [a, b, c, ..] = self.header;
                self.payload_left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            }
            let taken = self.payload_left.min(bytes.len());
            self.payload_left -= taken;
            bytes = &bytes[taken..];
            if self.payload_left > 0 {
                return;
            }
            self.header_read = 0;
            let [_, _, _, kind, flags, stream @ ..] = self.header;
            let is_end = match kind {
                DATA => flags & END_STREAM != 0,
                // A field block ends with the frame that has END_HEADERS (RFC 9113 §6.2).
                HEADERS => {
                    self.ends_behind_block = flags & END_STREAM != 0;
                    self.ends_behind_block && flags & END_HEADERS != 0
                }
                CONTINUATION => self.ends_behind_block && flags & END_HEADERS != 0,
                _ => false,
            };
            if is_end {
                ended(u32::from_be_bytes(stream) & (u32::MAX >> 1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    }

    /// Checks the streams that end within `frames`, however they are cut.
    fn check(frames: &[Vec<u8>], expected: &[u32]) {
        let bytes = frames.concat();
        for size in 1..=bytes.len() {
            let (mut ends, mut ended) = (StreamEnds::default(), Vec::new());
            for piece in bytes.chunks(size) {
                ends.feed(piece, |stream| ended.push(stream));
            }
            assert_eq!(ended, expected, "{frames:?} in pieces of {size}");
        }
    }

    #[test]
    fn streams_end_behind_a_whole_frame_with_the_flag() {
        check(&[frame(DATA, END_STREAM, 1, b"abc")], &[1]);
        check(
            &[frame(DATA, 0, 1, b"abc"), frame(DATA, END_STREAM, 1, b"")],
            &[1],
        );
        check(&[frame(DATA, 0, 1, b"abc")], &[]);
        check(&[frame(DATA, END_STREAM, 1, b"abc")[..11].to_vec()], &[]);
        check(&[frame(PING, 1, 0, &[0; 8])], &[]);
        let both = END_STREAM | END_HEADERS;
        check(
            &[frame(HEADERS, both, 3, b"a"), frame(DATA, END_STREAM, 5, b"")],
            &[3, 5],
        );
        check(&[frame(HEADERS, END_HEADERS, 3, b"a")], &[]);
    }

    #[test]
    fn block_of_several_frames_ends_the_stream_with_the_last() {
        let first = frame(HEADERS, END_STREAM, 3, b"a");
        let more = frame(CONTINUATION, 0, 3, b"b");
        let last = frame(CONTINUATION, END_HEADERS, 3, b"c");
        check(&[first.clone(), more.clone()], &[]);
        check(&[first, more, last.clone()], &[3]);
        check(&[frame(HEADERS, 0, 3, b"a"), last], &[]);
    }
}
