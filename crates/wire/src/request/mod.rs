//! Request heads.

use crate::authority::{Authority, AuthorityError};
use crate::field::{
    self, ConnectionOptions, Field, FieldError, Framing, FramingError, FramingFields, Kind, Span, Version,
};
use crate::path::PathError;
use crate::scan::{BareLineEnd, HeadEnd};
use crate::target::{Target, TargetError};
use crate::token;

/// What bounds a request head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes in all.
    pub bytes: usize,
    /// Fields.
    pub fields: usize,
    /// Bytes of the target.
    pub target_bytes: usize,
}

/// A request head, as ranges of the buffer it was read from. Its memory is used again for the next one.
#[derive(Debug, Default)]
pub struct RequestHead {
    method: Span,
    path: Span,
    query: Option<Span>,
    authority: Option<Span>,
    port: Option<u16>,
    fields: Vec<Field>,
    line: RequestLine,
    connection: ConnectionOptions,
    expects: bool,
    te_trailers: bool,
    /// The protocol that the connection is to speak from now on.
    upgrade: Option<Span>,
}

/// What the rest of a request line says, and the body's length.
#[derive(Debug, Clone, Copy)]
struct RequestLine {
    version: Version,
    framing: Framing,
}

impl Default for RequestLine {
    fn default() -> Self {
        Self {
            version: Version::Http11,
            framing: Framing::None,
        }
    }
}

/// Why a request is refused. Nothing of it reaches a service, and its connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A line that does not end in CRLF.
    #[error(transparent)]
    LineEnd(#[from] BareLineEnd),
    /// The first line is no request line.
    #[error("the request line is malformed")]
    RequestLine,
    /// A major version other than 1.
    #[error("the protocol version is not supported")]
    Version,
    /// The target is longer than allowed.
    #[error("the request target is too long")]
    TargetTooLong,
    /// The head is longer than allowed.
    #[error("the request head is too large")]
    HeadTooLarge,
    /// More fields than allowed.
    #[error("the request has too many header lines")]
    TooManyFields,
    /// A line is no field.
    #[error("a header line is malformed")]
    Field,
    /// The body's length has no one reading.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// Not exactly one Host.
    #[error("the request does not have exactly one host header")]
    HostCount,
    /// A Host that is none.
    #[error("the host header is not valid: {0}")]
    Host(AuthorityError),
    /// A Host that names another host than the target.
    #[error("the host header and the request target disagree")]
    HostDisagrees,
    /// CONNECT and TRACE, which a gateway has no use for.
    #[error("the method is not supported")]
    Method,
    /// A target that is neither a path nor an absolute URL.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The connection ended within the head.
    #[error("the request head ended early")]
    Incomplete,
    /// A path without a safe normal form.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl RequestError {
    /// The status that answers it.
    pub fn status(self) -> u16 {
        match self {
            Self::Version => 505,
            Self::TargetTooLong => 414,
            Self::HeadTooLarge | Self::TooManyFields => 431,
            Self::Method | Self::Framing(FramingError::UnknownCoding) => 501,
            _ => 400,
        }
    }
}

impl From<FieldError> for RequestError {
    fn from(error: FieldError) -> Self {
        match error {
            FieldError::Malformed => Self::Field,
            FieldError::TooMany => Self::TooManyFields,
        }
    }
}

/// Checks what has arrived of a head that is not complete, so that a peer who speaks something else, or too
/// much, is told at once.
///
/// # Errors
/// When no continuation of `bytes` could become an acceptable head.
pub fn check_partial(
    bytes: &[u8],
    first_line: Option<&[u8]>,
    limits: &HeadLimits,
) -> Result<(), RequestError> {
    // The longest method anybody has registered has 16 characters.
    const BEFORE_AND_AFTER_TARGET: usize = 32 + " HTTP/1.1\r\n".len();
    match first_line {
        Some(line) => {
            split_request_line(line, limits)?;
        }
        None if bytes.len() > limits.target_bytes.saturating_add(BEFORE_AND_AFTER_TARGET) => {
            return Err(RequestError::TargetTooLong);
        }
        None => {
            let method = bytes
                .iter()
                .position(|&byte| byte == b' ')
                .map_or(bytes, |end| &bytes[..end]);
            let acceptable = |&byte: &u8| token::is_token_byte(byte) || byte == b'\r';
            if !method.iter().all(acceptable) || (method.is_empty() && !bytes.is_empty()) {
                return Err(RequestError::RequestLine);
            }
        }
    }
    if bytes.len() > limits.bytes {
        return Err(RequestError::HeadTooLarge);
    }
    Ok(())
}

