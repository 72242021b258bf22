//! The fleet in etcd: what the tasks share, and the handle.
//!
//! [`follow`] reads and watches, [`presence`] keeps the lease with the instance's key and its candidacy, [`propose`] writes,
//! [`certificates`] seals and opens what the leader orders, [`counts`] asks the other instances what they have counted, [`ledger`] keeps figures of those that may be lost, [`sweep`]
//! deletes what is old or has ended, [`outcome`] looks up writes without an answer, [`cache`] keeps the view for a start without
//! etcd, [`look`] and [`canary`] make the picture that the admin API shows.

mod cache;
mod canary;
mod certificates;
mod counts;
mod follow;
mod identity;
mod ledger;
mod look;
mod others;
mod outcome;
mod pass_on;
mod presence;
mod propose;
mod sweep;
#[cfg(test)]
pub(super) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use waypost_admin::events::{EventKind, Events};
use waypost_admin::state::AppState;
use waypost_etcd::client::Client;
use waypost_etcd::error::Error;
use waypost_etcd::key::KeyRange;
use waypost_etcd::options::Options;
use waypost_etcd::revision::LeaseId;
use waypost_fleet::key::{Folder, Prefix};
use waypost_fleet::proposal::State;
use waypost_fleet::record::WriteId;
use waypost_fleet::record::instance::InstanceRecord;
use waypost_fleet::replica::Replica;
use waypost_fleet::view::View;

use self::look::Settling;
use self::presence::Presence;
use super::seal::Seal;
use super::{Arrival, Availability, CountsWanted, Known, Round, Served};
use crate::checksummed::Damaged;
use crate::log;

/// The time that a lease gets to be ended when the gateway stops. It ends by itself too.
const LEAVE: Duration = Duration::from_secs(1);

/// The time that the last write to the state directory may take at the end.
const KEEP: Duration = Duration::from_secs(2);

/// The handle of a fleet. Its tasks end with it.
#[derive(Debug)]
pub(crate) struct Fleet {
    shared: Arc<Shared>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// The things that [`Fleet::enter`] takes.
    outside: Mutex<Option<Outside>>,
    counts: mpsc::Sender<(CountsWanted, oneshot::Sender<Round>)>,
    /// The number of the picture that [`Fleet::changed`] returned for last, and if this instance led.
    seen: Mutex<(u64, bool)>,
}

/// An instance that only looks, and is none of the fleet yet.
#[derive(Debug)]
struct Outside {
    identity: identity::Identity,
    state: Box<Path>,
    wanted: mpsc::Receiver<(CountsWanted, oneshot::Sender<Round>)>,
}

/// The state that the tasks of a fleet share.
#[derive(Debug)]
struct Shared {
    client: Client,
    /// The members of etcd, as they are shown.
    endpoints: Vec<String>,
    prefix: Prefix,
    /// The id of this instance. It is another one once a second process has the same.
    id: Mutex<Arc<str>>,
    /// The key that certificates are sealed with.
    seal: Option<Seal>,
    /// Things under `certificates/` that it does not open, in a sentence each.
    unopened: Mutex<BTreeMap<String, String>>,
    /// The state directory, while it keeps the id.
    keeps_id: Mutex<Option<PathBuf>>,
    /// The state directory, while another process has it, or it cannot be locked: nothing is kept there.
    in_use: Mutex<Option<PathBuf>>,
    /// Damaged files of the state directory, until they are taken.
    damaged: Mutex<Vec<Damaged>>,
    /// The lock of the id, once the process that had it is none of the fleet.
    inherited: Mutex<Option<File>>,
    picture: watch::Sender<Picture>,
    /// The record of this instance.
    standing: watch::Sender<Option<InstanceRecord>>,
    presence: watch::Sender<Presence>,
    /// The canaries that were under way when this process came to know of the fleet: an earlier one of this instance was chosen.
    met: Mutex<BTreeSet<WriteId>>,
    /// The lease of this instance, while there is one.
    lease: watch::Sender<Option<LeaseId>>,
    settling: Mutex<Settling>,
    /// True once a proposal of this turn of the control has waited for nothing.
    stands_still: AtomicBool,
    /// Notified when a proposal has found etcd full.
    found_full: Notify,
    /// The file with the tokens of the admin APIs, which all instances share.
    token_file: Mutex<Option<PathBuf>>,
    /// The other instances that have refused that token when they were asked last.
    refusing: Mutex<BTreeSet<String>>,
    /// The config that this instance serves, while it is good for all.
    served: watch::Sender<Option<Served>>,
    /// The things that the state directory had at the start.
    last: Last,
    /// Notified when the view lacks what etcd is known to have.
    behind: Notify,
    /// All that has ended with the config of a view, to be deleted if this instance leads.
    ended: watch::Sender<Option<(Arc<View>, State)>>,
    /// The last write of this instance to the state directory; `None` while another process writes there.
    kept: watch::Sender<Option<cache::Subject>>,
    /// Notified at the end: what is not kept yet is written at once.
    leaving: Notify,
    events: OnceLock<Events>,
}

