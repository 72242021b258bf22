//! Two operators at once, through different instances, while members of etcd die and come back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::fleet::{CONFIG, Fleet};
use crate::history::{History, Write};
use crate::instance::Instance;
use crate::support::message::Message;
use crate::wait::wait_for;

/// Acknowledged changes of each operator.
const CHANGES: usize = 200;

/// Changes of both from one death of a member to the next; it is back after half of them.
const DEATHS_EVERY: usize = 80;

/// Attempts of an operator for a change. One is refused while etcd has no leader, or when the other was first.
const ATTEMPTS: usize = 20_000;

/// A change that an operator has tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// A config that responds so.
    Config { marker: u64 },
    /// The weight of `b` in `split`.
    Dial { weight: u64 },
    /// The operator's own endpoint.
    Drain { drained: bool },
}

/// The fate of a change, by its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// With the number of its revision, if it is a config that the instance obeys.
    Acknowledged(Option<u64>),
    Refused,
    Unknown,
}

/// A change that was tried.
#[derive(Debug)]
struct Tried {
    change: Change,
    /// The config that it was to replace.
    replaces: Option<String>,
    fate: Fate,
}

/// An operator who makes changes through one instance.
struct Operator<'a> {
    instance: &'a Instance,
    /// Values of one operator are even, of the other odd.
    parity: u64,
    /// Names the config that is to be replaced, as it was read.
    matches: bool,
    service: &'static str,
    last: u64,
    tried: Vec<Tried>,
}

impl Operator<'_> {
    fn operate(mut self, made: &AtomicUsize) -> Vec<Tried> {
        for turn in 0..CHANGES {
            let is_made = (0..ATTEMPTS).any(|_| {
                self.last += 2;
                matches!(self.attempt(turn), Fate::Acknowledged(_))
            });
            assert!(
                is_made,
                "change {turn} is never acknowledged: {:?}",
                self.tried.last()
            );
            made.fetch_add(1, Ordering::Relaxed);
        }
        self.tried
    }

    fn attempt(&mut self, turn: usize) -> Fate {
        // A value for each attempt, so that a refused one is known where it is found.
        let value = 2 * self.last + self.parity;
        let (change, replaces, answer) = match turn % 4 {
            0 => {
                let config = self.instance.gateway.admin("GET", "/api/v1/config/files", "", "");
                let text = config.json()["files"][0]["text"].as_str().map(str::to_owned);
                let tag = match self.matches {
                    true => config.header("etag").expect("a tag").to_owned(),
                    false => "*".to_owned(),
                };
                let answer = self.instance.apply_if(&config_of(value), &tag);
                let replaces = text.filter(|_| self.matches);
                (Change::Config { marker: value }, replaces, answer)
            }
            2 => {
                let drained = turn % 8 == 2;
                let answer = self.instance.drain(self.service, drained);
                (Change::Drain { drained }, None, answer)
            }
            _ => {
                let weights = serde_json::json!({ "a": 1, "b": value });
                let answer = self.instance.gateway.dial("split", &weights);
                (Change::Dial { weight: value }, None, answer)
            }
        };
        let fate = fate(&answer);
        self.tried.push(Tried {
            change,
            replaces,
            fate,
        });
        fate
    }
}

/// A config with this marker.
fn config_of(marker: u64) -> String {
    CONFIG.replace("one", &format!("'{marker}'"))
}

fn fate(answer: &Message) -> Fate {
    match answer.status() {
        200 => Fate::Acknowledged(answer.json()["revision"].as_u64()),
        503 => match answer.json()["outcome"].as_str() {
            Some("unknown") => Fate::Unknown,
            // The instance has not heard of it yet.
            Some("acknowledged") => Fate::Acknowledged(None),
            _ => Fate::Refused,
        },
        409 | 412 => Fate::Refused,
        status => panic!("{status}: {}", answer.text()),
    }
}

#[test]
fn every_acknowledged_change_of_two_operators_is_found_and_no_refused_one() {
    let mut fleet = Fleet::start();
    let Fleet { cluster, instances } = &mut fleet;
    let made = AtomicUsize::new(0);
    let operators = [("a", false), ("b", true)].into_iter().zip(&*instances);
    let operators = operators
        .enumerate()
        .map(|(number, ((service, matches), instance))| Operator {
            instance,
            parity: u64::try_from(number).unwrap(),
            matches,
            service,
            last: 0,
            tried: Vec::new(),
        });
    let tried = thread::scope(|scope| {
        let operators: Vec<_> = operators
            .map(|operator| scope.spawn(|| operator.operate(&made)))
            .collect();
        // Members die and come back by the number of changes; every second one leads etcd.
        let wait_for_changes = |count: usize| {
            wait_for("changes", || {
                let have_ended = operators.iter().all(thread::ScopedJoinHandle::is_finished);
                (have_ended || made.load(Ordering::Relaxed) >= count).then_some(())
            });
        };
        for (number, count) in (DEATHS_EVERY / 2..2 * CHANGES).step_by(DEATHS_EVERY).enumerate() {
            wait_for_changes(count);
            let leader = cluster.leader();
            let member = if number % 2 == 0 { leader } else { (leader + 1) % 3 };
            cluster.kill(member);
            wait_for_changes(count + DEATHS_EVERY / 2);
            cluster.start_again(&[member]);
        }
        let tried = operators.into_iter().map(|operator| operator.join().unwrap());
        tried.collect::<Vec<_>>()
    });

    fleet.wait_until_well();
    let history = History::of(&fleet.cluster);
    let last_dial = check_dials(&history, &tried);
    let last_config = check_configs(&history, &tried);
    for (service, tried) in ["a", "b"].into_iter().zip(&tried) {
        check_drains(&history, service, tried);
    }
    // All are alike, and obey what is there.
    fleet.wait_for_weight(last_dial);
    fleet.wait_for_hello(&last_config.to_string());
    let pictures: Vec<[serde_json::Value; 3]> = fleet
        .instances
        .iter()
        .map(|instance| {
            let states = ["/api/v1/services/a", "/api/v1/services/b"].map(|path| {
                let service = instance.gateway.admin_json(path);
                service["endpoints"][0]["addresses"][0]["state"].clone()
            });
            let [a, b] = states;
            [instance.gateway.admin_json("/api/v1/config/files"), a, b]
        })
        .collect();
    assert!(
        pictures.iter().all(|picture| *picture == pictures[0]),
        "{pictures:?}"
    );
}

