//! The arms of a route, with their declared and live weights.

use waypost_plan::route::{Action, Forward};
use waypost_proxy::generation::Generation;

use crate::command::ArmView;

/// The arms of the route at `position`, with their weights.
pub(crate) fn of_route(generation: &Generation, position: usize) -> Vec<ArmView> {
    let plan = generation.plan();
    let Action::Forward(Forward { split, arms, .. }) = &plan.routes()[position].action else {
        return Vec::new();
    };
    let live = generation.compiled().live_weights(position).unwrap_or_default();
    let weights = split.weights().iter().zip(live);
    arms.iter()
        .zip(weights)
        .map(|(id, (declared, live))| ArmView {
            service: plan.service(*id).name.to_string(),
            declared: *declared,
            live,
        })
        .collect()
}
