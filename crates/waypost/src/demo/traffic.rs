//! Traffic of the demo's own clients, and the start of a rollout.

use std::time::Duration;

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// The connections, each with one request at a time.
const CONNECTIONS: u32 = 4;
/// Users of the mixed traffic.
const USERS_COUNT: u32 = 40;
/// The pause after a connection that failed.
const PAUSE: Duration = Duration::from_millis(500);

/// A kind of traffic.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// The interval between the requests of a connection.
    interval: Duration,
    /// Method, path and the version that is asked for of a request, by its number.
    request: fn(u32) -> (&'static str, String, Option<&'static str>),
}

/// A hundred requests a second for users.
pub(super) const USERS: Kind = Kind {
    interval: Duration::from_millis(40),
    request: |number| ("GET", format!("/users/{number}"), None),
};

/// Twenty requests a second over all routes, and some for paths that there are not.
pub(super) const MIXED: Kind = Kind {
    interval: Duration::from_millis(200),
    request: mixed,
};

fn mixed(number: u32) -> (&'static str, String, Option<&'static str>) {
    // The connections take turns; each has requests of all kinds.
    let turn = number / CONNECTIONS;
    let user = format!("/users/{}", turn % USERS_COUNT);
    let order = format!("/orders/{}", 1000 + turn % 500);
    match turn % 20 {
        0..10 => ("GET", user, None),
        10 => ("PUT", user, None),
        11 => ("GET", user, Some("2")),
        12..16 => ("GET", order, None),
        16 => ("POST", "/orders/new".to_owned(), None),
        17 => ("DELETE", order, None),
        18 => ("GET", "/shop/cart".to_owned(), None),
        _ => ("GET", "/favicon.ico".to_owned(), None),
    }
}

/// Starts the rollout of the route `users`. `admin` is the URL of the admin API.
pub(super) async fn start_rollout(admin: &str) -> anyhow::Result<()> {
    let admin = admin.trim_start_matches("http://");
    let mut connection = connect(admin).await.context("the admin API is not reached")?;
    let request = Request::post("/api/v1/routes/users/rollout")
        .header(header::HOST, admin)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from("{}"))?;
    let (status, body) = send(&mut connection, request).await?;
    if !status.is_success() {
        bail!(
            "the rollout is not started: {}",
            String::from_utf8_lossy(&body).trim_end()
        );
    }
    Ok(())
}

/// Begins to send requests to the gateway at this address, as long as the runtime lives.
pub(super) fn begin(gateway: &str, kind: Kind) {
    for number in 0..CONNECTIONS {
        tokio::spawn(send_for_ever(gateway.to_owned(), number, kind));
    }
}

async fn send_for_ever(gateway: String, mut number: u32, kind: Kind) {
    let mut ticks = interval(kind.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let Ok(mut connection) = connect(&gateway).await else {
            sleep(PAUSE).await;
            continue;
        };
        loop {
            ticks.tick().await;
            number = number.wrapping_add(CONNECTIONS);
            let (method, path, version) = (kind.request)(number);
            let mut request = Request::builder()
                .method(method)
                .uri(path)
                .header(header::HOST, &*gateway)
                .header("x-user-id", format!("user-{}", number % USERS_COUNT));
            if let Some(version) = version {
                request = request.header("x-api-version", version);
            }
            let request = request.body(Full::default());
            let Ok(request) = request else { return };
            // A failed answer is there to be seen, a lost connection is replaced.
            if send(&mut connection, request).await.is_err() {
                break;
            }
        }
    }
}

async fn connect(address: &str) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn send(
    connection: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<(StatusCode, Bytes)> {
    connection.ready().await?;
    let response = connection.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixed_traffic_has_every_route_and_some_paths_without_one() {
        let requests: Vec<_> = (0..100 * CONNECTIONS).map(mixed).collect();
        let count = |start: &str| {
            requests
                .iter()
                .filter(|(_, path, _)| path.starts_with(start))
                .count()
        };
        assert_eq!(requests.len(), 400);
        assert_eq!(
            [
                count("/users/"),
                count("/orders/"),
                count("/shop/"),
                count("/favicon")
            ],
            [240, 120, 20, 20]
        );
        assert!(requests.iter().any(|(_, _, version)| version.is_some()));
    }
}
