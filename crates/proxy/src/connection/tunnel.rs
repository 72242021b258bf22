//! A connection that was upgraded: bytes go both ways, and mean nothing to the gateway.
//!
//! It holds no generation, so that however long it lasts, nothing is kept of configs that were replaced meanwhile; and no
//! buffers while nothing moves.

use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::time::Instant;
use waypost_policy::failure::{Blame, Cause};
use waypost_transport::buffer::Buffer;
use waypost_transport::link::Link;
use waypost_transport::relay::{BlockedOn, BodyForm, Relay, RelayError};
use waypost_upstream::response_buffers::ResponseBuffers;
use waypost_wire::framing::Framing;

use crate::local::buffers::RequestBuffers;
use crate::observe::access_log::Ending;
use crate::request::Tunnel;
use crate::request::client::Client;

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
    Over(Ending),
}

impl Client {
    /// Passes bytes both ways until both sides have ended, or one breaks, or nothing moves for too long.
    pub(super) async fn run_tunnel(&mut self, mut tunnel: Tunnel, mut buffers: Box<RequestBuffers>) {
        // What was written of the answer so far, or has come behind it, goes first.
        let form = |link: &Link| match link.frames_bodies() {
            true => BodyForm::Frames,
            false => BodyForm::Plain,
        };
        let forms = [form(&tunnel.service), form(&self.link)];
        buffers.upload.begin(None);
        let response = buffers.response.take();
        let mut response = response.unwrap_or_else(|| self.worker.upstreams().borrow_response());
        begin_flows(&mut buffers, &mut response, forms);
        let mut flows = [Flow::Open; 2];
        let mut moved = Instant::now();
        let mut received = 0;
        let ending = loop {
            let pause = poll_fn(|cx| {
                let pause = self.poll_flows(cx, &mut buffers, &mut response, &mut tunnel, &mut flows);
                if buffers.upload.take_progress() | response.download.take_progress() {
                    moved = Instant::now();
                }
                if let Some(pause) = pause {
                    return Poll::Ready(pause);
                }
                self.timer.set(moved + tunnel.idle);
                match self.timer.poll(cx) {
                    Poll::Ready(()) => Poll::Ready(Pause::Over(Ending::Cut(Cause::TunnelIdle))),
                    Poll::Pending => Poll::Pending,
                }
            });
            match pause.await {
                Pause::Over(ending) => break ending,
                Pause::Quiet => {}
            }
            received += response.download.body_bytes();
            self.worker.return_request(buffers);
            self.worker.upstreams().return_response(response);
            let stirs = poll_fn(|cx| {
                let stirs = (flows[0] == Flow::Open && self.link.poll_read_ready(cx).is_ready())
                    | (flows[1] == Flow::Open && tunnel.service.poll_read_ready(cx).is_ready());
                self.timer.set(moved + tunnel.idle);
                match self.timer.poll(cx) {
                    _ if stirs => Poll::Ready(Ok(())),
                    // Its own direction has ended, so that nothing else tells.
                    _ if flows[0] != Flow::Open && self.link.poll_reset(cx).is_ready() => {
                        Poll::Ready(Err(Cause::ClientReset))
                    }
                    Poll::Ready(()) => Poll::Ready(Err(Cause::TunnelIdle)),
                    Poll::Pending => Poll::Pending,
                }
            });
            let stirs = stirs.await;
            buffers = self.worker.borrow_request();
            buffers.upload.begin(None);
            response = self.worker.upstreams().borrow_response();
            begin_flows(&mut buffers, &mut response, forms);
            if let Err(cause) = stirs {
                break Ending::Cut(cause);
            }
        };
        received += response.download.body_bytes();
        if let Some(record) = self.observation.record() {
            record.bytes = received;
            record.received_now();
        }
        self.observation.end(ending);
        if matches!(ending, Ending::Cut(_)) {
            self.link.abort();
        }
        self.worker.return_request(buffers);
        self.worker.upstreams().return_response(response);
    }

    /// Moves what can be moved, in both directions.
    fn poll_flows(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut RequestBuffers,
        response: &mut ResponseBuffers,
        tunnel: &mut Tunnel,
        flows: &mut [Flow; 2],
    ) -> Option<Pause> {
        let RequestBuffers {
            upload, from_client, ..
        } = buffers;
        let ResponseBuffers {
            download,
            from_service,
            ..
        } = response;
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
        let (client, service) = (Cause::ClientReset, Cause::ServiceReset);
        for (moved, source, sink) in [(up, client, service), (down, service, client)] {
            match moved {
                Ok(()) => {}
                Err(RelayError::Sink) => return Some(Pause::Over(Ending::Cut(sink))),
                Err(_) => return Some(Pause::Over(Ending::Cut(source))),
            }
        }
        if *flows == [Flow::Ended; 2] {
            return Some(Pause::Over(Ending::Complete(Blame::Service)));
        }
        // A sink that has not taken all of it yet would be forgotten otherwise.
        let waits_for_source = |relay: &Relay, flow: Flow| match flow {
            Flow::Open => relay.is_flushed() && relay.blocked_on == BlockedOn::Source,
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
fn begin_flows(buffers: &mut RequestBuffers, response: &mut ResponseBuffers, [up, down]: [BodyForm; 2]) {
    // Bytes without a coding cannot be coded wrongly.
    let _ = buffers
        .upload
        .begin_body(Framing::UntilClose, up, &mut buffers.from_client);
    let _ = response
        .download
        .begin_body(Framing::UntilClose, down, &mut response.from_service);
}

/// Moves what can be moved in one direction, and passes its end on.
fn poll_flow(
    cx: &mut Context<'_>,
    flow: &mut Flow,
    relay: &mut Relay,
    from: &mut Link,
    source: &mut Buffer,
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
