//! `cases/*.txt`, run against the naive reference, the compiled table through `explain`, and the binary over HTTP/1 and
//! HTTP/2, in clear text and over TLS. `cases/README.md` describes the format.

use std::fmt::{self, Write as _};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use waypost_config::{Kind, Source};
use waypost_plan::listener::Listener;
use waypost_plan::trusted_proxies::{ClientSource, MatchedHost};
use waypost_policy::explain::{Outcome, Question};
use waypost_proxy::generation::Generation;
use waypost_proxy::generation::KnownEndpoints;
use waypost_route::attribute::Attribute;
use waypost_route::reference;
use waypost_route::request::Request;
use waypost_wire::authority::Authority;
use waypost_wire::path;
use waypost_wire::target::Target;

use crate::support::client;
use crate::support::command::repository;
use crate::support::config::Config;
use crate::support::gateway::{Gateway, certificates};
use crate::support::http2::Http2Client;
use crate::support::message::Message;
use crate::support::service::Service;
use crate::support::tls::{self, Trusting};

/// Declares a test per file, to run them in parallel.
macro_rules! files {
    ($($test:ident: $file:literal,)*) => {
        $(
            #[test]
            fn $test() {
                check_file($file);
            }
        )*

        const FILES: &[&str] = &[$($file),*];
    };
}

files! {
    access: "access.txt",
    alternatives: "alternatives.txt",
    client_ip: "client-ip.txt",
    cookies: "cookies.txt",
    fall_through: "fall-through.txt",
    gateway_api_matching: "gateway-api-matching.txt",
    gateway_api_rewrite: "gateway-api-rewrite.txt",
    headers: "headers.txt",
    hosts: "hosts.txt",
    listeners: "listeners.txt",
    methods: "methods.txt",
    normalising: "normalising.txt",
    order: "order.txt",
    paths: "paths.txt",
    policies: "policies.txt",
    query: "query.txt",
    rank: "rank.txt",
    redirect: "redirect.txt",
    refused: "refused.txt",
    respond: "respond.txt",
    rewrite: "rewrite.txt",
    values: "values.txt",
}

#[test]
fn every_file_is_listed() {
    let mut found: Vec<String> = fs::read_dir(repository().join("cases"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".txt"))
        .collect();
    found.sort();
    assert_eq!(found, FILES);
    let blocks: Vec<Block> = FILES.iter().flat_map(|file| blocks(file)).collect();
    let requests: usize = blocks.iter().map(|block| block.requests.len()).sum();
    assert!(requests >= 150, "{requests} cases");
    let cases = || blocks_cases(&blocks);
    let by_http2 = cases().filter(|case| case.http2().is_some()).count();
    assert!(
        by_http2 * 10 >= requests * 9,
        "{by_http2} of {requests} by HTTP/2"
    );
}

fn blocks_cases(blocks: &[Block]) -> impl Iterator<Item = &Case> {
    blocks.iter().flat_map(|block| &block.requests)
}

/// Routes, and requests with their expected outcomes.
#[derive(Debug, Default)]
struct Block {
    title: String,
    services: Vec<String>,
    listener: Option<String>,
    /// Mappings of policies, in braces.
    policies: Vec<String>,
    routes: String,
    requests: Vec<Case>,
}

/// A request and its expected outcome.
#[derive(Debug)]
struct Case {
    line: usize,
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    client_ip: Option<IpAddr>,
    /// The only listener to ask, `clear` or `tls`; `None` for both.
    listener: Option<String>,
    body: String,
    expected: Expected,
}

/// An expected outcome; `None` accepts anything.
#[derive(Debug, Default, PartialEq, Eq)]
struct Expected {
    route: Option<String>,
    status: Option<u16>,
    service: Option<String>,
    path: Option<String>,
    location: Option<String>,
}

/// An actual outcome, with the parts that a runner can observe.
#[derive(Debug, Default)]
struct Came {
    route: Option<String>,
    status: Option<u16>,
    service: Option<String>,
    path: Option<String>,
    location: Option<String>,
}

