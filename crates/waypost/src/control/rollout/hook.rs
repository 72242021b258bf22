//! Hooks: services that are asked before a step.
//!
//! The control asks and goes on; the answer wakes it. An answer counts for the step that it was asked for, and only while the
//! rollout is ready for that: everything else is asked anew.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::{Instant, timeout, timeout_at};
use waypost_admin::command::{Command, ReplySender};
use waypost_admin::events::{Event, EventKind};
use waypost_admin::problem::Problem;
use waypost_admin::rollout::{RolloutEvent, RolloutView};
use waypost_plan::rollout::Destination;
use waypost_rollout::ramp::Standing;

use crate::caller::{Post, PostError, service};
use crate::control::Control;
use crate::control::rollout::{Active, JUDGE};
use crate::log;
use crate::state::rollouts::StoredChange;

/// The interval, in ticks, between questions about one step.
const ASK_TICKS: u64 = 10;
/// The wait of a start for the answer about the first step.
const START_PATIENCE: Duration = Duration::from_secs(2);

/// The answer of a rollout's hook about the next step.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// The step that the rest is about, by position.
    step: usize,
    question: Question,
    /// The last refusal.
    refusal: Option<String>,
    /// True if it is another one than the time before.
    is_news: bool,
    /// Ticks until it may be asked again.
    pause: u64,
}

/// The question to a hook.
#[derive(Debug, Default)]
enum Question {
    #[default]
    Unasked,
    /// Dropping it gives the question up, and wakes who waits for the answer.
    Pending {
        answer: oneshot::Receiver<Result<(), PostError>>,
        waiting: Vec<oneshot::Sender<()>>,
    },
    Allowed,
}

impl Gate {
    /// Counts a second. A rollout that is not ready has no use for an answer.
    pub(super) fn tick(&mut self, standing: &Standing) {
        self.pause = self.pause.saturating_sub(1);
        if *standing != Standing::Ready {
            self.question = Question::Unasked;
        }
    }

    /// Turns to the step at this position. Returns true if the hook allows it.
    fn opens_for(&mut self, step: usize) -> bool {
        if self.step != step {
            *self = Self {
                step,
                ..Self::default()
            };
        }
        matches!(self.question, Question::Allowed)
    }

    /// Returns true if the hook is to be asked now.
    fn is_due(&self) -> bool {
        self.pause == 0 && matches!(self.question, Question::Unasked)
    }

    fn is_asking(&self) -> bool {
        matches!(self.question, Question::Pending { .. })
    }

    /// Takes the answer, if there is one. Returns true then.
    fn take_answer(&mut self) -> bool {
        let Question::Pending { answer, .. } = &mut self.question else {
            return false;
        };
        let refusal = match answer.try_recv() {
            Err(TryRecvError::Empty) => return false,
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(TryRecvError::Closed) => Some("was not asked".to_owned()),
        };
        self.question = match refusal {
            None => Question::Allowed,
            Some(_) => Question::Unasked,
        };
        self.is_news = refusal.is_some() && refusal != self.refusal;
        self.refusal = refusal;
        true
    }
}

impl Active {
    /// The reason that a rollout that is ready holds all the same.
    pub(super) fn hook_lack(&self) -> Option<String> {
        let hook = self.plan.before_step.as_ref()?;
        match (&self.gate.question, &self.gate.refusal) {
            (Question::Allowed, _) => None,
            (_, Some(refusal)) => Some(format!("the hook `{hook}` {refusal}")),
            (_, None) => Some(format!("the hook `{hook}` is asked for the next step")),
        }
    }
}

impl Control {
    /// Returns true if a rollout is ready for the next step but for its hook, which is asked if that is due.
    pub(super) fn waits_for_hook(&mut self, lead: &str) -> bool {
        let Some(active) = self.rollouts.active.get_mut(lead) else {
            return false;
        };
        let Some(hook) = active.plan.before_step.clone() else {
            return false;
        };
        let next = active.ramp.next_step();
        if active.standing != Standing::Ready || active.gate.opens_for(next) {
            return false;
        }
        if active.gate.is_due() {
            let answer = self.ask(lead, &hook);
            if let Some(active) = self.rollouts.active.get_mut(lead) {
                active.gate.pause = ASK_TICKS;
                match answer {
                    Ok(answer) => {
                        active.gate.question = Question::Pending {
                            answer,
                            waiting: Vec::new(),
                        }
                    }
                    Err(refusal) => active.gate.refusal = Some(refusal),
                }
            }
        }
        true
    }

