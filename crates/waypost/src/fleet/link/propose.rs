//! Proposals: an intent becomes transactions against the view of this instance, and they are carried out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_lc_rs::rand;
use tokio::time::{Instant, timeout, timeout_at};
use waypost_etcd::client::Client;
use waypost_etcd::error::Error;
use waypost_etcd::key::KeyRange;
use waypost_etcd::kv::range::{Order, OrderBy, Range};
use waypost_etcd::kv::txn::{Compare, Operand, Relation, Txn, TxnResponse};
use waypost_etcd::kv::write::{Delete, Put};
use waypost_etcd::revision::{CreateRevision, ModRevision};
use waypost_fleet::proposal::{Intent, Outcome, Proposal};
use waypost_fleet::record::WriteId;
use waypost_fleet::store::{self, StoreRevision, Transaction, Write};
use waypost_fleet::view::{Fence, View};

use super::{Fleet, Shared, outcome};
use crate::fleet::{Known, ProposeError, Proposed};

/// The deadline of the question if a majority of etcd is there.
const QUORUM: Duration = Duration::from_secs(3);

/// The times in which the view gets to have what etcd has acknowledged. After each, all keys are read again.
const CATCH_UP: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// The deadline of a whole proposal, with all its calls: the control does nothing else meanwhile.
const WHOLE: Duration = Duration::from_secs(10);

/// The deadline of one write.
const WRITE: Duration = Duration::from_secs(5);

/// A proposal that waited so long for nothing lets those behind it fail at once.
const STANDSTILL: Duration = Duration::from_secs(1);

/// The number of times that a proposal is planned, where nothing was in its way that matters to it.
const PLANS: usize = 3;

impl Fleet {
    /// Carries out an intent, if everything that it rests on is still as in the view that the caller obeys.
    ///
    /// It goes on if the caller gives up, so that no outcome remains unknown without being told.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub(crate) async fn propose(&self, obeyed: &Arc<View>, intent: Intent) -> Result<Proposed, ProposeError> {
        let shared = Arc::clone(&self.shared);
        let obeyed = Arc::clone(obeyed);
        let write =
            WriteId::new(&id()).ok_or_else(|| ProposeError::Refused("no id can be made".to_owned()))?;
        let began = Instant::now();
        if shared.stands_still.load(Ordering::Relaxed) {
            return Err(ProposeError::Away("it did not answer a moment ago".to_owned()));
        }
        let asked = Arc::clone(&shared);
        let until = began + WHOLE;
        let done = tokio::spawn(async move { propose(&asked, obeyed, &intent, &write, until).await }).await;
        let done = done.unwrap_or_else(|_| Err(ProposeError::Away("this instance is stopping".to_owned())));
        if done.as_ref().is_err_and(|error| !error.is_about_the_change()) {
            let stands_still = began.elapsed() >= STANDSTILL;
            shared.stands_still.store(stands_still, Ordering::Relaxed);
        }
        done
    }

    /// The right to write of the instance that leads, as soon as there is one.
    ///
    /// # Errors
    /// There is none for all this time.
    pub(crate) async fn leader(&self, patience: Duration) -> Result<Fence, ProposeError> {
        let view = self.shared.led_view(patience).await?;
        let leader = view.leader().map(|leader| leader.fence);
        leader.ok_or_else(|| ProposeError::NoLeader(String::new()))
    }

    /// Begins a turn of the control. It may have a hundred proposals, one after the other, and does nothing else meanwhile: once
    /// one of them has waited for nothing, the others fail at once.
    pub(crate) fn begin_turn(&self) {
        self.shared.stands_still.store(false, Ordering::Relaxed);
    }

    /// Returns true if this instance leads, as far as it can know. What it writes is fenced all the same.
    pub(crate) fn is_leader(&self) -> bool {
        self.fence().is_some()
    }

    /// The right of this instance to write as the leader; `None` unless it leads and its lease certainly holds.
    pub(crate) fn fence(&self) -> Option<Fence> {
        self.shared.fence()
    }
}

impl Shared {
    /// A view with a leader, as soon as there is one.
    ///
    /// # Errors
    /// There is none for all this time.
    pub(super) async fn led_view(&self, patience: Duration) -> Result<Arc<View>, ProposeError> {
        let mut pictures = self.picture.subscribe();
        let there = pictures.wait_for(|picture| picture.view.leader().is_some());
        if let Ok(Ok(picture)) = timeout(patience, there).await {
            return Ok(Arc::clone(&picture.view));
        }
        // Who may not write its key in etcd cannot lead.
        let troubles = self.presence.borrow().troubles.join("; ");
        Err(ProposeError::NoLeader(match troubles.is_empty() {
            true => "; try again in some seconds".to_owned(),
            false => format!(": {troubles}"),
        }))
    }

