//! Plans of rollouts, and the rollouts of routes.

use std::sync::Arc;
use std::time::Duration;

use waypost_plan::rollout::{OnSuccess, RolloutPlan, RouteRollout};
use waypost_rollout::ramp::plan::{Percent as Share, Proof, RampPlan, Rules, Step, Then};

use crate::diagnostic::Code;
use crate::document::{self, Document};
use crate::either::{PercentOr, TextOr, To};
use crate::keys::At;
use crate::lower::deal::Deals;
use crate::lower::{Context, destination, duration_up_to, failures, judge, split, whole};
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::suggest::nearest;
use crate::times::DurationText;
use crate::values::Text;

/// Maximum of the durations of a rollout.
const TIME_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Maximum of the requests that a step needs.
const REQUESTS_MAX: u64 = 1_000_000_000;

/// A plan, with the places of the services that it names.
#[derive(Clone)]
pub(super) struct PlacedPlan {
    plan: Arc<RolloutPlan>,
    canary: Option<Span>,
    baseline: Option<Span>,
    /// True if the baseline is named, even by a value that could not be read.
    has_baseline: bool,
    /// Place of `on_change: true`.
    on_change: Option<Span>,
}

/// The rollout that a route or a policy says.
#[derive(Clone)]
pub(super) struct GivenRollout {
    /// Place of the key.
    pub(super) key: Span,
    /// The name of its plan, unless the plan stands in place.
    pub(super) name: Option<At<Text>>,
    pub(super) placed: PlacedPlan,
    /// The policy that says it; `None` for the route.
    pub(super) policy: Option<Arc<str>>,
}

/// The rollout of a route of a deal.
pub(super) struct DealRollout {
    deal: Text,
    /// Place of the key.
    key: Span,
    /// Place of the name of its plan.
    named: Option<Span>,
    placed: PlacedPlan,
}

/// Lowers the named plans.
pub(super) fn add_all(document: &Document, context: &mut Context<'_>) {
    for (name, written) in document.rollouts.iter().flat_map(|rollouts| &rollouts.value.0) {
        context.rollouts.declare(name, written.key, context.problems);
        for service in [&written.value.canary, &written.value.baseline]
            .into_iter()
            .flatten()
        {
            context.services.resolve(service, context.problems);
        }
        if let Some(placed) = plan(&written.value, context) {
            context.builder.add_rollout(name, Arc::clone(&placed.plan));
            context.rollout_plans.insert(name.clone(), placed);
        }
    }
    // Plans that could not be read are reported already; their names are known.
    for (name, span) in document.rollouts.iter().flat_map(|rollouts| &rollouts.value.1) {
        context.rollouts.declare(name, *span, context.problems);
    }
}

/// Lowers the `rollout` of a route or a policy.
pub(super) fn given(
    written: &At<&TextOr<document::rollout::Rollout>>,
    context: &mut Context<'_>,
) -> Option<GivenRollout> {
    let (name, placed) = match written.value {
        TextOr::Text(name) => {
            if !context.rollouts.resolve(name, context.problems) {
                return None;
            }
            (
                Some(name.clone()),
                context.rollout_plans.get(&name.value)?.clone(),
            )
        }
        TextOr::Mapping(mapping) => (None, plan(mapping, context)?),
    };
    Some(GivenRollout {
        key: written.key,
        name,
        placed,
        policy: None,
    })
}

