//! Findings of the overlap analysis as diagnostics.

use std::collections::BTreeMap;

use waypost_plan::Plan;
use waypost_route::host::HostPattern;
use waypost_route::overlap::{self, Finding};
use waypost_route::rank::Position;
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
    for routes in [lowered.plan.request_routes(), lowered.plan.connection_routes()] {
        report_among(routes, lowered, problems);
    }
}

/// Reports those among `routes`, which are in one table.
fn report_among(routes: Vec<(usize, waypost_route::Route)>, lowered: &LoweredPlan, problems: &mut Problems) {
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
    let analysis = overlap::analyse(&table, &served(&lowered.plan));
    let report = Report {
        plan: &lowered.plan,
        routes: &lowered.routes,
    };
    // One warning for a route without reachable alternatives, with all alternatives that shadow it.
    let mut whole: BTreeMap<usize, Vec<Position>> = BTreeMap::new();
    for finding in &analysis.findings {
        if let Finding::Unreachable { at, shadowed_by } = finding
            && analysis.unreachable_routes.binary_search(&at.route).is_ok()
        {
            whole.entry(at.route).or_default().extend(shadowed_by);
        }
    }
    for finding in &analysis.findings {
        match finding {
            Finding::Impossible { at, reason } => {
                problems
                    .add(Code::ImpossibleMatch, report.span(*at), reason.to_string())
                    .help("two of its conditions exclude each other; make alternatives of them, or drop one");
            }
            Finding::Unreachable { at, shadowed_by } => {
                if !whole.contains_key(&at.route) {
                    let message = format!("no request reaches this alternative of {}", report.name(*at));
                    report.shadowed(report.span(*at), message, shadowed_by, problems);
                }
            }
            Finding::Ambiguous {
                first,
                second,
                witness,
            } => {
                // The warning for the unreachable route is enough.
                if whole
                    .get(&second.route)
                    .is_some_and(|shadows| shadows.iter().any(|shadow| shadow.route == first.route))
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
    for (route, mut shadows) in whole {
        shadows.sort_unstable();
        shadows.dedup();
        let at = Position {
            route,
            alternative: 0,
        };
        let message = format!("no request reaches the route {}", report.name(at));
        report.shadowed(report.routes[route].name, message, &shadows, problems);
    }
}

/// Returns the hosts that listeners serve; empty if one serves every host.
fn served(plan: &Plan) -> Vec<HostPattern> {
    let listeners = plan.listeners();
    if listeners.iter().any(|listener| listener.hosts.is_empty()) {
        return Vec::new();
    }
    listeners
        .iter()
        .flat_map(|listener| listener.hosts.iter().cloned())
        .collect()
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

    fn shadowed(&self, span: Span, message: String, by: &[Position], problems: &mut Problems) {
        let mut problem = problems
            .add(Code::UnreachableRoute, span, message)
            .help("remove it, or make it more specific than what takes its requests");
        for shadow in by.iter().take(SHADOWS_MAX) {
            problem = problem.label(self.span(*shadow), format!("{} takes them", self.name(*shadow)));
        }
    }
}
