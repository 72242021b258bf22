//! Verified client certificates.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

use crate::identity::address;

/// Maximum bytes of a subject that are forwarded, and of the alternative names together. A certificate can be larger than
/// the heads that services accept.
const FORWARDED_BYTES_MAX: usize = 8 << 10;

/// A client certificate that a handshake has verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    subject: String,
    alternatives: Vec<String>,
    forwarded: String,
}

impl ClientCertificate {
    /// Parses a certificate; `None` if it is malformed.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let subject = format_name(parsed.subject());
        let shown = quoted(cut_subject(&subject));
        let mut forwarded = format!("Hash={};Subject={shown}", fingerprint(certificate));
        let names_start = forwarded.len();
        let mut alternatives = Vec::new();
        if let Ok(Some(names)) = parsed.subject_alternative_name() {
            for name in &names.value.general_names {
                let (key, value) = match name {
                    GeneralName::DNSName(name) => ("DNS", (*name).to_owned()),
                    GeneralName::URI(uri) => ("URI", (*uri).to_owned()),
                    GeneralName::RFC822Name(mail) => ("Email", (*mail).to_owned()),
                    GeneralName::IPAddress(bytes) => match address(bytes) {
                        Some(address) => ("IP", address.to_string()),
                        None => continue,
                    },
                    _ => continue,
                };
                // A name with such a byte could pass for another name, or for two.
                if value.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b',') {
                    continue;
                }
                let shown = format!(";{key}={}", quoted_if_needed(&value));
                // A part of a name would be another name.
                if forwarded.len() - names_start + shown.len() <= FORWARDED_BYTES_MAX {
                    forwarded.push_str(&shown);
                }
                alternatives.push(value);
            }
        }
        Some(Self {
            subject,
            alternatives,
            forwarded,
        })
    }

    /// The subject in the order of the certificate, such as `CN=client, O=Example`. Special characters in values are
    /// escaped, so no value can pass for another attribute (RFC 4514 §2.4).
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The alternative names: host names, URIs, mail addresses and IP addresses.
    pub fn alternatives(&self) -> impl Iterator<Item = &str> {
        self.alternatives.iter().map(|name| &**name)
    }

    /// The element for `x-forwarded-client-cert`: `Hash=…;Subject="…";URI=…;DNS=…`. A subject ends after 8 KiB, and
    /// alternative names beyond 8 KiB in all are left out.
    pub fn forwarded(&self) -> &str {
        &self.forwarded
    }
}

/// The SHA-256 of `bytes`, in hexadecimal.
pub fn fingerprint(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in digest(&SHA256, bytes).as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Formats a distinguished name.
fn format_name(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    for (at, part) in name.iter_rdn().enumerate() {
        for (within, attribute) in part.iter().enumerate() {
            text.push_str(match (at, within) {
                (0, 0) => "",
                (_, 0) => ", ",
                _ => "+",
            });
            let kind = attribute.attr_type();
            match oid2abbrev(kind, oid_registry()) {
                Ok(known) => text.push_str(known),
                Err(_) => text.push_str(&kind.to_id_string()),
            }
            text.push('=');
            match attribute.as_str() {
                Ok(value) => escape(value, &mut text),
                // A value that is not text is written as its bytes (RFC 4514 §2.4).
                Err(_) => {
                    text.push('#');
                    for byte in attribute.as_slice() {
                        let _ = write!(text, "{byte:02x}");
                    }
                }
            }
        }
    }
    text
}

/// Appends a value with everything escaped that is special in a distinguished name or not allowed in a header.
fn escape(value: &str, out: &mut String) {
    let last = value.len().saturating_sub(1);
    for (at, c) in value.char_indices() {
        let is_special = matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=')
            || (at == 0 && matches!(c, ' ' | '#'))
            || (at == last && c == ' ');
        if is_special {
            out.push('\\');
            out.push(c);
        } else if c.is_ascii_graphic() || c == ' ' {
            out.push(c);
        } else {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(out, "\\{byte:02X}");
            }
        }
    }
}

