//! Faults of responses: the rule that one broke, and the place.
//!
//! A parser on the hot path says no more than the kind of an error. [`ResponseFault::in_head`] looks at the same bytes
//! again and finds the first one that breaks the rule.

use std::fmt;

use crate::chunked::ChunkError;
use crate::field::{Field, FieldKind};
use crate::framing::FramingError;
use crate::response::{ResponseError, status_line_fault};
use crate::token;

/// A rule that a response broke, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseFault {
    /// The rule.
    pub rule: ResponseRule,
    /// The place, if it is known.
    pub place: Option<FaultPlace>,
}

/// The place of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultPlace {
    /// The offset of a byte of the head, from 0.
    Head(u32),
    /// The number of bytes of the body in front of it, 4 GiB at most: a fault is part of every result on the way of a
    /// request, so it is small.
    Body(u32),
}

/// Declares the rules, each with its name, its error type of RFC 9209 §2.3, and the sentence that describes a fault.
macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident $name:literal $error:literal $text:literal;)+) => {
        /// A rule that a response can break.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ResponseRule {
            $(#[doc = $text] $rule,)+
        }

        impl ResponseRule {
            /// All rules, in the order of their discriminants.
            pub const ALL: &[Self] = &[$(Self::$rule),+];

            /// The name: a stable word, for metrics and logs.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$rule => $name,)+
                }
            }

            /// The error type of RFC 9209 §2.3.
            pub fn proxy_error(self) -> &'static str {
                match self {
                    $(Self::$rule => $error,)+
                }
            }

            /// The fault in a sentence.
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$rule => $text,)+
                }
            }
        }
    };
}

rules! {
    NotHttp "not_http" "http_protocol_error" "it does not begin like a response of HTTP/1";
    StatusLine "status_line" "http_protocol_error" "the status line is malformed";
    LineEnd "line_end" "http_protocol_error" "a line does not end in CRLF";
    HeadTooLarge "head_too_large" "http_response_header_section_size" "the head is too large";
    TooManyHeaders "too_many_headers" "http_response_header_section_size" "there are too many header lines";
    HeaderLine "header_line" "http_protocol_error" "a header line has no colon";
    HeaderName "header_name" "http_protocol_error" "a header name is malformed";
    HeaderValue "header_value" "http_protocol_error" "a header value has a control character";
    FoldedLine "folded_line" "http_protocol_error" "a header line is folded";
    ContentLength "content_length" "http_protocol_error" "content-length is not one number";
    LengthAndCoding "length_and_coding" "http_protocol_error" "both content-length and transfer-encoding are present";
    TransferEncoding "transfer_encoding" "http_protocol_error" "transfer-encoding is not exactly one `chunked`";
    UnknownCoding "unknown_coding" "http_response_transfer_coding" "a transfer coding is not supported";
    ChunkSize "chunk_size" "http_response_transfer_coding" "a chunk size is malformed";
    ChunkEnd "chunk_end" "http_response_transfer_coding" "a chunk does not end in CRLF";
    ChunkExtension "chunk_extension" "http_response_transfer_coding" "a chunk extension is malformed or too long";
    TrailerLine "trailer_line" "http_protocol_error" "a trailer line is malformed";
    TrailersTooLarge "trailers_too_large" "http_response_trailer_section_size" "the trailers are too large";
    TooManyInterims "too_many_interims" "http_protocol_error" "there are too many interim responses";
    UnrequestedUpgrade "unrequested_upgrade" "http_upgrade_failed" "it switches to a protocol that was not requested";
    UpgradeFraming "upgrade_framing" "http_upgrade_failed" "a switch of protocols announces a body";
    NoTunnel "no_tunnel" "http_upgrade_failed" "a success to an extended CONNECT establishes no tunnel";
    Http2 "http2" "http_protocol_error" "it breaks the rules of HTTP/2";
    BodyLength "body_length" "http_protocol_error" "the body is longer or shorter than its content-length";
}

impl ResponseFault {
    /// A fault at an unknown place.
    pub fn of(rule: ResponseRule) -> Self {
        Self { rule, place: None }
    }

