//! Pebble, and a gateway that orders from it.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::relay::Relay;
use crate::support::dns::{Kind, NameServer, Reply, addresses};
use crate::support::gateway::{Gateway, Lines};
use crate::support::tls::{Authority, TlsClient, Trusting};
use crate::support::wait_for;

/// The account that pebble knows from elsewhere, where it asks for one.
pub(crate) const KID: &str = "kid-1";
pub(crate) const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// The hosts that its name server knows.
const HOSTS: [&str; 2] = ["a.test", "b.test"];

/// The surroundings of an authority, which outlive it.
pub(crate) struct World {
    /// Signs the certificate of pebble's own address.
    pub(crate) authority: Authority,
    /// Leads to pebble.
    pub(crate) api: Relay,
    /// Leads to the gateway's listener with TLS.
    pub(crate) tls: Relay,
    /// Leads to the gateway's listener in clear text.
    pub(crate) http: Relay,
    names: NameServer,
}

/// A running pebble.
pub(crate) struct Pebble {
    child: Child,
    lines: Arc<Lines>,
    address: SocketAddr,
    management: SocketAddr,
    _directory: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let names = NameServer::new();
        for host in HOSTS {
            names.set(host, Kind::A, &[addresses(60, &["127.0.0.1"])]);
            names.set(host, Kind::Aaaa, &[Reply::NoData]);
        }
        Self {
            authority: Authority::new(),
            api: Relay::new(),
            tls: Relay::new(),
            http: Relay::new(),
            names,
        }
    }

    /// Starts a pebble that the relay leads to. It rejects this share of good nonces, in percent.
    pub(crate) fn pebble(&self, bad_nonces: u32, asks_for_binding: bool) -> Pebble {
        // Pebble does not tell its port, so a free one is picked; another process may take it first.
        for _ in 0..5 {
            let address = free_address();
            let started = self.start(address, bad_nonces, asks_for_binding);
            if let Some(pebble) = started {
                self.api.lead_to(address);
                return pebble;
            }
        }
        panic!("pebble does not start");
    }

    fn start(&self, address: SocketAddr, bad_nonces: u32, asks_for_binding: bool) -> Option<Pebble> {
        let directory = tempfile::tempdir().unwrap();
        let own = self.authority.issue(&["127.0.0.1"]);
        let (cert, key) = (
            directory.path().join("cert.pem"),
            directory.path().join("key.pem"),
        );
        fs::write(&cert, &own.cert).unwrap();
        fs::write(&key, &own.key).unwrap();
        let management = free_address();
        let config = json!({ "pebble": {
            "listenAddress": address.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": cert,
            "privateKey": key,
            "httpPort": self.http.port(),
            "tlsPort": self.tls.port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": asks_for_binding,
            "externalAccountMACKeys": { KID: KEY },
        }});
        let path = directory.path().join("pebble.json");
        fs::write(&path, config.to_string()).unwrap();
        let mut child = Command::new("pebble")
            .arg("-config")
            .arg(&path)
            .arg("-dnsserver")
            .arg(self.names.address().to_string())
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", bad_nonces.to_string())
            .env("PEBBLE_AUTHZREUSE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("pebble is installed");
        let lines = Lines::of(child.stdout.take().unwrap());
        let is_ready = wait_for("pebble, or its end", || match child_ended(&child) {
            true => Some(false),
            false => [address, management]
                .iter()
                .all(|&at| TcpStream::connect(at).is_ok())
                .then_some(true),
        });
        let pebble = Pebble {
            child,
            lines,
            address,
            management,
            _directory: directory,
        };
        is_ready.then_some(pebble)
    }

    /// URL of the directory, through the relay.
    pub(crate) fn directory(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.api.port())
    }

    /// Starts a gateway that orders a certificate for a.test, with further keys, and leads the challenges to it.
    pub(crate) fn gateway(&self, keys: &str) -> Gateway {
        let gateway = self.unreached_gateway(keys);
        self.reach(&gateway);
        gateway
    }

    /// Starts such a gateway, which no challenge reaches.
    pub(crate) fn unreached_gateway(&self, keys: &str) -> Gateway {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("ca.pem"), self.authority.pem()).unwrap();
        fs::write(directory.path().join("eab.key"), KEY).unwrap();
        let path = directory.path().join("waypost.yaml");
        fs::write(&path, self.config("a.test", keys)).unwrap();
        let clock = ("WAYPOST_TEST_CLOCK".to_owned(), "1".to_owned());
        Gateway::run(directory, path, &[clock])
    }

    /// A config with a listener in TLS for `hosts`, and one in clear text.
    pub(crate) fn config(&self, hosts: &str, keys: &str) -> String {
        let directory = self.directory();
        format!(
            "workers: 1
admin: {{ bind: 127.0.0.1:0 }}
listeners:
- {{ bind: 127.0.0.1:0, tls: {{ certificates: [{{ acme: {{ directory: \"{directory}\", hosts: [{hosts}], ca: ca.pem{keys} }} }}] }} }}
- {{ name: clear, bind: 127.0.0.1:0 }}
routes:
- {{ name: all, respond: {{ status: 200, body: hello }} }}
"
        )
    }

    /// Leads the challenges to a gateway.
    pub(crate) fn reach(&self, gateway: &Gateway) {
        let addresses = gateway.addresses();
        self.tls.lead_to(addresses[0]);
        self.http.lead_to(addresses[1]);
    }
}

impl Pebble {
    /// A client that trusts its certificates only.
    pub(crate) fn client(&self, world: &World) -> Arc<ClientConfig> {
        let mut client = Trusting::new(&world.authority).connect(self.management, "127.0.0.1");
        let root = client.get("127.0.0.1", "/roots/0");
        assert_eq!(root.status(), 200, "{}", root.text());
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(root.text().as_bytes()).unwrap();
        roots.add(root).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of accounts, as far as its log was read.
    fn accounts(&self) -> usize {
        self.said("accounts in memory").len()
    }

    /// Waits until there are so many accounts, and no more.
    pub(crate) fn wait_for_accounts(&self, number: usize) {
        wait_for("the accounts", || (self.accounts() >= number).then_some(()));
        assert_eq!(self.accounts(), number);
    }

    /// The lines of its log with this part.
    pub(crate) fn said(&self, part: &str) -> Vec<String> {
        let mut lines = self.lines.all();
        lines.retain(|line| line.contains(part));
        lines
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The report of the gateway's only certificate.
pub(crate) fn order(gateway: &Gateway) -> Value {
    let mut status = gateway.admin_json("/api/v1/status");
    assert_eq!(status["orders"].as_array().unwrap().len(), 1, "{status}");
    status["orders"][0].take()
}

/// Waits until the only certificate is in this state, and returns its report.
pub(crate) fn wait_for_state(gateway: &Gateway, state: &str) -> Value {
    wait_for(&format!("the state `{state}`"), || {
        let order = order(gateway);
        (order["state"] == state).then_some(order)
    })
}

/// Waits until a handshake for the host shows a certificate that the client trusts, and returns it.
pub(crate) fn wait_for_certificate(client: &Arc<ClientConfig>, gateway: &Gateway, host: &str) -> Vec<u8> {
    wait_for("a certificate that is trusted", || shown(client, gateway, host))
}

/// The certificate that a handshake shows, if the client trusts it.
pub(crate) fn shown(client: &Arc<ClientConfig>, gateway: &Gateway, host: &str) -> Option<Vec<u8>> {
    let client = TlsClient::connect(Arc::clone(client), gateway.addresses()[0], host);
    Some(client.ok()?.shown())
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn child_ended(child: &Child) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    // A process that has ended and was not waited for is a zombie.
    status.is_empty()
        || status
            .rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim().starts_with('Z'))
}
