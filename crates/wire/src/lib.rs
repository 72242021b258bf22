//! HTTP/1 as bytes: what a peer may say, in its normal form, and how the gateway says it again.
//!
//! Bytes go in, ranges and verdicts come out. The crate does no I/O, knows no routes and no async, so
//! every rule of it is tested on plain byte strings. Nothing ambiguous gets through: what is accepted here
//! has one reading only.
//!
//! [`scan`] finds the end of a head as its bytes arrive; [`request`] and [`response`] read one into ranges
//! of the buffer; [`body`] and [`chunked`] find the body in what follows; [`write`](mod@write) says it again. [`path`]
//! and [`authority`] have the normal forms that routing goes by. Of HTTP/2, [`frames`] counts what passes by.

pub mod authority;
pub mod body;
pub mod chunked;
pub mod field;
pub mod frames;
pub mod path;
pub mod request;
pub mod response;
pub mod scan;
pub mod target;
pub mod token;
pub mod write;
