//! `docs/coming-from.md`: every config of ours passes its tests, and `check` has nothing against it.

use std::fs;

use crate::support::command::{repository, waypost_in};

/// Parts that a config of the page leaves out.
const LISTENERS: &str = "listeners: [{ bind: 127.0.0.1:8080 }]\n";
const SERVICES: &str = "services:
  app: { endpoints: [http://127.0.0.1:9001] }
  orders: { endpoints: [http://127.0.0.1:9002] }
  orders-v1: { endpoints: [http://127.0.0.1:9003] }
  orders-v2: { endpoints: [http://127.0.0.1:9004] }
";

/// Files that configs name: the key `key-of-acme`, and a user.
const FILES: [(&str, &str); 2] = [
    (
        "keys",
        "acme sha256:689febd264f8b977e29c0fdb75f839eb248ba07d1561b14f2b95f42756943245 free\n",
    ),
    (
        "users.htpasswd",
        "ann:$2a$04$N9qo8uLOickgx2ZMRZoMye7lwnnKjdKULIb0Soe6BjJXxCPR1R3dC\n",
    ),
];

/// The gateways that a table of the page compares.
const GATEWAYS: [&str; 7] = [
    "nginx",
    "Traefik",
    "Kong",
    "HAProxy",
    "Envoy",
    "HTTPRoute",
    "Spring Cloud Gateway",
];

/// The idioms of the page: title, table, and our config.
fn idioms() -> Vec<(String, String, String)> {
    let page = fs::read_to_string(repository().join("docs/coming-from.md")).unwrap();
    let sections = page.split("\n## ").skip(1);
    let idioms = sections.filter_map(|section| {
        let (title, rest) = section.split_once('\n')?;
        let (table, rest) = rest.split_once("```yaml\n")?;
        let (config, _) = rest.split_once("```")?;
        Some((title.to_owned(), table.to_owned(), config.to_owned()))
    });
    idioms.collect()
}

#[test]
fn every_idiom_is_compared_and_passes_its_tests() {
    let idioms = idioms();
    assert!(idioms.len() >= 30, "{}", idioms.len());
    for (title, table, config) in idioms {
        for gateway in GATEWAYS {
            let row = format!("\n| {gateway} | ");
            assert_eq!(table.matches(&row).count(), 1, "{title}: {gateway}");
        }
        let mut text = config.clone();
        for (key, part) in [("listeners:", LISTENERS), ("services:", SERVICES)] {
            if !config.lines().any(|line| line.starts_with(key)) {
                text.push_str(part);
            }
        }
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("waypost.yaml"), &text).unwrap();
        for (name, file) in FILES {
            fs::write(directory.path().join(name), file).unwrap();
        }
        let tested = waypost_in(directory.path(), &["test", "--format", "json"]);
        assert_eq!(
            tested.code, 0,
            "{title}\n{text}{}{}",
            tested.stdout, tested.stderr
        );
        let tested = tested.json();
        assert_ne!(tested["passed"], 0, "{title}");
        assert_eq!(tested["unasserted_routes"], serde_json::json!([]), "{title}");
        // Certificates are not there, and not every service is used.
        let checked = waypost_in(directory.path(), &["check", "--format", "json"]).json();
        for found in checked["diagnostics"].as_array().unwrap() {
            let code = found["code"].as_str().unwrap();
            assert!(
                matches!(code, "unused-service" | "unreadable-file"),
                "{title}: {found:#}"
            );
        }
    }
}
