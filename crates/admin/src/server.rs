//! The server of the API, with limits on its clients.

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
use crate::state::AppState;
use crate::write_timeout::WriteTimeout;

/// Maximum concurrent connections; further ones wait.
const CONNECTIONS_MAX: usize = 256;
/// Timeout for a request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Delay before accepting again after a failure.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);
/// Timeout for responses in flight once the address is closed.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// An open admin address. Dropping it closes the address; responses in flight are finished.
#[derive(Debug)]
pub struct Server {
    /// The address as announced, such as `http://127.0.0.1:9900` or `unix:/run/waypost.sock`.
    pub address: String,
    access: Arc<RwLock<Access>>,
    port: Option<u16>,
    /// Signals the accept loop to stop, by a value or by being dropped.
    open: watch::Sender<()>,
    /// Resolves once the accept loop has stopped.
    closed: oneshot::Receiver<()>,
    socket: Option<PathBuf>,
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
    /// Opens the admin address. `leaving` is the server to be replaced, whose port may be taken over.
    ///
    /// # Errors
    /// The address cannot be listened on, or the token file cannot be used.
    pub fn open(admin: &Admin, leaving: Option<&Self>, state: Arc<AppState>) -> Result<Self, OpenError> {
        let access = Arc::new(RwLock::new(access(admin)?));
        let router = api::router(state, Arc::clone(&access));
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

    /// Closes the address. On return, no connection is accepted any more; responses in flight have a few seconds.
    pub async fn close(mut self) {
        // Sending fails only if the accept loop has ended already.
        let _ = self.open.send(());
        let _ = (&mut self.closed).await;
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

/// Binds a unix socket with access for its owner only, replacing one that a dead process left behind.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let is_socket = || fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    let listener = match UnixListener::bind(path) {
        // Never remove anything other than a socket.
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

/// Accepts connections until the address is closed, then finishes responses in flight.
async fn accept(
    listener: Listener,
    router: Router,
    mut closed: watch::Receiver<()>,
    gone: oneshot::Sender<()>,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            _ = closed.changed() => break,
            accepted = admit(&listener, &slots) => accepted,
        };
        let closed = closed.clone();
        match accepted {
            Ok((Stream::Tcp(stream), slot)) => {
                connections.spawn(serve(stream, router.clone(), closed, slot));
            }
            Ok((Stream::Unix(stream), slot)) => {
                connections.spawn(serve(stream, router.clone(), closed, slot));
            }
            // Most likely out of descriptors; waiting clients are served once some are free.
            Err(_) => tokio::time::sleep(ACCEPT_RETRY_DELAY).await,
        }
    }
    drop(listener);
    let _ = gone.send(());
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
    mut closed: watch::Receiver<()>,
    _slot: OwnedSemaphorePermit,
) {
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(WriteTimeout::new(stream)), service);
    let mut connection = pin!(connection);
    // Errors of a connection concern its client only.
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = closed.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
