//! The arms that a rollout is about, on each of the routes that it turns together.

use waypost_admin::problem::Problem;
use waypost_plan::rollout::RolloutPlan;
use waypost_proxy::generation::Generation;

use crate::state::weights::declared;

/// The arms of one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RouteArms {
    pub(super) position: usize,
    pub(super) route: String,
    pub(super) canary: String,
    pub(super) baseline: String,
}

/// The services of one route, in the order of its split.
struct RouteServices {
    position: usize,
    route: String,
    services: Vec<String>,
}

/// The positions of the routes that a rollout of `route` turns together: itself, then the others of its deal.
pub(super) fn routes_of(generation: &Generation, route: &str) -> Result<Vec<usize>, Problem> {
    let position = generation.compiled().position(route);
    let position =
        position.ok_or_else(|| Problem::not_found(format!("there is no route named `{route}`")))?;
    let plan = generation.plan();
    let mut positions = vec![position];
    if let Some(deal) = plan.routes()[position].deal() {
        positions.extend(plan.routes_of_deal(deal).filter(|other| *other != position));
    }
    Ok(positions)
}

/// The arms of the routes at `positions`. Services are matched by their place in the split, and named as in any of the
/// routes.
pub(super) fn arms(
    generation: &Generation,
    positions: &[usize],
    plan: &RolloutPlan,
    to: Option<&str>,
) -> Result<Vec<RouteArms>, Problem> {
    let routes: Vec<RouteServices> = positions
        .iter()
        .map(|position| RouteServices::of(generation, *position))
        .collect();
    let Some(lead) = routes.first() else {
        return Ok(Vec::new());
    };
    for route in &routes {
        if route.services.len() < 2 {
            return Err(Problem::invalid(format!(
                "the route `{}` is no split of two services or more, so it has no rollout",
                route.route
            )));
        }
        if route.services.len() != lead.services.len() {
            return Err(Problem::invalid(format!(
                "the routes `{}` and `{}` are of one deal and have {} and {} services, so one rollout cannot turn them",
                lead.route,
                route.route,
                lead.services.len(),
                route.services.len()
            )));
        }
    }
    let canary = to.or(plan.canary.as_deref()).ok_or_else(|| {
        Problem::invalid(format!(
            "it is not said which service of the route `{}` is rolled out; there are {}",
            lead.route,
            lead.services.join(", ")
        ))
    })?;
    let canary_at = place(&routes, canary)?;
    if let Some(declared) = plan.canary.as_deref()
        && declared != canary
        && place(&routes, declared)? != canary_at
    {
        return Err(Problem::invalid(format!(
            "the plan rolls out `{declared}`, not `{canary}`"
        )));
    }
    let baseline_at = match plan.baseline.as_deref() {
        Some(baseline) => place(&routes, baseline)?,
        None if lead.services.len() == 2 => 1 - canary_at,
        None => {
            return Err(Problem::invalid(format!(
                "the route `{}` has more than two services: name the `baseline` in the plan",
                lead.route
            )));
        }
    };
    if baseline_at == canary_at {
        return Err(Problem::invalid(format!(
            "`{canary}` is the baseline of the plan, and cannot be compared with itself"
        )));
    }
    let arms = routes.into_iter().map(|mut route| RouteArms {
        position: route.position,
        route: route.route,
        canary: std::mem::take(&mut route.services[canary_at]),
        baseline: std::mem::take(&mut route.services[baseline_at]),
    });
    Ok(arms.collect())
}

/// The place of a service, in the first route that has it.
fn place(routes: &[RouteServices], service: &str) -> Result<usize, Problem> {
    let mut places = routes.iter().filter_map(|route| {
        let at = route.services.iter().position(|known| known == service)?;
        Some((&route.route, at))
    });
    let Some((first, at)) = places.next() else {
        let known = routes.iter().map(|route| {
            format!(
                "the route `{}`; there are {}",
                route.route,
                route.services.join(", ")
            )
        });
        return Err(Problem::invalid(format!(
            "`{service}` is not a service of {}",
            known.collect::<Vec<String>>().join(", nor of ")
        )));
    };
    if let Some((other, _)) = places.find(|(_, other)| *other != at) {
        return Err(Problem::invalid(format!(
            "`{service}` has different places in the routes `{first}` and `{other}`, and the services of a deal are \
             matched by place"
        )));
    }
    Ok(at)
}

impl RouteServices {
    fn of(generation: &Generation, position: usize) -> Self {
        let services = declared(generation.plan(), position).unwrap_or_default();
        Self {
            position,
            route: generation.plan().routes()[position].matching.name.to_string(),
            services: services.into_iter().map(|(service, _)| service).collect(),
        }
    }
}
