//! Idle connections of HTTP/1.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;
use waypost_transport::clock::Clock;
use waypost_transport::permits::Permit;
use waypost_transport::socket::Socket;
use waypost_wire::framing::Framing;
use waypost_wire::response::ResponseHead;

/// How long a connection settles whose last response withheld the body that its head announced.
pub const SETTLE_TIME: Duration = Duration::from_millis(5);

/// How certain it has to be that an idle connection is alive and has no unexpected bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Liveness {
    /// As far as the runtime knows; free of charge.
    Likely,
    /// As far as the kernel knows; a system call.
    Certain,
}

/// How far a connection is trusted to carry another request. To a HEAD, and behind a 204 or 304, some services send a body
/// against the rules, a moment later: it would be taken for the next response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReuseTrust {
    /// The end of a body was seen.
    Full,
    /// There was to be no body.
    Checked,
    /// There was to be no body, though the head announced one. The client that asked may reuse the connection at once;
    /// before others do, it settles.
    Withheld(Option<SocketAddr>),
}

/// Idle connections to one endpoint. The one used last is reused first, so that those not needed grow old.
#[derive(Debug, Default)]
pub struct IdleConnections(Vec<IdleConnection>);

#[derive(Debug)]
struct IdleConnection {
    socket: Socket,
    trust: ReuseTrust,
    since: Instant,
    /// The worker's tick in which it became idle.
    tick: u32,
    _permit: Permit,
}

impl Liveness {
    /// The certainty that a request needs: one that may be sent again can do without the kernel's word.
    pub fn when(may_be_sent_again: bool) -> Self {
        if may_be_sent_again {
            Self::Likely
        } else {
            Self::Certain
        }
    }
}

impl ReuseTrust {
    /// The trust after `response` to `client`; `None` for a request of the gateway's own.
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

    /// The certainty that reuse needs.
    fn liveness(self) -> Liveness {
        match self {
            Self::Full => Liveness::Likely,
            Self::Checked | Self::Withheld(_) => Liveness::Certain,
        }
    }
}

impl IdleConnections {
    /// Takes a live connection for a request of `client`.
    pub fn take(
        &mut self,
        client: Option<SocketAddr>,
        clock: &Clock,
        liveness: Liveness,
        idle_timeout: Duration,
    ) -> Option<Socket> {
        let now = clock.about_now();
        while let Some(at) = self.0.iter().rposition(|idle| !idle.settles(client, now)) {
            let idle = self.0.remove(at);
            let is_fresh = now.saturating_duration_since(idle.since) < idle_timeout;
            if is_fresh && idle.is_alive(clock.tick(), liveness) {
                return Some(idle.socket);
            }
        }
        None
    }

    /// Keeps a connection whose exchange has finished exactly, unless there are `idle_max`.
    pub fn put(&mut self, socket: Socket, trust: ReuseTrust, clock: &Clock, permit: Permit, idle_max: usize) {
        // One that settles makes room for one that any client may use.
        if self.0.len() >= idle_max
            && !trust.is_withheld()
            && let Some(at) = self.0.iter().position(|idle| idle.trust.is_withheld())
        {
            self.0.remove(at);
        }
        if self.0.len() < idle_max {
            self.0.push(IdleConnection {
                socket,
                trust,
                since: clock.about_now(),
                tick: clock.tick(),
                _permit: permit,
            });
        }
    }

    /// Closes connections that are idle for too long, and those that the endpoint closed.
    pub fn sweep(&mut self, now: Instant, tick: u32, idle_timeout: Duration) {
        self.0
            .retain(|idle| now - idle.since < idle_timeout && idle.is_alive(tick, Liveness::Likely));
    }

    /// Closes all connections.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The number of connections.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if there is none.
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
    /// Returns true while a withheld body may still come, to another client than the one that asked for it.
    fn settles(&self, client: Option<SocketAddr>, now: Instant) -> bool {
        matches!(self.trust, ReuseTrust::Withheld(asker) if asker != client)
            && now.saturating_duration_since(self.since) < SETTLE_TIME
    }

    /// Returns true if the connection can be reused, as certain as `liveness` asks: it is open, and has no bytes that would
    /// be taken for the next response.
    ///
    /// The runtime knows of everything that arrived before the worker waited for its sockets last. Of a connection that
    /// became idle within this tick the kernel may know more: a service may close it after each response without
    /// announcing that, or have sent more than it announced.
    fn is_alive(&self, tick: u32, liveness: Liveness) -> bool {
        let is_known = liveness.max(self.trust.liveness()) == Liveness::Likely || tick != self.tick;
        if is_known && self.socket.is_quiet() {
            return true;
        }
        let waits = self.socket.peek();
        waits.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}
