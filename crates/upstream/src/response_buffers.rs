//! The memory that a service's response is read into and relayed from.

use waypost_transport::buffer::Buffer;
use waypost_transport::relay::Relay;
use waypost_wire::response::ResponseHead;

/// Memory that the relay of a response keeps when it is returned.
const BYTES_KEPT: usize = 64 << 10;

/// Buffers for one response, borrowed from the worker when the service sends something: while it thinks, an exchange over
/// a connection in clear text holds none.
#[derive(Debug, Default)]
pub struct ResponseBuffers {
    /// Received bytes of the response.
    pub from_service: Buffer,
    /// Its head.
    pub response: ResponseHead,
    /// The relay to the client.
    pub download: Relay,
}

impl ResponseBuffers {
    /// Prepares the buffers for a response.
    pub fn begin(&mut self) {
        self.from_service.clear();
        self.download.begin(None);
    }

    /// Frees memory beyond the usual.
    pub fn tidy(&mut self) {
        self.from_service.shrink();
        self.download.tidy(BYTES_KEPT);
    }
}
