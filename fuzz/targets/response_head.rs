//! Every response that Waypost accepts, hyper accepts too, with the same status, fields and body.

#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost_fuzz::hyper_reads::{self, Message};
use waypost_wire::body::BodyDecoder;
use waypost_wire::response::fault::ResponseFault;
use waypost_wire::response::{ResponseHead, ResponseLimits, may_begin};
use waypost_wire::scan::{HeadEnd, HeadScan};

/// The maximum number of fields that hyper accepts.
const HYPER_FIELDS_MAX: usize = 100;

fuzz_target!(|data: &[u8]| {
    let Ok(Some(end)) = HeadScan::default().advance(data) else {
        return;
    };
    for to_head in [false, true] {
        check(data, end, to_head);
    }
});

fn check(data: &[u8], end: HeadEnd, to_head: bool) {
    let mut head = ResponseHead::default();
    if let Err(error) = head.parse(data, end, to_head, &ResponseLimits::default()) {
        ResponseFault::in_head(error, &data[..end.end], end.first_line_end, head.fields());
        return;
    }
    for length in 0..data.len().min(16) {
        assert!(may_begin(&data[..length]), "at {length}");
    }
    let line = &data[..end.first_line_end];
    let hypers_version = line.starts_with(b"HTTP/1.1") || line.starts_with(b"HTTP/1.0");
    // hyper waits for a final response behind an interim one, and stops parsing HTTP behind 101.
    if !hypers_version || head.status() < 200 || head.fields().len() > HYPER_FIELDS_MAX {
        return;
    }
    let Some(body) = take_body(BodyDecoder::new(head.framing()), &data[end.end..]) else {
        return;
    };
    assert_eq!(
        hyper_reads::response(data.to_vec(), to_head),
        Some(message(&head, data, body))
    );
}

/// The body at the start of `bytes`, `None` if it is incomplete. Returns `None` if the body violates its coding.
fn take_body(mut decoder: BodyDecoder, bytes: &[u8]) -> Option<Option<Vec<u8>>> {
    let mut body = Vec::new();
    let mut rest = bytes;
    while !decoder.is_done() {
        let piece = decoder.decode(rest).ok()?;
        if piece.consumed == 0 {
            return Some(decoder.may_end_by_close().then_some(body));
        }
        body.extend_from_slice(&rest[piece.data]);
        rest = &rest[piece.consumed..];
    }
    Some(Some(body))
}

fn message(head: &ResponseHead, data: &[u8], body: Option<Vec<u8>>) -> Message {
    let mut fields: Vec<_> = head
        .fields()
        .iter()
        .map(|field| {
            let name = String::from_utf8_lossy(field.name.of(data)).to_ascii_lowercase();
            (name, field.value.of(data).to_vec())
        })
        .collect();
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    Message {
        first: head.status().to_string(),
        fields,
        body,
    }
}
