//! Smooth weighted round robin.
//!
//! Each pick adds to every endpoint its weight, takes the one with the most, and takes the sum of the weights off it.
//! Over as many picks as the sum of the weights, each has exactly its share, and the picks of one are spread: 5:1:1 gives
//! a a b a c a a. With even weights that is the order of the endpoints, for which a cursor is enough: a pick costs the same
//! however many there are.

use crate::balance::weights::Weights;

/// The state of a rotation over endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotation {
    /// The position of the next pick, where weights are even.
    cursor: usize,
    /// The savings of each endpoint, where weights are not even; empty before the first pick.
    saved: Vec<i64>,
}

impl Rotation {
    /// A rotation that begins at the endpoint at `cursor`, modulo their number, where weights are even.
    pub fn new(cursor: usize) -> Self {
        Self {
            cursor,
            saved: Vec::new(),
        }
    }

    /// Goes on with other endpoints: `was` has, for each, its position before, if it had any.
    pub fn rearrange(&mut self, was: impl Iterator<Item = Option<usize>>) {
        if !self.saved.is_empty() {
            let saved = was.map(|was| was.and_then(|was| self.saved.get(was)).copied().unwrap_or(0));
            self.saved = saved.collect();
        }
    }

    /// Picks the next position, of those that are not tried.
    pub fn pick(&mut self, weights: &Weights, is_tried: impl Fn(usize) -> bool) -> Option<usize> {
        if weights.is_even() {
            self.next(weights.len(), is_tried)
        } else {
            self.heaviest(weights, is_tried)
        }
    }

    fn next(&mut self, count: usize, is_tried: impl Fn(usize) -> bool) -> Option<usize> {
        let cursor = self.cursor;
        self.cursor = cursor.wrapping_add(1);
        let mut at = cursor.checked_rem(count)?;
        for _ in 0..count {
            if !is_tried(at) {
                return Some(at);
            }
            at = if at + 1 == count { 0 } else { at + 1 };
        }
        None
    }

    fn heaviest(&mut self, weights: &Weights, is_tried: impl Fn(usize) -> bool) -> Option<usize> {
        self.saved.resize(weights.len(), 0);
        let mut total: i64 = 0;
        let mut most: Option<usize> = None;
        for at in (0..weights.len()).filter(|at| !is_tried(*at)) {
            // At most 65,535 thousand thousandths each; sums stay far from overflowing.
            let weight = i64::try_from(weights.of(at)).unwrap_or(i64::MAX);
            total = total.saturating_add(weight);
            self.saved[at] = self.saved[at].saturating_add(weight);
            if most.is_none_or(|most| self.saved[at] > self.saved[most]) {
                most = Some(at);
            }
        }
        let most = most?;
        self.saved[most] = self.saved[most].saturating_sub(total);
        Some(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The picks from endpoints `a`, `b`, …, after the first of them where weights are even.
    fn sequence(rotation: &mut Rotation, weights: &[u64], tried: &[usize], picks: usize) -> String {
        let weights = Weights::new(weights.iter().copied());
        let pick = |_| rotation.pick(&weights, |at| tried.contains(&at));
        let picks = (0..picks).map(pick);
        picks
            .map(|at| at.map_or('-', |at| char::from(b'a' + u8::try_from(at).unwrap())))
            .collect()
    }

    fn check(weights: &[u64], expected: &str) {
        let found = sequence(&mut Rotation::default(), weights, &[], expected.len());
        assert_eq!(found, expected, "{weights:?}");
    }

    #[test]
    fn picks_of_one_endpoint_are_spread() {
        check(&[5, 1, 1], "aabacaaaabacaa");
        check(&[5000, 1000, 1000], "aabacaaaabacaa");
        check(&[1, 5, 1], "bbabcbbbbabcbb");
        check(&[1, 2, 3], "cbacbc");
        check(&[3, 3, 1], "abcabab");
        check(&[1, 1, 1], "abcabc");
        check(&[2, 2], "abab");
        check(&[7], "aaa");
        check(&[], "--");
    }

    #[test]
    fn every_period_has_exactly_the_weights() {
        for weights in [&[5, 1, 1][..], &[1, 2, 3, 4], &[100, 1, 37], &[1; 9]] {
            let sum = usize::try_from(weights.iter().sum::<u64>()).unwrap();
            let mut rotation = Rotation::default();
            for _ in 0..3 {
                let period = sequence(&mut rotation, weights, &[], sum);
                for (at, weight) in weights.iter().enumerate() {
                    let name = char::from(b'a' + u8::try_from(at).unwrap());
                    assert_eq!(period.matches(name).count() as u64, *weight, "{weights:?}");
                }
            }
        }
    }

    #[test]
    fn tried_endpoints_are_skipped() {
        let mut rotation = Rotation::default();
        assert_eq!(sequence(&mut rotation, &[1, 1, 1], &[0], 4), "bbcb");
        assert_eq!(sequence(&mut rotation, &[5, 1, 1], &[0], 4), "bcbc");
        assert_eq!(sequence(&mut rotation, &[5, 1], &[0, 1], 2), "--");
    }

    #[test]
    fn cursor_wraps_around() {
        let mut rotation = Rotation::new(usize::MAX);
        let last = usize::MAX % 3;
        let weights = Weights::new([1, 1, 1]);
        assert_eq!(rotation.pick(&weights, |_| false), Some(last));
        assert_eq!(rotation.pick(&weights, |_| false), Some(0));
    }

    #[test]
    fn a_change_of_endpoints_leaves_the_turns_of_the_others() {
        let mut rotation = Rotation::default();
        assert_eq!(sequence(&mut rotation, &[5, 1, 1], &[], 3), "aab");
        // `d` comes in front of the others.
        rotation.rearrange([None, Some(0), Some(1), Some(2)].into_iter());
        assert_eq!(rotation.saved, [0, 1, -4, 3]);
        assert_eq!(sequence(&mut rotation, &[1, 5, 1, 1], &[], 2), "bd");
    }
}
