//! Dials, drains, rollouts and revisions as a fleet's records, and back.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use waypost_config::{Kind, Source};
use waypost_fleet::proposal;
use waypost_fleet::record::dial::{DialRecord, TURNS_KEPT, TurnRecord};
use waypost_fleet::record::drain::{DrainRecord, DrainedRecord};
use waypost_fleet::record::revision::{Draft, RevisionRecord};
use waypost_fleet::view::{EndpointName, View};

use crate::checksummed::ReadError;
use crate::state::dials::{Dial, Dials, StoredDrain, Turn};
use crate::state::revision::{Origin, Revision};
use crate::state::rollouts::StoredRollout;
use crate::texts::Texts;

/// All that a view says of dials, drains and rollouts. A rollout that this version cannot read is left out.
pub(crate) fn read(view: &View) -> Dials {
    let mut dials = Dials::default();
    for (route, kept) in &*view.dials {
        let record = &kept.value;
        if let Some(live) = &record.live {
            let dial = Dial {
                declared: record.declared.clone(),
                live: live.clone(),
                by: record.by.clone(),
                time: record.time,
            };
            dials.dials.insert(route.to_string(), dial);
        }
        let turns = record.turns.iter().map(|turn| Turn {
            time: turn.time,
            route: route.to_string(),
            before: turn.before.clone(),
            after: turn.after.clone(),
            by: turn.by.clone(),
        });
        dials.turns.extend(turns);
    }
    dials.turns.sort_by_key(|turn| turn.time);
    for (name, kept) in &*view.drains {
        let drains = kept.value.drained.iter().map(|drained| StoredDrain {
            endpoint: name.endpoint.clone(),
            address: drained.address.clone(),
            by: drained.by.clone(),
            time: drained.time,
        });
        let of_service = dials.drains.entry(name.service.clone()).or_default();
        of_service.extend(drains);
    }
    for (lead, kept) in &*view.rollouts {
        let rollout = serde_json::from_value::<StoredRollout>(kept.value.state.clone());
        if let Some(rollout) = rollout.ok().filter(|rollout| !rollout.routes.is_empty()) {
            dials.rollouts.insert(lead.to_string(), rollout);
        }
    }
    dials
}

/// All that a view without a config says, over what was in force before.
pub(crate) fn read_over(view: &View, mut before: Dials) -> Dials {
    before.dials.retain(|route, _| !view.dials.contains_key(&**route));
    before.turns.retain(|turn| !view.dials.contains_key(&*turn.route));
    before
        .rollouts
        .retain(|lead, _| !view.rollouts.contains_key(&**lead));
    for (service, drains) in &mut before.drains {
        drains.retain(|drain| {
            let name = EndpointName {
                service: service.clone(),
                endpoint: drain.endpoint.clone(),
            };
            !view.drains.contains_key(&name)
        });
    }
    let newer = read(view);
    before.dials.extend(newer.dials);
    before.turns.extend(newer.turns);
    before.turns.sort_by_key(|turn| turn.time);
    before.rollouts.extend(newer.rollouts);
    for (service, drains) in newer.drains {
        before.drains.entry(service).or_default().extend(drains);
    }
    before.drains.retain(|_, drains| !drains.is_empty());
    before
}

/// A revision of a fleet.
pub(in crate::state) fn revision(number: u64, record: &RevisionRecord) -> Revision {
    let draft = &record.draft;
    let origins = [
        Origin::File,
        Origin::Api,
        Origin::Rollback,
        Origin::Revert,
        Origin::Rollout,
    ];
    let files = record.texts.files.iter();
    Revision {
        number,
        time: draft.time,
        // What another version calls otherwise came from etcd in any case.
        origin: origins
            .into_iter()
            .find(|origin| origin.as_str() == draft.origin)
            .unwrap_or(Origin::Etcd),
        hash: draft.hash.clone(),
        summary: draft.summary.clone(),
        by: draft.by.clone(),
        is_directory: true,
        files: files
            .map(|(name, length)| (name.as_str().to_owned(), *length))
            .collect(),
    }
}

/// The texts of a revision of a fleet.
pub(in crate::state) fn texts(view: &View, number: u64) -> Result<Texts, ReadError> {
    let record = view.revisions.get(&number);
    let record = record.ok_or_else(|| ReadError::Damaged("it is not kept any more".to_owned()))?;
    let texts = view.texts(&record.value.texts);
    let texts = texts.map_err(|error| ReadError::Damaged(error.to_string()))?;
    let sources = texts.into_iter().map(|(name, text)| Source {
        name: name.as_str().to_owned(),
        text,
    });
    Ok(Texts {
        sources: sources.collect(),
        kind: Kind::Directory,
        local: None,
    })
}

impl Revision {
    /// All that a fleet's record of this says beside its number and its texts.
    pub(crate) fn draft(&self) -> Draft {
        Draft {
            time: self.time,
            origin: self.origin.as_str().to_owned(),
            hash: self.hash.clone(),
            summary: self.summary.clone(),
            by: self.by.clone(),
        }
    }
}

