//! Fleets of instances on clusters of etcd.

use std::fs;

use crate::cluster::Cluster;
use crate::instance::{Instance, Start};
use crate::support::command::Output;
use crate::support::gateway::Gateway;
use crate::wait::wait_for;

/// The config that fleets begin with.
pub(crate) const CONFIG: &str = "\
listeners: [{ bind: 127.0.0.1:1 }]
services: { a: { endpoints: [http://127.0.0.1:1] }, b: { endpoints: [http://127.0.0.1:1] } }
routes:
- { name: hello, match: { path: /hello }, respond: { status: 200, body: one } }
- { name: split, match: { path: /split }, to: { a: 90, b: 10 } }
";

/// A fleet on a cluster of its own.
pub(crate) struct Fleet {
    pub(crate) cluster: Cluster,
    pub(crate) instances: Vec<Instance>,
}

impl Fleet {
    /// A fleet of three that obeys [`CONFIG`].
    pub(crate) fn start() -> Self {
        Self::start_as(&Start::default())
    }

    /// A fleet of three that start so and obey [`CONFIG`].
    pub(crate) fn start_as(start: &Start<'_>) -> Self {
        let fleet = Self::on_as(Cluster::start(), 3, start);
        fleet.apply(0, CONFIG).expect(0);
        fleet.wait_for_hello("one");
        fleet
    }

    /// A fleet on an empty prefix.
    pub(crate) fn on(cluster: Cluster, instances: usize) -> Self {
        Self::on_as(cluster, instances, &Start::default())
    }

    /// A fleet on an empty prefix, of instances that start so.
    pub(crate) fn on_as(cluster: Cluster, instances: usize, start: &Start<'_>) -> Self {
        let instances = (0..instances).map(|_| Instance::start_as(&cluster, start));
        Self {
            instances: instances.collect(),
            cluster,
        }
    }

    pub(crate) fn gateway(&self, instance: usize) -> &Gateway {
        &self.instances[instance].gateway
    }

    /// Runs a command at an instance.
    pub(crate) fn command(&self, instance: usize, arguments: &[&str]) -> Output {
        self.gateway(instance).command(arguments)
    }

    /// Applies a config of one text, through an instance.
    pub(crate) fn apply(&self, instance: usize, config: &str) -> Output {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("waypost.yaml"), config).unwrap();
        self.instances[instance].apply_directory(directory.path())
    }

    /// Dials `split` through an instance: the weight of `b` in percent.
    pub(crate) fn dial(&self, instance: usize, percent: u32) -> Output {
        let weights = [format!("a={}", 100 - percent), format!("b={percent}")];
        self.command(instance, &["dial", "split", &weights[0], &weights[1]])
    }

    /// Waits until all instances respond so.
    pub(crate) fn wait_for_hello(&self, wanted: &str) {
        for instance in &self.instances {
            instance.wait_for_hello(wanted);
        }
    }

    /// Waits until `b` has this weight at all instances.
    pub(crate) fn wait_for_weight(&self, wanted: u64) {
        for instance in &self.instances {
            instance.wait_for_weight(wanted);
        }
    }

    /// Waits until each instance sees all of them, and that they obey.
    pub(crate) fn wait_until_well(&self) {
        for instance in &self.instances {
            instance.wait_until_well(self.instances.len());
        }
    }

    /// The instance that leads, as this one sees it, once there is one.
    pub(crate) fn leader(&self, seen_by: usize) -> usize {
        wait_for("a leader", || self.leader_now(seen_by))
    }

    /// The instance that leads now, as this one sees it.
    pub(crate) fn leader_now(&self, seen_by: usize) -> Option<usize> {
        let leader = self.instances[seen_by].fleet()["leader"].as_str()?.to_owned();
        self.instances.iter().position(|instance| instance.id == leader)
    }
}
