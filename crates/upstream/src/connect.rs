//! A link to one endpoint: over a connection that is there, or a new one.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{self, pki_types::ServerName};
use waypost_plan::service::{Endpoint, EndpointHost, ProxyVersion, Service, Speaks};
use waypost_transport::h2::client_connection::ClientConnection;
use waypost_transport::h2::client_stream::ClientStream;
use waypost_transport::link::Link;
use waypost_transport::proxy_protocol::{self, ProxiedAddresses, Version};
use waypost_transport::socket::Socket;

use crate::local::{LocalEndpoint, LocalService, Upstreams};
use crate::pool::idle::Liveness;

/// Requirements on a link.
#[derive(Debug, Clone, Copy)]
pub struct ConnectOptions {
    /// The certainty that a reused connection is alive; `None` if only a new one will do, as a reused one just turned out
    /// to be dead.
    pub reuse: Option<Liveness>,
    /// True if only HTTP/1.1 will do, as the connection is to be upgraded.
    pub http1: bool,
    /// True for bytes alone: no HTTP, and no TLS of the gateway's.
    pub raw: bool,
    /// The client, for services that get a PROXY header; without it, the gateway speaks for itself.
    pub addresses: Option<ProxiedAddresses>,
    /// When the route's time is up.
    pub deadline: Option<Instant>,
}

/// Why no link could be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The service has no endpoint, or none that was not tried.
    #[error("no endpoint")]
    NoEndpoint,
    /// The process has no descriptor left.
    #[error("no descriptor left")]
    NoDescriptor,
    /// The connect timeout expired.
    #[error("connect timeout")]
    TimedOut,
    /// The route's deadline passed.
    #[error("deadline passed")]
    DeadlinePassed,
    /// The endpoint refused the connection, or closed it at once.
    #[error("connection refused")]
    Refused,
    /// The TLS handshake failed.
    #[error("TLS handshake failed")]
    Tls,
    /// The endpoint's certificate is not trusted, or not for its name.
    #[error("certificate not trusted")]
    Certificate,
}

impl ConnectError {
    /// Returns true if the endpoint is to blame, so that another one may do better.
    pub(crate) fn is_of_endpoint(self) -> bool {
        !matches!(self, Self::NoEndpoint | Self::NoDescriptor | Self::DeadlinePassed)
    }
}

/// A link to `endpoint`; also returns true if its connection served a request before.
pub(crate) async fn link_to(
    upstreams: &Upstreams,
    service: &LocalService,
    endpoint: &Rc<LocalEndpoint>,
    options: ConnectOptions,
    by: Instant,
) -> Result<(Link, bool), ConnectError> {
    let declared = service.declared();
    let speaks = match declared.speaks(&declared.endpoints[endpoint.shared.declared]) {
        _ if options.raw => Speaks::Http1,
        Speaks::Http2 if options.http1 => Speaks::Http1,
        Speaks::Tls { .. } if options.http1 => Speaks::Tls { http2: false },
        speaks => speaks,
    };
    // A connection that names one client is not for another, nor is one that is passed through.
    let proxy_version = declared.proxy_protocol;
    let is_own = proxy_version.is_some() || options.raw;
    let is_shared = match speaks {
        _ if is_own => false,
        Speaks::Http1 | Speaks::Tls { http2: false } => false,
        Speaks::Http2 => true,
        Speaks::Tls { http2: true } => !endpoint.connections.borrow().chose_http1,
    };
    let mut permit = None;
    if is_shared {
        match shared(endpoint, options.reuse.is_none(), by).await? {
            Shared::Stream(stream, reused) => {
                if reused {
                    service.counters().reused.add(1);
                }
                return Ok((Link::ClientStream(Box::new(stream)), reused));
            }
            Shared::Connect(claimed) => permit = claimed,
        }
    }
    if let Some(liveness) = options.reuse
        && !is_own
        && !matches!(speaks, Speaks::Http2)
    {
        let client = options.addresses.map(|addresses| addresses.client);
        let idle_timeout = declared.pool.idle_timeout;
        let mut idle = endpoint.idle.borrow_mut();
        if let Some(socket) = idle.take(client, upstreams.clock(), liveness, idle_timeout) {
            service.counters().reused.add(1);
            return Ok((Link::Socket(socket), true));
        }
    }
    let proxy_header = proxy_version.map(|version| {
        let version = match version {
            ProxyVersion::V1 => Version::V1,
            ProxyVersion::V2 => Version::V2,
        };
        proxy_protocol::header(version, options.addresses)
    });
    // Most links are there already: the state of a connect is kept out of theirs.
    let connecting = Box::pin(connect(upstreams, service, endpoint, speaks, proxy_header, by));
    let socket = connecting.await?;
    service.report_connected(endpoint);
    let http2 = match speaks {
        Speaks::Http1 => false,
        Speaks::Http2 => true,
        Speaks::Tls { http2 } => {
            let chosen = http2 && socket.chose_http2();
            if http2 {
                endpoint.connections.borrow_mut().chose_http1 = !chosen;
            }
            chosen
        }
    };
    if !http2 {
        return Ok((Link::Socket(socket), false));
    }
    let connection = Box::pin(ClientConnection::begin(socket, upstreams.idle_permit()));
    let connection = timeout_at(by, connection)
        .await
        .map_err(|_| ConnectError::TimedOut)?
        .map_err(|_| ConnectError::Refused)?;
    let (stream, _) = connection.stream().ok_or(ConnectError::Refused)?;
    if !is_own {
        endpoint.connections.borrow_mut().put(connection);
    }
    drop(permit);
    Ok((Link::ClientStream(Box::new(stream)), false))
}

