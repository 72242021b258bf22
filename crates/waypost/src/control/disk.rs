//! Writing a config back to disk, so that a kill at any moment leaves the old one or the new one.
//!
//! One file is replaced by a rename. For several, what is to be is written down first, in a journal beside them; a
//! start that finds one completes it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use xxhash_rust::xxh3::xxh3_64;

use crate::config::{self, Texts};
use crate::output::eprint;
use crate::state::revisions::file_name;
use crate::state::sealed::{self, Damaged, directory_of};

/// What the name of a file begins with while it is written; the name of the config follows. The loader passes over
/// it, as over all dot files.
const UNFINISHED: &str = ".waypost-unfinished-";
/// How long a file may be in the making.
const UNFINISHED_MAX: Duration = Duration::from_secs(60);
/// The journal of a directory.
const JOURNAL: &str = ".waypost-journal";
/// What the name of a file ends with whose text was never in force when it was replaced.
const UNAPPLIED: &str = ".unapplied";

/// Files that are written and synced, but not in their places.
pub(super) struct Prepared {
    replaced: Vec<Replaced>,
    /// Files that go, with their texts.
    surplus: Vec<(PathBuf, Arc<[u8]>)>,
    /// Files whose text on disk was never in force: it is kept beside.
    unapplied: Vec<PathBuf>,
    journal: Option<PathBuf>,
    prefix: String,
}

/// Why files could not be put in their places.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommitError {
    /// Somebody else was faster: what is there is not what was read.
    #[error("`{}` is just being edited", .0.display())]
    Edited(PathBuf),
    /// The system says no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A file, its new text beside it, and its old one.
struct Replaced {
    file: NamedTempFile,
    /// The name in the config, which a link may lead elsewhere.
    name: String,
    target: PathBuf,
    new: Arc<[u8]>,
    old: Option<Arc<[u8]>>,
}

/// Files that are in their places, while that can be undone.
pub(super) struct Committed {
    restore: Vec<(PathBuf, Option<Arc<[u8]>>)>,
    journal: Option<PathBuf>,
    prefix: String,
    /// Where texts were put that had never been in force.
    pub(super) kept: Vec<PathBuf>,
}

/// What a directory is to hold, as far as it changes.
#[derive(Debug, Serialize, Deserialize)]
struct Journal {
    write: Vec<Write>,
    remove: Vec<Remove>,
}

/// A file that is to be written.
#[derive(Debug, Serialize, Deserialize)]
struct Write {
    name: String,
    text: String,
    /// The checksum of what is there; `None` for a new file.
    old: Option<u64>,
}

/// A file that is to go.
#[derive(Debug, Serialize, Deserialize)]
struct Remove {
    name: String,
    old: u64,
}

/// Makes this process the one that writes to a config that is a directory, for as long as what is returned lives.
/// `None` while another one does, and for a config that is a file, which takes no more than a rename.
pub(crate) fn own(config: &Path) -> Option<File> {
    let directory = File::open(config).ok()?;
    let is_directory = directory.metadata().is_ok_and(|metadata| metadata.is_dir());
    (is_directory && directory.try_lock().is_ok()).then_some(directory)
}

/// The texts on disk; none of a config that is not there.
pub(super) fn read(path: &Path, kind: waypost_config::Kind) -> Texts {
    config::read_served(path).unwrap_or(Texts {
        sources: Vec::new(),
        kind,
    })
}

/// Writes down what of `texts` differs from what is on disk, the config at `config`.
pub(super) fn prepare(
    config: &Path,
    texts: &Texts,
    on_disk: &Texts,
    was_in_force: impl Fn(&str, &[u8]) -> bool,
) -> io::Result<Prepared> {
    let mut prepared = Prepared {
        replaced: Vec::new(),
        surplus: Vec::new(),
        unapplied: Vec::new(),
        journal: None,
        prefix: prefix(config),
    };
    for source in &texts.sources {
        let there = on_disk.sources.iter().find(|there| there.name == source.name);
        if there.is_some_and(|there| there.text == source.text) {
            continue;
        }
        let path = PathBuf::from(&source.name);
        if there.is_some_and(|there| !was_in_force(&there.name, &there.text)) {
            prepared.unapplied.push(path.clone());
        }
        // A link stays one: what it leads to is replaced.
        let target = fs::canonicalize(&path).unwrap_or(path);
        prepared.replaced.push(Replaced {
            file: written_beside(&target, &source.text, &prepared.prefix)?,
            name: file_name(&source.name).to_owned(),
            target,
            new: source.text.clone(),
            old: there.map(|there| there.text.clone()),
        });
    }
    for there in &on_disk.sources {
        if !texts.sources.iter().any(|source| source.name == there.name) {
            let path = PathBuf::from(&there.name);
            if !was_in_force(&there.name, &there.text) {
                prepared.unapplied.push(path.clone());
            }
            prepared.surplus.push((path, there.text.clone()));
        }
    }
    if prepared.replaced.len() + prepared.surplus.len() > 1 {
        prepared.journal = Some(config.join(JOURNAL));
    }
    Ok(prepared)
}

