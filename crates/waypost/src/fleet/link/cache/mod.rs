//! The fleet as it was last, on disk: for a start without etcd, or on a prefix that was wiped.
//!
//! The [index] has all that is small, and names the texts, which lie [apart](values): a dial writes the index alone. Texts are
//! written before the index that names them, and what no index names is removed after it, so that a kill at any moment leaves
//! all of one picture. While the fleet has no config, nothing is written: the last one stays.

mod index;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use waypost_fleet::config::Texts;
use waypost_fleet::key::{ConfigName, Key, Prefix};
use waypost_fleet::record::Record;
use waypost_fleet::record::revision::RevisionRecord;
use waypost_fleet::replica::Replica;
use waypost_fleet::store::{Entry, StoreRevision};
use waypost_fleet::text::Digest;
use waypost_fleet::view::{Kept as KeptValue, View};

use self::index::{Index, Item, ServedIndex, Value};
use self::values::{Faults, Values};
use super::identity::{self, Identity};
use super::{Picture, Shared};
use crate::checksummed::{self, Damaged};
use crate::fleet::{Known, Served};
use crate::log;

/// The name of the index.
const FILE: &str = "fleet";

/// The name of the directory with what lies apart.
const VALUES: &str = "fleet-texts";

/// The most bytes of revisions that are kept; the newest come first.
const REVISION_BYTES_MAX: usize = 16 << 20;

/// The shortest time between two writes.
const PAUSE: Duration = Duration::from_millis(50);

/// The wait before a write is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// The most of its time that the task writes, as a divisor.
const SHARE: u32 = 10;

/// The outcome of a write.
enum Outcome {
    Written,
    /// Another process has the state, and writes it.
    NotOurs,
    Failed(io::Error),
}

/// The things that the state directory has kept from last time.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The rules, with a config.
    pub(super) replica: Option<Replica>,
    /// The config that this instance served.
    pub(super) served: Option<Served>,
    /// The number of instances that lived.
    pub(super) instances: usize,
    /// Damaged files, which count as none.
    pub(super) damaged: Vec<Damaged>,
}

/// The parts of a fleet whose change calls for another write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Subject {
    pub(super) rules: StoreRevision,
    instances: usize,
    pub(super) served: Option<Served>,
}

impl Subject {
    /// Returns true if nothing is lost with `other` that this one has.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.rules >= other.rules && self.served == other.served
    }
}

/// The fleet as it is to be kept: the last view with a config. A prefix that is wiped before it is written changes nothing.
struct Latest {
    pictures: watch::Receiver<Picture>,
    view: Option<Arc<View>>,
}

impl Latest {
    fn look(&mut self) {
        let picture = self.pictures.borrow_and_update();
        if has_config(&picture) {
            self.view = Some(Arc::clone(&picture.view));
        }
    }

    /// Waits for `end`, and looks at every picture meanwhile.
    async fn during<T>(&mut self, end: impl Future<Output = T>) -> T {
        let mut end = pin!(end);
        loop {
            tokio::select! {
                done = &mut end => return done,
                // The sender lives as long as this task.
                Ok(()) = self.pictures.changed() => self.look(),
            }
        }
    }
}

/// The parts that are to be kept now, if there is a config.
pub(super) fn subject(shared: &Shared) -> Option<Subject> {
    let picture = shared.picture.borrow();
    let served = || shared.served.borrow().clone();
    has_config(&picture).then(|| subject_of(&picture.view, served()))
}

fn subject_of(view: &View, served: Option<Served>) -> Subject {
    Subject {
        rules: view.rules,
        instances: view.instances.len(),
        served,
    }
}