/// Asserts that the values of acknowledged changes were written, in the order of the answers, and no values but those and
/// the ones of unknown fate; `written` are all that were written after the first.
fn check_values(written: &[u64], tried: &[Vec<Tried>], value_of: impl Fn(Change) -> Option<u64>) {
    let mut may_be_there = Vec::new();
    for tried in tried {
        let values = |wanted: fn(Fate) -> bool| {
            let tried = tried.iter().filter(move |tried| wanted(tried.fate));
            tried
                .filter_map(|tried| value_of(tried.change))
                .collect::<Vec<u64>>()
        };
        let acknowledged = values(|fate| matches!(fate, Fate::Acknowledged(_)));
        let found: Vec<u64> = written
            .iter()
            .copied()
            .filter(|value| acknowledged.contains(value))
            .collect();
        assert_eq!(
            found, acknowledged,
            "acknowledged changes are found once each, in order"
        );
        may_be_there.extend(acknowledged);
        may_be_there.extend(values(|fate| fate == Fate::Unknown));
    }
    let strange: Vec<&u64> = written
        .iter()
        .filter(|value| !may_be_there.contains(value))
        .collect();
    assert!(
        strange.is_empty(),
        "changes that were refused are there: {strange:?}"
    );
}

/// Returns the weight that is in force.
fn check_dials(history: &History, tried: &[Vec<Tried>]) -> u64 {
    let written = history.weights();
    check_values(&written, tried, |change| match change {
        Change::Dial { weight } => Some(weight),
        _ => None,
    });
    *written.last().expect("a dial")
}

/// Returns the marker of the config that is in force.
fn check_configs(history: &History, tried: &[Vec<Tried>]) -> u64 {
    let configs: Vec<&Write> = history.of_key("config/waypost.yaml").collect();
    let marker = |write: &Write| {
        let (_, behind) = write.value.as_ref()?.split_once("body: '")?;
        behind.split_once('\'')?.0.parse::<u64>().ok()
    };
    // The first config has none.
    let written: Vec<u64> = configs[1..]
        .iter()
        .map(|write| marker(write).expect("a marker"))
        .collect();
    check_values(&written, tried, |change| match change {
        Change::Config { marker } => Some(marker),
        _ => None,
    });
    for tried in tried.iter().flatten() {
        let (Change::Config { marker: wanted }, Fate::Acknowledged(number)) = (tried.change, tried.fate)
        else {
            continue;
        };
        let place = configs
            .iter()
            .position(|write| marker(write) == Some(wanted))
            .unwrap();
        let Some(number) = number else { continue };
        // The revision was made in the same transaction.
        let key = format!("revisions/{number}");
        let revision = history.of_key(&key).next().expect("the revision");
        assert_eq!(revision.at, configs[place].at, "{key}");
        assert!(
            revision
                .value
                .as_ref()
                .unwrap()
                .contains(&format!("body: '{wanted}'"))
        );
        if let Some(replaced) = &tried.replaces {
            assert_eq!(
                configs[place - 1].value.as_ref(),
                Some(replaced),
                "no change in between"
            );
        }
    }
    *written.last().expect("a config")
}

fn check_drains(history: &History, service: &str, tried: &[Tried]) {
    let key = format!("endpoints/{service}/127.0.0.1:1");
    let drains = tried.iter().filter_map(|tried| match tried.change {
        Change::Drain { drained } => Some((drained, tried.fate)),
        _ => None,
    });
    let drains: Vec<(bool, Fate)> = drains.collect();
    let count = |wanted: fn(Fate) -> bool| drains.iter().filter(|(_, fate)| wanted(*fate)).count();
    let acknowledged = count(|fate| matches!(fate, Fate::Acknowledged(_)));
    let unknown = count(|fate| fate == Fate::Unknown);
    // One whose fate was unknown is tried again, and acknowledged even if there is nothing left to do.
    let written = history.of_key(&key).count();
    assert!(
        written <= acknowledged + unknown && written + unknown >= acknowledged,
        "{written} of {acknowledged} and {unknown}"
    );
    let (last, fate) = drains.last().expect("a drain");
    assert!(matches!(fate, Fate::Acknowledged(_)));
    let is_drained = history
        .of_key(&key)
        .next_back()
        .is_some_and(|write| write.value.is_some());
    assert_eq!(is_drained, *last);
}