impl Prepared {
    /// Puts the files in their places. Errors leave everything as it was, as far as that can be had.
    pub(super) fn commit(self) -> Result<Committed, CommitError> {
        let mut committed = Committed {
            restore: Vec::new(),
            journal: None,
            prefix: self.prefix.clone(),
            kept: Vec::new(),
        };
        match self.carry_out(&mut committed) {
            Ok(()) => Ok(committed),
            Err(error) => match committed.undo() {
                Ok(()) => Err(error),
                Err(undone) => Err(CommitError::Io(io::Error::other(format!(
                    "{error}; and what had been replaced already could not be put back: {undone}"
                )))),
            },
        }
    }

    fn carry_out(self, committed: &mut Committed) -> Result<(), CommitError> {
        for path in &self.unapplied {
            committed.kept.push(keep_beside(path)?);
        }
        if let Some(journal) = &self.journal {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let write = self.replaced.iter().map(|replaced| Write {
                name: replaced.name.clone(),
                text: text(&replaced.new),
                old: replaced.old.as_deref().map(xxh3_64),
            });
            let remove = self.surplus.iter().map(|(path, old)| Remove {
                name: file_name(&path.to_string_lossy()).to_owned(),
                old: xxh3_64(old),
            });
            let entry = Journal {
                write: write.collect(),
                remove: remove.collect(),
            };
            let entry = serde_json::to_vec(&entry).map_err(io::Error::from)?;
            written_beside(journal, &sealed::sealed(&entry), &self.prefix)?
                .persist(journal)
                .map_err(|error| error.error)?;
            committed.journal = Some(journal.clone());
        }
        let mut directories: Vec<PathBuf> = Vec::new();
        for Replaced {
            file, target, old, ..
        } in self.replaced
        {
            put_in_place(file, &target, old.as_deref())?;
            directories.push(directory_of(&target).to_owned());
            committed.restore.push((target, old));
        }
        for (path, old) in self.surplus {
            if *fs::read(&path)? != *old {
                return Err(CommitError::Edited(path));
            }
            fs::remove_file(&path)?;
            directories.push(directory_of(&path).to_owned());
            committed.restore.push((path, Some(old)));
        }
        directories.dedup();
        for directory in directories {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    }
}

/// Puts a file where `old` is, and nothing else: what came out is looked at, and put back if somebody has edited it
/// meanwhile.
fn put_in_place(file: NamedTempFile, target: &Path, old: Option<&[u8]>) -> Result<(), CommitError> {
    let edited = || Err(CommitError::Edited(target.to_owned()));
    let Some(old) = old else {
        return match file.persist_noclobber(target) {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists && target.is_file() => edited(),
            Err(error) => Err(error.error.into()),
        };
    };
    let exchange = || renameat_with(CWD, file.path(), CWD, target, RenameFlags::EXCHANGE);
    match exchange() {
        Ok(()) => {
            if fs::read(file.path())? == old {
                return Ok(());
            }
            exchange().map_err(io::Error::from)?;
            edited()
        }
        Err(Errno::NOENT) => edited(),
        // Not every file system can exchange; then there is a moment between looking and replacing.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            if fs::read(target)? != old {
                return edited();
            }
            file.persist(target).map_err(|error| advise(error.error))?;
            Ok(())
        }
        Err(error) => Err(advise(error.into()).into()),
    }
}

/// Keeps a file under another name beside it.
fn keep_beside(path: &Path) -> io::Result<PathBuf> {
    let beside = free_name(path);
    fs::copy(path, &beside)?;
    File::open(&beside)?.sync_all()?;
    Ok(beside)
}