/// Method, target and version of a request line without its CRLF.
fn split_request_line<'a>(
    line: &'a [u8],
    limits: &HeadLimits,
) -> Result<(&'a [u8], &'a [u8], Version), RequestError> {
    let method_end = memchr::memchr(b' ', line).ok_or(RequestError::RequestLine)?;
    let (method, rest) = (&line[..method_end], &line[method_end + 1..]);
    let target_end = memchr::memchr(b' ', rest).ok_or(RequestError::RequestLine)?;
    let (target, version) = (&rest[..target_end], &rest[target_end + 1..]);
    // Space, controls and DEL; bytes from 0x80 up are encoded when the path is normalised.
    if !token::is_token(method) || target.is_empty() || target.iter().any(|&b| b <= b' ' || b == 0x7f) {
        return Err(RequestError::RequestLine);
    }
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            if *major != b'1' {
                return Err(RequestError::Version);
            }
            Version::Http11
        }
        _ => return Err(RequestError::RequestLine),
    };
    if target.len() > limits.target_bytes {
        return Err(RequestError::TargetTooLong);
    }
    Ok((method, target, version))
}

impl RequestHead {
    /// Reads the head that `end` marks in `buffer`, replacing what was read before.
    ///
    /// # Errors
    /// When the request is refused; what was read is then not to be used.
    pub fn parse(&mut self, buffer: &[u8], end: HeadEnd, limits: &HeadLimits) -> Result<(), RequestError> {
        if end.end - end.start > limits.bytes {
            return Err(RequestError::HeadTooLarge);
        }
        let head = &buffer[..end.end];
        let line = &head[end.start..end.first_line_end];
        let (method, raw_target, version) = split_request_line(line, limits)?;
        self.method = Span::within(buffer, method);
        field::parse(head, end.first_line_end + 2, limits.fields, &mut self.fields)?;

        self.connection = ConnectionOptions::default();
        self.expects = false;
        self.te_trailers = false;
        self.upgrade = None;
        let mut upgrades = 0;
        let mut framing = FramingFields::default();
        let mut host = None;
        for field in &self.fields {
            let value = field.value.of(buffer);
            match field.kind {
                Kind::Host if host.is_some() => return Err(RequestError::HostCount),
                Kind::Host => host = Some(field.value),
                Kind::ContentLength => framing.add_content_length(value)?,
                Kind::TransferEncoding => framing.add_transfer_encoding(value)?,
                Kind::Connection => self.connection.add(value),
                Kind::Expect => self.expects = true,
                Kind::Upgrade => {
                    upgrades += 1;
                    self.upgrade = Some(field.value);
                }
                Kind::Te => {
                    let is_trailers = |coding: &[u8]| coding.eq_ignore_ascii_case(b"trailers");
                    self.te_trailers |= field::list(value).any(is_trailers);
                }
                _ => {}
            }
        }
        let framing = framing.finish(version, Framing::None)?;
        self.line = RequestLine { version, framing };
        // One protocol, in HTTP/1.1, and no body that would have to be told from what follows (RFC 9110 §7.8).
        let is_upgrade = upgrades == 1
            && self.connection.upgrade
            && version == Version::Http11
            && framing == Framing::None;
        self.upgrade = self.upgrade.filter(|protocol| {
            let name = protocol.of(buffer).split(|&byte| byte == b'/').next();
            is_upgrade && name.is_some_and(token::is_token)
        });
        if host.is_none() && version == Version::Http11 {
            return Err(RequestError::HostCount);
        }
        let named = match host {
            Some(host) => Some(Authority::parse(host.of(buffer)).map_err(RequestError::Host)?),
            None => None,
        };
        if method == b"CONNECT" || method == b"TRACE" {
            return Err(RequestError::Method);
        }

        let target = Target::parse(raw_target)?;
        self.authority = host;
        self.port = named.and_then(|authority| authority.port);
        if let Some(raw) = target.authority {
            let authority = Authority::parse(raw).map_err(|_| TargetError::Authority)?;
            if named.is_some_and(|named| !same_host(&named, &authority)) {
                return Err(RequestError::HostDisagrees);
            }
            self.authority = Some(Span::within(buffer, raw));
            self.port = authority.port;
        }
        self.query = target.query.map(|query| Span::within(buffer, query));
        // An absolute target without a path has the path `/`, which stands nowhere in the buffer.
        self.path = if is_implied_path(raw_target, &target) {
            Span::default()
        } else {
            Span::within(buffer, target.path)
        };
        Ok(())
    }

