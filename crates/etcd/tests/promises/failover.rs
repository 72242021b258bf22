//! Members that go and come back.

use std::time::Duration;

use waypost_etcd::client::Client;
use waypost_etcd::error::Error;
use waypost_etcd::kv::write::Put;
use waypost_etcd::revision::Revision;
use waypost_etcd::watch::Watch;

use super::{Cluster, changes, prefix, started};

/// The place of the member in use among the endpoints: each client begins with the first.
const IN_USE: usize = 0;

/// Writes until it is certain that it was done. Writing the same again changes no value. A member that stands still costs a
/// deadline.
async fn put_surely(client: &Client, key: &str, value: &str) {
    let client = client.with_deadline(Duration::from_secs(2));
    loop {
        match client.put(&Put::new(key, value)).await {
            Ok(_) => return,
            Err(Error::OutcomeUnknown { .. } | Error::Unavailable { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

pub(crate) async fn calls_go_to_members_that_answer<C: Cluster>() {
    let mut cluster = C::start(3).await;
    let client = cluster.client();
    put_surely(&client, "/f", "1").await;
    let lease = client.grant(Duration::from_secs(60), None).await.unwrap();
    let mut keep_alive = client.keep_alive(lease.id);
    keep_alive.renew().await.unwrap();
    cluster.stop(IN_USE).await;
    assert_eq!(client.get("/f").await.unwrap().unwrap().value, b"1");
    keep_alive.renew().await.unwrap();
    put_surely(&client, "/f", "2").await;
    cluster.heal(IN_USE).await;
    cluster.stop(1).await;
    assert_eq!(client.get("/f").await.unwrap().unwrap().value, b"2");
    put_surely(&client, "/f", "3").await;
    assert_eq!(client.get("/f").await.unwrap().unwrap().value, b"3");
}

pub(crate) async fn a_member_that_stands_still_is_left<C: Cluster>() {
    let mut cluster = C::start(3).await;
    let client = cluster.client().with_deadline(Duration::from_secs(4));
    put_surely(&client, "/f", "1").await;
    cluster.freeze(IN_USE).await;
    // A read has time for another member.
    let value = loop {
        match client.get("/f").await {
            Ok(kv) => break kv.unwrap().value,
            Err(Error::Unavailable { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    };
    assert_eq!(value, b"1");
    put_surely(&client, "/f", "2").await;
    // New clients are not taken in by its listening socket.
    let client = cluster.client();
    assert_eq!(client.get("/f").await.unwrap().unwrap().value, b"2");
    cluster.heal(IN_USE).await;
}

pub(crate) async fn watches_go_on_at_another_member<C: Cluster>() {
    let mut cluster = C::start(3).await;
    let client = cluster.client();
    let mut watches = client.watches();
    let watch = watches.add(Watch::new(prefix("/f/"), Revision(1)));
    started(&mut watches).await;
    put_surely(&client, "/f/1", "").await;
    assert_eq!(changes(&mut watches).await.1, ["/f/1="]);
    let position = watches.position(watch).unwrap();
    cluster.stop(IN_USE).await;
    put_surely(&client, "/f/2", "").await;
    assert_eq!(changes(&mut watches).await.1, ["/f/2="]);
    assert!(watches.position(watch) > Some(position));
    cluster.heal(IN_USE).await;
    cluster.freeze(1).await;
    put_surely(&client, "/f/3", "").await;
    let mut seen = changes(&mut watches).await.1;
    // The write may have been repeated, before or after the freeze.
    while seen.iter().all(|change| change != "/f/3=") {
        seen = changes(&mut watches).await.1;
    }
    cluster.heal(1).await;
}
