//! What the gateway knows of gRPC: which requests are calls, how long they may take, and how they are told of failures.
//!
//! A call is an exchange like any other; trailers and streaming are HTTP/2's. [`web`] is the form of it that browsers
//! speak, which have no trailers.

pub mod web;

use std::time::Duration;

use waypost_wire::field::FieldKind;
use waypost_wire::request::RequestHead;

/// The media type of calls, before `+proto` and the like.
const MEDIA_TYPE: &[u8] = b"application/grpc";

/// The `content-type` of a request that is a call, of gRPC or of gRPC-Web.
pub fn call_type<'b>(head: &RequestHead, buffer: &'b [u8]) -> Option<&'b [u8]> {
    let mut fields = head.fields().iter();
    let field = fields.find(|field| field.kind == FieldKind::ContentType)?;
    let value = field.value.of(buffer);
    let rest = rest_of(value)?;
    (is_end(rest) || web::form_of(value).is_some()).then_some(value)
}

/// What follows the media type, where `value` begins with it.
fn rest_of(value: &[u8]) -> Option<&[u8]> {
    let (start, rest) = value.split_at_checked(MEDIA_TYPE.len())?;
    start.eq_ignore_ascii_case(MEDIA_TYPE).then_some(rest)
}

/// Whether a media type ends here, but for the format of its messages and for parameters.
fn is_end(rest: &[u8]) -> bool {
    matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// How long a call may take: what its `grpc-timeout` says. One that says nonsense says nothing.
pub fn timeout(head: &RequestHead, buffer: &[u8]) -> Option<Duration> {
    let mut fields = head.fields().iter();
    let field = fields.find(|field| field.name.of(buffer).eq_ignore_ascii_case(b"grpc-timeout"))?;
    parse_timeout(field.value.of(buffer))
}

/// At most eight digits and a unit, as the gRPC protocol has it.
fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    // A sign parses as a number too.
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

/// Appends a text as `grpc-message` has it: percent-encoded where it is not printable ASCII.
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
    fn messages_are_printable() {
        let mut out = Vec::new();
        write_message("100% ü\n", &mut out);
        assert_eq!(out, b"100%25 %C3%BC%0A");
    }
}
