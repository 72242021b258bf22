//! A cluster of etcd, broken on purpose.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::machines::Machines;
use crate::support::command::{Output, output};
use crate::support::tls::{Authority, Pair};
use crate::wait::wait_for;

/// Attempts to find ports that are free: etcd cannot report a port 0, so another process may take one first.
const ATTEMPTS: u32 = 5;

/// The ports of members, which are below those that Linux gives by itself.
const PORT_MIN: u16 = 20_000;
const PORTS: u16 = 12_000;

/// The times after which members miss their leader, in milliseconds. A machine under load stands still for a second.
const TIMES: [&str; 4] = ["--heartbeat-interval", "300", "--election-timeout", "3000"];

/// The files of members and clients with certificates.
const CA: &str = "ca.pem";
const MEMBER: [&str; 2] = ["member.pem", "member.key"];
const CLIENT: [&str; 2] = ["client.pem", "client.key"];

/// The circumstances in which a cluster starts.
#[derive(Default)]
pub(crate) struct Setup<'a> {
    /// Further arguments of each member.
    pub(crate) arguments: &'a [&'a str],
    /// The authority of members and clients, which show each other certificates.
    pub(crate) authority: Option<&'a Authority>,
    /// The certificates of members are of the past.
    pub(crate) has_expired: bool,
    /// The machines of the members, in place of this one.
    pub(crate) machines: Option<&'a Machines>,
    /// The disks of members, in place of the temporary directory.
    pub(crate) disks: BTreeMap<usize, &'a Path>,
}

/// A cluster of etcd with three members.
pub(crate) struct Cluster {
    members: Vec<Member>,
    directory: tempfile::TempDir,
    /// Further arguments of each member.
    arguments: Vec<String>,
    has_tls: bool,
    /// `NAME:PASSWORD` for `etcdctl`.
    pub(crate) user: Option<String>,
}

struct Member {
    name: String,
    client: SocketAddr,
    peer: SocketAddr,
    data: PathBuf,
    /// The words in front of the program.
    on: Vec<String>,
    /// `None` while it is dead.
    child: Option<Child>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.members.iter_mut().for_each(Member::kill);
        if std::thread::panicking() {
            for member in &self.members {
                let log = fs::read_to_string(log_of(self.directory.path(), &member.name));
                let log = log.unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let last = lines.len().saturating_sub(10);
                eprintln!("the member {} said:\n{}", member.name, lines[last..].join("\n"));
            }
        }
    }
}

/// Free addresses. Their ports are none that the system gives by itself, so that none is taken while its member is dead.
fn addresses(count: usize) -> Vec<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes begin at different ones.
    let begin = u16::try_from(std::process::id() % 100).unwrap() * 100;
    let mut addresses = Vec::new();
    while addresses.len() < count {
        let next = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let address = SocketAddr::from(([127, 0, 0, 1], PORT_MIN + next % PORTS));
        if TcpListener::bind(address).is_ok() {
            addresses.push(address);
        }
    }
    addresses
}

/// A certificate of the past.
pub(crate) fn expired(authority: &Authority, name: &str) -> Pair {
    authority.issue_with(&[name], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 2, 1);
    })
}

fn log_of(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.log"))
}

impl Cluster {
    pub(crate) fn start() -> Self {
        Self::start_as(&Setup::default())
    }

    pub(crate) fn start_as(setup: &Setup<'_>) -> Self {
        for _ in 0..ATTEMPTS {
            let mut cluster = Self::prepare(setup);
            cluster.spawn(&[0, 1, 2]);
            // No client believes an expired certificate.
            if setup.has_expired && cluster.is_reachable() || cluster.is_ready() {
                return cluster;
            }
        }
        panic!("etcd does not start");
    }

