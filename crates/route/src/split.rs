//! Weighted splits: from a random number to an arm.

/// The arms of a route as shares of the rolls `0..2^64`, in declared order.
///
/// With `c(k)` the running sum of the weights and `sum` their total, arm `k` owns the rolls in
/// `floor(2^64·c(k−1)/sum) .. floor(2^64·c(k)/sum)`. Arms keep their order, so while one of two arms grows,
/// its interval only grows: a sticky client moves at most once during a ramp.
///
/// ```
/// use waypost_route::split::Split;
///
/// let split = Split::new(&[95, 5]);
/// assert_eq!(split.pick(0), Some(0));
/// assert_eq!(split.pick(u64::MAX), Some(1));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    weights: Weights,
    /// `ends[k]` is the last roll of arms `0..=k`; `None` if they have no roll. Ends are ascending, and that of the last
    /// arm with a weight is `u64::MAX`. Empty for a single arm, which owns every roll or none: most routes have one, and
    /// there may be many.
    ends: Box<[Option<u64>]>,
}

/// The weights in order. A single one is stored inline.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Weights {
    One([u64; 1]),
    Any(Box<[u64]>),
}

impl Split {
    /// Returns a split by `weights`, in declared order. If all are zero, or there is no arm, it picks none.
    pub fn new(weights: &[u64]) -> Self {
        if let [only] = *weights {
            return Self {
                weights: Weights::One([only]),
                ends: Box::default(),
            };
        }
        let sum: u128 = weights.iter().map(|&weight| u128::from(weight)).sum();
        let mut running: u128 = 0;
        let ends = weights
            .iter()
            .map(|&weight| {
                running += u128::from(weight);
                let end = share_of_all_rolls(running, sum)?;
                end.checked_sub(1).map(|last| last as u64)
            })
            .collect();
        Self {
            weights: Weights::Any(weights.into()),
            ends,
        }
    }

    /// Returns the arm that owns `roll`; `None` if no arm has a weight.
    pub fn pick(&self, roll: u64) -> Option<usize> {
        if let Weights::One([weight]) = self.weights {
            return (weight > 0).then_some(0);
        }
        self.ends
            .iter()
            .position(|end| end.is_some_and(|end| roll <= end))
    }

    /// The smallest roll that arm `arm` owns; `None` when it owns none.
    pub fn first_roll(&self, arm: usize) -> Option<u64> {
        let start = match arm.checked_sub(1).and_then(|before| self.ends.get(before)) {
            Some(Some(end)) => end.checked_add(1)?,
            Some(None) | None => 0,
        };
        (self.pick(start) == Some(arm)).then_some(start)
    }

    /// Returns the weights in declared order.
    pub fn weights(&self) -> &[u64] {
        match &self.weights {
            Weights::One(one) => one,
            Weights::Any(any) => any,
        }
    }
}

/// `floor(2^64 · part / sum)`, which is at most `2^64`; `None` if `sum` is 0.
///
/// `2^64 · part` may need more than 128 bits, so the quotient is computed bit by bit, by long division.
fn share_of_all_rolls(part: u128, sum: u128) -> Option<u128> {
    if sum == 0 {
        return None;
    }
    if part == sum {
        return Some(1 << 64);
    }
    // 0 <= rest < sum <= 2^64 · arms, so the shift cannot overflow.
    let mut quotient: u128 = 0;
    let mut rest = part;
    for _ in 0..64 {
        rest <<= 1;
        quotient <<= 1;
        if rest >= sum {
            rest -= sum;
            quotient |= 1;
        }
    }
    Some(quotient)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the rolls of each arm by bisection over `pick`.
    fn shares(weights: &[u64]) -> Vec<u128> {
        let split = Split::new(weights);
        let arm_of = |roll: u64| split.pick(roll).unwrap();
        let mut shares = vec![0; weights.len()];
        let mut start: u128 = 0;
        while start < 1 << 64 {
            let arm = arm_of(start as u64);
            let (mut low, mut high) = (start, (1 << 64) - 1);
            while low < high {
                let middle = (low + high).div_ceil(2);
                if arm_of(middle as u64) == arm {
                    low = middle;
                } else {
                    high = middle - 1;
                }
            }
            shares[arm] = low + 1 - start;
            start = low + 1;
        }
        shares
    }

    #[test]
    fn shares_over_all_rolls_are_the_weights() {
        let all: u128 = 1 << 64;
        assert_eq!(shares(&[1]), [all]);
        assert_eq!(shares(&[1, 1]), [all / 2, all / 2]);
        assert_eq!(shares(&[95, 5]), [all * 95 / 100, all - all * 95 / 100]);
        assert_eq!(shares(&[0, 7, 0]), [0, all, 0]);
        assert_eq!(
            shares(&[1, 1, 1]),
            [all / 3, all * 2 / 3 - all / 3, all - all * 2 / 3]
        );
        assert_eq!(shares(&[u64::MAX, u64::MAX]), [all / 2, all / 2]);
    }

    #[test]
    fn the_first_roll_of_an_arm_is_the_smallest_that_picks_it() {
        let split = Split::new(&[0, 95, 0, 5, 0]);
        let firsts: Vec<Option<u64>> = (0..5).map(|arm| split.first_roll(arm)).collect();
        let second = firsts[3].unwrap();
        assert_eq!(firsts, [None, Some(0), None, Some(second), None]);
        assert_eq!((split.pick(second - 1), split.pick(second)), (Some(1), Some(3)));
        assert_eq!(Split::new(&[1]).first_roll(0), Some(0));
        assert_eq!(Split::new(&[0]).first_roll(0), None);
    }

    #[test]
    fn weight_zero_and_no_arm_pick_nothing() {
        assert_eq!(Split::new(&[]).pick(7), None);
        assert_eq!(Split::new(&[0, 0]).pick(7), None);
        assert_eq!(Split::new(&[0, 1]).pick(0), Some(1));
        assert_eq!(Split::new(&[1, 0]).pick(u64::MAX), Some(0));
    }

    #[test]
    fn a_growing_arm_keeps_the_rolls_it_has() {
        for roll in (0..u64::MAX - 1_000_003).step_by(1 << 57) {
            let mut moved = 0;
            let mut before = Split::new(&[100, 0]).pick(roll);
            for percent in 1..=100 {
                let after = Split::new(&[100 - percent, percent]).pick(roll);
                moved += u32::from(after != before);
                before = after;
            }
            assert_eq!((moved, before), (1, Some(1)));
        }
    }
}
