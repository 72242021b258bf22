//! A canary is tried by those that were chosen, and becomes the config of all or of none.

use std::time::Duration;

use waypost_fleet::canary::{ChooseError, Clock, Count, choose};
use waypost_fleet::proposal::{Advance, Try, Withdraw};
use waypost_fleet::record::Record as _;
use waypost_fleet::record::canary::Stage;
use waypost_fleet::record::instance::{InstanceErrorRecord, InstanceRecord};
use waypost_fleet::view::Fence;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// The verdict about a canary.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    UnderWay,
    Passed(u64),
    TakenBack(String),
    Unknown,
}

fn verdict(view: &View, id: &WriteId) -> Verdict {
    match &view.canary {
        Some(canary) if canary.value.id == *id => match &canary.value.stage {
            Stage::Taking | Stage::Holding => Verdict::UnderWay,
            Stage::Passed(number) => Verdict::Passed(*number),
            Stage::TakenBack(why) => Verdict::TakenBack(why.clone()),
        },
        _ => Verdict::Unknown,
    }
}

/// A fleet of five, whose first instance leads, with a canary on two of them.
struct Trial {
    world: World,
    clock: Clock,
    id: WriteId,
}

fn instance(canary: Option<&WriteId>) -> InstanceRecord {
    InstanceRecord {
        admin: None,
        version: "1".to_owned(),
        host: None,
        pid: None,
        started: draft().time,
        revision: Some(1),
        since: None,
        obeys: StoreRevision(1),
        canary: canary.cloned(),
        healthy: true,
        unhealthy: None,
        errors: Vec::new(),
    }
}

impl Trial {
    fn new(hold: Duration) -> Self {
        let mut world = World::new();
        world.carry_out(apply(texts(&[("a.yaml", "old")])));
        for number in 0..5 {
            world
                .store
                .put(&key(&format!("instances/i{number}")), instance(None).to_value());
        }
        world.store.put(&key("leader/1"), "i0");
        let view = world.view();
        let chosen = choose(&view, "i3", Count::Percent(25)).unwrap();
        assert_eq!(chosen, ["i3", "i0"]);
        let proposal = world.carry_out(Intent::Try(Try {
            texts: texts(&[("a.yaml", "new")]),
            draft: draft(),
            chosen,
            routes: Vec::new(),
            leads: Vec::new(),
            hold_ms: u64::try_from(hold.as_millis()).unwrap(),
        }));
        Self {
            world,
            clock: Clock::default(),
            id: proposal.write,
        }
    }

    fn fence(&mut self) -> Fence {
        self.world.view().leader().unwrap().fence
    }

    fn report(&mut self, id: &str, record: &InstanceRecord) {
        self.world
            .store
            .put(&key(&format!("instances/{id}")), record.to_value());
    }

    fn take(&mut self) {
        let record = instance(Some(&self.id));
        self.report("i0", &record);
        self.report("i3", &record);
    }

    /// The leader judges, so often, once a second.
    fn judge(&mut self, times: u32) {
        for _ in 0..times {
            let view = self.world.view();
            if let Some(record) = self.clock.step(&view, SECOND) {
                let fence = self.fence();
                self.world.carry_out(Intent::Advance(Box::new(Advance {
                    record,
                    state: State::default(),
                    fence,
                })));
            }
        }
    }

    /// Checks the verdict, and the texts of an instance that tries it and of one that does not.
    fn check(&mut self, expected: &Verdict, tried: &str, others: &str) {
        let view = self.world.view();
        assert_eq!(&verdict(&view, &self.id), expected);
        for (id, text) in [("i3", tried), ("i4", others)] {
            let config = view.config_of(id).unwrap();
            assert_eq!(config.texts, texts(&[("a.yaml", text)]), "{id}");
        }
    }
}

#[test]
fn canary_that_holds_becomes_the_config_of_all() {
    let mut trial = Trial::new(30 * SECOND);
    trial.judge(10);
    trial.check(&Verdict::UnderWay, "new", "old");
    trial.take();
    trial.judge(30);
    trial.check(&Verdict::UnderWay, "new", "old");
    trial.judge(5);
    trial.check(&Verdict::Passed(2), "new", "new");
    assert_eq!(trial.world.view().revision(), Some(2));
    // The next apply is one as always.
    trial.world.carry_out(apply(texts(&[("a.yaml", "newer")])));
}

