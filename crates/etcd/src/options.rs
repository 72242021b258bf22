//! Settings of a client.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use waypost_tls::client::ClientTls;

/// Settings of a client. [`Options::new`] has defaults for everything but the endpoints.
#[derive(Debug, Clone)]
pub struct Options {
    /// The members of the cluster. The first that answers is used as long as it does.
    pub endpoints: Vec<Endpoint>,
    /// TLS, for endpoints that are not said to be without.
    pub tls: Option<ClientTls>,
    /// The user, if etcd asks for one.
    pub user: Option<User>,
    /// The way to look the user up anew once etcd does not accept it.
    pub user_anew: Option<UserAnew>,
    /// The time that a call may take, with all its attempts.
    pub deadline: Duration,
    /// The time to connect to a member and to get a first answer from it.
    pub connect: Duration,
    /// The shortest and the longest wait before all endpoints are tried again.
    pub back_off: BackOff,
    /// The largest request in bytes. etcd takes 1.5 MiB unless it is told otherwise.
    pub request_bytes_max: usize,
    /// The largest response in bytes, and the largest change of a watch when it comes in fragments.
    pub response_bytes_max: usize,
    /// A watch that got nothing for this time asks if the member is there, and gives it as long to answer.
    pub heartbeat: Duration,
}

/// Bounds of the wait before all endpoints are tried again. It doubles each time, less up to half at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackOff {
    /// The first wait.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
}

impl Options {
    /// The defaults, with these endpoints.
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        Self {
            endpoints,
            tls: None,
            user: None,
            user_anew: None,
            deadline: Duration::from_secs(5),
            connect: Duration::from_secs(2),
            back_off: BackOff {
                min: Duration::from_millis(50),
                max: Duration::from_secs(2),
            },
            request_bytes_max: 3 << 19,
            response_bytes_max: 64 << 20,
            heartbeat: Duration::from_secs(2),
        }
    }
}

impl BackOff {
    /// The wait after `failures` failures in a row; `roll` is uniform in `[0, 1)`.
    pub(crate) fn wait(self, failures: u32, roll: f64) -> Duration {
        let doubled = self
            .min
            .saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.max).mul_f64(1.0 - roll / 2.0)
    }
}

/// A user of etcd with a password.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

/// A way to look up a user whose name or password may have changed; `None` if there is none to be had.
#[derive(Clone)]
pub struct UserAnew(pub Arc<dyn Fn() -> Option<User> + Send + Sync>);

impl fmt::Debug for UserAnew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserAnew").finish_non_exhaustive()
    }
}

/// Without the password.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The address of a member's client interface: `host:port`, or a URL with `http` or `https`.
///
/// Without a scheme there is TLS if the options have TLS. The default port is 2379.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// TLS or not, if it is said.
    scheme: Option<Scheme>,
    /// A name or an address; IPv6 without brackets.
    host: String,
    port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Scheme {
    Http,
    Https,
}

/// A text that is not an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The scheme is neither `http` nor `https`.
    #[error("the scheme `{0}` is neither `http` nor `https`")]
    Scheme(String),
    /// There is something behind host and port.
    #[error("there is something behind host and port: `{0}`")]
    Path(String),
    /// The host is not a name or an address.
    #[error("`{0}` is not a host")]
    Host(String),
    /// The port is not a number from 1 to 65535.
    #[error("`{0}` is not a port")]
    Port(String),
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (scheme, rest) = match text.split_once("://") {
            None => (None, text),
            Some(("http", rest)) => (Some(Scheme::Http), rest),
            Some(("https", rest)) => (Some(Scheme::Https), rest),
            Some((scheme, _)) => return Err(EndpointError::Scheme(scheme.to_owned())),
        };
        let rest = match scheme {
            Some(_) => rest.strip_suffix('/').unwrap_or(rest),
            None => rest,
        };
        if let Some(place) = rest.find(['/', '?', '#']) {
            return Err(EndpointError::Path(rest[place..].to_owned()));
        }
        let (host, port) = match rest.strip_prefix('[') {
            Some(address) => {
                let (host, behind) = address
                    .split_once(']')
                    .ok_or_else(|| EndpointError::Host(rest.to_owned()))?;
                let port = match behind {
                    "" => None,
                    _ => Some(
                        behind
                            .strip_prefix(':')
                            .ok_or_else(|| EndpointError::Port(behind.to_owned()))?,
                    ),
                };
                if host.parse::<std::net::Ipv6Addr>().is_err() {
                    return Err(EndpointError::Host(host.to_owned()));
                }
                (host, port)
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        if host.is_empty()
            || !host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte))
        {
            return Err(EndpointError::Host(host.to_owned()));
        }
        let port = match port {
            None => 2379,
            Some(port) => match port.parse() {
                Ok(number) if number > 0 && port.bytes().all(|byte| byte.is_ascii_digit()) => number,
                _ => return Err(EndpointError::Port(port.to_owned())),
            },
        };
        Ok(Self {
            scheme,
            host: host.to_owned(),
            port,
        })
    }
}

