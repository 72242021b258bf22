//! The leader deletes what is old and what lies about, and never what is referred to.

use std::time::Duration;

use waypost_fleet::proposal::sweep::{REVISIONS_KEPT, Sweeper, ended};
use waypost_fleet::view::Fence;

use super::*;

const LATER: Duration = Duration::from_secs(1000);

fn fence(world: &mut World) -> Fence {
    world.store.put(&key("leader/1"), "i0");
    world.view().leader().unwrap().fence
}

/// Sweeps until there is nothing to do.
fn sweep(world: &mut World, sweeper: &mut Sweeper, now: Duration) {
    let fence = fence(world);
    let write = WriteId::new("sweep").unwrap();
    while let Some(transaction) = sweeper.step(&world.view(), &fence, now, &write) {
        assert!(world.store.commit(&transaction));
    }
}

fn large(letter: &str) -> waypost_fleet::config::Texts {
    texts(&[("a.yaml", &letter.repeat(3 << 20))])
}

#[test]
fn newest_revisions_are_kept() {
    let mut world = World::new();
    for number in 0..REVISIONS_KEPT + 80 {
        world.carry_out(apply(texts(&[("a.yaml", &number.to_string())])));
    }
    sweep(&mut world, &mut Sweeper::default(), Duration::ZERO);
    let view = world.view();
    let numbers: Vec<u64> = view.revisions.keys().copied().collect();
    assert_eq!(numbers, (81..=180).collect::<Vec<u64>>());
    assert_eq!(view.next_revision(), Some(181));
    assert_eq!(view.revision(), Some(180));
}

#[test]
fn large_revisions_are_kept_as_long_as_there_is_room() {
    let mut world = World::new();
    for letter in "abcdefghijklmnop".chars() {
        let text = letter.to_string().repeat(15 << 20);
        world.carry_out(apply(texts(&[("a.yaml", &text)])));
    }
    let mut sweeper = Sweeper::default();
    sweep(&mut world, &mut sweeper, Duration::ZERO);
    assert_eq!(world.view().revisions.len(), 8);
    sweep(&mut world, &mut sweeper, LATER);
    let view = world.view();
    assert_eq!(view.parts.len(), 8 * 15);
    for revision in view.revisions.values() {
        view.texts(&revision.value.texts).unwrap();
    }
}

#[test]
fn parts_are_swept_a_while_after_the_last_reference() {
    let mut world = World::new();
    let mut sweeper = Sweeper::default();
    let view = world.view();
    let abandoned = world.plan(&view, apply(large("x"))).unwrap();
    for parts in &abandoned.parts {
        world.store.commit(parts);
    }
    sweep(&mut world, &mut sweeper, Duration::ZERO);
    assert_eq!(world.view().parts.len(), 3);
    world.carry_out(apply(large("y")));
    sweep(&mut world, &mut sweeper, LATER);
    let view = world.view();
    assert_eq!(view.parts.len(), 3);
    assert_eq!(view.config.as_ref().unwrap().texts, large("y"));
    assert_eq!(view.troubles().next(), None);
}

#[test]
fn whoever_refers_to_parts_that_are_being_swept_notices() {
    // Either the sweep happens or the apply, whichever is first.
    for sweeps_first in [true, false] {
        let mut world = World::new();
        let mut sweeper = Sweeper::default();
        let view = world.view();
        let abandoned = world.plan(&view, apply(large("x"))).unwrap();
        for parts in &abandoned.parts {
            world.store.commit(parts);
        }
        sweep(&mut world, &mut sweeper, Duration::ZERO);
        let fence = fence(&mut world);
        let view = world.view();
        let write = WriteId::new("sweep").unwrap();
        let sweep = sweeper.step(&view, &fence, LATER, &write).unwrap();
        let planned = world.view();
        let again = world.plan(&planned, apply(large("x"))).unwrap();
        assert_eq!(again.parts, []);
        if sweeps_first {
            assert!(world.store.commit(&sweep));
            assert!(!world.commit(&again));
            let view = world.view();
            assert!(again.may_be_planned_again(&planned, &view));
            let planned_anew = world.plan(&view, apply(large("x"))).unwrap();
            assert!(world.commit(&planned_anew));
        } else {
            assert!(world.commit(&again));
            assert!(!world.store.commit(&sweep));
        }
        let view = world.view();
        assert_eq!(view.config.as_ref().unwrap().texts, large("x"));
        assert_eq!(view.troubles().next(), None);
    }
}

#[test]
fn sweep_hides_no_other_change() {
    let mut world = World::new();
    let view = world.view();
    let proposal = world.plan(&view, apply(large("x"))).unwrap();
    world.store.put(&key("sweep"), "w");
    assert!(proposal.may_be_planned_again(&view, &world.view()));
    world.store.put(&key("config/new.yaml"), "1");
    assert!(!proposal.may_be_planned_again(&view, &world.view()));
}

#[test]
fn former_leader_sweeps_nothing() {
    let mut world = World::new();
    for number in 0..REVISIONS_KEPT + 1 {
        world.carry_out(apply(texts(&[("a.yaml", &number.to_string())])));
    }
    let fence = fence(&mut world);
    let view = world.view();
    let write = WriteId::new("sweep").unwrap();
    let sweep = Sweeper::default()
        .step(&view, &fence, Duration::ZERO, &write)
        .unwrap();
    world.store.delete(&key("leader/1"));
    assert!(!world.store.commit(&sweep));
}

#[test]
fn what_has_ended_is_deleted_unless_it_was_changed_since() {
    let mut world = World::new();
    let routes: Vec<String> = (10..50).map(|number| format!("r{number}")).collect();
    for route in &routes {
        world.carry_out(dial(route, 5));
    }
    let fence = fence(&mut world);
    let view = world.view();
    let gone = State {
        dials: routes.into_iter().map(|route| (route, None)).collect(),
        ..State::default()
    };
    world.carry_out(dial("r49", 9));
    let write = WriteId::new("sweep").unwrap();
    let transactions = ended(&view, gone.clone(), &fence, &write);
    let happened = transactions
        .iter()
        .filter(|transaction| world.store.commit(transaction));
    assert_eq!(happened.count(), 2);
    let view = world.view();
    assert_eq!(view.dials.len(), 8);
    assert!(view.dials.contains_key("r49"));
    // A former leader deletes nothing.
    let gone = State {
        dials: [("r48".to_owned(), None)].into(),
        ..gone
    };
    let late = ended(&view, gone, &fence, &write);
    world.store.delete(&key("leader/1"));
    assert!(!world.store.commit(&late[0]));
}
