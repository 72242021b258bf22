//! Canaries: a config that some instances of a fleet try before all take it, or none does.
//!
//! The instance that was asked obeys it first, and writes it, like any config. The others that were chosen obey it as they
//! obey all that the fleet says. The leader judges it at every look by what they say of themselves, and makes it the config of
//! all, or takes it back; a leader that comes after it goes on from what is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use waypost_admin::canary::CanaryView;
use waypost_admin::command::{self, Applied, Command};
use waypost_admin::problem::Problem;
use waypost_fleet::canary::{ChooseError, Clock, Count, choose};
use waypost_fleet::record::WriteId;
use waypost_fleet::record::canary::{CanaryRecord, HOLD_MS_MAX, Stage};
use waypost_plan::Plan;
use waypost_proxy::generation::Generation;

use super::activate::{Activation, Candidate};
use super::change::not_activated;
use super::report::diagnostics_view;
use super::{Control, patience};
use crate::fleet::{Availability, ProposeError};
use crate::load;
use crate::log;
use crate::output;
use crate::source::shared::Shared;
use crate::state::StoreError;
use crate::state::dials::Dials;
use crate::state::revision::Origin;
use crate::state::shared::canary::Tried;
use crate::state::weights::declared;
use crate::texts::Texts;

/// The time for which a service or a route has to fail before this instance says that it is not healthy: what has just begun
/// looks up names and is checked for the first time.
const FAILING: Duration = Duration::from_secs(3);

/// The most characters of a reason.
const WHY_CHARS_MAX: usize = 1000;

/// The number of attempts to take a canary back that its leader writes at the same time.
const ATTEMPTS: usize = 5;

/// The instances that are wanted for a canary, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial {
    count: Count,
    hold_ms: u64,
}

/// The canary under way, as far as this instance has a part in it.
#[derive(Debug, Default)]
pub(super) struct Canaries {
    clock: Clock,
    /// When it was judged last, if this instance leads.
    judged_at: Option<Instant>,
    /// The last error of writing its next stage, so that it is logged once.
    error: Option<String>,
    health: Health,
    /// The reason for which requests do not fare well with the config that this instance tries, and did before.
    pub(super) unhealthy: Option<String>,
    /// The config that was in force before the one that is tried.
    before: Option<Texts>,
}

/// A kind with a name of that kind, such as of a service.
type Subject = (String, Option<String>);

/// The requests of this instance with the config that it tries.
#[derive(Debug, Default)]
struct Health {
    tried: Option<WriteId>,
    /// All that failed already.
    known: BTreeSet<Subject>,
    /// All that fails since.
    failing: BTreeMap<Subject, Instant>,
}

impl Health {
    fn new(tried: Option<WriteId>, known: BTreeSet<Subject>) -> Self {
        Self {
            tried,
            known,
            failing: BTreeMap::new(),
        }
    }

    /// The reason that has held for long enough, of those of now.
    fn reason(&mut self, now: Instant, mut reasons: Vec<(Subject, String)>) -> Option<String> {
        reasons.retain(|(subject, _)| !self.known.contains(subject));
        let failing = std::mem::take(&mut self.failing);
        let mut longest = None;
        for (subject, why) in reasons {
            let since = failing.get(&subject).copied().unwrap_or(now);
            self.failing.insert(subject, since);
            if now.saturating_duration_since(since) >= FAILING {
                longest.get_or_insert(why);
            }
        }
        longest
    }
}

impl Control {
    /// The canary that this instance tries.
    pub(super) fn tries(&self) -> Option<WriteId> {
        self.source.shared().and_then(Shared::trying)
    }

    /// The canary under way, as this instance sees it.
    pub(super) fn canary_under_way(&self) -> Option<&CanaryRecord> {
        let canary = &*self.state.shared()?.obeyed().canary.as_ref()?.value;
        canary.is_under_way().then_some(canary)
    }

