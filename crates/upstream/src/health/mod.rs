//! The health of an endpoint: one value for all workers, made of checks, ejections and drains.
//!
//! An endpoint is available unless it failed its [checks](check), is [ejected](ejection), or is drained. Without a policy
//! of its own, a service ejects an endpoint for [`EJECTION`] after a failed connection attempt. It then counts as down
//! until an attempt succeeds: a response on a connection from before does not show that the endpoint accepts new ones.
//!
//! A worker waits for no other here: where two of them report at once, one applies what both have seen.

pub mod check;
pub mod ejection;
pub mod rate;
pub mod snapshot;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use waypost_plan::health::{Ejection, FailureKind, FailureKinds};
use waypost_wire::grpc::GrpcCode;

use crate::health::check::{CheckState, Thresholds};
use crate::health::ejection::EjectionState;
use crate::health::rate::RateWindow;

/// Duration of an ejection of a service without a policy of its own.
pub const EJECTION: Duration = Duration::from_secs(10);

/// The outcome of an exchange with an endpoint, or of an attempt to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The connection attempt failed.
    ConnectFailed,
    /// The endpoint sent a complete response with this status.
    Response(u16),
    /// The endpoint sent a complete response to a gRPC call.
    Call {
        /// The HTTP status.
        status: u16,
        /// The code of the call.
        code: GrpcCode,
    },
    /// The connection broke, or the response was malformed.
    Reset,
    /// The endpoint missed a deadline.
    Timeout,
    /// The exchange ended for a reason unrelated to the endpoint, such as a client disconnect.
    Abandoned,
}

/// The meaning of an outcome for ejections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    /// A failure of a kind that counts.
    Failed(FailureKind),
    /// An answer.
    Answered,
    /// Nothing: it was not the endpoint, or its failure does not count.
    Neutral,
}

/// A change of an endpoint's health by the outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthChange {
    /// The endpoint is ejected now.
    Ejected {
        /// The cause.
        cause: EjectionCause,
        /// The duration.
        duration: Duration,
    },
    /// The endpoint was ejected, and answers again.
    Recovered,
}

/// The cause of an ejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EjectionCause {
    /// The kind of the last failure.
    pub kind: FailureKind,
    /// Failures in a row; 0 if the share of failures was too large.
    pub row: u32,
}

/// The state of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointState {
    /// It takes requests.
    Up,
    /// It was not checked yet.
    Unknown,
    /// It failed its checks.
    Down,
    /// It is ejected.
    Ejected,
    /// It takes no requests because an operator said so.
    Drained,
}

/// The state of an endpoint, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The state.
    pub state: EndpointState,
    /// The reason, as the end of a sentence; empty for an endpoint that is up.
    pub reason: String,
    /// The time of its beginning.
    pub since: Instant,
    /// The time of its end, if that is known.
    pub until: Option<Instant>,
}

/// The health of an endpoint, shared by all workers.
#[derive(Debug)]
pub struct Health {
    began: Instant,
    /// The end of the ejection, in milliseconds since `began`; 0 if the endpoint has answered since, or never was ejected.
    ejected_until_ms: AtomicU64,
    /// The verdict of checks: one of the constants below.
    verdict: AtomicU8,
    drained: AtomicBool,
    /// True while an answer changes `ejection`.
    awaits_success: AtomicBool,
    /// Failures that are to be recorded in `ejection` by the worker that holds it.
    waiting: AtomicU32,
    ejection: Mutex<EjectionState>,
    rate: RateWindow,
    /// The number of ejections so far.
    ejections: AtomicU64,
    /// The begin of the last ejection, in milliseconds since `began`, and its cause, packed.
    ejected_at_ms: AtomicU64,
    cause: AtomicU64,
    /// The time at which it was drained, in milliseconds since `began`.
    drained_at_ms: AtomicU64,
    /// The time since which it is available, or will be, in milliseconds since `began`; 0 for the beginning.
    available_since_ms: AtomicU64,
    /// True if it joined a service that had other endpoints.
    is_new: AtomicBool,
    checks: Mutex<Checks>,
}

