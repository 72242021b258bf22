//! Weighted random choice.

use crate::balance::weights::Weights;

/// Picks the position that `roll` falls on; of those that are not tried, in proportion to their weights.
pub fn pick(weights: &Weights, roll: u64, is_tried: impl Fn(usize) -> bool) -> Option<usize> {
    let at = weights.draw(roll)?;
    if !is_tried(at) {
        return Some(at);
    }
    let rest = || (0..weights.len()).filter(|at| !is_tried(*at));
    let among = Weights::new(rest().map(|at| weights.of(at)));
    rest().nth(among.draw(roll)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the picks over evenly spaced rolls, of which there are many times the sum of the weights.
    fn shares(weights: &[u64], tried: &[usize]) -> Vec<u32> {
        let weights = Weights::new(weights.iter().copied());
        let mut counts = vec![0; weights.len()];
        let steps: u128 = 2520;
        for step in 0..steps {
            // In the middle of each step.
            let roll = u64::try_from((((2 * step + 1) << 63) / steps) & u128::from(u64::MAX)).unwrap();
            if let Some(at) = pick(&weights, roll, |at| tried.contains(&at)) {
                counts[at] += 1;
            }
        }
        counts
    }

    #[test]
    fn shares_are_the_weights() {
        assert_eq!(shares(&[1, 1, 1], &[]), [840, 840, 840]);
        assert_eq!(shares(&[5, 1, 1], &[]), [1800, 360, 360]);
        assert_eq!(shares(&[1, 2, 3, 4], &[]), [252, 504, 756, 1008]);
    }

    #[test]
    fn tried_endpoints_are_not_picked_again() {
        let counts = shares(&[5, 1, 1], &[0]);
        assert_eq!((counts[0], counts[1] + counts[2]), (0, 2520));
        assert!(counts[1] > 1200 && counts[2] > 400, "{counts:?}");
        assert_eq!(shares(&[5, 1], &[0, 1]), [0, 0]);
        assert_eq!(shares(&[], &[]), [0; 0]);
    }
}
