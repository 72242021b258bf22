//! The format in which a client gets errors: text, JSON, or the status of a gRPC call.

use waypost_wire::field::{self, FieldKind};
use waypost_wire::request::RequestHead;

use crate::failure::Failure;
use crate::grpc;
use crate::status::RequestStatus;

/// The format of errors for one client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ErrorFormat {
    /// Plain text.
    #[default]
    Text,
    /// JSON.
    Json,
    /// A gRPC status; the `content-type` of the call.
    Grpc(Vec<u8>),
}

impl ErrorFormat {
    /// The format that a request accepts.
    pub fn of(head: &RequestHead, buffer: &[u8]) -> Self {
        match grpc::call_type(head, buffer) {
            Some(content_type) => Self::Grpc(content_type.to_vec()),
            None if wants_json(head, buffer) => Self::Json,
            None => Self::Text,
        }
    }

    /// The status in this format: for a gRPC call HTTP's is 200, and the failure is in `grpc-status`.
    pub fn status(&self, failure: Failure) -> RequestStatus {
        match self.call_type(failure) {
            Some(_) => RequestStatus::error(failure, 200, Some(failure.grpc_code())),
            None => RequestStatus::error(failure, failure.status(), None),
        }
    }

    /// The `content-type` of the response to a gRPC call. A misdirected call gets a plain 421 instead, on which the
    /// HTTP client retries on another connection (RFC 9110 §15.5.20).
    pub(crate) fn call_type(&self, failure: Failure) -> Option<&[u8]> {
        match self {
            Self::Grpc(content_type) if failure != Failure::Misdirected => Some(content_type),
            _ => None,
        }
    }
}

/// Returns true if an `Accept` line names JSON or a `+json` type.
fn wants_json(head: &RequestHead, buffer: &[u8]) -> bool {
    head.fields()
        .iter()
        .filter(|field| field.kind == FieldKind::Accept)
        .any(|line| names_json(line.value.of(buffer)))
}

/// Returns true if one of these media ranges is JSON. This runs for every request although few fail, so common values
/// are decided quickly.
fn names_json(ranges: &[u8]) -> bool {
    const JSON: &[u8] = b"application/json";
    if let Some((first, rest)) = ranges.split_at_checked(JSON.len())
        && first.eq_ignore_ascii_case(JSON)
        && matches!(rest.first(), None | Some(b',' | b';'))
    {
        return true;
    }
    if memchr::memchr2(b'j', b'J', ranges).is_none() {
        return false;
    }
    field::list(ranges)
        .map(|range| field::trim_blanks(range.split(|&byte| byte == b';').next().unwrap_or(range)))
        .any(|range| {
            range.eq_ignore_ascii_case(JSON)
                || (range.len() > 5 && range[range.len() - 5..].eq_ignore_ascii_case(b"+json"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_json_range_selects_json() {
        for ranges in [
            "application/json",
            "Application/JSON;q=0.9, text/plain",
            "text/plain, application/json",
            "text/plain,application/problem+JSON ; q=0.5",
        ] {
            assert!(names_json(ranges.as_bytes()), "{ranges}");
        }
        for ranges in [
            "",
            "*/*",
            "text/html, image/jxl",
            "application/jsonlines",
            "application/json5, text/plain",
            "text/plain;format=json",
            "+json",
        ] {
            assert!(!names_json(ranges.as_bytes()), "{ranges}");
        }
    }
}
