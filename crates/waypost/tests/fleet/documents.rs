//! The files that `docs/fleet.md` gives to copy.

use std::process::Command;

use crate::cluster::Cluster;
use crate::support::command::{output, repository};

#[test]
fn roles_of_the_example_are_made() {
    let mut cluster = Cluster::start();
    output(
        Command::new("sh")
            .arg(repository().join("examples/fleet/roles.sh"))
            .env("ETCDCTL_ENDPOINTS", cluster.endpoints())
            .env("ROOT_PASSWORD", "r")
            .env("GATEWAY_PASSWORD", "g")
            .env("READER_PASSWORD", "b"),
    )
    .expect(0);
    cluster.user = Some("waypost:g".to_owned());
    cluster.etcdctl(&["put", "/waypost/prod/config/a.yaml", "x"]);
    assert_ne!(cluster.try_etcdctl(&["put", "/other", "x"]).code, 0);
    cluster.user = Some("waypost-reader:b".to_owned());
    assert_eq!(cluster.get("/waypost/prod/config/a.yaml"), "x");
    assert_ne!(
        cluster
            .try_etcdctl(&["put", "/waypost/prod/config/a.yaml", "y"])
            .code,
        0
    );
}
