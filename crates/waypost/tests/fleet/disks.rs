//! etcd whose disk, or whose quota, is full.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use crate::broken::dial_until_it_is_taken;
use crate::cluster::{Cluster, Setup};
use crate::fleet::{CONFIG, Fleet};
use crate::machines::Disk;
use crate::namespaces;
use crate::wait::{wait_for, wait_or_else};

/// A value of a key of others.
const LARGE_BYTES: usize = 100_000;

/// Writes keys of others until `is_full`.
fn fill(fleet: &mut Fleet, is_full: impl Fn(&mut Cluster, &str) -> bool) {
    let large = "x".repeat(LARGE_BYTES);
    let cluster = &mut fleet.cluster;
    wait_for("a full etcd", || {
        let put = cluster.try_etcdctl(&["put", "/other", &large]);
        is_full(cluster, &put.stderr).then_some(())
    });
}

#[test]
fn etcd_with_a_used_up_quota_refuses_changes_until_it_is_mended() {
    let cluster = Cluster::start_as(&Setup {
        arguments: &["--quota-backend-bytes", "2000000"],
        ..Setup::default()
    });
    let mut fleet = Fleet::on(cluster, 2);
    fleet.apply(0, CONFIG).expect(0);
    fleet.wait_for_hello("one");
    fleet.wait_until_well();
    fill(&mut fleet, |_, said| said.contains("space"));
    let refused = fleet.apply(0, &CONFIG.replace("one", "two")).expect(1);
    assert!(refused.stderr.contains("etcd is full"), "{}", refused.stderr);
    let refused = fleet.instances[1].dial(30);
    assert_eq!(refused.status(), 507, "{}", refused.text());
    assert!(refused.json()["outcome"].is_null(), "{}", refused.text());
    wait_for("a red status", || {
        let status = fleet.instances[1].gateway.command(&["status"]);
        (status.code == 1 && status.stdout.contains("quota")).then_some(())
    });
    fleet.wait_for_hello("one");
    fleet.wait_for_weight(10);

    fleet.cluster.etcdctl(&["del", "/other"]);
    fleet.cluster.compact();
    fleet.cluster.defragment();
    for (instance, body) in [(0, "two"), (1, "three")] {
        wait_or_else(
            "a change that is taken",
            || (fleet.apply(instance, &CONFIG.replace("one", body)).code == 0).then_some(()),
            || format!("{:?}", fleet.apply(instance, &CONFIG.replace("one", body))),
        );
        fleet.wait_for_hello(body);
        let weight = dial_until_it_is_taken(&fleet.instances[instance]);
        fleet.wait_for_weight(weight);
    }
    fleet.wait_until_well();
}

/// Fills a disk; returns the file that does.
fn fill_disk(disk: &Path) -> std::path::PathBuf {
    let path = disk.join("other");
    let mut file = File::create(&path).unwrap();
    for size in [1 << 20, 1 << 12] {
        let zeros = vec![0; size];
        while file.write_all(&zeros).is_ok() {}
    }
    path
}

#[test]
fn members_whose_disks_are_full_are_as_dead_ones() {
    if !namespaces::enter("disks::members_whose_disks_are_full_are_as_dead_ones") {
        return;
    }
    // etcd takes 128 MiB before it has written anything.
    let disks = [Disk::new("160m"), Disk::new("160m")];
    let cluster = Cluster::start_as(&Setup {
        disks: disks.iter().map(Disk::path).enumerate().collect(),
        ..Setup::default()
    });
    let mut fleet = Fleet::on(cluster, 3);
    fleet.apply(0, CONFIG).expect(0);
    fleet.wait_for_hello("one");
    fleet.wait_until_well();

    let first = fill_disk(disks[0].path());
    fill(&mut fleet, |cluster, _| cluster.has_ended(0));
    let weight = dial_until_it_is_taken(&fleet.instances[0]);
    fleet.wait_for_weight(weight);

    let second = fill_disk(disks[1].path());
    fill(&mut fleet, |cluster, _| cluster.has_ended(1));
    for instance in &fleet.instances {
        instance.wait_for_etcd(false);
        assert_eq!(instance.dial(99).status(), 503);
        assert_eq!(instance.weight(), weight);
        assert_eq!(instance.hello().as_deref(), Some("one"));
    }

    for file in [first, second] {
        fs::remove_file(file).unwrap();
    }
    fleet.cluster.start_again(&[0, 1]);
    fleet.wait_until_well();
    fleet.wait_for_weight(weight);
    fleet.apply(2, &CONFIG.replace("one", "two")).expect(0);
    fleet.wait_for_hello("two");
    let weight = dial_until_it_is_taken(&fleet.instances[1]);
    fleet.wait_for_weight(weight);
}
