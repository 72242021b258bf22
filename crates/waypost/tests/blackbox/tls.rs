//! TLS at listeners: certificate selection, client authentication, resumption, renewal, diagnostics.

use std::sync::atomic::{AtomicBool, Ordering};

use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ProtocolVersion};

use crate::support::command::{Output, waypost_in};
use crate::support::config::Config;
use crate::support::gateway::{Gateway, certificates};
use crate::support::http2::Http2Client;
use crate::support::service::Service;
use crate::support::tls::{Authority, Trusting, der};
use crate::support::{make_fifo, wait_for};

fn waypost(arguments: &[&str]) -> Output {
    waypost_in(&std::env::temp_dir(), arguments)
}

/// A TLS listener with one certificate, further keys of its `tls` and of itself, and a route to `service`.
fn config(service: &Service, tls: &str, keys: &str) -> Config {
    let tls = format!("tls: {{ {}{tls} }}{keys}", certificates(1));
    Config::listening(&[&tls]).all_to(service)
}

#[test]
fn certificate_selected_by_host_then_wildcard_then_first() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let first = authority.issue(&["first.test"]);
    let wild = authority.issue(&["*.wild.test"]);
    let exact = authority.issue(&["exact.wild.test"]);
    let gateway = Gateway::with_certificates(&[&first, &wild, &exact], &service);
    let trusting = Trusting::new(&authority);
    for (host, pair) in [
        ("first.test", &first),
        ("a.wild.test", &wild),
        ("exact.wild.test", &exact),
    ] {
        let mut client = trusting.connect(gateway.address(), host);
        assert_eq!(client.shown(), der(pair), "{host}");
        let response = client.get(host, "/x").json();
        let headers = response["headers"].to_string();
        assert!(headers.contains(r#"["x-forwarded-proto","https"]"#), "{headers}");
        assert!(headers.contains("proto=https"), "{headers}");
    }
    // A wildcard covers exactly one label; other hosts get the first certificate, which the client rejects.
    for host in ["a.b.wild.test", "wild.test", "other.test"] {
        let refusal = trusting.refusal(gateway.address(), host);
        assert!(refusal.contains("first.test"), "{host}: {refusal}");
    }
}

#[test]
fn ecdsa_preferred_over_rsa() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let (rsa, ecdsa) = (authority.issue_rsa(&["a.test"]), authority.issue(&["a.test"]));
    let gateway = Gateway::with_certificates(&[&rsa, &ecdsa], &service);
    let mut client = Trusting::new(&authority).connect(gateway.address(), "a.test");
    assert_eq!(client.shown(), der(&ecdsa));
    assert_eq!(client.get("a.test", "/").status(), 200);
}

#[test]
fn tls_versions_and_alpn() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let gateway = Gateway::with_certificates(&[&pair], &service);
    for (version, number) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let trusting = Trusting::new(&authority).speaking(version);
        let mut client = trusting.connect(gateway.address(), "a.test");
        assert_eq!(client.get("a.test", "/").status(), 200);
        assert_eq!(client.session().protocol_version(), Some(number));
        assert_eq!(client.session().alpn_protocol(), Some(&b"http/1.1"[..]));
        // Without ALPN it is HTTP/1.1.
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

/// Checks the status of a request for each host on a connection with `name` as SNI, over HTTP/1.1 and HTTP/2, and of a gRPC
/// call, which gets the HTTP status too, as clients retry on it.
fn check_hosts(gateway: &Gateway, trusting: &Trusting, name: &str, expected: &[(&str, u16)]) {
    let both = trusting.clone().offering(&["h2"]).config();
    let http2 = Http2Client::connect_tls(gateway.address(), name, both);
    for (host, status) in expected {
        let mut client = trusting.connect(gateway.address(), name);
        let response = client.get(host, "/");
        assert_eq!(response.status(), *status, "{name}, {host}: {}", response.text());
        let response = http2.get(&format!("https://{host}/"));
        assert_eq!(response.status(), *status, "{name}, {host} by HTTP/2");
        let call =
            http::Request::post(format!("https://{host}/a.B/C")).header("content-type", "application/grpc");
        let response = http2.ask(call.body(()).unwrap(), "");
        assert_eq!(response.status(), *status, "{name}, {host} for a call");
    }
}

