//! Changes of the config that come by the admin API: applied, confirmed, taken back, rolled back.
//!
//! An accepted change is on disk before it is answered. One that waits to be confirmed is not, so that a crash takes
//! it back as well.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::time::Instant;
use waypost_admin::command::{
    Applied, Change, ConfigFile, ConfigTexts, Replaced, RevisionFile, RevisionTexts,
};
use waypost_admin::events::EventKind;
use waypost_admin::problem::Problem;
use waypost_config::{Kind, Source};

use super::disk::{self, CommitError, Prepared, say_kept};
use super::in_force::{ForceError, Provenance, Successor};
use super::report::{diagnostics_view, say_warnings, timestamp_of};
use super::stored::{revision_view, say_damaged};
use super::{Control, Pending};
use crate::config::Texts;
use crate::load;
use crate::output::{count, eprint};
use crate::state::revisions::{self, Origin, file_name};
use crate::state::sealed::ReadError;

/// How long a change that could not be taken back waits for the next attempt.
const REVERT_AGAIN: Duration = Duration::from_secs(1);

impl Control {
    /// The config in force.
    pub(super) fn config_texts(&mut self) -> ConfigTexts {
        let in_force = &self.in_force;
        let served = self.served.get_or_insert_with(|| {
            let files = in_force.sources.iter().map(|source| ConfigFile {
                name: file_name(&source.name).to_owned(),
                hash: hash_of(source),
                text: Bytes::from_owner(Arc::clone(&source.text)),
            });
            ConfigTexts {
                hash: revisions::hash(in_force),
                revision: 0,
                is_directory: in_force.kind == Kind::Directory,
                files: files.collect(),
            }
        });
        let mut texts = served.clone();
        texts.revision = self.number();
        texts
    }

    /// Replaces the config, or only tries to.
    pub(super) async fn change(&mut self, change: Change) -> Result<Applied, Problem> {
        // What has changed on disk meanwhile comes first, so that it is not overwritten unseen.
        self.reload(super::reload::Because::Changed).await;
        let texts = self.changed_texts(&change)?;
        let successor = self.checked(&texts).await?;
        if change.dry_run {
            return Ok(self.tried(&texts, &successor));
        }
        let is_same = revisions::hash(&texts) == revisions::hash(&self.in_force);
        if is_same && self.pending.is_some() && change.confirm.is_none() {
            return self.confirm(change.by).await;
        }
        if let (true, Some(pending), Some(wait)) = (is_same, &mut self.pending, change.confirm) {
            pending.deadline = Instant::now() + wait;
            self.report_state();
            return Ok(self.unchanged());
        }
        if is_same {
            // What is on disk may be another text all the same, one that was refused.
            if change.confirm.is_none() {
                self.put_on_disk(&texts)?;
            }
            return Ok(self.unchanged());
        }
        self.apply_texts(texts, successor, Origin::Api, change.by, change.confirm)
            .await
    }

    /// Applies a revision again.
    pub(super) async fn roll_back(&mut self, number: u64, by: String) -> Result<Applied, Problem> {
        self.reload(super::reload::Because::Changed).await;
        let mut texts = self.texts_of(number)?;
        if texts.kind != self.in_force.kind {
            return Err(Problem::conflict(format!(
                "revision {number} is of a config that was {}, and this one is {}",
                kind_word(texts.kind),
                kind_word(self.in_force.kind)
            )));
        }
        // The config may have been somewhere else then.
        for source in &mut texts.sources {
            source.name = self.name_on_disk(file_name(&source.name));
        }
        let successor = self.checked(&texts).await?;
        self.apply_texts(texts, successor, Origin::Rollback, by, None)
            .await
    }

