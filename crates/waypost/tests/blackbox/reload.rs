//! Reloads: changes of files and directories come into force, broken ones change nothing, and clients notice neither.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::Signal;

use crate::support::client::{Client, get};
use crate::support::config::{Config, route_file};
use crate::support::gateway::Gateway;
use crate::support::service::{Service, gate, ok};
use crate::support::{make_fifo, wait_for};

/// A config that responds to everything with this body.
fn responding(text: &str) -> Config {
    Config::new().all_respond(text)
}

/// A gateway whose config is a directory, filled by `prepare`.
fn with_directory(prepare: impl FnOnce(&Path)) -> Gateway {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config");
    fs::create_dir(&config).unwrap();
    prepare(&config);
    Gateway::run(directory, config, &[])
}

#[test]
fn file_written_in_place() {
    let gateway = Gateway::with(responding("one"));
    assert_eq!(gateway.body(), "one");
    for (revision, text) in [(2, "two"), (3, "three"), (4, "a longer text than before")] {
        gateway.rewrite(responding(text));
        gateway.wait_for_revision(revision);
        assert_eq!(gateway.body(), text);
    }
}

#[test]
fn file_renamed_into_place() {
    let gateway = Gateway::with(responding("one"));
    for (revision, text) in [(2, "two"), (3, "three")] {
        gateway.replace(responding(text));
        gateway.wait_for_revision(revision);
        assert_eq!(gateway.body(), text);
    }
}

/// Kubernetes mounts a ConfigMap as symlinks: `waypost.yaml` → `..data/waypost.yaml`, `..data` → a versioned directory.
/// It updates the map by renaming a new link over `..data`.
#[test]
fn kubernetes_config_map() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().to_owned();
    let put = |version: &str, text: &str| {
        fs::create_dir(root.join(version)).unwrap();
        fs::write(root.join(version).join("waypost.yaml"), responding(text)).unwrap();
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
        assert_eq!(gateway.body(), text);
    }
}

#[test]
fn directory_behind_a_symlink() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().to_owned();
    for (version, text) in [("one", "one"), ("two", "two")] {
        fs::create_dir(root.join(version)).unwrap();
        fs::write(root.join(version).join("a.yaml"), responding(text)).unwrap();
    }
    symlink("one", root.join("current")).unwrap();
    let gateway = Gateway::run(directory, root.join("current"), &[]);
    assert_eq!(gateway.body(), "one");
    symlink("two", root.join("next")).unwrap();
    fs::rename(root.join("next"), root.join("current")).unwrap();
    gateway.wait_for_revision(2);
    assert_eq!(gateway.body(), "two");
}

#[test]
fn sighup_reloads() {
    let gateway = Gateway::with(responding("one"));
    gateway.signal(Signal::HUP);
    // SIGHUP is acknowledged even if nothing has changed.
    gateway.wait_for("revision ");
    assert_eq!(gateway.body(), "one");
    gateway.rewrite("routes: [");
    gateway.signal(Signal::HUP);
    gateway.wait_for_part("stays in force");
    assert_eq!(gateway.body(), "one");
}

#[test]
fn broken_config_rejected_with_its_place() {
    let broken = [
        (Config::new().key("routes: ["), "error"),
        (Config::new().key("{"), "error"),
        (Config::new().key("rutes: []"), "`rutes`"),
        (Config::new().route("name: all, to: missing"), "`missing`"),
        (
            responding("x").test("request: GET /, expect: { status: 201 }"),
            "not 201",
        ),
    ];
    for (text, expected) in broken {
        let gateway = Gateway::with(responding("one"));
        gateway.rewrite(text);
        gateway.wait_for_place(expected);
        gateway.wait_for("waypost: revision 1 stays in force");
        assert_eq!(gateway.body(), "one");
        // The corrected file comes into force.
        gateway.rewrite(responding("two"));
        gateway.wait_for_revision(2);
        assert_eq!(gateway.body(), "two");
    }
}

#[test]
fn config_with_passing_tests() {
    let gateway = Gateway::with(responding("one"));
    gateway.rewrite(responding("two").test("request: GET /, expect: { route: all, status: 200 }"));
    gateway.wait_for_revision(2);
    assert_eq!(gateway.body(), "two");
}

#[test]
fn removed_file_keeps_the_running_config() {
    let gateway = Gateway::with(responding("one"));
    fs::remove_file(gateway.config()).unwrap();
    gateway.wait_for("waypost: revision 1 stays in force");
    assert!(gateway.said().iter().any(|line| line.contains("waypost.yaml")));
    assert_eq!(gateway.body(), "one");
    gateway.rewrite(responding("two"));
    gateway.wait_for_revision(2);
    assert_eq!(gateway.body(), "two");
}

