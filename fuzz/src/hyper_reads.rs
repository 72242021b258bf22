//! Messages as hyper parses them.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body, Bytes};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, client, server};

use crate::replay::Replay;

/// Maximum polls of a future. Futures here wait only for the other half of hyper, so a few polls suffice.
const POLLS_MAX: usize = 64;

/// A message as hyper parses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Method and target without scheme and authority, or the status: `GET /a?b`, `200`.
    pub first: String,
    /// The fields, sorted by lower-case name; those of one name in order of arrival.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The body; `None` if it is incomplete or malformed.
    pub body: Option<Vec<u8>>,
}

/// The requests that a server parses from the bytes of a client that then closes its side, up to the first that it
/// refuses.
pub fn requests(sent: Vec<u8>) -> Vec<Message> {
    let messages = Rc::new(RefCell::new(Vec::new()));
    let service = service_fn(|request| record(request, Rc::clone(&messages)));
    let connection = server::conn::http1::Builder::new()
        .header_read_timeout(None)
        .half_close(true)
        .serve_connection(Replay::client(sent), service);
    run(connection);
    messages.take()
}

/// The response that a client parses from the bytes of a service that then closes its side; `None` if it is refused.
pub fn response(sent: Vec<u8>, to_head: bool) -> Option<Message> {
    let request = Request::builder()
        .method(if to_head { Method::HEAD } else { Method::GET })
        .header("host", "a")
        .body(Empty::<Bytes>::new())
        .ok()?;
    run(async {
        let (mut sender, connection) = client::conn::http1::handshake(Replay::service(sent)).await.ok()?;
        let mut connection = pin!(connection);
        let exchange = async {
            let (head, body) = sender.send_request(request).await.ok()?.into_parts();
            Some(Message {
                first: head.status.as_u16().to_string(),
                fields: fields(&head.headers),
                body: whole(body).await,
            })
        };
        let mut exchange = pin!(exchange);
        // The connection may end before its response has been examined, and must not be polled again then.
        let mut ended = false;
        std::future::poll_fn(|context| {
            if !ended {
                ended = connection.as_mut().poll(context).is_ready();
            }
            exchange.as_mut().poll(context)
        })
        .await
    })?
}

/// Records the head of `request` at once, and its body once complete.
async fn record<B: Body<Data = Bytes>>(
    request: Request<B>,
    messages: Rc<RefCell<Vec<Message>>>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let target = match head.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    messages.borrow_mut().push(Message {
        first: format!("{} {target}", head.method),
        fields: fields(&head.headers),
        body: None,
    });
    let body = whole(body).await;
    if let Some(last) = messages.borrow_mut().last_mut() {
        last.body = body;
    }
    Ok(Response::new(Empty::new()))
}

async fn whole<B: Body<Data = Bytes>>(body: B) -> Option<Vec<u8>> {
    let body = body.collect().await.ok()?;
    Some(body.to_bytes().to_vec())
}

fn fields(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let mut fields: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    fields
}

/// Polls `future` until it is ready; `None` if it never will be.
fn run<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (0..POLLS_MAX).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}
