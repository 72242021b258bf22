//! The difference between two plans, by name.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::Plan;
use crate::route::{Action, Forward, Route};
use crate::service::ServiceId;

/// Maximum number of names shown for each kind of change.
const NAMES_SHOWN: usize = 5;

/// The difference between two plans. It displays as a one-line summary.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// Listeners, by name if they have one, else by address.
    pub listeners: Changes,
    /// Services.
    pub services: Changes,
    /// Routes.
    pub routes: Changes,
    /// True if the routes in both plans are in another order.
    pub reordered: bool,
    /// True if the tests changed.
    pub tests: bool,
    /// True if the named plans of rollouts changed.
    pub rollouts: bool,
    /// True if the settings changed.
    pub settings: bool,
}

/// Changes to listeners, services or routes, each list in declared order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Only in the later plan.
    pub added: Vec<Arc<str>>,
    /// Only in the earlier plan.
    pub removed: Vec<Arc<str>>,
    /// In both, with different contents.
    pub changed: Vec<Arc<str>>,
}

impl Difference {
    /// Returns the difference from `before` to `after`.
    pub fn between(before: &Plan, after: &Plan) -> Self {
        let listener_name = |plan: &Plan, index: usize| -> Arc<str> {
            let listener = &plan.listeners()[index];
            match &listener.name {
                Some(name) => (&**name).into(),
                None => (&*listener.bind.text).into(),
            }
        };
        let names = |plan: &Plan| -> Vec<Arc<str>> {
            let routes = plan.routes().iter();
            routes.map(|route| Arc::clone(&route.matching.name)).collect()
        };
        let (routes_before, routes_after) = (names(before), names(after));
        let routes = Changes::between(&routes_before, &routes_after, |was, is| {
            same_route(before, &before.routes()[was], after, &after.routes()[is])
        });
        let services = |plan: &Plan| -> Vec<Arc<str>> {
            let services = plan.services().iter();
            services.map(|service| Arc::clone(&service.name)).collect()
        };
        let listeners = |plan: &Plan| -> Vec<Arc<str>> {
            (0..plan.listeners().len())
                .map(|index| listener_name(plan, index))
                .collect()
        };
        let stayed = |names: &[Arc<str>], gone: &[Arc<str>]| -> Vec<Arc<str>> {
            let gone: std::collections::HashSet<&str> = gone.iter().map(|name| &**name).collect();
            let stay = names.iter().filter(|name| !gone.contains(&***name));
            stay.cloned().collect()
        };
        let reordered = stayed(&routes_before, &routes.removed) != stayed(&routes_after, &routes.added);
        Self {
            listeners: Changes::between(&listeners(before), &listeners(after), |was, is| {
                before.listeners()[was] == after.listeners()[is]
            }),
            services: Changes::between(&services(before), &services(after), |was, is| {
                before.services()[was] == after.services()[is]
            }),
            routes,
            reordered,
            tests: before.tests() != after.tests(),
            rollouts: before.rollouts() != after.rollouts(),
            settings: before.settings() != after.settings(),
        }
    }

