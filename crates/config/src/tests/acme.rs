//! Certificates that an authority issues.

use waypost_plan::acme::{Acme, ExternalAccount};
use waypost_plan::certificate_source::CertificateSource;
use waypost_plan::listener::ListenerTls;

use super::*;

/// A config whose listener has these keys, on the third line, and these items of `certificates`, on the fourth.
fn config(listener: &str, certificates: &str) -> String {
    let listener = match listener {
        "" => "name: web",
        keys => keys,
    };
    format!("listeners:\n- bind: 0.0.0.0:443\n  {listener}\n  tls: {{ certificates: [{certificates}] }}\n")
}

fn loaded(listener: &str, certificates: &str) -> Loaded {
    let text = config(listener, certificates);
    load_text(text.clone()).unwrap_or_else(|found| panic!("{text}\n{:#?}", lines(&found)))
}

fn ordered(listener: &str, acme: &str) -> Acme {
    let loaded = loaded(listener, &format!("{{ acme: {acme} }}"));
    assert_eq!(lines(&loaded.warnings), Vec::<String>::new());
    let all: Vec<_> = loaded.plan.acme().collect();
    let [acme] = &*all else {
        panic!("{all:?}");
    };
    Acme::clone(acme)
}

fn refused(listener: &str, acme: &str, expected: &[&str]) {
    check(config(listener, &format!("{{ acme: {acme} }}")), expected);
}

#[test]
fn certificate_is_ordered_for_the_hosts_of_the_listener() {
    let acme = ordered("hosts: [www.Example.com, api.example.com]", "{}");
    let expected = Acme {
        email: None,
        directory: "https://acme-v02.api.letsencrypt.org/directory".into(),
        hosts: vec!["api.example.com".into(), "www.example.com".into()],
        eab: None,
        ca: None,
    };
    assert_eq!(acme, expected);
}

#[test]
fn certificate_says_who_issues_it_and_for_which_hosts() {
    let acme = ordered(
        "hosts: [\"*.example.com\"]",
        "{ email: ops@example.com, directory: \"https://ca.internal:14000/dir\", hosts: [b.example.com, a.example.com, \
         B.example.com], eab: { kid: kid-1, key_file: eab.key }, ca: root.pem }",
    );
    let expected = Acme {
        email: Some("ops@example.com".into()),
        directory: "https://ca.internal:14000/dir".into(),
        hosts: vec!["a.example.com".into(), "b.example.com".into()],
        eab: Some(ExternalAccount {
            kid: "kid-1".into(),
            key_file: "eab.key".into(),
        }),
        ca: Some("root.pem".into()),
    };
    assert_eq!(acme, expected);
}

#[test]
fn certificates_of_authorities_stand_beside_files() {
    let loaded = loaded(
        "",
        "{ acme: { hosts: [a.test], ca: root.pem } }, { cert: a.crt, key: a.key }, { acme: { hosts: [b.test] } }",
    );
    let ListenerTls::Terminates(end) = &loaded.plan.listeners()[0].tls else {
        panic!("TLS");
    };
    let labels: Vec<&str> = end.certificates.iter().map(CertificateSource::label).collect();
    assert_eq!(labels, ["a.test", "a.crt", "b.test"]);
    let files = &loaded.files.listeners[0];
    assert_eq!(files.certificates.len(), 1);
    let [first, second] = &*files.acme else {
        panic!("{:?}", files.acme);
    };
    let place = |at: &Place| (at.line, at.column);
    assert_eq!(place(&first.place), (4, 27));
    let ca = first.ca.as_ref().unwrap();
    assert_eq!((&*ca.path, place(&ca.place)), ("root.pem", (4, 56)));
    assert_eq!((&second.ca, &second.eab_key), (&None, &None));
}

