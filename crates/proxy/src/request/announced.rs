//! HTTP/2 requests whose body breaks what their head announced, found before they are forwarded.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use h2::Reason;
use tokio::time::Instant;
use waypost_policy::failure::{Cause, Failure};
use waypost_policy::status::RequestStatus;
use waypost_transport::link::Link;
use waypost_wire::framing::{Framing, FramingError};
use waypost_wire::request::RequestError;

use crate::observe::access_log::Ending;
use crate::request::local::OnBehalf;
use crate::request::{ActiveRequest, Next};

/// Time for the first bytes of a body of announced length. Without them, the request is forwarded then.
pub(crate) const BODY_HOLD: Duration = Duration::from_secs(1);

/// A body that has not begun as announced.
enum Unsound {
    /// It is malformed (RFC 9113 §8.1.1).
    Malformed,
    /// The client reset its stream.
    Reset,
    /// The end of an empty body does not come.
    Endless,
}

impl ActiveRequest<'_> {
    /// Waits for the first bytes of a body whose length an HTTP/2 client announced; for the end of one that it announced
    /// as empty. Returns the connection's next step if the request must not be forwarded.
    pub(super) async fn refuse_unsound(&mut self, of: OnBehalf<'_>) -> Option<Next> {
        let failure = Failure::Request(RequestError::Framing(FramingError::ContentLength));
        match self.begin_announced().await {
            Ok(()) => return None,
            Err(Unsound::Endless) => return Some(self.fail(Failure::BodyTimeout, of).await),
            Err(Unsound::Malformed) => self.client.observation.fail(&self.client.worker, failure),
            Err(Unsound::Reset) => {
                // Its service was not asked.
                self.client.observation.set_apart();
                self.client.observation.end(Ending::Cut(Cause::ClientReset));
            }
        }
        self.client
            .observation
            .count(&self.client.worker, RequestStatus::default());
        Some(Next::Close)
    }

    async fn begin_announced(&mut self) -> Result<(), Unsound> {
        let Link::ServerStream(stream) = &mut self.client.link else {
            return Ok(());
        };
        if stream.is_malformed() {
            stream.reset(Reason::PROTOCOL_ERROR);
            return Err(Unsound::Malformed);
        }
        let hold = match self.buffers.head.framing() {
            _ if stream.has_ended() => return Ok(()),
            Framing::Length(0) => self.listener.limits.body_idle_timeout,
            // It is held back for the service's `100 Continue`.
            Framing::Length(_) if !self.buffers.head.expects() => BODY_HOLD,
            _ => return Ok(()),
        };
        let timer = &mut self.client.timer;
        timer.set(Instant::now() + hold);
        let begun = poll_fn(|cx| match stream.poll_body(cx) {
            Poll::Pending => timer.poll(cx).map(|()| None),
            Poll::Ready(begun) => Poll::Ready(Some(begun)),
        });
        match begun.await {
            None if self.buffers.head.framing() == Framing::Length(0) => Err(Unsound::Endless),
            Some(Err(error)) if error.is_remote() => Err(Unsound::Reset),
            Some(Err(_)) => Err(Unsound::Malformed),
            Some(Ok(())) | None => Ok(()),
        }
    }
}
