//! Waiting until it is known who sends a request.
//!
//! A decision waits for what cannot be found out at once. The outcome is left in the buffers, and the decision is made
//! again: what is decided is decided in one place.

use std::future::{self, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use waypost_plan::auth::Way;
use waypost_policy::auth::Waited;
use waypost_policy::decision::Decision;

use crate::local::snapshot::Snapshot;
use crate::request::watch::Watch;
use crate::request::{ActiveRequest, Next};

/// The time that a request waits at most, unless its way says otherwise.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(2);

/// The time that a request waits for the verification of its password: the queue may be long, and hashes costly.
pub(crate) const PASSWORD_WAIT_MAX: Duration = Duration::from_secs(30);

impl ActiveRequest<'_> {
    /// Finds out what a decision waits for, and decides again.
    ///
    /// # Errors
    /// The request has ended meanwhile.
    pub(super) async fn decide_later<'p>(
        &mut self,
        way: &Way,
        decision: &Decision<'_>,
        snapshot: &'p Snapshot,
    ) -> Result<Decision<'p>, Next> {
        let waited = match way {
            // The file is there when a config is in force.
            Way::Key(_) => self.wait_for(future::ready(Waited::Over), WAIT_MAX).await?,
            Way::Jwt(jwt) => match snapshot.generation.ask_for_keys(&jwt.keys) {
                Some(answer) => {
                    let answer = async {
                        // Without an answer there is no key set either.
                        let _ = answer.await;
                        Waited::Over
                    };
                    self.wait_for(answer, WAIT_MAX).await?
                }
                None => None,
            },
            Way::Basic(basic) => {
                let verified = self.verify_password(basic, snapshot);
                self.wait_for(verified, PASSWORD_WAIT_MAX).await?
            }
            Way::Ask(ask) => Some(self.ask(ask, decision, snapshot).await?),
        };
        self.buffers.decision.waited = Some(waited.unwrap_or(Waited::Over));
        let decision = self.decide(snapshot);
        self.buffers.decision.waited = None;
        Ok(decision)
    }

    /// Waits for `outcome`, at most so long; `None` if it did not come in time.
    ///
    /// # Errors
    /// The client has left.
    pub(super) async fn wait_for<T>(
        &mut self,
        outcome: impl Future<Output = T>,
        at_most: Duration,
    ) -> Result<Option<T>, Next> {
        let mut watch = Watch::of(self.listener, &self.buffers.head, self.head_bytes);
        let client = &mut *self.client;
        let from_client = &mut self.buffers.from_client;
        let mut outcome = pin!(outcome);
        client.timer.set(Instant::now() + at_most);
        let ended = poll_fn(|cx| {
            if let Poll::Ready(outcome) = outcome.as_mut().poll(cx) {
                return Poll::Ready(Ok(Some(outcome)));
            }
            if client.timer.poll(cx).is_ready() {
                return Poll::Ready(Ok(None));
            }
            let left = watch.poll_left(cx, &mut client.link, from_client);
            left.map(Err)
        });
        match ended.await {
            Ok(outcome) => Ok(outcome),
            Err(cause) => Err(self.leave(cause)),
        }
    }
}
