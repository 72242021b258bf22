//! Table tests of what clients get in place of a service's references to itself.

use std::net::{IpAddr, SocketAddr};

use waypost_plan::listener::{Bind, Listener};
use waypost_plan::rewrite::PathRewrite;
use waypost_plan::service::{EndpointHost, SentHost};
use waypost_plan::set_cookie::SetCookie;
use waypost_plan::trusted_proxies::TrustedProxies;
use waypost_plan::value::{Parameters, ValueTemplate};
use waypost_wire::request::{HeadLimits, RequestHead};
use waypost_wire::scan::HeadScan;

use super::*;
use crate::head::cookies;
use crate::peer::Peer;
use crate::request::NormalizedRequest;

/// A rewritten route.
struct Moved<'a> {
    pattern: &'a str,
    prefix: Option<&'a str>,
    host: Option<&'a str>,
    /// The client's URL.
    url: &'a str,
    /// Header lines of a trusted proxy.
    told: &'a [&'a str],
    /// The scheme of the endpoint.
    endpoint: EndpointScheme,
}

/// `/api/*` behind a stripped prefix, at the host of the client.
const STRIPPED: Moved<'static> = Moved {
    pattern: "/api/*",
    prefix: Some("/"),
    host: None,
    url: "https://a.test/api/x",
    told: &[],
    endpoint: EndpointScheme::Http,
};
/// `/api/*` in place of `/v2`.
const REPLACED: Moved<'static> = Moved {
    prefix: Some("/v2"),
    ..STRIPPED
};
/// Another host alone.
const HOST: Moved<'static> = Moved {
    pattern: "/*",
    prefix: None,
    host: Some("in.test"),
    url: "https://a.test/x",
    ..STRIPPED
};
/// A client that names no host.
const HOSTLESS: Moved<'static> = Moved {
    url: "http:///api/x",
    ..STRIPPED
};
/// `/api/*` in place of `/v2` at another host, for a client in clear text.
const MOVED: Moved<'static> = Moved {
    prefix: Some("/v2"),
    host: Some("in.test"),
    url: "http://a.test/api/x",
    ..STRIPPED
};

impl Moved<'_> {
    /// The way back from the endpoint `10.0.0.5:8080`.
    fn way_back(&self) -> WayBack {
        let (scheme, rest) = self.url.split_once("://").unwrap();
        let (authority, path) = rest.split_at(rest.find('/').unwrap());
        let mut buffer = if authority.is_empty() {
            format!("GET {path} HTTP/1.0\r\n")
        } else {
            format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\n")
        };
        for line in self.told.iter().chain(&[""]) {
            buffer.push_str(line);
            buffer.push_str("\r\n");
        }
        let buffer = buffer.into_bytes();
        let end = HeadScan::default().advance(&buffer).unwrap().unwrap();
        let mut head = RequestHead::default();
        head.parse(&buffer, end, &HeadLimits::UNLIMITED).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let mut listener = Listener::new(Bind::tcp(address));
        if !self.told.is_empty() {
            listener.trusted_proxies = TrustedProxies::of(vec!["127.0.0.1/32".parse().unwrap()]);
        }
        let mut peer = Peer::in_clear(address, address);
        if scheme == "https" {
            peer.scheme = Scheme::Https;
        }
        let mut normalized = NormalizedRequest::default();
        let filled = normalized.fill(&listener, &peer, &head, &buffer, &mut Vec::new());
        filled.unwrap();
        let request = IncomingRequest {
            head: &head,
            buffer: &buffer,
            normalized: &normalized,
            peer: &peer,
            listener: &listener,
            query: head.query(&buffer),
            demands_upgrade: false,
        };
        let rewrite = Rewrite {
            path: self.prefix.map_or(PathRewrite::Keep, |prefix| {
                PathRewrite::Prefix(ValueTemplate::parse(prefix).unwrap().into())
            }),
            host: self.host.map(Into::into),
            ..Rewrite::default()
        };
        let mut way_back = WayBack::default();
        // What an earlier request left behind makes no difference.
        way_back.prefix.extend_from_slice(b"/stale");
        way_back.replacement.extend_from_slice(b"/stale");
        way_back.authority.extend_from_slice(b"stale");
        way_back.sent.set(b"stale:1");
        way_back.outer_prefix.extend_from_slice(b"/stale");
        way_back.port = Some(1);
        let pattern = PathPattern::parse(self.pattern).unwrap();
        let path = request.normalized.path();
        let values = Parameters::of(path, &pattern);
        way_back.find(&rewrite, &SentHost::Client, &request, &pattern, &values, b"");
        let host = EndpointHost::Address(IpAddr::from([10, 0, 0, 5]));
        way_back.set_endpoint(&Endpoint::new("10.0.0.5:8080".into(), host, 8080, self.endpoint));
        way_back
    }

    /// Checks values of a header; an empty expectation means that the value stays.
    fn check(&self, name: &str, cases: &[(&str, &str)]) {
        let way_back = self.way_back();
        for (value, expected) in cases {
            let mapped = match name {
                "set-cookie" => cookies::map(value.as_bytes(), None, Some(&way_back)),
                name => way_back.map(name.as_bytes(), value.as_bytes()),
            };
            let mapped = mapped.map(|mapped| String::from_utf8(mapped).unwrap());
            let expected = Some((*expected).to_owned()).filter(|expected| !expected.is_empty());
            assert_eq!(mapped, expected, "{name}: {value} for {}", self.url);
        }
    }
}

