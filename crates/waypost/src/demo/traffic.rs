//! Traffic for a rollout to watch, and the start of the rollout.

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
/// The interval between the requests of a connection.
const INTERVAL: Duration = Duration::from_millis(40);
/// The pause after a connection that failed.
const PAUSE: Duration = Duration::from_millis(500);

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

/// Begins to send requests to the gateway at this address: a hundred a second, as long as the runtime lives.
pub(super) fn begin(gateway: &str) {
    for number in 0..CONNECTIONS {
        tokio::spawn(send_for_ever(gateway.to_owned(), number));
    }
}

async fn send_for_ever(gateway: String, mut number: u32) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let Ok(mut connection) = connect(&gateway).await else {
            sleep(PAUSE).await;
            continue;
        };
        loop {
            ticks.tick().await;
            number = number.wrapping_add(CONNECTIONS);
            let request = Request::get(format!("/users/{number}"))
                .header(header::HOST, &*gateway)
                .body(Full::default());
            let Ok(request) = request else { return };
            // A failed answer is the rollout's business, a lost connection is replaced.
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
