//! Endpoints of services: URLs, alone or with more to say of each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use waypost_plan::service::{Endpoint, EndpointHost, EndpointScheme};
use waypost_wire::authority::AuthorityError;

use crate::diagnostic::Code;
use crate::document;
use crate::either::UrlsOr;
use crate::keys::At;
use crate::lower::{host, whole};
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::suggest::correction::{before_path, corrected, plain};
use crate::tree::Origin;

/// Maximum length of the path of a unix socket (`sun_path`, without its NUL).
const SOCKET_BYTES_MAX: usize = 107;

/// Maximum weight of an endpoint.
const WEIGHT_MAX: u64 = 1000;

/// A URL that is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum EndpointError {
    #[error("has no scheme")]
    NoScheme,
    #[error("has another scheme than `http`, `https` or `h2c`")]
    Scheme,
    #[error("has user information")]
    User,
    #[error("has a path")]
    Slash,
    #[error("has a path")]
    Path,
    #[error("has a query")]
    Query,
    #[error("has a fragment")]
    Fragment,
    #[error("is not an endpoint: {0}")]
    Authority(AuthorityError),
    #[error("has port 0, on which nothing can listen")]
    PortZero,
    #[error("is not an endpoint: the host is not a valid IPv4 address")]
    NotIpv4,
    #[error("has no absolute path of a socket")]
    RelativeSocket,
    #[error("has a path that is too long: that of a socket may have 107 bytes, and this one has {0}")]
    LongSocket(usize),
    #[error("is not the path of a socket")]
    NoSocket,
    #[error("has a port, which SRV records say")]
    PortOfService,
    #[error("has an address, which has no SRV records")]
    AddressOfService,
    #[error("has a scheme beside `unix:`")]
    SchemeOfSocket,
}

/// Lowers an item of `endpoints`: a URL, or several where a variable brings them, or a mapping.
pub(super) fn of(
    written: &At<UrlsOr<document::service::Endpoint>>,
    problems: &mut Problems,
) -> Vec<Endpoint> {
    match &written.value {
        UrlsOr::Urls(urls) if urls.origin != Origin::Written => {
            let urls = separated(&urls.text);
            urls.filter_map(|url| endpoint(url, written.span, problems))
                .collect()
        }
        UrlsOr::Urls(url) => endpoint(&url.text, written.span, problems).into_iter().collect(),
        UrlsOr::Mapping(given) => mapping(given, problems).into_iter().collect(),
    }
}

/// Lowers a mapping of `endpoints`.
fn mapping(given: &document::service::Endpoint, problems: &mut Problems) -> Option<Endpoint> {
    let weight = given
        .weight
        .as_ref()
        .map(|weight| whole(weight, 0, WEIGHT_MAX, problems));
    let url = given.url.as_ref()?;
    let mut endpoint = endpoint(&url.value, url.span, problems)?;
    if let (EndpointHost::Service(_), Some(weight)) = (&endpoint.host, &given.weight) {
        problems
            .add(
                Code::ConflictingKeys,
                weight.key,
                "`weight` has no effect: SRV records say the weights",
            )
            .label(url.span, "this endpoint")
            .help("leave `weight` out");
        return None;
    }
    if let Some(weight) = weight {
        endpoint.weight = u32::try_from(weight).unwrap_or(u32::MAX);
    }
    endpoint.backup = given.backup.as_ref().is_some_and(|backup| backup.value);
    Some(endpoint)
}

/// The parts of a list in one text, separated by commas or blanks.
fn separated(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split(|c: char| c == ',' || c.is_whitespace());
    parts.filter(|part| !part.is_empty())
}

/// Lowers the URL of an endpoint: scheme, host and optional port.
fn endpoint(url: &str, span: Span, problems: &mut Problems) -> Option<Endpoint> {
    use EndpointError as E;
    let error = match parse_endpoint(url) {
        Ok(endpoint) => return Some(endpoint),
        Err(error) => error,
    };
    let is_list = separated(url).count() > 1 && separated(url).all(|part| parse_endpoint(part).is_ok());
    let meant = corrected(url, |url| parse_endpoint(url).map(drop), correct_endpoint);
    let help = match (&error, &meant) {
        _ if is_list => {
            let items: Vec<String> = separated(url).map(quote).collect();
            format!("make each an item of the list: {}", items.join(", "))
        }
        (E::User, Some(meant)) => format!("leave it out: `{meant}`"),
        (E::Slash, Some(meant)) => format!("leave the `/` out: `{meant}`"),
        (E::Path, Some(meant)) => {
            format!("write `{meant}`, and the path as `rewrite: {{ prefix: … }}` of a route")
        }
        (_, Some(meant)) => format!("write `{meant}`"),
        (E::RelativeSocket | E::LongSocket(_) | E::NoSocket, None) => {
            "write an absolute path such as `unix:/run/orders.sock`".to_owned()
        }
        (_, None) => "an endpoint is `http://host` or `http://host:port`".to_owned(),
    };
    let problem = problems
        .add(Code::BadEndpoint, span, format!("{} {error}", quote(url)))
        .help(help);
    match meant {
        _ if is_list => {}
        // Without a scheme, HTTP is all that it can be.
        Some(meant)
            if matches!(error, E::NoScheme | E::Slash) && meant.contains(url.trim_end_matches('/')) =>
        {
            problem.mend(span, url, plain(&meant));
        }
        Some(meant) => {
            problem.propose(span, url, plain(&meant));
        }
        None => {}
    }
    None
}

