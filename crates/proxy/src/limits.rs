//! Limits that cannot be configured, for `waypost check --limits`.

use std::time::Duration;

use waypost_auth::token::{cache, key_set, verify};
use waypost_auth::{basic, json, password, recent};
use waypost_plan::health::EJECTION_MAX;
use waypost_plan::rate as limit;
use waypost_policy::permissions;
use waypost_policy::rate;
use waypost_transport::h2::{client_connection, guard};
use waypost_transport::relay::splice;
use waypost_transport::{buffer, free_list, proxy_protocol, sockets};
use waypost_upstream::discovery::{answer, resolver};
use waypost_upstream::pool::idle;
use waypost_upstream::retry::{backoff, budget};
use waypost_upstream::{call, checks, health, lease};
use waypost_wire::{chunked, frames};

use crate::connection::{http2, reading};
use crate::gateway::descriptors;
use crate::listen::admission;
use crate::observe::access_log::RING_BYTES;
use crate::request::{announced, ask, auth, mirror, rest};
use crate::{exchange, local, verifier};

/// A limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The limited quantity.
    pub name: &'static str,
    /// The limit.
    pub value: Value,
}

/// The value of a limit, with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// Bytes.
    Bytes(u64),
    /// A number of things.
    Count(u64),
    /// A duration.
    Time(Duration),
}

