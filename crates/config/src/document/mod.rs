//! The configuration language: every mapping with its keys, their types, defaults and descriptions.
//!
//! This is the only definition. Parser, JSON Schema and reference page are generated from it.

pub(crate) mod auth;
pub(crate) mod cors;
pub(crate) mod error_page;
pub(crate) mod health;
pub(crate) mod listener;
pub(crate) mod rate;
pub(crate) mod rollout;
pub(crate) mod route;
pub(crate) mod service;
pub(crate) mod source;

use waypost_plan::redirect::Scheme;
use waypost_plan::settings::CodeLabel;

use crate::collections::{List, Named, NonEmptyList};
use crate::document::error_page::ErrorPage;
use crate::document::listener::Listener;
use crate::document::rollout::Rollout;
use crate::document::route::Policy;
use crate::document::route::Route;
use crate::document::service::Service;
use crate::document::source::Source;
use crate::either::{ArmsText, OffOr, Shorthand, TextOr};
use crate::keys::Presence::{Default as Fallback, Optional, Required};
use crate::keys::keys;
use crate::numbers::Whole;
use crate::times::TimeoutText;
use crate::values::{LogText, NameOrNull, Text, words};

/// The outcome that a test expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome(pub(crate) &'static str);

words! {
    CodeLabel { "exact" => CodeLabel::Exact, "class" => CodeLabel::Class }
    Scheme { "http" => Scheme::Http, "https" => Scheme::Https }
    Outcome {
        "forward" => Outcome("forward"),
        "redirect" => Outcome("redirect"),
        "respond" => Outcome("respond"),
        "not_found" => Outcome("not_found"),
        "refused" => Outcome("refused"),
        "unavailable" => Outcome("unavailable"),
    }
}

impl Shorthand for State {
    const WORDS: &'static str = "the path of a directory";
}

