//! Changing a config while it serves: however the change comes, it is in force soon; what is broken changes
//! nothing and says so; and nobody who is connected notices.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};

use rustix::process::Signal;

use crate::support::client::{Client, get};
use crate::support::gateway::{Gateway, LISTENER};
use crate::support::service::{Service, ok};

/// A config that answers everything with this text.
fn saying(text: &str) -> String {
    format!("{LISTENER}{}", route_saying("all", text))
}

fn route_saying(name: &str, text: &str) -> String {
    format!(
        "routes: [{{ name: {name}, match: {{ path: /{name}/* }}, respond: {{ status: 200, body: \"{text}\" }} }}]\n"
    )
}

fn said(gateway: &Gateway) -> String {
    gateway.get("http://a/all").text()
}

/// A gateway whose config is `waypost.yaml` in a directory that `prepare` fills.
fn with_directory(prepare: impl FnOnce(&Path)) -> Gateway {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config");
    fs::create_dir(&config).unwrap();
    prepare(&config);
    Gateway::run(directory, config, &[])
}

#[test]
fn a_file_that_is_written_in_place_is_taken_over() {
    let gateway = Gateway::with(saying("one"));
    assert_eq!(said(&gateway), "one");
    for (revision, text) in [(2, "two"), (3, "three"), (4, "a longer text than before")] {
        gateway.rewrite(saying(text));
        gateway.wait_for_revision(revision);
        assert_eq!(said(&gateway), text);
    }
}

#[test]
fn a_file_that_is_renamed_into_place_is_taken_over() {
    let gateway = Gateway::with(saying("one"));
    for (revision, text) in [(2, "two"), (3, "three")] {
        gateway.replace(saying(text));
        gateway.wait_for_revision(revision);
        assert_eq!(said(&gateway), text);
    }
}

/// Kubernetes mounts a ConfigMap as links: `waypost.yaml` → `..data/waypost.yaml`, `..data` → a directory with
/// a name of its own, and changes it by renaming a new link over `..data`.
#[test]
fn a_config_map_is_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().to_owned();
    let put = |version: &str, text: &str| {
        fs::create_dir(root.join(version)).unwrap();
        fs::write(root.join(version).join("waypost.yaml"), saying(text)).unwrap();
        let beside = root.join("..data_tmp");
        symlink(version, &beside).unwrap();
        fs::rename(&beside, root.join("..data")).unwrap();
    };
    put("..2026_1", "one");
    symlink("..data/waypost.yaml", root.join("waypost.yaml")).unwrap();
    let gateway = Gateway::run(directory, root.join("waypost.yaml"), &[]);
    for (revision, text) in [(2, "two"), (3, "three")] {
        put(&format!("..2026_{revision}"), text);
        fs::remove_dir_all(root.join(format!("..2026_{}", revision - 1))).unwrap();
        gateway.wait_for_revision(revision);
        assert_eq!(said(&gateway), text);
    }
}

#[test]
fn a_directory_behind_a_link_is_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().to_owned();
    for (version, text) in [("one", "one"), ("two", "two")] {
        fs::create_dir(root.join(version)).unwrap();
        fs::write(root.join(version).join("a.yaml"), saying(text)).unwrap();
    }
    symlink("one", root.join("current")).unwrap();
    let gateway = Gateway::run(directory, root.join("current"), &[]);
    assert_eq!(said(&gateway), "one");
    symlink("two", root.join("next")).unwrap();
    fs::rename(root.join("next"), root.join("current")).unwrap();
    gateway.wait_for_revision(2);
    assert_eq!(said(&gateway), "two");
}

#[test]
fn sighup_reads_the_config_again() {
    let gateway = Gateway::with(saying("one"));
    gateway.signal(Signal::HUP);
    // Whoever asks gets an answer, also when nothing has changed.
    gateway.wait_for("revision ");
    assert_eq!(said(&gateway), "one");
    gateway.rewrite("routes: [");
    gateway.signal(Signal::HUP);
    gateway.wait_for_part("stays in force");
    assert_eq!(said(&gateway), "one");
}

