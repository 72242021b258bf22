//! Certificates that were issued.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use waypost_tls::identity::{Identity, IdentityError};

/// The time in which a certificate is valid, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Its start.
    pub not_before: i64,
    /// Its end.
    pub not_after: i64,
}

/// The name of a certificate at its authority (RFC 9773 §4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateId {
    pub(crate) authority_key: String,
    pub(crate) serial: String,
}

/// A reason that an issued certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The chain or the key cannot be read, or do not belong together.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A host is missing.
    #[error("it is not for `{0}`")]
    Host(String),
    /// It ended before it came.
    #[error("it ended at {ended}, by the clock of this machine; see whether that is right")]
    Ended {
        /// Its end.
        ended: jiff::Timestamp,
    },
}

/// Checks that a chain with its key, both PEM, can be served for all of `hosts` at a time.
///
/// # Errors
/// The reason that it cannot.
pub fn check(
    chain: &[u8],
    key: &[u8],
    hosts: &[Box<str>],
    now: jiff::Timestamp,
) -> Result<Identity, CertificateError> {
    let identity = Identity::from_pem(chain, key)?;
    if let Some(host) = hosts.iter().find(|host| !identity.serves(host)) {
        return Err(CertificateError::Host(host.to_string()));
    }
    if identity.not_after() <= now.as_second() {
        let ended = jiff::Timestamp::from_second(identity.not_after()).unwrap_or(jiff::Timestamp::MAX);
        return Err(CertificateError::Ended { ended });
    }
    Ok(identity)
}

impl Validity {
    /// The validity of a certificate.
    pub fn of(identity: &Identity) -> Self {
        Self {
            not_before: identity.not_before(),
            not_after: identity.not_after(),
        }
    }

    /// Its length in seconds.
    pub fn seconds(&self) -> i64 {
        self.not_after.saturating_sub(self.not_before).max(0)
    }
}

impl CertificateId {
    /// The name of a certificate; `None` if it does not name the key of its authority.
    pub fn of(identity: &Identity) -> Option<Self> {
        let authority_key = identity.authority_key()?;
        Some(Self {
            authority_key: BASE64_URL_SAFE_NO_PAD.encode(authority_key),
            serial: BASE64_URL_SAFE_NO_PAD.encode(identity.serial()),
        })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SerialNumber};

    use super::*;

    fn pair(hosts: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 4, 1);
        params.serial_number = Some(SerialNumber::from(vec![0x87, 0x65, 0x43, 0x21]));
        params.use_authority_key_identifier_extension = true;
        let certificate = params.self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn refused(chain: &str, key: &str, hosts: &[&str], now: &str) -> String {
        let hosts: Vec<Box<str>> = hosts.iter().map(|&host| host.into()).collect();
        match check(chain.as_bytes(), key.as_bytes(), &hosts, now.parse().unwrap()) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn certificate_is_served_if_it_is_for_all_hosts_and_fits_its_key() {
        let (chain, key) = pair(&["a.test", "b.test"]);
        let (_, other) = pair(&["a.test"]);
        let now = "2026-02-01T00:00:00Z";
        assert_eq!(refused(&chain, &key, &["a.test", "b.test"], now), "");
        assert_eq!(
            refused(&chain, &key, &["a.test", "c.test"], now),
            "it is not for `c.test`"
        );
        let mismatch = refused(&chain, &other, &["a.test"], now);
        assert!(
            mismatch.contains("the key is not the certificate's"),
            "{mismatch}"
        );
        assert!(refused("", &key, &["a.test"], now).contains("no certificate"));
        let ended = refused(&chain, &key, &["a.test"], "2026-04-01T00:00:00Z");
        assert!(ended.starts_with("it ended at 2026-04-01T00:00:00Z"), "{ended}");
    }

    #[test]
    fn name_has_the_serial_number_as_it_is_encoded() {
        let (chain, key) = pair(&["a.test"]);
        let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let id = CertificateId::of(&identity).unwrap();
        // The first bit is the sign, so that a byte of zeros stands in front (RFC 9773 §4.1).
        assert_eq!(
            BASE64_URL_SAFE_NO_PAD.decode(id.serial).unwrap(),
            [0, 0x87, 0x65, 0x43, 0x21]
        );
        assert!(!id.authority_key.is_empty());
    }
}
