//! Changes of the config by the admin API: apply, confirm, revert, roll back.
//!
//! An accepted change is on disk before the response is sent. A change that waits for confirmation is not, so a crash
//! reverts it.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::time::Instant;
use waypost_admin::command::{
    Applied, Change, ConfigFile, ConfigTexts, Replaced, RevisionFile, RevisionTexts, TestCounts,
};
use waypost_admin::events::EventKind;
use waypost_admin::problem::Problem;
use waypost_config::diagnostic::{Code, Diagnostic};
use waypost_config::{Kind, Source};
use waypost_fleet::key::{ConfigName, FILE_NAME_BYTES_MAX};

use super::activate::{ActivateError, Activation, Candidate};
use super::report::{diagnostics_view, timestamp_of};
use super::stored::{log_damaged, revision_view};
use super::{Control, Pending};
use crate::checksummed::ReadError;
use crate::log;
use crate::output::{self, count};
use crate::source::disk::write::{CommitError, Prepared};
use crate::source::{PrepareError, Version};
use crate::state::revision::Origin;
use crate::state::revisions;
use crate::texts::{Texts, file_name};

/// The delay before a failed revert is tried again.
const REVERT_RETRY: Duration = Duration::from_secs(1);

impl Control {
    /// The active config.
    pub(super) fn config_texts(&mut self) -> ConfigTexts {
        let active = &self.active;
        let served = self.active_view.get_or_insert_with(|| {
            let files = active.sources.iter().map(|source| ConfigFile {
                name: file_name(&source.name).to_owned(),
                hash: hash_of(source),
                text: Bytes::from_owner(Arc::clone(&source.text)),
            });
            ConfigTexts {
                hash: revisions::hash(active),
                revision: 0,
                is_directory: active.kind == Kind::Directory,
                files: files.collect(),
            }
        });
        let mut texts = served.clone();
        texts.revision = self.number();
        texts
    }

    /// Replaces the config, or only checks the replacement.
    pub(super) async fn change(&mut self, change: Change) -> Result<Applied, Problem> {
        // Changes on disk come first, so that none is overwritten unseen.
        self.reload(super::reload::Because::Changed).await;
        if change.confirm.is_some() {
            self.refuse_confirmation()?;
        }
        let trial = change
            .canary
            .as_ref()
            .map(|trial| self.trial(trial))
            .transpose()?;
        let texts = self.changed_texts(&change)?;
        let candidate = self.checked(&texts).await?;
        if change.dry_run {
            return Ok(self.dry_run(&texts, candidate).await);
        }
        let is_same = revisions::hash(&texts) == revisions::hash(&self.active);
        if let (false, Some(trial)) = (is_same, trial) {
            return self.begin_canary(texts, candidate, trial, change.by).await;
        }
        if is_same && self.pending.is_some() && change.confirm.is_none() {
            return self.confirm(change.by, None).await;
        }
        if let (true, Some(pending), Some(wait)) = (is_same, &mut self.pending, change.confirm) {
            pending.deadline = Instant::now() + wait;
            self.report_state();
            return Ok(self.unchanged());
        }
        if is_same {
            // The text on disk may be another one, which was refused.
            let before = self.number();
            if change.confirm.is_none() {
                self.put_in_source(&texts, change.by).await?;
            }
            let unchanged = self.unchanged();
            return Ok(match self.number() == before {
                true => unchanged,
                // In a fleet, that is a revision.
                false => Applied {
                    changed: true,
                    summary: "the same as before, in place of what was refused".to_owned(),
                    ..unchanged
                },
            });
        }
        self.apply_texts(texts, candidate, Origin::Api, change.by, change.confirm)
            .await
    }

    /// Activates an earlier revision again; the active config has to be one of `if_match`.
    pub(super) async fn roll_back(
        &mut self,
        number: u64,
        by: String,
        if_match: Option<&[String]>,
    ) -> Result<Applied, Problem> {
        self.reload(super::reload::Because::Changed).await;
        if !self.is_active(if_match) {
            return Err(Problem::stale(format!(
                "revision {} is active now, which is another config; read it again",
                self.gateway.generation().number()
            )));
        }
        let mut texts = self.texts_of(number)?;
        if texts.kind != self.active.kind {
            return Err(Problem::conflict(format!(
                "revision {number} is of a config that was {}, and this one is {}",
                kind_word(texts.kind),
                kind_word(self.active.kind)
            )));
        }
        texts.local.clone_from(&self.active.local);
        // The config may have had another path then.
        for source in &mut texts.sources {
            source.name = self.text_name(file_name(&source.name));
        }
        let candidate = self.checked(&texts).await?;
        self.apply_texts(texts, candidate, Origin::Rollback, by, None)
            .await
    }

