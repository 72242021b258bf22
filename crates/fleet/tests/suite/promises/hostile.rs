//! Values of a store, by whatever hand, become the same view in every replica.

use waypost_fleet::store::{Change, Entry};
use waypost_fleet::text::{Digest, Parts, TEXT_BYTES_MAX};

use super::*;
use crate::random::Random;

/// A view without what depends on what was there before.
fn picture(view: &View) -> impl PartialEq + std::fmt::Debug + use<> {
    let config = view.config.clone().filter(|_| view.config_trouble.is_none());
    (
        (view.dials.clone(), view.drains.clone(), view.rollouts.clone()),
        (
            view.revisions.clone(),
            view.instances.clone(),
            view.candidates.clone(),
        ),
        (
            view.canary.clone(),
            view.certificates.clone(),
            view.damaged.clone(),
        ),
        (view.config_keys.clone(), config, view.config_trouble.clone()),
    )
}

/// Pairs of keys and values: good ones, damaged ones, and parts that come and go.
fn values() -> Vec<(String, Vec<u8>)> {
    let mut world = World::new();
    world.carry_out(dial("users", 5));
    world.carry_out(apply(texts(&[("a.yaml", &"x".repeat(2 << 20)), ("b.yaml", "1")])));
    let entries = world.store.entries();
    let mut values: Vec<(String, Vec<u8>)> = entries
        .into_iter()
        .map(|entry| (String::from_utf8(entry.key).unwrap(), entry.value))
        .collect();
    let (parts, pieces) = Parts::of(b"small").unwrap();
    values.push((key("config/b.yaml"), parts.to_string().into_bytes()));
    values.push((key(&format!("texts/{}/0", parts.digest)), pieces[0].to_vec()));
    for rest in [
        "leader/1",
        "leader/2",
        "instances/i1",
        "canary",
        "rollouts/users",
        "endpoints/s/e",
        "sweep",
    ] {
        values.push((key(rest), b"i1".to_vec()));
    }
    values.push((
        key("instances/i1"),
        br#"{"version":"1","started":"2026-01-01T00:00:00Z"}"#.to_vec(),
    ));
    values
}

#[test]
fn replicas_agree_however_they_learned() {
    let values = values();
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let mut world = World::new();
        for _ in 0..60 {
            let (name, value) = &values[usize::try_from(random.below(values.len() as u64)).unwrap()];
            let mut value = value.clone();
            match random.below(6) {
                0 => {
                    world.store.delete(name);
                    continue;
                }
                1 => value.truncate(usize::try_from(random.below(value.len() as u64)).unwrap()),
                2 => value[0] = b'?',
                _ => {}
            }
            world.store.put(name, value);
            if !random.one_in(3) {
                continue;
            }
            let view = world.view();
            let mut other = Replica::new(prefix());
            other.reset(world.store.entries(), world.store.at());
            assert_eq!(picture(&view), picture(&other.view()), "seed {seed}");
            let _ = world.plan(&view, apply(texts(&[("a.yaml", "1")])));
        }
    }
}

#[test]
fn value_that_is_none_is_named_and_changes_nothing() {
    let mut world = World::new();
    world.carry_out(apply(texts(&[("a.yaml", "1"), ("b.yaml", "2")])));
    world.carry_out(dial("users", 5));
    let before = world.view();
    let nested = "[".repeat(100_000).into_bytes();
    let values: [&[u8]; 7] = [
        b"",
        b"\0",
        b"{}",
        b"[]",
        &[0xff; 9],
        &nested,
        &vec![b'{'; 2 << 20],
    ];
    for rest in [
        "revisions/7",
        "dials/orders",
        "endpoints/s/e",
        "rollouts/orders",
        "instances/i9",
        "leader/9",
        "canary",
    ] {
        for value in values {
            world.store.put(&key(rest), value);
            let view = world.view();
            let named: Vec<&str> = view.troubles().map(|trouble| &*trouble.key).collect();
            assert_eq!(named, [key(rest)]);
            assert!(view.troubles().all(|trouble| trouble.why.chars().count() <= 301));
            assert_eq!(picture_of_rules(&view), picture_of_rules(&before), "{rest}");
            world.store.delete(&key(rest));
            assert_eq!(world.view().troubles().next(), None);
        }
    }
}

