//! The one who owns a running gateway: everything that changes it comes through here, one after the other.
//!
//! [`reload`] takes what changed on disk, [`change`] what comes by the admin API, [`dial`] turns dials. All of them
//! bring a config into force by [`Control::bring_into_force`], and none of them leaves half of a change behind.

mod address;
mod change;
mod dial;
pub(crate) mod disk;
mod in_force;
pub(crate) mod reload;
mod report;
mod stored;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::time::Instant;
use waypost_admin::command::{Command, ConfigTexts};
use waypost_admin::report::Report;
use waypost_admin::server::Server;
use waypost_admin::state::AppState;
use waypost_config::Kind;
use waypost_config::diagnostic::Diagnostic;
use waypost_proxy::gateway::Gateway;

use crate::background::Background;
use crate::config::Texts;
use crate::control::address::{open_admin, say_admin};
use crate::control::disk::Recovered;
use crate::control::in_force::{Changes, Successor};
use crate::control::stored::{first_revision, revision_view, say_what_was_found};
use crate::load::{self, Checked};
use crate::output::eprint;
use crate::secrets::Secrets;
use crate::state::State;

/// How often a state that cannot be written is tried again.
const MEND: Duration = Duration::from_secs(2);

/// How often the files that the config names are looked at. One that has changed is read at the look after.
const LOOK: Duration = Duration::from_millis(250);

/// How long to read a config gives way to requests, for so much text: some four to six times what it takes on an idle core,
/// so that a third of one is enough.
const READ_PATIENCE: Duration = Duration::from_millis(250);
const READ_PATIENCE_PER_MIB: Duration = Duration::from_millis(500);
const READ_PATIENCE_MAX: Duration = Duration::from_secs(5);

/// A running gateway, and what belongs to it.
pub(crate) struct Control {
    path: PathBuf,
    gateway: Gateway,
    state: State,
    shared: Arc<AppState>,
    /// The admin address, if there is one.
    server: Option<Server>,
    /// The texts as last read from disk, or written there, so that a change is known from none.
    read: Texts,
    /// The texts that are in force.
    in_force: Texts,
    /// The same, as they are handed out, once somebody has asked.
    served: Option<ConfigTexts>,
    /// The last good version of each file, by name.
    good: BTreeMap<String, Arc<[u8]>>,
    /// What has been complained of, so that it is said once.
    complained: Option<String>,
    /// The change that waits to be confirmed.
    pending: Option<Pending>,
    /// The config's directory, while this gateway is the one that writes there.
    owned: Option<File>,
    /// When the state is tried again, while it cannot be written.
    mends_at: Instant,
    /// The files that the config names.
    secrets: Secrets,
    /// When they are looked at again.
    secrets_due: Instant,
    /// Where configs are read.
    background: Background,
}

/// A change that is in force, but not on disk.
struct Pending {
    revision: u64,
    /// When it is taken back.
    deadline: Instant,
    /// What is on disk, and comes back then.
    reverts_to: Texts,
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
        (checked, mut secrets): (Checked, Secrets),
        version: &'static str,
        (owned, recovered): (Option<File>, Recovered),
    ) -> anyhow::Result<(Self, mpsc::Receiver<Command>)> {
        secrets.watch(checked.watch);
        let settings = checked.generation.plan().settings().clone();
        let keep = settings.state.keep.get();
        let mut state = State::open(settings.state.path.as_deref().map(Path::new), path, keep);
        state.damaged.extend(recovered.damaged);
        say_what_was_found(&state);
        let revision = first_revision(&state, &texts, checked.generation.plan());

        let (shared, commands) = AppState::new(
            version,
            Report {
                config: path.to_owned(),
                is_directory: texts.kind == Kind::Directory,
                applied: 1,
                ..Report::default()
            },
        );
        let (server, no_server) = open_admin(settings.admin.as_ref(), None, &shared)?;
        let generation = checked.generation.numbered(revision.number);
        state.dials.apply_to(&generation);
        let (mut gateway, listened) = Gateway::start(generation, tokio::runtime::Handle::current()).await?;
        shared.set_view(gateway.view());
        if let Some(notices) = gateway.take_notices() {
            tokio::spawn(Arc::clone(&shared).follow_notices(notices));
        }
        shared.record_history().context("a thread cannot be started")?;

        let mut control = Self {
            path: path.to_owned(),
            gateway,
            state,
            shared,
            server,
            read: texts.clone(),
            in_force: texts,
            served: None,
            good: BTreeMap::new(),
            complained: None,
            pending: None,
            owned,
            mends_at: Instant::now() + MEND,
            secrets,
            secrets_due: Instant::now() + LOOK,
            background: Background::default(),
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
        control.report_secrets();
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
        self.shared.set_draining();
        // Whoever takes this one's place may write from now on.
        self.state.release();
        self.owned = None;
        (self.gateway, self.server)
    }

    /// When something has to be done by itself.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let mends_at = (!self.state.is_writable()).then_some(self.mends_at);
        let reverts_at = self.pending.as_ref().map(|pending| pending.deadline);
        let secrets_due = self.secrets.are_watched().then_some(self.secrets_due);
        [reverts_at, mends_at, secrets_due].into_iter().flatten().min()
    }

    /// Does what has to be done by itself.
    pub(crate) async fn on_time(&mut self) {
        let now = Instant::now();
        if self
            .pending
            .as_ref()
            .is_some_and(|pending| pending.deadline <= now)
        {
            self.revert().await;
        }
        if !self.state.is_writable() && self.mends_at <= now {
            self.mends_at = now + MEND;
            self.mend_state();
        }
        if self.secrets.are_watched() && self.secrets_due <= now {
            self.secrets_due = now + LOOK;
            if self.secrets.have_changed() {
                self.renew_secrets();
            }
        }
    }

    /// Takes over what has changed in the files that the config names. What is under way keeps what it has.
    fn renew_secrets(&mut self) {
        let generation = self.gateway.generation();
        let secured = self.secrets.renew(generation.plan(), &self.in_force);
        generation.secure(secured.materials);
        self.secrets.watch(secured.watch);
        for diagnostic in &secured.diagnostics {
            eprint(&format!("waypost: {}\n", diagnostic.message));
        }
        if self.secrets.stale().is_empty() {
            eprint("the certificates were read again\n");
        }
        self.report_secrets();
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

    /// What `texts` come to, read without keeping requests waiting.
    ///
    /// # Errors
    /// All diagnostics, when there is any error.
    async fn check(&mut self, texts: &Texts) -> Result<Successor, Vec<Diagnostic>> {
        let own = texts.clone();
        let before = self.gateway.generation();
        let bytes: usize = texts.sources.iter().map(|source| source.text.len()).sum();
        let patience = READ_PATIENCE + READ_PATIENCE_PER_MIB.mul_f64(bytes as f64 / f64::from(1 << 20));
        let patience = patience.min(READ_PATIENCE_MAX);
        let read = move || {
            let read = load::read(&own);
            let changes = read
                .as_ref()
                .map(|read| Changes::between(&before, read.generation()));
            (changes.unwrap_or_default(), read)
        };
        let (changes, read) = self.background.run(patience, read).await;
        let checked = load::finish(read, texts, &mut self.secrets)?;
        Ok(Successor { checked, changes })
    }

    fn remember_good(&mut self) {
        let sources = self.in_force.sources.iter();
        self.good = sources
            .map(|source| (source.name.clone(), source.text.clone()))
            .collect();
    }

    fn number(&self) -> u64 {
        self.gateway.generation().number()
    }
}
