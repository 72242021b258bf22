//! A fleet: several gateways obey one config in etcd, which is simulated here.
//!
//! Its clock stands still but for [`Etcd::pass`]: a lease ends when a test says so.

mod away;
mod canary;
mod certificates;
mod changes;
mod figures;
mod hostile;
mod instances;
mod judged;
mod kept;
mod lately;
mod lead;
mod mended;
mod permissions;
mod puts;
mod rates;
mod rollouts;
mod timeline;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use waypost_etcd::client::Client;
use waypost_etcd::key::KeyRange;
use waypost_etcd::kv::range::Range;
use waypost_etcd::kv::txn::Txn;
use waypost_etcd::kv::write::{Delete, Put};
use waypost_etcd::options::Options;
use waypost_etcd::simulated::Simulated;
use waypost_etcd::simulated::fault::{Fault, On};

use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::message::Message;
use crate::support::service::{Service, ok};
use crate::support::wait_for;

const PREFIX: &str = "/waypost/test";
const JSON: &str = "Content-Type: application/json\r\n";
const YAML: &str = "Content-Type: application/yaml\r\nIf-Match: *\r\n";

/// An etcd, and its operator.
struct Etcd {
    runtime: Runtime,
    simulated: Simulated,
    client: Client,
}

impl Etcd {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let simulated = runtime.block_on(Simulated::start(1)).unwrap();
        let client = runtime.block_on(async { Client::new(Options::new(simulated.endpoints())) });
        Self {
            runtime,
            simulated,
            client,
        }
    }

    /// An etcd with this text as the config.
    fn with(config: impl AsRef<str>) -> Self {
        let etcd = Self::new();
        etcd.put("routes.yaml", config);
        etcd
    }

    /// Puts a text of the config, as `etcdctl put` does.
    fn put(&self, name: &str, text: impl AsRef<str>) {
        self.put_key(&format!("config/{name}"), text);
    }

    fn put_key(&self, key: &str, value: impl AsRef<str>) {
        let put = Put::new(format!("{PREFIX}/{key}"), value.as_ref());
        self.runtime.block_on(self.client.put(&put)).unwrap();
    }

    fn get(&self, key: &str) -> Option<String> {
        let found = self
            .runtime
            .block_on(self.client.get(format!("{PREFIX}/{key}")))
            .unwrap();
        found.map(|found| String::from_utf8_lossy(&found.value).into_owned())
    }

    /// The names of the keys in a folder.
    fn keys(&self, folder: &str) -> Vec<String> {
        let folder = format!("{PREFIX}/{folder}/");
        let range = Range::new(KeyRange::prefix(folder.clone()));
        let found = self.runtime.block_on(self.client.range(&range)).unwrap();
        let keys = found
            .kvs
            .iter()
            .map(|found| String::from_utf8_lossy(&found.key).into_owned());
        keys.map(|key| key.trim_start_matches(&folder).to_owned())
            .collect()
    }

    fn delete_all(&self) {
        let delete = Delete::new(KeyRange::prefix(format!("{PREFIX}/config/")));
        self.runtime.block_on(self.client.delete(&delete)).unwrap();
    }

    /// Puts texts of the config, and deletes those without one, in one transaction, as `etcdctl txn` does.
    fn put_all(&self, texts: &[(&str, Option<&String>)]) {
        let mut txn = Txn::new();
        for (name, text) in texts {
            let key = format!("{PREFIX}/config/{name}");
            txn = match text {
                Some(text) => txn.then(Put::new(key, text.as_str())),
                None => txn.then(Delete::new(KeyRange::key(key))),
            };
        }
        assert!(self.runtime.block_on(self.client.txn(&txn)).unwrap().succeeded);
    }

    /// Deletes everything.
    fn wipe(&self) {
        let delete = Delete::new(KeyRange::prefix(format!("{PREFIX}/")));
        self.runtime.block_on(self.client.delete(&delete)).unwrap();
    }

    fn order(&self, on: On, fault: Fault) {
        self.simulated.order(on, fault);
    }

    /// Lets time pass in etcd.
    fn pass(&self, time: Duration) {
        self.simulated.advance(time);
    }

    /// An instance of the fleet, with an admin API on a free port.
    fn instance(&self) -> Gateway {
        self.instance_in(&[])
    }

    fn instance_in(&self, environment: &[(String, String)]) -> Gateway {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("local.yaml");
        std::fs::write(&path, self.local()).unwrap();
        Gateway::run(directory, path, environment)
    }

    /// An instance whose rollouts go by a clock that the test turns.
    fn instance_with_test_clock(&self) -> Gateway {
        self.instance_in(&[("WAYPOST_TEST_CLOCK".to_owned(), "1".to_owned())])
    }

    fn local(&self) -> String {
        let endpoints = self.simulated.addresses().iter().map(ToString::to_string);
        format!(
            "source: {{ etcd: {{ endpoints: [{}], prefix: {PREFIX} }} }}\nadmin: {{ bind: 127.0.0.1:0 }}\n",
            endpoints.collect::<Vec<_>>().join(", ")
        )
    }
}

