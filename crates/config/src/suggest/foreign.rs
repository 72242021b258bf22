//! Words of other gateways, with the keys of this language for them.
//!
//! They are collected from the documentation of nginx, HAProxy, Envoy, Traefik, Caddy, Kong, APISIX, the Gateway API,
//! YARP and Spring Cloud Gateway. They are compared in `snake_case`, so `pathPrefix` and `path-prefix` are
//! `path_prefix`.

/// The words for one key of a mapping, or for something that has no key there.
struct Words {
    /// Key of the mapping; empty if it has none for these words. A key that the mapping does not have (yet) is passed over.
    key: &'static str,
    words: &'static [&'static str],
    /// The way to write it; with a key, empty for the key's example.
    /// `@example@` gives way to the written value, if it is of the same kind.
    hint: &'static str,
}

/// The words in one mapping, by the description of its [`KeyTable`](crate::keys::KeyTable).
struct Mapping {
    of: &'static str,
    words: &'static [Words],
}

/// The meaning of a foreign word in a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A key of this mapping, with a hint, which may be empty.
    Key(&'static str, &'static str),
    /// Something that is said elsewhere, or cannot be said; the hint tells.
    Elsewhere(&'static str),
}

/// Returns the meaning of `word` in the mapping `of`, which has `keys`.
pub(crate) fn meaning(word: &str, of: &str, keys: impl Fn(&str) -> bool) -> Option<Meaning> {
    let word = snake_case(word);
    let words = |of: &str| {
        let mapping = all_mappings().find(|mapping| mapping.of == of);
        mapping.map_or(&[][..], |mapping| mapping.words)
    };
    // A policy has keys of a route.
    let more = if of == "a policy" { words("a route") } else { &[] };
    let all = words(of).iter().chain(more);
    let mut found = all.filter(|words| words.words.contains(&&*word));
    found.find_map(|words| match words.key {
        "" => Some(Meaning::Elsewhere(words.hint)),
        key if keys(key) => Some(Meaning::Key(key, words.hint)),
        _ => None,
    })
}

/// Returns `pathPrefix` and `path-prefix` as `path_prefix`. An acronym is one word.
fn snake_case(word: &str) -> String {
    let mut snake = String::with_capacity(word.len() + 4);
    let mut follows_lower = false;
    for c in word.chars() {
        match c {
            '-' | ' ' | '.' => snake.push('_'),
            _ => {
                if c.is_ascii_uppercase() && follows_lower {
                    snake.push('_');
                }
                snake.push(c.to_ascii_lowercase());
            }
        }
        follows_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
    }
    snake
}

macro_rules! words {
    ($($of:literal: { $($key:literal = [$($word:literal),+ $(,)?], $hint:expr;)+ })+) => {
        &[$(Mapping { of: $of, words: &[$(Words { key: $key, words: &[$($word),+], hint: $hint }),+] }),+]
    };
}

mod auth;
mod certificate;

/// All mappings with such words.
fn all_mappings() -> impl Iterator<Item = &'static Mapping> {
    MAPPINGS.iter().chain(auth::MAPPINGS).chain(certificate::MAPPINGS)
}

const MISSING: &str = "this version has nothing like it";