    /// The fault that `error` means in the head at the start of `bytes`. `first_line_end` is the end of its first line,
    /// without its CRLF.
    pub fn in_head(error: ResponseError, bytes: &[u8], first_line_end: usize, fields: &[Field]) -> Self {
        let (rule, at) = match error {
            ResponseError::LineEnd(_) => return Self::line_end(bytes),
            ResponseError::StatusLine => {
                let line = bytes.get(..first_line_end).unwrap_or(bytes);
                (ResponseRule::StatusLine, Some(status_line_fault(line)))
            }
            ResponseError::HeadTooLarge => (ResponseRule::HeadTooLarge, None),
            ResponseError::TooManyFields => (ResponseRule::TooManyHeaders, None),
            ResponseError::Field => field_fault(bytes, first_line_end + 2),
            ResponseError::Framing(error) => framing_fault(error, bytes, fields),
        };
        Self {
            rule,
            place: at.and_then(in_head),
        }
    }

    /// The first line of `bytes` that does not end in CRLF.
    pub fn line_end(bytes: &[u8]) -> Self {
        let at = (0..bytes.len()).find(|&at| match bytes[at] {
            b'\n' => at == 0 || bytes[at - 1] != b'\r',
            b'\r' => bytes.get(at + 1).is_some_and(|&next| next != b'\n'),
            _ => false,
        });
        Self {
            rule: ResponseRule::LineEnd,
            place: at.and_then(in_head),
        }
    }

    /// A violation of the chunked coding behind `body_bytes` bytes of the body.
    pub fn in_chunks(error: ChunkError, body_bytes: u64) -> Self {
        let rule = match error {
            ChunkError::Size => ResponseRule::ChunkSize,
            ChunkError::LineEnd => ResponseRule::ChunkEnd,
            ChunkError::Extension => ResponseRule::ChunkExtension,
            ChunkError::Trailers => ResponseRule::TrailerLine,
            ChunkError::TrailersTooLarge => ResponseRule::TrailersTooLarge,
        };
        Self {
            rule,
            place: Some(FaultPlace::Body(u32::try_from(body_bytes).unwrap_or(u32::MAX))),
        }
    }
}

impl fmt::Display for ResponseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule.text())?;
        match self.place {
            Some(FaultPlace::Head(at)) => write!(f, ", at byte {at} of the head"),
            Some(FaultPlace::Body(1)) => f.write_str(", after 1 byte of the body"),
            Some(FaultPlace::Body(bytes)) => write!(f, ", after {bytes} bytes of the body"),
            None => Ok(()),
        }
    }
}

fn in_head(at: usize) -> Option<FaultPlace> {
    u32::try_from(at).ok().map(FaultPlace::Head)
}

/// The first fault of the header lines that begin at `from`.
fn field_fault(head: &[u8], from: usize) -> (ResponseRule, Option<usize>) {
    let mut start = from;
    while let Some(length) = head
        .get(start..)
        .and_then(|rest| memchr::memchr(b'\n', rest))
        .filter(|length| *length > 1)
    {
        let line = &head[start..start + length - 1];
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return (ResponseRule::FoldedLine, Some(start));
        }
        let Some(colon) = memchr::memchr(b':', line) else {
            return (ResponseRule::HeaderLine, Some(start));
        };
        let name = &line[..colon];
        if !token::is_token(name) {
            let at = name.iter().position(|byte| !token::is_token_byte(*byte));
            return (ResponseRule::HeaderName, Some(start + at.unwrap_or(0)));
        }
        let is_control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
        if let Some(at) = line[colon..].iter().position(is_control) {
            return (ResponseRule::HeaderValue, Some(start + colon + at));
        }
        start += length + 1;
    }
    (ResponseRule::HeaderLine, None)
}

