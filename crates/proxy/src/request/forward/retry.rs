//! The same request again, after an attempt that the service has not begun with.

use waypost_policy::failure::Failure;
use waypost_transport::link::Link;
use waypost_upstream::lease::Lease;
use waypost_upstream::limits::RequestPermit;
use waypost_wire::framing::Framing;

use crate::local::buffers::RequestBuffers;
use crate::request::ActiveRequest;
use crate::request::forward::{ForwardOptions, NoLease, Upstream};
use crate::request::watch::Watch;

/// Maximum retries of a request that the service has not begun to process.
pub(super) const RESENDS_MAX: u32 = 2;

/// A failed attempt.
pub(super) struct Retry {
    pub(super) failure: Failure,
    /// True if the request may be sent again.
    pub(super) may_resend: bool,
    /// The permit of the request, of a limited service.
    pub(super) held: Option<RequestPermit>,
}

impl ActiveRequest<'_> {
    /// Gets a fresh link for the same request, after a connection that closed while idle, or that accepts no more
    /// requests.
    pub(super) async fn connect_again(
        &mut self,
        upstream: &mut Upstream<'_>,
        retry: Retry,
    ) -> Result<Lease, NoLease> {
        if !retry.may_resend {
            return Err(NoLease::Failed(retry.failure));
        }
        upstream.connect.reuse = None;
        let mut failed = 1;
        let late = upstream.options.late;
        // The head has left the buffer.
        let watch = Watch::of(self.listener, &self.buffers.head, 0);
        let (service, connect) = (&upstream.service, upstream.connect);
        let lease = self
            .acquire(service, connect, retry.held, late, watch, &mut failed)
            .await;
        self.note_attempts(failed, lease.is_ok());
        let lease = lease?;
        let framing = self.buffers.head.framing();
        if framing != Framing::None && upstream.options.body_form(framing, &lease.link) != upstream.form {
            // What is held is written in a form that this connection does not take.
            return Err(NoLease::Failed(Failure::ConnectionTerminated));
        }
        self.buffers.upload.restart();
        if let Some(range) = &mut upstream.borrowed_host {
            // Endpoints' authorities may differ in length.
            let host = lease.authority().as_bytes();
            self.buffers.upload.replace_in_head(range.clone(), host);
            range.end = range.start + host.len();
        }
        Ok(lease)
    }
}

/// Returns true if a request may be sent again after `link` failed: all of it is still held, and either the service is
/// known not to have begun with it, or its connection was `dead` and the request does no harm twice.
pub(super) fn may_resend(
    buffers: &RequestBuffers,
    options: &ForwardOptions,
    link: &Link,
    dead: bool,
) -> bool {
    let upload = &buffers.upload;
    if link.is_unprocessed() {
        return upload.is_retained();
    }
    dead && (upload.is_untouched() || (options.is_idempotent && upload.can_restart()))
}
