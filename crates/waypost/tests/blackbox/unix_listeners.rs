//! Listeners on unix sockets: clients like any other, but without an address.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::client::Client;
use crate::support::command::waypost_in;
use crate::support::config::Config;
use crate::support::gateway::{Gateway, certificates};
use crate::support::http2::Http2Client;
use crate::support::service::{Service, ok};
use crate::support::tls::{Authority, Trusting};
use crate::support::unix::front;
use crate::support::wait_for;

/// A path for a socket, in a directory of its own.
struct Place {
    directory: TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("waypost.sock");
        Self { directory, path }
    }

    /// The address, as a config names it.
    fn bind(&self) -> String {
        format!("unix:{}", self.path.display())
    }

    /// A config with a listener here, which has these keys.
    fn config(&self, keys: &str) -> Config {
        let bind = self.bind();
        Config::at(format!("{bind:?}{keys}"))
    }
}

/// A GET over a connection of its own.
fn get(path: &Path) -> Value {
    Client::connect(front(path)).get("http://a.test/x").json()
}

/// The value of a header that the echoing service got.
fn header<'e>(echoed: &'e Value, name: &str) -> Option<&'e str> {
    let headers = echoed["headers"].as_array().expect("headers");
    let named = |field: &&Value| {
        field[0]
            .as_str()
            .is_some_and(|given| given.eq_ignore_ascii_case(name))
    };
    headers.iter().find(named)?[1].as_str()
}