    fn prepare(setup: &Setup<'_>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let free = addresses(6);
        let members = (0..3).map(|number| {
            let name = format!("m{number}");
            let on_disk = setup.disks.get(&number);
            let (client, peer) = match setup.machines {
                Some(machines) => {
                    let address = machines.address(number);
                    (SocketAddr::new(address, 2379), SocketAddr::new(address, 2380))
                }
                None => (free[2 * number], free[2 * number + 1]),
            };
            Member {
                client,
                peer,
                data: on_disk.map_or_else(|| directory.path().join(&name), |disk| disk.join(&name)),
                on: setup
                    .machines
                    .map(|machines| machines.on(number))
                    .unwrap_or_default(),
                child: None,
                name,
            }
        });
        let cluster = Self {
            members: members.collect(),
            arguments: setup
                .arguments
                .iter()
                .map(|argument| (*argument).to_owned())
                .collect(),
            has_tls: setup.authority.is_some(),
            user: None,
            directory,
        };
        if let Some(authority) = setup.authority {
            let member = match setup.has_expired {
                true => expired(authority, "127.0.0.1"),
                false => authority.issue(&["127.0.0.1"]),
            };
            let client = authority.issue(&["etcdctl"]);
            for (file, text) in [
                (CA, authority.pem()),
                (MEMBER[0], &member.cert),
                (MEMBER[1], &member.key),
                (CLIENT[0], &client.cert),
                (CLIENT[1], &client.key),
            ] {
                fs::write(cluster.directory.path().join(file), text).unwrap();
            }
        }
        cluster
    }

