//! Obeying a fleet: what its view says comes into force here, and what this instance wants is written there first.
//!
//! Nothing is in force that etcd has not acknowledged: own changes come into force once they are written, those of others as
//! soon as a view has them. Dials that came with a config come into force with it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use waypost_admin::command::{Command, ReplySender};
use waypost_admin::events::EventKind;
use waypost_admin::problem::Problem;
use waypost_fleet::pace::BackOff;
use waypost_fleet::record::instance::{InstanceErrorRecord, InstanceRecord};
use waypost_proxy::generation::Generation;

use super::Control;
use super::activate::{Activation, Numbered};
use super::canary::Canaries;
use super::reload::Because;
use super::unobeyed::Again;
use super::{VERSION, dial};
use crate::acme::Taken;
use crate::fleet::{Fleet, Known, Ordered, Served};
use crate::log;
use crate::state::StoreError;
use crate::state::dials::{Dials, StoredDrain};
use crate::state::revision::Origin;
use crate::state::revisions;
use crate::state::shared::shared_texts;
use crate::texts::Texts;

/// The wait for the leader's revision of a config that was put into etcd. If there is none by then, the config is taken all
/// the same.
const LEADER_PATIENCE: Duration = Duration::from_secs(5);

/// The longest wait before a revision that was refused is made.
const NOTE_WAIT_MAX: Duration = Duration::from_secs(60);

/// The wait for the leader's answer to a look at rollouts.
const LOOK_PATIENCE: Duration = Duration::from_secs(2);

/// The most characters of an error that others see.
const WHY_CHARS_MAX: usize = 1000;

/// The interval of looking if this instance leads: a lease ends by time alone.
const LOOK: Duration = Duration::from_secs(1);

/// The part of an instance in its fleet.
#[derive(Debug)]
pub(super) struct Part {
    /// True if this instance leads.
    pub(super) leads: bool,
    /// True if this instance turns the rollouts of the fleet.
    pub(super) is_in_charge: bool,
    /// True if some dials wait for the config that they belong to.
    dials_wait: bool,
    look_at: Instant,
    /// The end of the wait for the leader's revision of the config.
    patience_ends: Option<Instant>,
    pub(super) canaries: Canaries,
    /// The config that cannot be obeyed here for now.
    pub(super) again: Again,
    /// The certificates in etcd that were looked at last.
    pub(super) ordered: Ordered,
    /// The things that were taken over of them.
    pub(super) taken: Taken,
    /// The waits before a revision that was refused is made.
    pub(super) note_again: BackOff,
    /// The fixed point of these waits.
    pub(super) began: Instant,
}

impl Part {
    pub(super) fn new() -> Self {
        Self {
            leads: false,
            is_in_charge: false,
            dials_wait: false,
            look_at: Instant::now(),
            patience_ends: None,
            canaries: Canaries::default(),
            again: Again::default(),
            ordered: Arc::default(),
            taken: Taken::default(),
            note_again: BackOff::up_to(NOTE_WAIT_MAX),
            began: Instant::now(),
        }
    }

    /// Has [`Control::look_at_fleet`] look then, if it does not before.
    pub(super) fn look_by(&mut self, time: Instant) {
        self.look_at = self.look_at.min(time);
    }

    /// The time of the next call of [`Control::look_at_fleet`].
    pub(super) fn deadline(&self) -> Instant {
        let ends = self.patience_ends.into_iter().chain(self.again.due());
        ends.fold(self.look_at, Instant::min)
    }
}

impl Control {
    /// The fleet that this instance belongs to.
    pub(super) fn fleet(&self) -> Option<&Arc<Fleet>> {
        Some(&self.state.shared()?.fleet)
    }

    /// Obeys all that the fleet says now. Does nothing outside of a fleet.
    pub(crate) async fn obey(&mut self) {
        let Some(fleet) = self.fleet() else { return };
        fleet.begin_turn();
        let view = fleet.view();
        let live = fleet.live(&view);
        self.source.obey(Arc::clone(&view));
        let retold = self.state.retold_rollouts(&view);
        let before = self.state.obey(view);
        self.begin_or_end_trial().await;
        // The dials that come with a config count from its first request on, and not before.
        self.take_config().await;
        self.take_dials(before.is_some());
        self.share_rates(live);
        self.take_orders();
        if let Some(before) = &before {
            self.tell_turns(before);
        }
        self.take_lead(before.is_some(), &retold).await;
        self.judge_canary().await;
        self.judge_health();
        self.report_instance();
        if self.shared.report().state.writable != self.state.is_writable() {
            self.report_state();
        }
    }

