//! Listeners.

use waypost_plan::listener::{ClientAuthMode, HalfClose, ProxyProtocol, Underscores};
use waypost_plan::redirect::Scheme;
use waypost_plan::trusted_proxies::MatchedHost;
use waypost_wire::path::{DotSegmentParameters, DoubleSlash, EncodedSlash};

use crate::collections::{NonEmptyList, OneOrMany};
use crate::document::Document;
use crate::document::auth::Auth;
use crate::document::cors::Cors;
use crate::document::error_page::ErrorPage;
use crate::document::rate::RateLimit;
use crate::document::route::{HeaderEdits, Redirect};
use crate::either::{ListOr, Removable};
use crate::keys::Presence::{Default as Fallback, Optional, Required};
use crate::keys::{KeyTable, Read, keys};
use crate::numbers::{RateOrNone, Size, SizeOrNone, Whole};
use crate::problems::Problems;
use crate::times::TimeoutText;
use crate::tree::Node;
use crate::values::{Text, words};
use schemars::{Schema, SchemaGenerator};
use serde_json::json;

words! {
    EncodedSlash { "refuse" => EncodedSlash::Refuse, "keep" => EncodedSlash::Keep }
    DoubleSlash { "merge" => DoubleSlash::Merge, "keep" => DoubleSlash::Keep }
    HalfClose { "end" => HalfClose::End, "serve" => HalfClose::Serve }
    DotSegmentParameters { "refuse" => DotSegmentParameters::Refuse, "keep" => DotSegmentParameters::Keep }
    MatchedHost { "requested" => MatchedHost::Requested, "forwarded" => MatchedHost::Forwarded }
    Underscores { "drop" => Underscores::Drop, "keep" => Underscores::Keep }
}

