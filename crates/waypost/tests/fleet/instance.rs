//! An instance of a fleet, and its ways to etcd.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::machines::Machines;
use crate::relay::Relay;
use crate::support::client::{Client, get};
use crate::support::gateway::Gateway;
use crate::support::message::Message;
use crate::wait::{wait_for, wait_or_else};

/// The prefix of the fleets.
pub(crate) const PREFIX: &str = "/waypost/test";

/// The variable for a clock of rollouts that a test turns.
pub(crate) const TEST_CLOCK: (&str, &str) = ("WAYPOST_TEST_CLOCK", "1");

/// The token of admin APIs that are not on loopback addresses.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

const JSON: &str = "Content-Type: application/json\r\n";

/// An instance, and its ways to etcd.
pub(crate) struct Instance {
    pub(crate) gateway: Gateway,
    pub(crate) id: String,
    relays: Vec<Relay>,
}

/// The circumstances in which an instance starts.
#[derive(Clone, Copy, Default)]
pub(crate) struct Start<'a> {
    /// Variables of its environment.
    pub(crate) environment: &'a [(&'a str, &'a str)],
    /// It speaks with etcd without relays.
    pub(crate) is_direct: bool,
    /// Files beside its local file, by name.
    pub(crate) files: &'a [(&'a str, &'a str)],
    /// The file among them with the key that certificates are sealed with.
    pub(crate) certificates_key: Option<&'a str>,
}

impl Instance {
    pub(crate) fn start(cluster: &Cluster) -> Self {
        Self::start_as(cluster, &Start::default())
    }

    pub(crate) fn start_as(cluster: &Cluster, start: &Start<'_>) -> Self {
        let relays: Vec<Relay> = match start.is_direct {
            true => Vec::new(),
            false => cluster.addresses().into_iter().map(Relay::to).collect(),
        };
        let endpoints: Vec<String> = match start.is_direct {
            true => cluster.addresses().iter().map(SocketAddr::to_string).collect(),
            false => relays.iter().map(|relay| relay.address().to_string()).collect(),
        };
        let user = cluster.user.as_ref().map_or("", |_| ", user_file: user");
        let directory = tempfile::tempdir().unwrap();
        if let Some(user) = &cluster.user {
            fs::write(directory.path().join("user"), format!("{user}\n")).unwrap();
        }
        for (name, text) in start.files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let seal = start
            .certificates_key
            .map(|file| format!(", certificates_key: {file}"));
        let seal = seal.unwrap_or_default();
        let local = format!(
            "source: {{ etcd: {{ endpoints: [\"{}\"], prefix: {PREFIX}{user}{seal} }} }}\n\
             admin: {{ bind: 127.0.0.1:0 }}\nstate: state\nworkers: 1\nlisteners: [{{ bind: 127.0.0.1:0 }}]\n",
            endpoints.join("\", \"")
        );
        let path = directory.path().join("local.yaml");
        fs::write(&path, local).unwrap();
        let environment = start.environment.iter();
        let environment: Vec<(String, String)> = environment
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let gateway = Gateway::run(directory, path, &environment);
        Self::of(gateway, relays)
    }

    /// Starts an instance on a machine, whose admin API and listener only the test sees.
    pub(crate) fn start_on(cluster: &Cluster, machines: &Machines, machine: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("local.yaml");
        let (endpoints, address) = (cluster.endpoints(), machines.test_address(machine));
        let local = format!(
            "source: {{ etcd: {{ endpoints: [{endpoints}], prefix: {PREFIX} }} }}\n\
             admin: {{ bind: {address}:0, token_file: tokens }}\nstate: state\nworkers: 1\nlisteners: [{{ bind: {address}:0 }}]\n",
        );
        fs::write(&path, local).unwrap();
        fs::write(directory.path().join("tokens"), format!("{TOKEN}\n")).unwrap();
        let words = machines.on(machine);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(env!("CARGO_BIN_EXE_waypost"));
        command.arg("run").arg(&path).stdin(Stdio::null());
        let gateway = Gateway::by(command, None, directory, path);
        Self::of(gateway.with_token(TOKEN), Vec::new())
    }

