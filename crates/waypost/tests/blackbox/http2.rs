//! HTTP/2 from clients and to services: the same exchanges as over HTTP/1.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Request, Response};
use rustix::process::Signal;

use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::{Http2Client, Http2Service, get};
use crate::support::service::{Service, gate, ok};

/// Sends every request to a service that speaks HTTP/2.
fn to_http2(service: &Http2Service) -> Config {
    Config::new()
        .service_at("s", &[&service.url()], "http2: true")
        .route("name: all, to: s")
}

#[test]
fn request_to_an_http1_service() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let client = Http2Client::connect(gateway.address());
    let request = Request::post("http://a.test:81/x?y=%20z")
        .header("x-one", "1")
        .header("x-one", "2")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .header("content-length", "5");
    let response = client.ask(request.body(()).unwrap(), "hello").json();
    assert_eq!(response["target"], "/x?y=%20z");
    assert_eq!(response["body"], "hello");
    let head = service.received().join("");
    for line in [
        "POST /x?y=%20z HTTP/1.1\r\n",
        "Host: a.test:81\r\n",
        "cookie: a=1; b=2\r\n",
        "x-one: 1\r\nx-one: 2\r\n",
        "te: trailers\r\n",
        "content-length: 5\r\n",
        "x-forwarded-proto: http\r\n",
    ] {
        assert!(head.contains(line), "{line:?} in {head}");
    }
    assert!(!head.contains("transfer-encoding"), "{head}");
}

#[test]
fn cookie_crumbs_are_one_field() {
    let http1 = Service::echo("http1");
    let http2 = Http2Service::start(|request, mut respond| async move {
        let cookies: Vec<_> = request.headers().get_all("cookie").iter().collect();
        let text = format!("{cookies:?}");
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream.send_data(Bytes::from(text), true).unwrap();
    });
    let gateway = Gateway::with(
        Config::new()
            .service(&http1, "")
            .service_at("http2", &[&http2.url()], "http2: true")
            .route("name: last, match: { path: /x, cookies: { c129: last } }, to: http1")
            .route(r#"name: all, match: { path: /x, headers: { cookie: "~^c0=0; c1=1" } }, to: http2"#)
            .route("name: none, respond: { status: 404 }"),
    );
    let client = Http2Client::connect(gateway.address());
    let ask = |count: usize, last: &str| {
        let mut request = Request::get("http://a/x");
        let mut line = String::new();
        for number in 0..count {
            let crumb = match number {
                129 => format!("c{number}={last}"),
                _ => format!("c{number}={number}"),
            };
            request = request.header("cookie", &crumb);
            line = format!("{line}{}{crumb}", if number == 0 { "" } else { "; " });
        }
        let over_http1 = gateway.ask(format!("GET /x HTTP/1.1\r\nHost: a\r\nCookie: {line}\r\n\r\n"));
        let over_http2 = client.ask(request.body(()).unwrap(), "");
        assert_eq!((over_http1.status(), over_http2.status()), (200, 200));
        assert_eq!(over_http1.text().replace("Cookie", "cookie"), over_http2.text());
        (over_http2.text(), line)
    };
    let (_, line) = ask(130, "last");
    let head = http1.received().pop().unwrap();
    assert!(head.contains(&format!("\r\ncookie: {line}\r\n")), "{head}");
    for count in [2, 100, 101, 1000] {
        let (shown, line) = ask(count, "other");
        assert_eq!(shown, format!("[{line:?}]"));
    }
}

#[test]
fn body_of_unknown_length_sent_chunked() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let client = Http2Client::connect(gateway.address());
    let request = Request::put("http://a/x").body(()).unwrap();
    let response = client.ask(request, "some body").json();
    assert_eq!(response["body"], "some body");
    assert!(
        service
            .received()
            .join("")
            .contains("transfer-encoding: chunked\r\n")
    );
    client.get("http://a/nothing");
    client.ask(Request::post("http://a/empty").body(()).unwrap(), "");
    let received = service.received().join("");
    let (_, rest) = received.split_once("GET /nothing").unwrap();
    let (nothing, empty) = rest.split_once("POST /empty").unwrap();
    assert!(
        !nothing.contains("content-length") && !nothing.contains("transfer-encoding"),
        "{nothing}"
    );
    assert!(empty.contains("content-length: 0\r\n"), "{empty}");
}

