//! Rollouts judged over all instances: what they count together, and what is done without some of them.

use super::*;
use crate::support::client::{Client, get};

/// A path at which the new version fails.
const BROKEN: &str = "/users/broken";
const GOOD: &str = "/users/7";

/// A version that fails at [`BROKEN`] if it is the new one.
fn version(name: &'static str, is_new: bool) -> Service {
    Service::named(name, move |talk| {
        while let Some(request) = talk.request().filter(|request| request.is_complete) {
            talk.send(match is_new && request.target() == BROKEN {
                true => "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned(),
                false => ok(name),
            });
        }
    })
}

/// Two instances that serve both versions, and a rollout that the first one leads.
struct Bench {
    etcd: Etcd,
    one: Gateway,
    two: Gateway,
    _versions: [Service; 2],
}

impl Bench {
    /// The rollout goes by the test clock.
    fn new() -> Self {
        let bench = Self::begun(Etcd::instance_with_test_clock);
        // What the other instance counts from now on is the rollout's.
        bench.one.pass(1);
        bench
    }

    fn begun(instance: fn(&Etcd) -> Gateway) -> Self {
        let versions = [version("a", false), version("b", true)];
        let [a, b] = &versions;
        let timeouts = "timeouts: { response: 5s }";
        let config = Config::new().service(a, timeouts).service(b, timeouts).route(
            "name: users, to: { a: 100, b: 0 }, rollout: { canary: b, steps: [50, 60, 100], at_least: 0s, requests: 20, \
             warmup: 0s, judge: { errors: { ratio: 1.5, plus: 20 }, client_errors: off, abandoned: off, latency: off } }",
        );
        let etcd = Etcd::with(config);
        let one = instance(&etcd);
        wait_for("the lead", || leads(&one).then_some(()));
        let two = instance(&etcd);
        wait_for_revision(&two, 1);
        wait_for_two(&one);
        let started = one.admin("POST", "/api/v1/routes/users/rollout", JSON, "{}");
        assert_eq!(started.status(), 200, "{}", started.text());
        wait_for("the first step", || (live(&two) == live(&one)).then_some(()));
        Self {
            etcd,
            one,
            two,
            _versions: versions,
        }
    }

    fn status(&self) -> Value {
        rollout(&self.one)
    }

    /// Lets seconds with so many good requests at each instance pass, until the rollout is as wanted.
    fn seconds_until(&self, requests: [usize; 2], most: usize, is_so: impl Fn(&Value) -> bool) {
        for _ in 0..most {
            burst(&self.one, GOOD, requests[0]);
            if requests[1] > 0 {
                burst(&self.two, GOOD, requests[1]);
            }
            self.one.pass(1);
            if is_so(&self.status()) {
                return;
            }
        }
        panic!("not so after {most} seconds: {}", self.status());
    }
}

fn wait_for_two(gateway: &Gateway) {
    wait_for("both instances", || {
        let fleet = gateway.admin_json("/api/v1/fleet");
        let instances = fleet["instances"].as_array().unwrap();
        let are_well = instances.iter().all(|instance| instance["admin"].is_string());
        (instances.len() == 2 && are_well).then_some(())
    });
}

fn rollout(gateway: &Gateway) -> Value {
    gateway.admin_json("/api/v1/routes/users/rollout")
}

/// Sends requests one behind the other, and waits until they are counted.
fn burst(gateway: &Gateway, path: &str, count: usize) {
    let before = counted(gateway);
    let announced = gateway.announced();
    let mut client = Client::connect(*announced.last().expect("a listener"));
    client.send(get(&format!("http://a{path}")).repeat(count));
    (0..count).for_each(|_| drop(client.response()));
    wait_for("the count", || (counted(gateway) >= before + count).then_some(()));
}

/// The requests that an instance has counted.
fn counted(gateway: &Gateway) -> usize {
    let metrics = gateway.metrics();
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("waypost_requests_total{route=\"users\""));
    lines
        .map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
        .sum()
}

/// The requests of both versions in this step.
fn judged(status: &Value) -> [u64; 2] {
    let step = &status["metrics"][0]["step"];
    ["canary_requests", "baseline_requests"].map(|key| step[key].as_u64().unwrap())
}

