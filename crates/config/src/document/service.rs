//! Services.

use schemars::{Schema, SchemaGenerator, json_schema};
use waypost_plan::balance::Balance;
use waypost_plan::service::{ProxyVersion, SentHost};

use crate::collections::List;
use crate::diagnostic::Code;
use crate::document::Document;
use crate::document::health::{Ejection, HealthCheck};
use crate::either::{UrlsOr, WordOr};
use crate::keys::Presence::{Default as Fallback, Optional, Required};
use crate::keys::{Read, keys};
use crate::numbers::{Percent, Size, Whole};
use crate::problems::{Problems, quote};
use crate::suggest::nearest;
use crate::times::{DurationText, TimeoutText};
use crate::tree::Node;
use crate::values::{Text, is_one_of, read_word, text_of};

/// The words of `balance`.
const BALANCES: [(&str, Balance); 3] = [
    ("round_robin", Balance::RoundRobin),
    ("least_request", Balance::LeastRequest),
    ("random", Balance::Random),
];

/// Words of other gateways for the same, in lower case.
const OTHER_BALANCES: [(&str, &str); 27] = [
    ("roundrobin", "round_robin"),
    ("rr", "round_robin"),
    ("wrr", "round_robin"),
    ("least_conn", "least_request"),
    ("leastconn", "least_request"),
    ("least_connections", "least_request"),
    ("least_requests", "least_request"),
    ("p2c", "least_request"),
    ("least_time", "least_request"),
    ("ewma", "least_request"),
    ("peak_ewma", "least_request"),
    ("power_of_two", "least_request"),
    ("ip_hash", "{ hash: { client_ip: true } }"),
    ("client_ip", "{ hash: { client_ip: true } }"),
    ("source_ip", "{ hash: { client_ip: true } }"),
    ("cookie", "{ hash: { cookie: session } }"),
    ("sticky", "{ hash: { cookie: session } }"),
    ("header", "{ hash: { header: x-user-id } }"),
    ("path", "{ hash: { path: true } }"),
    ("url_hash", "{ hash: { path: true } }"),
    ("source", "{ hash: { client_ip: true } }"),
    ("uri", "{ hash: { path: true } }"),
    ("hash", "{ hash: { header: x-user-id } }"),
    ("hrw", "{ hash: { header: x-user-id } }"),
    ("consistent_hash", "{ hash: { header: x-user-id } }"),
    ("maglev", "{ hash: { header: x-user-id } }"),
    ("ring_hash", "{ hash: { header: x-user-id } }"),
];

/// The words of `host`.
const HOSTS: [(&str, SentHost); 2] = [("client", SentHost::Client), ("endpoint", SentHost::Endpoint)];

impl Read for Balance {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let other = |text: &str| {
            let mut words = OTHER_BALANCES.iter();
            words.find(|(word, _)| word.eq_ignore_ascii_case(text))
        };
        if let Some(text) = text_of(node)
            && let Some((_, meant)) = other(text)
        {
            problems
                .add(
                    Code::UnknownWord,
                    node.span,
                    format!("expected {}, or a mapping, found {}", Self::words(), quote(text)),
                )
                .help(format!("write `{meant}`"));
            return None;
        }
        read_word(node, &BALANCES, problems)
    }

    fn words() -> String {
        BALANCES.map(|(word, _)| format!("`{word}`")).join(" or ")
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": BALANCES.map(|(word, _)| word) })
    }
}

impl Read for SentHost {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let names = || HOSTS.iter().map(|(word, _)| *word);
        match text_of(node) {
            // A misspelt word could be the name of a host, but hardly is.
            Some(text) if !names().any(|word| word == &**text) && nearest(text, names()).is_none() => {
                Some(Self::Named((**text).into()))
            }
            _ => read_word(node, &HOSTS, problems),
        }
    }

    fn words() -> String {
        "`client`, `endpoint` or a host".to_owned()
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// The percentage of `panic`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PanicPercent(pub(crate) Percent);

impl Read for PanicPercent {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let (is_off, is_on) = (
            is_one_of(node, &["off", "false", "no", "none", "never"]),
            is_one_of(node, &["on", "true", "yes", "always"]),
        );
        if !is_off && !is_on {
            return Percent::read(node, problems).map(Self);
        }
        let (meant, help) = match is_off {
            true => ("0", "write `0`: only endpoints that are available are used then"),
            false => ("50", "write a percentage such as `50`, which is the default"),
        };
        let message = format!("expected a percentage, found {}", node.found());
        let problem = problems.add(Code::WrongType, node.span, message).help(help);
        if let Some(written) = node.written() {
            problem.propose(node.span, written, meant);
        }
        None
    }

    fn words() -> String {
        Percent::words()
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        Percent::schema(generator)
    }
}

