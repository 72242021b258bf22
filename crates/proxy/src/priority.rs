//! Threads whose work can wait.

use rustix::process::setpriority_process;

/// The lowest priority that the system knows.
const LOWEST: i32 = 19;

/// Has this thread, and those that it starts from now on, run only while nobody else wants the core.
///
/// The workers keep their cores busy when there is much to do; a thread of the same priority would then keep requests
/// waiting for as long as the system lets it run on, which is some milliseconds at a time. There is no way back.
pub fn give_way() {
    // On Linux a priority is a thread's own, and no process means the thread that asks. Where it is forbidden, all goes
    // on as it was.
    let _ = setpriority_process(None, LOWEST);
}
