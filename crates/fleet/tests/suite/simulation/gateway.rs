//! A gateway of a simulation: it follows the store, keeps a lease, obeys, proposes, and leads if it is its turn. It decides
//! with the code that gateways have; only the calls are its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use waypost_fleet::canary::{Clock, Count, choose};
use waypost_fleet::config::Texts;
use waypost_fleet::pace::report_after;
use waypost_fleet::proposal::sweep::Sweeper;
use waypost_fleet::proposal::{Advance, Apply, Intent, Note, Outcome, Proposal, State, Try};
use waypost_fleet::record::dial::{DialRecord, TurnRecord};
use waypost_fleet::record::drain::{DrainRecord, DrainedRecord};
use waypost_fleet::record::instance::InstanceRecord;
use waypost_fleet::record::{Record as _, WriteId};
use waypost_fleet::replica::Replica;
use waypost_fleet::store::{Change, Entry, StoreRevision, Transaction, Write};
use waypost_fleet::view::{EndpointName, Fence, View};

use super::{LEASE_MS, Mutation};
use crate::promises::{draft, key, prefix};
use crate::random::Random;

/// The time without a word from the store after which a gateway takes no commands.
const SILENCE_MS: u64 = 3000;
/// The time after which a call without an answer has an unknown outcome.
const PATIENCE_MS: u64 = 5000;
/// The time after which the store carries out nothing that it was sent before.
pub(crate) const LATE_MS: u64 = 30_000;

/// A call of the store.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Read,
    Grant,
    KeepAlive(u64),
    Attach(u64, String, Vec<u8>),
    Commit(Transaction, WriteId),
    /// Parts of texts, which no condition has.
    Prepare(Transaction, WriteId),
}

/// The answer to a call.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    All(Vec<Entry>, StoreRevision),
    Granted(u64),
    KeptAlive(u64, bool),
    Attached(u64, String, bool),
    Committed(WriteId, bool, StoreRevision),
    Prepared(WriteId),
}

/// Changes on their way.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// The next revision that the store sends.
    pub(crate) next: StoreRevision,
    /// With the times of their arrival.
    pub(crate) queue: VecDeque<(u64, StoreRevision, Vec<Change>)>,
}

/// A proposal whose outcome is open.
#[derive(Debug)]
struct Pending {
    proposal: Proposal,
    parts: VecDeque<Transaction>,
    sent: u64,
    /// The revision that this gateway has to obey before it says yes.
    happened: Option<StoreRevision>,
}

/// A lease as its holder knows it.
#[derive(Debug)]
struct Lease {
    id: u64,
    /// It certainly holds until then.
    until: u64,
    renew_at: u64,
    renewal_sent: u64,
    is_candidate: bool,
    candidate_sent: u64,
    reported: Option<Vec<u8>>,
    report_at: u64,
}

#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) id: String,
    pub(crate) is_up: bool,
    /// Standing still, with its memory as it is.
    pub(crate) stopped_until: u64,
    pub(crate) cut_until: u64,
    /// The number of its process.
    pub(crate) process: u64,
    replica: Replica,
    pub(crate) obeyed: Arc<View>,
    /// The last view that was compared with the store's history.
    pub(crate) checked: StoreRevision,
    is_read: bool,
    read_sent: Option<u64>,
    pub(crate) stream: Option<Stream>,
    heard: u64,
    lease: Option<Lease>,
    grant_sent: Option<u64>,
    pending: Vec<Pending>,
    /// Writes of unknown outcome, and when to look for them.
    unknown: Vec<(Proposal, u64)>,
    cache: Option<(Vec<Entry>, StoreRevision)>,
    clock: Clock,
    sweeper: Sweeper,
    acted_at: u64,
    pub(crate) calls: Vec<Call>,
    pub(crate) acknowledged: Vec<WriteId>,
    /// Writes that were looked for and not found.
    pub(crate) not_done: Vec<WriteId>,
    pub(crate) done: Vec<WriteId>,
    id_count: u64,
}

