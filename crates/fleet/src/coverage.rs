//! The part of the traffic that is known where not all instances say what they have counted.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The part of a second's count in the mean that an instance is weighed by.
const NEWEST: f64 = 0.1;

/// The word of an instance that lives on one second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Said {
    /// So many requests more than the last time.
    Requests(f64),
    /// A count without an earlier one that it could be compared with: it has come or started anew.
    First,
    /// Nothing.
    Nothing,
}

/// The instances that were left out of a second, and their part in the traffic.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Missing {
    /// Their ids, in order.
    pub ids: Vec<String>,
    /// Their share of all requests, 0 to 1, by what each was last known to get.
    pub share: f64,
}

/// The requests in a second that each instance was last known to get: a mean that fades.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Coverage {
    rates: BTreeMap<Arc<str>, f64>,
}

impl Coverage {
    /// Takes in a second: what each instance that lives has said. Those that are not among them are forgotten. One that was
    /// never counted weighs as much as the others do on average; where no one is known to get any requests, all weigh the
    /// same.
    pub fn take(&mut self, instances: &[(Arc<str>, Said)]) -> Missing {
        let rates = instances.iter().filter_map(|(id, said)| {
            let known = self.rates.get(id).copied();
            let rate = match (said, known) {
                (Said::Requests(requests), None) => Some(*requests),
                (Said::Requests(requests), Some(known)) => Some(known + NEWEST * (requests - known)),
                (Said::First | Said::Nothing, known) => known,
            };
            Some((Arc::clone(id), rate?))
        });
        self.rates = rates.collect();
        let sum: f64 = self.rates.values().sum();
        let average = match sum > 0.0 {
            true => sum / self.rates.len() as f64,
            false => 1.0,
        };
        let weight = |id: &Arc<str>| match (self.rates.get(id), sum > 0.0) {
            (Some(rate), true) => *rate,
            _ => average,
        };
        let (mut all, mut missing) = (0.0, Missing::default());
        for (id, said) in instances {
            all += weight(id);
            if *said == Said::Nothing {
                missing.share += weight(id);
                missing.ids.push(id.to_string());
            }
        }
        if !missing.ids.is_empty() {
            missing.share /= all;
        }
        missing.ids.sort();
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::Said::{First, Nothing, Requests};
    use super::*;

    /// Seconds of the instances `a`, `b` and so on, and the share in percent that is missing after the last.
    fn check(seconds: &[&[Said]], ids: &[&str], expected: f64) {
        let mut coverage = Coverage::default();
        let mut missing = Missing::default();
        for second in seconds {
            let instances = ('a'..).zip(*second);
            let instances = instances.map(|(id, said)| (Arc::from(id.to_string()), *said));
            missing = coverage.take(&instances.collect::<Vec<_>>());
        }
        assert_eq!(missing.ids, ids, "{seconds:?}");
        let share = missing.share * 100.0;
        assert!((share - expected).abs() < 0.01, "{share} after {seconds:?}");
    }

    #[test]
    fn instances_that_say_nothing_are_weighed_by_what_they_were_last_known_to_get() {
        check(&[&[Requests(9.0), Requests(1.0)]], &[], 0.0);
        check(
            &[&[Requests(9.0), Requests(1.0)], &[Requests(9.0), Nothing]],
            &["b"],
            10.0,
        );
        check(
            &[
                &[Requests(50.0), Requests(30.0), Requests(20.0)],
                &[Requests(50.0), Nothing, Nothing],
                &[Requests(50.0), Nothing, Nothing],
            ],
            &["b", "c"],
            50.0,
        );
        // It got nothing, so nothing is missing.
        check(
            &[&[Requests(9.0), Requests(0.0)], &[Requests(9.0), Nothing]],
            &["b"],
            0.0,
        );
        check(
            &[
                &[Requests(9.0), Requests(1.0)],
                &[Requests(9.0), Nothing],
                &[Requests(9.0), Requests(1.0)],
            ],
            &[],
            0.0,
        );
    }

    #[test]
    fn an_instance_that_was_never_counted_is_an_average_one() {
        check(&[&[Requests(30.0), Requests(10.0), Nothing]], &["c"], 33.333);
        let ten = [[Requests(7.0)].repeat(9), vec![Nothing]].concat();
        check(&[&ten], &["j"], 10.0);
        // A first count tells nothing of its traffic.
        check(
            &[&[Requests(30.0), First], &[Requests(30.0), Nothing]],
            &["b"],
            50.0,
        );
    }

    #[test]
    fn all_weigh_the_same_where_there_are_no_requests() {
        check(&[&[Requests(0.0), Requests(0.0), Nothing]], &["c"], 33.333);
        check(&[&[First, Nothing]], &["b"], 50.0);
        check(
            &[&[Requests(0.0), Requests(0.0)], &[Requests(0.0), Nothing]],
            &["b"],
            50.0,
        );
        check(&[&[Nothing]], &["a"], 100.0);
        check(&[&[]], &[], 0.0);
    }

    #[test]
    fn weights_follow_the_traffic_and_end_with_the_instance() {
        let (busy, idle) = ([Requests(90.0), Requests(10.0)], [Requests(10.0), Requests(90.0)]);
        let mut seconds: Vec<&[Said]> = vec![&busy];
        seconds.extend([&idle[..]].repeat(60));
        seconds.push(&[Nothing, Requests(90.0)]);
        check(&seconds, &["a"], 10.142);
        // What came back is not what had left.
        check(
            &[
                &[Requests(10.0), Requests(990.0)],
                &[Requests(10.0)],
                &[Requests(10.0), Nothing],
            ],
            &["b"],
            50.0,
        );
    }
}
