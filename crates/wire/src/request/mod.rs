//! Request heads.

use crate::authority::{Authority, AuthorityError};
use crate::field::{self, ConnectionOptions, Field, FieldError, FieldKind, Span};
use crate::framing::{Framing, FramingError, FramingFields};
use crate::path::PathError;
use crate::scan::{BareLineEnd, HeadEnd};
use crate::target::{Target, TargetError};
use crate::token;
use crate::version::Version;

/// Limits on a request head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Maximum bytes of the head.
    pub bytes: usize,
    /// Maximum number of fields.
    pub fields: usize,
    /// Maximum bytes of the target.
    pub target_bytes: usize,
}

impl HeadLimits {
    /// No limits.
    pub const UNLIMITED: Self = Self {
        bytes: usize::MAX,
        fields: usize::MAX,
        target_bytes: usize::MAX,
    };
}

/// A request head, as ranges of the buffer it was parsed from. Parsing another head reuses its memory.
#[derive(Debug, Default)]
pub struct RequestHead {
    method: Span,
    path: Span,
    query: Option<Span>,
    authority: Option<Span>,
    /// The host in it.
    host: Span,
    port: Option<u16>,
    fields: Vec<Field>,
    line: RequestLine,
    connection: ConnectionOptions,
    expects: bool,
    te_trailers: bool,
    /// The protocol of a valid upgrade request.
    upgrade: Option<Span>,
}

/// The target of `OPTIONS *` (RFC 9112 §3.2.4).
const SERVER: &[u8] = b"*";

/// The version, and the framing of the body.
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

