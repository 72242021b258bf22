//! Random configs, as models with the places of their conditions.

use fastrand::Rng;

const HOSTS: [&str; 5] = ["a.test", "b.test", "*.test", "*.a.test", "x.a.test"];
const PATHS: [&str; 16] = [
    "/",
    "/*",
    "/a",
    "/a/",
    "/a/*",
    "/a/b",
    "/a/b/*",
    "/a/{id}",
    "/a/{id}/*",
    "/{x}",
    "/{x}/b",
    "/{x}/{y}",
    "/{x}/b/*",
    "/b/*",
    "/b",
    "/7/*",
];
const REGEXES: [&str; 10] = [
    "~^/a",
    "~^/a/",
    "~^/a(/|$)",
    "~^/(a|b)/",
    "~b$",
    "~^/a/[0-9]+",
    "~^/a/.*/b$",
    "~^/[ab]/[^/]+$",
    "~^/b(/.*)?$",
    "~.",
];
pub(crate) const METHODS: [&str; 5] = ["GET", "POST", "HEAD", "PUT", "OPTIONS"];
pub(crate) const FIELDS: [(&str, &str); 6] = [
    ("headers", "x-a"),
    ("headers", "x-b"),
    ("cookies", "s"),
    ("cookies", "t"),
    ("query", "p"),
    ("query", "q"),
];
/// Conditions on a field, as written.
const VALUES: [&str; 6] = ["\"1\"", "\"2\"", "true", "false", "\"~^1\"", "\"~[12]\""];
const NETWORKS: [&str; 5] = ["10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9", "::/0", "10.1.2.3"];

pub(crate) fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(..from.len())]
}

/// Some of `from`, in order; at least one, mostly exactly one.
fn some<'a>(rng: &mut Rng, from: &[&'a str]) -> Vec<&'a str> {
    let first = pick(rng, from);
    let another = (rng.u8(..3) == 0).then(|| pick(rng, from));
    from.iter()
        .copied()
        .filter(|one| *one == first || Some(*one) == another)
        .collect()
}

/// A `match` of a route, as written. Empty lists are not written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    hosts: Vec<&'static str>,
    paths: Vec<&'static str>,
    methods: Vec<&'static str>,
    /// Kind, name and condition.
    fields: Vec<(&'static str, &'static str, &'static str)>,
    networks: Vec<&'static str>,
    listeners: Vec<&'static str>,
    scheme: Option<&'static str>,
}