fn blocks(file: &str) -> Vec<Block> {
    let text = fs::read_to_string(repository().join("cases").join(file)).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    let mut part = 0;
    for (index, line) in text.lines().enumerate() {
        if let Some(title) = line.strip_prefix("=== ") {
            blocks.push(Block {
                title: format!("{file}: {title}"),
                ..Block::default()
            });
            part = 0;
            continue;
        }
        if line == "---" {
            part += 1;
            continue;
        }
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let block = blocks.last_mut().expect("a title in front");
        match part {
            0 => match line.split_once(':') {
                Some(("services", names)) => {
                    block.services = names.split_whitespace().map(str::to_owned).collect();
                }
                Some(("listener", keys)) => block.listener = Some(keys.trim().to_owned()),
                Some(("policies", keys)) => block.policies.push(keys.trim().to_owned()),
                _ => panic!("{file}:{}: `{line}`", index + 1),
            },
            1 => {
                let _ = writeln!(block.routes, "  {line}");
            }
            _ => block.requests.push(case(index + 1, line)),
        }
    }
    blocks
}

fn case(number: usize, line: &str) -> Case {
    let (request, expected) = line.split_once(" -> ").expect("an expectation");
    let expected = expected.split(" #").next().unwrap_or_default();
    let (method, rest) = request.split_once(' ').expect("a method");
    let rest = rest.trim_start();
    let (url, mut options) = rest.split_once(' ').unwrap_or((rest, ""));
    let mut case = Case {
        line: number,
        method: method.to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        client_ip: None,
        listener: None,
        body: String::new(),
        expected: expectation(expected),
    };
    loop {
        options = options.trim_start();
        if let Some(rest) = options.strip_prefix("-H '") {
            let (header, rest) = rest.split_once('\'').expect("a closing quote");
            let (name, value) = header.split_once(':').expect("a header");
            let value = value.strip_prefix(' ').unwrap_or(value);
            case.headers.push((name.to_owned(), value.to_owned()));
            options = rest;
        } else if let Some(rest) = options.strip_prefix("--client-ip ") {
            let (address, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            case.client_ip = Some(address.parse().expect("an address"));
            options = rest;
        } else if let Some(rest) = options.strip_prefix("--listener ") {
            let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            case.listener = Some(name.to_owned());
            options = rest;
        } else if let Some(rest) = options.strip_prefix("--body ") {
            let (body, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            body.clone_into(&mut case.body);
            case.headers
                .push(("content-length".to_owned(), body.len().to_string()));
            options = rest;
        } else {
            assert_eq!(options, "", "line {number}");
            return case;
        }
    }
}

fn expectation(text: &str) -> Expected {
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    let number = |word: &String| word.parse::<u16>().ok();
    match &words[..] {
        [status] if number(status).is_some() => Expected {
            status: number(status),
            ..Expected::default()
        },
        [route, status, location @ ..] if number(status).is_some() => Expected {
            route: Some(route.clone()),
            status: number(status),
            location: location.first().cloned(),
            ..Expected::default()
        },
        [route, rest @ ..] if rest.len() <= 2 => Expected {
            route: Some(route.clone()),
            service: rest.first().cloned(),
            path: rest.get(1).cloned(),
            ..Expected::default()
        },
        _ => panic!("`{text}` is no expectation"),
    }
}

impl Expected {
    /// Describes the differences. `knows_all` is false for the reference, which finds only the route.
    fn differs(&self, came: &Came, knows_all: bool) -> Option<String> {
        let mut differences = Vec::new();
        let mut compare = |key: &str, wanted: Option<String>, got: Option<String>| {
            if wanted.is_some() && wanted != got {
                differences.push(format!("{key} {} instead of {}", Shown(got), Shown(wanted)));
            }
        };
        let refused = self.route.is_none();
        if knows_all || refused {
            compare(
                "status",
                self.status.map(|s| s.to_string()),
                came.status.map(|s| s.to_string()),
            );
        }
        if refused {
            compare(
                "route",
                Some(String::new()),
                Some(came.route.clone().unwrap_or_default()),
            );
        }
        compare("route", self.route.clone(), came.route.clone());
        if knows_all {
            compare("service", self.service.clone(), came.service.clone());
            compare("path", self.path.clone(), came.path.clone());
            compare("location", self.location.clone(), came.location.clone());
            if self.status.is_none() && came.service.is_none() {
                differences.push(format!("status {:?} instead of a service", came.status));
            }
        }
        (!differences.is_empty()).then(|| differences.join(", "))
    }
}

struct Shown(Option<String>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0.as_deref().unwrap_or("none"))
    }
}