/// A refused request. It never reaches a service, and its connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A line that does not end in CRLF.
    #[error(transparent)]
    LineEnd(#[from] BareLineEnd),
    /// A malformed request line.
    #[error("the request line is malformed")]
    RequestLine,
    /// A major version other than 1.
    #[error("the protocol version is not supported")]
    Version,
    /// A target over the limit.
    #[error("the request target is too long")]
    TargetTooLong,
    /// A head over the limit.
    #[error("the request head is too large")]
    HeadTooLarge,
    /// More fields than the limit.
    #[error("the request has too many header lines")]
    TooManyFields,
    /// A malformed header line.
    #[error("a header line is malformed")]
    Field,
    /// Ambiguous or unsupported framing.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// Not exactly one `Host`.
    #[error("the request does not have exactly one host header")]
    HostCount,
    /// An invalid `Host`.
    #[error("the host header is not valid: {0}")]
    Host(AuthorityError),
    /// A `Host` that differs from the authority of the target.
    #[error("the host header and the request target disagree")]
    HostDisagrees,
    /// CONNECT or TRACE, which the gateway does not implement.
    #[error("the method is not supported")]
    Method,
    /// An invalid target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The connection ended before the head did.
    #[error("the request head ended early")]
    Incomplete,
    /// A path without a safe normal form.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl RequestError {
    /// The status of the response.
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

/// Checks an incomplete head, to refuse another protocol or an oversized head early.
///
/// # Errors
/// No continuation of `bytes` could become an acceptable head.
pub fn check_partial(
    bytes: &[u8],
    first_line: Option<&[u8]>,
    limits: &HeadLimits,
) -> Result<(), RequestError> {
    // The longest registered method has 17 characters.
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

/// Splits a request line, without its CRLF, into method, target and version.
fn split_request_line<'a>(
    line: &'a [u8],
    limits: &HeadLimits,
) -> Result<(&'a [u8], &'a [u8], Version), RequestError> {
    let method_end = memchr::memchr(b' ', line).ok_or(RequestError::RequestLine)?;
    let (method, rest) = (&line[..method_end], &line[method_end + 1..]);
    let target_end = memchr::memchr(b' ', rest).ok_or(RequestError::RequestLine)?;
    let (target, version) = (&rest[..target_end], &rest[target_end + 1..]);
    // Spaces, controls and DEL are refused; bytes from 0x80 up are encoded when the path is normalised.
    if !token::is_token(method) || target.is_empty() || target.iter().any(|&b| b <= b' ' || b == 0x7f) {
        return Err(RequestError::RequestLine);
    }
    // The length comes first: without the end of its line, a target that is too long is refused for it alone.
    if target.len() > limits.target_bytes {
        return Err(RequestError::TargetTooLong);
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
    Ok((method, target, version))
}

impl RequestHead {
    /// Parses the head that `end` marks in `buffer`, replacing the previous one.
    ///
    /// # Errors
    /// The request is refused; the head must not be used.
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
                FieldKind::Host if host.is_some() => return Err(RequestError::HostCount),
                FieldKind::Host => host = Some(field.value),
                FieldKind::ContentLength => framing.add_content_length(value)?,
                FieldKind::TransferEncoding => framing.add_transfer_encoding(value)?,
                FieldKind::Connection => self.connection.add(value),
                FieldKind::Expect => self.expects = true,
                FieldKind::Upgrade => {
                    upgrades += 1;
                    self.upgrade = Some(field.value);
                }
                FieldKind::Te => {
                    let is_trailers = |coding: &[u8]| coding.eq_ignore_ascii_case(b"trailers");
                    self.te_trailers |= field::list(value).any(is_trailers);
                }
                _ => {}
            }
        }
        let framing = framing.finish(version, Framing::None)?;
        self.line = RequestLine { version, framing };
        // One protocol, in HTTP/1.1, and no body that would stand in front of it (RFC 9110 §7.8).
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

        let target = if raw_target == SERVER && method == b"OPTIONS" {
            Target {
                authority: None,
                path: raw_target,
                query: None,
            }
        } else {
            Target::parse(raw_target)?
        };
        self.authority = host;
        self.host = named.map_or(Span::default(), |named| Span::within(buffer, named.host));
        self.port = named.and_then(|authority| authority.port);
        if let Some(raw) = target.authority {
            let authority = Authority::parse(raw).map_err(|_| TargetError::Authority)?;
            if named.is_some_and(|named| !same_host(&named, &authority)) {
                return Err(RequestError::HostDisagrees);
            }
            self.authority = Some(Span::within(buffer, raw));
            self.host = Span::within(buffer, authority.host);
            self.port = authority.port;
        }
        self.query = target.query.map(|query| Span::within(buffer, query));
        // The path `/` of an absolute target without a path is not in the buffer.
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

    /// Returns true for `OPTIONS *`, which asks about the server rather than about a resource (RFC 9110 §9.3.7).
    pub fn targets_server(&self, buffer: &[u8]) -> bool {
        // Every other path begins with `/`.
        self.path.of(buffer) == SERVER
    }

    /// The path as sent; `/` where an absolute target has none, `*` where the request is for the server.
    pub fn raw_path<'b>(&self, buffer: &'b [u8]) -> &'b [u8] {
        match self.path.of(buffer) {
            [] => b"/",
            path => path,
        }
    }

    /// The query as sent: the part of the target after its first `?`.
    pub fn query<'b>(&self, buffer: &'b [u8]) -> Option<&'b [u8]> {
        self.query.map(|query| query.of(buffer))
    }

    /// The authority of an absolute target, or else `Host`, as sent; `None` only in HTTP/1.0.
    pub fn authority<'b>(&self, buffer: &'b [u8]) -> Option<&'b [u8]> {
        self.authority.map(|authority| authority.of(buffer))
    }

    /// The port of [`RequestHead::authority`].
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Appends the host in its normal form; see [`Authority::normalize_into`].
    pub fn normalize_host_into(&self, buffer: &[u8], out: &mut Vec<u8>) {
        if self.authority.is_some() {
            let host = self.host.of(buffer);
            Authority { host, port: None }.normalize_into(out);
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

    /// The framing of the body.
    pub fn framing(&self) -> Framing {
        self.line.framing
    }

    /// Marks the body as ended by its stream, as HTTP/2 frames it. A length that the head gives stays.
    pub fn set_framing_by_stream(&mut self) {
        if self.line.framing == Framing::None {
            self.line.framing = Framing::UntilClose;
        }
    }

    /// Declares an empty body, `content-length: 0`, where the head has none: methods that expect a body should send a
    /// length (RFC 9110 §8.6).
    pub fn set_empty_body(&mut self) {
        if self.line.framing == Framing::None {
            self.line.framing = Framing::Length(0);
        }
    }

    /// Returns true if the client may send another request on this connection.
    pub fn keeps_alive(&self) -> bool {
        match self.line.version {
            Version::Http11 => !self.connection.close,
            Version::Http10 => self.connection.keep_alive && !self.connection.close,
        }
    }

    /// Returns true if the request has an `Expect` field, such as `100-continue`.
    pub fn expects(&self) -> bool {
        self.expects
    }

    /// Returns true if the client accepts trailers (`TE: trailers`).
    pub fn te_trailers(&self) -> bool {
        self.te_trailers
    }

    /// The requested protocol of an upgrade, such as `websocket`.
    pub fn upgrade<'b>(&self, buffer: &'b [u8]) -> Option<&'b [u8]> {
        self.upgrade.map(|protocol| protocol.of(buffer))
    }

    /// Returns true if a `Connection` line nominates `field` as hop-by-hop.
    pub fn is_nominated(&self, buffer: &[u8], field: &Field) -> bool {
        self.connection.nominates && field::is_nominated(buffer, &self.fields, field)
    }
}

/// Returns true for an absolute target without a path.
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
