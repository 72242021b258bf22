//! The one who owns a running gateway: everything that changes it comes through here, one after the other.
//!
//! [`reload`] takes what changed on disk, [`change`] what comes by the admin API, [`dial`] turns dials. All of them
//! bring a config into force by [`Control::bring_into_force`], and none of them leaves half of a change behind.

mod change;
mod dial;
pub(crate) mod disk;
pub(crate) mod reload;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;
use waypost_admin::access::Access;
use waypost_admin::command::{self, Command};
use waypost_admin::events::What;
use waypost_admin::report::{DamagedFile, FailedLoad, Pending as PendingReport, Report, StateReport};
use waypost_admin::server::{OpenError, Server, access};
use waypost_admin::shared::Shared;
use waypost_plan::admin::Admin;
use waypost_plan::difference::Difference;
use waypost_proxy::gateway::{ApplyError, Gateway, Listened};

use crate::config::Texts;
use crate::control::disk::{Committed, Prepared};
use crate::load::Checked;
use crate::output::eprint;
use crate::state::revisions::{self, Origin, Revision};
use crate::state::sealed::Damaged;
use crate::state::{State, StoreError};
use crate::{check, load, output};

/// A running gateway, and what belongs to it.
pub(crate) struct Control {
    path: PathBuf,
    gateway: Gateway,
    state: State,
    shared: Arc<Shared>,
    /// The admin address, if there is one.
    server: Option<Server>,
    /// The texts as last read from disk, or written there, so that a change is known from none.
    read: Texts,
    /// The texts that are in force.
    in_force: Texts,
    /// The last good version of each file, by name.
    good: BTreeMap<String, Vec<u8>>,
    /// What has been complained of, so that it is said once.
    complained: Option<String>,
    /// The change that waits to be confirmed.
    pending: Option<Pending>,
}

/// A change that is in force, but not on disk.
struct Pending {
    revision: u64,
    /// When it is taken back.
    deadline: Instant,
    /// What is on disk, and comes back then.
    reverts_to: Texts,
}

/// Why a config could not be brought into force. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
enum ForceError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the config on disk cannot be replaced: {0}")]
    Disk(std::io::Error),
    #[error(transparent)]
    Admin(#[from] OpenError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// Where a config that comes into force comes from.
#[derive(Debug, Clone)]
struct Provenance {
    origin: Origin,
    by: Option<String>,
    unstorable: Unstorable,
    /// When it is taken back.
    reverts_at: Option<Timestamp>,
}

/// What becomes of a config whose revision cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unstorable {
    /// It is refused.
    Refused,
    /// It comes into force all the same, and its revision is kept in memory: what is on disk is the user's will.
    Remembered,
}

impl Provenance {
    /// The disk.
    fn disk(origin: Origin) -> Self {
        Self {
            origin,
            by: None,
            unstorable: Unstorable::Remembered,
            reverts_at: None,
        }
    }

    /// Somebody who asks.
    fn asked(origin: Origin, by: String, reverts_at: Option<Timestamp>) -> Self {
        Self {
            origin,
            by: Some(by),
            unstorable: Unstorable::Refused,
            reverts_at,
        }
    }
}

/// What becomes of the admin address.
enum AdminChange {
    /// It stays.
    None,
    /// Others may use it.
    Access(Access),
    /// It is another one, or none, and perhaps why.
    Server(Option<Server>, Option<OpenError>),
}

/// A config that has come into force.
#[derive(Debug)]
struct InForce {
    summary: String,
    dials_dropped: Vec<String>,
}