    /// Confirms the change that waits for it.
    pub(super) async fn confirm(
        &mut self,
        by: String,
        if_match: Option<&[String]>,
    ) -> Result<Applied, Problem> {
        let revision = self.expect_pending(if_match).await?;
        let texts = self.active.clone();
        self.put_in_source(&texts, by.clone()).await?;
        self.pending = None;
        let dials_dropped = self.drop_stale_dials().await;
        self.report_state();
        self.shared.events.publish(EventKind::Confirmed { revision, by });
        log::info(format_args!("revision {revision} is confirmed"));
        let mut applied = self.unchanged();
        applied.summary = "confirmed".to_owned();
        applied.dials_dropped = dials_dropped;
        Ok(applied)
    }

    /// Reverts the change that waits to be confirmed.
    pub(super) async fn revert_now(
        &mut self,
        by: &str,
        if_match: Option<&[String]>,
    ) -> Result<Applied, Problem> {
        let revision = self.expect_pending(if_match).await?;
        log::info(format_args!("{by} reverts revision {revision}"));
        self.revert().await;
        if self.pending.is_some() {
            return Err(Problem::conflict(
                "the change cannot be reverted; the gateway will retry, see its status",
            ));
        }
        let mut applied = self.unchanged();
        applied.changed = true;
        applied.summary = "reverted".to_owned();
        Ok(applied)
    }

    /// The revision that waits to be confirmed; its config has to be one of `if_match`.
    async fn expect_pending(&mut self, if_match: Option<&[String]>) -> Result<u64, Problem> {
        // An edit on disk ends the wait, and is not overwritten unseen.
        self.reload(super::reload::Because::Changed).await;
        let Some(pending) = &self.pending else {
            return Err(Problem::conflict("nothing waits to be confirmed"));
        };
        let revision = pending.revision;
        if !self.is_active(if_match) {
            return Err(Problem::stale(format!(
                "another change waits to be confirmed, revision {revision}; read it again"
            )));
        }
        Ok(revision)
    }

    /// Returns true if the active config is one of `if_match`, or any will do.
    fn is_active(&self, if_match: Option<&[String]>) -> bool {
        let hash = revisions::hash(&self.present_texts());
        if_match.is_none_or(|tags| tags.iter().any(|tag| tag == "*" || *tag == hash))
    }

