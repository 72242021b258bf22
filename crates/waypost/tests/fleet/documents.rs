//! `docs/fleet.md` and the files that it gives to copy: three machines, set up as it says.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::fleet::CONFIG;
use crate::instance::{Instance, TOKEN};
use crate::machines::Machines;
use crate::namespaces;
use crate::support::command::{Output, output, repository};
use crate::support::gateway::Gateway;
use crate::support::tls::Authority;
use crate::wait::{wait_for, wait_or_else};

/// The endpoints of the document, as `etcdctl` has them.
const ENDPOINTS: &str = "https://10.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.3:2379";

/// The members and the prefix of the document, as URLs have them.
const PLACE: &str = "10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379/waypost/prod";

/// The set-up of the document, with directories of the test for those in `/etc` and `/var/lib`.
struct Setup {
    machines: Machines,
    directory: tempfile::TempDir,
    members: Vec<Child>,
    /// First and second words of the commands that were run.
    ran: RefCell<BTreeSet<String>>,
}

impl Drop for Setup {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}

impl Setup {
    /// The directory that a machine has in place of this one.
    fn on(&self, machine: usize, directory: &str) -> PathBuf {
        let own = format!("{}{directory}", machine + 1);
        self.directory.path().join(own.replace('/', "-"))
    }

    /// A text with the directories of a machine, and its own address in place of the first one's.
    fn adapted(&self, machine: usize, text: &str) -> String {
        let mut text = text.replace("bind: 10.0.0.1", &format!("bind: 10.0.0.{}", machine + 1));
        for directory in ["/etc/etcd", "/etc/waypost", "/var/lib/etcd", "/var/lib/waypost"] {
            text = text.replace(directory, self.on(machine, directory).to_str().unwrap());
        }
        text
    }

    fn new() -> Self {
        let setup = Self {
            machines: Machines::new(),
            directory: tempfile::tempdir().unwrap(),
            members: Vec::new(),
            ran: RefCell::default(),
        };
        let authority = Authority::new();
        let example =
            |name: &str| fs::read_to_string(repository().join("examples/fleet").join(name)).unwrap();
        for machine in 0..3 {
            let member = authority.issue(&[&setup.machines.address(machine).to_string()]);
            let gateway = authority.issue(&["gateway"]);
            let local = setup.adapted(machine, &example("waypost.yaml"));
            let files = [
                ("/etc/etcd", "ca.pem", authority.pem()),
                ("/etc/etcd", "member.pem", &member.cert),
                ("/etc/etcd", "member.key", &member.key),
                ("/etc/waypost", "etcd-ca.pem", authority.pem()),
                ("/etc/waypost", "gateway.pem", &gateway.cert),
                ("/etc/waypost", "gateway.key", &gateway.key),
                ("/etc/waypost", "etcd-user", "waypost:g\n"),
                ("/etc/waypost", "tokens", &format!("fleet {TOKEN}\n")),
                ("/etc/waypost", "waypost.yaml", &local),
            ];
            for (directory, name, text) in files {
                let directory = setup.on(machine, directory);
                fs::create_dir_all(&directory).unwrap();
                fs::write(directory.join(name), text).unwrap();
            }
        }
        setup
    }

    /// Starts the members by the command of the unit.
    fn start_members(&mut self) {
        let unit = fs::read_to_string(repository().join("examples/fleet/etcd.service")).unwrap();
        let unit = unit.replace("\\\n", " ");
        let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart="));
        let start = start.expect("a command").to_owned();
        for machine in 0..3 {
            let number = machine + 1;
            let own = start
                .replace("${NAME}", &format!("etcd-{number}"))
                .replace("${ADDRESS}", &format!("10.0.0.{number}"));
            let words = self.machines.on(machine).into_iter();
            let words: Vec<String> = words
                .chain(shlex::split(&self.adapted(machine, &own)).unwrap())
                .collect();
            let log = File::create(self.directory.path().join(format!("etcd-{number}.log"))).unwrap();
            let member = Command::new(&words[0])
                .args(&words[1..])
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .unwrap();
            self.members.push(member);
        }
        wait_or_else(
            "three members",
            || (self.etcdctl("", &["endpoint", "health"]).code == 0).then_some(()),
            || format!("{:?}", self.etcdctl("", &["endpoint", "health"])),
        );
    }

