//! The fields of a head: ranges of the buffer, and which of them mean something to a gateway.

use crate::token;

/// A range of the buffer that a head was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes of `buffer` in this range.
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.start as usize..self.end as usize]
    }

    /// Where `part`, a slice of `buffer`, stands in it.
    pub(crate) fn within(buffer: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(buffer.as_ptr().addr());
        debug_assert!(start + part.len() <= buffer.len());
        Self {
            start: start as u32,
            end: (start + part.len()) as u32,
        }
    }
}

/// One line of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The name, a token.
    pub name: Span,
    /// The value, without blanks around it.
    pub value: Span,
    /// What the name means to a gateway.
    pub kind: Kind,
}

/// The fields that mean something to a gateway; names compare without case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any other field: it travels on.
    Other,
    /// `Host`.
    Host,
    /// `Content-Length`.
    ContentLength,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Connection`.
    Connection,
    /// `TE`, of which only `trailers` travels on.
    Te,
    /// `Upgrade`, which travels on only where a route lets it.
    Upgrade,
    /// Means something for one connection only: `Keep-Alive`, `Proxy-Connection`, `HTTP2-Settings`,
    /// `Proxy-Authenticate`, `Proxy-Authorization`.
    HopByHop,
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `X-Forwarded-Proto`.
    XForwardedProto,
    /// `X-Forwarded-Host`.
    XForwardedHost,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Real-IP`.
    XRealIp,
    /// `X-Forwarded-Client-Cert`.
    XForwardedClientCert,
    /// `Expect`.
    Expect,
    /// `Authorization` or `Cookie`, which `Connection` cannot name.
    Credentials,
    /// `Accept`.
    Accept,
    /// `Content-Type`.
    ContentType,
    /// `Date`, which an answer is given where it has none.
    Date,
}

impl Kind {
    fn of(name: &[u8]) -> Self {
        // By length and first letter: of the headers that clients really send, most are decided by them alone.
        let Some(first) = name.first() else {
            return Self::Other;
        };
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match (name.len(), first | 0x20) {
            (2, b't') if is("te") => Self::Te,
            (4, b'h') if is("host") => Self::Host,
            (4, b'd') if is("date") => Self::Date,
            (6, b'a') if is("accept") => Self::Accept,
            (6, b'c') if is("cookie") => Self::Credentials,
            (6, b'e') if is("expect") => Self::Expect,
            (7, b'u') if is("upgrade") => Self::Upgrade,
            (9, b'x') if is("x-real-ip") => Self::XRealIp,
            (9, b'f') if is("forwarded") => Self::Forwarded,
            (10, b'c') if is("connection") => Self::Connection,
            (10, b'k') if is("keep-alive") => Self::HopByHop,
            (12, b'c') if is("content-type") => Self::ContentType,
            (13, b'a') if is("authorization") => Self::Credentials,
            (14, b'c') if is("content-length") => Self::ContentLength,
            (14, b'h') if is("http2-settings") => Self::HopByHop,
            (15, b'x') if is("x-forwarded-for") => Self::XForwardedFor,
            (16, b'x') if is("x-forwarded-host") => Self::XForwardedHost,
            (16, b'p') if is("proxy-connection") => Self::HopByHop,
            (17, b'x') if is("x-forwarded-proto") => Self::XForwardedProto,
            (17, b't') if is("transfer-encoding") => Self::TransferEncoding,
            (18, b'p') if is("proxy-authenticate") => Self::HopByHop,
            (19, b'p') if is("proxy-authorization") => Self::HopByHop,
            (23, b'x') if is("x-forwarded-client-cert") => Self::XForwardedClientCert,
            _ => Self::Other,
        }
    }

    /// Whether `Connection` can name such a field, so that it ends at the gateway.
    fn may_be_nominated(self, name: &[u8]) -> bool {
        match self {
            Self::Other => {
                let forwarded = name.len() > 12 && name[..12].eq_ignore_ascii_case(b"x-forwarded-");
                !forwarded && !name.eq_ignore_ascii_case(b"trailer")
            }
            Self::Expect
            | Self::Accept
            | Self::ContentType
            | Self::Date
            | Self::Te
            | Self::Upgrade
            | Self::HopByHop => true,
            _ => false,
        }
    }
}

/// Why the fields of a head cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// A line that is no field: no colon, a blank in front of the colon, a folded line, a control character.
    #[error("a header line is malformed")]
    Malformed,
    /// More lines than allowed.
    #[error("there are too many header lines")]
    TooMany,
}

/// How many fields are read without a second attempt; ordinary requests have fewer.
const USUAL: usize = 32;

/// Reads the field lines from `from` up to the end of `head`, which holds the empty line, into `fields`.
///
/// # Errors
/// When a line is no field, or there are more than `fields_max`.
pub fn parse(head: &[u8], from: usize, fields_max: usize, fields: &mut Vec<Field>) -> Result<(), FieldError> {
    fields.clear();
    let lines = &head[from..];
    let mut usual = [httparse::EMPTY_HEADER; USUAL];
    match parse_lines(head, lines, &mut usual[..USUAL.min(fields_max)], fields) {
        Err(FieldError::TooMany) if fields_max > USUAL => {
            let mut many = vec![httparse::EMPTY_HEADER; fields_max];
            parse_lines(head, lines, &mut many, fields)
        }
        result => result,
    }
}