impl Case {
    /// The request in HTTP/1.
    fn bytes(&self) -> String {
        let mut headers = self.headers.clone();
        if let Some(client) = self.client_ip {
            headers.push(("X-Forwarded-For".to_owned(), client.to_string()));
        }
        client::written(&self.method, &self.url, &headers) + &self.body
    }

    /// The outcome by the naive reference.
    fn by_reference(&self, generation: &Generation) -> Came {
        let plan = generation.plan();
        let listener = &plan.listeners()[0];
        if self.url == "*" && self.method == "OPTIONS" && self.names_valid_host() {
            return Came {
                status: Some(204),
                ..Came::default()
            };
        }
        let Some((host, path, query)) = self.normal_form(listener) else {
            return Came {
                status: Some(400),
                ..Came::default()
            };
        };
        let host = self.forwarded_host(listener).or(host);
        let headers: Vec<(String, Vec<u8>)> = self
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
            .collect();
        let request = Request {
            host: host.as_deref(),
            path: &path,
            query: query.as_deref(),
            method: self.method.as_bytes(),
            client_ip: self.client(listener),
            headers: &headers,
            attributes: &self.attributes(listener),
        };
        let routes: Vec<_> = plan
            .request_routes()
            .into_iter()
            .map(|(_, route)| route)
            .collect();
        let is_served = listener.serves(request.host);
        if let (Some(redirect), true) = (&listener.redirect, is_served) {
            return Came {
                status: Some(redirect.status),
                ..Came::default()
            };
        }
        let found = is_served.then(|| reference::find(&routes, &request)).flatten();
        match found {
            Some(found) => Came {
                route: Some(routes[found.route].name.to_string()),
                ..Came::default()
            },
            None => Came {
                status: Some(404),
                ..Came::default()
            },
        }
    }

    /// The attributes of the request: the listener, and the scheme of the client.
    fn attributes(&self, listener: &Listener) -> Vec<(Attribute, Vec<u8>)> {
        let name = self.listener.as_deref().unwrap_or("clear");
        let mut headers = self.headers.iter();
        let forwarded = headers.find(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-proto"));
        let scheme = match forwarded {
            Some((_, scheme)) if listener.trusts(Ipv4Addr::LOCALHOST.into()) => scheme,
            _ if name == "tls" => "https",
            _ => "http",
        };
        let text = |text: &str| text.as_bytes().to_vec();
        vec![
            (Attribute::Listener, text(name)),
            (Attribute::Scheme, text(scheme)),
        ]
    }

    fn names_valid_host(&self) -> bool {
        let mut headers = self.headers.iter();
        let host = headers.find(|(name, _)| name.eq_ignore_ascii_case("host"));
        host.is_none_or(|(_, host)| Authority::parse(host.as_bytes()).is_ok())
    }

    /// Normal forms of host, path and query; `None` if the request must be refused.
    #[expect(clippy::type_complexity, reason = "three texts of which two may be missing")]
    fn normal_form(&self, listener: &Listener) -> Option<(Option<Vec<u8>>, Vec<u8>, Option<Vec<u8>>)> {
        let (named, target, is_11) = client::split(&self.url, &self.headers);
        let target = Target::parse(target.as_bytes()).ok()?;
        let given = self
            .headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("host"));
        let sent = given.map(|(_, value)| value.trim()).or(named);
        let normal = |authority: &[u8]| {
            let mut host = Vec::new();
            Authority::parse(authority).ok()?.normalize_into(&mut host);
            Some(host)
        };
        let host = match (sent, target.authority) {
            (Some(sent), None) => Some(normal(sent.as_bytes())?),
            (Some(sent), Some(authority)) => {
                let (sent, authority) = (normal(sent.as_bytes())?, normal(authority)?);
                if sent != authority {
                    return None;
                }
                Some(authority)
            }
            (None, Some(authority)) if !is_11 => Some(normal(authority)?),
            (None, _) if is_11 => return None,
            (None, _) => None,
        };
        let mut scratch = Vec::new();
        let path = path::normalize(target.path, listener.paths, &mut scratch)
            .ok()?
            .to_vec();
        Some((host, path, target.query.map(<[u8]>::to_vec)))
    }

