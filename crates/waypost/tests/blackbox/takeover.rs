//! `waypost upgrade`: another process takes over, and no request is lost; one that fails changes nothing.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::json;

use crate::support::client::{Client, get, request};
use crate::support::command::{output, waypost_in};
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::{self, Http2Client};
use crate::support::service::{Service, gate, ok};
use crate::support::{make_fifo, wait_for};

/// Two services behind a split, and a route to each alone.
fn split(one: &Service, two: &Service) -> Config {
    Config::new()
        .workers(2)
        .service(one, "")
        .service(two, "")
        .route("name: users, to: { a: 100, b: 0 }")
}

/// The config with a second listener.
fn with_listener(config: &Config, bind: SocketAddr) -> String {
    let text: &str = config.as_ref();
    text.replacen("services:", &format!("- {{ bind: {bind} }}\nservices:"), 1)
}

/// A gateway that can be upgraded, in front of one service.
fn replaceable() -> (Service, Gateway) {
    let service = Service::echo("a");
    let gateway = Gateway::replaceable(Config::new().workers(2).all_to(&service), &[]);
    (service, gateway)
}

/// Puts a shell script in place of the binary.
///
/// A process of its own writes it. A file that this one opens for writing is open in each process that another test starts
/// meanwhile, until that one runs its program; so long, the file is too busy to be run.
fn place_script(gateway: &Gateway, script: &str) {
    let write = "printf %s \"$1\" >waypost.script && chmod 755 waypost.script && mv waypost.script waypost";
    let text = format!("#!/bin/sh\n{script}\n");
    let mut shell = Command::new("sh");
    shell
        .args(["-c", write, "sh", &text])
        .current_dir(gateway.directory());
    output(&mut shell).expect(0);
}

/// A script that takes over up to a point, touches the file `there`, and exits once the pipe `on` is written to.
fn stops_after(words: &str) -> String {
    let lines = words.split(' ').map(|word| match word {
        "frozen" => "while read -r line <&0; do case $line in *frozen*) break;; esac; done".to_owned(),
        "yours" => "read -r line <&0".to_owned(),
        word => format!("echo '{{\"{word}\":{{}}}}' >&0"),
    });
    let lines: Vec<String> = lines.collect();
    format!(
        "{}\necho $$ >there.new; mv there.new there\nread -r line <on\nexit 7",
        lines.join("\n")
    )
}

/// Upgrades in the background, with a script that stops half-way.
fn upgrade_half_way<'g>(gateway: &'g Gateway, scope: &'g thread::Scope<'g, '_>, words: &str) {
    place_script(gateway, &stops_after(words));
    make_fifo(&gateway.directory().join("on"));
    scope.spawn(|| {
        let failed = gateway.command(&["upgrade"]).expect(1);
        assert!(
            failed
                .stderr
                .contains("the upgrade failed: the new process has ended: exit status: 7"),
            "{failed:?}"
        );
    });
    let there = gateway.directory().join("there");
    wait_for("the script", || there.exists().then_some(()));
}

/// Lets the script exit.
fn go_on(gateway: &Gateway) {
    fs::write(gateway.directory().join("on"), "\n").unwrap();
}

fn upgrade(gateway: &Gateway) {
    let upgraded = gateway.command(&["upgrade", "--format", "json"]).expect(0).json();
    assert_ne!(upgraded["pid"], upgraded["pid_before"]);
    assert_eq!(upgraded["pid"], gateway.admin_json("/api/v1/status")["pid"]);
    gateway.wait_for(&format!("process {},", upgraded["pid"]));
}

