//! Interoperability with curl, OpenSSL, nghttp2, grpcio and websockets. `cargo xtask system` runs these tests and lists
//! the programs they need.

#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

#[path = "blackbox/support/mod.rs"]
#[expect(dead_code, reason = "shared with the black-box suite")]
mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::command::{output, repository};
use crate::support::config::Config;
use crate::support::gateway::{Gateway, certificates};
use crate::support::service::Service;
use crate::support::tls::Authority;

/// A gateway with a clear-text and a TLS listener for `localhost`.
struct Between {
    gateway: Gateway,
    authority: PathBuf,
}

impl Between {
    fn new(behind: impl FnOnce(Config) -> Config) -> Self {
        let authority = Authority::new();
        let pair = authority.issue(&["localhost", "127.0.0.1"]);
        let rsa = authority.issue_rsa(&["localhost", "127.0.0.1"]);
        let tls = format!("name: tls, tls: {{ {} }}", certificates(2));
        let config = behind(Config::listening(&["name: clear", &tls]));
        let gateway = Gateway::under_tls(&[&rsa, &pair], &[("ca.crt", authority.pem())], config);
        let authority = gateway.directory().join("ca.crt");
        Self { gateway, authority }
    }

    fn port(&self, listener: usize) -> u16 {
        self.gateway.addresses()[listener].port()
    }

    fn curl(&self, arguments: &[&str], url: &str) -> String {
        let ran = output(
            Command::new("curl")
                .args(["--silent", "--show-error", "--max-time", "20", "--cacert"])
                .arg(&self.authority)
                .args(arguments)
                .arg(url),
        );
        assert_eq!(ran.code, 0, "curl {arguments:?} {url}: {}", ran.stderr);
        ran.stdout
    }

    fn s_client(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("openssl");
        command
            .args(["s_client", "-connect"])
            .arg(format!("127.0.0.1:{}", self.port(1)))
            .args(["-servername", "localhost", "-CAfile"])
            .arg(&self.authority)
            .args(arguments);
        let ran = output(&mut command);
        assert!(
            ran.stdout.contains("Verify return code: 0"),
            "{}{}",
            ran.stdout,
            ran.stderr
        );
        ran.stdout
    }

    /// Runs a script that is both client and service, with the gateway between them.
    fn run(script: &str, behind: impl FnOnce(Config, &str) -> Config) -> String {
        let python = repository().join("target/peers/bin/python");
        let script = repository().join("crates/waypost/tests/peers").join(script);
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a Python environment, which `cargo xtask system` makes");
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        said.read_line(&mut port).unwrap();
        let url = format!("http://127.0.0.1:{}", port.trim());
        let between = Self::new(|config| behind(config, &url));
        let (clear, secure) = (between.port(0), between.port(1));
        let line = format!("{clear} {secure} {}\n", between.authority.display());
        child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        assert!(child.wait().unwrap().success(), "{rest}");
        rest
    }
}

fn echo() -> (Service, Between) {
    let service = Service::echo("echo");
    let between = Between::new(|config| config.all_to(&service));
    (service, between)
}

#[test]
fn curl_over_every_version() {
    let (_service, between) = echo();
    let clear = format!("http://127.0.0.1:{}/x?y", between.port(0));
    let secure = format!("https://localhost:{}/x?y", between.port(1));
    for (arguments, url, version) in [
        (&["--http1.0"][..], &clear, "1.1"),
        (&["--http1.1"], &clear, "1.1"),
        (&["--http2-prior-knowledge"], &clear, "2"),
        (&["--http1.1"], &secure, "1.1"),
        (&["--http2"], &secure, "2"),
        (&["--http2", "--tlsv1.2", "--tls-max", "1.2"], &secure, "2"),
        (&["--http2", "--tlsv1.3"], &secure, "2"),
    ] {
        let response = between.curl(
            &[arguments, &["--write-out", "%{http_version} %{http_code}"]].concat(),
            url,
        );
        assert!(
            response.ends_with(&format!("{version} 200")),
            "{arguments:?}: {response}"
        );
        assert!(
            response.contains(r#""target":"/x?y""#),
            "{arguments:?}: {response}"
        );
    }
    // An h2c upgrade is declined.
    let response = between.curl(&["--http2", "--write-out", "%{http_version}"], &clear);
    assert!(
        response.ends_with("1.1") && !response.contains("h2c"),
        "{response}"
    );
    let body = "x".repeat(100_000);
    for arguments in [&["--http1.1"][..], &["--http2"]] {
        let response = between.curl(&[arguments, &["--data", &body]].concat(), &secure);
        assert!(response.contains(&body), "{arguments:?}");
    }
    let other = ["--header", "Host: other.test", "--write-out", "%{http_code}"];
    // No certificate is for this host, so no other connection would be better.
    assert!(between.curl(&other, &secure).ends_with("200"));
}

#[test]
fn openssl_handshakes() {
    let (_service, between) = echo();
    for (arguments, expected) in [
        (&["-tls1_2"][..], "Protocol  : TLSv1.2"),
        (&["-tls1_3"], "New, TLSv1.3"),
        (&["-alpn", "h2,http/1.1"], "ALPN protocol: h2"),
        (&["-alpn", "http/1.1"], "ALPN protocol: http/1.1"),
        (
            &["-tls1_2", "-sigalgs", "RSA-PSS+SHA256"],
            "Peer signature type: RSA-PSS",
        ),
        (
            &["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"],
            "Peer signature type: RSA-PSS",
        ),
        (
            &["-sigalgs", "ECDSA+SHA256:RSA-PSS+SHA256"],
            "Peer signature type: ECDSA",
        ),
    ] {
        let said = between.s_client(arguments);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    let said = between.s_client(&["-tls1_2", "-reconnect"]);
    assert!(said.contains("Reused, TLSv1.2"), "{said}");
}

#[test]
fn h2load_gets_every_response() {
    let (_service, between) = echo();
    for url in [
        format!("http://127.0.0.1:{}/", between.port(0)),
        format!("https://127.0.0.1:{}/", between.port(1)),
    ] {
        let load = ["-n", "3000", "-c", "10", "-m", "50"];
        let ran = output(Command::new("h2load").args(load).arg(&url));
        assert!(
            ran.stdout
                .contains("3000 succeeded, 0 failed, 0 errored, 0 timeout"),
            "{url}: {}",
            ran.stdout
        );
    }
}

#[test]
fn nghttp_reads_trailers() {
    let service = Service::responding(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 2\r\n\r\n",
    );
    let between = Between::new(|config| config.all_to(&service));
    let url = format!("http://127.0.0.1:{}/", between.port(0));
    let ran = output(Command::new("nghttp").args(["--verbose", &url]));
    assert!(ran.stdout.contains("x-sum: 2"), "{}", ran.stdout);
    assert!(ran.stdout.contains(":status: 200"), "{}", ran.stdout);
}

#[test]
fn grpcio_unary_and_streaming_calls() {
    let said = Between::run("grpc_calls.py", |config, url| {
        config
            .service_at("s", &[url], "http2: true")
            .service_at("down", &["http://127.0.0.1:1"], "http2: true")
            .route("name: orders, match: { grpc: { service: shop.Orders } }, to: s")
            .route("name: down, match: { path: /down.S/* }, to: down")
    });
    assert!(said.contains("all calls are right"), "{said}");
}

#[test]
fn websockets_echo() {
    let said = Between::run("websocket_echo.py", |config, url| {
        config
            .service_at("s", &[url], "")
            .route("name: ws, match: { path: /ws }, to: s")
    });
    assert!(said.contains("all messages came back"), "{said}");
}
