//! `waypost demo`: traffic and rollouts to watch. In the rollouts, the test clock stands still but for the seconds that a test lets pass.

use std::process::Command;

use crate::support::client::{Client, get, request};
use crate::support::command::{Output, output};
use crate::support::demo::Demo;

/// Requests of a burst, beside the demo's own.
const BURST: usize = 60;
/// Seconds after which a rollout of the demo is over.
const SECONDS_MAX: usize = 300;

/// Runs a command that the demo shows.
fn run(line: &str, demo: &Demo) -> Output {
    let mut words = line.split_whitespace();
    assert_eq!(words.next(), Some("waypost"), "{line}");
    output(
        Command::new(env!("CARGO_BIN_EXE_waypost"))
            .args(words)
            .env("WAYPOST_ADMIN", format!("http://{}", demo.admin)),
    )
    .expect(0)
}

/// Lets seconds pass until the log has a line with this part; returns it.
fn pass_until(demo: &Demo, part: &str) -> String {
    let mut client = Client::connect(demo.gateway.parse().unwrap());
    let mut admin = Client::connect(demo.admin.parse().unwrap());
    for _ in 0..SECONDS_MAX {
        client.send(get(&format!("http://{}/users/7", demo.gateway)).repeat(BURST));
        for _ in 0..BURST {
            client.response();
        }
        let clock = format!("http://{}/api/v1/clock?seconds=1", demo.admin);
        let passed = admin.ask(request("POST", &clock, "Content-Length: 0\r\n"));
        assert_eq!(passed.status(), 200, "{}", passed.text());
        if let Some(line) = demo.told.all().into_iter().find(|line| line.contains(part)) {
            return line;
        }
    }
    panic!("no `{part}` in {:?}", demo.told.all());
}

#[test]
fn good_version_of_the_demo_goes_all_the_way() {
    let demo = Demo::start(&["--rollout", "good"], &[("WAYPOST_TEST_CLOCK", "1")]);
    let commands = demo.commands();
    assert_eq!(commands.len(), 3, "{commands:?}");
    for command in &commands {
        assert_ne!(run(command, &demo).stdout, "", "{command}");
    }
    pass_until(&demo, "rollout of `users-v2` on the route `users`: step, 25 %: ");
    pass_until(
        &demo,
        "rollout of `users-v2` on the route `users`: finished, 100 %: ",
    );
    let status = run(&commands[0], &demo).stdout;
    assert!(
        status.contains("users-v2 against users-v1") && status.contains("finished"),
        "{status}"
    );
}

#[test]
fn bad_version_of_the_demo_is_rolled_back() {
    let demo = Demo::start(&["--rollout", "bad"], &[("WAYPOST_TEST_CLOCK", "1")]);
    let commands = demo.commands();
    let line = pass_until(
        &demo,
        "rollout of `users-v2` on the route `users`: rolled back, 0 %: ",
    );
    assert!(
        line.contains("users-v2 failed ") && line.contains("Luck alone"),
        "{line}"
    );
    let status = run(&commands[0], &demo).stdout;
    assert!(
        status.contains("rolled back") && status.contains("  failures   users-v2 "),
        "{status}"
    );
    let history = run(&commands[1], &demo).stdout;
    assert!(
        history.lines().nth(1).unwrap().contains("rolled back"),
        "{history}"
    );
}

#[test]
fn demo_brings_its_own_traffic() {
    let demo = Demo::start(&["--rollout", "good"], &[]);
    demo.commands();
    demo.told
        .wait_for("of the first step", |line| line.contains("step, 5 %: "));
    crate::support::wait_for("requests", || {
        let stats = run("waypost stats users --format json", &demo).json();
        let arms = stats["routes"][0]["arms"].as_array().cloned().unwrap_or_default();
        let is_used = |arm: &serde_json::Value| arm["requests"].as_u64().unwrap_or(0) > 0;
        (arms.len() == 2 && arms.iter().all(is_used)).then_some(())
    });
}

#[test]
fn demo_begins_with_the_address_of_the_dashboard() {
    for arguments in [&[][..], &["--traffic"], &["--rollout", "good"]] {
        let demo = Demo::start(arguments, &[]);
        demo.commands();
        let first = demo.said.all().into_iter().next();
        assert_eq!(
            first,
            Some(format!("Dashboard: http://{}/", demo.admin)),
            "{arguments:?}"
        );
    }
}

#[test]
fn traffic_of_the_demo_shows_a_version_that_fails() {
    let demo = Demo::start(&["--traffic"], &[]);
    let commands = demo.commands();
    assert!(commands.len() >= 5, "{commands:?}");
    let failing = crate::support::wait_for("a failing side", || {
        let stats = run("waypost stats --format json", &demo).json();
        let routes = stats["routes"].as_array().cloned().unwrap_or_default();
        let has = |name: &str| routes.iter().find(|route| route["route"] == name).cloned();
        let all = ["orders", "users", "users-v2-opt-in", "old-shop"];
        let users = all
            .into_iter()
            .all(|name| has(name).is_some())
            .then(|| has("users"));
        let arms = users??["arms"].clone();
        (arms[1]["errors"].as_u64()? > 0).then_some(arms)
    });
    assert_eq!(
        (&failing[0]["errors"], &failing[1]["service"]),
        (&0.into(), &"users-v2".into())
    );
    for command in &commands {
        assert_ne!(run(command, &demo).stdout, "", "{command}");
    }
    // Some requests have no route.
    let metrics = format!("http://{}/metrics", demo.admin);
    crate::support::wait_for("a request without a route", || {
        let mut admin = Client::connect(demo.admin.parse().unwrap());
        admin
            .ask(get(&metrics))
            .text()
            .contains("code=\"404\"")
            .then_some(())
    });
}

#[test]
fn demo_has_one_kind_of_traffic() {
    let both = ["demo", "--traffic", "--rollout", "good"];
    crate::support::command::waypost_in(std::path::Path::new("."), &both).expect(2);
}