#[test]
fn certificate_needs_hosts_that_can_be_ordered() {
    refused(
        "",
        "{}",
        &["4:27 missing-key add `hosts: [api.example.com]` here, or to the listener"],
    );
    refused("hosts: []", "{}", &["3:10 empty-list"]);
    refused("hosts: [\"a b\"]", "{}", &["3:11 bad-host"]);
    refused("", "{ hosts: [] }", &["4:42 empty-list"]);
    refused(
        "",
        "{ hosts: [\"http://a.test\"] }",
        &["4:43 bad-host leave the scheme out: `a.test`"],
    );
    let wild = "name each host; or let a client that writes to the DNS, such as certbot, renew the files of";
    refused(
        "",
        "{ hosts: [a.test, \"*.a.test\"] }",
        &[&format!("4:51 bad-host {wild}")],
    );
    refused(
        "hosts: [a.test, \"*.a.test\"]",
        "{}",
        &["4:27 bad-host name hosts as `acme: { hosts: [api.example.com] }`; or let a client"],
    );
    refused(
        "",
        "{ hosts: [10.0.0.1] }",
        &["4:43 bad-host write names, or use files"],
    );
    refused(
        "",
        "{ hosts: [\"[::1]\"] }",
        &["4:43 bad-host write names, or use files"],
    );
    refused(
        "hosts: [10.0.0.1]",
        "{}",
        &["4:27 bad-host name the hosts for the certificate"],
    );
    refused("", "{ hosts: [a_b.test] }", &["4:43 bad-host a name such as"]);
    let many: Vec<String> = (0..101).map(|number| format!("h{number}.test")).collect();
    let many = many.join(", ");
    refused(
        "",
        &format!("{{ hosts: [{many}] }}"),
        &["4:42 out-of-range several certificates"],
    );
    refused(
        &format!("hosts: [{many}]"),
        "{}",
        &["4:27 out-of-range several certificates"],
    );
}

#[test]
fn host_is_in_one_certificate_that_the_listener_serves() {
    refused(
        "hosts: [a.test]",
        "{ hosts: [a.test, b.test] }",
        &["4:51 certificate-names add it to the `hosts` of the listener"],
    );
    let wild = "hosts: [\"*.a.test\"]";
    let below = ordered(wild, "{ hosts: [x.a.test, x.y.a.test] }");
    assert_eq!(below.hosts.len(), 2);
    refused(
        wild,
        "{ hosts: [x.a.test, a.test] }",
        &["4:53 certificate-names add it to the `hosts` of the listener"],
    );
    check(
        config(
            "",
            "{ acme: { hosts: [a.test] } }, { acme: { hosts: [b.test, A.test] } }",
        ),
        &["4:82 duplicate-name let each of the `hosts` be in one certificate"],
    );
    check(
        config("hosts: [a.test]", "{ acme: {} }, { acme: { email: a@a.test } }"),
        &["4:41 duplicate-name let each"],
    );
}

#[test]
fn listeners_share_a_certificate_or_order_different_ones() {
    let listeners = |second: &str| {
        format!(
            "listeners:\n- {{ bind: 0.0.0.0:443, tls: {{ certificates: [{{ acme: {{ hosts: [a.test], email: a@a.test }} }}] }} }}\n\
             - {{ bind: 0.0.0.0:444, tls: {{ certificates: [{{ acme: {{ hosts: [{second} }} }}] }} }}\n"
        )
    };
    let certificates = |second: &str| load_text(listeners(second)).unwrap().plan.acme().count();
    assert_eq!(certificates("A.test], email: a@a.test"), 1);
    assert_eq!(certificates("a.test], directory: \"https://ca/dir\""), 2);
    assert_eq!(certificates("a.test, b.test]"), 2);
    check(
        listeners("a.test], email: b@a.test, ca: root.pem"),
        &["3:48 conflicting-keys with another `email` and `ca` (write the same here"],
    );
}

#[test]
fn account_of_elsewhere_has_one_address_and_others_one_for_each() {
    let listeners = |first: &str, second: &str| {
        let listener = |port: u16, host: &str, keys: &str| {
            format!(
                "- {{ bind: 0.0.0.0:{port}, tls: {{ certificates: [{{ acme: {{ hosts: [{host}]{keys} }} }}] }} }}\n"
            )
        };
        format!(
            "listeners:\n{}{}",
            listener(443, "a.test", first),
            listener(444, "b.test", second)
        )
    };
    let certificates =
        |first: &str, second: &str| load_text(listeners(first, second)).unwrap().plan.acme().count();
    assert_eq!(certificates(", email: a@a.test", ", email: b@a.test"), 2);
    let bound = |email: &str, kid: &str| format!(", email: {email}, eab: {{ kid: {kid}, key_file: k }}");
    assert_eq!(certificates(&bound("a@a.test", "x"), &bound("a@a.test", "x")), 2);
    assert_eq!(certificates(&bound("a@a.test", "x"), &bound("b@a.test", "y")), 2);
    check(
        listeners(&bound("a@a.test", "x"), &bound("b@a.test", "x")),
        &[
            "3:48 conflicting-keys the account with the `kid` `x` at the same authority has another `email` (write the same here",
        ],
    );
}

