//! The presence of this instance in the fleet: a lease, with the instance's key and its candidacy attached to it.
//!
//! The lease is renewed at a third of its time. The time that it certainly still has is counted from before the renewal, so a
//! process that stood still knows from its clock that it may be no leader any more, before etcd tells it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use waypost_etcd::client::Client;
use waypost_etcd::election::{Candidacy, Election};
use waypost_etcd::error::Error;
use waypost_etcd::kv::write::Put;
use waypost_etcd::lease::{Granted, KeepAlive};
use waypost_etcd::revision::{LeaseId, Revision};
use waypost_fleet::key::Key;
use waypost_fleet::lead::may_lead;
use waypost_fleet::pace::{report_after, retry_after};
use waypost_fleet::record::Record;
use waypost_fleet::record::instance::InstanceRecord;
use waypost_fleet::store::StoreRevision;

use super::{Picture, Shared, identity};
use crate::fleet::Known;
use crate::log;

/// The time of a lease.
const LEASE: Duration = Duration::from_secs(10);

/// The deadline of a call: several fit the time of a lease.
const DEADLINE: Duration = Duration::from_secs(2);

/// The shortest time between two writes of the instance's key, plus an allowance for each instance that sees them.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_PER_INSTANCE: Duration = Duration::from_millis(1);

/// The presence of this instance.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Presence {
    /// The candidacy, with the time until which its lease certainly holds.
    pub(super) candidacy: Option<(Candidate, Instant)>,
    /// Things that etcd forbids, in a sentence each.
    pub(super) troubles: Vec<String>,
}

/// The place of this instance in the election.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) key: String,
    /// The revision at which it was entered.
    pub(super) created: StoreRevision,
}

/// A lease that holds, as far as is known.
struct Held<'a> {
    shared: &'a Shared,
    /// The id of the instance under it.
    id: Arc<str>,
    client: Client,
    election: Election,
    lease: LeaseId,
    until: Instant,
    renewals: KeepAlive,
    renew_at: Instant,
    /// The value of the instance's key as it was written, and when.
    written: Option<(Vec<u8>, Revision)>,
    write_at: Instant,
    /// When it may enter the election, or leave it.
    election_at: Instant,
    /// True once the next write is put off.
    is_put_off: bool,
    /// True from when etcd was found full until it takes the instance's key again, which is written to find that out.
    is_full: bool,
    candidate: Option<Candidate>,
    /// The candidacy as the election has it.
    candidacy: Option<Candidacy>,
    /// Refusals of the instance's key and of the candidacy.
    refused: [Option<String>; 2],
}

/// The keys that are attached to a lease, as places in [`Held::refused`].
#[derive(Debug, Clone, Copy)]
enum Attached {
    Instance,
    Candidate,
}

/// The interval of looking if the process that an instance takes over from is gone.
const TAKE_OVER: Duration = Duration::from_millis(50);

/// The time that the process before gets to end what it is in the fleet, which it does first.
const TAKE_OVER_MAX: Duration = Duration::from_secs(60);

/// Keeps the instance present, until the task is ended. If `predecessor` is given, another process has its id as long as it
/// has the lock in that state directory.
pub(super) async fn keep(shared: Arc<Shared>, predecessor: Option<Box<Path>>) {
    if let Some(state) = predecessor {
        let until = Instant::now() + TAKE_OVER_MAX;
        let lock = loop {
            match identity::lock(&state) {
                None if Instant::now() < until => sleep(TAKE_OVER).await,
                lock => break lock,
            }
        };
        if lock.is_none() {
            let before = shared.id();
            let fresh = shared.take_fresh_id();
            log::warn(format_args!(
                "the id {before} belongs to another process, or its lock in `{}` cannot be had: this instance is {fresh} from now on",
                state.display()
            ));
            shared.finds_in_use(&state);
        }
        if lock.is_some() {
            *super::lock(&shared.keeps_id) = Some(state.into());
        }
        *super::lock(&shared.inherited) = lock;
    }
    let client = shared.client.with_deadline(DEADLINE);
    let mut is_again = false;
    let mut failures = 0;
    loop {
        let began = Instant::now();
        match client.grant(LEASE, None).await {
            Ok(granted) => {
                failures = 0;
                let held = Held::new(&shared, client.clone(), granted, began);
                let id = Arc::clone(&held.id);
                if is_again {
                    log::info(format_args!("instance {id} has a new lease in etcd"));
                }
                held.hold().await;
                is_again = id == shared.id();
                if is_again {
                    log::warn(format_args!("the lease of instance {id} in etcd has ended"));
                }
            }
            Err(error) => {
                shared.presence.send_modify(|presence| {
                    // While etcd is away, that is said elsewhere.
                    presence.troubles = match error {
                        Error::Unavailable { .. } | Error::OutcomeUnknown { .. } => Vec::new(),
                        error => vec![format!("etcd: {error}")],
                    };
                });
                sleep(retry_after(failures, &shared.id())).await;
                failures += 1;
            }
        }
    }
}

