//! gRPC: detection of calls, `grpc-timeout`, and `grpc-message`.
//!
//! A call is an ordinary exchange; trailers and streaming are features of HTTP/2. [`web`] is gRPC-Web, for browsers,
//! which cannot read trailers.

pub mod web;

use std::time::Duration;

use waypost_wire::field::FieldKind;
use waypost_wire::request::RequestHead;

/// The media type of calls, without a suffix such as `+proto`.
const MEDIA_TYPE: &[u8] = b"application/grpc";

/// The `content-type` of a gRPC or gRPC-Web call; `None` for any other request.
pub fn call_type<'b>(head: &RequestHead, buffer: &'b [u8]) -> Option<&'b [u8]> {
    let mut fields = head.fields().iter();
    let field = fields.find(|field| field.kind == FieldKind::ContentType)?;
    let value = field.value.of(buffer);
    let rest = rest_of(value)?;
    (is_end(rest) || web::form_of(value).is_some()).then_some(value)
}

/// The rest of `value` after the media type; `None` if it does not begin with it.
fn rest_of(value: &[u8]) -> Option<&[u8]> {
    let (start, rest) = value.split_at_checked(MEDIA_TYPE.len())?;
    start.eq_ignore_ascii_case(MEDIA_TYPE).then_some(rest)
}

/// Returns true if only a suffix for the message format, or parameters, follow.
fn is_end(rest: &[u8]) -> bool {
    matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// The call's `grpc-timeout`; `None` if it is absent or malformed.
pub fn timeout(head: &RequestHead, buffer: &[u8]) -> Option<Duration> {
    let mut fields = head.fields().iter();
    let field = fields.find(|field| field.name.of(buffer).eq_ignore_ascii_case(b"grpc-timeout"))?;
    parse_timeout(field.value.of(buffer))
}

/// Parses at most eight digits and a unit, as the gRPC protocol specifies.
fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    // `parse` also accepts a sign.
    if !digits[0].is_ascii_digit() {
        return None;
    }
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Appends `message` in the encoding of `grpc-message`: bytes other than printable ASCII are percent-encoded.
pub fn write_message(message: &str, out: &mut Vec<u8>) {
    for byte in message.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_have_eight_digits_and_a_unit() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("40m", Some(Duration::from_millis(40))),
            ("5u", Some(Duration::from_micros(5))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("", None),
            ("S", None),
            ("1", None),
            ("1s", None),
            ("+1S", None),
            ("-1S", None),
            ("1.5S", None),
            ("123456789S", None),
        ] {
            assert_eq!(parse_timeout(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn messages_are_percent_encoded() {
        let mut out = Vec::new();
        write_message("100% ü\n", &mut out);
        assert_eq!(out, b"100%25 %C3%BC%0A");
    }
}
