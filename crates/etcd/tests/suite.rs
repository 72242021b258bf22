//! The client on the simulated cluster.

#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

mod promises;
mod simulated;

use std::time::Duration;

use waypost_etcd::options::Endpoint;
use waypost_etcd::simulated::Simulated;

use crate::promises::Cluster;

impl Cluster for Simulated {
    async fn start(members: usize) -> Self {
        Self::start(members).await.unwrap()
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        self.endpoints()
    }

    async fn stop(&mut self, member: usize) {
        Self::stop(self, member);
    }

    async fn freeze(&mut self, member: usize) {
        Self::freeze(self, member);
    }

    async fn heal(&mut self, member: usize) {
        Self::heal(self, member);
    }

    async fn forget_tokens(&mut self) {
        Self::forget_tokens(self);
    }

    fn pass(&self, time: Duration) {
        self.advance(time);
    }
}

mod on_the_simulated_cluster {
    crate::all_promises!(waypost_etcd::simulated::Simulated);
}
