//! A worker's side of a service: idle connections and the health of each endpoint.

pub(crate) mod multiplexed;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;
use waypost_wire::field::Framing;
use waypost_wire::response::ResponseHead;

use crate::clock::Clock;
use crate::endpoints::{ServiceState, Target};
use crate::gateway::Notice;
use crate::link::asked::Asked;
use crate::link::socket::Socket;
use crate::metrics::ServiceCells;
use crate::pool::multiplexed::{Group, Multiplexed};

/// How long an endpoint rests after a connection to it failed.
pub(crate) const REST: Duration = Duration::from_secs(10);

/// How long a connection settles whose last answer withheld the body that its head told of.
pub(crate) const SETTLE_TIME: Duration = Duration::from_millis(5);

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
    /// Connections that carry many exchanges.
    multiplexed: Group,
    /// While a connection failed a moment ago.
    pub(crate) rests_until: Option<Instant>,
}

/// How sure it has to be that an idle connection is alive, and has nothing to say that nobody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Liveness {
    /// As far as the runtime knows; to ask costs nothing.
    Likely,
    /// As far as the kernel knows.
    Certain,
}

impl Liveness {
    /// How sure it has to be for a request: one that may be sent again need not wait for the kernel's word.
    pub(crate) fn when(may_be_sent_again: bool) -> Self {
        if may_be_sent_again {
            Self::Likely
        } else {
            Self::Certain
        }
    }
}

/// How far a connection is trusted after an answer to carry another request. To a HEAD, and behind a 204 or 304, some
/// services send a body all the same, a moment later: it would answer the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The end of a body was seen.
    Full,
    /// There was to be none.
    Checked,
    /// There was to be none, though the head told of one. Whoever had asked may go on; before others do, it settles.
    Withheld(Option<SocketAddr>),
}

impl Trust {
    /// `client` is who had asked, if not the gateway itself.
    pub(crate) fn after(answer: &ResponseHead, client: Option<SocketAddr>) -> Self {
        match answer.framing() {
            Framing::None if answer.withholds_body() => Self::Withheld(client),
            Framing::None => Self::Checked,
            _ => Self::Full,
        }
    }

    fn is_withheld(self) -> bool {
        matches!(self, Self::Withheld(_))
    }

    /// How sure one has to be that such a connection is alive.
    fn liveness(self) -> Liveness {
        match self {
            Self::Full => Liveness::Likely,
            Self::Checked | Self::Withheld(_) => Liveness::Certain,
        }
    }
}

#[derive(Debug)]
struct Idle {
    socket: Socket,
    trust: Trust,
    since: Instant,
    /// The worker's turn in which it was put here.
    turn: u32,
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

