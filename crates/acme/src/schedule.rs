//! The times of orders, in seconds since 1970. Chance comes in as rolls of at least 0 and less than 1.

use std::time::Duration;

use crate::account::Window;
use crate::certificate::Validity;

/// The shortest time between two orders for the same name, in seconds.
pub const BETWEEN_MIN: i64 = 60;
/// The longest wait after an order that failed, in seconds.
pub const BACKOFF_MAX: i64 = 24 * 60 * 60;
/// The shortest time after which the authority is asked again when to renew, in seconds (RFC 9773 §4.3.2).
const ASK_MIN: i64 = 60;
/// The longest.
pub const ASK_MAX: i64 = 24 * 60 * 60;
/// The time after which it is asked again if it did not answer.
pub const ASK_FAILED: i64 = 6 * 60 * 60;

/// The orders for a certificate so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attempts {
    /// The start of the last one.
    pub last: Option<i64>,
    /// The number that have failed since the last success.
    pub failures: u32,
    /// The time before which the authority wants to see no other.
    pub closed_until: Option<i64>,
}

impl Attempts {
    /// Notes the start of an order.
    pub fn begin(&mut self, now: i64) {
        self.last = Some(now);
    }

    /// Notes that it failed, and the wait that the authority asks for.
    pub fn failed(&mut self, now: i64, retry_after: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        let wait = retry_after.map(|wait| i64::try_from(wait.as_secs()).unwrap_or(i64::MAX));
        self.closed_until = wait.map(|wait| now.saturating_add(wait));
    }

    /// Notes that it succeeded.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.closed_until = None;
    }

    /// The same at this time. A start in the future is of a clock that was set back, and says nothing.
    #[must_use]
    pub fn at(self, now: i64) -> Self {
        match self.last {
            Some(last) if last > now.saturating_add(BACKOFF_MAX) => Self {
                last: None,
                closed_until: None,
                ..self
            },
            _ => self,
        }
    }

    /// The time from which the next order is allowed.
    fn allowed_at(&self, roll: f64) -> i64 {
        let wait = match self.failures {
            0 => BETWEEN_MIN,
            failures => backoff(failures, roll),
        };
        let after_last = self.last.map_or(i64::MIN, |last| last.saturating_add(wait));
        after_last.max(self.closed_until.unwrap_or(i64::MIN))
    }
}

/// The time of the next order. Without a certificate it is due as soon as it is allowed; with one, when that is to be
/// renewed, by the authority's `window` if it named one.
pub fn due(validity: Option<Validity>, window: Option<Window>, attempts: &Attempts, roll: f64) -> i64 {
    let wanted = validity.map_or(i64::MIN, |validity| renewal(validity, window, roll));
    // A certificate that is to be renewed as soon as it comes is the clock's fault, or the authority's.
    let rest = match (validity, attempts.failures) {
        (Some(validity), 0) => (validity.seconds() / 20).min(BACKOFF_MAX),
        _ => 0,
    };
    let rested = attempts.last.map_or(i64::MIN, |last| last.saturating_add(rest));
    wanted.max(rested).max(attempts.allowed_at(roll))
}

/// The time at which to renew a certificate: past two thirds of its life, and before a day or a tenth of it is left.
fn renewal(validity: Validity, window: Option<Window>, roll: f64) -> i64 {
    let life = validity.seconds();
    let at = match window {
        Some(window) => part(window.start, window.end.saturating_sub(window.start), roll),
        None => part(validity.not_before.saturating_add(life / 3 * 2), life / 20, roll),
    };
    at.min(validity.not_after.saturating_sub(life / 10))
}

/// The wait after a number of failures: a minute, then twice as long each time, up to a day; a quarter more by chance.
fn backoff(failures: u32, roll: f64) -> i64 {
    let longest = BACKOFF_MAX / 5 * 4;
    let doubled = BETWEEN_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16));
    part(doubled.min(longest), doubled.min(longest) / 4, roll)
}

/// The time after which to ask the authority again when to renew.
pub fn ask_again(wait: Duration) -> i64 {
    i64::try_from(wait.as_secs())
        .unwrap_or(i64::MAX)
        .clamp(ASK_MIN, ASK_MAX)
}

