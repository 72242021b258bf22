//! Responses to uploads that are not read to their end: a client that sends all before it reads gets them.

use http::Request;
use rustix::process::Signal;

use crate::support::config::Config;
use crate::support::gateway::{Gateway, certificates};
use crate::support::http2::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Http2Client, Http2Service, SETTINGS, block, frame,
};
use crate::support::service::{Service, Talk, gate, ok};
use crate::support::tls::{Authority, Trusting};

/// More than the buffers of two sockets hold.
const BYTES: usize = 20_000_000;
/// Uploads of each kind.
const TIMES: usize = 10;

const UNAUTHORIZED: &str = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno";

/// The targets, with the status of the response to an upload.
const REFUSALS: [(&str, u16); 6] = [
    ("/closes", 401),
    ("/resets", 401),
    ("/announces", 401),
    ("/none", 404),
    ("/reads", 413),
    ("/down", 502),
];

/// Services that refuse an upload by its head, each in its way.
struct Services {
    closes: Service,
    resets: Service,
    announces: Service,
    down: Service,
    /// It reads all of it.
    reads: Service,
}

impl Services {
    fn start() -> Self {
        let refusing = |name: &str, end: fn(&mut Talk), response: &'static str| {
            Service::named(name, move |talk| {
                if talk.request_head().is_some() {
                    talk.send(response);
                    end(talk);
                }
            })
        };
        Self {
            closes: refusing("closes", |_| {}, UNAUTHORIZED),
            resets: refusing(
                "resets",
                |talk| {
                    talk.expect("a");
                    talk.reset();
                },
                UNAUTHORIZED,
            ),
            announces: refusing(
                "announces",
                |_| {},
                "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
            ),
            down: Service::refusing_as("down"),
            reads: Service::echo("reads"),
        }
    }

    fn config(&self, listeners: &[&str]) -> Config {
        let services = [
            &self.closes,
            &self.resets,
            &self.announces,
            &self.down,
            &self.reads,
        ];
        let config = Config::listening(listeners);
        let config = services
            .iter()
            .fold(config, |config, service| config.service(service, ""));
        services.iter().fold(config, |config, service| {
            let name = service.name();
            config.route(&format!("name: {name}, match: {{ path: /{name} }}, to: {name}"))
        })
    }
}

fn upload(target: &str) -> Vec<u8> {
    let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {BYTES}\r\n\r\n");
    [head.as_bytes(), &vec![b'a'; BYTES]].concat()
}

fn chunked(target: &str) -> Vec<u8> {
    let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = [b"10000\r\n", &vec![b'a'; 0x10000][..], b"\r\n"].concat();
    [head.as_bytes(), &chunk.repeat(BYTES >> 16), b"0\r\n\r\n"].concat()
}

#[test]
fn client_that_sends_all_before_it_reads_gets_the_response() {
    let services = Services::start();
    let gateway =
        Gateway::with(services.config(&["name: any", "name: limited, limits: { body_bytes: 1MiB }"]));
    let [any, limited] = gateway.addresses() else {
        panic!("two listeners")
    };
    for (target, status) in REFUSALS {
        let address = if status == 413 { *limited } else { *any };
        for request in [upload(target), chunked(target)] {
            for _ in 0..TIMES {
                let mut client = crate::support::client::Client::connect(address);
                let response = client.send(&request).response();
                assert_eq!(response.status(), status, "{target}");
                assert!(response.is_complete, "{target}");
                assert_eq!(response.header("connection"), Some("close"));
                client.assert_closed();
            }
        }
    }
}

#[test]
fn client_over_tls_that_sends_all_before_it_reads_gets_the_response() {
    let (services, authority) = (Services::start(), Authority::new());
    let tls = format!("tls: {{ {} }}", certificates(1));
    let any = format!("name: any, {tls}");
    let limited = format!("name: limited, {tls}, limits: {{ body_bytes: 1MiB }}");
    let config = services.config(&[&any, &limited]);
    let gateway = Gateway::under_tls(&[&authority.issue(&["a"])], &[], config);
    let [any, limited] = gateway.addresses() else {
        panic!("two listeners")
    };
    for (target, status) in REFUSALS {
        let address = if status == 413 { *limited } else { *any };
        let request = upload(target);
        for _ in 0..TIMES {
            let mut client = Trusting::new(&authority).connect(address, "a");
            let response = client.send(&request).response();
            assert_eq!(response.status(), status, "{target}");
            assert!(response.is_complete, "{target}");
            assert!(client.try_response().is_none());
        }
    }
}

