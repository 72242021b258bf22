//! An etcd that holds a config, for the instances that share it.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::certificate_files::CertificateFiles;

/// The longest prefix in bytes.
const PREFIX_BYTES_MAX: usize = 256;

/// A place in an etcd, and the way there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdSource {
    /// The members of the cluster; at least one.
    pub endpoints: Vec<EtcdEndpoint>,
    /// The prefix that everything shared lies under.
    pub prefix: EtcdPrefix,
    /// TLS, for endpoints that are not said to be without.
    pub tls: Option<EtcdTls>,
    /// The file with `NAME:PASSWORD` of the user.
    pub user_file: Option<Box<str>>,
    /// The file with the key that certificates are sealed with.
    pub certificates_key: Option<Box<str>>,
}

/// TLS towards etcd. Paths are as configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EtcdTls {
    /// Authorities that sign the members' certificates; `None` for those of the platform.
    pub ca: Option<Box<str>>,
    /// The certificate that is shown to etcd.
    pub certificate: Option<CertificateFiles>,
}

/// The address of a member's client interface, as it is written: `HOST`, `HOST:PORT`, or a URL of these with `http` or `https`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EtcdEndpoint(Box<str>);

/// A text that is no endpoint of etcd.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EtcdEndpointError {
    /// The scheme is neither `http` nor `https`.
    #[error("its scheme is neither `http` nor `https`")]
    Scheme,
    /// There is a name of a user in front of the host.
    #[error("it names a user")]
    User,
    /// There is something behind host and port.
    #[error("there is something behind host and port")]
    Path,
    /// The host is neither a name nor an address.
    #[error("its host is neither a name nor an address")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("its port is not a number from 1 to 65535")]
    Port,
}

impl EtcdEndpoint {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true if it is said to be without TLS.
    pub fn is_clear(&self) -> bool {
        self.0.starts_with("http://")
    }

    /// Returns true if it is said to have TLS.
    pub fn is_secure(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl fmt::Display for EtcdEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for EtcdEndpoint {
    type Err = EtcdEndpointError;

    fn from_str(text: &str) -> Result<Self, EtcdEndpointError> {
        let rest = match text.split_once("://") {
            None => text,
            Some(("http" | "https", rest)) => rest.strip_suffix('/').unwrap_or(rest),
            Some(_) => return Err(EtcdEndpointError::Scheme),
        };
        if rest.contains(['/', '?', '#']) {
            return Err(EtcdEndpointError::Path);
        }
        if rest.contains('@') {
            return Err(EtcdEndpointError::User);
        }
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, behind) = rest.split_once(']').ok_or(EtcdEndpointError::Host)?;
                if host.parse::<Ipv6Addr>().is_err() {
                    return Err(EtcdEndpointError::Host);
                }
                match (behind, behind.strip_prefix(':')) {
                    ("", _) => (host, None),
                    (_, Some(port)) => (host, Some(port)),
                    (_, None) => return Err(EtcdEndpointError::Port),
                }
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let is_named = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_named) {
            return Err(EtcdEndpointError::Host);
        }
        let is_port = |port: &str| {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
        };
        match port {
            Some(port) if !is_port(port) => Err(EtcdEndpointError::Port),
            _ => Ok(Self(text.into())),
        }
    }
}

/// The prefix that the keys of a fleet are under, such as `/waypost/prod`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EtcdPrefix(Box<str>);

/// A text that is not a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EtcdPrefixError {
    /// It does not begin with a slash, or is nothing else.
    #[error("a prefix begins with `/` and a name")]
    NoSlash,
    /// A name between slashes is empty.
    #[error("a prefix has no empty name in it, and no `/` at its end")]
    Empty,
    /// It has a character that is not visible ASCII.
    #[error("a prefix has visible ASCII characters only")]
    Character,
    /// It is too long.
    #[error("a prefix has {PREFIX_BYTES_MAX} bytes at most")]
    TooLong,
}

impl EtcdPrefix {
    /// The text, which begins with `/` and does not end with one.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EtcdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for EtcdPrefix {
    type Err = EtcdPrefixError;

    fn from_str(text: &str) -> Result<Self, EtcdPrefixError> {
        if text.len() > PREFIX_BYTES_MAX {
            return Err(EtcdPrefixError::TooLong);
        }
        let names = match text.strip_prefix('/') {
            None | Some("") => return Err(EtcdPrefixError::NoSlash),
            Some(names) => names,
        };
        if names.split('/').any(str::is_empty) {
            return Err(EtcdPrefixError::Empty);
        }
        match text.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Self(text.into())),
            false => Err(EtcdPrefixError::Character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_addresses_or_urls() {
        for text in [
            "10.0.0.1:2379",
            "etcd-0.internal",
            "http://a:1",
            "https://a:1/",
            "[::1]:2380",
            "https://[::1]",
        ] {
            assert_eq!(text.parse::<EtcdEndpoint>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_reason() {
        for (text, expected) in [
            ("", EtcdEndpointError::Host),
            ("etcd://a", EtcdEndpointError::Scheme),
            ("a:1/b", EtcdEndpointError::Path),
            ("a:1/", EtcdEndpointError::Path),
            ("https://a?b", EtcdEndpointError::Path),
            ("a:0", EtcdEndpointError::Port),
            ("a:+1", EtcdEndpointError::Port),
            ("a:65536", EtcdEndpointError::Port),
            ("a:", EtcdEndpointError::Port),
            ("[::1]1", EtcdEndpointError::Port),
            ("a b:1", EtcdEndpointError::Host),
            ("u:p@a:1", EtcdEndpointError::User),
            ("[::1", EtcdEndpointError::Host),
            ("[a]:1", EtcdEndpointError::Host),
            ("::1", EtcdEndpointError::Host),
        ] {
            assert_eq!(text.parse::<EtcdEndpoint>(), Err(expected), "{text}");
        }
    }

    #[test]
    fn prefixes_are_paths_of_names() {
        for (text, expected) in [
            ("/waypost", Ok(())),
            ("/waypost/prod", Ok(())),
            ("", Err(EtcdPrefixError::NoSlash)),
            ("/", Err(EtcdPrefixError::NoSlash)),
            ("waypost", Err(EtcdPrefixError::NoSlash)),
            ("/a/", Err(EtcdPrefixError::Empty)),
            ("/a//b", Err(EtcdPrefixError::Empty)),
            ("/a b", Err(EtcdPrefixError::Character)),
            ("/ä", Err(EtcdPrefixError::Character)),
        ] {
            assert_eq!(text.parse::<EtcdPrefix>().map(drop), expected, "{text}");
        }
        let long = format!("/{}", "a".repeat(256));
        assert_eq!(long.parse::<EtcdPrefix>(), Err(EtcdPrefixError::TooLong));
    }
}