#[test]
fn host_of_another_certificate_is_421() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pairs = [
        authority.issue(&["first.test", "10.0.0.1"]),
        authority.issue_rsa(&["a.test", "*.b.test"]),
        authority.issue(&["*.b.test", "a.test"]),
        authority.issue(&["c.test", "a.test", "127.0.0.1"]),
    ];
    let gateway = Gateway::with_certificates(&[&pairs[0], &pairs[1], &pairs[2], &pairs[3]], &service);
    let trusting = Trusting::new(&authority);
    check_hosts(
        &gateway,
        &trusting,
        "a.test",
        &[
            ("a.test", 200),
            ("A.Test.:8443", 200),
            ("x.b.test", 200),
            ("b.test", 421),
            ("x.y.b.test", 421),
            ("c.test", 421),
            ("first.test", 421),
            ("other.test", 421),
            ("10.0.0.1", 421),
        ],
    );
    // The certificate of `c.test` covers two hosts more, though others are chosen for them.
    let covered = [
        ("c.test", 200),
        ("a.test", 200),
        ("127.0.0.1", 200),
        ("x.b.test", 421),
    ];
    check_hosts(&gateway, &trusting, "c.test", &covered);
    // A host without a certificate gets the first one, which any other such host would get too.
    let unverified = trusting.without_verifying();
    for name in ["first.test", "other.test", "b.test"] {
        let first = [
            (name, 200),
            ("first.test", 200),
            ("unknown.test", 200),
            ("x.y.b.test", 200),
            ("10.0.0.1", 200),
            ("[::1]", 200),
            ("a.test", 421),
            ("x.b.test", 421),
        ];
        check_hosts(&gateway, &unverified, name, &first);
    }
    // Clients without SNI get the first certificate on every connection.
    let all = [
        "first.test",
        "a.test",
        "x.b.test",
        "c.test",
        "unknown.test",
        "127.0.0.1",
    ];
    let all = all.map(|host| (host, 200));
    for (unnamed, name) in [
        (unverified.clone().naming_no_host(), "a.test"),
        (unverified, "127.0.0.1"),
    ] {
        check_hosts(&gateway, &unnamed, name, &all);
    }
    let refused = gateway.metrics();
    assert!(refused.contains(r#"reason="misdirected""#), "{refused}");
}

#[test]
fn uncovered_host_is_421_where_clients_are_authenticated() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pair = authority.issue(&["a.test", "*.b.test"]);
    let files = [("clients.crt", authority.pem())];
    let auth = ", client_auth: { ca: clients.crt, mode: optional }";
    let gateway = Gateway::under_tls(&[&pair], &files, config(&service, auth, ""));
    let expected = [
        ("a.test", 200),
        ("x.b.test", 200),
        ("b.test", 421),
        ("other.test", 421),
        ("127.0.0.1", 421),
    ];
    let trusting = Trusting::new(&authority);
    check_hosts(&gateway, &trusting, "a.test", &expected);
    check_hosts(&gateway, &trusting.clone().naming_no_host(), "a.test", &expected);
    check_hosts(&gateway, &trusting.without_verifying(), "other.test", &expected);
}

