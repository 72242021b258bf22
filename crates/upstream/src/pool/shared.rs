//! HTTP/2 connections, shared by concurrent exchanges.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use waypost_transport::h2::client_connection::ClientConnection;
use waypost_transport::h2::client_stream::ClientStream;

/// The shared connections to an endpoint.
#[derive(Debug, Default)]
pub struct SharedConnections {
    connections: Vec<Rc<ClientConnection>>,
    /// Notified when the connect in progress ends; `None` if there is none.
    connecting: Option<Rc<Notify>>,
    /// True if the endpoint selected HTTP/1.1 in the last ALPN negotiation that offered HTTP/2.
    pub chose_http1: bool,
}

impl SharedConnections {
    /// Opens a stream on any connection; also returns true if the connection had streams before.
    pub fn stream(&self) -> Option<(Box<ClientStream>, bool)> {
        self.connections.iter().find_map(|connection| connection.stream())
    }

    /// Adds a connection.
    pub fn put(&mut self, connection: Rc<ClientConnection>) {
        self.connections.push(connection);
    }

    /// Claims the right to connect.
    ///
    /// # Errors
    /// When a connect is in progress. The error is notified when it ends.
    pub fn claim_connect(&mut self) -> Result<(), Rc<Notify>> {
        if let Some(connecting) = &self.connecting {
            return Err(Rc::clone(connecting));
        }
        self.connecting = Some(Rc::default());
        Ok(())
    }

    /// Releases the right to connect and wakes all waiters.
    pub fn end_connect(&mut self) {
        if let Some(connecting) = self.connecting.take() {
            connecting.notify_waiters();
        }
    }

    /// Drops connections that are closed or exceeded `idle_timeout`.
    pub fn sweep(&mut self, now: Instant, idle_timeout: Duration) {
        self.connections.retain(|connection| {
            let is_fresh = now.saturating_duration_since(connection.idle_since()) < idle_timeout;
            !connection.is_closed() && (!connection.is_idle() || is_fresh)
        });
    }

    /// The number of idle connections.
    pub fn idle(&self) -> usize {
        let connections = self.connections.iter();
        connections.filter(|connection| connection.is_idle()).count()
    }

    /// Drops one idle connection. Returns false if there is none.
    pub fn close_one(&mut self) -> bool {
        let at = self
            .connections
            .iter()
            .position(|connection| connection.is_idle());
        at.is_some_and(|at| {
            self.connections.remove(at);
            true
        })
    }

    /// Drops idle connections.
    pub fn close_idle(&mut self) {
        self.connections.retain(|connection| !connection.is_idle());
    }
}
