//! Taking a changed config into service, or leaving the one that is there.

use std::collections::BTreeSet;

use waypost_config::diagnostic::Diagnostic;
use waypost_config::{Kind, Source};

use super::Control;
use super::in_force::{Provenance, Successor};
use super::report::{diagnostics_view, say_warnings};
use crate::config::Texts;
use crate::output::{self, count, eprint};
use crate::state::revisions::Origin;
use crate::{config, load};

/// Why a config is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Because {
    /// Something in its directory changed; perhaps not its text.
    Changed,
    /// Somebody asked, by SIGHUP.
    Asked,
}

impl Control {
    /// Reads the config, and serves it if it is good.
    pub(crate) async fn reload(&mut self, because: Because) {
        if because == Because::Asked {
            self.gateway.reopen_log();
            // Who asks again is answered again.
            self.complained = None;
        }
        let texts = match config::read_served(&self.path) {
            Ok(texts) if texts.sources.is_empty() => {
                return self.complain(&format!("`{}` has no *.yaml files any more", self.path.display()));
            }
            Ok(texts) => texts,
            Err(error) => return self.complain(&format!("{error:#}")),
        };
        self.complained = None;
        // A change that waits to be confirmed is not ended by somebody who rotates logs.
        if texts == self.read && (because == Because::Changed || self.pending.is_some()) {
            return;
        }
        self.read = texts.clone();
        match self.check(&texts).await {
            Ok(successor) => {
                self.take_over(&texts, successor).await;
            }
            Err(diagnostics) => self.refuse(&texts, &diagnostics).await,
        }
    }

    /// Brings what is on disk into force; whether that came about.
    async fn take_over(&mut self, texts: &Texts, successor: Successor) -> bool {
        say_warnings(texts, &successor.checked);
        let provenance = Provenance::disk(Origin::File);
        match self.bring_into_force(texts, successor, &provenance, None).await {
            Ok(_) => {
                if self.pending.take().is_some() {
                    eprint("the config on disk was edited: nothing waits to be confirmed any more\n");
                }
                self.remember_good();
                self.report_state();
                true
            }
            Err(error) => {
                let message = format!("the change is refused: {error}");
                self.note_refusal(&message, Vec::new());
                eprint(&format!("waypost: {message}\n"));
                self.say_what_serves();
                false
            }
        }
    }

    /// Says what is wrong. In a directory, the files that are not to blame are taken over all the same, beside
    /// the last good version of those that are.
    async fn refuse(&mut self, texts: &Texts, diagnostics: &[Diagnostic]) {
        eprint(&load::render(diagnostics, texts, output::stderr_has_colors()));
        let errors = diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.is_error())
            .count();
        let message = format!(
            "{}: {}, the change is refused",
            self.path.display(),
            count(errors, "error")
        );
        eprint(&format!("waypost: {message}\n"));
        if let Some(mended) = self.without_broken_files(texts, diagnostics)
            && let Ok(successor) = self.check(&mended).await
        {
            eprint("waypost: the broken files keep their last good version, the others are taken over\n");
            self.take_over(&mended, successor).await;
            // What is broken stays broken until it is mended.
            self.note_refusal(&message, diagnostics_view(diagnostics));
            return;
        }
        self.note_refusal(&message, diagnostics_view(diagnostics));
        self.say_what_serves();
    }

    /// The texts with the last good version of each file that has an error; `None` when that changes nothing.
    fn without_broken_files(&self, texts: &Texts, diagnostics: &[Diagnostic]) -> Option<Texts> {
        if texts.kind == Kind::File {
            return None;
        }
        let has_changed = |name: &str| {
            let now = texts.sources.iter().find(|source| source.name == name);
            now.is_some_and(|source| self.good.get(name) != Some(&source.text))
        };
        // A conflict names two places; the file that has not changed is not the one to blame.
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
        let mended: Vec<Source> = texts
            .sources
            .iter()
            .filter_map(|source| {
                if !broken.contains(&*source.name) {
                    return Some(source.clone());
                }
                let text = self.good.get(&source.name)?;
                Some(Source {
                    name: source.name.clone(),
                    text: text.clone(),
                })
            })
            .collect();
        let serving = mended
            .iter()
            .all(|source| self.good.get(&source.name) == Some(&source.text))
            && mended.len() == self.good.len();
        (mended != texts.sources && !serving).then_some(Texts {
            sources: mended,
            kind: texts.kind,
        })
    }

    /// Says once what is wrong with the files themselves.
    fn complain(&mut self, message: &str) {
        if self.complained.as_deref() != Some(message) {
            self.note_refusal(message, Vec::new());
            eprint(&format!("waypost: {message}\n"));
            self.say_what_serves();
            self.complained = Some(message.to_owned());
        }
    }

    fn say_what_serves(&self) {
        eprint(&format!("waypost: revision {} stays in force\n", self.number()));
    }
}