#[test]
fn certificate_is_in_files_or_ordered() {
    let check =
        |certificate: &str, expected: &[&str]| check(config("hosts: [a.test]", certificate), expected);
    check(
        "{}",
        &["4:25 missing-key `acme: { email: ops@example.com }` to have one issued"],
    );
    check("{ key: a }", &["4:25 missing-key add `cert: api.crt`"]);
    check(
        "{ acme: {}, cert: a, key: b }",
        &["4:27 conflicting-keys leave out `acme`, or `cert` and `key`"],
    );
    check("{ cert: a, acme: {} }", &["4:36 conflicting-keys"]);
    check("{ crt: a, key: b }", &["4:27 unknown-key did you mean `cert`?"]);
    check("{ acme: true }", &["4:33 wrong-type write `{}`"]);
    check(
        "{ acme: ops@a.test }",
        &["4:33 wrong-type write `{ email: \"ops@a.test\" }`"],
    );
    check(
        "{ acme: letsencrypt }",
        &["4:33 wrong-type write its keys, such as `{ email: ops@example.com }`"],
    );
    check("{ letsencrypt: {} }", &["4:27 unknown-key write `acme: {}`"]);
    check(
        "{ cert: a, key: b, hosts: [a.test] }",
        &["4:44 unknown-key `acme: { hosts:"],
    );
}

#[test]
fn values_of_acme_are_checked() {
    let check =
        |keys: &str, expected: &[&str]| refused("hosts: [a.test]", &format!("{{ {keys} }}"), expected);
    check("email: ops", &["4:42 bad-value one address"]);
    check("email: \"a@a.test,b@a.test\"", &["4:42 bad-value one address"]);
    check("email: \"@a.test\"", &["4:42 bad-value one address"]);
    check(
        "email: \"mailto:ops@a.test\"",
        &["4:42 bad-value write `ops@a.test`"],
    );
    check(
        "directory: http://ca.test/dir",
        &["4:46 bad-value write `https://ca.test/dir`; `ca` names"],
    );
    check(
        "directory: ca.test/dir",
        &["4:46 bad-value write `https://ca.test/dir`"],
    );
    check(
        "directory: staging",
        &["4:46 bad-value write `https://acme-staging-v02"],
    );
    check(
        "directory: Let's Encrypt",
        &["4:46 bad-value leave it out, or write `https://acme-v02"],
    );
    check("directory: ca", &["4:46 bad-value such as `https://acme-v02"]);
    check("directory: https://me:pass@ca/dir", &["4:46 bad-value `eab: {"]);
    check("ca: \"\"", &["4:39 bad-value a path such as"]);
    check("eab: { kid: \"\", key_file: k }", &["4:47 bad-value the key id"]);
    check("eab: { kid: k }", &["4:40 missing-key add `key_file: eab.key`"]);
    check(
        "eab: { kid: k, hmac: s3cret }",
        &["4:50 unknown-key `key_file: eab.key`, a file that has the key"],
    );
    check(
        "storage: /acme",
        &["4:35 unknown-key kept in the gateway's `state`"],
    );
    check("dns_challenge: x", &["4:35 unknown-key no challenge in the DNS"]);
    check("domains: [a.test]", &["4:35 unknown-key did you mean `hosts`?"]);
}

#[test]
fn services_have_certificates_in_files_alone() {
    check(
        "listeners: [{ bind: 127.0.0.1:80 }]\nservices:\n  a: { endpoints: [https://a], tls: { client_cert: { acme: {} } } }\n\
         routes: [{ name: r, to: a }]\n",
        &[
            "3:52 missing-key add `cert: gateway.crt`",
            "3:52 missing-key add `key: gateway.key`",
            "3:54 unknown-key certificates are ordered for listeners alone",
        ],
    );
}
