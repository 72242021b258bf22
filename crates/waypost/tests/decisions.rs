//! Live traffic and `explain` make the same decision: random plans, random requests, and what a service or the client really
//! gets, field by field.
//!
//! A gateway in this process serves one plan after the other. Each request is sent over TCP, and explained; the services
//! echo the head that they get.

#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use tokio::runtime::Builder;
use waypost_config::{Kind, Source};
use waypost_policy::explain::{Explanation, Outcome, Question};
use waypost_proxy::gateway::Gateway;
use waypost_proxy::generation::{Generation, KnownEndpoints};
use waypost_proxy::observe::metrics::ending::Ending;

/// Requests in all.
const REQUESTS: usize = 10_000;
/// Requests to each plan.
const REQUESTS_PER_PLAN: usize = 100;

/// A message as it was received: its first line, its fields, its body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Message {
    line: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

/// A random plan.
struct Plan {
    text: String,
    /// The service without endpoints.
    empty: &'static str,
}

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(..from.len())]
}

const HOSTS: [&str; 5] = ["a.test", "b.test", "www.a.test", "x.y.test", "10.0.0.1"];
const HOST_PATTERNS: [&str; 5] = [
    "a.test",
    "\"*.test\"",
    "\"*.a.test\"",
    "b.test",
    "[a.test, b.test]",
];
const PATHS: [&str; 9] = [
    "/",
    "/*",
    "/a",
    "/a/*",
    "/a/{id}",
    "/a/{id}/*",
    "/a/b/*",
    "\"~^/v[0-9]+/\"",
    "/b/{x}/c",
];
const TARGETS: [&str; 22] = [
    "/",
    "/a",
    "/a/",
    "/a/7",
    "/a/7/c",
    "/a/b/c",
    "/v1/x",
    "/v12",
    "/b/1/c",
    "//a//b",
    "/a/../b/2/c",
    "/a/%62",
    "/a/%2Fb",
    "/a/%2e.;x/b",
    "/a?x=1",
    "/a/b?x=1&y=%20",
    "/?",
    "/a/b%7E",
    "/..",
    "/a/%zz",
    "/b/ü/c",
    "/v1/../a",
];
const METHODS: [&str; 7] = ["GET", "GET", "POST", "PUT", "HEAD", "OPTIONS", "get"];
const HEADERS: [(&str, &str); 26] = [
    ("x-tier", "gold"),
    ("X-Tier", "silver"),
    ("x-debug", ""),
    ("cookie", "beta=1; side=7"),
    ("cookie", "side="),
    ("x-user", "42"),
    ("x-canary", "always"),
    ("x-canary", "sometimes"),
    ("accept", "application/json"),
    ("accept", "text/html, */*"),
    ("x_under", "1"),
    ("x-forwarded-for", "203.0.113.9, 10.1.2.3"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-proto", "http, https"),
    ("x-forwarded-host", "public.test"),
    ("x-forwarded-port", "8443"),
    ("forwarded", "for=203.0.113.9"),
    ("forwarded", "for=10.1.2.3;proto=https;host=\"b.test:81\""),
    ("x-real-ip", "10.1.2.3"),
    ("x-client", "203.0.113.9"),
    ("x-client", "none"),
    ("x-forwarded-ssl", "on"),
    ("x-waypost-mirror", "r0"),
    ("x_original_url", "/"),
    ("te", "trailers"),
    ("connection", "x-user"),
];

fn one_match(rng: &mut Rng) -> String {
    let mut parts = Vec::new();
    if rng.u8(..3) == 0 {
        parts.push(format!("host: {}", pick(rng, &HOST_PATTERNS)));
    }
    if rng.u8(..5) > 0 {
        parts.push(format!("path: {}", pick(rng, &PATHS)));
    }
    if rng.u8(..4) == 0 {
        parts.push(format!("method: {}", pick(rng, &["GET", "[POST, PUT]", "HEAD"])));
    }
    if rng.u8(..4) == 0 {
        let condition = pick(
            rng,
            &[
                "x-tier: gold",
                "x-tier: \"~^(gold|silver)$\"",
                "x-debug: true",
                "x-debug: false",
            ],
        );
        parts.push(format!("headers: {{ {condition} }}"));
    }
    if rng.u8(..6) == 0 {
        parts.push("cookies: { beta: true }".to_owned());
    }
    if rng.u8(..6) == 0 {
        parts.push("query: { x: \"1\" }".to_owned());
    }
    if rng.u8(..8) == 0 {
        parts.push(format!(
            "client_ip: [{}]",
            pick(rng, &["127.0.0.0/8", "203.0.113.0/24"])
        ));
    }
    format!("{{ {} }}", parts.join(", "))
}

fn action(rng: &mut Rng, matches_open_path: bool) -> Vec<String> {
    let mut lines = Vec::new();
    match rng.u8(..8) {
        0 => lines.push("redirect: { status: 308, scheme: https, path: /moved }".to_owned()),
        1 if matches_open_path => lines.push("redirect: { prefix: /moved, host: new.test }".to_owned()),
        2 => lines.push(format!(
            "respond: {{ status: {}, body: said }}",
            pick(rng, &["200", "204", "410", "503"])
        )),
        _ => {
            let to = pick(
                rng,
                &[
                    "one",
                    "two",
                    "{ one: 95, two: 5 }",
                    "{ one: 0, two: 1 }",
                    "{ one: 0, two: 0 }",
                    "{ one: 1, none: 1 }",
                    "none",
                    "{ one: 1, two: 2, none: 0 }",
                ],
            );
            lines.push(format!("to: {to}"));
            if to.starts_with('{') && rng.bool() {
                lines.push(format!(
                    "sticky: {}",
                    pick(
                        rng,
                        &["{ header: x-user }", "{ cookie: side }", "{ client_ip: true }",]
                    )
                ));
            }
            if to.contains("two: 5") && rng.bool() {
                lines.push("force: { header: x-canary, values: { always: two, never: one } }".to_owned());
            }
            match rng.u8(..6) {
                0 => lines.push("rewrite: { path: /fixed, host: inside.test }".to_owned()),
                1 if matches_open_path => lines.push("rewrite: { prefix: /v2 }".to_owned()),
                2 => lines.push("rewrite: { regex: [\"/a\", \"/..\"] }".to_owned()),
                3 => lines.push("rewrite: { regex: [\"[0-9]+\", \"n$0\"] }".to_owned()),
                _ => {}
            }
            if rng.u8(..4) == 0 {
                lines.push("request_headers: { set: { x-gateway: w, x-tier: w }, add: { x-more: m }, remove: [x-debug, forwarded] }".to_owned());
            }
        }
    }
    if rng.u8(..4) == 0 {
        lines.push("response_headers: { set: { x-set: s }, remove: [server, date] }".to_owned());
    }
    lines
}

fn plan(rng: &mut Rng, services: [SocketAddr; 2]) -> Plan {
    let mut listener = vec!["bind: 127.0.0.1:0".to_owned()];
    if rng.u8(..5) == 0 {
        listener.push("hosts: [a.test, \"*.test\"]".to_owned());
    }
    if rng.u8(..3) == 0 {
        let trusted = [
            "[127.0.0.0/8]",
            "{ from: [127.0.0.0/8], host: forwarded }",
            "{ from: [127.0.0.0/8], hops: 2, host: forwarded }",
            "{ from: [127.0.0.0/8], header: x-client }",
        ];
        listener.push(format!("trusted_proxies: {}", pick(rng, &trusted)));
    }
    if rng.u8(..4) == 0 {
        listener.push(
            "paths: { encoded_slash: keep, double_slash: keep, dot_segment_parameters: keep }".to_owned(),
        );
    }
    if rng.u8(..5) == 0 {
        listener.push("limits: { body_bytes: 4, underscores: keep }".to_owned());
    }
    if rng.u8(..20) == 0 {
        listener.push("redirect: { scheme: https }".to_owned());
    }
    let [one, two] = services;
    // The same for all, as one outcome of the dice stands for the others.
    let host = pick(rng, &["client", "inside.test:81"]);
    let mut text = format!(
        "admin: off\nworkers: 1\ndebug_headers: true\nlisteners: [{{ {} }}]\nservices:\n  one: {{ endpoints: [http://{one}], host: \
         \"{host}\" }}\n  two: {{ endpoints: [http://{two}], host: \"{host}\" }}\n  none: {{ endpoints: [] }}\nroutes:\n",
        listener.join(", "),
    );
    for route in 0..rng.usize(1..7) {
        let matches: Vec<String> = (0..rng.usize(1..3)).map(|_| one_match(rng)).collect();
        let is_open = matches
            .iter()
            .all(|one| one.contains("/*") || !one.contains("path:"));
        text.push_str(&format!(
            "  - name: r{route}\n    match: [{}]\n",
            matches.join(", ")
        ));
        for line in action(rng, is_open) {
            text.push_str(&format!("    {line}\n"));
        }
    }
    Plan { text, empty: "none" }
}

fn question(rng: &mut Rng) -> (Question, Vec<u8>) {
    let mut headers: Vec<(String, String)> = (0..rng.usize(..4))
        .map(|_| HEADERS[rng.usize(..HEADERS.len())])
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut body = Vec::new();
    if rng.u8(..6) == 0 {
        body = b"hello"[..rng.usize(..6)].to_vec();
        headers.push(("content-length".to_owned(), body.len().to_string()));
    }
    let mut host = pick(rng, &HOSTS).to_owned();
    match rng.u8(..10) {
        0 => host.push_str(":8080"),
        1 => host.push('.'),
        2 => host = host.to_uppercase(),
        3 => host = "a b".to_owned(),
        _ => {}
    }
    headers.insert(0, ("Host".to_owned(), host));
    let question = Question {
        method: pick(rng, &METHODS).to_owned(),
        url: pick(rng, &TARGETS).to_owned(),
        headers,
        client_ip: None,
        listener: None,
        all: false,
    };
    (question, body)
}

/// A service that responds with its name and the head that it got.
fn service(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            thread::spawn(move || {
                let mut reader = BufReader::new(socket.try_clone().unwrap());
                while let Some((head, message)) = read_head(&mut reader) {
                    let mut body = vec![0; length(&message)];
                    reader.read_exact(&mut body).unwrap();
                    let mut response = format!(
                        "HTTP/1.1 200 OK\r\nx-service: {name}\r\nx-head: {}\r\n",
                        hex(&head)
                    );
                    response.push_str("content-length: 0\r\n\r\n");
                    socket.write_all(response.as_bytes()).unwrap();
                }
            });
        }
    });
    address
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Reads a head, as bytes and told apart; `None` at the end of the connection.
fn read_head(reader: &mut impl std::io::BufRead) -> Option<(Vec<u8>, Message)> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut bytes).ok()? == 0 {
            return None;
        }
    }
    let message = parse(&bytes);
    Some((bytes, message))
}

