//! Access control for the API.
//!
//! With a token file, a request needs a token. Without one, every client that reaches the address has access, except web
//! pages in a browser: `Host` reveals a page that has rebound its name to our address (DNS rebinding), `Origin` and
//! `Sec-Fetch-Site` reveal any other.
//!
//! A token may be for reading only: its client sees everything and changes nothing.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::problem::Problem;

/// Maximum size of a token file.
const TOKEN_FILE_BYTES_MAX: u64 = 1 << 20;
/// The default name of a client without a token.
const LOCAL: &str = "local";
/// The header by which a client without a token states its name, for the record only.
pub const USER: &str = "waypost-user";
/// The header of a request that is meant for one instance of a fleet, with its id. Any other one refuses it: an address is not
/// always that of the instance that has written it.
pub const INSTANCE: &str = "waypost-instance";
/// The header of a request that another instance of the fleet passes on to the leader, with the id of that instance.
pub const PASSED_ON: &str = "waypost-passed-on";
/// The header by which an instance of the fleet states whose request it passes on.
pub const BEHALF: &str = "waypost-behalf";
/// The name of the token that instances of a fleet ask each other with. Its clients alone are believed whose requests they
/// pass on.
pub const FLEET_TOKEN: &str = "fleet";

/// Access to an admin address.
#[derive(Debug)]
pub struct Access {
    tokens: Option<TokenFile>,
    /// True for a unix socket, which browsers cannot reach.
    is_unix: bool,
}

/// A token file, reloaded when it changes.
#[derive(Debug)]
struct TokenFile {
    path: PathBuf,
    cache: Mutex<Cache>,
}

#[derive(Debug)]
struct Cache {
    stamp: Option<Stamp>,
    tokens: Vec<Token>,
}

#[derive(Debug)]
struct Token {
    client: Admitted,
    secret: Vec<u8>,
}

/// A client that is admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The name of its token, or of a local user.
    pub name: String,
    /// The rights that it has.
    pub role: Role,
}

/// The rights of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It sees everything, and changes nothing.
    Read,
    /// It changes what it wants.
    Write,
}

/// The word behind a token that only reads.
const READ: &str = "read";

/// A token file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("the token file `{}` cannot be read: {error}", path.display())]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// The file has no token.
    #[error("the token file `{}` has no token; write one `[NAME] TOKEN` a line", path.display())]
    Empty {
        /// The path of the file.
        path: PathBuf,
    },
    /// The word `read` stands where a token is expected.
    #[error(
        "`read` in line {line} of the token file `{}` is no token; a token that only reads is `NAME TOKEN read`",
        path.display()
    )]
    NoToken {
        /// The path of the file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
    },
}

impl Access {
    /// Access by the tokens of a file, or without tokens.
    ///
    /// # Errors
    /// The token file cannot be used.
    pub fn new(token_file: Option<PathBuf>, is_unix: bool) -> Result<Self, TokenError> {
        let tokens = match token_file {
            Some(path) => {
                // Taken before the read, so that a change in between is noticed later.
                let stamp = stamp(&path);
                let tokens = read_tokens(&path)?;
                Some(TokenFile {
                    path,
                    cache: Mutex::new(Cache { stamp, tokens }),
                })
            }
            None => None,
        };
        Ok(Self { tokens, is_unix })
    }

    /// Admits a request; returns its client.
    ///
    /// # Errors
    /// 401 without a valid token, 403 for a web page.
    pub fn admit(&self, headers: &HeaderMap) -> Result<Admitted, Problem> {
        self.refuse_web_pages(headers)?;
        match &self.tokens {
            Some(tokens) => {
                let mut client = tokens.client_of(headers)?;
                if client.name == FLEET_TOKEN
                    && client.role == Role::Write
                    && let Some(name) = stated(headers, BEHALF)
                {
                    name.clone_into(&mut client.name);
                }
                Ok(client)
            }
            None => Ok(Admitted {
                name: stated(headers, USER).unwrap_or(LOCAL).to_owned(),
                role: Role::Write,
            }),
        }
    }

    /// Admits a request for a file of the dashboard, which needs no token. A link of another site may lead to it.
    ///
    /// # Errors
    /// 403 for a web page that has rebound its name, or that loads the file itself.
    pub fn admit_to_dashboard(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.is_unix {
            return Ok(());
        }
        self.refuse_other_names(headers)?;
        let fetch = |name| headers.get(name).map(|value| value.as_bytes());
        let is_link =
            fetch("sec-fetch-mode") == Some(b"navigate") && fetch("sec-fetch-dest") == Some(b"document");
        match is_link {
            true => Ok(()),
            false => refuse_other_sites(headers),
        }
    }