/// Writes what is kept when it has changed, until the task is ended.
pub(super) async fn keep(shared: Arc<Shared>, state: Box<Path>, identity: Identity) {
    let mut lock = identity.lock;
    // An inherited one comes from where it is waited for.
    let may_lock = !identity.is_inherited;
    let mut writer = Writer::new(&state);
    let mut latest = Latest {
        pictures: shared.picture.subscribe(),
        view: None,
    };
    let mut serving = shared.served.subscribe();
    let mut written = Subject::default();
    let mut failure = None;
    loop {
        latest.look();
        let served = serving.borrow_and_update().clone();
        let pending = latest.view.clone().map(|view| (subject_of(&view, served), view));
        let Some((subject, view)) = pending.filter(|(subject, _)| *subject != written || failure.is_some())
        else {
            tokio::select! {
                // The senders live as long as this task.
                _ = latest.pictures.changed() => {}
                _ = serving.changed() => {}
            }
            continue;
        };
        let begun = Instant::now();
        let directory = state.clone();
        let held = lock.take().or_else(|| super::lock(&shared.inherited).take());
        let served = subject.served.clone();
        let write = move || {
            let free = || may_lock.then(|| identity::lock(&directory)).flatten();
            let Some(lock) = held.or_else(free) else {
                return (None, writer, Outcome::NotOurs);
            };
            let outcome = match writer.write(&view, served.as_ref()) {
                Ok(()) => Outcome::Written,
                Err(error) => Outcome::Failed(error),
            };
            (Some(lock), writer, outcome)
        };
        let Ok((held, back, outcome)) = latest.during(tokio::task::spawn_blocking(write)).await else {
            return;
        };
        (lock, writer) = (held, back);
        if lock.is_some() {
            *super::lock(&shared.in_use) = None;
        }
        let pause = match outcome {
            Outcome::Written => {
                shared.kept.send_replace(Some(subject.clone()));
                written = subject;
                failure = None;
                PAUSE.max(begun.elapsed() * SHARE)
            }
            // It may end, and this one goes on.
            Outcome::NotOurs => {
                if may_lock {
                    shared.finds_in_use(&state);
                }
                shared.kept.send_replace(None);
                RETRY
            }
            Outcome::Failed(error) => {
                let why = format!(
                    "what the fleet was last cannot be kept in `{}`: {error}",
                    state.join(FILE).display()
                );
                if failure.as_ref() != Some(&why) {
                    log::warn(&why);
                }
                failure = Some(why);
                RETRY
            }
        };
        let pause = async {
            tokio::select! {
                () = sleep(pause) => {}
                () = shared.leaving.notified() => {}
            }
        };
        latest.during(pause).await;
    }
}

/// Returns true if etcd has said what the config is, and there is one.
fn has_config(picture: &Picture) -> bool {
    picture.known == Known::Read && picture.view.config.is_some()
}

/// Writes the directory.
#[derive(Debug)]
struct Writer {
    file: PathBuf,
    values: Values,
    /// Digests of texts and revisions that were looked at last, so that they are not computed again.
    config: Digests<ConfigName, [u8]>,
    served: Digests<ConfigName, [u8]>,
    revisions: Digests<u64, RevisionRecord>,
}

/// Digests of values by name.
type Digests<K, V> = BTreeMap<K, (Arc<V>, Digest)>;

impl Writer {
    fn new(state: &Path) -> Self {
        Self {
            file: state.join(FILE),
            values: Values::new(state.join(VALUES)),
            config: BTreeMap::new(),
            served: BTreeMap::new(),
            revisions: BTreeMap::new(),
        }
    }

    fn write(&mut self, view: &View, served: Option<&Served>) -> io::Result<()> {
        let written = self.index(view, served).and_then(|index| {
            checksummed::write(&self.file, &index.to_bytes())?;
            let wanted: BTreeSet<Digest> = index.apart().collect();
            self.values.retain(&wanted);
            Ok(())
        });
        if written.is_err() {
            // The directory may be another one than before.
            self.values.doubt();
            self.config.clear();
            self.served.clear();
            self.revisions.clear();
        }
        written
    }

    /// Writes what lies apart, and returns the index of all: but for instances, the election, and what only a leader needs.
    fn index(&mut self, view: &View, served: Option<&Served>) -> io::Result<Index> {
        let item = |key: &Key, value, modified| Item {
            key: view.prefix.encode(key),
            value,
            modified,
        };
        let mut items = Vec::new();
        let none = Texts::new();
        let texts = view.config.as_ref().map_or(&none, |config| &config.texts);
        for (name, digest) in self.values.put_texts(&mut self.config, texts)? {
            let modified = view.config_keys.get(&name).copied().unwrap_or(view.at);
            items.push(item(&Key::Config(name), Value::Apart(digest), modified));
        }
        for (route, dial) in &*view.dials {
            let key = Key::Dial(route.to_string());
            items.push(item(&key, here(dial), dial.modified));
        }
        for (name, drain) in &*view.drains {
            items.push(item(&name.key(), here(drain), drain.modified));
        }
        for (route, rollout) in &*view.rollouts {
            let key = Key::Rollout(route.to_string());
            items.push(item(&key, here(rollout), rollout.modified));
        }
        // Sealed, as etcd has them.
        for (name, certificate) in &*view.certificates {
            let key = Key::Certificate(name.to_string());
            items.push(item(&key, here(certificate), certificate.modified));
        }
        for (number, digest, modified) in self.put_revisions(view)? {
            items.push(item(&Key::Revision(number), Value::Apart(digest), modified));
        }
        let served = match served {
            None => None,
            Some(served) => Some(ServedIndex {
                number: served.number,
                texts: self.values.put_texts(&mut self.served, &served.texts)?,
            }),
        };
        Ok(Index {
            prefix: view.prefix.to_string(),
            at: view.at,
            instances: view.instances.len() as u64,
            served,
            items,
        })
    }

