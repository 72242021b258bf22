//! Deals: routes of one release agree on the side of a client, and one dial turns all of them.

use std::fs;

use http::Request;
use serde_json::{Value, json};
use waypost_route::split::Split;
use xxhash_rust::xxh3::xxh3_64;

use crate::support::client::{Client, request};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::message::Message;
use crate::support::service::Service;

const DEAL: &str = "checkout-2026";

/// Two routes of one deal, whose services have names of their own, and one route without a deal.
struct Release {
    services: Vec<Service>,
    gateway: Gateway,
}

const NAMES: [&str; 4] = ["checkout-v1", "checkout-v2", "cart-v1", "cart-v2"];

fn services() -> Vec<Service> {
    NAMES.iter().map(|name| Service::echo(name)).collect()
}

fn config(services: &[Service], sticky: &str, checkout: &str, cart: &str) -> Config {
    let config = Config::new().workers(2).key("split_key: k");
    services
        .iter()
        .fold(config, |config, service| config.service(service, ""))
        .route(&format!(
            "name: checkout, match: {{ host: shop.test, path: /checkout/* }}, to: {{ checkout-v1: 50, checkout-v2: {checkout} }}, \
             sticky: {{ {sticky}, deal: {DEAL} }}"
        ))
        .route(&format!(
            "name: cart, match: {{ path: /cart }}, to: {{ cart-v1: 50, cart-v2: {cart} }}, sticky: {{ {sticky}, deal: {DEAL} }}"
        ))
        .route(&format!(
            "name: alone, match: {{ path: /alone }}, to: {{ cart-v1: 50, cart-v2: 50 }}, sticky: {{ {sticky} }}"
        ))
}

impl Release {
    fn with(sticky: &str) -> Self {
        let services = services();
        let gateway = Gateway::with(config(&services, sticky, "50", "50"));
        Self { services, gateway }
    }

    fn turn(&self, weights: &Value) -> Message {
        put(&self.gateway, DEAL, weights)
    }

    /// The live weights of the routes.
    fn live(&self) -> [Vec<u64>; 3] {
        live(&self.gateway)
    }
}

fn put(gateway: &Gateway, deal: &str, weights: &Value) -> Message {
    let path = format!("/api/v1/deals/{deal}/split");
    let fields = "Content-Type: application/json\r\n";
    gateway.admin("PUT", &path, fields, &weights.to_string())
}

fn live(gateway: &Gateway) -> [Vec<u64>; 3] {
    let routes = gateway.admin_json("/api/v1/routes");
    ["checkout", "cart", "alone"].map(|name| {
        let mut all = routes.as_array().unwrap().iter();
        let route = all.find(|route| route["name"] == name).unwrap();
        let arms = route["arms"].as_array().unwrap();
        arms.iter().map(|arm| arm["live"].as_u64().unwrap()).collect()
    })
}

/// The version that responds: `v1` or `v2`.
fn version(response: &Message) -> String {
    assert_eq!(response.status(), 200, "{}", response.text());
    let service = response.json()["service"].as_str().unwrap().to_owned();
    service.rsplit_once('-').unwrap().1.to_owned()
}

#[test]
fn routes_of_a_deal_agree_on_a_client() {
    let release = Release::with("header: x-user");
    let mut client = release.gateway.connect();
    let http2 = Http2Client::connect(release.gateway.address());
    let mut differ = 0;
    for user in 0..60 {
        let roll = xxh3_64(format!("k{DEAL}\0{user}").as_bytes());
        let expected = ["v1", "v2"][Split::new(&[50, 50]).pick(roll).unwrap()];
        let field = format!("X-User: {user}\r\n");
        for url in [
            "http://shop.test/checkout/7",
            "http://shop.test/cart",
            "http://other.test/cart",
        ] {
            let response = client.ask(request("GET", url, &field));
            assert_eq!(version(&response), expected, "{url}");
            let asked = Request::get(url).header("x-user", user.to_string());
            assert_eq!(
                version(&http2.ask(asked.body(()).unwrap(), "")),
                expected,
                "{url}"
            );
        }
        let alone = client.ask(request("GET", "http://shop.test/alone", &field));
        differ += usize::from(version(&alone) != expected);
    }
    assert!(differ > 5, "a route without the deal has cohorts of its own");
}

