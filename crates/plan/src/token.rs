//! The rules that a JSON Web Token has to meet (RFC 7519).

use std::fmt;
use std::time::Duration;

use waypost_wire::authority::{Authority, AuthorityError};

/// An algorithm of a signature (RFC 7518 §3.1, RFC 8037 §3.1). There is none for `none`, and none for ES512, which the
/// library lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// Ed25519.
    EdDsa,
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

/// The rules for the tokens of one issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRules {
    /// The issuer that a token has to name; `None` for any.
    pub issuer: Option<Box<str>>,
    /// The audiences of which a token has to name one; any if there are none.
    pub audience: Box<[Box<str>]>,
    /// The algorithms that are accepted.
    pub algorithms: Box<[Algorithm]>,
    /// The difference of clocks that is put up with.
    pub leeway: Duration,
    /// Refuses a token that never expires.
    pub require_exp: bool,
}

/// The origin of the keys that verify tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// A file; the path is as configured.
    File(Box<str>),
    /// A URL of the issuer.
    Url(KeyUrl),
}

/// The URL of a key set.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyUrl {
    /// As configured.
    pub text: Box<str>,
    /// True for `https`.
    pub is_tls: bool,
    /// The name or address; one of IPv6 without brackets.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
    /// Host and port as written, for the `Host` of the request.
    pub authority: Box<str>,
    /// Path and query.
    pub target: Box<str>,
}

/// A URL that no key set can be fetched from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyUrlError {
    /// Neither `http` nor `https`.
    #[error("keys are fetched by `https://` or `http://`")]
    Scheme,
    /// User information, which every log would show.
    #[error("a URL of keys has no user and password")]
    User,
    /// A fragment.
    #[error("a URL of keys has no `#`")]
    Fragment,
    /// A blank, a control character, or one outside of ASCII.
    #[error("a URL has no blanks, and what is not ASCII is percent-encoded")]
    Character,
    /// The host or port.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl KeyUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// No key set can be fetched from it.
    pub fn parse(text: &str) -> Result<Self, KeyUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(KeyUrlError::Scheme)?;
        let is_tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(KeyUrlError::Scheme),
        };
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(KeyUrlError::Character);
        }
        if rest.contains('#') {
            return Err(KeyUrlError::Fragment);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (written, target) = rest.split_at(end);
        if written.contains('@') {
            return Err(KeyUrlError::User);
        }
        let authority = Authority::parse(written.as_bytes())?;
        let host = String::from_utf8_lossy(authority.host);
        let bare = host.trim_matches(['[', ']']);
        Ok(Self {
            text: text.into(),
            is_tls,
            host: bare.into(),
            port: authority.port.unwrap_or(if is_tls { 443 } else { 80 }),
            authority: written.trim_end_matches(':').into(),
            target: match target.strip_prefix('?') {
                Some(_) => format!("/{target}").into(),
                None if target.is_empty() => "/".into(),
                None => target.into(),
            },
        })
    }

    /// The URL without its query, which may hold a secret.
    pub fn shown(&self) -> &str {
        self.text.split('?').next().unwrap_or(&self.text)
    }
}

impl KeySource {
    /// The path or URL, as configured. A URL has `://`, and a path has not.
    pub fn text(&self) -> &str {
        match self {
            Self::File(path) => path,
            Self::Url(url) => &url.text,
        }
    }

    /// The path, if it is a file.
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::File(path) => Some(path),
            Self::Url(_) => None,
        }
    }

    /// The URL, if it is one.
    pub fn url(&self) -> Option<&KeyUrl> {
        match self {
            Self::Url(url) => Some(url),
            Self::File(_) => None,
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(path),
            Self::Url(url) => f.write_str(url.shown()),
        }
    }
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 12] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Es256,
        Self::Es384,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::EdDsa,
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
    ];

    /// The algorithm of this name, which has case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The name, as in `alg`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    /// Returns true if who verifies could sign as well.
    pub fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }

    /// The algorithms of a config that names none: those with a public key.
    pub fn defaults() -> Box<[Self]> {
        Self::ALL
            .into_iter()
            .filter(|algorithm| !algorithm.is_symmetric())
            .collect()
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_keys_names_a_server_and_a_path() {
        let check = |text: &str, expected: Result<(bool, &str, u16, &str, &str), KeyUrlError>| {
            let parsed = KeyUrl::parse(text);
            let found = parsed
                .as_ref()
                .map(|url| (url.is_tls, &*url.host, url.port, &*url.authority, &*url.target))
                .map_err(|error| *error);
            assert_eq!(found, expected, "{text}");
        };
        let id = "id.example.com";
        check(
            "https://id.example.com/jwks.json",
            Ok((true, id, 443, id, "/jwks.json")),
        );
        check("http://id.example.com", Ok((false, id, 80, id, "/")));
        check("https://id.example.com?a=b", Ok((true, id, 443, id, "/?a=b")));
        check(
            "http://127.0.0.1:8080/realms/a/certs?x=1",
            Ok((false, "127.0.0.1", 8080, "127.0.0.1:8080", "/realms/a/certs?x=1")),
        );
        check("https://[::1]:1/k", Ok((true, "::1", 1, "[::1]:1", "/k")));
        for (text, error) in [
            ("id.example.com/jwks", KeyUrlError::Scheme),
            ("ftp://id.example.com/", KeyUrlError::Scheme),
            ("file:///etc/keys", KeyUrlError::Scheme),
            ("https://user:pass@id.example.com/", KeyUrlError::User),
            ("https://id.example.com/#a", KeyUrlError::Fragment),
            ("https://id.example.com/a b", KeyUrlError::Character),
            ("https://id.example.com/ä", KeyUrlError::Character),
            ("https:///jwks", KeyUrlError::Authority(AuthorityError::Empty)),
            ("https://a:99999/", KeyUrlError::Authority(AuthorityError::Port)),
        ] {
            check(text, Err(error));
        }
        let url = KeyUrl::parse("https://a.test/k?secret=1").unwrap();
        assert_eq!(KeySource::Url(url).to_string(), "https://a.test/k");
    }

    #[test]
    fn every_algorithm_is_found_by_its_name_alone() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::named(algorithm.name()), Some(algorithm));
            assert_eq!(Algorithm::named(&algorithm.name().to_lowercase()), None);
        }
        for name in ["none", "None", "", "ES512", "ES256K"] {
            assert_eq!(Algorithm::named(name), None, "{name}");
        }
        assert!(!Algorithm::defaults().contains(&Algorithm::Hs256));
        assert_eq!(Algorithm::defaults().len(), 9);
    }
}