#[test]
fn response_framing_translated() {
    let service = Service::scripted(|talk| {
        while let Some(request) = talk.request() {
            talk.send(match request.target() {
                "/length" => ok("length"),
                "/chunks" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nchu\r\n3\r\nnks\r\n0\r\nX-Sum: 6\r\n\r\n".to_owned(),
                "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n".to_owned(),
                "/nothing" => "HTTP/1.1 204 No Content\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\n\r\n".to_owned(),
                "/short" => {
                    talk.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort");
                    return;
                }
                "/broken" => {
                    talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n");
                    return;
                }
                _ => "HTTP/1.1 200\nOK\r\n\r\n".to_owned(),
            });
        }
    });
    let gateway = Gateway::to(&service);
    let client = Http2Client::connect(gateway.address());
    let length = client.get("http://a/length");
    assert_eq!(
        (length.text(), length.header("content-length")),
        ("length".to_owned(), Some("6"))
    );
    let chunks = client.get("http://a/chunks");
    assert_eq!(chunks.text(), "chunks");
    assert_eq!(chunks.trailers, [("x-sum".to_owned(), "6".to_owned())]);
    assert_eq!(chunks.header("transfer-encoding"), None);
    let head = client.ask(Request::head("http://a/head").body(()).unwrap(), "");
    assert_eq!(
        (head.text(), head.header("content-length")),
        (String::new(), Some("7"))
    );
    let nothing = client.get("http://a/nothing");
    assert_eq!(nothing.status(), 204);
    for gone in ["connection", "x-hop", "keep-alive", "content-length"] {
        assert_eq!(nothing.header(gone), None, "{gone}");
    }
    // Truncated responses reset their stream.
    for path in ["short", "broken"] {
        let error = client.try_ask(get(&format!("http://a/{path}")), "").unwrap_err();
        assert!(error.is_reset(), "{path}: {error}");
    }
    assert_eq!(client.get("http://a/garbage").status(), 502);
}

#[test]
fn streams_do_not_block_each_other() {
    let (arrived, arrivals) = std::sync::mpsc::channel();
    let (opener, gate) = gate();
    let service = Service::scripted(move |talk| {
        while let Some(request) = talk.request() {
            if request.target() == "/slow" {
                arrived.send(()).unwrap();
                gate.wait();
            }
            talk.send(ok(request.target()));
        }
    });
    let gateway = Gateway::to(&service);
    let client = Http2Client::connect(gateway.address());
    let mut slow = client.open(get("http://a/slow"), true);
    arrivals.recv().unwrap();
    for _ in 0..10 {
        assert_eq!(client.get("http://a/fast").text(), "/fast");
    }
    opener.open();
    assert_eq!(slow.response().unwrap().text(), "/slow");
}

#[test]
fn large_bodies_with_a_slow_reader() {
    let body = "0123456789".repeat(300_000);
    let response = ok(&body);
    let service = Service::named("s", move |talk| {
        while let Some(request) = talk.request() {
            talk.send(if request.method() == "POST" {
                ok(&request.body.len().to_string())
            } else {
                response.clone()
            });
        }
    });
    let gateway = Gateway::to(&service);
    let client = Http2Client::connect(gateway.address());
    let mut unread = client.open(get("http://a/"), true);
    assert_eq!(unread.head().unwrap().status(), 200);
    assert_eq!(client.get("http://a/").body.len(), body.len());
    let mut upload = client.open(Request::post("http://a/").body(()).unwrap(), false);
    for part in body.as_bytes().chunks(60_000) {
        upload.sender.reserve_capacity(part.len());
        upload.send(part, false);
    }
    upload.send(b"", true);
    assert_eq!(upload.response().unwrap().text(), body.len().to_string());
    let mut come = 0;
    while let Some(piece) = unread.piece() {
        come += piece.unwrap().len();
    }
    assert_eq!(come, body.len());
}

#[test]
fn expect_continue_over_http2() {
    let service = Service::scripted(|talk| {
        talk.request_head();
        talk.send("HTTP/1.1 100 Continue\r\n\r\n");
        talk.expect("hello");
        talk.send(ok("done"));
    });
    let gateway = Gateway::to(&service);
    let client = Http2Client::connect(gateway.address());
    let request = Request::post("http://a/")
        .header("expect", "100-continue")
        .header("content-length", "5");
    let mut stream = client.open(request.body(()).unwrap(), false);
    service.wait_for("expect: 100-continue");
    stream.send(b"hello", true);
    assert_eq!(stream.response().unwrap().text(), "done");
}