#[test]
fn canary_is_taken_back_for_whatever_goes_wrong() {
    type Happens = fn(&mut Trial);
    let checks: [(Happens, u32, &str); 7] = [
        (|_| {}, 65, "`i3` has not taken it in 60 s"),
        (
            |trial| {
                trial.take();
                trial.judge(5);
                trial.world.store.delete(&key("instances/i0"));
            },
            1,
            "`i0` has gone",
        ),
        (
            |trial| {
                trial.take();
                trial.judge(5);
                let mut record = instance(Some(&trial.id));
                record.healthy = false;
                trial.report("i0", &record);
            },
            1,
            "`i0`: it is not healthy with it",
        ),
        (
            |trial| {
                trial.take();
                trial.judge(5);
                for id in ["i0", "i3"] {
                    let mut record = instance(Some(&trial.id));
                    record.unhealthy = Some("none answers".to_owned());
                    trial.report(id, &record);
                }
            },
            1,
            "`i3`: none answers; `i0`: none answers",
        ),
        // It was started anew.
        (
            |trial| {
                trial.take();
                trial.judge(5);
                trial.report("i3", &instance(None));
            },
            1,
            "`i3`: it does not try it any more",
        ),
        (
            |trial| {
                let mut record = instance(None);
                record.errors.push(InstanceErrorRecord {
                    revision: None,
                    canary: Some(trial.id.clone()),
                    why: "port 80 is taken".to_owned(),
                });
                trial.report("i3", &record);
            },
            1,
            "`i3`: port 80 is taken",
        ),
        (
            |trial| trial.world.store.put(&key("canary-is-not-this-key"), ""),
            65,
            "`i3` has not taken it in 60 s",
        ),
    ];
    for (happens, seconds, why) in checks {
        let mut trial = Trial::new(30 * SECOND);
        happens(&mut trial);
        trial.judge(seconds);
        trial.check(&Verdict::TakenBack(why.to_owned()), "old", "old");
        assert_eq!(trial.world.view().revision(), Some(1));
    }
    let mut trial = Trial::new(30 * SECOND);
    trial.world.store.put(&key("config/a.yaml"), "by hand");
    trial.judge(1);
    let why = "the config was changed meanwhile".to_owned();
    trial.check(&Verdict::TakenBack(why), "by hand", "by hand");
}

#[test]
fn hold_goes_on_under_another_leader_and_not_for_one_that_stood_still() {
    let mut trial = Trial::new(60 * SECOND);
    trial.take();
    trial.judge(31);
    // The age of 30 s is in the record.
    let former = trial.fence();
    trial.world.store.delete(&key("leader/1"));
    trial.world.store.put(&key("leader/2"), "i1");
    trial.clock = Clock::default();
    trial.judge(20);
    trial.check(&Verdict::UnderWay, "new", "old");
    let view = trial.world.view();
    let stood_still = trial.clock.step(&view, Duration::from_secs(3600));
    assert!(stood_still.is_none_or(|record| record.stage == Stage::Holding));
    // The former leader's word does not count any more.
    let record = (*view.canary.as_ref().unwrap().value).clone();
    let late = Intent::Advance(Box::new(Advance {
        record,
        state: State::default(),
        fence: former,
    }));
    let view = trial.world.view();
    assert_eq!(trial.world.plan(&view, late), Err(PlanError::NotLeader));
    trial.judge(20);
    trial.check(&Verdict::Passed(2), "new", "new");
}

#[test]
fn hold_is_over_when_its_time_has_passed() {
    let mut trial = Trial::new(30 * SECOND);
    trial.take();
    trial.judge(1);
    let view = trial.world.view();
    assert_eq!(trial.clock.remaining(&view), None, "the hold has just begun");
    trial.judge(3);
    let view = trial.world.view();
    assert_eq!(trial.clock.remaining(&view), Some(28 * SECOND));
}

#[test]
fn canary_is_withdrawn_without_a_leader() {
    let mut trial = Trial::new(30 * SECOND);
    trial.take();
    trial.judge(5);
    trial.world.store.delete(&key("leader/1"));
    let withdraw = |id: &WriteId| {
        Intent::Withdraw(Withdraw {
            id: id.clone(),
            why: "`ann` took it back".to_owned(),
        })
    };
    let view = trial.world.view();
    let another = WriteId::new("another").unwrap();
    assert_eq!(
        trial.world.plan(&view, withdraw(&another)),
        Err(PlanError::NoCanary)
    );
    let id = trial.id.clone();
    trial.world.carry_out(withdraw(&id));
    let why = "`ann` took it back".to_owned();
    trial.check(&Verdict::TakenBack(why), "old", "old");
    let view = trial.world.view();
    assert_eq!(trial.world.plan(&view, withdraw(&id)), Err(PlanError::NoCanary));
}

