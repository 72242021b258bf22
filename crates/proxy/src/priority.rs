//! Which threads come first: those that serve requests. All others give way to them.
//!
//! A nice value alone does not do: where a request arrives while another thread runs, the scheduler lets that one run on to
//! the end of its slice, which takes some milliseconds. So a worker asks for the shortest slice: who asks for less at a time
//! has it sooner (EEVDF, Linux 6.12 and later), unless it has just had more than its share.
//!
//! A thread under `SCHED_IDLE` gives way to a worker even then. But threads share locks with the workers, those of the allocator
//! among them, and one that holds such a lock hardly ever runs under that policy while other programs keep all cores busy:
//! requests then waited for half a second. So it is for work that frees no memory of a worker's, and none that a worker frees,
//! but for crumbs; and each thread has an arena of its own, which `.cargo/config.toml` asks of the allocator.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, getpriority_process, setpriority_process};
use thread_priority::ThreadPriority;
use thread_priority::unix::{
    DeadlineFlags, NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// How much of a core a thread has that the workers keep busy all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// A tenth, for what somebody waits for. A request may wait for it, for some milliseconds at most.
    Low,
    /// A hundredth, for what takes long.
    Lowest,
    /// Nothing to speak of, for what takes long and frees no memory that a worker took: a lock that it holds may be held for
    /// a second. No request waits for it.
    Idle,
}

impl Priority {
    fn nice(self) -> i32 {
        match self {
            Self::Low => 10,
            Self::Lowest | Self::Idle => 19,
        }
    }
}

/// The shortest slice that there is, for workers.
const SLICE: Duration = Duration::from_micros(100);
/// The slice of threads that give way.
const LONGER_SLICE: Duration = Duration::from_micros(200);

/// How the thread that asks is called.
const THIS_THREAD: i32 = 0;

/// `SCHED_FLAG_KEEP_POLICY` (sched.h): whatever policy is named, the thread keeps its own.
const KEEP_POLICY: u64 = 0x08;

/// What jemalloc calls the threads that give memory back to the system.
const ALLOCATORS_THREAD: &str = "jemalloc_bg_thd";

/// Gives this thread, and those that it starts from now on, a lower priority than the workers'. There is no way back.
pub fn lower(priority: Priority) {
    ask_for_slice(THIS_THREAD, LONGER_SLICE);
    let nice = nice_of(None).max(priority.nice());
    if priority == Priority::Idle {
        // It sets a nice value too, where it may.
        let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy);
    }
    // Where it is forbidden, all goes on as it was.
    let _ = setpriority_process(None, nice);
}

/// The nice value of a thread, or of the one that asks. On Linux it is a thread's own, and not its process's.
fn nice_of(thread: Option<Pid>) -> i32 {
    getpriority_process(thread).unwrap_or(0)
}

/// Gives the lowest priority to the allocator's own threads, if it has any.
pub fn lower_allocator() {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    for task in tasks {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let id = task.file_name().to_str().and_then(|id| id.parse().ok());
        if name.trim_end() == ALLOCATORS_THREAD
            && let Some(id) = id
            && let Some(thread) = Pid::from_raw(id)
        {
            ask_for_slice(id, LONGER_SLICE);
            let nice = nice_of(Some(thread)).max(Priority::Lowest.nice());
            let _ = setpriority_process(Some(thread), nice);
        }
    }
}

/// Has this thread run at once when there is something to do, and those that it starts, which a worker does not.
pub(crate) fn come_first() {
    ask_for_slice(THIS_THREAD, SLICE);
}

/// Has a thread run for so long at a time, and those that it starts from now on.
fn ask_for_slice(thread: i32, slice: Duration) {
    // The call sets a nice value too, and it is 0. Somebody who gave the gateway another one shall have it.
    let asked = (thread != THIS_THREAD).then(|| Pid::from_raw(thread)).flatten();
    if nice_of(asked) != 0 {
        return;
    }
    // The slice of an ordinary thread is what `sched_setattr` calls its runtime (sched_setattr(2)). The crate knows the call for
    // another policy only, so here that is named and not taken. An older kernel takes no notice.
    let slice = ThreadPriority::Deadline {
        runtime: slice,
        deadline: slice,
        period: slice,
        flags: DeadlineFlags::from_bits_retain(KEEP_POLICY),
    };
    let named = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Deadline);
    let _ = set_thread_priority_and_policy(thread.unsigned_abs().into(), slice, named);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nice value and policy of this thread, the 19th and the 41st field of proc_pid_stat(5).
    fn own() -> (i32, i32) {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        (fields[19 - 3].parse().unwrap(), fields[41 - 3].parse().unwrap())
    }

    fn after(change: impl FnOnce() + Send + 'static) -> (i32, i32) {
        let thread = std::thread::spawn(move || {
            change();
            own()
        });
        thread.join().unwrap()
    }

    #[test]
    fn a_thread_gives_way_and_takes_no_other_along() {
        let before = own();
        for priority in [Priority::Low, Priority::Lowest] {
            // Perhaps the tests give way themselves.
            let expected = (before.0.max(priority.nice()), before.1);
            assert_eq!(after(move || lower(priority)), expected);
        }
        // SCHED_IDLE is 5 (sched.h).
        assert_eq!(after(|| lower(Priority::Idle)).1, 5);
        assert_eq!(own(), before);
    }

    #[test]
    fn a_lower_priority_is_never_a_higher_one() {
        let twice = || {
            lower(Priority::Lowest);
            lower(Priority::Low);
        };
        assert_eq!(after(twice).0, Priority::Lowest.nice());
    }

    #[test]
    fn a_thread_that_comes_first_keeps_its_policy_and_its_nice_value() {
        let before = own();
        assert_eq!(after(come_first), before);
        let given = || {
            lower(Priority::Low);
            come_first();
        };
        assert_eq!(after(given), (before.0.max(Priority::Low.nice()), before.1));
    }

    #[test]
    fn a_thread_that_comes_first_has_the_shortest_slice() {
        /// In nanoseconds, where the kernel tells.
        fn slice() -> Option<u64> {
            let sched = fs::read_to_string("/proc/thread-self/sched").ok()?;
            let line = sched.lines().find(|line| line.starts_with("se.slice"))?;
            line.rsplit(' ').next()?.parse().ok()
        }
        fn first() -> Option<u64> {
            come_first();
            slice()
        }
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let mut numbers = release.split('.').map_while(|number| number.parse::<u32>().ok());
        let heeds = (numbers.next(), numbers.next()) >= (Some(6), Some(12));
        if heeds && own().0 == 0 && slice().is_some() {
            let after = std::thread::spawn(first).join().unwrap();
            assert_eq!(after, Some(100_000));
        }
    }

    #[test]
    fn the_threads_of_the_allocator_are_known_by_their_name() {
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name(ALLOCATORS_THREAD.to_owned());
        let thread = thread.spawn(move || {
            ready.send(()).unwrap();
            let _ = released.recv();
            own().0
        });
        is_ready.recv().unwrap();
        lower_allocator();
        drop(release);
        assert_eq!(thread.unwrap().join().unwrap(), Priority::Lowest.nice());
    }
}
