//! Response heads, read as strictly as requests.

use crate::field::{
    self, ConnectionOptions, Field, FieldError, Framing, FramingError, FramingFields, Kind, Span, Version,
};
use crate::scan::{BareLineEnd, HeadEnd};

/// Bytes of a response head in all.
pub const HEAD_BYTES_MAX: usize = 64 << 10;

/// Fields of a response head. Services are of the operator's choosing, so the bytes bound them first.
pub const FIELDS_MAX: usize = 500;

/// A response head, as ranges of the buffer it was read from. Its memory is used again for the next one.
#[derive(Debug, Default)]
pub struct ResponseHead {
    status: u16,
    reason: Span,
    fields: Vec<Field>,
    line: Option<(Version, Framing)>,
    /// Whether there is no body, though the fields tell of one.
    withholds: bool,
    connection: ConnectionOptions,
}

/// Why an answer cannot be passed on (502).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// A line that does not end in CRLF.
    #[error(transparent)]
    LineEnd(#[from] BareLineEnd),
    /// The first line is no status line.
    #[error("the status line is malformed")]
    StatusLine,
    /// The head is longer than 64 KiB.
    #[error("the response head is too large")]
    HeadTooLarge,
    /// A line is no field, or there are too many.
    #[error("a header line is malformed")]
    Field,
    /// The body's length has no one reading.
    #[error(transparent)]
    Framing(#[from] FramingError),
}

impl From<FieldError> for ResponseError {
    fn from(error: FieldError) -> Self {
        match error {
            FieldError::Malformed => Self::Field,
            FieldError::TooMany => Self::HeadTooLarge,
        }
    }
}

impl ResponseHead {
    /// Reads the head that `end` marks in `buffer`, replacing what was read before. `to_head` says whether
    /// it answers a HEAD.
    ///
    /// # Errors
    /// When the answer cannot be passed on; what was read is then not to be used.
    pub fn parse(&mut self, buffer: &[u8], end: HeadEnd, to_head: bool) -> Result<(), ResponseError> {
        if end.start != 0 {
            return Err(ResponseError::StatusLine);
        }
        let head = &buffer[..end.end];
        if head.len() > HEAD_BYTES_MAX {
            return Err(ResponseError::HeadTooLarge);
        }
        let (version, status, reason) = split_status_line(&head[..end.first_line_end])?;
        self.status = status;
        self.reason = Span::within(buffer, reason);
        field::parse(head, end.first_line_end + 2, FIELDS_MAX, &mut self.fields)?;
        self.connection = ConnectionOptions::default();
        let mut framing = FramingFields::default();
        for field in &self.fields {
            let value = field.value.of(buffer);
            match field.kind {
                Kind::ContentLength => framing.add_content_length(value)?,
                Kind::TransferEncoding => framing.add_transfer_encoding(value)?,
                Kind::Connection => self.connection.add(value),
                _ => {}
            }
        }
        let framing = framing.finish(version, Framing::UntilClose)?;
        let bodiless = to_head || status < 200 || status == 204 || status == 304;
        self.withholds = bodiless && !matches!(framing, Framing::Length(0) | Framing::UntilClose);
        self.line = Some((version, if bodiless { Framing::None } else { framing }));
        Ok(())
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase, perhaps empty.
    pub fn reason<'b>(&self, buffer: &'b [u8]) -> &'b [u8] {
        self.reason.of(buffer)
    }

    /// Whether another answer to the same request follows.
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// The fields, in order of arrival.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// How long the body is.
    pub fn framing(&self) -> Framing {
        self.line.map_or(Framing::None, |(_, framing)| framing)
    }

    /// Whether its fields tell of a body that does not follow, as in most answers to a HEAD (RFC 9110 §9.3.2).
    pub fn withholds_body(&self) -> bool {
        self.withholds
    }

    /// Says that the body, whose end the head leaves open, has ended with the head.
    pub fn has_no_body(&mut self) {
        if let Some((_, framing)) = &mut self.line {
            *framing = Framing::Length(0);
        }
    }

    /// Whether the service means to take another request on this connection.
    pub fn keeps_alive(&self) -> bool {
        let framing_keeps = self.framing() != Framing::UntilClose;
        framing_keeps
            && match self.line {
                Some((Version::Http11, _)) => !self.connection.close,
                Some((Version::Http10, _)) => self.connection.keep_alive && !self.connection.close,
                None => false,
            }
    }

    /// The protocol that a `101` changes to; `None` where it names none, or several.
    pub fn upgrade<'b>(&self, buffer: &'b [u8]) -> Option<&'b [u8]> {
        let mut lines = self.fields.iter().filter(|field| field.kind == Kind::Upgrade);
        let protocol = lines.next()?.value.of(buffer);
        (lines.next().is_none() && self.connection.upgrade).then_some(protocol)
    }

    /// Whether `field` ends at the gateway because a `Connection` line names it.
    pub fn is_nominated(&self, buffer: &[u8], field: &Field) -> bool {
        self.connection.nominates && field::is_nominated(buffer, &self.fields, field)
    }
}

/// Whether what has arrived could become a status line; anything else is refused at once.
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

#[cfg(test)]
mod tests;
