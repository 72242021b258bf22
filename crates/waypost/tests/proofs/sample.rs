//! Random requests near an alternative.

use std::net::IpAddr;

use fastrand::Rng;
use waypost_plan::listener::Listener;
use waypost_plan::redirect::RequestUrl;
use waypost_plan::value::NoValues;
use waypost_policy::explain::Question;
use waypost_route::alternative::Alternative;
use waypost_route::attribute::Attribute;
use waypost_route::condition::{FieldCondition, ValueCondition};
use waypost_route::host::HostPattern;
use waypost_route::path::{PathPattern, Segment};
use waypost_route::request::Request;

use crate::config::{FIELDS, METHODS, pick};

const SEGMENTS: [&str; 6] = ["a", "b", "7", "ab", "42", "c"];
const ADDRESSES: [&str; 5] = [
    "10.1.2.3",
    "10.200.0.1",
    "127.0.0.1",
    "2001:db8::1",
    "198.51.100.7",
];
/// The proxies that some listeners trust.
const PROXY: &str = "192.0.2.9";
/// The hosts that they say their clients ask for.
const HOSTS_SAID: [&str; 3] = ["public.test", "a.test", "b.test"];

/// A request as it comes in.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    method: String,
    pub(crate) host: Option<String>,
    pub(crate) path: String,
    query: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    client_ip: IpAddr,
    listener: usize,
    /// True if a proxy that the listener trusts says who the client is, and its scheme.
    by_proxy: bool,
    attributes: Vec<(Attribute, Vec<u8>)>,
    /// The host that the client asked the proxy for, if it says so.
    forwarded_host: Option<&'static str>,
}

impl Sample {
    /// A request that fulfils most conditions of `alternative`, at one of the listeners; `None` if there is none.
    pub(crate) fn near(alternative: &Alternative, listeners: &[&Listener], rng: &mut Rng) -> Option<Self> {
        let strays = |rng: &mut Rng| rng.u8(..12) == 0;
        let host = match &alternative.host {
            HostPattern::Any => match rng.u8(..8) {
                0 => None,
                _ => Some(pick(rng, &["a.test", "b.test", "x.a.test", "c.other", "y.x.a.test"]).to_owned()),
            },
            HostPattern::Exact(name) => Some(name.to_string()),
            HostPattern::Wildcard(suffix) => {
                Some(format!("{}{suffix}", pick(rng, &["a", "x", "y.x", "x.a"])))
            }
        };
        let mut method = match alternative.methods.len() {
            0 => pick(rng, &METHODS).to_owned(),
            count => alternative.methods[rng.usize(..count)].to_string(),
        };
        if strays(rng) {
            method = pick(rng, &METHODS).to_owned();
        }
        let mut client_ip: IpAddr = pick(rng, &ADDRESSES).parse().unwrap();
        if !alternative.client_ips.is_empty() && !strays(rng) {
            let network = alternative.client_ips[rng.usize(..alternative.client_ips.len())];
            client_ip = match rng.u8(..4) {
                0 => network.broadcast(),
                1 => network.network(),
                _ if network.contains(&client_ip) => client_ip,
                _ => network.network(),
            };
        }
        // Such an address is no client's.
        if client_ip.is_unspecified() || client_ip.is_multicast() {
            client_ip = "2001:db8::1".parse().unwrap();
        }
        let position = rng.usize(..listeners.len());
        let listener = listeners[position];
        let native = listener.native_scheme();
        let schemes: Vec<_> = listener.client_schemes().into_iter().flatten().collect();
        let scheme = schemes[rng.usize(..schemes.len())];
        let by_proxy = scheme != native || (schemes.len() > 1 && rng.bool());
        let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
        let mut cookies = Vec::new();
        let mut query = Vec::new();
        for (kind, name) in FIELDS {
            let conditions: &[FieldCondition] = match kind {
                "headers" => &alternative.headers,
                "cookies" => &alternative.cookies,
                _ => &alternative.query,
            };
            let condition = conditions.iter().find(|condition| *condition.name == *name);
            let value = match condition.map(|condition| &condition.value) {
                Some(ValueCondition::Absent) if !strays(rng) => continue,
                Some(ValueCondition::Equals(text)) if !strays(rng) => text.to_string(),
                Some(_) => pick(rng, &["1", "2", "17", ""]).to_owned(),
                None if rng.bool() => continue,
                None => pick(rng, &["1", "2", "17", ""]).to_owned(),
            };
            match kind {
                "headers" => headers.push((name.to_owned(), value.into_bytes())),
                "cookies" => cookies.push(format!("{name}={value}")),
                _ => query.push(format!("{name}={value}")),
            }
        }
        if !cookies.is_empty() {
            headers.push(("cookie".to_owned(), cookies.join("; ").into_bytes()));
        }
        let asked = Self {
            method,
            host,
            path: path_near(&alternative.path, rng),
            query: (!query.is_empty()).then(|| query.join("&")),
            headers,
            client_ip,
            listener: position,
            by_proxy,
            forwarded_host: (by_proxy && rng.bool()).then(|| HOSTS_SAID[rng.usize(..HOSTS_SAID.len())]),
            attributes: vec![
                (Attribute::Listener, listener.label().into()),
                (Attribute::Scheme, scheme.as_str().into()),
            ],
        };
        let url = RequestUrl {
            scheme,
            host: asked.client_host().map(str::as_bytes),
            port: None,
            path: asked.path.as_bytes(),
            query: None,
        };
        let comes_in = listener.serves(asked.host.as_deref().map(str::as_bytes))
            && listener
                .redirect
                .as_ref()
                .is_none_or(|redirect| redirect.leads_back(&url, &NoValues));
        comes_in.then_some(asked)
    }

