//! A worker's side of a service: idle connections and the health of each endpoint.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use crate::endpoints::{ServiceState, Target};
use crate::gateway::Notice;
use crate::metrics::ServiceCells;

/// How long an endpoint rests after a connection to it failed.
pub(crate) const REST: Duration = Duration::from_secs(10);

/// A service as one worker knows it. Nothing of it is shared with another worker.
#[derive(Debug)]
pub(crate) struct WorkerService {
    state: Arc<ServiceState>,
    seats: RefCell<Seats>,
    cells: Arc<ServiceCells>,
    notices: Sender<Notice>,
    /// Whose turn it is.
    pub(crate) turn: Cell<usize>,
}

/// The targets that the worker knows, and what it keeps for each.
#[derive(Debug)]
pub(crate) struct Seats {
    pub(crate) targets: Arc<Vec<Target>>,
    /// Parallel to `targets`.
    pub(crate) seats: Vec<Seat>,
}

/// What a worker keeps for one address.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    /// The connection used last is used next, so that those not needed grow old.
    idle: Vec<Idle>,
    /// While a connection failed a moment ago.
    pub(crate) rests_until: Option<Instant>,
}

#[derive(Debug)]
struct Idle {
    stream: TcpStream,
    since: Instant,
    _place: IdlePlace,
}

/// How many idle connections a worker may keep in all, so that descriptors are left for clients.
#[derive(Debug)]
pub(crate) struct IdleBudget {
    kept: Rc<Cell<usize>>,
    max: usize,
}

/// One idle connection's part of the budget, given back when it is taken or closed.
#[derive(Debug)]
pub(crate) struct IdlePlace(Rc<Cell<usize>>);

impl IdleBudget {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            kept: Rc::default(),
            max,
        }
    }

    /// A place for one more; `None` when there is none.
    pub(crate) fn place(&self) -> Option<IdlePlace> {
        if self.kept.get() >= self.max {
            return None;
        }
        self.kept.set(self.kept.get() + 1);
        Some(IdlePlace(Rc::clone(&self.kept)))
    }

    /// Whether anything is kept.
    pub(crate) fn is_used(&self) -> bool {
        self.kept.get() > 0
    }
}

impl Drop for IdlePlace {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl WorkerService {
    pub(crate) fn new(
        state: Arc<ServiceState>,
        turn: usize,
        cells: Arc<ServiceCells>,
        notices: Sender<Notice>,
    ) -> Self {
        let targets = state.targets();
        let seats = targets.iter().map(|_| Seat::default()).collect();
        Self {
            state,
            seats: RefCell::new(Seats { targets, seats }),
            cells,
            notices,
            turn: Cell::new(turn),
        }
    }

    pub(crate) fn state(&self) -> &Arc<ServiceState> {
        &self.state
    }

    /// What its connections are counted by.
    pub(crate) fn cells(&self) -> &ServiceCells {
        &self.cells
    }

    /// Looks at the seats, after taking over what names resolve to now.
    pub(crate) fn with_seats<T>(&self, look: impl FnOnce(&mut Seats) -> T) -> T {
        let mut seats = self.seats.borrow_mut();
        if let Some(targets) = self.state.targets_unless(&seats.targets) {
            let Seats {
                targets: known,
                seats: kept,
            } = &mut *seats;
            let mut kept: Vec<(SocketAddr, Seat)> = known
                .iter()
                .map(|target| target.address)
                .zip(std::mem::take(kept))
                .collect();
            let reseat = |target: &Target| {
                let found = kept.iter().position(|(address, _)| *address == target.address);
                found.map_or_else(Seat::default, |at| kept.swap_remove(at).1)
            };
            let reseated = targets.iter().map(reseat).collect();
            *seats = Seats {
                targets,
                seats: reseated,
            };
        }
        look(&mut seats)
    }

    /// An idle connection to `address` that is alive.
    pub(crate) fn take(&self, address: SocketAddr, now: Instant) -> Option<TcpStream> {
        let idle_timeout = self.state.service().pool.idle_timeout;
        self.with_seats(|seats| {
            let seat = seats.of(address)?;
            while let Some(idle) = seat.idle.pop() {
                if now - idle.since < idle_timeout && is_alive(&idle.stream) {
                    self.cells.reused.add(1);
                    return Some(idle.stream);
                }
            }
            None
        })
    }

    /// Keeps a connection that has finished exactly.
    pub(crate) fn put(&self, address: SocketAddr, stream: TcpStream, now: Instant, place: IdlePlace) {
        let idle_max = self.state.service().pool.idle_max;
        self.with_seats(|seats| {
            if let Some(seat) = seats.of(address)
                && seat.idle.len() < idle_max
            {
                seat.idle.push(Idle {
                    stream,
                    since: now,
                    _place: place,
                });
            }
        });
    }

    /// Closes what is idle for too long, and what its service has closed.
    pub(crate) fn sweep(&self, now: Instant) {
        let idle_timeout = self.state.service().pool.idle_timeout;
        self.with_seats(|seats| {
            for seat in &mut seats.seats {
                seat.idle
                    .retain(|idle| now - idle.since < idle_timeout && is_quiet(&idle.stream));
            }
            let idle = seats.seats.iter().map(|seat| seat.idle.len() as u64).sum();
            self.cells.idle.set(idle);
        });
    }

    /// Closes everything that is idle.
    pub(crate) fn close_idle(&self) {
        self.with_seats(|seats| seats.seats.iter_mut().for_each(|seat| seat.idle.clear()));
    }

    /// Lets an address rest, as a connection to it failed.
    pub(crate) fn rest(&self, address: SocketAddr, now: Instant) {
        let rested = self.with_seats(|seats| {
            let seat = seats.of(address)?;
            seat.idle.clear();
            Some(seat.rests_until.replace(now + REST).is_some())
        });
        if rested == Some(false) {
            let service = Arc::clone(&self.state.service().name);
            // A worker does not wait for whoever listens.
            let _ = self.notices.try_send(Notice::Left { service, address });
        }
    }

    /// Ends the rest of an address, as a connection to it came about.
    pub(crate) fn revive(&self, address: SocketAddr) {
        let rested = self.with_seats(|seats| seats.of(address)?.rests_until.take());
        if rested.is_some() {
            let service = Arc::clone(&self.state.service().name);
            let _ = self.notices.try_send(Notice::Returned { service, address });
        }
    }
}

impl Seats {
    fn of(&mut self, address: SocketAddr) -> Option<&mut Seat> {
        let at = self.targets.iter().position(|target| target.address == address)?;
        self.seats.get_mut(at)
    }
}

/// Whether an idle connection can be used: it has not been closed, and has no bytes that nobody asked for, which
/// would answer the wrong client. What the runtime knows may be old, so the kernel is asked.
fn is_alive(stream: &TcpStream) -> bool {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    let peeked = SockRef::from(stream).peek(&mut byte);
    peeked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

/// The same as far as the runtime knows, which costs nothing; good enough to sweep by.
fn is_quiet(stream: &TcpStream) -> bool {
    stream
        .poll_read_ready(&mut Context::from_waker(Waker::noop()))
        .is_pending()
}
