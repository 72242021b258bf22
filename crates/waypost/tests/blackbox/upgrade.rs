//! WebSocket and other upgrades: that a tunnel begins with the service's word, and lasts.

use http::Request;
use rustix::process::Signal;

use crate::support::client::Client;
use crate::support::gateway::{Gateway, LISTENER, everything_to, services};
use crate::support::http2::{Frames, Http2Client, PROTOCOL_ERROR};
use crate::support::service::{Service, Talk, ok};
use crate::support::tls::{Authority, Trusting};

const ASK: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A service that changes protocols, then answers each line with itself in capitals, until it reads `bye`.
fn shouting() -> Service {
    Service::scripted(|talk| {
        talk.request_head();
        talk.send(SWITCHED);
        shout(talk);
    })
}

fn shout(talk: &mut Talk) {
    for number in 0.. {
        let line = format!("line {number}\n");
        talk.expect(&line);
        talk.send(line.to_uppercase());
    }
}

/// A client whose connection has been upgraded.
fn upgraded(gateway: &Gateway) -> Client {
    let mut client = gateway.connect();
    let answer = client.send(ASK).answer_head();
    assert_eq!(answer.status(), 101, "{}", answer.head);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert_eq!(answer.header("connection"), Some("upgrade"));
    client
}

/// Says a line, and hears it again.
fn say(client: &mut Client, number: u32) {
    client
        .send(format!("line {number}\n"))
        .expect(&format!("LINE {number}\n"));
}

#[test]
fn bytes_go_both_ways_once_the_service_has_agreed() {
    let service = shouting();
    let gateway = Gateway::to(&service);
    let mut client = upgraded(&gateway);
    for number in 0..5 {
        say(&mut client, number);
    }
    let head = &service.received()[0];
    for line in [
        "connection: upgrade\r\n",
        "upgrade: websocket\r\n",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ] {
        assert!(head.contains(line), "{line:?} in {head}");
    }
}

