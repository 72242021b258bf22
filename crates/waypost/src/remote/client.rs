//! A client of the admin API: one request and one response on a connection, over TCP or a unix socket.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use waypost_admin::access::{INSTANCE, USER};
use waypost_admin::problem::Problem;

use crate::cli::AdminArgs;
use crate::remote::Response;

/// The timeout of a request. A change of a very large config takes seconds.
const TIMEOUT: Duration = Duration::from_secs(90);
/// The timeout of a connection to another instance of the fleet.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The size limit of a response: a config in JSON.
const RESPONSE_BYTES_MAX: usize = 256 << 20;

/// The error for a response that is not the admin API's.
const NOT_OURS: &str = "the response is not from Waypost's admin API";

/// The admin address of a running gateway, and the token for it.
#[derive(Debug)]
pub(crate) struct Client {
    address: Address,
    token: Option<String>,
    /// The name that is recorded where no token is asked for, instead of that in the environment.
    user: Option<String>,
    /// The id of the instance of a fleet that is meant, if one is.
    instance: Option<String>,
    timeout: Duration,
    /// The size limit of a response.
    bytes_max: usize,
}

#[derive(Debug)]
enum Address {
    /// `host:port`.
    Tcp(String),
    Unix(PathBuf),
}

impl Address {
    fn parse(url: &str) -> anyhow::Result<Self> {
        let trimmed = url.trim_end_matches('/');
        if let Some(path) = trimmed.strip_prefix("unix:") {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let Some(authority) = trimmed.strip_prefix("http://") else {
            bail!(
                "`{url}` is not an admin address; hint: write `http://127.0.0.1:9900` or `unix:/run/waypost.sock`"
            );
        };
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        Ok(Self::Tcp(match has_port {
            true => authority.to_owned(),
            false => format!("{authority}:80"),
        }))
    }
}

/// The event by which [`Client::stream`] says that the stream is open.
pub(super) const OPENED: &str = "";
/// The longest silence of a stream; an idle one has a sign of life every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// The size limit of a line of a stream.
const LINE_BYTES_MAX: usize = 4 << 20;

/// The end of a stream of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Streamed {
    /// The gateway ended it, or is gone.
    Ended,
    /// Its reader wants no more.
    Stopped,
}

/// A connection that was not made: nothing was asked.
#[derive(Debug, thiserror::Error)]
#[error("no gateway is reachable at {at}: {why}")]
pub(crate) struct Unreachable {
    at: String,
    why: io::Error,
}

/// A response with its body.
struct Raw {
    status: StatusCode,
    etag: Option<String>,
    body: Bytes,
}

impl Client {
    /// The gateway that the arguments name.
    pub(crate) fn new(arguments: &AdminArgs) -> anyhow::Result<Self> {
        let address = Address::parse(&arguments.admin)?;
        let token = match (&arguments.token_file, &arguments.token) {
            (Some(file), _) => {
                let text = std::fs::read_to_string(file)
                    .with_context(|| format!("the token file `{}` cannot be read", file.display()))?;
                let line = text
                    .lines()
                    .map(str::trim)
                    .find(|line| !line.is_empty() && !line.starts_with('#'));
                let token = line.and_then(token_of);
                Some(
                    token
                        .with_context(|| format!("`{}` has no token", file.display()))?
                        .to_owned(),
                )
            }
            (None, token) => token.clone(),
        };
        Ok(Self {
            address,
            token,
            user: None,
            instance: None,
            timeout: TIMEOUT,
            bytes_max: RESPONSE_BYTES_MAX,
        })
    }

    /// The gateway at `HOST:PORT`, `http://HOST:PORT` or `unix:PATH`, for requests that need no token.
    pub(crate) fn at(address: &str, timeout: Duration) -> anyhow::Result<Self> {
        let url = match address.starts_with("unix:") || address.contains("://") {
            true => address.to_owned(),
            false => format!("http://{address}"),
        };
        Ok(Self {
            address: Address::parse(&url)?,
            token: None,
            user: None,
            instance: None,
            timeout,
            bytes_max: RESPONSE_BYTES_MAX,
        })
    }

    /// The instance `id` of a fleet at `HOST:PORT`. Any other one that has the address refuses the requests.
    #[cfg(feature = "etcd")]
    pub(crate) fn of_instance(id: &str, address: &str, timeout: Duration) -> anyhow::Result<Self> {
        let client = Self::at(address, timeout)?;
        if let Address::Unix(_) = client.address {
            bail!("`{address}` is no address that another instance can have");
        }
        Ok(Self {
            instance: Some(id.to_owned()),
            ..client
        })
    }