impl<'a> Held<'a> {
    fn new(shared: &'a Shared, client: Client, granted: Granted, began: Instant) -> Self {
        Self {
            election: Election::new(client.clone(), &format!("{}/leader", shared.prefix)),
            renewals: client.keep_alive(granted.id),
            lease: granted.id,
            until: began + granted.ttl,
            renew_at: began + granted.ttl / 3,
            written: None,
            write_at: began,
            election_at: began,
            is_put_off: false,
            is_full: false,
            candidate: None,
            candidacy: None,
            refused: [None, None],
            client,
            id: shared.id(),
            shared,
        }
    }

    /// Renews the lease and keeps its keys, until it has ended.
    async fn hold(mut self) {
        self.shared.lease.send_replace(Some(self.lease));
        let mut standing = self.shared.standing.subscribe();
        let mut pictures = self.shared.picture.subscribe();
        while self.turn(&mut standing, &mut pictures).await.is_some() {}
        self.shared.lease.send_replace(None);
        self.shared.presence.send_replace(Presence::default());
    }

    /// Does what is due, or waits until something is. Returns `None` once the lease has ended.
    async fn turn(
        &mut self,
        standing: &mut watch::Receiver<Option<InstanceRecord>>,
        pictures: &mut watch::Receiver<Picture>,
    ) -> Option<()> {
        let picture = pictures.borrow_and_update().clone();
        let wanted = standing.borrow_and_update().clone();
        if let Some(other) = self.double(&picture, wanted.as_ref()) {
            self.give_way(&other).await;
            return None;
        }
        self.look(&picture);
        let value = wanted.as_ref().map(Record::to_value);
        let is_alone = self.is_alone(&picture);
        // A full etcd is so for all.
        let is_refused = self.refused[Attached::Instance as usize].is_some() && !self.is_full;
        // Among others it leads once it has said what it obeys, and while it may say so.
        let may_lead = (is_alone || !is_refused)
            && wanted
                .as_ref()
                .map_or(is_alone, |own| may_lead(&picture.view, &self.id, own));
        let is_as_written = self.written.as_ref().map(|(value, _)| value) == value.as_ref();
        let is_written = value.is_none() || is_as_written && !self.is_full;
        let has_to_move = match self.candidate.is_some() {
            true => !may_lead,
            false => may_lead && (self.written.is_some() || is_alone),
        };
        let now = Instant::now();
        if !is_written && !self.is_put_off {
            self.put_off(wanted.as_ref(), now);
        }
        if now >= self.renew_at {
            self.renew().await?;
        } else if let Some(value) = value
            && !is_written
            && now >= self.write_at
        {
            self.write(value).await?;
        } else if has_to_move && now >= self.election_at {
            match may_lead {
                true => self.enter().await?,
                false => self.resign().await?,
            }
        } else {
            let write_at = (!is_written).then_some(self.write_at);
            let election_at = has_to_move.then_some(self.election_at);
            let due = write_at
                .into_iter()
                .chain(election_at)
                .fold(self.renew_at, Instant::min);
            tokio::select! {
                _ = standing.changed() => {}
                _ = pictures.changed() => {}
                () = self.shared.found_full.notified() => self.is_full = true,
                () = sleep_until(due) => {}
            }
        }
        Some(())
    }

    /// Returns true if no other instance lives.
    fn is_alone(&self, picture: &Picture) -> bool {
        let mut ids = picture.view.instances.keys();
        picture.known == Known::Read && ids.all(|id| **id == *self.id)
    }

    /// Puts off what no one waits for, so that not all instances write at once after a change that all obey.
    fn put_off(&mut self, wanted: Option<&InstanceRecord>, now: Instant) {
        self.is_put_off = true;
        let view = self.shared.view();
        let known = view.instances.get(&*self.id).map(|known| &*known.value);
        // Under this lease, the first comes at once: another process may have written what is there.
        if self.written.is_some()
            && let Some((known, wanted)) = known.zip(wanted)
            && (&known.canary, known.healthy, &known.errors)
                == (&wanted.canary, wanted.healthy, &wanted.errors)
        {
            let after = report_after(view.instances.len(), &self.id);
            self.write_at = self.write_at.max(now + after);
        }
    }

    /// The process that has written this instance's key since this one did: it has a copy of the state directory.
    fn double(&self, picture: &Picture, own: Option<&InstanceRecord>) -> Option<Arc<InstanceRecord>> {
        let (_, written) = self.written.as_ref()?;
        let known = picture.view.instances.get(&*self.id)?;
        let process = |record: &InstanceRecord| (record.host.clone(), record.pid, record.started);
        let is_other = process(&known.value) != process(own?);
        (is_other && known.modified.0 > written.0).then(|| Arc::clone(&known.value))
    }

