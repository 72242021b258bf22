//! Answers to questions about names, and for how long they hold.

use std::time::Duration;

use tokio::time::Instant;

/// Shortest time after which a name is looked up again, whatever its TTL.
pub const TTL_MIN: Duration = Duration::from_secs(1);
/// Longest time after which a name is looked up again.
pub const TTL_MAX: Duration = Duration::from_secs(5 * 60);
/// Time after which a name is looked up again for which there is no answer, or an unexpected one.
pub const RETRY: Duration = Duration::from_secs(1);
/// Longest such time; it grows by a half with each further lookup in vain.
pub const RETRY_MAX: Duration = Duration::from_secs(5);

/// An answer to a question for records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// The records, which hold for this long.
    Found(Vec<T>, Duration),
    /// There are none: no such name (NXDOMAIN), or none of this type (NODATA).
    Negative,
    /// An answer that says nothing of the name, such as SERVFAIL.
    Failed,
    /// No answer in time.
    Silent,
}

impl<T> Answer<T> {
    /// Returns true if there are records.
    pub fn is_found(&self) -> bool {
        matches!(self, Self::Found(..))
    }
}

/// The records that count.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Records<T> {
    pub(super) list: Vec<T>,
    /// True after a negative answer that has not been repeated.
    is_doubted: bool,
}

/// The time of the next lookup, found from all answers of this one.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// The lowest TTL of this lookup.
    ttl: Option<Duration>,
    /// True if an answer is to be confirmed.
    confirms: bool,
    /// True if something that is needed is not known.
    retries: bool,
    /// Lookups in vain, in a row.
    failures: u32,
}

impl<T> Default for Records<T> {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            is_doubted: false,
        }
    }
}

impl<T> Records<T> {
    /// Takes an answer. Without one, the records stay; a negative one counts when it is repeated, as a server that has lost
    /// its zone for a moment says the same.
    pub(super) fn learn(&mut self, answer: Answer<T>, schedule: &mut Schedule) {
        match answer {
            Answer::Found(list, ttl) => {
                self.list = list;
                self.is_doubted = false;
                schedule.ttl = Some(schedule.ttl.map_or(ttl, |known| known.min(ttl)));
            }
            Answer::Negative if self.list.is_empty() => {}
            Answer::Negative if self.is_doubted => {
                self.list.clear();
                self.is_doubted = false;
            }
            Answer::Negative => {
                self.is_doubted = true;
                schedule.confirms = true;
            }
            Answer::Failed | Answer::Silent => {}
        }
    }
}

impl Schedule {
    /// Asks again soon, as something that is needed is not known.
    pub(super) fn retry(&mut self) {
        self.retries = true;
    }

    /// The time of the next lookup, when all answers of this one are learnt.
    pub(super) fn next(&mut self, now: Instant) -> Instant {
        let ttl = self.ttl.take();
        let confirms = std::mem::take(&mut self.confirms);
        let retries = std::mem::take(&mut self.retries);
        now + match ttl {
            Some(ttl) if !retries => {
                self.failures = 0;
                let ttl = ttl.clamp(TTL_MIN, TTL_MAX);
                if confirms { ttl.min(RETRY) } else { ttl }
            }
            _ if confirms => RETRY,
            _ => {
                let grown = RETRY.mul_f64(1.5_f64.powi(self.failures.min(16).cast_signed()));
                self.failures = self.failures.saturating_add(1);
                grown.min(RETRY_MAX)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1_000);

    /// Learns the answers, each written as the addresses with their TTL, `no` or `-`. Checks the addresses after each, and
    /// the milliseconds to the next lookup.
    #[track_caller]
    fn check(answers: &[(&str, &str, u64)]) {
        let now = Instant::now() + START;
        let (mut records, mut schedule) = (Records::default(), Schedule::default());
        for (step, (answer, expected, next)) in answers.iter().enumerate() {
            let answer = match *answer {
                "no" => Answer::Negative,
                "-" => Answer::Failed,
                "?" => Answer::Silent,
                found => {
                    let (list, ttl) = found.split_once('/').unwrap();
                    let list = list.split_terminator(' ').map(str::to_owned).collect();
                    Answer::Found(list, Duration::from_secs(ttl.parse().unwrap()))
                }
            };
            records.learn(answer, &mut schedule);
            let wait = schedule.next(now) - now;
            assert_eq!(
                (&*records.list.join(" "), wait.as_millis()),
                (*expected, u128::from(*next)),
                "{step}"
            );
        }
    }

    #[test]
    fn names_are_looked_up_when_their_ttl_ends() {
        check(&[("a/30", "a", 30_000), ("b c/2", "b c", 2_000)]);
        check(&[("a/0", "a", 1_000), ("a/86400", "a", 300_000)]);
    }

    #[test]
    fn without_an_answer_the_last_one_stays() {
        check(&[
            ("a/30", "a", 30_000),
            ("-", "a", 1_000),
            ("?", "a", 1_500),
            ("-", "a", 2_250),
            ("-", "a", 3_375),
            ("-", "a", 5_000),
            ("-", "a", 5_000),
            ("b/30", "b", 30_000),
            ("-", "b", 1_000),
        ]);
    }

    #[test]
    fn negative_answer_counts_when_it_comes_twice() {
        check(&[("no", "", 1_000), ("no", "", 1_500), ("a/5", "a", 5_000)]);
        check(&[("a/30", "a", 30_000), ("no", "a", 1_000), ("no", "", 1_000)]);
        check(&[
            ("a/30", "a", 30_000),
            ("no", "a", 1_000),
            ("a/30", "a", 30_000),
            ("no", "a", 1_000),
        ]);
        // No answer is not another one.
        check(&[
            ("a/30", "a", 30_000),
            ("no", "a", 1_000),
            ("-", "a", 1_000),
            ("no", "", 1_500),
        ]);
        // Records that say that there are none count at once.
        check(&[("a/30", "a", 30_000), ("/30", "", 30_000)]);
    }

    #[test]
    fn the_schedule_is_that_of_the_answer_that_ends_first() {
        let now = Instant::now();
        let (mut v4, mut v6) = (Records::default(), Records::default());
        let mut schedule = Schedule::default();
        v4.learn(Answer::Found(vec![4], Duration::from_secs(30)), &mut schedule);
        v6.learn(Answer::Found(vec![6], Duration::from_secs(10)), &mut schedule);
        assert_eq!(schedule.next(now) - now, Duration::from_secs(10));
        v4.learn(Answer::Found(vec![4], Duration::from_secs(30)), &mut schedule);
        v6.learn(Answer::Failed, &mut schedule);
        assert_eq!(schedule.next(now) - now, Duration::from_secs(30));
        v4.learn(Answer::Found(vec![4], Duration::from_secs(30)), &mut schedule);
        v6.learn(Answer::Negative, &mut schedule);
        assert_eq!(schedule.next(now) - now, RETRY);
        assert_eq!(v6.list, [6]);
    }
}