    /// Writes the newest revisions.
    fn put_revisions(&mut self, view: &View) -> io::Result<Vec<(u64, Digest, StoreRevision)>> {
        let known = std::mem::take(&mut self.revisions);
        let mut put = Vec::new();
        let mut bytes = 0;
        for (number, revision) in view.revisions.iter().rev() {
            bytes += revision.value.texts.text.len();
            if bytes > REVISION_BYTES_MAX {
                break;
            }
            let digest = match known.get(number) {
                Some((value, digest)) if Arc::ptr_eq(value, &revision.value) => *digest,
                _ => {
                    let value = revision.value.to_value();
                    let digest = Digest::of(&value);
                    self.values.write(digest, &value)?;
                    digest
                }
            };
            let known = (Arc::clone(&revision.value), digest);
            self.revisions.insert(*number, known);
            put.push((*number, digest, revision.modified));
        }
        Ok(put)
    }
}

impl Values {
    /// Writes texts. `known` has the digests of those before.
    fn put_texts(
        &mut self,
        known: &mut Digests<ConfigName, [u8]>,
        texts: &Texts,
    ) -> io::Result<BTreeMap<ConfigName, Digest>> {
        let before = std::mem::take(known);
        let mut digests = BTreeMap::new();
        for (name, text) in texts {
            let digest = match before.get(name) {
                Some((value, digest)) if Arc::ptr_eq(value, text) => *digest,
                _ => Digest::of(text),
            };
            self.write(digest, text)?;
            known.insert(name.clone(), (Arc::clone(text), digest));
            digests.insert(name.clone(), digest);
        }
        Ok(digests)
    }
}

fn here<T: Record>(kept: &KeptValue<T>) -> Value {
    Value::Here(kept.value.to_value())
}

/// Reads what is kept of the fleet under `prefix`, as far as it is there and whole. Damaged files are set aside by who `owns`
/// the directory.
pub(super) fn read(prefix: &Prefix, state: &Path, owns: bool) -> Kept {
    let mut faults = Faults {
        owns,
        found: Vec::new(),
    };
    let mut kept = Kept::default();
    let index = faults.read(&state.join(FILE)).and_then(|body| Index::read(&body));
    if let Some(index) = index.filter(|index| index.prefix == prefix.to_string()) {
        let values = Values::new(state.join(VALUES));
        kept.instances = usize::try_from(index.instances).unwrap_or(usize::MAX);
        kept.served = index.served.as_ref().and_then(|served| {
            let texts = served.texts.iter().map(|(name, digest)| {
                let text = values.read(*digest, &mut faults)?;
                Some((name.clone(), text.into()))
            });
            Some(Served {
                number: served.number,
                texts: texts.collect::<Option<Texts>>()?,
            })
        });
        kept.replica = replica(prefix, index, &values, &mut faults);
    }
    kept.damaged = faults.found;
    kept
}

