//! Links to an endpoint, over a pooled or a new connection.

use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{self, pki_types::ServerName};
use waypost_plan::service::{Endpoint, EndpointHost, ProxyVersion, Service, UpstreamProtocol};
use waypost_transport::h2::client_connection::ClientConnection;
use waypost_transport::h2::client_stream::ClientStream;
use waypost_transport::link::Link;
use waypost_transport::permits::OpenPermit;
use waypost_transport::proxy_protocol::{self, ProxiedAddresses, Version};
use waypost_transport::socket::{Socket, Stream, alert_of};
use waypost_wire::tls_alert::TlsAlert;

use crate::address::Address;
use crate::limits::{Refusal, Wait};
use crate::local::{LocalEndpoint, LocalService, Upstreams};
use crate::opening::{self, Opening, Wanted};
use crate::pool::idle::{IdleConnection, Liveness};
use crate::service::ServiceState;

/// Pause before another attempt to enter the full queue of a unix socket.
const QUEUE_PAUSE: Duration = Duration::from_millis(5);

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
    /// The timeout of a connection attempt, where it is not the service's.
    pub timeout: Option<Duration>,
    /// The route's deadline.
    pub deadline: Option<Instant>,
    /// The hash of the request's value, where the service balances by it.
    pub key: Option<u64>,
    /// True to wait where the service has as many requests or connections as it may have. What does not wait is given up
    /// rather than refused: it is not counted.
    pub may_wait: bool,
    /// Timeout of an attempt to connect to one endpoint, besides the service's.
    pub attempt: Option<Duration>,
}

/// A link to an endpoint.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) link: Link,
    /// True if the connection served a request before.
    pub(crate) reused: bool,
    /// The permit of the connection, of a limited service. That of a stream is with its connection.
    pub(crate) open: Option<OpenPermit>,
}

/// A failure to obtain a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The service has no endpoint, or all of them were tried.
    #[error("no endpoint")]
    NoEndpoint,
    /// The service has as many requests as it may have.
    #[error("the service has as many requests as it may have")]
    RequestLimit,
    /// The service has as many connections as it may have.
    #[error("the service has as many connections as it may have")]
    ConnectionLimit,
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
        match self {
            Self::NoEndpoint
            | Self::RequestLimit
            | Self::ConnectionLimit
            | Self::NoDescriptor
            | Self::DeadlinePassed => false,
            Self::TimedOut | Self::Refused | Self::Tls | Self::TlsAlert(_) | Self::Certificate => true,
        }
    }
}

impl Connected {
    /// A stream of a connection; `reused` is true if that had others before.
    fn stream(service: &LocalService, stream: Box<ClientStream>, reused: bool) -> Self {
        if reused {
            service.counters().reused.add(1);
        }
        Self {
            link: Link::ClientStream(stream),
            reused,
            open: None,
        }
    }

    /// A connection that was idle.
    #[inline]
    fn reused(service: &LocalService, idle: IdleConnection) -> Self {
        service.counters().reused.add(1);
        let (socket, open) = idle.into_parts();
        Self {
            link: Link::Socket(socket),
            reused: true,
            open,
        }
    }
}

/// Returns a link of a connection to `endpoint` that is there and free, if there is one.
pub(crate) fn pooled(
    upstreams: &Upstreams,
    service: &LocalService,
    endpoint: &LocalEndpoint,
    options: &ConnectOptions,
) -> Option<Connected> {
    let liveness = options.reuse?;
    let declared = service.declared();
    if is_dedicated(declared, options) {
        return None;
    }
    if is_shared(protocol_for(endpoint, options), endpoint) {
        let (stream, reused) = endpoint.connections.borrow().stream()?;
        return Some(Connected::stream(service, stream, reused));
    }
    idle(upstreams, service, endpoint, options, liveness)
}

/// Takes an idle connection to `endpoint`.
#[inline]
fn idle(
    upstreams: &Upstreams,
    service: &LocalService,
    endpoint: &LocalEndpoint,
    options: &ConnectOptions,
    liveness: Liveness,
) -> Option<Connected> {
    let client = options.addresses.map(|addresses| addresses.client);
    let idle_timeout = service.declared().pool.idle_timeout;
    let mut idle = endpoint.idle.borrow_mut();
    let idle = idle.take(client, upstreams.clock(), liveness, idle_timeout)?;
    Some(Connected::reused(service, idle))
}

