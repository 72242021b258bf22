//! A change happens as a whole and only if no other was first, and a reader sees a whole config or the one before.

use waypost_fleet::proposal::Outcome;
use waypost_fleet::record::drain::DrainRecord;
use waypost_fleet::store::{OPERATIONS_MAX, StoreRevision, TRANSACTION_BYTES_MAX, Write};
use waypost_fleet::view::EndpointName;

use super::*;

#[test]
fn of_two_changes_of_one_key_the_first_happens() {
    let mut world = World::new();
    world.carry_out(apply(texts(&[("a.yaml", "1"), ("b.yaml", "1")])));
    world.carry_out(dial("users", 1));
    let view = world.view();
    let intents = [
        [dial("users", 5), dial("users", 6)],
        [
            apply(texts(&[("a.yaml", "2"), ("b.yaml", "1")])),
            apply(texts(&[("a.yaml", "1"), ("b.yaml", "2")])),
        ],
        [apply(texts(&[("a.yaml", "3")])), apply(texts(&[("c.yaml", "1")]))],
    ];
    for [first, second] in intents {
        let view = if world.view().at == view.at {
            view.clone()
        } else {
            world.view()
        };
        let first = world.plan(&view, first).unwrap();
        let second = world.plan(&view, second).unwrap();
        assert!(world.commit(&first));
        assert!(!world.commit(&second));
        let now = world.view();
        assert_eq!(first.outcome(&now), Outcome::Done);
        assert_ne!(second.outcome(&now), Outcome::Done);
        assert!(!second.conflicts(&now).is_empty());
    }
    let different = [dial("users", 7), dial("orders", 7)];
    let view = world.view();
    for intent in different {
        let proposal = world.plan(&view, intent).unwrap();
        assert!(world.commit(&proposal));
    }
}

#[test]
fn whoever_changes_the_store_by_hand_is_first() {
    let by_hand: [fn(&mut Store); 4] = [
        |store| store.put(&key("config/a.yaml"), "by hand"),
        |store| store.delete(&key("config/b.yaml")),
        |store| store.put(&key("config/c.yaml"), "new"),
        |store| store.put(&key("revisions/2"), "{}"),
    ];
    for by_hand in by_hand {
        let mut world = World::new();
        world.carry_out(apply(texts(&[("a.yaml", "1"), ("b.yaml", "1")])));
        let view = world.view();
        let proposal = world
            .plan(&view, apply(texts(&[("a.yaml", "2"), ("b.yaml", "1")])))
            .unwrap();
        by_hand(&mut world.store);
        assert!(!world.commit(&proposal));
    }
}

#[test]
fn config_counts_once_all_of_it_is_there() {
    let large = |letter: &str, bytes: usize| letter.repeat(bytes);
    let configs = [
        texts(&[("a.yaml", "1"), ("b.yaml", "1")]),
        texts(&[("a.yaml", &large("x", 3 << 20)), ("b.yaml", "1")]),
        texts(&[
            ("b.yaml", &large("y", 700 << 10)),
            ("c.yaml", &large("z", 700 << 10)),
        ]),
        texts(&[("a.yaml", &large("x", 16 << 20))]),
        texts(&[("a.yaml", "2")]),
    ];
    let mut world = World::new();
    let mut former = None;
    for (number, config) in (1..).zip(configs) {
        let view = world.view();
        let proposal = world.plan(&view, apply(config.clone())).unwrap();
        assert_eq!(proposal.number, Some(number));
        for transaction in proposal.parts.iter().chain([&proposal.main]) {
            assert!(transaction.bytes() <= TRANSACTION_BYTES_MAX);
            assert!(transaction.writes.len() <= OPERATIONS_MAX);
        }
        for parts in &proposal.parts {
            assert!(world.store.commit(parts));
            let view = world.view();
            assert_eq!(view.config.as_ref().map(|config| &config.texts), former.as_ref());
        }
        assert!(world.store.commit(&proposal.main));
        let view = world.view();
        assert_eq!(view.config.as_ref().map(|config| &config.texts), Some(&config));
        assert_eq!(view.revision(), Some(number));
        assert_eq!(view.troubles().next(), None);
        let texts = view.texts(&view.revisions[&number].value.texts).unwrap();
        assert_eq!(texts, config);
        former = Some(config);
    }
    // Who reads all now sees the same, also from what a replica keeps.
    let view = world.view();
    for entries in [world.store.entries(), world.replica.entries()] {
        let mut other = Replica::new(prefix());
        other.reset(entries, world.store.at());
        let other = other.view();
        assert_eq!(other.config, view.config);
        assert_eq!(other.dials, view.dials);
        assert_eq!(other.revisions, view.revisions);
        assert_eq!(other.revision(), Some(5));
    }
}

