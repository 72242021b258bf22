//! Socket activation, `sd_listen_fds(3)`: listening sockets that the service manager has opened.

use std::env;
use std::path::Path;

use listenfd::ListenFd;
use waypost_admin::server::AdminSocket;
use waypost_plan::Plan;
use waypost_plan::admin::AdminBind;
use waypost_plan::listener::BindAddress;
use waypost_proxy::gateway::inherited::{InheritedSocket, Origin};
use waypost_transport::listening::ListeningSocket;

use crate::log;
use crate::upgrade::handover::AdminHandover;

/// The variables of the protocol. They are for one process, and never for its children.
pub(crate) const VARIABLES: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// The name of a descriptor that is for the admin API.
const ADMIN: &str = "admin";

/// A listening socket with the name of its descriptor.
#[derive(Debug)]
pub(crate) struct Activated {
    name: Option<String>,
    socket: AdminSocket,
}

/// Takes the sockets that the service manager has opened for this process. Must come before any thread is started, because
/// the environment is changed.
pub(crate) fn take() -> Vec<Activated> {
    // Without the id, the sockets may be another process's.
    if env::var_os("LISTEN_PID").is_none() {
        return Vec::new();
    }
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names
        .split(':')
        .map(|name| (!name.is_empty()).then(|| name.to_owned()));
    let mut descriptors = ListenFd::from_env();
    let mut taken = Vec::new();
    for index in 0..descriptors.len() {
        let name = names.next().flatten();
        let socket = match descriptors.take_tcp_listener(index) {
            Ok(socket) => socket.map(AdminSocket::Tcp),
            Err(_) => match descriptors.take_unix_listener(index) {
                Ok(socket) => socket.map(AdminSocket::Unix),
                Err(_) => {
                    let name = name
                        .as_deref()
                        .map(|name| format!(", `{name}`,"))
                        .unwrap_or_default();
                    log::warn(format_args!(
                        "the socket{name} from the service manager is not used: it is neither a TCP nor a unix stream socket"
                    ));
                    None
                }
            },
        };
        taken.extend(socket.map(|socket| Activated { name, socket }));
    }
    taken
}

/// Divides sockets into those for listeners and the one for the admin API.
pub(crate) fn divide(sockets: Vec<Activated>, plan: &Plan) -> (Vec<InheritedSocket>, Option<AdminHandover>) {
    let mut for_listeners = Vec::new();
    let mut for_admin = None;
    let bind = plan.settings().admin.as_ref().map(|admin| &admin.bind);
    let has_listener = |name: &str| {
        let mut listeners = plan.listeners().iter();
        listeners.any(|listener| listener.name.as_deref() == Some(name))
    };
    for Activated { name, socket } in sockets {
        let is_named = name.as_deref() == Some(ADMIN) && !has_listener(ADMIN);
        let is_at = match (&socket, bind) {
            (AdminSocket::Tcp(socket), Some(AdminBind::Tcp(bind))) => {
                let is_there = socket.local_addr().is_ok_and(|address| address == *bind);
                let mut listeners = plan.listeners().iter();
                is_there && !listeners.any(|listener| listener.bind.address == BindAddress::Tcp(*bind))
            }
            (AdminSocket::Unix(socket), Some(AdminBind::Unix(bind))) => socket
                .local_addr()
                .is_ok_and(|address| address.as_pathname() == Some(Path::new(&**bind))),
            _ => false,
        };
        match (socket, bind) {
            (socket, Some(bind)) if (is_named || is_at) && for_admin.is_none() => {
                for_admin = Some(AdminHandover {
                    socket,
                    bind: bind.clone(),
                    is_managed: true,
                });
            }
            (socket, _) => for_listeners.push(InheritedSocket {
                socket: match socket {
                    AdminSocket::Tcp(socket) => ListeningSocket::Tcp(socket),
                    AdminSocket::Unix(socket) => ListeningSocket::Unix(socket),
                },
                origin: Origin::Manager { name },
            }),
        }
    }
    (for_listeners, for_admin)
}

/// Warns of sockets that no listener takes.
pub(crate) fn warn_unmatched(unmatched: &[(String, Option<String>)]) {
    for (address, name) in unmatched {
        let name = name
            .as_deref()
            .map(|name| format!(", named `{name}`,"))
            .unwrap_or_default();
        log::warn(format_args!(
            "the socket {address}{name} from the service manager matches no listener; hint: a listener takes it that has \
             its address as `bind`, or its name as `name`"
        ));
    }
}