keys! {
    root Document;

    /// An address that accepts clients.
    Listener, "a listener", later ["http3"] {
        /// IP address and port, or `unix:` and the path of a unix socket.
        ///
        /// Port 0 takes any free port. An IPv6 address is written in brackets. Owner and group may connect to a unix
        /// socket; its clients have no address, unless a PROXY header says it.
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
        /// headers. Headers that name different clients get 400. A mapping says where else the client stands:
        /// `{ from: [10.0.0.0/8], header: cf-connecting-ip }`.
        trusted_proxies: ListOr<Text, TrustedProxies> = Fallback("[]"), "[10.0.0.0/8]";
        /// Scheme that clients use: `https` where a load balancer in front ends TLS.
        ///
        /// Defaults to `https` with `tls`, else to `http`. A trusted proxy that names the scheme of its client is
        /// believed.
        scheme: Scheme = Optional, "https";
        /// Limits and timeouts for clients.
        limits: Limits = Optional, "{ body_bytes: 10MiB }";
        /// TLS for clients: 1.2 and 1.3, with HTTP/2 and HTTP/1.1 by ALPN.
        tls: ListenerTls = Optional, "{ certificates: [{ cert: api.crt, key: api.key }] }";
        /// Policies, by name, for every route that serves a request of this listener.
        ///
        /// The route's own keys, and those of its own `use`, come before them.
        uses as "use": OneOrMany<Text> = Optional, "web";
        /// Edits of request headers, for every route that serves a request of this listener.
        ///
        /// They come behind those of its `use`, and in front of those of the route.
        request_headers: HeaderEdits = Optional, "{ set: { x-listener: public } }";
        /// Edits of response headers, likewise. The gateway's own responses have them too.
        response_headers: HeaderEdits = Optional, "{ set: { x-frame-options: DENY } }";
        /// Clients that may pass, for every route that serves a request of this listener and says nothing of it; `off` where
        /// a policy of its `use` has it.
        auth: Removable<Auth> = Optional, "{ key: { header: x-api-key, file: keys } }";
        /// Pages of other origins that may read responses, on routes that say nothing. The gateway's own responses have it too.
        cors: Removable<Cors> = Optional, "{ origins: [\"https://app.example.com\"] }";
        /// Limits on how often requests pass (429), for every route that serves a request of this listener and has none of
        /// its own. They are counted over all of these routes.
        rate: Removable<OneOrMany<RateLimit>> = Optional, "{ requests: 100, per: 1s }";
        /// Redirects every request on this listener, for example to HTTPS.
        redirect: Redirect = Optional, "{ scheme: https, status: 308 }";
        /// Pages in place of errors, of requests that come in here; `off` for none of the top level.
        errors: Removable<NonEmptyList<ErrorPage>> = Optional, "[{ status: 5xx, file: sorry.html }]";
        /// PROXY protocol header (version 1 or 2) in front of connections: `optional` or `required`.
        ///
        /// Only `trusted_proxies` are believed, and every client of a unix socket. With `required`, connections from any
        /// other address are closed.
        proxy_protocol: ProxyProtocol = Optional, "required";
        /// An HTTP/1 client that ends its sending side (FIN) before anything of its response was sent: `end` takes it
        /// for one that left and ends the exchange, `serve` responds to it.
        ///
        /// A request with `Connection: close`, or of HTTP/1.0 without keep-alive, is always served.
        half_close: HalfClose = Fallback("end"), "serve";
        /// Sends the id of each request as `x-request-id` to services and back to clients, on the gateway's own responses
        /// too.
        ///
        /// It is that of a trusted proxy, or a new UUID (version 7); a client's own is replaced.
        request_id: bool = Fallback("false"), "true";
    }

    /// Proxies in front of a listener, and what they are believed.
    ///
    /// With `hops` or `header`, that header alone names the client, and `Forwarded` and `X-Real-IP` are not read. A
    /// request that has no address there is one of the proxy itself.
    TrustedProxies, "the `trusted_proxies` of a listener" {
        /// Addresses and networks of the proxies.
        from: NonEmptyList<Text> = Required, "[10.0.0.0/8]";
        /// Place of the client in `X-Forwarded-For`, counted from the right: 1 is the address that the nearest proxy
        /// wrote.
        ///
        /// For proxies whose addresses are not known, such as those of a CDN in front of a load balancer. Excludes
        /// `header`.
        hops: Whole = Optional, "2";
        /// Header with the client's address, and nothing else.
        ///
        /// From any other peer it ends here.
        header: Text = Optional, "cf-connecting-ip";
        /// Host that routes and the listener's `hosts` match: the `requested` one, or the `forwarded` one, from
        /// `X-Forwarded-Host` or `Forwarded`, where a proxy sets `Host` to something else.
        ///
        /// The `Host` that services get, and the certificate, are those of the request in any case.
        host: MatchedHost = Fallback("requested"), "forwarded";
    }

    /// TLS at a listener, terminated or passed through.
    ListenerTls, "the `tls` of a listener" {
        /// Certificates, chosen by SNI: the one for the host, else one with a matching wildcard, else the first.
        ///
        /// A wildcard covers exactly one label. Among several for one host, a client gets one that it
        /// supports, ECDSA before RSA. A request for a host that another certificate would be chosen for than for the
        /// connection's SNI gets 421, unless the connection's certificate covers it; with `client_auth`, every host that
        /// the connection's certificate does not cover.
        certificates: NonEmptyList<FilesOrAcme> = Optional, "[{ cert: api.crt, key: api.key }]";
        /// Authentication of clients by certificate.
        client_auth: ClientAuth = Optional, "{ ca: clients.crt, mode: required }";
        /// Passes connections through, by SNI, to the services of `passthrough` routes. Excludes `certificates` and
        /// `client_auth`.
        passthrough: bool = Fallback("false"), "true";
    }

    /// A certificate with its key: in two files, or issued by an authority. `cert` and `key` are required, or `acme`.
    ///
    /// Files are reloaded when they change. If the new pair is not usable, the previous one stays in use.
    Certificate, "a certificate" {
        /// Certificate as PEM, followed by its chain.
        ///
        /// A relative path is relative to the configuration's directory, or to the working directory if there is no such
        /// file.
        cert: Text = Optional, "api.crt", only with ["key"];
        /// Private key as PEM.
        key: Text = Optional, "api.key", only with ["cert"];
        /// Certificate that the gateway orders from an authority (ACME, RFC 8555), and renews. Excludes `cert` and `key`.
        ///
        /// A self-signed certificate is served until it has been issued, and the last one that was as long as none follows.
        acme: Acme = Optional, "{ email: ops@example.com }";
    }

    /// Certificate that an authority issues. `{}` is one of Let's Encrypt for the hosts of the listener.
    ///
    /// The authority finds out whether the gateway answers for each host: it connects to port 443, where a listener with `tls`
    /// answers, or asks over HTTP at port 80, where a listener in clear text does. To order is to agree to its terms of service.
    /// Listeners that say the same share one certificate.
    Acme, "an `acme`" {
        /// Address at which the authority reaches the owner of the account.
        email: Text = Optional, "ops@example.com";
        /// URL of the authority's directory, with `https`. Let's Encrypt by default.
        ///
        /// To try things out, its staging directory is `https://acme-staging-v02.api.letsencrypt.org/directory`: it issues
        /// certificates that no browser trusts, with wider limits.
        directory: Text = Fallback("https://acme-v02.api.letsencrypt.org/directory"), "https://ca.internal/acme/acme/directory";
        /// Names that the certificate is for, 100 at most; no wildcards and no addresses. The `hosts` of the listener by default.
        hosts: NonEmptyList<Text> = Optional, "[api.example.com, www.example.com]";
        /// Account that the authority knows from elsewhere, where it asks for one (external account binding).
        eab: ExternalAccount = Optional, "{ kid: kid-1, key_file: eab.key }";
        /// File with the certificates (PEM) of the authorities that sign the certificate of the directory itself: for a private
        /// one.
        ///
        /// Defaults to those that the platform trusts. A relative path is relative to the configuration's directory, or to the
        /// working directory if there is no such file.
        ca: Text = Optional, "root.pem";
    }

    /// Account that an authority knows from elsewhere.
    ExternalAccount, "an `eab`" {
        /// Its id there.
        kid: Text = Required, "kid-1";
        /// File with its key as the authority gave it: base64url.
        ///
        /// It is reloaded when it changes. A relative path is relative to the configuration's directory, or to the working
        /// directory if there is no such file.
        key_file: Text = Required, "eab.key";
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
        header_timeout: TimeoutText = Fallback("10s"), "5s";
        /// Timeout for the next request on an idle connection.
        keep_alive_timeout: TimeoutText = Fallback("75s"), "2m";
        /// Timeout between two parts of a request body (408).
        body_idle_timeout: TimeoutText = Fallback("30s"), "1m";
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
        handshake_timeout: TimeoutText = Fallback("10s"), "5s";
        /// Maximum number of concurrent TLS handshakes per worker; a further one replaces the oldest.
        handshakes: Whole = Fallback("1000"), "200";
    }
}

/// A certificate with the keys of one way to come by it.
#[derive(Debug, Clone)]
pub(crate) struct FilesOrAcme(pub(crate) Certificate);

impl Read for FilesOrAcme {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        Certificate::read(node, problems).map(Self)
    }

    fn words() -> String {
        Certificate::words()
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Certificate::schema(generator);
        let ways = json!([{ "required": ["cert", "key"] }, { "required": ["acme"] }]);
        schema.insert("oneOf".to_owned(), ways);
        let pair = json!({ "cert": ["key"], "key": ["cert"] });
        schema.insert("dependentRequired".to_owned(), pair);
        schema
    }

    fn table() -> Option<&'static KeyTable> {
        Certificate::table()
    }
}
