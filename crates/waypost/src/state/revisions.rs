//! Revisions: every config that was applied, one file each.
//!
//! A file begins with two lines: checksums, then the revision as JSON, with the names and lengths of its texts. The texts
//! follow byte for byte, each with a line feed behind. A start reads the first two lines of each file, and checks the
//! texts of the newest revision and of small ones.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use waypost_config::{Kind, Source};
use waypost_fleet::view::View;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::checksummed::{self, Damaged, ReadError, create_directory};
use crate::state::revision::{Origin, Revision};
use crate::state::shared::records;
use crate::texts::{Texts, file_name};

/// The beginning of the first line.
const MAGIC: &str = "waypost-revision 1";
/// The highest number that is accepted: JSON numbers are exact up to here, and no gateway gets this far.
const NUMBER_MAX: u64 = 1 << 53;
/// The length up to which texts are checked at every start.
const CHECKED_BYTES: usize = 1 << 20;
/// The number of revisions kept in memory while they cannot be stored.
const UNSTORED_MAX: usize = 8;
/// Suffix of a revision's file.
const SUFFIX: &str = ".revision";

/// All revisions that are kept.
#[derive(Debug)]
pub(crate) struct Revisions {
    directory: PathBuf,
    keep: usize,
    all: BTreeMap<u64, Revision>,
    /// The files that could not be written.
    unstored: BTreeMap<u64, Vec<u8>>,
    /// The highest number given, judging by all file names.
    last: u64,
    /// The view of a fleet that has the revisions, in place of the directory.
    shared: Option<Arc<View>>,
}

impl Revisions {
    pub(super) fn new(directory: PathBuf, keep: usize) -> Self {
        Self {
            directory,
            keep,
            all: BTreeMap::new(),
            unstored: BTreeMap::new(),
            last: 0,
            shared: None,
        }
    }

    /// The revisions of a fleet, once they are told which.
    pub(super) fn of_fleet() -> Self {
        Self::new(PathBuf::new(), usize::MAX)
    }

    /// Takes over those of a fleet's view.
    pub(super) fn obey(&mut self, view: &Arc<View>) {
        let is_same = |known: &Arc<View>| {
            Arc::ptr_eq(&known.revisions, &view.revisions) && Arc::ptr_eq(&known.damaged, &view.damaged)
        };
        if !self.shared.as_ref().is_some_and(is_same) {
            let all = view.revisions.iter();
            self.all = all
                .map(|(number, kept)| (*number, records::revision(*number, &kept.value)))
                .collect();
            self.last = view.next_revision().map_or(NUMBER_MAX, |next| next - 1);
        }
        self.shared = Some(Arc::clone(view));
    }

    /// Changes the number of revisions that [`Revisions::prune`] keeps.
    pub(crate) fn keep(&mut self, keep: usize) {
        self.keep = keep;
    }