/// No check has ended, and the endpoint counts as healthy until then.
const UNCHECKED: u8 = 0;
/// No check has ended, and the endpoint counts as down until then.
const AWAITED: u8 = 1;
const PASSED: u8 = 2;
const FAILED: u8 = 3;

/// The checks of an endpoint so far.
#[derive(Debug)]
struct Checks {
    state: CheckState,
    since: Instant,
    /// The failure that the verdict is about.
    failure: String,
}

impl Default for Health {
    fn default() -> Self {
        let began = Instant::now();
        Self {
            began,
            ejected_until_ms: AtomicU64::new(0),
            verdict: AtomicU8::new(UNCHECKED),
            drained: AtomicBool::new(false),
            awaits_success: AtomicBool::new(false),
            waiting: AtomicU32::new(0),
            ejection: Mutex::default(),
            rate: RateWindow::default(),
            ejections: AtomicU64::new(0),
            ejected_at_ms: AtomicU64::new(0),
            cause: AtomicU64::new(0),
            drained_at_ms: AtomicU64::new(0),
            available_since_ms: AtomicU64::new(0),
            is_new: AtomicBool::new(false),
            checks: Mutex::new(Checks {
                state: CheckState::default(),
                since: began,
                failure: String::new(),
            }),
        }
    }
}

impl Outcome {
    /// Returns true if the endpoint failed, whether or not that counts for ejections.
    pub fn is_failure(self) -> bool {
        FailureKind::ALL.into_iter().any(|kind| self.is(kind))
    }

    /// Returns true if this is a failure of the kind.
    fn is(self, kind: FailureKind) -> bool {
        match (self, kind) {
            (Self::ConnectFailed, FailureKind::Connect)
            | (Self::Reset, FailureKind::Reset)
            | (Self::Timeout, FailureKind::Timeout) => true,
            (Self::Response(status) | Self::Call { status, .. }, FailureKind::ServerError) => status >= 500,
            (Self::Call { code, .. }, FailureKind::Grpc) => blames_endpoint(code),
            _ => false,
        }
    }

    /// The meaning for ejections by failures of these kinds.
    fn judge(self, of: FailureKinds) -> Judgement {
        let mut kinds = FailureKind::ALL.into_iter();
        if let Some(kind) = kinds.find(|kind| of.contains(*kind) && self.is(*kind)) {
            return Judgement::Failed(kind);
        }
        match self {
            Self::Response(_) | Self::Call { .. } => Judgement::Answered,
            Self::ConnectFailed | Self::Reset | Self::Timeout | Self::Abandoned => Judgement::Neutral,
        }
    }
}

/// Returns true if a call with this code failed at the endpoint.
fn blames_endpoint(code: GrpcCode) -> bool {
    matches!(
        code,
        GrpcCode::UNAVAILABLE
            | GrpcCode::INTERNAL
            | GrpcCode::UNKNOWN
            | GrpcCode::DEADLINE_EXCEEDED
            | GrpcCode::DATA_LOSS
    )
}

impl EjectionCause {
    fn pack(self) -> u64 {
        u64::from(self.row) << 8 | self.kind as u64
    }

    fn unpack(bits: u64) -> Self {
        let kinds = FailureKind::ALL.into_iter();
        let kind = { kinds }.find(|kind| *kind as u64 == bits & 0xff);
        Self {
            kind: kind.unwrap_or(FailureKind::Connect),
            row: u32::try_from(bits >> 8).unwrap_or(u32::MAX),
        }
    }
}

impl std::fmt::Display for EjectionCause {
    /// As a reason: `5 failures in a row, the last: timeout`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let last = match self.kind {
            FailureKind::Connect => "connection failed",
            FailureKind::Reset => "connection reset",
            FailureKind::Timeout => "timeout",
            FailureKind::ServerError => "status 5xx",
            FailureKind::Grpc => "gRPC error",
        };
        match self.row {
            0 => write!(f, "too many failures, the last: {last}"),
            1 => f.write_str(last),
            row => write!(f, "{row} failures in a row, the last: {last}"),
        }
    }
}

