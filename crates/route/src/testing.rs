//! A short notation for routes and requests in tests.
//!
//! A line of routes is `NAME [HOST] [PATH] [METHOD,…] [h:NAME=VALUE] [a:…] [c:…] [q:…] [ip:NETWORK,…]`; lines of
//! one name are alternatives of one route. A value is `~REGEX`, `*` (present), `!` (absent), `A|B` (one of them), or text.
//! A request is `METHOD [HOST]/PATH[?QUERY] [h:NAME=VALUE] [a:…] [c:…] [ip:ADDRESS]`.
//! An attribute (`a:`) is called `subject`, `san`, `listener` or `scheme`. A request has the listener `plain` and the
//! scheme `http` if it does not say otherwise.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::Route;
use crate::alternative::Alternative;
use crate::attribute::{Attribute, AttributeCondition};
use crate::condition::{FieldCondition, ValueCondition};
use crate::host::HostPattern;
use crate::path::PathPattern;
use crate::regex::Regex;
use crate::request::Request;

/// A request that owns its parts.
#[derive(Debug, Clone)]
pub(crate) struct OwnedRequest {
    pub(crate) host: Option<String>,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) method: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) attributes: Vec<(Attribute, Vec<u8>)>,
    pub(crate) client_ip: IpAddr,
}

impl OwnedRequest {
    pub(crate) fn request(&self) -> Request<'_> {
        Request {
            host: self.host.as_deref().map(str::as_bytes),
            path: self.path.as_bytes(),
            query: self.query.as_deref().map(str::as_bytes),
            method: self.method.as_bytes(),
            client_ip: self.client_ip,
            headers: &self.headers,
            attributes: &self.attributes,
        }
    }
}

pub(crate) fn routes(text: &str) -> Vec<Route> {
    let mut named: Vec<(&str, Vec<Alternative>)> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let alternative = alternative(rest);
        match named.iter_mut().find(|(known, _)| *known == name) {
            Some((_, alternatives)) => alternatives.push(alternative),
            None => named.push((name, vec![alternative])),
        }
    }
    named
        .into_iter()
        .map(|(name, alternatives)| Route {
            name: name.into(),
            alternatives: Arc::from(alternatives),
        })
        .collect()
}

fn alternative(text: &str) -> Alternative {
    let mut alternative = Alternative::default();
    let (mut headers, mut cookies, mut query) = (Vec::new(), Vec::new(), Vec::new());
    let mut attributes = Vec::new();
    for word in text.split_whitespace() {
        if word.starts_with(['/', '~']) {
            alternative.path = PathPattern::parse(word).unwrap();
        } else if let Some(field) = word.strip_prefix("h:") {
            headers.push(condition(field));
        } else if let Some(field) = word.strip_prefix("a:") {
            let FieldCondition { name, value } = condition(field);
            attributes.push(AttributeCondition {
                attribute: attribute(&name),
                value,
            });
        } else if let Some(field) = word.strip_prefix("c:") {
            cookies.push(condition(field));
        } else if let Some(field) = word.strip_prefix("q:") {
            query.push(condition(field));
        } else if let Some(networks) = word.strip_prefix("ip:") {
            alternative.client_ips = networks.split(',').map(network).collect();
        } else if word.starts_with(|c: char| c.is_ascii_uppercase()) {
            alternative.methods = word.split(',').map(Into::into).collect();
        } else {
            alternative.host = HostPattern::parse(word).unwrap();
        }
    }
    attributes.sort_by_key(|condition| condition.attribute);
    Alternative {
        headers: headers.into(),
        attributes: attributes.into(),
        cookies: cookies.into(),
        query: query.into(),
        ..alternative
    }
}

fn condition(text: &str) -> FieldCondition {
    let (name, value) = text.split_once('=').unwrap();
    let value = match value {
        "*" => ValueCondition::Present,
        "!" => ValueCondition::Absent,
        _ => match value.strip_prefix('~') {
            Some(regex) => ValueCondition::Matches(Regex::new(regex).unwrap()),
            None if value.contains('|') => ValueCondition::OneOf(value.split('|').map(Into::into).collect()),
            None => ValueCondition::Equals(value.into()),
        },
    };
    FieldCondition {
        name: name.into(),
        value,
    }
}

fn attribute(name: &str) -> Attribute {
    match name {
        "subject" => Attribute::ClientCertificateSubject,
        "san" => Attribute::ClientCertificateSan,
        "listener" => Attribute::Listener,
        "scheme" => Attribute::Scheme,
        _ => panic!("`{name}` is no attribute"),
    }
}

fn network(text: &str) -> IpNet {
    match text.parse::<IpAddr>() {
        Ok(address) => address.into(),
        Err(_) => text.parse().unwrap(),
    }
}

pub(crate) fn request(text: &str) -> OwnedRequest {
    let mut words = text.split_whitespace();
    let method = words.next().unwrap().to_owned();
    let target = words.next().unwrap();
    let (target, query) = match target.split_once('?') {
        Some((target, query)) => (target, Some(query.to_owned())),
        None => (target, None),
    };
    let (host, path) = target.split_at(target.find('/').unwrap());
    let mut owned = OwnedRequest {
        host: (!host.is_empty()).then(|| host.to_owned()),
        path: path.to_owned(),
        query,
        method,
        headers: Vec::new(),
        attributes: Vec::new(),
        client_ip: Ipv4Addr::LOCALHOST.into(),
    };
    for word in words {
        if let Some(field) = word.strip_prefix("h:") {
            let (name, value) = field.split_once('=').unwrap();
            owned.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        } else if let Some(field) = word.strip_prefix("a:") {
            let (name, value) = field.split_once('=').unwrap();
            let value = value.as_bytes().to_vec();
            owned.attributes.push((attribute(name), value));
        } else if let Some(cookie) = word.strip_prefix("c:") {
            owned
                .headers
                .push(("cookie".to_owned(), cookie.as_bytes().to_vec()));
        } else if let Some(address) = word.strip_prefix("ip:") {
            owned.client_ip = address.parse().unwrap();
        } else {
            panic!("`{word}` is no part of a request");
        }
    }
    for (attribute, default) in [(Attribute::Listener, "plain"), (Attribute::Scheme, "http")] {
        if !owned.attributes.iter().any(|(known, _)| *known == attribute) {
            owned.attributes.push((attribute, default.as_bytes().to_vec()));
        }
    }
    owned
}
