//! Accepting connections to the API, and bounding what they may do.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use waypost_plan::admin::{Admin, AdminBind};
use waypost_transport::sockets;

use crate::access::{Access, TokenError};
use crate::api;
use crate::shared::Shared;
use crate::stall::Stalling;

/// Connections at a time; more wait.
const CONNECTIONS_MAX: usize = 256;
/// How long a head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long accepting pauses when it fails.
const PAUSE: Duration = Duration::from_millis(50);
/// How long answers that are under way may take once the address is closed.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// An admin address that is open; it closes when this is dropped, answers under way being finished.
#[derive(Debug)]
pub struct Server {
    /// Where it is, as it is announced: `http://127.0.0.1:9900` or `unix:/run/waypost.sock`.
    pub address: String,
    access: Arc<RwLock<Access>>,
    port: Option<u16>,
    /// Closed with it.
    open: watch::Sender<()>,
    /// Comes when nobody is accepted any more.
    closed: oneshot::Receiver<()>,
    socket: Option<PathBuf>,
}

/// Why an admin address cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address cannot be listened on.
    #[error("cannot listen on the admin address {address}: {error}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        error: io::Error,
    },
    /// The tokens cannot be used.
    #[error(transparent)]
    Tokens(#[from] TokenError),
}

impl Server {
    /// Opens the admin address. `leaving` is the one that it takes the place of, whose port it may take over.
    ///
    /// # Errors
    /// When it cannot be listened on, or its token file cannot be used.
    pub fn open(admin: &Admin, leaving: Option<&Self>, shared: Arc<Shared>) -> Result<Self, OpenError> {
        let access = Arc::new(RwLock::new(access(admin)?));
        let router = api::router(shared, Arc::clone(&access));
        let (address, port, socket, listener) = match &admin.bind {
            AdminBind::Tcp(address) => {
                let failed = |error| OpenError::Listen {
                    address: address.to_string(),
                    error,
                };
                let is_own = leaving.is_some_and(|leaving| leaving.port == Some(address.port()));
                let mut listeners = sockets::listen(*address, 1, is_own).map_err(failed)?;
                let listener = listeners
                    .pop()
                    .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
                let listener = TcpListener::from_std(listener).map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?;
                let text = format!("http://{address}");
                (text, Some(address.port()), None, Listener::Tcp(listener))
            }
            AdminBind::Unix(path) => {
                let listener = bind_unix(Path::new(&**path)).map_err(|error| OpenError::Listen {
                    address: format!("unix:{path}"),
                    error,
                })?;
                let socket = PathBuf::from(&**path);
                (
                    format!("unix:{path}"),
                    None,
                    Some(socket),
                    Listener::Unix(listener),
                )
            }
        };
        let (open, closing) = watch::channel(());
        let (gone, closed) = oneshot::channel();
        tokio::spawn(accept(listener, router, closing, gone));
        Ok(Self {
            address,
            access,
            port,
            open,
            closed,
            socket,
        })
    }

    /// Closes it. When this returns nobody is accepted any more; answers that are under way have a few seconds.
    pub async fn close(mut self) {
        // Nobody looks any more only when it is closed.
        let _ = self.open.send(());
        let _ = (&mut self.closed).await;
    }

    /// Changes who is let in from now on.
    pub fn let_in(&self, access: Access) {
        *self.access.write().unwrap_or_else(PoisonError::into_inner) = access;
    }
}

/// Who may use the address that `admin` describes.
///
/// # Errors
/// When its token file cannot be used.
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

/// Binds a unix socket that only its owner may use. One that a dead process left behind is taken over.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let is_socket = || fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    let listener = match UnixListener::bind(path) {
        // Whatever else is there is not ours to remove.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_socket() => {
            match std::os::unix::net::UnixStream::connect(path) {
                Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path)?;
                    UnixListener::bind(path)?
                }
                _ => return Err(error),
            }
        }
        bound => bound?,
    };
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Accepts until the address is closed, then lets answers that are under way end.
async fn accept(
    listener: Listener,
    router: Router,
    mut closed: watch::Receiver<()>,
    gone: oneshot::Sender<()>,
) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            _ = closed.changed() => break,
            accepted = admit(&listener, &seats) => accepted,
        };
        let closed = closed.clone();
        match accepted {
            Ok((Stream::Tcp(stream), seat)) => {
                connections.spawn(serve(stream, router.clone(), closed, seat));
            }
            Ok((Stream::Unix(stream), seat)) => {
                connections.spawn(serve(stream, router.clone(), closed, seat));
            }
            // Descriptors are short, most likely; whoever waits is served when there are some.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
    drop(listener);
    let _ = gone.send(());
    let _ = timeout(LAST_ANSWERS, connections.join_all()).await;
}

enum Stream {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

/// Waits for a free seat, then for a client to sit on it.
async fn admit(listener: &Listener, seats: &Arc<Semaphore>) -> io::Result<(Stream, OwnedSemaphorePermit)> {
    let seat = Arc::clone(seats).acquire_owned().await;
    let seat = seat.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
    let stream = match listener {
        Listener::Tcp(listener) => Stream::Tcp(listener.accept().await?.0),
        Listener::Unix(listener) => Stream::Unix(listener.accept().await?.0),
    };
    Ok((stream, seat))
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    mut closed: watch::Receiver<()>,
    _seat: OwnedSemaphorePermit,
) {
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(Stalling::new(stream)), service);
    let mut connection = pin!(connection);
    // How it ends is the client's business.
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = closed.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
