//! Handing over to a new process, as [`crate::upgrade`] describes it.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use waypost_admin::command::{ReplySender, Upgraded};
use waypost_admin::events::EventKind;
use waypost_admin::problem::Problem;
use waypost_admin::report::FailedUpgrade;

use super::Control;
use crate::log;
use crate::upgrade::handover::{AdminHandover, Handover, Ready};
use crate::upgrade::health;
use crate::upgrade::launcher::Launcher;
use crate::upgrade::successor::{Failure, Step, conduct};

/// Timeout for the workers to accept no more clients. They reply at once unless one is stuck.
const PAUSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The means of an upgrade, and the one under way.
#[derive(Debug)]
pub(super) struct Upgrades {
    /// `None` if this process cannot be started again.
    launcher: Option<Launcher>,
    steps: mpsc::Sender<Step>,
    running: Option<Running>,
    /// True while the state on disk is left as it is.
    is_frozen: bool,
}

/// The upgrade under way.
#[derive(Debug)]
struct Running {
    by: String,
    reply: Option<ReplySender<Upgraded>>,
    task: JoinHandle<()>,
}

impl Upgrades {
    /// Returns with it the receiver of the steps that the control has to take.
    pub(super) fn new(launcher: Option<Launcher>) -> (Self, mpsc::Receiver<Step>) {
        let (steps, inbox) = mpsc::channel(1);
        let upgrades = Self {
            launcher,
            steps,
            running: None,
            is_frozen: false,
        };
        (upgrades, inbox)
    }
}

impl Control {
    /// Starts the binary that is at this process's path, to take over. The result goes to `reply`, or else to the log alone.
    pub(crate) fn upgrade(&mut self, by: String, reply: Option<ReplySender<Upgraded>>) {
        let launcher = match self.may_upgrade() {
            Ok(launcher) => launcher,
            Err(problem) => {
                log::warn(format_args!("no upgrade: {}", problem.detail));
                if let Some(reply) = reply {
                    let _ = reply.send(Err(problem));
                }
                return;
            }
        };
        log::info(format_args!(
            "upgrading: starting `{}`",
            launcher.program().display()
        ));
        self.shared.update_report(|report| report.upgrading = true);
        let task = tokio::spawn(conduct(launcher, self.upgrades.steps.clone()));
        self.upgrades.running = Some(Running { by, reply, task });
    }

    /// The means to start the binary, unless there is a reason not to.
    fn may_upgrade(&self) -> Result<Launcher, Problem> {
        if self.upgrades.running.is_some() {
            return Err(Problem::conflict("an upgrade is under way already"));
        }
        if std::process::id() == 1 {
            return Err(Problem::conflict(
                "this is the first process of its container, which would end with it; start another container instead",
            ));
        }
        if self.supervisor.ends_with_this() {
            return Err(Problem::conflict(
                "systemd would end the new process with this one; hint: the unit needs `Type=notify` and `NotifyAccess=all`",
            ));
        }
        if let Some(pending) = &self.pending {
            return Err(Problem::conflict(format!(
                "revision {} waits for confirmation, and a new process would begin with the config on disk; run `waypost \
                 confirm` or `waypost rollback` first",
                pending.revision
            )));
        }
        let launcher = self.upgrades.launcher.clone();
        launcher.ok_or_else(|| Problem::conflict("a demo cannot be upgraded"))
    }

    /// Takes a step of the upgrade. Returns the process that has taken over, at the end.
    pub(crate) async fn take_upgrade_step(&mut self, step: Step) -> Option<Ready> {
        match step {
            Step::Freeze(reply) => {
                let frozen = self.freeze().await;
                drop(reply.send(frozen));
                None
            }
            Step::Pause(reply) => {
                let paused = async {
                    self.gateway.pause().await;
                    if let Some(server) = &self.server {
                        server.pause().await;
                    }
                };
                // Without the reply, the upgrade fails.
                if timeout(PAUSE_TIMEOUT, paused).await.is_ok() {
                    let _ = reply.send(());
                }
                None
            }
            Step::End(Ok(ready)) => {
                // Responses from here on tell clients to go.
                let _ = timeout(PAUSE_TIMEOUT, self.gateway.last_call()).await;
                self.report_upgraded(&ready);
                Some(ready)
            }
            Step::End(Err(failure)) => {
                self.go_on(failure).await;
                None
            }
        }
    }

    /// Returns true while nothing may be stored, because another process is about to read the state.
    pub(crate) fn is_frozen(&self) -> bool {
        self.upgrades.is_frozen
    }

    /// Gives up an upgrade under way, because the gateway stops.
    pub(super) async fn cancel_upgrade(&mut self) {
        if let Some(running) = self.upgrades.running.take() {
            running.task.abort();
            // The new process has been killed when it ends.
            let _ = running.task.await;
        }
    }

    /// Completes the state on disk, and leaves it to the new process.
    async fn freeze(&mut self) -> Result<Handover, String> {
        let cannot = |error| format!("the sockets cannot be handed over: {error}");
        let sockets = self.gateway.sockets().await.map_err(cannot)?;
        let bind = self.gateway.generation().plan().settings().admin.clone();
        let admin = match (&self.server, bind) {
            (Some(server), Some(admin)) => Some(AdminHandover {
                socket: server.socket().map_err(cannot)?,
                bind: admin.bind,
                is_managed: server.is_managed(),
            }),
            _ => None,
        };
        let health = health::known(&self.gateway.generation(), Instant::now());
        self.upgrades.is_frozen = true;
        self.allow_orders();
        self.store_evidence().await;
        self.state.release();
        self.source.release();
        Ok(Handover {
            sockets,
            admin,
            health,
        })
    }

    /// Goes on after an upgrade that failed.
    async fn go_on(&mut self, failure: Failure) {
        self.gateway.resume();
        if let Some(server) = &self.server {
            server.resume();
        }
        if std::mem::take(&mut self.upgrades.is_frozen) {
            // An error is reported, and tried again until it is mended.
            if let Err(error) = self.claim_state().await {
                log::warn(error);
            }
            self.report_state();
            self.allow_orders();
        }
        let Some(running) = self.upgrades.running.take() else {
            return;
        };
        let message = format!("the upgrade failed: {}", failure.message);
        self.shared.update_report(|report| {
            report.upgrading = false;
            report.failed_upgrade = Some(FailedUpgrade {
                time: Timestamp::now(),
                message: failure.message.clone(),
                by: running.by.clone(),
            });
        });
        self.shared.events.publish(EventKind::UpgradeFailed {
            message: failure.message,
            by: running.by,
        });
        log::warn(format_args!("{message}; this process goes on"));
        if let Some(reply) = running.reply {
            let problem = match failure.is_late {
                true => Problem::timeout(message),
                false => Problem::failed(message),
            };
            let _ = reply.send(Err(problem.with_diagnostics(failure.diagnostics)));
        }
    }

    fn report_upgraded(&mut self, ready: &Ready) {
        let Some(running) = self.upgrades.running.take() else {
            return;
        };
        log::info(format_args!(
            "process {}, version {}, has taken over",
            ready.pid, ready.version
        ));
        self.shared.events.publish(EventKind::Upgraded {
            pid: ready.pid,
            version: ready.version.clone(),
            by: running.by,
        });
        if let Some(reply) = running.reply {
            let _ = reply.send(Ok(Upgraded {
                pid: ready.pid,
                version: ready.version.clone(),
                pid_before: std::process::id(),
                version_before: self.shared.version.to_owned(),
            }));
        }
    }
}