    /// The client address: the peer, or the right-most forwarded address that is not a trusted proxy's.
    fn client(&self, listener: &Listener) -> IpAddr {
        if let Some(client) = self.client_ip {
            return client.to_canonical();
        }
        let mut client = IpAddr::from(Ipv4Addr::LOCALHOST);
        // Cases have one family of headers each.
        let family = |wanted: &'static str| {
            let headers = self.headers.iter();
            let lines = headers.filter(move |(name, _)| name.eq_ignore_ascii_case(wanted));
            lines.flat_map(|(_, value)| value.split(','))
        };
        let address = |text: &str| text.trim().parse::<IpAddr>().ok();
        let one = match &listener.trusted_proxies.client {
            ClientSource::Lists => None,
            ClientSource::Hop(hop) => {
                let entries: Vec<&str> = family("x-forwarded-for").collect();
                let at = entries.len().checked_sub(hop.get());
                Some(at.and_then(|at| address(entries[at])))
            }
            ClientSource::Header(name) => {
                let mut lines = self
                    .headers
                    .iter()
                    .filter(|(line, _)| line.eq_ignore_ascii_case(name));
                let first = lines.next().filter(|_| lines.next().is_none());
                Some(first.and_then(|(_, value)| address(value)))
            }
        };
        if let Some(one) = one {
            return one.filter(|_| listener.trusts(client)).unwrap_or(client);
        }
        let nodes = family("forwarded").map(|element| {
            let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
            let node = pairs.find(|(name, _)| *name == "for");
            node.map_or("", |(_, node)| node).trim_matches(['"', '[', ']'])
        });
        let forwarded: Vec<&str> = family("x-forwarded-for")
            .chain(family("x-real-ip"))
            .chain(nodes)
            .collect();
        for entry in forwarded.iter().rev() {
            if !listener.trusts(client) {
                break;
            }
            let Ok(address) = entry.trim().parse::<IpAddr>() else {
                break;
            };
            client = address.to_canonical();
        }
        client
    }

    /// The host that routes match, where the listener takes the one that is forwarded.
    fn forwarded_host(&self, listener: &Listener) -> Option<Vec<u8>> {
        let is_taken = listener.trusted_proxies.host == MatchedHost::Forwarded
            && listener.trusts(Ipv4Addr::LOCALHOST.into());
        let value = |wanted: &str| {
            let mut headers = self.headers.iter().filter(|_| is_taken);
            let found = headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.as_str())
        };
        // Cases have one element at most.
        let forwarded = value("forwarded").and_then(|element| element.strip_prefix("host="));
        let host = forwarded.or_else(|| value("x-forwarded-host"))?;
        let mut normal = Vec::new();
        Authority::parse(host.as_bytes())
            .ok()?
            .normalize_into(&mut normal);
        Some(normal)
    }

    /// The outcome by `explain`, which uses the compiled table.
    fn by_explain(&self, generation: &Generation) -> Came {
        let question = Question {
            method: self.method.clone(),
            url: self.url.clone(),
            headers: self.headers.clone(),
            client_ip: self.client_ip,
            listener: self.listener.clone(),
            all: false,
        };
        let explanation = generation
            .explain(&question, KnownEndpoints::Declared)
            .expect("an answer");
        let forwards = explanation.outcome == Outcome::Forward;
        let whole = explanation
            .arms
            .iter()
            .flatten()
            .filter(|arm| arm.weight > 0)
            .map(|arm| arm.service.clone())
            .next();
        Came {
            route: explanation.route,
            status: explanation.status,
            service: explanation.service.or(whole).filter(|_| forwards),
            path: forwards.then_some(explanation.path),
            location: explanation.location,
        }
    }

    /// The outcome by the gateway over HTTP/1.
    fn by_gateway(&self, gateway: &Gateway) -> Came {
        let mut client = gateway.connect();
        client.send(self.bytes());
        let response = if self.method == "HEAD" {
            client.response_to_head()
        } else {
            client.response()
        };
        let came = Self::came(&response);
        if response.status() == 400 {
            client.assert_closed();
        }
        came
    }

    /// The outcome by the gateway over TLS.
    fn by_tls(&self, gateway: &Gateway, trusting: &Trusting) -> Came {
        let mut client = trusting.connect(gateway.addresses()[1], "localhost");
        client.send(self.bytes());
        let response = if self.method == "HEAD" {
            client.response_to_head()
        } else {
            client.response()
        };
        self.in_clear(Self::came(&response))
    }

    /// The request in HTTP/2; `None` if the client library cannot send it.
    fn http2(&self) -> Option<http::Request<()>> {
        let (named, target, is_11) = client::split(&self.url, &self.headers);
        let given = self
            .headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("host"));
        let host = given.map(|(_, value)| value.trim()).or(named)?;
        // The library silently drops a fragment.
        if !is_11 || target.contains('#') || self.method == "CONNECT" {
            return None;
        }
        let uri = http::Uri::builder()
            .scheme("http")
            .authority(host)
            .path_and_query(target)
            .build()
            .ok()?;
        let mut request = http::Request::builder().method(&*self.method).uri(uri);
        for (name, value) in &self.headers {
            if !name.eq_ignore_ascii_case("host") {
                request = request.header(name, value.trim());
            }
        }
        if let Some(client) = self.client_ip {
            request = request.header("x-forwarded-for", client.to_string());
        }
        request.body(()).ok()
    }

    /// The outcome by the gateway over HTTP/2.
    fn by_http2(&self, client: &Http2Client) -> Option<Came> {
        let response = client.ask(self.http2()?, &self.body);
        Some(self.in_clear(Self::came(&response)))
    }

    /// Translates a `Location` from TLS to clear text: an unset scheme is the request's, and decides the default port.
    fn in_clear(&self, mut came: Came) -> Came {
        let wanted = self.expected.location.as_deref().unwrap_or_default();
        if let Some(rest) = came
            .location
            .as_deref()
            .and_then(|url| url.strip_prefix("https://"))
            && wanted.starts_with("http://")
        {
            came.location = Some(format!("http://{}", rest.replacen(":80/", "/", 1)));
        }
        came
    }

    /// The outcome that a response shows.
    fn came(response: &Message) -> Came {
        let echoed = response.header("x-echo").is_some();
        let mut came = Came {
            route: response.header("x-waypost-route").map(str::to_owned),
            status: Some(response.status()),
            location: response.header("location").map(str::to_owned),
            ..Came::default()
        };
        if echoed {
            came.service = response.header("x-echo").map(str::to_owned);
            let target = response.header("x-echo-target").unwrap_or_default();
            came.path = target.split('?').next().map(str::to_owned);
        }
        came
    }

    /// The normal form of the host, for a certificate.
    fn host(&self) -> Option<String> {
        let (named, ..) = client::split(&self.url, &self.headers);
        let given = self
            .headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("host"));
        let host = given.map(|(_, value)| value.trim()).or(named)?;
        let mut normal = Vec::new();
        Authority::parse(host.as_bytes())
            .ok()?
            .normalize_into(&mut normal);
        let host = String::from_utf8(normal).ok()?;
        Some(host.trim_matches(['[', ']']).to_owned())
    }
}

