//! A replica: follows the store, and hands out consistent views.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{Config, TEXTS_MAX, Texts, digest};
use crate::key::{ConfigName, Key, Prefix, is_instance};
use crate::record::Record;
use crate::record::canary::CanaryRecord;
use crate::store::{Change, Entry, StoreRevision};
use crate::text::{Parts, Stored, TEXT_BYTES_MAX, TextError};
use crate::view::{EndpointName, Kept, NUMBER_MAX, Shelf, Trouble, View};

/// The most keys astray that are named.
const ASTRAY_MAX: usize = 20;

/// A replica of the fleet's keys. It is fed with readings of all keys, and with changes in their order; each revision of
/// the store as a whole.
#[derive(Debug)]
pub struct Replica {
    /// All but the config as of the last change, the config as of the last resolution.
    view: View,
    /// Config texts as the store has them.
    raw: BTreeMap<ConfigName, Raw>,
    /// The view that was handed out; `None` if something came since.
    shown: Option<Arc<View>>,
}

/// A text of the config as the store has it.
#[derive(Debug)]
struct Raw {
    /// The value; the text itself, unless it names parts.
    bytes: Arc<[u8]>,
    /// The parts that the value names, if it does.
    parts: Result<Option<Parts>, TextError>,
    modified: StoreRevision,
}

impl Replica {
    /// A replica of an empty store.
    pub fn new(prefix: Prefix) -> Self {
        Self {
            view: View::empty(prefix),
            raw: BTreeMap::new(),
            shown: None,
        }
    }

    /// Takes a reading of all keys under the prefix, at one revision. What was known before is forgotten, but for the last
    /// complete config while that of the reading is not.
    pub fn reset(&mut self, entries: impl IntoIterator<Item = Entry>, at: StoreRevision) {
        let config = self.view.config.take();
        self.view = View {
            at,
            rules: at,
            ..View::empty(self.view.prefix.clone())
        };
        self.raw.clear();
        for entry in entries {
            match self.view.prefix.decode(&entry.key) {
                Some(key) => self.put(key, &entry),
                None => self.put_astray(&entry.key),
            }
        }
        self.view.config = config;
        self.resolve_config();
        self.resolve_canary();
        self.shown = None;
    }

