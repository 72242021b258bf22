//! Endpoints of services, shared by all workers.

use std::net::SocketAddr;

use crate::health::Health;

/// One address of a service. A declared endpoint whose name resolves to several addresses has one `Endpoint` for each.
#[derive(Debug)]
pub struct Endpoint {
    /// The address.
    pub address: SocketAddr,
    /// The index of the declared endpoint in the service.
    pub declared: usize,
    /// The health of this address.
    pub health: Health,
}

impl Endpoint {
    /// Creates an endpoint that is up.
    pub fn new(address: SocketAddr, declared: usize) -> Self {
        Self {
            address,
            declared,
            health: Health::default(),
        }
    }
}
