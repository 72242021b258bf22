//! The fleet as the admin API shows it.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::{Picture, Shared, canary, lock};
use crate::fleet::{Availability, Known};
use waypost_admin::fleet::{FleetView, InstanceError, InstanceState, InstanceView};
use waypost_fleet::record::instance::InstanceRecord;
use waypost_fleet::store::StoreRevision;
use waypost_fleet::view::View;

/// The time that instances get to obey a change and say so.
const SETTLING: Duration = Duration::from_secs(2);

/// The most instances that are named as not reached.
const HINTS_MAX: usize = 5;

/// Changes that are kept until then.
const KEPT: usize = 64;

/// Changes of the rules, until instances have had the time to obey them.
#[derive(Debug, Default)]
pub(super) struct Settling {
    /// Revisions of changes, with the time at which they came; all but the first are younger than [`SETTLING`].
    changes: VecDeque<(StoreRevision, Instant)>,
    /// The revision at which all keys were read. The last change of the rules is an earlier one, which others obey since.
    read_at: Option<StoreRevision>,
}

impl Settling {
    /// Notes the last revision that changed rules.
    pub(super) fn note(&mut self, rules: StoreRevision) {
        self.note_at(rules, Instant::now());
    }

    /// Begins anew, when all keys were read.
    pub(super) fn begin(&mut self, rules: StoreRevision) {
        self.changes.clear();
        self.read_at = Some(rules);
    }

    fn note_at(&mut self, rules: StoreRevision, now: Instant) {
        if self.read_at == Some(rules) {
            return;
        }
        while self
            .changes
            .get(1)
            .is_some_and(|(_, came)| is_settled(*came, now))
        {
            self.changes.pop_front();
        }
        let last = self.changes.back().map(|(rules, _)| *rules);
        // A lower one is of a store that was put back.
        if last.is_some_and(|last| last > rules) {
            self.changes.clear();
        }
        if last != Some(rules) && self.changes.len() < KEPT {
            self.changes.push_back((rules, now));
        }
    }

    /// The revision up to which every instance should have obeyed all.
    fn settled(&self, now: Instant) -> StoreRevision {
        let settled = self.changes.iter().rev().find(|(_, came)| is_settled(*came, now));
        settled.map(|(rules, _)| *rules).unwrap_or_default()
    }
}

fn is_settled(came: Instant, now: Instant) -> bool {
    now.saturating_duration_since(came) >= SETTLING
}

impl Shared {
    /// The fleet as it is now.
    pub(super) fn look(&self) -> FleetView {
        let picture = self.picture.borrow().clone();
        let troubles = self.troubles(&picture);
        let view = picture.view;
        let settled = {
            let mut settling = lock(&self.settling);
            if picture.known == Known::Read {
                settling.note(view.rules);
            }
            settling.settled(Instant::now())
        };
        let leader = view.leader().map(|leader| leader.instance.to_string());
        let instances = view.instances.iter().map(|(id, record)| {
            let state = state(&record.value, settled);
            instance(id, &record.value, state, leader.as_deref() == Some(id))
        });
        let instances: Vec<InstanceView> = instances.collect();
        let canary = canary::view(&view);
        let (away_since, why) = match picture.availability {
            Availability::Available => (None, None),
            Availability::Away { since, why, .. } => (Some(since), Some(why)),
        };
        let are_well = instances
            .iter()
            .all(|instance| instance.state == InstanceState::Ok);
        FleetView {
            ok: why.is_none() && troubles.is_empty() && are_well,
            prefix: self.prefix.to_string(),
            endpoints: self.endpoints.clone(),
            available: why.is_none(),
            away_since,
            why,
            cached: picture.known == Known::Cached,
            store_revision: view.at.0,
            rules: view.rules.0,
            revision: view.revision(),
            instance: self.id().to_string(),
            leader,
            instances,
            canary,
            troubles,
            hints: hints(&view),
        }
    }

    /// Things that etcd forbids this instance, and keys in it that make no sense, in a sentence each.
    pub(super) fn troubles(&self, picture: &Picture) -> Vec<String> {
        let view = &picture.view;
        let mut troubles = self.presence.borrow().troubles.clone();
        troubles.extend(lock(&self.unopened).values().cloned());
        troubles.extend(self.refusals(view));
        let in_use = lock(&self.in_use).clone();
        troubles.extend(in_use.map(|state| self.in_use_of(&state)));
        let senseless = view.troubles();
        troubles.extend(senseless.map(|trouble| format!("`{}`: {}", trouble.key, trouble.why)));
        if picture.known == Known::Read && view.config_keys.is_empty() {
            troubles.push(format!(
                "there is no config in etcd: no key begins with `{}/config/`",
                self.prefix
            ));
        }
        troubles
    }
}

