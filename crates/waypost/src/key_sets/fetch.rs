//! One fetch of a key set.

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CACHE_CONTROL, HOST, HeaderMap, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use waypost_auth::token::key_set::{BYTES_MAX, KeySet, KeySetError, Origin};
use waypost_plan::token::KeyUrl;
use waypost_tls::client::{self, ClientTls, Trust};

/// The timeout of a fetch, from the look-up of the name to the last byte.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

/// A key set, and for how long its server says that it is fresh.
pub(super) struct Fetched {
    pub(super) set: KeySet,
    pub(super) max_age: Option<Duration>,
}

/// A reason that there is no new key set.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("there is no answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
    #[error("no connection: {0}")]
    Connect(io::Error),
    #[error("no TLS: {0}")]
    Tls(String),
    #[error("the connection broke: {0}")]
    Http(#[from] hyper::Error),
    /// Following it would let its sender choose the server that is believed.
    #[error("the answer is {0}, a redirect, which is not followed; configure the URL that it leads to")]
    Redirect(StatusCode),
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("the answer breaks off")]
    Body,
    #[error("the key set cannot be used: {0}")]
    KeySet(#[from] KeySetError),
}

/// Fetches a key set.
pub(super) async fn fetch(url: &KeyUrl) -> Result<Fetched, FetchError> {
    timeout(TIMEOUT, answer(url))
        .await
        .unwrap_or(Err(FetchError::TimedOut))
}

async fn answer(url: &KeyUrl) -> Result<Fetched, FetchError> {
    let stream = TcpStream::connect((&*url.host, url.port))
        .await
        .map_err(FetchError::Connect)?;
    if !url.is_tls {
        return exchange(url, stream).await;
    }
    let tls = platform_tls().map_err(FetchError::Tls)?;
    let name = client::server_name(&url.host)
        .ok_or_else(|| FetchError::Tls("the host is no name for a certificate".to_owned()))?;
    let connector = TlsConnector::from(Arc::clone(tls.config(false)));
    let stream = connector
        .connect(name, stream)
        .await
        .map_err(|error| FetchError::Tls(error.to_string()))?;
    exchange(url, stream).await
}

/// TLS that trusts the authorities of the machine, made once: it reads them all.
fn platform_tls() -> Result<&'static ClientTls, String> {
    static TLS: LazyLock<Result<ClientTls, String>> =
        LazyLock::new(|| ClientTls::new(Trust::Platform, None).map_err(|error| error.to_string()));
    TLS.as_ref().map_err(Clone::clone)
}

async fn exchange(
    url: &KeyUrl,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Fetched, FetchError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(&*url.target)
        .header(HOST, &*url.authority)
        .header(ACCEPT, "application/jwk-set+json, application/json")
        .header(USER_AGENT, "waypost")
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Body)?;
    let response = sender.send_request(request).await;
    let read = match response {
        Ok(response) => read(response).await,
        Err(error) => Err(error.into()),
    };
    connection.abort();
    read
}

async fn read(response: hyper::Response<hyper::body::Incoming>) -> Result<Fetched, FetchError> {
    match response.status() {
        StatusCode::OK => {}
        status if status.is_redirection() => return Err(FetchError::Redirect(status)),
        status => return Err(FetchError::Status(status)),
    }
    let max_age = max_age(response.headers());
    let body = Limited::new(response.into_body(), BYTES_MAX).collect().await;
    let body = body.map_err(|error| match error.is::<LengthLimitError>() {
        true => FetchError::KeySet(KeySetError::TooLarge),
        false => FetchError::Body,
    })?;
    let set = KeySet::parse(&body.to_bytes(), Origin::Url)?;
    Ok(Fetched { set, max_age })
}

/// The `max-age` of `Cache-Control` (RFC 9111 §5.2.2.1); the first, if there are several.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all(CACHE_CONTROL).into_iter();
    let directives = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    let seconds = directives
        .filter_map(|directive| directive.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("max-age"))
        .map(|(_, value)| value.trim().trim_matches('"'))?;
    // Digits beyond the largest number are a very long time (RFC 9111 §1.2.2).
    let is_number = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Duration::from_secs(seconds.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_is_read_among_other_directives() {
        for (lines, expected) in [
            (&["max-age=600"][..], Some(600)),
            (&["public, max-age=21600, must-revalidate"], Some(21600)),
            (&["no-store", "Max-Age = 7"], Some(7)),
            (&["max-age=\"60\""], Some(60)),
            (&["max-age=99999999999999999999999"], Some(u64::MAX)),
            (&["s-maxage=5"], None),
            (&["max-age"], None),
            (&["max-age=-1"], None),
            (&["max-age=1.5"], None),
            (&["max-age="], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CACHE_CONTROL, line.parse().unwrap());
            }
            assert_eq!(max_age(&headers), expected.map(Duration::from_secs), "{lines:?}");
        }
    }
}
