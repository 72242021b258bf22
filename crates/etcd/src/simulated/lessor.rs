//! Leases, on a clock that the test moves.

use std::collections::BTreeMap;
use std::time::Duration;

use super::refusal::Refusal;
use super::store::Leases;

/// The shortest time that etcd grants, with its usual timing.
const TTL_MIN: i64 = 2;

/// The longest.
const TTL_MAX: i64 = 9_000_000_000;

/// Leases that exist.
#[derive(Debug, Default)]
pub(super) struct Lessor {
    leases: BTreeMap<i64, Lease>,
    last: i64,
}

#[derive(Debug)]
struct Lease {
    ttl: i64,
    ends: Duration,
}

impl Lessor {
    pub(super) fn ids(&self) -> Leases {
        self.leases.keys().copied().collect()
    }

    /// Grants a lease; returns its number and its time.
    pub(super) fn grant(&mut self, id: i64, ttl: i64, now: Duration) -> Result<(i64, i64), Refusal> {
        if ttl > TTL_MAX {
            return Err(Refusal::LeaseTtlTooLarge);
        }
        if self.leases.contains_key(&id) {
            return Err(Refusal::LeaseExists);
        }
        let id = if id == 0 { self.unused() } else { id };
        let ttl = ttl.max(TTL_MIN);
        let ends = now + seconds(ttl);
        self.leases.insert(id, Lease { ttl, ends });
        Ok((id, ttl))
    }

    fn unused(&mut self) -> i64 {
        loop {
            // As long as those of etcd.
            self.last += 0x0123_4567_89ab;
            if !self.leases.contains_key(&self.last) {
                return self.last;
            }
        }
    }

    pub(super) fn revoke(&mut self, id: i64) -> Result<(), Refusal> {
        self.leases.remove(&id).map(|_| ()).ok_or(Refusal::LeaseNotFound)
    }

    /// Renews a lease; returns its time, or 0 if it has ended.
    pub(super) fn renew(&mut self, id: i64, now: Duration) -> i64 {
        let Some(lease) = self.leases.get_mut(&id) else {
            return 0;
        };
        lease.ends = now + seconds(lease.ttl);
        lease.ttl
    }

    /// The rest of a lease, and the time that was granted.
    pub(super) fn left(&self, id: i64, now: Duration) -> Option<(i64, i64)> {
        let lease = self.leases.get(&id)?;
        let left = lease.ends.saturating_sub(now).as_secs();
        Some((i64::try_from(left).unwrap_or(i64::MAX), lease.ttl))
    }

    /// Takes out the leases that have ended.
    pub(super) fn ended(&mut self, now: Duration) -> Vec<i64> {
        let ended: Vec<i64> = self
            .leases
            .iter()
            .filter(|(_, lease)| lease.ends <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in &ended {
            self.leases.remove(id);
        }
        ended
    }
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(ttl.unsigned_abs())
}
