//! The servers of SRV records (RFC 2782).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use waypost_plan::service::{Endpoint as Declared, EndpointHost, EndpointScheme};

use crate::address::Address;
use crate::discovery::resolver::ServiceRecord;
use crate::service::names::Found;

/// The names of the servers. A record with the target `.` names none: the service is decidedly not available.
pub(super) fn hosts(records: &[ServiceRecord]) -> BTreeSet<String> {
    let targets = records.iter().map(|record| &record.target);
    targets.filter(|target| *target != ".").cloned().collect()
}

/// The addresses of the servers that `records` of the endpoint `declared` name, each with the weight and the priority of
/// its record; `addresses` are those of a server.
pub(super) fn found(
    declared: &Declared,
    records: &[ServiceRecord],
    addresses: impl Fn(&str) -> Vec<IpAddr>,
) -> Vec<Found> {
    let mut heaviest: BTreeMap<u16, u16> = BTreeMap::new();
    for record in records {
        let weight = heaviest.entry(record.priority).or_default();
        *weight = record.weight.max(*weight);
    }
    // Servers rotate their records, which is no change.
    let mut records: Vec<&ServiceRecord> = records.iter().collect();
    records.sort_unstable();
    let mut found: Vec<Found> = Vec::new();
    for record in records.into_iter().filter(|record| record.port != 0) {
        let host = record.target.strip_suffix('.').unwrap_or(&record.target);
        let mut target = Declared::new(
            authority(host, record.port, declared.scheme),
            EndpointHost::Name(host.into()),
            record.port,
            declared.scheme,
        );
        // Where all of a priority have weight 0, there is nothing to tell them apart by.
        target.weight = match heaviest.get(&record.priority) {
            Some(0) => 1,
            _ => record.weight.into(),
        };
        target.backup = declared.backup;
        let target = Arc::new(target);
        let mut addresses = addresses(&record.target);
        addresses.sort_unstable();
        addresses.dedup();
        for ip in addresses {
            found.push(Found {
                address: Address::Tcp(SocketAddr::new(ip, record.port)),
                target: Some(Arc::clone(&target)),
                priority: record.priority,
            });
        }
    }
    found
}

/// The authority of a server, without the default port of its scheme.
fn authority(host: &str, port: u16, scheme: EndpointScheme) -> Box<str> {
    let is_default = match scheme {
        EndpointScheme::Http | EndpointScheme::H2c => port == 80,
        EndpointScheme::Https => port == 443,
    };
    match is_default {
        true => host.into(),
        false => format!("{host}:{port}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records, each as `PRIORITY WEIGHT PORT TARGET`; every target has one address. Checks `ADDRESS AUTHORITY WEIGHT
    /// PRIORITY` of each endpoint.
    #[track_caller]
    fn check(records: &[&str], expected: &[&str]) {
        let records: Vec<ServiceRecord> = records
            .iter()
            .map(|record| {
                let words: Vec<&str> = record.split(' ').collect();
                ServiceRecord {
                    priority: words[0].parse().unwrap(),
                    weight: words[1].parse().unwrap(),
                    port: words[2].parse().unwrap(),
                    target: words[3].to_owned(),
                }
            })
            .collect();
        let host = EndpointHost::Service("_http._tcp.test".into());
        let declared = Declared::new("_http._tcp.test".into(), host, 0, EndpointScheme::Http);
        let names = hosts(&records);
        let found = found(&declared, &records, |name| match names.contains(name) {
            true => vec![IpAddr::from([10, 0, 0, name.as_bytes()[0] - b'a'])],
            false => Vec::new(),
        });
        let shown = found.iter().map(|found| {
            let target = found.target.as_ref().unwrap();
            let (address, priority) = (&found.address, found.priority);
            format!("{address} {} {} {priority}", target.authority, target.weight)
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn records_give_port_weight_and_priority() {
        check(
            &["10 3 8081 b.test.", "10 1 80 a.test.", "20 0 8082 c.test."],
            &[
                "10.0.0.0:80 a.test 1 10",
                "10.0.0.1:8081 b.test:8081 3 10",
                "10.0.0.2:8082 c.test:8082 1 20",
            ],
        );
        check(
            &["0 0 81 a.test.", "0 5 81 b.test."],
            &["10.0.0.0:81 a.test:81 0 0", "10.0.0.1:81 b.test:81 5 0"],
        );
    }

    #[test]
    fn dot_means_none() {
        check(&["0 0 0 ."], &[]);
        check(&["0 0 80 ."], &[]);
    }
}
