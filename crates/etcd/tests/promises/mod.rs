//! The promises of the client, on any cluster: the simulated one and etcd itself.

pub(crate) mod auth;
pub(crate) mod election;
pub(crate) mod failover;
pub(crate) mod keys;
pub(crate) mod lease;
pub(crate) mod tls;
pub(crate) mod watch;

use std::time::Duration;

use waypost_etcd::client::Client;
use waypost_etcd::key::KeyRange;
use waypost_etcd::kv::write::Put;
use waypost_etcd::options::{BackOff, Endpoint, Options};
use waypost_etcd::revision::Revision;
use waypost_etcd::watch::{Event, EventKind, Notice, WatchId, Watches};

/// The limit of every wait. Nothing depends on it but how a failure looks.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster to test on.
pub(crate) trait Cluster: Sized {
    /// Starts a cluster of its own for the test.
    async fn start(members: usize) -> Self;

    /// The members, for a client.
    fn endpoints(&self) -> Vec<Endpoint>;

    /// A member's process ends.
    async fn stop(&mut self, member: usize);

    /// A member's process stands still.
    async fn freeze(&mut self, member: usize);

    /// A member works again.
    async fn heal(&mut self, member: usize);

    /// Makes all tokens invalid, on a cluster of one member.
    async fn forget_tokens(&mut self);

    /// Lets time pass, where it does not by itself.
    fn pass(&self, time: Duration);

    /// Options of a client that does not give up early.
    fn options(&self) -> Options {
        Options {
            deadline: PATIENCE,
            back_off: BackOff {
                min: Duration::from_millis(5),
                max: Duration::from_millis(50),
            },
            heartbeat: Duration::from_millis(500),
            ..Options::new(self.endpoints())
        }
    }

    /// A client of all members.
    fn client(&self) -> Client {
        Client::new(self.options())
    }
}

/// Makes a test of each promise, on one kind of cluster.
#[macro_export]
macro_rules! promises {
    ($cluster:ty: $($module:ident { $($name:ident),* $(,)? })*) => {
        $(mod $module {
            $(#[tokio::test]
            async fn $name() {
                $crate::promises::$module::$name::<$cluster>().await;
            })*
        })*
    };
}

/// All promises.
#[macro_export]
macro_rules! all_promises {
    ($cluster:ty) => {
        $crate::promises! {
            $cluster:
            keys {
                what_is_written_is_read,
                ranges_have_limits_orders_and_revisions,
                pages_are_read_at_one_revision,
                deleting_nothing_changes_nothing,
                comparisons_hold_as_etcd_says,
                a_transaction_happens_as_a_whole_or_not_at_all,
                transactions_nest,
                refusals_have_kinds,
                what_is_compacted_cannot_be_read,
                a_member_describes_itself,
            }
            watch {
                history_and_changes_come_in_order,
                watches_share_a_stream,
                changes_of_a_transaction_come_together,
                a_watch_begins_with_the_next_change,
                a_compacted_revision_ends_a_watch,
                large_changes_come_in_fragments,
                a_watch_that_was_removed_says_nothing,
            }
            lease {
                a_lease_takes_its_keys_with_it,
                a_lease_that_is_renewed_stays,
                leases_that_are_not_there_are_named,
            }
            auth {
                permissions_are_for_keys,
                the_missing_permission_of_a_transaction_is_named,
                tokens_are_renewed,
                wrong_users_are_refused,
            }
            election {
                candidates_lead_in_the_order_of_their_entry,
                a_former_leader_writes_nothing,
                a_lease_that_ends_makes_place,
            }
            failover {
                calls_go_to_members_that_answer,
                a_member_that_stands_still_is_left,
                watches_go_on_at_another_member,
            }
        }
    };
}

pub(crate) async fn put(client: &Client, key: &str, value: &str) -> Revision {
    client.put(&Put::new(key, value)).await.unwrap().revision
}

/// The next notice that is not about breaks and beginnings.
pub(crate) async fn news(watches: &mut Watches) -> Notice {
    loop {
        let notice = tokio::time::timeout(PATIENCE, watches.next())
            .await
            .expect("a notice comes in time")
            .expect("there is a watch");
        match notice {
            Notice::Started { .. } | Notice::Broken { .. } | Notice::Progress { .. } => {}
            notice => return notice,
        }
    }
}

/// The next changes, as text.
pub(crate) async fn changes(watches: &mut Watches) -> (WatchId, Vec<String>) {
    match news(watches).await {
        Notice::Changes { watch, events, .. } => (watch, events.iter().map(text).collect()),
        notice => panic!("{notice:?}"),
    }
}

/// So many changes, in as many notices as they come in.
pub(crate) async fn so_many_changes(watches: &mut Watches, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(changes(watches).await.1);
    }
    all
}

/// Waits until a watch has begun.
pub(crate) async fn started(watches: &mut Watches) -> Revision {
    loop {
        let notice = tokio::time::timeout(PATIENCE, watches.next())
            .await
            .expect("a notice comes in time");
        match notice {
            Some(Notice::Started { revision, .. }) => return revision,
            Some(Notice::Broken { .. }) => {}
            notice => panic!("{notice:?}"),
        }
    }
}

fn text(event: &Event) -> String {
    let key = event.kv.key.escape_ascii();
    match event.kind {
        EventKind::Put => format!("{key}={}", event.kv.value.escape_ascii()),
        EventKind::Delete => format!("{key} deleted"),
    }
}

pub(crate) fn prefix(prefix: &str) -> KeyRange {
    KeyRange::prefix(prefix)
}