#[test]
fn paths_behind_a_stripped_prefix_have_it_in_front() {
    STRIPPED.check(
        "location",
        &[
            ("/login", "/api/login"),
            ("/", "/api/"),
            ("/login?next=/x#top", "/api/login?next=/x#top"),
            ("/?q", "/api/?q"),
            ("/apis", "/api/apis"),
            ("/a//b", "/api/a//b"),
            // The service knows the prefix already.
            ("/api", ""),
            ("/api/login", ""),
            ("/api?x", ""),
            // Relative to the client's URL as to the service's.
            ("login", ""),
            ("../x", ""),
            ("./x", ""),
            ("?q", ""),
            ("#f", ""),
            ("", ""),
            // Browsers resolve these, or take the backslash for a slash.
            ("/../x", ""),
            ("/a/..", ""),
            ("/a/%2E%2e/b", ""),
            ("/a/..;x/b", ""),
            ("/\\evil.test", ""),
            ("/a?b=../c", "/api/a?b=../c"),
            // Other hosts and schemes.
            ("https://b.test/login", ""),
            ("//b.test/login", ""),
            ("mailto:a@a.test", ""),
            ("http:/login", ""),
        ],
    );
}

#[test]
fn paths_below_a_replacement_are_mapped_by_whole_segments() {
    REPLACED.check(
        "location",
        &[
            ("/v2/login", "/api/login"),
            ("/v2", "/api"),
            ("/v2/", "/api/"),
            ("/v2?q", "/api?q"),
            ("/v2x", ""),
            ("/login", ""),
            ("/", ""),
            ("/api/login", ""),
            // A framework that puts `x-forwarded-prefix` in front of its own path.
            ("/api/v2/login", "/api/login"),
            ("/api/v2", "/api"),
            ("/api/v22", ""),
        ],
    );
    // The replacement lies below the prefix.
    let below = Moved {
        prefix: Some("/api/v2"),
        ..STRIPPED
    };
    below.check("location", &[("/api/v2/x", "/api/x"), ("/api/x", "")]);
    // The prefix lies below the replacement.
    let above = Moved {
        pattern: "/v2/api/*",
        prefix: Some("/v2"),
        url: "http://a.test/v2/api/x",
        ..STRIPPED
    };
    above.check("location", &[("/v2/x", "/v2/api/x"), ("/v2/api/x", "")]);
    // Nothing in place of the replacement.
    let whole = Moved {
        pattern: "/*",
        ..REPLACED
    };
    whole.check(
        "location",
        &[
            ("/v2/x", "/x"),
            ("/v2", "/"),
            ("/v2?q", "/?q"),
            ("/x", ""),
            ("/v2//evil.test", ""),
        ],
    );
    let parameters = Moved {
        pattern: "/shops/{shop}/*",
        prefix: Some("/s/{shop}/"),
        url: "http://a.test/shops/7%20x/y",
        ..STRIPPED
    };
    parameters.check("location", &[("/s/7%20x/z", "/shops/7%20x/z"), ("/s/8/z", "")]);
    let same = Moved {
        prefix: Some("/api"),
        ..STRIPPED
    };
    same.check("location", &[("/api/x", ""), ("/x", "")]);
}