impl EndpointState {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Unknown => "unknown",
            Self::Down => "down",
            Self::Ejected => "ejected",
            Self::Drained => "drained",
        }
    }
}

impl Health {
    /// Records an outcome for a service without a policy of its own; `now` is called only if the outcome needs the time.
    /// Returns the change of health, to only one of several workers that report it concurrently.
    pub fn report(&self, outcome: Outcome, now: impl FnOnce() -> Instant) -> Option<HealthChange> {
        if outcome != Outcome::ConnectFailed {
            return None;
        }
        let cause = EjectionCause {
            kind: FailureKind::Connect,
            row: 1,
        };
        let now = now();
        let was = self.eject(now + EJECTION, cause);
        (was == 0).then(|| {
            self.ejected_at_ms.store(self.ms(now), Ordering::Relaxed);
            self.ejections.fetch_add(1, Ordering::Relaxed);
            HealthChange::Ejected {
                cause,
                duration: EJECTION,
            }
        })
    }

    /// Records a successful connection attempt to an endpoint of a service without a policy of its own. Returns the change
    /// of health, as [`Health::report`] does.
    pub fn report_connected(&self) -> Option<HealthChange> {
        // The endpoint is nearly always up. A load does not contend with other workers.
        if !self.is_down() {
            return None;
        }
        let was = self.ejected_until_ms.swap(0, Ordering::Relaxed);
        self.available_since_ms
            .store(self.ms(Instant::now()), Ordering::Relaxed);
        (was != 0).then_some(HealthChange::Recovered)
    }

    /// Records an outcome for a service with a policy; `now` is called only if the outcome needs the time. `place` takes a
    /// place among the endpoints that may be ejected at a time, and holds it until the ejection can be seen.
    ///
    /// Returns the change of health, to only one of several workers that report it concurrently.
    pub(crate) fn report_to<P>(
        &self,
        policy: &Ejection,
        outcome: Outcome,
        now: impl FnOnce() -> Instant,
        place: impl Fn(Instant) -> Option<P>,
    ) -> Option<HealthChange> {
        match outcome.judge(policy.of) {
            Judgement::Neutral => None,
            Judgement::Answered => self.succeed(policy, now),
            Judgement::Failed(kind) => self.fail(policy, kind, now(), place),
        }
    }

    fn succeed(&self, policy: &Ejection, now: impl FnOnce() -> Instant) -> Option<HealthChange> {
        // There is nearly never anything to change. A load does not contend with other workers.
        let awaits_success = self.awaits_success.load(Ordering::Relaxed);
        if !awaits_success && policy.rate.is_none() {
            return None;
        }
        let now = now();
        if self.is_ejected(now) {
            return None;
        }
        if let Some(rate) = &policy.rate {
            self.rate.count(rate, self.age(now), false);
        }
        if !awaits_success {
            return None;
        }
        // Beside a failure that is being recorded, either may be the last.
        let mut state = self.ejection.try_lock().ok()?;
        let has_recovered = state.succeed(now);
        if has_recovered {
            self.ejected_until_ms.store(0, Ordering::Relaxed);
        }
        self.awaits_success
            .store(state.awaits_success(), Ordering::Relaxed);
        has_recovered.then_some(HealthChange::Recovered)
    }

    fn fail<P>(
        &self,
        policy: &Ejection,
        kind: FailureKind,
        now: Instant,
        place: impl Fn(Instant) -> Option<P>,
    ) -> Option<HealthChange> {
        if self.is_ejected(now) {
            return None;
        }
        if let Some(rate) = &policy.rate {
            self.rate.count(rate, self.age(now), true);
        }
        let mut change = None;
        self.waiting.fetch_add(1, Ordering::SeqCst);
        while self.waiting.load(Ordering::SeqCst) > 0 {
            // The worker that holds it looks again when it has let go.
            let Ok(mut state) = self.ejection.try_lock() else {
                break;
            };
            for _ in 0..self.waiting.swap(0, Ordering::SeqCst) {
                let failed = self.fail_once(&mut state, policy, kind, now, &place);
                change = change.or(failed);
            }
            self.awaits_success
                .store(state.awaits_success(), Ordering::Relaxed);
        }
        change
    }

