//! Clients that end their sending side: taken for clients that left, unless they announced it.

use serde_json::{Value, json};

use crate::access_log::wait_for_log;
use crate::support::config::Config;
use crate::support::gateway::{Gateway, certificates};
use crate::support::http2::Http2Service;
use crate::support::service::{Gate, Opener, Service, gate, ok};
use crate::support::tls::{Authority, Trusting};
use crate::support::wait_for;

/// A service that responds when its gate opens, and tells whether the gateway broke the request off instead.
fn waiting_service() -> (Service, Opener) {
    let (opener, gate) = gate();
    (Service::scripted(responding_behind(gate)), opener)
}

fn responding_behind(gate: Gate) -> impl Fn(&mut crate::support::service::Talk) + Send + Sync + 'static {
    move |talk| {
        while talk.request().is_some() {
            gate.wait();
            talk.send(ok("late"));
        }
    }
}

/// A service that never responds, but sees the end of its connection.
fn silent_service() -> (Service, std::sync::mpsc::Receiver<()>) {
    let (tell, told) = std::sync::mpsc::channel();
    let service = Service::scripted(move |talk| {
        talk.request();
        talk.read_to_end();
        let _ = tell.send(());
    });
    (service, told)
}

/// The end of a request, by its log line.
fn ending(line: &Value) -> Value {
    json!([line["status"], line["bytes"], line["ended_by"], line["reason"]])
}

#[test]
fn fin_before_the_response_ends_the_exchange() {
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "HEAD /x HTTP/1.1\r\nHost: b.example\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    ] {
        let (service, ended) = silent_service();
        let gateway = Gateway::with(Config::new().key("access_log: access.log").all_to(&service));
        let mut client = gateway.connect();
        client.send(request);
        service.wait_for("\r\n\r\n");
        client.finish_sending().assert_closed();
        ended.recv_timeout(crate::support::PATIENCE).unwrap();
        let lines = wait_for_log(&gateway, 1);
        let left = json!([0, 0, "client", "connection closed"]);
        assert_eq!(ending(&lines[0]), left, "{request:?}");
        let series = "waypost_requests_total{route=\"all\",service=\"service\",code=\"0\"} 1";
        wait_for("the count", || gateway.metrics().contains(series).then_some(()));
    }
}

#[test]
fn fin_together_with_the_request_ends_the_exchange() {
    let (service, _ended) = silent_service();
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.finish_sending().assert_closed();
}

#[test]
fn announced_fin_is_served() {
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: x, Close\r\n\r\nabc",
        "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
    ] {
        let (service, opener) = waiting_service();
        let gateway = Gateway::to(&service);
        let mut client = gateway.connect();
        client.send(request).finish_sending();
        service.wait_for("\r\n\r\n");
        opener.open();
        assert_eq!(client.response().text(), "late", "{request:?}");
        client.assert_closed();
    }
}

#[test]
fn half_close_serve_takes_every_client_for_a_reader() {
    let (service, opener) = waiting_service();
    let gateway = Gateway::with(Config::listening(&["half_close: serve"]).all_to(&service));
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").finish_sending();
    service.wait_for("\r\n\r\n");
    opener.open();
    assert_eq!(client.response().text(), "late");
    client.assert_closed();
}

#[test]
fn fin_within_the_response_does_not_end_it() {
    let (opener, gate) = gate();
    let service = Service::scripted(move |talk| {
        talk.request();
        talk.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
        gate.wait();
        talk.send("def");
    });
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.expect("abc").finish_sending();
    opener.open();
    client.expect("def").assert_closed();
}

#[test]
fn fin_behind_pipelined_requests_counts_for_the_last() {
    let (opener, gate) = gate();
    let service = Service::scripted(move |talk| {
        while let Some(request) = talk.request() {
            if request.target() == "/last" {
                talk.read_to_end();
                return;
            }
            gate.wait();
            talk.send(ok("first"));
        }
    });
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /last HTTP/1.1\r\nHost: a\r\n\r\n")
        .finish_sending();
    opener.open();
    assert_eq!(client.response().text(), "first");
    client.assert_closed();
}

#[test]
fn close_notify_over_tls_counts_as_fin() {
    let (authority, logging) = (Authority::new(), "access_log: access.log");
    let pair = authority.issue(&["a"]);
    let tls = format!("tls: {{ {} }}", certificates(1));
    for (close, connection) in [(true, ""), (true, "Connection: close\r\n"), (false, "")] {
        let (opener, gate) = gate();
        let service = Service::scripted(responding_behind(gate));
        let config = Config::listening(&[&tls]).key(logging).all_to(&service);
        let gateway = Gateway::under_tls(&[&pair], &[], config);
        let mut client = Trusting::new(&authority).connect(gateway.address(), "a");
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{connection}\r\n"));
        service.wait_for("\r\n\r\n");
        if close {
            client.finish_sending();
        } else {
            client.finish_sending_without_notice();
        }
        if connection.is_empty() {
            assert!(client.try_response().is_none());
            let left = json!([0, 0, "client", "connection closed"]);
            assert_eq!(ending(&wait_for_log(&gateway, 1)[0]), left);
        } else {
            opener.open();
            assert_eq!(client.response().text(), "late");
        }
    }
}

#[test]
fn fin_resets_the_stream_of_an_http2_service() {
    let (tell, told) = std::sync::mpsc::channel();
    let service = Http2Service::start(move |_, mut respond| {
        let tell = tell.clone();
        async move {
            let _ = tell.send(None);
            let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            let _ = tell.send(Some(reason.unwrap()));
        }
    });
    let config = Config::new().service_at("s", &[&service.url()], "http2: true");
    let gateway = Gateway::with(config.route("name: all, to: s"));
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let next = || told.recv_timeout(crate::support::PATIENCE).unwrap();
    assert_eq!(next(), None);
    client.finish_sending().assert_closed();
    assert_eq!(next(), Some(h2::Reason::CANCEL));
}
