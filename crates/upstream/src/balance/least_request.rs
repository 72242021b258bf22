//! Least requests: of two choices, the one with less to do.
//!
//! Both are drawn by weight, and compared by requests in flight over weight; the first wins a tie. So while nothing is in
//! flight the shares are the weights, and under load a slow endpoint, which keeps its requests longer, is drawn as often but
//! chosen less. Two choices are nearly as good as a look at all of them, and many gateways that look at once do not all
//! choose the same one (Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001).

use crate::balance::weights::Weights;
use crate::balance::{next_roll, scramble};

/// Picks one of two positions that `roll` falls on. Once some are tried, picks the best of all others.
pub fn pick(
    weights: &Weights,
    roll: u64,
    in_flight: impl Fn(usize) -> u32,
    is_tried: Option<&dyn Fn(usize) -> bool>,
) -> Option<usize> {
    let mut state = scramble(roll);
    let first = weights.draw(roll)?;
    let better = |first: usize, second: usize| {
        let load = |at: usize, other: usize| u128::from(in_flight(at)) * u128::from(weights.of(other));
        if load(second, first) < load(first, second) {
            second
        } else {
            first
        }
    };
    let Some(is_tried) = is_tried else {
        let second = weights.draw_except(next_roll(&mut state), first);
        return Some(second.map_or(first, |second| better(first, second)));
    };
    // From the first on, so that ties do not all go to one endpoint.
    let others = (first..weights.len()).chain(0..first);
    others.filter(|at| !is_tried(*at)).reduce(better)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share of each position in percent, over many rolls.
    fn shares(weights: &[u64], in_flight: &[u32], tried: &[usize]) -> Vec<u32> {
        let weights = Weights::new(weights.iter().copied());
        let mut counts = vec![0; weights.len()];
        let is_tried = |at: usize| tried.contains(&at);
        let is_tried: Option<&dyn Fn(usize) -> bool> = (!tried.is_empty()).then_some(&is_tried);
        let mut state = 7;
        let rolls = 100_000;
        for _ in 0..rolls {
            if let Some(at) = pick(&weights, next_roll(&mut state), |at| in_flight[at], is_tried) {
                counts[at] += 100;
            }
        }
        counts.iter().map(|count| (count + rolls / 2) / rolls).collect()
    }

    #[test]
    fn idle_endpoints_have_their_weights() {
        assert_eq!(shares(&[1, 1, 1, 1], &[0; 4], &[]), [25; 4]);
        assert_eq!(shares(&[3, 1], &[0, 0], &[]), [75, 25]);
        assert_eq!(shares(&[5, 1, 1], &[0; 3], &[]), [71, 14, 14]);
        // As busy as their weights allow.
        assert_eq!(shares(&[3, 1], &[6, 2], &[]), [75, 25]);
    }

    #[test]
    fn of_two_choices_the_one_with_less_to_do_is_picked() {
        assert_eq!(shares(&[1, 1], &[1, 0], &[]), [0, 100]);
        assert_eq!(shares(&[3, 1], &[2, 1], &[]), [100, 0], "over weight");
        assert_eq!(shares(&[3, 1], &[4, 1], &[]), [0, 100], "over weight");
        // The busiest loses every pair, the idlest wins each of its.
        assert_eq!(shares(&[1, 1, 1], &[9, 4, 0], &[]), [0, 33, 67]);
    }

    #[test]
    fn after_a_failed_attempt_the_best_of_the_others_is_picked() {
        assert_eq!(shares(&[1, 1, 1], &[0, 3, 1], &[0]), [0, 0, 100]);
        assert_eq!(shares(&[1, 1, 1], &[5, 0, 0], &[0]), [0, 67, 33]);
        assert_eq!(shares(&[1, 1], &[0, 0], &[0, 1]), [0, 0]);
        assert_eq!(shares(&[], &[], &[]), [0; 0]);
    }

    #[test]
    fn one_endpoint_takes_everything() {
        assert_eq!(shares(&[2], &[1000], &[]), [100]);
    }
}
