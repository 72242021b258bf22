//! The phases of an exchange.

use std::time::Duration;

use tokio::time::Instant;
use waypost_wire::scan::HeadScan;

/// The progress of an exchange: two phases, one for each direction, and their clocks.
pub(super) struct State {
    /// The start of the exchange.
    pub(super) began: Instant,
    pub(super) request: RequestPhase,
    pub(super) response: ResponsePhase,
    /// The search for the end of the response's head.
    pub(super) scan: HeadScan,
    /// Interim responses that the client got, those of earlier attempts included.
    pub(super) interims: u32,
    /// True while the client is watched for leaving.
    pub(super) watches_client: bool,
    /// The last progress of the upload, or the time it was permitted to start.
    pub(super) upload_since: Instant,
    /// The last progress of the response, or the time at which the wait for it began.
    pub(super) download_since: Instant,
    /// The last progress in either direction.
    pub(super) moved: Instant,
    /// The total time spent waiting for the client.
    pub(super) client_waited: Duration,
}

/// The request's way to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestPhase {
    /// It is being sent.
    Sending,
    /// The request was sent completely.
    Sent,
    /// The service accepts no more of it, but may still respond.
    Broken,
}

/// The response's way to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponsePhase {
    /// No byte has come: a reused connection may be dead.
    Silent,
    /// Bytes have come, but no final head.
    Begun,
    /// The final head was read, and the response is being written.
    Relaying {
        /// True if the client's connection stays open after it.
        keep_alive: bool,
    },
    /// The head of an upgrade was read, and is about to be written.
    Upgraded,
}

impl State {
    /// A state that begins now. `interims` is how many interim responses the client got of earlier attempts.
    pub(super) fn new(now: Instant, interims: u32) -> Self {
        Self {
            began: now,
            request: RequestPhase::Sending,
            response: ResponsePhase::Silent,
            scan: HeadScan::default(),
            interims,
            watches_client: true,
            upload_since: now,
            download_since: now,
            moved: now,
            client_waited: Duration::ZERO,
        }
    }

    /// Returns true if bytes of a final response may have reached the client.
    pub(super) fn is_responding(&self) -> bool {
        matches!(
            self.response,
            ResponsePhase::Relaying { .. } | ResponsePhase::Upgraded
        )
    }
}
