//! A connection that was upgraded: bytes go both ways, and mean nothing to the gateway.
//!
//! It holds no generation, so that however long it lasts, nothing is kept of configs that were replaced meanwhile; and no
//! buffers while nothing moves.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use waypost_wire::field::Framing;

use crate::client::{COMPLETE, Client};
use crate::exchange::relay::{BodyForm, Relay, RelayError, Waits};
use crate::link::Link;
use crate::worker::{Reply, Workspace};

/// The other end of a tunnel.
#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) service: Link,
    /// How long nothing may move.
    pub(super) idle: Duration,
}

/// A direction of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Open,
    /// All has passed; that the sender has ended is still to be said.
    Ending,
    Ended,
}

/// Why a tunnel stops for now.
enum Pause {
    /// Nothing moves, and nothing is held.
    Quiet,
    /// It has ended.
    Over(&'static str, &'static str),
}

impl Client {
    /// Passes bytes both ways until both sides have ended, or one breaks, or nothing moves for too long.
    pub(super) async fn pass_through(&mut self, mut workspace: Box<Workspace>) {
        let Some(mut tunnel) = self.tunnel.take() else {
            return self.worker.return_workspace(workspace);
        };
        // What was written of the answer so far, or has come behind it, goes first.
        let form = |link: &Link| match link.frames_bodies() {
            true => BodyForm::Frames,
            false => BodyForm::Plain,
        };
        let forms = [form(&tunnel.service), form(&self.link)];
        workspace.upload.begin(None);
        let reply = workspace.reply.take();
        let mut reply = reply.unwrap_or_else(|| self.worker.borrow_reply());
        begin_flows(&mut workspace, &mut reply, forms);
        let mut flows = [Flow::Open; 2];
        let mut moved = Instant::now();
        let mut received = 0;
        let over = loop {
            let pause = poll_fn(|cx| {
                let pause = self.poll_flows(cx, &mut workspace, &mut reply, &mut tunnel, &mut flows);
                if workspace.upload.take_progress() | reply.download.take_progress() {
                    moved = Instant::now();
                }
                if let Some(pause) = pause {
                    return Poll::Ready(pause);
                }
                self.timer.set(moved + tunnel.idle);
                match self.timer.poll(cx) {
                    Poll::Ready(()) => Poll::Ready(Pause::Over("gateway", "idle timeout")),
                    Poll::Pending => Poll::Pending,
                }
            });
            match pause.await {
                Pause::Over(by, reason) => break (by, reason),
                Pause::Quiet => {}
            }
            received += reply.download.body_bytes();
            self.worker.return_workspace(workspace);
            self.worker.return_reply(reply);
            let stirs = poll_fn(|cx| {
                let stirs = (flows[0] == Flow::Open && self.link.poll_read_ready(cx).is_ready())
                    | (flows[1] == Flow::Open && tunnel.service.poll_read_ready(cx).is_ready());
                self.timer.set(moved + tunnel.idle);
                match self.timer.poll(cx) {
                    _ if stirs => Poll::Ready(Ok(())),
                    // Its own direction has ended, so that nothing else tells.
                    _ if flows[0] != Flow::Open && self.link.poll_reset(cx).is_ready() => {
                        Poll::Ready(Err(("client", "connection reset")))
                    }
                    Poll::Ready(()) => Poll::Ready(Err(("gateway", "idle timeout"))),
                    Poll::Pending => Poll::Pending,
                }
            });
            let stirs = stirs.await;
            workspace = self.worker.borrow_workspace();
            workspace.upload.begin(None);
            reply = self.worker.borrow_reply();
            begin_flows(&mut workspace, &mut reply, forms);
            if let Err(over) = stirs {
                break over;
            }
        };
        received += reply.download.body_bytes();
        if let Some(record) = &mut self.record {
            record.bytes = received;
            record.answered_now();
        }
        self.note_end(over.0, over.1);
        if over.1 != COMPLETE {
            self.link.abort();
        }
        self.worker.return_workspace(workspace);
        self.worker.return_reply(reply);
    }

    /// Moves what can be moved, in both directions.
    fn poll_flows(
        &mut self,
        cx: &mut Context<'_>,
        workspace: &mut Workspace,
        reply: &mut Reply,
        tunnel: &mut Tunnel,
        flows: &mut [Flow; 2],
    ) -> Option<Pause> {
        let Workspace {
            upload, from_client, ..
        } = workspace;
        let Reply {
            download,
            from_service,
            ..
        } = reply;
        let up = poll_flow(
            cx,
            &mut flows[0],
            upload,
            &mut self.link,
            from_client,
            &mut tunnel.service,
        );
        let down = poll_flow(
            cx,
            &mut flows[1],
            download,
            &mut tunnel.service,
            from_service,
            &mut self.link,
        );
        for (broken, source, sink) in [(up, "client", "service"), (down, "service", "client")] {
            match broken {
                Ok(()) => {}
                Err(RelayError::Sink) => return Some(Pause::Over(sink, "connection reset")),
                Err(_) => return Some(Pause::Over(source, "connection reset")),
            }
        }
        if *flows == [Flow::Ended; 2] {
            return Some(Pause::Over("service", COMPLETE));
        }
        // A sink that has not taken all of it yet would be forgotten otherwise.
        let waits_for_source = |relay: &Relay, flow: Flow| match flow {
            Flow::Open => relay.is_flushed() && relay.waits_for == Waits::Source,
            Flow::Ending => false,
            Flow::Ended => true,
        };
        let is_quiet = from_client.is_empty()
            && from_service.is_empty()
            && waits_for_source(upload, flows[0])
            && waits_for_source(download, flows[1]);
        is_quiet.then_some(Pause::Quiet)
    }
}

/// Has bytes leave in these forms, upwards and downwards, those first that are there already.
fn begin_flows(workspace: &mut Workspace, reply: &mut Reply, [up, down]: [BodyForm; 2]) {
    // Bytes without a coding cannot be coded wrongly.
    let _ = workspace
        .upload
        .begin_body(Framing::UntilClose, up, &mut workspace.from_client);
    let _ = reply
        .download
        .begin_body(Framing::UntilClose, down, &mut reply.from_service);
}

/// Moves what can be moved in one direction, and passes its end on.
fn poll_flow(
    cx: &mut Context<'_>,
    flow: &mut Flow,
    relay: &mut Relay,
    from: &mut Link,
    source: &mut crate::buffer::Buffer,
    to: &mut Link,
) -> Result<(), RelayError> {
    if *flow == Flow::Open {
        match relay.poll(cx, from, source, to, None, || {}) {
            Poll::Pending => return Ok(()),
            Poll::Ready(moved) => moved?,
        }
        *flow = Flow::Ending;
    }
    if *flow == Flow::Ending && to.poll_shutdown(cx).is_ready() {
        *flow = Flow::Ended;
    }
    Ok(())
}
