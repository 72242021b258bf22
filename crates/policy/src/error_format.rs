//! The format in which a client gets errors: text, JSON, or the status of a gRPC call.

use waypost_wire::field::{self, FieldKind};
use waypost_wire::request::RequestHead;

use crate::failure::Failure;
use crate::grpc;

/// The form in which a client reads of errors.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ErrorFormat {
    /// A sentence.
    #[default]
    Text,
    /// The same in JSON.
    Json,
    /// The status of a call of gRPC; what the call has as `content-type`.
    Grpc(Vec<u8>),
}

impl ErrorFormat {
    /// The form that a request asks for.
    pub fn of(head: &RequestHead, buffer: &[u8]) -> Self {
        match grpc::call_type(head, buffer) {
            Some(content_type) => Self::Grpc(content_type.to_vec()),
            None if wants_json(head, buffer) => Self::Json,
            None => Self::Text,
        }
    }

    /// The status of an answer in this form: that of a call that fails stands elsewhere.
    pub fn status(&self, failure: Failure) -> u16 {
        match self.call_type(failure) {
            Some(_) => 200,
            None => failure.status(),
        }
    }

    /// The `content-type` of an answer to a call. What is misdirected is said to whoever holds the connection, who then
    /// makes the call on another (RFC 9110 §15.5.20).
    pub(crate) fn call_type(&self, failure: Failure) -> Option<&[u8]> {
        match self {
            Self::Grpc(content_type) if failure != Failure::Misdirected => Some(content_type),
            _ => None,
        }
    }
}

/// Whether the client asks for JSON: an `Accept` names it, or a format made of it.
fn wants_json(head: &RequestHead, buffer: &[u8]) -> bool {
    head.fields()
        .iter()
        .filter(|field| field.kind == FieldKind::Accept)
        .any(|line| names_json(line.value.of(buffer)))
}

/// Whether one of these media ranges is JSON. Every request is asked, few fail: the usual ones are told apart at a glance.
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
    fn json_is_asked_for_by_any_range_that_names_it() {
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
