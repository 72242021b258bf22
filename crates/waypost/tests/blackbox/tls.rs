//! TLS at listeners: which certificate, who may come in, and files that change.

use std::sync::atomic::{AtomicBool, Ordering};

use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ProtocolVersion};

use crate::support::command::{Output, waypost_in};
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::service::Service;
use crate::support::tls::{Authority, Trusting, der};
use crate::support::wait_for;

fn waypost(arguments: &[&str]) -> Output {
    waypost_in(&std::env::temp_dir(), arguments)
}

/// A listener under TLS in front of a service.
fn config(service: &Service, tls: &str) -> String {
    config_with(service, tls, "")
}

/// The same, with further keys of the listener.
fn config_with(service: &Service, tls: &str, keys: &str) -> String {
    format!(
        "listeners: [{{ bind: 127.0.0.1:0, tls: {tls}{keys} }}]\nworkers: 1\nservices: {{ a: {{ endpoints: [{}] }} }}\nroutes: [{{ name: all, to: a }}]\n",
        service.url()
    )
}

const ONE: &str = "{ certificates: [{ cert: a.crt, key: a.key }] }";

#[test]
fn the_certificate_is_that_of_the_host_or_its_wildcard_or_the_first() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let first = authority.issue(&["first.test"]);
    let wild = authority.issue(&["*.wild.test"]);
    let exact = authority.issue(&["exact.wild.test"]);
    let gateway = Gateway::beside(
        &[
            ("1.crt", &first.cert),
            ("1.key", &first.key),
            ("2.crt", &wild.cert),
            ("2.key", &wild.key),
            ("3.crt", &exact.cert),
            ("3.key", &exact.key),
        ],
        config(
            &service,
            "{ certificates: [{ cert: 1.crt, key: 1.key }, { cert: 2.crt, key: 2.key }, { cert: 3.crt, key: 3.key }] }",
        ),
    );
    let trusting = Trusting::new(&authority);
    for (host, pair) in [
        ("first.test", &first),
        ("a.wild.test", &wild),
        ("exact.wild.test", &exact),
    ] {
        let mut client = trusting.connect(gateway.address(), host);
        assert_eq!(client.shown(), der(pair), "{host}");
        let answer = client.get(host, "/x").json();
        let headers = answer["headers"].to_string();
        assert!(headers.contains(r#"["x-forwarded-proto","https"]"#), "{headers}");
        assert!(headers.contains("proto=https"), "{headers}");
    }
    // A wildcard covers exactly one label; what nothing covers gets the first, which its client does not accept.
    for host in ["a.b.wild.test", "wild.test", "other.test"] {
        let refusal = trusting.refusal(gateway.address(), host);
        assert!(refusal.contains("first.test"), "{host}: {refusal}");
    }
}

#[test]
fn of_two_for_a_host_the_one_of_elliptic_curves_is_shown() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let (rsa, curves) = (authority.issue_rsa(&["a.test"]), authority.issue(&["a.test"]));
    let gateway = Gateway::beside(
        &[
            ("1.crt", &rsa.cert),
            ("1.key", &rsa.key),
            ("2.crt", &curves.cert),
            ("2.key", &curves.key),
        ],
        config(
            &service,
            "{ certificates: [{ cert: 1.crt, key: 1.key }, { cert: 2.crt, key: 2.key }] }",
        ),
    );
    let mut client = Trusting::new(&authority).connect(gateway.address(), "a.test");
    assert_eq!(client.shown(), der(&curves));
    assert_eq!(client.get("a.test", "/").status(), 200);
}