impl Control {
    /// Starts serving `checked`, whose texts are `texts`.
    ///
    /// Returns with the lines that say where it listens.
    ///
    /// # Errors
    /// When an address cannot be listened on.
    pub(crate) async fn start(
        path: &Path,
        texts: Texts,
        checked: Checked,
        version: &'static str,
    ) -> anyhow::Result<(Self, tokio::sync::mpsc::Receiver<Command>)> {
        let settings = checked.generation.plan().settings().clone();
        let keep = settings.state.keep.get();
        let state = State::open(settings.state.path.as_deref().map(Path::new), path, keep);
        say_what_was_found(&state);
        let revision = first_revision(&state, &texts, checked.generation.plan());

        let (shared, commands) = Shared::new(
            version,
            Report {
                config: path.to_owned(),
                is_directory: texts.kind == waypost_config::Kind::Directory,
                applied: 1,
                ..Report::default()
            },
        );
        let (server, no_server) = open_admin(settings.admin.as_ref(), None, &shared)?;
        let generation = checked.generation.numbered(revision.number);
        state.dials.apply_to(&generation);
        let (mut gateway, listened) = Gateway::start(generation, tokio::runtime::Handle::current()).await?;
        shared.serves(gateway.view());
        if let Some(notices) = gateway.take_notices() {
            tokio::spawn(Arc::clone(&shared).take_in(notices));
        }
        tokio::spawn(Arc::clone(&shared).keep_history());

        let mut control = Self {
            path: path.to_owned(),
            gateway,
            state,
            shared,
            server,
            read: texts.clone(),
            in_force: texts,
            good: BTreeMap::new(),
            complained: None,
            pending: None,
        };
        control.announce(&listened);
        say_admin(control.server.as_ref(), no_server.as_ref());
        // Only what has come into force is a revision.
        if control.state.revisions.get(revision.number).is_none() {
            control.store_first(&revision);
        }
        control.drop_stale_dials();
        control.remember_good();
        control.report_state();
        Ok((control, commands))
    }

    /// Where it is asked and told, as it is announced.
    pub(crate) fn admin_address(&self) -> Option<&str> {
        self.server.as_ref().map(|server| &*server.address)
    }

    /// Where clients are accepted, by the text of each `bind`, in order of declaration.
    pub(crate) fn listening(&self) -> Vec<(String, String)> {
        self.gateway.listening()
    }

    /// Lets go of everything but the gateway, which is about to stop, and of its admin address.
    pub(crate) fn into_parts(mut self) -> (Gateway, Option<Server>) {
        self.shared.drains();
        // Whoever takes this one's place may write from now on.
        self.state.release();
        (self.gateway, self.server)
    }

