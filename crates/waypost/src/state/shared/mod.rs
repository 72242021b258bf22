//! The state of a gateway in a fleet: what the view says that it obeys, and nothing else. Changes are proposed against that
//! view, so that what another instance did meanwhile is never overwritten unseen.

pub(crate) mod canary;
mod portions;
pub(crate) mod records;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use waypost_fleet::config;
use waypost_fleet::key::ConfigName;
use waypost_fleet::proposal::{self, Apply, Intent, Note, PlanError};
use waypost_fleet::record::revision::Draft;
use waypost_fleet::store::StoreRevision;
use waypost_fleet::view::{Fence, View};
use waypost_plan::Plan;

use crate::fleet::{Availability, Fleet, ProposeError, Proposed};
use crate::state::dials::Dials;
use crate::texts::{Texts, file_name};

/// The time after which no further portion is begun.
const PATIENCE: Duration = Duration::from_secs(10);

/// The wait for a leader, where one is needed and there is none: an election takes no longer, unless a lease has to end.
const LEADER_PATIENCE: Duration = Duration::from_secs(3);

/// The state that a fleet shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) fleet: Arc<Fleet>,
    /// The view that this instance obeys.
    obeyed: Arc<View>,
    /// Rollouts that could not be stored while others could, with the reason.
    stuck: BTreeMap<String, Stuck>,
}

/// A rollout that a view has otherwise than it was known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Retold {
    /// The route that it was started at.
    pub(crate) lead: String,
    /// When it was written; `None` if it is gone.
    at: Option<StoreRevision>,
}

/// A rollout that could not be stored.
#[derive(Debug)]
struct Stuck {
    why: String,
    /// True if it is not just that another one was first.
    lasts: bool,
}

impl Shared {
    pub(super) fn new(fleet: Arc<Fleet>) -> Self {
        let obeyed = fleet.view();
        Self {
            fleet,
            obeyed,
            stuck: BTreeMap::new(),
        }
    }

    /// The view that this instance obeys.
    pub(crate) fn obeyed(&self) -> &Arc<View> {
        &self.obeyed
    }

    pub(super) fn obey(&mut self, view: Arc<View>) {
        self.obeyed = view;
    }

    /// Returns true if dials, drains and rollouts are the very same in a newer view.
    pub(super) fn has_dials_of(&self, newer: &View) -> bool {
        Arc::ptr_eq(&self.obeyed.dials, &newer.dials)
            && Arc::ptr_eq(&self.obeyed.drains, &newer.drains)
            && Arc::ptr_eq(&self.obeyed.rollouts, &newer.rollouts)
    }

    /// Returns true if the prefix has no config: it is new, or was wiped.
    pub(crate) fn is_wiped(&self) -> bool {
        self.obeyed.config_keys.is_empty()
    }

    /// Returns true if etcd can be asked.
    pub(super) fn is_available(&self) -> bool {
        self.fleet.availability() == Availability::Available
    }

    /// Returns an error while etcd is away, or may not be read.
    pub(super) fn expect_available(&self) -> Result<(), ProposeError> {
        self.fleet.availability().refusal().map_or(Ok(()), Err)
    }

    /// The rollouts that are not as this instance has written or seen them last, by the route that each was started at: another
    /// one has written them, or this one has and got no answer.
    pub(super) fn retold(&self, newer: &View) -> Vec<Retold> {
        let (was, is) = (&self.obeyed.rollouts, &newer.rollouts);
        if Arc::ptr_eq(was, is) {
            return Vec::new();
        }
        let leads: BTreeSet<&Arc<str>> = was.keys().chain(is.keys()).collect();
        let all = leads.into_iter().map(|lead| Retold {
            lead: lead.to_string(),
            at: at(newer, lead),
        });
        all.filter(|retold| !self.is_still(retold)).collect()
    }

    /// Returns true if a rollout is as it was retold, and not written since.
    pub(super) fn is_still(&self, retold: &Retold) -> bool {
        at(&self.obeyed, &retold.lead) == retold.at
    }

