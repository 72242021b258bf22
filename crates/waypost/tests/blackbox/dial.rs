//! The dial: live weights beside the config, at once, for every worker, and until the split itself changes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::client::{Client, get};
use crate::support::gateway::{Gateway, services};
use crate::support::service::Service;

const TWO_WORKERS: &str = "listeners: [{ bind: 127.0.0.1:0 }]\nworkers: 2\n";

fn config(v1: &Service, v2: &Service, split: &str) -> String {
    format!(
        "{TWO_WORKERS}{}routes:\n  - {{ name: users, match: {{ path: /users/* }}, to: {split}, sticky: {{ header: x-user }} }}\n  \
         - {{ name: old, match: {{ path: /old }}, respond: {{ status: 410 }} }}\n",
        services([v1, v2])
    )
}

fn canary() -> (Service, Service, Gateway) {
    let (v1, v2) = (Service::echo("v1"), Service::echo("v2"));
    let gateway = Gateway::with(config(&v1, &v2, "{ v1: 95, v2: 5 }"));
    (v1, v2, gateway)
}

/// The live weights of `users`.
fn live(gateway: &Gateway) -> Vec<(String, u64)> {
    let route = gateway.admin_json("/api/v1/routes/users");
    let arms = route["arms"].as_array().unwrap();
    arms.iter()
        .map(|arm| {
            (
                arm["service"].as_str().unwrap().to_owned(),
                arm["live"].as_u64().unwrap(),
            )
        })
        .collect()
}

fn weights(v1: u64, v2: u64) -> Vec<(String, u64)> {
    vec![("v1".to_owned(), v1), ("v2".to_owned(), v2)]
}

fn asked(client: &mut Client) -> String {
    let answer = client.ask(get("http://a/users/7"));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.json()["service"].as_str().unwrap().to_owned()
}

#[test]
fn a_dial_says_what_was_and_what_is() {
    let (_v1, _v2, gateway) = canary();
    let answer = gateway.dial("users", &json!({ "v1": 75, "v2": 25 }));
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.json(),
        json!({
            "name": "users",
            "before": [{ "service": "v1", "weight": 95 }, { "service": "v2", "weight": 5 }],
            "arms": [
                { "service": "v1", "declared": 95, "live": 75 },
                { "service": "v2", "declared": 5, "live": 25 },
            ],
            "by": "local",
        })
    );
    let routes = gateway.admin_json("/api/v1/routes");
    assert_eq!(routes[0]["arms"], answer.json()["arms"]);
    assert_eq!(routes[1]["arms"], json!([]));
    // A service that is not named gets nothing, whatever order the others come in.
    assert_eq!(gateway.dial("users", &json!({ "v2": 1 })).status(), 200);
    assert_eq!(live(&gateway), weights(0, 1));
    let answer = gateway.admin("DELETE", "/api/v1/routes/users/split", "", "");
    assert_eq!((answer.status(), live(&gateway)), (200, weights(95, 5)));
}

