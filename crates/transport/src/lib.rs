//! Bytes and messages on connections.
//!
//! A [`link`] is one end of an exchange: a TCP or TLS socket that speaks HTTP/1, an HTTP/2 stream, or a message in
//! memory. All links read and write the same format, an HTTP/1 head followed by the bytes of a body, so a single parser
//! handles every head. A [`relay`] moves one direction of an exchange from one link to another: it decodes the body's
//! framing, transforms the body, copies it to a tap, and frames it for the destination.
//!
//! The crate does not depend on routes, services or policies. It runs on a current-thread runtime; workers share none
//! of its state.

pub mod buffer;
pub mod clock;
pub mod date;
pub mod free_list;
pub mod h2;
pub mod link;
pub mod listening;
pub mod memory;
pub mod permits;
pub mod proxy_protocol;
pub mod relay;
pub mod socket;
pub mod socket_file;
pub mod sockets;
pub mod timer;
