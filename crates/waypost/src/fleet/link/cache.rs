//! The fleet as it was last, on disk, for a start without etcd.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use waypost_fleet::key::{Key, Prefix};
use waypost_fleet::record::Record;
use waypost_fleet::replica::Replica;
use waypost_fleet::store::{Entry, StoreRevision};
use waypost_fleet::view::{Kept, View};

use super::Shared;
use super::identity::{self, Identity};
use crate::checksummed;
use crate::fleet::Known;
use crate::log;

/// The name of the file.
const FILE: &str = "fleet";

/// The most bytes of revisions in it; the newest come first.
const REVISION_BYTES_MAX: usize = 16 << 20;

/// The shortest time between two writes, and the wait before a write is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// Writes the file when what it keeps has changed, until the task is ended.
pub(super) async fn keep(shared: Arc<Shared>, state: Box<Path>, identity: Identity) {
    let mut lock = identity.lock;
    let mut pictures = shared.picture.subscribe();
    let mut written = StoreRevision::default();
    let mut failure = None;
    loop {
        // The sender lives as long as this task.
        let picture = pictures.wait_for(|picture| {
            picture.known == Known::Read && (picture.view.rules != written || failure.is_some())
        });
        let Ok(view) = picture.await.map(|picture| Arc::clone(&picture.view)) else {
            return;
        };
        let rules = view.rules;
        let directory = state.clone();
        let held = lock.take();
        let write = move || {
            // Another process that has the state writes it.
            let Some(lock) = held.or_else(|| identity::lock(&directory)) else {
                return (None, Ok(()));
            };
            let written = checksummed::write(&directory.join(FILE), &body(&view));
            (Some(lock), written)
        };
        let Ok((held, outcome)) = tokio::task::spawn_blocking(write).await else {
            return;
        };
        lock = held;
        match outcome {
            Ok(()) => {
                written = rules;
                failure = None;
                shared.kept.send_replace(rules);
            }
            Err(error) => {
                let why = format!(
                    "what the fleet was last cannot be kept in `{}`: {error}",
                    state.join(FILE).display()
                );
                if failure.as_ref() != Some(&why) {
                    log::warn(&why);
                }
                failure = Some(why);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The part of the fleet under `prefix` that the file keeps, if it is there and whole.
pub(super) fn read(prefix: &Prefix, state: &Path) -> Option<Replica> {
    let file = state.join(FILE);
    let body = match checksummed::read(&file) {
        Ok(body) => body?,
        Err(checksummed::ReadError::Damaged(why)) => {
            let damaged = checksummed::set_aside(&file, &why, true);
            log::warn(format_args!(
                "`{}`: {why}; it is now `{}`",
                file.display(),
                damaged.now.display()
            ));
            return None;
        }
        Err(checksummed::ReadError::Io(error)) => {
            log::warn(format_args!("`{}` cannot be read: {error}", file.display()));
            return None;
        }
    };
    replica(prefix, &body)
}

/// The replica that a body makes; `None` if it is of another prefix.
fn replica(prefix: &Prefix, body: &[u8]) -> Option<Replica> {
    let mut rest = body;
    if take_bytes(&mut rest)? != prefix.to_string().as_bytes() {
        return None;
    }
    let at = take_revision(&mut rest)?;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let key = take_bytes(&mut rest)?.to_vec();
        let value = take_bytes(&mut rest)?.to_vec();
        let modified = take_revision(&mut rest)?;
        entries.push(Entry {
            key,
            value,
            created: modified,
            modified,
        });
    }
    let mut replica = Replica::new(prefix.clone());
    replica.reset(entries, at);
    Some(replica)
}

/// The rules in a view: all but instances, the election, and what only etcd's leader needs.
fn body(view: &View) -> Vec<u8> {
    let mut body = Vec::new();
    put_bytes(&mut body, view.prefix.to_string().as_bytes());
    put_revision(&mut body, view.at);
    let mut put = |key: Key, value: &[u8], modified: StoreRevision| {
        put_bytes(&mut body, view.prefix.encode(&key).as_bytes());
        put_bytes(&mut body, value);
        put_revision(&mut body, modified);
    };
    let texts = view.config.iter().flat_map(|config| &config.texts);
    for (name, text) in texts {
        let modified = view.config_keys.get(name).copied().unwrap_or(view.at);
        put(Key::Config(name.clone()), text, modified);
    }
    for (route, dial) in &*view.dials {
        put(Key::Dial(route.to_string()), &value(dial), dial.modified);
    }
    for (name, drain) in &*view.drains {
        let key = Key::Endpoint {
            service: name.service.clone(),
            endpoint: name.endpoint.clone(),
        };
        put(key, &value(drain), drain.modified);
    }
    for (route, rollout) in &*view.rollouts {
        put(Key::Rollout(route.to_string()), &value(rollout), rollout.modified);
    }
    for (name, sealed) in &*view.certificates {
        put(Key::Certificate(name.to_string()), &sealed.value, sealed.modified);
    }
    let mut bytes = 0;
    for (number, revision) in view.revisions.iter().rev() {
        let value = value(revision);
        bytes += value.len();
        if bytes > REVISION_BYTES_MAX {
            break;
        }
        put(Key::Revision(*number), &value, revision.modified);
    }
    body
}

fn value<T: Record>(kept: &Kept<T>) -> Vec<u8> {
    kept.value.to_value()
}

fn put_bytes(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    body.extend_from_slice(bytes);
}

fn put_revision(body: &mut Vec<u8>, revision: StoreRevision) {
    body.extend_from_slice(&revision.0.to_be_bytes());
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk()?;
    let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
    let (bytes, behind) = behind.split_at_checked(length)?;
    *rest = behind;
    Some(bytes)
}

fn take_revision(rest: &mut &[u8]) -> Option<StoreRevision> {
    let (revision, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(StoreRevision(i64::from_be_bytes(*revision)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, value: &str, modified: i64) -> Entry {
        Entry {
            key: key.into(),
            value: value.into(),
            created: StoreRevision(modified),
            modified: StoreRevision(modified),
        }
    }

    #[test]
    fn rules_are_read_as_they_were_written_and_instances_are_not() {
        let prefix: Prefix = "/waypost/prod".parse().unwrap();
        let large = "x".repeat(2 << 20);
        let dial = r#"{"declared":[["a",1],["b",1]],"live":[["a",1],["b",3]],"by":"ann","time":"2026-01-02T03:04:05Z"}"#;
        let drain = r#"{"drained":[{"by":"ann","time":"2026-01-02T03:04:05Z"}]}"#;
        let instance = r#"{"version":"1","started":"2026-01-02T03:04:05Z"}"#;
        let mut replica = Replica::new(prefix.clone());
        replica.reset(
            [
                entry("/waypost/prod/config/a.yaml", "routes: []\n", 3),
                entry("/waypost/prod/config/b.yaml", &large, 4),
                entry("/waypost/prod/dials/users", dial, 5),
                entry("/waypost/prod/endpoints/users/10.0.0.1:80", drain, 6),
                entry("/waypost/prod/instances/i", instance, 7),
                entry("/waypost/prod/leader/1f", "i", 8),
            ],
            StoreRevision(9),
        );
        let before = replica.view();
        assert_eq!((before.instances.len(), before.candidates.len()), (1, 1));
        let body = body(&before);
        let after = super::replica(&prefix, &body).unwrap().view();
        assert_eq!(after.at, before.at);
        assert_eq!(after.config, before.config);
        assert_eq!(after.dials, before.dials);
        assert_eq!(after.drains, before.drains);
        assert_eq!((after.instances.len(), after.candidates.len()), (0, 0));

        let other: Prefix = "/waypost/test".parse().unwrap();
        assert!(super::replica(&other, &body).is_none());
        for cut in [0, 7, 8, 20, 40, body.len() - 1] {
            assert!(super::replica(&prefix, &body[..cut]).is_none(), "cut at {cut}");
        }
    }
}