impl Gateway {
    pub(crate) fn new(number: usize) -> Self {
        let mut replica = Replica::new(prefix());
        Self {
            id: format!("i{number}"),
            is_up: true,
            stopped_until: 0,
            cut_until: 0,
            process: 0,
            obeyed: replica.view(),
            checked: StoreRevision(0),
            replica,
            is_read: false,
            read_sent: None,
            stream: None,
            heard: 0,
            lease: None,
            grant_sent: None,
            pending: Vec::new(),
            unknown: Vec::new(),
            cache: None,
            clock: Clock::default(),
            sweeper: Sweeper::default(),
            acted_at: 0,
            calls: Vec::new(),
            acknowledged: Vec::new(),
            not_done: Vec::new(),
            done: Vec::new(),
            id_count: 0,
        }
    }

    /// Starts anew after a crash, with the cache if there is one.
    pub(crate) fn start(&mut self, now: u64) {
        let mut replica = Replica::new(prefix());
        if let Some((entries, at)) = &self.cache {
            replica.reset(entries.clone(), *at);
        }
        self.process += 1;
        self.is_up = true;
        self.obeyed = replica.view();
        self.replica = replica;
        self.is_read = false;
        self.read_sent = None;
        self.stream = None;
        self.heard = 0;
        self.lease = None;
        self.grant_sent = None;
        self.pending.clear();
        self.unknown.clear();
        self.clock = Clock::default();
        self.sweeper = Sweeper::default();
        self.acted_at = now;
        self.calls.clear();
    }

    /// Learns that changes that it does not have were compacted.
    pub(crate) fn forget(&mut self) {
        self.is_read = false;
        self.read_sent = None;
    }

    /// Writes the cache.
    pub(crate) fn save(&mut self) {
        if self.is_read {
            self.cache = Some((self.replica.entries(), self.replica.at()));
        }
    }

    pub(crate) fn runs(&self, now: u64) -> bool {
        self.is_up && now >= self.stopped_until
    }

    /// The right to lead, if the lease certainly holds.
    pub(crate) fn fence(&self, now: u64) -> Option<Fence> {
        let lease = self.lease.as_ref()?;
        let holds = self.is_read && lease.is_candidate && now < lease.until;
        let view = &self.obeyed;
        view.fence_of(&self.id, &key(&format!("leader/{}", lease.id)))
            .filter(|_| holds)
    }

    /// Takes what the stream has brought. Returns true if there is a new view.
    pub(crate) fn take_changes(&mut self, now: u64, mutation: Mutation) -> bool {
        let Some(stream) = &mut self.stream else {
            return false;
        };
        let mut is_new = false;
        while let Some((_, at, changes)) = stream.queue.pop_front_if(|(due, ..)| *due <= now) {
            self.heard = now;
            if mutation == Mutation::HalfRevisions && changes.len() > 1 && at > self.replica.at() {
                // Only a part of what belongs together.
                let half: Vec<Change> = changes[..changes.len() / 2].to_vec();
                self.replica.apply(half, at);
            }
            is_new |= self.replica.apply(changes, at);
        }
        is_new
    }

    /// Obeys all that it knows.
    pub(crate) fn obey(&mut self) {
        self.obeyed = self.replica.view();
    }

