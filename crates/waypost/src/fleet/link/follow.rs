//! Following the fleet's keys: all of them are read at one revision of the store, then every change comes in.

use std::sync::Arc;
use std::time::Duration;

use waypost_etcd::client::Client;
use waypost_etcd::error::{Error, TooLarge};
use waypost_etcd::kv::KeyValue;
use waypost_etcd::kv::range::RangeResponse;
use waypost_etcd::revision::Revision;
use waypost_etcd::watch::{Event, EventKind, Notice, Watch};
use waypost_fleet::pace::retry_after;
use waypost_fleet::replica::Replica;
use waypost_fleet::store::{Change, Entry, StoreRevision};

use super::{Shared, lock};

/// Keys that are read at once. A value may have a MiB, so with the last number of them any page fits a response.
const PAGES: [u32; 2] = [1000, 32];

/// The deadline of the first reading: a start waits little longer, and is to say why nothing comes.
const FIRST: Duration = Duration::from_millis(2500);

/// Failures in a row of the stream of changes from which on etcd is away: with one, another member goes on at once.
const FAILURES: u32 = 2;

/// Reads and watches, until the task is ended.
pub(super) async fn follow(shared: Arc<Shared>, mut replica: Replica) {
    let mut failures = 0;
    let mut first = Some(shared.client.with_deadline(FIRST));
    loop {
        let client = first.take().unwrap_or_else(|| shared.client.clone());
        let at = match read_all(&shared, &client).await {
            Ok(read) => {
                failures = 0;
                replica.reset(read.kvs.into_iter().map(entry), store(read.revision));
                let view = replica.view();
                lock(&shared.settling).begin(view.rules);
                shared.show(&view);
                read.revision
            }
            Err(error) => {
                shared.away(&error);
                tokio::time::sleep(retry_after(failures, &shared.id())).await;
                failures += 1;
                continue;
            }
        };
        match watch(&shared, &mut replica, at).await {
            // What came before is there no longer, or means something else, or does not come.
            None | Some(Error::Compacted { .. } | Error::StoreReplaced) => {}
            Some(error) => {
                shared.away(&error);
                tokio::time::sleep(retry_after(failures, &shared.id())).await;
                failures += 1;
            }
        }
    }
}

/// Reads all keys as they are at one revision.
async fn read_all(shared: &Shared, client: &Client) -> Result<RangeResponse, Error> {
    let mut pages = PAGES.iter().copied();
    let mut page = pages.next().unwrap_or(1);
    loop {
        match client.range_in_pages(&shared.keys(), page).await {
            Err(error @ Error::TooLarge(TooLarge::Response { .. })) => page = pages.next().ok_or(error)?,
            // While pages were read.
            Err(Error::Compacted { .. }) => {}
            read => return read,
        }
    }
}

/// Takes changes behind `at`. Returns why there are no more; `None` if etcd has some that do not come.
async fn watch(shared: &Shared, replica: &mut Replica, at: Revision) -> Option<Error> {
    let mut watches = shared.client.watches();
    watches.add(Watch::new(shared.keys(), at.next()));
    let mut failures = 0;
    loop {
        let notice = tokio::select! {
            notice = watches.next() => notice,
            () = shared.behind.notified() => return None,
        };
        let Some(notice) = notice else {
            return Some(Error::Unavailable {
                reason: "the stream of changes ended".to_owned(),
            });
        };
        match notice {
            Notice::Started { .. } => {
                failures = 0;
                shared.available();
            }
            Notice::Changes { events, .. } => {
                take(replica, events);
                shared.show(&replica.view());
            }
            Notice::Progress { .. } => {}
            Notice::Ended { error, .. } => return Some(error),
            Notice::Broken { error } => {
                failures += 1;
                if failures >= FAILURES {
                    shared.away(&error);
                }
            }
        }
    }
}

/// Applies changes, all of one revision of the store at once.
fn take(replica: &mut Replica, events: Vec<Event>) {
    let mut events = events.into_iter().peekable();
    while let Some(first) = events.next() {
        let at = first.kv.mod_revision;
        let mut changes = vec![change(first)];
        while let Some(event) = events.next_if(|event| event.kv.mod_revision == at) {
            changes.push(change(event));
        }
        replica.apply(changes, store(at.into()));
    }
}

fn change(event: Event) -> Change {
    match event.kind {
        EventKind::Put => Change::Put(entry(event.kv)),
        EventKind::Delete => Change::Delete(event.kv.key),
    }
}

fn entry(kv: KeyValue) -> Entry {
    Entry {
        key: kv.key,
        value: kv.value,
        created: StoreRevision(kv.create_revision.0),
        modified: StoreRevision(kv.mod_revision.0),
        is_leased: kv.lease.is_some(),
    }
}

fn store(revision: Revision) -> StoreRevision {
    StoreRevision(revision.0)
}
