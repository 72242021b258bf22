//! The `grpc-status` of a call, found as its response passes by.
//!
//! It is in the head of a response without messages, else in the trailers. A service that speaks gRPC-Web itself sends
//! its trailers as the last frame of the body; that body is scanned.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use waypost_wire::field;
use waypost_wire::grpc::GrpcCode;

/// Flag of the gRPC-Web frame that holds trailers.
pub(super) const TRAILERS: u8 = 0x80;
/// Bytes of a frame's header: flags, and the length.
const FRAME_HEADER_BYTES: usize = 5;
/// Maximum bytes of a trailers frame that is examined.
const TRAILERS_BYTES_MAX: usize = 8 << 10;
/// The field that carries the status.
const NAME: &[u8] = b"grpc-status";

/// The status of a call so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallStatus {
    code: Option<GrpcCode>,
    body: Option<WebBody>,
}

/// A scan of a gRPC-Web body for its trailers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct WebBody {
    /// The bytes of an incomplete base64 group; `None` for the binary form.
    group: Option<Vec<u8>>,
    /// The header of the current frame as far as it has come, then the payload of a trailers frame.
    frame: Vec<u8>,
    /// Bytes of a message that are still to be skipped.
    skipped: usize,
    /// True once the body turned out to be malformed, or its trailers too long.
    is_given_up: bool,
}

/// The encoding of a gRPC-Web body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebEncoding {
    /// As it is.
    Binary,
    /// In base64.
    Base64,
}

impl CallStatus {
    /// The status of a call whose response has `code` in its head. `body` is the encoding of a gRPC-Web body, which is
    /// scanned.
    pub fn begin(code: Option<GrpcCode>, body: Option<WebEncoding>) -> Self {
        Self {
            code,
            body: body.map(|encoding| WebBody {
                group: (encoding == WebEncoding::Base64).then(Vec::new),
                ..WebBody::default()
            }),
        }
    }

    /// The status, if the response had one so far.
    pub fn code(&self) -> Option<GrpcCode> {
        self.code
    }

    /// Returns true if the body has to be scanned.
    pub(super) fn scans_body(&self) -> bool {
        self.body.is_some()
    }

    /// Examines bytes of the body.
    pub(super) fn scan(&mut self, data: &[u8]) {
        if let Some(body) = &mut self.body
            && let Some(code) = body.scan(data)
        {
            self.code = Some(code);
        }
    }

    /// Examines trailers: lines ended by an empty line.
    pub(super) fn read_trailers(&mut self, lines: &[u8]) {
        self.code = in_lines(lines).or(self.code);
    }
}

impl WebBody {
    /// Examines bytes of the body. Returns the status, once its frame is complete.
    fn scan(&mut self, data: &[u8]) -> Option<GrpcCode> {
        let Some(mut group) = self.group.take() else {
            return self.scan_binary(data);
        };
        let mut code = None;
        for &byte in data {
            group.push(byte);
            // A client decodes group by group, as padding may stand in the middle of the body.
            if group.len() == 4 {
                match STANDARD.decode(&group) {
                    Ok(bytes) => code = self.scan_binary(&bytes).or(code),
                    Err(_) => self.is_given_up = true,
                }
                group.clear();
            }
        }
        self.group = Some(group);
        code
    }

    fn scan_binary(&mut self, mut data: &[u8]) -> Option<GrpcCode> {
        let mut code = None;
        while !data.is_empty() && !self.is_given_up {
            let skipped = self.skipped.min(data.len());
            self.skipped -= skipped;
            data = &data[skipped..];
            let wanted = self.frame_bytes() - self.frame.len();
            let (begin, rest) = data.split_at(wanted.min(data.len()));
            self.frame.extend_from_slice(begin);
            data = rest;
            if self.frame.len() < FRAME_HEADER_BYTES {
                continue;
            }
            let length = self.payload_bytes();
            if self.frame[0] & TRAILERS == 0 {
                self.skipped = length;
                self.frame.clear();
            } else if length > TRAILERS_BYTES_MAX {
                self.is_given_up = true;
            } else if self.frame.len() == FRAME_HEADER_BYTES + length {
                code = in_lines(&self.frame[FRAME_HEADER_BYTES..]).or(code);
                self.frame.clear();
            }
        }
        code
    }

    /// The length of the part of the current frame that is kept.
    fn frame_bytes(&self) -> usize {
        match self.frame.len() < FRAME_HEADER_BYTES {
            true => FRAME_HEADER_BYTES,
            false => FRAME_HEADER_BYTES + self.payload_bytes(),
        }
    }

    /// The length in the current frame's header, which is complete.
    fn payload_bytes(&self) -> usize {
        let mut length = [0; 4];
        length.copy_from_slice(&self.frame[1..FRAME_HEADER_BYTES]);
        u32::from_be_bytes(length) as usize
    }
}

/// The status that these lines give.
fn in_lines(lines: &[u8]) -> Option<GrpcCode> {
    lines.split(|&byte| byte == b'\n').find_map(|line| {
        let (name, rest) = line.split_at_checked(NAME.len())?;
        let value = rest.strip_prefix(b":")?;
        let value = value.strip_suffix(b"\r").unwrap_or(value);
        name.eq_ignore_ascii_case(NAME)
            .then(|| GrpcCode::parse(field::trim_blanks(value)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap();
        [&[flags][..], &length.to_be_bytes(), payload].concat()
    }

    /// The status found in a gRPC-Web body, the same however it is cut.
    fn check(body: &[u8], encoding: WebEncoding, expected: Option<u8>) {
        for cut in 1..=body.len().max(1) {
            let mut status = CallStatus::begin(None, Some(encoding));
            body.chunks(cut).for_each(|piece| status.scan(piece));
            assert_eq!(status.code().map(GrpcCode::number), expected, "cut at {cut}");
        }
    }

    #[test]
    fn trailers_override_the_head() {
        let mut status = CallStatus::begin(Some(GrpcCode::OK), None);
        status.read_trailers(b"x: 1\r\nGRPC-Status: 14\r\ngrpc-message: no\r\n\r\n");
        assert_eq!(status.code(), Some(GrpcCode::UNAVAILABLE));
        status.read_trailers(b"");
        status.read_trailers(b"grpc-status-details-bin: AA\r\n\r\n");
        assert_eq!(status.code(), Some(GrpcCode::UNAVAILABLE));
    }

    #[test]
    fn web_body_is_scanned_for_its_trailers_frame() {
        let call = [
            frame(0, b"a message, grpc-status:3\r\n"),
            frame(1, b""),
            frame(0x80, b"grpc-status:13\r\ngrpc-message:no\r\n"),
        ]
        .concat();
        check(&call, WebEncoding::Binary, Some(13));
        check(STANDARD.encode(&call).as_bytes(), WebEncoding::Base64, Some(13));
        let pieces = [frame(0, b"ab"), frame(0x80, b"grpc-status: 0")];
        let text: String = pieces.iter().map(|piece| STANDARD.encode(piece)).collect();
        check(text.as_bytes(), WebEncoding::Base64, Some(0));
        check(&frame(0, b"only a message"), WebEncoding::Binary, None);
        check(&frame(0x80, b"grpc-status:1")[..17], WebEncoding::Binary, None);
        check(b"", WebEncoding::Binary, None);
        check(b"a+_-", WebEncoding::Base64, None);
        check(
            &frame(0x80, &[b'a'; TRAILERS_BYTES_MAX + 1])[..64],
            WebEncoding::Binary,
            None,
        );
    }
}
