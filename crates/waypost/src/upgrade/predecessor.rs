//! The new process's side of an upgrade.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use anyhow::{Context as _, bail};
use rustix::stdio::dup2_stdin;
use serde_json::Value;

use crate::upgrade::channel::Channel;
use crate::upgrade::handover::{FromPredecessor, FromSuccessor, Handover, Ready, VARIABLE, VERSION};

/// The process that this one takes over from.
#[derive(Debug)]
pub(crate) struct Predecessor(Channel);

impl Predecessor {
    /// The process that has started this one to take over; `None` if this is an ordinary start.
    ///
    /// # Errors
    /// If it speaks another language.
    pub(crate) fn from_environment() -> anyhow::Result<Option<Self>> {
        let Some(version) = std::env::var_os(VARIABLE) else {
            return Ok(None);
        };
        let input = io::stdin().as_fd().try_clone_to_owned();
        let input = UnixStream::from(input.context("standard input is closed")?);
        if input.local_addr().is_err() {
            bail!("{VARIABLE} is set, which is for `waypost upgrade` only");
        }
        // This process has no use for the number, and must not keep the socket open by it.
        dup2_stdin(File::open("/dev/null")?)?;
        let channel = Channel::new(input)?;
        if version != VERSION {
            bail!("the running process speaks another version of the handover; restart it instead");
        }
        Ok(Some(Self(channel)))
    }

    /// Says that the config is loaded. Returns the sockets; the state on disk is complete by then, and this process's.
    pub(crate) async fn freeze(&mut self) -> anyhow::Result<Handover> {
        self.0.send(&FromSuccessor::Prepared {}, None).await?;
        let mut handover = Handover::default();
        loop {
            let message = self.hear().await?;
            if !handover.add(&message, &mut self.0)? {
                return match message {
                    FromPredecessor::Frozen {} => Ok(handover),
                    message => bail!("the running process says {message:?} too early"),
                };
            }
        }
    }

    /// Asks the running process to accept no more clients. On return, all further ones are this process's.
    pub(crate) async fn take(&mut self) -> anyhow::Result<()> {
        self.0.send(&FromSuccessor::Take {}, None).await?;
        match self.hear().await? {
            FromPredecessor::Yours {} => Ok(()),
            message => bail!("the running process says {message:?} instead of giving its clients"),
        }
    }

    /// Says that this process serves.
    pub(crate) async fn ready(self, version: &str, has_admin: bool) {
        let ready = Ready {
            pid: std::process::id(),
            version: version.to_owned(),
            has_admin,
        };
        // If it has gone, there is no one to tell.
        let _ = self.0.send(&FromSuccessor::Ready(ready), None).await;
    }

    /// Says why this process cannot serve.
    pub(crate) async fn failed(self, message: String, diagnostics: Vec<Value>) {
        let _ = self
            .0
            .send(&FromSuccessor::Failed { message, diagnostics }, None)
            .await;
    }

    async fn hear(&mut self) -> anyhow::Result<FromPredecessor> {
        let heard = self
            .0
            .receive()
            .await
            .context("the running process cannot be understood")?;
        heard.context("the running process has given up the upgrade")
    }
}
