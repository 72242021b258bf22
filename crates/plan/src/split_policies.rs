//! Policies of a split: which arm a client gets, and what else its requests are for.

use std::ops::Deref;

use crate::force::Force;
use crate::mirror::Mirror;
use crate::rollout::RouteRollout;
use crate::sticky::Sticky;

/// The policies of a split. Most routes configure none and take no more than a pointer here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SplitPolicies(Option<Box<SplitPolicySet>>);

/// Every policy of a split. They are those of one route.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SplitPolicySet {
    /// Keeps each client in its cohort; without it, every request rolls anew.
    pub sticky: Option<Sticky>,
    /// Lets testers pick an arm.
    pub force: Option<Force>,
    /// The rollout of a new version.
    pub rollout: Option<RouteRollout>,
    /// The service that gets copies.
    pub mirror: Option<Mirror>,
}

/// The policies of a split that has none.
static NONE: SplitPolicySet = SplitPolicySet {
    sticky: None,
    force: None,
    rollout: None,
    mirror: None,
};

impl From<SplitPolicySet> for SplitPolicies {
    fn from(policies: SplitPolicySet) -> Self {
        Self((policies != NONE).then(|| Box::new(policies)))
    }
}

impl Deref for SplitPolicies {
    type Target = SplitPolicySet;

    fn deref(&self) -> &SplitPolicySet {
        self.0.as_deref().unwrap_or(&NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_policies_take_no_more_than_a_pointer() {
        assert_eq!(SplitPolicies::from(SplitPolicySet::default()).0, None);
        assert_eq!(size_of::<SplitPolicies>(), size_of::<usize>());
    }
}