#[test]
fn version_that_fails_only_at_another_instance_is_rolled_back() {
    let bench = Bench::new();
    for _ in 0..10 {
        burst(&bench.one, GOOD, 20);
        burst(&bench.two, BROKEN, 40);
        bench.one.pass(1);
        if bench.status()["state"] == "rolled_back" {
            break;
        }
    }
    let status = bench.status();
    assert_eq!(status["state"], "rolled_back", "{status}");
    wait_for("the weights at the other", || {
        (live(&bench.two) == live(&bench.one)).then_some(())
    });
    // What is stored is told where the leader does not answer in time.
    wait_for("the state at the other", || {
        (rollout(&bench.two)["state"] == "rolled_back").then_some(())
    });
}

#[test]
fn instances_are_asked_once_a_second() {
    let bench = Bench::begun(Etcd::instance);
    wait_for("the rollback", || {
        burst(&bench.two, BROKEN, 20);
        (bench.status()["state"] == "rolled_back").then_some(())
    });
}

#[test]
fn judge_counts_the_requests_of_all_instances_once() {
    let bench = Bench::new();
    burst(&bench.one, GOOD, 10);
    burst(&bench.two, GOOD, 30);
    bench.one.pass(1);
    assert_eq!(judged(&bench.status()).iter().sum::<u64>(), 40);
    burst(&bench.one, GOOD, 20);
    bench.one.pass(2);
    burst(&bench.two, GOOD, 20);
    bench.one.pass(1);
    let status = bench.status();
    assert_eq!(judged(&status).iter().sum::<u64>(), 80, "{status}");
    assert_eq!(status["missing"], Value::Null);
}

#[test]
fn restart_of_an_instance_is_not_a_fall() {
    let bench = Bench::new();
    burst(&bench.one, GOOD, 10);
    burst(&bench.two, GOOD, 30);
    bench.one.pass(1);
    let Bench {
        etcd,
        one,
        two,
        _versions,
    } = bench;
    let two = two.restarted();
    wait_for_revision(&two, 1);
    let address = format!("http://{}", two.admin_address());
    wait_for("its new address", || {
        let fleet = one.admin_json("/api/v1/fleet");
        let mut instances = fleet["instances"].as_array().unwrap().iter();
        instances
            .any(|instance| instance["admin"] == *address)
            .then_some(())
    });
    // The first count of the new process is what later ones are compared with.
    burst(&two, GOOD, 5);
    one.pass(1);
    burst(&two, GOOD, 25);
    one.pass(1);
    let status = rollout(&one);
    assert_eq!(judged(&status).iter().sum::<u64>(), 65, "{status}");
    drop(etcd);
}

#[test]
fn nothing_is_decided_without_an_instance_that_had_more_than_a_tenth_of_the_requests() {
    let mut bench = Bench::new();
    for _ in 0..2 {
        burst(&bench.one, GOOD, 20);
        burst(&bench.two, GOOD, 20);
        bench.one.pass(1);
    }
    let (gone, _) = ids(&bench.two);
    bench.two.kill();
    let age = bench.status()["step_seconds"].clone();
    for _ in 0..20 {
        burst(&bench.one, GOOD, 20);
        bench.one.pass(1);
    }
    let status = bench.status();
    assert_eq!(
        (&status["percent"], &status["missing"], &status["step_seconds"]),
        (&json!(50.0), &json!([gone]), &age),
        "{status}"
    );
    let lacks = status["lacks"].to_string();
    assert!(
        lacks.contains(&format!("instance {gone} does not answer, and ")),
        "{lacks}"
    );
    let shown = bench
        .one
        .command(&["rollout", "status", "users"])
        .expect(0)
        .stdout;
    assert!(
        shown.contains(&format!(
            "missing    instance {gone} does not answer, and its requests"
        )),
        "{shown}"
    );
    bench
        .one
        .wait_for_part(&format!("instance {gone} does not say what it has counted"));

    // Neither is a version that fails taken back, before all is known again.
    bench.two = bench.two.restarted();
    wait_for_revision(&bench.two, 1);
    wait_for("its answer", || {
        burst(&bench.one, GOOD, 20);
        bench.one.pass(1);
        bench.status()["missing"].is_null().then_some(())
    });
    bench.seconds_until([20, 20], 30, |status| status["percent"] == 60.0);
}

