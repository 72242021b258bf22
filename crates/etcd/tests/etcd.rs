//! The client on etcd itself. `cargo xtask system` runs it.

#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

mod promises;

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use waypost_etcd::client::Client;
use waypost_etcd::error::Error;
use waypost_etcd::options::{Endpoint, Options};
use waypost_tls::client::ClientTls;

use crate::promises::tls::Authority;
use crate::promises::{Cluster, put};

/// Attempts to find ports that are free: etcd cannot report a port 0, so another process may take one first.
const ATTEMPTS: u32 = 5;

/// The ports of members, which are below those that Linux gives by itself.
const PORT_MIN: u16 = 12_000;
const PORTS: u16 = 8_000;

/// A cluster of etcd.
struct Etcd {
    members: Vec<Member>,
    directory: tempfile::TempDir,
    tls: Option<Authority>,
}

struct Member {
    name: String,
    client: String,
    peer: String,
    child: Child,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.child.kill();
            let _ = member.child.wait();
        }
    }
}

/// Free addresses. Their ports are none that the system gives by itself, so that none is taken while its member is dead.
fn addresses(count: usize) -> Vec<String> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes begin at different ones.
    let begin = u16::try_from(std::process::id() % 80).unwrap() * 100;
    let mut addresses = Vec::new();
    while addresses.len() < count {
        let next = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let address = format!("127.0.0.1:{}", PORT_MIN + next % PORTS);
        if TcpListener::bind(&address).is_ok() {
            addresses.push(address);
        }
    }
    addresses
}

/// Starts a member with its directory, which may hold its state already. With certificates there, it asks clients for theirs.
fn spawn(directory: &Path, name: &str, client: &str, peer: &str, cluster: &str) -> Child {
    let has_tls = directory.join("ca.pem").exists();
    let scheme = if has_tls { "https" } else { "http" };
    let mut etcd = Command::new("etcd");
    if has_tls {
        etcd.arg("--client-cert-auth");
        for (option, file) in [
            ("--cert-file", "member.pem"),
            ("--key-file", "member.key"),
            ("--trusted-ca-file", "ca.pem"),
        ] {
            etcd.arg(option).arg(directory.join(file));
        }
    }
    let log = File::options()
        .create(true)
        .append(true)
        .open(directory.join(format!("{name}.log")))
        .unwrap();
    etcd.args(["--name", name])
        .arg("--data-dir")
        .arg(directory.join(name))
        .args(["--listen-client-urls", &format!("{scheme}://{client}")])
        .args(["--advertise-client-urls", &format!("{scheme}://{client}")])
        .args(["--listen-peer-urls", &format!("http://{peer}")])
        .args(["--initial-advertise-peer-urls", &format!("http://{peer}")])
        .args(["--initial-cluster", cluster])
        .args(["--logger", "zap", "--log-level", "warn"])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("etcd is installed")
}

impl Etcd {
    fn spawn(members: usize, tls: Option<Authority>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        if let Some(authority) = &tls {
            let certificate = authority.issue("etcd");
            for (file, text) in [
                ("ca.pem", authority.pem()),
                ("member.pem", certificate.pem()),
                ("member.key", certificate.key_pem()),
            ] {
                fs::write(directory.path().join(file), text).unwrap();
            }
        }
        let addresses = addresses(members * 2);
        let pairs: Vec<&[String]> = addresses.chunks(2).collect();
        let all: Vec<String> = pairs
            .iter()
            .enumerate()
            .map(|(number, pair)| format!("m{number}=http://{}", pair[1]))
            .collect();
        let cluster = all.join(",");
        let members = pairs.iter().enumerate().map(|(number, pair)| {
            let name = format!("m{number}");
            Member {
                child: spawn(directory.path(), &name, &pair[0], &pair[1], &cluster),
                name,
                client: pair[0].clone(),
                peer: pair[1].clone(),
            }
        });
        Self {
            members: members.collect(),
            directory,
            tls,
        }
    }

    /// Waits until every member knows its leader. Returns false if one has ended.
    async fn is_ready(&mut self) -> bool {
        for number in 0..self.members.len() {
            let client = Client::new(Options {
                endpoints: vec![self.members[number].endpoint()],
                deadline: Duration::from_millis(500),
                tls: self.client_tls(),
                ..self.options()
            });
            // With users, reads are refused, and that is an answer too.
            while let Err(Error::Unavailable { .. }) = client.get("/").await {
                if self.members[number].child.try_wait().unwrap().is_some() {
                    return false;
                }
            }
        }
        true
    }

    async fn start_with(members: usize, authority: impl Fn() -> Option<Authority>) -> Self {
        for _ in 0..ATTEMPTS {
            let mut etcd = Self::spawn(members, authority());
            if etcd.is_ready().await {
                return etcd;
            }
        }
        panic!("etcd does not start");
    }

    fn client_tls(&self) -> Option<ClientTls> {
        let authority = self.tls.as_ref()?;
        Some(authority.client_tls(Some(&authority.issue("waypost"))))
    }

    fn start_again(&mut self, member: usize) {
        let Member {
            name,
            client,
            peer,
            child,
        } = &mut self.members[member];
        // With state, the members of the cluster are known.
        let cluster = format!("{name}=http://{peer}");
        *child = spawn(self.directory.path(), name, client, peer, &cluster);
    }

    fn signal(&self, member: usize, signal: &str) {
        let id = self.members[member].child.id().to_string();
        let status = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(status.success());
    }
}

impl Member {
    fn endpoint(&self) -> Endpoint {
        self.client.parse().unwrap()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Cluster for Etcd {
    async fn start(members: usize) -> Self {
        Self::start_with(members, || None).await
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        self.members.iter().map(Member::endpoint).collect()
    }

    async fn stop(&mut self, member: usize) {
        self.members[member].kill();
    }

    async fn freeze(&mut self, member: usize) {
        self.signal(member, "-STOP");
    }

    async fn heal(&mut self, member: usize) {
        if self.members[member].child.try_wait().unwrap().is_some() {
            self.start_again(member);
        } else {
            self.signal(member, "-CONT");
        }
        assert!(self.is_ready().await);
    }

    // Simple tokens are in memory.
    async fn forget_tokens(&mut self) {
        self.members[0].kill();
        self.start_again(0);
        assert!(self.is_ready().await);
    }

    fn pass(&self, _: Duration) {}
}

mod on_etcd {
    crate::all_promises!(crate::Etcd);
}

#[tokio::test]
async fn members_and_clients_know_each_other_by_certificates() {
    let etcd = Etcd::start_with(1, || Some(Authority::new())).await;
    let client = Client::new(Options {
        tls: etcd.client_tls(),
        ..etcd.options()
    });
    put(&client, "/k", "").await;
    let authority = etcd.tls.as_ref().unwrap();
    let in_clear = "it speaks TLS, and is asked without";
    for (tls, expected) in [
        (None, in_clear),
        (Some(authority.client_tls(None)), ""),
        (
            Some(authority.client_tls(Some(&Authority::new().issue("waypost")))),
            "",
        ),
        (
            Some(Authority::new().client_tls(Some(&authority.issue("waypost")))),
            "",
        ),
    ] {
        let stranger = Client::new(Options {
            tls,
            ..etcd.options()
        });
        // Within this time, a connection is refused by the member, and not for taking too long.
        let error = stranger.with_deadline(Duration::from_secs(3)).get("/k").await;
        let Err(Error::Unavailable { reason }) = error else {
            panic!("{error:?}");
        };
        assert!(reason.contains(expected), "{reason}");
    }
}
