//! Threads whose work can wait.

use rustix::process::setpriority_process;

/// How much of a core a thread has that the workers keep busy all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// About a tenth: for what somebody waits for.
    Low = 10,
    /// About a hundredth: for what takes long, and nobody waits for.
    Lowest = 19,
}

/// Gives this thread, and those that it starts from now on, another priority than the workers'.
///
/// A thread of the same priority keeps requests waiting for as long as the system lets it run on, which is some milliseconds
/// at a time. There is no way back.
pub fn lower(priority: Priority) {
    // On Linux a priority is a thread's own, and no process means the thread that asks. Where it is forbidden, all goes
    // on as it was.
    let _ = setpriority_process(None, priority as i32);
}