#[test]
fn cookie_of_one_route_counts_for_the_others() {
    let release = Release::with("cookie: { name: side, same_site: strict, http_only: false }");
    for _ in 0..20 {
        let mut client = release.gateway.connect();
        let first = client.get("http://shop.test/checkout/7");
        let cookie = first.header("set-cookie").expect("a cookie");
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; SameSite=Strict");
        let then = client.ask(request(
            "GET",
            "http://shop.test/cart",
            &format!("Cookie: {pair}\r\n"),
        ));
        assert_eq!(version(&then), version(&first));
        assert_eq!(then.header("set-cookie"), None);
    }
}

#[test]
fn address_of_a_client_counts_for_all_routes() {
    let release = Release::with("client_ip: true");
    let mut client = release.gateway.connect();
    let first = version(&client.get("http://shop.test/checkout/7"));
    assert_eq!(version(&client.get("http://shop.test/cart")), first);
}

#[test]
fn one_dial_turns_all_routes() {
    let release = Release::with("header: x-user");
    let mut events = subscribe(&release.gateway);
    let response = release.turn(&json!({ "checkout-v1": 90, "checkout-v2": 10 }));
    assert_eq!(response.status(), 200, "{}", response.text());
    let turned = |name: &str, service: &str, before: [u64; 2], live: [u64; 2]| {
        let [v1, v2] = ["v1", "v2"].map(|version| format!("{service}-{version}"));
        json!({
            "name": name,
            "before": [{ "service": v1, "weight": before[0] }, { "service": v2, "weight": before[1] }],
            "arms": [
                { "service": v1, "declared": 50, "live": live[0] },
                { "service": v2, "declared": 50, "live": live[1] },
            ],
            "by": "local",
        })
    };
    assert_eq!(
        response.json(),
        json!({
            "name": DEAL,
            "routes": [
                turned("checkout", "checkout", [50, 50], [90, 10]),
                turned("cart", "cart", [50, 50], [90, 10]),
            ],
            "by": "local",
        })
    );
    // One event for each route.
    for route in ["checkout", "cart"] {
        events
            .expect("event: dial\n")
            .expect(&format!("\"route\":\"{route}\""));
    }
    assert_eq!(release.live(), [vec![90, 10], vec![90, 10], vec![50, 50]]);
    // Live traffic follows, on both workers.
    assert_eq!(release.turn(&json!({ "cart-v2": 1 })).status(), 200);
    for _ in 0..8 {
        let mut client = release.gateway.connect();
        for url in ["http://shop.test/checkout/7", "http://shop.test/cart"] {
            assert_eq!(version(&client.get(url)), "v2");
        }
    }
    let turns = release.gateway.admin_json("/api/v1/routes/cart")["turns"].clone();
    assert_eq!(turns.as_array().unwrap().len(), 2, "{turns}");
    // Names of both routes at once, and back to what is declared.
    let both = json!({ "checkout-v1": 3, "cart-v1": 3, "cart-v2": 4 });
    assert_eq!(release.turn(&both).status(), 200);
    assert_eq!(release.live(), [vec![3, 4], vec![3, 4], vec![50, 50]]);
    let path = format!("/api/v1/deals/{DEAL}/split");
    assert_eq!(release.gateway.admin("DELETE", &path, "", "").status(), 200);
    assert_eq!(release.live(), [vec![50, 50], vec![50, 50], vec![50, 50]]);
}

fn subscribe(gateway: &Gateway) -> Client {
    let address = gateway.admin_address();
    let mut events = Client::connect(address);
    events.send(format!("GET /api/v1/events HTTP/1.1\r\nHost: {address}\r\n\r\n"));
    assert_eq!(events.response_head().status(), 200);
    events
}

