//! One endpoint's checks: the request, and the connection that is kept between them.

use std::fmt::Display;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use waypost_plan::duration;
use waypost_plan::health::{HealthCheck, Probe};
use waypost_plan::service::{Endpoint as Declared, Service, UpstreamProtocol};
use waypost_transport::h2::client_connection::ClientConnection;
use waypost_transport::link::Link;
use waypost_transport::permits::Permit;
use waypost_transport::socket::Socket;
use waypost_wire::response::ResponseLimits;
use waypost_wire::write;

use crate::address::Address;
use crate::call::{self, BodyNeed, Call, CallError};
use crate::checks::{RESPONSE_BYTES_MAX, grpc};
use crate::connect::{self, ConnectError};
use crate::endpoint::Endpoint;
use crate::local::Upstreams;
use crate::response_buffers::ResponseBuffers;
use crate::service::ServiceState;

/// Time for which checks share a connection. The next opens another, which shows that the endpoint accepts one.
const KEPT_TIME: Duration = Duration::from_secs(10);
/// The longest interval at which connections are kept; less often, each check opens one.
const KEPT_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// The wait for the rest of a response whose status is known.
const BODY_WAIT: Duration = Duration::from_millis(200);

/// The checks of an endpoint.
pub(super) struct Prober {
    service: Arc<Service>,
    /// The endpoint as it is declared, or as a SRV record names it.
    declared: Declared,
    check: HealthCheck,
    address: Address,
    protocol: UpstreamProtocol,
    /// The request; nothing for a check that only connects.
    call: Option<Call>,
    /// True if connections are kept between checks.
    keeps: bool,
    kept: Option<Kept>,
}

/// A connection between two checks.
struct Kept {
    connection: Connection,
    since: Instant,
    /// Its part in the descriptors for kept connections.
    permit: Option<Permit>,
}

enum Connection {
    Http1(Socket),
    Http2(Rc<ClientConnection>),
}

/// A check that did not pass.
enum Failure {
    /// The endpoint failed, for this reason.
    Failed(String),
    /// The connection ended before a response.
    Silent,
    /// The gateway could not ask.
    NotAsked,
}

impl Failure {
    fn of(reason: impl Display) -> Self {
        Self::Failed(reason.to_string())
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::NoDescriptor => Self::NotAsked,
            error => Self::of(error),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Silent => Self::Silent,
            error => Self::of(error),
        }
    }
}

impl Prober {
    pub(super) fn new(service: &Arc<Service>, endpoint: &Endpoint, check: &HealthCheck) -> Self {
        let declared = endpoint.declaration(service);
        let protocol = match (service.upstream_protocol(declared), &check.probe) {
            (UpstreamProtocol::Http1, Probe::Grpc { .. }) => UpstreamProtocol::Http2,
            (UpstreamProtocol::Tls { .. }, Probe::Grpc { .. }) => UpstreamProtocol::Tls { http2: true },
            (protocol, _) => protocol,
        };
        // A connection with a PROXY header stands for one client.
        let keeps = check.interval <= KEPT_INTERVAL_MAX && service.proxy_protocol.is_none();
        Self {
            address: at_port(&endpoint.address, check.port),
            call: call(&check.probe, &declared.authority, keeps),
            service: Arc::clone(service),
            declared: declared.clone(),
            check: check.clone(),
            protocol,
            keeps,
            kept: None,
        }
    }

    /// Checks the endpoint. A failure has its reason; `None` if the gateway could not ask.
    pub(super) async fn probe(
        &mut self,
        upstreams: &Upstreams,
        state: &ServiceState,
    ) -> Option<Result<(), String>> {
        let deadline = Instant::now() + self.check.timeout;
        let failure = match timeout_at(deadline, self.ask(upstreams, state, deadline)).await {
            Ok(Ok(())) => return Some(Ok(())),
            Ok(Err(Failure::NotAsked)) => return None,
            Ok(Err(Failure::Failed(reason))) => reason,
            Ok(Err(Failure::Silent)) => CallError::Silent.to_string(),
            Err(_) => format!("timeout after {}", duration::format(self.check.timeout)),
        };
        self.kept = None;
        Some(Err(failure))
    }

