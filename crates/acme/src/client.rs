//! The connections to an authority: HTTP/1.1 over TLS, one for each request.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use jiff::Timestamp;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use waypost_tls::client::{ClientTls, server_name};

/// The timeout of a request, from the look-up of the name to the last byte.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// The timeout of a connection to one of the authority's addresses.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes of a response.
pub const BYTES_MAX: usize = 256 << 10;
/// The most bytes of a response's head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// The longest wait that an authority is believed to ask for: the longest period of its rate limits.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The name under which the gateway asks (RFC 8555 §6.1).
const NAME: &str = concat!("waypost/", env!("CARGO_PKG_VERSION"));

/// The resources of a directory (RFC 8555 §7.1.1) that an order needs.
const RESOURCES: [&str; 3] = ["newNonce", "newAccount", "newOrder"];

/// A reason that a request has no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No whole answer in time.
    #[error("there is no answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
    /// A URL that is not asked.
    #[error("`{0}` is not a URL with `https`")]
    Url(String),
    /// The name cannot be looked up.
    #[error("the name `{host}` cannot be looked up: {error}")]
    Name {
        /// The name.
        host: String,
        /// The reason.
        error: io::Error,
    },
    /// No address accepts connections.
    #[error("no connection to `{host}`: {error}")]
    Connect {
        /// The host.
        host: String,
        /// The reason, of the last address.
        error: io::Error,
    },
    /// The TLS handshake failed.
    #[error("no TLS with `{host}`: {error}")]
    Tls {
        /// The host.
        host: String,
        /// The reason.
        error: io::Error,
    },
    /// The exchange failed.
    #[error("the connection broke: {0}")]
    Http(#[from] hyper::Error),
    /// Following it would let its sender choose the server that is believed.
    #[error("the answer is {0}, a redirect, which is not followed; configure the URL that it leads to")]
    Redirect(StatusCode),
    /// An error without a problem document.
    #[error("the answer is {0}")]
    Status(StatusCode),
    /// The answer breaks off.
    #[error("the answer breaks off")]
    Body,
    /// The answer is too large.
    #[error("the answer is larger than {} KiB", BYTES_MAX >> 10)]
    TooLarge,
    /// The directory is not one.
    #[error("the answer is not the directory of an authority: {0}")]
    Directory(String),
}

/// The client of one authority.
#[derive(Debug, Clone)]
pub(crate) struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tls: ClientTls,
    directory: Uri,
    /// The wait that the last answer asked for, if that was an error.
    asked: Mutex<Option<Duration>>,
}

impl Client {
    /// A client of the authority with this directory.
    ///
    /// # Errors
    /// The URL is not one with `https`.
    pub(crate) fn new(directory: &str, tls: ClientTls) -> Result<Self, ClientError> {
        Ok(Self(Arc::new(Inner {
            tls,
            directory: https(directory)?,
            asked: Mutex::default(),
        })))
    }

    /// Takes the wait that the last answer asked for, if that was an error (RFC 8555 §6.6).
    pub(crate) fn take_asked(&self) -> Option<Duration> {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let answered = timeout(TIMEOUT, inner.answer(request)).await;
            let answered = answered.unwrap_or(Err(ClientError::TimedOut));
            match answered {
                Ok(response) => Ok(response.into()),
                Err(error) => Err(Error::Other(Box::new(error))),
            }
        })
    }
}

impl Inner {
    /// Sends a request, and judges its answer.
    async fn answer(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Full<Bytes>>, ClientError> {
        let is_directory = request.method() == Method::GET && *request.uri() == self.directory;
        let (mut head, body) = self.exchange(request).await?.into_parts();
        let wait = retry_after(&head.headers, Timestamp::now());
        // What is left of it fits into a clock.
        head.headers.remove(RETRY_AFTER);
        if let Some(wait) = wait {
            head.headers
                .insert(RETRY_AFTER, HeaderValue::from(wait.as_secs()));
        }
        let is_error = !head.status.is_success();
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = wait.filter(|_| is_error);
        if head.status.is_redirection() {
            return Err(ClientError::Redirect(head.status));
        }
        let is_object =
            || serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&body).is_ok();
        if is_error && !is_object() {
            return Err(ClientError::Status(head.status));
        }
        if is_directory && !is_error {
            check_directory(&body)?;
        }
        if head.headers.get(LOCATION).is_some_and(|url| !is_https(url)) {
            head.headers.remove(LOCATION);
        }
        Ok(Response::from_parts(head, Full::new(body)))
    }

