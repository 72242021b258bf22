//! Knowledge about the health of endpoints, as it goes from one process to the next.
//!
//! Drains are not in it: they are part of the state on disk.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use waypost_proxy::generation::Generation;
use waypost_upstream::health::snapshot::HealthSnapshot;

/// Knowledge about the endpoints of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceHealth {
    service: String,
    endpoints: Vec<EndpointHealth>,
}

/// Knowledge about an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct EndpointHealth {
    address: String,
    verdict: Option<bool>,
    failure: String,
    ejections: u32,
    ejected_for_ms: Option<u64>,
    cause: u64,
}

/// All that is known of the endpoints of a generation.
pub(crate) fn known(generation: &Generation, now: Instant) -> Vec<ServiceHealth> {
    let services = generation.services().iter().map(|state| ServiceHealth {
        service: state.service().name.to_string(),
        endpoints: state
            .health_snapshot(now)
            .into_iter()
            .map(|(address, known)| EndpointHealth::of(address, known))
            .collect(),
    });
    services.filter(|service| !service.endpoints.is_empty()).collect()
}

/// Takes over what was known. Services and addresses that are gone are skipped.
pub(crate) fn restore(generation: &Generation, known: &[ServiceHealth], now: Instant) {
    for service in known {
        let mut services = generation.services().iter();
        let Some(state) = services.find(|state| *state.service().name == *service.service) else {
            continue;
        };
        let endpoints: Vec<(String, HealthSnapshot)> = service
            .endpoints
            .iter()
            .map(|endpoint| (endpoint.address.clone(), endpoint.snapshot()))
            .collect();
        state.restore_health(&endpoints, now);
    }
}

impl EndpointHealth {
    fn of(address: String, known: HealthSnapshot) -> Self {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            address,
            verdict: known.verdict,
            failure: known.failure,
            ejections: known.ejections,
            ejected_for_ms: known.ejected_for.map(ms),
            cause: known.cause,
        }
    }

    fn snapshot(&self) -> HealthSnapshot {
        HealthSnapshot {
            verdict: self.verdict,
            failure: self.failure.clone(),
            ejections: self.ejections,
            ejected_for: self.ejected_for_ms.map(Duration::from_millis),
            cause: self.cause,
        }
    }
}
