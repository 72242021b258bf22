//! Routes: what they match, and what happens then.

use waypost_plan::redirect::Scheme;
use waypost_plan::rewrite::Reverse;
use waypost_plan::sticky::SameSite;

use crate::collections::{List, Named, NonEmptyList, OneOrMany};
use crate::document::Document;
use crate::document::auth::Auth;
use crate::document::cors::Cors;
use crate::document::error_page::ErrorPage;
use crate::document::rate::RateLimit;
use crate::document::rollout::Rollout;
use crate::either::{Removable, Shorthand, TextOr, To};
use crate::keys::Presence::{Default as Fallback, Optional, Required};
use crate::keys::keys;
use crate::numbers::{Percent, Size, SizeOrNone, Whole};
use crate::retry_reason::RetryReason;
use crate::times::{DelayText, DurationText, TimeoutText};
use crate::values::{OriginText, Replacing, Text, ValueText, words};

words! {
    Reverse { "on" => Reverse::On, "off" => Reverse::Off }
    SameSite { "strict" => SameSite::Strict, "lax" => SameSite::Lax, "none" => SameSite::None }
}

impl Shorthand for QueryEdits {
    const WORDS: &'static str = "a query";
}

impl Shorthand for StickyCookie {
    const WORDS: &'static str = "the name of a cookie";
}

