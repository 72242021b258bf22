//! Requests and connections that a service may have.

use std::time::Duration;

use waypost_plan::service::Capacity;

use crate::diagnostic::Code;
use crate::document::service::ServiceLimits;
use crate::lower::{timeout, whole};
use crate::problems::Problems;

/// Maximum of each number. It is beyond what one machine can hold.
const MAX: u64 = 10_000_000;

/// Lowers the capacity of a service; a queue without a limit, or a wait without a queue, does nothing.
pub(super) fn capacity(written: &ServiceLimits, problems: &mut Problems) -> Capacity {
    let mut capacity = Capacity {
        requests: written.requests.as_ref().map(|max| whole(max, 1, MAX, problems)),
        connections: written
            .connections
            .as_ref()
            .map(|max| whole(max, 1, MAX, problems)),
        ..Capacity::default()
    };
    let is_limited = written.requests.is_some() || written.connections.is_some();
    if let Some(waiting) = &written.waiting {
        capacity.waiting = whole(waiting, 0, MAX, problems);
        if !is_limited {
            problems
                .add(
                    Code::NoEffect,
                    waiting.span,
                    "no request waits, as the service has no limit of requests or connections",
                )
                .help("add `requests` or `connections`, or remove `waiting`");
        }
    }
    if let Some(wait) = &written.wait {
        capacity.wait = timeout(wait, Duration::from_millis(1), problems);
        let missing = match (is_limited, capacity.waiting) {
            (false, _) => Some("`requests` or `connections`"),
            (true, 0) => Some("`waiting`"),
            (true, _) => None,
        };
        if let Some(missing) = missing {
            problems
                .add(
                    Code::NoEffect,
                    wait.span,
                    format!("no request waits without {missing}"),
                )
                .help(format!("add {missing}, or remove `wait`"));
        }
    }
    capacity
}