    /// Divides rate limits by the number of instances that live.
    fn share_rates(&self, live: u32) {
        let generation = self.gateway.generation();
        generation.compiled().limiters().share_among(live);
    }

    /// Looks if this instance still leads, and if a wait is over.
    pub(super) async fn look_at_fleet(&mut self, now: Instant) {
        let Some(part) = &mut self.part else { return };
        if part.deadline() > now {
            return;
        }
        part.look_at = now + LOOK;
        self.try_again(now).await;
        self.obey().await;
    }

    /// Brings dials and drains into force, if they are other ones or have waited for the config that is in force now.
    fn take_dials(&mut self, are_others: bool) {
        let waits = !self.is_wanted(&self.active);
        let Some(part) = &mut self.part else { return };
        let have_waited = std::mem::replace(&mut part.dials_wait, waits);
        if are_others || have_waited && !waits {
            self.apply_dials(&self.gateway.generation(), &self.active);
        }
    }

    /// Sets dials and drains of a generation with these texts. Where a fleet has another config by now, those that belong to
    /// that one wait for it.
    pub(super) fn apply_dials(&self, generation: &Generation, texts: &Texts) {
        // While that config has no revision, such as one with errors, nothing has ended with it.
        match self.is_wanted(texts) || self.unobeyed().is_none() {
            true => self.state.dials.apply_to(generation),
            false => self
                .state
                .dials
                .apply_fitting(generation, &self.gateway.generation()),
        }
    }

    /// Returns true if these are the texts that this instance is to obey, or it belongs to no fleet.
    pub(super) fn is_wanted(&self, texts: &Texts) -> bool {
        self.source.shared().is_none_or(|shared| shared.read() == *texts)
    }

    /// Brings the config of the fleet into force, if it is another one.
    async fn take_config(&mut self) {
        let Some(shared) = self.source.shared() else {
            return;
        };
        let texts = shared.read();
        if self.version.is_of(&texts) && self.unreadable.is_none() {
            if let Some(part) = &mut self.part {
                part.patience_ends = None;
            }
            self.take_number();
            return;
        }
        // The revision of a config that was put into etcd is the leader's. Its number, and the rollouts that it begins, come
        // with it.
        let waits = !shared.is_trying()
            && !texts.sources.is_empty()
            && !self.state.is_claimed()
            && self.state.is_writable()
            && shared.number_of(&texts).is_none();
        if let Some(part) = &mut self.part {
            let now = Instant::now();
            if waits && now < *part.patience_ends.get_or_insert(now + LEADER_PATIENCE) {
                return;
            }
            part.patience_ends = None;
        }
        self.reload(Because::Changed).await;
        self.take_number();
    }

    /// Takes the number over that the config in force has in the fleet.
    pub(super) fn take_number(&mut self) {
        let Some(newest) = self.state.revisions.latest() else {
            return;
        };
        let now = self.number();
        if newest.number == now || newest.hash != revisions::hash(&self.active) {
            return;
        }
        let number = newest.number;
        self.gateway.generation().renumber(number);
        self.since = jiff::Timestamp::now();
        log::info(format_args!("revision {now} is now revision {number}"));
        self.supervisor.status(&self.in_one_line());
    }

    /// Returns true if these are the texts that the fleet has for all.
    pub(super) fn is_of_all(&self, texts: &Texts) -> bool {
        let shared = self.source.shared();
        shared.is_some_and(|shared| !shared.is_trying() && shared.read() == *texts)
    }