#[test]
fn both_versions_and_both_protocols_are_spoken() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let gateway = Gateway::beside(
        &[("a.crt", &pair.cert), ("a.key", &pair.key)],
        config(&service, ONE),
    );
    for (version, number) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let trusting = Trusting::new(&authority).speaking(version);
        let mut client = trusting.connect(gateway.address(), "a.test");
        assert_eq!(client.get("a.test", "/").status(), 200);
        assert_eq!(client.session().protocol_version(), Some(number));
        assert_eq!(client.session().alpn_protocol(), Some(&b"http/1.1"[..]));
        // Who offers nothing speaks HTTP/1.1.
        let mut client = trusting
            .clone()
            .offering(&[])
            .connect(gateway.address(), "a.test");
        assert_eq!(client.get("a.test", "/").status(), 200);
        let both = trusting.offering(&["http/1.1", "h2"]).config();
        let client = Http2Client::connect_tls(gateway.address(), "a.test", both);
        assert_eq!(client.get("https://a.test/").status(), 200);
    }
}

#[test]
fn a_host_that_the_certificate_is_not_for_is_misdirected() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pair = authority.issue(&["a.test", "*.b.test", "127.0.0.1"]);
    let gateway = Gateway::beside(
        &[("a.crt", &pair.cert), ("a.key", &pair.key)],
        config(&service, ONE),
    );
    let trusting = Trusting::new(&authority);
    let both = trusting.clone().offering(&["h2"]).config();
    let http2 = Http2Client::connect_tls(gateway.address(), "a.test", both);
    for (host, status) in [
        ("a.test", 200),
        ("A.Test.:8443", 200),
        ("x.b.test", 200),
        ("127.0.0.1", 200),
        ("b.test", 421),
        ("x.y.b.test", 421),
        ("other.test", 421),
        ("127.0.0.2", 421),
    ] {
        let mut client = trusting.connect(gateway.address(), "a.test");
        let answer = client.get(host, "/");
        assert_eq!(answer.status(), status, "{host}: {}", answer.text());
        let answer = http2.get(&format!("https://{host}/"));
        assert_eq!(answer.status(), status, "{host} by HTTP/2");
        // A call is made again elsewhere as well, so it is told by the status of HTTP.
        let call =
            http::Request::post(format!("https://{host}/a.B/C")).header("content-type", "application/grpc");
        let answer = http2.ask(call.body(()).unwrap(), "");
        assert_eq!(answer.status(), status, "{host} for a call");
    }
    assert_eq!(service.received().join("").matches("GET / ").count(), 8);
}

#[test]
fn a_client_certificate_may_be_asked_for_and_is_told_and_matched() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let (clients, strangers) = (Authority::new(), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let files = [
        ("a.crt", &*pair.cert),
        ("a.key", &*pair.key),
        ("clients.crt", clients.pem()),
    ];
    let config = |mode: &str| {
        let tls = format!(
            "{{ certificates: [{{ cert: a.crt, key: a.key }}], client_auth: {{ ca: clients.crt, mode: {mode} }} }}"
        );
        config(&service, &tls)
            + "- { name: web, match: { client_cert: { san: spiffe://x/web } }, respond: { status: 201 } }\n"
            + "- { name: ops, match: { client_cert: { subject: \"~CN=ops\" } }, respond: { status: 202 } }\n"
    };
    let config = |mode: &str| {
        config(mode).replace(
            "routes: [{ name: all, to: a }]",
            "routes:\n- { name: all, to: a }",
        )
    };
    let trusting = Trusting::new(&authority);
    let web = trusting.clone().showing(&clients.client("web", "spiffe://x/web"));
    let other = trusting
        .clone()
        .showing(&clients.client("other", "spiffe://x/web2"));
    let ops = trusting.clone().showing(&clients.client("ops", "spiffe://x/ops"));
    let stranger = trusting
        .clone()
        .showing(&strangers.client("web", "spiffe://x/web"));

    let optional = Gateway::beside(&files, config("optional"));
    let status = |trusting: &Trusting| {
        let mut client = trusting.connect(optional.address(), "a.test");
        client.get("a.test", "/").status()
    };
    assert_eq!((status(&web), status(&ops), status(&other)), (201, 202, 200));
    let spoofed = "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Client-Cert: Hash=spoofed\r\n\r\n";
    let told = |trusting: &Trusting| {
        let mut client = trusting.connect(optional.address(), "a.test");
        client.ask(spoofed).json()["headers"].to_string()
    };
    let headers = told(&other);
    assert!(
        headers.contains("Subject=\\\"CN=other\\\";URI=spiffe://x/web2"),
        "{headers}"
    );
    assert!(!headers.contains("spoofed"), "{headers}");
    assert!(!told(&trusting).contains("client-cert"));
    assert!(stranger.refusal(optional.address(), "a.test").len() > 1);

    let required = Gateway::beside(&files, config("required"));
    let mut client = web.connect(required.address(), "a.test");
    assert_eq!(client.get("a.test", "/").status(), 201);
    for refused in [&trusting, &stranger] {
        refused.refusal(required.address(), "a.test");
    }
}