#[test]
fn listeners_added_and_removed() {
    let bind = |listeners: &[&str]| Config::listening(listeners).all_respond("here");
    let reaches = |address: SocketAddr| {
        Client::try_connect(address)
            .ok()
            .and_then(|mut client| client.try_ask(&get("http://a/")))
            .is_some_and(|response| response.text() == "here")
    };
    let gateway = Gateway::with(bind(&["name: a"]));
    let first = gateway.address();
    let mut connected = gateway.connect();
    connected.get("http://a/");

    gateway.rewrite(bind(&["name: a", "name: b"]));
    gateway.wait_for_revision(2);
    let second = wait_for("a second listener", || gateway.announced().get(1).copied());
    assert_eq!(
        gateway.announced().len(),
        2,
        "the one that stays is not announced again"
    );
    assert!(reaches(first) && reaches(second));
    let mut leaving = Client::connect(second);
    leaving.get("http://a/");

    gateway.rewrite(bind(&["name: a"]));
    gateway.wait_for_revision(3);
    leaving.assert_closed();
    assert!(reaches(first));
    assert!(!reaches(second));
    // The other listener kept its socket and its clients.
    assert_eq!(connected.get("http://a/").text(), "here");
}

#[test]
fn unbindable_listener_refuses_reload() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Gateway::with(responding("one"));
    let address = taken.local_addr().unwrap();
    gateway.rewrite(Config::at(address).all_respond("two"));
    gateway.wait_for("waypost: revision 1 stays in force");
    assert_eq!(gateway.body(), "one");
}

#[test]
fn listener_settings_change_on_the_same_socket() {
    let gateway = Gateway::with(responding("one"));
    let mut client = gateway.connect();
    assert_eq!(client.get("http://a/").status(), 200);
    gateway.rewrite(Config::listening(&["hosts: [b]"]).all_respond("one"));
    gateway.wait_for_revision(2);
    assert_eq!(client.get("http://a/").status(), 404);
    assert_eq!(client.get("http://b/").status(), 200);
    assert_eq!(gateway.announced().len(), 1);
}

#[test]
fn keep_alive_connection_follows_the_new_routes() {
    let gateway = Gateway::with(responding("one"));
    let mut client = gateway.connect();
    assert_eq!(client.get("http://a/").text(), "one");
    gateway.rewrite(responding("two"));
    gateway.wait_for_revision(2);
    assert_eq!(client.get("http://a/").text(), "two");
}

#[test]
fn request_in_flight_keeps_its_snapshot() {
    let (opener, gate) = gate();
    let service = Service::scripted(move |talk| {
        while talk.request().is_some() {
            gate.wait();
            talk.send(ok("old"));
        }
    });
    let gateway = Gateway::with(
        Config::new()
            .key("debug_headers: true")
            .service(&service, "")
            .route("name: all, to: service, response_headers: { set: { x-rules: old } }"),
    );
    let mut client = gateway.connect();
    client.send(get("http://a/slow"));
    service.wait_for("/slow");
    gateway.rewrite(responding("new"));
    gateway.wait_for_revision(2);
    opener.open();
    let response = client.response();
    assert_eq!(
        (response.text().as_str(), response.header("x-rules")),
        ("old", Some("old"))
    );
    assert_eq!(response.header("x-waypost-revision"), Some("1"));
    assert_eq!(client.get("http://a/").text(), "new");
}

#[test]
fn reload_keeps_pools_of_unchanged_services() {
    let service = Service::echo("a");
    let config = |route: &str| {
        Config::new()
            .service(&service, "")
            .route(&format!("name: {route}, to: a"))
    };
    let gateway = Gateway::with(config("one"));
    gateway.get("http://a/");
    gateway.rewrite(config("two"));
    gateway.wait_for_revision(2);
    gateway.get("http://a/");
    assert_eq!(service.connections(), 1);
}

#[test]
fn changed_endpoint_takes_effect() {
    let (before, after) = (Service::echo("before"), Service::echo("after"));
    let config = |service: &Service| {
        Config::new()
            .service_at("s", &[&service.url()], "")
            .route("name: all, to: s")
    };
    let gateway = Gateway::with(config(&before));
    let mut client = gateway.connect();
    assert_eq!(client.get("http://a/").json()["service"], "before");
    gateway.rewrite(config(&after));
    gateway.wait_for_revision(2);
    assert_eq!(client.get("http://a/").json()["service"], "after");
}

#[test]
fn broken_file_in_a_directory_keeps_its_last_good_version() {
    let gateway = with_directory(|directory| {
        fs::write(directory.join("00-listeners.yaml"), Config::new()).unwrap();
        fs::write(directory.join("a.yaml"), route_file("a", "a1")).unwrap();
        fs::write(directory.join("b.yml"), route_file("b", "b1")).unwrap();
        fs::write(directory.join(".hidden.yaml"), "nonsense: [").unwrap();
        fs::write(directory.join("notes.txt"), "nonsense: [").unwrap();
    });
    let both = || ["a", "b"].map(|name| gateway.get(&format!("http://x/{name}")).text());
    assert_eq!(both(), ["a1", "b1"]);
    // Both files change, each in one step, as a file that is empty for a moment has no routes; one is broken.
    gateway.place("config/b.yml", "routes: [");
    gateway.wait_for_part("b.yml:1:");
    gateway.place("config/a.yaml", &route_file("a", "a2"));
    gateway.wait_for_revision(2);
    assert_eq!(both(), ["a2", "b1"]);
    // The broken file is corrected.
    gateway.place("config/b.yml", &route_file("b", "b2"));
    gateway.wait_for_revision(3);
    assert_eq!(both(), ["a2", "b2"]);
    // A file is added, then removed.
    gateway.place("config/c.yaml", &route_file("c", "c1"));
    gateway.wait_for_revision(4);
    assert_eq!(gateway.get("http://x/c").text(), "c1");
    fs::remove_file(gateway.config().join("c.yaml")).unwrap();
    gateway.wait_for_revision(5);
    assert_eq!(gateway.get("http://x/c").status(), 404);
}