/// What can be had of connections that exchanges share.
enum Shared {
    /// A stream; true if its connection had others before.
    Stream(ClientStream, bool),
    /// The right to connect; `None` if that needs no permit, as the connection will not be shared.
    Connect(Option<ConnectPermit>),
}

/// The right to open a connection that exchanges share. Those that wait for it are woken when it is dropped.
struct ConnectPermit(Rc<LocalEndpoint>);

impl Drop for ConnectPermit {
    fn drop(&mut self) {
        self.0.connections.borrow_mut().end_connect();
    }
}

/// A stream of a shared connection, waiting for a connect that is under way; or the right to connect. Connections that were
/// there before do not do if `fresh`.
async fn shared(endpoint: &Rc<LocalEndpoint>, mut fresh: bool, by: Instant) -> Result<Shared, ConnectError> {
    loop {
        let stream = || endpoint.connections.borrow().stream();
        if !fresh && let Some((stream, reused)) = stream() {
            return Ok(Shared::Stream(stream, reused));
        }
        let claimed = endpoint.connections.borrow_mut().claim_connect();
        let connecting = match claimed {
            Ok(()) => return Ok(Shared::Connect(Some(ConnectPermit(Rc::clone(endpoint))))),
            Err(connecting) => connecting,
        };
        timeout_at(by, connecting.notified())
            .await
            .map_err(|_| ConnectError::TimedOut)?;
        if endpoint.shared.health.is_ejected(Instant::now()) {
            return Err(ConnectError::Refused);
        }
        if endpoint.connections.borrow().chose_http1 {
            return Ok(Shared::Connect(None));
        }
        // The connection that was just made is fresh.
        fresh = false;
    }
}

/// Connects, up to the end of a TLS handshake.
async fn connect(
    upstreams: &Upstreams,
    service: &LocalService,
    endpoint: &LocalEndpoint,
    speaks: Speaks,
    proxy_header: Option<Vec<u8>>,
    by: Instant,
) -> Result<Socket, ConnectError> {
    let mut stream = connect_tcp(upstreams, endpoint.shared.address, by).await?;
    if let Some(header) = proxy_header {
        timeout_at(by, stream.write_all(&header))
            .await
            .map_err(|_| ConnectError::TimedOut)?
            .map_err(|_| ConnectError::Refused)?;
    }
    let Speaks::Tls { http2 } = speaks else {
        return Ok(Socket::Tcp(stream));
    };
    let declared = service.declared();
    let name = server_name(declared, &declared.endpoints[endpoint.shared.declared]);
    let (Some(tls), Some(name)) = (service.state().tls(), name) else {
        return Err(ConnectError::Tls);
    };
    let connector = TlsConnector::from(Arc::clone(tls.config(http2)));
    match timeout_at(by, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(Socket::tls(stream)),
        Ok(Err(error)) if is_about_certificate(&error) => Err(ConnectError::Certificate),
        Ok(Err(_)) => Err(ConnectError::Tls),
        Err(_) => Err(ConnectError::TimedOut),
    }
}

/// The name that the endpoint's certificate has to be for.
fn server_name(service: &Service, endpoint: &Endpoint) -> Option<ServerName<'static>> {
    match (&service.tls.server_name, &endpoint.host) {
        (Some(name), _) => waypost_tls::client::server_name(name),
        (None, EndpointHost::Name(name)) => waypost_tls::client::server_name(name),
        (None, EndpointHost::Address(address)) => Some(ServerName::IpAddress((*address).into())),
    }
}

/// Returns true if a handshake failed for the endpoint's certificate.
fn is_about_certificate(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}

/// Opens a TCP connection. When descriptors are short, idle connections are closed for it.
async fn connect_tcp(
    upstreams: &Upstreams,
    address: SocketAddr,
    by: Instant,
) -> Result<TcpStream, ConnectError> {
    let mut closed_idle = false;
    loop {
        match timeout_at(by, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Without it, the end of a request could wait for the service's acknowledgement.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) if is_out_of_descriptors(&error) => {
                if closed_idle || !upstreams.close_idle() {
                    return Err(ConnectError::NoDescriptor);
                }
                closed_idle = true;
            }
            Ok(Err(_)) => return Err(ConnectError::Refused),
            Err(_) => return Err(ConnectError::TimedOut),
        }
    }
}

/// Returns true if the process, or the system, has no descriptor left.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    matches!(code, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}
