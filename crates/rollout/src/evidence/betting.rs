//! The bet on one window: how well the counts fit the alternative, compared with what is tolerated.
//!
//! Source: R. Turner, A. Ly, P. Grünwald, "Generic E-variables for exact sequential k-sample tests that allow for optional
//! stopping" (JSPI 2024, arXiv 2106.02693 and 2203.09785), extended to margins. For `r = 1` and `delta = 0` the factor
//! equals theirs.

/// The greatest rate that is bet on or against.
pub const RATE_MAX: f64 = 0.95;
/// The smallest rate of the baseline that is bet against.
const RATE_MIN: f64 = 1e-12;
/// The greatest part of the wealth that one request can cost.
const STAKE_MAX: f64 = 0.98;

/// The counts of one window, for one metric.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Window {
    /// Requests of the canary.
    pub canary: f64,
    /// Bad ones among them: `canary_bad <= canary`.
    pub canary_bad: f64,
    /// Requests of the baseline.
    pub baseline: f64,
    /// Bad ones among them: `baseline_bad <= baseline`.
    pub baseline_bad: f64,
}

/// The tolerated rate of the canary: `ratio * p + plus`, where `p` is the baseline's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// The factor on the baseline's rate; 0 for an absolute limit.
    pub ratio: f64,
    /// The rate added to it, 0 to 1.
    pub plus: f64,
}

/// A bet: how much each kind of request multiplies the wealth by, as logarithms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bet {
    /// For a bad request of the canary.
    pub canary_bad: f64,
    /// For a good request of the canary.
    pub canary_good: f64,
    /// For a bad request of the baseline.
    pub baseline_bad: f64,
    /// For a good request of the baseline.
    pub baseline_good: f64,
}

impl Window {
    /// The share of the canary's requests that are bad; 0 without requests.
    pub fn canary_rate(&self) -> f64 {
        rate(self.canary_bad, self.canary)
    }

    /// The share of the baseline's requests that are bad; 0 without requests.
    pub fn baseline_rate(&self) -> f64 {
        rate(self.baseline_bad, self.baseline)
    }

    /// Adds the counts of another window.
    pub fn add(&mut self, other: &Self) {
        self.canary += other.canary;
        self.canary_bad += other.canary_bad;
        self.baseline += other.baseline;
        self.baseline_bad += other.baseline_bad;
    }

    /// The counts of this window that an `earlier` one, a part of it, has not.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            canary: self.canary - earlier.canary,
            canary_bad: self.canary_bad - earlier.canary_bad,
            baseline: self.baseline - earlier.baseline,
            baseline_bad: self.baseline_bad - earlier.baseline_bad,
        }
    }

    /// Returns true if both arms have a request, so that they can be compared.
    pub fn is_comparable(&self) -> bool {
        self.canary >= 1.0 && self.baseline >= 1.0
    }
}

impl Tolerance {
    /// The tolerated rate beside this one of the baseline.
    pub fn tolerated(&self, baseline: f64) -> f64 {
        (self.ratio * baseline + self.plus).min(1.0)
    }
}

fn rate(bad: f64, all: f64) -> f64 {
    if all > 0.0 { bad / all } else { 0.0 }
}

