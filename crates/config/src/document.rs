//! The configuration as written: every mapping of the language, with its keys, their defaults and what
//! they mean. This page is the one definition; parser, schema and reference are made from it.

use waypost_plan::CodeLabel;
use waypost_plan::listener::{ClientAuthMode, ProxyProtocol, Underscores};
use waypost_plan::redirect::Scheme;
use waypost_plan::service::ProxyVersion;
use waypost_wire::path::{DoubleSlash, EncodedSlash};

use crate::collections::{List, Named, NonEmptyList, OneOrMany};
use crate::either::{AdminText, ArmsText, CookieText, StateText, To};
use crate::keys::Presence::{Default as Fallback, Optional, Required};
use crate::keys::keys;
use crate::values::{
    DurationText, LogText, NameOrNull, Percent, Replacing, Size, SizeOrNone, Text, ValueText, Whole, words,
};

/// What a test expects to become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome(pub(crate) &'static str);

words! {
    EncodedSlash { "refuse" => EncodedSlash::Refuse, "keep" => EncodedSlash::Keep }
    DoubleSlash { "merge" => DoubleSlash::Merge, "keep" => DoubleSlash::Keep }
    Underscores { "drop" => Underscores::Drop, "keep" => Underscores::Keep }
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

keys! {
    /// A configuration: one file, or all `*.yaml` and `*.yml` files of a directory together.
    Document, "the configuration", later ["include", "tls"] {
        /// The addresses that accept clients.
        ///
        /// At least one is needed. Every route serves on every listener whose `hosts` let the request's
        /// host through. In a directory, the lists of all files are appended.
        listeners: List<Listener> = Optional, "[{ bind: 0.0.0.0:8080 }]";
        /// The destinations, by name.
        ///
        /// A name has letters, digits, `.`, `_` and `-`. In a directory, the services of all files are
        /// united.
        services: Named<Service> = Optional, "{ orders: { endpoints: [http://10.0.0.11:8080] } }";
        /// The rules: what matches, what happens, and where it goes.
        ///
        /// The most specific match wins; the order counts only where nothing else separates two
        /// routes. In a directory, the lists of all files are appended.
        routes: List<Route> = Optional, "[{ name: orders, match: { path: /orders/* }, to: orders }]";
        /// Requests, and what is expected to become of them.
        ///
        /// They gate every load: a configuration whose tests fail is refused.
        tests: List<Test> = Optional, "[{ request: GET /orders/7, expect: { route: orders } }]";
        /// Where a line of JSON per request goes.
        ///
        /// `off`, `stdout`, or the path of a file, which counts from the working directory.
        access_log: LogText = Fallback("off"), "stdout";
        /// How long requests in flight may take to end once the gateway is told to stop.
        drain_timeout: DurationText = Fallback("30s"), "10s";
        /// Whether answers carry `x-waypost-route` and `x-waypost-revision`.
        debug_headers: bool = Fallback("false"), "true";
        /// Where the running gateway is asked and told: the admin API. `off` turns it off.
        admin: AdminText = Optional, "{ bind: 127.0.0.1:9900 }";
        /// Where revisions and dials are kept: a directory, or a mapping.
        ///
        /// Without it, `.waypost` beside the configuration. A relative path counts from the working directory.
        state: StateText = Optional, "/var/lib/waypost";
        /// How metrics are labelled.
        metrics: Metrics = Optional, "{ code: class }";
        /// How many worker threads serve clients.
        ///
        /// Without it, one per core. Read at start only.
        workers: Whole = Optional, "4";
        /// What is hashed along with the values of `sticky`, the same on all instances.
        ///
        /// Another text deals all clients anew.
        split_key: Text = Fallback(""), "spring-2026";
    }

    /// The admin API: where it listens, and who may use it.
    Admin, "the admin address" {
        /// An IP address and a port, or `unix:` and the path of a socket.
        ///
        /// Port 0 takes any free one. An address that other machines can reach needs a `token_file`.
        bind: Text = Fallback("127.0.0.1:9900"), "127.0.0.1:9900";
        /// A file with the tokens that are let in, one `[NAME] TOKEN` a line.
        ///
        /// It is read again whenever it changes. Without it, whoever reaches the address is let in.
        token_file: Text = Optional, "/etc/waypost/tokens";
    }

    /// Where revisions and dials are kept.
    State, "the state" {
        /// The directory; a relative path counts from the working directory.
        ///
        /// Without it, `.waypost` beside the configuration.
        path: Text = Optional, "/var/lib/waypost";
        /// How many revisions are kept.
        keep: Whole = Fallback("100"), "20";
    }

    /// How metrics are labelled.
    Metrics, "the metrics" {
        /// What the label `code` says: the `exact` status, or its `class`, such as `2xx`.
        code: CodeLabel = Fallback("exact"), "class";
    }

    /// An address that accepts clients, and what is accepted there.
    Listener, "a listener", later ["http3"] {
        /// The address: an IP address and a port.
        ///
        /// Port 0 takes any free one. An IPv6 address stands in brackets.
        bind: Text = Required, "0.0.0.0:8080";
        /// A name, for tests and logs.
        name: Text = Optional, "public";
        /// The hosts that are served here; any other is answered 404.
        ///
        /// Names, or wildcards such as `*.example.net`. Without it, every host is served.
        hosts: NonEmptyList<Text> = Optional, "[api.example.com, \"*.example.net\"]";
        /// What happens to paths that have two readings.
        paths: Paths = Optional, "{ encoded_slash: keep }";
        /// The addresses and networks whose `X-Forwarded-*`, `Forwarded` and `X-Real-IP` are believed.
        ///
        /// The client of a request that comes from one of them is the right-most address of
        /// `X-Forwarded-For` that is not.
        trusted_proxies: List<Text> = Fallback("[]"), "[10.0.0.0/8]";
        /// What a client may send, and how long it may take.
        limits: Limits = Optional, "{ body_bytes: 10MiB }";
        /// Clients speak TLS here: 1.2 or 1.3, and in it HTTP/2 or HTTP/1.1, as they choose.
        tls: ListenerTls = Optional, "{ certificates: [{ cert: api.crt, key: api.key }] }";
        /// Every request that comes in here is sent elsewhere, such as to the same address under TLS.
        redirect: Redirect = Optional, "{ scheme: https, status: 308 }";
        /// Whether connections begin with a header of the PROXY protocol, version 1 or 2, that says who the client is: they
        /// may (`optional`), or have to (`required`). Only `trusted_proxies` are believed; what comes from others is closed
        /// where it is required.
        proxy_protocol: ProxyProtocol = Optional, "required";
    }

    /// TLS at a listener: it ends there, or passes through.
    ListenerTls, "the `tls` of a listener" {
        /// The certificates. A client gets the one for the host that it names, else one whose wildcard covers that, else
        /// the first.
        ///
        /// A wildcard covers exactly one label. Where several are for the same host, a client gets one that it can check,
        /// rather of elliptic curves than of RSA. A request for a host that the connection's certificate is not for is
        /// answered 421.
        certificates: NonEmptyList<Certificate> = Optional, "[{ cert: api.crt, key: api.key }]";
        /// The certificates that clients are asked for.
        client_auth: ClientAuth = Optional, "{ ca: clients.crt, mode: required }";
        /// Whether connections are passed on as they are, by the host that the client names, to the services of `passthrough`
        /// routes. Without `certificates` and `client_auth`.
        passthrough: bool = Fallback("false"), "true";
    }

    /// The files of a certificate and its key. They are read again whenever they change; a pair that cannot be used leaves
    /// the one in use.
    Certificate, "a certificate" {
        /// The certificate with the chain that leads to it, as PEM.
        ///
        /// A relative path counts from the configuration's directory; without a file there, from the working directory.
        cert: Text = Required, "api.crt";
        /// Its private key, as PEM.
        key: Text = Required, "api.key";
    }

    /// What the clients of a listener are asked for.
    ///
    /// What they show can be a condition of a match (`client_cert`), and services see it as `x-forwarded-client-cert`.
    ClientAuth, "the `client_auth` of a listener" {
        /// The file with the certificates, as PEM, that may have signed those of clients.
        ca: Text = Required, "clients.crt";
        /// Whether a client has to have one: without one, it is let in (`optional`) or not (`required`).
        mode: ClientAuthMode = Fallback("required"), "optional";
    }

    /// What a listener does with paths that services read in different ways.
    Paths, "the paths of a listener" {
        /// `%2F`: refuse the request with 400, or keep it as a character of its segment.
        encoded_slash: EncodedSlash = Fallback("refuse"), "keep";
        /// `//`: merge it into `/`, or keep the empty segment.
        double_slash: DoubleSlash = Fallback("merge"), "keep";
    }

    /// What a client of a listener may send, and how long it may take.
    Limits, "the limits of a listener" {
        /// The head of a request in all (431).
        header_bytes: Size = Fallback("64KiB"), "32KiB";
        /// The fields of a head (431).
        headers: Whole = Fallback("100"), "200";
        /// The request target (414).
        target_bytes: Size = Fallback("8KiB"), "16KiB";
        /// The time for a whole head, from its first byte on (408).
        header_timeout: DurationText = Fallback("10s"), "5s";
        /// How long a connection may wait for its next request.
        keep_alive_timeout: DurationText = Fallback("60s"), "75s";
        /// How long a body may pause (408).
        body_idle_timeout: DurationText = Fallback("30s"), "1m";
        /// The body of a request (413); `none` for no bound.
        body_bytes: SizeOrNone = Fallback("none"), "10MiB";
        /// The connections at a time; more have to wait.
        connections: Whole = Fallback("10000"), "50000";
        /// Header names with `_`, which some servers cannot tell from `-`: drop or keep them.
        underscores: Underscores = Fallback("drop"), "keep";
        /// The time from a connection to the end of its TLS handshake.
        handshake_timeout: DurationText = Fallback("10s"), "5s";
        /// The TLS handshakes at a time, in each worker; beyond them, the oldest makes room for the newest.
        handshakes: Whole = Fallback("1000"), "200";
    }

    /// A named destination: one version of one thing, on any number of identical servers.
    Service, "a service", later [
        "health", "balance", "protocol", "discovery", "retries", "circuit_breaker",
    ] {
        /// The servers: `http://host` or `http://host:port`; `https://` under TLS; `h2c://` for HTTP/2 in clear text.
        ///
        /// A name is looked up again and again, and each of its addresses takes its turn. With `[]`, the
        /// service answers 503.
        endpoints: List<Text> = Required, "[http://10.0.0.11:8080, http://10.0.0.12:8080]";
        /// How long it may take.
        timeouts: Timeouts = Optional, "{ response: 5s }";
        /// Which idle connections are kept.
        pool: Pool = Optional, "{ idle_max: 16 }";
        /// Whether it speaks HTTP/2, as gRPC needs: an `https://` endpoint may then choose it, an `http://` endpoint has to
        /// know it.
        http2: bool = Fallback("false"), "true";
        /// How its `https://` endpoints are known, and what they are shown.
        ///
        /// Without it, they need a certificate that the machine trusts, for the host that stands in their URL.
        tls: ServiceTls = Optional, "{ ca: internal.crt, server_name: users.internal }";
        /// The version of the PROXY protocol by which it is told who the client is. Its connections are not used for another
        /// client then.
        proxy_protocol: ProxyVersion = Optional, "v2";
    }

    /// How endpoints under TLS are known, and what they are shown.
    ServiceTls, "the `tls` of a service" {
        /// The file with the certificates, as PEM, one of which has to have signed theirs.
        ///
        /// It is read again whenever it changes. Without it, those that the machine trusts count.
        ca: Text = Optional, "internal.crt";
        /// The name that their certificates have to have, and that they are asked for.
        ///
        /// Without it, the host in the URL of the endpoint.
        server_name: Text = Optional, "users.internal";
        /// The certificate that they are shown.
        client_cert: Certificate = Optional, "{ cert: gateway.crt, key: gateway.key }";
        /// Whether anybody may pass for the service: no certificate is checked. There is a warning on every load.
        insecure: bool = Fallback("false"), "true";
    }

    /// How long a service may take.
    Timeouts, "the timeouts of a service" {
        /// For a connection to come about (504).
        connect: DurationText = Fallback("2s"), "500ms";
        /// From the end of the request to the first byte of the answer (504).
        response: DurationText = Fallback("30s"), "5s";
        /// Between two parts of an answer.
        idle: DurationText = Fallback("60s"), "5m";
        /// In which nothing moves, either way, on a connection that was upgraded, such as a WebSocket.
        tunnel: DurationText = Fallback("1h"), "10m";
    }

    /// Which idle connections to a service are kept, for each worker and endpoint.
    Pool, "the pool of a service" {
        /// How many; 0 keeps none.
        idle_max: Whole = Fallback("64"), "16";
        /// How long.
        idle_timeout: DurationText = Fallback("60s"), "20s";
    }

    /// A named rule: what it matches, what happens, and where it goes.
    ///
    /// It has exactly one of `to`, `redirect`, `respond` and `passthrough`.
    Route, "a route", later ["retries", "rollout"] {
        /// The name, unique in the configuration: letters, digits, `.`, `_` and `-`.
        name: Text = Required, "orders";
        /// The conditions, or a list of alternatives of which any may hold.
        ///
        /// Without it, every request matches.
        matching as "match": OneOrMany<Match> = Optional, "{ path: /orders/* }";
        /// The service that gets the requests, or a split: services with weights.
        ///
        /// The share of a service is its weight divided by the sum of all. Weight 0 gets nothing; when
        /// all are 0, or with `{}`, the answer is 500.
        to: To = Optional, "{ orders-v1: 90, orders-v2: 10 }";
        /// What keeps a client on its side of the split. Only with `to`.
        sticky: Sticky = Optional, "{ header: x-user-id }";
        /// What lets testers pick a service of the split, even one of weight 0. Only with `to`.
        force: Force = Optional, "{ header: x-canary, values: { always: orders-v2 } }";
        /// Another service that gets copies of requests, and whose answers nobody gets. Only with `to`.
        mirror: Mirror = Optional, "{ to: orders-next, percent: 10 }";
        /// The client is sent elsewhere.
        redirect: Redirect = Optional, "{ status: 308, host: www.example.com }";
        /// The gateway answers by itself.
        respond: Respond = Optional, "{ status: 410, body: gone }";
        /// The service, or split, that gets connections under TLS as they are, at listeners that pass them through.
        ///
        /// Its `match` knows `host`, which is the one that the client names in its handshake, and `client_ip`.
        passthrough: To = Optional, "{ mail-v1: 90, mail-v2: 10 }";
        /// What the service sees instead of the client's path and host. Only with `to`.
        rewrite: Rewrite = Optional, "{ prefix: /v2/orders }";
        /// Edits to the request. Only with `to`.
        request_headers: HeaderEdits = Optional, "{ set: { x-gateway: waypost }, remove: [x-internal] }";
        /// Edits to the answer: a service's, a redirect or a respond, not the gateway's own errors.
        response_headers: HeaderEdits = Optional, "{ remove: [server] }";
        /// The bound on the whole exchange (504). Only with `to`.
        timeout: DurationText = Optional, "15s";
        /// The protocols that a client's connection may be upgraded to; with `[]`, none. Only with `to`.
        ///
        /// A client of HTTP/2 gets there by an extended CONNECT (RFC 8441).
        upgrade: List<Text> = Fallback("[websocket]"), "[]";
        /// Whether calls of gRPC-Web, as browsers make them, are translated into calls of gRPC. Only with `to`.
        grpc_web: bool = Fallback("false"), "true";
    }

    /// Conditions of a route; all that are given have to hold.
    Match, "a match" {
        /// A host or a wildcard such as `*.example.net`, or a list of which any may hold.
        host: OneOrMany<Text> = Optional, "[api.example.com, \"*.example.net\"]";
        /// A path: `/orders` exactly, `/orders/*` as a prefix, `/users/{id}/cart` with a parameter, or
        /// `~^/v[0-9]+/` as a regex.
        path: Text = Optional, "/orders/*";
        /// A method, or a list of which any may hold. Compared with case; GET does not cover HEAD.
        method: OneOrMany<Text> = Optional, "[POST, PUT]";
        /// Headers by name, without case; lines of one name count as one value joined by `, `.
        headers: Named<ValueText> = Optional, "{ x-tier: \"~^(gold|silver)$\", x-debug: false }";
        /// Query parameters by name; the first of a name counts.
        query: Named<ValueText> = Optional, "{ preview: \"1\" }";
        /// Cookies by name; the first of a name counts.
        cookies: Named<ValueText> = Optional, "{ beta: true }";
        /// An address or network of the client, or a list of which any may hold.
        client_ip: OneOrMany<Text> = Optional, "[10.0.0.0/8, 192.0.2.7]";
        /// What the client's certificate says, where the listener has `client_auth`.
        client_cert: ClientCert = Optional, "{ san: spiffe://example/web }";
        /// A call of gRPC: its path and its `content-type`. Without `path`.
        grpc: Grpc = Optional, "{ service: shop.Orders, method: Get }";
    }

    /// A call of gRPC. At least one key.
    Grpc, "a `grpc`" {
        /// The full name of the service.
        service: Text = Optional, "shop.Orders";
        /// The method.
        method: Text = Optional, "Get";
    }

    /// Conditions on the certificate that a client has proved to be its own. At least one key.
    ClientCert, "a `client_cert`" {
        /// The subject, as `CN=web, O=Example`, in the order of the certificate.
        subject: ValueText = Optional, "\"~CN=web(,|$)\"";
        /// One of the alternative names: a host, URI, mail address or IP address.
        san: ValueText = Optional, "spiffe://example/web";
    }

    /// What keeps a client on its side of a split. Exactly one key.
    ///
    /// The value is hashed, so nothing is stored and every instance decides alike. A request without the value, or
    /// with an empty one, rolls anew.
    Sticky, "a `sticky`" {
        /// A header, such as one with the user's id.
        header: Text = Optional, "x-user-id";
        /// A cookie, which is set where it is missing: its name, or a mapping.
        cookie: CookieText = Optional, "side";
        /// The client's address: `true`.
        client_ip: bool = Optional, "true";
    }

    /// The cookie that clients without one are given.
    ///
    /// Its value is random. It is `HttpOnly` and `SameSite=Lax`, and `Secure` where the client uses TLS.
    StickyCookie, "a cookie" {
        /// The name.
        name: Text = Required, "side";
        /// The `Path` where the client sends it.
        path: Text = Fallback("/"), "/shop";
        /// How long the client keeps it, in whole seconds.
        ///
        /// Without it, as long as the client's session lasts.
        max_age: DurationText = Optional, "8760h";
        /// The `Domain` whose hosts get it; without it, only the host that was asked.
        domain: Text = Optional, "example.com";
    }

    /// What lets testers pick a service of a split. One of `header` and `cookie`.
    Force, "a `force`" {
        /// A header.
        header: Text = Optional, "x-canary";
        /// A cookie.
        cookie: Text = Optional, "canary";
        /// The service that each value of it picks; any other value leaves the choice to the split.
        values: Named<Text> = Required, "{ always: orders-v2, never: orders-v1 }";
    }

    /// A service that gets copies of requests, and how many. At most one of `percent` and `fraction`; without
    /// them, every request is copied.
    ///
    /// Clients never wait for it. A copy carries `x-waypost-mirror` with the name of the route. Bodies of up to
    /// 64 KiB are copied; requests with longer ones are not.
    Mirror, "a `mirror`" {
        /// The service.
        to: Text = Required, "orders-next";
        /// How many of a hundred requests are copied; up to three decimals.
        percent: Percent = Optional, "10";
        /// How many requests of how many are copied.
        fraction: Fraction = Optional, "{ numerator: 1, denominator: 1000 }";
    }

    /// A share of all.
    Fraction, "a fraction" {
        /// How many.
        numerator: Whole = Required, "1";
        /// Of how many.
        denominator: Whole = Fallback("100"), "1000";
    }

    /// Where a client is sent. At least one key besides `status`, and one of `prefix`, `path` and `regex`
    /// at most. The query stays.
    Redirect, "a redirect" {
        /// 301, 302, 303, 307 or 308.
        status: Whole = Fallback("302"), "308";
        /// The scheme; without it, the client's.
        scheme: Scheme = Optional, "https";
        /// The host; without it, the request's.
        host: Text = Optional, "www.example.com";
        /// The port. Without it, none when scheme or host is given, else the request's.
        port: Whole = Optional, "8443";
        /// What replaces the prefix that the pattern took. Only for patterns that end in `/*`.
        prefix: Text = Optional, "/shops";
        /// The path; `{name}` is a parameter of the pattern.
        path: Text = Optional, "/shops/{shop}";
        /// `[from, to]`: every match of `from` in the path is replaced; `$1` and `$name` are its groups.
        regex: Replacing = Optional, "[\"^/v1/\", /v2/]";
    }

    /// An answer that the gateway gives by itself.
    Respond, "a respond" {
        /// 200 to 599.
        status: Whole = Required, "410";
        /// The body. Not sent with 204, 205 and 304.
        body: Text = Fallback(""), "gone";
        /// The type of the body.
        content_type: Text = Fallback("text/plain; charset=utf-8"), "application/json";
    }

    /// What a service sees instead of the client's path and host. One of `prefix`, `path` and `regex` at most.
    /// The query stays.
    Rewrite, "a rewrite" {
        /// What replaces the prefix that the pattern took. Only for patterns that end in `/*`.
        prefix: Text = Optional, "/v2/checkout";
        /// The path; `{name}` is a parameter of the pattern, or a named group of its regex.
        path: Text = Optional, "/shops/{shop}/x";
        /// `[from, to]`: every match of `from` in the path is replaced; `$1` and `$name` are its groups.
        regex: Replacing = Optional, "[\"^/v1/\", /v2/]";
        /// The `Host` header.
        host: Text = Optional, "checkout.internal";
    }

    /// Edits of headers: remove, then set, then add. A name stands in one of them at most.
    HeaderEdits, "header edits" {
        /// Headers that are replaced, by name.
        set: Named<Text> = Optional, "{ x-gateway: waypost }";
        /// Headers that are added beside those that are there, by name.
        add: Named<Text> = Optional, "{ via: waypost }";
        /// Names of headers that are left out.
        remove: List<Text> = Optional, "[x-internal]";
    }

    /// A request, and what is expected to become of it.
    Test, "a test" {
        /// Method and URL; the URL is `http://host/path?query`, or `/path` for a request without host.
        request: Text = Required, "GET http://api.example.com/orders/7";
        /// Headers of the request, by name.
        headers: Named<Text> = Optional, "{ x-api-version: \"2\" }";
        /// The address of the client.
        client_ip: Text = Fallback("127.0.0.1"), "10.1.2.3";
        /// The listener it comes in by, by name or `bind` text.
        ///
        /// Without it, the first that serves its host.
        listener: Text = Optional, "public";
        /// What is expected: at least one key.
        expect: Expect = Required, "{ route: orders, service: orders }";
    }

    /// What is expected of a request; what is not named may be anything.
    Expect, "an expectation" {
        /// What happens.
        outcome: Outcome = Optional, "forward";
        /// The route that takes it; `null` for none.
        route: NameOrNull = Optional, "orders";
        /// The service that gets all of it.
        service: Text = Optional, "orders";
        /// The services with a weight above 0, or all services with their weights, in any order.
        arms: ArmsText = Optional, "{ orders-v1: 90, orders-v2: 10 }";
        /// The status of an answer that the gateway makes.
        status: Whole = Optional, "404";
        /// The path that the service sees, without query.
        path: Text = Optional, "/v2/orders/7";
        /// The `Host` that the service sees.
        host: Text = Optional, "checkout.internal";
        /// The `Location` of a redirect.
        location: Text = Optional, "https://www.example.com/shops/7";
    }
}
