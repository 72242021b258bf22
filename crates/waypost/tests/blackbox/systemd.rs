//! The service manager: its sockets, and the messages that it gets; readiness for other supervisors.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use rustix::process::Signal;

use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::command::waypost_in;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::Service;
use crate::support::unix::front;

/// The last message of all, which a test sends.
const END: &str = "END";

/// A service manager that listens for messages.
struct Manager {
    address: SocketAddr,
    messages: Receiver<String>,
}

impl Manager {
    /// Messages are read as they come: of those that wait in a socket, the system keeps ten, and refuses more.
    fn at(socket: UnixDatagram) -> Self {
        let address = socket.local_addr().unwrap();
        let (sender, messages) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length) = socket.recv(&mut bytes) {
                let message = String::from_utf8_lossy(&bytes[..length]).into_owned();
                let is_last = message == END;
                if sender.send(message).is_err() || is_last {
                    break;
                }
            }
        });
        Self { address, messages }
    }

    /// The next message that is no sign of life.
    fn message(&self) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let message = self.next();
            if message != "WATCHDOG=1\n" {
                return message;
            }
            assert!(Instant::now() < until, "nothing but signs of life");
        }
    }

    fn next(&self) -> String {
        self.messages.recv_timeout(PATIENCE).expect("a message")
    }

    /// The rest of the messages that have been sent.
    fn rest(&self) -> String {
        let end = UnixDatagram::unbound().unwrap();
        end.send_to_addr(END.as_bytes(), &self.address).unwrap();
        let rest: Vec<String> = self
            .messages
            .iter()
            .take_while(|message| message != END)
            .collect();
        rest.concat()
    }
}

/// A gateway with these variables, on a config of its own.
fn gateway_with(config: Config, variables: &[(&str, String)]) -> Gateway {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waypost.yaml");
    fs::write(&path, config.key("admin: { bind: 127.0.0.1:0 }")).unwrap();
    let variables: Vec<(String, String)> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    Gateway::run(directory, path, &variables)
}

#[test]
fn manager_is_told_of_start_reload_and_stop() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let name = format!("waypost-test-{}-{:x}", std::process::id(), fastrand::u64(..));
    let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
    let sockets = [
        (UnixDatagram::bind(&path).unwrap(), path.display().to_string()),
        (
            UnixDatagram::bind_addr(&abstract_name).unwrap(),
            format!("@{name}"),
        ),
    ];
    for (socket, address) in sockets {
        let manager = Manager::at(socket);
        let config = Config::new().all_respond("hello");
        let mut gateway = gateway_with(config.clone(), &[("NOTIFY_SOCKET", address)]);
        assert_eq!(
            manager.message(),
            "READY=1\nSTATUS=revision 1: 1 listener, 0 services, 1 route, no tests\n"
        );
        gateway.signal(Signal::HUP);
        let reloading = manager.message();
        let time = reloading
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .expect(&reloading);
        assert!(time.lines().next().unwrap().parse::<u64>().unwrap() > 0);
        assert!(
            manager.message().starts_with("READY=1\nSTATUS=revision 1"),
            "nothing has changed"
        );
        gateway.signal(Signal::TERM);
        assert_eq!(gateway.wait().code(), Some(0));
        assert!(manager.message().starts_with("STOPPING=1\n"));
        assert_eq!(manager.rest(), "");
    }
}

#[test]
fn manager_is_told_of_a_changed_and_a_refused_config() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let manager = Manager::at(UnixDatagram::bind(&path).unwrap());
    let gateway = gateway_with(
        Config::new().all_respond("hello"),
        &[("NOTIFY_SOCKET", path.display().to_string())],
    );
    assert!(manager.message().starts_with("READY=1\n"));
    let until_ready = || {
        let first = manager.message();
        assert!(first.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{first}");
        let mut last = manager.message();
        while !last.starts_with("READY=1\n") {
            last = manager.message();
        }
        last
    };
    gateway.replace(Config::new().all_respond("changed").key(ADMIN));
    assert!(until_ready().contains("revision 2"));
    gateway.replace("nonsense");
    assert!(
        until_ready().contains("revision 2"),
        "the config before stays in force"
    );
}

