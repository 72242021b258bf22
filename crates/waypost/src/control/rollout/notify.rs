//! Notifications: the events of rollouts, published and sent to the service that a plan names.

use waypost_admin::events::{Event, EventKind};
use waypost_admin::rollout::RolloutEvent;
use waypost_plan::rollout::Destination;

use crate::control::Control;
use crate::control::rollout::forward;
use crate::notifier::{Means, Notification};
use crate::state::dials::Dials;
use crate::state::rollouts::StoredChange;

/// A change that is to be published.
#[derive(Debug)]
pub(super) struct Telling {
    event: RolloutEvent,
    change: StoredChange,
    /// The destination that is notified.
    to: Option<Destination>,
}

impl Control {
    /// Puts a change, which is noted already, into an event.
    pub(super) fn telling(&self, lead: &str, change: &StoredChange) -> Option<Telling> {
        let mut view = self.view_of(lead)?;
        // A step that was taken has none yet: the change rests on those before it.
        if !change.metrics.is_empty() {
            view.metrics.clone_from(&change.metrics);
        }
        let changes = &self.state.dials.rollouts.get(lead)?.changes;
        let to_percent = change.in_percent();
        let is_start = change.change == "started";
        let place = changes.iter().rposition(|known| known == change);
        // The first change of a rollout has nothing to do with the last of another.
        let before = place.filter(|place| *place > 0 && !is_start);
        Some(Telling {
            event: RolloutEvent {
                change: change.change.clone(),
                step: if is_start { 0 } else { view.step },
                from_percent: before.map_or(to_percent, |place| changes[place - 1].in_percent()),
                to_percent,
                percent: change.percent.clone(),
                summary: change.summary.clone(),
                by: change.by.clone(),
                ..RolloutEvent::of(view)
            },
            change: change.clone(),
            to: self.notified_by(lead),
        })
    }

    /// Publishes the changes that others have made. The one that made them has told the service that is to be notified.
    pub(in crate::control) fn tell_changes_since(&self, before: &Dials) {
        for (lead, stored) in &self.state.dials.rollouts {
            let known = before.rollouts.get(lead);
            let is_known = |change: &StoredChange| {
                let mut changes = known.iter().flat_map(|known| &known.changes);
                changes.any(|known| known.time == change.time && known.change == change.change)
            };
            for change in stored.changes.iter().filter(|change| !is_known(change)) {
                let Some(telling) = self.telling(lead, change) else {
                    continue;
                };
                self.shared.events.publish_event(Event {
                    time: change.time,
                    kind: EventKind::Rollout(Box::new(telling.event)),
                });
            }
        }
    }

    /// Publishes a change, and sends it to the service that is to be notified.
    pub(super) fn send(&mut self, lead: &str, telling: Telling) {
        let Telling { event, change, to } = telling;
        let event = Event {
            time: change.time,
            kind: EventKind::Rollout(Box::new(event)),
        };
        if let Some(to) = to
            && let Ok(body) = serde_json::to_vec(&event)
        {
            let notification = Notification::new(to, body, change.change.replace('_', " "));
            let means = Means::new(&self.caller, &self.shared);
            self.rollouts.notifier.send(lead, notification, means);
        }
        self.shared.events.publish_event(event);
    }

    /// The destination of a rollout's events.
    fn notified_by(&self, lead: &str) -> Option<Destination> {
        if let Some(active) = self.rollouts.active.get(lead) {
            return active.plan.notify.clone();
        }
        // One that has ended, or cannot be taken up again.
        let stored = self.state.dials.rollouts.get(lead)?;
        let generation = self.gateway.generation();
        let plan = generation.plan();
        if let Some(name) = stored.plan.as_deref() {
            let (_, named) = plan.rollouts().iter().find(|(known, _)| **known == *name)?;
            return named.notify.clone();
        }
        let position = generation.compiled().position(lead)?;
        let own = forward(plan, position)?.split_policies.rollout.as_ref()?;
        own.plan.notify.clone()
    }
}