#[test]
fn a_session_is_resumed_also_after_a_reload_and_never_past_another_client_auth() {
    let (service, authority, clients) = (Service::echo("a"), Authority::new(), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let files = [
        ("a.crt", &*pair.cert),
        ("a.key", &*pair.key),
        ("clients.crt", clients.pem()),
    ];
    let gateway = Gateway::beside(&files, config(&service, ONE));
    for version in [&TLS12, &TLS13] {
        let shared = Trusting::new(&authority).speaking(version).config();
        let kind = || {
            let address = gateway.address();
            let client = crate::support::tls::TlsClient::connect(shared.clone(), address, "a.test");
            let mut client = client.expect("a handshake");
            assert_eq!(client.get("a.test", "/").status(), 200);
            client.session().handshake_kind()
        };
        assert_eq!(kind(), Some(HandshakeKind::Full), "{version:?}");
        assert_eq!(kind(), Some(HandshakeKind::Resumed), "{version:?}");
    }
    let shared = Trusting::new(&authority).config();
    let connect = || crate::support::tls::TlsClient::connect(shared.clone(), gateway.address(), "a.test");
    assert_eq!(connect().unwrap().get("a.test", "/").status(), 200);
    gateway.rewrite(config(&service, ONE) + "debug_headers: true\n");
    gateway.wait_for_revision(2);
    let mut client = connect().unwrap();
    assert_eq!(client.get("a.test", "/").status(), 200);
    assert_eq!(client.session().handshake_kind(), Some(HandshakeKind::Resumed));

    let asks = "{ certificates: [{ cert: a.crt, key: a.key }], client_auth: { ca: clients.crt } }";
    gateway.rewrite(config(&service, asks));
    gateway.wait_for_revision(3);
    if let Ok(mut client) = connect() {
        assert!(
            client
                .send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
                .try_answer()
                .is_none()
        );
    }
}

#[test]
fn a_renewed_certificate_is_shown_and_open_connections_stay() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let gateway = Gateway::beside(
        &[("a.crt", &pair.cert), ("a.key", &pair.key)],
        config(&service, ONE),
    );
    let trusting = Trusting::new(&authority);
    let mut open = trusting.connect(gateway.address(), "a.test");
    assert_eq!(open.get("a.test", "/").status(), 200);

    // Handshakes go on while the pair changes, and none fails.
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let handshakes = scope.spawn(|| {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) || count < 20 {
                let mut client = trusting.connect(gateway.address(), "a.test");
                assert_eq!(client.get("a.test", "/").status(), 200);
                count += 1;
            }
        });
        for _ in 0..3 {
            let renewed = authority.issue(&["a.test"]);
            gateway.place("a.crt", &renewed.cert);
            gateway.place("a.key", &renewed.key);
            wait_for("the renewed certificate", || {
                let shown = trusting.connect(gateway.address(), "a.test").shown();
                (shown == der(&renewed)).then_some(())
            });
        }
        done.store(true, Ordering::Relaxed);
        handshakes.join().expect("no failed handshake");
    });
    assert_eq!(open.get("a.test", "/").status(), 200);
    assert_eq!(gateway.admin_json("/api/v1/status")["ok"], true);
}

