//! An error page in place of a service's response.

use std::mem;

use waypost_policy::decision::{DecisionBuffers, Forwarding};
use waypost_policy::failure::{Blame, Failure};
use waypost_policy::head::downstream::{self, BodyDelimiter, DownstreamHead};
use waypost_policy::head::edits::{DebugHeaders, KeepAlive, ResponseEdits};
use waypost_policy::request_id::RequestId;
use waypost_policy::status::RequestStatus;

use crate::observe::access_log::Ending;
use crate::request::forward::Upstream;
use crate::request::local::OnBehalf;
use crate::request::{ActiveRequest, Next};

impl ActiveRequest<'_> {
    /// Sends the page in place of the service's response, whose head is in the buffer. The rest of that response is not
    /// waited for.
    pub(super) async fn send_page(&mut self, upstream: &Upstream<'_>) -> Next {
        let name = &upstream.forwarding.route.matching.name;
        let of = OnBehalf {
            route: name,
            policies: upstream.forwarding.policies,
        };
        let scope = self.pages(upstream.forwarding.policies);
        let found = self.buffers.response.take().and_then(|service| {
            let page = scope.of_response(service.response.status())?;
            Some((service, page))
        });
        let Some((service, mut page)) = found else {
            return self.fail_within_body(Failure::ConnectionTerminated, of).await;
        };
        self.fill_page(&mut page);
        let mut out = mem::take(&mut self.buffers.local_response);
        let keep_alive = self.buffers.upload.is_finished() && self.may_keep_alive();
        let date = match downstream::is_dated(&service.response) {
            true => None,
            false => self.client.worker.date().now(),
        };
        let head = DownstreamHead {
            response: &service.response,
            buffer: service.from_service.filled(),
            edits: ResponseEdits {
                date: date.as_ref().map(|date| &date[..]),
                keep_alive: KeepAlive::when(keep_alive, self.buffers.head.version()),
                ..edits(
                    &upstream.forwarding,
                    &self.buffers.decision,
                    self.sent_id(),
                    self.snapshot.debug_headers(name),
                )
            },
            body: match self.client.link.frames_bodies() {
                true => BodyDelimiter::Frames,
                false => BodyDelimiter::Length,
            },
            content_type: None,
        };
        out.clear();
        let body_bytes = head.write_page(&page, self.buffers.is_head, &mut out);
        let status = RequestStatus::http(service.response.status()).replaced(page.status);
        self.client.worker.upstreams().return_response(service);
        self.client.observation.end(Ending::Complete(Blame::Service));
        self.write_out(status, keep_alive, out, body_bytes).await
    }
}

/// The edits of a service's response, but for its date and keep-alive.
pub(super) fn edits<'a>(
    forwarding: &'a Forwarding<'_>,
    decision: &'a DecisionBuffers,
    request_id: Option<RequestId<'a>>,
    debug: Option<DebugHeaders<'a>>,
) -> ResponseEdits<'a> {
    ResponseEdits {
        configured: &forwarding.policies.response_headers,
        filled: decision.filled.response_lines(),
        rate: decision.rate.fields(),
        request_id,
        way_back: forwarding.way_back(decision),
        cookies: forwarding.policies.set_cookie.as_ref(),
        date: None,
        set_cookie: &decision.set_cookie,
        debug,
        keep_alive: KeepAlive::Implied,
        cors: decision.cors.lines(),
    }
}
