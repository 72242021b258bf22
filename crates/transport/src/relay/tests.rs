//! The relayed message does not depend on how its bytes are split, for every framing and transform.

use std::task::{Context, Waker};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::memory::Memory;

/// A body to relay, independent of how it is split.
#[derive(Debug, Clone)]
struct Case {
    /// The body as sent by the source, in `framing`.
    sent: Vec<u8>,
    framing: Framing,
    /// Trailer lines that the source keeps separate; only for sources that frame bodies.
    trailers: &'static [u8],
    source_frames: bool,
    form: BodyForm,
    transform: Transform,
}

/// A relayed message, as received by the sink.
#[derive(Debug, PartialEq, Eq)]
struct Relayed {
    written: Vec<u8>,
    trailers: Option<Vec<u8>>,
    tap: Tap,
    body_bytes: u64,
    last_announced: bool,
}

const HEAD: &[u8] = b"HEAD\r\n\r\n";

/// Relays `case`, arriving in pieces of the lengths in `cuts`, over links that pause and accept `write_max` bytes at a
/// time (0: no pauses, no limit).
fn relay(case: &Case, cuts: &[usize], write_max: usize) -> Result<Relayed, &'static str> {
    let mut rest = &case.sent[..];
    let mut pieces = Vec::new();
    for cut in cuts.iter().cycle().take(case.sent.len()) {
        let (piece, after) = rest.split_at((*cut).clamp(1, rest.len().max(1)).min(rest.len()));
        pieces.push(Bytes::copy_from_slice(piece));
        rest = after;
    }
    pieces.push(Bytes::copy_from_slice(rest));
    let mut source = Memory::new(pieces);
    if case.source_frames {
        source = source.framed(case.trailers);
    }
    let mut sink = Memory::default();
    if case.form == BodyForm::Frames {
        sink = sink.framed(b"");
    }
    if write_max > 0 {
        (source, sink) = (source.slow(0), sink.slow(write_max));
    }
    let (mut from, mut to) = (Link::Memory(Box::new(source)), Link::Memory(Box::new(sink)));
    let mut buffer = Buffer::default();
    let mut relay = Relay::default();
    relay.begin(None).extend_from_slice(HEAD);
    relay.open_tap(1 << 20);
    relay.set_transform(case.transform.clone());
    relay
        .begin_body(case.framing, case.form, &mut buffer)
        .map_err(|_| "begin")?;
    let mut cx = Context::from_waker(Waker::noop());
    let mut last_announced = false;
    // Paused links wake at once, so every second poll makes progress.
    for _ in 0..200_000 {
        match relay.poll(&mut cx, &mut from, &mut buffer, &mut to, None, |_| {
            last_announced = true;
        }) {
            Poll::Pending => {}
            Poll::Ready(Err(RelayError::Ended)) => return Err("ended"),
            Poll::Ready(Err(RelayError::Coding(_))) => return Err("coding"),
            Poll::Ready(Err(_)) => return Err("other"),
            Poll::Ready(Ok(())) => {
                let Link::Memory(sink) = to else { unreachable!() };
                return Ok(Relayed {
                    written: sink.written().to_vec(),
                    trailers: sink.written_trailers().map(<[u8]>::to_vec),
                    tap: relay.take_tap().unwrap(),
                    body_bytes: relay.body_bytes(),
                    last_announced,
                });
            }
        }
    }
    Err("stuck")
}

/// The body received by the sink: chunks are joined, base64 is not decoded.
fn body_of(relayed: &Relayed, form: BodyForm) -> Vec<u8> {
    let written = relayed.written.strip_prefix(HEAD).unwrap();
    if form != BodyForm::Chunks {
        return written.to_vec();
    }
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let (mut rest, mut body) = (written, Vec::new());
    while !decoder.is_done() {
        let piece = decoder.decode(rest).unwrap();
        assert!(piece.consumed > 0, "the last chunk is missing");
        body.extend_from_slice(&rest[piece.data]);
        rest = &rest[piece.consumed..];
    }
    assert_eq!(rest, b"");
    body
}

fn chunks(body: &[u8], sizes: &[usize], trailers: &[u8]) -> Vec<u8> {
    let mut sent = Vec::new();
    let mut rest = body;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, after) = rest.split_at((*size).clamp(1, rest.len()));
        write::chunk(&mut sent, chunk);
        rest = after;
    }
    sent.extend_from_slice(b"0\r\n");
    sent.extend_from_slice(trailers);
    sent.extend_from_slice(b"\r\n");
    sent
}

