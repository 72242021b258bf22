//! Promises about things that only a simulation does on command.

mod clients;
mod faults;
mod hostile;
mod watches;

use std::time::Duration;

use waypost_etcd::client::Client;
use waypost_etcd::simulated::Simulated;

use crate::promises::Cluster as _;

/// A cluster of so many members, and a client of it.
async fn cluster(members: usize) -> (Simulated, Client) {
    let etcd = Simulated::start(members).await.unwrap();
    let client = etcd.client();
    (etcd, client)
}

/// A deadline that is meant to pass, whatever comes of it.
const SHORT: Duration = Duration::from_millis(100);

/// A deadline that is meant to pass once the call was sent, also where the machine stood still before.
const SURE: Duration = Duration::from_secs(2);