    /// All revisions, the newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &Revision> {
        self.all.values().rev()
    }

    /// The newest with this hash.
    pub(crate) fn with_hash(&self, hash: &str) -> Option<u64> {
        let found = self.newest_first().find(|revision| revision.hash == hash);
        found.map(|revision| revision.number)
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Revision> {
        self.all.get(&number)
    }

    /// The newest.
    pub(crate) fn latest(&self) -> Option<&Revision> {
        self.all.values().next_back()
    }

    /// A revision of these texts with the next number. It is not stored.
    pub(crate) fn next(
        &self,
        origin: Origin,
        by: Option<String>,
        summary: String,
        texts: &Texts,
    ) -> Revision {
        let files = texts.sources.iter();
        Revision {
            number: self.last + 1,
            time: Timestamp::now(),
            origin,
            hash: hash(texts),
            summary,
            by,
            is_directory: texts.kind == Kind::Directory,
            files: files.map(|file| (file.name.clone(), file.text.len())).collect(),
        }
    }

    /// Stores a revision. The oldest ones are removed once it is active: see [`Revisions::prune`].
    pub(crate) fn store(&mut self, revision: &Revision, texts: &Texts) -> io::Result<()> {
        create_directory(&self.directory)?;
        let head = head_of(revision, texts);
        checksummed::write_plain(&self.path(revision.number), &parts(&head, texts))?;
        self.put(revision.clone());
        Ok(())
    }

    /// Removes a revision that was stored but not activated.
    pub(crate) fn take_back(&mut self, number: u64) {
        if self.shared.is_some() {
            return;
        }
        self.all.remove(&number);
        self.unstored.remove(&number);
        let _ = fs::remove_file(self.path(number));
        if self.last == number {
            // The number was never shown.
            self.last -= 1;
        }
    }

    /// Keeps a revision that could not be stored in memory.
    pub(crate) fn remember(&mut self, revision: &Revision, texts: &Texts) {
        if self.shared.is_some() {
            return;
        }
        let head = head_of(revision, texts);
        self.unstored
            .insert(revision.number, parts(&head, texts).concat());
        if self.unstored.len() > UNSTORED_MAX
            && let Some((number, _)) = self.unstored.pop_first()
        {
            self.all.remove(&number);
        }
        self.put(revision.clone());
    }

    /// Stores the revisions that could not be stored before.
    pub(super) fn store_unstored(&mut self) {
        while let Some((number, bytes)) = self.unstored.pop_first() {
            if checksummed::write_plain(&self.path(number), &[&bytes]).is_err() {
                self.unstored.insert(number, bytes);
                return;
            }
        }
    }

    /// Removes and returns the revisions that could not be stored. Their numbers become free, unless another gateway has
    /// given them in the meantime.
    pub(crate) fn take_unstored(&mut self) -> Vec<(Revision, Texts)> {
        let numbers: Vec<u64> = self.unstored.keys().copied().collect();
        let taken = numbers.into_iter().filter_map(|number| {
            let texts = self.texts(number).ok()?;
            self.unstored.remove(&number);
            Some((self.all.remove(&number)?, texts))
        });
        let taken = taken.collect();
        self.last = 0;
        taken
    }

    /// Returns true if a number has been given, judging by all file names.
    pub(crate) fn is_given(&self, number: u64) -> bool {
        number <= self.last
    }

    /// Sets aside the damaged file of a revision.
    pub(crate) fn set_aside(&mut self, number: u64, why: &str) -> Option<Damaged> {
        self.all.remove(&number);
        // Those of a fleet are left to it.
        let is_own = self.shared.is_none();
        is_own.then(|| checksummed::set_aside(&self.path(number), why, true))
    }

    fn put(&mut self, revision: Revision) {
        self.last = self.last.max(revision.number);
        self.all.insert(revision.number, revision);
    }

    /// Removes the oldest revisions beyond the number to be kept.
    pub(crate) fn prune(&mut self) {
        while self.all.len() > self.keep {
            if let Some((number, _)) = self.all.pop_first() {
                self.unstored.remove(&number);
                let _ = fs::remove_file(self.path(number));
            }
        }
    }

    /// Reads and checks the texts of a revision.
    pub(crate) fn texts(&self, number: u64) -> Result<Texts, ReadError> {
        if let Some(view) = &self.shared {
            return records::texts(view, number);
        }
        let bytes = match self.unstored.get(&number) {
            Some(bytes) => bytes.clone(),
            None => {
                let mut bytes = Vec::new();
                checksummed::open(&self.path(number))?.read_to_end(&mut bytes)?;
                bytes
            }
        };
        let (revision, sum, at) = head(&mut &bytes[..])?;
        let body = &bytes[at..];
        if xxh3_64(body) != sum {
            return Err(ReadError::Damaged(
                "the checksum of its text does not fit".to_owned(),
            ));
        }
        let mut sources = Vec::new();
        let mut rest = body;
        for (name, length) in revision.files {
            let (Some(text), Some(after)) = (rest.get(..length), rest.get(length + 1..)) else {
                return Err(ReadError::Damaged("its text is not complete".to_owned()));
            };
            sources.push(Source {
                name,
                text: text.into(),
            });
            rest = after;
        }
        let kind = if revision.is_directory {
            Kind::Directory
        } else {
            Kind::File
        };
        Ok(Texts {
            sources,
            kind,
            local: None,
        })
    }

    /// Reads the revisions in the directory.
    pub(super) fn read(&mut self, sets_aside: bool, damaged: &mut Vec<Damaged>, troubles: &mut Vec<String>) {
        if sets_aside {
            checksummed::sweep(&self.directory);
        }
        let entries = match checksummed::entries(&self.directory) {
            Ok(Some(entries)) => entries,
            Ok(None) => return,
            Err(ReadError::Damaged(why)) => {
                damaged.push(checksummed::set_aside(&self.directory, &why, sets_aside));
                return;
            }
            Err(ReadError::Io(error)) => {
                troubles.push(format!("`{}` cannot be read: {error}", self.directory.display()));
                return;
            }
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            let Some((number, rest)) = name.as_deref().and_then(|name| name.split_once('.')) else {
                continue;
            };
            let text = number;
            let Some(number) = text.parse::<u64>().ok().filter(|number| *number <= NUMBER_MAX) else {
                continue;
            };
            if number.to_string() != text {
                // Not a name that a gateway gives, such as `01`.
                continue;
            }
            // The number of a damaged revision is not given again.
            self.last = self.last.max(number);
            if rest != &SUFFIX[1..] {
                continue;
            }
            match meta(&path) {
                Ok(revision) if revision.number == number => {
                    self.all.insert(number, revision);
                }
                Ok(_) => damaged.push(checksummed::set_aside(
                    &path,
                    "it is another revision's",
                    sets_aside,
                )),
                Err(ReadError::Damaged(why)) => damaged.push(checksummed::set_aside(&path, &why, sets_aside)),
                Err(ReadError::Io(error)) => {
                    troubles.push(format!("`{}` cannot be read: {error}", path.display()));
                }
            }
        }
        // The texts of the newest are checked in any case: the start compares its own with them.
        let newest = self.latest().map(|revision| revision.number);
        let checked: Vec<u64> = self
            .all
            .values()
            .filter(|revision| {
                let length: usize = revision.files.iter().map(|(_, length)| length).sum();
                length <= CHECKED_BYTES || Some(revision.number) == newest
            })
            .map(|revision| revision.number)
            .collect();
        for number in checked {
            match self.texts(number) {
                Ok(_) => {}
                Err(ReadError::Damaged(why)) => {
                    damaged.push(checksummed::set_aside(&self.path(number), &why, sets_aside));
                    self.all.remove(&number);
                }
                // The file may be readable later.
                Err(ReadError::Io(error)) => {
                    troubles.push(format!("revision {number} cannot be read: {error}"));
                }
            }
        }
        if sets_aside {
            self.prune();
        }
    }

    /// The file of a revision.
    pub(super) fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number}{SUFFIX}"))
    }
}

