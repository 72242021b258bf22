//! Mirrored requests: their content and share, and no effect on the original exchange.

use crate::support::client::Client;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::message::Message;
use crate::support::service::{Service, ok};
use crate::support::wait_for;

/// A gateway that forwards to `main` and mirrors to `shadow`, with further keys of the route.
fn mirrored(main: &Service, shadow: &Service, keys: &str) -> Gateway {
    let (to, mirror) = (main.name(), shadow.name());
    Gateway::with(
        Config::new()
            .service(main, "")
            .service(shadow, "")
            .route(&format!("name: all, to: {to}, mirror: {{ to: {mirror} }}{keys}")),
    )
}

fn post(client: &mut Client, path: &str, body: &str) -> Message {
    client.ask(format!(
        "POST {path} HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

#[test]
fn copy_is_the_forwarded_request_with_a_mark() {
    let (main, shadow) = (Service::echo("main"), Service::echo("shadow"));
    let keys = ", rewrite: { host: b.internal }, request_headers: { set: { x-gateway: waypost } }";
    let gateway = mirrored(&main, &shadow, keys);
    let mut client = gateway.connect();
    let sent = "POST /a?b=c HTTP/1.1\r\nHost: a.example\r\nX-One: 1\r\nX-Waypost-Mirror: forged\r\n\
                Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello";
    let response = client.ask(sent);
    assert_eq!(
        response.json()["service"],
        "main",
        "the response is the main service's"
    );
    shadow.wait_for("hello");
    let copy = shadow.received().concat();
    assert!(
        copy.starts_with("POST /a?b=c HTTP/1.1\r\nHost: b.internal\r\n"),
        "{copy}"
    );
    for line in [
        "X-One: 1",
        "x-gateway: waypost",
        "x-waypost-mirror: all",
        "content-length: 5",
    ] {
        assert_eq!(
            copy.matches(&format!("{line}\r\n")).count(),
            1,
            "{line} in {copy}"
        );
    }
    assert!(
        !copy.contains("forged") && !copy.to_lowercase().contains("expect"),
        "{copy}"
    );
    assert!(
        !main.received().concat().contains("x-waypost-mirror: all"),
        "the forwarded request has no mark"
    );
}

#[test]
fn bodiless_and_chunked_requests_copied() {
    let (main, shadow) = (Service::echo("main"), Service::echo("shadow"));
    let gateway = mirrored(&main, &shadow, "");
    let mut client = gateway.connect();
    assert_eq!(client.get("http://a/plain").status(), 200);
    shadow.wait_for("GET /plain ");
    let chunked = "PUT /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_eq!(client.ask(chunked).status(), 200);
    shadow.wait_for("content-length: 5\r\n\r\nabcde");
}

#[test]
fn unresponsive_mirror_does_not_delay_requests() {
    let main = Service::echo("main");
    let silent = Service::named("silent", |talk| talk.read_to_end());
    for shadow in [silent, Service::refusing()] {
        let gateway = mirrored(&main, &shadow, "");
        let mut client = gateway.connect();
        // More than the limit of concurrent copies.
        for turn in 0..300 {
            assert_eq!(
                post(&mut client, "/", &format!("{turn}")).json()["service"],
                "main"
            );
        }
    }
}

#[test]
fn oversized_bodies_forwarded_but_not_copied() {
    let main = Service::responding(ok("main"));
    let shadow = Service::echo("shadow");
    let gateway = mirrored(&main, &shadow, "");
    let mut client = gateway.connect();
    let long = "x".repeat((64 << 10) + 1);
    assert_eq!(post(&mut client, "/announced", &long).text(), "main");
    let chunked = format!(
        "PUT /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n",
        long.len()
    );
    assert_eq!(client.ask(chunked).text(), "main");
    let fits = &long[1..];
    assert_eq!(post(&mut client, "/fits", fits).text(), "main");
    shadow.wait_for(fits);
    let seen = shadow.received().concat();
    assert!(
        !seen.contains("/announced") && !seen.contains("/chunked"),
        "only what fits is copied"
    );
}

#[test]
fn only_the_configured_share_copied() {
    let (main, shadow) = (Service::echo("main"), Service::echo("shadow"));
    let config = |share: &str| {
        Config::new()
            .service(&main, "")
            .service(&shadow, "")
            .route(&format!("name: all, to: main, mirror: {{ to: shadow, {share} }}"))
            .route("name: last, match: { path: /last }, to: main, mirror: { to: shadow }")
    };
    let gateway = Gateway::with(config("percent: 0"));
    let mut client = gateway.connect();
    for _ in 0..50 {
        assert_eq!(client.get("http://a/none").status(), 200);
    }
    assert_eq!(client.get("http://a/last").status(), 200);
    shadow.wait_for("GET /last ");
    assert!(!shadow.received().concat().contains("/none"));
    gateway.rewrite(config("fraction: { numerator: 1, denominator: 2 }"));
    gateway.wait_for_revision(2);
    let mut client = gateway.connect();
    for _ in 0..400 {
        assert_eq!(client.get("http://a/half").status(), 200);
    }
    assert_eq!(client.get("http://a/last").status(), 200);
    shadow.wait_until(|connections| {
        let all = connections.concat();
        String::from_utf8_lossy(&all).matches("GET /last ").count() == 2
    });
    let copies = shadow.received().concat().matches("GET /half ").count();
    // Eight standard deviations of the binomial distribution.
    assert!((120..=280).contains(&copies), "{copies} of 400");
}

#[test]
fn copy_sent_before_the_response() {
    let main = Service::named("main", |talk| {
        talk.request();
        // No response ever comes.
        talk.read_to_end();
    });
    let shadow = Service::echo("shadow");
    let gateway = mirrored(&main, &shadow, "");
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    shadow.wait_for("hello");
}

#[test]
fn endless_mirror_response_abandoned() {
    let main = Service::responding(ok("main"));
    let endless = Service::named("endless", |talk| {
        if talk.request().is_some() {
            talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
            while talk.try_send(&chunk) {}
        }
    });
    let gateway = mirrored(&main, &endless, "");
    assert_eq!(gateway.get("http://a/").text(), "main");
    let series = "outcome=\"responded\"} 1\n";
    wait_for("the count", || {
        let metrics = gateway.metrics();
        metrics.contains(series).then_some(())
    });
}
