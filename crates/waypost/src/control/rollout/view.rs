//! Rollouts as they are shown.

use waypost_admin::problem::Problem;
use waypost_admin::rollout::{ArmCounts, MetricView, RolloutView};
use waypost_rollout::judge::Judge;
use waypost_rollout::judge::settings::MetricKind;
use waypost_rollout::ramp::plan::Percent;
use waypost_rollout::ramp::{Ramp, Reason, Standing};
use waypost_rollout::words;

use crate::control::Control;
use crate::control::rollout::version::version_of;
use crate::control::rollout::{Active, next};
use crate::state::rollouts::{StoredChange, StoredRollout};
use crate::state::weights::share_of;

/// The evidence from which on a rollout is under suspicion.
const SUSPICION: f64 = 2.0;

impl Control {
    /// The rollout of a route, or its last one.
    pub(crate) fn rollout_of(&self, route: &str) -> Result<RolloutView, Problem> {
        let stored = self.stored_rollout(route)?;
        Ok(match self.rollouts.active_of(route) {
            Some(active) => view_of_active(route, active, stored),
            None => view_of_ended(route, stored),
        })
    }

    /// A rollout by the route that it was started at, even if the config does not have that any more.
    pub(super) fn view_of(&self, lead: &str) -> Option<RolloutView> {
        let stored = self.state.dials.rollouts.get(lead)?;
        Some(match self.rollouts.active.get(lead) {
            Some(active) => view_of_active(lead, active, stored),
            None => view_of_ended(lead, stored),
        })
    }

    /// The last rollout of each route.
    pub(crate) fn all_rollouts(&self) -> Vec<RolloutView> {
        let routes = self.state.dials.rollouts.keys();
        routes.filter_map(|route| self.rollout_of(route).ok()).collect()
    }
}

/// The standing of a rollout in a sentence.
pub(super) fn summary(active: &Active) -> String {
    match &active.ramp.standing() {
        Standing::RollBack(Reason::Worse(_)) => {
            let judge = active.ramp.judge();
            let compared = judge.and_then(|judge| compared(active, judge));
            let evidence = judge.map_or(0.0, Judge::evidence);
            format!(
                "{}. Luck alone does this in fewer than {} rollouts",
                compared.unwrap_or_default(),
                words::luck(evidence)
            )
        }
        Standing::RollBack(Reason::HoldExpired) => format!(
            "too little spoke for {} within `hold`: {} requests in this step",
            active.canary(),
            words::count(active.ramp.requests())
        ),
        Standing::Done => format!("the last step is completed at {}", active.ramp.percent()),
        Standing::Ready if !active.ramp.has_begun() => "the first step".to_owned(),
        Standing::Ready if active.ramp.is_proved() => match counted(active) {
            Some(counts) => format!("{counts}: not worse than tolerated, as is proved"),
            None => format!("{} is not worse than tolerated, as is proved", active.canary()),
        },
        Standing::Ready if active.ramp.judge().is_some() => {
            let counts = counted(active).map(|counts| format!("{counts}; "));
            format!(
                "{}the time and the requests of the step are over, and nothing speaks against {}; nothing is proved",
                counts.unwrap_or_default(),
                active.canary()
            )
        }
        Standing::Ready => "the time and the requests of the step are over".to_owned(),
        Standing::Holds(lacks) => {
            let percent = active.ramp.percent();
            let damage = match active.ramp.judge() {
                _ if !active.ramp.has_begun() => "nothing has begun".to_owned(),
                Some(judge) => sign_of_damage(active, judge),
                None => "a ramp by time, without a judge".to_owned(),
            };
            format!("{percent}: {damage}; {}", next::missing(active, lacks))
        }
    }
}

/// The evidence against the canary in words, if there is more than chance often brings.
pub(super) fn suspicion(active: &Active) -> Option<String> {
    let evidence = active.ramp.judge().map_or(0.0, Judge::evidence);
    (evidence >= SUSPICION).then(|| {
        format!(
            "luck alone makes a good version look this bad in {} rollouts",
            words::luck(evidence)
        )
    })
}