    pub(super) fn fence(&self) -> Option<Fence> {
        let (candidate, until) = self.presence.borrow().candidacy.clone()?;
        let picture = self.picture.borrow().clone();
        let holds = picture.known == Known::Read && Instant::now() < until;
        let fence = picture.view.fence_of(&self.id(), &candidate.key)?;
        (holds && fence.created == candidate.created).then_some(fence)
    }

    /// Waits until the view is at least of this revision; `None` if it takes too long.
    async fn view_of(&self, revision: StoreRevision, until: Instant) -> Option<Arc<View>> {
        let mut pictures = self.picture.subscribe();
        for patience in CATCH_UP {
            let there =
                pictures.wait_for(|picture| picture.known == Known::Read && picture.view.at >= revision);
            // The sender lives as long as `self`.
            if let Ok(Ok(picture)) = timeout_at(until.min(Instant::now() + patience), there).await {
                return Some(Arc::clone(&picture.view));
            }
            // The member that sends the changes is behind.
            self.behind.notify_one();
        }
        None
    }
}

pub(super) async fn propose(
    shared: &Arc<Shared>,
    obeyed: Arc<View>,
    intent: &Intent,
    write: &WriteId,
    until: Instant,
) -> Result<Proposed, ProposeError> {
    let proposed = plan_and_carry_out(shared, obeyed, intent, write, until).await;
    if let Err(ProposeError::Full) = proposed {
        shared.found_full.notify_one();
    }
    proposed
}

async fn plan_and_carry_out(
    shared: &Arc<Shared>,
    obeyed: Arc<View>,
    intent: &Intent,
    write: &WriteId,
    until: Instant,
) -> Result<Proposed, ProposeError> {
    ask_majority(shared).await?;
    let mut view = obeyed;
    for _ in 0..PLANS {
        let proposal = intent
            .clone()
            .plan(&view, write)
            .map_err(ProposeError::Senseless)?;
        view = match carry_out(shared, &proposal, until).await? {
            Done::InForce(view) => {
                return Ok(Proposed {
                    view,
                    number: proposal.number,
                    write: write.clone(),
                });
            }
            // Everything else is as in the view that is obeyed.
            Done::Conflict(newer) if proposal.may_be_planned_again(&view, &newer) => newer,
            Done::Conflict(view) => return Err(ProposeError::Conflict(view)),
        };
    }
    Err(ProposeError::Conflict(view))
}

/// Asks a majority of etcd, so that nothing is proposed that is then answered by "etcd is away".
async fn ask_majority(shared: &Shared) -> Result<(), ProposeError> {
    let picture = shared.picture.borrow().clone();
    if let Some(refusal) = picture.availability.refusal() {
        return Err(refusal);
    }
    let question = Range {
        count_only: true,
        ..Range::new(shared.keys())
    };
    let asked = shared.client.with_deadline(QUORUM).range(&question).await;
    asked.map(drop).map_err(|error| found_away(shared, error))
}

/// The error of a call that has changed nothing. Where it found etcd away, that is so for all from now on, until etcd is read again.
fn found_away(shared: &Shared, error: Error) -> ProposeError {
    if let Error::Unavailable { .. } | Error::Unauthenticated { .. } = error {
        // Else all is being read again already.
        if shared.away(&error) {
            shared.behind.notify_one();
        }
    }
    match error {
        Error::Unavailable { reason } => ProposeError::Away(reason),
        error => refused(error),
    }
}

/// A proposal that was carried out, or was not.
enum Done {
    /// It was, and the view has it.
    InForce(Arc<View>),
    /// Another writer was first, and the view has what they did.
    Conflict(Arc<View>),
}

async fn carry_out(shared: &Arc<Shared>, proposal: &Proposal, until: Instant) -> Result<Done, ProposeError> {
    for part in &proposal.parts {
        // Nothing refers to it yet, so it does not matter if it is there.
        let written = writer(shared, until)?.txn(&txn(part)).await;
        written.map_err(|error| match error {
            Error::OutcomeUnknown { reason } => ProposeError::Away(reason),
            error => found_away(shared, error),
        })?;
    }
    let response = match writer(shared, until)?.txn(&txn(&proposal.main)).await {
        Ok(response) => response,
        Err(Error::OutcomeUnknown { reason }) => {
            // It is found out at once if etcd is there.
            shared.behind.notify_one();
            return Err(unknown(shared, proposal, reason));
        }
        Err(Error::NoSpace) => return after_no_space(shared, proposal, until).await,
        Err(error) => return Err(found_away(shared, error)),
    };
    if response.succeeded {
        return match shared.view_of(StoreRevision(response.revision.0), until).await {
            Some(view) => Ok(Done::InForce(view)),
            None => Err(ProposeError::Late {
                id: proposal.write.to_string(),
            }),
        };
    }
    // Those who were first are to be seen in the answer.
    let newest = newest(&response);
    let view = match shared.view_of(newest, until).await {
        Some(view) => view,
        None => shared.view(),
    };
    Ok(Done::Conflict(view))
}

