//! The owner of a running gateway. It serialises all changes.
//!
//! [`reload`] handles changes of the source, [`change`] those sent to the admin API, [`dial`] those of weights, [`drain`]
//! those of endpoints, [`certificates`] renews files and orders, [`rollout`] the dials that turn by themselves, [`shared`]
//! what the other instances of a fleet want, [`canary`] what some of them try first, and [`lead`] what only its leader does.
//! Configs are activated by [`Control::activate`] only, which takes effect as a whole or not at all.

mod activate;
mod address;
mod canary;
mod certificates;
mod change;
mod dial;
mod draft;
mod drain;
mod lead;
pub(crate) mod reload;
pub(crate) mod report;
mod rollout;
mod shared;
mod stored;
mod unobeyed;
mod upgrade;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;
use waypost_admin::command::{Command, ConfigTexts};
use waypost_admin::problem::Problem;
use waypost_admin::report::Report;
use waypost_admin::server::Server;
use waypost_admin::state::AppState;
use waypost_config::Kind;
use waypost_config::diagnostic::Diagnostic;
use waypost_proxy::gateway::Gateway;
use waypost_proxy::gateway::inherited::Inherited;
use waypost_upstream::notice::Notice;

use crate::acme::Orders;
use crate::background::Background;
use crate::caller::Caller;
use crate::certificates::Certificates;
use crate::check;
use crate::checksummed::Damaged;
use crate::control::activate::{Candidate, Changes};
use crate::control::address::{located, log_admin, open_admin};
use crate::control::certificates::recall_orders;
use crate::control::rollout::Rollouts;
use crate::control::shared::Part;
use crate::control::stored::{first_revision, log_state, revision_view};
use crate::control::upgrade::Upgrades;
use crate::key_sets::KeySets;
use crate::load::{self, Checked};
use crate::log;
use crate::notifier::Notifier;
use crate::source::{Source, Version};
use crate::state::State;
use crate::systemd::activation::warn_unmatched;
use crate::systemd::supervisor::Supervisor;
use crate::texts::Texts;
use crate::upgrade::handover::{AdminHandover, Handover};
use crate::upgrade::health;
use crate::upgrade::launcher::Launcher;
use crate::upgrade::predecessor::Predecessor;
use crate::upgrade::successor::Step;

/// The version of this binary.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The interval of retries while the state cannot be written.
const STATE_RETRY: Duration = Duration::from_secs(2);

/// The interval of polling certificate files. A changed file is read at the poll after the one that noticed it.
const CERTIFICATE_POLL: Duration = Duration::from_millis(250);

/// The time for which reading a config yields to requests, plus an allowance for each MiB of text: four to six times the
/// time on an idle core, so that a third of a core is enough.
const READ_PATIENCE: Duration = Duration::from_millis(250);
const READ_PATIENCE_PER_MIB: Duration = Duration::from_millis(500);
const READ_PATIENCE_MAX: Duration = Duration::from_secs(5);

/// A running gateway and its state.
pub(crate) struct Control {
    source: Source,
    gateway: Gateway,
    state: State,
    shared: Arc<AppState>,
    /// The server of the admin API, if an address is configured.
    server: Option<Server>,
    /// The version of the source that was last read or written.
    version: Version,
    active: Texts,
    /// The active texts as the admin API returns them, made on the first request.
    active_view: Option<ConfigTexts>,
    /// The last good version of each file, by name.
    last_good: BTreeMap<String, Arc<[u8]>>,
    /// The last error of reading the source, so that it is logged once.
    unreadable: Option<String>,
    /// The change that waits for confirmation.
    pending: Option<Pending>,
    /// The next retry while the state cannot be written.
    state_retry_at: Instant,
    certificates: Certificates,
    key_sets: KeySets,
    /// Orders of the certificates that authorities issue.
    orders: Orders,
    /// The next poll of certificate files.
    certificate_poll_at: Instant,
    background: Background,
    rollouts: Rollouts,
    caller: Arc<Caller>,
    upgrades: Upgrades,
    /// The part in a fleet, if the gateway belongs to one.
    part: Option<Part>,
    /// The time since when the revision is in force.
    since: Timestamp,
    /// The admin socket that another process has opened, while it is not in use or is the service manager's.
    inherited_admin: Option<AdminHandover>,
    supervisor: Supervisor,
}

/// The things that a gateway starts with.
pub(crate) struct Start {
    pub(crate) source: Source,
    /// The texts of the source.
    pub(crate) read: (Texts, Version),
    /// The config that they make.
    pub(crate) checked: (Checked, Certificates),
    /// The file that recovery has set aside.
    pub(crate) damaged: Option<Damaged>,
    /// Sockets that the service manager has opened.
    pub(crate) handover: Handover,
    /// The means to start this binary again; `None` if it cannot be upgraded.
    pub(crate) launcher: Option<Launcher>,
    pub(crate) supervisor: Supervisor,
}

