//! Tunnels: upgraded connections, whose bytes are relayed in both directions without being interpreted.
//!
//! A tunnel holds no generation, so that a long-lived one does not keep a replaced config in memory, and no buffers
//! while it is idle. It holds its lease to the end, so that the endpoint learns the outcome.

use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::time::Instant;
use waypost_policy::failure::{Blame, Cause};
use waypost_transport::buffer::Buffer;
use waypost_transport::link::Link;
use waypost_transport::relay::{BlockedOn, BodyForm, Relay, RelayError};
use waypost_upstream::health::Outcome;
use waypost_upstream::response_buffers::ResponseBuffers;
use waypost_wire::framing::Framing;

use crate::local::buffers::RequestBuffers;
use crate::observe::access_log::Ending;
use crate::request::client::Client;
use crate::request::{PASSED_THROUGH, Tunnel, outcome_of_cut};

/// The state of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Open,
    /// All bytes have been relayed; the shutdown of the receiving side is pending.
    Ending,
    Ended,
}

/// The reason that the relays stopped.
enum Pause {
    /// Nothing moves and no bytes are buffered.
    Quiet,
    /// The tunnel has ended.
    Over(Ending),
}

impl Client {
    /// Relays both directions until both sides have ended, one fails, or the idle timeout expires.
    pub(super) async fn run_tunnel(&mut self, mut tunnel: Box<Tunnel>, mut buffers: Box<RequestBuffers>) {
        // The unwritten rest of the response, and bytes that arrived behind it, go first.
        let form = |link: &Link| match link.frames_bodies() {
            true => BodyForm::Frames,
            false => BodyForm::Plain,
        };
        let forms = [form(&tunnel.lease.link), form(&self.link)];
        buffers.upload.begin(None);
        let response = buffers.response.take();
        let mut response = response.unwrap_or_else(|| self.worker.upstreams().borrow_response());
        begin_flows(&mut buffers, &mut response, forms);
        let mut flows = [Flow::Open; 2];
        let mut moved = Instant::now();
        let mut received = 0;
        tunnel.lease.link.watch_peer();
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
            self.timer.set(moved + tunnel.idle);
            let awake = tokio::select! {
                biased;
                awake = sign_of_life(&mut self.link, flows[0], Cause::ClientReset) => awake,
                awake = sign_of_life(&mut tunnel.lease.link, flows[1], Cause::ServiceReset) => awake,
                () = poll_fn(|cx| self.timer.poll(cx)) => Err(Cause::TunnelIdle),
            };
            buffers = self.worker.borrow_request();
            buffers.upload.begin(None);
            response = self.worker.upstreams().borrow_response();
            begin_flows(&mut buffers, &mut response, forms);
            if let Err(cause) = awake {
                break Ending::Cut(cause);
            }
        };
        received += response.download.body_bytes();
        if let Some(record) = self.observation.record() {
            record.bytes = received;
            record.mark_received();
        }
        self.observation.end(ending);
        if matches!(ending, Ending::Cut(_)) {
            self.link.abort();
        }
        tunnel
            .lease
            .end_tunnel(outcome(ending, tunnel.status, received > 0));
        self.worker.return_request(buffers);
        self.worker.upstreams().return_response(response);
    }

    /// Relays what is available, in both directions.
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
            &mut tunnel.lease.link,
        );
        let down = poll_flow(
            cx,
            &mut flows[1],
            download,
            &mut tunnel.lease.link,
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
        // Bytes that the sink has not accepted yet must keep the tunnel awake.
        let blocked_on_source = |relay: &Relay, flow: Flow| match flow {
            Flow::Open => relay.is_flushed() && relay.blocked_on == BlockedOn::Source,
            Flow::Ending => false,
            Flow::Ended => true,
        };
        let is_quiet = from_client.is_empty()
            && from_service.is_empty()
            && blocked_on_source(upload, flows[0])
            && blocked_on_source(download, flows[1]);
        is_quiet.then_some(Pause::Quiet)
    }
}

/// Waits until the peer of a quiet link does something.
///
/// # Errors
/// The link failed, with `cause`, after the direction from its peer had ended. A half-closed tunnel may live for long, and
/// a failure is not seen by reading then.
async fn sign_of_life(link: &mut Link, flow: Flow, cause: Cause) -> Result<(), Cause> {
    if flow == Flow::Open {
        let _ = poll_fn(|cx| link.poll_read_ready(cx)).await;
        return Ok(());
    }
    link.failed().await;
    Err(cause)
}

/// The outcome of a tunnel for the endpoint, which began it with a response of this status, if any, and `has_answered` if
/// it sent anything: what a passed-through connection shows of an endpoint that works.
fn outcome(ending: Ending, status: Option<u16>, has_answered: bool) -> Outcome {
    match (ending, status) {
        (Ending::Cut(cause), _) => outcome_of_cut(cause),
        (Ending::Complete(_), Some(status)) => Outcome::Response(status),
        (Ending::Complete(_), None) if has_answered => Outcome::Response(PASSED_THROUGH),
        (Ending::Complete(_), None) | (Ending::Failed(_), _) => Outcome::Abandoned,
    }
}

/// Begins the relays, upstream and downstream, in these forms. Bytes that are buffered already go first.
fn begin_flows(buffers: &mut RequestBuffers, response: &mut ResponseBuffers, [up, down]: [BodyForm; 2]) {
    // Cannot fail: a body without a coding has no malformed form.
    let _ = buffers
        .upload
        .begin_body(Framing::UntilClose, up, &mut buffers.from_client);
    let _ = response
        .download
        .begin_body(Framing::UntilClose, down, &mut response.from_service);
}

/// Relays what is available in one direction, then its end.
fn poll_flow(
    cx: &mut Context<'_>,
    flow: &mut Flow,
    relay: &mut Relay,
    from: &mut Link,
    source: &mut Buffer,
    to: &mut Link,
) -> Result<(), RelayError> {
    if *flow == Flow::Open {
        match relay.poll(cx, from, source, to, None, |_| {}) {
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
