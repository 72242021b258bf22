//! Many instances.

use std::env;
use std::time::Instant;

use crate::broken::dial_until_it_is_taken;
use crate::cluster::Cluster;
use crate::fleet::{CONFIG, Fleet};
use crate::instance::{Instance, Start};
use crate::wait::wait_or_else;

/// The variable for the number of instances.
const VARIABLE: &str = "WAYPOST_TEST_INSTANCES";

/// Their number without it.
const INSTANCES: usize = 20;

/// Figures of etcd that are shown, with their names there.
const FIGURES: [(&str, &str); 3] = [
    ("requests", "grpc_server_started_total{"),
    ("bytes sent", "etcd_network_client_grpc_sent_bytes_total"),
    ("bytes received", "etcd_network_client_grpc_received_bytes_total"),
];

/// Carries out a change, waits until all obey it, and prints the time and the figures of etcd.
fn measured(fleet: &Fleet, what: &str, change: impl FnOnce()) {
    let figures = || FIGURES.map(|(_, name)| fleet.cluster.metric(name));
    let (before, began) = (figures(), Instant::now());
    change();
    let ms = began.elapsed().as_millis();
    let after = figures();
    let shown: Vec<String> = FIGURES
        .iter()
        .zip(before.iter().zip(after))
        .map(|((name, _), (before, after))| format!("{name} {}", after - before))
        .collect();
    println!("{what}: {ms} ms, {}", shown.join(", "));
}

#[test]
fn many_instances_obey_every_change_and_outlive_a_member() {
    let instances = env::var(VARIABLE).map_or(INSTANCES, |number| number.parse().expect("a number"));
    let start = Start {
        is_direct: true,
        ..Start::default()
    };
    let mut fleet = Fleet {
        cluster: Cluster::start(),
        instances: Vec::new(),
    };
    fleet.instances.push(Instance::start_as(&fleet.cluster, &start));
    fleet.apply(0, CONFIG).expect(0);
    while fleet.instances.len() < instances {
        fleet.instances.push(Instance::start_as(&fleet.cluster, &start));
    }
    fleet.wait_for_hello("one");
    let wait_until_seen = |fleet: &Fleet| {
        wait_or_else(
            "all instances",
            || {
                let seen = fleet.instances[0].fleet();
                let is_whole = seen["instances"].as_array()?.len() == instances;
                let rules = seen["rules"].as_i64()?;
                let mut others = seen["instances"].as_array()?.iter();
                let obey = others.all(|instance| instance["obeys"].as_i64() >= Some(rules));
                (is_whole && obey).then_some(())
            },
            || fleet.instances[0].fleet().to_string(),
        );
    };
    wait_until_seen(&fleet);
    measured(&fleet, "a dial", || {
        fleet.dial(instances - 1, 20).expect(0);
        fleet.wait_for_weight(20);
    });
    measured(&fleet, "reports of it", || wait_until_seen(&fleet));
    measured(&fleet, "a config", || {
        fleet
            .apply(instances / 2, &CONFIG.replace("one", "two"))
            .expect(0);
        fleet.wait_for_hello("two");
    });
    measured(&fleet, "reports of it", || wait_until_seen(&fleet));
    let waited = fleet.command(0, &["dial", "split", "a=70", "b=30", "--wait=60s"]);
    assert_eq!(waited.code, 0, "{waited:?}");
    assert!(fleet.instances.iter().all(|instance| instance.weight() == 30));

    let leader = fleet.cluster.leader();
    fleet.cluster.kill(leader);
    let weight = dial_until_it_is_taken(&fleet.instances[1]);
    fleet.wait_for_weight(weight);
    fleet.cluster.start_again(&[leader]);
    // None was lost.
    wait_until_seen(&fleet);
}