/// The changes from what a view says to `dials`.
pub(super) fn changes(view: &View, dials: &Dials) -> proposal::State {
    let before = read(view);
    let mut changes = proposal::State {
        drains: drains(&before, dials),
        rollouts: rollouts(&before, dials),
        ..proposal::State::default()
    };
    let (was, is) = (turns(&before), turns(dials));
    let mut routes: BTreeSet<&str> = before
        .dials
        .keys()
        .chain(dials.dials.keys())
        .map(|name| &**name)
        .collect();
    routes.extend(was.keys());
    routes.extend(is.keys());
    for route in routes {
        let mut turns = was.get(route).cloned().unwrap_or_default();
        let known = turns.len();
        // The oldest turns of all routes together are dropped from memory, and stay in the records.
        let fresh = is.get(route).into_iter().flatten();
        turns.extend(fresh.filter(|turn| !was.get(route).is_some_and(|was| was.contains(turn))));
        if turns.len() == known && before.dials.get(route) == dials.dials.get(route) {
            continue;
        }
        turns.drain(..turns.len().saturating_sub(TURNS_KEPT));
        let known = view.dials.get(route).map(|kept| &kept.value);
        let record = record(dials.dials.get(route), known.map(|known| &**known), &turns);
        changes.dials.insert(route.to_owned(), record);
    }
    changes
}

/// The record of a route's dial; `None` if it has no dial, and never had one.
fn record(dial: Option<&Dial>, known: Option<&DialRecord>, turns: &[&Turn]) -> Option<DialRecord> {
    let last = turns.last();
    let (declared, by, time) = match (dial, known, last) {
        (Some(dial), _, _) => (&dial.declared, &dial.by, dial.time),
        (None, _, Some(turn)) => (&turn.after, &turn.by, turn.time),
        (None, Some(known), None) => (&known.declared, &known.by, known.time),
        (None, None, None) => return None,
    };
    let records = turns.iter().map(|turn| {
        let is_known = |known: &&TurnRecord| known.time == turn.time && known.by == turn.by;
        let mut of_known = known.iter().flat_map(|known| &known.turns);
        TurnRecord {
            time: turn.time,
            before: turn.before.clone(),
            after: turn.after.clone(),
            by: turn.by.clone(),
            // A turn is told from another by the write that it came with.
            write: of_known.find(is_known).and_then(|known| known.write.clone()),
        }
    });
    Some(DialRecord {
        declared: declared.clone(),
        live: dial.map(|dial| dial.live.clone()),
        by: by.clone(),
        time,
        write: None,
        turns: records.collect(),
    })
}

/// The newest turns of each route; the latest is the last.
fn turns(dials: &Dials) -> BTreeMap<&str, Vec<&Turn>> {
    let mut of_routes: BTreeMap<&str, Vec<&Turn>> = BTreeMap::new();
    for turn in &dials.turns {
        of_routes.entry(&turn.route).or_default().push(turn);
    }
    for turns in of_routes.values_mut() {
        let more = turns.len().saturating_sub(TURNS_KEPT);
        turns.drain(..more);
    }
    of_routes
}

fn drains(before: &Dials, after: &Dials) -> BTreeMap<EndpointName, Option<DrainRecord>> {
    let (was, is) = (by_endpoint(before), by_endpoint(after));
    let names: BTreeSet<&EndpointName> = was.keys().chain(is.keys()).collect();
    let changed = names.into_iter().filter(|name| was.get(name) != is.get(name));
    changed
        .map(|name| (name.clone(), is.get(name).cloned()))
        .collect()
}

fn by_endpoint(dials: &Dials) -> BTreeMap<EndpointName, DrainRecord> {
    let mut records: BTreeMap<EndpointName, DrainRecord> = BTreeMap::new();
    for (service, drains) in &dials.drains {
        for drain in drains {
            let name = EndpointName {
                service: service.clone(),
                endpoint: drain.endpoint.clone(),
            };
            let record = records.entry(name).or_insert_with(|| DrainRecord {
                drained: Vec::new(),
                write: None,
            });
            record.drained.push(DrainedRecord {
                address: drain.address.clone(),
                by: drain.by.clone(),
                time: drain.time,
            });
        }
    }
    records
}

