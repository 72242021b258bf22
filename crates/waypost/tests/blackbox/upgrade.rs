//! WebSocket and other upgrades: start, life and end of a tunnel.

use http::Request;
use rustix::process::Signal;

use crate::support::client::Client;
use crate::support::config::Config;
use crate::support::gateway::{Gateway, certificates};
use crate::support::http2::{Frames, Http2Client, PROTOCOL_ERROR};
use crate::support::service::{Gate, Service, Talk, gate, ok};
use crate::support::tls::{Authority, Trusting};
use crate::support::wait_for;

const ASK: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Switches protocols, then returns each line in upper case.
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

/// An extended CONNECT (RFC 8441 §4).
fn extended_connect(url: &str, protocol: &'static str) -> http::request::Builder {
    Request::builder()
        .method("CONNECT")
        .uri(url)
        .extension(h2::ext::Protocol::from_static(protocol))
}

/// Upgrades a client's connection.
fn upgraded(gateway: &Gateway) -> Client {
    let mut client = gateway.connect();
    let response = client.send(ASK).response_head();
    assert_eq!(response.status(), 101, "{}", response.head);
    assert_eq!(response.header("upgrade"), Some("websocket"));
    assert_eq!(response.header("connection"), Some("upgrade"));
    client
}

/// Sends a line and waits for its echo.
fn say(client: &mut Client, number: u32) {
    client
        .send(format!("line {number}\n"))
        .expect(&format!("LINE {number}\n"));
}

