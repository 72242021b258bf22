//! The plan of a rollout, as the config has it or a start asks for it.

use std::sync::Arc;

use waypost_admin::problem::Problem;
use waypost_admin::rollout::StartRollout;
use waypost_plan::Plan;
use waypost_plan::rollout::RolloutPlan;
use waypost_proxy::generation::Generation;
use waypost_rollout::ramp::plan::{Percent, Step};

use crate::control::rollout::forward;
use crate::state::rollouts::Fingerprint;
use crate::state::weights::declared;

/// The plan that a start asks for, with its name. Without one, it is that of the first of the routes that has one.
pub(super) fn chosen_plan(
    plan: &Plan,
    positions: &[usize],
    start: &StartRollout,
) -> Result<(Option<String>, Arc<RolloutPlan>), Problem> {
    let own = positions
        .iter()
        .find_map(|position| forward(plan, *position)?.split_policies.rollout.as_ref());
    let (name, chosen) = match (&start.plan, own) {
        (Some(name), _) => {
            let named = plan.rollouts().iter().find(|(known, _)| **known == **name);
            let (_, chosen) = named.ok_or_else(|| {
                Problem::invalid(format!("there is no rollout named `{name}` in the config"))
            })?;
            (Some(name.clone()), Arc::clone(chosen))
        }
        (None, Some(own)) => (own.name.as_ref().map(ToString::to_string), Arc::clone(&own.plan)),
        (None, None) if start.steps.is_some() => (None, Arc::new(RolloutPlan::default())),
        (None, None) => {
            let route = positions
                .first()
                .map_or("", |position| &plan.routes()[*position].matching.name);
            return Err(Problem::invalid(format!(
                "the route `{route}` has no `rollout` in the config; name a plan, or give steps"
            )));
        }
    };
    match &start.steps {
        None => Ok((name, chosen)),
        Some(steps) => Ok((name, Arc::new(with_steps(&chosen, steps)?))),
    }
}

/// The plan with other steps, in percent.
fn with_steps(plan: &RolloutPlan, steps: &[f64]) -> Result<RolloutPlan, Problem> {
    let thousandths = steps.iter().map(|percent| (percent * 1000.0).round() as u64);
    let shares: Option<Vec<Percent>> = thousandths.map(Percent::from_thousandths).collect();
    let shares = shares.filter(|shares| {
        let rises = shares.windows(2).all(|pair| pair[0] < pair[1]);
        rises && shares.first().is_some_and(|first| *first > Percent::ZERO)
    });
    let shares = shares
        .ok_or_else(|| Problem::invalid("the steps must be rising percentages, such as 1, 5, 25, 50, 100"))?;
    let mut plan = plan.clone();
    plan.ramp.steps = shares.into_iter().map(Step::to).collect();
    Ok(plan)
}

/// The plan with its steps from one share to another, which is the last step.
pub(super) fn between(plan: &RolloutPlan, from: Percent, to: Percent) -> RolloutPlan {
    let steps = plan.ramp.steps.iter();
    let mut steps: Vec<Step> = steps
        .filter(|step| from < step.percent && step.percent <= to)
        .copied()
        .collect();
    if steps.last().is_none_or(|last| last.percent < to) {
        steps.push(Step::to(to));
    }
    let mut plan = plan.clone();
    plan.ramp.steps = steps;
    plan
}

/// Texts that differ for plans that differ, and for splits of the routes that do.
pub(super) fn fingerprint(generation: &Generation, positions: &[usize], plan: &RolloutPlan) -> Fingerprint {
    let splits: Vec<_> = positions
        .iter()
        .map(|position| declared(generation.plan(), *position))
        .collect();
    Fingerprint {
        splits: hash(&format!("{splits:?}")),
        plan: hash(&format!("{plan:?}")),
        judge: hash(&format!("{:?} {:?}", plan.judge, plan.failures)),
    }
}

fn hash(text: &str) -> String {
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(percent: u64) -> Percent {
        Percent::from_thousandths(percent * 1000).unwrap()
    }

    #[test]
    fn change_of_weights_takes_the_steps_in_between() {
        let mut plan = RolloutPlan::default();
        plan.ramp.steps = [1, 5, 25, 50, 100].map(|share| Step::to(percent(share))).into();
        plan.ramp.steps[3].approve = true;
        let check = |from, to, expected: &[u64]| {
            let steps = between(&plan, percent(from), percent(to)).ramp.steps;
            let shares: Vec<u64> = steps
                .iter()
                .map(|step| u64::from(step.percent.thousandths()) / 1000)
                .collect();
            assert_eq!(shares, expected, "{from} to {to}");
            steps
        };
        check(0, 100, &[1, 5, 25, 50, 100]);
        check(5, 50, &[25, 50]);
        check(5, 30, &[25, 30]);
        check(50, 60, &[60]);
        assert!(check(25, 50, &[50])[0].approve, "a step keeps its own rules");
    }
}
