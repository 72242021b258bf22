//! HTTP/2 clients and services: by the h2 library for valid traffic, frame by frame for invalid traffic.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::PATIENCE;
use super::message::{Framing, Message};

/// A client connection.
pub(crate) struct Http2Client {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
}

/// An open stream of a client.
pub(crate) struct Stream<'c> {
    client: &'c Http2Client,
    response: h2::client::ResponseFuture,
    pub(crate) sender: SendStream<Bytes>,
    body: Option<RecvStream>,
}

impl Http2Client {
    /// Connects in clear text with prior knowledge (RFC 9113 §3.3).
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::start(address, None, &patient())
    }

    /// Connects in clear text with this initial stream window.
    pub(crate) fn with_window(address: SocketAddr, window: u32) -> Self {
        let mut builder = patient();
        builder.initial_window_size(window);
        Self::start(address, None, &builder)
    }

    /// Connects over TLS with `host` as SNI.
    pub(crate) fn connect_tls(address: SocketAddr, host: &str, config: Arc<ClientConfig>) -> Self {
        Self::start(address, Some((host, config)), &patient())
    }

    fn start(
        address: SocketAddr,
        tls: Option<(&str, Arc<ClientConfig>)>,
        builder: &h2::client::Builder,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let sender = runtime.block_on(async {
            let socket = tokio::net::TcpStream::connect(address)
                .await
                .expect("a connection");
            match tls {
                None => {
                    let (sender, connection) = builder.handshake(socket).await.expect("a handshake");
                    tokio::spawn(connection);
                    sender
                }
                Some((host, config)) => {
                    let name = ServerName::try_from(host.to_owned()).expect("a name");
                    let stream = TlsConnector::from(config).connect(name, socket).await;
                    let stream = stream.expect("a TLS handshake");
                    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                    let (sender, connection) = builder.handshake(stream).await.expect("a handshake");
                    tokio::spawn(connection);
                    sender
                }
            }
        });
        Self { runtime, sender }
    }

    /// Runs a future, with [`PATIENCE`] as its timeout.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime
            .block_on(async { timeout(PATIENCE, future).await.expect("a result in time") })
    }

    /// Waits for the gateway's SETTINGS frame to enable extended CONNECT (RFC 8441 §3).
    pub(crate) fn wait_for_extended_connect(&self) {
        super::wait_for("the setting", || {
            self.sender.is_extended_connect_protocol_enabled().then_some(())
        });
    }

    /// Opens a stream.
    pub(crate) fn open(&self, request: Request<()>, ends: bool) -> Stream<'_> {
        self.try_open(request, ends).expect("a stream")
    }

    pub(crate) fn try_open(&self, request: Request<()>, ends: bool) -> Result<Stream<'_>, h2::Error> {
        let mut ready = self.wait(self.sender.clone().ready())?;
        let (response, sender) = ready.send_request(request, ends)?;
        Ok(Stream {
            client: self,
            response,
            sender,
            body: None,
        })
    }

    /// Sends a request with its body and reads the response.
    pub(crate) fn ask(&self, request: Request<()>, body: &str) -> Message {
        self.try_ask(request, body).expect("a response")
    }

    /// Sends a request with its body and reads the response, or the error of its stream.
    pub(crate) fn try_ask(&self, request: Request<()>, body: &str) -> Result<Message, h2::Error> {
        let mut stream = self.try_open(request, body.is_empty())?;
        if !body.is_empty() {
            stream.sender.send_data(Bytes::from(body.to_owned()), true)?;
        }
        stream.response()
    }

    /// Sends a GET and reads its response.
    pub(crate) fn get(&self, url: &str) -> Message {
        self.ask(get(url), "")
    }

    /// Waits until the gateway accepts no further streams.
    pub(crate) fn wait_for_end(&self) {
        super::wait_for("the end of the connection", || {
            self.wait(self.sender.clone().ready()).is_err().then_some(())
        });
    }
}

impl Stream<'_> {
    /// Reads the head of the response.
    pub(crate) fn head(&mut self) -> Result<Message, h2::Error> {
        let response = self.client.wait(&mut self.response)?;
        let (head, body) = response.into_parts();
        let is_over = body.is_end_stream();
        self.body = Some(body);
        Ok(Message {
            first_line: format!("HTTP/2 {}", head.status.as_u16()),
            fields: fields(&head.headers),
            is_complete: is_over,
            framing: Framing::UntilClose,
            ..Message::default()
        })
    }

    /// Reads the next piece of the body; `None` at its end.
    pub(crate) fn piece(&mut self) -> Option<Result<Vec<u8>, h2::Error>> {
        let body = self.body.as_mut().expect("a head in front");
        loop {
            let data = match self.client.wait(body.data())? {
                Ok(data) => data,
                Err(error) => return Some(Err(error)),
            };
            let _ = body.flow_control().release_capacity(data.len());
            // An empty frame only ends the stream.
            if !data.is_empty() {
                return Some(Ok(data.to_vec()));
            }
        }
    }

    /// Reads the whole response.
    pub(crate) fn response(&mut self) -> Result<Message, h2::Error> {
        let mut message = self.head()?;
        while let Some(piece) = self.piece() {
            message.body.extend(piece?);
        }
        let body = self.body.as_mut().expect("a head in front");
        if let Some(trailers) = self.client.wait(body.trailers())? {
            message.trailers = fields(&trailers);
        }
        message.is_complete = true;
        Ok(message)
    }

    pub(crate) fn send(&mut self, data: &[u8], ends: bool) {
        self.sender
            .send_data(Bytes::copy_from_slice(data), ends)
            .expect("an open stream");
    }
}

