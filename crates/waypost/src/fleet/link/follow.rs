//! Following the fleet's keys: all of them are read at one revision of the store, then every change comes in.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use waypost_etcd::client::Client;
use waypost_etcd::error::{Error, TooLarge};
use waypost_etcd::key::KeyRange;
use waypost_etcd::kv::KeyValue;
use waypost_etcd::kv::range::{Range, RangeResponse};
use waypost_etcd::revision::{ModRevision, Revision};
use waypost_etcd::watch::{Event, EventKind, Notice, Watch};
use waypost_fleet::key::{Folder, Prefix};
use waypost_fleet::pace::retry_after;
use waypost_fleet::replica::Replica;
use waypost_fleet::store::{Change, StoreRevision};
use waypost_fleet::text::Digest;

use super::{Shared, lock};
use crate::fleet::entry;
use crate::log;

/// Keys that are read at once. A value may have a MiB, so with the last number of them any page fits a response.
const PAGES: [u32; 2] = [1000, 32];

/// The deadline of the first reading: a start waits little longer, and is to say why nothing comes.
const FIRST: Duration = Duration::from_millis(2500);

/// Failures in a row of the stream of changes from which on etcd is away: with one, another member goes on at once.
const FAILURES: u32 = 2;

/// The keys that changed last, of each kind, which are compared where a connection was broken.
const MARKS: usize = 2;

/// The end of the history that was taken.
///
/// A cluster that was restored from an older copy has another history. Its revision says so only until others have written as
/// much again.
#[derive(Debug)]
struct Marks {
    /// The beginnings of the keys of instances and candidates: they come and go by themselves.
    folders: [String; 2],
    /// The last changes of the rules, and of these.
    last: [VecDeque<(Vec<u8>, Option<Written>)>; 2],
}

/// A state of a key, as nothing else in a history is.
type Written = (ModRevision, Digest);

impl Marks {
    fn new(prefix: &Prefix) -> Self {
        Self {
            folders: [Folder::Instances, Folder::Leader].map(|folder| prefix.folder(folder)),
            last: Default::default(),
        }
    }

    /// Begins with all keys, as they were read.
    fn begin(&mut self, kvs: &[KeyValue]) {
        let mut newest_first: Vec<&KeyValue> = kvs.iter().collect();
        newest_first.sort_unstable_by_key(|kv| Reverse(kv.mod_revision));
        self.last = Default::default();
        for kv in newest_first {
            let last = self.last_like(&kv.key);
            if last.len() < MARKS {
                last.push_front((kv.key.clone(), Some(written(kv))));
            }
        }
    }

    fn note(&mut self, kv: &KeyValue, kind: EventKind) {
        let state = match kind {
            EventKind::Put => Some(written(kv)),
            EventKind::Delete => None,
        };
        let last = self.last_like(&kv.key);
        last.retain(|(key, _)| *key != kv.key);
        if last.len() >= MARKS {
            last.pop_front();
        }
        last.push_back((kv.key.clone(), state));
    }

    /// The last changes of keys of the same kind.
    fn last_like(&mut self, key: &[u8]) -> &mut VecDeque<(Vec<u8>, Option<Written>)> {
        let mut folders = self.folders.iter();
        let comes_and_goes = folders.any(|folder| key.starts_with(folder.as_bytes()));
        &mut self.last[usize::from(comes_and_goes)]
    }