/// The fleet before the start, as the state directory had it.
#[derive(Debug)]
struct Last {
    view: Option<Arc<View>>,
    served: Option<Served>,
    instances: usize,
}

/// The fleet as it is known.
#[derive(Debug, Clone)]
struct Picture {
    /// Counts pictures.
    number: u64,
    view: Arc<View>,
    known: Known,
    availability: Availability,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for task in lock(&self.tasks).iter() {
            task.abort();
        }
    }
}

impl Fleet {
    /// A fleet under `prefix`. A task begins to read it, and nothing is waited for. `state` is the directory that keeps what the
    /// fleet was last, and `seal` seals certificates. Until [`Fleet::enter`], this instance is none of it, and nothing is kept.
    pub(crate) fn connect(
        prefix: Prefix,
        options: Options,
        seal: Option<Seal>,
        state: &Path,
        arrival: Arrival,
    ) -> Self {
        let identity = identity::Identity::of(state, arrival);
        let kept = cache::read(&prefix, state, identity.lock.is_some());
        let damaged = identity.damaged.iter().cloned().chain(kept.damaged).collect();
        let (mut replica, known) = match kept.replica {
            Some(replica) => (replica, Known::Cached),
            None => (Replica::new(prefix.clone()), Known::Nothing),
        };
        let last = Last {
            view: (known == Known::Cached).then(|| replica.view()),
            served: kept.served.clone(),
            instances: kept.instances,
        };
        let shared = Arc::new(Shared {
            endpoints: options.endpoints.iter().map(ToString::to_string).collect(),
            client: Client::new(options),
            prefix,
            id: Mutex::new(identity.id.as_str().into()),
            seal,
            unopened: Mutex::default(),
            keeps_id: Mutex::new(identity.lock.is_some().then(|| state.to_owned())),
            in_use: Mutex::default(),
            damaged: Mutex::new(damaged),
            inherited: Mutex::default(),
            picture: watch::Sender::new(Picture {
                number: 0,
                view: replica.view(),
                known,
                availability: Availability::Away {
                    since: Timestamp::now(),
                    why: "it has not answered yet".to_owned(),
                    is_forbidden: false,
                },
            }),
            standing: watch::Sender::new(None),
            presence: watch::Sender::new(Presence::default()),
            met: Mutex::new(canary::under_way(&replica.view()).into_iter().collect()),
            lease: watch::Sender::new(None),
            settling: Mutex::default(),
            stands_still: AtomicBool::new(false),
            found_full: Notify::new(),
            token_file: Mutex::default(),
            refusing: Mutex::default(),
            served: watch::Sender::new(kept.served),
            last,
            behind: Notify::new(),
            ended: watch::Sender::new(None),
            kept: watch::Sender::new(Some(cache::Subject::default())),
            leaving: Notify::new(),
            events: OnceLock::new(),
        });
        // One question at a time.
        let (counts, wanted) = mpsc::channel(1);
        let outside = Outside {
            identity,
            state: state.into(),
            wanted,
        };
        Self {
            tasks: Mutex::new(vec![tokio::spawn(follow::follow(Arc::clone(&shared), replica))]),
            outside: Mutex::new(Some(outside)),
            shared,
            counts,
            seen: Mutex::default(),
        }
    }

