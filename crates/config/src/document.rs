//! The configuration language: every mapping with its keys, their types, defaults and descriptions.
//!
//! This is the only definition. Parser, JSON Schema and reference page are generated from it.

use waypost_plan::listener::{ClientAuthMode, HalfClose, ProxyProtocol, Underscores};
use waypost_plan::redirect::Scheme;
use waypost_plan::rewrite::Reverse;
use waypost_plan::rollout::OnSuccess;
use waypost_plan::service::ProxyVersion;
use waypost_plan::settings::CodeLabel;
use waypost_plan::sticky::SameSite;
use waypost_rollout::ramp::plan::{Proof, Then};
use waypost_wire::path::{DotSegmentParameters, DoubleSlash, EncodedSlash};

use crate::collections::{List, Named, NonEmptyList, OneOrMany};
use crate::decimal::Decimal;
use crate::either::{ArmsText, OffOr, PercentOr, Shorthand, TextOr, To};
use crate::keys::Presence::{Default as Fallback, Optional, Required};
use crate::keys::keys;
use crate::statuses::Statuses;
use crate::values::{
    DurationText, LogText, NameOrNull, OriginText, Percent, RateOrNone, Replacing, Size, SizeOrNone, Text,
    ValueText, Whole, words,
};
use crate::windows::WindowText;

/// The outcome that a test expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome(pub(crate) &'static str);

