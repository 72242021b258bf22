//! Wealth: the product of bets, with new stakes put in as time goes by, so that late damage is found as soon as early.

/// The number of alternatives that are bet on side by side.
pub const ALTERNATIVES: usize = 4;

/// The logarithm of `exp(a) + exp(b)`.
pub(crate) fn ln_add(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY {
        return high;
    }
    high + (low - high).exp().ln_1p()
}

/// The logarithm of the stake of the bet number `index` in a step. Together with the 0.5 at the beginning of the step, all
/// stakes sum to 1.
pub(crate) fn ln_stake(index: u32) -> f64 {
    (0.5 * (reserve(index) - reserve(index + 1))).ln()
}

/// The part of the stakes that is still held back before bet number `index`.
fn reserve(index: u32) -> f64 {
    1.0 / (f64::from(index) + 2.0).log2()
}

/// Wealth of one side: one account for each alternative, as logarithms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wealth {
    /// The accounts.
    pub ln: [f64; ALTERNATIVES],
}

impl Default for Wealth {
    fn default() -> Self {
        Self {
            ln: [f64::NEG_INFINITY; ALTERNATIVES],
        }
    }
}

impl Wealth {
    /// The mean of the accounts: the evidence.
    pub fn mean(&self) -> f64 {
        // Beyond e^300 only the order of magnitude is lost.
        let sum: f64 = self.ln.iter().map(|ln| ln.min(300.0).exp()).sum();
        sum / ALTERNATIVES as f64
    }

    /// The position of the greatest account.
    pub fn leader(&self) -> usize {
        let mut leader = 0;
        for at in 1..ALTERNATIVES {
            if self.ln[at] > self.ln[leader] {
                leader = at;
            }
        }
        leader
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_added() {
        let sum = ln_add(2_f64.ln(), 3_f64.ln());
        assert!((sum - 5_f64.ln()).abs() < 1e-12);
        let nothing = f64::NEG_INFINITY;
        assert_eq!(ln_add(nothing, 1.0), 1.0);
        assert_eq!(ln_add(nothing, nothing), nothing);
        assert_eq!(ln_add(1000.0, 0.0), 1000.0);
    }

    #[test]
    fn stakes_of_a_step_sum_to_one_half() {
        let sum: f64 = (0..100_000).map(|index| ln_stake(index).exp()).sum();
        assert!(sum < 0.5 && sum > 0.46, "{sum}");
    }
}
