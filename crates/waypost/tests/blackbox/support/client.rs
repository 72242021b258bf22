//! A raw HTTP/1 client.

use std::io::{self, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::PATIENCE;
use super::message::{Framing, Message, MessageReader};

/// A client connection.
#[derive(Debug)]
pub(crate) struct Client {
    reader: MessageReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"))
    }

    pub(crate) fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            reader: MessageReader::new(stream),
        })
    }

    /// Sends bytes. Write errors are ignored: the response says why the gateway closed.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.reader.from.write_all(bytes.as_ref());
        self
    }

    /// Its own port.
    pub(crate) fn port(&self) -> u16 {
        self.reader.from.local_addr().expect("a connection").port()
    }

    /// Shuts down the sending side.
    pub(crate) fn finish_sending(&mut self) -> &mut Self {
        let _ = self.reader.from.shutdown(Shutdown::Write);
        self
    }

    /// Closes with a reset. A plain close could also be a client that only stops sending.
    pub(crate) fn reset(self) {
        let _ = SockRef::from(&self.reader.from).set_linger(Some(Duration::ZERO));
    }

    /// Reads the response to a method other than HEAD.
    pub(crate) fn response(&mut self) -> Message {
        self.reader.response(false).expect("a response, not the end")
    }

    /// Reads the response to HEAD.
    pub(crate) fn response_to_head(&mut self) -> Message {
        self.reader.response(true).expect("a response, not the end")
    }

    /// Reads the head of a response only.
    pub(crate) fn response_head(&mut self) -> Message {
        self.reader.head().expect("a response, not the end")
    }

    /// Reads a response; `None` if the connection ends instead.
    pub(crate) fn try_response(&mut self) -> Option<Message> {
        self.reader.response(false)
    }

    /// Reads up to and including `wanted`.
    pub(crate) fn expect(&mut self, wanted: &str) -> &mut Self {
        self.reader.expect(wanted.as_bytes());
        self
    }

    /// Reads up to and including `wanted`, and returns it all.
    pub(crate) fn text_to(&mut self, wanted: &str) -> String {
        String::from_utf8_lossy(&self.reader.expect(wanted.as_bytes())).into_owned()
    }

    /// Reads to the end of the connection.
    pub(crate) fn rest(&mut self) -> String {
        String::from_utf8_lossy(&self.reader.rest()).into_owned()
    }

    /// Sends a request and reads its response.
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.send(request).response()
    }

    /// Sends a request and reads its response; `None` if the connection ends instead.
    pub(crate) fn try_ask(&mut self, request: &str) -> Option<Message> {
        self.send(request).try_response()
    }

    /// Reads to the end of the connection; true if it was closed rather than reset.
    pub(crate) fn rest_and_end(&mut self) -> (String, bool) {
        let (bytes, orderly) = self.reader.rest_and_end();
        (String::from_utf8_lossy(&bytes).into_owned(), orderly)
    }

    /// Discards the body of the next response in small reads; returns its length.
    pub(crate) fn count_in_small_reads(&mut self) -> usize {
        let Framing::Length(length) = self.response_head().announced().unwrap_or_default() else {
            return 0;
        };
        self.reader.skip(length)
    }

    /// Sends a GET and reads its response.
    pub(crate) fn get(&mut self, url: &str) -> Message {
        self.ask(get(url))
    }

    /// Asserts that the gateway closes the connection without another byte.
    pub(crate) fn assert_closed(&mut self) {
        assert_eq!(self.rest(), "", "nothing comes any more");
    }
}

/// Serializes a GET; the URL is `http://host/path`.
pub(crate) fn get(url: &str) -> String {
    request("GET", url, "")
}

/// Serializes a request without a body; each line in `fields` ends in CRLF.
pub(crate) fn request(method: &str, url: &str, fields: &str) -> String {
    let rest = url.strip_prefix("http://").expect("a whole URL");
    let (host, target) = rest.split_at(rest.find('/').expect("a URL with a path"));
    format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")
}

/// Serializes a request without a body as `waypost explain` and `tests` read it: the URL is sent verbatim, a `host`
/// header replaces its host, and a request with neither is HTTP/1.0.
pub(crate) fn written(method: &str, url: &str, headers: &[(String, String)]) -> String {
    let (host, target, is_11) = split(url, headers);
    let version = if is_11 { "1.1" } else { "1.0" };
    let mut bytes = format!("{method} {target} HTTP/{version}\r\n");
    if let Some(host) = host {
        bytes += &format!("Host: {host}\r\n");
    }
    for (name, value) in headers {
        bytes += &format!("{name}: {value}\r\n");
    }
    bytes + "\r\n"
}

/// Splits a URL into its host, unless a header replaces it, and its request target; true for HTTP/1.1.
pub(crate) fn split<'u>(url: &'u str, headers: &[(String, String)]) -> (Option<&'u str>, String, bool) {
    let given = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    let Some(rest) = url.strip_prefix("http://") else {
        return (None, url.to_owned(), given);
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(end);
    let slash = if target.starts_with('/') { "" } else { "/" };
    ((!given).then_some(host), format!("{slash}{target}"), true)
}