    /// The rollouts that cannot be stored, in a sentence each.
    pub(super) fn stuck(&self) -> impl Iterator<Item = String> {
        let stuck = self.stuck.iter().filter(|(_, stuck)| stuck.lasts);
        stuck.map(|(lead, Stuck { why, .. })| {
            format!("the rollout of the route `{lead}` stands still, as it cannot be stored: {why}")
        })
    }

    /// Stores dials, drains and rollouts, in portions that do not depend on each other. What became of each is in the view that
    /// is obeyed.
    ///
    /// # Errors
    /// Of the first portion that is not stored.
    pub(super) async fn store(&mut self, dials: &Dials) -> Result<(), ProposeError> {
        let under_way = |lead: &String| {
            dials
                .rollouts
                .get(lead)
                .is_some_and(|rollout| rollout.end.is_none())
        };
        self.stuck.retain(|lead, _| under_way(lead));
        let began = Instant::now();
        let mut stored = Ok(());
        let changes = self.changes(dials);
        // Of a wiped prefix, all dials in force are stored with the one that is turned.
        let mut portions = VecDeque::from(match self.is_wiped() {
            true => portions::small(changes),
            false => portions::of(changes),
        });
        while let Some(portion) = portions.pop_front() {
            if began.elapsed() > PATIENCE {
                let why = "it takes too long to answer; what is left is stored later".to_owned();
                return Err(ProposeError::Away(why));
            }
            let leads: Vec<String> = portion.rollouts.keys().cloned().collect();
            let Err(error) = self.store_portion(portion.clone()).await else {
                self.stuck.retain(|lead, _| !leads.contains(lead));
                continue;
            };
            if !error.is_about_the_change() {
                return Err(error);
            }
            let singles = portions::apart(portion);
            if singles.len() > 1 {
                // One of them must not hold the others.
                singles
                    .into_iter()
                    .rev()
                    .for_each(|single| portions.push_front(single));
                continue;
            }
            for lead in leads {
                let is_again = self.stuck.contains_key(&lead);
                let lasts = is_again || !matches!(error, ProposeError::Conflict(_));
                let why = error.to_string();
                self.stuck.insert(lead, Stuck { why, lasts });
            }
            stored = stored.and(Err(error));
        }
        stored
    }

    async fn store_portion(&mut self, portion: proposal::State) -> Result<(), ProposeError> {
        // What a user does is about the splits and endpoints of the config that is in force here.
        let rests_on_config = portion.rollouts.is_empty();
        let turns_more = match rests_on_config {
            true => !portion.dials.is_empty(),
            false => self.begins_one(&portion.rollouts),
        };
        let wanted = proposal::State {
            rests_on_config,
            rests_on_canary: turns_more,
            ..self.fenced(portion)
        };
        let intent = Intent::State(wanted.clone());
        let proposed = self.fleet.propose(&self.obeyed, intent).await?;
        self.take(&wanted, &proposed.view);
        Ok(())
    }

    /// Returns true if one of these rollouts is not under way yet.
    fn begins_one(&self, rollouts: &BTreeMap<String, Option<Value>>) -> bool {
        let is_under_way = |state: &Value| state["end"].is_null();
        rollouts.iter().any(|(lead, rollout)| {
            let known = self.obeyed.rollouts.get(&**lead);
            rollout.as_ref().is_some_and(is_under_way)
                && !known.is_some_and(|known| is_under_way(&known.value.state))
        })
    }

    /// Has deleted what has ended with the config of this plan, which is that of all: dials and drains that do not hold under it,
    /// and all that is left of routes that it does not have. Dials of rollouts under way are theirs.
    pub(crate) fn sweep(&self, dials: &Dials, plan: &Plan) {
        let mut holding = dials.clone();
        holding.drop_stale(plan);
        let mut ended = self.changes(&holding);
        let routes: BTreeSet<&str> = plan.routes().iter().map(|route| &*route.matching.name).collect();
        let gone = self
            .obeyed
            .dials
            .keys()
            .filter(|route| !routes.contains(&***route));
        ended.dials.extend(gone.map(|route| (route.to_string(), None)));
        ended.dials.retain(|route, _| !dials.is_moving(route));
        self.fleet.sweep(Arc::clone(&self.obeyed), ended);
    }