    pub(crate) fn answer(&mut self, answer: Answer, now: u64, sent: u64) {
        self.heard = now;
        match answer {
            Answer::All(entries, at) => {
                self.replica.reset(entries, at);
                self.is_read = true;
                self.read_sent = None;
                self.stream = Some(Stream {
                    next: StoreRevision(at.0 + 1),
                    queue: VecDeque::new(),
                });
                self.obey();
            }
            Answer::Granted(id) => {
                self.grant_sent = None;
                self.lease = Some(Lease {
                    id,
                    until: sent + LEASE_MS,
                    renew_at: now + LEASE_MS / 3,
                    renewal_sent: 0,
                    is_candidate: false,
                    candidate_sent: 0,
                    reported: None,
                    report_at: now,
                });
            }
            Answer::KeptAlive(id, true) => {
                if let Some(lease) = self.lease.as_mut().filter(|lease| lease.id == id) {
                    lease.until = lease.until.max(sent + LEASE_MS);
                    lease.renew_at = now + LEASE_MS / 3;
                }
            }
            Answer::Attached(id, name, true) => {
                if let Some(lease) = self.lease.as_mut().filter(|lease| lease.id == id) {
                    lease.is_candidate |= name.starts_with(&key("leader/"));
                }
            }
            Answer::KeptAlive(id, false) | Answer::Attached(id, _, false) => {
                self.lease.take_if(|lease| lease.id == id);
            }
            Answer::Prepared(write) => {
                let found = self
                    .pending
                    .iter_mut()
                    .find(|pending| pending.proposal.write == write);
                if let Some(pending) = found {
                    pending.sent = now;
                    let call = next_call(pending);
                    self.calls.push(call);
                }
            }
            Answer::Committed(write, happened, at) => {
                let found = self
                    .pending
                    .iter()
                    .position(|pending| pending.proposal.write == write);
                match (found, happened) {
                    (Some(found), true) => self.pending[found].happened = Some(at),
                    // Another one was first.
                    (Some(found), false) => drop(self.pending.remove(found)),
                    (None, _) => {}
                }
            }
        }
    }

    /// All that a gateway does by itself.
    /// `newest` is the answer to the question how far the store is; `None` if there is none.
    pub(crate) fn tick(&mut self, now: u64, newest: Option<StoreRevision>, random: &mut Random) {
        self.follow(now, random);
        self.keep_lease(now);
        self.settle(now, newest);
        if now >= self.acted_at + 1000 {
            let elapsed = Duration::from_millis(now - self.acted_at);
            self.acted_at = now;
            if let Some(fence) = self.fence(now) {
                self.lead(&fence, now, elapsed);
            }
        }
    }

    fn follow(&mut self, now: u64, random: &mut Random) {
        if now > self.heard + PATIENCE_MS {
            self.stream = None;
        }
        if self.stream.is_none() && self.read_sent.is_none_or(|sent| now > sent + 1000) {
            self.read_sent = Some(now);
            // It goes on where it was, or a little before: what is repeated changes nothing.
            if self.is_read && !random.one_in(4) {
                let from = self.replica.at().0 + 1 - i64::try_from(random.below(4)).unwrap_or(0);
                self.stream = Some(Stream {
                    next: StoreRevision(from.max(1)),
                    queue: VecDeque::new(),
                });
                self.heard = self.heard.max(now.saturating_sub(SILENCE_MS + 1));
            } else {
                self.calls.push(Call::Read);
            }
        }
    }

    fn keep_lease(&mut self, now: u64) {
        self.lease.take_if(|lease| now >= lease.until);
        let Some(lease) = &mut self.lease else {
            if self.grant_sent.is_none_or(|sent| now > sent + 1000) {
                self.grant_sent = Some(now);
                self.calls.push(Call::Grant);
            }
            return;
        };
        if now >= lease.renew_at && now > lease.renewal_sent + 1000 {
            lease.renewal_sent = now;
            self.calls.push(Call::KeepAlive(lease.id));
        }
        if !lease.is_candidate && now > lease.candidate_sent + 1000 {
            lease.candidate_sent = now;
            let candidate = key(&format!("leader/{}", lease.id));
            let value = self.id.clone().into_bytes();
            self.calls.push(Call::Attach(lease.id, candidate, value));
        }
        let view = &self.obeyed;
        let canary = view
            .canary
            .as_ref()
            .filter(|canary| canary.value.is_tried_by(&self.id));
        let record = InstanceRecord {
            admin: None,
            version: "1".to_owned(),
            host: None,
            pid: None,
            started: draft().time,
            revision: view.revision(),
            since: None,
            obeys: view.rules,
            canary: canary.map(|canary| canary.value.id.clone()),
            healthy: true,
            unhealthy: None,
            errors: Vec::new(),
        };
        let value = record.to_value();
        let known = view.instances.get(&*self.id).map(|known| known.value.to_value());
        if now > lease.report_at + 3000 && known != lease.reported {
            // The call was lost.
            lease.reported = None;
        }
        if lease.reported.as_ref() != Some(&value) && now >= lease.report_at {
            let name = key(&format!("instances/{}", self.id));
            self.calls.push(Call::Attach(lease.id, name, value.clone()));
            lease.reported = Some(value);
            let after = report_after(view.instances.len(), &self.id).as_millis();
            lease.report_at = now + 1000 + u64::try_from(after).unwrap_or(0);
        }
    }

