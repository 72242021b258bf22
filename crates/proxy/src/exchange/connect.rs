//! Getting a connection to a service: one that is idle, or a new one, at whichever endpoint accepts.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::answer::Failure;
use crate::endpoints::Target;
use crate::pool::WorkerService;
use crate::worker::Worker;

/// How many endpoints are tried for one request.
pub(crate) const ATTEMPTS_MAX: usize = 8;

/// A connection to a service, for one exchange.
pub(crate) struct Lease {
    pub(crate) stream: TcpStream,
    pub(crate) target: Target,
    /// Whether it served another request before.
    pub(crate) reused: bool,
}

/// What a connection is needed for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    /// Only a new connection will do, as a reused one has just turned out dead.
    pub(crate) fresh: bool,
    /// When the route's time is up.
    pub(crate) deadline: Option<Instant>,
}

/// Gets a connection to some endpoint of `service`; `failed` is raised by each that did not accept.
pub(crate) async fn lease(
    worker: &Worker,
    service: &Rc<WorkerService>,
    need: Need,
    failed: &mut u32,
) -> Result<Lease, Failure> {
    let mut tried: Vec<SocketAddr> = Vec::new();
    let mut failure = Failure::NoEndpoint;
    while tried.len() < ATTEMPTS_MAX {
        let now = Instant::now();
        let Some(target) = service.next_target(&tried, now) else {
            break;
        };
        if !need.fresh
            && let Some(stream) = service.take(target.address, now)
        {
            return Ok(Lease {
                stream,
                target,
                reused: true,
            });
        }
        let connect_by = now + service.state().service().timeouts.connect;
        let by = need
            .deadline
            .map_or(connect_by, |deadline| deadline.min(connect_by));
        match connect(worker, target.address, by).await {
            Ok(stream) => {
                service.cells().opened.add(1);
                service.revive(target.address);
                return Ok(Lease {
                    stream,
                    target,
                    reused: false,
                });
            }
            Err(ConnectError::TimedOut)
                if need.deadline.is_some_and(|deadline| deadline <= Instant::now()) =>
            {
                return Err(Failure::RouteTimeout);
            }
            Err(ConnectError::TimedOut) => failure = Failure::ConnectTimeout,
            Err(ConnectError::Refused) => failure = Failure::ConnectionRefused,
            // Nothing is wrong with the endpoint.
            Err(ConnectError::NoDescriptor) => return Err(Failure::NoDescriptor),
        }
        service.cells().failed.add(1);
        service.rest(target.address, Instant::now());
        tried.push(target.address);
        *failed += 1;
    }
    Err(failure)
}

/// Why a connection did not come about.
enum ConnectError {
    TimedOut,
    Refused,
    /// This process has no descriptor for it.
    NoDescriptor,
}

/// Connects. When descriptors are short, idle connections make room.
async fn connect(worker: &Worker, address: SocketAddr, by: Instant) -> Result<TcpStream, ConnectError> {
    let mut made_room = false;
    loop {
        match timeout_at(by, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Without it, the end of a request could wait for the service's acknowledgement.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) if is_out_of_descriptors(&error) => {
                if made_room || !worker.close_idle() {
                    return Err(ConnectError::NoDescriptor);
                }
                made_room = true;
            }
            Ok(Err(_)) => return Err(ConnectError::Refused),
            Err(_) => return Err(ConnectError::TimedOut),
        }
    }
}

/// Whether the process, or the system, has no descriptor left.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    matches!(code, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}
