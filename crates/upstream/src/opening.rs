//! The wait for a connection to a service that has as many as it may have.

use std::future::pending;

use waypost_transport::h2::client_stream::ClientStream;
use waypost_transport::permits::OpenPermit;

use crate::limits::{ConnectionLimit, Refusal, Wait};
use crate::local::{LocalEndpoint, LocalService};
use crate::pool::idle::IdleConnection;

/// A thing that a request can use besides the permit to open a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A connection that served another request.
    Connection,
    /// A stream of a connection that others share.
    Stream,
    /// Nothing else: it needs a connection of its own.
    Permit,
}

/// The end of the wait.
pub(crate) enum Opening {
    /// A connection may be opened.
    Permit(OpenPermit),
    /// The connection of an exchange that has ended.
    Connection(IdleConnection),
    /// A stream.
    Stream(Box<ClientStream>),
}

/// Counts a request among those of its worker that wait for a connection.
struct Counted<'a>(&'a LocalService);

impl<'a> Counted<'a> {
    fn new(service: &'a LocalService) -> Self {
        let demands = service.demands();
        demands.set(demands.get() + 1);
        Self(service)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let demands = self.0.demands();
        demands.set(demands.get() - 1);
    }
}

/// Waits for what is `wanted` of `endpoint`, or for the permit to open a connection to it. Idle connections to any
/// endpoint are closed for it: first this worker's own, then those of others.
///
/// # Errors
/// Too many requests wait, or this one has waited for long enough.
pub(crate) async fn wait(
    service: &LocalService,
    endpoint: &LocalEndpoint,
    limit: &ConnectionLimit,
    wanted: Wanted,
    wait: &mut Wait<'_>,
) -> Result<Opening, Refusal> {
    let closed = service.close_one_idle();
    if closed && let Some(permit) = limit.try_take() {
        return Ok(Opening::Permit(permit));
    }
    if !wait.may_wait() {
        return Err(Refusal::Limit);
    }
    let counted = Counted::new(service);
    // A connection that is idle elsewhere is about to be closed: that is no reason to refuse.
    let idle = limit.idle();
    let demand = limit.demand();
    let spare = idle.max(limit.idle()) + usize::from(closed);
    // It may be closed already.
    if let Some(permit) = limit.try_take() {
        return Ok(Opening::Permit(permit));
    }
    let mut connection_turn = (wanted == Wanted::Connection).then(|| endpoint.connection_turns.enter());
    let mut stream_turn = (wanted == Wanted::Stream).then(|| endpoint.stream_turns.enter());
    let opening = async {
        let connection = async {
            match &mut connection_turn {
                Some(turn) => turn.given().await,
                None => pending().await,
            }
        };
        let stream = async {
            match &mut stream_turn {
                Some(turn) => turn.given().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            connection = connection => Opening::Connection(connection),
            stream = stream => Opening::Stream(stream),
            permit = limit.take() => Opening::Permit(permit),
        }
    };
    let opening = wait.wait_for(spare, opening).await;
    drop((demand, counted));
    opening
}