#[test]
fn a_pair_that_cannot_be_used_leaves_the_old_one_and_is_loud() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let (pair, other) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    let gateway = Gateway::beside(
        &[("a.crt", &pair.cert), ("a.key", &pair.key)],
        config(&service, ONE),
    );
    let trusting = Trusting::new(&authority);
    let shows = |expected: &crate::support::tls::Pair| {
        let client = trusting.connect(gateway.address(), "a.test");
        assert_eq!(client.shown(), der(expected));
    };
    gateway.place("a.key", &other.key);
    gateway.wait_for_part("the key is not the certificate's, which is the first one in its file; the last good version stays in use");
    shows(&pair);
    let status = gateway.command(&["status"]);
    assert_eq!(status.code, 1);
    assert!(
        status.stdout.contains("the key is not the certificate's"),
        "{}",
        status.stdout
    );
    let metrics = gateway.admin("GET", "/metrics", "", "").text();
    assert!(metrics.contains("waypost_stale_files 1"), "{metrics}");
    // A change of the config comes into force all the same.
    gateway.rewrite(config(&service, ONE) + "debug_headers: true\n");
    gateway.wait_for_revision(2);
    shows(&pair);
    gateway.place("a.crt", &other.cert);
    gateway.wait_for("the certificates were read again");
    shows(&other);
    assert_eq!(gateway.command(&["status"]).code, 0);
}

#[test]
fn how_long_certificates_last_is_a_metric() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let gateway = Gateway::beside(
        &[("a.crt", &pair.cert), ("a.key", &pair.key)],
        config(&service, ONE),
    );
    let metrics = gateway.admin("GET", "/metrics", "", "").text();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("waypost_certificate_days_to_expiry{"))
        .unwrap_or_else(|| panic!("{metrics}"));
    assert!(line.contains("certificate=\"a.crt\""), "{line}");
    let days: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    // What the library of the tests gives is good for thousands of years.
    assert!(days > 365.0, "{line}");
}

#[test]
fn check_reads_the_files() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waypost.yaml");
    let at = |name: &str| directory.path().join(name);
    let check = |hosts: &str, certificates: &str| {
        let config = format!(
            "listeners: [{{ bind: 127.0.0.1:0, hosts: [{hosts}], tls: {{ certificates: [{certificates}] }} }}]\nroutes: [{{ name: a, respond: {{ status: 204 }} }}]\n"
        );
        std::fs::write(&path, config).unwrap();
        waypost(&["check", path.to_str().unwrap()])
    };
    let good = authority.issue(&["a.test", "*.b.test"]);
    std::fs::write(at("a.crt"), &good.cert).unwrap();
    std::fs::write(at("a.key"), &good.key).unwrap();
    let ended = authority.issue_with(&["a.test"], |params| {
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    });
    std::fs::write(at("old.crt"), &ended.cert).unwrap();
    std::fs::write(at("old.key"), &ended.key).unwrap();
    std::fs::write(at("junk"), "junk").unwrap();

    for (hosts, certificates, code, part) in [
        (
            "a.test, x.b.test",
            "{ cert: a.crt, key: a.key }",
            0,
            "ok: 1 listener",
        ),
        (
            "a.test",
            "{ cert: a.crt, key: a.key }",
            0,
            "is for `*.b.test`, which the listener's `hosts` turn away",
        ),
        (
            "a.test, c.test",
            "{ cert: a.crt, key: a.key }",
            0,
            "no certificate of the listener is for its host `c.test`",
        ),
        (
            "a.test",
            "{ cert: old.crt, key: old.key }",
            0,
            "`old.crt` has ended",
        ),
        (
            "a.test",
            "{ cert: none.crt, key: a.key }",
            1,
            "cannot read `none.crt`",
        ),
        (
            "a.test",
            "{ cert: a.crt, key: old.key }",
            1,
            "the key is not the certificate's",
        ),
        (
            "a.test",
            "{ cert: junk, key: a.key }",
            1,
            "there is no certificate in it",
        ),
        (
            "a.test",
            "{ cert: a.crt, key: junk }",
            1,
            "there is no private key in it",
        ),
        (
            "a.test",
            "{ cert: a.crt, key: a.crt }",
            1,
            "there is no private key in it",
        ),
    ] {
        let output = check(hosts, certificates);
        assert_eq!(output.code, code, "{certificates}: {}", output.stdout);
        assert!(output.stdout.contains(part), "{certificates}: {}", output.stdout);
    }
}