    /// When something has to be done by itself.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.pending.as_ref().map(|pending| pending.deadline)
    }

    /// Carries out a command.
    pub(crate) async fn obey(&mut self, command: Command) {
        // That nobody waits for the answer any more is no reason to leave it undone.
        match command {
            Command::Dial {
                route,
                weights,
                by,
                reply,
            } => drop(reply.send(self.dial(&route, weights, by))),
            Command::DialOf { route, reply } => drop(reply.send(Ok(self.dial_of(&route)))),
            Command::ReadConfig { reply } => drop(reply.send(Ok(self.config_texts()))),
            Command::Apply { change, reply } => {
                let applied = self.change(change).await;
                drop(reply.send(applied));
            }
            Command::Confirm { by, reply } => {
                let applied = self.confirm(by).await;
                drop(reply.send(applied));
            }
            Command::Revisions { reply } => {
                let all = self.state.revisions.newest_first().map(revision_view).collect();
                drop(reply.send(Ok(all)));
            }
            Command::Revision { number, reply } => drop(reply.send(self.revision(number))),
            Command::Rollback { number, by, reply } => {
                let applied = self.roll_back(number, by).await;
                drop(reply.send(applied));
            }
        }
    }

    /// Puts a config in the place of the one in force, as a revision, and on disk if it is `prepared`. Errors leave
    /// everything as it was.
    async fn bring_into_force(
        &mut self,
        texts: &Texts,
        checked: Checked,
        provenance: &Provenance,
        prepared: Option<Prepared>,
    ) -> Result<InForce, ForceError> {
        let before = self.gateway.generation();
        let plan = checked.generation.plan();
        let summary = Difference::between(before.plan(), plan).to_string();
        let settings = plan.settings().clone();
        let admin = self.prepare_admin(settings.admin.as_ref())?;

        // A text that is in force already is no new revision, unless somebody asks for one.
        let is_same = revisions::hash(texts) == revisions::hash(&self.in_force);
        let adds = !is_same || provenance.origin != Origin::File;
        let mut number = before.number();
        if adds {
            self.state.revisions.keep(settings.state.keep.get());
            // Whoever wrote the state until now may have given the number.
            let claimed = self.claim_state();
            let by = provenance.by.clone();
            let revision = self
                .state
                .revisions
                .next(provenance.origin, by, summary.clone(), texts);
            number = revision.number;
            let stored = claimed.and_then(|()| self.state.store_revision(&revision, texts));
            match stored {
                Err(error) if provenance.unstorable == Unstorable::Remembered => {
                    eprint(&format!(
                        "waypost: {error}; revision {number} is kept in memory only\n"
                    ));
                    self.state.revisions.remember(&revision, texts);
                }
                stored => stored?,
            }
        }
        let committed = match prepared.map(Prepared::commit).transpose() {
            Ok(committed) => committed,
            Err(error) => {
                self.take_back(number, adds);
                return Err(ForceError::Disk(error));
            }
        };
        let generation = checked.generation.numbered(number);
        self.state.dials.apply_to(&generation);
        let listened = match self.gateway.apply(generation).await {
            Ok(listened) => listened,
            Err(error) => {
                self.take_back(number, adds);
                if let Some(Err(undone)) = committed.map(Committed::undo) {
                    eprint(&format!(
                        "waypost: the config on disk cannot be put back: {undone}\n"
                    ));
                }
                return Err(error.into());
            }
        };

        if let Some(committed) = committed {
            say_kept(&committed.kept);
            committed.finish();
        }
        self.announce(&listened);
        match admin {
            AdminChange::None => {}
            AdminChange::Access(access) => {
                if let Some(server) = &self.server {
                    server.let_in(access);
                }
            }
            AdminChange::Server(server, no_server) => {
                say_admin(server.as_ref(), no_server.as_ref());
                if let Some(old) = std::mem::replace(&mut self.server, server) {
                    old.close().await;
                }
            }
        }
        if settings.state.path != before.plan().settings().state.path {
            eprint("waypost: a changed `state` takes effect at the next start\n");
        }
        self.in_force = texts.clone();
        let dials_dropped = if provenance.reverts_at.is_some() {
            // They hold again when it is taken back.
            self.stale_dials()
        } else {
            self.drop_stale_dials()
        };
        let changed = Difference::between(before.plan(), self.gateway.generation().plan()).services;
        self.shared
            .forget_services(changed.changed.iter().chain(&changed.removed));
        self.shared.update(|report| report.applied += u64::from(adds));
        self.report_state();
        if adds {
            self.shared.events.tell(What::Applied {
                revision: number,
                origin: provenance.origin.as_str().to_owned(),
                summary: summary.clone(),
                by: provenance.by.clone(),
                reverts_at: provenance.reverts_at,
            });
        }
        eprint(&format!(
            "revision {number} is in force: {}\n",
            check::summary(self.gateway.generation().plan())
        ));
        Ok(InForce {
            summary,
            dials_dropped,
        })
    }

    /// Forgets a revision that did not come into force.
    fn take_back(&mut self, number: u64, was_added: bool) {
        if was_added {
            self.state.revisions.take_back(number);
        }
    }

    /// Makes sure that this gateway may store things. When another one did so until now, what that one stored holds.
    fn claim_state(&mut self) -> Result<(), StoreError> {
        let Some(unstored) = self.state.claim()? else {
            return Ok(());
        };
        let generation = self.gateway.generation();
        self.state.dials.apply_to(&generation);
        let in_force = generation.number();
        for (mut revision, texts) in unstored {
            let was = revision.number;
            // Another gateway on the same config has seen the same edits.
            let same = self.state.revisions.with_hash(&revision.hash);
            let number = match same {
                Some(number) => number,
                None if !self.state.revisions.is_given(was) => {
                    self.state.store_revision(&revision, &texts)?;
                    was
                }
                None => {
                    let next = self
                        .state
                        .revisions
                        .next(revision.origin, None, String::new(), &texts);
                    revision.number = next.number;
                    self.state.store_revision(&revision, &texts)?;
                    revision.number
                }
            };
            if was == in_force && number != was {
                eprint(&format!(
                    "revision {was} is revision {number} from now on: the state has another {was}\n"
                ));
                generation.renumber(number);
            }
        }
        Ok(())
    }

    /// Gets ready for the admin address of a config that is about to come into force.
    fn prepare_admin(&self, admin: Option<&Admin>) -> Result<AdminChange, OpenError> {
        let now = self.gateway.generation();
        let now = now.plan().settings().admin.as_ref();
        if admin == now {
            return Ok(AdminChange::None);
        }
        match (admin, now, &self.server) {
            (Some(admin), Some(now), Some(_)) if admin.bind == now.bind => {
                Ok(AdminChange::Access(access(admin)?))
            }
            _ => {
                let (server, no_server) = open_admin(admin, self.server.as_ref(), &self.shared)?;
                Ok(AdminChange::Server(server, no_server))
            }
        }
    }

    /// Stores the revision that a start serves, as far as that is possible.
    fn store_first(&mut self, revision: &Revision) {
        let texts = self.in_force.clone();
        if !self.state.is_writable() {
            // Why not is said already.
            self.state.revisions.remember(revision, &texts);
        } else if let Err(error) = self.state.store_revision(revision, &texts) {
            eprint(&format!(
                "waypost: {error}; revision {} is kept in memory only\n",
                revision.number
            ));
            self.state.revisions.remember(revision, &texts);
        }
    }

    fn announce(&self, listened: &[Listened]) {
        for listener in listened {
            eprint(&format!("listening on http://{}\n", listener.address));
        }
        let listening = self.listening();
        self.shared.update(|report| report.listening = listening);
    }

    /// The dials that do not hold under the config in force.
    fn stale_dials(&self) -> Vec<String> {
        self.state
            .dials
            .clone()
            .drop_stale(self.gateway.generation().plan())
    }

    /// Lets go of them.
    fn drop_stale_dials(&mut self) -> Vec<String> {
        let mut dials = self.state.dials.clone();
        let stale = dials.drop_stale(self.gateway.generation().plan());
        if stale.is_empty() {
            return stale;
        }
        for route in &stale {
            eprint(&format!(
                "the dial of the route `{route}` is dropped: its split is not the one that was dialed\n"
            ));
        }
        if let Err(error) = self.state.store_dials(&dials) {
            // They do not hold, whatever the file says.
            eprint(&format!("waypost: {error}\n"));
            self.state.dials = dials;
        }
        stale
    }

    fn remember_good(&mut self) {
        let sources = self.in_force.sources.iter();
        self.good = sources
            .map(|source| (source.name.clone(), source.text.clone()))
            .collect();
    }

    /// Says in the report how the state is, and what waits to be confirmed.
    fn report_state(&self) {
        let state = StateReport {
            directory: self.state.directory().display().to_string(),
            writable: self.state.is_writable(),
            troubles: self.state.troubles(),
            damaged: self.state.damaged.iter().map(damaged_view).collect(),
        };
        let pending = self.pending.as_ref().map(|pending| {
            let revision = self.state.revisions.get(pending.revision);
            let hash = revisions::hash(&pending.reverts_to);
            let before = self
                .state
                .revisions
                .newest_first()
                .find(|revision| revision.hash == hash);
            PendingReport {
                revision: pending.revision,
                reverts_at: timestamp_of(pending.deadline),
                reverts_to: before.map_or(0, |revision| revision.number),
                by: revision
                    .and_then(|revision| revision.by.clone())
                    .unwrap_or_default(),
            }
        });
        self.shared.update(|report| {
            report.state = state;
            report.pending = pending;
        });
    }

    /// Notes a config that was refused.
    fn note_refusal(&self, message: &str, diagnostics: Vec<serde_json::Value>) {
        self.shared.update(|report| {
            report.refused += 1;
            report.failed = Some(FailedLoad {
                time: Timestamp::now(),
                message: message.to_owned(),
                diagnostics,
            });
        });
        self.shared.events.tell(What::Refused {
            message: message.to_owned(),
        });
    }

    /// Notes that what is on disk is in force, if it is.
    fn note_mended(&mut self) {
        if disk::read(&self.path, self.in_force.kind) == self.in_force {
            self.shared.update(|report| report.failed = None);
        }
    }

    fn number(&self) -> u64 {
        self.gateway.generation().number()
    }
}

