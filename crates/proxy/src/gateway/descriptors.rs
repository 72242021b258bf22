//! The file descriptor budget.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors reserved for files, listeners and runtimes.
const DESCRIPTORS_RESERVED: u64 = 64;

/// Connection limits derived from the process's descriptor limit.
pub(crate) struct Descriptors {
    /// Maximum client connections. A connection needs a second descriptor, for the service, while it serves a request.
    pub(crate) clients: usize,
    /// Maximum idle upstream connections.
    pub(crate) idle: usize,
    /// Maximum connections that are kept between checks of endpoints.
    pub(crate) checks: usize,
}

/// Raises the soft descriptor limit to the hard one and divides it: 3/5 clients, 1/5 active upstream connections, 1/5
/// idle upstream connections, which are closed first. A third of these are for checks.
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
            checks: usize::MAX,
        };
    };
    let fifth = usize::try_from(all.saturating_sub(DESCRIPTORS_RESERVED) / 5)
        .unwrap_or(usize::MAX / 2)
        .max(1);
    let clients = fifth.saturating_mul(3);
    let checks = fifth / 3;
    Descriptors {
        clients,
        idle: fifth - checks,
        checks,
    }
}
