//! Writes without an answer: once etcd is back, it is looked if they are there, and that is told.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use waypost_admin::events::EventKind;
use waypost_etcd::kv::range::Range;
use waypost_fleet::proposal::{Outcome, Proposal};
use waypost_fleet::store::Write;
use waypost_fleet::view::View;

use super::Shared;
use crate::fleet::{Availability, Known};
use crate::log;

/// The time after which etcd carries out nothing that it was sent before: its own deadline of requests, with two elections.
const LATE: Duration = Duration::from_secs(7);

/// The wait before looking again.
const RETRY: Duration = Duration::from_millis(250);

/// The keys that a text names at most.
const KEYS_NAMED: usize = 3;

/// Looks for a write, and tells if it is there.
pub(super) fn look_up(shared: &Arc<Shared>, proposal: Proposal) {
    tokio::spawn(settle(Arc::clone(shared), proposal, Instant::now() + LATE));
}

async fn settle(shared: Arc<Shared>, proposal: Proposal, late: Instant) {
    let outcome = loop {
        let is_late = Instant::now() >= late;
        match fresh_view(&shared).await.map(|view| proposal.outcome(&view)) {
            Some(Outcome::Done) => break Outcome::Done,
            // It may still come.
            Some(outcome) if is_late => break outcome,
            _ => sleep(RETRY).await,
        }
    };
    let what = words(&proposal);
    let (carried_out, told) = match outcome {
        Outcome::Done => (Some(true), "it was carried out"),
        Outcome::NotDone => (Some(false), "it was not carried out"),
        Outcome::Unclear => (
            None,
            "others may have changed the same since, so it is not known if it was",
        ),
    };
    let write = proposal.write.to_string();
    log::info(format_args!(
        "etcd had not answered to write {write}, {what}: {told}"
    ));
    shared.publish(EventKind::FleetOutcome {
        write,
        what,
        carried_out,
    });
}

/// A view that is as new as this call; `None` while etcd is away.
pub(super) async fn fresh_view(shared: &Shared) -> Option<Arc<View>> {
    let picture = shared.picture.borrow().clone();
    if picture.availability != Availability::Available || picture.known != Known::Read {
        return None;
    }
    let question = Range {
        keys_only: true,
        ..Range::new(shared.keys())
    };
    let read = shared.client.range(&question).await.ok()?;
    let newest = read.kvs.iter().map(|kv| kv.mod_revision.0).max().unwrap_or(0);
    let mut pictures = shared.picture.subscribe();
    let there = pictures.wait_for(|picture| picture.view.at.0 >= newest);
    let picture = timeout(LATE, there).await.ok()?.ok()?;
    Some(Arc::clone(&picture.view))
}

/// The change in words.
fn words(proposal: &Proposal) -> String {
    if let Some(number) = proposal.number {
        return format!("revision {number}");
    }
    let keys = proposal.main.writes.iter().map(Write::key);
    let named: Vec<&str> = keys.take(KEYS_NAMED).collect();
    let more = proposal.main.writes.len() - named.len();
    match more {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