/// Mends one error of an endpoint.
fn correct_endpoint(url: &str, error: &EndpointError) -> Option<String> {
    if let EndpointError::SchemeOfSocket = error {
        // `http://unix:/run/a.sock:/path` is how nginx writes it.
        let (_, path) = url.rsplit_once("unix:")?;
        let path = path.trim_start_matches('/').split(':').next()?;
        return Some(format!("unix:/{path}"));
    }
    if url.starts_with("unix:") {
        return None;
    }
    let (scheme, rest) = match url.split_once("://") {
        None if url.starts_with('/') => return Some(format!("unix:{url}")),
        Some((scheme, rest)) => (scheme, rest),
        None => return Some(format!("http://{url}")),
    };
    Some(match error {
        EndpointError::Scheme => {
            let meant = match scheme.to_ascii_lowercase().as_str() {
                "grpc" | "h2" | "http2" | "h2c" => "h2c",
                "grpcs" | "tls" | "ssl" | "https" => "https",
                _ => "http",
            };
            format!("{meant}://{rest}")
        }
        EndpointError::User => {
            let (user, _) = before_path(rest).rsplit_once('@')?;
            format!("{scheme}://{}", &rest[user.len() + 1..])
        }
        EndpointError::Slash | EndpointError::Path | EndpointError::Query | EndpointError::Fragment => {
            format!("{scheme}://{}", before_path(rest))
        }
        EndpointError::Authority(_) if rest.parse::<Ipv6Addr>().is_ok() => format!("{scheme}://[{rest}]"),
        EndpointError::PortOfService => format!("{scheme}://{}", rest.rsplit_once(':')?.0),
        EndpointError::Authority(AuthorityError::Port) => format!("{scheme}://{}", rest.strip_suffix(':')?),
        EndpointError::NoScheme
        | EndpointError::Authority(_)
        | EndpointError::PortZero
        | EndpointError::NotIpv4
        | EndpointError::RelativeSocket
        | EndpointError::LongSocket(_)
        | EndpointError::AddressOfService
        | EndpointError::NoSocket
        | EndpointError::SchemeOfSocket => return None,
    })
}

fn parse_endpoint(url: &str) -> Result<Endpoint, EndpointError> {
    if let Some(path) = url.strip_prefix("unix:") {
        return parse_socket(path);
    }
    let (written, rest) = url.split_once("://").ok_or(EndpointError::NoScheme)?;
    let plain = written.strip_prefix("srv+");
    let (scheme, port) = match plain.unwrap_or(written) {
        "http" => (EndpointScheme::Http, 80),
        "https" => (EndpointScheme::Https, 443),
        "h2c" => (EndpointScheme::H2c, 80),
        _ => return Err(EndpointError::Scheme),
    };
    if rest.starts_with("unix:") {
        return Err(EndpointError::SchemeOfSocket);
    }
    if before_path(rest).contains('@') {
        return Err(EndpointError::User);
    }
    match &rest[before_path(rest).len()..] {
        "" => {}
        "/" => return Err(EndpointError::Slash),
        extra => {
            return Err(match extra.as_bytes()[0] {
                b'/' => EndpointError::Path,
                b'?' => EndpointError::Query,
                _ => EndpointError::Fragment,
            });
        }
    }
    let authority = host::authority(rest).map_err(EndpointError::Authority)?;
    if authority.port == Some(0) {
        return Err(EndpointError::PortZero);
    }
    let host = String::from_utf8_lossy(authority.host);
    let relative = host.strip_suffix('.').unwrap_or(&host);
    if plain.is_some() && authority.port.is_some() {
        return Err(EndpointError::PortOfService);
    }
    let bare = relative
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(relative);
    let host = match bare.parse::<IpAddr>() {
        Ok(_) if plain.is_some() => return Err(EndpointError::AddressOfService),
        Ok(address) => EndpointHost::Address(address),
        // A name whose last label is a number is a misspelt address: `10.0.0.256`, `10.0.1`.
        Err(_) if is_numeric(bare) => return Err(EndpointError::NotIpv4),
        // With its trailing dot: such a name is not searched for in other domains.
        Err(_) => EndpointHost::Name(host[..].into()),
    };
    if let (EndpointHost::Name(name), true) = (&host, plain.is_some()) {
        let host = EndpointHost::Service(name.clone());
        return Ok(Endpoint::new(rest.into(), host, 0, scheme));
    }
    let port = authority.port.unwrap_or(port);
    Ok(Endpoint::new(rest.into(), host, port, scheme))
}