#[test]
fn urls_of_the_service_become_those_of_the_client() {
    STRIPPED.check(
        "content-location",
        &[
            ("http://a.test/login", "https://a.test/api/login"),
            ("HTTPS://A.test./login", "https://a.test/api/login"),
            ("http://a.test:80/login", "https://a.test/api/login"),
            ("http://a.test", "https://a.test/api/"),
            ("https://a.test?q", "https://a.test/api/?q"),
            ("//a.test/login", "//a.test/api/login"),
            ("http://10.0.0.5:8080/login", "https://a.test/api/login"),
            ("http://10.0.0.5:8080/api/login", "https://a.test/api/login"),
            ("http://10.0.0.5:8081/login", ""),
            ("http://10.0.0.5/login", ""),
            // The client's own host: whatever is there is not this service's.
            ("http://a.test/api/login", ""),
            ("https://a.test:8443/login", ""),
            ("http://a.test:8080/login", ""),
            ("https://u@a.test/login", ""),
            ("https://a.test\\@b.test/login", ""),
            ("https:///login", ""),
        ],
    );
    REPLACED.check(
        "location",
        &[
            ("http://a.test/v2/login", "https://a.test/api/login"),
            ("http://a.test/login", ""),
            ("http://10.0.0.5:8080/login", "https://a.test/login"),
            ("http://10.0.0.5:8080", "https://a.test"),
        ],
    );
    HOST.check(
        "location",
        &[
            ("http://in.test/login", "https://a.test/login"),
            ("https://IN.test/login?q", "https://a.test/login?q"),
            ("http://in.test", "https://a.test"),
            ("//in.test/x", "//a.test/x"),
            // A server that adds its port.
            ("http://in.test:8080/x", "https://a.test/x"),
            ("http://in.test:81/x", ""),
            ("http://10.0.0.5:8080/x", "https://a.test/x"),
            ("http://x.in.test/x", ""),
            ("http://a.test/x", ""),
            ("/login", ""),
        ],
    );
    let both = Moved {
        host: Some("in.test:81"),
        url: "http://[::1]:8080/api/x",
        ..STRIPPED
    };
    both.check(
        "location",
        &[
            ("http://in.test:81/x", "http://[::1]:8080/api/x"),
            ("http://in.test:8080/x", "http://[::1]:8080/api/x"),
            ("http://in.test/x", ""),
            // The client's host, which `x-forwarded-host` names.
            ("http://[::1]:8080/x", "http://[::1]:8080/api/x"),
            ("http://[::1]/x", ""),
        ],
    );
    // A client that names no host gets paths.
    HOSTLESS.check(
        "location",
        &[
            ("http://10.0.0.5:8080/x", "/api/x"),
            ("http://10.0.0.5:8080", "/api/"),
            ("http://a.test/x", ""),
            ("/x", "/api/x"),
        ],
    );
}

#[test]
fn https_that_a_service_asks_for_stays() {
    let plain = Moved {
        url: "http://a.test/api/x",
        ..STRIPPED
    };
    let cases = [
        ("https://a.test/z", "https://a.test/api/z"),
        ("HTTPS://a.test:443/z?q", "https://a.test:443/api/z?q"),
        ("https://a.test", "https://a.test/api/"),
        ("https://a.test/api/z", ""),
        ("https://a.test:8443/z", ""),
        // Without a scheme it is the client's.
        ("//a.test/z", "//a.test/api/z"),
        ("http://a.test/z", "http://a.test/api/z"),
        ("https://10.0.0.5:8080/z", "https://a.test/api/z"),
    ];
    plain.check("location", &cases);
    Moved {
        url: "http://a.test:80/api/x",
        ..plain
    }
    .check("location", &cases);
    plain.check("refresh", &[("0; https://a.test/z", "0; https://a.test/api/z")]);
    let port = Moved {
        url: "http://a.test:8080/api/x",
        ..STRIPPED
    };
    port.check(
        "location",
        &[
            ("https://a.test:8080/z", "https://a.test:8080/api/z"),
            // The port of TLS may be another server's.
            ("https://a.test/z", ""),
            ("https://10.0.0.5:8080/z", ""),
            ("http://10.0.0.5:8080/z", "http://a.test:8080/api/z"),
        ],
    );
    MOVED.check(
        "location",
        &[
            ("https://in.test/v2/z", "https://a.test/api/z"),
            ("https://in.test:8080/v2/z", "https://a.test/api/z"),
            ("https://in.test/z", "https://a.test/z"),
            ("https://a.test/v2/z", "https://a.test/api/z"),
            ("https://a.test/z", ""),
            ("http://in.test/v2/z", "http://a.test/api/z"),
        ],
    );
    HOSTLESS.check("location", &[("https://10.0.0.5:8080/x", "")]);
    // It says nothing where the service itself is asked over TLS.
    let tls = Moved {
        endpoint: EndpointScheme::Https,
        url: "http://a.test:8080/api/x",
        ..MOVED
    };
    tls.check(
        "location",
        &[
            ("https://in.test/v2/z", "http://a.test:8080/api/z"),
            ("https://10.0.0.5:8080/z", "http://a.test:8080/z"),
            ("https://a.test:8080/v2/z", "https://a.test:8080/api/z"),
        ],
    );
}