    /// Stores a config for all, with what changes along. Returns the number of its revision.
    ///
    /// On a wiped prefix, what is in force is stored before it, where that is too much for one transaction: instances keep what
    /// they have in force until there is a config.
    pub(super) async fn apply(
        &mut self,
        texts: config::Texts,
        draft: Draft,
        dials: &Dials,
    ) -> Result<u64, ProposeError> {
        let names = texts.keys().chain(self.obeyed.config_keys.keys());
        let names = names.collect::<BTreeSet<&ConfigName>>().len();
        // Of a wiped prefix, all dials and drains in force go along, or first.
        if self.is_wiped() {
            let changes = self.changes(dials);
            if portions::with_config(changes.clone(), names) != changes {
                self.store(dials).await?;
            }
        }
        let changes = portions::with_config(self.changes(dials), names);
        let state = self.led(self.fenced(changes)).await?;
        let apply = Apply {
            texts: texts.clone(),
            draft,
            state: state.clone(),
        };
        let proposed = self.fleet.propose(&self.obeyed, Intent::Apply(apply)).await?;
        self.take(&state, &proposed.view);
        let is_newest = |view: &View| {
            let config = view.config.as_ref();
            config.is_some_and(|config| config.texts == texts)
        };
        // Another one may have been applied since, which is not obeyed yet.
        if is_newest(&proposed.view) {
            self.take_config(&proposed.view);
        }
        Ok(self.number(&proposed))
    }

    /// Stores a revision of the config that was put into etcd by other means. Returns its number.
    pub(super) async fn note(&mut self, draft: Draft, dials: &Dials) -> Result<u64, ProposeError> {
        let Some(fence) = self.fleet.fence() else {
            return Err(ProposeError::Away("another instance leads".to_owned()));
        };
        let changes = portions::with_config(self.changes(dials), self.obeyed.config_keys.len());
        let state = self.fenced(changes);
        let note = Note {
            draft,
            state: state.clone(),
            fence,
        };
        let proposed = self.fleet.propose(&self.obeyed, Intent::Note(note)).await?;
        self.take(&state, &proposed.view);
        Arc::make_mut(&mut self.obeyed).revisions = proposed.view.revisions.clone();
        Ok(self.number(&proposed))
    }

    /// The number of the revision that a proposal with a config has made.
    fn number(&self, proposed: &Proposed) -> u64 {
        let newest = self.obeyed.revisions.last_key_value();
        proposed
            .number
            .or(newest.map(|(number, _)| *number))
            .unwrap_or_default()
    }

    fn changes(&self, dials: &Dials) -> proposal::State {
        records::changes(&self.obeyed, dials)
    }

    /// The changes as the leader makes them. A rollout that comes with a config, at an instance that does not lead, is begun in
    /// the leader's name: it goes on with it as soon as it sees it.
    fn fenced(&self, changes: proposal::State) -> proposal::State {
        let leader = || self.fleet.view().leader().map(|leader| leader.fence);
        let fence = match changes.rollouts.is_empty() && changes.certificates.is_empty() {
            true => None,
            false => self.fleet.fence().or_else(leader),
        };
        proposal::State { fence, ..changes }
    }

    /// The same changes, once there is a leader for the rollouts that begin with a config.
    async fn led(&self, state: proposal::State) -> Result<proposal::State, ProposeError> {
        if state.fence.is_some() || state.rollouts.is_empty() {
            return Ok(state);
        }
        let fence: Fence = self.fleet.leader(LEADER_PATIENCE).await?;
        Ok(proposal::State {
            fence: Some(fence),
            ..state
        })
    }

    /// Obeys what this instance has changed, and nothing else of a newer view.
    fn take(&mut self, changed: &proposal::State, newer: &View) {
        let obeyed = Arc::make_mut(&mut self.obeyed);
        for route in changed.dials.keys() {
            take(&mut obeyed.dials, &newer.dials, &**route);
        }
        for name in changed.drains.keys() {
            take(&mut obeyed.drains, &newer.drains, name);
        }
        for lead in changed.rollouts.keys() {
            take(&mut obeyed.rollouts, &newer.rollouts, &**lead);
        }
    }