    /// The host of the client's URL.
    pub(crate) fn client_host(&self) -> Option<&str> {
        self.forwarded_host.or(self.host.as_deref())
    }

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

    pub(crate) fn scheme(&self) -> &str {
        let scheme = self
            .attributes
            .iter()
            .find(|(attribute, _)| *attribute == Attribute::Scheme);
        std::str::from_utf8(&scheme.unwrap().1).unwrap()
    }

    pub(crate) fn target(&self) -> String {
        let query = self
            .query
            .as_deref()
            .map_or(String::new(), |query| format!("?{query}"));
        format!("{}{query}", self.path)
    }

    pub(crate) fn question(&self, listeners: &[&Listener]) -> Question {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, value) in &self.headers {
            headers.push((name.clone(), text(value)));
        }
        if self.by_proxy {
            headers.push(("x-forwarded-for".to_owned(), self.client_ip.to_string()));
            headers.push(("x-forwarded-proto".to_owned(), self.scheme().to_owned()));
            let host = self.forwarded_host.iter();
            headers.extend(host.map(|host| ("x-forwarded-host".to_owned(), (*host).to_owned())));
        }
        let client_ip = if self.by_proxy {
            PROXY.parse().unwrap()
        } else {
            self.client_ip
        };
        Question {
            method: self.method.clone(),
            url: match &self.host {
                Some(host) => format!("http://{host}{}", self.target()),
                None => self.target(),
            },
            headers,
            client_ip: Some(client_ip),
            listener: Some(listeners[self.listener].label().to_owned()),
            all: false,
        }
    }
}

/// A path that `pattern` mostly covers.
fn path_near(pattern: &PathPattern, rng: &mut Rng) -> String {
    let random = |rng: &mut Rng, most: usize| -> Vec<String> {
        let count = rng.usize(..=most);
        (0..count).map(|_| pick(rng, &SEGMENTS).to_owned()).collect()
    };
    let written = |segments: &[Segment], rng: &mut Rng| -> Vec<String> {
        let segments = segments.iter();
        segments
            .map(|segment| match segment {
                Segment::Literal(text) => text.to_string(),
                Segment::Parameter(_) => pick(rng, &SEGMENTS).to_owned(),
            })
            .collect()
    };
    let mut segments: Vec<String> = match pattern {
        PathPattern::Exact(text) => text.split('/').skip(1).map(str::to_owned).collect(),
        PathPattern::Template(segments) => written(segments, rng),
        PathPattern::Open(segments) => {
            let mut all = written(segments, rng);
            all.extend(random(rng, 3));
            if rng.u8(..4) == 0 {
                all.push(String::new());
            }
            all
        }
        PathPattern::Regex(regex) => {
            let mut path = String::new();
            for _ in 0..30 {
                path = format!("/{}", random(rng, 4).join("/"));
                if rng.u8(..6) == 0 && path.len() > 1 {
                    path.push('/');
                }
                if regex.is_match(path.as_bytes()) {
                    break;
                }
            }
            path.split('/').skip(1).map(str::to_owned).collect()
        }
    };
    if rng.u8(..16) == 0 {
        segments.retain(|segment| !segment.is_empty());
        let at = rng.usize(..=segments.len());
        match segments.get_mut(at) {
            Some(segment) => *segment = pick(rng, &SEGMENTS).to_owned(),
            None => segments.push(pick(rng, &SEGMENTS).to_owned()),
        }
    }
    format!("/{}", segments.join("/"))
}