#[test]
fn stream_reset_ends_only_that_exchange() {
    let service = Service::scripted(|talk| {
        while let Some(request) = talk.request_head() {
            if request.target() == "/left" {
                talk.read_to_end();
                return;
            }
            talk.send(ok("here"));
        }
    });
    let gateway = Gateway::to(&service);
    let client = Http2Client::connect(gateway.address());
    let mut left = client.open(get("http://a/left"), true);
    service.wait_for("GET /left");
    left.sender.send_reset(Reason::CANCEL);
    assert_eq!(client.get("http://a/here").text(), "here");
    // The gateway closes the service's connection and counts an aborted request.
    crate::support::wait_for("the count", || {
        let metrics = gateway.metrics();
        metrics.contains("code=\"0\"} 1").then_some(())
    });
}

#[test]
fn early_response_allows_a_short_body_to_end() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let client = Http2Client::connect(gateway.address());
    let request = || {
        let request = Request::post("http://a/%2e%2e/%2e%2e");
        request.body(()).unwrap()
    };
    let mut early = client.open(request(), false);
    assert_eq!(early.response().unwrap().status(), 400);
    // Any frame sent after the response has arrived before this one.
    assert_eq!(client.get("http://a/").status(), 200);
    early.send(b"the end", true);

    // An endless body is reset after a while.
    let mut endless = client.open(request(), false);
    assert_eq!(endless.response().unwrap().status(), 400);
    let reason = client.wait(std::future::poll_fn(|cx| endless.sender.poll_reset(cx)));
    assert_eq!(reason.unwrap(), Reason::NO_ERROR);
}

#[test]
fn drain_finishes_open_streams() {
    let (opener, gate) = gate();
    let service = Service::scripted(move |talk| {
        talk.request();
        gate.wait();
        talk.send(ok("late"));
    });
    let mut gateway = Gateway::to(&service);
    let client = Http2Client::connect(gateway.address());
    let idle = Http2Client::connect(gateway.address());
    let mut stream = client.open(get("http://a/"), true);
    service.wait_for("GET /");
    gateway.signal(Signal::TERM);
    client.wait_for_end();
    idle.wait_for_end();
    opener.open();
    assert_eq!(stream.response().unwrap().text(), "late");
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn removed_listener_sends_goaway() {
    let service = Service::echo("a");
    let gateway = Gateway::with(Config::listening(&["name: x", "name: y"]).all_to(&service));
    let client = Http2Client::connect(gateway.addresses()[1]);
    assert_eq!(client.get("http://a/").status(), 200);
    gateway.rewrite(Config::listening(&["name: x"]).all_to(&service));
    gateway.wait_for_revision(2);
    client.wait_for_end();
    assert_eq!(gateway.get("http://a/").status(), 200);
}

#[test]
fn http2_service_shares_one_connection() {
    let service = Http2Service::start(|request, mut respond| async move {
        let (head, mut body) = request.into_parts();
        let mut read = 0;
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            let _ = body.flow_control().release_capacity(data.len());
            read += data.len();
        }
        let trailers = body.trailers().await.unwrap().unwrap_or_default();
        let text = format!(
            "{} {} {:?} {read} {:?}",
            head.method,
            head.uri,
            head.headers.get("x-one"),
            trailers.get("x-sum")
        );
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream.send_data(Bytes::from(text), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-end", "1".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
    });
    let gateway = Gateway::with(to_http2(&service));
    let expected = |body: &str| format!("POST http://a.test/x?y Some(\"1\") {body}");
    let response = gateway.ask(
        "POST /x?y HTTP/1.1\r\nHost: a.test\r\nX-One: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n",
    );
    assert_eq!(response.text(), expected("5 Some(\"5\")"));
    assert_eq!(response.trailers, [("x-end".to_owned(), "1".to_owned())]);
    let response =
        gateway.ask("POST /x?y HTTP/1.1\r\nHost: a.test\r\nX-One: 1\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(response.text(), expected("5 None"));
    let client = Http2Client::connect(gateway.address());
    let request = Request::post("http://a.test/x?y")
        .header("x-one", "1")
        .body(())
        .unwrap();
    let response = client.ask(request, "hello");
    assert_eq!(response.text(), expected("5 None"));
    assert_eq!(response.trailers, [("x-end".to_owned(), "1".to_owned())]);
    let metrics = gateway.metrics();
    assert!(
        metrics.contains("waypost_upstream_connections_total{service=\"s\"} 1\n"),
        "{metrics}"
    );
}

#[test]
fn more_connections_when_streams_run_out() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(2);
    let (open, gate) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(tokio::sync::Semaphore::new(0)),
    );
    let (opened, held) = (Arc::clone(&open), Arc::clone(&gate));
    let service = Http2Service::with(builder, move |request, mut respond| {
        let (open, gate) = (Arc::clone(&opened), Arc::clone(&held));
        async move {
            if request.uri().path() == "/held" {
                open.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
            }
            respond.send_response(Response::new(()), true).unwrap();
        }
    });
    let gateway = Gateway::with(to_http2(&service));
    // The service's SETTINGS have arrived with the first response.
    assert_eq!(gateway.get("http://a/").status(), 200);
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..5)
            .map(|_| scope.spawn(|| gateway.get("http://a/held").status()))
            .collect();
        crate::support::wait_for("five requests at once", || {
            (open.load(Ordering::SeqCst) == 5).then_some(())
        });
        gate.add_permits(5);
        for asked in asked {
            assert_eq!(asked.join().unwrap(), 200);
        }
    });
    let metrics = gateway.metrics();
    assert!(
        metrics.contains("waypost_upstream_connections_total{service=\"s\"} 3\n"),
        "{metrics}"
    );
}