/// Opens the admin address, if there is to be one, in the place of the one that is there. That the default one is
/// taken is no error, as nobody has asked for it; it is returned as well.
fn open_admin(
    admin: Option<&Admin>,
    leaving: Option<&Server>,
    shared: &Arc<Shared>,
) -> Result<(Option<Server>, Option<OpenError>), OpenError> {
    let Some(admin) = admin else {
        return Ok((None, None));
    };
    match Server::open(admin, leaving, Arc::clone(shared)) {
        Ok(server) => Ok((Some(server), None)),
        Err(error @ OpenError::Listen { .. }) if !admin.is_explicit => Ok((None, Some(error))),
        Err(error) => Err(error),
    }
}

/// Says where the admin address is, or that it could not be had.
fn say_admin(server: Option<&Server>, no_server: Option<&OpenError>) {
    if let Some(server) = server {
        eprint(&format!("admin on {}\n", server.address));
    } else if let Some(error) = no_server {
        eprint(&format!("waypost: {error}; going on without it\n"));
    }
}

/// The revision that a start serves: the latest one if the text is the same, else a new one, which is not stored yet.
fn first_revision(state: &State, texts: &Texts, plan: &waypost_plan::Plan) -> Revision {
    let latest = state.revisions.latest();
    if let Some(latest) = latest
        && latest.hash == revisions::hash(texts)
    {
        return latest.clone();
    }
    let before = latest.and_then(|latest| {
        let texts = state.revisions.texts(latest.number).ok()?;
        load::load(&texts).ok()
    });
    let summary = match before {
        Some(before) => Difference::between(&before.plan, plan).to_string(),
        None => check::summary(plan),
    };
    state.revisions.next(Origin::File, None, summary, texts)
}

