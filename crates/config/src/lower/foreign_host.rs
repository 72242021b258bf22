//! Services at public names that get the `Host` of clients, which is another's there.

use std::collections::HashMap;

use waypost_plan::route::Route;
use waypost_plan::service::{EndpointHost, EndpointScheme, SentHost, Service, ServiceId};
use waypost_route::host::HostPattern;

use crate::diagnostic::Code;
use crate::document;
use crate::place::Span;
use crate::problems::{Problems, quote};

/// Ends of names that are not public: RFC 2606, 6761, 6762, 8375 and 9476, ICANN's `internal`, and those that networks
/// have long used for themselves. `example` stands for public names.
const PRIVATE_ENDS: [&str; 17] = [
    "alt",
    "cluster",
    "consul",
    "corp",
    "docker",
    "home",
    "home.arpa",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "private",
    "svc",
    "test",
];

/// Services with a public endpoint under TLS, for which no `host` is configured.
#[derive(Default)]
pub(super) struct ForeignHosts(HashMap<ServiceId, Public>);

/// A service with a public endpoint under TLS.
struct Public {
    /// Place of the endpoint.
    endpoint: Span,
    /// The endpoint's name, without a trailing dot.
    name: Box<str>,
    /// True if a route sends it requests with other hosts.
    is_foreign: bool,
}

impl ForeignHosts {
    /// Notes a service.
    pub(super) fn declare(&mut self, id: ServiceId, written: &document::service::Service, service: &Service) {
        if service.host != SentHost::Client || written.host.is_some() {
            return;
        }
        let public = service
            .endpoints
            .iter()
            .find_map(|endpoint| match &endpoint.host {
                EndpointHost::Name(name) if endpoint.scheme == EndpointScheme::Https && is_public(name) => {
                    Some(name.trim_end_matches('.').into())
                }
                _ => None,
            });
        if let Some(name) = public {
            let endpoint = written.endpoints.as_ref().map(|endpoints| endpoints.span);
            let public = Public {
                endpoint: endpoint.unwrap_or_default(),
                name,
                is_foreign: false,
            };
            self.0.insert(id, public);
        }
    }

    /// Notes a route.
    pub(super) fn note(&mut self, route: &Route) {
        let Some(forward) = route.forward() else {
            return;
        };
        if self.0.is_empty() || route.is_passthrough || route.policies.rewrite.host.is_some() {
            return;
        }
        let alternatives = &route.matching.alternatives;
        for id in forward.services() {
            if let Some(public) = self.0.get_mut(&id) {
                let is_own =
                    |host: &HostPattern| matches!(host, HostPattern::Exact(host) if *host == public.name);
                public.is_foreign |= !alternatives.iter().all(|alternative| is_own(&alternative.host));
            }
        }
    }

    /// Warns of those that get other hosts.
    pub(super) fn report(self, problems: &mut Problems) {
        if problems.has_errors() {
            return;
        }
        for public in self.0.into_values().filter(|public| public.is_foreign) {
            let name = quote(&public.name);
            problems
                .add(
                    Code::ForeignHost,
                    public.endpoint,
                    format!("{name} gets the `Host` that clients ask the gateway for, and hardly knows it"),
                )
                .help(format!(
                    "add `host: endpoint` to the service, so that it gets {name}, or `host: client` if it is to get the client's"
                ));
        }
    }
}

/// Returns true for a name of the public DNS.
fn is_public(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let ends_in = |end: &&str| {
        let rest = name.strip_suffix(*end);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    name.contains('.') && !PRIVATE_ENDS.iter().any(ends_in)
}