const MAPPINGS: &[Mapping] = words! {
    "the configuration": {
        "errors" = [
            "error_page", "error_pages", "handle_errors", "errorfile", "errorfiles", "http_errors", "http_error",
            "custom_error_pages", "custom_http_errors", "error_template", "local_reply_config", "local_reply", "on_error",
            "error_document", "custom_errors",
        ], "`errors: [{ status: 503, file: sorry.html }]`";
        "listeners" = [
            "listen", "server", "servers", "entry_points", "entrypoints", "entry_point", "frontend", "frontends", "gateways",
            "binds",
        ], "";
        "services" = [
            "upstream", "upstreams", "backend", "backends", "cluster", "clusters", "targets", "pools",
        ], "";
        "routes" = [
            "route", "rules", "rule", "location", "locations", "router", "routers", "http_routes", "virtual_hosts",
            "route_config", "map",
        ], "";
        "resolver" = ["resolvers", "dns", "dns_resolvers"], "";
        "access_log" = ["logging", "log", "logs", "log_format", "access_logs"], "`access_log: stdout`";
        "admin" = ["api", "dashboard", "stats", "admin_api", "admin_listen", "management"], "";
        "workers" = ["worker_processes", "nbthread", "threads", "concurrency"], "";
        "drain_timeout" = [
            "shutdown_timeout", "grace_period", "graceful_timeout", "worker_shutdown_timeout", "hard_stop_after",
            "shutdown_delay",
        ], "";
        "" = ["http", "stream", "apps", "spring", "static_resources", "dynamic_resources", "reverse_proxy"],
            "there is no level above them: `listeners`, `services` and `routes` stand at the top";
        "" = ["defaults", "default_filters", "global_rules", "global", "events"],
            "there are no sections for defaults: what all routes share is a policy that a listener uses: `policies: { web: { timeout: 15s } }`";
        "policies" = [
            "middlewares", "middleware", "plugin_configs", "snippets", "policy", "traffic_policies", "filter_configs", "profiles",
        ], "`policies: { web: { timeout: 15s } }`, which routes and listeners `use`";
        "" = ["api_version", "kind", "metadata", "spec"],
            "this is an object of Kubernetes; a config of Waypost has `listeners`, `services` and `routes` at the top";
        "" = ["_format_version", "_transform", "consumers"],
            "leave it out: a config of Waypost has `listeners`, `services` and `routes` at the top";
        "" = ["plugins", "filters"],
            "there are no plugins: `rewrite`, `request_headers`, `response_headers` and more are keys of a route; what several share is one of `policies`, which they `use`";
        "" = ["version", "name"], "leave it out";
        "" = ["providers", "provider"], "leave it out: `waypost run PATH` reads a file or a directory, and follows its changes";
        "" = ["certificates", "tls_certificates", "ssl", "tls_options"],
            "certificates stand in a listener: `tls: { certificates: [{ cert: api.crt, key: api.key }] }`";
        "" = ["certificates_resolvers", "cert_resolvers", "certificate_resolvers", "acme", "letsencrypt", "acme_ca", "auto_https"],
            "an authority issues the certificate of a listener with `tls: { certificates: [{ acme: {} }] }`";
        "" = ["prometheus", "tracing", "telemetry"], "metrics are served at the `admin` address, as `/metrics`";
    }
    "a policy": {
        "" = ["use", "extends", "inherit", "inherits", "include", "includes", "policies", "middlewares", "chain", "import"],
            "a policy uses no other; a route or a listener lists both: `use: [base, web]`";
    }
    "a listener": {
        "errors" = [
            "error_page", "error_pages", "handle_errors", "errorfile", "errorfiles", "http_errors", "http_error",
            "custom_error_pages", "custom_http_errors", "error_template", "local_reply_config", "local_reply", "on_error",
            "error_document", "custom_errors",
        ], "`errors: [{ status: 503, file: sorry.html }]`";
        "bind" = ["listen", "listen_on", "address", "addr", "socket_address", "port", "ports", "endpoint", "url", "host_port"],
            "`bind: 0.0.0.0:8080`";
        "hosts" = ["server_name", "server_names", "domains", "domain", "host", "hostname", "hostnames"],
            "`hosts: [@api.example.com@]`";
        "tls" = [
            "ssl", "ssl_certificate", "ssl_certificate_key", "certificate", "certificates", "certs", "cert", "key", "cert_file",
            "key_file", "crt", "tls_context", "transport_socket", "https", "default_certificate", "certificate_refs",
        ], "`tls: { certificates: [{ cert: api.crt, key: api.key }] }`";
        "" = ["cert_resolver", "acme", "letsencrypt", "lets_encrypt", "auto_https", "automatic_https", "auto_cert", "autocert"],
            "an authority issues the certificate of `tls: { certificates: [{ acme: {} }] }`";
        "" = ["http2", "h2", "alpn", "protocols", "http_versions"],
            "leave it out: with `tls`, clients get HTTP/2 by ALPN; without, those that begin with it";
        "trusted_proxies" = [
            "set_real_ip_from", "real_ip_recursive", "forwarded_headers", "trusted_ips", "use_remote_address", "forward_for",
            "real_ip",
        ], "`trusted_proxies: [10.0.0.0/8]`, the addresses of what stands in front";
        "trusted_proxies" = ["real_ip_header", "client_ip_headers", "original_ip_header"],
            "`trusted_proxies: { from: [10.0.0.0/8], header: @cf-connecting-ip@ }`; without `header`, `X-Forwarded-For` is read";
        "trusted_proxies" = ["xff_num_trusted_hops", "num_trusted_hops", "num_trusted_proxies"],
            "`trusted_proxies: { from: [10.0.0.0/8], hops: @2@ }`";
        "proxy_protocol" = ["accept_proxy", "listener_filters"], "`proxy_protocol: required`";
        "use" = [
            "middlewares", "middleware", "policies", "policy", "include", "snippet", "snippets", "default_filters", "import",
        ], "`use: @web@`, the name of one of `policies`, for every route that serves a request here";
        "response_headers" = ["add_header", "headers", "more_set_headers", "response_headers_to_add", "hsts", "security_headers"],
            "`response_headers: { set: { x-frame-options: DENY } }`";
        "request_headers" = ["proxy_set_header", "request_headers_to_add"],
            "`request_headers: { set: { x-listener: public } }`";
        "cors" = [
            "enable_cors", "cors_policy", "cors_allow_origin", "allow_origin", "allow_origins", "allowed_origins",
            "allow_origin_string_match", "allow_origin_patterns", "access_control_allow_origin",
            "access_control_allow_origin_list", "access_control_allow_origin_list_regex", "cross_origin", "cross_origin_policy",
            "corsmiddleware", "http_cors", "global_cors", "cors_configurations",
        ], "`cors: { origins: [@https://app.example.com@] }`";
        "cors" = [
            "access_control_allow_methods", "access_control_allow_headers", "access_control_allow_credentials",
            "access_control_expose_headers", "access_control_max_age", "cors_allow_methods", "cors_allow_headers",
            "cors_allow_credentials", "cors_expose_headers", "cors_max_age", "allow_credentials", "add_vary_header",
        ], "`cors: { origins: [https://app.example.com], methods: [GET, PUT], headers: [content-type], credentials: true, max_age: 1h }`";
        "limits" = [
            "client_max_body_size", "max_body_size", "max_request_bytes", "max_request_body_size", "body_limit", "request_body",
            "client_header_timeout", "client_body_timeout", "keepalive_timeout", "keep_alive_timeout", "send_timeout",
            "idle_timeout", "read_timeout", "timeouts", "timeout", "large_client_header_buffers", "client_header_buffer_size",
            "max_connections", "max_conn", "maxconn", "max_request_headers_kb", "responding_timeouts",
        ], "`limits: { body_bytes: 10MiB, header_timeout: 10s }`";
        "rate" = [
            "rate_limit", "rate_limits", "rate_limiting", "rate_limiter", "ratelimit", "limit_req", "limit_req_zone", "throttle",
            "local_rate_limit", "token_bucket", "requests_per_second",
        ], "`rate: { requests: 100, per: 1s }`";
        "redirect" = [
            "https_redirect", "redirections", "force_https", "ssl_redirect", "http_redirect", "redirect_scheme", "require_tls",
        ], "`redirect: { scheme: https, status: 308 }`";
        "paths" = ["merge_slashes", "path_with_escaped_slashes_action"], "`paths: { double_slash: keep }`";
        "" = [
            "routes", "route", "location", "locations", "default_backend", "use_backend", "filter_chains", "filters", "router",
            "routers", "virtual_hosts", "handle", "route_config", "allowed_routes",
        ], "routes are a list of their own, beside `listeners`; each serves on every listener whose `hosts` let it";
        "" = ["protocol", "mode"], "a listener with `tls` speaks https, one without speaks http; both do HTTP/1.1 and HTTP/2";
    }
    "the `trusted_proxies` of a listener": {
        "from" = [
            "cidrs", "networks", "addresses", "ips", "trusted_ips", "sources", "trusted", "proxies", "known_networks",
            "trusted_addresses", "ranges", "static",
        ], "";
        "hops" = [
            "xff_num_trusted_hops", "num_trusted_proxies", "depth", "trusted_hops", "count", "forward_limit", "hop", "ip_depth",
        ], "";
        "header" = [
            "real_ip_header", "client_ip_headers", "header_name", "headers", "original_ip_header", "name", "forwarded_header",
        ], "";
        "" = ["real_ip_recursive", "recursive", "insecure", "use_remote_address"],
            "leave it out: addresses in `from` are passed over, and no other peer is believed";
    }
    "the `tls` of a listener": {
        "certificates" = [
            "cert", "key", "certs", "certificate", "ssl_certificate", "ssl_certificate_key", "cert_file", "key_file", "crt",
            "tls_certificates", "default_certificate", "certificate_refs", "private_key", "certificate_chain", "keys",
        ], "`certificates: [{ cert: api.crt, key: api.key }]`";
        "client_auth" = [
            "ca", "ca_files", "client_ca", "client_cas", "verify_client", "ssl_client_certificate", "ssl_verify_client",
            "client_ca_file", "ca_file", "client_authentication", "mtls", "require_client_certificate", "verify",
            "front_proxy_client_ca",
        ], "`client_auth: { ca: clients.crt, mode: required }`";
        "passthrough" = ["mode", "ssl_preread", "pass_through"], "`passthrough: true`, where connections are not decrypted";
        "" = [
            "protocols", "min_version", "max_version", "min_protocol_version", "ssl_protocols", "ciphers", "cipher_suites",
            "ssl_ciphers", "alpn", "alpn_protocols", "curve_preferences", "tls_params", "enabled",
        ], "leave it out: TLS 1.2 and 1.3 with safe ciphers, and ALPN, are always used";
        "" = ["options", "sni_strict"], "leave it out: the certificate is chosen by the host, and the first one is for others";
        "" = ["cert_resolver", "acme", "letsencrypt", "lets_encrypt", "issuer", "issuers", "automation", "on_demand", "auto"],
            "an authority issues the certificate of `certificates: [{ acme: {} }]`";
        "" = ["domains", "hosts"],
            "a certificate is ordered for the `hosts` of the listener, or for its own: `certificates: [{ acme: { hosts: [api.example.com] } }]`";
    }
    "the `client_auth` of a listener": {
        "ca" = ["ca_file", "ca_files", "ca_certificate", "client_ca", "trusted_ca", "cacert", "roots"], "`ca: clients.crt`";
        "mode" = ["verify", "client_auth_type", "require", "required", "verify_client"], "`mode: optional`";
    }
    "the limits of a listener": {
        "body_bytes" = [
            "client_max_body_size", "max_body_size", "max_request_bytes", "max_request_body_size", "body_size", "body", "max_size",
            "max_body", "request_body", "body_limit",
        ], "`body_bytes: 10MiB`";
        "header_bytes" = [
            "max_header_bytes", "large_client_header_buffers", "client_header_buffer_size", "max_request_headers_kb",
            "header_size", "max_header_size",
        ], "";
        "headers" = ["max_headers", "max_headers_count", "http_maxhdr", "max_header_count"], "";
        "header_timeout" = ["client_header_timeout", "request_headers_timeout", "http_request", "read_header_timeout"], "";
        "keep_alive_timeout" = ["keepalive_timeout", "idle_timeout", "http_keep_alive", "keepalive", "keep_alive"], "";
        "body_idle_timeout" = ["client_body_timeout", "read_timeout", "request_timeout", "stream_idle_timeout"], "";
        "body_rate" = ["min_request_body_data_rate", "rate"], "";
        "connections" = ["max_connections", "max_conn", "maxconn", "worker_connections", "connection_limit"], "";
        "underscores" = ["underscores_in_headers", "headers_with_underscores_action"], "`underscores: keep`";
    }
    "a service": {
        "endpoints" = [
            "url", "urls", "uri", "uris", "server", "servers", "target", "targets", "backend", "backends", "address", "addresses",
            "host", "hosts", "nodes", "load_assignment", "lb_endpoints", "load_balancer", "destinations", "instances", "members",
            "upstream", "upstreams", "port", "ip", "cluster",
        ], "`endpoints: [http://10.0.0.11:8080]`";
        "balance" = [
            "lb_policy", "load_balancing", "load_balancing_policy", "algorithm", "least_conn", "ip_hash", "hash", "hash_on",
            "strategy", "policy", "consistent_hash", "lb", "sticky", "session_affinity",
        ], "";
        "health" = [
            "health_check", "health_checks", "healthcheck", "healthchecks", "check", "checks", "probe", "option_httpchk",
        ], "";
        "eject" = [
            "outlier_detection", "outliers", "passive_health_check", "max_fails", "fail_timeout", "passive",
        ], "";
        "" = ["image", "labels", "container_name", "depends_on", "volumes", "restart", "build"],
            "this is a key of Docker Compose: a service here is `endpoints: [http://app:8080]`, and what labels say of routers are `routes`";
        "eject" = ["circuit_breaker", "circuit_breakers"],
            "`eject: { failures: 5 }` for endpoints that fail, `limits: { requests: 1000 }` for too many requests";
        "" = ["least_conn", "ip_hash", "hash", "algorithm", "lb_policy", "load_balancing", "strategy", "policy"],
            "leave it out: requests are spread round-robin over the endpoints";
        "timeouts" = [
            "timeout", "connect_timeout", "read_timeout", "write_timeout", "proxy_connect_timeout", "proxy_read_timeout",
            "proxy_send_timeout", "timeout_server", "timeout_connect", "response_timeout", "response_header_timeout",
            "dial_timeout", "request_timeout", "forwarding_timeouts", "idle_timeout",
        ], "`timeouts: { connect: 2s, response: 30s }`";
        "pool" = [
            "keepalive", "keep_alive", "keepalive_pool", "connection_pool", "max_idle_conns_per_host", "max_idle_conns",
            "keepalive_requests", "upstream_keepalive",
        ], "`pool: { idle_max: 64 }`";
        "tls" = [
            "ssl", "verify", "tls_verify", "insecure_skip_verify", "skip_verify", "ca_certificates", "client_certificate", "sni",
            "transport_socket", "root_cas", "proxy_ssl_verify", "proxy_ssl_server_name", "servers_transport", "tls_client_config",
        ], "`tls: { ca: internal.crt }`, with `https://` endpoints";
        "http2" = ["h2", "h2c", "grpc", "http2_protocol_options", "typed_extension_protocol_options", "http_version"],
            "`http2: true`";
        "proxy_protocol" = ["send_proxy", "send_proxy_v2", "proxy_v2"], "`proxy_protocol: v2`";
        "limits" = [
            "concurrency", "max_conns", "max_conn", "maxconn", "max_connections", "max_requests", "max_concurrent_requests",
            "max_pending_requests", "in_flight_req", "bulkhead", "queue", "waiting", "requests", "connections",
        ], "`limits: { requests: 1000, waiting: 100 }`";
        "panic" = ["panic_threshold", "healthy_panic_threshold", "panic_mode"], "`panic: 50`, a percentage";
        "slow_start" = ["slowstart", "slow_start_config", "slow_start_window", "warmup", "warm_up"], "`slow_start: 30s`";
        "" = ["drain", "drained", "down", "disabled", "maintenance"],
            "an endpoint of weight 0 takes no requests; `waypost drain` takes one out of a running gateway";
        "" = ["backup", "backups"], "say it of the endpoint: `{ url: http://10.0.9.1:8080, backup: true }`";
        "" = ["weight", "weights"], "the weights of versions stand in a route: `to: { orders-v1: 90, orders-v2: 10 }`, that of a server in its endpoint: `{ url: http://10.0.0.12:8080, weight: 2 }`";
        "" = ["path", "path_prefix", "prefix"],
            "a service has no path; a route puts one in front: `rewrite: { prefix: @/api@ }`";
        "host" = ["pass_host_header", "preserve_host", "host_header", "auto_host_rewrite", "host_rewrite"],
            "`host: client`, which is the default, `host: endpoint`, or a fixed host";
        "" = ["name", "id"], "leave it out: the name is the key in front, as in `orders: { endpoints: […] }`";
        "" = ["routes", "route", "plugins", "filters", "tags"], "routes are a list of their own, beside `services`";
        "" = ["scheme"], "the scheme stands in each endpoint: `http://`, `https://` or `h2c://`";
    }
    "an endpoint": {
        "url" = [
            "address", "addr", "server", "target", "host", "hostname", "ip", "uri", "endpoint", "socket_address", "unix", "port",
        ], "`url: http://10.0.0.11:8080`";
        "weight" = ["load_balancing_weight", "share"], "";
        "backup" = ["standby", "fallback", "priority", "spare"], "`backup: true`";
        "" = ["down", "drain", "drained", "disabled", "state", "enabled"],
            "write `weight: 0`, or take it out of a running gateway by `waypost drain`";
        "" = ["max_fails", "fail_timeout", "outlier_detection", "outliers", "eject"], "ejection is said of the service: `eject: { failures: 5 }`";
        "" = ["check", "health", "health_check", "health_check_config", "inter", "fall", "rise"],
            "checks are said of the service: `health: { path: /healthz }`";
        "" = ["max_conns", "maxconn", "max_connections", "limits"],
            "limits are said of the service, over all of its endpoints: `limits: { connections: 512 }`";
        "" = ["slow_start", "slowstart"], "slow start is said of the service: `slow_start: 30s`";
        "" = ["name", "id", "tags", "zone"], "leave it out: an endpoint is known by its URL";
    }
    "a `balance`": {
        "hash" = [
            "ip_hash", "consistent_hash", "hash_on", "ring_hash", "maglev", "header", "cookie", "client_ip", "path", "type",
            "algorithm", "policy",
        ], "";
    }
    "a `hash`": {
        "header" = ["header_name", "hash_header", "hash_on_header", "http_header_name"], "`header: x-user-id`";
        "cookie" = ["cookie_name", "hash_on_cookie"], "`cookie: session`";
        "client_ip" = ["ip", "source", "source_ip", "remote_addr", "src", "connection_properties"], "`client_ip: true`";
        "path" = ["uri", "url", "request_uri"], "`path: true`";
    }
    "the `health` of a service": {
        "path" = ["uri", "url", "http_path", "endpoint", "request", "http_health_check", "httpget", "http_get"], "";
        "grpc" = ["grpc_service", "service_name", "grpc_health_check", "service"], "`grpc: true`, or the name of a service";
        "tcp" = ["tcp_health_check", "tcp_socket", "connect"], "`tcp: true`";
        "interval" = ["inter", "every", "period", "period_seconds", "interval_ms", "check_interval"], "";
        "timeout" = ["timeout_seconds", "check_timeout", "timeout_ms"], "";
        "unhealthy" = [
            "fall", "fails", "unhealthy_threshold", "failure_threshold", "max_fails", "unhealthy_after", "failures",
        ], "";
        "healthy" = ["rise", "passes", "healthy_threshold", "success_threshold", "healthy_after", "successes"], "";
        "status" = [
            "expect", "expected", "expected_status", "expected_statuses", "statuses", "codes", "success_codes", "status_code",
            "status_codes", "matcher", "http_statuses",
        ], "";
        "host" = ["hostname", "host_header", "authority"], "";
        "initially" = ["initial_state", "initial", "mandatory", "start"], "`initially: unhealthy`, for endpoints that wait for a check";
        "" = ["type", "protocol", "mode", "http", "scheme"],
            "one of `path: /healthz`, `grpc: true` and `tcp: true` says what is asked, over the protocol of requests";
        "" = ["enabled", "active", "passive"],
            "leave it out: `health` turns checks on, and `eject` beside it the ejection of endpoints by what requests meet";
        "" = ["jitter", "no_traffic_interval"], "leave it out: intervals vary by a tenth of themselves";
    }
    "the `eject` of a service": {
        "failures" = [
            "max_fails", "consecutive_5xx", "consecutive_gateway_failure", "consecutive_failures", "consecutive_errors", "errors",
            "threshold", "error_limit", "max_failures", "failure_threshold", "unhealthy", "attempts",
        ], "";
        "for" = [
            "fail_timeout", "base_ejection_time", "duration", "time", "timeout", "sleep_window", "max_ejection_time",
            "recovery_duration",
        ], "";
        "max" = ["max_ejection_percent", "max_percent", "max_ejected"], "";
        "of" = ["on", "kinds", "conditions", "failure_kinds", "statuses", "status"], "";
        "rate" = ["failure_percentage_threshold", "failure_rate", "error_rate", "ratio", "percent", "percentage"], "";
        "requests" = ["min_requests", "request_volume", "failure_percentage_request_volume", "minimum_number_of_calls"], "";
        "window" = ["interval", "period", "sliding_window_size"], "`window: 10s`, beside `rate`";
        "" = ["success", "successes", "success_threshold", "healthy", "recovery"],
            "leave it out: an endpoint has recovered when it answers well for 1 s after its return";
        "" = ["enabled"], "leave it out: `eject: {}` is enough";
    }
    "the limits of a service": {
        "requests" = [
            "concurrency", "max_requests", "max_concurrent_requests", "concurrent_requests", "in_flight", "max_in_flight",
            "inflight", "amount", "parallel",
        ], "";
        "connections" = ["max_connections", "max_conns", "max_conn", "maxconn", "connection_limit"], "";
        "waiting" = ["queue", "max_pending_requests", "maxqueue", "queue_size", "pending", "queue_length", "burst"], "";
        "wait" = ["queue_timeout", "timeout_queue", "timeout", "max_wait", "wait_timeout"], "";
        "header_bytes" = ["proxy_buffer_size", "max_response_header_bytes", "response_header_bytes", "max_header_bytes"], "";
        "" = ["rate", "requests_per_second", "rps", "average", "body_bytes", "body"],
            "these are numbers of requests and connections at a time, not a rate; bodies of clients are limited by their listener";
        "" = ["retries", "max_retries"], "retries are limited by the `budget` of a route's `retry`";
    }
    "the timeouts of a service": {
        "connect" = ["connection", "dial", "connect_timeout", "dial_timeout", "proxy_connect_timeout", "timeout_connect"], "";
        "response" = [
            "request", "read", "write", "server", "total", "read_timeout", "response_timeout", "response_header_timeout",
            "backend_request", "timeout", "send", "first_byte", "proxy_read_timeout", "request_timeout", "timeout_server",
        ], "";
        "idle" = ["idle_timeout", "stream_idle", "idle_conn_timeout", "activity"], "";
        "tunnel" = ["websocket", "upgrade", "timeout_tunnel"], "";
    }
    "a `cors`": {
        "origins" = [
            "origin", "allow_origin", "allow_origins", "allowed_origins", "allow_origin_string_match", "allow_origin_list",
            "allowed_origin", "allow_origin_patterns", "allowed_origin_patterns", "access_control_allow_origin",
            "access_control_allow_origin_list", "access_control_allow_origin_list_regex", "allow_origins_by_regex",
            "cors_allow_origin", "allow_origin_regex", "domains", "hosts",
        ], "`origins: [https://app.example.com, \"https://*.example.com\"]`";
        "methods" = [
            "method", "allow_methods", "allowed_methods", "allow_method", "access_control_allow_methods", "cors_allow_methods",
        ], "`methods: [GET, PUT]`";
        "headers" = [
            "header", "allow_headers", "allowed_headers", "allow_header", "access_control_allow_headers", "cors_allow_headers",
            "request_headers",
        ], "`headers: [content-type]`";
        "expose" = [
            "expose_headers", "exposed_headers", "expose_header", "access_control_expose_headers", "cors_expose_headers",
            "response_headers",
        ], "`expose: [etag, x-request-id]`";
        "credentials" = [
            "allow_credentials", "allow_credential", "access_control_allow_credentials", "cors_allow_credentials",
            "supports_credentials", "with_credentials",
        ], "`credentials: true`";
        "max_age" = [
            "maxage", "access_control_max_age", "cors_max_age", "preflight_max_age", "max_age_seconds", "ttl", "cache",
        ], "`max_age: 1h`";
        "private_network" = [
            "allow_private_network", "access_control_allow_private_network", "allow_private_network_access",
            "private_network_access", "local_network",
        ], "`private_network: true`";
        "" = ["add_vary_header", "vary", "preflight", "preflight_continue", "options_success_status", "forward_not_matching_preflights",
            "filter_enabled", "shadow_enabled", "enabled"],
            "leave it out: `vary` is sent where it is needed, and preflights are answered here; `cors: off` takes a policy away";
    }
    "an `access`": {
        "allow" = [
            "source_range", "whitelist", "white_list", "allowlist", "allow_list", "permit", "allowed", "cidrs", "ips", "ranges",
        ], "`access: { allow: [10.0.0.0/8] }`";
        "deny" = ["blacklist", "black_list", "denylist", "deny_list", "block", "blocked", "denied", "reject"],
            "`access: { deny: [10.9.0.0/16] }`";
    }
    "the limits of a route": {
        "body_bytes" = [
            "client_max_body_size", "max_body_size", "max_request_body_bytes", "max_request_bytes", "body", "body_size", "max_size",
            "request_size", "max_request_body_size", "allowed_payload_size",
        ], "`limits: { body_bytes: 10MiB }`";
    }
    "edits of a query": {
        "set" = ["replace", "override", "append_or_replace"], "`query: { set: { lang: en } }`";
        "add" = ["append", "insert"], "`query: { add: { from: gateway } }`";
        "remove" = ["delete", "unset", "drop", "strip"], "`query: { remove: [utm_source] }`";
    }
    "the timeouts of a route": {
        "response" = [
            "request", "read", "write", "total", "response_timeout", "backend_request", "timeout", "first_byte", "request_timeout",
        ], "`timeouts: { response: 30s }`; `timeout: 15s` beside it is for the whole exchange";
        "idle" = ["idle_timeout", "stream_idle"], "";
        "tunnel" = ["websocket", "upgrade"], "";
    }
    "the `tls` of a service": {
        "ca" = ["ca_file", "ca_certificates", "root_cas", "trusted_ca", "proxy_ssl_trusted_certificate", "cacert", "ca_certificate"],
            "`ca: internal.crt`";
        "server_name" = ["sni", "proxy_ssl_name", "hostname", "tls_server_name", "host"], "";
        "client_cert" = ["certificate", "certificates", "cert", "client_certificate", "key", "proxy_ssl_certificate", "crt"],
            "`client_cert: { cert: gateway.crt, key: gateway.key }`";
        "insecure" = ["insecure_skip_verify", "skip_verify", "tls_verify", "verify", "proxy_ssl_verify", "verify_none", "verify_tls"],
            "`insecure: true` where certificates are not to be verified; without it they are";
    }
    "a route": {
        "name" = ["id", "route_id", "router", "label", "title"], "`name: orders`";
        "to" = [
            "service", "services", "upstream", "backend", "backends", "backend_ref", "backend_refs", "cluster", "cluster_id",
            "proxy_pass", "grpc_pass", "use_backend", "default_backend", "target", "destination", "forward", "forward_to",
            "proxy", "reverse_proxy", "load_balancer", "service_id", "upstream_id", "service_name", "pool", "route",
        ], "`to: @orders@`, the name of a service";
        "to" = [
            "weighted_clusters", "weighted", "weights", "weight", "split_clients", "traffic_split", "split",
        ], "`to: { orders-v1: 90, orders-v2: 10 }`, a split";
        "match" = [
            "matches", "matcher", "matchers", "when", "predicate", "predicates", "conditions", "condition", "rule", "rules",
            "expression", "acl", "if", "vars",
        ], "`match: { host: api.example.com, path: /orders/* }`";
        "respond" = [
            "return", "direct_response", "fixed_response", "static_response", "response", "http_request_return", "abort", "status",
        ], "`respond: { status: 404 }`";
        "respond" = ["block", "http_request_deny"], "`respond: { status: 403 }`";
        "redirect" = [
            "redirect_to", "redirection", "redirect_scheme", "redirect_regex", "request_redirect", "https_redirect", "ssl_redirect",
            "force_ssl", "force_https", "redir", "http_to_https", "http_request_redirect", "return_301", "permanent_redirect",
            "https_only", "require_tls",
        ], "`redirect: { scheme: https, status: 308 }`; on a listener it holds for every request there";
        "rewrite" = [
            "strip_prefix", "strip_path", "strip_path_prefix", "handle_path", "remove_prefix", "prefix_strip",
        ], "`rewrite: { prefix: / }`, which takes the prefix off where the `match` has `path: @/x@/*`";
        "rewrite" = [
            "prefix_rewrite", "replace_prefix", "replace_prefix_match", "url_rewrite", "rewrite_target", "path_prefix_rewrite",
        ], "`rewrite: { prefix: @/v2@ }`, which takes the place of `/x` where the `match` has `path: /x/*`";
        "rewrite" = ["add_prefix", "prefix_path", "add_path_prefix"],
            "`rewrite: { prefix: @/v2@ }`, which stands in front of every path where the `match` has none";
        "rewrite" = ["replace_path", "set_path", "path_rewrite", "replace_full_path", "path_set"],
            "`rewrite: { path: @/new@ }`";
        "rewrite" = [
            "replace_path_regex", "regex_rewrite", "rewrite_path", "rewrite_regex", "regex", "path_pattern_rewrite",
        ], "`rewrite: { regex: [\"^/v1/\", /v2/] }`";
        "rewrite" = [
            "host_rewrite", "host_rewrite_literal", "auto_host_rewrite", "set_host_header", "request_host_rewrite",
        ], "`rewrite: { host: @orders.internal@ }`";
        "" = ["preserve_host", "pass_host_header", "preserve_host_header"],
            "leave it out: services get the client's `Host`, unless `rewrite: { host: orders.internal }` says otherwise";
        "request_headers" = [
            "proxy_set_header", "set_header", "request_headers_to_add", "request_headers_to_remove", "request_header_modifier",
            "add_request_header", "set_request_header", "remove_request_header", "custom_request_headers", "header_up",
            "request_transformer", "http_request_set_header", "more_set_input_headers", "request_header",
        ], "`request_headers: { set: { x-gateway: waypost } }`";
        "response_headers" = [
            "add_header", "more_set_headers", "response_headers_to_add", "response_headers_to_remove",
            "response_header_modifier", "add_response_header", "set_response_header", "remove_response_header",
            "custom_response_headers", "header_down", "response_transformer", "proxy_hide_header", "http_response_set_header",
            "expires", "sts_seconds", "hsts", "security_headers",
        ], "`response_headers: { set: { x-frame-options: DENY } }`";
        "errors" = [
            "error_page", "error_pages", "handle_errors", "errorfile", "errorfiles", "http_errors", "http_error", "errorloc",
            "custom_error_pages", "custom_http_errors", "error_template", "local_reply_config", "mappers", "on_error",
            "error_document", "error_documents", "errorsmiddleware", "custom_errors",
        ], "`errors: [{ status: 503, file: sorry.html }]`";
        "errors" = ["proxy_intercept_errors", "intercept_errors", "replace_status", "copy_response"],
            "`errors: [{ status: 5xx, from: service, file: sorry.html }]`; without `from`, a page is for the gateway's own errors";
        "cors" = [
            "enable_cors", "cors_policy", "cors_allow_origin", "allow_origin", "allow_origins", "allowed_origins",
            "allow_origin_string_match", "allow_origin_patterns", "access_control_allow_origin",
            "access_control_allow_origin_list", "access_control_allow_origin_list_regex", "cross_origin", "cross_origin_policy",
            "corsmiddleware", "http_cors", "global_cors", "cors_configurations",
        ], "`cors: { origins: [@https://app.example.com@] }`";
        "cors" = [
            "access_control_allow_methods", "access_control_allow_headers", "access_control_allow_credentials",
            "access_control_expose_headers", "access_control_max_age", "cors_allow_methods", "cors_allow_headers",
            "cors_allow_credentials", "cors_expose_headers", "cors_max_age", "allow_credentials", "add_vary_header",
        ], "`cors: { origins: [https://app.example.com], methods: [GET, PUT], headers: [content-type], credentials: true, max_age: 1h }`";
        "set_cookie" = ["proxy_cookie_path", "proxy_pass_reverse_cookie_path", "cookie_path", "rewrite_cookie_path"],
            "`set_cookie: { path: { /: /shop } }`";
        "set_cookie" = ["proxy_cookie_domain", "proxy_pass_reverse_cookie_domain", "cookie_domain", "rewrite_cookie_domain"],
            "`set_cookie: { domain: { orders.internal: example.com } }`";
        "set_cookie" = [
            "proxy_cookie_flags", "secure_cookie_response_header_name", "cookie_flags", "same_site", "samesite", "secure_cookie",
            "rewrite_response_cookie", "set_cookies",
        ], "`set_cookie: { secure: true, http_only: true, same_site: lax }`";
        "timeouts" = ["proxy_read_timeout", "read_timeout", "response_timeout"],
            "`timeouts: { response: @60s@ }`; `timeout` is for the whole exchange";
        "timeouts" = ["proxy_connect_timeout", "connect_timeout"], "`timeouts: { connect: @2s@ }`";
        "timeout" = [
            "proxy_send_timeout", "write_timeout", "request_timeout", "route_timeout", "idle_timeout",
        ], "`timeout: 15s` for the whole exchange; `timeouts: { connect: 2s, response: 30s }` are for its parts";
        "retry" = [
            "retries", "num_retries", "retry_policy", "proxy_next_upstream", "redispatch", "retry_on", "retry_count",
        ], "";
        "sticky" = [
            "ip_hash", "hash", "hash_on", "hash_policy", "session_affinity", "session_persistence", "stick_table",
            "sticky_session", "sticky_sessions", "affinity", "persistence",
        ], "";
        "mirror" = [
            "request_mirror", "request_mirror_policies", "mirroring", "mirrors", "shadow", "traffic_mirror", "proxy_mirror",
        ], "";
        "upgrade" = ["upgrade_configs", "allow_upgrade", "websocket", "websockets", "enable_websocket", "proxy_http_version"],
            "leave it out for websocket, which passes by itself; `upgrade: []` refuses it";
        "grpc_web" = ["grpc_web_proxy", "grpcweb"], "`grpc_web: true`";
        "" = ["priority", "order", "rank", "regex_priority"],
            "leave it out: the most specific match wins, and only between equals the order of the list decides";
        "" = [
            "plugins", "filters", "filter", "handle", "handler", "options", "typed_per_filter_config",
            "plugin_config", "annotations", "extension_ref", "transforms",
        ], "there are no plugins: `rewrite`, `request_headers`, `response_headers` and more are keys of the route itself, or of one of `policies` that it uses";
        "use" = [
            "middlewares", "middleware", "policies", "policy", "include", "includes", "snippet", "snippets", "extends", "inherit",
            "inherits", "plugin_config_id", "profile", "profiles", "traffic_policy", "import", "defaults",
        ], "`use: @web@`, the name of one of `policies`";
        "" = ["root", "alias", "file_server", "try_files", "static", "index", "autoindex"],
            "files are not served; send requests to a server of files with `to`";
        "" = ["tls", "ssl", "cert_resolver", "ssl_certificate"],
            "certificates stand in a listener: `tls: { certificates: [{ cert: api.crt, key: api.key }] }`";
        "" = ["lua", "script", "content_by_lua_block", "access_by_lua_block", "js_content", "map", "set"],
            "there are no scripts and no variables of your own; conditions of `match` choose between routes";
        "limits" = ["client_max_body_size", "max_body_size", "request_size_limiting", "request_size", "max_request_size",
            "max_request_body_bytes", "max_request_body_size", "max_request_bytes"],
            "`limits: { body_bytes: 10MiB }`";
        "" = ["buffering", "buffer_requests"],
            "bodies are passed on as they come; `limits: { body_bytes: 10MiB }` bounds their size";
        "" = [
            "limit_conn", "in_flight_req", "compress", "gzip",
            "encode", "cache", "proxy_cache", "circuit_breaker", "fault_injection", "fault",
            "csrf",
        ], MISSING;
        "auth" = ["auth_basic", "basic_auth", "auth_basic_user_file", "htpasswd", "basic"],
            "`auth: { basic: { file: users.htpasswd, realm: Shop } }`";
        "auth" = ["key_auth", "api_key", "api_keys", "apikey", "keyauth", "key"],
            "`auth: { key: { header: x-api-key, file: keys } }`, with hashes that `waypost hash-key` makes";
        "auth" = [
            "jwt", "jwt_auth", "jwt_authn", "auth_jwt", "openid_connect", "oidc", "bearer", "bearer_auth", "authentication",
            "oauth2_resource_server", "security",
        ], "`auth: { jwt: { issuer: https://id.example.com, audience: shop, keys: https://id.example.com/jwks.json } }`";
        "auth" = [
            "forward_auth", "auth_request", "ext_authz", "external_auth", "oauth2", "oauth2_proxy", "auth_url", "ask", "authelia",
        ], "`auth: { ask: { to: authelia, path: /verify, take: [remote-user] } }`";
        "auth" = ["rbac", "consumer_restriction", "allow_groups", "require"],
            "with the way that tells who asks: `auth: { key: …, allow: [{ groups: [admin] }] }`";
        "auth" = ["hmac_auth", "ldap_auth", "digest_auth", "saml"],
            "keys, tokens, passwords, and services that are asked: `auth: { ask: { to: login, path: /verify } }`";
        "rate" = [
            "rate_limit", "rate_limits", "rate_limiting", "rate_limiter", "ratelimit", "limit_req", "limit_req_zone", "limit_rate",
            "local_rate_limit", "local_ratelimit", "request_rate_limiter", "rate_limiting_advanced", "limit_count", "throttle",
            "throttling", "requests_per_second", "rps", "quota", "limit_rps", "limit_rpm", "token_bucket",
        ], "`rate: { requests: 10, per: 1s, burst: 20, by: client_ip }`";
        "access" = [
            "ip_allow_list", "ip_white_list", "ip_restriction", "allow", "whitelist", "whitelist_source_range", "allow_list",
            "source_range",
        ], "`access: { allow: [@10.0.0.0/8@] }`; all others get 403";
        "access" = ["deny", "ip_deny_list", "blacklist", "deny_list", "denylist_source_range"],
            "`access: { deny: [@10.9.0.0/16@] }`; with `allow`, every other client is denied by itself";
    }
    "a rate limit": {
        "requests" = [
            "average", "rate", "requests_per_unit", "limit", "count", "max", "max_requests", "requests_per_second", "rps",
            "replenish_rate", "tokens_per_fill", "permit_limit", "events", "quota", "max_events", "tokens",
        ], "`requests: @10@`, and the time as `per: 1s`";
        "requests" = ["second", "seconds"], "`requests: @10@` and `per: 1s`; several limits are a list";
        "requests" = ["minute", "minutes"], "`requests: @100@` and `per: 1m`; several limits are a list";
        "requests" = ["hour", "hours"], "`requests: @1000@` and `per: 1h`; several limits are a list";
        "requests" = ["day", "days"], "`requests: @10000@` and `per: 24h`; several limits are a list";
        "requests" = ["month", "year"], "`requests: @100000@` and `per: 720h`; several limits are a list";
        "per" = [
            "period", "unit", "window", "interval", "fill_interval", "time_window", "window_size", "duration", "time", "every",
            "window_seconds", "in",
        ], "`per: 1s`";
        "burst" = [
            "max_tokens", "burst_capacity", "max_burst", "bucket_size", "burst_size", "capacity", "token_limit", "queue_limit",
            "bursts",
        ], "";
        "by" = [
            "key", "limit_by", "source_criterion", "key_resolver", "descriptors", "zone", "actions", "key_type", "on",
            "request_header_name", "ip_strategy", "identifier", "header_name", "match",
        ], "`by: client_ip`, or `by: { header: x-tenant }`";
        "report_only" = [
            "dry_run", "shadow_mode", "limit_req_dry_run", "log_only", "shadow", "report", "monitor",
        ], "`report_only: true`";
        "headers" = [
            "show_limit_quota_header", "hide_client_headers", "enable_x_ratelimit_headers", "include_headers",
            "disable_x_ratelimit_headers", "response_headers",
        ], "`headers: off`";
        "" = ["delay", "nodelay", "jitter"], "leave it out: a request over the limit is refused, not held back";
        "" = ["rejected_code", "status", "limit_req_status", "error_code", "status_code", "error_message", "rejected_msg"],
            "leave it out: it is 429; `errors: [{ status: 429, as: 503, body: … }]` gives another status or text";
        "" = ["token_bucket", "limits", "rules", "zones"],
            "say it by `requests`, `per` and `burst`: `{ requests: 10, per: 1s, burst: 20 }`; several limits are a list";
        "" = ["requested_tokens", "cost", "weight"], "leave it out: each request counts once";
        "" = ["except", "exempt", "exclude", "skip", "whitelist", "bypass", "allowlist"],
            "leave it out: a route with `match: { client_ip: [10.0.0.0/8] }` and `rate: off` takes those requests";
        "" = ["redis", "redis_host", "policy", "storage", "sync_rate", "fault_tolerant", "strategy", "domain"],
            "leave it out: each instance counts its own requests, in memory";
    }
    "a `by`": {
        "header" = [
            "request_header_name", "header_name", "request_headers", "http_header", "headers", "name",
        ], "`header: x-tenant`";
        "cookie" = ["cookie_name", "cookies"], "`cookie: session`";
        "" = ["client_ip", "ip", "ip_strategy", "remote_address", "source", "request_host"], "write `by: client_ip`";
        "" = ["identity", "consumer", "user", "claim", "jwt", "sub"], "write `by: identity`, which `auth` verifies";
        "" = ["query", "query_param", "query_string", "param", "arg", "argument"],
            "a query has no limit of its own; a key that is sent there is a way of `auth`, and `by: identity` its limit";
        "" = ["route", "path"], "write `by: route`";
    }
    "a match": {
        "path" = [
            "uri", "uris", "url", "location", "paths", "prefix", "path_prefix", "path_separated_prefix", "path_beg", "begins_with",
        ], "`path: /orders/*` for a prefix, `path: /orders` for that path alone";
        "path" = ["path_regex", "path_regexp", "path_reg", "regex", "regexp", "safe_regex", "path_match"],
            "`path: \"~^/v[0-9]+/\"`, with a `~` in front of the regex";
        "path" = ["exact", "path_exact", "path_template", "path_match_policy"], "`path: /orders`";
        "host" = [
            "hosts", "hostname", "hostnames", "domain", "domains", "server_name", "server_names", "authority", ":authority",
            "sni", "snis", "hdr_host", "host_regexp",
        ], "`host: [api.example.com, \"*.example.net\"]`";
        "method" = ["methods", "verb", "verbs", "http_method", "request_method"], "`method: [GET, POST]`";
        "headers" = ["header", "header_matchers", "header_match", "header_regexp", "hdr", "http_headers"],
            "`headers: { x-tier: gold }`";
        "query" = [
            "query_params", "query_parameters", "query_param", "query_string", "params", "args", "query_regexp", "url_param",
        ], "`query: { preview: \"1\" }`";
        "cookies" = ["cookie", "cook"], "`cookies: { beta: true }`";
        "client_ip" = [
            "source_ip", "source_ips", "remote_ip", "remote_addr", "remote_address", "remote_addrs", "src", "sources", "source",
            "ip", "cidr", "client", "client_ips", "x_forwarded_remote_addr",
        ], "`client_ip: [10.0.0.0/8, 192.0.2.7]`";
        "listener" = [
            "listeners", "entry_points", "entrypoints", "entry_point", "parent_refs", "section_name", "bind", "listen", "frontend",
            "gateways", "port", "local_port", "destination_port",
        ], "`listener: public`, the name of one; without it, a route serves on every listener";
        "scheme" = ["protocol", "protocols", "schemes", "https", "forwarded_proto", "x_forwarded_proto", "require_https"],
            "`scheme: https`";
        "client_cert" = ["tls_context", "ssl_client_s_dn", "client_certificate", "peer_certificate"], "";
        "" = ["not", "invert_match", "negate", "unless"],
            "a match is not negated: write `false` for a header that must be absent; else the more specific route wins";
        "" = ["any_of", "or", "any", "all", "and", "and_match", "or_match", "all_of"],
            "a match holds if all its keys do; for alternatives, make `match` a list";
        "" = ["name"], "a route has the name, beside its `match`";
        "" = ["type", "case_sensitive", "ignore_case"],
            "the form of the value says it: `/orders` is exact, `/orders/*` a prefix, `\"~(?i)^/orders\"` a regex";
        "" = ["value"], "write the value behind the name: `headers: { x-tier: gold }`";
        "" = ["after", "before", "between", "time", "file", "expression", "vars"], MISSING;
    }
    "a `retry`": {
        "attempts" = ["retries", "num_retries", "count", "times", "max_attempts", "tries", "max_retries", "max"], "";
        "on" = [
            "retry_on", "conditions", "statuses", "codes", "retriable_status_codes", "status_codes", "status", "if", "series",
        ], "";
        "timeout" = ["per_try_timeout", "per_attempt_timeout", "per_retry_timeout", "try_timeout"], "";
        "backoff" = [
            "retry_back_off", "initial_interval", "interval", "delay", "wait", "base_interval", "first_backoff", "back_off",
        ], "";
        "budget" = ["retry_budget", "budget_percent", "min_retry_concurrency"], "";
        "methods" = ["method", "non_idempotent", "retry_methods"], "`methods: [GET, HEAD, POST]`";
        "body" = ["body_bytes", "max_request_bytes", "buffer", "max_body", "max_request_body_bytes"], "";
        "" = ["hedge_policy", "hedging"], "`hedge: 95ms` stands beside `retry`";
        "" = ["enabled"], "leave it out: `retry: {}` is enough";
        "" = ["jitter", "max_interval", "max_backoff", "factor", "multiplier"],
            "leave it out: the wait doubles with each retry, is random from 0 to that, and 1 s at most";
    }
    "a redirect": {
        "url" = ["to", "location", "target", "destination", "uri"], "";
        "status" = [
            "code", "status_code", "response_code", "http_status_code", "permanent", "redirect_code", "statuscode", "type",
        ], "`status: @308@`, which is permanent, or `status: 302`, which is not";
        "scheme" = ["https_redirect", "scheme_redirect", "protocol", "https", "scheme_rewrite"], "`scheme: https`";
        "host" = ["hostname", "host_redirect", "domain", "authority"], "`host: @www.example.com@`";
        "port" = ["port_redirect"], "";
        "path" = ["path_redirect", "replace_full_path", "replacement", "full_path"], "`path: @/new@`";
        "prefix" = ["prefix_rewrite", "replace_prefix_match", "prefix_redirect", "replace_prefix"], "`prefix: @/new@`";
        "regex" = ["regex_rewrite", "redirect_regex"], "";
        "" = ["to", "url", "location", "target", "destination", "uri"],
            "write its parts: `{ scheme: https, host: www.example.com, path: /new }`";
        "" = ["strip_query", "drop_query"], "the query of the request stays";
    }
    "a respond": {
        "status" = ["code", "status_code", "statuscode", "http_status"], "`status: @404@`";
        "body" = ["content", "text", "message", "response_body", "inline_string", "data", "string", "html", "payload", "json"],
            "`body: @gone@`";
        "content_type" = ["type", "mime", "mime_type", "media_type", "default_type"], "";
        "" = ["headers", "header", "add_header"], "headers stand beside it: `response_headers: { set: { retry-after: \"60\" } }`";
        "" = ["file", "filename", "body_file", "root"], "write the text as `body`; files are not served";
    }
    "a rewrite": {
        "prefix" = [
            "strip_prefix", "prefix_rewrite", "replace_prefix_match", "replace_prefix", "add_prefix", "strip", "strip_path",
            "strip_path_prefix", "remove_prefix",
        ], "`prefix: /`, which takes the prefix off, or `prefix: /v2`, which takes its place";
        "path" = ["uri", "url", "target", "replacement", "replace_full_path", "full_path", "to", "replace_path", "set_path"],
            "`path: /new`";
        "regex" = ["regex_rewrite", "pattern", "substitution", "path_regexp", "from", "replace_path_regex", "regexp"],
            "`regex: [\"^/v1/\", /v2/]`";
        "host" = ["hostname", "host_rewrite", "host_rewrite_literal", "authority"], "";
        "" = ["headers", "header", "set"], "headers stand beside it: `request_headers: { set: { x-gateway: waypost } }`";
    }
    "header edits": {
        "set" = ["replace", "override", "overwrite", "update"], "`set: { x-gateway: waypost }`";
        "add" = ["append", "append_if_exists", "insert"], "`add: { via: waypost }`";
        "remove" = ["delete", "hide", "unset", "drop", "strip"], "`remove: [x-internal]`";
        "" = ["rename"], "a header is not renamed; `set` writes it under a new name with a fixed value, `remove` takes the old one off";
    }
    "a `sticky`": {
        "cookie" = ["cookie_name", "name", "http_cookie", "affinity_key_name"], "`cookie: side`";
        "client_ip" = ["ip", "source_ip", "client", "ip_hash", "src", "connection_properties", "consumer"], "`client_ip: true`";
        "header" = ["hash_on_header", "header_name", "hash_header", "http_header"], "`header: x-user-id`";
    }
    "an error page": {
        "status" = [
            "code", "codes", "statuses", "status_code", "status_codes", "match", "error_codes", "error_code", "filter",
            "status_code_filter",
        ], "`status: [502, 503]`, or `status: 5xx`";
        "body" = ["text", "content", "respond", "message", "text_format", "html", "json_format", "inline_string", "lf_string"],
            "`body: \"we are back at noon\"`";
        "file" = [
            "path", "page", "filename", "root", "errorfile", "template", "document", "uri", "url", "rewrite", "file_server",
            "errorfiles", "lf_file",
        ], "`file: sorry.html`, the path of a file on this machine";
        "content_type" = ["type", "mime_type", "media_type", "content_type_header"], "`content_type: text/html`";
        "as" = ["response_code", "status_rewrites", "rewrite_status", "override_status", "replace_status", "http_status"],
            "`as: 503`, the status that the client gets";
        "from" = ["source", "origin", "intercept", "proxy_intercept_errors"], "`from: service`";
        "headers" = ["header", "response_headers", "headers_to_add", "hdr", "add_header"], "`headers: { cache-control: no-store }`";
        "" = ["service", "query", "backend", "upstream", "to", "redirect"],
            "a page is a text or a file, not a request to another service: `file: sorry.html`";
    }
    "a `set_cookie`": {
        "http_only" = ["httponly", "script"], "";
        "same_site" = ["samesite"], "`same_site: lax`";
        "path" = ["paths", "cookie_path"], "`path: { /: /shop }`";
        "domain" = ["domains", "cookie_domain", "host"], "`domain: { orders.internal: example.com }`";
        "" = ["flags", "attributes"], "each flag is a key: `secure: true`, `http_only: true`, `same_site: lax`";
        "" = ["name", "value", "max_age", "expires", "cookie", "values"],
            "cookies of services keep their names, values and times; `response_headers: { add: { set-cookie: … } }` sets one";
    }
    "a `force`": {
        "values" = ["value", "always", "arms", "services"], "`values: { always: orders-v2 }`";
    }
    "a `mirror`": {
        "to" = ["service", "backend_ref", "cluster", "backend", "upstream", "host", "target", "mirrors", "url"], "`to: @orders-next@`";
        "percent" = ["percentage", "runtime_fraction", "sample_ratio", "weight", "share"], "";
    }
    "the admin address": {
        "bind" = ["listen", "address", "addr", "port", "socket_address", "path"], "`bind: 127.0.0.1:9900`";
        "token_file" = ["token", "tokens", "auth", "password", "basic_auth", "api_key", "users"],
            "`token_file: /etc/waypost/tokens`, so that no secret stands in the config";
    }
    "the resolver": {
        "nameservers" = ["nameserver", "servers", "addresses", "server", "resolvers"], "";
    }
    "a test": {
        "request" = ["url", "uri", "path", "method", "get"], "`request: GET http://api.example.com/orders/7`";
        "expect" = ["expected", "assert", "then", "want", "response"], "`expect: { route: orders }`";
    }
    "an expectation": {
        "status" = ["code", "status_code"], "";
        "service" = ["to", "upstream", "backend", "cluster"], "";
        "location" = ["redirect", "url"], "";
    }
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;
    use crate::keys::{KeyTable, Read};

    #[test]
    fn words_are_compared_in_snake_case() {
        for (word, expected) in [
            ("pathPrefix", "path_prefix"),
            ("PathPrefix", "path_prefix"),
            ("path-prefix", "path_prefix"),
            ("requestHeadersToAdd", "request_headers_to_add"),
            ("URL", "url"),
            ("http_request set-header", "http_request_set_header"),
            ("ocspHTTP2", "ocsp_http2"),
        ] {
            assert_eq!(snake_case(word), expected);
        }
    }

    fn tables(table: &'static KeyTable, found: &mut Vec<&'static KeyTable>) {
        if found.iter().any(|known| known.words == table.words) {
            return;
        }
        found.push(table);
        for key in table.keys {
            if let Some(inner) = (key.table)() {
                tables(inner, found);
            }
        }
    }

    #[test]
    fn words_are_those_of_mappings_that_exist_and_are_not_keys_themselves() {
        let mut all = Vec::new();
        tables(Document::table().expect("the root has keys"), &mut all);
        let mut count = 0;
        for mapping in all_mappings() {
            let table = all.iter().find(|table| table.words == mapping.of);
            assert!(table.is_some(), "there is no mapping {}", mapping.of);
            for words in mapping.words {
                assert!(
                    words.key.is_empty() || !words.hint.contains("did you mean"),
                    "{}",
                    words.key
                );
                for word in words.words {
                    assert_eq!(snake_case(word), *word, "in {}", mapping.of);
                    assert!(
                        words.key != *word,
                        "`{word}` in {} is no foreign word",
                        mapping.of
                    );
                    count += 1;
                }
            }
        }
        assert!(count > 500, "{count}");
    }
}
