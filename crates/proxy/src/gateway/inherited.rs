//! Listening sockets that another process opened: the predecessor in an upgrade, or the service manager.
//!
//! A predecessor's sockets are this process's own from then on. The service manager keeps its sockets open, so nothing else
//! can listen at their addresses: they are kept here for as long as the process lives, and a listener that is removed and
//! added again gets them again.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use waypost_plan::listener::{BindAddress, Listener};
use waypost_transport::listening::{ListeningAddress, ListeningSocket};
use waypost_transport::socket_file::SocketFile;
use waypost_transport::sockets;

/// A listening socket that another process opened.
#[derive(Debug)]
pub struct InheritedSocket {
    /// The socket.
    pub socket: ListeningSocket,
    /// The process that opened it, and what the socket is for.
    pub origin: Origin,
}

/// The origin of an inherited socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The predecessor, for the listener with this `bind` text and name.
    Predecessor {
        /// The text of its `bind`.
        bind: String,
        /// Its name.
        name: Option<String>,
    },
    /// The service manager, under this name.
    Manager {
        /// The name of the descriptor.
        name: Option<String>,
    },
}

/// Inherited sockets that wait for a listener.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<InheritedSocket>,
    /// The names of all listeners of the config: a socket of such a name is for that listener only.
    names: Vec<String>,
}

/// The sockets of one listener.
pub(super) enum Taken {
    /// The predecessor's, each with a queue of its own.
    Predecessor(Vec<ListeningSocket>),
    /// Copies of the service manager's.
    Managed(Vec<ListeningSocket>),
}

impl Inherited {
    /// Sockets as they were received.
    pub fn new(sockets: Vec<InheritedSocket>) -> Self {
        Self {
            sockets,
            names: Vec::new(),
        }
    }