#[test]
fn websocket_tunnel_both_ways() {
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
fn bytes_after_the_request_wait_for_the_101() {
    let (opener, gate) = gate();
    let service = Service::scripted(move |talk| {
        talk.request_head();
        gate.wait();
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
    opener.open();
    assert_eq!(client.response_head().status(), 101);
    client.expect("LINE 0\n");
}

#[test]
fn declined_upgrade_stays_http() {
    let service = Service::scripted(|talk| {
        while talk.request().is_some() {
            talk.send("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno");
        }
    });
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    // The bytes after the declined upgrade are the next request.
    client.send(format!("{ASK}GET /next HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(client.response().status(), 426);
    assert_eq!(client.response().status(), 426);
    service.wait_for("GET /next HTTP/1.1\r\n");
}

#[test]
fn unlisted_protocols_not_forwarded() {
    let service = Service::echo("a");
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "")
            .route("name: ws, to: a")
            .route("name: none, match: { path: /none }, to: a, upgrade: []")
            .route("name: other, match: { path: /other }, to: a, upgrade: [other]"),
    );
    let ask = |path: &str, fields: &str| {
        let response = gateway.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        response.json()["headers"].to_string().to_lowercase()
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
fn unsolicited_101_is_502() {
    for response in [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n",
    ] {
        let service = Service::responding_once(response);
        let gateway = Gateway::to(&service);
        assert_eq!(gateway.ask(ASK).status(), 502, "{response:?}");
    }
}

#[test]
fn half_closed_tunnel_keeps_the_other_direction() {
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
fn reload_keeps_websockets_open() {
    let service = shouting();
    let gateway = Gateway::to(&service);
    let mut client = upgraded(&gateway);
    for number in 0..20 {
        let timeout = format!("drain_timeout: {}s", number + 1);
        gateway.rewrite(Config::new().all_to(&service).key(&timeout));
        gateway.wait_for_revision(number + 2);
        say(&mut client, number);
    }
    // Including one that removes its route, service and listener.
    gateway.rewrite(Config::listening(&["name: other"]).all_respond(""));
    gateway.wait_for_revision(22);
    say(&mut client, 20);
    assert_eq!(service.connections(), 1);
}

#[test]
fn drain_closes_tunnels_last() {
    let (opener, gate) = gate();
    let service = Service::scripted(move |talk| {
        let Some(request) = talk.request_head() else {
            return;
        };
        if request.target() == "/ws" {
            talk.send(SWITCHED);
            shout(talk);
        }
        gate.wait();
        talk.send(ok("late"));
    });
    let mut gateway = Gateway::with(Config::new().all_to(&service).key("drain_timeout: 5s"));
    let mut client = upgraded(&gateway);
    let mut slow = gateway.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    service.wait_for("GET /slow");
    gateway.signal(Signal::TERM);
    gateway.wait_for("draining");
    say(&mut client, 0);
    opener.open();
    assert_eq!(slow.response().text(), "late");
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
fn idle_tunnel_closed_after_its_timeout() {
    let service = shouting();
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "timeouts: { tunnel: 50ms }")
            .route("name: all, to: service"),
    );
    assert_eq!(upgraded(&gateway).rest(), "");
}

#[test]
fn extended_connect_becomes_an_upgrade() {
    let service = shouting();
    let gateway = Gateway::to(&service);
    let client = Http2Client::connect(gateway.address());
    client.wait_for_extended_connect();
    let request = extended_connect("http://a/ws?x=1", "websocket").header("sec-websocket-version", "13");
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
fn http2_reset_after_half_close_ends_the_tunnel() {
    let (ended, has_ended) = std::sync::mpsc::channel::<()>();
    let (opener, gate) = gate();
    let service = Service::scripted(move |talk| {
        talk.request_head();
        talk.send(SWITCHED);
        talk.read_to_end();
        let _ = ended.send(());
        // The service stays silent and connected.
        gate.wait();
    });
    let gateway = Gateway::with(Config::new().all_to(&service).key("access_log: access.log"));
    let client = Http2Client::connect(gateway.address());
    client.wait_for_extended_connect();
    let request = extended_connect("http://a/ws", "websocket");
    let mut stream = client.open(request.body(()).unwrap(), false);
    assert_eq!(stream.head().unwrap().status(), 200);
    stream.send(b"", true);
    has_ended.recv().unwrap();
    stream.sender.send_reset(h2::Reason::CANCEL);
    // The line is written at the end of the tunnel.
    let lines = crate::access_log::wait_for_log(&gateway, 1);
    assert_eq!(lines[0]["ended_by"], "client", "{}", lines[0]);
    drop(opener);
}

/// A service that switches protocols, ends its sending side, and is lost once the gate opens.
fn lost_after_half_close(gate: Gate) -> Service {
    Service::scripted(move |talk| {
        talk.request_head();
        talk.send(SWITCHED);
        talk.finish_sending();
        gate.wait();
        talk.reset();
    })
}

#[test]
fn loss_of_a_half_closed_client_ends_the_tunnel() {
    let (ended, has_ended) = std::sync::mpsc::channel::<()>();
    let (opener, gate) = gate();
    let service = Service::scripted(move |talk| {
        talk.request_head();
        talk.send(SWITCHED);
        talk.read_to_end();
        let _ = ended.send(());
        gate.wait();
    });
    let gateway = Gateway::with(Config::new().all_to(&service).key("access_log: access.log"));
    let mut client = upgraded(&gateway);
    client.finish_sending();
    has_ended.recv().unwrap();
    client.reset();
    let lines = crate::access_log::wait_for_log(&gateway, 1);
    assert_eq!(lines[0]["ended_by"], "client", "{}", lines[0]);
    assert_eq!(lines[0]["reason"], "connection reset", "{}", lines[0]);
    drop(opener);
}

#[test]
fn loss_of_a_half_closed_service_ends_the_tunnel() {
    let (opener, gate) = gate();
    let service = lost_after_half_close(gate);
    let gateway = Gateway::with(Config::new().all_to(&service).key("access_log: access.log"));
    let mut client = upgraded(&gateway);
    assert_eq!(client.rest(), "");
    let streams = Http2Client::connect(gateway.address());
    streams.wait_for_extended_connect();
    let request = extended_connect("http://a/ws", "websocket");
    let mut stream = streams.open(request.body(()).unwrap(), false);
    assert_eq!(stream.head().unwrap().status(), 200);
    assert_eq!(stream.piece().map(Result::unwrap), None);
    // Neither client sends anything.
    drop(opener);
    let lines = crate::access_log::wait_for_log(&gateway, 2);
    for line in lines {
        assert_eq!(line["ended_by"], "service", "{line}");
        assert_eq!(line["reason"], "connection reset", "{line}");
    }
}

/// The timer of a TCP connection from this end's port to the other's, as Linux shows it: its kind, and hundredths of a
/// second.
fn timer(local: u16, remote: u16) -> Option<(u8, u64)> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_at = |word: &str, port: u16| word.ends_with(&format!(":{port:04X}"));
        if !is_at(words[1], local) || !is_at(words[2], remote) {
            return None;
        }
        let (kind, when) = words[5].split_once(':')?;
        Some((kind.parse().ok()?, u64::from_str_radix(when, 16).ok()?))
    })
}

/// Port of the gateway's end of its only connection to `service`.
fn port_to(service: &Service) -> Option<u16> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let remote = format!(":{:04X}", service.address().port());
    table.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = words[1].split_once(':')?;
        let is_established = words[3] == "01";
        (words[2].ends_with(&remote) && is_established).then(|| u16::from_str_radix(port, 16).ok())?
    })
}

