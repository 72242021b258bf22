//! Notifications: events of rollouts, sent to services of the config.
//!
//! Each route has a queue, which one task sends in order. Nothing waits for it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use waypost_admin::state::AppState;
use waypost_plan::rollout::Destination;

use crate::caller::{Caller, Post, service};
use crate::log;
use crate::output::count;

/// Maximum attempts for a notification.
pub(crate) const ATTEMPTS_MAX: u32 = 10;
/// The age after which a notification is not sent any more.
pub(crate) const AGE_MAX: Duration = Duration::from_secs(15 * 60);
/// The pause after the first attempt; it doubles after each further one.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Maximum notifications of a route that wait.
pub(crate) const WAITING_MAX: usize = 100;
/// The time that a gateway that stops gives to notifications under way.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Sends notifications.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    /// By route; a queue without a task is empty.
    queues: HashMap<String, Arc<Queue>>,
}

/// The notifications of a route.
#[derive(Debug)]
struct Queue {
    route: String,
    state: Mutex<QueueState>,
    /// Notified when its task ends.
    emptied: Notify,
}

#[derive(Debug)]
struct QueueState {
    waiting: VecDeque<Notification>,
    /// True as long as a task sends.
    is_running: bool,
}

/// A notification.
#[derive(Debug)]
pub(crate) struct Notification {
    to: Destination,
    /// The event as JSON.
    body: Vec<u8>,
    change: String,
    since: Instant,
}

/// The fate of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Delivered,
    Failed,
    Dropped,
}

/// The means of sending.
#[derive(Debug)]
pub(crate) struct Means {
    caller: Arc<Caller>,
    shared: Arc<AppState>,
}

impl Notification {
    pub(crate) fn new(to: Destination, body: Vec<u8>, change: String) -> Self {
        Self {
            to,
            body,
            change,
            since: Instant::now(),
        }
    }
}

impl Notifier {
    /// Adds a notification to the queue of its route.
    pub(crate) fn send(&mut self, route: &str, notification: Notification, means: Means) {
        self.queues.retain(|_, queue| queue.lock().is_running);
        let queue = self
            .queues
            .entry(route.to_owned())
            .or_insert_with(|| Arc::new(Queue::new(route)));
        match queue.put(notification) {
            Put::Waits => {}
            Put::Starts => drop(tokio::spawn(run(Arc::clone(queue), means))),
            Put::Full(to) => {
                means.note(Fate::Dropped);
                log::warn(format_args!(
                    "a notification of the rollout on the route `{route}` to `{to}` is dropped: {WAITING_MAX} wait already"
                ));
            }
        }
    }

    /// Gives the notifications under way a last moment.
    pub(crate) async fn finish(self) {
        let all = async {
            for queue in self.queues.values() {
                queue.wait_until_empty().await;
            }
        };
        if timeout(LAST_WAIT, all).await.is_err() {
            let queues = self.queues.values();
            let left: usize = queues.map(|queue| queue.lock().left()).sum();
            log::warn(format_args!(
                "{} of rollouts are not delivered",
                count(left, "notification")
            ));
        }
    }
}

/// The place of a new notification.
#[derive(Debug)]
enum Put {
    /// The task will come to it.
    Waits,
    /// A task is to be started.
    Starts,
    /// There is no place for it.
    Full(Destination),
}

impl Queue {
    fn new(route: &str) -> Self {
        Self {
            route: route.to_owned(),
            state: Mutex::new(QueueState {
                waiting: VecDeque::new(),
                is_running: false,
            }),
            emptied: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, notification: Notification) -> Put {
        let mut state = self.lock();
        if state.waiting.len() >= WAITING_MAX {
            return Put::Full(notification.to);
        }
        state.waiting.push_back(notification);
        match std::mem::replace(&mut state.is_running, true) {
            true => Put::Waits,
            false => Put::Starts,
        }
    }

    /// The next notification; the task that gets none is over.
    fn next(&self) -> Option<Notification> {
        let mut state = self.lock();
        let next = state.waiting.pop_front();
        state.is_running = next.is_some();
        next
    }

    async fn wait_until_empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if !self.lock().is_running {
                return;
            }
            emptied.await;
        }
    }
}

