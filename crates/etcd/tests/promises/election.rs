//! Elections.

use std::time::Duration;

use waypost_etcd::client::Client;
use waypost_etcd::election::{Candidacy, Election, Standing};
use waypost_etcd::kv::txn::Txn;
use waypost_etcd::kv::write::Put;
use waypost_etcd::revision::LeaseId;

use super::Cluster;

async fn lease(client: &Client, ttl: Duration) -> LeaseId {
    client.grant(ttl, None).await.unwrap().id
}

async fn enter(client: &Client, election: &Election, name: &str) -> Candidacy {
    let lease = lease(client, Duration::from_secs(60)).await;
    let candidacy = election.enter(lease, name.as_bytes()).await.unwrap();
    assert_eq!(candidacy.key(), format!("/way/leader/{lease}").as_bytes());
    candidacy
}

async fn leader(election: &Election) -> String {
    let leader = election.leader().await.unwrap().unwrap();
    String::from_utf8(leader.value).unwrap()
}

pub(crate) async fn candidates_lead_in_the_order_of_their_entry<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = cluster.client();
    let election = Election::new(client.clone(), "/way/leader");
    assert_eq!(election.leader().await.unwrap(), None);
    let first = enter(&client, &election, "first").await;
    let second = enter(&client, &election, "second").await;
    let third = enter(&client, &election, "third").await;
    assert_eq!(leader(&election).await, "first");
    assert_eq!(election.standing(&first).await.unwrap(), Standing::Leader);
    for (candidacy, predecessor) in [(&second, &first), (&third, &second)] {
        match election.standing(candidacy).await.unwrap() {
            Standing::Behind { predecessor: key, .. } => assert_eq!(key, predecessor.key()),
            standing => panic!("{standing:?}"),
        }
    }
    // The second leaves; that changes no leader.
    assert!(election.resign(&second).await.unwrap());
    assert!(!election.resign(&second).await.unwrap());
    assert_eq!(election.standing(&second).await.unwrap(), Standing::Out);
    assert_eq!(leader(&election).await, "first");
    let waiting = tokio::spawn({
        let (election, third) = (election.clone(), third.clone());
        async move { election.wait(&third).await }
    });
    assert!(election.resign(&first).await.unwrap());
    assert_eq!(waiting.await.unwrap().unwrap(), Standing::Leader);
    assert_eq!(leader(&election).await, "third");
    assert!(first.created() < third.created());
}

pub(crate) async fn a_former_leader_writes_nothing<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = cluster.client();
    let election = Election::new(client.clone(), "/way/leader");
    let candidacy = enter(&client, &election, "x").await;
    let write = Txn::new()
        .when(candidacy.fence())
        .then(Put::new("/way/work", "x"));
    assert!(client.txn(&write).await.unwrap().succeeded);
    election.resign(&candidacy).await.unwrap();
    assert!(!client.txn(&write).await.unwrap().succeeded);
    // Entered again with the same lease, it has the same key, but is another leader.
    let text = String::from_utf8(candidacy.key().to_vec()).unwrap();
    let id = text.rsplit('/').next().unwrap();
    let lease = LeaseId(i64::from_str_radix(id, 16).unwrap());
    let again = election.enter(lease, b"y").await.unwrap();
    assert_eq!(again.key(), candidacy.key());
    assert!(!client.txn(&write).await.unwrap().succeeded);
    // What is entered twice keeps its place, with the newer value.
    assert_eq!(election.enter(lease, b"z").await.unwrap(), again);
    assert_eq!(leader(&election).await, "z");
}

pub(crate) async fn a_lease_that_ends_makes_place<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = cluster.client();
    let election = Election::new(client.clone(), "/way/leader");
    // On a slow machine, too, it holds until it is entered with.
    let short = client.grant(Duration::from_secs(8), None).await.unwrap();
    election.enter(short.id, b"short").await.unwrap();
    let next = enter(&client, &election, "next").await;
    let waiting = tokio::spawn({
        let (election, next) = (election.clone(), next.clone());
        async move { election.wait(&next).await }
    });
    cluster.pass(short.ttl);
    assert_eq!(waiting.await.unwrap().unwrap(), Standing::Leader);
    assert!(election.enter(short.id, b"late").await.is_err());
}
