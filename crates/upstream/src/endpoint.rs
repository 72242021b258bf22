//! An address of a service, shared by all workers.

use std::net::SocketAddr;

use crate::health::Health;

/// One address of a service. A name that resolves to several addresses has several of these.
#[derive(Debug)]
pub struct Endpoint {
    /// The address.
    pub address: SocketAddr,
    /// The position of the declared endpoint in the service.
    pub declared: usize,
    /// Its health.
    pub health: Health,
}

impl Endpoint {
    /// An endpoint that is up.
    pub fn new(address: SocketAddr, declared: usize) -> Self {
        Self {
            address,
            declared,
            health: Health::default(),
        }
    }
}
