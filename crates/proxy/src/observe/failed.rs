//! Samples of failed requests, for those who ask what fails.
//!
//! A worker describes some of the requests that fail and hands them to the control plane. Requests that do not fail
//! cost nothing. Of headers there are the names; values only of those that the config lists. Bodies are never part of it.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;
use waypost_policy::status::RequestStatus;
use waypost_wire::field::is_taken_for;

/// Capacity of the channel of samples; further ones are dropped.
pub(crate) const WAITING_MAX: usize = 256;
/// Samples that a worker takes of one route in a second.
const OF_ROUTE_MAX: usize = 4;
/// Samples that a worker takes in a second.
const TAKEN_MAX: usize = 64;
/// The time for which samples are counted.
const PERIOD: Duration = Duration::from_secs(1);

/// Bytes of a path.
const PATH_MAX: usize = 1024;
/// Bytes of a value, a host or a method.
const VALUE_MAX: usize = 256;
/// Bytes of a name.
const NAME_MAX: usize = 64;
/// Headers of a request.
const HEADERS_MAX: usize = 64;

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRequest {
    /// The time at which it was found to have failed.
    pub time: Timestamp,
    /// The method.
    pub method: String,
    /// The host in its normal form.
    pub host: String,
    /// The path in its normal form, without the query.
    pub path: String,
    /// The route.
    pub route: Arc<str>,
    /// The service, if one was picked.
    pub service: Option<Arc<str>>,
    /// The endpoint that was asked last, if any was.
    pub endpoint: Option<String>,
    /// The status.
    pub status: RequestStatus,
    /// The party that ended it: `client`, `gateway` or `service`.
    pub ended_by: &'static str,
    /// The reason, as in the access log.
    pub reason: &'static str,
    /// The mistake of the service, as in the access log.
    pub detail: Option<String>,
    /// The time from its first byte.
    pub duration: Duration,
    /// The revision of the config.
    pub revision: u64,
    /// The id of the request, if it has one.
    pub request_id: Option<String>,
    /// The headers with the values that may be shown: as the service got them, or as the client sent them if no service
    /// did. `None` if they were gone by then.
    pub headers: Option<Vec<(String, Option<String>)>>,
}

/// Takes samples of one worker.
#[derive(Debug)]
pub(crate) struct Sampler {
    sender: mpsc::Sender<FailedRequest>,
    taken: RefCell<Taken>,
}

/// The samples of this second.
#[derive(Debug)]
struct Taken {
    since: Instant,
    /// The route of each.
    routes: Vec<Arc<str>>,
}

impl Sampler {
    pub(crate) fn new(sender: mpsc::Sender<FailedRequest>) -> Self {
        let taken = RefCell::new(Taken {
            since: Instant::now(),
            routes: Vec::new(),
        });
        Self { sender, taken }
    }

    /// Returns true if a sample of this route is to be taken, and counts it.
    pub(crate) fn takes(&self, route: &Arc<str>, now: Instant) -> bool {
        let mut taken = self.taken.borrow_mut();
        if now.saturating_duration_since(taken.since) >= PERIOD {
            taken.since = now;
            taken.routes.clear();
        }
        let of_route = taken.routes.iter().filter(|taken| *taken == route).count();
        if of_route >= OF_ROUTE_MAX || taken.routes.len() >= TAKEN_MAX {
            return false;
        }
        taken.routes.push(Arc::clone(route));
        true
    }

    /// Hands over a sample; it is dropped if too many wait.
    pub(crate) fn send(&self, failed: FailedRequest) {
        let _ = self.sender.try_send(failed);
    }
}

/// The headers of a head as HTTP/1 writes it, with the values of those that are in `shown`, unless servers may take them for
/// `secret` ones.
pub(crate) fn headers(head: &[u8], shown: &[Box<str>], secret: &[Box<str>]) -> Vec<(String, Option<String>)> {
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let lines = lines.take_while(|line| !line.is_empty()).take(HEADERS_MAX);
    lines
        .filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            let is_shown = shown
                .iter()
                .any(|shown| shown.as_bytes().eq_ignore_ascii_case(name))
                && !secret.iter().any(|secret| is_taken_for(name, secret));
            let name = text(&name.to_ascii_lowercase(), NAME_MAX);
            Some((name, is_shown.then(|| text(value, VALUE_MAX))))
        })
        .collect()
}

/// The text of a host, a method or another value.
pub(crate) fn value(bytes: &[u8]) -> String {
    text(bytes, VALUE_MAX)
}

/// The text of a path.
pub(crate) fn path(bytes: &[u8]) -> String {
    text(bytes, PATH_MAX)
}

/// At most `max` bytes as text, with a sign of what is cut.
fn text(bytes: &[u8], max: usize) -> String {
    match bytes.get(..max) {
        Some(begin) if bytes.len() > max => format!("{}…", String::from_utf8_lossy(begin)),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn samples_of_a_route_and_of_a_worker_are_bounded_by_the_second() {
        let sampler = Sampler::new(mpsc::channel(1).0);
        let take = |route: &str, times: usize| {
            let route = route.into();
            (0..times)
                .filter(|_| sampler.takes(&route, Instant::now()))
                .count()
        };
        assert_eq!((take("a", 9), take("b", 2)), (OF_ROUTE_MAX, 2));
        let others: usize = (0..100).map(|at| take(&format!("r{at}"), 1)).sum();
        assert_eq!(others, TAKEN_MAX - OF_ROUTE_MAX - 2);
        tokio::time::advance(PERIOD).await;
        assert_eq!(take("a", 9), OF_ROUTE_MAX);
    }

    #[test]
    fn values_are_shown_by_list_only() {
        let shown: [Box<str>; 3] = ["user-agent".into(), "x-long".into(), "x-api-key".into()];
        let secret: [Box<str>; 1] = ["x-api-key".into()];
        let head = format!(
            "GET / HTTP/1.1\r\nUser-Agent:  curl \r\nauthorization: Bearer s3cret\r\nX-Api-Key: s3cret\r\nX-Long: {}\r\nno colon\r\n\r\nbody: 1\r\n",
            "x".repeat(300)
        );
        let headers = headers(head.as_bytes(), &shown, &secret);
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref().map(str::len)))
            .collect();
        let long = VALUE_MAX + '…'.len_utf8();
        assert_eq!(
            headers,
            [
                ("user-agent", Some(4)),
                ("authorization", None),
                ("x-api-key", None),
                ("x-long", Some(long))
            ]
        );
        assert_eq!(super::headers(b"", &shown, &secret), []);
    }
}
