//! Copies of requests: what is copied, and that nobody waits for it.

use crate::support::client::Client;
use crate::support::gateway::{Gateway, LISTENER, services};
use crate::support::message::Message;
use crate::support::service::{Service, ok};
use crate::support::wait_for;

fn mirrored(main: &Service, shadow: &Service, keys: &str) -> Gateway {
    Gateway::with(format!(
        "{LISTENER}{}routes:\n  - name: all\n    to: {}\n    mirror: {{ to: {} }}\n{keys}",
        services([main, shadow]),
        main.name(),
        shadow.name(),
    ))
}

fn post(client: &mut Client, path: &str, body: &str) -> Message {
    client.ask(format!(
        "POST {path} HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

#[test]
fn a_copy_is_the_request_with_a_mark() {
    let (main, shadow) = (Service::echo("main"), Service::echo("shadow"));
    let keys = "    rewrite: { host: b.internal }\n    request_headers: { set: { x-gateway: waypost } }\n";
    let gateway = mirrored(&main, &shadow, keys);
    let mut client = gateway.connect();
    let sent = "POST /a?b=c HTTP/1.1\r\nHost: a.example\r\nX-One: 1\r\nX-Waypost-Mirror: forged\r\n\
                Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello";
    let answer = client.ask(sent);
    assert_eq!(
        answer.json()["service"],
        "main",
        "the client hears of nobody else"
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
        "the request itself has none"
    );
}

#[test]
fn requests_without_a_body_and_with_chunks_are_copied() {
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
fn a_mirror_that_never_answers_or_refuses_holds_up_nobody() {
    let main = Service::echo("main");
    let silent = Service::named("silent", |talk| talk.read_to_end());
    for shadow in [silent, Service::refusing()] {
        let gateway = mirrored(&main, &shadow, "");
        let mut client = gateway.connect();
        // More than may be under way.
        for turn in 0..300 {
            assert_eq!(
                post(&mut client, "/", &format!("{turn}")).json()["service"],
                "main"
            );
        }
    }
}

#[test]
fn a_body_that_is_too_long_is_not_copied_and_passes_all_the_same() {
    let main = Service::answering(ok("main"));
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
fn only_the_share_that_is_asked_for_is_copied() {
    let (main, shadow) = (Service::echo("main"), Service::echo("shadow"));
    let config = |share: &str| {
        format!(
            "{LISTENER}{}routes:\n  - {{ name: all, to: main, mirror: {{ to: shadow, {share} }} }}\n  \
             - {{ name: last, match: {{ path: /last }}, to: main, mirror: {{ to: shadow }} }}\n",
            services([&main, &shadow])
        )
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
    // Eight standard deviations.
    assert!((120..=280).contains(&copies), "{copies} of 400");
}

#[test]
fn a_copy_does_not_wait_for_the_answer() {
    let main = Service::named("main", |talk| {
        talk.request();
        // Nobody answers; the copy is there all the same.
        talk.read_to_end();
    });
    let shadow = Service::echo("shadow");
    let gateway = mirrored(&main, &shadow, "");
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    shadow.wait_for("hello");
}

#[test]
fn an_answer_to_a_copy_that_never_ends_is_not_read_for_ever() {
    let main = Service::answering(ok("main"));
    let endless = Service::named("endless", |talk| {
        if talk.request().is_some() {
            talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
            while talk.try_send(&chunk) {}
        }
    });
    let gateway = mirrored(&main, &endless, "");
    assert_eq!(gateway.get("http://a/").text(), "main");
    let series = "outcome=\"answered\"} 1\n";
    wait_for("the count", || {
        let metrics = gateway.admin("GET", "/metrics", "", "").text();
        metrics.contains(series).then_some(())
    });
}
