//! What is forwarded, and how: bodies, heads, connections, retries, the gateway's own answers, the access log.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::support::client::{get, request};
use crate::support::gateway::{Gateway, LISTENER, everything_to, services};
use crate::support::message::{Framing, Message};
use crate::support::service::{Service, echo, ok};

/// What the service saw of a request: its head, without what a gateway always adds.
fn seen(answer: &Message) -> Vec<(String, String)> {
    let added = [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "forwarded",
        "x-real-ip",
    ];
    let fields = answer.json()["headers"].clone();
    let fields: Vec<(String, String)> = serde_json::from_value(fields).unwrap();
    fields
        .into_iter()
        .map(|(name, value)| (name.to_lowercase(), value))
        .filter(|(name, _)| !added.contains(&name.as_str()))
        .collect()
}

fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn method_target_and_headers_arrive_as_sent() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    for (method, target) in [
        ("GET", "/"),
        ("GET", "/a/b?c=d&e=%2F%zz+f"),
        ("GET", "/?"),
        ("DELETE", "/a;b=c,d"),
        ("OPTIONS", "/x"),
        ("PROPFIND", "/dav/"),
        ("get", "/lower"),
    ] {
        let answer = gateway.ask(request(
            method,
            &format!("http://a.example:80{target}"),
            "X-One: 1\r\nX-One: 2\r\n",
        ));
        let echoed = answer.json();
        assert_eq!(
            (echoed["method"].as_str(), echoed["target"].as_str()),
            (Some(method), Some(target))
        );
        let expected = pairs(&[("host", "a.example:80"), ("x-one", "1"), ("x-one", "2")]);
        assert_eq!(seen(&answer), expected);
    }
}

#[test]
fn an_absolute_target_becomes_a_path_and_a_host() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let answer = gateway.ask("GET http://A.example:81/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(answer.json()["target"], "/x?y");
    assert_eq!(seen(&answer), pairs(&[("host", "A.example:81")]));
}

#[test]
fn request_bodies_arrive_by_length_and_in_chunks() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let large = "0123456789abcdef".repeat(20_000);
    for body in ["", "x", &large] {
        let by_length = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut chunks = String::from("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for piece in body.as_bytes().chunks(7_000) {
            chunks += &format!("{:X}\r\n{}\r\n", piece.len(), std::str::from_utf8(piece).unwrap());
        }
        chunks += "0\r\n\r\n";
        for sent in [by_length, chunks] {
            let mut client = gateway.connect();
            assert_eq!(client.ask(sent).json()["body"], body);
            // And the connection goes on behind it.
            assert_eq!(client.get("http://a/next").json()["target"], "/next");
        }
    }
}

#[test]
fn trailers_of_a_request_are_kept() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let answer = gateway.ask(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         3\r\nabc\r\n0\r\nX-Sum: 42\r\nX-More: yes\r\n\r\n",
    );
    assert_eq!(answer.json()["body"], "abc");
    assert_eq!(
        answer.json()["trailers"],
        json!([["X-Sum", "42"], ["X-More", "yes"]])
    );
}

/// An answer of a service, and what the client gets of it.
#[test]
fn answers_arrive_however_they_are_delimited() {
    let large = "0123456789abcdef".repeat(20_000);
    let chunked = |body: &str| {
        let mut chunks = String::from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for piece in body.as_bytes().chunks(9_000) {
            chunks += &format!("{:x}\r\n{}\r\n", piece.len(), std::str::from_utf8(piece).unwrap());
        }
        chunks + "0\r\n\r\n"
    };
    for body in ["", "x", &large] {
        let closed = format!("HTTP/1.1 200 OK\r\n\r\n{body}");
        let old = format!("HTTP/1.0 200 OK\r\n\r\n{body}");
        for (given, framing) in [
            (ok(body), Framing::Length(body.len())),
            (chunked(body), Framing::Chunked),
            (closed, Framing::Chunked),
            (old, Framing::Chunked),
        ] {
            let service = Service::answering_once(given);
            let gateway = Gateway::to(&service);
            let answer = gateway.get("http://a/");
            assert_eq!(answer.framing, framing);
            assert!(answer.is_complete);
            assert!(answer.text() == body);
        }
    }
}

