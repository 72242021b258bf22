//! A fleet in a world where everything goes wrong: messages are late, lost or repeated, gateways crash, stand still and are
//! cut off, leases end, the store is compacted, and users change it through any gateway and by hand.
//!
//! Time, chance and the store are simulated, and every run follows from its seed. The gateways decide with the code that
//! real ones have. Each change is judged when it happens, each view is compared with the store at its revision; in the end
//! everything heals, and all have to agree. `WAYPOST_SIMULATION_SEEDS` asks for more runs than the usual ones.

mod etcd;
mod gateway;
mod scale;

use waypost_fleet::store::{Compare, StoreRevision, Transaction, Write};

use self::etcd::Etcd;
use self::gateway::{Answer, Call, Gateway, LATE_MS};
use crate::promises::key;
use crate::random::Random;

pub(crate) const LEASE_MS: u64 = 10_000;
const TICK_MS: u64 = 100;
const TROUBLED_MS: u64 = 150_000;
const HEALING_MS: u64 = 60_000;

/// A fault in the code, to see that the simulation would find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutation {
    None,
    /// Keys are not compared with what was seen.
    NoCompares,
    /// New texts of the config are not noticed.
    NoFolders,
    /// The leader's key is not compared.
    NoFence,
    /// The changes of a revision come in two halves.
    HalfRevisions,
}

impl Mutation {
    fn apply(self, transaction: &mut Transaction) {
        transaction.compares.retain(|compare| match compare {
            Compare::Unchanged { .. } => self != Self::NoCompares,
            Compare::NothingWritten { .. } => self != Self::NoFolders,
            Compare::Created { .. } => self != Self::NoFence,
        });
    }
}

/// A call under way.
#[derive(Debug)]
struct Journey {
    gateway: usize,
    process: u64,
    call: Call,
    sent: u64,
    arrives: u64,
    answer: Option<(Answer, u64)>,
}

struct World {
    now: u64,
    random: Random,
    etcd: Etcd,
    gateways: Vec<Gateway>,
    journeys: Vec<Journey>,
    mutation: Mutation,
    is_troubled: bool,
}

/// The figures of a run.
#[derive(Debug, Default)]
struct Figures {
    acknowledged: usize,
    revisions: i64,
    rollout_steps: u64,
    canaries_passed: u64,
    canaries_taken_back: u64,
    restarts: u64,
    found: usize,
    not_found: usize,
}

impl World {
    fn new(seed: u64, mutation: Mutation) -> Self {
        Self {
            now: 0,
            random: Random::new(seed),
            etcd: Etcd::new(),
            gateways: (0..5).map(Gateway::new).collect(),
            journeys: Vec::new(),
            mutation,
            is_troubled: true,
        }
    }

    /// The time that a message takes; `None` if it is lost.
    fn delay(&mut self) -> Option<u64> {
        if !self.is_troubled {
            return Some(self.random.below(100));
        }
        match self.random.below(100) {
            0..3 => None,
            3..6 => Some(self.random.below(LATE_MS - 10_000)),
            6..20 => Some(self.random.below(2000)),
            _ => Some(self.random.below(200)),
        }
    }

    fn tick(&mut self) {
        self.now += TICK_MS;
        self.etcd.expire(self.now);
        if self.is_troubled {
            self.make_trouble();
        }
        self.stream();
        self.deliver();
        let mut leading = 0;
        for number in 0..self.gateways.len() {
            let gateway = &mut self.gateways[number];
            if !gateway.runs(self.now) {
                continue;
            }
            gateway.take_changes(self.now, self.mutation);
            if !self.random.one_in(3) {
                gateway.obey();
                if gateway.obeyed.at != gateway.checked {
                    gateway.checked = gateway.obeyed.at;
                    self.etcd.check(&gateway.obeyed, &gateway.id);
                }
            }
            if self.is_troubled && self.random.one_in(8) {
                gateway.command(self.now, &mut self.random);
            }
            let newest = (self.now >= gateway.cut_until).then(|| self.etcd.store.at());
            gateway.tick(self.now, newest, &mut self.random);
            leading += usize::from(gateway.fence(self.now).is_some());
            for call in std::mem::take(&mut self.gateways[number].calls) {
                self.send(number, call);
            }
        }
        if leading > 1 {
            self.etcd.broken.push(format!("{leading} gateways lead"));
        }
    }

