//! Drains: endpoints that take no requests because an operator said so.

use jiff::Timestamp;
use waypost_admin::command::Drained;
use waypost_admin::events::EventKind;
use waypost_admin::problem::Problem;
use waypost_plan::service::{Endpoint, EndpointHost, EndpointScheme};
use waypost_upstream::service::ServiceState;

use super::Control;
use crate::state::dials::StoredDrain;
use crate::state::shared::Shared;

/// A declared endpoint, or one address of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    endpoint: String,
    address: Option<String>,
}

impl Control {
    /// Drains an endpoint, or takes it back: first that is stored, then it is so. Where another instance of a fleet was first, but
    /// with something else, it is done all the same.
    pub(super) async fn drain(
        &mut self,
        service: &str,
        endpoint: &str,
        drained: bool,
        by: String,
    ) -> Result<Drained, Problem> {
        let of_service = |control: &Self| control.state.dials.drains.get(service).cloned();
        let before = of_service(self);
        let done = self.drain_once(service, endpoint, drained, by.clone()).await;
        match done.as_ref().is_err_and(Problem::is_stale) && self.is_still(&before, of_service).await {
            true => self.drain_once(service, endpoint, drained, by).await,
            false => done,
        }
    }

    async fn drain_once(
        &mut self,
        service: &str,
        endpoint: &str,
        drained: bool,
        by: String,
    ) -> Result<Drained, Problem> {
        // What another gateway has stored is taken over first.
        let claimed = self.claim_state().await;
        self.expect_config_of_all()?;
        // A record that is not there leaves the drain with the others.
        if !drained && self.state.shared().is_some_and(Shared::is_wiped) {
            let detail = "etcd has no config, so the drain cannot be taken back at all instances; apply a config first";
            return Err(Problem::conflict(detail));
        }
        let generation = self.gateway.generation();
        let mut services = generation.services().iter();
        let state = services
            .find(|state| *state.service().name == *service)
            .ok_or_else(|| Problem::not_found(format!("there is no service named `{service}`")))?;
        let place = find(state, endpoint)?;
        let mut dials = self.state.dials.clone();
        let drains = dials.drains.entry(service.to_owned()).or_default();
        let changed = match drained {
            true => add(drains, &place, &by),
            false => remove(drains, &place, service)?,
        };
        dials.drains.retain(|_, drains| !drains.is_empty());
        let named = place.address.as_ref().unwrap_or(&place.endpoint).clone();
        if changed {
            let stored = self.store_dials(claimed, &dials).await;
            self.report_state();
            stored.map_err(|error| error.problem("the drain is not changed"))?;
            self.state.dials.drain(&generation);
            let (service, endpoint, by) = (service.to_owned(), named.clone(), by.clone());
            self.shared.events.publish(match drained {
                true => EventKind::EndpointDrained {
                    service,
                    endpoint,
                    by,
                },
                false => EventKind::EndpointUndrained {
                    service,
                    endpoint,
                    by,
                },
            });
        }
        Ok(Drained {
            service: service.to_owned(),
            endpoint: named,
            drained,
            changed,
            by,
        })
    }
}

/// Adds a drain; returns false if the place is drained already. A drain of the whole endpoint replaces those of its
/// addresses.
fn add(drains: &mut Vec<StoredDrain>, place: &Place, by: &str) -> bool {
    let mut of_endpoint = drains.iter().filter(|drain| drain.endpoint == place.endpoint);
    if of_endpoint.any(|drain| drain.address.is_none() || drain.address == place.address) {
        return false;
    }
    if place.address.is_none() {
        drains.retain(|drain| drain.endpoint != place.endpoint);
    }
    drains.push(StoredDrain {
        endpoint: place.endpoint.clone(),
        address: place.address.clone(),
        by: by.to_owned(),
        time: Timestamp::now(),
    });
    true
}

/// Removes a drain; returns false if there is none. With the whole endpoint, all of its addresses are taken back.
fn remove(drains: &mut Vec<StoredDrain>, place: &Place, service: &str) -> Result<bool, Problem> {
    let is_whole = |drain: &StoredDrain| drain.endpoint == place.endpoint && drain.address.is_none();
    if let Some(address) = &place.address
        && drains.iter().any(is_whole)
    {
        let endpoint = &place.endpoint;
        return Err(Problem::invalid(format!(
            "`{address}` is drained with all addresses of `{endpoint}`; `waypost drain {service} {endpoint} --undo` takes \
             them back"
        )));
    }
    let before = drains.len();
    drains.retain(|drain| {
        drain.endpoint != place.endpoint || (place.address.is_some() && drain.address != place.address)
    });
    Ok(drains.len() < before)
}