impl Committed {
    /// Leaves it so.
    pub(super) fn finish(self) {
        if let Some(journal) = self.journal {
            // One that stays is completed once more at the next start.
            let _ = fs::remove_file(journal);
        }
    }

    /// Puts back what was there.
    pub(super) fn undo(self) -> io::Result<()> {
        for (path, old) in self.restore.iter().rev() {
            match old {
                Some(old) => {
                    written_beside(path, old, &self.prefix)?
                        .persist(path)
                        .map_err(|error| error.error)?;
                }
                None => fs::remove_file(path)?,
            }
            File::open(directory_of(path))?.sync_all()?;
        }
        for kept in &self.kept {
            let _ = fs::remove_file(kept);
        }
        if let Some(journal) = &self.journal {
            fs::remove_file(journal)?;
        }
        Ok(())
    }
}

/// What a start has found of a change that was interrupted.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// What there is to say of it.
    pub(crate) said: Vec<String>,
    /// A journal that cannot be read.
    pub(crate) damaged: Option<Damaged>,
}

/// Completes what a killed process had begun, and removes what it left half written. For a start, before the config is
/// read, by the one who [owns](own) it.
pub(crate) fn recover(config: &Path, owned: bool) -> Recovered {
    let mut recovered = Recovered::default();
    let real = fs::canonicalize(config).unwrap_or_else(|_| config.to_owned());
    let directory = if real.is_dir() {
        &*real
    } else {
        directory_of(&real)
    };
    let prefix = prefix(config);
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let is_old = || {
            let metadata = entry.metadata().ok()?;
            Some(metadata.modified().ok()?.elapsed().ok()? > UNFINISHED_MAX)
        };
        // Another gateway may be about to put it in its place.
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(prefix.as_bytes())
            && (owned || is_old() == Some(true))
        {
            let _ = fs::remove_file(entry.path());
        }
    }
    let path = real.join(JOURNAL);
    if !owned || !real.is_dir() {
        return recovered;
    }
    let journal = match sealed::read(&path) {
        Ok(None) => return recovered,
        Ok(Some(journal)) => serde_json::from_slice(&journal).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let journal: Journal = match journal {
        Ok(journal) => journal,
        Err(why) => {
            recovered.damaged = Some(sealed::damaged(&path, &why, true));
            return recovered;
        }
    };
    match complete(&real, &journal, &prefix, &mut recovered.said) {
        Ok(()) => recovered
            .said
            .push("a change of the config had been interrupted; it is complete now".to_owned()),
        Err(error) => recovered.said.push(format!(
            "a change of the config had been interrupted, and cannot be completed: {error}"
        )),
    }
    recovered
}

