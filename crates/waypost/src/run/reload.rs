//! Taking a changed config into service, or leaving the one that is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use waypost_config::diagnostic::Diagnostic;
use waypost_config::{Kind, Source};
use waypost_proxy::gateway::Gateway;

use super::{eprint, summary};
use crate::config::Texts;
use crate::load::Checked;
use crate::output::{self, count};
use crate::{config, load};

/// Why a config is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Because {
    /// Something in its directory changed; perhaps not its text.
    Changed,
    /// Somebody asked, by SIGHUP.
    Asked,
}

/// Reads a config again and again. What is broken never replaces what serves.
pub(super) struct Reloader {
    path: PathBuf,
    gateway: Gateway,
    /// The texts as last read, so that a change is known from none.
    read: Texts,
    /// The last good version of each file, by name.
    good: BTreeMap<String, Vec<u8>>,
    /// What has been complained of, so that it is said once.
    complained: Option<String>,
}

impl Reloader {
    /// A reloader for the config at `path`, whose `texts` are being served.
    pub(super) fn new(path: &Path, gateway: Gateway, texts: Texts) -> Self {
        let mut reloader = Self {
            path: path.to_owned(),
            gateway,
            read: texts,
            good: BTreeMap::new(),
            complained: None,
        };
        let texts = reloader.read.clone();
        reloader.remember(&texts);
        reloader
    }

    pub(super) fn into_gateway(self) -> Gateway {
        self.gateway
    }

    /// Reads the config, and serves it if it is good.
    pub(super) async fn reload(&mut self, because: Because) {
        if because == Because::Asked {
            self.gateway.reopen_log();
            // Who asks again is answered again.
            self.complained = None;
        }
        let texts = match config::read(&self.path) {
            Ok(texts) if texts.sources.is_empty() => {
                return self.complain(&format!("`{}` has no *.yaml files any more", self.path.display()));
            }
            Ok(texts) => texts,
            Err(error) => return self.complain(&format!("{error:#}")),
        };
        self.complained = None;
        if because == Because::Changed && texts == self.read {
            return;
        }
        self.read = texts.clone();
        match load::check(&texts) {
            Ok(checked) => self.apply(&texts, checked).await,
            Err(diagnostics) => self.refuse(&texts, &diagnostics).await,
        }
    }

    async fn apply(&mut self, texts: &Texts, checked: Checked) {
        eprint(&load::render(
            &checked.warnings,
            texts,
            output::stderr_has_colors(),
        ));
        match self.gateway.apply(checked.generation).await {
            Ok(added) => {
                for listener in &added {
                    eprint(&format!("listening on http://{}\n", listener.address));
                }
                let number = self.gateway.generation().number();
                eprint(&format!(
                    "revision {number} is in force: {}\n",
                    summary(&self.gateway)
                ));
                self.remember(texts);
            }
            Err(error) => {
                eprint(&format!("waypost: the change is refused: {error}\n"));
                self.say_what_serves();
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
        eprint(&format!(
            "waypost: {}: {}, the change is refused\n",
            self.path.display(),
            count(errors, "error")
        ));
        if let Some(mended) = self.without_broken_files(texts, diagnostics)
            && let Ok(checked) = load::check(&mended)
        {
            eprint("waypost: the broken files keep their last good version, the others are taken over\n");
            self.apply(&mended, checked).await;
            return;
        }
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

    fn remember(&mut self, texts: &Texts) {
        self.good = texts
            .sources
            .iter()
            .map(|source| (source.name.clone(), source.text.clone()))
            .collect();
    }

    /// Says once what is wrong with the files themselves.
    fn complain(&mut self, message: &str) {
        if self.complained.as_deref() != Some(message) {
            eprint(&format!("waypost: {message}\n"));
            self.say_what_serves();
            self.complained = Some(message.to_owned());
        }
    }

    fn say_what_serves(&self) {
        eprint(&format!(
            "waypost: revision {} stays in force\n",
            self.gateway.generation().number()
        ));
    }
}