    /// Becomes an instance of the fleet, and keeps what it is in the state directory.
    pub(crate) fn enter(&self) {
        let Some(outside) = lock(&self.outside).take() else {
            return;
        };
        let Outside {
            identity,
            state,
            wanted,
        } = outside;
        let shared = || Arc::clone(&self.shared);
        let predecessor = identity.is_inherited.then(|| state.clone());
        if identity.lock.is_none() && !identity.is_inherited {
            self.shared.finds_in_use(&state);
        }
        lock(&self.tasks).extend([
            tokio::spawn(counts::keep(shared(), wanted)),
            tokio::spawn(presence::keep(shared(), predecessor)),
            tokio::spawn(sweep::keep(shared())),
            tokio::spawn(cache::keep(shared(), state, identity)),
        ]);
    }

    /// Waits until etcd has been read, or cannot be for now; at most for `patience`. Returns the origin of the view.
    pub(crate) async fn ready(&self, patience: Duration) -> Known {
        let mut pictures = self.shared.picture.subscribe();
        let settled = pictures.wait_for(|picture| picture.known == Known::Read || picture.number > 0);
        // The sender lives as long as `self`.
        let _ = tokio::time::timeout(patience, settled).await;
        self.known()
    }

    /// The origin of the view.
    pub(crate) fn known(&self) -> Known {
        self.shared.picture.borrow().known
    }

    /// The newest consistent view.
    pub(crate) fn view(&self) -> Arc<View> {
        self.shared.view()
    }

    /// The view that the state directory had at the start, if there was a config in it.
    pub(crate) fn last_view(&self) -> Option<&Arc<View>> {
        self.shared.last.view.as_ref()
    }

    /// Takes the damaged files of the state directory, which were named in the log.
    pub(crate) fn take_damaged(&self) -> Vec<Damaged> {
        std::mem::take(&mut lock(&self.shared.damaged))
    }

    /// Adds damaged files of a directory that was looked at before.
    pub(crate) fn add_damaged(&self, damaged: Vec<Damaged>) {
        lock(&self.shared.damaged).extend(damaged);
    }

    /// The config that this instance served before its start, if the state directory had it.
    pub(crate) fn last_served(&self) -> Option<&Served> {
        self.shared.last.served.as_ref()
    }

    /// Notes the config that this instance serves: the state directory keeps it.
    pub(crate) fn serves(&self, served: Served) {
        self.shared.served.send_if_modified(|known| {
            let is_other = known.as_ref() != Some(&served);
            *known = Some(served);
            is_other
        });
    }

    /// The number of instances that live in a view, this one among them. Before etcd was asked, it is that of last time.
    pub(crate) fn live(&self, view: &View) -> u32 {
        let live = match self.known() {
            Known::Read => view.instances.len() + usize::from(!view.instances.contains_key(&*self.id())),
            Known::Cached | Known::Nothing => self.shared.last.instances.max(1),
        };
        u32::try_from(live).unwrap_or(u32::MAX)
    }

    /// Returns when the view is another one than at the last call, or whether etcd can be asked, or this instance leads.
    /// Cancel safe.
    pub(crate) async fn changed(&self) {
        let mut pictures = self.shared.picture.subscribe();
        let mut presence = self.shared.presence.subscribe();
        loop {
            let number = pictures.borrow_and_update().number;
            let lease_over = presence
                .borrow_and_update()
                .candidacy
                .as_ref()
                .map(|(_, until)| *until);
            let now = (number, self.is_leader());
            if std::mem::replace(&mut *lock(&self.seen), now) != now {
                return;
            }
            // Who does not lead waits for no end of a lease.
            let lease_over = lease_over.filter(|_| now.1);
            tokio::select! {
                // The senders live as long as `self`.
                _ = pictures.changed() => {}
                _ = presence.changed() => {}
                () = sleep_until(lease_over.unwrap_or_else(Instant::now)), if lease_over.is_some() => {}
            }
        }
    }