fn parse_lines<'b>(
    head: &'b [u8],
    lines: &'b [u8],
    space: &mut [httparse::Header<'b>],
    fields: &mut Vec<Field>,
) -> Result<(), FieldError> {
    let found = match httparse::parse_headers(lines, space) {
        Ok(httparse::Status::Complete((read, found))) if read == lines.len() => found,
        Err(httparse::Error::TooManyHeaders) => return Err(FieldError::TooMany),
        Ok(_) | Err(_) => return Err(FieldError::Malformed),
    };
    fields.extend(found.iter().map(|header| Field {
        name: Span::within(head, header.name.as_bytes()),
        value: Span::within(head, trim_blanks(header.value)),
        kind: Kind::of(header.name.as_bytes()),
    }));
    Ok(())
}

/// `value` without the blanks around it (RFC 9110 §5.6.3: space and tab only).
pub fn trim_blanks(value: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value
        .iter()
        .position(|byte| !is_blank(byte))
        .unwrap_or(value.len());
    let end = value
        .iter()
        .rposition(|byte| !is_blank(byte))
        .map_or(start, |last| last + 1);
    &value[start..end]
}

/// The elements of a comma-separated list, trimmed, empty ones left out (RFC 9110 §5.6.1).
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(trim_blanks)
        .filter(|element| !element.is_empty())
}

/// What the `Connection` lines of a message say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionOptions {
    /// `close`.
    pub close: bool,
    /// `keep-alive`.
    pub keep_alive: bool,
    /// `upgrade`.
    pub upgrade: bool,
    /// Some other name than these, `te` and `upgrade`: a field that ends here.
    pub nominates: bool,
}

impl ConnectionOptions {
    /// Adds what one line says.
    pub(crate) fn add(&mut self, value: &[u8]) {
        for option in list(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else if !option.eq_ignore_ascii_case(b"te") {
                self.nominates = true;
            }
        }
    }
}

/// Whether a `Connection` line among `fields` names `field`, so that it ends at the gateway.
pub fn is_nominated(buffer: &[u8], fields: &[Field], field: &Field) -> bool {
    let name = field.name.of(buffer);
    field.kind.may_be_nominated(name)
        && fields
            .iter()
            .filter(|other| other.kind == Kind::Connection)
            .flat_map(|line| list(line.value.of(buffer)))
            .any(|option| option.eq_ignore_ascii_case(name))
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// This many bytes.
    Length(u64),
    /// As its chunks say.
    Chunked,
    /// Until the connection ends; answers only.
    UntilClose,
}

/// Why a message's length has no one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// `Content-Length` and `Transfer-Encoding` together.
    #[error("content-length and transfer-encoding stand together")]
    Both,
    /// `Content-Length` that is not one number.
    #[error("content-length is not one number")]
    ContentLength,
    /// `Transfer-Encoding` that is not exactly one `chunked`, or in HTTP/1.0.
    #[error("transfer-encoding is not exactly one `chunked`")]
    TransferEncoding,
    /// A transfer coding beside `chunked`.
    #[error("a transfer coding is not supported")]
    UnknownCoding,
}

/// Collects what says how long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct FramingFields {
    content_length: Option<u64>,
    chunked: bool,
}

impl FramingFields {
    pub(crate) fn add_content_length(&mut self, value: &[u8]) -> Result<(), FramingError> {
        let digits_only = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        if self.content_length.is_some() || !digits_only {
            return Err(FramingError::ContentLength);
        }
        let length = value.iter().try_fold(0_u64, |length, digit| {
            length.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        });
        // A length that no signed counter of a service can hold is as good as an overflow.
        let length = length.filter(|&length| i64::try_from(length).is_ok());
        self.content_length = Some(length.ok_or(FramingError::ContentLength)?);
        Ok(())
    }

    pub(crate) fn add_transfer_encoding(&mut self, value: &[u8]) -> Result<(), FramingError> {
        if !self.chunked && value.eq_ignore_ascii_case(b"chunked") {
            self.chunked = true;
            return Ok(());
        }
        let unknown = |coding: &[u8]| token::is_token(coding) && !coding.eq_ignore_ascii_case(b"chunked");
        if !self.chunked && list(value).all(token::is_token) && list(value).any(unknown) {
            return Err(FramingError::UnknownCoding);
        }
        Err(FramingError::TransferEncoding)
    }

    /// The framing that the fields give; `otherwise` where they say nothing.
    pub(crate) fn finish(self, version: Version, otherwise: Framing) -> Result<Framing, FramingError> {
        match (self.content_length, self.chunked) {
            (Some(_), true) => Err(FramingError::Both),
            (None, true) if version == Version::Http10 => Err(FramingError::TransferEncoding),
            (None, true) => Ok(Framing::Chunked),
            (Some(length), false) => Ok(Framing::Length(length)),
            (None, false) => Ok(otherwise),
        }
    }
}

/// The version of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1, or a later 1.x, which is spoken as 1.1 (RFC 9110 §2.5).
    Http11,
}
