//! A service under the test's control: it records every connection and every byte, and answers as it is told.

use std::io::{self, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::{Domain, SockRef, Socket, Type};

use super::PATIENCE;
use super::message::{Message, MessageReader, find};

/// A service that listens on a port of its own.
#[derive(Debug)]
pub(crate) struct Service {
    name: String,
    address: SocketAddr,
    record: Arc<Record>,
    stopped: Arc<AtomicBool>,
    /// Of a service that is not there: it holds the port, and refuses connections.
    _port: Option<Socket>,
}

/// What has reached a service.
#[derive(Debug, Default)]
struct Record {
    /// The bytes of each connection, in order of arrival.
    connections: Mutex<Vec<Vec<u8>>>,
    changed: Condvar,
}

impl Record {
    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// A service that answers every request with what it was asked, as JSON.
    pub(crate) fn echo(name: &str) -> Self {
        let echoed = name.to_owned();
        Self::start(name, move |talk| {
            while let Some(request) = talk.request() {
                if !request.is_complete {
                    return;
                }
                talk.send(echo(&echoed, &request));
                if request.values("connection").contains(&"close") {
                    return;
                }
            }
        })
    }

    /// A service that reads each request to its end, and answers these bytes.
    pub(crate) fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::scripted(move |talk| {
            while talk.request().is_some_and(|request| request.is_complete) {
                talk.send(&answer);
            }
        })
    }

    /// A service that reads one request, answers these bytes, and closes the connection.
    pub(crate) fn answering_once(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::scripted(move |talk| {
            if talk.request().is_some() {
                talk.send(&answer);
            }
        })
    }

    /// A service that does as `script` says with each connection, and then closes it.
    pub(crate) fn scripted(script: impl Fn(&mut Talk) + Send + Sync + 'static) -> Self {
        Self::start("service", script)
    }

    /// A service that is down: its port is taken, but refuses connections.
    pub(crate) fn refusing() -> Self {
        let port = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        port.bind(&any.into()).expect("a port");
        let address = port.local_addr().expect("its address").as_socket();
        Self {
            name: "refusing".to_owned(),
            address: address.expect("an IPv4 address"),
            record: Arc::default(),
            stopped: Arc::default(),
            _port: Some(port),
        }
    }

    /// A service with a name that does as `script` says with each connection.
    pub(crate) fn named(name: &str, script: impl Fn(&mut Talk) + Send + Sync + 'static) -> Self {
        Self::start(name, script)
    }

    fn start(name: &str, script: impl Fn(&mut Talk) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
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
            _port: None,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What of the configuration says where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections it has got.
    pub(crate) fn connections(&self) -> usize {
        self.record.lock().len()
    }

    /// All that it has got, connection by connection.
    pub(crate) fn received(&self) -> Vec<String> {
        let connections = self.record.lock();
        connections
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .collect()
    }

    /// Waits until `enough` holds for what it has got.
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

    /// Waits until some connection has got these bytes.
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
        // So that the thread that accepts sees it.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

/// A connection of a service, in the hands of its script.
pub(crate) struct Talk {
    reader: MessageReader<Recording>,
    /// Which connection of its service it is, counted from 0.
    pub(crate) number: usize,
}

/// Bytes on their way in, noted down.
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

    /// The next request with its body; `None` when the gateway closes instead.
    pub(crate) fn request(&mut self) -> Option<Message> {
        self.reader.request()
    }

    /// The head of the next request, its body left to be read.
    pub(crate) fn request_head(&mut self) -> Option<Message> {
        self.reader.head()
    }

    /// Reads until these bytes have come.
    pub(crate) fn expect(&mut self, wanted: &str) {
        self.reader.expect(wanted.as_bytes());
    }

    /// Sends bytes; a gateway that has closed is the test's business, not the service's.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.reader.from.stream.write_all(bytes.as_ref());
    }

    /// Sends bytes, unless the gateway takes no more.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.reader.from.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Reads, and notes down, until the gateway closes.
    pub(crate) fn read_to_end(&mut self) {
        self.reader.rest();
    }

    /// Ends the sending side.
    pub(crate) fn finish_sending(&mut self) {
        let _ = self.reader.from.stream.shutdown(Shutdown::Write);
    }

    /// Lets the connection end by a reset, as that of a killed process may.
    pub(crate) fn reset(&mut self) {
        let _ = SockRef::from(&self.reader.from.stream).set_linger(Some(Duration::ZERO));
    }
}

/// An answer that says what was asked.
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
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    if request.method() != "HEAD" {
        answer.push_str(&body);
    }
    answer.into_bytes()
}

/// An answer with this body and its length.
pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
