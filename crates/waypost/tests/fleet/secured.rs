//! TLS and users of etcd, through the binary.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use crate::cluster::{Cluster, Setup, expired};
use crate::fleet::CONFIG;
use crate::instance::Instance;
use crate::support::command::{Output, output, repository, waypost_in};
use crate::support::gateway::Gateway;
use crate::support::tls::{Authority, Pair};
use crate::wait::{wait_for, wait_or_else};

/// The prefix of the roles that the docs make.
const PRODUCTION: &str = "/waypost/prod";

/// The config of instances that are started by a URL.
fn config() -> String {
    format!(
        "admin: {{ bind: 127.0.0.1:0 }}\nworkers: 1\n{}",
        CONFIG.replacen("127.0.0.1:1", "127.0.0.1:0", 1)
    )
}

/// A cluster with TLS, users and the roles of the docs.
fn secured(authority: &Authority) -> Cluster {
    let mut cluster = Cluster::start_as(&Setup {
        authority: Some(authority),
        ..Setup::default()
    });
    make_roles(&cluster).expect(0);
    cluster.user = Some("root:r".to_owned());
    cluster
}

/// Makes the users and roles of the docs.
fn make_roles(cluster: &Cluster) -> Output {
    output(
        Command::new("sh")
            .arg(repository().join("examples/fleet/roles.sh"))
            .envs(cluster.variables())
            .env("ROOT_PASSWORD", "r")
            .env("GATEWAY_PASSWORD", "g")
            .env("INSTANCE_PASSWORD", "i")
            .env("READER_PASSWORD", "b"),
    )
}

/// Writes what a client shows and trusts to a directory, and the users.
fn place(directory: &Path, ca: &str, client: &Pair) {
    for (file, text) in [
        ("ca.pem", ca),
        ("client.pem", &client.cert),
        ("client.key", &client.key),
        ("waypost", "waypost:g\n"),
        ("instance", "waypost-instance:i\n"),
        ("reader", "waypost-reader:b\n"),
        ("wrong", "waypost:guess\n"),
    ] {
        fs::write(directory.join(file), text).unwrap();
    }
}

/// The options for all that [`place`] has written, and a user.
fn options(user: &str) -> [&str; 8] {
    [
        "--ca",
        "ca.pem",
        "--cert",
        "client.pem",
        "--key",
        "client.key",
        "--user-file",
        user,
    ]
}

/// An instance that is started by a URL.
fn instance(authority: &Authority, url: &str, user: &str) -> Instance {
    let directory = tempfile::tempdir().unwrap();
    place(directory.path(), authority.pem(), &authority.issue(&["waypost"]));
    let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
    command
        .args(["run", url])
        .args(options(user))
        .stdin(Stdio::null());
    let path = directory.path().join("none");
    Instance::of(Gateway::by(command, None, directory, path), Vec::new())
}

#[test]
fn instances_show_certificates_and_obey_what_their_roles_allow() {
    let authority = Authority::new();
    let mut cluster = secured(&authority);
    // The users may what the docs say, and nothing else.
    cluster.user = Some("waypost-reader:b".to_owned());
    let key = format!("{PRODUCTION}/config/waypost.yaml");
    assert_ne!(cluster.try_etcdctl(&["put", &key, "x"]).code, 0);
    cluster.user = Some("waypost:g".to_owned());
    assert_ne!(cluster.try_etcdctl(&["put", "/other", "x"]).code, 0);
    cluster.etcdctl(&["put", &key, &config()]);
    let members = cluster.endpoints();
    let one = instance(&authority, &format!("etcd://{members}{PRODUCTION}"), "waypost");
    let two = instance(&authority, &format!("https://{members}{PRODUCTION}"), "waypost");
    one.wait_for_hello("one");
    two.wait_for_hello("one");
    one.wait_until_well(2);
    two.wait_until_well(2);
    let applied = two.apply_if(&config().replace("one", "two"), "*");
    assert_eq!(applied.status(), 200, "{}", applied.text());
    one.wait_for_hello("two");
    assert_eq!(one.dial(30).status(), 200);
    two.wait_for_weight(30);

    // One that may only read obeys, and changes nothing.
    let reader = instance(&authority, &format!("https://{members}{PRODUCTION}"), "reader");
    reader.wait_for_hello("two");
    reader.wait_for_weight(30);
    let status = wait_for("a status that needs attention", || {
        let status = reader.gateway.command(&["status"]);
        let named = format!("etcd: permission denied: write {PRODUCTION}/instances/");
        status.stdout.contains(&named).then_some(status)
    });
    assert_eq!(status.code, 1, "{}", status.stdout);
    let refused = reader.dial(40);
    assert_eq!(refused.status(), 403, "{}", refused.text());
    let named = format!("etcd: permission denied: write {PRODUCTION}/dials/split");
    assert!(refused.text().contains(&named), "{}", refused.text());
    let refused = reader.apply_if(&config().replace("one", "three"), "*");
    assert_eq!(refused.status(), 403, "{}", refused.text());
    let named = format!("etcd: permission denied: write {PRODUCTION}/config/waypost.yaml");
    assert!(refused.text().contains(&named), "{}", refused.text());
    assert_eq!(one.dial(31).status(), 200);
    reader.wait_for_weight(31);

    let directory = tempfile::tempdir().unwrap();
    place(directory.path(), authority.pem(), &authority.issue(&["waypost"]));
    let from = format!("https://{members}{PRODUCTION}");
    let export = [&["export", "out", "--from", &from][..], &options("reader")].concat();
    waypost_in(directory.path(), &export).expect(0);
    let text = fs::read_to_string(directory.path().join("out/waypost.yaml")).unwrap();
    assert_eq!(text, config().replace("one", "two"));
}

