//! The weights of a split, as they are stored.

use waypost_plan::Plan;
use waypost_plan::route::Action;
use waypost_rollout::ramp::plan::Percent;

/// Weights of services, in the order of a split's arms.
pub(crate) type Weights = Vec<(String, u64)>;

/// The declared weights of the route at `position`; `None` if it does not forward.
pub(crate) fn declared(plan: &Plan, position: usize) -> Option<Weights> {
    let Action::Forward(forward) = &plan.routes()[position].action else {
        return None;
    };
    let names = forward.arms.iter().map(|id| plan.service(*id).name.to_string());
    Some(names.zip(forward.split.weights().iter().copied()).collect())
}

/// The share of a service in these weights.
pub(crate) fn share_of(weights: &Weights, service: &str) -> Percent {
    let sum: u128 = weights.iter().map(|(_, weight)| u128::from(*weight)).sum();
    let known = weights.iter().find(|(known, _)| known == service);
    let weight = known.map_or(0, |(_, weight)| u128::from(*weight));
    let thousandths = (weight * u128::from(Percent::ALL.thousandths()) + sum / 2) / sum.max(1);
    let thousandths = u64::try_from(thousandths).unwrap_or(u64::MAX);
    Percent::from_thousandths(thousandths).unwrap_or(Percent::ALL)
}

/// The weights that give a service this share, while the others keep their proportions. `None` if no other one has a weight.
pub(crate) fn weights_at(weights: &Weights, service: &str, percent: Percent) -> Option<Weights> {
    let all = u128::from(Percent::ALL.thousandths());
    let share = u128::from(percent.thousandths());
    let others: u128 = weights
        .iter()
        .filter(|(known, _)| known != service)
        .map(|(_, weight)| u128::from(*weight))
        .sum();
    if others == 0 {
        return None;
    }
    // At most 2^64 arms of 2^64 each, times 10^5: far below 2^128 for any split that fits into memory.
    let exact = weights.iter().map(|(known, weight)| match known == service {
        true => others * share,
        false => u128::from(*weight) * (all - share),
    });
    let exact: Vec<u128> = exact.collect();
    let divisor = exact.iter().copied().fold(0, gcd).max(1);
    let sum: u128 = exact.iter().map(|weight| weight / divisor).sum();
    // Percentages are easier to read than the smallest numbers.
    let factor = if sum > 0 && 100 % sum == 0 { 100 / sum } else { 1 };
    // Weights that are too large lose their last digits, never the arm its weight.
    let excess = sum >> 63;
    let scale = excess + u128::from(excess > 0);
    let scaled = exact.into_iter().map(|weight| {
        let weight = weight / divisor * factor;
        let scaled = weight / scale.max(1);
        u64::try_from(if weight > 0 { scaled.max(1) } else { 0 }).unwrap_or(u64::MAX)
    });
    let names = weights.iter().map(|(known, _)| known.clone());
    Some(names.zip(scaled).collect())
}

/// The weights of a split that has these declared ones now: a service that is gone gives its weight to the others but
/// `service`, or to `heir` if these have none. A service that came later gets nothing.
pub(crate) fn carried_over(weights: &Weights, declared: &Weights, service: &str, heir: &str) -> Weights {
    let weight_of = |name: &str| weights.iter().find(|(known, _)| known == name);
    let mut kept: Weights = declared
        .iter()
        .map(|(name, _)| (name.clone(), weight_of(name).map_or(0, |(_, weight)| *weight)))
        .collect();
    let is_gone = |name: &str| !declared.iter().any(|(known, _)| known == name);
    if !weights.iter().any(|(name, weight)| *weight > 0 && is_gone(name)) {
        return kept;
    }
    let others: u128 = kept
        .iter()
        .filter(|(name, _)| name != service)
        .map(|(_, weight)| u128::from(*weight))
        .sum();
    if others == 0
        && let Some((_, weight)) = kept.iter_mut().find(|(name, _)| name == heir)
    {
        *weight = 1;
    }
    weights_at(&kept, service, share_of(weights, service)).unwrap_or(kept)
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(weights: &[(&str, u64)]) -> Weights {
        let weights = weights.iter();
        weights
            .map(|(name, weight)| ((*name).to_owned(), *weight))
            .collect()
    }

    fn percent(percent: f64) -> Percent {
        Percent::from_thousandths((percent * 1000.0) as u64).unwrap()
    }

    #[test]
    fn service_gets_its_share_and_the_others_keep_their_proportions() {
        let check = |before: &[(&str, u64)], share: f64, expected: Option<&[u64]>| {
            let found = weights_at(&weights(before), "c", percent(share));
            let found = found.map(|found| found.into_iter().map(|(_, weight)| weight).collect::<Vec<_>>());
            assert_eq!(found.as_deref(), expected, "{before:?} at {share}");
        };
        check(&[("b", 100), ("c", 0)], 5.0, Some(&[95, 5]));
        check(&[("b", 1), ("c", 0)], 0.5, Some(&[199, 1]));
        check(&[("b", 3), ("c", 7)], 100.0, Some(&[0, 100]));
        check(&[("b", 3), ("c", 7)], 0.0, Some(&[100, 0]));
        check(&[("b", 80), ("c", 0), ("d", 20)], 5.0, Some(&[76, 5, 19]));
        check(&[("b", 2), ("c", 0), ("d", 1)], 50.0, Some(&[2, 3, 1]));
        check(&[("b", 0), ("c", 100)], 5.0, None);
        check(&[("b", u64::MAX), ("c", 1)], 0.0, Some(&[100, 0]));
    }

    #[test]
    fn large_weights_keep_the_share() {
        let before = weights(&[
            ("b", 9_000_000_000_000_000_000),
            ("c", 1),
            ("d", 9_000_000_000_000_000_001),
        ]);
        for share in [0.001, 1.0, 33.333, 99.0] {
            let found = weights_at(&before, "c", percent(share)).unwrap();
            assert_eq!(share_of(&found, "c"), percent(share), "{found:?}");
            let sum: u128 = found.iter().map(|(_, weight)| u128::from(*weight)).sum();
            assert!(sum <= u128::from(u64::MAX), "{found:?}");
        }
    }

    #[test]
    fn service_that_is_gone_leaves_its_weight_to_the_others() {
        let check = |before: &[(&str, u64)], declared: &[(&str, u64)], expected: &[(&str, u64)]| {
            let found = carried_over(&weights(before), &weights(declared), "c", "b");
            assert_eq!(found, weights(expected), "{before:?}");
        };
        let declared = [("b", 7), ("c", 0)];
        check(
            &[("a", 85), ("b", 10), ("c", 5)],
            &declared,
            &[("b", 95), ("c", 5)],
        );
        check(
            &[("a", 99), ("b", 0), ("c", 1)],
            &declared,
            &[("b", 99), ("c", 1)],
        );
        check(
            &[("a", 0), ("b", 95), ("c", 5)],
            &declared,
            &[("b", 95), ("c", 5)],
        );
        check(
            &[("b", 95), ("c", 5)],
            &[("b", 1), ("n", 9), ("c", 0)],
            &[("b", 95), ("n", 0), ("c", 5)],
        );
    }

    #[test]
    fn shares_are_rounded_to_thousandths() {
        let share =
            |split: [u64; 2]| share_of(&weights(&[("b", split[0]), ("c", split[1])]), "c").to_string();
        assert_eq!(
            [share([1, 2]), share([0, 0]), share([1, u64::MAX])],
            ["66.667 %", "0 %", "100 %"]
        );
    }
}
