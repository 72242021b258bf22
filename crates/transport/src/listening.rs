//! Listening sockets over TCP, or at a path.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::socket::Stream;
use crate::sockets;

/// A listening socket.
#[derive(Debug)]
pub enum ListeningSocket {
    /// Over TCP.
    Tcp(std::net::TcpListener),
    /// At a path.
    Unix(std::os::unix::net::UnixListener),
}

/// The address of a listening socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListeningAddress {
    /// Over TCP.
    Tcp(SocketAddr),
    /// A path; empty for a socket without one.
    Unix(PathBuf),
}

/// A listening socket that tasks accept clients on.
#[derive(Debug)]
pub enum AcceptingSocket {
    /// Over TCP.
    Tcp(TcpListener),
    /// At a path.
    Unix(UnixListener),
}

/// A client that was accepted.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub stream: Stream,
    /// The address of the client; `None` at a unix socket, where clients have none.
    pub client: Option<SocketAddr>,
}

impl ListeningSocket {
    /// A copy of the socket.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
            Self::Unix(socket) => socket.try_clone().map(Self::Unix),
        }
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// The system does not say it.
    pub fn address(&self) -> io::Result<ListeningAddress> {
        match self {
            Self::Tcp(socket) => socket.local_addr().map(ListeningAddress::Tcp),
            Self::Unix(socket) => {
                let address = socket.local_addr()?;
                let path = address.as_pathname().map(PathBuf::from);
                Ok(ListeningAddress::Unix(path.unwrap_or_default()))
            }
        }
    }

    /// Brings a socket that another process opened into the form of those opened here.
    ///
    /// # Errors
    /// When it is not a listening socket.
    pub fn adopt(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => sockets::adopt(socket),
            Self::Unix(socket) => sockets::adopt_unix(socket),
        }
    }
}

impl From<OwnedFd> for ListeningSocket {
    fn from(descriptor: OwnedFd) -> Self {
        let address = SockRef::from(&descriptor).local_addr();
        if address.is_ok_and(|address| address.is_unix()) {
            Self::Unix(descriptor.into())
        } else {
            Self::Tcp(descriptor.into())
        }
    }
}

impl AsFd for ListeningSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

impl fmt::Display for ListeningAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl AcceptingSocket {
    /// Registers a socket with the runtime.
    ///
    /// # Errors
    /// The runtime cannot do so.
    pub fn new(socket: ListeningSocket) -> io::Result<Self> {
        match socket {
            ListeningSocket::Tcp(socket) => TcpListener::from_std(socket).map(Self::Tcp),
            ListeningSocket::Unix(socket) => UnixListener::from_std(socket).map(Self::Unix),
        }
    }

    /// A copy of the socket.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn socket(&self) -> io::Result<ListeningSocket> {
        Ok(match self {
            Self::Tcp(socket) => ListeningSocket::Tcp(socket.as_fd().try_clone_to_owned()?.into()),
            Self::Unix(socket) => ListeningSocket::Unix(socket.as_fd().try_clone_to_owned()?.into()),
        })
    }

    /// Polls for a client.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        Poll::Ready(match self {
            Self::Tcp(socket) => ready!(socket.poll_accept(cx)).map(|(stream, client)| Accepted {
                stream: Stream::Tcp(stream),
                client: Some(client),
            }),
            Self::Unix(socket) => ready!(socket.poll_accept(cx)).map(|(stream, _)| Accepted {
                stream: Stream::Unix(stream),
                client: None,
            }),
        })
    }

    /// Takes a client that waits. The kernel is asked: the runtime's view of the socket's readiness may be stale.
    ///
    /// # Errors
    /// There is none.
    pub fn accept_waiting(&self) -> io::Result<Accepted> {
        let (socket, client) = match self {
            Self::Tcp(socket) => SockRef::from(socket).accept()?,
            Self::Unix(socket) => SockRef::from(socket).accept()?,
        };
        socket.set_nonblocking(true)?;
        Ok(Accepted {
            stream: match self {
                Self::Tcp(_) => Stream::Tcp(TcpStream::from_std(socket.into())?),
                Self::Unix(_) => Stream::Unix(UnixStream::from_std(socket.into())?),
            },
            client: client.as_socket(),
        })
    }
}
