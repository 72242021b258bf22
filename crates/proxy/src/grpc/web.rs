//! gRPC-Web: calls as browsers can make them.
//!
//! The messages are those of gRPC. The trailers, which browsers do not show, come as one more frame behind them, and in
//! the form that is text everything is base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use waypost_wire::field::{self, Kind};

use crate::grpc::{is_end, rest_of};

/// The flag of the frame that holds trailers.
const TRAILERS: u8 = 0x80;

/// How the messages of a call are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WebForm {
    /// As they are.
    Binary,
    /// In base64.
    Text,
}

/// The form of a `content-type` of gRPC-Web; `None` for any other.
pub(crate) fn form_of(content_type: &[u8]) -> Option<WebForm> {
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

    /// Appends the `content-type` that a service gets in the place of a client's `content_type`, which has this form.
    pub(crate) fn write_service_type(self, content_type: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"application/grpc");
        let rest = rest_of(content_type).unwrap_or_default();
        out.extend_from_slice(rest.get(self.word().len()..).unwrap_or_default());
    }

    /// Appends the `content-type` that a client gets in the place of a service's; nothing when that is no call's, so that
    /// the answer is passed on as it is.
    pub(crate) fn write_client_type(self, content_type: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(rest) = rest_of(content_type).filter(|rest| is_end(rest)) else {
            return false;
        };
        out.extend_from_slice(b"application/grpc");
        out.extend_from_slice(self.word());
        // The format has to be said.
        out.extend_from_slice(if rest.first() == Some(&b'+') {
            rest
        } else {
            b"+proto"
        });
        true
    }
}

/// What is done to the bytes of a body on their way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Recoding {
    /// Nothing.
    #[default]
    None,
    /// Trailers become a frame.
    Trailers,
    /// Messages become base64, and trailers a frame of it.
    ToText,
    /// Base64 becomes messages; what is left of an unfinished group waits.
    FromText(Vec<u8>),
}

/// Base64 that is none.
#[derive(Debug)]
pub(crate) struct NotBase64;

impl Recoding {
    /// What becomes of a request's body in this form.
    pub(crate) fn of_request(form: WebForm) -> Self {
        match form {
            WebForm::Binary => Self::None,
            WebForm::Text => Self::FromText(Vec::new()),
        }
    }

    /// What becomes of an answer's body in this form.
    pub(crate) fn of_answer(form: WebForm) -> Self {
        match form {
            WebForm::Binary => Self::Trailers,
            WebForm::Text => Self::ToText,
        }
    }

    /// Whether bytes leave as they came.
    pub(crate) fn keeps_bytes(&self) -> bool {
        matches!(self, Self::None | Self::Trailers)
    }

    /// Appends what becomes of `data`.
    ///
    /// # Errors
    /// When it should be base64 and is not.
    pub(crate) fn recode(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), NotBase64> {
        match self {
            Self::None | Self::Trailers => out.extend_from_slice(data),
            // Whoever reads it takes it in groups of four, each with its own padding.
            Self::ToText => out.extend_from_slice(STANDARD.encode(data).as_bytes()),
            Self::FromText(left) => {
                for &byte in data {
                    left.push(byte);
                    if left.len() == 4 {
                        out.extend(STANDARD.decode(&left).map_err(|_| NotBase64)?);
                        left.clear();
                    }
                }
            }
        }
        Ok(())
    }

    /// Appends what stands at the end of a body with these trailers, which an empty line ends, and takes them away where
    /// they are part of it then.
    ///
    /// # Errors
    /// When base64 ends within a group.
    pub(crate) fn finish<'t>(
        &mut self,
        trailers: &'t [u8],
        out: &mut Vec<u8>,
    ) -> Result<&'t [u8], NotBase64> {
        match self {
            Self::None => Ok(trailers),
            Self::FromText(left) if left.is_empty() => Ok(trailers),
            Self::FromText(_) => Err(NotBase64),
            Self::Trailers | Self::ToText => {
                let block = trailer_lines(trailers);
                if !block.is_empty() {
                    let mut frame = vec![TRAILERS];
                    let length = u32::try_from(block.len()).unwrap_or(u32::MAX);
                    frame.extend_from_slice(&length.to_be_bytes());
                    frame.extend_from_slice(&block);
                    self.recode(&frame, out)?;
                }
                Ok(b"")
            }
        }
    }
}

/// Trailers as the frame has them: names in lower case, and no blank behind the colon.
fn trailer_lines(trailers: &[u8]) -> Vec<u8> {
    let mut fields = Vec::new();
    let mut lines = Vec::new();
    if trailers.len() <= 2 || field::parse(trailers, 0, usize::from(u8::MAX), &mut fields).is_err() {
        return lines;
    }
    for field in fields.iter().filter(|field| field.kind == Kind::Other) {
        lines.extend(field.name.of(trailers).to_ascii_lowercase());
        lines.push(b':');
        lines.extend_from_slice(field.value.of(trailers));
        lines.extend_from_slice(b"\r\n");
    }
    lines
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

    #[test]
    fn text_is_decoded_however_it_is_cut() {
        let mut recoding = Recoding::of_request(WebForm::Text);
        let mut out = Vec::new();
        // Two groups with padding of their own, as a client writes that flushes in between.
        for piece in [&b"AAE"[..], b"=", b"AgM", b"E", b""] {
            recoding.recode(piece, &mut out).unwrap();
        }
        assert_eq!(out, [0, 1, 2, 3, 4]);
        assert!(recoding.finish(b"", &mut out).is_ok());
        recoding.recode(b"A", &mut out).unwrap();
        assert!(recoding.finish(b"", &mut out).is_err());
        assert!(
            Recoding::of_request(WebForm::Text)
                .recode(b"A-==", &mut out)
                .is_err()
        );
    }

    #[test]
    fn trailers_become_a_frame() {
        let trailers = b"Grpc-Status: 0\r\ngrpc-message: a b\r\n\r\n";
        let mut out = Vec::new();
        let left = Recoding::of_answer(WebForm::Binary).finish(trailers, &mut out);
        assert_eq!(left.unwrap(), b"");
        assert_eq!(out, b"\x80\0\0\0\x21grpc-status:0\r\ngrpc-message:a b\r\n");
        let mut text = Vec::new();
        Recoding::of_answer(WebForm::Text)
            .finish(trailers, &mut text)
            .unwrap();
        assert_eq!(STANDARD.decode(text).unwrap(), out);
    }
}