#[test]
fn another_process_takes_over_the_addresses() {
    let service = Service::echo("a");
    let mut gateway = Gateway::replaceable(Config::new().workers(2).all_to(&service), &["--pid-file", "pid"]);
    let pid_file = gateway.directory().join("pid");
    let pid = || {
        fs::read_to_string(&pid_file)
            .unwrap()
            .trim()
            .parse::<u32>()
            .unwrap()
    };
    let admin = gateway.admin_address();
    assert_eq!(pid(), gateway.id());
    let mut kept = gateway.connect();
    assert_eq!(kept.get("http://a/").status(), 200);

    let upgraded = gateway.command(&["upgrade"]).expect(0);
    assert!(upgraded.stdout.starts_with("upgraded: process "), "{upgraded:?}");
    let successor = gateway.admin_json("/api/v1/status")["pid"].as_u64().unwrap();
    gateway.wait_for(&format!("process {successor},"));
    assert_eq!(gateway.takeovers(), [u32::try_from(successor).unwrap()]);
    assert_eq!(pid(), u32::try_from(successor).unwrap());
    assert_eq!(gateway.admin_address(), admin, "the admin API is where it was");
    let addresses = gateway.announced();
    assert_eq!(addresses[0], addresses[1], "port 0 is the same port");

    drop(kept);
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    assert_eq!(
        pid(),
        u32::try_from(successor).unwrap(),
        "the file is not the old process's any more"
    );
    assert_eq!(gateway.get("http://a/").status(), 200);

    // The new process can be upgraded as well, by the signal too.
    upgrade(&gateway);
    let third = gateway.takeovers()[1];
    let id = Pid::from_raw(i32::try_from(third).unwrap()).unwrap();
    kill_process(id, Signal::USR2).unwrap();
    wait_for("the third upgrade", || {
        (gateway.takeovers().len() == 3).then_some(())
    });
    assert_eq!(gateway.get("http://a/").status(), 200);
    wait_for("the new id", || (pid() == gateway.takeovers()[2]).then_some(()));
}

#[test]
fn connections_from_before_are_served_once_more_and_told_to_go() {
    let (_service, gateway) = replaceable();
    // One that says nothing for two seconds is closed.
    wait_for("a last response", || {
        let mut kept = gateway.connect();
        assert_eq!(kept.get("http://a/").status(), 200);
        upgrade(&gateway);
        let last = kept.try_ask(&get("http://a/"))?;
        assert_eq!((last.status(), last.header("connection")), (200, Some("close")));
        kept.assert_closed();
        Some(())
    });
}

#[test]
fn requests_in_flight_finish_in_the_process_that_took_them() {
    let (opener, gate) = gate();
    let service = Service::scripted(move |talk| {
        while talk.request().is_some() {
            gate.wait();
            talk.send(ok("done"));
        }
    });
    let mut gateway = Gateway::replaceable(
        Config::new()
            .service(&service, "")
            .route("name: slow, match: { path: /slow }, to: service"),
        &[],
    );
    let mut client = gateway.connect();
    client.send(get("http://a/slow"));
    service.wait_for("/slow");
    upgrade(&gateway);
    assert_eq!(
        gateway.get("http://a/unknown").status(),
        404,
        "others are served meanwhile"
    );
    assert!(gateway.is_alive());
    opener.open();
    let response = client.response();
    assert_eq!(
        (response.text().as_str(), response.header("connection")),
        ("done", Some("close"))
    );
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}

