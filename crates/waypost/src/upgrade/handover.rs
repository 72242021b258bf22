//! The things that change hands, and the messages about them.

use std::os::fd::{AsFd as _, OwnedFd};

use serde::{Deserialize, Serialize};
use waypost_admin::server::AdminSocket;
use waypost_plan::admin::AdminBind;
use waypost_proxy::gateway::inherited::{InheritedSocket, Origin};

use crate::upgrade::channel::Channel;
use crate::upgrade::health::ServiceHealth;

/// The variable that says to a process that its standard input is a [`Channel`], with the version of the messages.
pub(crate) const VARIABLE: &str = "WAYPOST_HANDOVER";
/// The version of the messages.
pub(crate) const VERSION: &str = "1";

/// The things that a running process hands over.
#[derive(Debug, Default)]
pub(crate) struct Handover {
    pub(crate) sockets: Vec<InheritedSocket>,
    pub(crate) admin: Option<AdminHandover>,
    pub(crate) health: Vec<ServiceHealth>,
}

/// The listening socket of the admin API.
#[derive(Debug)]
pub(crate) struct AdminHandover {
    pub(crate) socket: AdminSocket,
    /// The address that it was opened for.
    pub(crate) bind: AdminBind,
    /// True if the service manager has opened it, and keeps it open.
    pub(crate) is_managed: bool,
}

/// A message of the running process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FromPredecessor {
    /// A socket of the listener with this `bind` and name.
    Listener { bind: String, name: Option<String> },
    /// A listening socket of the service manager, by name.
    Managed { name: Option<String> },
    /// The socket of the admin API.
    Admin { bind: String, is_managed: bool },
    /// The health of a service's endpoints.
    Health(ServiceHealth),
    /// The end of all that. The state on disk stays as it is from now on.
    Frozen {},
    /// No client is accepted any more.
    Yours {},
}

/// A message of the new process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FromSuccessor {
    /// The config is loaded.
    Prepared {},
    /// It could accept clients at once.
    Take {},
    /// It serves.
    Ready(Ready),
    /// It cannot serve, and exits.
    Failed {
        message: String,
        #[serde(default)]
        diagnostics: Vec<serde_json::Value>,
    },
}

/// The process that has taken over.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) pid: u32,
    pub(crate) version: String,
    /// True if it has the admin socket.
    pub(crate) has_admin: bool,
}

impl AdminHandover {
    /// The port of a socket over TCP.
    pub(crate) fn port(&self) -> Option<u16> {
        match &self.socket {
            AdminSocket::Tcp(socket) => socket.local_addr().ok().map(|address| address.port()),
            AdminSocket::Unix(_) => None,
        }
    }
}

impl Handover {
    /// Sends all of it.
    pub(crate) async fn send(&self, channel: &Channel) -> std::io::Result<()> {
        for InheritedSocket { socket, origin } in &self.sockets {
            let message = match origin.clone() {
                Origin::Predecessor { bind, name } => FromPredecessor::Listener { bind, name },
                Origin::Manager { name } => FromPredecessor::Managed { name },
            };
            channel.send(&message, Some(socket.as_fd())).await?;
        }
        if let Some(admin) = &self.admin {
            let message = FromPredecessor::Admin {
                bind: text_of(&admin.bind),
                is_managed: admin.is_managed,
            };
            let descriptor = match &admin.socket {
                AdminSocket::Tcp(socket) => socket.as_fd(),
                AdminSocket::Unix(socket) => socket.as_fd(),
            };
            channel.send(&message, Some(descriptor)).await?;
        }
        for service in &self.health {
            let message = FromPredecessor::Health(service.clone());
            channel.send(&message, None).await?;
        }
        channel.send(&FromPredecessor::Frozen {}, None).await
    }

    /// Adds a part that was received. Returns false for a message that is none.
    pub(crate) fn add(&mut self, message: &FromPredecessor, channel: &mut Channel) -> std::io::Result<bool> {
        let origin = match message {
            FromPredecessor::Listener { bind, name } => Origin::Predecessor {
                bind: bind.clone(),
                name: name.clone(),
            },
            FromPredecessor::Managed { name } => Origin::Manager { name: name.clone() },
            FromPredecessor::Admin { bind, is_managed } => {
                let descriptor = channel.descriptor()?;
                self.admin = admin(bind, *is_managed, descriptor);
                return Ok(true);
            }
            FromPredecessor::Health(service) => {
                self.health.push(service.clone());
                return Ok(true);
            }
            FromPredecessor::Frozen {} | FromPredecessor::Yours {} => return Ok(false),
        };
        let socket = channel.descriptor()?.into();
        self.sockets.push(InheritedSocket { socket, origin });
        Ok(true)
    }
}

fn text_of(bind: &AdminBind) -> String {
    match bind {
        AdminBind::Tcp(address) => address.to_string(),
        AdminBind::Unix(path) => format!("unix:{path}"),
    }
}

fn admin(bind: &str, is_managed: bool, descriptor: OwnedFd) -> Option<AdminHandover> {
    let (bind, socket) = match bind.strip_prefix("unix:") {
        Some(path) => (AdminBind::Unix(path.into()), AdminSocket::Unix(descriptor.into())),
        None => (
            AdminBind::Tcp(bind.parse().ok()?),
            AdminSocket::Tcp(descriptor.into()),
        ),
    };
    Some(AdminHandover {
        socket,
        bind,
        is_managed,
    })
}
