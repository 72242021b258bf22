//! Calls on which something goes wrong.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use waypost_etcd::client::Client;
use waypost_etcd::error::{Error, TooLarge};
use waypost_etcd::key::KeyRange;
use waypost_etcd::kv::range::Range;
use waypost_etcd::kv::txn::{Compare, Txn};
use waypost_etcd::kv::write::Put;
use waypost_etcd::options::{Options, User, UserAnew};
use waypost_etcd::simulated::fault::{Fault, Hold, On};
use waypost_etcd::simulated::refusal::Refusal;

use super::{SURE, cluster};
use crate::promises::{Cluster as _, prefix, put};

const PUT: &str = "/etcdserverpb.KV/Put";

/// Kinds of outcome.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Unknown,
    Error(Error),
}

async fn outcome(client: &Client) -> Outcome {
    match client.put(&Put::new("/k", "v")).await {
        Ok(_) => Outcome::Done,
        Err(Error::OutcomeUnknown { .. }) => Outcome::Unknown,
        Err(error) => Outcome::Error(error),
    }
}

#[tokio::test]
async fn a_write_is_sent_again_only_if_nothing_was_proposed() {
    for (fault, expected, times_done) in [
        (Fault::Break, Outcome::Unknown, 0),
        (Fault::DropAnswer, Outcome::Unknown, 1),
        (Fault::Answer(vec![0xff]), Outcome::Unknown, 1),
        // An answer without a header.
        (Fault::Answer(Vec::new()), Outcome::Unknown, 1),
        (Fault::Refuse(Refusal::NoLeader), Outcome::Done, 1),
        (Fault::Refuse(Refusal::TooManyRequests), Outcome::Done, 1),
        (Fault::Refuse(Refusal::Timeout), Outcome::Unknown, 0),
        (Fault::Refuse(Refusal::TimeoutLeaderFailed), Outcome::Unknown, 0),
        (Fault::Refuse(Refusal::TimeoutConnectionLost), Outcome::Unknown, 0),
        (Fault::Refuse(Refusal::Stopped), Outcome::Unknown, 0),
        (Fault::Refuse(Refusal::LeaderChanged), Outcome::Unknown, 0),
        (Fault::Refuse(Refusal::NoSpace), Outcome::Error(Error::NoSpace), 0),
    ] {
        let (etcd, client) = cluster(3).await;
        etcd.order(On::Write, fault.clone());
        assert_eq!(outcome(&client).await, expected, "{fault:?}");
        let done = etcd.calls().iter().filter(|call| **call == PUT).count();
        assert_eq!(done, times_done, "{fault:?}");
        assert_eq!(client.get("/k").await.unwrap().is_some(), done > 0);
        // The next one is not affected.
        assert_eq!(outcome(&client).await, Outcome::Done, "{fault:?}");
    }
}

#[tokio::test]
async fn a_read_is_asked_again() {
    for fault in [
        Fault::Break,
        Fault::DropAnswer,
        Fault::Refuse(Refusal::NoLeader),
        Fault::Refuse(Refusal::LeaderChanged),
        Fault::Refuse(Refusal::Timeout),
        Fault::Refuse(Refusal::Stopped),
    ] {
        for members in [1, 3] {
            let (etcd, client) = cluster(members).await;
            put(&client, "/k", "v").await;
            etcd.order(On::Read, fault.clone());
            etcd.order(On::Read, fault.clone());
            assert!(client.get("/k").await.unwrap().is_some(), "{fault:?}");
            let txn = Txn::new()
                .when(Compare::absent("/k"))
                .or_else(Range::new(KeyRange::key("/k")));
            etcd.order(On::Read, fault.clone());
            assert_eq!(client.txn(&txn).await.unwrap().kvs(0).len(), 1);
            assert_eq!(etcd.pending_faults(), 0);
        }
    }
}