fn rollouts(before: &Dials, after: &Dials) -> BTreeMap<String, Option<Value>> {
    let leads: BTreeSet<&String> = before.rollouts.keys().chain(after.rollouts.keys()).collect();
    let changed = leads
        .into_iter()
        .filter(|lead| before.rollouts.get(*lead) != after.rollouts.get(*lead));
    changed
        .map(|lead| {
            let state = after.rollouts.get(lead);
            (
                lead.clone(),
                state.and_then(|state| serde_json::to_value(state).ok()),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use waypost_fleet::key::Prefix;
    use waypost_fleet::proposal::Intent;
    use waypost_fleet::record::WriteId;
    use waypost_fleet::replica::Replica;
    use waypost_fleet::store::{Change, Entry, StoreRevision, Write};

    use super::*;
    use crate::state::rollouts::{Fingerprint, StoredRoute};

    fn weights(b: u64) -> Vec<(String, u64)> {
        vec![("a".to_owned(), 100 - b), ("b".to_owned(), b)]
    }

    fn turn(route: &str, second: i64, before: u64, after: u64) -> Turn {
        Turn {
            time: Timestamp::from_second(second).unwrap(),
            route: route.to_owned(),
            before: weights(before),
            after: weights(after),
            by: "ann".to_owned(),
        }
    }

    fn dial(second: i64, live: u64) -> Dial {
        Dial {
            declared: weights(0),
            live: weights(live),
            by: "ann".to_owned(),
            time: Timestamp::from_second(second).unwrap(),
        }
    }

    fn drain(address: Option<&str>) -> StoredDrain {
        StoredDrain {
            endpoint: "10.0.0.1:80".to_owned(),
            address: address.map(str::to_owned),
            by: "bob".to_owned(),
            time: Timestamp::from_second(7).unwrap(),
        }
    }

    fn rollout() -> StoredRollout {
        let time = Timestamp::from_second(9).unwrap();
        let mut rollout = StoredRollout::new(Fingerprint::default(), time, "ann");
        rollout.routes.push(StoredRoute {
            route: "users".to_owned(),
            canary: "b".to_owned(),
            baseline: "a".to_owned(),
            before: weights(0),
            live: weights(10),
        });
        rollout
    }

    /// A store that changes are carried out in.
    struct Store {
        replica: Replica,
        at: i64,
    }

    impl Store {
        /// Stores the changes to `dials`, and checks what is read then. Returns the number of keys that were written.
        fn store(&mut self, dials: &Dials) -> usize {
            let count = self.write(dials);
            assert_eq!(read(&self.replica.view()), *dials);
            count
        }

        /// Stores the changes to `dials`. Returns the number of keys that were written.
        fn write(&mut self, dials: &Dials) -> usize {
            let view = self.replica.view();
            self.at += 1;
            let at = StoreRevision(self.at);
            let mut changes = changes(&view, dials);
            changes.fence = Some(waypost_fleet::view::Fence {
                key: "/w/leader/1".to_owned(),
                created: StoreRevision(1),
            });
            let write = WriteId::new(&format!("w{}", self.at)).unwrap();
            let proposal = Intent::State(changes).plan(&view, &write).unwrap();
            let writes = proposal.main.writes;
            let count = writes.len();
            let made = writes.into_iter().map(|write| match write {
                Write::Put { key, value } => Change::Put(Entry {
                    key: key.into_bytes(),
                    value,
                    created: at,
                    modified: at,
                    is_leased: false,
                }),
                Write::Delete { key } => Change::Delete(key.into_bytes()),
            });
            self.replica.apply(made.collect::<Vec<_>>(), at);
            count
        }
    }

    #[test]
    fn dials_are_read_as_they_were_stored_and_only_changes_are_written() {
        let prefix: Prefix = "/w".parse().unwrap();
        let mut store = Store {
            replica: Replica::new(prefix),
            at: 1,
        };
        let mut dials = Dials::default();
        assert_eq!(store.store(&dials), 0);
        dials.turn("users", Some(dial(1, 50)), turn("users", 1, 0, 50));
        assert_eq!(store.store(&dials), 1);
        dials.turn("orders", Some(dial(2, 30)), turn("orders", 2, 0, 30));
        dials.drains.insert("s".to_owned(), vec![drain(None)]);
        assert_eq!(store.store(&dials), 2);
        assert_eq!(store.store(&dials), 0);
        // A dial that is reset keeps its history.
        dials.turn("users", None, turn("users", 3, 50, 0));
        assert_eq!(store.store(&dials), 1);
        dials.rollouts.insert("users".to_owned(), rollout());
        dials.turn("users", Some(dial(4, 10)), turn("users", 4, 0, 10));
        assert_eq!(store.store(&dials), 2);
        let two = vec![drain(Some("10.0.0.1:80")), drain(Some("10.0.0.2:80"))];
        dials.drains.insert("s".to_owned(), two);
        assert_eq!(store.store(&dials), 1);
        dials.drains.clear();
        assert_eq!(store.store(&dials), 1);
        // One that does not hold any more goes without a turn.
        dials.dials.remove("orders");
        assert_eq!(store.store(&dials), 1);
    }

    #[test]
    fn turns_of_other_routes_stay_in_the_records() {
        let mut store = Store {
            replica: Replica::new("/w".parse().unwrap()),
            at: 1,
        };
        // More than a gateway keeps of all routes together.
        for second in 1..=10 {
            for route in 0..30 {
                let route = format!("r{route}");
                let mut dials = read(&store.replica.view());
                let live = 1 + u64::try_from(second).unwrap();
                dials.turn(&route, Some(dial(second, live)), turn(&route, second, 0, live));
                assert_eq!(store.write(&dials), 1, "{route} at {second}");
            }
        }
        let view = store.replica.view();
        assert!(view.dials.values().all(|kept| kept.value.turns.len() == 10));
    }
}
