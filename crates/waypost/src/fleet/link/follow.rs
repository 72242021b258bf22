//! Following the fleet's keys: all of them are read at one revision of the store, then every change comes in.

use std::sync::Arc;
use std::time::Duration;

use waypost_etcd::error::{Error, TooLarge};
use waypost_etcd::kv::KeyValue;
use waypost_etcd::kv::range::RangeResponse;
use waypost_etcd::revision::Revision;
use waypost_etcd::watch::{Event, EventKind, Notice, Watch};
use waypost_fleet::replica::Replica;
use waypost_fleet::store::{Change, Entry, StoreRevision};

use super::{Shared, lock};

/// Keys that are read at once. A value may have a MiB, so with the last number of them any page fits a response.
const PAGES: [u32; 2] = [1000, 32];

/// The wait before reading again, after etcd refused to be read.
const RETRY: Duration = Duration::from_secs(1);

/// Failures in a row of the stream of changes from which on etcd is away: with one, another member goes on at once.
const FAILURES: u32 = 2;

/// Reads and watches, until the task is ended.
pub(super) async fn follow(shared: Arc<Shared>, mut replica: Replica) {
    loop {
        let at = match read_all(&shared).await {
            Ok(read) => {
                replica.reset(read.kvs.into_iter().map(entry), store(read.revision));
                let view = replica.view();
                lock(&shared.settling).begin(view.rules);
                shared.show(&view);
                read.revision
            }
            Err(error) => {
                shared.away(&error);
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        match watch(&shared, &mut replica, at).await {
            // What came before is there no longer, or means something else.
            Error::Compacted { .. } | Error::StoreReplaced => {}
            error => {
                shared.away(&error);
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Reads all keys as they are at one revision.
async fn read_all(shared: &Shared) -> Result<RangeResponse, Error> {
    let mut pages = PAGES.iter().copied();
    let mut page = pages.next().unwrap_or(1);
    loop {
        match shared.client.range_in_pages(&shared.keys(), page).await {
            Err(error @ Error::TooLarge(TooLarge::Response { .. })) => page = pages.next().ok_or(error)?,
            // While pages were read.
            Err(Error::Compacted { .. }) => {}
            read => return read,
        }
    }
}

/// Takes changes behind `at`. Returns why there are no more.
async fn watch(shared: &Shared, replica: &mut Replica, at: Revision) -> Error {
    let mut watches = shared.client.watches();
    watches.add(Watch::new(shared.keys(), at.next()));
    let mut failures = 0;
    while let Some(notice) = watches.next().await {
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
            Notice::Ended { error, .. } => return error,
            Notice::Broken { error } => {
                failures += 1;
                if failures >= FAILURES {
                    shared.away(&error);
                }
            }
        }
    }
    Error::Unavailable {
        reason: "the stream of changes ended".to_owned(),
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
    }
}

fn store(revision: Revision) -> StoreRevision {
    StoreRevision(revision.0)
}
