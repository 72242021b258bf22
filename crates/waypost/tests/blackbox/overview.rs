//! The figures of a page about a gateway and its routes: reasons of its health, certificates, histograms, policies in force.

use serde_json::{Value, json};

use crate::support::client::get;
use crate::support::config::Config;
use crate::support::gateway::{Gateway, certificates};
use crate::support::service::{Service, ok};
use crate::support::tls::Authority;
use crate::support::wait_for;

/// Kind, severity and message of each reason, with the word for all of them.
fn health(gateway: &Gateway) -> (String, Vec<(String, String, String)>) {
    let status = gateway.admin_json("/api/v1/status");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let reasons = status["reasons"].as_array().unwrap().iter();
    let reasons = reasons.map(|reason| {
        (
            text(&reason["kind"]),
            text(&reason["severity"]),
            text(&reason["message"]),
        )
    });
    (text(&status["health"]), reasons.collect())
}

#[test]
fn health_has_reasons() {
    let service = Service::refusing_as("a");
    let config = Config::new().service(&service, "").route("name: all, to: a");
    let gateway = Gateway::with(&config);
    assert_eq!(health(&gateway), ("ok".to_owned(), Vec::new()));
    let mut client = gateway.connect();
    for _ in 0..5 {
        assert_eq!(client.ask(get("http://x/")).status(), 502);
    }
    gateway.rewrite("nonsense: 1\n");
    let reasons = wait_for("three reasons", || {
        let (word, reasons) = health(&gateway);
        assert!(["ok", "error"].contains(&&*word), "{word}");
        (reasons.len() == 3).then_some(reasons)
    });
    let has = |kind: &str, part: &str| {
        let mut reasons = reasons.iter();
        assert!(
            reasons
                .any(|(of, severity, message)| of == kind && severity == "error" && message.contains(part)),
            "{kind}: {reasons:?}"
        );
    };
    has("config", "the config was refused, revision 1 stays active: ");
    has("route", "route `all`: 5 of 5 requests failed in the last ");
    has("service", "service `a`: ");
}