    /// Returns if etcd can be asked.
    pub(crate) fn availability(&self) -> Availability {
        self.shared.picture.borrow().availability.clone()
    }

    /// The id of this instance.
    pub(crate) fn id(&self) -> Arc<str> {
        self.shared.id()
    }

    /// Returns true if a canary was under way before this process was.
    pub(crate) fn has_met(&self, canary: &WriteId) -> bool {
        lock(&self.shared.met).contains(canary)
    }

    /// The prefix of the fleet's keys.
    pub(crate) fn prefix(&self) -> &Prefix {
        &self.shared.prefix
    }

    /// Things that etcd forbids this instance, and keys in it that make no sense, in a sentence each.
    #[cfg(test)]
    fn troubles(&self) -> Vec<String> {
        self.shared.troubles(&self.shared.picture.borrow().clone())
    }

    /// Says what this instance does, for the others to see.
    pub(crate) fn report(&self, own: InstanceRecord) {
        self.shared.standing.send_if_modified(|standing| {
            let is_other = standing.as_ref() != Some(&own);
            *standing = Some(own);
            is_other
        });
    }

    /// Shows the fleet in the admin API, with its events, from now on.
    pub(crate) fn show_in(&self, app: &Arc<AppState>) {
        // A gateway has one admin API.
        let _ = self.shared.events.set(app.events.clone());
        let shared = Arc::clone(&self.shared);
        let (named, asking) = (Arc::clone(&self.shared), Arc::clone(&self.shared));
        let leading = Arc::clone(&self.shared);
        app.set_fleet(
            move || named.id(),
            move || leading.fence().is_some(),
            move || shared.look(),
            move |question| others::ask(&asking, question),
        );
        tokio::spawn(ledger::keep(Arc::downgrade(&self.shared), Arc::downgrade(app)));
    }

    /// Asks the other instances for what they have counted since they were asked before. Without an answer it was asked again
    /// too soon.
    pub(crate) fn ask_for_counts(&self, wanted: CountsWanted) -> oneshot::Receiver<Round> {
        let (reply, round) = oneshot::channel();
        // A full queue drops the reply.
        let _ = self.counts.try_send((wanted, reply));
        round
    }

    /// Sets the file with the tokens of the admin APIs, which all instances share.
    pub(crate) fn set_token_file(&self, file: Option<PathBuf>) {
        let is_same = {
            let mut known = lock(&self.shared.token_file);
            let is_same = *known == file;
            *known = file;
            is_same
        };
        // What was refused so far was another token, or none, as at a start.
        if !is_same {
            lock(&self.shared.refusing).clear();
        }
    }

    /// Deletes, in its time and while this instance leads, what has ended with the config of a view.
    pub(crate) fn sweep(&self, view: Arc<View>, ended: State) {
        self.shared.ended.send_replace(Some((view, ended)));
    }

    /// Leaves the fleet: the lease ends, and with it the instance's key and its candidacy. Nothing follows the fleet from now on.
    pub(crate) async fn leave(&self) {
        if let Some(subject) = cache::subject(&self.shared) {
            let mut kept = self.shared.kept.subscribe();
            self.shared.leaving.notify_one();
            let is_kept = kept.wait_for(|kept| kept.as_ref().is_none_or(|kept| kept.covers(&subject)));
            // A directory that cannot be written is told already.
            let _ = tokio::time::timeout(KEEP, is_kept).await;
        }
        for task in lock(&self.tasks).iter() {
            task.abort();
        }
        // A process that takes over waits for it.
        drop(lock(&self.shared.inherited).take());
        let lease = *self.shared.lease.borrow();
        if let Some(lease) = lease {
            // If etcd does not answer, it ends by itself.
            let _ = self.shared.client.with_deadline(LEAVE).revoke(lease).await;
        }
    }
}

impl Shared {
    fn id(&self) -> Arc<str> {
        Arc::clone(&lock(&self.id))
    }

    /// Takes another id, and has the state directory keep it.
    fn take_fresh_id(&self) -> Arc<str> {
        let id: Arc<str> = identity::fresh().into();
        if let Some(state) = &*lock(&self.keeps_id) {
            identity::keep(state, &id);
        }
        *lock(&self.id) = Arc::clone(&id);
        id
    }

