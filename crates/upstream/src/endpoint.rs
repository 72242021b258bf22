//! Endpoints of services, shared by all workers.

use waypost_plan::service::Endpoint as Declared;

use crate::address::Address;
use crate::health::Health;

/// One address of a service. A declared endpoint whose name resolves to several addresses has one `Endpoint` for each.
#[derive(Debug)]
pub struct Endpoint {
    /// The address.
    pub address: Address,
    /// The index of the declared endpoint in the service.
    pub declared: usize,
    /// The weight, relative to those of the other endpoints; 0 takes no requests.
    pub weight: u32,
    /// True if it is used only while no other endpoint is available.
    pub backup: bool,
    /// The priority, as of SRV records (RFC 2782): the lowest that is available takes the requests.
    pub priority: u16,
    /// The health of this address.
    pub health: Health,
}

impl Endpoint {
    /// Creates an endpoint at an address of `declared`, which is the one at `index`. It is up.
    pub fn new(address: Address, declared: &Declared, index: usize) -> Self {
        Self {
            address,
            declared: index,
            weight: declared.weight,
            backup: declared.backup,
            priority: 0,
            health: Health::default(),
        }
    }
}
