//! Pages of the routes and of the services: search, order, and figures of the last minutes.

use serde_json::{Value, json};

use crate::support::client::get;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::{Service, ok};
use crate::support::wait_for;

/// The names of the routes on a page.
fn names(page: &Value) -> Vec<&str> {
    let routes = page["routes"].as_array().unwrap().iter();
    routes.map(|route| route["name"].as_str().unwrap()).collect()
}

fn gateway() -> (Service, Gateway) {
    let service = Service::named("users-v1", |talk| {
        while let Some(request) = talk.request() {
            match request.target().contains("bad") {
                true => talk.send("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"),
                false => talk.send(ok("yes")),
            }
        }
    });
    let config = Config::new()
        .service(&service, "")
        .service_at("users-v2", &["http://127.0.0.1:9"], "")
        .route(
            "name: users, match: { host: api.example.com, path: /users/* }, to: { users-v1: 1, users-v2: 0 }",
        )
        .route("name: orders, match: { host: \"*.shop.example\", path: /Orders/* }, to: users-v1")
        .route("name: Pages, match: { path: [/pages/*, \"/v1:batch\"] }, respond: { status: 200 }");
    (service, Gateway::with(config))
}

#[test]
fn searches_find_routes_by_all_of_their_words() {
    let (_service, gateway) = gateway();
    let check = |search: &str, expected: &[&str]| {
        // The second time, what was found is known.
        for _ in 0..2 {
            let page = gateway.admin_json(&format!("/api/v1/routes?search={search}"));
            assert_eq!(names(&page), expected, "{search}");
            assert_eq!(
                (&page["matching"], &page["all"]),
                (&json!(expected.len()), &json!(3)),
                "{search}"
            );
        }
    };
    check("", &["users", "orders", "Pages"]);
    check("host:API.example", &["users"]);
    check("host:", &["users", "orders", "Pages"]);
    check("host:a.shop.example", &["orders"]);
    check("a.shop.example", &["orders"]);
    check("path:/or", &["orders"]);
    check("path:users%20service:users", &["users"]);
    check("service:users-v1", &["users", "orders"]);
    check("service:users-v1%20users", &["users"]);
    check("pages", &["Pages"]);
    check("/v1:b", &["Pages"]);
    check("e", &["users", "orders", "Pages"]);
    check("none", &[]);
    check("failing", &[]);
    check("dialed", &[]);
    check("rollout", &[]);
    gateway.dial("users", &json!({ "users-v1": 3, "users-v2": 1 }));
    check("dialed", &["users"]);
    check("dialed%20orders", &[]);
    let page = gateway.admin_json("/api/v1/routes?search=users");
    assert_eq!(page["routes"][0]["dialed"], true);
    assert_eq!(page["routes"][0]["arms"][1]["live"], 1);
    assert_eq!(page["routes"][0]["figures"], Value::Null);
    gateway.dial("users", &json!({ "users-v1": 1, "users-v2": 0 }));
    check("dialed", &[]);
}

#[test]
fn searches_see_the_config_that_is_active() {
    let (_service, gateway) = gateway();
    let found = |search: &str| {
        let page = gateway.admin_json(&format!("/api/v1/routes?search={search}"));
        (
            page["matching"].as_u64().unwrap(),
            page["revision"].as_u64().unwrap(),
        )
    };
    assert_eq!(found("invoices"), (0, 1));
    let config = Config::new()
        .key("admin: { bind: 127.0.0.1:0 }")
        .route("name: invoices, match: { path: /i }, respond: { status: 200 }");
    let sent = gateway.admin(
        "PUT",
        "/api/v1/config",
        "If-Match: *\r\nContent-Type: application/yaml\r\n",
        config.as_ref(),
    );
    assert_eq!(sent.status(), 200, "{}", sent.text());
    assert_eq!(found("invoices"), (1, 2));
    assert_eq!(found("users"), (0, 2));
}

#[test]
fn pages_are_sorted_and_follow_each_other() {
    let (_service, gateway) = gateway();
    let page = |query: &str| gateway.admin_json(&format!("/api/v1/routes?{query}"));
    let first = page("sort=name&limit=2");
    assert_eq!(
        (names(&first), &first["next_offset"]),
        (vec!["Pages", "orders"], &json!(2))
    );
    let second = page("sort=name&limit=2&offset=2");
    assert_eq!(
        (names(&second), &second["next_offset"]),
        (vec!["users"], &Value::Null)
    );
    assert_eq!(names(&page("sort=-name")), ["users", "orders", "Pages"]);
    assert_eq!(names(&page("sort=-config")), ["Pages", "orders", "users"]);
    let beyond = page("offset=7");
    assert_eq!((names(&beyond), &beyond["matching"]), (vec![], &json!(3)));
    let status = |query: &str| {
        let response = gateway.admin("GET", &format!("/api/v1/routes?{query}"), "", "");
        response.status()
    };
    for query in [
        "sort=size",
        "limit=0",
        "limit=1001",
        "search=hots:a",
        "window=2s",
        "window=2h",
    ] {
        assert_eq!(status(query), 422, "{query}");
    }
    for query in ["limit=x", "filter=a"] {
        assert_eq!(status(query), 400, "{query}");
    }
    // Without any of it, the list of all routes is as ever.
    assert_eq!(gateway.admin_json("/api/v1/routes").as_array().unwrap().len(), 3);
}

