//! Getting a link to a service: over a connection that is there, or a new one, at whichever endpoint accepts.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{self, pki_types::ServerName};
use waypost_plan::service::{Endpoint, EndpointHost, Service, Speaks};

use crate::answer::Failure;
use crate::endpoints::Target;
use crate::link::Link;
use crate::link::asked::Asked;
use crate::link::socket::Socket;
use crate::pool::multiplexed::Multiplexed;
use crate::pool::{Liveness, Making, WorkerService};
use crate::proxy_protocol::{self, Ends};
use crate::worker::Worker;

/// How many endpoints are tried for one request.
pub(crate) const ATTEMPTS_MAX: usize = 8;

/// A link to a service, for one exchange.
pub(crate) struct Lease {
    pub(crate) link: Link,
    pub(crate) target: Target,
    /// Whether its connection served another request before.
    pub(crate) reused: bool,
}

/// What a link is needed for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    /// What has to be known of a connection that served others before; `None` is that only a new one will do, as such a
    /// one has just turned out dead.
    pub(crate) reuse: Option<Liveness>,
    /// Only HTTP/1.1 will do, as the connection is to be upgraded.
    pub(crate) http1: bool,
    /// Bytes are all that is meant: no HTTP, nor TLS of the gateway's.
    pub(crate) raw: bool,
    /// Whom a service is told of that asks to be; without it, the gateway speaks for itself.
    pub(crate) ends: Option<Ends>,
    /// When the route's time is up.
    pub(crate) deadline: Option<Instant>,
}

impl Need {
    /// Whose request it is, if not the gateway's own.
    fn client(&self) -> Option<SocketAddr> {
        self.ends.map(|ends| ends.client)
    }
}

/// Gets a link to some endpoint of `service`; `failed` is raised by each that did not accept.
pub(crate) async fn lease(
    worker: &Worker,
    service: &Rc<WorkerService>,
    need: Need,
    failed: &mut u32,
) -> Result<Lease, Failure> {
    let mut tried: Vec<SocketAddr> = Vec::new();
    let mut failure = Failure::NoEndpoint;
    while tried.len() < ATTEMPTS_MAX {
        let now = worker.clock().about_now();
        let Some(target) = service.next_target(&tried, now) else {
            break;
        };
        let connect_by = now + service.state().service().timeouts.connect;
        let by = need
            .deadline
            .map_or(connect_by, |deadline| deadline.min(connect_by));
        match link_to(worker, service, target, need, by).await {
            Ok((link, reused)) => {
                return Ok(Lease { link, target, reused });
            }
            Err(ConnectError::TimedOut)
                if need.deadline.is_some_and(|deadline| deadline <= Instant::now()) =>
            {
                return Err(Failure::RouteTimeout);
            }
            Err(ConnectError::TimedOut) => failure = Failure::ConnectTimeout,
            Err(ConnectError::Refused) => failure = Failure::ConnectionRefused,
            Err(ConnectError::Tls(because)) => failure = because,
            // Nothing is wrong with the endpoint.
            Err(ConnectError::NoDescriptor) => return Err(Failure::NoDescriptor),
        }
        service.cells().failed.add(1);
        service.rest(target.address, Instant::now());
        tried.push(target.address);
        *failed += 1;
    }
    Err(failure)
}

/// A link to `target`, and whether its connection served another request before.
async fn link_to(
    worker: &Worker,
    service: &Rc<WorkerService>,
    target: Target,
    need: Need,
    by: Instant,
) -> Result<(Link, bool), ConnectError> {
    let address = target.address;
    let known = service.state().service();
    let speaks = match known.speaks(&known.endpoints[target.endpoint]) {
        _ if need.raw => Speaks::Http1,
        Speaks::Http2 if need.http1 => Speaks::Http1,
        Speaks::Tls { .. } if need.http1 => Speaks::Tls { http2: false },
        speaks => speaks,
    };
    // A connection that tells of one client is not for another, and one that is passed through is nobody else's.
    let introduces = known.proxy_protocol;
    let is_own = introduces.is_some() || need.raw;
    let multiplexes = match speaks {
        _ if is_own => false,
        Speaks::Http1 | Speaks::Tls { http2: false } => false,
        Speaks::Http2 => true,
        Speaks::Tls { http2: true } => !service.chose_http1(address),
    };
    let mut making = None;
    if multiplexes {
        match shared(service, address, need.reuse.is_none(), by).await? {
            Shared::Stream(stream, reused) => return Ok((Link::Asked(Box::new(stream)), reused)),
            Shared::Make(right) => making = right,
        }
    }
    if let Some(liveness) = need.reuse
        && !is_own
        && !matches!(speaks, Speaks::Http2)
        && let Some(socket) = service.take(address, need.client(), worker.clock(), liveness)
    {
        return Ok((Link::Socket(socket), true));
    }
    let introduction = introduces.map(|version| proxy_protocol::header(version, need.ends));
    // Most links are there already: what a new one takes is kept out of them.
    let connecting = Box::pin(connect(worker, service, target, speaks, introduction, by));
    let socket = connecting.await?;
    service.cells().opened.add(1);
    service.revive(address);
    let http2 = match speaks {
        Speaks::Http1 => false,
        Speaks::Http2 => true,
        Speaks::Tls { http2 } => {
            let chosen = http2 && socket.chose_http2();
            if http2 {
                service.note_choice(address, !chosen);
            }
            chosen
        }
    };
    if !http2 {
        return Ok((Link::Socket(socket), false));
    }
    let multiplexed = Box::pin(Multiplexed::begin(socket, worker.idle_place()));
    let multiplexed = timeout_at(by, multiplexed)
        .await
        .map_err(|_| ConnectError::TimedOut)?
        .map_err(|_| ConnectError::Refused)?;
    let stream = multiplexed.stream().ok_or(ConnectError::Refused)?;
    if !is_own {
        service.put_multiplexed(address, multiplexed);
    }
    drop(making);
    Ok((Link::Asked(Box::new(stream.0)), false))
}

