//! A connection to one member.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http::Uri;
use http::uri::PathAndQuery;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Status, Streaming};
use waypost_tls::client::{ClientTls, server_name};

use super::codec::Raw;
use super::line::Line;
use crate::messages::maintenance::StatusRequest;
use crate::method::Call;
use crate::options::{Endpoint, Options};

/// The time after which a connection with streams, on which nothing came, is tried with a PING. etcd ends connections that
/// are tried more often than every five seconds.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// The time in which the PING must be answered.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Fields of a response, with their names.
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// The field in which etcd expects the token.
const TOKEN: &str = "token";

/// The field that asks a member without a leader to say so, instead of waiting for one.
const WANTS_LEADER: &str = "hasleader";

/// A token as a header field has it.
pub(crate) type Token = MetadataValue<Ascii>;

/// A connection to a member, which has answered on it; clones share it.
#[derive(Clone)]
pub(crate) struct Connection {
    /// Different for each connection of a client.
    pub(super) id: u64,
    line: Line,
    origin: Uri,
    response_bytes_max: usize,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// A connection that cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("`{0}` is not a name for TLS")]
    Name(String),
    #[error("TLS is not configured")]
    NoTls,
    #[error("it does not agree on HTTP/2")]
    Protocol,
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("{0}")]
    Uri(#[from] http::Error),
    #[error("it does not answer: {0}")]
    NoAnswer(String),
    #[error(
        "it speaks TLS, and is asked without: say `https` in place of `http`, or give the certificate of its authority"
    )]
    Clear,
}

/// A first message that TLS has, and refuses: a greeting without a content.
const EMPTY_GREETING: [u8; 9] = [22, 3, 1, 0, 4, 1, 0, 0, 0];

/// The first bytes of what TLS answers: an alert, or a greeting.
const TLS_ANSWERS: [u8; 2] = [21, 22];

/// Properties of a call beside its message.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// The token to show.
    pub(crate) token: Option<Token>,
    /// A member without a leader shall refuse.
    pub(crate) wants_leader: bool,
    /// When the answer is of no use any more.
    pub(crate) until: Option<Instant>,
}

impl Connection {
    /// Connects to `endpoint` and waits for its first answer: a listening socket alone may belong to a process that
    /// stands still.
    pub(super) async fn open(endpoint: &Endpoint, options: &Options, id: u64) -> Result<Self, ConnectError> {
        let socket = TcpStream::connect((endpoint.host(), endpoint.port())).await?;
        socket.set_nodelay(true)?;
        let has_tls = endpoint.has_tls(options.tls.is_some());
        let line = if has_tls {
            let tls = options.tls.as_ref().ok_or(ConnectError::NoTls)?;
            over_tls(socket, endpoint, tls).await?
        } else {
            over(socket).await?
        };
        let scheme = if has_tls { "https" } else { "http" };
        let origin = Uri::builder()
            .scheme(scheme)
            .authority(endpoint.authority())
            .path_and_query("/")
            .build()?;
        let connection = Self {
            id,
            line,
            origin,
            response_bytes_max: options.response_bytes_max,
        };
        match connection.ask().await {
            Err(_) if !has_tls && speaks_tls(endpoint).await => Err(ConnectError::Clear),
            asked => asked.map(|()| connection),
        }
    }

    /// Asks something that every member answers, with or without a leader. A refusal is an answer.
    async fn ask(&self) -> Result<(), ConnectError> {
        let terms = Terms {
            token: None,
            wants_leader: false,
            until: None,
        };
        let request = StatusRequest {}.encode_to_vec().into();
        match self.unary(StatusRequest::PATH, request, &terms).await {
            Err(status) => match status.source() {
                Some(source) => Err(ConnectError::NoAnswer(cause(source))),
                None => Ok(()),
            },
            Ok(_) => Ok(()),
        }
    }

    /// Returns true if nothing can be sent on it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.line.0.is_closed()
    }

    /// Sends one message and waits for one.
    pub(crate) async fn unary(
        &self,
        path: &'static str,
        message: Bytes,
        terms: &Terms,
    ) -> Result<Bytes, Status> {
        let mut request = Request::new(message);
        terms.write(&mut request);
        let path = PathAndQuery::from_static(path);
        let response = self.grpc().unary(request, path, Raw).await?;
        Ok(response.into_inner())
    }

    /// Opens a stream of messages in both directions. etcd accepts it with its first message, so it takes one from
    /// `messages` first.
    pub(crate) async fn stream(
        &self,
        path: &'static str,
        messages: impl Stream<Item = Bytes> + Send + 'static,
        terms: &Terms,
    ) -> Result<Streaming<Bytes>, Status> {
        let mut request = Request::new(messages);
        terms.write(&mut request);
        let path = PathAndQuery::from_static(path);
        let response = self.grpc().streaming(request, path, Raw).await?;
        Ok(response.into_inner())
    }

    fn grpc(&self) -> Grpc<Line> {
        Grpc::with_origin(self.line.clone(), self.origin.clone())
            .max_decoding_message_size(self.response_bytes_max)
    }
}

/// The first cause of an error: a member refuses a certificate when the connection is there already.
fn cause(error: &dyn Error) -> String {
    let mut first = error;
    while let Some(source) = first.source() {
        first = source;
    }
    first.to_string()
}

impl Terms {
    fn write<T>(&self, request: &mut Request<T>) {
        let metadata = request.metadata_mut();
        if let Some(token) = &self.token {
            metadata.insert(TOKEN, token.clone());
        }
        if self.wants_leader {
            metadata.insert(WANTS_LEADER, MetadataValue::from_static("true"));
        }
        if let Some(until) = self.until {
            request.set_timeout(until.saturating_duration_since(Instant::now()));
        }
    }
}

async fn over_tls(socket: TcpStream, endpoint: &Endpoint, tls: &ClientTls) -> Result<Line, ConnectError> {
    let name = server_name(endpoint.host()).ok_or_else(|| ConnectError::Name(endpoint.host().to_owned()))?;
    let socket = TlsConnector::from(tls.config(true).clone())
        .connect(name, socket)
        .await?;
    if socket.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(ConnectError::Protocol);
    }
    over(socket).await
}

/// Returns true if a member that has not answered in clear does so in TLS.
async fn speaks_tls(endpoint: &Endpoint) -> bool {
    let answer = async {
        let mut socket = TcpStream::connect((endpoint.host(), endpoint.port())).await?;
        socket.write_all(&EMPTY_GREETING).await?;
        socket.read_u8().await
    };
    answer.await.is_ok_and(|first| TLS_ANSWERS.contains(&first))
}

async fn over(socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Line, ConnectError> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_header_list_size(HEADER_BYTES_MAX)
        .handshake::<_, Body>(TokioIo::new(socket))
        .await?;
    // Its end is seen by those who use it.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(Line(sender))
}
