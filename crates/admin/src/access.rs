//! Who may use the API.
//!
//! With a token file, whoever has a token. Without one, whoever reaches the address, but no web page through
//! somebody's browser: a page that has rebound its name to our address is given away by `Host`, any other page by
//! `Origin` or `Sec-Fetch-Site`.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, StatusCode, header};
use subtle::ConstantTimeEq as _;

use crate::problem::Problem;

/// The most that a token file may hold.
const TOKEN_FILE_BYTES_MAX: u64 = 1 << 20;
/// What a client without a token is known as, unless it says.
const LOCAL: &str = "local";
/// The header by which a client without a token says who it is, for the record only.
pub const USER: &str = "waypost-user";

/// Who may use an admin address.
#[derive(Debug)]
pub struct Access {
    tokens: Option<TokenFile>,
    /// Whether it is a unix socket, which no browser reaches.
    is_unix: bool,
}

/// Tokens, read again whenever their file changes.
#[derive(Debug)]
struct TokenFile {
    path: PathBuf,
    read: Mutex<Read>,
}

#[derive(Debug)]
struct Read {
    print: Option<Print>,
    tokens: Vec<Token>,
}

#[derive(Debug)]
struct Token {
    name: String,
    secret: Vec<u8>,
}

/// Why a token file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("the token file `{}` cannot be read: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It has no token.
    #[error("the token file `{}` has no token; write one `[NAME] TOKEN` a line", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

impl Access {
    /// Access by tokens, or to everybody who reaches the address.
    ///
    /// # Errors
    /// When the token file cannot be used.
    pub fn new(token_file: Option<PathBuf>, is_unix: bool) -> Result<Self, TokenError> {
        let tokens = match token_file {
            Some(path) => {
                // First, so that a change in between is seen later.
                let print = print(&path);
                let tokens = read_tokens(&path)?;
                Some(TokenFile {
                    path,
                    read: Mutex::new(Read { print, tokens }),
                })
            }
            None => None,
        };
        Ok(Self { tokens, is_unix })
    }

    /// Lets a request in, and says whose it is.
    ///
    /// # Errors
    /// 401 without a token that is known, 403 for a web page.
    pub fn admit(&self, headers: &HeaderMap) -> Result<String, Problem> {
        self.keep_pages_out(headers)?;
        match &self.tokens {
            Some(tokens) => tokens.name_of(headers),
            None => {
                let user = headers.get(USER).and_then(|user| user.to_str().ok());
                let fits = |user: &&str| {
                    (1..=64).contains(&user.len()) && user.bytes().all(|byte| byte.is_ascii_graphic())
                };
                Ok(user.filter(fits).unwrap_or(LOCAL).to_owned())
            }
        }
    }

    fn keep_pages_out(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let forbidden = |detail: &str| Err(Problem::new(StatusCode::FORBIDDEN, detail));
        if self.is_unix {
            return Ok(());
        }
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok());
        if hosts.next().is_some() {
            return forbidden("there are two hosts");
        }
        if self.tokens.is_none() && !host.is_some_and(is_loopback) {
            return forbidden("without a token, the host has to be a loopback address or `localhost`");
        }
        let origins = headers.get_all(header::ORIGIN);
        for origin in origins {
            let own = host.map(|host| format!("http://{host}"));
            if own.is_none_or(|own| !origin.as_bytes().eq_ignore_ascii_case(own.as_bytes())) {
                return forbidden("a web page of another origin asks");
            }
        }
        match headers.get("sec-fetch-site").map(|site| site.as_bytes()) {
            None | Some(b"same-origin" | b"none") => Ok(()),
            Some(_) => forbidden("a web page of another site asks"),
        }
    }
}

impl TokenFile {
    fn name_of(&self, headers: &HeaderMap) -> Result<String, Problem> {
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
            return Err(unauthorized("a token is needed: `Authorization: Bearer TOKEN`"));
        };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let now = print(&self.path);
        if now != read.print {
            // While the file cannot be read, nobody is let in.
            read.tokens = read_tokens(&self.path).unwrap_or_default();
            read.print = now;
        }
        // All are compared, so that the time tells nothing.
        let mut name = None;
        for token in &read.tokens {
            if bool::from(token.secret.ct_eq(given)) {
                name = Some(token.name.clone());
            }
        }
        name.ok_or_else(|| unauthorized("the token is not known"))
    }
}

/// What changes with a file's content, and is cheap to ask: device, inode, length, and the time of the last change,
/// which nobody can set.
type Print = (u64, u64, u64, i64, i64);

fn print(path: &PathBuf) -> Option<Print> {
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
        // A pipe would be waited for.
        return Err(unreadable(io::Error::other("it is not a file")));
    }
    if metadata.len() > TOKEN_FILE_BYTES_MAX {
        return Err(unreadable(io::ErrorKind::FileTooLarge.into()));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let tokens = parse_tokens(text.trim_start_matches('\u{feff}'));
    if tokens.is_empty() {
        return Err(TokenError::Empty { path: path.clone() });
    }
    Ok(tokens)
}

/// `[NAME] TOKEN` a line; empty lines and those that begin with `#` say nothing.
fn parse_tokens(text: &str) -> Vec<Token> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (name, secret) = match line.split_once(char::is_whitespace) {
                Some((name, secret)) => (name, secret.trim()),
                None => ("token", line),
            };
            Token {
                name: name.to_owned(),
                secret: secret.as_bytes().to_vec(),
            }
        })
        .collect()
}

/// Whether a `Host` names this machine in a way that nobody else can claim.
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
        assert_eq!(
            admitted.as_deref(),
            expected.as_ref().map(|name| *name),
            "{fields:?}"
        );
    }

    #[test]
    fn without_a_token_only_loopback_names_are_let_in() {
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
    fn pages_are_kept_out() {
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
    fn tokens_are_known_by_name_and_read_again() {
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