#[test]
fn nothing_behind_the_request_is_forwarded_before_the_service_agrees() {
    let (let_go, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let service = Service::scripted(move |talk| {
        talk.request_head();
        let _ = gate.lock().unwrap().recv();
        talk.send(SWITCHED);
        shout(talk);
    });
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    client.send(format!("{ASK}line 0\n"));
    service.wait_for("\r\n\r\n");
    assert!(
        service.received()[0].ends_with("\r\n\r\n"),
        "{:?}",
        service.received()
    );
    let_go.send(()).unwrap();
    assert_eq!(client.answer_head().status(), 101);
    client.expect("LINE 0\n");
}

#[test]
fn a_service_that_does_not_agree_is_asked_as_ever() {
    let service = Service::scripted(|talk| {
        while talk.request().is_some() {
            talk.send("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno");
        }
    });
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    // What follows is a request, and not for the service to read as anything else.
    client.send(format!("{ASK}GET /next HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(client.answer().status(), 426);
    assert_eq!(client.answer().status(), 426);
    service.wait_for("GET /next HTTP/1.1\r\n");
}

#[test]
fn what_the_route_does_not_list_is_not_passed_on() {
    let service = Service::echo("a");
    let config = format!(
        "{LISTENER}{}routes:\n- {{ name: ws, to: a }}\n- {{ name: none, match: {{ path: /none }}, to: a, upgrade: [] }}\n- {{ name: other, match: {{ path: /other }}, to: a, upgrade: [other] }}\n",
        services([&service])
    );
    let gateway = Gateway::with(config);
    let ask = |path: &str, fields: &str| {
        let answer = gateway.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        answer.json()["headers"].to_string().to_lowercase()
    };
    let websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    assert!(ask("/", websocket).contains("websocket"));
    assert!(ask("/other", "Connection: upgrade\r\nUpgrade: OTHER\r\n").contains("other"));
    for (path, fields) in [
        ("/none", websocket),
        ("/other", websocket),
        ("/", "Connection: Upgrade\r\nUpgrade: h2c\r\n"),
        ("/", "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n"),
        (
            "/",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
        ),
        ("/", "Upgrade: websocket\r\n"),
        (
            "/",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n",
        ),
    ] {
        let headers = ask(path, fields);
        assert!(!headers.contains("upgrade"), "{path} {fields:?}: {headers}");
    }
}

#[test]
fn a_change_of_protocol_that_was_not_asked_for_is_refused() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n",
    ] {
        let service = Service::answering_once(answer);
        let gateway = Gateway::to(&service);
        assert_eq!(gateway.ask(ASK).status(), 502, "{answer:?}");
    }
}

#[test]
fn a_side_that_has_ended_is_still_answered() {
    let service = Service::scripted(|talk| {
        talk.request_head();
        talk.send(SWITCHED);
        talk.read_to_end();
        talk.send("the last word");
    });
    let gateway = Gateway::to(&service);
    let mut client = upgraded(&gateway);
    client.send("said");
    client.finish_sending();
    assert_eq!(client.rest(), "the last word");
    assert!(service.received()[0].ends_with("said"));
}

#[test]
fn a_tunnel_outlives_any_number_of_reloads() {
    let service = shouting();
    let gateway = Gateway::to(&service);
    let mut client = upgraded(&gateway);
    for number in 0..20 {
        let top = format!("{LISTENER}drain_timeout: {}s\n", number + 1);
        gateway.rewrite(everything_to(&service, &top));
        gateway.wait_for_revision(number + 2);
        say(&mut client, number);
    }
    // Even one in which its route, its service and its listener are gone.
    gateway.rewrite(
        "listeners: [{ bind: 127.0.0.1:0, name: other }]\nroutes: [{ name: o, respond: { status: 200 } }]\n",
    );
    gateway.wait_for_revision(22);
    say(&mut client, 20);
    assert_eq!(service.connections(), 1);
}

#[test]
fn a_drain_closes_tunnels_last() {
    let (let_go, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let service = Service::scripted(move |talk| {
        let Some(request) = talk.request_head() else {
            return;
        };
        if request.target() == "/ws" {
            talk.send(SWITCHED);
            shout(talk);
        }
        let _ = gate.lock().unwrap().recv();
        talk.send(ok("late"));
    });
    let mut gateway = Gateway::with(everything_to(&service, &format!("{LISTENER}drain_timeout: 2s\n")));
    let mut client = upgraded(&gateway);
    let mut slow = gateway.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    service.wait_for("GET /slow");
    gateway.signal(Signal::TERM);
    gateway.wait_for("draining");
    say(&mut client, 0);
    let_go.send(()).unwrap();
    assert_eq!(slow.answer().text(), "late");
    say(&mut client, 1);
    assert_eq!(gateway.wait().code(), Some(0));
    assert_eq!(client.rest(), "");
    assert!(
        gateway
            .said()
            .iter()
            .any(|line| line.contains("1 connection cut")),
        "{:?}",
        gateway.said()
    );
}

#[test]
fn a_tunnel_in_which_nothing_moves_is_closed_in_its_own_time() {
    let service = shouting();
    let config = everything_to(&service, LISTENER).replace("] }", "], timeouts: { tunnel: 50ms } }");
    let gateway = Gateway::with(config);
    assert_eq!(upgraded(&gateway).rest(), "");
}

#[test]
fn a_client_of_http2_gets_there_by_an_extended_connect() {
    let service = shouting();
    let gateway = Gateway::to(&service);
    let client = Http2Client::connect(gateway.address());
    // That it may be asked for is among the settings, which have come with the first answer.
    crate::support::wait_for("the setting", || client.knows_extended_connect().then_some(()));
    let request = Request::builder()
        .method("CONNECT")
        .uri("http://a/ws?x=1")
        .extension(h2::ext::Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13");
    let mut stream = client.open(request.body(()).unwrap(), false);
    let head = stream.head().unwrap();
    assert_eq!(head.status(), 200);
    for gone in ["upgrade", "connection", "sec-websocket-accept"] {
        assert_eq!(head.header(gone), None, "{gone}");
    }
    for number in 0..3 {
        stream.send(format!("line {number}\n").as_bytes(), false);
        let piece = stream.piece().unwrap().unwrap();
        assert_eq!(String::from_utf8(piece).unwrap(), format!("LINE {number}\n"));
    }
    let received = &service.received()[0];
    assert!(received.starts_with("GET /ws?x=1 HTTP/1.1\r\n"), "{received}");
    for line in [
        "connection: upgrade\r\n",
        "upgrade: websocket\r\n",
        "sec-websocket-version: 13\r\n",
    ] {
        assert!(received.contains(line), "{line:?} in {received}");
    }
    let key = received
        .lines()
        .find_map(|line| line.strip_prefix("sec-websocket-key: "))
        .unwrap_or_default();
    assert_eq!(key.len(), 24, "{received}");
}

#[test]
fn a_client_of_http2_that_resets_after_its_end_is_gone() {
    let (ended, has_ended) = std::sync::mpsc::channel::<()>();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let service = Service::scripted(move |talk| {
        talk.request_head();
        talk.send(SWITCHED);
        talk.read_to_end();
        let _ = ended.send(());
        // It neither says anything nor leaves.
        let _ = wait.lock().unwrap().recv();
    });
    let done = done;
    let gateway = Gateway::with(everything_to(
        &service,
        &format!("{LISTENER}access_log: access.log\n"),
    ));
    let client = Http2Client::connect(gateway.address());
    crate::support::wait_for("the setting", || client.knows_extended_connect().then_some(()));
    let request = Request::builder()
        .method("CONNECT")
        .uri("http://a/ws")
        .extension(h2::ext::Protocol::from_static("websocket"));
    let mut stream = client.open(request.body(()).unwrap(), false);
    assert_eq!(stream.head().unwrap().status(), 200);
    stream.send(b"", true);
    has_ended.recv().unwrap();
    stream.sender.send_reset(h2::Reason::CANCEL);
    // It is written once the tunnel is over.
    let lines = crate::access_log::wait_for_log(&gateway, 1);
    assert_eq!(lines[0]["ended_by"], "client", "{}", lines[0]);
    drop(done);
}

#[test]
fn an_extended_connect_that_the_route_does_not_list_is_501() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let client = Http2Client::connect(gateway.address());
    crate::support::wait_for("the setting", || client.knows_extended_connect().then_some(()));
    let request = Request::builder()
        .method("CONNECT")
        .uri("http://a/x")
        .extension(h2::ext::Protocol::from_static("other"));
    let mut stream = client.open(request.body(()).unwrap(), false);
    assert_eq!(stream.head().unwrap().status(), 501);
    assert_eq!(service.received(), Vec::<String>::new());
}

#[test]
fn what_a_service_sends_now_and_then_is_passed_on_at_once() {
    let (let_go, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let service = Service::scripted(move |talk| {
        talk.request();
        talk.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        for number in 0..3 {
            let event = format!("data: {number}\n\n");
            talk.send(format!("{:x}\r\n{event}\r\n", event.len()));
            let _ = gate.lock().unwrap().recv();
        }
        talk.send("0\r\n\r\n");
    });
    let gateway = Gateway::to(&service);
    let client = Http2Client::connect(gateway.address());
    let mut stream = client.open(crate::support::http2::get("http://a/events"), true);
    assert_eq!(stream.head().unwrap().status(), 200);
    for number in 0..3 {
        let event = stream.piece().unwrap().unwrap();
        assert_eq!(String::from_utf8(event).unwrap(), format!("data: {number}\n\n"));
        let_go.send(()).unwrap();
    }
    assert!(stream.piece().is_none());
}

/// A certificate for `localhost`, and a gateway that serves `service` under TLS with it.
fn under_tls(service: &Service) -> (Authority, Gateway) {
    let authority = Authority::new();
    let pair = authority.issue(&["localhost"]);
    let listener = "listeners: [{ bind: 127.0.0.1:0, tls: { certificates: [{ cert: a.crt, key: a.key }] } }]\nworkers: 1\n";
    let files = [("a.crt", &*pair.cert), ("a.key", &*pair.key)];
    let gateway = Gateway::beside(&files, everything_to(service, listener));
    (authority, gateway)
}

#[test]
fn a_side_that_does_not_read_holds_up_nobody_else() {
    const TALK: usize = 20 << 20;
    let service = Service::scripted(|talk| {
        let Some(request) = talk.request_head() else {
            return;
        };
        if request.target() != "/ws" {
            talk.send(ok("here"));
            return;
        }
        talk.send(SWITCHED);
        talk.try_send(vec![b'x'; TALK]);
    });
    let (authority, inner) = under_tls(&service);
    let front = format!(
        "listeners: [{{ bind: 127.0.0.1:0, tls: {{ certificates: [{{ cert: a.crt, key: a.key }}] }} }}]\nworkers: 1\nservices: {{ s: {{ endpoints: [\"https://{}\"], tls: {{ ca: ca.crt, server_name: localhost }} }} }}\nroutes: [{{ name: all, to: s, rewrite: {{ host: localhost }} }}]\n",
        inner.address()
    );
    let pair = authority.issue(&["localhost"]);
    let files = [
        ("a.crt", &*pair.cert),
        ("a.key", &*pair.key),
        ("ca.crt", authority.pem()),
    ];
    let mut gateway = Gateway::beside(&files, front);
    let trusting = Trusting::new(&authority);
    let ask = ASK.replace("Host: a", "Host: localhost");
    let mut unread = trusting.connect(gateway.address(), "localhost");
    assert_eq!(unread.send(&ask).answer_head().status(), 101);
    for _ in 0..20 {
        let mut client = trusting.connect(gateway.address(), "localhost");
        assert_eq!(client.get("localhost", "/").text(), "here");
    }
    assert_eq!(unread.count(TALK), TALK);
    drop(unread);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_success_that_is_no_tunnel_is_not_passed_for_one() {
    let service = Service::answering(ok("a page"));
    let config = everything_to(&service, LISTENER)
        + "  - { name: own, match: { path: /own }, respond: { status: 200 } }\n";
    let gateway = Gateway::with(config);
    let client = Http2Client::connect(gateway.address());
    crate::support::wait_for("the setting", || client.knows_extended_connect().then_some(()));
    for (path, status) in [("/page", 502), ("/own", 501)] {
        let request = Request::builder()
            .method("CONNECT")
            .uri(format!("http://a{path}"))
            .extension(h2::ext::Protocol::from_static("websocket"));
        let mut stream = client.open(request.body(()).unwrap(), false);
        assert_eq!(stream.head().unwrap().status(), status, "{path}");
    }
}

#[test]
fn the_protocol_of_an_extended_connect_is_one_word() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    for protocol in [
        "websocket\r\nx-evil: 1",
        "websocket\r\n\r\nGET /smuggled HTTP/1.1",
        "a b",
    ] {
        let mut frames = Frames::connect(gateway.address());
        frames.head(
            1,
            0,
            &[
                (b":method", b"CONNECT"),
                (b":protocol", protocol.as_bytes()),
                (b":scheme", b"http"),
                (b":path", b"/x"),
                (b":authority", b"a"),
            ],
        );
        assert_eq!(frames.reset_of(1), PROTOCOL_ERROR, "{protocol:?}");
    }
    assert_eq!(service.received(), Vec::<String>::new());
}
