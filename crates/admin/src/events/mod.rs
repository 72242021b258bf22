//! Events: changes of the gateway, published as they happen.

pub mod marks;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::broadcast;

use crate::command::Weight;
use crate::events::marks::Marks;
use crate::rollout::RolloutEvent;

/// Events buffered for a subscriber. One that falls further behind misses events, and is notified.
pub const BEHIND_MAX: usize = 256;

/// An event.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Event {
    /// The time of the event.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// The kind of event, with its fields.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// The kinds of events.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The live weights of a split changed.
    Dial {
        /// The route.
        route: String,
        /// The weights before.
        before: Vec<Weight>,
        /// The weights after.
        after: Vec<Weight>,
        /// The client that changed them.
        by: String,
    },
    /// A config was applied.
    Applied {
        /// The revision.
        revision: u64,
        /// The origin: `file`, `api`, `rollback`, `revert`, `rollout` or `etcd`.
        origin: String,
        /// Summary of the changes, in one line.
        summary: String,
        /// The client that applied it, if known.
        by: Option<String>,
        /// The time at which it is reverted unless confirmed.
        #[schemars(with = "Option<String>")]
        reverts_at: Option<Timestamp>,
    },
    /// A config was refused.
    Refused {
        /// The reason, in one sentence.
        message: String,
    },
    /// A config was confirmed.
    Confirmed {
        /// The revision.
        revision: u64,
        /// The client that confirmed it.
        by: String,
    },
    /// Another process has taken over. The stream ends with this one.
    Upgraded {
        /// The process that has taken over.
        pid: u32,
        /// Its version.
        version: String,
        /// The client that asked for it.
        by: String,
    },
    /// Another process could not take over. Nothing has changed.
    UpgradeFailed {
        /// The reason, in one sentence.
        message: String,
        /// The client that asked for it.
        by: String,
    },
    /// A rollout changed.
    Rollout(Box<RolloutEvent>),
    /// etcd does not answer any more. What it said last is served, and changes are refused.
    FleetAway {
        /// The reason, in one sentence.
        why: String,
    },
    /// etcd answers again.
    FleetBack,
    /// Another instance leads the fleet, or none.
    FleetLeader {
        /// The id of the instance.
        instance: Option<String>,
    },
    /// An instance has come to the fleet.
    InstanceJoined {
        /// The id of the instance.
        instance: String,
    },
    /// An instance has left the fleet, or its lease has ended.
    InstanceLeft {
        /// The id of the instance.
        instance: String,
    },
    /// An instance does not say what it has counted, so that rollouts are judged without its requests.
    InstanceLeftOut {
        /// The id of the instance.
        instance: String,
        /// The reason, in one sentence.
        why: String,
    },
    /// Instances of the fleet try a config before all take it.
    CanaryBegun {
        /// Its id.
        id: String,
        /// The ids of the instances.
        instances: Vec<String>,
        /// Summary of the changes, in one line.
        summary: String,
        /// The client that began it, if known.
        by: Option<String>,
    },
    /// A config that instances tried is the config of all.
    CanaryPassed {
        /// Its id.
        id: String,
        /// The revision that it has become.
        revision: u64,
    },
    /// A config that instances tried was taken back.
    CanaryTakenBack {
        /// Its id.
        id: String,
        /// The reason, in one sentence.
        why: String,
    },
    /// The outcome of a change that etcd had not answered to is known.
    FleetOutcome {
        /// The id of the write, as the answer had it.
        write: String,
        /// The change, in one line.
        what: String,
        /// True if it was carried out; absent if others have changed the same since, so that it is not known.
        carried_out: Option<bool>,
    },
    /// An authority has issued a certificate, which is in force within a second.
    CertificateIssued {
        /// The hosts that it is for.
        hosts: Vec<String>,
        /// Its end.
        #[schemars(with = "String")]
        until: Timestamp,
    },
    /// An order of a certificate has failed. The one before, or else a self-signed one, stays in force.
    CertificateFailed {
        /// The hosts that it is for.
        hosts: Vec<String>,
        /// The reason, in one sentence.
        why: String,
        /// The time of the next order.
        #[schemars(with = "String")]
        next: Timestamp,
    },
    /// An endpoint was ejected after failures.
    EndpointEjected {
        /// The service.
        service: String,
        /// The endpoint's address.
        address: String,
        /// The reason, such as `5 failures in a row, the last: timeout`.
        reason: String,
        /// The duration of the ejection, in seconds.
        seconds: f64,
    },
    /// The name of an endpoint has other addresses than before.
    AddressesChanged {
        /// The service.
        service: String,
        /// The name.
        name: String,
        /// Addresses that are new.
        added: Vec<String>,
        /// Addresses that are gone. They finish the requests that they have.
        removed: Vec<String>,
    },
    /// A service entered panic mode: too few of its endpoints are available, so all are used.
    PanicEntered {
        /// The service.
        service: String,
        /// Its available endpoints, without backups.
        available: usize,
        /// All of its endpoints that count.
        endpoints: usize,
    },
    /// A service left panic mode.
    PanicLeft {
        /// The service.
        service: String,
        /// Its available endpoints, without backups.
        available: usize,
        /// All of its endpoints that count.
        endpoints: usize,
    },
    /// An ejected endpoint answers again.
    EndpointRecovered {
        /// The service.
        service: String,
        /// The endpoint's address.
        address: String,
    },
    /// An endpoint failed its checks.
    EndpointDown {
        /// The service.
        service: String,
        /// The endpoint's address.
        address: String,
        /// The reason, such as `check failed: status 503`.
        reason: String,
    },
    /// An endpoint was drained by hand.
    EndpointDrained {
        /// The service.
        service: String,
        /// The endpoint: host and port as in the config, or one of its addresses.
        endpoint: String,
        /// The client that drained it.
        by: String,
    },
    /// A drained endpoint was taken back.
    EndpointUndrained {
        /// The service.
        service: String,
        /// The endpoint: host and port as in the config, or one of its addresses.
        endpoint: String,
        /// The client that took it back.
        by: String,
    },
    /// An endpoint that was down passes its checks.
    EndpointUp {
        /// The service.
        service: String,
        /// The endpoint's address.
        address: String,
    },
}

