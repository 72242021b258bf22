//! Local files, and shared texts under them.

use waypost_plan::admin::AdminBind;
use waypost_plan::etcd::EtcdSource;
use waypost_plan::settings::AccessLog;

use super::*;
use crate::local::{self, Local};

/// The smallest local file.
const SOURCE: &str =
    "source: { etcd: { endpoints: [10.0.0.1:2379, 10.0.0.2:2379], prefix: /waypost/prod } }\n";

fn read(text: &str) -> Result<Local, Vec<Diagnostic>> {
    local::read(&source("local.yaml", text), &environment).expect("it has a source")
}

/// Checks that a local file gives these diagnostics, as [`check`] does for configs.
fn refused(text: &str, expected: &[&str]) {
    let found = lines(&read(text).unwrap_err());
    assert_eq!(found.len(), expected.len(), "{text}\n{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        let mut parts = expected.splitn(3, ' ');
        let start = [parts.next().unwrap_or(""), parts.next().unwrap_or("")].join(" ");
        let is_said = found.starts_with(&format!("{start} ")) && found.contains(parts.next().unwrap_or(""));
        assert!(is_said, "{text}\nexpected: {expected}\nfound: {found}");
    }
}

/// Loads shared texts for an instance with a local file.
fn load_shared(shared: &[(&str, &str)], local: &str) -> Result<Loaded, Vec<String>> {
    let sources: Vec<Source> = shared.iter().map(|(name, text)| source(name, *text)).collect();
    let local = source("local.yaml", local);
    load_over(&sources, Kind::Directory, Some(&local), &environment).map_err(|refused| {
        let files = refused
            .diagnostics
            .iter()
            .map(|found| found.labels[0].place.file.to_string());
        let found = lines(&refused.diagnostics);
        files
            .zip(found)
            .map(|(file, line)| format!("{file}:{line}"))
            .collect()
    })
}

#[test]
fn a_file_without_source_is_not_local() {
    for text in [BASE, "", "# nothing\n", "source", "a: [", "x-source: 1\n"] {
        assert!(
            local::read(&source("c.yaml", text), &environment).is_none(),
            "{text}"
        );
    }
}

