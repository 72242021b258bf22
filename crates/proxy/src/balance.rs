//! Which endpoint takes a request: round robin, past those that rest.

use std::net::SocketAddr;

use tokio::time::Instant;

use crate::endpoints::Target;
use crate::pool::WorkerService;

impl WorkerService {
    /// Whether some target does not rest.
    pub(crate) fn is_ready(&self, now: Instant) -> bool {
        self.with_seats(|seats| {
            let mut seats = seats.seats.iter();
            seats.any(|seat| seat.rests_until.is_none_or(|until| until <= now))
        })
    }

    /// The next target in turn that is not among `tried`.
    ///
    /// One that rests is passed over while there is another; when all rest, they are tried all the same: a
    /// service that has come back is found at once, and one that has not says why.
    pub(crate) fn next_target(&self, tried: &[SocketAddr], now: Instant) -> Option<Target> {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        self.with_seats(|seats| {
            let count = seats.targets.len();
            let in_turn = (0..count).map(|step| (turn.wrapping_add(step)) % count);
            let mut resting = None;
            for at in in_turn {
                let target = seats.targets[at];
                if tried.contains(&target.address) {
                    continue;
                }
                if seats.seats[at].rests_until.is_none_or(|until| until <= now) {
                    return Some(target);
                }
                resting = resting.or(Some(target));
            }
            resting
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints::ServiceState;
    use crate::pool::REST;
    use std::sync::Arc;
    use waypost_plan::service::{Endpoint, EndpointHost, EndpointScheme, Service};

    fn service(count: u8) -> WorkerService {
        let endpoints = (1..=count)
            .map(|last| Endpoint {
                authority: "a".into(),
                host: EndpointHost::Address([127, 0, 0, last].into()),
                port: 80,
                scheme: EndpointScheme::Http,
            })
            .collect();
        let service = Service::new("s".into(), endpoints);
        let (notices, _) = tokio::sync::mpsc::channel(1);
        let state = Arc::new(ServiceState::new(Arc::new(service)));
        WorkerService::new(state, 0, Arc::default(), notices)
    }

    fn turns(service: &WorkerService, count: usize, now: Instant) -> Vec<usize> {
        (0..count)
            .map(|_| service.next_target(&[], now).unwrap().endpoint)
            .collect()
    }

    #[test]
    fn everyone_takes_a_turn() {
        assert_eq!(turns(&service(3), 6, Instant::now()), [0, 1, 2, 0, 1, 2]);
        assert_eq!(service(0).next_target(&[], Instant::now()), None);
    }

    #[test]
    fn who_rests_is_passed_over_unless_all_do() {
        let (service, now) = (service(2), Instant::now());
        let address = |last| SocketAddr::from(([127, 0, 0, last], 80));
        service.rest(address(1), now);
        assert_eq!(turns(&service, 3, now), [1, 1, 1]);
        service.rest(address(2), now);
        assert_eq!(turns(&service, 2, now), [1, 0]);
        assert_eq!(turns(&service, 2, now + REST), [1, 0]);
        let tried = [address(1)];
        assert_eq!(
            service.next_target(&tried, now).map(|target| target.endpoint),
            Some(1)
        );
        assert_eq!(service.next_target(&[address(1), address(2)], now), None);
    }
}