    /// Writes a config of a fleet that is about to be in force, with its revision and all that changes along.
    pub(super) async fn write_shared(
        &mut self,
        generation: &Generation,
        texts: &Texts,
        summary: &str,
        activation: &Activation,
    ) -> Result<Numbered, StoreError> {
        if let Some(tried) = &activation.tried {
            self.end_revived(generation).await?;
            let (by, summary) = (activation.by.clone(), summary.to_owned());
            let revision = self.state.revisions.next(activation.origin, by, summary, texts);
            self.state.begin_canary(&revision, texts, tried).await?;
            self.read_own();
            return Ok(Numbered {
                number: self.number(),
                is_new: false,
                dials_dropped: Vec::new(),
            });
        }
        let is_requested = activation.origin != Origin::Etcd;
        let known = self.source.shared().and_then(|shared| shared.number_of(texts));
        let before = self.gateway.generation();
        if let (Some(number), false) = (known, is_requested) {
            return Ok(Numbered {
                is_new: number != before.number(),
                number,
                dials_dropped: Vec::new(),
            });
        }
        if is_requested {
            self.end_revived(generation).await?;
        }
        let mut dials = self.state.dials.clone();
        // What has ended before is the leader's to delete.
        let dials_dropped = dials.drop_ended(before.plan(), generation.plan());
        self.add_held_back(&before, generation, activation.by.as_deref(), &mut dials);
        let (by, summary) = (activation.by.clone(), summary.to_owned());
        let revision = self.state.revisions.next(activation.origin, by, summary, texts);
        if is_requested {
            let number = self.state.apply(&revision, texts, &dials).await?;
            self.read_own();
            return Ok(Numbered {
                number,
                is_new: true,
                dials_dropped,
            });
        }
        // Without the files that have errors, it is not the config of the fleet.
        let is_of_all = self.is_of_all(texts);
        // It is in etcd, so it counts all the same: a revision that is refused is made later.
        if is_of_all
            && self.state.is_claimed()
            && let Some(number) = self.note(&revision, &dials).await
        {
            return Ok(Numbered {
                number,
                is_new: true,
                dials_dropped,
            });
        }
        Ok(Numbered {
            // The one that the leader most likely gives it.
            number: match is_of_all {
                true => revision.number,
                false => before.number(),
            },
            is_new: is_of_all,
            dials_dropped: Vec::new(),
        })
    }

    /// Ends dials and drains that have ended with the config in force, are not deleted yet, and would hold again with another one.
    async fn end_revived(&mut self, generation: &Generation) -> Result<(), StoreError> {
        if !self.is_of_all(&self.active) {
            return Ok(());
        }
        if let Some(part) = &mut self.part {
            part.dials_wait = true;
        }
        let before = self.gateway.generation();
        self.state
            .end_revived(before.plan(), generation.plan(), Dials::drop_revived)
            .await
    }

    /// Writes the active texts over those in etcd, which were refused.
    pub(super) async fn put_in_fleet(&mut self, by: String) -> Result<(), Problem> {
        // Also where nothing is to be written: another config may be in force at the other instances.
        let claimed = self.claim_state().await;
        claimed.map_err(|error| error.problem("nothing has changed"))?;
        let texts = self.active.clone();
        if self.is_of_all(&texts) {
            return Ok(());
        }
        let summary = "no change".to_owned();
        let revision = self.state.revisions.next(Origin::Api, Some(by), summary, &texts);
        let dials = self.state.dials.clone();
        let applied = self.state.apply(&revision, &texts, &dials).await;
        let number = applied.map_err(|error| error.problem("nothing has changed"))?;
        self.read_own();
        self.gateway.generation().renumber(number);
        Ok(())
    }

    /// The texts that a change is made to: the active ones, or the good config of a fleet that is not in force at this instance
    /// alone, so that it is not overwritten unseen.
    pub(super) fn present_texts(&self) -> Texts {
        let of_fleet = self.source.shared().map(|shared| (shared, shared.read()));
        match of_fleet {
            Some((shared, texts)) if shared.number_of(&texts).is_some() => texts,
            _ => self.active.clone(),
        }
    }

    /// Reads what this instance has just written.
    pub(super) fn read_own(&mut self) {
        if let Some(shared) = self.state.shared() {
            self.source.obey(Arc::clone(shared.obeyed()));
        }
    }

