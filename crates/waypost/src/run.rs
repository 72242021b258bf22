//! `waypost run`: serving a config and its changes.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};
use waypost_admin::server::Server;
use waypost_config::diagnostic::Diagnostic;
use waypost_proxy::gateway::Drained;
use waypost_proxy::observe::access_log::Lost;
use waypost_proxy::priority::{Priority, lower, lower_allocator};

use crate::certificates::Certificates;
use crate::cli::Run;
use crate::control::reload::Because;
use crate::control::report::diagnostics_view;
use crate::control::{Control, Inboxes, Start, VERSION, check_beside};
use crate::fleet::Arrival;
use crate::load::Checked;
use crate::origin::{Origin, OriginError};
use crate::output::count;
use crate::pid_file::PidFile;
use crate::remote::ready::check_ready;
use crate::source::{Source, Version};
use crate::systemd::activation::{self, Activated};
use crate::systemd::supervisor::Supervisor;
use crate::texts::Texts;
use crate::upgrade::handover::{Handover, Ready};
use crate::upgrade::launcher::Launcher;
use crate::upgrade::predecessor::Predecessor;
use crate::{Outcome, load, log, member};

/// The exit code after a second interrupt.
const INTERRUPTED: i32 = 130;
/// The client of an upgrade that a signal asked for.
const BY_SIGNAL: &str = "SIGUSR2";
/// Time for responses in flight at the admin address, once another process has it.
const LAST_RESPONSES: Duration = Duration::from_millis(1500);

/// Serves a config until a signal stops the gateway, or another process takes over.
pub(crate) fn run(arguments: &Run) -> anyhow::Result<Outcome> {
    if let Some(address) = &arguments.check_ready {
        return Ok(check_ready(address));
    }
    let origin = match Origin::of(arguments) {
        Ok(origin) => origin,
        Err(OriginError::Refused { diagnostics, texts }) => {
            log::diagnostics(&diagnostics, &texts);
            log::warn(format_args!(
                "{}: {}, nothing is served",
                arguments.path.display(),
                count(errors_of(&diagnostics), "error")
            ));
            return Ok(Outcome::Bad);
        }
        Err(OriginError::Failed(error)) => return Err(error),
    };
    let mut process = Process {
        // No thread has been started so far.
        activated: activation::take(),
        supervisor: Supervisor::from_environment(),
        launcher: Some(Launcher::start()?),
        pid_file: arguments.pid_file.clone(),
        predecessor: None,
    };
    let runtime = control_runtime()?;
    let outcome = runtime.block_on(async {
        process.predecessor = Predecessor::from_environment()?;
        serve(&origin, process, |_| Ok(())).await
    });
    // A hanging name look-up must not keep the process alive.
    runtime.shutdown_background();
    outcome
}

/// The surroundings of a process that serves.
#[derive(Debug, Default)]
pub(crate) struct Process {
    /// Sockets that the service manager has opened.
    activated: Vec<Activated>,
    supervisor: Supervisor,
    /// The means to start this binary again; `None` if it cannot be upgraded.
    launcher: Option<Launcher>,
    pid_file: Option<PathBuf>,
    /// The process that this one takes over from.
    predecessor: Option<Predecessor>,
}

/// A gateway that serves.
struct Serving {
    control: Control,
    inboxes: Inboxes,
    pid_file: Option<PidFile>,
}