fn parse(head: &[u8]) -> Message {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let fields = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Message {
        line,
        fields,
        body: Vec::new(),
    }
}

fn field<'m>(message: &'m Message, name: &str) -> Option<&'m str> {
    let mut fields = message.fields.iter();
    fields
        .find(|(other, _)| other.eq_ignore_ascii_case(name))
        .map(|(_, value)| &**value)
}

fn length(message: &Message) -> usize {
    field(message, "content-length").map_or(0, |length| length.parse().unwrap())
}

/// A connection to the gateway, opened again when it was closed.
struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    fn send(&mut self, question: &Question, body: &[u8]) -> Message {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", question.method, question.url);
        for (name, value) in &question.headers {
            bytes.push_str(&format!("{name}: {value}\r\n"));
        }
        bytes.push_str("\r\n");
        let connection = self.connection.get_or_insert_with(|| {
            let stream = TcpStream::connect(self.address).unwrap();
            stream.set_nodelay(true).unwrap();
            BufReader::new(stream)
        });
        let mut message = bytes.into_bytes();
        message.extend_from_slice(body);
        connection.get_mut().write_all(&message).unwrap();
        let (_, mut response) =
            read_head(connection).unwrap_or_else(|| panic!("no response to {question:?}"));
        if question.method != "HEAD" {
            response.body = vec![0; length(&response)];
            connection.read_exact(&mut response.body).unwrap();
        }
        if field(&response, "connection") == Some("close") {
            self.connection = None;
        }
        response
    }
}