    /// The trial that a client asks for.
    pub(super) fn trial(&self, asked: &command::Trial) -> Result<Trial, Problem> {
        let Some(shared) = self.state.shared() else {
            return Err(Problem::invalid(
                "`canary` is for the instances of a fleet, and this gateway is in none: its config does not come from etcd; to \
                 go back unless you confirm, use `confirm`",
            ));
        };
        let count: Result<Count, _> = asked.instances.parse();
        let count =
            count.map_err(|error| Problem::invalid(format!("`canary={}`: {error}", asked.instances)))?;
        if shared.obeyed().config.is_none() {
            return Err(Problem::conflict(
                "the fleet has no config yet that the others could keep: apply it without a canary",
            ));
        }
        let hold_ms = u64::try_from(asked.hold.as_millis()).unwrap_or(u64::MAX);
        Ok(Trial {
            count,
            hold_ms: hold_ms.min(HOLD_MS_MAX),
        })
    }

    /// Has instances try a config. This one is the first, and obeys it when this returns.
    pub(super) async fn begin_canary(
        &mut self,
        texts: Texts,
        candidate: Candidate,
        trial: Trial,
        by: String,
    ) -> Result<Applied, Problem> {
        let Some(shared) = self.state.shared() else {
            return Err(Problem::conflict("this gateway is in no fleet"));
        };
        let chosen = choose(shared.obeyed(), &shared.fleet.id(), trial.count);
        let chosen = chosen.map_err(|error| match error {
            ChooseError::NotAlive => Problem::conflict(format!("{error}; try again in a moment")),
            ChooseError::TooFew { .. } => Problem::conflict(error.to_string()),
        })?;
        let before = self.gateway.generation();
        let routes = changed_splits(&before, &candidate.checked.generation);
        if let Some(route) = routes.iter().find(|route| self.state.dials.is_moving(route)) {
            return Err(Problem::conflict(format!(
                "a rollout turns the route `{route}`, whose split this config changes: finish or abort it first"
            )));
        }
        if let Some(route) = self.first_in_steps(&before, &candidate.checked.generation) {
            return Err(Problem::conflict(format!(
                "the changed weights of the route `{route}` are gone to in the steps of a rollout, at all instances: apply them \
                 without a canary"
            )));
        }
        let tried = Tried {
            chosen,
            leads: leads_of(&routes, [&before, &candidate.checked.generation]),
            routes,
            hold_ms: trial.hold_ms,
        };
        let known = self.failing_subjects();
        let goes_back_to = self.active.clone();
        let activation = Activation::trial(by, tried);
        log::diagnostics(&candidate.checked.warnings, &texts);
        let warnings = diagnostics_view(&candidate.checked.warnings);
        let activated = self.activate(&texts, candidate, &activation, None).await;
        self.report_state();
        let activated = activated.map_err(not_activated)?;
        let tried = self.tries();
        if let Some(part) = &mut self.part {
            part.canaries.health = Health::new(tried.clone(), known);
            // The trial may be over already.
            part.canaries.before = tried.is_some().then_some(goes_back_to);
        }
        self.mark_on_disk(&texts);
        self.report_state();
        Ok(Applied {
            changed: true,
            summary: activated.summary,
            warnings,
            canary: self.canary_view(),
            ..self.unchanged()
        })
    }

    /// Takes the canary back that is under way; its id has to be one of `ids`.
    pub(super) async fn withdraw_canary(
        &mut self,
        ids: Option<&[String]>,
        by: &str,
    ) -> Result<CanaryView, Problem> {
        if self.fleet().is_none() {
            return Err(Problem::not_found(
                "this gateway is in no fleet: its config does not come from etcd",
            ));
        }
        let mut withdrawn = Ok(());
        for _ in 0..ATTEMPTS {
            let Some(canary) = self.canary_under_way() else {
                return Err(Problem::conflict("no instance tries a config"));
            };
            let id = canary.id.clone();
            let is_meant = |known: &String| known == "*" || *known == id.as_str();
            if ids.is_some_and(|ids| !ids.iter().any(is_meant)) {
                return Err(Problem::stale(format!("another canary is under way: {id}")));
            }
            let why = format!("`{by}` has taken it back");
            withdrawn = self.state.withdraw_canary(&id, why).await;
            self.obey().await;
            // Its leader wrote it at the same time.
            if !matches!(withdrawn, Err(ProposeError::Conflict(_))) {
                break;
            }
        }
        withdrawn.map_err(|error| error.problem())?;
        let canary = self.canary_view();
        canary.ok_or_else(|| Problem::conflict("the canary is not in etcd any more"))
    }