#[test]
fn manager_is_told_that_the_gateway_is_alive() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let manager = Manager::at(UnixDatagram::bind(&path).unwrap());
    let variables = |id: u32| {
        vec![
            ("NOTIFY_SOCKET", path.display().to_string()),
            // Signs of life that a slow reader leaves in the socket's short queue must not fill it.
            ("WATCHDOG_USEC", "500000".to_owned()),
            ("WATCHDOG_PID", id.to_string()),
        ]
    };
    let config = || Config::new().workers(2).all_respond("hello");
    let mut other = gateway_with(config(), &variables(1));
    assert!(manager.next().starts_with("READY=1\n"));
    other.signal(Signal::TERM);
    assert!(other.wait().success());
    assert!(
        manager.next().starts_with("STOPPING=1\n"),
        "another process is watched"
    );

    let gateway = gateway_with(config(), &variables(1)[..2]);
    assert!(manager.next().starts_with("READY=1\n"));
    for _ in 0..3 {
        assert_eq!(manager.next(), "WATCHDOG=1\n");
    }
    gateway.command(&["upgrade"]).expect(0);
    // Both processes say so, in any order.
    let mut told = [manager.message(), manager.message()];
    told.sort();
    gateway.wait_for_part("has taken over");
    let id = gateway.takeovers()[0];
    let [agreed, ready] = told;
    assert_eq!(agreed, format!("MAINPID={id}\n"), "the old process agrees");
    assert!(
        ready.starts_with(&format!("MAINPID={id}\nREADY=1\nSTATUS=")),
        "{ready}"
    );
    for _ in 0..3 {
        assert_eq!(
            manager.next(),
            "WATCHDOG=1\n",
            "the old process says nothing of its end"
        );
    }
}

#[test]
fn upgrade_under_a_manager_that_cannot_be_told_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waypost.yaml");
    fs::write(&path, Config::new().all_respond("hello").key(ADMIN)).unwrap();
    let mut command = Command::new("sh");
    let run = format!(
        "SYSTEMD_EXEC_PID=$$ exec {} run {}",
        env!("CARGO_BIN_EXE_waypost"),
        path.display()
    );
    command.args(["-c", &run]).stdin(Stdio::null());
    let gateway = Gateway::by(command, None, directory, path);
    let refused = gateway.command(&["upgrade"]).expect(1);
    let why = "systemd would end the new process";
    assert!(refused.stderr.contains(why), "{refused:?}");
}

/// Starts a gateway with up to two sockets as a service manager passes them.
fn activated(config: &Config, names: &str, sockets: Vec<OwnedFd>) -> Gateway {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waypost.yaml");
    fs::write(&path, config).unwrap();
    let count = sockets.len();
    let mut sockets = sockets.into_iter();
    // A shell gives the sockets their numbers, and the variables the id of the process.
    let numbers = ["exec 3<&0 0</dev/null", "exec 3<&0 4<&1 0</dev/null 1>&2"][count - 1];
    let run = format!(
        "{numbers}; LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES={names} exec {} run {}",
        env!("CARGO_BIN_EXE_waypost"),
        path.display()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &run]);
    command.stdin(Stdio::from(sockets.next().unwrap()));
    Gateway::by(command, sockets.next().map(Stdio::from), directory, path)
}

