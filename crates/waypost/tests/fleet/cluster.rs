//! A cluster of etcd, broken on purpose.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::command::{Output, output};
use crate::support::wait_for;

/// Attempts to find ports that are free: etcd cannot report a port 0, so another process may take one first.
const ATTEMPTS: u32 = 5;

/// A cluster of etcd with three members.
pub(crate) struct Cluster {
    members: Vec<Member>,
    directory: tempfile::TempDir,
    /// Further arguments of each member.
    arguments: Vec<String>,
    /// `NAME:PASSWORD` for `etcdctl`.
    pub(crate) user: Option<String>,
}

struct Member {
    name: String,
    client: SocketAddr,
    peer: SocketAddr,
    child: Child,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.child.kill();
            let _ = member.child.wait();
        }
    }
}

/// Free addresses. They are picked together, so that they differ.
fn addresses(count: usize) -> Vec<SocketAddr> {
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let addresses = listeners.iter().map(|listener| listener.local_addr().unwrap());
    addresses.collect()
}

fn spawn(
    directory: &Path,
    name: &str,
    (client, peer): (SocketAddr, SocketAddr),
    cluster: &str,
    more: &[String],
) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(directory.join(format!("{name}.log")))
        .unwrap();
    Command::new("etcd")
        .args(["--name", name])
        .arg("--data-dir")
        .arg(directory.join(name))
        .args(["--listen-client-urls", &format!("http://{client}")])
        .args(["--advertise-client-urls", &format!("http://{client}")])
        .args(["--listen-peer-urls", &format!("http://{peer}")])
        .args(["--initial-advertise-peer-urls", &format!("http://{peer}")])
        .args(["--initial-cluster", cluster])
        .args(["--logger", "zap", "--log-level", "warn"])
        .args(more)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("etcd is installed")
}

impl Cluster {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a cluster whose members have further arguments.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        for _ in 0..ATTEMPTS {
            let mut cluster = Self::spawn(arguments.clone());
            if cluster.is_ready() {
                return cluster;
            }
        }
        panic!("etcd does not start");
    }

    fn spawn(arguments: Vec<String>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let addresses = addresses(6);
        let pairs: Vec<(SocketAddr, SocketAddr)> =
            addresses.chunks(2).map(|pair| (pair[0], pair[1])).collect();
        let all: Vec<String> = pairs
            .iter()
            .enumerate()
            .map(|(number, (_, peer))| format!("m{number}=http://{peer}"))
            .collect();
        let members = pairs.iter().enumerate().map(|(number, (client, peer))| {
            let name = format!("m{number}");
            Member {
                child: spawn(
                    directory.path(),
                    &name,
                    (*client, *peer),
                    &all.join(","),
                    &arguments,
                ),
                name,
                client: *client,
                peer: *peer,
            }
        });
        Self {
            members: members.collect(),
            directory,
            arguments,
            user: None,
        }
    }

    /// Waits until all members answer. Returns false if one has ended.
    fn is_ready(&mut self) -> bool {
        for number in 0..self.members.len() {
            while self.etcdctl_at(&[number], &["get", "/", "--limit=1"]).code != 0 {
                if self.members[number].child.try_wait().unwrap().is_some() {
                    return false;
                }
            }
        }
        true
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

    /// Runs `etcdctl` on these members.
    fn etcdctl_at(&self, members: &[usize], arguments: &[&str]) -> Output {
        let endpoints: Vec<String> = members
            .iter()
            .map(|member| self.members[*member].client.to_string())
            .collect();
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args([
            "--endpoints",
            &endpoints.join(","),
            "--command-timeout",
            "5s",
        ]);
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

    /// Compacts all that is past.
    pub(crate) fn compact(&self) {
        let status = self.etcdctl(&["get", "/", "--limit=1", "--write-out", "json"]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let revision = status["header"]["revision"].as_i64().unwrap().to_string();
        self.etcdctl(&["compaction", &revision]);
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
            (0..self.members.len()).find(|member| leads(member).is_some())
        })
    }

    pub(crate) fn kill(&mut self, member: usize) {
        self.members[member].child.kill().unwrap();
        self.members[member].child.wait().unwrap();
    }

    /// Starts a member that was killed, with its state, and waits until all answer.
    pub(crate) fn start_again(&mut self, members: &[usize]) {
        let all: Vec<String> = self
            .members
            .iter()
            .map(|member| format!("{}=http://{}", member.name, member.peer))
            .collect();
        for member in members {
            let Member {
                name,
                client,
                peer,
                child,
            } = &mut self.members[*member];
            *child = spawn(
                self.directory.path(),
                name,
                (*client, *peer),
                &all.join(","),
                &self.arguments,
            );
        }
        assert!(self.is_ready());
    }
}