impl QueueState {
    /// The number of notifications that are not delivered.
    fn left(&self) -> usize {
        self.waiting.len() + usize::from(self.is_running)
    }
}

/// Sends the notifications of a queue, one behind the other, until it is empty.
async fn run(queue: Arc<Queue>, means: Means) {
    while let Some(notification) = queue.next() {
        let fate = means.deliver(&queue.route, &notification).await;
        means.note(fate);
    }
    queue.emptied.notify_one();
}

impl Means {
    pub(crate) fn new(caller: &Arc<Caller>, shared: &Arc<AppState>) -> Self {
        Self {
            caller: Arc::clone(caller),
            shared: Arc::clone(shared),
        }
    }

    fn note(&self, fate: Fate) {
        let fate = match fate {
            Fate::Delivered => "delivered",
            Fate::Failed => "failed",
            Fate::Dropped => "dropped",
        };
        self.shared
            .update_report(|report| *report.notifications.entry(fate).or_insert(0) += 1);
    }

    /// Sends a notification until it is answered with 2xx.
    async fn deliver(&self, route: &str, notification: &Notification) -> Fate {
        let Notification {
            to, change, since, ..
        } = notification;
        let mut failure = "the notifications before it took too long".to_owned();
        for attempt in 1..=ATTEMPTS_MAX {
            if since.elapsed() > AGE_MAX {
                break;
            }
            failure = match self.attempt(notification).await {
                Ok(()) => return Fate::Delivered,
                Err(failure) => failure,
            };
            if attempt == 1 {
                log::warn(format_args!(
                    "`{to}` {failure}; the notification `{change}` of the rollout on the route `{route}` is sent again"
                ));
            }
            if attempt < ATTEMPTS_MAX {
                sleep(pause(attempt)).await;
            }
        }
        log::warn(format_args!(
            "the notification `{change}` of the rollout on the route `{route}` is given up: `{to}` {failure}"
        ));
        Fate::Failed
    }

    async fn attempt(&self, notification: &Notification) -> Result<(), String> {
        let Ok(view) = self.shared.view() else {
            return Err("cannot be reached yet".to_owned());
        };
        let service = service(&view.generation(), &notification.to);
        let service = service.ok_or_else(|| "is no service of the config any more".to_owned())?;
        let post = Post {
            service,
            path: notification.to.path.clone(),
            body: notification.body.clone(),
        };
        let posted = self.caller.post(post).await;
        posted.map_err(|error| error.to_string())
    }
}

/// The pause after this attempt, from 1.
fn pause(attempt: u32) -> Duration {
    let doubled = PAUSE.saturating_mul(1_u32.checked_shl(attempt - 1).unwrap_or(u32::MAX));
    doubled.min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(change: &str) -> Notification {
        let to = Destination {
            service: "chat".into(),
            path: "/".into(),
        };
        Notification::new(to, Vec::new(), change.to_owned())
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let pauses: Vec<u64> = (1..ATTEMPTS_MAX)
            .map(|attempt| pause(attempt).as_secs())
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn queue_keeps_the_order_and_is_bounded() {
        let queue = Queue::new("users");
        assert!(matches!(queue.put(notification("0")), Put::Starts));
        let next = || queue.next().map(|next| next.change);
        assert_eq!(next().as_deref(), Some("0"));
        for number in 1..=WAITING_MAX {
            assert!(matches!(queue.put(notification(&number.to_string())), Put::Waits));
        }
        assert!(matches!(queue.put(notification("more")), Put::Full(_)));
        for number in 1..=WAITING_MAX {
            assert_eq!(next(), Some(number.to_string()));
        }
        assert_eq!(next(), None, "the task is over");
        assert!(matches!(queue.put(notification("later")), Put::Starts));
    }
}
