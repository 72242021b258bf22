//! `cases/*.txt`, run three ways: by the naive reference, by the compiled table through `explain`, and by the
//! real binary over HTTP. The format is described in `cases/README.md`.

use std::fmt::{self, Write as _};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use waypost_config::{Kind, Source};
use waypost_plan::listener::Listener;
use waypost_proxy::explain::{self, Outcome, Question};
use waypost_proxy::generation::Generation;
use waypost_route::reference;
use waypost_route::request::Request;
use waypost_wire::authority::Authority;
use waypost_wire::path;
use waypost_wire::target::Target;

use crate::support::client;
use crate::support::command::repository;
use crate::support::gateway::{Gateway, services};
use crate::support::service::Service;

/// A test for each file, so that they run side by side.
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
    alternatives: "alternatives.txt",
    client_ip: "client-ip.txt",
    cookies: "cookies.txt",
    fall_through: "fall-through.txt",
    gateway_api_matching: "gateway-api-matching.txt",
    gateway_api_rewrite: "gateway-api-rewrite.txt",
    headers: "headers.txt",
    hosts: "hosts.txt",
    methods: "methods.txt",
    normalising: "normalising.txt",
    paths: "paths.txt",
    query: "query.txt",
    rank: "rank.txt",
    redirect: "redirect.txt",
    refused: "refused.txt",
    respond: "respond.txt",
    rewrite: "rewrite.txt",
}

#[test]
fn every_file_is_run_and_there_are_many_cases() {
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
}

/// Routes, and requests with what is expected of them.
#[derive(Debug, Default)]
struct Block {
    title: String,
    services: Vec<String>,
    listener: Option<String>,
    routes: String,
    requests: Vec<Case>,
}

/// A request, and what is expected of it.
#[derive(Debug)]
struct Case {
    line: usize,
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    client_ip: Option<IpAddr>,
    expected: Expected,
}

/// What has to come; what is `None` may be anything.
#[derive(Debug, Default, PartialEq, Eq)]
struct Expected {
    route: Option<String>,
    status: Option<u16>,
    service: Option<String>,
    path: Option<String>,
    location: Option<String>,
}

/// What came, as far as the way that was taken shows it.
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
    /// What of it did not come. `knows_all` is false for the reference, which knows the route at most.
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
    /// The request as it goes over the wire.
    fn bytes(&self) -> String {
        let mut headers = self.headers.clone();
        if let Some(client) = self.client_ip {
            headers.push(("X-Forwarded-For".to_owned(), client.to_string()));
        }
        client::written(&self.method, &self.url, &headers)
    }

    /// The naive reference's word.
    fn by_reference(&self, generation: &Generation) -> Came {
        let plan = generation.plan();
        let listener = &plan.listeners()[0];
        let Some((host, path, query)) = self.normal_form(listener) else {
            return Came {
                status: Some(400),
                ..Came::default()
            };
        };
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
        };
        let routes = plan.matching();
        let found = listener
            .serves(request.host)
            .then(|| reference::find(&routes, &request))
            .flatten();
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

    /// Host, path and query in their normal form; `None` when the request is one to refuse.
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

    /// Who the client is: the peer, or the right-most address that is not a trusted proxy's.
    fn client(&self, listener: &Listener) -> IpAddr {
        if let Some(client) = self.client_ip {
            return client.to_canonical();
        }
        let mut client = IpAddr::from(Ipv4Addr::LOCALHOST);
        let forwarded: Vec<&str> = self
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-for"))
            .flat_map(|(_, value)| value.split(','))
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

    /// What `explain` says, which asks the compiled table.
    fn by_explain(&self, generation: &Generation) -> Came {
        let question = Question {
            method: self.method.clone(),
            url: self.url.clone(),
            headers: self.headers.clone(),
            client_ip: self.client_ip.unwrap_or(Ipv4Addr::LOCALHOST.into()),
            listener: None,
            all: false,
        };
        let answer = explain::explain(generation, &question).expect("an answer");
        let forwards = answer.outcome == Outcome::Forward;
        let whole = answer
            .arms
            .iter()
            .flatten()
            .filter(|arm| arm.weight > 0)
            .map(|arm| arm.service.clone())
            .next();
        Came {
            route: answer.route,
            status: answer.status,
            service: answer.service.or(whole).filter(|_| forwards),
            path: forwards.then_some(answer.path),
            location: answer.location,
        }
    }

    /// What the gateway does.
    fn by_gateway(&self, gateway: &Gateway) -> Came {
        let mut client = gateway.connect();
        client.send(self.bytes());
        let answer = if self.method == "HEAD" {
            client.answer_to_head()
        } else {
            client.answer()
        };
        let echoed = answer.header("x-echo").is_some();
        let mut came = Came {
            route: answer.header("x-waypost-route").map(str::to_owned),
            status: Some(answer.status()),
            location: answer.header("location").map(str::to_owned),
            ..Came::default()
        };
        if echoed {
            came.service = answer.header("x-echo").map(str::to_owned);
            let target = answer.header("x-echo-target").unwrap_or_default();
            came.path = target.split('?').next().map(str::to_owned);
        }
        if answer.status() == 400 {
            client.assert_closed();
        }
        came
    }
}

/// The services of all blocks, started once: what they are called is all that differs.
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

/// A service that says in headers what it was asked, for HEAD has no body.
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
        let keys = listener.trim_start_matches('{').trim_end_matches('}').trim();
        let comma = if keys.is_empty() { "" } else { ", " };
        let config = format!(
            "listeners: [{{ bind: 127.0.0.1:0{comma}{keys} }}]\nworkers: 1\ndebug_headers: true\n{}routes:\n{}",
            services(used),
            block.routes
        );
        let source = Source {
            name: file.to_owned(),
            text: config.clone().into_bytes(),
        };
        let loaded = waypost_config::load(&[source], Kind::File, &|_| None)
            .unwrap_or_else(|diagnostics| panic!("{}: {diagnostics:#?}", block.title));
        let generation = Generation::compile(loaded.plan).expect("a table");
        let gateway = Gateway::with(&config);
        for case in &block.requests {
            let ways = [
                ("the reference", case.by_reference(&generation), false),
                ("explain", case.by_explain(&generation), true),
                ("the gateway", case.by_gateway(&gateway), true),
            ];
            for (way, came, knows_all) in ways {
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
