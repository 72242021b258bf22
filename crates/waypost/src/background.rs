//! Background work: it yields to requests, but only for a limited time.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;
use waypost_proxy::priority::{Priority, lower};

/// Runs work that would delay requests on a worker's core.
#[derive(Debug, Default)]
pub(crate) struct Background {
    /// Alive while a low-priority thread runs whose work another thread has done.
    late: Weak<()>,
}

impl Background {
    /// Runs `work` on a thread of the lowest priority, which hardly runs while the workers keep all cores busy.
    ///
    /// Under overload that could take a minute, just when a rule that sheds load is needed. So after `patience` a second
    /// thread does the same work at the caller's priority, because a thread cannot raise its priority again; the first
    /// result counts. While the slow thread goes on, later work runs at the caller's priority at once, so that slow threads do
    /// not pile up.
    pub(crate) async fn run<T: Send + 'static>(
        &mut self,
        patience: Duration,
        work: impl Fn() -> T + Send + Sync + 'static,
    ) -> T {
        let work = Arc::new(work);
        let (done, mut first) = mpsc::channel(2);
        if self.late.strong_count() == 0 {
            let running = Arc::new(());
            self.late = Arc::downgrade(&running);
            let (patient_work, told) = (Arc::clone(&work), done.clone());
            let thread = thread::Builder::new().name("background".to_owned());
            let started = thread.spawn(move || {
                lower(Priority::Idle);
                let result = patient_work();
                // The receiver may start more work at once.
                drop(running);
                let _ = told.try_send(result);
            });
            if started.is_err() {
                return work();
            }
            tokio::select! {
                Some(result) = first.recv() => return result,
                () = sleep(patience) => {}
            }
        }
        // A thread inherits the priority of its creator.
        let urgent = Arc::clone(&work);
        let thread = thread::Builder::new().name("urgent".to_owned());
        let started = thread.spawn(move || {
            let _ = done.try_send(urgent());
        });
        if started.is_err() {
            return work();
        }
        match first.recv().await {
            Some(result) => result,
            // All threads have panicked; this call shows the panic.
            None => work(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Condvar, Mutex};

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn slow_work_is_repeated_and_the_first_result_counts() {
        let calls = AtomicUsize::new(0);
        let second_ran = Arc::new((Mutex::new(false), Condvar::new()));
        let work = {
            let second_ran = Arc::clone(&second_ran);
            move || {
                let call = calls.fetch_add(1, Ordering::Relaxed);
                if call == 0 {
                    let (ran, told) = &*second_ran;
                    drop(told.wait_while(ran.lock().unwrap(), |ran| !*ran).unwrap());
                }
                call
            }
        };
        assert_eq!(Background::default().run(Duration::ZERO, work).await, 1);
        // Releases the slow thread.
        *second_ran.0.lock().unwrap() = true;
        second_ran.1.notify_all();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn work_in_time_is_done_once() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let mut background = Background::default();
        let result = background
            .run(Duration::MAX, move || counted.fetch_add(1, Ordering::Relaxed))
            .await;
        assert_eq!((result, calls.load(Ordering::Relaxed)), (0, 1));
    }

    #[tokio::test]
    async fn work_right_after_has_low_priority_too() {
        let mut background = Background::default();
        for _ in 0..100 {
            let name = || thread::current().name().map(str::to_owned);
            let name = background.run(Duration::MAX, name).await;
            assert_eq!(name.as_deref(), Some("background"));
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn work_beside_a_slow_thread_has_normal_priority() {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let released = Mutex::new(released);
        let has_low_priority = || thread::current().name() == Some("background");
        let mut background = Background::default();
        let first = background.run(Duration::ZERO, move || {
            if has_low_priority() {
                // Until the end of the test.
                let _ = released.lock().unwrap().recv();
            }
            has_low_priority()
        });
        assert!(!first.await);
        assert!(!background.run(Duration::MAX, has_low_priority).await);
        drop(release);
    }
}
