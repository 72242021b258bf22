//! Proves the dependencies that `ARCHITECTURE.md` rules out, direct and transitive.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::command;

/// Forbidden dependencies per crate. A name that ends in `*` is a prefix.
const ABSENCES: [(&str, &[&str]); 15] = [
    (
        "waypost-route",
        &["tokio", "serde", "rand", "fastrand", "waypost-*"],
    ),
    (
        "waypost-rollout",
        &["tokio", "serde", "socket2", "rand", "fastrand", "waypost-*"],
    ),
    ("waypost-wire", &["tokio", "serde", "waypost-*"]),
    (
        "waypost-plan",
        &[
            "tokio",
            "socket2",
            "granit-parser",
            "yaml-*",
            "waypost-config",
            "waypost-proxy",
        ],
    ),
    ("waypost-config", &["tokio", "socket2", "notify", "waypost-proxy"]),
    (
        "waypost-transport",
        &[
            "waypost-route",
            "waypost-plan",
            "waypost-policy",
            "waypost-tls",
            "waypost-upstream",
        ],
    ),
    (
        "waypost-auth",
        &[
            "tokio",
            "socket2",
            "rand",
            "fastrand",
            "waypost-config",
            "waypost-policy",
        ],
    ),
    // jiff comes with the plan: the time zones of windows.
    (
        "waypost-policy",
        &[
            "tokio",
            "h2",
            "socket2",
            "fastrand",
            "waypost-config",
            "waypost-transport",
            "waypost-upstream",
        ],
    ),
    (
        "waypost-upstream",
        &[
            "fastrand",
            "serde_json",
            "waypost-config",
            "waypost-policy",
            "waypost-proxy",
        ],
    ),
    (
        "waypost-proxy",
        &[
            "granit-parser",
            "yaml-*",
            "axum",
            "waypost-config",
            "waypost-admin",
        ],
    ),
    ("waypost-tls", &["tokio", "socket2", "waypost-*"]),
    (
        "waypost-acme",
        &[
            "rand",
            "fastrand",
            "hyper-rustls",
            "waypost-admin",
            "waypost-auth",
            "waypost-config",
            "waypost-etcd",
            "waypost-fleet",
            "waypost-p*",
            "waypost-r*",
            "waypost-transport",
            "waypost-upstream",
            "waypost-wire",
        ],
    ),
    (
        "waypost-fleet",
        &["tokio", "socket2", "rand", "fastrand", "waypost-*"],
    ),
    (
        "waypost-etcd",
        &[
            "axum",
            "serde",
            "tonic-*",
            "tower",
            "waypost-admin",
            "waypost-auth",
            "waypost-config",
            "waypost-p*",
            "waypost-r*",
            "waypost-transport",
            "waypost-upstream",
            "waypost-wire",
        ],
    ),
    ("waypost-admin", &["granit-parser", "yaml-*", "waypost-config"]),
];

/// Dependencies forbidden everywhere: other TLS and C libraries, unmaintained crates, a second runtime.
const NOWHERE: [&str; 6] = [
    "ring",
    "openssl-sys",
    "native-tls",
    "serde_yaml",
    "rustls-pemfile",
    "async-std",
];

/// Crates allowed in several versions, with reasons.
const TWICE: [(&str, &str); 5] = [
    (
        "base64",
        "the `pem` of instant-acme has the newer one; a table and its loops, without dependencies",
    ),
    (
        "pem",
        "instant-acme asks rcgen for it, and jsonwebtoken has the older one; three hundred lines that nothing here calls",
    ),
    (
        "syn",
        "the macros of x509-parser are on version 2; they run when the binary is built, and are not in it",
    ),
    (
        "synstructure",
        "the macros of x509-parser are on the version for `syn` 2, and do not run in the binary either",
    ),
    (
        "untrusted",
        "jsonwebtoken asks aws-lc-rs for its whole interface, which has the older one; a hundred lines without dependencies",
    ),
];

/// The dependencies that break a rule.
pub(super) fn problems() -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for (crate_name, absent) in ABSENCES {
        problems.extend(known_though_absent(crate_name, &tree(crate_name)?, absent));
    }
    let binary = tree("waypost")?;
    problems.extend(known_though_absent("waypost", &binary, &NOWHERE));
    problems.extend(twice(&binary, &TWICE));
    Ok(problems)
}

/// Dependencies of `crate_name` with its own features.
fn tree(crate_name: &str) -> Result<Vec<Package>> {
    let text = command::output(&mut command::cargo([
        "tree",
        "--package",
        crate_name,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))?;
    Ok(packages(&text))
}

#[derive(Debug, PartialEq, Eq)]
struct Package {
    name: String,
    version: String,
}

/// Lines of `cargo tree`: `name v1.2.3`, optionally with more.
fn packages(tree: &str) -> Vec<Package> {
    tree.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some(Package {
                name: words.next()?.to_owned(),
                version: words.next()?.to_owned(),
            })
        })
        .collect()
}

fn known_though_absent(crate_name: &str, tree: &[Package], absent: &[&str]) -> Vec<String> {
    let is_absent = |name: &str| {
        absent.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *pattern,
        })
    };
    let known: BTreeSet<&str> = tree
        .iter()
        .map(|package| &*package.name)
        .filter(|name| *name != crate_name && is_absent(name))
        .collect();
    known
        .iter()
        .map(|name| format!("`{crate_name}` must not depend on `{name}`; see `cargo tree -p {crate_name} -e normal -i {name}`"))
        .collect()
}

fn twice(tree: &[Package], allowed: &[(&str, &str)]) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in tree {
        versions
            .entry(&package.name)
            .or_default()
            .insert(&package.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    let is_allowed = |name: &str| allowed.iter().any(|(allowed, _)| *allowed == name);
    let refused = versions
        .iter()
        .filter(|(name, _)| !is_allowed(name))
        .map(|(name, versions)| {
            let versions: Vec<&str> = versions.iter().copied().collect();
            format!("`{name}` is there in several versions: {}", versions.join(", "))
        });
    let needless = allowed
        .iter()
        .filter(|(name, _)| !versions.contains_key(name))
        .map(|(name, _)| format!("`{name}` may be there twice, but is not: take the exception out"));
    refused.chain(needless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "\
a v0.1.0 (/some/where)
serde v1.0.1
serde_derive v1.0.1 (proc-macro)
syn v2.0.0
syn v1.0.0
syn v2.0.0 (*)
";

    fn check_absent(absent: &[&str], expected: &[&str]) {
        let found = known_though_absent("a", &packages(TREE), absent);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (problem, name) in found.iter().zip(expected) {
            assert!(problem.contains(&format!("depend on `{name}`")), "{problem}");
        }
    }

    #[test]
    fn what_is_there_is_found_by_its_whole_name_or_its_beginning() {
        check_absent(&["serde"], &["serde"]);
        check_absent(&["serde*"], &["serde", "serde_derive"]);
        check_absent(&["ser", "tokio"], &[]);
        // A crate may depend on itself.
        check_absent(&["a", "a*"], &[]);
    }

    #[test]
    fn several_versions_are_refused_unless_there_is_a_reason() {
        let tree = packages(TREE);
        assert_eq!(
            twice(&tree, &[]),
            ["`syn` is there in several versions: v1.0.0, v2.0.0"]
        );
        assert_eq!(twice(&tree, &[("syn", "old macros")]), [""; 0]);
        assert_eq!(
            twice(&tree, &[("syn", "old macros"), ("serde", "none")]),
            ["`serde` may be there twice, but is not: take the exception out"]
        );
    }
}
