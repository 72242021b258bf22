//! Hedges: a second attempt beside one whose response is late, of which the client gets the one that is first.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use bytes::Bytes;
use http::{Request, Response};

use crate::support::client::Client;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::{Http2Client, Http2Service};
use crate::support::service::{Service, Talk, echo, gate, ok};
use crate::support::wait_for;

const HEDGE: &str = "hedge: 20ms, retry: { backoff: 0ms }";

/// A gateway with one route to a service of these endpoints, with further keys of the route.
fn gateway(endpoints: &[&Service], keys: &str) -> Gateway {
    let urls: Vec<String> = endpoints.iter().map(|service| service.url()).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let config = Config::new().key("access_log: stdout").service_at("s", &urls, "");
    Gateway::with(config.route(&format!("name: all, to: s, {keys}")))
}

/// Two endpoints with a script for the first request, and one for the second, wherever they come.
fn in_turn(
    first: impl Fn(&mut Talk) + Send + Sync + 'static,
    second: impl Fn(&mut Talk) + Send + Sync + 'static,
) -> [Service; 2] {
    let scripts = Arc::new((AtomicUsize::new(0), first, second));
    [(); 2].map(|()| {
        let scripts = Arc::clone(&scripts);
        Service::scripted(move |talk| {
            if talk.request().is_some() {
                match scripts.0.fetch_add(1, Ordering::SeqCst) {
                    0 => (scripts.1)(talk),
                    _ => (scripts.2)(talk),
                }
            }
        })
    })
}

fn asked(services: &[Service]) -> Vec<usize> {
    let count = |service: &Service| service.received().concat().matches(" HTTP/1.1\r\n").count();
    let mut counts: Vec<usize> = services.iter().map(count).collect();
    counts.sort_unstable();
    counts
}

#[test]
fn second_attempt_wins_and_the_first_is_ended() {
    let (ended, hear) = mpsc::channel();
    let ended = Mutex::new(ended);
    let services = in_turn(
        move |talk| {
            talk.read_to_end();
            ended.lock().unwrap().send(()).unwrap();
        },
        |talk| talk.send(ok("second")),
    );
    let gateway = gateway(&[&services[0], &services[1]], HEDGE);
    let response = gateway.get("http://a/");
    assert_eq!((response.status(), response.text().as_str()), (200, "second"));
    hear.recv().unwrap();
    assert_eq!(asked(&services), [1, 1]);
    let line: serde_json::Value = serde_json::from_str(&gateway.wait_for_stdout("\"retries\":1")).unwrap();
    assert_eq!(line["status"], 200);
    let winner = services
        .iter()
        .find(|service| line["endpoint"] == service.address().to_string());
    assert!(winner.is_some(), "{line}");
    let metrics = gateway.metrics();
    for series in [
        r#"waypost_requests_total{route="all",service="s",code="200"} 1"#,
        r#"waypost_retries_total{route="all",service="s"} 1"#,
    ] {
        assert!(metrics.contains(series), "{metrics}");
    }
}

#[test]
fn first_attempt_wins_and_the_second_is_ended() {
    let (opener, gate) = gate();
    let (ended, hear) = mpsc::channel();
    let (opener, ended) = (Mutex::new(opener), Mutex::new(ended));
    let services = in_turn(
        move |talk| {
            gate.wait();
            talk.send(ok("first"));
            talk.read_to_end();
        },
        move |talk| {
            opener.lock().unwrap().open();
            talk.read_to_end();
            ended.lock().unwrap().send(()).unwrap();
        },
    );
    let gateway = gateway(&[&services[0], &services[1]], HEDGE);
    let mut client = gateway.connect();
    assert_eq!(client.get("http://a/").text(), "first");
    hear.recv().unwrap();
    assert_eq!(asked(&services), [1, 1]);
}

