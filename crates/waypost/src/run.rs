//! `waypost run`: serving a config and its changes.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};
use waypost_proxy::gateway::Gateway;
use waypost_proxy::observe::access_log::Lost;
use waypost_proxy::priority::{Priority, lower, lower_allocator};

use crate::certificates::Certificates;
use crate::control::Control;
use crate::control::reload::Because;
use crate::output::count;
use crate::source::Source;
use crate::{Outcome, load, log};

/// The exit code after a second interrupt.
const INTERRUPTED: i32 = 130;

/// Serves the config at `path` until a signal stops the gateway.
pub(crate) fn run(path: &Path) -> anyhow::Result<Outcome> {
    let runtime = control_runtime()?;
    let outcome = runtime.block_on(serve(path, |_| Ok(())));
    // A hanging name look-up must not keep the process alive.
    runtime.shutdown_background();
    outcome
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

/// Serves the config at `path`. `once_ready` is called when clients are accepted.
///
/// # Errors
/// If the config cannot be read, or a listener cannot be opened.
pub(crate) async fn serve(
    path: &Path,
    once_ready: impl FnOnce(&Control) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    // Signals are handled from here on, also during the start.
    let mut signals = Signals::new()?;
    let mut source = Source::at(path);
    let recovered = source.recover();
    for message in &recovered.messages {
        log::warn(message);
    }
    // Watching begins before reading, so that a change in between is noticed.
    source.watch();
    let read = source.read()?;
    let texts = &read.0;
    let mut certificates = Certificates::default();
    let checked = match load::check(texts, &mut certificates, &source) {
        Ok(checked) => checked,
        Err(diagnostics) => {
            log::diagnostics(&diagnostics, texts);
            let errors = diagnostics
                .iter()
                .filter(|diagnostic| diagnostic.is_error())
                .count();
            log::warn(format_args!(
                "{}: {}, nothing is served",
                source.name(),
                count(errors, "error")
            ));
            return Ok(Outcome::Bad);
        }
    };
    log::diagnostics(&checked.warnings, texts);
    let (mut control, mut commands) = Control::start(
        source,
        read,
        (checked, certificates),
        env!("CARGO_PKG_VERSION"),
        recovered.damaged,
    )
    .await?;
    // The workers have inherited this thread's priority. Its own work takes milliseconds with many routes, and requests
    // must not wait for it.
    lower(Priority::Low);
    lower_allocator();
    log::info("ready");
    once_ready(&control)?;

    let interrupted = loop {
        let deadline = control.deadline();
        tokio::select! {
            () = control.source().changed() => control.reload(Because::Changed).await,
            _ = signals.hangup.recv() => control.reload(Because::Requested).await,
            _ = signals.terminate.recv() => break false,
            _ = signals.interrupt.recv() => break true,
            // The sender lives as long as `control`.
            Some(command) = commands.recv() => control.handle(command).await,
            () = until(deadline), if deadline.is_some() => control.on_deadline().await,
            () = control.hook_answered() => control.take_answers(),
        }
    };
    drop(commands);
    let (gateway, _admin, notifier) = control.into_parts();
    let timeout = gateway.generation().plan().settings().drain_timeout;
    drain(gateway, timeout, signals, interrupted).await;
    notifier.finish().await;
    log::info("stopped");
    Ok(Outcome::Good)
}

/// Returns at `deadline`.
async fn until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        sleep_until(deadline).await;
    }
}

/// Drains the gateway. A second interrupt ends the process at once; an interrupt after a termination counts as the first.
async fn drain(gateway: Gateway, timeout: Duration, mut signals: Signals, mut interrupted: bool) {
    log::info("draining: no new connections; in-flight requests may finish");
    let drained = gateway.drain(timeout);
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