#[test]
fn canary_that_is_none_is_named_and_not_obeyed() {
    for (change, why) in [
        ("chosen", "`chosen`: it is empty"),
        ("fence", "`fence`: no leader of this store has written it"),
        ("texts", "missing field"),
    ] {
        let mut trial = Trial::new(30 * SECOND);
        let view = trial.world.view();
        let mut record = serde_json::to_value(&*view.canary.as_ref().unwrap().value).unwrap();
        match change {
            "chosen" => record["chosen"] = serde_json::json!([]),
            "fence" => record["fence"] = serde_json::json!(1_000_000),
            _ => drop(record.as_object_mut().unwrap().remove("texts")),
        }
        trial.world.store.put(&key("canary"), record.to_string());
        trial.check(&Verdict::Unknown, "old", "old");
        let view = trial.world.view();
        let troubles: Vec<String> = view.troubles().map(|trouble| trouble.why.clone()).collect();
        assert!(troubles.iter().any(|told| told.contains(why)), "{troubles:?}");
        // The next one is written over it.
        trial.world.carry_out(Intent::Try(Try {
            texts: texts(&[("a.yaml", "newer")]),
            draft: draft(),
            chosen: vec!["i1".to_owned()],
            routes: Vec::new(),
            leads: Vec::new(),
            hold_ms: 0,
        }));
        assert!(trial.world.view().canary.is_some());
    }
}

#[test]
fn another_apply_has_to_wait() {
    let mut trial = Trial::new(30 * SECOND);
    let view = trial.world.view();
    let another = apply(texts(&[("a.yaml", "newer")]));
    assert_eq!(trial.world.plan(&view, another), Err(PlanError::CanaryUnderWay));
    let another = Intent::Try(Try {
        texts: texts(&[("a.yaml", "newer")]),
        draft: draft(),
        chosen: vec!["i1".to_owned()],
        routes: Vec::new(),
        leads: Vec::new(),
        hold_ms: 0,
    });
    assert_eq!(trial.world.plan(&view, another), Err(PlanError::CanaryUnderWay));
    // One that was planned before the canary began is too late.
    let mut world = World::new();
    let view = world.view();
    let late = world.plan(&view, apply(texts(&[("a.yaml", "1")]))).unwrap();
    world.carry_out(Intent::Try(Try {
        texts: texts(&[("a.yaml", "2")]),
        draft: draft(),
        chosen: vec!["i1".to_owned()],
        routes: Vec::new(),
        leads: Vec::new(),
        hold_ms: 0,
    }));
    assert!(!world.commit(&late));
}

#[test]
fn those_that_try_are_the_asked_one_and_healthy_ones() {
    let mut world = World::new();
    for (number, healthy) in [true, false, true, true, false].into_iter().enumerate() {
        let record = InstanceRecord {
            healthy,
            ..instance(None)
        };
        world
            .store
            .put(&key(&format!("instances/i{number}")), record.to_value());
    }
    let view = world.view();
    for (asked, count, expected) in [
        ("i3", Count::Instances(1), Ok("i3")),
        ("i3", Count::Instances(2), Ok("i3 i0")),
        ("i1", Count::Instances(3), Ok("i1 i0 i2")),
        ("i0", Count::Percent(1), Ok("i0")),
        ("i0", Count::Percent(21), Ok("i0 i2")),
        ("i0", Count::Percent(60), Ok("i0 i2 i3")),
        ("i9", Count::Instances(1), Err(ChooseError::NotAlive)),
        (
            "i0",
            Count::Percent(100),
            Err(ChooseError::TooFew {
                wanted: 5,
                healthy: 3,
                live: 5,
            }),
        ),
        (
            "i0",
            Count::Instances(7),
            Err(ChooseError::TooFew {
                wanted: 7,
                healthy: 3,
                live: 5,
            }),
        ),
    ] {
        let chosen = choose(&view, asked, count).map(|chosen| chosen.join(" "));
        assert_eq!(chosen, expected.map(str::to_owned), "{asked} {count:?}");
    }
}