    fn variables(&self) -> [(&'static str, String); 5] {
        let file = |name: &str| self.on(0, "/etc/etcd").join(name).display().to_string();
        [
            ("ETCDCTL_API", "3".to_owned()),
            ("ETCDCTL_ENDPOINTS", ENDPOINTS.to_owned()),
            ("ETCDCTL_CACERT", file("ca.pem")),
            ("ETCDCTL_CERT", file("member.pem")),
            ("ETCDCTL_KEY", file("member.key")),
        ]
    }

    fn note(&self, words: &[&str]) {
        self.ran.borrow_mut().insert(words[..2].join(" "));
    }

    fn etcdctl(&self, user: &str, arguments: &[&str]) -> Output {
        self.note(&["etcdctl", arguments[0]]);
        let mut command = Command::new("etcdctl");
        command.envs(self.variables()).args(arguments);
        if arguments[0] == "snapshot" {
            // One member is asked for it.
            command.env("ETCDCTL_ENDPOINTS", "https://10.0.0.1:2379");
        }
        if !user.is_empty() {
            command.args(["--user", user]);
        }
        output(&mut command)
    }

    /// Puts the text of the config with `etcdctl txn`, whose form is comparisons, then what is done if they hold, then what else.
    fn put_by_transaction(&self, text: &str) {
        self.note(&["etcdctl", "txn"]);
        let mut etcdctl = Command::new("etcdctl")
            .args(["txn", "--user", "waypost:g"])
            .envs(self.variables())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let put = format!("\nput /waypost/prod/config/waypost.yaml {text:?}\n\n\n");
        etcdctl.stdin.take().unwrap().write_all(put.as_bytes()).unwrap();
        assert!(etcdctl.wait().unwrap().success());
    }

    /// Starts an instance on a machine, with these arguments.
    fn run(&self, machine: usize, arguments: &[&str]) -> Gateway {
        self.note(&["waypost", arguments[0]]);
        let words = self.machines.on(machine);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(env!("CARGO_BIN_EXE_waypost"));
        command.args(arguments).stdin(Stdio::null());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("none");
        Gateway::by(command, None, directory, path).with_token(TOKEN)
    }

    /// Runs a command at an instance.
    fn at(&self, gateway: &Gateway, arguments: &[&str]) -> Output {
        self.note(&[&["waypost"], arguments].concat());
        gateway.command(arguments)
    }
}

/// The commands of etcd and Waypost that the document shows in its text, as their first two words.
fn documented() -> BTreeSet<String> {
    let text = fs::read_to_string(repository().join("docs/fleet.md")).unwrap();
    // Code in blocks is run by another test.
    let prose = text
        .split("```")
        .step_by(2)
        .collect::<String>()
        .replace('\n', " ");
    let code = prose.split('`').skip(1).step_by(2);
    let words = code.map(|code| code.split_whitespace().collect::<Vec<&str>>());
    words
        .filter(|words| words.len() > 1 && ["waypost", "etcdctl"].contains(&words[0]))
        .map(|words| words[..2].join(" "))
        .collect()
}

fn write_config(directory: &Path, body: &str) {
    fs::create_dir_all(directory).unwrap();
    let config = CONFIG
        .replace("{ bind: 127.0.0.1:1 }", "{ name: public, bind: 0.0.0.0:8080 }")
        .replace("one", body);
    fs::write(directory.join("waypost.yaml"), config).unwrap();
}

#[test]
fn three_machines_are_a_fleet_by_the_files_and_commands_of_the_document() {
    let name = "documents::three_machines_are_a_fleet_by_the_files_and_commands_of_the_document";
    if !namespaces::enter(name) {
        return;
    }
    let mut setup = Setup::new();
    setup.start_members();
    output(
        Command::new("sh")
            .arg(repository().join("examples/fleet/roles.sh"))
            .envs(setup.variables())
            .env("ROOT_PASSWORD", "r")
            .env("GATEWAY_PASSWORD", "g")
            .env("INSTANCE_PASSWORD", "i")
            .env("READER_PASSWORD", "b"),
    )
    .expect(0);
    let instances = (0..3).map(|machine| {
        let local = setup.on(machine, "/etc/waypost").join("waypost.yaml");
        Instance::of(setup.run(machine, &["run", local.to_str().unwrap()]), Vec::new())
    });
    let mut instances: Vec<Instance> = instances.collect();
    let empty = setup.at(&instances[0].gateway, &["fleet"]).expect(1);
    assert!(empty.stdout.contains("/waypost/prod/config/"), "{}", empty.stdout);

    // From files to a fleet.
    let files = tempfile::tempdir().unwrap();
    let directory = files.path().join("conf.d");
    write_config(&directory, "one");
    let directory = directory.to_str().unwrap();
    setup.at(&instances[1].gateway, &["apply", directory]).expect(0);
    for instance in &instances {
        instance.wait_for_hello("one");
        instance.wait_until_well(3);
    }
    for arguments in [
        &["dial", "split", "a=70", "b=30", "--wait"][..],
        &["drain", "a", "127.0.0.1:1", "--wait"],
        &["drain", "a", "127.0.0.1:1", "--undo", "--wait"],
        &["rollout", "status"],
        &["status"],
        &["fleet"],
    ] {
        setup.at(&instances[2].gateway, arguments).expect(0);
    }
    // Statistics count over all.
    let stats = wait_for("requests at three instances", || {
        let stats = setup
            .at(&instances[0].gateway, &["stats", "hello", "--format", "json"])
            .expect(0);
        stats.stdout.contains("hello").then(|| stats.json())
    });
    assert_eq!(stats["instances"], 3, "{stats}");
    let top = setup.at(&instances[0].gateway, &["top", "--once"]).expect(0);
    assert!(top.stdout.contains("hello"), "{}", top.stdout);

    // A text that is put counts as applied.
    write_config(&files.path().join("put"), "put");
    let text = fs::read_to_string(files.path().join("put/waypost.yaml")).unwrap();
    setup
        .etcdctl("waypost:g", &["put", "/waypost/prod/config/waypost.yaml", &text])
        .expect(0);
    for instance in &instances {
        instance.wait_for_hello("put");
    }
    setup.put_by_transaction(&text.replace("put", "txn"));
    for instance in &instances {
        instance.wait_for_hello("txn");
    }
    setup
        .at(&instances[0].gateway, &["rollback", "1", "--wait"])
        .expect(0);

    // There is no canary, so that nothing ends.
    setup
        .etcdctl("waypost:g", &["del", "/waypost/prod/canary"])
        .expect(0);

    // Backup, and back to files.
    let snapshot = files.path().join("snapshot");
    setup
        .etcdctl("root:r", &["snapshot", "save", snapshot.to_str().unwrap()])
        .expect(0);
    assert!(snapshot.exists());
    let out = |name: &str| files.path().join(name).display().to_string();
    setup
        .at(&instances[0].gateway, &["export", &out("one")])
        .expect(0);
    let options = |user: &str| {
        let file = |name: &str| setup.on(2, "/etc/waypost").join(name).display().to_string();
        fs::write(file("reader"), "waypost-reader:b\n").unwrap();
        [
            "--ca".to_owned(),
            file("etcd-ca.pem"),
            "--cert".to_owned(),
            file("gateway.pem"),
            "--key".to_owned(),
            file("gateway.key"),
            "--user-file".to_owned(),
            file(user),
        ]
    };
    let from = format!("etcd://{PLACE}");
    let reader = options("reader");
    let reader: Vec<&str> = reader.iter().map(String::as_str).collect();
    let two = out("two");
    let export = [&["export", &two, "--from", &from][..], &reader].concat();
    setup.at(&instances[0].gateway, &export).expect(0);
    for place in ["one", "two"] {
        let text = fs::read_to_string(files.path().join(place).join("waypost.yaml")).unwrap();
        assert_eq!(
            text,
            fs::read_to_string(files.path().join("conf.d/waypost.yaml")).unwrap(),
            "{place}"
        );
    }
    let mut alone = Command::new(env!("CARGO_BIN_EXE_waypost"));
    alone.args(["run", &out("one")]).stdin(Stdio::null());
    let alone = Gateway::by(
        alone,
        None,
        tempfile::tempdir().unwrap(),
        files.path().join("one"),
    );
    assert_eq!(alone.get("http://a/hello").text(), "one");
    drop(alone);
    setup.at(&instances[1].gateway, &["apply", &out("two")]).expect(0);

    // Upgrade, one instance at a time.
    for instance in &instances {
        setup.at(&instance.gateway, &["upgrade"]).expect(0);
        instance.wait_until_well(3);
        instance.wait_for_hello("one");
        instance.wait_for_weight(30);
    }

    // A URL in place of the local file. Its commands run on its machine, whose admin API no other sees.
    let last = instances.pop().unwrap();
    let address = last.address().unwrap();
    drop(last);
    // The process that took over is no child of this one, and its end is not waited for.
    let is_closed = || TcpStream::connect(address).is_err().then_some(());
    wait_for("a free port", is_closed);
    let gateway = options("etcd-user");
    let gateway: Vec<&str> = gateway.iter().map(String::as_str).collect();
    for scheme in ["etcd", "https"] {
        let url = format!("{scheme}://{PLACE}");
        let by_url = setup.run(2, &[&["run", &url][..], &gateway].concat());
        by_url.wait_for("listening on ");
        let words = setup.machines.on(2);
        let fleet = || {
            let mut command = Command::new(&words[0]);
            output(
                command
                    .args(&words[1..])
                    .args([env!("CARGO_BIN_EXE_waypost"), "fleet"]),
            )
        };
        wait_or_else(
            "the fleet",
            || (fleet().code == 0).then_some(()),
            || format!("{:?}", fleet()),
        );
    }

    let ran = setup.ran.borrow();
    let missing: Vec<String> = documented().difference(&ran).cloned().collect();
    // The words of the commands that are no more than named.
    assert!(missing.is_empty(), "documented, and not run here: {missing:?}");
}

#[test]
fn unit_of_etcd_is_one_that_systemd_takes() {
    let unit = repository().join("examples/fleet/etcd.service");
    let text = fs::read_to_string(&unit).unwrap();
    assert!(text.contains("User=etcd"), "{text}");
    let verify = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&unit)
        .stdin(Stdio::null())
        .output();
    match verify {
        Ok(verified) => {
            let said = String::from_utf8_lossy(&verified.stderr);
            assert!(
                verified.status.success() && !said.contains("etcd.service"),
                "{said}"
            );
        }
        Err(error) => {
            let _ = writeln!(
                io::stderr(),
                "\nSKIPPED: the unit of etcd is not verified: systemd-analyze: {error}"
            );
        }
    }
}