#[test]
fn body_sent_to_both_and_each_gets_its_own_authority() {
    let services = in_turn(Talk::read_to_end, |talk| talk.send(ok("second")));
    let gateway = gateway(&[&services[0], &services[1]], HEDGE);
    let body = "x".repeat(20_000);
    let response = gateway.ask(format!(
        "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n{body}"
    ));
    assert_eq!(response.text(), "second");
    for service in &services {
        assert!(service.received().concat().ends_with(&body));
    }

    let services = in_turn(Talk::read_to_end, |talk| talk.send(ok("second")));
    let gateway = self::gateway(&[&services[0], &services[1]], HEDGE);
    assert_eq!(gateway.ask("GET /x HTTP/1.0\r\n\r\n").text(), "second");
    for service in &services {
        let host = format!("\r\nhost: {}\r\n", service.address());
        assert!(service.received().concat().to_lowercase().contains(&host));
    }
}

#[test]
fn declined_response_does_not_win() {
    let busy = "HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n";
    for hedge_says in [busy, "", "nonsense", "HTTP/1.1 101 X\r\nUpgrade: x\r\n\r\n"] {
        let (opener, gate) = gate();
        let opener = Mutex::new(opener);
        let services = in_turn(
            move |talk| {
                gate.wait();
                talk.send(ok("first"));
            },
            move |talk| {
                talk.send(hedge_says);
                talk.finish_sending();
                talk.read_to_end();
                opener.lock().unwrap().open();
            },
        );
        let gateway = gateway(&[&services[0], &services[1]], HEDGE);
        assert_eq!(gateway.get("http://a/").text(), "first", "{hedge_says:?}");
        assert_eq!(asked(&services), [1, 1], "{hedge_says:?}");
    }
}

#[test]
fn hedge_takes_the_place_of_an_attempt_that_fails() {
    let busy = "HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n";
    for first_says in [busy, "", "nonsense"] {
        let (to_first, first) = gate();
        let (to_second, second) = gate();
        let (to_first, to_second) = (Mutex::new(to_first), Mutex::new(to_second));
        let services = in_turn(
            move |talk| {
                first.wait();
                talk.send(first_says);
                talk.finish_sending();
                talk.read_to_end();
                to_second.lock().unwrap().open();
            },
            move |talk| {
                to_first.lock().unwrap().open();
                second.wait();
                talk.send(ok("second"));
            },
        );
        let gateway = gateway(&[&services[0], &services[1]], HEDGE);
        assert_eq!(gateway.get("http://a/").text(), "second", "{first_says:?}");
        assert_eq!(asked(&services), [1, 1], "{first_says:?}");
    }
}

#[test]
fn interim_responses_win_nothing() {
    let (opener, gate) = gate();
    let opener = Mutex::new(opener);
    let services = in_turn(
        move |talk| {
            gate.wait();
            talk.send(ok("first"));
        },
        move |talk| {
            talk.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
            opener.lock().unwrap().open();
            talk.read_to_end();
        },
    );
    let gateway = gateway(&[&services[0], &services[1]], HEDGE);
    assert_eq!(gateway.get("http://a/").text(), "first");

    let services = in_turn(Talk::read_to_end, |talk| {
        talk.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
        talk.send(ok("second"));
    });
    let gateway = self::gateway(&[&services[0], &services[1]], HEDGE);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.expect("HTTP/1.1 103 Early Hints\r\n").expect("\r\n\r\n");
    assert_eq!(client.response().text(), "second");
}

/// Sends a request that must not be hedged, and lets it be answered once another one, which came later, was hedged.
fn check_not_hedged(request: &str, keys: &str) {
    let (opener, gate) = gate();
    let opener = Mutex::new(opener);
    let gate = Arc::new(gate);
    let services = [(); 2].map(|()| {
        let gate = Arc::clone(&gate);
        Service::scripted(move |talk| {
            let Some(request) = talk.request() else { return };
            match request.target() {
                "/later" => talk.read_to_end(),
                _ => {
                    gate.wait();
                    talk.send(echo("a", &request));
                }
            }
        })
    });
    let gateway = gateway(&[&services[0], &services[1]], keys);
    let mut client = gateway.connect();
    client.send(request);
    let got = |target: &str| {
        let count = |service: &Service| service.received().concat().matches(target).count();
        services.iter().map(count).sum::<usize>()
    };
    wait_for("the request", || (got("/once") == 1).then_some(()));
    let mut other = gateway.connect();
    other.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for("the hedge", || (got("/later") == 2).then_some(()));
    opener.lock().unwrap().open();
    assert_eq!(client.response().status(), 200);
    assert_eq!(got("/once"), 1, "{request:.60}");
}

