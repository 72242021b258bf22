//! Accepting connections to the API, and bounding what they may do.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use waypost_plan::admin::{Admin, AdminBind};

use crate::access::{Access, TokenError};
use crate::api;
use crate::shared::Shared;

/// Connections at a time; more wait.
const CONNECTIONS_MAX: usize = 256;
/// How long a head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long accepting pauses when it fails.
const PAUSE: Duration = Duration::from_millis(50);

/// An admin address that is open; it closes when this is dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it is, as it is announced: `http://127.0.0.1:9900` or `unix:/run/waypost.sock`.
    pub address: String,
    access: Arc<RwLock<Access>>,
    task: JoinHandle<()>,
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
    /// Opens the admin address.
    ///
    /// # Errors
    /// When it cannot be listened on, or its token file cannot be used.
    pub async fn open(admin: &Admin, shared: Arc<Shared>) -> Result<Self, OpenError> {
        let access = Arc::new(RwLock::new(access(admin)?));
        let router = api::router(shared, Arc::clone(&access));
        match &admin.bind {
            AdminBind::Tcp(address) => {
                let failed = |error| OpenError::Listen {
                    address: address.to_string(),
                    error,
                };
                let listener = TcpListener::bind(address).await.map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?;
                Ok(Self {
                    access,
                    address: format!("http://{address}"),
                    task: tokio::spawn(accept(Listener::Tcp(listener), router)),
                    socket: None,
                })
            }
            AdminBind::Unix(path) => {
                let listener = bind_unix(Path::new(&**path)).map_err(|error| OpenError::Listen {
                    address: format!("unix:{path}"),
                    error,
                })?;
                Ok(Self {
                    access,
                    address: format!("unix:{path}"),
                    task: tokio::spawn(accept(Listener::Unix(listener), router)),
                    socket: Some(PathBuf::from(&**path)),
                })
            }
        }
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
        self.task.abort();
        if let Some(socket) = &self.socket {
            let _ = fs::remove_file(socket);
        }
    }
}

/// Binds a unix socket that only its owner may use. One that a dead process left behind is taken over.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
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

async fn accept(listener: Listener, router: Router) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
            return;
        };
        let accepted = match &listener {
            Listener::Tcp(listener) => listener
                .accept()
                .await
                .map(|(stream, _)| tokio::spawn(serve(stream, router.clone(), seat))),
            Listener::Unix(listener) => listener
                .accept()
                .await
                .map(|(stream, _)| tokio::spawn(serve(stream, router.clone(), seat))),
        };
        if accepted.is_err() {
            // Descriptors are short, most likely; whoever waits is served when there are some.
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    _seat: OwnedSemaphorePermit,
) {
    let service = TowerToHyperService::new(router);
    // How it ends is the client's business.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
