//! `examples/*.yaml` and `examples/teams`: each has no diagnostics, passes its own tests, and behaves like them when it runs.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use waypost_config::{Kind, Source};
use waypost_plan::Plan;
use waypost_plan::test_case::{ExpectedArms, TestCase};

use crate::support::client::{Client, request, written};
use crate::support::command::{Output, output, repository};
use crate::support::gateway::Gateway;
use crate::support::message::Message;
use crate::support::service::Service;
use crate::support::tls::{Authority, Trusting};

fn examples() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(repository().join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    // The files of a directory are one config.
    files.push(repository().join("examples/teams"));
    files.sort();
    assert!(files.len() >= 16, "{files:?}");
    files
}

/// The texts of a config: a file, or the files of a directory.
fn sources(path: &Path) -> (Vec<Source>, Kind) {
    let read = |path: &Path| Source {
        name: path.display().to_string(),
        text: std::fs::read(path).unwrap().into(),
    };
    if !path.is_dir() {
        return (vec![read(path)], Kind::File);
    }
    let files = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    (files.map(|file| read(&file)).collect(), Kind::Directory)
}

/// Runs `waypost` at the root of the repository, with certificates for the examples.
fn waypost(arguments: &[&str]) -> Output {
    let (_, certificates) = certificates();
    output(
        Command::new(env!("CARGO_BIN_EXE_waypost"))
            .args(arguments)
            .env("CERTIFICATES", certificates.path())
            .current_dir(repository()),
    )
}

#[test]
fn examples_pass_check_and_test() {
    for file in examples() {
        let file = file.to_str().unwrap();
        let checked = waypost(&["check", file, "--format", "json"]).expect(0).json();
        assert_eq!(checked["diagnostics"], serde_json::json!([]), "{file}");
        let tested = waypost(&["test", file, "--format", "json"]).expect(0).json();
        assert_eq!(tested["failed"], 0, "{file}");
        assert_ne!(tested["passed"], 0, "{file}");
        assert_eq!(tested["unasserted_routes"], serde_json::json!([]), "{file}");
    }
}

#[test]
fn running_examples_match_their_tests() {
    for file in examples() {
        check_served(&file);
    }
}

fn check_served(file: &Path) {
    let (sources, kind) = sources(file);
    let texts: Vec<&str> = sources
        .iter()
        .map(|source| std::str::from_utf8(&source.text).unwrap())
        .collect();
    let text = texts.join("\n");
    let mut services: BTreeMap<String, Service> = BTreeMap::new();
    let (authority, certificates) = certificates();
    let mut environment: Vec<(String, String)> = Vec::new();
    for name in variables(&text) {
        if environment.iter().any(|(known, _)| *known == name) {
            continue;
        }
        if name.starts_with("LISTEN") || name == "ADMIN" {
            environment.push((name, "127.0.0.1:0".to_owned()));
        } else if name == "CERTIFICATES" {
            environment.push((name, certificates.path().display().to_string()));
        } else if name == "STATE" {
            environment.push((name, "state".to_owned()));
        } else {
            let service = Service::echo(&name);
            let address = service.address();
            // No authority: nothing is issued.
            let value = match &*name {
                "DIRECTORY" => format!("https://{address}/directory"),
                _ => address.to_string(),
            };
            environment.push((name.clone(), value));
            services.insert(name, service);
        }
    }
    let value = |name: &str| {
        environment
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    };
    let plan = waypost_config::load(&sources, kind, &value).unwrap().plan;
    let directory = tempfile::tempdir().unwrap();
    let gateway = Gateway::run(directory, file.to_owned(), &environment);

    let mut asked = 0;
    for test in plan.tests() {
        // The test connects from localhost only.
        if test
            .client_ip
            .is_some_and(|client| client != IpAddr::from(Ipv4Addr::LOCALHOST))
        {
            continue;
        }
        let headers: Vec<(String, String)> = test
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        let listener = test.listener.as_deref().map_or(0, |wanted| {
            let position = plan.listeners().iter().position(|listener| {
                listener.name.as_deref() == Some(wanted) || *listener.bind.text == *wanted
            });
            position.expect("a listener of that name")
        });
        // The echo services speak HTTP/1 only.
        if forwards_to_http2(&plan, test) {
            continue;
        }
        let address = gateway.addresses()[listener];
        let request = written(&test.method, &test.url.replace("https://", "http://"), &headers);
        let response = if plan.listeners()[listener].terminates_tls() {
            let trusting = Trusting::new(&authority);
            // One that is still to be issued is self-signed.
            let trusting = match plan.acme().next() {
                Some(_) => trusting.without_verifying(),
                None => trusting,
            };
            let mut client = trusting.connect(address, server_name(&test.url));
            client.ask(request)
        } else {
            Client::connect(address).ask(request)
        };
        check_response(file, test, &response);
        asked += 1;
    }
    assert!(asked > 0, "{} is not asked anything", file.display());
}