    /// Asks a hook for the next step of a rollout. Returns the receiver of the answer.
    fn ask(
        &self,
        lead: &str,
        hook: &Destination,
    ) -> Result<oneshot::Receiver<Result<(), PostError>>, String> {
        let service = service(&self.gateway.generation(), hook);
        let service = service.ok_or_else(|| "is no service of the config any more".to_owned())?;
        let post = Post {
            service,
            path: hook.path.clone(),
            body: self.question(lead).unwrap_or_default(),
        };
        let (mut reply, answer) = oneshot::channel();
        let (caller, answered) = (Arc::clone(&self.caller), Arc::clone(&self.rollouts.answered));
        tokio::spawn(async move {
            let result = tokio::select! {
                result = caller.post(post) => result,
                () = reply.closed() => return,
            };
            let _ = reply.send(result);
            answered.notify_one();
        });
        Ok(answer)
    }

    /// The question about the next step, as JSON.
    fn question(&self, lead: &str) -> Option<Vec<u8>> {
        let view = self.view_of(lead)?;
        // A rollout that the config began may not begin at 0 %.
        let last = self.state.dials.rollouts.get(lead)?.changes.last();
        let from_percent = last.map_or(view.percent, StoredChange::in_percent);
        let to = self.rollouts.active.get(lead)?.ramp.next_percent()?;
        let event = Event {
            time: self.wall_time(),
            kind: EventKind::Rollout(Box::new(RolloutEvent {
                change: "before_step".to_owned(),
                step: view.step + 1,
                from_percent,
                to_percent: view.next_percent?,
                percent: to.to_string(),
                summary: self.summary(lead),
                by: JUDGE.to_owned(),
                ..RolloutEvent::of(view)
            })),
        };
        serde_json::to_vec(&event).ok()
    }

    /// Replies to the start of a rollout; if its hook is asked, with the answer, unless that takes long.
    pub(in crate::control) fn reply_to_start(
        &mut self,
        route: String,
        started: Result<RolloutView, Problem>,
        reply: ReplySender<RolloutView>,
    ) {
        let lead = self.rollouts.lead_of(&route).map(str::to_owned);
        let active = lead.and_then(|lead| self.rollouts.active.get_mut(&lead));
        let (Ok(_), Some(Question::Pending { waiting, .. })) =
            (&started, active.map(|active| &mut active.gate.question))
        else {
            drop(reply.send(started));
            return;
        };
        let (waits, answered) = oneshot::channel();
        waiting.push(waits);
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let _ = timeout(START_PATIENCE, answered).await;
            let now = shared.execute(|reply| Command::RolloutOf { route, reply }).await;
            let _ = reply.send(now.or(started));
        });
    }

    /// Returns once a hook has answered.
    pub(crate) async fn hook_answered(&self) {
        self.rollouts.answered.notified().await;
    }

    /// Takes the answers of hooks, and the steps that they allow.
    pub(crate) async fn take_answers(&mut self) {
        let active = self.rollouts.active.iter_mut();
        let answered = active.filter_map(|(lead, active)| active.gate.take_answer().then(|| lead.clone()));
        let answered: Vec<String> = answered.collect();
        for lead in &answered {
            if let Some(active) = self.rollouts.active.get_mut(lead) {
                if active.gate.is_news
                    && let Some(lack) = active.hook_lack()
                {
                    log::info(format_args!("the rollout on the route `{lead}` holds: {lack}"));
                }
                // Paused meanwhile, or with a plan that was changed.
                if active.standing != Standing::Ready {
                    active.gate.question = Question::Unasked;
                }
            }
        }
        if !answered.is_empty() {
            self.carry_on(answered).await;
            self.report_rollouts();
        }
    }

    /// Waits for the answers of the hooks that are asked, and takes them.
    pub(super) async fn wait_for_hooks(&mut self, deadline: Instant) {
        let answered = Arc::clone(&self.rollouts.answered);
        while self
            .rollouts
            .active
            .values()
            .any(|active| active.gate.is_asking())
            && timeout_at(deadline, answered.notified()).await.is_ok()
        {
            self.take_answers().await;
        }
    }
}
