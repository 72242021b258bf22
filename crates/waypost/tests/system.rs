//! Tests against Prometheus and real file systems. `cargo xtask system` runs them.

#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

#[path = "blackbox/support/mod.rs"]
#[expect(dead_code, reason = "shared with the black-box suite")]
mod support;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Client, get};
use crate::support::command::repository;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::{Service, ok};

const ADMIN: &str = "admin: { bind: 127.0.0.1:0 }";

/// Timeout of every wait for Prometheus.
const PATIENCE: Duration = Duration::from_secs(60);

/// Prometheus, scraping a gateway with the example's config.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    fn reading(admin: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let example = fs::read_to_string(repository().join("examples/monitoring/prometheus.yml")).unwrap();
        assert!(example.contains("127.0.0.1:9900"));
        let config = example
            .replace("127.0.0.1:9900", &admin.to_string())
            .replace("interval: 5s", "interval: 1s");
        fs::write(directory.path().join("prometheus.yml"), config).unwrap();
        let alerts = repository().join("examples/monitoring/alerts.yml");
        fs::copy(alerts, directory.path().join("alerts.yml")).unwrap();
        // Prometheus cannot report a port 0, so a free port is picked; another process may take it first.
        for _ in 0..5 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let mut child = start(directory.path(), address);
            if is_ready(&mut child, address) {
                return Self {
                    child,
                    address,
                    _directory: directory,
                };
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("Prometheus does not start");
    }

    /// Runs a query; returns the values by these labels.
    fn query(&self, query: &str, labels: &[&str]) -> Vec<(Vec<String>, f64)> {
        let response = self.ask(query);
        assert_eq!(response["status"], "success", "{query}: {response}");
        let results = response["data"]["result"].as_array().unwrap();
        let mut found: Vec<(Vec<String>, f64)> = results
            .iter()
            .map(|result| {
                let label = |name: &&str| result["metric"][name].as_str().unwrap_or_default().to_owned();
                let value = result["value"][1].as_str().unwrap().parse().unwrap();
                (labels.iter().map(label).collect(), value)
            })
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }

    /// Repeats a query until its result is `wanted`: Prometheus scrapes once a second.
    fn wait_for(&self, query: &str, labels: &[&str], wanted: &[(&[&str], f64)]) {
        let wanted: Vec<(Vec<String>, f64)> = wanted
            .iter()
            .map(|(labels, value)| (labels.iter().map(|label| (*label).to_owned()).collect(), *value))
            .collect();
        let until = Instant::now() + PATIENCE;
        loop {
            let found = self.query(query, labels);
            if found == wanted {
                return;
            }
            assert!(Instant::now() < until, "{query}: {found:?}, not {wanted:?}");
            std::thread::yield_now();
        }
    }

    fn ask(&self, query: &str) -> Value {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let request = get(&format!("http://{}/api/v1/query?query={encoded}", self.address));
        Client::connect(self.address).ask(request).json()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(directory: &Path, address: SocketAddr) -> Child {
    Command::new("prometheus")
        .arg(format!(
            "--config.file={}",
            directory.join("prometheus.yml").display()
        ))
        .arg(format!(
            "--storage.tsdb.path={}",
            directory.join("data").display()
        ))
        .arg(format!("--web.listen-address={address}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("prometheus, from the system's packages")
}

fn is_ready(child: &mut Child, address: SocketAddr) -> bool {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until && child.try_wait().is_ok_and(|ended| ended.is_none()) {
        let ready = Client::try_connect(address)
            .ok()
            .and_then(|mut client| client.try_ask(&get(&format!("http://{address}/-/ready"))));
        if ready.is_some_and(|response| response.status() == 200) {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

/// Two versions behind a sticky split, which makes the counts predictable.
fn canary() -> (Service, Service, Gateway) {
    let v1 = Service::named("users-v1", |talk| {
        while talk.request().is_some_and(|request| request.is_complete) {
            talk.send(ok("v1"));
        }
    });
    let v2 = Service::named("users-v2", |talk| {
        while talk.request().is_some_and(|request| request.is_complete) {
            talk.send("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let gateway = Gateway::with(
        Config::new()
            .service(&v1, "")
            .service(&v2, "")
            .route("name: users, to: { users-v1: 95, users-v2: 5 }, sticky: { header: x-user }"),
    );
    (v1, v2, gateway)
}

#[test]
fn prometheus_scrape_and_dashboard_queries() {
    let (_v1, _v2, gateway) = canary();
    let prometheus = Prometheus::reading(gateway.admin_address());
    assert_eq!(
        gateway
            .dial("users", &json!({ "users-v1": 60, "users-v2": 40 }))
            .status(),
        200
    );
    let mut client = gateway.connect();
    let mut counts = [0.0, 0.0];
    for user in 0..1000 {
        let request = format!("GET /users/1 HTTP/1.1\r\nHost: a\r\nX-User: {user}\r\n\r\n");
        counts[usize::from(client.ask(request).status() == 500)] += 1.0;
    }
    prometheus.wait_for(
        "sum by (service) (waypost_requests_total{route=\"users\"})",
        &["service"],
        &[(&["users-v1"], counts[0]), (&["users-v2"], counts[1])],
    );
    prometheus.wait_for(
        "waypost_requests_total{route=\"users\"}",
        &["service", "code"],
        &[
            (&["users-v1", "200"], counts[0]),
            (&["users-v2", "500"], counts[1]),
        ],
    );
    prometheus.wait_for(
        "waypost_split_weight{route=\"users\"}",
        &["service"],
        &[(&["users-v1"], 60.0), (&["users-v2"], 40.0)],
    );
    prometheus.wait_for(
        "sum by (service) (waypost_request_duration_seconds_bucket{le=\"+Inf\"}) - sum by (service) (waypost_request_duration_seconds_count)",
        &["service"],
        &[(&["users-v1"], 0.0), (&["users-v2"], 0.0)],
    );
    prometheus.wait_for("count(up{job=\"waypost\"} == 1)", &[], &[(&[], 1.0)]);

    let dashboard = fs::read(repository().join("examples/monitoring/grafana-dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_slice(&dashboard).unwrap();
    let mut queries = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap();
            let query = query.replace("$__rate_interval", "1m").replace("$route", ".*");
            let response = prometheus.ask(&query);
            assert_eq!(response["status"], "success", "{query}: {response}");
            queries += 1;
        }
    }
    assert!(queries >= 15, "{queries} queries");
}

#[test]
fn alerts_fire_when_they_should() {
    let monitoring = repository().join("examples/monitoring");
    for arguments in [
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
    ] {
        let checked = Command::new("promtool")
            .args(arguments)
            .current_dir(&monitoring)
            .output()
            .expect("promtool, from the system's packages");
        let said = [checked.stdout, checked.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(checked.status.success(), "{arguments:?}: {said}");
    }
}

/// A tmpfs of a few blocks.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
            .arg(directory.path())
            .status();
        assert!(
            mounted.is_ok_and(|status| status.success()),
            "a disk can be mounted, as root"
        );
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills the disk.
    fn fill(&self) {
        let mut filler = fs::File::create(self.path().join("filler")).unwrap();
        let block = [0; 1024];
        while std::io::Write::write_all(&mut filler, &block).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn full_disk_refuses_changes_but_not_traffic() {
    let disk = SmallDisk::mount();
    let text = |weight: u64| {
        Config::new()
            .key(ADMIN)
            .service_at("a", &[], "")
            .service_at("b", &[], "")
            .route(&format!("name: r, to: {{ a: {weight}, b: 1 }}"))
            .to_string()
    };
    // Both config and state are on the small disk.
    let config = disk.path().join("waypost.yaml");
    fs::write(&config, text(1)).unwrap();
    let gateway = Gateway::run(tempfile::tempdir().unwrap(), config.clone(), &[]);
    assert_eq!(gateway.dial("r", &json!({ "a": 7, "b": 1 })).status(), 200);
    let live = |gateway: &Gateway| gateway.admin_json("/api/v1/routes/r")["arms"][0]["live"].clone();

    disk.fill();
    assert_eq!(gateway.dial("r", &json!({ "a": 9, "b": 1 })).status(), 507);
    assert_eq!(live(&gateway), 7);
    let fields = "Content-Type: application/yaml\r\nIf-Match: *\r\n";
    assert_eq!(
        gateway.admin("PUT", "/api/v1/config", fields, &text(2)).status(),
        507
    );
    assert_eq!(fs::read_to_string(&config).unwrap(), text(1));
    assert_eq!(gateway.admin_json("/api/v1/status")["ok"], false);
    // An edit that needs no space still comes into force, and a start works. It is one write, of as many bytes.
    let file = fs::File::options().write(true).open(&config).unwrap();
    file.write_all_at(text(3).as_bytes(), 0).unwrap();
    drop(file);
    gateway.wait_for_revision(2);
    let gateway = gateway.restarted();
    assert_eq!(gateway.get("http://a/").status(), 503, "it serves");
    assert_eq!(live(&gateway), 3);

    disk.free();
    assert_eq!(
        gateway.admin("PUT", "/api/v1/config", fields, &text(4)).status(),
        200
    );
    assert_eq!(gateway.dial("r", &json!({ "a": 8, "b": 1 })).status(), 200);
    let gateway = gateway.restarted();
    assert_eq!(
        (live(&gateway), fs::read_to_string(&config).unwrap()),
        (json!(8), text(4))
    );
    assert_eq!(gateway.admin_json("/api/v1/status")["ok"], true);
}

#[test]
fn unreplaceable_config_file_refuses_changes() {
    // Like `docker run --volume FILE:FILE`: the file can be written, but not renamed over.
    let directory = tempfile::tempdir().unwrap();
    let text = |body: &str| Config::new().key(ADMIN).all_respond(body).to_string();
    let (source, config) = (
        directory.path().join("source"),
        directory.path().join("waypost.yaml"),
    );
    fs::write(&source, text("one")).unwrap();
    fs::write(&config, "").unwrap();
    let mounted = Command::new("mount")
        .arg("--bind")
        .args([&source, &config])
        .status();
    assert!(
        mounted.is_ok_and(|status| status.success()),
        "a file can be mounted, as root"
    );
    let gateway = Gateway::run(directory, config.clone(), &[]);
    let fields = "Content-Type: application/yaml\r\nIf-Match: *\r\n";
    let response = gateway.admin("PUT", "/api/v1/config", fields, &text("two"));
    let served = gateway.get("http://a/").text();
    let revisions = gateway.admin_json("/api/v1/revisions");
    let _ = Command::new("umount").arg("--lazy").arg(&config).status();
    assert_eq!((response.status(), &*served), (507, "one"), "{}", response.text());
    assert_eq!(revisions.as_array().map(Vec::len), Some(1));
}