#[test]
fn both_hosts_that_a_client_asks_for_are_its_own() {
    MOVED.check(
        "location",
        &[
            ("http://a.test/v2/x", "http://a.test/api/x"),
            ("http://a.test:80/v2/x", "http://a.test/api/x"),
            ("http://a.test/x", ""),
            ("http://a.test:8080/v2/x", ""),
            ("http://b.test/v2/x", ""),
        ],
    );
    let told = ["x-forwarded-host: pub.test", "x-forwarded-proto: https"];
    let proxied = Moved {
        url: "http://a.test/api/x",
        told: &told,
        ..STRIPPED
    };
    proxied.check(
        "location",
        &[
            ("https://pub.test/login", "https://pub.test/api/login"),
            ("http://pub.test/login", "https://pub.test/api/login"),
            ("https://pub.test/api/login", ""),
            ("https://pub.test:8443/login", ""),
            ("http://a.test/login", "https://pub.test/api/login"),
        ],
    );
    let moved = Moved { told: &told, ..MOVED };
    moved.check(
        "location",
        &[
            ("https://pub.test/v2/x", "https://pub.test/api/x"),
            ("https://a.test/v2/x", "https://pub.test/api/x"),
            ("https://a.test/x", ""),
            ("http://in.test/x", "https://pub.test/x"),
        ],
    );
    let port = Moved {
        told: &["x-forwarded-proto: https", "x-forwarded-port: 8443"],
        ..proxied
    };
    port.check(
        "location",
        &[
            ("https://a.test:8443/x", "https://a.test:8443/api/x"),
            ("https://a.test/x", "https://a.test:8443/api/x"),
            ("https://a.test:444/x", ""),
        ],
    );
}

#[test]
fn prefix_of_proxies_in_front_is_known_to_services() {
    let told = ["x-forwarded-prefix: /outer/"];
    let stripped = Moved {
        told: &told,
        ..STRIPPED
    };
    stripped.check(
        "location",
        &[
            ("/outer/api/login", ""),
            ("/outer/api", ""),
            ("/api/login", ""),
            ("/login", "/api/login"),
            ("/outer/login", "/api/outer/login"),
            ("/outer/apis", "/api/outer/apis"),
        ],
    );
    stripped.check(
        "set-cookie",
        &[("a=1; Path=/outer/api", ""), ("a=1; Path=/", "a=1; Path=/api")],
    );
    let replaced = Moved {
        told: &told,
        ..REPLACED
    };
    replaced.check(
        "location",
        &[
            ("/outer/api/v2/login", "/outer/api/login"),
            ("/outer/api/login", ""),
            ("/v2/login", "/api/login"),
        ],
    );
    let whole = Moved {
        pattern: "/*",
        ..replaced
    };
    whole.check(
        "location",
        &[("/outer/v2/x", "/outer/x"), ("/outer/x", ""), ("/v2/x", "/x")],
    );
}

#[test]
fn urls_in_refresh_are_mapped() {
    STRIPPED.check(
        "refresh",
        &[
            ("5; url=/login", "5; url=/api/login"),
            ("0;URL = '/login' ", "0;URL = '/api/login' "),
            (
                "1.5 , Url=\"http://a.test/x\"; y",
                "1.5 , Url=\"https://a.test/api/x\"; y",
            ),
            ("5;\turl\t=\t/x", "5;\turl\t=\t/api/x"),
            ("5", ""),
            ("5;", ""),
            ("5; url", ""),
            ("5; url=", ""),
            ("5; url='/login", ""),
            ("5; /login", "5; /api/login"),
            ("0;'/login'", "0;'/api/login'"),
            ("0, http://a.test/", "0, https://a.test/api/"),
            ("0; /api/x", ""),
            ("0; login", ""),
            ("0; urls=/x", ""),
            ("5; url=login", ""),
            ("5; url=/api/x", ""),
        ],
    );
}