    async fn exchange(&self, request: Request<BodyWrapper<Bytes>>) -> Result<Response<Bytes>, ClientError> {
        let (mut head, body) = request.into_parts();
        let url = https(&head.uri.to_string())?;
        let (stream, authority) = self.connect(&url).await?;
        head.uri = Uri::from(
            url.path_and_query()
                .cloned()
                .unwrap_or(PathAndQuery::from_static("/")),
        );
        head.headers.insert(HOST, authority);
        head.headers.insert(USER_AGENT, HeaderValue::from_static(NAME));
        if head.method == Method::HEAD || head.method == Method::GET {
            head.headers.remove(CONTENT_LENGTH);
        }
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await?;
        let connection = tokio::spawn(connection);
        let _ended = EndOnDrop(connection.abort_handle());
        let response = sender.send_request(Request::from_parts(head, body)).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, BYTES_MAX).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => ClientError::TooLarge,
            false => ClientError::Body,
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }

    /// Connects to the first address of the host that accepts.
    async fn connect(&self, url: &Uri) -> Result<(TlsStream<TcpStream>, HeaderValue), ClientError> {
        let not_url = || ClientError::Url(url.to_string());
        let authority = url.authority().ok_or_else(not_url)?;
        let host = authority.host().to_owned();
        let name = server_name(&host).ok_or_else(not_url)?;
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(443);
        let addresses = match lookup_host((bare, port)).await {
            Ok(addresses) => addresses,
            Err(error) => return Err(ClientError::Name { host, error }),
        };
        let mut failed = io::Error::other("it has no address");
        for address in addresses {
            let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
            let stream = match connected {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    failed = error;
                    continue;
                }
                Err(_) => {
                    failed = io::ErrorKind::TimedOut.into();
                    continue;
                }
            };
            let connector = TlsConnector::from(Arc::clone(self.tls.config(false)));
            let stream = match connector.connect(name, stream).await {
                Ok(stream) => stream,
                Err(error) => return Err(ClientError::Tls { host, error }),
            };
            let shown = match authority.port() {
                Some(port) => format!("{host}:{port}"),
                None => host,
            };
            let shown = HeaderValue::try_from(shown).map_err(|_| not_url())?;
            return Ok((stream, shown));
        }
        Err(ClientError::Connect { host, error: failed })
    }
}

/// Ends the task of a connection.
struct EndOnDrop(tokio::task::AbortHandle);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Parses a URL that may be asked.
fn https(text: &str) -> Result<Uri, ClientError> {
    // Lines of a log are the gateway's.
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let shown = || ClientError::Url(text.chars().map(plain).take(200).collect());
    let url: Uri = text.parse().map_err(|_| shown())?;
    let is_https = url.scheme() == Some(&Scheme::HTTPS) && url.host().is_some_and(|host| !host.is_empty());
    match is_https {
        true => Ok(url),
        false => Err(shown()),
    }
}

fn is_https(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|text| https(text).is_ok())
}

/// Checks that a directory names what an order needs.
fn check_directory(body: &[u8]) -> Result<(), ClientError> {
    let Ok(directory) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body) else {
        return Err(ClientError::Directory("it is not a JSON object".to_owned()));
    };
    for name in RESOURCES {
        let url = directory.get(name).and_then(serde_json::Value::as_str);
        let Some(url) = url else {
            return Err(ClientError::Directory(format!("it has no `{name}`")));
        };
        https(url).map_err(|error| ClientError::Directory(format!("`{name}`: {error}")))?;
    }
    Ok(())
}

/// The wait that a response asks for (RFC 9110 §10.2.3), within bounds.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let wait = match is_number {
        true => Duration::from_secs(text.parse().unwrap_or(u64::MAX)),
        false => {
            let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO)
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_with_https_are_asked() {
        for good in [
            "https://a.test/directory",
            "https://a.test:14000/x?y=z",
            "https://[::1]:1/d",
        ] {
            assert_eq!(https(good).unwrap().to_string(), good);
        }
        for bad in [
            "http://a.test/",
            "/directory",
            "https:///x",
            "a.test",
            "",
            "https://a b/",
            "ftp://a/",
        ] {
            assert!(https(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn wait_is_read_in_both_forms_and_bounded() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999999999999999", Some(RETRY_AFTER_MAX.as_secs())),
            ("Mon, 30 Nov 2026 12:01:00 GMT", Some(60)),
            ("Mon, 30 Nov 2026 11:00:00 GMT", Some(0)),
            ("Wed, 30 Nov 2050 11:00:00 GMT", Some(RETRY_AFTER_MAX.as_secs())),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            let wait = retry_after(&headers, now);
            assert_eq!(wait, expected.map(Duration::from_secs), "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn directory_without_what_an_order_needs_is_refused() {
        let check = |text: &str| check_directory(text.as_bytes()).map_err(|error| error.to_string());
        let whole = r#"{"newNonce":"https://a.test/n","newAccount":"https://a.test/a","newOrder":"https://a.test/o","meta":{}}"#;
        assert_eq!(check(whole), Ok(()));
        let not = "the answer is not the directory of an authority";
        for (text, why) in [
            (String::new(), "it is not a JSON object".to_owned()),
            ("[]".to_owned(), "it is not a JSON object".to_owned()),
            (
                whole.replace("newOrder", "order"),
                "it has no `newOrder`".to_owned(),
            ),
            (
                whole.replace("https://a.test/n", "not a url"),
                "`newNonce`: `not a url` is not a URL with `https`".to_owned(),
            ),
            (
                whole.replace("https://a.test/a", "http://a.test/a"),
                "`newAccount`: `http://a.test/a` is not a URL with `https`".to_owned(),
            ),
        ] {
            assert_eq!(check(&text), Err(format!("{not}: {why}")));
        }
    }
}
