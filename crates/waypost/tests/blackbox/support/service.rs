//! Scripted services that record every connection and every byte.

use std::io::{self, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::{Domain, SockRef, Socket, Type};

use super::PATIENCE;
use super::message::{Message, MessageReader, find};

/// A service on a free port.
#[derive(Debug)]
pub(crate) struct Service {
    name: String,
    address: SocketAddr,
    record: Arc<Record>,
    stopped: Arc<AtomicBool>,
    /// Of a refusing service: bound but not listening.
    port: Option<Socket>,
}

/// Connections and bytes that a service has received.
#[derive(Debug, Default)]
struct Record {
    /// Bytes per connection, in order of arrival.
    connections: Mutex<Vec<Vec<u8>>>,
    changed: Condvar,
}

impl Record {
    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// Responds to every request with the request as JSON.
    pub(crate) fn echo(name: &str) -> Self {
        Self::start(name, echo_all(name))
    }

    /// Like [`echo`](Self::echo), at an address that may be taken.
    pub(crate) fn echo_at(name: &str, address: impl Into<SocketAddr>) -> Option<Self> {
        let listener = TcpListener::bind(address.into()).ok()?;
        Some(Self::serve(name, listener, echo_all(name)))
    }

    /// Reads each request in full and responds with these bytes.
    pub(crate) fn responding(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        Self::scripted(move |talk| {
            while talk.request().is_some_and(|request| request.is_complete) {
                talk.send(&response);
            }
        })
    }

    /// Reads one request per connection, responds with these bytes and closes.
    pub(crate) fn responding_once(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        Self::scripted(move |talk| {
            if talk.request().is_some() {
                talk.send(&response);
            }
        })
    }

    /// Runs `script` for each connection, then closes it.
    pub(crate) fn scripted(script: impl Fn(&mut Talk) + Send + Sync + 'static) -> Self {
        Self::start("service", script)
    }

    /// Refuses connections on a port that nothing else can take.
    pub(crate) fn refusing() -> Self {
        Self::refusing_as("refusing")
    }

    /// Like [`refusing`](Self::refusing), under a name.
    pub(crate) fn refusing_as(name: &str) -> Self {
        let port = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        port.bind(&any.into()).expect("a port");
        let address = port.local_addr().expect("its address").as_socket();
        Self {
            name: name.to_owned(),
            address: address.expect("an IPv4 address"),
            record: Arc::default(),
            stopped: Arc::default(),
            port: Some(port),
        }
    }

    /// Turns a refusing service into an echo on the same port.
    pub(crate) fn recover(&mut self) {
        let port = self.port.take().expect("a refusing service");
        port.listen(128).expect("a port to listen on");
        *self = Self::serve(&self.name, port.into(), echo_all(&self.name));
    }

    /// Like [`scripted`](Self::scripted), under a name.
    pub(crate) fn named(name: &str, script: impl Fn(&mut Talk) + Send + Sync + 'static) -> Self {
        Self::start(name, script)
    }

    fn start(name: &str, script: impl Fn(&mut Talk) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        Self::serve(name, listener, script)
    }

    fn serve(name: &str, listener: TcpListener, script: impl Fn(&mut Talk) + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().expect("its address");
        let record = Arc::<Record>::default();
        let stopped = Arc::<AtomicBool>::default();
        let script = Arc::new(script);
        let (records, stop) = (Arc::clone(&record), Arc::clone(&stopped));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { return };
                let mut talk = Talk::new(stream, &records);
                let script = Arc::clone(&script);
                std::thread::spawn(move || script(&mut talk));
            }
        });
        Self {
            name: name.to_owned(),
            address,
            record,
            stopped,
            port: None,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, as a config names it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Number of connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.record.lock().len()
    }

    /// Bytes received so far, per connection.
    pub(crate) fn received(&self) -> Vec<String> {
        let connections = self.record.lock();
        connections
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .collect()
    }

    /// Waits until the received bytes satisfy `enough`.
    pub(crate) fn wait_until(&self, enough: impl Fn(&[Vec<u8>]) -> bool) {
        let until = Instant::now() + PATIENCE;
        let mut connections = self.record.lock();
        while !enough(&connections) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(left > Duration::ZERO, "the service only got {connections:?}");
            let waited = self.record.changed.wait_timeout(connections, left);
            connections = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until one connection has received `wanted`.
    pub(crate) fn wait_for(&self, wanted: &str) {
        self.wait_until(|connections| {
            connections
                .iter()
                .any(|bytes| find(bytes, wanted.as_bytes()).is_some())
        });
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

/// A gate that a script waits at, and its opener.
pub(crate) fn gate() -> (Opener, Gate) {
    let (sender, receiver) = mpsc::channel();
    (Opener(sender), Gate(Mutex::new(receiver)))
}

/// Lets one wait pass per call; all of them once dropped.
pub(crate) struct Opener(mpsc::Sender<()>);

impl Opener {
    pub(crate) fn open(&self) {
        self.0.send(()).expect("a script that waits");
    }
}

/// See [`gate`].
pub(crate) struct Gate(Mutex<mpsc::Receiver<()>>);

impl Gate {
    pub(crate) fn wait(&self) {
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).recv();
    }
}

/// A connection, as a script sees it.
pub(crate) struct Talk {
    reader: MessageReader<Recording>,
    /// Index among the service's connections, from 0.
    pub(crate) number: usize,
}

/// A reader that records what passes.
struct Recording {
    stream: TcpStream,
    record: Arc<Record>,
    number: usize,
}

impl Read for Recording {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.record.lock()[self.number].extend_from_slice(&buffer[..count]);
        self.record.changed.notify_all();
        Ok(count)
    }
}