    /// The canary as the admin API shows it.
    fn canary_view(&self) -> Option<CanaryView> {
        self.shared.fleet()?.canary
    }

    /// Refuses a command that does not go with a config that instances try; any other is returned.
    pub(super) fn refuse_beside_canary(&self, command: Command) -> Option<Command> {
        let Some(canary) = self.canary_under_way() else {
            return Some(command);
        };
        let is_changed = |route: &str| canary.routes.iter().any(|changed| changed == route);
        let generation = self.gateway.generation();
        let plan = generation.plan();
        let of_deal = |deal: &str| {
            let mut routes = plan.routes_of_deal(deal);
            routes.any(|position| is_changed(&plan.routes()[position].matching.name))
        };
        let is_beside = match &command {
            Command::Apply { change, .. } => change.dry_run,
            Command::Rollback { .. } | Command::RolloutAct { write: true, .. } => false,
            Command::Dial { route, .. } | Command::StartRollout { route, .. } => !is_changed(route),
            Command::DialDeal { deal, .. } => !of_deal(deal),
            _ => true,
        };
        if is_beside {
            return Some(command);
        }
        let what = match &command {
            Command::Dial { .. } | Command::DialDeal { .. } | Command::StartRollout { .. } => {
                ", and changes this split"
            }
            _ => "",
        };
        command.refuse_change(problem(canary, what))
    }

    /// Refuses to turn the split of a route that instances try another one of.
    pub(super) fn refuse_tried(&self, route: &str) -> Result<(), Problem> {
        match self.canary_under_way() {
            Some(canary) if canary.routes.iter().any(|changed| changed == route) => {
                Err(problem(canary, ", and changes this split"))
            }
            _ => Ok(()),
        }
    }

    /// Judges the canary, if this instance leads: what the leader finds goes into etcd first, and is obeyed from there.
    pub(super) async fn judge_canary(&mut self) {
        let leads = self.state.is_claimed();
        let Some((shared, part)) = self.state.shared().zip(self.part.as_mut()) else {
            return;
        };
        let view = shared.obeyed();
        let canary = view.canary.as_ref().map(|canary| &*canary.value);
        let canary = canary.filter(|canary| leads && canary.is_under_way());
        let Some(canary) = canary else {
            part.canaries.clock = Clock::default();
            part.canaries.judged_at = None;
            part.canaries.error = None;
            return;
        };
        if shared.fleet.availability() != Availability::Available {
            // Nothing is seen meanwhile, so the time does not count.
            part.canaries.judged_at = None;
            return;
        }
        let now = Instant::now();
        let judged_at = part.canaries.judged_at.replace(now);
        let elapsed = judged_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let next = part.canaries.clock.step(view, elapsed);
        let remaining = part.canaries.clock.remaining(view);
        if let Some(remaining) = remaining.filter(|remaining| !remaining.is_zero()) {
            part.look_by(now + remaining);
        }
        let fence = shared.fleet.fence();
        let is_foreign = fence.is_some_and(|fence| canary.fence > fence.created);
        let id = canary.id.clone();
        let written = match next {
            // A younger leader than this one was never one.
            _ if is_foreign => {
                let why = "no leader of this fleet has written it".to_owned();
                self.state.withdraw_canary(&id, why).await
            }
            Some(next) => self.write_stage(next).await,
            None => return,
        };
        let Some(part) = &mut self.part else { return };
        match written {
            Ok(()) => part.canaries.error = None,
            // The next look finds it as it is then.
            Err(ProposeError::Conflict(_)) => {}
            Err(error) => {
                let error = error.to_string();
                if part.canaries.error.as_ref() != Some(&error) {
                    log::warn(format_args!("canary {id} stays as it is: {error}"));
                }
                part.canaries.error = Some(error);
            }
        }
    }