impl Bet {
    /// The bet on a window with these numbers of requests, that the canary's odds are `rho` times the tolerated ones: more
    /// than 1 bets against a canary that is within tolerance, less than 1 against one that is not. `theta` guesses the
    /// baseline's rate; it must come from the past alone. Returns `None` if nothing can be bet.
    pub fn new(canary: f64, baseline: f64, theta: f64, rho: f64, tolerance: Tolerance) -> Option<Self> {
        let Tolerance { ratio, plus } = tolerance;
        let tolerated = (ratio * theta + plus).min(RATE_MAX);
        let alternative = rho * tolerated / (1.0 - tolerated + rho * tolerated);
        let nearest = if ratio == 0.0 {
            0.0
        } else {
            nearest_baseline(canary, baseline, theta, alternative, tolerance)
        };
        let limit = ratio * nearest + plus;
        if !(limit > 0.0 && limit < RATE_MAX) || (alternative > limit) != (rho > 1.0) {
            return None;
        }
        let u = (alternative - limit) / (limit * (1.0 - limit));
        let v = if ratio == 0.0 {
            0.0
        } else {
            ratio * u * canary / baseline
        };
        // No request of the baseline may cost all of the wealth.
        let shrink = if v > 0.0 {
            STAKE_MAX / (v * (1.0 - nearest))
        } else if v < 0.0 {
            STAKE_MAX / (-v * nearest)
        } else {
            1.0
        }
        .min(1.0);
        let (u, v) = (u * shrink, v * shrink);
        Some(Self {
            canary_bad: (u * (1.0 - limit)).ln_1p(),
            canary_good: (-u * limit).ln_1p(),
            baseline_bad: (-v * (1.0 - nearest)).ln_1p(),
            baseline_good: (v * nearest).ln_1p(),
        })
    }

    /// The logarithm of the factor that these counts give.
    pub fn ln_factor(&self, window: &Window) -> f64 {
        window.canary_bad * self.canary_bad
            + (window.canary - window.canary_bad) * self.canary_good
            + window.baseline_bad * self.baseline_bad
            + (window.baseline - window.baseline_bad) * self.baseline_good
    }
}

/// The logarithm of the factor of `window`; see [`Bet::new`]. A window that says nothing gives 0.
pub fn ln_factor(window: &Window, theta: f64, rho: f64, tolerance: Tolerance) -> f64 {
    let bet = Bet::new(window.canary, window.baseline, theta, rho, tolerance);
    bet.map_or(0.0, |bet| bet.ln_factor(window))
}