    /// Takes all changes up to a revision. Returns false, and takes nothing, if it is not newer than the view: a message
    /// that was repeated.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>, at: StoreRevision) -> bool {
        if at <= self.view.at {
            return false;
        }
        let mut touches_config = false;
        let mut touches_canary = false;
        for change in changes {
            let bytes = match &change {
                Change::Put(entry) => &entry.key,
                Change::Delete(key) => key,
            };
            let Some(key) = self.view.prefix.decode(bytes) else {
                match change {
                    Change::Put(entry) => self.put_astray(&entry.key),
                    Change::Delete(key) => remove(&mut self.view.astray, &key),
                }
                continue;
            };
            if !matches!(key, Key::Instance(_) | Key::Candidate(_)) {
                self.view.rules = at;
            }
            touches_config |= matches!(key, Key::Config(_));
            touches_canary |= matches!(key, Key::Canary);
            if let Key::Text(digest, _) = &key {
                let mut referred = self.view.config_parts.values();
                touches_config |= referred.any(|parts| parts.digest == *digest);
                touches_canary = true;
            }
            match change {
                Change::Put(entry) => self.put(key, &entry),
                Change::Delete(_) => {
                    self.delete(&key);
                    if let Key::Config(name) = key {
                        self.note_gone(name, at);
                    }
                }
            }
        }
        self.view.at = at;
        if touches_config {
            self.resolve_config();
        }
        if touches_canary {
            self.resolve_canary();
        }
        self.shown = None;
        true
    }

    /// The revision of the view.
    pub fn at(&self) -> StoreRevision {
        self.view.at
    }

    /// All that the store said at the last revision that was taken.
    pub fn view(&mut self) -> Arc<View> {
        let view = &self.view;
        self.shown.get_or_insert_with(|| Arc::new(view.clone())).clone()
    }

    /// All that the replica knows, but for instances, candidates and values of no use: enough to start from without a store.
    pub fn entries(&self) -> Vec<Entry> {
        let view = &self.view;
        let entry = |key: &Key, value: Vec<u8>, modified: StoreRevision| Entry {
            key: view.prefix.encode(key).into_bytes(),
            value,
            created: modified,
            modified,
            is_leased: false,
        };
        let mut entries = Vec::new();
        for (name, raw) in &self.raw {
            entries.push(entry(
                &Key::Config(name.clone()),
                raw.bytes.to_vec(),
                raw.modified,
            ));
        }
        for ((digest, part), kept) in &*view.parts {
            entries.push(entry(
                &Key::Text(*digest, *part),
                kept.value.to_vec(),
                kept.modified,
            ));
        }
        for (number, kept) in &*view.revisions {
            entries.push(entry(
                &Key::Revision(*number),
                kept.value.to_value(),
                kept.modified,
            ));
        }
        for (route, kept) in &*view.dials {
            entries.push(entry(
                &Key::Dial(route.to_string()),
                kept.value.to_value(),
                kept.modified,
            ));
        }
        for (name, kept) in &*view.drains {
            entries.push(entry(&name.key(), kept.value.to_value(), kept.modified));
        }
        for (route, kept) in &*view.rollouts {
            let key = Key::Rollout(route.to_string());
            entries.push(entry(&key, kept.value.to_value(), kept.modified));
        }
        if let Some(canary) = &view.canary {
            entries.push(entry(&Key::Canary, canary.value.to_value(), canary.modified));
        }
        for (name, kept) in &*view.certificates {
            let key = Key::Certificate(name.to_string());
            entries.push(entry(&key, kept.value.to_value(), kept.modified));
        }
        entries
    }

    fn put(&mut self, key: Key, entry: &Entry) {
        // A value that makes no sense counts as none: all instances judge alike, also one that starts later.
        self.delete(&key);
        let view = &mut self.view;
        let modified = entry.modified;
        let taken = match &key {
            Key::Config(name) => {
                let parts = Stored::read(&entry.value).map(|stored| match stored {
                    Stored::Whole(_) => None,
                    Stored::Parts(parts) => Some(parts),
                });
                if let Ok(Some(parts)) = parts {
                    Arc::make_mut(&mut view.config_parts).insert(name.clone(), parts);
                }
                let raw = Raw {
                    bytes: entry.value.as_slice().into(),
                    parts,
                    modified,
                };
                self.raw.insert(name.clone(), raw);
                Arc::make_mut(&mut view.config_keys).insert(name.clone(), modified);
                if view.config_gone.contains_key(name) {
                    Arc::make_mut(&mut view.config_gone).remove(name);
                }
                Ok(())
            }
            Key::Text(digest, part) => {
                let kept = Kept {
                    value: entry.value.as_slice().into(),
                    modified,
                };
                Arc::make_mut(&mut view.parts).insert((*digest, *part), kept);
                Ok(())
            }
            Key::Revision(number) if *number > NUMBER_MAX || *number == 0 => {
                Err("no revision has this number".to_owned())
            }
            Key::Revision(number) => put(&mut view.revisions, *number, entry),
            Key::Dial(route) => put(&mut view.dials, Arc::from(&**route), entry),
            Key::Endpoint { service, endpoint } => {
                let name = EndpointName {
                    service: service.clone(),
                    endpoint: endpoint.clone(),
                };
                put(&mut view.drains, name, entry)
            }
            Key::Rollout(route) => put(&mut view.rollouts, Arc::from(&**route), entry),
            // Such as one that was put by hand, or copied: nothing would end it.
            Key::Instance(_) | Key::Candidate(_) if !entry.is_leased => {
                Err("it is under no lease".to_owned())
            }
            Key::Instance(id) => put(&mut view.instances, Arc::from(&**id), entry),
            Key::Candidate(_) => match std::str::from_utf8(&entry.value) {
                Ok(id) if is_instance(id) => {
                    let place = (entry.created, view.prefix.encode(&key));
                    Arc::make_mut(&mut view.candidates).insert(place, id.into());
                    Ok(())
                }
                _ => Err("it is no id of an instance".to_owned()),
            },
            Key::Canary => match CanaryRecord::read(&entry.value) {
                // A leader is one before it writes.
                Ok(canary) if canary.fence >= modified && canary.fence > StoreRevision::default() => {
                    Err("`fence`: no leader of this store has written it".to_owned())
                }
                Ok(canary) => {
                    view.canary = Some(Kept {
                        value: Arc::new(canary),
                        modified,
                    });
                    Ok(())
                }
                Err(error) => Err(error.to_string()),
            },
            Key::Certificate(name) => put(&mut view.certificates, Arc::from(&**name), entry),
            Key::Sweep => {
                view.swept = modified;
                Ok(())
            }
        };
        if let Err(why) = taken {
            let trouble = Trouble::new(view.prefix.encode(&key).as_bytes(), &why);
            Arc::make_mut(&mut view.damaged).insert(key, (modified, trouble));
        }
    }

    /// Notes a key that is none of the fleet's, and lies among them.
    fn put_astray(&mut self, key: &[u8]) {
        let view = &mut self.view;
        if view.astray.len() >= ASTRAY_MAX || view.astray.contains_key(key) {
            return;
        }
        if let Some(why) = view.prefix.why_astray(key) {
            let trouble = Trouble::new(key, why);
            Arc::make_mut(&mut view.astray).insert(key.to_vec(), trouble);
        }
    }

    fn delete(&mut self, key: &Key) {
        let view = &mut self.view;
        match key {
            Key::Config(name) => {
                if self.raw.remove(name).is_some() {
                    Arc::make_mut(&mut view.config_keys).remove(name);
                    Arc::make_mut(&mut view.config_parts).remove(name);
                }
            }
            Key::Text(digest, part) => remove(&mut view.parts, &(*digest, *part)),
            Key::Revision(number) => remove(&mut view.revisions, number),
            Key::Dial(route) => remove(&mut view.dials, &**route),
            Key::Endpoint { service, endpoint } => {
                let name = EndpointName {
                    service: service.clone(),
                    endpoint: endpoint.clone(),
                };
                remove(&mut view.drains, &name);
            }
            Key::Rollout(route) => remove(&mut view.rollouts, &**route),
            Key::Instance(id) => remove(&mut view.instances, &**id),
            Key::Candidate(_) => {
                let key = view.prefix.encode(key);
                if view.candidates.keys().any(|(_, known)| *known == key) {
                    Arc::make_mut(&mut view.candidates).retain(|(_, known), _| *known != key);
                }
            }
            Key::Canary => view.canary = None,
            Key::Certificate(name) => remove(&mut view.certificates, &**name),
            Key::Sweep => view.swept = StoreRevision::default(),
        }
        if view.damaged.contains_key(key) {
            Arc::make_mut(&mut view.damaged).remove(key);
        }
    }

    /// Notes the deletion of a text.
    fn note_gone(&mut self, name: ConfigName, at: StoreRevision) {
        let gone = Arc::make_mut(&mut self.view.config_gone);
        gone.insert(name, at);
        if gone.len() > TEXTS_MAX
            && let Some((oldest, _)) = gone.iter().min_by_key(|(_, at)| **at)
        {
            let oldest = oldest.clone();
            gone.remove(&oldest);
        }
    }

    /// Puts the config together. If that is not possible, the last one stays.
    fn resolve_config(&mut self) {
        let resolved = self.resolved();
        match resolved {
            Ok(config) => {
                self.view.config = config;
                self.view.config_trouble = None;
            }
            Err(trouble) => self.view.config_trouble = Some(trouble),
        }
    }

    fn resolved(&self) -> Result<Option<Arc<Config>>, Trouble> {
        let Some(modified) = self.raw.values().map(|raw| raw.modified).max() else {
            return Ok(None);
        };
        let trouble = |name: &ConfigName, why: String| {
            let key = self.view.prefix.encode(&Key::Config(name.clone()));
            Trouble::new(key.as_bytes(), &why)
        };
        let mut texts = Texts::new();
        let mut bytes = 0;
        for (name, raw) in &self.raw {
            let text = match &raw.parts {
                Ok(None) => raw.bytes.clone(),
                Ok(Some(parts)) => self
                    .joined(*parts)
                    .map_err(|error| trouble(name, error.to_string()))?,
                Err(error) => return Err(trouble(name, error.to_string())),
            };
            bytes += text.len();
            if bytes > TEXT_BYTES_MAX {
                return Err(trouble(
                    name,
                    format!("all texts together have more than {TEXT_BYTES_MAX} bytes"),
                ));
            }
            texts.insert(name.clone(), text);
        }
        if texts.len() > TEXTS_MAX
            && let Some(name) = texts.keys().nth(TEXTS_MAX)
        {
            return Err(trouble(name, format!("a config has {TEXTS_MAX} texts at most")));
        }
        Ok(Some(Arc::new(Config {
            digest: digest(&texts),
            texts,
            modified,
        })))
    }

    fn joined(&self, parts: Parts) -> Result<Arc<[u8]>, TextError> {
        let text = parts.join(|number| {
            let part = self.view.parts.get(&(parts.digest, number))?;
            Some(&*part.value)
        })?;
        Ok(text.into_bytes().into())
    }

    /// Puts the texts of the canary together.
    fn resolve_canary(&mut self) {
        let view = &mut self.view;
        let canary = view.canary.clone().filter(|canary| canary.value.is_under_way());
        let Some(canary) = canary else {
            view.canary_config = None;
            return;
        };
        let record = &canary.value.texts;
        if let Some(config) = &view.canary_config
            && config.digest == record.digest
        {
            return;
        }
        view.canary_config = view.texts(record).ok().map(|texts| {
            Arc::new(Config {
                texts,
                digest: record.digest,
                modified: canary.modified,
            })
        });
    }
}

/// Reads a record, and puts it on its shelf.
fn put<K: Ord + Clone, T: Record>(shelf: &mut Shelf<K, T>, key: K, entry: &Entry) -> Result<(), String> {
    let record = T::read(&entry.value).map_err(|error| error.to_string())?;
    let kept = Kept {
        value: Arc::new(record),
        modified: entry.modified,
    };
    Arc::make_mut(shelf).insert(key, kept);
    Ok(())
}

/// Removes a value from its shelf. A shelf that does not have it is not copied.
fn remove<K, Q, V: Clone>(shelf: &mut Arc<BTreeMap<K, V>>, key: &Q)
where
    K: Ord + Clone + std::borrow::Borrow<Q>,
    Q: Ord + ?Sized,
{
    if shelf.contains_key(key) {
        Arc::make_mut(shelf).remove(key);
    }
}
