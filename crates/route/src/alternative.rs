//! Alternatives of a route: conditions that must hold together.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::attribute::AttributeCondition;
use crate::condition::FieldCondition;
use crate::cookie;
use crate::host::HostPattern;
use crate::path::PathPattern;
use crate::query;
use crate::request::Request;

/// One alternative of a route. All of its conditions must hold.
///
/// A route's `match` is a list of alternatives. Each path of each host of a list has its own, so an alternative has one
/// host pattern and one path pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Alternative {
    /// Host pattern.
    pub host: HostPattern,
    /// Path pattern.
    pub path: PathPattern,
    /// Methods, case-sensitive; empty for every method.
    pub methods: Box<[Box<str>]>,
    /// Conditions on headers by lower-case name.
    pub headers: Box<[FieldCondition]>,
    /// Conditions on attributes, in the order of [`Attribute`](crate::attribute::Attribute).
    pub attributes: Box<[AttributeCondition]>,
    /// Conditions on cookies.
    pub cookies: Box<[FieldCondition]>,
    /// Conditions on query parameters.
    pub query: Box<[FieldCondition]>,
    /// Networks of the client; empty for every client.
    pub client_ips: Box<[IpNet]>,
}

impl Default for Alternative {
    /// Returns the alternative that matches every request.
    fn default() -> Self {
        Self {
            host: HostPattern::Any,
            path: PathPattern::any(),
            methods: Box::default(),
            headers: Box::default(),
            attributes: Box::default(),
            cookies: Box::default(),
            query: Box::default(),
            client_ips: Box::default(),
        }
    }
}

/// One condition of an alternative, as reported when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition<'a> {
    /// Host pattern.
    Host(&'a HostPattern),
    /// Path pattern.
    Path(&'a PathPattern),
    /// Methods.
    Method(&'a [Box<str>]),
    /// A header.
    Header(&'a FieldCondition),
    /// An attribute.
    Attribute(&'a AttributeCondition),
    /// A cookie.
    Cookie(&'a FieldCondition),
    /// A query parameter.
    Query(&'a FieldCondition),
    /// Networks of the client.
    ClientIp(&'a [IpNet]),
}

impl Alternative {
    /// Returns the first condition that `request` fails, in the order host, path, method, headers, attributes,
    /// cookies, query, client_ip, listener, scheme; `None` if all hold. `scratch` is overwritten.
    pub fn first_failed(&self, request: &Request<'_>, scratch: &mut Vec<u8>) -> Option<Condition<'_>> {
        if !self.host.covers(request.host) {
            return Some(Condition::Host(&self.host));
        }
        if !self.path.covers(request.path) {
            return Some(Condition::Path(&self.path));
        }
        self.first_failed_beside_path(request, scratch)
    }

    /// Like [`Alternative::first_failed`], for a request whose host and path are known to match.
    pub fn first_failed_beside_path(
        &self,
        request: &Request<'_>,
        scratch: &mut Vec<u8>,
    ) -> Option<Condition<'_>> {
        if !self.methods.is_empty() && !self.methods.iter().any(|m| m.as_bytes() == request.method) {
            return Some(Condition::Method(&self.methods));
        }
        for header in &self.headers {
            if !header.value.holds(request.header(&header.name, scratch)) {
                return Some(Condition::Header(header));
            }
        }
        let mut attributes = self.attributes.iter().peekable();
        while let Some(attribute) = attributes.next_if(|one| !one.attribute.is_entrance()) {
            if !attribute.holds(request, scratch) {
                return Some(Condition::Attribute(attribute));
            }
        }
        for cookie in &self.cookies {
            if !cookie
                .value
                .holds(cookie::find(request.headers, &cookie.name, scratch))
            {
                return Some(Condition::Cookie(cookie));
            }
        }
        for parameter in &self.query {
            if !parameter
                .value
                .holds(query_value(request, &parameter.name, scratch))
            {
                return Some(Condition::Query(parameter));
            }
        }
        if !self.client_ips.is_empty() && !covers_ip(&self.client_ips, request.client_ip) {
            return Some(Condition::ClientIp(&self.client_ips));
        }
        attributes
            .find(|attribute| !attribute.holds(request, scratch))
            .map(Condition::Attribute)
    }
}

impl AttributeCondition {
    fn holds(&self, request: &Request<'_>, scratch: &mut Vec<u8>) -> bool {
        self.value.holds(request.attribute(self.attribute, scratch))
    }
}

impl Condition<'_> {
    /// Returns the name of the condition as printed by `explain`: `method`, `header x-tier`.
    pub fn name(&self) -> String {
        match self {
            Self::Host(_) => "host".to_owned(),
            Self::Path(_) => "path".to_owned(),
            Self::Method(_) => "method".to_owned(),
            Self::Header(field) => format!("header {}", field.name),
            Self::Attribute(condition) => condition.attribute.to_string(),
            Self::Cookie(field) => format!("cookie {}", field.name),
            Self::Query(field) => format!("query {}", field.name),
            Self::ClientIp(_) => "client_ip".to_owned(),
        }
    }

    /// Returns the wanted value, as written in a config.
    pub fn wants(&self) -> String {
        match self {
            Self::Host(pattern) => pattern.to_string(),
            Self::Path(pattern) => pattern.to_string(),
            Self::Method(methods) => methods.join(", "),
            Self::Header(field) | Self::Cookie(field) | Self::Query(field) => field.value.to_string(),
            Self::Attribute(condition) => condition.value.to_string(),
            Self::ClientIp(networks) => {
                let networks: Vec<String> = networks.iter().map(network_text).collect();
                networks.join(", ")
            }
        }
    }

    /// Returns the value of `request`; `None` if it has none.
    pub fn saw(&self, request: &Request<'_>) -> Option<String> {
        let mut scratch = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self {
            Self::Host(_) => request.host.map(text),
            Self::Path(_) => Some(text(request.path)),
            Self::Method(_) => Some(text(request.method)),
            Self::Header(field) => request.header(&field.name, &mut scratch).map(text),
            Self::Attribute(condition) => request.attribute(condition.attribute, &mut scratch).map(text),
            Self::Cookie(field) => cookie::find(request.headers, &field.name, &mut scratch).map(text),
            Self::Query(field) => query_value(request, &field.name, &mut scratch).map(text),
            Self::ClientIp(_) => Some(request.client_ip.to_string()),
        }
    }
}

impl Condition<'_> {
    /// Returns a hint where the condition wants a path exactly, and that of `request` lies below it.
    pub fn hint(&self, request: &Request<'_>) -> Option<String> {
        let Self::Path(PathPattern::Exact(text)) = self else {
            return None;
        };
        let front = text.strip_suffix('/').unwrap_or(text);
        let below = request.path.strip_prefix(front.as_bytes())?;
        below
            .starts_with(b"/")
            .then(|| format!("{text} is that path alone; `{front}/*` would take it"))
    }
}

fn query_value<'s>(request: &Request<'_>, name: &str, scratch: &'s mut Vec<u8>) -> Option<&'s [u8]> {
    query::find(request.query?, name, scratch)
}

/// Returns true if the address is in one of `networks`. The unspecified address, that of a client of a unix socket, is in
/// none.
pub(crate) fn covers_ip(networks: &[IpNet], ip: IpAddr) -> bool {
    !ip.is_unspecified() && networks.iter().any(|network| network.contains(&ip))
}

/// Formats a network; a single address has no prefix length.
fn network_text(network: &IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_string()
    } else {
        network.to_string()
    }
}
