//! A lenient HTTP/1 reader: it keeps what a strict one would reject.

use std::io::{self, Read};

/// A message with its body, complete or truncated.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    /// The request line or status line.
    pub(crate) first_line: String,
    pub(crate) fields: Vec<(String, String)>,
    /// The raw head, including the empty line.
    pub(crate) head: String,
    /// The decoded body.
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) framing: Framing,
    /// True if the body ended as its framing requires.
    pub(crate) is_complete: bool,
}

/// Delimiter of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Framing {
    #[default]
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

impl Message {
    /// Values of all lines of a field.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        self.fields
            .iter()
            .filter(|(line, _)| line.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// Value of a field; panics if it occurs more than once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let values = self.values(name);
        assert!(
            values.len() <= 1,
            "`{name}` comes {} times in {}",
            values.len(),
            self.head
        );
        values.first().copied()
    }

    pub(crate) fn status(&self) -> u16 {
        let code = self
            .first_line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok());
        code.unwrap_or_else(|| panic!("no status in `{}`", self.first_line))
    }

    pub(crate) fn method(&self) -> &str {
        self.first_line.split(' ').next().unwrap_or_default()
    }

    pub(crate) fn target(&self) -> &str {
        self.first_line.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// Framing of a request.
    fn request_framing(&self) -> Framing {
        self.announced().unwrap_or(Framing::None)
    }

    /// Framing of a response; `to_head` if it responds to HEAD.
    fn response_framing(&self, to_head: bool) -> Framing {
        let status = self.status();
        if to_head || status < 200 || status == 204 || status == 304 {
            return Framing::None;
        }
        self.announced().unwrap_or(Framing::UntilClose)
    }

    /// Framing announced by the fields.
    pub(crate) fn announced(&self) -> Option<Framing> {
        if !self.values("transfer-encoding").is_empty() {
            return Some(Framing::Chunked);
        }
        let length = self.values("content-length").first()?.parse().ok()?;
        Some(Framing::Length(length))
    }
}

/// Reads messages from a connection.
#[derive(Debug)]
pub(crate) struct MessageReader<R> {
    pub(crate) from: R,
    buffer: Vec<u8>,
}

impl<R: Read> MessageReader<R> {
    pub(crate) fn new(from: R) -> Self {
        Self {
            from,
            buffer: Vec::new(),
        }
    }

    /// Reads a request. `None` if the connection ends before its head is complete.
    pub(crate) fn request(&mut self) -> Option<Message> {
        let mut message = self.head()?;
        self.request_body(&mut message);
        Some(message)
    }

    /// Reads the body of a request.
    pub(crate) fn request_body(&mut self, message: &mut Message) {
        message.framing = message.request_framing();
        self.body(message);
    }

    /// Reads a head only.
    pub(crate) fn head(&mut self) -> Option<Message> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            self.fill()?;
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.split("\r\n");
        let first_line = lines.next().unwrap_or_default().to_owned();
        Some(Message {
            first_line,
            fields: fields(lines),
            head,
            ..Message::default()
        })
    }

    /// Reads a response, interim or final. `None` if the connection ends before its head is complete.
    pub(crate) fn response(&mut self, to_head: bool) -> Option<Message> {
        let mut message = self.head()?;
        message.framing = message.response_framing(to_head);
        self.body(&mut message);
        Some(message)
    }

    /// Reads to the end of the connection, closed or reset.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        self.rest_and_end().0
    }

    /// Reads to the end of the connection; true if it was closed rather than reset.
    pub(crate) fn rest_and_end(&mut self) -> (Vec<u8>, bool) {
        let orderly = self.read_to_end();
        (std::mem::take(&mut self.buffer), orderly)
    }

    /// Discards up to `length` bytes in small reads; returns their count.
    pub(crate) fn skip(&mut self, length: usize) -> usize {
        let mut come = self.buffer.len().min(length);
        self.buffer.drain(..come);
        let mut bytes = [0; 4 << 10];
        while come < length {
            match self.from.read(&mut bytes) {
                Ok(count) if count > 0 => come += count,
                _ => break,
            }
        }
        come
    }

    fn read_to_end(&mut self) -> bool {
        loop {
            match self.read() {
                Ok(0) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    /// Reads up to and including `wanted`; returns what came.
    pub(crate) fn expect(&mut self, wanted: &[u8]) -> Vec<u8> {
        while find(&self.buffer, wanted).is_none() {
            let more = self.fill();
            assert!(
                more.is_some(),
                "the connection ended before {:?}; it gave {:?}",
                String::from_utf8_lossy(wanted),
                String::from_utf8_lossy(&self.buffer)
            );
        }
        let end = find(&self.buffer, wanted).map_or(0, |at| at + wanted.len());
        self.buffer.drain(..end).collect()
    }

    fn body(&mut self, message: &mut Message) {
        message.is_complete = match message.framing {
            Framing::None => true,
            Framing::Length(length) => {
                let complete = self.fill_to(length);
                let come = self.buffer.len().min(length);
                message.body.extend(self.buffer.drain(..come));
                complete
            }
            Framing::Chunked => self.chunks(message).is_some(),
            Framing::UntilClose => {
                let ends = self.read_to_end();
                message.body.append(&mut self.buffer);
                ends
            }
        };
    }

    /// `None` if the connection ends before the last chunk and its trailers.
    fn chunks(&mut self, message: &mut Message) -> Option<()> {
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default();
            let size =
                usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("`{line}` is no chunk size"));
            if size == 0 {
                break;
            }
            let whole = self.fill_to(size);
            let come = self.buffer.len().min(size);
            message.body.extend(self.buffer.drain(..come));
            if !whole {
                return None;
            }
            assert_eq!(self.line()?, "", "a chunk ends with its size");
        }
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                message.trailers = fields(lines.iter().map(String::as_str));
                return Some(());
            }
            lines.push(line);
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Some(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            self.fill()?;
        }
    }

    fn fill_to(&mut self, length: usize) -> bool {
        while self.buffer.len() < length {
            if self.fill().is_none() {
                return false;
            }
        }
        true
    }

    /// `None` at the end of the connection, closed or reset.
    fn fill(&mut self) -> Option<()> {
        self.read().ok().filter(|count| *count > 0).map(|_| ())
    }

    fn read(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 16 << 10];
        let read = self.from.read(&mut bytes);
        if let Err(error) = &read {
            let waited = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
            assert!(
                !waited,
                "nothing came for long; before that {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        }
        let count = read?;
        self.buffer.extend_from_slice(&bytes[..count]);
        Ok(count)
    }
}

fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    lines
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            (name.to_owned(), value.trim().to_owned())
        })
        .collect()
}

/// Offset of `wanted` in `bytes`.
pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The request fields that an echoing service received, without those that a gateway always adds.
pub(crate) fn seen(response: &Message) -> Vec<(String, String)> {
    let added = [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "forwarded",
        "x-real-ip",
    ];
    let fields = response.json()["headers"].clone();
    let fields: Vec<(String, String)> = serde_json::from_value(fields).unwrap();
    fields
        .into_iter()
        .map(|(name, value)| (name.to_lowercase(), value))
        .filter(|(name, _)| !added.contains(&name.as_str()))
        .collect()
}

pub(crate) fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