/// Lowers the rollout of a route.
pub(super) fn of_route(
    route: &document::route::Route,
    given: GivenRollout,
    context: &mut Context<'_>,
) -> Option<RouteRollout> {
    let GivenRollout {
        key,
        name,
        placed,
        policy,
    } = given;
    if let Some(to) = &route.to {
        report_no_split(to, key, context.problems);
    }
    let name = name.as_ref();
    let sticky = route.sticky.as_ref();
    if let Some(deal) = sticky.and_then(|sticky| sticky.value.deal.as_ref()) {
        // The services of the other routes are not known yet.
        context.deal_rollouts.push(DealRollout {
            deal: deal.value.clone(),
            key,
            named: name.map(|name| name.span),
            placed: placed.clone(),
        });
    } else if let Some(to) = &route.to
        && let To::Split(arms) = &to.value
        && split::names(&to.value).len() > 1
    {
        let arms: Vec<(&Text, u64)> = arms
            .0
            .iter()
            .map(|(name, weight)| (name, weight.value))
            .chain(arms.1.iter().map(|(name, _)| (name, 0)))
            .collect();
        let names: Vec<&Text> = arms.iter().map(|(name, _)| *name).collect();
        let named = name.map(|name| name.span);
        check_names(&placed, named, &names, context);
        check_baseline(&placed, named, &arms, context.problems);
    }
    Some(RouteRollout {
        policy,
        name: name.map(|name| (*name.value).into()),
        plan: placed.plan,
    })
}

fn report_no_split(to: &At<To>, rollout: Span, problems: &mut Problems) {
    let names = split::names(&to.value);
    if names.len() > 1 {
        return;
    }
    let old = names.first().map_or("users-v1", |name| &**name);
    let (text, help) = match to.value {
        To::Service(_) => (
            "a single service",
            format!("write `to: {{ {old}: 100, NEW: 0 }}`, with the name of the new version"),
        ),
        To::Split(_) => (
            "fewer than two services",
            "add the new version to it, with the weight 0".to_owned(),
        ),
    };
    problems
        .add(
            Code::BadRollout,
            rollout,
            "a rollout needs two services in `to`: the old version and the new one",
        )
        .label(to.key, text)
        .help(help);
}

/// Checks the rollouts of the routes of deals. Services are matched by their place in the split, and named as in any of the
/// routes.
pub(super) fn check_deals(deals: &Deals, context: &mut Context<'_>) {
    let rollouts = std::mem::take(&mut context.deal_rollouts);
    for (at, rollout) in rollouts.iter().enumerate() {
        let names: Vec<&Text> = deals.services(&rollout.deal).flatten().collect();
        check_names(&rollout.placed, rollout.named, &names, context);
        let plan = &rollout.placed.plan;
        let arms = deals.services(&rollout.deal).map(<[Text]>::len).max();
        if plan.canary.is_none() {
            report_no_canary(
                &rollout.placed,
                rollout.named,
                arms.unwrap_or_default(),
                context.problems,
            );
        }
        if let (Some(canary), Some(place)) = (&plan.canary, rollout.placed.canary)
            && !rollout.placed.has_baseline
            && let Some(arms) = arms.filter(|arms| *arms > 2)
        {
            let mut problem = context.problems.add(
                Code::BadRollout,
                rollout.named.unwrap_or(place),
                format!(
                    "the canary {} could be compared with any of the {} other services",
                    quote(canary),
                    arms - 1
                ),
            );
            if rollout.named.is_some() {
                problem = problem.label(place, "the plan names no `baseline` beside it");
            }
            problem.help("name one in the plan, such as `baseline: users-v1`");
        }
        let mut earlier = rollouts[..at].iter().filter(|other| other.deal == rollout.deal);
        if let Some(other) = earlier.find(|other| other.placed.plan != *plan) {
            context
                .problems
                .add(
                    Code::UnevenDeal,
                    rollout.key,
                    format!(
                        "the routes of the deal {} have different plans",
                        quote(&rollout.deal)
                    ),
                )
                .label(other.key, "the other one")
                .help("give both the same plan; a rollout takes that of the route at which it is started");
        }
    }
}

