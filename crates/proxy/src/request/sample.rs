//! Samples of requests that have failed.

use std::sync::Arc;

use jiff::Timestamp;
use waypost_policy::failure::{Blame, Failure};
use waypost_policy::request_id::RequestId;
use waypost_policy::status::RequestStatus;
use waypost_upstream::address::Address;

use crate::observe::access_log::Ending;
use crate::observe::failed::{self, FailedRequest};
use crate::request::ActiveRequest;

/// The service that a request has failed at.
pub(super) struct FailedAt<'a> {
    pub(super) service: &'a Arc<str>,
    pub(super) endpoint: &'a Address,
}

impl ActiveRequest<'_> {
    /// Takes a sample of a request whose response has failed, and of which `at` has the place.
    #[cold]
    pub(super) fn sample_response(
        &self,
        route: &Arc<str>,
        at: &FailedAt<'_>,
        status: RequestStatus,
        ending: Ending,
    ) {
        let endpoint = Some(at.endpoint.to_string());
        self.sample(
            route,
            Some(at.service),
            endpoint,
            self.sent_head(),
            (status, ending),
        );
    }

    /// Takes a sample of a request whose configured response is a failure.
    #[cold]
    pub(super) fn sample_own(&self, status: RequestStatus, route: &str) {
        let generation = &self.snapshot.generation;
        if let Some(position) = generation.compiled().position(route) {
            let route = &generation.plan().routes()[position].matching.name;
            let ending = Ending::Complete(Blame::Gateway);
            self.sample(route, None, None, self.unsent_head(), (status, ending));
        }
    }

    /// Takes a sample of a request that the gateway responds to with an error in the name of a route, if that is a
    /// failure.
    #[cold]
    pub(super) fn sample_failure(&self, failure: Failure, route: &str, head: Option<&[u8]>) {
        let status = self.buffers.error_format.status(failure);
        if !status.has_failed() {
            return;
        }
        let Some(position) = self.snapshot.generation.compiled().position(route) else {
            return;
        };
        let plan = self.snapshot.generation.plan();
        let observation = &self.client.observation;
        let route = &plan.routes()[position];
        let service = route
            .forward()
            .zip(observation.arm())
            .and_then(|(forward, arm)| forward.arms.get(arm))
            .map(|service| &plan.service(*service).name);
        let endpoint = observation.failed_at().map(Address::to_string);
        self.sample(
            &route.matching.name,
            service,
            endpoint,
            head,
            (status, Ending::Failed(failure)),
        );
    }

    fn sample(
        &self,
        route: &Arc<str>,
        service: Option<&Arc<str>>,
        endpoint: Option<String>,
        head: Option<&[u8]>,
        (status, ending): (RequestStatus, Ending),
    ) {
        let generation = &self.snapshot.generation;
        // Without the admin API there is no reader.
        let Some(admin) = &generation.plan().settings().admin else {
            return;
        };
        let worker = &self.client.worker;
        let now = worker.clock().now();
        if !worker.failed().takes(route, now) {
            return;
        }
        let normalized = &self.buffers.normalized;
        let method = match head {
            Some(head) => head.split(|byte| *byte == b' ').next().unwrap_or_default(),
            None => &self.buffers.method,
        };
        let (ended_by, reason) = Ending::words(Some(ending));
        let started = self.client.observation.started();
        worker.failed().send(FailedRequest {
            time: Timestamp::now(),
            method: failed::value(method),
            host: failed::value(normalized.matched_host().unwrap_or_default()),
            path: failed::path(normalized.path()),
            route: Arc::clone(route),
            service: service.map(Arc::clone),
            endpoint,
            status,
            ended_by,
            reason,
            detail: ending.detail().map(|detail| detail.to_string()),
            duration: now.saturating_duration_since(started),
            revision: generation.number(),
            request_id: self.id(),
            headers: head.map(|head| {
                let secret = generation.compiled().secret_headers();
                failed::headers(head, &admin.show_headers, secret)
            }),
        });
    }

    /// The id of the request, if it has one.
    fn id(&self) -> Option<String> {
        let given = self
            .buffers
            .normalized
            .client()
            .request_id()
            .map(RequestId::Given);
        let made = self.buffers.decision.request_id.get().map(RequestId::Made);
        let mut text = Vec::new();
        given.or(made)?.write(&mut text);
        Some(failed::value(&text))
    }

    /// The head of the request, while nothing of it is sent.
    pub(super) fn unsent_head(&self) -> Option<&[u8]> {
        self.buffers.from_client.filled().get(..self.head_bytes)
    }

    /// The head as it was sent to the service, if it is still there: a long body takes its place.
    pub(super) fn sent_head(&self) -> Option<&[u8]> {
        let upload = &self.buffers.upload;
        Some(upload.message().0).filter(|message| upload.is_retained() && !message.is_empty())
    }
}