keys! {
    root Document;

    /// A configuration: one file, or all `*.yaml` and `*.yml` files of a directory together.
    ///
    /// Keys that begin with `x-` are ignored: a place for YAML anchors.
    Document, "the configuration", later ["include", "tls"], ignores "x-" {
        /// Addresses that accept clients.
        ///
        /// At least one is required. Every listener serves every route, limited by its `hosts`. In a
        /// directory, the lists of all files are concatenated.
        listeners: List<Listener> = Optional, "[{ bind: 0.0.0.0:8080 }]";
        /// Services by name.
        ///
        /// A name consists of letters, digits, `.`, `_` and `-`. In a directory, the services of all files
        /// are merged.
        services: Named<Service> = Optional, "{ orders: { endpoints: [http://10.0.0.11:8080] } }";
        /// Routing rules.
        ///
        /// The most specific match wins. The order of the list breaks ties only. In a directory, the lists
        /// of all files are concatenated.
        routes: List<Route> = Optional, "[{ name: orders, match: { path: /orders/* }, to: orders }]";
        /// Policies that routes and listeners share, by name.
        ///
        /// In a directory, the policies of all files are merged.
        policies: Named<Policy> = Optional, "{ web: { timeout: 15s, retry: {} } }";
        /// Plans of rollouts: how a new version gets its traffic.
        ///
        /// In a directory, the rollouts of all files are merged.
        rollouts: Named<Rollout> = Optional, "{ steady: { steps: [1, 5, 25, 50, 100] } }";
        /// Pages in place of errors, for all listeners and routes that have none for a status.
        errors: NonEmptyList<ErrorPage> = Optional, "[{ status: 5xx, file: sorry.html }]";
        /// Requests with their expected outcomes.
        ///
        /// Tests run on every load. A configuration with a failing test is refused.
        tests: List<Test> = Optional, "[{ request: GET /orders/7, expect: { route: orders } }]";
        /// Destination of the access log, one line of JSON per request.
        ///
        /// `off`, `stdout`, or the path of a file, relative to the working directory.
        access_log: LogText = Fallback("off"), "stdout";
        /// Timeout for requests in flight when the gateway stops.
        drain_timeout: TimeoutText = Fallback("30s"), "10s";
        /// Adds `x-waypost-route` and `x-waypost-revision` to responses.
        debug_headers: bool = Fallback("false"), "true";
        /// The admin API of the running gateway; `off` disables it.
        admin: OffOr<Admin> = Optional, "{ bind: 127.0.0.1:9900 }";
        /// Storage of revisions and dials: a directory, or a mapping.
        ///
        /// Defaults to `.waypost` next to the configuration. A relative path is relative to the working directory.
        state: TextOr<State> = Optional, "/var/lib/waypost";
        /// Labels of metrics.
        metrics: Metrics = Optional, "{ code: class }";
        /// Resolution of the names of endpoints.
        resolver: Resolver = Optional, "{ nameservers: [10.0.0.53] }";
        /// Number of worker threads.
        ///
        /// Defaults to one per core. Read at start only.
        workers: Whole = Optional, "4";
        /// Text hashed with the values of `sticky`. Use the same on all instances.
        ///
        /// Changing it assigns all clients to new arms.
        split_key: Text = Fallback(""), "spring-2026";
        /// Place that the rest of the configuration is in, if it is not this file.
        source: Source = Optional, "{ etcd: { endpoints: [10.0.0.1:2379], prefix: /waypost/prod } }";
    }

    /// The admin API: its address and its tokens.
    Admin, "the admin address" {
        /// IP address and port, or `unix:` and the path of a socket.
        ///
        /// Port 0 takes any free port. An address that other machines can reach needs a `token_file`.
        bind: Text = Fallback("127.0.0.1:9900"), "127.0.0.1:9900";
        /// File of accepted tokens, one `[NAME] TOKEN` per line. With `read` behind it, a token changes nothing.
        ///
        /// The file is reloaded when it changes. A relative path is relative to the configuration's directory, or to the
        /// working directory if there is no such file. Without it, every client that reaches the address has access.
        token_file: Text = Optional, "/etc/waypost/tokens";
        /// Headers of failed requests whose values `/api/v1/routes/{name}/failures` shows. Of others it has the names.
        ///
        /// Defaults to `accept`, `content-length`, `content-type`, `grpc-timeout`, `host`, `te`, `traceparent`,
        /// `user-agent`, `x-forwarded-for`, `x-forwarded-host`, `x-forwarded-proto` and `x-request-id`. Values of
        /// `authorization`, `cookie` and their like are never shown.
        show_headers: List<Text> = Optional, "[user-agent, x-request-id, x-tenant]";
    }

    /// Storage of revisions and dials.
    State, "the state" {
        /// The directory, relative to the working directory.
        ///
        /// Defaults to `.waypost` next to the configuration.
        path: Text = Optional, "/var/lib/waypost";
        /// Number of revisions to keep.
        keep: Whole = Fallback("100"), "20";
    }

    /// Resolution of the names of endpoints.
    Resolver, "the resolver" {
        /// Name servers to ask instead of those in `/etc/resolv.conf`: IP addresses, with a port if it is not 53.
        ///
        /// They are asked in this order; the next one if one does not respond within a second. Names in `/etc/hosts`
        /// are known without them. Search domains are those of `/etc/resolv.conf`.
        nameservers: NonEmptyList<Text> = Optional, "[10.0.0.53, \"127.0.0.1:5353\"]";
    }

    /// Labels of metrics.
    Metrics, "the metrics" {
        /// Value of the label `code`: the `exact` status, or its `class`, such as `2xx`.
        code: CodeLabel = Fallback("exact"), "class";
    }

    /// A request with its expected outcome.
    Test, "a test" {
        /// Method and URL: `http://host/path?query`, or `/path` for a request without host.
        request: Text = Required, "GET http://api.example.com/orders/7";
        /// Headers of the request, by name.
        headers: Named<Text> = Optional, "{ x-api-version: \"2\" }";
        /// Address of the client.
        ///
        /// Defaults to 127.0.0.1, and at a unix socket to none.
        client_ip: Text = Optional, "10.1.2.3";
        /// Listener of the request, by name or `bind`.
        ///
        /// Defaults to the first listener that serves the host and fits the scheme of the URL: `https` one with `tls`,
        /// `http` one without.
        listener: Text = Optional, "public";
        /// Expected outcome: at least one key.
        expect: Expect = Required, "{ route: orders, service: orders }";
    }

    /// The expected outcome of a request. Keys left out are not checked.
    Expect, "an expectation" {
        /// Outcome of the request.
        outcome: Outcome = Optional, "forward";
        /// Route of the request; `null` for none.
        route: NameOrNull = Optional, "orders";
        /// Service that gets all such requests.
        service: Text = Optional, "orders";
        /// Services with a weight above 0, or all services with their weights, in any order.
        arms: ArmsText = Optional, "{ orders-v1: 90, orders-v2: 10 }";
        /// Status of a response of the gateway itself.
        status: Whole = Optional, "404";
        /// Path as the service gets it, without query.
        path: Text = Optional, "/v2/orders/7";
        /// `Host` as the service gets it.
        host: Text = Optional, "checkout.internal";
        /// `Location` of a redirect.
        location: Text = Optional, "https://www.example.com/shops/7";
        /// True if browsers let the page of the request's `Origin` read the response, or send what a preflight asks for.
        cors: bool = Optional, "true";
    }
}
