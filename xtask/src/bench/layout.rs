//! Routes and features that all contenders of a scenario are configured with.

use std::net::{Ipv4Addr, SocketAddr};

use serde::Serialize;

/// Kind of condition that distinguishes the routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// `/s0` to `/sN`, by whole segments, on any host.
    Prefix,
    /// A number of hosts with ten prefixes each.
    Hosts,
    /// One prefix, and a header with as many values as routes.
    Headers,
    /// Regular expressions on the path.
    Regex,
}

impl Kind {
    /// Its name in templates and to the load.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Prefix => "prefix",
            Self::Hosts => "hosts",
            Self::Headers => "headers",
            Self::Regex => "regex",
        }
    }
}

/// Routes, protocols and further work of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) kind: Kind,
    /// Number of routes, or of hosts.
    pub(crate) size: usize,
    pub(crate) tls: bool,
    pub(crate) http2: bool,
    pub(crate) grpc: bool,
    pub(crate) access_log: bool,
    /// Number of the service's endpoints.
    pub(crate) endpoints: usize,
    /// Another address for the last endpoint.
    pub(crate) last_endpoint: Option<SocketAddr>,
    pub(crate) extra: Extra,
}

/// Work besides routing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Extra {
    Nothing,
    /// Two fields set and one removed in requests, one set and one removed in responses.
    Edits,
    /// Values of the request in three headers: two of the request, one of the response.
    Templates,
    /// Pages of other origins that may read responses.
    Cors,
    /// Clients behind a trusted proxy.
    Clients,
    /// The same, with a rate limit for each client, which none reaches.
    Rate,
    /// Tokens signed with RS256.
    Jwt,
    /// The same, each of them new.
    NewJwt,
    /// Keys of clients.
    Key,
    /// A split of two arms, sticky by cookie.
    Sticky,
    /// Copies of a tenth of the requests to a second service.
    Mirror,
    /// Health checks of the endpoints, and the choice of the one with the fewest requests in flight.
    LeastRequest,
    /// Health checks ten times a second.
    Checks,
    /// An endpoint for each value of a header.
    Hash,
    /// A failed request is sent once more.
    Retry,
}

impl Layout {
    /// A hundred prefixes in clear text, and nothing else.
    pub(crate) const PLAIN: Self = Self {
        kind: Kind::Prefix,
        size: 100,
        tls: false,
        http2: false,
        grpc: false,
        access_log: false,
        endpoints: 1,
        last_endpoint: None,
        extra: Extra::Nothing,
    };

    /// The same, with this number of endpoints.
    pub(crate) const fn balanced(endpoints: usize, extra: Extra) -> Self {
        Self {
            endpoints,
            extra,
            ..Self::PLAIN
        }
    }

    /// A number of routes of this kind.
    pub(crate) const fn routes(kind: Kind, size: usize) -> Self {
        Self {
            kind,
            size,
            ..Self::PLAIN
        }
    }
}

/// An address of the loopback network, the first of which is 127.0.0.1.
pub(crate) fn loopback(at: usize) -> Ipv4Addr {
    const A_ROW: usize = 250;
    // Never as many as fill the second byte.
    Ipv4Addr::new(127, 0, (at / A_ROW) as u8, (at % A_ROW) as u8 + 1)
}

/// A route as templates see it.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Route {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    regex: Option<String>,
}

/// A host with its routes, as templates see it.
#[derive(Debug, Serialize)]
pub(crate) struct Host {
    name: String,
    routes: Vec<Route>,
}

/// Routes on each host.
const ROUTES_PER_HOST: usize = 10;

impl Layout {
    /// Hosts with their routes; empty unless routes are distinguished by host.
    pub(crate) fn host_groups(&self) -> Vec<Host> {
        if self.kind != Kind::Hosts {
            return Vec::new();
        }
        let host = |at: usize| {
            let name = format!("h{at}.example.com");
            let routes = (0..ROUTES_PER_HOST).map(|of| Route {
                name: format!("h{at}-s{of}"),
                host: Some(name.clone()),
                path: Some(format!("/s{of}")),
                ..Route::default()
            });
            Host {
                routes: routes.collect(),
                name: name.clone(),
            }
        };
        (0..self.size).map(host).collect()
    }

    /// Addresses of the endpoints of the service at `first`.
    pub(crate) fn endpoints(&self, first: SocketAddr) -> Vec<String> {
        let endpoint = |at: usize| match self.last_endpoint {
            Some(other) if at + 1 == self.endpoints => other.to_string(),
            _ => SocketAddr::new(loopback(at).into(), first.port()).to_string(),
        };
        (0..self.endpoints).map(endpoint).collect()
    }

    /// All routes.
    pub(crate) fn all_routes(&self) -> Vec<Route> {
        let route = |at: usize| match self.kind {
            Kind::Prefix | Kind::Hosts => Route {
                name: format!("s{at}"),
                path: Some(format!("/s{at}")),
                ..Route::default()
            },
            Kind::Headers => Route {
                name: format!("t{at}"),
                path: Some("/s0".to_owned()),
                header_name: Some("x-tenant"),
                header_value: Some(format!("t{at}")),
                ..Route::default()
            },
            Kind::Regex => Route {
                name: format!("r{at}"),
                regex: Some(format!("^/v[0-9]+/r{at}/[a-z]+$")),
                ..Route::default()
            },
        };
        match self.kind {
            Kind::Hosts => {
                let groups = self.host_groups().into_iter();
                groups.flat_map(|host| host.routes).collect()
            }
            _ => (0..self.size).map(route).collect(),
        }
    }
}