/// The point of a span that chance picks.
fn part(start: i64, length: i64, roll: f64) -> i64 {
    let length = length.max(0);
    start.saturating_add(((length as f64 * roll) as i64).clamp(0, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60;
    const VALIDITY: Validity = Validity {
        not_before: 1000 * DAY,
        not_after: 1090 * DAY,
    };
    /// The greatest roll.
    const ALL: f64 = 1.0 - f64::EPSILON;

    #[test]
    fn an_order_that_succeeded_is_followed_by_a_rest_and_one_of_the_future_by_none() {
        // The clock is far ahead: the certificate is to be renewed as soon as it comes.
        let now = 1089 * DAY;
        let mut attempts = Attempts::default();
        attempts.begin(now);
        attempts.succeeded();
        assert_eq!(due(Some(VALIDITY), None, &attempts, 0.0), now + DAY);
        attempts.failed(now, Some(Duration::from_secs(3600)));
        assert_eq!(attempts.at(now), attempts);
        assert_eq!(due(Some(VALIDITY), None, &attempts, 0.0), now + 3600);
        // It was set back since.
        let back = attempts.at(1000 * DAY);
        assert_eq!((back.last, back.closed_until, back.failures), (None, None, 1));
        assert_eq!(due(None, None, &back, 0.0), i64::MIN);
    }

    #[test]
    fn certificate_is_renewed_after_two_thirds_of_its_life() {
        let attempts = Attempts::default();
        assert_eq!(due(Some(VALIDITY), None, &attempts, 0.0), 1060 * DAY);
        assert_eq!(
            due(Some(VALIDITY), None, &attempts, 0.5),
            1060 * DAY + 9 * DAY / 4
        );
        let latest = due(Some(VALIDITY), None, &attempts, ALL);
        assert!((1064 * DAY..1065 * DAY).contains(&latest), "{latest}");
        // Of an hour, forty minutes.
        let short = Validity {
            not_before: 0,
            not_after: 3600,
        };
        assert_eq!(due(Some(short), None, &attempts, 0.0), 2400);
    }

    #[test]
    fn authority_names_the_time_of_a_renewal() {
        let attempts = Attempts::default();
        let window = Window {
            start: 1010 * DAY,
            end: 1012 * DAY,
        };
        assert_eq!(due(Some(VALIDITY), Some(window), &attempts, 0.0), 1010 * DAY);
        assert_eq!(due(Some(VALIDITY), Some(window), &attempts, 0.5), 1011 * DAY);
        // But not so late that a failure would be fatal.
        let late = Window {
            start: 1095 * DAY,
            end: i64::MAX,
        };
        assert_eq!(due(Some(VALIDITY), Some(late), &attempts, 0.5), 1081 * DAY);
    }

    #[test]
    fn first_certificate_is_due_at_once() {
        assert_eq!(due(None, None, &Attempts::default(), 0.7), i64::MIN);
    }

    #[test]
    fn orders_are_a_minute_apart_at_least() {
        let mut attempts = Attempts::default();
        attempts.begin(5000);
        assert_eq!(due(None, None, &attempts, 0.7), 5060);
        attempts.succeeded();
        assert_eq!(due(None, None, &attempts, 0.7), 5060);
        // Also where all of a certificate's life is shorter.
        let short = Validity {
            not_before: 5000,
            not_after: 5010,
        };
        assert_eq!(due(Some(short), None, &attempts, 0.0), 5060);
    }

    #[test]
    fn failures_are_tried_again_ever_less_often_up_to_a_day() {
        let mut attempts = Attempts::default();
        let mut waits = Vec::new();
        for _ in 0..14 {
            attempts.begin(0);
            attempts.failed(10, None);
            waits.push(due(None, None, &attempts, 0.0));
        }
        assert_eq!(
            waits,
            [
                60, 120, 240, 480, 960, 1920, 3840, 7680, 15360, 30720, 61440, 69120, 69120, 69120
            ]
        );
        assert!(due(None, None, &attempts, ALL) <= BACKOFF_MAX);
        assert!(due(None, None, &attempts, ALL) > BACKOFF_MAX - 10);
        attempts.failures = u32::MAX;
        attempts.failed(10, None);
        assert_eq!(due(None, None, &attempts, 0.0), 69120);
    }

    #[test]
    fn failed_renewal_waits_like_a_failed_order() {
        let mut attempts = Attempts::default();
        attempts.begin(1060 * DAY);
        attempts.failed(1060 * DAY, None);
        assert_eq!(due(Some(VALIDITY), None, &attempts, 0.0), 1060 * DAY + 60);
    }

    #[test]
    fn wait_that_the_authority_asks_for_is_obeyed() {
        let mut attempts = Attempts::default();
        attempts.begin(1000);
        attempts.failed(1010, Some(Duration::from_secs(7200)));
        assert_eq!(due(None, None, &attempts, 0.9), 8210);
        // A short one does not shorten the usual wait.
        attempts.failed(1010, Some(Duration::from_secs(1)));
        assert_eq!(due(None, None, &attempts, 0.0), 1120);
        attempts.succeeded();
        assert_eq!(due(None, None, &attempts, 0.0), 1060);
        assert_eq!(ask_again(Duration::ZERO), 60);
        assert_eq!(ask_again(Duration::from_secs(7200)), 7200);
        assert_eq!(ask_again(Duration::MAX), DAY);
    }
}
