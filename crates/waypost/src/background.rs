//! Work that gives way to requests, but not for ever.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;
use waypost_proxy::priority::give_way;

/// Does `work` on a thread that runs only while the workers leave it a core.
///
/// Where they leave none, as when there is more to do than the gateway can, this could take a minute, and a rule that
/// sheds load is needed just then. So after `patience` a second thread does the same at the workers' own priority, as a
/// thread cannot have its priority back; the first of the two to end counts.
pub(crate) async fn in_good_time<T: Send + 'static>(
    patience: Duration,
    work: impl Fn() -> T + Send + Sync + 'static,
) -> T {
    let work = Arc::new(work);
    let (done, mut first) = mpsc::channel(2);
    let (patient, told) = (Arc::clone(&work), done.clone());
    let thread = thread::Builder::new().name("patient".to_owned());
    let started = thread.spawn(move || {
        give_way();
        let _ = told.try_send(patient());
    });
    if started.is_ok() {
        tokio::select! {
            Some(result) = first.recv() => return result,
            () = sleep(patience) => {}
        }
    }
    let urgent = Arc::clone(&work);
    // A thread has the priority of whoever starts it, so a thread of the runtime does.
    tokio::spawn(async move {
        tokio::task::spawn_blocking(move || {
            let _ = done.try_send(urgent());
        });
    });
    match first.recv().await {
        Some(result) => result,
        // Both have panicked, so this will tell why.
        None => work(),
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
        assert_eq!(in_good_time(Duration::ZERO, work).await, 1);
        // The one that was late goes its way.
        *second_ran.0.lock().unwrap() = true;
        second_ran.1.notify_all();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_is_done_in_time_is_done_once() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let result = in_good_time(Duration::MAX, move || counted.fetch_add(1, Ordering::Relaxed)).await;
        assert_eq!((result, calls.load(Ordering::Relaxed)), (0, 1));
    }
}
