//! The budget of file descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are left for everything but connections: files, listeners, runtimes.
const DESCRIPTORS_RESERVED: u64 = 64;

/// The budget of the process's descriptors.
pub(crate) struct Descriptors {
    /// Client connections in all. One whose request is served needs a second descriptor, for the service.
    pub(crate) clients: usize,
    /// Idle connections to services in all.
    pub(crate) idle: usize,
}

/// Shares out the descriptors: 3/5 to clients, 1/5 to active upstream connections, 1/5 to idle ones, which are closed first.
/// The limit is raised to its maximum before.
pub(crate) fn descriptors() -> Descriptors {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let Some(all) = current else {
        return Descriptors {
            clients: usize::MAX,
            idle: usize::MAX,
        };
    };
    let fifth = usize::try_from(all.saturating_sub(DESCRIPTORS_RESERVED) / 5)
        .unwrap_or(usize::MAX / 2)
        .max(1);
    let clients = fifth.saturating_mul(3);
    Descriptors { clients, idle: fifth }
}