#[test]
fn a_listener_can_send_everybody_to_the_one_under_tls() {
    let config = "listeners: [{ bind: 127.0.0.1:0, redirect: { scheme: https, port: 8443, status: 308 } }]\nroutes: [{ name: a, respond: { status: 200 } }]\n";
    let gateway = Gateway::with(config);
    let answer = gateway.get("http://a.test:8080/x?y=1");
    assert_eq!(answer.status(), 308);
    assert_eq!(answer.header("location"), Some("https://a.test:8443/x?y=1"));
    let path = gateway.config().to_str().unwrap();
    let explained = waypost(&["explain", path, "GET", "http://a.test/x"]);
    assert!(
        explained.stdout.contains("https://a.test:8443/x"),
        "{}",
        explained.stdout
    );
}

#[test]
fn a_cookie_that_keeps_a_client_on_its_side_is_secure_under_tls() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let config = config(&service, ONE).replace(
        "{ name: all, to: a }",
        "{ name: all, to: { a: 1 }, sticky: { cookie: side } }",
    );
    let gateway = Gateway::beside(&[("a.crt", &pair.cert), ("a.key", &pair.key)], config);
    let mut client = Trusting::new(&authority).connect(gateway.address(), "a.test");
    let answer = client.get("a.test", "/");
    let cookie = answer.header("set-cookie").unwrap_or_default();
    assert!(cookie.contains("Secure"), "{cookie}");
}

#[test]
fn handshakes_that_are_never_finished_keep_nobody_out() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let config = config_with(&service, ONE, ", limits: { handshakes: 5 }");
    let gateway = Gateway::beside(&[("a.crt", &pair.cert), ("a.key", &pair.key)], config);
    let stalled: Vec<_> = (0..30)
        .map(|_| {
            let mut socket = std::net::TcpStream::connect(gateway.address()).unwrap();
            std::io::Write::write_all(&mut socket, b"\x16\x03\x01").unwrap();
            socket
        })
        .collect();
    for _ in 0..3 {
        let mut client = Trusting::new(&authority).connect(gateway.address(), "a.test");
        assert_eq!(client.get("a.test", "/").status(), 200);
    }
    drop(stalled);
}

#[test]
fn handshakes_give_their_seats_to_clients_who_wait() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let config = config_with(&service, ONE, ", limits: { connections: 4 }");
    let gateway = Gateway::beside(&[("a.crt", &pair.cert), ("a.key", &pair.key)], config);
    let silent: Vec<_> = (0..8)
        .map(|_| std::net::TcpStream::connect(gateway.address()).unwrap())
        .collect();
    let mut client = Trusting::new(&authority).connect(gateway.address(), "a.test");
    assert_eq!(client.get("a.test", "/").status(), 200);
    drop(silent);
}

