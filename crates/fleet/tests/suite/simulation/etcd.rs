//! The store of a simulation, with leases, and a naive model of it: every change is judged as it happens, and every view is
//! compared with the model at its revision.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use waypost_fleet::record::WriteId;
use waypost_fleet::store::{Change, StoreRevision, Transaction, Write};
use waypost_fleet::view::View;

use super::{LEASE_MS, Mutation};
use crate::promises::key;
use crate::store::Store;

/// The rules that the store said at a revision, read naively.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Rules {
    /// The config's texts. As all parts come before the value that names them, it is always complete.
    pub(crate) config: BTreeMap<String, Arc<[u8]>>,
    /// The weight of each dial.
    pub(crate) dials: BTreeMap<String, u64>,
    /// Drained endpoints.
    pub(crate) drained: BTreeSet<String>,
    /// The step of the rollout.
    pub(crate) step: u64,
    /// The number of the order that the certificate is of.
    pub(crate) order: u64,
}

/// The store, with all that it ever said.
#[derive(Debug, Default)]
pub(crate) struct Etcd {
    pub(crate) store: Store,
    /// By id: the time of the end, and the attached keys.
    leases: BTreeMap<u64, (u64, BTreeSet<String>)>,
    lease_count: u64,
    /// The rules at each revision.
    pub(crate) history: Vec<Rules>,
    /// Changes up to here can be read no more.
    pub(crate) compacted: StoreRevision,
    /// The writes that happened.
    pub(crate) committed: BTreeSet<WriteId>,
    pub(crate) broken: Vec<String>,
    pub(crate) rollout_steps: u64,
    pub(crate) canaries_passed: u64,
    pub(crate) canaries_taken_back: u64,
}

impl Etcd {
    pub(crate) fn new() -> Self {
        Self {
            history: vec![Rules::default()],
            ..Self::default()
        }
    }

    pub(crate) fn grant(&mut self, now: u64) -> u64 {
        self.lease_count += 1;
        self.leases
            .insert(self.lease_count, (now + LEASE_MS, BTreeSet::new()));
        self.lease_count
    }

    /// Renews a lease, if it is still there.
    pub(crate) fn keep_alive(&mut self, lease: u64, now: u64) -> bool {
        let found = self.leases.get_mut(&lease);
        found.map(|(until, _)| *until = now + LEASE_MS).is_some()
    }

    /// Writes a key that lives with a lease, if that is still there.
    pub(crate) fn attach(&mut self, lease: u64, key: &str, value: Vec<u8>) -> bool {
        let Some((_, keys)) = self.leases.get_mut(&lease) else {
            return false;
        };
        keys.insert(key.to_owned());
        self.write(&[Write::Put {
            key: key.to_owned(),
            value,
        }]);
        true
    }

    /// Ends leases that were not renewed.
    pub(crate) fn expire(&mut self, now: u64) {
        let due = self.leases.iter().find(|(_, (until, _))| *until <= now);
        let Some(lease) = due.map(|(lease, _)| *lease) else {
            return;
        };
        let (_, keys) = self.leases.remove(&lease).unwrap_or_default();
        let deletions: Vec<Write> = keys.into_iter().map(|key| Write::Delete { key }).collect();
        self.write(&deletions);
    }

    /// Writes without conditions, as `etcdctl` does.
    pub(crate) fn write(&mut self, writes: &[Write]) {
        self.store.write(writes);
        self.record();
    }

