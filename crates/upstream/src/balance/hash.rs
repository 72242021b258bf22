//! Consistent hashing: requests with the same key go to the same endpoint, at every gateway.
//!
//! The table is Maglev's (Eisenbud et al., Maglev: A Fast and Reliable Software Network Load Balancer, 2016, §3.4): each
//! endpoint claims slots in an order of its own, which follows from the text of its address, in turns by weight. An
//! endpoint that leaves for good leaves nearly all slots of the others as they are.
//!
//! One that is out for a while, or was tried, stays in the table and is passed over: its keys go on to the slots that
//! further hashes of them lead to, which spreads them over the others by weight. No other key moves, no table is built,
//! and when it is back, so are its keys. The slots of a key are also the order in which its attempts go on.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::balance::{scale, scramble};

/// Slots of a table: a prime, so that every step through them meets all.
pub const SLOTS: usize = 65_537;

/// Slots that a key leads to before the endpoints are gone through in order.
const PROBES_MAX: u64 = 64;

/// Maximum number of endpoints with slots.
const MEMBERS_MAX: usize = u16::MAX as usize;

/// Marks a slot without an endpoint while the table is built.
const FREE: u16 = u16::MAX;

/// Slots that lead to endpoints. The same for the same endpoints, in whatever order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The member of each slot, by its place in `members`.
    slots: Box<[u16]>,
    members: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// The position of the endpoint, as given.
    position: usize,
    /// The hash of its address.
    hash: u64,
}

/// The hash of the value by which requests are kept together.
pub fn key(value: &[u8]) -> u64 {
    xxh3_64(value)
}

impl Table {
    /// The table of these endpoints, each with its position, the text of its address and its weight, which is not 0.
    /// `None` without any.
    ///
    /// It takes about a millisecond, so workers do not build tables.
    pub fn new<'a>(endpoints: impl IntoIterator<Item = (usize, &'a str, u32)>) -> Option<Self> {
        let mut endpoints: Vec<(usize, &str, u32)> = endpoints.into_iter().collect();
        endpoints.sort_by_key(|(_, address, _)| *address);
        // The others would not get a slot.
        endpoints.truncate(MEMBERS_MAX);
        if endpoints.is_empty() {
            return None;
        }
        let mut claims: Vec<Claim> = endpoints
            .iter()
            .map(|(_, address, _)| Claim::new(address))
            .collect();
        let mut slots = vec![FREE; SLOTS].into_boxed_slice();
        let weights: Vec<u32> = endpoints.iter().map(|(_, _, weight)| *weight).collect();
        let mut turns = Turns::new(&weights);
        for _ in 0..SLOTS {
            let member = turns.next();
            let slot = claims[usize::from(member)].next(|slot| slots[slot] == FREE);
            slots[slot] = member;
        }
        let members = endpoints.iter().map(|(position, address, _)| Entry {
            position: *position,
            hash: xxh3_64(address.as_bytes()),
        });
        Some(Self {
            slots,
            members: members.collect(),
        })
    }

    /// The positions of the endpoints in the table, as given.
    pub fn positions(&self) -> impl Iterator<Item = usize> {
        self.members.iter().map(|member| member.position)
    }

    /// Picks the position of the endpoint for `key`: the first that is admitted in the key's order. `admits` gets a
    /// position, and the fortune of the key there: a number in `0..1000`, always the same, by which a part of the keys
    /// can be refused.
    pub fn pick(&self, key: u64, admits: impl Fn(usize, u64) -> bool) -> Option<usize> {
        let admitted = |member: &Entry| {
            let fortune = scale(scramble(key ^ member.hash), 1000);
            admits(member.position, fortune).then_some(member.position)
        };
        for probe in 0..PROBES_MAX {
            let slot = scale(scramble(key.wrapping_add(probe)), SLOTS as u64);
            let member = &self.members[usize::from(self.slots[slot as usize])];
            if let Some(position) = admitted(member) {
                return Some(position);
            }
        }
        let start = scale(key, self.members.len() as u64) as usize;
        let (before, from) = self.members.split_at(start);
        from.iter().chain(before).find_map(admitted)
    }
}