#[test]
fn what_is_broken_changes_nothing_and_says_where() {
    let broken = [
        ("routes: [", "error"),
        ("", "error"),
        ("listeners: [{ bind: 127.0.0.1:0 }]\nrutes: []\n", "`rutes`"),
        (
            &saying("x").replace("respond: { status: 200, body: \"x\" }", "to: nobody"),
            "`nobody`",
        ),
        (
            &format!(
                "{}tests: [{{ request: GET /all, expect: {{ status: 201 }} }}]\n",
                saying("x")
            ),
            "not 201",
        ),
    ];
    for (text, expected) in broken {
        let gateway = Gateway::with(saying("one"));
        gateway.rewrite(text);
        gateway.wait_for_place(expected);
        gateway.wait_for("waypost: revision 1 stays in force");
        assert_eq!(said(&gateway), "one");
        // Mended, it is taken over.
        gateway.rewrite(saying("two"));
        gateway.wait_for_revision(2);
        assert_eq!(said(&gateway), "two");
    }
}

#[test]
fn a_config_that_passes_its_tests_is_taken_over() {
    let gateway = Gateway::with(saying("one"));
    gateway.rewrite(format!(
        "{}tests: [{{ request: GET /all, expect: {{ route: all, status: 200 }} }}]\n",
        saying("two")
    ));
    gateway.wait_for_revision(2);
    assert_eq!(said(&gateway), "two");
}

#[test]
fn a_file_that_disappears_keeps_the_last_config() {
    let gateway = Gateway::with(saying("one"));
    fs::remove_file(gateway.config()).unwrap();
    gateway.wait_for("waypost: revision 1 stays in force");
    assert!(gateway.said().iter().any(|line| line.contains("waypost.yaml")));
    assert_eq!(said(&gateway), "one");
    gateway.rewrite(saying("two"));
    gateway.wait_for_revision(2);
    assert_eq!(said(&gateway), "two");
}

#[test]
fn listeners_come_and_go_while_others_stay() {
    let bind = |names: &[&str]| {
        let listeners: Vec<String> = names
            .iter()
            .map(|name| format!("{{ name: {name}, bind: 127.0.0.1:0 }}"))
            .collect();
        format!(
            "listeners: [{}]\nworkers: 1\n{}",
            listeners.join(", "),
            route_saying("all", "here")
        )
    };
    let reaches = |address: SocketAddr| {
        Client::try_connect(address)
            .ok()
            .and_then(|mut client| client.try_answer_to(&get("http://a/all")))
            .is_some_and(|answer| answer.text() == "here")
    };
    let gateway = Gateway::with(bind(&["a"]));
    let first = gateway.address();
    let mut connected = gateway.connect();
    connected.get("http://a/all");

    gateway.rewrite(bind(&["a", "b"]));
    gateway.wait_for_revision(2);
    let announced = gateway.announced();
    assert_eq!(announced.len(), 2, "the one that stays is not announced again");
    let second = announced[1];
    assert!(reaches(first) && reaches(second));
    let mut leaving = Client::connect(second);
    leaving.get("http://a/all");

    gateway.rewrite(bind(&["a"]));
    gateway.wait_for_revision(3);
    leaving.assert_closed();
    assert!(reaches(first));
    assert!(!reaches(second));
    // The listener that stayed kept its socket, and its clients.
    assert_eq!(connected.get("http://a/all").text(), "here");
}

#[test]
fn a_listener_that_cannot_bind_refuses_the_change() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Gateway::with(saying("one"));
    let more = format!(
        "listeners: [{{ bind: 127.0.0.1:0 }}, {{ bind: {} }}]",
        taken.local_addr().unwrap()
    );
    gateway.rewrite(saying("two").replace("listeners: [{ bind: 127.0.0.1:0 }]", &more));
    gateway.wait_for("waypost: revision 1 stays in force");
    assert_eq!(said(&gateway), "one");
}