fn say_what_was_found(state: &State) {
    for trouble in state.troubles() {
        eprint(&format!(
            "waypost: {trouble}; dials are refused and revisions are not kept until that is mended\n"
        ));
    }
    state.damaged.iter().for_each(say_damaged);
}

fn say_damaged(damaged: &Damaged) {
    let what = if damaged.now == damaged.file {
        "it is left where it is".to_owned()
    } else {
        format!("it is now `{}`", damaged.now.display())
    };
    eprint(&format!(
        "waypost: `{}` is damaged: {}; {what}\n",
        damaged.file.display(),
        damaged.why
    ));
}

fn damaged_view(damaged: &Damaged) -> DamagedFile {
    DamagedFile {
        file: damaged.file.display().to_string(),
        now: damaged.now.display().to_string(),
        why: damaged.why.clone(),
    }
}

fn revision_view(revision: &Revision) -> command::Revision {
    command::Revision {
        number: revision.number,
        time: revision.time,
        origin: revision.origin.as_str().to_owned(),
        hash: revision.hash.clone(),
        summary: revision.summary.clone(),
        by: revision.by.clone(),
    }
}

/// The time of day at an instant to come.
fn timestamp_of(instant: Instant) -> Timestamp {
    let ahead = instant.saturating_duration_since(Instant::now());
    Timestamp::now().checked_add(ahead).unwrap_or(Timestamp::MAX)
}

/// The diagnostics as JSON, as many as are shown.
fn diagnostics_view(diagnostics: &[waypost_config::diagnostic::Diagnostic]) -> Vec<serde_json::Value> {
    let shown = diagnostics.len().min(waypost_config::render::SHOWN_MAX);
    match waypost_config::diagnostic::to_json(&diagnostics[..shown]) {
        serde_json::Value::Array(list) => list,
        other => vec![other],
    }
}

/// Says where texts were put that had never been in force.
fn say_kept(kept: &[PathBuf]) {
    for path in kept {
        eprint(&format!(
            "what was on disk had never been in force; it is kept as `{}`\n",
            path.display()
        ));
    }
}

/// Warnings, on standard error.
fn say_warnings(texts: &Texts, checked: &Checked) {
    eprint(&load::render(
        &checked.warnings,
        texts,
        output::stderr_has_colors(),
    ));
}
