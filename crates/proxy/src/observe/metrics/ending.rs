//! The metric series that end when a plan is replaced.

use std::collections::HashSet;
use std::sync::Arc;

use waypost_plan::Plan;
use waypost_plan::difference::Difference;
use waypost_plan::route::{Action, Forward, Route};

use crate::observe::metrics::RouteAndService;

/// The series that a replaced plan has and its successor does not.
///
/// Computed before the successor is live: with many routes it takes milliseconds.
#[derive(Debug, Default)]
pub struct Ending {
    pub(super) series: Vec<RouteAndService>,
}

impl Ending {
    /// The series that end when `after` replaces `before`; `difference` is that of the two.
    pub fn between(before: &Plan, after: &Plan, difference: &Difference) -> Self {
        let routes = &difference.routes;
        let touched = routes.removed.iter().chain(&routes.changed);
        let touched: HashSet<&str> = touched.map(|name| &**name).collect();
        let stays = series_of_routes(after, &touched);
        let series = series_of_routes(before, &touched);
        Self {
            series: series.difference(&stays).cloned().collect(),
        }
    }
}

/// The subset of `series` that `plan` does not have.
pub(super) fn not_in(plan: &Plan, mut series: Vec<RouteAndService>) -> Vec<RouteAndService> {
    if !series.is_empty() {
        let names: HashSet<&str> = series.iter().map(|(route, _)| &**route).collect();
        let stays = series_of_routes(plan, &names);
        series.retain(|key| !stays.contains(key));
    }
    series
}

/// The possible series of the routes with these names: one for each service that a route can use, and one for requests
/// without a service.
fn series_of_routes(plan: &Plan, names: &HashSet<&str>) -> HashSet<RouteAndService> {
    let routes = plan.routes().iter();
    let named = routes.filter(|route| names.contains(&*route.matching.name));
    named.flat_map(|route| series_of(plan, route)).collect()
}

fn series_of(plan: &Plan, route: &Route) -> impl Iterator<Item = RouteAndService> {
    let forward = match &route.action {
        Action::Forward(forward) => Some(forward),
        Action::Redirect(_) | Action::Respond(_) => None,
    };
    let ids = forward.into_iter().flat_map(Forward::services);
    let services = ids.map(|id| Arc::clone(&plan.service(id).name));
    services
        .chain([Arc::default()])
        .map(|service| (Arc::clone(&route.matching.name), service))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::testing::plan;

    fn check(before: &[(&str, &[&str])], after: &[(&str, &[&str])], expected: &[(&str, &str)]) {
        let (before, after) = (plan(before), plan(after));
        let difference = Difference::between(&before, &after);
        let ending = Ending::between(&before, &after, &difference);
        let series = ending.series.iter();
        let mut ended: Vec<(&str, &str)> = series.map(|(route, service)| (&**route, &**service)).collect();
        ended.sort_unstable();
        assert_eq!(ended, expected);
    }

    #[test]
    fn series_missing_from_the_new_plan_end() {
        check(&[("r", &["a"])], &[("r", &["a"])], &[]);
        check(&[("r", &["a"])], &[("s", &["a"])], &[("r", ""), ("r", "a")]);
        check(&[("r", &["a", "b"])], &[("r", &["a", "c"])], &[("r", "b")]);
        check(&[("r", &["a", "~b"])], &[("r", &["a"])], &[("r", "b")]);
        check(&[("r", &["a", "~b"])], &[("r", &["b", "~a"])], &[]);
        check(&[("r", &["a"])], &[("r", &[])], &[("r", "a")]);
        check(&[("r", &[]), ("s", &["a"])], &[("s", &["a"]), ("r", &["a"])], &[]);
    }

    #[test]
    fn late_series_of_the_current_plan_are_kept() {
        let plan = plan(&[("r", &["a"]), ("s", &["b"])]);
        let key = |route: &str, service: &str| -> RouteAndService { (route.into(), service.into()) };
        let late = vec![key("r", "a"), key("r", "b"), key("s", ""), key("t", "a")];
        assert_eq!(not_in(&plan, late), [key("r", "b"), key("t", "a")]);
        assert_eq!(not_in(&plan, Vec::new()), []);
    }
}