/// Parses the path of a unix socket.
fn parse_socket(path: &str) -> Result<Endpoint, EndpointError> {
    check_socket(path)?;
    let host = EndpointHost::Unix(path.into());
    Ok(Endpoint::new("localhost".into(), host, 0, EndpointScheme::Http))
}

/// Checks the path of a unix socket.
pub(super) fn check_socket(path: &str) -> Result<(), EndpointError> {
    if path.starts_with("//") {
        return Err(EndpointError::SchemeOfSocket);
    }
    if !path.starts_with('/') {
        return Err(EndpointError::RelativeSocket);
    }
    if path.len() > SOCKET_BYTES_MAX {
        return Err(EndpointError::LongSocket(path.len()));
    }
    if path.ends_with('/') || path.contains(char::is_control) {
        return Err(EndpointError::NoSocket);
    }
    Ok(())
}

fn is_numeric(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    host.parse::<Ipv4Addr>().is_err() && last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: Result<(&str, u16), &str>) {
        let found = parse_endpoint(url).map(|endpoint| {
            let host = match endpoint.host {
                EndpointHost::Address(address) => address.to_string(),
                EndpointHost::Name(name) => name.to_string(),
                EndpointHost::Unix(path) | EndpointHost::Service(path) => path.to_string(),
            };
            (host, endpoint.port)
        });
        match (found, expected) {
            (Ok((host, port)), Ok(expected)) => assert_eq!((&*host, port), expected, "{url}"),
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{url}: {error}");
            }
            (found, _) => panic!("{url}: {found:?}"),
        }
    }

    #[test]
    fn corrections_are_endpoints() {
        for (url, expected) in [
            ("10.0.0.1:8080", Some("http://10.0.0.1:8080")),
            ("HTTPS://a/", Some("https://a")),
            ("grpc://u:p@a:1/x/y?z", Some("h2c://a:1")),
            ("http://::1", Some("http://[::1]")),
            ("http://a:", Some("http://a")),
            ("http://u@a b", None),
            ("ftp://10.0.0.256", None),
            ("http://a:0/", None),
            ("/run/a.sock", Some("unix:/run/a.sock")),
            ("unix:///run/a.sock", Some("unix:/run/a.sock")),
            ("http://unix:/run/a.sock:", Some("unix:/run/a.sock")),
            ("http://unix:/run/a.sock:/", Some("unix:/run/a.sock")),
            ("unix:run/a.sock", None),
            (
                "srv+http://_http._tcp.a.test:80/",
                Some("srv+http://_http._tcp.a.test"),
            ),
            ("", None),
        ] {
            let found = corrected(url, |url| parse_endpoint(url).map(drop), correct_endpoint);
            assert_eq!(found.as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn scheme_host_and_port_and_nothing_else() {
        check("http://10.0.0.1:8080", Ok(("10.0.0.1", 8080)));
        check("http://users.internal", Ok(("users.internal", 80)));
        check("http://[::1]:81", Ok(("::1", 81)));
        check("http://a.test.", Ok(("a.test.", 80)));
        check("unix:/run/a b.sock", Ok(("/run/a b.sock", 0)));
        check("srv+http://_http._tcp.a.test", Ok(("_http._tcp.a.test", 0)));
        check("srv+h2c://a.test.", Ok(("a.test.", 0)));
        check("srv+https://a.test:443", Err("has a port"));
        check("srv+http://10.0.0.1", Err("has an address"));
        check("srv+ftp://a.test", Err("another scheme"));
        check("unix:a.sock", Err("no absolute path"));
        check("unix:", Err("no absolute path"));
        check("unix:/run/", Err("is not the path"));
        check("unix:/run/a\n.sock", Err("is not the path"));
        let path = format!("unix:/{}", "x".repeat(106));
        check(&path, Ok((&path[5..], 0)));
        check(
            &format!("{path}x"),
            Err("may have 107 bytes, and this one has 108"),
        );
        check("10.0.0.1:8080", Err("has no scheme"));
        check("https://a", Ok(("a", 443)));
        check("h2c://a", Ok(("a", 80)));
        check("h2c://a:50051", Ok(("a", 50051)));
        check("grpc://a", Err("another scheme"));
        check("ftp://a", Err("another scheme"));
        check("http://a/", Err("has a path"));
        check("http://a/b?c", Err("has a path"));
        check("http://a?c", Err("has a query"));
        check("http://a#c", Err("has a fragment"));
        check("http://u:p@a", Err("user information"));
        check("http://", Err("the host is empty"));
        check("http://a:0", Err("port 0"));
        check("http://a:99999", Err("the port is not a number"));
        check("http://a:", Err("the port is not a number"));
        check("http://10.0.0.256", Err("not a valid IPv4"));
        check("http://a b", Err("not allowed there"));
    }
}