#[test]
fn trailers_of_an_answer_are_kept() {
    let service = Service::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n",
    );
    let answer = Gateway::to(&service).get("http://a/");
    assert_eq!(answer.text(), "abc");
    assert_eq!(answer.trailers, pairs(&[("X-Sum", "42")]));
}

#[test]
fn answers_without_a_body_end_with_their_head() {
    for (method, given, length) in [
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
            Some("1234"),
        ),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            None,
        ),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", None),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\nETag: \"x\"\r\n\r\n",
            Some("1234"),
        ),
    ] {
        let service = Service::answering(given);
        let gateway = Gateway::to(&service);
        let mut client = gateway.connect();
        for _ in 0..2 {
            client.send(request(method, "http://a/", ""));
            let answer = client.answer_to_head();
            assert_eq!(answer.first_line, given.lines().next().unwrap());
            assert_eq!(answer.header("content-length"), length, "{method} {given}");
        }
        drop(client);
        assert_eq!(
            service.connections(),
            1,
            "{method} {given}: both connections go on"
        );
    }
}

#[test]
fn interim_answers_are_passed_on() {
    let service = Service::answering(format!(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n{}",
        ok("done")
    ));
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    client.send(get("http://a/"));
    let hints = client.answer();
    assert_eq!((hints.status(), hints.header("link")), (103, Some("</a.css>")));
    assert_eq!(client.answer().status(), 102);
    assert_eq!(client.answer().text(), "done");
    // HTTP/1.0 knows none.
    let mut old = gateway.connect();
    assert_eq!(old.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n").text(), "done");
}

#[test]
fn expect_is_the_services_to_answer() {
    let service = Service::scripted(|talk| {
        let head = talk.request_head().unwrap();
        assert_eq!(head.header("expect"), Some("100-continue"));
        if head.target() == "/no" {
            talk.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            return;
        }
        talk.send("HTTP/1.1 100 Continue\r\n\r\n");
        talk.expect("body");
        // It is not kept: a second POST on a connection that is just being closed may not be sent again.
        talk.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nthanks");
    });
    let gateway = Gateway::to(&service);
    let head = |path| {
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    };
    let mut client = gateway.connect();
    assert_eq!(client.ask(head("/yes")).status(), 100);
    assert_eq!(client.ask("body").text(), "thanks");
    let mut client = gateway.connect();
    let answer = client.ask(head("/no"));
    assert_eq!(answer.status(), 417);
    // The body was not sent, so nothing on this connection could be told from it.
    assert_eq!(answer.header("connection"), Some("close"));
    client.assert_closed();
}

#[test]
fn an_answer_may_come_before_the_end_of_the_request() {
    let service = Service::scripted(|talk| {
        talk.request_head().unwrap();
        talk.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch");
        talk.read_to_end();
    });
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    let answer = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc");
    assert_eq!((answer.status(), answer.text().as_str()), (413, "much"));
}

#[test]
fn bodies_stream_in_both_directions_at_once() {
    let service = Service::scripted(|talk| {
        talk.request_head().unwrap();
        talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for number in 0..5 {
            talk.expect(&format!("<{number}>"));
            talk.send(format!("3\r\n[{number}]\r\n"));
        }
        talk.expect("0\r\n\r\n");
        talk.send("0\r\n\r\n");
    });
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(client.answer_head().status(), 200);
    for number in 0..5 {
        client.send(format!("3\r\n<{number}>\r\n"));
        client.expect(&format!("[{number}]"));
    }
    client.send("0\r\n\r\n").expect("0\r\n\r\n");
}

#[test]
fn http_1_0_clients_get_what_they_understand() {
    let chunked =
        Service::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    let gateway = Gateway::to(&chunked);
    let mut client = gateway.connect();
    let answer = client.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(
        (answer.framing, answer.text().as_str()),
        (Framing::UntilClose, "abc")
    );
    assert!(answer.values("transfer-encoding").is_empty());

    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    // Without a word the connection ends, with `keep-alive` it goes on and says so.
    let mut client = gateway.connect();
    let answer = client.ask("GET /x HTTP/1.0\r\n\r\n");
    assert_eq!(seen(&answer), pairs(&[("host", &service.address().to_string())]));
    client.assert_closed();
    let mut client = gateway.connect();
    for _ in 0..2 {
        let answer = client.ask("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(answer.header("connection"), Some("keep-alive"));
    }
    let post = "POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(gateway.ask(post).json()["body"], "abc");
}

#[test]
fn connection_close_is_obeyed() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    let answer = client.ask(request("GET", "http://a/", "Connection: close\r\n"));
    assert_eq!(answer.header("connection"), Some("close"));
    client.assert_closed();
    // That was the client's wish; the service's connection goes on.
    gateway.get("http://a/");
    assert_eq!(service.connections(), 1);
}

#[test]
fn a_service_that_closes_is_asked_on_a_new_connection() {
    for last in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ] {
        let service = Service::answering(last);
        let gateway = Gateway::to(&service);
        let mut client = gateway.connect();
        for _ in 0..3 {
            assert_eq!(client.get("http://a/").text(), "ok");
        }
        assert_eq!(service.connections(), 3, "{last}");
    }
}

