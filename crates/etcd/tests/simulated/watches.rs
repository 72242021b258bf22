//! Watches whose stream breaks, and stores that are replaced.

use std::time::Duration;

use proptest::prelude::*;
use waypost_etcd::error::Error;
use waypost_etcd::key::KeyRange;
use waypost_etcd::kv::txn::Txn;
use waypost_etcd::kv::write::{Delete, Put};
use waypost_etcd::revision::Revision;
use waypost_etcd::simulated::Simulated;
use waypost_etcd::simulated::fault::{Fault, On};
use waypost_etcd::simulated::refusal::Refusal;
use waypost_etcd::watch::{Notice, Watch, Watches};

use super::cluster;
use crate::promises::{Cluster as _, PATIENCE, changes, news, prefix, put, started};

/// A step of a history.
#[derive(Debug, Clone)]
enum Step {
    Put(u8),
    Delete(u8),
    Together(Vec<u8>),
    Break,
    Fail,
    Move(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u8).prop_map(Step::Put),
        2 => (0..4_u8).prop_map(Step::Delete),
        2 => prop::collection::vec(0..4_u8, 1..4).prop_map(|mut keys| {
            keys.sort_unstable();
            keys.dedup();
            Step::Together(keys)
        }),
        2 => Just(Step::Break),
        1 => Just(Step::Fail),
        1 => (0..3_usize).prop_map(Step::Move),
    ]
}

fn key(number: u8) -> String {
    format!("/w/{number}")
}

/// Changes that were reported, as revisions with keys.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reported(Vec<(i64, Vec<u8>)>);

impl Reported {
    fn record(&mut self, notice: Option<Notice>) {
        match notice.expect("there is a watch") {
            Notice::Changes { events, .. } => {
                let changes = events
                    .into_iter()
                    .map(|event| (event.kv.mod_revision.0, event.kv.key));
                self.0.extend(changes);
            }
            Notice::Ended { error, .. } => panic!("{error}"),
            _ => {}
        }
    }

    /// Records all changes up to a revision.
    async fn record_until(&mut self, watches: &mut Watches, last: i64) {
        while self.0.last().map_or(0, |(revision, _)| *revision) < last {
            let notice = tokio::time::timeout(PATIENCE, watches.next()).await;
            self.record(notice.expect("a notice comes in time"));
        }
    }
}

/// Carries a history out and returns the revision of its last change. `watches` is read now and then, on connections of its
/// own, which break as often as it is said.
async fn carry_out(etcd: &Simulated, steps: &[Step], watches: &mut Watches, reported: &mut Reported) -> i64 {
    let client = etcd.client();
    let mut last = 0;
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Put(of) => last = put(&client, &key(*of), &number.to_string()).await.0,
            Step::Delete(of) => {
                let delete = Delete::new(KeyRange::key(key(*of)));
                let response = client.delete(&delete).await.unwrap();
                if response.deleted > 0 {
                    last = response.revision.0;
                }
            }
            Step::Together(keys) => {
                let txn = keys
                    .iter()
                    .fold(Txn::new(), |txn, of| txn.then(Put::new(key(*of), "")));
                last = client.txn(&txn).await.unwrap().revision.0;
            }
            Step::Break => {
                etcd.break_connections();
                // A read notices it, so that the next write does not meet it.
                client.get("/settled").await.unwrap();
            }
            Step::Fail => etcd.order(On::Watch, Fault::Refuse(Refusal::NoLeader)),
            Step::Move(member) => {
                for other in 0..3 {
                    etcd.heal(other);
                }
                etcd.partition(*member);
            }
        }
        for _ in 0..3 {
            tokio::select! {
                biased;
                notice = watches.next() => reported.record(notice),
                () = tokio::task::yield_now() => {}
            }
        }
    }
    last
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nothing_repeated(
        steps in prop::collection::vec(step(), 1..40),
        breaks in prop::collection::vec(1..6_usize, 0..8),
        fragment_bytes in prop_oneof![Just(1_usize), Just(64), Just(1 << 20)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (watched, truth) = runtime.block_on(async {
            let etcd = Simulated::start(3).await.unwrap();
            etcd.set_fragment_bytes(fragment_bytes);
            for responses in &breaks {
                etcd.break_watch_after(*responses);
            }
            let watch = Watch::new(prefix("/w/"), Revision(1));
            let mut watches = etcd.client().watches();
            watches.add(watch.clone());
            let mut watched = Reported::default();
            let last = carry_out(&etcd, &steps, &mut watches, &mut watched).await;
            watched.record_until(&mut watches, last).await;
            // Faults that did not happen yet happen to this one.
            let mut others = etcd.client().watches();
            others.add(watch);
            let mut truth = Reported::default();
            truth.record_until(&mut others, last).await;
            (watched, truth)
        });
        prop_assert_eq!(&watched, &truth);
        let revisions: Vec<_> = watched.0.windows(2).filter(|pair| pair[0] >= pair[1]).collect();
        prop_assert!(revisions.is_empty(), "{:?}", revisions);
    }
}

