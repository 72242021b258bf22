//! The dial: live weights that apply at once, on all workers, until the split changes in the config.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::client::{Client, get};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::Service;

/// A route `users` with this split; two workers.
fn config(v1: &Service, v2: &Service, split: &str) -> Config {
    Config::new()
        .workers(2)
        .service(v1, "")
        .service(v2, "")
        .route(&format!(
            "name: users, match: {{ path: /users/* }}, to: {split}, sticky: {{ header: x-user }}"
        ))
        .route("name: old, match: { path: /old }, respond: { status: 410 }")
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
    let response = client.ask(get("http://a/users/7"));
    assert_eq!(response.status(), 200, "{}", response.text());
    response.json()["service"].as_str().unwrap().to_owned()
}

#[test]
fn dial_with_a_stale_version_is_refused() {
    let (_v1, _v2, gateway) = canary();
    let path = "/api/v1/routes/users/split";
    let put = |tag: &str, body: &str| {
        let fields = format!("Content-Type: application/json\r\nIf-Match: {tag}\r\n");
        gateway.admin("PUT", path, &fields, body)
    };
    let version = |path: &str| {
        let response = gateway.admin("GET", path, "", "");
        response.header("etag").unwrap().to_owned()
    };
    let first = version(path);
    assert_eq!(version("/api/v1/routes/users"), first);
    let turned = put(&first, "{\"v1\": 60, \"v2\": 40}");
    assert_eq!(turned.status(), 200);
    let second = turned.header("etag").unwrap().to_owned();
    assert_eq!((second != first, version(path)), (true, second.clone()));
    // Another one had read the first version.
    let stale = put(&first, "{\"v1\": 1}");
    assert_eq!((stale.status(), live(&gateway)), (412, weights(60, 40)));
    let detail = stale.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("it is v1 60, v2 40 now, last turned by local at "),
        "{detail}"
    );
    let reset = gateway.admin("DELETE", path, &format!("If-Match: {first}\r\n"), "");
    assert_eq!(reset.status(), 412);
    for (tag, body) in [
        (&*format!("\"other\", {second}"), "{\"v1\": 50, \"v2\": 50}"),
        ("*", "{\"v1\": 70, \"v2\": 30}"),
    ] {
        assert_eq!(put(tag, body).status(), 200, "{tag}");
    }
    // Without the header as ever; back at the first weights, it is the first version.
    assert_eq!(gateway.dial("users", &json!({ "v1": 95, "v2": 5 })).status(), 200);
    assert_eq!(version(path), first);
    // A reload that changes what is declared is a change too.
    let split = gateway.admin_json(path);
    assert_eq!(
        split["arms"][1],
        json!({ "service": "v2", "declared": 5, "live": 5 })
    );
    let old = gateway.admin(
        "PUT",
        "/api/v1/routes/old/split",
        "Content-Type: application/json\r\n",
        "{}",
    );
    assert_eq!(old.status(), 422);
}

#[test]
fn dial_reports_weights_before_and_after() {
    let (_v1, _v2, gateway) = canary();
    let response = gateway.dial("users", &json!({ "v1": 75, "v2": 25 }));
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.json(),
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
    assert_eq!(routes[0]["arms"], response.json()["arms"]);
    assert_eq!(routes[1]["arms"], json!([]));
    // An unnamed service gets weight 0, and order does not matter.
    assert_eq!(gateway.dial("users", &json!({ "v2": 1 })).status(), 200);
    assert_eq!(live(&gateway), weights(0, 1));
    let response = gateway.admin("DELETE", "/api/v1/routes/users/split", "", "");
    assert_eq!((response.status(), live(&gateway)), (200, weights(95, 5)));
}

#[test]
fn invalid_dials_refused() {
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
        ("/api/v1/routes/unknown/split", json, "{\"v1\": 1}", 404),
        ("/api/v1/routes/old/split", json, "{\"v1\": 1}", 422),
    ] {
        let response = gateway.admin("PUT", path, fields, body);
        assert_eq!(response.status(), status, "{path} {body}: {}", response.text());
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
        assert_eq!(response.json()["status"], status);
    }
    assert_eq!(live(&gateway), weights(95, 5));
    let last = gateway.dial("users", &json!({ "v1": u64::MAX, "v2": u64::MAX }));
    assert_eq!(last.status(), 200, "the largest weights are weights");
}