/// The reason that no gateway serves.
enum Unserved {
    /// The config has errors, which have been logged.
    Refused {
        message: String,
        diagnostics: Vec<Value>,
    },
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Unserved {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// The reason that a gateway serves no longer.
enum End {
    /// A signal; true if it was an interrupt.
    Signal(bool),
    /// A process that has taken over.
    TakenOver(Ready),
}

/// The runtime of the control plane. It never runs on a worker's thread.
fn control_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
        .context("cannot start a runtime")
}

/// Serves the config of `origin`. `once_ready` is called when clients are accepted.
///
/// # Errors
/// If the config cannot be read, or a listener cannot be opened.
pub(crate) async fn serve(
    origin: &Origin,
    mut process: Process,
    once_ready: impl FnOnce(&Control) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    // Signals are handled from here on, also during the start.
    let mut signals = Signals::new()?;
    let supervisor = process.supervisor.clone();
    let mut predecessor = process.predecessor.take();
    let started = start(origin, process, predecessor.as_mut()).await;
    let mut serving = match (started, predecessor) {
        (Ok(serving), predecessor) => {
            // The workers have inherited this thread's priority. Its own work takes milliseconds with many routes, and
            // requests must not wait for it.
            lower(Priority::Low);
            lower_allocator();
            supervisor.ready(&serving.control.in_one_line(), predecessor.is_some());
            log::info("ready");
            if let Some(predecessor) = predecessor {
                predecessor.ready(VERSION, serving.control.has_admin()).await;
            }
            serving
        }
        (Err(Unserved::Refused { message, diagnostics }), predecessor) => {
            log::warn(format_args!("{message}, nothing is served"));
            if let Some(predecessor) = predecessor {
                predecessor.failed(message, diagnostics).await;
            }
            return Ok(Outcome::Bad);
        }
        (Err(Unserved::Failed(error)), predecessor) => {
            if let Some(predecessor) = predecessor {
                predecessor.failed(format!("{error:#}"), Vec::new()).await;
            }
            return Err(error);
        }
    };
    once_ready(&serving.control)?;

    let end = control(&mut serving, &mut signals, &supervisor).await;
    let Serving {
        control,
        inboxes,
        pid_file,
    } = serving;
    match &end {
        End::Signal(_) => supervisor.stopping(),
        End::TakenOver(ready) => supervisor.handed_over(ready.pid),
    }
    drop(inboxes);
    let (gateway, admin, notifier) = control.into_parts().await;
    let timeout = gateway.generation().plan().settings().drain_timeout;
    match end {
        End::Signal(interrupted) => {
            drain(gateway.drain(timeout), signals, interrupted).await;
            drop(admin);
        }
        End::TakenOver(ready) => {
            let left = tokio::time::timeout(LAST_RESPONSES, leave(admin, &ready));
            let (_, _) = tokio::join!(drain(gateway.drain_behind(timeout), signals, false), left);
        }
    }
    notifier.finish().await;
    if let Some(pid_file) = pid_file {
        pid_file.remove();
    }
    log::info("stopped");
    Ok(Outcome::Good)
}

/// The number of errors.
fn errors_of(diagnostics: &[Diagnostic]) -> usize {
    diagnostics.iter().filter(|found| found.is_error()).count()
}

/// Reads the config, and starts a gateway on it.
async fn start(
    origin: &Origin,
    process: Process,
    predecessor: Option<&mut Predecessor>,
) -> Result<Serving, Unserved> {
    let mut source = match origin {
        Origin::Path(path) => Source::at(path),
        Origin::Etcd(etcd) => {
            let arrival = match predecessor {
                Some(_) => Arrival::Upgrade {
                    from: std::os::unix::process::parent_id(),
                },
                None => Arrival::Own,
            };
            Source::Fleet(member::join(etcd, arrival).await?)
        }
    };
    let recovered = source.recover();
    for message in &recovered.messages {
        log::warn(message);
    }
    // Watching begins before reading, so that a change in between is noticed.
    source.watch();
    let mut read = source.read()?;
    let mut certificates = Certificates::default();
    let is_beside = predecessor.is_some();
    let checked = check(&read.0, &mut certificates, &source, is_beside).await;
    let checked = match (checked, origin) {
        (Ok(checked), _) => checked,
        // What is wrong in it is told once this instance can be asked.
        (Err(_), Origin::Etcd(etcd)) => {
            let served = member::last_good(&source, etcd, &mut certificates)?;
            read = (served.texts.clone(), Version::of(&served.texts));
            served.checked
        }
        (Err(diagnostics), Origin::Path(_)) => {
            log::diagnostics(&diagnostics, &read.0);
            let errors = errors_of(&diagnostics);
            return Err(Unserved::Refused {
                message: format!("{}: {}", source.name(), count(errors, "error")),
                diagnostics: diagnostics_view(&diagnostics),
            });
        }
    };
    log::diagnostics(&checked.warnings, &read.0);
    let (sockets, admin) = activation::divide(process.activated, checked.generation.plan());
    let start = Start {
        source,
        read,
        checked: (checked, certificates),
        damaged: recovered.damaged,
        handover: Handover {
            sockets,
            admin,
            health: Vec::new(),
        },
        launcher: process.launcher,
        supervisor: process.supervisor,
    };
    let (control, inboxes) = Control::start(start, predecessor).await?;
    let pid_file = process.pid_file.as_deref().map(PidFile::write).transpose()?;
    Ok(Serving {
        control,
        inboxes,
        pid_file,
    })
}

/// Compiles and checks the texts that a process begins with; gently if another one serves.
async fn check(
    texts: &Texts,
    certificates: &mut Certificates,
    source: &Source,
    is_beside: bool,
) -> Result<Checked, Vec<Diagnostic>> {
    match is_beside {
        true => check_beside(texts, certificates, source).await,
        false => load::check(texts, certificates, source),
    }
}

/// Carries out commands, reloads and everything else that is due, until the gateway serves no longer.
async fn control(serving: &mut Serving, signals: &mut Signals, supervisor: &Supervisor) -> End {
    let Serving { control, inboxes, .. } = serving;
    let watchdog = supervisor.watchdog();
    let mut alive_at = watchdog.map(|interval| Instant::now() + interval);
    loop {
        let deadline = control.deadline();
        // Until the other process serves, or has failed, nothing that is stored may change.
        let is_frozen = control.is_frozen();
        tokio::select! {
            () = control.source().changed(), if !is_frozen => control.take_change().await,
            _ = signals.hangup.recv(), if !is_frozen => control.reload(Because::Requested).await,
            _ = signals.terminate.recv() => return End::Signal(false),
            _ = signals.interrupt.recv() => return End::Signal(true),
            _ = signals.upgrade.recv() => control.upgrade(BY_SIGNAL.to_owned(), None),
            // The senders live as long as `control`.
            Some(command) = inboxes.commands.recv() => control.handle(command).await,
            Some(step) = inboxes.steps.recv() => if let Some(ready) = control.take_upgrade_step(step).await {
                return End::TakenOver(ready);
            },
            () = until(deadline), if deadline.is_some() && !is_frozen => control.on_deadline().await,
            () = control.hook_answered(), if !is_frozen => control.take_answers().await,
            () = until(alive_at), if alive_at.is_some() => {
                alive_at = watchdog.map(|interval| Instant::now() + interval);
                let (turned, supervisor) = (control.turn_workers(), supervisor.clone());
                // A worker that is stuck keeps the message back.
                tokio::spawn(async move {
                    if turned.await {
                        supervisor.alive();
                    }
                });
            }
        }
    }
}

/// Leaves the admin address to the process that has taken over, or closes it, and finishes responses in flight.
async fn leave(admin: Option<Server>, ready: &Ready) {
    match admin {
        Some(admin) if ready.has_admin => admin.leave().await,
        Some(admin) => admin.close().await,
        None => {}
    }
}

/// Returns at `deadline`.
async fn until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        sleep_until(deadline).await;
    }
}

/// Waits until the gateway is drained. A second interrupt ends the process at once; an interrupt after a termination counts
/// as the first.
async fn drain(drained: impl Future<Output = Drained>, mut signals: Signals, mut interrupted: bool) {
    log::info("draining: no new connections; in-flight requests may finish");
    tokio::pin!(drained);
    let drained = loop {
        tokio::select! {
            drained = &mut drained => break drained,
            _ = signals.interrupt.recv() => {
                if !std::mem::replace(&mut interrupted, true) {
                    continue;
                }
                log::info("interrupted");
                std::process::exit(INTERRUPTED);
            }
            _ = signals.terminate.recv() => {}
        }
    };
    if drained.cut > 0 {
        log::info(format_args!(
            "drain_timeout is over: {} cut",
            count(drained.cut, "connection")
        ));
    }
    let Lost { dropped, unwritable } = drained.lost;
    if dropped + unwritable > 0 {
        log::info(format_args!(
            "access log: {dropped} lines dropped, {unwritable} could not be written"
        ));
    }
}

/// The signals that control the gateway.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    upgrade: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            hangup: on(SignalKind::hangup())?,
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            upgrade: on(SignalKind::user_defined2())?,
        })
    }
}
