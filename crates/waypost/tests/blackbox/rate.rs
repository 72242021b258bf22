//! Rate limits: exact, over all workers and protocols; told to clients; counted once for each request.

use std::thread;

use serde_json::json;

use crate::access_log::wait_for_log;
use crate::support::client::{Client, request};
use crate::support::command::waypost_in;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::{Http2Client, get};
use crate::support::message::Message;
use crate::support::service::{Service, ok};
use crate::support::wait_for;

/// A limit whose requests do not come back while a test runs.
const FIVE: &str = "rate: { requests: 5, per: 1h }";

/// A gateway with a route to `service` that has these keys.
fn limited(service: &Service, keys: &str) -> Gateway {
    let listener = "trusted_proxies: [127.0.0.1]";
    Gateway::with(
        Config::listening(&[listener])
            .service(service, "")
            .route(&format!("name: all, to: {}, {keys}", service.name())),
    )
}

fn ask(client: &mut Client, fields: &str) -> Message {
    client.ask(request("GET", "http://a.test/", fields))
}

/// The statuses of so many requests with these fields.
fn statuses(gateway: &Gateway, fields: &str, count: usize) -> Vec<u16> {
    let mut client = gateway.connect();
    (0..count).map(|_| ask(&mut client, fields).status()).collect()
}

/// The number of requests that pass out of ten.
fn passing(gateway: &Gateway, fields: &str) -> usize {
    let statuses = statuses(gateway, fields, 10);
    assert!(
        statuses.iter().all(|status| matches!(status, 200 | 429)),
        "{statuses:?}"
    );
    statuses.iter().filter(|status| **status == 200).count()
}

