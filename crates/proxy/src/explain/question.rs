//! A request to be explained, as a client would send it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use waypost_plan::listener::Listener;

use crate::client::peer::Peer;
use crate::generation::Generation;

/// A request to be explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The method.
    pub method: String,
    /// `http://host/path?query`, or a path for a request without host; byte for byte as on the wire.
    pub url: String,
    /// Headers in order; a `host` among them overrides the URL's.
    pub headers: Vec<(String, String)>,
    /// The address of the client's end of the connection.
    pub client_ip: IpAddr,
    /// The listener it comes in by, by name or by bind text; `None` for the first that serves the host.
    pub listener: Option<String>,
    /// Whether routes whose host does not cover the request's are considered too.
    pub all: bool,
}

/// Why a question cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// A line break, which would make two requests or two headers of it.
    #[error("{0} has a line break in it")]
    LineBreak(&'static str),
    /// There is no such listener.
    #[error("there is no listener `{0}`")]
    NoListener(String),
}

impl Question {
    /// The request as a client would send it, and whether it names a host.
    pub(super) fn bytes(&self) -> Result<(Vec<u8>, bool), QuestionError> {
        let breaks = |text: &str| text.contains(['\r', '\n']);
        if breaks(&self.method) {
            return Err(QuestionError::LineBreak("the method"));
        }
        if breaks(&self.url) {
            return Err(QuestionError::LineBreak("the URL"));
        }
        if self
            .headers
            .iter()
            .any(|(name, value)| breaks(name) || breaks(value))
        {
            return Err(QuestionError::LineBreak("a header"));
        }
        let (host, target) = split_url(&self.url);
        let overridden = self
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"));
        let host = host.filter(|_| !overridden);
        let named = overridden || host.is_some();
        let version = if named { "HTTP/1.1" } else { "HTTP/1.0" };
        let mut text = format!("{} {target} {version}\r\n", self.method);
        if let Some(host) = host {
            text.push_str(&format!("Host: {host}\r\n"));
        }
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        Ok((text.into_bytes(), named))
    }

    /// The client's end of the connection that it comes in by.
    pub(super) fn peer(&self) -> Peer {
        let end = |ip| SocketAddr::new(ip, 0);
        Peer::plain(end(self.client_ip), end(Ipv4Addr::UNSPECIFIED.into()))
    }

    /// The listener that it names; `None` when it names none.
    pub(super) fn listener<'g>(
        &self,
        generation: &'g Generation,
    ) -> Result<Option<&'g Listener>, QuestionError> {
        let Some(wanted) = &self.listener else {
            return Ok(None);
        };
        let found = generation
            .plan()
            .listeners()
            .iter()
            .find(|listener| listener.name.as_deref() == Some(wanted) || *listener.bind.text == **wanted);
        match found {
            Some(listener) => Ok(Some(listener)),
            None => Err(QuestionError::NoListener(wanted.clone())),
        }
    }
}

/// The authority of a URL, if it has one, and what stands in the request line.
fn split_url(url: &str) -> (Option<&str>, String) {
    let rest = ["http://", "https://"].iter().find_map(|scheme| {
        let begins = url.get(..scheme.len())?.eq_ignore_ascii_case(scheme);
        begins.then(|| &url[scheme.len()..])
    });
    let Some(rest) = rest else {
        return (None, url.to_owned());
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let slash = if target.starts_with('/') { "" } else { "/" };
    (Some(authority), format!("{slash}{target}"))
}
