//! Connections of HTTP/1: requests one after the other.

use waypost_wire::scan::HeadScan;

use crate::answer::Failure;
use crate::client::reading::NoHead;
use crate::client::{Client, Next, in_place};
use crate::decide;
use crate::link::Link;
use crate::worker::{Seat, Workspace};

/// What comes after requests that came together.
enum After {
    /// Others, once they come. Whether there was one at all.
    Waiting(bool),
    /// HTTP/2, which the connection turns out to speak, with what was read of it.
    Http2(Vec<u8>),
    /// The end.
    Over,
}

impl Client {
    /// Serves the connection until it ends. What comes back is a connection that turned out to speak HTTP/2, with what
    /// was read of it.
    pub(super) async fn run(&mut self, seat: &Seat) -> Option<(Link, Vec<u8>)> {
        let mut served = false;
        seat.sit().await;
        loop {
            if !self.wait_for_request(served).await {
                return None;
            }
            // Nothing is borrowed while nothing is asked, nor is there room for what serving takes.
            match in_place(|| self.serve_all(served)).await {
                After::Waiting(any) => served |= any,
                After::Http2(read) => return Some((std::mem::replace(&mut self.link, Link::Gone), read)),
                After::Over => return None,
            }
        }
    }

    /// Serves the request that comes, and those that came along with it.
    async fn serve_all(&mut self, mut served: bool) -> After {
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
        let after = match next {
            Next::Request | Next::Nothing => After::Waiting(served),
            Next::Http2 => After::Http2(workspace.from_client.filled().to_vec()),
            Next::Close => After::Over,
            Next::Tunnel => {
                Box::pin(self.pass_through(workspace)).await;
                return After::Over;
            }
            Next::Linger => {
                self.linger(&mut workspace).await;
                After::Over
            }
        };
        self.worker.return_workspace(workspace);
        after
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
