//! Reading and writing.

use waypost_etcd::error::{Error, TooLarge};
use waypost_etcd::key::KeyRange;
use waypost_etcd::kv::range::{Order, OrderBy, Range, RangeResponse};
use waypost_etcd::kv::txn::{Compare, Op, OpResult, Operand, Relation, Txn};
use waypost_etcd::kv::write::{Delete, Put};
use waypost_etcd::revision::{CreateRevision, LeaseId, ModRevision, Revision, Version};

use super::{Cluster, prefix, put};

fn keys(response: &RangeResponse) -> String {
    let keys: Vec<String> = response
        .kvs
        .iter()
        .map(|kv| kv.key.escape_ascii().to_string())
        .collect();
    keys.join(" ")
}

pub(crate) async fn what_is_written_is_read<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = cluster.client();
    assert_eq!(client.get("/a").await.unwrap(), None);
    let first = put(&client, "/a", "1").await;
    let response = client
        .put(&Put {
            previous: true,
            ..Put::new("/a", vec![0xff, 0])
        })
        .await
        .unwrap();
    assert_eq!(response.revision, first.next());
    assert_eq!(response.previous.unwrap().value, b"1");
    let kv = client.get("/a").await.unwrap().unwrap();
    assert_eq!((&*kv.key, &*kv.value), (&b"/a"[..], &[0xff, 0][..]));
    assert_eq!(kv.create_revision, CreateRevision(first.0));
    assert_eq!(kv.mod_revision, ModRevision(first.0 + 1));
    assert_eq!((kv.version, kv.lease), (Version(2), None));
}

pub(crate) async fn ranges_have_limits_orders_and_revisions<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = cluster.client();
    let mut revision = Revision(0);
    for (key, value) in [("/k/b", "1"), ("/k/a", "3"), ("/k/c", "2"), ("/other", "")] {
        revision = put(&client, key, value).await;
    }
    put(&client, "/k/b", "4").await;
    let range = Range::new(prefix("/k/"));
    let ordered = |by, descending| Range {
        order: Some(Order { by, descending }),
        ..range.clone()
    };
    for (range, expected) in [
        (range.clone(), "/k/a /k/b /k/c"),
        (
            Range {
                limit: Some(2),
                ..range.clone()
            },
            "/k/a /k/b",
        ),
        (
            Range {
                limit: Some(3),
                ..range.clone()
            },
            "/k/a /k/b /k/c",
        ),
        (
            Range {
                serializable: true,
                ..range.clone()
            },
            "/k/a /k/b /k/c",
        ),
        (
            Range {
                count_only: true,
                ..range.clone()
            },
            "",
        ),
        (ordered(OrderBy::Key, true), "/k/c /k/b /k/a"),
        (ordered(OrderBy::CreateRevision, false), "/k/b /k/a /k/c"),
        (ordered(OrderBy::ModRevision, true), "/k/b /k/c /k/a"),
        (ordered(OrderBy::Version, true), "/k/b /k/a /k/c"),
        (ordered(OrderBy::Value, false), "/k/c /k/a /k/b"),
    ] {
        let response = client.range(&range).await.unwrap();
        assert_eq!(keys(&response), expected, "{range:?}");
        let is_cut = range.limit == Some(2);
        assert_eq!((response.count, response.more), (3, is_cut), "{range:?}");
        assert_eq!(response.revision, revision.next());
    }
    let keys_only = Range {
        keys_only: true,
        ..range.clone()
    };
    let response = client.range(&keys_only).await.unwrap();
    assert!(response.kvs.iter().all(|kv| kv.value.is_empty()));
    let before = Range {
        revision: Some(revision),
        ..Range::new(KeyRange::key("/k/b"))
    };
    let response = client.range(&before).await.unwrap();
    assert_eq!(response.kvs[0].value, b"1");
    assert_eq!(response.revision, revision.next());
    let first = Range {
        created_until: Some(CreateRevision(revision.0 - 2)),
        ..ordered(OrderBy::CreateRevision, true)
    };
    assert_eq!(keys(&client.range(&first).await.unwrap()), "/k/a /k/b");
}

pub(crate) async fn pages_are_read_at_one_revision<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = cluster.client();
    for number in 0..7 {
        put(&client, &format!("/p/{number}"), "").await;
    }
    for page in [1, 2, 3, 7, 100] {
        let response = client.range_in_pages(&prefix("/p/"), page).await.unwrap();
        assert_eq!(keys(&response), "/p/0 /p/1 /p/2 /p/3 /p/4 /p/5 /p/6");
        assert_eq!((response.more, response.count), (false, 7));
    }
    let none = client.range_in_pages(&prefix("/q/"), 3).await.unwrap();
    assert_eq!(none.kvs, []);
}