/// The order in which an endpoint claims slots.
struct Claim {
    slot: usize,
    step: usize,
}

impl Claim {
    fn new(address: &str) -> Self {
        const SEED: u64 = 1;
        let (offset, step) = (
            xxh3_64(address.as_bytes()),
            xxh3_64_with_seed(address.as_bytes(), SEED),
        );
        Self {
            slot: (offset % SLOTS as u64) as usize,
            step: (step % (SLOTS as u64 - 1)) as usize + 1,
        }
    }

    /// The next slot that is free. There has to be one.
    fn next(&mut self, is_free: impl Fn(usize) -> bool) -> usize {
        loop {
            let slot = self.slot;
            self.slot += self.step;
            if self.slot >= SLOTS {
                self.slot -= SLOTS;
            }
            if is_free(slot) {
                return slot;
            }
        }
    }
}

/// The order in which endpoints claim: the one that has the fewest slots for its weight. The order of any two of them does
/// not depend on the others, so that one that leaves disturbs them little.
struct Turns(BinaryHeap<Turn>);

struct Turn {
    slots: u64,
    weight: u64,
    member: u16,
}

impl Turns {
    fn new(weights: &[u32]) -> Self {
        let turns = (0..).zip(weights).map(|(member, weight)| Turn {
            slots: 0,
            weight: u64::from((*weight).max(1)),
            member,
        });
        Self(turns.collect())
    }

    fn next(&mut self) -> u16 {
        let Some(mut turn) = self.0.peek_mut() else {
            return 0;
        };
        turn.slots += 1;
        turn.member
    }
}