#[test]
fn version_that_fails_is_rolled_back_once_all_is_known_again() {
    let mut bench = Bench::new();
    for _ in 0..2 {
        burst(&bench.one, GOOD, 20);
        burst(&bench.two, GOOD, 20);
        bench.one.pass(1);
    }
    bench.two.kill();
    for _ in 0..10 {
        burst(&bench.one, BROKEN, 20);
        bench.one.pass(1);
    }
    assert_eq!(bench.status()["state"], "running");
    bench.two = bench.two.restarted();
    wait_for_revision(&bench.two, 1);
    wait_for("the rollback", || {
        bench.one.pass(1);
        (bench.status()["state"] == "rolled_back").then_some(())
    });
}

#[test]
fn an_instance_with_few_requests_is_done_without() {
    let mut bench = Bench::new();
    for _ in 0..2 {
        burst(&bench.one, GOOD, 40);
        burst(&bench.two, GOOD, 2);
        bench.one.pass(1);
    }
    let (gone, _) = ids(&bench.two);
    bench.two.kill();
    bench.seconds_until([40, 0], 30, |status| status["percent"] == 60.0);
    assert_eq!(bench.status()["missing"], json!([gone]));
    assert!(bench.etcd.get(&format!("instances/{gone}")).is_some());
}

#[test]
fn another_instance_that_leads_judges_from_then_on() {
    let Bench {
        etcd,
        mut one,
        two,
        _versions,
    } = Bench::new();
    burst(&one, GOOD, 10);
    burst(&two, GOOD, 10);
    one.pass(1);
    one.signal(rustix::process::Signal::TERM);
    one.wait();
    wait_for("another leader", || leads(&two).then_some(()));
    let before = judged(&rollout(&two)).iter().sum::<u64>();
    assert_eq!(before, 20, "what was counted is stored");
    let three = etcd.instance_with_test_clock();
    wait_for_revision(&three, 1);
    wait_for_two(&two);
    two.pass(1);
    burst(&two, GOOD, 10);
    burst(&three, GOOD, 10);
    two.pass(1);
    let status = rollout(&two);
    assert_eq!(judged(&status).iter().sum::<u64>(), 40, "{status}");
}

#[test]
fn address_of_another_instance_is_not_taken_for_that_of_the_one_that_has_written_it() {
    let (a, b) = (named("a"), named("b"));
    let etcd = Etcd::with(split(&a, &b));
    let one = etcd.instance();
    wait_for_revision(&one, 1);
    let (own, _) = ids(&one);
    for _ in 0..3 {
        assert_eq!(body(&one), "a");
    }
    let refused = one.admin("GET", "/api/v1/status", "waypost-instance: other\r\n", "");
    assert_eq!(refused.status(), 421, "{}", refused.text());
    let told = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        told.starts_with(&format!(
            "this is not the admin API of instance other: it is that of instance {own};"
        )),
        "{told}"
    );
    let fields = format!("waypost-instance: {own}\r\n");
    assert_eq!(one.admin("GET", "/api/v1/status", &fields, "").status(), 200);

    // As if two instances on different machines had their admin APIs at the same loopback address.
    let record = wait_for("its record", || etcd.get(&format!("instances/{own}")));
    let lease = etcd.client.grant(Duration::from_secs(10), None);
    let lease = etcd.runtime.block_on(lease).unwrap().id;
    let put = Put::new(format!("{PREFIX}/instances/other"), &*record).with_lease(lease);
    etcd.runtime.block_on(etcd.client.put(&put)).unwrap();
    let stats = wait_for("the other", || {
        let stats = one.admin_json("/api/v1/stats?window=1m");
        let are_counted = stats["routes"][0]["arms"][0]["requests"] == 3;
        (stats["missing"].is_array() && are_counted).then_some(stats)
    });
    assert_eq!(
        (&stats["instances"], &stats["missing"]),
        (&json!(1), &json!(["other"]))
    );

    let alone = Gateway::to(&a);
    let refused = alone.admin("GET", "/api/v1/status", "waypost-instance: other\r\n", "");
    assert_eq!(refused.status(), 421, "{}", refused.text());
}