/// Checks that a plan names services among `names`, those of the route or of its deal. `named` is the place where the route
/// names the plan.
fn check_names(placed: &PlacedPlan, named: Option<Span>, names: &[&Text], context: &mut Context<'_>) {
    let is_arm = |service: &str| names.iter().any(|name| ***name == *service);
    let plan = &placed.plan;
    for (role, service, place) in [
        ("canary", &plan.canary, placed.canary),
        ("baseline", &plan.baseline, placed.baseline),
    ] {
        let (Some(service), Some(place)) = (service, place) else {
            continue;
        };
        // A service that does not exist is reported with the named plan.
        if is_arm(service) || (named.is_some() && context.services.place(service).is_none()) {
            continue;
        }
        let near = nearest(service, names.iter().map(|name| &***name));
        let mut problem = context.problems.add(
            Code::UnknownService,
            named.unwrap_or(place),
            format!(
                "the {role} {} is not a service of this route's `to`",
                quote(service)
            ),
        );
        if named.is_some() {
            problem = problem.label(place, "the plan names it here");
        }
        problem.help(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "add it to `to`, with the weight 0 if it gets no requests yet".to_owned(),
        });
    }
}

/// Checks that a plan that names a canary says what it is compared with, where there are several services.
fn check_baseline(placed: &PlacedPlan, named: Option<Span>, arms: &[(&Text, u64)], problems: &mut Problems) {
    let is_arm = |service: &str| arms.iter().any(|(arm, _)| ***arm == *service);
    let (Some(canary), Some(place)) = (&placed.plan.canary, placed.canary) else {
        report_no_canary(placed, named, arms.len(), problems);
        return;
    };
    if placed.has_baseline || arms.len() < 3 || !is_arm(canary) {
        return;
    }
    // The first one of the greatest weight.
    let others = arms.iter().rev().filter(|(arm, _)| ***arm != **canary);
    let live = others.max_by_key(|(_, weight)| *weight);
    let mut problem = problems.add(
        Code::BadRollout,
        named.unwrap_or(place),
        format!(
            "the canary {} could be compared with any of the {} other services",
            quote(canary),
            arms.len() - 1
        ),
    );
    if named.is_some() {
        problem = problem.label(place, "the plan names no `baseline` beside it");
    }
    problem.help_if(live.map(|(arm, _)| format!("name one in the plan, such as `baseline: {arm}`")));
}

/// Reports a plan whose rollouts begin by a change of weights, where it is not clear which service is the new one.
fn report_no_canary(placed: &PlacedPlan, named: Option<Span>, arms: usize, problems: &mut Problems) {
    let Some(on_change) = placed.on_change.filter(|_| arms > 2) else {
        return;
    };
    let mut problem = problems.add(
        Code::BadRollout,
        named.unwrap_or(on_change),
        format!("a change of {arms} weights does not say which service is rolled out"),
    );
    if named.is_some() {
        problem = problem.label(on_change, "the plan has `on_change` here");
    }
    problem.help("name `canary` and `baseline` in the plan, or leave `on_change` out");
}

fn plan(written: &document::rollout::Rollout, context: &mut Context<'_>) -> Option<PlacedPlan> {
    let before_step = destination::of_hook(written, context);
    let notify = destination::of_notify(written, context);
    let problems = &mut *context.problems;
    let errors_before = problems.errors();
    let at_least = seconds(written.at_least.as_deref(), problems).unwrap_or(60);
    let warmup = seconds(written.warmup.as_deref(), problems).unwrap_or(30);
    let hold = seconds(written.hold.as_deref(), problems).unwrap_or(2 * 60 * 60);
    let requests = requests(written.requests.as_deref(), problems).unwrap_or(100.0);
    let judge = judge::of(written, warmup, problems);
    judge::warn_of_no_effect(written, problems);
    let failures = failures::of(written, problems);
    report_same(written, problems);
    let (steps, spans) = steps(written, problems)?;
    let ramp = RampPlan {
        steps,
        rules: Rules {
            at_least,
            requests,
            proof: written.evidence.as_ref().map_or(Proof::Step, |proof| proof.value),
            approve: false,
        },
        warmup,
        hold,
        then: written.then.as_ref().map_or(Then::Hold, |then| then.value),
        windows: written
            .windows
            .iter()
            .flat_map(|windows| &windows.value.0)
            .map(|window| window.value.0.clone())
            .collect(),
    };
    if let Some(judge) = &judge
        && problems.errors() == errors_before
    {
        judge::warn_of_slow_proof(&ramp, &spans, judge, problems);
    }
    let name = |name: &Option<Box<At<Text>>>| name.as_ref().map(|name| (*name.value).into());
    let place = |name: &Option<Box<At<Text>>>| name.as_ref().map(|name| name.span);
    Some(PlacedPlan {
        canary: place(&written.canary),
        baseline: place(&written.baseline),
        on_change: written
            .on_change
            .as_ref()
            .filter(|on_change| on_change.value)
            .map(|on_change| on_change.key),
        has_baseline: written.given.keys().any(|key| key == "baseline"),
        plan: Arc::new(RolloutPlan {
            ramp,
            judge,
            failures,
            canary: name(&written.canary),
            baseline: name(&written.baseline),
            before_step,
            notify,
            on_change: written
                .on_change
                .as_ref()
                .is_some_and(|on_change| on_change.value),
            on_success: written
                .on_success
                .as_ref()
                .map_or(OnSuccess::Dial, |on_success| on_success.value),
        }),
    })
}