impl Ord for Turn {
    /// Greater is earlier, as the greatest comes first in a heap.
    fn cmp(&self, other: &Self) -> Ordering {
        let (own, others) = (self.slots * other.weight, other.slots * self.weight);
        others.cmp(&own).then(other.member.cmp(&self.member))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Turn {}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: u64 = 20_000;

    fn addresses(count: usize) -> Vec<String> {
        (0..count)
            .map(|at| format!("10.{}.{}.{}:8080", at / 250 / 250, at / 250 % 250, at % 250 + 1))
            .collect()
    }

    fn table(addresses: &[String], weight: impl Fn(usize) -> u32) -> Table {
        let endpoints = addresses.iter().enumerate();
        Table::new(endpoints.map(|(at, address)| (at, &**address, weight(at)))).unwrap()
    }

    /// The endpoint of each of many keys.
    fn assigned(table: &Table, admits: impl Fn(usize, u64) -> bool) -> Vec<usize> {
        (0..KEYS)
            .map(|at| table.pick(key(format!("user-{at}").as_bytes()), &admits).unwrap())
            .collect()
    }

    /// The share of keys that differ.
    fn moved(before: &[usize], after: &[usize]) -> f64 {
        let moved = before.iter().zip(after).filter(|(was, is)| was != is).count();
        moved as f64 / before.len() as f64
    }

    #[test]
    fn slots_are_shared_by_weight() {
        for (count, weight) in [
            (3, (|_| 1) as fn(usize) -> u32),
            (10, |_| 7),
            (1000, |_| 1),
            (10, |at| at as u32 + 1),
            (3, |at| [5, 1, 1][at]),
        ] {
            let table = table(&addresses(count), weight);
            let mut slots = vec![0_u64; count];
            for member in &table.slots {
                slots[table.members[usize::from(*member)].position] += 1;
            }
            let sum: u64 = (0..count).map(|at| u64::from(weight(at))).sum();
            for (at, slots) in slots.iter().enumerate() {
                let share = SLOTS as u64 * u64::from(weight(at)) / sum;
                assert!(slots.abs_diff(share) <= 2, "{count}: {slots} of {share}");
            }
        }
    }

    #[test]
    fn the_order_of_endpoints_does_not_matter() {
        let mut addresses = addresses(20);
        let before = assigned(&table(&addresses, |_| 1), |_, _| true);
        addresses.reverse();
        let after = assigned(&table(&addresses, |_| 1), |_, _| true);
        let after: Vec<usize> = after.iter().map(|at| 19 - at).collect();
        assert_eq!(before, after);
    }

    /// Another hash would move the keys between gateways of two versions.
    #[test]
    fn keys_stay_where_they_are_across_versions() {
        let table = table(&addresses(5), |at| at as u32 + 1);
        let found: Vec<usize> = (0..12)
            .map(|at| {
                table
                    .pick(key(format!("user-{at}").as_bytes()), |_, _| true)
                    .unwrap()
            })
            .collect();
        assert_eq!(found, [4, 3, 3, 4, 1, 2, 3, 4, 4, 0, 4, 4]);
    }

    #[test]
    fn an_endpoint_that_leaves_moves_little_more_than_its_own_keys() {
        for (count, weight) in [
            (3, (|_| 1) as fn(usize) -> u32),
            (10, |_| 1),
            (100, |_| 1),
            (1000, |_| 1),
            (3, |at| [5, 1, 1][at]),
            (10, |at| at as u32 % 3 + 1),
            (100, |at| at as u32 % 7 + 1),
            (1000, |at| at as u32 % 5 + 1),
        ] {
            let addresses = addresses(count);
            let before = assigned(&table(&addresses, weight), |_, _| true);
            for gone in [0, count / 2, count - 1] {
                let stayed = addresses.iter().enumerate().filter(|(at, _)| *at != gone);
                let rest = Table::new(stayed.map(|(at, address)| (at, &**address, weight(at))));
                let after = assigned(&rest.unwrap(), |_, _| true);
                let own = before.iter().filter(|at| **at == gone).count() as f64 / KEYS as f64;
                let moved = moved(&before, &after);
                assert!(
                    moved <= own + 0.01,
                    "{count} without {gone}: {moved} moved, of {own}"
                );
            }
        }
    }

    #[test]
    fn an_endpoint_that_is_out_moves_only_its_own_keys_and_gets_them_back() {
        for count in [2, 3, 10, 30] {
            let table = table(&addresses(count), |at| at as u32 % 3 + 1);
            let before = assigned(&table, |_, _| true);
            let without = assigned(&table, |at, _| at != 1);
            let mut gained = vec![0; count];
            for (was, is) in before.iter().zip(&without) {
                assert!(was == is || *was == 1, "{count}");
                gained[*is] += usize::from(*was == 1);
            }
            assert_eq!(gained[1], 0);
            let takers = gained.iter().filter(|gained| **gained > 0).count();
            assert_eq!(takers, count - 1, "{gained:?}");
        }
    }

    #[test]
    fn the_next_attempt_of_a_key_is_always_at_the_same_endpoint() {
        let table = table(&addresses(5), |_| 1);
        for value in 0..100_u64 {
            let key = key(&value.to_be_bytes());
            let mut tried = Vec::new();
            while let Some(next) = table.pick(key, |at, _| !tried.contains(&at)) {
                assert_eq!(table.pick(key, |at, _| !tried.contains(&at)), Some(next));
                tried.push(next);
            }
            tried.sort_unstable();
            assert_eq!(tried, [0, 1, 2, 3, 4]);
        }
    }

    #[test]
    fn a_growing_part_of_its_keys_is_admitted() {
        let table = table(&addresses(4), |_| 1);
        let full = assigned(&table, |_, _| true);
        let mut before = assigned(&table, |at, _| at != 2);
        for admitted in [100, 500, 999] {
            let now = assigned(&table, |at, fortune| at != 2 || fortune < admitted);
            let of = |keys: &[usize]| keys.iter().filter(|at| **at == 2).count() as u64;
            let share = of(&now) * 1000 / of(&full);
            assert!(share.abs_diff(admitted) < 30, "{share} instead of {admitted}");
            for (was, is) in before.iter().zip(&now) {
                assert!(was == is || *is == 2, "keys move to the endpoint, and stay");
            }
            before = now;
        }
    }

    #[test]
    fn nothing_is_picked_where_nothing_is_admitted() {
        assert_eq!(table(&addresses(2), |_| 1).pick(7, |_, _| false), None);
        assert_eq!(Table::new([]), None);
        let only = table(&addresses(200), |_| 1);
        assert_eq!(only.pick(7, |at, _| at == 133), Some(133), "beyond all probes");
    }
}
