//! All that was ever written to a fleet's keys, in order: etcd remembers it until it is compacted.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use waypost_etcd::client::Client;
use waypost_etcd::key::KeyRange;
use waypost_etcd::kv::write::Put;
use waypost_etcd::options::Options;
use waypost_etcd::revision::Revision;
use waypost_etcd::watch::{EventKind, Notice, Watch};

use crate::cluster::Cluster;
use crate::instance::PREFIX;

/// A key that ends a history.
const END: &str = "/end";

/// The wait between two tries to write it.
const PAUSE: Duration = Duration::from_millis(50);

/// Longer than a cluster takes to be whole again.
const PATIENCE: Duration = Duration::from_secs(60);

/// A write of a key.
#[derive(Debug)]
pub(crate) struct Write {
    /// The revision of the store.
    pub(crate) at: i64,
    /// The revision at which the key began to exist.
    created: i64,
    /// The key without the prefix.
    pub(crate) key: String,
    /// `None` if it was deleted.
    pub(crate) value: Option<String>,
}

impl Write {
    /// The value as JSON; null if it was deleted.
    pub(crate) fn json(&self) -> Value {
        let value = self.value.as_deref();
        value.map_or(Value::Null, |value| serde_json::from_str(value).unwrap())
    }
}

/// All writes under the prefix of a fleet.
#[derive(Debug)]
pub(crate) struct History(pub(crate) Vec<Write>);

impl History {
    /// The history of a fleet up to now. The store must not have been compacted.
    pub(crate) fn of(cluster: &Cluster) -> Self {
        let endpoints = cluster
            .addresses()
            .into_iter()
            .map(|address| address.to_string().parse());
        let options = Options::new(endpoints.collect::<Result<_, _>>().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(read(Client::new(options)))
    }

    /// The writes of one key.
    pub(crate) fn of_key<'a>(&'a self, key: &'a str) -> impl DoubleEndedIterator<Item = &'a Write> {
        self.0.iter().filter(move |write| write.key == key)
    }

    /// The weights that `b` in `split` was turned to, in order.
    pub(crate) fn weights(&self) -> Vec<u64> {
        let turns = self.of_key("dials/split").map(Write::json);
        turns.filter_map(|dial| dial["live"][1][1].as_u64()).collect()
    }

    /// The numbers of the steps of the rollout of `split`, in the order in which they were written first.
    pub(crate) fn steps(&self) -> Vec<u64> {
        let mut steps = Vec::new();
        for write in self.of_key("rollouts/split") {
            let state = &write.json()["state"];
            let step = state["step_number"].as_u64().unwrap();
            if steps.last() != Some(&step) {
                steps.push(step);
            }
        }
        steps
    }

    /// Asserts that each write of a rollout is that of the instance that led at the time.
    pub(crate) fn assert_rollouts_are_the_leaders(&self) {
        let mut candidates = BTreeMap::new();
        let mut checked = 0;
        for write in &self.0 {
            if write.key.starts_with("leader/") {
                match &write.value {
                    Some(_) => candidates.insert(write.key.clone(), write.created),
                    None => candidates.remove(&write.key),
                };
            } else if write.key.starts_with("rollouts/") && write.value.is_some() {
                let leader = candidates.values().min().copied();
                let fence = write.json()["fence"].as_i64();
                assert_eq!(fence, leader, "at revision {}: {candidates:?}", write.at);
                checked += 1;
            }
        }
        assert!(checked > 0, "no rollout was written");
    }
}

async fn read(client: Client) -> History {
    // A cluster that was broken may not be whole again yet.
    let put = async {
        let mut tries = tokio::time::interval(PAUSE);
        loop {
            tries.tick().await;
            if let Ok(put) = client.put(&Put::new(END, "")).await {
                return put.revision;
            }
        }
    };
    let end = tokio::time::timeout(PATIENCE, put).await;
    let end = end.expect("an end of the history");
    let mut watches = client.watches();
    watches.add(Watch::new(KeyRange::prefix("/"), Revision(1)));
    let mut writes = Vec::new();
    while let Some(notice) = watches.next().await {
        let events = match notice {
            Notice::Changes { events, .. } => events,
            Notice::Ended { error, .. } => panic!("the history cannot be read: {error}"),
            Notice::Started { .. } | Notice::Progress { .. } | Notice::Broken { .. } => continue,
        };
        for event in events {
            let key = String::from_utf8(event.kv.key).unwrap();
            if key == END && event.kv.mod_revision.0 == end.0 {
                return History(writes);
            }
            let Some(key) = key.strip_prefix(PREFIX) else {
                continue;
            };
            let value = String::from_utf8_lossy(&event.kv.value).into_owned();
            writes.push(Write {
                at: event.kv.mod_revision.0,
                created: event.kv.create_revision.0,
                key: key.trim_start_matches('/').to_owned(),
                value: (event.kind == EventKind::Put).then_some(value),
            });
        }
    }
    panic!("the history has no end");
}