fn report_same(written: &document::rollout::Rollout, problems: &mut Problems) {
    if let (Some(canary), Some(baseline)) = (&written.canary, &written.baseline)
        && canary.value == baseline.value
    {
        problems
            .add(
                Code::BadRollout,
                baseline.span,
                format!("the canary {} is compared with itself", quote(&canary.value)),
            )
            .label(canary.span, "the canary")
            .help("name the old version, or leave `baseline` out if there are two services");
    }
}

/// A duration in whole seconds; part of a second counts as a whole one.
fn seconds(written: Option<&At<DurationText>>, problems: &mut Problems) -> Option<u64> {
    let time = duration_up_to(written?, Duration::ZERO, TIME_MAX, problems);
    Some(time.as_secs() + u64::from(time.subsec_nanos() > 0))
}

fn requests(written: Option<&At<u64>>, problems: &mut Problems) -> Option<f64> {
    Some(whole(written?, 0, REQUESTS_MAX, problems) as f64)
}

/// Lowers the steps, which rise, with the places of their shares. `None` if there is no step that could be read.
fn steps(written: &document::rollout::Rollout, problems: &mut Problems) -> Option<(Vec<Step>, Vec<Span>)> {
    let mut steps: Vec<Step> = Vec::new();
    let mut spans: Vec<Span> = Vec::new();
    for step in written.steps.iter().flat_map(|steps| &steps.value.0) {
        let (percent, own) = match &step.value {
            PercentOr::Percent(percent) => (Some(percent), None),
            PercentOr::Mapping(given) => (given.percent.as_deref(), Some(given)),
        };
        let own = own.map(|own| Step {
            percent: Share::ZERO,
            at_least: seconds(own.at_least.as_deref(), problems),
            requests: requests(own.requests.as_deref(), problems),
            proof: own.evidence.as_ref().map(|proof| proof.value),
            approve: own.approve.as_ref().is_some_and(|approve| approve.value),
        });
        let Some(percent) = percent else { continue };
        let Some(share) = Share::from_thousandths(percent.value.0) else {
            continue;
        };
        match (steps.last(), spans.last()) {
            (Some(last), Some(place)) if share <= last.percent => {
                problems
                    .add(
                        Code::BadRollout,
                        percent.span,
                        format!("the steps must rise, and {share} comes after {}", last.percent),
                    )
                    .label(*place, "the step before")
                    .help("write rising shares, such as `[1, 5, 25, 50, 100]`");
            }
            (None, _) if share == Share::ZERO => {
                problems
                    .add(
                        Code::BadRollout,
                        percent.span,
                        "the first step gives the canary nothing",
                    )
                    .help("begin with a share above 0, such as `1`");
            }
            _ => {}
        }
        steps.push(Step {
            percent: share,
            ..own.unwrap_or(Step::to(share))
        });
        spans.push(percent.span);
    }
    (!steps.is_empty()).then_some((steps, spans))
}
