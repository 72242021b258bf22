//! A worker's view of a service: the endpoints in use, with what a pick needs of them.
//!
//! It is built when something has changed, so that a pick looks at one endpoint or two, however many there are.

use waypost_plan::balance::Balance;

use crate::balance::round_robin::Rotation;
use crate::balance::standing::{Candidate, Standing, Tier};
use crate::balance::tables::Tables;
use crate::balance::weights::{ONE, Weights};
use crate::balance::{least_request, next_roll, random, scale};

/// An endpoint of a service, by its position, as a view is built from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The facts that its use depends on.
    pub candidate: Candidate,
    /// The part of its weight that it has, in thousandths; less than all of it during a slow start.
    pub part: u64,
}

/// The endpoints in use, and the state of their rotation.
#[derive(Debug)]
pub struct View {
    tier: Option<Tier>,
    /// The positions of the endpoints in use: `positions.len() == weights.len()`.
    positions: Vec<usize>,
    weights: Weights,
    /// Other endpoints that are available, the best first, with the level of each: requests that have tried all in use
    /// go on there. In panic mode, those that are available: after a failure, the next attempt is at one of them.
    spare: Vec<((bool, u16), usize)>,
    /// The part of its keys that each endpoint takes, by position, in thousandths.
    parts: Vec<u64>,
    rotation: Rotation,
    rolls: u64,
}

/// A request that needs an endpoint.
pub struct Wanted<'a> {
    /// The rule.
    pub balance: &'a Balance,
    /// The tables for `hash`.
    pub tables: Option<&'a Tables>,
    /// The hash of the request's value for `hash`, if it has one.
    pub key: Option<u64>,
    /// The requests in flight at a position.
    pub in_flight: &'a dyn Fn(usize) -> u32,
    /// Returns true for positions that the request has tried; `None` for its first attempt.
    pub is_tried: Option<&'a dyn Fn(usize) -> bool>,
}

impl View {
    /// A view of no endpoints. Rotation begins at `cursor`, which also seeds rolls.
    pub fn new(cursor: usize) -> Self {
        Self {
            tier: None,
            positions: Vec::new(),
            weights: Weights::default(),
            spare: Vec::new(),
            parts: Vec::new(),
            rotation: Rotation::new(cursor),
            rolls: cursor as u64,
        }
    }

    /// Builds it from all endpoints, with the threshold of panic mode. `was` maps a position to the one that the endpoint
    /// had before, if it was there.
    pub fn update(&mut self, members: &[Member], panic: u64, was: impl Fn(usize) -> Option<usize>) {
        let tier = Standing::of(members.iter().map(|member| member.candidate), panic).tier;
        let all = || members.iter().enumerate();
        let used = all().filter(|(_, member)| tier.takes(&member.candidate));
        let positions: Vec<usize> = used.map(|(position, _)| position).collect();
        let mut place = vec![None; self.parts.len()];
        for (at, position) in self.positions.iter().enumerate() {
            place[*position] = Some(at);
        }
        let before = positions.iter().map(|position| -> Option<usize> {
            let was = was(*position)?;
            place.get(was).copied().flatten()
        });
        self.rotation.rearrange(before);
        // In panic mode, an endpoint that has just come back is better than one that is out.
        let part = |position: usize| {
            if tier == Tier::Panic {
                ONE
            } else {
                members[position].part
            }
        };
        let weight = |position: &usize| u64::from(members[*position].candidate.weight) * part(*position);
        self.weights = Weights::new(positions.iter().map(weight));
        let most = positions.iter().map(|position| part(*position)).max();
        let most = most.unwrap_or(ONE).max(1);
        self.parts.clear();
        self.parts.resize(members.len(), 0);
        for position in &positions {
            self.parts[*position] = (part(*position) * ONE / most).max(1);
        }
        let spare = all().filter(|(position, Member { candidate, .. })| {
            candidate.is_available
                && candidate.weight > 0
                && (tier == Tier::Panic || self.parts[*position] == 0)
        });
        let level = |candidate: &Candidate| (candidate.backup, candidate.priority);
        self.spare = spare
            .map(|(position, member)| (level(&member.candidate), position))
            .collect();
        self.spare.sort_unstable();
        self.positions = positions;
        self.tier = Some(tier);
    }

    /// Returns true if an endpoint that takes requests is available.
    pub fn has_available(&self) -> bool {
        match self.tier() {
            Tier::Priority(_) | Tier::Backups => true,
            // The others in use are not.
            Tier::Panic => !self.spare.is_empty(),
            Tier::Nothing => false,
        }
    }