/// A hash of the names and bytes of texts. The name of a single file is left out.
pub(crate) fn hash(texts: &Texts) -> String {
    let mut hasher = Xxh3::new();
    match (&texts.sources[..], texts.kind) {
        ([only], Kind::File) => hasher.update(&only.text),
        (sources, _) => {
            for source in sources {
                let line = format!("{} {}\n", file_name(&source.name), source.text.len());
                hasher.update(line.as_bytes());
                hasher.update(&source.text);
            }
        }
    }
    format!("{:032x}", hasher.digest128())
}

/// The first two lines of a revision's file.
fn head_of(revision: &Revision, texts: &Texts) -> String {
    let mut body = Xxh3::new();
    for source in &texts.sources {
        body.update(&source.text);
        body.update(b"\n");
    }
    let meta = serde_json::to_string(revision).unwrap_or_default();
    let (head_sum, body_sum) = (xxh3_64(meta.as_bytes()), body.digest());
    format!("{MAGIC} {head_sum:016x} {body_sum:016x}\n{meta}\n")
}

/// The content of a revision's file.
fn parts<'t>(head: &'t str, texts: &'t Texts) -> Vec<&'t [u8]> {
    let body = texts.sources.iter().flat_map(|source| [&*source.text, b"\n"]);
    std::iter::once(head.as_bytes()).chain(body).collect()
}

/// Reads a revision without its texts, and checks the length of the file.
fn meta(path: &Path) -> Result<Revision, ReadError> {
    let file = checksummed::open(path)?;
    let length = file.metadata()?.len();
    let mut reader = BufReader::new(file);
    let (revision, _, at) = head(&mut reader)?;
    let texts: usize = revision.files.iter().map(|(_, length)| length + 1).sum();
    if length != (at + texts) as u64 {
        return Err(ReadError::Damaged("its length does not match".to_owned()));
    }
    Ok(revision)
}