#[tokio::test]
async fn waiting_can_be_given_up_at_any_time() {
    let (etcd, client) = cluster(3).await;
    let mut watches = client.watches();
    watches.add(Watch::new(prefix("/w/"), Revision(1)));
    let writer = tokio::spawn(async move {
        for number in 0..50 {
            put(&client, &format!("/w/{number:02}"), "").await;
            if number % 10 == 0 {
                etcd.break_connections();
                client.get("/settled").await.unwrap();
            }
        }
        etcd
    });
    let mut seen = Vec::new();
    while seen.len() < 50 {
        let notice = tokio::select! {
            biased;
            notice = watches.next() => notice,
            () = tokio::task::yield_now() => continue,
        };
        if let Some(Notice::Changes { events, .. }) = notice {
            seen.extend(events.into_iter().map(|event| event.kv.key));
        }
    }
    let expected: Vec<Vec<u8>> = (0..50)
        .map(|number| format!("/w/{number:02}").into_bytes())
        .collect();
    assert_eq!(seen, expected);
    drop(writer.await.unwrap());
}

#[tokio::test]
async fn breaks_are_reported_with_their_reason() {
    let (etcd, client) = cluster(1).await;
    let mut watches = client.watches();
    watches.add(Watch::new(prefix("/"), Revision(1)));
    started(&mut watches).await;
    etcd.partition(0);
    match watches.next().await {
        Some(Notice::Broken {
            error: Error::Unavailable { reason },
        }) => assert_eq!(reason, "etcdserver: no leader"),
        notice => panic!("{notice:?}"),
    }
    etcd.stop(0);
    let notice = watches.next().await;
    assert!(
        matches!(
            notice,
            Some(Notice::Broken {
                error: Error::Unavailable { .. }
            })
        ),
        "{notice:?}"
    );
    etcd.heal(0);
    started(&mut watches).await;
}

#[tokio::test]
async fn what_is_compacted_during_a_break_ends_a_watch() {
    let (etcd, client) = cluster(1).await;
    let mut watches = client.watches();
    let watch = watches.add(Watch::new(prefix("/"), Revision(1)));
    started(&mut watches).await;
    put(&client, "/1", "").await;
    assert_eq!(changes(&mut watches).await.1, ["/1="]);
    etcd.partition(0);
    assert!(matches!(watches.next().await, Some(Notice::Broken { .. })));
    etcd.heal(0);
    etcd.order(On::Watch, Fault::Refuse(Refusal::NoLeader));
    put(&client, "/2", "").await;
    put(&client, "/3", "").await;
    let compacted = etcd.compact().unwrap();
    assert_eq!(
        news(&mut watches).await,
        Notice::Ended {
            watch,
            error: Error::Compacted {
                revision: Some(compacted)
            }
        }
    );
}