    /// The endpoints in use.
    fn tier(&self) -> Tier {
        self.tier.unwrap_or(Tier::Nothing)
    }

    /// Picks the position of the endpoint for a request; `None` if none is in use, or all of them were tried.
    pub fn pick(&mut self, wanted: &Wanted<'_>) -> Option<usize> {
        if self.tier() == Tier::Panic
            && let Some(spare) = self.pick_spare(wanted)
        {
            return Some(spare);
        }
        let is_tried = |at: usize| {
            wanted
                .is_tried
                .is_some_and(|is_tried| is_tried(self.positions[at]))
        };
        // Further attempts do not move the rotation on: of two endpoints of which one fails, every request would come to
        // that one first.
        let rotates = wanted.is_tried.is_none();
        let picked = match wanted.balance {
            Balance::Hash(_) => {
                if let (Some(key), Some(table)) =
                    (wanted.key, wanted.tables.and_then(|all| all.of(self.tier())))
                {
                    let position =
                        table.pick(key, |position, fortune| self.admits(wanted, position, fortune));
                    return position.or_else(|| self.pick_spare(wanted));
                }
                match rotates {
                    true => self.rotation.pick(&self.weights, is_tried),
                    false => random::pick(&self.weights, next_roll(&mut self.rolls), is_tried),
                }
            }
            Balance::RoundRobin if rotates => self.rotation.pick(&self.weights, is_tried),
            Balance::RoundRobin | Balance::Random => {
                random::pick(&self.weights, next_roll(&mut self.rolls), is_tried)
            }
            Balance::LeastRequest => {
                let in_flight = |at: usize| (wanted.in_flight)(self.positions[at]);
                let is_tried: Option<&dyn Fn(usize) -> bool> = match wanted.is_tried {
                    Some(_) => Some(&is_tried),
                    None => None,
                };
                least_request::pick(&self.weights, next_roll(&mut self.rolls), in_flight, is_tried)
            }
        };
        match picked {
            Some(at) => Some(self.positions[at]),
            None => self.pick_spare(wanted),
        }
    }

    /// Returns true if a key may go to the endpoint at `position`, by its `fortune` there.
    fn admits(&self, wanted: &Wanted<'_>, position: usize, fortune: u64) -> bool {
        let part = self.parts.get(position).copied().unwrap_or(0);
        fortune < part && wanted.is_tried.is_none_or(|is_tried| !is_tried(position))
    }

