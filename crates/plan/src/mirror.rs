//! Mirrors: copies of requests to another service, whose responses are discarded.

use waypost_route::split::Split;

use crate::service::ServiceId;

/// A mirror service and the fraction of requests to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The service that gets the copies.
    pub to: ServiceId,
    /// Two arms: copied, not copied.
    share: Split,
}

impl Mirror {
    /// Returns a mirror of `numerator` in `denominator` requests; a larger numerator means all of them.
    pub fn new(to: ServiceId, numerator: u64, denominator: u64) -> Self {
        let copied = numerator.min(denominator);
        Self {
            to,
            share: Split::new(&[copied, denominator - copied]),
        }
    }

    /// Returns true if the request with this roll is copied. Over all rolls, the fraction is exact.
    pub fn takes(&self, roll: u64) -> bool {
        self.share.pick(roll) == Some(0)
    }

    /// Returns the fraction of requests to copy, as numerator and denominator.
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
