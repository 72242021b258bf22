//! Threads whose work can wait.

use rustix::process::setpriority_process;
use thread_priority::ThreadPriority;
use thread_priority::unix::{
    NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};

/// How much of a core a thread has that the workers keep busy all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// About a tenth, for what somebody waits for. A request may wait for it for the shortest time that the system lets a
    /// thread run on, which is a millisecond or so.
    Low,
    /// Next to nothing, for what takes long (`SCHED_IDLE`, sched(7)). No request waits for it.
    Lowest,
}

/// The nice value of [`Priority::Low`].
const NICE: i32 = 10;

/// Gives this thread, and those that it starts from now on, a lower priority than the workers'. There is no way back.
pub fn lower(priority: Priority) {
    // Where it is forbidden, all goes on as it was.
    match priority {
        Priority::Low => {
            // On Linux it is a thread's own, and no process means the thread that asks.
            let _ = setpriority_process(None, NICE);
        }
        Priority::Lowest => {
            let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
            let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_thread_gives_way_and_takes_no_other_along() {
        /// Nice value and policy, the 19th and the 41st field of proc_pid_stat(5).
        fn own() -> (i32, i32) {
            let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
            let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
            (fields[19 - 3].parse().unwrap(), fields[41 - 3].parse().unwrap())
        }
        let after = |priority| {
            let thread = std::thread::spawn(move || {
                lower(priority);
                own()
            });
            thread.join().unwrap()
        };
        let before = own();
        // Perhaps the tests give way themselves.
        assert_eq!(after(Priority::Low), (before.0.max(NICE), before.1));
        // SCHED_IDLE is 5 (sched.h).
        assert_eq!(after(Priority::Lowest).1, 5);
        assert_eq!(own(), before);
    }
}
