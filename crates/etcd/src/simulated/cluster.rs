//! The state that the members of the simulated cluster share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::fault::Faults;
use super::lessor::Lessor;
use super::store::Store;
use super::users::Users;
use crate::messages::ResponseHeader;

/// A member's condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// It works.
    Up,
    /// Its process is gone: connections break, and new ones are closed at once.
    Away,
    /// Its process stands still: connections stay open, and nothing is answered.
    Frozen,
    /// It is cut off from the others: clients reach it, and it has no leader.
    Partitioned,
}

/// The cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    state: Mutex<State>,
    /// Counts changes of the store, of members and of faults, so that streams look again.
    changed: watch::Sender<u64>,
}

/// The changing parts of a cluster.
#[derive(Debug)]
pub(super) struct State {
    pub(super) id: u64,
    pub(super) store: Store,
    pub(super) lessor: Lessor,
    pub(super) users: Users,
    pub(super) faults: Faults,
    pub(super) now: Duration,
    pub(super) members: Vec<Member>,
    /// The largest proposal.
    pub(super) request_bytes_max: usize,
    /// The size at which responses of watches are cut into fragments.
    pub(super) fragment_bytes: usize,
    /// The number of times that each watch that asked for it was to report its progress.
    pub(super) progress_reports: u64,
    /// Calls that were carried out, as paths.
    pub(super) calls: Vec<&'static str>,
}

/// A member.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) condition: Condition,
    /// Revisions that it says to be behind.
    pub(super) behind: i64,
    /// Raised to break its connections.
    pub(super) breaks: u64,
}

impl Cluster {
    pub(super) fn new(members: usize) -> Arc<Self> {
        let member = || Member {
            condition: Condition::Up,
            behind: 0,
            breaks: 0,
        };
        Arc::new(Self {
            state: Mutex::new(State {
                id: 0x5eed,
                store: Store::new(),
                lessor: Lessor::default(),
                users: Users::default(),
                faults: Faults::default(),
                now: Duration::ZERO,
                members: (0..members).map(|_| member()).collect(),
                request_bytes_max: 3 << 19,
                fragment_bytes: 2 << 20,
                progress_reports: 0,
                calls: Vec::new(),
            }),
            changed: watch::Sender::new(0),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes those who wait for changes.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.send_modify(|count| *count += 1);
        result
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Waits until the state is as wanted.
    pub(super) async fn wait_for(&self, mut is_so: impl FnMut(&State) -> bool) {
        let mut changes = self.changes();
        // It fails if the sender is gone, and this is the sender.
        let _ = changes.wait_for(|_| is_so(&self.lock())).await;
    }
}

impl State {
    /// The header of a member's responses.
    pub(super) fn header(&self, member: usize) -> Option<ResponseHeader> {
        Some(ResponseHeader {
            cluster_id: self.id,
            member_id: member_id(member),
            revision: self.store.revision(),
            raft_term: 2,
        })
    }

    /// Returns true if a member has a leader: it and a majority work.
    pub(super) fn has_leader(&self, member: usize) -> bool {
        let is_up = |member: &Member| member.condition == Condition::Up;
        let up = self.members.iter().filter(|member| is_up(member)).count();
        self.members.get(member).is_some_and(is_up) && up > self.members.len() / 2
    }

    pub(super) fn condition(&self, member: usize) -> Condition {
        self.members
            .get(member)
            .map_or(Condition::Away, |member| member.condition)
    }

    pub(super) fn breaks(&self, member: usize) -> u64 {
        self.members.get(member).map_or(0, |member| member.breaks)
    }

    /// Moves the clock; leases whose time is over end, with their keys.
    pub(super) fn advance(&mut self, by: Duration) {
        self.now += by;
        for lease in self.lessor.ended(self.now) {
            let keys = self.store.attached(lease);
            self.store.delete_keys(keys);
        }
    }
}

/// The number of a member; 0 is none.
pub(super) fn member_id(member: usize) -> u64 {
    u64::try_from(member).unwrap_or(u64::MAX).saturating_add(1)
}