#[test]
fn only_what_may_be_sent_twice_is_hedged() {
    check_not_hedged(
        "POST /once HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        HEDGE,
    );
    let long = "x".repeat(40_000);
    check_not_hedged(
        &format!("PUT /once HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n{long}"),
        HEDGE,
    );
    check_not_hedged(
        "GET /once HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        HEDGE,
    );
}

#[test]
fn single_endpoint_has_no_hedge() {
    let up = Service::scripted(|talk| {
        if let Some(request) = talk.request() {
            talk.send(echo("a", &request));
        }
    });
    let down = Service::refusing();
    for endpoints in [&[&up][..], &[&up, &down]] {
        // Whatever the time, there is no other endpoint.
        let gateway = gateway(endpoints, "hedge: 1ms, retry: { timeout: 10s }");
        for _ in 0..20 {
            assert_eq!(gateway.get("http://a/").json()["service"], "a");
        }
    }
    assert_eq!(asked(&[up]), [40]);
}

#[test]
fn hedges_keep_to_the_budget() {
    let services = [(); 2].map(|()| {
        Service::scripted(|talk| {
            if talk.request().is_some() {
                talk.read_to_end();
            }
        })
    });
    let gateway = gateway(
        &[&services[0], &services[1]],
        "hedge: 1ms, retry: { on: [503], budget: 0 }",
    );
    let clients: Vec<Client> = (0..40)
        .map(|_| {
            let mut client = gateway.connect();
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect();
    // The time of each hedge comes: it is made, or denied.
    let made = wait_for("the hedges", || {
        let metrics = gateway.metrics();
        let count = |series: &str| {
            let mut lines = metrics.lines();
            let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
            value.map_or(0, |value| value.parse::<usize>().unwrap())
        };
        let made = count(r#"waypost_retries_total{route="all",service="s"}"#);
        let denied = count(r#"waypost_retries_denied_total{service="s"}"#);
        (made + denied == clients.len()).then_some(made)
    });
    assert!((30..=33).contains(&made), "{made}");
    wait_for("the attempts", || {
        (asked(&services).iter().sum::<usize>() == clients.len() + made).then_some(())
    });
}

#[test]
fn streams_of_http2_services_are_hedged_and_the_loser_is_reset() {
    let order = Arc::<AtomicUsize>::default();
    let (ended, hear) = mpsc::channel();
    let services = [(); 2].map(|()| {
        let (order, ended) = (Arc::clone(&order), ended.clone());
        Http2Service::start(move |request, mut respond| {
            let (order, ended) = (Arc::clone(&order), ended.clone());
            async move {
                let mut body = request.into_body();
                let mut text = Vec::new();
                while let Some(Ok(data)) = body.data().await {
                    text.extend_from_slice(&data);
                }
                if order.fetch_add(1, Ordering::SeqCst) == 0 {
                    let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
                    ended.send(reason.ok()).unwrap();
                    return;
                }
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                stream.send_data(Bytes::from(text), true).unwrap();
            }
        })
    });
    let urls: Vec<String> = services.iter().map(Http2Service::url).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let config = Config::new()
        .service_at("s", &urls, "http2: true")
        .route(&format!("name: all, to: s, {HEDGE}"));
    let gateway = Gateway::with(config);
    let client = Http2Client::connect(gateway.address());
    let response = client.ask(Request::put("http://a/x").body(()).unwrap(), "some body");
    assert_eq!((response.status(), response.text().as_str()), (200, "some body"));
    assert_eq!(hear.recv().unwrap(), Some(h2::Reason::CANCEL));
}
