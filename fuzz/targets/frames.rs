//! Frames are counted alike however their bytes are cut, and no input breaks the count.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use waypost_wire::frames::{Excess, FrameBudget};

fuzz_target!(|data: &[u8]| {
    let Some((&cut, bytes)) = data.split_first() else {
        return;
    };
    // A flood takes more frames than an input holds, so the input is repeated.
    let whole = feed(bytes, bytes.len().max(1));
    assert_eq!(whole, feed(bytes, 1), "byte by byte");
    assert_eq!(whole, feed(bytes, usize::from(cut).max(1)), "in pieces of {cut}");
});

/// The verdict on `bytes`, cut into pieces and repeated a thousand times at one instant.
fn feed(bytes: &[u8], piece: usize) -> (Option<Excess>, Option<Duration>, bool) {
    let mut watch = FrameBudget::default();
    let played = (0..1000).try_for_each(|_| {
        let mut pieces = bytes.chunks(piece);
        pieces.try_for_each(|piece| watch.feed(piece, Duration::ZERO))
    });
    (played.err(), watch.head_since(), watch.is_malformed(1))
}