    /// Says what is in force here, for the others to see.
    fn report_instance(&self) {
        let (Some(shared), Some(source)) = (self.state.shared(), self.source.shared()) else {
            return;
        };
        shared.fleet.set_token_file(self.token_file());
        let number = self.number();
        if !source.is_trying() && !self.active.sources.is_empty() {
            let texts = shared_texts(&self.active);
            shared.fleet.serves(Served { number, texts });
        }
        let newest = shared.obeyed().revisions.last_key_value();
        let trying = source.trying();
        let failed = self.shared.report().failed.clone();
        let errors = failed.iter().map(|failed| InstanceErrorRecord {
            revision: newest
                .map(|(newest, _)| *newest)
                .filter(|newest| *newest != number),
            canary: trying.clone(),
            why: failed.message.chars().take(WHY_CHARS_MAX).collect(),
        });
        let canaries = self.part.as_ref().map(|part| &part.canaries);
        let unhealthy = canaries.and_then(|canaries| canaries.unhealthy.clone());
        let of_former = source.does_not_try().map(|id| InstanceErrorRecord {
            revision: None,
            canary: Some(id),
            why: "its process was started anew".to_owned(),
        });
        let unopened = self.part.iter().flat_map(|part| part.taken.troubles.values());
        // What cannot be opened here can at those with the right key.
        let unopened = unopened.take(1).map(|why| InstanceErrorRecord {
            revision: None,
            canary: None,
            why: why.chars().take(WHY_CHARS_MAX).collect(),
        });
        let errors: Vec<InstanceErrorRecord> = errors.chain(of_former).chain(unopened).collect();
        // It obeys all the same where it only cannot open a certificate.
        let is_tried = trying.is_some() && failed.is_none() && source.does_not_try().is_none();
        shared.fleet.report(InstanceRecord {
            admin: self.reachable_at(),
            version: VERSION.to_owned(),
            host: host(),
            pid: Some(std::process::id()),
            started: self.shared.started,
            revision: shared
                .obeyed()
                .revisions
                .contains_key(&number)
                .then_some(number)
                .filter(|_| !is_tried),
            since: (number > 0).then_some(self.since),
            obeys: shared.obeyed().rules,
            canary: trying.filter(|_| is_tried),
            healthy: errors.is_empty() && unhealthy.is_none(),
            unhealthy,
            errors,
        });
    }

    /// The address of the admin API, as others reach it.
    fn reachable_at(&self) -> Option<String> {
        let address = &self.server.as_ref()?.address;
        if address.starts_with("unix:") {
            return None;
        }
        match (
            host(),
            ["0.0.0.0", "[::]"].iter().find(|any| address.contains(**any)),
        ) {
            (Some(host), Some(any)) => Some(address.replacen(any, &host, 1)),
            _ => Some(address.clone()),
        }
    }

    /// Hands a command over that is the leader's; any other is returned.
    pub(super) fn pass_on(&self, command: Command) -> Option<Command> {
        let Some(fleet) = self.fleet() else {
            return Some(command);
        };
        if self.state.is_claimed() || !self.state.is_writable() {
            return Some(command);
        }
        let tokens = self.token_file();
        match command {
            Command::StartRollout { .. } | Command::RolloutAct { .. } => fleet.pass_on(command, tokens),
            Command::Dial { ref route, .. } if self.state.dials.is_moving(route) => {
                fleet.pass_on(command, tokens)
            }
            Command::DialDeal { ref deal, .. } if self.is_deal_moving(deal) => fleet.pass_on(command, tokens),
            // Its judge knows more than what is stored.
            Command::RolloutOf { route, reply } => {
                let stored = self.rollout_of(&route);
                let reply = or_stored(stored, reply);
                fleet.pass_on(Command::RolloutOf { route, reply }, tokens)
            }
            Command::Rollouts { reply } => {
                let reply = or_stored(Ok(self.all_rollouts()), reply);
                fleet.pass_on(Command::Rollouts { reply }, tokens)
            }
            other => Some(other),
        }
    }

