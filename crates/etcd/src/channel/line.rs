//! The HTTP/2 side of a connection, as tonic wants it.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use http_body_util::combinators::MapFrame;
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use tonic::Status;
use tonic::body::Body;
use tonic::client::GrpcService;

/// One side of an HTTP/2 connection; clones share it.
#[derive(Clone)]
pub(crate) struct Line(pub(super) SendRequest<Body>);

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Line").finish_non_exhaustive()
    }
}

/// A request that got no response.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub(crate) struct SendError {
    /// Nothing of it was sent.
    pub(crate) is_unsent: bool,
    source: hyper::Error,
}

type ResponseBody = MapFrame<Incoming, fn(Frame<Bytes>) -> Frame<Bytes>>;

impl GrpcService<Body> for Line {
    type ResponseBody = ResponseBody;
    type Error = SendError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, SendError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let response = self.0.try_send_request(request);
        Box::pin(async move {
            let mut response = response.await.map_err(|mut error| {
                let is_unsent = error.take_message().is_some();
                let source = error.into_error();
                SendError {
                    is_unsent: is_unsent || is_refused(&source),
                    source,
                }
            })?;
            remove_details(response.headers_mut());
            Ok(response.map(|body| body.map_frame(without_details as fn(_) -> _)))
        })
    }
}

/// Returns true if the server said that it did not look at the request (RFC 9113, section 8.7).
fn is_refused(error: &hyper::Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.is_reset()
                && error.is_remote()
                && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        }
        source = error.source();
    }
    false
}

/// tonic expects base64 in this field, and panics on anything else. etcd does not send it.
fn remove_details(headers: &mut HeaderMap) {
    headers.remove(Status::GRPC_STATUS_DETAILS);
}

fn without_details(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            remove_details(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}