/// Compares what happened with what `explain` says.
fn compare(plan: &Plan, question: &Question, explained: &Explanation, response: &Message) {
    let show = || {
        let body = String::from_utf8_lossy(&response.body);
        let (line, fields) = (&response.line, &response.fields);
        format!(
            "{question:?}\n{explained:?}\n{line} {fields:?} {body}\n{}",
            plan.text
        )
    };
    let status: u16 = response.line.split(' ').nth(1).unwrap().parse().unwrap();
    // No configured edit touches this header, so every response of a route has it.
    assert_eq!(
        field(response, "x-waypost-route"),
        explained.route.as_deref(),
        "{}",
        show()
    );
    if explained.outcome == Outcome::Forward {
        let arms = explained.arms.iter().flatten().filter(|arm| arm.weight > 0);
        let possible: Vec<&str> = match (&explained.service, &explained.cohort) {
            (Some(service), _) | (None, Some(service)) => vec![service],
            (None, None) => arms.map(|arm| &*arm.service).collect(),
        };
        let Some(service) = field(response, "x-service") else {
            // The dice chose the arm without an endpoint; explain describes one that has some.
            assert!(possible.len() > 1 && possible.contains(&plan.empty), "{}", show());
            let error = field(response, "proxy-status");
            assert_eq!(
                (status, error),
                (503, Some("waypost; error=destination_unavailable")),
                "{}",
                show()
            );
            return;
        };
        assert!(possible.contains(&service), "{}", show());
        let got = parse(&unhex(field(response, "x-head").unwrap()));
        let query = explained
            .query
            .as_deref()
            .map_or(String::new(), |query| format!("?{query}"));
        let line = format!("{} {}{query} HTTP/1.1", question.method, explained.path);
        assert_eq!(
            (&got.line, &got.fields),
            (&line, &explained.headers),
            "{}",
            show()
        );
        return;
    }
    assert_eq!(Some(status), explained.status, "{}", show());
    // The explanation leaves the date out.
    let mut fields = response.fields.clone();
    fields.retain(|(name, _)| name != "date");
    assert_eq!(fields, explained.headers, "{}", show());
    assert_eq!(
        field(response, "location"),
        explained.location.as_deref(),
        "{}",
        show()
    );
    if let Some(reason) = &explained.reason
        && question.method != "HEAD"
    {
        let is_json = field(response, "content-type") == Some("application/json");
        let said = if is_json {
            let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
            body["detail"].as_str().unwrap().to_owned()
        } else {
            String::from_utf8(response.body.clone()).unwrap()
        };
        assert!(said.contains(&**reason), "{}", show());
    }
}

