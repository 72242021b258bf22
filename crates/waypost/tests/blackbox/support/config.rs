//! A builder of configs from YAML flow text, without the doubled braces of `format!`.

use std::fmt::{self, Display};

use super::service::Service;

/// A config with one item per line. Keys are YAML flow text without the outer braces: `to: a, timeout: 1s`.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    text: String,
    /// The top-level key that items are being added to; empty if there is none.
    section: &'static str,
}

impl Config {
    /// One listener on a free port; one worker, hence one pool per service.
    pub(crate) fn new() -> Self {
        Self::listening(&[""])
    }

    /// A listener on a free port for each set of keys; one worker.
    pub(crate) fn listening(listeners: &[&str]) -> Self {
        let listeners = listeners.iter();
        listeners.fold(Self::empty(), |config, keys| config.listener("127.0.0.1:0", keys))
    }

    /// One listener at this address; one worker.
    pub(crate) fn at(address: impl Display) -> Self {
        Self::empty().listener(address, "")
    }

    fn empty() -> Self {
        let (text, section) = (String::new(), "");
        Self { text, section }.key("workers: 1")
    }

    fn listener(self, address: impl Display, keys: &str) -> Self {
        self.item("listeners", &format!("- {{ bind: {address}{} }}", further(keys)))
    }

    /// Sets the number of workers.
    pub(crate) fn workers(mut self, count: usize) -> Self {
        self.text = self.text.replacen("workers: 1", &format!("workers: {count}"), 1);
        self
    }

    /// Adds a top-level key and its value.
    pub(crate) fn key(mut self, text: &str) -> Self {
        self.section = "";
        self.text += &format!("{text}\n");
        self
    }

    /// Adds a service under its own name, with these keys.
    pub(crate) fn service(self, service: &Service, keys: &str) -> Self {
        self.service_at(service.name(), &[&service.url()], keys)
    }

    /// Adds a service with these endpoints and keys.
    pub(crate) fn service_at(self, name: &str, endpoints: &[&str], keys: &str) -> Self {
        let keys = further(keys);
        self.item(
            "services",
            &format!("  {name}: {{ endpoints: {endpoints:?}{keys} }}"),
        )
    }

    /// Adds a route.
    pub(crate) fn route(self, keys: &str) -> Self {
        self.item("routes", &format!("- {{ {keys} }}"))
    }

    /// Adds `service` and a route `all` that forwards everything to it.
    pub(crate) fn all_to(self, service: &Service) -> Self {
        let route = format!("name: all, to: {}", service.name());
        self.service(service, "").route(&route)
    }

    /// Adds a test.
    pub(crate) fn test(self, keys: &str) -> Self {
        self.item("tests", &format!("- {{ {keys} }}"))
    }

    /// Adds a route `all` that responds to everything with this body.
    pub(crate) fn all_respond(self, text: &str) -> Self {
        self.route(&format!("name: all, respond: {{ status: 200, body: {text:?} }}"))
    }

    /// Adds a line to a section, which is a list or a mapping.
    pub(crate) fn item(mut self, section: &'static str, line: &str) -> Self {
        if self.section != section {
            self = self.key(&format!("{section}:"));
            self.section = section;
        }
        self.text += &format!("{line}\n");
        self
    }
}

impl AsRef<str> for Config {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl AsRef<[u8]> for Config {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A file with one route, which responds to `/NAME` with this body.
pub(crate) fn route_file(name: &str, text: &str) -> String {
    format!(
        "routes: [{{ name: {name}, match: {{ path: /{name} }}, respond: {{ status: 200, body: {text:?} }} }}]\n"
    )
}

/// Formats keys that follow others.
fn further(keys: &str) -> String {
    if keys.is_empty() {
        String::new()
    } else {
        format!(", {keys}")
    }
}
