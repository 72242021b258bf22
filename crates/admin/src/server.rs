//! The server of the API, with limits on its clients.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use waypost_plan::admin::{Admin, AdminBind};
use waypost_transport::{socket_file, sockets};

use crate::access::{Access, TokenError};
use crate::api;
use crate::state::AppState;
use crate::write_timeout::WriteTimeout;

/// Maximum concurrent connections; further ones wait.
const CONNECTIONS_MAX: usize = 256;
/// Permissions of the file of a unix socket: access for its owner only.
const SOCKET_MODE: u32 = 0o600;
/// Timeout for a request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Delay before accepting again after a failure.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);
/// Timeout for the first request on a connection once the address is closed.
const LAST_CALL: Duration = Duration::from_secs(1);
/// Timeout for responses in flight once the address is closed.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// An open admin address. Dropping it closes the address; responses in flight are finished.
#[derive(Debug)]
pub struct Server {
    /// The address as announced, such as `http://127.0.0.1:9900` or `unix:/run/waypost.sock`.
    pub address: String,
    access: Arc<RwLock<Access>>,
    port: Option<u16>,
    /// The phase that the accept loop is to go to. It stops when this is dropped.
    phase: watch::Sender<Phase>,
    /// The phase that it has reached.
    reached: watch::Receiver<Phase>,
    /// Ends once responses in flight have ended.
    task: JoinHandle<()>,
    listener: Arc<Listener>,
    /// The path to remove at the end.
    socket: Option<PathBuf>,
    is_managed: bool,
}

/// The phases of an accept loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Connections are accepted.
    Open,
    /// Connections wait, and those that were accepted are served.
    Paused,
    /// The address is closed, and connections end with their current response.
    Closed,
}

/// A listening socket that another process opened for the admin address.
#[derive(Debug)]
pub enum AdminSocket {
    /// Over TCP.
    Tcp(std::net::TcpListener),
    /// At a path.
    Unix(std::os::unix::net::UnixListener),
}

impl AdminSocket {
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
}

/// An admin address that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address cannot be listened on.
    #[error("cannot listen on the admin address {address}: {error}")]
    Listen {
        /// The address.
        address: String,
        /// The cause.
        error: io::Error,
    },
    /// The token file cannot be used.
    #[error(transparent)]
    Tokens(#[from] TokenError),
}

impl Server {
    /// Opens the admin address. `leaving` is the port of the server to be replaced, which may be taken over.
    ///
    /// # Errors
    /// The address cannot be listened on, or the token file cannot be used.
    pub fn open(admin: &Admin, leaving: Option<u16>, state: Arc<AppState>) -> Result<Self, OpenError> {
        let listener = match &admin.bind {
            AdminBind::Tcp(address) => {
                let is_own = leaving == Some(address.port());
                let listeners = sockets::listen(*address, 1, is_own);
                let first = listeners
                    .and_then(|mut listeners| listeners.pop().ok_or_else(|| io::ErrorKind::NotFound.into()));
                first.and_then(TcpListener::from_std).map(Listener::Tcp)
            }
            AdminBind::Unix(path) => socket_file::listen(Path::new(&**path), SOCKET_MODE)
                .and_then(UnixListener::from_std)
                .map(Listener::Unix),
        };
        let listener = listener.map_err(|error| cannot_listen(&admin.bind, error))?;
        Self::start(admin, listener, state, false)
    }

    /// Takes a socket that another process opened for the admin address; `is_managed` is true if that is the service
    /// manager, which keeps it open. Connections wait until [`Server::resume`].
    ///
    /// # Errors
    /// The socket or the token file cannot be used.
    pub fn take_over(
        admin: &Admin,
        socket: AdminSocket,
        is_managed: bool,
        state: Arc<AppState>,
    ) -> Result<Self, OpenError> {
        let listener = match socket {
            AdminSocket::Tcp(socket) => sockets::adopt(&socket)
                .and_then(|()| TcpListener::from_std(socket))
                .map(Listener::Tcp),
            AdminSocket::Unix(socket) => socket
                .set_nonblocking(true)
                .and_then(|()| UnixListener::from_std(socket))
                .map(Listener::Unix),
        };
        let listener = listener.map_err(|error| cannot_listen(&admin.bind, error))?;
        let mut server = Self::start(admin, listener, state, true)?;
        if is_managed {
            server.socket = None;
            server.is_managed = true;
        }
        Ok(server)
    }

    fn start(
        admin: &Admin,
        listener: Listener,
        state: Arc<AppState>,
        is_paused: bool,
    ) -> Result<Self, OpenError> {
        let phase = match is_paused {
            true => Phase::Paused,
            false => Phase::Open,
        };
        let access = Arc::new(RwLock::new(access(admin)?));
        let router = api::router(state, Arc::clone(&access));
        let (address, port, socket) = match (&listener, &admin.bind) {
            (Listener::Tcp(listener), bind) => {
                let address = listener.local_addr();
                let address = address.map_err(|error| cannot_listen(bind, error))?;
                (format!("http://{address}"), Some(address.port()), None)
            }
            (Listener::Unix(_), AdminBind::Unix(path)) => {
                (format!("unix:{path}"), None, Some(PathBuf::from(&**path)))
            }
            (Listener::Unix(_), AdminBind::Tcp(_)) => ("unix:".to_owned(), None, None),
        };
        let listener = Arc::new(listener);
        let (phase, wanted) = watch::channel(phase);
        let (reach, reached) = watch::channel(Phase::Open);
        let task = tokio::spawn(accept(Arc::clone(&listener), router, wanted, reach));
        Ok(Self {
            address,
            access,
            port,
            phase,
            reached,
            task,
            listener,
            socket,
            is_managed: false,
        })
    }