/// All limits that cannot be configured, as they apply to this process.
///
/// Raises the process's limit of open files to its maximum first, as the gateway does.
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
        count(
            "client connections (from the limit of open files)",
            descriptors.clients,
        ),
        count(
            "idle service connections (from the limit of open files)",
            descriptors.idle,
        ),
        count(
            "connections kept between checks (from the limit of open files)",
            descriptors.checks,
        ),
        count(
            "clients waiting to be accepted, per listener and worker",
            sockets::BACKLOG as usize,
        ),
        time(
            "timeout of the first request on a closing listener",
            reading::LAST_CALL,
        ),
        time("wait before a retry", backoff::WAIT_MAX),
        count(
            "retries of a service in 10 s besides its `budget`",
            budget::SPARE as usize,
        ),
        count("interim responses to a request", call::INTERIM_MAX as usize),
        bytes("extension of one chunk", chunked::EXTENSION_BYTES_MAX),
        bytes("chunk extensions of a message", chunked::EXTENSIONS_BYTES_MAX),
        bytes("trailers", chunked::TRAILERS_BYTES_MAX),
        count("number of trailers", chunked::TRAILERS_MAX),
        time(
            "grace period before `body_rate` applies",
            exchange::BODY_RATE_GRACE,
        ),
        time("write timeout", exchange::WRITE_TIMEOUT),
        time(
            "silence before TCP asks a client, or a tunnel's service, for a sign of life",
            sockets::KEEP_ALIVE,
        ),
        bytes("body buffer, per direction", buffer::BODY_BYTES),
        time(
            "wait for a request body before its connection may have to go",
            exchange::SLOW_AFTER,
        ),
        time("time for which the rest of a request is discarded", rest::LINGER),
        time("pause after which it is discarded no longer", rest::LINGER_IDLE),
        count(
            "requests whose rest is discarded, per worker",
            rest::LINGERING_MAX,
        ),
        time(
            "write timeout for the rest of a request behind its response",
            rest::REST_STALL,
        ),
        bytes("token of a request", verify::BYTES_MAX),
        count("levels of JSON in a token or a key set", json::DEPTH_MAX),
        count("keys tried for a token that names none", verify::TRIES_MAX),
        bytes("key set of an issuer", key_set::BYTES_MAX),
        count("keys in a key set", key_set::KEYS_MAX),
        count("verified tokens remembered, per key set", cache::TOKENS_MAX),
        bytes("memory of verified tokens, per key set", cache::BYTES_MAX),
        time("wait of a request for a key set", auth::WAIT_MAX),
        count("endpoints tried per request", lease::ATTEMPTS_MAX),
        time(
            "ejection of an endpoint after a failed connection, without `eject`",
            health::EJECTION,
        ),
        time("ejection of an endpoint, at most", EJECTION_MAX),
        count("checks of endpoints at a time", checks::CHECKS_MAX),
        bytes("response body read of a check", checks::RESPONSE_BYTES_MAX),
        time(
            "delay before reuse after a response to HEAD or a 304",
            idle::SETTLE_TIME,
        ),
        time(
            "timeout of a DNS server, after which the next is asked",
            resolver::SERVER_TIMEOUT,
        ),
        time("timeout of a DNS lookup", resolver::LOOKUP_TIMEOUT),
        time("shortest interval between DNS lookups of a name", answer::TTL_MIN),
        time("longest interval between DNS lookups of a name", answer::TTL_MAX),
        time("interval between DNS lookups in vain, at first", answer::RETRY),
        time("interval between DNS lookups in vain, at most", answer::RETRY_MAX),
        count("mirrored requests in flight, per worker", local::MIRRORED_MAX),
        bytes("body of a mirrored request", mirror::BODY_BYTES_MAX),
        bytes(
            "response body read of a mirrored request",
            mirror::RESPONSE_BYTES_MAX,
        ),
        count(
            "keys of a rate limit, per policy, route or listener that has one",
            rate::KEYS_MAX,
        ),
        bytes("buckets of these keys", rate::BYTES_MAX),
        count("limits in a list of `rate`", limit::LIMITS_MAX),
        count("requests of a rate limit", limit::REQUESTS_MAX as usize),
        time("time of a rate limit", limit::PER_MAX),
        time("time in which a whole burst comes back", limit::REFILL_MAX),
        count("password verifications at a time, per core", verifier::PER_CORE),
        count(
            "requests waiting for a password verification",
            verifier::WAITING_MAX,
        ),
        time("wait for a password verification", auth::PASSWORD_WAIT_MAX),
        time("time a verified password is remembered", password::KEPT_FOR),
        count("verified passwords remembered, per file", recent::ENTRIES_MAX),
        bytes("credentials of `basic`, in base64", basic::ENCODED_BYTES_MAX),
        bytes("password", password::PASSWORD_BYTES_MAX),
        count("cost of bcrypt", password::BCRYPT_COST_MAX as usize),
        count("rounds of SHA-crypt", password::ROUNDS_MAX as usize),
        bytes("memory of Argon2", (password::ARGON2_MEMORY_MAX as usize) << 10),
        count("passes of Argon2", password::ARGON2_PASSES_MAX as usize),
        count("lanes of Argon2", password::ARGON2_LANES_MAX as usize),
        bytes(
            "refusal of a service that is asked who may pass",
            ask::ANSWER_BYTES_MAX,
        ),
        time(
            "wait for the body of a permission, which is discarded",
            ask::BODY_WAIT,
        ),
        count("permissions kept of services that are asked", recent::ENTRIES_MAX),
        bytes(
            "headers of a permission that is kept",
            permissions::KEPT_BYTES_MAX,
        ),
        bytes("access log buffer, per worker", RING_BYTES),
        count("request buffers kept for reuse, per worker", free_list::KEPT_MAX),
        count("HTTP/2 streams per connection", http2::STREAMS_MAX as usize),
        bytes(
            "HTTP/2 receive window of a stream",
            client_connection::STREAM_WINDOW as usize,
        ),
        bytes(
            "HTTP/2 receive window of a connection",
            client_connection::CONNECTION_WINDOW as usize,
        ),
        bytes("HTTP/2 send buffer of a stream", http2::SEND_BUFFER),
        bytes("HTTP/2 send buffer of a connection", guard::UNSENT_MAX),
        count("pipes for large bodies, per worker", splice::PIPES_MAX),
        bytes("pipe for a large body", splice::PIPE_BYTES),
        count(
            "HTTP/2 CONTINUATION frames of a head",
            frames::CONTINUATIONS_MAX as usize,
        ),
        count(
            "HTTP/2 control and empty frames, burst",
            frames::USELESS_BURST as usize,
        ),
        count(
            "HTTP/2 control and empty frames, per second",
            frames::USELESS_RATE as usize,
        ),
        count("HTTP/2 stream resets, burst", frames::RESETS_BURST as usize),
        count("HTTP/2 stream resets, per second", frames::RESETS_RATE as usize),
        count("HTTP/2 stream resets for protocol errors", http2::MISTAKES_MAX),
        time(
            "wait for the first bytes of an HTTP/2 request body of announced length",
            announced::BODY_HOLD,
        ),
        bytes("PROXY protocol header", proxy_protocol::HEADER_BYTES_MAX),
        bytes(
            "TLS ClientHello of a passthrough connection",
            admission::HELLO_BYTES_MAX,
        ),
    ]
}