    /// Returns true if a rollout under way turns one of the routes of a deal.
    fn is_deal_moving(&self, deal: &str) -> bool {
        let generation = self.gateway.generation();
        let plan = generation.plan();
        let mut routes = plan.routes_of_deal(deal);
        routes.any(|position| self.state.dials.is_moving(&plan.routes()[position].matching.name))
    }

    /// The file with the tokens of the admin API.
    fn token_file(&self) -> Option<PathBuf> {
        let generation = self.gateway.generation();
        let admin = generation.plan().settings().admin.as_ref()?;
        Some(self.source.locate(admin.token_file.as_deref()?))
    }

    /// Tells of what others have done to dials, drains and rollouts.
    pub(super) fn tell_turns(&self, before: &Dials) {
        let now = &self.state.dials;
        for turn in now.new_turns(before) {
            self.shared.events.publish(EventKind::Dial {
                route: turn.route.clone(),
                before: dial::view(&turn.before),
                after: dial::view(&turn.after),
                by: turn.by.clone(),
            });
        }
        let (was, is) = (drained(before), drained(now));
        for (service, drain) in is.difference(&was) {
            self.shared.events.publish(EventKind::EndpointDrained {
                service: (*service).to_owned(),
                endpoint: place(drain),
                by: drain.by.clone(),
            });
        }
        for (service, drain) in was.difference(&is) {
            self.shared.events.publish(EventKind::EndpointUndrained {
                service: (*service).to_owned(),
                endpoint: place(drain),
                by: drain.by.clone(),
            });
        }
        self.tell_changes_since(before);
    }

    /// The reason that nothing is served yet; `None` if there is a config.
    pub(super) fn lack(&self) -> Option<String> {
        let shared = self.source.shared()?;
        if !shared.read().sources.is_empty() {
            return None;
        }
        let fleet = shared.fleet();
        let prefix = fleet.prefix();
        let served = match self.active.sources.is_empty() {
            true => None,
            false => Some(self.number()),
        };
        if let Some(trouble) = self
            .state
            .shared()
            .and_then(|shared| shared.obeyed().config_trouble.as_ref())
        {
            return Some(format!("`{}`: {}", trouble.key, trouble.why));
        }
        Some(match (fleet.known(), served) {
            (Known::Nothing, None) => format!(
                "etcd is away, and the state has kept nothing of {prefix}: nothing is served until it is back"
            ),
            (Known::Nothing, Some(number)) => {
                format!(
                    "etcd is away, and the state has kept only revision {number} of {prefix}, which is served"
                )
            }
            (Known::Read | Known::Cached, None) => format!("the prefix {prefix} in etcd is empty"),
            (Known::Read | Known::Cached, Some(number)) => {
                format!("the prefix {prefix} in etcd is empty: the last config, revision {number}, is served")
            }
        })
    }

    /// The problem of what a fleet does not have.
    pub(super) fn refuse_confirmation(&self) -> Result<(), Problem> {
        match self.fleet() {
            None => Ok(()),
            Some(_) => Err(Problem::invalid(
                "a fleet does not wait for confirmation: apply without it, and `waypost rollback` if need be",
            )),
        }
    }
}

/// A reply for the leader, in whose place what is stored is told if it does not answer.
fn or_stored<T: Send + 'static>(stored: Result<T, Problem>, reply: ReplySender<T>) -> ReplySender<T> {
    let (asked, answer) = oneshot::channel();
    tokio::spawn(async move {
        let told = match timeout(LOOK_PATIENCE, answer).await {
            Ok(Ok(Ok(told))) => Ok(told),
            _ => stored,
        };
        let _ = reply.send(told);
    });
    asked
}

/// All that is drained, by service.
fn drained(dials: &Dials) -> BTreeSet<(&str, &StoredDrain)> {
    let services = dials.drains.iter();
    services
        .flat_map(|(service, drains)| drains.iter().map(move |drain| (&**service, drain)))
        .collect()
}

/// The name of this host.
fn host() -> Option<String> {
    let name = rustix::system::uname();
    let name = name.nodename().to_str().ok()?;
    (!name.is_empty()).then(|| name.to_owned())
}

fn place(drain: &StoredDrain) -> String {
    drain.address.as_ref().unwrap_or(&drain.endpoint).clone()
}
