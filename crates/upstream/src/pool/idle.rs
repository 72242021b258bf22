//! Idle HTTP/1 connections.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;
use waypost_transport::clock::Clock;
use waypost_transport::permits::{OpenPermit, Permit};
use waypost_transport::socket::Socket;
use waypost_wire::framing::Framing;
use waypost_wire::response::ResponseHead;

/// Time that a connection settles after a response whose head announced a body that was not sent, as for HEAD.
pub const SETTLE_TIME: Duration = Duration::from_millis(5);

/// The certainty that an idle connection is alive and has no unexpected bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Liveness {
    /// To the runtime's knowledge, without a system call.
    Likely,
    /// To the kernel's knowledge, with a system call.
    Certain,
}

/// The trust in a connection for another request. In response to HEAD, or with a 204 or 304, some services send a body
/// against the specification, slightly delayed. It would be taken for the next response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReuseTrust {
    /// The response had a body, and its end was received.
    Full,
    /// The response had no body.
    Checked,
    /// The response had no body, though its head announced one. The client of that request may reuse the connection at
    /// once; for others, it settles first.
    Withheld(Option<SocketAddr>),
}

/// Idle connections to an endpoint, reused last-in first-out, so that surplus connections reach their idle timeout.
#[derive(Debug, Default)]
pub struct IdleConnections(Vec<IdleConnection>);

/// A connection between two exchanges.
#[derive(Debug)]
pub struct IdleConnection {
    socket: Socket,
    trust: ReuseTrust,
    since: Instant,
    /// The worker's tick at `since`.
    tick: u32,
    /// The permit of a limited service, given back once the socket is closed.
    open: Option<OpenPermit>,
    /// The permit of a connection in the pool.
    permit: Option<Permit>,
}

impl Liveness {
    /// The certainty that a request requires. A request that may be sent again does not need a system call.
    pub fn when(may_be_sent_again: bool) -> Self {
        if may_be_sent_again {
            Self::Likely
        } else {
            Self::Certain
        }
    }
}

impl ReuseTrust {
    /// The trust after `response` to `client`. `client` is `None` for the gateway's own requests.
    pub fn after(response: &ResponseHead, client: Option<SocketAddr>) -> Self {
        match response.framing() {
            Framing::None if response.withholds_body() => Self::Withheld(client),
            Framing::None => Self::Checked,
            _ => Self::Full,
        }
    }

    fn is_withheld(self) -> bool {
        matches!(self, Self::Withheld(_))
    }

    /// The certainty that reuse requires.
    fn liveness(self) -> Liveness {
        match self {
            Self::Full => Liveness::Likely,
            Self::Checked | Self::Withheld(_) => Liveness::Certain,
        }
    }
}

impl IdleConnections {
    /// Takes a live connection for a request of `client`, dropping dead and expired ones.
    pub fn take(
        &mut self,
        client: Option<SocketAddr>,
        clock: &Clock,
        liveness: Liveness,
        idle_timeout: Duration,
    ) -> Option<IdleConnection> {
        let now = clock.coarse_now();
        while let Some(at) = self.0.iter().rposition(|idle| !idle.settles(client, now)) {
            let idle = self.0.remove(at);
            let is_fresh = now < idle.since + idle_timeout;
            if is_fresh && idle.is_alive(clock.tick(), liveness) {
                return Some(idle);
            }
        }
        None
    }

    /// Keeps a connection after a complete exchange, up to `idle_max` connections.
    pub fn put(&mut self, mut connection: IdleConnection, permit: Permit, idle_max: usize) {
        // A settling connection is replaced by one that any client may use.
        if self.0.len() >= idle_max
            && !connection.trust.is_withheld()
            && let Some(at) = self.0.iter().position(|idle| idle.trust.is_withheld())
        {
            self.0.remove(at);
        }
        if self.0.len() < idle_max {
            if let Some(open) = &connection.open {
                open.set_idle(true);
            }
            connection.permit = Some(permit);
            self.0.push(connection);
        }
    }

    /// Drops connections that exceeded `idle_timeout` or were closed by the endpoint.
    pub fn sweep(&mut self, now: Instant, tick: u32, idle_timeout: Duration) {
        self.0
            .retain(|idle| now - idle.since < idle_timeout && idle.is_alive(tick, Liveness::Likely));
    }

    /// Closes the connection that has been idle for longest. Returns false if there is none.
    pub fn close_one(&mut self) -> bool {
        let any = !self.0.is_empty();
        if any {
            self.0.remove(0);
        }
        any
    }

    /// Closes all connections.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The number of connections.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if there are no connections.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[cfg(test)]
    pub(super) fn trusts(&self) -> Vec<ReuseTrust> {
        self.0.iter().map(|idle| idle.trust).collect()
    }

    #[cfg(test)]
    pub(super) fn settles(&self, client: Option<SocketAddr>, after: Duration) -> bool {
        let idle = &self.0[0];
        idle.settles(client, idle.since + after)
    }
}

impl IdleConnection {
    /// A connection whose exchange has ended now.
    pub fn new(socket: Socket, trust: ReuseTrust, clock: &Clock, open: Option<OpenPermit>) -> Self {
        Self {
            socket,
            trust,
            since: clock.coarse_now(),
            tick: clock.tick(),
            open,
            permit: None,
        }
    }

    /// Takes the connection into use.
    pub fn into_parts(self) -> (Socket, Option<OpenPermit>) {
        if let Some(open) = &self.open {
            open.set_idle(false);
        }
        (self.socket, self.open)
    }

    /// Returns true if any client may reuse it at once.
    pub fn is_settled(&self) -> bool {
        !self.trust.is_withheld()
    }
    /// Returns true while a withheld body may still arrive, and `client` is not the one that requested it.
    fn settles(&self, client: Option<SocketAddr>, now: Instant) -> bool {
        matches!(self.trust, ReuseTrust::Withheld(asker) if asker != client)
            && now.saturating_duration_since(self.since) < SETTLE_TIME
    }

    /// Returns true if, with the certainty of `liveness`, the connection is open and has no bytes that would be taken
    /// for the next response.
    ///
    /// The runtime knows of all input that arrived before the current tick. For a connection that became idle within
    /// this tick, the kernel may know more: a service may have closed it unannounced, or sent more than it announced.
    pub fn is_alive(&self, tick: u32, liveness: Liveness) -> bool {
        let is_known = liveness.max(self.trust.liveness()) == Liveness::Likely || tick != self.tick;
        if is_known && self.socket.is_quiet() {
            return true;
        }
        let peeked = self.socket.peek();
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}