#[test]
fn health_names_the_side_of_a_split_that_fails() {
    let good = Service::echo("good");
    let bad = Service::named("bad", |talk| {
        while talk.request().is_some() {
            talk.send("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let config = Config::new().service(&good, "").service(&bad, "");
    let gateway = Gateway::with(config.route("name: all, to: { good: 50, bad: 50 }"));
    let mut client = gateway.connect();
    for _ in 0..60 {
        client.ask(get("http://x/"));
    }
    let reason = |part: &str| {
        wait_for(part, || {
            let status = gateway.admin_json("/api/v1/status");
            let reason = status["reasons"].get(0)?.clone();
            reason["message"].as_str()?.contains(part).then_some(reason)
        })
    };
    let told = reason(" at `bad`, 0 of ");
    assert_eq!((&told["name"], &told["service"]), (&json!("all"), &json!("bad")));
    let weights = r#"{"good":100,"bad":0}"#;
    let dialed = gateway.admin(
        "PUT",
        "/api/v1/routes/all/split",
        "Content-Type: application/json\r\n",
        weights,
    );
    assert_eq!(dialed.status(), 200, "{}", dialed.text());
    reason("; `bad` gets no requests now");
}

#[test]
fn small_share_of_requests_that_fails_at_one_service_is_a_reason() {
    let good = Service::echo("good");
    let bad = Service::named("bad", |talk| {
        while talk.request().is_some() {
            talk.send("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let config = Config::new().service(&good, "").service(&bad, "");
    let gateway = Gateway::with(config.route(
        "name: all, to: { good: 99, bad: 1 }, force: { header: x-arm, values: { good: good, bad: bad } }",
    ));
    let mut client = gateway.connect();
    let mut send = |arm: &str, times: usize| {
        for _ in 0..times {
            client.ask(format!("GET / HTTP/1.1\r\nHost: x\r\nx-arm: {arm}\r\n\r\n"));
        }
    };
    send("good", 700);
    // Four are not enough to tell.
    send("bad", 4);
    let page = |has_come: &dyn Fn(&Value) -> bool| {
        wait_for("the figures", || {
            let page = gateway.admin_json("/api/v1/routes?figures=true&search=failing");
            let row = page["routes"].get(0)?.clone();
            has_come(&row).then_some(row)
        })
    };
    let row = page(&|row| row["figures"]["failures"] == 4);
    assert_eq!(row.get("health"), None, "{row}");
    send("bad", 2);
    let row = page(&|row| row["figures"]["failures"] == 6);
    let health = &row["health"];
    assert_eq!(
        (&health["service"], &health["severity"]),
        (&json!("bad"), &json!("error"))
    );
    assert!(
        health["message"]
            .as_str()
            .unwrap()
            .contains(": 6 of 6 at `bad`, 0 of 700 at `good`"),
        "{health}"
    );
    let word = |expected: &str| {
        wait_for(expected, || {
            let status = gateway.admin_json("/api/v1/status");
            (status["word"] == expected).then_some(status)
        })
    };
    assert_eq!(word("failing")["reasons"][0]["name"], "all");
    gateway.dial("all", &json!({ "good": 100, "bad": 0 }));
    // So few of all requests, and none any more: nothing needs a look.
    let status = word("healthy");
    assert_eq!(status["reasons"], json!([]));
}

#[test]
fn certificates_come_by_their_end() {
    let authority = Authority::new();
    let good = authority.issue(&["a.test", "*.b.test"]);
    let ended = authority.issue_with(&["old.test"], |params| {
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(2001, 2, 3);
    });
    let tls = format!("name: web, tls: {{ {} }}", certificates(2));
    let config = Config::listening(&[&tls]).route("name: all, respond: { status: 200 }");
    let gateway = Gateway::under_tls(&[&good, &ended], &[], config);
    let listed = gateway.admin_json("/api/v1/certificates");
    let shown = |at: usize| (&listed[at]["names"], &listed[at]["file"], &listed[at]["listener"]);
    assert_eq!(shown(0), (&json!(["old.test"]), &json!("2.crt"), &json!("web")));
    assert_eq!(
        shown(1),
        (&json!(["a.test", "*.b.test"]), &json!("1.crt"), &json!("web"))
    );
    assert_eq!(listed[0]["not_after"], "2001-02-03T00:00:00Z");
    assert!(listed[0]["days"].as_i64().unwrap() < -8000 && listed[1]["days"].as_i64().unwrap() > 0);
    let (word, reasons) = health(&gateway);
    assert_eq!(word, "error");
    assert!(
        reasons[0].2.contains("`2.crt` of old.test has ended"),
        "{reasons:?}"
    );
    let plain = Gateway::with(Config::new().all_respond("yes"));
    assert_eq!(plain.admin_json("/api/v1/certificates"), json!([]));
}

#[test]
fn statistics_have_a_histogram_and_statuses() {
    let service = Service::named("a", |talk| {
        while let Some(request) = talk.request() {
            match request.target().contains("bad") {
                true => talk.send("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"),
                false => talk.send(ok("yes")),
            }
        }
    });
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    for path in ["ok", "ok", "bad"] {
        client.ask(get(&format!("http://x/{path}")));
    }
    let route = gateway.admin_json("/api/v1/routes")[0]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let stats = gateway.admin_json(&format!("/api/v1/stats?route={route}&detail=true"));
    let arm = &stats["routes"][0]["arms"][0];
    assert_eq!(arm["statuses"], json!({ "200": 2, "503": 1 }));
    let buckets = arm["latency"].as_array().unwrap();
    let count: u64 = buckets
        .iter()
        .map(|bucket| bucket["count"].as_u64().unwrap())
        .sum();
    assert_eq!(count, 3, "{buckets:?}");
    for bucket in buckets {
        assert!(bucket["from_ms"].as_f64().unwrap() < bucket["to_ms"].as_f64().unwrap());
    }
    let brief = gateway.admin_json(&format!("/api/v1/stats?route={route}"));
    assert_eq!(brief["routes"][0]["arms"][0]["latency"], Value::Null);
    assert_eq!(
        gateway.admin("GET", "/api/v1/stats?detail=true", "", "").status(),
        422
    );
}

#[test]
fn route_has_its_policies_by_listener() {
    let config = Config::listening(&["name: in", "name: out, use: [slow]"])
        .key("policies: { slow: { timeout: 9s } }")
        .service_at("a", &["http://127.0.0.1:9"], "")
        .route("name: to, match: { path: /api/* }, to: a, rewrite: { prefix: /v1 }, timeout: 2s")
        .route("name: plain, match: { path: /plain }, to: a")
        .route("name: answer, match: { path: /x }, respond: { status: 404, body: \"no {path}\" }")
        .route("name: moved, match: { path: /y }, redirect: { host: other.example, status: 308 }");
    let gateway = Gateway::with(config);
    let route = |name: &str| gateway.admin_json(&format!("/api/v1/routes/{name}"));
    let to = route("to");
    assert_eq!(
        to["policies"],
        json!([
            { "key": "rewrite", "from": "route to", "text": "prefix of the path `/v1`" },
            { "key": "timeout", "from": "route to", "text": "2s" },
        ])
    );
    let plain = route("plain");
    assert_eq!(plain["policies"], json!([]));
    assert_eq!(
        plain["by_listener"],
        json!([{
            "listener": "out",
            "policies": [{ "key": "timeout", "from": "policy slow", "used_by": "listener out", "text": "9s" }],
        }])
    );
    let answer = route("answer");
    assert_eq!(answer["response"]["status"], 404);
    assert_eq!(answer["response"]["body"], "no …");
    let moved = route("moved");
    assert_eq!(
        (&moved["response"]["status"], &moved["response"]["location"]),
        (&json!(308), &json!("host `other.example`"))
    );
}