/// The beginning of a formatted subject that takes at most [`FORWARDED_BYTES_MAX`] bytes in quotes. It ends between two
/// characters of a value.
fn cut_subject(subject: &str) -> &str {
    let mut bytes = 0;
    let mut whole = 0;
    let mut rest = subject;
    while let Some(first) = rest.chars().next() {
        // An escaped byte that continues a character (RFC 3629 §3) stays with it.
        let is_hex = |at: usize| rest.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
        let (length, continues) = match (first, is_hex(1) && is_hex(2)) {
            ('\\', true) => (3, matches!(rest.as_bytes()[1], b'8'..=b'9' | b'A'..=b'B')),
            ('\\', false) => (2.min(rest.len()), false),
            _ => (first.len_utf8(), false),
        };
        if !continues {
            whole = subject.len() - rest.len();
        }
        let (token, after) = rest.split_at(length);
        bytes += token.len() + token.matches(['"', '\\']).count();
        if bytes > FORWARDED_BYTES_MAX {
            return &subject[..whole];
        }
        rest = after;
    }
    subject
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

fn quoted_if_needed(text: &str) -> String {
    if text.contains([';', '=', '"', '\\']) {
        quoted(text)
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    #[test]
    fn subject_values_are_escaped() {
        for (value, expected) in [
            ("x, O=Admin", r"CN=x\, O\=Admin, O=Low"),
            ("x+O=Admin", r"CN=x\+O\=Admin, O=Low"),
            (" #a ", r"CN=\ #a\ , O=Low"),
            ("\u{fc}\n", r"CN=\C3\BC\0A, O=Low"),
            ("plain name", "CN=plain name, O=Low"),
        ] {
            let mut params = CertificateParams::default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, value);
            params.distinguished_name.push(DnType::OrganizationName, "Low");
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            let found = ClientCertificate::of(certificate.der()).unwrap();
            assert_eq!(found.subject(), expected);
        }
    }

    #[test]
    fn long_subjects_are_cut_between_characters() {
        let max = FORWARDED_BYTES_MAX;
        let cut = |text: &str| cut_subject(text).len();
        let plain = "x".repeat(max);
        assert_eq!(cut(&plain), max);
        assert_eq!(cut(&format!("{plain}y")), max);
        // A backslash and what it escapes are doubled in quotes.
        let almost = "x".repeat(max - 2);
        assert_eq!(cut(&format!("{almost}\\,")), max - 2);
        assert_eq!(cut(&format!("{}\\,y", &almost[1..])), max - 1);
        assert_eq!(cut(&format!("{}\\\"", &almost[2..])), max - 2);
        // Four bytes for each byte of a character, which is not taken apart.
        for bytes in 0..=8 {
            let text = format!("{}\\C3\\BC", &plain[bytes..]);
            let expected = if bytes == 8 { max - 2 } else { max - bytes };
            assert_eq!(cut(&text), expected, "{bytes}");
        }
        assert_eq!(cut("\\"), 1);
    }

    #[test]
    fn forwarded_element_of_a_large_certificate_is_bounded() {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "\u{fc}\"".repeat(4000));
        params.subject_alt_names = (0..1000)
            .map(|number| SanType::DnsName(format!("host-{number}.test").try_into().unwrap()))
            .collect();
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let found = ClientCertificate::of(certificate.der()).unwrap();
        assert!(found.subject().len() > 30_000);
        assert_eq!(found.alternatives().count(), 1000);
        let forwarded = found.forwarded();
        assert!(forwarded.len() < 17 << 10, "{}", forwarded.len());
        let (_, subject) = forwarded.split_once(";Subject=\"").unwrap();
        let (subject, names) = subject.split_once("\";").unwrap();
        assert!(subject.len() <= FORWARDED_BYTES_MAX && subject.len() > FORWARDED_BYTES_MAX - 20);
        assert!(names.starts_with("DNS=host-0.test;") && names.ends_with(".test"));
    }

    #[test]
    fn subject_and_alternative_names_are_parsed_and_forwarded() {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "a \"b\"");
        let uri = "spiffe://x/y;z";
        params.subject_alt_names = vec![
            SanType::URI(uri.try_into().unwrap()),
            SanType::DnsName("c.test".try_into().unwrap()),
            SanType::IpAddress("10.0.0.1".parse().unwrap()),
        ];
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let found = ClientCertificate::of(certificate.der()).unwrap();
        assert_eq!(found.subject(), "CN=a \\\"b\\\"");
        assert_eq!(
            found.alternatives().collect::<Vec<_>>(),
            [uri, "c.test", "10.0.0.1"]
        );
        let forwarded = found.forwarded();
        let (hash, rest) = forwarded.split_at("Hash=".len() + 64);
        assert!(hash.starts_with("Hash=") && hash[5..].bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(
            rest,
            ";Subject=\"CN=a \\\\\\\"b\\\\\\\"\";URI=\"spiffe://x/y;z\";DNS=c.test;IP=10.0.0.1"
        );
    }
}
