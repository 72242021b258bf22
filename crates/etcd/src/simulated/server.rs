//! The servers of the members.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use tonic::server::{Grpc, StreamingService, UnaryService};
use tonic::{Status, Streaming};

use super::cluster::{Cluster, Condition};
use super::visit::{Sent, Visit};
use super::{service, watching};
use crate::channel::codec::Raw;
use crate::method::{KEEP_ALIVE, WATCH};

/// The limit of etcd's framework beyond the largest proposal.
const MESSAGE_BYTES_BEYOND: usize = 512 << 10;

/// Accepts clients of one member, until the task is ended.
pub(super) async fn serve(
    cluster: Arc<Cluster>,
    member: usize,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
) {
    while let Ok((socket, _)) = listener.accept().await {
        if cluster.lock().condition(member) == Condition::Away {
            continue;
        }
        let cluster = Arc::clone(&cluster);
        let tls = tls.clone();
        tokio::spawn(async move {
            match tls {
                Some(tls) => {
                    if let Ok(socket) = tls.accept(socket).await {
                        visit(cluster, member, socket).await;
                    }
                }
                None => visit(cluster, member, socket).await,
            }
        });
    }
}

/// Serves a connection until it ends or is broken.
async fn visit(
    cluster: Arc<Cluster>,
    member: usize,
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) {
    let breaks_before = cluster.lock().breaks(member);
    let visit = Visit {
        cluster: Arc::clone(&cluster),
        member,
        breaks: Arc::new(Notify::new()),
    };
    let breaks = Arc::clone(&visit.breaks);
    let service = service_fn(move |request| {
        let visit = visit.clone();
        async move { Ok::<_, Infallible>(respond(visit, request).await) }
    });
    let mut connection =
        pin!(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service));
    let broken = cluster.wait_for(|state| {
        state.breaks(member) != breaks_before || state.condition(member) == Condition::Away
    });
    let mut changes = cluster.changes();
    let served = async {
        loop {
            let is_frozen = cluster.lock().condition(member) == Condition::Frozen;
            if is_frozen {
                if changes.changed().await.is_err() {
                    break;
                }
                continue;
            }
            tokio::select! {
                biased;
                _ = changes.changed() => {}
                _ = &mut connection => break,
            }
        }
    };
    tokio::select! {
        () = broken => {}
        () = breaks.notified() => {}
        () = served => {}
    }
}

async fn respond(visit: Visit, request: Request<Incoming>) -> Response<Body> {
    let limit = visit.cluster.lock().request_bytes_max + MESSAGE_BYTES_BEYOND;
    // The limit of etcd's framework is checked with its words; this one is only to be above it.
    let mut grpc = Grpc::new(Raw).max_decoding_message_size(usize::MAX);
    let path = request.uri().path().to_owned();
    match &*path {
        WATCH | KEEP_ALIVE => grpc.streaming(Streams { visit, path }, request).await,
        _ => grpc.unary(Calls { visit, path, limit }, request).await,
    }
}

/// Methods with one response.
struct Calls {
    visit: Visit,
    path: String,
    limit: usize,
}

type Answer<T> = Pin<Box<dyn Future<Output = Result<tonic::Response<T>, Status>> + Send>>;

impl UnaryService<Bytes> for Calls {
    type Response = Bytes;
    type Future = Answer<Bytes>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let visit = self.visit.clone();
        let path = self.path.clone();
        let limit = self.limit;
        Box::pin(async move {
            let bytes = request.get_ref().len();
            if bytes > limit {
                return Err(Status::resource_exhausted(format!(
                    "grpc: received message larger than max ({bytes} vs. {limit})"
                )));
            }
            let answer = service::answer(&visit, &path, request).await?;
            Ok(tonic::Response::new(answer))
        })
    }
}

/// Methods with streams.
struct Streams {
    visit: Visit,
    path: String,
}

impl StreamingService<Bytes> for Streams {
    type Response = Bytes;
    type ResponseStream = Sent;
    type Future = Answer<Sent>;

    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Self::Future {
        let visit = self.visit.clone();
        let is_watch = self.path == WATCH;
        Box::pin(async move {
            let mut sent = if is_watch {
                watching::watch(&visit, request).await?
            } else {
                service::keep_alive(&visit, request).await?
            };
            // As etcd does, the stream is accepted with its first message.
            let first = poll_fn(|context| sent.as_mut().poll_next(context)).await;
            let Some(first) = first else {
                return Err(Status::ok(""));
            };
            let mut first = Some(first?);
            let all = futures_util::stream::poll_fn(move |context| match first.take() {
                Some(first) => Poll::Ready(Some(Ok(first))),
                None => sent.as_mut().poll_next(context),
            });
            Ok(tonic::Response::new(Box::pin(all) as Sent))
        })
    }
}
