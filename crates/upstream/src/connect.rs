//! Links to an endpoint, over a pooled or a new connection.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{self, pki_types::ServerName};
use waypost_plan::service::{Endpoint, EndpointHost, ProxyVersion, Service, UpstreamProtocol};
use waypost_transport::h2::client_connection::ClientConnection;
use waypost_transport::h2::client_stream::ClientStream;
use waypost_transport::link::Link;
use waypost_transport::proxy_protocol::{self, ProxiedAddresses, Version};
use waypost_transport::socket::{Socket, alert_of};
use waypost_wire::tls_alert::TlsAlert;

use crate::address::Address;
use crate::local::{LocalEndpoint, LocalService, Upstreams};
use crate::pool::idle::Liveness;

/// Requirements on a link.
#[derive(Debug, Clone, Copy)]
pub struct ConnectOptions {
    /// The required certainty that a reused connection is alive. `None` requires a new connection, as after a reused
    /// one turned out to be dead.
    pub reuse: Option<Liveness>,
    /// Requires HTTP/1.1, for an upgrade.
    pub http1: bool,
    /// Requires a plain TCP connection of its own, without TLS by the gateway, for passthrough.
    pub raw: bool,
    /// The client's addresses, for a PROXY header. `None` for connections that the gateway opens for itself.
    pub addresses: Option<ProxiedAddresses>,
    /// The route's deadline.
    pub deadline: Option<Instant>,
    /// The hash of the request's value, where the service balances by it.
    pub key: Option<u64>,
}

/// A failure to obtain a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The service has no endpoint, or all of them were tried.
    #[error("no endpoint")]
    NoEndpoint,
    /// No file descriptor is available.
    #[error("no descriptor left")]
    NoDescriptor,
    /// The connect timeout expired.
    #[error("connect timeout")]
    TimedOut,
    /// The route's deadline passed.
    #[error("deadline passed")]
    DeadlinePassed,
    /// The endpoint refused the connection or closed it immediately.
    #[error("connection refused")]
    Refused,
    /// The TLS handshake failed.
    #[error("TLS handshake failed")]
    Tls,
    /// The endpoint ended the TLS connection with an alert.
    #[error("TLS alert {0}")]
    TlsAlert(TlsAlert),
    /// The endpoint's certificate is not trusted or not valid for its name.
    #[error("certificate not trusted")]
    Certificate,
}

impl ConnectError {
    /// Returns true if the endpoint is at fault, so another one may succeed.
    pub(crate) fn is_endpoint_fault(self) -> bool {
        !matches!(self, Self::NoEndpoint | Self::NoDescriptor | Self::DeadlinePassed)
    }
}