#[test]
fn cookies_are_of_the_clients_path_and_host() {
    STRIPPED.check(
        "set-cookie",
        &[
            ("a=1; Path=/", "a=1; Path=/api"),
            ("a=1;path = / ;HttpOnly", "a=1;path = /api ;HttpOnly"),
            (
                "a=/;  Path=/x/;Secure; SameSite=Lax; Max-Age=5",
                "a=/;  Path=/api/x/;Secure; SameSite=Lax; Max-Age=5",
            ),
            ("a=1; Path=/x; Path=/y", "a=1; Path=/api/x; Path=/api/y"),
            ("a=1", ""),
            ("a=1; Path", ""),
            ("a=1; Path=", ""),
            ("a=1; Path=x", ""),
            ("a=1; Path=/api", ""),
            ("a=1; Path=/api/x", ""),
            ("a=1; Domain=a.test", ""),
            ("__Host-a=1; Path=/; Secure", ""),
            ("__Secure-a=1; Path=/; Secure", "__Secure-a=1; Path=/api; Secure"),
            ("path=/; x", ""),
            ("", ""),
        ],
    );
    REPLACED.check(
        "set-cookie",
        &[
            ("a=1; Path=/v2", "a=1; Path=/api"),
            ("a=1; Path=/v2/", "a=1; Path=/api/"),
            ("a=1; Path=/v2/x", "a=1; Path=/api/x"),
            ("a=1; Path=/", ""),
            ("a=1; Path=/v22", ""),
        ],
    );
    let whole = Moved {
        pattern: "/*",
        ..REPLACED
    };
    whole.check(
        "set-cookie",
        &[
            ("a=1; Path=/v2", "a=1; Path=/"),
            ("a=1; Path=/v2/x", "a=1; Path=/x"),
        ],
    );
    HOST.check(
        "set-cookie",
        &[
            ("a=1; Domain=in.test; Path=/", "a=1; Domain=a.test; Path=/"),
            ("a=1; domain= .In.Test ;Secure", "a=1; domain= a.test ;Secure"),
            ("a=1; Domain=10.0.0.5", "a=1; Domain=a.test"),
            ("a=1; Domain=test", ""),
            ("a=1; Domain=x.in.test", ""),
            ("a=1; Domain=in.test:80", ""),
            ("a=1; Domain=a.test", ""),
            ("a=1; Domain=", ""),
        ],
    );
    // An address is no domain.
    let address = Moved {
        url: "http://192.0.2.1:8080/x",
        ..HOST
    };
    address.check("set-cookie", &[("a=1; Domain=in.test; Path=/", "a=1; Path=/")]);
}

#[test]
fn other_headers_stay() {
    for name in ["link", "uri", "x-location", "set-cookie2", "locations"] {
        STRIPPED.check(name, &[("/login", ""), ("a=1; Path=/", "")]);
    }
    STRIPPED.check("Location", &[("/x", "/api/x")]);
}

#[test]
fn services_are_told_the_prefix_that_they_do_not_see() {
    let prefix = |moved: &Moved<'_>| {
        let way_back = moved.way_back();
        let prefix = way_back.forwarded_prefix();
        prefix.map(|prefix| String::from_utf8_lossy(prefix).into_owned())
    };
    assert_eq!(prefix(&STRIPPED).as_deref(), Some("/api"));
    assert_eq!(prefix(&REPLACED).as_deref(), Some("/api"));
    assert_eq!(prefix(&HOST), None);
    let same = Moved {
        prefix: Some("/api/"),
        ..STRIPPED
    };
    assert_eq!(prefix(&same), None);
    let whole = Moved {
        pattern: "/*",
        ..REPLACED
    };
    assert_eq!(prefix(&whole), None);
    let parameters = Moved {
        pattern: "/shops/{shop}/*",
        url: "http://a.test/shops/7/y",
        ..STRIPPED
    };
    assert_eq!(prefix(&parameters).as_deref(), Some("/shops/7"));
}

#[test]
fn what_set_cookie_replaces_has_no_way_back() {
    let mut rules = SetCookie::of_flags(Some(true), None, None);
    rules.replace_path("/cart", "/basket").unwrap();
    rules.replace_domain("10.0.0.5", "shop.test").unwrap();
    let way_back = STRIPPED.way_back();
    for (value, expected) in [
        ("a=1; Path=/cart/1", "a=1; Path=/basket/1; Secure"),
        ("a=1; Path=/x", "a=1; Path=/api/x; Secure"),
        (
            "a=1; Domain=10.0.0.5; Path=/",
            "a=1; Domain=shop.test; Path=/api; Secure",
        ),
        // No cookie, so that only the way back looks at it, as it always did.
        ("=; Path=/cart", "=; Path=/api/cart"),
    ] {
        let mapped = cookies::map(value.as_bytes(), Some(&rules), Some(&way_back)).unwrap();
        assert_eq!(String::from_utf8(mapped).unwrap(), expected, "{value}");
    }
}