    /// Returns true if etcd still has the history that was taken up to `at`.
    async fn are_there(&self, client: &Client, at: Revision) -> Result<bool, Error> {
        for (key, expected) in self.last.iter().flatten() {
            if now(client, key, None).await? == *expected {
                continue;
            }
            // It may have changed since.
            match now(client, key, Some(at)).await {
                Ok(was) if was == *expected => {}
                Ok(_) | Err(Error::FutureRevision) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

fn written(kv: &KeyValue) -> Written {
    (kv.mod_revision, Digest::of(&kv.value))
}

/// A key as it is, or as it was at a revision.
async fn now(client: &Client, key: &[u8], revision: Option<Revision>) -> Result<Option<Written>, Error> {
    let question = Range {
        revision,
        ..Range::new(KeyRange::key(key))
    };
    let found = client.range(&question).await?;
    Ok(found.kvs.first().map(written))
}

/// Reads and watches, until the task is ended.
pub(super) async fn follow(shared: Arc<Shared>, mut replica: Replica) {
    let mut failures = 0;
    let mut marks = Marks::new(&shared.prefix);
    let mut first = Some(shared.client.with_deadline(FIRST));
    loop {
        let client = first.take().unwrap_or_else(|| shared.client.clone());
        let at = match read_all(&shared, &client).await {
            Ok(read) => {
                failures = 0;
                marks.begin(&read.kvs);
                replica.reset(read.kvs.into_iter().map(entry::of), store(read.revision));
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
        match watch(&shared, &mut replica, &mut marks, at).await {
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
async fn watch(shared: &Shared, replica: &mut Replica, marks: &mut Marks, at: Revision) -> Option<Error> {
    let mut watches = shared.client.watches();
    watches.add(Watch::new(shared.keys(), at.next()));
    let mut failures = 0;
    let mut was_broken = false;
    let mut seen = at;
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
                if std::mem::take(&mut was_broken) {
                    match marks.are_there(&shared.client, seen).await {
                        Ok(true) => {}
                        Ok(false) => {
                            log::warn(
                                "etcd has another history than before, as after a restore from a copy: all is read again",
                            );
                            return None;
                        }
                        Err(error) => return Some(error),
                    }
                }
                failures = 0;
                shared.available();
            }
            Notice::Changes { events, .. } => {
                for event in &events {
                    marks.note(&event.kv, event.kind);
                    seen = event.kv.mod_revision.into();
                }
                take(replica, events);
                shared.show(&replica.view());
            }
            Notice::Progress { .. } => {}
            Notice::Ended { error, .. } => return Some(error),
            Notice::Broken { error } => {
                was_broken = true;
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
        EventKind::Put => Change::Put(entry::of(event.kv)),
        EventKind::Delete => Change::Delete(event.kv.key),
    }
}

fn store(revision: Revision) -> StoreRevision {
    StoreRevision(revision.0)
}

#[cfg(test)]
mod tests {
    use waypost_etcd::kv::write::{Delete, Put};
    use waypost_etcd::options::Options;
    use waypost_etcd::simulated::Simulated;

    use super::*;

    #[tokio::test]
    async fn history_is_told_from_another_one_by_the_keys_that_changed_last() {
        let etcd = Simulated::start(1).await.unwrap();
        let client = Client::new(Options::new(etcd.endpoints()));
        let put = async |key: &str, value: &str| {
            let put = Put::new(format!("/w/{key}"), value);
            client.put(&put).await.unwrap();
        };
        let delete = async |key: &str| {
            let delete = Delete::new(KeyRange::key(format!("/w/{key}")));
            client.delete(&delete).await.unwrap();
        };
        let read = async || {
            let all = KeyRange::prefix("/w/");
            client.range_in_pages(&all, 1000).await.unwrap()
        };
        let mut marks = Marks::new(&"/w".parse().unwrap());
        for key in ["config/a", "dials/x", "dials/y", "instances/i"] {
            put(key, "1").await;
        }
        let early = read().await;
        marks.begin(&early.kvs);
        let holds = async |marks: &Marks, at| marks.are_there(&client, at).await.unwrap();
        assert!(holds(&marks, early.revision).await);
        // It goes on.
        put("dials/y", "2").await;
        delete("instances/i").await;
        assert!(holds(&marks, early.revision).await);
        marks.begin(&read().await.kvs);
        etcd.put_back_and_write(early.revision, 100);
        let late = read().await.revision;
        assert!(!holds(&marks, late).await, "the dial is another one");

        marks.begin(&early.kvs);
        assert!(holds(&marks, late).await);
        let gone = &early.kvs[1];
        assert_eq!(gone.key, b"/w/dials/x");
        marks.note(gone, EventKind::Delete);
        assert!(!holds(&marks, late).await, "the dial is there");
        // Keys that come and go push none of the rules out.
        for number in 0..9 {
            let kv = KeyValue {
                key: format!("/w/instances/{number}").into_bytes(),
                ..gone.clone()
            };
            marks.note(&kv, EventKind::Delete);
        }
        assert!(!holds(&marks, late).await);
        delete("dials/x").await;
        let later = read().await.revision;
        assert!(holds(&marks, later).await);
    }
}