    /// Returns true if nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Changes {
    /// `is_same` compares the items at two positions.
    fn between(before: &[Arc<str>], after: &[Arc<str>], is_same: impl Fn(usize, usize) -> bool) -> Self {
        let positions = |names: &[Arc<str>]| -> HashMap<Arc<str>, usize> {
            let names = names.iter().enumerate();
            names.map(|(at, name)| (Arc::clone(name), at)).collect()
        };
        let (was, is) = (positions(before), positions(after));
        let mut changes = Self::default();
        for (at, name) in after.iter().enumerate() {
            match was.get(name) {
                None => changes.added.push(Arc::clone(name)),
                Some(was) if !is_same(*was, at) => changes.changed.push(Arc::clone(name)),
                Some(_) => {}
            }
        }
        let removed = before.iter().filter(|name| !is.contains_key(*name));
        changes.removed = removed.cloned().collect();
        changes
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Returns true if two routes are the same. Services compare by name, as ids are valid in one plan only.
fn same_route(before: &Plan, was: &Route, after: &Plan, is: &Route) -> bool {
    let names = |plan: &Plan, forward: &Forward| -> Vec<Arc<str>> {
        let services = forward.services();
        services.map(|id| Arc::clone(&plan.service(id).name)).collect()
    };
    let nameless = |forward: &Forward| {
        let Forward {
            split,
            arms: _,
            split_policies,
        } = forward;
        let mut policies = (**split_policies).clone();
        if let Some(mirror) = &mut policies.mirror {
            mirror.to = ServiceId(0);
        }
        // The plan counts, wherever it is said.
        if let Some(rollout) = &mut policies.rollout {
            rollout.policy = None;
        }
        (split.clone(), policies)
    };
    let same_action = match (&was.action, &is.action) {
        (Action::Forward(was), Action::Forward(is)) => {
            names(before, was) == names(after, is) && nameless(was) == nameless(is)
        }
        (was, is) => was == is,
    };
    same_action
        && was.matching == is.matching
        && was.policies == is.policies
        && was.is_passthrough == is.is_passthrough
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        for (noun, changes) in [
            ("routes", &self.routes),
            ("services", &self.services),
            ("listeners", &self.listeners),
        ] {
            if !changes.is_empty() {
                parts.push(format!("{noun} {changes}"));
            }
        }
        for (is_so, words) in [
            (self.reordered, "routes reordered"),
            (self.tests, "tests changed"),
            (self.rollouts, "rollouts changed"),
            (self.settings, "settings changed"),
        ] {
            if is_so {
                parts.push(words.to_owned());
            }
        }
        if parts.is_empty() {
            // Comments, blanks, another notation.
            return f.write_str("no change of meaning");
        }
        f.write_str(&parts.join("; "))
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<String> = Vec::new();
        for (sign, names) in [('~', &self.changed), ('+', &self.added), ('-', &self.removed)] {
            words.extend(names.iter().take(NAMES_SHOWN).map(|name| format!("{sign}{name}")));
            if names.len() > NAMES_SHOWN {
                words.push(format!("{sign}{} more", names.len() - NAMES_SHOWN));
            }
        }
        f.write_str(&words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::PlanBuilder;
    use crate::listener::{Bind, BindAddress, Listener};
    use crate::policies::PolicySet;
    use crate::service::Service;
    use std::time::Duration;
    use waypost_route::split::Split;

    /// Returns a plan with these services and with routes to them: name, service, weight.
    fn plan(services: &[&str], routes: &[(&str, &str, u64)], port: u16) -> Plan {
        let mut builder = PlanBuilder::default();
        let text = format!("127.0.0.1:{port}");
        let address = text.parse().unwrap();
        let bind = Bind {
            text: text.into(),
            address: BindAddress::Tcp(address),
        };
        builder.add_listener(Listener::new(bind)).unwrap();
        let mut ids = HashMap::new();
        for name in services {
            let service = Service::new((*name).into(), Vec::new());
            ids.insert(*name, builder.add_service(service).unwrap());
        }
        for (name, service, weight) in routes {
            let policies = PolicySet {
                timeout: Some(Duration::from_secs(1)),
                ..PolicySet::default()
            };
            let forward = Forward::to(vec![ids[service]], Split::new(&[*weight]));
            let matching = waypost_route::Route {
                name: (*name).into(),
                alternatives: [].into(),
            };
            let route = Route {
                policies: policies.into(),
                ..Route::new(matching, Action::Forward(forward))
            };
            builder.add_route(route).unwrap();
        }
        builder.build().unwrap()
    }

    fn check(before: &Plan, after: &Plan, expected: &str) {
        assert_eq!(Difference::between(before, after).to_string(), expected);
    }

    #[test]
    fn items_are_compared_by_name_not_position() {
        let before = plan(&["a", "b"], &[("r", "b", 1)], 1);
        check(&before, &before.clone(), "no change of meaning");
        check(
            &before,
            &plan(&["b", "a"], &[("r", "b", 1)], 1),
            "no change of meaning",
        );
        check(&before, &plan(&["b", "a"], &[("r", "a", 1)], 1), "routes ~r");
    }

    #[test]
    fn added_removed_and_changed_names_are_listed() {
        let before = plan(&["a", "b"], &[("r", "a", 1), ("s", "a", 1)], 1);
        let after = plan(&["a", "c"], &[("s", "a", 2), ("t", "c", 1)], 2);
        check(
            &before,
            &after,
            "routes ~s +t -r; services +c -b; listeners +127.0.0.1:2 -127.0.0.1:1",
        );
        let swapped = plan(&["a", "b"], &[("s", "a", 1), ("r", "a", 1)], 1);
        check(&before, &swapped, "routes reordered");
    }

    #[test]
    fn long_lists_of_names_are_truncated() {
        let names: Vec<String> = (0..9).map(|number| format!("r{number}")).collect();
        let routes: Vec<(&str, &str, u64)> = names.iter().map(|name| (&**name, "a", 1)).collect();
        check(
            &plan(&["a"], &[], 1),
            &plan(&["a"], &routes, 1),
            "routes +r0 +r1 +r2 +r3 +r4 +4 more",
        );
    }
}
