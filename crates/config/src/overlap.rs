//! Findings of the overlap analysis as diagnostics, and requests that routes take.

use std::collections::BTreeMap;

use waypost_plan::Plan;
use waypost_plan::listener::{Listener, ListenerTls};
use waypost_route::overlap::{self, Entrance, Finding, Mend, Witness};
use waypost_route::rank::{Criterion, Position};
use waypost_route::table::Table;

use crate::diagnostic::Code;
use crate::lower::{LoweredPlan, RouteSpans};
use crate::place::Span;
use crate::problems::{Problems, quote};

/// Maximum number of shadowing routes to label.
const SHADOWS_MAX: usize = 3;

/// Reports unreachable, ambiguous and impossible routes of a plan.
///
/// Undecided ones are not reported: a warning is a proof.
pub(crate) fn report(lowered: &LoweredPlan, problems: &mut Problems) {
    let plan = &lowered.plan;
    report_among(plan.request_routes(), &entrances(plan, false), lowered, problems);
    report_among(
        plan.connection_routes(),
        &entrances(plan, true),
        lowered,
        problems,
    );
}

/// Reports those among `routes`, which are in one table.
fn report_among(
    routes: Vec<(usize, waypost_route::Route)>,
    entrances: &[Entrance],
    lowered: &LoweredPlan,
    problems: &mut Problems,
) {
    if routes.is_empty() {
        return;
    }
    let Ok(table) = Table::with_positions(routes) else {
        problems.add(
            Code::OutOfRange,
            Span::start_of(0),
            "there are more routes than a table can hold",
        );
        return;
    };
    let analysis = overlap::analyse(&table, entrances);
    let report = Report {
        plan: &lowered.plan,
        routes: &lowered.routes,
    };
    // One warning for a route without reachable alternatives, with all alternatives that shadow it.
    let mut whole: BTreeMap<usize, Shadowed> = BTreeMap::new();
    for finding in &analysis.findings {
        if let Finding::Unreachable {
            at,
            shadowed_by,
            mend,
        } = finding
            && analysis.unreachable_routes.binary_search(&at.route).is_ok()
        {
            let shadowed = whole.entry(at.route).or_default();
            shadowed.by.extend(shadowed_by);
            shadowed.mends.push(*mend);
        }
    }
    for finding in &analysis.findings {
        match finding {
            Finding::Impossible { at, reason } => {
                problems
                    .add(Code::ImpossibleMatch, report.span(*at), reason.to_string())
                    .help("two of its conditions exclude each other; make alternatives of them, or drop one");
            }
            Finding::Unreachable {
                at,
                shadowed_by,
                mend,
            } => {
                if !whole.contains_key(&at.route) {
                    let message = format!("no request reaches this alternative of {}", report.name(*at));
                    let shadowed = Shadowed {
                        by: shadowed_by.clone(),
                        mends: vec![*mend],
                    };
                    report.shadowed(*at, report.span(*at), message, &shadowed, problems);
                }
            }
            Finding::Ambiguous {
                first,
                second,
                witness,
            } => {
                // Where no request comes in, there is no witness.
                if entrances.is_empty() {
                    continue;
                }
                // The warning for the unreachable route is enough.
                if whole
                    .get(&second.route)
                    .is_some_and(|shadowed| shadowed.by.iter().any(|shadow| shadow.route == first.route))
                {
                    continue;
                }
                let message = format!(
                    "only the order of declaration separates {} from {}, which takes `{witness}`",
                    report.name(*second),
                    report.name(*first),
                );
                problems
                    .add(Code::AmbiguousRoutes, report.span(*second), message)
                    .label(report.span(*first), "declared earlier, so it wins")
                    .help("make one of the two more specific, or their conditions exclude each other");
            }
        }
    }
    for (route, mut shadowed) in whole {
        shadowed.by.sort_unstable();
        shadowed.by.dedup();
        let at = Position {
            route,
            alternative: 0,
        };
        let message = format!("no request reaches the route {}", report.name(at));
        report.shadowed(at, report.routes[route].name, message, &shadowed, problems);
    }
}

/// Requests that routes of `plan` take, those whose names are `wanted`: one for each of their alternatives that a request
/// reaches, and `max` at most.
pub fn requests_to(plan: &Plan, wanted: impl Fn(&str) -> bool, max: usize) -> Vec<Witness> {
    let entrances = entrances(plan, false);
    let routes = plan.request_routes();
    if entrances.is_empty() || routes.is_empty() {
        return Vec::new();
    }
    let is_wanted = |position: usize| wanted(&plan.routes()[position].matching.name);
    // A plan has a table, so there are not too many routes for one.
    let table = Table::with_positions(routes);
    table.map_or_else(
        |_| Vec::new(),
        |table| overlap::requests_to(&table, &entrances, is_wanted, max),
    )
}