#[test]
fn http2_client_that_sends_all_before_it_reads_gets_the_response() {
    let services = Services::start();
    let gateway =
        Gateway::with(services.config(&["name: any", "name: limited, limits: { body_bytes: 1MiB }"]));
    let [any, limited] = gateway.addresses() else {
        panic!("two listeners")
    };
    for (target, status) in REFUSALS {
        // A connection that sends nothing is closed before the others have sent all.
        let client = Http2Client::connect(if status == 413 { *limited } else { *any });
        for length in [Some(BYTES), None] {
            for _ in 0..TIMES {
                let mut request = Request::post(format!("http://a{target}"));
                if let Some(length) = length {
                    request = request.header("content-length", length);
                }
                let mut stream = client.open(request.body(()).unwrap(), false);
                stream.send(&vec![b'a'; BYTES], true);
                assert_eq!(stream.response().unwrap().status(), status, "{target}");
            }
        }
        // Other streams are not held up.
        assert_eq!(client.get("http://a/none").status(), 404);
    }
}

#[test]
fn service_that_reads_on_gets_the_rest() {
    let (tell, told) = std::sync::mpsc::channel();
    let service = Service::scripted(move |talk| {
        while let Some(mut request) = talk.request_head() {
            talk.send(ok("early"));
            talk.body_of(&mut request);
            let _ = tell.send((request.is_complete, request.body.len()));
        }
    });
    let gateway = Gateway::to(&service);
    let next = || told.recv_timeout(crate::support::PATIENCE).unwrap();
    for request in [upload("/"), chunked("/")] {
        let body = if request.starts_with(b"POST / HTTP/1.1\r\nHost: a\r\nC") {
            BYTES
        } else {
            BYTES >> 16 << 16
        };
        let mut client = gateway.connect();
        assert_eq!(client.send(&request).response().text(), "early");
        assert_eq!(next(), (true, body));
        client.assert_closed();
    }
    let client = Http2Client::connect(gateway.address());
    let mut stream = client.open(Request::post("http://a/").body(()).unwrap(), false);
    stream.send(&vec![b'a'; BYTES], true);
    assert_eq!(stream.response().unwrap().text(), "early");
    assert_eq!(next(), (true, BYTES));
    // Nothing was left on the connection, so that it is used again.
    assert_eq!(service.connections(), 1);
}

#[test]
fn http2_service_that_reads_on_gets_the_rest() {
    let (tell, told) = std::sync::mpsc::channel();
    let service = Http2Service::start(move |request, mut respond| {
        let tell = tell.clone();
        async move {
            let mut stream = respond.send_response(http::Response::new(()), false).unwrap();
            stream.send_data("early".into(), true).unwrap();
            let (mut body, mut bytes) = (request.into_body(), 0);
            while let Some(Ok(data)) = body.data().await {
                bytes += data.len();
                let _ = body.flow_control().release_capacity(data.len());
            }
            let _ = tell.send((body.is_end_stream(), bytes));
        }
    });
    let config = Config::new().service_at("s", &[&service.url()], "http2: true");
    let gateway = Gateway::with(config.route("name: all, to: s"));
    let mut client = gateway.connect();
    assert_eq!(client.send(upload("/")).response().text(), "early");
    assert_eq!(
        told.recv_timeout(crate::support::PATIENCE).unwrap(),
        (true, BYTES)
    );
    client.assert_closed();
}

#[test]
fn service_that_stops_reading_does_not_hold_the_response_back() {
    let (opener, gate) = gate();
    let service = Service::scripted(move |talk| {
        talk.request_head();
        talk.send(UNAUTHORIZED);
        gate.wait();
    });
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    assert_eq!(client.send(upload("/")).response().status(), 401);
    client.assert_closed();
    drop(opener);
}

#[test]
fn broken_off_rest_never_looks_complete() {
    let (tell, told) = std::sync::mpsc::channel();
    let service = Service::scripted(move |talk| {
        if let Some(mut request) = talk.request_head() {
            talk.send(ok("early"));
            talk.body_of(&mut request);
            let _ = tell.send(request.is_complete);
        }
    });
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    assert_eq!(client.response().text(), "early");
    client.finish_sending();
    assert!(!told.recv_timeout(crate::support::PATIENCE).unwrap());
    client.assert_closed();
}

#[test]
fn response_that_ends_by_close_ends_before_the_rest() {
    let service = Service::scripted(|talk| {
        if let Some(mut request) = talk.request_head() {
            talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n0\r\n\r\n");
            talk.body_of(&mut request);
        }
    });
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    let response = client.response();
    assert_eq!((response.text().as_str(), response.is_complete), ("early", true));
    client.send("def");
    service.wait_for("abcdef");
}

