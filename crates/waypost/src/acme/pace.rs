//! The times between orders for the same host, whichever certificates they are for.
//!
//! An authority asks for the challenges of a host by its name alone, so two orders for it are never under way together.

use std::collections::{HashMap, HashSet};

use waypost_acme::schedule::BETWEEN_MIN;

/// The latest orders.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The start of the last one, in seconds since 1970, by host.
    last: HashMap<Box<str>, i64>,
    /// The hosts that have an order under way.
    busy: HashSet<Box<str>>,
}

/// A reason to wait with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// Until this time, in seconds since 1970.
    Until(i64),
    /// Until another order has ended.
    Busy,
}

impl Pace {
    /// Notes an order of before.
    pub(super) fn note(&mut self, hosts: &[Box<str>], at: i64) {
        for host in hosts {
            let last = self.last.entry(host.clone()).or_insert(at);
            *last = at.max(*last);
        }
    }

    /// Begins an order for these hosts, which [`Pace::end`] ends.
    ///
    /// # Errors
    /// It has to wait.
    pub(super) fn begin(&mut self, hosts: &[Box<str>], now: i64) -> Result<(), Wait> {
        if hosts.iter().any(|host| self.busy.contains(host)) {
            return Err(Wait::Busy);
        }
        // A time to come is of a clock that was set back.
        self.last
            .retain(|_, last| (0..BETWEEN_MIN).contains(&now.saturating_sub(*last)));
        let latest = hosts.iter().filter_map(|host| self.last.get(host)).max();
        if let Some(latest) = latest {
            return Err(Wait::Until(latest + BETWEEN_MIN));
        }
        self.note(hosts, now);
        self.busy.extend(hosts.iter().cloned());
        Ok(())
    }

    /// Ends an order for these hosts.
    pub(super) fn end(&mut self, hosts: &[Box<str>]) {
        for host in hosts {
            self.busy.remove(host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_for_a_host_are_a_minute_apart_whatever_else_they_are_for() {
        let hosts = |names: &[&str]| -> Vec<Box<str>> { names.iter().map(|&name| name.into()).collect() };
        let mut pace = Pace::default();
        let mut order = |names: &[&str], now| {
            let begun = pace.begin(&hosts(names), now);
            if begun.is_ok() {
                pace.end(&hosts(names));
            }
            begun
        };
        assert_eq!(order(&["a"], 100), Ok(()));
        assert_eq!(order(&["b"], 110), Ok(()));
        assert_eq!(order(&["a", "c"], 120), Err(Wait::Until(160)));
        assert_eq!(order(&["a", "b"], 165), Err(Wait::Until(170)));
        assert_eq!(order(&["c"], 165), Ok(()), "what was not begun does not count");
        assert_eq!(order(&["a", "b"], 170), Ok(()));
        assert_eq!(pace.last.len(), 3);
        assert_eq!(pace.begin(&hosts(&["d"]), 1000), Ok(()));
        assert_eq!(pace.last.len(), 1, "what is past is forgotten");
        pace.note(&hosts(&["e"]), 2000);
        assert_eq!(
            pace.begin(&hosts(&["e"]), 1000),
            Ok(()),
            "a clock that was set back stops nothing"
        );
    }

    #[test]
    fn orders_for_a_host_are_not_under_way_together() {
        let hosts = |names: &[&str]| -> Vec<Box<str>> { names.iter().map(|&name| name.into()).collect() };
        let mut pace = Pace::default();
        assert_eq!(pace.begin(&hosts(&["a", "b"]), 100), Ok(()));
        assert_eq!(pace.begin(&hosts(&["b", "c"]), 500), Err(Wait::Busy));
        assert_eq!(pace.begin(&hosts(&["c"]), 500), Ok(()));
        pace.end(&hosts(&["a", "b"]));
        assert_eq!(pace.begin(&hosts(&["a", "b"]), 500), Ok(()));
    }
}