#[test]
fn connections_to_a_service_are_used_again() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    for _ in 0..10 {
        client.get("http://a/");
    }
    for _ in 0..10 {
        gateway.get("http://a/");
    }
    assert_eq!(service.connections(), 1);
}

#[test]
fn without_a_pool_no_connection_is_kept() {
    let service = Service::echo("a");
    let gateway = Gateway::with(format!(
        "{LISTENER}services: {{ a: {{ endpoints: [\"{}\"], pool: {{ idle_max: 0 }} }} }}\n\
         routes: [{{ name: all, to: a }}]\n",
        service.url()
    ));
    for _ in 0..3 {
        gateway.get("http://a/");
    }
    assert_eq!(service.connections(), 3);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let service = Service::echo("a");
    let gateway = Gateway::with(format!(
        "{}  - {{ name: own, match: {{ path: /own }}, respond: {{ status: 200, body: own }} }}\n",
        everything_to(&service, LISTENER)
    ));
    let mut client = gateway.connect();
    let mut all = String::new();
    for number in 0..12 {
        all += &match number % 3 {
            0 => get(&format!("http://a/{number}")),
            1 => format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{number:02}"),
            _ => get("http://a/own"),
        };
    }
    client.send(all);
    for number in 0..12 {
        let answer = client.answer();
        if number % 3 == 2 {
            assert_eq!(answer.text(), "own");
        } else {
            assert_eq!(answer.json()["target"], format!("/{number}"));
        }
    }
}

/// A service that answers one request on each connection, and then closes it, or, from the second connection
/// on, answers all. `tell` hears when the first connection has been closed.
fn dying(tell: mpsc::Sender<()>) -> Service {
    let tell = Mutex::new(Some(tell));
    Service::scripted(move |talk| {
        let Some(asked) = talk.request() else { return };
        talk.send(echo("a", &asked));
        if talk.number == 0 {
            // The next request is read, and not answered: nobody knows what became of it.
            talk.request();
            tell.lock().unwrap().take();
            return;
        }
        while let Some(asked) = talk.request() {
            talk.send(echo("a", &asked));
        }
    })
}

#[test]
fn a_request_that_may_be_sent_twice_is_tried_again_on_a_fresh_connection() {
    for sent in [
        get("http://a/again"),
        request("DELETE", "http://a/again", ""),
        "PUT /again HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
    ] {
        let (tell, _closed) = mpsc::channel();
        let service = dying(tell);
        let gateway = Gateway::to(&service);
        gateway.get("http://a/first");
        assert_eq!(gateway.ask(&sent).json()["target"], "/again", "{sent}");
        assert_eq!(service.received().concat().matches("/again").count(), 2, "{sent}");
    }
}