#[test]
fn invalid_dials_turn_nothing() {
    let release = Release::with("header: x-user");
    for (deal, weights, status, said) in [
        ("unknown", json!({ "cart-v1": 1 }), 404, "no deal named `unknown`"),
        (
            "checkout",
            json!({ "cart-v1": 1 }),
            404,
            "no deal named `checkout`",
        ),
        (DEAL, json!({ "cart-v3": 1 }), 422, "`cart-v3` is not a service"),
        (
            DEAL,
            json!({ "cart-v1": 0, "cart-v2": 0 }),
            422,
            "all weights would be 0",
        ),
        (DEAL, json!({}), 422, "all weights would be 0"),
        (
            DEAL,
            json!({ "cart-v1": 1, "checkout-v1": 2 }),
            422,
            "different weights",
        ),
        (DEAL, json!({ "cart-v1": -1 }), 422, "not valid"),
        (DEAL, json!([1]), 422, "not valid"),
    ] {
        let response = put(&release.gateway, deal, &weights);
        assert_eq!(response.status(), status, "{weights}: {}", response.text());
        assert!(response.text().contains(said), "{}", response.text());
    }
    let text = release
        .gateway
        .admin("PUT", &format!("/api/v1/deals/{DEAL}/split"), "", "{}");
    assert_eq!(text.status(), 415);
    assert_eq!(release.live(), [vec![50, 50], vec![50, 50], vec![50, 50]]);
}

#[test]
fn routes_of_different_shapes_are_refused_by_name() {
    let services = services();
    let sticky = format!("sticky: {{ header: x, deal: {DEAL} }}");
    let config = |cart: &str| {
        let config = Config::new();
        services
            .iter()
            .fold(config, |config, service| config.service(service, ""))
            .route(&format!(
                "name: checkout, match: {{ path: /checkout }}, to: {{ checkout-v1: 1, checkout-v2: 1 }}, {sticky}"
            ))
            .route(&format!("name: cart, match: {{ path: /cart }}, to: {cart}, {sticky}"))
            .route("name: alone, match: { path: /alone }, to: { cart-v1: 1, cart-v2: 1 }")
    };
    let gateway = Gateway::with(config("cart-v1"));
    gateway.wait_for_part("warning[uneven-deal]");
    let refused = put(&gateway, DEAL, &json!({ "checkout-v2": 1 }));
    assert_eq!(refused.status(), 422);
    let said = refused.text();
    assert!(
        said.contains("`checkout` 2") && said.contains("`cart` 1"),
        "{said}"
    );
    assert_eq!(live(&gateway), [vec![1, 1], vec![1], vec![1, 1]]);
    let command = gateway
        .command(&["dial", "--deal", DEAL, "checkout-v2=1"])
        .expect(1);
    assert!(
        command.stderr.contains("different numbers of services"),
        "{}",
        command.stderr
    );
    // One name in two places.
    gateway.rewrite(config("{ checkout-v2: 1, cart-v2: 1 }"));
    gateway.wait_for_revision(2);
    let refused = put(&gateway, DEAL, &json!({ "checkout-v2": 1 }));
    assert_eq!(refused.status(), 422);
    assert!(refused.text().contains("different places"), "{}", refused.text());
    assert_eq!(put(&gateway, DEAL, &json!({ "cart-v2": 1 })).status(), 200);
    assert_eq!(live(&gateway), [vec![0, 1], vec![0, 1], vec![1, 1]]);
}

#[test]
fn dials_of_a_deal_survive_restarts_until_a_split_is_edited() {
    let release = Release::with("header: x-user");
    assert_eq!(release.turn(&json!({ "cart-v1": 9, "cart-v2": 1 })).status(), 200);
    let gateway = release.gateway.restarted();
    assert_eq!(live(&gateway), [vec![9, 1], vec![9, 1], vec![50, 50]]);
    gateway.rewrite(config(&release.services, "header: x-user", "50", "40"));
    gateway.wait_for("the dial of the route `cart` is dropped");
    gateway.wait_for_revision(2);
    assert_eq!(live(&gateway), [vec![9, 1], vec![50, 40], vec![50, 50]]);
}

#[test]
fn unstorable_dial_turns_none() {
    let services = services();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waypost.yaml");
    let state = directory.path().join("state");
    let config = config(&services, "header: x-user", "50", "50")
        .key(&format!("state: {}", state.display()))
        .key("admin: { bind: 127.0.0.1:0 }");
    fs::write(&path, config).unwrap();
    let gateway = Gateway::run(directory, path, &[]);
    // A directory that is not empty cannot be replaced by a file.
    fs::create_dir_all(state.join("dials.json/x")).unwrap();
    let refused = put(&gateway, DEAL, &json!({ "cart-v2": 1 }));
    assert_eq!(refused.status(), 507, "{}", refused.text());
    assert_eq!(live(&gateway), [vec![50, 50], vec![50, 50], vec![50, 50]]);
    fs::remove_dir_all(state.join("dials.json")).unwrap();
    assert_eq!(put(&gateway, DEAL, &json!({ "cart-v2": 1 })).status(), 200);
    assert_eq!(live(&gateway.restarted())[..2], [[0, 1], [0, 1]]);
}