    async fn ask(
        &mut self,
        upstreams: &Upstreams,
        state: &ServiceState,
        deadline: Instant,
    ) -> Result<(), Failure> {
        if let Some(kept) = self.kept.take() {
            match self.ask_over(upstreams, kept).await {
                // The endpoint had closed it meanwhile.
                Err(Failure::Silent) => {}
                asked => return asked,
            }
        }
        let connection = self.connect(upstreams, state, deadline).await?;
        if self.call.is_none() {
            return Ok(());
        }
        let fresh = Kept {
            connection,
            since: Instant::now(),
            permit: None,
        };
        self.ask_over(upstreams, fresh).await
    }

    /// Sends the request over a connection, which is kept if it may serve another.
    async fn ask_over(&mut self, upstreams: &Upstreams, kept: Kept) -> Result<(), Failure> {
        let Some(call) = &self.call else {
            return Ok(());
        };
        let (mut link, http2) = match kept.connection {
            Connection::Http1(socket) => (Link::Socket(socket), None),
            Connection::Http2(connection) => {
                let (stream, _) = connection.stream().ok_or(Failure::Silent)?;
                (Link::ClientStream(stream), Some(connection))
            }
        };
        let mut buffers = upstreams.borrow_response();
        let asked = exchange(
            &mut link,
            call,
            &mut buffers,
            &self.check.probe,
            &self.service.limits,
        )
        .await;
        upstreams.return_response(buffers);
        let (result, is_reusable) = asked?;
        let since = kept.since;
        if self.keeps && since.elapsed() < KEPT_TIME {
            let connection = match (link, http2) {
                (_, Some(connection)) => Some(Connection::Http2(connection)),
                (Link::Socket(socket), None) if is_reusable => Some(Connection::Http1(socket)),
                _ => None,
            };
            // Without one, the next check opens a connection.
            let permit = kept.permit.or_else(|| upstreams.idle_permit());
            self.kept = connection.zip(permit).map(|(connection, permit)| Kept {
                connection,
                since,
                permit: Some(permit),
            });
        }
        result
    }

    async fn connect(
        &self,
        upstreams: &Upstreams,
        state: &ServiceState,
        by: Instant,
    ) -> Result<Connection, Failure> {
        let socket =
            connect::socket_to(upstreams, state, &self.declared, &self.address, self.protocol, by).await?;
        let is_http2 = match self.protocol {
            UpstreamProtocol::Http1 => false,
            UpstreamProtocol::Http2 => true,
            UpstreamProtocol::Tls { .. } => socket.chose_http2(),
        };
        if self.call.is_none() || !is_http2 {
            return match self.check.probe {
                Probe::Grpc { .. } => Err(Failure::of("the endpoint does not speak HTTP/2")),
                _ => Ok(Connection::Http1(socket)),
            };
        }
        let head_bytes = self.service.limits.bytes;
        let connection = ClientConnection::begin(socket, head_bytes, None, None).await;
        let connection = connection.map_err(|alert| match alert {
            Some(alert) => Failure::from(ConnectError::TlsAlert(alert)),
            None => Failure::of("the endpoint does not speak HTTP/2"),
        })?;
        Ok(Connection::Http2(connection))
    }
}

/// Sends a request and judges the response. Also returns true if the connection may serve another.
async fn exchange(
    link: &mut Link,
    call: &Call,
    buffers: &mut ResponseBuffers,
    probe: &Probe,
    limits: &ResponseLimits,
) -> Result<(Result<(), Failure>, bool), Failure> {
    if link.write_all(&call.message).await.is_err() {
        return Err(Failure::Silent);
    }
    let ResponseBuffers {
        from_service,
        response,
        ..
    } = buffers;
    let read = call::read_response(link, from_service, response, call, limits).await?;
    let result = match probe {
        Probe::Http(http) if http.statuses.contains(read.answer.status) => Ok(()),
        Probe::Http(_) => Err(Failure::of(format_args!("status {}", read.answer.status))),
        Probe::Grpc { .. } => grpc::judge(
            read.answer.status,
            read.grpc_status,
            &read.answer.body,
            link.trailers(),
        )
        .map_err(Failure::Failed),
        Probe::Tcp => Ok(()),
    };
    Ok((result, read.reusable.is_some()))
}