impl Entry {
    fn random(rng: &mut Rng, listeners: &[&'static str]) -> Self {
        let mut entry = Self::default();
        if rng.u8(..3) == 0 {
            entry.hosts = some(rng, &HOSTS);
        }
        if rng.u8(..8) > 0 {
            entry.paths = match rng.u8(..4) {
                0 => some(rng, &REGEXES),
                _ => some(rng, &PATHS),
            };
        }
        for _ in 0..rng.usize(..3) {
            entry.change(rng, listeners);
        }
        entry
    }

    /// Gives it another condition, or takes one away.
    fn change(&mut self, rng: &mut Rng, listeners: &[&'static str]) {
        let is_taken_away = rng.u8(..4) == 0;
        match rng.u8(..10) {
            0 if is_taken_away => self.hosts.clear(),
            0 => self.hosts = some(rng, &HOSTS),
            1 if is_taken_away => self.paths.clear(),
            1 => self.paths = some(rng, &PATHS),
            2 => self.paths = some(rng, &REGEXES),
            3 if is_taken_away => self.methods.clear(),
            3 => self.methods = some(rng, &METHODS),
            4 if is_taken_away => self.networks.clear(),
            4 => self.networks = some(rng, &NETWORKS),
            5 if is_taken_away => self.listeners.clear(),
            5 => self.listeners = some(rng, listeners),
            6 if is_taken_away => self.scheme = None,
            6 => self.scheme = Some(pick(rng, &["http", "https"])),
            _ if is_taken_away => {
                self.fields.pop();
            }
            _ => {
                let (kind, name) = FIELDS[rng.usize(..FIELDS.len())];
                self.fields.retain(|(_, known, _)| *known != name);
                self.fields.push((kind, name, pick(rng, &VALUES)));
            }
        }
    }

    pub(crate) fn text(&self) -> String {
        let list = |texts: &[&str]| -> String {
            let texts: Vec<String> = texts.iter().map(|text| format!("\"{text}\"")).collect();
            match &texts[..] {
                [one] => one.clone(),
                _ => format!("[{}]", texts.join(", ")),
            }
        };
        let mut parts = Vec::new();
        for (key, texts) in [
            ("host", &self.hosts),
            ("path", &self.paths),
            ("method", &self.methods),
            ("client_ip", &self.networks),
            ("listener", &self.listeners),
        ] {
            if !texts.is_empty() {
                parts.push(format!("{key}: {}", list(texts)));
            }
        }
        for kind in ["headers", "cookies", "query"] {
            let fields = self.fields.iter().filter(|(known, _, _)| *known == kind);
            let fields: Vec<String> = fields
                .map(|(_, name, value)| format!("{name}: {value}"))
                .collect();
            if !fields.is_empty() {
                parts.push(format!("{kind}: {{ {} }}", fields.join(", ")));
            }
        }
        parts.extend(self.scheme.map(|scheme| format!("scheme: {scheme}")));
        format!("{{ {} }}", parts.join(", "))
    }

    /// The number of alternatives that it stands for.
    pub(crate) fn len(&self) -> usize {
        self.hosts.len().max(1) * self.paths.len().max(1)
    }

    /// The alternatives, by index, that the diagnostic at `text` may be about.
    pub(crate) fn alternatives_at(&self, text: &str) -> Vec<usize> {
        let path = |index: usize| self.paths.get(index % self.paths.len().max(1));
        let host = |index: usize| self.hosts.get(index / self.paths.len().max(1));
        let is_at = |part: Option<&&str>| part.is_some_and(|part| text.starts_with(&format!("\"{part}\"")));
        let (at, all) = (
            (0..self.len()).filter(|&index| is_at(path(index)) || is_at(host(index))),
            0..self.len(),
        );
        let at: Vec<usize> = at.collect();
        if at.is_empty() { all.collect() } else { at }
    }
}

/// A redirect, as written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leading {
    scheme: Option<&'static str>,
    host: Option<&'static str>,
    pub(crate) port: Option<&'static str>,
    path: Option<&'static str>,
    query: Option<&'static str>,
    pub(crate) url: Option<String>,
}

impl Leading {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let mut leading = Self::default();
        if rng.u8(..5) == 0 {
            let url = pick(
                rng,
                &[
                    "{scheme}://{host}{path}?{query}",
                    "{scheme}://{host}{path}",
                    "http://a.test/a",
                    "https://a.test/a",
                    "http://a.test",
                    "http://a.test:80/",
                    "http://b.test/a?x",
                ],
            );
            leading.url = Some(url.to_owned());
            return leading;
        }
        while leading
            .scheme
            .or(leading.host)
            .or(leading.port)
            .or(leading.path)
            .or(leading.query)
            .is_none()
        {
            if rng.u8(..3) == 0 {
                leading.scheme = Some(pick(rng, &["http", "https"]));
            }
            if rng.u8(..3) == 0 {
                leading.host = Some(pick(rng, &["a.test", "A.test", "b.test", "{host}", "x.{host}"]));
            }
            if rng.u8(..6) == 0 {
                leading.port = Some(pick(rng, &["80", "443", "8443"]));
            }
            if rng.u8(..3) == 0 {
                leading.path = Some(pick(
                    rng,
                    &[
                        "path: \"{path}\"",
                        "path: /a",
                        "path: /a/./",
                        "path: \"/a/{id}\"",
                        "path: \"/{x}/b\"",
                        "path: \"/{y}/{x}\"",
                        "path: \"/{x}/{y}\"",
                        "prefix: /a",
                        "prefix: /a/",
                        "prefix: /",
                        "prefix: \"/a/{id}\"",
                        "prefix: \"/{x}/b\"",
                        "regex: [\"^/c\", \"/a\"]",
                        "regex: [\"a\", \"b\"]",
                    ],
                ));
            }
            if rng.u8(..8) == 0 {
                leading.query = Some(pick(rng, &["\"{query}\"", "\"\"", "x=1"]));
            }
        }
        leading
    }

    pub(crate) fn text(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        for (key, value) in [
            ("scheme", self.scheme),
            ("host", self.host),
            ("port", self.port),
            ("query", self.query),
            ("url", self.url.as_deref()),
        ] {
            let value = value.map(|value| match key {
                "host" | "url" => format!("\"{value}\""),
                _ => value.to_owned(),
            });
            parts.extend(value.map(|value| format!("{key}: {value}")));
        }
        parts.extend(self.path.map(str::to_owned));
        format!("{{ {} }}", parts.join(", "))
    }
}