pub(crate) async fn deleting_nothing_changes_nothing<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = cluster.client();
    put(&client, "/d/1", "x").await;
    let revision = put(&client, "/d/2", "y").await;
    let delete = Delete {
        previous: true,
        ..Delete::new(prefix("/d/"))
    };
    let response = client.delete(&delete).await.unwrap();
    assert_eq!((response.deleted, response.revision), (2, revision.next()));
    assert_eq!(response.previous[1].value, b"y");
    let response = client.delete(&delete).await.unwrap();
    assert_eq!((response.deleted, response.revision), (0, revision.next()));
    assert_eq!(response.previous, []);
    // A key that comes again begins anew.
    put(&client, "/d/1", "").await;
    let kv = client.get("/d/1").await.unwrap().unwrap();
    assert_eq!(kv.version, Version(1));
    assert_eq!(kv.create_revision.0, kv.mod_revision.0);
}

pub(crate) async fn comparisons_hold_as_etcd_says<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = cluster.client();
    let lease = client
        .grant(std::time::Duration::from_secs(60), None)
        .await
        .unwrap()
        .id;
    put(&client, "/c", "0").await;
    let put = Put::new("/c", "m").with_lease(lease);
    let revision = client.put(&put).await.unwrap().revision.0;
    let is = |key: &str, relation, operand| Compare {
        keys: KeyRange::key(key),
        relation,
        operand,
    };
    use Relation::{Equal, Greater, Less, NotEqual};
    for (compare, expected) in [
        (is("/c", Equal, Operand::ModRevision(ModRevision(revision))), true),
        (
            is("/c", Equal, Operand::ModRevision(ModRevision(revision - 1))),
            false,
        ),
        (
            is("/c", Greater, Operand::ModRevision(ModRevision(revision - 1))),
            true,
        ),
        (is("/c", Less, Operand::ModRevision(ModRevision(revision))), false),
        (is("/c", NotEqual, Operand::ModRevision(ModRevision(1))), true),
        (
            is("/c", Equal, Operand::CreateRevision(CreateRevision(revision - 1))),
            true,
        ),
        (
            is("/c", Less, Operand::CreateRevision(CreateRevision(revision))),
            true,
        ),
        (is("/c", Equal, Operand::Version(Version(2))), true),
        (is("/c", Greater, Operand::Version(Version(2))), false),
        (is("/c", Equal, Operand::Value(b"m".to_vec())), true),
        (is("/c", Less, Operand::Value(b"n".to_vec())), true),
        (is("/c", NotEqual, Operand::Value(b"m".to_vec())), false),
        (is("/c", Equal, Operand::Lease(Some(lease))), true),
        (is("/c", Equal, Operand::Lease(None)), false),
        (Compare::absent("/c"), false),
        (Compare::absent("/none"), true),
        (Compare::unchanged("/none", ModRevision(0)), true),
        (is("/none", Equal, Operand::Version(Version(0))), true),
        (is("/none", Equal, Operand::Lease(None)), true),
        (is("/none", Equal, Operand::Value(Vec::new())), false),
        (is("/none", NotEqual, Operand::Value(b"x".to_vec())), false),
        (
            Compare {
                keys: prefix("/c"),
                relation: Greater,
                operand: Operand::Version(Version(0)),
            },
            true,
        ),
    ] {
        let txn = Txn::new().when(compare.clone());
        let response = client.txn(&txn).await.unwrap();
        assert_eq!(response.succeeded, expected, "{compare:?}");
        assert_eq!(response.revision, Revision(revision));
    }
}

pub(crate) async fn a_transaction_happens_as_a_whole_or_not_at_all<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = cluster.client();
    let revision = put(&client, "/t/1", "old").await;
    let txn = Txn::new()
        .when(Compare::unchanged("/t/1", ModRevision(revision.0)))
        .then(Put {
            previous: true,
            ..Put::new("/t/1", "new")
        })
        .then(Range::new(prefix("/t/")))
        .then(Put::new("/t/2", "new"))
        .then(Delete::new(KeyRange::key("/t/3")))
        .or_else(Range::new(KeyRange::key("/t/1")));
    let response = client.txn(&txn).await.unwrap();
    assert!(response.succeeded);
    assert_eq!(response.revision, revision.next());
    // A read in it sees what was written before it.
    assert_eq!(response.kvs(1).len(), 1);
    assert_eq!(response.kvs(1)[0].value, b"new");
    match &response.results[..] {
        [OpResult::Put(put), _, OpResult::Put(_), OpResult::Delete(delete)] => {
            assert_eq!(put.previous.as_ref().unwrap().value, b"old");
            assert_eq!(delete.deleted, 0);
        }
        results => panic!("{results:?}"),
    }
    for key in ["/t/1", "/t/2"] {
        let kv = client.get(key).await.unwrap().unwrap();
        assert_eq!(kv.mod_revision, ModRevision(revision.0 + 1));
    }
    // The key has changed since.
    let response = client.txn(&txn).await.unwrap();
    assert!(!response.succeeded);
    assert_eq!(response.revision, revision.next());
    assert_eq!(response.kvs(0)[0].value, b"new");
    // The second write is refused, so the first one does not happen either.
    let txn = Txn::new()
        .then(Put::new("/t/1", "newest"))
        .then(Put::new("/t/2", "newest").with_lease(LeaseId(0x77)));
    let error = client.txn(&txn).await.unwrap_err();
    assert_eq!(error, Error::LeaseNotFound { lease: LeaseId(0x77) });
    let kv = client.get("/t/1").await.unwrap().unwrap();
    assert_eq!(kv.value, b"new");
}

