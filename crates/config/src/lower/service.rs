//! Services and their endpoints.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use waypost_plan::service::{Endpoint, EndpointHost, EndpointScheme, Pool, Service, Timeouts};
use waypost_wire::response::ResponseLimits;

use crate::diagnostic::Code;
use crate::document::{self, Document};
use crate::keys::At;
use crate::lower::{Context, bytes, duration, host, tls, whole};
use crate::problems::{Problems, quote};
use crate::values::Text;

pub(super) fn add_all(document: &Document, context: &mut Context<'_>) {
    for (name, written) in document.services.iter().flat_map(|services| &services.value.0) {
        context.services.declare(name, written.key, context.problems);
        let service = service(name, &written.value, context);
        // A duplicate name is reported already.
        if let Ok(id) = context.builder.add_service(service) {
            context.service_ids.insert(name.clone(), id);
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

fn service(name: &str, written: &document::Service, context: &mut Context<'_>) -> Service {
    let urls = written.endpoints.iter().flat_map(|list| &list.value.0);
    let endpoints: Vec<Endpoint> = urls.filter_map(|url| endpoint(url, context.problems)).collect();
    let schemes: Vec<EndpointScheme> = endpoints.iter().map(|endpoint| endpoint.scheme).collect();
    let tls = tls::of_service(written, &schemes, context);
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
    Service {
        timeouts,
        limits,
        pool,
        http2: written.http2.as_ref().is_some_and(|http2| http2.value),
        tls,
        proxy_protocol: written.proxy_protocol.as_ref().map(|version| version.value),
        ..Service::new(name.into(), endpoints)
    }
}

/// Lowers the URL of an endpoint: scheme, host and optional port.
fn endpoint(written: &At<Text>, problems: &mut Problems) -> Option<Endpoint> {
    match parse_endpoint(&written.value) {
        Ok(endpoint) => Some(endpoint),
        Err((what, help)) => {
            problems
                .add(
                    Code::BadEndpoint,
                    written.span,
                    format!("{} {what}", quote(&written.value)),
                )
                .help(help);
            None
        }
    }
}

fn parse_endpoint(url: &str) -> Result<Endpoint, (String, String)> {
    let refuse = |what: &str, help: String| Err((what.to_owned(), help));
    let Some((written, rest)) = url.split_once("://") else {
        return refuse("has no scheme", format!("write `http://{url}`"));
    };
    let (scheme, port) = match written {
        "http" => (EndpointScheme::Http, 80),
        "https" => (EndpointScheme::Https, 443),
        "h2c" => (EndpointScheme::H2c, 80),
        other => {
            let meant = match other {
                "grpc" | "h2" | "http2" => "h2c",
                "grpcs" | "tls" | "ssl" => "https",
                _ => "http",
            };
            let what = "has another scheme than `http`, `https` or `h2c`";
            return refuse(what, format!("write `{meant}://{rest}`"));
        }
    };
    if let Some((_, host)) = rest.split('/').next().unwrap_or(rest).rsplit_once('@') {
        return refuse(
            "has user information",
            format!("leave it out: `{written}://{host}`"),
        );
    }
    if let Some(at) = rest.find(['/', '?', '#']) {
        let (authority, extra) = rest.split_at(at);
        return match extra.as_bytes().first() {
            Some(b'/') if extra.len() == 1 => refuse(
                "has a path",
                format!("leave the `/` out: `{written}://{authority}`"),
            ),
            Some(b'/') => refuse(
                "has a path",
                format!(
                    "write `{written}://{authority}`, and the path as `rewrite: {{ prefix: … }}` of a route"
                ),
            ),
            Some(b'?') => refuse("has a query", format!("write `{written}://{authority}`")),
            _ => refuse("has a fragment", format!("write `{written}://{authority}`")),
        };
    }
    let form = || "an endpoint is `http://host` or `http://host:port`".to_owned();
    let authority = match host::authority(rest) {
        Ok(authority) => authority,
        Err(error) => return refuse(&format!("is not an endpoint: {error}"), form()),
    };
    if authority.port == Some(0) {
        return refuse("has port 0, on which nothing can listen", form());
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
        Err(_) if is_numeric(bare) => {
            return refuse("is not an endpoint: the host is not a valid IPv4 address", form());
        }
        Err(_) => EndpointHost::Name(bare.into()),
    };
    Ok(Endpoint {
        authority: rest.into(),
        host,
        port: authority.port.unwrap_or(port),
        scheme,
    })
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
            (Err((what, _)), Err(expected)) => assert!(what.contains(expected), "{url}: {what}"),
            (found, _) => panic!("{url}: {found:?}"),
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