#[tokio::test]
async fn answers_that_are_not_etcds_are_malformed() {
    let negative = vec![
        0x0a, 0x0b, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
    ];
    for answer in [vec![0xff], Vec::new(), negative] {
        let (etcd, client) = cluster(3).await;
        etcd.order(On::Read, Fault::Answer(answer.clone()));
        let error = client.get("/k").await.unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{answer:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_write_without_an_answer_may_happen_late() {
    let (etcd, client) = cluster(1).await;
    put(&client, "/other", "").await;
    let hold = Hold::new();
    etcd.order(On::Write, Fault::HoldBefore(hold.clone()));
    let hasty = client.with_deadline(SURE);
    assert_eq!(outcome(&hasty).await, Outcome::Unknown);
    assert_eq!(client.get("/k").await.unwrap(), None);
    // The server looks no more at a call that was given up, but another one could.
    hold.release();
    let hold = Hold::new();
    etcd.order(On::Write, Fault::HoldAnswer(hold.clone()));
    assert_eq!(outcome(&hasty).await, Outcome::Unknown);
    assert!(client.get("/k").await.unwrap().is_some());
    let hold = Hold::new();
    etcd.order(On::Read, Fault::HoldAnswer(hold));
    let error = hasty.get("/k").await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_call_ends_where_no_member_answers() {
    let (etcd, client) = cluster(2).await;
    let hasty = client.with_deadline(SURE);
    for member in 0..2 {
        etcd.stop(member);
    }
    match hasty.put(&Put::new("/k", "")).await.unwrap_err() {
        Error::Unavailable { reason } => {
            let is_named = etcd
                .addresses()
                .iter()
                .any(|address| reason.contains(&address.to_string()));
            assert!(is_named, "{reason}");
        }
        error => panic!("{error:?}"),
    }
    assert_eq!(etcd.calls(), [""; 0]);
    etcd.heal(1);
    etcd.heal(0);
    put(&client, "/k", "").await;
}

#[tokio::test]
async fn members_without_a_leader_are_passed_over() {
    let (etcd, client) = cluster(3).await;
    put(&client, "/k", "").await;
    etcd.partition(0);
    put(&client, "/k", "").await;
    assert!(client.get("/k").await.unwrap().is_some());
    // Without a majority there is no leader, and only a member's own memory answers.
    etcd.partition(1);
    let hasty = client.with_deadline(SURE);
    let reason = loop {
        match hasty.put(&Put::new("/k", "")).await.unwrap_err() {
            Error::Unavailable { reason } => break reason,
            // The deadline passed while a member was asked.
            Error::OutcomeUnknown { .. } => {}
            error => panic!("{error:?}"),
        }
    };
    assert_eq!(reason, "etcdserver: no leader");
    let error = hasty.get("/k").await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let own = Range {
        serializable: true,
        ..Range::new(prefix("/"))
    };
    assert_eq!(client.range(&own).await.unwrap().count, 1);
    etcd.heal(0);
    put(&client, "/k", "").await;
}

#[tokio::test]
async fn a_lease_is_renewed_in_spite_of_breaks() {
    let (etcd, client) = cluster(3).await;
    let ttl = Duration::from_secs(10);
    let lease = client.grant(ttl, None).await.unwrap();
    let mut keep_alive = client.keep_alive(lease.id);
    for fault in [
        Fault::Break,
        Fault::DropAnswer,
        Fault::Refuse(Refusal::NoLeader),
        Fault::Refuse(Refusal::Timeout),
    ] {
        etcd.advance(ttl / 2);
        etcd.order(On::KeepAlive, fault.clone());
        assert_eq!(keep_alive.renew().await.unwrap(), ttl, "{fault:?}");
        etcd.break_connections();
        assert_eq!(keep_alive.renew().await.unwrap(), ttl, "{fault:?}");
    }
    etcd.advance(ttl);
    assert_eq!(
        keep_alive.renew().await.unwrap_err(),
        Error::LeaseNotFound { lease: lease.id }
    );
}

#[tokio::test]
async fn a_renewal_that_was_given_up_is_not_taken_for_the_next() {
    let (etcd, client) = cluster(1).await;
    let lease = client.grant(Duration::from_secs(10), None).await.unwrap();
    let mut keep_alive = client.keep_alive(lease.id);
    keep_alive.renew().await.unwrap();
    let hold = Hold::new();
    etcd.order(On::KeepAlive, Fault::HoldAnswer(hold.clone()));
    tokio::select! {
        biased;
        renewed = keep_alive.renew() => panic!("{renewed:?}"),
        () = hold.arrived() => {}
    }
    client.revoke(lease.id).await.unwrap();
    hold.release();
    assert_eq!(
        keep_alive.renew().await.unwrap_err(),
        Error::LeaseNotFound { lease: lease.id }
    );
}

#[tokio::test]
async fn limits_of_messages_are_kept() {
    let (etcd, client) = cluster(1).await;
    for number in 0..4 {
        put(&client, &format!("/k/{number}"), &"v".repeat(1000)).await;
    }
    let limited = Client::new(Options {
        response_bytes_max: 3000,
        request_bytes_max: 2000,
        ..etcd.options()
    });
    let all = Range::new(prefix("/k/"));
    assert_eq!(
        limited.range(&all).await.unwrap_err(),
        Error::TooLarge(TooLarge::Response { max: 3000 })
    );
    // Pages are for that.
    assert_eq!(limited.range_in_pages(&all.keys, 2).await.unwrap().kvs.len(), 4);
    let too_large = Error::TooLarge(TooLarge::Request {
        bytes: 2007,
        max: 2000,
    });
    assert_eq!(
        limited.put(&Put::new("/k", vec![0; 2000])).await.unwrap_err(),
        too_large
    );
    // It was written, which the answer would have said.
    let txn = Txn::new().then(Put::new("/done", "")).then(all);
    assert!(matches!(
        limited.txn(&txn).await.unwrap_err(),
        Error::OutcomeUnknown { .. }
    ));
    assert!(limited.get("/done").await.unwrap().is_some());
}

#[tokio::test]
async fn a_user_that_is_refused_is_looked_up_anew() {
    let (etcd, root) = cluster(1).await;
    let with = |password: &str| User {
        name: "root".to_owned(),
        password: password.to_owned(),
    };
    root.add_user(&with("first")).await.unwrap();
    root.add_role("root").await.unwrap();
    root.grant_role("root", "root").await.unwrap();
    root.enable_auth().await.unwrap();
    let file = Arc::new(Mutex::new("first"));
    let read = Arc::clone(&file);
    let client = Client::new(Options {
        user: Some(with("first")),
        user_anew: Some(UserAnew(Arc::new(move || Some(with(*read.lock().unwrap()))))),
        ..etcd.options()
    });
    put(&client, "/k", "").await;
    etcd.set_password("root", "second");
    let refused = client.get("/k").await;
    assert!(
        matches!(refused, Err(Error::Unauthenticated { .. })),
        "{refused:?}"
    );
    *file.lock().unwrap() = "second";
    put(&client, "/k", "").await;
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_in_spite_of_faults() {
    let (etcd, root) = cluster(3).await;
    let user = User {
        name: "root".to_owned(),
        password: "secret".to_owned(),
    };
    root.add_user(&user).await.unwrap();
    root.add_role("root").await.unwrap();
    root.grant_role("root", "root").await.unwrap();
    root.enable_auth().await.unwrap();
    let client = Client::new(Options {
        user: Some(user),
        ..etcd.options()
    });
    for fault in [
        Fault::Break,
        Fault::DropAnswer,
        Fault::Refuse(Refusal::NoLeader),
        Fault::Refuse(Refusal::Timeout),
    ] {
        etcd.order(On::Authenticate, fault.clone());
        put(&client, "/k", "").await;
        etcd.forget_tokens();
    }
    put(&client, "/k", "").await;
    let asked = |path: &&&str| **path == "/etcdserverpb.Auth/Authenticate";
    let before = etcd.calls().iter().filter(asked).count();
    let puts: Vec<_> = (0..20)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { put(&client, "/k", "").await })
        })
        .collect();
    etcd.forget_tokens();
    for put in puts {
        put.await.unwrap();
    }
    let after = etcd.calls().iter().filter(asked).count();
    assert_eq!(after - before, 1);
    // A change of users makes a token old, and a token has its time.
    etcd.order(On::Write, Fault::Refuse(Refusal::AuthOldRevision));
    put(&client, "/k", "").await;
    etcd.advance(Duration::from_secs(301));
    put(&client, "/k", "").await;
    for _ in 0..3 {
        etcd.order(On::Write, Fault::Refuse(Refusal::InvalidToken));
    }
    let error = client.put(&Put::new("/k", "")).await.unwrap_err();
    assert!(matches!(error, Error::Unauthenticated { .. }), "{error:?}");
}
