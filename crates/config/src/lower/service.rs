//! Services and their endpoints.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use waypost_plan::service::{Endpoint, EndpointHost, EndpointScheme, Pool, Service, Timeouts};
use waypost_wire::authority::AuthorityError;
use waypost_wire::response::ResponseLimits;

use crate::diagnostic::Code;
use crate::document::{self, Document};
use crate::files::TlsFiles;
use crate::keys::At;
use crate::lower::{Context, bytes, duration, host, tls, whole};
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::suggest::correction::{before_path, corrected};
use crate::tree::Origin;
use crate::values::OriginText;

pub(super) fn add_all(document: &Document, context: &mut Context<'_>) {
    for (name, written) in document.services.iter().flat_map(|services| &services.value.0) {
        context.services.declare(name, written.key, context.problems);
        let (service, files) = service(name, &written.value, context);
        // A duplicate name is reported already.
        if let Ok(id) = context.builder.add_service(service) {
            context.service_ids.insert(name.clone(), id);
            context.files.services.push(files);
        } else {
            context.files.refused.push(files);
        }
    }
    // Services that could not be read are reported already; their names are known.
    for (name, span) in document.services.iter().flat_map(|services| &services.value.1) {
        context.services.declare(name, *span, context.problems);
    }
}

/// Warns of services that no route refers to, if there are no errors: a misspelt name in a route would make the
/// intended service unused.
pub(super) fn report_unused(document: &Document, context: &mut Context<'_>) {
    if context.problems.has_errors() {
        return;
    }
    for (name, written) in document.services.iter().flat_map(|services| &services.value.0) {
        if !context.used_services.contains(name) {
            context
                .problems
                .add(
                    Code::UnusedService,
                    written.key,
                    format!("no route leads to the service {}", quote(name)),
                )
                .help("remove it, or name it in a route's `to`");
        }
    }
}

fn service(
    name: &str,
    written: &document::service::Service,
    context: &mut Context<'_>,
) -> (Service, TlsFiles<Span>) {
    let urls = written.endpoints.iter().flat_map(|list| &list.value.0);
    let endpoints: Vec<Endpoint> = urls.flat_map(|url| endpoints(url, context.problems)).collect();
    let schemes: Vec<EndpointScheme> = endpoints.iter().map(|endpoint| endpoint.scheme).collect();
    let (tls, files) = tls::of_service(written, &schemes, context);
    let problems = &mut *context.problems;
    let mut timeouts = Timeouts::default();
    if let Some(given) = &written.timeouts {
        for (field, time) in [
            (&mut timeouts.connect, &given.value.connect),
            (&mut timeouts.response, &given.value.response),
            (&mut timeouts.idle, &given.value.idle),
            (&mut timeouts.tunnel, &given.value.tunnel),
        ] {
            if let Some(time) = time {
                *field = duration(time, Duration::from_millis(1), problems);
            }
        }
    }
    let mut limits = ResponseLimits::default();
    if let Some(given) = &written.limits {
        if let Some(size) = &given.value.header_bytes {
            limits.bytes = bytes(size, 1 << 10, 16 << 20, problems);
        }
        if let Some(number) = &given.value.headers {
            limits.fields = whole(number, 1, 10_000, problems);
        }
    }
    let mut pool = Pool::default();
    if let Some(given) = &written.pool {
        if let Some(number) = &given.value.idle_max {
            pool.idle_max = whole(number, 0, 100_000, problems);
        }
        if let Some(time) = &given.value.idle_timeout {
            pool.idle_timeout = duration(time, Duration::from_millis(1), problems);
        }
    }
    let service = Service {
        timeouts,
        limits,
        pool,
        http2: written.http2.as_ref().is_some_and(|http2| http2.value),
        tls,
        proxy_protocol: written.proxy_protocol.as_ref().map(|version| version.value),
        ..Service::new(name.into(), endpoints)
    };
    (service, files)
}

/// A URL that is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum EndpointError {
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
}

/// Lowers an item of `endpoints`: a URL, or several where a variable brings them.
fn endpoints(written: &At<OriginText>, problems: &mut Problems) -> Vec<Endpoint> {
    let OriginText { text, origin } = &written.value;
    if *origin != Origin::Written {
        let urls = separated(text);
        return urls
            .filter_map(|url| endpoint(url, written.span, problems))
            .collect();
    }
    endpoint(text, written.span, problems).into_iter().collect()
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
    let help = match (
        &error,
        corrected(url, |url| parse_endpoint(url).map(drop), correct_endpoint),
    ) {
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
        (_, None) => "an endpoint is `http://host` or `http://host:port`".to_owned(),
    };
    problems
        .add(Code::BadEndpoint, span, format!("{} {error}", quote(url)))
        .help(help);
    None
}

/// Mends one error of an endpoint.
fn correct_endpoint(url: &str, error: &EndpointError) -> Option<String> {
    let (scheme, rest) = match url.split_once("://") {
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
        EndpointError::Authority(AuthorityError::Port) => format!("{scheme}://{}", rest.strip_suffix(':')?),
        EndpointError::NoScheme
        | EndpointError::Authority(_)
        | EndpointError::PortZero
        | EndpointError::NotIpv4 => return None,
    })
}

fn parse_endpoint(url: &str) -> Result<Endpoint, EndpointError> {
    let (written, rest) = url.split_once("://").ok_or(EndpointError::NoScheme)?;
    let (scheme, port) = match written {
        "http" => (EndpointScheme::Http, 80),
        "https" => (EndpointScheme::Https, 443),
        "h2c" => (EndpointScheme::H2c, 80),
        _ => return Err(EndpointError::Scheme),
    };
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
    let host = host.strip_suffix('.').unwrap_or(&host);
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let host = match bare.parse::<IpAddr>() {
        Ok(address) => EndpointHost::Address(address),
        // A name whose last label is a number is a misspelt address: `10.0.0.256`, `10.0.1`.
        Err(_) if is_numeric(bare) => return Err(EndpointError::NotIpv4),
        Err(_) => EndpointHost::Name(bare.into()),
    };
    let port = authority.port.unwrap_or(port);
    Ok(Endpoint::new(rest.into(), host, port, scheme))
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
