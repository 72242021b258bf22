//! What the overlap analysis found, as diagnostics.

use std::collections::BTreeMap;

use waypost_plan::Plan;
use waypost_route::host::HostPattern;
use waypost_route::overlap::{self, Finding};
use waypost_route::rank::Position;
use waypost_route::table::Table;

use crate::diagnostic::Code;
use crate::meaning::{Meaning, RouteSpans};
use crate::place::Span;
use crate::problems::{Problems, quote};

/// How many of those that shadow a route are pointed at.
const SHADOWS_MAX: usize = 3;

/// Reports the routes and alternatives of a plan that cannot be meant.
///
/// What a regex or sheer number left undecided is not reported: a warning is a proof.
pub(crate) fn report(meaning: &Meaning, problems: &mut Problems) {
    for routes in [meaning.plan.matching(), meaning.plan.passing_through()] {
        report_among(routes, meaning, problems);
    }
}

/// Reports those among `routes`, which are matched together.
fn report_among(routes: Vec<waypost_route::Route>, meaning: &Meaning, problems: &mut Problems) {
    if routes.iter().all(|route| route.alternatives.is_empty()) {
        return;
    }
    let Ok(table) = Table::new(routes) else {
        problems.add(
            Code::OutOfRange,
            Span::start_of(0),
            "there are more routes than a table can hold",
        );
        return;
    };
    let analysis = overlap::analyse(&table, &served(&meaning.plan));
    let report = Report {
        plan: &meaning.plan,
        routes: &meaning.routes,
    };
    // One warning for a route of which no alternative can be reached, with all that shadows it.
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
                // That the route is unreachable says it all, and what takes its requests.
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

/// The hosts that some listener serves; none when one serves every host.
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
