use std::cell::Cell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use tokio::time::{advance, sleep_until};

use super::*;

fn limits(requests: usize, waiting: usize, wait_ms: u64) -> Box<ServiceLimits> {
    ServiceLimits::new(&Capacity {
        requests: Some(requests),
        connections: None,
        waiting,
        wait: Duration::from_millis(wait_ms),
    })
    .unwrap()
}

#[test]
fn service_without_limits_has_none() {
    assert!(ServiceLimits::new(&Capacity::default()).is_none());
}

#[tokio::test(start_paused = true)]
async fn own_deadline_ends_the_wait_as_such() {
    let limits = limits(1, 1, 1000);
    let limit = limits.request_limit().unwrap();
    let held = limit.try_take().unwrap();
    assert_eq!(limits.requests(), Some(Usage { used: 1, max: 1 }));
    for (deadline_ms, expected) in [
        (None, Refusal::Limit),
        (Some(2000), Refusal::Limit),
        (Some(999), Refusal::DeadlinePassed),
    ] {
        let deadline = deadline_ms.map(|ms| Instant::now() + Duration::from_millis(ms));
        let mut wait = Wait::new(Some(&limits), true, deadline);
        let waited = wait.wait_for(0, limit.take()).await;
        assert_eq!(waited.unwrap_err(), expected, "{deadline_ms:?}");
        assert_eq!(limits.waiting(), 1, "a place is held until it is left");
        wait.leave();
        assert_eq!(limits.waiting(), 0);
    }
    drop(held);
    assert_eq!(limits.requests(), Some(Usage { used: 0, max: 1 }));
}

#[tokio::test(start_paused = true)]
async fn one_wait_is_for_one_time_in_all() {
    let limits = limits(1, 1, 1000);
    let mut wait = Wait::new(Some(&limits), true, None);
    let began = Instant::now();
    let first = wait
        .wait_for(0, sleep_until(Instant::now() + Duration::from_millis(700)))
        .await;
    assert_eq!(first, Ok(()));
    let second = wait
        .wait_for(0, sleep_until(Instant::now() + Duration::from_millis(700)))
        .await;
    assert_eq!(second, Err(Refusal::Limit));
    assert_eq!(began.elapsed(), Duration::from_millis(1000));
}

#[tokio::test(start_paused = true)]
async fn spare_places_are_beyond_the_configured_ones() {
    let limits = limits(1, 0, 1000);
    let mut refused = Wait::new(Some(&limits), true, None);
    let never = || std::future::pending::<()>();
    assert!(poll_once(&mut Box::pin(refused.wait_for(0, never()))).is_ready());
    let mut wait = Wait::new(Some(&limits), true, None);
    assert!(poll_once(&mut Box::pin(wait.wait_for(1, never()))).is_pending());
    let mut given_up = Wait::new(Some(&limits), false, None);
    assert!(poll_once(&mut Box::pin(given_up.wait_for(9, never()))).is_ready());
}

fn poll_once<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// A step of a random history.
#[derive(Debug, Clone)]
enum Step {
    /// A request comes.
    Come,
    /// The request in flight at this position ends.
    End(usize),
    /// The client of the waiting request at this position leaves.
    Leave(usize),
    /// Milliseconds pass.
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Come),
        2 => (0..8_usize).prop_map(Step::End),
        1 => (0..8_usize).prop_map(Step::Leave),
        1 => (1..60_u64).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..60)
}

/// The state of one request, as its future reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Waiting,
    InFlight,
    Refused,
}

/// A request that is under way: it takes a permit, and holds it until it is dropped.
struct Running<'a> {
    number: usize,
    fate: Rc<Cell<Fate>>,
    future: Pin<Box<dyn Future<Output = ()> + 'a>>,
}

fn run<'a>(number: usize, limits: &'a ServiceLimits) -> Running<'a> {
    let fate = Rc::new(Cell::new(Fate::Waiting));
    let seen = Rc::clone(&fate);
    let future = Box::pin(async move {
        let limit = limits.request_limit().unwrap();
        let mut wait = Wait::new(Some(limits), true, None);
        let permit = match limit.try_take() {
            Some(permit) => Ok(permit),
            None => wait.wait_for(0, limit.take()).await,
        };
        wait.leave();
        seen.set(if permit.is_ok() {
            Fate::InFlight
        } else {
            Fate::Refused
        });
        if permit.is_ok() {
            poll_fn(|_| Poll::<()>::Pending).await;
        }
        drop(permit);
    });
    Running { number, fate, future }
}

/// The slow reference: what is in flight and what waits, by number, the latter with the end of its wait.
#[derive(Default)]
struct Reference {
    in_flight: Vec<usize>,
    waiting: VecDeque<(usize, u64)>,
    now: u64,
}

impl Reference {
    fn come(&mut self, number: usize, max: usize, waiting_max: usize, wait: u64) -> Fate {
        if self.in_flight.len() < max {
            self.in_flight.push(number);
            return Fate::InFlight;
        }
        if self.waiting.len() < waiting_max {
            self.waiting.push_back((number, self.now + wait));
            return Fate::Waiting;
        }
        Fate::Refused
    }

    fn end(&mut self, at: usize) -> usize {
        let ended = self.in_flight.remove(at);
        if let Some((next, _)) = self.waiting.pop_front() {
            self.in_flight.push(next);
        }
        ended
    }

    fn pass(&mut self, ms: u64) {
        self.now += ms;
        let now = self.now;
        self.waiting.retain(|(_, until)| *until > now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn queue_is_as_the_reference_has_it(steps in steps(), max in 1..4_usize, waiting_max in 0..4_usize) {
        const WAIT_MS: u64 = 100;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        // A future that has used its budget up would be pending for no reason.
        runtime.block_on(tokio::task::unconstrained(async {
            let limits = limits(max, waiting_max, WAIT_MS);
            let mut reference = Reference::default();
            let mut running: Vec<Running<'_>> = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Come => {
                        let expected = reference.come(number, max, waiting_max, WAIT_MS);
                        let mut request = run(number, &limits);
                        let _ = poll_once(&mut request.future);
                        assert_eq!(request.fate.get(), expected);
                        if expected != Fate::Refused {
                            running.push(request);
                        }
                    }
                    Step::End(at) if !reference.in_flight.is_empty() => {
                        let ended = reference.end(at % reference.in_flight.len());
                        running.retain(|request| request.number != ended);
                    }
                    Step::Leave(at) if !reference.waiting.is_empty() => {
                        let (left, _) = reference.waiting.remove(at % reference.waiting.len()).unwrap();
                        running.retain(|request| request.number != left);
                    }
                    Step::Pass(ms) => {
                        reference.pass(ms);
                        advance(Duration::from_millis(ms)).await;
                    }
                    Step::End(_) | Step::Leave(_) => {}
                }
                for request in &mut running {
                    let _ = poll_once(&mut request.future);
                }
                running.retain(|request| request.fate.get() != Fate::Refused);
                for request in &running {
                    let is_in_flight = reference.in_flight.contains(&request.number);
                    let expected = if is_in_flight { Fate::InFlight } else { Fate::Waiting };
                    assert_eq!(request.fate.get(), expected, "{}", request.number);
                }
                assert_eq!(running.len(), reference.in_flight.len() + reference.waiting.len());
                assert_eq!(limits.requests().unwrap().used, reference.in_flight.len());
                assert_eq!(limits.waiting(), reference.waiting.len());
            }
        }));
    }
}
