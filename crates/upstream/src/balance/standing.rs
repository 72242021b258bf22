//! The endpoints in use, out of all of a service.
//!
//! Endpoints of weight 0 and drained ones take no part in anything here. Of the others, those that are no backups are
//! the primaries; their availability decides:
//!
//! | available | in use |
//! |---|---|
//! | no backup, and fewer of the primaries than `panic` percent | all primaries, available or not: panic mode |
//! | a primary | the available primaries of the lowest priority that has one |
//! | no primary, but a backup | the available backups |
//! | neither, with `panic: 0` | none |

/// All of a service's endpoints, as the threshold of panic mode counts them, in thousandths of a percent.
pub const ALL: u64 = 100_000;

/// An endpoint, as far as its use depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The weight; 0 for one that is drained too.
    pub weight: u32,
    /// True if it is used only while no other is available.
    pub backup: bool,
    /// The priority; the lowest goes first.
    pub priority: u16,
    /// True if it neither failed a check nor is ejected.
    pub is_available: bool,
}

/// The part of a service's endpoints that is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// The available primaries of this priority.
    Priority(u16),
    /// The available backups.
    Backups,
    /// All primaries, in panic mode.
    Panic,
    /// None.
    Nothing,
}

/// The standing of a service's endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The endpoints in use.
    pub tier: Tier,
    /// The number of primaries.
    pub primaries: usize,
    /// The number of available ones among them.
    pub available: usize,
}

impl Standing {
    /// The standing of these endpoints. `panic` is the threshold, in thousandths of a percent.
    pub fn of(candidates: impl IntoIterator<Item = Candidate>, panic: u64) -> Self {
        let (mut primaries, mut available, mut has_backup) = (0, 0, false);
        let mut lowest: Option<u16> = None;
        for candidate in candidates.into_iter().filter(|candidate| candidate.weight > 0) {
            if candidate.backup {
                has_backup |= candidate.is_available;
                continue;
            }
            primaries += 1;
            if candidate.is_available {
                available += 1;
                lowest = Some(lowest.map_or(candidate.priority, |lowest| lowest.min(candidate.priority)));
            }
        }
        let is_panic = !has_backup && (available as u64) * ALL < (primaries as u64) * panic;
        let tier = match lowest {
            _ if is_panic => Tier::Panic,
            Some(priority) => Tier::Priority(priority),
            None if has_backup => Tier::Backups,
            None => Tier::Nothing,
        };
        Self {
            tier,
            primaries,
            available,
        }
    }
}

impl Tier {
    /// Returns true if this endpoint is in use.
    pub fn takes(self, candidate: &Candidate) -> bool {
        let is_taken = match self {
            Self::Priority(priority) => {
                !candidate.backup && candidate.priority == priority && candidate.is_available
            }
            Self::Backups => candidate.backup && candidate.is_available,
            Self::Panic => !candidate.backup,
            Self::Nothing => false,
        };
        is_taken && candidate.weight > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: u64 = ALL / 2;

    /// Endpoints by a letter each: `a` is available and `x` not, `0` has weight 0; a digit behind it is its priority, `b`
    /// makes it a backup.
    fn candidates(text: &str) -> Vec<Candidate> {
        let endpoint = |word: &str| Candidate {
            weight: u32::from(!word.starts_with('0')),
            backup: word.ends_with('b'),
            priority: word[1..].trim_end_matches('b').parse().unwrap_or(0),
            is_available: !word.starts_with('x'),
        };
        text.split_whitespace().map(endpoint).collect()
    }

    /// Checks the tier, and the endpoints in use as `+`.
    fn check(text: &str, panic: u64, tier: Tier, used: &str) {
        let candidates = candidates(text);
        let standing = Standing::of(candidates.iter().copied(), panic);
        assert_eq!(standing.tier, tier, "{text}");
        let found: String = candidates
            .iter()
            .map(|candidate| if tier.takes(candidate) { '+' } else { '-' })
            .collect();
        assert_eq!(found, used, "{text}");
    }

    #[test]
    fn available_primaries_are_in_use() {
        check("a a a", HALF, Tier::Priority(0), "+++");
        check("a x a", HALF, Tier::Priority(0), "+-+");
        check("a x", HALF, Tier::Priority(0), "+-");
        check("a ab", HALF, Tier::Priority(0), "+-");
    }

    #[test]
    fn backups_are_in_use_while_no_primary_is_available() {
        check("x ab", HALF, Tier::Backups, "-+");
        check("x ab xb ab", HALF, Tier::Backups, "-+-+");
        check("a x x ab", HALF, Tier::Priority(0), "+---");
        check("0 ab", HALF, Tier::Backups, "-+");
        check("ab", HALF, Tier::Backups, "+");
    }

    #[test]
    fn fewer_than_the_threshold_is_panic_unless_a_backup_is_available() {
        check("a x x", HALF, Tier::Panic, "+++");
        check("x x", HALF, Tier::Panic, "++");
        check("x", HALF, Tier::Panic, "+");
        check("x xb", HALF, Tier::Panic, "+-");
        check("a x x 0b", HALF, Tier::Panic, "+++-");
        check("a a x", ALL, Tier::Panic, "+++");
        check("a a a", ALL, Tier::Priority(0), "+++");
        check("x x x", 1, Tier::Panic, "+++");
        check("a x x", ALL / 3, Tier::Priority(0), "+--");
        check("a x x", ALL / 3 + 1, Tier::Panic, "+++");
    }

    #[test]
    fn without_panic_nothing_is_in_use_when_nothing_is_available() {
        check("a x x", 0, Tier::Priority(0), "+--");
        check("x x", 0, Tier::Nothing, "--");
        check("x xb", 0, Tier::Nothing, "--");
        check("x ab", 0, Tier::Backups, "-+");
    }

    #[test]
    fn weight_0_neither_counts_nor_takes_requests() {
        check("0 0", HALF, Tier::Nothing, "--");
        check("", HALF, Tier::Nothing, "");
        check("0 xb", HALF, Tier::Nothing, "--");
        check("a x 0 0 0", HALF, Tier::Priority(0), "+----");
        check("x 0", HALF, Tier::Panic, "+-");
        check("0b x", 0, Tier::Nothing, "--");
    }

    #[test]
    fn lowest_priority_that_is_available_is_in_use() {
        check("a2 a1 a1 a7", HALF, Tier::Priority(1), "-++-");
        check("a2 x1 a1 a7", HALF, Tier::Priority(1), "--+-");
        check("a2 x1 x1 a7", HALF, Tier::Priority(2), "+---");
        check("01 a2", HALF, Tier::Priority(2), "-+");
        // All primaries count, of whatever priority.
        check("x2 x1 x1 a7", HALF, Tier::Panic, "++++");
        check("x2 x1 x1 x7 ab", HALF, Tier::Backups, "----+");
    }

    #[test]
    fn primaries_are_counted() {
        let standing = Standing::of(candidates("a x x 0 ab"), HALF);
        assert_eq!((standing.primaries, standing.available), (3, 1));
    }
}
