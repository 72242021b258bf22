//! The limits that no config changes, for `waypost check --limits`.

use std::time::Duration;

use waypost_transport::h2::{client_connection, guard};
use waypost_transport::relay::splice;
use waypost_transport::{buffer, free_list, proxy_protocol, sockets};
use waypost_upstream::pool::idle;
use waypost_upstream::{call, discovery, health, lease};
use waypost_wire::{chunked, frames, response};

use crate::connection::{http2, reading};
use crate::gateway::descriptors;
use crate::listen::admission;
use crate::observe::access_log::RING_BYTES;
use crate::request::{local as responses, mirror};
use crate::{exchange, local};

/// A limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What it bounds.
    pub name: &'static str,
    /// By how much.
    pub value: Value,
}

/// How much, and of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// So many bytes.
    Bytes(u64),
    /// So many.
    Count(u64),
    /// So long.
    Time(Duration),
}

/// Every limit that no config changes, as it is in force in this process.
///
/// The number of open files that a process may have is first raised as far as it may be, as the gateway does.
pub fn fixed() -> Vec<Limit> {
    let bytes = |name, bytes: usize| Limit {
        name,
        value: Value::Bytes(bytes as u64),
    };
    let count = |name, count: usize| Limit {
        name,
        value: Value::Count(count as u64),
    };
    let time = |name, time| Limit {
        name,
        value: Value::Time(time),
    };
    let descriptors = descriptors::descriptors();
    vec![
        count("clients, by this process's open files", descriptors.clients),
        count("idle service connections, likewise", descriptors.idle),
        count("clients waiting to be accepted", sockets::BACKLOG as usize),
        time(
            "first request of a client of a closing listener",
            reading::LAST_CALL,
        ),
        bytes("response head", response::HEAD_BYTES_MAX),
        count("header lines of a response", response::FIELDS_MAX),
        count("interim answers of a request", call::INTERIM_MAX as usize),
        bytes("one chunk extension", chunked::EXTENSION_BYTES_MAX),
        bytes("chunk extensions of a message", chunked::EXTENSIONS_BYTES_MAX),
        bytes("trailers", chunked::TRAILERS_BYTES_MAX),
        count("trailer lines", chunked::TRAILERS_MAX),
        Limit {
            name: "request body, each second",
            value: Value::Bytes(exchange::BODY_RATE_MIN),
        },
        time(
            "request body, waiting before that counts",
            exchange::BODY_RATE_GRACE,
        ),
        time("a peer that takes nothing", exchange::WRITE_TIMEOUT),
        bytes("buffer of each direction of a body", buffer::BODY_BYTES),
        time("swallowing what comes behind a last answer", responses::LINGER),
        bytes("swallowed behind a last answer", responses::LINGER_BYTES),
        count("endpoints tried for a request", lease::ATTEMPTS_MAX),
        time("rest of an endpoint that refused", health::EJECTION),
        time(
            "settling of a connection after an answer that withheld its body",
            idle::SETTLE_TIME,
        ),
        time("looking up an endpoint's name", discovery::LOOKUP_TIMEOUT),
        time("between two look-ups", discovery::REFRESH),
        count("mirrored requests under way, each worker", local::MIRRORED_MAX),
        bytes("body of a mirrored request", mirror::BODY_BYTES_MAX),
        bytes("read of the answer to one", mirror::RESPONSE_BYTES_MAX),
        bytes("access log lines waiting, each worker", RING_BYTES),
        count(
            "memories of requests kept for others, each worker",
            free_list::KEPT_MAX,
        ),
        count("streams of an HTTP/2 connection", http2::STREAMS_MAX as usize),
        bytes(
            "unread on an HTTP/2 stream",
            client_connection::STREAM_WINDOW as usize,
        ),
        bytes(
            "unread on an HTTP/2 connection",
            client_connection::CONNECTION_WINDOW as usize,
        ),
        bytes("answer waiting on an HTTP/2 stream", http2::SEND_BUFFER),
        bytes("answers gathered on an HTTP/2 connection", guard::UNSENT_MAX),
        count("pipes for large bodies, in each worker", splice::PIPES_MAX),
        bytes("a body in a pipe", splice::PIPE_BYTES),
        count(
            "CONTINUATION frames of a head",
            frames::CONTINUATIONS_MAX as usize,
        ),
        count(
            "HTTP/2 frames without use, at once",
            frames::USELESS_BURST as usize,
        ),
        count(
            "HTTP/2 frames without use, each second",
            frames::USELESS_RATE as usize,
        ),
        count("HTTP/2 streams reset, at once", frames::RESETS_BURST as usize),
        count("HTTP/2 streams reset, each second", frames::RESETS_RATE as usize),
        count(
            "HTTP/2 streams reset for a client's mistakes",
            http2::MISTAKES_MAX,
        ),
        bytes("PROXY protocol header", proxy_protocol::HEADER_BYTES_MAX),
        bytes(
            "first words of a connection passed through",
            admission::HELLO_BYTES_MAX,
        ),
    ]
}