    fn fail_once<P>(
        &self,
        state: &mut EjectionState,
        policy: &Ejection,
        kind: FailureKind,
        now: Instant,
        place: impl Fn(Instant) -> Option<P>,
    ) -> Option<HealthChange> {
        let rate = policy.rate.as_ref();
        let exceeds_rate = rate.is_some_and(|rate| self.rate.exceeds(rate, self.age(now)));
        let row = state.row() + 1;
        let mut held = None;
        let until = state.fail(policy, now, exceeds_rate, || {
            held = place(now);
            held.is_some()
        })?;
        let is_row = policy.failures.is_some_and(|failures| row >= failures);
        let cause = EjectionCause {
            kind,
            row: if is_row { row } else { 0 },
        };
        self.ejected_at_ms.store(self.ms(now), Ordering::Relaxed);
        self.eject(until, cause);
        self.ejections.fetch_add(1, Ordering::Relaxed);
        self.rate.clear();
        drop(held);
        Some(HealthChange::Ejected {
            cause,
            duration: until - now,
        })
    }

    /// Publishes an ejection. Returns the end of the one before.
    fn eject(&self, until: Instant, cause: EjectionCause) -> u64 {
        self.cause.store(cause.pack(), Ordering::Relaxed);
        let until = self.ms(until);
        self.available_since_ms.store(until, Ordering::Relaxed);
        self.ejected_until_ms.swap(until, Ordering::Relaxed)
    }