/// Returns a link to `endpoint`, and true if its connection served a request before.
pub(crate) async fn link_to(
    upstreams: &Upstreams,
    service: &LocalService,
    endpoint: &Rc<LocalEndpoint>,
    options: ConnectOptions,
    by: Instant,
) -> Result<(Link, bool), ConnectError> {
    let declared = service.declared();
    let protocol = protocol_for(declared, endpoint, options);
    // A connection with a PROXY header, or for passthrough, belongs to one client.
    let proxy_version = declared.proxy_protocol;
    let is_dedicated = proxy_version.is_some() || options.raw;
    let is_shared = match protocol {
        _ if is_dedicated => false,
        UpstreamProtocol::Http1 | UpstreamProtocol::Tls { http2: false } => false,
        UpstreamProtocol::Http2 => true,
        UpstreamProtocol::Tls { http2: true } => !endpoint.connections.borrow().chose_http1,
    };
    let mut permit = None;
    if is_shared {
        match shared(endpoint, options.reuse.is_none(), by).await? {
            Shared::Stream(stream, reused) => {
                if reused {
                    service.counters().reused.add(1);
                }
                return Ok((Link::ClientStream(stream), reused));
            }
            Shared::Connect(claimed) => permit = claimed,
        }
    }
    if let Some(liveness) = options.reuse
        && !is_dedicated
        && !matches!(protocol, UpstreamProtocol::Http2)
    {
        let client = options.addresses.map(|addresses| addresses.client);
        let idle_timeout = declared.pool.idle_timeout;
        let mut idle = endpoint.idle.borrow_mut();
        if let Some(socket) = idle.take(client, upstreams.clock(), liveness, idle_timeout) {
            service.counters().reused.add(1);
            return Ok((Link::Socket(socket), true));
        }
    }
    let proxy_header = proxy_version.map(|version| proxy_header(version, options));
    // Boxed, as most calls reuse a connection and should not carry the state of a connect.
    let connecting = Box::pin(connect(upstreams, service, endpoint, protocol, proxy_header, by));
    let socket = connecting.await?;
    service.report_connected(endpoint);
    let http2 = match protocol {
        UpstreamProtocol::Http1 => false,
        UpstreamProtocol::Http2 => true,
        UpstreamProtocol::Tls { http2 } => {
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
    let connection = Box::pin(ClientConnection::begin(
        socket,
        declared.limits.bytes,
        upstreams.idle_permit(),
    ));
    let connection = timeout_at(by, connection)
        .await
        .map_err(|_| ConnectError::TimedOut)?
        .map_err(|alert| alert.map_or(ConnectError::Refused, ConnectError::TlsAlert))?;
    let (stream, _) = connection.stream().ok_or(ConnectError::Refused)?;
    if !is_dedicated {
        endpoint.connections.borrow_mut().put(connection);
    }
    drop(permit);
    Ok((Link::ClientStream(stream), false))
}

/// The protocol of a connection with these options.
fn protocol_for(declared: &Service, endpoint: &LocalEndpoint, options: ConnectOptions) -> UpstreamProtocol {
    match declared.upstream_protocol(&declared.endpoints[endpoint.shared.declared]) {
        _ if options.raw => UpstreamProtocol::Http1,
        UpstreamProtocol::Http2 if options.http1 => UpstreamProtocol::Http1,
        UpstreamProtocol::Tls { .. } if options.http1 => UpstreamProtocol::Tls { http2: false },
        protocol => protocol,
    }
}

/// The PROXY header that begins a connection with these options.
fn proxy_header(version: ProxyVersion, options: ConnectOptions) -> Vec<u8> {
    let version = match version {
        ProxyVersion::V1 => Version::V1,
        ProxyVersion::V2 => Version::V2,
    };
    proxy_protocol::header(version, options.addresses)
}

/// The result of [`shared`].
enum Shared {
    /// A stream, and true if its connection had others before.
    Stream(Box<ClientStream>, bool),
    /// A new connection is needed. `None` if it needs no permit, as the endpoint chose HTTP/1.1.
    Connect(Option<ConnectPermit>),
}

/// The exclusive right to open a shared connection to an endpoint. Wakes waiting exchanges on drop.
struct ConnectPermit(Rc<LocalEndpoint>);

impl Drop for ConnectPermit {
    fn drop(&mut self) {
        self.0.connections.borrow_mut().end_connect();
    }
}

/// Returns a stream of a shared connection, or a permit to connect. Waits for another exchange's connect in progress.
/// With `fresh`, existing connections are not used.
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
        // The connection that was just made is fresh. It serves this exchange even if another worker, whose own attempt
        // failed, has ejected the endpoint in the meantime.
        fresh = false;
        if let Some((stream, reused)) = stream() {
            return Ok(Shared::Stream(stream, reused));
        }
        if endpoint.connections.borrow().chose_http1 {
            return Ok(Shared::Connect(None));
        }
        if endpoint.shared.health.is_ejected(Instant::now()) {
            return Err(ConnectError::Refused);
        }
    }
}

/// Opens a connection, including the PROXY header and TLS handshake if configured.
async fn connect(
    upstreams: &Upstreams,
    service: &LocalService,
    endpoint: &LocalEndpoint,
    protocol: UpstreamProtocol,
    proxy_header: Option<Vec<u8>>,
    by: Instant,
) -> Result<Socket, ConnectError> {
    let Address::Tcp(address) = endpoint.shared.address;
    let mut stream = connect_tcp(upstreams, address, by).await?;
    if let Some(header) = proxy_header {
        timeout_at(by, stream.write_all(&header))
            .await
            .map_err(|_| ConnectError::TimedOut)?
            .map_err(|_| ConnectError::Refused)?;
    }
    let UpstreamProtocol::Tls { http2 } = protocol else {
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
        Ok(Err(error)) => Err(alert_of(&error).map_or(ConnectError::Tls, ConnectError::TlsAlert)),
        Err(_) => Err(ConnectError::TimedOut),
    }
}

/// The name for which the endpoint's certificate must be valid.
fn server_name(service: &Service, endpoint: &Endpoint) -> Option<ServerName<'static>> {
    match (&service.tls.server_name, &endpoint.host) {
        (Some(name), _) => waypost_tls::client::server_name(name),
        (None, EndpointHost::Name(name)) => {
            waypost_tls::client::server_name(name.strip_suffix('.').unwrap_or(name))
        }
        (None, EndpointHost::Address(address)) => Some(ServerName::IpAddress((*address).into())),
    }
}

/// Returns true if a handshake failed because of the endpoint's certificate.
fn is_about_certificate(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}

/// Opens a TCP connection. If descriptors run out, closes idle connections and retries once.
async fn connect_tcp(
    upstreams: &Upstreams,
    address: SocketAddr,
    by: Instant,
) -> Result<TcpStream, ConnectError> {
    let mut closed_idle = false;
    loop {
        match timeout_at(by, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // With Nagle's algorithm, the end of a request could be delayed until the service's ACK.
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

/// Returns true if the process or the system is out of file descriptors.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    matches!(code, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}
