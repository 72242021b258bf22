//! Leases.

use std::time::Duration;

use waypost_etcd::error::Error;
use waypost_etcd::kv::write::Put;
use waypost_etcd::revision::{LeaseId, Revision};
use waypost_etcd::watch::Watch;

use super::{Cluster, changes, prefix, put, so_many_changes};

pub(crate) async fn a_lease_takes_its_keys_with_it<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = cluster.client();
    // On a slow machine, too, it holds until its key was written and seen.
    let short = client.grant(Duration::from_secs(8), None).await.unwrap();
    assert!(short.ttl >= Duration::from_secs(8));
    let revoked = client
        .grant(Duration::from_millis(59_001), Some(LeaseId(0x42)))
        .await
        .unwrap();
    assert_eq!(
        (revoked.id, revoked.ttl),
        (LeaseId(0x42), Duration::from_secs(60))
    );
    for (key, lease) in [("/l/1", revoked.id), ("/l/2", revoked.id), ("/l/3", short.id)] {
        let put = Put::new(key, "").with_lease(lease);
        client.put(&put).await.unwrap();
    }
    let left = client.time_to_live(revoked.id, true).await.unwrap();
    assert_eq!(left.granted, revoked.ttl);
    assert!(left.left <= revoked.ttl);
    let mut keys = left.keys;
    keys.sort();
    assert_eq!(keys, [b"/l/1", b"/l/2"]);
    // A write without a lease takes the key from it.
    put(&client, "/l/2", "kept").await;
    let mut watches = client.watches();
    watches.add(Watch::new(prefix("/l/"), Revision(1)));
    so_many_changes(&mut watches, 4).await;
    cluster.pass(short.ttl);
    assert_eq!(changes(&mut watches).await.1, ["/l/3 deleted"]);
    client.revoke(revoked.id).await.unwrap();
    assert_eq!(changes(&mut watches).await.1, ["/l/1 deleted"]);
    assert!(client.get("/l/2").await.unwrap().is_some());
}

pub(crate) async fn a_lease_that_is_renewed_stays<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = cluster.client();
    let lease = client.grant(Duration::from_secs(60), None).await.unwrap();
    let mut keep_alive = client.keep_alive(lease.id);
    for _ in 0..3 {
        cluster.pass(Duration::from_secs(40));
        assert_eq!(keep_alive.renew().await.unwrap(), lease.ttl);
    }
    client.revoke(lease.id).await.unwrap();
    assert_eq!(
        keep_alive.renew().await.unwrap_err(),
        Error::LeaseNotFound { lease: lease.id }
    );
}

pub(crate) async fn leases_that_are_not_there_are_named<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = cluster.client();
    let lease = LeaseId(0x1234);
    let missing = Error::LeaseNotFound { lease };
    assert_eq!(client.revoke(lease).await.unwrap_err(), missing);
    assert_eq!(client.time_to_live(lease, false).await.unwrap_err(), missing);
    assert_eq!(client.keep_alive(lease).renew().await.unwrap_err(), missing);
    let put = Put::new("/l", "").with_lease(lease);
    assert_eq!(client.put(&put).await.unwrap_err(), missing);
    client.grant(Duration::from_secs(60), Some(lease)).await.unwrap();
    assert_eq!(
        client
            .grant(Duration::from_secs(60), Some(lease))
            .await
            .unwrap_err(),
        Error::LeaseExists { lease }
    );
    assert!(matches!(
        client.grant(Duration::MAX, None).await.unwrap_err(),
        Error::Refused { .. }
    ));
}