/// The rate of the baseline that is nearest to the guesses among those that tolerate the alternative: the root of
/// `a w^2 + b w - c`, in the form without cancellation.
fn nearest_baseline(canary: f64, baseline: f64, theta: f64, alternative: f64, tolerance: Tolerance) -> f64 {
    let Tolerance { ratio, plus } = tolerance;
    let a = baseline * ratio + canary * ratio * ratio;
    let b = baseline * plus - baseline * theta * ratio + canary * ratio * plus - canary * ratio * alternative;
    let c = baseline * theta * plus;
    let q = (b * b + 4.0 * a * c).sqrt();
    let root = if b > 0.0 {
        2.0 * c / (b + q)
    } else {
        (q - b) / (2.0 * a)
    };
    root.clamp(RATE_MIN, RATE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(canary: u32, canary_bad: u32, baseline: u32, baseline_bad: u32) -> Window {
        Window {
            canary: canary.into(),
            canary_bad: canary_bad.into(),
            baseline: baseline.into(),
            baseline_bad: baseline_bad.into(),
        }
    }

    #[test]
    fn factors_equal_the_reference() {
        let check = |window: Window, theta, rho, ratio, plus, expected: f64| {
            let found = ln_factor(&window, theta, rho, Tolerance { ratio, plus });
            assert!(
                (found - expected).abs() < 1e-9,
                "{window:?}: {found}, not {expected}"
            );
        };
        check(window(1, 1, 99, 0), 0.001, 2.5, 1.5, 0.005, 0.903_629_277_942);
        check(window(1, 0, 99, 0), 0.001, 2.5, 1.5, 0.005, -0.007_409_605_211_29);
        check(window(50, 3, 50, 1), 0.01, 5.0, 1.5, 0.005, -0.321_936_267_591);
        check(window(500, 9, 500, 5), 0.01, 1.5, 1.0, 0.0, 0.529_051_097_01);
        check(window(5, 0, 495, 5), 0.01, 0.35, 1.5, 0.005, 0.065_416_566_869_6);
        check(window(100, 0, 100, 0), 1e-6, 0.1, 1.5, 0.005, 0.451_006_851_314);
        check(window(10, 2, 0, 0), 0.0, 5.0, 0.0, 0.01, 2.826_668_693_34);
        check(window(3, 3, 3, 3), 0.6, 12.0, 1.5, 0.005, 0.0);
    }

    /// The R package safestats, `calculateETwoProportions`.
    #[test]
    fn without_a_margin_the_factor_is_that_of_turner_ly_and_grunwald() {
        let theta: f64 = 0.15;
        let alternative = 0.306_122_448_980;
        let rho = alternative * (1.0 - theta) / (theta * (1.0 - alternative));
        let tolerance = Tolerance {
            ratio: 1.0,
            plus: 0.0,
        };
        let found = ln_factor(&window(40, 12, 60, 9), theta, rho, tolerance);
        assert!((found - 1.596_804_317_18).abs() < 1e-9, "{found}");
    }

    /// The probabilities of 0 to `n` successes.
    fn binomial(n: u32, p: f64) -> Vec<f64> {
        let mut row = vec![1.0];
        for _ in 0..n {
            let mut next = vec![0.0; row.len() + 1];
            for (at, mass) in row.iter().enumerate() {
                next[at] += mass * (1.0 - p);
                next[at + 1] += mass * p;
            }
            row = next;
        }
        row
    }

    /// The expected factor of the bet, over all counts that both arms can have; `use_of` turns its logarithm into that of
    /// the factor that is used.
    fn expectation(
        n: [u32; 2],
        p: [f64; 2],
        theta: f64,
        rho: f64,
        tolerance: Tolerance,
        use_of: impl Fn(f64) -> f64,
    ) -> f64 {
        let (canary, baseline) = (binomial(n[0], p[0]), binomial(n[1], p[1]));
        let mut sum = 0.0;
        for (k_c, mass_c) in (0..).zip(&canary) {
            for (k_b, mass_b) in (0..).zip(&baseline) {
                let window = window(n[0], k_c, n[1], k_b);
                sum += mass_c * mass_b * use_of(ln_factor(&window, theta, rho, tolerance)).exp();
            }
        }
        sum
    }

    /// The greatest expected factor under the hypothesis that is bet against, over many hypotheses and guesses.
    fn greatest_expectation(use_of: impl Fn(f64) -> f64) -> f64 {
        let mut greatest: f64 = 0.0;
        for n in [[1, 1], [1, 9], [3, 7], [8, 8], [12, 2]] {
            for (ratio, plus) in [(1.5, 0.005), (1.0, 0.0), (2.0, 0.05), (0.0, 0.05), (1.0, 0.2)] {
                let tolerance = Tolerance { ratio, plus };
                for baseline in [0.0, 0.001, 0.01, 0.1, 0.3, 0.6] {
                    let limit: f64 = ratio * baseline + plus;
                    for theta in [1e-6, 0.01, 0.2, 0.7] {
                        for rho in [1.5, 2.5, 5.0, 12.0, 0.1, 0.35, 0.65, 0.85] {
                            // A canary cannot be worse than tolerated where everything is tolerated.
                            if rho < 1.0 && limit > 1.0 {
                                continue;
                            }
                            // The edge of the hypothesis and a point within.
                            let within = if rho > 1.0 {
                                limit * 0.5
                            } else {
                                (limit + 1.0) * 0.5
                            };
                            for canary in [limit.min(1.0), within.min(1.0)] {
                                let mean = expectation(n, [canary, baseline], theta, rho, tolerance, &use_of);
                                greatest = greatest.max(mean);
                            }
                        }
                    }
                }
            }
        }
        greatest
    }

    #[test]
    fn expected_factor_under_the_hypothesis_is_at_most_one() {
        let greatest = greatest_expectation(|ln| ln);
        assert!(greatest <= 1.0 + 1e-12, "{greatest}");
        assert!(greatest > 0.999_999, "the bound is reached: {greatest}");
    }

    #[test]
    fn capped_and_tempered_factors_are_valid_too() {
        for (factor, cap) in [(1.0, 0.5), (2.0, f64::INFINITY), (4.0, 0.1)] {
            let greatest = greatest_expectation(|ln| (ln / factor).min(cap));
            assert!(greatest <= 1.0 + 1e-12, "{factor}, {cap}: {greatest}");
        }
    }
}