/// The ways by which requests come to routes, or connections to those that pass them through.
fn entrances(plan: &Plan, passes: bool) -> Vec<Entrance> {
    let listeners = plan.listeners().iter().enumerate();
    let listeners = listeners.filter(|(_, listener)| (listener.tls == ListenerTls::Passthrough) == passes);
    let entrances = listeners.flat_map(|(position, listener)| {
        let needs_name = comes_in_elsewhere(plan, position);
        let mut earlier = plan.listeners()[..position].iter();
        let needs_name_without_host = earlier.any(|other| other.hosts.is_empty());
        let schemes = listener.client_schemes().into_iter().flatten();
        schemes.filter_map(move |scheme| {
            let is_native = scheme == listener.native_scheme();
            let is_plain = match &listener.redirect {
                None => is_native,
                // What leads back goes on to the routes.
                Some(redirect) if redirect.may_lead_back(scheme) => {
                    is_native && redirect.host.is_none() && redirect.port.is_none()
                }
                Some(_) => return None,
            };
            Some(Entrance {
                listener: listener.label().into(),
                scheme: scheme.as_str(),
                hosts: listener.hosts.clone(),
                is_plain,
                needs_name,
                needs_name_without_host,
            })
        })
    });
    entrances.collect()
}

/// Returns true if requests for some host of the listener at `position` come in by another one unless they name it: one
/// that serves the host too and comes first among those that fit the scheme.
fn comes_in_elsewhere(plan: &Plan, position: usize) -> bool {
    let rank = |position: usize, listener: &Listener| (listener.tls == ListenerTls::Off, position);
    let listener = &plan.listeners()[position];
    let meet = |other: &Listener| {
        let mut hosts = listener.hosts.iter();
        listener.hosts.is_empty()
            || other.hosts.is_empty()
            || hosts.any(|host| other.hosts.iter().any(|other| other.overlaps(host)))
    };
    let mut others = plan.listeners().iter().enumerate();
    others.any(|(at, other)| {
        other.native_scheme() == listener.native_scheme()
            && rank(at, other) < rank(position, listener)
            && meet(other)
    })
}

/// The alternatives that take the requests of an unreachable one, or of all of a route.
#[derive(Default)]
struct Shadowed {
    by: Vec<Position>,
    mends: Vec<Mend>,
}

struct Report<'m> {
    plan: &'m Plan,
    routes: &'m [RouteSpans],
}

impl Report<'_> {
    fn span(&self, at: Position) -> Span {
        let route = &self.routes[at.route];
        route
            .alternatives
            .get(at.alternative)
            .copied()
            .unwrap_or(route.name)
    }

    fn name(&self, at: Position) -> String {
        quote(&self.plan.routes()[at.route].matching.name)
    }

    /// Reports `at`, an unreachable alternative or the first of an unreachable route.
    fn shadowed(
        &self,
        at: Position,
        span: Span,
        message: String,
        shadowed: &Shadowed,
        problems: &mut Problems,
    ) {
        let mut problem = problems
            .add(Code::UnreachableRoute, span, message)
            .help(self.mend(at, &shadowed.mends));
        for shadow in shadowed.by.iter().take(SHADOWS_MAX) {
            problem = problem.label(self.span(*shadow), format!("{} takes them", self.name(*shadow)));
        }
    }

    /// The change that lets requests reach `at`, or its whole route if there are several.
    fn mend(&self, at: Position, mends: &[Mend]) -> String {
        let before = mends.iter().map(|mend| match mend {
            Mend::DeclareBefore(other) => Some(*other),
            _ => None,
        });
        if let Some(before) = before.collect::<Option<Vec<Position>>>()
            && let Some(first) = before.into_iter().min()
        {
            return format!(
                "declare it before {}: only their order decides between them",
                self.name(first)
            );
        }
        match mends {
            [Mend::Same(other) | Mend::Outrank(other, _)] if other.route == at.route => {
                "remove it: another alternative of the route takes the same requests".to_owned()
            }
            [Mend::Same(other)] => format!(
                "remove it, or add a condition: {} takes the same requests",
                self.name(*other)
            ),
            [Mend::Outrank(other, criterion)] => format!(
                "remove it, or narrow {}, which ranks first by its {}",
                self.name(*other),
                match criterion {
                    Criterion::Host => "host",
                    Criterion::Path => "path",
                    Criterion::Method => "method",
                    Criterion::Fields => "number of conditions on headers and cookies",
                    Criterion::Query => "number of conditions on the query",
                    Criterion::ClientIp => "client address",
                    Criterion::Listener => "listener",
                    Criterion::Scheme => "scheme",
                    Criterion::Kinds => "exact values",
                    Criterion::Order => "place",
                }
            ),
            _ => "remove it, or narrow what takes its requests".to_owned(),
        }
    }
}