#[test]
fn failing_and_busy_routes_come_first() {
    let (_service, gateway) = gateway();
    let mut client = gateway.connect();
    for _ in 0..3 {
        assert_eq!(client.ask(get("http://a/pages/1")).status(), 200);
    }
    assert_eq!(client.ask(get("http://a.shop.example/Orders/bad")).status(), 503);
    let page = |query: &str, has_come: fn(&Value) -> bool| {
        wait_for("the figures", || {
            let page = gateway.admin_json(&format!("/api/v1/routes?figures=true&{query}"));
            has_come(&page).then_some(page)
        })
    };
    for window in ["", "&window=10m", "&window=1h"] {
        let query = format!("search=failing&sort=failures{window}");
        let failing = page(&query, |page| page["matching"] == 1);
        let figures = &failing["routes"][0]["figures"];
        assert_eq!(names(&failing), ["orders"], "{window}");
        assert_eq!(
            (
                &figures["requests"],
                &figures["failures"],
                &figures["failure_share"]
            ),
            (&json!(1), &json!(1), &json!(1.0)),
            "{window}"
        );
        assert!(figures["rate"].as_f64().unwrap() > 0.0, "{window}: {figures}");
        assert!(figures["p99_ms"].is_number(), "{window}: {figures}");
        let requests = &figures["sparkline"]["requests"];
        assert_eq!(requests.as_array().unwrap().len(), 59, "{window}");
    }
    let by_rate = page("sort=rate", |page| page["routes"][0]["figures"]["requests"] == 3);
    assert_eq!(names(&by_rate), ["Pages", "orders", "users"]);
    let quiet = &by_rate["routes"][2]["figures"];
    assert_eq!((&quiet["requests"], &quiet["p99_ms"]), (&json!(0), &Value::Null));
    let by_failures = page("sort=failures&limit=1", |_| true);
    assert_eq!(names(&by_failures), ["orders"]);
}

/// The names of the services on a page.
fn services(page: &Value) -> Vec<&str> {
    let services = page["services"].as_array().unwrap().iter();
    services
        .map(|service| service["name"].as_str().unwrap())
        .collect()
}

#[test]
fn services_are_searched_sorted_and_paged() {
    let up = Service::echo("b-up");
    let mut config = Config::new()
        .service(&up, "")
        .service_at("a-half", &[&up.url(), "http://127.0.0.9:9"], "")
        .service_at("c-none", &["http://127.0.0.8:9"], "");
    for number in 0..1000 {
        config = config.service_at(&format!("z-{number:04}"), &["http://127.0.0.7:9"], "");
    }
    let gateway = Gateway::with(config.route("name: all, to: b-up"));
    for (service, endpoint) in [("a-half", "127.0.0.9:9"), ("c-none", "127.0.0.8:9")] {
        let body = json!({ "endpoint": endpoint, "drained": true }).to_string();
        let path = format!("/api/v1/services/{service}/drain");
        let answer = gateway.admin("PUT", &path, "Content-Type: application/json\r\n", &body);
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
    let page = |query: &str| gateway.admin_json(&format!("/api/v1/services?{query}"));
    let check = |query: &str, expected: &[&str], matching: usize| {
        let page = page(query);
        assert_eq!(services(&page), expected, "{query}");
        assert_eq!(
            (&page["matching"], &page["all"]),
            (&json!(matching), &json!(1003)),
            "{query}"
        );
    };
    // The worst first, else as in the config.
    check(
        "sort=state&limit=4",
        &["c-none", "a-half", "b-up", "z-0000"],
        1003,
    );
    check("sort=name&limit=3", &["a-half", "b-up", "c-none"], 1003);
    check("sort=-name&limit=2", &["z-0999", "z-0998"], 1003);
    check("limit=2", &["b-up", "a-half"], 1003);
    check("unavailable=true&sort=name", &["a-half", "c-none"], 2);
    // By name, endpoint and address, in any case of letters, and by all words.
    check("search=Z-050&limit=2", &["z-0500", "z-0501"], 10);
    check("search=127.0.0.9", &["a-half"], 1);
    check(
        "search=z-%20127.0.0.7:9%2042",
        &[
            "z-0042", "z-0142", "z-0242", "z-0342", "z-0420", "z-0421", "z-0422", "z-0423", "z-0424",
            "z-0425", "z-0426", "z-0427", "z-0428", "z-0429", "z-0442", "z-0542", "z-0642", "z-0742",
            "z-0842", "z-0942",
        ],
        20,
    );
    check("search=nothing", &[], 0);
    // Pages follow each other, and have states and routes.
    let first = page("sort=name&limit=2");
    assert_eq!(first["next_offset"], 2);
    assert_eq!(first["services"][1]["routes"], json!(["all"]));
    assert_eq!(
        first["services"][0]["endpoints"][1]["addresses"][0]["state"],
        "drained"
    );
    let last = page("sort=name&limit=2&offset=1002");
    assert_eq!((services(&last), last.get("next_offset")), (vec!["z-0999"], None));
    for (query, status) in [
        ("limit=0", 422),
        ("sort=size", 422),
        ("limit=x", 400),
        ("filter=a", 400),
    ] {
        let path = format!("/api/v1/services?{query}");
        assert_eq!(gateway.admin("GET", &path, "", "").status(), status, "{query}");
    }
    // Without any of it, the list of all services is as ever.
    for list in ["", "?detail=true"] {
        let all = gateway.admin_json(&format!("/api/v1/services{list}"));
        assert_eq!(all.as_array().unwrap().len(), 1003, "{list}");
    }
}