/// The framing of a body at its source.
#[derive(Debug, Clone, Copy)]
enum Source {
    Length,
    Chunks,
    Close,
    Frames,
}

fn case(body: &[u8], sizes: &[usize], source: Source, form: BodyForm) -> Case {
    let trailers = b"x-sum: 7\r\n";
    let (sent, framing) = match source {
        Source::Length => (body.to_vec(), Framing::Length(body.len() as u64)),
        Source::Chunks => (chunks(body, sizes, trailers), Framing::Chunked),
        Source::Close => (body.to_vec(), Framing::UntilClose),
        Source::Frames => (body.to_vec(), Framing::UntilClose),
    };
    Case {
        sent,
        framing,
        trailers: if matches!(source, Source::Frames) {
            trailers
        } else {
            b""
        },
        source_frames: matches!(source, Source::Frames),
        form,
        transform: Transform::None,
    }
}

fn sources() -> impl Strategy<Value = Source> {
    prop_oneof![
        Just(Source::Length),
        Just(Source::Chunks),
        Just(Source::Close),
        Just(Source::Frames)
    ]
}

fn forms() -> impl Strategy<Value = BodyForm> {
    prop_oneof![
        Just(BodyForm::Plain),
        Just(BodyForm::Chunks),
        Just(BodyForm::Frames)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn body_does_not_depend_on_splits(
        body in proptest::collection::vec(any::<u8>(), 0..400),
        sizes in proptest::collection::vec(1usize..90, 1..4),
        cuts in proptest::collection::vec(1usize..120, 1..6),
        write_max in 0usize..40,
        source in sources(),
        form in forms(),
    ) {
        let case = case(&body, &sizes, source, form);
        let whole = relay(&case, &[usize::MAX], 0).unwrap();
        prop_assert_eq!(&body_of(&whole, form), &body);
        prop_assert_eq!(&whole.tap, &Tap::Open { copy: body.clone(), max: 1 << 20 });
        prop_assert_eq!(whole.body_bytes, body.len() as u64);
        prop_assert!(whole.last_announced);
        let cut = relay(&case, &cuts, write_max).unwrap();
        prop_assert_eq!(&body_of(&cut, form), &body);
        prop_assert_eq!((cut.trailers, cut.tap, cut.body_bytes, cut.last_announced),
                        (whole.trailers, whole.tap, whole.body_bytes, whole.last_announced));
    }

    #[test]
    fn trailers_are_relayed_to_chunks_and_frames(
        body in proptest::collection::vec(any::<u8>(), 0..100),
        cuts in proptest::collection::vec(1usize..50, 1..4),
        write_max in 1usize..30,
        from_frames in any::<bool>(),
    ) {
        let source = if from_frames { Source::Frames } else { Source::Chunks };
        let chunked = relay(&case(&body, &[7], source, BodyForm::Chunks), &cuts, write_max).unwrap();
        prop_assert!(chunked.written.ends_with(b"0\r\nx-sum: 7\r\n\r\n"));
        let framed = relay(&case(&body, &[7], source, BodyForm::Frames), &cuts, write_max).unwrap();
        prop_assert_eq!(framed.trailers.as_deref(), Some(&b"x-sum: 7\r\n"[..]));
        let plain = relay(&case(&body, &[7], source, BodyForm::Plain), &cuts, write_max).unwrap();
        prop_assert_eq!(&body_of(&plain, BodyForm::Plain), &body);
    }

    #[test]
    fn transforms_do_not_depend_on_splits(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        cuts in proptest::collection::vec(1usize..50, 1..4),
        write_max in 0usize..30,
    ) {
        // A gRPC-Web-Text request is decoded; a gRPC response becomes gRPC-Web, with the trailers as a frame.
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(&body).into_bytes();
        let request = Case {
            transform: Transform::from_grpc_web_text(),
            ..case(&text, &[9], Source::Length, BodyForm::Chunks)
        };
        let decoded = relay(&request, &cuts, write_max).unwrap();
        prop_assert_eq!(&body_of(&decoded, BodyForm::Chunks), &body);

        let response = Case {
            transform: Transform::GrpcWeb,
            ..case(&body, &[9], Source::Frames, BodyForm::Chunks)
        };
        let translated = relay(&response, &cuts, write_max).unwrap();
        let mut expected = body;
        expected.extend_from_slice(b"\x80\0\0\0\x09x-sum:7\r\n");
        prop_assert_eq!(body_of(&translated, BodyForm::Chunks), expected);
    }

    #[test]
    fn retained_message_is_sent_again_from_its_first_byte(
        body in proptest::collection::vec(any::<u8>(), 0..400),
        sizes in proptest::collection::vec(1usize..90, 1..4),
        write_max in 1usize..40,
        source in sources(),
        form in forms(),
        max in 0usize..400,
        polls in 0usize..60,
    ) {
        let case = case(&body, &sizes, source, form);
        let mut pieces = case.sent.chunks(37).map(Bytes::copy_from_slice);
        let mut incoming = Memory::new(pieces.by_ref()).slow(0);
        if case.source_frames {
            incoming = incoming.framed(case.trailers);
        }
        let sink = || {
            let sink = Memory::default().slow(write_max);
            Link::Memory(Box::new(if form == BodyForm::Frames { sink.framed(b"") } else { sink }))
        };
        let (mut from, mut first, mut second) = (Link::Memory(Box::new(incoming)), sink(), sink());
        let (mut buffer, mut relay) = (Buffer::default(), Relay::default());
        relay.begin(None).extend_from_slice(HEAD);
        relay.retain_body(max);
        prop_assert!(relay.begin_body(case.framing, case.form, &mut buffer).is_ok());
        let mut cx = Context::from_waker(Waker::noop());
        let mut is_over = false;
        for _ in 0..polls {
            if !is_over {
                is_over = relay.poll(&mut cx, &mut from, &mut buffer, &mut first, None, |_| {}).is_ready();
            }
        }
        prop_assert_eq!(relay.is_retained(), relay.body_bytes() <= max as u64);
        if !relay.is_retained() {
            return Ok(());
        }
        relay.restart();
        let relayed = (0..20_000).find_map(|_| {
            match relay.poll(&mut cx, &mut from, &mut buffer, &mut second, None, |_| {}) {
                Poll::Pending => None,
                Poll::Ready(relayed) => Some(relayed.is_ok()),
            }
        });
        prop_assert_eq!(relayed, Some(true));
        prop_assert_eq!(relay.can_restart(), body.len() <= max);
        let Link::Memory(sink) = second else { unreachable!() };
        let relayed = Relayed {
            written: sink.written().to_vec(),
            trailers: sink.written_trailers().map(<[u8]>::to_vec),
            tap: Tap::Closed,
            body_bytes: 0,
            last_announced: true,
        };
        prop_assert_eq!(&body_of(&relayed, form), &body);
    }

    #[test]
    fn truncated_body_is_an_error(
        body in proptest::collection::vec(any::<u8>(), 1..100),
        missing in 1usize..20,
        cuts in proptest::collection::vec(1usize..50, 1..4),
        form in forms(),
    ) {
        let mut short = case(&body, &[9], Source::Length, form);
        short.framing = Framing::Length((body.len() + missing) as u64);
        prop_assert_eq!(relay(&short, &cuts, 7), Err("ended"));
        let mut chunked = case(&body, &[9], Source::Chunks, form);
        let length = chunked.sent.len();
        chunked.sent.truncate(length - missing.min(length - 1));
        prop_assert_eq!(relay(&chunked, &cuts, 7), Err("ended"));
    }
}

#[test]
fn body_over_the_limit_is_rejected() {
    let mut relay = Relay::default();
    relay.begin(Some(4));
    let mut buffer = Buffer::default();
    buffer.append(b"12345");
    let begun = relay.begin_body(Framing::Length(5), BodyForm::Plain, &mut buffer);
    assert!(matches!(begun, Err(RelayError::TooLarge)));
}

#[test]
fn tap_over_its_bound_is_discarded() {
    let mut relay = Relay::default();
    relay.begin(None);
    relay.open_tap(4);
    let mut buffer = Buffer::default();
    buffer.append(b"12345");
    relay
        .begin_body(Framing::Length(5), BodyForm::Plain, &mut buffer)
        .unwrap();
    assert_eq!(relay.take_tap(), Some(Tap::Overflowed));
}

#[test]
fn malformed_chunks_are_a_coding_error() {
    let mut malformed = case(b"abc", &[3], Source::Chunks, BodyForm::Plain);
    malformed.sent = b"zz\r\nabc\r\n0\r\n\r\n".to_vec();
    assert_eq!(relay(&malformed, &[1], 3), Err("coding"));
}