#[test]
fn long_subject_is_cut_when_forwarded_and_matched_whole() {
    let (service, authority, clients) = (Service::echo("a"), Authority::new(), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let files = [("clients.crt", clients.pem())];
    let config = config(&service, ", client_auth: { ca: clients.crt }", "").route(
        "name: long, match: { path: /long, client_cert: { subject: \"~zzz$\" } }, respond: { status: 201 }",
    );
    let gateway = Gateway::under_tls(&[&pair], &files, config);
    let name = format!("{}zzz", "x".repeat(20_000));
    let shown = Trusting::new(&authority).showing(&clients.client(&name, "spiffe://x/long"));
    let both = shown.clone().offering(&["h2"]).config();
    let http2 = Http2Client::connect_tls(gateway.address(), "a.test", both);
    let mut http1 = shown.connect(gateway.address(), "a.test");
    for response in [http1.get("a.test", "/"), http2.get("https://a.test/")] {
        let response = response.json();
        let headers = response["headers"].as_array().unwrap();
        let found = headers
            .iter()
            .find(|header| header[0] == "x-forwarded-client-cert")
            .unwrap();
        let element = found[1].as_str().unwrap();
        let (_, subject) = element.split_once(";Subject=\"").unwrap();
        let (subject, names) = subject.split_once('"').unwrap();
        assert_eq!(subject, &format!("CN={name}")[..8 << 10]);
        assert_eq!(names, ";URI=spiffe://x/long");
    }
    assert_eq!(http1.get("a.test", "/long").status(), 201);
    assert_eq!(http2.get("https://a.test/long").status(), 201);
}

#[test]
fn client_certificate_forwarded_and_matched() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let (clients, strangers) = (Authority::new(), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let files = [("clients.crt", clients.pem())];
    let config = |mode: &str| {
        let auth = format!(", client_auth: {{ ca: clients.crt, mode: {mode} }}");
        config(&service, &auth, "")
            .route("name: web, match: { client_cert: { san: spiffe://x/web } }, respond: { status: 201 }")
            .route("name: ops, match: { client_cert: { subject: \"~CN=ops\" } }, respond: { status: 202 }")
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

    let optional = Gateway::under_tls(&[&pair], &files, config("optional"));
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

    let required = Gateway::under_tls(&[&pair], &files, config("required"));
    let mut client = web.connect(required.address(), "a.test");
    assert_eq!(client.get("a.test", "/").status(), 201);
    for refused in [&trusting, &stranger] {
        refused.refusal(required.address(), "a.test");
    }
}

#[test]
fn session_resumed_unless_client_auth_changed() {
    let (service, authority, clients) = (Service::echo("a"), Authority::new(), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let files = [("clients.crt", clients.pem())];
    let gateway = Gateway::under_tls(&[&pair], &files, config(&service, "", ""));
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
    gateway.rewrite(config(&service, "", "").key("debug_headers: true"));
    gateway.wait_for_revision(2);
    let mut client = connect().unwrap();
    assert_eq!(client.get("a.test", "/").status(), 200);
    assert_eq!(client.session().handshake_kind(), Some(HandshakeKind::Resumed));

    gateway.rewrite(config(&service, ", client_auth: { ca: clients.crt }", ""));
    gateway.wait_for_revision(3);
    // In TLS 1.3 the client's handshake completes before the gateway verifies its certificate.
    let mut client = connect().unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(client.try_response().is_none());
}

#[test]
fn renewed_certificate_used_without_closing_connections() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let gateway = Gateway::with_certificates(&[&pair], &service);
    let trusting = Trusting::new(&authority);
    let mut open = trusting.connect(gateway.address(), "a.test");
    assert_eq!(open.get("a.test", "/").status(), 200);

    // No handshake fails while the pair is replaced.
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
            gateway.place("1.crt", &renewed.cert);
            gateway.place("1.key", &renewed.key);
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
fn mismatched_pair_keeps_the_old_certificate() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let (pair, other) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    let gateway = Gateway::with_certificates(&[&pair], &service);
    let trusting = Trusting::new(&authority);
    let shows = |expected: &crate::support::tls::Pair| {
        let client = trusting.connect(gateway.address(), "a.test");
        assert_eq!(client.shown(), der(expected));
    };
    gateway.place("1.key", &other.key);
    gateway.wait_for_part("the key is not the certificate's, which is the first one in its file; the last good version stays in use");
    shows(&pair);
    let status = gateway.command(&["status"]);
    assert_eq!(status.code, 1);
    assert!(
        status.stdout.contains("the key is not the certificate's"),
        "{}",
        status.stdout
    );
    let metrics = gateway.metrics();
    assert!(metrics.contains("waypost_stale_files 1"), "{metrics}");
    // A reload of the config still works.
    gateway.rewrite(config(&service, "", "").key("debug_headers: true"));
    gateway.wait_for_revision(2);
    shows(&pair);
    gateway.place("1.crt", &other.cert);
    gateway.wait_for("the certificates were read again");
    shows(&other);
    assert_eq!(gateway.command(&["status"]).code, 0);
}

#[test]
fn certificate_expiry_metric() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let gateway = Gateway::with_certificates(&[&pair], &service);
    let metrics = gateway.metrics();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("waypost_certificate_days_to_expiry{"))
        .unwrap_or_else(|| panic!("{metrics}"));
    assert!(line.contains("certificate=\"1.crt\""), "{line}");
    let days: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    // rcgen's default validity is thousands of years.
    assert!(days > 365.0, "{line}");
}