/// The queues of a control.
pub(crate) struct Inboxes {
    /// Commands of the admin API.
    pub(crate) commands: mpsc::Receiver<Command>,
    /// Steps of an upgrade.
    pub(crate) steps: mpsc::Receiver<Step>,
}

/// An active config that the source does not have.
struct Pending {
    revision: u64,
    /// The time of the revert, unless the change is confirmed before.
    deadline: Instant,
    /// The texts of the source.
    reverts_to: Texts,
}

impl Control {
    /// Starts serving a config. Where there is a predecessor, its clients are accepted here from then on.
    ///
    /// # Errors
    /// If a listener or the admin address cannot be opened, or the predecessor has given up.
    pub(crate) async fn start(
        start: Start,
        mut predecessor: Option<&mut Predecessor>,
    ) -> anyhow::Result<(Self, Inboxes)> {
        let Start {
            source,
            read: (texts, source_version),
            checked: (mut checked, mut certificates),
            damaged,
            mut handover,
            launcher,
            supervisor,
        } = start;
        certificates.watch(checked.watch);
        let settings = checked.generation.plan().settings().clone();
        let (shared, commands) = AppState::new(
            VERSION,
            Report {
                config: PathBuf::from(source.name()),
                is_directory: texts.kind == Kind::Directory,
                applied: 1,
                ..Report::default()
            },
        );
        let mut key_sets = KeySets::default();
        let fetched = key_sets.of(checked.generation.plan(), &shared);
        checked.generation.set_fetched_keys(fetched);
        // Looking up names may take long, and needs nothing that a predecessor has.
        let runtime = tokio::runtime::Handle::current();
        let mut gateway = Gateway::prepare(checked.generation, runtime).await?;
        if let Some(predecessor) = &mut predecessor {
            handover = predecessor.freeze().await?;
        }
        let keep = settings.state.keep.get();
        let mut state = match &source {
            Source::Disk(disk) => {
                let directory = settings.state.path.as_deref().map(Path::new);
                State::open(directory, disk.path(), keep)
            }
            Source::Fleet(shared) => State::of_fleet(Arc::clone(shared.fleet()), &source.name()),
        };
        state.damaged.extend(damaged);
        log_state(&state);
        // These are logged already.
        let kept = state.shared().map(|joined| joined.fleet.take_damaged());
        state.damaged.extend(kept.into_iter().flatten());
        let revision = first_revision(&state, &texts, gateway.generation().plan());

        let mut inherited_admin = handover.admin;
        let admin = located(settings.admin.as_ref(), &source);
        let (server, no_server) = open_admin(admin.as_ref(), None, &mut inherited_admin, &shared)?;
        let generation = gateway.generation();
        let orders = recall_orders(&source, &mut state, &certificates, &generation, &shared).await;
        // What was issued before is in force from the first client on.
        if !certificates.acme().is_empty() {
            let files = certificates.renew(generation.plan(), &texts, &source);
            generation.secure(files.materials);
            certificates.watch(files.watch);
        }
        generation.renumber(revision.number);
        state.dials.apply_to(&generation);
        health::restore(&generation, &handover.health, Instant::now());
        drop(generation);
        gateway.bind(Inherited::new(handover.sockets))?;
        warn_unmatched(&gateway.unmatched_sockets());
        if let Some(joined) = state.shared() {
            joined.fleet.show_in(&shared);
        }
        shared.set_view(gateway.view());
        if let Some(notices) = gateway.take_notices() {
            tokio::spawn(Arc::clone(&shared).follow_notices(notices, log_notice));
        }
        if let Some(failed) = gateway.take_failed() {
            tokio::spawn(Arc::clone(&shared).follow_failed(failed));
        }
        shared.record_timeline().context("a thread cannot be started")?;
        if let Some(predecessor) = predecessor {
            predecessor.take().await?;
        }
        let listened = gateway.accept();
        if let Some(server) = &server {
            server.resume();
        }

        let caller = Arc::new(Caller::new(gateway.notice_sender()));
        let (upgrades, steps) = Upgrades::new(launcher);
        let part = state.shared().map(|_| Part::new());
        let mut control = Self {
            source,
            gateway,
            state,
            shared,
            server,
            version: source_version,
            active: texts,
            active_view: None,
            last_good: BTreeMap::new(),
            unreadable: None,
            pending: None,
            state_retry_at: Instant::now() + STATE_RETRY,
            certificates,
            key_sets,
            orders,
            certificate_poll_at: Instant::now() + CERTIFICATE_POLL,
            background: Background::default(),
            rollouts: Rollouts::default(),
            caller,
            upgrades,
            part,
            since: Timestamp::now(),
            inherited_admin,
            supervisor,
        };
        control.announce(&listened);
        log_admin(control.server.as_ref(), no_server.as_ref());
        // Only an active config is a revision.
        if control.state.revisions.get(revision.number).is_none() {
            control.store_first(&revision).await;
        }
        control.drop_stale_dials().await;
        control.restore_rollouts().await;
        control.set_last_good();
        if let Some(lack) = control.lack() {
            control.report_unreadable(&lack);
        }
        control.obey().await;
        control.report_state();
        control.report_certificates();
        control.follow_orders();
        // A predecessor's socket for another address is closed.
        control.inherited_admin = control.inherited_admin.take().filter(|admin| admin.is_managed);
        Ok((control, Inboxes { commands, steps }))
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// The address of the admin API, in the form of the log.
    pub(crate) fn admin_address(&self) -> Option<&str> {
        self.server.as_ref().map(|server| &*server.address)
    }

    /// The addresses that accept clients, with the text of each `bind`, in order of declaration.
    pub(crate) fn listening(&self) -> Vec<(String, String)> {
        self.gateway.listening()
    }

    /// Returns a future that is true once every worker has taken a turn.
    pub(crate) fn turn_workers(&self) -> impl Future<Output = bool> + use<> {
        self.gateway.turn()
    }

    /// The status in one line.
    pub(crate) fn in_one_line(&self) -> String {
        let generation = self.gateway.generation();
        format!(
            "revision {}: {}",
            generation.number(),
            check::summary(generation.plan())
        )
    }

    /// Returns true if the admin API is served.
    pub(crate) fn has_admin(&self) -> bool {
        self.server.is_some()
    }

    /// Gives up everything but the gateway, which is about to stop, the admin API, and the notifications under way.
    pub(crate) async fn into_parts(mut self) -> (Gateway, Option<Server>, Notifier) {
        self.cancel_upgrade().await;
        self.shared.set_draining();
        if !self.is_frozen() {
            self.store_evidence().await;
        }
        if let Some(fleet) = self.fleet() {
            // Another instance leads at once.
            fleet.leave().await;
        }
        // A successor may write from now on.
        self.state.release();
        self.source.release();
        (self.gateway, self.server, self.rollouts.into_notifier())
    }

    /// The time of the next call of [`Control::on_deadline`].
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let state_retry_at = self.state.is_behind().then_some(self.state_retry_at);
        let reverts_at = self.pending.as_ref().map(|pending| pending.deadline);
        let certificate_poll_at = self
            .certificates
            .are_watched()
            .then_some(self.certificate_poll_at);
        [
            reverts_at,
            state_retry_at,
            certificate_poll_at,
            self.rollouts.deadline(),
            self.part.as_ref().map(Part::deadline),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due: a revert, a retry of the state, a poll of certificate files.
    pub(crate) async fn on_deadline(&mut self) {
        let now = Instant::now();
        if self
            .pending
            .as_ref()
            .is_some_and(|pending| pending.deadline <= now)
        {
            self.revert().await;
        }
        self.look_at_fleet(now).await;
        if self.state.is_behind() && self.state_retry_at <= now {
            self.state_retry_at = now + STATE_RETRY;
            self.retry_state().await;
        }
        self.tick_rollouts(now).await;
        self.write_finished().await;
        if self.certificates.are_watched() && self.certificate_poll_at <= now {
            self.certificate_poll_at = now + CERTIFICATE_POLL;
            if self.certificates.poll() {
                self.renew_certificates();
            }
        }
        self.allow_orders();
    }

    /// Carries out a command of the admin API.
    pub(crate) async fn handle(&mut self, command: Command) {
        let command = match self.is_frozen() {
            true => command.refuse_change(Problem::handing_over()),
            false => Some(command),
        };
        let Some(command) = command else { return };
        // What the fleet says already comes first.
        self.obey().await;
        let Some(command) = self.pass_on(command) else {
            return;
        };
        let Some(command) = self.refuse_beside_canary(command) else {
            return;
        };
        // A command is carried out even if its client has gone.
        match command {
            Command::Upgrade { by, reply } => self.upgrade(by, Some(reply)),
            Command::Dial {
                route,
                weights,
                force,
                versions,
                by,
                reply,
            } => drop(reply.send(self.dial(&route, weights, force, versions.as_deref(), &by).await)),
            Command::StartRollout {
                route,
                start,
                versions,
                by,
                reply,
            } => {
                let started = match self.refuse_other_rollout(&route, versions.as_deref()).await {
                    Ok(()) => self.start_rollout(&route, &start, &by).await,
                    Err(problem) => Err(problem),
                };
                self.reply_to_start(route, started, reply);
            }
            Command::RolloutAct {
                route,
                action,
                write,
                versions,
                by,
                reply,
            } => {
                let done = match self.refuse_other_rollout(&route, versions.as_deref()).await {
                    Err(problem) => Err(problem),
                    Ok(()) if write => self.finish_and_write(&route, &by).await,
                    Ok(()) => self.act_on_rollout(&route, action, &by).await,
                };
                self.write_finished().await;
                drop(reply.send(done));
            }
            Command::Advance { seconds, now, reply } => {
                self.orders.turn_test_clock(seconds, now);
                self.turn_test_clock(seconds, now).await;
                drop(reply.send(Ok(())));
            }
            Command::RolloutOf { route, reply } => drop(reply.send(self.rollout_of(&route))),
            Command::Rollouts { reply } => drop(reply.send(Ok(self.all_rollouts()))),
            Command::RolloutHistory { route, reply } => drop(reply.send(self.rollout_history(&route))),
            Command::DialDeal {
                deal,
                weights,
                by,
                reply,
            } => drop(reply.send(self.dial_deal(&deal, weights.as_deref(), by).await)),
            Command::Drain {
                service,
                endpoint,
                drained,
                by,
                reply,
            } => drop(reply.send(self.drain(&service, &endpoint, drained, by).await)),
            Command::DialOf { route, reply } => drop(reply.send(Ok(self.dial_of(&route)))),
            Command::ReadConfig { reply } => drop(reply.send(Ok(self.config_texts()))),
            Command::Apply { change, reply } => {
                let applied = self.change(change).await;
                drop(reply.send(applied));
            }
            Command::Confirm { if_match, by, reply } => {
                let applied = self.confirm(by, if_match.as_deref()).await;
                drop(reply.send(applied));
            }
            Command::Revert { if_match, by, reply } => {
                let applied = self.revert_now(&by, if_match.as_deref()).await;
                drop(reply.send(applied));
            }
            Command::WithdrawCanary { ids, by, reply } => {
                let withdrawn = self.withdraw_canary(ids.as_deref(), &by).await;
                drop(reply.send(withdrawn));
            }
            Command::ExplainDraft {
                draft,
                question,
                reply,
            } => drop(reply.send(self.explain_draft(draft, question).await)),
            Command::ReadCurl { line, reply } => {
                let read = crate::explain::read_curl(line);
                drop(reply.send(read.map_err(|error| Problem::invalid(error.to_string()))));
            }
            Command::Revisions { reply } => {
                let all = self.state.revisions.newest_first().map(revision_view).collect();
                drop(reply.send(Ok(all)));
            }
            Command::Revision { number, reply } => drop(reply.send(self.revision(number))),
            Command::Rollback {
                number,
                if_match,
                by,
                reply,
            } => {
                let applied = self.roll_back(number, by, if_match.as_deref()).await;
                drop(reply.send(applied));
            }
        }
    }

    /// Compiles and checks `texts` in the background.
    ///
    /// # Errors
    /// All diagnostics, if one of them is an error.
    async fn check(&mut self, texts: &Texts) -> Result<Candidate, Vec<Diagnostic>> {
        let own = texts.clone();
        let before = self.gateway.generation();
        let read = move || {
            let read = load::read(&own);
            let changes = read
                .as_ref()
                .map(|read| Changes::between(&before, read.generation()));
            (changes.unwrap_or_default(), read)
        };
        let (changes, read) = self.background.run(patience(texts), read).await;
        let secured = load::secure(read, texts, &mut self.certificates, &self.source)?;
        let checked = secured.judge_beside().await?;
        Ok(Candidate { checked, changes })
    }

    fn set_last_good(&mut self) {
        let sources = self.active.sources.iter();
        self.last_good = sources
            .map(|source| (source.name.clone(), source.text.clone()))
            .collect();
    }

    fn number(&self) -> u64 {
        self.gateway.generation().number()
    }
}

/// Logs a notice of the data plane.
fn log_notice(notice: &Notice) {
    if notice.is_trouble() {
        log::warn(notice);
    } else {
        log::info(notice);
    }
}

/// The time for which reading `texts` yields to requests.
fn patience(texts: &Texts) -> Duration {
    let bytes: usize = texts.sources.iter().map(|source| source.text.len()).sum();
    let patience = READ_PATIENCE + READ_PATIENCE_PER_MIB.mul_f64(bytes as f64 / f64::from(1 << 20));
    patience.min(READ_PATIENCE_MAX)
}

/// Compiles and checks the texts that a new process begins with, while the one before serves.
///
/// # Errors
/// All diagnostics, if one of them is an error.
pub(crate) async fn check_beside(
    texts: &Texts,
    certificates: &mut Certificates,
    source: &Source,
) -> Result<Checked, Vec<Diagnostic>> {
    let own = texts.clone();
    let mut background = Background::default();
    let read = background.run(patience(texts), move || load::read(&own)).await;
    load::secure(read, texts, certificates, source)?
        .judge_beside()
        .await
}
