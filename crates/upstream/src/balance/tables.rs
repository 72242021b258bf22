//! The tables of a service that balances by hash.

use crate::balance::hash::Table;
use crate::balance::standing::{Candidate, Tier};

/// A table for each set of endpoints that can be in use at once, whatever their availability.
#[derive(Debug, Default)]
pub struct Tables(Vec<(Tier, Table)>);

impl Tables {
    /// The tables of these endpoints, by position, each with the text of its address.
    pub fn new(endpoints: &[(String, Candidate)]) -> Self {
        let all = endpoints.iter().map(|(_, candidate)| candidate);
        let primaries = all.filter(|candidate| !candidate.backup && candidate.weight > 0);
        let mut priorities: Vec<u16> = primaries.map(|candidate| candidate.priority).collect();
        priorities.sort_unstable();
        priorities.dedup();
        let mut tiers: Vec<Tier> = priorities.iter().copied().map(Tier::Priority).collect();
        if tiers.len() > 1 {
            tiers.push(Tier::Panic);
        }
        tiers.push(Tier::Backups);
        let tables = tiers.into_iter().filter_map(|tier| {
            let members = endpoints.iter().enumerate().filter(|(_, (_, candidate))| {
                tier.takes(&Candidate {
                    is_available: true,
                    ..*candidate
                })
            });
            let members =
                members.map(|(position, (address, candidate))| (position, &**address, candidate.weight));
            Some((tier, Table::new(members)?))
        });
        Self(tables.collect())
    }

    /// The table of the endpoints in use.
    pub fn of(&self, tier: Tier) -> Option<&Table> {
        let known = |tier: Tier| self.0.iter().find(|(known, _)| *known == tier);
        // With one priority, all primaries are those of it.
        let only = || match self.0.first() {
            Some(first @ (Tier::Priority(_), _)) if tier == Tier::Panic => Some(first),
            _ => None,
        };
        known(tier).or_else(only).map(|(_, table)| table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(endpoints: &[(u32, bool, u16)], tier: Tier, expected: &[usize]) {
        let endpoints: Vec<(String, Candidate)> = endpoints
            .iter()
            .enumerate()
            .map(|(at, (weight, backup, priority))| {
                let candidate = Candidate {
                    weight: *weight,
                    backup: *backup,
                    priority: *priority,
                    is_available: false,
                };
                (format!("10.0.0.{at}:80"), candidate)
            })
            .collect();
        let tables = Tables::new(&endpoints);
        let mut found: Vec<usize> = tables
            .of(tier)
            .into_iter()
            .flat_map(|table| table.positions())
            .collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{tier:?}");
    }

    #[test]
    fn each_tier_has_its_table() {
        let plain = [(1, false, 0), (0, false, 0), (2, false, 0), (1, true, 0)];
        check(&plain, Tier::Priority(0), &[0, 2]);
        check(&plain, Tier::Panic, &[0, 2]);
        check(&plain, Tier::Backups, &[3]);
        check(&plain, Tier::Nothing, &[]);
        check(&plain[..3], Tier::Backups, &[]);
        check(&[], Tier::Panic, &[]);
        let ranked = [(1, false, 2), (1, false, 1), (1, true, 0)];
        check(&ranked, Tier::Priority(1), &[1]);
        check(&ranked, Tier::Priority(2), &[0]);
        check(&ranked, Tier::Panic, &[0, 1]);
        check(&ranked[2..], Tier::Panic, &[]);
    }
}