#[derive(Debug, Clone)]
pub(crate) struct WrittenRoute {
    pub(crate) entries: Vec<Entry>,
    pub(crate) redirect: Option<Leading>,
}

#[derive(Debug, Clone)]
pub(crate) struct Config {
    listeners: Vec<String>,
    pub(crate) routes: Vec<WrittenRoute>,
}

impl Config {
    pub(crate) fn random(rng: &mut Rng, routes: usize) -> Self {
        let (listeners, names) = listeners(rng);
        let mut config = Self {
            listeners,
            routes: Vec::new(),
        };
        let mut known: Vec<Entry> = Vec::new();
        for _ in 0..routes {
            let mut entries = Vec::new();
            for _ in 0..if rng.u8(..4) == 0 { 2 } else { 1 } {
                // What is said of routes is said of those that are much alike.
                let entry = match known.len() {
                    0 => Entry::random(rng, &names),
                    _ if rng.u8(..5) < 2 => Entry::random(rng, &names),
                    many => {
                        let mut entry = known[rng.usize(..many)].clone();
                        for _ in 0..rng.usize(..3) {
                            entry.change(rng, &names);
                        }
                        entry
                    }
                };
                known.push(entry.clone());
                entries.push(entry);
            }
            config.routes.push(WrittenRoute {
                entries,
                redirect: None,
            });
        }
        config
    }

    /// The text, in which each listener, route, `match` and redirect has a line of its own.
    pub(crate) fn text(&self) -> String {
        let mut text = "listeners:\n".to_owned();
        for listener in &self.listeners {
            text.push_str(&format!("- {listener}\n"));
        }
        text.push_str("routes:\n");
        for (route, written) in self.routes.iter().enumerate() {
            text.push_str(&format!("- name: r{route}\n  match:\n"));
            for entry in &written.entries {
                text.push_str(&format!("  - {}\n", entry.text()));
            }
            match &written.redirect {
                Some(redirect) => text.push_str(&format!("  redirect: {}\n", redirect.text())),
                None => text.push_str("  respond: { status: 204 }\n"),
            }
        }
        text
    }

    /// The route of a line, counted from 1, with its `match` if the line is that of one.
    pub(crate) fn route_at(&self, line: usize) -> Option<(usize, Option<usize>)> {
        let mut at = 1 + self.listeners.len() + 1;
        for (route, written) in self.routes.iter().enumerate() {
            let first = at + 3;
            at += 3 + written.entries.len();
            if line <= at {
                return Some((
                    route,
                    line.checked_sub(first)
                        .filter(|entry| *entry < written.entries.len()),
                ));
            }
        }
        None
    }
}

/// Some listeners, and what they are called.
fn listeners(rng: &mut Rng) -> (Vec<String>, Vec<&'static str>) {
    let mut listeners = Vec::new();
    let mut names = Vec::new();
    let tls = "tls: { certificates: [{ cert: a, key: b }] }";
    for (name, keys) in [("plain", ""), ("tls", tls), ("behind", "scheme: https")] {
        if rng.u8(..2) == 0 && (name != "behind" || !names.is_empty()) {
            continue;
        }
        let mut parts = vec![format!(
            "name: {name}, bind: \"127.0.0.1:{}\"",
            8080 + names.len()
        )];
        if !keys.is_empty() {
            parts.push(keys.to_owned());
        }
        if rng.u8(..4) == 0 {
            let hosts = some(rng, &["a.test", "*.test", "*.a.test"]);
            let hosts: Vec<String> = hosts.iter().map(|host| format!("\"{host}\"")).collect();
            parts.push(format!("hosts: [{}]", hosts.join(", ")));
        }
        if rng.u8(..4) == 0 {
            parts.push("trusted_proxies: [192.0.2.0/24]".to_owned());
        }
        if name == "plain" && rng.u8(..5) == 0 {
            let redirects = [
                "{ scheme: https }",
                "{ scheme: https, status: 308 }",
                "{ host: a.test }",
            ];
            parts.push(format!("redirect: {}", pick(rng, &redirects)));
        }
        listeners.push(format!("{{ {} }}", parts.join(", ")));
        names.push(name);
    }
    (listeners, names)
}
