//! One line of the access log.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

/// What is known of a request; its fields are the keys of the line.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) time: Timestamp,
    pub(crate) started: Instant,
    pub(crate) client: IpAddr,
    pub(crate) method: Vec<u8>,
    pub(crate) host: Vec<u8>,
    pub(crate) path: Vec<u8>,
    pub(crate) query: Option<Vec<u8>>,
    pub(crate) route: Option<Arc<str>>,
    pub(crate) service: Option<Arc<str>>,
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) asked: Option<Instant>,
    pub(crate) upstream_ms: Option<f64>,
    pub(crate) retries: u32,
    pub(crate) revision: u64,
    /// Who ended the exchange, and why; `None` while it goes on.
    pub(crate) ended: Option<(&'static str, &'static str)>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    client: IpAddr,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    route: Option<&'a str>,
    service: Option<&'a str>,
    endpoint: Option<SocketAddr>,
    status: u16,
    bytes: u64,
    duration_ms: f64,
    upstream_ms: Option<f64>,
    retries: u32,
    revision: u64,
    ended_by: &'a str,
    reason: &'a str,
}

impl Record {
    /// A record of a request of which nothing is known yet.
    pub(crate) fn new(client: IpAddr, revision: u64) -> Self {
        Self {
            time: Timestamp::now(),
            started: Instant::now(),
            client,
            method: Vec::new(),
            host: Vec::new(),
            path: Vec::new(),
            query: None,
            route: None,
            service: None,
            endpoint: None,
            status: 0,
            bytes: 0,
            asked: None,
            upstream_ms: None,
            retries: 0,
            revision,
            ended: None,
        }
    }

    /// Notes that the service was asked now, for the first time.
    pub(crate) fn asked_now(&mut self) {
        self.asked = self.asked.or_else(|| Some(Instant::now()));
    }

    /// Notes that the service has finished its answer now.
    pub(crate) fn answered_now(&mut self) {
        self.upstream_ms = self.asked.map(milliseconds);
    }

    /// The line, newline included. Control bytes are escaped, as JSON asks.
    pub(crate) fn line(&self) -> Vec<u8> {
        let query = self.query.as_deref().map(String::from_utf8_lossy);
        let (ended_by, reason) = self.ended.unwrap_or(("gateway", "cut"));
        let line = Line {
            time: format!("{:.3}", self.time),
            client: self.client,
            method: &String::from_utf8_lossy(&self.method),
            host: &String::from_utf8_lossy(&self.host),
            path: &String::from_utf8_lossy(&self.path),
            query: query.as_deref(),
            route: self.route.as_deref(),
            service: self.service.as_deref(),
            endpoint: self.endpoint,
            status: self.status,
            bytes: self.bytes,
            duration_ms: milliseconds(self.started),
            upstream_ms: self.upstream_ms,
            retries: self.retries,
            revision: self.revision,
            ended_by,
            reason,
        };
        let mut text = serde_json::to_vec(&line).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

/// Milliseconds since `start`, to the microsecond.
fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_micros() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_whatever_is_in_it() {
        let mut record = Record::new(IpAddr::from([127, 0, 0, 1]), 3);
        record.path = b"/a\"\n\x01\xff".to_vec();
        let line = record.line();
        assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value["path"], "/a\"\n\u{1}\u{fffd}");
        assert_eq!(value["revision"], 3);
        assert_eq!(value["upstream_ms"], serde_json::Value::Null);
    }
}