/// Reads a revision, the checksum of its texts, and their offset.
fn head(reader: &mut impl io::BufRead) -> Result<(Revision, u64, usize), ReadError> {
    let damaged = |why: &str| ReadError::Damaged(why.to_owned());
    let mut line = |what: &str| -> Result<Vec<u8>, ReadError> {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(ReadError::Damaged(format!("its {what} line is not complete")));
        }
        Ok(line)
    };
    let first = line("first")?;
    let meta = line("second")?;
    let first = String::from_utf8_lossy(&first);
    let sums = first.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(' '));
    let Some((meta_sum, body_sum)) = sums.and_then(|sums| sums.split_once(' ')) else {
        return Err(damaged("its first line is not one of Waypost's"));
    };
    let body_sum = u64::from_str_radix(body_sum, 16)
        .ok()
        .filter(|sum| body_sum == format!("{sum:016x}"));
    let body_sum = body_sum.ok_or_else(|| damaged("its first line is not one of Waypost's"))?;
    if meta_sum != format!("{:016x}", xxh3_64(&meta)) {
        return Err(damaged("the checksum of its second line does not fit"));
    }
    let revision = serde_json::from_slice(&meta).map_err(|error| damaged(&error.to_string()))?;
    Ok((revision, body_sum, first.len() + meta.len() + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Texts {
        Texts {
            sources: vec![Source {
                name: "waypost.yaml".to_owned(),
                text: text.as_bytes().into(),
            }],
            kind: Kind::File,
            local: None,
        }
    }

    fn add(revisions: &mut Revisions, text: &str) -> u64 {
        let revision = revisions.next(Origin::File, None, "s".to_owned(), &texts(text));
        revisions.store(&revision, &texts(text)).unwrap();
        revisions.prune();
        revision.number
    }

    fn reopened(directory: &Path) -> (Revisions, Vec<Damaged>) {
        let mut revisions = Revisions::new(directory.to_owned(), 3);
        let mut damaged = Vec::new();
        revisions.read(true, &mut damaged, &mut Vec::new());
        (revisions, damaged)
    }

    #[test]
    fn newest_are_kept_byte_for_byte() {
        let directory = tempfile::tempdir().unwrap();
        let (mut revisions, _) = reopened(directory.path());
        for text in ["one", "", "three\n", "four\r\n\n"] {
            add(&mut revisions, text);
        }
        let (again, damaged) = reopened(directory.path());
        assert_eq!(damaged, []);
        let numbers: Vec<u64> = again.newest_first().map(|revision| revision.number).collect();
        assert_eq!(numbers, [4, 3, 2]);
        assert_eq!(again.texts(4).unwrap(), texts("four\r\n\n"));
        assert_eq!(again.texts(2).unwrap(), texts(""));
        assert!(again.texts(1).is_err());
    }

    #[test]
    fn damaged_newest_is_set_aside_and_its_number_is_not_reused() {
        let directory = tempfile::tempdir().unwrap();
        let (mut revisions, _) = reopened(directory.path());
        add(&mut revisions, "one");
        add(&mut revisions, "two");
        let path = directory.path().join("2.revision");
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 0x10;
            for bytes in [&whole[..at], &other] {
                fs::write(&path, bytes).unwrap();
                let (revisions, damaged) = reopened(directory.path());
                assert_eq!(damaged.len(), 1, "byte {at}");
                assert_eq!(revisions.latest().unwrap().number, 1);
                assert_eq!(
                    revisions
                        .next(Origin::File, None, String::new(), &texts("x"))
                        .number,
                    3
                );
                fs::remove_file(directory.path().join("2.revision.bad")).unwrap();
            }
        }
    }

    #[test]
    fn directory_and_broken_link_are_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let (mut revisions, _) = reopened(directory.path());
        add(&mut revisions, "one");
        fs::create_dir_all(directory.path().join("2.revision/inside")).unwrap();
        std::os::unix::fs::symlink("nowhere", directory.path().join("3.revision")).unwrap();
        let (mut revisions, damaged) = reopened(directory.path());
        let mut names: Vec<String> = damaged
            .iter()
            .map(|damaged| damaged.now.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names, ["2.revision.bad", "3.revision.bad"]);
        assert!(directory.path().join("2.revision.bad/inside").is_dir());
        assert_eq!(add(&mut revisions, "two"), 4);
        assert_eq!(reopened(directory.path()).1, []);
    }

    #[test]
    fn hash_depends_on_names_and_bytes() {
        let directory = |name: &str, text: &str| Texts {
            kind: Kind::Directory,
            local: None,
            ..Texts {
                sources: vec![Source {
                    name: name.to_owned(),
                    text: text.as_bytes().into(),
                }],
                kind: Kind::File,
                local: None,
            }
        };
        assert_eq!(hash(&texts("a")), hash(&texts("a")));
        assert_ne!(hash(&texts("a")), hash(&texts("b")));
        assert_ne!(hash(&directory("x/a", "t")), hash(&directory("x/b", "t")));
        assert_eq!(hash(&directory("x/a", "t")), hash(&directory("y/a", "t")));
    }
}