#[test]
fn a_listeners_settings_change_without_a_new_socket() {
    let gateway = Gateway::with(saying("one"));
    let mut client = gateway.connect();
    assert_eq!(client.get("http://a/all").status(), 200);
    gateway.rewrite(saying("one").replace("bind: 127.0.0.1:0", "bind: 127.0.0.1:0, hosts: [b]"));
    gateway.wait_for_revision(2);
    assert_eq!(client.get("http://a/all").status(), 404);
    assert_eq!(client.get("http://b/all").status(), 200);
    assert_eq!(gateway.announced().len(), 1);
}

#[test]
fn a_keep_alive_connection_follows_the_new_rules() {
    let gateway = Gateway::with(saying("one"));
    let mut client = gateway.connect();
    assert_eq!(client.get("http://a/all").text(), "one");
    gateway.rewrite(saying("two"));
    gateway.wait_for_revision(2);
    assert_eq!(client.get("http://a/all").text(), "two");
}

#[test]
fn a_request_in_flight_ends_under_the_rules_it_began_with() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let service = Service::scripted(move |talk| {
        while talk.request().is_some() {
            let _ = wait.lock().unwrap().recv();
            talk.send(ok("old"));
        }
    });
    let gateway = Gateway::with(format!(
        "{LISTENER}debug_headers: true\nservices: {{ s: {{ endpoints: [\"{}\"] }} }}\nroutes:\n  \
         - {{ name: all, to: s, response_headers: {{ set: {{ x-rules: old }} }} }}\n",
        service.url()
    ));
    let mut client = gateway.connect();
    client.send(get("http://a/slow"));
    service.wait_for("/slow");
    gateway.rewrite(saying("new"));
    gateway.wait_for_revision(2);
    go.send(()).unwrap();
    let answer = client.answer();
    assert_eq!(
        (answer.text().as_str(), answer.header("x-rules")),
        ("old", Some("old"))
    );
    assert_eq!(answer.header("x-waypost-revision"), Some("1"));
    assert_eq!(client.get("http://a/all").text(), "new");
}

#[test]
fn connections_to_unchanged_services_are_kept() {
    let service = Service::echo("a");
    let config = |route: &str| {
        format!(
            "{LISTENER}services: {{ a: {{ endpoints: [\"{}\"] }} }}\nroutes: [{{ name: {route}, to: a }}]\n",
            service.url()
        )
    };
    let gateway = Gateway::with(config("one"));
    gateway.get("http://a/");
    gateway.rewrite(config("two"));
    gateway.wait_for_revision(2);
    gateway.get("http://a/");
    assert_eq!(service.connections(), 1);
}

#[test]
fn a_service_that_moves_is_asked_at_its_new_place() {
    let (before, after) = (Service::echo("before"), Service::echo("after"));
    let config = |service: &Service| {
        format!(
            "{LISTENER}services: {{ s: {{ endpoints: [\"{}\"] }} }}\nroutes: [{{ name: all, to: s }}]\n",
            service.url()
        )
    };
    let gateway = Gateway::with(config(&before));
    let mut client = gateway.connect();
    assert_eq!(client.get("http://a/").json()["service"], "before");
    gateway.rewrite(config(&after));
    gateway.wait_for_revision(2);
    assert_eq!(client.get("http://a/").json()["service"], "after");
}