keys! {
    root Document;

    /// A named rule: its conditions, its action and its policies.
    ///
    /// A route has exactly one of `to`, `redirect`, `respond` and `passthrough`. Beside its own keys, it has those of a
    /// policy.
    Route, "a route", shares policy: Policy {
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
        /// Copies requests to another service and discards its responses.
        mirror: Mirror = Optional, "{ to: orders-next, percent: 10 }", only with ["to"];
        /// Redirects the client.
        redirect: Redirect = Optional, "{ status: 308, host: www.example.com }";
        /// Responds without a service.
        respond: Respond = Optional, "{ status: 410, body: gone }";
        /// Service, or split, for TLS connections of listeners that pass them through.
        ///
        /// Its `match` can have `host`, the server name of the handshake (SNI), `client_ip` and `listener`.
        passthrough: To = Optional, "{ mail-v1: 90, mail-v2: 10 }";
        /// Policies, by name, for the keys that the route has not itself.
        ///
        /// Where several have a key, that of the last counts, but edits of headers and error pages are joined.
        uses as "use": OneOrMany<Text> = Optional, "[web, slow]";
    }

    /// Policies for requests, under a name that routes and listeners `use`.
    ///
    /// A key that a route has itself counts; else that of the last policy in its `use` that has it; else that of the
    /// listener by which a request comes in. A key counts as a whole, but `request_headers`, `response_headers` and `errors`
    /// are joined: those of the listener, of the policies in order, of the route; a later edit of a name replaces an earlier
    /// one, and of the pages for an error the last place has the one that counts. `KEY: off` takes the key of all outer
    /// places away.
    ///
    /// Keys that a route cannot heed, such as `rewrite` beside `redirect`, do not count there.
    Policy, "a policy" {
        /// Rewrites path, host and query for the service.
        rewrite: Removable<Rewrite> = Optional, "{ prefix: /v2/orders }", only with ["to"];
        /// Edits of request headers.
        request_headers: Removable<HeaderEdits> = Optional, "{ set: { x-gateway: waypost }, remove: [x-internal] }",
            only with ["to"];
        /// Edits of response headers.
        response_headers: Removable<HeaderEdits> = Optional, "{ remove: [server] }",
            only with ["to", "redirect", "respond"];
        /// Pages in place of errors, beside those of outer places; `off` takes those away, the top level's too.
        errors: Removable<NonEmptyList<ErrorPage>> = Optional, "[{ status: 503, file: sorry.html }]",
            only with ["to", "redirect", "respond"];
        /// Rewrites of the cookies that services set.
        set_cookie: Removable<SetCookie> = Optional, "{ path: { /: /shop }, secure: true }", only with ["to"];
        /// Timeout for the whole exchange (504).
        timeout: Removable<TimeoutText> = Optional, "15s", only with ["to"];
        /// Timeouts that replace those of the service.
        timeouts: Removable<RouteTimeouts> = Optional, "{ response: 5m }", only with ["to", "passthrough"];
        /// Limits of the route.
        limits: Removable<RouteLimits> = Optional, "{ body_bytes: 1GiB }", only with ["to", "redirect", "respond"];
        /// Clients that have access, by address. Others get 403; a connection that would be passed through is closed.
        access: Removable<Access> = Optional, "{ allow: [10.0.0.0/8], deny: [10.9.0.0/16] }";
        /// Clients that may pass, by what they prove. Others get 401, or 403 where it is known who asks.
        auth: Removable<Auth> = Optional, "{ key: { header: x-api-key, file: keys } }",
            only with ["to", "redirect", "respond"];
        /// Pages of other origins that may read responses (CORS).
        cors: Removable<Cors> = Optional, "{ origins: [\"https://app.example.com\"], credentials: true }",
            only with ["to", "redirect", "respond"];
        /// Limits on how often requests pass (429): one, or a list of which all have to let a request pass.
        ///
        /// A policy's buckets are shared by all routes and listeners that use it; those of a route's own limit are the
        /// route's, those of a listener's own the listener's.
        rate: Removable<OneOrMany<RateLimit>> = Optional, "{ requests: 10, per: 1s, burst: 20, by: client_ip }",
            only with ["to", "redirect", "respond"];
        /// Retries of failed attempts; `{}` for the defaults.
        ///
        /// Without it, only what a service has not begun to process is sent again.
        retry: Removable<Retry> = Optional, "{ attempts: 1, on: [connect, reset, 503] }", only with ["to"];
        /// Time without the head of a response after which another endpoint is asked besides.
        ///
        /// The first head wins, and the other attempt is ended. Needs `retry`, whose `methods`, `body` and `budget` apply;
        /// the hedge is one of its `attempts`. With a single endpoint, there is none.
        hedge: Removable<DelayText> = Optional, "95ms", only with ["to"];
        /// Protocols that clients may upgrade to; `[]` for none.
        ///
        /// HTTP/2 clients use an extended CONNECT (RFC 8441).
        upgrade: Removable<List<Text>> = Fallback("[websocket]"), "[]", only with ["to"];
        /// Translates gRPC-Web calls, as made by browsers, to gRPC.
        grpc_web: Removable<bool> = Fallback("false"), "true", only with ["to"];
        /// Plan of its rollouts, by name or in place. `waypost rollout start` begins one.
        rollout: Removable<TextOr<Rollout>> = Optional, "steady", only with ["to"];
    }

    /// Retries. They end with the `timeout` of the route, and stay on the arm of its split.
    ///
    /// A connection that fails is replaced by one to the next endpoint in any case. That counts neither as an attempt nor
    /// in the budget.
    Retry, "a `retry`" {
        /// Further attempts: 1 to 10. They are made at another endpoint while there is one.
        attempts: Whole = Fallback("2"), "1";
        /// Reasons for a retry: statuses from 400 to 599, `5xx`, and words.
        ///
        /// `connect`: no endpoint accepts a connection. `reset`: the connection or stream ended before the head of the
        /// response, or the response was malformed. `timeout`: the head did not come in time. `refused_stream`: the
        /// endpoint refused the HTTP/2 stream, whatever the method.
        on: NonEmptyList<RetryReason> = Fallback("[connect, reset, 502, 503, 504, timeout, refused_stream]"),
            "[connect, reset, 503]";
        /// Retries of the service at most, in percent of its requests over the last 10 s; 3 a second come on top.
        ///
        /// Counted over all workers, for all routes to the service.
        budget: Whole = Fallback("20"), "10";
        /// Wait before the first retry at most; it doubles with each, up to 1 s.
        ///
        /// The wait is random from 0 to that. If no other endpoint is available, a `Retry-After` of up to 1 s on a 503
        /// is waited for.
        backoff: DelayText = Fallback("25ms"), "50ms";
        /// Timeout of each attempt: to connect to an endpoint, and up to the head of the response (504).
        ///
        /// Time spent waiting for the client is not counted. Defaults to the timeouts of the service.
        timeout: TimeoutText = Optional, "2s";
        /// Methods whose requests may be sent twice. The list replaces the default.
        methods: NonEmptyList<Text> = Fallback("[GET, HEAD, OPTIONS, PUT, DELETE]"), "[GET, HEAD, POST]";
        /// Size up to which a request body is held, so that it can be sent again: up to 1MiB.
        ///
        /// A longer one is sent once.
        body: Size = Fallback("32KiB"), "256KiB";
    }

    /// Timeouts of a route. Where one is given, it replaces that of the service.
    RouteTimeouts, "the timeouts of a route" {
        /// Timeout for a connection attempt (504).
        connect: TimeoutText = Optional, "500ms";
        /// Timeout from the end of the request to the first byte of the response (504).
        response: TimeoutText = Optional, "5m";
        /// Timeout between two parts of a response.
        idle: TimeoutText = Optional, "5m";
        /// Idle timeout of an upgraded connection, such as a WebSocket.
        tunnel: TimeoutText = Optional, "none";
    }

    /// Limits of a route.
    RouteLimits, "the limits of a route" {
        /// Maximum size of a request body (413), narrower or wider than the listener's; `none` for no limit.
        body_bytes: SizeOrNone = Optional, "1GiB";
    }

    /// Clients that have access to a route, by address. At least one key is required.
    ///
    /// The client is the peer, or the client that a trusted proxy names.
    Access, "an `access`" {
        /// Addresses and networks that have access; no other client has.
        allow: NonEmptyList<Text> = Optional, "[10.0.0.0/8]";
        /// Addresses and networks that have none, even if they are among `allow`.
        deny: NonEmptyList<Text> = Optional, "[10.9.0.0/16]";
    }

    /// Conditions of a route. All of them must hold.
    Match, "a match" {
        /// Host, wildcard such as `*.example.net`, or a list of them.
        host: OneOrMany<Text> = Optional, "[api.example.com, \"*.example.net\"]";
        /// Path, or a list of them: `/orders` is exact, `/orders/*` a prefix, `/users/{id}/cart` has a parameter,
        /// `~^/v[0-9]+/` is a regex.
        path: OneOrMany<OriginText> = Optional, "/orders/*";
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
        /// Listener of the request, by name or address, or a list of them.
        listener: OneOrMany<Text> = Optional, "[public, internal]";
        /// Scheme that the client uses, `http` or `https`: that of the connection, or as a trusted proxy says.
        scheme: Scheme = Optional, "https";
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
    /// allowed. The query is kept, unless `query` says otherwise.
    Redirect, "a redirect" {
        /// Status: 301, 302, 303, 307 or 308.
        status: Whole = Fallback("302"), "308";
        /// Scheme; defaults to the client's.
        scheme: Scheme = Optional, "https";
        /// Host, with values of the request as in `{tenant}.example.com`; defaults to the request's.
        host: Text = Optional, "www.example.com";
        /// Port. Defaults to none if scheme or host is given, else to the request's.
        port: Whole = Optional, "8443";
        /// Replacement for the prefix of the pattern, with values of the request. Only for patterns that end in `/*`.
        prefix: Text = Optional, "/shops";
        /// Replacement for the whole path; `{name}` is a parameter of the pattern, or another value of the request.
        path: Text = Optional, "/shops/{shop}";
        /// `[from, to]`: replaces every match of `from` in the path; `$1` and `$name` are its groups.
        regex: Replacing = Optional, "[\"^/v1/\", /v2/]";
        /// Query, or edits of its parameters, with values of the request. An empty text drops it.
        query: TextOr<QueryEdits> = Optional, "{ remove: [utm_source] }";
        /// Whole URL, alone beside `status`, with values of the request as in `https://www.{host}{path}?{query}`.
        url: Text = Optional, "https://www.example.com/moved?from=shop";
    }

    /// Edits of the parameters of a query. At least one is required. Others keep their bytes and their order.
    QueryEdits, "edits of a query" {
        /// Parameters to replace, by name: at the place of the first of that name, else at the end. Their values may have
        /// values of the request.
        set: Named<Text> = Optional, "{ lang: en }";
        /// Parameters to add at the end, by name, likewise.
        add: Named<Text> = Optional, "{ from: gateway }";
        /// Names of parameters to remove.
        remove: List<Text> = Optional, "[utm_source]";
    }

    /// A fixed response of the gateway.
    Respond, "a respond" {
        /// Status: 200 to 599.
        status: Whole = Required, "410";
        /// Body, with values of the request as in `{request_id}`. Not sent with 204, 205 and 304.
        body: Text = Fallback(""), "gone";
        /// Media type of the body.
        content_type: Text = Fallback("text/plain; charset=utf-8"), "application/json";
    }

    /// Rewrites of path, host and query for a service. At most one of `prefix`, `path` and `regex` is allowed. The query is
    /// kept, unless `query` says otherwise.
    Rewrite, "a rewrite" {
        /// Replacement for the prefix of the pattern, with values of the request. Only for patterns that end in `/*`.
        prefix: Text = Optional, "/v2/checkout";
        /// Replacement for the whole path; `{name}` is a parameter of the pattern, a named group of its regex, or another
        /// value of the request.
        path: Text = Optional, "/shops/{shop}/x";
        /// `[from, to]`: replaces every match of `from` in the path; `$1` and `$name` are its groups.
        regex: Replacing = Optional, "[\"^/v1/\", /v2/]";
        /// `Host` header for the service, with values of the request.
        host: Text = Optional, "checkout.internal";
        /// Query, or edits of its parameters, with values of the request. An empty text drops it.
        query: TextOr<QueryEdits> = Optional, "{ set: { lang: en } }";
        /// Maps a service's references to itself back to the paths and the host that the client sees.
        ///
        /// With `prefix` or `host`: in `Location`, `Content-Location`, `Refresh` and `Set-Cookie`.
        reverse: Reverse = Fallback("on"), "off";
    }

    /// Rewrites of the `Set-Cookie` headers of services. At least one key is required.
    ///
    /// They apply to what the service sent. A path or domain that none of them replaces is mapped by `rewrite.reverse`.
    /// A line that is no cookie to clients (RFC 6265bis) passes unchanged. `Path` and `Domain` of a `__Host-` cookie stay.
    SetCookie, "a `set_cookie`" {
        /// Paths to replace, each by another. A path covers itself and all below it; what follows it stays.
        ///
        /// The longest one that covers the `Path` of a cookie counts.
        path: Named<Text> = Optional, "{ /: /shop, /api/v2: /api }";
        /// Domains to replace, each by another; `""` takes `Domain` off, so that the cookie is for the requested host alone.
        ///
        /// They compare without case and a leading dot.
        domain: Named<Text> = Optional, "{ orders.internal: example.com }";
        /// `Secure`: `true` adds it, `false` takes it off.
        secure: bool = Optional, "true";
        /// `HttpOnly`, which hides a cookie from scripts: `true` adds it, `false` takes it off.
        http_only: bool = Optional, "true";
        /// `SameSite`, in place of the service's. Clients take `none` only with `Secure`.
        same_site: SameSite = Optional, "lax";
    }

    /// Edits of headers, applied in the order `remove`, `set`, `add`. A name occurs in at most one of them.
    HeaderEdits, "header edits" {
        /// Headers to replace, by name. Their values may have values of the request, as in `{client_ip}`; one that is absent
        /// leaves no header.
        set: Named<Text> = Optional, "{ x-gateway: waypost }";
        /// Headers to add to existing ones, by name, likewise.
        add: Named<Text> = Optional, "{ via: waypost }";
        /// Names of headers to remove.
        remove: List<Text> = Optional, "[x-internal]";
    }
}