fn generation(text: &str) -> Option<Generation> {
    let source = Source {
        name: "waypost.yaml".to_owned(),
        text: text.as_bytes().into(),
    };
    let loaded = waypost_config::load(&[source], Kind::File, &|_| None).ok()?;
    Generation::compile(loaded.plan).ok()
}

#[test]
fn live_traffic_and_explain_decide_alike() {
    let control = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let here = Builder::new_current_thread().enable_all().build().unwrap();
    let services = [service("one"), service("two")];
    let mut rng = Rng::with_seed(15);
    let mut gateway: Option<(Gateway, SocketAddr)> = None;
    let mut outcomes = [0; 6];
    let (mut asked, mut refused) = (0, 0);
    while asked < REQUESTS {
        let plan = plan(&mut rng, services);
        // What no config may say is not asked of the gateway.
        let Some(next) = generation(&plan.text) else {
            refused += 1;
            assert!(refused < REQUESTS, "hardly any plan is valid: {}", plan.text);
            continue;
        };
        let address = match &mut gateway {
            None => {
                let started = Gateway::start(next, control.handle().clone());
                let (started, listening) = here.block_on(started).unwrap();
                let address = listening[0].tcp().unwrap();
                gateway = Some((started, address));
                address
            }
            Some((gateway, address)) => {
                let opened = gateway.open(next).unwrap();
                here.block_on(gateway.serve(opened, &Ending::default()));
                *address
            }
        };
        let generation = gateway.as_ref().unwrap().0.generation();
        let mut client = Client {
            address,
            connection: None,
        };
        for _ in 0..REQUESTS_PER_PLAN {
            let (question, body) = question(&mut rng);
            let explained = generation.explain(&question, KnownEndpoints::Resolved).unwrap();
            let response = client.send(&question, &body);
            compare(&plan, &question, &explained, &response);
            outcomes[explained.outcome as usize] += 1;
            asked += 1;
        }
    }
    for (at, count) in outcomes.iter().enumerate() {
        assert!(*count > 100, "hardly any request had outcome {at}: {outcomes:?}");
    }
    if let Some((gateway, _)) = gateway {
        here.block_on(gateway.drain(Duration::ZERO));
    }
}
