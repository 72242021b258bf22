//! Plans for tests of the metrics, and counts of mirrored requests.

use waypost_plan::Plan;
use waypost_plan::builder::PlanBuilder;
use waypost_plan::listener::{Bind, Listener};
use waypost_plan::mirror::Mirror;
use waypost_plan::route::{Action, Forward, Respond, Route};
use waypost_plan::service::Service;
use waypost_plan::split_policies::SplitPolicySet;
use waypost_plan::value::ValueTemplate;
use waypost_route::split::Split;

use crate::observe::metrics::{Mirrored, RouteCounters};

/// The outcomes of mirrored requests that were counted, with how often.
pub(crate) fn mirrored(counters: &RouteCounters) -> Vec<(Mirrored, u64)> {
    let counts = counters.mirrored.iter().map(|counter| counter.read());
    let all = Mirrored::ALL.into_iter().zip(counts);
    all.filter(|(_, count)| *count > 0).collect()
}

/// A plan with these routes, each a name and its services out of `a` to `d`; `~` marks the mirror. A route without
/// services responds itself.
pub(crate) fn plan(routes: &[(&str, &[&str])]) -> Plan {
    let mut builder = PlanBuilder::default();
    let bind = Bind::tcp("127.0.0.1:1".parse().unwrap());
    builder.add_listener(Listener::new(bind)).unwrap();
    let ids = ["a", "b", "c", "d"].map(|name| {
        let service = Service::new(name.into(), Vec::new());
        builder.add_service(service).unwrap()
    });
    let id = |name: &str| ids[usize::from(name.as_bytes()[0] - b'a')];
    for (name, services) in routes {
        let arms = services.iter().filter(|name| !name.starts_with('~'));
        let arms: Vec<_> = arms.map(|name| id(name)).collect();
        let copies = services.iter().find_map(|name| name.strip_prefix('~'));
        let action = if arms.is_empty() {
            Action::Respond(Respond {
                status: 200,
                body: ValueTemplate::default(),
                content_type: "text/plain".into(),
            })
        } else {
            let split = Split::new(&vec![1; arms.len()]);
            let policies = SplitPolicySet {
                mirror: copies.map(|name| Mirror::new(id(name), 1, 1)),
                ..SplitPolicySet::default()
            };
            Action::Forward(Forward {
                split_policies: policies.into(),
                ..Forward::to(arms, split)
            })
        };
        let matching = waypost_route::Route {
            name: (*name).into(),
            alternatives: [].into(),
        };
        builder.add_route(Route::new(matching, action)).unwrap();
    }
    builder.build().unwrap()
}