    /// Leaves the id to another process.
    async fn give_way(&self, other: &InstanceRecord) {
        let fresh = self.shared.take_fresh_id();
        let pid = other.pid.map(|pid| format!("process {pid}"));
        let host = other.host.as_ref().map(|host| format!("on {host}"));
        let other: Vec<String> = pid.into_iter().chain(host).collect();
        log::warn(format_args!(
            "another process has the id {} ({}), as with a copy of a state directory: this instance is {fresh} from now on",
            self.id,
            other.join(" ")
        ));
        // The candidacy ends with it; the key is under the lease of the other one. If etcd does not answer, it ends by itself.
        let _ = self.client.revoke(self.lease).await;
    }

    /// Notices keys that were deleted.
    fn look(&mut self, picture: &Picture) {
        if picture.known != Known::Read {
            return;
        }
        let view = &picture.view;
        if let Some((_, at)) = &self.written
            && view.at >= StoreRevision(at.0)
            && !view.instances.contains_key(&*self.id)
        {
            self.written = None;
        }
        if let Some(candidate) = &self.candidate
            && view.at >= candidate.created
            && !view
                .candidates
                .contains_key(&(candidate.created, candidate.key.clone()))
        {
            self.candidate = None;
            self.show();
        }
    }

    async fn renew(&mut self) -> Option<()> {
        let began = Instant::now();
        match self.renewals.renew().await {
            Ok(ttl) => {
                self.until = began + ttl;
                self.renew_at = began + ttl / 3;
                self.show();
            }
            Err(Error::LeaseNotFound { .. }) => return None,
            Err(_) => self.renew_at = Instant::now() + retry_after(0, &self.id),
        }
        Some(())
    }

    /// Writes the instance's key.
    async fn write(&mut self, value: Vec<u8>) -> Option<()> {
        let key = self.shared.prefix.encode(&Key::Instance(self.id.to_string()));
        let put = Put::new(key, &*value).with_lease(self.lease);
        let written = self.client.put(&put).await;
        let instances = u32::try_from(self.shared.view().instances.len()).unwrap_or(u32::MAX);
        let pause = PAUSE + PAUSE_PER_INSTANCE.saturating_mul(instances);
        let written = self.judge(Attached::Instance, pause, written)?;
        self.is_put_off = false;
        if written.is_some() {
            self.is_full = false;
        }
        self.written = written.map(|written| (value, written.revision));
        Some(())
    }

    /// Enters the election.
    async fn enter(&mut self) -> Option<()> {
        let entered = self.election.enter(self.lease, self.id.as_bytes()).await;
        self.candidacy = self.judge(Attached::Candidate, Duration::ZERO, entered)?;
        self.candidate = self.candidacy.as_ref().map(|candidacy| Candidate {
            key: String::from_utf8_lossy(candidacy.key()).into_owned(),
            created: StoreRevision(candidacy.created().0),
        });
        self.show();
        Some(())
    }

    /// Leaves the election.
    async fn resign(&mut self) -> Option<()> {
        if let Some(candidacy) = &self.candidacy {
            let resigned = self.election.resign(candidacy).await;
            // After an unknown outcome, the next view shows it.
            if self
                .judge(Attached::Candidate, Duration::ZERO, resigned)?
                .is_none()
            {
                return Some(());
            }
            log::info(format_args!(
                "instance {} leaves the lead to those that obey the config",
                self.id
            ));
        }
        self.candidate = None;
        self.show();
        Some(())
    }

    /// Notes what became of a call. The next one may be made after `pause`. Returns `None` if the lease has ended.
    fn judge<T>(
        &mut self,
        attached: Attached,
        pause: Duration,
        result: Result<T, Error>,
    ) -> Option<Option<T>> {
        let refused = &mut self.refused[attached as usize];
        let (done, pause) = match result {
            Ok(done) => {
                *refused = None;
                (Some(done), pause)
            }
            Err(Error::LeaseNotFound { .. }) => return None,
            // That etcd is away is said elsewhere.
            Err(Error::Unavailable { .. } | Error::OutcomeUnknown { .. }) => (None, retry_after(0, &self.id)),
            Err(error) => {
                self.is_full |= matches!(error, Error::NoSpace);
                let why = format!("etcd: {error}");
                if refused.as_ref() != Some(&why) {
                    log::warn(&why);
                }
                *refused = Some(why);
                (None, LEASE / 2)
            }
        };
        let due = match attached {
            Attached::Instance => &mut self.write_at,
            Attached::Candidate => &mut self.election_at,
        };
        *due = Instant::now() + pause;
        self.show();
        Some(done)
    }

    fn show(&self) {
        self.shared.presence.send_replace(Presence {
            candidacy: self.candidate.clone().map(|candidate| (candidate, self.until)),
            troubles: self.refused.iter().flatten().cloned().collect(),
        });
    }
}
