//! A service that is asked who may pass.

use std::sync::Arc;
use std::time::Duration;

use crate::service::ServiceId;

/// The way of a service that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The service.
    pub to: NamedService,
    /// The path of the question, absolute, with its query.
    pub path: Box<str>,
    /// The headers of the answer that the request gets, in lower case. The first has the name of the client.
    pub take: Box<[Box<str>]>,
    /// The headers of the request that the question has, in lower case.
    pub send: Box<[Box<str>]>,
    /// True if a request passes where there is no answer.
    pub open: bool,
    /// The time for which a permission holds for the same question; `None` to ask each time.
    pub cache: Option<Duration>,
    /// The time for an answer (504).
    pub timeout: Duration,
}

/// The service that is asked.
#[derive(Debug, Clone)]
pub struct NamedService {
    /// Its id in this plan.
    pub id: ServiceId,
    /// Its name.
    pub name: Arc<str>,
}

impl PartialEq for NamedService {
    /// Another plan numbers the same service differently.
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for NamedService {}