fn listener() -> (TcpListener, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

const ADMIN: &str = "admin: { bind: 127.0.0.1:0 }";

#[test]
fn sockets_of_the_manager_are_matched_by_address_and_by_name() {
    let service = Service::echo("a");
    let (by_address, first) = listener();
    let (by_name, second) = listener();
    let config = |more: &str| {
        Config::at(first)
            .workers(3)
            .item("listeners", more)
            .all_to(&service)
            .key(ADMIN)
    };
    // The manager keeps its own copies.
    let sockets = [&by_address, &by_name].map(|socket| socket.try_clone().unwrap().into());
    let named = "- { name: public, bind: 127.0.0.1:80 }";
    let gateway = activated(&config(named), "waypost.socket:public", sockets.into());
    assert_eq!(gateway.addresses(), [first, second]);
    let ask = |address| Client::connect(address).get("http://a/").status();
    // All workers accept from one queue.
    for _ in 0..32 {
        assert_eq!((ask(first), ask(second)), (200, 200));
    }
    // A listener that goes and comes back gets its socket again; clients wait meanwhile.
    let without = config("").to_string();
    gateway.replace(without.replace("\n\n", "\n"));
    gateway.wait_for_revision(2);
    let mut waiting = Client::connect(second);
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    gateway.replace(config(named));
    gateway.wait_for_revision(3);
    assert_eq!(waiting.response().status(), 200);
    // An upgrade takes them along.
    gateway.command(&["upgrade"]).expect(0);
    for _ in 0..32 {
        assert_eq!((ask(first), ask(second)), (200, 200));
    }
    assert!(
        !gateway
            .said()
            .iter()
            .any(|line| line.contains("matches no listener"))
    );
}

#[test]
fn unix_sockets_of_the_manager_are_for_listeners_too() {
    let service = Service::echo("a");
    let directory = tempfile::tempdir().unwrap();
    let [by_path, by_name] = ["path.sock", "name.sock"].map(|name| directory.path().join(name));
    let sockets = [&by_path, &by_name].map(|path| UnixListener::bind(path).unwrap());
    let named = "- { name: public, bind: \"unix:/nowhere/waypost.sock\" }";
    let config = Config::at(format!("\"unix:{}\"", by_path.display()))
        .workers(3)
        .item("listeners", named)
        .all_to(&service)
        .key(ADMIN);
    let passed = sockets
        .each_ref()
        .map(|socket| socket.try_clone().unwrap().into());
    let mut gateway = activated(&config, "waypost.socket:public", passed.into());
    let ask = || {
        for path in [&by_path, &by_name] {
            let front = front(path);
            for _ in 0..8 {
                assert_eq!(Client::connect(front).get("http://a/").status(), 200);
            }
        }
    };
    ask();
    gateway.command(&["upgrade"]).expect(0);
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    ask();
    assert!(
        by_path.exists() && by_name.exists(),
        "the files are the manager's"
    );
}

#[test]
fn sockets_of_the_manager_that_match_nothing_are_reported() {
    let (socket, address) = listener();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let admin = UnixListener::bind(&path).unwrap();
    let config = Config::new()
        .all_respond("hello")
        .key(&format!("admin: {{ bind: \"unix:{}\" }}", path.display()));
    let sockets = vec![socket.into(), admin.try_clone().unwrap().into()];
    let mut gateway = activated(&config, "stray:other", sockets);
    let line = gateway.wait_for_part("matches no listener");
    assert!(
        line.contains(&format!("the socket {address}, named `stray`, from")),
        "{line}"
    );
    // A unix socket is for the admin API at its path, and stays the manager's.
    let admin_url = format!("unix:{}", path.display());
    for _ in 0..2 {
        waypost_in(directory.path(), &["status", "--admin", &admin_url]).expect(0);
        waypost_in(directory.path(), &["upgrade", "--admin", &admin_url]).expect(0);
    }
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    assert!(path.exists());
}

#[test]
fn readiness_is_an_exit_code() {
    let gateway = Gateway::with(Config::new().all_respond("hello"));
    let check = |address: &str, code| {
        waypost_in(gateway.directory(), &["run", "--check-ready", address]).expect(code)
    };
    let address = gateway.admin_address().to_string();
    assert_eq!(check(&address, 0).stderr, "");
    check(&format!("http://{address}"), 0);
    let nowhere = Service::refusing();
    assert!(
        check(&nowhere.address().to_string(), 1)
            .stderr
            .contains("no gateway is reachable")
    );
    check("unix:no.sock", 1);
    check("ftp://nowhere", 1);
    // A server that is no gateway.
    let other = Service::responding("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    check(other.url().trim_start_matches("http://"), 1);
}

#[test]
fn pid_file_has_the_process_that_serves() {
    let mut gateway =
        Gateway::replaceable(Config::new().all_respond("hello"), &["--pid-file", "waypost.pid"]);
    let file = gateway.directory().join("waypost.pid");
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{}\n", gateway.id()));
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(!file.exists());
}

#[test]
fn units_are_what_the_manager_takes() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return;
    }
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd");
    let directory = tempfile::tempdir().unwrap();
    let placed = ["waypost.service", "waypost.socket"].map(|name| {
        let unit = fs::read_to_string(units.join(name)).unwrap();
        // The binary and the manual are not installed.
        let binary = format!("ExecStart={} ", env!("CARGO_BIN_EXE_waypost"));
        let placed = unit
            .replace("ExecStart=/usr/bin/waypost ", &binary)
            .replace("Documentation=man:waypost(1)\n", "");
        let path = directory.path().join(name);
        fs::write(&path, placed).unwrap();
        path
    });
    let verified = Command::new("systemd-analyze")
        .arg("verify")
        .args(placed)
        .output()
        .unwrap();
    assert!(verified.status.success(), "{verified:?}");
}
