//! Load balancing: the endpoint of a service that takes a request.
//!
//! [`standing`] selects the endpoints in use from what is known of all: weight, backup, priority, availability. A
//! [`View`](view::View) of a service holds those with their [`weights`], as long as nothing changes. From it, a request
//! gets its endpoint by [`round_robin`], [`random`], [`least_request`] or [`hash`].
//!
//! All of it is pure. Times, rolls of the dice and the state of rotation come in as arguments, so that shares and
//! sequences are exact in tests.

pub mod hash;
pub mod least_request;
pub mod random;
pub mod round_robin;
pub mod slow_start;
pub mod standing;
pub mod tables;
pub mod view;
pub mod weights;

/// The next of a sequence of rolls, uniform in `0..2^64` (SplitMix64). `state` is changed.
pub fn next_roll(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    scramble(*state)
}

/// Scrambles the bits of `word`, one to one.
pub(crate) fn scramble(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The part of `0..total` that `roll` falls on, in proportion: `floor(roll · total / 2^64)`.
pub(crate) fn scale(roll: u64, total: u64) -> u64 {
    // Less than `total`, so it fits.
    ((u128::from(roll) * u128::from(total)) >> 64) as u64
}