#[test]
fn dial_takes_effect_before_its_response() {
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
        // Enough connections to reach both workers, opened before the dial.
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
fn dial_survives_restart_and_reload_but_not_a_new_split() {
    let (v1, v2, gateway) = canary();
    assert_eq!(
        gateway.dial("users", &json!({ "v1": 50, "v2": 50 })).status(),
        200
    );
    let gateway = gateway.restarted();
    assert_eq!(live(&gateway), weights(50, 50));
    // A changed timeout leaves the split, and so the dial, in place.
    let other = config(&v1, &v2, "{ v1: 95, v2: 5 }, timeout: 5s");
    gateway.rewrite(other);
    gateway.wait_for_revision(2);
    assert_eq!(live(&gateway), weights(50, 50));
    // A changed split drops the dial, and changing it back does not restore it.
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
fn stored_dial_dropped_when_the_split_was_edited() {
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
fn dialed_ramp_moves_each_client_once() {
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
fn unstorable_dial_refused() {
    let (v1, v2) = (Service::echo("v1"), Service::echo("v2"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waypost.yaml");
    let state = directory.path().join("state");
    let config = config(&v1, &v2, "{ v1: 95, v2: 5 }")
        .key(&format!("state: {}", state.display()))
        .key("admin: { bind: 127.0.0.1:0 }");
    std::fs::write(&path, config).unwrap();
    let gateway = Gateway::run(directory, path, &[]);
    // A directory that is not empty cannot be replaced by a file.
    std::fs::create_dir_all(state.join("dials.json/x")).unwrap();
    let response = gateway.dial("users", &json!({ "v2": 1 }));
    assert_eq!(response.status(), 507, "{}", response.text());
    assert_eq!(live(&gateway), weights(95, 5));
    // Dials are stored again once it is gone.
    std::fs::remove_dir_all(state.join("dials.json")).unwrap();
    assert_eq!(gateway.dial("users", &json!({ "v2": 1 })).status(), 200);
    assert_eq!(live(&gateway.restarted()), weights(0, 1));
}

#[test]
fn second_gateway_on_the_same_state_is_read_only() {
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
fn explain_uses_live_weights() {
    let (_v1, _v2, gateway) = canary();
    assert_eq!(
        gateway.dial("users", &json!({ "v1": 0, "v2": 100 })).status(),
        200
    );
    let json = "Content-Type: application/json\r\n";
    let ask = |body: Value| gateway.admin("POST", "/api/v1/explain", json, &body.to_string());
    let response = ask(json!({ "request": "GET http://a/users/7" })).json();
    assert_eq!(
        response["arms"],
        json!([{ "service": "v1", "weight": 0 }, { "service": "v2", "weight": 100 }])
    );
    assert_eq!(
        (&response["outcome"], &response["revision"]),
        (&json!("forward"), &json!(1))
    );
    let sticky = json!({ "method": "GET", "url": "/users/7", "headers": { "host": "a", "x-user": "5" } });
    assert_eq!(ask(sticky).json()["cohort"], "v2");
    let pairs = json!({ "url": "/nowhere", "headers": [["host", "a"]] });
    assert_eq!(ask(pairs).json()["outcome"], "not_found");
    for wrong in [
        json!({}),
        json!({ "request": "GET" }),
        json!({ "url": "/", "unknown": 1 }),
        json!({ "url": "/", "listener": "x" }),
    ] {
        assert_eq!(ask(wrong.clone()).status(), 422, "{wrong}");
    }
}

#[test]
fn dial_command_fills_in_the_other_weight_and_prints_the_undo() {
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
    gateway.command(&["dial", "unknown", "v1=1"]).expect(1);
    gateway.command(&["dial", "users", "v1=x"]).expect(2);
    gateway.command(&["dial", "users"]).expect(2);
}
