//! Users and permissions.

use waypost_etcd::auth::{Permission, PermissionKind};
use waypost_etcd::client::Client;
use waypost_etcd::error::{Access, Error};
use waypost_etcd::key::KeyRange;
use waypost_etcd::kv::range::Range;
use waypost_etcd::kv::txn::{Compare, Txn};
use waypost_etcd::kv::write::{Delete, Put};
use waypost_etcd::options::{Options, User};
use waypost_etcd::revision::Revision;
use waypost_etcd::watch::{Notice, Watch};

use super::{Cluster, changes, news, prefix, put, started};

fn user(name: &str) -> User {
    User {
        name: name.to_owned(),
        password: format!("{name}'s"),
    }
}

fn client_of(cluster: &impl Cluster, user: Option<User>) -> Client {
    Client::new(Options {
        user,
        ..cluster.options()
    })
}

/// `root`, and `instance`, which may read `/way/config/` and write `/way/instances/`.
async fn with_users(cluster: &impl Cluster) {
    let client = cluster.client();
    put(&client, "/way/config/a", "config").await;
    client.add_role("instance").await.unwrap();
    for (kind, keys) in [
        (PermissionKind::Read, prefix("/way/config/")),
        (PermissionKind::ReadWrite, prefix("/way/instances/")),
        (PermissionKind::Write, KeyRange::key("/way/drop")),
    ] {
        let permission = Permission { kind, keys };
        client.grant_permission("instance", &permission).await.unwrap();
    }
    for name in ["root", "instance"] {
        client.add_user(&user(name)).await.unwrap();
    }
    client.add_role("root").await.unwrap();
    client.grant_role("root", "root").await.unwrap();
    client.grant_role("instance", "instance").await.unwrap();
    client.enable_auth().await.unwrap();
}

fn denied(access: Access, key: &str) -> Error {
    Error::PermissionDenied {
        access,
        key: key.as_bytes().to_vec(),
    }
}

pub(crate) async fn permissions_are_for_keys<C: Cluster>() {
    let cluster = C::start(1).await;
    with_users(&cluster).await;
    let client = client_of(&cluster, Some(user("instance")));
    assert!(client.get("/way/config/a").await.unwrap().is_some());
    assert_eq!(
        client
            .range(&Range::new(prefix("/way/config/")))
            .await
            .unwrap()
            .count,
        1
    );
    put(&client, "/way/instances/1", "").await;
    put(&client, "/way/drop", "").await;
    for (error, expected) in [
        (
            client.range(&Range::new(prefix("/way/"))).await.unwrap_err(),
            denied(Access::Read, "/way/"),
        ),
        (
            client.get("/way/drop").await.unwrap_err(),
            denied(Access::Read, "/way/drop"),
        ),
        (
            client.put(&Put::new("/way/config/a", "")).await.unwrap_err(),
            denied(Access::Write, "/way/config/a"),
        ),
        (
            client
                .delete(&Delete::new(prefix("/way/config/")))
                .await
                .unwrap_err(),
            denied(Access::Write, "/way/config/"),
        ),
        (
            client.add_role("mine").await.unwrap_err(),
            denied(Access::Administer, ""),
        ),
    ] {
        assert_eq!(error, expected);
    }
    let mut watches = client.watches();
    let secret = watches.add(Watch::new(prefix("/way/secrets/"), Revision(1)));
    assert_eq!(
        news(&mut watches).await,
        Notice::Ended {
            watch: secret,
            error: denied(Access::Read, "/way/secrets/")
        }
    );
    watches.add(Watch::new(prefix("/way/config/"), Revision(1)));
    assert_eq!(changes(&mut watches).await.1, ["/way/config/a=config"]);
}

pub(crate) async fn the_missing_permission_of_a_transaction_is_named<C: Cluster>() {
    let cluster = C::start(1).await;
    with_users(&cluster).await;
    let client = client_of(&cluster, Some(user("instance")));
    let allowed = Txn::new()
        .when(Compare::absent("/way/instances/1"))
        .then(Put::new("/way/instances/1", ""))
        .then(Put::new("/way/drop", ""));
    assert!(client.txn(&allowed).await.unwrap().succeeded);
    for (txn, expected) in [
        (
            allowed.clone().then(Put::new("/way/config/b", "")),
            denied(Access::Write, "/way/config/b"),
        ),
        (
            allowed.clone().or_else(Range::new(KeyRange::key("/way/drop"))),
            denied(Access::Read, "/way/drop"),
        ),
        (
            allowed.clone().when(Compare::absent("/way/other")),
            denied(Access::Read, "/way/other"),
        ),
        (
            allowed.then(Put {
                previous: true,
                ..Put::new("/way/drop", "")
            }),
            Error::Refused {
                reason: "etcdserver: duplicate key given in txn request".to_owned(),
            },
        ),
    ] {
        assert_eq!(client.txn(&txn).await.unwrap_err(), expected);
    }
}

pub(crate) async fn tokens_are_renewed<C: Cluster>() {
    let mut cluster = C::start(1).await;
    with_users(&cluster).await;
    let client = client_of(&cluster, Some(user("instance")));
    let mut watches = client.watches();
    watches.add(Watch::new(prefix("/way/instances/"), Revision(1)));
    started(&mut watches).await;
    for value in ["1", "2"] {
        put(&client, "/way/instances/1", value).await;
        assert_eq!(
            changes(&mut watches).await.1,
            [format!("/way/instances/1={value}")]
        );
        cluster.forget_tokens().await;
    }
    let lease = client
        .grant(std::time::Duration::from_secs(60), None)
        .await
        .unwrap();
    cluster.forget_tokens().await;
    client.keep_alive(lease.id).renew().await.unwrap();
    // A stream that is opened with an old token is opened again with a new one.
    let mut others = client.watches();
    cluster.forget_tokens().await;
    others.add(Watch::new(prefix("/way/config/"), Revision(1)));
    assert_eq!(changes(&mut others).await.1, ["/way/config/a=config"]);
}

pub(crate) async fn wrong_users_are_refused<C: Cluster>() {
    let cluster = C::start(1).await;
    // A cluster that asks for no user takes any.
    let early = client_of(&cluster, Some(user("root")));
    put(&early, "/early", "").await;
    with_users(&cluster).await;
    put(&early, "/late", "").await;
    let wrong = User {
        password: "wrong".to_owned(),
        ..user("root")
    };
    for wrong in [None, Some(wrong), Some(user("nobody"))] {
        let client = client_of(&cluster, wrong.clone());
        for error in [
            client.get("/early").await.unwrap_err(),
            client.put(&Put::new("/early", "")).await.unwrap_err(),
        ] {
            assert!(
                matches!(error, Error::Unauthenticated { .. }),
                "{wrong:?}: {error:?}"
            );
        }
    }
    early.disable_auth().await.unwrap();
    put(&client_of(&cluster, None), "/early", "").await;
}