    /// Writes the next stage of the canary. One that cannot be made the config of all is taken back.
    async fn write_stage(&mut self, mut next: CanaryRecord) -> Result<(), ProposeError> {
        let id = next.id.clone();
        if !matches!(next.stage, Stage::Passed(_)) {
            let dials = self.state.dials.clone();
            return self.state.advance_canary(next, &dials).await;
        }
        next.draft.time = Timestamp::now();
        let dials = match self.dials_with_canary().await {
            Ok(dials) => dials,
            Err(StoreError::Fleet(error)) => return Err(error),
            Err(error) => return Err(ProposeError::Refused(error.to_string())),
        };
        let mut written = self.state.advance_canary(next.clone(), &dials).await;
        if let Err(ProposeError::Senseless(_)) = &written
            && dials != self.state.dials
        {
            // Too many dials end with it for one transaction. They do not hold, and are dropped afterwards.
            let dials = self.state.dials.clone();
            written = self.state.advance_canary(next, &dials).await;
        }
        match written {
            Err(
                error @ (ProposeError::Senseless(_) | ProposeError::Denied(_) | ProposeError::Refused(_)),
            ) => {
                let why = format!("it cannot be made the config of all: {error}");
                let why = why.chars().take(WHY_CHARS_MAX).collect();
                self.state.withdraw_canary(&id, why).await
            }
            written => written,
        }
    }

    /// The dials that hold once the canary is the config of all. Those that would hold again with it are ended before.
    async fn dials_with_canary(&mut self) -> Result<Dials, StoreError> {
        let Some(shared) = self.source.shared() else {
            return Ok(self.state.dials.clone());
        };
        let (of_all, tried) = (shared.of_all(), shared.canary_texts());
        let Some(after) = self.plan_of(tried).await else {
            // Where this instance cannot read it, those that can drop dials which do not hold.
            return Ok(self.state.dials.clone());
        };
        if let Some(before) = self.plan_of(Some(of_all)).await {
            // A drain may be of an endpoint that only the canary has.
            self.state
                .end_revived(&before, &after, Dials::drop_revived_dials)
                .await?;
        }
        let mut dials = self.state.dials.clone();
        dials.drop_stale(&after);
        Ok(dials)
    }

    /// The plan of a config; `None` if it has errors.
    async fn plan_of(&mut self, texts: Option<Texts>) -> Option<Plan> {
        let texts = texts?;
        if texts == self.active {
            return Some(self.gateway.generation().plan().clone());
        }
        let patience = patience(&texts);
        let loaded = self.background.run(patience, move || load::load(&texts));
        loaded.await.ok().map(|loaded| loaded.plan)
    }

    /// Gets ready for a config that this instance is to try, and goes back from one that it tried.
    pub(super) async fn begin_or_end_trial(&mut self) {
        let tries = self.tries();
        let Some(part) = &mut self.part else { return };
        if part.canaries.health.tried == tries {
            return;
        }
        let before = part.canaries.before.take();
        let (before, goes_back_to) = match tries.is_some() {
            true => (Some(before.unwrap_or_else(|| self.active.clone())), None),
            false => (None, before),
        };
        part.canaries.before = before;
        let known = self.failing_subjects();
        if let Some(part) = &mut self.part {
            part.canaries.health = Health::new(tries, known);
        }
        // The config of all comes into force as a change of the last good one: where it has errors, that stays, and not what was
        // tried.
        let wanted = self.source.shared().map(Shared::read);
        if let (Some(texts), Some(wanted)) = (goes_back_to, wanted)
            && wanted != self.active
            && wanted != texts
        {
            self.go_back(&texts).await;
        }
    }

    /// Brings the config into force again that was before the one that was tried.
    async fn go_back(&mut self, texts: &Texts) {
        let went = match self.check(texts).await {
            Ok(candidate) => {
                let activation = Activation::of_source(Origin::Etcd);
                let activated = self.activate(texts, candidate, &activation, None).await;
                activated.map(drop).map_err(|error| error.to_string())
            }
            Err(diagnostics) => Err(output::render(&diagnostics, texts, false)),
        };
        match went {
            Ok(()) => self.set_last_good(),
            Err(error) => log::warn(format_args!("what was tried stays in force here: {error}")),
        }
    }