impl Endpoint {
    /// The name or address; IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns true if it is said to have TLS, or nothing is said and there is TLS to be had.
    pub(crate) fn has_tls(&self, is_configured: bool) -> bool {
        self.scheme
            .map_or(is_configured, |scheme| scheme == Scheme::Https)
    }

    /// Host and port, as a URL has them.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// As it was written, with the port.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scheme {
            None => {}
            Some(Scheme::Http) => f.write_str("http://")?,
            Some(Scheme::Https) => f.write_str("https://")?,
        }
        f.write_str(&self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_addresses_or_urls() {
        for (text, expected) in [
            ("10.0.0.1:2379", "10.0.0.1:2379"),
            ("etcd-0.internal", "etcd-0.internal:2379"),
            ("http://a:1", "http://a:1"),
            ("https://a:1/", "https://a:1"),
            ("[::1]:2380", "[::1]:2380"),
            ("https://[::1]", "https://[::1]:2379"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_part_that_is_wrong() {
        for (text, expected) in [
            ("", EndpointError::Host(String::new())),
            ("ftp://a", EndpointError::Scheme("ftp".to_owned())),
            ("a:1/b", EndpointError::Path("/b".to_owned())),
            ("a:1/", EndpointError::Path("/".to_owned())),
            ("a:0", EndpointError::Port("0".to_owned())),
            ("a:+1", EndpointError::Port("+1".to_owned())),
            ("a:65536", EndpointError::Port("65536".to_owned())),
            ("a:", EndpointError::Port(String::new())),
            ("a b:1", EndpointError::Host("a b".to_owned())),
            ("u@a:1", EndpointError::Host("u@a".to_owned())),
            ("[::1", EndpointError::Host("[::1".to_owned())),
            ("[a]:1", EndpointError::Host("a".to_owned())),
            ("::1", EndpointError::Host(String::new())),
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(expected), "{text}");
        }
    }

    #[test]
    fn tls_is_used_where_it_is_said_or_configured() {
        for (text, with, without) in [
            ("a:1", true, false),
            ("http://a:1", false, false),
            ("https://a:1", true, true),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!((endpoint.has_tls(true), endpoint.has_tls(false)), (with, without));
        }
    }

    #[test]
    fn waits_double_up_to_a_bound_and_differ() {
        let back_off = BackOff {
            min: Duration::from_millis(100),
            max: Duration::from_secs(1),
        };
        for (failures, roll, expected_ms) in [
            (1, 0.0, 100),
            (2, 0.0, 200),
            (2, 0.5, 150),
            (5, 0.0, 1000),
            (1000, 0.0, 1000),
        ] {
            assert_eq!(back_off.wait(failures, roll), Duration::from_millis(expected_ms));
        }
    }

    #[test]
    fn passwords_are_not_printed() {
        let user = User {
            name: "waypost".to_owned(),
            password: "secret".to_owned(),
        };
        assert!(!format!("{user:?}").contains("secret"));
    }
}
