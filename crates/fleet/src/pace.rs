//! The pace at which instances write: their own keys, which all instances see, so that all reporting at once would be as many
//! messages as the square of their number, and what the store has refused.

use std::time::Duration;

/// The writes of own keys in a second that the whole fleet does at most.
const REPORTS_A_SECOND: usize = 50;

/// The failures after which a wait grows no more.
const DOUBLINGS_MAX: u32 = 2;

/// The time that an instance waits before it reports something that no one waits for, such as a new revision in force.
/// Instances with different ids wait differently long.
pub fn report_after(live: usize, id: &str) -> Duration {
    let spread_ms = live.saturating_mul(1000) / REPORTS_A_SECOND;
    let spread_ms = u64::try_from(spread_ms).unwrap_or(u64::MAX);
    share(spread_ms, id)
}

/// The wait before the store is asked again after so many failures in a row: a second at most, and twice as long after each,
/// up to 4 s. Instances with different ids wait differently long, at least half of that.
pub fn retry_after(failures: u32, id: &str) -> Duration {
    let half_ms = 500 << failures.min(DOUBLINGS_MAX);
    Duration::from_millis(half_ms) + share(half_ms, id)
}

/// The share of a time that belongs to an id.
fn share(spread_ms: u64, id: &str) -> Duration {
    // FNV-1a, and the last step of MurmurHash3, as the former leaves the upper half much alike.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    let share = (u128::from(hash >> 32) * u128::from(spread_ms)) >> 32;
    Duration::from_millis(u64::try_from(share).unwrap_or(spread_ms))
}

/// The wait before something that was refused is tried for the second time.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The waits before something that was refused is tried again: each is twice as long as the one before. Times count from any
/// fixed point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackOff {
    longest: Duration,
    wait: Duration,
    due: Duration,
    why: Option<String>,
}

impl BackOff {
    /// Nothing was refused yet, and no wait is longer than this.
    pub fn up_to(longest: Duration) -> Self {
        Self {
            longest,
            wait: FIRST_WAIT.min(longest),
            due: Duration::ZERO,
            why: None,
        }
    }

    /// Returns true if it may be tried now.
    pub fn is_due(&self, now: Duration) -> bool {
        now >= self.due
    }

    /// Notes that it was refused. Returns true unless it was for the same reason as before.
    pub fn refused(&mut self, now: Duration, why: &str) -> bool {
        self.due = now.saturating_add(self.wait);
        self.wait = self.wait.saturating_mul(2).min(self.longest);
        let is_news = self.why.as_deref() != Some(why);
        self.why = Some(why.to_owned());
        is_news
    }

    /// Notes that it was done.
    pub fn done(&mut self) {
        *self = Self::up_to(self.longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_come_back_at_different_times_and_less_often() {
        for (failures, most_ms) in [(0, 1000), (1, 2000), (2, 4000), (3, 4000), (u32::MAX, 4000)] {
            let waits = (0..1000).map(|number| retry_after(failures, &format!("gateway-{number}")));
            let mut waits: Vec<u128> = waits.map(|wait| wait.as_millis()).collect();
            waits.sort_unstable();
            assert!(waits[0] >= most_ms / 2 && waits[999] < most_ms, "{failures}");
            let half_of_them = waits[750] - waits[250];
            assert!(half_of_them > most_ms / 5, "{failures}: {half_of_them}");
            assert_eq!(retry_after(failures, "a"), retry_after(failures, "a"));
        }
    }

    #[test]
    fn waits_double_and_a_reason_is_told_once() {
        let seconds = Duration::from_secs;
        let mut back_off = BackOff::up_to(seconds(60));
        let mut now = seconds(1000);
        for (wait, why, is_news) in [
            (1, "full", true),
            (2, "full", false),
            (4, "away", true),
            (8, "away", false),
            (16, "away", false),
            (32, "away", false),
            (60, "away", false),
            (60, "full", true),
        ] {
            assert!(back_off.is_due(now));
            assert_eq!(back_off.refused(now, why), is_news, "{why} before {wait}");
            assert!(!back_off.is_due(now + seconds(wait) - Duration::from_millis(1)));
            now += seconds(wait);
        }
        back_off.done();
        assert!(back_off.is_due(now));
        assert!(back_off.refused(now, "full"));
        assert!(back_off.is_due(now + seconds(1)));
    }

    #[test]
    fn reports_are_spread_by_the_number_of_instances() {
        assert_eq!(report_after(0, "x"), Duration::ZERO);
        for live in [3, 50, 1000] {
            let most = Duration::from_millis(live as u64 * 20);
            let mut by_tenth = [0; 10];
            for number in 0..live {
                let after = report_after(live, &format!("gateway-{number}"));
                assert!(after < most);
                by_tenth[(after.as_millis() * 10 / most.as_millis()) as usize] += 1;
            }
            assert!(
                by_tenth.iter().all(|&tenth| tenth <= live / 5 + 3),
                "{by_tenth:?}"
            );
        }
    }
}