pub(crate) async fn transactions_nest<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = cluster.client();
    // The inner comparison is made before anything is written.
    let inner = Txn::new()
        .when(Compare::absent("/n/1"))
        .then(Put::new("/n/2", "inner"))
        .or_else(Put::new("/n/3", "inner"));
    let txn = Txn::new()
        .then(Put::new("/n/1", "outer"))
        .then(inner)
        .then(Range::new(prefix("/n/")));
    let response = client.txn(&txn).await.unwrap();
    match &response.results[..] {
        [_, OpResult::Txn(inner), OpResult::Range(range)] => {
            assert!(inner.succeeded);
            assert_eq!(keys(range), "/n/1 /n/2");
        }
        results => panic!("{results:?}"),
    }
    let kvs = client.range(&Range::new(prefix("/n/"))).await.unwrap().kvs;
    assert_eq!(kvs[0].mod_revision, kvs[1].mod_revision);
}

pub(crate) async fn refusals_have_kinds<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = waypost_etcd::client::Client::new(waypost_etcd::options::Options {
        request_bytes_max: 16 << 20,
        ..cluster.options()
    });
    let refused = |reason: &str| Error::Refused {
        reason: reason.to_owned(),
    };
    let many = (0..129).map(|number| Op::from(Put::new(format!("/m/{number}"), "")));
    for (txn, expected) in [
        (
            Txn::new().then(Put::new("", "")),
            refused("etcdserver: key is not provided"),
        ),
        (
            Txn::new().when(Compare::absent("")),
            refused("etcdserver: key is not provided"),
        ),
        (
            Txn::new().then(Put::new("/x", "1")).then(Put::new("/x", "2")),
            refused("etcdserver: duplicate key given in txn request"),
        ),
        (
            Txn::new()
                .then(Put::new("/x/1", "1"))
                .then(Delete::new(prefix("/x/"))),
            refused("etcdserver: duplicate key given in txn request"),
        ),
        (
            Txn {
                success: many.collect(),
                ..Txn::new()
            },
            Error::TooLarge(TooLarge::Operations),
        ),
        (
            Txn::new().then(Range {
                revision: Some(Revision(1 << 40)),
                ..Range::new(KeyRange::key("/x"))
            }),
            Error::FutureRevision,
        ),
        // More than etcd proposes, and more than its framework takes.
        (
            Txn::new().then(Put::new("/x", vec![b'x'; (3 << 19) + 1])),
            Error::TooLarge(TooLarge::RequestAtServer),
        ),
        (
            Txn::new().then(Put::new("/x", vec![b'x'; 4 << 20])),
            Error::TooLarge(TooLarge::RequestAtServer),
        ),
    ] {
        let ops = txn.success.len();
        assert_eq!(client.txn(&txn).await.unwrap_err(), expected, "{ops} operations");
    }
    let small = cluster.client();
    assert_eq!(
        small.put(&Put::new("/x", vec![0; 3 << 19])).await.unwrap_err(),
        Error::TooLarge(TooLarge::Request {
            bytes: (3 << 19) + 8,
            max: 3 << 19
        })
    );
    assert_eq!(client.get("/x").await.unwrap(), None);
    assert_eq!(
        client.get("").await.unwrap_err(),
        refused("etcdserver: key is not provided")
    );
}

pub(crate) async fn what_is_compacted_cannot_be_read<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = cluster.client();
    let first = put(&client, "/o", "1").await;
    let second = put(&client, "/o", "2").await;
    client.delete(&Delete::new(KeyRange::key("/o"))).await.unwrap();
    client.compact(second).await.unwrap();
    let at = |revision| Range {
        revision: Some(revision),
        ..Range::new(KeyRange::key("/o"))
    };
    assert_eq!(
        client.range(&at(first)).await.unwrap_err(),
        Error::Compacted { revision: None }
    );
    let there = client.range(&at(second)).await.unwrap();
    assert_eq!(there.kvs[0].value, b"2");
    assert_eq!(client.range(&at(second.next())).await.unwrap().kvs, []);
    assert_eq!(
        client.compact(second).await.unwrap_err(),
        Error::Compacted { revision: None }
    );
    assert_eq!(
        client.compact(Revision(second.0 + 2)).await.unwrap_err(),
        Error::FutureRevision
    );
}

pub(crate) async fn a_member_describes_itself<C: Cluster>() {
    let cluster = C::start(1).await;
    let client = cluster.client();
    let revision = put(&client, "/s", "").await;
    let status = client.status().await.unwrap();
    assert!(status.version.starts_with("3."), "{status:?}");
    assert_eq!(status.revision, revision);
    assert_eq!(status.leader, Some(status.member));
    assert!(status.database_bytes > 0);
    assert_eq!(status.alarms, [""; 0]);
}