    /// Starts members, with the state that they have.
    fn spawn(&mut self, members: &[usize]) {
        let all: Vec<String> = self
            .members
            .iter()
            .map(|member| format!("{}=http://{}", member.name, member.peer))
            .collect();
        let scheme = self.scheme();
        for number in members {
            let member = &mut self.members[*number];
            let log = File::options()
                .create(true)
                .append(true)
                .open(log_of(self.directory.path(), &member.name))
                .unwrap();
            let mut words = member.on.iter().map(String::as_str).chain(["etcd"]);
            let mut etcd = Command::new(words.next().unwrap());
            etcd.args(words);
            if self.has_tls {
                etcd.arg("--client-cert-auth");
                for (option, file) in [
                    ("--cert-file", MEMBER[0]),
                    ("--key-file", MEMBER[1]),
                    ("--trusted-ca-file", CA),
                ] {
                    etcd.arg(option).arg(self.directory.path().join(file));
                }
            }
            let (client, peer) = (member.client, member.peer);
            etcd.args(["--name", &member.name])
                .arg("--data-dir")
                .arg(&member.data)
                .args(["--listen-client-urls", &format!("{scheme}{client}")])
                .args(["--advertise-client-urls", &format!("{scheme}{client}")])
                .args(["--listen-peer-urls", &format!("http://{peer}")])
                .args(["--initial-advertise-peer-urls", &format!("http://{peer}")])
                .args(["--initial-cluster", &all.join(",")])
                .args(["--logger", "zap", "--log-level", "warn"])
                .args(TIMES)
                .args(&self.arguments)
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log);
            member.child = Some(etcd.spawn().expect("etcd is installed"));
        }
    }

    /// Waits until all members answer. Returns false if one has ended.
    fn is_ready(&mut self) -> bool {
        (0..self.members.len()).all(|number| {
            wait_for("a member that answers, or has ended", || {
                if self.has_ended(number) {
                    return Some(false);
                }
                let read = self.etcdctl_at(&[number], &["endpoint", "health"]);
                (read.code == 0).then_some(true)
            })
        })
    }

    /// Waits until all members accept connections. Returns false if one has ended.
    fn is_reachable(&mut self) -> bool {
        (0..self.members.len()).all(|number| {
            wait_for("a member that accepts connections, or has ended", || {
                match self.has_ended(number) {
                    true => Some(false),
                    false => TcpStream::connect(self.members[number].client).ok().map(|_| true),
                }
            })
        })
    }

    /// Returns true if a member has ended, or was killed.
    pub(crate) fn has_ended(&mut self, member: usize) -> bool {
        let child = self.members[member].child.as_mut();
        child.is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    fn scheme(&self) -> &'static str {
        match self.has_tls {
            true => "https://",
            false => "http://",
        }
    }

    /// The addresses of the members.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.client).collect()
    }

    /// The addresses as `etcdctl` and URLs of Waypost have them.
    pub(crate) fn endpoints(&self) -> String {
        let addresses = self.addresses();
        let endpoints: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
        endpoints.join(",")
    }

    /// The variables that lead `etcdctl` to the cluster.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let all: Vec<usize> = (0..self.members.len()).collect();
        self.variables_of(&all)
    }

    fn variables_of(&self, members: &[usize]) -> Vec<(&'static str, String)> {
        let endpoints: Vec<String> = members
            .iter()
            .map(|member| format!("{}{}", self.scheme(), self.members[*member].client))
            .collect();
        let mut variables = vec![
            ("ETCDCTL_API", "3".to_owned()),
            ("ETCDCTL_ENDPOINTS", endpoints.join(",")),
        ];
        if self.has_tls {
            let file = |name: &str| self.directory.path().join(name).display().to_string();
            variables.extend([
                ("ETCDCTL_CACERT", file(CA)),
                ("ETCDCTL_CERT", file(CLIENT[0])),
                ("ETCDCTL_KEY", file(CLIENT[1])),
            ]);
        }
        variables
    }

    /// Runs `etcdctl` on these members.
    fn etcdctl_at(&self, members: &[usize], arguments: &[&str]) -> Output {
        let mut command = Command::new("etcdctl");
        command
            .envs(self.variables_of(members))
            .args(["--command-timeout", "5s"]);
        if let Some(user) = &self.user {
            command.args(["--user", user]);
        }
        output(command.args(arguments))
    }

    /// Runs `etcdctl`.
    pub(crate) fn try_etcdctl(&self, arguments: &[&str]) -> Output {
        let all: Vec<usize> = (0..self.members.len()).collect();
        self.etcdctl_at(&all, arguments)
    }

    /// Runs `etcdctl`, which has to succeed; returns what it prints.
    pub(crate) fn etcdctl(&self, arguments: &[&str]) -> String {
        self.try_etcdctl(arguments).expect(0).stdout
    }

    /// The value of a key; empty if there is none.
    pub(crate) fn get(&self, key: &str) -> String {
        let value = self.etcdctl(&["get", key, "--print-value-only"]);
        value.strip_suffix('\n').unwrap_or(&value).to_owned()
    }

    /// The number of writes of a key since it is there.
    pub(crate) fn version(&self, key: &str) -> u64 {
        let read = self.etcdctl(&["get", key, "--write-out", "json"]);
        let read: serde_json::Value = serde_json::from_str(&read).unwrap();
        read["kvs"][0]["version"].as_u64().unwrap_or(0)
    }

    /// Ends the lease that a key is attached to, as time does.
    pub(crate) fn end_lease(&self, key: &str) {
        let read = self.etcdctl(&["get", key, "--write-out", "json"]);
        let read: serde_json::Value = serde_json::from_str(&read).unwrap();
        let lease = read["kvs"][0]["lease"].as_i64().expect("a key with a lease");
        self.etcdctl(&["lease", "revoke", &format!("{lease:x}")]);
    }

    /// Compacts all that is past.
    pub(crate) fn compact(&self) {
        let status = self.etcdctl(&["get", "/", "--limit=1", "--write-out", "json"]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let revision = status["header"]["revision"].as_i64().unwrap().to_string();
        self.etcdctl(&["compaction", &revision]);
    }

    /// Gives the space of what was deleted back, and lifts the alarm that it has run out.
    pub(crate) fn defragment(&self) {
        for member in 0..self.members.len() {
            self.etcdctl_at(&[member], &["defrag"]).expect(0);
        }
        self.etcdctl(&["alarm", "disarm"]);
    }

    /// The member that leads etcd.
    pub(crate) fn leader(&self) -> usize {
        let leads = |member: &usize| {
            let status = self.etcdctl_at(&[*member], &["endpoint", "status", "--write-out", "json"]);
            let status: serde_json::Value = serde_json::from_str(&status.stdout).ok()?;
            let status = &status[0]["Status"];
            (status["leader"] == status["header"]["member_id"]).then_some(())
        };
        wait_for("a leader of etcd", || {
            let mut living = (0..self.members.len()).filter(|member| self.members[*member].child.is_some());
            living.find(|member| leads(member).is_some())
        })
    }

    pub(crate) fn kill(&mut self, member: usize) {
        self.members[member].kill();
    }

    /// Starts members that were killed, with their state, and waits until all answer.
    pub(crate) fn start_again(&mut self, members: &[usize]) {
        self.spawn(members);
        assert!(self.is_ready(), "a member has ended");
    }

    /// A metric of all members, added up.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let metrics = self.addresses().into_iter().map(|address| {
            let answer = crate::support::client::Client::connect(address)
                .ask("GET /metrics HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n\r\n");
            let text = answer.text();
            let values = text.lines().filter(|line| line.starts_with(name));
            values
                .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                .sum::<f64>()
        });
        metrics.sum()
    }
}

impl Member {
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
