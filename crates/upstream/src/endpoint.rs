//! Endpoints of services, shared by all workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use waypost_plan::service::{Endpoint as Declared, Service};

use crate::address::Address;
use crate::balance::standing::Candidate;
use crate::endpoint_counters::EndpointMeter;
use crate::health::Health;

/// One address of a service. A declared endpoint whose name resolves to several addresses has one `Endpoint` for each.
#[derive(Debug)]
pub struct Endpoint {
    /// The address.
    pub address: Address,
    /// The index of the declared endpoint in the service.
    pub declared: usize,
    /// The endpoint that a SRV record names, in place of the declared one.
    pub target: Option<Arc<Declared>>,
    weight: AtomicU32,
    /// True if it is used only while no other endpoint is available.
    pub backup: bool,
    priority: AtomicU16,
    /// The health of this address.
    pub health: Health,
    /// Requests in flight from all workers, where the service balances by them.
    ///
    /// A count of each worker's own would cost less to keep, but says little where a worker has few requests: with eight
    /// in flight over eight workers, a third went to one of three endpoints that took ten times as long, and 7 % when all
    /// looked at one count.
    pub in_flight: AtomicU32,
    /// The counters of its exchanges.
    pub meter: EndpointMeter,
}

impl Endpoint {
    /// Creates an endpoint at an address of `declared`, which is the one at `index`. It is up.
    pub fn new(address: Address, declared: &Declared, index: usize) -> Self {
        Self {
            address,
            declared: index,
            target: None,
            weight: AtomicU32::new(declared.weight),
            backup: declared.backup,
            priority: AtomicU16::new(0),
            health: Health::default(),
            in_flight: AtomicU32::new(0),
            meter: EndpointMeter::default(),
        }
    }

    /// The weight, relative to those of the other endpoints; 0 takes no requests.
    pub fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    /// The priority, as of SRV records (RFC 2782): the lowest that is available takes the requests.
    pub fn priority(&self) -> u16 {
        self.priority.load(Ordering::Relaxed)
    }

    /// Sets weight and priority, which other SRV records may change.
    pub(crate) fn set_share(&self, weight: u32, priority: u16) {
        self.weight.store(weight, Ordering::Relaxed);
        self.priority.store(priority, Ordering::Relaxed);
    }

    /// The endpoint as `service` declares it, or as a SRV record names it.
    pub fn declaration<'a>(&'a self, service: &'a Service) -> &'a Declared {
        self.target
            .as_deref()
            .unwrap_or_else(|| &service.endpoints[self.declared])
    }

    /// The endpoint as its use depends on it.
    pub fn candidate(&self, is_available: bool) -> Candidate {
        Candidate {
            // Drained by hand counts as weight 0.
            weight: if self.health.is_drained() {
                0
            } else {
                self.weight()
            },
            is_available,
            ..self.healthy_candidate()
        }
    }

    /// The endpoint as its use would depend on it if nothing kept it from taking requests.
    pub fn healthy_candidate(&self) -> Candidate {
        Candidate {
            weight: self.weight(),
            backup: self.backup,
            priority: self.priority(),
            is_available: true,
        }
    }
}
