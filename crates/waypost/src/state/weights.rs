//! The weights of a split, as they are stored.

use waypost_plan::Plan;
use waypost_plan::route::Action;

/// Weights of services, in the order of a split's arms.
pub(crate) type Weights = Vec<(String, u64)>;

/// The declared weights of the route at `position`; `None` if it does not forward.
pub(crate) fn declared(plan: &Plan, position: usize) -> Option<Weights> {
    let Action::Forward(forward) = &plan.routes()[position].action else {
        return None;
    };
    let names = forward.arms.iter().map(|id| plan.service(*id).name.to_string());
    Some(names.zip(forward.split.weights().iter().copied()).collect())
}