/// What there is of connections that many exchanges share.
enum Shared {
    /// A stream, and whether its connection had others before.
    Stream(Asked, bool),
    /// Nothing: a connection has to be made. Others who need one wait for it.
    Make(Option<Making>),
}

/// A stream of a shared connection to `address`, once somebody has made one, or the right to do so.
async fn shared(
    service: &Rc<WorkerService>,
    address: SocketAddr,
    mut fresh: bool,
    by: Instant,
) -> Result<Shared, ConnectError> {
    loop {
        if !fresh && let Some((stream, reused)) = service.take_stream(address) {
            return Ok(Shared::Stream(stream, reused));
        }
        let made = match service.await_or_make(address) {
            Ok(right) => return Ok(Shared::Make(Some(right))),
            Err(made) => made,
        };
        timeout_at(by, made.notified())
            .await
            .map_err(|_| ConnectError::TimedOut)?;
        if service.rests(address, Instant::now()) {
            return Err(ConnectError::Refused);
        }
        if service.chose_http1(address) {
            return Ok(Shared::Make(None));
        }
        // What has just been made is as fresh as anything.
        fresh = false;
    }
}

/// Why a connection did not come about.
enum ConnectError {
    TimedOut,
    Refused,
    /// The handshake failed.
    Tls(Failure),
    /// This process has no descriptor for it.
    NoDescriptor,
}

/// Connects, up to the end of a TLS handshake.
async fn connect(
    worker: &Worker,
    service: &WorkerService,
    target: Target,
    speaks: Speaks,
    introduction: Option<Vec<u8>>,
    by: Instant,
) -> Result<Socket, ConnectError> {
    let mut stream = connect_tcp(worker, target.address, by).await?;
    if let Some(introduction) = introduction {
        timeout_at(by, stream.write_all(&introduction))
            .await
            .map_err(|_| ConnectError::TimedOut)?
            .map_err(|_| ConnectError::Refused)?;
    }
    let Speaks::Tls { http2 } = speaks else {
        return Ok(Socket::Tcp(stream));
    };
    let state = service.state();
    let known = state.service();
    let (Some(tls), Some(name)) = (state.tls(), server_name(known, &known.endpoints[target.endpoint])) else {
        return Err(ConnectError::Tls(Failure::TlsToService));
    };
    let connector = TlsConnector::from(Arc::clone(tls.config(http2)));
    match timeout_at(by, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(Socket::tls(stream)),
        Ok(Err(error)) => Err(ConnectError::Tls(if is_about_certificate(&error) {
            Failure::CertificateOfService
        } else {
            Failure::TlsToService
        })),
        Err(_) => Err(ConnectError::TimedOut),
    }
}

/// The name that the certificate of `endpoint` has to have.
fn server_name(service: &Service, endpoint: &Endpoint) -> Option<ServerName<'static>> {
    match (&service.tls.server_name, &endpoint.host) {
        (Some(name), _) => waypost_tls::client::server_name(name),
        (None, EndpointHost::Name(name)) => waypost_tls::client::server_name(name),
        (None, EndpointHost::Address(address)) => Some(ServerName::IpAddress((*address).into())),
    }
}

/// Whether a handshake failed because of who the service is.
fn is_about_certificate(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}

/// Connects. When descriptors are short, idle connections make room.
async fn connect_tcp(worker: &Worker, address: SocketAddr, by: Instant) -> Result<TcpStream, ConnectError> {
    let mut made_room = false;
    loop {
        match timeout_at(by, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Without it, the end of a request could wait for the service's acknowledgement.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) if is_out_of_descriptors(&error) => {
                if made_room || !worker.close_idle() {
                    return Err(ConnectError::NoDescriptor);
                }
                made_room = true;
            }
            Ok(Err(_)) => return Err(ConnectError::Refused),
            Err(_) => return Err(ConnectError::TimedOut),
        }
    }
}

/// Whether the process, or the system, has no descriptor left.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    matches!(code, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}