    /// Notes that the state directory is not this process's.
    fn finds_in_use(&self, state: &Path) {
        let before = lock(&self.in_use).replace(state.to_owned());
        if before.is_none() {
            log::warn(self.in_use_of(state));
        }
    }

    fn in_use_of(&self, state: &Path) -> String {
        format!(
            "the state directory `{}` is in use by another process, or cannot be locked: this instance is {} until its end, and \
             a start without etcd has nothing to serve; hint: give each instance a `state` of its own",
            state.display(),
            self.id()
        )
    }

    fn view(&self) -> Arc<View> {
        Arc::clone(&self.picture.borrow().view)
    }

    /// All keys of the fleet.
    fn keys(&self) -> KeyRange {
        KeyRange::prefix(self.prefix.folder(Folder::All))
    }

    fn publish(&self, kind: EventKind) {
        if let Some(events) = self.events.get() {
            events.publish(kind);
        }
    }

    /// Publishes a view that etcd has given.
    fn show(&self, view: &Arc<View>) {
        let before = self.picture.borrow().clone();
        lock(&self.settling).note(view.rules);
        if before.known != Known::Read {
            lock(&self.met).extend(canary::under_way(view));
        }
        self.picture.send_modify(|picture| {
            picture.number += 1;
            picture.view = Arc::clone(view);
            picture.known = Known::Read;
        });
        self.available();
        if before.known == Known::Read {
            self.tell(&before.view, view);
        }
    }

    /// Tells who came, went and leads.
    fn tell(&self, before: &View, after: &View) {
        canary::tell(self, before, after);
        if !Arc::ptr_eq(&before.instances, &after.instances) {
            for id in after
                .instances
                .keys()
                .filter(|id| !before.instances.contains_key(*id))
            {
                log::info(format_args!("instance {id} has come to the fleet"));
                let instance = id.to_string();
                self.publish(EventKind::InstanceJoined { instance });
            }
            for id in before
                .instances
                .keys()
                .filter(|id| !after.instances.contains_key(*id))
            {
                log::info(format_args!("instance {id} has left the fleet"));
                let instance = id.to_string();
                self.publish(EventKind::InstanceLeft { instance });
            }
        }
        let leads = |view: &View| view.leader().map(|leader| leader.instance.to_string());
        let instance = leads(after);
        if leads(before) != instance {
            match &instance {
                Some(id) => log::info(format_args!("instance {id} leads the fleet")),
                None => log::info("no instance leads the fleet"),
            }
            self.publish(EventKind::FleetLeader { instance });
        }
    }

    /// Notes that etcd can be asked.
    fn available(&self) {
        let was_away = self.picture.send_if_modified(|picture| {
            let was_away = picture.availability != Availability::Available;
            if was_away {
                picture.number += 1;
                picture.availability = Availability::Available;
            }
            was_away
        });
        if was_away {
            log::info(format_args!("etcd is there, and has {}", self.prefix));
            self.publish(EventKind::FleetBack);
        }
    }

    /// Notes that etcd cannot be asked. Returns true if that is news.
    fn away(&self, error: &Error) -> bool {
        let why = error.to_string();
        let mut is_news = false;
        self.picture.send_if_modified(|picture| {
            let now = match &picture.availability {
                Availability::Available => Timestamp::now(),
                Availability::Away { since, .. } => *since,
            };
            let availability = Availability::Away {
                since: now,
                why: why.clone(),
                is_forbidden: matches!(error, Error::PermissionDenied { .. }),
            };
            let is_first = picture.number == 0;
            is_news = picture.availability == Availability::Available || is_first;
            let is_other = is_first || picture.availability != availability;
            if is_other {
                picture.number += 1;
                picture.availability = availability;
            }
            is_other
        });
        if is_news {
            match error {
                Error::PermissionDenied { .. } => {
                    log::warn(format_args!("etcd: {why}: nothing comes from there"));
                }
                _ => log::warn(format_args!("etcd is away: {why}")),
            }
            self.publish(EventKind::FleetAway { why });
        }
        is_news
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
