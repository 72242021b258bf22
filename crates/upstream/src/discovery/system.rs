//! The system's configuration of names: `/etc/hosts` and `/etc/resolv.conf`.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf;

/// The names that are known without a server.
const HOSTS: &str = "/etc/hosts";
/// The servers, and the domains to search.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The configuration of names.
#[derive(Debug, Clone)]
pub(super) struct NameConfig {
    /// Addresses by name, in lower case and without a trailing dot.
    pub(super) hosts: HashMap<String, Vec<IpAddr>>,
    /// Servers in the order in which they are asked.
    pub(super) servers: Vec<SocketAddr>,
    /// Domains that are appended to names.
    pub(super) search: Vec<Name>,
    /// Number of dots from which on a name is first looked up as it is.
    pub(super) ndots: usize,
    /// Rounds over all servers.
    pub(super) attempts: usize,
    /// True to use EDNS, which allows for larger answers over UDP.
    pub(super) edns: bool,
}

/// Marks of the files, which change with their contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp([Option<(u64, u64, i64, i64)>; 2]);

impl Stamp {
    /// The marks of the files as they are now.
    pub(super) fn now() -> Self {
        Self([HOSTS, RESOLV_CONF].map(|path| {
            let found = fs::metadata(path).ok()?;
            Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
        }))
    }
}

impl NameConfig {
    /// Reads the system's configuration. A file that cannot be read is as an empty one.
    pub(super) fn of_system() -> Self {
        let read = |path: &str| fs::read(Path::new(path)).unwrap_or_default();
        Self::parse(&String::from_utf8_lossy(&read(HOSTS)), &read(RESOLV_CONF))
    }

    fn parse(hosts: &str, resolv_conf: &[u8]) -> Self {
        let mut config = Self {
            hosts: parse_hosts(hosts),
            // As the C library has it without a configuration.
            servers: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 53))],
            search: Vec::new(),
            ndots: 1,
            attempts: 2,
            edns: false,
        };
        // Without a server in it, the options cannot be had.
        let Ok((found, options)) = system_conf::parse_resolv_conf(resolv_conf) else {
            return config;
        };
        config.servers = found
            .name_servers()
            .iter()
            .map(|server| SocketAddr::new(server.ip, 53))
            .collect();
        config.search = found.search().to_vec();
        if config.search.is_empty() {
            config.search.extend(found.domain().cloned());
        }
        config.ndots = options.ndots;
        config.attempts = options.attempts.clamp(1, 5);
        config.edns = options.edns0;
        config
    }

    /// The names to ask for in turn, for a name as configured: as it is first if it has enough dots, and last otherwise. A
    /// name that ends in a dot is meant as it is. Empty if it is no name.
    pub(super) fn candidates(&self, name: &str) -> Vec<Name> {
        let Ok(plain) = Name::from_ascii(name) else {
            return Vec::new();
        };
        if name.ends_with('.') {
            return vec![plain];
        }
        let mut absolute = plain.clone();
        absolute.set_fqdn(true);
        let searched = self.search.iter().filter_map(|domain| {
            let mut name = plain.clone().append_domain(domain).ok()?;
            name.set_fqdn(true);
            Some(name)
        });
        let is_first = name.bytes().filter(|byte| *byte == b'.').count() >= self.ndots;
        let mut candidates: Vec<Name> = Vec::new();
        if is_first {
            candidates.push(absolute.clone());
        }
        for name in searched.chain([absolute]) {
            if !candidates.contains(&name) {
                candidates.push(name);
            }
        }
        candidates
    }

    /// The addresses of a name in `/etc/hosts`; empty if it is not there.
    pub(super) fn known(&self, name: &str) -> &[IpAddr] {
        let name = name.strip_suffix('.').unwrap_or(name);
        let found = match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => self.hosts.get(&name.to_ascii_lowercase()),
            false => self.hosts.get(name),
        };
        found.map_or(&[], |addresses| &**addresses)
    }
}

/// Parses lines of an address and its names.
fn parse_hosts(text: &str) -> HashMap<String, Vec<IpAddr>> {
    let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else {
            continue;
        };
        for name in words {
            let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            let addresses = hosts.entry(name).or_default();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(resolv_conf: &str, name: &str, expected: &[&str]) {
        let config = NameConfig::parse("", resolv_conf.as_bytes());
        let found: Vec<String> = config.candidates(name).iter().map(Name::to_ascii).collect();
        assert_eq!(found, expected, "{resolv_conf} {name}");
    }

    #[test]
    fn domains_are_searched_as_the_c_library_does() {
        let conf = "nameserver 10.0.0.1\nsearch a.test b.test\n";
        check(conf, "orders", &["orders.a.test.", "orders.b.test.", "orders."]);
        check(
            conf,
            "orders.x",
            &["orders.x.", "orders.x.a.test.", "orders.x.b.test."],
        );
        check(conf, "orders.", &["orders."]);
        check(conf, "orders.x.", &["orders.x."]);
        let conf = "search ns.svc.cluster.local svc.cluster.local\nnameserver 10.0.0.1\noptions ndots:5\n";
        check(
            conf,
            "orders.ns",
            &[
                "orders.ns.ns.svc.cluster.local.",
                "orders.ns.svc.cluster.local.",
                "orders.ns.",
            ],
        );
        check(
            conf,
            "_http._tcp.a.b.c.d",
            &[
                "_http._tcp.a.b.c.d.",
                "_http._tcp.a.b.c.d.ns.svc.cluster.local.",
                "_http._tcp.a.b.c.d.svc.cluster.local.",
            ],
        );
        check(
            "nameserver 10.0.0.1\ndomain a.test\n",
            "orders",
            &["orders.a.test.", "orders."],
        );
        check("nameserver 10.0.0.1\n", "orders.x", &["orders.x."]);
        check("nameserver 10.0.0.1\n", &"x".repeat(64), &[]);
    }

    #[test]
    fn servers_are_asked_in_their_order() {
        let servers = |conf: &str| NameConfig::parse("", conf.as_bytes()).servers;
        let shown = |conf| {
            servers(conf)
                .iter()
                .map(SocketAddr::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            shown("nameserver 10.0.0.2\nnameserver 10.0.0.1\nnameserver ::1\n"),
            ["10.0.0.2:53", "10.0.0.1:53", "[::1]:53"]
        );
        assert_eq!(shown(""), ["127.0.0.1:53"]);
        let config = NameConfig::parse("", b"nameserver 10.0.0.1\noptions attempts:9 edns0\n");
        assert_eq!((config.attempts, config.edns), (5, true));
    }

    #[test]
    fn hosts_are_known_without_a_server() {
        let hosts = "127.0.0.1 localhost A.test. # b.test\n::1\tlocalhost\n#1.2.3.4 c.test\nx d.test\n";
        let config = NameConfig::parse(hosts, b"");
        let known = |name| {
            config
                .known(name)
                .iter()
                .map(IpAddr::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(known("LocalHost."), ["127.0.0.1", "::1"]);
        assert_eq!(known("a.test"), ["127.0.0.1"]);
        for unknown in ["b.test", "c.test", "d.test", "1.2.3.4", ""] {
            assert_eq!(known(unknown), [""; 0], "{unknown}");
        }
    }
}
