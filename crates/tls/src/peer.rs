//! Who a client has proved to be.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::identity::address;

/// A client certificate that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    subject: String,
    alternatives: Vec<String>,
    forwarded: String,
}

impl ClientCertificate {
    /// Reads a certificate that a handshake has verified.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let subject = clean(&parsed.subject().to_string());
        let mut forwarded = format!("Hash={};Subject={}", fingerprint(certificate), quoted(&subject));
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
                // A name with such a byte in it could pass for two, or for another.
                if value.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b',') {
                    continue;
                }
                let _ = write!(forwarded, ";{key}={}", quoted_if_needed(&value));
                alternatives.push(value);
            }
        }
        Some(Self {
            subject,
            alternatives,
            forwarded,
        })
    }

    /// The subject, such as `CN=client, O=Example`, as the certificate orders it.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The alternative names: hosts, URIs, mail addresses, IP addresses.
    pub fn alternatives(&self) -> impl Iterator<Item = &str> {
        self.alternatives.iter().map(|name| &**name)
    }

    /// The element of `x-forwarded-client-cert`: `Hash=…;Subject="…";URI=…;DNS=…`.
    pub fn forwarded(&self) -> &str {
        &self.forwarded
    }
}

/// The SHA-256 of some bytes, in hexadecimal.
pub fn fingerprint(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in digest(&SHA256, bytes).as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Without what no header may have.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || !c.is_ascii() { '?' } else { c })
        .collect()
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
    fn subject_and_names_are_read_and_forwarded() {
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
        assert_eq!(found.subject(), "CN=a \"b\"");
        assert_eq!(
            found.alternatives().collect::<Vec<_>>(),
            [uri, "c.test", "10.0.0.1"]
        );
        let forwarded = found.forwarded();
        let (hash, rest) = forwarded.split_at("Hash=".len() + 64);
        assert!(hash.starts_with("Hash=") && hash[5..].bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(
            rest,
            ";Subject=\"CN=a \\\"b\\\"\";URI=\"spiffe://x/y;z\";DNS=c.test;IP=10.0.0.1"
        );
    }
}