    /// Reverts a change that was not confirmed in time. A failed revert is retried.
    pub(super) async fn revert(&mut self) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        log::info(format_args!(
            "revision {} was not confirmed: reverting it",
            pending.revision
        ));
        let texts = &pending.reverts_to;
        let outcome = match self.check(texts).await {
            Ok(candidate) => {
                let activation = Activation::of_source(Origin::Revert);
                let reverted = self.activate(texts, candidate, &activation, None).await;
                reverted.map_err(|error| error.to_string())
            }
            Err(diagnostics) => Err(output::render(&diagnostics, texts, false)),
        };
        match outcome {
            Ok(_) => self.set_last_good(),
            Err(error) => {
                let message = format!("the change cannot be reverted: {error}");
                log::warn(format_args!("{message}; the gateway will retry"));
                self.note_refusal(&message, Vec::new());
                self.pending = Some(Pending {
                    deadline: Instant::now() + REVERT_RETRY,
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
                if let Some(damaged) = self.state.revisions.set_aside(number, &why) {
                    log_damaged(&damaged);
                    self.state.damaged.push(damaged);
                }
                self.report_state();
                Err(Problem::gone(format!("revision {number} is damaged: {why}")))
            }
        }
    }

    /// The active texts with a change made to them. Its `If-Match` must fit.
    pub(super) fn changed_texts(&self, change: &Change) -> Result<Texts, Problem> {
        let mut texts = self.present_texts();
        let is_directory = texts.kind == Kind::Directory;
        match &change.what {
            // The config of a fleet is a directory, also where one text is all of it.
            Replaced::Text(text) if self.fleet().is_some() && texts.sources.len() < 2 => {
                self.expect(change, &revisions::hash(&texts))?;
                let only = texts.sources.pop();
                texts.sources.push(Source {
                    name: only.map_or_else(|| self.text_name(""), |only| only.name),
                    text: text.as_slice().into(),
                });
            }
            Replaced::Text(_) if is_directory => {
                return Err(Problem::conflict(
                    "the config is a directory: give a directory, such as `waypost apply conf.d`; over the API, replace a file under \
                     /api/v1/config/files, or all of them by JSON",
                ));
            }
            Replaced::Files(files) if !is_directory => match &files[..] {
                [(name, text)] if name == file_name(&texts.sources[0].name) => {
                    self.expect(change, &revisions::hash(&texts))?;
                    texts.sources[0].text = text.as_slice().into();
                }
                _ => {
                    return Err(Problem::conflict(
                        "the config is one file; send that alone, or its text as application/yaml",
                    ));
                }
            },
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
                        name: self.text_name(name),
                        text: text.as_slice().into(),
                    })
                    .collect();
                sources.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
                if let Some(pair) = sources.windows(2).find(|pair| pair[0].name == pair[1].name) {
                    return Err(Problem::invalid(format!(
                        "`{}` is given twice",
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
                            name: self.text_name(name),
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

    /// Refuses a change whose `If-Match` has none of `*` and `hash`.
    fn expect(&self, change: &Change, hash: &str) -> Result<(), Problem> {
        let fits = |tag: &String| tag == "*" || (!hash.is_empty() && tag == hash);
        if change.if_match.iter().any(fits) {
            return Ok(());
        }
        Err(self.changed_since())
    }

    /// Compiles and checks `texts`; the problem has their diagnostics.
    pub(super) async fn checked(&mut self, texts: &Texts) -> Result<Candidate, Problem> {
        let is_shared = self.fleet().is_some();
        let checked = self.check(texts).await;
        checked.map_err(|diagnostics| match is_shared && are_of_files(&diagnostics) {
            true => cannot_obey(&diagnostics),
            false => refused(&diagnostics),
        })
    }

    /// Activates texts, and writes them to disk unless they wait for confirmation.
    pub(super) async fn apply_texts(
        &mut self,
        texts: Texts,
        candidate: Candidate,
        origin: Origin,
        by: String,
        confirm: Option<Duration>,
    ) -> Result<Applied, Problem> {
        let prepared = match confirm {
            Some(_) => None,
            None => self.prepare(&texts)?,
        };
        let deadline = confirm.map(|wait| Instant::now() + wait);
        let activation = Activation::requested(origin, by, deadline.map(timestamp_of));
        log::diagnostics(&candidate.checked.warnings, &texts);
        let warnings = diagnostics_view(&candidate.checked.warnings);
        let before = self.active.clone();
        let activated = self.activate(&texts, candidate, &activation, prepared).await;
        self.report_state();
        let activated = activated.map_err(not_activated)?;
        if let Some(deadline) = deadline {
            // Of several unconfirmed changes in a row, the texts on disk are those before the first.
            let reverts_to = self.pending.take().map_or(before, |pending| pending.reverts_to);
            self.pending = Some(Pending {
                revision: self.number(),
                deadline,
                reverts_to,
            });
            log::info(format_args!("revision {} waits to be confirmed", self.number()));
        } else {
            self.pending = None;
            self.mark_on_disk(&texts);
        }
        self.report_state();
        Ok(Applied {
            changed: true,
            summary: activated.summary,
            dials_dropped: activated.dials_dropped,
            warnings,
            reverts_at: activation.reverts_at,
            ..self.unchanged()
        })
    }

    /// Writes the active texts to the source.
    async fn put_in_source(&mut self, texts: &Texts, by: String) -> Result<(), Problem> {
        match self.prepare(texts)? {
            Some(prepared) => {
                let committed = prepared.commit().map_err(|error| match error {
                    CommitError::Edited(_) => Problem::stale(format!("nothing has changed: {error}")),
                    CommitError::Io(error) => cannot_replace(error),
                })?;
                committed.finish();
            }
            None => self.put_in_fleet(by).await?,
        }
        self.mark_on_disk(texts);
        Ok(())
    }

    /// Notes that the active texts are on disk.
    pub(super) fn mark_on_disk(&mut self, texts: &Texts) {
        self.version = Version::of(texts);
        self.set_last_good();
        self.clear_refusal();
    }

    /// Writes temporary files for texts. `None` if they are a fleet's, which are written with their revision.
    fn prepare(&mut self, texts: &Texts) -> Result<Option<Prepared>, Problem> {
        let was_active =
            |name: &str, text: &[u8]| self.last_good.get(name).is_some_and(|good| **good == *text);
        let prepared = self.source.prepare(texts, &self.version, was_active);
        prepared.map(Some).or_else(|error| match error {
            PrepareError::Shared => Ok(None),
            error => Err(cannot_prepare(error)),
        })
    }

    /// The full name of a file of the config.
    fn text_name(&self, file: &str) -> String {
        self.source.text_name(file, self.active.kind)
    }

    /// The result of a change that is only checked.
    async fn dry_run(&mut self, texts: &Texts, candidate: Candidate) -> Applied {
        let Candidate { checked, changes } = candidate;
        let plan = checked.generation.plan();
        let applied = Applied {
            hash: revisions::hash(texts),
            changed: revisions::hash(texts) != revisions::hash(&self.active),
            dry_run: true,
            summary: changes.difference.to_string(),
            dials_dropped: self.state.dials.clone().drop_stale(plan),
            warnings: diagnostics_view(&checked.warnings),
            // A failing test is an error of the config.
            tests: Some(TestCounts {
                passed: plan.tests().len(),
                failed: 0,
            }),
            ..self.unchanged()
        };
        let (moves, total) = self.moves_by(checked.generation).await;
        Applied {
            moves: Some(moves),
            moves_total: Some(total),
            ..applied
        }
    }

    /// The result of a change that changes nothing.
    pub(super) fn unchanged(&self) -> Applied {
        Applied {
            revision: self.number(),
            hash: revisions::hash(&self.active),
            changed: false,
            dry_run: false,
            summary: "no change".to_owned(),
            dials_dropped: Vec::new(),
            warnings: Vec::new(),
            reverts_at: self
                .pending
                .as_ref()
                .map(|pending| timestamp_of(pending.deadline)),
            canary: None,
            tests: None,
            moves: None,
            moves_total: None,
        }
    }
}

/// The problem of a config that was not activated.
pub(super) fn not_activated(error: ActivateError) -> Problem {
    let detail = format!("nothing has changed: {error}");
    match error {
        ActivateError::Disk(CommitError::Edited(_)) => Problem::stale(detail),
        ActivateError::Store(error) => error.problem("nothing has changed"),
        ActivateError::Disk(CommitError::Io(_)) => Problem::not_stored(detail),
        ActivateError::Admin(_) | ActivateError::Apply(_) => Problem::conflict(detail),
    }
}

/// The problem of a config with errors.
pub(super) fn refused(diagnostics: &[Diagnostic]) -> Problem {
    let errors = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.is_error())
        .count();
    let detail = format!("the config has {}; nothing has changed", count(errors, "error"));
    Problem::invalid(detail).with_diagnostics(diagnostics_view(diagnostics))
}

/// Returns true if all errors are about the files that a config names, which each machine has for itself.
fn are_of_files(diagnostics: &[Diagnostic]) -> bool {
    let mut errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
    errors.all(|diagnostic| {
        matches!(
            diagnostic.code,
            Code::UnreadableFile | Code::BadCertificate | Code::BadKeyFile | Code::BadPasswordFile
        )
    })
}

/// The problem of a config that other instances may obey, and this one cannot.
fn cannot_obey(diagnostics: &[Diagnostic]) -> Problem {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
    let whys: Vec<&str> = errors.map(|error| &*error.message).collect();
    let detail = format!(
        "nothing has changed: this instance cannot obey the config itself: {}",
        whys.join("; ")
    );
    Problem::conflict(detail).with_diagnostics(diagnostics_view(diagnostics))
}

/// The hash of one file.
fn hash_of(source: &Source) -> String {
    revisions::hash(&Texts {
        sources: vec![source.clone()],
        kind: Kind::File,
        local: None,
    })
}

fn check_file_name(name: &str) -> Result<(), Problem> {
    if ConfigName::new(name).is_some() {
        return Ok(());
    }
    Err(Problem::invalid(format!(
        "`{name}` cannot be a file of the config: it ends in `.yaml` or `.yml`, does not begin with a dot, and has \
         {FILE_NAME_BYTES_MAX} bytes at most"
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

fn cannot_prepare(error: PrepareError) -> Problem {
    match error {
        PrepareError::NotOwned | PrepareError::Shared => {
            Problem::not_stored(format!("nothing has changed: {error}"))
        }
        // The version was read a moment ago.
        PrepareError::Edited => Problem::stale(format!("{error}; try again")),
        PrepareError::Io(error) => cannot_replace(error),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is for `map_err`")]
fn cannot_replace(error: std::io::Error) -> Problem {
    Problem::not_stored(format!(
        "nothing has changed: the config on disk cannot be replaced: {error}"
    ))
}