#[test]
fn a_client_with_a_certificate_shows_it_each_time() {
    let (service, authority, clients) = (Service::echo("a"), Authority::new(), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let files = [
        ("a.crt", &*pair.cert),
        ("a.key", &*pair.key),
        ("clients.crt", clients.pem()),
    ];
    let asks = "{ certificates: [{ cert: a.crt, key: a.key }], client_auth: { ca: clients.crt } }";
    let gateway = Gateway::beside(&files, config(&service, asks));
    let shown = clients.client("web", "spiffe://example/web");
    for version in [&TLS12, &TLS13] {
        let shared = Trusting::new(&authority)
            .showing(&shown)
            .speaking(version)
            .config();
        for _ in 0..2 {
            let address = gateway.address();
            let client = crate::support::tls::TlsClient::connect(shared.clone(), address, "a.test");
            let mut client = client.expect("a handshake");
            assert_eq!(client.get("a.test", "/").status(), 200);
            let kind = client.session().handshake_kind();
            assert_eq!(kind, Some(HandshakeKind::Full), "{version:?}");
        }
    }
}

#[test]
fn a_chain_that_no_client_takes_is_refused() {
    let authority = Authority::new();
    let pair = authority.issue(&["a.test"]);
    let service = Service::echo("a");
    let long = pair.cert.repeat(300);
    let gateway = Gateway::beside(
        &[("a.crt", &pair.cert), ("a.key", &pair.key)],
        config(&service, ONE),
    );
    gateway.place("a.crt", &long);
    gateway.wait_for_part("more than clients accept");
    let shown = Trusting::new(&authority)
        .connect(gateway.address(), "a.test")
        .shown();
    assert_eq!(shown, der(&pair));
}

#[test]
fn a_pipe_in_the_place_of_a_certificate_is_said_and_not_waited_for() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let mut gateway = Gateway::beside(
        &[("a.crt", &pair.cert), ("a.key", &pair.key)],
        config(&service, ONE),
    );
    let path = gateway.directory().join("a.crt");
    std::fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    gateway.wait_for_part("it is not a file; the last good version stays in use");
    let checked = waypost(&["check", gateway.config().to_str().unwrap()]);
    assert!(checked.stdout.contains("it is not a file"), "{}", checked.stdout);
    gateway.signal(rustix::process::Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_key_with_a_password_is_named_as_such() {
    let authority = Authority::new();
    let pair = authority.issue(&["a.test"]);
    let locked = pair
        .key
        .replace("BEGIN PRIVATE", "BEGIN ENCRYPTED PRIVATE")
        .replace("END PRIVATE", "END ENCRYPTED PRIVATE");
    let directory = tempfile::tempdir().unwrap();
    let config = "listeners: [{ bind: 127.0.0.1:0, tls: { certificates: [{ cert: a.crt, key: a.key }] } }]\nroutes: [{ name: a, respond: { status: 204 } }]\n";
    for (name, text) in [
        ("a.crt", &*pair.cert),
        ("a.key", &*locked),
        ("waypost.yaml", config),
    ] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let output = waypost_in(directory.path(), &["check", "waypost.yaml"]).expect(1);
    assert!(
        output.stdout.contains("it is protected by a password"),
        "{}",
        output.stdout
    );
    assert!(output.stdout.contains("waypost.yaml:1:"), "{}", output.stdout);
}

#[test]
fn a_mistake_in_the_text_hides_none_in_the_files_that_it_names() {
    let directory = tempfile::tempdir().unwrap();
    let config = "listeners:\n  - bind: 127.0.0.1:8443\n    tls: { certificates: [{ cert: no.crt, key: no.key }] }\n\
                  services: { a: { endpoints: [http://127.0.0.1:1], tls: { ca: none.crt } } }\n\
                  routes: [{ name: a, mach: {}, to: a }]\n";
    std::fs::write(directory.path().join("waypost.yaml"), config).unwrap();
    let said = waypost_in(directory.path(), &["check"]).expect(1).stdout;
    for part in ["error[unknown-key]", "`no.crt`", "error[unreadable-file]"] {
        assert!(said.contains(part), "{part} is missing in\n{said}");
    }
}