impl Talk {
    fn new(stream: TcpStream, record: &Arc<Record>) -> Self {
        stream.set_nodelay(true).expect("an open connection");
        let number = {
            let mut connections = record.lock();
            connections.push(Vec::new());
            connections.len() - 1
        };
        record.changed.notify_all();
        Self {
            reader: MessageReader::new(Recording {
                stream,
                record: Arc::clone(record),
                number,
            }),
            number,
        }
    }

    /// Reads a request with its body; `None` if the gateway closes instead.
    pub(crate) fn request(&mut self) -> Option<Message> {
        self.reader.request()
    }

    /// Reads the head of a request only.
    pub(crate) fn request_head(&mut self) -> Option<Message> {
        self.reader.head()
    }

    /// Reads the body of a request whose head was read.
    pub(crate) fn body_of(&mut self, request: &mut Message) {
        self.reader.request_body(request);
    }

    /// Reads up to and including `wanted`.
    pub(crate) fn expect(&mut self, wanted: &str) {
        self.reader.expect(wanted.as_bytes());
    }

    /// Sends bytes, ignoring errors.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.reader.from.stream.write_all(bytes.as_ref());
    }

    /// Sends bytes; returns false if the gateway has closed.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.reader.from.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Reads and records until the gateway closes.
    pub(crate) fn read_to_end(&mut self) {
        self.reader.rest();
    }

    /// Shuts down the sending side.
    pub(crate) fn finish_sending(&mut self) {
        let _ = self.reader.from.stream.shutdown(Shutdown::Write);
    }

    /// Makes the close a reset, as after a killed process.
    pub(crate) fn reset(&mut self) {
        let _ = SockRef::from(&self.reader.from.stream).set_linger(Some(Duration::ZERO));
    }
}

/// A script that echoes every request.
fn echo_all(name: &str) -> impl Fn(&mut Talk) + Send + Sync + 'static {
    let name = name.to_owned();
    move |talk| {
        while let Some(request) = talk.request() {
            if !request.is_complete {
                return;
            }
            talk.send(echo(&name, &request));
            if request.values("connection").contains(&"close") {
                return;
            }
        }
    }
}

/// A response with the request as JSON.
pub(crate) fn echo(name: &str, request: &Message) -> Vec<u8> {
    let body = json!({
        "service": name,
        "method": request.method(),
        "target": request.target(),
        "headers": request.fields,
        "body": request.text(),
        "trailers": request.trailers,
    });
    let body = format!("{body}\n");
    let mut response = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    if request.method() != "HEAD" {
        response.push_str(&body);
    }
    response.into_bytes()
}

/// A 200 with this body.
pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
