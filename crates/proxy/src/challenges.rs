//! Challenges by which an authority finds out whether the gateway answers for a host, before it issues a certificate
//! (RFC 8555 §8).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::ClientHello;
use waypost_tls::challenge::{self, ChallengeError};

/// The path of HTTP challenges, in front of the token (RFC 8555 §8.3).
const PATH: &[u8] = b"/.well-known/acme-challenge/";

/// A challenge that is answered, over HTTP (RFC 8555 §8.3) and in TLS (RFC 8737) alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The host, in lower case.
    pub host: Box<str>,
    /// The authority's token.
    pub token: Box<str>,
    /// The response: the token and the thumbprint of the account's key.
    pub key_authorization: Box<str>,
}

/// The way of answering a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeType {
    /// Over HTTP, in clear text (RFC 8555 §8.3).
    Http,
    /// In a TLS handshake (RFC 8737).
    Tls,
}

impl ChallengeType {
    /// All types, in the order of their counters.
    pub const ALL: [Self; 2] = [Self::Http, Self::Tls];

    /// The name by which authorities know it, the value of the label `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http-01",
            Self::Tls => "tls-alpn-01",
        }
    }
}

/// The challenges that are answered now, on every listener.
#[derive(Debug, Default)]
pub struct Challenges {
    /// True while there is one. The rest is not looked at otherwise.
    any: AtomicBool,
    /// By host; orders under way at the same time may have one each.
    by_host: ArcSwap<HashMap<Box<str>, Vec<Challenge>>>,
}

impl Challenges {
    /// Replaces all challenges.
    pub fn set(&self, challenges: impl IntoIterator<Item = Challenge>) {
        let mut by_host: HashMap<Box<str>, Vec<Challenge>> = HashMap::new();
        for challenge in challenges {
            let of_host = by_host.entry(challenge.host.clone()).or_default();
            of_host.push(challenge);
        }
        let any = !by_host.is_empty();
        self.by_host.store(Arc::new(by_host));
        self.any.store(any, Ordering::Release);
    }

    /// Returns true if there is a challenge.
    pub fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// The response to an HTTP challenge with this token.
    pub fn over_http(&self, host: &str, token: &str) -> Option<Box<str>> {
        let by_host = self.by_host.load();
        let mut of_host = by_host.get(host)?.iter();
        let challenge = of_host.find(|challenge| *challenge.token == *token)?;
        Some(challenge.key_authorization.clone())
    }

    /// The response to a request with this method, host and path, in their normal form; `None` if it asks for no challenge
    /// that is answered.
    pub(crate) fn response(&self, method: &[u8], host: Option<&[u8]>, path: &[u8]) -> Option<Box<str>> {
        if !self.any() || !matches!(method, b"GET" | b"HEAD") {
            return None;
        }
        let token = str::from_utf8(path.strip_prefix(PATH)?).ok()?;
        self.over_http(str::from_utf8(host?).ok()?, token)
    }

    /// The configuration for a handshake that begins with `hello`; `None` if it asks for no challenge that is answered.
    ///
    /// # Errors
    /// The system provides no randomness.
    pub(crate) fn handshake(
        &self,
        hello: &ClientHello<'_>,
    ) -> Result<Option<Arc<ServerConfig>>, ChallengeError> {
        if !self.any() || !challenge::is_asked_for(hello) {
            return Ok(None);
        }
        let Some(host) = hello.server_name() else {
            return Ok(None);
        };
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let Some(challenge) = self.in_tls(&host) else {
            return Ok(None);
        };
        challenge::server_config(&challenge.host, &challenge.key_authorization).map(Some)
    }

    /// The latest challenge of a host, for a handshake. An authority asks for one at a time.
    pub fn in_tls(&self, host: &str) -> Option<Challenge> {
        self.by_host.load().get(host)?.last().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(host: &str, token: &str) -> Challenge {
        Challenge {
            host: host.into(),
            token: token.into(),
            key_authorization: format!("{token}.thumb").into(),
        }
    }

    #[test]
    fn challenge_is_answered_for_its_host_alone_and_until_it_is_replaced() {
        let challenges = Challenges::default();
        assert!(!challenges.any());
        challenges.set([challenge("a.test", "1"), challenge("a.test", "2")]);
        assert!(challenges.any());
        assert_eq!(challenges.over_http("a.test", "1").as_deref(), Some("1.thumb"));
        assert_eq!(challenges.over_http("a.test", "3"), None);
        assert_eq!(challenges.over_http("b.test", "1"), None);
        assert_eq!(challenges.in_tls("a.test"), Some(challenge("a.test", "2")));
        assert_eq!(challenges.in_tls("b.test"), None);
        challenges.set([]);
        assert!(!challenges.any());
        assert_eq!(challenges.over_http("a.test", "1"), None);
    }

    #[test]
    fn request_asks_for_a_challenge_by_method_host_and_path() {
        let challenges = Challenges::default();
        let response = |method: &str, host: Option<&str>, path: &str| {
            let (method, path) = (method.as_bytes(), path.as_bytes());
            challenges.response(method, host.map(str::as_bytes), path)
        };
        let path = "/.well-known/acme-challenge/1";
        assert_eq!(response("GET", Some("a.test"), path), None);
        challenges.set([challenge("a.test", "1")]);
        for method in ["GET", "HEAD"] {
            let answer = response(method, Some("a.test"), path);
            assert_eq!(answer.as_deref(), Some("1.thumb"), "{method}");
        }
        for (method, host, path) in [
            ("POST", Some("a.test"), path),
            ("get", Some("a.test"), path),
            ("GET", Some("b.test"), path),
            ("GET", None, path),
            ("GET", Some("a.test"), "/.well-known/acme-challenge/2"),
            ("GET", Some("a.test"), "/.well-known/acme-challenge/1/"),
            ("GET", Some("a.test"), "/.well-known/acme-challenge/"),
            ("GET", Some("a.test"), "/.well-known/acme-challenge"),
            ("GET", Some("a.test"), "/a/.well-known/acme-challenge/1"),
            ("GET", Some("a.test"), "*"),
        ] {
            assert_eq!(response(method, host, path), None, "{method} {host:?} {path}");
        }
    }
}
