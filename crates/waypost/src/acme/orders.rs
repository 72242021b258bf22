//! The certificates that are ordered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::AbortHandle;
use waypost_admin::state::AppState;
use waypost_plan::Plan;
use waypost_plan::acme::Acme;
use waypost_plan::listener::ListenerTls;

use super::accounts::Accounts;
use super::clock::{Clock, Hands};
use super::common::Common;
use super::entry::Entry;
use super::issued::Issued;
use super::name::CertificateName;
use super::record::PairRecord;
use super::sealed;
use super::store::Store;
use super::sweep::{self, Wanted};
use super::taken::Taken;
use super::task::Task;
use crate::certificates::acme_files::AcmeFiles;
use crate::checksummed::Damaged;
use crate::fleet::Secret;

/// The orders under way at once; further ones wait.
pub(crate) const AT_ONCE_MAX: usize = 8;

/// All orders: a task for each certificate that the config in force wants.
pub(crate) struct Orders {
    common: Arc<Common>,
    hands: Hands,
    /// True while this process is the one that orders.
    allowed: watch::Sender<bool>,
    tasks: BTreeMap<CertificateName, Kept>,
    /// The names of the tasks.
    wanted: watch::Sender<Wanted>,
    /// Deletes what is wanted no more.
    sweep: AbortHandle,
}

struct Kept {
    wanted: (Arc<Acme>, AcmeFiles),
    entry: Entry,
    task: AbortHandle,
}

impl Drop for Orders {
    fn drop(&mut self) {
        self.sweep.abort();
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Orders {
    /// Orders whose certificates are put into `issued`. None is begun before [`Orders::follow`], and [`Orders::allow`].
    pub(crate) fn new(store: Store, issued: Issued, shared: Arc<AppState>) -> Self {
        let (hands, clock) = Clock::new();
        let (allowed, is_allowed) = watch::channel(false);
        let common = Common {
            store,
            issued,
            shared,
            clock,
            is_allowed,
            has_clear_listener: AtomicBool::new(false),
            pace: Mutex::default(),
            ended: Notify::new(),
            slots: Semaphore::new(AT_ONCE_MAX),
            accounts: Accounts::default(),
        };
        let common = Arc::new(common);
        let (wanted, is_wanted) = watch::channel(None);
        let sweep = tokio::spawn(sweep::run(Arc::clone(&common), is_wanted)).abort_handle();
        Self {
            common,
            hands,
            allowed,
            tasks: BTreeMap::new(),
            wanted,
            sweep,
        }
    }

    /// Takes over what was kept before. Returns the files that are damaged, which are set aside if this process `owns` the
    /// state.
    pub(crate) async fn recall(&self, owns: bool) -> Vec<Damaged> {
        let stored = self.common.store.load(owns).await;
        self.serve(&stored.pairs);
        for orders in &stored.orders {
            if let Some(last) = orders.last {
                self.common.pace().note(&orders.hosts, last.as_second());
            }
        }
        stored.damaged
    }

    /// Takes over what the leader of a fleet has ordered anew, beside what is taken over already.
    pub(crate) fn take_over(&self, secrets: &BTreeMap<String, Secret>, taken: &mut Taken) {
        let stored = sealed::stored(secrets, taken);
        self.serve(&stored.pairs);
    }

    /// Serves certificates that were issued, by orders of before or of another process.
    fn serve(&self, pairs: &[PairRecord]) {
        for pair in pairs {
            // One that could not be kept is newer.
            let own = self.common.issued.own(&pair.directory, &pair.hosts);
            let is_older = |began| {
                pair.identity()
                    .is_ok_and(|identity| identity.not_before() < began)
            };
            if own.is_some_and(|own| is_older(own.not_before)) {
                continue;
            }
            self.common.issued.set(&pair.directory, &pair.hosts, pair.pair());
        }
    }

    /// Orders what `wanted` says from now on, for a config with this plan, and nothing else.
    pub(crate) fn follow(&mut self, plan: &Plan, wanted: &[(Arc<Acme>, AcmeFiles)]) {
        let is_clear = plan
            .listeners()
            .iter()
            .any(|listener| listener.tls == ListenerTls::Off);
        self.common.has_clear_listener.store(is_clear, Ordering::Relaxed);
        // Of those that differ in the account only, the last one is ordered, for all.
        let by_name = wanted
            .iter()
            .map(|wanted| (CertificateName::of(&wanted.0), wanted));
        let by_name: BTreeMap<CertificateName, &(Arc<Acme>, AcmeFiles)> = by_name.collect();
        self.tasks.retain(|name, kept| {
            let stays = by_name.get(name) == Some(&&kept.wanted);
            match by_name.contains_key(name) {
                true if stays => {}
                true => kept.entry.close(),
                false => kept.entry.remove(),
            }
            stays
        });
        for (name, wanted) in by_name {
            if self.tasks.contains_key(&name) {
                continue;
            }
            let wanted = wanted.clone();
            let (acme, files) = wanted.clone();
            let entry = Entry::new(&name, Arc::clone(&self.common.shared));
            let task = Task::new(name.clone(), acme, files, entry.clone(), Arc::clone(&self.common));
            // The status has it at once.
            task.announce();
            let task = tokio::spawn(task.run()).abort_handle();
            self.tasks.insert(name, Kept { wanted, entry, task });
        }
        let names = self.tasks.keys().cloned().collect();
        self.wanted.send_if_modified(|wanted| {
            let names = Some(names);
            let is_new = *wanted != names;
            *wanted = names;
            is_new
        });
    }

    /// Sets whether this process is the one that orders: it has the state, or leads the fleet. Orders under way are given up
    /// otherwise.
    pub(crate) fn allow(&self, allowed: bool) {
        self.allowed.send_if_modified(|is_allowed| {
            let is_new = *is_allowed != allowed;
            *is_allowed = allowed;
            is_new
        });
    }

    /// Turns the clock by which orders go, for tests.
    pub(crate) fn turn_test_clock(&self, seconds: u64, now: Option<Timestamp>) {
        self.hands.turn(seconds, now);
    }
}
