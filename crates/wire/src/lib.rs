//! HTTP/1 as bytes: parsing, normal forms and serialisation.
//!
//! Bytes go in; ranges and verdicts come out. The crate does no I/O and knows neither routes nor async, so every rule
//! is tested on plain byte strings. Ambiguous messages are refused: an accepted message has exactly one reading.
//!
//! [`scan`] finds the end of a head as its bytes arrive. [`request`] and [`response`] parse a head into ranges of its
//! buffer, with [`field`] for header lines and [`framing`] for the length of the body. [`body`] and [`chunked`] decode
//! the body, and [`write`](mod@write) serialises messages. [`path`] and [`authority`] define the normal forms used for
//! routing. [`forwarded`] parses what proxies say of a request, [`frames`] and [`stream_ends`] watch HTTP/2
//! frames, and [`grpc`] and [`tls_alert`] have the status codes of gRPC and TLS.

pub mod authority;
pub mod body;
pub mod chunked;
pub mod field;
pub mod forwarded;
pub mod frames;
pub mod framing;
pub mod grpc;
mod hpack;
mod malformed;
pub mod path;
pub mod request;
pub mod response;
pub mod scan;
pub mod set_cookie;
pub mod stream_ends;
pub mod target;
pub mod tls_alert;
pub mod token;
pub mod version;
pub mod write;
