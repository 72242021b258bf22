//! Rollouts: dials that turn themselves, step by step, and back once the new version is worse than tolerated.
//!
//! The test clock stands still but for [`Gateway::pass`]: seconds are counted, not waited for.

mod actions;
mod config;
mod counting;
mod damage;
mod deals;
mod hooks;
mod notifications;
mod reload;
mod restart;
mod start;
mod steps;
mod telling;
mod verdicts;
mod windows;
mod words;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::client::{Client, get};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::message::Message;
use crate::support::service::{Service, ok};
use crate::support::wait_for;

const JSON: &str = "Content-Type: application/json\r\n";
/// Requests of a burst, which is sent in one second of the test clock.
const BURST: usize = 40;
/// The judge of most tests. Real latencies are none of their business, and a wide margin is proved soon.
const JUDGE: &str =
    "judge: { errors: { ratio: 1.5, plus: 20 }, client_errors: off, abandoned: off, latency: off }";

/// A service that answers its name, and 503 while it is broken.
struct Version {
    service: Service,
    is_broken: Arc<AtomicBool>,
}

impl Version {
    fn new(name: &'static str) -> Self {
        let is_broken = Arc::<AtomicBool>::default();
        let broken = Arc::clone(&is_broken);
        let service = Service::named(name, move |talk| {
            while talk.request().is_some_and(|request| request.is_complete) {
                talk.send(match broken.load(Ordering::SeqCst) {
                    true => "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned(),
                    false => ok(name),
                });
            }
        });
        Self { service, is_broken }
    }

    fn set_broken(&self, is_broken: bool) {
        self.is_broken.store(is_broken, Ordering::SeqCst);
    }
}

/// The keys of a plan with [`JUDGE`].
fn judged(steps: &str) -> String {
    format!("steps: {steps}, at_least: 0s, requests: 20, warmup: 0s, {JUDGE}")
}

/// Two versions behind the route `users`, and a rollout of the second.
struct Bench {
    gateway: Gateway,
    v1: Version,
    v2: Version,
    /// Requests that the gateway has to have counted.
    sent: Cell<usize>,
}

impl Bench {
    /// The plan of `users` has these keys.
    fn new(plan: &str) -> Self {
        Self::with(plan, "")
    }

    /// The route has further keys.
    fn with(plan: &str, keys: &str) -> Self {
        Self::of(Version::new("v1"), Version::new("v2"), plan, keys)
    }

    /// The versions are these.
    fn of(v1: Version, v2: Version, plan: &str, keys: &str) -> Self {
        let gateway = Gateway::with_test_clock(config(&v1, &v2, "{ v1: 100, v2: 0 }", plan, keys));
        Self {
            gateway,
            v1,
            v2,
            sent: Cell::new(0),
        }
    }

    /// A config of the same services.
    fn config(&self, split: &str, plan: &str) -> Config {
        config(&self.v1, &self.v2, split, plan, "")
    }

    fn start(&self) -> Value {
        started(&self.gateway, "users", &json!({ "to": "v2" }))
    }

    /// Does an action, which has to be allowed.
    fn act(&self, action: &str) -> Value {
        let done = act(&self.gateway, action);
        assert_eq!(done.status(), 200, "{action}: {}", done.text());
        done.json()
    }

    fn status(&self) -> Value {
        status(&self.gateway, "users")
    }

    /// Waits until all requests so far are counted.
    fn wait_until_counted(&self) {
        wait_for_count(&self.gateway, "users", self.sent.get());
    }

    /// Sends a burst, and lets a second pass.
    fn second(&self) {
        burst(&self.gateway, "/users/7", BURST);
        self.sent.set(self.sent.get() + BURST);
        self.wait_until_counted();
        self.gateway.pass(1);
    }

    /// Lets seconds with bursts pass until the rollout is in this state; returns their number, which is `most` at most.
    fn seconds_until(&self, state: &str, most: usize) -> usize {
        (1..=most)
            .find(|_| {
                self.second();
                self.status()["state"] == state
            })
            .unwrap_or_else(|| panic!("not {state} after {most} seconds: {}", self.status()))
    }

    /// Sends a burst a second until the canary has this share.
    fn seconds_to(&self, percent: f64, most: usize) -> usize {
        (1..=most)
            .find(|_| {
                self.second();
                self.status()["percent"] == percent
            })
            .unwrap_or_else(|| panic!("not at {percent} % after {most} seconds: {}", self.status()))
    }

