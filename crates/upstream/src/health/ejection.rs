//! Ejection of an endpoint by the outcomes of its requests, whichever worker they come from.

use std::time::Duration;

use tokio::time::Instant;
use waypost_plan::health::{EJECTION_MAX, Ejection};

/// Time for which an endpoint has to answer well after its return, until its next ejection counts as the first again.
pub const PROBATION: Duration = Duration::from_secs(1);

/// The ejections of an endpoint, and the failures that lead to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EjectionState {
    /// Failures in a row.
    row: u32,
    /// Ejections in a row.
    ejections: u32,
    /// End of the last ejection, until the first good answer behind it.
    until: Option<Instant>,
    /// The first good answer since the return, or since the last failure.
    good_since: Option<Instant>,
}

impl EjectionState {
    /// The state of an endpoint that was ejected so many times in a row, the last time until `until`.
    pub fn restored(ejections: u32, until: Instant) -> Self {
        Self {
            ejections,
            until: Some(until),
            ..Self::default()
        }
    }

    /// Returns true if the endpoint is ejected.
    pub fn is_ejected(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Ejections in a row.
    pub fn ejections(&self) -> u32 {
        self.ejections
    }

    /// Failures in a row.
    pub fn row(&self) -> u32 {
        self.row
    }

    /// Returns true if a good answer changes this state.
    pub fn awaits_success(&self) -> bool {
        *self != Self::default()
    }

    /// Records a failure of a kind that counts. `exceeds_rate` is true if too many requests have failed with it.
    /// `may_eject` is asked if the endpoint is to be ejected; it has a place among those that may be at a time.
    ///
    /// Returns the end of the ejection, if there is one now. What fails during an ejection was asked before it, or for want of
    /// another endpoint, and changes nothing.
    pub fn fail(
        &mut self,
        policy: &Ejection,
        now: Instant,
        exceeds_rate: bool,
        may_eject: impl FnOnce() -> bool,
    ) -> Option<Instant> {
        if self.is_ejected(now) {
            return None;
        }
        if self.has_proved(now) {
            self.ejections = 0;
        }
        self.good_since = None;
        self.row = self.row.saturating_add(1);
        let is_row = policy.failures.is_some_and(|failures| self.row >= failures);
        // Without a place, the next failure asks again.
        if !(is_row || exceeds_rate) || !may_eject() {
            return None;
        }
        self.row = 0;
        self.ejections = self.ejections.saturating_add(1);
        let until = now + policy.duration.saturating_mul(self.ejections).min(EJECTION_MAX);
        self.until = Some(until);
        Some(until)
    }

    /// Records a good answer. Returns true if it is the first since an ejection has ended.
    pub fn succeed(&mut self, now: Instant) -> bool {
        if self.is_ejected(now) {
            return false;
        }
        let has_recovered = self.until.take().is_some();
        self.row = 0;
        if self.ejections > 0 {
            self.good_since.get_or_insert(now);
        }
        if self.has_proved(now) {
            *self = Self::default();
        }
        has_recovered
    }

    /// Returns true if the endpoint has answered well for [`PROBATION`].
    fn has_proved(&self, now: Instant) -> bool {
        self.good_since.is_some_and(|since| now >= since + PROBATION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn policy(failures: u32, seconds: u32) -> Ejection {
        Ejection {
            failures: Some(failures),
            duration: SECOND * seconds,
            ..Ejection::default()
        }
    }

    #[test]
    fn failures_in_a_row_eject_for_longer_each_time() {
        let (policy, began) = (policy(2, 30), Instant::now());
        let mut state = EjectionState::default();
        let mut now = began;
        for times in 1..=12 {
            assert_eq!(state.fail(&policy, now, false, || true), None);
            let until = state.fail(&policy, now, false, || true).unwrap();
            assert_eq!(until - now, (SECOND * 30 * times).min(EJECTION_MAX), "{times}");
            assert!(state.is_ejected(until - Duration::from_millis(1)) && !state.is_ejected(until));
            now = until;
        }
    }

    #[test]
    fn good_answers_end_a_row() {
        let (policy, now) = (policy(2, 30), Instant::now());
        let mut state = EjectionState::default();
        for _ in 0..10 {
            assert_eq!(state.fail(&policy, now, false, || true), None);
            assert!(state.awaits_success());
            assert!(!state.succeed(now));
            assert!(!state.awaits_success());
        }
    }

    /// The duration of the second ejection, when answers since the return at 30 s come at these milliseconds after it, good
    /// ones and bad ones in turn.
    fn second(answers: &[u64]) -> Duration {
        let (policy, began) = (policy(2, 30), Instant::now());
        let mut state = EjectionState::default();
        state.fail(&policy, began, false, || true);
        let back = state.fail(&policy, began, false, || true).unwrap();
        let mut now = back;
        for (at, ms) in answers.iter().enumerate() {
            now = back + Duration::from_millis(*ms);
            if at % 2 == 0 {
                assert_eq!(state.succeed(now), at == 0, "the first one tells of the recovery");
            } else {
                assert_eq!(state.fail(&policy, now, false, || true), None);
            }
        }
        now += Duration::from_millis(1);
        let until = state.fail(&policy, now, false, || true);
        let until = until.or_else(|| state.fail(&policy, now, false, || true));
        until.unwrap() - now
    }

    #[test]
    fn second_ejection_is_the_first_again_after_a_second_of_good_answers() {
        assert_eq!(second(&[]), SECOND * 60);
        assert_eq!(second(&[0]), SECOND * 60);
        assert_eq!(second(&[0, 999]), SECOND * 60);
        assert_eq!(second(&[0, 1000]), SECOND * 30);
        assert_eq!(second(&[0, 600, 1200, 1800]), SECOND * 60);
        assert_eq!(second(&[5000, 5500]), SECOND * 60);
        assert_eq!(second(&[5000, 6000]), SECOND * 30);
    }

    #[test]
    fn endpoint_without_a_place_is_ejected_by_a_later_failure() {
        let (policy, now) = (policy(3, 30), Instant::now());
        let mut state = EjectionState::default();
        for _ in 0..10 {
            assert_eq!(state.fail(&policy, now, false, || false), None);
        }
        assert!(state.fail(&policy, now, false, || true).is_some());
    }

    #[test]
    fn share_of_failures_ejects_without_a_row() {
        let policy = Ejection {
            failures: None,
            ..policy(1, 30)
        };
        let now = Instant::now();
        let mut state = EjectionState::default();
        for _ in 0..100 {
            assert_eq!(state.fail(&policy, now, false, || true), None);
        }
        assert!(state.fail(&policy, now, true, || true).is_some());
    }

    /// An event of an endpoint.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Event {
        Good,
        Bad,
    }

    /// The verdict of a slow reader of the whole past: the time until which the endpoint is ejected, and how often it was in a
    /// row.
    fn reference(policy: &Ejection, past: &[(Duration, Event)]) -> (Option<Duration>, u32) {
        let (mut until, mut ejections): (Option<Duration>, u32) = (None, 0);
        // The events since the last return, or since the begin.
        let mut heard: Vec<(Duration, Event)> = Vec::new();
        for &(at, event) in past {
            if until.is_some_and(|until| at < until) {
                continue;
            }
            heard.push((at, event));
            let bad = heard
                .iter()
                .rev()
                .take_while(|(_, event)| *event == Event::Bad)
                .count();
            if bad < policy.failures.unwrap() as usize {
                continue;
            }
            // The first of them ended a stretch of good answers, as did each earlier failure.
            let stretches = heard.split(|(_, event)| *event == Event::Bad);
            let ends = heard.iter().filter(|(_, event)| *event == Event::Bad);
            let is_proved = stretches
                .zip(ends)
                .any(|(good, (end, _))| good.first().is_some_and(|(began, _)| *end >= *began + PROBATION));
            ejections = if is_proved { 1 } else { ejections + 1 };
            until = Some(at + (policy.duration * ejections).min(EJECTION_MAX));
            heard.clear();
        }
        (until, ejections)
    }

    proptest! {
        #[test]
        fn ejections_are_those_of_a_look_back(
            failures in 1u32..4,
            seconds in 1u32..4,
            events in prop::collection::vec((0u64..1500, prop::bool::weighted(0.6)), 1..80),
        ) {
            let policy = policy(failures, seconds);
            let began = Instant::now();
            let mut state = EjectionState::default();
            let (mut past, mut at, mut until) = (Vec::new(), Duration::ZERO, None);
            for (ms, is_bad) in events {
                at += Duration::from_millis(ms);
                let now = began + at;
                if is_bad {
                    until = state.fail(&policy, now, false, || true).or(until);
                    past.push((at, Event::Bad));
                } else {
                    state.succeed(now);
                    past.push((at, Event::Good));
                }
                let (expected, ejections) = reference(&policy, &past);
                prop_assert_eq!(until.map(|until| until - began), expected);
                prop_assert_eq!(state.is_ejected(now), expected.is_some_and(|expected| at < expected));
                if state.is_ejected(now) {
                    prop_assert_eq!(state.ejections(), ejections);
                }
            }
        }
    }
}
