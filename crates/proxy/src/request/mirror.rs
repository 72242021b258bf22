//! Copies of requests for a service whose responses are discarded.
//!
//! A copy never delays its request: it is collected while the request passes, and sent by a task of its own once all of
//! the request's body has come. Copies are bounded in number and size; those beyond are dropped and counted.

use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;
use waypost_transport::permits::Permit;
use waypost_transport::relay::tap::Tap;
use waypost_upstream::call::{self, BodyNeed, Call, CallError};
use waypost_upstream::connect::ConnectError;
use waypost_upstream::local::LocalService;
use waypost_wire::write;

use crate::local::Worker;
use crate::observe::metrics::{Mirrored, RouteCounters};

/// The longest body that is copied.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;
/// Bytes of a response's body that are read, so that its connection can be reused.
pub(crate) const RESPONSE_BYTES_MAX: usize = 1 << 20;

/// A copy whose body is not complete yet. One that is dropped before it is sent is counted.
pub(crate) struct MirrorCopy {
    service: Rc<LocalService>,
    call: Call,
    count: Count,
    permit: Permit,
}

/// Counts the fate of a copy, once.
struct Count {
    counters: Arc<RouteCounters>,
    outcome: Mirrored,
}

impl Drop for Count {
    fn drop(&mut self) {
        self.counters.count_mirrored(self.outcome);
    }
}

/// The request that is copied.
pub(crate) struct Copied {
    /// Its head, up to `content-length` and the empty line.
    pub(crate) head: Vec<u8>,
    /// The place in it of the endpoint's authority, if that is its host.
    pub(crate) authority_at: Option<usize>,
    /// True for HEAD.
    pub(crate) is_head: bool,
    /// True if it may be sent twice.
    pub(crate) is_idempotent: bool,
    /// The hash of its value, where the service balances by it.
    pub(crate) key: Option<u64>,
}

impl MirrorCopy {
    /// Begins a copy for `service`, unless it is too long or there are too many. `announced` is the length of its body,
    /// if that is known.
    pub(crate) fn begin(
        worker: &Worker,
        service: Rc<LocalService>,
        counters: Arc<RouteCounters>,
        announced: Option<u64>,
        copied: impl FnOnce() -> Copied,
    ) -> Option<Self> {
        let mut count = Count {
            counters,
            outcome: Mirrored::Incomplete,
        };
        if announced.is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
            count.outcome = Mirrored::TooLong;
            return None;
        }
        // Clients try whether an ejected service is back; copies would only delay them.
        if !service.is_available(Instant::now()) {
            count.outcome = Mirrored::Failed;
            return None;
        }
        let Some(permit) = worker.mirrored().take() else {
            count.outcome = Mirrored::TooMany;
            return None;
        };
        let Copied {
            head,
            authority_at,
            is_head,
            is_idempotent,
            key,
        } = copied();
        Some(Self {
            service,
            call: Call {
                message: head,
                authority_at,
                is_head,
                is_idempotent,
                response_bytes_max: RESPONSE_BYTES_MAX,
                response_bytes_kept: 0,
                // A copy must not take a place in the queue from a client.
                may_wait: false,
                body: BodyNeed::Whole,
                keeps_head: false,
                key,
            },
            count,
            permit,
        })
    }

    /// Sends it with the body that has passed, or drops and counts it if that is too long.
    pub(crate) fn send_with(mut self, worker: &Rc<Worker>, tap: Tap) {
        match tap {
            Tap::Open { copy, .. } => self.send(worker, Some(&copy)),
            Tap::Closed | Tap::Overflowed | Tap::CallStatus(_) => self.count.outcome = Mirrored::TooLong,
        }
    }

    /// Sends it, and reads the response to its end, in a task of its own. `body` is `None` for a request without one.
    pub(crate) fn send(mut self, worker: &Rc<Worker>, body: Option<&[u8]>) {
        let message = &mut self.call.message;
        if let Some(body) = body {
            write::content_length(message, body.len() as u64);
        }
        message.extend_from_slice(b"\r\n");
        message.extend_from_slice(body.unwrap_or_default());
        let Self {
            service,
            call,
            mut count,
            permit,
        } = self;
        // Replaced if the call succeeds.
        count.outcome = Mirrored::Failed;
        let worker = Rc::clone(worker);
        tokio::task::spawn_local(async move {
            let deadline = call::deadline(&service);
            let called = call::call(worker.upstreams(), &service, &call, deadline).await;
            match called {
                Ok(_) => count.outcome = Mirrored::Responded,
                Err(CallError::Connect(ConnectError::RequestLimit | ConnectError::ConnectionLimit)) => {
                    count.outcome = Mirrored::TooMany;
                }
                Err(_) => {}
            }
            drop((count, permit));
        });
    }
}