/// Returns true if connections belong to one client: with a PROXY header, or for passthrough.
fn is_dedicated(declared: &Service, options: &ConnectOptions) -> bool {
    declared.proxy_protocol.is_some() || options.raw
}

/// Returns true if the connections of this protocol to `endpoint` are shared, as far as that is known.
fn is_shared(protocol: UpstreamProtocol, endpoint: &LocalEndpoint) -> bool {
    match protocol {
        UpstreamProtocol::Http1 | UpstreamProtocol::Tls { http2: false } => false,
        UpstreamProtocol::Http2 => true,
        UpstreamProtocol::Tls { http2: true } => !endpoint.connections.borrow().chose_http1,
    }
}

/// Returns a link to `endpoint`. If the service has as many connections as it may have, waits for one.
pub(crate) async fn link_to(
    upstreams: &Upstreams,
    service: &LocalService,
    endpoint: &Rc<LocalEndpoint>,
    options: &ConnectOptions,
    wait: &mut Wait<'_>,
) -> Result<Connected, ConnectError> {
    let declared = service.declared();
    let mut by = connect_by(declared, options, upstreams.clock().coarse_now());
    let protocol = protocol_for(endpoint, options);
    let is_dedicated = is_dedicated(declared, options);
    let reuse = options
        .reuse
        .filter(|_| !is_dedicated && !matches!(protocol, UpstreamProtocol::Http2));
    let mut open = None;
    let permit = loop {
        let mut permit = None;
        let is_shared = !is_dedicated && is_shared(protocol, endpoint);
        if is_shared {
            match shared(endpoint, options.reuse.is_none(), by).await? {
                Shared::Stream(stream, reused) => return Ok(Connected::stream(service, stream, reused)),
                Shared::Connect(claimed) => permit = claimed,
            }
        }
        if let Some(liveness) = reuse
            && let Some(connected) = idle(upstreams, service, endpoint, options, liveness)
        {
            return Ok(connected);
        }
        let Some(limit) = service.connection_limit() else {
            break permit;
        };
        open = open.or_else(|| limit.try_take());
        if open.is_some() {
            break permit;
        }
        // Others find out for themselves that there is no connection to be had.
        drop(permit);
        let wanted = match reuse {
            _ if is_shared && options.reuse.is_some() => Wanted::Stream,
            Some(_) => Wanted::Connection,
            None => Wanted::Permit,
        };
        let opening = Box::pin(opening::wait(service, endpoint, limit, wanted, wait));
        let opening = opening
            .await
            .map_err(|refusal| refused(service, options, refusal, ConnectError::ConnectionLimit))?;
        match opening {
            Opening::Permit(permit) => open = Some(permit),
            Opening::Stream(stream) => return Ok(Connected::stream(service, stream, true)),
            Opening::Connection(idle) => {
                if reuse.is_some_and(|liveness| idle.is_alive(upstreams.clock().tick(), liveness)) {
                    return Ok(Connected::reused(service, idle));
                }
                (_, open) = idle.into_parts();
            }
        }
        // The wait takes nothing from the time to connect.
        by = connect_by(declared, options, Instant::now());
    };
    wait.leave();
    let proxy_version = declared.proxy_protocol;
    let proxy_header = proxy_version.map(|version| proxy_header(version, options.addresses));
    // Boxed, as most calls reuse a connection and should not carry the state of a connect.
    let connecting = Box::pin(connect(
        upstreams,
        service.state(),
        endpoint.shared.declaration(declared),
        &endpoint.shared.address,
        protocol,
        proxy_header,
        by,
    ));
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
        return Ok(Connected {
            link: Link::Socket(socket),
            reused: false,
            open,
        });
    }
    let connection = Box::pin(ClientConnection::begin(
        socket,
        declared.limits.bytes,
        upstreams.idle_permit(),
        open,
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
    service.pass_streams(endpoint);
    Ok(Connected::stream(service, stream, false))
}

/// The error for a request that did not get what it waited for: `error` if that is due to the limit, which is counted.
pub(crate) fn refused(
    service: &LocalService,
    options: &ConnectOptions,
    refusal: Refusal,
    error: ConnectError,
) -> ConnectError {
    if refusal == Refusal::DeadlinePassed {
        return ConnectError::DeadlinePassed;
    }
    if options.may_wait {
        let counters = service.counters();
        match error {
            ConnectError::RequestLimit => counters.request_limit.add(1),
            _ => counters.connection_limit.add(1),
        }
    }
    error
}

/// The time by which a connection attempt that begins at `now` must succeed.
fn connect_by(declared: &Service, options: &ConnectOptions, now: Instant) -> Instant {
    let timeout = options.timeout.unwrap_or(declared.timeouts.connect);
    let by = now + options.attempt.map_or(timeout, |attempt| attempt.min(timeout));
    options.deadline.map_or(by, |deadline| deadline.min(by))
}

/// The protocol of a connection with these options.
fn protocol_for(endpoint: &LocalEndpoint, options: &ConnectOptions) -> UpstreamProtocol {
    match endpoint.protocol {
        _ if options.raw => UpstreamProtocol::Http1,
        UpstreamProtocol::Http2 if options.http1 => UpstreamProtocol::Http1,
        UpstreamProtocol::Tls { .. } if options.http1 => UpstreamProtocol::Tls { http2: false },
        protocol => protocol,
    }
}

/// Opens a connection of the gateway's own to `address`, with the PROXY header and TLS of connections to `endpoint`.
pub(crate) async fn socket_to(
    upstreams: &Upstreams,
    state: &ServiceState,
    endpoint: &Endpoint,
    address: &Address,
    protocol: UpstreamProtocol,
    by: Instant,
) -> Result<Socket, ConnectError> {
    let version = state.service().proxy_protocol;
    let header = version.map(|version| proxy_header(version, None));
    connect(upstreams, state, endpoint, address, protocol, header, by).await
}

/// The PROXY header that begins a connection for a client with these addresses.
fn proxy_header(version: ProxyVersion, addresses: Option<ProxiedAddresses>) -> Vec<u8> {
    let version = match version {
        ProxyVersion::V1 => Version::V1,
        ProxyVersion::V2 => Version::V2,
    };
    proxy_protocol::header(version, addresses)
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
    state: &ServiceState,
    endpoint: &Endpoint,
    address: &Address,
    protocol: UpstreamProtocol,
    proxy_header: Option<Vec<u8>>,
    by: Instant,
) -> Result<Socket, ConnectError> {
    let mut socket = open(upstreams, address, by).await?;
    if let Some(header) = proxy_header {
        timeout_at(by, socket.write_all(&header))
            .await
            .map_err(|_| ConnectError::TimedOut)?
            .map_err(|_| ConnectError::Refused)?;
    }
    let UpstreamProtocol::Tls { http2 } = protocol else {
        return Ok(socket);
    };
    let Socket::Tcp(stream) = socket else {
        return Err(ConnectError::Tls);
    };
    let name = server_name(state.service(), endpoint);
    let (Some(tls), Some(name)) = (state.tls(), name) else {
        return Err(ConnectError::Tls);
    };
    let connector = TlsConnector::from(Arc::clone(tls.config(http2)));
    match timeout_at(by, connector.connect(name, Stream::Tcp(stream))).await {
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
        // A unix socket is in clear text, and a SRV record has a name in its place.
        (None, EndpointHost::Unix(_) | EndpointHost::Service(_)) => None,
    }
}

/// Returns true if a handshake failed because of the endpoint's certificate.
fn is_about_certificate(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}

/// Opens a connection in clear text. If descriptors run out, closes idle connections and retries once.
async fn open(upstreams: &Upstreams, address: &Address, by: Instant) -> Result<Socket, ConnectError> {
    let mut closed_idle = false;
    loop {
        let opened = timeout_at(by, async {
            match address {
                Address::Tcp(address) => TcpStream::connect(*address).await.map(Socket::Tcp),
                Address::Unix(path) => connect_unix(path).await.map(Socket::Unix),
            }
        });
        match opened.await {
            Ok(Ok(socket)) => {
                if let Socket::Tcp(stream) = &socket {
                    // With Nagle's algorithm, the end of a request could be delayed until the service's ACK.
                    let _ = stream.set_nodelay(true);
                }
                return Ok(socket);
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

/// Connects to a unix socket. While its queue of connections is full, the system refuses rather than waits, as TCP does.
async fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(QUEUE_PAUSE).await,
            result => return result,
        }
    }
}

/// Returns true if the process or the system is out of file descriptors.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    matches!(code, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}