words! {
    Proof { "step" => Proof::Step, "rollout" => Proof::Rollout, "none" => Proof::None }
    Then { "hold" => Then::Hold, "promote" => Then::Promote, "rollback" => Then::RollBack }
    OnSuccess { "dial" => OnSuccess::Dial, "write" => OnSuccess::Write }
    EncodedSlash { "refuse" => EncodedSlash::Refuse, "keep" => EncodedSlash::Keep }
    DoubleSlash { "merge" => DoubleSlash::Merge, "keep" => DoubleSlash::Keep }
    Reverse { "on" => Reverse::On, "off" => Reverse::Off }
    HalfClose { "end" => HalfClose::End, "serve" => HalfClose::Serve }
    DotSegmentParameters { "refuse" => DotSegmentParameters::Refuse, "keep" => DotSegmentParameters::Keep }
    Underscores { "drop" => Underscores::Drop, "keep" => Underscores::Keep }
    SameSite { "strict" => SameSite::Strict, "lax" => SameSite::Lax, "none" => SameSite::None }
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

impl Shorthand for Rollout {
    const WORDS: &'static str = "the name of one of `rollouts`";
}

impl Shorthand for StickyCookie {
    const WORDS: &'static str = "the name of a cookie";
}

keys! {
    root Document;

    /// A configuration: one file, or all `*.yaml` and `*.yml` files of a directory together.
    Document, "the configuration", later ["include", "tls"] {
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
        /// Plans of rollouts: how a new version gets its traffic.
        ///
        /// In a directory, the rollouts of all files are merged.
        rollouts: Named<Rollout> = Optional, "{ steady: { steps: [1, 5, 25, 50, 100] } }";
        /// Requests with their expected outcomes.
        ///
        /// Tests run on every load. A configuration with a failing test is refused.
        tests: List<Test> = Optional, "[{ request: GET /orders/7, expect: { route: orders } }]";
        /// Destination of the access log, one line of JSON per request.
        ///
        /// `off`, `stdout`, or the path of a file, relative to the working directory.
        access_log: LogText = Fallback("off"), "stdout";
        /// Timeout for requests in flight when the gateway stops.
        drain_timeout: DurationText = Fallback("30s"), "10s";
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
        /// Number of worker threads.
        ///
        /// Defaults to one per core. Read at start only.
        workers: Whole = Optional, "4";
        /// Text hashed with the values of `sticky`. Use the same on all instances.
        ///
        /// Changing it assigns all clients to new arms.
        split_key: Text = Fallback(""), "spring-2026";
    }

    /// The admin API: its address and its tokens.
    Admin, "the admin address" {
        /// IP address and port, or `unix:` and the path of a socket.
        ///
        /// Port 0 takes any free port. An address that other machines can reach needs a `token_file`.
        bind: Text = Fallback("127.0.0.1:9900"), "127.0.0.1:9900";
        /// File of accepted tokens, one `[NAME] TOKEN` per line.
        ///
        /// The file is reloaded when it changes. Without it, every client that reaches the address has access.
        token_file: Text = Optional, "/etc/waypost/tokens";
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

    /// Labels of metrics.
    Metrics, "the metrics" {
        /// Value of the label `code`: the `exact` status, or its `class`, such as `2xx`.
        code: CodeLabel = Fallback("exact"), "class";
    }

    /// An address that accepts clients.
    Listener, "a listener", later ["http3"] {
        /// IP address and port.
        ///
        /// Port 0 takes any free port. An IPv6 address is written in brackets.
        bind: Text = Required, "0.0.0.0:8080";
        /// Name for tests and logs.
        name: Text = Optional, "public";
        /// Hosts to serve; requests for any other get 404.
        ///
        /// Names, or wildcards such as `*.example.net`. Defaults to every host.
        hosts: NonEmptyList<Text> = Optional, "[api.example.com, \"*.example.net\"]";
        /// Handling of ambiguous paths.
        paths: Paths = Optional, "{ encoded_slash: keep }";
        /// Addresses and networks of proxies whose `Forwarded`, `X-Forwarded-*` and `X-Real-IP` are trusted.
        ///
        /// For a request from a trusted proxy, the client is the right-most address in `Forwarded` or `X-Forwarded-For`
        /// that is not itself a trusted proxy, or that of `X-Real-IP`; its scheme, host and port are those of the same
        /// headers. Headers that name different clients get 400.
        trusted_proxies: List<Text> = Fallback("[]"), "[10.0.0.0/8]";
        /// Scheme that clients use: `https` where a load balancer in front ends TLS.
        ///
        /// Defaults to `https` with `tls`, else to `http`. A trusted proxy that names the scheme of its client is
        /// believed.
        scheme: Scheme = Optional, "https";
        /// Limits and timeouts for clients.
        limits: Limits = Optional, "{ body_bytes: 10MiB }";
        /// TLS for clients: 1.2 and 1.3, with HTTP/2 and HTTP/1.1 by ALPN.
        tls: ListenerTls = Optional, "{ certificates: [{ cert: api.crt, key: api.key }] }";
        /// Redirects every request on this listener, for example to HTTPS.
        redirect: Redirect = Optional, "{ scheme: https, status: 308 }";
        /// PROXY protocol header (version 1 or 2) in front of connections: `optional` or `required`.
        ///
        /// Only `trusted_proxies` are believed. With `required`, connections from any other address are closed.
        proxy_protocol: ProxyProtocol = Optional, "required";
        /// An HTTP/1 client that ends its sending side (FIN) before anything of its response was sent: `end` takes it
        /// for one that left and ends the exchange, `serve` responds to it.
        ///
        /// A request with `Connection: close`, or of HTTP/1.0 without keep-alive, is always served.
        half_close: HalfClose = Fallback("end"), "serve";
    }

    /// TLS at a listener, terminated or passed through.
    ListenerTls, "the `tls` of a listener" {
        /// Certificates, chosen by SNI: the one for the host, else one with a matching wildcard, else the first.
        ///
        /// A wildcard covers exactly one label. Among several for one host, a client gets one that it
        /// supports, ECDSA before RSA. A request for a host that another certificate would be chosen for than for the
        /// connection's SNI gets 421, unless the connection's certificate covers it; with `client_auth`, every host that
        /// the connection's certificate does not cover.
        certificates: NonEmptyList<Certificate> = Optional, "[{ cert: api.crt, key: api.key }]";
        /// Authentication of clients by certificate.
        client_auth: ClientAuth = Optional, "{ ca: clients.crt, mode: required }";
        /// Passes connections through, by SNI, to the services of `passthrough` routes. Excludes `certificates` and
        /// `client_auth`.
        passthrough: bool = Fallback("false"), "true";
    }

    /// The files of a certificate and its key.
    ///
    /// Both are reloaded when they change. If the new pair is not usable, the previous one stays in use.
    Certificate, "a certificate" {
        /// Certificate as PEM, followed by its chain.
        ///
        /// A relative path is relative to the configuration's directory, or to the working directory if there is no such
        /// file.
        cert: Text = Required, "api.crt";
        /// Private key as PEM.
        key: Text = Required, "api.key";
    }

    /// Authentication of clients by certificate.
    ///
    /// Routes can match the certificate (`client_cert`). Services get it as `x-forwarded-client-cert`.
    ClientAuth, "the `client_auth` of a listener" {
        /// File of the CA certificates for clients, as PEM.
        ca: Text = Required, "clients.crt";
        /// `required` refuses clients without a certificate, `optional` accepts them.
        mode: ClientAuthMode = Fallback("required"), "optional";
    }

    /// Handling of paths that services interpret in different ways.
    Paths, "the paths of a listener" {
        /// `%2F`: refuse the request with 400, or keep it as part of its segment.
        encoded_slash: EncodedSlash = Fallback("refuse"), "keep";
        /// `//`: merge it into `/`, or keep the empty segment.
        double_slash: DoubleSlash = Fallback("merge"), "keep";
        /// `..;`, `.;x=1` and the like, which servlet containers resolve: refuse the request with 400, or keep it as an
        /// ordinary segment.
        dot_segment_parameters: DotSegmentParameters = Fallback("refuse"), "keep";
    }

    /// Limits and timeouts for the clients of a listener.
    Limits, "the limits of a listener" {
        /// Maximum size of a request head (431).
        header_bytes: Size = Fallback("64KiB"), "32KiB";
        /// Maximum number of header fields (431).
        headers: Whole = Fallback("100"), "200";
        /// Maximum size of the request target (414).
        target_bytes: Size = Fallback("8KiB"), "16KiB";
        /// Timeout for a request head, from its first byte (408).
        header_timeout: DurationText = Fallback("10s"), "5s";
        /// Timeout for the next request on an idle connection.
        keep_alive_timeout: DurationText = Fallback("75s"), "2m";
        /// Timeout between two parts of a request body (408).
        body_idle_timeout: DurationText = Fallback("30s"), "1m";
        /// Maximum size of a request body (413); `none` for no limit.
        body_bytes: SizeOrNone = Fallback("none"), "10MiB";
        /// Minimum rate of a request body, as a size per second, with or without `/s` (408); `none` for no minimum.
        ///
        /// It is the average over the time in which the gateway waits for the client, and applies after 10 s of it. It
        /// does not apply once the response has begun.
        body_rate: RateOrNone = Fallback("none"), "1KiB";
        /// Maximum number of open connections; further ones wait in the backlog.
        connections: Whole = Fallback("10000"), "50000";
        /// Headers with `_` in their names, which some servers confuse with `-`: drop or keep them.
        underscores: Underscores = Fallback("drop"), "keep";
        /// Timeout for the TLS handshake, from the start of the connection.
        handshake_timeout: DurationText = Fallback("10s"), "5s";
        /// Maximum number of concurrent TLS handshakes per worker; a further one replaces the oldest.
        handshakes: Whole = Fallback("1000"), "200";
    }

    /// A named destination: one version of one application on any number of identical servers.
    Service, "a service", later [
        "health", "balance", "protocol", "discovery", "retries", "circuit_breaker",
    ] {
        /// Servers: `http://host` or `http://host:port`; `https://` for TLS; `h2c://` for cleartext HTTP/2.
        ///
        /// Names are re-resolved every 10 s; requests are spread round-robin over all addresses. With `[]`,
        /// requests get 503. A variable may bring several, separated by commas or blanks: `["${ENDPOINTS}"]`.
        endpoints: List<OriginText> = Required, "[http://10.0.0.11:8080, http://10.0.0.12:8080]";
        /// Timeouts of the service.
        timeouts: Timeouts = Optional, "{ response: 5s }";
        /// Limits on the heads of responses. A response over them is replaced by a 502.
        limits: ServiceLimits = Optional, "{ header_bytes: 256KiB }";
        /// Idle connections to keep.
        pool: Pool = Optional, "{ idle_max: 16 }";
        /// Uses HTTP/2, as gRPC requires: by ALPN on `https://` endpoints, with prior knowledge on `http://` endpoints.
        http2: bool = Fallback("false"), "true";
        /// Verification of `https://` endpoints, and the client certificate for them.
        ///
        /// By default, an endpoint needs a certificate that the system trusts, for the host in its URL.
        tls: ServiceTls = Optional, "{ ca: internal.crt, server_name: users.internal }";
        /// PROXY protocol version to send the client's address with. Connections are then not shared between clients.
        proxy_protocol: ProxyVersion = Optional, "v2";
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
        client_cert: Certificate = Optional, "{ cert: gateway.crt, key: gateway.key }";
        /// Accepts any certificate, without verification. Every load warns of it.
        insecure: bool = Fallback("false"), "true";
    }

    /// Timeouts of a service.
    Timeouts, "the timeouts of a service" {
        /// Timeout for a connection attempt (504).
        connect: DurationText = Fallback("2s"), "500ms";
        /// Timeout from the end of the request to the first byte of the response (504).
        response: DurationText = Fallback("30s"), "5s";
        /// Timeout between two parts of a response.
        idle: DurationText = Fallback("60s"), "5m";
        /// Idle timeout of an upgraded connection, such as a WebSocket.
        tunnel: DurationText = Fallback("1h"), "10m";
    }

    /// Limits on the heads of a service's responses.
    ServiceLimits, "the limits of a service" {
        /// Maximum size of a response head.
        header_bytes: Size = Fallback("64KiB"), "256KiB";
        /// Maximum number of header fields of a response.
        headers: Whole = Fallback("500"), "1000";
    }

    /// Idle connections to a service, for each worker and endpoint.
    Pool, "the pool of a service" {
        /// Maximum number of idle connections; 0 keeps none.
        idle_max: Whole = Fallback("64"), "16";
        /// Timeout after which an idle connection is closed.
        idle_timeout: DurationText = Fallback("60s"), "20s";
    }

    /// A named rule: its conditions, its action and its policies.
    ///
    /// A route has exactly one of `to`, `redirect`, `respond` and `passthrough`.
    Route, "a route", later ["retries"] {
        /// Name, unique in the configuration: letters, digits, `.`, `_` and `-`.
        name: Text = Required, "orders";
        /// Conditions, or a list of alternatives of which one must hold.
        ///
        /// Defaults to every request.
        matching as "match": OneOrMany<Match> = Optional, "{ path: /orders/* }";
        /// Service to forward to, or a split: services with weights.
        ///
        /// The share of a service is its weight divided by the sum of all weights. Weight 0 gets no requests. If all
        /// weights are 0, or with `{}`, requests get 500.
        to: To = Optional, "{ orders-v1: 90, orders-v2: 10 }";
        /// Keeps a client on the same arm of the split.
        sticky: Sticky = Optional, "{ header: x-user-id }", only with ["to"];
        /// Lets testers pick a service of the split, even one of weight 0.
        force: Force = Optional, "{ header: x-canary, values: { always: orders-v2 } }", only with ["to"];
        /// Plan of its rollouts, by name or in place. `waypost rollout start` begins one.
        rollout: TextOr<Rollout> = Optional, "steady", only with ["to"];
        /// Copies requests to another service and discards its responses.
        mirror: Mirror = Optional, "{ to: orders-next, percent: 10 }", only with ["to"];
        /// Redirects the client.
        redirect: Redirect = Optional, "{ status: 308, host: www.example.com }";
        /// Responds without a service.
        respond: Respond = Optional, "{ status: 410, body: gone }";
        /// Service, or split, for TLS connections of listeners that pass them through.
        ///
        /// Its `match` can have `host`, the server name of the handshake (SNI), and `client_ip`.
        passthrough: To = Optional, "{ mail-v1: 90, mail-v2: 10 }";
        /// Rewrites path and host for the service.
        rewrite: Rewrite = Optional, "{ prefix: /v2/orders }", only with ["to"];
        /// Edits of request headers.
        request_headers: HeaderEdits = Optional, "{ set: { x-gateway: waypost }, remove: [x-internal] }",
            only with ["to"];
        /// Edits of response headers: of a service's responses, redirects and `respond`, not of the gateway's errors.
        response_headers: HeaderEdits = Optional, "{ remove: [server] }",
            only with ["to", "redirect", "respond"];
        /// Timeout for the whole exchange (504).
        timeout: DurationText = Optional, "15s", only with ["to"];
        /// Protocols that clients may upgrade to; `[]` for none.
        ///
        /// HTTP/2 clients use an extended CONNECT (RFC 8441).
        upgrade: List<Text> = Fallback("[websocket]"), "[]", only with ["to"];
        /// Translates gRPC-Web calls, as made by browsers, to gRPC.
        grpc_web: bool = Fallback("false"), "true", only with ["to"];
    }

    /// The plan of a rollout: a new version, the canary, gets its traffic step by step.
    ///
    /// The gateway compares the canary with the baseline over the same seconds, goes on when it is proved not to be worse
    /// than tolerated, and back to 0 % when it is shown to be. The maximum of its durations is `720h`.
    Rollout, "a rollout" {
        /// Service that is rolled out; given by `waypost rollout start --to` otherwise.
        canary: Text = Optional, "checkout-v2";
        /// Service that it is compared with.
        ///
        /// Defaults to the other service of a split of two. A larger split needs it.
        baseline: Text = Optional, "checkout-v1";
        /// Shares of the canary, rising; each a percentage, or a mapping.
        steps: NonEmptyList<PercentOr<RolloutStep>> = Required, "[1, 5, 25, { percent: 50, approve: true }, 100]";
        /// Minimum time of a step. With a judge, it is at least `warmup` and the response timeout of the canary, up to 5m.
        at_least: DurationText = Fallback("1m"), "5m";
        /// Minimum number of the canary's requests in a step.
        requests: Whole = Fallback("100"), "1000";
        /// Proof that a step needs: of this `step`, of the `rollout` so far, or `none`, which leaves time and requests.
        evidence: Proof = Fallback("step"), "rollout";
        /// Time at the beginning of each step in which latency is not judged and nothing is proved. In that of the first
        /// step, 20 % of errors are tolerated.
        warmup: DurationText = Fallback("30s"), "1m";
        /// Longest wait for evidence in a step.
        hold: DurationText = Fallback("2h"), "30m";
        /// Action after `hold`: to go on waiting (`hold`), to take the next step without the proof (`promote`), or to go
        /// back (`rollback`).
        then: Then = Fallback("hold"), "rollback";
        /// Hours in which steps upward are taken, in any of them; the rest of a rollout goes on at any time.
        ///
        /// A window is `DAYS HH:MM-HH:MM ZONE`. The days are single ones, ranges or a list: `Mon`, `Mon-Fri`, `Mon,Thu-Sat`.
        /// A window that ends before it begins goes past midnight, and belongs to the day on which it begins; `00:00-24:00` is
        /// a whole day. The zone is a name such as `Europe/Berlin` or `UTC`.
        windows: NonEmptyList<WindowText> = Optional, "[\"Mon-Fri 09:00-17:00 Europe/Berlin\"]";
        /// The judge; `off` for a ramp by time and requests alone.
        judge: OffOr<Judge> = Optional, "{ errors: { ratio: 2, plus: 1 } }";
        /// Services that are asked before the rollout goes on.
        hooks: RolloutHooks = Optional, "{ before_step: { to: gatekeeper, path: /may } }";
        /// Service that is told of every change of the rollout: a POST with the event as JSON, as `/api/v1/events` has it.
        ///
        /// A notification that is not answered with 2xx within 5s is sent again, after 1s, 2s and so on up to 1m, 10 times in
        /// all, for 15m at most. Nothing waits for it but the next one of the same rollout.
        notify: Destination = Optional, "{ to: chat, path: /hook }";
        /// Goes to changed weights of `to` in these steps, rather than at once. Until the first step the old weights stay
        /// live. The canary is the service whose share grows; a smaller share of a named `canary` is taken at once.
        on_change: bool = Fallback("false"), "true";
        /// The end of a rollout that succeeds: the last share stays as a `dial`, or is put into the config (`write`), as a
        /// revision of its own.
        on_success: OnSuccess = Fallback("dial"), "write";
    }

    /// Services that are asked before a rollout goes on.
    RolloutHooks, "hooks" {
        /// Asked before every step, the first too: a POST with the step as JSON.
        ///
        /// An answer of 2xx lets the rollout go on. Anything else, or none within 5s, holds it, and the service is asked
        /// again 10s later. Neither a rollback nor an action of the operator asks.
        before_step: Destination = Required, "{ to: gatekeeper, path: /may }";
    }

    /// A destination of the gateway's own requests.
    Destination, "a destination" {
        /// Service, reached as requests of clients are: with its endpoints, TLS and protocol.
        to: Text = Required, "gatekeeper";
        /// Path, with or without a query.
        path: Text = Required, "/may";
    }

    /// A step of a rollout.
    RolloutStep, "a step" {
        /// Share of the canary.
        percent: Percent = Required, "25";
        /// Minimum time of this step.
        at_least: DurationText = Optional, "10m";
        /// Minimum number of the canary's requests in this step.
        requests: Whole = Optional, "1000";
        /// Proof that this step needs.
        evidence: Proof = Optional, "none";
        /// Waits for `waypost rollout approve` before the next step.
        approve: bool = Fallback("false"), "true";
    }

    /// The judge of a rollout.
    Judge, "a judge" {
        /// Probability in percent that a version within tolerance is rolled back, however often the judge looks.
        false_rollbacks: Percent = Fallback("1"), "0.1";
        /// Probability in percent that a step of a version beyond tolerance is proved fine.
        false_promotions: Percent = Fallback("5"), "1";
        /// Seconds that have to speak against the canary at least.
        patience: Whole = Fallback("5"), "30";
        /// Tolerated failures, compared with the baseline; `off` to ignore them.
        errors: OffOr<ErrorMargin> = Optional, "{ ratio: 1.5, plus: 0.5 }";
        /// Tolerated responses of class 4xx; `off` to ignore them.
        client_errors: OffOr<Margin> = Optional, "{ ratio: 2, plus: 5 }";
        /// Tolerated requests whose clients leave; `off` to ignore them.
        abandoned: OffOr<Margin> = Optional, "{ ratio: 2, plus: 2 }";
        /// Tolerated slowness; `off` to ignore it.
        latency: OffOr<LatencyMargin> = Optional, "{ p50: 20, p90: 20, p99: 50 }";
        /// Time, up to 1h, after which a request whose response has not begun counts as failed at once, before any timeout.
        ///
        /// Time that is spent waiting for the client's body is left out.
        late: DurationText = Optional, "10s";
    }

    /// The tolerated share of failures: `ratio` times the baseline's, plus `plus` percent.
    ErrorMargin, "a margin of errors" {
        /// Factor on the baseline's share.
        ratio: Decimal = Fallback("1.5"), "2";
        /// Percentage added to it.
        plus: Percent = Fallback("0.5"), "0.1";
        /// Absolute limit on the share, in percent, whatever the baseline's is.
        max: Percent = Optional, "5";
        /// Statuses, and classes of them, of responses that are failures.
        ///
        /// A response that is cut or does not come is a failure in any case, and calls fail by their gRPC status.
        statuses: NonEmptyList<Statuses> = Fallback("[5xx]"), "[5xx, 429]";
        /// Statuses, and classes of them, of responses that are no failures, the gateway's own included.
        exclude: NonEmptyList<Statuses> = Optional, "[501]";
    }

    /// A tolerated share: `ratio` times the baseline's, plus `plus` percent.
    Margin, "a margin" {
        /// Factor on the baseline's share.
        ratio: Decimal = Fallback("2"), "1.5";
        /// Percentage added to it. Defaults to 5 for `client_errors`, to 2 for `abandoned`.
        plus: Percent = Optional, "1";
    }

    /// Tolerated slowness of quantiles, in percent. Where some are named, only those are judged; else p50 and p90 with 20, p99
    /// with 50.
    LatencyMargin, "a margin of latency" {
        /// The median.
        p50: Decimal = Optional, "20";
        /// The 90th percentile.
        p90: Decimal = Optional, "20";
        /// The 99th percentile.
        p99: Decimal = Optional, "50";
    }

    /// Conditions of a route. All of them must hold.
    Match, "a match" {
        /// Host, wildcard such as `*.example.net`, or a list of them.
        host: OneOrMany<Text> = Optional, "[api.example.com, \"*.example.net\"]";
        /// Path: `/orders` is exact, `/orders/*` a prefix, `/users/{id}/cart` has a parameter, `~^/v[0-9]+/` is a
        /// regex.
        path: OriginText = Optional, "/orders/*";
        /// Method, or a list of them. Case-sensitive; GET does not cover HEAD.
        method: OneOrMany<Text> = Optional, "[POST, PUT]";
        /// Headers by case-insensitive name; several lines of one name are one value, joined by `, `.
        headers: Named<ValueText> = Optional, "{ x-tier: \"~^(gold|silver)$\", x-debug: false }";
        /// Query parameters by name; the first of each name is compared.
        query: Named<ValueText> = Optional, "{ preview: \"1\" }";
        /// Cookies by name; the first of each name is compared.
        cookies: Named<ValueText> = Optional, "{ beta: true }";
        /// Address or network of the client, or a list of them.
        client_ip: OneOrMany<Text> = Optional, "[10.0.0.0/8, 192.0.2.7]";
        /// Subject and names of the client's certificate, on listeners with `client_auth`.
        client_cert: ClientCert = Optional, "{ san: spiffe://example/web }";
        /// gRPC service and method: the path and `content-type` of the call. Excludes `path`.
        grpc: Grpc = Optional, "{ service: shop.Orders, method: Get }";
    }

    /// A gRPC call. At least one key is required.
    Grpc, "a `grpc`" {
        /// Full name of the service.
        service: Text = Optional, "shop.Orders";
        /// Name of the method.
        method: Text = Optional, "Get";
    }

    /// Conditions on the client's verified certificate. At least one key is required.
    ClientCert, "a `client_cert`" {
        /// Subject, as `CN=web, O=Example`, in the order of the certificate.
        subject: ValueText = Optional, "\"~CN=web(,|$)\"";
        /// Any of the subject alternative names: a host, URI, mail address or IP address.
        san: ValueText = Optional, "spiffe://example/web";
    }

    /// Keeps a client on the same arm of a split. Exactly one of `header`, `cookie` and `client_ip` is required.
    ///
    /// The value is hashed, so nothing is stored and all instances agree. A request without a value, or with an empty
    /// one, gets a random arm.
    Sticky, "a `sticky`" {
        /// Header, such as one with the user's id.
        header: Text = Optional, "x-user-id";
        /// Cookie, by name or as a mapping. The gateway sets it if it is missing.
        cookie: TextOr<StickyCookie> = Optional, "side";
        /// `true` for the client's address.
        client_ip: bool = Optional, "true";
        /// Name shared by routes of one release, such as `checkout-2026`. It replaces the name of the route in the hash.
        ///
        /// A client is then on the same side of all routes with this name, and `waypost dial --deal` turns them at once.
        deal: Text = Optional, "checkout-2026";
    }

    /// The cookie set for clients without one. Its value is random.
    StickyCookie, "a cookie" {
        /// Name of the cookie.
        name: Text = Required, "side";
        /// `Path` of the cookie.
        path: Text = Fallback("/"), "/shop";
        /// `Max-Age` of the cookie, in whole seconds.
        ///
        /// Without it, the cookie lasts for the client's session.
        max_age: DurationText = Optional, "8760h";
        /// `Domain` of the cookie; without it, only the requested host gets it.
        domain: Text = Optional, "example.com";
        /// `SameSite` of the cookie. `none` implies `secure`.
        same_site: SameSite = Fallback("lax"), "strict";
        /// `Secure`: `true` or `false` for all clients.
        ///
        /// Defaults to the clients that use TLS, with the gateway or with a trusted proxy in front of it.
        secure: bool = Optional, "true";
        /// `HttpOnly`, which hides the cookie from scripts.
        http_only: bool = Fallback("true"), "false";
    }

    /// Lets testers pick a service of a split. Has either `header` or `cookie`.
    Force, "a `force`" {
        /// Header to look at.
        header: Text = Optional, "x-canary";
        /// Cookie to look at.
        cookie: Text = Optional, "canary";
        /// Service for each value. With any other value, the split decides.
        values: Named<Text> = Required, "{ always: orders-v2, never: orders-v1 }";
    }

    /// Copies of requests to another service. At most one of `percent` and `fraction`; by default, every request is
    /// copied.
    ///
    /// Clients never wait for the mirror. A copy has the header `x-waypost-mirror` with the name of the route. Requests
    /// with bodies of more than 64 KiB are not copied.
    Mirror, "a `mirror`" {
        /// Service that gets the copies.
        to: Text = Required, "orders-next";
        /// Percentage of requests to copy, with up to three decimals.
        percent: Percent = Optional, "10";
        /// Fraction of requests to copy.
        fraction: Fraction = Optional, "{ numerator: 1, denominator: 1000 }";
    }

    /// A fraction of all requests.
    Fraction, "a fraction" {
        /// Numerator.
        numerator: Whole = Required, "1";
        /// Denominator.
        denominator: Whole = Fallback("100"), "1000";
    }

    /// A redirect. At least one key besides `status` is required, and at most one of `prefix`, `path` and `regex`
    /// allowed. The query is kept.
    Redirect, "a redirect" {
        /// Status: 301, 302, 303, 307 or 308.
        status: Whole = Fallback("302"), "308";
        /// Scheme; defaults to the client's.
        scheme: Scheme = Optional, "https";
        /// Host; defaults to the request's.
        host: Text = Optional, "www.example.com";
        /// Port. Defaults to none if scheme or host is given, else to the request's.
        port: Whole = Optional, "8443";
        /// Replacement for the prefix of the pattern. Only for patterns that end in `/*`.
        prefix: Text = Optional, "/shops";
        /// Replacement for the whole path; `{name}` is a parameter of the pattern.
        path: Text = Optional, "/shops/{shop}";
        /// `[from, to]`: replaces every match of `from` in the path; `$1` and `$name` are its groups.
        regex: Replacing = Optional, "[\"^/v1/\", /v2/]";
    }

    /// A fixed response of the gateway.
    Respond, "a respond" {
        /// Status: 200 to 599.
        status: Whole = Required, "410";
        /// Body. Not sent with 204, 205 and 304.
        body: Text = Fallback(""), "gone";
        /// Media type of the body.
        content_type: Text = Fallback("text/plain; charset=utf-8"), "application/json";
    }

    /// Rewrites of path and host for a service. At most one of `prefix`, `path` and `regex` is allowed. The query is
    /// kept.
    Rewrite, "a rewrite" {
        /// Replacement for the prefix of the pattern. Only for patterns that end in `/*`.
        prefix: Text = Optional, "/v2/checkout";
        /// Replacement for the whole path; `{name}` is a parameter of the pattern, or a named group of its regex.
        path: Text = Optional, "/shops/{shop}/x";
        /// `[from, to]`: replaces every match of `from` in the path; `$1` and `$name` are its groups.
        regex: Replacing = Optional, "[\"^/v1/\", /v2/]";
        /// `Host` header for the service.
        host: Text = Optional, "checkout.internal";
        /// Maps a service's references to itself back to the paths and the host that the client sees.
        ///
        /// With `prefix` or `host`: in `Location`, `Content-Location`, `Refresh` and `Set-Cookie`.
        reverse: Reverse = Fallback("on"), "off";
    }

    /// Edits of headers, applied in the order `remove`, `set`, `add`. A name occurs in at most one of them.
    HeaderEdits, "header edits" {
        /// Headers to replace, by name.
        set: Named<Text> = Optional, "{ x-gateway: waypost }";
        /// Headers to add to existing ones, by name.
        add: Named<Text> = Optional, "{ via: waypost }";
        /// Names of headers to remove.
        remove: List<Text> = Optional, "[x-internal]";
    }

    /// A request with its expected outcome.
    Test, "a test" {
        /// Method and URL: `http://host/path?query`, or `/path` for a request without host.
        request: Text = Required, "GET http://api.example.com/orders/7";
        /// Headers of the request, by name.
        headers: Named<Text> = Optional, "{ x-api-version: \"2\" }";
        /// Address of the client.
        client_ip: Text = Fallback("127.0.0.1"), "10.1.2.3";
        /// Listener of the request, by name or `bind`.
        ///
        /// Defaults to the first listener that serves the host.
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
    }
}