    /// Picks from the best others that are available, for a request that has tried all in use.
    fn pick_spare(&mut self, wanted: &Wanted<'_>) -> Option<usize> {
        let is_tried = wanted.is_tried?;
        let untried = || self.spare.iter().filter(|(_, position)| !is_tried(*position));
        let (best, _) = untried().next()?;
        let beside = || untried().take_while(|(level, _)| level == best);
        let roll = wanted.key.unwrap_or_else(|| next_roll(&mut self.rolls));
        let (_, position) = beside().nth(scale(roll, beside().count() as u64) as usize)?;
        Some(*position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::slice;
    use waypost_plan::balance::HashKey;

    /// Endpoints by a letter each: `a` is available, `x` not, `0` drained, `b` an available backup, `s` at a tenth of its
    /// weight.
    fn members(text: &str) -> Vec<Member> {
        let member = |letter: char| Member {
            candidate: Candidate {
                weight: u32::from(letter != '0'),
                backup: letter == 'b',
                priority: 0,
                is_available: letter != 'x',
            },
            part: if letter == 's' { ONE / 10 } else { ONE },
        };
        text.chars().map(member).collect()
    }

    fn view(text: &str) -> View {
        let mut view = View::new(0);
        view.update(&members(text), 50_000, |_| None);
        view
    }

    fn tables(text: &str) -> Tables {
        let addressed = members(text).into_iter().enumerate();
        let addressed = addressed.map(|(at, member)| (format!("10.0.0.{at}:80"), member.candidate));
        Tables::new(&addressed.collect::<Vec<_>>())
    }

    fn balances() -> [Balance; 4] {
        [
            Balance::RoundRobin,
            Balance::Random,
            Balance::LeastRequest,
            Balance::Hash(HashKey::Path),
        ]
    }

    fn pick(view: &mut View, balance: &Balance, tables: &Tables, key: u64, tried: &[usize]) -> Option<usize> {
        let is_tried = |at: usize| tried.contains(&at);
        view.pick(&Wanted {
            balance,
            tables: Some(tables),
            key: Some(key),
            in_flight: &|_| 0,
            is_tried: if tried.is_empty() { None } else { Some(&is_tried) },
        })
    }

    /// The share of each endpoint, in thousandths.
    fn shares(text: &str, balance: &Balance) -> Vec<u32> {
        let (mut view, tables) = (view(text), tables(text));
        let mut counts = vec![0; text.len()];
        let mut keys = 0;
        for _ in 0..20_000 {
            if let Some(at) = pick(&mut view, balance, &tables, next_roll(&mut keys), &[]) {
                counts[at] += 1;
            }
        }
        counts.iter().map(|count| count / 20).collect()
    }

    fn check(text: &str, expected: &[u32]) {
        check_by(&balances(), text, expected);
    }

    fn check_by(balances: &[Balance], text: &str, expected: &[u32]) {
        for balance in balances {
            let found = shares(text, balance);
            let near = found
                .iter()
                .zip(expected)
                .all(|(found, share)| found.abs_diff(*share) <= 25);
            assert!(
                near && (0..found.len()).all(|at| (found[at] == 0) == (expected[at] == 0)),
                "{text} by {balance:?}: {found:?}"
            );
        }
    }

    #[test]
    fn endpoints_in_use_share_all_requests_by_every_rule() {
        check("aaaa", &[250; 4]);
        check("axa", &[500, 0, 500]);
        check("aa0b", &[500, 500, 0, 0]);
        check("x0bb", &[0, 0, 500, 500]);
        check("xxa", &[333; 3]);
        check("xx", &[500; 2]);
        check("x0", &[1000, 0]);
        check("00", &[0, 0]);
        check("", &[]);
    }

    #[test]
    fn an_endpoint_that_starts_slowly_has_its_part_by_every_rule() {
        let [weighted @ .., hashed] = balances();
        check_by(&weighted, "as", &[909, 91]);
        check_by(&weighted, "aas", &[476, 476, 48]);
        // A tenth of the keys that are its own; the others stay where they are.
        check_by(slice::from_ref(&hashed), "as", &[950, 50]);
        check_by(&[hashed], "aas", &[483, 483, 33]);
        check("ss", &[500, 500]);
        check("xs", &[0, 1000]);
        check("sb", &[1000, 0]);
        // In panic mode, all count alike.
        check("xxs", &[333; 3]);
    }

    #[test]
    fn attempts_go_on_at_others_in_use_then_at_others_that_are_available() {
        for balance in balances() {
            let (mut view, tables) = (view("axab"), tables("axab"));
            let mut tried = Vec::new();
            while let Some(at) = pick(&mut view, &balance, &tables, 7, &tried) {
                tried.push(at);
            }
            assert_eq!(tried.len(), 3, "{balance:?}");
            assert_eq!(tried[2], 3, "{balance:?}: the backup is last");
            assert!(!tried.contains(&1), "{balance:?}");
        }
    }

    #[test]
    fn in_panic_mode_a_further_attempt_is_at_an_available_endpoint_first() {
        for balance in balances() {
            for key in 0..20 {
                let (mut view, tables) = (view("xxxa"), tables("xxxa"));
                let first = pick(&mut view, &balance, &tables, key, &[]).unwrap();
                let second = pick(&mut view, &balance, &tables, key, &[first]).unwrap();
                assert!(first == 3 || second == 3, "{balance:?}: {first} {second}");
                let mut tried = vec![first, second];
                while let Some(at) = pick(&mut view, &balance, &tables, key, &tried) {
                    tried.push(at);
                }
                assert_eq!(tried.len(), 4);
            }
        }
    }

    #[test]
    fn an_endpoint_is_available_or_none_is() {
        for (text, expected) in [
            ("a", true),
            ("x", false),
            ("xxa", true),
            ("xb", true),
            ("0", false),
            ("", false),
        ] {
            assert_eq!(view(text).has_available(), expected, "{text}");
        }
    }

    #[test]
    fn rotation_goes_on_over_a_change() {
        let mut members = members("aaa");
        members[0].candidate.weight = 5;
        let mut view = View::new(0);
        view.update(&members, 50_000, |_| None);
        let none = Tables::default();
        let next = |view: &mut View| pick(view, &Balance::RoundRobin, &none, 0, &[]);
        let first: Vec<usize> = (0..3).filter_map(|_| next(&mut view)).collect();
        assert_eq!(first, [0, 0, 1]);
        view.update(&members, 50_000, Some);
        let rest: Vec<usize> = (0..4).filter_map(|_| next(&mut view)).collect();
        assert_eq!(rest, [0, 2, 0, 0]);
    }
}