    /// The port, of an address over TCP.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns true if the service manager has opened the socket, and keeps it open.
    pub fn is_managed(&self) -> bool {
        self.is_managed
    }

    /// A copy of the listening socket, for a process that takes over from this one.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn socket(&self) -> io::Result<AdminSocket> {
        match &*self.listener {
            Listener::Tcp(listener) => Ok(AdminSocket::Tcp(listener.as_fd().try_clone_to_owned()?.into())),
            Listener::Unix(listener) => Ok(AdminSocket::Unix(listener.as_fd().try_clone_to_owned()?.into())),
        }
    }

    /// Accepts no more connections, until [`Server::resume`]. Those that were accepted are served.
    pub async fn pause(&self) {
        self.reach(Phase::Paused).await;
    }

    /// Accepts connections again.
    pub fn resume(&self) {
        self.phase.send_replace(Phase::Open);
    }

    /// Closes the address. On return, no connection is accepted any more; responses in flight have a few seconds.
    pub async fn close(self) {
        self.reach(Phase::Closed).await;
    }

    /// Leaves the address to the process that has taken it over, and finishes responses in flight.
    pub async fn leave(mut self) {
        self.socket = None;
        self.phase.send_replace(Phase::Closed);
        let _ = (&mut self.task).await;
    }

    async fn reach(&self, phase: Phase) {
        self.phase.send_replace(phase);
        // Fails only if the accept loop has ended already.
        let _ = self.reached.clone().wait_for(|reached| *reached == phase).await;
    }

    /// Replaces the access rules for further requests.
    pub fn set_access(&self, access: Access) {
        *self.access.write().unwrap_or_else(PoisonError::into_inner) = access;
    }
}

/// The access rules that `admin` describes.
///
/// # Errors
/// The token file cannot be used.
pub fn access(admin: &Admin) -> Result<Access, OpenError> {
    let is_unix = matches!(admin.bind, AdminBind::Unix(_));
    let tokens = admin.token_file.as_deref().map(PathBuf::from);
    Ok(Access::new(tokens, is_unix)?)
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(socket) = &self.socket {
            let _ = fs::remove_file(socket);
        }
    }
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Accepts connections until the address is closed, then finishes responses in flight.
async fn accept(
    listener: Arc<Listener>,
    router: Router,
    mut wanted: watch::Receiver<Phase>,
    reach: watch::Sender<Phase>,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let phase = *wanted.borrow_and_update();
        if phase == Phase::Closed {
            break;
        }
        reach.send_replace(phase);
        let accepted = tokio::select! {
            changed = wanted.changed() => match changed {
                Ok(()) => continue,
                // The server was dropped.
                Err(_) => break,
            },
            accepted = admit(&listener, &slots), if phase == Phase::Open => accepted,
        };
        let wanted = wanted.clone();
        match accepted {
            Ok((Stream::Tcp(stream), slot)) => {
                connections.spawn(serve(stream, router.clone(), wanted, slot));
            }
            Ok((Stream::Unix(stream), slot)) => {
                connections.spawn(serve(stream, router.clone(), wanted, slot));
            }
            // Most likely out of descriptors; waiting clients are served once some are free.
            Err(_) => tokio::time::sleep(ACCEPT_RETRY_DELAY).await,
        }
    }
    drop(listener);
    reach.send_replace(Phase::Closed);
    let _ = timeout(DRAIN_TIMEOUT, connections.join_all()).await;
}

enum Stream {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

/// Waits for a free slot, then for a connection to fill it.
async fn admit(listener: &Listener, slots: &Arc<Semaphore>) -> io::Result<(Stream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await;
    let slot = slot.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
    let stream = match listener {
        Listener::Tcp(listener) => Stream::Tcp(listener.accept().await?.0),
        Listener::Unix(listener) => Stream::Unix(listener.accept().await?.0),
    };
    Ok((stream, slot))
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    mut wanted: watch::Receiver<Phase>,
    _slot: OwnedSemaphorePermit,
) {
    let asked = Arc::new(Notify::new());
    let asks = Arc::clone(&asked);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request| {
        asks.notify_one();
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(WriteTimeout::new(stream)), service);
    let mut connection = pin!(connection);
    // Errors of a connection concern its client only.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = wanted.wait_for(|phase| *phase == Phase::Closed) => {}
    }
    // A client that has just been accepted is about to send a request.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = asked.notified() => {}
        () = tokio::time::sleep(LAST_CALL) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// The error of an admin address.
fn cannot_listen(bind: &AdminBind, error: io::Error) -> OpenError {
    OpenError::Listen {
        address: match bind {
            AdminBind::Tcp(address) => address.to_string(),
            AdminBind::Unix(path) => format!("unix:{path}"),
        },
        error,
    }
}