    /// Carries out what an instance proposed, and judges it.
    pub(crate) fn commit(&mut self, transaction: &Transaction, write: &WriteId, mutation: Mutation) -> bool {
        let mut transaction = transaction.clone();
        mutation.apply(&mut transaction);
        let first_candidate = self.first_candidate();
        let tried_before = self.canary();
        if !self.store.commit(&transaction) {
            return false;
        }
        let before = self.rules().clone();
        self.record();
        let after = self.rules().clone();
        let tried = self.canary();
        self.judge_canary(
            tried_before.as_ref(),
            tried.as_ref(),
            before.config != after.config,
        );
        if !self.committed.insert(write.clone()) {
            self.broken.push(format!("write {write} happened twice"));
        }
        self.judge(&before, &after);
        for put in &transaction.writes {
            let Write::Put { key: name, value } = put else {
                continue;
            };
            if name.starts_with(&key("revisions/")) {
                // All instances obey the config as it was checked, not with texts that came meanwhile.
                let value: Value = serde_json::from_slice(value).unwrap();
                let files = value["files"].as_object().unwrap();
                let checked = files
                    .iter()
                    .map(|(name, length)| (name.as_str(), length.as_u64()));
                let texts = after.config.iter();
                let texts = texts.map(|(name, text)| (name.as_str(), u64::try_from(text.len()).ok()));
                if !checked.eq(texts) {
                    self.broken
                        .push(format!("{name} is of other texts than the config"));
                }
            }
            let is_rollout = *name == key("rollouts/r");
            self.rollout_steps += u64::from(is_rollout);
            if is_rollout || name.starts_with(&key("certificates/")) {
                let value: Value = serde_json::from_slice(value).unwrap();
                if value["fence"].as_i64() != first_candidate {
                    self.broken.push(format!(
                        "{name} written with fence {}, and the leader's is {first_candidate:?}",
                        value["fence"]
                    ));
                }
            }
        }
        true
    }

    /// Each change of an instance goes on from what it saw, and touches nothing else.
    fn judge(&mut self, before: &Rules, after: &Rules) {
        let mut wrong = |text: String| self.broken.push(text);
        if before.config != after.config {
            let (old, new) = (count(&before.config, "a.yaml"), count(&after.config, "a.yaml"));
            if new != old + 1 {
                wrong(format!("config {new} follows {old}: a change is lost"));
            }
            if before.config.get("c.yaml") != after.config.get("c.yaml") {
                wrong("a text that a user put is lost".to_owned());
            }
            if new != count(&after.config, "b.yaml") {
                wrong(format!("config {new} is a half one"));
            }
        }
        for (route, weight) in &after.dials {
            let old = before.dials.get(route).copied().unwrap_or(0);
            if *weight != old && *weight != old + 1 {
                wrong(format!(
                    "dial of `{route}` at {weight} follows {old}: a change is lost"
                ));
            }
        }
        for (what, is, was) in [
            ("step of the rollout", after.step, before.step),
            ("order of the certificate", after.order, before.order),
        ] {
            if is != was && is != was + 1 {
                wrong(format!("the {what} {is} follows {was}"));
            }
        }
    }

    /// A canary has its stages in their order, and no config is applied beside it.
    fn judge_canary(&mut self, before: Option<&Value>, after: Option<&Value>, is_applied: bool) {
        let is_under_way = |canary: &Value| canary["stage"].is_string();
        let has_passed = after.is_some_and(|after| after["stage"]["passed"].is_u64());
        if let Some(before) = before.filter(|before| is_under_way(before)) {
            if after.is_none_or(|after| after["id"] != before["id"]) {
                self.broken.push("a canary took the place of another".to_owned());
            }
            if is_applied && !has_passed {
                self.broken
                    .push("a config was applied beside a canary".to_owned());
            }
        }
        let (Some(before), Some(after)) = (before, after) else {
            return;
        };
        if before["id"] != after["id"] || before["stage"] == after["stage"] {
            return;
        }
        if !is_under_way(before) || after["stage"] == "taking" {
            self.broken.push(format!(
                "the stage {} of a canary follows {}",
                after["stage"], before["stage"]
            ));
        }
        self.canaries_passed += u64::from(has_passed);
        self.canaries_taken_back += u64::from(after["stage"]["taken_back"].is_string());
    }

    /// The canary that is under way, or was last.
    pub(crate) fn canary(&self) -> Option<Value> {
        let name = key("canary");
        let entry = self.store.folder(&name).next()?;
        serde_json::from_slice(&entry.value).ok()
    }

