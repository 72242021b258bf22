//! Changes through any instance.

use crate::cluster::Cluster;
use crate::fleet::{CONFIG, Fleet};
use crate::instance::PREFIX;
use crate::support::command::waypost_in;
use crate::wait::wait_for;

#[test]
fn first_config_comes_by_apply_at_any_instance() {
    let fleet = Fleet::on(Cluster::start(), 2);
    let empty = fleet.command(1, &["fleet"]).expect(1);
    assert!(
        empty.stdout.contains(&format!("{PREFIX}/config/")),
        "{}",
        empty.stdout
    );
    fleet.apply(1, CONFIG).expect(0);
    assert_eq!(fleet.instances[1].hello().as_deref(), Some("one"));
    fleet.wait_for_hello("one");
    fleet.wait_until_well();
}

#[test]
fn changes_at_one_instance_are_obeyed_by_all() {
    let fleet = Fleet::start();
    fleet.apply(1, &CONFIG.replace("one", "two")).expect(0);
    assert_eq!(fleet.instances[1].hello().as_deref(), Some("two"));
    fleet.wait_for_hello("two");
    fleet.dial(2, 30).expect(0);
    assert_eq!(fleet.instances[2].weight(), 30);
    fleet.wait_for_weight(30);
    fleet.command(0, &["rollback", "1"]).expect(0);
    fleet.wait_for_hello("one");
    let histories: Vec<String> = (0..3)
        .map(|number| {
            let history = || {
                let history = fleet.command(number, &["history"]).expect(0).stdout;
                (history.lines().count() == 4).then_some(history)
            };
            wait_for("three revisions", history)
        })
        .collect();
    assert!(
        histories.iter().all(|history| *history == histories[0]),
        "{histories:?}"
    );
    // A text that is put counts as an apply, and a wrong one is not obeyed.
    let key = format!("{PREFIX}/config/waypost.yaml");
    fleet
        .cluster
        .etcdctl(&["put", &key, &CONFIG.replace("one", "put")]);
    fleet.wait_for_hello("put");
    wait_for("its revision", || {
        let history = fleet.command(2, &["history"]).expect(0).stdout;
        history.lines().any(|line| line.contains("etcd")).then_some(())
    });
    fleet.cluster.etcdctl(&["put", &key, "routes: 1"]);
    wait_for("what is wrong", || {
        (fleet.command(0, &["fleet"]).code == 1).then_some(())
    });
    fleet.wait_for_hello("put");
    fleet
        .cluster
        .etcdctl(&["put", &key, &CONFIG.replace("one", "good")]);
    fleet.wait_for_hello("good");
    fleet.wait_until_well();
}

#[test]
fn config_that_the_asked_instance_cannot_obey_is_not_written() {
    let fleet = Fleet::start();
    let before = fleet.cluster.version(&format!("{PREFIX}/config/waypost.yaml"));
    let wrong = fleet
        .apply(0, &CONFIG.replace("to: { a: 90", "to: { c: 90"))
        .expect(1);
    assert!(wrong.stderr.contains("unknown-service"), "{}", wrong.stderr);
    let after = fleet.cluster.version(&format!("{PREFIX}/config/waypost.yaml"));
    assert_eq!(before, after);
}

#[test]
fn exported_config_is_what_was_applied() {
    let fleet = Fleet::start();
    let directory = tempfile::tempdir().unwrap();
    fleet
        .command(0, &["export", directory.path().join("one").to_str().unwrap()])
        .expect(0);
    let from = format!("etcd://{}{PREFIX}", fleet.cluster.endpoints());
    waypost_in(directory.path(), &["export", "two", "--from", &from]).expect(0);
    for place in ["one", "two"] {
        let text = std::fs::read_to_string(directory.path().join(place).join("waypost.yaml")).unwrap();
        assert_eq!(text, CONFIG);
    }
    // It is not written over.
    waypost_in(directory.path(), &["export", "two", "--from", &from]).expect(2);
    // And back.
    fleet.apply(0, &CONFIG.replace("one", "two")).expect(0);
    fleet
        .command(1, &["apply", directory.path().join("two").to_str().unwrap()])
        .expect(0);
    fleet.wait_for_hello("one");
}
