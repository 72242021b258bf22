//! Whose time runs in an exchange, and what it means when that is up.

use std::time::Duration;

use tokio::time::Instant;

use crate::answer::Failure;
use crate::exchange::relay::Waits;
use crate::exchange::{BODY_RATE_GRACE, BODY_RATE_MIN, End, Exchange, Uploading, WRITE_STALL};

/// When to look again while nobody's time runs.
const FAR: Duration = Duration::from_secs(3600);

/// Whose time is up.
#[derive(Debug, Clone, Copy)]
pub(super) enum Overdue {
    /// The service has not begun to answer.
    Answer,
    /// The service pauses within its answer.
    AnswerBody,
    /// The client does not take the answer.
    ClientTakes,
    /// The service does not take the request.
    ServiceTakes,
    /// The client does not send the body, or too slowly.
    RequestBody,
    /// The route's timeout has passed.
    Route,
}

impl Exchange<'_> {
    /// When somebody's time is up, and whose.
    pub(super) fn deadline(&self) -> (Instant, Overdue) {
        let answering = self.reply.as_ref().filter(|_| self.state.answering);
        let answer = match answering.map(|reply| reply.download.waits_for) {
            None => {
                let begins = self.state.uploading != Uploading::Active;
                begins.then(|| {
                    (
                        self.state.download_since + self.patience.service.response,
                        Overdue::Answer,
                    )
                })
            }
            Some(Waits::Source) => {
                let since = if self.side.is_call {
                    self.state.moved
                } else {
                    self.state.download_since
                };
                Some((since + self.patience.service.idle, Overdue::AnswerBody))
            }
            Some(Waits::Sink) => Some((self.state.download_since + WRITE_STALL, Overdue::ClientTakes)),
        };
        let upload = (self.state.uploading == Uploading::Active).then(|| match self.upload.waits_for {
            Waits::Sink => (self.state.upload_since + WRITE_STALL, Overdue::ServiceTakes),
            // Who waits to be told to go on waits for the service, and so does everybody.
            Waits::Source if self.awaits_continue() => (
                self.state.upload_since + self.patience.service.response,
                Overdue::Answer,
            ),
            // Messages of a call come when there is something to say.
            Waits::Source if self.side.is_call => (
                self.state.moved + self.patience.service.idle,
                Overdue::RequestBody,
            ),
            Waits::Source => {
                let earned =
                    Duration::from_secs(self.upload.body_bytes() / BODY_RATE_MIN).max(BODY_RATE_GRACE);
                let patience = earned
                    .saturating_sub(self.state.client_waited)
                    .min(self.side.body_idle);
                (self.state.upload_since + patience, Overdue::RequestBody)
            }
        });
        let route = self.patience.route.map(|at| (at, Overdue::Route));
        [answer, upload, route]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
            .unwrap_or_else(|| (self.worker.clock().about_now() + FAR, Overdue::Route))
    }

    /// Whether the client holds its body back until the service says `100 Continue`.
    fn awaits_continue(&self) -> bool {
        self.side.expects && self.state.interims == 0 && self.upload.body_bytes() == 0
    }

    /// The end that it makes when that time is up.
    pub(super) fn out_of_time(&self) -> End {
        let (_, overdue) = self.deadline();
        let failure = match overdue {
            Overdue::Answer => Failure::ResponseTimeout,
            Overdue::RequestBody => Failure::BodyTimeout,
            Overdue::ServiceTakes => Failure::WriteTimeout,
            Overdue::Route => Failure::RouteTimeout,
            Overdue::AnswerBody => {
                return End::Cut {
                    by: "service",
                    reason: "connection_read_timeout",
                };
            }
            Overdue::ClientTakes => {
                return End::Cut {
                    by: "client",
                    reason: "write stall",
                };
            }
        };
        self.fail(failure, false)
    }
}
