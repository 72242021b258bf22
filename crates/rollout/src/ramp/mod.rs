//! The ramp: where a rollout stands, and whether it may go on.
//!
//! [`Ramp::tick`] counts a second and says how the rollout stands. The caller turns the dial, asks windows and hooks, and
//! reports what it did: the ramp never takes a step by itself.

pub mod plan;
#[cfg(test)]
mod tests;
pub mod window;

use jiff::Timestamp;

use crate::evidence::metric::ProofScope;
use crate::judge::settings::MetricKind;
use crate::judge::{Finding, Judge, RouteSecond};
use crate::ramp::plan::{Percent, Proof, RampPlan, Rules, Then};

/// The longest response timeout of a service that a step waits for, in seconds.
const RESPONSE_TIMEOUT_MAX: u64 = 300;
/// The share of the traffic without which the judge decides nothing.
const MISSING_MAX: f64 = 0.1;
/// The part of the evidence for a rollback above which nothing is promoted.
const SUSPICION: f64 = 0.1;

/// A rollout in progress.
#[derive(Debug, Clone)]
pub struct Ramp {
    plan: RampPlan,
    judge: Option<Judge>,
    /// The response timeout of the canary's service, in seconds.
    response_timeout: u64,
    /// The share that was dialed last; `None` before the first step. The step follows from it, so that another plan never
    /// changes it.
    share: Option<Percent>,
    /// Counted seconds of this step.
    age: u64,
    /// Requests of the canary in this step.
    requests: f64,
    is_approved: bool,
    /// True once this step lacked nothing but a window or an action of the operator: the wait for evidence is over.
    has_waited: bool,
    is_paused: bool,
    is_plan_changed: bool,
    /// The share of the traffic that is not counted, 0 to 1.
    missing: f64,
    /// The time, by which windows are open or not.
    now: Timestamp,
}

/// A reason, other than the judge's, that the rollout does not go up. The judge goes on all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The operator paused it.
    Paused,
    /// The plan or the split was changed; it goes on once the operator resumes it.
    PlanChanged,
}

/// The standing of a rollout.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// It has to be rolled back.
    RollBack(Reason),
    /// The next step may be taken.
    Ready,
    /// It holds, for these reasons; there is one at least.
    Holds(Vec<Lack>),
    /// The last step is completed.
    Done,
}

/// The reason for a rollback.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// The canary is worse than tolerated, by this metric most of all.
    Worse(Finding),
    /// Too little spoke for the canary within `hold`.
    HoldExpired,
}

/// A condition of the next step that does not hold yet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lack {
    /// Seconds of the step.
    Time(u64),
    /// Requests of the canary.
    Requests(f64),
    /// Proof that the canary is not worse in this metric; with it, the requests of the canary that it takes at the present
    /// rates, or `None` if they would never do.
    Proof(MetricKind, Option<f64>),
    /// A latency that is not compared yet; with the requests of the baseline that it takes, of the last minutes.
    Comparison(MetricKind, f64),
    /// Something speaks against the canary; with the evidence, of which [`Judge::rollback_at`] rolls back.
    Suspicion(f64),
    /// The baseline fails so often that it proves nothing.
    SickBaseline,
    /// A window: none is open.
    Window(Opening),
    /// The operator's approval.
    Approval,
    /// Nothing but an action of the operator.
    Stopped(Stop),
    /// This share of the traffic, which is not counted. Nothing is decided meanwhile.
    Traffic(f64),
}

impl Lack {
    /// Returns true for what `hold` waits for: all but time, windows, actions of the operator, and traffic that is not
    /// counted.
    fn is_of_evidence(&self) -> bool {
        !matches!(
            self,
            Self::Time(_) | Self::Window(_) | Self::Approval | Self::Stopped(_) | Self::Traffic(_)
        )
    }
}

/// The window that opens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// The window, by its position in the plan.
    pub window: usize,
    /// The moment at which it opens.
    pub at: Timestamp,
    /// Seconds until then.
    pub wait: u64,
}