    fn refuse_web_pages(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.is_unix {
            return Ok(());
        }
        let host = self.refuse_other_names(headers)?;
        let origins = headers.get_all(header::ORIGIN);
        for origin in origins {
            let own = host.map(|host| format!("http://{host}"));
            if own.is_none_or(|own| !origin.as_bytes().eq_ignore_ascii_case(own.as_bytes())) {
                return forbidden("the request comes from a web page of another origin");
            }
        }
        refuse_other_sites(headers)
    }

    /// Refuses a name that DNS may lead to our address; returns the host.
    fn refuse_other_names<'h>(&self, headers: &'h HeaderMap) -> Result<Option<&'h str>, Problem> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok());
        if hosts.next().is_some() {
            return forbidden("there are two `Host` headers");
        }
        if self.tokens.is_none() && !host.is_some_and(is_loopback) {
            return forbidden("without a token, `Host` must be a loopback address or `localhost`");
        }
        Ok(host)
    }
}

/// The name that a header states, if it is one.
fn stated<'h>(headers: &'h HeaderMap, header: &str) -> Option<&'h str> {
    let name = headers.get(header)?.to_str().ok()?;
    let is_name = (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    is_name.then_some(name)
}

fn refuse_other_sites(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get("sec-fetch-site").map(|site| site.as_bytes()) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => forbidden("the request comes from a web page of another site"),
    }
}

fn forbidden<T>(detail: &str) -> Result<T, Problem> {
    Err(Problem::new(StatusCode::FORBIDDEN, detail))
}

impl TokenFile {
    fn client_of(&self, headers: &HeaderMap) -> Result<Admitted, Problem> {
        let unauthorized = |detail: &str| Problem::new(StatusCode::UNAUTHORIZED, detail);
        let given = headers
            .get(header::AUTHORIZATION)
            .map(|value| value.as_bytes())
            .and_then(|value| {
                let (scheme, token) = value.split_at_checked(7)?;
                scheme
                    .eq_ignore_ascii_case(b"bearer ")
                    .then(|| token.trim_ascii())
            });
        let Some(given) = given else {
            return Err(unauthorized("a token is required: `Authorization: Bearer TOKEN`"));
        };
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamp(&self.path);
        if now != cache.stamp {
            // No client is admitted while the file is unreadable.
            cache.tokens = read_tokens(&self.path).unwrap_or_default();
            cache.stamp = now;
        }
        // Compare with every token, so that the time reveals nothing.
        let mut client = None;
        for token in &cache.tokens {
            if bool::from(token.secret.ct_eq(given)) {
                client = Some(token.client.clone());
            }
        }
        client.ok_or_else(|| unauthorized("the token is unknown"))
    }
}

/// Metadata that changes with the content of a file: device, inode, length and `ctime`, which programs cannot set.
type Stamp = (u64, u64, u64, i64, i64);

fn stamp(path: &PathBuf) -> Option<Stamp> {
    let file = fs::metadata(path).ok()?;
    Some((
        file.dev(),
        file.ino(),
        file.len(),
        file.ctime(),
        file.ctime_nsec(),
    ))
}

fn read_tokens(path: &PathBuf) -> Result<Vec<Token>, TokenError> {
    let unreadable = |error| TokenError::Unreadable {
        path: path.clone(),
        error,
    };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        // Reading a pipe would block.
        return Err(unreadable(io::Error::other("it is not a file")));
    }
    if metadata.len() > TOKEN_FILE_BYTES_MAX {
        return Err(unreadable(io::ErrorKind::FileTooLarge.into()));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let tokens = parse_tokens(text.trim_start_matches('\u{feff}')).map_err(|line| TokenError::NoToken {
        path: path.clone(),
        line,
    })?;
    if tokens.is_empty() {
        return Err(TokenError::Empty { path: path.clone() });
    }
    Ok(tokens)
}

/// Parses lines of `[NAME] TOKEN` or `NAME TOKEN read`. Empty lines and lines that begin with `#` are ignored.
///
/// The error is the number of a line whose token would be `read`: it would give all rights where few were meant.
fn parse_tokens(text: &str) -> Result<Vec<Token>, usize> {
    let lines = text.lines().map(str::trim).enumerate();
    let tokens = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    tokens
        .map(|(at, line)| {
            let (name, secret) = match line.split_once(char::is_whitespace) {
                Some((name, rest)) => (name, rest.trim()),
                None => ("token", line),
            };
            let (secret, role) = match secret.rsplit_once(char::is_whitespace) {
                Some((secret, READ)) => (secret.trim_end(), Role::Read),
                _ => (secret, Role::Write),
            };
            if secret == READ {
                return Err(at + 1);
            }
            let name = name.to_owned();
            Ok(Token {
                client: Admitted { name, role },
                secret: secret.as_bytes().to_vec(),
            })
        })
        .collect()
}

