//! The journal of a change of several files, so that a kill at any moment leaves the old config or the new one.
//!
//! It is written before the first file is replaced, and removed after the last. A start that finds one completes the
//! change.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::unfinished::{keep_beside, prefix, sweep, written_beside};
use crate::checksummed::{self, Damaged, directory_of};

/// The name of the journal, in the directory of the config.
pub(super) const JOURNAL: &str = ".waypost-journal";

/// The changes of a directory.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Journal {
    pub(super) write: Vec<Write>,
    pub(super) remove: Vec<Remove>,
}

/// A file to be written.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Write {
    pub(super) name: String,
    pub(super) text: String,
    /// The checksum of the text it replaces; `None` for a new file.
    pub(super) old: Option<u64>,
}

/// A file to be removed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Remove {
    pub(super) name: String,
    pub(super) old: u64,
}

/// The result of completing an interrupted change at the start.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// Messages for the operator.
    pub(crate) messages: Vec<String>,
    /// A journal that cannot be read.
    pub(crate) damaged: Option<Damaged>,
}

/// Completes the change that a killed process began, and removes its temporary files. Must run before the config is
/// read; only the owner of a config may complete a change.
pub(super) fn recover(config: &Path, owned: bool) -> Recovered {
    let mut recovered = Recovered::default();
    let real = fs::canonicalize(config).unwrap_or_else(|_| config.to_owned());
    let directory = if real.is_dir() {
        &*real
    } else {
        directory_of(&real)
    };
    let prefix = prefix(config);
    sweep(directory, &prefix, owned);
    let path = real.join(JOURNAL);
    if !owned || !real.is_dir() {
        return recovered;
    }
    let journal = match checksummed::read(&path) {
        Ok(None) => return recovered,
        Ok(Some(journal)) => serde_json::from_slice(&journal).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let journal: Journal = match journal {
        Ok(journal) => journal,
        Err(why) => {
            recovered.damaged = Some(checksummed::set_aside(&path, &why, true));
            return recovered;
        }
    };
    match complete(&real, &journal, &prefix, &mut recovered.messages) {
        Ok(()) => recovered
            .messages
            .push("a change of the config had been interrupted; it is complete now".to_owned()),
        Err(error) => recovered.messages.push(format!(
            "a change of the config had been interrupted, and cannot be completed: {error}"
        )),
    }
    recovered
}

/// Carries out a journal. A text that is neither the old one nor the new one was edited since, and is kept beside.
fn complete(directory: &Path, journal: &Journal, prefix: &str, messages: &mut Vec<String>) -> io::Result<()> {
    let mut keep_edited = |path: &Path, known: &[Option<u64>]| -> io::Result<()> {
        let found = match fs::read(path) {
            Ok(bytes) => Some(xxh3_64(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if found.is_some() && !known.contains(&found) {
            let kept = keep_beside(path)?;
            messages.push(format!(
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
