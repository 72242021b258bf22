//! Every request that Waypost accepts, hyper accepts too, with the same method, target, fields, body and start of the
//! next request. hyper may accept more.

#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost_fuzz::hyper_reads::{self, Message};
use waypost_wire::body::BodyDecoder;
use waypost_wire::path::{PathOptions, normalize};
use waypost_wire::request::{HeadLimits, RequestHead, check_partial};
use waypost_wire::scan::{HeadEnd, HeadScan};

const LIMITS: HeadLimits = HeadLimits {
    bytes: 64 << 10,
    fields: 100,
    target_bytes: 8 << 10,
};
/// A request behind the body, which both parsers must find there.
const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nhost: a\r\n\r\n";

fuzz_target!(|data: &[u8]| {
    let mut head = RequestHead::default();
    let Ok(Some(end)) = HeadScan::default().advance(data) else {
        return;
    };
    if head.parse(data, end, &LIMITS).is_err() {
        return;
    }
    assert_prefixes_are_acceptable(data, end);
    let raw_path = head.raw_path(data);
    if normalize(raw_path, PathOptions::default(), &mut Vec::new()).is_err() {
        return;
    }
    if !has_hypers_version(data, end) || !is_uri_text(raw_path) || !head.query(data).is_none_or(is_uri_text) {
        return;
    }
    let Some((body, rest)) = take_body(BodyDecoder::new(head.framing()), &data[end.end..]) else {
        return;
    };
    let mut sent = data[..data.len() - rest].to_vec();
    if body.is_some() {
        sent.extend_from_slice(NEXT);
    }
    let read = hyper_reads::requests(sent);
    assert_eq!(read.first(), Some(&message(&head, data, body)));
    if let Some(next) = read.get(1) {
        assert_eq!(next.first, "GET /next");
    }
});

/// Checks that no prefix of an acceptable head is refused.
fn assert_prefixes_are_acceptable(data: &[u8], end: HeadEnd) {
    let mut scan = HeadScan::default();
    for length in 0..end.end.min(512) {
        let prefix = &data[..length];
        assert_eq!(scan.advance(prefix), Ok(None), "at {length}");
        let begun = &prefix[scan.start().min(length)..];
        assert_eq!(
            check_partial(begun, scan.first_line(prefix), &LIMITS),
            Ok(()),
            "at {length}"
        );
    }
}

/// Returns true for the versions that hyper accepts. It refuses 1.2 and later, which RFC 9110 §2.5 handles as 1.1.
fn has_hypers_version(data: &[u8], end: HeadEnd) -> bool {
    let line = &data[end.start..end.first_line_end];
    line.ends_with(b"HTTP/1.1") || line.ends_with(b"HTTP/1.0")
}

/// Returns true for characters that hyper accepts in a URI. Waypost encodes others in paths, and leaves queries alone.
fn is_uri_text(text: &[u8]) -> bool {
    text.iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%?".contains(byte))
}

/// The body at the start of `bytes`, `None` if it is incomplete, and the number of bytes behind it. Returns `None` if the
/// body violates its coding.
fn take_body(mut decoder: BodyDecoder, bytes: &[u8]) -> Option<(Option<Vec<u8>>, usize)> {
    let mut body = Vec::new();
    let mut rest = bytes;
    while !decoder.is_done() {
        let piece = decoder.decode(rest).ok()?;
        if piece.consumed == 0 {
            return Some((None, 0));
        }
        body.extend_from_slice(&rest[piece.data]);
        rest = &rest[piece.consumed..];
    }
    Some((Some(body), rest.len()))
}

fn message(head: &RequestHead, data: &[u8], body: Option<Vec<u8>>) -> Message {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let query = head
        .query(data)
        .map_or_else(String::new, |query| format!("?{}", text(query)));
    let mut fields: Vec<_> = head
        .fields()
        .iter()
        .map(|field| {
            (
                text(field.name.of(data)).to_ascii_lowercase(),
                field.value.of(data).to_vec(),
            )
        })
        .collect();
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    Message {
        first: format!("{} {}{query}", text(head.method(data)), text(head.raw_path(data))),
        fields,
        body,
    }
}
