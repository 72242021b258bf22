//! HTTP/2 as the tests speak it: by a library where it is to be right, and frame by frame where it is not.

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

/// A client's connection.
pub(crate) struct Http2Client {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
}

/// A stream of it that is open in both directions.
pub(crate) struct Stream<'c> {
    client: &'c Http2Client,
    answer: h2::client::ResponseFuture,
    pub(crate) sender: SendStream<Bytes>,
    body: Option<RecvStream>,
}

impl Http2Client {
    /// Connects in clear text, by prior knowledge.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::start(address, None, &patient())
    }

    /// Connects in clear text, and takes this much on each stream before it reads.
    pub(crate) fn with_window(address: SocketAddr, window: u32) -> Self {
        let mut builder = patient();
        builder.initial_window_size(window);
        Self::start(address, None, &builder)
    }

    /// Connects under TLS, asking for `host`.
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

    /// Waits for something, and fails the test when it never comes.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime
            .block_on(async { timeout(PATIENCE, future).await.expect("it never comes") })
    }

    /// Whether the gateway has said that it knows extended CONNECT.
    pub(crate) fn knows_extended_connect(&self) -> bool {
        self.sender.is_extended_connect_protocol_enabled()
    }

    /// Opens a stream.
    pub(crate) fn open(&self, request: Request<()>, ends: bool) -> Stream<'_> {
        self.try_open(request, ends).expect("a stream")
    }

    pub(crate) fn try_open(&self, request: Request<()>, ends: bool) -> Result<Stream<'_>, h2::Error> {
        let mut ready = self.wait(self.sender.clone().ready())?;
        let (answer, sender) = ready.send_request(request, ends)?;
        Ok(Stream {
            client: self,
            answer,
            sender,
            body: None,
        })
    }

    /// The answer to a whole request.
    pub(crate) fn ask(&self, request: Request<()>, body: &str) -> Message {
        self.try_ask(request, body).expect("an answer")
    }

    /// The answer to a whole request, or why there is none.
    pub(crate) fn try_ask(&self, request: Request<()>, body: &str) -> Result<Message, h2::Error> {
        let mut stream = self.try_open(request, body.is_empty())?;
        if !body.is_empty() {
            stream.sender.send_data(Bytes::from(body.to_owned()), true)?;
        }
        stream.answer()
    }

    /// The answer to a plain GET.
    pub(crate) fn get(&self, url: &str) -> Message {
        self.ask(get(url), "")
    }

    /// Waits until the gateway takes no further streams.
    pub(crate) fn wait_for_end(&self) {
        super::wait_for("the end of the connection", || {
            self.wait(self.sender.clone().ready()).is_err().then_some(())
        });
    }
}

impl Stream<'_> {
    /// The head of the answer.
    pub(crate) fn head(&mut self) -> Result<Message, h2::Error> {
        let answer = self.client.wait(&mut self.answer)?;
        let (head, body) = answer.into_parts();
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

    /// The next piece of the body; `None` at its end.
    pub(crate) fn piece(&mut self) -> Option<Result<Vec<u8>, h2::Error>> {
        let body = self.body.as_mut().expect("a head in front");
        loop {
            let data = match self.client.wait(body.data())? {
                Ok(data) => data,
                Err(error) => return Some(Err(error)),
            };
            let _ = body.flow_control().release_capacity(data.len());
            // What only ends the stream is no piece.
            if !data.is_empty() {
                return Some(Ok(data.to_vec()));
            }
        }
    }

    /// The whole answer.
    pub(crate) fn answer(&mut self) -> Result<Message, h2::Error> {
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

/// A stream that nobody reads does not hold up the others.
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

/// A plain GET.
pub(crate) fn get(url: &str) -> Request<()> {
    Request::get(url).body(()).expect("a request")
}

/// A service that speaks HTTP/2 in clear text, and answers each request as `answer` does.
pub(crate) struct Http2Service {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Http2Service {
    pub(crate) fn start<F, R>(answer: F) -> Self
    where
        F: Fn(Request<RecvStream>, SendResponse<Bytes>) -> R + Clone + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self::with(h2::server::Builder::new(), answer)
    }

    pub(crate) fn with<F, R>(builder: h2::server::Builder, answer: F) -> Self
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
                let (builder, answer) = (builder.clone(), answer.clone());
                tokio::spawn(async move {
                    let Ok(mut connection) = builder.handshake::<_, Bytes>(socket).await else {
                        return;
                    };
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        tokio::spawn(answer(request, respond));
                    }
                });
            }
        });
        Self {
            address,
            runtime: Some(runtime),
        }
    }

    /// What of the configuration says where it is.
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

/// A client that sends frames as they stand.
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
    /// Connects, and says what a connection begins with.
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

    /// Writes bytes; whether they were taken.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// Sends a frame; whether it was taken.
    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.write(&frame(kind, flags, stream, payload))
    }

    /// Sends a head of these fields, in this order.
    pub(crate) fn head(&mut self, stream: u32, flags: u8, fields: &[(&[u8], &[u8])]) -> bool {
        self.send(HEADERS, flags | END_HEADERS, stream, &block(fields))
    }

    /// The next frame; `None` at the end of the connection.
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

    /// The first frame of `kind`; what comes before it is passed over. `None` at the end of the connection.
    pub(crate) fn wait_for(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next()?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// The error of the GOAWAY that ends the connection.
    pub(crate) fn goaway(&mut self) -> u32 {
        let frame = self.wait_for(GOAWAY).expect("a GOAWAY");
        code(&frame.payload[4..])
    }

    /// The error by which a stream is reset.
    pub(crate) fn reset_of(&mut self, stream: u32) -> u32 {
        loop {
            let frame = self.next().expect("a frame, not the end");
            if frame.kind == RST_STREAM && frame.stream == stream {
                return code(&frame.payload);
            }
            assert!(
                !(frame.stream == stream && frame.kind == HEADERS),
                "the stream is answered"
            );
        }
    }
}

fn code(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().expect("four bytes"))
}

/// A frame's bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).expect("a frame").to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A block of fields, each as a literal that is not indexed (RFC 7541 §6.2.2).
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

/// A length with a prefix of seven bits (RFC 7541 §5.1).
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
