//! The memory that a connection works in while it has a request, and another part of it once an answer comes; borrowed
//! from the worker.

use waypost_route::table::Scratch;
use waypost_wire::request::{HeadLimits, RequestError, RequestHead};
use waypost_wire::response::ResponseHead;
use waypost_wire::scan::{HeadEnd, HeadScan};

use crate::answer::ErrorForm;
use crate::buffer::Buffer;
use crate::decide::Facts;
use crate::exchange::relay::Relay;

/// Buffers and lists whose memory is used again, request after request. An idle connection has none.
#[derive(Default)]
pub(crate) struct Workspace {
    /// What the client sent: the head of the present request, then what follows it.
    pub(crate) from_client: Buffer,
    pub(crate) scan: HeadScan,
    pub(crate) head: RequestHead,
    pub(crate) facts: Facts,
    pub(crate) matching: Scratch,
    pub(crate) bytes: Vec<u8>,
    /// The path as the service sees it.
    pub(crate) path: Vec<u8>,
    pub(crate) upload: Relay,
    /// What the service says, once it may have something to say.
    pub(crate) reply: Option<Box<Reply>>,
    /// Whether the request is a HEAD, so that its answer has no body.
    pub(crate) is_head: bool,
    /// The form in which the client reads of errors.
    pub(crate) error_form: ErrorForm,
    /// Whether the request makes sense only with an upgrade: an extended CONNECT (RFC 8441).
    pub(crate) demands_upgrade: bool,
    /// An answer of the gateway's own.
    pub(crate) own_answer: Vec<u8>,
}

/// What an answer of a service is read into, and leaves from. While a service thinks, who waits for it over a connection in
/// clear text holds none.
#[derive(Default)]
pub(crate) struct Reply {
    pub(crate) from_service: Buffer,
    pub(crate) answer: ResponseHead,
    pub(crate) download: Relay,
}

/// What the lists of a workspace may keep.
const BYTES_KEPT: usize = 64 << 10;

impl Workspace {
    /// Notes what has to be known of the request after its head has left the buffer.
    pub(crate) fn note_kind(&mut self) {
        let buffer = self.from_client.filled();
        self.is_head = self.head.method(buffer) == b"HEAD";
        self.error_form = ErrorForm::of(&self.head, buffer);
    }

    /// Reads the head that is all there, in front of the client's bytes.
    pub(crate) fn read_whole_head(&mut self, limits: &HeadLimits) -> Result<HeadEnd, RequestError> {
        self.scan = HeadScan::default();
        let bytes = self.from_client.filled();
        let end = self.scan.advance(bytes)?.ok_or(RequestError::Field)?;
        self.head.parse(bytes, end, limits)?;
        Ok(end)
    }

    /// Forgets what was in it, and gives back what was extraordinary.
    pub(crate) fn tidy(&mut self) {
        self.from_client.shrink();
        self.scan = HeadScan::default();
        self.demands_upgrade = false;
        for bytes in [&mut self.bytes, &mut self.path, &mut self.own_answer] {
            bytes.clear();
            bytes.shrink_to(BYTES_KEPT);
        }
        self.upload.tidy(BYTES_KEPT);
    }
}

impl Reply {
    /// Forgets an answer, and begins with another.
    pub(crate) fn begin(&mut self) {
        self.from_service.clear();
        self.download.begin(None);
    }

    /// Gives back what was extraordinary.
    pub(crate) fn tidy(&mut self) {
        self.from_service.shrink();
        self.download.tidy(BYTES_KEPT);
    }
}