/// A dial, or a rollout in its stead, as those plan it that know of no canary.
fn turn(world: &mut World, is_rollout: bool, route: &str) -> Intent {
    let Intent::State(dial) = dial(route, 10) else {
        unreachable!("a dial is a state");
    };
    let rests_on_canary = true;
    if !is_rollout {
        return Intent::State(State {
            rests_on_canary,
            ..dial
        });
    }
    Intent::State(State {
        rollouts: [(route.to_owned(), Some(serde_json::json!({ "end": null })))].into(),
        fence: world.view().leader().map(|leader| leader.fence),
        rests_on_canary,
        ..State::default()
    })
}

#[test]
fn a_canary_and_what_turns_one_of_its_splits_exclude_each_other() {
    let many: Vec<String> = (0..200).map(|number| format!("r{number}")).collect();
    let few = [String::from("users")].to_vec();
    for (routes, lead, is_rollout) in [
        (&few, "users", false),
        (&few, "users", true),
        // A rollout of another route of the same deal.
        (&few, "orders", true),
        // More than can be compared one by one.
        (&many, "r7", false),
        (&many, "r7", true),
    ] {
        for canary_first in [true, false] {
            let mut world = World::new();
            world.carry_out(apply(texts(&[("a.yaml", "old")])));
            world.store.put(&key("instances/i0"), instance(None).to_value());
            world.store.put(&key("leader/1"), "i0");
            let view = world.view();
            let canary = Intent::Try(Try {
                texts: texts(&[("a.yaml", "new")]),
                draft: draft(),
                chosen: vec!["i0".to_owned()],
                routes: routes.clone(),
                leads: vec!["orders".to_owned()],
                hold_ms: 0,
            });
            let canary = world.plan(&view, canary).unwrap();
            let turn = turn(&mut world, is_rollout, lead);
            let turn = world.plan(&view, turn).unwrap();
            let (first, second) = match canary_first {
                true => (canary, turn),
                false => (turn, canary),
            };
            assert!(world.commit(&first));
            assert!(!world.commit(&second), "{lead}, canary first: {canary_first}");
            assert!(!second.may_be_planned_again(&view, &world.view()));
        }
    }
}

#[test]
fn canary_is_not_planned_again_over_what_turned_one_of_its_splits_meanwhile() {
    let routes: Vec<String> = (0..200).map(|number| format!("r{number}")).collect();
    for is_rollout in [false, true] {
        let mut world = World::new();
        world.carry_out(apply(texts(&[("a.yaml", "old")])));
        world.store.put(&key("instances/i0"), instance(None).to_value());
        world.store.put(&key("leader/1"), "i0");
        let view = world.view();
        // Its texts lie in parts, so it rests on the sweep.
        let canary = Intent::Try(Try {
            texts: texts(&[("a.yaml", &"x".repeat(2 << 20))]),
            draft: draft(),
            chosen: vec!["i0".to_owned()],
            routes: routes.clone(),
            leads: Vec::new(),
            hold_ms: 0,
        });
        let canary = world.plan(&view, canary).unwrap();
        world.store.put(&key("sweep"), "w");
        assert!(canary.may_be_planned_again(&view, &world.view()));
        let turn = turn(&mut world, is_rollout, "r7");
        let turn = world.plan(&view, turn).unwrap();
        assert!(world.commit(&turn));
        assert!(!world.commit(&canary));
        assert!(!canary.may_be_planned_again(&view, &world.view()), "{is_rollout}");
    }
}

#[test]
fn another_stage_of_a_canary_is_in_the_way_of_no_dial() {
    let mut trial = Trial::new(30 * SECOND);
    let view = trial.world.view();
    let dial = turn(&mut trial.world, false, "users");
    let planned = trial.world.plan(&view, dial.clone()).unwrap();
    trial.take();
    trial.judge(12);
    assert!(!trial.world.commit(&planned), "the record was written");
    let newer = trial.world.view();
    assert!(planned.may_be_planned_again(&view, &newer));
    let again = trial.world.plan(&newer, dial).unwrap();
    trial.judge(30);
    trial.check(&Verdict::Passed(2), "new", "new");
    assert!(!trial.world.commit(&again));
    assert!(!again.may_be_planned_again(&newer, &trial.world.view()));
}