    /// Compares a view with what the store said at its revision.
    pub(crate) fn check(&mut self, view: &View, instance: &str) {
        let expected = &self.history[usize::try_from(view.at.0).unwrap()];
        let texts = view.config.iter().flat_map(|config| &config.texts);
        let found = Rules {
            config: texts
                .map(|(name, text)| (name.as_str().to_owned(), text.clone()))
                .collect(),
            dials: view
                .dials
                .iter()
                .map(|(route, dial)| (route.to_string(), dial.value.live.as_ref().unwrap()[1].1))
                .collect(),
            drained: view.drains.keys().map(|name| name.endpoint.clone()).collect(),
            step: view
                .rollouts
                .get("r")
                .map_or(0, |rollout| rollout.value.state["step"].as_u64().unwrap()),
            order: view
                .certificates
                .get("account")
                .map_or(0, |certificate| certificate.value.sealed.parse().unwrap()),
        };
        if found != *expected {
            self.broken.push(format!(
                "`{instance}` has another picture of revision {}",
                view.at.0
            ));
        }
        if let Some(config) = view.config_of(instance) {
            let texts = config.texts.iter();
            let texts = texts
                .map(|(name, text)| (name.as_str().to_owned(), text.clone()))
                .collect();
            if count(&texts, "a.yaml") != count(&texts, "b.yaml") {
                self.broken.push(format!("`{instance}` obeys a half config"));
            }
        }
    }

    pub(crate) fn rules(&self) -> &Rules {
        self.history.last().unwrap()
    }

    /// The changes of a revision; `None` if they were compacted.
    pub(crate) fn changes(&self, at: StoreRevision) -> Option<Vec<Change>> {
        (at > self.compacted).then(|| self.store.changes(at).to_vec())
    }

    fn first_candidate(&self) -> Option<i64> {
        let folder = key("leader/");
        let candidates = self.store.folder(&folder);
        candidates.map(|entry| entry.created.0).min()
    }

    /// Notes the rules of the newest revision.
    fn record(&mut self) {
        while self.history.len() <= usize::try_from(self.store.at().0).unwrap() {
            let at = StoreRevision(i64::try_from(self.history.len()).unwrap());
            let mut rules = self.rules().clone();
            for change in self.store.changes(at) {
                let (name, value) = match change {
                    Change::Put(entry) => (&entry.key, Some(&entry.value)),
                    Change::Delete(key) => (key, None),
                };
                let name = String::from_utf8(name.clone()).unwrap();
                let name = name.strip_prefix(&key("")).unwrap();
                match (name.split_once('/'), value) {
                    (Some(("config", name)), Some(value)) => {
                        let text = whole(&self.store, value);
                        rules.config.insert(name.to_owned(), text);
                    }
                    (Some(("config", name)), None) => {
                        rules.config.remove(name);
                    }
                    (Some(("dials", route)), Some(value)) => {
                        let value: Value = serde_json::from_slice(value).unwrap();
                        let weight = value["live"][1][1].as_u64().unwrap();
                        rules.dials.insert(route.to_owned(), weight);
                    }
                    (Some(("endpoints", name)), value) => {
                        let (_, endpoint) = name.split_once('/').unwrap();
                        match value {
                            Some(_) => rules.drained.insert(endpoint.to_owned()),
                            None => rules.drained.remove(endpoint),
                        };
                    }
                    (Some(("rollouts", _)), Some(value)) => {
                        let value: Value = serde_json::from_slice(value).unwrap();
                        rules.step = value["state"]["step"].as_u64().unwrap();
                    }
                    (Some(("certificates", _)), Some(value)) => {
                        let value: Value = serde_json::from_slice(value).unwrap();
                        rules.order = value["sealed"].as_str().unwrap().parse().unwrap();
                    }
                    _ => {}
                }
            }
            self.history.push(rules);
        }
    }
}

/// The text that a value says, or that lies in the parts that it names.
fn whole(store: &Store, value: &[u8]) -> Arc<[u8]> {
    let Some(words) = value.strip_prefix(b"@parts ") else {
        return value.into();
    };
    let words = std::str::from_utf8(words).unwrap();
    let (digest, count) = words.split_once(' ').unwrap();
    let parts = (0..count.parse().unwrap()).map(|part: u32| {
        let name = key(&format!("texts/{digest}/{part}"));
        store.folder(&name).next().unwrap().value.clone()
    });
    parts.collect::<Vec<_>>().concat().into()
}

/// The number that a text begins with.
pub(crate) fn count(texts: &BTreeMap<String, Arc<[u8]>>, name: &str) -> u64 {
    let text = texts.get(name).map(|text| &text[..text.len().min(8)]);
    let digits = text.map(|text| std::str::from_utf8(text).unwrap());
    digits.map_or(0, |digits| digits.parse().unwrap())
}
