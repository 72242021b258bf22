//! A chunked body decodes alike however its bytes are cut, and as hyper decodes it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost_fuzz::hyper_reads;
use waypost_wire::chunked::{ChunkError, ChunkedDecoder};

/// A request behind the body, which both parsers must find there.
const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nhost: a\r\n\r\n";

fuzz_target!(|data: &[u8]| {
    let Some((&cut, body)) = data.split_first() else {
        return;
    };
    let whole = decode(body.chunks(body.len().max(1)));
    let byte_by_byte = decode(body.chunks(1));
    assert_eq!(whole, byte_by_byte, "byte by byte");
    assert_eq!(
        whole,
        decode(body.chunks(usize::from(cut).max(1))),
        "in pieces of {cut}"
    );
    let Ok(decoded) = whole else {
        return;
    };
    let mut sent = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    sent.extend_from_slice(&body[..decoded.consumed]);
    if decoded.done {
        sent.extend_from_slice(NEXT);
    }
    let read = hyper_reads::requests(sent);
    assert_eq!(read[0].body, decoded.done.then_some(decoded.data));
    assert_eq!(
        read.get(1).map(|next| &*next.first),
        decoded.done.then_some("GET /next")
    );
});

#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    data: Vec<u8>,
    consumed: usize,
    done: bool,
}

fn decode<'a>(cuts: impl Iterator<Item = &'a [u8]>) -> Result<Decoded, ChunkError> {
    let mut decoder = ChunkedDecoder::default();
    let mut decoded = Decoded {
        data: Vec::new(),
        consumed: 0,
        done: false,
    };
    for cut in cuts {
        let mut rest = cut;
        while !rest.is_empty() && !decoder.is_done() {
            let piece = decoder.decode(rest)?;
            assert!(piece.consumed > 0, "an unfinished decoder consumes input");
            decoded.data.extend_from_slice(&rest[piece.data]);
            decoded.consumed += piece.consumed;
            rest = &rest[piece.consumed..];
        }
    }
    decoded.done = decoder.is_done();
    Ok(decoded)
}