    /// Obeys the dials and drains of a newer view.
    pub(super) fn take_dials(&mut self, newer: &View) {
        let obeyed = Arc::make_mut(&mut self.obeyed);
        obeyed.dials = newer.dials.clone();
        obeyed.drains = newer.drains.clone();
    }

    /// Obeys the config of a newer view.
    fn take_config(&mut self, newer: &View) {
        let obeyed = Arc::make_mut(&mut self.obeyed);
        obeyed.at = newer.at;
        obeyed.config = newer.config.clone();
        obeyed.config_trouble = newer.config_trouble.clone();
        obeyed.config_keys = newer.config_keys.clone();
        obeyed.config_gone = newer.config_gone.clone();
        obeyed.revisions = newer.revisions.clone();
        obeyed.canary = newer.canary.clone();
        obeyed.canary_config = newer.canary_config.clone();
        obeyed.parts = newer.parts.clone();
        obeyed.swept = newer.swept;
    }
}

/// The time of the last write of a rollout.
fn at(view: &View, lead: &str) -> Option<StoreRevision> {
    view.rollouts.get(lead).map(|kept| kept.modified)
}

/// The texts as a fleet has them. A name that it cannot have is left out: the admin API has refused it before.
pub(crate) fn shared_texts(texts: &Texts) -> config::Texts {
    let sources = texts.sources.iter();
    sources
        .filter_map(|source| {
            Some((
                ConfigName::new(file_name(&source.name))?,
                Arc::clone(&source.text),
            ))
        })
        .collect()
}

/// The same, if none of the texts is left out.
///
/// # Errors
/// One has no name for a key, or the name of another one.
pub(super) fn all_shared_texts(texts: &Texts) -> Result<config::Texts, ProposeError> {
    let mut shared = config::Texts::new();
    for source in &texts.sources {
        let name = file_name(&source.name);
        let taken = ConfigName::new(name).map(|key| shared.insert(key, Arc::clone(&source.text)));
        if !matches!(taken, Some(None)) {
            return Err(ProposeError::Senseless(PlanError::Name(name.to_owned())));
        }
    }
    Ok(shared)
}

/// Takes one value over.
fn take<K, Q, T: ?Sized>(
    obeyed: &mut waypost_fleet::view::Shelf<K, T>,
    newer: &waypost_fleet::view::Shelf<K, T>,
    key: &Q,
) where
    K: Ord + Clone + std::borrow::Borrow<Q>,
    Q: Ord + ?Sized,
{
    let obeyed = Arc::make_mut(obeyed);
    match newer.get_key_value(key) {
        Some((key, kept)) => {
            obeyed.insert(key.clone(), kept.clone());
        }
        None => {
            obeyed.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use waypost_config::{Kind, Source};

    use super::*;

    #[test]
    fn no_text_is_left_out_unsaid() {
        let texts = |names: &[&str]| Texts {
            sources: names
                .iter()
                .map(|name| Source {
                    name: format!("/waypost/prod/config/{name}"),
                    text: b"routes: []\n"[..].into(),
                })
                .collect(),
            kind: Kind::Directory,
            local: None,
        };
        let all = all_shared_texts(&texts(&["a.yaml", "b\\s.yml"])).unwrap();
        let names: Vec<&str> = all.keys().map(ConfigName::as_str).collect();
        assert_eq!(names, ["a.yaml", "b\\s.yml"]);
        for (names, refused) in [
            (&["a.yaml", "b.txt"][..], "b.txt"),
            (&["a.yaml", "\u{fffd}.yaml", "\u{fffd}.yaml"], "\u{fffd}.yaml"),
        ] {
            let error = all_shared_texts(&texts(names)).unwrap_err().to_string();
            assert!(error.contains(&format!("`{refused}` cannot be")), "{error}");
        }
    }
}