#[test]
fn requests_come_over_the_socket() {
    let service = Service::echo("a");
    let place = Place::new();
    let values =
        "request_headers: { set: { x-client: \"{client_ip}\", x-port: \"{port}\", x-path: \"{path}\" } }";
    let config = place.config("").workers(2).service(&service, "");
    let config = config.route(&format!("name: all, to: a, {values}"));
    let gateway = Gateway::with(config.key("access_log: stdout"));
    gateway.wait_for(&format!("listening on {}", place.bind()));
    let mode = fs::metadata(&place.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let front = front(&place.path);
    let http2 = Http2Client::connect(front);
    for _ in 0..8 {
        for response in [
            Client::connect(front).get("http://a.test/x"),
            http2.get("http://a.test/x"),
        ] {
            let echoed = response.json();
            assert_eq!(header(&echoed, "x-forwarded-for"), None);
            assert_eq!(header(&echoed, "x-real-ip"), None);
            assert_eq!(
                (header(&echoed, "x-client"), header(&echoed, "x-port")),
                (None, None)
            );
            assert_eq!(header(&echoed, "x-path"), Some("/x"));
            assert_eq!(
                header(&echoed, "forwarded"),
                Some("for=unknown;host=a.test;proto=http")
            );
        }
    }
    let line: Value = serde_json::from_str(&gateway.wait_for_stdout("\"/x\"")).unwrap();
    assert_eq!(line["client"], Value::Null);
    let status = gateway.admin_json("/api/v1/status");
    assert_eq!(status["listeners"][0]["address"], place.bind());
    let shown = gateway.command(&["status"]).expect(0);
    assert!(shown.stdout.contains(&place.bind()), "{}", shown.stdout);
}

#[test]
fn large_bodies_pass_both_ways() {
    let service = Service::scripted(|talk| {
        while let Some(request) = talk.request() {
            talk.send(ok(&request.text()));
        }
    });
    let place = Place::new();
    let _gateway = Gateway::with(
        place
            .config("")
            .service(&service, "")
            .route("name: all, to: service"),
    );
    let body: String = (0..100_000).map(|number| format!("{number:08}")).collect();
    let length = body.len();
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    let mut client = Client::connect(front(&place.path));
    assert_eq!(client.ask(format!("{head}{body}")).text(), body);
}

#[test]
fn tls_ends_there_or_passes_through() {
    let authority = Authority::new();
    let pair = authority.issue(&["a.test"]);
    let service = Service::echo("a");
    let place = Place::new();
    let keys = format!(", tls: {{ {} }}", certificates(1));
    let _gateway = Gateway::under_tls(&[&pair], &[], place.config(&keys).all_to(&service));
    let trusting = Trusting::new(&authority);
    let echoed = trusting
        .connect(front(&place.path), "a.test")
        .get("a.test", "/")
        .json();
    assert_eq!(header(&echoed, "x-forwarded-proto"), Some("https"));
    let offering = trusting.clone().offering(&["h2"]).config();
    let http2 = Http2Client::connect_tls(front(&place.path), "a.test", offering);
    assert_eq!(http2.get("https://a.test/").status(), 200);

    let inner = Gateway::with_certificates(&[&pair], &service);
    let passing = Place::new();
    let _gateway = Gateway::with(
        passing
            .config(", tls: { passthrough: true }")
            .service_at("inner", &[&format!("https://{}", inner.address())], "")
            .route("name: all, passthrough: inner"),
    );
    let mut client = trusting.connect(front(&passing.path), "a.test");
    assert_eq!(client.get("a.test", "/").status(), 200);
}

#[test]
fn services_are_told_of_no_address_either() {
    let service = Service::scripted(|talk| {
        talk.expect("PROXY UNKNOWN\r\n");
        talk.request();
        talk.send(ok("told"));
    });
    let place = Place::new();
    let _gateway = Gateway::with(
        place
            .config("")
            .service(&service, "proxy_protocol: v1")
            .route("name: all, to: service"),
    );
    let mut client = Client::connect(front(&place.path));
    assert_eq!(client.get("http://a/").text(), "told");
}

#[test]
fn conditions_on_addresses_never_hold() {
    let service = Service::echo("a");
    let place = Place::new();
    let gateway = Gateway::with(
        place
            .config(", trusted_proxies: [0.0.0.0/0, \"::/0\"]")
            .service(&service, "")
            .route("name: any, match: { path: /x, client_ip: [0.0.0.0/0, \"::/0\"] }, respond: { status: 201 }")
            .route("name: x, match: { path: /x }, respond: { status: 202 }")
            .route("name: allowed, match: { path: /allowed }, access: { allow: [0.0.0.0/0] }, respond: { status: 203 }")
            .route("name: denied, match: { path: /denied }, access: { deny: [0.0.0.0/0] }, respond: { status: 206 }"),
    );
    let front = front(&place.path);
    for (path, status) in [("/x", 202), ("/allowed", 403), ("/denied", 206)] {
        // A header names no client here: the peer is no trusted proxy.
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n");
        assert_eq!(Client::connect(front).ask(request).status(), status, "{path}");
        let url = format!("http://a{path}");
        for explained in [gateway.explain(&url), gateway.explain_offline(&url)] {
            assert_eq!(explained["status"], status, "{explained}");
        }
    }
    // A PROXY header would say an address.
    let question = json!({ "request": "GET http://a/x", "client_ip": "10.0.0.1" });
    assert_eq!(gateway.explain_question(&question)["status"], 201);
}

#[test]
fn a_proxy_header_names_the_client() {
    const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    const HEADER: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";
    let service = Service::echo("a");
    for mode in ["optional", "required"] {
        let place = Place::new();
        let keys = format!(", proxy_protocol: {mode}");
        let gateway = Gateway::with(place.config(&keys).all_to(&service));
        let front = front(&place.path);
        let echoed = Client::connect(front).ask(format!("{HEADER}{GET}")).json();
        assert_eq!(header(&echoed, "x-forwarded-for"), Some("192.0.2.7"), "{mode}");
        // Byte by byte.
        let mut client = Client::connect(front);
        for byte in HEADER.bytes() {
            client.send([byte]);
        }
        let echoed = client.ask(GET).json();
        assert_eq!(header(&echoed, "x-real-ip"), Some("192.0.2.7"), "{mode}");
        let echoed = Client::connect(front)
            .ask(format!("PROXY UNKNOWN\r\n{GET}"))
            .json();
        assert_eq!(header(&echoed, "x-real-ip"), None, "{mode}");
        let mut without = Client::connect(front);
        match mode {
            "optional" => assert_eq!(header(&without.ask(GET).json(), "x-real-ip"), None),
            _ => {
                assert!(without.try_ask(GET).is_none());
                gateway.wait_for_part("closed a connection, without a PROXY header");
            }
        }
    }
}

#[test]
fn the_socket_of_a_dead_gateway_is_replaced_and_a_live_one_is_not() {
    let service = Service::echo("a");
    let place = Place::new();
    let gateway = Gateway::with(place.config("").all_to(&service));
    let other = place
        .config("")
        .all_to(&service)
        .key("admin: { bind: 127.0.0.1:0 }");
    fs::write(place.directory.path().join("other.yaml"), other).unwrap();
    let refused = waypost_in(place.directory.path(), &["run", "other.yaml"]).expect(2);
    let why = format!("cannot listen on {}: another process listens there", place.bind());
    assert!(refused.stderr.contains(&why), "{}", refused.stderr);
    assert_eq!(get(&place.path)["service"], "a");
    let mut gateway = gateway.restarted();
    assert_eq!(get(&place.path)["service"], "a");
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(!place.path.exists(), "the file goes with the gateway");
    fs::write(&place.path, "text").unwrap();
    let refused = waypost_in(place.directory.path(), &["run", "other.yaml"]).expect(2);
    assert!(
        refused.stderr.contains("there is a file that is no socket"),
        "{}",
        refused.stderr
    );
    assert_eq!(fs::read_to_string(&place.path).unwrap(), "text");
}

#[test]
fn the_socket_comes_and_goes_with_the_config() {
    let service = Service::echo("a");
    let place = Place::new();
    let gateway = Gateway::with(Config::new().all_to(&service));
    let with = Config::new()
        .item("listeners", &format!("- {{ bind: {:?} }}", place.bind()))
        .all_to(&service);
    gateway.replace(&with);
    gateway.wait_for(&format!("listening on {}", place.bind()));
    gateway.wait_for_revision(2);
    assert_eq!(get(&place.path)["service"], "a");
    // A kept listener keeps its socket.
    let inode = || fs::metadata(&place.path).map(|metadata| std::os::unix::fs::MetadataExt::ino(&metadata));
    let before = inode().unwrap();
    gateway.replace(with.key("debug_headers: true"));
    gateway.wait_for_revision(3);
    assert_eq!(inode().unwrap(), before);
    gateway.replace(Config::new().all_to(&service));
    gateway.wait_for_revision(4);
    assert!(!place.path.exists());
    // A config that is refused leaves no file behind: the port of the second listener is taken.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = Config::new()
        .item("listeners", &format!("- {{ bind: {:?} }}", place.bind()))
        .item(
            "listeners",
            &format!("- {{ bind: {} }}", taken.local_addr().unwrap()),
        )
        .all_to(&service);
    gateway.replace(refused);
    gateway.wait_for_part("cannot listen on 127.0.0.1");
    assert!(!place.path.exists());
}

#[test]
fn another_process_takes_over_the_socket() {
    let service = Service::echo("a");
    let place = Place::new();
    let config = place.config("").workers(2).all_to(&service);
    let mut gateway = Gateway::replaceable(&config, &[]);
    let front = front(&place.path);
    let mut kept = Client::connect(front);
    assert_eq!(kept.get("http://a/").status(), 200);
    let waiting = UnixStream::connect(&place.path).unwrap();
    gateway.command(&["upgrade"]).expect(0);
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    drop(waiting);
    assert!(place.path.exists());
    for _ in 0..8 {
        assert_eq!(Client::connect(front).get("http://a/").status(), 200);
    }
    // The new process owns the file now.
    let elsewhere = Config::new().all_to(&service);
    gateway.replace(&elsewhere);
    wait_for("the end of the file", || (!place.path.exists()).then_some(()));
}

#[test]
fn a_takeover_that_fails_leaves_the_socket_alone() {
    let service = Service::echo("a");
    let place = Place::new();
    let gateway = Gateway::replaceable(place.config("").all_to(&service), &[]);
    gateway.place("waypost.script", "#!/bin/sh\nexit 7\n");
    let script = gateway.directory().join("waypost.script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(script, gateway.directory().join("waypost")).unwrap();
    gateway.command(&["upgrade"]).expect(1);
    assert_eq!(get(&place.path)["service"], "a");
    // One that was never handed over is none of ours.
    let stray = place.directory.path().join("stray.sock");
    let _stray = UnixListener::bind(&stray).unwrap();
    drop(gateway);
    assert!(stray.exists());
}
