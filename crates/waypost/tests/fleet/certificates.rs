//! Certificates that the leader orders, from pebble, for all.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::authority::pebble::{Pebble, World};
use crate::cluster::Cluster;
use crate::fleet::Fleet;
use crate::instance::{Instance, Start, TEST_CLOCK};
use crate::support::tls::TlsClient;
use crate::wait::{wait_for, wait_or_else};

/// A key that certificates are sealed with, and another one.
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const OTHER_KEY: &str = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";

/// A time at which the certificates of pebble are due to be renewed.
const LATER: &str = "2031-06-01T00:00:00Z";

/// A config of a listener with a certificate that is ordered for a.test.
fn config(world: &World) -> String {
    let directory = world.directory();
    format!(
        "listeners:
- bind: 127.0.0.1:1
  tls: {{ certificates: [{{ acme: {{ directory: \"{directory}\", hosts: [a.test], ca: ca.pem }} }}] }}
routes: [{{ name: all, respond: {{ status: 200, body: hello }} }}]
"
    )
}

fn address(instance: &Instance) -> SocketAddr {
    *instance.gateway.announced().last().expect("a listener")
}

/// The certificate that an instance shows, if the client trusts it.
fn shown(client: &Arc<ClientConfig>, instance: &Instance) -> Option<Vec<u8>> {
    let client = TlsClient::connect(Arc::clone(client), address(instance), "a.test");
    Some(client.ok()?.shown())
}

/// Waits until all instances show one certificate, and not this one.
fn wait_for_one(client: &Arc<ClientConfig>, fleet: &Fleet, before: Option<&Vec<u8>>) -> Vec<u8> {
    wait_or_else(
        "one certificate at all instances",
        || {
            let shown = fleet.instances.iter().map(|instance| shown(client, instance));
            let shown: Vec<Vec<u8>> = shown.collect::<Option<_>>()?;
            let is_one = shown.iter().all(|certificate| *certificate == shown[0]);
            (is_one && Some(&shown[0]) != before).then(|| shown[0].clone())
        },
        || {
            fleet.instances[0]
                .gateway
                .admin_json("/api/v1/status")
                .to_string()
        },
    )
}

/// The orders that instances have made with this result.
fn orders(fleet: &Fleet, result: &str) -> usize {
    let line = format!("waypost_acme_orders_total{{result=\"{result}\"}} ");
    let counts = fleet.instances.iter().map(|instance| {
        let metrics = instance.gateway.metrics();
        let count = metrics.lines().find_map(|found| found.strip_prefix(&line));
        count.expect("the metric").parse::<usize>().unwrap()
    });
    counts.sum()
}

/// A fleet of three with a certificate to order.
fn started(world: &World) -> Fleet {
    let authority = world.authority.pem();
    let start = Start {
        environment: &[TEST_CLOCK],
        files: &[("ca.pem", authority), ("seal", KEY)],
        certificates_key: Some("seal"),
        ..Start::default()
    };
    let fleet = Fleet::on_as(Cluster::start(), 3, &start);
    fleet.apply(0, &config(world)).expect(0);
    fleet
}

/// A fleet of three whose leader has ordered a certificate. The authority asks an instance that does not lead.
fn ordered(world: &World) -> (Fleet, Pebble, Arc<ClientConfig>, Vec<u8>) {
    let pebble = world.pebble(0, false);
    let client = pebble.client(world);
    let fleet = started(world);
    fleet.wait_until_well();
    lead_elsewhere(world, &fleet);
    let certificate = wait_for_one(&client, &fleet, None);
    (fleet, pebble, client, certificate)
}

/// Leads the challenges to an instance that does not lead.
fn lead_elsewhere(world: &World, fleet: &Fleet) {
    let other = (fleet.leader(0) + 1) % fleet.instances.len();
    world.tls.lead_to(address(&fleet.instances[other]));
}

#[test]
fn the_leader_orders_for_all_and_each_answers_its_challenges() {
    let world = World::new();
    let (mut fleet, _pebble, client, certificate) = ordered(&world);
    wait_for("the count of the order", || {
        (orders(&fleet, "issued") == 1).then_some(())
    });
    assert_eq!(orders(&fleet, "failed"), 0);
    // Nothing of it can be read in etcd.
    let stored = fleet
        .cluster
        .etcdctl(&["get", "--prefix", "/waypost/test/certificates/"]);
    assert!(
        stored.contains(".pair") && stored.contains(".account"),
        "{stored}"
    );
    assert!(!stored.contains("PRIVATE"), "{stored}");
    // The challenges are withdrawn.
    wait_for("the end of the challenges", || {
        let keys = ["get", "--prefix", "--keys-only", "/waypost/test/certificates/"];
        let keys = fleet.cluster.etcdctl(&keys);
        (!keys.contains(".challenges")).then_some(())
    });

    // Without etcd an instance serves it after a restart, from the first handshake on.
    let cut = fleet.instances.remove(0);
    let kept = cut.gateway.directory().join("state/fleet");
    wait_for("what the state keeps", || {
        let kept = std::fs::read(&kept).ok()?;
        kept.windows(5).any(|part| part == b".pair").then_some(())
    });
    cut.cut();
    let cut = cut.restarted();
    cut.wait_for_etcd(false);
    assert_eq!(shown(&client, &cut), Some(certificate));
    cut.mend();
    cut.wait_for_etcd(true);
    fleet.instances.insert(0, cut);
    fleet.wait_until_well();
    assert_eq!(orders(&fleet, "failed"), 0);
}

#[test]
fn order_that_fails_is_told_by_all() {
    let world = World::new();
    // There is no authority.
    world.api.end_after(0);
    let fleet = started(&world);
    for instance in &fleet.instances {
        let order = wait_for("the failure", || {
            let order = instance.gateway.admin_json("/api/v1/status")["orders"][0].take();
            (order["state"] == "failing" && order["next"].is_string()).then_some(order)
        });
        let error = order["error"].as_str().unwrap();
        assert!(error.contains("the authority cannot be asked"), "{error}");
        assert!(order["failures"].as_u64() > Some(0), "{order}");
        instance.gateway.command(&["status"]).expect(1);
    }
    assert_eq!(orders(&fleet, "issued"), 0);
}

#[test]
fn another_leader_renews_what_the_former_one_has_ordered() {
    let world = World::new();
    let (mut fleet, pebble, client, before) = ordered(&world);
    let leader = fleet.leader(0);
    let former = fleet.instances.remove(leader);
    let id = former.id.clone();
    drop(former);
    fleet.instances[0].wait_until_gone(&id);
    fleet.wait_until_well();
    lead_elsewhere(&world, &fleet);
    for instance in &fleet.instances {
        instance.gateway.set_clock(LATER);
    }
    wait_for_one(&client, &fleet, Some(&before));
    // At the same account.
    pebble.wait_for_accounts(1);
}

#[test]
fn instance_with_another_key_is_named_and_does_not_lead() {
    let world = World::new();
    let (mut fleet, _pebble, client, certificate) = ordered(&world);
    let authority = world.authority.pem();
    let start = Start {
        files: &[("ca.pem", authority), ("seal", OTHER_KEY)],
        certificates_key: Some("seal"),
        ..Start::default()
    };
    let stranger = Instance::start_as(&fleet.cluster, &start);
    let named = |seen_by: &Instance| {
        let fleet = seen_by.fleet();
        let mut instances = fleet["instances"].as_array()?.iter();
        let found = instances.find(|instance| instance["id"] == *stranger.id)?;
        let why = found["errors"][0]["why"].as_str()?.to_owned();
        why.contains("`certificates_key` does not open it").then_some(())
    };
    wait_for("the error at another instance", || named(&fleet.instances[0]));
    stranger.gateway.command(&["status"]).expect(1);
    assert_eq!(shown(&client, &stranger), None);
    assert_eq!(shown(&client, &fleet.instances[0]), Some(certificate));
    // With the leader gone, one of the others leads.
    let leader = fleet.leader(0);
    drop(fleet.instances.remove(leader));
    wait_for("another leader", || {
        let leader = fleet.leader_now(0)?;
        (fleet.instances[leader].id != stranger.id).then_some(())
    });
}