    /// Looks if requests fare well with the config that this instance tries.
    pub(super) fn judge_health(&mut self) {
        let reasons = match self.tries() {
            Some(_) => self.shared.failing(),
            None => Vec::new(),
        };
        let reasons = reasons.into_iter();
        let reasons = reasons.map(|reason| ((reason.kind, reason.name), reason.message));
        let reasons = reasons.collect();
        if let Some(part) = &mut self.part {
            let why = part.canaries.health.reason(Instant::now(), reasons);
            part.canaries.unhealthy = why.map(|why| why.chars().take(WHY_CHARS_MAX).collect());
        }
    }

    fn failing_subjects(&self) -> BTreeSet<Subject> {
        let failing = self.shared.failing().into_iter();
        failing.map(|reason| (reason.kind, reason.name)).collect()
    }
}

/// The problem of what does not go with a canary.
fn problem(canary: &CanaryRecord, what: &str) -> Problem {
    let by = canary.draft.by.as_ref().map(|by| format!(" by {by}"));
    Problem::conflict(format!(
        "canary {}{} is under way at {}{what}: wait for its verdict, or take it back by `waypost fleet abort`",
        canary.id,
        by.unwrap_or_default(),
        canary.chosen.join(", ")
    ))
}

/// The other routes of the deals that these routes have a part in.
fn leads_of(routes: &[String], generations: [&Generation; 2]) -> Vec<String> {
    let mut leads = BTreeSet::new();
    for plan in generations.map(Generation::plan) {
        let changed = plan
            .routes()
            .iter()
            .filter(|route| routes.contains(&route.matching.name.to_string()));
        let deals: BTreeSet<&str> = changed.filter_map(|route| route.deal()).collect();
        for position in deals.into_iter().flat_map(|deal| plan.routes_of_deal(deal)) {
            leads.insert(plan.routes()[position].matching.name.to_string());
        }
    }
    leads.retain(|lead| !routes.contains(lead));
    leads.into_iter().collect()
}

/// The routes with several services whose splits, or whose plans of a rollout, differ.
fn changed_splits(before: &Generation, after: &Generation) -> Vec<String> {
    let splits = |generation: &Generation| {
        let plan = generation.plan();
        let splits = plan.routes().iter().enumerate().filter_map(|(position, route)| {
            let split = declared(plan, position)?;
            let rollout = route.forward()?.split_policies.rollout.clone();
            let deal = route.deal().map(ToOwned::to_owned);
            Some((route.matching.name.to_string(), (split, rollout, deal)))
        });
        splits.collect::<BTreeMap<_, _>>()
    };
    let (before, after) = (splits(before), splits(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed = names.into_iter().filter(|name| {
        let (was, is) = (before.get(*name), after.get(*name));
        let has_dial = [was, is].into_iter().flatten().any(|(split, ..)| split.len() > 1);
        has_dial && was != is
    });
    changed.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_unhealthy_once_what_did_not_fail_before_fails_for_a_while() {
        let began = Instant::now();
        let subject = |name: &str| ("service".to_owned(), Some(name.to_owned()));
        let mut health = Health::new(WriteId::new("w"), [subject("old")].into());
        let mut check = |ms, failing: &[&str], expected: Option<&str>| {
            let reasons = failing
                .iter()
                .map(|name| (subject(name), format!("{name} fails")));
            let reason = health.reason(began + Duration::from_millis(ms), reasons.collect());
            assert_eq!(reason.as_deref(), expected, "{ms}");
        };
        check(0, &["old", "new"], None);
        check(2999, &["old", "new"], None);
        check(3000, &["old", "new"], Some("new fails"));
        check(4000, &["old"], None);
        // What recovers begins anew.
        check(5000, &["new"], None);
        check(9000, &["old", "new", "other"], Some("new fails"));
    }
}