#[test]
fn a_post_is_never_sent_twice() {
    let (tell, _closed) = mpsc::channel();
    let service = dying(tell);
    let gateway = Gateway::to(&service);
    gateway.get("http://a/first");
    let answer = gateway.ask("POST /again HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(answer.status(), 502);
    assert_eq!(service.received().concat().matches("/again").count(), 1);
}

#[test]
fn a_connection_that_was_closed_while_idle_is_noticed_before_a_post() {
    let closed = Arc::new(Mutex::new(None));
    let (tell, hear) = mpsc::channel::<()>();
    *closed.lock().unwrap() = Some(tell);
    let service = Service::scripted(move |talk| {
        let Some(asked) = talk.request() else { return };
        talk.send(echo("a", &asked));
        if talk.number == 0 {
            talk.finish_sending();
            // The end has left; the answer to the gateway's own end would be the last thing to come.
            closed.lock().unwrap().take();
            talk.read_to_end();
        }
    });
    let gateway = Gateway::to(&service);
    gateway.get("http://a/first");
    let _ = hear.recv();
    let answer = gateway.ask("POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(answer.json()["target"], "/second");
}

#[test]
fn an_answer_that_has_begun_is_never_asked_for_again() {
    let service = Service::scripted(|talk| {
        let Some(asked) = talk.request() else { return };
        if talk.number == 0 {
            talk.send(echo("a", &asked));
            talk.request();
            talk.send("HTTP/1.1 2");
        }
    });
    let gateway = Gateway::to(&service);
    gateway.get("http://a/first");
    assert_eq!(gateway.get("http://a/second").status(), 502);
    assert_eq!(service.connections(), 1);
}

fn several(endpoints: &[&Service], more: &str) -> String {
    let urls: Vec<String> = endpoints
        .iter()
        .map(|service| format!("\"{}\"", service.url()))
        .collect();
    format!(
        "{LISTENER}services: {{ s: {{ endpoints: [{}]{more} }} }}\nroutes: [{{ name: all, to: s }}]\n",
        urls.join(", ")
    )
}

#[test]
fn endpoints_take_turns() {
    let all = [Service::echo("a"), Service::echo("b"), Service::echo("c")];
    let gateway = Gateway::with(several(&[&all[0], &all[1], &all[2]], ""));
    let mut client = gateway.connect();
    let names: Vec<String> = (0..12)
        .map(|_| {
            client.get("http://a/").json()["service"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    for name in ["a", "b", "c"] {
        assert_eq!(
            names.iter().filter(|found| *found == name).count(),
            4,
            "{names:?}"
        );
    }
    assert_eq!(names[..9], names[3..], "{names:?}");
}

#[test]
fn an_endpoint_that_does_not_accept_is_passed_over() {
    let (down, up) = (Service::refusing(), Service::echo("up"));
    let gateway = Gateway::with(several(&[&down, &up], ""));
    let mut client = gateway.connect();
    for _ in 0..10 {
        let answer = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(answer.json()["service"], "up");
        assert_eq!(answer.json()["body"], "ok");
    }
}

#[test]
fn an_endpoint_may_be_a_name() {
    let service = Service::echo("a");
    let port = service.address().port();
    let gateway = Gateway::with(format!(
        "{LISTENER}services: {{ s: {{ endpoints: [\"http://localhost:{port}\"] }} }}\nroutes: [{{ name: all, to: s }}]\n"
    ));
    assert_eq!(gateway.get("http://a/").json()["service"], "a");
}

#[test]
fn who_the_client_is_comes_from_the_connection_unless_its_peer_is_trusted() {
    let service = Service::echo("a");
    let asked = "GET / HTTP/1.1\r\nHost: a.example:81\r\nX-Forwarded-For: 192.0.2.1, 10.1.1.1\r\n\
                 X-Forwarded-Proto: https\r\nX-Forwarded-Host: public.example\r\nForwarded: for=192.0.2.1\r\n\
                 X-Real-IP: 192.0.2.1\r\n\r\n";
    let cases = [
        (
            "",
            [
                ("x-forwarded-for", "127.0.0.1"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-host", "a.example:81"),
                ("forwarded", "for=127.0.0.1;host=\"a.example:81\";proto=http"),
                ("x-real-ip", "127.0.0.1"),
            ],
        ),
        (
            ", trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]",
            [
                ("x-forwarded-for", "192.0.2.1, 10.1.1.1, 127.0.0.1"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "public.example"),
                (
                    "forwarded",
                    "for=192.0.2.1, for=127.0.0.1;host=\"a.example:81\";proto=http",
                ),
                ("x-real-ip", "192.0.2.1"),
            ],
        ),
    ];
    for (trusts, expected) in cases {
        let top = format!("listeners: [{{ bind: 127.0.0.1:0{trusts} }}]\nworkers: 1\n");
        let answer = Gateway::with(everything_to(&service, &top)).ask(asked).json();
        let fields: Vec<(String, String)> = serde_json::from_value(answer["headers"].clone()).unwrap();
        for (name, value) in expected {
            let found: Vec<&str> = fields
                .iter()
                .filter(|(field, _)| field.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_str())
                .collect();
            assert_eq!(found, [value], "{name} with `{trusts}`");
        }
    }
}

#[test]
fn hop_by_hop_headers_end_at_the_gateway() {
    let service = Service::scripted(|talk| {
        while let Some(asked) = talk.request() {
            let echoed = String::from_utf8(echo("a", &asked)).unwrap();
            talk.send(echoed.replacen(
                "\r\n",
                "\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\
                 X-End: 2\r\nUpgrade: h2c\r\n",
                1,
            ));
        }
    });
    let gateway = Gateway::to(&service);
    let answer = gateway.ask(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 300\r\n\
         Proxy-Connection: keep-alive\r\nTE: gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\
         Proxy-Authorization: Basic eA==\r\nX-End: 2\r\n\r\n",
    );
    let names: Vec<String> = seen(&answer).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["host", "x-end"]);
    assert_eq!(answer.header("x-end"), Some("2"));
    for gone in ["x-hop", "keep-alive", "connection", "upgrade"] {
        assert_eq!(answer.values(gone), Vec::<&str>::new(), "{gone}");
    }
}

#[test]
fn te_trailers_is_passed_on_for_this_hop() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let answer = gateway.ask(request(
        "GET",
        "http://a/",
        "TE: trailers, gzip\r\nConnection: TE\r\n",
    ));
    let seen = seen(&answer);
    assert!(
        seen.contains(&("te".to_owned(), "trailers".to_owned())),
        "{seen:?}"
    );
    assert!(
        seen.contains(&("connection".to_owned(), "te".to_owned())),
        "{seen:?}"
    );
}

#[test]
fn headers_are_edited_in_both_directions() {
    let service =
        Service::answering("HTTP/1.1 200 OK\r\nServer: s\r\nX-Keep: 1\r\nContent-Length: 0\r\n\r\n");
    let gateway = Gateway::with(format!(
        "{LISTENER}{}routes:\n  - name: all\n    to: service\n    \
         request_headers: {{ set: {{ x-set: new, x-forwarded-for: mine }}, add: {{ x-add: more }}, remove: [x-gone] }}\n    \
         response_headers: {{ set: {{ x-answer: set }}, add: {{ x-keep: \"2\" }}, remove: [server] }}\n",
        services([&service])
    ));
    let answer = gateway.ask(request(
        "GET",
        "http://a/",
        "X-Set: old\r\nX-Set: older\r\nX-Add: one\r\nX-Gone: 1\r\n",
    ));
    let received = service.received()[0].to_lowercase();
    for present in [
        "x-set: new\r\n",
        "x-add: one\r\n",
        "x-add: more\r\n",
        "x-forwarded-for: mine\r\n",
    ] {
        assert!(received.contains(present), "{present} in {received}");
    }
    for gone in ["old", "x-gone", "x-forwarded-for: 127"] {
        assert!(!received.contains(gone), "{gone} in {received}");
    }
    assert_eq!(answer.header("x-answer"), Some("set"));
    assert_eq!(answer.values("x-keep"), ["1", "2"]);
    assert_eq!(answer.header("server"), None);
}

const ACTIONS: &str = "
  - name: rewritten
    match: { path: /old/* }
    rewrite: { prefix: /new, host: inside.example }
    to: a
  - name: moved
    match: { path: /moved/* }
    redirect: { status: 301, prefix: /there }
    response_headers: { set: { x-moved: \"1\" } }
  - name: json
    match: { path: /json }
    respond: { status: 418, body: '{}', content_type: application/json }
  - name: empty
    match: { path: /empty }
    respond: { status: 204 }
  - name: nobody
    match: { path: /nobody }
    to: nobody
  - name: nowhere
    match: { path: /nowhere }
    to: {}
  - name: bad-rewrite
    match: { path: /bad/* }
    rewrite: { regex: [\"^/bad/x\", \"/../..\"] }
    to: a
  - name: down
    match: { path: /down }
    to: down
";

fn acting(service: &Service, down: &Service) -> Gateway {
    Gateway::with(format!(
        "{LISTENER}services:\n  a: {{ endpoints: [\"{}\"] }}\n  nobody: {{ endpoints: [] }}\n  down: {{ endpoints: [\"{}\"] }}\nroutes:{ACTIONS}",
        service.url(),
        down.url()
    ))
}

#[test]
fn rewrites_redirects_and_responds() {
    let (service, down) = (Service::echo("a"), Service::refusing());
    let gateway = acting(&service, &down);
    let mut client = gateway.connect();
    let answer = client.get("http://a.example/old/x?y=%2F");
    assert_eq!(answer.json()["target"], "/new/x?y=%2F");
    assert_eq!(seen(&answer), pairs(&[("host", "inside.example")]));

    let answer = client.get("http://a.example:81/moved/x?y");
    assert_eq!(answer.status(), 301);
    assert_eq!(answer.header("location"), Some("http://a.example:81/there/x?y"));
    assert_eq!(answer.header("x-moved"), Some("1"));

    let answer = client.get("http://a.example/json");
    assert_eq!((answer.status(), answer.text().as_str()), (418, "{}"));
    assert_eq!(answer.header("content-type"), Some("application/json"));

    client.send(request("HEAD", "http://a.example/json", ""));
    let answer = client.answer_to_head();
    assert_eq!(
        (answer.status(), answer.header("content-length")),
        (418, Some("2"))
    );

    let answer = client.get("http://a.example/empty");
    assert_eq!((answer.status(), answer.header("content-length")), (204, None));
    // All on one connection, so each ended exactly where it said.
    assert_eq!(client.get("http://a.example/old").json()["target"], "/new");
}

#[test]
fn the_gateways_own_answers_say_what_happened_and_nothing_of_the_inside() {
    let (service, down) = (Service::echo("a"), Service::refusing());
    let gateway = acting(&service, &down);
    let mut client = gateway.connect();
    for (path, status, error) in [
        ("/unknown", 404, "destination_not_found"),
        ("/nobody", 503, "destination_unavailable"),
        ("/nowhere", 500, "destination_unavailable"),
        ("/bad/x", 500, "proxy_configuration_error"),
        ("/down", 502, "connection_refused"),
    ] {
        let answer = client.get(&format!("http://a{path}"));
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(
            answer.header("proxy-status"),
            Some(format!("waypost; error={error}").as_str()),
            "{path}"
        );
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; charset=utf-8"),
            "{path}"
        );
        assert!(
            answer.text().starts_with(&status.to_string()),
            "{path}: {}",
            answer.text()
        );
        assert!(!answer.text().contains("127.0.0.1"), "{path}: {}", answer.text());

        client.send(request(
            "GET",
            &format!("http://a{path}"),
            "Accept: application/json\r\n",
        ));
        let answer = client.answer();
        assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
        assert_eq!(answer.json()["status"], status, "{path}");

        client.send(request("HEAD", &format!("http://a{path}"), ""));
        assert_eq!(client.answer_to_head().status(), status, "{path}");
    }
}

#[test]
fn response_headers_are_edited_on_the_routes_answers_but_not_on_the_gateways_errors() {
    let (service, down) = (Service::echo("a"), Service::refusing());
    let gateway = Gateway::with(format!(
        "{LISTENER}services:\n  a: {{ endpoints: [\"{}\"] }}\n  down: {{ endpoints: [\"{}\"] }}\nroutes:\n  \
         - {{ name: up, match: {{ path: /up }}, to: a, response_headers: {{ set: {{ x-e: \"1\" }} }} }}\n  \
         - {{ name: own, match: {{ path: /own }}, respond: {{ status: 404 }}, response_headers: {{ set: {{ x-e: \"1\" }} }} }}\n  \
         - {{ name: down, match: {{ path: /down }}, to: down, response_headers: {{ set: {{ x-e: \"1\" }} }} }}\n",
        service.url(),
        down.url()
    ));
    for (path, edited) in [
        ("/up", Some("1")),
        ("/own", Some("1")),
        ("/down", None),
        ("/none", None),
    ] {
        assert_eq!(
            gateway.get(&format!("http://a{path}")).header("x-e"),
            edited,
            "{path}"
        );
    }
}

#[test]
fn a_body_may_come_with_any_method() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    for method in ["GET", "DELETE", "OPTIONS", "PATCH"] {
        let sent = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
        assert_eq!(client.ask(sent).json()["body"], "body", "{method}");
    }
}

#[test]
fn a_redirect_does_not_wait_for_a_body_that_is_still_to_come() {
    let (service, down) = (Service::echo("a"), Service::refusing());
    let gateway = acting(&service, &down);
    let mut client = gateway.connect();
    let answer = client.ask("POST /moved/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc");
    assert_eq!(answer.status(), 301);
    // What comes of the body now cannot be told from a request.
    assert_eq!(answer.header("connection"), Some("close"));
    client
        .send("GET /old/x HTTP/1.1\r\nHost: a\r\n\r\n")
        .assert_closed();
    assert_eq!(service.connections(), 0);
}

#[test]
fn the_time_of_a_route_bounds_an_answer_that_has_begun() {
    let service = Service::scripted(|talk| {
        talk.request();
        talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        talk.read_to_end();
    });
    let gateway = Gateway::with(format!(
        "{LISTENER}{}routes: [{{ name: all, to: service, timeout: 200ms }}]\n",
        services([&service])
    ));
    let answer = gateway.get("http://a/");
    // On a slow machine, time may be up before the answer begins.
    assert!(answer.status() == 504 || !answer.is_complete, "{}", answer.head);
}

#[test]
fn a_request_that_nobody_takes_may_have_a_body() {
    let service = Service::echo("a");
    let gateway = acting(&service, &service);
    let mut client = gateway.connect();
    let post = "POST /unknown HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(client.ask(post).status(), 404);
    let answer = client.try_answer_to(&get("http://a/old"));
    // Either the connection goes on behind the body, or it was said to end.
    if let Some(answer) = answer {
        assert_eq!(answer.json()["target"], "/new");
    }
}

#[test]
fn debug_headers_name_route_and_revision() {
    let service = Service::echo("a");
    let gateway = Gateway::with(everything_to(
        &service,
        &format!("{LISTENER}debug_headers: true\n"),
    ));
    let answer = gateway.get("http://a/");
    assert_eq!(answer.header("x-waypost-route"), Some("all"));
    assert_eq!(answer.header("x-waypost-revision"), Some("1"));
    let quiet = Gateway::to(&service).get("http://a/");
    assert!(!quiet.head.to_lowercase().contains("x-waypost"), "{}", quiet.head);
}

/// Services that never answer are answered for.
#[test]
fn timeouts_are_504() {
    let silent = || {
        Service::scripted(|talk| {
            talk.request();
            talk.read_to_end();
        })
    };
    let service = silent();
    let gateway = Gateway::with(several(&[&service], ", timeouts: { response: 100ms }"));
    let answer = gateway.get("http://a/");
    assert_eq!(answer.status(), 504);
    assert_eq!(
        answer.header("proxy-status"),
        Some("waypost; error=http_response_timeout")
    );
    assert_eq!(service.connections(), 1, "it is not asked again");

    let service = silent();
    let gateway = Gateway::with(format!(
        "{LISTENER}{}routes: [{{ name: all, to: service, timeout: 100ms }}]\n",
        services([&service])
    ));
    assert_eq!(gateway.get("http://a/").status(), 504);
}

#[test]
fn an_answer_that_stalls_is_cut_visibly() {
    let service = Service::scripted(|talk| {
        talk.request();
        talk.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        talk.read_to_end();
    });
    let gateway = Gateway::with(several(&[&service], ", timeouts: { idle: 100ms }"));
    let answer = gateway.get("http://a/");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "abc"));
    assert!(!answer.is_complete);
}

#[test]
fn slow_clients_are_told_and_idle_ones_closed() {
    let service = Service::echo("a");
    let top = "listeners: [{ bind: 127.0.0.1:0, limits: { header_timeout: 100ms, keep_alive_timeout: 100ms, \
               body_idle_timeout: 100ms } }]\nworkers: 1\n";
    let gateway = Gateway::with(everything_to(&service, top));
    let mut client = gateway.connect();
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost:").status(), 408);
    client.assert_closed();
    let mut client = gateway.connect();
    assert_eq!(
        client
            .ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
            .status(),
        408
    );
    client.assert_closed();
    let mut client = gateway.connect();
    assert_eq!(client.get("http://a/").status(), 200);
    client.assert_closed();
    gateway.connect().assert_closed();
}

#[test]
fn a_service_killed_in_mid_answer_is_visible_as_truncation() {
    for given in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    ] {
        for resets in [false, true] {
            for version in ["1.1", "1.0"] {
                check_truncation(given, resets, version);
            }
        }
    }
    // What ends with the connection has no other end than an orderly one.
    check_truncation("HTTP/1.1 200 OK\r\n\r\nabc", true, "1.1");
    check_truncation("HTTP/1.1 200 OK\r\n\r\nabc", true, "1.0");
}

fn check_truncation(given: &'static str, resets: bool, version: &str) {
    // The service dies only once the client has what came before, so nothing is lost on the way.
    let (tell, hear) = mpsc::channel::<()>();
    let hear = Mutex::new(hear);
    let service = Service::scripted(move |talk| {
        talk.request();
        talk.send(given);
        let _ = hear.lock().unwrap().recv();
        if resets {
            talk.reset();
        }
    });
    let gateway = Gateway::to(&service);
    let mut client = gateway.connect();
    client.send(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"));
    let head = client.answer_head();
    assert_eq!(head.status(), 200);
    drop(tell);
    let chunked = head.header("transfer-encoding").is_some();
    let (rest, orderly) = client.rest_and_end();
    let shown = format!("{given:?}, reset: {resets}, HTTP/{version}: {rest:?}, orderly: {orderly}");
    if head.header("content-length").is_some() {
        assert_eq!(rest, "abc", "{shown}");
    } else if chunked {
        assert!(!rest.ends_with("0\r\n\r\n"), "{shown}");
    } else {
        assert!(!orderly, "{shown}");
    }
}

#[test]
fn a_large_answer_waits_for_a_slow_reader_and_arrives_whole() {
    let body = "0123456789abcdef".repeat(1 << 17);
    let length = body.len();
    let service = Service::answering(ok(&body));
    let gateway = Gateway::to(&service);
    let mut slow = gateway.connect();
    slow.send(get("http://a/"));
    // While one client does not read, others are served.
    assert_eq!(gateway.get("http://a/").body.len(), length);
    let answer = slow.answer();
    assert!(answer.is_complete && answer.body.len() == length);
}

#[test]
fn many_clients_at_once_each_get_their_own_answer() {
    let service = Service::echo("a");
    let gateway = Gateway::to(&service);
    std::thread::scope(|scope| {
        for client in 0..16 {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut connection = gateway.connect();
                for number in 0..20 {
                    let target = format!("/{client}/{number}");
                    let answer = connection.get(&format!("http://a{target}"));
                    assert_eq!(answer.json()["target"], target);
                }
            });
        }
    });
}

/// A connection that comes back while others wait for one may be closed already, and nobody has said so.
#[test]
fn clients_never_notice_a_service_that_closes_after_each_answer_without_a_word() {
    let service = Service::answering_once("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let gateway = Gateway::to(&service);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut connection = gateway.connect();
                for _ in 0..20 {
                    let answer = connection.get("http://a/");
                    assert_eq!((answer.status(), answer.text()), (200, "ok".into()));
                }
            });
        }
    });
}

/// Bytes go through the gateway, they are not collected there.
#[test]
fn memory_does_not_grow_with_what_passes() {
    const BYTES: usize = 48 << 20;
    const GROWTH_MAX: usize = 8 << 20;
    let piece = "x".repeat(1 << 16);
    let service = Service::scripted(move |talk| {
        let Some(asked) = talk.request_head() else { return };
        if asked.target() == "/small" {
            talk.send(ok(""));
            return;
        }
        talk.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n"));
        for _ in 0..BYTES / piece.len() {
            talk.send(&piece);
        }
    });
    let gateway = Gateway::to(&service);
    gateway.get("http://a/small");
    let before = gateway.memory_max();
    let mut client = gateway.connect();
    client.send(get("http://a/large"));
    // The service sends as fast as it can, the client takes little at a time.
    assert_eq!(client.count_in_small_reads(), BYTES);
    let growth = gateway.memory_max() - before;
    assert!(growth < GROWTH_MAX, "{growth} bytes more");
}

#[test]
fn who_comes_when_all_places_are_taken_waits_for_one() {
    let service = Service::echo("a");
    let top = "listeners: [{ bind: 127.0.0.1:0, limits: { connections: 1 } }]\nworkers: 1\n";
    let gateway = Gateway::with(everything_to(&service, top));
    let mut first = gateway.connect();
    first.get("http://a/first");
    let mut second = gateway.connect();
    second.send(get("http://a/second"));
    assert_eq!(first.get("http://a/again").json()["target"], "/again");
    drop(first);
    assert_eq!(second.answer().json()["target"], "/second");
}