#[test]
fn many_texts_and_a_revision_fit_one_transaction() {
    let mut world = World::new();
    let text = "x".repeat(160 << 10);
    let names: Vec<String> = (0..100).map(|number| format!("{number}.yaml")).collect();
    let all = |names: &[String]| -> Vec<(String, String)> {
        names
            .iter()
            .map(|name| (name.clone(), format!("{name}{text}")))
            .collect()
    };
    let config = all(&names);
    let config: Vec<(&str, &str)> = config.iter().map(|(name, text)| (&**name, &**text)).collect();
    world.carry_out(apply(texts(&config)));
    world.carry_out(apply(texts(&config[1..])));
    world.carry_out(apply(texts(&config)));
    assert_eq!(world.view().config.as_ref().unwrap().texts, texts(&config));
    let view = world.view();
    let more: Vec<(&str, &str)> = config.iter().copied().chain([("more.yaml", "")]).collect();
    assert_eq!(
        world.plan(&view, apply(texts(&more))),
        Err(PlanError::TooManyTexts(101))
    );
}

#[test]
fn config_with_a_missing_part_is_not_taken() {
    let mut world = World::new();
    world.carry_out(apply(texts(&[("a.yaml", "1")])));
    let view = world.view();
    let large = texts(&[("a.yaml", &"x".repeat(3 << 20))]);
    let proposal = world.plan(&view, apply(large.clone())).unwrap();
    // A user puts the pointer alone, and the parts later and in disorder.
    world.store.commit(&proposal.main);
    let view = world.view();
    assert_eq!(view.config.as_ref().unwrap().texts, texts(&[("a.yaml", "1")]));
    let trouble = view.troubles().next().unwrap();
    assert_eq!(trouble.key, key("config/a.yaml"));
    assert!(
        trouble.why.contains("part 0 of the text is missing"),
        "{}",
        trouble.why
    );
    assert_eq!(view.revision(), Some(1));
    for parts in proposal.parts.iter().rev() {
        world.store.commit(parts);
    }
    let view = world.view();
    assert_eq!(view.config.as_ref().unwrap().texts, large);
    assert_eq!(view.troubles().next(), None);
    assert_eq!(view.revision(), Some(2));
}

#[test]
fn repeated_and_late_changes_are_not_taken() {
    let mut world = World::new();
    world.carry_out(dial("users", 5));
    world.carry_out(dial("users", 7));
    let view = world.view();
    for at in [StoreRevision(1), StoreRevision(2)] {
        let changes = world.store.changes(at).to_vec();
        assert!(!world.replica.apply(changes, at));
    }
    assert_eq!(world.view().dials, view.dials);
}

#[test]
fn damaged_values_are_named_and_count_as_absent() {
    let mut world = World::new();
    world.carry_out(dial("users", 5));
    for (rest, value) in [
        ("dials/users", "{"),
        ("rollouts/users", "[]"),
        ("revisions/7", "x"),
        ("instances/i1", "null"),
        ("endpoints/s/e", "{}"),
        ("canary", "{}"),
        ("config/readme.txt", "not a text of the config"),
        ("unknown/x", "{"),
    ] {
        world.store.put(&key(rest), value);
    }
    let view = world.view();
    let named: Vec<&str> = view.troubles().map(|trouble| &*trouble.key).collect();
    assert_eq!(named.len(), 7, "{named:?}");
    assert!(view.dials.is_empty() && view.instances.is_empty() && view.canary.is_none());
    assert_eq!(view.config, None);
    assert_eq!(view.next_revision(), Some(8));
    // It is mended by the next change, which still notices who was first.
    let proposal = world.plan(&view, dial("users", 9)).unwrap();
    world.store.put(&key("dials/users"), "]");
    assert!(!world.commit(&proposal));
    world.carry_out(dial("users", 9));
    assert_eq!(world.view().troubles().count(), 6);
}

#[test]
fn unknown_outcomes_are_found_out() {
    let mut world = World::new();
    let view = world.view();
    let lost = world.plan(&view, dial("users", 5)).unwrap();
    assert_eq!(lost.outcome(&world.view()), Outcome::NotDone);
    let happened = world.plan(&view, dial("users", 6)).unwrap();
    world.commit(&happened);
    assert_eq!(happened.outcome(&world.view()), Outcome::Done);
    assert_eq!(lost.outcome(&world.view()), Outcome::Unclear);

    let view = world.view();
    let applied = world.plan(&view, apply(texts(&[("a.yaml", "1")]))).unwrap();
    assert_eq!(applied.outcome(&world.view()), Outcome::NotDone);
    world.carry_out(apply(texts(&[("a.yaml", "2")])));
    assert_eq!(applied.outcome(&world.view()), Outcome::NotDone);

    let deletion = Intent::State(State {
        dials: [("users".to_owned(), None)].into(),
        ..State::default()
    });
    let view = world.view();
    let deletion = world.plan(&view, deletion).unwrap();
    assert_eq!(
        deletion.main.writes,
        [Write::Delete {
            key: key("dials/users")
        }]
    );
    assert_eq!(deletion.outcome(&world.view()), Outcome::NotDone);
    world.commit(&deletion);
    assert_eq!(deletion.outcome(&world.view()), Outcome::Done);
}