/// The endpoint that `text` names: by its URL, by host and port, or by an address.
fn find(state: &ServiceState, text: &str) -> Result<Place, Problem> {
    let service = state.service();
    let text = text.trim_end_matches('/');
    let mut declared = service.endpoints.iter();
    if let Some(endpoint) = declared.find(|endpoint| is_named(endpoint, text)) {
        return Ok(Place {
            endpoint: endpoint.text().into_owned(),
            address: None,
        });
    }
    let endpoints = state.endpoints();
    let mut known = endpoints.iter();
    if let Some(endpoint) = known.find(|known| known.address.to_string() == text) {
        return Ok(Place {
            endpoint: service.endpoints[endpoint.declared].text().into_owned(),
            address: Some(text.to_owned()),
        });
    }
    let names: Vec<_> = service.endpoints.iter().map(Endpoint::text).collect();
    Err(Problem::invalid(format!(
        "`{text}` is not an endpoint of the service `{}`; there are {}",
        service.name,
        names.join(", ")
    )))
}

/// Returns true if `text` is the URL of a declared endpoint, or its host and port.
fn is_named(endpoint: &Endpoint, text: &str) -> bool {
    if let EndpointHost::Unix(path) = &endpoint.host {
        return text.strip_prefix("unix:").unwrap_or(text) == &**path;
    }
    let text = match &endpoint.host {
        EndpointHost::Service(_) => text.strip_prefix("srv+").unwrap_or(text),
        _ => text,
    };
    let scheme = match endpoint.scheme {
        EndpointScheme::Http => "http",
        EndpointScheme::Https => "https",
        EndpointScheme::H2c => "h2c",
    };
    let rest = match text.split_once("://") {
        Some((given, rest)) if given.eq_ignore_ascii_case(scheme) => rest,
        Some(_) => return false,
        None => text,
    };
    let authority = &*endpoint.authority;
    let port = format!(":{}", endpoint.port);
    let bare = |text: &str| text.strip_suffix(&port).unwrap_or(text).to_ascii_lowercase();
    // The port of the scheme may be left out, on either side.
    let has_port = |text: &str| text.ends_with(&port);
    let is_default = matches!(
        (endpoint.scheme, endpoint.port),
        (EndpointScheme::Http | EndpointScheme::H2c, 80) | (EndpointScheme::Https, 443)
    );
    bare(rest) == bare(authority) && (is_default || has_port(rest) || !has_port(authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::Arc;

    use waypost_plan::service::Service;
    use waypost_upstream::address::Address;

    fn state() -> ServiceState {
        let endpoint = |authority: &str, port, scheme| {
            let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
            let host = host.parse();
            let host = host.map_or(EndpointHost::Name(authority.into()), EndpointHost::Address);
            Endpoint::new(authority.into(), host, port, scheme)
        };
        let endpoints = vec![
            endpoint("10.0.0.11:8080", 8080, EndpointScheme::Http),
            endpoint("users.internal", 443, EndpointScheme::Https),
        ];
        let state = ServiceState::new(Arc::new(Service::new("users".into(), endpoints)));
        let ips = [[10, 0, 0, 2], [10, 0, 0, 3]];
        let found = ips.map(|ip| Address::Tcp((ip, 443).into()));
        state.set_found(1, found.to_vec());
        state
    }

    fn check(text: &str, expected: Option<(&str, Option<&str>)>) {
        let found = find(&state(), text);
        let found = found.ok().map(|place| (place.endpoint, place.address));
        let expected = expected.map(|(endpoint, address)| (endpoint.to_owned(), address.map(str::to_owned)));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn endpoint_is_named_by_url_host_or_address() {
        for text in [
            "http://10.0.0.11:8080",
            "http://10.0.0.11:8080/",
            "10.0.0.11:8080",
        ] {
            check(text, Some(("10.0.0.11:8080", None)));
        }
        for text in [
            "https://users.internal",
            "users.internal",
            "users.internal:443",
            "HTTPS://Users.internal:443",
        ] {
            check(text, Some(("users.internal", None)));
        }
        check("10.0.0.3:443", Some(("users.internal", Some("10.0.0.3:443"))));
        for text in [
            "",
            "10.0.0.11",
            "https://10.0.0.11:8080",
            "10.0.0.4:443",
            "users.internal:80",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn drains_of_an_endpoint_and_of_its_addresses_do_not_mix() {
        let whole = Place {
            endpoint: "a".to_owned(),
            address: None,
        };
        let one = Place {
            address: Some("10.0.0.1:80".to_owned()),
            ..whole.clone()
        };
        let mut drains = Vec::new();
        assert!(add(&mut drains, &one, "me") && !add(&mut drains, &one, "me"));
        assert!(add(&mut drains, &whole, "me") && !add(&mut drains, &one, "me"));
        assert_eq!(drains.len(), 1);
        assert!(remove(&mut drains, &one, "s").is_err());
        assert!(remove(&mut drains, &whole, "s").unwrap() && !remove(&mut drains, &whole, "s").unwrap());
        add(&mut drains, &one, "me");
        assert!(remove(&mut drains, &one, "s").unwrap());
        assert!(drains.is_empty());
    }
}