/// The services of all blocks, started once; they differ only by name.
static SERVICES: LazyLock<Vec<Service>> = LazyLock::new(|| {
    let mut names: Vec<String> = FILES
        .iter()
        .flat_map(|file| blocks(file))
        .flat_map(|block| block.services)
        .collect();
    names.sort();
    names.dedup();
    names.iter().map(|name| echo_in_headers(name)).collect()
});

/// Echoes the request in headers, as a response to HEAD has no body.
fn echo_in_headers(name: &str) -> Service {
    let echoed = name.to_owned();
    Service::named(name, move |talk| {
        while let Some(request) = talk.request() {
            talk.send(format!(
                "HTTP/1.1 200 OK\r\nx-echo: {echoed}\r\nx-echo-target: {}\r\ncontent-length: 0\r\n\r\n",
                request.target()
            ));
        }
    })
}

fn check_file(file: &str) {
    let mut failures = String::new();
    for block in blocks(file) {
        let used = SERVICES
            .iter()
            .filter(|service| block.services.iter().any(|name| name == service.name()));
        let listener = block.listener.as_deref().unwrap_or("{}");
        let keys = listener.strip_prefix('{').and_then(|keys| keys.strip_suffix('}'));
        let keys = keys.expect("a mapping in braces").trim();
        let comma = if keys.is_empty() { "" } else { ", " };
        let clear = format!("name: clear{comma}{keys}");
        let tls = format!("name: tls, tls: {{ {} }}{comma}{keys}", certificates(1));
        let config = Config::listening(&[&clear, &tls]).key("debug_headers: true");
        let config = used.fold(config, |config, service| config.service(service, ""));
        let policies = block.policies.iter().map(|policies| {
            let policies = policies
                .strip_prefix('{')
                .and_then(|policies| policies.strip_suffix('}'));
            policies.expect("a mapping in braces").trim()
        });
        let policies: Vec<&str> = policies.collect();
        let policies = match &*policies {
            [] => String::new(),
            all => format!("policies: {{ {} }}\n", all.join(", ")),
        };
        let config = format!("{config}{policies}routes:\n{}", block.routes);
        let source = Source {
            name: file.to_owned(),
            text: config.as_bytes().into(),
        };
        let loaded = waypost_config::load(&[source], Kind::File, &|_| None)
            .unwrap_or_else(|diagnostics| panic!("{}: {diagnostics:#?}", block.title));
        let generation = Generation::compile(loaded.plan).expect("a table");
        let authority = tls::Authority::new();
        let mut hosts: Vec<String> = block.requests.iter().filter_map(Case::host).collect();
        hosts.push("localhost".to_owned());
        let hosts: Vec<&str> = hosts.iter().map(|host| &**host).collect();
        let pair = authority.issue(&hosts);
        let gateway = Gateway::under_tls(&[&pair], &[], &config);
        let trusting = Trusting::new(&authority);
        let both = trusting.clone().offering(&["h2", "http/1.1"]).config();
        let [clear, secure] = *gateway.addresses() else {
            panic!("two listeners");
        };
        let http2 = [
            Http2Client::connect(clear),
            Http2Client::connect_tls(secure, "localhost", both),
        ];
        for case in &block.requests {
            let asks = |name: &str| case.listener.as_deref().is_none_or(|listener| listener == name);
            let mut ways = vec![
                ("the reference", Some(case.by_reference(&generation)), false),
                ("explain", Some(case.by_explain(&generation)), true),
            ];
            if asks("clear") {
                ways.push(("the gateway", Some(case.by_gateway(&gateway)), true));
                ways.push(("the gateway by HTTP/2", case.by_http2(&http2[0]), true));
            }
            if asks("tls") {
                let came = case.by_tls(&gateway, &trusting);
                ways.push(("the gateway under TLS", Some(came), true));
                ways.push(("the gateway by HTTP/2 under TLS", case.by_http2(&http2[1]), true));
            }
            for (way, came, knows_all) in ways {
                let Some(came) = came else { continue };
                if let Some(differences) = case.expected.differs(&came, knows_all) {
                    let _ = writeln!(
                        failures,
                        "{} (line {}, {} {}): {way} gives {differences}",
                        block.title, case.line, case.method, case.url
                    );
                }
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}