#[test]
fn dial_command_turns_a_deal() {
    let release = Release::with("header: x-user");
    let gateway = &release.gateway;
    let turned = gateway.command(&["dial", "--deal", DEAL, "cart-v2=10"]).expect(0);
    assert_eq!(
        turned.stdout,
        "ROUTE     SERVICE      WAS  IS  SHARE\n\
         checkout  checkout-v1   50  90   90 %\n\
         checkout  checkout-v2   50  10   10 %\n\
         cart      cart-v1       50  90   90 %\n\
         cart      cart-v2       50  10   10 %\n\
         the dials of the deal `checkout-2026` are live; to undo it: waypost dial --deal checkout-2026 --reset\n"
    );
    assert_eq!(release.live(), [vec![90, 10], vec![90, 10], vec![50, 50]]);
    let arguments = [
        "dial",
        "checkout-v1=1",
        "checkout-v2=3",
        "--deal",
        DEAL,
        "--format",
        "json",
    ];
    let turned = gateway.command(&arguments).expect(0).json();
    assert_eq!(
        (&turned["by"], turned["routes"].as_array().unwrap().len()),
        (&json!("tester"), 2)
    );
    assert_eq!(release.live(), [vec![1, 3], vec![1, 3], vec![50, 50]]);
    let reset = gateway.command(&["dial", "--deal", DEAL, "--reset"]).expect(0);
    assert!(
        reset
            .stdout
            .ends_with("waypost dial --deal checkout-2026 checkout-v1=1 checkout-v2=3\n"),
        "{}",
        reset.stdout
    );
    assert_eq!(release.live(), [vec![50, 50], vec![50, 50], vec![50, 50]]);
    // Routes that were turned apart are turned back apart.
    gateway.command(&["dial", "cart", "cart-v2=20"]).expect(0);
    let turned = gateway.command(&["dial", "--deal", DEAL, "cart-v2=30"]).expect(0);
    assert!(
        turned
            .stdout
            .ends_with("waypost dial checkout --reset; waypost dial cart cart-v1=80 cart-v2=20\n"),
        "{}",
        turned.stdout
    );
    for (arguments, code) in [
        (&["dial", "--deal", DEAL][..], 2),
        (&["dial", "--deal", DEAL, "cart", "cart-v2=1"], 2),
        (&["dial", "--deal", DEAL, "cart-v2=1", "--reset"], 2),
        (&["dial"], 2),
        (&["dial", "--reset"], 2),
        (&["dial", "--deal", "unknown", "cart-v2=1"], 1),
        (&["dial", "--deal", DEAL, "cart-v3=1"], 1),
    ] {
        gateway.command(arguments).expect(code);
    }
}

#[test]
fn routes_show_their_deal() {
    let release = Release::with("header: x-user");
    let routes = release.gateway.admin_json("/api/v1/routes");
    let deals: Vec<&Value> = routes
        .as_array()
        .unwrap()
        .iter()
        .map(|route| &route["deal"])
        .collect();
    assert_eq!(deals, [&json!(DEAL), &json!(DEAL), &json!(null)]);
    assert_eq!(release.gateway.admin_json("/api/v1/routes/cart")["deal"], DEAL);
    let deals = release.gateway.admin_json("/api/v1/deals");
    assert_eq!(deals[0]["name"], DEAL);
    assert_eq!(deals[0]["routes"], json!([routes[0], routes[1]]));
    assert_eq!(
        release.gateway.admin_json(&format!("/api/v1/deals/{DEAL}")),
        deals[0]
    );
    assert_eq!(
        release.gateway.admin("GET", "/api/v1/deals/x", "", "").status(),
        404
    );
    let listed = release.gateway.command(&["routes"]).expect(0).stdout;
    assert!(
        listed.starts_with("ROUTE     TO           LIVE  DECLARED  DEAL           MATCH\n"),
        "{listed}"
    );
}
