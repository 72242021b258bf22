//! The admin address of the active config.

use std::sync::Arc;

use waypost_admin::access::Access;
use waypost_admin::server::{AdminSocket, OpenError, Server, access};
use waypost_admin::state::AppState;
use waypost_plan::admin::Admin;

use super::Control;
use crate::log;
use crate::source::Source;
use crate::upgrade::handover::AdminHandover;

/// The effect of a config on the admin address.
pub(super) enum AdminChange {
    /// No change.
    None,
    /// The address stays, but access to it changes.
    Access(Access),
    /// Another address, or none, with the error if the default address could not be opened.
    Server(Option<Server>, Option<OpenError>),
}

impl Control {
    /// Opens the admin address of a config that is about to be activated.
    pub(super) fn reserve_admin(&mut self, admin: Option<&Admin>) -> Result<AdminChange, OpenError> {
        let now = self.gateway.generation();
        let now = now.plan().settings().admin.as_ref();
        if admin == now {
            return Ok(AdminChange::None);
        }
        let located = located(admin, &self.source);
        let admin = located.as_ref();
        match (admin, now, &self.server) {
            (Some(admin), Some(now), Some(_)) if admin.bind == now.bind => {
                Ok(AdminChange::Access(access(admin)?))
            }
            _ => {
                let leaving = self.server.as_ref().and_then(Server::port);
                let (server, no_server) =
                    open_admin(admin, leaving, &mut self.inherited_admin, &self.shared)?;
                if let Some(server) = &server {
                    server.resume();
                }
                Ok(AdminChange::Server(server, no_server))
            }
        }
    }

    /// Makes a change of the admin address effective.
    pub(super) async fn switch_admin(&mut self, change: AdminChange) {
        match change {
            AdminChange::None => {}
            AdminChange::Access(access) => {
                if let Some(server) = &self.server {
                    server.set_access(access);
                }
            }
            AdminChange::Server(server, no_server) => {
                if let Some(old) = std::mem::replace(&mut self.server, server) {
                    old.close().await;
                }
                log_admin(self.server.as_ref(), no_server.as_ref());
            }
        }
    }
}

/// The settings with the path of their token file, as found from the config.
pub(super) fn located(admin: Option<&Admin>, source: &Source) -> Option<Admin> {
    let mut admin = admin?.clone();
    if let Some(file) = &mut admin.token_file {
        *file = source.locate(file).to_string_lossy().into();
    }
    Some(admin)
}

/// Opens the admin address, if one is configured, or takes the socket that another process has opened for it. `leaving` is
/// the port of the server to be replaced. If the default address is in use, that is no failure, as the config does not ask
/// for it; the error is returned beside. The server may be paused.
pub(super) fn open_admin(
    admin: Option<&Admin>,
    leaving: Option<u16>,
    inherited: &mut Option<AdminHandover>,
    shared: &Arc<AppState>,
) -> Result<(Option<Server>, Option<OpenError>), OpenError> {
    let Some(admin) = admin else {
        return Ok((None, None));
    };
    let opened = match take(inherited, admin) {
        Some((socket, is_managed)) => Server::take_over(admin, socket, is_managed, Arc::clone(shared)),
        None => {
            let port = inherited.as_ref().and_then(AdminHandover::port);
            Server::open(admin, leaving.or(port), Arc::clone(shared))
        }
    };
    match opened {
        Ok(server) => Ok((Some(server), None)),
        Err(error @ OpenError::Listen { .. }) if !admin.is_explicit => Ok((None, Some(error))),
        Err(error) => Err(error),
    }
}

/// The inherited socket for this address. One of the service manager is kept, as nothing else can listen there.
fn take(inherited: &mut Option<AdminHandover>, admin: &Admin) -> Option<(AdminSocket, bool)> {
    let handover = inherited
        .as_ref()
        .filter(|handover| handover.bind == admin.bind)?;
    if handover.is_managed {
        return Some((handover.socket.try_clone().ok()?, true));
    }
    Some((inherited.take()?.socket, false))
}

/// Logs the admin address, or why there is none.
pub(super) fn log_admin(server: Option<&Server>, no_server: Option<&OpenError>) {
    if let Some(server) = server {
        log::info(format_args!("admin on {}", server.address));
    } else if let Some(error) = no_server {
        log::warn(format_args!("{error}; going on without it"));
    }
}