#[tokio::test]
async fn progress_keeps_a_quiet_watch_ahead_of_compaction() {
    let (etcd, client) = cluster(1).await;
    let mut watches = client.watches();
    let watch = watches.add(Watch {
        progress: true,
        ..Watch::new(prefix("/quiet/"), Revision(1))
    });
    started(&mut watches).await;
    put(&client, "/loud", "1").await;
    let revision = put(&client, "/loud", "2").await;
    etcd.report_progress();
    let notice = loop {
        match watches.next().await {
            Some(Notice::Broken { .. } | Notice::Started { .. }) => {}
            notice => break notice,
        }
    };
    assert_eq!(notice, Some(Notice::Progress { watch, revision }));
    assert_eq!(watches.position(watch), Some(revision.next()));
    etcd.compact().unwrap();
    etcd.break_connections();
    assert!(matches!(watches.next().await, Some(Notice::Broken { .. })));
    started(&mut watches).await;
    put(&client, "/quiet/1", "").await;
    assert_eq!(changes(&mut watches).await.1, ["/quiet/1="]);
}

#[tokio::test]
async fn a_store_that_was_put_back_ends_watches() {
    let (etcd, client) = cluster(1).await;
    let before = put(&client, "/1", "").await;
    put(&client, "/2", "").await;
    put(&client, "/3", "").await;
    let mut watches = client.watches();
    let old = watches.add(Watch::new(prefix("/"), Revision(1)));
    let mut seen = 0;
    while seen < 3 {
        seen += changes(&mut watches).await.1.len();
    }
    etcd.put_back(before);
    assert_eq!(
        news(&mut watches).await,
        Notice::Ended {
            watch: old,
            error: Error::StoreReplaced
        }
    );
    // Another cluster with as many revisions is another store too.
    let watch = watches.add(Watch::new(prefix("/"), before.next()));
    started(&mut watches).await;
    etcd.wipe();
    // A read notices it, so that the first write does not meet it.
    assert_eq!(client.get("/1").await.unwrap(), None);
    for number in 0..10 {
        put(&client, &format!("/{number}"), "").await;
    }
    assert_eq!(
        news(&mut watches).await,
        Notice::Ended {
            watch,
            error: Error::StoreReplaced
        }
    );
}

#[tokio::test]
async fn a_member_that_is_behind_is_not_a_store_that_was_put_back() {
    let (etcd, client) = cluster(2).await;
    put(&client, "/1", "").await;
    let revision = put(&client, "/2", "").await;
    etcd.set_behind(0, 2);
    let mut watches = client.watches();
    watches.add(Watch::new(prefix("/"), revision.next()));
    started(&mut watches).await;
    put(&client, "/3", "").await;
    assert_eq!(changes(&mut watches).await.1, ["/3="]);
}

#[tokio::test]
async fn a_silent_stream_is_left() {
    let (etcd, client) = cluster(3).await;
    let mut watches = client.watches();
    watches.add(Watch::new(prefix("/"), Revision(1)));
    started(&mut watches).await;
    etcd.freeze(0);
    let notice = tokio::time::timeout(PATIENCE, watches.next()).await.unwrap();
    assert!(matches!(notice, Some(Notice::Broken { .. })), "{notice:?}");
    started(&mut watches).await;
    let other = etcd.client().with_deadline(Duration::from_secs(30));
    put(&other, "/1", "").await;
    assert_eq!(changes(&mut watches).await.1, ["/1="]);
}

#[tokio::test]
async fn a_stream_that_answers_nonsense_is_opened_again() {
    let (etcd, client) = cluster(1).await;
    for answer in [vec![0xff], Vec::new()] {
        etcd.order(On::Watch, Fault::Answer(answer));
        let mut watches = client.watches();
        watches.add(Watch::new(prefix("/"), Revision(1)));
        let notice = watches.next().await;
        assert!(
            matches!(
                notice,
                Some(Notice::Broken {
                    error: Error::Malformed { .. }
                })
            ),
            "{notice:?}"
        );
        started(&mut watches).await;
    }
}