/// The outcome of a proposal that etcd has answered by being full: it says so of the last write that it carries out, too.
async fn after_no_space(
    shared: &Arc<Shared>,
    proposal: &Proposal,
    until: Instant,
) -> Result<Done, ProposeError> {
    let Ok(Some(view)) = timeout_at(until, outcome::fresh_view(shared)).await else {
        return Err(unknown(shared, proposal, Error::NoSpace.to_string()));
    };
    match proposal.outcome(&view) {
        Outcome::Done => Ok(Done::InForce(view)),
        Outcome::NotDone => Err(ProposeError::Full),
        // Nothing comes after such an answer, and all is as it was before.
        Outcome::Unclear if proposal.conflicts(&view).is_empty() => Err(ProposeError::Full),
        Outcome::Unclear => Err(unknown(shared, proposal, Error::NoSpace.to_string())),
    }
}

/// A client for one write of a proposal.
///
/// # Errors
/// Its time is over.
fn writer(shared: &Shared, until: Instant) -> Result<Client, ProposeError> {
    let left = until.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(ProposeError::Away("it takes too long to answer".to_owned())),
        false => Ok(shared.client.with_deadline(left.min(WRITE))),
    }
}

/// A transaction as etcd takes it. If it fails, it reads when the keys that it compares were changed last.
pub(super) fn txn(transaction: &Transaction) -> Txn {
    let mut txn = Txn::new();
    for compare in &transaction.compares {
        txn = match compare {
            store::Compare::Unchanged { key, at } => txn
                .when(Compare::unchanged(&**key, ModRevision(at.0)))
                .or_else(Range {
                    keys_only: true,
                    ..Range::new(KeyRange::key(&**key))
                }),
            store::Compare::Created { key, at } => {
                txn.when(Compare::created_at(&**key, CreateRevision(at.0)))
            }
            store::Compare::NothingWritten { folder, since } => txn
                .when(Compare {
                    keys: KeyRange::prefix(&**folder),
                    relation: Relation::Less,
                    operand: Operand::ModRevision(ModRevision(since.0.saturating_add(1))),
                })
                .or_else(Range {
                    keys_only: true,
                    limit: Some(1),
                    order: Some(Order {
                        by: OrderBy::ModRevision,
                        descending: true,
                    }),
                    ..Range::new(KeyRange::prefix(&**folder))
                }),
        };
    }
    for write in &transaction.writes {
        txn = match write {
            Write::Put { key, value } => txn.then(Put::new(&**key, &**value)),
            Write::Delete { key } => txn.then(Delete::new(KeyRange::key(&**key))),
        };
    }
    txn
}

/// The newest revision of the keys that a failed transaction read.
fn newest(response: &TxnResponse) -> StoreRevision {
    let places = 0..response.results.len();
    let kvs = places.flat_map(|place| response.kvs(place));
    StoreRevision(kvs.map(|kv| kv.mod_revision.0).max().unwrap_or(0))
}

/// The error of a write without an answer, which is looked up from now on.
fn unknown(shared: &Arc<Shared>, proposal: &Proposal, why: String) -> ProposeError {
    let id = proposal.write.to_string();
    outcome::look_up(shared, proposal.clone());
    ProposeError::Unknown { id, why }
}

/// The error of a call that etcd has refused.
fn refused(error: Error) -> ProposeError {
    match error {
        Error::PermissionDenied { .. } => ProposeError::Denied(error.to_string()),
        // As where it is noticed by following the changes.
        Error::Unauthenticated { .. } => ProposeError::Away(error.to_string()),
        Error::NoSpace => ProposeError::Full,
        error => ProposeError::Refused(error.to_string()),
    }
}

/// An id for a write: random digits.
pub(super) fn id() -> String {
    let mut bytes = [0_u8; 12];
    // Without random bytes, the time tells writes apart.
    if rand::fill(&mut bytes).is_err() {
        bytes[..8].copy_from_slice(&jiff::Timestamp::now().as_microsecond().to_be_bytes());
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