    /// Says yes to what has happened and is obeyed, and gives up what has no answer.
    fn settle(&mut self, now: u64, newest: Option<StoreRevision>) {
        let at = self.obeyed.at;
        let (acknowledged, mut unknown) = (&mut self.acknowledged, Vec::new());
        self.pending.retain(|pending| match pending.happened {
            Some(happened) if at >= happened => {
                acknowledged.push(pending.proposal.write.clone());
                false
            }
            None if now > pending.sent + PATIENCE_MS => {
                unknown.push((pending.proposal.clone(), now + LATE_MS + 1000));
                false
            }
            _ => true,
        });
        self.unknown.extend(unknown);
        let knows_all = newest.is_some_and(|newest| at >= newest);
        let view = &self.obeyed;
        let (done, not_done) = (&mut self.done, &mut self.not_done);
        self.unknown.retain(|(proposal, look_at)| {
            if now < *look_at || !knows_all {
                return true;
            }
            let mut writes = proposal.main.writes.iter();
            let is_deletion = writes.all(|write| matches!(write, Write::Delete { .. }));
            match proposal.outcome(view) {
                // What is gone is as was wanted, also if another one has deleted it.
                Outcome::Done if is_deletion => {}
                Outcome::Done => done.push(proposal.write.clone()),
                Outcome::NotDone => not_done.push(proposal.write.clone()),
                Outcome::Unclear => {}
            }
            false
        });
    }

    fn write_id(&mut self) -> WriteId {
        self.id_count += 1;
        WriteId::new(&format!("{}-{}-{}", self.id, self.process, self.id_count)).unwrap()
    }

    fn propose(&mut self, intent: Intent, now: u64) {
        let write = self.write_id();
        let Ok(proposal) = intent.plan(&self.obeyed, &write) else {
            return;
        };
        let mut pending = Pending {
            parts: proposal.parts.clone().into(),
            proposal,
            sent: now,
            happened: None,
        };
        let call = next_call(&mut pending);
        self.calls.push(call);
        self.pending.push(pending);
    }

    fn lead(&mut self, fence: &Fence, now: u64, elapsed: Duration) {
        let view = self.obeyed.clone();
        if view.config.is_some() && view.config_trouble.is_none() && view.revision().is_none() {
            self.propose(
                Intent::Note(Note {
                    draft: draft(),
                    state: State::default(),
                    fence: fence.clone(),
                }),
                now,
            );
        }
        if let Some(record) = self.clock.step(&view, elapsed) {
            self.propose(
                Intent::Advance(Box::new(Advance {
                    record,
                    state: State::default(),
                    fence: fence.clone(),
                })),
                now,
            );
        }
        let step = view
            .rollouts
            .get("r")
            .map_or(0, |rollout| rollout.value.state["step"].as_u64().unwrap_or(0));
        self.propose(
            Intent::State(State {
                rollouts: [("r".to_owned(), Some(json!({ "step": step + 1 })))].into(),
                fence: Some(fence.clone()),
                ..State::default()
            }),
            now,
        );
        let certificate = view.certificates.get("account");
        let order = certificate.map_or(0, |known| known.value.sealed.parse::<u64>().unwrap());
        self.propose(
            Intent::State(State {
                certificates: [("account".to_owned(), Some((order + 1).to_string()))].into(),
                fence: Some(fence.clone()),
                ..State::default()
            }),
            now,
        );
        let write = self.write_id();
        if let Some(sweep) = self
            .sweeper
            .step(&view, fence, Duration::from_millis(now), &write)
        {
            self.calls.push(Call::Commit(sweep, write));
        }
    }

