//! The times between orders for the same host, whichever certificates they are for.

use std::collections::HashMap;

use waypost_acme::schedule::BETWEEN_MIN;

/// The latest orders.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The start of the last one, in seconds since 1970, by host.
    last: HashMap<Box<str>, i64>,
}

impl Pace {
    /// Notes an order of before.
    pub(super) fn note(&mut self, hosts: &[Box<str>], at: i64) {
        for host in hosts {
            let last = self.last.entry(host.clone()).or_insert(at);
            *last = at.max(*last);
        }
    }

    /// Begins an order for these hosts.
    ///
    /// # Errors
    /// The time from which one is allowed.
    pub(super) fn begin(&mut self, hosts: &[Box<str>], now: i64) -> Result<(), i64> {
        // A time to come is of a clock that was set back.
        self.last
            .retain(|_, last| (0..BETWEEN_MIN).contains(&now.saturating_sub(*last)));
        let latest = hosts.iter().filter_map(|host| self.last.get(host)).max();
        if let Some(latest) = latest {
            return Err(latest + BETWEEN_MIN);
        }
        self.note(hosts, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_for_a_host_are_a_minute_apart_whatever_else_they_are_for() {
        let hosts = |names: &[&str]| -> Vec<Box<str>> { names.iter().map(|&name| name.into()).collect() };
        let mut pace = Pace::default();
        assert_eq!(pace.begin(&hosts(&["a"]), 100), Ok(()));
        assert_eq!(pace.begin(&hosts(&["b"]), 110), Ok(()));
        assert_eq!(pace.begin(&hosts(&["a", "c"]), 120), Err(160));
        assert_eq!(pace.begin(&hosts(&["a", "b"]), 165), Err(170));
        assert_eq!(
            pace.begin(&hosts(&["c"]), 165),
            Ok(()),
            "what was not begun does not count"
        );
        assert_eq!(pace.begin(&hosts(&["a", "b"]), 170), Ok(()));
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
}