/// The damage that the canary seems to do, if there is a sign of any.
fn sign_of_damage(active: &Active, judge: &Judge) -> String {
    let evidence = judge.evidence();
    let Some(compared) = compared(active, judge).filter(|_| evidence >= SUSPICION) else {
        return "no sign of damage".to_owned();
    };
    format!(
        "{compared}; this would be luck in {} rollouts; the judge acts at {}",
        words::luck(evidence),
        words::luck(judge.rollback_at())
    )
}

/// The failures of both versions in this step; `None` if they are not judged, or there are no requests.
fn counted(active: &Active) -> Option<String> {
    let mut findings = active.ramp.judge()?.findings();
    let failures = findings.find(|finding| finding.kind.is_of_errors() && finding.step.canary > 0.0)?;
    Some(words::step(active.names(), &failures))
}

/// The comparison by the metric that speaks against the canary most.
fn compared(active: &Active, judge: &Judge) -> Option<String> {
    let worst = judge.worst()?;
    let tolerance = judge.tolerance(worst.kind)?;
    Some(words::comparison(active.names(), &worst, tolerance, judge.now()))
}

fn view_of_active(route: &str, active: &Active, stored: &StoredRollout) -> RolloutView {
    let ramp = &active.ramp;
    // With the estimates, which the standing of each second leaves out.
    let standing = ramp.standing();
    let holding = match &standing {
        Standing::Holds(lacks) => Some(&**lacks),
        _ => None,
    };
    let hook = active.hook_lack().filter(|_| active.standing == Standing::Ready);
    let lacks = holding.unwrap_or_default().iter();
    let lacks = lacks.map(|lack| next::in_words(lack, active)).chain(hook.clone());
    let lacks: Vec<String> = lacks.collect();
    let needed = holding.and_then(next::needed);
    let (mut summary, mut next) = (
        summary(active),
        holding.map(|lacks| next::sentence(route, active, lacks)),
    );
    if let Some(hook) = hook {
        next = ramp.next_percent().map(|next| format!("to {next}; {hook}"));
        summary = format!("{summary}; holds: {hook}");
    }
    let state = match (ramp.stops().next(), ramp.has_begun()) {
        (Some(_), _) => "paused",
        (None, false) => "waiting",
        (None, true) => "running",
    };
    let judge = ramp.judge();
    let retries = active.routes.iter().map(|moving| moving.counting.retries());
    let [canary_retries, baseline_retries] =
        retries.fold([0; 2], |sum, route| [sum[0] + route[0], sum[1] + route[1]]);
    RolloutView {
        state: state.to_owned(),
        step: ramp.step().map_or(0, |step| step + 1),
        steps: ramp.plan().steps.len(),
        percent: match (ramp.has_begun(), stored.lead()) {
            (false, Some(lead)) => in_percent(share_of(&lead.live, &lead.canary)),
            _ => in_percent(ramp.percent()),
        },
        shares: ramp
            .plan()
            .steps
            .iter()
            .map(|step| in_percent(step.percent))
            .collect(),
        approve: ramp.step().is_some_and(|step| ramp.plan().steps[step].approve),
        next_percent: ramp.next_percent().map(in_percent),
        step_seconds: ramp.age(),
        at_least_seconds: ramp.least(),
        step_requests: ramp.requests() as u64,
        summary,
        lacks,
        next,
        needed_requests: needed.map(|needed| needed.ceil() as u64),
        needed_seconds: needed.and_then(|needed| next::seconds(active, needed)),
        evidence: judge.map_or(0.0, Judge::evidence),
        rollback_at: judge.map_or(0.0, Judge::rollback_at),
        metrics: judge.map(metrics).unwrap_or_default(),
        canary_retries,
        baseline_retries,
        missing: active.missing.clone(),
        version: version_of(stored, Some(active)),
        ..view_of_ended(route, stored)
    }
}