/// A service that answers its name.
fn named(name: &'static str) -> Service {
    Service::named(name, move |talk| {
        while talk.request().is_some_and(|request| request.is_complete) {
            talk.send(ok(name));
        }
    })
}

/// Two services behind a split with all requests for the first.
fn split(one: &Service, two: &Service) -> Config {
    Config::new()
        .service(one, "")
        .service(two, "")
        .route("name: users, to: { a: 100, b: 0 }")
}

/// Waits until an instance answers so.
fn wait_for_body(gateway: &Gateway, expected: &str) {
    wait_for(&format!("the answer `{expected}`"), || {
        (body(gateway) == expected).then_some(())
    });
}

/// Waits until an instance has this revision, and sees it in etcd: a start gives the config a number before the leader does.
fn wait_for_revision(gateway: &Gateway, number: u64) {
    wait_for(&format!("revision {number}"), || {
        let is_made = gateway.admin_json("/api/v1/fleet")["revision"].as_u64() >= Some(number);
        (is_made && revision(gateway) == number).then_some(())
    });
}

/// The listener that was opened last. A revision may be in force before the line of its listener was read.
fn listener(gateway: &Gateway) -> SocketAddr {
    wait_for("a listener", || gateway.announced().last().copied())
}

/// The answer at the listener that was opened last.
fn body(gateway: &Gateway) -> String {
    crate::support::client::Client::connect(listener(gateway))
        .get("http://a/")
        .text()
}

fn revision(gateway: &Gateway) -> u64 {
    gateway.admin_json("/api/v1/status")["revision"].as_u64().unwrap()
}

/// Returns the id of an instance, and of the one that leads.
fn ids(gateway: &Gateway) -> (String, String) {
    let fleet = wait_for("a leader", || {
        let fleet = gateway.admin_json("/api/v1/fleet");
        fleet["leader"].is_string().then_some(fleet)
    });
    let text = |key: &str| fleet[key].as_str().unwrap().to_owned();
    (text("instance"), text("leader"))
}

/// Waits until an instance has written all that it writes by itself: it has said that it obeys the newest rules.
fn wait_for_quiet(gateway: &Gateway) {
    wait_for("its last report", || {
        let fleet = gateway.admin_json("/api/v1/fleet");
        let mut instances = fleet["instances"].as_array()?.iter();
        let own = instances.find(|instance| instance["id"] == fleet["instance"])?;
        let is_settled = fleet["leader"].is_string() && fleet["revision"].is_u64();
        (own["obeys"] == fleet["rules"] && is_settled).then_some(())
    });
}

/// Waits until an instance is quiet, and sees that so many are well.
fn wait_for_obedience(gateway: &Gateway, count: usize) {
    wait_for_quiet(gateway);
    wait_for(&format!("{count} instances that are well"), || {
        let fleet = gateway.admin_json("/api/v1/fleet");
        (fleet["ok"] == true && fleet["instances"].as_array()?.len() == count).then_some(())
    });
}

fn leads(gateway: &Gateway) -> bool {
    let (own, leader) = ids(gateway);
    own == leader
}

/// Dials the split of `users` to `b`.
fn dial_to_b(gateway: &Gateway) -> Message {
    gateway.dial("users", &json!({ "a": 0, "b": 100 }))
}

fn live(gateway: &Gateway) -> Value {
    live_of(gateway, "users")
}

/// The declared and live weights of a route.
fn live_of(gateway: &Gateway, route: &str) -> Value {
    let split = gateway.admin_json(&format!("/api/v1/routes/{route}/split"));
    assert!(split["arms"].is_array(), "{split}");
    split["arms"].clone()
}
