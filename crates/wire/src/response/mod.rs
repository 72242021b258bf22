//! Response heads, parsed as strictly as requests.

pub mod fault;

use crate::field::{self, ConnectionOptions, Field, FieldError, FieldKind, Span};
use crate::framing::{Framing, FramingError, FramingFields};
use crate::scan::{BareLineEnd, HeadEnd};
use crate::version::Version;

/// Limits on a response head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseLimits {
    /// Maximum bytes.
    pub bytes: usize,
    /// Maximum fields. The operator chooses the services, so the byte limit is the one that matters.
    pub fields: usize,
}

impl Default for ResponseLimits {
    fn default() -> Self {
        Self {
            bytes: 64 << 10,
            fields: 500,
        }
    }
}

/// A response head, as ranges of the buffer it was parsed from. Parsing another head reuses its memory.
#[derive(Debug, Default)]
pub struct ResponseHead {
    status: u16,
    reason: Span,
    fields: Vec<Field>,
    line: Option<(Version, Framing)>,
    /// True if the fields announce a body that is not sent.
    withholds: bool,
    connection: ConnectionOptions,
}

/// A response that cannot be forwarded (502).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// A line that does not end in CRLF.
    #[error(transparent)]
    LineEnd(#[from] BareLineEnd),
    /// A malformed status line.
    #[error("the status line is malformed")]
    StatusLine,
    /// A head over the limit.
    #[error("the response head is too large")]
    HeadTooLarge,
    /// More fields than the limit.
    #[error("there are too many header lines")]
    TooManyFields,
    /// A malformed header line.
    #[error("a header line is malformed")]
    Field,
    /// Ambiguous or unsupported framing.
    #[error(transparent)]
    Framing(#[from] FramingError),
}

impl From<FieldError> for ResponseError {
    fn from(error: FieldError) -> Self {
        match error {
            FieldError::Malformed => Self::Field,
            FieldError::TooMany => Self::TooManyFields,
        }
    }
}

impl ResponseHead {
    /// Parses the head that `end` marks in `buffer`, replacing the previous one. `to_head` is true for the response to a
    /// HEAD request.
    ///
    /// # Errors
    /// The response cannot be forwarded; the head must not be used.
    pub fn parse(
        &mut self,
        buffer: &[u8],
        end: HeadEnd,
        to_head: bool,
        limits: &ResponseLimits,
    ) -> Result<(), ResponseError> {
        if end.start != 0 {
            return Err(ResponseError::StatusLine);
        }
        let head = &buffer[..end.end];
        if head.len() > limits.bytes {
            return Err(ResponseError::HeadTooLarge);
        }
        let (version, status, reason) = split_status_line(&head[..end.first_line_end])?;
        self.status = status;
        self.reason = Span::within(buffer, reason);
        field::parse(head, end.first_line_end + 2, limits.fields, &mut self.fields)?;
        self.connection = ConnectionOptions::default();
        let mut framing = FramingFields::default();
        for field in &self.fields {
            let value = field.value.of(buffer);
            match field.kind {
                FieldKind::ContentLength => framing.add_content_length(value)?,
                FieldKind::TransferEncoding => framing.add_transfer_encoding(value)?,
                FieldKind::Connection => self.connection.add(value),
                _ => {}
            }
        }
        let framing = framing.finish(version, Framing::UntilClose)?;
        let bodiless = to_head || status < 200 || status == 204 || status == 304;
        self.withholds = bodiless && !matches!(framing, Framing::Length(0) | Framing::UntilClose);
        self.line = Some((version, if bodiless { Framing::None } else { framing }));
        Ok(())
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase, possibly empty.
    pub fn reason<'b>(&self, buffer: &'b [u8]) -> &'b [u8] {
        self.reason.of(buffer)
    }

    /// Returns true for an interim response, which a final one follows.
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// The fields, in order of arrival.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The framing of the body.
    pub fn framing(&self) -> Framing {
        self.line.map_or(Framing::None, |(_, framing)| framing)
    }

    /// Returns true if the fields announce a body that is not sent, as in most responses to HEAD (RFC 9110 §9.3.2).
    pub fn withholds_body(&self) -> bool {
        self.withholds
    }

    /// Declares the body empty, for a stream that ended with a head that gives no length.
    pub fn set_no_body(&mut self) {
        if let Some((_, framing)) = &mut self.line {
            *framing = Framing::Length(0);
        }
    }

    /// Returns true if the service accepts another request on this connection.
    pub fn keeps_alive(&self) -> bool {
        let framing_keeps = self.framing() != Framing::UntilClose;
        framing_keeps
            && match self.line {
                Some((Version::Http11, _)) => !self.connection.close,
                Some((Version::Http10, _)) => self.connection.keep_alive && !self.connection.close,
                None => false,
            }
    }

    /// The protocol that a `101` switches to; `None` unless there is exactly one.
    pub fn upgrade<'b>(&self, buffer: &'b [u8]) -> Option<&'b [u8]> {
        let mut lines = self
            .fields
            .iter()
            .filter(|field| field.kind == FieldKind::Upgrade);
        let protocol = lines.next()?.value.of(buffer);
        (lines.next().is_none() && self.connection.upgrade).then_some(protocol)
    }

    /// Returns true if a `Connection` line nominates `field` as hop-by-hop.
    pub fn is_nominated(&self, buffer: &[u8], field: &Field) -> bool {
        self.connection.nominates && field::is_nominated(buffer, &self.fields, field)
    }
}

