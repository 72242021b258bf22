//! Protocols as programs speak them that others wrote: curl, OpenSSL, nghttp2, grpcio and websockets.
//! `cargo xtask system` runs it, and says what has to be there.

#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

#[path = "blackbox/support/mod.rs"]
#[expect(dead_code, reason = "it is there for more tests than these")]
mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::command::{output, repository};
use crate::support::gateway::Gateway;
use crate::support::service::Service;
use crate::support::tls::Authority;

/// A gateway in clear and under TLS for `localhost`, with this behind its listeners.
struct Between {
    gateway: Gateway,
    authority: PathBuf,
}

impl Between {
    fn new(rest: &str) -> Self {
        let authority = Authority::new();
        let pair = authority.issue(&["localhost", "127.0.0.1"]);
        let rsa = authority.issue_rsa(&["localhost", "127.0.0.1"]);
        let config = format!(
            "listeners:\n- {{ bind: 127.0.0.1:0, name: clear }}\n- {{ bind: 127.0.0.1:0, name: tls, tls: {{ certificates: [{{ cert: r.crt, key: r.key }}, {{ cert: a.crt, key: a.key }}] }} }}\n{rest}"
        );
        let gateway = Gateway::beside(
            &[
                ("a.crt", &pair.cert),
                ("a.key", &pair.key),
                ("r.crt", &rsa.cert),
                ("r.key", &rsa.key),
                ("ca.crt", authority.pem()),
            ],
            config,
        );
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

    /// Runs a script that is both ends, with the gateway between them.
    fn run(script: &str, config: impl Fn(u16) -> String) -> String {
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
        let between = Self::new(&config(port.trim().parse().expect("the port of a service")));
        let (clear, secure) = (between.port(0), between.port(1));
        let line = format!("{clear} {secure} {}\n", between.authority.display());
        child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        assert!(child.wait().unwrap().success(), "{rest}");
        rest
    }
}

fn echo() -> (Service, String) {
    let service = Service::echo("echo");
    let config = format!(
        "services: {{ echo: {{ endpoints: [{}] }} }}\nroutes: [{{ name: all, to: echo }}]\n",
        service.url()
    );
    (service, config)
}

#[test]
fn curl_speaks_every_version() {
    let (_service, config) = echo();
    let between = Between::new(&config);
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
        let answer = between.curl(
            &[arguments, &["--write-out", "%{http_version} %{http_code}"]].concat(),
            url,
        );
        assert!(
            answer.ends_with(&format!("{version} 200")),
            "{arguments:?}: {answer}"
        );
        assert!(answer.contains(r#""target":"/x?y""#), "{arguments:?}: {answer}");
    }
    // Upgrades to HTTP/2 in clear text are left to be HTTP/1.1.
    let answer = between.curl(&["--http2", "--write-out", "%{http_version}"], &clear);
    assert!(answer.ends_with("1.1") && !answer.contains("h2c"), "{answer}");
    let body = "x".repeat(100_000);
    for arguments in [&["--http1.1"][..], &["--http2"]] {
        let answer = between.curl(&[arguments, &["--data", &body]].concat(), &secure);
        assert!(answer.contains(&body), "{arguments:?}");
    }
    let other = ["--header", "Host: other.test", "--write-out", "%{http_code}"];
    assert!(between.curl(&other, &secure).ends_with("421"));
}

#[test]
fn openssl_agrees_about_the_handshake() {
    let (_service, config) = echo();
    let between = Between::new(&config);
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
fn h2load_gets_every_answer() {
    let (_service, config) = echo();
    let between = Between::new(&config);
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
    let service = Service::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 2\r\n\r\n",
    );
    let config = format!(
        "services: {{ s: {{ endpoints: [{}] }} }}\nroutes: [{{ name: all, to: s }}]\n",
        service.url()
    );
    let between = Between::new(&config);
    let url = format!("http://127.0.0.1:{}/", between.port(0));
    let ran = output(Command::new("nghttp").args(["--verbose", &url]));
    assert!(ran.stdout.contains("x-sum: 2"), "{}", ran.stdout);
    assert!(ran.stdout.contains(":status: 200"), "{}", ran.stdout);
}

#[test]
fn grpcio_makes_calls_of_all_four_kinds() {
    let said = Between::run("grpc_calls.py", |port| {
        format!(
            "services: {{ s: {{ endpoints: [\"http://127.0.0.1:{port}\"], http2: true }}, down: {{ endpoints: [\"http://127.0.0.1:1\"], http2: true }} }}\nroutes:\n- {{ name: orders, match: {{ grpc: {{ service: shop.Orders }} }}, to: s }}\n- {{ name: down, match: {{ path: /down.S/* }}, to: down }}\n"
        )
    });
    assert!(said.contains("all calls are right"), "{said}");
}

#[test]
fn websockets_come_back() {
    let said = Between::run("websocket_echo.py", |port| {
        format!(
            "services: {{ s: {{ endpoints: [\"http://127.0.0.1:{port}\"] }} }}\nroutes: [{{ name: ws, match: {{ path: /ws }}, to: s }}]\n"
        )
    });
    assert!(said.contains("all messages came back"), "{said}");
}
