//! Services at public names that get the `Host` of clients, which is another's there.

use std::collections::HashMap;

use waypost_plan::Plan;
use waypost_plan::listener::{Listener, ListenerTls};
use waypost_plan::route::Route;
use waypost_plan::service::{EndpointHost, EndpointScheme, SentHost, Service, ServiceId};
use waypost_route::alternative::Alternative;
use waypost_route::attribute::Attribute;
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

    /// Warns of those to which `plan` sends other hosts.
    pub(super) fn report(mut self, plan: &Plan, problems: &mut Problems) {
        if self.0.is_empty() || problems.has_errors() {
            return;
        }
        for route in plan.routes().iter().filter(|route| !route.is_passthrough) {
            for id in route.forward().iter().flat_map(|forward| forward.services()) {
                if let Some(public) = self.0.get_mut(&id) {
                    public.is_foreign |= public.gets_foreign(route, plan);
                }
            }
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

impl Public {
    /// Returns true if requests with other hosts come to it by `route`.
    fn gets_foreign(&self, route: &Route, plan: &Plan) -> bool {
        let is_own = |host: &HostPattern| matches!(host, HostPattern::Exact(host) if *host == self.name);
        let alternatives = route.matching.alternatives.iter();
        let mut others = alternatives.filter(|alternative| !is_own(&alternative.host));
        let kept: Vec<&Listener> = plan
            .listeners()
            .iter()
            .map(|listener| &**listener)
            .filter(|listener| listener.tls != ListenerTls::Passthrough)
            .filter(|listener| plan.policies(route, listener).rewrite.host.is_none())
            .collect();
        others.any(|alternative| kept.iter().any(|listener| may_take(alternative, listener)))
    }
}

/// Returns true if requests that come in by `listener` may fulfil `alternative`.
fn may_take(alternative: &Alternative, listener: &Listener) -> bool {
    let mut served = listener.hosts.iter();
    let is_served = listener.hosts.is_empty() || served.any(|host| host.overlaps(&alternative.host));
    let mut conditions = alternative.attributes.iter();
    is_served
        && conditions.all(|condition| {
            condition.attribute != Attribute::Listener
                || condition.value.holds(Some(listener.label().as_bytes()))
        })
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
