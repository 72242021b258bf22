//! Watches.

use waypost_etcd::error::Error;
use waypost_etcd::key::KeyRange;
use waypost_etcd::kv::txn::Txn;
use waypost_etcd::kv::write::{Delete, Put};
use waypost_etcd::revision::Revision;
use waypost_etcd::watch::{EventKind, Notice, Watch};

use super::{Cluster, changes, news, prefix, put, so_many_changes, started};

pub(crate) async fn history_and_changes_come_in_order<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = cluster.client();
    let first = put(&client, "/w/a", "1").await;
    put(&client, "/elsewhere", "").await;
    put(&client, "/w/b", "2").await;
    let mut watches = client.watches();
    let watch = watches.add(Watch {
        previous: true,
        ..Watch::new(prefix("/w/"), first)
    });
    assert_eq!(so_many_changes(&mut watches, 2).await, ["/w/a=1", "/w/b=2"]);
    client.delete(&Delete::new(prefix("/w/"))).await.unwrap();
    match news(&mut watches).await {
        Notice::Changes {
            watch: of,
            revision,
            events,
        } => {
            assert_eq!((of, revision), (watch, Revision(first.0 + 3)));
            let values: Vec<_> = events
                .iter()
                .map(|event| (event.kind, event.previous.clone().unwrap().value))
                .collect();
            assert_eq!(
                values,
                [
                    (EventKind::Delete, b"1".to_vec()),
                    (EventKind::Delete, b"2".to_vec())
                ]
            );
        }
        notice => panic!("{notice:?}"),
    }
    assert_eq!(watches.position(watch), Some(Revision(first.0 + 4)));
}

pub(crate) async fn watches_share_a_stream<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = cluster.client();
    let mut watches = client.watches();
    let one = watches.add(Watch::new(prefix("/1/"), Revision(1)));
    let all = watches.add(Watch::new(prefix("/"), Revision(1)));
    started(&mut watches).await;
    started(&mut watches).await;
    let key = watches.add(Watch::new(KeyRange::key("/2/b"), Revision(1)));
    started(&mut watches).await;
    put(&client, "/1/a", "x").await;
    let mut both = [changes(&mut watches).await, changes(&mut watches).await];
    both.sort();
    let text = vec!["/1/a=x".to_owned()];
    assert_eq!(both, [(one, text.clone()), (all, text)]);
    put(&client, "/2/b", "y").await;
    let mut both = [changes(&mut watches).await, changes(&mut watches).await];
    both.sort();
    let text = vec!["/2/b=y".to_owned()];
    assert_eq!(both, [(all, text.clone()), (key, text)]);
}

pub(crate) async fn changes_of_a_transaction_come_together<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = cluster.client();
    let mut watches = client.watches();
    watches.add(Watch::new(prefix("/x/"), Revision(1)));
    started(&mut watches).await;
    for _ in 0..5 {
        let ops = (0..20).fold(Txn::new(), |txn, number| {
            txn.then(Put::new(format!("/x/{number:02}"), ""))
        });
        let revision = client.txn(&ops).await.unwrap().revision;
        match news(&mut watches).await {
            Notice::Changes {
                revision: last,
                events,
                ..
            } => assert_eq!((last, events.len()), (revision, 20)),
            notice => panic!("{notice:?}"),
        }
    }
}

pub(crate) async fn a_watch_begins_with_the_next_change<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = cluster.client();
    let before = put(&client, "/n", "before").await;
    let mut watches = client.watches();
    let watch = watches.add(Watch::from_now(KeyRange::key("/n")));
    assert_eq!(watches.position(watch), None);
    assert_eq!(started(&mut watches).await, before);
    assert_eq!(watches.position(watch), Some(before.next()));
    put(&client, "/n", "after").await;
    assert_eq!(changes(&mut watches).await.1, ["/n=after"]);
}

pub(crate) async fn a_compacted_revision_ends_a_watch<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = cluster.client();
    for value in ["1", "2", "3"] {
        put(&client, "/c", value).await;
    }
    let revision = put(&client, "/c", "4").await;
    client.compact(revision).await.unwrap();
    let mut watches = client.watches();
    let lost = watches.add(Watch::new(prefix("/c"), Revision(revision.0 - 1)));
    assert_eq!(
        news(&mut watches).await,
        Notice::Ended {
            watch: lost,
            error: Error::Compacted {
                revision: Some(revision)
            }
        }
    );
    assert_eq!(watches.next().await, None);
    watches.add(Watch::new(prefix("/c"), revision.next()));
    started(&mut watches).await;
    put(&client, "/c", "5").await;
    assert_eq!(changes(&mut watches).await.1, ["/c=5"]);
}

pub(crate) async fn large_changes_come_in_fragments<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = cluster.client();
    let value = "v".repeat(1 << 20);
    for number in 0..5 {
        put(&client, &format!("/f/{number}"), &value).await;
    }
    let mut watches = client.watches();
    watches.add(Watch::new(prefix("/f/"), Revision(1)));
    let all = so_many_changes(&mut watches, 5).await;
    let expected: Vec<String> = (0..5).map(|number| format!("/f/{number}={value}")).collect();
    assert!(all == expected);
}

pub(crate) async fn a_watch_that_was_removed_says_nothing<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = cluster.client();
    let mut watches = client.watches();
    let removed = watches.add(Watch::new(prefix("/r"), Revision(1)));
    started(&mut watches).await;
    put(&client, "/r/1", "").await;
    watches.remove(removed);
    assert_eq!(watches.next().await, None);
    watches.add(Watch::new(KeyRange::key("/r/2"), Revision(1)));
    put(&client, "/r/2", "").await;
    assert_eq!(changes(&mut watches).await.1, ["/r/2="]);
}
