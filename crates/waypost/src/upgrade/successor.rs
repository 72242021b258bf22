//! The running process's side of an upgrade.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::upgrade::channel::Channel;
use crate::upgrade::handover::{FromPredecessor, FromSuccessor, Handover, Ready};
use crate::upgrade::launcher::{Launched, Launcher};

/// The time that the new process has until it is ready.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The interval of asking whether the new process has ended.
const POLL: Duration = Duration::from_millis(50);
/// The time for last words of a new process that has ended.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// The time for a new process that has closed its channel to end.
const ENDING: Duration = Duration::from_secs(2);

/// A step that the control has to take.
#[derive(Debug)]
pub(crate) enum Step {
    /// Leave the state on disk as it is from now on, and give copies of all sockets.
    Freeze(oneshot::Sender<Result<Handover, String>>),
    /// Accept no more clients.
    Pause(oneshot::Sender<()>),
    /// The end: the process that has taken over, or the reason that none has.
    End(Result<Ready, Failure>),
}

/// The failure of an upgrade.
#[derive(Debug)]
pub(crate) struct Failure {
    /// One sentence.
    pub(crate) message: String,
    /// Diagnostics of the config, as JSON.
    pub(crate) diagnostics: Vec<Value>,
    /// True if the new process was not ready in time.
    pub(crate) is_late: bool,
}

impl Failure {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            diagnostics: Vec::new(),
            is_late: false,
        }
    }
}

/// Starts a new process and lets it take over. All that concerns the control goes there as `steps`; the last one is the end.
/// A new process that fails has ended by then.
pub(crate) async fn conduct(launcher: Launcher, steps: mpsc::Sender<Step>) {
    let end = match launch(&launcher).await {
        Err(error) => Err(Failure::new(format!(
            "`{}` cannot be started: {error}",
            launcher.program().display()
        ))),
        Ok((mut launched, mut channel)) => {
            let talked = timeout(TIMEOUT, talk(&mut launched, &mut channel, &steps)).await;
            match talked {
                Ok(Ok(ready)) => {
                    launched.release();
                    Ok(ready)
                }
                Ok(Err(failure)) => Err(failure),
                Err(_) => Err(Failure {
                    is_late: true,
                    ..Failure::new(format!(
                        "the new process was not ready within {} s",
                        TIMEOUT.as_secs()
                    ))
                }),
            }
        }
    };
    // The control has gone if the gateway stops.
    let _ = steps.send(Step::End(end)).await;
}

async fn launch(launcher: &Launcher) -> io::Result<(Launched, Channel)> {
    let (ours, theirs) = UnixStream::pair()?;
    let channel = Channel::new(ours)?;
    Ok((launcher.launch(OwnedFd::from(theirs)).await?, channel))
}

/// Talks to the new process until it is ready.
async fn talk(
    launched: &mut Launched,
    channel: &mut Channel,
    steps: &mpsc::Sender<Step>,
) -> Result<Ready, Failure> {
    let broken = |error: io::Error| Failure::new(format!("the new process cannot be talked to: {error}"));
    let stopping = || Failure::new("the gateway is stopping");
    loop {
        match hear(launched, channel).await? {
            FromSuccessor::Prepared {} => {
                let (reply, frozen) = oneshot::channel();
                let sent = steps.send(Step::Freeze(reply)).await;
                sent.map_err(|_| stopping())?;
                let handover = frozen.await.map_err(|_| stopping())?.map_err(Failure::new)?;
                handover.send(channel).await.map_err(broken)?;
            }
            FromSuccessor::Take {} => {
                let (reply, paused) = oneshot::channel();
                let sent = steps.send(Step::Pause(reply)).await;
                sent.map_err(|_| stopping())?;
                let stuck = |_| Failure::new("a worker of the running process does not stop accepting");
                paused.await.map_err(stuck)?;
                channel
                    .send(&FromPredecessor::Yours {}, None)
                    .await
                    .map_err(broken)?;
            }
            FromSuccessor::Ready(ready) => return Ok(ready),
            FromSuccessor::Failed { message, diagnostics } => {
                return Err(Failure {
                    diagnostics,
                    ..Failure::new(message)
                });
            }
        }
    }
}

/// The next message of the new process.
async fn hear(launched: &mut Launched, channel: &mut Channel) -> Result<FromSuccessor, Failure> {
    let mut ended = pin!(async {
        loop {
            if let Some(how) = launched.ended() {
                break how;
            }
            sleep(POLL).await;
        }
    });
    let heard = tokio::select! {
        biased;
        heard = channel.receive() => heard,
        how = &mut ended => {
            // It may have said why.
            return match timeout(LAST_WORDS, channel.receive()).await {
                Ok(Ok(Some(heard))) => Ok(heard),
                _ => Err(Failure::new(format!("the new process has ended: {how}"))),
            };
        }
    };
    match heard {
        Ok(Some(message)) => Ok(message),
        Ok(None) | Err(_) => {
            // A process that ends closes its sockets just before.
            let ended = timeout(ENDING, ended).await.ok();
            let how = match (ended, heard) {
                (Some(how), _) => format!("the new process has ended: {how}"),
                (None, Err(error)) => format!("the new process does not speak as expected: {error}"),
                (None, Ok(_)) => "the new process does not take over".to_owned(),
            };
            Err(Failure::new(how))
        }
    }
}
