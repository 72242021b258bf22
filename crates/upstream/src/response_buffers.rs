//! Buffers for relaying a response.

use waypost_transport::buffer::Buffer;
use waypost_transport::relay::Relay;
use waypost_wire::response::ResponseHead;

/// Maximum capacity of the relay's output in returned buffers.
const BYTES_KEPT: usize = 64 << 10;

/// Buffers for one response, borrowed from the worker when the service starts to respond. An exchange over cleartext
/// TCP has none while it waits for the service.
#[derive(Debug, Default)]
pub struct ResponseBuffers {
    /// Received bytes of the response.
    pub from_service: Buffer,
    /// The parsed head.
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

    /// Clears the buffers and frees excess memory, before they are returned.
    pub fn tidy(&mut self) {
        self.from_service.shrink();
        self.download.tidy(BYTES_KEPT);
    }
}
