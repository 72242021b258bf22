//! The deadlines of an exchange.

use std::time::Duration;

use tokio::time::Instant;
use waypost_policy::failure::{Cause, Failure};
use waypost_transport::relay::BlockedOn;

use crate::exchange::state::{RequestPhase, ResponsePhase};
use crate::exchange::{BODY_RATE_GRACE, End, Exchange, SLOW_AFTER, WRITE_TIMEOUT};

/// Timer interval while no deadline is set.
const FAR: Duration = Duration::from_secs(3600);

/// A deadline that passed.
#[derive(Debug, Clone, Copy)]
enum Overdue {
    /// The service did not begin to respond.
    Response,
    /// The service paused within its response.
    ResponseBody,
    /// The client accepts nothing of the response.
    ClientWrite,
    /// The service accepts nothing of the request.
    ServiceWrite,
    /// The client does not send the body, or sends it more slowly than the listener demands.
    RequestBody,
    /// The route's timeout.
    Route,
}

impl Exchange<'_> {
    /// The earliest deadline.
    pub(super) fn deadline(&self) -> Instant {
        self.first_deadline().0
    }

    /// The end of an exchange whose deadline passed.
    pub(super) fn overdue(&self) -> End {
        let failure = match self.first_deadline().1 {
            Overdue::Response => Failure::ResponseTimeout,
            Overdue::RequestBody => Failure::BodyTimeout,
            Overdue::ServiceWrite => Failure::WriteTimeout,
            Overdue::Route => Failure::RouteTimeout,
            Overdue::ResponseBody => return End::Cut(Cause::ResponseStalled),
            Overdue::ClientWrite => return End::Cut(Cause::ClientStalled),
        };
        self.fail(failure)
    }

    fn first_deadline(&self) -> (Instant, Overdue) {
        let route = self.deadlines.route.map(|at| (at, Overdue::Route));
        let attempt = self.attempt_deadline().map(|at| (at, Overdue::Response));
        [self.response_deadline(), self.request_deadline(), attempt, route]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
            .unwrap_or_else(|| (self.worker.clock().coarse_now() + FAR, Overdue::Route))
    }

    fn response_deadline(&self) -> Option<(Instant, Overdue)> {
        let since = self.state.download_since;
        let relaying = matches!(self.state.response, ResponsePhase::Relaying { .. });
        let response = self.response.as_ref().filter(|_| relaying);
        match response.map(|response| response.download.blocked_on) {
            None if self.state.request == RequestPhase::Sending => None,
            None => Some((since + self.deadlines.service.response, Overdue::Response)),
            Some(BlockedOn::Source) => {
                let since = if self.options.is_grpc {
                    self.state.moved
                } else {
                    since
                };
                Some((since + self.deadlines.service.idle, Overdue::ResponseBody))
            }
            Some(BlockedOn::Sink) => Some((since + WRITE_TIMEOUT, Overdue::ClientWrite)),
        }
    }

    /// The end of the attempt, while neither the client is waited for nor the response has begun.
    fn attempt_deadline(&self) -> Option<Instant> {
        let at = self.deadlines.attempt?;
        let is_awaited = !self.state.is_responding() && !self.awaits_body();
        is_awaited.then(|| at + self.state.client_waited)
    }

    fn request_deadline(&self) -> Option<(Instant, Overdue)> {
        if self.state.request != RequestPhase::Sending {
            return None;
        }
        let since = self.state.upload_since;
        Some(match self.upload.blocked_on {
            BlockedOn::Sink => (since + WRITE_TIMEOUT, Overdue::ServiceWrite),
            // A client that waits for `100 Continue` waits for the service.
            BlockedOn::Source if self.awaits_continue() => {
                (since + self.deadlines.service.response, Overdue::Response)
            }
            // A gRPC stream may pause for as long as either side has no message to send.
            BlockedOn::Source if self.options.is_grpc => (
                self.state.moved + self.deadlines.service.idle,
                Overdue::RequestBody,
            ),
            // A client that is being answered may wait for the answer before it sends more.
            BlockedOn::Source if self.state.is_responding() => {
                (self.state.moved + self.options.body_idle, Overdue::RequestBody)
            }
            BlockedOn::Source => {
                let idle = self.options.body_idle;
                let timeout = self.paced().map_or(idle, |paced| paced.min(idle));
                (since + timeout, Overdue::RequestBody)
            }
        })
    }

    /// Time left for the next bytes of the body by the listener's `body_rate`, if there is one.
    fn paced(&self) -> Option<Duration> {
        let seconds = self.upload.body_bytes() / self.options.body_rate?;
        let earned = Duration::from_secs(seconds).max(BODY_RATE_GRACE);
        Some(earned.saturating_sub(self.state.client_waited))
    }

    /// The time at which an upload counts as slow, if it does not already.
    pub(super) fn slow_at(&self) -> Option<Instant> {
        let left = SLOW_AFTER.saturating_sub(self.state.client_waited);
        (self.place.is_none() && self.awaits_body()).then(|| self.state.upload_since + left)
    }

    /// The time at which the request counts as failed, unless its response begins before or the client is waited for.
    pub(super) fn late_at(&self) -> Option<Instant> {
        let late = self.deadlines.late?;
        let is_awaited = !self.state.is_responding() && !self.awaits_body();
        is_awaited.then(|| late + self.state.client_waited)
    }

    /// The time of the hedge, while the response has not begun and the whole request is held.
    pub(super) fn hedge_at(&self) -> Option<Instant> {
        let at = self.deadlines.hedge?;
        let is_late = !self.state.is_responding() && self.upload.can_restart();
        is_late.then(|| at + self.state.client_waited)
    }

    /// Returns true if the client is waited for, and gets no response meanwhile.
    pub(super) fn awaits_body(&self) -> bool {
        self.state.request == RequestPhase::Sending
            && self.upload.blocked_on == BlockedOn::Source
            && !self.state.is_responding()
            && !self.awaits_continue()
    }

    /// Returns true if the client holds its body back until the service sends `100 Continue`.
    pub(super) fn awaits_continue(&self) -> bool {
        self.options.expects_continue && self.state.interims == 0 && self.upload.body_bytes() == 0
    }
}