#[test]
fn file_of_a_directory_with_comments_only() {
    let mut gateway = with_directory(|directory| {
        let listeners = Config::new().key("admin: { bind: 127.0.0.1:0 }");
        fs::write(directory.join("00-listeners.yaml"), listeners).unwrap();
        fs::write(directory.join("a.yaml"), route_file("a", "a1")).unwrap();
        fs::write(directory.join("b.yaml"), "# nothing yet\n").unwrap();
    });
    assert_eq!(gateway.get("http://x/a").text(), "a1");
    // The last route of a file is commented out, or the file emptied: its routes end.
    let mut revision = 1;
    for nothing in ["# routes: []\n", "", "---\n# nothing\n"] {
        gateway.place("config/a.yaml", nothing);
        revision += 1;
        gateway.wait_for_revision(revision);
        assert_eq!(gateway.get("http://x/a").status(), 404, "{nothing:?}");
        gateway.place("config/a.yaml", &route_file("a", "back"));
        revision += 1;
        gateway.wait_for_revision(revision);
        assert_eq!(gateway.get("http://x/a").text(), "back", "{nothing:?}");
    }
    // The next start, and `check`, take such a directory too.
    gateway.place("config/a.yaml", "# routes: []\n");
    gateway.wait_for_revision(revision + 1);
    gateway.kill();
    let path = gateway.config().to_str().unwrap().to_owned();
    let checked = crate::support::command::waypost_in(gateway.directory(), &["check", &path]).expect(0);
    assert!(!checked.stdout.contains("empty-file"), "{}", checked.stdout);
    let gateway = gateway.restarted();
    assert_eq!(gateway.get("http://x/a").status(), 404);
}

#[test]
fn directory_without_anything_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.yaml"), "# nothing\n").unwrap();
    fs::write(directory.path().join("b.yaml"), "").unwrap();
    for command in ["check", "run"] {
        let ended = crate::support::command::waypost_in(directory.path(), &[command, "."]).expect(1);
        let said = ended.stdout + &ended.stderr;
        assert!(said.contains("a.yaml:1:1: error[empty-file]"), "{said}");
    }
    // A single file has to be something by itself.
    for file in ["a.yaml", "b.yaml"] {
        let ended = crate::support::command::waypost_in(directory.path(), &["check", file]).expect(1);
        assert!(ended.stdout.contains("error[empty-file]"), "{}", ended.stdout);
    }
}

#[test]
fn last_of_many_changes_wins() {
    let gateway = Gateway::with(responding("0"));
    for number in 1..=50 {
        gateway.replace(responding(&number.to_string()));
    }
    // Some of the changes may have been applied; this one comes last.
    gateway.replace(responding("last").key("debug_headers: true"));
    gateway.signal(Signal::HUP);
    let mut revision = 2;
    while gateway.body() != "last" {
        gateway.wait_for_revision(revision);
        revision += 1;
    }
}

#[test]
fn broken_file_in_a_directory_refuses_start() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.yaml"), responding("x")).unwrap();
    fs::write(directory.path().join("b.yaml"), "routes: [").unwrap();
    let path = directory.path().to_str().unwrap();
    let ended = crate::support::command::waypost_in(directory.path(), &["run", path]).expect(1);
    assert!(ended.stderr.contains("b.yaml:1:"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("listening"), "{}", ended.stderr);
}

#[test]
fn no_request_fails_under_constant_reloads() {
    const CHANGES_MIN: u32 = 12;
    const REQUESTS_MIN: usize = 500;
    let service = Service::echo("a");
    let config = |number: u32| {
        Config::new()
            .workers(2)
            .all_to(&service)
            .route(&format!("name: r{number}, match: {{ path: /r/{number} }}, to: a"))
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
                    let response = client.get("http://a/x");
                    if response.status() != 200 || !response.is_complete {
                        stop.store(true, Ordering::Relaxed);
                        panic!("{}", response.head);
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
fn fifo_as_config_reported_without_blocking() {
    let mut gateway = Gateway::with(responding("one"));
    fs::remove_file(gateway.config()).unwrap();
    make_fifo(gateway.config());
    gateway.wait_for_part("it is not a file");
    assert_eq!(gateway.body(), "one");
    fs::remove_file(gateway.config()).unwrap();
    gateway.rewrite(responding("two"));
    gateway.wait_for_revision(2);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
}