#[test]
fn a_binary_that_is_bad_changes_nothing() {
    let (_service, mut gateway) = replaceable();
    let program = gateway.directory().join("waypost");
    let mut kept = gateway.connect();
    kept.get("http://a/");
    let mut fails = |place: &dyn Fn(&Gateway), why: &str| {
        place(&gateway);
        let failed = gateway.command(&["upgrade"]).expect(1);
        assert!(
            failed.stderr.starts_with("waypost: the upgrade failed: "),
            "{failed:?}"
        );
        assert!(failed.stderr.contains(why), "{failed:?}");
        let status = gateway.admin_json("/api/v1/status");
        assert_eq!(status["pid"], gateway.id());
        assert_eq!(
            (&status["ok"], &status["upgrading"]),
            (&json!(true), &json!(false))
        );
        let message = status["failed_upgrade"]["message"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
        gateway.wait_for_part("; this process goes on");
        assert_eq!(
            kept.get("http://a/").header("connection"),
            None,
            "connections stay open"
        );
        assert_eq!(gateway.get("http://a/").status(), 200);
    };
    fails(
        &|gateway| place_script(gateway, "exit 3"),
        "the new process has ended: exit status: 3",
    );
    fails(
        &|gateway| place_script(gateway, "echo hello >&0; read -r line"),
        "does not speak as expected",
    );
    fails(
        &|gateway| place_script(gateway, "kill -SEGV $$"),
        "the new process has ended: signal: 11",
    );
    fails(&|_| fs::remove_file(&program).unwrap(), "No such file");
    fails(
        &|_| fs::write(&program, "no program").unwrap(),
        "cannot be started",
    );
    let shown = gateway.command(&["status"]).expect(0);
    assert!(shown.stdout.contains("failed: "), "{shown:?}");

    // With the right binary in its place, the next one succeeds.
    fs::remove_file(&program).unwrap();
    // By a process of its own, as a script is.
    output(
        Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_waypost"))
            .arg(&program),
    )
    .expect(0);
    upgrade(&gateway);
    // That process was started by a file, which is replaced under its feet.
    fs::remove_file(&program).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_waypost"), &program).unwrap();
    upgrade(&gateway);
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}

#[test]
fn a_config_that_is_bad_changes_nothing() {
    let (service, gateway) = replaceable();
    let answer = gateway.body();
    // The running process refuses it as well, and goes on with the one before.
    gateway.rewrite("listeners: [{ bind: nonsense }]\n");
    gateway.wait_for_part("the change is refused");
    let failed = gateway.command(&["upgrade"]).expect(1);
    let place = format!("{}:1:", gateway.config().display());
    assert!(
        failed.stderr.contains(&place),
        "the place of the error: {failed:?}"
    );
    assert!(failed.stderr.contains("the upgrade failed: "), "{failed:?}");
    assert_eq!(gateway.body(), answer);

    // An address that is taken is found out before clients are touched.
    // No other test binds this address, so its port stays free once it is freed.
    let taken = std::net::TcpListener::bind("127.83.12.8:0").unwrap();
    let address = taken.local_addr().unwrap();
    gateway.rewrite(with_listener(&Config::new().workers(2).all_to(&service), address));
    gateway.wait_for_part("cannot listen on");
    let failed = gateway.command(&["upgrade"]).expect(1);
    assert!(
        failed.stderr.contains(&format!("cannot listen on {address}")),
        "{failed:?}"
    );
    assert_eq!(gateway.body(), answer);
    drop(taken);
    upgrade(&gateway);
    assert_eq!(Client::connect(address).get("http://a/").status(), 200);
}

#[test]
fn a_new_process_that_fails_half_way_gives_everything_back() {
    for words in ["prepared frozen", "prepared frozen take yours"] {
        let (one, two) = (Service::echo("a"), Service::echo("b"));
        let gateway = Gateway::replaceable(split(&one, &two), &[]);
        let all = json!({ "a": 0, "b": 1 });
        let mut kept = gateway.connect();
        kept.get("http://a/");
        thread::scope(|scope| {
            upgrade_half_way(&gateway, scope, words);
            // Nothing is stored that the new process would not see.
            assert_eq!(kept.get("http://a/").status(), 200);
            let mut waiting = gateway.connect();
            waiting.send(get("http://a/"));
            if words.ends_with("frozen") {
                let refused = gateway.dial("users", &all);
                assert_eq!(refused.status(), 503, "{}", refused.text());
                assert_eq!(gateway.admin("POST", "/api/v1/upgrade", "", "").status(), 409);
            }
            go_on(&gateway);
            assert_eq!(waiting.response().status(), 200, "it has waited in the queue");
        });
        assert_eq!(kept.get("http://a/").header("connection"), None);
        assert_eq!(
            gateway.dial("users", &all).status(),
            200,
            "the state is this process's again"
        );
        assert_eq!(gateway.get("http://a/").json()["service"], "b");
    }
}

#[test]
fn gateway_that_stops_ends_the_new_process() {
    let (_service, mut gateway) = replaceable();
    place_script(&gateway, &stops_after("prepared frozen"));
    make_fifo(&gateway.directory().join("on"));
    gateway.signal(Signal::USR2);
    let there = gateway.directory().join("there");
    let id = wait_for("the script", || fs::read_to_string(&there).ok());
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    let id = Pid::from_raw(id.trim().parse().unwrap()).unwrap();
    assert!(test_kill_process(id).is_err(), "the new process has gone");
}

#[test]
fn rollouts_go_on_where_they_were() {
    let (one, two) = (Service::echo("a"), Service::echo("b"));
    let gateway = Gateway::replaceable(split(&one, &two), &[]);
    let start = ["rollout", "start", "users", "--to", "b", "--steps", "25,100"];
    gateway.command(&start).expect(0);
    let rollout = || gateway.admin_json("/api/v1/routes/users/rollout");
    let before = rollout();
    upgrade(&gateway);
    let after = rollout();
    for key in ["state", "canary", "started", "percent"] {
        assert_ne!(before[key], json!(null), "{key}");
        assert_eq!(before[key], after[key], "{key}");
    }
    gateway.command(&["rollout", "abort", "users"]).expect(0);
}

#[test]
fn health_ejections_and_drains_change_hands() {
    let failing = |name: &str| {
        Service::named(name, |talk| {
            while talk.request().is_some() {
                talk.send("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n");
            }
        })
    };
    let (good, ejected, drained) = (
        Service::echo("good"),
        failing("ejected"),
        Service::echo("drained"),
    );
    let unhealthy = Service::refusing_as("unhealthy");
    let urls = [&good, &ejected, &drained, &unhealthy].map(Service::url);
    let endpoints: Vec<&str> = urls.iter().map(String::as_str).collect();
    let keys = "eject: { failures: 1, of: [5xx], for: 5m }, health: { tcp: true, interval: 1h, unhealthy: 1 }, panic: 0";
    let config = Config::new()
        .service_at("users", &endpoints, keys)
        .route("name: all, to: users");
    let gateway = Gateway::replaceable(config, &[]);
    gateway.command(&["drain", "users", &urls[2]]).expect(0);
    let states = || {
        let service = gateway.admin_json("/api/v1/services/users");
        let endpoints = service["endpoints"].as_array().unwrap().iter();
        let states = endpoints.map(|endpoint| {
            let address = &endpoint["addresses"][0];
            format!("{} {}", address["state"], address["reason"])
        });
        states.collect::<Vec<String>>()
    };
    wait_for("an ejection and the checks", || {
        gateway.get("http://a/");
        let states = states();
        let is = |index: usize, state: &str| states[index].contains(state);
        (is(0, "up") && is(1, "ejected") && is(2, "drained") && is(3, "down")).then_some(())
    });
    let before = states();
    upgrade(&gateway);
    assert_eq!(states(), before);
    for _ in 0..8 {
        assert_eq!(gateway.get("http://a/").json()["service"], "good");
    }
}

#[test]
fn dials_and_revisions_change_hands() {
    let (one, two) = (Service::echo("a"), Service::echo("b"));
    let gateway = Gateway::replaceable(split(&one, &two), &[]);
    assert_eq!(gateway.dial("users", &json!({ "a": 0, "b": 1 })).status(), 200);
    let before = gateway.admin_json("/api/v1/revisions");
    upgrade(&gateway);
    assert_eq!(gateway.get("http://a/").json()["service"], "b");
    assert_eq!(gateway.admin_json("/api/v1/revisions"), before);
    assert_eq!(gateway.dial("users", &json!({ "a": 1 })).status(), 200);
    upgrade(&gateway);
    assert_eq!(gateway.get("http://a/").json()["service"], "a");
    gateway.rewrite(split(&one, &two).route("name: other, match: { path: /x }, to: b"));
    gateway.wait_for_revision(2);
    upgrade(&gateway);
    assert_eq!(gateway.admin_json("/api/v1/status")["revision"], 2);
}

#[test]
fn a_change_that_waits_for_confirmation_comes_first() {
    let (service, gateway) = replaceable();
    let next = Config::new()
        .workers(2)
        .all_to(&service)
        .key("debug_headers: true");
    let text = format!("{next}admin: {{ bind: 127.0.0.1:0 }}\n");
    let fields = "Content-Type: application/yaml\r\nIf-Match: *\r\n";
    assert_eq!(
        gateway
            .admin("PUT", "/api/v1/config?confirm=60s", fields, &text)
            .status(),
        200
    );
    let refused = gateway.command(&["upgrade"]).expect(1);
    assert!(
        refused.stderr.contains("revision 2 waits for confirmation"),
        "{refused:?}"
    );
    gateway.command(&["confirm"]).expect(0);
    upgrade(&gateway);
    assert!(gateway.get("http://a/").header("x-waypost-revision").is_some());
}

#[test]
fn another_number_of_workers_takes_all_sockets() {
    let service = Service::echo("a");
    let config = |workers| Config::new().workers(workers).all_to(&service);
    let gateway = Gateway::replaceable(config(3), &[]);
    for workers in [1, 4, 2] {
        gateway.rewrite(config(workers));
        upgrade(&gateway);
        assert_eq!(gateway.admin_json("/api/v1/status")["workers"], workers);
        // The kernel gives connections to all sockets; one that no worker accepted on would keep some waiting.
        for _ in 0..64 {
            assert_eq!(gateway.get("http://a/").status(), 200);
        }
    }
    // A listener can be removed and added again.
    gateway.rewrite(with_listener(&config(2), "127.0.0.2:0".parse().unwrap()));
    wait_for("a second listener", || {
        (gateway.announced().len() == 5).then_some(())
    });
    gateway.rewrite(config(2));
    wait_for("its end", || {
        Client::try_connect(gateway.announced()[4]).is_err().then_some(())
    });
}

#[test]
fn the_admin_api_at_a_path_stays_there() {
    let service = Service::echo("a");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waypost.yaml");
    fs::write(
        &path,
        Config::new()
            .all_to(&service)
            .key("admin: { bind: \"unix:admin.sock\" }"),
    )
    .unwrap();
    let mut gateway = Gateway::run(directory, path, &[]);
    let ask = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["--admin", "unix:admin.sock", "--format", "json"]);
        waypost_in(gateway.directory(), &all).expect(0).json()
    };
    let upgraded = ask(&["upgrade"]);
    assert_eq!(upgraded["pid_before"], gateway.id());
    assert_eq!(ask(&["status"])["pid"], upgraded["pid"]);
    let address = gateway.address();
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    let ready = ["run", "--check-ready", "unix:admin.sock"];
    waypost_in(gateway.directory(), &ready).expect(0);
    assert_eq!(Client::connect(address).get("http://a/").status(), 200);
}