/// The replica that an index makes; `None` unless there is a whole config in it.
fn replica(prefix: &Prefix, index: Index, values: &Values, faults: &mut Faults) -> Option<Replica> {
    let mut entries = Vec::new();
    for item in index.items {
        let value = match item.value {
            Value::Here(value) => Some(value),
            Value::Apart(digest) => values.read(digest, faults),
        };
        let is_config = matches!(prefix.decode(item.key.as_bytes()), Some(Key::Config(_)));
        let value = match value {
            Some(value) => value,
            // Never half of a config.
            None if is_config => return None,
            None => continue,
        };
        entries.push(Entry {
            key: item.key.into_bytes(),
            value,
            created: item.modified,
            modified: item.modified,
            is_leased: false,
        });
    }
    let mut replica = Replica::new(prefix.clone());
    replica.reset(entries, index.at);
    replica.view().config.is_some().then_some(replica)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn prefix() -> Prefix {
        "/waypost/prod".parse().unwrap()
    }

    fn entry(key: &str, value: &str, modified: i64) -> Entry {
        Entry {
            key: format!("/waypost/prod/{key}").into_bytes(),
            value: value.into(),
            created: StoreRevision(modified),
            modified: StoreRevision(modified),
            is_leased: true,
        }
    }

    const DIAL: &str =
        r#"{"declared":[["a",1],["b",1]],"live":[["a",1],["b",3]],"by":"ann","time":"2026-01-02T03:04:05Z"}"#;

    /// A view of two texts, one of them large, a dial, a drain, and an instance that leads.
    fn view() -> Arc<View> {
        let large = "x".repeat(2 << 20);
        let drain = r#"{"drained":[{"by":"ann","time":"2026-01-02T03:04:05Z"}]}"#;
        let instance = r#"{"version":"1","started":"2026-01-02T03:04:05Z"}"#;
        let mut replica = Replica::new(prefix());
        replica.reset(
            [
                entry("config/a.yaml", "routes: []\n", 3),
                entry("config/b.yaml", &large, 4),
                entry("dials/users", DIAL, 5),
                entry("endpoints/users/10.0.0.1:80", drain, 6),
                entry("instances/i", instance, 7),
                entry("leader/1f", "i", 8),
            ],
            StoreRevision(9),
        );
        replica.view()
    }

    fn served(view: &View) -> Served {
        Served {
            number: 7,
            texts: view.config.as_ref().unwrap().texts.clone(),
        }
    }

    /// The names and identities of the files that lie apart.
    fn apart(state: &Path) -> BTreeMap<String, u64> {
        use std::os::unix::fs::MetadataExt as _;
        let entries = fs::read_dir(state.join(VALUES)).unwrap().flatten();
        let name = |entry: &fs::DirEntry| entry.file_name().to_str().unwrap().to_owned();
        entries
            .map(|entry| (name(&entry), entry.metadata().unwrap().ino()))
            .collect()
    }

    #[test]
    fn rules_are_read_as_they_were_written_and_instances_are_counted() {
        let directory = tempfile::tempdir().unwrap();
        let before = view();
        let served = served(&before);
        Writer::new(directory.path())
            .write(&before, Some(&served))
            .unwrap();
        let kept = read(&prefix(), directory.path(), true);
        let after = kept.replica.unwrap().view();
        assert_eq!(after.at, before.at);
        assert_eq!(after.config, before.config);
        assert_eq!(after.config_keys, before.config_keys);
        assert_eq!(after.dials, before.dials);
        assert_eq!(after.drains, before.drains);
        assert_eq!((after.instances.len(), after.candidates.len()), (0, 0));
        assert_eq!((kept.served, kept.instances), (Some(served), 1));

        let other = read(&"/waypost/test".parse().unwrap(), directory.path(), true);
        assert!(other.replica.is_none() && other.served.is_none());
    }

    #[test]
    fn dial_writes_no_text_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut replica = Replica::new(prefix());
        replica.reset(
            [
                entry("config/a.yaml", "routes: []\n", 3),
                entry("config/b.yaml", "services: {}\n", 3),
            ],
            StoreRevision(3),
        );
        let mut writer = Writer::new(directory.path());
        writer.write(&replica.view(), None).unwrap();
        let texts = apart(directory.path());
        assert_eq!(texts.len(), 2);
        let put = |key, value, at| [waypost_fleet::store::Change::Put(entry(key, value, at))];
        replica.apply(put("dials/users", DIAL, 4), StoreRevision(4));
        writer.write(&replica.view(), None).unwrap();
        assert_eq!(apart(directory.path()), texts);
        // Of a config, what has changed is.
        replica.apply(put("config/b.yaml", "tests: []\n", 5), StoreRevision(5));
        let view = replica.view();
        writer.write(&view, None).unwrap();
        let now = apart(directory.path());
        let same = now.iter().filter(|(name, file)| texts.get(*name) == Some(file));
        assert_eq!((now.len(), same.count()), (2, 1));
        let kept = read(&prefix(), directory.path(), true).replica.unwrap().view();
        assert_eq!((&kept.config, &kept.dials), (&view.config, &view.dials));
    }

    #[test]
    fn damaged_text_is_set_aside_and_no_half_of_a_config_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let view = view();
        let other = Served {
            number: 6,
            texts: [(ConfigName::new("a.yaml").unwrap(), b"tests: []\n"[..].into())].into(),
        };
        Writer::new(directory.path()).write(&view, Some(&other)).unwrap();
        let digest = Digest::of(b"routes: []\n").to_string();
        let file = directory.path().join(VALUES).join(&digest);
        fs::write(&file, "damaged").unwrap();
        let kept = read(&prefix(), directory.path(), true);
        assert!(kept.replica.is_none());
        assert_eq!(kept.served, Some(other));
        assert!(apart(directory.path()).contains_key(&format!("{digest}.bad")));
        assert_eq!(kept.damaged.len(), 1);
        assert_eq!(kept.damaged[0].file, file);
        fs::write(directory.path().join(FILE), "damaged").unwrap();
        let kept = read(&prefix(), directory.path(), true);
        assert!(kept.replica.is_none() && kept.served.is_none());
        assert!(directory.path().join(format!("{FILE}.bad")).exists());
    }
}