/// Does what a journal says. What is neither the old text nor the new one was edited since, and is kept beside.
fn complete(directory: &Path, journal: &Journal, prefix: &str, said: &mut Vec<String>) -> io::Result<()> {
    let mut keep_edited = |path: &Path, known: &[Option<u64>]| -> io::Result<()> {
        let there = match fs::read(path) {
            Ok(bytes) => Some(xxh3_64(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if there.is_some() && !known.contains(&there) {
            let kept = keep_beside(path)?;
            said.push(format!(
                "`{}` was edited after a change had been interrupted; the edit is kept as `{}`",
                path.display(),
                kept.display()
            ));
        }
        Ok(())
    };
    for Write { name, text, old } in &journal.write {
        let target = directory.join(name);
        let target = fs::canonicalize(&target).unwrap_or(target);
        keep_edited(&target, &[*old, Some(xxh3_64(text.as_bytes()))])?;
        written_beside(&target, text.as_bytes(), prefix)?
            .persist(&target)
            .map_err(|error| error.error)?;
    }
    for Remove { name, old } in &journal.remove {
        let path = directory.join(name);
        keep_edited(&path, &[Some(*old)])?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    File::open(directory)?.sync_all()?;
    fs::remove_file(directory.join(JOURNAL))
}

/// A synced file beside `target`, with the rights of `target`.
fn written_beside(target: &Path, text: &[u8], prefix: &str) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix(prefix)
        .tempfile_in(directory_of(target))?;
    file.write_all(text)?;
    let permissions = match fs::metadata(target) {
        Ok(metadata) => {
            // Whoever could read it still can. Another owner's file may not be given back; that is no reason to fail.
            let owner = (Some(metadata.uid()), Some(metadata.gid()));
            let _ = std::os::unix::fs::chown(file.path(), owner.0, owner.1);
            metadata.permissions()
        }
        Err(_) => fs::Permissions::from_mode(0o644),
    };
    file.as_file().set_permissions(permissions)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// What the names of a config's unfinished files begin with.
fn prefix(config: &Path) -> String {
    let name = config.file_name().unwrap_or(config.as_os_str());
    format!("{UNFINISHED}{}-", name.to_string_lossy())
}

/// Says where texts were put that had never been in force.
pub(super) fn say_kept(kept: &[PathBuf]) {
    for path in kept {
        eprint(&format!(
            "what was on disk had never been in force; it is kept as `{}`\n",
            path.display()
        ));
    }
}

/// The error, with what to do about it.
fn advise(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::ResourceBusy => io::Error::new(
            error.kind(),
            format!("{error}; the file is mounted by itself: mount its directory instead"),
        ),
        _ => error,
    }
}

/// A name beside `path` that nothing has yet.
fn free_name(path: &Path) -> PathBuf {
    let named = |number: usize| {
        let mut name = path.as_os_str().to_owned();
        name.push(UNAPPLIED);
        if number > 1 {
            name.push(format!("-{number}"));
        }
        PathBuf::from(name)
    };
    let mut number = 1;
    while named(number).exists() {
        number += 1;
    }
    named(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use waypost_config::{Kind, Source};

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        directory
    }

    fn texts(directory: &Path, files: &[(&str, &str)]) -> Texts {
        let sources = files.iter().map(|(name, text)| Source {
            name: directory.join(name).display().to_string(),
            text: text.as_bytes().into(),
        });
        Texts {
            sources: sources.collect(),
            kind: Kind::Directory,
        }
    }

    fn contents(directory: &Path) -> Vec<(String, String)> {
        let mut files: Vec<(String, String)> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, fs::read_to_string(path).unwrap_or_default())
            })
            .collect();
        files.sort();
        files
    }

    const OLD: &[(&str, &str)] = &[("a.yaml", "1"), ("b.yaml", "1"), ("c.yaml", "1")];
    const NEW: &[(&str, &str)] = &[("a.yaml", "2"), ("b.yaml", "1"), ("d.yaml", "2")];

    fn pairs(files: &[(&str, &str)]) -> Vec<(String, String)> {
        let files = files.iter();
        files
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect()
    }

    fn prepared(directory: &Path) -> Prepared {
        let on_disk = config::read(directory).unwrap();
        prepare(directory, &texts(directory, NEW), &on_disk, |_, _| true).unwrap()
    }

    #[test]
    fn it_is_there_as_a_whole_and_can_be_undone() {
        let directory = directory(OLD);
        let committed = prepared(directory.path()).commit().unwrap();
        let mut with_journal = contents(directory.path());
        with_journal.retain(|(name, _)| name != JOURNAL);
        assert_eq!(with_journal, pairs(NEW));
        committed.undo().unwrap();
        assert_eq!(contents(directory.path()), pairs(OLD));
        prepared(directory.path()).commit().unwrap().finish();
        assert_eq!(contents(directory.path()), pairs(NEW));
    }

    #[test]
    fn a_start_completes_what_was_interrupted_at_any_step() {
        for step in 0..=3 {
            let directory = directory(OLD);
            let path = directory.path();
            let mut prepared = prepared(path);
            // As far as the kill lets it come: the journal, then one file after the other.
            let journal = journal();
            sealed::write(&path.join(JOURNAL), &serde_json::to_vec(&journal).unwrap()).unwrap();
            for Replaced { file, target, .. } in prepared.replaced.drain(..).take(step.min(2)) {
                file.persist(target).unwrap();
            }
            if step == 3 {
                fs::remove_file(path.join("c.yaml")).unwrap();
            }
            fs::write(path.join(format!("{}x", prefix(path))), "half").unwrap();
            assert_eq!(recover(path, false).said, Vec::<String>::new(), "somebody else's");
            assert!(recover(path, true).said[0].contains("complete now"));
            assert_eq!(contents(path), pairs(NEW), "step {step}");
            assert_eq!(recover(path, true).said, Vec::<String>::new());
        }
    }

    /// The journal of the change from `OLD` to `NEW`.
    fn journal() -> Journal {
        let write = |name: &str, old: Option<&str>| Write {
            name: name.to_owned(),
            text: "2".to_owned(),
            old: old.map(|old| xxh3_64(old.as_bytes())),
        };
        Journal {
            write: vec![write("a.yaml", Some("1")), write("d.yaml", None)],
            remove: vec![Remove {
                name: "c.yaml".to_owned(),
                old: xxh3_64(b"1"),
            }],
        }
    }

    #[test]
    fn what_was_edited_after_an_interruption_is_kept_beside() {
        let directory = directory(OLD);
        let path = directory.path();
        sealed::write(&path.join(JOURNAL), &serde_json::to_vec(&journal()).unwrap()).unwrap();
        fs::write(path.join("a.yaml"), "by hand").unwrap();
        fs::write(path.join("c.yaml"), "by hand").unwrap();
        assert_eq!(recover(path, true).said.len(), 3);
        for name in ["a.yaml.unapplied", "c.yaml.unapplied"] {
            assert_eq!(fs::read_to_string(path.join(name)).unwrap(), "by hand");
        }
    }

    #[test]
    fn an_edit_that_comes_in_between_is_put_back() {
        for name in ["a.yaml", "c.yaml", "d.yaml"] {
            let directory = directory(OLD);
            let path = directory.path();
            let prepared = prepared(path);
            fs::write(path.join(name), "by hand").unwrap();
            assert!(matches!(prepared.commit(), Err(CommitError::Edited(_))), "{name}");
            let mut expected = OLD.to_vec();
            expected.retain(|(other, _)| *other != name);
            expected.push((name, "by hand"));
            expected.sort_unstable();
            assert_eq!(contents(path), pairs(&expected), "{name}");
        }
    }

    #[test]
    fn links_stay_links_and_are_known_by_their_names_in_the_config() {
        let directory = directory(OLD);
        let path = directory.path();
        fs::create_dir(path.join("real")).unwrap();
        fs::rename(path.join("a.yaml"), path.join("real/team-a")).unwrap();
        std::os::unix::fs::symlink("real/team-a", path.join("a.yaml")).unwrap();
        sealed::write(&path.join(JOURNAL), &serde_json::to_vec(&journal()).unwrap()).unwrap();
        recover(path, true);
        assert_eq!(fs::read_to_string(path.join("real/team-a")).unwrap(), "2");
        let prepared = prepare(
            path,
            &texts(path, &[("a.yaml", "3")]),
            &config::read(path).unwrap(),
            |_, _| true,
        );
        let prepared = prepared.unwrap();
        assert_eq!(prepared.replaced[0].name, "a.yaml");
        prepared.commit().unwrap().finish();
        assert!(fs::symlink_metadata(path.join("a.yaml")).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(path.join("real/team-a")).unwrap(), "3");
    }

    #[test]
    fn an_error_in_the_middle_puts_everything_back() {
        let directory = directory(OLD);
        let prepared = prepared(directory.path());
        // What is to be removed cannot be: it is a directory by now.
        fs::remove_file(directory.path().join("c.yaml")).unwrap();
        fs::create_dir(directory.path().join("c.yaml")).unwrap();
        assert!(prepared.commit().is_err());
        fs::remove_dir(directory.path().join("c.yaml")).unwrap();
        assert_eq!(contents(directory.path()), pairs(&OLD[..2]));
    }

    #[test]
    fn what_was_never_in_force_is_kept_under_a_name_of_its_own() {
        let directory = directory(&[("a.yaml", "broken")]);
        let path = directory.path();
        for expected in ["a.yaml.unapplied", "a.yaml.unapplied-2"] {
            fs::write(path.join("a.yaml"), "broken").unwrap();
            let on_disk = config::read(path).unwrap();
            let new = texts(path, &[("a.yaml", "good")]);
            let committed = prepare(path, &new, &on_disk, |_, _| false)
                .unwrap()
                .commit()
                .unwrap();
            assert_eq!(committed.kept, [path.join(expected)]);
            committed.finish();
            assert_eq!(fs::read_to_string(path.join(expected)).unwrap(), "broken");
        }
    }
}