/// A client of an address, which asks after each response whether it goes on.
type ClientOf = fn(SocketAddr, &dyn Fn() -> bool);

/// Clients that send requests until they are told to stop, and count the responses.
struct Load {
    stop: Arc<AtomicBool>,
    counts: Arc<[AtomicUsize; 4]>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn on(address: SocketAddr) -> Self {
        let (stop, counts) = (
            Arc::new(AtomicBool::new(false)),
            Arc::<[AtomicUsize; 4]>::default(),
        );
        let clients: [ClientOf; 4] = [kept, posting, fresh, streaming];
        let clients = clients.into_iter().enumerate().map(|(index, client)| {
            let (stop, counts) = (Arc::clone(&stop), Arc::clone(&counts));
            thread::spawn(move || {
                client(address, &|| {
                    counts[index].fetch_add(1, Ordering::Relaxed);
                    !stop.load(Ordering::Relaxed)
                });
            })
        });
        let clients = clients.collect();
        Self {
            stop,
            counts,
            clients,
        }
    }

    /// Waits until every client has had some more responses.
    fn wait_for_more(&self) {
        let before: Vec<usize> = self
            .counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect();
        wait_for("more responses", || {
            let mut counts = self.counts.iter().zip(&before);
            let all = counts.all(|(count, before)| count.load(Ordering::Relaxed) > before + 3);
            let ended = self.clients.iter().any(JoinHandle::is_finished);
            (all || ended).then_some(())
        });
    }

    fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("a client that lost no request");
        }
    }
}

/// The time that a client may take for the next request, whatever happens. A machine that stands still makes it longer.
const PROMISED: Duration = Duration::from_secs(1);

/// One connection after the other, each for as long as the gateway keeps it.
fn on_connections(address: SocketAddr, request: &str, goes_on: &dyn Fn() -> bool) {
    loop {
        let mut client = Client::connect(address);
        let mut since = Instant::now();
        loop {
            let Some(response) = client.try_ask(request) else {
                assert!(since.elapsed() > PROMISED, "a request is lost");
                break;
            };
            assert_eq!(response.status(), 200, "{}", response.text());
            if !goes_on() {
                return;
            }
            since = Instant::now();
            if response.header("connection") == Some("close") {
                break;
            }
        }
    }
}

fn kept(address: SocketAddr, goes_on: &dyn Fn() -> bool) {
    on_connections(address, &get("http://a/"), goes_on);
}

fn posting(address: SocketAddr, goes_on: &dyn Fn() -> bool) {
    let post = format!("{}abc", request("POST", "http://a/", "Content-Length: 3\r\n"));
    on_connections(address, &post, goes_on);
}

fn fresh(address: SocketAddr, goes_on: &dyn Fn() -> bool) {
    let once = request("GET", "http://a/", "Connection: close\r\n");
    on_connections(address, &once, goes_on);
}

fn streaming(address: SocketAddr, goes_on: &dyn Fn() -> bool) {
    loop {
        let client = Http2Client::connect(address);
        let mut since = Instant::now();
        loop {
            // A stream that the gateway has not begun, as its GOAWAY says, is for the next connection.
            let mut stream = match client.try_open(http2::get("http://a/"), true) {
                Ok(stream) => stream,
                Err(_) => break,
            };
            match stream.response() {
                Ok(response) => assert_eq!(response.status(), 200, "{}", response.text()),
                Err(error) if error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR) => break,
                Err(error) if error.is_io() && since.elapsed() > PROMISED => break,
                Err(error) => panic!("{error:?}"),
            }
            if !goes_on() {
                return;
            }
            since = Instant::now();
        }
    }
}

#[test]
fn twenty_upgrades_lose_no_request() {
    let (_service, gateway) = replaceable();
    let load = Load::on(gateway.address());
    for _ in 0..20 {
        load.wait_for_more();
        upgrade(&gateway);
    }
    load.wait_for_more();
    load.finish();
    assert_eq!(gateway.takeovers().len(), 20);
}