    /// Keeps the change that waits to be confirmed.
    pub(super) async fn confirm(&mut self, by: String) -> Result<Applied, Problem> {
        // An edit on disk ends the waiting, and is not overwritten unseen.
        self.reload(super::reload::Because::Changed).await;
        let Some(pending) = &self.pending else {
            return Err(Problem::conflict("nothing waits to be confirmed"));
        };
        let revision = pending.revision;
        let texts = self.in_force.clone();
        self.put_on_disk(&texts)?;
        self.pending = None;
        let dials_dropped = self.drop_stale_dials();
        self.report_state();
        self.shared.events.publish(EventKind::Confirmed { revision, by });
        eprint(&format!("revision {revision} is confirmed\n"));
        let mut applied = self.unchanged();
        applied.summary = "confirmed".to_owned();
        applied.dials_dropped = dials_dropped;
        Ok(applied)
    }

    /// Takes back what nobody has confirmed in time. If that cannot be, it is tried again and again.
    pub(super) async fn revert(&mut self) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        eprint(&format!(
            "revision {} was not confirmed: it is taken back\n",
            pending.revision
        ));
        let texts = &pending.reverts_to;
        let outcome = match self.check(texts).await {
            Ok(successor) => {
                let provenance = Provenance::disk(Origin::Revert);
                let reverted = self.bring_into_force(texts, successor, &provenance, None).await;
                reverted.map_err(|error| error.to_string())
            }
            Err(diagnostics) => Err(load::render(&diagnostics, texts, false)),
        };
        match outcome {
            Ok(_) => self.remember_good(),
            Err(error) => {
                let message = format!("the change cannot be taken back: {error}");
                eprint(&format!("waypost: {message}; it is tried again in a while\n"));
                self.note_refusal(&message, Vec::new());
                self.pending = Some(Pending {
                    deadline: Instant::now() + REVERT_AGAIN,
                    ..pending
                });
            }
        }
        self.report_state();
    }

    /// A revision with its texts.
    pub(super) fn revision(&mut self, number: u64) -> Result<RevisionTexts, Problem> {
        let texts = self.texts_of(number)?;
        let revision = self.state.revisions.get(number).map(revision_view);
        let files = texts.sources.iter().map(|source| RevisionFile {
            name: file_name(&source.name).to_owned(),
            text: String::from_utf8_lossy(&source.text).into_owned(),
        });
        Ok(RevisionTexts {
            revision: revision.ok_or_else(|| no_revision(number))?,
            files: files.collect(),
        })
    }

    fn texts_of(&mut self, number: u64) -> Result<Texts, Problem> {
        self.state
            .revisions
            .get(number)
            .ok_or_else(|| no_revision(number))?;
        match self.state.revisions.texts(number) {
            Ok(texts) => Ok(texts),
            Err(ReadError::Io(error)) => Err(Problem::gone(format!(
                "revision {number} cannot be read: {error}"
            ))),
            Err(ReadError::Damaged(why)) => {
                let damaged = self.state.revisions.set_aside(number, &why);
                say_damaged(&damaged);
                self.state.damaged.push(damaged);
                self.report_state();
                Err(Problem::gone(format!("revision {number} is damaged: {why}")))
            }
        }
    }

    /// The texts that a change makes of those in force, if it replaces what it believes to.
    fn changed_texts(&self, change: &Change) -> Result<Texts, Problem> {
        let mut texts = self.in_force.clone();
        let is_directory = texts.kind == Kind::Directory;
        match &change.what {
            Replaced::Text(_) if is_directory => {
                return Err(Problem::conflict(
                    "the config is a directory; replace a file under /api/v1/config/files, or all of them by JSON",
                ));
            }
            Replaced::Files(_) if !is_directory => {
                return Err(Problem::conflict(
                    "the config is one file; send its text as application/yaml",
                ));
            }
            Replaced::Text(text) => {
                self.expect(change, &revisions::hash(&texts))?;
                texts.sources[0].text = text.as_slice().into();
            }
            Replaced::Files(files) => {
                self.expect(change, &revisions::hash(&texts))?;
                for (name, _) in files {
                    check_file_name(name)?;
                }
                let mut sources: Vec<Source> = files
                    .iter()
                    .map(|(name, text)| Source {
                        name: self.name_on_disk(name),
                        text: text.as_slice().into(),
                    })
                    .collect();
                sources.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
                if let Some(pair) = sources.windows(2).find(|pair| pair[0].name == pair[1].name) {
                    return Err(Problem::invalid(format!(
                        "`{}` comes twice",
                        file_name(&pair[0].name)
                    )));
                }
                texts.sources = sources;
            }
            Replaced::File(name, text) => {
                let known = texts
                    .sources
                    .iter_mut()
                    .find(|source| file_name(&source.name) == name);
                match known {
                    Some(source) => {
                        self.expect(change, &hash_of(source))?;
                        source.text = text.as_slice().into();
                    }
                    None if !is_directory => {
                        return Err(Problem::not_found(format!("the config has no file `{name}`")));
                    }
                    None => {
                        check_file_name(name)?;
                        self.expect(change, "")?;
                        texts.sources.push(Source {
                            name: self.name_on_disk(name),
                            text: text.as_slice().into(),
                        });
                        texts
                            .sources
                            .sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
                    }
                }
            }
        }
        Ok(texts)
    }

    /// Refuses a change that does not know what it replaces.
    fn expect(&self, change: &Change, hash: &str) -> Result<(), Problem> {
        let fits = |tag: &String| tag == "*" || (!hash.is_empty() && tag == hash);
        if change.if_match.iter().any(fits) {
            return Ok(());
        }
        Err(Problem::stale(format!(
            "the config is another one by now (revision {}); read it again",
            self.number()
        )))
    }

    /// What `texts` come to, or what is wrong with them.
    async fn checked(&mut self, texts: &Texts) -> Result<Successor, Problem> {
        self.check(texts).await.map_err(|diagnostics| {
            let errors = diagnostics
                .iter()
                .filter(|diagnostic| diagnostic.is_error())
                .count();
            let detail = format!("the config has {}; nothing has changed", count(errors, "error"));
            Problem::invalid(detail).with_diagnostics(diagnostics_view(&diagnostics))
        })
    }

    /// Brings texts into force, and onto the disk unless they wait to be confirmed.
    async fn apply_texts(
        &mut self,
        texts: Texts,
        successor: Successor,
        origin: Origin,
        by: String,
        confirm: Option<Duration>,
    ) -> Result<Applied, Problem> {
        let prepared = match confirm {
            Some(_) => None,
            None => Some(self.prepare(&texts)?),
        };
        let deadline = confirm.map(|wait| Instant::now() + wait);
        let provenance = Provenance::asked(origin, by, deadline.map(timestamp_of));
        say_warnings(&texts, &successor.checked);
        let warnings = diagnostics_view(&successor.checked.warnings);
        let before = self.in_force.clone();
        let in_force = self
            .bring_into_force(&texts, successor, &provenance, prepared)
            .await;
        self.report_state();
        let in_force = in_force.map_err(|error| {
            let detail = format!("nothing has changed: {error}");
            match error {
                ForceError::Disk(CommitError::Edited(_)) => Problem::stale(detail),
                ForceError::Store(_) | ForceError::Disk(CommitError::Io(_)) => Problem::not_stored(detail),
                ForceError::Admin(_) | ForceError::Apply(_) => Problem::conflict(detail),
            }
        })?;
        if let Some(deadline) = deadline {
            // What is on disk stays what it was, however many changes wait to be confirmed one after the other.
            let reverts_to = self.pending.take().map_or(before, |pending| pending.reverts_to);
            self.pending = Some(Pending {
                revision: self.number(),
                deadline,
                reverts_to,
            });
            eprint(&format!("revision {} waits to be confirmed\n", self.number()));
        } else {
            self.pending = None;
            self.is_on_disk(texts);
        }
        self.report_state();
        Ok(Applied {
            changed: true,
            summary: in_force.summary,
            dials_dropped: in_force.dials_dropped,
            warnings,
            reverts_at: provenance.reverts_at,
            ..self.unchanged()
        })
    }

    /// Puts the texts in force on disk, where others are.
    fn put_on_disk(&mut self, texts: &Texts) -> Result<(), Problem> {
        let committed = self.prepare(texts)?.commit().map_err(|error| match error {
            CommitError::Edited(_) => Problem::stale(format!("nothing has changed: {error}")),
            CommitError::Io(error) => cannot_replace(error),
        })?;
        say_kept(&committed.kept);
        committed.finish();
        self.is_on_disk(texts.clone());
        Ok(())
    }

    /// Notes that these texts, which are in force, are on disk.
    fn is_on_disk(&mut self, texts: Texts) {
        self.read = texts;
        self.remember_good();
        self.note_mended();
    }

    /// Writes texts down beside what is on disk.
    fn prepare(&mut self, texts: &Texts) -> Result<Prepared, Problem> {
        if texts.kind == Kind::Directory && self.owned.is_none() {
            self.owned = disk::own(&self.path);
            if self.owned.is_none() {
                return Err(Problem::not_stored(
                    "nothing has changed: another gateway writes to this config",
                ));
            }
        }
        let on_disk = disk::read(&self.path, texts.kind);
        if !on_disk.sources.is_empty() && on_disk != self.read {
            // It was read a moment ago.
            return Err(Problem::stale(
                "the config on disk is just being edited; try again",
            ));
        }
        let was_in_force = |name: &str, text: &[u8]| self.good.get(name).is_some_and(|good| **good == *text);
        disk::prepare(&self.path, texts, &on_disk, was_in_force).map_err(cannot_replace)
    }

    /// The name that a file of the config has, as the loader gives it.
    fn name_on_disk(&self, name: &str) -> String {
        match self.in_force.kind {
            Kind::File => self.path.display().to_string(),
            Kind::Directory => self.path.join(name).display().to_string(),
        }
    }

    fn tried(&self, texts: &Texts, successor: &Successor) -> Applied {
        let Successor { checked, changes } = successor;
        let plan = checked.generation.plan();
        Applied {
            hash: revisions::hash(texts),
            changed: revisions::hash(texts) != revisions::hash(&self.in_force),
            dry_run: true,
            summary: changes.difference.to_string(),
            dials_dropped: self.state.dials.clone().drop_stale(plan),
            warnings: diagnostics_view(&checked.warnings),
            ..self.unchanged()
        }
    }

    /// What is in force, and stays.
    fn unchanged(&self) -> Applied {
        Applied {
            revision: self.number(),
            hash: revisions::hash(&self.in_force),
            changed: false,
            dry_run: false,
            summary: "no change".to_owned(),
            dials_dropped: Vec::new(),
            warnings: Vec::new(),
            reverts_at: self
                .pending
                .as_ref()
                .map(|pending| timestamp_of(pending.deadline)),
        }
    }
}

/// Identifies one file.
fn hash_of(source: &Source) -> String {
    revisions::hash(&Texts {
        sources: vec![source.clone()],
        kind: Kind::File,
    })
}

fn check_file_name(name: &str) -> Result<(), Problem> {
    let is_plain = Path::new(name).file_name().is_some_and(|plain| plain == name);
    let is_yaml = name.ends_with(".yaml") || name.ends_with(".yml");
    if is_plain && is_yaml && !name.starts_with('.') && !name.contains(char::is_control) {
        return Ok(());
    }
    Err(Problem::invalid(format!(
        "`{name}` cannot be a file of the config: it ends in `.yaml` or `.yml`, and does not begin with a dot"
    )))
}

fn no_revision(number: u64) -> Problem {
    Problem::not_found(format!(
        "there is no revision {number}, or it is not kept any more"
    ))
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "one file",
        Kind::Directory => "a directory",
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is for `map_err`")]
fn cannot_replace(error: std::io::Error) -> Problem {
    Problem::not_stored(format!(
        "nothing has changed: the config on disk cannot be replaced: {error}"
    ))
}
