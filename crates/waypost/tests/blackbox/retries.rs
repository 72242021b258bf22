//! Retries: which requests are sent a second time, on which connection and at which endpoint.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use crate::support::client::{get, request};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::{Service, echo};

/// A service that closes its first connection instead of responding to the second request there. Later connections
/// work.
fn dying(tell: mpsc::Sender<()>) -> Service {
    let tell = Mutex::new(Some(tell));
    Service::scripted(move |talk| {
        let Some(asked) = talk.request() else { return };
        talk.send(echo("a", &asked));
        if talk.number == 0 {
            // The second request is read without a response, so its outcome is unknown.
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
fn idempotent_request_retried_on_a_new_connection() {
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
fn post_never_sent_twice() {
    let (tell, _closed) = mpsc::channel();
    let service = dying(tell);
    let gateway = Gateway::to(&service);
    gateway.get("http://a/first");
    let response = gateway.ask("POST /again HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(response.status(), 502);
    assert_eq!(service.received().concat().matches("/again").count(), 1);
}

#[test]
fn post_avoids_a_connection_closed_while_idle() {
    let closed = Arc::new(Mutex::new(None));
    let (tell, hear) = mpsc::channel::<()>();
    *closed.lock().unwrap() = Some(tell);
    let service = Service::scripted(move |talk| {
        let Some(asked) = talk.request() else { return };
        talk.send(echo("a", &asked));
        if talk.number == 0 {
            talk.finish_sending();
            // The FIN is on its way before the test continues.
            closed.lock().unwrap().take();
            talk.read_to_end();
        }
    });
    let gateway = Gateway::to(&service);
    gateway.get("http://a/first");
    let _ = hear.recv();
    let response = gateway.ask("POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(response.json()["target"], "/second");
}

#[test]
fn started_response_never_retried() {
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

#[test]
fn refusing_endpoint_skipped() {
    let (down, up) = (Service::refusing(), Service::echo("up"));
    let gateway = Gateway::with(
        Config::new()
            .service_at("s", &[&down.url(), &up.url()], "")
            .route("name: all, to: s"),
    );
    let mut client = gateway.connect();
    for _ in 0..10 {
        let response = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(response.json()["service"], "up");
        assert_eq!(response.json()["body"], "ok");
    }
}

/// A pooled connection handed to a waiting client may already be closed, without `Connection: close`.
#[test]
fn silent_close_after_each_response_hidden_from_clients() {
    let service = Service::responding_once("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let gateway = Gateway::to(&service);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut connection = gateway.connect();
                for _ in 0..20 {
                    let response = connection.get("http://a/");
                    assert_eq!((response.status(), response.text()), (200, "ok".into()));
                }
            });
        }
    });
}