/// Returns true if `bytes` may be the beginning of a status line; anything else can be refused early.
pub fn may_begin(bytes: &[u8]) -> bool {
    let known = b"HTTP/1.";
    let length = bytes.len().min(known.len());
    bytes[..length] == known[..length]
}

fn split_status_line(line: &[u8]) -> Result<(Version, u16, &[u8]), ResponseError> {
    let [
        b'H',
        b'T',
        b'T',
        b'P',
        b'/',
        b'1',
        b'.',
        minor,
        b' ',
        a,
        b,
        c,
        rest @ ..,
    ] = line
    else {
        return Err(ResponseError::StatusLine);
    };
    let version = match minor {
        b'0' => Version::Http10,
        b'1'..=b'9' => Version::Http11,
        _ => return Err(ResponseError::StatusLine),
    };
    if ![a, b, c].iter().all(|digit| digit.is_ascii_digit()) || *a == b'0' {
        return Err(ResponseError::StatusLine);
    }
    let status = [a, b, c]
        .iter()
        .fold(0_u16, |status, digit| status * 10 + u16::from(**digit - b'0'));
    let reason = match rest {
        [] => rest,
        [b' ', reason @ ..] => reason,
        _ => return Err(ResponseError::StatusLine),
    };
    if reason
        .iter()
        .any(|&byte| (byte < b' ' && byte != b'\t') || byte == 0x7f)
    {
        return Err(ResponseError::StatusLine);
    }
    Ok((version, status, reason))
}

/// The offset of the first byte of `line` that makes it no status line.
fn status_line_fault(line: &[u8]) -> usize {
    // Each prefix that a status line can begin with, by the byte that may follow.
    let may_follow = |at: usize, byte: u8| match at {
        0..7 => byte == b"HTTP/1."[at],
        7 => byte.is_ascii_digit(),
        8 | 12 => byte == b' ',
        9 => matches!(byte, b'1'..=b'9'),
        10 | 11 => byte.is_ascii_digit(),
        _ => (byte >= b' ' || byte == b'\t') && byte != 0x7f,
    };
    let wrong = line
        .iter()
        .enumerate()
        .position(|(at, &byte)| !may_follow(at, byte));
    wrong.unwrap_or(line.len())
}

#[cfg(test)]
mod tests;