    fn send(&mut self, number: usize, call: Call) {
        let gateway = &self.gateways[number];
        let (process, cut_until) = (gateway.process, gateway.cut_until);
        // A call out of a gateway that is cut off is lost, or comes late.
        let wait = cut_until.saturating_sub(self.now);
        if wait > LATE_MS / 3 || wait > 0 && self.random.one_in(2) {
            return;
        }
        if let Some(delay) = self.delay() {
            self.journeys.push(Journey {
                gateway: number,
                process,
                call,
                sent: self.now,
                arrives: self.now + wait + delay,
                answer: None,
            });
        }
    }

    /// Carries out the calls that have arrived, and brings the answers back.
    fn deliver(&mut self) {
        let now = self.now;
        let mut journeys = std::mem::take(&mut self.journeys);
        journeys.sort_by_key(|journey| journey.arrives);
        for mut journey in journeys {
            if let Some((answer, due)) = &journey.answer {
                let gateway = &mut self.gateways[journey.gateway];
                if *due > now || now < gateway.stopped_until {
                    self.journeys.push(journey);
                } else if gateway.is_up && gateway.process == journey.process && now >= gateway.cut_until {
                    gateway.answer(answer.clone(), now, journey.sent);
                }
            } else if journey.arrives > now {
                self.journeys.push(journey);
            } else if now <= journey.sent + LATE_MS {
                let answer = self.carry_out(&journey.call);
                if let Some(delay) = self.delay() {
                    journey.answer = Some((answer, now + delay));
                    self.journeys.push(journey);
                }
            }
        }
    }

    fn carry_out(&mut self, call: &Call) -> Answer {
        match call {
            Call::Read => Answer::All(self.etcd.store.entries(), self.etcd.store.at()),
            Call::Grant => Answer::Granted(self.etcd.grant(self.now)),
            Call::KeepAlive(lease) => Answer::KeptAlive(*lease, self.etcd.keep_alive(*lease, self.now)),
            Call::Attach(lease, key, value) => {
                Answer::Attached(*lease, key.clone(), self.etcd.attach(*lease, key, value.clone()))
            }
            Call::Prepare(parts, write) => {
                self.etcd.write(&parts.writes);
                Answer::Prepared(write.clone())
            }
            Call::Commit(transaction, write) => {
                let happened = self.etcd.commit(transaction, write, self.mutation);
                Answer::Committed(write.clone(), happened, self.etcd.store.at())
            }
        }
    }

    /// Sends changes to those that follow. A stream that breaks begins again where the gateway says.
    fn stream(&mut self) {
        for number in 0..self.gateways.len() {
            let is_cut = self.now < self.gateways[number].cut_until;
            let breaks = self.is_troubled && self.random.one_in(300);
            let Some(mut stream) = self.gateways[number].stream.take() else {
                continue;
            };
            if breaks {
                continue;
            }
            while !is_cut && stream.next <= self.etcd.store.at() {
                // After a compaction all has to be read again.
                let Some(changes) = self.etcd.changes(stream.next) else {
                    self.gateways[number].forget();
                    break;
                };
                let last = stream.queue.back().map_or(0, |(due, ..)| *due);
                let due = last.max(self.now + self.delay().unwrap_or(1000));
                stream.queue.push_back((due, stream.next, changes));
                stream.next = StoreRevision(stream.next.0 + 1);
            }
            if stream.next > self.etcd.store.at() || is_cut {
                self.gateways[number].stream = Some(stream);
            }
        }
    }

    fn make_trouble(&mut self) {
        let number = usize::try_from(self.random.below(5)).unwrap();
        let (now, length) = (self.now, self.random.below(25_000));
        let gateway = &mut self.gateways[number];
        match self.random.below(700) {
            0 | 1 => gateway.cut_until = now + length,
            2 | 3 => gateway.stopped_until = now + length,
            4 => gateway.is_up = false,
            // All are cut off: the store has no majority.
            5 if self.random.one_in(3) => {
                for gateway in &mut self.gateways {
                    gateway.cut_until = now + length / 2;
                }
            }
            6 => self.etcd.compacted = self.etcd.store.at(),
            7..20 => gateway.save(),
            20..30 => {
                if let Some(gateway) = self.gateways.iter_mut().find(|gateway| !gateway.is_up) {
                    gateway.start(now);
                }
            }
            30..34 => {
                let name = key("config/c.yaml");
                let write = match self.random.one_in(3) {
                    true => Write::Delete { key: name },
                    false => Write::Put {
                        key: name,
                        value: format!("{now:08}").into_bytes(),
                    },
                };
                self.etcd.write(&[write]);
            }
            _ => {}
        }
    }