#[test]
fn only_refused_streams_retried() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let service = Http2Service::start(move |request, mut respond| {
        let count = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            match request.uri().path() {
                "/refused" if count == 0 => respond.send_reset(Reason::REFUSED_STREAM),
                "/cancelled" => respond.send_reset(Reason::CANCEL),
                _ => {
                    respond.send_response(Response::new(()), true).unwrap();
                }
            }
        }
    });
    let gateway = Gateway::with(to_http2(&service));
    let post = |path: &str| {
        gateway
            .ask(format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
            ))
            .status()
    };
    assert_eq!(post("/refused"), 200);
    assert_eq!(asked.swap(0, Ordering::SeqCst), 2);
    assert_eq!(post("/cancelled"), 502);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn h2c_scheme() {
    let service = Http2Service::start(|_, mut respond| async move {
        respond.send_response(Response::new(()), true).unwrap();
    });
    let config = Config::new()
        .service_at("s", &[&service.url().replace("http://", "h2c://")], "")
        .route("name: all, to: s");
    assert_eq!(Gateway::with(config).get("http://a/").status(), 200);
}

#[test]
fn unread_stream_does_not_block_others() {
    let service = Http2Service::start(|request, mut respond| async move {
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        if request.uri().path() == "/drops" {
            for _ in 0..6000 {
                // Many small frames.
                if stream.send_data(Bytes::from_static(b"drop"), false).is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        }
        let _ = stream.send_data(Bytes::from_static(b"end"), true);
    });
    let gateway = Gateway::with(to_http2(&service));
    let client = Http2Client::with_window(gateway.address(), 0);
    let mut unread = client.open(get("http://a/drops"), true);
    assert_eq!(unread.head().unwrap().status(), 200);
    for _ in 0..200 {
        assert_eq!(gateway.get("http://a/").text(), "end");
    }
    let metrics = gateway.metrics();
    assert!(
        metrics.contains("waypost_upstream_connections_total{service=\"s\"} 1\n"),
        "{metrics}"
    );
}

#[test]
fn short_request_replayed_after_refused_stream() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let service = Http2Service::start(move |request, mut respond| {
        let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if first {
                // Refused after its body: the service has processed nothing (RFC 9113 §8.7).
                let mut body = request.into_body();
                while body.data().await.is_some() {}
                respond.send_reset(Reason::REFUSED_STREAM);
                return;
            }
            let mut body = request.into_body();
            let mut read = Vec::new();
            while let Some(Ok(data)) = body.data().await {
                read.extend_from_slice(&data);
            }
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.send_data(Bytes::from(read), true).unwrap();
        }
    });
    let gateway = Gateway::with(to_http2(&service));
    let client = Http2Client::connect(gateway.address());
    let mut stream = client.open(Request::post("http://a/").body(()).unwrap(), false);
    stream.send(b"one ", false);
    stream.send(b"two", true);
    assert_eq!(stream.response().unwrap().text(), "one two");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}