/// Instances whose admin APIs others do not reach, in a sentence each.
fn hints(view: &View) -> Vec<String> {
    let hosts: BTreeSet<Option<&str>> = view
        .instances
        .values()
        .map(|instance| instance.value.host.as_deref())
        .collect();
    let is_alone = view.instances.len() < 2;
    let instances = view.instances.iter().filter(|_| !is_alone);
    let unreached = instances.filter_map(|(id, instance)| match &instance.value.admin {
        None => Some(format!("instance {id} has no admin API that others reach")),
        Some(admin) if hosts.len() > 1 && is_loopback(admin) => {
            Some(format!("other machines do not reach instance {id} at {admin}"))
        }
        Some(_) => None,
    });
    let mut hints: Vec<String> = unreached.collect();
    let more = hints.len().saturating_sub(HINTS_MAX);
    hints.truncate(HINTS_MAX);
    if more > 0 {
        hints.push(format!("nor {more} more"));
    }
    if let Some(last) = hints.last_mut() {
        last.push_str(": set `admin.bind` in its local file to an address of its machine");
    }
    hints
}

/// Returns true if a URL leads back to the machine that asks.
fn is_loopback(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    ["127.", "localhost:", "[::1]"]
        .iter()
        .any(|loopback| authority.starts_with(loopback))
}

fn state(instance: &InstanceRecord, settled: StoreRevision) -> InstanceState {
    if !instance.errors.is_empty() {
        InstanceState::Error
    } else if instance.obeys < settled {
        InstanceState::Lagging
    } else if !instance.healthy {
        InstanceState::Unhealthy
    } else {
        InstanceState::Ok
    }
}

fn instance(id: &str, record: &InstanceRecord, state: InstanceState, leads: bool) -> InstanceView {
    let errors = record.errors.iter().map(|error| InstanceError {
        revision: error.revision,
        why: error.why.clone(),
    });
    InstanceView {
        id: id.to_owned(),
        state,
        leader: leads,
        admin: record.admin.clone(),
        version: record.version.clone(),
        started: record.started,
        revision: record.revision,
        since: record.since,
        obeys: record.obeys.0,
        canary: record.canary.is_some(),
        healthy: record.healthy,
        unhealthy: record.unhealthy.clone(),
        errors: errors.collect(),
    }
}

#[cfg(test)]
mod tests {
    use waypost_fleet::replica::Replica;
    use waypost_fleet::store::Entry;

    use super::*;

    /// The hints about instances with these hosts and admin addresses.
    fn hints_of(instances: &[(&str, Option<&str>)]) -> Vec<String> {
        let mut replica = Replica::new("/w".parse().unwrap());
        let entries = instances.iter().zip(1..).map(|((host, admin), number)| Entry {
            key: format!("/w/instances/i{number}").into_bytes(),
            value: serde_json::to_vec(&serde_json::json!({
                "version": "1", "started": "2026-01-02T03:04:05Z", "host": host, "admin": admin,
            }))
            .unwrap(),
            created: StoreRevision(1),
            modified: StoreRevision(1),
            is_leased: true,
        });
        replica.reset(entries, StoreRevision(1));
        hints(&replica.view())
    }

    #[test]
    fn instances_that_others_do_not_reach_are_named_with_the_remedy() {
        let local = Some("http://127.0.0.1:9900");
        assert!(hints_of(&[("a", None)]).is_empty());
        assert!(hints_of(&[("a", local), ("a", local)]).is_empty());
        assert!(hints_of(&[("a", Some("http://10.0.0.1:9900")), ("b", Some("https://b:9900"))]).is_empty());
        let remedy = ": set `admin.bind` in its local file to an address of its machine";
        assert_eq!(
            hints_of(&[("a", local), ("b", Some("https://b:9900")), ("c", None)]),
            [
                "other machines do not reach instance i1 at http://127.0.0.1:9900".to_owned(),
                format!("instance i3 has no admin API that others reach{remedy}"),
            ]
        );
        let many: Vec<(&str, Option<&str>)> = vec![("a", None); 8];
        let hints = hints_of(&many);
        assert_eq!((hints.len(), &*hints[5]), (6, &*format!("nor 3 more{remedy}")));
    }

    #[test]
    fn a_change_is_settled_once_instances_had_the_time_to_obey_it() {
        let began = Instant::now();
        let after = |ms| began + Duration::from_millis(ms);
        let mut settling = Settling::default();
        for (rules, ms) in [(5, 0), (5, 100), (7, 1000), (9, 1500)] {
            settling.note_at(StoreRevision(rules), after(ms));
        }
        for (ms, expected) in [(1000, 0), (2000, 5), (2999, 5), (3000, 7), (3500, 9), (9000, 9)] {
            assert_eq!(settling.settled(after(ms)), StoreRevision(expected), "{ms}");
        }
        // Many changes in a short time do not keep the first from being settled.
        for rules in 10..1000 {
            settling.note_at(StoreRevision(rules), after(4000));
        }
        assert_eq!(settling.settled(after(4000)), StoreRevision(9));
        assert!(settling.changes.len() <= KEPT);
        settling.note_at(StoreRevision(1000), after(7000));
        settling.note_at(StoreRevision(1000), after(7001));
        assert_eq!(settling.settled(after(10_000)), StoreRevision(1000));
        settling.note_at(StoreRevision(3), after(10_000));
        assert_eq!(settling.settled(after(10_000)), StoreRevision(0));
        // Instances that have obeyed all do not say so again when another one reads it.
        settling.begin(StoreRevision(20));
        settling.note_at(StoreRevision(20), after(10_000));
        assert_eq!(settling.settled(after(20_000)), StoreRevision(0));
        settling.note_at(StoreRevision(21), after(20_000));
        assert_eq!(settling.settled(after(22_000)), StoreRevision(21));
    }
}
