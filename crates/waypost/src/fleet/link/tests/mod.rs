//! The handle against an etcd in memory.

mod certificates;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;
use waypost_etcd::client::Client;
use waypost_etcd::key::KeyRange;
use waypost_etcd::kv::write::{Delete, Put};
use waypost_etcd::options::Options;
use waypost_etcd::simulated::Simulated;
use waypost_etcd::simulated::fault::{Fault, Hold, On};
use waypost_etcd::simulated::refusal::Refusal;
use waypost_fleet::key::{ConfigName, Prefix};
use waypost_fleet::proposal::{Apply, Intent, State};
use waypost_fleet::record::WriteId;
use waypost_fleet::record::dial::DialRecord;
use waypost_fleet::record::instance::{InstanceErrorRecord, InstanceRecord};
use waypost_fleet::record::revision::Draft;
use waypost_fleet::view::View;

use super::Fleet;
use crate::fleet::{Arrival, Availability, Known, ProposeError, Served};

/// Longer than anything takes that happens at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// An etcd in memory, and a directory for the states of instances.
pub(crate) struct Bench {
    etcd: Simulated,
    client: Client,
    directory: TempDir,
}

impl Bench {
    async fn new(members: usize) -> Self {
        let etcd = Simulated::start(members).await.unwrap();
        Self {
            client: Client::new(Options::new(etcd.endpoints())),
            etcd,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn fleet(&self, state: &str) -> Fleet {
        self.arriving(state, Arrival::Own)
    }

    fn arriving(&self, state: &str, arrival: Arrival) -> Fleet {
        let prefix: Prefix = "/waypost/prod".parse().unwrap();
        let state = self.directory.path().join(state);
        let options = Options::new(self.etcd.endpoints());
        let fleet = Fleet::connect(prefix, options, None, &state, arrival);
        fleet.enter();
        fleet
    }

    async fn put(&self, key: &str, value: &str) {
        let key = format!("/waypost/prod/{key}");
        self.client.put(&Put::new(key, value)).await.unwrap();
    }

    /// Puts a key as an instance that lives does.
    async fn put_leased(&self, key: &str, value: &str) {
        let key = format!("/waypost/prod/{key}");
        let lease = self.client.grant(PATIENCE, None).await.unwrap().id;
        self.client
            .put(&Put::new(key, value).with_lease(lease))
            .await
            .unwrap();
    }

    async fn delete(&self, key: &str) {
        let key = KeyRange::key(format!("/waypost/prod/{key}"));
        self.client.delete(&Delete::new(key)).await.unwrap();
    }
}

async fn until(fleet: &Fleet, what: &str, is_so: impl Fn(&Fleet) -> bool) {
    let wait = async {
        // The presence is no part of a picture.
        let mut presence = fleet.shared.presence.subscribe();
        let mut pictures = fleet.shared.picture.subscribe();
        while !is_so(fleet) {
            tokio::select! {
                _ = presence.changed() => {}
                _ = pictures.changed() => {}
            }
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "not {what}: {:?}", fleet.shared.look());
}

/// An instance that leads, has the key that seals, and says that it obeys whatever it hears of.
pub(crate) async fn leading() -> (Bench, Arc<Fleet>) {
    let bench = Bench::new(1).await;
    let fleet = Arc::new(certificates::sealed(&bench, "a", "A"));
    fleet.ready(PATIENCE).await;
    fleet.report(record());
    until(&fleet, "the leader", Fleet::is_leader).await;
    let obeying = Arc::clone(&fleet);
    tokio::spawn(async move {
        let mut pictures = obeying.shared.picture.subscribe();
        while pictures.changed().await.is_ok() {
            obeying.report(InstanceRecord {
                obeys: obeying.view().rules,
                ..record()
            });
        }
    });
    (bench, fleet)
}

fn record() -> InstanceRecord {
    let json = r#"{"version":"1","started":"2026-01-02T03:04:05Z","healthy":true}"#;
    serde_json::from_str(json).unwrap()
}

fn text(view: &View, name: &str) -> Option<String> {
    let name = ConfigName::new(name)?;
    let text = view.config.as_ref()?.texts.get(&name)?;
    Some(String::from_utf8_lossy(text).into_owned())
}

fn dial(live: u64) -> Intent {
    let weights = |second| vec![("a".to_owned(), 1), ("b".to_owned(), second)];
    let dial = DialRecord {
        declared: weights(1),
        live: Some(weights(live)),
        by: "ann".to_owned(),
        time: Timestamp::UNIX_EPOCH,
        write: None,
        turns: Vec::new(),
    };
    Intent::State(State {
        dials: [("users".to_owned(), Some(dial))].into(),
        ..State::default()
    })
}

fn apply(text: &str) -> Intent {
    Intent::Apply(Apply {
        texts: [(ConfigName::new("main.yaml").unwrap(), text.as_bytes().into())].into(),
        draft: Draft {
            time: Timestamp::UNIX_EPOCH,
            origin: "api".to_owned(),
            hash: "0".to_owned(),
            summary: String::new(),
            by: None,
        },
        state: State::default(),
    })
}

fn live(view: &View) -> Option<u64> {
    let dial = view.dials.get("users")?;
    dial.value.live.as_ref().map(|weights| weights[1].1)
}

#[tokio::test]
async fn the_view_follows_the_store_through_breaks_and_compactions() {
    let bench = Bench::new(1).await;
    bench.put("config/main.yaml", "one").await;
    let fleet = bench.fleet("a");
    assert_eq!(fleet.ready(PATIENCE).await, Known::Read);
    assert_eq!(text(&fleet.view(), "main.yaml").as_deref(), Some("one"));
    bench.put("config/main.yaml", "two").await;
    let has = |wanted: &'static str| {
        move |fleet: &Fleet| text(&fleet.view(), "main.yaml").as_deref() == Some(wanted)
    };
    until(&fleet, "two", has("two")).await;

    bench.etcd.stop(0);
    until(&fleet, "away", |fleet| {
        fleet.availability() != Availability::Available
    })
    .await;
    assert_eq!(text(&fleet.view(), "main.yaml").as_deref(), Some("two"));
    bench.etcd.heal(0);
    bench.put("config/main.yaml", "three").await;
    bench.etcd.compact().unwrap();
    until(&fleet, "three", has("three")).await;
    until(&fleet, "back", |fleet| {
        fleet.availability() == Availability::Available
    })
    .await;
    bench.delete("config/main.yaml").await;
    until(&fleet, "empty", |fleet| fleet.view().config.is_none()).await;
}

#[tokio::test]
async fn a_store_that_was_put_back_is_read_again() {
    let bench = Bench::new(1).await;
    bench.put("config/main.yaml", "one").await;
    let early = bench.etcd.revision();
    let fleet = bench.fleet("a");
    fleet.ready(PATIENCE).await;
    for value in ["two", "three", "four"] {
        bench.put("config/main.yaml", value).await;
    }
    until(&fleet, "four", |fleet| {
        text(&fleet.view(), "main.yaml").as_deref() == Some("four")
    })
    .await;
    bench.etcd.put_back(early);
    until(&fleet, "one", |fleet| {
        text(&fleet.view(), "main.yaml").as_deref() == Some("one")
    })
    .await;
    bench.etcd.wipe();
    until(&fleet, "empty", |fleet| fleet.view().config_keys.is_empty()).await;
    assert!(fleet.troubles()[0].starts_with("there is no config in etcd"));
}

#[tokio::test]
async fn a_store_that_was_put_back_is_read_again_also_once_others_have_written_as_much() {
    let bench = Bench::new(1).await;
    bench.put("config/main.yaml", "one").await;
    bench.put("config/other.yaml", "one").await;
    let early = bench.etcd.revision();
    let fleet = bench.fleet("a");
    fleet.ready(PATIENCE).await;
    let texts = |fleet: &Fleet| ["main.yaml", "other.yaml"].map(|name| text(&fleet.view(), name));
    let one = || Some("one".to_owned());
    for (change, writes) in [("put", 100), ("delete", 1000)] {
        match change {
            "put" => bench.put("config/main.yaml", "two").await,
            _ => bench.delete("config/other.yaml").await,
        }
        until(&fleet, change, |fleet| texts(fleet) != [one(), one()]).await;
        bench.etcd.put_back_and_write(early, writes);
        until(&fleet, "one", |fleet| texts(fleet) == [one(), one()]).await;
    }
}

#[tokio::test]
async fn who_was_first_wins_and_the_other_sees_it() {
    let bench = Bench::new(3).await;
    let (first, second) = (bench.fleet("a"), bench.fleet("b"));
    first.ready(PATIENCE).await;
    second.ready(PATIENCE).await;
    let obeyed = second.view();
    let proposed = first.propose(&first.view(), dial(3)).await.unwrap();
    assert_eq!(live(&proposed.view), Some(3));
    match second.propose(&obeyed, dial(5)).await {
        Err(ProposeError::Conflict(view)) => assert_eq!(live(&view), Some(3)),
        other => panic!("{other:?}"),
    }
    let proposed = second.propose(&second.view(), dial(5)).await.unwrap();
    assert_eq!(live(&proposed.view), Some(5));
    let view = proposed.view;
    let applied = second.propose(&view, apply("routes: []\n")).await.unwrap();
    assert_eq!(applied.number, Some(1));
    assert_eq!(applied.view.revision(), Some(1));
    let late = first.propose(&obeyed, apply("services: {}\n")).await;
    assert!(matches!(late, Err(ProposeError::Conflict(_))), "{late:?}");
}

#[tokio::test]
async fn nothing_is_proposed_while_there_is_no_majority() {
    let bench = Bench::new(3).await;
    let fleet = bench.fleet("a");
    fleet.ready(PATIENCE).await;
    bench.etcd.partition(0);
    bench.etcd.partition(1);
    bench.etcd.partition(2);
    let before = bench.etcd.revision();
    let proposed = fleet.propose(&fleet.view(), dial(3)).await;
    assert!(matches!(proposed, Err(ProposeError::Away(_))), "{proposed:?}");
    for member in 0..3 {
        bench.etcd.heal(member);
    }
    until(&fleet, "back", |fleet| {
        fleet.availability() == Availability::Available
    })
    .await;
    // It was waited for, so the control's present turn has no time for more.
    let behind = fleet.propose(&fleet.view(), dial(3)).await;
    assert!(matches!(behind, Err(ProposeError::Away(_))), "{behind:?}");
    fleet.begin_turn();
    assert!(fleet.view().dials.is_empty());
    assert!(bench.etcd.revision() >= before);
    fleet.propose(&fleet.view(), dial(3)).await.unwrap();
}

#[tokio::test]
async fn a_write_without_an_answer_is_looked_up() {
    let bench = Bench::new(1).await;
    let fleet = bench.fleet("a");
    fleet.ready(PATIENCE).await;
    fleet.report(record());
    until(&fleet, "the leader", Fleet::is_leader).await;
    let (app, _commands) = waypost_admin::state::AppState::new("1", Default::default());
    fleet.show_in(&app);
    let mut events = app.events.subscribe();
    bench.etcd.order(On::Write, Fault::DropAnswer);
    let proposed = fleet.propose(&fleet.view(), dial(3)).await;
    let error = proposed.unwrap_err();
    assert_eq!(error.problem().outcome.as_deref(), Some("unknown"));
    let ProposeError::Unknown { id, .. } = error else {
        panic!("{error:?}");
    };
    let told = async {
        loop {
            if let waypost_admin::events::EventKind::FleetOutcome {
                write, carried_out, ..
            } = events.recv().await.unwrap().kind
            {
                return (write, carried_out);
            }
        }
    };
    let told = tokio::time::timeout(PATIENCE, told).await.unwrap();
    assert_eq!(told, (id, Some(true)));
    assert_eq!(live(&fleet.view()), Some(3));
}

/// The error of a proposal that meets a fault. Another write may meet it first.
async fn refused(
    bench: &Bench,
    fleet: &Fleet,
    fault: &Fault,
    intent: impl Fn(u64) -> Intent,
) -> ProposeError {
    for number in 1..100 {
        bench.etcd.order(On::Write, fault.clone());
        if let Err(error) = fleet.propose(&fleet.view(), intent(number)).await {
            return error;
        }
    }
    panic!("nothing is refused");
}

#[tokio::test]
async fn full_etcd_stores_nothing_and_says_so() {
    let bench = Bench::new(1).await;
    let fleet = bench.fleet("a");
    fleet.ready(PATIENCE).await;
    let full = Fault::Refuse(Refusal::NoSpace);
    // A record, and a part of a text.
    let large = |number: u64| apply(&format!("# {number}{}", "x".repeat(2 << 20)));
    for error in [
        refused(&bench, &fleet, &full, dial).await,
        refused(&bench, &fleet, &full, large).await,
    ] {
        assert!(matches!(error, ProposeError::Full), "{error:?}");
        let problem = error.problem();
        assert_eq!((problem.status, problem.outcome), (507, None));
        assert!(problem.detail.contains("etcd is full"), "{}", problem.detail);
    }
}

#[tokio::test]
async fn user_that_etcd_does_not_accept_cannot_ask_it() {
    let bench = Bench::new(1).await;
    let fleet = bench.fleet("a");
    fleet.ready(PATIENCE).await;
    bench.etcd.order(On::Read, Fault::Refuse(Refusal::AuthFailed));
    let error = fleet.propose(&fleet.view(), dial(3)).await.unwrap_err();
    let problem = error.problem();
    assert_eq!((problem.status, problem.outcome), (503, None));
    assert!(
        problem.detail.contains("does not accept the user"),
        "{}",
        problem.detail
    );
}

#[tokio::test]
async fn change_that_does_not_come_by_itself_is_read() {
    let bench = Bench::new(1).await;
    let fleet = bench.fleet("a");
    fleet.ready(PATIENCE).await;
    let hold = Hold::new();
    bench.etcd.order(On::Watch, Fault::HoldBefore(hold.clone()));
    bench.etcd.break_connections();
    hold.arrived().await;
    let proposed = fleet.propose(&fleet.view(), dial(3)).await.unwrap();
    assert_eq!(live(&proposed.view), Some(3));
    assert_eq!(live(&fleet.view()), Some(3));
}

#[tokio::test]
async fn the_oldest_candidate_leads_until_its_lease_ends() {
    let bench = Bench::new(1).await;
    let first = bench.fleet("a");
    first.report(record());
    until(&first, "the leader", Fleet::is_leader).await;
    let second = bench.fleet("b");
    second.report(record());
    let are_both = |fleet: &Fleet| fleet.view().instances.len() == 2 && fleet.view().candidates.len() == 2;
    until(&second, "with both", are_both).await;
    assert!(!second.is_leader());
    let fence = first.fence().unwrap();
    assert_eq!(*second.view().leader().unwrap().instance, *first.id());
    first.leave().await;
    until(&second, "the leader", Fleet::is_leader).await;
    until(&second, "alone", |fleet| fleet.view().instances.len() == 1).await;
    // What the former leader still wants to write does not happen.
    let stale = Intent::State(State {
        certificates: [("account".to_owned(), Some("eA==".to_owned()))].into(),
        fence: Some(fence),
        ..State::default()
    });
    let written = second.propose(&second.view(), stale).await;
    assert!(matches!(written, Err(ProposeError::Conflict(_))), "{written:?}");

    // A lease that has ended is noticed, and taken anew.
    let before = second.fence().unwrap();
    bench.etcd.advance(Duration::from_secs(11));
    let leads_anew = |fleet: &Fleet| fleet.fence().is_some_and(|fence| fence != before);
    until(&second, "the leader again", leads_anew).await;
    until(&second, "present", |fleet| {
        fleet.view().instances.contains_key(&*fleet.id())
    })
    .await;
}

fn of_process(pid: u32) -> InstanceRecord {
    InstanceRecord {
        pid: Some(pid),
        ..record()
    }
}

/// Has a copy of the state directory of an instance join. That one gives way. Returns its new id, which the directory keeps.
async fn give_way_to_a_copy(bench: &Bench, first: Fleet) -> Arc<str> {
    let (original, copy) = (bench.directory.path().join("a"), bench.directory.path().join("b"));
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(original.join("instance"), copy.join("instance")).unwrap();
    let second = bench.fleet("b");
    let id = second.id();
    assert_eq!(first.id(), id);
    second.report(of_process(2));
    until(&second, "with both", |fleet| fleet.view().instances.len() == 2).await;
    let process = |fleet: &Fleet| fleet.view().instances[&fleet.id()].value.pid;
    until(&first, "with both", |fleet| fleet.view().instances.len() == 2).await;
    assert_eq!((process(&first), process(&second)), (Some(1), Some(2)));
    // The one that was there first has given way, and keeps its new id.
    assert_eq!(second.id(), id);
    let fresh = first.id();
    drop(first);
    until_free(&original).await;
    assert_eq!(bench.fleet("a").id(), fresh);
    fresh
}

/// Waits until no process has the id of a state directory.
async fn until_free(state: &Path) {
    while crate::fleet::link::identity::lock(state).is_none() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn copy_of_a_state_directory_gets_another_id() {
    let bench = Bench::new(1).await;
    let first = bench.fleet("a");
    first.report(of_process(1));
    until(&first, "present", |fleet| fleet.view().instances.len() == 1).await;
    give_way_to_a_copy(&bench, first).await;
}

#[tokio::test]
async fn id_that_an_upgraded_instance_takes_is_kept_too() {
    let bench = Bench::new(1).await;
    let before = bench.fleet("a");
    before.report(of_process(0));
    until(&before, "present", |fleet| fleet.view().instances.len() == 1).await;
    let from = std::process::id();
    let first = bench.arriving("a", Arrival::Upgrade { from });
    assert_eq!(first.id(), before.id());
    before.leave().await;
    drop(before);
    first.report(of_process(1));
    until(&first, "the instance", |fleet| {
        let view = fleet.view();
        let own = view.instances.get(&*fleet.id());
        own.is_some_and(|own| own.value.pid == Some(1))
    })
    .await;
    give_way_to_a_copy(&bench, first).await;
}

#[tokio::test]
async fn who_shares_a_state_directory_keeps_the_fleet_in_it_once_the_other_one_is_gone() {
    let bench = Bench::new(1).await;
    bench.put("config/main.yaml", "one").await;
    let state = bench.directory.path().join("a");
    let lock = crate::fleet::link::identity::lock(&state).unwrap();
    let fleet = bench.fleet("a");
    let mut kept = fleet.shared.kept.subscribe();
    fleet.ready(PATIENCE).await;
    kept.changed().await.unwrap();
    assert_eq!(*kept.borrow_and_update(), None);
    // Nothing changes from now on.
    drop(lock);
    let rules = fleet.view().rules;
    let are_kept = kept.wait_for(|kept| kept.as_ref().is_some_and(|kept| kept.rules >= rules));
    tokio::time::timeout(PATIENCE, are_kept).await.unwrap().unwrap();
    assert!(state.join("fleet").exists());
}

#[tokio::test]
async fn who_cannot_obey_leaves_the_lead_to_one_that_does() {
    let bench = Bench::new(1).await;
    bench.put("config/main.yaml", "one").await;
    let first = bench.fleet("a");
    first.ready(PATIENCE).await;
    let obeying = InstanceRecord {
        obeys: first.view().rules,
        ..record()
    };
    let why = "the port is taken".to_owned();
    let hindered = InstanceRecord {
        healthy: false,
        errors: vec![InstanceErrorRecord {
            revision: None,
            canary: None,
            why,
        }],
        ..obeying.clone()
    };
    // Without one that obeys, someone has to lead.
    first.report(hindered.clone());
    until(&first, "the leader", Fleet::is_leader).await;
    until(&first, "present", |fleet| fleet.view().instances.len() == 1).await;
    let second = bench.fleet("b");
    second.ready(PATIENCE).await;
    second.report(obeying.clone());
    until(&second, "the leader", Fleet::is_leader).await;
    until(&first, "out", |fleet| fleet.view().candidates.len() == 1).await;
    first.report(obeying);
    until(&first, "a candidate again", |fleet| {
        fleet.view().candidates.len() == 2
    })
    .await;
    second.report(hindered);
    until(&first, "the leader again", Fleet::is_leader).await;
}

#[tokio::test]
async fn a_key_that_somebody_deleted_is_written_again() {
    let bench = Bench::new(1).await;
    let fleet = bench.fleet("a");
    fleet.report(record());
    let key = format!("instances/{}", fleet.id());
    let is_present = |fleet: &Fleet| fleet.view().instances.contains_key(&*fleet.id());
    until(&fleet, "present", is_present).await;
    until(&fleet, "the leader", Fleet::is_leader).await;
    let fence = fleet.fence().unwrap();
    bench.delete(&key).await;
    bench
        .delete(fence.key.strip_prefix("/waypost/prod/").unwrap())
        .await;
    let leads_anew = |fleet: &Fleet| fleet.fence().is_some_and(|other| other != fence);
    until(&fleet, "the leader again", leads_anew).await;
    until(&fleet, "present", is_present).await;
}

#[tokio::test]
async fn without_etcd_the_view_is_what_was_kept() {
    let bench = Bench::new(1).await;
    bench.put("config/main.yaml", "one").await;
    let fleet = bench.fleet("a");
    fleet.ready(PATIENCE).await;
    let proposed = fleet.propose(&fleet.view(), dial(3)).await.unwrap();
    let mut kept = fleet.shared.kept.subscribe();
    let are_kept = kept.wait_for(|kept| {
        kept.as_ref()
            .is_some_and(|kept| kept.rules >= proposed.view.rules)
    });
    tokio::time::timeout(PATIENCE, are_kept).await.unwrap().unwrap();
    let id = fleet.id();
    drop(fleet);
    bench.etcd.stop(0);
    // The tasks let go of the lock when they have ended.
    until_free(&bench.directory.path().join("a")).await;
    let fleet = bench.fleet("a");
    assert_eq!(fleet.ready(PATIENCE).await, Known::Cached);
    assert_eq!(fleet.id(), id);
    let view = fleet.view();
    assert_eq!(
        (text(&view, "main.yaml").as_deref(), live(&view)),
        (Some("one"), Some(3))
    );
    let refused = fleet.propose(&view, dial(5)).await;
    assert!(matches!(refused, Err(ProposeError::Away(_))), "{refused:?}");
    bench.etcd.heal(0);
    until(&fleet, "read", |fleet| fleet.known() == Known::Read).await;
    fleet.propose(&fleet.view(), dial(5)).await.unwrap();
}

#[tokio::test]
async fn a_proposal_whose_time_is_over_is_not_made() {
    let bench = Bench::new(1).await;
    let fleet = bench.fleet("a");
    fleet.ready(PATIENCE).await;
    let write = WriteId::new("w1").unwrap();
    let (shared, view) = (&fleet.shared, fleet.view());
    let now = tokio::time::Instant::now();
    let late = crate::fleet::link::propose::propose(shared, Arc::clone(&view), &dial(3), &write, now).await;
    assert!(matches!(late, Err(ProposeError::Away(_))), "{late:?}");
    let written = bench.client.get("/waypost/prod/dials/users").await.unwrap();
    assert_eq!(written, None);
    let proposed = crate::fleet::link::propose::propose(shared, view, &dial(3), &write, now + PATIENCE).await;
    assert_eq!(live(&proposed.unwrap().view), Some(3));
}

#[tokio::test]
async fn who_needs_a_leader_waits_for_one_and_is_told_why_there_is_none() {
    let bench = Bench::new(1).await;
    let other = serde_json::to_string(&record()).unwrap();
    bench.put_leased("instances/other", &other).await;
    let fleet = bench.fleet("a");
    fleet.ready(PATIENCE).await;
    let none = fleet.leader(Duration::ZERO).await.unwrap_err();
    assert_eq!(none.problem().status, 503);
    assert!(
        none.to_string().starts_with("no instance leads the fleet"),
        "{none}"
    );
    let (led, ()) = tokio::join!(fleet.leader(PATIENCE), async { fleet.report(record()) });
    until(&fleet, "the leader", Fleet::is_leader).await;
    assert_eq!(led.unwrap(), fleet.fence().unwrap());
}

#[tokio::test]
async fn what_came_last_is_kept_although_the_prefix_is_wiped_or_the_process_ends_at_once() {
    let bench = Bench::new(1).await;
    bench.put("config/main.yaml", "one").await;
    let fleet = bench.fleet("a");
    fleet.ready(PATIENCE).await;
    let serve = |fleet: &Fleet, number: u64| {
        fleet.serves(Served {
            number,
            texts: fleet.view().config.as_ref().unwrap().texts.clone(),
        });
    };
    serve(&fleet, 1);
    for (text, number) in [("two", 2), ("three", 3), ("four", 4)] {
        bench.put("config/main.yaml", text).await;
        let is_there = |fleet: &Fleet| {
            let view = fleet.view();
            let config = view.config.as_ref();
            config.is_some_and(|config| config.texts.values().any(|value| **value == *text.as_bytes()))
        };
        until(&fleet, "the text", is_there).await;
        serve(&fleet, number);
    }
    let last = fleet.view().rules;
    bench.delete("config/main.yaml").await;
    until(&fleet, "a wiped prefix", |fleet| fleet.view().config.is_none()).await;
    let mut kept = fleet.shared.kept.subscribe();
    let are_kept = kept.wait_for(|kept| {
        kept.as_ref().is_some_and(|kept| {
            kept.rules == last && kept.served.as_ref().is_some_and(|served| served.number == 4)
        })
    });
    tokio::time::timeout(PATIENCE, are_kept).await.unwrap().unwrap();

    bench.put("config/main.yaml", "five").await;
    until(&fleet, "the text", |fleet| fleet.view().config.is_some()).await;
    serve(&fleet, 5);
    let view = fleet.view();
    fleet.leave().await;
    drop(fleet);
    let again = bench.fleet("a");
    assert_eq!(again.last_view().unwrap().config, view.config);
    assert_eq!(again.last_served().unwrap().number, 5);
}