/// Returns true if a `Host` is a loopback address or `localhost`, which no DNS name can be rebound to.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    let is_address = name
        .parse::<IpAddr>()
        .is_ok_and(|ip| ip.to_canonical().is_loopback());
    is_address || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let fields = fields.iter().map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, value.parse().unwrap())
        });
        fields.collect()
    }

    fn check(access: &Access, fields: &[(&str, &str)], expected: Result<&str, u16>) {
        let admitted = access.admit(&headers(fields)).map_err(|problem| problem.status);
        let admitted = admitted.map(|client| client.name);
        assert_eq!(admitted, expected.map(str::to_owned), "{fields:?}");
    }

    #[test]
    fn only_loopback_hosts_are_admitted_without_tokens() {
        let open = Access::new(None, false).unwrap();
        for host in [
            "127.0.0.1",
            "127.0.0.1:9900",
            "LocalHost:1",
            "[::1]:9900",
            "127.8.9.1",
        ] {
            check(&open, &[("host", host)], Ok("local"));
        }
        for host in [
            "evil.example:9900",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "",
            "localhost.:1",
        ] {
            check(&open, &[("host", host)], Err(403));
        }
        check(&open, &[], Err(403));
        let mut two = headers(&[("host", "localhost")]);
        two.append("host", "evil.example".parse().unwrap());
        assert!(open.admit(&two).is_err());
        check(
            &open,
            &[("host", "localhost"), ("waypost-user", "ann")],
            Ok("ann"),
        );
        check(
            &open,
            &[("host", "localhost"), ("waypost-user", "a b")],
            Ok("local"),
        );
    }

    #[test]
    fn web_pages_are_refused() {
        let open = Access::new(None, false).unwrap();
        let own = ("host", "127.0.0.1:9900");
        check(&open, &[own, ("origin", "http://127.0.0.1:9900")], Ok("local"));
        for origin in [
            "http://evil.example",
            "null",
            "http://127.0.0.1:80",
            "https://127.0.0.1:9900",
        ] {
            check(&open, &[own, ("origin", origin)], Err(403));
        }
        check(&open, &[own, ("sec-fetch-site", "cross-site")], Err(403));
        check(&open, &[own, ("sec-fetch-site", "same-origin")], Ok("local"));
        let socket = Access::new(None, true).unwrap();
        check(&socket, &[], Ok("local"));
    }

    #[test]
    fn tokens_have_roles() {
        let parsed = |text: &str| {
            let tokens = parse_tokens(text)?;
            let tokens = tokens.into_iter().map(|token| {
                let secret = String::from_utf8(token.secret).unwrap();
                (token.client.name, secret, token.client.role)
            });
            Ok::<_, usize>(tokens.collect::<Vec<_>>())
        };
        let token = |name: &str, secret: &str, role| (name.to_owned(), secret.to_owned(), role);
        assert_eq!(
            parsed("ann s-1\n\ns-2\nbob\ts-3  read\ncid s-4 readers\n"),
            Ok(vec![
                token("ann", "s-1", Role::Write),
                token("token", "s-2", Role::Write),
                token("bob", "s-3", Role::Read),
                token("cid", "s-4 readers", Role::Write),
            ])
        );
        assert_eq!(parsed("ann s-1\nbob read\n"), Err(2));
        assert_eq!(parsed("read"), Err(1));
        assert_eq!(parsed("ann read read"), Err(1));
    }

    #[test]
    fn tokens_have_names_and_are_reloaded() {
        let directory = std::env::temp_dir().join(format!("waypost-tokens-{}", std::process::id()));
        fs::write(&directory, "# ours\n\nann  secret-1 \nsecret-2\n").unwrap();
        let access = Access::new(Some(directory.clone()), false).unwrap();
        let bearer = |token: &str| format!("Bearer {token}");
        check(&access, &[("authorization", &bearer("secret-1"))], Ok("ann"));
        check(
            &access,
            &[("host", "gw.example"), ("authorization", &bearer("secret-2"))],
            Ok("token"),
        );
        for other in ["secret", "secret-12", "", "ann", "ann secret-1"] {
            check(&access, &[("authorization", &bearer(other))], Err(401));
        }
        check(&access, &[("authorization", "Basic secret-1")], Err(401));
        check(&access, &[], Err(401));
        let with_origin = [
            ("origin", "http://evil.example"),
            ("authorization", &*bearer("secret-1")),
        ];
        check(&access, &with_origin, Err(403));
        fs::write(&directory, "bob secret-three\n").unwrap();
        check(&access, &[("authorization", &bearer("secret-1"))], Err(401));
        check(&access, &[("authorization", &bearer("secret-three"))], Ok("bob"));
        fs::remove_file(&directory).unwrap();
        check(&access, &[("authorization", &bearer("secret-three"))], Err(401));
        assert!(matches!(
            Access::new(Some(directory), false),
            Err(TokenError::Unreadable { .. })
        ));
    }
}
