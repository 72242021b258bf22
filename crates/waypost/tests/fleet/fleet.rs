//! Instances of a fleet, each with relays to the members of its etcd.

use std::fs;
use std::net::SocketAddr;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::relay::Relay;
use crate::support::client::{Client, get};
use crate::support::gateway::Gateway;
use crate::support::wait_for;

/// The prefix of the fleets.
pub(crate) const PREFIX: &str = "/waypost/test";

/// The config that fleets begin with.
pub(crate) const CONFIG: &str = "\
listeners: [{ bind: 127.0.0.1:1 }]
services: { a: { endpoints: [http://127.0.0.1:1] }, b: { endpoints: [http://127.0.0.1:1] } }
routes:
- { name: hello, match: { path: /hello }, respond: { status: 200, body: one } }
- { name: split, match: { path: /split }, to: { a: 90, b: 10 } }
";

/// An instance, and its ways to etcd.
pub(crate) struct Instance {
    pub(crate) gateway: Gateway,
    pub(crate) id: String,
    relays: Vec<Relay>,
}

/// A fleet on a cluster of its own.
pub(crate) struct Fleet {
    pub(crate) cluster: Cluster,
    pub(crate) instances: Vec<Instance>,
}

impl Fleet {
    /// A fleet of three that obeys [`CONFIG`].
    pub(crate) fn start() -> Self {
        let fleet = Self::on(Cluster::start(), 3);
        fleet.apply(0, CONFIG).expect(0);
        fleet.wait_for_hello("one");
        fleet
    }

    /// A fleet on an empty prefix.
    pub(crate) fn on(cluster: Cluster, instances: usize) -> Self {
        let instances = (0..instances).map(|_| Instance::start(&cluster));
        Self {
            instances: instances.collect(),
            cluster,
        }
    }

    pub(crate) fn gateway(&self, instance: usize) -> &Gateway {
        &self.instances[instance].gateway
    }

    /// Runs a command at an instance.
    pub(crate) fn command(&self, instance: usize, arguments: &[&str]) -> crate::support::command::Output {
        self.gateway(instance).command(arguments)
    }

    /// Applies a config of one text, through an instance.
    pub(crate) fn apply(&self, instance: usize, config: &str) -> crate::support::command::Output {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("waypost.yaml"), config).unwrap();
        self.command(instance, &["apply", directory.path().to_str().unwrap()])
    }

    /// Dials `split` through an instance: the weight of `b` in percent.
    pub(crate) fn dial(&self, instance: usize, percent: u32) -> crate::support::command::Output {
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

    /// Waits until `waypost fleet` at each instance says that all is well.
    pub(crate) fn wait_until_well(&self) {
        for number in 0..self.instances.len() {
            wait_for("a fleet that is well", || {
                (self.command(number, &["fleet"]).code == 0).then_some(())
            });
        }
    }

    /// The instance that leads, as these see it.
    pub(crate) fn leader(&self, seen_by: usize) -> Option<usize> {
        let leader = self.instances[seen_by].fleet()["leader"].as_str()?.to_owned();
        self.instances.iter().position(|instance| instance.id == leader)
    }
}

impl Instance {
    pub(crate) fn start(cluster: &Cluster) -> Self {
        let relays: Vec<Relay> = cluster.addresses().into_iter().map(Relay::to).collect();
        let endpoints: Vec<String> = relays.iter().map(|relay| relay.address().to_string()).collect();
        let user = cluster.user.as_ref().map_or("", |_| ", user_file: user");
        let directory = tempfile::tempdir().unwrap();
        if let Some(user) = &cluster.user {
            fs::write(directory.path().join("user"), format!("{user}\n")).unwrap();
        }
        let local = format!(
            "source: {{ etcd: {{ endpoints: [\"{}\"], prefix: {PREFIX}{user} }} }}\n\
             admin: {{ bind: 127.0.0.1:0 }}\nstate: state\nlisteners: [{{ bind: 127.0.0.1:0 }}]\n",
            endpoints.join("\", \"")
        );
        let path = directory.path().join("local.yaml");
        fs::write(&path, local).unwrap();
        let gateway = Gateway::run(directory, path, &[]);
        let id = fleet_of(&gateway)["instance"].as_str().unwrap().to_owned();
        Self { gateway, id, relays }
    }

    /// Kills the instance, and starts it again with its state.
    pub(crate) fn restarted(self) -> Self {
        let Self { gateway, id, relays } = self;
        let gateway = gateway.restarted();
        Self { gateway, id, relays }
    }

    /// Cuts it off from etcd.
    pub(crate) fn cut(&self) {
        self.relays.iter().for_each(Relay::cut);
    }

    pub(crate) fn mend(&self) {
        self.relays.iter().for_each(Relay::mend);
    }

    /// The fleet as it sees it.
    pub(crate) fn fleet(&self) -> Value {
        fleet_of(&self.gateway)
    }

    /// Waits until it knows that etcd is away, or there.
    pub(crate) fn wait_for_etcd(&self, is_there: bool) {
        wait_for("etcd", || {
            (self.fleet()["available"] == Value::Bool(is_there)).then_some(())
        });
    }

    /// The address of the listener that it has now.
    fn address(&self) -> Option<SocketAddr> {
        self.gateway.announced().pop()
    }

    /// The body of its response to `/hello`.
    pub(crate) fn hello(&self) -> Option<String> {
        let mut client = Client::try_connect(self.address()?).ok()?;
        Some(client.try_ask(&get("http://a/hello"))?.text())
    }

    pub(crate) fn wait_for_hello(&self, wanted: &str) {
        wait_for(wanted, || (self.hello().as_deref() == Some(wanted)).then_some(()));
    }

    /// The live weight of `b` in `split`.
    pub(crate) fn weight(&self) -> u64 {
        let routes = self
            .gateway
            .command(&["routes", "--format", "json"])
            .expect(0)
            .json();
        let routes = routes.as_array().expect("a list of routes");
        let split = routes.iter().find(|route| route["name"] == "split");
        let arms = split.expect("the route")["arms"].as_array().expect("arms");
        let arm = arms.iter().find(|arm| arm["service"] == "b").expect("the arm");
        arm["live"].as_u64().expect("a weight")
    }

    pub(crate) fn wait_for_weight(&self, wanted: u64) {
        wait_for("a weight", || (self.weight() == wanted).then_some(()));
    }
}

fn fleet_of(gateway: &Gateway) -> Value {
    gateway.admin_json("/api/v1/fleet")
}