    /// The same for `user`, with a token if there is one.
    #[cfg(feature = "etcd")]
    pub(crate) fn on_behalf_of(self, user: String, token: Option<String>) -> Self {
        Self {
            token,
            user: Some(user),
            ..self
        }
    }

    /// The same with another size limit of responses.
    #[cfg(feature = "etcd")]
    pub(crate) fn up_to(self, bytes_max: usize) -> Self {
        Self { bytes_max, ..self }
    }

    /// Sends a GET, and waits for the bytes of its answer.
    #[cfg(feature = "etcd")]
    pub(crate) async fn get_bytes(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Response<Bytes>> {
        let raw = self.exchange("GET", path, headers, Bytes::new()).await?;
        if !raw.status.is_success() {
            return Ok(Err(problem(&raw)?));
        }
        Ok(Ok(raw.body))
    }

    /// Sends a question in JSON with POST, and waits for the bytes of its answer.
    #[cfg(feature = "etcd")]
    pub(crate) async fn ask_for_bytes(&self, path: &str, question: Bytes) -> anyhow::Result<Response<Bytes>> {
        let headers = [("content-type", "application/json")];
        let raw = self.exchange("POST", path, &headers, question).await?;
        if !raw.status.is_success() {
            return Ok(Err(problem(&raw)?));
        }
        Ok(Ok(raw.body))
    }

    /// Sends a request with a body in JSON, if there is one, and waits for its response.
    #[cfg(feature = "etcd")]
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> anyhow::Result<Response<T>> {
        let mut headers = headers.to_vec();
        headers.extend(body.as_ref().map(|_| ("content-type", "application/json")));
        read(
            &self
                .exchange(method, path, &headers, body.unwrap_or_default().into())
                .await?,
        )
    }

    /// The same with another timeout.
    #[cfg(feature = "tui")]
    pub(crate) fn within(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Asks for the readiness of the gateway. The inner error says why it is not ready.
    pub(crate) fn is_ready(&self) -> anyhow::Result<Result<(), String>> {
        let raw = self.send("GET", "/readyz", &[], Bytes::new())?;
        if raw.status.is_success() {
            return Ok(Ok(()));
        }
        let problem = problem(&raw)?;
        Ok(Err(format!("{} is not ready: {}", self.name(), problem.detail)))
    }

    /// Sends a GET for JSON.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Response<T>> {
        read(&self.send("GET", path, &[], Bytes::new())?)
    }

    /// Sends a GET for a text, and returns it with its `ETag`.
    pub(crate) fn get_text(&self, path: &str) -> anyhow::Result<Response<(Bytes, String)>> {
        let raw = self.send("GET", path, &[], Bytes::new())?;
        if !raw.status.is_success() {
            return Ok(Err(problem(&raw)?));
        }
        Ok(Ok((raw.body, raw.etag.unwrap_or_default())))
    }

    /// Sends a PUT with a body of the content type `kind`.
    pub(crate) fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        kind: &str,
        if_match: Option<&str>,
        body: Vec<u8>,
    ) -> anyhow::Result<Response<T>> {
        let mut headers = vec![("content-type", kind)];
        headers.extend(if_match.map(|tag| ("if-match", tag)));
        read(&self.send("PUT", path, &headers, body.into())?)
    }

    /// Sends a POST with a body of the content type `kind`.
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        kind: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Response<T>> {
        read(&self.send("POST", path, &[("content-type", kind)], body.into())?)
    }