#[test]
fn in_a_directory_a_broken_file_keeps_its_last_good_version() {
    let gateway = with_directory(|directory| {
        fs::write(directory.join("00-listeners.yaml"), LISTENER).unwrap();
        fs::write(directory.join("a.yaml"), route_saying("a", "a1")).unwrap();
        fs::write(directory.join("b.yml"), route_saying("b", "b1")).unwrap();
        fs::write(directory.join(".hidden.yaml"), "nonsense: [").unwrap();
        fs::write(directory.join("notes.txt"), "nonsense: [").unwrap();
    });
    let both = || ["a", "b"].map(|name| gateway.get(&format!("http://x/{name}")).text());
    assert_eq!(both(), ["a1", "b1"]);
    // Both change; one of them is broken.
    let beside = gateway.directory().join("a.new");
    fs::write(gateway.config().join("b.yml"), "routes: [").unwrap();
    gateway.wait_for_part("b.yml:1:");
    fs::write(&beside, route_saying("a", "a2")).unwrap();
    fs::rename(&beside, gateway.config().join("a.yaml")).unwrap();
    gateway.wait_for_revision(2);
    assert_eq!(both(), ["a2", "b1"]);
    // Mended.
    fs::write(gateway.config().join("b.yml"), route_saying("b", "b2")).unwrap();
    gateway.wait_for_revision(3);
    assert_eq!(both(), ["a2", "b2"]);
    // One more file, and one less.
    fs::write(gateway.config().join("c.yaml"), route_saying("c", "c1")).unwrap();
    gateway.wait_for_revision(4);
    assert_eq!(gateway.get("http://x/c").text(), "c1");
    fs::remove_file(gateway.config().join("c.yaml")).unwrap();
    gateway.wait_for_revision(5);
    assert_eq!(gateway.get("http://x/c").status(), 404);
}

#[test]
fn of_many_changes_the_last_one_is_in_force() {
    let gateway = Gateway::with(saying("0"));
    for number in 1..=50 {
        gateway.replace(saying(&number.to_string()));
    }
    // Some of them may have been taken over on the way; this one comes after all.
    gateway.replace(saying("last") + "debug_headers: true\n");
    gateway.signal(Signal::HUP);
    let mut revision = 2;
    while said(&gateway) != "last" {
        gateway.wait_for_revision(revision);
        revision += 1;
    }
}

#[test]
fn a_directory_with_a_broken_file_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.yaml"), saying("x")).unwrap();
    fs::write(directory.path().join("b.yaml"), "routes: [").unwrap();
    let path = directory.path().to_str().unwrap();
    let ended = crate::support::command::waypost_in(directory.path(), &["run", path]).expect(1);
    assert!(ended.stderr.contains("b.yaml:1:"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("listening"), "{}", ended.stderr);
}

#[test]
fn no_request_fails_while_the_config_changes_all_the_time() {
    const CHANGES_MIN: u32 = 12;
    const REQUESTS_MIN: usize = 500;
    let service = Service::echo("a");
    let config = |number: u32| {
        format!(
            "listeners: [{{ bind: 127.0.0.1:0 }}]\nworkers: 2\nservices: {{ a: {{ endpoints: [\"{}\"] }} }}\n\
             routes:\n  - {{ name: all, to: a }}\n  - {{ name: r{number}, match: {{ path: /r/{number} }}, to: a }}\n",
            service.url()
        )
    };
    let gateway = Gateway::with(config(1));
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for keeps in [true, true, false, false] {
            let (gateway, stop, asked) = (&gateway, &stop, &asked);
            scope.spawn(move || {
                let mut client = gateway.connect();
                while !stop.load(Ordering::Relaxed) {
                    if !keeps {
                        client = gateway.connect();
                    }
                    let answer = client.get("http://a/x");
                    if answer.status() != 200 || !answer.is_complete {
                        stop.store(true, Ordering::Relaxed);
                        panic!("{}", answer.head);
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut number = 2;
        while number <= CHANGES_MIN || asked.load(Ordering::Relaxed) < REQUESTS_MIN {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            gateway.replace(config(number));
            gateway.signal(Signal::HUP);
            gateway.wait_for_revision(number);
            number += 1;
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_pipe_in_the_place_of_the_config_is_complained_of_and_not_waited_for() {
    let mut gateway = Gateway::with(saying("one"));
    fs::remove_file(gateway.config()).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(gateway.config())
        .status()
        .unwrap();
    assert!(made.success());
    gateway.wait_for_part("it is not a file");
    assert_eq!(said(&gateway), "one");
    fs::remove_file(gateway.config()).unwrap();
    gateway.rewrite(saying("two"));
    gateway.wait_for_revision(2);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
}