    /// Ends all trouble, and waits until all agree.
    fn heal(&mut self) {
        self.is_troubled = false;
        for number in 0..self.gateways.len() {
            let gateway = &mut self.gateways[number];
            gateway.cut_until = 0;
            gateway.stopped_until = 0;
            if !gateway.is_up {
                gateway.start(self.now);
            }
        }
        let end = self.now + HEALING_MS;
        while self.now < end {
            self.tick();
        }
    }

    /// Judges the end.
    fn conclude(mut self) -> (Figures, Vec<String>) {
        let mut broken = std::mem::take(&mut self.etcd.broken);
        let rules = self.etcd.rules().clone();
        let mut figures = Figures {
            revisions: self.etcd.store.at().0,
            rollout_steps: self.etcd.rollout_steps,
            canaries_passed: self.etcd.canaries_passed,
            canaries_taken_back: self.etcd.canaries_taken_back,
            ..Figures::default()
        };
        let mut leaders = 0;
        for gateway in &self.gateways {
            figures.acknowledged += gateway.acknowledged.len();
            figures.found += gateway.done.len();
            figures.not_found += gateway.not_done.len();
            for write in gateway.acknowledged.iter().chain(&gateway.done) {
                if !self.etcd.committed.contains(write) {
                    broken.push(format!("{write} was acknowledged and never happened"));
                }
            }
            for write in &gateway.not_done {
                if self.etcd.committed.contains(write) {
                    broken.push(format!("{write} happened and was said not to"));
                }
            }
            let view = &gateway.obeyed;
            let of_view = &self.etcd.history[usize::try_from(view.at.0).unwrap()];
            let seen = (&of_view.config, &of_view.dials, &of_view.drained);
            if seen != (&rules.config, &rules.dials, &rules.drained) {
                broken.push(format!("`{}` obeys other rules in the end", gateway.id));
            }
            if view.config.is_some() && view.revision().is_none() {
                broken.push("the config has no revision in the end".to_owned());
            }
            if view.instances.len() != self.gateways.len() {
                broken.push(format!("{} instances live in the end", view.instances.len()));
            }
            leaders += usize::from(gateway.fence(self.now).is_some());
        }
        let canary = self.etcd.canary();
        if let Some(canary) = canary.filter(|canary| canary["stage"].is_string()) {
            broken.push(format!("canary {} has no verdict in the end", canary["id"]));
        }
        if leaders != 1 {
            broken.push(format!("{leaders} gateways lead in the end"));
        }
        figures.restarts = self.gateways.iter().map(|gateway| gateway.process).sum();
        (figures, broken)
    }
}

fn run(seed: u64, mutation: Mutation) -> (Figures, Vec<String>) {
    let mut world = World::new(seed, mutation);
    while world.now < TROUBLED_MS {
        world.tick();
    }
    world.heal();
    world.conclude()
}

#[test]
fn promises_hold_whatever_goes_wrong() {
    let seeds = std::env::var("WAYPOST_SIMULATION_SEEDS").ok();
    let seeds = seeds.map_or(8, |seeds| seeds.parse().unwrap());
    let mut all = Figures::default();
    for seed in 0..seeds {
        let (figures, broken) = run(seed, Mutation::None);
        assert!(broken.is_empty(), "seed {seed}: {broken:#?}\n{figures:?}");
        all.acknowledged += figures.acknowledged;
        all.rollout_steps += figures.rollout_steps;
        all.canaries_passed += figures.canaries_passed;
        all.canaries_taken_back += figures.canaries_taken_back;
        all.revisions += figures.revisions;
        all.found += figures.found;
        all.not_found += figures.not_found;
        all.restarts += figures.restarts;
    }
    // A world in which nothing gets through would hold every promise.
    assert!(all.acknowledged > 50 * seeds as usize, "{all:?}");
    assert!(all.rollout_steps > 20 * seeds, "{all:?}");
    assert!(all.revisions > 500 * seeds as i64, "{all:?}");
    assert!(all.canaries_passed > 0 && all.canaries_taken_back > 0, "{all:?}");
    assert!(all.found > 0 && all.not_found > 0 && all.restarts > 0, "{all:?}");
}

#[test]
fn simulation_finds_faults() {
    for (mutation, expected) in [
        (Mutation::NoCompares, "a change is lost"),
        (Mutation::NoFolders, "is of other texts than the config"),
        (Mutation::NoFence, "written with fence"),
        (Mutation::HalfRevisions, "has another picture"),
    ] {
        let found = (0..40).any(|seed| {
            let (_, broken) = run(seed, mutation);
            broken.iter().any(|broken| broken.contains(expected))
        });
        assert!(found, "{mutation:?} is not noticed");
    }
}