/// A dial of a user who has seen the config.
fn seen(intent: Intent) -> Intent {
    let Intent::State(state) = intent else {
        panic!("{intent:?} is no dial");
    };
    Intent::State(State {
        rests_on_config: true,
        ..state
    })
}

#[test]
fn dial_rests_on_the_config_that_was_seen() {
    let many: Vec<String> = (0..100).map(|number| format!("{number:03}.yaml")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (&**name, "1")).collect();
    for config in [&[("a.yaml", "1"), ("b.yaml", "1")][..], &many] {
        let first = config[0].0;
        for change in 0..4 {
            let mut world = World::new();
            world.carry_out(apply(texts(config)));
            world.carry_out(dial("users", 4));
            let view = world.view();
            let proposal = world.plan(&view, seen(dial("users", 5))).unwrap();
            match change {
                0 => drop(world.carry_out(apply(texts(&[(first, "2")])))),
                1 => world.store.put(&key("config/new.yaml"), "1"),
                2 => world.store.delete(&key(&format!("config/{first}"))),
                // Other dials are no reason.
                _ => drop(world.carry_out(dial("orders", 7))),
            }
            assert_eq!(world.commit(&proposal), change == 3, "{change}");
            let expected = match change {
                3 => Outcome::Done,
                _ => Outcome::NotDone,
            };
            assert_eq!(proposal.outcome(&world.view()), expected);
        }
    }
    // More dials at once than can be compared beside all texts: then new texts and revisions are noticed all the same.
    let mut world = World::new();
    world.carry_out(apply(texts(&many)));
    let view = world.view();
    let mut all = State {
        rests_on_config: true,
        ..State::default()
    };
    for number in 0..100 {
        let Intent::State(mut state) = dial(&format!("r{number}"), 5) else {
            unreachable!("it is a dial");
        };
        all.dials.append(&mut state.dials);
    }
    let proposal = world.plan(&view, Intent::State(all)).unwrap();
    world.carry_out(apply(texts(&[("a.yaml", "2")])));
    assert!(!world.commit(&proposal));
}

#[test]
fn unknown_outcomes_of_deletions_are_found_out() {
    let mut world = World::new();
    world.carry_out(apply(texts(&[("a.yaml", "1")])));
    world.carry_out(dial("users", 5));
    let deletion = || {
        seen(Intent::State(State {
            dials: [("users".to_owned(), None)].into(),
            ..State::default()
        }))
    };
    let view = world.view();
    let lost = world.plan(&view, deletion()).unwrap();
    world.carry_out(apply(texts(&[("a.yaml", "2")])));
    assert!(!world.commit(&lost));
    assert_eq!(lost.outcome(&world.view()), Outcome::NotDone);
    let happened = world.carry_out(deletion());
    assert_eq!(happened.outcome(&world.view()), Outcome::Done);
    world.carry_out(apply(texts(&[("a.yaml", "3")])));
    assert_eq!(happened.outcome(&world.view()), Outcome::Done);
    world.carry_out(dial("users", 6));
    assert_eq!(happened.outcome(&world.view()), Outcome::Unclear);
}

#[test]
fn drain_that_was_taken_back_since_may_have_been_there() {
    let mut world = World::new();
    let name = EndpointName {
        service: "users".to_owned(),
        endpoint: "10.0.0.1:80".to_owned(),
    };
    let drain = |record| {
        Intent::State(State {
            drains: [(name.clone(), record)].into(),
            ..State::default()
        })
    };
    let record = r#"{"drained":[{"by":"ada","time":"2026-01-01T00:00:00Z"}]}"#;
    let record: DrainRecord = serde_json::from_str(record).unwrap();
    let drained = world.carry_out(drain(Some(record.clone())));
    assert_eq!(drained.outcome(&world.view()), Outcome::Done);
    let view = world.view();
    let again = world.plan(&view, drain(Some(record))).unwrap();
    assert_eq!(again.outcome(&world.view()), Outcome::NotDone);
    world.carry_out(drain(None));
    assert_eq!(drained.outcome(&world.view()), Outcome::Unclear);
}