/// The request of a check.
fn call(probe: &Probe, authority: &str, keeps: bool) -> Option<Call> {
    let (method, path, host, headers) = match probe {
        Probe::Http(http) => (&*http.method, &*http.path, &http.host, &http.headers),
        Probe::Grpc { host, headers, .. } => ("POST", grpc::PATH, host, headers),
        Probe::Tcp => return None,
    };
    let mut message = Vec::with_capacity(256);
    message.extend_from_slice(format!("{method} {path} HTTP/1.1\r\n").as_bytes());
    let host = host.as_deref().unwrap_or(authority);
    write::field(&mut message, b"host", host.as_bytes());
    if !headers.iter().any(|(name, _)| &**name == "user-agent") {
        let agent = concat!("waypost/", env!("CARGO_PKG_VERSION"), " (health check)");
        write::field(&mut message, b"user-agent", agent.as_bytes());
    }
    for (name, value) in headers {
        write::field(&mut message, name.as_bytes(), value.as_bytes());
    }
    // HTTP/2 has no such field, and the stream leaves it out.
    if !keeps {
        write::field(&mut message, b"connection", b"close");
    }
    let body = match probe {
        Probe::Grpc { service, .. } => grpc::request(service),
        _ => Vec::new(),
    };
    if matches!(probe, Probe::Grpc { .. }) {
        write::field(&mut message, b"content-type", b"application/grpc");
        write::field(&mut message, b"te", b"trailers");
    }
    if !body.is_empty() || !matches!(method, "GET" | "HEAD" | "OPTIONS" | "DELETE") {
        write::content_length(&mut message, body.len() as u64);
    }
    message.extend_from_slice(b"\r\n");
    message.extend_from_slice(&body);
    Some(Call {
        message,
        authority_at: None,
        key: None,
        may_wait: false,
        is_head: method == "HEAD",
        is_idempotent: true,
        response_bytes_max: RESPONSE_BYTES_MAX,
        response_bytes_kept: match probe {
            Probe::Grpc { .. } => grpc::RESPONSE_BYTES_MAX,
            _ => 0,
        },
        body: match probe {
            Probe::Grpc { .. } => BodyNeed::Whole,
            _ => BodyNeed::None(BODY_WAIT),
        },
        keeps_head: false,
    })
}

/// An endpoint's address with another port.
fn at_port(address: &Address, port: Option<u16>) -> Address {
    match (address, port) {
        (Address::Tcp(address), Some(port)) => Address::Tcp(SocketAddr::new(address.ip(), port)),
        (address, _) => address.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use waypost_plan::failures::StatusSet;
    use waypost_plan::health::HttpProbe;

    fn message(probe: &Probe, keeps: bool) -> String {
        let call = call(probe, "10.0.0.1:8080", keeps).unwrap();
        let message = String::from_utf8(call.message).unwrap();
        message.replace(env!("CARGO_PKG_VERSION"), "VERSION")
    }

    #[test]
    fn request_has_what_the_config_says() {
        let mut http = HttpProbe {
            method: "GET".into(),
            path: "/healthz?a=b".into(),
            host: None,
            headers: Vec::new(),
            statuses: StatusSet::default(),
        };
        assert_eq!(
            message(&Probe::Http(http.clone()), true),
            "GET /healthz?a=b HTTP/1.1\r\nhost: 10.0.0.1:8080\r\nuser-agent: waypost/VERSION (health check)\r\n\r\n"
        );
        http.method = "POST".into();
        http.host = Some("orders.internal".into());
        http.headers = vec![("user-agent".into(), "mine".into()), ("x-a".into(), "b".into())];
        assert_eq!(
            message(&Probe::Http(http), false),
            "POST /healthz?a=b HTTP/1.1\r\nhost: orders.internal\r\nuser-agent: mine\r\nx-a: b\r\nconnection: close\r\n\
             content-length: 0\r\n\r\n"
        );
        assert!(call(&Probe::Tcp, "a", true).is_none());
    }

    #[test]
    fn port_replaces_that_of_the_endpoint() {
        let address = Address::Tcp(SocketAddr::from(([10, 0, 0, 1], 80)));
        assert_eq!(at_port(&address, None), address);
        assert_eq!(at_port(&address, Some(9000)).to_string(), "10.0.0.1:9000");
    }
}