    /// Whether a connection may serve another client after this one.
    pub(crate) fn keeps_connections(&self) -> bool {
        self.state.service().proxy_protocol.is_none()
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

    /// An idle connection to `address` that is alive, as far as `liveness` asks, for a request of `client`.
    pub(crate) fn take(
        &self,
        address: SocketAddr,
        client: Option<SocketAddr>,
        clock: &Clock,
        liveness: Liveness,
    ) -> Option<Socket> {
        let now = clock.about_now();
        let idle_timeout = self.state.service().pool.idle_timeout;
        self.with_seats(|seats| {
            let seat = seats.of(address)?;
            while let Some(at) = seat.idle.iter().rposition(|idle| !idle.settles(client, now)) {
                let idle = seat.idle.remove(at);
                let is_fresh = now.saturating_duration_since(idle.since) < idle_timeout;
                if is_fresh && idle.is_alive(clock.turn(), liveness) {
                    self.cells.reused.add(1);
                    return Some(idle.socket);
                }
            }
            None
        })
    }

    /// Keeps a connection that has finished exactly.
    pub(crate) fn put(
        &self,
        address: SocketAddr,
        socket: Socket,
        trust: Trust,
        clock: &Clock,
        place: IdlePlace,
    ) {
        let idle_max = self.state.service().pool.idle_max;
        self.with_seats(|seats| {
            let Some(seat) = seats.of(address) else {
                return;
            };
            // One that anybody may use rather than one that settles.
            if seat.idle.len() >= idle_max
                && !trust.is_withheld()
                && let Some(at) = seat.idle.iter().position(|idle| idle.trust.is_withheld())
            {
                seat.idle.remove(at);
            }
            if seat.idle.len() < idle_max {
                seat.idle.push(Idle {
                    socket,
                    trust,
                    since: clock.about_now(),
                    turn: clock.turn(),
                    _place: place,
                });
            }
        });
    }

    /// Closes what is idle for too long, and what its service has closed.
    pub(crate) fn sweep(&self, clock: &Clock) {
        let (now, turn) = (clock.now(), clock.turn());
        let idle_timeout = self.state.service().pool.idle_timeout;
        self.with_seats(|seats| {
            for seat in &mut seats.seats {
                seat.idle
                    .retain(|idle| now - idle.since < idle_timeout && idle.is_alive(turn, Liveness::Likely));
                seat.multiplexed.sweep(now, idle_timeout);
            }
            let idle = |seat: &Seat| seat.idle.len() + seat.multiplexed.idle();
            let idle = seats.seats.iter().map(|seat| idle(seat) as u64).sum();
            self.cells.idle.set(idle);
        });
    }

    /// Closes everything that is idle.
    pub(crate) fn close_idle(&self) {
        self.with_seats(|seats| {
            for seat in &mut seats.seats {
                seat.idle.clear();
                seat.multiplexed.close_idle();
            }
        });
    }

    /// A stream of a connection to `address` that carries many, and whether that had others before.
    pub(crate) fn take_stream(&self, address: SocketAddr) -> Option<(Asked, bool)> {
        let taken = self.with_seats(|seats| seats.of(address)?.multiplexed.stream())?;
        if taken.1 {
            self.cells.reused.add(1);
        }
        Some(taken)
    }

    /// Whoever makes a connection to `address` that many may use, for those who would make another; `None` once
    /// it is the caller, who drops the [`Making`] when it is done.
    pub(crate) fn await_or_make(self: &Rc<Self>, address: SocketAddr) -> Result<Making, Rc<Notify>> {
        self.with_seats(|seats| {
            if let Some(group) = seats.of(address).map(|seat| &mut seat.multiplexed) {
                if let Some(made) = &group.making {
                    return Err(Rc::clone(made));
                }
                group.making = Some(Rc::default());
            }
            Ok(Making {
                service: Rc::clone(self),
                address,
            })
        })
    }

    /// Keeps a connection that carries many exchanges.
    pub(crate) fn put_multiplexed(&self, address: SocketAddr, connection: Rc<Multiplexed>) {
        self.with_seats(|seats| {
            if let Some(seat) = seats.of(address) {
                seat.multiplexed.connections.push(connection);
            }
        });
    }

    /// Whether `address` has chosen HTTP/1.1 the last time that it had a choice.
    pub(crate) fn chose_http1(&self, address: SocketAddr) -> bool {
        self.with_seats(|seats| seats.of(address).is_some_and(|seat| seat.multiplexed.chose_http1))
    }

    /// Notes what `address` has chosen.
    pub(crate) fn note_choice(&self, address: SocketAddr, is_http1: bool) {
        self.with_seats(|seats| {
            if let Some(seat) = seats.of(address) {
                seat.multiplexed.chose_http1 = is_http1;
            }
        });
    }

    /// Whether a connection to `address` failed a moment ago.
    pub(crate) fn rests(&self, address: SocketAddr, now: Instant) -> bool {
        self.with_seats(|seats| {
            let until = seats.of(address).and_then(|seat| seat.rests_until);
            until.is_some_and(|until| until > now)
        })
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

/// The right to make a connection that many may use. Those who wait for it are told when it is dropped.
pub(crate) struct Making {
    service: Rc<WorkerService>,
    address: SocketAddr,
}

impl Drop for Making {
    fn drop(&mut self) {
        let waiting = self
            .service
            .with_seats(|seats| seats.of(self.address)?.multiplexed.making.take());
        if let Some(waiting) = waiting {
            waiting.notify_waiters();
        }
    }
}

impl Seats {
    fn of(&mut self, address: SocketAddr) -> Option<&mut Seat> {
        let at = self.targets.iter().position(|target| target.address == address)?;
        self.seats.get_mut(at)
    }
}

impl Idle {
    /// Whether a body that was not to come may still come, and to somebody else than `client`, who asked for it.
    fn settles(&self, client: Option<SocketAddr>, now: Instant) -> bool {
        matches!(self.trust, Trust::Withheld(asker) if asker != client)
            && now.saturating_duration_since(self.since) < SETTLE_TIME
    }

    /// Whether the connection can be used, as far as `liveness` asks: it has not been closed, and has no bytes that nobody
    /// asked for, which would answer the wrong client.
    ///
    /// The runtime knows of whatever had come when the worker waited for its sockets last, or when they were read since. Of
    /// a connection that came back within this turn the kernel may know more: a service may close it after each answer
    /// without a word, or have said more than it announced.
    fn is_alive(&self, turn: u32, liveness: Liveness) -> bool {
        let is_known = liveness.max(self.trust.liveness()) == Liveness::Likely || turn != self.turn;
        if is_known && self.socket.is_quiet() {
            return true;
        }
        let waits = self.socket.peek();
        waits.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }
}
