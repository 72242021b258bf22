//! Clusters: clients that fail together, again and again, make luck look like damage.
//!
//! Each client is in one of sixteen groups, whatever its arm. If groups of the baseline's own clients differ by more than
//! luck, the evidence is tempered by the measured factor, and the tolerance is widened by what a group of the canary's size
//! may differ.

/// The number of groups.
pub const GROUPS: usize = 16;
/// Half-life of the recent counts, in seconds.
const HALF_LIFE: f64 = 60.0;
/// Pseudo-count of failures in front of the measured factor.
const PRIOR: f64 = 20.0;
/// Width of the cohort allowance, in standard deviations.
const ALLOWANCE: f64 = 2.5;

/// Counts of the baseline by group.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Groups {
    /// Bad requests.
    pub bad: [f64; GROUPS],
    /// All requests.
    pub all: [f64; GROUPS],
}

/// The groups of a metric: recent counts, and all of them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Clusters {
    near: Groups,
    far: Groups,
}

impl Groups {
    /// Multiplies these counts by `factor` and adds others.
    fn fade_and_add(&mut self, factor: f64, other: &Self) {
        for (mine, theirs) in self.bad.iter_mut().zip(&other.bad) {
            *mine = *mine * factor + theirs;
        }
        for (mine, theirs) in self.all.iter_mut().zip(&other.all) {
            *mine = *mine * factor + theirs;
        }
    }

    /// Pearson's index of dispersion: 1 if the groups differ by luck alone.
    pub fn spread(&self) -> f64 {
        let (bad, all) = self.sums();
        if bad == 0.0 || all == 0.0 {
            return 0.0;
        }
        let terms = self.bad.iter().zip(&self.all).filter_map(|(k, n)| {
            let expected = n * bad / all;
            (expected > 0.0).then(|| (k - expected).powi(2) / expected)
        });
        terms.sum::<f64>() / (GROUPS - 1) as f64
    }

    fn sums(&self) -> (f64, f64) {
        (self.bad.iter().sum(), self.all.iter().sum())
    }
}

impl Clusters {
    /// All numbers, for storage.
    pub(crate) fn visit(&mut self, visit: &mut impl FnMut(&mut f64)) {
        for groups in [&mut self.near, &mut self.far] {
            groups.bad.iter_mut().chain(&mut groups.all).for_each(&mut *visit);
        }
    }

    /// Adds the counts of one second.
    pub fn add(&mut self, second: &Groups) {
        self.near.fade_and_add(fading(), second);
        self.far.fade_and_add(1.0, second);
    }

    /// The factor by which evidence is divided, at least 1; `prior` is what it is taken for without data.
    pub fn factor(&self, prior: f64) -> f64 {
        let (bad, _) = self.near.sums();
        // Faded sums vary less than counts, by 1 + f.
        let measured = bad * (1.0 + fading()) * self.near.spread();
        ((PRIOR * prior + measured) / (PRIOR + bad)).max(1.0)
    }

    /// The rate that a cohort with this share of the clients may be worse by, because of who its clients are; `factor` is
    /// that of [`Clusters::factor`].
    pub fn allowance(&self, factor: f64, share: f64) -> f64 {
        let spread = self.far.spread();
        if spread <= 2.0 * factor || share <= 0.0 || share >= 1.0 {
            return 0.0;
        }
        let (bad, all) = self.far.sums();
        ALLOWANCE * ((spread - factor) * (bad / all) / all * (1.0 / share + 1.0 / (1.0 - share))).sqrt()
    }
}

/// The factor of recent counts in each second.
fn fading() -> f64 {
    (-1.0 / HALF_LIFE).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups of 500 requests with 0 to 7 failures, twice.
    fn uneven() -> Groups {
        let mut groups = Groups {
            all: [500.0; GROUPS],
            ..Groups::default()
        };
        for (at, bad) in groups.bad.iter_mut().enumerate() {
            *bad = (at % 8) as f64;
        }
        groups
    }

    #[test]
    fn spread_and_factor_equal_the_reference() {
        assert!((uneven().spread() - 1.6).abs() < 1e-12);
        let mut clusters = Clusters::default();
        clusters.add(&uneven());
        let factor = clusters.factor(2.0);
        assert!((factor - 2.870_669_161).abs() < 1e-9, "{factor}");
    }

    #[test]
    fn without_data_nothing_is_tempered_beyond_the_prior() {
        let none = Clusters::default();
        assert_eq!((none.factor(1.0), none.factor(2.0)), (1.0, 2.0));
        assert_eq!(none.allowance(1.0, 0.05), 0.0);
        let mut even = Clusters::default();
        even.add(&Groups {
            bad: [5.0; GROUPS],
            all: [500.0; GROUPS],
        });
        assert_eq!(even.factor(1.0), 1.0);
        assert_eq!(even.allowance(1.0, 0.05), 0.0);
    }

    #[test]
    fn smaller_cohorts_of_differing_clients_are_allowed_more() {
        let mut clusters = Clusters::default();
        let mut groups = Groups {
            all: [1000.0; GROUPS],
            ..Groups::default()
        };
        groups.bad[3] = 300.0;
        clusters.add(&groups);
        let allowed = |share| clusters.allowance(1.0, share);
        assert!(allowed(0.01) > allowed(0.05) && allowed(0.05) > allowed(0.5) && allowed(0.5) > 0.0);
        assert_eq!((allowed(0.0), allowed(1.0)), (0.0, 0.0));
    }
}