/// All that is obeyed.
fn picture_of_rules(view: &View) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        (
            view.config.clone(),
            view.dials.clone(),
            view.drains.clone(),
            view.rollouts.clone(),
        ),
        (
            view.revisions.clone(),
            view.instances.clone(),
            view.candidates.clone(),
        ),
        (view.canary.is_some(), view.revision(), view.leader()),
    )
}

#[test]
fn place_of_a_text_that_is_not_there_leaves_the_whole_config_as_it_was() {
    let mut world = World::new();
    world.carry_out(apply(texts(&[("a.yaml", "1"), ("b.yaml", "2")])));
    let before = world.view();
    let (parts, _) = Parts::of(b"good").unwrap();
    let (other, _) = Parts::of(b"another").unwrap();
    world.store.put(&key(&format!("texts/{}/0", other.digest)), "bad");
    let missing = parts.to_string();
    let damaged = other.to_string();
    let many = format!("@parts {} 17", Digest::of(b"x"));
    let large = "x".repeat(TEXT_BYTES_MAX);
    for value in ["@parts", "@parts x 1", &*missing, &*damaged, &*many, &*large] {
        // The other text of the transaction does not count either.
        world.store.write(&[
            waypost_fleet::store::Write::Put {
                key: key("config/a.yaml"),
                value: b"3".to_vec(),
            },
            waypost_fleet::store::Write::Put {
                key: key("config/b.yaml"),
                value: value.as_bytes().to_vec(),
            },
        ]);
        let view = world.view();
        assert_eq!(view.config, before.config);
        let named: Vec<&str> = view.troubles().map(|trouble| &*trouble.key).collect();
        assert_eq!(named, [key("config/b.yaml")]);
        let mut late = Replica::new(prefix());
        late.reset(world.store.entries(), world.store.at());
        assert_eq!(late.view().config, None);
    }
    // Once the part is there, the text is.
    world.store.put(&key("config/b.yaml"), &*missing);
    world
        .store
        .put(&key(&format!("texts/{}/0", parts.digest)), "good");
    let config = world.view().config.clone().unwrap();
    assert_eq!(config.texts, texts(&[("a.yaml", "3"), ("b.yaml", "good")]));
}

#[test]
fn key_among_those_of_the_fleet_that_is_none_is_named_while_it_is_there() {
    let mut replica = Replica::new(prefix());
    let put = |key: &[u8]| {
        Change::Put(Entry {
            key: key.to_vec(),
            value: b"{}".to_vec(),
            created: StoreRevision(1),
            modified: StoreRevision(1),
            is_leased: true,
        })
    };
    let keys: [&[u8]; 6] = [
        b"/waypost/test/dials/\xff",
        b"/waypost/test/instances/a\x1b[31mb",
        b"/waypost/test/other/x",
        b"/waypost/test/config/shop.yam",
        b"/waypost/test/config/a/b.yaml",
        b"/waypost/test/canary/x",
    ];
    assert!(replica.apply(keys.map(put), StoreRevision(1)));
    let names: Vec<String> = replica
        .view()
        .troubles()
        .map(|trouble| trouble.key.clone())
        .collect();
    assert_eq!(
        names,
        [
            "/waypost/test/canary/x",
            "/waypost/test/config/a/b.yaml",
            "/waypost/test/config/shop.yam",
            "/waypost/test/dials/\\xff",
            "/waypost/test/instances/a\\u{1b}[31mb"
        ]
    );
    let deleted = keys.map(|key| Change::Delete(key.to_vec()));
    assert!(replica.apply(deleted, StoreRevision(2)));
    assert_eq!(replica.view().troubles().next(), None);
}