    /// Counts the endpoint as down until its first check, if there was none.
    pub fn await_check(&self) {
        let _ = self
            .verdict
            .compare_exchange(UNCHECKED, AWAITED, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Records the result of a check: a failure has its reason. Returns whether the endpoint passes its checks now, if that
    /// has changed; an endpoint that counts as healthy until its first check passes it without a change.
    pub fn record_check(
        &self,
        result: Result<(), String>,
        thresholds: Thresholds,
        now: Instant,
    ) -> Option<bool> {
        let mut checks = self.checks();
        let passed = result.is_ok();
        let is_news = checks.state.record(passed, thresholds);
        let is_down = checks.state.verdict() == Some(false);
        match result {
            // Of one that stays down, the last failure is the one to be mended.
            Err(failure) if is_down => checks.failure = failure,
            _ if is_news => checks.failure.clear(),
            _ => {}
        }
        if !is_news {
            return None;
        }
        checks.since = now;
        let was = self
            .verdict
            .swap(if passed { PASSED } else { FAILED }, Ordering::Relaxed);
        let is_slow = was == FAILED || self.is_new.load(Ordering::Relaxed);
        if passed && was != UNCHECKED && is_slow {
            self.available_since_ms.fetch_max(self.ms(now), Ordering::Relaxed);
        }
        (!passed || was != UNCHECKED).then_some(passed)
    }

    /// Returns true if the endpoint fails its checks.
    pub fn fails_checks(&self) -> bool {
        self.verdict.load(Ordering::Relaxed) == FAILED
    }

    /// Returns true if no check of the endpoint has ended.
    pub fn is_unchecked(&self) -> bool {
        matches!(self.verdict.load(Ordering::Relaxed), UNCHECKED | AWAITED)
    }

    /// Drains the endpoint, or takes it back. Returns true if that is a change.
    pub fn set_drained(&self, drained: bool, now: Instant) -> bool {
        if self.drained.swap(drained, Ordering::Relaxed) == drained {
            return false;
        }
        if drained {
            self.drained_at_ms.store(self.ms(now), Ordering::Relaxed);
        } else {
            self.available_since_ms.fetch_max(self.ms(now), Ordering::Relaxed);
        }
        true
    }

    /// Notes that the endpoint has joined a service that had others: it is available since now.
    pub fn set_new(&self, now: Instant) {
        self.is_new.store(true, Ordering::Relaxed);
        self.available_since_ms.fetch_max(self.ms(now), Ordering::Relaxed);
    }

    /// Returns true if an operator has drained the endpoint.
    pub fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    /// Returns true if the endpoint is ejected: skipped while another one is available.
    pub fn is_ejected(&self, now: Instant) -> bool {
        let until = self.ejected_until_ms.load(Ordering::Relaxed);
        until != 0 && now < self.began + Duration::from_millis(until)
    }

    /// Returns true if the endpoint takes requests: it neither failed its checks nor is ejected nor drained.
    pub fn is_available(&self, now: Instant) -> bool {
        !self.is_drained()
            && !matches!(self.verdict.load(Ordering::Relaxed), AWAITED | FAILED)
            && !self.is_ejected(now)
    }

    /// The next time at which availability changes by itself, as when an ejection ends.
    pub fn changes_at(&self, now: Instant) -> Option<Instant> {
        let until = self.ejected_until_ms.load(Ordering::Relaxed);
        let end = self.began + Duration::from_millis(until);
        (until != 0 && now < end).then_some(end)
    }

    /// The time since which the endpoint is available without a break, or will be by itself. `None` if it is since the
    /// service began.
    pub fn available_since(&self) -> Option<Instant> {
        match self.available_since_ms.load(Ordering::Relaxed) {
            0 => None,
            ms => Some(self.began + Duration::from_millis(ms)),
        }
    }

    /// Returns true if the endpoint has not answered since its last ejection: to a connection attempt, if the service has no
    /// policy of its own.
    pub fn is_down(&self) -> bool {
        self.ejected_until_ms.load(Ordering::Relaxed) != 0
    }

    /// The number of ejections so far.
    pub fn ejections(&self) -> u64 {
        self.ejections.load(Ordering::Relaxed)
    }

    /// The state, with its reason. `stays_ejected` is true if an endpoint counts as ejected until it has answered.
    pub fn status(&self, now: Instant, stays_ejected: bool) -> Status {
        let at = |ms: &AtomicU64| self.began + Duration::from_millis(ms.load(Ordering::Relaxed));
        let verdict = self.verdict.load(Ordering::Relaxed);
        let (state, reason, since, until) = if self.is_drained() {
            (
                EndpointState::Drained,
                "by hand".to_owned(),
                at(&self.drained_at_ms),
                None,
            )
        } else if verdict == FAILED {
            let checks = self.checks();
            let reason = format!("check failed: {}", checks.failure);
            (EndpointState::Down, reason, checks.since, None)
        } else if self.is_ejected(now) || (stays_ejected && self.is_down()) {
            let cause = EjectionCause::unpack(self.cause.load(Ordering::Relaxed));
            let until = self.changes_at(now);
            (
                EndpointState::Ejected,
                cause.to_string(),
                at(&self.ejected_at_ms),
                until,
            )
        } else if verdict == AWAITED {
            let reason = "not checked yet".to_owned();
            (EndpointState::Unknown, reason, self.began, None)
        } else {
            let since = self.available_since().filter(|since| *since <= now);
            (
                EndpointState::Up,
                String::new(),
                since.unwrap_or(self.began),
                None,
            )
        };
        Status {
            state,
            reason,
            since,
            until,
        }
    }

    fn checks(&self) -> MutexGuard<'_, Checks> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// A time in milliseconds since `began`, rounded up.
    fn ms(&self, at: Instant) -> u64 {
        let ms = self.age(at).as_nanos().div_ceil(1_000_000);
        u64::try_from(ms).unwrap_or(u64::MAX).max(1)
    }
}

#[cfg(test)]
mod tests;