/// The metrics that a change of a rollout rests on: none before the first request of the canary in this step, nor where it
/// gets all of them and nothing is compared.
pub(super) fn metrics_of(ramp: &Ramp) -> Vec<MetricView> {
    let is_compared = ramp.requests() > 0.0 && ramp.percent() < Percent::ALL;
    let judge = ramp.judge().filter(|_| is_compared);
    judge.map(metrics).unwrap_or_default()
}

/// The metrics of a judge, with the counts on which its verdict rests.
fn metrics(judge: &Judge) -> Vec<MetricView> {
    let proved_at = judge.proved_at();
    let views = judge.findings().map(|finding| {
        let proved = finding.proof >= proved_at;
        let needed = judge.requests_needed(&finding).filter(|_| !proved);
        let [canary_ms, baseline_ms] = match finding.kind {
            MetricKind::Latency(quantile) => judge.quantile_ms(quantile),
            _ => [None; 2],
        };
        let tolerance = judge.tolerance(finding.kind);
        let tolerance = tolerance.filter(|_| !matches!(finding.kind, MetricKind::Latency(_)));
        MetricView {
            metric: finding.kind.as_str().to_owned(),
            canary_requests: finding.totals.canary as u64,
            canary_bad: finding.totals.canary_bad as u64,
            baseline_requests: finding.totals.baseline as u64,
            baseline_bad: finding.totals.baseline_bad as u64,
            evidence: finding.against,
            proof: finding.proof,
            proved,
            step: ArmCounts {
                canary_requests: finding.step.canary as u64,
                canary_bad: finding.step.canary_bad as u64,
                baseline_requests: finding.step.baseline as u64,
                baseline_bad: finding.step.baseline_bad as u64,
            },
            tolerated: tolerance.map(|tolerance| tolerance.tolerated(finding.step.baseline_rate())),
            allowance: finding.allowance,
            canary_ms,
            baseline_ms,
            canary_over_ms: finding.bounds.map(|bounds| bounds.canary),
            baseline_over_ms: finding.bounds.map(|bounds| bounds.baseline),
            needed_requests: needed.map(|needed| needed.ceil() as u64),
        }
    });
    views.collect()
}

fn view_of_ended(route: &str, stored: &StoredRollout) -> RolloutView {
    let last = stored.changes.last();
    let own = stored.route(route).or(stored.lead());
    RolloutView {
        route: route.to_owned(),
        routes: stored.routes.iter().map(|route| route.route.clone()).collect(),
        deal: stored.deal.clone(),
        canary: own.map(|own| own.canary.clone()).unwrap_or_default(),
        baseline: own.map(|own| own.baseline.clone()).unwrap_or_default(),
        plan: stored.plan.clone(),
        state: stored
            .end
            .as_ref()
            .map_or("running", |end| end.state.as_str())
            .to_owned(),
        step: stored.step_number,
        steps: stored.step_count,
        percent: last.map_or(0.0, StoredChange::in_percent),
        shares: Vec::new(),
        approve: false,
        next_percent: None,
        step_seconds: stored.age,
        step_requests: stored.requests as u64,
        summary: last.map(|last| last.summary.clone()).unwrap_or_default(),
        lacks: Vec::new(),
        at_least_seconds: 0,
        next: None,
        needed_requests: None,
        needed_seconds: None,
        evidence: 0.0,
        rollback_at: 0.0,
        metrics: last.map(|last| last.metrics.clone()).unwrap_or_default(),
        canary_retries: 0,
        baseline_retries: 0,
        missing: Vec::new(),
        started: stored.started,
        by: stored.by.clone(),
        ended: stored.end.as_ref().map(|end| end.time),
        version: version_of(stored, None),
    }
}

fn in_percent(percent: Percent) -> f64 {
    f64::from(percent.thousandths()) / 1000.0
}
