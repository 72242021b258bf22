//! Copies of requests for a service whose answers nobody gets.

use waypost_route::split::Split;

use crate::service::ServiceId;

/// Where copies go, and of how many requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The service that gets them.
    pub to: ServiceId,
    /// Two arms: what is copied, and what is not.
    share: Split,
}

impl Mirror {
    /// A mirror of `numerator` requests in `denominator`; more than all of them are all of them.
    pub fn new(to: ServiceId, numerator: u64, denominator: u64) -> Self {
        let copied = numerator.min(denominator);
        Self {
            to,
            share: Split::new(&[copied, denominator - copied]),
        }
    }

    /// Whether the request with this roll is copied; over all rolls the share is exact.
    pub fn takes(&self, roll: u64) -> bool {
        self.share.pick(roll) == Some(0)
    }

    /// How many requests in how many are copied.
    pub fn share(&self) -> (u64, u64) {
        let weights = self.share.weights();
        (weights[0], weights[0] + weights[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_exact() {
        let mirror = |numerator, denominator| Mirror::new(ServiceId(0), numerator, denominator);
        assert!(mirror(1, 1).takes(0) && mirror(1, 1).takes(u64::MAX));
        assert!(!mirror(0, 100).takes(0) && !mirror(0, 100).takes(u64::MAX));
        let quarter = mirror(25, 100);
        assert!(quarter.takes((1 << 62) - 1) && !quarter.takes(1 << 62));
        assert_eq!(mirror(7, 5).share(), (5, 5));
    }
}
