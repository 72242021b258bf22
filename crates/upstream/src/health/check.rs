//! The verdict of checks about an endpoint.

/// Checks in a row that change a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Failed ones, until the endpoint is down.
    pub unhealthy: u32,
    /// Passed ones, until it is up.
    pub healthy: u32,
}

/// The verdict so far, and the checks that speak against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckState {
    /// True if the endpoint passes; `None` before the first check.
    verdict: Option<bool>,
    /// Checks in a row with the opposite result.
    opposed: u32,
}

impl CheckState {
    /// The state of an endpoint with this verdict.
    pub fn restored(verdict: Option<bool>) -> Self {
        Self { verdict, opposed: 0 }
    }

    /// True if the endpoint passes; `None` before the first check.
    pub fn verdict(self) -> Option<bool> {
        self.verdict
    }

    /// Records the result of a check. Returns true if the verdict is another now. The first check decides alone.
    pub fn record(&mut self, passed: bool, thresholds: Thresholds) -> bool {
        let threshold = if passed {
            thresholds.healthy
        } else {
            thresholds.unhealthy
        };
        self.opposed = match self.verdict {
            Some(verdict) if verdict == passed => 0,
            _ => self.opposed + 1,
        };
        let changes = match self.verdict {
            None => true,
            Some(verdict) => verdict != passed && self.opposed >= threshold,
        };
        if changes {
            *self = Self::restored(Some(passed));
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    /// Checks the verdicts behind each of `results`; `+` is a passed check, or an endpoint that is up.
    fn check(results: &str, expected: &str) {
        let thresholds = Thresholds {
            unhealthy: 3,
            healthy: 2,
        };
        let mut state = CheckState::default();
        let verdicts: String = results
            .chars()
            .map(|result| {
                let before = state.verdict();
                let changed = state.record(result == '+', thresholds);
                assert_eq!(changed, state.verdict() != before, "{results}");
                if state.verdict() == Some(true) { '+' } else { '-' }
            })
            .collect();
        assert_eq!(verdicts, expected, "{results}");
    }

    #[test]
    fn first_check_decides_alone_and_thresholds_hold_afterwards() {
        check("+--+---++", "++++++--+");
        check("-+-++--", "----+++");
        check("-++", "--+");
        check("+---", "+++-");
        check("+-+-+-+-", "++++++++");
        check("-+-+-+-+", "--------");
    }

    proptest! {
        /// The reference looks back over all results each time.
        #[test]
        fn verdicts_are_those_of_a_look_back(
            results in prop::collection::vec(any::<bool>(), 1..60),
            unhealthy in 1u32..5,
            healthy in 1u32..5,
        ) {
            let mut state = CheckState::default();
            let mut expected = results[0];
            // The verdict begins to be opposed after the result that made it.
            let mut since = 0;
            for (at, result) in results.iter().enumerate() {
                state.record(*result, Thresholds { unhealthy, healthy });
                let against = results[since..=at].iter().rev().take_while(|other| **other != expected).count();
                let threshold = if expected { unhealthy } else { healthy };
                if at > 0 && against >= threshold as usize {
                    expected = !expected;
                    since = at + 1;
                }
                prop_assert_eq!(state.verdict(), Some(expected));
            }
        }
    }
}
