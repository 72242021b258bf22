//! The admin address of the config in force.

use std::sync::Arc;

use waypost_admin::access::Access;
use waypost_admin::server::{OpenError, Server, access};
use waypost_admin::state::AppState;
use waypost_plan::admin::Admin;

use super::Control;
use crate::output::eprint;

/// What becomes of the admin address.
pub(super) enum AdminChange {
    /// It stays.
    None,
    /// Others may use it.
    Access(Access),
    /// It is another one, or none, and perhaps why.
    Server(Option<Server>, Option<OpenError>),
}

impl Control {
    /// Gets ready for the admin address of a config that is about to come into force.
    pub(super) fn prepare_admin(&self, admin: Option<&Admin>) -> Result<AdminChange, OpenError> {
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
}

/// Opens the admin address, if there is to be one, in the place of the one that is there. That the default one is
/// taken is no error, as nobody has asked for it; it is returned as well.
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

/// Says where the admin address is, or that it could not be had.
pub(super) fn say_admin(server: Option<&Server>, no_server: Option<&OpenError>) {
    if let Some(server) = server {
        eprint(&format!("admin on {}\n", server.address));
    } else if let Some(error) = no_server {
        eprint(&format!("waypost: {error}; going on without it\n"));
    }
}