#[test]
fn tcp_asks_both_ends_of_a_tunnel_for_signs_of_life() {
    const KEEP_ALIVE: u8 = 2;
    let service = shouting();
    let gateway = Gateway::to(&service);
    let mut client = upgraded(&gateway);
    say(&mut client, 0);
    let is_watched = |local: u16, remote: u16| {
        wait_for("a timer", || {
            timer(local, remote).filter(|(kind, when)| *kind == KEEP_ALIVE && *when <= 60 * 100)
        });
    };
    is_watched(gateway.address().port(), client.port());
    let port = wait_for("the connection to the service", || port_to(&service));
    is_watched(port, service.address().port());
}

#[test]
fn unlisted_extended_connect_is_501() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let client = Http2Client::connect(gateway.address());
    client.wait_for_extended_connect();
    let request = extended_connect("http://a/x", "other");
    let mut stream = client.open(request.body(()).unwrap(), false);
    assert_eq!(stream.head().unwrap().status(), 501);
    assert_eq!(service.received(), Vec::<String>::new());
}

#[test]
fn event_stream_forwarded_at_once() {
    let (opener, gate) = gate();
    let service = Service::scripted(move |talk| {
        talk.request();
        talk.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        for number in 0..3 {
            let event = format!("data: {number}\n\n");
            talk.send(format!("{:x}\r\n{event}\r\n", event.len()));
            gate.wait();
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
        opener.open();
    }
    assert!(stream.piece().is_none());
}

#[test]
fn unread_tunnel_does_not_block_others() {
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
    let authority = Authority::new();
    let pair = authority.issue(&["localhost"]);
    let inner = Gateway::with_certificates(&[&pair], &service);
    let endpoint = format!("https://{}", inner.address());
    let front = Config::listening(&[&format!("tls: {{ {} }}", certificates(1))])
        .service_at(
            "s",
            &[&endpoint],
            "tls: { ca: ca.crt, server_name: localhost }, timeouts: { connect: 30s }",
        )
        .route("name: all, to: s, rewrite: { host: localhost }");
    let mut gateway = Gateway::under_tls(&[&pair], &[("ca.crt", authority.pem())], front);
    let trusting = Trusting::new(&authority);
    let ask = ASK.replace("Host: a", "Host: localhost");
    let mut unread = trusting.connect(gateway.address(), "localhost");
    assert_eq!(unread.send(&ask).response_head().status(), 101);
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
fn plain_200_to_extended_connect_is_502() {
    let service = Service::responding(ok("a page"));
    let own = "name: own, match: { path: /own }, respond: { status: 200 }";
    let gateway = Gateway::with(Config::new().all_to(&service).route(own));
    let client = Http2Client::connect(gateway.address());
    client.wait_for_extended_connect();
    for (path, status) in [("/page", 502), ("/own", 501)] {
        let request = extended_connect(&format!("http://a{path}"), "websocket");
        let mut stream = client.open(request.body(()).unwrap(), false);
        assert_eq!(stream.head().unwrap().status(), status, "{path}");
    }
}

#[test]
fn extended_connect_protocol_is_a_token() {
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
