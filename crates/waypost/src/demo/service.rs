//! A small service that returns the request as JSON.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpListener;

/// The pause after a failed accept.
const PAUSE: Duration = Duration::from_millis(50);

/// Of so many requests, a service that `fails` fails one.
const FAILS_OF: u64 = 5;

/// The ways of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ways {
    /// It answers some requests with 500.
    pub(super) fails: bool,
    /// It answers after some milliseconds, as if it had something to do.
    pub(super) takes_time: bool,
}

impl Ways {
    /// The time that a request takes: mostly a few milliseconds, and more for one in forty.
    fn time_of(self, number: u64) -> Option<Duration> {
        let ms = match number % 40 {
            0 => 80,
            _ => 2 + number * 7 % 11,
        };
        self.takes_time.then(|| Duration::from_millis(ms))
    }
}

/// Serves clients on `listener` as the service `name`, for ever.
pub(super) async fn serve(name: &'static str, listener: TcpListener, ways: Ways) {
    let served = Arc::new(AtomicU64::new(0));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let served = Arc::clone(&served);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let number = served.fetch_add(1, Ordering::Relaxed);
                let has_failed = ways.fails && number.is_multiple_of(FAILS_OF);
                let response = match has_failed {
                    false => response_to(name, &request),
                    true => failure(),
                };
                async move {
                    if let Some(time) = ways.time_of(number) {
                        tokio::time::sleep(time).await;
                    }
                    Ok::<_, Infallible>(response)
                }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            // Errors are those of clients that leave early.
            let _ = connection.await;
        });
    }
}

fn failure() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from("this version has a fault\n"));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

fn response_to(name: &str, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let headers: serde_json::Map<String, serde_json::Value> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let text = json!({
        "service": name,
        "method": request.method().as_str(),
        "path": request.uri().path(),
        "query": request.uri().query(),
        "headers": headers,
    });
    let mut response = Response::new(Full::new(Bytes::from(format!("{text:#}\n"))));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}
