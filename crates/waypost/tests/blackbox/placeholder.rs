//! Certificates that an authority issues, as long as it has issued none: a self-signed one is served, and said. `check` orders
//! nothing.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::support::command::{Output, waypost_in};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::Service;
use crate::support::tls::{Authority, Trusting};

/// The address of an authority that never answers.
struct Silent(TcpListener);

impl Silent {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    fn directory(&self) -> String {
        format!("https://{}/dir", self.address())
    }

    /// Asserts that it was not connected to.
    fn assert_alone(&self) {
        let accepted = self.0.accept().map(drop).map_err(|error| error.kind());
        assert_eq!(accepted, Err(ErrorKind::WouldBlock));
    }
}

/// A listener of `a.test` and `b.test` whose certificate is ordered, with further keys of its `acme`.
fn config(authority: &Silent, keys: &str) -> Config {
    let directory = authority.directory();
    Config::listening(&[&format!(
        "name: web, hosts: [b.test, a.test], tls: {{ certificates: [{{ acme: {{ directory: \"{directory}\"{keys} }} }}] }}"
    )])
}

#[test]
fn self_signed_certificate_is_served_and_said_until_one_is_issued() {
    let (service, authority) = (Service::echo("a"), Silent::new());
    let gateway = Gateway::with(config(&authority, "").all_to(&service));
    let directory = authority.directory();
    gateway.wait_for_part(&format!(
        "a self-signed certificate is served for a.test, b.test until {directory} has issued one"
    ));

    let strict = Trusting::new(&Authority::new());
    let lax = strict.clone().without_verifying();
    let mut client = lax.connect(gateway.address(), "a.test");
    let shown = client.shown();
    assert_eq!(client.get("a.test", "/").status(), 200);
    // The certificate is for both.
    assert_eq!(client.get("b.test", "/").status(), 200);
    assert_eq!(client.get("c.test", "/").status(), 404);
    // A client that verifies is not deceived.
    let refusal = strict.refusal(gateway.address(), "a.test");
    assert!(refusal.contains("UnknownIssuer"), "{refusal}");

    let listed = gateway.admin_json("/api/v1/certificates");
    let [certificate] = listed.as_array().unwrap().as_slice() else {
        panic!("{listed}");
    };
    assert_eq!(certificate["listener"], "web");
    assert_eq!(certificate["names"], json!(["a.test", "b.test"]));
    assert_eq!(certificate["self_signed"], true);
    assert_eq!(certificate["directory"], directory);
    assert_eq!(certificate.get("file"), None);
    let metrics = gateway.metrics();
    let labels = "{listener=\"web\",certificate=\"a.test\"}";
    assert!(
        metrics.contains(&format!("waypost_certificate_self_signed{labels} 1\n")),
        "{metrics}"
    );
    assert!(metrics.contains(&format!("waypost_certificate_days_to_expiry{labels} ")));
    let status = gateway.admin_json("/api/v1/status");
    let said = status["reasons"].as_array().unwrap().iter().any(|reason| {
        reason["kind"] == "certificate"
            && reason["name"] == "web"
            && reason["message"]
                == "a self-signed certificate is served for a.test, b.test: the authority has issued none yet"
    });
    assert!(said, "{status}");

    // Clients that have accepted it are not asked again.
    gateway.rewrite(config(&authority, "").all_respond("changed"));
    gateway.wait_for_revision(2);
    assert_eq!(lax.connect(gateway.address(), "b.test").shown(), shown);
}

#[test]
fn certificate_in_files_is_not_taken_for_one_to_be_issued() {
    let (service, authority) = (Service::echo("a"), Authority::new());
    let pair = authority.issue(&["a.test"]);
    let gateway = Gateway::with_certificates(&[&pair], &service);
    let listed = gateway.admin_json("/api/v1/certificates");
    assert_eq!(listed[0]["self_signed"], false);
    assert_eq!(listed[0]["file"], "1.crt");
    assert_eq!(listed[0].get("directory"), None);
    let metrics = gateway.metrics();
    assert!(
        metrics
            .contains("waypost_certificate_self_signed{listener=\"127.0.0.1:0\",certificate=\"1.crt\"} 0\n"),
        "{metrics}"
    );
}

fn check(directory: &Path, config: impl AsRef<str>) -> Output {
    std::fs::write(directory.join("waypost.yaml"), config.as_ref()).unwrap();
    waypost_in(directory, &["check", "waypost.yaml"])
}

#[test]
fn check_orders_nothing() {
    let (authority, directory) = (Silent::new(), TempDir::new().unwrap());
    let checked = check(directory.path(), config(&authority, "").all_respond("a"));
    assert!(checked.expect(0).stdout.contains("ok: 1 listener"));
    authority.assert_alone();
}

#[test]
fn files_for_orders_are_checked_with_the_config() {
    let (authority, directory) = (Silent::new(), TempDir::new().unwrap());
    let keys = ", ca: root.pem, eab: { kid: kid-1, key_file: eab.key }";
    let config = config(&authority, keys).all_respond("a");
    let found = |parts: &[&str]| {
        let checked = check(directory.path(), &config).expect(1);
        for part in parts {
            let said = format!("{}{}", checked.stdout, checked.stderr);
            assert!(said.contains(part), "{part}: {said}");
        }
    };
    found(&[
        "error[unreadable-file]: cannot read `root.pem`",
        "error[unreadable-file]: cannot read `eab.key`",
        "key_file: eab.key",
    ]);
    let place = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    place("root.pem", "junk");
    place("eab.key", "not base64!");
    found(&[
        "error[bad-certificate]: `root.pem`",
        "error[bad-key-file]: `eab.key`: it is not a key in base64url",
    ]);
    place("root.pem", Authority::new().pem());
    place("eab.key", "c2VjcmV0LWtleQ\n");
    check(directory.path(), &config).expect(0);
    authority.assert_alone();
    // Mistakes elsewhere do not hide those in files.
    std::fs::remove_file(directory.path().join("eab.key")).unwrap();
    let checked = check(directory.path(), config.key("nonsense: 1")).expect(1);
    let said = format!("{}{}", checked.stdout, checked.stderr);
    for part in ["unknown-key", "cannot read `eab.key`"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn host_that_no_certificate_can_be_ordered_for_is_refused_in_place() {
    let (authority, directory) = (Silent::new(), TempDir::new().unwrap());
    let config = config(&authority, ", hosts: [\"*.a.test\"]").all_respond("a");
    let checked = check(directory.path(), &config).expect(1);
    let said = format!("{}{}", checked.stdout, checked.stderr);
    for part in [
        "error[bad-host]: no certificate can be ordered for `*.a.test`",
        "DNS-01",
        "certbot",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