#[test]
fn check_reads_certificate_files() {
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
fn listener_redirects_to_https() {
    let redirect = "redirect: { scheme: https, port: 8443, status: 308 }";
    let gateway = Gateway::with(Config::listening(&[redirect]).all_respond(""));
    let response = gateway.get("http://a.test:8080/x?y=1");
    assert_eq!(response.status(), 308);
    assert_eq!(response.header("location"), Some("https://a.test:8443/x?y=1"));
    let path = gateway.config().to_str().unwrap();
    let explained = waypost(&["explain", path, "GET", "http://a.test/x"]);
    assert!(
        explained.stdout.contains("https://a.test:8443/x"),
        "{}",
        explained.stdout
    );
}

#[test]
fn sticky_cookie_secure_under_tls() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let config = Config::listening(&[&format!("tls: {{ {} }}", certificates(1))])
        .service(&service, "")
        .route("name: all, to: { a: 1 }, sticky: { cookie: side }");
    let gateway = Gateway::under_tls(&[&pair], &[], config);
    let mut client = Trusting::new(&authority).connect(gateway.address(), "a.test");
    let response = client.get("a.test", "/");
    let cookie = response.header("set-cookie").unwrap_or_default();
    assert!(cookie.contains("Secure"), "{cookie}");
}

#[test]
fn unfinished_handshakes_do_not_block_clients() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let config = config(&service, "", ", limits: { handshakes: 5 }");
    let gateway = Gateway::under_tls(&[&pair], &[], config);
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
fn handshakes_yield_slots_to_waiting_clients() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let config = config(&service, "", ", limits: { connections: 4 }");
    let gateway = Gateway::under_tls(&[&pair], &[], config);
    let silent: Vec<_> = (0..8)
        .map(|_| std::net::TcpStream::connect(gateway.address()).unwrap())
        .collect();
    let mut client = Trusting::new(&authority).connect(gateway.address(), "a.test");
    assert_eq!(client.get("a.test", "/").status(), 200);
    drop(silent);
}

