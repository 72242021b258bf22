//! `examples/*.yaml`: each is clean, passes its own tests, and answers those tests' requests when it runs.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use waypost_config::{Kind, Source};
use waypost_plan::test_case::{Arms, TestCase};

use crate::support::client::{Client, written};
use crate::support::command::{repository, waypost_in};
use crate::support::gateway::Gateway;
use crate::support::service::Service;

fn examples() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(repository().join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(files.len() >= 8, "{files:?}");
    files
}

#[test]
fn every_example_is_clean_and_passes_its_tests() {
    for file in examples() {
        let file = file.to_str().unwrap();
        let checked = waypost_in(&repository(), &["check", file, "--format", "json"])
            .expect(0)
            .json();
        assert_eq!(checked["diagnostics"], serde_json::json!([]), "{file}");
        let tested = waypost_in(&repository(), &["test", file, "--format", "json"])
            .expect(0)
            .json();
        assert_eq!(tested["failed"], 0, "{file}");
        assert_ne!(tested["passed"], 0, "{file}");
        assert_eq!(tested["unasserted_routes"], serde_json::json!([]), "{file}");
    }
}

#[test]
fn every_example_answers_the_requests_of_its_tests() {
    for file in examples() {
        check_served(&file);
    }
}

fn check_served(file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    let mut services: BTreeMap<String, Service> = BTreeMap::new();
    let mut environment = Vec::new();
    for name in variables(&text) {
        if name.starts_with("LISTEN") || name == "ADMIN" {
            environment.push((name, "127.0.0.1:0".to_owned()));
        } else if name == "STATE" {
            environment.push((name, "state".to_owned()));
        } else {
            let service = Service::echo(&name);
            environment.push((name.clone(), service.address().to_string()));
            services.insert(name, service);
        }
    }
    let source = Source {
        name: file.display().to_string(),
        text: text.into_bytes(),
    };
    let value = |name: &str| {
        environment
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    };
    let plan = waypost_config::load(&[source], Kind::File, &value).unwrap().plan;
    let directory = tempfile::tempdir().unwrap();
    let gateway = Gateway::run(directory, file.to_owned(), &environment);

    let mut asked = 0;
    for test in plan.tests() {
        // Only who is nearby can be played here.
        if test.client_ip != IpAddr::from(Ipv4Addr::LOCALHOST) {
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
        let mut client = Client::connect(gateway.addresses()[listener]);
        client.send(written(&test.method, &test.url, &headers));
        check_answer(file, test, &mut client);
        asked += 1;
    }
    assert!(asked > 0, "{} is not asked anything", file.display());
}

fn check_answer(file: &Path, test: &TestCase, client: &mut Client) {
    let context = format!("{}: {} {}", file.display(), test.method, test.url);
    let answer = client.answer();
    let expect = &test.expect;
    assert_eq!(answer.status(), expect.status.unwrap_or(200), "{context}");
    if let Some(location) = &expect.location {
        assert_eq!(answer.header("location"), Some(&**location), "{context}");
    }
    if answer.status() != 200 {
        return;
    }
    let echoed = answer.json();
    if let Some(path) = &expect.path {
        let target = echoed["target"].as_str().unwrap();
        assert_eq!(target.split('?').next(), Some(&**path), "{context}");
    }
    let wanted: Vec<&str> = match (&expect.service, &expect.arms) {
        (Some(service), _) => vec![service],
        (None, Some(Arms::Named(names))) => names.iter().map(|name| &**name).collect(),
        (None, Some(Arms::Weighted(arms))) => arms.iter().map(|(name, _)| &**name).collect(),
        (None, None) => return,
    };
    // Services are known here by the variables that their addresses come from: `ORDERS`, `CHECKOUT_V1_B`.
    let variable = echoed["service"].as_str().unwrap();
    let reached = |service: &&str| variable.starts_with(&service.replace('-', "_").to_uppercase());
    assert!(
        wanted.iter().any(reached),
        "{context} reached {variable}, not {wanted:?}"
    );
}

/// The variables of a config whose comments are about something else.
fn variables(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines
        .flat_map(|line| line.split("${").skip(1))
        .map(|rest| rest.split([':', '}']).next().unwrap_or_default().to_owned())
        .collect()
}