/// The header line that makes the framing ambiguous: the last one that takes part in it.
fn framing_fault(error: FramingError, head: &[u8], fields: &[Field]) -> (ResponseRule, Option<usize>) {
    let is_number = |value: &[u8]| !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let mut lengths = fields
        .iter()
        .filter(|field| field.kind == FieldKind::ContentLength);
    let mut codings = fields
        .iter()
        .filter(|field| field.kind == FieldKind::TransferEncoding);
    let (rule, field) = match error {
        FramingError::Both => (ResponseRule::LengthAndCoding, codings.next()),
        FramingError::ContentLength => {
            let wrong = lengths.clone().find(|field| !is_number(field.value.of(head)));
            (
                ResponseRule::ContentLength,
                wrong.or(lengths.nth(1)).or(lengths.next()),
            )
        }
        FramingError::TransferEncoding => {
            let second = codings.clone().nth(1);
            (ResponseRule::TransferEncoding, second.or(codings.next()))
        }
        FramingError::UnknownCoding => (ResponseRule::UnknownCoding, codings.next()),
    };
    (rule, field.map(|field| field.value.start as usize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::{ResponseHead, ResponseLimits};
    use crate::scan::HeadScan;

    /// Checks the rule that `head` breaks, by name, and the offset of the byte.
    fn check(head: &str, rule: &str, at: Option<usize>) {
        let bytes = head.as_bytes();
        let mut response = ResponseHead::default();
        let fault = match HeadScan::default().advance(bytes) {
            Err(_) => ResponseFault::line_end(bytes),
            Ok(None) => panic!("{head:?} is incomplete"),
            Ok(Some(end)) => match response.parse(bytes, end, false, &ResponseLimits::default()) {
                Ok(()) => panic!("{head:?} is accepted"),
                Err(error) => {
                    ResponseFault::in_head(error, &bytes[..end.end], end.first_line_end, response.fields())
                }
            },
        };
        let place = at.and_then(in_head);
        assert_eq!((fault.rule.name(), fault.place), (rule, place), "{head:?}");
    }

    #[test]
    fn faults_of_heads_have_a_rule_and_a_byte() {
        check("HTTP/1.1 2x0 OK\r\n\r\n", "status_line", Some(10));
        check("HTTP/1.1 099 OK\r\n\r\n", "status_line", Some(9));
        check("HTTP/1.1 2000 OK\r\n\r\n", "status_line", Some(12));
        check("HTTP/1.1 200 O\x01K\r\n\r\n", "status_line", Some(14));
        check("HTTP/1.1\r\n\r\n", "status_line", Some(8));
        check("HTTP/2.0 200 OK\r\n\r\n", "status_line", Some(5));
        check("HTTP/1.1 200 OK\r\na: b\n\r\n", "line_end", Some(21));
        check("HTTP/1.1 200 O\rK\r\n\r\n", "status_line", Some(14));
        check("HTTP/1.1 200 OK\r\nabc\r\n\r\n", "header_line", Some(17));
        check(
            "HTTP/1.1 200 OK\r\na: b\r\na : b\r\n\r\n",
            "header_name",
            Some(24),
        );
        check("HTTP/1.1 200 OK\r\n: b\r\n\r\n", "header_name", Some(17));
        check("HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n", "folded_line", Some(23));
        check("HTTP/1.1 200 OK\r\na: b\x01\r\n\r\n", "header_value", Some(21));
        check("HTTP/1.1 200 OK\r\na: \0\r\n\r\n", "header_value", Some(20));
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
            "content_length",
            Some(33),
        );
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "content_length",
            Some(52),
        );
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "length_and_coding",
            Some(55),
        );
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "unknown_coding",
            Some(36),
        );
        check(
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "transfer_encoding",
            Some(36),
        );
        let many = "a: b\r\n".repeat(501);
        check(
            &format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
            "too_many_headers",
            None,
        );
        let long = "a".repeat(64 << 10);
        check(
            &format!("HTTP/1.1 200 OK\r\na: {long}\r\n\r\n"),
            "head_too_large",
            None,
        );
    }

    #[test]
    fn rules_have_distinct_names() {
        let mut names: Vec<_> = ResponseRule::ALL.iter().map(|rule| rule.name()).collect();
        for (at, rule) in ResponseRule::ALL.iter().enumerate() {
            assert_eq!(*rule as usize, at);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ResponseRule::ALL.len());
    }

    #[test]
    fn text_names_the_place() {
        let fault = ResponseFault::in_chunks(ChunkError::Size, 4);
        assert_eq!(
            fault.to_string(),
            "a chunk size is malformed, after 4 bytes of the body"
        );
        let fault = ResponseFault::line_end(b"ab\n");
        assert_eq!(
            fault.to_string(),
            "a line does not end in CRLF, at byte 2 of the head"
        );
        assert_eq!(
            ResponseFault::of(ResponseRule::Http2).to_string(),
            ResponseRule::Http2.text()
        );
    }
}