keys! {
    root Document;

    /// A named destination: one version of one application on any number of identical servers.
    Service, "a service", later [
        "protocol",
    ] {
        /// Servers: `http://host` or `http://host:port`; `https://` for TLS; `h2c://` for cleartext HTTP/2; `unix:` and
        /// the absolute path of a socket; `srv+http://` and a name with SRV records, likewise `srv+https://` and
        /// `srv+h2c://`.
        ///
        /// Names are looked up again when their TTL ends; requests are spread over all addresses. With `[]`, requests get 503. A
        /// mapping says more of a server: `{ url: http://10.0.0.12:8080, weight: 2 }`. A variable may bring several
        /// URLs, separated by commas or blanks: `["${ENDPOINTS}"]`.
        endpoints: List<UrlsOr<Endpoint>> = Required, "[http://10.0.0.11:8080, http://10.0.0.12:8080]";
        /// Rule by which the endpoints share requests: `round_robin`, `least_request`, `random`, or a hash.
        ///
        /// All of them go by the weights of the endpoints. `least_request` takes the one with fewer requests in flight, of
        /// two drawn at random. `{ hash: { header: x-user-id } }` keeps requests with the same value at the same endpoint,
        /// on every instance; those without a value are spread by round robin.
        balance: WordOr<Balance, HashBalance> = Fallback("round_robin"), "least_request";
        /// Percentage of the endpoints below which all of them are used, available or not: panic mode.
        ///
        /// A few endpoints that are left would only be overrun. Backups and endpoints of weight 0 do not count, and
        /// while a backup is available there is no panic. With 0, only available endpoints are used, and requests get
        /// 503 without any.
        panic: PanicPercent = Fallback("50"), "0";
        /// Time over which an endpoint that becomes available gets its share, from a tenth of it on.
        ///
        /// An ejection that ends, checks that pass again and a new address in DNS make an endpoint available; a fresh start
        /// does not. With `hash`, the endpoint takes a growing part of its keys.
        slow_start: DurationText = Optional, "30s";
        /// Timeouts of the service.
        timeouts: Timeouts = Optional, "{ response: 5s }";
        /// Limits on requests and connections, beyond which requests wait or get 503, and on the heads of responses.
        limits: ServiceLimits = Optional, "{ requests: 1000, waiting: 100 }";
        /// Idle connections to keep.
        pool: Pool = Optional, "{ idle_max: 16 }";
        /// Uses HTTP/2, as gRPC requires: by ALPN on `https://` endpoints, with prior knowledge on `http://` endpoints.
        http2: bool = Fallback("false"), "true";
        /// `Host` of its requests: the `client`'s, the host and port of the `endpoint` as configured, or a fixed one such as
        /// `orders.example.com`.
        ///
        /// But for `client`, the client's host is in `x-forwarded-host`. `rewrite: { host }` of a route wins. A fixed host is
        /// that of health checks, too.
        host: SentHost = Fallback("client"), "endpoint";
        /// Verification of `https://` endpoints, and the client certificate for them.
        ///
        /// By default, an endpoint needs a certificate that the system trusts, for the host in its URL.
        tls: ServiceTls = Optional, "{ ca: internal.crt, server_name: users.internal }";
        /// PROXY protocol version to send the client's address with. Connections are then not shared between clients.
        proxy_protocol: ProxyVersion = Optional, "v2";
        /// Checks of the endpoints.
        health: HealthCheck = Optional, "{ path: /healthz }";
        /// Ejection of endpoints by the outcomes of requests.
        eject: Ejection = Optional, "{ failures: 5 }";
    }

    /// A server of a service.
    Endpoint, "an endpoint" {
        /// `http://host` or `http://host:port`; `https://` for TLS; `h2c://` for cleartext HTTP/2; `unix:` and the
        /// absolute path of a socket; `srv+http://` and a name with SRV records.
        url: Text = Required, "http://10.0.0.11:8080";
        /// Weight, relative to those of the other endpoints.
        ///
        /// With 0, the endpoint takes no requests.
        weight: Whole = Fallback("1"), "2";
        /// Uses the endpoint only while no other endpoint of the service is available.
        backup: bool = Fallback("false"), "true";
    }

    /// Balances by a value of the request.
    HashBalance, "a `balance`" {
        /// The value by which requests are kept together.
        hash: Hash = Required, "{ header: x-user-id }";
    }

    /// A value of the request. Exactly one of `header`, `cookie`, `client_ip` and `path` is required.
    ///
    /// A request without a value, or with an empty one, has none.
    Hash, "a `hash`" {
        /// Header; several lines of it are one value, joined by `, `.
        header: Text = Optional, "x-user-id";
        /// Cookie; the first of the name counts.
        cookie: Text = Optional, "session";
        /// `true` for the client's address.
        client_ip: bool = Optional, "true";
        /// `true` for the path in its normal form, without query.
        path: bool = Optional, "true";
    }

    /// Verification of endpoints under TLS, and the client certificate for them.
    ServiceTls, "the `tls` of a service" {
        /// File of trusted CA certificates, as PEM.
        ///
        /// The file is reloaded when it changes. Defaults to the CA certificates of the system.
        ca: Text = Optional, "internal.crt";
        /// Server name for SNI and for verification of the certificate.
        ///
        /// Defaults to the host in the URL of the endpoint.
        server_name: Text = Optional, "users.internal";
        /// Client certificate for the endpoints.
        client_cert: ClientCertificate = Optional, "{ cert: gateway.crt, key: gateway.key }";
        /// Accepts any certificate, without verification. Every load warns of it.
        insecure: bool = Fallback("false"), "true";
    }

    /// The certificate that endpoints are shown, in two files.
    ///
    /// Both are reloaded when they change. If the new pair is not usable, the previous one stays in use.
    ClientCertificate, "the `client_cert` of a service" {
        /// Certificate as PEM, followed by its chain.
        ///
        /// A relative path is relative to the configuration's directory, or to the working directory if there is no such
        /// file.
        cert: Text = Required, "gateway.crt";
        /// Private key as PEM.
        key: Text = Required, "gateway.key";
    }

    /// Timeouts of a service.
    Timeouts, "the timeouts of a service" {
        /// Timeout for a connection attempt (504).
        connect: TimeoutText = Fallback("2s"), "500ms";
        /// Timeout from the end of the request to the first byte of the response (504).
        response: TimeoutText = Fallback("30s"), "5s";
        /// Timeout between two parts of a response.
        idle: TimeoutText = Fallback("60s"), "5m";
        /// Idle timeout of an upgraded connection, such as a WebSocket.
        tunnel: TimeoutText = Fallback("1h"), "10m";
    }

    /// Limits of a service, over all workers, and on the heads of its responses.
    ServiceLimits, "the limits of a service" {
        /// Maximum number of requests in flight. An upgraded connection, such as a WebSocket, counts as long as it lives.
        ///
        /// Beyond it, requests wait as `waiting` and `wait` say, or get 503. No limit by default.
        requests: Whole = Optional, "1000";
        /// Maximum number of open connections to all endpoints together, idle ones included.
        ///
        /// Requests that find none wait as `waiting` and `wait` say, or get 503. No limit by default.
        connections: Whole = Optional, "512";
        /// Maximum number of requests that wait for one of `requests` or `connections`. Further ones get 503 at once.
        waiting: Whole = Fallback("0"), "100";
        /// Maximum time that a request waits (503).
        wait: TimeoutText = Fallback("1s"), "250ms";
        /// Maximum size of a response head. A larger one is replaced by a 502.
        header_bytes: Size = Fallback("64KiB"), "256KiB";
        /// Maximum number of header fields of a response. One with more is replaced by a 502.
        headers: Whole = Fallback("500"), "1000";
    }

    /// Idle connections to a service, for each worker and endpoint.
    Pool, "the pool of a service" {
        /// Maximum number of idle connections; 0 keeps none.
        idle_max: Whole = Fallback("64"), "16";
        /// Timeout after which an idle connection is closed.
        idle_timeout: TimeoutText = Fallback("60s"), "20s";
    }
}