    /// The live weights of `users`.
    fn live(&self) -> Vec<u64> {
        live(&self.gateway, "users")
    }

    fn restarted(mut self) -> Self {
        self.gateway = self.gateway.restarted();
        self.sent.set(0);
        self
    }

    /// Kills the gateway, and starts it with another config.
    fn restarted_with(mut self, config: impl AsRef<str>) -> Self {
        self.gateway.kill();
        self.gateway.replace(config);
        self.gateway = self.gateway.restarted();
        self.sent.set(0);
        self
    }

    /// The changes, the latest last.
    fn changes(&self) -> Vec<(String, String)> {
        let history = self.gateway.admin_json("/api/v1/routes/users/rollout/history");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let changes = history.as_array().unwrap().iter().rev();
        changes
            .map(|change| (text(&change["change"]), text(&change["percent"])))
            .collect()
    }
}

fn config(v1: &Version, v2: &Version, split: &str, plan: &str, keys: &str) -> Config {
    config_with([v1, v2], split, plan, keys, |config| config)
}

/// A config with further services.
fn config_with(
    versions: [&Version; 2],
    split: &str,
    plan: &str,
    keys: &str,
    services: impl FnOnce(Config) -> Config,
) -> Config {
    let [v1, v2] = versions;
    let config = Config::new()
        .key(&format!("rollouts: {{ plan: {{ {plan} }} }}"))
        .service(&v1.service, "timeouts: { response: 5s }")
        .service(&v2.service, "timeouts: { response: 5s }");
    services(config)
        .route(&format!(
            "name: users, match: {{ path: /users/* }}, to: {split}, rollout: plan{keys}"
        ))
        .route("name: old, match: { path: /old }, respond: { status: 410 }")
}

fn start(gateway: &Gateway, route: &str, body: &Value) -> Message {
    let path = format!("/api/v1/routes/{route}/rollout");
    gateway.admin("POST", &path, JSON, &body.to_string())
}

fn started(gateway: &Gateway, route: &str, body: &Value) -> Value {
    let response = start(gateway, route, body);
    assert_eq!(response.status(), 200, "{}", response.text());
    response.json()
}

fn act(gateway: &Gateway, action: &str) -> Message {
    gateway.admin("POST", &format!("/api/v1/routes/users/rollout/{action}"), "", "")
}

fn status(gateway: &Gateway, route: &str) -> Value {
    gateway.admin_json(&format!("/api/v1/routes/{route}/rollout"))
}

fn live(gateway: &Gateway, route: &str) -> Vec<u64> {
    let route = gateway.admin_json(&format!("/api/v1/routes/{route}"));
    let arms = route["arms"].as_array().unwrap().iter();
    arms.map(|arm| arm["live"].as_u64().unwrap()).collect()
}

/// Sends GETs one behind the other.
fn burst(gateway: &Gateway, path: &str, count: usize) {
    send(gateway, &vec![get(&format!("http://a{path}")); count]);
}

/// Sends requests one behind the other; returns the bodies.
fn send(gateway: &Gateway, requests: &[String]) -> Vec<String> {
    let mut client = gateway.connect();
    client.send(requests.concat());
    requests.iter().map(|_| client.response().text()).collect()
}

/// Waits until so many requests of a route are counted.
fn wait_for_count(gateway: &Gateway, route: &str, count: usize) {
    let start = format!("waypost_requests_total{{route=\"{route}\"");
    wait_for("the count", || {
        let metrics = gateway.metrics();
        let lines = metrics.lines().filter(|line| line.starts_with(&start));
        let counts = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap());
        (counts.sum::<usize>() >= count).then_some(())
    });
}

fn subscribe(gateway: &Gateway) -> Client {
    let address = gateway.admin_address();
    let mut events = Client::connect(address);
    events.send(format!("GET /api/v1/events HTTP/1.1\r\nHost: {address}\r\n\r\n"));
    assert_eq!(events.response_head().status(), 200);
    events
}

/// A list of changes, as [`Bench::changes`] gives them.
fn changes(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = expected.iter();
    owned
        .map(|(change, percent)| ((*change).to_owned(), (*percent).to_owned()))
        .collect()
}

fn has_lack(status: &Value, part: &str) -> bool {
    let lacks = status["lacks"].as_array().unwrap();
    lacks.iter().any(|lack| lack.as_str().unwrap().contains(part))
}
