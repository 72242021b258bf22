//! Writing a config back to disk, so that a kill at any moment leaves the old one or the new one.
//!
//! One file is replaced by a rename. For several, what is to be is written down first, in a journal beside them; a
//! start that finds one completes it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::config::{self, Texts};
use crate::output::eprint;
use crate::state::revisions::file_name;
use crate::state::sealed::{self, directory_of};

/// What the name of a file begins with while it is written; the name of the config follows. The loader passes over
/// it, as over all dot files.
const UNFINISHED: &str = ".waypost-unfinished-";
/// The journal of a directory.
const JOURNAL: &str = ".waypost-journal";
/// What the name of a file ends with whose text was never in force when it was replaced.
const UNAPPLIED: &str = ".unapplied";

/// Files that are written and synced, but not in their places.
pub(super) struct Prepared {
    replaced: Vec<Replaced>,
    /// Files that go, with their texts.
    surplus: Vec<(PathBuf, Vec<u8>)>,
    /// Files whose text on disk was never in force: it is kept beside.
    unapplied: Vec<PathBuf>,
    journal: Option<PathBuf>,
}

/// A file, its new text beside it, and its old one.
struct Replaced {
    file: NamedTempFile,
    target: PathBuf,
    new: Vec<u8>,
    old: Option<Vec<u8>>,
}

/// Files that are in their places, while that can be undone.
pub(super) struct Committed {
    restore: Vec<(PathBuf, Option<Vec<u8>>)>,
    journal: Option<PathBuf>,
    /// Where texts were put that had never been in force.
    pub(super) kept: Vec<PathBuf>,
}

/// What a directory is to hold, as far as it changes.
#[derive(Debug, Serialize, Deserialize)]
struct Journal {
    write: Vec<(String, String)>,
    remove: Vec<String>,
}

/// The texts on disk; none of a config that is not there.
pub(super) fn read(path: &Path, kind: waypost_config::Kind) -> Texts {
    config::read(path).unwrap_or(Texts {
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
            file: written_beside(&target, &source.text, &prefix(config))?,
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
    pub(super) fn commit(self) -> io::Result<Committed> {
        let mut committed = Committed {
            restore: Vec::new(),
            journal: None,
            kept: Vec::new(),
        };
        match self.carry_out(&mut committed) {
            Ok(()) => Ok(committed),
            Err(error) => match committed.undo() {
                Ok(()) => Err(error),
                Err(undone) => Err(io::Error::other(format!(
                    "{error}; and what had been replaced already could not be put back: {undone}"
                ))),
            },
        }
    }

    fn carry_out(self, committed: &mut Committed) -> io::Result<()> {
        for path in &self.unapplied {
            let beside = free_name(path);
            fs::copy(path, &beside)?;
            File::open(&beside)?.sync_all()?;
            committed.kept.push(beside);
        }
        if let Some(journal) = self.journal {
            let name = |path: &Path| file_name(&path.to_string_lossy()).to_owned();
            let replaced = self.replaced.iter();
            let entry = Journal {
                write: replaced
                    .map(|replaced| {
                        let text = String::from_utf8_lossy(&replaced.new).into_owned();
                        (name(&replaced.target), text)
                    })
                    .collect(),
                remove: self.surplus.iter().map(|(path, _)| name(path)).collect(),
            };
            sealed::write(&journal, &serde_json::to_vec(&entry)?)?;
            committed.journal = Some(journal);
        }
        let mut directories: Vec<PathBuf> = Vec::new();
        for Replaced {
            file, target, old, ..
        } in self.replaced
        {
            file.persist(&target).map_err(|error| advise(error.error))?;
            directories.push(directory_of(&target).to_owned());
            committed.restore.push((target, old));
        }
        for (path, old) in self.surplus {
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
                    written_beside(path, old, UNFINISHED)?
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

/// Completes what a killed process had begun, and removes what it left half written. For a start, before the config is
/// read. Returns what there is to say of it.
pub(crate) fn recover(config: &Path) -> Option<String> {
    let real = fs::canonicalize(config).unwrap_or_else(|_| config.to_owned());
    let directory = if real.is_dir() {
        &*real
    } else {
        directory_of(&real)
    };
    let prefix = prefix(config);
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(prefix.as_bytes())
        {
            let _ = fs::remove_file(entry.path());
        }
    }
    if !real.is_dir() {
        return None;
    }
    let path = real.join(JOURNAL);
    let journal: Journal = match sealed::read(&path) {
        Ok(None) => return None,
        Ok(Some(journal)) => serde_json::from_slice(&journal).ok()?,
        Err(error) => {
            let now = sealed::damaged(&path, &error.to_string(), true).now;
            return Some(format!(
                "`{}` is damaged: {error}; it is now `{}`",
                path.display(),
                now.display()
            ));
        }
    };
    let complete = || -> io::Result<()> {
        for (name, text) in &journal.write {
            let target = real.join(name);
            let target = fs::canonicalize(&target).unwrap_or(target);
            written_beside(&target, text.as_bytes(), &prefix)?
                .persist(&target)
                .map_err(|error| error.error)?;
        }
        for name in &journal.remove {
            match fs::remove_file(real.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        File::open(&real)?.sync_all()?;
        fs::remove_file(&path)
    };
    Some(match complete() {
        Ok(()) => "a change of the config had been interrupted; it is complete now".to_owned(),
        Err(error) => {
            format!("a change of the config had been interrupted, and cannot be completed: {error}")
        }
    })
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
            text: text.as_bytes().to_vec(),
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
            let journal = Journal {
                write: vec![
                    ("a.yaml".to_owned(), "2".to_owned()),
                    ("d.yaml".to_owned(), "2".to_owned()),
                ],
                remove: vec!["c.yaml".to_owned()],
            };
            sealed::write(&path.join(JOURNAL), &serde_json::to_vec(&journal).unwrap()).unwrap();
            for Replaced { file, target, .. } in prepared.replaced.drain(..).take(step.min(2)) {
                file.persist(target).unwrap();
            }
            if step == 3 {
                fs::remove_file(path.join("c.yaml")).unwrap();
            }
            fs::write(path.join(format!("{}x", prefix(path))), "half").unwrap();
            assert!(recover(path).unwrap().contains("complete now"));
            assert_eq!(contents(path), pairs(NEW), "step {step}");
            assert_eq!(recover(path), None);
        }
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
