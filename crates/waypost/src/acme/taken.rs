//! The things that an instance of a fleet takes over of what the leader has ordered.

use std::collections::BTreeMap;

use waypost_proxy::challenges::Challenge;

/// The things that are taken over, by the names that they have in etcd.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The challenges of each order.
    pub(crate) challenges: BTreeMap<String, Vec<Challenge>>,
    /// The secrets that are of no use here, with the reason in a sentence.
    pub(crate) troubles: BTreeMap<String, String>,
}

impl Taken {
    /// Forgets all but the names that are as they were.
    pub(crate) fn retain(&mut self, is_the_same: impl Fn(&str) -> bool) {
        self.challenges.retain(|name, _| is_the_same(name));
        self.troubles.retain(|name, _| is_the_same(name));
    }

    /// All reasons.
    pub(crate) fn told(&self) -> Vec<String> {
        self.troubles.values().cloned().collect()
    }
}
