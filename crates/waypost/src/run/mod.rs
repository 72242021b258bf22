//! `waypost run`: serving a config, and every change of it.

mod watch;

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};
use waypost_proxy::gateway::Gateway;
use waypost_proxy::observe::access_log::Lost;
use waypost_proxy::priority::{Priority, lower, lower_allocator};

use crate::control::reload::Because;
use crate::control::{Control, disk};
use crate::output::{count, eprint};
use crate::secrets::Secrets;
use crate::{Outcome, config, load, output};

/// The exit code of a gateway that was told twice to stop.
const INTERRUPTED: i32 = 130;

/// Serves the config at `path` until it is told to stop.
pub(crate) fn run(path: &Path) -> anyhow::Result<Outcome> {
    let runtime = control_runtime()?;
    let outcome = runtime.block_on(serve(path, |_| Ok(())));
    // A look-up that hangs must not keep the process.
    runtime.shutdown_background();
    outcome
}

/// The runtime of everything that is not the data path: it never runs on a worker's thread.
fn control_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
        .context("cannot start a runtime")
}

/// Serves the config at `path`; `once_ready` is called when clients are accepted.
///
/// # Errors
/// When the config cannot be read, or its addresses cannot be listened on.
pub(crate) async fn serve(
    path: &Path,
    once_ready: impl FnOnce(&Control) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    // From here on a signal is the gateway's business, also while it starts.
    let mut signals = Signals::new()?;
    let owned = disk::own(path);
    let recovered = disk::recover(path, owned.is_some());
    for said in &recovered.said {
        eprint(&format!("waypost: {said}\n"));
    }
    // Watching begins before reading: a change in between is seen.
    let changed = watch::start(path);
    let texts = config::read_served(path)?;
    let mut secrets = Secrets::default();
    let checked = match load::check(&texts, &mut secrets) {
        Ok(checked) => checked,
        Err(diagnostics) => {
            eprint(&load::render(&diagnostics, &texts, output::stderr_has_colors()));
            let errors = diagnostics
                .iter()
                .filter(|diagnostic| diagnostic.is_error())
                .count();
            eprint(&format!(
                "waypost: {}: {}, nothing is served\n",
                path.display(),
                count(errors, "error")
            ));
            return Ok(Outcome::Bad);
        }
    };
    eprint(&load::render(
        &checked.warnings,
        &texts,
        output::stderr_has_colors(),
    ));
    let (mut control, mut commands) = Control::start(
        path,
        texts,
        (checked, secrets),
        env!("CARGO_PKG_VERSION"),
        (owned, recovered),
    )
    .await?;
    // The workers have started, and have the priority that this thread had. What it does from now on takes milliseconds
    // where there are many routes, and requests do not wait for it.
    lower(Priority::Low);
    lower_allocator();
    eprint("ready\n");
    once_ready(&control)?;

    let interrupted = loop {
        let deadline = control.deadline();
        tokio::select! {
            () = changed.notified() => control.reload(Because::Changed).await,
            _ = signals.hangup.recv() => control.reload(Because::Asked).await,
            _ = signals.terminate.recv() => break false,
            _ = signals.interrupt.recv() => break true,
            // The sender lives as long as the control.
            Some(command) = commands.recv() => control.obey(command).await,
            () = until(deadline), if deadline.is_some() => control.on_time().await,
        }
    };
    drop(commands);
    let (gateway, _admin) = control.into_parts();
    let patience = gateway.generation().plan().settings().drain_timeout;
    drain(gateway, patience, signals, interrupted).await;
    Ok(Outcome::Good)
}

/// Returns at `deadline`.
async fn until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        sleep_until(deadline).await;
    }
}

/// Lets what is under way end. A second interrupt ends the process at once; the first one asks for no more than
/// what a termination has asked for already.
async fn drain(gateway: Gateway, patience: Duration, mut signals: Signals, mut interrupted: bool) {
    eprint("draining: no new clients, requests under way may end\n");
    let drained = gateway.drain(patience);
    tokio::pin!(drained);
    let drained = loop {
        tokio::select! {
            drained = &mut drained => break drained,
            _ = signals.interrupt.recv() => {
                if !std::mem::replace(&mut interrupted, true) {
                    continue;
                }
                eprint("interrupted\n");
                std::process::exit(INTERRUPTED);
            }
            _ = signals.terminate.recv() => {}
        }
    };
    if drained.cut > 0 {
        eprint(&format!(
            "drain_timeout is over: {} cut\n",
            count(drained.cut, "connection")
        ));
    }
    let Lost { dropped, unwritable } = drained.lost;
    if dropped + unwritable > 0 {
        eprint(&format!(
            "access log: {dropped} lines dropped, {unwritable} could not be written\n"
        ));
    }
    eprint("stopped\n");
}

/// What the gateway is told by signals.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            hangup: on(SignalKind::hangup())?,
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
        })
    }
}
