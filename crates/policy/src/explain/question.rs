//! A request to be explained, as a client would send it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use waypost_plan::listener::{BindAddress, Listener, ListenerTls};
use waypost_plan::redirect::Scheme;
use waypost_wire::authority::Authority;

use crate::compiled::Compiled;
use crate::peer::Peer;

/// A request to be explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The method.
    pub method: String,
    /// `http://host/path?query`, or a path for a request without host; byte for byte as on the wire.
    pub url: String,
    /// Headers in order. A `host` overrides the URL's. With the method CONNECT, `:protocol` makes the request an
    /// extended CONNECT (RFC 8441).
    pub headers: Vec<(String, String)>,
    /// The address of the client's end of the connection; `None` for 127.0.0.1, or none at a unix socket.
    pub client_ip: Option<IpAddr>,
    /// The listener it comes in by, by name or by bind text; `None` for the first that serves the host and fits the
    /// scheme of the URL.
    pub listener: Option<String>,
    /// True to consider routes, too, whose host does not cover the request's.
    pub all: bool,
}

/// A question that cannot be explained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// A line break, which would make two requests or two headers of it.
    #[error("{0} has a line break in it")]
    LineBreak(&'static str),
    /// The config has no listener, as before the first one of a fleet.
    #[error("the configuration has no listener, so no request comes in")]
    NoListeners,
    /// There is no such listener.
    #[error("there is no listener `{0}`")]
    NoListener(String),
}

/// A question as a client would send it.
pub(super) struct QuestionBytes {
    /// The request's head.
    pub(super) buffer: Vec<u8>,
    /// True if it names a host.
    pub(super) names_host: bool,
    /// True if it is an extended CONNECT, which is written as the HTTP/1 upgrade that it stands for.
    pub(super) demands_upgrade: bool,
}

impl Question {
    /// The request as a client would send it.
    pub(super) fn bytes(&self) -> Result<QuestionBytes, QuestionError> {
        let breaks = |text: &str| text.contains(['\r', '\n']);
        if breaks(&self.method) {
            return Err(QuestionError::LineBreak("the method"));
        }
        if breaks(&self.url) {
            return Err(QuestionError::LineBreak("the URL"));
        }
        let mut headers = self.headers.iter();
        if headers.any(|(name, value)| breaks(name) || breaks(value)) {
            return Err(QuestionError::LineBreak("a header"));
        }
        let named = |wanted: &str| {
            let mut headers = self.headers.iter();
            headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted))
        };
        let protocol = named(":protocol").filter(|_| self.method == "CONNECT");
        let (host, target) = split_url(&self.url);
        let is_overridden = named("host").is_some();
        let host = host.filter(|_| !is_overridden);
        let names_host = is_overridden || host.is_some();
        let version = if names_host { "HTTP/1.1" } else { "HTTP/1.0" };
        let method = if protocol.is_some() { "GET" } else { &self.method };
        let mut text = format!("{method} {target} {version}\r\n");
        if let Some(host) = host {
            text.push_str(&format!("Host: {host}\r\n"));
        }
        if let Some((_, protocol)) = protocol {
            text.push_str(&format!("Connection: upgrade\r\nUpgrade: {protocol}\r\n"));
        }
        for (name, value) in &self.headers {
            if protocol.is_none() || !name.eq_ignore_ascii_case(":protocol") {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        text.push_str("\r\n");
        Ok(QuestionBytes {
            buffer: text.into_bytes(),
            names_host,
            demands_upgrade: protocol.is_some(),
        })
    }

    /// The client at `listener`, before its connection is known to be under TLS.
    pub(super) fn peer(&self, listener: &Listener) -> Peer {
        let end = |ip| SocketAddr::new(ip, 0);
        let client = match (self.client_ip, &listener.bind.address) {
            (Some(client), _) => client,
            (None, BindAddress::Tcp(_)) => Ipv4Addr::LOCALHOST.into(),
            (None, BindAddress::Unix(_)) => return Peer::unaddressed(),
        };
        Peer::in_clear(end(client), end(Ipv4Addr::UNSPECIFIED.into()))
    }

    /// The host that the client names in its TLS handshake (SNI): that of the URL, or else `requested`, the normal form of
    /// the requested one. Addresses are not named (RFC 6066 §3).
    pub(super) fn server_name(&self, requested: Option<&[u8]>) -> Option<String> {
        let (host, _) = split_url(&self.url);
        let mut name = Vec::new();
        match host.map(|host| Authority::parse(host.as_bytes())) {
            Some(host) => host.ok()?.normalize_into(&mut name),
            None => name.extend_from_slice(requested?),
        }
        let name = String::from_utf8(name).ok()?;
        let is_address = name.starts_with('[') || name.parse::<Ipv4Addr>().is_ok();
        (!is_address).then_some(name)
    }

    /// The position of the listener that it names; `None` when it names none.
    ///
    /// # Errors
    /// There is no such listener, or none at all.
    pub(super) fn listener(&self, compiled: &Compiled) -> Result<Option<usize>, QuestionError> {
        if compiled.plan().listeners().is_empty() {
            return Err(QuestionError::NoListeners);
        }
        let Some(wanted) = &self.listener else {
            return Ok(None);
        };
        let mut listeners = compiled.plan().listeners().iter();
        match listeners.position(|listener| listener.is_called(wanted)) {
            Some(listener) => Ok(Some(listener)),
            None => Err(QuestionError::NoListener(wanted.clone())),
        }
    }

    /// The position of the listener for a question that names none: the first of those that serve its host, `serves` being
    /// true, and fit the scheme of the URL if there are any. `https` fits a listener with `tls` best, then one behind a proxy that ends TLS;
    /// `http` one without either, then one without `tls`.
    pub(super) fn listener_for(&self, serves: &[bool], listeners: &[Arc<Listener>]) -> usize {
        let is_tls = |listener: &Listener| listener.tls != ListenerTls::Off;
        let is_https = |listener: &Listener| listener.native_scheme() == Scheme::Https;
        let fits: [&dyn Fn(&Listener) -> bool; 2] = match url_scheme(&self.url) {
            Some(Scheme::Https) => [&is_tls, &is_https],
            Some(Scheme::Http) => [&|listener| !is_https(listener), &|listener| !is_tls(listener)],
            None => [&|_| true, &|_| true],
        };
        let first = |fits: &dyn Fn(&Listener) -> bool| {
            let mut all = listeners.iter().zip(serves);
            all.position(|(listener, serves)| *serves && fits(listener))
        };
        let fitting = fits.into_iter().find_map(first);
        fitting.or_else(|| first(&|_| true)).unwrap_or(0)
    }
}

/// The scheme of a URL, if it has one.
fn url_scheme(url: &str) -> Option<Scheme> {
    let schemes = [Scheme::Http, Scheme::Https].into_iter();
    let begins = |text: &str| {
        url.get(..text.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(text))
    };
    schemes
        .into_iter()
        .find(|scheme| begins(&format!("{}://", scheme.as_str())))
}

/// The authority of a URL, if it has one, and the request target.
fn split_url(url: &str) -> (Option<&str>, String) {
    let rest = url_scheme(url).map(|scheme| &url[scheme.as_str().len() + "://".len()..]);
    let Some(rest) = rest else {
        return (None, url.to_owned());
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let slash = if target.starts_with('/') { "" } else { "/" };
    (Some(authority), format!("{slash}{target}"))
}
