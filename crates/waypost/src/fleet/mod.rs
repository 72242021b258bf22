//! A fleet: several gateways that obey what etcd keeps under one prefix.
//!
//! [`Fleet`] is the handle that the control has. Its tasks run on the control's runtime and speak with etcd; nothing here
//! decides about the gateway. Without the feature `etcd` there is no fleet, and the type has no value.

#![cfg_attr(
    not(all(feature = "etcd", feature = "acme")),
    allow(
        dead_code,
        reason = "without a fleet, nothing makes these values, and without orders, no secrets"
    )
)]

#[cfg(not(feature = "etcd"))]
mod absent;
#[cfg(feature = "etcd")]
pub(crate) mod entry;
pub(crate) mod holder;
#[cfg(feature = "etcd")]
mod link;
pub(crate) mod seal;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use waypost_admin::counts::CountsQuestion;
use waypost_admin::problem::Problem;
use waypost_fleet::config::Texts;
use waypost_fleet::proposal::PlanError;
use waypost_fleet::record::WriteId;
use waypost_fleet::record::certificate::CertificateRecord;
use waypost_fleet::view::{Shelf, View};
use waypost_proxy::observe::metrics::arm::ArmReading;

#[cfg(not(feature = "etcd"))]
pub(crate) use absent::Fleet;
#[cfg(feature = "etcd")]
pub(crate) use link::Fleet;
#[cfg(all(test, feature = "etcd", feature = "acme"))]
pub(crate) use link::tests::leading;

/// The availability of etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Availability {
    /// The view is what etcd has, and changes come in.
    Available,
    /// The view is what etcd had last.
    Away {
        since: Timestamp,
        why: String,
        /// True if etcd is there, and forbids this instance to read.
        is_forbidden: bool,
    },
}

impl Availability {
    /// The error of a change that is not even proposed; `None` if it may be.
    pub(crate) fn refusal(self) -> Option<ProposeError> {
        match self {
            Self::Available => None,
            Self::Away {
                why,
                is_forbidden: true,
                ..
            } => Some(ProposeError::Denied(why)),
            Self::Away { why, .. } => Some(ProposeError::Away(why)),
        }
    }
}

/// The origin of the present view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// etcd has been read since the start.
    Read,
    /// It is what the state directory kept from last time.
    Cached,
    /// There is none: the view is empty.
    Nothing,
}

/// A question for what the other instances have counted. Its arms are in pairs, a canary and a baseline each.
#[derive(Debug)]
pub(crate) struct CountsWanted {
    pub(crate) question: CountsQuestion,
    /// The time that they get to answer.
    pub(crate) patience: Duration,
    /// The age of an earlier answer from which on it is not compared with.
    pub(crate) age_max: Duration,
    /// True if those that did not answer the last time are not asked.
    pub(crate) skips_silent: bool,
}

/// The counts of the other instances that live, since they were asked before.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// The sums of those that answered, for each pair of arms of the question.
    pub(crate) pairs: Vec<[ArmReading; 2]>,
    pub(crate) others: Vec<Other>,
}

/// The counts of another instance, since it was asked before.
#[derive(Debug)]
pub(crate) struct Other {
    pub(crate) id: Arc<str>,
    /// The requests of each pair of arms, or `None` where there is nothing to compare with; `None` if it did not answer.
    pub(crate) requests: Option<Vec<Option<u64>>>,
}

/// A config that an instance serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Served {
    /// The number of its revision.
    pub(crate) number: u64,
    /// Its texts.
    pub(crate) texts: Texts,
}

/// The way in which a process comes to a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is an instance by itself.
    Own,
    /// It takes over from the process with this number, in an upgrade.
    Upgrade { from: u32 },
}

/// The things that lie sealed under `certificates/`, by name.
pub(crate) type Ordered = Shelf<Arc<str>, CertificateRecord>;

/// Something secret that the leader has ordered for all instances.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) Vec<u8>);

// It stays out of logs.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

/// Something secret that cannot be opened here, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unopened {
    /// It is damaged: this instance opens others.
    #[error("{0}")]
    Damaged(String),
    /// This instance may not have the key that the others have.
    #[error("{0}")]
    Key(String),
}

/// The things that were ordered anew, as far as this instance can open them.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    /// By name.
    pub(crate) secrets: BTreeMap<String, Secret>,
    /// The reasons why others cannot be opened, in a sentence each, by name.
    pub(crate) troubles: BTreeMap<String, String>,
}

/// A change that was made.
#[derive(Debug, Clone)]
pub(crate) struct Proposed {
    /// A view that has it.
    pub(crate) view: Arc<View>,
    /// The number of the revision that it made.
    pub(crate) number: Option<u64>,
    /// Its id.
    pub(crate) write: WriteId,
}

/// A change that was not made, or not for certain.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ProposeError {
    /// Another writer was first. With the view that has what it did.
    #[error("somebody else has changed it meanwhile")]
    Conflict(Arc<View>),
    /// etcd is away. Nothing was proposed.
    #[error("etcd is away: {0}")]
    Away(String),
    /// It was proposed, and no answer came. It is looked up once etcd is back.
    #[error(
        "etcd did not answer, so the outcome is unknown (write {id}): {why}; once etcd is back, an event says if it was carried \
         out: look before you try again"
    )]
    Unknown { id: String, why: String },
    /// It was carried out, and this instance has not heard of it yet.
    #[error(
        "etcd has it (write {id}); this instance has not heard of it yet, and obeys it as soon as it does"
    )]
    Late { id: String },
    /// etcd takes no writes. Nothing has changed.
    #[error(
        "etcd is full: the quota of its database is used up, and until there is room again it takes no changes"
    )]
    Full,
    /// The user of etcd lacks a permission. The text names it.
    #[error("etcd: {0}")]
    Denied(String),
    /// etcd refuses it.
    #[error("etcd: {0}")]
    Refused(String),
    /// Only the leader may do it or have it done, and no instance leads. Nothing was proposed.
    #[error("no instance leads the fleet, and this needs one that does{0}")]
    NoLeader(String),
    /// It makes no sense in the present view, or is too large for etcd. Nothing was proposed.
    #[error(transparent)]
    Senseless(PlanError),
}

impl ProposeError {
    /// Returns true if another change may be made all the same; else etcd is to be left alone for now.
    pub(crate) fn is_about_the_change(&self) -> bool {
        match self {
            Self::Conflict(_) | Self::Denied(_) | Self::Refused(_) | Self::Senseless(_) => true,
            Self::Away(_) | Self::Unknown { .. } | Self::Late { .. } | Self::Full | Self::NoLeader(_) => {
                false
            }
        }
    }

    /// The reason, which is the same each time that it is the same.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Unknown { why, .. } => why.clone(),
            other => other.to_string(),
        }
    }

    /// The answer of the admin API.
    pub(crate) fn problem(&self) -> Problem {
        let text = self.to_string();
        match self {
            Self::Conflict(_) => Problem::stale(text),
            Self::Away(_) | Self::NoLeader(_) => Problem::store_away(text),
            Self::Unknown { .. } => Problem::outcome_unknown(text),
            Self::Late { .. } => Problem::acknowledged(text),
            Self::Full => Problem::not_stored(text),
            Self::Denied(_) => Problem::forbidden_by_store(text),
            Self::Refused(_) => Problem::not_stored(text),
            Self::Senseless(
                PlanError::CanaryUnderWay | PlanError::NoCanary | PlanError::NotLeader | PlanError::NoConfig,
            ) => Problem::conflict(text),
            Self::Senseless(_) => Problem::invalid(text),
        }
    }
}