#[test]
fn no_resumption_with_client_certificates() {
    let (service, authority, clients) = (Service::echo("a"), Authority::new(), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let config = config(&service, ", client_auth: { ca: clients.crt }", "");
    let gateway = Gateway::under_tls(&[&pair], &[("clients.crt", clients.pem())], config);
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
fn oversized_chain_refused() {
    let authority = Authority::new();
    let pair = authority.issue(&["a.test"]);
    let service = Service::echo("a");
    let long = pair.cert.repeat(300);
    let gateway = Gateway::with_certificates(&[&pair], &service);
    gateway.place("1.crt", &long);
    gateway.wait_for_part("more than clients accept");
    let shown = Trusting::new(&authority)
        .connect(gateway.address(), "a.test")
        .shown();
    assert_eq!(shown, der(&pair));
}

#[test]
fn fifo_as_certificate_reported_without_blocking() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let mut gateway = Gateway::with_certificates(&[&pair], &service);
    let path = gateway.directory().join("1.crt");
    std::fs::remove_file(&path).unwrap();
    make_fifo(&path);
    gateway.wait_for_part("it is not a file; the last good version stays in use");
    let checked = waypost(&["check", gateway.config().to_str().unwrap()]);
    assert!(checked.stdout.contains("it is not a file"), "{}", checked.stdout);
    gateway.signal(rustix::process::Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn encrypted_key_reported() {
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
fn text_errors_do_not_hide_file_errors() {
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

/// The places of all diagnostics with this code, as `check` prints them: `LINE:COLUMN`.
fn places(said: &str, code: &str) -> Vec<String> {
    let lines = said.lines().filter(|line| line.contains(&format!("[{code}]")));
    let places = lines.map(|line| line.split(':').skip(1).take(2).collect::<Vec<_>>().join(":"));
    places.collect()
}

/// Runs `check` on a config beside a good pair `a.crt`, `a.key`, and another one `b.crt`, `b.key`.
fn check_beside(config: &str) -> String {
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let (a, b) = (authority.issue(&["a.test"]), authority.issue(&["b.test"]));
    for (name, text) in [
        ("a.crt", &*a.cert),
        ("a.key", &*a.key),
        ("b.crt", &*b.cert),
        ("b.key", &*b.key),
        ("junk", "junk"),
        ("weak.crt", WEAK_CERTIFICATE),
        ("weak.key", WEAK_KEY),
        ("waypost.yaml", config),
    ] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    waypost_in(directory.path(), &["check"]).expect(1).stdout
}

#[test]
fn file_errors_beside_text_errors_everywhere() {
    // The listeners and services that name the files are refused themselves.
    let said = check_beside(
        "listeners:\n\
         - { bind: localhost:1, tls: { certificates: [{ cert: no.crt, key: no.key }] } }\n\
         - { bind: 127.0.0.1:1, tls: { certificates: [{ cert: junk, key: a.key }, { cert: a.crt, key: b.key }] } }\n\
         - { bind: 127.0.0.1:1, tls: { certificates: [{ cert: a.crt, key: junk }], client_auth: { ca: junk, mode: x } } }\n\
         - { bind: 127.0.0.1:2, tls: { certificates: [{ cert: gone.crt }] } }\n\
         services:\n\
         \x20 s: { endpoints: [ftp://a], tls: { ca: junk, client_cert: { cert: a.crt, key: none.key } } }\n\
         \x20 t: { endpoints: [https://a], tls: { ca: none.ca, client_cert: { cert: junk, key: a.key } } }\n\
         routes: [{ name: r, mach: {}, to: { s: 1, t: 1 } }]\n",
    );
    let mut unreadable = places(&said, "unreadable-file");
    unreadable.sort();
    assert_eq!(unreadable, ["2:54", "2:67", "5:54", "7:80", "8:43"], "{said}");
    let mut bad = places(&said, "bad-certificate");
    bad.sort();
    assert_eq!(bad, ["3:54", "3:94", "4:66", "4:94", "7:41", "8:73"], "{said}");
    for code in [
        "bad-bind",
        "duplicate-name",
        "unknown-word",
        "bad-endpoint",
        "unknown-key",
        "missing-key",
    ] {
        assert!(
            said.contains(&format!("error[{code}]")),
            "{code} is missing in\n{said}"
        );
    }
}

#[test]
fn file_named_twice_reported_at_each_place() {
    let listeners = "listeners:\n\
         - { bind: 127.0.0.1:1, tls: { certificates: [{ cert: no.crt, key: a.key }] } }\n\
         - { bind: 127.0.0.1:2, tls: { certificates: [{ cert: no.crt, key: a.key }] } }\n\
         - { bind: 127.0.0.1:3, tls: { certificates: [{ cert: no.crt, key: b.key }, { cert: a.crt, key: b.key }] } }\n\
         - { bind: 127.0.0.1:4, tls: { certificates: [{ cert: b.crt, key: b.key }], client_auth: { ca: junk } } }\n\
         services: { s: { endpoints: [https://a], tls: { ca: junk } } }\n";
    let good = "routes: [{ name: r, to: s }]\n";
    let bad = "routes: [{ name: r, to: t }]\n";
    for routes in [good, bad] {
        let said = check_beside(&format!("{listeners}{routes}"));
        assert_eq!(
            places(&said, "unreadable-file"),
            ["2:54", "3:54", "4:54"],
            "{said}"
        );
        // `b.key` is good beside `b.crt`.
        assert_eq!(
            places(&said, "bad-certificate"),
            ["4:96", "5:95", "6:53"],
            "{said}"
        );
    }
    // An alias is one place.
    let alias = "listeners:\n\
         - { bind: 127.0.0.1:1, tls: &tls { certificates: [{ cert: no.crt, key: a.key }] } }\n\
         - { bind: 127.0.0.1:2, tls: *tls }\nroutes: [{ name: r, respond: { status: 204 } }]\n";
    let said = check_beside(alias);
    assert_eq!(places(&said, "unreadable-file"), ["2:59"], "{said}");
}

#[test]
fn mistake_in_the_tls_of_a_listener_is_the_only_one() {
    for tls in ["{}", "{ certificates: [{ cert: a.crt }] }", "{ certificate: x }"] {
        let said = check_beside(&format!(
            "listeners: [{{ bind: 127.0.0.1:1, tls: {tls} }}]\nroutes: [{{ name: r, respond: {{ status: 204 }} }}]\n"
        ));
        assert!(
            !said.contains("waypost.yaml:1:1:") && !said.contains("`ca`"),
            "{said}"
        );
    }
}

#[test]
fn both_files_of_a_pair_reported() {
    let said = check_beside(
        "listeners: [{ bind: 127.0.0.1:1, tls: { certificates: [{ cert: no.crt, key: no.key }] } }]\n\
         routes: [{ name: r, respond: { status: 204 } }]\n",
    );
    assert_eq!(places(&said, "unreadable-file"), ["1:64", "1:77"], "{said}");
}

#[test]
fn weak_rsa_key_named_with_what_to_do() {
    for (config, place) in [
        (
            "listeners: [{ bind: 127.0.0.1:1, tls: { certificates: [{ cert: weak.crt, key: weak.key }] } }]\n\
             routes: [{ name: r, respond: { status: 204 } }]\n",
            "1:79",
        ),
        (
            "listeners: [{ bind: 127.0.0.1:1 }]\nservices:\n  s: { endpoints: [https://a], \
             tls: { client_cert: { cert: weak.crt, key: weak.key } } }\nroutes: [{ name: r, to: s }]\n",
            "3:75",
        ),
    ] {
        let said = check_beside(config);
        assert_eq!(places(&said, "bad-certificate"), [place], "{said}");
        assert!(
            said.contains("`weak.key`: the key cannot be used: it is an RSA key of 1024 bits, and TLS takes 2048 to 8192"),
            "{said}"
        );
        assert!(said.contains("hint: make a new key"), "{said}");
    }
    let said = check_beside(
        "listeners: [{ bind: 127.0.0.1:1 }]\nservices:\n  s: { endpoints: [https://a], tls: { ca: weak.crt } }\n\
         routes: [{ name: r, to: s }]\n",
    );
    assert_eq!(places(&said, "bad-certificate"), ["3:43"], "{said}");
    assert!(
        said.contains("`weak.crt`: its certificates have RSA keys of 1024 bits")
            && said.contains("hint: make a new key"),
        "{said}"
    );
    // A running gateway keeps the good pair.
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let gateway = Gateway::with_certificates(&[&pair], &service);
    gateway.place("1.key", WEAK_KEY);
    gateway.place("1.crt", WEAK_CERTIFICATE);
    gateway.wait_for_part("it is an RSA key of 1024 bits");
    let shown = Trusting::new(&authority)
        .connect(gateway.address(), "a.test")
        .shown();
    assert_eq!(shown, der(&pair));
}

/// A certificate for `a.test` with an RSA key of 1024 bits, which rcgen does not make.
const WEAK_CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIICEzCCAXygAwIBAgIUaZSMwFJRpn5a7mepeL7jHcExnaIwDQYJKoZIhvcNAQEL
BQAwETEPMA0GA1UEAwwGYS50ZXN0MCAXDTI2MTEyOTE4MjIzNVoYDzIxMjYxMTA1
MTgyMjM1WjARMQ8wDQYDVQQDDAZhLnRlc3QwgZ8wDQYJKoZIhvcNAQEBBQADgY0A
MIGJAoGBAL5xN8F6EO33HPStfScnr4oTLZyo++FXTYKO1t4r9l07NJQsIJPVMuDJ
0eV8/ePigeg6UHvctRqZ5EPcJH81AXxjbURny3Iq1KTaqzqL1DtmELC2ACnRBIA4
pkBlfcw9nOnnOADnGgGVLPRDDJM1/Sgy6XFckM3i+TzWoZMOPp+RAgMBAAGjZjBk
MB0GA1UdDgQWBBTw3uVCkP44hTTaAxUIF7+z6clDMTAfBgNVHSMEGDAWgBTw3uVC
kP44hTTaAxUIF7+z6clDMTAPBgNVHRMBAf8EBTADAQH/MBEGA1UdEQQKMAiCBmEu
dGVzdDANBgkqhkiG9w0BAQsFAAOBgQAuAFaZfziVnwPi+qOCUCRW8ok4JChqKHfx
rUMQVkKFg4nHCOi65bW2QKBl5FJ3DQ5JpJUsCrd21bxWUNvLqx/ECzKkanUvz+22
/+OtY/iylYfK4+fb5949+4zskFmkpJPvPiar2vUlwTt/cyf5JnXqSMbUZ6lq2/kZ
h8k6zrU4aQ==
-----END CERTIFICATE-----
";

const WEAK_KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBAL5xN8F6EO33HPSt
fScnr4oTLZyo++FXTYKO1t4r9l07NJQsIJPVMuDJ0eV8/ePigeg6UHvctRqZ5EPc
JH81AXxjbURny3Iq1KTaqzqL1DtmELC2ACnRBIA4pkBlfcw9nOnnOADnGgGVLPRD
DJM1/Sgy6XFckM3i+TzWoZMOPp+RAgMBAAECgYBvT/nI6rIuhTu1gBog4r9lsyP7
54GiCsdRQnAw1/1eLRbkbI52Gi1s2koHGvHDW0eXF06nty9b5wtW5rumZrMAoQwA
WLOo93ZoNBX7lHvWanluCtmyBmlmzgpryQiCV88AKuKgA/aJyFWjkOgUrHtt93OS
NXnX65bxNiKJj0ej4QJBAOm1DoeRPnkeiahAqZouBschiMX2a8B8kE0uiYVc9wVE
wwQpK0/fFMOpIBVnwe4nyTQzlupEDSfVYbDkId5AsQ0CQQDQm6okeXBeWfns8DPE
HXAmsbjgk0X03frNsXhhJhcE4EWdw1Y8LUscLny740DNnRVosWDBRB9W+BcZr31y
Ax+VAkBi3zRsaigx+ZdnVSPrlHlNmYRRq/TeFFTAMmX/w9rFodeXVQt72Pbh6BUo
uSK0bKSUrxazuWKPbZjMy1cAvgGpAkEAgS5khoHNXCBL7LYy2FeCg/O6kReiUqjE
D2y/Jyn3R0W61p+IX2uM/76p75AjKTEFePee+w+8eJbZd0Z9YIUeoQJBAN4YMiU/
mleQyUBYW7o/XsP6gFEK3g4wJvVyQ0jZk1IgIe+CuRm3PFXaXOq9ItKS87WsOIbO
+Ey6pO/UJHIlqi8=
-----END PRIVATE KEY-----
";
