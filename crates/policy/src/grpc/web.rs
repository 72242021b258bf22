//! gRPC-Web, the variant of gRPC for browsers.
//!
//! Messages are the same as in gRPC. Trailers, which browsers do not expose, are sent as a last frame of the body. The
//! text form encodes the whole body in base64.

use crate::grpc::{is_end, rest_of};

/// The encoding of a call's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebForm {
    /// Binary: `application/grpc-web`.
    Binary,
    /// Base64: `application/grpc-web-text`.
    Text,
}

/// The form of a gRPC-Web `content-type`; `None` for any other.
pub fn form_of(content_type: &[u8]) -> Option<WebForm> {
    let rest = rest_of(content_type)?;
    let after = |word: &[u8]| {
        let (start, rest) = rest.split_at_checked(word.len())?;
        (start.eq_ignore_ascii_case(word) && is_end(rest)).then_some(())
    };
    if after(b"-web-text").is_some() {
        Some(WebForm::Text)
    } else {
        after(b"-web").map(|()| WebForm::Binary)
    }
}

impl WebForm {
    fn word(self) -> &'static [u8] {
        match self {
            Self::Binary => b"-web",
            Self::Text => b"-web-text",
        }
    }

    /// Appends the `content-type` for the service, given the client's, which has this form.
    pub fn write_service_type(self, content_type: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"application/grpc");
        let rest = rest_of(content_type).unwrap_or_default();
        out.extend_from_slice(rest.get(self.word().len()..).unwrap_or_default());
    }

    /// Appends the `content-type` for the client, given the service's. Returns false and appends nothing if that is not
    /// a gRPC type; the response is then forwarded unchanged.
    pub fn write_client_type(self, content_type: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(rest) = rest_of(content_type).filter(|rest| is_end(rest)) else {
            return false;
        };
        out.extend_from_slice(b"application/grpc");
        out.extend_from_slice(self.word());
        // gRPC-Web requires an explicit message format.
        out.extend_from_slice(if rest.first() == Some(&b'+') {
            rest
        } else {
            b"+proto"
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_translated_both_ways() {
        for (client, form, service) in [
            ("application/grpc-web", WebForm::Binary, "application/grpc"),
            (
                "application/grpc-web+proto",
                WebForm::Binary,
                "application/grpc+proto",
            ),
            ("application/grpc-web-text", WebForm::Text, "application/grpc"),
            (
                "Application/GRPC-Web-Text+json; a=b",
                WebForm::Text,
                "application/grpc+json; a=b",
            ),
        ] {
            assert_eq!(form_of(client.as_bytes()), Some(form), "{client}");
            let mut out = Vec::new();
            form.write_service_type(client.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), service);
        }
        for other in ["application/grpc", "application/grpc-webber", "text/plain", ""] {
            assert_eq!(form_of(other.as_bytes()), None, "{other}");
        }
        let mut out = Vec::new();
        assert!(WebForm::Text.write_client_type(b"application/grpc", &mut out));
        assert_eq!(out, b"application/grpc-web-text+proto");
        assert!(!WebForm::Text.write_client_type(b"text/html", &mut out));
    }
}
