//! Reloading the config after a change of its source.

use std::collections::BTreeSet;

use waypost_config::diagnostic::Diagnostic;
use waypost_config::{Kind, Source};

use super::Control;
use super::activate::{Activation, Candidate};
use super::report::diagnostics_view;
use super::unobeyed::are_of_files;
use crate::log;
use crate::output::count;
use crate::source::shared::Shared;
use crate::state::revision::Origin;
use crate::texts::Texts;

/// The reason of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Because {
    /// The source may have changed.
    Changed,
    /// SIGHUP.
    Requested,
}

impl Control {
    /// Obeys a change of the source.
    pub(crate) async fn take_change(&mut self) {
        match self.fleet() {
            Some(_) => self.obey().await,
            None => self.reload(Because::Changed).await,
        }
    }

    /// Reads the config, and activates it if it has no errors.
    pub(crate) async fn reload(&mut self, because: Because) {
        if because == Because::Requested {
            self.supervisor.reloading();
        }
        self.reload_source(because).await;
        self.supervisor.reloaded(&self.in_one_line());
    }

    async fn reload_source(&mut self, because: Because) {
        if because == Because::Requested {
            self.gateway.reopen_log();
            // An error is logged again on request.
            self.unreadable = None;
        }
        let (texts, version) = match self.source.read() {
            Ok((texts, _)) if texts.sources.is_empty() => {
                let lack = self.lack();
                let lack =
                    lack.unwrap_or_else(|| format!("`{}` has no *.yaml files any more", self.source.name()));
                return self.report_unreadable(&lack);
            }
            Ok(read) => read,
            Err(error) => return self.report_unreadable(&format!("{error:#}")),
        };
        if self.unreadable.take().is_some() {
            self.clear_refusal();
        }
        // SIGHUP also rotates logs, so it does not end a wait for confirmation.
        if version == self.version && (because == Because::Changed || self.pending.is_some()) {
            return;
        }
        self.version = version;
        self.supervisor.reloading();
        match self.check(&texts).await {
            Ok(candidate) => {
                self.activate_source(&texts, candidate).await;
            }
            Err(diagnostics) => self.refuse(&texts, &diagnostics).await,
        }
    }

    /// Activates the texts of the source. Returns true if that succeeds.
    async fn activate_source(&mut self, texts: &Texts, candidate: Candidate) -> bool {
        log::diagnostics(&candidate.checked.warnings, texts);
        let origin = match self.fleet() {
            Some(_) => Origin::Etcd,
            None => Origin::File,
        };
        let activation = Activation::of_source(origin);
        let summary = candidate.changes.difference.to_string();
        match self.activate(texts, candidate, &activation, None).await {
            Ok(_) => {
                if self.pending.take().is_some() {
                    log::info("the config on disk was edited: nothing waits to be confirmed any more");
                }
                self.set_last_good();
                self.report_state();
                true
            }
            Err(error) => {
                let again = self.expect_again();
                let message = format!("the change is refused: {error}{again}");
                self.note_refusal(&message, Vec::new());
                log::warn(&message);
                self.log_active_revision();
                self.note_put(texts, summary).await;
                false
            }
        }
    }

    /// Reports the diagnostics of a refused config. In a directory, the files without errors are activated together with the
    /// last good version of the others.
    async fn refuse(&mut self, texts: &Texts, diagnostics: &[Diagnostic]) {
        log::diagnostics(diagnostics, texts);
        let errors = diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.is_error())
            .count();
        let again = match are_of_files(diagnostics) {
            true => self.expect_again(),
            false => "",
        };
        let message = format!(
            "{}: {}, the change is refused{again}",
            self.source.name(),
            count(errors, "error")
        );
        let mut mended = None;
        let without = self.without_broken_files(texts, diagnostics);
        // What is tried is tried as a whole.
        if let Some(texts) = without.filter(|_| self.tries().is_none()) {
            let checked = self.check(&texts).await;
            mended = checked.ok().map(|candidate| (texts, candidate));
        }
        let Some((mended, candidate)) = mended else {
            // The status comes first: a reader of the log may ask for it at once.
            self.note_refusal(&message, diagnostics_view(diagnostics));
            log::warn(&message);
            self.log_active_revision();
            return;
        };
        log::warn(&message);
        log::warn("the broken files keep their last good version, the others are taken over");
        self.activate_source(&mended, candidate).await;
        // The refusal stands until the broken files are corrected.
        self.note_refusal(&message, diagnostics_view(diagnostics));
    }

    /// The texts with the last good version of each file that has an error, and of those that count together with it; `None` if
    /// these are the active texts.
    fn without_broken_files(&self, texts: &Texts, diagnostics: &[Diagnostic]) -> Option<Texts> {
        // A config that is tried is tried as a whole.
        if texts.kind == Kind::File || self.source.shared().is_some_and(Shared::is_trying) {
            return None;
        }
        let has_changed = |name: &str| {
            let now = texts.sources.iter().find(|source| source.name == name);
            now.is_some_and(|source| self.last_good.get(name) != Some(&source.text))
        };
        // A conflict names two places; an unchanged file is not its cause.
        let broken: BTreeSet<&str> = diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.is_error())
            .flat_map(|diagnostic| {
                let files = diagnostic.labels.iter().map(|label| &*label.place.file);
                let changed = files.filter(|file| has_changed(file));
                let only_first = diagnostic
                    .labels
                    .first()
                    .is_some_and(|label| has_changed(&label.place.file));
                changed.take(if only_first { 1 } else { usize::MAX })
            })
            .collect();
        let before = self.last_good.keys().map(|name| &**name);
        let stay = self.source.changed_with(broken.into_iter(), before);
        let others = texts.sources.iter().filter(|source| !stay.contains(&source.name));
        let good = self.last_good.iter().filter(|(name, _)| stay.contains(*name));
        let good = good.map(|(name, text)| Source {
            name: name.clone(),
            text: text.clone(),
        });
        let mut mended: Vec<Source> = others.cloned().chain(good).collect();
        mended.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        let serving = mended
            .iter()
            .all(|source| self.last_good.get(&source.name) == Some(&source.text))
            && mended.len() == self.last_good.len();
        (mended != texts.sources && !serving).then_some(Texts {
            sources: mended,
            kind: texts.kind,
            local: texts.local.clone(),
        })
    }

    /// Reports, once, that the source cannot be read.
    pub(super) fn report_unreadable(&mut self, message: &str) {
        if self.unreadable.as_deref() != Some(message) {
            self.note_refusal(message, Vec::new());
            log::warn(message);
            self.log_active_revision();
            self.unreadable = Some(message.to_owned());
        }
    }

    fn log_active_revision(&self) {
        log::warn(format_args!("revision {} stays in force", self.number()));
    }
}
