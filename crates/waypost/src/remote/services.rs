//! `waypost services`: the endpoints of a running gateway, and `waypost drain`.

use waypost_admin::api::services::{AddressDetail, DrainChange, EndpointView, ServiceView};
use waypost_admin::command::Drained;

use super::client::segment;
use super::table::Table;
use super::{Client, show};
use crate::Outcome;
use crate::cli::{AdminArgs, Format};

/// A service with the state of its endpoints.
type Service = ServiceView<AddressDetail>;

/// The form of times.
const TIME: &str = "%Y-%m-%dT%H:%M:%SZ";

/// Lists the endpoints of all services, or of one.
pub(crate) fn services(admin: &AdminArgs, service: Option<&str>, format: Format) -> anyhow::Result<Outcome> {
    let client = Client::new(admin)?;
    match service {
        Some(name) => show(
            client.get(&format!("/api/v1/services/{}", segment(name)))?,
            format,
            |service: &Service| in_columns(std::slice::from_ref(service)),
        ),
        None => show(
            client.get("/api/v1/services?detail=true")?,
            format,
            |services: &Vec<Service>| in_columns(services),
        ),
    }
}

/// Drains an endpoint of `service`, or takes it back.
pub(crate) fn drain(
    admin: &AdminArgs,
    service: &str,
    endpoint: &str,
    undo: bool,
    format: Format,
) -> anyhow::Result<Outcome> {
    let client = Client::new(admin)?;
    let change = DrainChange {
        endpoint: endpoint.to_owned(),
        drained: !undo,
    };
    let path = format!("/api/v1/services/{}/drain", segment(service));
    let answer = client.put(&path, "application/json", None, serde_json::to_vec(&change)?)?;
    show(answer, format, |drained: &Drained| {
        let Drained {
            service, endpoint, ..
        } = drained;
        match (drained.drained, drained.changed) {
            (true, true) => format!(
                "`{endpoint}` of `{service}` takes no further requests; to undo it: waypost drain {service} {endpoint} \
                 --undo\n"
            ),
            (true, false) => format!("`{endpoint}` of `{service}` is drained already\n"),
            (false, true) => format!("`{endpoint}` of `{service}` takes requests again\n"),
            (false, false) => format!("`{endpoint}` of `{service}` is not drained\n"),
        }
    })
}

fn in_columns(services: &[Service]) -> String {
    let mut table = Table::new(&[
        "SERVICE",
        "ENDPOINT",
        "STATE",
        ">WEIGHT",
        ">IN-FLIGHT",
        ">REQUESTS",
        ">FAILURES",
        ">P99",
    ]);
    for service in services {
        if service.endpoints.is_empty() {
            table.row([&*service.name, "-", "no endpoints"]);
        }
        for endpoint in &service.endpoints {
            if endpoint.addresses.is_empty() {
                let state = match endpoint.taken {
                    true => "unused: has the addresses of endpoints above",
                    false => "unknown: does not resolve",
                };
                table.row([&*service.name, &*endpoint.endpoint, state]);
            }
            for address in &endpoint.addresses {
                table.row([
                    service.name.clone(),
                    name(endpoint, address),
                    state(address),
                    address.weight.to_string(),
                    address.in_flight.to_string(),
                    address.requests.to_string(),
                    address.failures.to_string(),
                    address.p99_ms.map_or_else(|| "-".to_owned(), milliseconds),
                ]);
            }
        }
    }
    table.text()
}

/// The endpoint as in the config, and the address where that is another.
fn name(endpoint: &EndpointView<AddressDetail>, address: &AddressDetail) -> String {
    let backup = if endpoint.backup { " (backup)" } else { "" };
    match *endpoint.endpoint == *address.address {
        true => format!("{}{backup}", address.address),
        false => format!("{} {}{backup}", endpoint.endpoint, address.address),
    }
}

/// The state with its times and its reason.
fn state(address: &AddressDetail) -> String {
    let mut text = format!("{} since {}", address.state, address.since.strftime(TIME));
    if let Some(until) = &address.until {
        text.push_str(&format!(" until {}", until.strftime(TIME)));
    }
    if let Some(reason) = &address.reason {
        text.push_str(&format!(": {reason}"));
    }
    text
}

fn milliseconds(ms: f64) -> String {
    match ms {
        ..10.0 => format!("{ms:.2}ms"),
        ..1000.0 => format!("{ms:.0}ms"),
        _ => format!("{:.1}s", ms / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str, state: &str, reason: Option<&str>) -> AddressDetail {
        AddressDetail {
            address: text.to_owned(),
            ejected: false,
            state: state.to_owned(),
            reason: reason.map(str::to_owned),
            since: "2026-03-01T09:00:00.123Z".parse().unwrap(),
            until: reason.map(|_| "2026-03-01T09:00:30Z".parse().unwrap()),
            weight: 1,
            in_flight: 2,
            requests: 300,
            failures: 4,
            p99_ms: (state == "up").then_some(12.4),
        }
    }

    #[test]
    fn endpoints_are_shown_with_state_reason_and_counts() {
        let ejected = address("10.0.0.2:80", "ejected", Some("timeout"));
        let endpoint = |name: &str, addresses: Vec<AddressDetail>| EndpointView {
            endpoint: name.to_owned(),
            weight: 1,
            backup: name == "10.0.0.1:80",
            taken: name == "d.internal",
            addresses,
        };
        let service = |name: &str, endpoints: Vec<EndpointView<AddressDetail>>| ServiceView {
            name: name.to_owned(),
            endpoints,
            routes: Vec::new(),
            mirrors: Vec::new(),
        };
        let orders = service(
            "orders",
            vec![
                endpoint("10.0.0.1:80", vec![address("10.0.0.1:80", "up", None)]),
                endpoint("b.internal", vec![ejected]),
                endpoint("c.internal", Vec::new()),
                endpoint("d.internal", Vec::new()),
            ],
        );
        let table = in_columns(&[orders, service("none", Vec::new())]);
        let words: Vec<Vec<&str>> = table
            .lines()
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty())
                    .collect()
            })
            .collect();
        let ejected = "ejected since 2026-03-01T09:00:00Z until 2026-03-01T09:00:30Z: timeout";
        let expected: [&[&str]; 6] = [
            &[
                "SERVICE",
                "ENDPOINT",
                "STATE",
                "WEIGHT",
                "IN-FLIGHT",
                "REQUESTS",
                "FAILURES",
                "P99",
            ],
            &[
                "orders",
                "10.0.0.1:80 (backup)",
                "up since 2026-03-01T09:00:00Z",
                "1",
                "2",
                "300",
                "4",
                "12ms",
            ],
            &[
                "orders",
                "b.internal 10.0.0.2:80",
                ejected,
                "1",
                "2",
                "300",
                "4",
                "-",
            ],
            &["orders", "c.internal", "unknown: does not resolve"],
            &[
                "orders",
                "d.internal",
                "unused: has the addresses of endpoints above",
            ],
            &["none", "-", "no endpoints"],
        ];
        assert_eq!(words, expected);
    }
}
