//! Words of other gateways for keys of this language.

/// Keys of this language, each with the words of other gateways for it.
const FOREIGN: &[(&str, &[&str])] = &[
    (
        "to",
        &[
            "service",
            "upstream",
            "backend",
            "cluster",
            "proxy_pass",
            "use_backend",
            "target",
            "destination",
        ],
    ),
    (
        "retry",
        &["retries", "retry_policy", "retry_on", "proxy_next_upstream"],
    ),
    ("respond", &["return", "direct_response"]),
    ("bind", &["listen", "address", "socket_address"]),
    (
        "endpoints",
        &[
            "url", "urls", "server", "servers", "targets", "backends", "address", "hosts",
        ],
    ),
    ("hosts", &["server_name", "server_names", "domains"]),
    (
        "host",
        &[
            "hostname",
            "hostnames",
            "domain",
            "domains",
            "authority",
            "server_name",
        ],
    ),
    ("path", &["uri", "url", "location", "path_prefix"]),
    ("client_ip", &["source_ip", "remote_addr", "src"]),
    ("listeners", &["entrypoints", "entry_points", "frontends"]),
    ("services", &["upstreams", "backends", "clusters"]),
    ("routes", &["rules", "locations", "routers"]),
    ("resolver", &["resolvers", "dns", "dns_resolvers"]),
    ("nameservers", &["nameserver", "servers", "addresses"]),
];

/// The key among `keys` for which `word` is a word of another gateway.
pub(crate) fn key(word: &str, mut keys: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    keys.find(|key| {
        FOREIGN
            .iter()
            .any(|(own, words)| own == key && words.contains(&word))
    })
}
