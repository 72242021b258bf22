//! Thread priorities: workers run first; all other threads yield to them.
//!
//! A nice value alone is not enough: if a request arrives while another thread runs, the scheduler lets that thread
//! finish its slice, which takes some milliseconds. Workers therefore request the shortest slice: a thread with a
//! shorter slice is scheduled sooner (EEVDF, Linux 6.12 and later), unless it has just exceeded its share.
//!
//! A thread under `SCHED_IDLE` yields to a worker even then. But threads share locks with the workers, such as the
//! allocator's, and a thread that holds one hardly ever runs under that policy while other programs keep all cores
//! busy: requests were seen to wait for half a second. The policy is therefore only for work that frees next to no
//! memory allocated by a worker, and allocates next to none that a worker frees. For the same reason each thread has an
//! arena of its own, which `.cargo/config.toml` configures.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, getpriority_process, setpriority_process};
use thread_priority::ThreadPriority;
use thread_priority::unix::{
    DeadlineFlags, NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Priority of a thread, as its share of a core that a worker keeps busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// A tenth, for work with a user waiting. It may delay a request by some milliseconds.
    Low,
    /// A hundredth, for long work.
    Lowest,
    /// Almost none, for long work that frees no memory allocated by a worker: it may hold a lock for a second. It
    /// delays no request.
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

/// The scheduler's minimum slice, for workers.
const SLICE: Duration = Duration::from_micros(100);
/// The slice of all other threads.
const LONGER_SLICE: Duration = Duration::from_micros(200);

/// The thread id that means the calling thread.
const THIS_THREAD: i32 = 0;

/// `SCHED_FLAG_KEEP_POLICY` (sched.h): the thread keeps its policy; the one in the call is ignored.
const KEEP_POLICY: u64 = 0x08;

/// The name of jemalloc's background threads, which return memory to the system.
const ALLOCATOR_THREAD: &str = "jemalloc_bg_thd";

/// Lowers the priority of this thread, and of those it starts later, below the workers'. This cannot be undone.
pub fn lower(priority: Priority) {
    set_slice(THIS_THREAD, LONGER_SLICE);
    let nice = nice_of(None).max(priority.nice());
    if priority == Priority::Idle {
        // This sets a nice value too, if permitted.
        let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy);
    }
    // If it is not permitted, the priority stays as it was.
    let _ = setpriority_process(None, nice);
}

/// The nice value of `thread`, or of the calling one. On Linux threads, not processes, have nice values.
fn nice_of(thread: Option<Pid>) -> i32 {
    getpriority_process(thread).unwrap_or(0)
}

/// Lowers the priority of the allocator's background threads, if any, to [`Priority::Lowest`].
pub fn lower_allocator() {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    for task in tasks {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let id = task.file_name().to_str().and_then(|id| id.parse().ok());
        if name.trim_end() == ALLOCATOR_THREAD
            && let Some(id) = id
            && let Some(thread) = Pid::from_raw(id)
        {
            set_slice(id, LONGER_SLICE);
            let nice = nice_of(Some(thread)).max(Priority::Lowest.nice());
            let _ = setpriority_process(Some(thread), nice);
        }
    }
}

/// Gives this thread the minimum slice, so that it runs as soon as it is runnable. Threads that it starts inherit the
/// slice; workers start none.
pub(crate) fn prioritize() {
    set_slice(THIS_THREAD, SLICE);
}

/// Sets the slice of a thread, and of those it starts later.
fn set_slice(thread: i32, slice: Duration) {
    // The call also sets the nice value to 0; one that the operator chose is kept.
    let other = (thread != THIS_THREAD).then(|| Pid::from_raw(thread)).flatten();
    if nice_of(other) != 0 {
        return;
    }
    // `sched_setattr(2)` takes the slice of an ordinary thread as its `sched_runtime`. The crate makes that call only
    // for the deadline policy, which `KEEP_POLICY` has the kernel ignore. Older kernels ignore the slice.
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
    fn lower_affects_only_its_thread() {
        let before = own();
        for priority in [Priority::Low, Priority::Lowest] {
            // The tests may run at a lower priority themselves.
            let expected = (before.0.max(priority.nice()), before.1);
            assert_eq!(after(move || lower(priority)), expected);
        }
        // SCHED_IDLE is 5 (sched.h).
        assert_eq!(after(|| lower(Priority::Idle)).1, 5);
        assert_eq!(own(), before);
    }

    #[test]
    fn lower_never_raises_the_priority() {
        let twice = || {
            lower(Priority::Lowest);
            lower(Priority::Low);
        };
        assert_eq!(after(twice).0, Priority::Lowest.nice());
    }

    #[test]
    fn prioritize_keeps_policy_and_nice_value() {
        let before = own();
        assert_eq!(after(prioritize), before);
        let given = || {
            lower(Priority::Low);
            prioritize();
        };
        assert_eq!(after(given), (before.0.max(Priority::Low.nice()), before.1));
    }

    #[test]
    fn prioritize_sets_the_minimum_slice() {
        /// The slice in nanoseconds, if the kernel reports it.
        fn slice() -> Option<u64> {
            let sched = fs::read_to_string("/proc/thread-self/sched").ok()?;
            let line = sched.lines().find(|line| line.starts_with("se.slice"))?;
            line.rsplit(' ').next()?.parse().ok()
        }
        fn first() -> Option<u64> {
            prioritize();
            slice()
        }
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let mut numbers = release.split('.').map_while(|number| number.parse::<u32>().ok());
        let is_supported = (numbers.next(), numbers.next()) >= (Some(6), Some(12));
        if is_supported && own().0 == 0 && slice().is_some() {
            let after = std::thread::spawn(first).join().unwrap();
            assert_eq!(after, Some(100_000));
        }
    }

    #[test]
    fn allocator_threads_are_found_by_name() {
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name(ALLOCATOR_THREAD.to_owned());
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
