//! Work in the background: it gives way to requests, but not for ever.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;
use waypost_proxy::priority::{Priority, lower};

/// Where work is done that would keep requests waiting.
#[derive(Debug, Default)]
pub(crate) struct Background {
    /// Whether a thread still gives way whose work has been done by another one.
    late: Weak<()>,
}

impl Background {
    /// Does `work` on a thread that hardly runs while the workers keep all cores busy.
    ///
    /// That could take a minute, when there is more to do than the gateway can, and a rule that sheds load is needed just
    /// then. So after `patience` a second thread does the same at the priority of whoever asks, as a thread cannot have its
    /// priority back; the first of the two to end counts. While the other goes on, what comes next does not give way, or
    /// there would be more and more of them.
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
            let (patient, told) = (Arc::clone(&work), done.clone());
            let thread = thread::Builder::new().name("background".to_owned());
            let started = thread.spawn(move || {
                lower(Priority::Idle);
                let result = patient();
                // Whoever gets the result may have more to do at once.
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
        // A thread has the priority of whoever starts it.
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
            // All have panicked, so this will tell why.
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
    async fn what_gets_no_time_is_done_by_another_thread_and_the_first_to_end_counts() {
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
        // The one that was late goes its way.
        *second_ran.0.lock().unwrap() = true;
        second_ran.1.notify_all();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_is_done_in_time_is_done_once() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let mut background = Background::default();
        let result = background
            .run(Duration::MAX, move || counted.fetch_add(1, Ordering::Relaxed))
            .await;
        assert_eq!((result, calls.load(Ordering::Relaxed)), (0, 1));
    }

    #[tokio::test]
    async fn what_comes_right_after_gives_way_too() {
        let mut background = Background::default();
        for _ in 0..100 {
            let name = || thread::current().name().map(str::to_owned);
            let name = background.run(Duration::MAX, name).await;
            assert_eq!(name.as_deref(), Some("background"));
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_is_late_keeps_what_comes_next_from_giving_way() {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let released = Mutex::new(released);
        let is_patient = || thread::current().name() == Some("background");
        let mut background = Background::default();
        let first = background.run(Duration::ZERO, move || {
            if is_patient() {
                // Until the end of the test.
                let _ = released.lock().unwrap().recv();
            }
            is_patient()
        });
        assert!(!first.await);
        assert!(!background.run(Duration::MAX, is_patient).await);
        drop(release);
    }
}
