//! The weights of the endpoints in use.

use crate::balance::scale;

/// The scale of weights: an endpoint of weight 1 has this many thousandths, or fewer while it starts slowly.
pub const ONE: u64 = 1000;

/// Weights by position, as sums for lookup. None of them is 0.
///
/// `sums[k]` is the sum of the weights up to `k`, its own included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Weights {
    sums: Vec<u64>,
    is_even: bool,
}

impl Weights {
    /// The weights in order. One of 0 counts as 1.
    pub fn new(weights: impl IntoIterator<Item = u64>) -> Self {
        let mut sums: Vec<u64> = Vec::new();
        let mut total: u64 = 0;
        for weight in weights {
            total = total.saturating_add(weight.max(1));
            sums.push(total);
        }
        let mut weights = Self { sums, is_even: false };
        weights.is_even = (1..weights.len()).all(|at| weights.of(at) == weights.of(0));
        weights
    }

    /// The number of weights.
    pub fn len(&self) -> usize {
        self.sums.len()
    }

    /// Returns true if there is none.
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// Returns true if all are the same.
    pub fn is_even(&self) -> bool {
        self.is_even
    }

    /// The sum of all.
    pub fn total(&self) -> u64 {
        self.sums.last().copied().unwrap_or(0)
    }

    /// The weight at `at`.
    pub fn of(&self, at: usize) -> u64 {
        self.sums[at] - self.before(at)
    }

    /// The sum of the weights in front of `at`.
    fn before(&self, at: usize) -> u64 {
        at.checked_sub(1).map_or(0, |last| self.sums[last])
    }

    /// The position that `roll` falls on, in proportion to the weights; `None` without any. Over all rolls, the share of
    /// a position is its weight divided by the total.
    pub fn draw(&self, roll: u64) -> Option<usize> {
        (!self.is_empty()).then(|| self.at(scale(roll, self.total())))
    }

    /// The position that `roll` falls on among those but `excluded`; `None` if there is no other.
    pub fn draw_except(&self, roll: u64, excluded: usize) -> Option<usize> {
        let start = self.before(excluded);
        let width = self.of(excluded);
        let rest = self.total() - width;
        if rest == 0 {
            return None;
        }
        let target = scale(roll, rest);
        Some(self.at(if target < start { target } else { target + width }))
    }

    /// The position whose weight covers `target`, which is less than the total.
    fn at(&self, target: u64) -> usize {
        if self.is_even {
            return (target / self.sums[0]) as usize;
        }
        self.sums.partition_point(|sum| *sum <= target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first roll that falls on `target` out of `total`: `ceil(2^64 · target / total)`.
    fn first_roll(target: u64, total: u64) -> u64 {
        let numerator = u128::from(target) << 64;
        u64::try_from(numerator.div_ceil(u128::from(total))).unwrap()
    }

    /// Checks that `draw` gives each of `expected`, a position with its share, exactly its rolls in order: a draw only
    /// grows with the roll, so its first and last roll prove all between.
    fn check(draw: impl Fn(u64) -> Option<usize>, expected: &[(usize, u64)]) {
        let total: u64 = expected.iter().map(|(_, share)| share).sum();
        let mut start = 0;
        for (at, share) in expected {
            let last = match start + share {
                end if end == total => u64::MAX,
                end => first_roll(end, total) - 1,
            };
            let first = first_roll(start, total);
            for roll in [first, first + (last - first) / 2, last] {
                assert_eq!(draw(roll), Some(*at), "roll {roll}");
            }
            start += share;
        }
    }

    #[test]
    fn each_position_has_exactly_its_share_of_all_rolls() {
        for weights in [
            &[1][..],
            &[1, 1, 1],
            &[5, 1, 1],
            &[1, 999, 1000],
            &[7; 1000],
            &[u64::MAX / 4, 1, 3],
        ] {
            let drawn = Weights::new(weights.iter().copied());
            let all: Vec<(usize, u64)> = weights.iter().copied().enumerate().collect();
            check(|roll| drawn.draw(roll), &all);
            for excluded in [0, weights.len() / 2, weights.len() - 1] {
                let mut others = all.clone();
                others.remove(excluded);
                check(|roll| drawn.draw_except(roll, excluded), &others);
            }
        }
        assert_eq!(Weights::default().draw(7), None);
        assert_eq!(Weights::new([3]).draw_except(7, 0), None);
    }

    #[test]
    fn even_weights_are_recognised() {
        for (weights, expected) in [
            (&[][..], true),
            (&[2], true),
            (&[2, 2, 2], true),
            (&[2, 2, 3], false),
        ] {
            assert_eq!(
                Weights::new(weights.iter().copied()).is_even(),
                expected,
                "{weights:?}"
            );
        }
    }
}