#[test]
fn the_place_of_the_config_is_read() {
    let local = read(SOURCE).unwrap();
    let EtcdSource {
        endpoints,
        prefix,
        tls,
        user_file,
        certificates_key,
    } = local.source;
    let endpoints: Vec<_> = endpoints.iter().map(ToString::to_string).collect();
    assert_eq!(endpoints, ["10.0.0.1:2379", "10.0.0.2:2379"]);
    assert_eq!(prefix.as_str(), "/waypost/prod");
    assert_eq!((tls, user_file, certificates_key), (None, None, None));

    let local = read(
        "source:
  etcd:
    endpoints: [https://etcd-0.internal:2379, \"[::1]\"]
    prefix: /waypost/${PORT}
    tls: { ca: ca.pem, cert: me.pem, key: me.key }
    user_file: user
    certificates_key: seal
admin: { bind: 127.0.0.1:0 }
workers: 2
access_log: stdout
state: /var/lib/waypost
listeners: [{ name: public, bind: \"127.0.0.1:${PORT}\" }]
x-note: 1
",
    )
    .unwrap();
    assert_eq!(local.source.prefix.as_str(), "/waypost/8081");
    let tls = local.source.tls.unwrap();
    let certificate = tls.certificate.unwrap();
    assert_eq!(tls.ca.as_deref(), Some("ca.pem"));
    assert_eq!((&*certificate.cert, &*certificate.key), ("me.pem", "me.key"));
    assert_eq!(local.source.user_file.as_deref(), Some("user"));
    assert_eq!(local.user.unwrap().place.line, 6);
    assert_eq!(local.source.certificates_key.as_deref(), Some("seal"));
    assert_eq!(local.certificates_key.unwrap().place.line, 7);
    assert_eq!(local.tls.ca.unwrap().place.line, 5);
    assert_eq!(local.settings.state.path.as_deref(), Some("/var/lib/waypost"));
    assert_eq!(local.settings.workers.map(std::num::NonZero::get), Some(2));
    assert!(local.settings.admin.unwrap().is_explicit);
}

#[test]
fn wrong_places_are_refused() {
    let etcd = |keys: &str, expected: &[&str]| {
        refused(&format!("source: {{ etcd: {{ {keys} }} }}\n"), expected);
    };
    refused("source:\n", &["1:7 null-value a `source`"]);
    refused("source: {}\n", &["1:9 missing-key add `etcd: "]);
    refused(
        "source: etcd://10.0.0.1:2379/waypost\n",
        &["1:9 wrong-type expected a `source`"],
    );
    refused(
        "source: { consul: {} }\n",
        &["1:9 missing-key", "1:11 unknown-key"],
    );
    etcd("prefix: /a", &["1:17 missing-key has no `endpoints`"]);
    etcd("endpoints: [a]", &["1:17 missing-key has no `prefix`"]);
    etcd("endpoints: [], prefix: /a", &["1:30 empty-list"]);
    etcd("endpoints: 10.0.0.1:2379, prefix: /a", &["1:30 wrong-type list"]);
    for (endpoint, expected) in [
        ("\"\"", "host and port"),
        ("a:0", "port is not a number"),
        ("a:x", "port is not a number"),
        ("etcd://a", "scheme is neither"),
        ("http://a/b", "the keys begin with `prefix`"),
        ("http://u:p@a", "in the file of `user_file`"),
        ("\"::1\"", "stands in brackets"),
        ("\"a:1,b:1\"", "each member as an item"),
    ] {
        etcd(
            &format!("endpoints: [{endpoint}], prefix: /a"),
            &[&format!("1:31 bad-endpoint {expected}")],
        );
    }
    etcd(
        "endpoints: [a:1, a:1], prefix: /a",
        &["1:36 duplicate-name name each member once"],
    );
    for (prefix, expected) in [
        ("\"\"", "such as `/waypost/prod`"),
        ("/", "such as `/waypost/prod`"),
        ("waypost/prod", "write `/waypost/prod`"),
        ("/waypost/", "write `/waypost`"),
        ("/way//post", "write `/way/post`"),
        ("/a b", "visible ASCII"),
    ] {
        etcd(
            &format!("endpoints: [a], prefix: {prefix}"),
            &[&format!("1:43 bad-value {expected}")],
        );
    }
    let tls = |keys: &str, expected: &[&str]| {
        etcd(
            &format!("endpoints: [a], prefix: /a, tls: {{ {keys} }}"),
            expected,
        );
    };
    tls("cert: a", &["1:54 missing-key add `key`"]);
    tls("key: a", &["1:54 missing-key add `cert`"]);
    tls("ca: \"\"", &["1:58 bad-value is not a path"]);
    tls("insecure: true", &["1:54 unknown-key"]);
    etcd(
        "endpoints: [http://a], prefix: /a, tls: {}",
        &["1:54 conflicting-keys every endpoint says `http`"],
    );
    etcd(
        "endpoints: [a], prefix: /a, certificates_key: \"\"",
        &["1:65 bad-value is not a path"],
    );
    etcd("endpoints: [a], prefix: /a, user_file: []", &["1:58 wrong-type"]);
}

#[test]
fn what_instances_share_is_refused_in_a_local_file() {
    for key in [
        "routes: []",
        "services: {}",
        "tests: []",
        "drain_timeout: 1s",
        "split_key: x",
    ] {
        let name = key.split(':').next().unwrap();
        refused(
            &format!("{SOURCE}{key}\n"),
            &[&format!("2:1 misplaced-key `{name}` does not belong")],
        );
    }
    refused(
        &format!("{SOURCE}listeners: [{{ bind: 127.0.0.1:80, tls: {{ passthrough: true }} }}]\n"),
        &["2:35 misplaced-key `tls` of a listener"],
    );
    // Its own keys are judged, too.
    refused(
        &format!("{SOURCE}admin: {{ bind: x }}\nworkers: 0\nlisteners: [{{ bind: 80 }}]\n"),
        &["2:16 bad-bind", "3:10 out-of-range", "4:21 bad-bind"],
    );
    refused(
        &format!("{SOURCE}listeners: [{{ name: a, bind: 127.0.0.1:1 }}, {{ name: a, bind: 127.0.0.1:2 }}]\n"),
        &["2:53 duplicate-name"],
    );
}

#[test]
fn a_config_has_no_source() {
    check(
        format!("{SOURCE}{BASE}routes: [{{ name: r, match: {{ path: /* }}, to: a }}]\n"),
        &["1:1 misplaced-key a single file that `waypost run` is started with"],
    );
    let texts = [source("a.yaml", BASE), source("b.yaml", SOURCE)];
    let found = lines(&load(&texts, Kind::Directory, &environment).unwrap_err());
    assert_eq!(
        found.iter().filter(|line| line.contains("misplaced-key")).count(),
        1
    );
}

#[test]
fn what_a_local_file_says_comes_before_the_shared_texts() {
    let shared = "\
listeners: [{ name: public, bind: 0.0.0.0:80, hosts: [a.example] }, { name: other, bind: 0.0.0.0:81 }]
services: { a: { endpoints: [http://a] } }
routes: [{ name: r, match: { path: /* }, to: a }]
admin: { bind: 127.0.0.1:9901 }
state: /shared
workers: 3
access_log: stdout
drain_timeout: 1s
";
    let local = format!(
        "{SOURCE}admin: {{ bind: 127.0.0.1:9902 }}\nstate: /own\nworkers: 1\naccess_log: off\nlisteners: [{{ name: public, bind: \"127.0.0.1:${{PORT}}\" }}]\n"
    );
    let plan = load_shared(&[("waypost.yaml", shared)], &local).unwrap().plan;
    let settings = plan.settings();
    assert_eq!(
        settings.admin.as_ref().unwrap().bind,
        AdminBind::Tcp("127.0.0.1:9902".parse().unwrap())
    );
    assert_eq!(settings.state.path.as_deref(), Some("/own"));
    assert_eq!(settings.workers.map(std::num::NonZero::get), Some(1));
    assert_eq!(settings.access_log, AccessLog::Off);
    assert_eq!(settings.drain_timeout.as_secs(), 1);
    let binds: Vec<_> = plan.listeners().iter().map(|one| &*one.bind.text).collect();
    assert_eq!(binds, ["127.0.0.1:8081", "0.0.0.0:81"]);
    assert_eq!(plan.listeners()[0].hosts.len(), 1);

    // What it does not say stays as shared.
    let plan = load_shared(&[("waypost.yaml", shared)], SOURCE).unwrap().plan;
    assert_eq!(plan.settings().state.path.as_deref(), Some("/shared"));
    assert_eq!(&*plan.listeners()[0].bind.text, "0.0.0.0:80");
}

#[test]
fn addresses_find_their_listeners() {
    let rest =
        "services: { a: { endpoints: [http://a] } }\nroutes: [{ name: r, match: { path: /* }, to: a }]\n";
    let one = format!("listeners: [{{ bind: 0.0.0.0:80 }}]\n{rest}");
    let two = format!("listeners: [{{ name: x, bind: 0.0.0.0:80 }}, {{ bind: 0.0.0.0:81 }}]\n{rest}");
    let own = |listeners: &str| format!("{SOURCE}listeners: {listeners}\n");
    let binds = |shared: &str, local: &str| {
        let plan = load_shared(&[("a.yaml", shared)], local).map(|loaded| loaded.plan);
        plan.map(|plan| {
            let listeners = plan.listeners().iter();
            listeners.map(|one| one.bind.text.to_string()).collect::<Vec<_>>()
        })
    };
    // The only one needs no name.
    assert_eq!(
        binds(&one, &own("[{ bind: 127.0.0.1:1 }]")).unwrap(),
        ["127.0.0.1:1"]
    );
    // Where none is shared, all are the instance's own.
    assert_eq!(
        binds(rest, &own("[{ bind: 127.0.0.1:1 }, { bind: 127.0.0.1:2 }]")).unwrap(),
        ["127.0.0.1:1", "127.0.0.1:2"]
    );
    let refused = |shared: &str, local: &str, expected: &str| {
        let found = binds(shared, local).unwrap_err();
        assert!(
            found.len() == 1 && found[0].starts_with(expected),
            "{expected}: {found:?}"
        );
    };
    refused(
        &two,
        &own("[{ bind: 127.0.0.1:1 }]"),
        "local.yaml:2:13 missing-key",
    );
    refused(
        &one,
        &own("[{ name: x, bind: 127.0.0.1:1 }]"),
        "local.yaml:2:21 unknown-listener",
    );
    // A conflict between a shared address and an own one names both.
    refused(
        &two,
        &own("[{ name: x, bind: 0.0.0.0:81 }]"),
        "a.yaml:1:52 duplicate-name",
    );
}
