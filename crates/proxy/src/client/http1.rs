//! Connections of HTTP/1: requests one after the other.

use waypost_wire::scan::HeadScan;

use crate::answer::Failure;
use crate::client::reading::NoHead;
use crate::client::{Client, Next};
use crate::decide;
use crate::link::Link;
use crate::worker::{Seat, Workspace};

impl Client {
    /// Serves the connection until it ends. What comes back is a connection that turned out to speak HTTP/2, with what
    /// was read of it.
    pub(super) async fn run(mut self, seat: &Seat) -> Option<(Link, Vec<u8>)> {
        let mut served = false;
        seat.sit().await;
        loop {
            // Nothing is borrowed while nothing is asked.
            if !self.wait_for_request(served).await {
                return None;
            }
            let mut workspace = self.worker.borrow_workspace();
            let next = loop {
                let next = self.serve(&mut workspace, served).await;
                served |= next != Next::Nothing;
                if next != Next::Tunnel {
                    self.log();
                }
                if next != Next::Request || workspace.from_client.is_empty() {
                    break next;
                }
            };
            let mut read = Vec::new();
            match next {
                Next::Request | Next::Close | Next::Nothing => {}
                Next::Tunnel => {
                    Box::pin(self.pass_through(workspace)).await;
                    return None;
                }
                Next::Linger => self.linger(&mut workspace).await,
                Next::Http2 => read.extend_from_slice(workspace.from_client.filled()),
            }
            self.worker.return_workspace(workspace);
            match next {
                Next::Request | Next::Nothing => {}
                Next::Http2 => return Some((std::mem::replace(&mut self.link, Link::Gone), read)),
                Next::Linger | Next::Close | Next::Tunnel => return None,
            }
        }
    }

    /// Reads one request and answers it.
    async fn serve(&mut self, workspace: &mut Workspace, served: bool) -> Next {
        let snapshot = self.worker.snapshot();
        let listener = self.listener_in(&snapshot);
        self.expect_request(&snapshot);
        workspace.scan = HeadScan::default();
        // Only what a connection begins with can be another protocol, and TLS has said which one it is.
        let may_be_http2 = !served && !listener.ends_tls();
        let end = match self.read_head(workspace, &listener, may_be_http2).await {
            Ok(end) => end,
            Err(NoHead::Refused(failure)) => return self.refuse(workspace, &snapshot, failure).await,
            Err(none) => {
                self.expect_nothing();
                return match none {
                    NoHead::NotYet => Next::Nothing,
                    NoHead::Http2 => Next::Http2,
                    NoHead::Gone | NoHead::Refused(_) => Next::Close,
                };
            }
        };
        let limits = decide::head_limits(&listener);
        if let Err(error) = workspace.head.parse(workspace.from_client.filled(), end, &limits) {
            return self.refuse(workspace, &snapshot, Failure::Request(error)).await;
        }
        self.handle(workspace, &snapshot, &listener, end).await
    }
}