    /// Sets the listeners of the config that sockets are about to be taken for.
    pub(super) fn set_listeners<'a>(&mut self, listeners: impl Iterator<Item = &'a Listener>) {
        let names = listeners.filter_map(|listener| listener.name.as_deref());
        self.names = names.map(str::to_owned).collect();
    }

    /// Takes the sockets for a listener; `None` if there are none.
    ///
    /// # Errors
    /// A socket cannot be used.
    pub(super) fn take(&mut self, listener: &Listener) -> io::Result<Option<Taken>> {
        let name = listener.name.as_deref();
        let of_predecessor: Vec<ListeningSocket> = self
            .sockets
            .extract_if(.., |socket| match &socket.origin {
                // Names count only where listeners share an address, as is possible with port 0.
                Origin::Predecessor { bind, name: of } if listener.bind.address.port() == Some(0) => {
                    *bind == *listener.bind.text && of.as_deref() == name
                }
                Origin::Predecessor { .. } => socket
                    .socket
                    .address()
                    .is_ok_and(|address| is_at(&address, &listener.bind.address)),
                Origin::Manager { .. } => false,
            })
            .map(|socket| socket.socket)
            .collect();
        if !of_predecessor.is_empty() {
            of_predecessor.iter().try_for_each(ListeningSocket::adopt)?;
            return Ok(Some(Taken::Predecessor(of_predecessor)));
        }
        let managed = self.sockets.iter().filter(|socket| self.is_for(socket, listener));
        let managed: Vec<ListeningSocket> = managed
            .map(|socket| socket.socket.try_clone())
            .collect::<io::Result<_>>()?;
        managed.iter().try_for_each(ListeningSocket::adopt)?;
        Ok((!managed.is_empty()).then_some(Taken::Managed(managed)))
    }

    /// Returns true if the predecessor listens on this port: sockets of this process may share it.
    pub(super) fn holds(&self, port: u16) -> bool {
        self.sockets.iter().any(|socket| {
            let is_own = matches!(socket.origin, Origin::Predecessor { .. });
            is_own
                && match socket.socket.address() {
                    Ok(ListeningAddress::Tcp(address)) => address.port() == port,
                    _ => false,
                }
        })
    }

    /// Closes the predecessor's sockets that no listener has taken.
    pub(super) fn close_rest(&mut self) {
        self.sockets.retain(|socket| {
            let is_managed = matches!(socket.origin, Origin::Manager { .. });
            if let Ok(ListeningAddress::Unix(path)) = socket.socket.address()
                && !is_managed
            {
                SocketFile::inherited(&path).remove();
            }
            is_managed
        });
    }

    /// Copies of the service manager's sockets.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(super) fn managed(&self) -> io::Result<Vec<InheritedSocket>> {
        let managed = self.sockets.iter();
        managed
            .map(|socket| {
                Ok(InheritedSocket {
                    socket: socket.socket.try_clone()?,
                    origin: socket.origin.clone(),
                })
            })
            .collect()
    }

    /// The service manager's sockets that no listener of `listeners` is for: address and name.
    pub(super) fn unmatched(&self, listeners: &[&Listener]) -> Vec<(String, Option<String>)> {
        let unmatched = self.sockets.iter().filter(|socket| {
            let is_managed = matches!(socket.origin, Origin::Manager { .. });
            is_managed && !listeners.iter().any(|listener| self.is_for(socket, listener))
        });
        unmatched
            .map(|socket| {
                let address = socket.socket.address();
                let address = address.map_or_else(|error| error.to_string(), |address| address.to_string());
                let name = match &socket.origin {
                    Origin::Manager { name } | Origin::Predecessor { name, .. } => name.clone(),
                };
                (address, name)
            })
            .collect()
    }

    /// Returns true if a socket of the service manager is for this listener: by its name, or else by its address.
    fn is_for(&self, socket: &InheritedSocket, listener: &Listener) -> bool {
        let Origin::Manager { name } = &socket.origin else {
            return false;
        };
        if let Some(name) = name
            && self.names.contains(name)
        {
            return listener.name.as_deref() == Some(name);
        }
        let has_own = self.sockets.iter().any(|socket| {
            matches!(&socket.origin, Origin::Manager { name: Some(name) } if Some(&**name) == listener.name.as_deref())
        });
        // A listener that has sockets of its name gets no others.
        !has_own
            && socket.socket.address().is_ok_and(|address| {
                match (&socket.socket, &address, &listener.bind.address) {
                    (
                        ListeningSocket::Tcp(socket),
                        ListeningAddress::Tcp(address),
                        BindAddress::Tcp(bind),
                    ) => covers(*address, sockets::accepts_ipv4(socket), *bind),
                    (_, address, bind) => is_at(address, bind),
                }
            })
    }
}

/// Returns true if a socket listens where `bind` says.
fn is_at(address: &ListeningAddress, bind: &BindAddress) -> bool {
    match (address, bind) {
        (ListeningAddress::Tcp(address), BindAddress::Tcp(bind)) => address == bind,
        (ListeningAddress::Unix(path), BindAddress::Unix(bind)) => path == Path::new(&**bind),
        _ => false,
    }
}

/// Returns true if a socket at `socket` accepts the clients of `bind`. `[::]` may accept those of `0.0.0.0`.
fn covers(socket: SocketAddr, accepts_ipv4: bool, bind: SocketAddr) -> bool {
    if socket.port() != bind.port() {
        return false;
    }
    let any_ipv4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let any_ipv6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    socket.ip() == bind.ip() || (accepts_ipv4 && socket.ip() == any_ipv6 && bind.ip() == any_ipv4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_for_the_bind_whose_clients_it_accepts() {
        let check = |socket: &str, accepts_ipv4, bind: &str, expected| {
            let (socket, bind) = (socket.parse().unwrap(), bind.parse().unwrap());
            assert_eq!(covers(socket, accepts_ipv4, bind), expected, "{socket} {bind}");
        };
        check("127.0.0.1:80", false, "127.0.0.1:80", true);
        check("127.0.0.1:80", false, "127.0.0.1:81", false);
        check("127.0.0.1:80", false, "0.0.0.0:80", false);
        check("0.0.0.0:80", false, "127.0.0.1:80", false);
        check("[::]:80", true, "[::]:80", true);
        check("[::]:80", true, "0.0.0.0:80", true);
        check("[::]:80", false, "0.0.0.0:80", false);
        check("[::1]:80", true, "127.0.0.1:80", false);
    }
}
