//! The memory that a connection works in while it has a request, borrowed from the worker.

use waypost_policy::decision::DecisionBuffers;
use waypost_policy::error_format::ErrorFormat;
use waypost_policy::request::NormalizedRequest;
use waypost_transport::buffer::Buffer;
use waypost_transport::relay::Relay;
use waypost_upstream::response_buffers::ResponseBuffers;
use waypost_wire::framing::Framing;
use waypost_wire::request::{HeadLimits, RequestError, RequestHead};
use waypost_wire::scan::{HeadEnd, HeadScan};

/// Memory that each buffer keeps when it is returned.
const BYTES_KEPT: usize = 64 << 10;

/// Buffers for one request, reused request after request. An idle connection holds none.
#[derive(Default)]
pub(crate) struct RequestBuffers {
    /// Received bytes: the head of the request, then what follows it.
    pub(crate) from_client: Buffer,
    pub(crate) scan: HeadScan,
    pub(crate) head: RequestHead,
    pub(crate) normalized: NormalizedRequest,
    pub(crate) decision: DecisionBuffers,
    /// The relay of the request to the service.
    pub(crate) upload: Relay,
    /// Borrowed when the service sends something.
    pub(crate) response: Option<Box<ResponseBuffers>>,
    /// True for HEAD, whose response has no body.
    pub(crate) is_head: bool,
    /// The method of a request with a body, behind which the head may be gone.
    pub(crate) method: Vec<u8>,
    /// The format in which the client gets errors.
    pub(crate) error_format: ErrorFormat,
    /// True for an extended CONNECT (RFC 8441), which is meaningless without an upgrade.
    pub(crate) demands_upgrade: bool,
    /// A response of the gateway's own.
    pub(crate) local_response: Vec<u8>,
    /// The head, where error pages have values of the request in them; else empty.
    pub(crate) kept_head: Vec<u8>,
}

impl RequestBuffers {
    /// Notes what is needed of the request after its head has left the buffer.
    pub(crate) fn note_kind(&mut self) {
        let buffer = self.from_client.filled();
        let method = self.head.method(buffer);
        self.is_head = method == b"HEAD";
        if self.head.framing() != Framing::None {
            self.method.clear();
            self.method.extend_from_slice(method);
        }
        self.error_format = ErrorFormat::of(&self.head, buffer);
    }

    /// Parses the complete head at the front of the received bytes.
    pub(crate) fn parse_whole_head(&mut self, limits: &HeadLimits) -> Result<HeadEnd, RequestError> {
        self.scan = HeadScan::default();
        let bytes = self.from_client.filled();
        let end = self.scan.advance(bytes)?.ok_or(RequestError::Field)?;
        self.head.parse(bytes, end, limits)?;
        Ok(end)
    }

    /// Discards the request, and memory beyond the usual.
    pub(crate) fn tidy(&mut self) {
        self.from_client.shrink();
        self.scan = HeadScan::default();
        self.demands_upgrade = false;
        self.decision.tidy(BYTES_KEPT);
        self.method.clear();
        self.local_response.clear();
        self.local_response.shrink_to(BYTES_KEPT);
        self.kept_head.clear();
        self.kept_head.shrink_to(BYTES_KEPT);
        self.upload.tidy(BYTES_KEPT);
    }
}
