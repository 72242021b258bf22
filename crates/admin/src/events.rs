//! What happens, as it happens.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::broadcast;

use crate::command::Weight;

/// How many events a listener may be behind; one that is further behind misses some, and is told.
pub const BEHIND_MAX: usize = 256;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Event {
    /// When.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A dial was turned.
    Dial {
        /// The route.
        route: String,
        /// The weights before.
        before: Vec<Weight>,
        /// The weights now.
        after: Vec<Weight>,
        /// Who turned it.
        by: String,
    },
    /// A config came into force.
    Applied {
        /// Its revision.
        revision: u64,
        /// `file`, `api`, `rollback` or `revert`.
        origin: String,
        /// What changed, in one line.
        summary: String,
        /// Who asked for it, where that is known.
        by: Option<String>,
        /// When it is taken back unless it is confirmed.
        #[schemars(with = "Option<String>")]
        reverts_at: Option<Timestamp>,
    },
    /// A config was refused.
    Refused {
        /// Why.
        message: String,
    },
    /// A config was confirmed.
    Confirmed {
        /// Its revision.
        revision: u64,
        /// Who confirmed it.
        by: String,
    },
    /// A connection to an endpoint failed, so it rests.
    EndpointLeft {
        /// The service.
        service: String,
        /// The endpoint's address.
        address: String,
    },
    /// An endpoint that rested takes connections again.
    EndpointReturned {
        /// The service.
        service: String,
        /// The endpoint's address.
        address: String,
    },
}

impl What {
    /// The name of the event.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Dial { .. } => "dial",
            Self::Applied { .. } => "applied",
            Self::Refused { .. } => "refused",
            Self::Confirmed { .. } => "confirmed",
            Self::EndpointLeft { .. } => "endpoint_left",
            Self::EndpointReturned { .. } => "endpoint_returned",
        }
    }
}

/// Where events are told.
#[derive(Debug, Clone)]
pub struct Events(broadcast::Sender<Event>);

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::channel(BEHIND_MAX).0)
    }
}

impl Events {
    /// Tells everybody who listens.
    pub fn tell(&self, what: What) {
        let time = Timestamp::now();
        // That nobody listens is no error.
        let _ = self.0.send(Event { time, what });
    }

    /// Listens from now on.
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.0.receiver_count()
    }
}