impl EventKind {
    /// The name of the event.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Dial { .. } => "dial",
            Self::Applied { .. } => "applied",
            Self::Refused { .. } => "refused",
            Self::Confirmed { .. } => "confirmed",
            Self::Upgraded { .. } => "upgraded",
            Self::UpgradeFailed { .. } => "upgrade_failed",
            Self::Rollout(_) => "rollout",
            Self::FleetAway { .. } => "fleet_away",
            Self::FleetBack => "fleet_back",
            Self::FleetLeader { .. } => "fleet_leader",
            Self::InstanceJoined { .. } => "instance_joined",
            Self::InstanceLeft { .. } => "instance_left",
            Self::InstanceLeftOut { .. } => "instance_left_out",
            Self::CanaryBegun { .. } => "canary_begun",
            Self::CanaryPassed { .. } => "canary_passed",
            Self::CanaryTakenBack { .. } => "canary_taken_back",
            Self::FleetOutcome { .. } => "fleet_outcome",
            Self::CertificateIssued { .. } => "certificate_issued",
            Self::CertificateFailed { .. } => "certificate_failed",
            Self::EndpointEjected { .. } => "endpoint_ejected",
            Self::AddressesChanged { .. } => "addresses_changed",
            Self::PanicEntered { .. } => "panic_entered",
            Self::PanicLeft { .. } => "panic_left",
            Self::EndpointRecovered { .. } => "endpoint_recovered",
            Self::EndpointDown { .. } => "endpoint_down",
            Self::EndpointDrained { .. } => "endpoint_drained",
            Self::EndpointUndrained { .. } => "endpoint_undrained",
            Self::EndpointUp { .. } => "endpoint_up",
        }
    }
}

/// Publishes events to all subscribers, and remembers them as marks.
#[derive(Debug, Clone)]
pub struct Events {
    subscribers: broadcast::Sender<Event>,
    marks: Arc<Mutex<Marks>>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            subscribers: broadcast::channel(BEHIND_MAX).0,
            marks: Arc::default(),
        }
    }
}

impl Events {
    /// Publishes an event of now.
    pub fn publish(&self, kind: EventKind) {
        let time = Timestamp::now();
        self.publish_event(Event { time, kind });
    }

    /// Publishes an event.
    pub fn publish_event(&self, event: Event) {
        self.marks().add(&event);
        // Without subscribers, sending fails, which is fine.
        let _ = self.subscribers.send(event);
    }

    /// Subscribes to events from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.subscribers.subscribe()
    }

    /// The number of subscribers.
    pub fn subscribers(&self) -> usize {
        self.subscribers.receiver_count()
    }

    /// The latest marks.
    pub(crate) fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