    /// An instance that runs already.
    pub(crate) fn of(gateway: Gateway, relays: Vec<Relay>) -> Self {
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

    /// Loses all that it sends to etcd, or etcd to it, and tells neither.
    pub(crate) fn silence(&self) {
        self.relays.iter().for_each(Relay::silence);
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

    /// Waits until it sees the fleet with so many instances, all of which obey.
    pub(crate) fn wait_until_well(&self, instances: usize) {
        wait_or_else(
            "a fleet that is well",
            || {
                let fleet = self.fleet();
                let is_whole = fleet["instances"].as_array().map(Vec::len) == Some(instances);
                (is_whole && fleet["ok"] == true && fleet["leader"].is_string()).then_some(())
            },
            || self.fleet().to_string(),
        );
    }

    /// Waits until it no longer sees an instance.
    pub(crate) fn wait_until_gone(&self, instance: &str) {
        wait_for("the end of a lease", || {
            let fleet = self.fleet();
            let mut instances = fleet["instances"].as_array()?.iter();
            let is_there = instances.any(|other| other["id"] == instance);
            (!is_there).then_some(())
        });
    }

    /// The id that it has now.
    pub(crate) fn id_now(&self) -> String {
        self.fleet()["instance"].as_str().unwrap().to_owned()
    }

    /// The address of the listener that it has now.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.gateway.announced().pop()
    }

    /// The body of its response to `/hello`.
    pub(crate) fn hello(&self) -> Option<String> {
        let mut client = Client::try_connect(self.address()?).ok()?;
        Some(client.try_ask(&get("http://a/hello"))?.text())
    }

    pub(crate) fn wait_for_hello(&self, wanted: &str) {
        wait_or_else(
            wanted,
            || (self.hello().as_deref() == Some(wanted)).then_some(()),
            || format!("there is {:?}; {}", self.hello(), self.fleet()),
        );
    }

    /// The live weight of `b` in `split`.
    pub(crate) fn weight(&self) -> u64 {
        let split = self.gateway.admin_json("/api/v1/routes/split/split");
        split["arms"][1]["live"].as_u64().expect("a weight")
    }

    pub(crate) fn wait_for_weight(&self, wanted: u64) {
        wait_or_else(
            "a weight",
            || (self.weight() == wanted).then_some(()),
            || format!("it is {}, not {wanted}; {}", self.weight(), self.fleet()),
        );
    }

    /// Dials `split`: the weight of `b` in percent.
    pub(crate) fn dial(&self, percent: u64) -> Message {
        let weights = json!({ "a": 100 - percent, "b": percent });
        self.gateway.dial("split", &weights)
    }

    /// Drains the endpoint of a service, or takes it back.
    pub(crate) fn drain(&self, service: &str, drained: bool) -> Message {
        let body = json!({ "endpoint": "127.0.0.1:1", "drained": drained }).to_string();
        let path = format!("/api/v1/services/{service}/drain");
        self.gateway.admin("PUT", &path, JSON, &body)
    }

    /// Applies a config of one text, if the config still has this tag.
    pub(crate) fn apply_if(&self, config: &str, tag: &str) -> Message {
        let body = json!({ "files": [{ "name": "waypost.yaml", "text": config }] }).to_string();
        let fields = format!("{JSON}If-Match: {tag}\r\n");
        self.gateway.admin("PUT", "/api/v1/config", &fields, &body)
    }

    /// Starts, pauses, resumes or aborts the rollout of `split`.
    pub(crate) fn rollout(&self, action: &str) -> Message {
        let path = format!("/api/v1/routes/split/rollout{action}");
        self.gateway.admin("POST", &path, JSON, "{}")
    }

    /// The state of the rollout of `split`; null if there was none.
    pub(crate) fn rollout_state(&self) -> String {
        let path = "/api/v1/routes/split/rollout";
        let answer = self.gateway.admin("GET", path, "", "").json();
        answer["state"].as_str().unwrap_or_default().to_owned()
    }

    /// Applies a directory with the command; returns its exit code.
    pub(crate) fn apply_directory(&self, directory: &Path) -> crate::support::command::Output {
        self.gateway.command(&["apply", directory.to_str().unwrap()])
    }
}

fn fleet_of(gateway: &Gateway) -> Value {
    gateway.admin_json("/api/v1/fleet")
}