#[test]
fn instances_that_only_read_the_config_leave_it_to_operators() {
    let authority = Authority::new();
    let mut cluster = secured(&authority);
    let key = format!("{PRODUCTION}/config/waypost.yaml");
    cluster.user = Some("waypost-instance:i".to_owned());
    assert_ne!(cluster.try_etcdctl(&["put", &key, "x"]).code, 0);
    cluster.user = Some("waypost:g".to_owned());
    cluster.etcdctl(&["put", &key, &config()]);
    let url = format!("https://{}{PRODUCTION}", cluster.endpoints());
    let one = instance(&authority, &url, "instance");
    let two = instance(&authority, &url, "instance");
    for instance in [&one, &two] {
        instance.wait_for_hello("one");
        instance.wait_until_well(2);
    }
    let refused = one.apply_if(&config().replace("one", "two"), "*");
    assert_eq!(refused.status(), 403, "{}", refused.text());
    let named = format!("etcd: permission denied: write {key}");
    assert!(refused.text().contains(&named), "{}", refused.text());
    // The leader makes a revision of what an operator puts.
    cluster.etcdctl(&["put", &key, &config().replace("one", "three")]);
    for instance in [&one, &two] {
        instance.wait_for_hello("three");
    }
    wait_for("the second revision", || {
        let fleet = one.gateway.admin_json("/api/v1/fleet");
        (fleet["revision"] == 2).then_some(())
    });
    assert_eq!(two.dial(30).status(), 200);
    one.wait_for_weight(30);
    for drained in [true, false] {
        assert_eq!(one.drain("a", drained).status(), 200);
    }
    one.wait_until_well(2);
    two.wait_until_well(2);
}

/// A name, the authority and the client's certificate, the options, the address, and a part of the error.
type Case<'a> = (&'a str, &'a str, &'a Pair, &'a [&'a str], &'a str, &'a str);

#[test]
fn mistakes_on_the_way_to_etcd_are_told() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let cluster = secured(&authority);
    let members = cluster.endpoints();
    cluster.etcdctl(&["put", &format!("{PRODUCTION}/config/waypost.yaml"), &config()]);
    let good = authority.issue(&["waypost"]);
    let url = |prefix: &str| format!("https://{members}{prefix}");
    let all = options("waypost");
    let [wrong, reader] = [options("wrong"), options("reader")];
    let strange = stranger.issue(&["waypost"]);
    let past = expired(&authority, "waypost");
    let (ca, other) = (authority.pem(), stranger.pem());
    let prod = url(PRODUCTION);
    let [foreign, plain] = [url("/waypost/test"), format!("etcd://{members}{PRODUCTION}")];
    let without = ["--ca", "ca.pem", "--user-file", "waypost"];
    let cases: [Case<'_>; 7] = [
        ("authority", other, &good, &all, &prod, "invalid peer certificate"),
        ("certificate", ca, &strange, &all, &prod, "certificate"),
        ("time", ca, &past, &all, &prod, "certificate"),
        ("password", ca, &good, &wrong, &prod, "authentication failed"),
        (
            "permission",
            ca,
            &good,
            &reader,
            &foreign,
            "permission denied: read /waypost/test/",
        ),
        ("no certificate", ca, &good, &without, &prod, "certificate"),
        (
            "no tls",
            ca,
            &good,
            &without[2..],
            &plain,
            "etcd is unavailable: 127.0.0.1:",
        ),
    ];
    thread::scope(|scope| {
        for (what, ca, client, options, from, expected) in cases {
            scope.spawn(move || {
                let directory = tempfile::tempdir().unwrap();
                place(directory.path(), ca, client);
                let export = [&["export", "out", "--from", from][..], options].concat();
                let fails = || waypost_in(directory.path(), &export).expect(2).stderr;
                // A member that refuses a certificate also ends the connection, which may come first.
                wait_or_else(
                    what,
                    || fails().to_lowercase().contains(expected).then_some(()),
                    fails,
                );
                assert!(!directory.path().join("out").exists(), "{what}");
            });
        }
    });
    // A gateway says the same for as long as it lasts.
    let directory = tempfile::tempdir().unwrap();
    place(directory.path(), stranger.pem(), &good);
    let path = directory.path().join("local.yaml");
    let endpoints = cluster.endpoints();
    let local = format!(
        "source: {{ etcd: {{ endpoints: [{endpoints}], prefix: {PRODUCTION}, tls: {{ ca: ca.pem, cert: client.pem, \
         key: client.key }}, user_file: waypost }} }}\nadmin: {{ bind: 127.0.0.1:0 }}\n",
    );
    fs::write(&path, local).unwrap();
    let gateway = Gateway::run(directory, path, &[]);
    gateway.wait_for_part("etcd is away: ");
    for command in ["fleet", "status"] {
        let told = gateway.command(&[command]).expect(1);
        assert!(
            told.stdout.contains("invalid peer certificate"),
            "{command}: {}",
            told.stdout
        );
    }
}

#[test]
fn members_whose_certificates_have_expired_are_not_trusted() {
    let authority = Authority::new();
    let cluster = Cluster::start_as(&Setup {
        authority: Some(&authority),
        has_expired: true,
        ..Setup::default()
    });
    let directory = tempfile::tempdir().unwrap();
    place(directory.path(), authority.pem(), &authority.issue(&["waypost"]));
    let from = format!("https://{}{PRODUCTION}", cluster.endpoints());
    let export = [&["export", "out", "--from", &from][..], &options("waypost")[..6]].concat();
    let failed = waypost_in(directory.path(), &export).expect(2);
    assert!(
        failed.stderr.to_lowercase().contains("expired"),
        "{}",
        failed.stderr
    );
}