    /// Does what a user asks for, if the store answers.
    pub(crate) fn command(&mut self, now: u64, random: &mut Random) {
        if !self.is_read || now > self.heard + SILENCE_MS || self.pending.len() > 3 {
            return;
        }
        let view = self.obeyed.clone();
        let number = |text: &[u8]| -> u64 {
            let digits = std::str::from_utf8(&text[..8]).unwrap();
            digits.parse().unwrap()
        };
        let config = |random: &mut Random| -> Texts {
            let mut texts = view
                .config
                .as_ref()
                .map(|config| config.texts.clone())
                .unwrap_or_default();
            let first = texts.iter().find(|(name, _)| name.as_str() == "a.yaml");
            let next = first.map_or(0, |(_, text)| number(text)) + 1;
            let is_large = random.one_in(40);
            for name in ["a.yaml", "b.yaml"] {
                let mut text = format!("{next:08}");
                if is_large {
                    text.push_str(&"x".repeat(1 << 20));
                }
                let name = waypost_fleet::key::ConfigName::new(name).unwrap();
                texts.insert(name, text.into_bytes().into());
            }
            texts
        };
        let intent = match random.below(14) {
            0..6 => dial(&view, &format!("route-{}", random.below(3))),
            6..11 => Intent::Apply(Apply {
                texts: config(random),
                draft: draft(),
                state: State::default(),
            }),
            11 | 12 => drain(&view, &format!("e{}", random.below(2))),
            _ => {
                let Ok(chosen) = choose(&view, &self.id, Count::Instances(2)) else {
                    return;
                };
                Intent::Try(Try {
                    texts: config(random),
                    draft: draft(),
                    chosen,
                    routes: Vec::new(),
                    leads: Vec::new(),
                    hold_ms: 5000,
                })
            }
        };
        self.propose(intent, now);
    }
}

fn next_call(pending: &mut Pending) -> Call {
    let write = pending.proposal.write.clone();
    match pending.parts.pop_front() {
        Some(parts) => Call::Prepare(parts, write),
        None => Call::Commit(pending.proposal.main.clone(), write),
    }
}

/// Drains an endpoint, or takes it back.
fn drain(view: &View, endpoint: &str) -> Intent {
    let name = EndpointName {
        service: "s".to_owned(),
        endpoint: endpoint.to_owned(),
    };
    let record = DrainRecord {
        drained: vec![DrainedRecord {
            address: None,
            by: "ada".to_owned(),
            time: draft().time,
        }],
        write: None,
    };
    let record = (!view.drains.contains_key(&name)).then_some(record);
    Intent::State(State {
        drains: [(name, record)].into(),
        rests_on_config: true,
        ..State::default()
    })
}

/// Turns a dial by one.
fn dial(view: &View, route: &str) -> Intent {
    let known = view.dials.get(route);
    let weight = known.map_or(0, |known| known.value.live.as_ref().unwrap()[1].1);
    let weights = |weight| vec![("v1".to_owned(), 1), ("v2".to_owned(), weight)];
    let mut turns = known.map(|known| known.value.turns.clone()).unwrap_or_default();
    turns.push(TurnRecord {
        time: draft().time,
        before: weights(weight),
        after: weights(weight + 1),
        by: "ada".to_owned(),
        write: None,
    });
    let record = DialRecord {
        declared: weights(0),
        live: Some(weights(weight + 1)),
        by: "ada".to_owned(),
        time: draft().time,
        write: None,
        turns,
    };
    Intent::State(State {
        dials: [(route.to_owned(), Some(record))].into(),
        rests_on_config: true,
        ..State::default()
    })
}
