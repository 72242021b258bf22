//! Certificates that an authority issues to the gateway itself, by ACME (RFC 8555).

use std::net::IpAddr;

use waypost_route::host::HostPattern;
use waypost_wire::authority::{Authority, AuthorityError};

/// A certificate that the gateway orders, and renews before it ends.
///
/// Listeners that say the same share one certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acme {
    /// Address at which the authority reaches the owner of the account.
    pub email: Option<Box<str>>,
    /// URL of the authority's directory (RFC 8555 §7.1.1), with `https`.
    pub directory: Box<str>,
    /// Names that the certificate is for: lower case, sorted, each once; never empty, and no wildcards.
    pub hosts: Vec<Box<str>>,
    /// Binding of the account to one that the authority knows already.
    pub eab: Option<ExternalAccount>,
    /// File of the authorities (PEM) that are trusted to have signed the certificate of `directory` itself; those of the
    /// platform without it. The path is as configured.
    pub ca: Option<Box<str>>,
}

/// An account that the authority knows from elsewhere (RFC 8555 §7.3.4).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExternalAccount {
    /// Its id there.
    pub kid: Box<str>,
    /// File of its key, as the authority gave it: base64url, without padding. The path is as configured.
    pub key_file: Box<str>,
}

/// A URL that no certificates can be ordered at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// Not `https`.
    #[error("certificates are ordered by `https://`")]
    Scheme,
    /// User information, which logs would show.
    #[error("the URL of a directory has no user and password")]
    User,
    /// A fragment.
    #[error("the URL of a directory has no `#`")]
    Fragment,
    /// A blank, a control character, or one outside of ASCII.
    #[error("a URL has no blanks, and what is not ASCII is percent-encoded")]
    Character,
    /// The host or port.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// A host that no certificate can be ordered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OrderedHostError {
    /// A wildcard (RFC 8555 §7.1.3): a gateway cannot prove that it answers for all names.
    #[error(
        "the authority would look for the answer to a wildcard in the DNS (DNS-01), where the gateway has none"
    )]
    Wildcard,
    /// An address.
    #[error("it is an address, and certificates are ordered for names")]
    Address,
    /// A label that is no part of a name in the DNS (RFC 5890 §2.3.1).
    #[error("labels of a name in a certificate have letters, digits, and `-` inside")]
    Label,
    /// A name, or a label of it, that is too long (RFC 1035 §2.3.4).
    #[error("a name in a certificate has 253 characters at most, and each label 63")]
    Long,
}

impl Acme {
    /// The directory of Let's Encrypt.
    pub const LETS_ENCRYPT: &'static str = "https://acme-v02.api.letsencrypt.org/directory";
    /// Names of one certificate at most. Let's Encrypt takes so many, and others no fewer.
    pub const HOSTS_MAX: usize = 100;

    /// Checks that certificates can be ordered at `url`.
    ///
    /// # Errors
    /// It is no URL with `https`, or has parts that mean nothing there.
    pub fn check_directory(url: &str) -> Result<(), DirectoryError> {
        let rest = url.strip_prefix("https://").ok_or(DirectoryError::Scheme)?;
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(DirectoryError::Character);
        }
        if rest.contains('#') {
            return Err(DirectoryError::Fragment);
        }
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(DirectoryError::User);
        }
        Authority::parse(authority.as_bytes())?;
        Ok(())
    }

    /// The name that a certificate for `host` is ordered for.
    ///
    /// # Errors
    /// None can be ordered for it.
    pub fn ordered_host(host: &HostPattern) -> Result<&str, OrderedHostError> {
        let name = match host {
            HostPattern::Exact(name) => &**name,
            HostPattern::Wildcard(_) | HostPattern::Any => return Err(OrderedHostError::Wildcard),
        };
        if name.starts_with('[') || name.parse::<IpAddr>().is_ok() {
            return Err(OrderedHostError::Address);
        }
        if name.len() > 253 || name.split('.').any(|label| label.len() > 63) {
            return Err(OrderedHostError::Long);
        }
        let is_label = |label: &str| {
            let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            label.bytes().all(is_inside) && !label.starts_with('-') && !label.ends_with('-')
        };
        match name.split('.').all(is_label) {
            true => Ok(name),
            false => Err(OrderedHostError::Label),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_is_an_https_url() {
        let check = Acme::check_directory;
        for good in [
            Acme::LETS_ENCRYPT,
            "https://127.0.0.1:14000/dir",
            "https://[::1]/dir?x=1",
            "https://ca",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (wrong, error) in [
            ("http://127.0.0.1:14000/dir", DirectoryError::Scheme),
            ("HTTPS://ca/", DirectoryError::Scheme),
            ("ca/dir", DirectoryError::Scheme),
            ("", DirectoryError::Scheme),
            ("https://a:b@ca/dir", DirectoryError::User),
            ("https://ca/dir#x", DirectoryError::Fragment),
            ("https://ca/d ir", DirectoryError::Character),
            ("https://cä/", DirectoryError::Character),
            ("https:///dir", AuthorityError::Empty.into()),
            ("https://ca:port/dir", AuthorityError::Port.into()),
        ] {
            assert_eq!(check(wrong), Err(error), "{wrong}");
        }
    }

    #[test]
    fn certificates_are_ordered_for_names_alone() {
        let check = |text: &str, expected: Result<&str, OrderedHostError>| {
            let host = HostPattern::parse(text).unwrap();
            assert_eq!(Acme::ordered_host(&host), expected, "{text}");
        };
        let (l63, l64) = ("a".repeat(63), "a".repeat(64));
        check("A.Test", Ok("a.test"));
        check("localhost", Ok("localhost"));
        check("xn--bcher-kva.test", Ok("xn--bcher-kva.test"));
        check(&l63, Ok(&l63));
        check(&l64, Err(OrderedHostError::Long));
        check(&["abcdefg"; 32].join("."), Err(OrderedHostError::Long));
        check("*.a.test", Err(OrderedHostError::Wildcard));
        check("127.0.0.1", Err(OrderedHostError::Address));
        check("[::1]", Err(OrderedHostError::Address));
        check("a_b.test", Err(OrderedHostError::Label));
        check("-a.test", Err(OrderedHostError::Label));
        check("a-.test", Err(OrderedHostError::Label));
        assert_eq!(
            Acme::ordered_host(&HostPattern::Any),
            Err(OrderedHostError::Wildcard)
        );
    }
}
