//! The phases of an exchange.

use std::time::Duration;

use tokio::time::Instant;
use waypost_wire::scan::HeadScan;

/// The progress of an exchange: two phases, one for each direction, and their clocks.
pub(super) struct State {
    /// When the exchange began.
    pub(super) began: Instant,
    pub(super) request: RequestPhase,
    pub(super) response: ResponsePhase,
    /// The search for the end of the response's head.
    pub(super) scan: HeadScan,
    /// Interim responses that the client got, those of earlier attempts included.
    pub(super) interims: u32,
    /// True while the client is watched for leaving.
    pub(super) watches_client: bool,
    /// When the upload moved last, or was allowed to.
    pub(super) upload_since: Instant,
    /// When the response moved last, or began to be waited for.
    pub(super) download_since: Instant,
    /// When either direction moved last.
    pub(super) moved: Instant,
    /// How long the client was waited for in all.
    pub(super) client_waited: Duration,
}

/// The request's way to the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestPhase {
    /// It is being sent.
    Sending,
    /// All of it was sent.
    Sent,
    /// The service accepts no more of it, but may respond all the same.
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
        /// True if the client's connection stays open behind it.
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
