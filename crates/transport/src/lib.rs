//! Bytes and messages on connections.
//!
//! A [`link`] is one end of an exchange: a TCP or TLS socket that speaks HTTP/1, a stream of HTTP/2, or a message in
//! memory. All of them read and write the same thing, a head as HTTP/1 writes it followed by the bytes of a body, so one
//! parser judges every head. A [`relay`] moves one direction of an exchange from a link to another: it decodes the body's
//! framing, transforms it, copies it to a tap, and frames it anew.
//!
//! The crate knows no routes, services or policies. It runs on a current-thread runtime: nothing in it is shared between
//! workers.

pub mod buffer;
pub mod clock;
pub mod date;
pub mod free_list;
pub mod h2;
pub mod link;
pub mod memory;
pub mod permits;
pub mod proxy_protocol;
pub mod relay;
pub mod socket;
pub mod sockets;
pub mod timer;
