//! Verification of passwords, which takes long on purpose: on threads of their own, a bounded number at a time.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::sync::Semaphore;

use crate::priority::{Priority, lower};

/// Verifications at a time, per core.
pub(crate) const PER_CORE: usize = 2;
/// Requests that wait for one; further ones are refused.
pub(crate) const WAITING_MAX: usize = 64;

/// Verifies passwords for all workers.
#[derive(Debug)]
pub(crate) struct Verifier {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// The queue is full, or the gateway is at its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Busy;

/// A place in the queue, until it is dropped.
struct Place<'v>(&'v AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Verifier {
    /// A verifier for this machine.
    pub(crate) fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self::at_a_time(PER_CORE * cores)
    }

    fn at_a_time(verifications: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(verifications)),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Runs `verify` on a thread once it is its turn. One whose future is dropped before gives up its place.
    ///
    /// # Errors
    /// Too many are waiting.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        verify: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let free = Arc::clone(&self.permits).try_acquire_owned();
        let permit = match free {
            Ok(permit) => permit,
            Err(_) => {
                let before = self.waiting.fetch_add(1, Ordering::Relaxed);
                let _place = Place(&self.waiting);
                if before >= WAITING_MAX {
                    return Err(Busy);
                }
                let permits = Arc::clone(&self.permits);
                permits.acquire_owned().await.map_err(|_| Busy)?
            }
        };
        // The runtime keeps threads for a few seconds, and has never more than there are permits.
        let verified = tokio::task::spawn_blocking(move || {
            lower(Priority::Low);
            let verified = verify();
            // A client that has left is computed for to the end, and counts as long.
            drop(permit);
            verified
        });
        verified.await.map_err(|_| Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::{Context, Waker};

    #[tokio::test]
    async fn a_bounded_number_waits_and_the_rest_is_refused() {
        let verifier = Verifier::at_a_time(1);
        let (release, held) = mpsc::channel::<()>();
        let mut first = pin!(verifier.run(move || held.recv()));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        let mut waiting: Vec<_> = (0..WAITING_MAX)
            .map(|at| Box::pin(verifier.run(move || at)))
            .collect();
        for future in &mut waiting {
            assert!(future.as_mut().poll(&mut cx).is_pending());
        }
        assert_eq!(verifier.run(|| ()).await, Err(Busy));
        // One that leaves makes room.
        drop(waiting.remove(0));
        let mut late = Box::pin(verifier.run(|| usize::MAX));
        assert!(late.as_mut().poll(&mut cx).is_pending());
        assert_eq!(verifier.run(|| ()).await, Err(Busy));
        release.send(()).unwrap();
        assert!(first.await.is_ok());
        for (at, future) in waiting.into_iter().enumerate() {
            assert_eq!(future.await, Ok(at + 1));
        }
        assert_eq!(late.await, Ok(usize::MAX));
        assert_eq!(verifier.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_panic_is_not_passed_on() {
        let verifier = Verifier::at_a_time(1);
        let failed = verifier.run(|| -> u8 { panic!("as a test") }).await;
        assert_eq!(failed, Err(Busy));
        assert_eq!(verifier.run(|| 1).await, Ok(1));
    }
}