    /// Sends a request without a body.
    pub(crate) fn act<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        if_match: Option<&str>,
    ) -> anyhow::Result<Response<T>> {
        let headers: Vec<(&str, &str)> = if_match.map(|tag| ("if-match", tag)).into_iter().collect();
        read(&self.send(method, path, &headers, Bytes::new())?)
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Bytes) -> anyhow::Result<Raw> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.exchange(method, path, headers, body))
    }

    async fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<Raw> {
        let exchange = async {
            let response = self.open(method, path, headers, body).await?;
            self.collect(response).await
        };
        let response = timeout(self.timeout, exchange).await;
        response.with_context(|| format!("{} does not respond", self.name()))?
    }

    /// Follows a stream of events: calls `read` with the name and the data of each, first with [`OPENED`], until it returns
    /// false.
    pub(super) fn stream(
        &self,
        path: &str,
        mut read: impl FnMut(&str, &str) -> anyhow::Result<bool>,
    ) -> anyhow::Result<Response<Streamed>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let opening = self.open("GET", path, &[], Bytes::new());
            let response = timeout(self.timeout, opening).await;
            let response = response.with_context(|| format!("{} does not respond", self.name()))??;
            if !response.status().is_success() {
                return Ok(Err(problem(&self.collect(response).await?)?));
            }
            if !read(OPENED, "")? {
                return Ok(Ok(Streamed::Stopped));
            }
            let mut body = response.into_body();
            let (mut bytes, mut event) = (Vec::new(), String::new());
            // Silence or a broken connection: the gateway is gone.
            while let Ok(Some(Ok(frame))) = timeout(SILENCE_MAX, body.frame()).await {
                bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| &data[..]));
                while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = bytes.drain(..=end).collect();
                    let line = String::from_utf8_lossy(line.trim_ascii_end());
                    if let Some(name) = line.strip_prefix("event: ") {
                        name.clone_into(&mut event);
                    } else if let Some(data) = line.strip_prefix("data: ")
                        && !read(&event, data)?
                    {
                        return Ok(Ok(Streamed::Stopped));
                    }
                }
                if bytes.len() > LINE_BYTES_MAX {
                    bail!(NOT_OURS);
                }
            }
            Ok(Ok(Streamed::Ended))
        })
    }

    /// Connects and sends a request, and waits for the head of its response.
    async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<hyper::Response<Incoming>> {
        match &self.address {
            Address::Tcp(authority) => {
                let connecting = TcpStream::connect(authority);
                let stream = match self.instance {
                    // A machine that is gone does not refuse.
                    Some(_) => match timeout(CONNECT_TIMEOUT, connecting).await {
                        Ok(connected) => connected,
                        Err(_) => Err(io::ErrorKind::TimedOut.into()),
                    },
                    None => connecting.await,
                };
                let stream = stream.map_err(|error| self.unreachable(error))?;
                self.request(stream, method, path, headers, body).await
            }
            Address::Unix(socket) => {
                let stream = UnixStream::connect(socket)
                    .await
                    .map_err(|error| self.unreachable(error))?;
                self.request(stream, method, path, headers, body).await
            }
        }
    }

    /// Sends a request, and waits for the head of its response.
    async fn request(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<hyper::Response<Incoming>> {
        let host = match &self.address {
            Address::Tcp(authority) => authority,
            Address::Unix(_) => "localhost",
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(id) = &self.instance {
            request = request.header(INSTANCE, id);
        }
        match &self.token {
            Some(token) => request = request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            // The name is recorded, not checked.
            None => {
                let user = self.user.clone().or_else(|| std::env::var("USER").ok());
                if let Some(user) = user.filter(|user| user.bytes().all(|byte| byte.is_ascii_graphic())) {
                    request = request.header(USER, user);
                }
            }
        }
        let request = request
            .body(Full::new(body))
            .context("the request cannot be sent")?;
        // Not as its cause: a broken pipe there would be taken for one of standard output.
        let lost = |error: hyper::Error| anyhow!("{}: {error}", self.lost());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(lost)
    }

    fn lost(&self) -> String {
        format!("the connection to {} broke", self.name())
    }

    async fn collect(&self, response: hyper::Response<Incoming>) -> anyhow::Result<Raw> {
        let (head, body) = response.into_parts();
        let etag = head.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok());
        let body = Limited::new(body, self.bytes_max).collect().await;
        let body = body.map_err(|error| anyhow!("{}: {error}", self.lost()))?;
        Ok(Raw {
            status: head.status,
            etag: etag.map(str::to_owned),
            body: body.to_bytes(),
        })
    }

    fn name(&self) -> String {
        match &self.address {
            Address::Tcp(authority) => format!("http://{authority}"),
            Address::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    fn unreachable(&self, why: io::Error) -> anyhow::Error {
        let unreachable = Unreachable { at: self.name(), why };
        match self.instance {
            // Its address is not the user's choice.
            Some(_) => unreachable.into(),
            None => {
                let hint = "hint: `waypost run` prints where its admin address is, and `--admin` or WAYPOST_ADMIN takes another one";
                anyhow!("{unreachable}; {hint}")
            }
        }
    }
}

/// The token in a line of `[NAME] TOKEN` or `NAME TOKEN read`.
fn token_of(line: &str) -> Option<&str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        [_, token, "read"] => Some(token),
        _ => words.last().copied(),
    }
}

fn read<T: DeserializeOwned>(raw: &Raw) -> anyhow::Result<Response<T>> {
    if !raw.status.is_success() {
        return Ok(Err(problem(raw)?));
    }
    let answer = serde_json::from_slice(&raw.body);
    answer.map(Ok).context(NOT_OURS)
}

/// The problem that an error response describes.
fn problem(raw: &Raw) -> anyhow::Result<Problem> {
    serde_json::from_slice(&raw.body).with_context(|| format!("{NOT_OURS}: status {}", raw.status))
}

/// Percent-encodes a segment of a path.
pub(crate) fn segment(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