/// A builder with a connection window so large that one unread stream does not block the others.
fn patient() -> h2::client::Builder {
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(8 << 20);
    builder
}

fn fields(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
        .collect()
}

/// Builds a GET.
pub(crate) fn get(url: &str) -> Request<()> {
    Request::get(url).body(()).expect("a request")
}

/// A service that speaks HTTP/2 in clear text; `respond` handles each request.
pub(crate) struct Http2Service {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Http2Service {
    pub(crate) fn start<F, R>(respond: F) -> Self
    where
        F: Fn(Request<RecvStream>, SendResponse<Bytes>) -> R + Clone + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self::with(h2::server::Builder::new(), respond)
    }

    pub(crate) fn with<F, R>(builder: h2::server::Builder, respond: F) -> Self
    where
        F: Fn(Request<RecvStream>, SendResponse<Bytes>) -> R + Clone + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0)))
            .expect("a port");
        let address = listener.local_addr().expect("its address");
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (builder, respond) = (builder.clone(), respond.clone());
                tokio::spawn(async move {
                    let Ok(mut connection) = builder.handshake::<_, Bytes>(socket).await else {
                        return;
                    };
                    while let Some(Ok((request, response))) = connection.accept().await {
                        tokio::spawn(respond(request, response));
                    }
                });
            }
        });
        Self {
            address,
            runtime: Some(runtime),
        }
    }

    /// Its URL, as a config names it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Http2Service {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A client that sends raw frames.
pub(crate) struct Frames {
    socket: TcpStream,
    read: Vec<u8>,
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

impl Frames {
    /// Connects and sends the connection preface (RFC 9113 §3.4).
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect_timeout(&address, PATIENCE).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        socket.set_write_timeout(Some(PATIENCE)).expect("a socket");
        let mut frames = Self {
            socket,
            read: Vec::new(),
        };
        frames.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        frames.send(SETTINGS, 0, 0, &[]);
        frames
    }

    /// Writes bytes; returns false if the connection is closed.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// Sends a frame; returns false if the connection is closed.
    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.write(&frame(kind, flags, stream, payload))
    }

    /// Sends a HEADERS frame with these fields, in this order.
    pub(crate) fn head(&mut self, stream: u32, flags: u8, fields: &[(&[u8], &[u8])]) -> bool {
        self.send(HEADERS, flags | END_HEADERS, stream, &block(fields))
    }

    /// Reads a frame; `None` at the end of the connection.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            let mut bytes = [0; 16 << 10];
            match self.socket.read(&mut bytes) {
                Ok(count) if count > 0 => self.read.extend_from_slice(&bytes[..count]),
                _ => return None,
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let head = self.read.get(..9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let frame = Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & (u32::MAX >> 1),
            payload: self.read.get(9..9 + length)?.to_vec(),
        };
        self.read.drain(..9 + length);
        Some(frame)
    }

    /// Reads up to the first frame of `kind`; `None` at the end of the connection.
    pub(crate) fn wait_for(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next()?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// Waits for GOAWAY and returns its error code.
    pub(crate) fn goaway(&mut self) -> u32 {
        let frame = self.wait_for(GOAWAY).expect("a GOAWAY");
        code(&frame.payload[4..])
    }

    /// Waits for the RST_STREAM of `stream` and returns its error code.
    pub(crate) fn reset_of(&mut self, stream: u32) -> u32 {
        loop {
            let frame = self.next().expect("a frame, not the end");
            if frame.kind == RST_STREAM && frame.stream == stream {
                return code(&frame.payload);
            }
            assert!(
                !(frame.stream == stream && frame.kind == HEADERS),
                "the stream has a response"
            );
        }
    }
}

fn code(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().expect("four bytes"))
}

/// Serializes a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).expect("a frame").to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Encodes a field block of literals without indexing (RFC 7541 §6.2.2).
pub(crate) fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            write_length(text.len(), &mut block);
            block.extend_from_slice(text);
        }
    }
    block
}

/// Encodes a length with a 7-bit prefix (RFC 7541 §5.1).
fn write_length(length: usize, out: &mut Vec<u8>) {
    if length < 127 {
        out.push(length as u8);
        return;
    }
    out.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        out.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    out.push(rest as u8);
}