#[test]
fn http2_service_that_refuses_by_its_head_does_not_hold_the_response_back() {
    let service = Http2Service::start(|request, mut respond| async move {
        let head = http::Response::builder().status(401).body(()).unwrap();
        let mut stream = respond.send_response(head, false).unwrap();
        stream.send_data("no".into(), true).unwrap();
        // The stream is reset.
        drop(request);
    });
    let config = Config::new().service_at("s", &[&service.url()], "http2: true");
    let gateway = Gateway::with(config.route("name: all, to: s"));
    for request in [upload("/"), chunked("/")] {
        for _ in 0..TIMES {
            let mut client = gateway.connect();
            let response = client.send(&request).response();
            assert_eq!((response.status(), response.text().as_str()), (401, "no"));
            client.assert_closed();
        }
    }
    let client = Http2Client::connect(gateway.address());
    let mut stream = client.open(Request::post("http://a/").body(()).unwrap(), false);
    stream.send(&vec![b'a'; BYTES], true);
    assert_eq!(stream.response().unwrap().text(), "no");
}

/// An HTTP/2 service that responds with `frames` within the first request with a body, and ends its connection: its
/// sending side alone, or all of it.
fn http2_service_that_closes(frames: Vec<Vec<u8>>, reads_on: bool) -> Service {
    Service::named("s", move |talk| {
        talk.send(frame(SETTINGS, 0, 0, &[]));
        talk.expect("aaaaaaaa");
        talk.send(frames.concat());
        if reads_on {
            talk.finish_sending();
            talk.read_to_end();
        }
    })
}

#[test]
fn http2_service_that_refuses_and_closes_does_not_lose_its_response() {
    let head = |flags, length: Option<&str>| {
        let mut fields = vec![(&b":status"[..], &b"401"[..])];
        fields.extend(length.map(|length| (&b"content-length"[..], length.as_bytes())));
        frame(HEADERS, flags | END_HEADERS, 1, &block(&fields))
    };
    let data = |flags, text: &str| frame(DATA, flags, 1, text.as_bytes());
    let long = "n".repeat(16_000);
    let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[(b"x", b"y")]));
    let goaway = frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]);
    let responses = [
        ("no", vec![head(0, Some("2")), data(END_STREAM, "no")]),
        (
            "no",
            vec![head(0, Some("2")), data(0, "no"), data(END_STREAM, "")],
        ),
        ("no", vec![head(0, None), data(END_STREAM, "no")]),
        ("no", vec![head(0, None), data(0, "no"), trailers]),
        ("", vec![head(END_STREAM, Some("0"))]),
        ("", vec![head(END_STREAM, None)]),
        (
            &long.repeat(4),
            vec![
                head(0, None),
                data(0, &long),
                data(0, &long),
                data(0, &long),
                data(END_STREAM, &long),
            ],
        ),
    ];
    for (text, frames) in responses {
        for (goes_away, reads_on) in [(false, true), (true, true), (false, false), (true, false)] {
            let mut frames = frames.clone();
            frames.extend(goes_away.then(|| goaway.clone()));
            let service = http2_service_that_closes(frames, reads_on);
            let config = Config::new().service_at("s", &[&service.url()], "http2: true");
            let gateway = Gateway::with(config.route("name: all, to: s"));
            for request in [upload("/"), chunked("/")] {
                let mut client = gateway.connect();
                let response = client.send(&request).response();
                assert!(response.is_complete, "{goes_away} {reads_on} {response:?}");
                assert_eq!((response.status(), response.text().as_str()), (401, text));
            }
            let client = Http2Client::connect(gateway.address());
            let mut stream = client.open(Request::post("http://a/").body(()).unwrap(), false);
            stream.send(&vec![b'a'; BYTES], true);
            assert_eq!(stream.response().unwrap().text(), text);
        }
    }
}

#[test]
fn http2_response_without_an_end_never_looks_complete() {
    let head = frame(HEADERS, END_HEADERS, 1, &block(&[(b":status", b"401")]));
    let data = frame(DATA, 0, 1, b"no");
    // The last frame is not complete.
    let cut = frame(DATA, END_STREAM, 1, b"no")[..10].to_vec();
    for frames in [vec![head.clone(), data.clone()], vec![head, data, cut]] {
        let service = http2_service_that_closes(frames, true);
        let config = Config::new().service_at("s", &[&service.url()], "http2: true");
        let gateway = Gateway::with(config.route("name: all, to: s"));
        let response = gateway.connect().send(upload("/")).try_response();
        let is_refused = response
            .as_ref()
            .is_none_or(|response| !response.is_complete || response.status() == 502);
        assert!(is_refused, "{response:?}");
    }
}

#[test]
fn draining_gateway_ends_while_a_client_lingers() {
    let mut gateway = Gateway::with(Config::new().key("drain_timeout: 5m").all_respond("own"));
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(client.response().text(), "own");
    gateway.signal(Signal::TERM);
    assert!(gateway.wait().success());
}