#[test]
fn what_cannot_be_dialed_is_refused_and_changes_nothing() {
    let (_v1, _v2, gateway) = canary();
    let json = "Content-Type: application/json\r\n";
    let path = "/api/v1/routes/users/split";
    for (path, fields, body, status) in [
        (path, json, "{\"v1\": 0, \"v2\": 0}", 422),
        (path, json, "{}", 422),
        (path, json, "{\"v3\": 1}", 422),
        (path, json, "{\"v1\": -1, \"v2\": 2}", 422),
        (path, json, "{\"v1\": 1.5}", 422),
        (path, json, "{\"v1\": \"5\"}", 422),
        (path, json, "{\"v1\": 1, \"v1\": 2}", 422),
        (path, json, "[1, 2]", 422),
        (path, json, "{\"v1\": 18446744073709551616}", 422),
        (path, json, "{\"v1\": 1", 400),
        (path, json, "", 400),
        (path, "", "{\"v1\": 1}", 415),
        (path, "Content-Type: text/plain\r\n", "{\"v1\": 1}", 415),
        ("/api/v1/routes/nobody/split", json, "{\"v1\": 1}", 404),
        ("/api/v1/routes/old/split", json, "{\"v1\": 1}", 422),
    ] {
        let answer = gateway.admin("PUT", path, fields, body);
        assert_eq!(answer.status(), status, "{path} {body}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.json()["status"], status);
    }
    assert_eq!(live(&gateway), weights(95, 5));
    let last = gateway.dial("users", &json!({ "v1": u64::MAX, "v2": u64::MAX }));
    assert_eq!(last.status(), 200, "the largest weights are weights");
}

#[test]
fn every_request_that_begins_after_the_answer_is_dialed_and_none_fails() {
    let (_v1, _v2, gateway) = canary();
    let address = gateway.address();
    let stop = AtomicBool::new(false);
    let load = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::connect(address);
                while !stop.load(Ordering::Relaxed) {
                    asked(&mut client);
                    load.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // Connections of both workers, most likely, that were there before the dial.
        let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(address)).collect();
        clients.iter_mut().for_each(|client| drop(asked(client)));
        for turn in 0..40 {
            let (to, weights) = if turn % 2 == 0 {
                ("v2", json!({ "v1": 0, "v2": 100 }))
            } else {
                ("v1", json!({ "v1": 100, "v2": 0 }))
            };
            assert_eq!(gateway.dial("users", &weights).status(), 200);
            for client in &mut clients {
                assert_eq!(asked(client), to, "turn {turn}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(load.load(Ordering::Relaxed) > 0);
}

#[test]
fn a_dial_outlives_a_kill_and_reloads_but_not_another_split() {
    let (v1, v2, gateway) = canary();
    assert_eq!(
        gateway.dial("users", &json!({ "v1": 50, "v2": 50 })).status(),
        200
    );
    let gateway = gateway.restarted();
    assert_eq!(live(&gateway), weights(50, 50));
    // Another route, another timeout: the split is the one that was dialed.
    let other = config(&v1, &v2, "{ v1: 95, v2: 5 }, timeout: 5s");
    gateway.rewrite(other);
    gateway.wait_for_revision(2);
    assert_eq!(live(&gateway), weights(50, 50));
    // Another split, and back to the first one: the dial is gone for good.
    gateway.rewrite(config(&v1, &v2, "{ v1: 94, v2: 6 }"));
    gateway.wait_for("the dial of the route `users` is dropped");
    gateway.wait_for_revision(3);
    assert_eq!(live(&gateway), weights(94, 6));
    gateway.rewrite(config(&v1, &v2, "{ v1: 95, v2: 5 }"));
    gateway.wait_for_revision(4);
    assert_eq!(live(&gateway), weights(95, 5));
    let gateway = gateway.restarted();
    assert_eq!(live(&gateway), weights(95, 5));
}

#[test]
fn a_dial_that_waits_for_a_split_that_was_edited_meanwhile_does_not_come_back() {
    let (v1, v2, gateway) = canary();
    assert_eq!(gateway.dial("users", &json!({ "v2": 1 })).status(), 200);
    let mut gateway = gateway;
    gateway.kill();
    gateway.rewrite(config(&v1, &v2, "{ v2: 5, v1: 95 }"));
    let gateway = gateway.restarted();
    gateway.wait_for("the dial of the route `users` is dropped");
    assert_eq!(live(&gateway), vec![("v2".to_owned(), 5), ("v1".to_owned(), 95)]);
}

#[test]
fn a_ramp_by_the_dial_moves_every_client_once_each_way_on_two_gateways_alike() {
    let (v1, v2, first) = canary();
    let second = Gateway::with(config(&v1, &v2, "{ v1: 95, v2: 5 }"));
    let mut last: Vec<Option<Value>> = vec![None; 100];
    let mut moves = [[0; 100]; 2];
    for (percent, leg) in [(5, 0), (10, 0), (50, 0), (100, 0), (0, 1)] {
        for gateway in [&first, &second] {
            let weights = json!({ "v1": 100 - percent, "v2": percent });
            assert_eq!(gateway.dial("users", &weights).status(), 200);
        }
        let (mut one, mut other) = (first.connect(), second.connect());
        for (user, last) in last.iter_mut().enumerate() {
            let request = format!("GET /users/1 HTTP/1.1\r\nHost: a\r\nX-User: {user}\r\n\r\n");
            let now = one.ask(&request).json()["service"].clone();
            assert_eq!(
                now,
                other.ask(&request).json()["service"],
                "user {user} at {percent} %"
            );
            if last.as_ref().is_some_and(|last| *last != now) {
                moves[leg][user] += 1;
            }
            *last = Some(now);
        }
    }
    let most = |leg: usize| moves[leg].iter().max().copied();
    assert_eq!((most(0), moves[1]), (Some(1), [1; 100]));
}

#[test]
fn a_dial_that_cannot_be_stored_is_refused_and_not_applied() {
    let (v1, v2) = (Service::echo("v1"), Service::echo("v2"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waypost.yaml");
    let state = directory.path().join("state");
    let text = config(&v1, &v2, "{ v1: 95, v2: 5 }");
    std::fs::write(
        &path,
        format!(
            "{text}state: {}\nadmin: {{ bind: 127.0.0.1:0 }}\n",
            state.display()
        ),
    )
    .unwrap();
    let gateway = Gateway::run(directory, path, &[]);
    // A directory that is not empty cannot be replaced by a file.
    std::fs::create_dir_all(state.join("dials.json/x")).unwrap();
    let answer = gateway.dial("users", &json!({ "v2": 1 }));
    assert_eq!(answer.status(), 507, "{}", answer.text());
    assert_eq!(live(&gateway), weights(95, 5));
    // Once that is mended, dials are stored again.
    std::fs::remove_dir_all(state.join("dials.json")).unwrap();
    assert_eq!(gateway.dial("users", &json!({ "v2": 1 })).status(), 200);
    assert_eq!(live(&gateway.restarted()), weights(0, 1));
}

#[test]
fn a_second_gateway_on_the_same_state_serves_the_dials_and_stores_none() {
    let (_v1, _v2, first) = canary();
    assert_eq!(first.dial("users", &json!({ "v1": 1, "v2": 1 })).status(), 200);
    let second = first.again();
    second.wait_for_part("in use by another gateway");
    assert_eq!(live(&second), weights(1, 1));
    assert_eq!(second.dial("users", &json!({ "v1": 1 })).status(), 507);
    drop(first);
    assert_eq!(
        second.dial("users", &json!({ "v1": 1 })).status(),
        200,
        "its place is free now"
    );
}

#[test]
fn explain_answers_by_the_live_weights() {
    let (_v1, _v2, gateway) = canary();
    assert_eq!(
        gateway.dial("users", &json!({ "v1": 0, "v2": 100 })).status(),
        200
    );
    let json = "Content-Type: application/json\r\n";
    let ask = |body: Value| gateway.admin("POST", "/api/v1/explain", json, &body.to_string());
    let answer = ask(json!({ "request": "GET http://a/users/7" })).json();
    assert_eq!(
        answer["arms"],
        json!([{ "service": "v1", "weight": 0 }, { "service": "v2", "weight": 100 }])
    );
    assert_eq!(
        (&answer["outcome"], &answer["revision"]),
        (&json!("forward"), &json!(1))
    );
    let sticky = json!({ "method": "GET", "url": "/users/7", "headers": { "host": "a", "x-user": "5" } });
    assert_eq!(ask(sticky).json()["cohort"], "v2");
    let pairs = json!({ "url": "/nowhere", "headers": [["host", "a"]] });
    assert_eq!(ask(pairs).json()["outcome"], "not_found");
    for wrong in [
        json!({}),
        json!({ "request": "GET" }),
        json!({ "url": "/", "nobody": 1 }),
        json!({ "url": "/", "listener": "x" }),
    ] {
        assert_eq!(ask(wrong.clone()).status(), 422, "{wrong}");
    }
}

#[test]
fn the_command_gives_the_rest_to_the_other_of_two_and_says_how_to_undo_it() {
    let (_v1, _v2, gateway) = canary();
    let dialed = gateway.command(&["dial", "users", "v2=25"]).expect(0);
    assert_eq!(
        dialed.stdout,
        "SERVICE  WAS  IS  SHARE\nv1        95  75   75 %\nv2         5  25   25 %\n\
         the dial of `users` is live; to undo it: waypost dial users --reset\n"
    );
    let dialed = gateway
        .command(&["dial", "users", "v2=50", "--format", "json"])
        .expect(0)
        .json();
    assert_eq!(dialed["by"], "tester");
    assert_eq!(live(&gateway), weights(50, 50));
    let undone = gateway.command(&["dial", "users", "--reset"]).expect(0);
    assert!(
        undone.stdout.ends_with("waypost dial users v1=50 v2=50\n"),
        "{}",
        undone.stdout
    );
    assert_eq!(live(&gateway), weights(95, 5));
    let routes = gateway.command(&["routes"]).expect(0).stdout;
    assert!(
        routes.starts_with("ROUTE  TO       LIVE  DECLARED  MATCH\nusers  v1         95"),
        "{routes}"
    );
    let turns = gateway.admin_json("/api/v1/routes/users")["turns"].clone();
    let by: Vec<&Value> = turns.as_array().unwrap().iter().map(|turn| &turn["by"]).collect();
    assert_eq!(by, ["tester", "tester", "tester"]);

    let unknown = gateway.command(&["dial", "users", "v3=1"]).expect(1);
    assert!(
        unknown
            .stderr
            .contains("`v3` is not a service of the route `users`"),
        "{}",
        unknown.stderr
    );
    gateway.command(&["dial", "nobody", "v1=1"]).expect(1);
    gateway.command(&["dial", "users", "v1=x"]).expect(2);
    gateway.command(&["dial", "users"]).expect(2);
}
