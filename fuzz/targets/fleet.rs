//! Values of a store, by whatever hand, become a view without a panic: the same one whether they are read at once or
//! come as changes, and also from a cache of the replica. Whatever is wished against it is planned or refused.
//!
//! Each line is a key behind the prefix, a space and a value; a key alone is deleted.

#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost_fleet::canary::{Clock, Count, choose};
use waypost_fleet::proposal::sweep::Sweeper;
use waypost_fleet::proposal::{Apply, Intent, State};
use waypost_fleet::record::WriteId;
use waypost_fleet::replica::Replica;
use waypost_fleet::store::{Change, Entry, OPERATIONS_MAX, StoreRevision, TRANSACTION_BYTES_MAX};
use waypost_fleet::view::View;

const PREFIX: &str = "/f";
const DRAFT: &str = r#"{"time":"2026-01-01T00:00:00Z","origin":"api","hash":"h"}"#;

fuzz_target!(|input: &[u8]| {
    let prefix = PREFIX.parse().expect("a prefix");
    let mut replica = Replica::new(prefix);
    let mut entries: Vec<Entry> = Vec::new();
    let mut at = StoreRevision(0);
    for line in input.split(|byte| *byte == b'\n').take(64) {
        at.0 += 1;
        let mut words = line.splitn(2, |byte| *byte == b' ');
        let rest = words.next().unwrap_or_default();
        let key = [PREFIX.as_bytes(), b"/", rest].concat();
        let known = entries.iter().position(|entry| entry.key == key);
        let created = known.map_or(at, |known| entries.remove(known).created);
        let change = match words.next() {
            Some(value) => {
                let entry = Entry {
                    key,
                    value: value.to_vec(),
                    created,
                    modified: at,
                    is_leased: at.0 % 4 != 0,
                };
                entries.push(entry.clone());
                Change::Put(entry)
            }
            None => Change::Delete(key),
        };
        assert!(replica.apply([change.clone()], at));
        assert!(!replica.apply([change], at), "a repeated change");
    }
    let view = replica.view();
    let mut read = Replica::new(view.prefix.clone());
    read.reset(entries, at);
    same(&view, &read.view());
    let mut cached = Replica::new(view.prefix.clone());
    cached.reset(replica.entries(), at);
    let cached = cached.view();
    assert_eq!(cached.dials, view.dials);
    assert_eq!(cached.rollouts, view.rollouts);
    assert_eq!(cached.revisions, view.revisions);
    plan(&view);
});

/// Compares what does not depend on what was there before.
fn same(view: &View, read: &View) {
    assert_eq!(view.dials, read.dials);
    assert_eq!(view.drains, read.drains);
    assert_eq!(view.rollouts, read.rollouts);
    assert_eq!(view.revisions, read.revisions);
    assert_eq!(view.instances, read.instances);
    assert_eq!(view.candidates, read.candidates);
    assert_eq!(view.canary, read.canary);
    assert_eq!(view.damaged, read.damaged);
    assert_eq!(view.config_keys, read.config_keys);
    assert_eq!(view.config_trouble.is_some(), read.config_trouble.is_some());
    if view.config_trouble.is_none() {
        assert_eq!(view.config, read.config);
    }
}

fn plan(view: &View) {
    let write = WriteId::new("w").expect("an id");
    let _ = (view.revision(), view.troubles().count());
    for revision in view.revisions.values() {
        let _ = view.texts(&revision.value.texts);
    }
    for id in view.instances.keys() {
        let _ = (view.config_of(id), choose(view, id, Count::Percent(50)));
    }
    let _ = Clock::default().step(view, std::time::Duration::from_secs(1));
    if let Some(leader) = view.leader() {
        let now = std::time::Duration::from_secs(1);
        let _ = Sweeper::default().step(view, &leader.fence, now, &write);
    }
    let dials = view.dials.iter();
    let dials = dials.map(|(route, dial)| (route.to_string(), Some((*dial.value).clone())));
    let state = State {
        dials: dials.collect(),
        ..State::default()
    };
    let texts = view.config.as_ref().map(|config| config.texts.clone());
    let apply = Apply {
        texts: texts.unwrap_or_default(),
        draft: serde_json::from_str(DRAFT).expect("a draft"),
        state: State::default(),
    };
    for intent in [Intent::State(state), Intent::Apply(apply)] {
        let Ok(proposal) = intent.plan(view, &write) else {
            continue;
        };
        for transaction in proposal.parts.iter().chain([&proposal.main]) {
            assert!(transaction.bytes() <= TRANSACTION_BYTES_MAX);
            assert!(transaction.writes.len() <= OPERATIONS_MAX);
            assert!(transaction.compares.len() <= OPERATIONS_MAX);
        }
        assert!(proposal.conflicts(view).is_empty());
    }
}
