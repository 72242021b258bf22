//! HTTP/1 client connections: requests one after the other.

use waypost_policy::failure::Failure;
use waypost_policy::request::head_limits;
use waypost_transport::link::Link;
use waypost_wire::scan::HeadScan;

use crate::connection::reading::ReadHeadError;
use crate::local::buffers::RequestBuffers;
use crate::local::slots::ConnectionSlot;
use crate::request::client::Client;
use crate::request::rest::RestEnd;
use crate::request::{ActiveRequest, Next, in_place};

/// The step after a batch of pipelined requests.
enum After {
    /// Wait for the next request. True if the batch had one at all.
    Waiting(bool),
    /// The connection speaks HTTP/2; the bytes read so far.
    Http2(Vec<u8>),
    /// The connection ends, but the client still sends.
    Lingers,
    /// The connection ends.
    Closed,
}

/// The result of reading and serving one request.
enum Served {
    /// A request was served.
    Request(Next),
    /// The wake-up was spurious: no bytes have arrived.
    Nothing,
    /// The connection speaks HTTP/2.
    Http2,
}

impl Client {
    /// Serves the connection until it ends. Returns a connection that speaks HTTP/2, with the bytes read so far.
    pub(crate) async fn run(&mut self, slot: &ConnectionSlot) -> Option<(Link, Vec<u8>)> {
        let mut served = false;
        slot.register().await;
        loop {
            if !self.wait_for_request(served).await {
                return None;
            }
            // An idle connection holds neither buffers nor the future that serves a request.
            match in_place(|| self.serve_all(served)).await {
                After::Waiting(any) => served |= any,
                After::Http2(read) => return Some((std::mem::replace(&mut self.link, Link::Gone), read)),
                After::Lingers => {
                    in_place(|| self.linger()).await;
                    return None;
                }
                After::Closed => return None,
            }
        }
    }

    /// Serves the next request and those pipelined behind it.
    async fn serve_all(&mut self, mut served: bool) -> After {
        let mut buffers = self.worker.borrow_request();
        let after = loop {
            let next = match self.serve(&mut buffers, served).await {
                Served::Request(next) => next,
                Served::Nothing => break After::Waiting(served),
                Served::Http2 => break After::Http2(buffers.from_client.filled().to_vec()),
            };
            served = true;
            match next {
                Next::Tunnel(tunnel) => {
                    Box::pin(self.run_tunnel(tunnel, buffers)).await;
                    return After::Closed;
                }
                Next::Request => {
                    self.log();
                    if buffers.from_client.is_empty() {
                        break After::Waiting(served);
                    }
                }
                Next::Close => {
                    self.log();
                    break After::Closed;
                }
                Next::Linger => {
                    self.log();
                    break After::Lingers;
                }
                Next::Rest(rest) => {
                    self.log();
                    break match in_place(|| self.relay_rest(rest, &mut buffers)).await {
                        RestEnd::Over => After::Closed,
                        RestEnd::Unread => After::Lingers,
                    };
                }
            }
        };
        self.worker.return_request(buffers);
        after
    }

    /// Reads one request and serves it.
    async fn serve(&mut self, buffers: &mut RequestBuffers, served: bool) -> Served {
        let snapshot = self.worker.snapshot();
        let listener = self.listener_in(&snapshot);
        self.expect_request(&snapshot);
        buffers.scan = HeadScan::default();
        // Only a connection's first bytes can be the preface; under TLS, ALPN has decided.
        let may_be_http2 = !served && !listener.terminates_tls();
        let head = self.read_head(buffers, &listener, may_be_http2).await;
        let mut request = ActiveRequest {
            client: self,
            buffers,
            snapshot: &snapshot,
            listener: &listener,
            head_bytes: 0,
        };
        let end = match head {
            Ok(end) => end,
            Err(ReadHeadError::Refused(failure)) => return Served::Request(request.refuse(failure).await),
            Err(none) => {
                request.client.observation.discard();
                return match none {
                    ReadHeadError::NotYet => Served::Nothing,
                    ReadHeadError::Http2 => Served::Http2,
                    ReadHeadError::Gone | ReadHeadError::Refused(_) => Served::Request(Next::Close),
                };
            }
        };
        let RequestBuffers {
            head, from_client, ..
        } = &mut *request.buffers;
        if let Err(error) = head.parse(from_client.filled(), end, &head_limits(&listener)) {
            return Served::Request(request.refuse(Failure::Request(error)).await);
        }
        request.head_bytes = end.end;
        Served::Request(request.serve().await)
    }
}