    /// The method.
    pub fn method<'b>(&self, buffer: &'b [u8]) -> &'b [u8] {
        self.method.of(buffer)
    }

    /// The path as sent; `/` where an absolute target has none.
    pub fn raw_path<'b>(&self, buffer: &'b [u8]) -> &'b [u8] {
        match self.path.of(buffer) {
            [] => b"/",
            path => path,
        }
    }

    /// What follows the first `?` of the target, byte for byte.
    pub fn query<'b>(&self, buffer: &'b [u8]) -> Option<&'b [u8]> {
        self.query.map(|query| query.of(buffer))
    }

    /// The authority of an absolute target, else Host, as sent; `None` only in HTTP/1.0.
    pub fn authority<'b>(&self, buffer: &'b [u8]) -> Option<&'b [u8]> {
        self.authority.map(|authority| authority.of(buffer))
    }

    /// The port of [`RequestHead::authority`].
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Appends the host as routing goes by it: lower-case, without port and one trailing dot.
    pub fn normalize_host_into(&self, buffer: &[u8], out: &mut Vec<u8>) {
        if let Some(Ok(authority)) = self.authority(buffer).map(Authority::parse) {
            authority.normalize_into(out);
        }
    }

    /// The fields, in order of arrival.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.line.version
    }

    /// How long the body is.
    pub fn framing(&self) -> Framing {
        self.line.framing
    }

    /// Says how long the body is where the head cannot: in HTTP/2, where frames say it. What `content-length` says stays.
    pub fn is_framed(&mut self, has_body: bool) {
        if self.line.framing == Framing::None && has_body {
            self.line.framing = Framing::UntilClose;
        }
    }

    /// Says that the body is empty rather than not there, for methods of which HTTP/1.1 wants to hear it
    /// (RFC 9110 §8.6).
    pub fn has_empty_body(&mut self) {
        if self.line.framing == Framing::None {
            self.line.framing = Framing::Length(0);
        }
    }

    /// Whether the client means to send another request on this connection.
    pub fn keeps_alive(&self) -> bool {
        match self.line.version {
            Version::Http11 => !self.connection.close,
            Version::Http10 => self.connection.keep_alive && !self.connection.close,
        }
    }

    /// Whether the client waits for a `100 Continue`, or expects anything else.
    pub fn expects(&self) -> bool {
        self.expects
    }

    /// Whether the client takes trailers.
    pub fn te_trailers(&self) -> bool {
        self.te_trailers
    }

    /// The one protocol that the client means to speak on this connection from now on, such as `websocket`.
    pub fn upgrade<'b>(&self, buffer: &'b [u8]) -> Option<&'b [u8]> {
        self.upgrade.map(|protocol| protocol.of(buffer))
    }

    /// Whether `field` ends at the gateway because a `Connection` line names it.
    pub fn is_nominated(&self, buffer: &[u8], field: &Field) -> bool {
        self.connection.nominates && field::is_nominated(buffer, &self.fields, field)
    }
}

/// Whether the path `/` of an absolute target is not written in it.
fn is_implied_path(raw_target: &[u8], target: &Target<'_>) -> bool {
    let Some(authority) = target.authority else {
        return false;
    };
    let authority_end = Span::within(raw_target, authority).end as usize;
    raw_target.get(authority_end) != Some(&b'/')
}

fn same_host(a: &Authority<'_>, b: &Authority<'_>) -> bool {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    a.normalize_into(&mut left);
    b.normalize_into(&mut right);
    left == right
}

#[cfg(test)]
mod tests;
