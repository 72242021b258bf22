//! A client that sends bytes as they stand.

use std::io::{self, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::PATIENCE;
use super::message::{Framing, Message, MessageReader};

/// A client's connection.
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

    /// Sends bytes. A peer that has closed already is not a failure: what it answered shows why.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.reader.from.write_all(bytes.as_ref());
        self
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish_sending(&mut self) -> &mut Self {
        let _ = self.reader.from.shutdown(Shutdown::Write);
        self
    }

    /// Leaves at once, with a reset: an orderly end could also be that of somebody who only asks no more.
    pub(crate) fn reset(self) {
        let _ = SockRef::from(&self.reader.from).set_linger(Some(Duration::ZERO));
    }

    /// The next answer, to anything but HEAD.
    pub(crate) fn answer(&mut self) -> Message {
        self.reader.answer(false).expect("an answer, not the end")
    }

    /// The next answer, to a HEAD.
    pub(crate) fn answer_to_head(&mut self) -> Message {
        self.reader.answer(true).expect("an answer, not the end")
    }

    /// The head of the next answer, its body left to be read.
    pub(crate) fn answer_head(&mut self) -> Message {
        self.reader.head().expect("an answer, not the end")
    }

    /// The next answer, or `None` when the connection ends instead.
    pub(crate) fn try_answer(&mut self) -> Option<Message> {
        self.reader.answer(false)
    }

    /// Reads until `wanted` has come.
    pub(crate) fn expect(&mut self, wanted: &str) -> &mut Self {
        self.reader.expect(wanted.as_bytes());
        self
    }

    /// Everything up to the end of the connection.
    pub(crate) fn rest(&mut self) -> String {
        String::from_utf8_lossy(&self.reader.rest()).into_owned()
    }

    /// Sends a request, and reads its answer.
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.send(request).answer()
    }

    /// Sends a request; its answer, or `None` when the connection has ended instead.
    pub(crate) fn try_answer_to(&mut self, request: &str) -> Option<Message> {
        self.send(request).try_answer()
    }

    /// Everything up to the end of the connection, and whether that was an orderly end and no reset.
    pub(crate) fn rest_and_end(&mut self) -> (String, bool) {
        let (bytes, orderly) = self.reader.rest_and_end();
        (String::from_utf8_lossy(&bytes).into_owned(), orderly)
    }

    /// How many bytes the next answer's body has, read a little at a time and thrown away.
    pub(crate) fn count_in_small_reads(&mut self) -> usize {
        let Framing::Length(length) = self.answer_head().announced().unwrap_or_default() else {
            return 0;
        };
        self.reader.skip(length)
    }

    /// Sends a plain GET, and reads its answer.
    pub(crate) fn get(&mut self, url: &str) -> Message {
        self.ask(get(url))
    }

    /// Fails unless the gateway closes the connection without another byte.
    pub(crate) fn assert_closed(&mut self) {
        assert_eq!(self.rest(), "", "nothing comes any more");
    }
}

/// The bytes of a plain GET; the URL is `http://host/path`.
pub(crate) fn get(url: &str) -> String {
    request("GET", url, "")
}

/// The bytes of a request without body; `fields` are whole lines with their line ends.
pub(crate) fn request(method: &str, url: &str, fields: &str) -> String {
    let rest = url.strip_prefix("http://").expect("a whole URL");
    let (host, target) = rest.split_at(rest.find('/').expect("a URL with a path"));
    format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")
}

/// The bytes of a request without body as the command line and tests have it: the URL goes onto the wire byte
/// for byte, a `host` among the headers replaces its host, and without either it is HTTP/1.0.
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

/// The host that the URL names, unless a header replaces it; what stands in the request line; and whether the
/// request is HTTP/1.1.
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