#[test]
fn maintenance_has_pages_for_visitors_and_for_programs() {
    let down = Service::refusing();
    let environment = [
        ("LISTEN", "127.0.0.1:0".to_owned()),
        ("SHOP", down.address().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let file = repository().join("examples/maintenance.yaml");
    let gateway = Gateway::run(tempfile::tempdir().unwrap(), file, &environment);
    for fields in ["", "Cookie: staff=let-me-in\r\n"] {
        for (path, content_type, text) in [
            (
                "/cart",
                "text/html; charset=utf-8",
                "<h1>We are back in ten minutes</h1>",
            ),
            ("/api/orders", "application/json", "\"error\":\"maintenance\""),
        ] {
            let response = gateway.ask(request("GET", &format!("http://shop.example{path}"), fields));
            assert_eq!(response.status(), 503, "{path}");
            assert_eq!(response.values("content-type"), [content_type], "{path}");
            assert_eq!(response.values("retry-after"), ["600"], "{path}");
            assert!(response.text().contains(text), "{}", response.text());
        }
    }
    let program = gateway.get("http://shop.example/api/orders").json();
    assert_eq!(program["request"].as_str().unwrap().len(), 36, "{program}");
}

/// The host of a URL, or `localhost` where the certificates are for none such.
fn server_name(url: &str) -> &str {
    let host = url
        .strip_prefix("https://")
        .and_then(|rest| rest.split(['/', ':']).next());
    host.filter(|host| HOSTS.contains(host)).unwrap_or(HOSTS[0])
}

/// The hosts that the examples have certificates for.
const HOSTS: [&str; 3] = ["localhost", "shop.example", "blog.example"];

/// A directory with certificates for the hosts of the examples, and their issuer.
fn certificates() -> (Authority, TempDir) {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    for host in HOSTS {
        let pair = authority.issue(&[host]);
        std::fs::write(directory.path().join(format!("{host}.crt")), pair.cert).unwrap();
        std::fs::write(directory.path().join(format!("{host}.key")), pair.key).unwrap();
    }
    (authority, directory)
}

fn forwards_to_http2(plan: &Plan, test: &TestCase) -> bool {
    let service = test.expect.service.as_deref();
    let mut services = plan.services().iter();
    services.any(|known| Some(&*known.name) == service && known.http2)
}

fn check_response(file: &Path, test: &TestCase, response: &Message) {
    let context = format!("{}: {} {}", file.display(), test.method, test.url);
    let expect = &test.expect;
    assert_eq!(response.status(), expect.status.unwrap_or(200), "{context}");
    if let Some(location) = &expect.location {
        assert_eq!(response.header("location"), Some(&**location), "{context}");
    }
    // A test names the status of the gateway's own responses, which are no echo.
    if response.status() != 200 || expect.status.is_some() {
        return;
    }
    let echoed = response.json();
    if let Some(path) = &expect.path {
        let target = echoed["target"].as_str().unwrap();
        assert_eq!(target.split('?').next(), Some(&**path), "{context}");
    }
    let wanted: Vec<&str> = match (&expect.service, &expect.arms) {
        (Some(service), _) => vec![service],
        (None, Some(ExpectedArms::Named(names))) => names.iter().map(|name| &**name).collect(),
        (None, Some(ExpectedArms::Weighted(arms))) => arms.iter().map(|(name, _)| &**name).collect(),
        (None, None) => return,
    };
    // Each echo service is named after the variable of its address: `ORDERS`, `CHECKOUT_V1_B`.
    let variable = echoed["service"].as_str().unwrap();
    let reached = |service: &&str| variable.starts_with(&service.replace('-', "_").to_uppercase());
    assert!(
        wanted.iter().any(reached),
        "{context} reached {variable}, not {wanted:?}"
    );
}

#[test]
fn dashboard_and_alerts_ask_for_metrics_that_exist() {
    let read = |path: &str| std::fs::read_to_string(repository().join(path)).unwrap();
    let documented = read("docs/metrics.md");
    let asking = ["grafana-dashboard.json", "alerts.yml", "alerts_test.yml"];
    let asking = asking
        .map(|name| read(&format!("examples/monitoring/{name}")))
        .concat();
    let names = asking
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| word.starts_with("waypost_"));
    let mut count = 0;
    for name in names {
        let name = name.strip_suffix("_bucket").unwrap_or(name);
        assert!(documented.contains(&format!("`{name}`")), "{name}");
        count += 1;
    }
    assert!(count >= 60, "{count} metrics");
}

/// Names of the variables in a config, without comments.
fn variables(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines
        .flat_map(|line| line.split("${").skip(1))
        .map(|rest| rest.split([':', '}']).next().unwrap_or_default().to_owned())
        .collect()
}