#[test]
fn exactly_as_many_pass_as_the_limit_over_two_workers_and_both_protocols() {
    let service = Service::echo("a");
    let config = Config::new().workers(2).service(&service, "");
    let gateway = Gateway::with(config.route(&format!("name: all, to: a, {FIVE}")));
    let address = gateway.address();
    let statuses: Vec<u16> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|at| {
                scope.spawn(move || -> Vec<u16> {
                    if at % 2 == 0 {
                        let mut client = Client::connect(address);
                        return (0..25).map(|_| ask(&mut client, "").status()).collect();
                    }
                    let client = Http2Client::connect(address);
                    (0..25)
                        .map(|_| client.ask(get("http://a.test/"), "").status())
                        .collect()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((statuses.len(), count(200), count(429)), (200, 5, 195));
    let received = service.received().concat();
    assert_eq!(received.matches("GET / HTTP/1.1").count(), 5, "{received}");
}

#[test]
fn responses_tell_what_is_left_and_when_there_is_more() {
    let service = Service::echo("a");
    let gateway = limited(&service, "rate: { requests: 5, per: 1h }");
    let http2 = Http2Client::connect(gateway.address());
    let mut client = gateway.connect();
    for left in (0..5).rev() {
        let response = match left % 2 {
            0 => ask(&mut client, ""),
            _ => http2.ask(get("http://a.test/"), ""),
        };
        assert_eq!(response.status(), 200);
        assert_eq!(
            response.header("ratelimit-policy"),
            Some("\"client_ip\";q=5;w=3600")
        );
        let limit = response.header("ratelimit").unwrap().to_owned();
        let rest = limit.strip_prefix(&format!("\"client_ip\";r={left};t=")).unwrap();
        assert!((700..=720).contains(&rest.parse::<u32>().unwrap()), "{limit}");
        assert_eq!(response.header("retry-after"), None);
    }
    for response in [ask(&mut client, ""), http2.ask(get("http://a.test/"), "")] {
        assert_eq!(response.status(), 429);
        assert_eq!(
            response.header("ratelimit-policy"),
            Some("\"client_ip\";q=5;w=3600")
        );
        let seconds = response.header("retry-after").unwrap();
        assert!(
            (700..=720).contains(&seconds.parse::<u32>().unwrap()),
            "{seconds}"
        );
        let expected = format!("\"client_ip\";r=0;t={seconds}");
        assert_eq!(response.header("ratelimit"), Some(&*expected));
        assert_eq!(
            response.header("proxy-status"),
            Some("waypost; error=http_request_denied")
        );
        assert_eq!(
            response.text(),
            "429 Too Many Requests: there were too many requests\n"
        );
    }
    // The connection stays open.
    assert_eq!(ask(&mut client, "").status(), 429);
    let metrics = gateway.metrics();
    assert!(
        metrics.contains("waypost_rate_limited_total{route=\"all\"} 3\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("waypost_refusals_total{reason=\"rate\"} 3\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("waypost_rate_keys{policy=\"route all\"} 1\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("waypost_rate_evictions_total{policy=\"route all\"} 0\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("waypost_failed_requests_total{route=\"all\",service=\"a\"} 0\n"),
        "{metrics}"
    );
}

#[test]
fn windows_of_the_fields_are_whole_seconds() {
    for (limit, policy, left) in [
        ("{ requests: 1, per: 500ms }", "\"client_ip\";q=2;w=1", 0),
        ("{ requests: 9, per: 1500ms }", "\"client_ip\";q=12;w=2", 8),
        (
            "{ requests: 10, per: 1s, burst: 20 }",
            "\"client_ip\";q=10;w=1",
            19,
        ),
        (
            "{ requests: 600, per: 1m, burst: 1 }",
            "\"client_ip\";q=600;w=60",
            0,
        ),
    ] {
        let gateway = Gateway::with(
            Config::new().route(&format!("name: all, respond: {{ status: 200 }}, rate: {limit}")),
        );
        let response = gateway.get("http://a.test/");
        assert_eq!(response.header("ratelimit-policy"), Some(policy), "{limit}");
        let expected = format!("\"client_ip\";r={left};t=1");
        assert_eq!(response.header("ratelimit"), Some(&*expected), "{limit}");
    }
}

#[test]
fn fields_can_be_left_out_and_those_of_the_service_stay() {
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nRateLimit: \"own\";r=7;t=1\r\n\
                    RateLimit-Policy: \"own\";q=9;w=10\r\n\r\n";
    let service = Service::responding(response);
    let name = service.name();
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "")
            .route(&format!("name: told, match: {{ path: /told }}, to: {name}, rate: {{ requests: 5, per: 1s }}"))
            .route(&format!(
                "name: off, match: {{ path: /off }}, to: {name}, rate: {{ requests: 1, per: 1h, headers: off }}"
            ))
            .route(&format!(
                "name: cut, match: {{ path: /cut }}, to: {name}, rate: {{ requests: 5, per: 1s }}, \
                 response_headers: {{ remove: [ratelimit, ratelimit-policy] }}"
            )),
    );
    let told = gateway.get("http://a/told");
    assert_eq!(
        told.values("ratelimit"),
        ["\"own\";r=7;t=1", "\"client_ip\";r=4;t=1"]
    );
    assert_eq!(
        told.values("ratelimit-policy"),
        ["\"own\";q=9;w=10", "\"client_ip\";q=5;w=1"]
    );
    let off = gateway.get("http://a/off");
    assert_eq!(off.values("ratelimit"), ["\"own\";r=7;t=1"]);
    let refused = gateway.get("http://a/off");
    assert_eq!((refused.status(), refused.values("ratelimit").len()), (429, 0));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(gateway.get("http://a/cut").values("ratelimit").len(), 0);
}

#[test]
fn all_limits_of_a_list_have_to_let_a_request_pass_and_a_refused_one_counts_at_none() {
    let service = Service::echo("a");
    let gateway = limited(
        &service,
        "rate: [{ requests: 8, per: 1h }, { requests: 3, per: 24h, by: { header: x-key } }]",
    );
    let fields = |key: &str| format!("X-Key: {key}\r\n");
    assert_eq!(passing(&gateway, &fields("one")), 3);
    // The seven that were refused left the first limit alone.
    assert_eq!(passing(&gateway, &fields("two")), 3);
    let response = ask(&mut gateway.connect(), &fields("three"));
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.header("ratelimit-policy"),
        Some("\"client_ip\";q=8;w=3600, \"header\";q=3;w=86400")
    );
    let limit = response.header("ratelimit").unwrap();
    assert!(
        limit.starts_with("\"client_ip\";r=1;t=4") && limit.contains(", \"header\";r=2;t=28"),
        "{limit}"
    );
    assert_eq!(passing(&gateway, &fields("four")), 1);
    // The wait is that of the limits that refuse.
    let refused = ask(&mut gateway.connect(), &fields("five"));
    let seconds: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((430..=450).contains(&seconds), "{seconds}");
    assert!(
        refused
            .header("ratelimit")
            .unwrap()
            .contains("\"header\";r=3;t=0")
    );
}

#[test]
fn keys_are_values_of_requests_and_else_the_address() {
    let service = Service::echo("a");
    let from = |address: &str| format!("X-Forwarded-For: {address}\r\n");
    let long = "x".repeat(8000);
    for (by, groups) in [
        (
            "client_ip",
            vec![
                vec![from("192.0.2.1"), from("::ffff:192.0.2.1")],
                vec![from("192.0.2.2")],
                // The addresses of one /64 are of one client.
                vec![from("2001:db8::1"), from("2001:db8::ffff:ffff:ffff:ffff")],
                vec![from("2001:db8:0:1::1")],
            ],
        ),
        (
            "{ header: X-Key }",
            vec![
                vec!["X-Key: a\r\n".to_owned(), "x-key:  a \r\n".to_owned()],
                vec!["X-Key: b\r\n".to_owned()],
                vec![
                    "X-Key: a\r\nX-Key: b\r\n".to_owned(),
                    "X-Key: a, b\r\n".to_owned(),
                ],
                vec![format!("X-Key: {long}\r\n")],
                vec![format!("X-Key: {long}y\r\n")],
                // Without a value, or with an empty one, the address counts.
                vec![
                    String::new(),
                    "X-Key:\r\n".to_owned(),
                    "X-Other: a\r\n".to_owned(),
                ],
                vec![from("192.0.2.1"), from("192.0.2.1") + "X-Key: \r\n"],
                // A value is never an address.
                vec!["X-Key: 192.0.2.1\r\n".to_owned()],
            ],
        ),
        (
            "{ cookie: sid }",
            vec![
                vec![
                    "Cookie: sid=a\r\n".to_owned(),
                    "Cookie: x=y; sid=a; sid=b\r\n".to_owned(),
                ],
                vec!["Cookie: sid=b\r\n".to_owned()],
                vec![
                    String::new(),
                    "Cookie: SID=b\r\n".to_owned(),
                    "Cookie: sid=\r\n".to_owned(),
                ],
            ],
        ),
        (
            "route",
            vec![vec![from("192.0.2.1"), from("192.0.2.2"), String::new()]],
        ),
    ] {
        let gateway = limited(&service, &format!("rate: {{ requests: 4, per: 1h, by: {by} }}"));
        let mut client = gateway.connect();
        for group in &groups {
            let turns = group.iter().cycle().take(6);
            let statuses: Vec<u16> = turns.map(|fields| ask(&mut client, fields).status()).collect();
            assert_eq!(statuses, [200, 200, 200, 200, 429, 429], "{by} {group:?}");
        }
    }
}

#[test]
fn a_policy_is_one_table_and_a_route_has_its_own() {
    let service = Service::echo("a");
    let gateway = Gateway::with(
        Config::listening(&["name: public, rate: { requests: 3, per: 1h }"])
            .service(&service, "")
            .item("policies", &format!("  web: {{ {FIVE} }}"))
            .route("name: one, match: { path: /one }, to: a, use: web")
            .route("name: two, match: { path: /two }, to: a, use: web, timeout: 10s")
            .route(&format!(
                "name: own, match: {{ path: /own }}, to: a, use: web, {FIVE}"
            ))
            .route("name: none, match: { path: /none }, to: a, use: web, rate: off")
            .route("name: outer, match: { path: /outer }, to: a")
            .route("name: other, match: { path: /other }, respond: { status: 200 }"),
    );
    let mut client = gateway.connect();
    let mut pass = |paths: &[&str], count: usize| {
        let turns = paths.iter().cycle().take(count);
        let statuses = turns.map(|path| client.get(&format!("http://a.test{path}")).status());
        statuses.filter(|status| *status == 200).count()
    };
    assert_eq!(pass(&["/one", "/two"], 12), 5);
    assert_eq!(pass(&["/own"], 12), 5);
    assert_eq!(pass(&["/none"], 12), 12);
    assert_eq!(pass(&["/outer", "/other"], 12), 3);
    let metrics = gateway.metrics();
    for policy in ["web", "route own", "listener public"] {
        let line = format!("waypost_rate_keys{{policy=\"{policy}\"}} 1\n");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    for (route, over) in [("one", 3), ("two", 4), ("own", 7)] {
        let line = format!("waypost_rate_limited_total{{route=\"{route}\"}} {over}\n");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    let explained = gateway.explain("http://a.test/one");
    assert_eq!(explained["policies"]["rate"]["from"], "policy web");
    assert_eq!(explained["stopped"]["from"], "policy web");
    let explained = gateway.explain("http://a.test/outer");
    assert_eq!(explained["policies"]["rate"]["from"], "listener public");
}

#[test]
fn reported_requests_pass_and_are_counted() {
    let service = Service::echo("a");
    let gateway = limited(&service, "rate: { requests: 2, per: 1h, report_only: true }");
    assert_eq!(passing(&gateway, ""), 10);
    let response = ask(&mut gateway.connect(), "");
    assert_eq!(
        response.header("ratelimit"),
        None,
        "a limit that is not enforced is not told"
    );
    let metrics = gateway.metrics();
    assert!(
        metrics.contains("waypost_rate_limited_total{route=\"all\"} 9\n"),
        "{metrics}"
    );
    assert!(
        !metrics.contains("waypost_refusals_total{reason=\"rate\"}"),
        "{metrics}"
    );
    // Beside one that is enforced.
    let gateway = limited(
        &service,
        "rate: [{ requests: 2, per: 1h, report_only: true }, { requests: 4, per: 1h }]",
    );
    assert_eq!(passing(&gateway, ""), 4);
    assert!(
        gateway
            .metrics()
            .contains("waypost_rate_limited_total{route=\"all\"} 8\n")
    );
}

#[test]
fn asking_why_counts_nothing() {
    let service = Service::echo("a");
    let config = Config::new()
        .service(&service, "")
        .route("name: all, to: a, rate: [{ requests: 2, per: 1h }, { requests: 9, per: 1m, by: { header: x-key } }]")
        .test("request: GET http://a.test/, expect: { service: a }");
    let gateway = Gateway::with(&config);
    let explain =
        || gateway.explain_question(&json!({ "request": "GET http://a.test/", "client_ip": "127.0.0.1" }));
    for _ in 0..10 {
        let explained = explain();
        assert_eq!(explained["outcome"], "forward");
        let rate = json!([
            { "requests": 2, "per": "1h", "burst": 2, "by": "client_ip", "remaining": 1 },
            { "requests": 9, "per": "1m", "burst": 9, "by": "header x-key", "counted_by": "client_ip", "remaining": 8 },
        ]);
        assert_eq!(explained["rate"], rate);
    }
    assert!(
        !gateway.metrics().contains("waypost_rate_keys{"),
        "nothing was counted"
    );
    assert_eq!(passing(&gateway, ""), 2);
    let explained = explain();
    assert_eq!(
        (&explained["outcome"], &explained["status"]),
        (&json!("refused"), &json!(429))
    );
    assert_eq!(explained["stopped"]["step"], "rate");
    assert_eq!(explained["stopped"]["number"], 8);
    assert_eq!(explained["rate"][0]["remaining"], 0);
    assert!(explained["rate"][0]["retry_after"].as_u64().unwrap() > 1700);
    // Another client is not over it.
    let other =
        gateway.explain_question(&json!({ "request": "GET http://a.test/", "client_ip": "192.0.2.1" }));
    assert_eq!(other["outcome"], "forward");
    // The config's own tests, and words.
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("waypost.yaml"), &config).unwrap();
    for _ in 0..3 {
        waypost_in(directory.path(), &["test"]).expect(0);
    }
    let said = waypost_in(directory.path(), &["explain", "GET", "http://a.test/"])
        .expect(0)
        .stdout;
    assert!(
        said.contains("rate     2 in 1h, by client_ip; 1 would remain"),
        "{said}"
    );
    assert!(
        said.contains(
            "rate     9 in 1m, by header x-key, which is not there, so by client_ip; 8 would remain"
        ),
        "{said}"
    );
}

#[test]
fn a_reload_keeps_buckets_of_what_is_unchanged() {
    let service = Service::echo("a");
    let config = |web: &str, keys: &str| {
        Config::new()
            .service(&service, "")
            .item("policies", &format!("  web: {{ rate: {web} }}"))
            .route("name: shared, match: { path: /shared }, to: a, use: web")
            .route(&format!(
                "name: own, match: {{ path: /own }}, to: a, {FIVE}{keys}"
            ))
    };
    let five = "{ requests: 5, per: 1h }";
    let gateway = Gateway::with(config(five, ""));
    let pass = |path: &str, count: usize| {
        let mut client = gateway.connect();
        let statuses = (0..count).map(|_| client.get(&format!("http://a.test{path}")).status());
        statuses.filter(|status| *status == 200).count()
    };
    assert_eq!((pass("/shared", 3), pass("/own", 3)), (3, 3));
    // Other things change, and rules come before them.
    let more =
        config(five, ", timeout: 9s").route(&format!("name: new, match: {{ path: /new }}, to: a, {FIVE}"));
    gateway.replace(&more);
    gateway.wait_for_revision(2);
    assert_eq!((pass("/shared", 9), pass("/own", 9), pass("/new", 9)), (2, 2, 5));
    // Only what is done about it changes.
    gateway.replace(config("{ requests: 5, per: 1h, headers: off }", ""));
    gateway.wait_for_revision(3);
    assert_eq!((pass("/shared", 9), pass("/own", 9)), (0, 0));
    gateway.replace(config("{ requests: 6, per: 1h }", ""));
    gateway.wait_for_revision(4);
    assert_eq!((pass("/shared", 9), pass("/own", 9)), (6, 0));
}

#[test]
fn a_request_counts_once_whatever_becomes_of_it() {
    // Two attempts for each request, and a copy.
    let failing = Service::responding("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    let shadow = Service::echo("shadow");
    let name = failing.name();
    let gateway = Gateway::with(
        Config::new()
            .service(&failing, "")
            .service(&shadow, "")
            .route(&format!(
                "name: all, to: {name}, retry: {{ attempts: 1, backoff: 1ms }}, mirror: {{ to: shadow }}, {FIVE}"
            )),
    );
    let statuses = statuses(&gateway, "", 7);
    assert_eq!(statuses, [503, 503, 503, 503, 503, 429, 429]);
    let copies = |received: &[Vec<u8>]| {
        let all = String::from_utf8_lossy(&received.concat()).into_owned();
        all.matches("GET / HTTP/1.1").count()
    };
    shadow.wait_until(|received| copies(received) == 5);
    assert_eq!(failing.received().concat().matches("GET / HTTP/1.1").count(), 10);
}

#[test]
fn a_websocket_counts_once() {
    let service = Service::scripted(|talk| {
        while let Some(request) = talk.request_head() {
            if request.header("upgrade").is_none() {
                talk.send(ok("plain"));
                continue;
            }
            talk.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            );
            talk.expect("one");
            talk.send("two");
            return;
        }
    });
    let gateway = Gateway::with(Config::new().service(&service, "").route(&format!(
        "name: all, to: {}, rate: {{ requests: 2, per: 1h }}",
        service.name()
    )));
    let mut client = gateway.connect();
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.send(upgrade);
    let head = client.response_head();
    assert_eq!(head.status(), 101);
    assert!(
        head.header("ratelimit")
            .unwrap()
            .starts_with("\"client_ip\";r=1;")
    );
    client.send("one").expect("two");
    assert_eq!(gateway.get("http://a/").status(), 200);
    assert_eq!(gateway.ask(upgrade).status(), 429);
}

#[test]
fn what_is_judged_before_does_not_count_and_what_comes_after_does() {
    let service = Service::echo("a");
    let listener = "trusted_proxies: [127.0.0.1]";
    let gateway = Gateway::with(
        Config::listening(&[listener]).service(&service, "").route(
            "name: all, match: { path: /in/* }, to: a, access: { deny: [192.0.2.0/24] }, limits: { body_bytes: 3 }, \
             rate: { requests: 4, per: 1h, by: route }",
        ),
    );
    let mut client = gateway.connect();
    for _ in 0..9 {
        assert_eq!(client.get("http://a/elsewhere").status(), 404);
        let denied = request("GET", "http://a/in/x", "X-Forwarded-For: 192.0.2.7\r\n");
        assert_eq!(client.ask(denied).status(), 403);
    }
    let long = "POST /in/x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nlong";
    assert_eq!(gateway.ask(long).status(), 413);
    assert_eq!(gateway.ask(long).status(), 413);
    assert_eq!(client.get("http://a/in/x").status(), 200);
    assert_eq!(client.get("http://a/in/x").status(), 200);
    assert_eq!(gateway.ask(long).status(), 429);
    assert_eq!(client.get("http://a/in/x").status(), 429);
}

#[test]
fn a_call_that_is_refused_has_a_status_of_grpc() {
    let gateway = Gateway::with(Config::new().service_at("a", &["h2c://127.0.0.1:1"], "").route(
        "name: calls, match: { grpc: { service: shop.Orders } }, to: a, rate: { requests: 1, per: 1h }",
    ));
    let client = Http2Client::connect(gateway.address());
    let call = || {
        http::Request::post("http://a/shop.Orders/Get")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap()
    };
    assert_eq!(client.ask(call(), "").header("grpc-status"), Some("14"));
    let refused = client.ask(call(), "");
    assert_eq!(
        (refused.status(), refused.header("grpc-status")),
        (200, Some("8"))
    );
    assert_eq!(
        refused.header("grpc-message"),
        Some("there were too many requests")
    );
    assert!(refused.header("retry-after").is_some() && refused.header("ratelimit").is_some());
}

#[test]
fn errors_style_a_refusal() {
    let gateway = Gateway::with(
        Config::new()
            .key("errors: [{ status: 429, body: \"slow down, {client_ip}\", as: 503, headers: { x-why: rate } }]")
            .route("name: all, respond: { status: 200 }, rate: { requests: 1, per: 1h }"),
    );
    assert_eq!(gateway.get("http://a/").status(), 200);
    let refused = gateway.get("http://a/");
    assert_eq!(
        (refused.status(), refused.text()),
        (503, "slow down, 127.0.0.1".to_owned())
    );
    assert_eq!(refused.header("x-why"), Some("rate"));
    assert!(refused.header("retry-after").is_some());
    assert!(
        refused
            .header("ratelimit")
            .unwrap()
            .starts_with("\"client_ip\";r=0;")
    );
}

#[test]
fn idle_keys_leave() {
    let service = Service::echo("a");
    let gateway = limited(&service, "rate: { requests: 1, per: 1ms }");
    let mut client = gateway.connect();
    for host in 0..50 {
        let from = format!("X-Forwarded-For: 192.0.2.{host}\r\n");
        assert_eq!(ask(&mut client, &from).status(), 200);
    }
    wait_for("an empty table", || {
        let metrics = gateway.metrics();
        let is_empty = metrics.contains("waypost_rate_keys{policy=\"route all\"} 0\n");
        is_empty.then_some(())
    });
}

#[test]
fn limits_of_the_tables_are_listed() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("waypost.yaml"),
        Config::new().all_respond("x"),
    )
    .unwrap();
    let said = waypost_in(directory.path(), &["check", "--limits"])
        .expect(0)
        .stdout;
    for line in ["keys of a rate limit", "buckets of these keys"] {
        assert!(said.contains(line), "{line} in {said}");
    }
}

/// A file of keys with the keys of two customers.
fn customers() -> String {
    let lines = ["acme", "beta"].map(|name| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, format!("key-of-{name}\n")).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_waypost"));
        command.args(["hash-key", name, "--stdin"]);
        let output = command
            .stdin(std::fs::File::open(&path).unwrap())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    });
    lines.concat()
}

#[test]
fn customers_have_a_limit_each_wherever_they_come_from() {
    let service = Service::echo("a");
    let config = Config::listening(&["trusted_proxies: [127.0.0.1]"])
        .key("access_log: access.log")
        .service(&service, "")
        .route(
            "name: all, to: a, auth: { key: { header: x-key, file: keys } }, \
             rate: { requests: 3, per: 1h, by: identity }",
        );
    let gateway = Gateway::beside(&[("keys", &customers())], config);
    let mut client = gateway.connect();
    let mut status = |name: &str, host: usize| {
        let fields = format!("X-Key: key-of-{name}\r\nX-Forwarded-For: 192.0.2.{host}\r\n");
        ask(&mut client, &fields).status()
    };
    let found: Vec<u16> = (1..=4).map(|host| status("acme", host)).collect();
    assert_eq!(found, [200, 200, 200, 429]);
    // One that is not known is not counted, and takes nothing from others.
    assert_eq!((1..=4).map(|_| status("nobody", 1)).max(), Some(401));
    let found: Vec<u16> = (1..=4).map(|_| status("beta", 1)).collect();
    assert_eq!(found, [200, 200, 200, 429]);
    let lines = wait_for_log(&gateway, 12);
    let refused: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["refused_by"].as_str())
        .collect();
    assert_eq!(refused, ["rate", "auth", "auth", "auth", "auth", "rate"]);
    assert_eq!(lines[3]["identity"], "acme");
    assert_eq!(lines[3]["failed"], false);
    let explained = gateway.explain_question(&json!({
        "request": "GET http://a.test/",
        "headers": [["x-key", "key-of-acme"]],
    }));
    assert_eq!(explained["stopped"]["step"], "rate");
    assert_eq!(explained["rate"][0]["by"], "identity");
    assert!(
        !explained["rate"].to_string().contains("acme"),
        "values of keys are not shown"
    );
}

#[test]
fn preflights_are_not_counted_and_pages_read_a_refusal() {
    let service = Service::echo("a");
    let gateway = limited(
        &service,
        "cors: { origins: [\"https://app.example.com\"], expose: [retry-after] }, rate: { requests: 1, per: 1h }",
    );
    let origin = "Origin: https://app.example.com\r\n";
    let mut client = gateway.connect();
    for _ in 0..5 {
        let fields = format!("{origin}Access-Control-Request-Method: PUT\r\n");
        assert_eq!(
            client.ask(request("OPTIONS", "http://a.test/", &fields)).status(),
            204
        );
    }
    assert_eq!(ask(&mut client, origin).status(), 200);
    let refused = ask(&mut client, origin);
    assert_eq!(refused.status(), 429);
    let allowed = refused.header("access-control-allow-origin");
    assert_eq!(allowed, Some("https://app.example.com"));
}