impl Ramp {
    /// A rollout by `plan` before its first step. `judge` is `None` for a timed ramp; `response_timeout` is that of the
    /// canary's service, in seconds.
    pub fn new(plan: RampPlan, judge: Option<Judge>, response_timeout: u64, now: Timestamp) -> Self {
        Self {
            plan,
            judge,
            response_timeout,
            share: None,
            age: 0,
            requests: 0.0,
            is_approved: false,
            has_waited: false,
            is_paused: false,
            is_plan_changed: false,
            missing: 0.0,
            now,
        }
    }

    /// Says the time, by which windows are open or not.
    pub fn set_time(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Says the share of the traffic that is not counted, 0 to 1. Where it is more than a tenth, the judge decides nothing: it
    /// takes no step and does not roll back, and the time of the step stands still.
    pub fn set_missing(&mut self, share: f64) {
        self.missing = share;
    }

    /// Returns true if so much of the traffic is not counted that the judge decides nothing. A timed ramp has none.
    fn is_blind(&self) -> bool {
        self.judge.is_some() && self.has_begun() && self.missing > MISSING_MAX
    }

    /// The plan.
    pub fn plan(&self) -> &RampPlan {
        &self.plan
    }

    /// The judge; `None` for a timed ramp.
    pub fn judge(&self) -> Option<&Judge> {
        self.judge.as_ref()
    }

    /// Returns true once the first step was taken.
    pub fn has_begun(&self) -> bool {
        self.share.is_some()
    }

    /// The present step, by position: the last that is not above the share. `None` before the first, and where a changed plan
    /// has no such step.
    pub fn step(&self) -> Option<usize> {
        let share = self.share?;
        self.plan.steps.iter().rposition(|step| step.percent <= share)
    }

    /// The next step, by position; the number of steps after the last.
    pub fn next_step(&self) -> usize {
        self.step().map_or(0, |step| step + 1)
    }

    /// The share of the canary that was dialed last; 0 before the first step.
    pub fn percent(&self) -> Percent {
        self.share.unwrap_or(Percent::ZERO)
    }

    /// The share of the canary in the next step; `None` after the last.
    pub fn next_percent(&self) -> Option<Percent> {
        self.plan.steps.get(self.next_step()).map(|step| step.percent)
    }

    /// The conditions of the present step.
    fn rules(&self) -> Rules {
        self.step().map_or(self.plan.rules, |step| self.plan.rules(step))
    }

    /// Seconds in this step.
    pub fn age(&self) -> u64 {
        self.age
    }

    /// Seconds that this step lasts at least; 0 before the first.
    pub fn least(&self) -> u64 {
        match self.has_begun() {
            true => self.least_of(self.rules()),
            false => 0,
        }
    }

    /// Requests of the canary in this step.
    pub fn requests(&self) -> f64 {
        self.requests
    }

    /// Returns true if the operator approved of the next step.
    pub fn is_approved(&self) -> bool {
        self.is_approved
    }

    /// Returns true if the proof that this step needs is there.
    pub fn is_proved(&self) -> bool {
        let needs_proof = self.has_begun() && self.rules().proof != Proof::None;
        let judge = self.judge.as_ref().filter(|_| needs_proof);
        judge.is_some_and(|judge| judge.unproved().next().is_none())
    }

    /// Takes up where a stored rollout was. `numbers` are those of [`Judge::numbers`]; if they do not fit, the evidence of
    /// this step is lost, and its time and requests count anew.
    pub fn restore(
        &mut self,
        share: Option<Percent>,
        age: u64,
        requests: f64,
        is_approved: bool,
        numbers: &[f64],
    ) {
        self.share = share;
        self.age = age;
        self.requests = requests;
        self.is_approved = is_approved;
        let scope = scope_of(self.rules().proof);
        if let Some(judge) = &mut self.judge
            && !judge.set_numbers(numbers)
            && share.is_some()
        {
            judge.begin_step(scope, true);
            self.age = 0;
            self.requests = 0.0;
        }
    }

    /// Goes on by another plan: the share stays, and the next step is the first one above it.
    pub fn replace_plan(&mut self, plan: RampPlan) {
        if let Some(judge) = &mut self.judge {
            judge.set_steps(plan.judged_steps());
        }
        self.plan = plan;
    }

    /// Goes on with another judge, which knows what this one has learned about the baseline. The evidence begins anew, and
    /// so do the times of the step.
    pub fn replace_judge(&mut self, mut judge: Option<Judge>) {
        if let Some(judge) = &mut judge {
            if let Some(known) = &self.judge {
                judge.inherit(known);
            }
            if self.has_begun() {
                judge.begin_step(scope_of(self.rules().proof), true);
            }
        }
        self.judge = judge;
        self.age = 0;
        self.requests = 0.0;
        self.has_waited = false;
    }

    /// Takes over what the judge of one route has learned about the baseline of the route at this position.
    pub fn learn_from(&mut self, route: usize, learned: &Judge) {
        if let Some(judge) = &mut self.judge {
            judge.inherit_route(route, learned);
        }
    }

    /// The reasons that the rollout was stopped.
    pub fn stops(&self) -> impl Iterator<Item = Stop> {
        let stops = [
            (self.is_plan_changed, Stop::PlanChanged),
            (self.is_paused, Stop::Paused),
        ];
        stops
            .into_iter()
            .filter_map(|(is_stopped, stop)| is_stopped.then_some(stop))
    }

    /// Returns true if the rollout takes no steps for this reason.
    pub fn is_stopped_by(&self, stop: Stop) -> bool {
        self.stops().any(|known| known == stop)
    }

    /// Takes the next step. Returns the share that is to be dialed, or `None` after the last.
    pub fn step_up(&mut self) -> Option<Percent> {
        let percent = self.next_percent()?;
        self.share = Some(percent);
        self.age = 0;
        self.requests = 0.0;
        self.is_approved = false;
        self.has_waited = false;
        let scope = scope_of(self.rules().proof);
        if let Some(judge) = &mut self.judge {
            judge.begin_step(scope, true);
        }
        Some(percent)
    }

    /// Stops the rollout from going up, until [`Ramp::resume`].
    pub fn halt(&mut self, stop: Stop) {
        match stop {
            Stop::Paused => self.is_paused = true,
            Stop::PlanChanged => self.is_plan_changed = true,
        }
    }

    /// Lets the rollout go on.
    pub fn resume(&mut self) {
        self.is_paused = false;
        self.is_plan_changed = false;
    }

    /// Lets a rollout go on whose plan is no other one any more, unless it is paused.
    pub fn settle(&mut self) {
        self.is_plan_changed = false;
    }

    /// Returns true if the next step waits for the operator's approval.
    pub fn needs_approval(&self) -> bool {
        !self.is_approved && self.has_begun() && self.rules().approve
    }

    /// Approves of the step after this one.
    pub fn approve(&mut self) {
        self.is_approved = true;
    }

    /// Counts a second. Returns how the rollout stands, without the estimates of [`Ramp::standing`], which take longer than the
    /// count.
    pub fn tick(&mut self, routes: &[RouteSecond<'_>]) -> Standing {
        if !self.has_begun() {
            // Nothing is at stake before the first step.
            self.judge.iter_mut().for_each(|judge| judge.learn(routes));
            return self.stand(|_, _| None);
        }
        if self.is_blind() {
            self.judge.iter_mut().for_each(|judge| judge.add_part(routes));
            return self.stand(|_, _| None);
        }
        self.age += 1;
        self.requests += routes.iter().map(|route| route.canary.finished).sum::<f64>();
        if let Some(judge) = &mut self.judge {
            judge.add(routes);
        }
        // An incident while it waits for a window must not end the wait for evidence a second time.
        if self.plan.then == Then::RollBack && !self.has_waited {
            let evidence = self.judge.as_ref().map_or(0.0, Judge::evidence);
            let lacks = self.lacks(evidence, |_, _| None);
            self.has_waited = !lacks.iter().any(Lack::is_of_evidence);
        }
        self.stand(|_, _| None)
    }

    /// The standing of the rollout, with the requests that its proofs are estimated to take.
    pub fn standing(&self) -> Standing {
        self.stand(Judge::requests_needed)
    }

    /// The standing of the rollout; `estimate` gives the requests that a proof takes.
    fn stand(&self, estimate: impl Fn(&Judge, &Finding) -> Option<f64>) -> Standing {
        if !self.has_begun() {
            let window = self.closed_window().map(Lack::Window);
            let lacks: Vec<Lack> = window
                .into_iter()
                .chain(self.stops().map(Lack::Stopped))
                .collect();
            return match lacks.is_empty() {
                true => Standing::Ready,
                false => Standing::Holds(lacks),
            };
        }
        if self.percent() == Percent::ALL {
            return Standing::Done;
        }
        let evidence = self.judge.as_ref().map_or(0.0, Judge::evidence);
        if self.is_blind() {
            let mut lacks = vec![Lack::Traffic(self.missing)];
            lacks.extend(self.lacks(evidence, estimate));
            return Standing::Holds(lacks);
        }
        if let Some(judge) = &self.judge
            && evidence >= judge.rollback_at()
            && let Some(worst) = judge.worst()
        {
            return Standing::RollBack(Reason::Worse(worst));
        }
        let mut lacks = self.lacks(evidence, estimate);
        if self.age >= self.plan.hold && lacks.iter().any(Lack::is_of_evidence) {
            match self.plan.then {
                Then::Hold => {}
                Then::RollBack if self.has_waited => {}
                Then::RollBack => return Standing::RollBack(Reason::HoldExpired),
                // Too few requests are no reason to promote.
                Then::Promote => lacks.retain(|lack| !matches!(lack, Lack::Proof(..) | Lack::Comparison(..))),
            }
        }
        match lacks.is_empty() {
            false => Standing::Holds(lacks),
            true if self.next_percent().is_some() => Standing::Ready,
            true => Standing::Done,
        }
    }

    /// The window that opens next; `None` while one is open, or if steps need none.
    fn closed_window(&self) -> Option<Opening> {
        let windows = &self.plan.windows;
        if windows.iter().any(|window| window.is_open(self.now)) {
            return None;
        }
        let openings = windows.iter().enumerate().map(|(position, window)| {
            let at = window.opening(self.now).unwrap_or(Timestamp::MAX);
            Opening {
                window: position,
                at,
                wait: at.duration_since(self.now).as_secs().unsigned_abs(),
            }
        });
        openings.min_by_key(|opening| opening.at)
    }

    /// Seconds that a step lasts at least.
    fn least_of(&self, rules: Rules) -> u64 {
        match self.judge {
            // A request that hangs has failed by then.
            Some(_) if rules.proof != Proof::None => {
                let slowest = self.response_timeout.min(RESPONSE_TIMEOUT_MAX);
                rules.at_least.max(self.plan.warmup + slowest)
            }
            _ => rules.at_least,
        }
    }

    /// The conditions of the next step that do not hold.
    fn lacks(&self, evidence: f64, estimate: impl Fn(&Judge, &Finding) -> Option<f64>) -> Vec<Lack> {
        let mut lacks = Vec::new();
        let rules = self.rules();
        let judge = self.judge.as_ref().filter(|_| rules.proof != Proof::None);
        let least = self.least_of(rules);
        if self.age < least {
            lacks.push(Lack::Time(least - self.age));
        }
        if self.requests < rules.requests {
            lacks.push(Lack::Requests(rules.requests - self.requests));
        }
        if let Some(judge) = judge {
            if evidence >= SUSPICION * judge.rollback_at() {
                lacks.push(Lack::Suspicion(evidence));
            }
            if judge.is_baseline_sick() {
                lacks.push(Lack::SickBaseline);
            }
            let unproved = judge.unproved();
            lacks.extend(unproved.map(|finding| match judge.uncompared(finding.kind) {
                Some(missing) => Lack::Comparison(finding.kind, missing),
                None => Lack::Proof(finding.kind, estimate(judge, &finding)),
            }));
        }
        if self.next_percent().is_some() {
            lacks.extend(self.closed_window().map(Lack::Window));
        }
        if self.needs_approval() {
            lacks.push(Lack::Approval);
        }
        lacks.extend(self.stops().map(Lack::Stopped));
        lacks
    }
}

/// The stretch of a rollout that the proof of a step is made of.
fn scope_of(proof: Proof) -> ProofScope {
    match proof {
        Proof::Step => ProofScope::Step,
        // A step that needs no proof does not end that of a rollout.
        Proof::Rollout | Proof::None => ProofScope::Rollout,
    }
}
