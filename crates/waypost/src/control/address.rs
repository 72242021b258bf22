//! The admin address of the active config.

use std::sync::Arc;

use waypost_admin::access::Access;
use waypost_admin::server::{OpenError, Server, access};
use waypost_admin::state::AppState;
use waypost_plan::admin::Admin;

use super::Control;
use crate::log;

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
    pub(super) fn reserve_admin(&self, admin: Option<&Admin>) -> Result<AdminChange, OpenError> {
        let now = self.gateway.generation();
        let now = now.plan().settings().admin.as_ref();
        if admin == now {
            return Ok(AdminChange::None);
        }
        match (admin, now, &self.server) {
            (Some(admin), Some(now), Some(_)) if admin.bind == now.bind => {
                Ok(AdminChange::Access(access(admin)?))
            }
            _ => {
                let (server, no_server) = open_admin(admin, self.server.as_ref(), &self.shared)?;
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

/// Opens the admin address, if one is configured, to replace `leaving`. If the default address is in use, that is no
/// failure, as the config does not ask for it; the error is returned beside.
pub(super) fn open_admin(
    admin: Option<&Admin>,
    leaving: Option<&Server>,
    shared: &Arc<AppState>,
) -> Result<(Option<Server>, Option<OpenError>), OpenError> {
    let Some(admin) = admin else {
        return Ok((None, None));
    };
    match Server::open(admin, leaving, Arc::clone(shared)) {
        Ok(server) => Ok((Some(server), None)),
        Err(error @ OpenError::Listen { .. }) if !admin.is_explicit => Ok((None, Some(error))),
        Err(error) => Err(error),
    }
}

/// Logs the admin address, or why there is none.
pub(super) fn log_admin(server: Option<&Server>, no_server: Option<&OpenError>) {
    if let Some(server) = server {
        log::info(format_args!("admin on {}", server.address));
    } else if let Some(error) = no_server {
        log::warn(format_args!("{error}; going on without it"));
    }
}
